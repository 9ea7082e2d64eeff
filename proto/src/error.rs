//! What can be wrong with a message.

use satsuma_common::{SqlError, SqlState};

/// A message that does not follow the protocol, or a value that does not fit into one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    #[error("invalid message: {0} is missing")]
    Missing(&'static str),
    #[error("invalid message: {0} is out of range")]
    OutOfRange(&'static str),
    #[error("invalid message: {0} is not known")]
    Unknown(&'static str),
    #[error("invalid message: malformed Arrow data: {0}")]
    Arrow(String),
    #[error("cannot send columns of Arrow type {0}")]
    UnsupportedColumn(String),
    #[error("message of more than {limit} bytes")]
    TooLarge { limit: usize },
}

impl From<WireError> for SqlError {
    fn from(error: WireError) -> Self {
        let state = match error {
            WireError::TooLarge { .. } => SqlState::PROGRAM_LIMIT_EXCEEDED,
            WireError::UnsupportedColumn(_) => SqlState::FEATURE_NOT_SUPPORTED,
            WireError::Missing(_)
            | WireError::OutOfRange(_)
            | WireError::Unknown(_)
            | WireError::Arrow(_) => SqlState::PROTOCOL_VIOLATION,
        };
        SqlError::new(state, error.to_string())
    }
}
