//! What one statement runs with: a catalog snapshot, a moment, and the way to the workers.

use std::collections::BTreeMap;
use std::sync::Arc;

use datafusion::common::tree_node::TreeNode;
use datafusion::logical_expr::LogicalPlan;
use parking_lot::Mutex;
use satsuma_common::{
    ColocationId, GroupId, HashRange, NodeId, SqlError, SqlResult, SqlState, TableId,
};
use satsuma_proto::worker::{
    CHANGED_SINCE_SNAPSHOT, GroupRef, STALE_PLACEMENT, StatementContext, TableShard, Worker,
};

use super::traffic::Traffic;
use crate::catalog::{ColocationKind, Group, State, Table, TableDistribution, TableStatistics};
use crate::planner::{PlaceKind, TablePlace, Target, Tenant, Tenants, Topology, scanned_tables};
use crate::tenant_statistics::Asked;
use crate::workers::Workers;

#[derive(Clone)]
pub struct Scope {
    /// With the transaction's own uncommitted DDL.
    pub state: Arc<State>,
    pub workers: Arc<Workers>,
    pub statement: StatementContext,
    /// Bytes that rows must weigh for workers to exchange them; see [`Topology::exchange_cost`].
    pub exchange_cost: f64,
    /// Where tasks tell what they sent and received, when somebody wants to know.
    pub traffic: Option<Arc<Traffic>>,
    /// What the statement does, where that is counted.
    pub asked: Option<Arc<Mutex<Asked>>>,
}

/// A worker and what it is asked to work on.
#[derive(Clone)]
pub struct Assignment {
    pub node: NodeId,
    pub worker: Arc<dyn Worker>,
    pub groups: Vec<GroupRef>,
}

impl Scope {
    pub fn worker(&self, node: NodeId) -> SqlResult<Arc<dyn Worker>> {
        let node = self.state.node(node).ok_or_else(|| {
            SqlError::new(STALE_PLACEMENT, format!("node {node} is not in the catalog"))
        })?;
        self.workers.client(node)
    }

    pub fn group(&self, group: GroupId) -> SqlResult<&Group> {
        self.state.group(group).ok_or_else(|| {
            SqlError::new(STALE_PLACEMENT, format!("shard group {group} is not in the catalog"))
        })
    }

    /// Notes whose rows a plan of the statement asks for.
    pub fn note_tenants(&self, plan: &LogicalPlan) -> SqlResult<()> {
        if let Some(asked) = &self.asked {
            let tenants = Tenants::of(plan, self.state.as_ref())?;
            asked.lock().tenants.join(tenants);
        }
        Ok(())
    }

    /// Notes that a row of this tenant is asked for.
    pub fn note_tenant(&self, tenant: impl FnOnce() -> Tenant) {
        if let Some(asked) = &self.asked {
            asked.lock().tenants.join(Tenants::One(tenant()));
        }
    }

    /// Notes that the statement changes rows.
    pub fn note_change(&self) {
        if let Some(asked) = &self.asked {
            asked.lock().changes = true;
        }
    }

    /// The group as the catalog snapshot knows it, with the shards of `tables` that a fragment
    /// on it reads: co-located ones in the group, reference tables' own.
    pub fn group_ref(&self, group: &Group, tables: &BTreeMap<TableId, u64>) -> SqlResult<GroupRef> {
        let shards = tables
            .iter()
            .map(|(table, version)| {
                let stored = self.state.table(*table).ok_or_else(|| gone(*table))?;
                self.check_readable(stored)?;
                let is_reference = stored.distribution() == TableDistribution::Reference;
                let shard = stored
                    .shards()
                    .iter()
                    .find(|shard| is_reference || shard.group == group.id)
                    .ok_or_else(|| gone(*table))?;
                Ok(TableShard { table: *table, shard: shard.id, version: *version })
            })
            .collect::<SqlResult<Vec<_>>>()?;
        Ok(GroupRef { group: group.id, generation: group.generation, shards })
    }

    /// The statement's snapshot must not be older than the table's shards.
    pub fn check_readable(&self, table: &Table) -> SqlResult<()> {
        match table.is_readable_at(self.statement.snapshot) {
            true => Ok(()),
            false => Err(SqlError::new(
                CHANGED_SINCE_SNAPSHOT,
                format!("table {} was written anew after the snapshot", table.id()),
            )),
        }
    }

