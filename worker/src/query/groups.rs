//! A plan run group by group, where running it over all groups at once would hold too much: each
//! group's hash tables are small, and gone when the next group's turn comes.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

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
use futures::{StreamExt, TryStreamExt};
use satsuma_common::SqlResult;
use satsuma_sql::engine_error::from_sql;
use satsuma_storage::{Engine, ReadView};

use super::bind::{Source, Template};
use super::runtime::QueryRuntime;
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
    next: AtomicUsize,
}

impl Work {
    async fn plan(&self, group: usize) -> SqlResult<Arc<dyn ExecutionPlan>> {
        let source = Source {
            engine: &self.engine,
            groups: &self.groups[group..=group],
            view: self.view,
            threads: 1,
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
    ) -> SqlResult<Self> {
        let work = Work {
            template,
            engine: source.engine.clone(),
            runtime,
            groups: source.groups.to_vec(),
            view: source.view,
            next: AtomicUsize::new(0),
        };
        // All groups' plans give the same columns.
        let schema = work.plan(0).await?.schema();
        let partitions = source.threads.min(source.groups.len()).max(1);
        let properties = PlanProperties::new(
            EquivalenceProperties::new(schema),
            Partitioning::UnknownPartitioning(partitions),
            EmissionType::Incremental,
            Boundedness::Bounded,
        );
        Ok(Self { work: Arc::new(work), properties: Arc::new(properties) })
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
                let rows = match work.plan(group).await {
                    Ok(plan) => execute_stream(plan, context),
                    Err(error) => Err(from_sql(error)),
                };
                Some((rows, ()))
            }
        });
        let rows = groups.try_flatten().boxed();
        let schema = self.properties.eq_properties.schema().clone();
        Ok(Box::pin(RecordBatchStreamAdapter::new(schema, rows)))
    }
}
