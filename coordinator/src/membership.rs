//! What workers ask of this coordinator: to be taken in, and how transactions ended.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use satsuma_common::{NodeId, SqlError, SqlResult, SqlState, Timestamp, TxnId};
use satsuma_proto::worker::{Membership, Outcomes, Registration, Worker};

use crate::catalog::{Command, Node, NodeChange, NodeRole, Outcome, State};
use crate::cluster::Cluster;

/// How long a worker may take to say who it is, or to take notice.
const PATIENCE: Duration = Duration::from_secs(5);

/// Answers workers from the catalog.
pub struct Members(pub Arc<Cluster>);

#[async_trait]
impl Outcomes for Members {
    /// The first decision stands: a transaction that its coordinator has not decided is aborted
    /// by the question.
    async fn outcome(&self, txn: TxnId) -> SqlResult<Option<Timestamp>> {
        if let Some(outcome) = self.0.catalog.snapshot().decisions().get(txn) {
            return Ok(outcome);
        }
        let decide = Command::Decide { txn, outcome: None };
        match self.0.catalog.propose(decide).await?.into_result()? {
            Outcome::Decided(outcome) => Ok(outcome),
            _ => Err(SqlError::internal("the catalog answered a question with something else")),
        }
    }

    /// A transaction that nobody is at work on any more is aborted here already.
    async fn peek_outcome(&self, txn: TxnId) -> SqlResult<Option<Option<Timestamp>>> {
        if let Some(outcome) = self.0.catalog.snapshot().decisions().get(txn) {
            return Ok(Some(outcome));
        }
        if self.0.is_at_work(txn).await {
            return Ok(None);
        }
        self.outcome(txn).await.map(Some)
    }

    async fn now(&self) -> SqlResult<Timestamp> {
        self.0.oracle.timestamp().await
    }

    async fn register(&self, worker: Registration) -> SqlResult<Membership> {
        let Registration { host, port, directory, member } = worker;
        let (cluster, node) = member.unzip();
        check_cluster(&self.0, cluster.as_deref()).await?;
        check_address(&self.0, &host, port, &directory).await?;
        let node = take_in(&self.0, host, port, directory, node).await?;
        // A worker that does not remember the cluster yet must not be given shards: it could be
        // taken in by another cluster with them. It comes again when it does.
        if cluster.is_some() {
            resume(&self.0, node).await?;
        }
        Ok(membership(&self.0.catalog.snapshot(), node))
    }
}

/// 08004 where a worker belongs to another cluster: what it has is that cluster's, and must not be
/// taken for leftovers of this one. 57P03 while this coordinator does not know its own cluster yet:
/// it answers others before its log has been replayed.
pub(crate) async fn check_cluster(cluster: &Cluster, belongs_to: Option<&str>) -> SqlResult<()> {
    let state = cluster.catalog.read().await?;
    let known = &state.cluster().id;
    match belongs_to {
        _ if known.is_empty() => {
            Err(SqlError::new(SqlState::CANNOT_CONNECT_NOW, "the coordinator is starting up"))
        }
        Some(other) if other != known => Err(SqlError::new(
            SqlState::CONNECTION_REJECTED,
            "the worker belongs to another cluster",
        )
        .hint("Start it with an empty data directory to add it to this one.")),
        _ => Ok(()),
    }
}

/// A worker must answer where it says that it is, before it gets an id that nobody could use. 55000
/// where the address is another node's: that one may come back.
async fn check_address(cluster: &Cluster, host: &str, port: u16, directory: &str) -> SqlResult<()> {
    let refused = |message| SqlError::new(SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE, message);
    let state = cluster.catalog.snapshot();
    let is_known = |node: &&Node| node.directory.as_deref() == Some(directory);
    let known = state.workers().find(is_known);
    if known.is_some_and(|node| node.host == host && node.port == port) {
        return Ok(());
    }
    let whoever = cluster.workers.probe(&Node::worker_at(host, port))?;
    let unreachable = |error: SqlError| {
        error.hint("Coordinators must reach the worker at the address that --advertise names.")
    };
    let answer = tokio::time::timeout(PATIENCE, whoever.status()).await.unwrap_or_else(|_| {
        let message = format!("nobody answers at {host}:{port}");
        Err(SqlError::new(SqlState::CONNECTION_FAILURE, message))
    });
    if answer.map_err(unreachable)?.directory != directory {
        return Err(refused(format!("another worker answers at {host}:{port}")));
    }
    match state.node_at(host, port) {
        // Nodes that are known may exchange their addresses.
        Some(other) if known.is_none() && other.directory.is_some() => Err(refused(format!(
            "node {} has another data directory than the worker at {host}:{port}",
            other.id.0
        ))
        .hint(format!(
            "If its data directory can be restored, start it with that one. If it is lost, \
                     start this worker at another address; SELECT citus_remove_node('{host}', \
                     {port}) removes the lost one once it holds no table's only shards."
        ))),
        _ => Ok(()),
    }
}

