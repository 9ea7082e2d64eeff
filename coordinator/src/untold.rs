//! Aborts that a worker could not be told of: it is told when it can be reached again.
//!
//! A transaction that was never prepared is not asked for by its participants, and its locks would
//! stay as long as the worker hears anything of this coordinator. A worker that has been told of an
//! abort refuses what still comes of the transaction, however late.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Weak;
use std::time::Duration;

use futures::future::join_all;
use parking_lot::Mutex;
use satsuma_common::{NodeId, SqlState, TxnId};
use satsuma_proto::worker::{TxnAction, Worker};

use crate::cluster::Cluster;

const PAUSE: Duration = Duration::from_millis(200);
/// More are not kept of a worker: one that is away for so long forgets them by itself.
const MOST: usize = 1 << 16;

#[derive(Debug, Default)]
pub struct Untold(Mutex<BTreeMap<NodeId, BTreeSet<TxnId>>>);

impl Untold {
    /// Tells a worker of an abort, now or later. It is told later, too, when this is dropped before
    /// its answer.
    pub async fn abort(&self, node: NodeId, worker: &dyn Worker, txn: TxnId) {
        self.add(node, txn);
        match worker.transact(txn, TxnAction::Abort).await {
            Err(error) if error.state() == SqlState::CONNECTION_FAILURE => {
                tracing::debug!(%node, %txn, %error, "a worker is told of an abort later");
                return;
            }
            Err(error) => tracing::warn!(%node, %txn, %error, "an abort failed"),
            Ok(_) => {}
        }
        self.told(node, txn);
    }

    fn add(&self, node: NodeId, txn: TxnId) {
        let mut all = self.0.lock();
        let of_node = all.entry(node).or_default();
        if of_node.len() < MOST {
            of_node.insert(txn);
        }
    }

    fn has(&self, node: NodeId, txn: TxnId) -> bool {
        self.0.lock().get(&node).is_some_and(|of_node| of_node.contains(&txn))
    }

    fn snapshot(&self) -> BTreeMap<NodeId, BTreeSet<TxnId>> {
        self.0.lock().clone()
    }

    fn told(&self, node: NodeId, txn: TxnId) {
        let mut all = self.0.lock();
        if let Some(of_node) = all.get_mut(&node) {
            of_node.remove(&txn);
            if of_node.is_empty() {
                all.remove(&node);
            }
        }
    }

    fn forget(&self, node: NodeId) {
        self.0.lock().remove(&node);
    }
}

/// Runs until the cluster is gone.
pub async fn tell(cluster: Weak<Cluster>) {
    loop {
        tokio::time::sleep(PAUSE).await;
        let Some(cluster) = cluster.upgrade() else { return };
        let nodes = cluster.untold.snapshot();
        join_all(nodes.into_iter().map(|(node, txns)| tell_node(&cluster, node, txns))).await;
    }
}

/// Until the first that does not arrive.
async fn tell_node(cluster: &Cluster, id: NodeId, txns: BTreeSet<TxnId>) {
    let state = cluster.catalog.snapshot();
    // One that has left the cluster holds nobody up.
    let Some(node) = state.node(id) else { return cluster.untold.forget(id) };
    let Ok(worker) = cluster.workers.any_client(node) else { return };
    for txn in txns {
        cluster.untold.abort(id, worker.as_ref(), txn).await;
        if cluster.untold.has(id, txn) {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use satsuma_common::Timestamp;

    use super::*;

    #[test]
    fn what_was_told_is_forgotten() {
        let untold = Untold::default();
        let txn = |n| TxnId { start: Timestamp(n), coordinator: NodeId(1) };
        untold.add(NodeId(7), txn(1));
        untold.add(NodeId(7), txn(2));
        untold.told(NodeId(7), txn(1));
        untold.told(NodeId(8), txn(2));
        assert_eq!(untold.snapshot(), BTreeMap::from([(NodeId(7), BTreeSet::from([txn(2)]))]));
        untold.told(NodeId(7), txn(2));
        assert!(untold.snapshot().is_empty());
    }
}
