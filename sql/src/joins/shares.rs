//! Sorts below joins, each with memory of its own.
//!
//! A join that merges sorts both of its sides. The side that comes first would merge what it has
//! on disk with all the memory that there is, and the other could not even begin. So each sort has
//! a share from the start, and goes to disk when that is used up:
//!
//! ```text
//!   SortMergeJoin                 SortMergeJoin
//!     Sort                ->        Share 1/3
//!       scan                          Sort
//!     Sort                              Small batches
//!       scan                              scan
//!                                   Share 1/3 ..
//! ```
//!
//! A sort takes in whole batches, one at least: those that it gets are small.

use std::sync::Arc;

use datafusion::arrow::array::{
    Array, ArrayRef, AsArray, RecordBatch, RecordBatchOptions, UInt32Array,
};
use datafusion::arrow::compute::take;
use datafusion::arrow::datatypes::DataType;
use datafusion::common::config::ConfigOptions;
use datafusion::common::internal_err;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode, TreeNodeRecursion};
use datafusion::error::Result;
use datafusion::execution::memory_pool::MemoryLimit;
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::joins::SortMergeJoinExec;
use datafusion::physical_plan::sorts::sort::SortExec;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties, ReplaceChildrenOptions,
};

use futures::stream::{self, StreamExt, TryStreamExt};

use super::SPILLING_BATCH_ROWS;
use super::constants::RECOMPUTE;
use crate::memory::SharePool;

#[derive(Debug)]
pub(super) struct SharesForSorts;

impl PhysicalOptimizerRule for SharesForSorts {
    fn optimize(
        &self,
        plan: Arc<dyn ExecutionPlan>,
        _config: &ConfigOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        // Wherever it stands: sorts are moved below what computes columns.
        let plan = plan.transform_up(|node| {
            let Some(sort) = node.downcast_ref::<SortExec>() else {
                return Ok(Transformed::no(node));
            };
            let small = Arc::new(SmallBatchesExec { input: sort.input().clone() });
            node.replace_children(vec![small], RECOMPUTE).map(Transformed::yes)
        });
        // From the top: what a share contains divides that share.
        plan.data()?
            .transform_down(|node| {
                if !node.is::<SortMergeJoinExec>() {
                    return Ok(Transformed::no(node));
                }
                let parts = sorts(&node) + 1;
                let mut sides = Vec::new();
                for side in node.children() {
                    let (own, input) = (sorts(side), side.clone());
                    sides.push(match own {
                        0 => input,
                        _ => Arc::new(SharedExec { input, own, parts }) as Arc<dyn ExecutionPlan>,
                    });
                }
                Ok(Transformed::yes(node.replace_children(sides, RECOMPUTE)?))
            })
            .map(|transformed| transformed.data)
    }

    fn name(&self) -> &str {
        "shares_for_sorts"
    }

    fn schema_check(&self) -> bool {
        true
    }
}

/// How many sorts the plan has that may be under way at once.
fn sorts(plan: &Arc<dyn ExecutionPlan>) -> usize {
    let below: usize = plan.children().into_iter().map(sorts).sum();
    below + usize::from(plan.is::<SortExec>())
}

/// Runs its input with `own` of `parts` of the memory at hand.
#[derive(Debug)]
struct SharedExec {
    input: Arc<dyn ExecutionPlan>,
    own: usize,
    parts: usize,
}

impl DisplayAs for SharedExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SharedExec: {}/{} of the memory", self.own, self.parts)
    }
}

impl ExecutionPlan for SharedExec {
    fn name(&self) -> &str {
        "SharedExec"
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
            return internal_err!("a share of memory is for one plan");
        };
        Ok(Arc::new(Self { input, own: self.own, parts: self.parts }))
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
        let MemoryLimit::Finite(all) = context.memory_pool().memory_limit() else {
            return self.input.execute(partition, context);
        };
        let share = SharePool::new(all / self.parts * self.own, context.memory_pool());
        let runtime = RuntimeEnvBuilder::from_runtime_env(&context.runtime_env())
            .with_memory_pool(Arc::new(share))
            .build_arc()?;
        let context = TaskContext::default()
            .with_session_config(context.session_config().clone())
            .with_runtime(runtime);
        self.input.execute(partition, Arc::new(context))
    }
}

/// The same rows in batches of few, which share no memory: a sort counts all that a batch keeps
/// alive, and a few strings may keep those of thousands of rows.
#[derive(Debug)]
struct SmallBatchesExec {
    input: Arc<dyn ExecutionPlan>,
}

impl DisplayAs for SmallBatchesExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SmallBatchesExec")
    }
}

impl ExecutionPlan for SmallBatchesExec {
    fn name(&self) -> &str {
        "SmallBatchesExec"
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
            return internal_err!("batches come from one plan");
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
        let rows = self.input.execute(partition, context)?;
        let schema = rows.schema();
        let parts = rows.map_ok(|batch| {
            let starts = (0..batch.num_rows()).step_by(SPILLING_BATCH_ROWS);
            stream::iter(starts).map(move |start| part(&batch, start))
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(schema, parts.try_flatten().boxed())))
    }
}

/// The rows of a small batch from `start` on.
fn part(batch: &RecordBatch, start: usize) -> Result<RecordBatch> {
    let end = batch.num_rows().min(start + SPILLING_BATCH_ROWS);
    let rows = UInt32Array::from_iter_values((start..end).filter_map(|row| row.try_into().ok()));
    let columns = batch
        .columns()
        .iter()
        .map(|column| {
            let taken = take(column, &rows, None)?;
            Ok(match taken.data_type() {
                DataType::Utf8View => Arc::new(taken.as_string_view().gc()) as ArrayRef,
                DataType::BinaryView => Arc::new(taken.as_binary_view().gc()),
                _ => taken,
            })
        })
        .collect::<Result<Vec<_>>>()?;
    let options = RecordBatchOptions::new().with_row_count(Some(rows.len()));
    Ok(RecordBatch::try_new_with_options(batch.schema(), columns, &options)?)
}
