use satsuma_common::{NumericMod, Oid, PgType};

use super::{Style, TableScope, World, condition};
use crate::parse;

/// What was written, then what PostgreSQL 15 prints of it, plain and pretty.
const CONDITIONS: &str = include_str!("conditions.txt");

struct Moods;

impl World for Moods {
    fn user_type(&self, _: Option<&str>, name: &str) -> Option<PgType> {
        (name == "mood").then_some(PgType::Enum(Oid(20000)))
    }

    fn type_name(&self, _: Oid) -> Option<String> {
        Some("mood".into())
    }
}

fn columns() -> Vec<(&'static str, PgType)> {
    let array = |ty| PgType::Array(Box::new(ty));
    vec![
        ("id", PgType::Int8),
        ("price", PgType::Numeric(Some(NumericMod { precision: 10, scale: 2 }))),
        ("qty", PgType::Int4),
        ("name", PgType::Varchar(Some(20))),
        ("note", PgType::Text),
        ("c", PgType::Bpchar(Some(5))),
        ("d", PgType::Date),
        ("ts", PgType::Timestamp),
        ("tz", PgType::Timestamptz),
        ("data", PgType::Jsonb),
        ("j", PgType::Json),
        ("flag", PgType::Bool),
        ("f", PgType::Float8),
        ("r", PgType::Float4),
        ("si", PgType::Int2),
        ("u", PgType::Uuid),
        ("ip", PgType::Inet),
        ("p", PgType::Point),
        ("arr", array(PgType::Int4)),
        ("tags", array(PgType::Text)),
        ("m", PgType::Enum(Oid(20000))),
        ("iv", PgType::Interval),
    ]
}

fn shown(text: &str, pretty: bool) -> Option<String> {
    let (expr, _) = parse::parse_expression(text).ok()?;
    let columns = columns();
    let columns: Vec<_> = columns.iter().map(|(name, ty)| (*name, ty)).collect();
    condition(&expr, &TableScope { columns: &columns }, &Moods, Style { pretty, indent: true })
}

/// As PostgreSQL prints them; printed again, they stay as they are.
#[test]
fn conditions_read_as_in_postgresql() {
    let lines: Vec<&str> = CONDITIONS.lines().collect();
    let mut wrong = Vec::new();
    for case in lines.chunks(3) {
        let [written, plain, pretty] = case else { panic!("{case:?}") };
        for (expected, is_pretty) in [(plain.trim_start(), false), (pretty.trim_start(), true)] {
            let printed = shown(written, is_pretty);
            if printed.as_deref() != Some(expected) {
                wrong.push(format!("{written}\n  {printed:?}\n  {expected:?}"));
            }
            // A cast of an array is one of its elements when it is read again, there as here.
            let casts_array = expected.contains("]::text[]") || expected.contains("])::text[]");
            let again = shown(expected, is_pretty);
            if !casts_array && again.as_deref() != Some(expected) {
                wrong.push(format!("again {expected}\n  {again:?}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_case_has_lines_of_its_own() {
    assert_eq!(
        shown("case when qty > 0 then flag end", false).as_deref(),
        Some("\nCASE\n    WHEN (qty > 0) THEN flag\n    ELSE NULL::boolean\nEND")
    );
}

#[test]
fn what_is_not_understood_is_left_alone() {
    for text in ["no_such > 1", "no_such(qty)", "qty = (SELECT 1)"] {
        assert_eq!(shown(text, false), None, "{text}");
    }
}
