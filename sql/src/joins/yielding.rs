//! Joins that can be stopped.
//!
//! A join may give very many rows for each one that it reads. Whoever consumes them without
//! waiting for anything (an aggregate) would never give the thread back, and a cancelled query
//! would go on. DataFusion lets leaves yield; this lets joins yield too.

use std::sync::Arc;

use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::error::Result;
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::coop::CooperativeExec;
use datafusion::physical_plan::joins::{
    CrossJoinExec, HashJoinExec, NestedLoopJoinExec, SortMergeJoinExec,
};

#[derive(Debug)]
pub(super) struct YieldAfterJoins;

impl PhysicalOptimizerRule for YieldAfterJoins {
    fn optimize(
        &self,
        plan: Arc<dyn ExecutionPlan>,
        _config: &ConfigOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        plan.transform_up(|node| {
            let joins = node.is::<HashJoinExec>()
                || node.is::<NestedLoopJoinExec>()
                || node.is::<CrossJoinExec>()
                || node.is::<SortMergeJoinExec>();
            Ok(match joins {
                true => Transformed::yes(Arc::new(CooperativeExec::new(node)) as _),
                false => Transformed::no(node),
            })
        })
        .map(|transformed| transformed.data)
    }

    fn name(&self) -> &str {
        "yield_after_joins"
    }

    fn schema_check(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::{Duration, Instant};

    use datafusion::arrow::array::{ArrayRef, Int64Array, RecordBatch};
    use datafusion::common::JoinType;
    use datafusion::execution::SessionStateBuilder;
    use datafusion::functions_aggregate::expr_fn::count;
    use datafusion::prelude::{SessionConfig, SessionContext, col, lit};

    /// The only thread computes; the timer fires all the same, and the query is dropped.
    #[tokio::test(flavor = "current_thread")]
    async fn a_cross_join_under_an_aggregate_stops_in_time() {
        let state = SessionStateBuilder::new_with_default_features()
            .with_config(SessionConfig::new().with_target_partitions(1))
            .with_physical_optimizer_rules(crate::joins::in_memory_rules())
            .build();
        let context = SessionContext::new_with_state(state);
        let table = |name: &str| {
            let numbers: ArrayRef = Arc::new(Int64Array::from_iter_values(0..1000));
            context.read_batch(RecordBatch::try_from_iter([(name, numbers)]).unwrap()).unwrap()
        };
        let joined = table("x")
            .join(table("y"), JoinType::Inner, &[], &[], None)
            .and_then(|frame| frame.join(table("z"), JoinType::Inner, &[], &[], None))
            .and_then(|frame| frame.filter((col("x") + col("y") + col("z")).gt(lit(5i64))));
        let frame = joined.unwrap().aggregate(vec![], vec![count(lit(1i64))]).unwrap();
        let started = Instant::now();
        let ended = tokio::time::timeout(Duration::from_millis(300), frame.collect()).await;
        assert!(ended.is_err(), "the join is too small to be stopped");
        assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
    }
}
