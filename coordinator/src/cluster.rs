//! What every session of a coordinator shares.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use satsuma_common::{NodeId, SqlResult, Timestamp, TxnId};
use satsuma_proto::worker::ShardAction;

use crate::catalog::{Command, SUPERUSER_OID};
use crate::executor::Executor;
use crate::keypath::Programs;
use crate::metrics::StatementCounters;
use crate::neighbours::{AtWork, Neighbours};
use crate::oracle::Oracle;
use crate::raft::Catalog;
use crate::sequences::Sequences;
use crate::session::SessionLocks;
use crate::session_api::InterruptReason;
use crate::session_list::SessionList;
use crate::snapshots::Snapshots;
use crate::statement_statistics::StatementStatistics;
use crate::system_relations::{IndexSizes, KeptRows, RunningSession, ShardSize, ShardSizes};
use crate::tenant_statistics::{self, TenantEntry, TenantStatistics};
use crate::untold::Untold;
use crate::workers::Workers;

/// How old sizes may be that are shown to users.
const FRESH: Duration = Duration::from_millis(100);
const SIZES_PATIENCE: Duration = Duration::from_secs(1);

/// One coordinator's services.
pub struct Cluster {
    /// This coordinator.
    pub node: NodeId,
    pub catalog: Catalog,
    pub oracle: Oracle,
    pub workers: Arc<Workers>,
    pub executor: Arc<Executor>,
    pub sequences: Arc<Sequences>,
    /// What workers keep of UPDATEs by key.
    pub programs: Programs,
    pub sessions: Arc<SessionList>,
    pub snapshots: Snapshots,
    pub statements: StatementCounters,
    pub statement_statistics: StatementStatistics,
    pub tenant_statistics: Arc<TenantStatistics>,
    pub neighbours: Neighbours,
    pub untold: Untold,
    pub system_rows: KeptRows,
    /// Sessions that hold advisory locks of their own, or did.
    lock_holders: Mutex<Vec<Weak<SessionLocks>>>,
    /// Committed transactions whose participants all know, and these: their decisions can go
    /// once that is durable there.
    settled: Mutex<Vec<(TxnId, Vec<NodeId>)>>,
    /// As the workers last reported them.
    sizes: Mutex<Arc<ShardSizes>>,
    index_sizes: Mutex<Arc<IndexSizes>>,
    /// Workers that told their sizes when they were last asked.
    answered: Mutex<BTreeSet<NodeId>>,
    /// When the workers were asked for those.
    sized: Mutex<Option<Instant>>,
    pub started_micros: i64,
    /// Workers may hold what an earlier run of this coordinator left in the middle.
    leftovers: AtomicBool,
    /// Workers have shards of no table, which the decision horizon has to pass.
    strays: AtomicBool,
}

impl Cluster {
    /// The superuser and the database that the data directory was made with.
    pub fn first_names(&self) -> (String, String) {
        let state = self.catalog.snapshot();
        let superuser = state.role(SUPERUSER_OID).map(|role| role.name.clone());
        (superuser.unwrap_or_default(), state.cluster().database.clone())
    }

    pub fn new(
        node: NodeId,
        catalog: Catalog,
        oracle: Oracle,
        workers: Arc<Workers>,
        executor: Arc<Executor>,
    ) -> Self {
        let sequences = Arc::new(Sequences::new(catalog.clone()));
        Self {
            node,
            catalog,
            oracle,
            workers,
            executor,
            sequences,
            programs: Programs::default(),
            sessions: Arc::default(),
            snapshots: Snapshots::default(),
            statements: StatementCounters::default(),
            statement_statistics: StatementStatistics::default(),
            tenant_statistics: Arc::new(TenantStatistics::new(Instant::now())),
            neighbours: Neighbours::default(),
            untold: Untold::default(),
            system_rows: KeptRows::default(),
            lock_holders: Mutex::default(),
            settled: Mutex::default(),
            sizes: Mutex::default(),
            index_sizes: Mutex::default(),
            answered: Mutex::default(),
            sized: Mutex::default(),
            started_micros: crate::clock::now_micros(),
            leftovers: AtomicBool::new(false),
            strays: AtomicBool::new(false),
        }
    }

