//! The coordinators' leader is killed, paused and cut off under definitions and commits.
//!
//! - Sessions of the other coordinators see a pause and no error.
//! - What is answered is never older than what was acknowledged before, by whomever: a coordinator
//!   that is cut off from the others answers nothing that it cannot know.
//! - All coordinators have the same catalog at the same index of the log.
//!
//! `SATSUMA_KILL_ROUNDS` for more rounds, `SATSUMA_SEED` to repeat their schedule.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use satsuma_tests::caller::{Caller, eventually, rows};
use satsuma_tests::cluster::{Address, Cluster, Layout};
use satsuma_tests::faults::{Counts, Fault};
use tokio_postgres::{Client, Error};

const COORDINATORS: usize = 3;
const WRITERS: usize = 6;
/// Where a session hangs, not where a busy machine is slow: what is promised is 5 s, and the longest
/// pause is printed.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// So long after a fault a coordinator may be finding its way back.
const RECOVERY: Duration = Duration::from_secs(5);
/// From so many on there is time to wait for what is cleaned up in the background.
const MANY_ROUNDS: u64 = 10;
const CLEANING: Duration = Duration::from_secs(180);
/// How long the members may take to agree when nothing disturbs them.
const AGREEMENT: Duration = Duration::from_secs(30);

fn variable(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

/// A statement, and what became of it.
struct Call {
    coordinator: usize,
    what: String,
    started: Instant,
    ended: Instant,
    error: Option<String>,
}

/// What all clients share.
#[derive(Default)]
struct Shared {
    stop: AtomicBool,
    /// Per writer, the last number whose commit was acknowledged.
    acknowledged: [AtomicI64; WRITERS],
    /// A table whose definition was acknowledged, and that nobody drops yet.
    newest: Mutex<Option<String>>,
    calls: Mutex<Vec<Call>>,
    stale: Mutex<Vec<String>>,
    /// Digests of the catalog by index of the log, and who told them.
    digests: Mutex<BTreeMap<i64, BTreeMap<String, BTreeSet<usize>>>>,
}

/// A session of one coordinator.
struct Session {
    shared: Arc<Shared>,
    coordinator: usize,
    caller: Caller,
}

impl Session {
    fn new(shared: &Arc<Shared>, addresses: &[Address], coordinator: usize) -> Self {
        let caller = Caller::new(vec![addresses[coordinator].clone()], 0);
        Self { shared: shared.clone(), coordinator, caller }
    }

    fn goes_on(&self) -> bool {
        !self.shared.stop.load(Ordering::Relaxed)
    }

    /// Runs statements in turn, and answers with what the last one found.
    async fn run(&mut self, statements: &[String]) -> Option<Vec<String>> {
        let client = self.caller.client().await?;
        let mut found = Vec::new();
        for sql in statements {
            let started = Instant::now();
            let answer = rows(client, sql).await;
            let error = answer.as_ref().err().map(|error| described(client, error));
            let is_failed = error.is_some();
            let (coordinator, what) = (self.coordinator, sql.clone());
            let call = Call { coordinator, what, started, ended: Instant::now(), error };
            self.shared.calls.lock().unwrap().push(call);
            if is_failed {
                self.caller.hang_up();
                return None;
            }
            found = answer.unwrap_or_default();
        }
        Some(found)
    }

    fn is_stale(&self, what: String) {
        self.shared
            .stale
            .lock()
            .unwrap()
            .push(format!("coordinator {}: {what}", self.coordinator + 1));
    }
}

fn described(client: &Client, error: &Error) -> String {
    match error.as_db_error() {
        Some(error) => format!("{} {}", error.code().code(), error.message()),
        None if client.is_closed() => "the connection is closed".to_owned(),
        None => error.to_string(),
    }
}

/// Writes rising numbers to two rows in different shards.
async fn writer(mut session: Session, number: usize) {
    let mut value = 0;
    while session.goes_on() {
        value += 1;
        let update = |id: usize| format!("UPDATE counter SET n = {value} WHERE id = {id}");
        let one = ["BEGIN".to_owned(), update(number), update(number + 100), "COMMIT".to_owned()];
        if session.run(&one).await.is_some() {
            session.shared.acknowledged[number].store(value, Ordering::SeqCst);
        }
    }
}

/// Reads what others write: never less than what was acknowledged when it began.
async fn reader(mut session: Session) {
    const READ: &str = "SELECT n FROM counter ORDER BY id";
    while session.goes_on() {
        let before: Vec<i64> =
            session.shared.acknowledged.iter().map(|last| last.load(Ordering::SeqCst)).collect();
        if let Some(found) = session.run(&[READ.to_owned()]).await {
            let found: Vec<i64> = found.iter().filter_map(|n| n.parse().ok()).collect();
            let (ones, others) = found.split_at(WRITERS.min(found.len()));
            if ones != others {
                session.is_stale(format!("half a transaction: {ones:?} {others:?}"));
            }
            if before.iter().zip(ones).any(|(before, found)| found < before) {
                session.is_stale(format!("{ones:?} after {before:?}"));
            }
        }
        let Some(table) = session.shared.newest.lock().unwrap().clone() else { continue };
        let count = format!("SELECT count(*) FROM {table}");
        session.run(&[count]).await;
    }
}

/// Makes tables, changes them, and drops old ones.
async fn definer(mut session: Session, number: usize) {
    let mut made: Vec<String> = Vec::new();
    for table in 1.. {
        if !session.goes_on() {
            return;
        }
        let name = format!("made_{number}_{table}");
        let create = format!("CREATE TABLE {name} (id bigint PRIMARY KEY, v text)");
        if session.run(&[create]).await.is_none() {
            // It may be there or not.
            continue;
        }
        made.push(name.clone());
        // Whoever reads it waits for no lock of a coordinator that is cut off in the middle of this.
        if session.run(&[format!("ALTER TABLE {name} ADD COLUMN more int")]).await.is_some() {
            *session.shared.newest.lock().unwrap() = Some(name.clone());
        }
        // Long enough after it was the newest.
        if made.len() > 30 {
            let old = made.remove(0);
            session.run(&[format!("DROP TABLE {old}")]).await;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Notes what the catalog is at which index.
async fn comparer(mut session: Session) {
    while session.goes_on() {
        let digest = "SELECT applied || ' ' || digest FROM satsuma_catalog_digest()".to_owned();
        if let Some(found) = session.run(&[digest]).await {
            note_digest(&session.shared, session.coordinator, &found);
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

fn note_digest(shared: &Shared, coordinator: usize, found: &[String]) -> Option<(i64, String)> {
    let (applied, digest) = found.first()?.split_once(' ')?;
    let applied: i64 = applied.parse().ok()?;
    let mut digests = shared.digests.lock().unwrap();
    let told = digests.entry(applied).or_default().entry(digest.to_owned()).or_default();
    told.insert(coordinator);
    Some((applied, digest.to_owned()))
}

async fn leader(addresses: &[Address]) -> usize {
    let leads = "SELECT nodeid FROM satsuma_coordinators() WHERE is_leader";
    loop {
        let found = eventually(addresses, leads).await;
        match found.first().and_then(|id| id.parse::<usize>().ok()) {
            Some(id) => return id - 1,
            None => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    }
}

/// A fault of the leader, for a while; whom it hit, and when.
async fn disturb_leader(
    cluster: &mut Cluster,
    addresses: &[Address],
    random: &mut StdRng,
    counts: &mut Counts,
) -> (usize, Instant, Instant) {
    let victim = leader(addresses).await;
    let own = cluster.coordinators[victim].name.clone();
    // Now and then the workers do not reach it either.
    let alone = random.random_bool(0.4);
    let others: Vec<String> = cluster
        .processes()
        .iter()
        .map(|node| node.name.clone())
        .filter(|node| *node != own && (alone || node.starts_with("coordinator")))
        .collect();
    let fault = Fault::of_node(&own, &others, random);
    let lasts = Duration::from_millis(random.random_range(500..8000));
    eprintln!("{fault} for {lasts:?}");
    counts.add(&fault);
    let began = Instant::now();
    tokio::task::block_in_place(|| fault.begin(cluster));
    tokio::time::sleep(lasts).await;
    tokio::task::block_in_place(|| fault.end(cluster));
    (victim, began, Instant::now())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_that_is_lost_is_a_pause() {
    let rounds = variable("SATSUMA_KILL_ROUNDS").unwrap_or(3);
    let seed = variable("SATSUMA_SEED").unwrap_or_else(|| rand::rng().random_range(0..1_000_000));
    eprintln!("SATSUMA_SEED={seed} SATSUMA_KILL_ROUNDS={rounds}");
    let mut random = StdRng::seed_from_u64(seed);
    let mut cluster = Layout::network(COORDINATORS, 2).start();
    let addresses: Vec<Address> = (0..COORDINATORS).map(|at| cluster.address_of(at)).collect();
    cluster.client().must(&format!(
        "CREATE TABLE counter (id bigint PRIMARY KEY, n bigint NOT NULL);
         SELECT create_distributed_table('counter', 'id');
         INSERT INTO counter SELECT g, 0 FROM generate_series(0, {WRITERS} - 1) g;
         INSERT INTO counter SELECT g + 100, 0 FROM generate_series(0, {WRITERS} - 1) g;"
    ));
    let shared = Arc::new(Shared::default());
    let mut clients = Vec::new();
    for number in 0..WRITERS {
        let session = Session::new(&shared, &addresses, number % COORDINATORS);
        clients.push(tokio::spawn(writer(session, number)));
    }
    for number in 0..COORDINATORS {
        let session = || Session::new(&shared, &addresses, number);
        clients.push(tokio::spawn(reader(session())));
        clients.push(tokio::spawn(definer(session(), number)));
        clients.push(tokio::spawn(comparer(session())));
    }
    tokio::time::sleep(Duration::from_secs(2)).await;
    let mut counts = Counts::default();
    let mut faults = Vec::new();
    for _ in 0..rounds {
        faults.push(disturb_leader(&mut cluster, &addresses, &mut random, &mut counts).await);
        tokio::time::sleep(Duration::from_millis(random.random_range(1500..4000))).await;
    }
    shared.stop.store(true, Ordering::Relaxed);
    for client in clients {
        client.await.expect("a client ends");
    }
    all_agree(&shared, &addresses).await;
    judge(&shared, &faults, &counts);
    if rounds >= MANY_ROUNDS {
        nothing_is_left_behind(&cluster, &addresses).await;
    }
}

/// Drops the tables that were made, and waits until workers have no shards but those of the
/// others: what a definition left that was cut off in its middle goes after a while.
async fn nothing_is_left_behind(cluster: &Cluster, addresses: &[Address]) {
    let made = "SELECT tablename FROM pg_tables WHERE tablename LIKE 'made_%'";
    for table in eventually(addresses, made).await {
        eventually(addresses, &format!("DROP TABLE IF EXISTS {table}")).await;
    }
    let started = Instant::now();
    for worker in 0..cluster.workers.len() {
        let port = cluster.worker_port(worker);
        let placed = format!(
            "SELECT p.shardid FROM pg_dist_placement p \
             JOIN pg_dist_node n ON n.groupid = p.groupid WHERE n.nodeport = {port}"
        );
        let placed = eventually(addresses, &placed).await;
        let placed: BTreeSet<u64> = placed.iter().filter_map(|id| id.parse().ok()).collect();
        loop {
            let there = tokio::task::block_in_place(|| cluster.shards_at(worker));
            if there.as_ref() == Some(&placed) {
                break;
            }
            let more: Option<Vec<_>> =
                there.map(|there| there.difference(&placed).copied().collect());
            assert!(started.elapsed() < CLEANING, "worker {}: left behind {more:?}", worker + 1);
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
    }
    eprintln!("nothing was left at the workers after {:.1?}", started.elapsed());
}

/// Waits until every member has the same index, and the same state.
async fn all_agree(shared: &Shared, addresses: &[Address]) {
    let digest = "SELECT applied || ' ' || digest FROM satsuma_catalog_digest()";
    let deadline = Instant::now() + AGREEMENT;
    loop {
        let mut told = Vec::new();
        for (coordinator, address) in addresses.iter().enumerate() {
            let found = eventually(std::slice::from_ref(address), digest).await;
            told.push(note_digest(shared, coordinator, &found));
        }
        if told.iter().all(|one| one.is_some() && *one == told[0]) {
            return;
        }
        assert!(Instant::now() < deadline, "the coordinators do not agree: {told:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn judge(shared: &Shared, faults: &[(usize, Instant, Instant)], counts: &Counts) {
    let is_excused = |call: &Call| {
        faults.iter().any(|(victim, began, ended)| {
            *victim == call.coordinator && call.ended >= *began && call.started <= *ended + RECOVERY
        })
    };
    let calls = shared.calls.lock().unwrap();
    let (of_victims, of_others): (Vec<&Call>, Vec<&Call>) =
        calls.iter().partition(|c| is_excused(c));
    let took = |call: &&Call| call.ended - call.started;
    let longest = of_others.iter().max_by_key(|call| took(call)).expect("statements");
    let during = faults.iter().position(|(_, began, ended)| {
        longest.ended >= *began && longest.started <= *ended + RECOVERY
    });
    let longest_of_victims = of_victims.iter().map(took).max().unwrap_or_default();
    let commits: i64 = shared.acknowledged.iter().map(|last| last.load(Ordering::SeqCst)).sum();
    let digests = shared.digests.lock().unwrap();
    let compared = digests.values().filter(|told| told.values().flatten().count() > 1).count();
    let definitions =
        calls.iter().filter(|call| call.error.is_none() && call.what.starts_with("CREATE")).count();
    eprintln!(
        "{} statements, {commits} commits, {definitions} tables made, {counts} of leaders; the longest pause \
         elsewhere {:.2?} ({} at coordinator {}, round {:?}), at the leader that was lost {longest_of_victims:.2?}; \
         catalogs compared at {compared} indexes",
        calls.len(),
        took(longest),
        longest.what,
        longest.coordinator + 1,
        during.map(|round| round + 1),
    );
    let failed: Vec<_> = of_others
        .iter()
        .filter_map(|call| Some((call.coordinator + 1, &call.what, call.error.as_ref()?)))
        .collect();
    let stale = shared.stale.lock().unwrap();
    let differing: Vec<_> = digests.iter().filter(|(_, told)| told.len() > 1).collect();
    assert!(differing.is_empty(), "catalogs differ: {differing:?}");
    assert!(stale.is_empty(), "answers that are too old: {stale:?}");
    assert!(
        failed.is_empty(),
        "{} errors at coordinators that were not disturbed: {failed:?}",
        failed.len()
    );
    assert!(took(longest) < LONGEST_PAUSE, "a pause of {:?}", took(longest));
    assert!(commits > 20 && compared > 5, "too little load to show anything");
}
