//! The remote leaves of a plan: one task of each, with its worker's plan.

use std::collections::HashMap;
use std::sync::Arc;

use datafusion::arrow::datatypes::SchemaRef;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::datasource::memory::MemorySourceConfig;
use datafusion::datasource::source::DataSourceExec;
use datafusion::logical_expr::LogicalPlan;
use satsuma_common::{NodeId, SqlResult};
use satsuma_proto::report::Report;
use satsuma_proto::worker::{Fragment, FragmentMode, QueryRequest};
use satsuma_sql::codec;
use satsuma_sql::engine_error::to_sql;
use satsuma_sql::explain::{Child, Node, Operator, Operators, Plan, Style, tree};
use satsuma_sql::table::{Scan, ScanSource};

use super::{millis, ways};
use crate::executor::{RemoteExec, Scope, Share, Traffic};
use crate::planner::{Input, RemoteTask, Spread, Target, choice, scanned_tables};
use crate::system_relations::citus::size_pretty;

/// Everything of a plan that only the coordinator or its workers know.
pub(super) struct Tasks {
    shown: HashMap<RemoteTask, Shown>,
    traffic: Arc<Traffic>,
    scope: Arc<Scope>,
    /// Whether tasks tell how long they took.
    summary: bool,
    /// Relations of the catalog that the plan reads.
    relations: Vec<(String, SchemaRef)>,
}

/// One task of many.
struct Shown {
    node: NodeId,
    plan: Vec<String>,
    /// What its worker said, if the task has been run.
    share: Option<Share>,
}

impl Tasks {
    /// `plan` is the physical plan of `logical`.
    pub async fn of(
        plan: &Plan,
        logical: &LogicalPlan,
        (traffic, summary): (&Arc<Traffic>, bool),
        scope: &Arc<Scope>,
    ) -> SqlResult<Self> {
        let mut found = Vec::new();
        remote_leaves(plan, &mut found);
        let mut shown = HashMap::new();
        for (task, mode) in found {
            if shown.contains_key(&task) {
                continue;
            }
            if let Some(one) = one_task(&task, mode, traffic, scope).await? {
                shown.insert(task, one);
            }
        }
        let (traffic, scope) = (traffic.clone(), scope.clone());
        Ok(Self { shown, traffic, scope, summary, relations: relations(logical)? })
    }

    fn remote(&self, remote: &RemoteExec, style: Style) -> Operator {
        let task = remote.task();
        let count = task.task_count();
        let mut properties = vec![format!("Task Count: {count}")];
        if style.analyze {
            let meter = self.traffic.of(task);
            let received = size_pretty(meter.received());
            properties.push(format!("Tuple data received from nodes: {received}"));
            for (what, bytes) in [
                ("Tuple data sent to nodes", meter.sent()),
                ("Tuple data on disk at nodes", meter.spilled()),
            ] {
                if bytes > 0 {
                    properties.push(format!("{what}: {}", size_pretty(bytes)));
                }
            }
        }
        let shown = if count == 1 { "All".into() } else { format!("One of {count}") };
        properties.push(format!("Tasks Shown: {shown}"));
        if style.verbose {
            properties.extend(ways::shards(task, &self.scope.state).ok().flatten());
            properties.extend(task.choice.iter().flat_map(|choice| ways::lines(choice)));
        }
        let mut more = Vec::new();
        more.extend(self.shown.get(task).map(|shown| Child::Node(self.task(shown))));
        let inputs = task.inputs.iter().zip(remote.inputs());
        more.extend(inputs.map(|(input, plan)| Child::Node(self.input(input, plan, count, style))));
        let title = "Custom Scan (Citus Adaptive)".into();
        Operator { title, properties, more, ..Operator::default() }
    }

    fn task(&self, shown: &Shown) -> Node {
        let mut task = Node::new("Task");
        let mut plan = shown.plan.clone();
        if let Some(share) = &shown.share {
            let received = size_pretty(share.received);
            task.properties.push(format!("Tuple data received from node: {received}"));
        }
        if let Some(node) = self.scope.state.node(shown.node) {
            let database = &self.scope.state.cluster().database;
            task.properties
                .push(format!("Node: host={} port={} dbname={database}", node.host, node.port));
        }
        if let Some(Share { groups, report, .. }) = &shown.share {
            if *groups > 1 {
                task.properties.push(format!("Tasks Run Together: {groups}"));
            }
            let Report { planning, execution, .. } = report;
            if self.summary {
                plan.push(format!("Planning Time: {:.3} ms", millis(*planning)));
                plan.push(format!("Execution Time: {:.3} ms", millis(*execution)));
            }
        }
        task.children.push(Child::Written(plan));
        task
    }

