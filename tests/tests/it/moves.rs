//! Shards that move while they are used: nothing fails, nothing is lost, nothing is doubled, and
//! whatever is killed, a move ends moved or not moved.
//!
//! `SATSUMA_KILL_ROUNDS` for more rounds, `SATSUMA_SEED` to repeat one.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use satsuma_tests::cluster::{Address, Cluster, Layout};
use satsuma_tests::wire::Client;

const COUNTS: &str = "SELECT nodeport, count(*) FROM citus_shards \
     WHERE table_name::text IN ('companies', 'clicks') GROUP BY nodeport ORDER BY nodeport";

fn tables(client: &mut Client) {
    statement_by_statement(
        client,
        "CREATE TABLE companies (id bigint PRIMARY KEY, name text);
         CREATE TABLE clicks (id bigserial, company_id bigint, note text, PRIMARY KEY (company_id, id));
         CREATE TABLE places (id bigint PRIMARY KEY, name text);
         SELECT create_distributed_table('companies', 'id');
         SELECT create_distributed_table('clicks', 'company_id');
         SELECT create_reference_table('places');
         INSERT INTO companies SELECT g, 'company ' || g FROM generate_series(1, 500) g;
         INSERT INTO clicks (company_id, note) SELECT g % 500 + 1, 'click ' || g FROM generate_series(1, 5000) g;
         INSERT INTO places SELECT g, 'place ' || g FROM generate_series(1, 50) g;",
    );
}

fn statement_by_statement(client: &mut Client, script: &str) {
    for statement in script.split(';').filter(|statement| !statement.trim().is_empty()) {
        client.must(statement);
    }
}

fn column(client: &mut Client, sql: &str, at: usize) -> Vec<String> {
    let answer = client.must(sql);
    answer.rows().iter().map(|row| row[at].clone().unwrap_or_default()).collect()
}

/// The tutorial's seventh exercise: two workers become four.
#[test]
fn two_workers_become_four() {
    let mut cluster = Layout::processes(1, 2).start();
    let mut client = cluster.client();
    tables(&mut client);
    for _ in 0..2 {
        let index = cluster.add_worker(false);
        let port = cluster.worker_port(index);
        let node = client.value(&format!("SELECT citus_add_node('127.0.0.1', {port})"));
        assert_eq!(node.expect("a node"), Some((index + 2).to_string()));
    }
    assert_eq!(column(&mut client, COUNTS, 1), ["32", "32"]);
    let plan = client.must("SELECT * FROM get_rebalance_table_shards_plan('companies')");
    assert_eq!(plan.rows().len(), 32, "sixteen groups of two tables");
    let answer = client.must("SELECT rebalance_table_shards('companies')");
    let notices: Vec<_> = answer.notices.iter().map(|notice| notice.message()).collect();
    assert_eq!(notices.len(), 16, "{notices:?}");
    assert!(notices[0].starts_with("Moving shard 1020") && notices[0].ends_with(" ..."));
    assert_eq!(column(&mut client, COUNTS, 1), ["16", "16", "16", "16"]);
    let whole = "SELECT (SELECT count(*) FROM companies), (SELECT count(*) FROM clicks), \
                 (SELECT count(*) FROM clicks JOIN places ON places.id = company_id)";
    let answer = client.must(whole);
    let found: Vec<_> = answer.rows()[0].iter().map(|value| value.as_deref()).collect();
    assert_eq!(found, [Some("500"), Some("5000"), Some("500")]);
    client.must(
        "INSERT INTO clicks (company_id, note) SELECT g, 'later' FROM generate_series(1, 500) g",
    );
    client.must("UPDATE places SET name = 'elsewhere' WHERE id = 7");
    assert_eq!(client.value("SELECT count(*) FROM clicks").unwrap().as_deref(), Some("5500"));
    // Nothing is left to do.
    let again = client.must("SELECT rebalance_table_shards('companies')");
    assert!(again.notices.is_empty());
    // And a node can be emptied and taken away.
    let port = cluster.worker_port(0);
    client.must(&format!("SELECT citus_drain_node('127.0.0.1', {port})"));
    assert_eq!(column(&mut client, COUNTS, 1).len(), 3);
    client.must(&format!("SELECT citus_remove_node('127.0.0.1', {port})"));
    cluster.workers[0].kill();
    assert_eq!(client.value("SELECT count(*) FROM clicks").unwrap().as_deref(), Some("5500"));
    client.must("UPDATE places SET name = 'again' WHERE id = 7");
    assert_eq!(
        client.value("SELECT count(*) FROM places WHERE name = 'again'").unwrap().as_deref(),
        Some("1")
    );
}