    /// Whether definitions should wait: see [`crate::leftovers`].
    pub fn has_leftovers(&self) -> bool {
        self.leftovers.load(Ordering::Acquire)
    }

    pub fn set_leftovers(&self, may_be: bool) {
        self.leftovers.store(may_be, Ordering::Release);
    }

    pub(crate) fn set_strays(&self, are_there: bool) {
        self.strays.store(are_there, Ordering::Release);
    }

    pub fn sizes(&self) -> Arc<ShardSizes> {
        self.sizes.lock().clone()
    }

    /// Whether a worker answered when it was last asked for sizes, seconds ago.
    pub fn has_answered(&self, worker: NodeId) -> bool {
        self.answered.lock().contains(&worker)
    }

    pub fn index_sizes(&self) -> Arc<IndexSizes> {
        self.index_sizes.lock().clone()
    }

    /// Sizes that somebody looks at: no older than [`FRESH`], unless workers take longer than
    /// [`SIZES_PATIENCE`] to tell them.
    pub async fn fresh_sizes(&self) -> Arc<ShardSizes> {
        let is_fresh = self.sized.lock().is_some_and(|at| at.elapsed() < FRESH);
        if !is_fresh {
            let asked = tokio::time::timeout(SIZES_PATIENCE, self.refresh_sizes()).await;
            if asked.is_err() {
                // Whoever looks at many tables must not wait for a worker that hangs at each.
                *self.sized.lock() = Some(Instant::now());
            }
        }
        self.sizes()
    }

    /// Asks every worker for its shards' sizes. One that does not answer keeps its last ones.
    pub async fn refresh_sizes(&self) {
        let started = Instant::now();
        let state = self.catalog.snapshot();
        let asked = state.workers().filter(|node| node.is_active).map(|node| async move {
            let reply = self.workers.client(node)?.shards(ShardAction::List).await?;
            SqlResult::Ok((node.id, reply))
        });
        let replies = futures::future::join_all(asked).await;
        let mut sizes = ShardSizes::clone(&self.sizes());
        let mut index_sizes = IndexSizes::clone(&self.index_sizes());
        let mut answered = BTreeSet::new();
        for (node, reply) in replies.into_iter().flatten() {
            answered.insert(node);
            sizes.retain(|(_, at), _| *at != node);
            index_sizes.retain(|(_, at), _| *at != node);
            for shard in reply.shards {
                let size = ShardSize { rows: shard.rows, bytes: shard.bytes };
                sizes.insert((shard.shard, node), size);
                for (index, bytes) in shard.indexes {
                    *index_sizes.entry((index, node)).or_default() += bytes;
                }
            }
        }
        *self.answered.lock() = answered;
        *self.sizes.lock() = Arc::new(sizes);
        *self.index_sizes.lock() = Arc::new(index_sizes);
        *self.sized.lock() = Some(started);
    }

    /// Tells every worker below which snapshot nothing will be read any more.
    pub async fn report_snapshots(&self) {
        let Ok(now) = self.oracle.timestamp().await else { return };
        let action = ShardAction::OldestSnapshot {
            coordinator: self.node,
            snapshot: self.snapshots.oldest(now),
        };
        for node in self.catalog.snapshot().workers().filter(|node| node.is_active) {
            let Ok(worker) = self.workers.client(node) else { continue };
            // One that does not hear of it keeps more than it needs to.
            if let Err(error) = worker.shards(action.clone()).await {
                tracing::debug!(node = %node.id, %error, "oldest snapshot was not told");
            }
        }
    }

    pub(crate) fn add_lock_holder(&self, locks: Weak<SessionLocks>) {
        self.lock_holders.lock().push(locks);
    }