    /// Which worker runs a task on which groups, in the order of nodes.
    pub fn assign(
        &self,
        target: &Target,
        tables: &BTreeMap<TableId, u64>,
    ) -> SqlResult<Vec<Assignment>> {
        let groups: Vec<&Group> = match target {
            Target::Groups(groups) => {
                groups.iter().map(|group| self.group(*group)).collect::<SqlResult<_>>()?
            }
            Target::AnyWorker => {
                let colocation = self.state.reference_colocation();
                let group = colocation.and_then(|colocation| colocation.groups.first());
                let (_, group) = group.ok_or_else(|| {
                    SqlError::internal("a reference table is read and there is none")
                })?;
                vec![self.group(*group)?]
            }
        };
        let mut assignments: BTreeMap<NodeId, Assignment> = BTreeMap::new();
        for group in groups {
            let group_ref = self.group_ref(group, tables)?;
            match assignments.get_mut(&group.primary) {
                Some(assignment) => assignment.groups.push(group_ref),
                None => {
                    let worker = self.worker(group.primary)?;
                    let groups = vec![group_ref];
                    let assignment = Assignment { node: group.primary, worker, groups };
                    assignments.insert(group.primary, assignment);
                }
            }
        }
        Ok(assignments.into_values().collect())
    }
}

fn gone(table: TableId) -> SqlError {
    SqlError::new(STALE_PLACEMENT, format!("table {table} changed while it was read"))
}

/// A catalog snapshot, with sizes of its tables where the plan needs them.
pub struct Located<'a> {
    state: &'a State,
    rows: Arc<BTreeMap<TableId, u64>>,
    exchange_cost: f64,
}

impl Scope {
    /// What the planner must know for `plan`. Sizes decide how tables are joined; other plans
    /// need none.
    pub async fn topology(&self, plan: &LogicalPlan) -> Located<'_> {
        let joins = plan.exists(|node| Ok(matches!(node, LogicalPlan::Join(_)))).unwrap_or(false);
        let rows = match joins {
            true => {
                let needed = scanned_tables(plan).unwrap_or_default();
                self.workers.table_rows(&self.state, &needed).await
            }
            false => Arc::default(),
        };
        Located { state: &self.state, rows, exchange_cost: self.exchange_cost }
    }
}

impl Topology for Located<'_> {
    fn place(&self, table: TableId) -> Option<TablePlace> {
        self.state.place(table)
    }

    fn ranges(&self, colocation: ColocationId) -> Option<Arc<[(HashRange, GroupId)]>> {
        self.state.ranges(colocation)
    }

    fn worker_count(&self) -> usize {
        self.state.workers().count()
    }

    fn rows(&self, table: TableId) -> Option<u64> {
        self.rows.get(&table).copied()
    }

    fn exchange_cost(&self) -> f64 {
        self.exchange_cost
    }

    fn statistics(&self, table: TableId) -> Option<Arc<TableStatistics>> {
        self.state.statistics(table)
    }
}

impl Topology for State {
    fn place(&self, table: TableId) -> Option<TablePlace> {
        let table = self.table(table)?;
        let colocation = self.colocation(table.colocation())?;
        let kind = match (table.distribution(), colocation.kind) {
            (TableDistribution::Reference, _) => PlaceKind::Reference,
            (TableDistribution::Hash(column), ColocationKind::Hash) => {
                PlaceKind::Hash { column, ty: table.shape.column(column)?.ty.clone() }
            }
            _ => PlaceKind::Single,
        };
        Some(TablePlace {
            colocation: colocation.id,
            kind,
            groups: colocation.groups.as_slice().into(),
        })
    }

    fn ranges(&self, colocation: ColocationId) -> Option<Arc<[(HashRange, GroupId)]>> {
        self.colocation(colocation).map(|colocation| colocation.groups.as_slice().into())
    }

    fn worker_count(&self) -> usize {
        self.workers().count()
    }

    fn rows(&self, _table: TableId) -> Option<u64> {
        None
    }

    fn statistics(&self, table: TableId) -> Option<Arc<TableStatistics>> {
        State::statistics(self, table)
    }
}

/// The state of a statement that must be planned again on a fresh snapshot.
pub fn is_stale(error: &SqlError) -> bool {
    error.state() == STALE_PLACEMENT
}

/// An error as the client sees it: states that only coordinators and workers know among each
/// other become ones that a driver knows.
pub fn for_client(error: SqlError) -> SqlError {
    match error.state() {
        STALE_PLACEMENT => SqlError::new(
            SqlState::SERIALIZATION_FAILURE,
            "could not serialize access due to a concurrent change of a table or its placement",
        )
        .detail(error.message().to_owned()),
        CHANGED_SINCE_SNAPSHOT => SqlError::new(
            SqlState::SERIALIZATION_FAILURE,
            "could not serialize access due to concurrent update",
        ),
        _ => error,
    }
}
