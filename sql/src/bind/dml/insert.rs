//! INSERT.

use std::sync::Arc;

use datafusion::logical_expr::{Expr, LogicalPlan};
use satsuma_common::{PgType, SqlError, SqlResult, SqlState};
use sqlparser::ast::{self, Insert, SetExpr, TableObject};

use super::assignment::{Target, default_of_part};
use super::{Binder, column_at, is_default};
use crate::bind::clause::Clause;
use crate::bind::cte::Ctes;
use crate::bind::expr::Context;
use crate::bind::names::fold;
use crate::bind::plan;
use crate::bind::query::Unknowns;
use crate::bind::scope::{Entry, Scope};
use crate::bind::window::NamedWindows;
use crate::bound::{BoundInsert, BoundOnConflict};
use crate::catalog_view::{Access, TableInfo};
use crate::functions::Typed;
use crate::parse::{Overriding, overriding};

impl Binder<'_> {
    pub fn insert(&self, insert: &Insert, ctes: &Ctes<'_>) -> SqlResult<BoundInsert> {
        if insert.or.is_some()
            || insert.ignore
            || insert.overwrite
            || insert.replace_into
            || insert.has_table_keyword
            || insert.priority.is_some()
            || insert.partitioned.is_some()
            || insert.output.is_some()
            || insert.multi_table_insert_type.is_some()
            || insert.insert_alias.is_some()
            || insert.settings.is_some()
            || insert.format_clause.is_some()
            || !insert.assignments.is_empty()
            || !insert.after_columns.is_empty()
            || !insert.into
        {
            return Err(SqlError::new(
                SqlState::SYNTAX_ERROR,
                "syntax error in INSERT: a clause that PostgreSQL does not have",
            ));
        }
        let TableObject::TableName(name) = &insert.table else {
            return Err(SqlError::new(SqlState::SYNTAX_ERROR, "INSERT needs a table"));
        };
        let table = self.target_table(name, "insert into")?;
        self.check_columns(&table, Access::Insert, std::iter::empty())?;
        self.note_changed(&table);
        let mut target = Entry::of_table(&table);
        if let Some(alias) = &insert.table_alias {
            if !alias.explicit {
                let message = format!("syntax error at or near \"{}\"", alias.alias);
                let error = SqlError::new(SqlState::SYNTAX_ERROR, message);
                return Err(self.at(error, self.ident_position(&alias.alias)));
            }
            target.alias = fold(&alias.alias);
            target.schema = None;
        }
        let (overriding, columns) = overriding(&insert.columns);
        let targets = self.insert_targets(columns, &table)?;
        let source = self.insert_source(insert, &table, overriding, targets.as_deref(), ctes)?;
        let on_conflict = match &insert.on {
            None => BoundOnConflict::Fail,
            Some(on) => self.on_conflict(on, &table, &target, ctes)?,
        };
        let returning = match &insert.returning {
            None => None,
            Some(items) => {
                let (returning, _) = self.returning(items, &table, &target, &[], ctes)?;
                Some(returning)
            }
        };
        Ok(BoundInsert { table, source, on_conflict, returning })
    }

    /// The columns that the statement names, or parts of them.
    fn insert_targets<'n>(
        &self,
        columns: &'n [ast::ObjectName],
        table: &TableInfo,
    ) -> SqlResult<Option<Vec<Target<'n>>>> {
        if columns.is_empty() {
            return Ok(None);
        }
        let mut targets: Vec<Target<'n>> = Vec::with_capacity(columns.len());
        for column in columns {
            let target = self.assignment_target(column, table)?;
            let is_taken = |known: &Target<'_>| {
                known.index == target.index && (known.part.is_none() || target.part.is_none())
            };
            if targets.iter().any(is_taken) {
                let name = &column_at(table, target.index)?.name;
                return Err(self.at(
                    SqlError::new(
                        SqlState::DUPLICATE_COLUMN,
                        format!("column \"{name}\" specified more than once"),
                    ),
                    target.position,
                ));
            }
            targets.push(target);
        }
        Ok(Some(targets))
    }

    fn insert_source(
        &self,
        insert: &Insert,
        table: &Arc<TableInfo>,
        overriding: Overriding,
        targets: Option<&[Target<'_>]>,
        ctes: &Ctes<'_>,
    ) -> SqlResult<LogicalPlan> {
        let plan = match insert.source.as_deref() {
            // DEFAULT VALUES.
            None => self.insert_rows(&[&[]], table, overriding, Some(&[]), ctes)?,
            Some(query) => match plain_values(query) {
                Some(rows) => self.insert_rows(&rows, table, overriding, targets, ctes)?,
                None => self.insert_query(query, table, overriding, targets, ctes)?,
            },
        };
        let values = plan.schema().columns();
        let (plan, _) = self.generate(plan, table, values, Vec::new())?;
        Ok(plan)
    }

    /// `VALUES`, cell by cell, so that DEFAULT can stand in for any.
    fn insert_rows(
        &self,
        rows: &[&[ast::Expr]],
        table: &Arc<TableInfo>,
        overriding: Overriding,
        targets: Option<&[Target<'_>]>,
        ctes: &Ctes<'_>,
    ) -> SqlResult<LogicalPlan> {
        let width = rows.first().map_or(0, |row| row.len());
        let targets = self.targets_for(width, table, targets, |index| {
            rows.first().and_then(|row| row.get(index)).map_or(0, |e| self.start(e))
        })?;
        self.check_columns(table, Access::Insert, targets.iter().map(|target| target.index))?;
        let scope = Scope::default();
        let windows = NamedWindows::default();
        let cx = Context::new(&scope, ctes, &windows, Clause::Values);
        let defaults = self.defaults(table)?;
        let mut bound = Vec::with_capacity(rows.len());
        for row in rows {
            if row.len() != width {
                return Err(self.at(
                    SqlError::new(
                        SqlState::SYNTAX_ERROR,
                        "VALUES lists must all be the same length",
                    ),
                    row.first().map_or(0, |e| self.start(e)),
                ));
            }
            let mut cells = Cells::new(&defaults);
            for (value, target) in row.iter().zip(&targets) {
                if is_default(value) {
                    if target.part.is_some() {
                        return Err(self.at(default_of_part(), target.position));
                    }
                    continue;
                }
                let position = self.start(value);
                let is_ignored = self.check_insertable(table, target.index, overriding)?;
                let typed = self.expr(value, cx)?;
                let cell = self.cell(&cells, typed, table, *target, position, cx)?;
                if !is_ignored {
                    cells.put(*target, cell);
                }
            }
            bound.push(cells.values);
        }
        let types: Vec<PgType> = table.shape.columns.iter().map(|c| c.ty.clone()).collect();
        self.values_plan(bound, &types)
    }

    fn insert_query(
        &self,
        query: &ast::Query,
        table: &Arc<TableInfo>,
        overriding: Overriding,
        targets: Option<&[Target<'_>]>,
        ctes: &Ctes<'_>,
    ) -> SqlResult<LogicalPlan> {
        let rows = self.query_with(query, None, ctes, Unknowns::Keep)?.exact()?;
        let position = self.query_position(query);
        let targets = self.targets_for(rows.columns.len(), table, targets, |_| position)?;
        self.check_columns(table, Access::Insert, targets.iter().map(|target| target.index))?;
        let scope = Scope::default();
        let windows = NamedWindows::default();
        let cx = Context::new(&scope, ctes, &windows, Clause::Values);
        let mut cells = Cells::new(&self.defaults(table)?);
        for (column, target) in rows.columns.iter().zip(&targets) {
            let is_ignored = self.check_insertable(table, target.index, overriding)?;
            let mut value =
                Typed { expr: Expr::Column(column.column.clone()), ty: column.ty.clone() };
            if column.ty == PgType::Unknown {
                let ty = match target.part {
                    Some(_) => self.type_of_part(table, *target, cx)?,
                    None => column_at(table, target.index)?.ty.clone(),
                };
                value = Typed { expr: self.cast_column(value, &ty, &rows.plan)?, ty };
            }
            let cell = self.cell(&cells, value, table, *target, position, cx)?;
            if !is_ignored {
                cells.put(*target, cell);
            }
        }
        let named = cells
            .values
            .into_iter()
            .zip(&table.shape.columns)
            .map(|(cell, column)| cell.alias(self.fresh(&column.name).name))
            .collect();
        plan::project(rows.plan, named)
    }

    /// A value as that of a column, or with it as a part of what the column has so far.
    fn cell(
        &self,
        cells: &Cells,
        value: Typed,
        table: &TableInfo,
        target: Target<'_>,
        position: u32,
        cx: Context<'_>,
    ) -> SqlResult<Expr> {
        if target.part.is_none() {
            return self.assign(value, table, target.index, position);
        }
        let ty = column_at(table, target.index)?.ty.clone();
        let current = match cells.parts.contains(&target.index) {
            true => Typed { expr: cells.values[target.index].clone(), ty },
            false => Typed::null(ty)?,
        };
        self.assign_part(current, value, table, target, position, cx)
    }

    /// The defaults of all columns. Generated ones are NULL until they are computed.
    fn defaults(&self, table: &TableInfo) -> SqlResult<Vec<Expr>> {
        (0..table.shape.columns.len())
            .map(|index| match table.generated.get(index).and_then(Option::as_ref) {
                Some(_) => Ok(Typed::null(column_at(table, index)?.ty.clone())?.expr),
                None => Ok(self.default_value(table, index)?.expr),
            })
            .collect()
    }

    /// Which columns `width` values go to.
    fn targets_for<'n>(
        &self,
        width: usize,
        table: &TableInfo,
        targets: Option<&[Target<'n>]>,
        position: impl Fn(usize) -> u32,
    ) -> SqlResult<Vec<Target<'n>>> {
        let available = targets.map_or(table.shape.columns.len(), <[_]>::len);
        if width > available {
            return Err(self.at(
                SqlError::new(
                    SqlState::SYNTAX_ERROR,
                    "INSERT has more expressions than target columns",
                ),
                position(available),
            ));
        }
        match targets {
            Some(targets) if width < targets.len() => Err(self.at(
                SqlError::new(
                    SqlState::SYNTAX_ERROR,
                    "INSERT has more target columns than expressions",
                ),
                targets[width].position,
            )),
            Some(targets) => Ok(targets.to_vec()),
            None => Ok((0..width).map(Target::whole).collect()),
        }
    }
}

/// The values of a row that is made.
struct Cells {
    values: Vec<Expr>,
    /// Columns of which parts were assigned: they do not begin with their defaults.
    parts: Vec<usize>,
}

impl Cells {
    fn new(defaults: &[Expr]) -> Self {
        Self { values: defaults.to_vec(), parts: Vec::new() }
    }

    fn put(&mut self, target: Target<'_>, value: Expr) {
        self.values[target.index] = value;
        if target.part.is_some() {
            self.parts.push(target.index);
        }
    }
}

/// The rows of a source that is VALUES and nothing else.
fn plain_values(query: &ast::Query) -> Option<Vec<&[ast::Expr]>> {
    let plain = query.with.is_none()
        && query.order_by.is_none()
        && query.limit_clause.is_none()
        && query.fetch.is_none()
        && query.locks.is_empty();
    match query.body.as_ref() {
        SetExpr::Values(values) if plain => {
            Some(values.rows.iter().map(|row| row.content.as_slice()).collect())
        }
        _ => None,
    }
}
