//! Random queries over tables of every kind, compared with PostgreSQL 15.
//!
//! The tables are small: every other query is planned as if it cost nothing to exchange rows, so
//! that joins and windows are brought together on the workers, too. How many queries took which
//! way is counted.
//!
//! `SATSUMA_RANDOM_QUERIES` is their number, `SATSUMA_SEED` where they start, and
//! `SATSUMA_RANDOM_QUERY` the only one to run.

use std::fmt::Write;
use std::time::{Duration, Instant};

use satsuma_tests::cluster::{Cluster, Layout};
use satsuma_tests::differential::{Record, difference};
use satsuma_tests::oracle::Oracle;
use satsuma_tests::random_queries::ways::{self, WAYS};
use satsuma_tests::random_queries::{change, numbered, query, setup};
use satsuma_tests::wire::{Answer, Client, Fields, Outcome};

const QUERIES: u64 = 1000;
/// One query of so many is asked for its plan, too.
const EXPLAINED: u64 = 3;
/// Too long, too much memory, too much on disk. What ends so in PostgreSQL is not asked.
const LIMITS: [&str; 4] = ["57014", "53200", "53100", "53400"];
/// PostgreSQL has no FULL JOIN by conditions that are no equality.
const UNSUPPORTED: &str = "0A000";
/// Queries that take longer are told of.
const SLOW: Duration = Duration::from_secs(2);
/// How long PostgreSQL has.
const PATIENCE: &str = "SET statement_timeout = '1s'";

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

/// Clients of both servers, with the tables of a seed.
fn filled(oracle: &Oracle, cluster: &Cluster, seed: u64) -> (Client, Client) {
    let mut postgres = oracle.database().client().expect("PostgreSQL");
    let mut satsuma = cluster.client();
    let (create, spread, insert) = setup(seed);
    postgres.must(&create);
    satsuma.must(&create);
    for statement in spread {
        satsuma.must(statement);
    }
    postgres.must(&insert);
    satsuma.must(&insert);
    postgres.must("ANALYZE");
    postgres.must(PATIENCE);
    satsuma.must("SET statement_timeout = '10s'");
    (postgres, satsuma)
}

/// Whether rows are exchanged by a query of this number whatever they weigh.
fn exchanges(number: u64) -> &'static str {
    match number % 2 {
        0 => "RESET satsuma.exchange_cost",
        _ => "SET satsuma.exchange_cost = 0",
    }
}

/// The answer as it is compared. Modifiers of computed columns are for `tests/differential`. Rows
/// of INTERSECT come from the side that PostgreSQL's statistics say is smaller, and those of UNION
/// ALL in any order where they are equal; equal numbers have different scales there: they are
/// compared by value.
fn comparable(sql: &str, answer: Answer) -> Answer {
    let mut answer = answer.without_modifiers();
    if !sql.contains("INTERSECT") && !sql.contains("UNION") {
        return answer;
    }
    for outcome in &mut answer.outcomes {
        let Outcome::Rows { rows, .. } = outcome else { continue };
        for value in rows.iter_mut().flatten().flatten() {
            let is_number = value.bytes().all(|b| b.is_ascii_digit() || b"-.".contains(&b));
            if is_number && value.contains('.') {
                value.truncate(value.trim_end_matches('0').trim_end_matches('.').len());
            }
        }
    }
    answer
}

/// Counts the ways that the query takes.
fn count_ways(satsuma: &mut Client, sql: &str, counts: &mut [u32; WAYS.len()]) {
    let Ok(plan) = satsuma.query(&format!("EXPLAIN (COSTS OFF) {sql}")) else { return };
    let text = plan.rows().iter().filter_map(|row| row.first()?.as_deref());
    let lines = ways::lines(text);
    for (count, (_, is_taken)) in counts.iter_mut().zip(WAYS) {
        *count += u32::from(is_taken(&lines));
    }
}

/// What PostgreSQL answers when it groups by sorting. A grouping by hash over a window whose run
/// condition names a column of an outer query is kept for all outer rows there, though it is right
/// for the first one only: `(SELECT min(k) FROM (SELECT DISTINCT k, count(*) OVER (ORDER BY k)
/// FROM t) q WHERE count = outer.x)`.
fn without_hashes(postgres: &mut Client, sql: &str) -> Answer {
    postgres.must("SET enable_hashagg = off");
    let answer = postgres.query(sql).expect("PostgreSQL");
    postgres.must("RESET enable_hashagg");
    answer
}

