//! A bit of a worker's log that turned while it was down: the worker starts, the shard whose record
//! it was refuses with file and offset, and everything else goes on.

use std::path::{Path, PathBuf};

use satsuma_tests::cluster::Layout;

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

/// Flips a bit of the last place where a log has these bytes.
fn damage(directory: &Path, needle: &str) -> PathBuf {
    let mut files = Vec::new();
    logs(directory, &mut files);
    for path in files {
        let mut bytes = std::fs::read(&path).expect("a file of the log");
        let at = bytes.windows(needle.len()).rposition(|window| window == needle.as_bytes());
        if let Some(at) = at {
            bytes[at] ^= 4;
            std::fs::write(&path, bytes).expect("a file of the log");
            return path;
        }
    }
    panic!("no log has {needle}");
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
    let file = damage(cluster.directory(), "needle 17 of t");
    for _ in 0..2 {
        cluster.start_all();
        let mut client = cluster.client();
        let mut refused = 0;
        for id in 1..=40 {
            let answer =
                client.query(&format!("SELECT v FROM t WHERE id = {id}")).expect("a reply");
            match answer.error() {
                Some(error) => {
                    assert_eq!(error.code(), "XX001", "{}", error.message());
                    let told = format!("{} is damaged at byte", file.display());
                    assert!(error.message().contains(&told), "{}", error.message());
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
