//! What a log entry carries.

use serde::{Deserialize, Serialize};

use super::error::RaftError;
use crate::catalog::{Command, RequestId, State};

/// Format of entries and of snapshots' data; the first byte of both.
const FORMAT: u8 = 4;
/// That of before there were materialized views. Its entries are a part of today's; its states end
/// before the list of these.
const WITHOUT_MATERIALIZED_VIEWS: u8 = 3;
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
        match bytes.split_first() {
            Some((&(FORMAT | WITHOUT_MATERIALIZED_VIEWS), body)) => Ok(postcard::from_bytes(body)?),
            _ => Err(postcard::Error::DeserializeBadEncoding.into()),
        }
    }
}

pub(super) fn encode_state(state: &State) -> Result<Vec<u8>, RaftError> {
    Ok(postcard::to_extend(state, vec![FORMAT])?)
}

pub(super) fn decode_state(bytes: &[u8]) -> Result<State, RaftError> {
    match bytes.split_first() {
        Some((&FORMAT, body)) => Ok(postcard::from_bytes(body)?),
        Some((&WITHOUT_MATERIALIZED_VIEWS, body)) => {
            const NONE: u8 = 0;
            Ok(postcard::from_bytes(&[body, &[NONE]].concat())?)
        }
        _ => Err(postcard::Error::DeserializeBadEncoding.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_of_the_format_before_has_no_materialized_views() {
        let state = State::default();
        let mut bytes = encode_state(&state).expect("encodes");
        bytes[0] = WITHOUT_MATERIALIZED_VIEWS;
        assert_eq!(bytes.pop(), Some(0));
        assert_eq!(decode_state(&bytes).expect("decodes"), state);
    }
}