    /// Rows that travel to the task's workers, in the words that Citus has for it.
    fn input(&self, input: &Input, plan: &Plan, tasks: usize, style: Style) -> Node {
        let mut node = match &input.spread {
            Spread::Copies => Node::new("Broadcast"),
            Spread::ByHash { key, .. } => {
                let mut node = Node::new("MapMergeJob");
                node.properties.push(format!("Partition Key: {}", choice::name(key)));
                node.properties.push(format!("Merge Task Count: {tasks}"));
                node
            }
        };
        if style.verbose {
            node.properties.extend(ways::lines(&input.choice));
        }
        node.children.push(Child::Node(tree(plan, style, self)));
        node
    }
}

impl Operators for Tasks {
    fn relation(&self, plan: &Plan) -> Option<String> {
        plan.is::<RemoteExec>().then(|| "remote_scan".into())
    }

    fn describe(&self, plan: &Plan, style: Style) -> Option<Operator> {
        if let Some(remote) = plan.downcast_ref::<RemoteExec>() {
            return Some(self.remote(remote, style));
        }
        let source = plan.downcast_ref::<DataSourceExec>()?;
        let source = source.data_source().downcast_ref::<MemorySourceConfig>()?;
        let schema = source.original_schema();
        let (name, _) = self.relations.iter().find(|(_, known)| *known == schema)?;
        Some(Operator { title: format!("Function Scan on {name}"), ..Operator::default() })
    }
}

/// The remote leaves of a plan and of their inputs.
fn remote_leaves(plan: &Plan, found: &mut Vec<(RemoteTask, FragmentMode)>) {
    if let Some(remote) = plan.downcast_ref::<RemoteExec>() {
        found.push((remote.task().clone(), remote.mode()));
        remote.inputs().for_each(|input| remote_leaves(input, found));
    }
    plan.children().into_iter().for_each(|child| remote_leaves(child, found));
}

/// The slowest worker's share of a task that has been run; else what its first would be. `None`
/// where there is nothing to do.
async fn one_task(
    task: &RemoteTask,
    mode: FragmentMode,
    traffic: &Traffic,
    scope: &Scope,
) -> SqlResult<Option<Shown>> {
    if let Some(share) = traffic.of(task).slowest() {
        let (node, plan) = (share.node, share.report.plan.clone());
        return Ok(Some(Shown { node, plan, share: Some(share) }));
    }
    let first = match &task.target {
        Target::Groups(groups) => Target::Groups(groups.iter().take(1).copied().collect()),
        Target::AnyWorker => Target::AnyWorker,
    };
    let tables = scanned_tables(&task.plan)?;
    let Some(assignment) = scope.assign(&first, &tables)?.into_iter().next() else {
        return Ok(None);
    };
    let request = QueryRequest {
        context: scope.statement.clone(),
        groups: assignment.groups,
        fragment: Fragment { plan: codec::encode(&task.plan)?, mode, constants: Vec::new() },
        schema: task.plan.schema().inner().clone(),
        inputs: task.inputs.iter().map(described).collect(),
        report: None,
    };
    let plan = assignment.worker.explain(request, traffic.style()).await?;
    Ok(Some(Shown { node: assignment.node, plan, share: None }))
}

fn described(input: &Input) -> satsuma_proto::worker::Input {
    satsuma_proto::worker::Input {
        schema: input.plan.schema().inner().clone(),
        by_group: matches!(input.spread, Spread::ByHash { .. }),
    }
}

/// Names of the catalog's relations that a plan reads here, with their columns: all that is left
/// of them in a physical plan.
fn relations(plan: &LogicalPlan) -> SqlResult<Vec<(String, SchemaRef)>> {
    let mut relations = Vec::new();
    plan.apply_with_subqueries(|node| {
        if let LogicalPlan::TableScan(scan) = node
            && let Some(source) = scan.source.downcast_ref::<ScanSource>()
            && let Scan::System(relation) = &source.scan
        {
            relations.push((relation.name.clone(), scan.source.schema()));
        }
        Ok(TreeNodeRecursion::Continue)
    })
    .map_err(to_sql)?;
    Ok(relations)
}
