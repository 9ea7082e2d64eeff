//! Bits of a worker's log that turned while it was down: the worker starts, the shards whose records
//! they were refuse with file and offset, and everything else goes on.

use std::path::{Path, PathBuf};

use satsuma_tests::cluster::Layout;
use satsuma_tests::wire::Fields;

/// Files of the logs below a directory.
fn logs(directory: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(directory).expect("a directory").flatten() {
        let path = entry.path();
        if path.is_dir() {
            logs(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "wal") {
            found.push(path);
        }
    }
}

/// Flips a bit wherever a log has these bytes, and answers with what will be told of it.
fn damage(directory: &Path, needle: &str) -> Vec<String> {
    let (mut files, mut told) = (Vec::new(), Vec::new());
    logs(directory, &mut files);
    for path in files {
        let mut bytes = std::fs::read(&path).expect("a file of the log");
        let windows = bytes.windows(needle.len()).enumerate();
        let found = windows.filter(|(_, window)| *window == needle.as_bytes());
        let places: Vec<usize> = found.map(|(at, _)| at).collect();
        if !places.is_empty() {
            places.into_iter().for_each(|at| bytes[at] ^= 4);
            std::fs::write(&path, bytes).expect("a file of the log");
            told.push(format!("{} is damaged at byte", path.display()));
        }
    }
    assert!(!told.is_empty(), "no log has {needle}");
    told
}

/// That a statement is refused for the damage.
fn check_refused(error: &Fields, told: &[String]) {
    assert_eq!(error.code(), "XX001", "{}", error.message());
    let names = |told: &String| error.message().contains(told);
    assert!(told.iter().any(names), "{}", error.message());
}

#[test]
fn a_bit_that_turned_in_the_log_costs_one_shard() {
    let mut cluster = Layout::processes(1, 2).start();
    cluster.client().must(
        "SET citus.shard_count = 8;
         CREATE TABLE t (id bigint PRIMARY KEY, v text);
         SELECT create_distributed_table('t', 'id');
         CREATE TABLE u (id bigint PRIMARY KEY, v text);
         SELECT create_distributed_table('u', 'id', colocate_with => 'none');",
    );
    let mut client = cluster.client();
    for id in 1..=40 {
        client.must(&format!("INSERT INTO t VALUES ({id}, 'needle {id} of t')"));
        client.must(&format!("INSERT INTO u VALUES ({id}, 'needle {id} of u')"));
    }
    drop(client);
    cluster.kill_all();
    let told = damage(cluster.directory(), "needle 17 of t");
    for _ in 0..2 {
        cluster.start_all();
        let mut client = cluster.client();
        let mut refused = 0;
        for id in 1..=40 {
            let answer =
                client.query(&format!("SELECT v FROM t WHERE id = {id}")).expect("a reply");
            match answer.error() {
                Some(error) => {
                    check_refused(error, &told);
                    refused += 1;
                }
                None => {
                    let value = format!("needle {id} of t");
                    assert_eq!(answer.rows()[0][0].as_deref(), Some(&value[..]));
                }
            }
        }
        assert!((1..20).contains(&refused), "{refused} of 40 rows");
        for sql in [
            "SELECT count(*) FROM t",
            "UPDATE t SET v = 'other' WHERE id = 17",
            "DELETE FROM t WHERE id = 17",
        ] {
            let answer = client.query(sql).expect("a reply");
            let error = answer.error().unwrap_or_else(|| panic!("{sql} was answered"));
            assert_eq!(error.code(), "XX001", "{sql}: {}", error.message());
        }
        let count = client.value("SELECT count(*) FROM u").expect("another table");
        assert_eq!(count.as_deref(), Some("40"));
        drop(client);
        cluster.stop_all();
    }
    cluster.start_all();
    let mut client = cluster.client();
    client.must("DROP TABLE t");
    client.must(
        "SET citus.shard_count = 8;
         CREATE TABLE t (id bigint PRIMARY KEY, v text);
         SELECT create_distributed_table('t', 'id');
         INSERT INTO t SELECT g, 'x' FROM generate_series(1, 40) g;",
    );
    drop(client);
    cluster.stop_all();
    cluster.start_all();
    let count = cluster.client().value("SELECT count(*) FROM t").expect("a whole table");
    assert_eq!(count.as_deref(), Some("40"));
}

#[test]
fn a_table_whose_shards_were_made_by_lost_records_is_dropped_and_made_again() {
    let make = "SET citus.shard_count = 4;
         CREATE TABLE made_and_lost (id bigint PRIMARY KEY, v text);
         SELECT create_distributed_table('made_and_lost', 'id', colocate_with => 'none');
         INSERT INTO made_and_lost SELECT g, 'x' FROM generate_series(1, 40) g;";
    let mut cluster = Layout::processes(1, 2).start();
    cluster.client().must(make);
    cluster.client().must(
        "SET citus.shard_count = 4;
         CREATE TABLE u (id bigint PRIMARY KEY, v text);
         SELECT create_distributed_table('u', 'id', colocate_with => 'none');
         INSERT INTO u SELECT g, 'x' FROM generate_series(1, 40) g;",
    );
    cluster.kill_all();
    // A worker that had the table while it was not distributed has stored what it made since.
    let told = damage(cluster.directory(), "made_and_lost");
    for _ in 0..2 {
        cluster.start_all();
        let mut client = cluster.client();
        let mut refused = 0;
        for id in 1..=40 {
            let query = format!("SELECT v FROM made_and_lost WHERE id = {id}");
            if let Some(error) = client.query(&query).expect("a reply").error() {
                check_refused(error, &told);
                refused += 1;
            }
        }
        assert!((1..40).contains(&refused), "{refused} of 40 rows");
        for sql in [
            "SELECT count(*) FROM made_and_lost",
            "UPDATE made_and_lost SET v = 'other'",
            "TRUNCATE made_and_lost",
        ] {
            let answer = client.query(sql).expect("a reply");
            let error = answer.error().unwrap_or_else(|| panic!("{sql} was answered"));
            assert_eq!(error.code(), "XX001", "{sql}: {}", error.message());
        }
        let count = client.value("SELECT count(*) FROM u").expect("another table");
        assert_eq!(count.as_deref(), Some("40"));
        drop(client);
        cluster.stop_all();
    }
    cluster.start_all();
    cluster.client().must("BEGIN; DROP TABLE made_and_lost; ROLLBACK");
    cluster.client().must("DROP TABLE made_and_lost");
    cluster.client().must(make);
    for _ in 0..2 {
        cluster.stop_all();
        cluster.start_all();
        let count = cluster.client().value("SELECT count(*) FROM made_and_lost");
        assert_eq!(count.expect("a whole table").as_deref(), Some("40"));
    }
}