/// What a writer had acknowledged.
#[derive(Default)]
struct Written {
    rows: u64,
    statements: u64,
    longest: Duration,
    failures: Vec<String>,
}

/// Transactions of several kinds, until told to stop.
fn write_until(stop: &AtomicBool, address: &Address, writer: u64) -> Written {
    let mut written = Written::default();
    let mut random = StdRng::seed_from_u64(writer);
    // Its coordinator may be killed at any moment.
    let mut client = loop {
        match address.client() {
            Ok(client) => break client,
            Err(_) if stop.load(Ordering::Relaxed) => return written,
            Err(_) => std::thread::sleep(Duration::from_millis(20)),
        }
    };
    let mut number = 0u64;
    while !stop.load(Ordering::Relaxed) {
        number += 1;
        let company = random.random_range(1..=500);
        let note = format!("w{writer}-{number}");
        let insert = |company: u64| {
            format!("INSERT INTO clicks (company_id, note) VALUES ({company}, '{note}')")
        };
        let (sql, rows) = match number % 5 {
            0 => {
                let other = company % 500 + 1;
                (format!("BEGIN; {}; {}; COMMIT", insert(company), insert(other)), 2)
            }
            1 => (format!("UPDATE companies SET name = '{note}' WHERE id = {company}"), 0),
            2 => ("SELECT count(*) FROM clicks WHERE note LIKE 'click %'".to_owned(), 0),
            3 => (
                format!(
                    "SELECT c.name, count(*) FROM companies c JOIN clicks k ON k.company_id = c.id \
                     JOIN places p ON p.id = {} WHERE c.id = {company} GROUP BY 1",
                    company % 50 + 1
                ),
                0,
            ),
            _ => (insert(company), 1),
        };
        let started = Instant::now();
        let answer = client.query(&sql);
        written.longest = written.longest.max(started.elapsed());
        written.statements += 1;
        match answer {
            Ok(answer) => match answer.error() {
                None if number % 5 == 2 && answer.rows()[0][0].as_deref() != Some("5000") => {
                    written.failures.push(format!("{sql}: {:?}", answer.rows()));
                }
                None => written.rows += rows,
                Some(error) => {
                    written.failures.push(format!("{sql}: {} {}", error.code(), error.message()));
                    let _ = client.query("ROLLBACK");
                }
            },
            Err(error) => {
                written.failures.push(format!("{sql}: {error}"));
                match address.client() {
                    Ok(fresh) => client = fresh,
                    Err(_) => std::thread::sleep(Duration::from_millis(50)),
                }
            }
        }
    }
    written
}

struct Load {
    stop: Arc<AtomicBool>,
    writers: Vec<std::thread::JoinHandle<Written>>,
}

impl Load {
    fn start(cluster: &Cluster, writers: u64) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let writers = (0..writers)
            .map(|writer| {
                let (stop, address) = (stop.clone(), cluster.address());
                std::thread::spawn(move || write_until(&stop, &address, writer))
            })
            .collect();
        Self { stop, writers }
    }

    fn end(self) -> Vec<Written> {
        self.stop.store(true, Ordering::Relaxed);
        self.writers.into_iter().map(|writer| writer.join().expect("a writer ends")).collect()
    }
}

