//! Where a WITH query names itself. The recursive term may do so in FROM, and in subqueries there,
//! where each row of the step before gives rows of its own. Elsewhere the steps would not end, or
//! not mean what recursion means.

use std::ops::ControlFlow;

use satsuma_common::{SqlError, SqlResult, SqlState};
use sqlparser::ast::{
    self, JoinConstraint, JoinOperator, Select, SetExpr, SetOperator, SetQuantifier, TableFactor,
    TableWithJoins, Visit, Visitor,
};

use super::names::{self, fold};
use super::row_locks;
use crate::aggregates::is_aggregate;

const SUBQUERY: &str = "a subquery";

/// Whether a query reads the WITH query of this name: not a table of a schema, nor what a WITH
/// within the query calls so.
pub(super) fn mentions(query: &ast::Query, name: &str) -> bool {
    let mut references = References::to(name);
    references.query(query, None);
    !references.found.is_empty()
}

/// Refuses the terms of a recursive query where they name it wrongly.
pub(super) fn check(
    name: &str,
    query: &ast::Query,
    first: &SetExpr,
    step: &SetExpr,
) -> SqlResult<()> {
    let mut wrong = References::to(name);
    for cte in query.with.iter().flat_map(|with| &with.cte_tables) {
        wrong.query(&cte.query, Some(SUBQUERY));
    }
    wrong.set(first, Some("its non-recursive term"));
    let mut references = References::to(name);
    references.set(step, None);
    let refuse = |what: &str| {
        let message = format!("recursive reference to query \"{name}\" must not appear {what}");
        SqlError::new(SqlState::INVALID_RECURSION, message)
    };
    let mut places = wrong.found.iter().chain(&references.found);
    if let Some(place) = places.find_map(|place| *place) {
        return Err(refuse(&format!("within {place}")));
    }
    if references.found.len() > 1 {
        return Err(refuse("more than once"));
    }
    if references.in_aggregate {
        return Err(SqlError::new(
            SqlState::INVALID_RECURSION,
            "aggregate functions are not allowed in a recursive query's recursive term",
        ));
    }
    refuse_decoration(query)?;
    row_locks::refuse_in_operand(step)
}

/// What follows the UNION would be of rows that are not there yet.
fn refuse_decoration(query: &ast::Query) -> SqlResult<()> {
    let (limit, offset) = match &query.limit_clause {
        None => (false, false),
        Some(ast::LimitClause::LimitOffset { limit, offset, .. }) => {
            (limit.is_some(), offset.is_some())
        }
        Some(ast::LimitClause::OffsetCommaLimit { .. }) => (true, true),
    };
    let clauses = [
        (query.order_by.is_some(), "ORDER BY"),
        (offset, "OFFSET"),
        (limit || query.fetch.is_some(), "LIMIT"),
        (!query.locks.is_empty(), "FOR UPDATE/SHARE"),
    ];
    match clauses.iter().find(|(is_there, _)| *is_there) {
        None => Ok(()),
        Some((_, clause)) => {
            Err(SqlError::unsupported(format!("{clause} in a recursive query is not implemented")))
        }
    }
}

/// References to a WITH query, each with what it is within if there may be none.
struct References<'a> {
    name: &'a str,
    found: Vec<Option<&'static str>>,
    /// One is read by a SELECT that aggregates.
    in_aggregate: bool,
}

impl<'a> References<'a> {
    fn to(name: &'a str) -> Self {
        Self { name, found: Vec::new(), in_aggregate: false }
    }

    fn is_it(&self, relation: &ast::ObjectName) -> bool {
        relation.0.len() == 1 && names::last(relation).is_ok_and(|name| name == self.name)
    }

