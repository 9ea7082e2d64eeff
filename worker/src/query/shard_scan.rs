//! Reading a shard, as a leaf of a physical plan.

use std::fmt;
use std::sync::Arc;

use datafusion::arrow::array::{RecordBatch, RecordBatchOptions};
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::common::stats::Precision;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{Statistics, internal_err};
use datafusion::error::Result;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::{EquivalenceProperties, Partitioning, PhysicalExpr};
use datafusion::physical_plan::execution_plan::{
    Boundedness, EmissionType, ReplaceChildrenOptions,
};
use datafusion::physical_plan::metrics::{BaselineMetrics, ExecutionPlanMetricsSet, MetricsSet};
use datafusion::physical_plan::statistics::StatisticsArgs;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties};
use satsuma_common::{SqlError, SqlState};
use satsuma_sql::engine_error::from_sql;
use satsuma_storage::{Engine, KeyRange, ReadView, ScanOptions};

use super::runtime::Cancelled;
use crate::error;
use crate::placement::PlacedTable;

/// One partition, of no declared distribution or order.
#[derive(Debug)]
pub(crate) struct ShardScanExec {
    engine: Arc<Engine>,
    placed: PlacedTable,
    view: ReadView,
    options: ScanOptions,
    schema: SchemaRef,
    rows: u64,
    properties: Arc<PlanProperties>,
    metrics: ExecutionPlanMetricsSet,
}

impl ShardScanExec {
    pub fn new(
        engine: Arc<Engine>,
        placed: PlacedTable,
        view: ReadView,
        options: ScanOptions,
        schema: SchemaRef,
        rows: u64,
    ) -> Self {
        let properties = PlanProperties::new(
            EquivalenceProperties::new(schema.clone()),
            Partitioning::UnknownPartitioning(1),
            EmissionType::Incremental,
            Boundedness::Bounded,
        );
        Self {
            engine,
            placed,
            view,
            options,
            schema,
            rows,
            properties: Arc::new(properties),
            metrics: ExecutionPlanMetricsSet::new(),
        }
    }

    pub fn engine(&self) -> &Arc<Engine> {
        &self.engine
    }

    pub fn view(&self) -> &ReadView {
        &self.view
    }

    pub fn options(&self) -> &ScanOptions {
        &self.options
    }

    /// Live rows of the shard, estimated.
    pub fn rows(&self) -> u64 {
        self.rows
    }

    pub fn placed(&self) -> &PlacedTable {
        &self.placed
    }

    /// The part of the primary key that is read, when it is not all of it.
    pub fn key_range(&self) -> Option<&KeyRange> {
        self.options.key_range.as_ref()
    }
}

impl DisplayAs for ShardScanExec {
    fn fmt_as(&self, _t: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shape = &self.placed.meta.shape;
        write!(f, "ShardScanExec: {}_{}", shape.name, self.placed.shard.0)
    }
}

impl ExecutionPlan for ShardScanExec {
    fn name(&self) -> &str {
        "ShardScanExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        Vec::new()
    }

    fn apply_expressions(
        &self,
        _f: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn replace_children(
        self: Arc<Self>,
        _children: Vec<Arc<dyn ExecutionPlan>>,
        _options: ReplaceChildrenOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(self)
    }

    fn with_new_children(
        self: Arc<Self>,
        _children: Vec<Arc<dyn ExecutionPlan>>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(self)
    }

    fn execute(
        &self,
        partition: usize,
        context: Arc<TaskContext>,
    ) -> Result<SendableRecordBatchStream> {
        if partition != 0 {
            return internal_err!("a shard scan has one partition, not {partition}");
        }
        let cancelled = context.session_config().get_extension::<Cancelled>();
        let metrics = BaselineMetrics::new(&self.metrics, partition);
        let schema = self.schema.clone();
        let scan = self
            .engine
            .scan(self.placed.shard, &self.view, &self.options)
            .map_err(|e| from_sql(error::storage(e)))?;
        let output = schema.clone();
        let batches = scan.map(move |batch| {
            if cancelled.as_ref().is_some_and(|token| token.0.is_cancelled()) {
                return Err(from_sql(SqlError::new(
                    SqlState::QUERY_CANCELED,
                    "canceling statement due to user request",
                )));
            }
            let _timer = metrics.elapsed_compute().timer();
            let batch = batch.map_err(|e| from_sql(error::storage(e)))?;
            metrics.record_output(batch.num_rows());
            // The same types; names and metadata as the plan has them.
            let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
            let columns = batch.columns().to_vec();
            Ok(RecordBatch::try_new_with_options(output.clone(), columns, &options)?)
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(schema, futures::stream::iter(batches))))
    }

    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.clone_inner())
    }

    fn statistics_from_inputs(
        &self,
        _inputs: &[Arc<Statistics>],
        _args: &StatisticsArgs,
    ) -> Result<Arc<Statistics>> {
        let mut statistics = Statistics::new_unknown(&self.schema);
        let rows = usize::try_from(self.rows).unwrap_or(usize::MAX);
        statistics.num_rows = match &self.options.key_range {
            None => Precision::Inexact(rows),
            Some(_) => Precision::Inexact(rows.min(100)),
        };
        Ok(Arc::new(statistics))
    }
}
