//! Rows from elsewhere that a fragment reads, kept until it is done.
//!
//! ```text
//! coordinator ── rows of all inputs, in any order ──▶ Spools
//!                                                      input 0: group a, group b, ...
//!                                                      input 1: all groups
//! ```
//!
//! All rows are taken before the fragment starts, as fast as they come: in memory while its share
//! lasts, then on disk. So no sender waits for another (two inputs of a join whose reader wants
//! one of them first would block each other for ever), memory is bounded, and the join is planned
//! with the true sizes.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use datafusion::arrow::array::{Array, AsArray, RecordBatch, RecordBatchOptions};
use datafusion::arrow::compute::concat_batches;
use datafusion::arrow::datatypes::{SchemaRef, UInt32Type};
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::Statistics;
use datafusion::common::stats::Precision;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryPool, MemoryReservation};
use datafusion::execution::spill_file::SpillFile;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::{Expr, TableType};
use datafusion::physical_expr::{EquivalenceProperties, Partitioning, PhysicalExpr};
use datafusion::physical_plan::execution_plan::{
    Boundedness, EmissionType, ReplaceChildrenOptions,
};
use datafusion::physical_plan::metrics::{ExecutionPlanMetricsSet, MetricsSet, SpillMetrics};
use datafusion::physical_plan::spill::SpillManager;
use datafusion::physical_plan::statistics::StatisticsArgs;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties};
use futures::{StreamExt, TryStreamExt};
use satsuma_common::arrow_size::batch_bytes;
use satsuma_common::{GroupId, SqlResult};
use satsuma_proto::worker::{Input, InputRows, InputStream};
use satsuma_sql::engine_error::to_sql;

use super::runtime::QueryRuntime;
use crate::error::malformed;

/// Rows that are worth a batch of their own.
const BATCH_ROWS: usize = 8192;
/// Bytes of a group's rows that are written to disk in one go.
const WRITE_BYTES: usize = 1 << 20;

/// The inputs of one execution of a fragment.
#[derive(Debug, Default)]
pub(crate) struct Spools {
    inputs: Vec<Spool>,
    /// Where each group stands in the request.
    positions: BTreeMap<GroupId, usize>,
}

#[derive(Debug)]
struct Spool {
    input: Input,
    /// One for each group, or one that all groups read.
    parts: Vec<Part>,
    memory: MemoryReservation,
    disk: SpillManager,
    metrics: ExecutionPlanMetricsSet,
}

#[derive(Default)]
struct Part {
    rows: usize,
    batches: Vec<RecordBatch>,
    /// Rows on their way to disk.
    pending: Vec<RecordBatch>,
    pending_bytes: usize,
    files: Vec<Arc<dyn SpillFile>>,
}

impl Spools {
    /// Takes all rows of the inputs. `groups` are those of the request.
    pub async fn collect(
        inputs: Vec<Input>,
        groups: &[GroupId],
        mut rows: InputStream,
        runtime: &QueryRuntime,
        memory_limit: u64,
    ) -> SqlResult<Self> {
        let mut spools = Self::empty(inputs, groups, runtime, memory_limit);
        while let Some(rows) = rows.next().await {
            spools.push(rows?)?;
        }
        spools.finish()?;
        Ok(spools)
    }

    /// Inputs without rows: for a plan that is only shown.
    pub fn empty(
        inputs: Vec<Input>,
        groups: &[GroupId],
        runtime: &QueryRuntime,
        memory_limit: u64,
    ) -> Self {
        let pool: Arc<dyn MemoryPool> = runtime.pool(runtime.within_node(memory_limit) / 4);
        let spool = |input: Input| {
            let metrics = ExecutionPlanMetricsSet::new();
            let spills = SpillMetrics::new(&metrics, 0);
            let disk = SpillManager::new(runtime.environment(), spills, input.schema.clone());
            let count = if input.by_group { groups.len() } else { 1 };
            Spool {
                parts: (0..count).map(|_| Part::default()).collect(),
                memory: MemoryConsumer::new("rows from elsewhere").register(&pool),
                disk,
                metrics,
                input,
            }
        };
        let positions = groups.iter().enumerate().map(|(at, group)| (*group, at)).collect();
        Self { inputs: inputs.into_iter().map(spool).collect(), positions }
    }

    fn push(&mut self, rows: InputRows) -> SqlResult<()> {
        let InputRows { input, rows } = rows;
        let spool = self.inputs.get_mut(input).ok_or_else(|| malformed("rows of no input"))?;
        spool.push(&rows)
    }

