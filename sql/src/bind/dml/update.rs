//! UPDATE.

use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{Column, JoinType};
use datafusion::logical_expr::{Expr, LogicalPlan};
use satsuma_common::{SqlError, SqlResult, SqlState};
use sqlparser::ast::{self, TableFactor, Update, UpdateTableFromKind};

use super::Binder;
use crate::bind::clause::Clause;
use crate::bind::cte::Ctes;
use crate::bind::expr::Context;
use crate::bind::from::From;
use crate::bind::names::fold;
use crate::bind::plan;
use crate::bind::scope::Scope;
use crate::bind::window::NamedWindows;
use crate::bound::BoundUpdate;
use crate::catalog_view::{Access, TableInfo};
use crate::table::KEY_COLUMN;

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
        self.check_columns(&table, Access::Update, std::iter::empty())?;
        self.note_changed(&table);
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
        let assigned = self.assignments(&update.assignments, &table, &mut values, cx)?;
        self.check_columns(&table, Access::Update, assigned.iter().copied())?;
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
