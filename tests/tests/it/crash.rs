//! SIGKILL at random moments under load: what was acknowledged stays, nothing is half there.
//!
//! Each writer has a row of its own in `tally` that counts its transactions, and writes every
//! transaction's parts to `part`, in one shard or in three. Whatever was killed when:
//!
//! - a transaction whose commit was acknowledged has all its parts;
//! - one that never sent COMMIT has none;
//! - one whose COMMIT went unanswered has all or none;
//! - the tally is exactly the number of transactions that are there.
//!
//! `SATSUMA_KILL_ROUNDS` for more rounds, `SATSUMA_SEED` to repeat one.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use satsuma_tests::cluster::{Address, Cluster, Layout};
use tokio::time::timeout;
use tokio_postgres::Client;

const WRITERS: i64 = 6;
const PARTS: usize = 3;
/// A statement that takes longer than this hangs.
const PATIENCE: Duration = Duration::from_secs(60);

/// What a client knows of a transaction it tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Known {
    Acknowledged,
    /// COMMIT was sent and not answered.
    InDoubt,
    /// Failed before COMMIT was sent.
    Failed,
}

/// Transactions by (writer, number).
type History = BTreeMap<(i64, i64), Known>;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_acknowledged_is_lost_when_processes_are_killed() {
    kill_rounds(Layout::processes(1, 2)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_acknowledged_is_lost_when_up_is_killed() {
    kill_rounds(Layout::up()).await;
}

async fn kill_rounds(layout: Layout) {
    let rounds = number("SATSUMA_KILL_ROUNDS").unwrap_or(5);
    let seed = number("SATSUMA_SEED").unwrap_or_else(|| rand::rng().random_range(0..1_000_000));
    eprintln!("SATSUMA_SEED={seed} SATSUMA_KILL_ROUNDS={rounds}");
    let mut random = StdRng::seed_from_u64(seed);
    let mut cluster = layout.start();
    cluster.client().must(
        "CREATE TABLE part (tenant bigint, writer bigint, number bigint, PRIMARY KEY (tenant, writer, number));
         CREATE TABLE tally (writer bigint PRIMARY KEY, transactions bigint NOT NULL);
         SELECT create_distributed_table('part', 'tenant');
         SELECT create_distributed_table('tally', 'writer');
         INSERT INTO tally SELECT g, 0 FROM generate_series(0, 5) g;",
    );
    let mut history = History::new();
    for round in 1..=rounds {
        let stop = Arc::new(AtomicBool::new(false));
        let writers: Vec<_> = (0..WRITERS)
            .map(|writer| {
                let start = (round as i64) * 1_000_000;
                tokio::spawn(write_until(stop.clone(), cluster.address(), writer, start))
            })
            .collect();
        tokio::time::sleep(Duration::from_millis(random.random_range(300..2_500))).await;
        let killed = kill_some(&mut cluster, &mut random);
        tokio::time::sleep(Duration::from_millis(random.random_range(0..500))).await;
        stop.store(true, Ordering::Relaxed);
        tokio::task::block_in_place(|| cluster.start_all());
        for writer in writers {
            history.append(&mut writer.await.expect("a writer ends"));
        }
        let counts = verify(&cluster, &history).await;
        eprintln!("round {round}: killed {killed}, {counts}");
    }
    let acknowledged = history.values().filter(|known| **known == Known::Acknowledged).count();
    assert!(acknowledged as u64 > 3 * rounds, "too little load to show anything: {acknowledged}");
}

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok()?.parse().ok()
}

/// Kills one process, or now and then all of them at once.
fn kill_some(cluster: &mut Cluster, random: &mut StdRng) -> String {
    if random.random_range(0..4) == 0 {
        cluster.kill_all();
        return "everything".into();
    }
    let mut processes = cluster.processes();
    let victim = random.random_range(0..processes.len());
    processes[victim].kill();
    processes[victim].name.clone()
}

/// Writes transactions until told to stop, connecting again as often as needed.
async fn write_until(stop: Arc<AtomicBool>, address: Address, writer: i64, start: i64) -> History {
    let mut history = History::new();
    let mut number = start;
    let mut client: Option<Client> = None;
    while !stop.load(Ordering::Relaxed) {
        let Some(connection) = client.as_ref().filter(|client| !client.is_closed()) else {
            client = timeout(PATIENCE, address.connect()).await.ok().and_then(Result::ok);
            if client.is_none() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            continue;
        };
        number += 1;
        let known = timeout(PATIENCE, transaction(connection, writer, number))
            .await
            .unwrap_or_else(|_| panic!("transaction {number} of writer {writer} hangs"));
        if known != Known::Acknowledged {
            client = None;
        }
        history.insert((writer, number), known);
    }
    history
}

/// The tenants that a transaction writes to: one, or three that are in different shards.
fn tenants(writer: i64, number: i64) -> [i64; PARTS] {
    match number % 3 {
        0 => [writer, writer + 1_000, writer + 2_000],
        _ => [writer; PARTS],
    }
}

async fn transaction(client: &Client, writer: i64, number: i64) -> Known {
    let tenants = tenants(writer, number);
    // Parts in one tenant differ by number: three numbers belong to one transaction.
    let inserts: Vec<String> = (0..)
        .zip(tenants)
        .map(|(part, tenant)| {
            format!("INSERT INTO part VALUES ({tenant}, {writer}, {})", number * 10 + part)
        })
        .collect();
    let body = async {
        client.batch_execute("BEGIN").await?;
        for insert in &inserts {
            client.batch_execute(insert).await?;
        }
        client
            .batch_execute(&format!(
                "UPDATE tally SET transactions = transactions + 1 WHERE writer = {writer}"
            ))
            .await
    };
    if body.await.is_err() {
        return Known::Failed;
    }
    match client.batch_execute("COMMIT").await {
        Ok(()) => Known::Acknowledged,
        Err(_) => Known::InDoubt,
    }
}

/// Compares what is there with what the clients know.
async fn verify(cluster: &Cluster, history: &History) -> String {
    let client = connect_patiently(&cluster.address()).await;
    let rows =
        client.query("SELECT writer, number FROM part", &[]).await.expect("parts are readable");
    let mut parts = BTreeMap::<(i64, i64), BTreeSet<i64>>::new();
    for row in &rows {
        let (writer, number): (i64, i64) = (row.get(0), row.get(1));
        let fresh = parts.entry((writer, number / 10)).or_default().insert(number % 10);
        assert!(fresh, "part {number} of writer {writer} is there twice");
    }
    for (transaction, found) in &parts {
        let known = history.get(transaction);
        assert_eq!(found.len(), PARTS, "torn transaction {transaction:?} ({known:?}): {found:?}");
        assert!(
            matches!(known, Some(Known::Acknowledged | Known::InDoubt)),
            "transaction {transaction:?} never committed ({known:?}) but is there"
        );
    }
    for (transaction, known) in history {
        assert!(
            *known != Known::Acknowledged || parts.contains_key(transaction),
            "acknowledged transaction {transaction:?} is lost"
        );
    }
    for row in client.query("SELECT writer, transactions FROM tally", &[]).await.expect("tallies") {
        let (writer, tally): (i64, i64) = (row.get(0), row.get(1));
        let there = parts.keys().filter(|(by, _)| *by == writer).count();
        assert_eq!(tally, there as i64, "the tally of writer {writer}");
    }
    let count = |wanted| history.values().filter(|known| **known == wanted).count();
    format!(
        "{} acknowledged, {} in doubt, {} failed",
        count(Known::Acknowledged),
        count(Known::InDoubt),
        count(Known::Failed)
    )
}

async fn connect_patiently(address: &Address) -> Client {
    for _ in 0..100 {
        if let Ok(client) = address.connect().await {
            return client;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("no connection after a restart");
}
