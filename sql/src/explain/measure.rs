//! Operators that are watched at work, for EXPLAIN ANALYZE.
//!
//! PostgreSQL's times: those of an operator include the ones below it, and count from when it is
//! asked for rows to when it has them.

use std::collections::BTreeMap;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::error::Result;
use datafusion::execution::{RecordBatchStream, SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_plan::execution_plan::CardinalityEffect;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties, replace_children_if_necessary,
};
use futures::{Stream, StreamExt};
use parking_lot::Mutex;
use satsuma_common::arrow_size::batch_bytes;

use super::operators::is_plumbing;

pub type Plan = Arc<dyn ExecutionPlan>;

/// The plan with every operator that is shown watched. `own` does the same for plans that an
/// operator has beside its children.
pub fn measured(plan: Plan, own: &dyn Fn(Plan) -> Result<Plan>) -> Result<Plan> {
    let children = plan.children().into_iter().cloned();
    let children = children.map(|child| measured(child, own)).collect::<Result<Vec<_>>>()?;
    let plan = own(replace_children_if_necessary(plan, children)?)?;
    if is_plumbing(plan.name()) {
        return Ok(plan);
    }
    Ok(Arc::new(MeasuredExec { plan, measure: Arc::default() }))
}

/// A watched operator and what it did; the operator itself where it is not watched.
pub(super) fn seen(plan: &Plan) -> (&Plan, Option<&Arc<Measure>>) {
    match plan.downcast_ref::<MeasuredExec>() {
        Some(watched) => (&watched.plan, Some(&watched.measure)),
        None => (plan, None),
    }
}

/// What an operator did, in each of its partitions.
#[derive(Debug, Default)]
pub struct Measure(Mutex<BTreeMap<usize, Part>>);

#[derive(Clone, Copy, Debug, Default)]
struct Part {
    loops: u32,
    rows: u64,
    bytes: u64,
    /// Until the first rows of each loop.
    startup: Duration,
    total: Duration,
}

impl Measure {
    pub fn rows(&self) -> u64 {
        self.0.lock().values().map(|part| part.rows).sum()
    }

    pub fn bytes(&self) -> u64 {
        self.0.lock().values().map(|part| part.bytes).sum()
    }

    /// ` (actual time=0.012..1.234 rows=5 loops=1)`. Partitions work side by side.
    pub fn actual(&self, timing: bool) -> String {
        let parts = self.0.lock();
        let loops = parts.values().map(|part| part.loops).max().unwrap_or(0);
        if loops == 0 {
            return " (never executed)".into();
        }
        let rows: u64 = parts.values().map(|part| part.rows).sum();
        let rows = (rows as f64 / f64::from(loops)).round();
        let millis = |time: fn(&Part) -> Duration| {
            let time = parts.values().map(time).max().unwrap_or_default() / loops;
            time.as_secs_f64() * 1000.0
        };
        let time = match timing {
            true => {
                format!(
                    "time={:.3}..{:.3} ",
                    millis(|part| part.startup),
                    millis(|part| part.total)
                )
            }
            false => String::new(),
        };
        format!(" (actual {time}rows={rows} loops={loops})")
    }

    fn note(&self, partition: usize, what: impl FnOnce(&mut Part)) {
        what(self.0.lock().entry(partition).or_default());
    }
}

/// Gives its input's rows and counts them.
#[derive(Debug)]
struct MeasuredExec {
    plan: Plan,
    measure: Arc<Measure>,
}

impl DisplayAs for MeasuredExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MeasuredExec")
    }
}

impl ExecutionPlan for MeasuredExec {
    fn name(&self) -> &'static str {
        "MeasuredExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        self.plan.properties()
    }

    fn maintains_input_order(&self) -> Vec<bool> {
        vec![true]
    }

    fn cardinality_effect(&self) -> CardinalityEffect {
        CardinalityEffect::Equal
    }

    fn children(&self) -> Vec<&Plan> {
        vec![&self.plan]
    }

    fn apply_expressions(
        &self,
        _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    /// The same measure: a recursive query makes its plan anew for each round.
    fn with_new_children(self: Arc<Self>, mut children: Vec<Plan>) -> Result<Plan> {
        Ok(match children.pop() {
            Some(plan) => Arc::new(Self { plan, measure: self.measure.clone() }),
            None => self,
        })
    }

    fn execute(
        &self,
        partition: usize,
        context: Arc<TaskContext>,
    ) -> Result<SendableRecordBatchStream> {
        self.measure.note(partition, |part| part.loops += 1);
        let rows = self.plan.execute(partition, context)?;
        let measure = self.measure.clone();
        Ok(Box::pin(Watched { rows, measure, partition, asked: None, has_rows: false }))
    }
}

struct Watched {
    rows: SendableRecordBatchStream,
    measure: Arc<Measure>,
    partition: usize,
    /// When rows were asked for that are not there yet.
    asked: Option<Instant>,
    has_rows: bool,
}

impl Stream for Watched {
    type Item = Result<RecordBatch>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let asked = *self.asked.get_or_insert_with(Instant::now);
        let batch = ready!(self.rows.poll_next_unpin(context));
        self.asked = None;
        let first = !std::mem::replace(&mut self.has_rows, true);
        self.measure.note(self.partition, |part| {
            let took = asked.elapsed();
            part.total += took;
            if first {
                part.startup += took;
            }
            if let Some(Ok(batch)) = &batch {
                part.rows += batch.num_rows() as u64;
                part.bytes += batch_bytes(batch) as u64;
            }
        });
        Poll::Ready(batch)
    }
}

impl RecordBatchStream for Watched {
    fn schema(&self) -> SchemaRef {
        self.rows.schema()
    }
}
