//! Transactions under load while coordinators and workers are killed and paused: no anomaly, no
//! acknowledged write lost, nothing stuck.
//!
//! The bank: transfers between accounts in different shards, while others sum all accounts in
//! every isolation level. The lists: transactions that append to lists and read them, whose
//! history [`satsuma_tests::history`] judges.
//!
//! `SATSUMA_ANOMALY_SECONDS` for longer runs, `SATSUMA_SEED` to repeat a schedule of faults.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use satsuma_tests::cluster::{Address, Cluster, Layout};
use satsuma_tests::history::{self, Fate, Level, Operation, Transaction};
use tokio::time::timeout;
use tokio_postgres::{Client, SimpleQueryMessage};

const ACCOUNTS: i64 = 24;
const BALANCE: i64 = 100;
const LISTS: u32 = 6;
/// Longer than any pause and any patience of the cluster.
const HANGS: Duration = Duration::from_secs(60);

fn seconds() -> u64 {
    variable("SATSUMA_ANOMALY_SECONDS").unwrap_or(6)
}

fn variable(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

fn seed() -> u64 {
    let seed = variable("SATSUMA_SEED").unwrap_or_else(|| rand::rng().random_range(0..1_000_000));
    eprintln!("SATSUMA_SEED={seed} SATSUMA_ANOMALY_SECONDS={}", seconds());
    seed
}

/// A client that connects again, to the next coordinator, whenever something goes wrong.
struct Caller {
    addresses: Vec<Address>,
    next: usize,
    client: Option<Client>,
}

impl Caller {
    fn new(addresses: Vec<Address>, first: usize) -> Self {
        Self { addresses, next: first, client: None }
    }

    async fn client(&mut self) -> Option<&Client> {
        if self.client.as_ref().is_none_or(Client::is_closed) {
            self.next = (self.next + 1) % self.addresses.len();
            let connect = self.addresses[self.next].connect();
            self.client = timeout(Duration::from_secs(3), connect).await.ok().and_then(Result::ok);
            if self.client.is_none() {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
        self.client.as_ref()
    }

    fn hang_up(&mut self) {
        self.client = None;
    }
}

/// Values of the rows of a query.
async fn rows(client: &Client, sql: &str) -> Result<Vec<String>, tokio_postgres::Error> {
    let messages = timeout(HANGS, client.simple_query(sql)).await;
    let messages = messages.unwrap_or_else(|_| panic!("{sql} hangs"))?;
    let value = |message: &SimpleQueryMessage| match message {
        SimpleQueryMessage::Row(row) => Some(row.get(0).unwrap_or_default().to_owned()),
        _ => None,
    };
    Ok(messages.iter().filter_map(value).collect())
}

/// Kills and pauses processes until the time is over. Tells how often.
async fn faults(cluster: &mut Cluster, random: &mut StdRng, until: Instant) -> (u32, u32) {
    let (mut kills, mut pauses) = (0, 0);
    while Instant::now() < until {
        tokio::time::sleep(Duration::from_millis(random.random_range(200..900))).await;
        let is_kill = random.random_bool(0.5);
        let mut processes = cluster.processes();
        let victim = random.random_range(0..processes.len());
        if is_kill {
            processes[victim].kill();
            kills += 1;
        } else {
            processes[victim].signal("STOP");
            pauses += 1;
        }
        tokio::time::sleep(Duration::from_millis(random.random_range(100..1500))).await;
        if is_kill {
            tokio::task::block_in_place(|| cluster.start_all());
        } else {
            cluster.processes()[victim].signal("CONT");
        }
    }
    (kills, pauses)
}

/// The value of a query that is asked until it answers.
async fn eventually(addresses: &[Address], sql: &str) -> Vec<String> {
    let mut caller = Caller::new(addresses.to_vec(), 0);
    let deadline = Instant::now() + HANGS;
    loop {
        let problem = match caller.client().await {
            None => "no connection".to_owned(),
            Some(client) => match rows(client, sql).await {
                Ok(rows) => return rows,
                Err(error) => format!("{error:?}"),
            },
        };
        caller.hang_up();
        assert!(Instant::now() < deadline, "{sql}: {problem}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
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

async fn teller(
    addresses: Vec<Address>,
    number: i64,
    seed: u64,
    stop: Arc<AtomicBool>,
    transfers: Arc<AtomicU64>,
) -> Vec<i64> {
    let mut random = StdRng::seed_from_u64(seed.wrapping_add(number as u64));
    let mut caller = Caller::new(addresses, number as usize);
    let mut acknowledged = Vec::new();
    let mut id = number * 1_000_000;
    while !stop.load(Ordering::Relaxed) {
        let (from, to) = (random.random_range(0..ACCOUNTS), random.random_range(0..ACCOUNTS));
        id += 1;
        let Some(client) = caller.client().await else { continue };
        match transfer(client, from, to, id).await {
            Ok(()) => {
                acknowledged.push(id);
                transfers.fetch_add(1, Ordering::Relaxed);
            }
            Err(true) => caller.hang_up(),
            Err(false) => {
                // A client of a paused coordinator tries another one.
                if random.random_bool(0.2) {
                    caller.hang_up();
                }
            }
        }
    }
    acknowledged
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
    let mut random = StdRng::seed_from_u64(seed);
    let mut cluster = Layout::processes(3, 2).start();
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
    let until = Instant::now() + Duration::from_secs(seconds());
    let (kills, pauses) = faults(&mut cluster, &mut random, until).await;
    stop.store(true, Ordering::Relaxed);
    let mut acknowledged = Vec::new();
    for teller in tellers {
        acknowledged.extend(teller.await.expect("a teller ends"));
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
    let lost: Vec<_> = acknowledged.iter().filter(|id| !noted.contains(id)).collect();
    assert!(lost.is_empty(), "acknowledged transfers are lost: {lost:?}");
    let right = sums.load(Ordering::Relaxed);
    eprintln!(
        "{} transfers acknowledged, {} in the ledger, {right} sums, {kills} kills, {pauses} pauses",
        acknowledged.len(),
        noted.len(),
    );
    assert!(acknowledged.len() > 20 && right > 20, "too little load to show anything");
}

fn appended(text: &str) -> Vec<u64> {
    text.split(',').filter_map(|number| number.parse().ok()).collect()
}

async fn list_client(
    addresses: Vec<Address>,
    number: u64,
    seed: u64,
    started: Instant,
    stop: Arc<AtomicBool>,
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
        if fate != Fate::Committed && random.random_bool(0.3) {
            caller.hang_up();
        }
    }
    history
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn histories_are_those_of_snapshots() {
    let seed = seed();
    let mut random = StdRng::seed_from_u64(seed);
    let mut cluster = Layout::processes(3, 2).start();
    let addresses: Vec<Address> = (0..3).map(|number| cluster.address_of(number)).collect();
    cluster.client().must(
        "CREATE TABLE list (id int PRIMARY KEY, v text NOT NULL);
         SELECT create_distributed_table('list', 'id');",
    );
    for level in [Level::Snapshot, Level::ReadCommitted] {
        cluster.client().must("DELETE FROM list");
        cluster
            .client()
            .must(&format!("INSERT INTO list SELECT g, '' FROM generate_series(0, {LISTS} - 1) g"));
        let stop = Arc::new(AtomicBool::new(false));
        let started = Instant::now();
        let clients: Vec<_> = (1..=5)
            .map(|number| {
                let addresses = addresses.clone();
                tokio::spawn(list_client(addresses, number, seed, started, stop.clone(), level))
            })
            .collect();
        tokio::time::sleep(Duration::from_secs(1)).await;
        let until = Instant::now() + Duration::from_secs(seconds());
        let (kills, pauses) = faults(&mut cluster, &mut random, until).await;
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
        eprintln!(
            "{level:?}: {} transactions, {committed} committed, {kills} kills, {pauses} pauses",
            history.len()
        );
        let found = history::check(&history, &last, level);
        assert!(found.is_empty(), "{level:?}: {found:?}");
        assert!(committed > 30, "too little load to show anything: {committed}");
    }
}
