//! The table of held and awaited locks.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use parking_lot::{Condvar, Mutex};
use satsuma_common::{ShardId, TxnId};
use tokio::sync::oneshot;

use super::mode::{LockMode, LockModes, RowLockMode, TableLockMode};
use crate::error::{Result, StorageError};

/// What is locked: a row of a shard by its key, or with `None` the shard as a whole.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LockKey {
    pub shard: ShardId,
    pub row: Option<Bytes>,
}

/// No shard: what the locks that users name are filed under.
const ADVISORY: ShardId = ShardId(u64::MAX);

impl LockKey {
    /// An advisory lock. `name` is the coordinators' to choose.
    pub fn advisory(name: Bytes) -> Self {
        Self { shard: ADVISORY, row: Some(name) }
    }

    pub fn is_advisory(&self) -> bool {
        self.shard == ADVISORY
    }

    /// Whether a request waits behind earlier ones that it would exclude. For whole shards it
    /// does, or writers would keep a change of the table out for ever. For rows it does not, as
    /// in PostgreSQL: who waits for another waiter can be drawn into a deadlock that it is no
    /// cause of.
    fn stands_in_line(&self) -> bool {
        self.row.is_none()
    }
}

/// What to do when a lock is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LockWait {
    /// Wait, at most this long; `None` without end.
    Wait(Option<Duration>),
    NoWait,
}

/// `waiter` cannot go on before `holder` lets go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WaitEdge {
    /// Tells this wait from the waiter's other ones at this worker, earlier and later.
    pub wait: u64,
    pub waiter: TxnId,
    pub holder: TxnId,
    pub lock: LockKey,
}

/// A lock that is held or waited for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LockEntry {
    pub txn: TxnId,
    pub lock: LockKey,
    pub mode: LockMode,
    pub granted: bool,
}

/// Locks of all transactions at this worker.
#[derive(Debug)]
pub struct LockTable {
    inner: Mutex<Inner>,
    /// Wakes the timer thread when the next deadline changes.
    timer: Condvar,
    /// Shards that somebody has for itself, readers excluded.
    exclusive: Arc<AtomicUsize>,
}

#[derive(Debug, Default)]
struct Inner {
    locks: HashMap<LockKey, Entry>,
    held: HashMap<TxnId, Vec<LockKey>>,
    /// Every wait, by its number; numbers grow.
    waits: BTreeMap<u64, LockKey>,
    next_wait: u64,
    deadlines: BTreeSet<(Instant, u64)>,
    closed: bool,
    /// [`LockTable::exclusive`].
    exclusive: Arc<AtomicUsize>,
}

#[derive(Debug, Default)]
struct Entry {
    holders: Vec<(TxnId, LockModes)>,
    queue: VecDeque<Waiter>,
}

#[derive(Debug)]
struct Waiter {
    number: u64,
    /// Who waits.
    txn: TxnId,
    /// The session that it is a transaction of, where that has locks of its own; else itself.
    session: TxnId,
    /// Who gets it, one of the two: a session's locks outlive the transaction that takes them.
    owner: TxnId,
    mode: LockMode,
    granted: oneshot::Sender<Result<()>>,
    deadline: Option<Instant>,
}

impl Entry {
    fn modes_of(&self, owner: TxnId) -> Option<LockModes> {
        self.holders.iter().find(|(holder, _)| *holder == owner).map(|(_, modes)| *modes)
    }

    /// Whom a request at place `at` of the queue waits for: holders and, where waiters stand in
    /// line, those ahead of it. A transaction and the session that it runs in do not exclude each
    /// other.
    fn blockers(
        &self,
        at: usize,
        owners: [TxnId; 2],
        mode: LockMode,
        in_line: bool,
    ) -> BTreeSet<TxnId> {
        let holders =
            self.holders.iter().filter(|(_, held)| held.conflict(mode)).map(|(holder, _)| *holder);
        let at = if in_line { at } else { 0 };
        let ahead = self.queue.iter().take(at).filter(|waiter| waiter.mode.conflicts(mode));
        holders
            .chain(ahead.map(|waiter| waiter.txn))
            .filter(|other| !owners.contains(other))
            .collect()
    }
}

/// A wait for a lock. Dropping it gives up the wait.
#[derive(Debug)]
pub struct Wait<'a> {
    table: &'a LockTable,
    number: u64,
    granted: oneshot::Receiver<Result<()>>,
}