#[test]
fn no_statement_fails_while_shards_move() {
    let mut cluster = Layout::processes(1, 2).start();
    let mut client = cluster.client();
    tables(&mut client);
    let load = Load::start(&cluster, 4);
    std::thread::sleep(Duration::from_millis(500));
    for _ in 0..2 {
        cluster.add_worker(true);
    }
    let deadline = Instant::now() + Duration::from_secs(60);
    let active = "SELECT count(*) FROM citus_nodes WHERE is_active AND node_role = 'worker'";
    let active = if client.query(active).is_ok_and(|answer| answer.error().is_none()) {
        active
    } else {
        "SELECT count(*) FROM pg_dist_node WHERE isactive AND groupid > 0"
    };
    while client.value(active).unwrap().as_deref() != Some("4") {
        assert!(Instant::now() < deadline, "the new workers do not become active");
        std::thread::sleep(Duration::from_millis(50));
    }
    let started = Instant::now();
    client.must("SELECT rebalance_table_shards()");
    let took = started.elapsed();
    std::thread::sleep(Duration::from_millis(300));
    let written = load.end();
    let statements: u64 = written.iter().map(|one| one.statements).sum();
    let longest = written.iter().map(|one| one.longest).max().unwrap_or_default();
    eprintln!("rebalanced in {took:?}; {statements} statements, the longest took {longest:?}");
    for one in &written {
        assert!(one.failures.is_empty(), "{:?}", one.failures);
    }
    assert_eq!(column(&mut client, COUNTS, 1), ["16", "16", "16", "16"]);
    let rows = 5000 + written.iter().map(|one| one.rows).sum::<u64>();
    let count = client.value("SELECT count(*) FROM clicks").unwrap();
    assert_eq!(count, Some(rows.to_string()));
    let twice = "SELECT count(*) FROM (SELECT company_id, id FROM clicks GROUP BY 1, 2 HAVING count(*) > 1) d";
    assert_eq!(client.value(twice).unwrap().as_deref(), Some("0"));
}

/// Asks until there is an answer: a killed coordinator or worker is away for a moment.
fn eventually(cluster: &Cluster, sql: &str, enough: impl Fn(&str) -> bool) -> String {
    let deadline = Instant::now() + Duration::from_secs(90);
    loop {
        let answer = (0..cluster.coordinators.len()).find_map(|coordinator| {
            let mut client = cluster.address_of(coordinator).client().ok()?;
            client.value(sql).ok()?
        });
        match answer {
            Some(answer) if enough(&answer) => return answer,
            other => assert!(Instant::now() < deadline, "{sql}: {other:?}"),
        }
        std::thread::sleep(Duration::from_millis(200));
    }
}

