//! Joins that probe an index: for each row of one side, the networks of the other that hold its
//! address, instead of a look at every pair.
//!
//! Some rows of the outer side go together: what an index of networks finds for all of them is
//! read once, and each pair is looked at. The join's whole condition decides, so that rows too
//! many among the candidates do no harm.

use std::fmt;
use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, RecordBatch, RecordBatchOptions, UInt32Array};
use datafusion::arrow::compute::filter_record_batch;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode, TreeNodeRecursion};
use datafusion::common::{JoinSide, JoinType, ScalarValue, internal_err};
use datafusion::error::Result;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::expressions::{CastExpr, Column};
use datafusion::physical_expr::{
    EquivalenceProperties, Partitioning, PhysicalExpr, ScalarFunctionExpr, split_conjunction,
};
use datafusion::physical_plan::execution_plan::{
    Boundedness, EmissionType, ReplaceChildrenOptions,
};
use datafusion::physical_plan::filter::FilterExec;
use datafusion::physical_plan::joins::NestedLoopJoinExec;
use datafusion::physical_plan::joins::utils::JoinFilter;
use datafusion::physical_plan::metrics::{BaselineMetrics, ExecutionPlanMetricsSet, MetricsSet};
use datafusion::physical_plan::projection::ProjectionExec;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties};
use futures::StreamExt;
use satsuma_common::index::{IndexMethod, IndexShape, IndexedValue};
use satsuma_sql::engine_error::from_sql;
use satsuma_storage::index::{IndexScan, NetworkTest, Probe, network_probe};
use satsuma_storage::{Engine, ReadView, ScanOptions};

use super::network_join;
use super::pairs::{PairFilter, is_true};
use super::runtime::Cancelled;
use super::shard_scan::ShardScanExec;
use crate::error;
use crate::index::inet;
use crate::placement::PlacedTable;

pub(super) type Plan = Arc<dyn ExecutionPlan>;
pub(super) type Expr = Arc<dyn PhysicalExpr>;

/// Rows of the outer side that are probed for together.
const OUTER_ROWS: usize = 128;
/// Pairs that are looked at together.
const PAIRS: usize = 16_384;
/// A table of fewer rows is read whole.
const WORTH: u64 = 64;

/// Replaces nested loops where an index can be probed, or a table of networks.
pub(crate) fn use_indexes(plan: Plan) -> Result<Plan> {
    plan.transform_up(|node| {
        let Some(join) = node.downcast_ref::<NestedLoopJoinExec>() else {
            return Ok(Transformed::no(node));
        };
        if let Some(join) = probing(join) {
            return Ok(Transformed::yes(Arc::new(join) as Plan));
        }
        match network_join::by_containment(join) {
            Some(join) => Ok(Transformed::yes(Arc::new(join) as Plan)),
            None => Ok(Transformed::no(node)),
        }
    })
    .data()
}

/// What is done to the inner side's rows after they are read.
#[derive(Debug)]
enum Step {
    Project(Vec<Expr>, SchemaRef),
    Filter(Expr, Option<Vec<usize>>),
}

/// The scanned side.
#[derive(Debug)]
struct Inner {
    engine: Arc<Engine>,
    placed: PlacedTable,
    view: ReadView,
    options: ScanOptions,
    index: IndexShape,
    schema: SchemaRef,
    steps: Vec<Step>,
}

#[derive(Debug)]
pub(crate) struct IndexJoinExec {
    outer: Plan,
    inner: Arc<Inner>,
    test: NetworkTest,
    /// The address, over the outer side's columns.
    given: Expr,
    /// What the index answers, as it stands in the join's condition.
    condition: Expr,
    pairs: Arc<PairFilter>,
    properties: Arc<PlanProperties>,
    metrics: ExecutionPlanMetricsSet,
}

fn probing(join: &NestedLoopJoinExec) -> Option<IndexJoinExec> {
    if *join.join_type() != JoinType::Inner {
        return None;
    }
    let filter = join.filter()?;
    for outer_side in [JoinSide::Left, JoinSide::Right] {
        let (outer, inner) = match outer_side {
            JoinSide::Left => (join.left(), join.right()),
            _ => (join.right(), join.left()),
        };
        let Some((scan, steps)) = read(inner) else { continue };
        let Some(placed) = scan.single().filter(|_| scan.conditions().is_empty()) else {
            continue;
        };
        if scan.rows() < WORTH || scan.key_range().is_some() || scan.options().limit.is_some() {
            continue;
        }
        for condition in split_conjunction(filter.expression()) {
            let Some((network, test, given)) = comparison(condition, filter, outer_side) else {
                continue;
            };
            let Some(index) = indexed(scan, &steps, network) else { continue };
            let schema = join.schema();
            let properties = PlanProperties::new(
                EquivalenceProperties::new(schema.clone()),
                Partitioning::UnknownPartitioning(
                    outer.properties().output_partitioning().partition_count(),
                ),
                EmissionType::Incremental,
                Boundedness::Bounded,
            );
            let inner = Inner {
                engine: scan.engine().clone(),
                placed: placed.clone(),
                view: *scan.view(),
                options: scan.options().clone(),
                index,
                schema: scan.schema(),
                steps,
            };
            let pairs = PairFilter {
                outer_side,
                filter: Arc::new(filter.clone()),
                schema,
                projection: join.projection().as_ref().map(|columns| columns.to_vec()),
            };
            return Some(IndexJoinExec {
                outer: outer.clone(),
                inner: Arc::new(inner),
                test,
                given,
                condition: condition.clone(),
                pairs: Arc::new(pairs),
                properties: Arc::new(properties),
                metrics: ExecutionPlanMetricsSet::new(),
            });
        }
    }
    None
}

