//! Array literals: `{1,2,NULL}`, `{"a b",c}`.

use crate::datum::{Array, Datum};
use crate::error::{SqlError, SqlResult, SqlState};
use crate::types::PgType;

use super::scalar::is_space;
use super::{TextContext, input as input_value, output_bytes};

/// More elements than this in one literal are refused (PostgreSQL's own limit).
pub(crate) const MAX_ELEMENTS: usize = 134_217_727;
/// PostgreSQL's own limit too.
pub(crate) const MAX_DIMENSIONS: usize = 6;

pub(crate) fn too_many_elements() -> SqlError {
    SqlError::new(
        SqlState::PROGRAM_LIMIT_EXCEEDED,
        format!("array size exceeds the maximum allowed ({MAX_ELEMENTS})"),
    )
}

pub(crate) fn too_many_dimensions(dimensions: usize) -> SqlError {
    SqlError::new(
        SqlState::PROGRAM_LIMIT_EXCEEDED,
        format!(
            "number of array dimensions ({dimensions}) exceeds the maximum allowed \
             ({MAX_DIMENSIONS})"
        ),
    )
}

fn malformed(text: &str, detail: impl Into<String>) -> SqlError {
    SqlError::new(
        SqlState::INVALID_TEXT_REPRESENTATION,
        format!("malformed array literal: \"{text}\""),
    )
    .detail(detail)
}

pub(super) fn input(element: &PgType, text: &str, context: &TextContext) -> SqlResult<Array> {
    let mut values = Vec::new();
    for_each_element(text, |item| {
        values.push(match item {
            Some(item) => input_value(element, item, context)?,
            None => Datum::Null,
        });
        Ok(())
    })?;
    Ok(Array { element: element.clone(), values })
}

/// Calls `each` with the text of every element, `None` for NULL.
pub(super) fn for_each_element(
    text: &str,
    mut each: impl FnMut(Option<&str>) -> SqlResult<()>,
) -> SqlResult<()> {
    let bytes = text.as_bytes();
    let mut at = skip_spaces(bytes, 0);
    let mut bounds = None;
    if bytes.get(at) == Some(&b'[') {
        let (found, end) = Bounds::read(text, at)?;
        bounds = Some(found);
        at = end;
    }
    if bytes.get(at) != Some(&b'{') {
        let detail = "Array value must start with \"{\" or dimension information.";
        return Err(malformed(text, detail));
    }
    at = skip_spaces(bytes, at + 1);
    if bytes.get(at) == Some(&b'}') {
        return finish(text, at + 1, 0, bounds);
    }
    let mut scratch = String::new();
    let mut count = 0;
    loop {
        at = skip_spaces(bytes, at);
        match bytes.get(at) {
            None => return Err(malformed(text, "Unexpected end of input.")),
            Some(b'{') if count == 0 => {
                let inner = bytes[at..].iter().filter(|byte| !is_space(**byte));
                if inner.take_while(|byte| **byte == b'{').nth(MAX_DIMENSIONS - 1).is_some() {
                    return Err(too_many_dimensions(MAX_DIMENSIONS + 1));
                }
                return Err(SqlError::unsupported("multidimensional arrays are not supported")
                    .hint("Use an array of one dimension."));
            }
            Some(b'{') => return Err(malformed(text, "Unexpected \"{\" character.")),
            Some(byte @ (b',' | b'}')) => {
                let detail = format!("Unexpected \"{}\" character.", char::from(*byte));
                return Err(malformed(text, detail));
            }
            Some(_) => {}
        }
        let (end, quoted) = element(text, at, &mut scratch)?;
        at = end;
        if !quoted && scratch.eq_ignore_ascii_case("null") {
            each(None)?;
        } else {
            each(Some(&scratch))?;
        }
        count += 1;
        if count > MAX_ELEMENTS {
            return Err(too_many_elements());
        }
        match bytes.get(at) {
            None => return Err(malformed(text, "Unexpected end of input.")),
            Some(b',') => at += 1,
            Some(b'}') => return finish(text, at + 1, count, bounds),
            Some(_) => return Err(malformed(text, "Unexpected array element.")),
        }
    }
}

fn skip_spaces(bytes: &[u8], mut at: usize) -> usize {
    while bytes.get(at).is_some_and(|byte| is_space(*byte)) {
        at += 1;
    }
    at
}

fn finish(text: &str, at: usize, count: usize, bounds: Option<Bounds>) -> SqlResult<()> {
    if skip_spaces(text.as_bytes(), at) < text.len() {
        return Err(malformed(text, "Junk after closing right brace."));
    }
    match bounds {
        Some(bounds) if bounds.count() != i64::try_from(count).unwrap_or(i64::MAX) => {
            Err(malformed(text, "Specified array dimensions do not match array contents."))
        }
        Some(Bounds { low, .. }) if low != 1 => {
            Err(SqlError::unsupported("arrays with bounds other than [1:n] are not supported")
                .hint("Leave the bounds out."))
        }
        _ => Ok(()),
    }
}

