//! Walking over all keys and scalars of a document.

use std::borrow::Cow;

use super::scan::{Token, Tokens, unquote};

/// A step from a value to one within it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step<'a> {
    Key(Cow<'a, str>),
    /// Some element of an array.
    Element,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scalar<'a> {
    String(Cow<'a, str>),
    Number(&'a str),
    Boolean(bool),
    Null,
}

/// What a walk meets, with the way to it from the root.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Met<'a> {
    /// The last step is a key; its value follows.
    Key,
    Scalar(Scalar<'a>),
}

/// Calls `visit` for each key and each scalar of a valid document, in their order.
pub fn walk<'a>(text: &'a str, mut visit: impl FnMut(&[Step<'a>], Met<'a>)) {
    let mut path: Vec<Step<'a>> = Vec::new();
    // Whether each value that is open is an object, and whether a key comes next in it.
    let mut open: Vec<(bool, bool)> = Vec::new();
    for token in Tokens::new(text) {
        let scalar = match token {
            Token::BeginObject => {
                open.push((true, true));
                continue;
            }
            Token::BeginArray => {
                open.push((false, false));
                path.push(Step::Element);
                continue;
            }
            Token::End => {
                if open.pop().is_some_and(|(is_object, _)| !is_object) {
                    path.pop();
                }
                leave(&mut path, &open);
                continue;
            }
            Token::Comma => {
                if let Some((is_object, key_next)) = open.last_mut() {
                    *key_next = *is_object;
                }
                continue;
            }
            Token::Colon => continue,
            Token::String(quoted) => {
                if let Some((true, key_next)) = open.last_mut()
                    && *key_next
                {
                    *key_next = false;
                    path.push(Step::Key(unquote(quoted)));
                    visit(&path, Met::Key);
                    continue;
                }
                Scalar::String(unquote(quoted))
            }
            Token::Number(digits) => Scalar::Number(digits),
            Token::True => Scalar::Boolean(true),
            Token::False => Scalar::Boolean(false),
            Token::Null => Scalar::Null,
        };
        visit(&path, Met::Scalar(scalar));
        leave(&mut path, &open);
    }
}

/// A value has ended: the step to it was a key where it was in an object.
fn leave(path: &mut Vec<Step<'_>>, open: &[(bool, bool)]) {
    if let Some((true, _)) = open.last() {
        path.pop();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(text: &str) -> Vec<String> {
        let mut all = Vec::new();
        walk(text, |path, met| {
            let path: Vec<_> = path
                .iter()
                .map(|step| match step {
                    Step::Key(key) => key.to_string(),
                    Step::Element => "[]".into(),
                })
                .collect();
            let met = match met {
                Met::Key => String::new(),
                Met::Scalar(scalar) => format!(" = {scalar:?}"),
            };
            all.push(format!("{}{met}", path.join(".")));
        });
        all
    }

    #[test]
    fn every_key_and_scalar_is_met_with_the_way_to_it() {
        assert_eq!(
            told(r#"{"a": {"b": [1, {"c": null}], "d": {}}, "e\"f": "x"}"#),
            [
                "a",
                "a.b",
                "a.b.[] = Number(\"1\")",
                "a.b.[].c",
                "a.b.[].c = Null",
                "a.d",
                "e\"f",
                "e\"f = String(\"x\")",
            ]
        );
        assert_eq!(
            told(r#"[[], ["y", true]]"#),
            ["[].[] = String(\"y\")", "[].[] = Boolean(true)"]
        );
        assert_eq!(told("7"), [" = Number(\"7\")"]);
        assert_eq!(told("{}"), [""; 0]);
    }
}
