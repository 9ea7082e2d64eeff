//! The deadlock detector: the leader of the coordinators looks at the waits of all workers a few
//! times a second, and ends one wait of every circle. Circles within one worker end there at once.

use std::collections::BTreeSet;
use std::sync::Weak;
use std::time::Duration;

use futures::future::join_all;
use satsuma_common::NodeId;
use satsuma_proto::worker::Locks;

use crate::cluster::Cluster;
use crate::lock_graph::{self, AtWork, Edge, Victim};

/// A deadlock is found in two rounds.
const ROUND: Duration = Duration::from_millis(300);
/// A worker that takes longer is left out of a round.
const PATIENCE: Duration = Duration::from_secs(1);

impl Cluster {
    /// Every worker's waits, and its locks as well where `rows` is not 0: of those on rows that
    /// nobody waits for at most `rows`.
    pub async fn locks(&self, rows: u32) -> Vec<(NodeId, Locks)> {
        let state = self.catalog.snapshot();
        let asked = state.workers().filter(|node| node.is_active).filter_map(|node| {
            let worker = self.workers.client(node).ok()?;
            let id = node.id;
            Some(async move {
                let answer = tokio::time::timeout(PATIENCE, worker.locks(rows)).await;
                Some((id, answer.ok()?.ok()?))
            })
        });
        join_all(asked).await.into_iter().flatten().collect()
    }
}

/// Runs until the cluster is gone.
pub async fn detect(cluster: Weak<Cluster>) {
    let mut before: BTreeSet<Edge> = BTreeSet::new();
    loop {
        tokio::time::sleep(ROUND).await;
        let Some(cluster) = cluster.upgrade() else { return };
        if !cluster.catalog.leadership().is_self {
            before.clear();
            continue;
        }
        let now: BTreeSet<Edge> = cluster
            .locks(0)
            .await
            .iter()
            .flat_map(|(worker, locks)| locks.waits.iter().map(|edge| Edge::of(*worker, edge)))
            .collect();
        if !now.is_disjoint(&before) {
            for victim in lock_graph::deadlocks(&before, &now, &at_work(&cluster).await) {
                end(&cluster, &now, &victim).await;
            }
        }
        before = now;
    }
}

async fn at_work(cluster: &Cluster) -> AtWork {
    let sessions = cluster.all_sessions().await.into_iter();
    sessions.filter_map(|session| Some((session.owner?, session.txn?))).collect()
}

/// Ends the victim's waits, wherever they are.
async fn end(cluster: &Cluster, waits: &BTreeSet<Edge>, victim: &Victim) {
    let circle = &victim.circle;
    let lines = circle.iter().enumerate().map(|(at, waiter)| {
        let holder = circle[(at + 1) % circle.len()];
        format!("Transaction {waiter} waits for transaction {holder}.")
    });
    let detail = lines.collect::<Vec<_>>().join("\n");
    tracing::info!(victim = %victim.txn, transactions = circle.len(), "deadlock");
    let state = cluster.catalog.snapshot();
    let workers: BTreeSet<NodeId> = waits
        .iter()
        .filter(|edge| edge.waiter == victim.txn)
        .map(|edge| edge.worker)
        .collect();
    for node in workers.into_iter().filter_map(|node| state.node(node)) {
        let ended = match cluster.workers.client(node) {
            Ok(worker) => worker.cancel_wait(victim.txn, detail.clone()).await,
            Err(error) => Err(error),
        };
        if let Err(error) = ended {
            tracing::warn!(node = %node.id, %error, "a deadlock's victim was not told");
        }
    }
}
