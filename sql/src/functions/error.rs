//! Errors that many bodies raise, with PostgreSQL's texts.

use satsuma_common::{PgType, SqlError, SqlState};

pub use crate::engine_error::{
    arrow_to_sql as from_arrow, from_sql as to_datafusion, from_sql_to_arrow as to_arrow,
    to_sql as from_datafusion,
};

pub fn division_by_zero() -> SqlError {
    SqlError::new(SqlState::DIVISION_BY_ZERO, "division by zero")
}

/// `integer out of range`, `value out of range: overflow`, ....
pub fn out_of_range(ty: &PgType) -> SqlError {
    let message = match ty.without_precision() {
        PgType::Float4 | PgType::Float8 => "value out of range: overflow".into(),
        PgType::Numeric(_) => "value overflows numeric format".into(),
        PgType::Date | PgType::Time | PgType::Timestamp | PgType::Timestamptz => {
            let name = if *ty == PgType::Date { "date" } else { "timestamp" };
            return SqlError::new(
                SqlState::DATETIME_FIELD_OVERFLOW,
                format!("{name} out of range"),
            );
        }
        PgType::Interval => {
            return SqlError::new(SqlState::DATETIME_FIELD_OVERFLOW, "interval out of range");
        }
        PgType::Oid => "OID out of range".into(),
        other => format!("{other} out of range"),
    };
    SqlError::new(SqlState::NUMERIC_VALUE_OUT_OF_RANGE, message)
}

pub fn float_underflow() -> SqlError {
    SqlError::new(SqlState::NUMERIC_VALUE_OUT_OF_RANGE, "value out of range: underflow")
}

/// A body was called with values that its signature rules out: our mistake, not the user's.
pub fn unexpected_value(what: &str) -> SqlError {
    SqlError::new(SqlState::INTERNAL_ERROR, format!("unexpected value for {what}"))
}
