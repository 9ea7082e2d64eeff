//! SQL errors as gRPC statuses and back.
//!
//! A stock client sees a fitting code and a message with SQLSTATE, detail and hint. Our own
//! shell finds every field again in the trailer [`ERROR_KEY`]. (`grpc-status-details-bin` is
//! left alone: clients take anything there for a `google.rpc.Status`.)

use satsuma_common::error::SqlErrorFields;
use satsuma_common::{SqlError, SqlState};
use tonic::metadata::MetadataValue;
use tonic::{Code, Status};

/// Trailer with the error's fields in JSON.
pub const ERROR_KEY: &str = "satsuma-error-bin";
/// Trailers beyond this make proxies drop the response.
const LONGEST_TRAILER: usize = 6 << 10;

pub fn to_status(error: &SqlError) -> Status {
    let mut status = Status::new(code(error.state()), text(error));
    if let Ok(json) = serde_json::to_vec(error.fields())
        && json.len() <= LONGEST_TRAILER
    {
        status.metadata_mut().insert_bin(ERROR_KEY, MetadataValue::from_bytes(&json));
    }
    status
}

/// The error that a status carries; a status of another making becomes `08006` or `XX000`.
pub fn from_status(status: &Status) -> SqlError {
    let fields = status
        .metadata()
        .get_bin(ERROR_KEY)
        .and_then(|value| value.to_bytes().ok())
        .and_then(|json| serde_json::from_slice::<SqlErrorFields>(&json).ok());
    match fields {
        Some(fields) => fields.into(),
        None => {
            let state = match status.code() {
                Code::Unavailable | Code::Unknown => SqlState::CONNECTION_FAILURE,
                Code::Unauthenticated => SqlState::INVALID_AUTHORIZATION_SPECIFICATION,
                Code::Unimplemented => SqlState::FEATURE_NOT_SUPPORTED,
                _ => SqlState::INTERNAL_ERROR,
            };
            SqlError::new(state, status.message())
        }
    }
}

fn code(state: SqlState) -> Code {
    match state {
        SqlState::QUERY_CANCELED => Code::Cancelled,
        SqlState::TOO_MANY_CONNECTIONS | SqlState::OUT_OF_MEMORY | SqlState::DISK_FULL => {
            Code::ResourceExhausted
        }
        SqlState::UNDEFINED_TABLE | SqlState::UNDEFINED_OBJECT | SqlState::INVALID_CATALOG_NAME => {
            Code::NotFound
        }
        SqlState::DUPLICATE_TABLE | SqlState::DUPLICATE_OBJECT | SqlState::UNIQUE_VIOLATION => {
            Code::AlreadyExists
        }
        SqlState::INSUFFICIENT_PRIVILEGE => Code::PermissionDenied,
        _ => match &state.0[..2] {
            b"0A" => Code::Unimplemented,
            b"28" => Code::Unauthenticated,
            b"40" => Code::Aborted,
            b"08" | b"57" => Code::Unavailable,
            b"23" | b"25" | b"55" => Code::FailedPrecondition,
            b"XX" | b"58" => Code::Internal,
            _ => Code::InvalidArgument,
        },
    }
}

fn text(error: &SqlError) -> String {
    let fields = error.fields();
    let mut text = format!("{}: {}", fields.state, fields.message);
    for (label, value) in
        [("DETAIL", &fields.detail), ("HINT", &fields.hint), ("CONTEXT", &fields.context)]
    {
        if let Some(value) = value {
            text.push_str(&format!("\n{label}: {value}"));
        }
    }
    // A status message travels as a header.
    text.truncate(text.floor_char_boundary(LONGEST_TRAILER));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_travel_whole() {
        let error = SqlError::new(SqlState::UNIQUE_VIOLATION, "duplicate key").detail("Key (a)");
        let status = to_status(&error);
        assert_eq!(status.code(), Code::AlreadyExists);
        assert_eq!(status.message(), "23505: duplicate key\nDETAIL: Key (a)");
        assert_eq!(from_status(&status), error);
        assert_eq!(from_status(&Status::unavailable("x")).state(), SqlState::CONNECTION_FAILURE);
    }
}
