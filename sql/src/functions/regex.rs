//! Regular expressions: PostgreSQL's advanced ones, brought to the `regex` crate's syntax.
//!
//! What differs: `\y` is a word boundary, `\m` and `\M` the start and end of a word, `\A` and
//! `\Z` the ends of the text; a dot matches a newline; in brackets a backslash escapes; `(?i)` at
//! the start and the `***` prefixes set options. Back references do not exist in the crate and are
//! refused. The crate prefers the first alternative where PostgreSQL prefers the longest match.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use regex::{Regex, RegexBuilder};
use satsuma_common::{Array, Datum, PgType, SqlError, SqlResult, SqlState};

use super::error::unexpected_value;
use super::library::Builder;
use super::vector::texts_to_bool;
use crate::casts::text::text;

/// Compiled expressions of this thread; dropped all together when there are too many.
const CACHED: usize = 256;

thread_local! {
    static COMPILED: RefCell<BTreeMap<(String, String), Rc<Regex>>> = const { RefCell::new(BTreeMap::new()) };
}

/// Bound on a compiled program, against patterns made to exhaust memory.
const PROGRAM_BYTES: usize = 4 << 20;

fn invalid(message: impl std::fmt::Display) -> SqlError {
    SqlError::new(
        SqlState::INVALID_REGULAR_EXPRESSION,
        format!("invalid regular expression: {message}"),
    )
}

/// The words that PostgreSQL has for what is wrong with an expression.
fn as_postgresql(problem: &str) -> &str {
    const WORDS: [(&str, &str); 9] = [
        ("unclosed group", "parentheses () not balanced"),
        ("unopened group", "parentheses () not balanced"),
        ("unclosed character class", "brackets [] not balanced"),
        ("repetition operator missing expression", "quantifier operand invalid"),
        ("invalid repetition count range", "invalid repetition count(s)"),
        ("unclosed counted repetition", "braces {} not balanced"),
        ("invalid character class range", "invalid character range"),
        ("unrecognized escape sequence", "invalid escape \\ sequence"),
        ("incomplete escape sequence", "invalid escape \\ sequence"),
    ];
    let found = WORDS.iter().find(|(own, _)| problem.starts_with(own));
    found.map_or(problem, |(_, words)| words)
}

/// The compiled form of `pattern` with PostgreSQL's option letters.
pub fn compile(pattern: &str, flags: &str) -> SqlResult<Rc<Regex>> {
    let key = (pattern.to_string(), flags.to_string());
    if let Some(found) = COMPILED.with_borrow(|cache| cache.get(&key).cloned()) {
        return Ok(found);
    }
    let compiled = Rc::new(build(pattern, flags)?);
    COMPILED.with_borrow_mut(|cache| {
        if cache.len() >= CACHED {
            cache.clear();
        }
        cache.insert(key, compiled.clone());
    });
    Ok(compiled)
}

fn build(pattern: &str, flags: &str) -> SqlResult<Regex> {
    let mut insensitive = false;
    let mut newline_sensitive = false;
    let mut partial_dot = false;
    let mut partial_anchor = false;
    let mut extended = false;
    let mut literal = false;
    for flag in flags.chars() {
        match flag {
            'i' => insensitive = true,
            'c' => insensitive = false,
            'n' | 'm' => newline_sensitive = true,
            'p' => partial_dot = true,
            'w' => partial_anchor = true,
            's' => newline_sensitive = false,
            'x' => extended = true,
            't' => extended = false,
            'q' => literal = true,
            'e' | 'b' | 'g' => {}
            other => {
                return Err(SqlError::new(
                    SqlState::INVALID_PARAMETER_VALUE,
                    format!("invalid regular expression option: \"{other}\""),
                ));
            }
        }
    }
    let mut body = pattern;
    if let Some(rest) = body.strip_prefix("***=") {
        literal = true;
        body = rest;
    } else if let Some(rest) = body.strip_prefix("***:") {
        body = rest;
    }
    let translated = if literal { regex::escape(body) } else { translate(body)? };
    RegexBuilder::new(&translated)
        .case_insensitive(insensitive)
        .multi_line(newline_sensitive || partial_anchor)
        .dot_matches_new_line(!(newline_sensitive || partial_dot))
        .ignore_whitespace(extended)
        .size_limit(PROGRAM_BYTES)
        .build()
        .map_err(|error| match error {
            regex::Error::CompiledTooBig(_) => invalid("regular expression is too complex"),
            other => {
                let text = other.to_string();
                let last = text.lines().last().unwrap_or_default();
                invalid(as_postgresql(last.trim_start_matches("error: ")))
            }
        })
}

