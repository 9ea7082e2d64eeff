//! Transactions under load while coordinators and workers are killed, paused and cut off from each
//! other: no anomaly, no acknowledged write lost, nothing stuck, and every session gets its answers.
//!
//! The bank: transfers between accounts in different shards, while others sum all accounts in
//! every isolation level. The lists: transactions that append to lists and read them, whose
//! history [`satsuma_tests::history`] judges.
//!
//! `SATSUMA_KILL_ROUNDS` for more faults, `SATSUMA_SEED` to repeat their schedule.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use satsuma_tests::caller::{Caller, eventually, rows};
use satsuma_tests::cluster::{Address, Layout};
use satsuma_tests::faults::disturb;
use satsuma_tests::history::{self, Fate, Level, Operation, Transaction};
use tokio_postgres::Client;

const ACCOUNTS: i64 = 24;
const BALANCE: i64 = 100;
const LISTS: u32 = 6;

fn rounds() -> u64 {
    variable("SATSUMA_KILL_ROUNDS").unwrap_or(5)
}

fn variable(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

fn seed() -> u64 {
    let seed = variable("SATSUMA_SEED").unwrap_or_else(|| rand::rng().random_range(0..1_000_000));
    eprintln!("SATSUMA_SEED={seed} SATSUMA_KILL_ROUNDS={}", rounds());
    seed
}

/// Waits until no transaction is left prepared: their locks would stay.
async fn nothing_is_stuck(addresses: &[Address]) {
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        let left = eventually(addresses, "SELECT count(*) FROM pg_locks").await;
        if left == ["0"] {
            return;
        }
        let locks = "SELECT locktype || ' ' || mode || ' ' || virtualtransaction FROM pg_locks";
        assert!(
            Instant::now() < deadline,
            "locks are left: {:?}",
            eventually(addresses, locks).await
        );
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

/// Moves money and notes it down. `Ok` when it was acknowledged; `Err(true)` when COMMIT was sent
/// and not answered.
async fn transfer(client: &Client, from: i64, to: i64, id: i64) -> Result<(), bool> {
    let statements = [
        "BEGIN".to_owned(),
        format!("UPDATE account SET balance = balance - 1 WHERE id = {from}"),
        format!("UPDATE account SET balance = balance + 1 WHERE id = {to}"),
        format!("INSERT INTO ledger VALUES ({id})"),
    ];
    for sql in &statements {
        if rows(client, sql).await.is_err() {
            // Whoever gave way to another lets go of what it has.
            let _ = rows(client, "ROLLBACK").await;
            return Err(false);
        }
    }
    rows(client, "COMMIT").await.map(|_| ()).map_err(|_| true)
}

/// What a teller was told of its transfers; what is in neither list is in doubt.
#[derive(Default)]
struct Told {
    acknowledged: Vec<i64>,
    /// Before COMMIT was sent.
    failed: Vec<i64>,
    longest: Duration,
}

async fn teller(
    addresses: Vec<Address>,
    number: i64,
    seed: u64,
    stop: Arc<AtomicBool>,
    transfers: Arc<AtomicU64>,
) -> Told {
    let mut random = StdRng::seed_from_u64(seed.wrapping_add(number as u64));
    let mut caller = Caller::new(addresses, number as usize);
    let mut told = Told::default();
    let mut id = number * 1_000_000;
    while !stop.load(Ordering::Relaxed) {
        let (from, to) = (random.random_range(0..ACCOUNTS), random.random_range(0..ACCOUNTS));
        id += 1;
        let Some(client) = caller.client().await else { continue };
        let started = Instant::now();
        let outcome = transfer(client, from, to, id).await;
        told.longest = told.longest.max(started.elapsed());
        match outcome {
            Ok(()) => {
                told.acknowledged.push(id);
                transfers.fetch_add(1, Ordering::Relaxed);
            }
            Err(true) => caller.hang_up(),
            Err(false) => {
                told.failed.push(id);
                // A client of a paused coordinator tries another one.
                if random.random_bool(0.2) {
                    caller.hang_up();
                }
            }
        }
    }
    told
}

/// Sums all accounts, as each isolation level promises it. Counts the sums that were right.
async fn auditor(
    addresses: Vec<Address>,
    number: usize,
    stop: Arc<AtomicBool>,
    sums: Arc<AtomicU64>,
) {
    const SUM: &str = "SELECT sum(balance) FROM account";
    const ONE_BY_ONE: &str = "SELECT balance FROM account ORDER BY id";
    let mut caller = Caller::new(addresses, number);
    let expected = (ACCOUNTS * BALANCE).to_string();
    while !stop.load(Ordering::Relaxed) {
        let Some(client) = caller.client().await else { continue };
        let is_repeatable = number % 2 == 1;
        let level = if is_repeatable { "REPEATABLE READ" } else { "READ COMMITTED" };
        let audit = async {
            rows(client, &format!("BEGIN ISOLATION LEVEL {level}")).await?;
            let first = rows(client, SUM).await?;
            let balances = rows(client, ONE_BY_ONE).await?;
            let second = rows(client, SUM).await?;
            let again = rows(client, ONE_BY_ONE).await?;
            rows(client, "COMMIT").await?;
            Ok::<_, tokio_postgres::Error>((first, second, balances, again))
        };
        match audit.await {
            Ok((first, second, balances, again)) => {
                let added: i64 = balances.iter().filter_map(|b| b.parse::<i64>().ok()).sum();
                assert_eq!([&first[..], &second[..]], [[expected.clone()], [expected.clone()]]);
                assert_eq!(added.to_string(), expected, "{level}: row by row");
                assert!(
                    !is_repeatable || balances == again,
                    "one moment, twice: {balances:?} {again:?}"
                );
                sums.fetch_add(4, Ordering::Relaxed);
            }
            Err(_) => caller.hang_up(),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_bank_balances_whatever_dies() {
    let seed = seed();
    let mut cluster = Layout::network(3, 2).start();
    let addresses: Vec<Address> = (0..3).map(|number| cluster.address_of(number)).collect();
    cluster.client().must(&format!(
        "CREATE TABLE account (id bigint PRIMARY KEY, balance bigint NOT NULL);
         CREATE TABLE ledger (id bigint PRIMARY KEY);
         SELECT create_distributed_table('account', 'id');
         SELECT create_distributed_table('ledger', 'id');
         INSERT INTO account SELECT g, {BALANCE} FROM generate_series(0, {ACCOUNTS} - 1) g;"
    ));
    let stop = Arc::new(AtomicBool::new(false));
    let sums = Arc::new(AtomicU64::new(0));
    let transfers = Arc::new(AtomicU64::new(0));
    let tellers: Vec<_> = (1..=6)
        .map(|number| {
            let (stop, transfers) = (stop.clone(), transfers.clone());
            tokio::spawn(teller(addresses.clone(), number, seed, stop, transfers))
        })
        .collect();
    let auditors: Vec<_> = (0..4)
        .map(|number| tokio::spawn(auditor(addresses.clone(), number, stop.clone(), sums.clone())))
        .collect();
    // Undisturbed until there is something to break, however slow the machine is.
    let patience = Instant::now() + Duration::from_secs(60);
    let busy = |count: &AtomicU64| count.load(Ordering::Relaxed) > 20;
    while !(busy(&transfers) && busy(&sums)) && Instant::now() < patience {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let counts = tokio::task::block_in_place(|| disturb(&mut cluster, seed, rounds()));
    stop.store(true, Ordering::Relaxed);
    let mut told = Told::default();
    for teller in tellers {
        let Told { acknowledged, failed, longest } = teller.await.expect("a teller ends");
        told.acknowledged.extend(acknowledged);
        told.failed.extend(failed);
        told.longest = told.longest.max(longest);
    }
    for auditor in auditors {
        auditor.await.expect("an auditor ends");
    }
    nothing_is_stuck(&addresses).await;
    let total = eventually(&addresses, "SELECT sum(balance) FROM account").await;
    assert_eq!(total, [(ACCOUNTS * BALANCE).to_string()]);
    let noted = eventually(&addresses, "SELECT id FROM ledger").await;
    let noted: std::collections::BTreeSet<i64> =
        noted.iter().filter_map(|id| id.parse().ok()).collect();
    let lost: Vec<_> = told.acknowledged.iter().filter(|id| !noted.contains(id)).collect();
    assert!(lost.is_empty(), "acknowledged transfers are lost: {lost:?}");
    let risen: Vec<_> = told.failed.iter().filter(|id| noted.contains(id)).collect();
    assert!(risen.is_empty(), "transfers that never were committed are there: {risen:?}");
    let right = sums.load(Ordering::Relaxed);
    eprintln!(
        "{} transfers acknowledged, {} failed, {} in the ledger, the longest took {:.1?}, {right} sums, {counts}",
        told.acknowledged.len(),
        told.failed.len(),
        noted.len(),
        told.longest,
    );
    assert!(told.acknowledged.len() > 20 && right > 20, "too little load to show anything");
}

fn appended(text: &str) -> Vec<u64> {
    text.split(',').filter_map(|number| number.parse().ok()).collect()
}

async fn list_client(
    addresses: Vec<Address>,
    number: u64,
    seed: u64,
    started: Instant,
    (stop, commits): (Arc<AtomicBool>, Arc<AtomicU64>),
    level: Level,
) -> Vec<Transaction> {
    let mut random = StdRng::seed_from_u64(seed.wrapping_add(100 + number));
    let mut caller = Caller::new(addresses, number as usize);
    let mut history = Vec::new();
    let mut value = number * 1_000_000;
    let begin = match level {
        Level::Snapshot => "BEGIN ISOLATION LEVEL REPEATABLE READ",
        Level::ReadCommitted => "BEGIN",
    };
    let now = || started.elapsed().as_micros() as u64;
    while !stop.load(Ordering::Relaxed) {
        let Some(client) = caller.client().await else { continue };
        let began = now();
        let mut operations = Vec::new();
        let mut fate = Fate::Aborted;
        let body = async {
            rows(client, begin).await?;
            for _ in 0..random.random_range(1..5) {
                let key = random.random_range(0..LISTS);
                if random.random_bool(0.5) {
                    value += 1;
                    // An append that fails may still have been sent.
                    operations.push(Operation::Append(key, value));
                    let append = format!("UPDATE list SET v = v || ',{value}' WHERE id = {key}");
                    rows(client, &append).await?;
                } else {
                    let read = format!("SELECT v FROM list WHERE id = {key}");
                    let found = rows(client, &read).await?;
                    let list = found.first().map(String::as_str).unwrap_or_default();
                    operations.push(Operation::Read(key, appended(list)));
                }
            }
            Ok::<_, tokio_postgres::Error>(())
        };
        if body.await.is_ok() {
            fate = match rows(client, "COMMIT").await {
                Ok(_) => Fate::Committed,
                Err(error) if error.code().is_some_and(|code| code.code() == "40001") => {
                    Fate::Aborted
                }
                Err(_) => Fate::Unknown,
            };
        } else {
            let _ = rows(client, "ROLLBACK").await;
        }
        history.push(Transaction { operations, fate, began, ended: now() });
        if fate == Fate::Committed {
            commits.fetch_add(1, Ordering::Relaxed);
        }
        if fate != Fate::Committed && random.random_bool(0.3) {
            caller.hang_up();
        }
    }
    history
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn histories_are_those_of_snapshots() {
    let seed = seed();
    let mut cluster = Layout::network(3, 2).start();
    let addresses: Vec<Address> = (0..3).map(|number| cluster.address_of(number)).collect();
    cluster.client().must(
        "CREATE TABLE list (id int PRIMARY KEY, v text NOT NULL);
         SELECT create_distributed_table('list', 'id');",
    );
    for level in [Level::Snapshot, Level::ReadCommitted] {
        // A coordinator that has just been cut off may not have found its way back.
        eventually(&addresses, "DELETE FROM list").await;
        let fill = format!(
            "INSERT INTO list SELECT g, '' FROM generate_series(0, {LISTS} - 1) g ON CONFLICT DO NOTHING"
        );
        eventually(&addresses, &fill).await;
        let stop = Arc::new(AtomicBool::new(false));
        let commits = Arc::new(AtomicU64::new(0));
        let started = Instant::now();
        let clients: Vec<_> = (1..=5)
            .map(|number| {
                let addresses = addresses.clone();
                let shared = (stop.clone(), commits.clone());
                tokio::spawn(list_client(addresses, number, seed, started, shared, level))
            })
            .collect();
        // Undisturbed until there is something to break.
        while commits.load(Ordering::Relaxed) <= 30 && started.elapsed() < Duration::from_secs(60) {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        let seed = seed + u64::from(level == Level::ReadCommitted);
        let counts = tokio::task::block_in_place(|| disturb(&mut cluster, seed, rounds()));
        stop.store(true, Ordering::Relaxed);
        let mut history = Vec::new();
        for client in clients {
            history.extend(client.await.expect("a client ends"));
        }
        nothing_is_stuck(&addresses).await;
        let mut last = BTreeMap::new();
        for key in 0..LISTS {
            let read = format!("SELECT v FROM list WHERE id = {key}");
            let list = eventually(&addresses, &read).await;
            last.insert(key, appended(list.first().map(String::as_str).unwrap_or_default()));
        }
        let committed = history.iter().filter(|t| t.fate == Fate::Committed).count();
        eprintln!("{level:?}: {} transactions, {committed} committed, {counts}", history.len());
        let found = history::check(&history, &last, level);
        assert!(found.is_empty(), "{level:?}: {found:?}");
        assert!(committed > 30, "too little load to show anything: {committed}");
    }
}
