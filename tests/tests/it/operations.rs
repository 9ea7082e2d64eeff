//! What operators do: coordinators added and removed, monitoring, backup and restore.

use std::fs::DirEntry;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use satsuma_tests::binaries::binary;
use satsuma_tests::cluster::{Address, Cluster, Layout, free_port};
use satsuma_tests::http::get;
use satsuma_tests::process::Process;

fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !holds() {
        assert!(Instant::now() < deadline, "{what} does not come to be");
        std::thread::sleep(Duration::from_millis(100));
    }
}

#[test]
fn monitoring_tells_of_health_and_numbers() {
    let port = free_port();
    let mut layout = Layout::processes(1, 2);
    layout.flags = vec![format!("--metrics-listen=127.0.0.1:{port}")];
    let cluster = layout.start();
    cluster.client().must("SELECT 1");
    assert_eq!(get(port, "/health").map(|answer| answer.0), Some(200));
    assert_eq!(get(port, "/ready").map(|answer| answer.0), Some(200));
    assert_eq!(get(port, "/else").map(|answer| answer.0), Some(404));
    let (status, metrics) = get(port, "/metrics").expect("metrics");
    assert_eq!(status, 200);
    for line in ["satsuma_raft_is_leader 1", "# TYPE satsuma_statement_seconds histogram"] {
        assert!(metrics.lines().any(|found| found == line), "{line} is not in\n{metrics}");
    }
}

/// A worker that was never told of a cluster is alive and not ready.
#[test]
fn a_worker_alone_is_not_ready() {
    let (directory, metrics, port) = (tempfile::tempdir().unwrap(), free_port(), free_port());
    let arguments = vec![
        format!("--data-dir={}", directory.path().join("w").display()),
        format!("--grpc-listen=127.0.0.1:{port}"),
        format!("--metrics-listen=127.0.0.1:{metrics}"),
    ];
    let mut worker = Process::new("worker", binary("worker"), arguments, directory.path());
    worker.start().unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(get(metrics, "/health").map(|answer| answer.0), Some(200));
    assert_eq!(get(metrics, "/ready").map(|answer| answer.0), Some(503));
    let (_, text) = get(metrics, "/metrics").expect("metrics");
    for name in [
        "satsuma_delta_bytes 0",
        "satsuma_segments 0",
        "satsuma_segment_bytes 0",
        "satsuma_damaged_shards 0",
        "satsuma_merges_total",
        "satsuma_wal_wait_seconds_sum",
        "satsuma_wal_sync_seconds_count",
    ] {
        assert!(text.contains(name), "{name}: {text}");
    }
}

fn tables(cluster: &Cluster) {
    let script = "CREATE TABLE companies (id bigint PRIMARY KEY, name text);
         CREATE TABLE clicks (id bigserial, company_id bigint, cost numeric(10,2), PRIMARY KEY (company_id, id));
         CREATE TABLE places (id bigint PRIMARY KEY, name text);
         CREATE TABLE notes (note text);
         SELECT create_distributed_table('companies', 'id');
         SELECT create_distributed_table('clicks', 'company_id');
         SELECT create_reference_table('places');
         INSERT INTO companies SELECT g, 'company ' || g FROM generate_series(1, 200) g;
         INSERT INTO clicks (company_id, cost) SELECT g % 200 + 1, g FROM generate_series(1, 2000) g;
         INSERT INTO places SELECT g, 'place ' || g FROM generate_series(1, 20) g;
         INSERT INTO notes VALUES ('kept'), (NULL);
         DELETE FROM companies WHERE id > 190;
         UPDATE places SET name = 'moved' WHERE id = 3;
         CREATE MATERIALIZED VIEW per_company AS SELECT company_id, count(*) AS n FROM clicks GROUP BY 1;
         CREATE MATERIALIZED VIEW later AS SELECT count(*) AS n FROM clicks WITH NO DATA";
    let mut client = cluster.client();
    script.split(';').for_each(|statement| drop(client.must(statement)));
}

const WHOLE: &str = "SELECT (SELECT count(*) FROM companies)::text || ' ' || (SELECT sum(cost) FROM clicks)::text \
     || ' ' || (SELECT count(*) FROM clicks)::text || ' ' || (SELECT name FROM places WHERE id = 3) \
     || ' ' || (SELECT count(note) FROM notes)::text";

