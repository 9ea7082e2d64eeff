//! The two documents that Satsuma exists for, typed into psql: every statement, and the same
//! output as PostgreSQL 15.

use std::path::Path;

use satsuma_tests::cluster::{Address, Cluster, Layout};
use satsuma_tests::data::{self, SMALL};
use satsuma_tests::oracle::Oracle;
use satsuma_tests::psql::{self, Output};
use satsuma_tests::skip::skip;
use satsuma_tests::tests_path;

const LAB: [&str; 4] =
    ["lab_2_schema.sql", "lab_3_distribute.sql", "lab_4_reference.sql", "lab_5_per_tenant.sql"];

/// A loaded oracle and the directory of the CSV files.
struct Reference {
    _oracle: std::sync::Arc<Oracle>,
    address: Address,
    data: tempfile::TempDir,
}

impl Reference {
    fn prepare(test: &str) -> Option<Self> {
        if !psql::is_installed() {
            skip(test, "psql is not installed");
            return None;
        }
        let oracle = Oracle::shared(test)?;
        let data = tempfile::tempdir().expect("a directory");
        data::generate(data.path(), SMALL);
        Some(Self { address: oracle.database(), _oracle: oracle, data })
    }

    /// Runs a script with psql on both; the output must be the same. What differs is noted, so
    /// that one statement does not hide all that follow.
    fn compare(&self, cluster: &Cluster, script: &str, problems: &mut Vec<String>) -> Output {
        let expected = run(&self.address, self.data.path(), script);
        assert!(!expected.stderr.contains("ERROR"), "PostgreSQL: {}", expected.stderr);
        let got = run(&cluster.address(), self.data.path(), script);
        if let Some(problem) = psql::difference(&expected, &got) {
            problems.push(format!("{script}: not as PostgreSQL (-)\n{problem}"));
        } else if got.stderr.contains("ERROR") {
            problems.push(format!("{script}:\n{}", got.stderr));
        }
        got
    }
}

fn run(address: &Address, directory: &Path, script: &str) -> Output {
    psql::run_file(address, directory, &tests_path("scripts").join(script))
}

#[test]
fn the_lab_runs_on_up() {
    the_lab("the_lab_runs_on_up", Layout::up());
}

#[test]
fn the_lab_runs_on_separate_processes() {
    the_lab("the_lab_runs_on_separate_processes", Layout::processes(1, 2));
}

fn the_lab(test: &str, layout: Layout) {
    let Some(reference) = Reference::prepare(test) else { return };
    let mut cluster = layout.start();
    let mut problems = Vec::new();
    for script in LAB.into_iter().chain(["lab_queries.sql"]) {
        reference.compare(&cluster, script, &mut problems);
    }
    let mut client = cluster.client();
    client.must("CREATE TABLE ticket (id bigserial PRIMARY KEY, note text)");
    client.must("INSERT INTO ticket (note) SELECT 'before' FROM generate_series(1, 5)");
    drop(client);

    cluster.stop_all();
    cluster.start_all();
    reference.compare(&cluster, "lab_queries.sql", &mut problems);

    cluster.kill_all();
    cluster.start_all();
    reference.compare(&cluster, "lab_queries.sql", &mut problems);
    // Sequences go on above what they gave out before the crash.
    let ticket = "INSERT INTO ticket (note) VALUES ('after') RETURNING id > 5";
    let above = cluster.client().value(ticket).expect("an insert after a crash");
    assert_eq!(above.as_deref(), Some("t"));
    the_metadata_is_citus(&cluster, reference.data.path());
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

/// Exercise 6: what Citus 13.2 says of the same tables (reference/citus-13.2/lab.txt).
fn the_metadata_is_citus(cluster: &Cluster, data: &Path) {
    let output = run(&cluster.address(), data, "lab_6_metadata.sql");
    assert!(!output.stderr.contains("ERROR"), "{}", output.stderr);
    let shards = &output.blocks()["exercise 6 2"];
    for line in [
        " companies    |  102008 | t            | -2147483648   | -2013265921",
        " companies    |  102014 | t            | -1342177280   | -1207959553",
        " companies    |  102039 | t            | 2013265920    | 2147483647",
        " campaigns    |  102040 | t            | -2147483648   | -2013265921",
    ] {
        assert!(shards.iter().any(|shard| shard == line), "{line:?} in {shards:#?}");
    }
    assert!(shards.iter().any(|line| line == "(161 rows)"), "{shards:#?}");
    let explain = output.blocks()["exercise 6 8"].join("\n");
    for text in [
        "Custom Scan (Citus Adaptive)",
        "Task Count: 32",
        "Tasks Shown: One of 32",
        "Node: host=",
        "clicks_1021",
    ] {
        assert!(explain.contains(text), "{text:?} in\n{explain}");
    }
    let mut client = cluster.client();
    for (query, answer) in [
        ("SELECT count(*) FROM pg_dist_partition", "6"),
        ("SELECT count(*) FROM pg_dist_partition WHERE partmethod = 'h' AND colocationid = 1", "5"),
        (
            "SELECT concat(partmethod, repmodel) FROM pg_dist_partition WHERE logicalrelid = 'geo_ips'::regclass",
            "nt",
        ),
        // 5 tables of 32 shards, and one reference shard on each of two workers.
        ("SELECT count(*) FROM pg_dist_placement WHERE shardstate = 1 AND shardlength = 0", "162"),
        ("SELECT count(DISTINCT nodeport) FROM citus_shards", "2"),
        ("SELECT get_shard_id_for_distribution_column('companies', 5)", "102014"),
        ("SELECT worker_hash(5::bigint)", "-1330264708"),
    ] {
        let value = client.value(query).unwrap_or_else(|error| panic!("{query}: {error}"));
        assert_eq!(value.as_deref(), Some(answer), "{query}");
    }
}

#[test]
fn the_colocation_document_runs_on_up() {
    colocation("the_colocation_document_runs_on_up", Layout::up());
}

#[test]
fn the_colocation_document_runs_on_separate_processes() {
    colocation("the_colocation_document_runs_on_separate_processes", Layout::processes(1, 2));
}

fn colocation(test: &str, layout: Layout) {
    let Some(reference) = Reference::prepare(test) else { return };
    let cluster = layout.start();
    let mut problems = Vec::new();
    let output = reference.compare(&cluster, "colocation.sql", &mut problems);
    assert!(problems.is_empty(), "{}", problems.join("\n"));
    // What Citus tells when a table with rows is distributed.
    assert!(output.stderr.contains("Copying data from local table..."), "{}", output.stderr);
    let rows = &output.blocks()["the query on co-located tables"];
    assert!(rows.len() > 4, "tenant 6 has visits in the past week: {rows:?}");
}
