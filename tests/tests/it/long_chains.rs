//! Expressions of hundreds and thousands of operators, as programs write them.

use std::fmt::Write;
use std::time::{Duration, Instant};

use satsuma_tests::cluster::{Cluster, Layout};
use satsuma_tests::differential::{Record, difference};
use satsuma_tests::oracle::Oracle;
use satsuma_tests::wire::Client;

const TABLE: &str = "CREATE TABLE chained (k int, a int, b int, c bigint, s text)";
const ROWS: &str = "INSERT INTO chained SELECT i, nullif(i % 7, 3), i % 5, i % 3 + 1, 'x' || i \
                    FROM generate_series(1, 60) i";

/// `length` terms with what stands between them.
fn chain(
    length: usize,
    term: impl Fn(usize) -> String,
    between: impl Fn(usize) -> String,
) -> String {
    let mut chain = term(0);
    for at in 1..length {
        let _ = write!(chain, " {} {}", between(at), term(at));
    }
    chain
}

fn statements(length: usize) -> Vec<String> {
    let fails = |at: usize| format!("b <> 0 AND k / b > {}", 20 + at % 50);
    let quotient = |at: usize| format!("k / c <> {}", 100 + at % 50);
    let rare = |at: usize| format!("k / c = {}", 100 + at);
    let always = |text: &'static str| move |_: usize| text.to_owned();
    let either = |at: usize| if at.is_multiple_of(2) { "AND" } else { "OR" }.to_owned();
    let cast = |at: usize| format!("('1' || b)::int > {}", at % 9);
    vec![
        format!("SELECT count(*) FROM chained WHERE {}", chain(length, quotient, always("AND"))),
        format!("SELECT count(*) FROM chained WHERE {}", chain(length, rare, always("OR"))),
        format!("SELECT count(*) FROM chained WHERE {}", chain(length, cast, either)),
        format!("SELECT count(*) FROM chained WHERE NOT ({})", chain(length, cast, either)),
        format!("SELECT count(*) FROM chained WHERE {}", chain(length / 2, fails, always("OR"))),
        format!("SELECT k, {} FROM chained ORDER BY k", chain(length, cast, either)),
        format!(
            "SELECT k, {} FROM chained ORDER BY k",
            chain(length, |at| format!("k / nullif(a, {}) < 50", at % 4), always("AND"))
        ),
        format!(
            "SELECT k, {} FROM chained ORDER BY k",
            chain(
                length,
                |at| ["a", "b", "c"][at % 3].to_owned(),
                |at| ["+", "-", "+", "- 2 *"][at % 4].to_owned()
            )
        ),
        format!(
            "SELECT k FROM chained WHERE {} > 50 ORDER BY k",
            chain(length, always("a"), always("+"))
        ),
        format!(
            "SELECT sum({}), k % 2 FROM chained GROUP BY 2 ORDER BY 2",
            chain(length, always("c"), always("+"))
        ),
        format!("SELECT k, {} FROM chained ORDER BY k", chain(length, always("s"), always("||"))),
        format!(
            "SELECT k, {} FROM chained ORDER BY k",
            chain(length, always("1.5"), always("+ k +"))
        ),
        format!(
            "UPDATE chained SET b = b + 0 * ({}) WHERE {}",
            chain(length, always("a"), always("+")),
            chain(length, quotient, always("AND"))
        ),
    ]
}

/// A client of each server, with the table filled.
fn both(oracle: &Oracle, cluster: &Cluster) -> (Client, Client) {
    let mut postgres = oracle.database().client().expect("PostgreSQL");
    let mut satsuma = cluster.client();
    postgres.must(TABLE);
    satsuma.must(TABLE);
    satsuma.must("SELECT create_distributed_table('chained', 'k')");
    postgres.must(ROWS);
    satsuma.must(ROWS);
    (postgres, satsuma)
}

#[test]
fn long_chains_answer_as_postgresql() {
    let Some(oracle) = Oracle::shared("long_chains_answer_as_postgresql") else { return };
    let cluster = Layout::up().start();
    let (mut postgres, mut satsuma) = both(&oracle, &cluster);
    let mut problems = String::new();
    for length in [12, 60, 1_000] {
        for sql in statements(length) {
            let start = Instant::now();
            let (expected, got) = (postgres.query(&sql), satsuma.query(&sql));
            let (expected, got) = (expected.expect("PostgreSQL"), got.expect("Satsuma"));
            let record = Record { sql, ..Record::default() };
            let found =
                difference(&record, &expected.without_modifiers(), &got.without_modifiers());
            let took = start.elapsed();
            let slow = (took > Duration::from_secs(120)).then(|| format!("took {took:?}"));
            if let Some(problem) = found.or(slow) {
                let start: String = record.sql.chars().take(120).collect();
                let _ = writeln!(problems, "{length}: {start} ..\n{problem}");
            }
        }
    }
    assert!(problems.is_empty(), "{problems}");
}

/// Conditions within each other, each of which can fail.
#[test]
fn conditions_nested_by_turns_answer_as_postgresql() {
    let Some(oracle) = Oracle::shared("conditions_nested_by_turns") else { return };
    let cluster = Layout::up().start();
    let (mut postgres, mut satsuma) = both(&oracle, &cluster);
    for depth in [5, 40, 90] {
        let nested = (0..depth).fold("k / c > 5".to_owned(), |inner, at| {
            let (op, not) = (["AND", "OR"][at % 2], ["", "NOT "][at / 2 % 2]);
            format!("{not}({inner} {op} k / nullif(a, {}) > {})", at % 4, at % 11)
        });
        for sql in [
            format!("SELECT k FROM chained WHERE {nested} ORDER BY k"),
            format!("SELECT k, {nested} FROM chained ORDER BY k"),
        ] {
            let (expected, got) = (postgres.query(&sql), satsuma.query(&sql));
            let (expected, got) = (expected.expect("PostgreSQL"), got.expect("Satsuma"));
            let record = Record { sql, ..Record::default() };
            let found = difference(&record, &expected, &got);
            assert!(found.is_none(), "{depth}: {}", found.unwrap_or_default());
        }
    }
}
