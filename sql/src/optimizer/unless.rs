//! A rule that is kept off plans for which it is wrong.

use datafusion::common::Result;
use datafusion::common::tree_node::Transformed;
use datafusion::logical_expr::LogicalPlan;
use datafusion::optimizer::{ApplyOrder, OptimizerConfig, OptimizerRule};

use super::Rule;

/// Applies a rule to all nodes but those that `wrong_for` names. For rules that leave the walk
/// through the plan to the optimizer.
#[derive(Debug)]
pub(super) struct Unless {
    rule: Rule,
    wrong_for: fn(&LogicalPlan) -> bool,
}

impl Unless {
    pub(super) fn new(rule: Rule, wrong_for: fn(&LogicalPlan) -> bool) -> Self {
        Self { rule, wrong_for }
    }
}

impl OptimizerRule for Unless {
    fn name(&self) -> &str {
        self.rule.name()
    }

    fn apply_order(&self) -> Option<ApplyOrder> {
        self.rule.apply_order()
    }

    fn rewrite(
        &self,
        plan: LogicalPlan,
        config: &dyn OptimizerConfig,
    ) -> Result<Transformed<LogicalPlan>> {
        match (self.wrong_for)(&plan) {
            true => Ok(Transformed::no(plan)),
            false => self.rule.rewrite(plan, config),
        }
    }
}
