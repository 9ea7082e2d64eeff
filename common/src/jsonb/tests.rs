use super::*;

#[test]
fn normal_form() {
    let cases = [
        (r#" {"bb":1,"a" : [ 1,2 ,{}], "c":"x"} "#, r#"{"a": [1, 2, {}], "c": "x", "bb": 1}"#),
        (r#"{"a":1,"b":2,"a":3}"#, r#"{"a": 3, "b": 2}"#),
        ("[1e3, -0, 1.50, -0.0, 1E-2]", "[1000, 0, 1.50, 0.0, 0.01]"),
        (r#""é\u00e9\/\ud83d\ude00\u0001""#, "\"éé/😀\\u0001\""),
        ("null", "null"),
    ];
    for (input, expected) in cases {
        assert_eq!(normalize(input).unwrap(), expected);
        assert_eq!(normalize(expected).unwrap(), expected);
    }
}

#[test]
fn complaints_name_the_token() {
    let detail = |text: &str| match normalize(text).unwrap_err() {
        JsonError::Syntax { detail, .. } => detail,
        other => other.to_string(),
    };
    assert_eq!(detail("bad"), "Token \"bad\" is invalid.");
    assert_eq!(detail(""), "The input string ended unexpectedly.");
    assert_eq!(detail("[1,]"), "Expected JSON value, but found \"]\".");
    assert_eq!(detail("[1 2]"), "Expected \",\" or \"]\", but found \"2\".");
    assert_eq!(detail("{1:2}"), "Expected string or \"}\", but found \"1\".");
    assert_eq!(detail("{\"a\" 1}"), "Expected \":\", but found \"1\".");
    assert_eq!(detail("{\"a\":1,}"), "Expected string, but found \"}\".");
    assert_eq!(detail("1 2"), "Expected end of input, but found \"2\".");
    assert_eq!(detail("01"), "Token \"01\" is invalid.");
    assert_eq!(detail(&"[".repeat(100_000)), "stack depth limit exceeded");
    assert!(validate("\"\\u0000\"").is_ok());
    assert!(matches!(normalize("\"\\u0000\""), Err(JsonError::UnsupportedEscape { .. })));
}

#[test]
fn access() {
    let document = r#"{"a": 1, "b": [10, {"c": "x\"y"}], "n": null}"#;
    assert_eq!(get(document, "a"), Some("1"));
    assert_eq!(get(document, "zz"), None);
    assert_eq!(get_path(document, &["b", "1", "c"]), Some("\"x\\\"y\""));
    assert_eq!(get_path(document, &["b", "-2"]), Some("10"));
    assert_eq!(as_text(get_path(document, &["b", "1", "c"]).unwrap()).unwrap(), "x\"y");
    assert_eq!(as_text("null"), None);
    assert!(exists(document, "n") && !exists(document, "x") && exists("[\"q\"]", "q"));
    assert_eq!(object_keys(document).collect::<Vec<_>>(), ["a", "b", "n"]);
    assert_eq!(get_unsorted(r#"{"b": 1, "a":2 , "\u0062" : 3}"#, "b"), Some("3"));
}

#[test]
fn containment() {
    assert!(contains(r#"{"a": {"b": [1, 2, 3]}, "c": 1}"#, r#"{"a": {"b": [3, 1.0]}}"#));
    assert!(!contains(r#"{"a": {"b": [1]}}"#, r#"{"a": {"b": 1}}"#));
    assert!(contains("[1, 2]", "1"));
    assert!(!contains("1", "[1]"));
    assert!(contains("[[1, 2], 3]", "[[1]]"));
    assert!(contains("{}", "{}") && contains("[1]", "[]"));
}

#[test]
fn edits() {
    assert_eq!(
        concat(r#"{"a": 1}"#, r#"{"bb": 2, "c": 3}"#).unwrap(),
        r#"{"a": 1, "c": 3, "bb": 2}"#
    );
    assert_eq!(concat("[1]", "2").unwrap(), "[1, 2]");
    assert_eq!(delete_key(r#"{"a": 1, "b": 2}"#, "a").unwrap(), r#"{"b": 2}"#);
    assert_eq!(delete_index("[1, 2, 3]", -1).unwrap(), "[1, 2]");
    assert_eq!(set(r#"{"a": [1]}"#, &["a", "0"], "9", true).unwrap(), r#"{"a": [9]}"#);
    assert_eq!(set("{}", &["x"], "1", true).unwrap(), r#"{"x": 1}"#);
    assert_eq!(insert("[1, 2]", &["0"], "7", true).unwrap(), "[1, 7, 2]");
    assert_eq!(delete_path(r#"{"a": {"b": 1}}"#, &["a", "b"]).unwrap(), r#"{"a": {}}"#);
    assert_eq!(strip_nulls(r#"{"a": null, "b": [null]}"#), r#"{"b": [null]}"#);
}

proptest::proptest! {
    #[test]
    fn hostile_text_does_not_panic(text in "[\\[\\]{}\",:\\\\a-z0-9.eE+ué-]{0,40}") {
        if let Ok(normal) = normalize(&text) {
            assert_eq!(normalize(&normal).unwrap(), normal);
            let _ = (hash(&normal), get(&normal, "a"), pretty(&normal));
            assert_eq!(compare(&normal, &normal), std::cmp::Ordering::Equal);
            assert!(contains(&normal, &normal));
        }
        let _ = (get(&text, "a"), element(&text, 0), array_length(&text), contains(&text, &text));
    }
}

/// `operation, arguments, result`, tab separated, newlines as ↵; by PostgreSQL 15.
const ORACLE: &str = include_str!("oracle.golden");

fn path(text: &str) -> Vec<String> {
    use crate::datum::Datum;
    use crate::text::{TextContext, input};
    use crate::types::PgType;
    let ty = PgType::Array(Box::new(PgType::Text));
    let Datum::Array(array) = input(&ty, text, &TextContext::default()).unwrap() else {
        panic!("{text}");
    };
    let step = |value| match value {
        Datum::Text(step) => step,
        other => panic!("{other:?}"),
    };
    array.values.into_iter().map(step).collect()
}

fn apply(operation: &str, a: &[&str]) -> crate::SqlResult<String> {
    let first = normalize(a[0]).unwrap();
    let second = || normalize(a[1]).unwrap();
    let number = || a[1].parse::<i64>().unwrap();
    let part = |value: Option<&str>| value.map_or("NULL".to_owned(), str::to_owned);
    let text =
        |value: Option<&str>| value.and_then(as_text).map_or("NULL".to_owned(), String::from);
    let truth = |value: bool| if value { "t" } else { "f" }.to_owned();
    Ok(match operation {
        "->" => part(get(&first, a[1])),
        "->>" => text(get(&first, a[1])),
        "?" => truth(exists(&first, a[1])),
        "-" => delete_key(&first, a[1])?,
        "->i" => part(element(&first, number())),
        "json->i" => part(array_element(a[0], number())),
        "-i" => delete_index(&first, number())?,
        "#>" => part(get_path(&first, &path(a[1]))),
        "#>>" => text(get_path(&first, &path(a[1]))),
        "#-" => delete_path(&first, &path(a[1]))?,
        "set" => set(&first, &path(a[1]), "{\"new\": 1}", true)?,
        "set0" => set(&first, &path(a[1]), "9", false)?,
        "insert" => insert(&first, &path(a[1]), "\"i\"", false)?,
        "insert1" => insert(&first, &path(a[1]), "\"i\"", true)?,
        "typeof" => type_of(&first).to_owned(),
        "strip" => strip_nulls(&first),
        "pretty" => pretty(&first),
        "hash" => hash(&first).to_string(),
        "@>" => truth(contains(&first, &second())),
        "cmp" => (compare(&first, &second()) as i32).to_string(),
        "||" => concat(&first, &second())?,
        "norm" => first,
        other => panic!("unknown operation {other}"),
    })
}

#[test]
fn operations_are_postgresql_s() {
    let mut wrong = Vec::new();
    for line in ORACLE.lines() {
        let fields: Vec<&str> = line.split('\t').collect();
        let (operation, arguments) = (fields[0], &fields[1..fields.len() - 1]);
        let expected = fields[fields.len() - 1];
        let actual = apply(operation, arguments)
            .unwrap_or_else(|error| format!("ERROR {} {}", error.state(), error.message()))
            .replace('\n', "↵");
        // Of a comparison only the sign tells.
        let sign = (operation == "cmp").then(|| expected.parse::<i32>().unwrap().signum());
        let expected = sign.map_or(expected.to_owned(), |sign| sign.to_string());
        if actual != expected {
            wrong.push(format!("{operation} {arguments:?}\n  is {actual}\n not {expected}"));
        }
    }
    assert!(wrong.is_empty(), "{} differ:\n{}", wrong.len(), wrong.join("\n"));
}
