//! Joins of the engine.

use std::sync::Arc;

use datafusion::common::JoinType;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_plan::joins::{HashJoinExec, NestedLoopJoinExec, SortMergeJoinExec};

use super::expression::{conjunction, expression};
use super::measure::Plan;
use super::origin::qualified;
use super::printer::{Inputs, Operator, Operators};

type Expr = Arc<dyn PhysicalExpr>;

pub(super) fn describe(plan: &Plan, own: &dyn Operators) -> Option<Operator> {
    let pairs = |on: &[(Expr, Expr)], left, right| -> Vec<_> {
        let side = |key, plan| qualified(key, plan, own);
        on.iter().map(|(one, other)| (side(one, left), side(other, right))).collect()
    };
    let mut properties = Vec::new();
    if let Some(join) = plan.downcast_ref::<HashJoinExec>() {
        let keys = pairs(join.on(), join.left(), join.right()).into_iter();
        let keys: Vec<_> = keys.map(|(left, right)| format!("({right} = {left})")).collect();
        properties.push(format!("Hash Cond: {}", conjunction(&keys)));
        properties.extend(join.filter().map(|filter| join_filter(filter.expression())));
        let title = format!("Hash {}", words(*join.join_type()));
        return Some(Operator { title, properties, inputs: Inputs::Hashed, ..Operator::default() });
    }
    let title = if let Some(join) = plan.downcast_ref::<SortMergeJoinExec>() {
        let keys = pairs(join.on(), join.left(), join.right()).into_iter();
        let keys: Vec<_> = keys.map(|(left, right)| format!("({left} = {right})")).collect();
        properties.push(format!("Merge Cond: {}", conjunction(&keys)));
        properties.extend(join.filter().as_ref().map(|filter| join_filter(filter.expression())));
        format!("Merge {}", words(join.join_type()))
    } else {
        let join = plan.downcast_ref::<NestedLoopJoinExec>()?;
        properties.extend(join.filter().map(|filter| join_filter(filter.expression())));
        match words(*join.join_type()).strip_suffix(" Join") {
            Some(kind) => format!("Nested Loop {kind} Join"),
            None => "Nested Loop".into(),
        }
    };
    Some(Operator { title, properties, ..Operator::default() })
}

fn join_filter(filter: &Expr) -> String {
    format!("Join Filter: {}", expression(filter))
}

fn words(join: JoinType) -> &'static str {
    match join {
        JoinType::Inner => "Join",
        JoinType::Left => "Left Join",
        JoinType::Right => "Right Join",
        JoinType::Full => "Full Join",
        JoinType::LeftSemi | JoinType::RightSemi => "Semi Join",
        JoinType::LeftAnti | JoinType::RightAnti => "Anti Join",
        JoinType::LeftMark | JoinType::RightMark => "Mark Join",
    }
}
