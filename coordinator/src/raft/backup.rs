//! The catalog as bytes outside of the log, and a data directory made from them.

use std::path::Path;

use raft::eraftpb::{ConfState, HardState, Snapshot};
use satsuma_common::NodeId;

use super::directory::Directory;
use super::envelope::{decode_state, encode_state};
use super::error::RaftError;
use super::log::{FileLog, Stable};
use crate::catalog::State;

/// A state as a snapshot of the log holds it.
pub fn export(state: &State) -> Result<Vec<u8>, RaftError> {
    encode_state(state)
}

/// What [`export`] gave.
pub fn import(bytes: &[u8]) -> Result<State, RaftError> {
    decode_state(bytes)
}

/// Makes the data directory of a coordinator that is alone and begins with this state.
pub fn found(directory: &Path, node: NodeId, state: &State) -> Result<(), RaftError> {
    let held = Directory::open(directory, node)?;
    let (mut log, recovered) = FileLog::open(&directory.join("raft"))?;
    if recovered.snapshot.is_some() || !recovered.entries.is_empty() || !held.is_new {
        return Err(RaftError::InUse(directory.into()));
    }
    let members = ConfState { voters: vec![u64::from(node.0)], ..ConfState::default() };
    let hard_state = HardState { term: 1, commit: 1, ..HardState::default() };
    log.append(&[], Some(&hard_state), true)?;
    let mut snapshot = Snapshot::default();
    snapshot.set_data(encode_state(state)?.into());
    let metadata = snapshot.mut_metadata();
    (metadata.index, metadata.term) = (1, 1);
    metadata.set_conf_state(members);
    log.save_snapshot(&snapshot, u64::MAX)
}
