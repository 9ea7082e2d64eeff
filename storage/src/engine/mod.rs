//! The engine: shards, transactions and the log put together.
//!
//! Files follow what a caller does: [`open`] a directory, manage `shards`, `read`, `write`,
//! `commit`.

mod commit;
mod meta;
mod open;
mod read;
mod shards;
mod write;

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use parking_lot::{Mutex, RwLock};
use satsuma_common::{Lsn, ShardId, Timestamp, TxnId};

use crate::disk::Disk;
use crate::error::{Result, StorageError};
use crate::lock::{LockTable, WaitEdge};
use crate::shard::Shard;
use crate::timeline::Timeline;
use crate::txn::Txn;
use crate::wal::{Wal, WalOptions, WalStats};
use meta::Meta;

pub use meta::TableMeta;
pub use shards::ShardInfo;
pub use write::{Changed, Conflict, ConflictPolicy, Inserted, LockedRow, RowLocks, WriteContext};

#[cfg(test)]
mod tests;

/// A row as [`satsuma_common::row`] encodes it.
pub type RowBytes = Bytes;

#[derive(Clone, Debug)]
pub struct Options {
    pub wal: WalOptions,
    /// Most bytes that one transaction may have waiting in memory.
    pub transaction_bytes: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self { wal: WalOptions::default(), transaction_bytes: 1 << 30 }
    }
}

/// All shards of one worker.
pub struct Engine {
    dir: PathBuf,
    identity: String,
    options: Options,
    meta: RwLock<Meta>,
    txns: Mutex<HashMap<TxnId, Arc<Txn>>>,
    timeline: Timeline,
    locks: Arc<LockTable>,
    wal: Wal,
    oldest_snapshot: AtomicU64,
    /// Dropped last: another process may then open the directory.
    _lock: Box<dyn Send + Sync>,
    _disk: Arc<dyn Disk>,
}

/// Counters and sizes for metrics.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    pub wal: WalStats,
    pub shards: usize,
    pub delta_bytes: u64,
    pub transactions: usize,
    pub locks: usize,
}

impl Engine {
    /// Identity of the data directory, made at its first start.
    pub fn identity(&self) -> &str {
        &self.identity
    }

    /// Position of the last durable record.
    pub fn lsn(&self) -> Lsn {
        self.wal.durable()
    }

    /// No snapshot below this one will be read again: versions only they could see may go.
    pub fn set_oldest_snapshot(&self, oldest: Timestamp) {
        if self.oldest_snapshot.fetch_max(oldest.0, Ordering::AcqRel) < oldest.0 {
            for shard in self.meta.read().shards.values() {
                shard.collect(oldest);
            }
        }
    }

    /// Every wait for a lock, for the deadlock detector that sees all workers.
    pub fn waits(&self) -> Vec<WaitEdge> {
        self.locks.waits()
    }

    /// Ends the waits of a transaction that was chosen as a deadlock's victim.
    pub fn cancel_wait(&self, victim: TxnId, detail: &str) {
        self.locks.cancel(victim, detail);
    }

    pub fn stats(&self) -> Stats {
        let meta = self.meta.read();
        Stats {
            wal: self.wal.stats(),
            shards: meta.shards.len(),
            delta_bytes: meta.shards.values().map(|shard| shard.bytes()).sum(),
            transactions: self.txns.lock().len(),
            locks: self.locks.len(),
        }
    }

    /// Writes what is queued and stops. Calls after this one fail.
    pub fn close(&self) {
        self.wal.close();
        self.locks.close();
    }

    fn shard(&self, id: ShardId) -> Result<Arc<Shard>> {
        self.meta.read().shards.get(&id).cloned().ok_or(StorageError::NoSuchShard(id))
    }

    fn shard_and_table(&self, id: ShardId) -> Result<(Arc<Shard>, Arc<TableMeta>)> {
        let meta = self.meta.read();
        let shard = meta.shards.get(&id).cloned().ok_or(StorageError::NoSuchShard(id))?;
        let table = meta.tables.get(&shard.table).cloned();
        Ok((shard.clone(), table.ok_or(StorageError::NoSuchTable(shard.table))?))
    }
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Engine").field("dir", &self.dir).finish_non_exhaustive()
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.close();
    }
}