impl Wait<'_> {
    /// `LockTimeout` or `Deadlock` when the wait ended without the lock.
    pub async fn granted(mut self) -> Result<()> {
        (&mut self.granted).await.unwrap_or(Err(StorageError::Closed))
    }
}

impl Drop for Wait<'_> {
    fn drop(&mut self) {
        self.table.inner.lock().leave_queue(self.number);
    }
}

/// Lets go of a reader's lock, also where the reader gives up while it is granted.
struct Passing<'a> {
    table: &'a LockTable,
    txn: TxnId,
    key: LockKey,
}

impl Drop for Passing<'_> {
    fn drop(&mut self) {
        self.table.release_one(self.txn, &self.key, TableLockMode::AccessShare);
    }
}

impl Default for LockTable {
    fn default() -> Self {
        let exclusive = Arc::<AtomicUsize>::default();
        let inner = Mutex::new(Inner { exclusive: exclusive.clone(), ..Inner::default() });
        Self { inner, timer: Condvar::new(), exclusive }
    }
}

impl LockTable {
    /// A table with a thread that ends waits when their time is over.
    pub fn start() -> std::io::Result<Arc<Self>> {
        let table = Arc::new(Self::default());
        let timed = Arc::downgrade(&table);
        std::thread::Builder::new()
            .name("lock-timer".into())
            .spawn(move || while timed.upgrade().is_some_and(|table| table.expire()) {})?;
        Ok(table)
    }

    /// A row lock of another transaction on a key of this shard for which `wanted` holds.
    pub fn held_by_others(
        &self,
        shard: ShardId,
        txn: TxnId,
        wanted: impl Fn(&[u8]) -> bool,
    ) -> Option<LockKey> {
        let inner = self.inner.lock();
        let mut others = inner.held.iter().filter(|(holder, _)| **holder != txn);
        others.find_map(|(_, keys)| {
            let mut keys = keys.iter().filter(|key| key.shard == shard);
            keys.find(|key| key.row.as_ref().is_some_and(|row| wanted(row))).cloned()
        })
    }

    /// Whether a transaction holds the lock in this mode, or in a stronger one.
    pub fn holds(&self, txn: TxnId, key: &LockKey, mode: LockMode) -> bool {
        let inner = self.inner.lock();
        let modes = inner.locks.get(key).and_then(|entry| entry.modes_of(txn));
        modes.is_some_and(|modes| modes.cover(mode))
    }

    /// Whether anybody does.
    pub fn is_held(&self, key: &LockKey, mode: LockMode) -> bool {
        let inner = self.inner.lock();
        let holders = inner.locks.get(key).map(|entry| entry.holders.as_slice());
        holders.unwrap_or_default().iter().any(|(_, held)| held.cover(mode))
    }

    /// Whether anybody keeps readers out of a shard.
    pub fn keeps_readers_out(&self) -> bool {
        self.exclusive.load(Ordering::Acquire) > 0
    }

    /// Waits until nobody else keeps readers out of the shard; answers whether it had to. Nothing
    /// is held afterwards.
    pub async fn pass(
        &self,
        txn: TxnId,
        shard: ShardId,
        timeout: Option<Duration>,
    ) -> Result<bool> {
        const MODE: TableLockMode = TableLockMode::AccessShare;
        let key = LockKey { shard, row: None };
        if self.holds(txn, &key, MODE.into()) {
            return Ok(false);
        }
        let passing = Passing { table: self, txn, key };
        match self.acquire(txn, &passing.key, MODE, LockWait::Wait(timeout))? {
            Some(wait) => wait.granted().await.map(|()| true),
            None => Ok(false),
        }
    }

    /// Ends the timer thread.
    pub fn close(&self) {
        self.inner.lock().closed = true;
        self.timer.notify_all();
    }

    /// Ends waits that are over, sleeps until the next one is; `false` when closed.
    fn expire(&self) -> bool {
        let mut inner = self.inner.lock();
        if inner.closed {
            return false;
        }
        match inner.deadlines.first().copied() {
            None => self.timer.wait(&mut inner),
            Some((deadline, number)) if deadline <= Instant::now() => {
                inner.deadlines.pop_first();
                inner.end_wait(number, StorageError::LockTimeout);
            }
            Some((deadline, _)) => {
                self.timer.wait_until(&mut inner, deadline);
            }
        }
        !inner.closed
    }

    /// Whether anybody holds a lock on this that lets them change it.
    pub fn is_changing(&self, key: &LockKey) -> bool {
        let inner = self.inner.lock();
        let changes = |held: &LockModes| held.cover(RowLockMode::NoKeyUpdate.into());
        inner.locks.get(key).is_some_and(|entry| entry.holders.iter().any(|(_, m)| changes(m)))
    }