fn satsuma(arguments: &[&str]) {
    let output = Command::new(binary("satsuma")).args(arguments).output().expect("satsuma runs");
    assert!(
        output.status.success(),
        "{arguments:?}: {}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}

#[test]
fn a_backup_is_restored_as_it_was_at_its_moment() {
    let cluster = Layout::processes(1, 2).start();
    tables(&cluster);
    let before = cluster.client().value(WHOLE).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let (to, restored) = (directory.path().join("backup"), directory.path().join("restored"));
    let text = |path: &std::path::Path| path.display().to_string();
    satsuma(&["backup", "--url", &cluster.grpc_url(0), "--to", &text(&to)]);
    let late = ["DELETE FROM clicks", "DROP TABLE notes", "UPDATE places SET name = 'late'"];
    late.into_iter().for_each(|statement| drop(cluster.client().must(statement)));
    satsuma(&["restore", "--from", &text(&to), "--data-dir", &text(&restored)]);

    damaged_files_are_named(&to, directory.path());

    let (pg, grpc) = (free_port(), free_port());
    // Its coordinator asks no worker of the first cluster, which goes on.
    let now = cluster.client().value("SELECT count(*) FROM companies").unwrap();
    let arguments = vec![
        "--node-id=1".to_owned(),
        format!("--data-dir={}", restored.join("coordinator").display()),
        format!("--pg-listen=127.0.0.1:{pg}"),
        format!("--grpc-listen=127.0.0.1:{grpc}"),
    ];
    let mut alone = Process::new("alone", binary("coordinator"), arguments, directory.path());
    alone.start().unwrap_or_else(|error| panic!("{error}"));
    let mut client = Address::local(pg, "satsuma", "satsuma").client().expect("a connection");
    for statement in ["SELECT count(*) FROM companies", "DELETE FROM companies"] {
        let refused = client.value(statement).unwrap_err().to_string();
        assert!(refused.contains("has not said yet where it is"), "{statement}: {refused}");
    }
    drop(client);
    alone.kill();
    assert_eq!(cluster.client().value("SELECT count(*) FROM companies").unwrap(), now);

    let arguments = vec![
        "up".to_owned(),
        format!("--data-dir={}", restored.display()),
        format!("--pg-port={pg}"),
        format!("--grpc-port={grpc}"),
    ];
    let mut up = Process::new("restored", binary("satsuma"), arguments, directory.path());
    up.start().unwrap_or_else(|error| panic!("{error}"));
    let address = Address::local(pg, "satsuma", "satsuma");
    let mut client = address.client().expect("a connection");
    assert_eq!(client.value(WHOLE).unwrap(), before);
    // It goes on from there: sequences, keys, reference tables.
    client.must("INSERT INTO clicks (company_id, cost) SELECT g, 1 FROM generate_series(1, 100) g");
    client.must("UPDATE places SET name = 'again' WHERE id = 3");
    assert_eq!(client.value("SELECT count(*) FROM clicks").unwrap().as_deref(), Some("2100"));
    assert_eq!(client.value("SELECT count(*) FROM companies").unwrap().as_deref(), Some("190"));
    client.must("CREATE TABLE fresh (id bigint PRIMARY KEY); SELECT create_distributed_table('fresh', 'id')");
    drop(client);
    // And after a restart.
    up.kill();
    up.start().unwrap_or_else(|error| panic!("{error}"));
    let mut client = address.client().expect("a connection");
    assert_eq!(client.value("SELECT count(*) FROM clicks").unwrap().as_deref(), Some("2100"));
    let refreshed = "SELECT (SELECT count(*) FROM per_company) || ' ' || (SELECT n FROM later)";
    let refused = client.value(refreshed).unwrap_err().to_string();
    assert!(refused.contains("has not been populated"), "{refused}");
    client.must("REFRESH MATERIALIZED VIEW later");
    assert_eq!(client.value(refreshed).unwrap().as_deref(), Some("200 2100"));
}

/// A copy of the backup, with a byte or the end of one of its files changed.
fn damaged_files_are_named(backup: &Path, directory: &Path) {
    let files = || std::fs::read_dir(backup).expect("a backup").map(|file| file.expect("a file"));
    let chunks = |file: &DirEntry| file.file_name().to_string_lossy().ends_with(".chunks");
    let largest = files().filter(chunks).max_by_key(|file| file.metadata().expect("a size").len());
    let name = largest.expect("a file of chunks").file_name().to_string_lossy().into_owned();
    let copy = directory.join("damaged");
    std::fs::create_dir(&copy).expect("a directory");
    for file in files() {
        std::fs::copy(file.path(), copy.join(file.file_name())).expect("a copy");
    }
    let whole = std::fs::read(copy.join(&name)).expect("the file");
    let mut flipped = whole.clone();
    flipped[whole.len() / 2] ^= 1;
    for (bytes, reason) in [(flipped, "a chunk"), (whole[..whole.len() - 1].to_vec(), "is cut off")]
    {
        std::fs::write(copy.join(&name), bytes).expect("the file");
        let arguments = ["restore".into(), "--from".into(), copy.display().to_string()];
        let to = ["--data-dir".into(), directory.join("never").display().to_string()];
        let output = Command::new(binary("satsuma")).args(arguments.iter().chain(&to)).output();
        let output = output.expect("satsuma runs");
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success());
        assert!(told.contains(&format!("backup file {name} is damaged: ")), "{told}");
        assert!(told.contains(reason), "{told}");
    }
}

/// It would be half of the majority, for ever.
#[test]
fn a_coordinator_that_never_came_has_no_vote() {
    let cluster = Layout::processes(1, 1).start();
    let mut client = cluster.client();
    client.must(&format!("SELECT satsuma_add_coordinator(20, '127.0.0.1:{}')", free_port()));
    std::thread::sleep(Duration::from_secs(3));
    client.must("CREATE TABLE t (a int)");
    for (call, expected) in [
        ("satsuma_add_coordinator(20, '127.0.0.1:1')", "coordinator 20 exists already"),
        ("satsuma_add_coordinator(9, '127.0.0.1:1')", "node id 9 has been used before"),
        ("satsuma_update_coordinator(9, '127.0.0.1:1')", "node 9 does not exist"),
    ] {
        let refused = client.value(&format!("SELECT {call}")).unwrap_err().to_string();
        assert!(refused.contains(expected), "{call}: {refused}");
    }
    client.must("SELECT satsuma_remove_coordinator(20)");
    client.must("INSERT INTO t VALUES (1)");
}

/// The log of a restored cluster, and of one that has been about for long, has no beginning.
#[test]
fn a_coordinator_that_lost_its_data_is_refused_and_replaced() {
    let mut cluster = Layout::processes(3, 1).start();
    cluster.client().must("CREATE TABLE t (a int)");
    let victim = 2;
    cluster.coordinators[victim].kill();
    let data = cluster.directory().join(&cluster.coordinators[victim].name);
    assert!(data.join("raft").exists());
    std::fs::remove_dir_all(&data).expect("the data is lost");
    let refused = cluster.coordinators[victim].start().expect_err("it is another one").to_string();
    assert!(refused.contains("is known by another data directory"), "{refused}");
    let mut client = cluster.client();
    client.must("INSERT INTO t VALUES (1)");
    client.must("SELECT satsuma_remove_coordinator(3)");
    let index = cluster.add_coordinator();
    let mut fourth = cluster.address_of(index).client().expect("a connection");
    assert_eq!(fourth.value("SELECT a FROM t").unwrap().as_deref(), Some("1"));
}

#[test]
fn a_removed_worker_comes_back() {
    let mut cluster = Layout::processes(1, 2).start();
    tables(&cluster);
    let before = cluster.client().value(WHOLE).unwrap();
    let added = cluster.add_worker(true);
    let mut client = cluster.client();
    let port = cluster.worker_port(added);
    let active = "SELECT count(*) FROM citus_get_active_worker_nodes()";
    until("three workers", || client.value(active).unwrap().as_deref() == Some("3"));
    client.must(&format!("SELECT citus_remove_node('127.0.0.1', {port})"));
    assert_eq!(client.value(active).unwrap().as_deref(), Some("2"));
    client.must("UPDATE places SET name = name || '!' WHERE id > 10");
    client.must(&format!("SELECT citus_add_node('127.0.0.1', {port})"));
    assert_eq!(client.value(active).unwrap().as_deref(), Some("3"));
    client.must("SELECT rebalance_table_shards()");
    assert_eq!(client.value(WHOLE).unwrap(), before);
    let joined = "SELECT count(*) FROM clicks JOIN places ON places.id = clicks.company_id WHERE places.name LIKE '%!'";
    assert_eq!(client.value(joined).unwrap().as_deref(), Some("100"));
    // By itself too, when it is started again.
    client.must(&format!("SELECT citus_drain_node('127.0.0.1', {port})"));
    client.must(&format!("SELECT citus_remove_node('127.0.0.1', {port})"));
    cluster.workers[added].kill();
    cluster.workers[added].start().unwrap_or_else(|error| panic!("{error}"));
    until("three workers", || client.value(active).unwrap().as_deref() == Some("3"));
    assert_eq!(client.value(WHOLE).unwrap(), before);
}

/// Nobody has to find out that the leader is gone.
#[test]
fn a_leader_that_stops_lets_another_lead() {
    let mut cluster = Layout::processes(3, 1).start();
    cluster.client().must("CREATE TABLE t (a int)");
    let leaders = "SELECT nodeid FROM satsuma_coordinators() WHERE is_leader";
    let leader = cluster.client().value(leaders).unwrap().expect("a leader");
    let leader = leader.parse::<usize>().expect("a number") - 1;
    let other = (leader + 1) % 3;
    let mut client = cluster.address_of(other).client().expect("a connection");
    client.must("INSERT INTO t VALUES (0)");
    cluster.coordinators[leader].signal("TERM");
    until("another leader", || {
        let now = client.value(leaders).unwrap();
        now.is_some_and(|now| now != (leader + 1).to_string())
    });
    client.must("INSERT INTO t VALUES (1)");
    cluster.coordinators[leader].terminate();
    cluster.coordinators[leader].start().unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(client.value("SELECT count(*) FROM t").unwrap().as_deref(), Some("2"));
}

#[test]
fn coordinators_come_and_go() {
    let mut cluster = Layout::processes(3, 2).start();
    tables(&cluster);
    let before = cluster.client().value(WHOLE).unwrap();
    let index = cluster.add_coordinator();
    let mut fourth = cluster.address_of(index).client().expect("a connection");
    assert_eq!(fourth.value(WHOLE).unwrap(), before);
    fourth.must("INSERT INTO notes VALUES ('from the fourth')");
    let known = "SELECT * FROM satsuma_coordinators()";
    assert_eq!(fourth.must(known).rows().len(), 4);
    // The first one goes, whether it leads or not.
    fourth.must("SELECT satsuma_remove_coordinator(1)");
    until("a group of three", || {
        let leader = |client: &mut satsuma_tests::wire::Client| {
            let answer = client.query(known).ok()?;
            let leads = |row: &&Vec<Option<String>>| row[4].as_deref() == Some("t");
            let leader = answer.rows().iter().find(leads)?[0].clone();
            Some((answer.rows().len(), leader))
        };
        leader(&mut fourth).is_some_and(|(count, node)| count == 3 && node.as_deref() != Some("1"))
    });
    std::thread::sleep(Duration::from_secs(2));
    cluster.coordinators[0].kill();
    cluster.coordinators[1].kill();
    // Two of three are a majority: of four they would not be.
    until("an answer of the rest", || {
        let client = cluster.address_of(index).client();
        client.and_then(|mut client| client.value(WHOLE)).is_ok_and(|answer| answer.is_some())
    });
    let mut client = cluster.address_of(index).client().expect("a connection");
    client.must("CREATE TABLE made_later (a int)");
}

/// Statements that need a worker that is gone fail, and say so; their sessions and others go on.
#[test]
fn a_worker_that_is_gone_is_told_of() {
    let mut cluster = Layout::processes(1, 2).start();
    tables(&cluster);
    let mut client = cluster.client();
    let worker = cluster.processes().len() - 1;
    cluster.processes()[worker].kill();
    for statement in ["SELECT count(*) FROM clicks", "UPDATE companies SET name = 'x'"] {
        let answer = client.query(statement).expect("an answer");
        assert_eq!(answer.error().map(|error| error.code()), Some("08006"), "{statement}");
    }
    let url = cluster.grpc_url(0);
    let status = Command::new(binary("satsuma")).args(["status", "--url", &url]).output();
    let status = String::from_utf8_lossy(&status.expect("status runs").stdout).into_owned();
    let (_, silent) = status.split_once("Workers that do not answer").expect(&status);
    assert!(silent.contains(&cluster.worker_port(1).to_string()), "{status}");
    assert_eq!(client.value("SELECT 1 + 1").unwrap().as_deref(), Some("2"));
    cluster.processes()[worker].start().unwrap_or_else(|error| panic!("{error}"));
    until("the worker serves again", || {
        client
            .value("SELECT count(*) FROM clicks")
            .is_ok_and(|rows| rows.as_deref() == Some("2000"))
    });
}

/// An empty directory at its address is another worker: nothing is read from it, and both say so.
#[test]
fn a_worker_that_lost_its_data_is_another_one() {
    let mut cluster = Layout::processes(1, 2).start();
    tables(&cluster);
    let (mut client, port, metrics) = (cluster.client(), cluster.worker_port(1), free_port());
    cluster.workers[1].kill();
    let data = cluster.directory().join(&cluster.workers[1].name);
    let kept = cluster.directory().join("kept");
    std::fs::rename(&data, &kept).expect("the data is lost");
    cluster.workers[1].add_argument(&format!("--metrics-listen=127.0.0.1:{metrics}"));
    cluster.workers[1].start().unwrap_or_else(|error| panic!("{error}"));
    for statement in [
        "SELECT count(*) FROM clicks",
        "UPDATE companies SET name = 'x'",
        "INSERT INTO companies SELECT g, 'x' FROM generate_series(1000, 1100) g",
    ] {
        let started = Instant::now();
        let answer = client.query(statement).expect("an answer");
        let error = answer.error().expect(statement);
        assert_eq!(error.code(), "08006", "{statement}: {error:?}");
        let told = "another worker answers at the address of node 3";
        assert!(error.message().contains(told), "{statement}: {error:?}");
        assert!(error.message().contains(&format!("127.0.0.1:{port}")), "{statement}: {error:?}");
        assert!(started.elapsed() < Duration::from_secs(3), "{statement}");
    }
    let healthy = "SELECT result FROM citus_check_cluster_node_health() ORDER BY to_nodeport = ";
    let answer = client.must(&format!("{healthy}{port}"));
    let found: Vec<_> = answer.rows().iter().map(|row| row[0].as_deref()).collect();
    assert_eq!(found, [Some("t"), Some("f")]);
    let url = cluster.grpc_url(0);
    let status = Command::new(binary("satsuma")).args(["status", "--url", &url]).output();
    let status = String::from_utf8_lossy(&status.expect("status runs").stdout).into_owned();
    let (_, silent) = status.split_once("Workers that do not answer").expect(&status);
    assert!(silent.contains(&port.to_string()), "{status}");
    assert_eq!(get(metrics, "/ready").map(|answer| answer.0), Some(503));
    let told = "node 3 has another data directory than the worker at";
    let worker = &cluster.workers[1];
    until("advice", || worker.log_tail(20).contains(told));
    assert!(worker.log_tail(20).contains("citus_remove_node"), "{}", worker.log_tail(20));
    // With its own directory it is node 3 again.
    cluster.workers[1].kill();
    std::fs::remove_dir_all(&data).expect("the empty one goes");
    std::fs::rename(&kept, &data).expect("the data is back");
    cluster.workers[1].start().unwrap_or_else(|error| panic!("{error}"));
    until("the worker serves again", || {
        let count = client.value("SELECT count(*) FROM clicks");
        count.is_ok_and(|count| count.as_deref() == Some("2000"))
    });
    assert_eq!(get(metrics, "/ready").map(|answer| answer.0), Some(200));
}

/// The first statements find out, and nobody after them waits for it.
#[test]
fn a_worker_that_hangs_is_waited_for_once() {
    let cluster = Layout::processes(1, 2).start();
    tables(&cluster);
    let mut client = cluster.client();
    let port = cluster.worker_port(1).to_string();
    let mut place_of = |key: &u32| {
        let shard = format!("get_shard_id_for_distribution_column('companies', {key})");
        let place = format!("SELECT nodeport FROM citus_shards WHERE shardid = {shard}");
        client.value(&place).expect("a place")
    };
    let key = (1..100).find(|key| place_of(key).as_ref() == Some(&port)).expect("a key");
    let statements = [
        "UPDATE companies SET name = 'x'".to_owned(),
        "SELECT count(*) FROM clicks".into(),
        format!("SELECT name FROM companies WHERE id = {key}"),
        format!("UPDATE companies SET name = 'y' WHERE id = {key}"),
        format!("INSERT INTO clicks (company_id, cost) VALUES ({key}, 1)"),
    ];
    for statement in &statements {
        client.must(statement);
    }
    cluster.workers[1].signal("STOP");
    let (address, started) = (cluster.address(), Instant::now());
    let first: Vec<_> = std::thread::scope(|scope| {
        let ask = |statement| {
            let mut client = address.client().expect("a connection");
            move || {
                let answer = client.query(statement).expect("an answer");
                (answer.error().map(|error| error.code().to_owned()), started.elapsed())
            }
        };
        let asked: Vec<_> = statements.iter().map(|s| scope.spawn(ask(s))).collect();
        asked.into_iter().map(|asked| asked.join().expect("an answer")).collect()
    });
    for (statement, (code, took)) in statements.iter().zip(first) {
        // A change of one worker may have been committed by it.
        assert!(matches!(code.as_deref(), Some("08006" | "08007")), "{statement}: {code:?}");
        assert!(took < Duration::from_secs(8), "{statement}: {took:?}");
    }
    for statement in statements.iter().chain(&statements) {
        let started = Instant::now();
        let answer = client.query(statement).expect("an answer");
        let took = started.elapsed();
        assert_eq!(answer.error().map(|error| error.code()), Some("08006"), "{statement}");
        assert!(took < Duration::from_millis(800), "{statement}: {took:?}");
    }
    for statement in [
        "SELECT count(*) FROM citus_shards",
        "SELECT count(*) FROM citus_tables",
        "SELECT count(*) FROM citus_check_cluster_node_health() WHERE NOT result",
    ] {
        let started = Instant::now();
        assert_ne!(client.value(statement).unwrap().as_deref(), Some("0"), "{statement}");
        let took = started.elapsed();
        assert!(took < Duration::from_millis(800), "{statement}: {took:?}");
    }
    cluster.workers[1].signal("CONT");
    until("the worker serves again", || client.value("SELECT count(*) FROM clicks").is_ok());
}

#[test]
fn a_node_is_not_drained_to_nowhere() {
    let cluster = Layout::up().start();
    let mut client = cluster.client();
    client.must("CREATE TABLE t (id bigint PRIMARY KEY)");
    client.must("SELECT create_distributed_table('t', 'id')");
    let refused = "Shard replication factor (1) cannot be greater than number of nodes with \
                   should_have_shards=true (0).";
    let drain = |port: u16| format!("SELECT citus_drain_node('localhost', {port})");
    client.must(&drain(9701));
    let shards = "SELECT count(*) FROM citus_shards WHERE nodeport = 9702";
    assert_eq!(client.value(shards).unwrap().as_deref(), Some("32"));
    let takes = "SELECT count(*) FROM pg_dist_node WHERE shouldhaveshards";
    let error = client.value(&drain(9702)).unwrap_err().to_string();
    assert!(error.contains(refused), "{error}");
    assert_eq!(client.value(takes).unwrap().as_deref(), Some("1"));
    client.must("SELECT citus_set_node_property('localhost', 9702, 'shouldhaveshards', false)");
    for call in ["rebalance_table_shards()", "citus_rebalance_start()"] {
        let error = client.value(&format!("SELECT {call}")).unwrap_err().to_string();
        assert!(error.contains(refused), "{call}: {error}");
    }
    // A job is shown as Citus shows it.
    client.must("SELECT citus_set_node_property('localhost', 9701, 'shouldhaveshards', true)");
    client.must("SELECT citus_rebalance_start()");
    client.must("SELECT citus_rebalance_wait()");
    let jobs = |from: &str| {
        format!("SELECT job_id, state, job_type, description, started_at, finished_at FROM {from}")
    };
    let shown = client.must(&jobs("pg_dist_background_job"));
    assert_eq!(shown.rows().len(), 1);
    assert_eq!(shown.rows(), client.must(&jobs("citus_job_list()")).rows());
}

#[test]
fn a_worker_is_ready_while_it_belongs_to_a_cluster() {
    let mut cluster = Layout::processes(1, 1).start();
    let (added, metrics) = (cluster.add_worker(true), free_port());
    cluster.workers[added].kill();
    cluster.workers[added].add_argument(&format!("--metrics-listen=127.0.0.1:{metrics}"));
    cluster.workers[added].start().unwrap_or_else(|error| panic!("{error}"));
    let (mut client, port) = (cluster.client(), cluster.worker_port(added));
    let is = |status| move || get(metrics, "/ready").map(|answer| answer.0) == Some(status);
    let active = "SELECT count(*) FROM citus_get_active_worker_nodes()";
    until("two workers", || client.value(active).unwrap().as_deref() == Some("2"));
    until("a worker of the cluster", is(200));
    client.must(&format!("SELECT citus_remove_node('127.0.0.1', {port})"));
    until("a removed worker", is(503));
    client.must(&format!("SELECT citus_add_node('127.0.0.1', {port})"));
    until("a worker of the cluster again", is(200));
}

/// An id would be of no use to anybody.
#[test]
fn a_worker_that_cannot_be_reached_gets_no_id() {
    let mut cluster = Layout::processes(1, 1).start();
    let added = cluster.add_worker(false);
    let (wrong, right) = (free_port(), cluster.worker_port(added));
    let flag = |port: u16| format!("--advertise=127.0.0.1:{port}");
    let coordinator = cluster.grpc_url(0).replace("grpc://", "--coordinator=");
    let worker = &mut cluster.workers[added];
    worker.kill();
    worker.add_argument(&coordinator);
    worker.add_argument(&flag(wrong));
    worker.start().unwrap_or_else(|error| panic!("{error}"));
    until("a reason", || worker.log_tail(20).contains("Coordinators must reach the worker at"));
    let mut client = cluster.client();
    let workers = "SELECT count(*) FROM pg_dist_node WHERE groupid > 0";
    assert_eq!(client.value(workers).unwrap().as_deref(), Some("1"));
    let worker = &mut cluster.workers[added];
    worker.kill();
    worker.replace_argument(&flag(wrong), &flag(right));
    worker.start().unwrap_or_else(|error| panic!("{error}"));
    let next = "SELECT max(nodeid) FROM citus_get_active_worker_nodes() JOIN pg_dist_node ON nodeport = node_port";
    until("the next id", || client.value(next).unwrap().as_deref() == Some("3"));
}

/// In Citus's words.
#[test]
fn tables_that_are_placed_anew_tell_of_it() {
    let cluster = Layout::up().start();
    let mut client = cluster.client();
    client.must("CREATE TABLE anew (id bigint PRIMARY KEY)");
    client.must("SELECT create_distributed_table('anew', 'id')");
    let told = [
        "creating a new table for",
        "moving the data of",
        "dropping the old",
        "renaming the new table to",
    ]
    .map(|what| format!("{what} public.anew"));
    for call in ["alter_distributed_table('anew', shard_count => 4)", "undistribute_table('anew')"]
    {
        let answer = client.must(&format!("SELECT {call}"));
        let notices: Vec<_> = answer.notices.iter().map(|notice| notice.message()).collect();
        assert_eq!(notices, told, "{call}");
    }
}

/// Nobody runs ANALYZE: the leader does, when many rows have come or gone.
#[test]
fn tables_are_analyzed_by_themselves() {
    let cluster = Layout::up().start();
    let mut client = cluster.client();
    client.must("ALTER SYSTEM SET autovacuum_naptime = 1");
    client.must("CREATE TABLE noticed (id bigint PRIMARY KEY, kind int)");
    client.must("SELECT create_distributed_table('noticed', 'id')");
    client.must("INSERT INTO noticed SELECT g, g % 5 FROM generate_series(1, 1000) g");
    let mut kinds = || {
        let found =
            "SELECT n_distinct FROM pg_stats WHERE tablename = 'noticed' AND attname = 'kind'";
        client.must(found).rows().first().and_then(|row| row[0].clone())
    };
    until("statistics of 1000 rows", || kinds().as_deref() == Some("5"));
    let mut other = cluster.client();
    other.must("INSERT INTO noticed SELECT g, g % 9 FROM generate_series(1001, 9000) g");
    until("statistics of 9000 rows", || kinds().as_deref() == Some("9"));

    // And not where nobody wants it.
    other.must("ALTER SYSTEM SET autovacuum = off");
    other.must("CREATE TABLE unnoticed AS SELECT g AS id FROM generate_series(1, 1000) g");
    std::thread::sleep(Duration::from_secs(3));
    let unnoticed = other.must("SELECT count(*) FROM pg_stats WHERE tablename = 'unnoticed'");
    assert_eq!(unnoticed.rows()[0][0].as_deref(), Some("0"));
}
