//! [`SqlError`] with every field, so that a worker's error reaches the client unchanged.

use satsuma_common::error::SqlErrorFields;
use satsuma_common::{SqlError, SqlState};

use crate::pb::types;

impl From<SqlError> for types::SqlError {
    fn from(error: SqlError) -> Self {
        let fields = error.fields().clone();
        Self {
            state: fields.state.as_str().into(),
            message: fields.message,
            detail: fields.detail,
            hint: fields.hint,
            context: fields.context,
            position: fields.position,
            schema: fields.schema,
            table: fields.table,
            column: fields.column,
            data_type: fields.data_type,
            constraint: fields.constraint,
            routine: fields.routine,
        }
    }
}

/// An error is never refused for being malformed: a bad state becomes XX000.
impl From<types::SqlError> for SqlError {
    fn from(error: types::SqlError) -> Self {
        SqlErrorFields {
            state: SqlState::parse(&error.state).unwrap_or(SqlState::INTERNAL_ERROR),
            message: error.message,
            detail: error.detail,
            hint: error.hint,
            context: error.context,
            position: error.position,
            schema: error.schema,
            table: error.table,
            column: error.column,
            data_type: error.data_type,
            constraint: error.constraint,
            routine: error.routine,
        }
        .into()
    }
}
