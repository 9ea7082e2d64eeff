//! Parameter values of Bind.

use satsuma_common::{Datum, PgType, SqlError, SqlResult, SqlState, utf8};

use super::backend::format_of;
use super::frontend::{Bind, Format, unsupported_format, violation};
use crate::session_api::Prepared;
use crate::value_io::{self, TextSettings};

/// As many values and formats as the statement has parameters.
pub fn check_counts(bind: &Bind, prepared: &Prepared) -> SqlResult<()> {
    let (given, formats) = (bind.params.len(), bind.param_formats.len());
    if formats > 1 && formats != given {
        return Err(violation(format!(
            "bind message has {formats} parameter formats but {given} parameters"
        )));
    }
    if given != prepared.params.len() {
        return Err(violation(format!(
            "bind message supplies {given} parameters, but prepared statement \"{}\" requires {}",
            bind.statement,
            prepared.params.len()
        )));
    }
    Ok(())
}

/// The values, once [`check_counts`] has found them to be enough.
pub fn decode_params(
    bind: &Bind,
    prepared: &Prepared,
    settings: &TextSettings,
) -> SqlResult<Vec<Datum>> {
    let mut values = Vec::with_capacity(bind.params.len());
    for (index, (raw, ty)) in bind.params.iter().zip(prepared.params.iter()).enumerate() {
        let value = match (format_of(&bind.param_formats, index), raw) {
            (Format::Unknown(code), _) => Err(unsupported_format(code)),
            (_, None) => Ok(Datum::Null),
            (Format::Text, Some(raw)) => {
                utf8::check(raw).and_then(|text| value_io::parse_text(text, ty, settings))
            }
            (Format::Binary, Some(raw)) => parse_binary(raw, ty, index),
        };
        values.push(value.map_err(|error| with_context(error, index, bind))?);
    }
    Ok(values)
}

fn parse_binary(raw: &[u8], ty: &PgType, index: usize) -> SqlResult<Datum> {
    value_io::parse_binary(raw, ty).map_err(|error| {
        // What is left over after the value; other errors are the type's own.
        if error.message() == "incorrect binary data format" {
            let message = format!("incorrect binary data format in bind parameter {}", index + 1);
            return SqlError::new(SqlState::INVALID_BINARY_REPRESENTATION, message);
        }
        error
    })
}

/// PostgreSQL's context. It hides the value (`log_parameter_max_length_on_error` is 0).
fn with_context(error: SqlError, index: usize, bind: &Bind) -> SqlError {
    let portal = match bind.portal.as_str() {
        "" => "unnamed portal".to_owned(),
        named => format!("portal \"{named}\""),
    };
    let value = match (&bind.params[index], format_of(&bind.param_formats, index)) {
        (Some(raw), Format::Text) if raw.is_empty() => " = ''",
        (Some(_), Format::Text) => " = '...'",
        _ => "",
    };
    error.context(format!("{portal} parameter ${}{value}", index + 1))
}
