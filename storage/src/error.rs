//! What can go wrong in the engine, and what a client is told of it.

use std::io;
use std::path::PathBuf;

use satsuma_common::key::KeyError;
use satsuma_common::row::RowError;
use satsuma_common::{GroupId, Oid, ShardId, SqlError, SqlState, TableId, TxnId};

pub type Result<T, E = StorageError> = std::result::Result<T, E>;

#[derive(Clone, Debug, thiserror::Error)]
pub enum StorageError {
    #[error("{}: {message}", path.display())]
    Io { path: PathBuf, kind: io::ErrorKind, message: String },
    /// Stored bytes are not what was written.
    #[error("{} is damaged at byte {offset}: {reason}", path.display())]
    Corrupt { path: PathBuf, offset: u64, reason: String },
    #[error("data directory {} is in use by another process", .0.display())]
    InUse(PathBuf),
    #[error("data directory {} has format {found}, this program reads format {expected}", path.display())]
    UnknownFormat { path: PathBuf, found: String, expected: u32 },
    /// A write or sync of the log failed before: nothing more is acknowledged until a restart.
    #[error("the write-ahead log has failed and the worker must be restarted: {0}")]
    Poisoned(String),
    #[error("shard {0} is not here")]
    NoSuchShard(ShardId),
    #[error("table {0} is not here")]
    NoSuchTable(TableId),
    /// The shard group is served by another worker now.
    #[error("shard group {0} has moved to another worker")]
    GroupMoved(GroupId),
    /// What a copy of a shard group was about to do does not fit what it did before: it has to be
    /// started again.
    #[error("copy of a shard group has to start again: {0}")]
    CopyBroken(&'static str),
    /// The rows of a shard would not read under the new shape: copy them to new shards instead.
    #[error("rows of table {0} must be rewritten for its new primary key or column types")]
    NeedsRewrite(TableId),
    #[error("transaction {0} is not open here")]
    NoSuchTransaction(TxnId),
    #[error("transaction {0} is already being committed or prepared")]
    NotOpen(TxnId),
    /// The key of input row `row` is taken.
    #[error("duplicate key in shard {shard}")]
    UniqueViolation {
        shard: ShardId,
        row: usize,
        /// The index; `None` is the primary key.
        index: Option<Oid>,
        /// The primary key, or the entry in the index.
        key: Vec<u8>,
    },
    /// A unique index cannot be built: rows that are there have the same entry.
    #[error("rows have the same entry in index {index}")]
    Duplicates { shard: ShardId, index: Oid, key: Vec<u8> },
    #[error("index {0} is not here")]
    NoSuchIndex(Oid),
    /// An index's expression failed on a row.
    #[error(transparent)]
    Expression(Box<SqlError>),
    /// The row's newest version is above the statement's snapshot. Its lock is held now.
    #[error("row was changed after the snapshot")]
    ChangedSinceSnapshot { shard: ShardId, key: Vec<u8> },
    /// Versions that this snapshot would need may be gone.
    #[error("snapshot too old")]
    SnapshotTooOld,
    /// NOWAIT.
    #[error("could not obtain lock")]
    LockNotAvailable,
    #[error("canceling statement due to lock timeout")]
    LockTimeout,
    #[error("deadlock detected")]
    Deadlock { detail: String },
    #[error("transaction buffers more than {limit} bytes")]
    TransactionTooLarge { limit: u64 },
    #[error("a record of {0} bytes is too long for the log")]
    RecordTooLong(usize),
    #[error("engine is shut down")]
    Closed,
    /// A condition that a scan evaluates failed.
    #[error("{0}")]
    Filter(SqlError),
    #[error(transparent)]
    Row(#[from] RowError),
    #[error(transparent)]
    Key(#[from] KeyError),
}

impl From<SqlError> for StorageError {
    fn from(error: SqlError) -> Self {
        Self::Expression(Box::new(error))
    }
}

impl StorageError {
    pub fn io(path: impl Into<PathBuf>, error: &io::Error) -> Self {
        Self::Io { path: path.into(), kind: error.kind(), message: error.to_string() }
    }

    pub fn corrupt(path: impl Into<PathBuf>, offset: u64, reason: impl Into<String>) -> Self {
        Self::Corrupt { path: path.into(), offset, reason: reason.into() }
    }

    pub fn is_disk_full(&self) -> bool {
        matches!(
            self,
            Self::Io { kind: io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded, .. }
        )
    }
}

/// The error as a client sees it. Callers that know the table's names say more where they can:
/// the constraint and key of a unique violation, the relation of a lock.
impl From<StorageError> for SqlError {
    fn from(error: StorageError) -> Self {
        use StorageError as E;
        let state = match &error {
            e if e.is_disk_full() => SqlState::DISK_FULL,
            E::Io { .. } | E::Poisoned(_) => SqlState::IO_ERROR,
            E::Corrupt { .. } => SqlState::DATA_CORRUPTED,
            E::UniqueViolation { .. } | E::Duplicates { .. } => SqlState::UNIQUE_VIOLATION,
            E::Expression(error) => return (**error).clone(),
            E::ChangedSinceSnapshot { .. } => {
                return Self::new(
                    SqlState::SERIALIZATION_FAILURE,
                    "could not serialize access due to concurrent update",
                );
            }
            E::LockNotAvailable => {
                return Self::new(
                    SqlState::LOCK_NOT_AVAILABLE,
                    "could not obtain lock on row in relation",
                );
            }
            E::SnapshotTooOld => {
                return Self::new(SqlState(*b"72000"), "snapshot too old")
                    .hint("The transaction has been open for too long. Run it again.");
            }
            E::Filter(error) => return error.clone(),
            E::LockTimeout => SqlState::LOCK_NOT_AVAILABLE,
            E::Deadlock { detail } => {
                return Self::new(SqlState::DEADLOCK_DETECTED, "deadlock detected")
                    .detail(detail.clone())
                    .hint("See server log for query details.");
            }
            E::TransactionTooLarge { .. } => SqlState::OUT_OF_MEMORY,
            E::Closed => SqlState::ADMIN_SHUTDOWN,
            E::RecordTooLong(_) | E::Row(RowError::TooLong(_)) => SqlState::PROGRAM_LIMIT_EXCEEDED,
            E::NeedsRewrite(_) | E::Key(KeyError::NoOrder(_)) => SqlState::FEATURE_NOT_SUPPORTED,
            E::InUse(_)
            | E::UnknownFormat { .. }
            | E::NoSuchShard(_)
            | E::NoSuchTable(_)
            | E::GroupMoved(_)
            | E::CopyBroken(_)
            | E::NoSuchIndex(_)
            | E::NoSuchTransaction(_)
            | E::NotOpen(_)
            | E::Row(_)
            | E::Key(_) => SqlState::INTERNAL_ERROR,
        };
        Self::new(state, error.to_string())
    }
}
