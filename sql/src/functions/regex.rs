//! Regular expressions: PostgreSQL's advanced ones, brought to the `regex` crate's syntax.
//!
//! What differs: `\y` is a word boundary, `\m` and `\M` the start and end of a word, `\A` and
//! `\Z` the ends of the text; a dot matches a newline; in brackets a backslash escapes; `(?i)` at
//! the start and the `***` prefixes set options ([`super::regex_syntax`]). Back references and
//! look-around do not exist in the crate and are refused. The crate prefers the first alternative
//! where PostgreSQL prefers the longest match.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::ops::Range;
use std::rc::Rc;

use regex::{Regex, RegexBuilder};
use satsuma_common::{Array, Datum, PgType, SqlError, SqlResult, SqlState};

use super::error::unexpected_value;
use super::library::Builder;
use super::regex_syntax::{embedded_options, translate};
use super::vector::texts_to_bool;
use crate::casts::text::text;

/// Compiled expressions of this thread; dropped all together when there are too many.
const CACHED: usize = 256;

thread_local! {
    static COMPILED: RefCell<BTreeMap<(String, String), Rc<Regex>>> = const { RefCell::new(BTreeMap::new()) };
}

/// Bound on a compiled program, against patterns made to exhaust memory.
const PROGRAM_BYTES: usize = 4 << 20;

pub(super) fn invalid(message: impl std::fmt::Display) -> SqlError {
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

/// What PostgreSQL's option letters choose.
#[derive(Default)]
struct Options {
    insensitive: bool,
    newline_sensitive: bool,
    partial_dot: bool,
    partial_anchor: bool,
    extended: bool,
    literal: bool,
}

impl Options {
    /// Whether there is such an option.
    fn set(&mut self, letter: char) -> bool {
        match letter {
            'i' => self.insensitive = true,
            'c' => self.insensitive = false,
            'n' | 'm' => self.newline_sensitive = true,
            'p' => self.partial_dot = true,
            'w' => self.partial_anchor = true,
            's' => {
                (self.newline_sensitive, self.partial_dot, self.partial_anchor) =
                    Default::default();
            }
            'x' => self.extended = true,
            't' => self.extended = false,
            'q' => self.literal = true,
            'e' | 'b' => {}
            _ => return false,
        }
        true
    }
}

fn build(pattern: &str, flags: &str) -> SqlResult<Regex> {
    let mut options = Options::default();
    if let Some(unknown) = flags.chars().find(|letter| *letter != 'g' && !options.set(*letter)) {
        return Err(SqlError::new(
            SqlState::INVALID_PARAMETER_VALUE,
            format!("invalid regular expression option: \"{unknown}\""),
        ));
    }
    let mut body = pattern;
    if let Some(rest) = body.strip_prefix("***=") {
        options.literal = true;
        body = rest;
    } else if let Some(rest) = body.strip_prefix("***:") {
        body = rest;
    }
    if let Some((letters, rest)) = embedded_options(body)
        && !options.literal
    {
        if !letters.chars().all(|letter| options.set(letter)) {
            return Err(invalid("invalid embedded option"));
        }
        body = rest;
    }
    let translated = if options.literal { regex::escape(body) } else { translate(body)? };
    RegexBuilder::new(&translated)
        .case_insensitive(options.insensitive)
        .multi_line(options.newline_sensitive || options.partial_anchor)
        .dot_matches_new_line(!(options.newline_sensitive || options.partial_dot))
        .ignore_whitespace(options.extended)
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

/// Whether `value op pattern` for an operator of LIKE or of regular expressions.
pub fn matches(op: &str, value: &str, pattern: &str) -> SqlResult<bool> {
    let negated = op.starts_with('!');
    let flags = if op.ends_with('*') { "i" } else { "" };
    let matched = if op.contains("~~") {
        crate::operators::pattern::matches(value, pattern, !flags.is_empty())?
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
        substring(argument(args, 0, "")?, argument(args, 1, "")?)
    });
    b.row("substring(text,text,text) text", |args, _| {
        let pattern = similar_to_regex(argument(args, 1, "")?, argument(args, 2, "")?)?;
        substring(argument(args, 0, "")?, &pattern)
    });
    // The rows of regexp_matches, each an array in the text form: its table function unpacks them.
    for signature in ["similar_to_escape(text) text", "similar_to_escape(text,text) text"] {
        b.row(signature, |args, _| {
            similar_to_regex(argument(args, 0, "")?, argument(args, 1, "\\")?).map(Datum::Text)
        });
    }
}

/// The first group of the first match, or the match itself without groups.
fn substring(value: &str, pattern: &str) -> SqlResult<Datum> {
    let regex = compile(pattern, "")?;
    let found = regex.captures(value).and_then(|captures| {
        let group = if captures.len() > 1 { captures.get(1) } else { captures.get(0) };
        group.map(|m| m.as_str().to_string())
    });
    Ok(found.map_or(Datum::Null, Datum::Text))
}

/// Flags of a function that has no use for `g`.
fn without_global<'f>(function: &str, flags: &'f str) -> SqlResult<&'f str> {
    if flags.contains('g') {
        return Err(SqlError::new(
            SqlState::INVALID_PARAMETER_VALUE,
            format!("{function}() does not support the \"global\" option"),
        ));
    }
    Ok(flags)
}

