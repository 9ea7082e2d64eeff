//! Bits of a worker's log that turned while it was down: the worker starts, the shards whose records
//! they were refuse with file and offset, and everything else goes on.

use std::path::{Path, PathBuf};

use satsuma_tests::cluster::Layout;
use satsuma_tests::wire::{Client, Fields};

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

/// Makes a table of its own, over so many shards.
fn make(table: &str, shards: u32) -> String {
    format!(
        "SET citus.shard_count = {shards};
         CREATE TABLE {table} (id bigint PRIMARY KEY, v text);
         SELECT create_distributed_table('{table}', 'id', colocate_with => 'none');"
    )
}

/// The same with forty rows.
fn make_filled(table: &str, shards: u32) -> String {
    let make = make(table, shards);
    format!("{make} INSERT INTO {table} SELECT g, 'x' FROM generate_series(1, 40) g;")
}

/// How many of a table's forty rows are refused; the others are as they were.
fn refused_rows(
    client: &mut Client,
    table: &str,
    told: &[String],
    value: impl Fn(i64) -> String,
) -> usize {
    let mut refused = 0;
    for id in 1..=40 {
        let query = format!("SELECT v FROM {table} WHERE id = {id}");
        let answer = client.query(&query).expect("a reply");
        match answer.error() {
            Some(error) => {
                check_refused(error, told);
                refused += 1;
            }
            None => assert_eq!(answer.rows()[0][0].as_deref(), Some(&value(id)[..])),
        }
    }
    refused
}

fn check_all_refused(client: &mut Client, statements: &[String]) {
    for sql in statements {
        let answer = client.query(sql).expect("a reply");
        let error = answer.error().unwrap_or_else(|| panic!("{sql} was answered"));
        assert_eq!(error.code(), "XX001", "{sql}: {}", error.message());
    }
}

fn check_whole(client: &mut Client, table: &str) {
    let count = client.value(&format!("SELECT count(*) FROM {table}")).expect("a whole table");
    assert_eq!(count.as_deref(), Some("40"));
}

#[test]
fn a_bit_that_turned_in_the_log_costs_one_shard() {
    let mut cluster = Layout::processes(1, 2).start();
    let mut client = cluster.client();
    // What is made may let a worker store what it has a moment later: the damage comes to one of
    // the last rows.
    client.must(&(make("t", 8) + &make("u", 8)));
    for table in ["t", "u"] {
        for id in 1..=40 {
            client.must(&format!("INSERT INTO {table} VALUES ({id}, 'needle {id} of {table}')"));
        }
    }
    drop(client);
    cluster.kill_all();
    let told = damage(cluster.directory(), "needle 37 of t");
    let statements = [
        "SELECT count(*) FROM t",
        "UPDATE t SET v = 'other' WHERE id = 37",
        "DELETE FROM t WHERE id = 37",
    ];
    for _ in 0..2 {
        cluster.start_all();
        let mut client = cluster.client();
        let refused = refused_rows(&mut client, "t", &told, |id| format!("needle {id} of t"));
        assert!((1..20).contains(&refused), "{refused} of 40 rows");
        check_all_refused(&mut client, &statements.map(str::to_owned));
        check_whole(&mut client, "u");
        drop(client);
        cluster.stop_all();
    }
    cluster.start_all();
    let mut client = cluster.client();
    client.must("DROP TABLE t");
    client.must(&make_filled("t", 8));
    drop(client);
    cluster.stop_all();
    cluster.start_all();
    check_whole(&mut cluster.client(), "t");
}

#[test]
fn a_table_whose_shards_were_made_by_lost_records_is_dropped_and_made_again() {
    let table = "made_and_lost";
    let mut cluster = Layout::processes(1, 2).start();
    cluster.client().must(&make_filled(table, 4));
    cluster.client().must(&make_filled("u", 4));
    cluster.kill_all();
    // A worker that had the table while it was not distributed has stored what it made since.
    let told = damage(cluster.directory(), table);
    let statements = [
        format!("SELECT count(*) FROM {table}"),
        format!("UPDATE {table} SET v = 'other'"),
        format!("TRUNCATE {table}"),
    ];
    for _ in 0..2 {
        cluster.start_all();
        let mut client = cluster.client();
        let refused = refused_rows(&mut client, table, &told, |_| "x".to_owned());
        assert!((1..=40).contains(&refused), "{refused} of 40 rows");
        check_all_refused(&mut client, &statements);
        check_whole(&mut client, "u");
        drop(client);
        cluster.stop_all();
    }
    cluster.start_all();
    cluster.client().must(&format!("BEGIN; DROP TABLE {table}; ROLLBACK"));
    cluster.client().must(&format!("DROP TABLE {table}"));
    cluster.client().must(&make_filled(table, 4));
    for _ in 0..2 {
        cluster.stop_all();
        cluster.start_all();
        check_whole(&mut cluster.client(), table);
    }
}
