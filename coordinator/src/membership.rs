//! What workers ask of this coordinator: to be taken in, and how transactions ended.

use std::sync::Arc;

use async_trait::async_trait;
use satsuma_common::{NodeId, SqlError, SqlResult, Timestamp, TxnId};
use satsuma_proto::worker::{Membership, Outcomes, Registration, Worker};

use crate::catalog::{Command, NodeRole, Outcome, State};
use crate::cluster::Cluster;

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
        let Registration { host, port, directory } = worker;
        let node = admit(&self.0, host, port, directory).await?;
        Ok(membership(&self.0.catalog.snapshot(), node))
    }
}

/// Puts a worker into the catalog and gives it what it must hold.
pub async fn admit(
    cluster: &Cluster,
    host: String,
    port: u16,
    directory: String,
) -> SqlResult<NodeId> {
    let known = cluster.catalog.snapshot().workers().any(|node| {
        node.directory.as_deref() == Some(directory.as_str())
            && node.host == host
            && node.port == port
    });
    let command =
        Command::AddNode { host, port, directory: Some(directory), should_have_shards: true };
    match cluster.catalog.propose(command).await?.into_result()? {
        Outcome::Node(node) => {
            if !known {
                crate::node_sync::copy_reference_tables(cluster, node).await?;
            }
            Ok(node)
        }
        _ => Err(SqlError::internal("the catalog did not answer with a node")),
    }
}

/// Asks a worker who it is, puts it into the catalog and tells it so: `citus_add_node`.
pub async fn add(
    cluster: &Cluster,
    worker: &dyn Worker,
    host: String,
    port: u16,
) -> SqlResult<NodeId> {
    let status = worker.status().await?;
    let node = admit(cluster, host, port, status.directory).await?;
    worker.join(membership(&cluster.catalog.snapshot(), node)).await?;
    Ok(node)
}

fn membership(state: &State, node: NodeId) -> Membership {
    let coordinators = state
        .nodes()
        .filter(|node| node.role == NodeRole::Coordinator)
        .filter_map(|node| node.grpc_address.clone())
        .collect();
    Membership { node, coordinators }
}
