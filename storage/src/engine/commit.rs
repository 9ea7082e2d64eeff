//! How a transaction ends.
//!
//! ```text
//! Open --commit----------> Deciding --record durable--> Ended (visible)
//!   \---prepare--> Deciding --record durable--> Prepared --commit_prepared--> Deciding --> Ended
//!    \--abort--> Ended                             \---------abort---------> Deciding --> Ended
//! ```
//!
//! The step from a durable record to its effects runs where the record is written, in LSN order:
//! it happens even when the caller has gone away.
//!
//! The end of a prepared transaction does not wait for the disk: whoever decided it keeps the
//! outcome until [`Engine::settled`] says that it is durable here, too.

use std::collections::HashSet;
use std::sync::Arc;

use bytes::Bytes;
use satsuma_common::{Epoch, Lsn, ShardId, Timestamp, TxnId};
use tokio::runtime::Handle;
use tokio::sync::oneshot;

use super::Engine;
use super::meta::Meta;
use crate::error::{Result, StorageError};
use crate::lock::{LockKey, LockMode, RowLockMode, TableLockMode};
use crate::txn::{Phase, Txn, TxnState};
use crate::wal::record::{Attached, LoggedLock, Op, Record, Section};
use crate::wal::{Concern, Durable, Effect, Entry, Scope, Written};

/// Operations of one record, in bytes, about. What is more goes ahead in parts.
const PART_BYTES: usize = 4 << 20;
/// Bytes of a lock in a record beside its key, about.
const LOCK_BYTES: usize = 7;

/// Who writes a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum By {
    /// The log's thread, together with others.
    Writer,
    /// Whoever commits: nobody else has a transaction here that could wait for the thread.
    Caller,
}

impl By {
    /// Of a commit, so many transactions being open. A runtime of one thread must not wait.
    fn of(open: usize) -> Self {
        let threads = Handle::try_current().map_or(1, |runtime| runtime.metrics().num_workers());
        if open == 1 && threads > 1 { Self::Caller } else { Self::Writer }
    }
}

impl Engine {
    /// Commits in one phase, at `at_least` or later; answers with the moment. The transaction's
    /// writes are durable and visible then. A transaction that wrote nothing costs nothing.
    pub async fn commit(self: &Arc<Self>, txn: TxnId, at_least: Timestamp) -> Result<Timestamp> {
        let txn = self.find(txn)?;
        let sections = {
            let mut state = txn.state.lock();
            if state.phase != Phase::Open {
                return Err(StorageError::NotOpen(txn.id));
            }
            state.phase = Phase::Deciding;
            self.sections(&state)
        };
        if sections.is_empty() {
            self.end(&txn);
            return Ok(at_least);
        }
        if let Err(error) = self.keep_loaded(&txn, &sections) {
            return Err(self.give_up(&txn, error));
        }
        let ts = self.timeline.assign(txn.id, at_least, shards_of(&sections));
        let (done, answer) = oneshot::channel();
        let engine = self.clone();
        let id = txn.id;
        let record = move |sections| Record::Commit { txn: id, ts, sections };
        let by = By::of(self.txns.lock().len());
        self.log(by, id, Effect::Rows, Vec::new(), sections, record, move |logged, sections| {
            let result = match logged {
                Ok(written) => {
                    engine.meta.read().commit(written.last, written.first, ts, &sections);
                    engine.end(&txn);
                    Ok(ts)
                }
                Err(error) => Err(engine.give_up(&txn, error)),
            };
            drop(engine);
            let _ = done.send(result);
        });
        answer.await.unwrap_or(Err(StorageError::Closed))
    }

