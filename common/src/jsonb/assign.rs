//! `column['a'][0] = value`: the way there is made where there is none.

use crate::error::{SqlError, SqlResult, SqlState};

use super::access::index;
use super::edit::{build_array, build_object};
use super::scan::{Elements, Kind, Members, kind, unquote};

/// The most elements that an assignment may make between an array's end and the one that is meant.
const MAX_GAP: usize = 8_000_000;

/// The document with `value` at the end of the path.
pub fn assign<S: AsRef<str>>(text: &str, path: &[S], value: &str) -> SqlResult<String> {
    at_depth(text, path, 0, value)
}

fn at_depth<S: AsRef<str>>(text: &str, path: &[S], depth: usize, value: &str) -> SqlResult<String> {
    let Some(step) = path.get(depth) else { return Ok(value.to_owned()) };
    match kind(text) {
        Kind::Object => in_object(text, path, depth, step.as_ref(), value),
        Kind::Array => in_array(text, path, depth, step.as_ref(), value),
        _ => Err(SqlError::new(SqlState::INVALID_PARAMETER_VALUE, "cannot replace existing key")
            .detail("The path assumes key is a composite object, but it is a scalar value.")),
    }
}

fn in_object<S: AsRef<str>>(
    text: &str,
    path: &[S],
    depth: usize,
    step: &str,
    value: &str,
) -> SqlResult<String> {
    let (mut members, mut found) = (Vec::new(), false);
    for (key, own) in Members::new(text) {
        let key = unquote(key);
        let is_it = key == step;
        found |= is_it;
        let own = if is_it { at_depth(own, path, depth + 1, value)? } else { own.to_owned() };
        members.push((key, own));
    }
    if !found {
        members.push((step.into(), made(path, depth + 1, value)?));
    }
    Ok(build_object(members))
}

fn in_array<S: AsRef<str>>(
    text: &str,
    path: &[S],
    depth: usize,
    step: &str,
    value: &str,
) -> SqlResult<String> {
    let number = depth + 1;
    let Some(wanted) = index(step) else {
        return Err(SqlError::new(
            SqlState::INVALID_TEXT_REPRESENTATION,
            format!("path element at position {number} is not an integer: \"{step}\""),
        ));
    };
    let mut elements: Vec<String> = Elements::new(text).map(str::to_owned).collect();
    let position = if wanted < 0 { elements.len() as i64 + wanted } else { wanted };
    let Ok(at) = usize::try_from(position) else {
        return Err(SqlError::new(
            SqlState::INVALID_PARAMETER_VALUE,
            format!("path element at position {number} is out of range: {wanted}"),
        ));
    };
    match elements.get_mut(at) {
        Some(own) => *own = at_depth(own, path, number, value)?,
        None => {
            fill(&mut elements, at)?;
            elements.push(made(path, number, value)?);
        }
    }
    Ok(build_array(elements))
}

/// What is not there yet of the path: an array where a step is a number, else an object.
fn made<S: AsRef<str>>(path: &[S], depth: usize, value: &str) -> SqlResult<String> {
    let mut made = value.to_owned();
    for step in path.iter().skip(depth).rev() {
        made = match index(step.as_ref()) {
            None => build_object([(step.as_ref(), made)]),
            Some(at) => {
                let mut elements = Vec::new();
                fill(&mut elements, usize::try_from(at).unwrap_or(0))?;
                elements.push(made);
                build_array(elements)
            }
        };
    }
    Ok(made)
}

fn fill(elements: &mut Vec<String>, length: usize) -> SqlResult<()> {
    if length.saturating_sub(elements.len()) > MAX_GAP {
        return Err(SqlError::new(
            SqlState::PROGRAM_LIMIT_EXCEEDED,
            "number of jsonb array elements exceeds the maximum allowed",
        )
        .detail(format!("An assignment makes up to {MAX_GAP} of them.")));
    }
    if elements.len() < length {
        elements.resize(length, "null".into());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_way_is_made() {
        for (text, path, result) in [
            (r#"{"a": 1}"#, &["a"][..], r#"{"a": 9}"#),
            (r#"{"a": 1}"#, &["b", "c"], r#"{"a": 1, "b": {"c": 9}}"#),
            ("{}", &["a", "2"], r#"{"a": [null, null, 9]}"#),
            ("[]", &["1", "x"], r#"[null, {"x": 9}]"#),
            ("[1, 2]", &["-1"], "[1, 9]"),
            ("[1, [2]]", &["1", "0"], "[1, [9]]"),
        ] {
            assert_eq!(assign(text, path, "9").unwrap(), result, "{text} {path:?}");
        }
    }

    #[test]
    fn not_within_scalars_before_the_start_or_far_beyond_the_end() {
        for (text, path, state) in [
            (r#"{"a": 1}"#, &["a", "b"][..], SqlState::INVALID_PARAMETER_VALUE),
            ("1", &["a"], SqlState::INVALID_PARAMETER_VALUE),
            ("[1]", &["-2"], SqlState::INVALID_PARAMETER_VALUE),
            ("[1]", &["a"], SqlState::INVALID_TEXT_REPRESENTATION),
            ("[]", &["2147483647"], SqlState::PROGRAM_LIMIT_EXCEEDED),
            ("{}", &["a", "2147483647"], SqlState::PROGRAM_LIMIT_EXCEEDED),
        ] {
            assert_eq!(assign(text, path, "9").unwrap_err().state(), state, "{text} {path:?}");
        }
    }
}
