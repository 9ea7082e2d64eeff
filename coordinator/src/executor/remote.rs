//! The leaf of a coordinator's physical plan: rows that workers send.

use std::any::Any;
use std::fmt;
use std::sync::Arc;
use std::task::Poll;

use datafusion::arrow::array::{RecordBatch, RecordBatchOptions};
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode, TreeNodeRecursion};
use datafusion::error::{DataFusionError, Result as EngineResult};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::{EquivalenceProperties, PhysicalExpr};
use datafusion::physical_plan::execution_plan::{
    Boundedness, EmissionType, SchedulingType, reset_plan_states,
};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, Partitioning, PlanProperties,
    ReplaceChildrenOptions,
};
use futures::stream::{self, StreamExt, TryStreamExt};
use parking_lot::Mutex;
use satsuma_common::{SqlError, SqlResult};
use satsuma_proto::report::ReportWanted;
use satsuma_proto::worker::{BatchStream, Fragment, FragmentMode, QueryRequest};
use satsuma_sql::engine_error::{from_sql, to_sql};
use satsuma_sql::explain::{self, Plan};
use satsuma_sql::{codec, interrupt, lift};
use tokio_util::sync::CancellationToken;

use super::exchange::{self, Destination, Source};
use super::scope::Scope;
use crate::planner::{RemoteTask, scanned_tables};

/// Asks the workers for the rows of `task`. Their streams are merged as they come.
pub fn fetch(
    scope: &Scope,
    task: &RemoteTask,
    mode: FragmentMode,
    schema: SchemaRef,
    sources: Vec<Source>,
) -> SqlResult<BatchStream> {
    let (plan, constants) = lift::lift(task.plan.clone()).map_err(to_sql)?;
    let (plan, constants) = (codec::encode(&plan)?, codec::encode_constants(&constants)?);
    let fragment = Fragment { plan, mode, constants };
    let tables = scanned_tables(&task.plan)?;
    let assignments = scope.assign(&task.target, &tables)?;
    let traffic = scope.traffic.clone();
    let meter = traffic.as_ref().map(|traffic| traffic.of(task));
    let described: Vec<_> = sources.iter().map(Source::described).collect();
    let (inputs, feeds) = match sources.is_empty() {
        true => (Vec::new(), Vec::new()),
        false => exchange::start(sources, &assignments, meter.as_ref()),
    };
    let mut inputs = inputs.into_iter();
    let accepted: Vec<_> = assignments
        .into_iter()
        .map(|assignment| {
            let (node, groups) = (assignment.node, assignment.groups.len());
            let report = traffic.as_ref().map(|traffic| ReportWanted::new(traffic.style()));
            let request = QueryRequest {
                context: scope.statement.clone(),
                groups: assignment.groups,
                fragment: fragment.clone(),
                schema: schema.clone(),
                inputs: described.clone(),
                report: report.clone(),
            };
            let worker = assignment.worker;
            let input = inputs.next();
            // Started at once, so that workers do not wait for each other's first rows.
            let started = tokio::spawn(async move {
                match input {
                    Some(input) => worker.query_over(request, input).await,
                    None => worker.query(request).await,
                }
            });
            (started, report, (node, groups))
        })
        .collect();
    // Every worker must have taken its part before a row is shown: after that, a placement that
    // turns out to be old could not be hidden any more.
    let all = stream::once(async move {
        let mut streams: Vec<BatchStream> = Vec::with_capacity(accepted.len());
        for (started, report, share) in accepted {
            let abandoned = |_| SqlError::internal("a remote query was abandoned");
            let rows = started.await.map_err(abandoned)??;
            streams.push(match (&traffic, &meter, report) {
                (Some(traffic), Some(meter), Some(report)) => {
                    traffic.watch(rows, report, meter.clone(), share)
                }
                _ => rows,
            });
        }
        Ok::<_, SqlError>(stream::select_all(streams))
    });
    let rows = all
        .try_flatten()
        .map(move |batch| {
            let _kept = &feeds;
            conform(batch?, &schema)
        })
        .boxed();
    Ok(match interrupt::signal() {
        Some(stop) => cut(rows, stop),
        None => rows,
    })
}

/// The rows, which are let go when `stop` says so: whoever reads them may be at work on something
/// that it cannot leave (a sort of all that was taken), and the workers need not wait for its end.
fn cut(rows: BatchStream, stop: CancellationToken) -> BatchStream {
    let rows = Arc::new(Mutex::new(Some(rows)));
    let held = rows.clone();
    tokio::spawn(async move {
        stop.cancelled().await;
        let rows = held.lock().take();
        drop(rows);
    });
    stream::poll_fn(move |context| match rows.lock().as_mut() {
        Some(rows) => rows.poll_next_unpin(context),
        None => Poll::Ready(Some(Err(interrupt::stopped()))),
    })
    .boxed()
}

/// The batch under the schema that the plan expects: workers may know more of nullability and
/// less of metadata, the types must be the same.
pub fn conform(batch: RecordBatch, schema: &SchemaRef) -> SqlResult<RecordBatch> {
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    RecordBatch::try_new_with_options(schema.clone(), batch.columns().to_vec(), &options)
        .map_err(|error| to_sql(DataFusionError::ArrowError(Box::new(error), None)))
}

