//! Character strings: what their types allow.

use std::borrow::Cow;

use crate::error::{SqlError, SqlResult, SqlState};
use crate::types::PgType;

/// Longest `name` in bytes.
const NAME_BYTES: usize = 63;

/// The value of a string type that `text` stands for.
pub(super) fn input<'a>(ty: &PgType, text: &'a str) -> SqlResult<Cow<'a, str>> {
    check_encoding(text)?;
    match ty {
        PgType::Varchar(Some(limit)) => fit_varchar(text, *limit, false).map(Cow::Borrowed),
        PgType::Bpchar(Some(limit)) => fit_bpchar(text, *limit, false),
        PgType::Name => Ok(Cow::Borrowed(truncate_name(text))),
        PgType::Char => {
            let first = match octal(text) {
                Some(byte) => Some(char::from(byte)),
                None => text.chars().next(),
            };
            single_char(first.map_or(0, u32::from)).map(Cow::Owned)
        }
        _ => Ok(Cow::Borrowed(text)),
    }
}

/// The byte of a "char" that is written as `\ooo`.
fn octal(text: &str) -> Option<u8> {
    let digits = text.strip_prefix('\\').filter(|digits| digits.len() == 3)?;
    u8::from_str_radix(digits, 8).ok()
}

/// A value of type "char"; 0 is the empty one.
pub fn single_char(code: u32) -> SqlResult<String> {
    match u8::try_from(code).ok().filter(u8::is_ascii) {
        Some(0) => Ok(String::new()),
        Some(byte) => Ok(char::from(byte).to_string()),
        None => {
            Err(SqlError::unsupported("characters beyond ASCII are not supported in type \"char\""))
        }
    }
}

/// PostgreSQL's strings cannot hold the character 0.
pub(super) fn check_encoding(text: &str) -> SqlResult<()> {
    if text.as_bytes().contains(&0) {
        return Err(SqlError::new(
            SqlState::CHARACTER_NOT_IN_REPERTOIRE,
            "invalid byte sequence for encoding \"UTF8\": 0x00",
        ));
    }
    Ok(())
}

/// Byte position of the character number `limit`, or `None` when there are no more than that.
fn cut(text: &str, limit: u32) -> Option<usize> {
    let limit = limit as usize;
    if text.len() <= limit {
        return None;
    }
    text.char_indices().nth(limit).map(|(at, _)| at)
}

fn too_long(ty: &str, limit: u32) -> SqlError {
    SqlError::new(
        SqlState::STRING_DATA_RIGHT_TRUNCATION,
        format!("value too long for type {ty}({limit})"),
    )
}

/// `text` as `varchar(limit)`: only blanks may be lost, except in an explicit cast.
pub fn fit_varchar(text: &str, limit: u32, explicit_cast: bool) -> SqlResult<&str> {
    match cut(text, limit) {
        None => Ok(text),
        Some(at) if explicit_cast || text[at..].bytes().all(|b| b == b' ') => Ok(&text[..at]),
        Some(_) => Err(too_long("character varying", limit)),
    }
}

/// `text` as `char(limit)`: padded with blanks; only blanks may be lost, except in an explicit
/// cast.
pub fn fit_bpchar(text: &str, limit: u32, explicit_cast: bool) -> SqlResult<Cow<'_, str>> {
    match cut(text, limit) {
        Some(at) if explicit_cast || text[at..].bytes().all(|b| b == b' ') => {
            Ok(Cow::Borrowed(&text[..at]))
        }
        Some(_) => Err(too_long("character", limit)),
        None => {
            let missing = (limit as usize).saturating_sub(text.chars().count());
            if missing == 0 {
                return Ok(Cow::Borrowed(text));
            }
            let mut padded = String::with_capacity(text.len() + missing);
            padded.push_str(text);
            padded.extend(std::iter::repeat_n(' ', missing));
            Ok(Cow::Owned(padded))
        }
    }
}

/// `text` as `name`: cut to 63 bytes, between characters.
pub fn truncate_name(text: &str) -> &str {
    if text.len() <= NAME_BYTES {
        return text;
    }
    let end = (0..=NAME_BYTES).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
    &text[..end]
}
