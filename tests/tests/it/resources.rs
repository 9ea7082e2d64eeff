//! Queries that want more than there is: memory, time, rows that nobody reads.

use std::time::{Duration, Instant};

use satsuma_tests::cluster::{Cluster, Layout, free_port};
use satsuma_tests::http::get;

/// Tables whose join is far larger than the memory of a node.
fn cluster_with_large_tables(limit: &str) -> Cluster {
    let cluster = cluster_with_memory(limit);
    make_large_tables(&cluster, 200_000);
    cluster
}

fn cluster_with_memory(limit: &str) -> Cluster {
    let mut layout = Layout::up();
    layout.flags = vec!["--memory-limit".into(), limit.into()];
    layout.start()
}

/// Rows of about 420 bytes.
fn make_large_tables(cluster: &Cluster, rows: u32) {
    let mut client = cluster.client();
    client.must(
        "CREATE TABLE big_a (k int NOT NULL, v int, filler text);
         CREATE TABLE big_b (k int NOT NULL, v int, filler text);
         SELECT create_distributed_table('big_a', 'k', colocate_with => 'none', shard_count => 4);
         SELECT create_distributed_table('big_b', 'k', colocate_with => 'none', shard_count => 4)",
    );
    for table in ["big_a", "big_b"] {
        client.must(&format!(
            "INSERT INTO {table} SELECT g, g, repeat('x', 400) || g FROM generate_series(1, {rows}) g"
        ));
    }
    client.must("ANALYZE");
}

/// What a query adds to the memory of the one process, in bytes, and the last row of its answer.
fn growth(cluster: &mut Cluster, sql: &str) -> (u64, String) {
    let mut client = cluster.client();
    let (before, _) = cluster.processes()[0].memory();
    let rows = client.must(sql).rows().to_vec();
    let (_, most) = cluster.processes()[0].memory();
    let text = rows.last().into_iter().flatten().map(|value| value.as_deref().unwrap_or("NULL"));
    (most.saturating_sub(before), text.collect::<Vec<_>>().join("|"))
}

/// A few bytes of SQL ask for very much in one value.
#[test]
fn single_values_have_bounds_too() {
    let mut cluster = cluster_with_memory("64MB");
    let mut client = cluster.client();
    let refused = [
        ("repeat('x', 2000000000)", "54000"),
        ("repeat('x', 40000000)", "53200"),
        ("lpad('', 40000000, 'ab')", "53200"),
        ("format('%40000000s', 'x')", "53200"),
        ("replace(repeat('a', 10000), 'a', repeat('b', 10000))", "53200"),
        ("array_length(array_fill(repeat('x', 100000), ARRAY[1000]), 1)", "53200"),
    ];
    for (value, expected) in refused {
        for sql in [format!("SELECT {value}"), format!("SELECT {value} FROM pg_class LIMIT 1")] {
            let answer = client.query(&sql).expect("the session goes on");
            let state = answer.error().map(|error| error.code().to_owned());
            assert_eq!(state.as_deref(), Some(expected), "{sql}");
        }
    }
    // Values that are small by themselves.
    let many = "(SELECT repeat('z', 1000000 + i) AS x FROM generate_series(1, 2000) i) q";
    for sql in [
        format!("SELECT count(*) FROM (SELECT DISTINCT x FROM {many}) d"),
        format!("SELECT array_length(array_agg(x), 1) FROM {many}"),
        format!("SELECT sum(length(x)) FROM {many}"),
        "SELECT sum(length(i || repeat('b', 100000))) FROM generate_series(1, 20000) i".into(),
        "SELECT sum(length(x)) FROM (SELECT string_agg(i::text, ',') OVER (ORDER BY i) AS x
         FROM generate_series(1, 20000) i) q"
            .into(),
    ] {
        let answer = client.query(&sql).expect("the session goes on");
        let state = answer.error().map(|error| error.code().to_owned());
        assert_eq!(state.as_deref(), Some("53200"), "{sql}");
    }
    // What is allowed is computed where queries run, and not as a constant of the plan.
    let length = "SELECT length(upper(repeat('ab', 1000000)))";
    assert_eq!(client.value(length).expect("an answer").as_deref(), Some("2000000"));
    let (_, most) = cluster.processes()[0].memory();
    assert!(most < 512 << 20, "{most} bytes");
}

