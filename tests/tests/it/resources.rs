//! Queries that want more than there is: memory, time, rows that nobody reads.

use std::time::{Duration, Instant};

use satsuma_tests::cluster::{Cluster, Layout};

/// Tables whose join is far larger than the memory of a node.
fn cluster_with_large_tables(limit: &str) -> Cluster {
    let mut layout = Layout::up();
    layout.flags = vec!["--memory-limit".into(), limit.into()];
    let cluster = layout.start();
    let mut client = cluster.client();
    client.must(
        "CREATE TABLE big_a (k int NOT NULL, v int, filler text);
         CREATE TABLE big_b (k int NOT NULL, v int, filler text);
         SELECT create_distributed_table('big_a', 'k', colocate_with => 'none', shard_count => 4);
         SELECT create_distributed_table('big_b', 'k', colocate_with => 'none', shard_count => 4)",
    );
    for table in ["big_a", "big_b"] {
        client.must(&format!(
            "INSERT INTO {table} SELECT g, g, repeat('x', 400) || g FROM generate_series(1, 200000) g"
        ));
    }
    client.must("ANALYZE");
    cluster
}

#[test]
#[ignore = "open: with 16 MB a node runs out (53200) before its join is on disk"]
fn a_join_ten_times_larger_than_memory_answers() {
    // 2 x 200000 rows of about 420 bytes: 168 MB.
    let cluster = cluster_with_large_tables("16MB");
    let mut client = cluster.client();
    for join in ["big_a.v = big_b.v", "big_a.k = big_b.v"] {
        let sql = format!(
            "SELECT count(*), sum(length(big_a.filler) + length(big_b.filler)) FROM big_a JOIN big_b \
             ON {join} WHERE big_a.filler >= big_b.filler"
        );
        let rows = client.must(&sql).rows().to_vec();
        assert_eq!(rows[0][0].as_deref(), Some("200000"), "{join}");
    }
    // The node is none the worse for it.
    assert_eq!(client.value("SELECT count(*) FROM big_a").unwrap().as_deref(), Some("200000"));
}

#[test]
fn what_does_not_fit_is_53200_and_the_node_goes_on() {
    let cluster = cluster_with_large_tables("16MB");
    let mut client = cluster.client();
    let answer = client.query("SELECT array_agg(filler ORDER BY v) FROM big_a").unwrap();
    if let Some(error) = answer.error() {
        assert_eq!(error.code(), "53200", "{}", error.message());
    }
    assert_eq!(client.value("SELECT count(*) FROM big_b").unwrap().as_deref(), Some("200000"));
}

#[test]
fn a_timeout_stops_joins_that_would_never_end() {
    let cluster = cluster_with_large_tables("256MB");
    let mut client = cluster.client();
    client.must("SET statement_timeout = '300ms'");
    for sql in [
        "SELECT count(*) FROM big_a a JOIN big_b b ON a.v + b.v > 5 AND a.filler <> b.filler",
        "SELECT count(*) FROM big_a a JOIN big_a b ON a.v <> b.v + 1",
        "SELECT count(*) FROM generate_series(1, 100000) a, generate_series(1, 100000) b",
    ] {
        let started = Instant::now();
        let answer = client.query(sql).unwrap();
        let elapsed = started.elapsed();
        assert_eq!(answer.error().map(|error| error.code()), Some("57014"), "{sql}");
        assert!(elapsed < Duration::from_secs(5), "{sql} stopped after {elapsed:?}");
    }
    // The threads are free again.
    client.must("SET statement_timeout = '60s'");
    let started = Instant::now();
    client.must("SELECT count(*) FROM big_a");
    assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
}

#[test]
fn a_limit_ends_the_reading() {
    let cluster = cluster_with_large_tables("256MB");
    let mut client = cluster.client();
    // Nobody could read all rows of this.
    let sql = "SELECT a.v FROM big_a a JOIN big_b b ON a.v <> b.v + 1 LIMIT 5";
    let started = Instant::now();
    assert_eq!(client.must(sql).rows().len(), 5);
    assert!(started.elapsed() < Duration::from_secs(20), "{:?}", started.elapsed());
}

/// Functions are called for all rows of a batch at once.
#[test]
fn heavy_functions_keep_nobody_waiting_and_end_in_time() {
    let cluster = Layout::up().start();
    cluster.client().must(
        "CREATE TABLE numbers (k int PRIMARY KEY);
         SELECT create_distributed_table('numbers', 'k');
         INSERT INTO numbers SELECT generate_series(1, 100000)",
    );
    let heavy = [
        "SELECT sum(exp(g::numeric)) FROM generate_series(1, 100000) g",
        "SELECT sum(exp(k::numeric)) FROM numbers",
        "SELECT max(factorial(30000 + g % 2)) FROM generate_series(1, 1000) g",
        "SELECT count(md5(repeat(g::text, 1000000))) FROM generate_series(1, 100000) g",
        "UPDATE numbers SET k = k WHERE exp(k::numeric) < 0",
    ];
    std::thread::scope(|scope| {
        let running = heavy.map(|sql| {
            let mut client = cluster.client();
            client.must("SET statement_timeout = '3s'");
            scope.spawn(move || {
                let started = Instant::now();
                let answer = client.query(sql).expect("an answer");
                let code = answer.error().map(|error| error.code().to_owned());
                (sql, code, started.elapsed())
            })
        });
        while running.iter().any(|running| !running.is_finished()) {
            let started = Instant::now();
            let mut client = cluster.client();
            let count = client.value("SELECT count(*) FROM numbers").expect("a count");
            assert_eq!(count.as_deref(), Some("100000"));
            assert!(started.elapsed() < Duration::from_secs(10), "{:?}", started.elapsed());
        }
        for running in running {
            let (sql, code, took) = running.join().expect("no panic");
            assert_eq!(code.as_deref(), Some("57014"), "{sql}");
            assert!(took < Duration::from_secs(20), "{sql}: {took:?}");
        }
    });
}