    /// Takes the lock at once, or queues for it. A lock that the transaction already holds in
    /// this strength or a stronger one is granted again without being counted.
    pub fn acquire(
        &self,
        txn: TxnId,
        key: &LockKey,
        mode: impl Into<LockMode>,
        wait: LockWait,
    ) -> Result<Option<Wait<'_>>> {
        self.acquire_for(txn, txn, txn, key, mode, wait)
    }

    /// The same, for a transaction of `session`: `owner`, which is one of the two, gets it.
    pub fn acquire_for(
        &self,
        txn: TxnId,
        session: TxnId,
        owner: TxnId,
        key: &LockKey,
        mode: impl Into<LockMode>,
        wait: LockWait,
    ) -> Result<Option<Wait<'_>>> {
        let mode = mode.into();
        let mut inner = self.inner.lock();
        let entry = inner.locks.entry(key.clone()).or_default();
        let held = entry.modes_of(owner);
        if held.is_some_and(|held| held.cover(mode)) {
            // Users give these back one by one, each in its own strength.
            if key.is_advisory() {
                inner.grant(key, owner, mode);
            }
            return Ok(None);
        }
        let place = if held.is_some() { 0 } else { entry.queue.len() };
        if entry.blockers(place, [txn, session], mode, key.stands_in_line()).is_empty() {
            inner.grant(key, owner, mode);
            return Ok(None);
        }
        let LockWait::Wait(timeout) = wait else {
            return Err(StorageError::LockNotAvailable);
        };
        let (granted, receiver) = oneshot::channel();
        let number = inner.next_wait;
        inner.next_wait += 1;
        let deadline = timeout.map(|timeout| Instant::now() + timeout);
        inner.deadlines.extend(deadline.map(|deadline| (deadline, number)));
        if deadline.is_some() {
            self.timer.notify_one();
        }
        inner.waits.insert(number, key.clone());
        if let Some(entry) = inner.locks.get_mut(key) {
            entry
                .queue
                .insert(place, Waiter { number, txn, session, owner, mode, granted, deadline });
        }
        if let Some(cycle) = inner.cycle_through(txn) {
            inner.break_cycle(&cycle);
        }
        Ok(Some(Wait { table: self, number, granted: receiver }))
    }

    /// Holds the lock without asking: a prepared transaction's, at start.
    pub fn restore(&self, txn: TxnId, key: &LockKey, mode: LockMode) {
        self.inner.lock().grant(key, txn, mode);
    }

    /// Lets go of everything that the transaction holds.
    pub fn release(&self, txn: TxnId) {
        let mut inner = self.inner.lock();
        for key in inner.held.remove(&txn).unwrap_or_default() {
            inner.let_go(txn, &key);
        }
    }

    /// How many locks the transaction holds.
    pub fn count(&self, txn: TxnId) -> usize {
        self.inner.lock().held.get(&txn).map_or(0, Vec::len)
    }

    /// Lets go of the row locks that the transaction took after its first `kept` locks. One that
    /// it only made stronger stays as strong.
    pub fn release_rows_after(&self, txn: TxnId, kept: usize) {
        let inner = &mut *self.inner.lock();
        let Some(held) = inner.held.get_mut(&txn).filter(|held| held.len() > kept) else { return };
        let later = held.split_off(kept);
        let is_row = |key: &LockKey| key.row.is_some() && !key.is_advisory();
        let (rows, others): (Vec<_>, Vec<_>) = later.into_iter().partition(is_row);
        held.extend(others);
        for key in rows {
            inner.let_go(txn, &key);
        }
    }

    /// Lets go of one lock; `false` when the transaction does not hold it in this strength.
    pub fn release_one(&self, txn: TxnId, key: &LockKey, mode: impl Into<LockMode>) -> bool {
        let inner = &mut *self.inner.lock();
        let Some(entry) = inner.locks.get_mut(key) else { return false };
        let Some(at) = entry.holders.iter().position(|(holder, _)| *holder == txn) else {
            return false;
        };
        let before = entry.holders[at].1;
        if !entry.holders[at].1.remove(mode.into()) {
            return false;
        }
        let after = entry.holders[at].1;
        if after.is_empty() {
            entry.holders.remove(at);
            if let Some(held) = inner.held.get_mut(&txn) {
                held.retain(|other| other != key);
                if held.is_empty() {
                    inner.held.remove(&txn);
                }
            }
        }
        inner.note_exclusive(Some(before), Some(after));
        inner.let_in(key);
        true
    }

    /// Locks that the transaction holds, each in the strengths that matter.
    pub fn held_by(&self, txn: TxnId) -> Vec<(LockKey, LockMode)> {
        let inner = self.inner.lock();
        let keys = inner.held.get(&txn).map(Vec::as_slice).unwrap_or_default();
        let modes = |key: &LockKey| inner.locks.get(key).and_then(|entry| entry.modes_of(txn));
        keys.iter()
            .flat_map(|key| {
                let modes = modes(key).unwrap_or_default();
                modes.strongest().map(|mode| (key.clone(), mode)).collect::<Vec<_>>()
            })
            .collect()
    }

    /// Locks that are held or waited for: whole shards, advisory locks, and rows that somebody
    /// waits for; other row locks up to `rows` of them.
    pub fn entries(&self, rows: usize) -> Vec<LockEntry> {
        let inner = self.inner.lock();
        let is_plain_row = |(lock, entry): &(&LockKey, &Entry)| {
            lock.row.is_some() && !lock.is_advisory() && entry.queue.is_empty()
        };
        let plain = inner.locks.iter().filter(is_plain_row).take(rows);
        let others = inner.locks.iter().filter(|locked| !is_plain_row(locked));
        let mut entries: Vec<LockEntry> = others
            .chain(plain)
            .flat_map(|(lock, entry)| {
                let of = |txn, mode, granted| LockEntry { txn, lock: lock.clone(), mode, granted };
                let holders = entry.holders.iter().flat_map(|(txn, modes)| {
                    modes.strongest().map(move |mode| (*txn, mode)).collect::<Vec<_>>()
                });
                let held = holders.map(|(txn, mode)| of(txn, mode, true));
                let awaited = entry.queue.iter().map(|waiter| of(waiter.txn, waiter.mode, false));
                held.chain(awaited).collect::<Vec<_>>()
            })
            .collect();
        entries.sort_by(|a, b| (&a.lock, a.txn).cmp(&(&b.lock, b.txn)));
        entries
    }

    /// Every wait there is.
    pub fn waits(&self) -> Vec<WaitEdge> {
        let inner = self.inner.lock();
        inner.waits.keys().flat_map(|number| inner.edges_of(*number)).collect()
    }

    /// Ends a transaction's waits with `Deadlock`: it was chosen as the victim.
    pub fn cancel(&self, txn: TxnId, detail: &str) {
        let mut inner = self.inner.lock();
        let error = StorageError::Deadlock { detail: detail.to_owned() };
        for number in inner.waits_of(txn) {
            inner.end_wait(number, error.clone());
        }
    }

    /// Locks that are held, for metrics.
    pub fn len(&self) -> usize {
        self.inner.lock().locks.len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Inner {
    fn grant(&mut self, key: &LockKey, txn: TxnId, mode: LockMode) {
        let entry = self.locks.entry(key.clone()).or_default();
        let (before, after) = match entry.holders.iter_mut().find(|(holder, _)| *holder == txn) {
            Some((_, held)) => {
                let before = *held;
                held.add(mode);
                (Some(before), *held)
            }
            None => {
                let mut held = LockModes::default();
                held.add(mode);
                entry.holders.push((txn, held));
                self.held.entry(txn).or_default().push(key.clone());
                (None, held)
            }
        };
        self.note_exclusive(before, Some(after));
    }

    /// A holder of a lock has other modes now.
    fn note_exclusive(&self, before: Option<LockModes>, after: Option<LockModes>) {
        let is_exclusive = |modes: Option<LockModes>| {
            modes.is_some_and(|modes| modes.cover(TableLockMode::AccessExclusive.into()))
        };
        match (is_exclusive(before), is_exclusive(after)) {
            (false, true) => self.exclusive.fetch_add(1, Ordering::AcqRel),
            (true, false) => self.exclusive.fetch_sub(1, Ordering::AcqRel),
            _ => 0,
        };
    }

    /// The transaction is no holder any more.
    fn let_go(&mut self, txn: TxnId, key: &LockKey) {
        if let Some(entry) = self.locks.get_mut(key)
            && let Some(at) = entry.holders.iter().position(|(holder, _)| *holder == txn)
        {
            let (_, modes) = entry.holders.swap_remove(at);
            self.note_exclusive(Some(modes), None);
        }
        self.let_in(key);
    }

    /// Grants to waiters what they can have now.
    fn let_in(&mut self, key: &LockKey) {
        loop {
            let Some(entry) = self.locks.get_mut(key) else { return };
            let ready = (0..entry.queue.len()).find(|at| {
                let waiter = &entry.queue[*at];
                entry
                    .blockers(*at, [waiter.txn, waiter.session], waiter.mode, key.stands_in_line())
                    .is_empty()
            });
            let Some(waiter) = ready.and_then(|at| entry.queue.remove(at)) else {
                if entry.holders.is_empty() && entry.queue.is_empty() {
                    self.locks.remove(key);
                }
                return;
            };
            self.forget(&waiter);
            // Granted before it is told: a wait that is dropped now leaves a lock held until its
            // transaction ends, never a lock that two think they hold.
            self.grant(key, waiter.owner, waiter.mode);
            let _ = waiter.granted.send(Ok(()));
        }
    }

    fn forget(&mut self, waiter: &Waiter) {
        self.waits.remove(&waiter.number);
        if let Some(deadline) = waiter.deadline {
            self.deadlines.remove(&(deadline, waiter.number));
        }
    }

    fn leave_queue(&mut self, number: u64) -> Option<Waiter> {
        let key = self.waits.get(&number)?.clone();
        let entry = self.locks.get_mut(&key)?;
        let at = entry.queue.iter().position(|waiter| waiter.number == number)?;
        let waiter = entry.queue.remove(at)?;
        self.forget(&waiter);
        self.let_in(&key);
        Some(waiter)
    }

    fn end_wait(&mut self, number: u64, error: StorageError) {
        if let Some(waiter) = self.leave_queue(number) {
            let _ = waiter.granted.send(Err(error));
        }
    }

    fn waits_of(&self, txn: TxnId) -> Vec<u64> {
        let of = |number: &u64, key: &LockKey| {
            let queue = self.locks.get(key).map(|entry| &entry.queue);
            queue.is_some_and(|q| q.iter().any(|w| w.number == *number && w.txn == txn))
        };
        self.waits.iter().filter(|(number, key)| of(number, key)).map(|(n, _)| *n).collect()
    }

    fn edges_of(&self, number: u64) -> Vec<WaitEdge> {
        let Some(key) = self.waits.get(&number) else { return Vec::new() };
        let Some(entry) = self.locks.get(key) else { return Vec::new() };
        let Some(at) = entry.queue.iter().position(|w| w.number == number) else {
            return Vec::new();
        };
        let waiter = &entry.queue[at];
        entry
            .blockers(at, [waiter.txn, waiter.session], waiter.mode, key.stands_in_line())
            .into_iter()
            .map(|holder| WaitEdge { wait: number, waiter: waiter.txn, holder, lock: key.clone() })
            .collect()
    }

    /// Transactions of a cycle of waits that `start` is part of.
    fn cycle_through(&self, start: TxnId) -> Option<Vec<TxnId>> {
        if self.waits.len() < 2 {
            return None;
        }
        let mut edges: BTreeMap<TxnId, BTreeSet<TxnId>> = BTreeMap::new();
        for number in self.waits.keys() {
            for edge in self.edges_of(*number) {
                edges.entry(edge.waiter).or_default().insert(edge.holder);
            }
        }
        let mut path = vec![start];
        let mut seen = BTreeSet::new();
        let mut stack = vec![edges.get(&start)?.iter().copied().collect::<Vec<_>>()];
        while let Some(next) = stack.last_mut() {
            match next.pop() {
                Some(txn) if txn == start => return Some(path),
                Some(txn) => {
                    if seen.insert(txn)
                        && let Some(holders) = edges.get(&txn)
                    {
                        path.push(txn);
                        stack.push(holders.iter().copied().collect());
                    }
                }
                None => {
                    stack.pop();
                    path.pop();
                }
            }
        }
        None
    }

    /// The youngest of the cycle gives way.
    fn break_cycle(&mut self, cycle: &[TxnId]) {
        let Some(victim) = cycle.iter().max().copied() else { return };
        let detail = cycle
            .iter()
            .enumerate()
            .map(|(i, waiter)| {
                let holder = cycle[(i + 1) % cycle.len()];
                format!("Transaction {waiter} waits for transaction {holder}.")
            })
            .collect::<Vec<_>>()
            .join("\n");
        for number in self.waits_of(victim) {
            self.end_wait(number, StorageError::Deadlock { detail: detail.clone() });
        }
    }
}
