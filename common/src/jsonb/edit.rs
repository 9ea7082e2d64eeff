//! Making new jsonb documents out of others. Inputs are in output form, and so are results.

use crate::error::{SqlError, SqlResult, SqlState};

use super::access::{array_element, index};
use super::parse::order;
use super::scan::{Elements, Kind, Members, Token, Tokens, kind, quote, unquote};

/// Builds an array document of values in output form.
pub fn build_array<S: AsRef<str>>(values: impl IntoIterator<Item = S>) -> String {
    let mut out = String::from("[");
    for value in values {
        if out.len() > 1 {
            out.push_str(", ");
        }
        out.push_str(value.as_ref());
    }
    out.push(']');
    out
}

/// Builds an object document; of equal keys the last one counts.
pub fn build_object<K: AsRef<str>, V: AsRef<str>>(
    members: impl IntoIterator<Item = (K, V)>,
) -> String {
    let mut members: Vec<(K, V)> = members.into_iter().collect();
    members.sort_by(|a, b| order(a.0.as_ref(), b.0.as_ref()));
    let mut out = String::from("{");
    for (at, (key, value)) in members.iter().enumerate() {
        if members.get(at + 1).is_some_and(|next| next.0.as_ref() == key.as_ref()) {
            continue;
        }
        if out.len() > 1 {
            out.push_str(", ");
        }
        super::quote_into(key.as_ref(), &mut out);
        out.push_str(": ");
        out.push_str(value.as_ref());
    }
    out.push('}');
    out
}

/// Members with quoted keys, sorted already.
fn write_object<'a>(members: impl IntoIterator<Item = (&'a str, &'a str)>) -> String {
    let mut out = String::from("{");
    for (key, value) in members {
        if out.len() > 1 {
            out.push_str(", ");
        }
        out.push_str(key);
        out.push_str(": ");
        out.push_str(value);
    }
    out.push('}');
    out
}

fn invalid(message: &str) -> SqlError {
    SqlError::new(SqlState::INVALID_PARAMETER_VALUE, message)
}

/// `a || b`: two objects are merged; else both are arrays, or elements of one.
pub fn concat(a: &str, b: &str) -> SqlResult<String> {
    Ok(match (kind(a), kind(b)) {
        (Kind::Object, Kind::Object) => build_object(super::each(a).chain(super::each(b))),
        _ => build_array(as_elements(a).into_iter().chain(as_elements(b))),
    })
}

/// The elements of an array; anything else by itself.
fn as_elements(text: &str) -> Vec<&str> {
    match kind(text) {
        Kind::Array => Elements::new(text).collect(),
        _ => vec![text],
    }
}

/// `jsonb - text`: without a key, or without the strings equal to it.
pub fn delete_key(text: &str, key: &str) -> SqlResult<String> {
    delete_keys(text, &[key])
}

/// `jsonb - text[]`
pub fn delete_keys<S: AsRef<str>>(text: &str, keys: &[S]) -> SqlResult<String> {
    let quoted: Vec<String> = keys.iter().map(|key| quote(key.as_ref())).collect();
    let kept = |text: &&str| !quoted.iter().any(|key| key == text);
    match kind(text) {
        Kind::Object => Ok(write_object(Members::new(text).filter(|(key, _)| kept(key)))),
        Kind::Array => Ok(build_array(Elements::new(text).filter(kept))),
        _ => Err(invalid("cannot delete from scalar")),
    }
}

/// `jsonb - integer`
pub fn delete_index(text: &str, position: i64) -> SqlResult<String> {
    match kind(text) {
        Kind::Object => Err(invalid("cannot delete from object using integer index")),
        Kind::Array => {
            let count = Elements::new(text).count() as i64;
            let position = if position < 0 { count + position } else { position };
            let kept = Elements::new(text).enumerate().filter(|(at, _)| *at as i64 != position);
            Ok(build_array(kept.map(|(_, element)| element)))
        }
        _ => Err(invalid("cannot delete from scalar")),
    }
}

