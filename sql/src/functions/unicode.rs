//! Unicode: normal forms, escapes, and identifiers taken apart.

use satsuma_common::{Array, Datum, PgType, SqlError, SqlResult, SqlState};
use unicode_normalization::UnicodeNormalization;

use super::library::Builder;
use crate::casts::text::text;

pub(crate) fn install(b: &mut Builder) {
    b.row("normalize(text) text", |args, _| Ok(Datum::Text(text(&args[0])?.nfc().collect())));
    b.row("normalize(text,text) text", |args, _| {
        normalize(text(&args[0])?, text(&args[1])?).map(Datum::Text)
    });
    b.row("is_normalized(text,text) bool", |args, _| {
        let value = text(&args[0])?;
        Ok(Datum::Bool(normalize(value, text(&args[1])?)? == value))
    });
    b.row("unistr(text) text", |args, _| unistr(text(&args[0])?).map(Datum::Text));
    for parameters in ["text", "text,bool"] {
        b.row(&format!("parse_ident({parameters}) _text"), |args, _| {
            let strict = !matches!(args.get(1), Some(Datum::Bool(false)));
            let parts = parse_ident(text(&args[0])?, strict)?;
            let values = parts.into_iter().map(Datum::Text).collect();
            Ok(Datum::Array(Array { element: PgType::Text, values }))
        });
    }
}

fn normalize(value: &str, form: &str) -> SqlResult<String> {
    Ok(match form.to_ascii_lowercase().as_str() {
        "nfc" => value.nfc().collect(),
        "nfd" => value.nfd().collect(),
        "nfkc" => value.nfkc().collect(),
        "nfkd" => value.nfkd().collect(),
        _ => {
            return Err(SqlError::new(
                SqlState::INVALID_PARAMETER_VALUE,
                format!("invalid normalization form: {form}"),
            ));
        }
    })
}

/// `\XXXX`, `\+XXXXXX`, `\uXXXX`, `\UXXXXXXXX` and `\\`.
fn unistr(value: &str) -> SqlResult<String> {
    let wrong = || {
        SqlError::new(SqlState::SYNTAX_ERROR, "invalid Unicode escape")
            .hint("Unicode escapes must be \\XXXX, \\+XXXXXX, \\uXXXX, or \\UXXXXXXXX.")
    };
    let mut out = String::with_capacity(value.len());
    let mut rest = value;
    while let Some(at) = rest.find('\\') {
        out.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        if let Some(after) = rest.strip_prefix('\\') {
            out.push('\\');
            rest = after;
            continue;
        }
        let (skip, digits) = match rest.chars().next() {
            Some('+') => (1, 6),
            Some('u') => (1, 4),
            Some('U') => (1, 8),
            _ => (0, 4),
        };
        let hex = rest.get(skip..skip + digits).ok_or_else(wrong)?;
        let code = u32::from_str_radix(hex, 16).map_err(|_| wrong())?;
        let c = char::from_u32(code).filter(|c| *c != '\0').ok_or_else(|| {
            SqlError::new(
                SqlState::INVALID_PARAMETER_VALUE,
                format!("invalid Unicode code point: {code:04X}"),
            )
        })?;
        out.push(c);
        rest = &rest[skip + digits..];
    }
    out.push_str(rest);
    Ok(out)
}

/// The parts of a name, folded unless they are quoted.
fn parse_ident(name: &str, strict: bool) -> SqlResult<Vec<String>> {
    let invalid = || {
        SqlError::new(
            SqlState::INVALID_PARAMETER_VALUE,
            format!("string is not a valid identifier: \"{name}\""),
        )
    };
    let mut parts = Vec::new();
    let mut rest = name.trim_start();
    loop {
        if let Some(quoted) = rest.strip_prefix('"') {
            let mut part = String::new();
            let mut inner = quoted;
            loop {
                let end = inner
                    .find('"')
                    .ok_or_else(|| invalid().detail("String has unclosed double quotes."))?;
                part.push_str(&inner[..end]);
                inner = &inner[end + 1..];
                match inner.strip_prefix('"') {
                    Some(after) => {
                        part.push('"');
                        inner = after;
                    }
                    None => break,
                }
            }
            if part.is_empty() {
                return Err(invalid().detail("Quoted identifier must not be empty."));
            }
            parts.push(part);
            rest = inner;
        } else {
            let is_part = |c: char| c.is_alphanumeric() || c == '_' || c == '$' || !c.is_ascii();
            let starts = |c: char| c.is_alphabetic() || c == '_' || !c.is_ascii();
            if !rest.starts_with(starts) {
                return Err(match rest.chars().next() {
                    Some('.') => invalid().detail("No valid identifier before \".\"."),
                    None if !parts.is_empty() => {
                        invalid().detail("No valid identifier after \".\".")
                    }
                    _ => invalid(),
                });
            }
            let length = rest.find(|c| !is_part(c)).unwrap_or(rest.len());
            parts.push(rest[..length].to_lowercase());
            rest = &rest[length..];
        }
        rest = rest.trim_start();
        match rest.strip_prefix('.') {
            Some(after) => rest = after.trim_start(),
            None if rest.is_empty() || !strict => return Ok(parts),
            None => return Err(invalid()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_taken_apart() {
        let parts = |name| parse_ident(name, true).unwrap_or_default().join("|");
        assert_eq!(parts("A.b . \"C \"\"d\""), "a|b|C \"d");
        assert!(parse_ident("a.", true).is_err() && parse_ident("1a", true).is_err());
        assert_eq!(parse_ident("a()", false).expect("not strict"), ["a"]);
    }

    #[test]
    fn escapes_are_characters() {
        assert_eq!(unistr("d\\0061t\\+000061 \\u00e9 \\\\").expect("right"), "data é \\");
        assert!(unistr("\\zz").is_err());
    }
}