fn translate(pattern: &str) -> SqlResult<String> {
    let mut out = String::with_capacity(pattern.len() + 8);
    let mut chars = pattern.chars().peekable();
    let mut in_brackets = false;
    while let Some(c) = chars.next() {
        match c {
            '\\' => {
                let Some(next) = chars.next() else {
                    return Err(invalid("invalid escape \\ sequence"));
                };
                match next {
                    'y' if !in_brackets => out.push_str("\\b"),
                    'Y' if !in_brackets => out.push_str("\\B"),
                    'm' if !in_brackets => out.push_str("\\b{start}"),
                    'M' if !in_brackets => out.push_str("\\b{end}"),
                    'Z' if !in_brackets => out.push_str("\\z"),
                    'e' => out.push_str("\\x1B"),
                    'b' => out.push_str("\\x08"),
                    'B' => out.push_str("\\\\"),
                    '1'..='9' if !in_brackets => {
                        return Err(SqlError::unsupported(
                            "back references in regular expressions are not supported",
                        ));
                    }
                    other if other.is_ascii_alphanumeric() => {
                        out.push('\\');
                        out.push(other);
                    }
                    other => {
                        out.push_str(&regex::escape(&other.to_string()));
                    }
                }
            }
            '[' if !in_brackets => {
                in_brackets = true;
                out.push('[');
                if chars.peek() == Some(&'^') {
                    chars.next();
                    out.push('^');
                }
                // A bracket that comes first is an ordinary character.
                if chars.peek() == Some(&']') {
                    chars.next();
                    out.push_str("\\]");
                }
            }
            '[' => match chars.peek() {
                // A class such as [:alpha:] is copied whole.
                Some(':') => {
                    out.push('[');
                    for inner in chars.by_ref() {
                        out.push(inner);
                        if inner == ']' {
                            break;
                        }
                    }
                }
                _ => out.push_str("\\["),
            },
            ']' if in_brackets => {
                in_brackets = false;
                out.push(']');
            }
            '&' | '~' if in_brackets => {
                out.push('\\');
                out.push(c);
            }
            '-' if in_brackets && chars.peek() == Some(&'-') => out.push_str("\\-"),
            // A brace that does not begin a bound is an ordinary character.
            '{' if !in_brackets && !chars.peek().is_some_and(char::is_ascii_digit) => {
                out.push_str("\\{");
            }
            other => out.push(other),
        }
    }
    if in_brackets {
        return Err(invalid("brackets [] not balanced"));
    }
    Ok(out)
}

/// LIKE's pattern as an anchored regular expression.
fn like_to_regex(pattern: &str) -> String {
    let mut out = String::from("^");
    let mut chars = pattern.chars();
    while let Some(c) = chars.next() {
        match c {
            '%' => out.push_str(".*"),
            '_' => out.push('.'),
            '\\' => {
                let next = chars.next().unwrap_or('\\');
                out.push_str(&regex::escape(&next.to_string()));
            }
            other => out.push_str(&regex::escape(&other.to_string())),
        }
    }
    out.push('$');
    out
}

/// Whether `value op pattern` for an operator of LIKE or of regular expressions.
pub fn matches(op: &str, value: &str, pattern: &str) -> SqlResult<bool> {
    let negated = op.starts_with('!');
    let flags = if op.ends_with('*') { "i" } else { "" };
    let matched = if op.contains("~~") {
        // Not through `translate`: the pattern is of the crate's own syntax.
        let mut builder = RegexBuilder::new(&like_to_regex(pattern));
        let like = builder
            .case_insensitive(!flags.is_empty())
            .dot_matches_new_line(true)
            .build()
            .map_err(|_| invalid("pattern is too long"))?;
        like.is_match(value)
    } else {
        compile(pattern, flags)?.is_match(value)
    };
    Ok(matched != negated)
}