    /// Sessions that hold advisory locks of their own.
    pub(crate) fn lock_holders(&self) -> Vec<Arc<SessionLocks>> {
        let mut holders = self.lock_holders.lock();
        holders.retain(|locks| locks.upgrade().is_some_and(|locks| locks.has_any()));
        holders.iter().filter_map(Weak::upgrade).collect()
    }

    /// Commit decisions that no participant needs: those of coordinators that died before they
    /// had told all, and whose participants have asked since. Only the leader looks, and only at
    /// what is older than `before`.
    pub async fn forget_orphans(&self, before: Timestamp) {
        let state = self.catalog.snapshot();
        let mut orphans: BTreeSet<TxnId> = state
            .decisions()
            .iter()
            .filter(|(txn, outcome)| outcome.is_some() && txn.start < before)
            .map(|(txn, _)| txn)
            .collect();
        if orphans.is_empty() || !self.catalog.leadership().is_self {
            return;
        }
        for node in state.workers() {
            // One that is away may be the one that needs it.
            let Ok(worker) = self.workers.client(node) else { return };
            let Ok(status) = worker.status().await else { return };
            status.prepared.iter().for_each(|txn| {
                orphans.remove(txn);
            });
        }
        self.settled.lock().extend(orphans.into_iter().map(|txn| (txn, Vec::new())));
    }

    /// Takes aborts out of the catalog that started before every transaction that may yet be
    /// decided, and lets nothing be decided any more that did. Only the leader looks.
    pub async fn forget_aborts(&self) {
        let state = self.catalog.snapshot();
        let has_aborts = state.decisions().iter().any(|(_, outcome)| outcome.is_none());
        let is_needed = has_aborts || self.strays.load(Ordering::Acquire);
        if !is_needed || !self.catalog.leadership().is_self {
            return;
        }
        let Ok(now) = self.oracle.timestamp().await else { return };
        let mut oldest = self.neighbours.oldest_transactions(&state, self.node).await;
        oldest.push(Some(self.snapshots.oldest_transaction(now)));
        let Some(horizon) = decision_horizon(now, &oldest, state.decisions().horizon()) else {
            return;
        };
        let advance = Command::AdvanceDecisionHorizon { horizon };
        if let Err(error) = self.catalog.propose(advance).await {
            tracing::debug!(%error, "aborts were not forgotten");
        }
    }

    /// Sessions of all coordinators.
    pub async fn all_sessions(&self) -> Vec<RunningSession> {
        let own = self.sessions.entries().into_iter().map(|entry| entry.running(self.node));
        let mut sessions: Vec<_> = own.collect();
        if !self.catalog.is_alone() {
            sessions.extend(self.neighbours.sessions(&self.catalog.snapshot(), self.node).await);
        }
        sessions
    }

    /// Tenants that statements of all coordinators were about, the busiest `most` first.
    pub async fn tenants(&self, most: usize) -> Vec<TenantEntry> {
        let mut all = self.tenant_statistics.entries(Instant::now());
        if !self.catalog.is_alone() {
            all.extend(self.neighbours.tenants(&self.catalog.snapshot(), self.node).await);
        }
        tenant_statistics::merged(all, most)
    }

    /// Whether its coordinator is still at work on a transaction. One that does not answer is
    /// taken to be gone: what it has not decided by then will not be.
    pub async fn is_at_work(&self, txn: TxnId) -> bool {
        if txn.coordinator == self.node {
            return self.sessions.is_at_work(txn);
        }
        let state = self.catalog.snapshot();
        self.neighbours.at_work(&state, self.node, txn).await == AtWork::Yes
    }

    /// Stops a session's statement, or the session, wherever it is; `false` when nobody has it.
    pub async fn interrupt(&self, process_id: i32, terminate: bool) -> bool {
        let known = if terminate {
            self.sessions.terminate(process_id)
        } else {
            self.sessions.cancel(process_id, InterruptReason::UserRequest)
        };
        if known || self.catalog.is_alone() {
            return known;
        }
        let state = self.catalog.snapshot();
        self.neighbours.interrupt(&state, self.node, process_id, terminate).await
    }

