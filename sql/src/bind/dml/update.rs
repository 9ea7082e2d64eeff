//! UPDATE.

use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{Column, JoinType};
use datafusion::logical_expr::{Expr, LogicalPlan};
use satsuma_common::{SqlError, SqlResult, SqlState};
use sqlparser::ast::{
    self, Assignment, AssignmentTarget, TableFactor, Update, UpdateTableFromKind,
};

use super::{Binder, is_default};
use crate::bind::clause::Clause;
use crate::bind::cte::Ctes;
use crate::bind::expr::{Context, row};
use crate::bind::from::From;
use crate::bind::names::{self, fold};
use crate::bind::plan;
use crate::bind::scope::Scope;
use crate::bind::window::NamedWindows;
use crate::bound::BoundUpdate;
use crate::catalog_view::{Access, TableInfo};
use crate::functions::Typed;
use crate::table::KEY_COLUMN;

/// Whether a new value is worked out from columns. DEFAULT is none.
fn names_a_column(value: &ast::Expr) -> bool {
    !is_default(value)
        && ast::visit_expressions(value, |expr| match expr {
            ast::Expr::Identifier(_) | ast::Expr::CompoundIdentifier(_) => {
                std::ops::ControlFlow::Break(())
            }
            _ => std::ops::ControlFlow::Continue(()),
        })
        .is_break()
}

