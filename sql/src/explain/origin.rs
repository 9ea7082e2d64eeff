//! Which relation a column of a physical plan comes from: there, columns are positions.

use std::sync::Arc;

use datafusion::common::JoinType;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_plan::aggregates::AggregateExec;
use datafusion::physical_plan::filter::FilterExec;
use datafusion::physical_plan::joins::{HashJoinExec, SortMergeJoinExec};
use datafusion::physical_plan::projection::ProjectionExec;
use datafusion::physical_plan::sorts::sort::SortExec;

use super::expression::{expression, readable};
use super::measure::{Plan, seen};
use super::operators::{is_limit, is_plumbing};
use super::printer::Operators;

/// The expression over a plan's rows, with its relation where it is a column of one.
pub(super) fn qualified(expr: &Arc<dyn PhysicalExpr>, plan: &Plan, own: &dyn Operators) -> String {
    match expr.downcast_ref::<Column>() {
        Some(column) => qualified_column(column.name(), column.index(), plan, own),
        None => expression(expr),
    }
}

/// A column of a plan's rows by its position.
pub(super) fn qualified_column(name: &str, at: usize, plan: &Plan, own: &dyn Operators) -> String {
    match origin(plan, at, own).map(|(relation, name)| (relation, readable(&name))) {
        // What was computed elsewhere shows how.
        Some((_, computed)) if computed.contains('(') => computed,
        Some((relation, name)) => format!("{relation}.{name}"),
        None => readable(name),
    }
}

fn origin(plan: &Plan, at: usize, own: &dyn Operators) -> Option<(String, String)> {
    let (plan, _) = seen(plan);
    if let Some(relation) = own.relation(plan) {
        return Some((relation, plan.schema().fields().get(at)?.name().clone()));
    }
    if let Some(projection) = plan.downcast_ref::<ProjectionExec>() {
        return of(&projection.expr().get(at)?.expr, projection.input(), own);
    }
    if let Some(aggregate) = plan.downcast_ref::<AggregateExec>() {
        return of(&aggregate.group_expr().expr().get(at)?.0, aggregate.input(), own);
    }
    if let Some(join) = plan.downcast_ref::<HashJoinExec>() {
        let at = projected(join.projection.as_deref(), at)?;
        return of_join(*join.join_type(), join.left(), join.right(), at, own);
    }
    if let Some(join) = plan.downcast_ref::<SortMergeJoinExec>() {
        return of_join(join.join_type(), join.left(), join.right(), at, own);
    }
    let at = match plan.downcast_ref::<FilterExec>() {
        Some(filter) => projected(filter.projection().as_deref(), at)?,
        None if plan.is::<SortExec>() || is_limit(plan) || is_plumbing(plan.name()) => at,
        None => return None,
    };
    match &plan.children()[..] {
        [child] => origin(child, at, own),
        _ => None,
    }
}

fn of(expr: &Arc<dyn PhysicalExpr>, input: &Plan, own: &dyn Operators) -> Option<(String, String)> {
    origin(input, expr.downcast_ref::<Column>()?.index(), own)
}

fn of_join(
    join: JoinType,
    left: &Plan,
    right: &Plan,
    at: usize,
    own: &dyn Operators,
) -> Option<(String, String)> {
    let both = matches!(join, JoinType::Inner | JoinType::Left | JoinType::Right | JoinType::Full);
    let one_sided = match join {
        JoinType::LeftSemi | JoinType::LeftAnti => Some(left),
        JoinType::RightSemi | JoinType::RightAnti => Some(right),
        _ => None,
    };
    let width = left.schema().fields().len();
    match (one_sided, both) {
        (Some(side), _) => origin(side, at, own),
        (None, true) if at < width => origin(left, at, own),
        (None, true) => origin(right, at - width, own),
        (None, false) => None,
    }
}

fn projected(projection: Option<&[usize]>, at: usize) -> Option<usize> {
    match projection {
        Some(projection) => projection.get(at).copied(),
        None => Some(at),
    }
}