/// What happens at the end of a path.
#[derive(Clone, Copy)]
enum Edit<'a> {
    Delete,
    Set { value: &'a str, create: bool },
    Insert { value: &'a str, after: bool },
}

/// `jsonb #- path`
pub fn delete_path<S: AsRef<str>>(text: &str, path: &[S]) -> SqlResult<String> {
    if kind(text).is_scalar() {
        return Err(invalid("cannot delete path in scalar"));
    }
    edit_path(text, path, 0, Edit::Delete)
}

/// `jsonb_set(target, path, value, create_if_missing)`
pub fn set<S: AsRef<str>>(text: &str, path: &[S], value: &str, create: bool) -> SqlResult<String> {
    if kind(text).is_scalar() {
        return Err(invalid("cannot set path in scalar"));
    }
    edit_path(text, path, 0, Edit::Set { value, create })
}

/// `jsonb_insert(target, path, value, insert_after)`
pub fn insert<S: AsRef<str>>(
    text: &str,
    path: &[S],
    value: &str,
    after: bool,
) -> SqlResult<String> {
    if kind(text).is_scalar() {
        return Err(invalid("cannot set path in scalar"));
    }
    edit_path(text, path, 0, Edit::Insert { value, after })
}

fn edit_path<S: AsRef<str>>(
    text: &str,
    path: &[S],
    depth: usize,
    edit: Edit<'_>,
) -> SqlResult<String> {
    let Some(step) = path.get(depth) else { return Ok(text.to_owned()) };
    match kind(text) {
        Kind::Object => edit_object(text, path, depth, step.as_ref(), edit),
        Kind::Array => edit_array(text, path, depth, step.as_ref(), edit),
        _ => Ok(text.to_owned()),
    }
}

fn edit_object<S: AsRef<str>>(
    text: &str,
    path: &[S],
    depth: usize,
    step: &str,
    edit: Edit<'_>,
) -> SqlResult<String> {
    let last = depth + 1 == path.len();
    let quoted = quote(step);
    let mut members = Vec::new();
    let mut found = false;
    for (key, value) in Members::new(text) {
        if key != quoted {
            members.push((unquote(key), value.to_owned()));
            continue;
        }
        found = true;
        match edit {
            Edit::Delete if last => {}
            Edit::Set { value, .. } if last => members.push((unquote(key), value.to_owned())),
            Edit::Insert { .. } if last => {
                return Err(invalid("cannot replace existing key")
                    .hint("Try using the function jsonb_set to replace key value."));
            }
            _ => members.push((unquote(key), edit_path(value, path, depth + 1, edit)?)),
        }
    }
    if !found && last {
        match edit {
            Edit::Set { value, create: true } | Edit::Insert { value, .. } => {
                members.push((step.into(), value.to_owned()));
            }
            Edit::Set { .. } | Edit::Delete => {}
        }
    }
    Ok(build_object(members))
}

fn edit_array<S: AsRef<str>>(
    text: &str,
    path: &[S],
    depth: usize,
    step: &str,
    edit: Edit<'_>,
) -> SqlResult<String> {
    let last = depth + 1 == path.len();
    let creates = matches!(edit, Edit::Set { create: true, .. } | Edit::Insert { .. });
    if text == "[]" && !creates {
        return Ok(text.to_owned());
    }
    let Some(wanted) = index(step) else {
        let number = depth + 1;
        return Err(SqlError::new(
            SqlState::INVALID_TEXT_REPRESENTATION,
            format!("path element at position {number} is not an integer: \"{step}\""),
        ));
    };
    let mut elements: Vec<String> = Elements::new(text).map(str::to_owned).collect();
    let count = elements.len() as i64;
    let position = if wanted < 0 { count + wanted } else { wanted };
    let Some(at) = usize::try_from(position).ok().filter(|at| *at < elements.len()) else {
        // Beyond either end: a new element goes there.
        let new = match edit {
            Edit::Set { value, create: true } | Edit::Insert { value, .. } if last => value,
            _ => return Ok(text.to_owned()),
        };
        let at = if position < 0 { 0 } else { elements.len() };
        elements.insert(at, new.to_owned());
        return Ok(build_array(elements));
    };
    match edit {
        Edit::Delete if last => {
            elements.remove(at);
        }
        Edit::Set { value, .. } if last => elements[at] = value.to_owned(),
        Edit::Insert { value, after } if last => {
            elements.insert(at + usize::from(after), value.to_owned());
        }
        _ => {
            let value = array_element(text, at as i64).unwrap_or("null");
            elements[at] = edit_path(value, path, depth + 1, edit)?;
        }
    }
    Ok(build_array(elements))
}

/// `jsonb_strip_nulls`: without the members that are null, at every depth.
pub fn strip_nulls(text: &str) -> String {
    match kind(text) {
        Kind::Object => {
            let kept = Members::new(text).filter(|(_, value)| *value != "null");
            let members: Vec<_> = kept.map(|(key, value)| (key, strip_nulls(value))).collect();
            write_object(members.iter().map(|(key, value)| (*key, value.as_str())))
        }
        Kind::Array => build_array(Elements::new(text).map(strip_nulls)),
        _ => text.to_owned(),
    }
}

/// `jsonb_pretty`: four blanks a level.
pub fn pretty(text: &str) -> String {
    let mut out = String::with_capacity(text.len() * 2);
    let mut depth = 0usize;
    let mut tokens = Tokens::new(text).peekable();
    let newline = |out: &mut String, depth: usize| {
        out.push('\n');
        out.extend(std::iter::repeat_n("    ", depth));
    };
    let mut closers = Vec::new();
    while let Some(token) = tokens.next() {
        match token {
            Token::BeginObject | Token::BeginArray => {
                let object = token == Token::BeginObject;
                out.push(if object { '{' } else { '[' });
                closers.push(if object { '}' } else { ']' });
                depth += 1;
                if tokens.peek() != Some(&Token::End) {
                    newline(&mut out, depth);
                }
            }
            Token::End => {
                depth = depth.saturating_sub(1);
                newline(&mut out, depth);
                out.push(closers.pop().unwrap_or(']'));
            }
            Token::Comma => {
                out.push(',');
                newline(&mut out, depth);
            }
            Token::Colon => out.push_str(": "),
            Token::String(text) | Token::Number(text) => out.push_str(text),
            Token::True => out.push_str("true"),
            Token::False => out.push_str("false"),
            Token::Null => out.push_str("null"),
        }
    }
    out
}
