//! Filters that find their columns by name, kept from rows in which a name stands twice.
//!
//! DataFusion pushes filters down a physical plan, those too that joins make as they run, and looks
//! a filter's columns up by name at each step. Physical columns have no qualifiers: where two tables
//! have a column of the same name, a filter may end up on the wrong one of them. While such rules
//! run, a node stands above each plan with a name twice, and lets no filter through; so it does
//! above semi joins where a key's name stands for something else on the other side, to which
//! filters on keys are pushed as well.

use std::collections::HashSet;
use std::sync::Arc;

use datafusion::common::JoinType;
use datafusion::common::config::ConfigOptions;
use datafusion::common::internal_err;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::error::Result;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::joins::HashJoinExec;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties, ReplaceChildrenOptions,
};

use super::Rule;
use super::constants::RECOMPUTE;

/// A rule that pushes filters down.
#[derive(Debug)]
pub(super) struct UnlessAmbiguous(pub Rule);

impl PhysicalOptimizerRule for UnlessAmbiguous {
    fn optimize(
        &self,
        plan: Arc<dyn ExecutionPlan>,
        config: &ConfigOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let mut barred = false;
        let plan = plan.transform_up(|node| {
            let ambiguous = is_ambiguous(&node);
            barred |= ambiguous;
            Ok(match ambiguous {
                true => Transformed::yes(Arc::new(BarrierExec { input: node }) as _),
                false => Transformed::no(node),
            })
        })?;
        let plan = self.0.optimize(plan.data, config)?;
        if !barred {
            return Ok(plan);
        }
        plan.transform_up(|node| {
            Ok(match node.downcast_ref::<BarrierExec>() {
                Some(barrier) => Transformed::yes(barrier.input.clone()),
                None => Transformed::no(node),
            })
        })
        .map(|transformed| transformed.data)
    }

    fn name(&self) -> &str {
        self.0.name()
    }

    fn schema_check(&self) -> bool {
        self.0.schema_check()
    }
}

fn is_ambiguous(plan: &Arc<dyn ExecutionPlan>) -> bool {
    let schema = plan.schema();
    let mut names = HashSet::new();
    schema.fields().iter().any(|field| !names.insert(field.name().as_str()))
        || plan.downcast_ref::<HashJoinExec>().is_some_and(mistakes_a_key)
}

/// Whether a semi join has a key whose name is that of a column of the other side which is not the
/// key's partner.
fn mistakes_a_key(join: &HashJoinExec) -> bool {
    let column = |expr: &Arc<dyn PhysicalExpr>| expr.downcast_ref::<Column>().cloned();
    let is_other = |key: &Arc<dyn PhysicalExpr>, partner, side: &Arc<dyn ExecutionPlan>| {
        let Some(found) = column(key).and_then(|key| side.schema().index_of(key.name()).ok())
        else {
            return false;
        };
        column(partner).is_none_or(|partner| partner.index() != found)
    };
    let (left, right) = (join.left(), join.right());
    match join.join_type() {
        JoinType::LeftSemi => join.on().iter().any(|(key, other)| is_other(key, other, right)),
        JoinType::RightSemi => join.on().iter().any(|(other, key)| is_other(key, other, left)),
        _ => false,
    }
}

/// The input's rows; takes no filter.
#[derive(Debug)]
struct BarrierExec {
    input: Arc<dyn ExecutionPlan>,
}

impl DisplayAs for BarrierExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("BarrierExec")
    }
}

impl ExecutionPlan for BarrierExec {
    fn name(&self) -> &str {
        "BarrierExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        self.input.properties()
    }

    fn maintains_input_order(&self) -> Vec<bool> {
        vec![true]
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.input]
    }

    fn apply_expressions(
        &self,
        _f: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn replace_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
        _: ReplaceChildrenOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let Ok([input]) = <[_; 1]>::try_from(children) else {
            return internal_err!("a barrier is for one plan");
        };
        Ok(Arc::new(Self { input }))
    }

    fn with_new_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        self.replace_children(children, RECOMPUTE)
    }

    fn execute(
        &self,
        partition: usize,
        context: Arc<TaskContext>,
    ) -> Result<SendableRecordBatchStream> {
        self.input.execute(partition, context)
    }
}
