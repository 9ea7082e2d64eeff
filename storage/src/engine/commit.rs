//! How a transaction ends.
//!
//! ```text
//! Open --commit----------> Deciding --record durable--> Ended (visible)
//!   \---prepare--> Deciding --record durable--> Prepared --commit_prepared--> Deciding --> Ended
//!    \--abort--> Ended                             \---------abort---------> Deciding --> Ended
//! ```
//!
//! The step from a durable record to its effects runs on the log's writer thread, in LSN order:
//! it happens even when the caller has gone away.

use std::sync::Arc;

use satsuma_common::{Epoch, Lsn, ShardId, Timestamp, TxnId};
use tokio::sync::oneshot;

use super::Engine;
use super::meta::Meta;
use crate::error::{Result, StorageError};
use crate::lock::{LockMode, TableLockMode};
use crate::txn::{Phase, Txn, TxnState};
use crate::wal::Written;
use crate::wal::record::{LoggedLock, Op, Record, Section};

/// Operations of one record, in bytes, about. What is more goes ahead in parts.
const PART_BYTES: usize = 4 << 20;

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
        let ts = self.timeline.assign(txn.id, at_least, shards_of(&sections));
        let (done, answer) = oneshot::channel();
        let engine = self.clone();
        let id = txn.id;
        self.log(id, sections, move |sections| Record::Commit { txn: id, ts, sections }, {
            move |logged, sections| {
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
            }
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
        let locks: Vec<_> = self
            .locks
            .held_by(txn.id)
            .into_iter()
            // Advisory locks protect nothing that is stored.
            .filter(|(key, _)| !key.is_advisory())
            .map(|(key, mode)| LoggedLock {
                shard: key.shard,
                mode,
                key: key.row.unwrap_or_default(),
            })
            .collect();
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
        let (done, answer) = oneshot::channel();
        let engine = self.clone();
        let id = txn.id;
        let record = move |sections| Record::Prepare { txn: id, ts, sections, locks };
        self.log(id, sections, record, move |logged, _| {
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

    /// Commits a prepared transaction at `ts`. One that is not known has ended before.
    pub async fn commit_prepared(self: &Arc<Self>, txn: TxnId, ts: Timestamp) -> Result<()> {
        self.decide(txn, Some(ts)).await
    }

    /// Undoes an open or prepared transaction. One that is not known has ended before.
    pub async fn abort(self: &Arc<Self>, txn: TxnId) -> Result<()> {
        self.decide(txn, None).await
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

    /// Transactions whose outcome is still needed here: the prepared ones, and those that learned
    /// it and are not finished.
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
        let (done, answer) = oneshot::channel();
        let engine = self.clone();
        let record = match commit {
            Some(ts) => Record::CommitPrepared { txn: id, ts },
            None => Record::Abort { txn: id },
        };
        self.wal.append(
            vec![record.encode()?],
            Box::new(move |logged| {
                let result = match (logged, commit) {
                    (Ok(written), Some(ts)) => {
                        engine.timeline.observe_commit(ts);
                        let from = logged_from.unwrap_or(written.first);
                        engine.meta.read().commit(written.last, from, ts, &sections);
                        engine.end(&txn);
                        Ok(())
                    }
                    (Ok(_), None) => {
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
                let _ = done.send(result);
            }),
        );
        answer.await.unwrap_or(Err(StorageError::Closed))
    }

    fn find(&self, txn: TxnId) -> Result<Arc<Txn>> {
        self.txns.lock().get(&txn).cloned().ok_or(StorageError::NoSuchTransaction(txn))
    }

    /// Queues the record, its bulk in parts before it.
    fn log(
        &self,
        txn: TxnId,
        sections: Vec<Section>,
        record: impl FnOnce(Vec<Section>) -> Record,
        done: impl FnOnce(Result<Written>, Vec<Section>) + Send + 'static,
    ) {
        let mut chunks = chunks(&sections);
        let last = chunks.pop().unwrap_or_default();
        let parts = chunks.into_iter().map(|sections| Record::Part { txn, sections });
        let payloads: Result<Vec<_>> =
            parts.chain([record(last)]).map(|record| record.encode()).collect();
        match payloads {
            Ok(payloads) => self.wal.append(payloads, Box::new(move |w| done(w, sections))),
            Err(error) => done(Err(error), sections),
        }
    }

    /// A record did not become durable. On a full disk the transaction is undone; when the log
    /// itself has failed, only a restart can tell what became of it.
    fn give_up(&self, txn: &Txn, error: StorageError) -> StorageError {
        if !matches!(error, StorageError::Poisoned(_)) {
            self.end(txn);
        }
        error
    }

    fn end(&self, txn: &Txn) {
        {
            let mut state = txn.state.lock();
            state.phase = Phase::Ended;
            state.shards.clear();
        }
        self.timeline.settle(txn.id);
        self.txns.lock().remove(&txn.id);
        self.locks.release(txn.id);
    }

    fn sections(&self, state: &TxnState) -> Vec<Section> {
        let meta = self.meta.read();
        let mut sections = Vec::new();
        for (id, writes) in &state.shards {
            let Some(shard) = meta.shards.get(id) else { continue };
            let (truncated, rows) = writes.effects();
            let truncate = truncated.then_some(Op::Truncate);
            let ops = rows.map(|(key, row)| match row {
                Some(row) => Op::Put { key: key.clone(), row: row.clone() },
                None => Op::Delete { key: key.clone() },
            });
            let ops: Vec<_> = truncate.into_iter().chain(ops).collect();
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
                let table = self.tables.get(&shard.table);
                let hidden_key = table.is_some_and(|table| table.key.is_none());
                shard.apply(lsn, from, ts, &section.ops, hidden_key);
            }
        }
    }
}

fn shards_of(sections: &[Section]) -> Vec<ShardId> {
    sections.iter().map(|section| section.shard).collect()
}

/// Cuts operations into groups of about [`PART_BYTES`].
fn chunks(sections: &[Section]) -> Vec<Vec<Section>> {
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

impl Section {
    fn without_ops(&self) -> Self {
        Self { group: self.group, epoch: self.epoch, shard: self.shard, ops: Vec::new() }
    }
}