    /// Makes the writes durable, undecided. Answers with the lowest allowed commit timestamp.
    pub async fn prepare(self: &Arc<Self>, txn: TxnId) -> Result<Timestamp> {
        let txn = self.find(txn)?;
        let sections = {
            let mut state = txn.state.lock();
            match state.phase {
                Phase::Open => {}
                Phase::Prepared(ts) => return Ok(ts),
                Phase::Deciding | Phase::Ended => return Err(StorageError::NotOpen(txn.id)),
            }
            state.phase = Phase::Deciding;
            self.sections(&state)
        };
        let locks = self.locks_to_log(txn.id, &sections);
        let ts = self.timeline.assign(txn.id, Timestamp(0), shards_of(&sections));
        let guards_nothing = |lock: &LoggedLock| {
            matches!(
                lock.mode,
                LockMode::Table(TableLockMode::RowExclusive | TableLockMode::RowShare)
            )
        };
        if sections.is_empty() && locks.iter().all(guards_nothing) {
            self.timeline.settle(txn.id);
            txn.state.lock().phase = Phase::Prepared(ts);
            return Ok(ts);
        }
        if let Err(error) = self.keep_loaded(&txn, &sections) {
            return Err(self.give_up(&txn, error));
        }
        let (done, answer) = oneshot::channel();
        let engine = self.clone();
        let id = txn.id;
        let mut chunks = lock_chunks(locks);
        let locks = chunks.pop().unwrap_or_default();
        let ahead = chunks.into_iter().map(|locks| Record::Locks { txn: id, locks }).collect();
        let record = move |sections| Record::Prepare { txn: id, ts, sections, locks };
        self.log(By::Writer, id, Effect::Pending, ahead, sections, record, move |logged, _| {
            let result = match logged {
                Ok(written) => {
                    let mut state = txn.state.lock();
                    state.phase = Phase::Prepared(ts);
                    state.logged_from = Some(written.first);
                    Ok(ts)
                }
                Err(error) => Err(engine.give_up(&txn, error)),
            };
            drop(engine);
            let _ = done.send(result);
        });
        answer.await.unwrap_or(Err(StorageError::Closed))
    }

    /// Commits a prepared transaction at `ts`. One that is not known has ended before. After a
    /// power cut it may be prepared again, see [`Self::settled`].
    pub async fn commit_prepared(self: &Arc<Self>, txn: TxnId, ts: Timestamp) -> Result<()> {
        self.decide(txn, Some(ts)).await
    }

    /// Undoes an open or prepared transaction. One that is not known has ended before, or has not
    /// begun: a request that comes late does not begin it any more.
    pub async fn abort(self: &Arc<Self>, txn: TxnId) -> Result<()> {
        self.aborted.lock().insert(txn, ());
        self.decide(txn, None).await
    }

    /// Transactions whose outcome is still needed here. That of every other one which has ended
    /// is durable when this answers.
    pub async fn settled(&self) -> Result<Vec<TxnId>> {
        // In this order: one that ends in between is told again, if need be.
        let unfinished = self.unfinished();
        let (done, synced) = oneshot::channel();
        self.wal.when_synced(move |result| {
            let _ = done.send(result);
        });
        synced.await.unwrap_or(Err(StorageError::Closed))?;
        Ok(unfinished)
    }

    /// Transactions without an outcome, with the timestamps of their prepare.
    pub fn prepared(&self) -> Vec<(TxnId, Timestamp)> {
        let txns: Vec<_> = self.txns.lock().values().cloned().collect();
        let mut prepared: Vec<_> = txns
            .iter()
            .filter_map(|txn| match txn.state.lock().phase {
                Phase::Prepared(ts) => Some((txn.id, ts)),
                Phase::Open | Phase::Deciding | Phase::Ended => None,
            })
            .collect();
        prepared.sort();
        prepared
    }

    /// The prepared ones, and those that learned their outcome and are not finished.
    pub fn unfinished(&self) -> Vec<TxnId> {
        let txns: Vec<_> = self.txns.lock().values().cloned().collect();
        let needs_outcome = |txn: &Arc<Txn>| {
            let state = txn.state.lock();
            match state.phase {
                Phase::Prepared(_) => true,
                Phase::Deciding => state.logged_from.is_some(),
                Phase::Open | Phase::Ended => false,
            }
        };
        let mut unfinished: Vec<_> =
            txns.iter().filter(|txn| needs_outcome(txn)).map(|txn| txn.id).collect();
        unfinished.sort();
        unfinished
    }

