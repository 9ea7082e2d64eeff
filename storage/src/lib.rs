//! The storage engine of one worker: shards of tables, held durably and read at any snapshot.
//!
//! ```text
//!   write --> transaction's buffer --> WAL record --(fdatasync)--> delta, in memory, by key
//!                                                                    | sealed
//!   read  <-- own writes, delta, segments                            v
//!                                           merged <-- segments, columnar, with marks
//! ```
//!
//! [`Engine`] is the door. A transaction's writes wait in [`txn`] under row locks ([`lock`]) until
//! a commit logs them as one record ([`wal`]); once that is on disk they are applied to the shards'
//! deltas ([`delta`]) as versions of the commit's timestamp, which [`timeline`] gives out so that
//! a snapshot, once read, never changes. In the background deltas become [`segment`]s, which a
//! manifest in the key-value store ([`kv`]) names, and the log is cut behind them.
//!
//! Secondary indexes ([`index`]) follow from the rows of each layer.
//!
//! Rows and keys are bytes of [`satsuma_common::row`] and [`satsuma_common::key`]; scans yield
//! Arrow batches. There is no SQL and no network here.
//!
//! Invariants:
//! - What was acknowledged is in the log, synced, before anybody can see it.
//! - A reader never blocks a writer, and a writer never blocks a reader for longer than a commit.
//! - A live row is in one place: a delta, or one segment without a mark on it.
//! - All I/O of files goes through [`disk::Disk`].

pub mod delta;
pub mod disk;
mod engine;
pub mod error;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
pub mod index;
pub mod kv;
pub mod lock;
mod manifest;
#[cfg(test)]
mod seeds;
pub mod segment;
mod shard;
pub mod timeline;
pub mod txn;
pub mod wal;

pub use engine::{
    BulkError, BulkLoad, Changed, Conflict, ConflictPolicy, CopyReader, CopyWriter, Engine,
    Inserted, LockedRow, Options, PRIMARY_KEY, Progress, RowBytes, RowLocks, ShardInfo, ShardSum,
    SnapshotReader, Stats, TableMeta, Watermark, WorkStats, WriteContext,
};
pub use error::{Result, StorageError};
pub use lock::{LockEntry, LockKey, LockMode, LockWait, RowLockMode, TableLockMode, WaitEdge};
pub use shard::{CompareOp, KeyRange, Predicate, ReadView, RowFilter, Scan, ScanOptions};