    /// All participants have been told of this transaction's commit. Its decision goes with one
    /// of the next [`Self::forget_settled`].
    pub fn forget_decision(&self, txn: TxnId, participants: Vec<NodeId>) {
        self.settled.lock().push((txn, participants));
    }

    /// Takes settled decisions out of the catalog; called now and then. Those of participants
    /// that cannot be asked are kept for the next time.
    pub async fn forget_settled(&self) {
        let settled = std::mem::take(&mut *self.settled.lock());
        let asked: BTreeSet<NodeId> =
            settled.iter().flat_map(|(_, participants)| participants).copied().collect();
        let state = self.catalog.snapshot();
        let mut silent = BTreeSet::new();
        let mut unsettled = BTreeSet::new();
        for id in asked {
            // One that has left the cluster needs nothing any more.
            let Some(node) = state.node(id) else { continue };
            let status = match self.workers.any_client(node) {
                Ok(worker) => worker.status().await,
                Err(error) => Err(error),
            };
            match status {
                Ok(status) => unsettled.extend(status.prepared),
                Err(error) => {
                    tracing::debug!(node = %id, %error, "decisions are kept for a worker");
                    silent.insert(id);
                }
            }
        }
        let (kept, settled): (Vec<_>, Vec<_>) = settled.into_iter().partition(|(txn, nodes)| {
            unsettled.contains(txn) || nodes.iter().any(|node| silent.contains(node))
        });
        self.settled.lock().extend(kept);
        let txns: Vec<TxnId> = settled.into_iter().map(|(txn, _)| txn).collect();
        if txns.is_empty() {
            return;
        }
        if let Err(error) = self.catalog.propose(Command::ForgetDecisions { txns }).await {
            // They stay in the log, which costs some bytes and nothing else.
            tracing::debug!(%error, "settled decisions were not forgotten");
        }
    }
}

/// Aborts younger than this are kept, in microseconds. While something of a dead transaction is in
/// the way, a table may not be written to.
const YOUNG_MICROS: u64 = 5_000_000;
/// How old a transaction of a coordinator that does not answer may be. It gives up by itself after
/// seconds, and so do the workers.
const SILENT_MICROS: u64 = 60_000_000;
/// Smaller steps of the horizon are not worth an entry of the log.
const STEP_MICROS: u64 = 2_000_000;

/// Where nothing older can still be committed, if that is well beyond the `last` horizon. `oldest`
/// are the oldest transactions of coordinators, `None` for one that is silent. A horizon too high
/// would cost a transaction a 40001, and nothing else.
fn decision_horizon(
    now: Timestamp,
    oldest: &[Option<Timestamp>],
    last: Timestamp,
) -> Option<Timestamp> {
    let before = |micros| Timestamp(now.0.saturating_sub(micros));
    let oldest = oldest.iter().map(|oldest| oldest.unwrap_or(before(SILENT_MICROS)));
    let horizon = oldest.fold(before(YOUNG_MICROS), Timestamp::min);
    (horizon.0 >= last.0.saturating_add(STEP_MICROS)).then_some(horizon)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_decision_horizon_stays_behind_every_transaction() {
        let second = |n: u64| Timestamp(n * 1_000_000);
        let now = second(10_000);
        let horizon = |oldest: &[_], last| decision_horizon(now, oldest, last);
        assert_eq!(horizon(&[], second(0)), Some(second(9_995)));
        assert_eq!(horizon(&[Some(second(9_998))], second(9_993)), Some(second(9_995)));
        assert_eq!(horizon(&[Some(second(9_998))], second(9_994)), None);
        assert_eq!(horizon(&[Some(second(500)), None], second(0)), Some(second(500)));
        assert_eq!(horizon(&[Some(second(9_995)), None], second(0)), Some(second(9_940)));
    }
}
