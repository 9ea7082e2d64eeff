//! LIKE as PostgreSQL matches it, for patterns that the engine's own matching takes for others.
//!
//! A pattern that ends with the escape character is an error where a value gets that far, and
//! matches nothing where none does. The engine takes the character for itself there.

use std::sync::LazyLock;

use datafusion::common::ScalarValue;
use datafusion::logical_expr::{Expr, Like};
use satsuma_common::{PgType, SqlError, SqlResult, SqlState};

use crate::functions::env::Settings;
use crate::functions::error::unexpected_value;
use crate::functions::library::{self, Builder};
use crate::functions::udf;
use crate::functions::vector::texts_to_bool;

const SENSITIVE: &str = "like pattern(text,text)";
const INSENSITIVE: &str = "ilike pattern(text,text)";

pub(crate) fn install(b: &mut Builder) {
    for (key, insensitive) in [(SENSITIVE, false), (INSENSITIVE, true)] {
        b.columns(&format!("{key} bool"), move |args, _| {
            let [value, pattern] = args else { return Err(unexpected_value("LIKE")) };
            texts_to_bool(value, pattern, |value, pattern| matches(value, pattern, insensitive))
        });
    }
}

/// The test as a call of its own, where the pattern is one of these, or may come to be.
pub(crate) fn own_test(like: &Like) -> Option<Expr> {
    let is_own = match constant(&like.pattern) {
        Some(pattern) => is_unfinished(pattern),
        None => like.pattern.any_column_refs(),
    };
    if !is_own {
        return None;
    }
    let key = if like.case_insensitive { INSENSITIVE } else { SENSITIVE };
    let definition = library::functions().by_key(key)?;
    let types = vec![PgType::Text, PgType::Text];
    let args = vec![like.expr.as_ref().clone(), like.pattern.as_ref().clone()];
    static SETTINGS: LazyLock<Settings> = LazyLock::new(Settings::default);
    let test = udf::call_expr(definition, false, types, PgType::Bool, args, &SETTINGS);
    Some(if like.negated { Expr::Not(Box::new(test)) } else { test })
}

fn constant(pattern: &Expr) -> Option<&str> {
    match pattern {
        Expr::Literal(ScalarValue::Utf8View(Some(text)) | ScalarValue::Utf8(Some(text)), _) => {
            Some(text)
        }
        _ => None,
    }
}

fn is_unfinished(pattern: &str) -> bool {
    pattern.bytes().rev().take_while(|byte| *byte == b'\\').count() % 2 == 1
}

/// Whether the value is like the pattern, whose escape character is the backslash.
pub fn matches(value: &str, pattern: &str, insensitive: bool) -> SqlResult<bool> {
    let read = |text: &str| -> Vec<char> {
        match insensitive {
            true => text.to_lowercase().chars().collect(),
            false => text.chars().collect(),
        }
    };
    Ok(rest_matches(&read(value), &read(pattern))? == Match::Found)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Match {
    Found,
    No,
    /// Nor from any later place of the value.
    Never,
}

/// PostgreSQL's `MatchText`. It is called again for each `%` that something follows.
fn rest_matches(mut value: &[char], mut pattern: &[char]) -> SqlResult<Match> {
    while let (Some(c), Some(p)) = (value.first(), pattern.first()) {
        match p {
            '\\' => {
                let Some(literal) = pattern.get(1) else { return Err(unfinished()) };
                if literal != c {
                    return Ok(Match::No);
                }
                pattern = &pattern[1..];
            }
            '%' => return from_any_place(value, pattern),
            '_' => {}
            literal if literal != c => return Ok(Match::No),
            _ => {}
        }
        (value, pattern) = (&value[1..], &pattern[1..]);
    }
    if !value.is_empty() {
        return Ok(Match::No);
    }
    Ok(if pattern.iter().all(|c| *c == '%') { Match::Found } else { Match::Never })
}

#[recursive::recursive]
fn from_any_place(mut value: &[char], mut pattern: &[char]) -> SqlResult<Match> {
    while let Some(wild) = pattern.first().filter(|c| matches!(c, '%' | '_')) {
        if *wild == '_' {
            match value.split_first() {
                Some((_, rest)) => value = rest,
                None => return Ok(Match::Never),
            }
        }
        pattern = &pattern[1..];
    }
    let first = match pattern {
        [] => return Ok(Match::Found),
        ['\\'] => return Err(unfinished()),
        ['\\', literal, ..] => *literal,
        [literal, ..] => *literal,
    };
    while let Some((c, rest)) = value.split_first() {
        if *c == first {
            let found = rest_matches(value, pattern)?;
            if found != Match::No {
                return Ok(found);
            }
        }
        value = rest;
    }
    Ok(Match::Never)
}

fn unfinished() -> SqlError {
    SqlError::new(SqlState(*b"22025"), "LIKE pattern must not end with escape character")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns() {
        for (value, pattern, found) in [
            ("abc", "abc", true),
            ("abc", "a%c", true),
            ("abc", "%b%", true),
            ("abc", "_b_", true),
            ("abc", "_b", false),
            ("a%c", r"a\%c", true),
            ("abc", r"a\%c", false),
            ("aab", "%ab", true),
            ("", "%", true),
            ("", "_", false),
            (r"a\", r"a\\", true),
            // Nothing gets as far as the escape character.
            ("ab", r"ab\", false),
            ("x", r"ab\", false),
            ("", r"\", false),
        ] {
            assert_eq!(matches(value, pattern, false).unwrap(), found, "{value} LIKE {pattern}");
        }
        assert!(matches("ÄBC", "ä%", true).unwrap());
    }

    #[test]
    fn an_escape_character_escapes_something() {
        for (value, pattern) in [("abc", r"ab\"), ("x", r"\"), ("ab", r"%\"), ("abc", r"%b\")] {
            let error = matches(value, pattern, false).unwrap_err();
            assert_eq!(error.state(), SqlState(*b"22025"), "{value} LIKE {pattern}");
        }
    }
}