/// The scan under a plan that only filters and projects its rows, and how it does.
fn read(plan: &Plan) -> Option<(&ShardScanExec, Vec<Step>)> {
    if let Some(scan) = plan.downcast_ref::<ShardScanExec>() {
        return Some((scan, Vec::new()));
    }
    if let Some(filter) = plan.downcast_ref::<FilterExec>() {
        let (scan, mut steps) = read(filter.input())?;
        let projection = filter.projection().as_ref().map(|columns| columns.to_vec());
        steps.push(Step::Filter(filter.predicate().clone(), projection));
        return filter.fetch().is_none().then_some((scan, steps));
    }
    if let Some(project) = plan.downcast_ref::<ProjectionExec>() {
        let (scan, mut steps) = read(project.input())?;
        let exprs = project.expr().iter().map(|column| column.expr.clone()).collect();
        steps.push(Step::Project(exprs, project.schema()));
        return Some((scan, steps));
    }
    let is_plumbing = matches!(
        plan.name(),
        "CoalesceBatchesExec" | "CooperativeExec" | "StoppableExec" | "UnknownRowsExec"
    );
    match plan.children()[..] {
        [child] if is_plumbing => read(child),
        _ => None,
    }
}

/// `network >> given` and the like: the inner side's column, and the address over the outer
/// side's columns.
fn comparison(
    condition: &Expr,
    filter: &JoinFilter,
    outer_side: JoinSide,
) -> Option<(usize, NetworkTest, Expr)> {
    let call = condition.downcast_ref::<ScalarFunctionExpr>()?;
    let [left, right] = call.args() else { return None };
    let name = call.fun().name().strip_prefix("operator ")?.strip_suffix("(inet,inet)")?;
    for (column, given, is_left) in [(left, right, true), (right, left, false)] {
        let test = match (name, is_left) {
            (">>" | ">>=", true) | ("<<" | "<<=", false) => NetworkTest::Holds,
            ("<<" | "<<=", true) | (">>" | ">>=", false) => NetworkTest::Within,
            ("&&", _) => NetworkTest::Overlaps,
            _ => return None,
        };
        let Some(column) = uncast(column).downcast_ref::<Column>() else { continue };
        let at = filter.column_indices().get(column.index())?;
        if at.side == outer_side {
            continue;
        }
        if let Some(given) = over_side(given, filter, outer_side) {
            return Some((at.index, test, given));
        }
    }
    None
}

/// cidr is taken as inet without a change of its value.
fn uncast(expr: &Expr) -> &Expr {
    match expr.downcast_ref::<CastExpr>() {
        Some(cast) => uncast(cast.expr()),
        None => expr,
    }
}

/// The expression over one side's own columns; `None` where it has others.
pub(super) fn over_side(expr: &Expr, filter: &JoinFilter, side: JoinSide) -> Option<Expr> {
    let mut is_own = true;
    let moved = expr.clone().transform_up(|node| {
        let Some(column) = node.downcast_ref::<Column>() else { return Ok(Transformed::no(node)) };
        match filter.column_indices().get(column.index()) {
            Some(at) if at.side == side => {
                let moved = Column::new(column.name(), at.index);
                Ok(Transformed::yes(Arc::new(moved) as Expr))
            }
            _ => {
                is_own = false;
                Ok(Transformed::no(node))
            }
        }
    });
    moved.data().ok().filter(|_| is_own)
}

