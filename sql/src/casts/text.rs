//! Text forms of values, with the session's settings.

use satsuma_common::numeric::Numeric;
use satsuma_common::text::{TextContext, single_char};
use satsuma_common::{Datum, PgType, SqlError, SqlResult, SqlState, jsonb, text as common};

use super::CastKind;
use crate::functions::error::unexpected_value;

/// Parses the text form of a value of a type without modifier.
pub fn input(text: &str, ty: &PgType, context: &TextContext) -> SqlResult<Datum> {
    common::input(ty, text, context)
}

/// The text form that a client sees; NULL is empty.
pub fn output(value: &Datum, ty: &PgType, context: &TextContext) -> SqlResult<String> {
    let mut out = String::new();
    common::output(ty, value, context, &mut out)?;
    Ok(out)
}

pub fn char_of_int(value: i32) -> SqlResult<Datum> {
    let byte = i8::try_from(value).map_err(|_| {
        SqlError::new(SqlState::NUMERIC_VALUE_OUT_OF_RANGE, "\"char\" out of range")
    })?;
    single_char(u32::from(byte.cast_unsigned())).map(Datum::Text)
}

/// A jsonb scalar as a number or boolean.
pub fn jsonb_scalar(value: &str, ty: &PgType, context: &TextContext) -> SqlResult<Datum> {
    let kind = jsonb::kind(value);
    let fits = match ty {
        PgType::Bool => kind == jsonb::Kind::Boolean,
        _ => kind == jsonb::Kind::Number,
    };
    if !fits {
        return Err(SqlError::new(
            SqlState::INVALID_PARAMETER_VALUE,
            format!("cannot cast jsonb {} to type {ty}", kind.name()),
        ));
    }
    if *ty == PgType::Bool {
        return Ok(Datum::Bool(value == "true"));
    }
    let number = Datum::Numeric(Numeric::parse(value)?);
    super::convert::convert(number, &PgType::Numeric(None), ty, CastKind::Explicit, context)
}

/// The value as text, when the signature says it is one.
pub fn text(value: &Datum) -> SqlResult<&str> {
    match value {
        Datum::Text(text) => Ok(text),
        _ => Err(unexpected_value("text")),
    }
}