    fn finish(&mut self) -> SqlResult<()> {
        for spool in &mut self.inputs {
            let Spool { parts, disk, .. } = spool;
            for part in parts {
                part.flush(disk).map_err(to_sql)?;
            }
        }
        Ok(())
    }

    /// Bytes on disk.
    pub fn spilled(&self) -> u64 {
        let bytes = |spool: &Spool| spool.metrics.clone_inner().spilled_bytes().unwrap_or(0) as u64;
        self.inputs.iter().map(bytes).sum()
    }

    /// The parts of an input that a plan over these groups reads.
    fn parts<'a>(&'a self, input: usize, groups: &[GroupId]) -> Vec<&'a Part> {
        let Some(spool) = self.inputs.get(input) else { return Vec::new() };
        if !spool.input.by_group {
            return spool.parts.iter().collect();
        }
        let positions = groups.iter().filter_map(|group| self.positions.get(group));
        positions.filter_map(|position| spool.parts.get(*position)).collect()
    }
}

impl Spool {
    fn push(&mut self, rows: &RecordBatch) -> SqlResult<()> {
        let width = self.input.schema.fields().len();
        if !self.input.by_group {
            let batch = conform(rows, &self.input.schema, width).map_err(to_sql)?;
            return self.keep(0, batch).map_err(to_sql);
        }
        let groups = rows
            .columns()
            .get(width)
            .and_then(|column| column.as_primitive_opt::<UInt32Type>())
            .filter(|groups| groups.null_count() == 0)
            .ok_or_else(|| malformed("rows of an input do not tell their groups"))?;
        let batch = conform(rows, &self.input.schema, width).map_err(to_sql)?;
        let mut start = 0;
        for run in groups.values().chunk_by(|one, other| one == other) {
            let group = usize::try_from(run[0]).unwrap_or(usize::MAX);
            if group >= self.parts.len() {
                return Err(malformed("rows of an input are for no group"));
            }
            self.keep(group, batch.slice(start, run.len())).map_err(to_sql)?;
            start += run.len();
        }
        Ok(())
    }

    fn keep(&mut self, part: usize, batch: RecordBatch) -> Result<()> {
        let bytes = 64 + batch_bytes(&batch);
        let in_memory = self.memory.try_grow(bytes).is_ok();
        let part = &mut self.parts[part];
        part.rows += batch.num_rows();
        if in_memory {
            part.batches.push(batch);
            return Ok(());
        }
        part.pending.push(batch);
        part.pending_bytes += bytes;
        if part.pending_bytes >= WRITE_BYTES { part.flush(&self.disk) } else { Ok(()) }
    }
}

impl fmt::Debug for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Part: rows={}, files={}", self.rows, self.files.len())
    }
}

impl Part {
    /// Writes what is pending.
    fn flush(&mut self, disk: &SpillManager) -> Result<()> {
        if self.pending.is_empty() {
            return Ok(());
        }
        let batch = concat_batches(disk.schema(), &self.pending)?;
        self.pending.clear();
        self.pending_bytes = 0;
        self.files.extend(disk.spill_record_batch_and_finish(&[batch], "rows from elsewhere")?);
        Ok(())
    }
}

/// The first `width` columns under the plan's names.
fn conform(rows: &RecordBatch, schema: &SchemaRef, width: usize) -> Result<RecordBatch> {
    let options = RecordBatchOptions::new().with_row_count(Some(rows.num_rows()));
    let columns = rows.columns().iter().take(width).cloned().collect();
    Ok(RecordBatch::try_new_with_options(schema.clone(), columns, &options)?)
}

/// An input before its rows are there: what a decoded fragment's scans are bound to.
#[derive(Debug)]
pub(crate) struct InputSlot {
    pub number: usize,
    pub schema: SchemaRef,
}

#[async_trait]
impl TableProvider for InputSlot {
    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    fn table_type(&self) -> TableType {
        TableType::Temporary
    }

    async fn scan(
        &self,
        _state: &dyn Session,
        _projection: Option<&Vec<usize>>,
        _filters: &[Expr],
        _limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        Err(DataFusionError::Internal(format!("input {} was not bound to rows", self.number)))
    }
}

/// Some groups' rows of an input.
#[derive(Debug)]
pub(crate) struct SpooledTable {
    pub spools: Arc<Spools>,
    pub number: usize,
    pub groups: Vec<GroupId>,
    pub schema: SchemaRef,
}