/// Three nodes of 16 MB in one process, and two tables of 135 MB. Beside what is counted there are
/// batches on their way, a few at each of the places that a row passes; they do not become more
/// with the rows.
#[test]
fn joins_and_sorts_ten_times_larger_than_memory_answer_within_it() {
    const ROWS: u64 = 320_000;
    const MOST: u64 = 128 << 20;
    let mut cluster = cluster_with_memory("16MB");
    make_large_tables(&cluster, ROWS as u32);
    let joined = |on: &str| {
        format!(
            "SELECT count(*), sum(length(big_a.filler)) + sum(length(big_b.filler)) \
             FROM big_a JOIN big_b ON {on} WHERE big_a.filler >= big_b.filler"
        )
    };
    let sizes = cluster.client().value("SELECT 2 * sum(length(filler)) FROM big_a").unwrap();
    let both = format!("{ROWS}|{}", sizes.unwrap_or_default());
    // What is read once stays where it was read.
    growth(&mut cluster, "SELECT sum(length(filler)) FROM big_b");
    for (what, sql, expected) in [
        ("both sides moved", joined("big_a.v = big_b.v"), both.clone()),
        ("one side moved", joined("big_a.k = big_b.v"), both.clone()),
        // Thousands of rows are expected of `big_b`, and copied to every worker: all of them are.
        (
            "copied by mistake",
            joined("big_a.v = big_b.v AND big_b.v * 2 / 2 = big_b.v AND big_b.k + 1 > big_b.v"),
            both,
        ),
        (
            "sort",
            format!("SELECT v FROM big_a ORDER BY filler COLLATE \"C\" DESC OFFSET {}", ROWS - 1),
            "1".into(),
        ),
        (
            "groups",
            "SELECT count(*), sum(n) FROM (SELECT filler, max(v) AS n FROM big_a GROUP BY filler) q"
                .into(),
            format!("{ROWS}|{}", ROWS * (ROWS + 1) / 2),
        ),
    ] {
        let started = Instant::now();
        let (grown, answer) = growth(&mut cluster, &sql);
        println!("{what}: {} MB more, {:?}", grown >> 20, started.elapsed());
        assert_eq!(answer, expected, "{what}");
        assert!(grown < MOST, "{what} takes {grown} bytes");
    }
    let mut client = cluster.client();
    let mut explained = |sql: &str| {
        let plan = client.must(&format!("EXPLAIN (ANALYZE, COSTS OFF) {sql}"));
        plan.rows().iter().flatten().flatten().cloned().collect::<Vec<_>>().join("\n")
    };
    // What went to disk at a worker, and what went over the network.
    let plan = explained("SELECT count(*) FROM (SELECT DISTINCT k, filler FROM big_a) q");
    assert!(plan.contains("Disk Usage: "), "{plan}");
    let plan = explained(&joined("big_a.v = big_b.v"));
    for what in ["Tuple data received from nodes: ", "Tuple data sent to nodes: "] {
        let most = plan.lines().filter_map(|line| line.trim().strip_prefix(what));
        let megabytes = most.filter_map(|rest| rest.strip_suffix(" MB")?.parse::<u64>().ok());
        let least = (400 * ROWS) >> 20;
        assert!(megabytes.max().is_some_and(|megabytes| megabytes >= least), "{what}{plan}");
    }
    // The nodes are none the worse for it.
    let count = cluster.client().value("SELECT count(*) FROM big_a").unwrap();
    assert_eq!(count, Some(ROWS.to_string()));
}