pub(crate) fn install_operators(b: &mut Builder) {
    for op in ["~", "!~", "~*", "!~*"] {
        for ty in ["text", "bpchar", "name"] {
            b.columns(&format!("{op}({ty},text) bool"), move |args, _| {
                let [value, pattern] = args else { return Err(unexpected_value("a pattern")) };
                let negated = op.starts_with('!');
                let flags = if op.ends_with('*') { "i" } else { "" };
                // The pattern is mostly the same for all rows.
                let mut last: Option<(String, Rc<Regex>)> = None;
                texts_to_bool(value, pattern, |value, pattern| {
                    if last.as_ref().is_none_or(|(text, _)| text != pattern) {
                        last = Some((pattern.to_string(), compile(pattern, flags)?));
                    }
                    let matched = last.as_ref().is_some_and(|(_, regex)| regex.is_match(value));
                    Ok(matched != negated)
                })
            });
        }
    }
}

fn texts(values: impl IntoIterator<Item = Option<String>>) -> Datum {
    let values = values.into_iter().map(|v| v.map_or(Datum::Null, Datum::Text)).collect();
    Datum::Array(Array { element: PgType::Text, values })
}

/// Text arguments followed by optional ones.
fn argument<'a>(args: &'a [Datum], index: usize, default: &'a str) -> SqlResult<&'a str> {
    args.get(index).map_or(Ok(default), text)
}

fn integer(args: &[Datum], index: usize, default: i32) -> SqlResult<i32> {
    match args.get(index) {
        Some(Datum::Int4(v)) => Ok(*v),
        None => Ok(default),
        Some(_) => Err(unexpected_value("integer")),
    }
}

fn parameter(name: &str, value: i32) -> SqlError {
    SqlError::new(
        SqlState::INVALID_PARAMETER_VALUE,
        format!("invalid value for parameter \"{name}\": {value}"),
    )
}

/// Byte offset of a character position from 1.
fn offset(value: &str, start: i32) -> Option<usize> {
    let start = usize::try_from(start - 1).ok()?;
    let past = (value.len(), ' ');
    value.char_indices().chain(std::iter::once(past)).nth(start).map(|(at, _)| at)
}

/// The groups of a match, or the match itself without groups.
fn groups(captures: &regex::Captures<'_>) -> Datum {
    let own = |group: Option<regex::Match<'_>>| group.map(|m| m.as_str().to_string());
    if captures.len() == 1 {
        return texts([own(captures.get(0))]);
    }
    texts(captures.iter().skip(1).map(own))
}

