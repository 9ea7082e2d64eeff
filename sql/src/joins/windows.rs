//! Windows that need a whole partition, one partition at a time.
//!
//! A function over all rows of its partition (`sum(x) OVER ()`, `ntile`, frames that end with the
//! last row) can answer for none of them before it has seen the last. DataFusion's operator keeps
//! all rows of all partitions until then, and tells nobody how much that is. Here rows go on as
//! soon as their partition ends, and what is kept is taken from the query's memory.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, RecordBatch};
use datafusion::arrow::compute::{concat, concat_batches, partition};
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode, TreeNodeRecursion};
use datafusion::error::Result;
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryReservation};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::execution_plan::CardinalityEffect;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::windows::{WindowAggExec, WindowExpr};
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties, ReplaceChildrenOptions,
};
use futures::stream::{self, StreamExt};
use satsuma_common::arrow_size::batch_bytes;

#[derive(Debug)]
pub(super) struct OnePartitionAtATime;

impl PhysicalOptimizerRule for OnePartitionAtATime {
    fn optimize(
        &self,
        plan: Arc<dyn ExecutionPlan>,
        _config: &ConfigOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        plan.transform_up(|node| {
            Ok(match node.is::<WindowAggExec>() {
                true => Transformed::yes(Arc::new(PartitionedWindowExec { window: node }) as _),
                false => Transformed::no(node),
            })
        })
        .data()
    }

    fn name(&self) -> &str {
        "one_partition_at_a_time"
    }

    fn schema_check(&self) -> bool {
        true
    }
}

/// A [`WindowAggExec`] that is run by what is here.
#[derive(Debug)]
pub(super) struct PartitionedWindowExec {
    window: Arc<dyn ExecutionPlan>,
}

impl DisplayAs for PartitionedWindowExec {
    fn fmt_as(&self, format: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.window.fmt_as(format, f)
    }
}

impl ExecutionPlan for PartitionedWindowExec {
    fn name(&self) -> &str {
        self.window.name()
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        self.window.properties()
    }

    fn maintains_input_order(&self) -> Vec<bool> {
        self.window.maintains_input_order()
    }

    fn cardinality_effect(&self) -> CardinalityEffect {
        CardinalityEffect::Equal
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        self.window.children()
    }

    fn apply_expressions(
        &self,
        f: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        self.window.apply_expressions(f)
    }

    fn replace_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
        options: ReplaceChildrenOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let window = self.window.clone().replace_children(children, options)?;
        Ok(Arc::new(Self { window }))
    }

    fn with_new_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        self.replace_children(children, super::constants::RECOMPUTE)
    }

    fn execute(
        &self,
        partition: usize,
        context: Arc<TaskContext>,
    ) -> Result<SendableRecordBatchStream> {
        let Some(window) = self.window.downcast_ref::<WindowAggExec>() else {
            return self.window.execute(partition, context);
        };
        let memory = MemoryConsumer::new("window").register(context.memory_pool());
        let windows = Windows {
            expressions: window.window_expr().to_vec(),
            schema: self.schema(),
            batch_size: context.session_config().batch_size(),
            kept: Vec::new(),
            memory,
            answers: VecDeque::new(),
        };
        let input = window.input().execute(partition, context)?;
        let rows = stream::try_unfold((windows, Some(input)), |(mut windows, mut input)| async {
            loop {
                if let Some(rows) = windows.next_answer() {
                    return Ok(Some((rows, (windows, input))));
                }
                let Some(rows) = &mut input else { return Ok(None) };
                match rows.next().await.transpose()? {
                    Some(rows) => windows.take(rows)?,
                    None => {
                        input = None;
                        windows.finish()?;
                    }
                }
            }
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(self.schema(), rows)))
    }
}

struct Windows {
    /// All with the same partitions.
    expressions: Vec<Arc<dyn WindowExpr>>,
    schema: SchemaRef,
    batch_size: usize,
    /// Rows of the partition that has not ended, in order.
    kept: Vec<RecordBatch>,
    /// What `kept` and `answers` hold.
    memory: MemoryReservation,
    answers: VecDeque<RecordBatch>,
}

impl Windows {
    fn next_answer(&mut self) -> Option<RecordBatch> {
        let rows = self.answers.pop_front()?;
        if self.answers.is_empty() {
            self.memory.resize(self.kept.iter().map(batch_bytes).sum());
        }
        Some(rows)
    }

    /// Rows that follow those before.
    fn take(&mut self, rows: RecordBatch) -> Result<()> {
        if rows.num_rows() == 0 {
            return Ok(());
        }
        let keys = self.keys(&rows)?;
        let continues = match self.kept.last() {
            Some(last) => {
                let last = self.keys(&last.slice(last.num_rows() - 1, 1))?;
                let met = last.iter().zip(&keys).map(|(last, next)| {
                    concat(&[last.as_ref(), next.slice(0, 1).as_ref()]).map_err(Into::into)
                });
                ranges(&met.collect::<Result<Vec<_>>>()?, 2)?.len() == 1
            }
            None => true,
        };
        let parts = ranges(&keys, rows.num_rows())?;
        let last = parts.last().map_or(0, |part| part.start);
        if last == 0 && continues {
            return self.keep(rows);
        }
        if last > 0 {
            self.keep(rows.slice(0, last))?;
        }
        self.finish()?;
        // Without what else the batch holds.
        let rest = rows.slice(last, rows.num_rows() - last);
        self.keep(concat_batches(&rest.schema(), [&rest])?)
    }

    fn keep(&mut self, rows: RecordBatch) -> Result<()> {
        self.memory.try_grow(batch_bytes(&rows))?;
        self.kept.push(rows);
        Ok(())
    }