/// A list of so many numbers would take all memory there is.
#[test]
fn a_series_is_made_as_it_is_read() {
    const MOST: u64 = 32 << 20;
    let mut cluster = Layout::up().start();
    growth(&mut cluster, "SELECT count(*) FROM generate_series(1, 1000) g");
    let first = "SELECT max(g) FROM (SELECT g FROM generate_series(1, 1000000000000) g LIMIT 5) q";
    let numbered =
        "SELECT count(*), max(o) FROM generate_series(1, 3000000) WITH ORDINALITY s (g, o)";
    for (sql, expected) in [(first, "5"), (numbered, "3000000|3000000")] {
        let (grown, answer) = growth(&mut cluster, sql);
        println!("{} MB more: {sql}", grown >> 20);
        assert_eq!(answer, expected, "{sql}");
        assert!(grown < MOST, "{sql} takes {grown} bytes");
    }
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

/// Fragments at work at the workers with these metrics.
fn running(ports: &[u16]) -> u64 {
    let count = |port: &u16| {
        let (_, metrics) = get(*port, "/metrics").expect("metrics");
        let line = metrics.lines().find(|line| line.starts_with("satsuma_running_fragments "));
        let count = line.and_then(|line| line.split_whitespace().nth(1)?.parse::<f64>().ok());
        count.expect("a count") as u64
    };
    ports.iter().map(count).sum()
}

/// The aim is 100 ms in a release build on a machine of its own; the figures are printed.
#[test]
fn a_cancelled_query_leaves_its_workers_at_once() {
    const TOO_LATE: Duration = Duration::from_secs(5);
    let mut cluster = Layout::processes(1, 2).start();
    let ports = ["worker-1", "worker-2"].map(|name| {
        let (port, worker) = (free_port(), cluster.process(name));
        worker.terminate();
        worker.add_argument(&format!("--metrics-listen=127.0.0.1:{port}"));
        worker.start().unwrap_or_else(|error| panic!("{error}"));
        port
    });
    make_large_tables(&cluster, 200_000);
    let pairs = "big_a a JOIN big_b b ON a.k = b.v";
    for (what, sql) in [
        ("nested loop", "SELECT count(*) FROM big_a a JOIN big_b b ON a.v <> b.v".to_owned()),
        ("hash join", "SELECT count(*) FROM big_a a JOIN big_b b ON a.v % 8 = b.v % 8".to_owned()),
        (
            "sort",
            format!("SELECT a.v FROM {pairs}, generate_series(1, 500) g ORDER BY a.filler, g"),
        ),
        (
            "window",
            format!(
                "SELECT sum(n) FROM (SELECT rank() OVER (PARTITION BY a.k ORDER BY g) AS n \
                 FROM {pairs}, generate_series(1, 500) g) q"
            ),
        ),
        (
            "grouping",
            format!("SELECT count(DISTINCT a.filler || g) FROM {pairs}, generate_series(1, 500) g"),
        ),
    ] {
        let (mut client, mut other) = (cluster.client(), cluster.client());
        let pid = client.value("SELECT pg_backend_pid()").unwrap().unwrap();
        let query = std::thread::spawn(move || client.query(&sql));
        while running(&ports) == 0 {
            assert!(!query.is_finished(), "{what} ended: {:?}", query.join().unwrap());
        }
        std::thread::sleep(Duration::from_secs(1));
        assert!(running(&ports) > 0, "{what} ended too soon");
        let started = Instant::now();
        other.must(&format!("SELECT pg_cancel_backend({pid})"));
        let answer = query.join().expect("the thread").expect("an answer");
        let answered = started.elapsed();
        while running(&ports) > 0 && started.elapsed() < TOO_LATE {}
        let left = started.elapsed();
        println!("{what}: answered after {answered:?}, workers left after {left:?}");
        assert_eq!(answer.error().map(|error| error.code()), Some("57014"), "{what}");
        assert!(left < TOO_LATE, "{what} goes on");
    }
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
