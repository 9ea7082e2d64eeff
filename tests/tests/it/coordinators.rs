//! Three coordinators: any of them answers, and the loss of one is survived.

use std::time::{Duration, Instant};

use satsuma_tests::cluster::{Cluster, Layout, free_port};
use satsuma_tests::http::get;

/// Runs a statement on a coordinator until it succeeds: an election takes a moment.
fn eventually(cluster: &Cluster, coordinator: usize, sql: &str) -> Option<String> {
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        let answer =
            cluster.address_of(coordinator).client().and_then(|mut client| client.value(sql));
        match answer {
            Ok(value) => return value,
            Err(error) if Instant::now() > deadline => panic!("{sql}: {error}"),
            Err(_) => std::thread::sleep(Duration::from_millis(200)),
        }
    }
}

#[test]
fn any_of_three_coordinators_answers_and_one_may_die() {
    let mut cluster = Layout::processes(3, 2).start();
    let mut first = cluster.client();
    first.must("CREATE TABLE things (id bigint PRIMARY KEY, name text)");
    first.must("SELECT create_distributed_table('things', 'id')");
    first.must("INSERT INTO things SELECT g, 'thing ' || g FROM generate_series(1, 100) g");

    let count = "SELECT count(*) FROM things";
    for coordinator in 0..3 {
        // What one coordinator acknowledged, another one shows at once.
        let answer = cluster.address_of(coordinator).client().and_then(|mut c| c.value(count));
        assert_eq!(answer.expect("an answer").as_deref(), Some("100"), "coordinator {coordinator}");
    }
    let mut third = cluster.address_of(2).client().expect("a connection");
    third.must("INSERT INTO things VALUES (101, 'from the third')");
    assert_eq!(first.value(count).expect("an answer").as_deref(), Some("101"));
    drop((first, third));

    for dead in 0..3 {
        cluster.coordinators[dead].kill();
        let alive = (dead + 1) % 3;
        let table = format!("made_without_{dead}");
        eventually(&cluster, alive, &format!("CREATE TABLE IF NOT EXISTS {table} (a int)"));
        eventually(&cluster, alive, &format!("INSERT INTO things VALUES ({}, 'x')", 1_000 + dead));
        cluster.start_all();
        let expected = (102 + dead).to_string();
        assert_eq!(eventually(&cluster, dead, count), Some(expected), "the one that was dead");
        assert_eq!(
            eventually(&cluster, dead, &format!("SELECT count(*) FROM {table}")),
            Some("0".into())
        );
    }
}

/// Whatever one coordinator has acknowledged, a statement that comes to another one meets: new
/// names, and names that mean something else now.
#[test]
fn definitions_are_known_everywhere_at_once() {
    let cluster = Layout::processes(3, 1).start();
    let mut clients: Vec<_> =
        (0..3).map(|index| cluster.address_of(index).client().expect("a connection")).collect();
    clients[0].must("CREATE VIEW moving AS SELECT -1 AS n");
    for round in 0..60 {
        let (maker, reader) = (round % 3, (round + 1 + round / 3 % 2) % 3);
        clients[maker].must(&format!("CREATE TABLE made_{round} (a int)"));
        clients[reader].must(&format!("INSERT INTO made_{round} VALUES (1)"));
        clients[maker].must(&format!("CREATE OR REPLACE VIEW moving AS SELECT {round} AS n"));
        let seen = clients[reader].value("SELECT n FROM moving").expect("an answer");
        assert_eq!(seen, Some(round.to_string()), "round {round}");
        clients[maker].must(&format!("DROP TABLE made_{round}"));
        let gone = clients[reader].query(&format!("SELECT * FROM made_{round}")).expect("rows");
        let state = gone.error().map(|error| error.code().to_owned());
        assert_eq!(state.as_deref(), Some("42P01"), "round {round}");
        clients[maker].must(&format!("CREATE ROLE user_{round} LOGIN"));
        let mut address = cluster.address_of(reader);
        address.user = format!("user_{round}");
        address.client().expect("a connection of the new user");
    }
}

#[test]
fn without_a_majority_nothing_is_acknowledged() {
    let mut cluster = Layout::processes(3, 2).start();
    cluster.client().must("CREATE TABLE before (a int)");
    cluster.coordinators[1].kill();
    cluster.coordinators[2].kill();
    let lone = cluster.address_of(0).client().and_then(|mut client| {
        client.must("SET statement_timeout = '5s'");
        client.query("CREATE TABLE lonely (a int)")
    });
    if let Ok(answer) = lone {
        assert!(answer.error().is_some(), "one of three coordinators created a table: {answer:?}");
    }
    cluster.start_all();
    assert_eq!(eventually(&cluster, 1, "SELECT count(*) FROM before"), Some("0".into()));
}

