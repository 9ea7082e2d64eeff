//! WITH queries that are evaluated once, before the statement that reads them.
//!
//! A reference to a WITH query is planned as the query itself, so that conditions reach into it.
//! That does not do for a query that calls volatile functions and is read twice: both readers
//! shall see the same. Nor for a large one, since queries that each read the one before twice
//! would double the plan every time.

use std::ops::ControlFlow;

use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::logical_expr::LogicalPlan;
use satsuma_common::{SqlError, SqlResult, SqlState};
use sqlparser::ast;

use super::binder::Binder;
use super::cte::Ctes;
use super::names;
use super::plan;
use super::query::Rows;
use super::scope::Scope;
use crate::bound::Bound;
use crate::engine_error::to_sql;

/// A plan of more nodes is large.
const LARGE: usize = 500;
/// Nodes that WITH queries and views may bring into a statement.
const MOST_NODES: usize = 20_000;

impl Binder<'_> {
    /// What references to a WITH query of `within` read: its rows as they are planned, or as they
    /// are kept.
    pub(super) fn kept_where_needed(
        &self,
        rows: Rows,
        name: &str,
        within: &ast::Query,
        outer: Option<&Scope<'_>>,
        ctes: &Ctes<'_>,
    ) -> SqlResult<Rows> {
        if outer.is_some() || ctes.in_recursion() || references(within, name) < 2 {
            return Ok(rows);
        }
        if !plan::is_volatile(&rows.plan)? && nodes(&rows.plan)? < LARGE {
            return Ok(rows);
        }
        let Some(kept) = ctes.calls().filter(|_| self.keeps_queries.get()) else {
            return Ok(rows);
        };
        let query = rows.into_bound()?;
        let number = kept.borrow().len();
        let rows = self.returned(name, number, &query.columns, 0)?;
        kept.borrow_mut().push(Bound::Query(query));
        Ok(rows)
    }

    /// Notes that a reference brings this plan into the statement once more.
    pub(super) fn count_nodes(&self, plan: &LogicalPlan) -> SqlResult<()> {
        let count = self.referenced_nodes.get() + nodes(plan)?;
        self.referenced_nodes.set(count);
        if count > MOST_NODES {
            return Err(SqlError::new(
                SqlState::STATEMENT_TOO_COMPLEX,
                "the statement reads views and WITH queries that are too large together",
            )
            .hint("Store the rows of one that is read several times in a temporary table."));
        }
        Ok(())
    }
}

/// Nodes of the plan, not counting subqueries of expressions.
fn nodes(plan: &LogicalPlan) -> SqlResult<usize> {
    let mut count = 0;
    plan.apply(|_| {
        count += 1;
        Ok(TreeNodeRecursion::Continue)
    })
    .map_err(to_sql)?;
    Ok(count)
}

/// How often a query reads a relation of this name, at most.
fn references(query: &ast::Query, name: &str) -> usize {
    let mut count = 0;
    let _ = ast::visit_relations(query, |relation| {
        count += usize::from(is_named(relation, name));
        ControlFlow::<()>::Continue(())
    });
    count
}

fn is_named(relation: &ast::ObjectName, name: &str) -> bool {
    relation.0.len() == 1 && names::last(relation).is_ok_and(|last| last == name)
}
