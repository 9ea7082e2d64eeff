//! The order of inner joins.
//!
//! A tree of inner joins is a set of inputs and of equalities between them, which can be joined in
//! any order. The pair whose join costs least, in bytes of its result and of what must travel for
//! it, comes first; the result takes the pair's place, and so on (greedy operator ordering, as
//! Fegaras described it in 1998). That is done only where ANALYZE has seen the columns that are
//! joined by: without it, the order of FROM is the better guess.

use datafusion::common::{Column, NullEquality};
use datafusion::logical_expr::{Expr, Join, JoinConstraint, JoinType, LogicalPlan};
use satsuma_common::SqlResult;
use satsuma_sql::engine_error::to_sql;

use super::distribute::Placed;

/// Most inputs that are put in order; pairs are looked at again and again.
const MOST_INPUTS: usize = 16;

/// The inputs of a tree of joins, from left to right, and what they are joined by.
#[derive(Default)]
pub(super) struct Tree {
    pub inputs: Vec<LogicalPlan>,
    pub equalities: Vec<(Expr, Expr)>,
}

impl Tree {
    pub fn of(plan: &LogicalPlan) -> Self {
        let mut tree = Self::default();
        tree.take(plan);
        tree
    }

    fn take(&mut self, plan: &LogicalPlan) {
        match plan {
            LogicalPlan::Join(join) if is_plain(join) => {
                self.take(&join.left);
                self.take(&join.right);
                self.equalities.extend(join.on.iter().cloned());
            }
            LogicalPlan::Projection(node) if is_within(plan) => self.take(&node.input),
            _ => self.inputs.push(plan.clone()),
        }
    }
}

/// Whether a node is part of a tree, not an input of it.
pub(super) fn is_within(plan: &LogicalPlan) -> bool {
    match plan {
        LogicalPlan::Join(join) => is_plain(join),
        // Between joins, columns that nobody needs are left out.
        LogicalPlan::Projection(node) => {
            let same = |expr: &Expr, (qualifier, field): (Option<_>, &_)| match expr {
                Expr::Column(column) => {
                    column.relation.as_ref() == qualifier && column.name == *field
                }
                _ => false,
            };
            let names = node.schema.iter().map(|(qualifier, field)| (qualifier, field.name()));
            is_within(&node.input)
                && node.expr.iter().zip(names).all(|(expr, name)| same(expr, name))
        }
        _ => false,
    }
}

fn is_plain(join: &Join) -> bool {
    join.join_type == JoinType::Inner
        && join.filter.is_none()
        && !join.on.is_empty()
        && join.null_equality == NullEquality::NullEqualsNothing
}

/// Whether the tree can be put in order: there is a choice, and it is an informed one.
pub(super) fn is_open(inputs: &[Placed], equalities: &[(Expr, Expr)]) -> bool {
    let is_known = |expr: &Expr| {
        let holder = inputs.iter().find(|input| has(input, expr));
        holder.is_some_and(|input| input.size.columns.distinct(expr, input.size.rows).is_some())
    };
    (3..=MOST_INPUTS).contains(&inputs.len())
        && equalities.iter().all(|(left, right)| is_known(left) && is_known(right))
}

fn has(input: &Placed, expr: &Expr) -> bool {
    let schema = input.plan.schema();
    expr.column_refs().into_iter().all(|column| schema.has_column(column))
}

/// The join of two inputs by the equalities between them, if there are any.
pub(super) fn joined(
    left: &Placed,
    right: &Placed,
    equalities: &[(Expr, Expr)],
) -> SqlResult<Option<Join>> {
    let between = equalities.iter().filter_map(|(a, b)| {
        if has(left, a) && has(right, b) {
            Some((a.clone(), b.clone()))
        } else if has(left, b) && has(right, a) {
            Some((b.clone(), a.clone()))
        } else {
            None
        }
    });
    let on: Vec<_> = between.collect();
    if on.is_empty() {
        return Ok(None);
    }
    let (left, right) = (left.plan.clone().into(), right.plan.clone().into());
    let join = Join::try_new(
        left,
        right,
        on,
        None,
        JoinType::Inner,
        JoinConstraint::On,
        NullEquality::NullEqualsNothing,
        false,
    );
    join.map(Some).map_err(to_sql)
}

/// Whether two equalities are one, whichever side is left.
pub(super) fn is_same(one: &(Expr, Expr), other: &(Expr, Expr)) -> bool {
    one == other || (one.0 == other.1 && one.1 == other.0)
}

/// Columns of `plan` that are still needed: by what is above, or by equalities to come.
pub(super) fn needed(
    plan: &LogicalPlan,
    above: &[Column],
    to_come: &[(Expr, Expr)],
) -> Vec<Column> {
    let joined_by = |column: &Column| {
        let mut sides = to_come.iter().flat_map(|(left, right)| [left, right]);
        sides.any(|side| side.column_refs().contains(column))
    };
    let columns = plan.schema().columns().into_iter();
    columns.filter(|column| above.contains(column) || joined_by(column)).collect()
}