/// A coordinator answers others before its own log has been replayed.
#[test]
fn workers_that_are_back_before_the_coordinators_are_taken_in_again() {
    let mut cluster = Layout::processes(3, 2).start();
    let mut first = cluster.client();
    first.must("CREATE TABLE things (id bigint PRIMARY KEY)");
    first.must("SELECT create_distributed_table('things', 'id')");
    first.must("INSERT INTO things SELECT generate_series(1, 100)");
    drop(first);
    for round in 0..5 {
        cluster.kill_all();
        for worker in &mut cluster.workers {
            worker.start().unwrap_or_else(|error| panic!("{error}"));
        }
        cluster.start_all();
        let count = eventually(&cluster, round % 3, "SELECT count(*) FROM things");
        assert_eq!(count.as_deref(), Some("100"), "round {round}");
        for worker in &mut cluster.workers {
            assert!(worker.is_running(), "{}:\n{}", worker.name, worker.log_tail(20));
        }
    }
}

/// A change of a column's type makes new shards. What one that came to nothing leaves is in nobody's
/// way for long, with the other coordinators there all the time.
#[test]
fn a_coordinator_that_dies_over_a_definition_leaves_a_table_that_is_written() {
    let mut cluster = Layout::processes(3, 2).start();
    cluster.client().must("CREATE TABLE t (a int PRIMARY KEY, b text)");
    cluster.client().must("SELECT create_distributed_table('t', 'a', shard_count := 6)");
    cluster.client().must("INSERT INTO t SELECT i, 'x' FROM generate_series(1, 100) i");
    let mut open = cluster.client();
    open.must("BEGIN");
    open.must("ALTER TABLE t ALTER COLUMN b TYPE varchar(80)");
    cluster.coordinators[0].kill();
    cluster.start_all();
    for change in ["INSERT INTO t VALUES (101, 'y')", "UPDATE t SET b = 'z' WHERE a <= 100"] {
        let mut other = cluster.address_of(1).client().expect("a connection");
        other.must("SET statement_timeout = '60s'");
        other.must(change);
    }
    let sum = "SELECT sum(a) || ' ' || count(*) FILTER (WHERE b = 'z') FROM t";
    assert_eq!(eventually(&cluster, 2, sum).as_deref(), Some("5151 100"));
}

/// It is not taken for one that merely has no leader, and does not come back by being started.
#[test]
fn a_coordinator_that_was_removed_says_so() {
    let mut cluster = Layout::processes(3, 1).start();
    let metrics = free_port();
    cluster.coordinators[2].kill();
    cluster.coordinators[2].add_argument(&format!("--metrics-listen=127.0.0.1:{metrics}"));
    cluster.start_all();
    let mut third = cluster.address_of(2).client().expect("a connection");
    third.must("SELECT 1");
    assert_eq!(get(metrics, "/ready").map(|answer| answer.0), Some(200));
    let mut first = cluster.client();
    let port = cluster.address_of(2).port;
    let by_mistake = format!("SELECT citus_remove_node('127.0.0.1', {port})");
    let refused = first.query(&by_mistake).expect("an answer");
    let refused = refused.error().expect("it is a coordinator");
    assert!(refused.message().contains("is coordinator 3"), "{refused:?}");
    first.must("SELECT satsuma_remove_coordinator(3)");
    let told = "this coordinator has been removed from the cluster";
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        let answer = third.query("SELECT 1").expect("an answer");
        match answer.error() {
            Some(error) if error.message() == told => {
                assert_eq!(error.code(), "57P03");
                break;
            }
            _ => assert!(Instant::now() < deadline, "{answer:?}"),
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    assert_eq!(get(metrics, "/ready").map(|answer| answer.0), Some(503));
    let log = cluster.coordinators[2].log_tail(1000);
    assert_eq!(log.matches(told).count(), 1, "{log}");
    first.must("CREATE TABLE t (a int)");
    for _ in 0..2 {
        cluster.coordinators[2].kill();
        let refused = cluster.coordinators[2].start().expect_err("it was removed").to_string();
        assert!(refused.contains(told), "{refused}");
    }
    first.must("INSERT INTO t VALUES (1)");
}

/// Two are lost to each other where one is looked for in the wrong place: the place of a third is
/// refused, and a place of nobody is put right by the one that is elsewhere.
#[test]
fn a_wrong_address_of_a_coordinator_does_not_last() {
    let mut cluster = Layout::processes(2, 1).start();
    let mut first = cluster.client();
    let worker = format!("127.0.0.1:{}", cluster.worker_port(0));
    let own = cluster.grpc_url(0).replace("grpc://", "");
    for (address, who) in [(&own, "coordinator 1"), (&worker, "worker 3")] {
        let update = format!("SELECT satsuma_update_coordinator(2, '{address}')");
        let refused = first.query(&update).expect("an answer");
        let refused = refused.error().expect("somebody is there");
        assert_eq!(refused.code(), "42710");
        assert_eq!(refused.message(), format!("{who} is at {address} already"));
    }
    let nobody = free_port();
    first.must(&format!("SELECT satsuma_update_coordinator(2, '127.0.0.1:{nobody}')"));
    eventually(&cluster, 0, "CREATE TABLE IF NOT EXISTS t (a int)");
    eventually(&cluster, 1, "INSERT INTO t VALUES (1)");
    cluster.coordinators[1].kill();
    cluster.start_all();
    let told = "SELECT count(*) FROM satsuma_coordinators() WHERE grpc_address LIKE ";
    let wrong = eventually(&cluster, 0, &format!("{told}'%:{nobody}'"));
    assert_eq!(wrong.as_deref(), Some("0"));
}
