//! Plans as EXPLAIN shows them, one of each kind, against `tests/explain/plans.txt`.
//!
//! A section of that file is a statement, a line of dashes, and the plan; statements without a
//! plan prepare. Ports and shards are numbers that change, and stand there as `N`. With
//! `SATSUMA_BLESS=1` the file is written anew from what the plans are.

use std::fmt::Write;

use satsuma_tests::cluster::Layout;
use satsuma_tests::tests_path;
use satsuma_tests::wire::Client;

const DASHES: &str = "----";

#[test]
fn plans_are_explained_as_recorded() {
    let path = tests_path("explain/plans.txt");
    let recorded = std::fs::read_to_string(&path).expect("the recorded plans");
    let cluster = Layout::up().start();
    let mut client = cluster.client();
    let mut now = String::new();
    for section in recorded.split("\n\n").map(str::trim).filter(|section| !section.is_empty()) {
        let (statement, plan) = match section.split_once(&format!("\n{DASHES}")) {
            Some((statement, plan)) => (statement, Some(plan)),
            None => (section, None),
        };
        let _ = writeln!(now, "{statement}");
        let answer = answer(&mut client, statement);
        if plan.is_some() {
            let _ = write!(now, "{DASHES}\n{answer}");
        }
        now.push('\n');
    }
    if std::env::var("SATSUMA_BLESS").is_ok_and(|value| value == "1") {
        std::fs::write(&path, &now).expect("the plans are written");
        return;
    }
    if now.trim() != recorded.trim() {
        let differing = now
            .lines()
            .zip(recorded.lines())
            .find(|(now, recorded)| now != recorded)
            .unwrap_or_default();
        panic!("plans changed (SATSUMA_BLESS=1 records them):\n{differing:?}\n{now}");
    }
}

fn answer(client: &mut Client, statement: &str) -> String {
    let sql: String =
        statement.lines().filter(|line| !line.starts_with("--")).collect::<Vec<_>>().join("\n");
    let answer = client.must(&sql);
    let lines = answer.rows().iter().filter_map(|row| row.first().cloned().flatten());
    lines.fold(String::new(), |mut text, line| {
        let _ = writeln!(text, "{}", without_numbers(&line));
        text
    })
}

/// Ports and the numbers of shards as `N`.
fn without_numbers(line: &str) -> String {
    let mut text = String::new();
    let mut rest = line;
    let port = |text: &str| text.find("port=").map(|at| at + 5);
    while let Some(at) = port(rest).into_iter().chain(shard_number(rest)).min() {
        text.push_str(&rest[..at]);
        rest = rest[at..].trim_start_matches(|c: char| c.is_ascii_digit());
        text.push('N');
    }
    text + rest
}

/// Where the number of a shard starts, behind its table's name.
fn shard_number(text: &str) -> Option<usize> {
    let found = text
        .char_indices()
        .filter(|(_, c)| *c == '_')
        .find(|(at, _)| text[at + 1..].chars().take_while(char::is_ascii_digit).count() >= 6);
    found.map(|(at, _)| at + 1)
}

/// The lines of a plan, without what differs from run to run.
fn plan(client: &mut Client, sql: &str) -> Vec<String> {
    let answer = client.must(sql);
    let lines = answer.rows().iter().filter_map(|row| row.first().cloned().flatten());
    lines.map(|line| masked(&without_numbers(&line))).collect()
}

/// Times and sizes as `N`.
fn masked(line: &str) -> String {
    let mut text = String::new();
    let mut rest = line;
    while let Some(at) = rest.find(|c: char| c.is_ascii_digit()) {
        let number = &rest[at..];
        let end = number.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(number.len());
        let (digits, after) = number.split_at(end);
        let digits = digits.trim_end_matches('.');
        let size = ["kB", " kB", " bytes", " ms"].iter().any(|unit| after.starts_with(unit));
        let is_measured = size || rest[..at].ends_with("time=") || text.ends_with("time=N..");
        text.push_str(&rest[..at]);
        match number.split_once(' ') {
            Some((times, _)) if rest[..at].ends_with("time=") => {
                text.push_str("N..N");
                rest = &number[times.len()..];
            }
            _ => {
                text.push_str(if is_measured { "N" } else { digits });
                rest = &number[digits.len()..];
            }
        }
    }
    text + rest
}

/// Of a table of 3000 rows and one that is not co-located with it.
fn with_tables(cluster: &satsuma_tests::cluster::Cluster) -> Client {
    let mut client = cluster.client();
    client.must(
        "CREATE TABLE ma (k int NOT NULL, v int);
         CREATE TABLE mb (k int NOT NULL, v int);
         SELECT create_distributed_table('ma', 'k', colocate_with => 'none', shard_count => 2);
         SELECT create_distributed_table('mb', 'k', colocate_with => 'none', shard_count => 2);
         INSERT INTO ma SELECT g, g % 10 FROM generate_series(1, 3000) g;
         INSERT INTO mb SELECT g, g FROM generate_series(1, 3000) g;
         ANALYZE",
    );
    client
}

