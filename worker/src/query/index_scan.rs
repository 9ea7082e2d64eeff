//! Reads the rows that an index finds in shards of one table, as an operator. The filter above it
//! looks at each of them again.

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
    /// At least one.
    shards: Vec<PlacedTable>,
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
        shards: Vec<PlacedTable>,
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
            shards,
            view,
            options,
            schema,
            path,
            conditions,
            properties: Arc::new(properties),
            metrics: ExecutionPlanMetricsSet::new(),
        }
    }

    /// The first of the shards.
    pub fn placed(&self) -> Option<&PlacedTable> {
        self.shards.first()
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
        write!(f, "IndexScanExec: {}", self.path.name)?;
        let Some(first) = self.placed() else { return Ok(()) };
        write!(f, " on {}_{}", first.meta.shape.name, first.shard.0)?;
        match self.shards.len() {
            1 => Ok(()),
            shards => write!(f, " and {} more", shards - 1),
        }
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
        let (engine, view) = (self.engine.clone(), self.view);
        let (probe, scan_options) = (self.path.probe.clone(), self.options.clone());
        let output = self.schema.clone();
        let mut shards = self.shards.clone().into_iter();
        let mut current = None;
        let batches = std::iter::from_fn(move || {
            loop {
                if let Err(error) = Cancelled::check(cancelled.as_deref()) {
                    return Some(Err(error));
                }
                let _timer = metrics.elapsed_compute().timer();
                let scan = match &mut current {
                    Some(scan) => scan,
                    None => {
                        let shard = shards.next()?.shard;
                        match engine.index_scan(shard, &view, &probe, &scan_options) {
                            Ok(scan) => current.insert(scan),
                            Err(error) => return Some(Err(from_sql(error::storage(error)))),
                        }
                    }
                };
                let Some(batch) = scan.next() else {
                    current = None;
                    continue;
                };
                return Some(match batch {
                    Ok(batch) => {
                        metrics.record_output(batch.num_rows());
                        let options =
                            RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
                        let columns = batch.columns().to_vec();
                        RecordBatch::try_new_with_options(output.clone(), columns, &options)
                            .map_err(Into::into)
                    }
                    Err(error) => Err(from_sql(error::storage(error))),
                });
            }
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
