//! Definitions while others read and write, and when the coordinator dies in the middle of one.

use std::time::Duration;

use satsuma_tests::cluster::{Address, Layout};
use satsuma_tests::wire::{Answer, Client};

/// Long enough for a statement on another connection to get to where it waits.
const A_WHILE: Duration = Duration::from_millis(400);

/// A statement on a connection of its own, in the background.
fn meanwhile(address: &Address, sql: &'static str) -> std::thread::JoinHandle<Answer> {
    let mut client = Client::connect(address).expect("a connection");
    let running = std::thread::spawn(move || client.query(sql).expect("an answer"));
    std::thread::sleep(A_WHILE);
    running
}

fn code(answer: &Answer) -> String {
    answer.error().map_or_else(|| "00000".into(), |error| error.code().to_owned())
}

const TABLES: &str = "CREATE TABLE t (a int PRIMARY KEY, b text);
                      SELECT create_distributed_table('t', 'a');
                      INSERT INTO t SELECT i, 'x' FROM generate_series(1, 50) i;";

#[test]
fn a_constraint_holds_for_writers_that_waited() {
    let cluster = Layout::up().start();
    let mut first = cluster.client();
    first.must(TABLES);
    first.must("BEGIN; INSERT INTO t VALUES (99, 'y')");
    let altering = meanwhile(&cluster.address(), "ALTER TABLE t ADD CHECK (a < 100)");
    let late = meanwhile(&cluster.address(), "INSERT INTO t VALUES (500, 'z')");
    first.must("COMMIT");
    assert_eq!(code(&altering.join().expect("no panic")), "00000");
    assert_eq!(code(&late.join().expect("no panic")), "23514");
    assert_eq!(cluster.client().value("SELECT count(*) FROM t").unwrap().as_deref(), Some("51"));
}

#[test]
fn rows_that_came_first_are_checked() {
    let cluster = Layout::up().start();
    let mut first = cluster.client();
    first.must(TABLES);
    first.must("BEGIN; INSERT INTO t VALUES (500, 'y')");
    let altering = meanwhile(&cluster.address(), "ALTER TABLE t ADD CHECK (a < 100)");
    first.must("COMMIT");
    assert_eq!(code(&altering.join().expect("no panic")), "23514");
    cluster.client().must("INSERT INTO t VALUES (501, 'y')");
}

#[test]
fn readers_and_writers_wait_for_a_definition() {
    let cluster = Layout::up().start();
    let mut first = cluster.client();
    first.must(TABLES);
    for (change, end, columns) in [
        ("BEGIN; ALTER TABLE t ADD COLUMN c int DEFAULT 7", "ROLLBACK", 2),
        ("BEGIN; ALTER TABLE t ADD COLUMN c int DEFAULT 7", "COMMIT", 3),
        ("BEGIN; ALTER TABLE t ALTER COLUMN c TYPE text", "ROLLBACK", 3),
        ("BEGIN; ALTER TABLE t ALTER COLUMN c TYPE text", "COMMIT", 3),
    ] {
        first.must(change);
        let reading = meanwhile(&cluster.address(), "SELECT * FROM t WHERE a = 5");
        let writing = meanwhile(&cluster.address(), "UPDATE t SET b = 'w' WHERE a = 6");
        first.must(end);
        let read = reading.join().expect("no panic");
        assert_eq!(read.rows().first().map(Vec::len), Some(columns), "{change} {end}: {read:?}");
        assert_eq!(code(&writing.join().expect("no panic")), "00000", "{change} {end}");
    }
    let row = first.must("SELECT b, c, pg_typeof(c) FROM t WHERE a = 6");
    let values: Vec<_> = row.rows()[0].iter().map(|value| value.as_deref().unwrap()).collect();
    assert_eq!(values, ["w", "7", "text"]);
}

#[test]
fn definitions_at_once_wait_for_each_other() {
    let cluster = Layout::up().start();
    let address = cluster.address();
    let distribute = |table: usize| {
        let address = address.clone();
        std::thread::spawn(move || {
            let mut client = Client::connect(&address).expect("a connection");
            client.must(&format!("CREATE TABLE d{table} (a int PRIMARY KEY)"));
            client.query(&format!("SELECT create_distributed_table('d{table}', 'a')"))
        })
    };
    let all: Vec<_> = (0..6).map(distribute).collect();
    for one in all {
        assert_eq!(code(&one.join().expect("no panic").expect("an answer")), "00000");
    }
    let alter = |number: usize| {
        let address = address.clone();
        std::thread::spawn(move || {
            let mut client = Client::connect(&address).expect("a connection");
            client.query(&format!("ALTER TABLE d0 ADD COLUMN c{number} int"))
        })
    };
    let all: Vec<_> = (0..6).map(alter).collect();
    for one in all {
        assert_eq!(code(&one.join().expect("no panic").expect("an answer")), "00000");
    }
    let columns = "SELECT count(*) FROM information_schema.columns WHERE table_name = 'd0'";
    assert_eq!(cluster.client().value(columns).unwrap().as_deref(), Some("7"));
    cluster.client().must("INSERT INTO d0 VALUES (1, 1, 2, 3, 4, 5, 6)");
}

#[test]
fn a_child_and_its_parent_are_dropped_in_one_message() {
    let cluster = Layout::up().start();
    let mut client = cluster.client();
    client.must(
        "CREATE TABLE parent (a int PRIMARY KEY);
         CREATE TABLE child (a int PRIMARY KEY REFERENCES parent);
         SELECT create_distributed_table('parent', 'a');
         SELECT create_distributed_table('child', 'a');",
    );
    client.must("DROP TABLE child; DROP TABLE parent");
    client.must("CREATE TABLE parent (a int)");
}