impl SpooledTable {
    pub fn rows(&self) -> usize {
        let parts = self.spools.parts(self.number, &self.groups);
        parts.into_iter().map(|part| part.rows).sum()
    }
}

fn statistics(schema: &SchemaRef, rows: usize) -> Statistics {
    let mut statistics = Statistics::new_unknown(schema);
    statistics.num_rows = Precision::Inexact(rows);
    statistics
}

#[async_trait]
impl TableProvider for SpooledTable {
    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    fn table_type(&self) -> TableType {
        TableType::Temporary
    }

    fn statistics(&self) -> Option<Statistics> {
        Some(statistics(&self.schema, self.rows()))
    }

    async fn scan(
        &self,
        _state: &dyn Session,
        projection: Option<&Vec<usize>>,
        _filters: &[Expr],
        _limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let schema = match projection {
            Some(projection) => Arc::new(self.schema.project(projection)?),
            None => self.schema.clone(),
        };
        let properties = PlanProperties::new(
            EquivalenceProperties::new(schema.clone()),
            Partitioning::UnknownPartitioning(1),
            EmissionType::Incremental,
            Boundedness::Bounded,
        );
        Ok(Arc::new(SpoolExec {
            spools: self.spools.clone(),
            number: self.number,
            groups: self.groups.clone(),
            projection: projection.cloned(),
            rows: self.rows(),
            schema,
            properties: Arc::new(properties),
        }))
    }
}

#[derive(Debug)]
pub(crate) struct SpoolExec {
    spools: Arc<Spools>,
    number: usize,
    groups: Vec<GroupId>,
    projection: Option<Vec<usize>>,
    rows: usize,
    schema: SchemaRef,
    properties: Arc<PlanProperties>,
}

impl DisplayAs for SpoolExec {
    fn fmt_as(&self, _t: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SpoolExec: input={}", self.number)
    }
}

impl ExecutionPlan for SpoolExec {
    fn name(&self) -> &str {
        "SpoolExec"
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
        _partition: usize,
        _context: Arc<TaskContext>,
    ) -> Result<SendableRecordBatchStream> {
        let Some(spool) = self.spools.inputs.get(self.number) else {
            return Err(DataFusionError::Internal("a fragment reads an input it has not".into()));
        };
        let parts = self.spools.parts(self.number, &self.groups);
        let files: Vec<_> = parts.iter().flat_map(|part| part.files.iter().cloned()).collect();
        let disk = spool.disk.clone();
        let on_disk = futures::stream::iter(files)
            .map(move |file| disk.read_spill_as_stream(file, None))
            .try_flatten();
        let chunks = chunks(parts.iter().flat_map(|part| &part.batches));
        let schema = spool.input.schema.clone();
        let in_memory = futures::stream::iter(chunks).map(move |batches| match &batches[..] {
            [one] => Ok(one.clone()),
            several => Ok(concat_batches(&schema, several)?),
        });
        let (projection, output) = (self.projection.clone(), self.schema.clone());
        // The rows live as long as somebody reads them.
        let spools = self.spools.clone();
        let rows = in_memory.chain(on_disk).map(move |batch| {
            let _kept = &spools;
            let batch: RecordBatch = batch?;
            let batch = match &projection {
                Some(projection) => batch.project(projection)?,
                None => batch,
            };
            let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
            let columns = batch.columns().to_vec();
            Ok(RecordBatch::try_new_with_options(output.clone(), columns, &options)?)
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(self.schema.clone(), rows)))
    }

    /// Of all groups' rows.
    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.spools.inputs.get(self.number)?.metrics.clone_inner())
    }

    fn statistics_from_inputs(
        &self,
        _inputs: &[Arc<Statistics>],
        _args: &StatisticsArgs,
    ) -> Result<Arc<Statistics>> {
        Ok(Arc::new(statistics(&self.schema, self.rows)))
    }
}

/// Batches in portions of about [`BATCH_ROWS`] rows.
fn chunks<'a>(batches: impl Iterator<Item = &'a RecordBatch>) -> Vec<Vec<RecordBatch>> {
    let mut chunks: Vec<Vec<RecordBatch>> = Vec::new();
    let mut rows = BATCH_ROWS;
    for batch in batches {
        if rows + batch.num_rows() > BATCH_ROWS {
            chunks.push(Vec::new());
            rows = 0;
        }
        rows += batch.num_rows();
        if let Some(chunk) = chunks.last_mut() {
            chunk.push(batch.clone());
        }
    }
    chunks
}