fn counting(b: &mut Builder) {
    for signature in [
        "regexp_count(text,text) int4",
        "regexp_count(text,text,int4) int4",
        "regexp_count(text,text,int4,text) int4",
    ] {
        b.row(signature, |args, _| {
            let value = argument(args, 0, "")?;
            let start = integer(args, 2, 1)?;
            if start <= 0 {
                return Err(parameter("start", start));
            }
            let flags = without_global("regexp_count", argument(args, 3, "")?)?;
            let regex = compile(argument(args, 1, "")?, flags)?;
            let count = offset(value, start).map_or(0, |at| regex.find_iter(&value[at..]).count());
            Ok(Datum::Int4(count as i32))
        });
    }
    for signature in ["regexp_like(text,text) bool", "regexp_like(text,text,text) bool"] {
        b.row(signature, |args, _| {
            let flags = without_global("regexp_like", argument(args, 2, "")?)?;
            let regex = compile(argument(args, 1, "")?, flags)?;
            Ok(Datum::Bool(regex.is_match(argument(args, 0, "")?)))
        });
    }
    for parameters in parameter_lists(6) {
        b.row(&format!("regexp_substr({parameters}) text"), |args, _| {
            let found = nth_match("regexp_substr", args, (4, 5))?;
            let value = argument(args, 0, "")?;
            Ok(found.map_or(Datum::Null, |range| Datum::Text(value[range].into())))
        });
    }
    for parameters in parameter_lists(7) {
        b.row(&format!("regexp_instr({parameters}) int4"), |args, _| {
            let end = integer(args, 4, 0)?;
            if !(0..=1).contains(&end) {
                return Err(parameter("endoption", end));
            }
            let found = nth_match("regexp_instr", args, (5, 6))?;
            let value = argument(args, 0, "")?;
            Ok(Datum::Int4(found.map_or(0, |range| {
                let at = if end == 1 { range.end } else { range.start };
                value[..at].chars().count() as i32 + 1
            })))
        });
    }
}

/// Parameters of `regexp_substr` and `regexp_instr`: from two up to `most`, the last of them a
/// group's number after flags.
fn parameter_lists(most: usize) -> impl Iterator<Item = String> {
    let numbers = most - 4;
    let all = ["text", "text"].into_iter().chain(std::iter::repeat_n("int4", numbers));
    let all: Vec<_> = all.chain(["text", "int4"]).collect();
    (2..=most).map(move |count| all[..count].join(","))
}

/// Where the match is, or a group of it, that the third and the fourth argument ask for, from a
/// character on and which one. Where flags and the group's number are among the arguments.
fn nth_match(
    function: &str,
    args: &[Datum],
    (flags, group): (usize, usize),
) -> SqlResult<Option<Range<usize>>> {
    let (start, nth) = (integer(args, 2, 1)?, integer(args, 3, 1)?);
    if start <= 0 {
        return Err(parameter("start", start));
    }
    if nth <= 0 {
        return Err(parameter("n", nth));
    }
    let group = integer(args, group, 0)?;
    let group = usize::try_from(group).map_err(|_| parameter("subexpr", group))?;
    let flags = without_global(function, argument(args, flags, "")?)?;
    let regex = compile(argument(args, 1, "")?, flags)?;
    let value = argument(args, 0, "")?;
    let Some(at) = offset(value, start) else { return Ok(None) };
    let found = regex.captures_iter(&value[at..]).nth(nth as usize - 1);
    let found = found.and_then(|captures| captures.get(group));
    Ok(found.map(|found| at + found.start()..at + found.end()))
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
            return Err(SqlError::new(SqlState(*b"22025"), "invalid escape string")
                .hint("Escape string must be empty or one character."));
        }
    };
    // Two separators, `#"`, part the pattern in three: the shortest first part, the group that is
    // asked for, and the rest.
    let separator = own.map(|escape| format!("{escape}\""));
    let mut separators = separator.map_or(0, |separator| pattern.matches(&separator).count());
    if separators > 2 {
        return Err(SqlError::new(
            SqlState(*b"2200C"),
            "SQL regular expression may not contain more than two escape-double-quote separators",
        ));
    }
    let mut lazy = separators > 0;
    let mut out = String::from("^(?:");
    let mut chars = pattern.chars();
    let mut in_brackets = false;
    while let Some(c) = chars.next() {
        if Some(c) == own {
            match chars.next() {
                Some('"') if separators > 0 => {
                    out.push_str(if lazy { ")(" } else { ")(?:" });
                    (lazy, separators) = (false, separators - 1);
                }
                Some(next) => out.extend(['\\', next]),
                None => {}
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
            '%' => out.push_str(if lazy { ".*?" } else { ".*" }),
            '*' | '+' | '?' | '}' if lazy => out.extend([c, '?']),
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
