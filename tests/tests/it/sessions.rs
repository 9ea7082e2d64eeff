//! Sessions as others see them, and stop them, whichever coordinator they are at.

use std::time::{Duration, Instant};

use satsuma_tests::cluster::{Cluster, Layout};
use satsuma_tests::wire::{Answer, Client, WireError};

fn client(cluster: &Cluster, coordinator: usize) -> Client {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        match cluster.address_of(coordinator).client() {
            Ok(client) => return client,
            Err(error) => assert!(Instant::now() < deadline, "{error}"),
        }
        std::thread::sleep(Duration::from_millis(100));
    }
}

fn value(client: &mut Client, sql: &str) -> String {
    client.value(sql).unwrap_or_else(|error| panic!("{sql}: {error}")).unwrap_or_default()
}

/// Runs a statement that waits, on a thread of its own.
fn in_background(
    mut client: Client,
    sql: &str,
) -> std::thread::JoinHandle<Result<Answer, WireError>> {
    let sql = sql.to_owned();
    std::thread::spawn(move || client.query(&sql))
}

fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !holds() {
        assert!(Instant::now() < deadline, "{what} did not come to be");
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn sessions_of_all_coordinators_are_seen_and_stopped() {
    let cluster = Layout::processes(3, 2).start();
    let (mut first, mut second) = (client(&cluster, 0), client(&cluster, 1));
    first.must("CREATE TABLE t (id int PRIMARY KEY, v int)");
    first.must("SELECT create_distributed_table('t', 'id')");
    first.must("INSERT INTO t VALUES (1, 1), (2, 2)");
    let (a, b) = (
        value(&mut first, "SELECT pg_backend_pid()"),
        value(&mut second, "SELECT pg_backend_pid()"),
    );
    assert_ne!(a, b, "process ids are the cluster's");

    // The second waits for the first, at another coordinator.
    first.must("BEGIN");
    first.must("UPDATE t SET v = 10 WHERE id = 1");
    let waiting = in_background(second, "UPDATE t SET v = 20 WHERE id = 1");
    let mut third = client(&cluster, 2);
    let blocking = format!("SELECT pg_blocking_pids({b})");
    until("the wait", || value(&mut third, &blocking) == format!("{{{a}}}"));
    let waits = third.must(
        "SELECT blocked_statement, current_statement_in_blocking_process FROM citus_lock_waits",
    );
    let row: Vec<&str> = waits.rows()[0].iter().flatten().map(String::as_str).collect();
    assert_eq!(row, ["UPDATE t SET v = 20 WHERE id = 1", "UPDATE t SET v = 10 WHERE id = 1"]);
    let locks = "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 't'::regclass";
    assert_eq!(value(&mut third, locks), "1");
    let modes = format!(
        "SELECT string_agg(DISTINCT mode, ',' ORDER BY mode) FROM citus_locks WHERE pid = {a}"
    );
    assert_eq!(value(&mut third, &modes), "ExclusiveLock,RowExclusiveLock");
    let active =
        format!("SELECT state || ' ' || wait_event_type FROM citus_stat_activity WHERE pid = {b}");
    assert_eq!(value(&mut third, &active), "active Lock");
    let idle = format!("SELECT state FROM citus_dist_stat_activity WHERE pid = {a}");
    assert_eq!(value(&mut third, &idle), "idle in transaction");
    assert_eq!(value(&mut third, "SELECT count(DISTINCT nodeid) FROM citus_stat_activity"), "3");

    // Cancelled from the third coordinator.
    assert_eq!(value(&mut third, &format!("SELECT pg_cancel_backend({b})")), "t");
    let answer = waiting.join().expect("the thread").expect("an answer");
    assert_eq!(answer.error().map(|fields| fields.code()), Some("57014"));

    // An idle session is ended, and what it held is free.
    assert_eq!(value(&mut third, &format!("SELECT pg_terminate_backend({a})")), "t");
    until("the end of the session", || first.query("SELECT 1").is_err());
    third.must("UPDATE t SET v = 30 WHERE id = 1");
    assert_eq!(value(&mut third, "SELECT pg_cancel_backend(1)"), "f");
}

#[test]
fn idle_transactions_are_ended_in_time() {
    let cluster = Layout::up().start();
    let mut idle = cluster.client();
    idle.must("CREATE TABLE idle_t (id int PRIMARY KEY)");
    idle.must("SET idle_in_transaction_session_timeout = '300ms'");
    let mut other = cluster.client();
    let seen = "SELECT concat_ws(' ', xact_start = query_start, state_change > query_start, state)
         FROM pg_stat_activity WHERE query = 'BEGIN'";
    idle.must("BEGIN");
    assert_eq!(value(&mut other, seen), "t t idle in transaction");
    let own = "SELECT concat_ws(' ', xact_start = query_start, state_change = query_start, state)
         FROM pg_stat_activity WHERE pid = pg_backend_pid()";
    assert_eq!(value(&mut other, own), "t t active");
    idle.must("INSERT INTO idle_t VALUES (1)");
    std::thread::sleep(Duration::from_millis(1500));
    assert!(idle.query("SELECT 1").map_or(true, |answer| answer.error().is_some()));
    other.must("SET lock_timeout = '5s'");
    other.must("INSERT INTO idle_t VALUES (1)");
}

/// A table whose rows are in new shards has nothing that an older snapshot could read.
#[test]
fn open_transactions_never_see_a_part_of_a_table() {
    let cluster = Layout::up().start();
    let (mut open, mut other) = (cluster.client(), cluster.client());
    other.must("CREATE TABLE whole (k int PRIMARY KEY, v int)");
    other.must("SELECT create_distributed_table('whole', 'k', shard_count => 4)");
    other.must("INSERT INTO whole SELECT g, g FROM generate_series(1, 100) g");
    let count = "SELECT count(*) FROM whole";
    for change in [
        "SELECT isolate_tenant_to_new_shard('whole', 5) > 0",
        "ALTER TABLE whole ALTER v TYPE bigint",
        "SELECT alter_distributed_table('whole', shard_count => 3)",
        "SELECT undistribute_table('whole')",
        "SELECT create_reference_table('whole')",
    ] {
        let late = [count, "SELECT v FROM whole WHERE k = 7", "UPDATE whole SET v = v"];
        let mut old: Vec<_> = late.iter().map(|_| cluster.client()).collect();
        for client in &mut old {
            client.must("BEGIN ISOLATION LEVEL REPEATABLE READ");
            assert_eq!(value(client, count), "100");
        }
        open.must("BEGIN");
        assert_eq!(value(&mut open, count), "100");
        other.must(change);
        for (client, statement) in old.iter_mut().zip(late) {
            let answer = client.query(statement).expect("the session goes on");
            let state = answer.error().map(|error| error.code().to_owned());
            assert_eq!(state.as_deref(), Some("40001"), "{change}, {statement}: {answer:?}");
        }
        assert_eq!(value(&mut open, count), "100", "{change}");
        open.must("COMMIT");
    }
}

#[test]
fn advisory_locks_hold_over_coordinators_and_go_with_their_worker() {
    let mut cluster = Layout::processes(3, 2).start();
    let (mut first, mut second) = (client(&cluster, 0), client(&cluster, 1));
    first.must("SELECT pg_advisory_lock(42)");
    assert_eq!(value(&mut second, "SELECT pg_try_advisory_lock(42)"), "f");
    drop(first);
    until("the lock", || value(&mut second, "SELECT pg_try_advisory_lock(42)") == "t");

    // The worker that keeps them forgets: whoever holds one must not believe that he still does.
    for worker in 0..2 {
        cluster.workers[worker].kill();
    }
    cluster.start_all();
    until("the end of the session", || second.query("SELECT 1").is_err());
    let mut third = client(&cluster, 2);
    assert_eq!(value(&mut third, "SELECT pg_try_advisory_lock(42)"), "t");
}

/// What an open transaction wrote is in its worker's memory: a worker that restarts must not answer
/// the transaction as if there had been nothing.
#[test]
fn a_transaction_never_reads_past_writes_that_its_worker_lost() {
    let mut cluster = Layout::processes(1, 2).start();
    let mut client = cluster.client();
    client.must("CREATE TABLE kept (id bigint PRIMARY KEY, note text)");
    client.must("SELECT create_distributed_table('kept', 'id')");
    for read in ["SELECT note FROM kept WHERE id = 1", "SELECT count(*) FROM kept"] {
        client.must("BEGIN");
        client.must("INSERT INTO kept SELECT g, 'own' FROM generate_series(1, 8) g");
        client.must("SELECT id FROM kept WHERE id = 1");
        for worker in 0..2 {
            cluster.workers[worker].kill();
        }
        cluster.start_all();
        cluster.wait_for_workers();
        let answer = client.query(read).expect("the session goes on");
        let state = answer.error().map(|error| error.code().to_owned());
        assert_eq!(state.as_deref(), Some("40001"), "{read}: {answer:?}");
        client.must("ROLLBACK");
        assert_eq!(value(&mut client, "SELECT count(*) FROM kept"), "0");
    }
}

#[test]
fn sequences_never_repeat_a_value() {
    use std::collections::BTreeSet;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};

    let mut cluster = Layout::processes(3, 2).start();
    cluster.client().must("CREATE SEQUENCE numbers");
    cluster.client().must("CREATE TABLE item (id bigserial PRIMARY KEY, v int)");
    cluster.client().must("SELECT create_distributed_table('item', 'id')");
    let stop = Arc::new(AtomicBool::new(false));
    let drawers: Vec<_> = (0..3)
        .map(|coordinator| {
            let (address, stop) = (cluster.address_of(coordinator), stop.clone());
            std::thread::spawn(move || {
                let mut drawn = Vec::new();
                while !stop.load(Ordering::Relaxed) {
                    let Ok(mut client) = address.client() else {
                        std::thread::sleep(Duration::from_millis(50));
                        continue;
                    };
                    while !stop.load(Ordering::Relaxed) {
                        match client.value("SELECT nextval('numbers')") {
                            Ok(Some(number)) => drawn.push(number),
                            Ok(None) | Err(_) => break,
                        }
                        if client.query("INSERT INTO item (v) VALUES (1), (2)").is_err() {
                            break;
                        }
                    }
                }
                drawn
            })
        })
        .collect();
    for coordinator in 0..3 {
        std::thread::sleep(Duration::from_millis(700));
        cluster.coordinators[coordinator].kill();
        std::thread::sleep(Duration::from_millis(300));
        cluster.start_all();
    }
    std::thread::sleep(Duration::from_millis(500));
    stop.store(true, Ordering::Relaxed);
    let mut all = BTreeSet::new();
    let mut count = 0;
    for drawer in drawers {
        let drawn = drawer.join().expect("a drawer");
        count += drawn.len();
        all.extend(drawn);
    }
    assert_eq!(all.len(), count, "a value was drawn twice");
    assert!(count > 10, "too few values to show anything: {count}");
    let mut last = client(&cluster, 1);
    let rows = value(&mut last, "SELECT count(*) - count(DISTINCT id) FROM item");
    assert_eq!(rows, "0");
}

#[test]
fn sizes_are_known_as_soon_as_rows_are_there() {
    let cluster = satsuma_tests::cluster::shared_up();
    let mut client = cluster.client();
    client.must("CREATE TABLE sized (k bigint PRIMARY KEY, v text)");
    client.must("SELECT create_distributed_table('sized', 'k')");
    client.must("SELECT citus_table_size('sized')");
    client
        .must("INSERT INTO sized SELECT i, repeat('x', 100) || i FROM generate_series(1, 20000) i");
    // Sizes may be this old, and are told anew after some seconds in any case.
    std::thread::sleep(Duration::from_millis(150));
    let size = "SELECT citus_table_size('sized') > 100000, \
         (SELECT table_size FROM citus_tables WHERE table_name = 'sized'::regclass) <> '0 bytes'";
    let answer = client.must(size);
    assert_eq!(answer.rows(), [[Some("t".to_owned()), Some("t".to_owned())]]);
    client.must("DROP TABLE sized");
}