/// Tells a worker that it was removed: it forgets where the coordinators are.
pub async fn dismiss(cluster: &Cluster, node: &Node) {
    let state = cluster.catalog.snapshot();
    let alone = Membership { coordinators: Vec::new(), ..membership(&state, node.id) };
    let told = async { cluster.workers.any_client(node)?.join(alone).await };
    match tokio::time::timeout(PATIENCE, told).await {
        Ok(Ok(_)) => {}
        Ok(Err(error)) => {
            tracing::info!(node = %node.id, %error, "a worker was not told that it was removed");
        }
        Err(_) => tracing::info!(node = %node.id, "a worker was not told that it was removed"),
    }
}

/// Puts a worker into the catalog, or where it is now. A new one does not count yet. `was` is the
/// node that it remembers to be.
async fn take_in(
    cluster: &Cluster,
    host: String,
    port: u16,
    directory: String,
    was: Option<NodeId>,
) -> SqlResult<NodeId> {
    let is_known = |node: &&Node| node.directory.as_deref() == Some(directory.as_str());
    let state = cluster.catalog.snapshot();
    if let Some(node) = state.workers().find(is_known)
        && node.host == host
        && node.port == port
    {
        return Ok(node.id);
    }
    let command = match was {
        Some(node) => Command::ReturnNode { node, host, port, directory },
        None => {
            Command::AddNode { host, port, directory: Some(directory), should_have_shards: true }
        }
    };
    match cluster.catalog.propose(command).await? {
        Outcome::Node(node) => Ok(node),
        _ => Err(SqlError::internal("the catalog did not answer with a node")),
    }
}

/// Lets a worker that is back have its part of the work, unless it was disabled.
async fn resume(cluster: &Cluster, id: NodeId) -> SqlResult<()> {
    let state = cluster.catalog.snapshot();
    match state.workers().find(|node| node.id == id) {
        Some(node) if !node.is_active && !node.is_disabled => activate(cluster, id).await,
        _ => Ok(()),
    }
}

/// Gives a worker the reference tables, and then its part of the work.
pub async fn activate(cluster: &Cluster, node: NodeId) -> SqlResult<()> {
    loop {
        crate::rebalance::copy_references(cluster, node).await?;
        let change = NodeChange::Active(true);
        match cluster.catalog.propose(Command::ChangeNode { node, change }).await {
            // The first reference table was created meanwhile.
            Err(error) if error.state() == SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE => {}
            answer => return answer.map(drop),
        }
    }
}

/// Asks a worker who it is, puts it into the catalog and tells it so: `citus_add_node`.
pub async fn add(
    cluster: &Cluster,
    worker: &dyn Worker,
    host: String,
    port: u16,
    active: bool,
) -> SqlResult<NodeId> {
    let status = worker.status().await?;
    check_cluster(cluster, status.cluster.as_deref()).await?;
    let node = take_in(cluster, host, port, status.directory, status.node).await?;
    worker.join(membership(&cluster.catalog.snapshot(), node)).await?;
    if active {
        resume(cluster, node).await?;
    } else {
        let change = NodeChange::Active(false);
        cluster.catalog.propose(Command::ChangeNode { node, change }).await?;
    }
    Ok(node)
}

pub(crate) fn membership(state: &State, node: NodeId) -> Membership {
    let coordinators = state
        .nodes()
        .filter(|node| node.role == NodeRole::Coordinator)
        .filter_map(|node| node.grpc_address.clone())
        .collect();
    Membership { cluster: state.cluster().id.clone(), node, coordinators }
}
