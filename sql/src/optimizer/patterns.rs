//! LIKE whose pattern ends with the escape character, or may: PostgreSQL's own matching.

use datafusion::common::Result;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::{Expr, LogicalPlan};
use datafusion::optimizer::{ApplyOrder, OptimizerConfig, OptimizerRule};

use crate::operators::pattern::own_test;

/// Such tests become calls. Patterns may be constants only once parameters are known and
/// expressions worked out: so it runs before the other rules and after them.
#[derive(Debug)]
pub(super) struct Patterns;

impl OptimizerRule for Patterns {
    fn name(&self) -> &str {
        "patterns"
    }

    fn apply_order(&self) -> Option<ApplyOrder> {
        Some(ApplyOrder::BottomUp)
    }

    fn rewrite(
        &self,
        plan: LogicalPlan,
        _config: &dyn OptimizerConfig,
    ) -> Result<Transformed<LogicalPlan>> {
        let names = NamePreserver::new(&plan);
        plan.map_expressions(|expr| {
            let name = names.save(&expr);
            let rewritten = expr.transform_up(|expr| match &expr {
                Expr::Like(like) => Ok(match own_test(like) {
                    Some(test) => Transformed::yes(test),
                    None => Transformed::no(expr),
                }),
                _ => Ok(Transformed::no(expr)),
            })?;
            Ok(rewritten.update_data(|expr| name.restore(expr)))
        })
    }
}