    /// `commit` is the moment, `None` an abort.
    async fn decide(self: &Arc<Self>, txn: TxnId, commit: Option<Timestamp>) -> Result<()> {
        let Ok(txn) = self.find(txn) else { return Ok(()) };
        let (prepared, logged_from, sections) = {
            let mut state = txn.state.lock();
            match (state.phase, commit) {
                // Nothing was logged for it.
                (Phase::Prepared(_), _) if state.logged_from.is_none() => {
                    drop(state);
                    self.end(&txn);
                    return Ok(());
                }
                (Phase::Prepared(ts), _) => {
                    state.phase = Phase::Deciding;
                    (ts, state.logged_from, self.sections(&state))
                }
                (Phase::Open, None) => {
                    drop(state);
                    self.end(&txn);
                    return Ok(());
                }
                (Phase::Ended, _) => return Ok(()),
                (Phase::Open | Phase::Deciding, _) => return Err(StorageError::NotOpen(txn.id)),
            }
        };
        let id = txn.id;
        let (send, answer) = oneshot::channel();
        let engine = self.clone();
        let record = match commit {
            Some(ts) => Record::CommitPrepared { txn: id, ts },
            None => Record::Abort { txn: id },
        };
        // Files of loads go with an abort: a restart must not find the transaction prepared again.
        let loses_files = commit.is_none() && sections.iter().any(attaches);
        let scope = match (commit, loses_files) {
            (Some(_), _) => scope_of(&sections, Effect::Rows),
            (None, true) => scope_of(&sections, Effect::Pending),
            // Without it the transaction is prepared again, and whoever decided tells it again.
            (None, false) => Scope::none(),
        };
        let entry = Entry { scope, payload: record.encode()? };
        let done: Durable = Box::new(move |logged| {
            let result = match (logged, commit) {
                (Ok(written), Some(ts)) => {
                    engine.timeline.observe_commit(ts);
                    let from = logged_from.unwrap_or(written.first);
                    engine.meta.read().commit(written.last, from, ts, &sections);
                    engine.settle_definitions(id);
                    engine.end(&txn);
                    Ok(())
                }
                (Ok(_), None) => {
                    txn.state.lock().keep_loaded(false);
                    engine.end(&txn);
                    Ok(())
                }
                (Err(error), _) => {
                    // Still prepared: whoever decides tells it again.
                    txn.state.lock().phase = Phase::Prepared(prepared);
                    Err(error)
                }
            };
            drop(engine);
            let _ = send.send(result);
        });
        match loses_files {
            true => self.wal.append(vec![entry], done),
            false => self.wal.append_unsynced(entry, done),
        }
        answer.await.unwrap_or(Err(StorageError::Closed))
    }

    /// The log says so, too: a replay settles them at the same record.
    fn settle_definitions(&self, txn: TxnId) {
        let has_any = self.meta.read().pending.values().any(|by| *by == txn);
        if has_any {
            self.meta.write().settle(txn);
        }
    }

    /// Makes the names of loaded files durable, before a record names them.
    fn keep_loaded(&self, txn: &Txn, sections: &[Section]) -> Result<()> {
        if sections.iter().any(attaches) {
            self.store.sync_names()?;
            txn.state.lock().keep_loaded(true);
        }
        Ok(())
    }

    /// What a restart must lock anew, beyond what it can tell from the writes.
    fn locks_to_log(&self, txn: TxnId, sections: &[Section]) -> Vec<LoggedLock> {
        let written: HashSet<(ShardId, &Bytes)> = sections
            .iter()
            .flat_map(|section| section.keys().map(|key| (section.shard, key)))
            .collect();
        let is_told = |key: &LockKey, mode: LockMode| {
            mode == LockMode::Row(RowLockMode::Update)
                && key.row.as_ref().is_some_and(|row| written.contains(&(key.shard, row)))
        };
        let held = self.locks.held_by(txn).into_iter();
        // Advisory locks protect nothing that is stored.
        held.filter(|(key, mode)| !key.is_advisory() && !is_told(key, *mode))
            .map(|(key, mode)| LoggedLock {
                shard: key.shard,
                mode,
                key: key.row.unwrap_or_default(),
            })
            .collect()
    }

    fn find(&self, txn: TxnId) -> Result<Arc<Txn>> {
        self.txns.lock().get(&txn).cloned().ok_or(StorageError::NoSuchTransaction(txn))
    }

    /// Queues the record, those `ahead` of it and its bulk in parts before it. The record is about
    /// all that its parts are about.
    fn log(
        &self,
        by: By,
        txn: TxnId,
        effect: Effect,
        ahead: Vec<Record>,
        sections: Vec<Section>,
        record: impl FnOnce(Vec<Section>) -> Record,
        done: impl FnOnce(Result<Written>, Vec<Section>) + Send + 'static,
    ) {
        let mut chunks = chunks(&sections);
        let last = chunks.pop().unwrap_or_default();
        // Locks are no rows: without those that are lost, nothing is missing from a shard.
        let ahead = ahead.into_iter().map(|record| (Scope::none(), record));
        let parts = chunks
            .into_iter()
            .map(|sections| (scope_of(&sections, effect), Record::Part { txn, sections }));
        let record = (scope_of(&sections, effect), record(last));
        let payloads: Result<Vec<_>> = ahead
            .chain(parts)
            .chain([record])
            .map(|(scope, record)| Ok(Entry { scope, payload: record.encode()? }))
            .collect();
        match payloads {
            Ok(payloads) => {
                let done: Durable = Box::new(move |written| done(written, sections));
                match by {
                    By::Caller => self.wal.append_here(payloads, done),
                    By::Writer => self.wal.append(payloads, done),
                }
            }
            Err(error) => done(Err(error), sections),
        }
    }