pub(crate) fn install(b: &mut Builder) {
    for signature in ["regexp_match(text,text) _text", "regexp_match(text,text,text) _text"] {
        b.row(signature, |args, _| {
            let flags = argument(args, 2, "")?;
            if flags.contains('g') {
                return Err(SqlError::new(
                    SqlState::INVALID_PARAMETER_VALUE,
                    "regexp_match() does not support the \"global\" option",
                )
                .hint("Use the regexp_matches function instead."));
            }
            let regex = compile(argument(args, 1, "")?, flags)?;
            Ok(regex.captures(argument(args, 0, "")?).map_or(Datum::Null, |c| groups(&c)))
        });
    }
    for signature in
        ["regexp_replace(text,text,text) text", "regexp_replace(text,text,text,text) text"]
    {
        b.row(signature, |args, _| {
            let flags = argument(args, 3, "")?;
            if let Some(digit) = flags.chars().find(char::is_ascii_digit) {
                return Err(SqlError::new(
                    SqlState::INVALID_PARAMETER_VALUE,
                    format!("invalid regular expression option: \"{digit}\""),
                )
                .hint(
                    "If you meant to use regexp_replace() with a start parameter, cast the \
                     fourth argument to integer explicitly.",
                ));
            }
            let regex = compile(argument(args, 1, "")?, flags)?;
            let nth = if flags.contains('g') { 0 } else { 1 };
            replace(&regex, argument(args, 0, "")?, argument(args, 2, "")?, 1, nth)
        });
    }
    for signature in [
        "regexp_replace(text,text,text,int4) text",
        "regexp_replace(text,text,text,int4,int4) text",
        "regexp_replace(text,text,text,int4,int4,text) text",
    ] {
        b.row(signature, |args, _| {
            let regex = compile(argument(args, 1, "")?, argument(args, 5, "")?)?;
            let (start, nth) = (integer(args, 3, 1)?, integer(args, 4, 1)?);
            replace(&regex, argument(args, 0, "")?, argument(args, 2, "")?, start, nth)
        });
    }
    counting(b);
    for signature in
        ["regexp_split_to_array(text,text) _text", "regexp_split_to_array(text,text,text) _text"]
    {
        b.row(signature, |args, _| {
            let regex = compile(argument(args, 1, "")?, argument(args, 2, "")?)?;
            Ok(texts(split(&regex, argument(args, 0, "")?)))
        });
    }
    b.row("substring(text,text) text", |args, _| {
        let regex = compile(argument(args, 1, "")?, "")?;
        let found = regex.captures(argument(args, 0, "")?).and_then(|captures| {
            let group = if captures.len() > 1 { captures.get(1) } else { captures.get(0) };
            group.map(|m| m.as_str().to_string())
        });
        Ok(found.map_or(Datum::Null, Datum::Text))
    });
    // The rows of regexp_matches, each an array in the text form: its table function unpacks them.
    for signature in ["similar_to_escape(text) text", "similar_to_escape(text,text) text"] {
        b.row(signature, |args, _| {
            similar_to_regex(argument(args, 0, "")?, argument(args, 1, "\\")?).map(Datum::Text)
        });
    }
}

fn counting(b: &mut Builder) {
    for signature in [
        "regexp_count(text,text) int4",
        "regexp_count(text,text,int4) int4",
        "regexp_count(text,text,int4,text) int4",
    ] {
        b.row(signature, |args, _| {
            let regex = compile(argument(args, 1, "")?, argument(args, 3, "")?)?;
            let value = argument(args, 0, "")?;
            let start = integer(args, 2, 1)?;
            if start <= 0 {
                return Err(parameter("start", start));
            }
            let count = offset(value, start).map_or(0, |at| regex.find_iter(&value[at..]).count());
            Ok(Datum::Int4(count as i32))
        });
    }
    for signature in ["regexp_like(text,text) bool", "regexp_like(text,text,text) bool"] {
        b.row(signature, |args, _| {
            let regex = compile(argument(args, 1, "")?, argument(args, 2, "")?)?;
            Ok(Datum::Bool(regex.is_match(argument(args, 0, "")?)))
        });
    }
    for signature in [
        "regexp_substr(text,text) text",
        "regexp_substr(text,text,int4) text",
        "regexp_substr(text,text,int4,int4) text",
        "regexp_substr(text,text,int4,int4,text) text",
    ] {
        b.row(signature, |args, _| {
            let regex = compile(argument(args, 1, "")?, argument(args, 4, "")?)?;
            let value = argument(args, 0, "")?;
            let (start, nth) = (integer(args, 2, 1)?, integer(args, 3, 1)?);
            if start <= 0 {
                return Err(parameter("start", start));
            }
            if nth <= 0 {
                return Err(parameter("n", nth));
            }
            let found = offset(value, start)
                .and_then(|at| regex.find_iter(&value[at..]).nth(nth as usize - 1));
            Ok(found.map_or(Datum::Null, |m| Datum::Text(m.as_str().to_string())))
        });
    }
    for signature in [
        "regexp_instr(text,text) int4",
        "regexp_instr(text,text,int4) int4",
        "regexp_instr(text,text,int4,int4) int4",
    ] {
        b.row(signature, |args, _| {
            let regex = compile(argument(args, 1, "")?, "")?;
            let value = argument(args, 0, "")?;
            let (start, nth) = (integer(args, 2, 1)?, integer(args, 3, 1)?);
            if start <= 0 {
                return Err(parameter("start", start));
            }
            if nth <= 0 {
                return Err(parameter("n", nth));
            }
            let Some(at) = offset(value, start) else { return Ok(Datum::Int4(0)) };
            let found = regex.find_iter(&value[at..]).nth(nth as usize - 1);
            let position = found.map_or(0, |m| value[..at + m.start()].chars().count() as i32 + 1);
            Ok(Datum::Int4(position))
        });
    }
}

