//! Columns of one value, kept from those that make too much of them.
//!
//! DataFusion knows which columns of a plan are constant and leaves out sorts by them. It gets this
//! wrong where rows go through certain operators:
//!
//! | above constants | what goes wrong |
//! |---|---|
//! | outer joins | rows without a partner have NULL there, and it still counts as constant |
//! | all joins, unions | the knowledge is lost on the way up, but sorts were left out below by it |
//! | windows | a constant among the keys of PARTITION BY is taken out in one place only |
//! | grouping sets | a constant key is NULL in the sets without it, and so is one of two equal keys |
//!
//! So the inputs of these operators, and what grouping sets give, stand under a node that knows
//! nothing of their rows. It stays there: sorts and windows look at what is below them again when
//! they run.

use std::sync::Arc;

use datafusion::common::config::ConfigOptions;
use datafusion::common::internal_err;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::error::Result;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::{EquivalenceProperties, PhysicalExpr};
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::aggregates::AggregateExec;
use datafusion::physical_plan::filter_pushdown::{
    ChildPushdownResult, FilterDescription, FilterPushdownPhase, FilterPushdownPropagation,
};
use datafusion::physical_plan::joins::{
    CrossJoinExec, HashJoinExec, NestedLoopJoinExec, PiecewiseMergeJoinExec, SortMergeJoinExec,
};
use datafusion::physical_plan::statistics::{ChildStats, StatisticsArgs};
use datafusion::physical_plan::union::UnionExec;
use datafusion::physical_plan::windows::{BoundedWindowAggExec, WindowAggExec};
use datafusion::physical_plan::{
    ChildrenPropertiesMode, DisplayAs, DisplayFormatType, ExecutionPlan, ExecutionPlanProperties,
    PlanProperties, ReplaceChildrenOptions, Statistics,
};

/// Stands before the rule that plans sorts.
#[derive(Debug)]
pub(super) struct HideConstants;

impl PhysicalOptimizerRule for HideConstants {
    fn optimize(
        &self,
        plan: Arc<dyn ExecutionPlan>,
        _config: &ConfigOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        plan.transform_up(|node| {
            let constant = |input: &&Arc<dyn ExecutionPlan>| {
                !input.equivalence_properties().constants().is_empty()
            };
            let sets = has_grouping_sets(&node);
            let mut node = Transformed::no(node);
            if is_wrong_about_constants(&node.data) && node.data.children().iter().any(constant) {
                let inputs: Vec<Arc<dyn ExecutionPlan>> = node
                    .data
                    .children()
                    .into_iter()
                    .map(|input| match constant(&input) {
                        true => Arc::new(UnknownRowsExec::new(input.clone())) as _,
                        false => input.clone(),
                    })
                    .collect();
                node = Transformed::yes(node.data.replace_children(inputs, RECOMPUTE)?);
            }
            if sets {
                node = Transformed::yes(Arc::new(UnknownRowsExec::new(node.data)));
            }
            Ok(node)
        })
        .map(|transformed| transformed.data)
    }

    fn name(&self) -> &str {
        "hide_constants"
    }

    fn schema_check(&self) -> bool {
        true
    }
}

pub(super) const RECOMPUTE: ReplaceChildrenOptions =
    ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute);

fn is_wrong_about_constants(plan: &Arc<dyn ExecutionPlan>) -> bool {
    has_grouping_sets(plan)
        || is_join(plan)
        || plan.is::<UnionExec>()
        || plan.is::<WindowAggExec>()
        || plan.is::<BoundedWindowAggExec>()
}

fn has_grouping_sets(plan: &Arc<dyn ExecutionPlan>) -> bool {
    plan.downcast_ref::<AggregateExec>()
        .is_some_and(|aggregate| aggregate.group_expr().has_grouping_set())
}

fn is_join(plan: &Arc<dyn ExecutionPlan>) -> bool {
    plan.is::<HashJoinExec>()
        || plan.is::<NestedLoopJoinExec>()
        || plan.is::<CrossJoinExec>()
        || plan.is::<SortMergeJoinExec>()
        || plan.is::<PiecewiseMergeJoinExec>()
}

/// The input's rows, of which it says nothing but their schema and partitions.
#[derive(Debug)]
struct UnknownRowsExec {
    input: Arc<dyn ExecutionPlan>,
    properties: Arc<PlanProperties>,
}

impl UnknownRowsExec {
    fn new(input: Arc<dyn ExecutionPlan>) -> Self {
        let nothing = EquivalenceProperties::new(input.schema());
        let properties = PlanProperties::clone(input.properties()).with_eq_properties(nothing);
        Self { input, properties: Arc::new(properties) }
    }
}

impl DisplayAs for UnknownRowsExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("UnknownRowsExec")
    }
}