    /// Answers for the rows that are kept: their partitions have ended.
    fn finish(&mut self) -> Result<()> {
        let Some(first) = self.kept.first() else { return Ok(()) };
        // Beside the rows, for a moment, the same in one piece.
        let size: usize = self.kept.iter().map(batch_bytes).sum();
        self.memory.try_grow(size)?;
        let rows = concat_batches(&first.schema(), &self.kept)?;
        self.kept.clear();
        let parts = ranges(&self.keys(&rows)?, rows.num_rows())?;
        let mut columns = rows.columns().to_vec();
        for expression in &self.expressions {
            let values = parts
                .iter()
                .map(|part| expression.evaluate(&rows.slice(part.start, part.len())))
                .collect::<Result<Vec<ArrayRef>>>()?;
            let values: Vec<_> = values.iter().map(AsRef::as_ref).collect();
            columns.push(concat(&values)?);
        }
        let answer = RecordBatch::try_new(self.schema.clone(), columns)?;
        self.memory.try_resize(batch_bytes(&answer))?;
        for start in (0..answer.num_rows()).step_by(self.batch_size) {
            let length = self.batch_size.min(answer.num_rows() - start);
            self.answers.push_back(answer.slice(start, length));
        }
        Ok(())
    }

    /// What the rows' partitions are told apart by.
    fn keys(&self, rows: &RecordBatch) -> Result<Vec<ArrayRef>> {
        let Some(expression) = self.expressions.first() else { return Ok(Vec::new()) };
        let keys = expression.partition_by().iter();
        keys.map(|key| key.evaluate(rows)?.into_array(rows.num_rows())).collect()
    }
}

/// The partitions of so many rows.
fn ranges(keys: &[ArrayRef], rows: usize) -> Result<Vec<std::ops::Range<usize>>> {
    match keys.is_empty() {
        true => Ok(std::iter::once(0..rows).collect()),
        false => Ok(partition(keys)?.ranges()),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use datafusion::arrow::array::{ArrayRef, AsArray, Int64Array, RecordBatch};
    use datafusion::arrow::datatypes::Int64Type;
    use datafusion::execution::SessionStateBuilder;
    use datafusion::execution::runtime_env::RuntimeEnvBuilder;
    use datafusion::functions_aggregate::expr_fn::max;
    use datafusion::functions_aggregate::sum::sum_udaf;
    use datafusion::logical_expr::expr::WindowFunction;
    use datafusion::logical_expr::{ExprFunctionExt, WindowFunctionDefinition};
    use datafusion::prelude::{DataFrame, Expr, SessionConfig, SessionContext, col};

    const KEYS: i64 = 200;

    /// Partitions of 0, 1, 2, ... rows, over many batches, in a column k.
    fn rows(memory: usize) -> DataFrame {
        let runtime = RuntimeEnvBuilder::new().with_memory_limit(memory, 1.0).build_arc().unwrap();
        let config = SessionConfig::new()
            .with_target_partitions(1)
            .with_batch_size(100)
            .with_sort_spill_reservation_bytes(0);
        let state = SessionStateBuilder::new_with_default_features()
            .with_config(config)
            .with_runtime_env(runtime)
            .with_physical_optimizer_rules(crate::joins::in_memory_rules())
            .build();
        let keys = (0..KEYS).flat_map(|key| (0..key).map(move |_| key));
        let keys: ArrayRef = Arc::new(Int64Array::from_iter_values(keys));
        let rows = RecordBatch::try_from_iter([("k", keys)]).unwrap();
        SessionContext::new_with_state(state).read_batch(rows).unwrap()
    }

    fn sum_over(partition: Vec<Expr>) -> Expr {
        let sum = WindowFunctionDefinition::AggregateUDF(sum_udaf());
        let window = Expr::from(WindowFunction::new(sum, vec![col("k")]));
        window.partition_by(partition).build().unwrap()
    }

    #[tokio::test]
    async fn each_partition_is_answered_for() {
        let own = sum_over(vec![col("k")]).alias("own");
        let answer = rows(1 << 30).window(vec![own]).unwrap();
        let all = sum_over(vec![]).alias("all");
        let answer = answer.window(vec![all]).unwrap().collect().await.unwrap();
        let total: i64 = (0..KEYS).map(|key| key * key).sum();
        let mut expected = (0..KEYS).flat_map(|key| (0..key).map(move |_| key));
        for batch in answer {
            assert!(batch.num_rows() <= 100);
            let column = |name: &str| {
                batch.column_by_name(name).unwrap().as_primitive::<Int64Type>().clone()
            };
            let (keys, own, all) = (column("k"), column("own"), column("all"));
            for row in 0..batch.num_rows() {
                let key = expected.next().unwrap();
                assert_eq!((keys.value(row), own.value(row)), (key, key * key));
                assert_eq!(all.value(row), total);
            }
        }
        assert_eq!(expected.next(), None);
    }

    /// All rows are 159,200 bytes, those of the largest partition 1592.
    #[tokio::test]
    async fn what_is_kept_is_counted() {
        let largest = |memory: usize, partition: Vec<Expr>| {
            let windows = rows(memory).window(vec![sum_over(partition).alias("s")]).unwrap();
            windows.aggregate(vec![], vec![max(col("s"))]).unwrap().collect()
        };
        let error = largest(200 << 10, vec![]).await.unwrap_err();
        assert!(error.to_string().contains("window"), "{error}");
        largest(1 << 20, vec![]).await.unwrap();
        largest(400 << 10, vec![col("k")]).await.unwrap();
    }
}
