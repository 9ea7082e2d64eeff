//! SQL/JSON paths: `jsonb_path_query` and its relatives, `@?` and `@@`.
//!
//! ```text
//! '$.items[*] ? (@.price > 10).name'  --parse-->  Path  --eval(document, variables)-->  items
//! ```
//!
//! Not here: `.datetime()`. Without it the functions `jsonb_path_*_tz` answer as those without
//! `_tz` do.

mod eval;
mod parse;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use satsuma_common::{Array, Datum, PgType, SqlError, SqlResult, SqlState, jsonb};

use super::error::unexpected_value;
use super::library::{Builder, Call};
use crate::casts::text::text;
use parse::Path;

/// Parsed paths of this thread; dropped all together when there are too many.
const CACHED: usize = 256;

thread_local! {
    static PARSED: RefCell<BTreeMap<String, Rc<Path>>> = const { RefCell::new(BTreeMap::new()) };
}

fn parsed(path: &str) -> SqlResult<Rc<Path>> {
    if let Some(found) = PARSED.with_borrow(|cache| cache.get(path).cloned()) {
        return Ok(found);
    }
    let parsed = Rc::new(parse::parse(path)?);
    PARSED.with_borrow_mut(|cache| {
        if cache.len() >= CACHED {
            cache.clear();
        }
        cache.insert(path.to_string(), parsed.clone());
    });
    Ok(parsed)
}

/// The items that the path finds; `None` where it fails and is to be silent about it.
fn query(args: &[Datum], silent: bool) -> SqlResult<Option<Vec<String>>> {
    let [document, path, rest @ ..] = args else { return Err(unexpected_value("a path")) };
    let variables = match rest.first() {
        Some(variables) => text(variables)?,
        None => "{}",
    };
    if jsonb::kind(variables) != jsonb::Kind::Object {
        return Err(SqlError::new(
            SqlState::INVALID_PARAMETER_VALUE,
            "\"vars\" argument is not an object",
        )
        .detail("Jsonpath parameters should be encoded as key-value pairs of \"vars\" object."));
    }
    let silent = silent || matches!(rest.get(1), Some(Datum::Bool(true)));
    let path = parsed(text(path)?)?;
    match eval::query(&path, text(document)?, variables) {
        Ok(items) => Ok(Some(items)),
        Err(error) if silent && eval::is_suppressible(&error) => Ok(None),
        Err(error) => Err(error),
    }
}

fn json(value: String) -> Datum {
    Datum::Text(value)
}

fn exists(args: &[Datum], silent: bool) -> SqlResult<Datum> {
    Ok(query(args, silent)?.map_or(Datum::Null, |items| Datum::Bool(!items.is_empty())))
}

/// The single boolean that a predicate gives.
fn matched(args: &[Datum], silent: bool) -> SqlResult<Datum> {
    let Some(items) = query(args, silent)? else { return Ok(Datum::Null) };
    match items.as_slice() {
        [only] if only == "true" => Ok(Datum::Bool(true)),
        [only] if only == "false" => Ok(Datum::Bool(false)),
        [only] if only == "null" => Ok(Datum::Null),
        _ if silent || matches!(args.get(3), Some(Datum::Bool(true))) => Ok(Datum::Null),
        _ => Err(SqlError::new(
            SqlState::SINGLETON_SQL_JSON_ITEM_REQUIRED,
            "single boolean result is expected",
        )),
    }
}

/// Adds a function with its optional parameters `vars` and `silent`.
fn with_options(b: &mut Builder, name: &str, result: &str, body: fn(&[Datum]) -> SqlResult<Datum>) {
    for parameters in ["jsonb,text", "jsonb,text,jsonb", "jsonb,text,jsonb,bool"] {
        b.row(&format!("{name}({parameters}) {result}"), move |args, _: &Call| body(args));
    }
}

pub(crate) fn install(b: &mut Builder) {
    for suffix in ["", "_tz"] {
        let name = |name: &str| format!("jsonb_path_{name}{suffix}");
        with_options(b, &name("exists"), "bool", |args| exists(args, false));
        with_options(b, &name("match"), "bool", |args| matched(args, false));
        with_options(b, &name("query_first"), "jsonb", |args| {
            let first = query(args, false)?.and_then(|items| items.into_iter().next());
            Ok(first.map_or(Datum::Null, json))
        });
        with_options(b, &name("query_array"), "jsonb", |args| {
            Ok(json(jsonb::build_array(query(args, false)?.unwrap_or_default())))
        });
        with_options(b, &format!("{} list", name("query")), "_jsonb", |args| {
            let items = query(args, false)?.unwrap_or_default();
            let values = items.into_iter().map(json).collect();
            Ok(Datum::Array(Array { element: PgType::Jsonb, values }))
        });
    }
}

pub(crate) fn install_operators(b: &mut Builder) {
    b.row("@?(jsonb,text) bool", |args, _| exists(args, true));
    b.row("@@(jsonb,text) bool", |args, _| matched(args, true));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn items(document: &str, path: &str) -> String {
        let args = [Datum::Text(document.into()), Datum::Text(path.into())];
        match query(&args, false) {
            Ok(items) => items.unwrap_or_default().join(" "),
            Err(error) => format!("{}: {}", error.state().as_str(), error.message()),
        }
    }

    #[test]
    fn paths_find_what_postgresql_finds() {
        let document = r#"{"a": [1, 2, {"b": "x"}], "c": {"d": null, "e": 5.5}, "s": "abc"}"#;
        for (path, expected) in [
            ("$.a[*]", r#"1 2 {"b": "x"}"#),
            ("$.a[last]", r#"{"b": "x"}"#),
            ("$.a[0 to 1]", "1 2"),
            ("$.a[*] ? (@ > 1)", "2"),
            ("$.a.b", r#""x""#),
            ("strict $.a.b", "2203A: jsonpath member accessor can only be applied to an object"),
            ("$.c.*", "null 5.5"),
            ("$.nothing", ""),
            ("strict $.nothing", "2203A: JSON object does not contain key \"nothing\""),
            ("$.c.e + 1", "6.5"),
            ("-$.c.e", "-5.5"),
            ("$.a.size()", "3"),
            ("$.a.type()", "\"array\""),
            ("$.s ? (@ starts with \"ab\")", "\"abc\""),
            ("$.s ? (@ like_regex \"^A\" flag \"i\")", "\"abc\""),
            ("$.c.e == 5.5 && exists($.a)", "true"),
            ("$.s > 1", "null"),
            ("($.s > 1) is unknown", "true"),
            ("!($.c.e > 100)", "true"),
            // The array and its element both have it.
            ("$.**.b", r#""x" "x""#),
            ("$.a[*] ? (@.type() == \"number\" && @ < 2)", "1"),
            ("$.c.keyvalue().key", "\"d\" \"e\""),
            ("$.", "42601: syntax error at end of jsonpath input"),
        ] {
            assert_eq!(items(document, path), expected, "{path}");
        }
    }

    #[test]
    fn deep_paths_are_refused() {
        let deep = format!("{}1{}", "(".repeat(100_000), ")".repeat(100_000));
        assert!(items("1", &deep).starts_with("54001"));
    }
}
