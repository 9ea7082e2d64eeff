//! The engine: shards, transactions and the log put together.
//!
//! Files follow what a caller does: [`open`] a directory, manage `shards`, `read`, `write`,
//! `commit`.

mod bulk;
mod checkpoint;
mod commit;
mod copy;
mod index;
mod losses;
mod merge;
mod meta;
mod open;
mod pressure;
mod read;
mod run_files;
mod seal;
mod shards;
mod snapshots;
mod sorted_rows;
mod store;
mod unique;
mod write;

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use bytes::Bytes;
use parking_lot::{Mutex, RwLock};
use satsuma_common::{Lsn, NodeId, Recent, ShardId, Timestamp, TxnId};

use crate::error::{Result, StorageError};
use crate::index::{IndexExpressions, NoExpressions};
use crate::lock::{LockEntry, LockTable, WaitEdge};
use crate::shard::Shard;
use crate::timeline::Timeline;
use crate::txn::Txn;
use crate::wal::{Wal, WalOptions, WalStats};
use copy::Pins;
use meta::Meta;
use pressure::{Pressure, Wake};
use snapshots::Snapshots;
use store::Store;

pub use bulk::{BulkError, BulkLoad};
pub use copy::{CopyReader, CopyWriter, Progress, ShardSum, SnapshotReader, Watermark};
pub use meta::TableMeta;
pub use shards::ShardInfo;
pub(crate) use snapshots::Held;
pub use write::{
    Changed, Conflict, ConflictPolicy, Inserted, LockedRow, PRIMARY_KEY, RowLocks, WriteContext,
};

#[cfg(test)]
mod damage_tests;
#[cfg(test)]
mod index_tests;
#[cfg(test)]
mod kill_tests;
#[cfg(test)]
mod loss_chance_tests;
#[cfg(test)]
mod loss_tests;
#[cfg(test)]
mod model_tests;
#[cfg(test)]
mod pressure_tests;
#[cfg(test)]
mod space_tests;
#[cfg(test)]
mod stop_tests;
#[cfg(test)]
mod stress_tests;
#[cfg(test)]
mod tests;

/// A row as [`satsuma_common::row`] encodes it.
pub type RowBytes = Bytes;

#[derive(Clone, Debug)]
pub struct Options {
    pub wal: WalOptions,
    /// A load of fewer rows into a shard is inserted row by row; more become a segment.
    pub bulk_rows: usize,
    /// Most bytes that one transaction may have waiting in memory.
    pub transaction_bytes: u64,
    /// A delta of this size is sealed.
    pub seal_bytes: u64,
    /// Deltas of all shards together are kept below this; at twice as much writers wait.
    pub delta_bytes: u64,
    /// A checkpoint is made after so many bytes of log: what a restart reads at most, about.
    pub checkpoint_bytes: u64,
    /// A checkpoint is made after this time at the latest, if anything was logged.
    pub checkpoint_interval: Duration,
    /// How far behind the latest commit snapshots can be read, where the coordinator does not say
    /// which is the oldest.
    pub retention: Duration,
    /// Seal, merge and checkpoint in the background.
    pub maintenance: bool,
    /// A start that takes longer says how far it is, this often.
    pub tell_every: Duration,
    /// Segments up to this size live in the key-value store. The same for a directory's whole life:
    /// at most 32 KiB.
    pub small_segment: u64,
    /// Evaluates what is SQL in indexes.
    pub expressions: Arc<dyn IndexExpressions>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            wal: WalOptions::default(),
            bulk_rows: 2048,
            transaction_bytes: 1 << 30,
            seal_bytes: 64 << 20,
            delta_bytes: 512 << 20,
            checkpoint_bytes: 256 << 20,
            checkpoint_interval: Duration::from_secs(300),
            retention: Duration::from_secs(3600),
            maintenance: true,
            tell_every: Duration::from_secs(5),
            small_segment: 32 << 10,
            expressions: Arc::new(NoExpressions),
        }
    }
}

