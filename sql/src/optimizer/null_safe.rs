//! Joins whose keys take NULLs for equal, and conditions that say the same.
//!
//! ```text
//! on l = r (NULL = NULL) if f   <->   if l IS NOT DISTINCT FROM r AND f
//! ```

use datafusion::common::tree_node::Transformed;
use datafusion::common::{DFSchema, NullEquality, Result};
use datafusion::logical_expr::utils::{
    can_hash, conjunction, find_valid_equijoin_key_pair, split_conjunction, split_conjunction_owned,
};
use datafusion::logical_expr::{BinaryExpr, Expr, ExprSchemable, Join, LogicalPlan, Operator};
use datafusion::optimizer::{ApplyOrder, OptimizerConfig, OptimizerRule};

/// Keys to conditions.
#[derive(Debug)]
pub(super) struct NullSafeConditions;

impl OptimizerRule for NullSafeConditions {
    fn name(&self) -> &str {
        "null_safe_conditions"
    }

    fn apply_order(&self) -> Option<ApplyOrder> {
        Some(ApplyOrder::BottomUp)
    }

    fn rewrite(
        &self,
        plan: LogicalPlan,
        _config: &dyn OptimizerConfig,
    ) -> Result<Transformed<LogicalPlan>> {
        let LogicalPlan::Join(mut join) = plan else { return Ok(Transformed::no(plan)) };
        if join.null_equality == NullEquality::NullEqualsNothing {
            return Ok(Transformed::no(LogicalPlan::Join(join)));
        }
        let conditions = join.filter.iter().flat_map(split_conjunction).cloned();
        let equalities: Vec<Expr> = conditions.collect();
        // A key that the condition has as an equality was only there to be hashed.
        let tests = join.on.drain(..).filter(|(left, right)| {
            !equalities.contains(&compare(left, Operator::Eq, right))
                && !equalities.contains(&compare(right, Operator::Eq, left))
        });
        let tests: Vec<Expr> = tests
            .map(|(left, right)| compare(&left, Operator::IsNotDistinctFrom, &right))
            .collect();
        let filter = conjunction(tests.into_iter().chain(equalities));
        let null_equality = NullEquality::NullEqualsNothing;
        Ok(Transformed::yes(LogicalPlan::Join(Join { filter, null_equality, ..join })))
    }
}

/// Conditions to keys, where there are any. Equalities are keys beside them, but keep their place
/// in the condition, which does not take NULLs for equal.
#[derive(Debug)]
pub(super) struct NullSafeKeys;

impl OptimizerRule for NullSafeKeys {
    fn name(&self) -> &str {
        "null_safe_keys"
    }

    fn apply_order(&self) -> Option<ApplyOrder> {
        Some(ApplyOrder::BottomUp)
    }

    fn rewrite(
        &self,
        plan: LogicalPlan,
        _config: &dyn OptimizerConfig,
    ) -> Result<Transformed<LogicalPlan>> {
        let LogicalPlan::Join(mut join) = plan else { return Ok(Transformed::no(plan)) };
        if join.null_equality == NullEquality::NullEqualsNull || join.null_aware {
            return Ok(Transformed::no(LogicalPlan::Join(join)));
        }
        let Some(filter) = join.filter.take() else {
            return Ok(Transformed::no(LogicalPlan::Join(join)));
        };
        let operator = Operator::IsNotDistinctFrom;
        let (mut keys, rest) =
            split_keys(filter, operator, join.left.schema(), join.right.schema())?;
        if keys.is_empty() {
            return Ok(Transformed::no(LogicalPlan::Join(Join { filter: rest, ..join })));
        }
        let equalities: Vec<Expr> =
            join.on.iter().map(|(left, right)| compare(left, Operator::Eq, right)).collect();
        keys.append(&mut join.on);
        Ok(Transformed::yes(LogicalPlan::Join(Join {
            on: keys,
            filter: conjunction(equalities.into_iter().chain(rest)),
            null_equality: NullEquality::NullEqualsNull,
            ..join
        })))
    }
}

/// The comparisons of a condition that relate one side to the other by `operator`, and the rest.
pub(super) fn split_keys(
    condition: Expr,
    operator: Operator,
    left: &DFSchema,
    right: &DFSchema,
) -> Result<(Vec<(Expr, Expr)>, Option<Expr>)> {
    let (mut keys, mut rest) = (Vec::new(), Vec::new());
    for test in split_conjunction_owned(condition) {
        let pair = match &test {
            Expr::BinaryExpr(comparison) if comparison.op == operator => {
                find_valid_equijoin_key_pair(&comparison.left, &comparison.right, left, right)?
            }
            _ => None,
        };
        match pair {
            Some((l, r)) if can_hash(&l.get_type(left)?) && can_hash(&r.get_type(right)?) => {
                keys.push((l, r));
            }
            _ => rest.push(test),
        }
    }
    Ok((keys, conjunction(rest)))
}

fn compare(left: &Expr, operator: Operator, right: &Expr) -> Expr {
    Expr::BinaryExpr(BinaryExpr::new(Box::new(left.clone()), operator, Box::new(right.clone())))
}
