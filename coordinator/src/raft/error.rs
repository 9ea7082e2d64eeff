//! What can go wrong around the catalog's log.

use std::io;
use std::path::PathBuf;

use satsuma_common::{NodeId, SqlError, SqlState};
use thiserror::Error;

/// Reasons to stop or not to start. One line each: they are printed at start.
#[derive(Debug, Error)]
pub enum RaftError {
    #[error("cannot use data directory {path}: {source}")]
    Directory { path: PathBuf, source: io::Error },
    #[error("data directory {0} is in use by a running process")]
    InUse(PathBuf),
    #[error("data directory {path} belongs to coordinator {found}, not {wanted}")]
    OtherNode { path: PathBuf, found: NodeId, wanted: NodeId },
    #[error("data directory {path} is not a coordinator's: {reason}")]
    NotCoordinator { path: PathBuf, reason: String },
    #[error(
        "data directory {path} has format {found}, but this version of Satsuma reads only \
         format {known}"
    )]
    Format { path: PathBuf, found: u32, known: u32 },
    #[error("catalog log {path} is damaged at offset {offset}: {reason}")]
    Damaged { path: PathBuf, offset: u64, reason: &'static str },
    #[error("catalog log: {0}")]
    Io(#[from] io::Error),
    #[error("raft: {0}")]
    Raft(#[from] raft::Error),
    #[error("raft message: {0}")]
    Message(#[from] protobuf::ProtobufError),
    #[error("catalog state: {0}")]
    State(#[from] postcard::Error),
}

impl From<RaftError> for SqlError {
    fn from(error: RaftError) -> Self {
        let state = match error {
            RaftError::Damaged { .. } => SqlState::DATA_CORRUPTED,
            _ => SqlState::IO_ERROR,
        };
        Self::new(state, error.to_string())
    }
}
