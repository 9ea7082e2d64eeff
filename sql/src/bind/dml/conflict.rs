//! ON CONFLICT.

use datafusion::logical_expr::Expr;
use satsuma_common::index::IndexShape;
use satsuma_common::{ColumnId, Oid, SqlError, SqlResult, SqlState};
use sqlparser::ast::{ConflictTarget, DoUpdate, OnConflictAction, OnInsert, Spanned};

use super::returning::input_entry;
use super::{Binder, input_column, input_scan};
use crate::bind::clause::Clause;
use crate::bind::cte::Ctes;
use crate::bind::expr::Context;
use crate::bind::names;
use crate::bind::plan;
use crate::bind::scope::{Entry, Scope, ScopeColumn};
use crate::bind::window::NamedWindows;
use crate::bound::BoundOnConflict;
use crate::catalog_view::TableInfo;

/// Stands for the primary key among unique indexes.
const PRIMARY_KEY: Oid = Oid(0);

const EXCLUDED: &str = "excluded";

impl Binder<'_> {
    pub(super) fn on_conflict(
        &self,
        on: &OnInsert,
        table: &TableInfo,
        alias: &str,
        ctes: &Ctes<'_>,
    ) -> SqlResult<BoundOnConflict> {
        let OnInsert::OnConflict(conflict) = on else {
            return Err(SqlError::new(
                SqlState::SYNTAX_ERROR,
                "syntax error at or near \"DUPLICATE\"",
            ));
        };
        let arbiters = match &conflict.conflict_target {
            Some(target) => Some(self.arbiters(target, table)?),
            None => None,
        };
        match &conflict.action {
            OnConflictAction::DoNothing => {
                Ok(BoundOnConflict::DoNothing { arbiters: arbiters.unwrap_or_default() })
            }
            OnConflictAction::DoUpdate(update) => {
                let Some(arbiters) = arbiters else {
                    return Err(SqlError::new(
                        SqlState::SYNTAX_ERROR,
                        "ON CONFLICT DO UPDATE requires inference specification or constraint \
                         name",
                    )
                    .hint("For example, ON CONFLICT (column_name)."));
                };
                let plan = self.do_update(update, table, alias, ctes)?;
                Ok(BoundOnConflict::DoUpdate { arbiters, plan })
            }
        }
    }

    /// The unique indexes that the target names.
    fn arbiters(&self, target: &ConflictTarget, table: &TableInfo) -> SqlResult<Vec<Oid>> {
        let shape = &table.shape;
        match target {
            ConflictTarget::Columns(columns) => {
                let mut ids = Vec::with_capacity(columns.len());
                for column in columns {
                    let index = self.column_index(table, column)?;
                    ids.push(shape.columns[index].id);
                }
                let mut wanted = ids.clone();
                wanted.sort_unstable();
                wanted.dedup();
                let holds = |mut columns: Vec<ColumnId>| {
                    columns.sort_unstable();
                    columns.dedup();
                    columns == wanted
                };
                let unique = shape
                    .indexes
                    .iter()
                    .filter(|index| index.is_plain_unique() && index.columns().is_some_and(holds));
                let key = Some(PRIMARY_KEY)
                    .filter(|_| !shape.primary_key.is_empty() && holds(shape.primary_key.clone()));
                let found: Vec<_> = key.into_iter().chain(unique.map(|index| index.id)).collect();
                if found.is_empty() {
                    return Err(SqlError::new(
                        SqlState::INVALID_COLUMN_REFERENCE,
                        "there is no unique or exclusion constraint matching the ON CONFLICT \
                         specification",
                    ));
                }
                Ok(found)
            }
            ConflictTarget::OnConstraint(name) => {
                let wanted = names::last(name)?;
                if shape.primary_key_name.as_deref() == Some(wanted.as_str()) {
                    return Ok(vec![PRIMARY_KEY]);
                }
                let named = |index: &&IndexShape| index.constraint && index.name == wanted;
                if let Some(index) = shape.indexes.iter().find(named) {
                    return Ok(vec![index.id]);
                }
                Err(self.at(
                    SqlError::new(
                        SqlState::UNDEFINED_OBJECT,
                        format!(
                            "constraint \"{wanted}\" for table \"{}\" does not exist",
                            shape.name
                        ),
                    ),
                    self.position(name.span()),
                ))
            }
        }
    }

    /// The existing row as it shall be. Rows that WHERE refuses are filtered out.
    fn do_update(
        &self,
        update: &DoUpdate,
        table: &TableInfo,
        alias: &str,
        ctes: &Ctes<'_>,
    ) -> SqlResult<datafusion::logical_expr::LogicalPlan> {
        let shape = &table.shape;
        let mut fields: Vec<_> =
            shape.columns.iter().map(|c| (c.name.clone(), c.ty.clone())).collect();
        let mut excluded = Vec::with_capacity(shape.columns.len());
        for column in &shape.columns {
            let name = self.fresh(&format!("{EXCLUDED}.{}", column.name)).name;
            excluded.push(ScopeColumn {
                name: column.name.clone(),
                column: input_column(&name),
                ty: column.ty.clone(),
                origin: None,
                typmod: column.ty.typmod(),
            });
            fields.push((name, column.ty.clone()));
        }
        let existing = input_entry(table, alias);
        let proposed = Entry::new(EXCLUDED, excluded);
        let scope = Scope::new(None, vec![existing, proposed]);
        let windows = NamedWindows::default();
        let cx = Context::new(&scope, ctes, &windows, Clause::Where);
        let mut plan = input_scan(&fields)?;
        if let Some(condition) = &update.selection {
            let condition = self.condition(condition, "WHERE", cx)?;
            plan = self.filter(plan, condition)?;
        }
        let cx = cx.clause(Clause::UpdateSet);
        let mut values: Vec<Expr> =
            shape.columns.iter().map(|c| Expr::Column(input_column(&c.name))).collect();
        let mut assigned: Vec<usize> = Vec::new();
        for assignment in &update.assignments {
            for (index, value) in self.assignment(assignment, table, cx)? {
                if assigned.contains(&index) {
                    return Err(SqlError::new(
                        SqlState::SYNTAX_ERROR,
                        format!(
                            "multiple assignments to same column \"{}\"",
                            shape.columns[index].name
                        ),
                    ));
                }
                assigned.push(index);
                values[index] = value;
            }
        }
        let (plan, values) = self.attach(plan, values)?;
        let mut exprs = Vec::with_capacity(values.len());
        let mut columns = Vec::with_capacity(values.len());
        for (value, column) in values.into_iter().zip(&shape.columns) {
            let fresh = self.fresh(&column.name);
            exprs.push(value.alias(&fresh.name));
            columns.push(fresh);
        }
        let plan = plan::project(plan, exprs)?;
        let (plan, _) = self.generate(plan, table, columns, Vec::new())?;
        Ok(plan)
    }
}
