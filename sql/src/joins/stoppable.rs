//! Plans that can be stopped, and let others have their thread.
//!
//! A join may give very many rows for each one that it reads; a merge of sorted rows and a window
//! over them work on what is in memory. Whoever consumes that without waiting for anything (an
//! aggregate, an OFFSET) would never give the thread back, and a cancelled query would go on.
//! DataFusion lets leaves yield, after more than a hundred batches. Here the time counts, and each
//! batch is asked for only while somebody wants the result.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::error::Result;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::execution_plan::{CardinalityEffect, SchedulingType};
use datafusion::physical_plan::joins::{
    CrossJoinExec, HashJoinExec, NestedLoopJoinExec, SortMergeJoinExec,
};
use datafusion::physical_plan::sorts::sort::SortExec;
use datafusion::physical_plan::sorts::sort_preserving_merge::SortPreservingMergeExec;
use datafusion::physical_plan::windows::BoundedWindowAggExec;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties, RecordBatchStream,
};
use futures::stream::{Stream, StreamExt};

use super::windows::PartitionedWindowExec;
use crate::engine_error::from_sql;
use crate::interrupt;

#[derive(Debug)]
pub(super) struct StopBetweenBatches;

impl PhysicalOptimizerRule for StopBetweenBatches {
    fn optimize(
        &self,
        plan: Arc<dyn ExecutionPlan>,
        _config: &ConfigOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        plan.transform_up(|node| {
            let goes_on_by_itself = node.is::<HashJoinExec>()
                || node.is::<NestedLoopJoinExec>()
                || node.is::<CrossJoinExec>()
                || node.is::<SortMergeJoinExec>()
                || node.is::<SortExec>()
                || node.is::<SortPreservingMergeExec>()
                || node.is::<BoundedWindowAggExec>()
                || node.is::<PartitionedWindowExec>();
            Ok(match goes_on_by_itself {
                true => Transformed::yes(Arc::new(StoppableExec::new(node)) as _),
                false => Transformed::no(node),
            })
        })
        .map(|transformed| transformed.data)
    }

    fn name(&self) -> &str {
        "stop_between_batches"
    }

    fn schema_check(&self) -> bool {
        true
    }
}

/// Gives its input's rows while they are wanted.
#[derive(Debug)]
pub struct StoppableExec {
    input: Arc<dyn ExecutionPlan>,
    properties: Arc<PlanProperties>,
}

impl StoppableExec {
    fn new(input: Arc<dyn ExecutionPlan>) -> Self {
        let properties = PlanProperties::clone(input.properties())
            .with_scheduling_type(SchedulingType::Cooperative)
            .into();
        Self { input, properties }
    }
}

impl DisplayAs for StoppableExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StoppableExec")
    }
}

impl ExecutionPlan for StoppableExec {
    fn name(&self) -> &'static str {
        "StoppableExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn maintains_input_order(&self) -> Vec<bool> {
        vec![true]
    }

    fn cardinality_effect(&self) -> CardinalityEffect {
        CardinalityEffect::Equal
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.input]
    }

    fn apply_expressions(
        &self,
        _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn with_new_children(
        self: Arc<Self>,
        mut children: Vec<Arc<dyn ExecutionPlan>>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(match children.pop() {
            Some(input) => Arc::new(Self::new(input)),
            None => self,
        })
    }

    fn execute(
        &self,
        partition: usize,
        context: Arc<TaskContext>,
    ) -> Result<SendableRecordBatchStream> {
        let rows = self.input.execute(partition, context)?;
        Ok(Box::pin(Stoppable { rows, since: Instant::now() }))
    }
}

struct Stoppable {
    rows: SendableRecordBatchStream,
    /// When the thread was last given to others.
    since: Instant,
}

impl Stream for Stoppable {
    type Item = Result<RecordBatch>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if let Err(stopped) = interrupt::check() {
            return Poll::Ready(Some(Err(from_sql(stopped))));
        }
        if self.since.elapsed() >= interrupt::TURN {
            self.since = Instant::now();
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        let polled = self.rows.poll_next_unpin(context);
        if polled.is_pending() {
            self.since = Instant::now();
        }
        polled
    }
}

impl RecordBatchStream for Stoppable {
    fn schema(&self) -> SchemaRef {
        self.rows.schema()
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
    use datafusion::prelude::{DataFrame, SessionConfig, SessionContext, col, lit};
    use tokio_util::sync::CancellationToken;

    use crate::interrupt;

    fn context() -> SessionContext {
        let state = SessionStateBuilder::new_with_default_features()
            .with_config(SessionConfig::new().with_target_partitions(1))
            .with_physical_optimizer_rules(crate::joins::in_memory_rules())
            .build();
        SessionContext::new_with_state(state)
    }

    fn numbers(context: &SessionContext, name: &str, count: i64) -> DataFrame {
        let numbers: ArrayRef = Arc::new(Int64Array::from_iter_values(0..count));
        context.read_batch(RecordBatch::try_from_iter([(name, numbers)]).unwrap()).unwrap()
    }

    /// The only thread computes; the timer fires all the same, and the query is dropped.
    #[tokio::test(flavor = "current_thread")]
    async fn a_cross_join_under_an_aggregate_stops_in_time() {
        let context = context();
        let table = |name: &str| numbers(&context, name, 1000);
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

    /// A query that nobody wants ends with an error at its next batch, whoever consumes it.
    #[tokio::test]
    async fn sorted_rows_are_given_while_they_are_wanted() {
        let context = context();
        let sorted = numbers(&context, "x", 400_000).sort_by(vec![col("x") % lit(1000i64)]);
        let frame = sorted.unwrap();
        let stop = CancellationToken::new();
        let rows = interrupt::stopped_by(stop.clone(), frame.clone().collect()).await;
        assert_eq!(rows.unwrap().iter().map(RecordBatch::num_rows).sum::<usize>(), 400_000);
        stop.cancel();
        let error = interrupt::stopped_by(stop, frame.collect()).await.unwrap_err();
        assert!(error.to_string().contains("canceling statement"), "{error}");
    }
}
