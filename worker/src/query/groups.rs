//! A plan run group by group, where running it over all groups at once would hold too much: each
//! group's hash tables are small, and gone when the next group's turn comes.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use datafusion::arrow::array::RecordBatch;
use datafusion::common::internal_err;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::error::Result;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::{EquivalenceProperties, Partitioning, PhysicalExpr};
use datafusion::physical_plan::execution_plan::{
    Boundedness, EmissionType, ReplaceChildrenOptions,
};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties, execute_stream,
};
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt};
use parking_lot::Mutex;
use satsuma_common::{SqlResult, SqlState};
use satsuma_sql::engine_error::{from_sql, to_sql};
use satsuma_sql::explain::Plan;
use satsuma_storage::{Engine, ReadView};
use tokio::sync::Semaphore;

use super::bind::{Joins, Source, Template};
use super::report::{Ran, Running, watched};
use super::runtime::QueryRuntime;
use super::spool::Spools;
use crate::placement::PlacedGroup;

/// A leaf whose partitions take one group after another.
pub(crate) struct GroupsExec {
    work: Arc<Work>,
    properties: Arc<PlanProperties>,
}

struct Work {
    template: Arc<Template>,
    engine: Arc<Engine>,
    runtime: Arc<QueryRuntime>,
    groups: Vec<PlacedGroup>,
    view: ReadView,
    joins: Joins,
    inputs: Arc<Spools>,
    /// Taken by a group that is joined on disk.
    spilling: Arc<Semaphore>,
    next: AtomicUsize,
    /// What was run, where somebody will ask.
    ran: Option<Arc<Mutex<Ran>>>,
}

impl Work {
    /// A group's rows. Joins take one side in before they give rows: when memory runs out before
    /// the first, the group is joined again on disk, one group at a time.
    async fn rows(
        &self,
        group: usize,
        context: Arc<TaskContext>,
    ) -> SqlResult<BoxStream<'static, Result<RecordBatch>>> {
        match self.started(group, self.joins, context.clone()).await {
            Err(error) if error.state() == SqlState::OUT_OF_MEMORY => {
                let turn = self.spilling.clone().acquire_owned().await;
                let context = QueryRuntime::spilling_context(&context);
                let rows = self.started(group, Joins::Spilling, context).await?;
                Ok(rows
                    .inspect(move |_| {
                        let _kept = &turn;
                    })
                    .boxed())
            }
            rows => rows,
        }
    }

    async fn started(
        &self,
        group: usize,
        joins: Joins,
        context: Arc<TaskContext>,
    ) -> SqlResult<BoxStream<'static, Result<RecordBatch>>> {
        let mut plan = self.plan(group, joins).await?;
        let running = match &self.ran {
            Some(ran) => {
                plan = watched(plan).map_err(to_sql)?;
                Some(Running::new(ran.clone(), plan.clone()))
            }
            None => None,
        };
        let mut rows = execute_stream(plan, context).map_err(to_sql)?;
        let first = rows.next().await.transpose().map_err(to_sql)?;
        let rows = futures::stream::iter(first.map(Ok)).chain(rows);
        Ok(rows
            .inspect(move |_| {
                let _until_the_end = &running;
            })
            .boxed())
    }

    async fn plan(&self, group: usize, joins: Joins) -> SqlResult<Arc<dyn ExecutionPlan>> {
        let source = Source {
            engine: &self.engine,
            groups: &self.groups[group..=group],
            view: self.view,
            threads: 1,
            joins,
            inputs: &self.inputs,
        };
        self.template.bind_rows(&source, &self.runtime).await
    }
}

impl GroupsExec {
    /// At least one group. Runs once: groups that were taken are not taken again.
    pub async fn new(
        template: Arc<Template>,
        source: &Source<'_>,
        runtime: Arc<QueryRuntime>,
        watched: bool,
    ) -> SqlResult<Self> {
        let work = Work {
            template,
            engine: source.engine.clone(),
            runtime,
            groups: source.groups.to_vec(),
            view: source.view,
            joins: source.joins,
            inputs: source.inputs.clone(),
            spilling: Arc::new(Semaphore::new(1)),
            next: AtomicUsize::new(0),
            ran: watched.then(Arc::default),
        };
        // All groups' plans give the same columns.
        let schema = work.plan(0, source.joins).await?.schema();
        let partitions = source.threads.min(source.groups.len()).max(1);
        let properties = PlanProperties::new(
            EquivalenceProperties::new(schema),
            Partitioning::UnknownPartitioning(partitions),
            EmissionType::Incremental,
            Boundedness::Bounded,
        );
        Ok(Self { work: Arc::new(work), properties: Arc::new(properties) })
    }

    pub fn count(&self) -> usize {
        self.work.groups.len()
    }

    pub fn ran(&self) -> Option<&Mutex<Ran>> {
        self.work.ran.as_deref()
    }

    /// Of the plans that were run.
    pub fn slowest(&self) -> Option<Plan> {
        self.ran()?.lock().slowest.as_ref().map(|(_, plan)| plan.clone())
    }
}

impl fmt::Debug for GroupsExec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "GroupsExec: groups={}", self.work.groups.len())
    }
}

impl DisplayAs for GroupsExec {
    fn fmt_as(&self, _t: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "GroupsExec: groups={}", self.work.groups.len())
    }
}

impl ExecutionPlan for GroupsExec {
    fn name(&self) -> &str {
        "GroupsExec"
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
        if partition >= self.properties.partitioning.partition_count() {
            return internal_err!("groups have no partition {partition}");
        }
        let work = self.work.clone();
        let groups = futures::stream::unfold((), move |()| {
            let (work, context) = (work.clone(), context.clone());
            async move {
                let group = work.next.fetch_add(1, Ordering::Relaxed);
                if group >= work.groups.len() {
                    return None;
                }
                Some((work.rows(group, context).await.map_err(from_sql), ()))
            }
        });
        let rows = groups.try_flatten().boxed();
        let schema = self.properties.eq_properties.schema().clone();
        Ok(Box::pin(RecordBatchStreamAdapter::new(schema, rows)))
    }
}
