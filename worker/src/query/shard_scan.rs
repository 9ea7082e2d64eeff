//! Reading shards, as a leaf of a physical plan.

use std::fmt;
use std::sync::Arc;

use datafusion::arrow::array::{RecordBatch, RecordBatchOptions};
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::common::config::ConfigOptions;
use datafusion::common::stats::Precision;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{Statistics, internal_err};
use datafusion::error::Result;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::{EquivalenceProperties, Partitioning, PhysicalExpr};
use datafusion::physical_expr_common::physical_expr::snapshot_generation;
use datafusion::physical_plan::execution_plan::{
    Boundedness, EmissionType, ReplaceChildrenOptions,
};
use datafusion::physical_plan::filter_pushdown::{
    ChildPushdownResult, FilterPushdownPhase, FilterPushdownPropagation, PushedDown,
};
use datafusion::physical_plan::metrics::{
    BaselineMetrics, ExecutionPlanMetricsSet, MetricBuilder, MetricsSet,
};
use datafusion::physical_plan::statistics::StatisticsArgs;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties};
use parking_lot::Mutex;
use satsuma_sql::engine_error::from_sql;
use satsuma_storage::{Engine, KeyRange, ReadView, RowFilter, Scan, ScanOptions};

use super::condition::Condition;
use super::runtime::Cancelled;
use crate::error;
use crate::placement::PlacedTable;

/// Name of the counter of rows that conditions kept out.
pub(super) const REMOVED: &str = "rows_removed";

/// Shards of one table, read by one or more partitions that share the work block by block. No
/// distribution or order is declared: which rows come in which partition is chance.
#[derive(Debug)]
pub(crate) struct ShardScanExec {
    engine: Arc<Engine>,
    /// At least one.
    shards: Vec<PlacedTable>,
    view: ReadView,
    /// But for the filters.
    options: ScanOptions,
    /// All hold for the rows that come.
    conditions: Vec<Arc<Condition>>,
    /// From operators above, which drop what they drop.
    dynamic: Vec<Arc<Condition>>,
    schema: SchemaRef,
    /// Rows that will come, estimated.
    rows: u64,
    properties: Arc<PlanProperties>,
    metrics: ExecutionPlanMetricsSet,
    /// Of the present run, the partitions that have not started.
    waiting: Mutex<Vec<Option<Vec<Scan>>>>,
}

/// What is read of a table's shards.
pub(crate) struct Reading {
    pub engine: Arc<Engine>,
    pub shards: Vec<PlacedTable>,
    pub view: ReadView,
    pub options: ScanOptions,
    pub conditions: Vec<Arc<Condition>>,
    pub schema: SchemaRef,
    pub rows: u64,
    pub partitions: usize,
}

impl ShardScanExec {
    pub fn new(reading: Reading) -> Self {
        let Reading { engine, shards, view, options, conditions, schema, rows, partitions } =
            reading;
        let properties = PlanProperties::new(
            EquivalenceProperties::new(schema.clone()),
            Partitioning::UnknownPartitioning(partitions),
            EmissionType::Incremental,
            Boundedness::Bounded,
        );
        Self {
            engine,
            shards,
            view,
            options,
            conditions,
            dynamic: Vec::new(),
            schema,
            rows,
            properties: Arc::new(properties),
            metrics: ExecutionPlanMetricsSet::new(),
            waiting: Mutex::default(),
        }
    }

    fn with_dynamic(&self, dynamic: Vec<Arc<Condition>>) -> Self {
        let mut options = self.options.clone();
        options.filters.clear();
        Self {
            engine: self.engine.clone(),
            shards: self.shards.clone(),
            view: self.view,
            options,
            conditions: self.conditions.clone(),
            dynamic,
            schema: self.schema.clone(),
            rows: self.rows,
            properties: self.properties.clone(),
            metrics: ExecutionPlanMetricsSet::new(),
            waiting: Mutex::default(),
        }
    }

    /// The first of the shards.
    pub fn placed(&self) -> Option<&PlacedTable> {
        self.shards.first()
    }