#[test]
fn analyze_tells_what_was_done() {
    let cluster = Layout::up().start();
    let mut client = with_tables(&cluster);
    let sql = "SELECT v, count(*) FROM ma WHERE k > 0 GROUP BY v ORDER BY v DESC";
    let expected = "\
Sort (actual time=N..N rows=10 loops=1)
  Sort Key: v DESC
  Sort Method: quicksort  Memory: NkB
  ->  HashAggregate (actual time=N..N rows=10 loops=1)
        Group Key: v
        Batches: 1  Memory Usage: NkB
        ->  Custom Scan (Citus Adaptive) (actual time=N..N rows=20 loops=1)
              Task Count: 2
              Tuple data received from nodes: N bytes
              Tasks Shown: One of 2
              ->  Task
                    Tuple data received from node: N bytes
                    Node: host=localhost port=N dbname=satsuma
                    ->  HashAggregate (actual time=N..N rows=10 loops=1)
                          Group Key: v
                          Batches: 1  Memory Usage: NkB
                          ->  Seq Scan on ma_N ma (actual time=N..N rows=R loops=1)
                                Filter: (k > 0)
                        Planning Time: N ms
                        Execution Time: N ms
Planning Time: N ms
Execution Time: N ms";
    let lines = plan(&mut client, &format!("EXPLAIN ANALYZE {sql}"));
    let rows = |line: &String| {
        let (before, after) = line.split_once(" ma_N ma (actual time=N..N rows=")?;
        let (rows, after) = after.split_once(' ')?;
        // A shard of two has about half of them.
        let is_half = rows.parse().is_ok_and(|rows: u32| (1000..2000).contains(&rows));
        is_half.then(|| format!("{before} ma_N ma (actual time=N..N rows=R {after}"))
    };
    let lines: Vec<_> = lines.iter().map(|line| rows(line).unwrap_or(line.clone())).collect();
    assert_eq!(lines.join("\n"), expected);

    // Tasks with inputs, and the inputs' own, each once.
    let sql = "SELECT count(*) FROM ma JOIN mb ON ma.k = mb.v";
    let text = plan(&mut client, &format!("SET satsuma.exchange_cost = 0; EXPLAIN ANALYZE {sql}"))
        .join("\n");
    assert_eq!(text.matches("Planning Time: N ms\n").count(), 3, "{text}");
    assert_eq!(text.matches("->  Task\n").count(), 2, "{text}");
    for part in ["Tuple data sent to nodes: ", "Hash Cond: ", "intermediate_result (actual time=N"]
    {
        assert!(text.contains(part), "{part}\n{text}");
    }

    // It is run once, and counts what is changed.
    let update = "EXPLAIN (ANALYZE, TIMING OFF, SUMMARY OFF) UPDATE ma SET v = v + 1 WHERE k <= 20";
    assert_eq!(plan(&mut client, update)[0], "Update on ma (actual rows=20 loops=1)");
    let changed = client.value("SELECT sum(v) FROM ma").unwrap();
    assert_eq!(changed.as_deref(), Some("13520"));
    let json = client.value("EXPLAIN (ANALYZE, FORMAT JSON) SELECT count(*) FROM ma").unwrap();
    let json = json.unwrap_or_default();
    let task = "{0,Plan,Plans,0,Distributed Query,Job,Tasks,0,Remote Plan,0,0";
    for (path, what) in [
        (format!("{task},Plan,Actual Rows}}"), "1"),
        (format!("{task},Plan,Node Type}}"), "Aggregate"),
    ] {
        let value = client.value(&format!("SELECT $j${json}$j$::jsonb #>> '{path}'")).unwrap();
        assert_eq!(value.as_deref(), Some(what), "{json}");
    }
    for path in [format!("{task},Execution Time}}"), "{0,Planning Time}".into()] {
        let sql = format!("SELECT ($j${json}$j$::jsonb #>> '{path}')::float8 > 0");
        assert_eq!(client.value(&sql).unwrap().as_deref(), Some("t"), "{json}");
    }
    // Errors of a run are errors, and nobody waits for rows that are not wanted.
    let divided = client.query("EXPLAIN ANALYZE SELECT 1 / (k - 7) FROM ma").unwrap();
    assert_eq!(divided.error().map(|error| error.code()), Some("22012"));
    let first = plan(&mut client, "EXPLAIN (ANALYZE, SUMMARY OFF) SELECT k FROM ma LIMIT 3");
    assert_eq!(first[0], "Limit (actual time=N..N rows=3 loops=1)");
}

#[test]
fn analyze_tells_what_went_to_disk() {
    let mut layout = Layout::up();
    layout.flags = vec!["--memory-limit".into(), "16MB".into()];
    let cluster = layout.start();
    let mut client = cluster.client();
    client.must(
        "CREATE TABLE wide (k int NOT NULL, filler text);
         SELECT create_distributed_table('wide', 'k', shard_count => 2);
         INSERT INTO wide SELECT g, repeat('x', 400) || g FROM generate_series(1, 60000) g",
    );
    let window = "SELECT max(n) FROM (SELECT count(*) OVER (PARTITION BY k ORDER BY filler) AS n \
                  FROM wide) q";
    for (sql, what) in [
        (window, "Sort Method: external merge  Disk: NkB"),
        ("SELECT count(*) FROM (SELECT DISTINCT filler, k FROM wide) q", "Disk Usage: NkB"),
    ] {
        let text = plan(&mut client, &format!("EXPLAIN (ANALYZE, COSTS OFF) {sql}")).join("\n");
        assert!(text.contains(what), "{what}\n{text}");
        assert!(text.contains("Tuple data on disk at nodes: "), "{text}");
    }
}

/// A plan is told of or not, but what waits for it does not wait for ever.
#[test]
fn a_worker_that_dies_fails_analyze() {
    let mut cluster = Layout::processes(1, 2).start();
    let mut client = with_tables(&cluster);
    let asked = std::thread::spawn(move || {
        client
            .query("EXPLAIN ANALYZE SELECT sum(v + g) FROM ma, generate_series(1, 10000000) g")
            .expect("an answer")
    });
    std::thread::sleep(std::time::Duration::from_secs(2));
    cluster.workers[1].kill();
    let answer = asked.join().expect("an answer");
    let state = answer.error().map(|error| error.code().to_owned());
    assert!(state.as_deref().is_some_and(|state| state.starts_with("08")), "{state:?}");
}
