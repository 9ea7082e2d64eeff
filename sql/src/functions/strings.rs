//! Strings.

use datafusion::arrow::datatypes::{DataType, Int32Type};
use satsuma_common::{Datum, SqlError, SqlResult, SqlState};

use super::error::unexpected_value;
use super::library::Builder;
use super::vector;
use crate::casts::text::text;

pub(crate) fn install(b: &mut Builder) {
    b.infallible(|b| {
        mapping(b, "lower", |s, out| out.push_str(&s.to_lowercase()));
        mapping(b, "upper", |s, out| out.push_str(&s.to_uppercase()));
        mapping(b, "reverse", |s, out| out.extend(s.chars().rev()));
        for name in ["length", "char_length", "character_length"] {
            length(b, &format!("{name}(text) int4"), |s| s.chars().count());
            length(b, &format!("{name}(bpchar) int4"), |s| s.trim_end_matches(' ').chars().count());
        }
        length(b, "octet_length(text) int4", str::len);
        length(b, "bit_length(text) int4", |s| s.len() * 8);
    });
    b.row("like_escape(text,text) text", |args, _| match args {
        [pattern, escape] => {
            crate::operators::text::escape_pattern(text(pattern)?, text(escape)?).map(Datum::Text)
        }
        _ => Err(unexpected_value("like_escape")),
    });
}

fn mapping(b: &mut Builder, name: &str, f: fn(&str, &mut String)) {
    b.columns(&format!("{name}(text) text"), move |args, _| {
        let [value] = args else { return Err(unexpected_value("a string function")) };
        vector::text_to_text(value, |s, out| {
            f(s, out);
            Ok(())
        })
    });
}

fn length(b: &mut Builder, signature: &str, f: fn(&str) -> usize) {
    b.columns(signature, move |args, _| {
        let [value] = args else { return Err(unexpected_value("a string function")) };
        vector::text_to::<Int32Type>(value, DataType::Int32, |s| {
            i32::try_from(f(s)).map_err(|_| too_long())
        })
    });
}

pub(crate) fn too_long() -> SqlError {
    SqlError::new(SqlState::PROGRAM_LIMIT_EXCEEDED, "requested length too large")
}

#[allow(dead_code, reason = "used by the families that follow")]
pub(crate) fn int(value: &Datum) -> SqlResult<i32> {
    match value {
        Datum::Int4(v) => Ok(*v),
        _ => Err(unexpected_value("integer")),
    }
}
