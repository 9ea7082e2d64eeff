//! `ON a.x = b.y` as keys of a join.

use datafusion::common::tree_node::Transformed;
use datafusion::common::{NullEquality, Result};
use datafusion::logical_expr::{Join, LogicalPlan, Operator};
use datafusion::optimizer::{ApplyOrder, OptimizerConfig, OptimizerRule};

use super::null_safe::split_keys;

/// Stands in for DataFusion's `extract_equijoin_predicate`, which adds equalities to keys that
/// take NULLs for equal.
#[derive(Debug)]
pub(super) struct EqualityKeys;

impl OptimizerRule for EqualityKeys {
    fn name(&self) -> &str {
        "equality_keys"
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
        if join.null_equality == NullEquality::NullEqualsNull {
            return Ok(Transformed::no(LogicalPlan::Join(join)));
        }
        let Some(filter) = join.filter.take() else {
            return Ok(Transformed::no(LogicalPlan::Join(join)));
        };
        let (keys, filter) =
            split_keys(filter, Operator::Eq, join.left.schema(), join.right.schema())?;
        let found = !keys.is_empty();
        let on = join.on.into_iter().chain(keys).collect();
        let join = LogicalPlan::Join(Join { on, filter, ..join });
        Ok(if found { Transformed::yes(join) } else { Transformed::no(join) })
    }
}
