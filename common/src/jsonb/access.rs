//! Reading parts of a document. What comes back is a slice of the document's text.

use std::borrow::Cow;

use super::scan::{Elements, Kind, Members, kind, quote, unquote};

/// Value of a key of a jsonb object; `None` for a missing key or another kind.
pub fn get<'a>(object: &'a str, key: &str) -> Option<&'a str> {
    let quoted = quote(key);
    // Keys are sorted by the length of their characters: longer ones end the search.
    for (candidate, value) in Members::new(object) {
        if candidate == quoted {
            return Some(value);
        }
        if candidate.len() > quoted.len() && unquote(candidate).len() > key.len() {
            return None;
        }
    }
    None
}

/// Value of a key of a `json` object, where keys may repeat (the last one counts), be escaped in
/// several ways, and be in any order.
pub fn get_unsorted<'a>(object: &'a str, key: &str) -> Option<&'a str> {
    Members::new(object).filter(|(quoted, _)| unquote(quoted) == key).last().map(|(_, value)| value)
}

/// Element of an array, from the end when negative. A jsonb scalar counts as an array of itself.
pub fn element(text: &str, index: i64) -> Option<&str> {
    if kind(text).is_scalar() {
        return (index == 0 || index == -1).then_some(text);
    }
    array_element(text, index)
}

/// Element of an array, from the end when negative.
pub fn array_element(array: &str, index: i64) -> Option<&str> {
    let position = match usize::try_from(index) {
        Ok(position) => position,
        Err(_) => {
            let from_end = usize::try_from(index.unsigned_abs()).ok()?;
            Elements::new(array).count().checked_sub(from_end)?
        }
    };
    Elements::new(array).nth(position)
}

/// `#>`: follows keys and array positions. An empty path is the whole document.
pub fn get_path<'a, S: AsRef<str>>(text: &'a str, path: &[S]) -> Option<&'a str> {
    path.iter().try_fold(text, |value, step| match kind(value) {
        Kind::Object => get(value, step.as_ref()),
        Kind::Array => array_element(value, index(step.as_ref())?),
        _ => None,
    })
}

/// `#>` on type `json`.
pub fn get_path_unsorted<'a, S: AsRef<str>>(text: &'a str, path: &[S]) -> Option<&'a str> {
    path.iter().try_fold(text, |value, step| match kind(value) {
        Kind::Object => get_unsorted(value, step.as_ref()),
        Kind::Array => array_element(value, index(step.as_ref())?),
        _ => None,
    })
}

/// A path step as an array position.
pub(super) fn index(step: &str) -> Option<i64> {
    step.trim_start().parse::<i32>().ok().map(i64::from)
}

/// What `->>` makes of a value: a string without quotes, NULL for null, else the text.
pub fn as_text(value: &str) -> Option<Cow<'_, str>> {
    match kind(value) {
        Kind::Null => None,
        Kind::String => Some(unquote(value.trim())),
        _ => Some(Cow::Borrowed(value)),
    }
}

/// `?`: a key of an object, or a string that is an element of an array or the document itself.
pub fn exists(text: &str, key: &str) -> bool {
    match kind(text) {
        Kind::Object => get(text, key).is_some(),
        Kind::Array => {
            let quoted = quote(key);
            Elements::new(text).any(|element| element == quoted)
        }
        Kind::String => text == quote(key),
        Kind::Number | Kind::Boolean | Kind::Null => false,
    }
}

/// `?|`
pub fn exists_any<S: AsRef<str>>(text: &str, keys: &[S]) -> bool {
    keys.iter().any(|key| exists(text, key.as_ref()))
}

/// `?&`
pub fn exists_all<S: AsRef<str>>(text: &str, keys: &[S]) -> bool {
    keys.iter().all(|key| exists(text, key.as_ref()))
}

/// Elements of an array; nothing for another kind.
pub fn array_elements(array: &str) -> impl Iterator<Item = &str> {
    Elements::new(array)
}

/// `None` when `text` is not an array.
pub fn array_length(text: &str) -> Option<usize> {
    (kind(text) == Kind::Array).then(|| Elements::new(text).count())
}

/// Keys of an object in stored order; nothing for another kind.
pub fn object_keys(object: &str) -> impl Iterator<Item = Cow<'_, str>> {
    Members::new(object).map(|(key, _)| unquote(key))
}

/// Keys and values of an object; nothing for another kind.
pub fn each(object: &str) -> impl Iterator<Item = (Cow<'_, str>, &str)> {
    Members::new(object).map(|(key, value)| (unquote(key), value))
}

/// `jsonb_typeof`
pub fn type_of(text: &str) -> &'static str {
    kind(text).name()
}