    /// `place`: what the expression is within, if a reference is wrong there.
    fn set(&mut self, expr: &SetExpr, place: Option<&'static str>) {
        match expr {
            SetExpr::Select(select) => self.select(select, place),
            SetExpr::Query(query) => self.query(query, place),
            SetExpr::SetOperation { left, op, set_quantifier, right } => {
                let all = matches!(set_quantifier, SetQuantifier::All);
                let (left_place, right_place) = match op {
                    SetOperator::Union => (place, place),
                    SetOperator::Intersect if all => {
                        let within = place.or(Some("INTERSECT"));
                        (within, within)
                    }
                    SetOperator::Intersect => (place, place),
                    SetOperator::Except | SetOperator::Minus => {
                        let within = place.or(Some("EXCEPT"));
                        (if all { within } else { place }, within)
                    }
                };
                self.set(left, left_place);
                self.set(right, right_place);
            }
            SetExpr::Insert(change)
            | SetExpr::Update(change)
            | SetExpr::Delete(change)
            | SetExpr::Merge(change) => {
                let _ = ast::visit_relations(change, |relation| {
                    if self.is_it(relation) {
                        self.found.push(place);
                    }
                    ControlFlow::<()>::Continue(())
                });
            }
            SetExpr::Values(values) => self.expressions(values),
            SetExpr::Table(table) => {
                let name = table.table_name.as_deref().filter(|_| table.schema_name.is_none());
                if name == Some(self.name) {
                    self.found.push(place);
                }
            }
        }
    }

    fn query(&mut self, query: &ast::Query, place: Option<&'static str>) {
        if let Some(with) = &query.with {
            let hides = |cte: &ast::Cte| fold(&cte.alias.name) == self.name;
            if with.recursive && with.cte_tables.iter().any(hides) {
                return;
            }
            for cte in &with.cte_tables {
                self.query(&cte.query, place);
                if fold(&cte.alias.name) == self.name {
                    return;
                }
            }
        }
        self.set(&query.body, place);
        self.expressions(&query.order_by);
        self.expressions(&query.limit_clause);
        self.expressions(&query.fetch);
    }

    fn select(&mut self, select: &Select, place: Option<&'static str>) {
        let mut is_direct = false;
        for table in &select.from {
            is_direct |= self.table(table, place);
        }
        self.expressions(&select.distinct);
        self.expressions(&select.projection);
        self.expressions(&select.selection);
        self.expressions(&select.group_by);
        self.expressions(&select.having);
        self.expressions(&select.named_window);
        self.in_aggregate |=
            is_direct && (calls_aggregate(&select.projection) || calls_aggregate(&select.having));
    }

    /// Whether a reference stands here itself, not in a subquery.
    fn table(&mut self, table: &TableWithJoins, place: Option<&'static str>) -> bool {
        let outer = |is_outer: bool| if is_outer { place.or(Some("an outer join")) } else { place };
        // What is joined so far may be given NULLs by any join that follows.
        let nulls_before = table.joins.iter().any(|join| nullable(&join.join_operator).0);
        let mut is_direct = self.factor(&table.relation, outer(nulls_before));
        for (at, join) in table.joins.iter().enumerate() {
            let later = table.joins[at + 1..].iter().any(|join| nullable(&join.join_operator).0);
            let own = nullable(&join.join_operator).1;
            is_direct |= self.factor(&join.relation, outer(own || later));
            if let Some(condition) = condition(&join.join_operator) {
                self.expressions(condition);
            }
        }
        is_direct
    }

    fn factor(&mut self, factor: &TableFactor, place: Option<&'static str>) -> bool {
        match factor {
            TableFactor::Derived { subquery, .. } => {
                self.query(subquery, place);
                false
            }
            TableFactor::NestedJoin { table_with_joins, .. } => self.table(table_with_joins, place),
            TableFactor::Table { name, args, sample, .. } => {
                let is_it = args.is_none() && self.is_it(name);
                if is_it {
                    self.found.push(place);
                }
                self.expressions(args);
                self.expressions(sample);
                is_it
            }
            function => {
                self.expressions(function);
                false
            }
        }
    }

    /// Subqueries of expressions.
    fn expressions(&mut self, node: &impl Visit) {
        struct Outermost<'r, 'a> {
            references: &'r mut References<'a>,
            depth: usize,
        }
        impl Visitor for Outermost<'_, '_> {
            type Break = ();

            fn pre_visit_query(&mut self, query: &ast::Query) -> ControlFlow<()> {
                if self.depth == 0 {
                    self.references.query(query, Some(SUBQUERY));
                }
                self.depth += 1;
                ControlFlow::Continue(())
            }

            fn post_visit_query(&mut self, _: &ast::Query) -> ControlFlow<()> {
                self.depth -= 1;
                ControlFlow::Continue(())
            }
        }
        let _ = node.visit(&mut Outermost { references: self, depth: 0 });
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
