//! Text form of every type, as PostgreSQL's input and output functions have it.
//!
//! | file | what |
//! |---|---|
//! | `text/scalar.rs` | bool, numbers, oid, uuid, bytea, point |
//! | `text/string.rs` | length limits, names |
//! | `text/array.rs` | array literals |
//! | `text/column.rs` | text straight into Arrow columns and back, without a [`Datum`] |
//!
//! Dates, inet, numeric and JSON have their own modules; here is only the switch over types.

pub(crate) mod array;
mod column;
mod scalar;
mod string;

pub use string::single_char;

use crate::datetime::{
    self, DateFormat, DateOrder, IntervalStyle, TimeZone, format_date, format_interval,
    format_time, format_timestamp, format_timestamptz,
};
use crate::datum::Datum;
use crate::error::{SqlError, SqlResult, SqlState};
use crate::inet::Inet;
use crate::jsonb;
use crate::numeric::Numeric;
use crate::record;
use crate::types::PgType;

pub use column::{append_text, format_array};
pub use scalar::{format_bytea, format_uuid, parse_bool, parse_bytea, parse_oid, parse_uuid};
pub use scalar::{
    format_f32, format_f64, format_i64, parse_f32, parse_f64, parse_i16, parse_i32, parse_i64,
};
pub use string::{fit_bpchar, fit_varchar, truncate_name};

/// The settings that text forms depend on.
#[derive(Clone, Debug, PartialEq)]
pub struct TextContext {
    pub date_format: DateFormat,
    pub date_order: DateOrder,
    pub interval_style: IntervalStyle,
    pub time_zone: TimeZone,
    /// Start of the transaction, microseconds since 1970 UTC: what 'now' and 'today' mean.
    pub now: i64,
    pub extra_float_digits: i32,
    /// `bytea_output = escape` rather than `hex`.
    pub bytea_escape: bool,
}

impl Default for TextContext {
    fn default() -> Self {
        Self {
            date_format: DateFormat::Iso,
            date_order: DateOrder::Mdy,
            interval_style: IntervalStyle::Postgres,
            time_zone: TimeZone::UTC,
            now: 0,
            extra_float_digits: 1,
            bytea_escape: false,
        }
    }
}

/// `invalid input syntax for type ...`
pub(crate) fn invalid_syntax(ty: &str, text: &str) -> SqlError {
    SqlError::new(
        SqlState::INVALID_TEXT_REPRESENTATION,
        format!("invalid input syntax for type {ty}: \"{text}\""),
    )
}

/// The value that `text` stands for. Labels of an enum are not checked here, and a `reg*` type
/// takes numbers only: the names are the catalog's business.
pub fn input(ty: &PgType, text: &str, context: &TextContext) -> SqlResult<Datum> {
    Ok(match ty {
        PgType::Bool => Datum::Bool(parse_bool(text)?),
        PgType::Int2 => Datum::Int2(parse_i16(text)?),
        PgType::Int4 => Datum::Int4(parse_i32(text)?),
        PgType::Int8 => Datum::Int8(parse_i64(text)?),
        PgType::Float4 => Datum::Float4(parse_f32(text)?),
        PgType::Float8 => Datum::Float8(parse_f64(text)?),
        PgType::Numeric(modifier) => {
            let value = Numeric::parse(text)?;
            Datum::Numeric(match modifier {
                Some(modifier) => value.with_modifier(*modifier)?,
                None => value,
            })
        }
        PgType::Text
        | PgType::Varchar(_)
        | PgType::Bpchar(_)
        | PgType::Name
        | PgType::Char
        | PgType::Enum(_)
        | PgType::Unknown => Datum::Text(string::input(ty, text)?.into_owned()),
        PgType::Json => {
            string::check_encoding(text)?;
            jsonb::validate(text)?;
            Datum::Text(text.to_owned())
        }
        PgType::Jsonb => Datum::Text(jsonb::normalize(text)?),
        PgType::Bytea => Datum::Bytea(parse_bytea(text)?),
        PgType::Date => Datum::Date(datetime::parse_date(text, context)?),
        PgType::Time => Datum::Time(datetime::parse_time(text, context)?),
        PgType::Timestamp => Datum::Timestamp(datetime::parse_timestamp(text, context)?),
        PgType::Timestamptz => Datum::Timestamp(datetime::parse_timestamptz(text, context)?),
        PgType::Interval => Datum::Interval(datetime::parse_interval(text)?),
        PgType::Precise(time, digits) => time.round(input(time.bare(), text, context)?, *digits),
        PgType::Uuid => Datum::Uuid(parse_uuid(text)?),
        PgType::Inet => Datum::Inet(Inet::parse(text)?),
        PgType::Cidr => Datum::Inet(Inet::parse_cidr(text)?),
        PgType::Point => {
            let (x, y) = scalar::parse_point(text)?;
            Datum::Point(x, y)
        }
        PgType::Oid => Datum::Oid(parse_oid(text)?),
        PgType::Regclass
        | PgType::Regtype
        | PgType::Regproc
        | PgType::Regprocedure
        | PgType::Regnamespace
        | PgType::Regrole => match text.trim() {
            "-" => Datum::Oid(0),
            digits if !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit()) => {
                Datum::Oid(parse_oid(digits)?)
            }
            _ => {
                return Err(SqlError::unsupported(format!(
                    "names of type {ty} are not known here"
                )));
            }
        },
        PgType::Array(element) => Datum::Array(array::input(element, text, context)?),
        PgType::Record => {
            return Err(SqlError::unsupported(
                "input of anonymous composite types is not implemented",
            ));
        }
        PgType::Void => Datum::Null,
    })
}