/// The index of networks over the scanned column that ends up as the inner side's `column`.
fn indexed(scan: &ShardScanExec, steps: &[Step], mut column: usize) -> Option<IndexShape> {
    for step in steps.iter().rev() {
        column = match step {
            Step::Project(exprs, _) => exprs.get(column)?.downcast_ref::<Column>()?.index(),
            Step::Filter(_, Some(kept)) => *kept.get(column)?,
            Step::Filter(_, None) => column,
        };
    }
    let position = match &scan.options().projection {
        Some(projection) => *projection.get(column)?,
        None => column,
    };
    let shape = &scan.single()?.meta.shape;
    let id = shape.columns.get(position)?.id;
    let holds = |index: &&IndexShape| {
        index.method == IndexMethod::Networks
            && index.predicate.is_none()
            && index.keys.first().is_some_and(|key| key.value == IndexedValue::Column(id))
    };
    shape.indexes.iter().find(holds).cloned()
}

impl IndexJoinExec {
    /// The index that is probed, and the shard.
    pub fn probed(&self) -> (&str, &PlacedTable) {
        (&self.inner.index.name, &self.inner.placed)
    }

    pub fn condition(&self) -> &Expr {
        &self.condition
    }

    /// The whole condition.
    pub fn filter(&self) -> &Expr {
        self.pairs.filter.expression()
    }

    fn with_children(&self, children: Vec<Plan>) -> Result<Plan> {
        match <[Plan; 1]>::try_from(children) {
            Ok([outer]) => Ok(Arc::new(self.with_outer(outer))),
            Err(children) => internal_err!("an index join has one input, not {}", children.len()),
        }
    }

    fn with_outer(&self, outer: Plan) -> Self {
        let partitions = outer.properties().output_partitioning().partition_count();
        let properties = PlanProperties::clone(&self.properties)
            .with_partitioning(Partitioning::UnknownPartitioning(partitions));
        Self {
            outer,
            inner: self.inner.clone(),
            test: self.test,
            given: self.given.clone(),
            condition: self.condition.clone(),
            pairs: self.pairs.clone(),
            properties: Arc::new(properties),
            metrics: ExecutionPlanMetricsSet::new(),
        }
    }
}

impl DisplayAs for IndexJoinExec {
    fn fmt_as(&self, _t: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "IndexJoinExec: {}", self.inner.index.name)
    }
}

impl ExecutionPlan for IndexJoinExec {
    fn name(&self) -> &str {
        "IndexJoinExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Plan> {
        vec![&self.outer]
    }

    fn apply_expressions(
        &self,
        _f: &mut dyn FnMut(&Expr) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn replace_children(
        self: Arc<Self>,
        children: Vec<Plan>,
        _options: ReplaceChildrenOptions,
    ) -> Result<Plan> {
        self.with_children(children)
    }

    fn with_new_children(self: Arc<Self>, children: Vec<Plan>) -> Result<Plan> {
        self.with_children(children)
    }

    fn execute(
        &self,
        partition: usize,
        context: Arc<TaskContext>,
    ) -> Result<SendableRecordBatchStream> {
        let cancelled = context.session_config().get_extension::<Cancelled>();
        let metrics = BaselineMetrics::new(&self.metrics, partition);
        let outer = self.outer.execute(partition, context)?;
        let work = Arc::new(Work {
            inner: self.inner.clone(),
            test: self.test,
            given: self.given.clone(),
            pairs: self.pairs.clone(),
            cancelled,
        });
        let joined = outer.flat_map(move |batch| {
            let pairs = match batch {
                Ok(batch) => Pairs::new(work.clone(), batch),
                Err(error) => Pairs::failed(work.clone(), error),
            };
            futures::stream::iter(pairs)
        });
        let joined = joined.map(move |batch| {
            let _timer = metrics.elapsed_compute().timer();
            batch.inspect(|batch| metrics.record_output(batch.num_rows()))
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(self.pairs.schema.clone(), joined)))
    }

    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.clone_inner())
    }
}

/// What an execution needs of the operator.
struct Work {
    inner: Arc<Inner>,
    test: NetworkTest,
    given: Expr,
    pairs: Arc<PairFilter>,
    cancelled: Option<Arc<Cancelled>>,
}

/// The joined rows of one batch of the outer side, some at a time.
struct Pairs {
    work: Arc<Work>,
    outer: Option<RecordBatch>,
    failed: Option<datafusion::error::DataFusionError>,
    /// The next row of the outer side.
    at: usize,
    /// What was probed for, and is being read.
    open: Option<Open>,
}

/// Outer rows with the candidates for them.
struct Open {
    rows: RecordBatch,
    scan: IndexScan,
    /// A batch of candidates, and the next outer row for it.
    candidates: Option<(RecordBatch, usize)>,
}

impl Pairs {
    fn new(work: Arc<Work>, outer: RecordBatch) -> Self {
        Self { work, outer: Some(outer), failed: None, at: 0, open: None }
    }

    fn failed(work: Arc<Work>, error: datafusion::error::DataFusionError) -> Self {
        Self { work, outer: None, failed: Some(error), at: 0, open: None }
    }