/// The plans of a task's inputs, and where their rows go.
type Inputs = Vec<(Arc<dyn ExecutionPlan>, Destination)>;

/// [`fetch`] as an operator: one partition, no inputs.
pub struct RemoteExec {
    scope: Arc<Scope>,
    task: RemoteTask,
    mode: FragmentMode,
    inputs: Inputs,
    properties: Arc<PlanProperties>,
}

impl RemoteExec {
    pub fn new(
        scope: Arc<Scope>,
        task: RemoteTask,
        mode: FragmentMode,
        schema: SchemaRef,
        inputs: Inputs,
    ) -> Self {
        let properties = PlanProperties::new(
            EquivalenceProperties::new(schema),
            Partitioning::UnknownPartitioning(1),
            EmissionType::Incremental,
            Boundedness::Bounded,
        )
        .with_scheduling_type(SchedulingType::Cooperative);
        Self { scope, task, mode, inputs, properties: Arc::new(properties) }
    }

    fn over(&self, inputs: Inputs) -> Arc<dyn ExecutionPlan> {
        Arc::new(Self {
            scope: self.scope.clone(),
            task: self.task.clone(),
            mode: self.mode,
            inputs,
            properties: self.properties.clone(),
        })
    }

    pub fn task(&self) -> &RemoteTask {
        &self.task
    }

    pub fn mode(&self) -> FragmentMode {
        self.mode
    }

    /// The plans of the task's inputs, in order.
    pub fn inputs(&self) -> impl Iterator<Item = &Plan> {
        self.inputs.iter().map(|(plan, _)| plan)
    }
}

/// The plan with every operator watched, those of tasks' inputs, too.
pub fn watched(plan: Plan) -> EngineResult<Plan> {
    explain::measured(plan, &|plan| {
        let Some(remote) = plan.downcast_ref::<RemoteExec>() else { return Ok(plan) };
        let inputs = remote
            .inputs
            .iter()
            .map(|(plan, destination)| Ok((watched(plan.clone())?, destination.clone())));
        Ok(remote.over(inputs.collect::<EngineResult<_>>()?))
    })
}

impl fmt::Debug for RemoteExec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RemoteExec: tasks={}", self.task.task_count())
    }
}

impl DisplayAs for RemoteExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RemoteExec: tasks={}", self.task.task_count())
    }
}

impl ExecutionPlan for RemoteExec {
    fn name(&self) -> &'static str {
        "RemoteExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        Vec::new()
    }

    fn apply_expressions(
        &self,
        _f: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> EngineResult<TreeNodeRecursion>,
    ) -> EngineResult<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn replace_children(
        self: Arc<Self>,
        _: Vec<Arc<dyn ExecutionPlan>>,
        _: ReplaceChildrenOptions,
    ) -> EngineResult<Arc<dyn ExecutionPlan>> {
        Ok(self)
    }

    fn with_new_children(
        self: Arc<Self>,
        _: Vec<Arc<dyn ExecutionPlan>>,
    ) -> EngineResult<Arc<dyn ExecutionPlan>> {
        Ok(self)
    }

    /// A recursive query's work table, where an input reads it.
    fn with_new_state(&self, state: Arc<dyn Any + Send + Sync>) -> Option<Arc<dyn ExecutionPlan>> {
        let mut reads = false;
        let inputs = self.inputs.iter().map(|(plan, destination)| {
            let plan = plan.clone().transform_down(|node| {
                Ok(match node.with_new_state(state.clone()) {
                    Some(node) => {
                        reads = true;
                        Transformed::yes(node)
                    }
                    None => Transformed::no(node),
                })
            });
            Some((plan.data().ok()?, destination.clone()))
        });
        let inputs = inputs.collect::<Option<_>>()?;
        reads.then(|| self.over(inputs))
    }

    fn reset_state(self: Arc<Self>) -> EngineResult<Arc<dyn ExecutionPlan>> {
        let inputs = self
            .inputs
            .iter()
            .map(|(plan, destination)| Ok((reset_plan_states(plan.clone())?, destination.clone())));
        Ok(self.over(inputs.collect::<EngineResult<_>>()?))
    }

    fn execute(
        &self,
        _partition: usize,
        context: Arc<TaskContext>,
    ) -> EngineResult<SendableRecordBatchStream> {
        let schema = self.schema();
        let sources = self
            .inputs
            .iter()
            .map(|(plan, destination)| {
                let rows = plan.execute(0, context.clone())?;
                Ok(Source {
                    rows: rows.map_err(to_sql).boxed(),
                    schema: plan.schema(),
                    destination: destination.clone(),
                })
            })
            .collect::<EngineResult<Vec<_>>>()?;
        let rows =
            fetch(&self.scope, &self.task, self.mode, schema.clone(), sources).map_err(from_sql)?;
        Ok(Box::pin(RecordBatchStreamAdapter::new(schema, rows.map_err(from_sql))))
    }
}