    /// The shard, when it is one.
    pub fn single(&self) -> Option<&PlacedTable> {
        match self.shards.as_slice() {
            [only] => Some(only),
            _ => None,
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

    /// Rows that will come, estimated.
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// The part of the primary key that is read, when it is not all of it.
    pub fn key_range(&self) -> Option<&KeyRange> {
        self.options.key_range.as_ref()
    }

    pub fn conditions(&self) -> &[Arc<Condition>] {
        &self.conditions
    }

    /// Opens every shard, for every partition.
    fn open(&self) -> Result<Vec<Option<Vec<Scan>>>> {
        let mut options = self.options.clone();
        let conditions = self.conditions.iter().chain(&self.dynamic);
        options.filters = conditions.map(|c| Arc::clone(c) as Arc<dyn RowFilter>).collect();
        let count = self.properties.partitioning.partition_count();
        let mut partitions: Vec<Vec<Scan>> = Vec::new();
        partitions.resize_with(count, || Vec::with_capacity(self.shards.len()));
        for placed in &self.shards {
            let first = self.engine.scan(placed.shard, &self.view, &options);
            let first = first.map_err(|e| from_sql(error::storage(e)))?;
            for partition in partitions.iter_mut().skip(1) {
                partition.push(first.share().map_err(|e| from_sql(error::storage(e)))?);
            }
            if let Some(partition) = partitions.first_mut() {
                partition.push(first);
            }
        }
        Ok(partitions.into_iter().map(Some).collect())
    }

    /// A partition's part of the present run; of a new one when it has had its part already.
    fn take(&self, partition: usize) -> Result<Vec<Scan>> {
        let mut waiting = self.waiting.lock();
        if !matches!(waiting.get(partition), Some(Some(_))) {
            *waiting = self.open()?;
        }
        match waiting.get_mut(partition).and_then(Option::take) {
            Some(scans) => Ok(scans),
            None => internal_err!("a shard scan has no partition {partition}"),
        }
    }
}

impl DisplayAs for ShardScanExec {
    fn fmt_as(&self, _t: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(first) = self.placed() else { return f.write_str("ShardScanExec") };
        write!(f, "ShardScanExec: {}_{}", first.meta.shape.name, first.shard.0)?;
        if self.shards.len() > 1 {
            write!(f, " and {} more", self.shards.len() - 1)?;
        }
        for condition in self.conditions.iter().chain(&self.dynamic) {
            write!(f, ", {}", condition.shown())?;
        }
        Ok(())
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
        f: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        for condition in self.conditions.iter().chain(&self.dynamic) {
            if f(condition.shown())? == TreeNodeRecursion::Stop {
                return Ok(TreeNodeRecursion::Stop);
            }
        }
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

    /// Conditions that the last run's operators made are forgotten.
    fn reset_state(self: Arc<Self>) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(Arc::new(self.with_dynamic(Vec::new())))
    }

    fn handle_child_pushdown_result(
        &self,
        phase: FilterPushdownPhase,
        result: ChildPushdownResult,
        _config: &ConfigOptions,
    ) -> Result<FilterPushdownPropagation<Arc<dyn ExecutionPlan>>> {
        // Whoever made a filter keeps it: what is dropped here is only less work for it.
        let kept = vec![PushedDown::No; result.parent_filters.len()];
        let unchanged = FilterPushdownPropagation::with_parent_pushdown_result(kept);
        let Some(placed) = self.placed().filter(|_| phase == FilterPushdownPhase::Post) else {
            return Ok(unchanged);
        };
        let mut dynamic = self.dynamic.clone();
        for pushed in result.parent_filters {
            // 0: it does not change while the query runs, and is evaluated above.
            if snapshot_generation(&pushed.filter) == 0 {
                continue;
            }
            let shape = placed.meta.shape.clone();
            let position = |index: usize| match &self.options.projection {
                Some(projection) => projection.get(index).copied(),
                None => Some(index),
            };
            dynamic.extend(Condition::new(shape, pushed.filter, position, true)?.map(Arc::new));
        }
        if dynamic.len() == self.dynamic.len() {
            return Ok(unchanged);
        }
        Ok(unchanged.with_updated_node(Arc::new(self.with_dynamic(dynamic))))
    }

    fn execute(
        &self,
        partition: usize,
        context: Arc<TaskContext>,
    ) -> Result<SendableRecordBatchStream> {
        let cancelled = context.session_config().get_extension::<Cancelled>();
        let metrics = BaselineMetrics::new(&self.metrics, partition);
        let removed = MetricBuilder::new(&self.metrics).counter(REMOVED, partition);
        let output = self.schema.clone();
        let mut scans = self.take(partition)?.into_iter();
        let mut current: Option<Scan> = None;
        let batches = std::iter::from_fn(move || {
            loop {
                if let Err(error) = Cancelled::check(cancelled.as_deref()) {
                    return Some(Err(error));
                }
                let timer = metrics.elapsed_compute().timer();
                let scan = match &mut current {
                    Some(scan) => scan,
                    None => current.insert(scans.next()?),
                };
                let Some(batch) = scan.next() else {
                    removed.add(scan.removed());
                    current = None;
                    continue;
                };
                drop(timer);
                return Some(match batch {
                    Ok(batch) => {
                        metrics.record_output(batch.num_rows());
                        // The same types; names and metadata as the plan has them.
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
        let stream = futures::stream::iter(batches);
        Ok(Box::pin(RecordBatchStreamAdapter::new(self.schema.clone(), stream)))
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
        statistics.num_rows = Precision::Inexact(usize::try_from(self.rows).unwrap_or(usize::MAX));
        Ok(Arc::new(statistics))
    }
}
