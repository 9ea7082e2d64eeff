//! Advisory locks: `pg_advisory_lock` and its relatives.
//!
//! One worker keeps them for the whole cluster: the active one with the lowest node id, so that
//! every coordinator asks the same. A lock for the transaction goes when that ends. A lock for the
//! session is held by a transaction that never commits, and counted here: it goes when it has been
//! given back as often as it was taken, or with the session.
//!
//! A worker that restarts has forgotten them. Whoever held one learns of it ([`lost`]) and loses
//! its connection, as with a PostgreSQL server that has crashed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::Mutex;
use satsuma_common::{Datum, NodeId, SqlError, SqlResult, SqlState, TxnId};
use satsuma_proto::worker::{AdvisoryAction, AdvisoryRequest, LockedThing, Worker};

use crate::cluster::Cluster;
use crate::session_api::Interrupt;
use crate::txn::Transaction;
use crate::waiting::wait_for;

/// How often sessions' locks are looked for.
const ROUND: Duration = Duration::from_secs(1);

/// One session's advisory locks, which the functions of its statements share.
pub struct SessionLocks {
    cluster: Arc<Cluster>,
    process_id: i32,
    inner: Mutex<Inner>,
    own: Weak<Self>,
}

#[derive(Default)]
struct Inner {
    txn: Option<TxnId>,
    interrupt: Option<Interrupt>,
    lock_timeout: Option<Duration>,
    /// As whom locks of the session are held.
    owner: Option<TxnId>,
    /// How often each is held for the session: (name, shared).
    held: BTreeMap<(Vec<u8>, bool), u64>,
    /// Where the transaction has taken one.
    touched: Option<(NodeId, Arc<dyn Worker>)>,
    /// Where the session has.
    keeper: Option<(NodeId, Arc<dyn Worker>)>,
}

/// A function of the family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Function {
    Lock { try_only: bool, for_session: bool, shared: bool },
    Unlock { shared: bool },
    UnlockAll,
}

fn function(name: &str) -> Option<Function> {
    let lock = |try_only, for_session, shared| Function::Lock { try_only, for_session, shared };
    Some(match name {
        "pg_advisory_lock" => lock(false, true, false),
        "pg_advisory_lock_shared" => lock(false, true, true),
        "pg_advisory_xact_lock" => lock(false, false, false),
        "pg_advisory_xact_lock_shared" => lock(false, false, true),
        "pg_try_advisory_lock" => lock(true, true, false),
        "pg_try_advisory_lock_shared" => lock(true, true, true),
        "pg_try_advisory_xact_lock" => lock(true, false, false),
        "pg_try_advisory_xact_lock_shared" => lock(true, false, true),
        "pg_advisory_unlock" => Function::Unlock { shared: false },
        "pg_advisory_unlock_shared" => Function::Unlock { shared: true },
        "pg_advisory_unlock_all" => Function::UnlockAll,
        _ => return None,
    })
}

/// One bigint, or two integers: different names, whatever the numbers are.
fn lock_name(arguments: &[Datum]) -> SqlResult<Vec<u8>> {
    let integer = |value: &Datum| match value {
        Datum::Int8(value) => Some(*value),
        Datum::Int4(value) => Some(i64::from(*value)),
        Datum::Int2(value) => Some(i64::from(*value)),
        _ => None,
    };
    let numbers: Option<Vec<i64>> = arguments.iter().map(integer).collect();
    match numbers.as_deref() {
        Some([key]) => Ok([&[1][..], &key.to_be_bytes()].concat()),
        Some([class, object]) => {
            let part = |value: i64| {
                i32::try_from(value).map_err(|_| {
                    SqlError::new(SqlState::NUMERIC_VALUE_OUT_OF_RANGE, "integer out of range")
                })
            };
            let (class, object) = (part(*class)?, part(*object)?);
            Ok([&[2][..], &class.to_be_bytes(), &object.to_be_bytes()].concat())
        }
        _ => Err(SqlError::internal("an advisory lock is named by one number or two")),
    }
}

/// What `pg_locks` shows of a name: classid, objid, objsubid.
pub fn shown_name(name: &[u8]) -> Option<(u32, u32, i16)> {
    let word = |at: usize| {
        let bytes = name.get(at..at + 4)?.try_into().ok()?;
        Some(u32::from_be_bytes(bytes))
    };
    Some((word(1)?, word(5)?, i16::from(*name.first()?)))
}

impl SessionLocks {
    pub fn new(cluster: Arc<Cluster>, process_id: i32) -> Arc<Self> {
        Arc::new_cyclic(|own| Self {
            cluster,
            process_id,
            inner: Mutex::default(),
            own: own.clone(),
        })
    }

    pub(super) fn at_work_on(&self, txn: Option<TxnId>) {
        self.inner.lock().txn = txn;
    }

    pub(super) fn transaction(&self) -> Option<TxnId> {
        self.inner.lock().txn
    }

