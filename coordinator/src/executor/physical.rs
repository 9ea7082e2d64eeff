//! Makes a distributed plan executable at the coordinator.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::Arc;

use async_trait::async_trait;
use datafusion::arrow::array::RecordBatch;
use datafusion::catalog::Session;
use datafusion::catalog::default_table_source::provider_as_source;
use datafusion::common::tree_node::Transformed;
use datafusion::datasource::MemTable;
use datafusion::error::Result as EngineResult;
use datafusion::execution::SessionState;
use datafusion::logical_expr::physical_planning_context::PhysicalPlanningContext;
use datafusion::logical_expr::{LogicalPlan, TableScan, UserDefinedLogicalNode};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_planner::{DefaultPhysicalPlanner, ExtensionPlanner, PhysicalPlanner};
use satsuma_common::{SqlError, SqlResult};
use satsuma_proto::worker::FragmentMode;
use satsuma_sql::engine_error::{from_sql, to_sql};
use satsuma_sql::split_aggregate::SplitAggregate;
use satsuma_sql::table::{Scan, ScanSource};

use super::exchange::Destination;
use super::remote::RemoteExec;
use super::scope::Scope;
use crate::planner::{Input, RemoteAggregate, RemoteScan, Spread};

/// The physical plan of a distributed plan. Catalog relations are read here and now. Aggregates
/// are finished by `threads` together.
pub async fn plan(
    state: &SessionState,
    plan: LogicalPlan,
    scope: Arc<Scope>,
    threads: usize,
) -> SqlResult<Arc<dyn ExecutionPlan>> {
    let plan = read_system_relations(plan)?;
    let remote = Arc::new(RemotePlanner { scope, threads });
    let planner = DefaultPhysicalPlanner::with_extension_planners(vec![remote]);
    planner.create_physical_plan(&plan, state).await.map_err(to_sql)
}

fn read_system_relations(plan: LogicalPlan) -> SqlResult<LogicalPlan> {
    // A correlated subquery has its outer query's relations once more: they are read once.
    let mut read: BTreeMap<(String, String), RecordBatch> = BTreeMap::new();
    plan.transform_up_with_subqueries(|node| {
        let LogicalPlan::TableScan(scan) = node else { return Ok(Transformed::no(node)) };
        let relation = match scan.source.downcast_ref::<ScanSource>().map(|source| &source.scan) {
            Some(Scan::System(relation)) => relation.clone(),
            Some(Scan::Table(info)) => {
                return Err(from_sql(SqlError::internal(format!(
                    "table \"{}\" was not distributed",
                    info.shape.name
                ))));
            }
            Some(Scan::Input | Scan::Exchanged(_) | Scan::Returned(_)) | None => {
                return Ok(Transformed::no(LogicalPlan::TableScan(scan)));
            }
        };
        let rows = match read.entry((relation.schema_name.clone(), relation.name.clone())) {
            Entry::Occupied(rows) => rows.get().clone(),
            Entry::Vacant(entry) => entry.insert((relation.rows)().map_err(from_sql)?).clone(),
        };
        let rows = super::remote::conform(rows, &scan.source.schema()).map_err(from_sql)?;
        let table = MemTable::try_new(scan.source.schema(), vec![vec![rows]])?;
        let source = provider_as_source(Arc::new(table));
        Ok(Transformed::yes(LogicalPlan::TableScan(TableScan { source, ..scan })))
    })
    .map(|transformed| transformed.data)
    .map_err(to_sql)
}

/// The plans of a task's inputs, and where their rows go.
async fn inputs(
    inputs: &[Input],
    planner: &dyn PhysicalPlanner,
    session: &dyn Session,
) -> EngineResult<Vec<(Arc<dyn ExecutionPlan>, Destination)>> {
    let mut planned = Vec::with_capacity(inputs.len());
    for input in inputs {
        let plan = read_system_relations(input.plan.clone()).map_err(from_sql)?;
        let destination = match &input.spread {
            Spread::Copies => Destination::Copies,
            Spread::ByHash { key, ty, ranges } => Destination::ByHash {
                key: session.create_physical_expr(key.clone(), plan.schema())?,
                ty: ty.clone(),
                ranges: ranges.clone(),
            },
        };
        planned.push((planner.create_physical_plan(&plan, session).await?, destination));
    }
    Ok(planned)
}

struct RemotePlanner {
    scope: Arc<Scope>,
    /// That may finish an aggregate together.
    threads: usize,
}

#[async_trait]
impl ExtensionPlanner for RemotePlanner {
    async fn plan_extension(
        &self,
        planner: &dyn PhysicalPlanner,
        node: &dyn UserDefinedLogicalNode,
        _logical_inputs: &[&LogicalPlan],
        _physical_inputs: &[Arc<dyn ExecutionPlan>],
        session: &dyn Session,
        _planning_ctx: &PhysicalPlanningContext,
    ) -> EngineResult<Option<Arc<dyn ExecutionPlan>>> {
        if let Some(scan) = node.as_any().downcast_ref::<RemoteScan>() {
            let schema = scan.task.plan.schema().inner().clone();
            let (scope, task) = (self.scope.clone(), scan.task.clone());
            let inputs = inputs(&task.inputs, planner, session).await?;
            let mode = FragmentMode::Rows;
            return Ok(Some(Arc::new(RemoteExec::new(scope, task, mode, schema, inputs))));
        }
        if let Some(node) = node.as_any().downcast_ref::<RemoteAggregate>() {
            let split = SplitAggregate::new(&node.aggregate).await.map_err(from_sql)?;
            let inputs = inputs(&node.task.inputs, planner, session).await?;
            let states = RemoteExec::new(
                self.scope.clone(),
                node.task.clone(),
                FragmentMode::PartialAggregate,
                split.state_schema(),
                inputs,
            );
            return split.finish(Arc::new(states), self.threads).map(Some).map_err(from_sql);
        }
        Ok(None)
    }
}