/// Replaces the `nth` match from character `start` on; all of them if `nth` is 0.
fn replace(regex: &Regex, value: &str, by: &str, start: i32, nth: i32) -> SqlResult<Datum> {
    if start <= 0 {
        return Err(parameter("start", start));
    }
    if nth < 0 {
        return Err(parameter("n", nth));
    }
    let Some(at) = offset(value, start) else { return Ok(Datum::Text(value.into())) };
    let mut out = String::from(&value[..at]);
    let rest = &value[at..];
    let mut copied = 0;
    for (i, captures) in regex.captures_iter(rest).enumerate() {
        if nth != 0 && i + 1 != nth as usize {
            continue;
        }
        let Some(whole) = captures.get(0) else { continue };
        out.push_str(&rest[copied..whole.start()]);
        expand(by, &captures, &mut out);
        copied = whole.end();
        if nth != 0 {
            break;
        }
    }
    out.push_str(&rest[copied..]);
    Ok(Datum::Text(out))
}

/// `\1` to `\9` and `\&` stand for groups and the match, `\\` for a backslash.
fn expand(by: &str, captures: &regex::Captures<'_>, out: &mut String) {
    let mut chars = by.chars();
    while let Some(c) = chars.next() {
        if c != '\\' {
            out.push(c);
            continue;
        }
        let group = match chars.next() {
            Some('&') => captures.get(0),
            Some(digit @ '1'..='9') => captures.get(digit as usize - '0' as usize),
            Some('\\') | None => {
                out.push('\\');
                None
            }
            Some(other) => {
                out.push('\\');
                out.push(other);
                None
            }
        };
        if let Some(group) = group {
            out.push_str(group.as_str());
        }
    }
}

/// The parts between matches. An empty match at an end or next to another match does not split.
pub fn split(regex: &Regex, value: &str) -> Vec<Option<String>> {
    let mut parts = Vec::new();
    let mut from = 0;
    for found in regex.find_iter(value) {
        if found.is_empty() && (found.start() == from || found.end() == value.len()) {
            continue;
        }
        parts.push(Some(value[from..found.start()].to_string()));
        from = found.end();
    }
    parts.push(Some(value[from..].to_string()));
    parts
}

/// All matches, each as the array that `regexp_matches` gives a row for.
pub fn all_matches(value: &str, pattern: &str, flags: &str) -> SqlResult<Vec<Datum>> {
    let regex = compile(pattern, flags)?;
    let limit = if flags.contains('g') { usize::MAX } else { 1 };
    Ok(regex.captures_iter(value).take(limit).map(|captures| groups(&captures)).collect())
}

/// SQL's pattern of SIMILAR TO as a regular expression.
pub fn similar_to_regex(pattern: &str, escape: &str) -> SqlResult<String> {
    let mut escapes = escape.chars();
    let own = match (escapes.next(), escapes.next()) {
        (None, _) => None,
        (Some(c), None) => Some(c),
        _ => {
            return Err(SqlError::new(SqlState(*b"22019"), "invalid escape string")
                .hint("Escape string must be empty or one character."));
        }
    };
    let mut out = String::from("^(?:");
    let mut chars = pattern.chars();
    let mut in_brackets = false;
    while let Some(c) = chars.next() {
        if Some(c) == own {
            if let Some(next) = chars.next() {
                out.push('\\');
                out.push(next);
            }
            continue;
        }
        match c {
            '[' if !in_brackets => {
                in_brackets = true;
                out.push('[');
            }
            ']' if in_brackets => {
                in_brackets = false;
                out.push(']');
            }
            _ if in_brackets => {
                if c == '\\' {
                    out.push('\\');
                }
                out.push(c);
            }
            '%' => out.push_str(".*"),
            '_' => out.push('.'),
            '(' => out.push_str("(?:"),
            '\\' | '.' | '^' | '$' => {
                out.push('\\');
                out.push(c);
            }
            other => out.push(other),
        }
    }
    out.push_str(")$");
    Ok(out)
}