impl Binder<'_> {
    pub fn update(&self, update: &Update, ctes: &Ctes<'_>) -> SqlResult<BoundUpdate> {
        if update.output.is_some()
            || update.or.is_some()
            || !update.order_by.is_empty()
            || update.limit.is_some()
            || !update.table.joins.is_empty()
        {
            return Err(SqlError::new(
                SqlState::SYNTAX_ERROR,
                "syntax error in UPDATE: a clause that PostgreSQL does not have",
            ));
        }
        let (table, from) = self.target(&update.table.relation, "update")?;
        self.check_access(&table, Access::Update)?;
        let reads = update.selection.is_some()
            || update.from.is_some()
            || update.returning.is_some()
            || update.assignments.iter().any(|assignment| names_a_column(&assignment.value));
        if reads {
            self.check_access(&table, Access::Select)?;
        }
        let from_tables = match &update.from {
            None => &[][..],
            Some(UpdateTableFromKind::AfterSet(tables)) => tables.as_slice(),
            Some(UpdateTableFromKind::BeforeSet(_)) => {
                return Err(SqlError::new(
                    SqlState::SYNTAX_ERROR,
                    "syntax error in UPDATE: FROM stands after SET",
                ));
            }
        };
        let (mut plan, scope) = self.with_sources(from, from_tables, ctes)?;
        let windows = NamedWindows::default();
        let cx = Context::new(&scope, ctes, &windows, Clause::Where);
        if let Some(condition) = &update.selection {
            let condition = self.qualification(condition, "WHERE", cx)?;
            plan = self.filter(plan, condition)?;
        }
        let target = &scope.entries[0];
        let key = key_of(target)?;
        if !from_tables.is_empty() {
            plan = self.first_per_row(plan, &table, target, &key)?;
        }

        let cx = cx.clause(Clause::UpdateSet);
        let mut values: Vec<Expr> =
            target.columns.iter().map(|c| Expr::Column(c.column.clone())).collect();
        let mut assigned: Vec<usize> = Vec::new();
        for assignment in &update.assignments {
            for (index, value) in self.assignment(assignment, &table, cx)? {
                if assigned.contains(&index) {
                    return Err(SqlError::new(
                        SqlState::SYNTAX_ERROR,
                        format!(
                            "multiple assignments to same column \"{}\"",
                            table.shape.columns[index].name
                        ),
                    ));
                }
                assigned.push(index);
                values[index] = value;
            }
        }
        let (returning, extras) = match &update.returning {
            None => (None, Vec::new()),
            Some(items) => {
                let (returning, extras) =
                    self.returning(items, &table, target, &scope.entries[1..], ctes)?;
                (Some(returning), extras)
            }
        };
        let (plan, values) = self.attach(plan, values)?;
        let mut exprs = vec![Expr::Column(key.clone())];
        let mut columns = Vec::with_capacity(values.len());
        for (value, column) in values.into_iter().zip(&table.shape.columns) {
            let fresh = self.fresh(&column.name);
            exprs.push(value.alias(&fresh.name));
            columns.push(fresh);
        }
        let locator = match distribution_column(&table, target) {
            Some((id, column)) => {
                let moves = assigned.iter().any(|index| table.shape.columns[*index].id == id);
                (moves || reads_others(&plan)?).then_some(column)
            }
            None => None,
        };
        // What follows the table's columns.
        let mut extras = extras;
        if let Some(column) = &locator {
            let fresh = self.fresh("located");
            exprs.extend(extras.iter().cloned().map(Expr::Column));
            exprs.push(Expr::Column(column.clone()).alias(&fresh.name));
            extras.push(fresh);
        } else {
            exprs.extend(extras.iter().cloned().map(Expr::Column));
        }
        let plan = plan::project(plan, exprs)?;
        let mut keep = vec![key.clone()];
        keep.extend(extras.iter().cloned());
        let generated = table.generated.iter().any(Option::is_some);
        let (mut plan, columns) = self.generate(plan, &table, columns, keep)?;
        if generated {
            let mut exprs = vec![Expr::Column(key)];
            exprs.extend(columns.into_iter().chain(extras).map(Expr::Column));
            plan = plan::project(plan, exprs)?;
        }
        let assigned = assigned.into_iter().map(|index| table.shape.columns[index].id).collect();
        let (source, located) = match locator {
            Some(_) => (without_last(&plan)?, Some(plan)),
            None => (plan, None),
        };
        Ok(BoundUpdate { table, source, located, assigned, returning })
    }

    /// The table that is changed, as the first entry of the statement's names.
    pub(super) fn target(
        &self,
        factor: &TableFactor,
        verb: &str,
    ) -> SqlResult<(std::sync::Arc<TableInfo>, From)> {
        let TableFactor::Table { name, alias, args: None, sample: None, .. } = factor else {
            return Err(self.not_postgresql(factor));
        };
        let table = self.target_table(name, verb)?;
        let mut from = self.scan_table(&table)?;
        if let (Some(alias), Some(entry)) = (alias, from.entries.first_mut()) {
            if !alias.columns.is_empty() {
                return Err(self.not_postgresql(alias));
            }
            entry.alias = fold(&alias.name);
            entry.schema = None;
        }
        Ok((table, from))
    }

    /// The target joined with FROM's or USING's items.
    pub(super) fn with_sources(
        &self,
        target: From,
        tables: &[ast::TableWithJoins],
        ctes: &Ctes<'_>,
    ) -> SqlResult<(datafusion::logical_expr::LogicalPlan, Scope<'static>)> {
        if tables.is_empty() {
            return Ok((target.plan, Scope::new(None, target.entries)));
        }
        let sources = self.from(tables, None, ctes)?;
        self.check_aliases(&target.entries, &sources.entries)?;
        let plan = self.dependent_join(target.plan, sources.plan, JoinType::Inner, None)?;
        let mut entries = target.entries;
        entries.extend(sources.entries);
        Ok((plan, Scope::new(None, entries)))
    }

    /// `column = value`, or `(a, b) = (..)`.
    pub(super) fn assignment(
        &self,
        assignment: &Assignment,
        table: &TableInfo,
        cx: Context<'_>,
    ) -> SqlResult<Vec<(usize, Expr)>> {
        match &assignment.target {
            AssignmentTarget::ColumnName(name) => {
                let index = self.assigned_column(name, table)?;
                Ok(vec![(index, self.assigned_value(&assignment.value, table, index, cx)?)])
            }
            AssignmentTarget::Tuple(names) => {
                let indexes = names
                    .iter()
                    .map(|name| self.assigned_column(name, table))
                    .collect::<SqlResult<Vec<_>>>()?;
                self.assign_row(&indexes, &assignment.value, table, cx)
            }
        }
    }

    fn assign_row(
        &self,
        indexes: &[usize],
        value: &ast::Expr,
        table: &TableInfo,
        cx: Context<'_>,
    ) -> SqlResult<Vec<(usize, Expr)>> {
        let position = self.start(value);
        let mismatch = || {
            self.at(
                SqlError::new(
                    SqlState::SYNTAX_ERROR,
                    "number of columns does not match number of values",
                ),
                position,
            )
        };
        if let ast::Expr::Subquery(query) = value {
            let rows = self.query(query, Some(cx.scope), cx.ctes)?.exact()?;
            if rows.columns.len() != indexes.len() {
                return Err(mismatch());
            }
            return indexes
                .iter()
                .zip(&rows.columns)
                .map(|(index, column)| {
                    let one = vec![Expr::Column(column.column.clone())];
                    let one = plan::project(rows.plan.clone(), one)?;
                    let value = Typed {
                        expr: Expr::ScalarSubquery(crate::bind::subquery::subquery(one)),
                        ty: column.ty.clone(),
                    };
                    Ok((*index, self.assign(value, table, *index, position)?))
                })
                .collect();
        }
        let call_args: Vec<ast::Expr>;
        let fields = match (row(value), value) {
            (Some(fields), _) => fields,
            (None, ast::Expr::Function(call)) if names::last(&call.name)? == "row" => {
                call_args =
                    self.arguments(call)?.values.into_iter().map(|arg| arg.into_owned()).collect();
                call_args.as_slice()
            }
            (None, other) if indexes.len() == 1 => std::slice::from_ref(other),
            _ => {
                return Err(self.at(
                    SqlError::unsupported(
                        "source for a multiple-column UPDATE item must be a sub-SELECT or ROW() \
                         expression",
                    ),
                    position,
                ));
            }
        };
        if fields.len() != indexes.len() {
            return Err(mismatch());
        }
        indexes
            .iter()
            .zip(fields)
            .map(|(index, field)| Ok((*index, self.assigned_value(field, table, *index, cx)?)))
            .collect()
    }

    fn assigned_column(&self, name: &ast::ObjectName, table: &TableInfo) -> SqlResult<usize> {
        let parts = names::parts(name)?;
        match parts.as_slice() {
            [ident] => self.column_index(table, ident),
            [first, ..] => {
                let error = self.column_index(table, first).err().unwrap_or_else(|| {
                    SqlError::unsupported(format!("cannot assign to field of column \"{first}\""))
                });
                Err(error)
            }
            [] => Err(SqlError::internal("assignment without a target")),
        }
    }

    fn assigned_value(
        &self,
        value: &ast::Expr,
        table: &TableInfo,
        index: usize,
        cx: Context<'_>,
    ) -> SqlResult<Expr> {
        if is_default(value) {
            if table.generated.get(index).is_some_and(Option::is_some) {
                return Ok(Typed::null(table.shape.columns[index].ty.clone())?.expr);
            }
            return Ok(self.default_value(table, index)?.expr);
        }
        self.check_writable(table, index, false)?;
        let typed = self.expr(value, cx)?;
        self.assign(typed, table, index, self.start(value))
    }
}

