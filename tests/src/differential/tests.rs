use super::*;
use crate::wire::{Column, Fields, Outcome};

const SCRIPT: &str = "\
Words before the first record are for readers.

-- name: tables
-- tables: t by a, u
CREATE TABLE t (a int);

-- name: load
COPY t FROM STDIN;
-- data
1\tone
\\.
-- end

-- name: known
-- differs: rounding
-- a comment
SELECT 1;
";

fn answer(rows: &[&str], name: &str) -> Answer {
    let column = Column { name: name.into(), type_oid: 23, type_len: 4, typmod: -1, format: 0 };
    let rows = rows.iter().map(|value| vec![Some((*value).to_owned())]).collect();
    let outcome = Outcome::Rows { columns: vec![column], rows, tag: "SELECT 2".into() };
    Answer { outcomes: vec![outcome], notices: Vec::new(), status: 'I' }
}

fn record(sql: &str) -> Record {
    Record { sql: sql.into(), ..Record::default() }
}

#[test]
fn scripts_are_read() {
    let script = Script::parse("example", SCRIPT).expect("it parses");
    let names: Vec<&str> = script.records.iter().map(|record| record.name.as_str()).collect();
    assert_eq!(names, ["tables", "load", "known"]);
    assert_eq!(script.records[0].tables, [("t".into(), Some("a".into())), ("u".into(), None)]);
    assert_eq!(script.records[1].data, "1\tone\n\\.\n");
    assert_eq!(script.records[1].sql, "COPY t FROM STDIN;");
    assert_eq!(script.records[2].differs.as_deref(), Some("rounding"));
    assert!(Script::parse("bad", "-- name: x\n-- differs:\nSELECT 1").is_err());
    assert!(Script::parse("bad", "-- name: no statement\n").is_err());
}

#[test]
fn order_counts_where_it_was_asked_for() {
    assert!(record("SELECT a FROM t\nORDER  BY a").is_ordered());
    assert!(!record("SELECT rank() OVER (ORDER BY a) FROM t").is_ordered());
    assert!(!record("SELECT 'order by'").is_ordered());
    let (up, down) = (answer(&["1", "2"], "a"), answer(&["2", "1"], "a"));
    assert_eq!(difference(&record("SELECT a FROM t"), &up, &down), None);
    assert!(difference(&record("SELECT a FROM t ORDER BY a"), &up, &down).is_some());
}

#[test]
fn names_types_codes_and_counts_are_differences() {
    let base = answer(&["1", "1"], "a");
    let query = record("SELECT a FROM t");
    assert!(difference(&query, &base, &answer(&["1", "1"], "b")).is_some());
    assert!(difference(&query, &base, &answer(&["1"], "a")).is_some());
    let mut other_status = base.clone();
    other_status.status = 'T';
    assert!(difference(&query, &base, &other_status).is_some());
    let error = |code: &str, message: &str| Answer {
        outcomes: vec![Outcome::Error(Fields(
            [('C', code.to_owned()), ('M', message.to_owned())].into(),
        ))],
        notices: Vec::new(),
        status: 'I',
    };
    assert!(difference(&query, &error("23505", "x"), &error("23503", "x")).is_some());
    assert!(difference(&query, &error("23505", "x"), &error("23505", "y")).is_some());
    let tolerant = Record { message_differs: Some("longer".into()), ..query };
    assert_eq!(difference(&tolerant, &error("23505", "x"), &error("23505", "y")), None);
}