impl ExecutionPlan for UnknownRowsExec {
    fn name(&self) -> &str {
        "UnknownRowsExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.input]
    }

    fn benefits_from_input_partitioning(&self) -> Vec<bool> {
        vec![false]
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
            return internal_err!("rows come from one plan");
        };
        Ok(Arc::new(Self::new(input)))
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

    fn child_stats_requests(&self, partition: Option<usize>) -> Vec<ChildStats> {
        vec![ChildStats::At(partition)]
    }

    fn statistics_from_inputs(
        &self,
        inputs: &[Arc<Statistics>],
        _args: &StatisticsArgs,
    ) -> Result<Arc<Statistics>> {
        Ok(inputs[0].clone())
    }

    fn supports_limit_pushdown(&self) -> bool {
        true
    }

    /// Filters that joins make as they run go through to the scans.
    fn gather_filters_for_pushdown(
        &self,
        _phase: FilterPushdownPhase,
        filters: Vec<Arc<dyn PhysicalExpr>>,
        _config: &ConfigOptions,
    ) -> Result<FilterDescription> {
        FilterDescription::from_children(filters, &self.children())
    }

    fn handle_child_pushdown_result(
        &self,
        _phase: FilterPushdownPhase,
        result: ChildPushdownResult,
        _config: &ConfigOptions,
    ) -> Result<FilterPushdownPropagation<Arc<dyn ExecutionPlan>>> {
        Ok(FilterPushdownPropagation::if_all(result))
    }
}

#[cfg(test)]
mod tests {
    use datafusion::arrow::array::{ArrayRef, Int64Array, RecordBatch};
    use datafusion::common::JoinType;
    use datafusion::execution::SessionStateBuilder;
    use datafusion::logical_expr::rollup;
    use datafusion::prelude::{DataFrame, SessionConfig, SessionContext, col, lit};

    use super::*;

    fn context() -> SessionContext {
        let state = SessionStateBuilder::new_with_default_features()
            .with_config(SessionConfig::new().with_target_partitions(1))
            .with_physical_optimizer_rules(crate::joins::in_memory_rules())
            .build();
        SessionContext::new_with_state(state)
    }

    fn numbers(context: &SessionContext, name: &str, values: [i64; 4]) -> DataFrame {
        let values: ArrayRef = Arc::new(Int64Array::from_iter_values(values));
        context.read_batch(RecordBatch::try_from_iter([(name, values)]).unwrap()).unwrap()
    }

    async fn first_column(frame: DataFrame) -> Vec<Option<i64>> {
        let batches = frame.collect().await.unwrap();
        let columns = batches.iter().map(|batch| {
            batch.column(0).as_any().downcast_ref::<Int64Array>().unwrap().iter().collect()
        });
        columns.collect::<Vec<Vec<_>>>().concat()
    }

    #[tokio::test]
    async fn a_constant_is_none_above_an_outer_join() {
        let context = context();
        let left = numbers(&context, "l", [1, 2, 3, 4]);
        let left = left.select(vec![lit(7i64).alias("seven"), col("l")]).unwrap();
        let right = numbers(&context, "r", [4, 5, 1, 6]);
        let joined = left.join(right, JoinType::Full, &["l"], &["r"], None).unwrap();
        let joined = joined.sort(vec![col("seven").sort(true, false)]).unwrap();
        let expected = [vec![Some(7); 4], vec![None; 2]].concat();
        assert_eq!(first_column(joined.select(vec![col("seven")]).unwrap()).await, expected);
    }

    #[tokio::test]
    async fn equal_keys_of_grouping_sets_differ_above_them() {
        let context = context();
        let rows = numbers(&context, "n", [2, 1, 2, 3]);
        let sets = rollup(vec![col("n"), col("n").alias("m")]);
        let sums = rows.aggregate(vec![sets], vec![]).unwrap();
        let sorted = sums.select(vec![col("m"), col("n")]).unwrap();
        let sorted = sorted.sort(vec![col("n").sort(true, false), col("m").sort(true, false)]);
        let sorted = sorted.unwrap();
        let expected = [Some(1), None, Some(2), None, Some(3), None, None];
        assert_eq!(first_column(sorted).await, expected);
    }

    #[tokio::test]
    async fn a_constant_side_of_a_union_is_merged_with_a_sorted_one() {
        let context = context();
        let one = numbers(&context, "n", [3, 9, 1, 5]);
        let other = numbers(&context, "m", [0, 0, 0, 0]).select(vec![lit(4i64).alias("n")]);
        let united = one.union(other.unwrap()).unwrap();
        let sorted = united.sort(vec![col("n").sort(true, false)]).unwrap();
        let expected = [1, 3, 4, 4, 4, 4, 5, 9].map(Some);
        assert_eq!(first_column(sorted).await, expected);
    }
}
