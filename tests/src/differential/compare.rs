//! What counts as the same answer: columns with names and types, rows, command tags, SQLSTATE
//! and message of errors and notices, and the transaction status. Rows are compared in order
//! only where the statement asks for one.

use std::fmt::Write;

use super::Record;
use crate::wire::{Answer, Fields, Outcome, Row};

/// How the answers differ, or `None`.
pub fn difference(record: &Record, expected: &Answer, got: &Answer) -> Option<String> {
    let ordered = record.is_ordered();
    let same_text = record.message_differs.is_none();
    let expected = printed(expected, ordered, same_text);
    let got = printed(got, ordered, same_text);
    if expected == got {
        return None;
    }
    let mut text = String::new();
    for line in &expected {
        let sign = if got.contains(line) { "  " } else { "- " };
        let _ = writeln!(text, "{sign}{line}");
    }
    for line in got.iter().filter(|line| !expected.contains(line)) {
        let _ = writeln!(text, "+ {line}");
    }
    if expected.iter().all(|line| got.contains(line)) && expected.len() == got.len() {
        text.push_str("  (the same lines in another order)\n");
    }
    Some(shortened(&text))
}

/// Oids below are PostgreSQL's own.
const FIRST_OWN_OID: u32 = 16_384;

/// An answer as lines that are equal exactly when the answers are.
fn printed(answer: &Answer, ordered: bool, with_messages: bool) -> Vec<String> {
    let mut lines = Vec::new();
    for outcome in &answer.outcomes {
        match outcome {
            Outcome::Rows { columns, rows, tag } => {
                for column in columns {
                    let (name, typmod) = (&column.name, column.typmod);
                    // Every database numbers its own types.
                    let ty = match column.type_oid {
                        FIRST_OWN_OID.. => "of its own".to_owned(),
                        oid => oid.to_string(),
                    };
                    lines.push(format!("column {name:?} type {ty} typmod {typmod}"));
                }
                let mut rows: Vec<String> = rows.iter().map(printed_row).collect();
                if !ordered {
                    rows.sort();
                }
                lines.append(&mut rows);
                lines.push(format!("tag {tag}"));
            }
            Outcome::Command { tag } => lines.push(format!("tag {tag}")),
            Outcome::CopyOut { data, tag } => {
                let mut copied: Vec<String> =
                    data.split_terminator('\n').map(|line| format!("copied {line:?}")).collect();
                if !ordered {
                    copied.sort();
                }
                lines.append(&mut copied);
                lines.push(format!("tag {tag}"));
            }
            Outcome::Error(fields) => lines.push(printed_fields("error", fields, with_messages)),
            Outcome::Empty => lines.push("empty query".into()),
        }
    }
    for notice in &answer.notices {
        lines.push(printed_fields("notice", notice, with_messages));
    }
    lines.push(format!("transaction status {}", answer.status));
    lines
}

fn printed_row(row: &Row) -> String {
    let values: Vec<String> = row
        .iter()
        .map(|value| match value {
            None => "NULL".into(),
            Some(text) => format!("{text:?}"),
        })
        .collect();
    format!("({})", values.join(", "))
}

fn printed_fields(kind: &str, fields: &Fields, with_message: bool) -> String {
    let severity = fields.get('S');
    match with_message {
        true => format!("{kind} {severity} {} {}", fields.code(), fields.message()),
        false => format!("{kind} {severity} {}", fields.code()),
    }
}

/// The first lines of a long difference.
fn shortened(text: &str) -> String {
    const LINES: usize = 24;
    let total = text.lines().count();
    let mut short: String = text.lines().take(LINES).map(|line| format!("{line}\n")).collect();
    if total > LINES {
        let _ = writeln!(short, "  ... and {} more lines", total - LINES);
    }
    short
}
