//! Storage errors in the words of the worker's protocol.

use satsuma_common::{SqlError, SqlState};
use satsuma_proto::worker::{CHANGED_SINCE_SNAPSHOT, STALE_PLACEMENT};
use satsuma_storage::StorageError;

/// An error of the engine where no table is known by name.
pub(crate) fn storage(error: StorageError) -> SqlError {
    match error {
        StorageError::NoSuchShard(_)
        | StorageError::NoSuchTable(_)
        | StorageError::NoSuchIndex(_)
        | StorageError::GroupMoved(_) => stale(error.to_string()),
        StorageError::ChangedSinceSnapshot { .. } => SqlError::new(
            CHANGED_SINCE_SNAPSHOT,
            "could not serialize access due to concurrent update",
        ),
        // What it did here is gone, with the process that it did it in or with its coordinator.
        lost @ (StorageError::NoSuchTransaction(_) | StorageError::NotOpen(_)) => SqlError::new(
            SqlState::SERIALIZATION_FAILURE,
            "could not go on with the transaction: a worker has lost its part of it",
        )
        .detail(lost.to_string())
        .hint("Run the transaction again."),
        other => other.into(),
    }
}

pub(crate) fn stale(detail: impl Into<String>) -> SqlError {
    SqlError::new(STALE_PLACEMENT, "the placement of a shard has changed").detail(detail)
}

/// A request that no coordinator of ours would send.
pub(crate) fn malformed(message: impl Into<String>) -> SqlError {
    SqlError::new(SqlState::PROTOCOL_VIOLATION, message)
}