    fn step(&mut self) -> Result<Option<RecordBatch>> {
        loop {
            Cancelled::check(self.work.cancelled.as_deref())?;
            let Some(open) = &mut self.open else {
                let Some(outer) = &self.outer else { return Ok(None) };
                if self.at >= outer.num_rows() {
                    return Ok(None);
                }
                let rows = outer.slice(self.at, OUTER_ROWS.min(outer.num_rows() - self.at));
                self.at += rows.num_rows();
                self.open = self.work.probe(rows)?;
                continue;
            };
            match &mut open.candidates {
                None => match open.scan.next() {
                    None => self.open = None,
                    Some(batch) => {
                        let batch = batch.map_err(|e| from_sql(error::storage(e)))?;
                        let batch = self.work.inner.finish(&batch)?;
                        open.candidates = (batch.num_rows() > 0).then_some((batch, 0));
                    }
                },
                Some((candidates, next)) => {
                    let width = (PAIRS / candidates.num_rows()).max(1);
                    let end = (*next + width).min(open.rows.num_rows());
                    let joined = self.work.join(&open.rows, *next..end, candidates)?;
                    *next = end;
                    if end == open.rows.num_rows() {
                        open.candidates = None;
                    }
                    if joined.num_rows() > 0 {
                        return Ok(Some(joined));
                    }
                }
            }
        }
    }
}

impl Iterator for Pairs {
    type Item = Result<RecordBatch>;

    fn next(&mut self) -> Option<Self::Item> {
        if let Some(error) = self.failed.take() {
            return Some(Err(error));
        }
        let step = self.step();
        if step.is_err() {
            self.outer = None;
            self.open = None;
        }
        step.transpose()
    }
}

impl Work {
    /// Looks for what the addresses of these rows may be joined with.
    fn probe(&self, rows: RecordBatch) -> Result<Option<Open>> {
        let given = self.given.evaluate(&rows)?.into_array(rows.num_rows())?;
        let mut ranges = Vec::new();
        let mut seen = std::collections::HashSet::new();
        for row in 0..given.len() {
            if given.is_null(row) {
                continue;
            }
            let Some(address) = inet(&ScalarValue::try_from_array(&given, row)?) else {
                return internal_err!("an index of networks is probed with no address");
            };
            if seen.insert(address) {
                ranges.extend(network_probe(self.test, &address));
            }
        }
        // Networks that hold several of the addresses are looked for once.
        let mut distinct = std::collections::HashSet::new();
        ranges.retain(|range| distinct.insert((range.from.clone(), range.to.clone())));
        if ranges.is_empty() {
            return Ok(None);
        }
        let inner = &self.inner;
        let probe = Probe { index: inner.index.id, clauses: vec![ranges] };
        let scan = inner
            .engine
            .index_scan(inner.placed.shard, &inner.view, &probe, &inner.options)
            .map_err(|e| from_sql(error::storage(e)))?;
        Ok(Some(Open { rows, scan, candidates: None }))
    }

    /// The pairs of some outer rows and all candidates for which the condition is true.
    fn join(
        &self,
        outer: &RecordBatch,
        rows: std::ops::Range<usize>,
        candidates: &RecordBatch,
    ) -> Result<RecordBatch> {
        let width = candidates.num_rows();
        let outer_rows: UInt32Array =
            rows.clone().flat_map(|row| std::iter::repeat_n(row as u32, width)).collect();
        let inner_rows: UInt32Array = rows.flat_map(|_| 0..width as u32).collect();
        self.pairs.keep((outer, &outer_rows), (candidates, &inner_rows))
    }
}

impl Inner {
    /// Read rows as the inner side's plan would give them.
    fn finish(&self, batch: &RecordBatch) -> Result<RecordBatch> {
        let named = |schema: &SchemaRef, columns: Vec<ArrayRef>, rows: usize| {
            let count = RecordBatchOptions::new().with_row_count(Some(rows));
            RecordBatch::try_new_with_options(schema.clone(), columns, &count)
        };
        let mut batch = named(&self.schema, batch.columns().to_vec(), batch.num_rows())?;
        for step in &self.steps {
            batch = match step {
                Step::Project(exprs, schema) => {
                    let columns = exprs
                        .iter()
                        .map(|expr| expr.evaluate(&batch)?.into_array(batch.num_rows()))
                        .collect::<Result<Vec<_>>>()?;
                    named(schema, columns, batch.num_rows())?
                }
                Step::Filter(predicate, projection) => {
                    let held = predicate.evaluate(&batch)?.into_array(batch.num_rows())?;
                    let kept = filter_record_batch(&batch, &is_true(&held)?)?;
                    match projection {
                        Some(columns) => kept.project(columns)?,
                        None => kept,
                    }
                }
            };
        }
        Ok(batch)
    }
}