    pub(super) fn statement_began(&self, interrupt: &Interrupt, lock_timeout: Option<Duration>) {
        let mut inner = self.inner.lock();
        inner.interrupt = Some(interrupt.clone());
        inner.lock_timeout = lock_timeout;
    }

    /// The transaction ends: what it locked, if it did, goes with it.
    pub(super) fn hand_over(&self, txn: &mut Transaction) -> bool {
        match self.inner.lock().touched.take() {
            Some((node, worker)) => {
                txn.touch_to_lock(node, &worker);
                true
            }
            None => false,
        }
    }

    pub fn has_any(&self) -> bool {
        self.inner.lock().owner.is_some()
    }

    /// `None`: no function of this family.
    pub(super) async fn call(&self, name: &str, arguments: &[Datum]) -> SqlResult<Option<Datum>> {
        let Some(function) = function(name) else { return Ok(None) };
        if arguments.contains(&Datum::Null) {
            return Ok(Some(Datum::Null));
        }
        Ok(Some(match function {
            Function::UnlockAll => {
                self.release_all().await;
                Datum::Null
            }
            Function::Unlock { shared } => {
                Datum::Bool(self.unlock(lock_name(arguments)?, shared).await?)
            }
            Function::Lock { try_only, for_session, shared } => {
                let name = lock_name(arguments)?;
                let had = self.lock(name, try_only, for_session, shared).await?;
                if try_only { Datum::Bool(had) } else { Datum::Null }
            }
        }))
    }

    /// The same from within an expression.
    pub fn call_blocking(self: &Arc<Self>, name: &str, arguments: &[Datum]) -> SqlResult<Datum> {
        let (locks, name, arguments) = (self.clone(), name.to_owned(), arguments.to_vec());
        let answer = wait_for(async move { locks.call(&name, &arguments).await })?;
        answer.ok_or_else(|| SqlError::internal("there is no such advisory lock function"))
    }

    /// The worker that keeps advisory locks.
    fn keeper(&self) -> SqlResult<(NodeId, Arc<dyn Worker>)> {
        let state = self.cluster.catalog.snapshot();
        let node = state.workers().filter(|node| node.is_active).min_by_key(|node| node.id);
        let node = node.ok_or_else(|| {
            SqlError::new(
                SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE,
                "advisory locks need a worker, and there is none",
            )
            .hint("Add a worker with SELECT citus_add_node(host, port).")
        })?;
        Ok((node.id, self.cluster.workers.client(node)?))
    }

    async fn lock(
        &self,
        name: Vec<u8>,
        try_only: bool,
        for_session: bool,
        shared: bool,
    ) -> SqlResult<bool> {
        match self.lock_once(name.clone(), try_only, for_session, shared).await {
            // The worker is younger than the id that the session goes by there.
            Err(error)
                if for_session
                    && error.state() == SqlState::SERIALIZATION_FAILURE
                    && self.forget_owner() =>
            {
                self.lock_once(name, try_only, for_session, shared).await
            }
            result => result,
        }
    }

    /// A session that holds nothing can go by another id. `false`: it holds something.
    fn forget_owner(&self) -> bool {
        let mut inner = self.inner.lock();
        if inner.held.is_empty() {
            inner.owner = None;
        }
        inner.held.is_empty()
    }

    async fn lock_once(
        &self,
        name: Vec<u8>,
        try_only: bool,
        for_session: bool,
        shared: bool,
    ) -> SqlResult<bool> {
        let (node, worker) = self.keeper()?;
        let owner = if for_session { Some(self.owner().await?) } else { self.inner.lock().owner };
        let (request, interrupt) = {
            let mut inner = self.inner.lock();
            let txn = inner
                .txn
                .ok_or_else(|| SqlError::internal("an advisory lock outside a transaction"))?;
            if let Some(count) = inner.held.get_mut(&(name.clone(), shared))
                && for_session
            {
                *count += 1;
                return Ok(true);
            }
            if for_session {
                inner.keeper = Some((node, worker.clone()));
            } else {
                inner.touched = Some((node, worker.clone()));
            }
            let action = if try_only {
                AdvisoryAction::Try
            } else {
                AdvisoryAction::Wait(inner.lock_timeout)
            };
            let session = owner.unwrap_or(txn);
            let request =
                AdvisoryRequest { txn, session, for_session, name: name.clone(), shared, action };
            (request, inner.interrupt.clone().unwrap_or_default())
        };
        let had = tokio::select! {
            biased;
            () = interrupt.wait() => Err(interrupt.error()),
            had = worker.advisory(request) => had,
        }?;
        if had && for_session {
            *self.inner.lock().held.entry((name, shared)).or_default() += 1;
        }
        Ok(had)
    }

