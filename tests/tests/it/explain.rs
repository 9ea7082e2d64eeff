//! Plans as EXPLAIN shows them, one of each kind, against `tests/explain/plans.txt`.
//!
//! A section of that file is a statement, a line of dashes, and the plan; statements without a
//! plan prepare. Ports and shards are numbers that change, and stand there as `N`. With
//! `SATSUMA_BLESS=1` the file is written anew from what the plans are.

use std::fmt::Write;

use satsuma_tests::cluster::Layout;
use satsuma_tests::tests_path;
use satsuma_tests::wire::Client;

const DASHES: &str = "----";

#[test]
fn plans_are_explained_as_recorded() {
    let path = tests_path("explain/plans.txt");
    let recorded = std::fs::read_to_string(&path).expect("the recorded plans");
    let cluster = Layout::up().start();
    let mut client = cluster.client();
    let mut now = String::new();
    for section in recorded.split("\n\n").map(str::trim).filter(|section| !section.is_empty()) {
        let (statement, plan) = match section.split_once(&format!("\n{DASHES}")) {
            Some((statement, plan)) => (statement, Some(plan)),
            None => (section, None),
        };
        let _ = writeln!(now, "{statement}");
        let answer = answer(&mut client, statement);
        if plan.is_some() {
            let _ = write!(now, "{DASHES}\n{answer}");
        }
        now.push('\n');
    }
    if std::env::var("SATSUMA_BLESS").is_ok_and(|value| value == "1") {
        std::fs::write(&path, &now).expect("the plans are written");
        return;
    }
    if now.trim() != recorded.trim() {
        let differing = now
            .lines()
            .zip(recorded.lines())
            .find(|(now, recorded)| now != recorded)
            .unwrap_or_default();
        panic!("plans changed (SATSUMA_BLESS=1 records them):\n{differing:?}\n{now}");
    }
}

fn answer(client: &mut Client, statement: &str) -> String {
    let sql: String =
        statement.lines().filter(|line| !line.starts_with("--")).collect::<Vec<_>>().join("\n");
    let answer = client.must(&sql);
    let lines = answer.rows().iter().filter_map(|row| row.first().cloned().flatten());
    lines.fold(String::new(), |mut text, line| {
        let _ = writeln!(text, "{}", without_numbers(&line));
        text
    })
}

/// Ports and the numbers of shards as `N`.
fn without_numbers(line: &str) -> String {
    let mut text = String::new();
    let mut rest = line;
    while let Some(at) = rest.find("port=").map(|at| at + 5).or_else(|| shard_number(rest)) {
        text.push_str(&rest[..at]);
        rest = rest[at..].trim_start_matches(|c: char| c.is_ascii_digit());
        text.push('N');
    }
    text + rest
}

/// Where the number of a shard starts, behind its table's name.
fn shard_number(text: &str) -> Option<usize> {
    let found = text
        .char_indices()
        .filter(|(_, c)| *c == '_')
        .find(|(at, _)| text[at + 1..].chars().take_while(char::is_ascii_digit).count() >= 6);
    found.map(|(at, _)| at + 1)
}