#[test]
fn random_queries_answer_as_postgresql() {
    let Some(oracle) = Oracle::shared("random_queries_answer_as_postgresql") else { return };
    let seed = number("SATSUMA_SEED").unwrap_or(1);
    let only = number("SATSUMA_RANDOM_QUERY");
    let count = number("SATSUMA_RANDOM_QUERIES").unwrap_or(QUERIES);
    println!("SATSUMA_SEED={seed} SATSUMA_RANDOM_QUERIES={count}");
    let cluster = Layout::up().start();
    let (mut postgres, mut satsuma) = filled(&oracle, &cluster, seed);
    let (mut problems, mut wrong, mut asked, mut empty) = (String::new(), 0, 0, 0);
    let (mut too_large, mut explained, mut ways) = (0, 0, [0; WAYS.len()]);
    let numbers = match only {
        Some(number) => number..number + 1,
        None => 0..count,
    };
    for number in numbers {
        let sql = query(&mut numbered(seed, number));
        if only.is_some() {
            let (create, spread, insert) = setup(seed);
            println!("{create}\n{};\n{insert}\n{sql};", spread.join(";\n"));
        }
        let record = Record { sql, ..Record::default() };
        let expected = postgres.query(&record.sql).expect("PostgreSQL");
        // What PostgreSQL refuses shows nothing: only that the generator went too far.
        if expected.error().is_some() {
            if only.is_some() {
                println!("PostgreSQL: {:?}", expected.error());
            }
            continue;
        }
        asked += 1;
        satsuma.must(exchanges(number));
        if only.is_some() || number % EXPLAINED == 0 {
            explained += 1;
            count_ways(&mut satsuma, &record.sql, &mut ways);
        }
        empty += usize::from(expected.rows().is_empty());
        let began = Instant::now();
        let answer = satsuma.query(&record.sql);
        if began.elapsed() >= SLOW {
            println!("query {number} took {:.1} s", began.elapsed().as_secs_f64());
        }
        let problem = match answer {
            // A join that makes billions of pairs is ended by a limit; that is no wrong answer.
            Ok(got) if got.error().is_some_and(|error| LIMITS.contains(&error.code())) => {
                too_large += 1;
                None
            }
            Ok(got) => {
                let sql = record.sql.as_str();
                let got = comparable(sql, got);
                let differs = |expected| difference(&record, &comparable(sql, expected), &got);
                differs(expected).and_then(|_| differs(without_hashes(&mut postgres, sql)))
            }
            Err(error) => {
                satsuma = cluster.client();
                satsuma.must("SET statement_timeout = '10s'");
                Some(error.to_string())
            }
        };
        if let Some(problem) = problem {
            wrong += 1;
            let _ = writeln!(
                problems,
                "SATSUMA_SEED={seed} SATSUMA_RANDOM_QUERY={number}\n{}\n{problem}",
                record.sql
            );
        }
    }
    println!("{asked} asked, {empty} of them without rows, {too_large} too large, {wrong} wrong");
    for (count, (way, _)) in ways.iter().zip(WAYS) {
        println!("{count:>6} {way}");
        assert!(only.is_some() || count * 500 >= explained, "only {count} times {way}");
    }
    assert!(too_large * 100 <= asked, "{too_large} of {asked} met a limit");
    assert!(only.is_some() || asked * 10 > count * 8, "only {asked} queries were good ones");
    assert!(problems.is_empty(), "{wrong} of {asked} differ:\n{problems}");
}

#[test]
fn random_changes_leave_what_postgresql_leaves() {
    let test = "random_changes_leave_what_postgresql_leaves";
    let Some(oracle) = Oracle::shared(test) else { return };
    let seed = number("SATSUMA_SEED").unwrap_or(1);
    let count = number("SATSUMA_RANDOM_QUERIES").unwrap_or(QUERIES) / 3;
    println!("SATSUMA_SEED={seed} SATSUMA_RANDOM_QUERIES={}", count * 3);
    let cluster = Layout::up().start();
    let (mut postgres, mut satsuma) = filled(&oracle, &cluster, seed);
    let mut changed = 0;
    for number in 0..count {
        let (sql, table) = change(&mut numbered(seed, number));
        let expected = postgres.query(&sql).expect("PostgreSQL");
        let is_passed_over =
            |error: &Fields| LIMITS.contains(&error.code()) || error.code() == UNSUPPORTED;
        if expected.error().is_some_and(is_passed_over) {
            continue;
        }
        let got = satsuma.query(&sql).expect("Satsuma");
        let place = format!("SATSUMA_SEED={seed}, change {number}:\n{sql}");
        match (expected.error(), got.error()) {
            (None, None) => {
                let record = Record { sql: sql.clone(), ..Record::default() };
                let problem = difference(&record, &expected, &got);
                assert!(problem.is_none(), "{place}\n{}", problem.unwrap_or_default());
                changed += 1;
            }
            (Some(_), Some(_)) => {}
            (expected, got) => panic!("{place}\nPostgreSQL: {expected:?}\nSatsuma: {got:?}"),
        }
        let look = format!("SELECT * FROM {table} ORDER BY k, v, w, s, n");
        let record = Record { sql: look.clone(), ..Record::default() };
        let (expected, got) = (postgres.must(&look), satsuma.must(&look));
        if let Some(problem) = difference(&record, &expected, &got) {
            panic!("{place}\n{problem}");
        }
    }
    println!("{changed} of {count} changes");
    assert!(changed * 2 > count, "only {changed} changes were good ones");
}
