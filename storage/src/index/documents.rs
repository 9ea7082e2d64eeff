//! jsonb documents as sets of tokens, one for each scalar with the way to it and one for each
//! key. A document that contains another has all of its scalars' tokens.
//!
//! ```text
//! entry = 01 | u64 hash, big endian
//! hash  of  kind, way, type, value      a scalar; numbers without their scale
//!       of  kind, text                  a key of the document itself, or a string of its array
//! ```
//!
//! Two that have the same hash are told apart where candidates are checked.

use satsuma_common::jsonb::{self, Met, Scalar, Step};
use satsuma_common::numeric::{Numeric, sortable_key};

use crate::shard::KeyRange;

/// What is looked for in documents.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wanted<'a> {
    /// `@>`.
    Contains(&'a str),
    /// `?`.
    HasKey(&'a str),
    /// `?|`.
    HasAnyKey(&'a [String]),
    /// `?&`.
    HasAllKeys(&'a [String]),
    /// `-> k1 ->> k2 = text`, with the way as keys.
    TextAt(&'a [String], &'a str),
}

/// Clauses of one probe, at most; further ones would only leave out a few more candidates.
const MOST_CLAUSES: usize = 16;

const SCALAR: u8 = 1;
const KEY: u8 = 2;

/// FNV-1a: stable on disk, and quick on short strings.
struct Hash(u64);

impl Hash {
    fn new(kind: u8) -> Self {
        let mut hash = Self(0xcbf2_9ce4_8422_2325);
        hash.add(&[kind]);
        hash
    }

    fn add(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }

    /// Adds a text and where it ends.
    fn text(&mut self, text: &str) {
        self.add(text.as_bytes());
        self.add(&[0xff]);
    }

    fn entry(&self) -> Vec<u8> {
        let mut entry = vec![1];
        entry.extend_from_slice(&self.0.to_be_bytes());
        entry
    }
}

fn scalar_entry(path: &[Step<'_>], scalar: &Scalar<'_>) -> Vec<u8> {
    let mut hash = Hash::new(SCALAR);
    for step in path {
        match step {
            Step::Key(key) => {
                hash.add(b"k");
                hash.text(key);
            }
            Step::Element => hash.add(b"e"),
        }
    }
    match scalar {
        Scalar::String(text) => {
            hash.add(b"s");
            hash.text(text);
        }
        Scalar::Number(digits) => {
            hash.add(b"n");
            let number = Numeric::parse(digits).unwrap_or(Numeric::ZERO);
            hash.add(sortable_key(&number.to_sortable()));
        }
        Scalar::Boolean(true) => hash.add(b"t"),
        Scalar::Boolean(false) => hash.add(b"f"),
        Scalar::Null => hash.add(b"0"),
    }
    hash.entry()
}

fn key_entry(key: &str) -> Vec<u8> {
    let mut hash = Hash::new(KEY);
    hash.text(key);
    hash.entry()
}

/// The entries of a document.
pub(super) fn entries(document: &[u8]) -> Vec<Vec<u8>> {
    let Ok(text) = std::str::from_utf8(document) else {
        return vec![vec![super::definition::UNKNOWN]];
    };
    let mut entries = Vec::new();
    jsonb::walk(text, |path, met| match (met, path) {
        (Met::Key, [Step::Key(key)]) => entries.push(key_entry(key)),
        (Met::Key, _) => {}
        (Met::Scalar(scalar), path) => {
            if let (Scalar::String(text), [] | [Step::Element]) = (&scalar, path) {
                entries.push(key_entry(text));
            }
            entries.push(scalar_entry(path, &scalar));
        }
    });
    entries.sort_unstable();
    entries.dedup();
    entries
}

/// Where to look. `None` when tokens do not tell: every document may match.
pub fn document_probe(wanted: &Wanted<'_>) -> Option<Vec<Vec<KeyRange>>> {
    let exactly = |entry: Vec<u8>| vec![KeyRange::prefix(entry)];
    let mut clauses: Vec<Vec<KeyRange>> = match wanted {
        Wanted::Contains(document) => contained(document)?.into_iter().map(exactly).collect(),
        Wanted::HasKey(key) => vec![exactly(key_entry(key))],
        Wanted::HasAllKeys(keys) => keys.iter().map(|key| exactly(key_entry(key))).collect(),
        Wanted::HasAnyKey(keys) => {
            vec![keys.iter().map(|key| KeyRange::prefix(key_entry(key))).collect()]
        }
        Wanted::TextAt(path, text) => vec![texts_at(path, text)?],
    };
    clauses.truncate(MOST_CLAUSES);
    (!clauses.is_empty() && clauses.iter().all(|clause| !clause.is_empty())).then_some(clauses)
}

/// Tokens that every document has which contains this one.
fn contained(document: &str) -> Option<Vec<Vec<u8>>> {
    // An array contains a bare scalar too, but has it elsewhere.
    if jsonb::kind(document).is_scalar() {
        return None;
    }
    let mut entries = Vec::new();
    jsonb::walk(document, |path, met| {
        if let Met::Scalar(scalar) = met {
            entries.push(scalar_entry(path, &scalar));
        }
    });
    entries.sort_unstable();
    entries.dedup();
    Some(entries)
}

/// Tokens of the scalars at `path` that print as `text`.
fn texts_at(path: &[String], text: &str) -> Option<Vec<KeyRange>> {
    // Objects and arrays print as text too, and have no token.
    if text.starts_with(['{', '[']) {
        return None;
    }
    let path: Vec<_> = path.iter().map(|key| Step::Key(key.as_str().into())).collect();
    let mut scalars = vec![Scalar::String(text.into())];
    match text {
        "true" => scalars.push(Scalar::Boolean(true)),
        "false" => scalars.push(Scalar::Boolean(false)),
        _ => scalars.extend(Numeric::parse(text).map(|_| Scalar::Number(text))),
    }
    Some(scalars.iter().map(|scalar| KeyRange::prefix(scalar_entry(&path, scalar))).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether a document is a candidate; `None`: the index cannot tell.
    fn candidate(document: &str, wanted: &Wanted<'_>) -> Option<bool> {
        let entries = entries(document.as_bytes());
        let clauses = document_probe(wanted)?;
        let has = |range: &KeyRange| entries.iter().any(|e| *range == KeyRange::prefix(e.clone()));
        Some(clauses.iter().all(|clause| clause.iter().any(has)))
    }

    #[test]
    fn whatever_contains_a_document_is_a_candidate_for_it() {
        let documents = [
            "{}",
            "[]",
            "1",
            "1.0",
            "\"a\"",
            "null",
            "[1, 2]",
            "[\"a\", [\"b\"]]",
            r#"{"a": 1}"#,
            r#"{"a": 1.00, "b": {"c": [true, {"d": "x"}]}}"#,
            r#"{"a": [1]}"#,
            r#"{"b": {"c": [{"d": "x"}]}}"#,
            r#"{"b": {}}"#,
            r#"{"a": null}"#,
            r#"[{"a": 1}, "a"]"#,
        ];
        let mut told = 0;
        for document in documents {
            for part in documents {
                let candidate = candidate(document, &Wanted::Contains(part));
                if jsonb::contains(document, part) {
                    assert_ne!(candidate, Some(false), "{document} @> {part}");
                } else if candidate == Some(false) {
                    told += 1;
                }
            }
        }
        assert!(told > 60, "{told}");
    }

    #[test]
    fn keys_and_texts_are_found() {
        let document = r#"{"a": "x", "n": 1.50, "t": true, "o": {"k": "y"}, "s": "[z"}"#;
        let key = |key| candidate(document, &Wanted::HasKey(key));
        assert_eq!(key("a"), Some(true));
        assert_eq!(key("k"), Some(false));
        assert_eq!(candidate("[\"a\"]", &Wanted::HasKey("a")), Some(true));
        assert_eq!(candidate("\"a\"", &Wanted::HasKey("a")), Some(true));
        let text = |path: &[&str], text| {
            let path: Vec<String> = path.iter().map(|key| (*key).to_owned()).collect();
            candidate(document, &Wanted::TextAt(&path, text))
        };
        assert_eq!(text(&["a"], "x"), Some(true));
        assert_eq!(text(&["a"], "y"), Some(false));
        assert_eq!(text(&["n"], "1.50"), Some(true));
        assert_eq!(text(&["t"], "true"), Some(true));
        assert_eq!(text(&["o", "k"], "y"), Some(true));
        assert_eq!(text(&["s"], "[z"), None);
        let all = ["a".to_owned(), "k".to_owned()];
        assert_eq!(candidate(document, &Wanted::HasAllKeys(&all)), Some(false));
        assert_eq!(candidate(document, &Wanted::HasAnyKey(&all)), Some(true));
    }

    use proptest::prelude::*;

    /// Few keys and values, so that documents contain each other.
    fn documents() -> impl Strategy<Value = String> {
        let scalar = prop::sample::select(vec![
            "1", "1.0", "-0", "0", "10e-1", "true", "false", "null", "\"a\"", "\"b\"", "\"1\"",
            "\"true\"", "\"\"", "\"k\"", "\"[z\"",
        ]);
        let leaf = scalar.prop_map(str::to_owned);
        leaf.prop_recursive(3, 12, 3, |inner| {
            let keys = prop::sample::select(vec!["a", "b", "k", ""]);
            let object = prop::collection::vec((keys, inner.clone()), 0..3).prop_map(|fields| {
                let fields: Vec<_> =
                    fields.iter().map(|(key, value)| format!("\"{key}\": {value}")).collect();
                format!("{{{}}}", fields.join(", "))
            });
            let array = prop::collection::vec(inner, 0..3)
                .prop_map(|items| format!("[{}]", items.join(", ")));
            prop_oneof![object, array]
        })
        .prop_map(|text| jsonb::normalize(&text).unwrap())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4000))]
        #[test]
        fn no_document_that_matches_is_left_out(
            document in documents(),
            part in documents(),
            key in prop::sample::select(vec!["a", "b", "k", "", "1", "true", "[z"]),
            path in prop::collection::vec(prop::sample::select(vec!["a", "b", "k", ""]), 1..3),
        ) {
            let check = |matches: bool, wanted: Wanted<'_>, what: &str| {
                let found = candidate(&document, &wanted);
                prop_assert!(!matches || found != Some(false), "{document} {what} {part} {key}");
                Ok(())
            };
            check(jsonb::contains(&document, &part), Wanted::Contains(&part), "@>")?;
            check(jsonb::contains(&document, &document), Wanted::Contains(&document), "@>")?;
            check(jsonb::exists(&document, key), Wanted::HasKey(key), "?")?;
            let keys = [key.to_owned(), path[0].to_owned()];
            check(jsonb::exists_any(&document, &keys), Wanted::HasAnyKey(&keys), "?|")?;
            check(jsonb::exists_all(&document, &keys), Wanted::HasAllKeys(&keys), "?&")?;
            let path: Vec<String> = path.into_iter().map(str::to_owned).collect();
            let at = path.iter().try_fold(&document[..], |at, key| {
                (jsonb::type_of(at) == "object").then(|| jsonb::get(at, key)).flatten()
            });
            if let Some(text) = at.and_then(jsonb::as_text) {
                check(true, Wanted::TextAt(&path, &text), "->>")?;
            }
        }
    }
}