/// `[1:3]=` or `[3]=` in front of the elements.
#[derive(Clone, Copy)]
struct Bounds {
    low: i32,
    high: i32,
}

impl Bounds {
    /// Also answers where the elements begin.
    fn read(text: &str, at: usize) -> SqlResult<(Self, usize)> {
        let Some(end) = text[at..].find(['=', '{']).map(|end| at + end) else {
            return Err(malformed(text, "Missing \"=\" after array dimensions."));
        };
        let malformed = |detail: &str| malformed(text, detail);
        let Some((written, rest)) = text[at + 1..end].split_once(']') else {
            return Err(malformed("Missing \"]\" after array dimensions."));
        };
        let introduces = "\"[\" must introduce explicitly-specified array dimensions.";
        let number = |text: &str| text.trim().parse::<i32>().map_err(|_| malformed(introduces));
        let (low, high) = match written.split_once(':') {
            Some((low, high)) => (number(low)?, number(high)?),
            None => (1, number(written)?),
        };
        if rest.trim_start().starts_with('[') {
            return Err(SqlError::unsupported("multidimensional arrays are not supported")
                .hint("Use an array of one dimension."));
        }
        if text.as_bytes()[end] != b'=' || !rest.trim().is_empty() {
            return Err(malformed("Missing \"=\" after array dimensions."));
        }
        if high < low {
            return Err(SqlError::new(
                SqlState::ARRAY_SUBSCRIPT_ERROR,
                "upper bound cannot be less than lower bound",
            ));
        }
        Ok((Self { low, high }, skip_spaces(text.as_bytes(), end + 1)))
    }

    fn count(self) -> i64 {
        i64::from(self.high) - i64::from(self.low) + 1
    }
}

/// Reads one element at `at` into `out`: the position of what follows, and whether any part of
/// the element was quoted.
fn element(text: &str, at: usize, out: &mut String) -> SqlResult<(usize, bool)> {
    out.clear();
    let bytes = text.as_bytes();
    let mut at = at;
    let mut in_quotes = false;
    let mut closed = false;
    let mut quoted = false;
    // Length up to which trailing blanks are part of the element.
    let mut kept = 0;
    let mut plain = at;
    loop {
        let Some(byte) = bytes.get(at) else {
            return Err(malformed(text, "Unexpected end of input."));
        };
        match byte {
            // Nothing but blanks may follow the closing quote.
            b'\\' if closed => return Err(malformed(text, "Unexpected \"\\\" character.")),
            byte if closed && !matches!(byte, b',' | b'}' | b'{') && !is_space(*byte) => {
                return Err(malformed(text, "Unexpected array element."));
            }
            b'\\' => {
                out.push_str(&text[plain..at]);
                let next = text[at + 1..].chars().next();
                let Some(next) = next else {
                    return Err(malformed(text, "Unexpected end of input."));
                };
                out.push(next);
                kept = out.len();
                at += 1 + next.len_utf8();
                plain = at;
                quoted = true;
            }
            b'"' => {
                out.push_str(&text[plain..at]);
                if !in_quotes && (quoted || !out.trim_end().is_empty()) {
                    return Err(malformed(text, "Unexpected array element."));
                }
                closed = in_quotes;
                in_quotes = !in_quotes;
                quoted = true;
                kept = out.len();
                at += 1;
                plain = at;
            }
            _ if in_quotes => at += 1,
            b',' | b'}' => break,
            b'{' => return Err(malformed(text, "Unexpected \"{\" character.")),
            _ => at += 1,
        }
    }
    out.push_str(&text[plain..at]);
    let trimmed = out.trim_end_matches(|c: char| c.is_ascii() && is_space(c as u8)).len();
    out.truncate(trimmed.max(kept));
    Ok((at, quoted))
}

pub(super) fn output(array: &Array, context: &TextContext, out: &mut Vec<u8>) -> SqlResult<()> {
    let mut scratch = Vec::new();
    out.push(b'{');
    for (at, value) in array.values.iter().enumerate() {
        if at > 0 {
            out.push(b',');
        }
        if value.is_null() {
            out.extend_from_slice(b"NULL");
            continue;
        }
        scratch.clear();
        output_bytes(&array.element, value, context, &mut scratch)?;
        push_element(&scratch, out);
    }
    out.push(b'}');
    Ok(())
}

/// Appends an element, in quotes where it needs them.
pub(super) fn push_element(text: &[u8], out: &mut Vec<u8>) {
    let special = |b: &u8| matches!(b, b'"' | b'\\' | b'{' | b'}' | b',') || is_space(*b);
    let needs_quotes =
        text.is_empty() || text.eq_ignore_ascii_case(b"null") || text.iter().any(special);
    if !needs_quotes {
        return out.extend_from_slice(text);
    }
    out.push(b'"');
    for byte in text {
        if matches!(byte, b'"' | b'\\') {
            out.push(b'\\');
        }
        out.push(*byte);
    }
    out.push(b'"');
}