/// The target's distribution column, where it has one.
pub(super) fn distribution_column(
    table: &TableInfo,
    target: &crate::bind::scope::Entry,
) -> Option<(satsuma_common::ColumnId, Column)> {
    let crate::catalog_view::Distribution::Hash(id) = table.distribution else { return None };
    let index = table.shape.position(id)?;
    target.columns.get(index).map(|column| (id, column.column.clone()))
}

/// Whether a plan reads more than the one table that is changed.
pub(super) fn reads_others(plan: &LogicalPlan) -> SqlResult<bool> {
    let mut scans = 0;
    plan::df(plan.apply_with_subqueries(|node| {
        scans += usize::from(matches!(node, LogicalPlan::TableScan(_)));
        Ok(TreeNodeRecursion::Continue)
    }))?;
    Ok(scans > 1)
}

/// The plan without its last column.
pub(super) fn without_last(plan: &LogicalPlan) -> SqlResult<LogicalPlan> {
    let mut columns = plan.schema().columns();
    columns.pop();
    plan::project(plan.clone(), columns.into_iter().map(Expr::Column).collect())
}

/// The hidden key of a scanned table.
pub(super) fn key_of(target: &crate::bind::scope::Entry) -> SqlResult<Column> {
    let relation = target.columns.first().and_then(|column| column.column.relation.clone());
    match relation {
        Some(relation) => Ok(Column::new(Some(relation), KEY_COLUMN)),
        None => Err(SqlError::unsupported("a table without columns cannot be changed")),
    }
}