/// Appends the text form of a value that is not NULL; NULL appends nothing.
pub fn output(
    ty: &PgType,
    value: &Datum,
    context: &TextContext,
    out: &mut String,
) -> SqlResult<()> {
    let mut bytes = std::mem::take(out).into_bytes();
    let result = output_bytes(ty, value, context, &mut bytes);
    *out = String::from_utf8(bytes)
        .map_err(|_| SqlError::internal(format!("output of {ty} is not UTF-8")))?;
    result
}

/// The text form of a value; `None` for NULL.
pub fn to_text(ty: &PgType, value: &Datum, context: &TextContext) -> SqlResult<Option<String>> {
    if value.is_null() {
        return Ok(None);
    }
    let mut out = String::new();
    output(ty, value, context, &mut out)?;
    Ok(Some(out))
}

/// As [`output`], for a wire buffer.
pub fn output_bytes(
    ty: &PgType,
    value: &Datum,
    context: &TextContext,
    out: &mut Vec<u8>,
) -> SqlResult<()> {
    use std::io::Write;
    // Writing to a Vec does not fail.
    let mut show = |text: &dyn std::fmt::Display| drop(write!(out, "{text}"));
    match value {
        Datum::Null => {}
        Datum::Bool(value) => out.push(if *value { b't' } else { b'f' }),
        Datum::Int2(value) => format_i64(i64::from(*value), out),
        Datum::Int4(value) => format_i64(i64::from(*value), out),
        Datum::Int8(value) => format_i64(*value, out),
        Datum::Oid(value) => format_i64(i64::from(*value), out),
        Datum::Float4(value) => format_f32(*value, context.extra_float_digits, out),
        Datum::Float8(value) => format_f64(*value, context.extra_float_digits, out),
        Datum::Numeric(value) => show(value),
        Datum::Text(text) if ty == &PgType::Record => {
            out.extend_from_slice(record::shown(text).as_bytes());
        }
        Datum::Text(text) => out.extend_from_slice(text.as_bytes()),
        Datum::Bytea(bytes) => format_bytea(bytes, context.bytea_escape, out),
        Datum::Date(days) => format_date(*days, context.date_format, context.date_order, out),
        Datum::Time(micros) => format_time(*micros, out),
        Datum::Timestamp(micros) if ty.without_precision() == &PgType::Timestamptz => {
            let (format, order) = (context.date_format, context.date_order);
            format_timestamptz(*micros, &context.time_zone, format, order, out);
        }
        Datum::Timestamp(micros) => {
            format_timestamp(*micros, context.date_format, context.date_order, out);
        }
        Datum::Interval(value) => format_interval(*value, context.interval_style, out),
        Datum::Uuid(bytes) => format_uuid(bytes, out),
        Datum::Inet(value) if ty == &PgType::Cidr => {
            out.extend_from_slice(value.cidr_text().as_bytes());
        }
        Datum::Inet(value) => show(value),
        Datum::Point(x, y) => scalar::format_point(*x, *y, context.extra_float_digits, out),
        Datum::Array(value) => array::output(value, context, out)?,
    }
    Ok(())
}

#[cfg(test)]
mod tests;
