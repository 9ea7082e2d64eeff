//! TPC-H's queries, answered as by PostgreSQL 15 however the tables are spread.

use std::fmt::Write;
use std::time::Instant;

use satsuma_tests::cluster::Layout as Nodes;
use satsuma_tests::differential::{Record, difference};
use satsuma_tests::oracle::Oracle;
use satsuma_tests::tpch::{self, Layout};

const SCALE: f64 = 0.01;

fn answers_as_postgresql(test: &str, layout: Layout) {
    let Some(oracle) = Oracle::shared(test) else { return };
    let cluster = Nodes::up().start();
    let scale = std::env::var("SATSUMA_TPCH_SCALE").ok().and_then(|scale| scale.parse().ok());
    let data = tpch::data(scale.unwrap_or(SCALE));
    let mut postgres = oracle.database().client().expect("PostgreSQL");
    let mut satsuma = cluster.client();
    postgres.must(tpch::SCHEMA);
    satsuma.must(tpch::SCHEMA);
    for statement in layout.statements() {
        satsuma.must(&statement);
    }
    tpch::load(&mut postgres, &data);
    tpch::load(&mut satsuma, &data);
    postgres.must("ANALYZE");
    let mut problems = String::new();
    for (number, sql) in tpch::queries() {
        let record = Record { name: format!("Q{number}"), sql: sql.into(), ..Record::default() };
        let expected = postgres.query(&record.sql).expect("PostgreSQL");
        let started = Instant::now();
        let got = satsuma.query(&record.sql);
        let elapsed_ms = started.elapsed().as_millis();
        println!("Q{number}: {elapsed_ms} ms");
        let problem = match got {
            // Modifiers of computed columns are for `tests/differential` to compare.
            Ok(got) => difference(&record, &expected.without_modifiers(), &got.without_modifiers()),
            Err(error) => {
                satsuma = cluster.client();
                Some(error.to_string())
            }
        };
        if let Some(problem) = problem {
            let _ = writeln!(problems, "Q{number} [{}]\n{problem}", layout.name());
        }
    }
    assert!(problems.is_empty(), "{problems}");
}

#[test]
fn with_orders_and_reference_tables() {
    answers_as_postgresql("with_orders_and_reference_tables", Layout::OrdersAndReference);
}

#[test]
fn with_tables_by_their_keys() {
    answers_as_postgresql("with_tables_by_their_keys", Layout::ByKeys);
}

#[test]
fn with_nothing_colocated() {
    answers_as_postgresql("with_nothing_colocated", Layout::NothingColocated);
}
