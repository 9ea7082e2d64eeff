//! Reads the rows of one shard that an index finds, as an operator. The filter above it looks at
//! each of them again.

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
use satsuma_storage::{Engine, ReadView, ScanOptions};

use super::runtime::Cancelled;
use crate::error;
use crate::index::IndexPath;
use crate::placement::PlacedTable;

/// One partition, of no declared distribution or order.
#[derive(Debug)]
pub(crate) struct IndexScanExec {
    engine: Arc<Engine>,
    placed: PlacedTable,
    view: ReadView,
    options: ScanOptions,
    schema: SchemaRef,
    path: IndexPath,
    /// What the index answers, and then what its predicate implies.
    conditions: Vec<Arc<dyn PhysicalExpr>>,
    properties: Arc<PlanProperties>,
    metrics: ExecutionPlanMetricsSet,
}

impl IndexScanExec {
    pub fn new(
        engine: Arc<Engine>,
        placed: PlacedTable,
        view: ReadView,
        options: ScanOptions,
        schema: SchemaRef,
        path: IndexPath,
        conditions: Vec<Arc<dyn PhysicalExpr>>,
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
            path,
            conditions,
            properties: Arc::new(properties),
            metrics: ExecutionPlanMetricsSet::new(),
        }
    }

    pub fn placed(&self) -> &PlacedTable {
        &self.placed
    }

    pub fn path(&self) -> &IndexPath {
        &self.path
    }

    /// The conditions that the index answers.
    pub fn answered(&self) -> &[Arc<dyn PhysicalExpr>] {
        &self.conditions[..self.path.conditions.len().min(self.conditions.len())]
    }

    /// Those, and the ones that hold for all that is in the index.
    pub fn conditions(&self) -> &[Arc<dyn PhysicalExpr>] {
        &self.conditions
    }
}

impl DisplayAs for IndexScanExec {
    fn fmt_as(&self, _t: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shape = &self.placed.meta.shape;
        write!(f, "IndexScanExec: {} on {}_{}", self.path.name, shape.name, self.placed.shard.0)
    }
}

impl ExecutionPlan for IndexScanExec {
    fn name(&self) -> &str {
        "IndexScanExec"
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
            return internal_err!("an index scan has one partition, not {partition}");
        }
        let cancelled = context.session_config().get_extension::<Cancelled>();
        let metrics = BaselineMetrics::new(&self.metrics, partition);
        let scan = self
            .engine
            .index_scan(self.placed.shard, &self.view, &self.path.probe, &self.options)
            .map_err(|e| from_sql(error::storage(e)))?;
        let output = self.schema.clone();
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
            let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
            let columns = batch.columns().to_vec();
            Ok(RecordBatch::try_new_with_options(output.clone(), columns, &options)?)
        });
        let batches = futures::stream::iter(batches);
        Ok(Box::pin(RecordBatchStreamAdapter::new(self.schema.clone(), batches)))
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
        let found = usize::try_from(self.path.found).unwrap_or(usize::MAX);
        statistics.num_rows = Precision::Inexact(found);
        Ok(Arc::new(statistics))
    }
}