#[test]
fn a_table_survives_a_coordinator_that_dies_over_a_definition() {
    let mut cluster = Layout::processes(1, 2).start();
    cluster.client().must(TABLES);
    for change in [
        "ALTER TABLE t ADD COLUMN c int DEFAULT 7",
        "ALTER TABLE t ALTER COLUMN b TYPE int USING 5",
        "ALTER TABLE t DROP CONSTRAINT t_pkey",
    ] {
        let mut open = cluster.client();
        open.must("BEGIN");
        open.must(change);
        let mut processes = cluster.processes();
        let coordinator = processes.iter_mut().find(|process| process.name.contains("coordinator"));
        coordinator.expect("a coordinator").kill();
        cluster.start_all();
        let mut client = cluster.client();
        let sum = "SELECT sum(a) || ' ' || min(b) FROM t";
        assert_eq!(client.value(sum).expect(change).as_deref(), Some("1275 x"), "{change}");
        client.must("UPDATE t SET b = 'x' WHERE a = 3");
        client.must("ALTER TABLE t ADD COLUMN tried int; ALTER TABLE t DROP COLUMN tried");
    }
}

#[test]
fn temporary_tables_go_with_their_session() {
    let mut cluster = Layout::up().start();
    let mut client = cluster.client();
    client.must("CREATE TEMP TABLE brief (a int); INSERT INTO brief VALUES (1)");
    assert!(cluster.client().query("SELECT * FROM brief").unwrap().error().is_some());
    drop(client);
    let left = "SELECT count(*) FROM pg_class WHERE relname = 'brief'";
    let is_gone = |cluster: &satsuma_tests::cluster::Cluster| {
        (0..100).any(|_| {
            std::thread::sleep(Duration::from_millis(100));
            cluster.client().value(left).unwrap().as_deref() == Some("0")
        })
    };
    assert!(is_gone(&cluster), "a temporary table outlives its session");
    cluster.client().must("CREATE TEMP TABLE brief (a int)");
    let mut client = cluster.client();
    client.must("CREATE TEMP TABLE brief (a int)");
    cluster.kill_all();
    cluster.start_all();
    assert!(is_gone(&cluster), "a temporary table outlives the process");
}

#[test]
fn definitions_and_writers_at_once_all_come_through() {
    let cluster = Layout::up().start();
    let address = cluster.address();
    cluster.client().must(TABLES);
    let repeat = |sql: &'static str| {
        let address = address.clone();
        std::thread::spawn(move || {
            let mut client = Client::connect(&address).expect("a connection");
            client.must("SET statement_timeout = '20s'");
            for _ in 0..12 {
                assert_eq!(code(&client.query(sql).expect("an answer")), "00000", "{sql}");
            }
        })
    };
    let all = [
        "TRUNCATE t",
        "TRUNCATE t",
        "ALTER TABLE t ADD COLUMN IF NOT EXISTS c int DEFAULT 4",
        "INSERT INTO t SELECT i, 'y' FROM generate_series(1, 50) i ON CONFLICT DO NOTHING",
        "UPDATE t SET b = b || 'z'",
        "SELECT count(*) FROM t",
    ]
    .map(repeat);
    for one in all {
        one.join().expect("no error");
    }
}

/// In transactions of their own, which nobody begins anew: each comes to shards of the table in
/// another way, and none waits for one that waits for it.
#[test]
fn statements_on_several_shards_never_wait_for_each_other() {
    let cluster = Layout::up().start();
    let address = cluster.address();
    let mut client = cluster.client();
    client.must(TABLES);
    client.must("CREATE TABLE child (a int, n int, PRIMARY KEY (a, n))");
    client.must("SELECT create_distributed_table('child', 'a', colocate_with => 't')");
    client.must("ALTER TABLE child ADD FOREIGN KEY (a) REFERENCES t");
    let together = |statements: &[&'static str]| {
        let sessions: Vec<_> = statements
            .iter()
            .map(|sql| {
                let (address, sql) = (address.clone(), *sql);
                std::thread::spawn(move || {
                    let mut client = Client::connect(&address).expect("a connection");
                    client.must("SET statement_timeout = '30s'");
                    for round in 0..25 {
                        client.must("BEGIN");
                        let sql = sql.replace("ROUND", &round.to_string());
                        assert_eq!(code(&client.query(&sql).expect("an answer")), "00000", "{sql}");
                        client.must("COMMIT");
                    }
                })
            })
            .collect();
        for session in sessions {
            session.join().expect("no error");
        }
    };
    together(&[
        "UPDATE t SET b = 'all'",
        "UPDATE t SET b = 'many' WHERE a BETWEEN 7 AND 14",
        "UPDATE t SET b = 'two' WHERE a IN (9, 10)",
        "SELECT a FROM t FOR UPDATE",
        "SELECT a FROM t WHERE a IN (10, 12, 9) FOR NO KEY UPDATE",
        "LOCK TABLE t IN SHARE MODE",
        "LOCK TABLE t IN ACCESS EXCLUSIVE MODE",
    ]);
    together(&[
        "INSERT INTO child SELECT i, ROUND FROM generate_series(1, 50) i",
        "INSERT INTO child SELECT i, 100 + ROUND FROM generate_series(1, 50) i",
        "LOCK TABLE t IN ACCESS EXCLUSIVE MODE",
        "LOCK TABLE child IN SHARE ROW EXCLUSIVE MODE",
    ]);
    assert_eq!(client.value("SELECT count(*) FROM child").unwrap().as_deref(), Some("2500"));
}