    /// Gives one back. `false` and a warning is PostgreSQL's answer where it is not held.
    async fn unlock(&self, name: Vec<u8>, shared: bool) -> SqlResult<bool> {
        let (owner, worker) = {
            let mut inner = self.inner.lock();
            let key = (name.clone(), shared);
            match inner.held.get_mut(&key) {
                None => return Ok(false),
                Some(count) if *count > 1 => {
                    *count -= 1;
                    return Ok(true);
                }
                Some(_) => {
                    inner.held.remove(&key);
                }
            }
            match (inner.owner, inner.keeper.clone()) {
                (Some(owner), Some((_, worker))) => (owner, worker),
                _ => return Ok(false),
            }
        };
        let action = AdvisoryAction::Unlock;
        let request =
            AdvisoryRequest { txn: owner, session: owner, for_session: true, name, shared, action };
        worker.advisory(request).await
    }

    /// Everything that the session holds.
    pub(super) async fn release_all(&self) {
        let (owner, keeper) = {
            let mut inner = self.inner.lock();
            inner.held.clear();
            (inner.owner.take(), inner.keeper.take())
        };
        self.cluster.sessions.update(self.process_id, |entry| entry.owner = None);
        if let (Some(owner), Some((node, worker))) = (owner, keeper) {
            self.cluster.untold.abort(node, worker.as_ref(), owner).await;
        }
    }

    async fn owner(&self) -> SqlResult<TxnId> {
        if let Some(owner) = self.inner.lock().owner {
            return Ok(owner);
        }
        let start = self.cluster.oracle.timestamp().await?;
        let owner = TxnId { start, coordinator: self.cluster.node };
        self.inner.lock().owner = Some(owner);
        self.cluster.sessions.update(self.process_id, |entry| entry.owner = Some(owner));
        self.cluster.add_lock_holder(self.own.clone());
        Ok(owner)
    }

    /// Names of the session's locks, where it has any.
    fn names(&self) -> Option<(TxnId, Vec<Vec<u8>>)> {
        let inner = self.inner.lock();
        if inner.held.is_empty() {
            return None;
        }
        Some((inner.owner?, inner.held.keys().map(|(name, _)| name.clone()).collect()))
    }
}

/// Ends sessions whose locks a worker has forgotten. Runs until the cluster is gone.
pub async fn watch(cluster: Weak<Cluster>) {
    let mut suspects: BTreeSet<i32> = BTreeSet::new();
    loop {
        tokio::time::sleep(ROUND).await;
        let Some(cluster) = cluster.upgrade() else { return };
        let holders = cluster.lock_holders();
        if holders.is_empty() {
            suspects.clear();
            continue;
        }
        let before: Vec<_> = holders.iter().map(|locks| locks.names()).collect();
        let told = cluster.locks(1).await;
        let held: Vec<_> = told
            .into_iter()
            .flat_map(|(_, locks)| locks.entries)
            .filter(|entry| entry.granted)
            .map(|entry| (entry.txn, entry.thing))
            .collect();
        let mut missing = BTreeSet::new();
        for (locks, before) in holders.iter().zip(before) {
            // A lock that was given back meanwhile is not lost.
            if let (Some((owner, names)), Some(after)) = (before, locks.names())
                && after == (owner, names.clone())
                && lost(owner, &names, &held)
            {
                missing.insert(locks.process_id);
            }
        }
        for process_id in missing.intersection(&suspects) {
            tracing::warn!(process_id, "a worker forgot a session's advisory locks: ending it");
            cluster.sessions.terminate(*process_id);
        }
        suspects = missing;
    }
}

/// Whether a session's locks are not all there any more.
fn lost(owner: TxnId, names: &[Vec<u8>], held: &[(TxnId, LockedThing)]) -> bool {
    names.iter().any(|name| {
        !held.iter().any(|(txn, thing)| {
            *txn == owner && matches!(thing, LockedThing::Advisory(held) if held == name)
        })
    })
}

#[cfg(test)]
mod tests {
    use satsuma_common::Timestamp;

    use super::*;

    #[test]
    fn one_number_and_two_name_different_locks() {
        let one = lock_name(&[Datum::Int8(5)]).unwrap();
        let two = lock_name(&[Datum::Int4(0), Datum::Int4(5)]).unwrap();
        assert_ne!(one, two);
        assert_eq!(shown_name(&one), Some((0, 5, 1)));
        assert_eq!(shown_name(&two), Some((0, 5, 2)));
        let large = lock_name(&[Datum::Int8((7 << 32) | 9)]).unwrap();
        assert_eq!(shown_name(&large), Some((7, 9, 1)));
    }

    #[test]
    fn a_lock_that_its_worker_forgot_is_lost() {
        let owner = TxnId { start: Timestamp(1), coordinator: NodeId(1) };
        let other = TxnId { start: Timestamp(2), coordinator: NodeId(1) };
        let names = [vec![1], vec![2]];
        let held = |txn| [1, 2].map(|n| (txn, LockedThing::Advisory(vec![n])));
        assert!(!lost(owner, &names, &held(owner)));
        assert!(lost(owner, &names, &held(owner)[..1]));
        assert!(lost(owner, &names, &held(other)));
    }
}
