//! Dates, times, time zones and intervals by PostgreSQL's rules, as pure functions.
//!
//! Instants are microseconds since 1970-01-01 (UTC for timestamptz), dates are days since then;
//! the extreme values of the integers are the infinities. Everything uses the proleptic Gregorian
//! calendar with astronomical years (year 0 is 1 BC).
//!
//! | file | what |
//! |---|---|
//! | `datetime/calendar.rs` | days, years, weeks, the limits of the types |
//! | `datetime/zone.rs` | time zones and their offsets |
//! | `datetime/fields.rs` | splitting input into fields |
//! | `datetime/parse.rs` | input of date, time, timestamp, timestamptz |
//! | `datetime/interval.rs` | input and output of intervals |
//! | `datetime/format.rs` | output in every DateStyle |
//! | `datetime/arithmetic.rs` | `+`, `-`, age, conversions between types |
//! | `datetime/part.rs` | extract, date_part, date_trunc |
//! | `datetime/template.rs`, `from_template.rs` | to_char; to_date, to_timestamp |

mod abbreviations;
pub mod arithmetic;
pub mod calendar;
mod fields;
mod format;
mod from_template;
mod interval;
mod parse;
pub mod part;
mod template;
mod zone;

pub use arithmetic::*;
pub use calendar::{Civil, DAY_MICROS, EPOCH_SHIFT_DAYS, EPOCH_SHIFT_MICROS};
pub use format::{format_date, format_time, format_timestamp, format_timestamptz};
pub use from_template::{to_date, to_timestamp};
pub use interval::{format_interval, parse_interval};
pub use parse::{parse_date, parse_time, parse_timestamp, parse_timestamptz};
pub use part::*;
pub(crate) use template::ordinal_suffix;
pub use template::{interval_to_char, timestamp_to_char, timestamptz_to_char};
pub use zone::TimeZone;

use crate::error::{SqlError, SqlState};

/// Order of day, month and year where the input leaves it open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DateOrder {
    Mdy,
    Dmy,
    Ymd,
}

/// The output half of the setting `DateStyle`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DateFormat {
    Iso,
    Sql,
    Postgres,
    German,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IntervalStyle {
    Postgres,
    PostgresVerbose,
    SqlStandard,
    Iso8601,
}

/// Why a text is not a date, time or interval.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DateTimeError {
    #[error("invalid input syntax for type {ty}: \"{text}\"")]
    Format { ty: &'static str, text: String },
    #[error("date/time field value out of range: \"{text}\"")]
    FieldOverflow { text: String, order_hint: bool },
    #[error("interval field value out of range: \"{0}\"")]
    IntervalOverflow(String),
    #[error("time zone displacement out of range: \"{0}\"")]
    ZoneDisplacement(String),
    #[error("time zone \"{0}\" not recognized")]
    UnknownZone(String),
    /// The value is well formed but the type cannot hold it.
    #[error("{ty} out of range: \"{text}\"")]
    OutOfRange { ty: &'static str, text: String },
    #[error("{0} out of range")]
    Overflow(&'static str),
    /// A part given to make_date or make_time.
    #[error("{kind} field value out of range: {text}")]
    Part { kind: &'static str, text: String },
    #[error("cannot subtract infinite {0}")]
    Infinite(&'static str),
    #[error("date out of range for timestamp")]
    DateForTimestamp,
    #[error("timestamps cannot be binned into intervals containing months or years")]
    StrideMonths,
    #[error("stride must be greater than zero")]
    StrideNotPositive,
    #[error("timestamp cannot be NaN")]
    EpochNaN,
}

impl From<DateTimeError> for SqlError {
    fn from(error: DateTimeError) -> Self {
        use DateTimeError as E;
        let message = error.to_string();
        match error {
            E::Format { .. } => SqlError::new(SqlState::INVALID_DATETIME_FORMAT, message),
            E::FieldOverflow { order_hint, .. } => {
                let error = SqlError::new(SqlState::DATETIME_FIELD_OVERFLOW, message);
                if order_hint {
                    error.hint("Perhaps you need a different \"datestyle\" setting.")
                } else {
                    error
                }
            }
            E::IntervalOverflow(_) => SqlError::new(SqlState::INTERVAL_FIELD_OVERFLOW, message),
            E::ZoneDisplacement(_) => {
                SqlError::new(SqlState::INVALID_TIME_ZONE_DISPLACEMENT_VALUE, message)
            }
            E::UnknownZone(_) => SqlError::new(SqlState::INVALID_PARAMETER_VALUE, message),
            E::OutOfRange { .. }
            | E::Overflow(_)
            | E::Infinite(_)
            | E::Part { .. }
            | E::DateForTimestamp
            | E::StrideNotPositive
            | E::EpochNaN => SqlError::new(SqlState::DATETIME_FIELD_OVERFLOW, message),
            E::StrideMonths => SqlError::new(SqlState::FEATURE_NOT_SUPPORTED, message),
        }
    }
}

pub(crate) type Result<T> = std::result::Result<T, DateTimeError>;

#[cfg(test)]
mod tests;