/// Source, target or a coordinator is killed at a random moment of a move, again and again.
#[test]
fn a_move_ends_moved_or_not_whoever_is_killed() {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse().ok());
    let rounds: u64 = number("SATSUMA_KILL_ROUNDS").unwrap_or(4);
    let seed: u64 =
        number("SATSUMA_SEED").unwrap_or_else(|| rand::rng().random_range(0..1_000_000));
    eprintln!("SATSUMA_SEED={seed} SATSUMA_KILL_ROUNDS={rounds}");
    let mut random = StdRng::seed_from_u64(seed);
    let mut cluster = Layout::processes(3, 2).start();
    tables(&mut cluster.client());
    let ports = [cluster.worker_port(0), cluster.worker_port(1)];
    let (mut moved, mut stayed) = (0, 0);
    for round in 1..=rounds {
        let shard = 102_008 + random.random_range(0..32);
        let at = eventually(
            &cluster,
            &format!("SELECT nodeport FROM citus_shards WHERE shardid = {shard}"),
            |answer| !answer.is_empty(),
        );
        let source: u16 = at.parse().expect("a port");
        let target = if source == ports[0] { ports[1] } else { ports[0] };
        let load = Load::start(&cluster, 2);
        let address = cluster.address_of(random.random_range(0..3));
        let sql = format!(
            "SELECT citus_move_shard_placement({shard}, '127.0.0.1', {source}, '127.0.0.1', {target})"
        );
        let moving = std::thread::spawn(move || {
            let mut client = address.client().ok()?;
            client.query(&sql).ok().map(|answer| answer.error().is_none())
        });
        // Most moves of so few rows are over soon.
        let longest = if random.random_bool(0.7) { 80 } else { 600 };
        std::thread::sleep(Duration::from_millis(random.random_range(0..longest)));
        let victim = random.random_range(0..cluster.processes().len());
        cluster.processes()[victim].kill();
        std::thread::sleep(Duration::from_millis(random.random_range(0..400)));
        cluster.start_all();
        let told = moving.join().expect("the mover ends");
        // Whoever leads now brings it to an end.
        let placements = format!(
            "SELECT count(*) FROM pg_dist_placement WHERE shardid = {shard} AND shardstate = 1"
        );
        let all = format!("SELECT count(*) FROM pg_dist_placement WHERE shardid = {shard}");
        eventually(&cluster, &all, |count| count == "1");
        eventually(&cluster, &placements, |count| count == "1");
        let written = load.end();
        let now = eventually(
            &cluster,
            &format!("SELECT nodeport FROM citus_shards WHERE shardid = {shard}"),
            |answer| !answer.is_empty(),
        );
        if told == Some(true) {
            assert_eq!(now, target.to_string(), "round {round}: acknowledged and not moved");
        }
        if now == source.to_string() {
            stayed += 1
        } else {
            moved += 1
        }
        // What was acknowledged is there, once.
        let rows: u64 = written.iter().map(|one| one.rows).sum();
        let count =
            eventually(&cluster, "SELECT count(*) FROM clicks WHERE note LIKE 'w%'", |_| true);
        let in_doubt: u64 = written.iter().map(|one| one.failures.len() as u64 * 2).sum();
        let count: u64 = count.parse().expect("a number");
        assert!(
            (rows..=rows + in_doubt).contains(&count),
            "round {round}: {count} rows, {rows} acknowledged, {in_doubt} in doubt"
        );
        assert_eq!(
            eventually(&cluster, "SELECT count(*) FROM clicks WHERE note LIKE 'click %'", |_| true),
            "5000"
        );
        assert_eq!(eventually(&cluster, "SELECT count(*) FROM companies", |_| true), "500");
        eventually(
            &cluster,
            "WITH gone AS (DELETE FROM clicks WHERE note LIKE 'w%' RETURNING 1) SELECT count(*) FROM gone",
            |_| true,
        );
        eprintln!(
            "round {round}: killed {}, told {told:?}, {count} rows",
            cluster.processes()[victim].name
        );
    }
    nothing_is_left_behind(&cluster);
    eprintln!("{moved} moved, {stayed} stayed");
}

/// Every worker has the shards that the catalog places on it, and no others.
fn nothing_is_left_behind(cluster: &Cluster) {
    let deadline = Instant::now() + Duration::from_secs(60);
    for worker in 0..cluster.workers.len() {
        let port = cluster.worker_port(worker);
        let sql = format!(
            "SELECT string_agg(p.shardid::text, ',') FROM pg_dist_placement p \
             JOIN pg_dist_node n ON n.groupid = p.groupid WHERE n.nodeport = {port}"
        );
        loop {
            let placed = eventually(cluster, &sql, |_| true);
            let placed: BTreeSet<u64> =
                placed.split(',').filter_map(|id| id.parse().ok()).collect();
            let there = cluster.shards_at(worker);
            if there.as_ref() == Some(&placed) {
                break;
            }
            let more: Option<Vec<_>> =
                there.map(|there| there.difference(&placed).copied().collect());
            assert!(Instant::now() < deadline, "worker {}: left behind {more:?}", worker + 1);
            std::thread::sleep(Duration::from_millis(500));
        }
    }
}