    /// A record did not become durable. On a full disk the transaction is undone; when the log
    /// itself has failed, only a restart can tell what became of it.
    fn give_up(&self, txn: &Txn, error: StorageError) -> StorageError {
        if !matches!(error, StorageError::Poisoned(_)) {
            txn.state.lock().keep_loaded(false);
            self.end(txn);
        }
        error
    }

    fn end(&self, txn: &Txn) {
        // Files of loads may go with their segments: not under the lock.
        let ended = {
            let mut state = txn.state.lock();
            state.phase = Phase::Ended;
            std::mem::take(&mut state.shards)
        };
        drop(ended);
        self.timeline.settle(txn.id);
        self.txns.lock().remove(&txn.id);
        self.locks.release(txn.id);
    }

    fn sections(&self, state: &TxnState) -> Vec<Section> {
        let meta = self.meta.read();
        let mut sections = Vec::new();
        for (id, writes) in &state.shards {
            let Some(shard) = meta.shards.get(id) else { continue };
            let (truncated, loaded, rows) = writes.effects();
            let truncate = truncated.then_some(Op::Truncate);
            let ops = rows.map(|(key, row)| match row {
                Some(row) => Op::Put { key: key.clone(), row: row.clone() },
                None => Op::Delete { key: key.clone() },
            });
            let attached = loaded.into_iter().map(|segment| {
                let (id, size, rows) = (segment.id, segment.size(), segment.rows());
                Op::Attach(Attached { id, size, rows, segment: Some(segment) })
            });
            let ops: Vec<_> = truncate.into_iter().chain(attached).chain(ops).collect();
            let epoch = meta.groups.get(&shard.group).map_or(Epoch(0), |known| known.1);
            if !ops.is_empty() {
                sections.push(Section { group: shard.group, epoch, shard: *id, ops });
            }
        }
        sections
    }
}

impl Meta {
    /// Applies a commit's writes, whose records start at `from`. Shards that have been dropped since are left out.
    pub fn commit(&self, lsn: Lsn, from: Lsn, ts: Timestamp, sections: &[Section]) {
        for section in sections {
            if let Some(shard) = self.shards.get(&section.shard) {
                let table = self.table_of(shard);
                let hidden_key = table.is_some_and(|table| table.key.is_none());
                shard.apply(lsn, from, ts, &section.ops, hidden_key);
            }
        }
    }
}

/// The shards of a record with these sections.
pub(super) fn scope_of(sections: &[Section], effect: Effect) -> Scope {
    let concern =
        |section: &Section| Concern { group: section.group, shard: section.shard, effect };
    Scope::Shards(sections.iter().map(concern).collect())
}

/// Whether segments of loads come with it.
fn attaches(section: &Section) -> bool {
    section.ops.iter().any(|op| matches!(op, Op::Attach(_)))
}

fn shards_of(sections: &[Section]) -> Vec<ShardId> {
    sections.iter().map(|section| section.shard).collect()
}

/// Cuts operations into groups of about [`PART_BYTES`].
pub(super) fn chunks(sections: &[Section]) -> Vec<Vec<Section>> {
    let mut chunks: Vec<Vec<Section>> = Vec::new();
    let mut size = PART_BYTES;
    for section in sections {
        let mut open = false;
        for op in &section.ops {
            if size >= PART_BYTES {
                chunks.push(Vec::new());
                size = 0;
                open = false;
            }
            size += op.size();
            let Some(chunk) = chunks.last_mut() else { continue };
            if !open {
                chunk.push(section.without_ops());
                open = true;
            }
            if let Some(section) = chunk.last_mut() {
                section.ops.push(op.clone());
            }
        }
    }
    chunks
}

/// The same of locks.
fn lock_chunks(locks: Vec<LoggedLock>) -> Vec<Vec<LoggedLock>> {
    let mut chunks: Vec<Vec<LoggedLock>> = Vec::new();
    let mut size = PART_BYTES;
    for lock in locks {
        if size >= PART_BYTES {
            chunks.push(Vec::new());
            size = 0;
        }
        size += lock.key.len() + LOCK_BYTES;
        if let Some(chunk) = chunks.last_mut() {
            chunk.push(lock);
        }
    }
    chunks
}

impl Section {
    pub(super) fn without_ops(&self) -> Self {
        Self { group: self.group, epoch: self.epoch, shard: self.shard, ops: Vec::new() }
    }
}