/// All shards of one worker.
pub struct Engine {
    dir: PathBuf,
    identity: String,
    options: Options,
    meta: RwLock<Meta>,
    /// Held by a change of it until it is made.
    changing: Arc<tokio::sync::Mutex<()>>,
    txns: Mutex<HashMap<TxnId, Arc<Txn>>>,
    /// Requests of these may still be on their way, and must not begin them anew.
    aborted: Mutex<Recent<TxnId, ()>>,
    timeline: Timeline,
    locks: Arc<LockTable>,
    wal: Wal,
    store: Store,
    snapshots: Snapshots,
    /// Parts of the log that copies of shard groups still read.
    pins: Pins,
    oldest_transaction: AtomicU64,
    checkpointing: Mutex<()>,
    /// Bytes of log at the last checkpoint.
    checkpointed_bytes: AtomicU64,
    work: Mutex<WorkStats>,
    /// Shards are gone whose files a checkpoint would remove.
    has_dropped: AtomicBool,
    pressure: Pressure,
    wake: Arc<Wake>,
    closed: AtomicBool,
    maintenance: Mutex<Option<JoinHandle<()>>>,
    /// Dropped last: another process may then open the directory.
    _lock: Box<dyn Send + Sync>,
}

/// Counters and sizes for metrics.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    pub wal: WalStats,
    pub shards: usize,
    /// Shards that refuse because of damage.
    pub damaged: usize,
    pub delta_bytes: u64,
    pub segments: usize,
    pub segment_bytes: u64,
    pub transactions: usize,
    pub locks: usize,
    pub work: WorkStats,
}

/// What was done in the background since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WorkStats {
    /// Deltas that became segments.
    pub seals: u64,
    pub merges: u64,
    /// Rows that merges wrote again.
    pub merged_rows: u64,
    pub checkpoints: u64,
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

    /// No snapshot below this one will be read again: versions only they could see may go. Reads
    /// that are going on are waited for.
    pub fn set_oldest_snapshot(&self, oldest: Timestamp) {
        let (horizon, moved) = self.snapshots.advance(oldest);
        if moved {
            let shards: Vec<_> = self.meta.read().shards.values().cloned().collect();
            for shard in shards {
                shard.collect(horizon);
            }
        }
    }

    /// What a coordinator says of the oldest snapshot that it still uses, one of so many. Followed
    /// once all of them have spoken, by the thread that keeps memory small.
    pub fn report_snapshots(&self, coordinator: NodeId, oldest: Timestamp, coordinators: usize) {
        self.snapshots.report(coordinator, oldest, coordinators);
    }

    /// Transactions that started before this moment and are not known here may not begin: they may
    /// have written here before this process started, and those writes are gone.
    pub fn refuse_transactions_before(&self, start: Timestamp) {
        self.oldest_transaction.fetch_max(start.0, Ordering::AcqRel);
    }

    /// Every wait for a lock, for the deadlock detector that sees all workers.
    pub fn waits(&self) -> Vec<WaitEdge> {
        self.locks.waits()
    }

    /// Locks that are held or waited for, rows that nobody waits for up to `rows`.
    pub fn list_locks(&self, rows: usize) -> Vec<LockEntry> {
        self.locks.entries(rows)
    }

    /// Ends the waits of a transaction that was chosen as a deadlock's victim.
    pub fn cancel_wait(&self, victim: TxnId, detail: &str) {
        self.locks.cancel(victim, detail);
    }

    pub fn stats(&self) -> Stats {
        let meta = self.meta.read();
        let contents: Vec<_> = meta.shards.values().map(|shard| shard.contents()).collect();
        let segments = || contents.iter().flat_map(|contents| contents.segments.iter());
        Stats {
            wal: self.wal.stats(),
            shards: meta.shards.len(),
            damaged: meta.damaged(),
            delta_bytes: meta.shards.values().map(|shard| shard.delta_bytes()).sum(),
            segments: segments().count(),
            segment_bytes: segments().map(|segment| segment.size()).sum(),
            transactions: self.txns.lock().len(),
            locks: self.locks.len(),
            work: *self.work.lock(),
        }
    }

    /// Writes what is queued and stops. Calls after this one fail; when the engine is dropped
    /// after it, the directory is free.
    pub fn close(&self) {
        self.closed.store(true, Ordering::Release);
        self.wake.wake();
        let thread = self.maintenance.lock().take();
        if let Some(thread) = thread
            && thread.thread().id() != std::thread::current().id()
            && thread.join().is_err()
        {
            tracing::error!("the storage thread panicked");
        }
        self.wal.close();
        self.locks.close();
    }

    fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    fn shard(&self, id: ShardId) -> Result<Arc<Shard>> {
        self.meta.read().shard(id).cloned()
    }

    fn shard_and_table(&self, id: ShardId) -> Result<(Arc<Shard>, Arc<TableMeta>)> {
        let meta = self.meta.read();
        let shard = meta.shard(id)?.clone();
        let table = meta.table_of(&shard).cloned();
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
