//! What a coordinator that died in the middle of a definition leaves at the workers: shapes that
//! did not come to be, and shards that the catalog does not know.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use satsuma_common::table::TableShape;
use satsuma_common::{NodeId, ShardId, SqlError, SqlResult};
use satsuma_proto::worker::ShardAction;

use crate::catalog::{Counters, FIRST_LOCAL_SHARD, Node, State};
use crate::cluster::Cluster;

/// Tells the workers the shapes that the catalog has. For when the shape that a statement needs
/// does not come.
pub async fn restore_shapes(cluster: &Cluster) {
    let state = cluster.catalog.snapshot();
    let workers: Vec<&Node> = state.workers().filter(|node| node.is_active).collect();
    for node in workers {
        if let Err(error) = restore_shapes_at(cluster, &state, node).await {
            tracing::debug!(node = %node.id, %error, "shapes were not restored");
        }
    }
}

/// The same at one worker.
pub async fn restore_shapes_at(cluster: &Cluster, state: &State, node: &Node) -> SqlResult<()> {
    let worker = cluster.workers.client(node)?;
    for table in state.tables() {
        let is_here = state
            .shards_of(table)
            .any(|(_, group)| group.placements.iter().any(|placed| placed.node == node.id));
        if is_here {
            let shape = TableShape::clone(&table.shape);
            worker.shards(ShardAction::Restore { shape }).await?;
        }
    }
    Ok(())
}

/// How long a definition waits for workers to be cleaned up: one that does not come back must not
/// stop the others.
const LONGEST_WAIT: Duration = Duration::from_secs(10);
const BETWEEN_LOOKS: Duration = Duration::from_millis(50);

/// To be called before a definition touches workers: what is left there would mix with it.
pub async fn wait_until_clean(cluster: &Cluster) {
    let started = std::time::Instant::now();
    while cluster.has_leftovers() && started.elapsed() < LONGEST_WAIT {
        tokio::time::sleep(BETWEEN_LOOKS).await;
    }
}

/// Shards of a time before this coordinator started, which was the only one.
pub struct Leftovers {
    before: Counters,
    waiting: BTreeSet<NodeId>,
}

impl Leftovers {
    /// To be made before the first session.
    pub fn new(state: &State) -> Self {
        let waiting = state.workers().filter(|node| node.is_active).map(|node| node.id).collect();
        Self { before: state.counters().clone(), waiting }
    }

    /// Drops unknown shards at workers that can be reached; to be called again for the others.
    pub async fn clean(&mut self, cluster: &Arc<Cluster>) {
        if self.waiting.is_empty() {
            return;
        }
        for node in self.waiting.clone() {
            match self.clean_node(cluster, node).await {
                Ok(()) => {
                    self.waiting.remove(&node);
                }
                Err(error) => tracing::debug!(%node, %error, "a worker was not cleaned up yet"),
            }
        }
        cluster.set_leftovers(!self.waiting.is_empty());
    }

    pub fn is_done(&self) -> bool {
        self.waiting.is_empty()
    }

    async fn clean_node(&self, cluster: &Arc<Cluster>, node: NodeId) -> SqlResult<()> {
        let state = cluster.catalog.snapshot();
        let Some(node) = state.node(node) else { return Ok(()) };
        let worker = cluster.workers.client(node)?;
        // Whoever answers there now may be another worker, with shards that are needed.
        let status = worker.status().await?;
        crate::membership::check_cluster(cluster, status.cluster.as_deref()).await?;
        if node.directory.as_ref().is_some_and(|directory| *directory != status.directory) {
            return Err(SqlError::internal("another worker answers at a worker's address"));
        }
        let known: BTreeSet<ShardId> =
            state.tables().flat_map(|table| table.shards()).map(|shard| shard.id).collect();
        let shards: Vec<ShardId> = worker
            .shards(ShardAction::List)
            .await?
            .shards
            .into_iter()
            .map(|shard| shard.shard)
            .filter(|shard| !known.contains(shard) && self.is_older(*shard))
            .collect();
        if !shards.is_empty() {
            tracing::info!(node = %node.id, count = shards.len(), "drop shards that are no table's");
            worker.shards(ShardAction::Drop { node: node.id, shards }).await?;
        }
        restore_shapes_at(cluster, &state, node).await
    }

    fn is_older(&self, shard: ShardId) -> bool {
        if shard.0 >= FIRST_LOCAL_SHARD {
            shard.0 < self.before.local_shard
        } else {
            shard.0 < self.before.shard
        }
    }
}
