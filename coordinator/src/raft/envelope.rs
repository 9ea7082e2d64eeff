//! What a log entry carries.

use serde::{Deserialize, Serialize};

use super::error::RaftError;
use crate::catalog::{Command, RequestId, State};

/// Format of entries and of snapshots' data; the first byte of both.
const FORMAT: u8 = 3;
/// Longest entry that is proposed.
pub const MAX_ENTRY_BYTES: usize = 8 << 20;

/// A command and who proposed it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Envelope {
    pub request: RequestId,
    /// The proposer waits for nothing below this number.
    pub floor: u64,
    pub command: Command,
}

impl Envelope {
    pub fn encode(&self) -> Result<Vec<u8>, RaftError> {
        Ok(postcard::to_extend(self, vec![FORMAT])?)
    }

    pub fn decode(bytes: &[u8]) -> Result<Self, RaftError> {
        decode(bytes)
    }
}

pub(super) fn encode_state(state: &State) -> Result<Vec<u8>, RaftError> {
    Ok(postcard::to_extend(state, vec![FORMAT])?)
}

pub(super) fn decode_state(bytes: &[u8]) -> Result<State, RaftError> {
    decode(bytes)
}

fn decode<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Result<T, RaftError> {
    match bytes.split_first() {
        Some((&FORMAT, body)) => Ok(postcard::from_bytes(body)?),
        _ => Err(postcard::Error::DeserializeBadEncoding.into()),
    }
}
