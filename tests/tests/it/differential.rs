//! PostgreSQL 15 and Satsuma, statement by statement.

use satsuma_tests::cluster::Layout;
use satsuma_tests::differential::{Placement, Script, assert_same, run};
use satsuma_tests::oracle::Oracle;
use satsuma_tests::tests_path;

fn compare(test: &str, placement: Placement) {
    let Some(oracle) = Oracle::shared(test) else { return };
    let cluster = Layout::up().start();
    let directory = tests_path("differential");
    assert_same(&directory, placement, || oracle.database(), &cluster.address());
}

#[test]
fn local_tables_answer_as_postgresql() {
    compare("local_tables_answer_as_postgresql", Placement::Local);
}

#[test]
fn distributed_tables_answer_as_postgresql() {
    compare("distributed_tables_answer_as_postgresql", Placement::Distributed);
}

#[test]
fn reference_tables_answer_as_postgresql() {
    compare("reference_tables_answer_as_postgresql", Placement::Reference);
}

/// A statement whose answer changes from run to run would blame Satsuma for nothing.
#[test]
fn the_statements_have_one_answer() {
    let Some(oracle) = Oracle::shared("the_statements_have_one_answer") else { return };
    let scripts = Script::read_all(&tests_path("differential")).expect("the scripts parse");
    let mut differences = Vec::new();
    // Roles belong to a whole server: two databases of one cannot both make them.
    for mut script in scripts.into_iter().filter(|script| !script.name.ends_with("privileges")) {
        script.records.retain(|record| record.only.is_none());
        for record in &mut script.records {
            record.differs = None;
            record.differs_placed = None;
        }
        let report = run(&script, Placement::Local, &oracle.database(), &oracle.database());
        differences.extend(report.differences);
    }
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}

/// Joins and changes over tables that are not co-located: the scripts spread them themselves.
#[test]
fn what_crosses_shards_answers_as_postgresql() {
    let Some(oracle) = Oracle::shared("what_crosses_shards_answers_as_postgresql") else { return };
    let cluster = Layout::up().start();
    let directory = tests_path("across_shards");
    assert_same(&directory, Placement::Local, || oracle.database(), &cluster.address());
}
