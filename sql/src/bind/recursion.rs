//! Where the recursive term of a WITH query may name that query: in FROM, and in subqueries there,
//! where each row of the step before gives rows of its own. Elsewhere the steps would not end, or
//! not mean what recursion means.

use std::ops::ControlFlow;

use satsuma_common::{SqlError, SqlResult, SqlState};
use sqlparser::ast::{
    self, JoinConstraint, JoinOperator, Select, SetExpr, SetOperator, TableFactor, TableWithJoins,
    Visit, Visitor,
};

use super::names::{self, fold};
use crate::aggregates::is_aggregate;

/// Refuses a recursive term with a reference to `name` where there may be none.
pub(super) fn check(name: &str, term: &SetExpr) -> SqlResult<()> {
    Term { name }.set(term, None)
}

struct Term<'a> {
    name: &'a str,
}

impl Term<'_> {
    fn refuse(&self, place: &str) -> SqlError {
        SqlError::new(
            SqlState::INVALID_RECURSION,
            format!(
                "recursive reference to query \"{}\" must not appear within {place}",
                self.name
            ),
        )
    }

    fn is_it(&self, relation: &ast::ObjectName) -> bool {
        relation.0.len() == 1 && names::last(relation).is_ok_and(|name| name == self.name)
    }

    /// `place`: what the expression is within, if a reference is wrong there.
    fn set(&self, expr: &SetExpr, place: Option<&str>) -> SqlResult<()> {
        match expr {
            SetExpr::Select(select) => self.select(select, place),
            SetExpr::Query(query) => self.query(query, place),
            SetExpr::SetOperation { left, op, right, .. } => {
                self.set(left, place)?;
                let right_place = match op {
                    SetOperator::Except | SetOperator::Minus => place.or(Some("EXCEPT")),
                    SetOperator::Union | SetOperator::Intersect => place,
                };
                self.set(right, right_place)
            }
            _ => Ok(()),
        }
    }

    fn query(&self, query: &ast::Query, place: Option<&str>) -> SqlResult<()> {
        let ctes = query.with.iter().flat_map(|with| &with.cte_tables);
        for cte in ctes {
            if fold(&cte.alias.name) == self.name {
                return Ok(());
            }
            self.query(&cte.query, place)?;
        }
        self.set(&query.body, place)
    }

    fn select(&self, select: &Select, place: Option<&str>) -> SqlResult<()> {
        let mut is_direct = false;
        for table in &select.from {
            is_direct |= self.table(table, place)?;
        }
        let conditions = [&select.selection, &select.having, &select.prewhere];
        let within = select
            .projection
            .iter()
            .try_for_each(|item| self.no_subquery(item))
            .and_then(|()| conditions.into_iter().try_for_each(|it| self.no_subquery(it)))
            .and_then(|()| self.no_subquery(&select.group_by));
        within?;
        if is_direct && (calls_aggregate(&select.projection) || calls_aggregate(&select.having)) {
            return Err(SqlError::new(
                SqlState::INVALID_RECURSION,
                "aggregate functions are not allowed in a recursive query's recursive term",
            ));
        }
        Ok(())
    }

    /// Whether the reference stands here itself, not in a subquery.
    fn table(&self, table: &TableWithJoins, place: Option<&str>) -> SqlResult<bool> {
        let outer = |is_outer: bool| if is_outer { place.or(Some("an outer join")) } else { place };
        // What is joined so far may be given NULLs by any join that follows.
        let nulls_before = table.joins.iter().any(|join| nullable(&join.join_operator).0);
        let mut is_direct = self.factor(&table.relation, outer(nulls_before))?;
        for (at, join) in table.joins.iter().enumerate() {
            let later = table.joins[at + 1..].iter().any(|join| nullable(&join.join_operator).0);
            let own = nullable(&join.join_operator).1;
            is_direct |= self.factor(&join.relation, outer(own || later))?;
            if let Some(condition) = condition(&join.join_operator) {
                self.no_subquery(condition)?;
            }
        }
        Ok(is_direct)
    }

    fn factor(&self, factor: &TableFactor, place: Option<&str>) -> SqlResult<bool> {
        match factor {
            TableFactor::Table { name, .. } if self.is_it(name) => match place {
                Some(place) => Err(self.refuse(place)),
                None => Ok(true),
            },
            TableFactor::Derived { subquery, .. } => self.query(subquery, place).map(|()| false),
            TableFactor::NestedJoin { table_with_joins, .. } => self.table(table_with_joins, place),
            _ => Ok(false),
        }
    }

    fn no_subquery(&self, node: &impl Visit) -> SqlResult<()> {
        let found = ast::visit_relations(node, |relation| match self.is_it(relation) {
            true => ControlFlow::Break(()),
            false => ControlFlow::Continue(()),
        });
        match found {
            ControlFlow::Break(()) => Err(self.refuse("a subquery")),
            ControlFlow::Continue(()) => Ok(()),
        }
    }
}

/// Whether a join gives NULLs for what stands before it, and for what it joins.
fn nullable(join: &JoinOperator) -> (bool, bool) {
    match join {
        JoinOperator::Left(_) | JoinOperator::LeftOuter(_) => (false, true),
        JoinOperator::Right(_) | JoinOperator::RightOuter(_) => (true, false),
        JoinOperator::FullOuter(_) => (true, true),
        _ => (false, false),
    }
}

fn condition(join: &JoinOperator) -> Option<&ast::Expr> {
    match join {
        JoinOperator::Join(JoinConstraint::On(on))
        | JoinOperator::Inner(JoinConstraint::On(on))
        | JoinOperator::Left(JoinConstraint::On(on))
        | JoinOperator::LeftOuter(JoinConstraint::On(on))
        | JoinOperator::Right(JoinConstraint::On(on))
        | JoinOperator::RightOuter(JoinConstraint::On(on))
        | JoinOperator::FullOuter(JoinConstraint::On(on)) => Some(on),
        _ => None,
    }
}

/// Whether an aggregate is called, outside of subqueries and not as a window function.
fn calls_aggregate(node: &impl Visit) -> bool {
    #[derive(Default)]
    struct Calls {
        depth: usize,
    }
    impl Visitor for Calls {
        type Break = ();

        fn pre_visit_query(&mut self, _: &ast::Query) -> ControlFlow<()> {
            self.depth += 1;
            ControlFlow::Continue(())
        }

        fn post_visit_query(&mut self, _: &ast::Query) -> ControlFlow<()> {
            self.depth -= 1;
            ControlFlow::Continue(())
        }

        fn pre_visit_expr(&mut self, expr: &ast::Expr) -> ControlFlow<()> {
            match expr {
                ast::Expr::Function(call)
                    if self.depth == 0
                        && call.over.is_none()
                        && names::last(&call.name).is_ok_and(|name| is_aggregate(&name)) =>
                {
                    ControlFlow::Break(())
                }
                _ => ControlFlow::Continue(()),
            }
        }
    }
    node.visit(&mut Calls::default()).is_break()
}
