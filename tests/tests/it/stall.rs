//! Two workers become four under a mixed load of eight clients: how long statements stall meanwhile.
//!
//! `SATSUMA_MOVE_CLICKS` is the number of clicks, twice as many are the impressions. The figures that
//! are promised are those of release binaries (`SATSUMA_BIN_DIR`).

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use futures::SinkExt;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use satsuma_tests::cluster::{Address, Layout};
use satsuma_tests::data;
use tokio_postgres::Client;

const CLIENTS: u64 = 8;
const COMPANIES: u64 = 100;
/// Clicks of the load have larger ids than those of the data set.
const FIRST_OWN: u64 = 1_000_000_000;
/// What counts as a stall when the load is not measured by release binaries.
const LONGEST: Duration = Duration::from_secs(20);
/// So many of the slowest statements are shown one by one.
const SLOWEST: usize = 12;

const TABLES: &str = "
    CREATE TABLE companies (id bigint PRIMARY KEY, name text NOT NULL, image_url text,
        created_at timestamp NOT NULL, updated_at timestamp NOT NULL);
    CREATE TABLE clicks (id bigint, company_id bigint, ad_id bigint, clicked_at timestamp NOT NULL,
        site_url text NOT NULL, cost_per_click_usd numeric(20,10), user_ip inet NOT NULL,
        user_data jsonb NOT NULL, PRIMARY KEY (company_id, id));
    CREATE TABLE impressions (id bigint, company_id bigint, ad_id bigint, seen_at timestamp NOT NULL,
        site_url text NOT NULL, cost_per_impression_usd numeric(20,10), user_ip inet NOT NULL,
        user_data jsonb NOT NULL, PRIMARY KEY (company_id, id));
    SELECT create_distributed_table('companies', 'id');
    SELECT create_distributed_table('clicks', 'company_id');
    SELECT create_distributed_table('impressions', 'company_id')";

fn clicks() -> u64 {
    let set = std::env::var("SATSUMA_MOVE_CLICKS").ok();
    set.and_then(|text| text.parse().ok()).unwrap_or(6000)
}

async fn copy(client: &Client, directory: &Path, table: &str) {
    let bytes = std::fs::read(directory.join(format!("{table}.csv"))).expect("the file");
    let sink = client.copy_in(&format!("COPY {table} FROM STDIN WITH (FORMAT csv)")).await;
    let mut sink = Box::pin(sink.expect("COPY begins"));
    let bytes = futures::stream::iter(chunks(bytes).into_iter().map(Ok));
    sink.send_all(&mut Box::pin(bytes)).await.expect("COPY goes on");
    sink.close().await.expect("COPY ends");
}

fn chunks(bytes: Vec<u8>) -> Vec<std::io::Cursor<Vec<u8>>> {
    bytes.chunks(1 << 20).map(|chunk| std::io::Cursor::new(chunk.to_vec())).collect()
}

/// A statement: of which kind, when it ended, how long it took.
struct Took {
    kind: &'static str,
    ended: Instant,
    took: Duration,
}

#[derive(Default)]
struct Seen {
    statements: Vec<Took>,
    failures: Vec<String>,
    inserted: u64,
}

/// What one tenant does; each statement is short by itself.
async fn tenant(address: Address, number: u64, stop: Arc<AtomicBool>, seen: Arc<Mutex<Seen>>) {
    let client = address.connect().await.expect("a connection");
    let mut random = StdRng::seed_from_u64(number);
    let mut id = FIRST_OWN + number * 10_000_000;
    while !stop.load(Ordering::Relaxed) {
        let company = random.random_range(1..=COMPANIES);
        let mut insert = |company: u64| {
            id += 1;
            format!(
                "INSERT INTO clicks VALUES ({id}, {company}, 1, now(), 'http://a.b', 0.5, '10.0.0.1', '{{}}')"
            )
        };
        let (kind, sql, rows) = match random.random_range(0..10) {
            0..3 => ("insert", insert(company), 1),
            3..5 => {
                let update = format!("UPDATE companies SET name = 'n{id}' WHERE id = {company}");
                ("update", update, 0)
            }
            5..7 => {
                let count = format!(
                    "SELECT count(*), max(clicked_at) FROM clicks WHERE company_id = {company} AND ad_id = 1"
                );
                ("tenant's rows", count, 0)
            }
            7..9 => {
                let key = format!("SELECT name FROM companies WHERE id = {company}");
                ("key", key, 0)
            }
            _ => {
                let two = [insert(company), insert(company % COMPANIES + 1)];
                ("two shards", format!("BEGIN; {}; {}; COMMIT", two[0], two[1]), 2)
            }
        };
        let started = Instant::now();
        let answer = client.simple_query(&sql).await;
        let took = started.elapsed();
        let mut seen = seen.lock().unwrap();
        seen.statements.push(Took { kind, ended: Instant::now(), took });
        match answer {
            Ok(_) => seen.inserted += rows,
            Err(error) => seen.failures.push(format!("{sql}: {error:?}")),
        }
    }
}

async fn value(client: &Client, sql: &str) -> String {
    let rows = client.simple_query(sql).await.unwrap_or_else(|error| panic!("{sql}: {error:?}"));
    let found = rows.iter().find_map(|message| match message {
        tokio_postgres::SimpleQueryMessage::Row(row) => Some(row.get(0).unwrap_or("").to_owned()),
        _ => None,
    });
    found.unwrap_or_default()
}

async fn checksums(client: &Client) -> String {
    let of = |table: &str| {
        format!(
            "(SELECT count(*) || ' ' || sum(id) || ' ' || sum(hashtext(site_url || user_ip || user_data)) \
             FROM {table} WHERE id < {FIRST_OWN})"
        )
    };
    value(client, &format!("SELECT {} || ' ' || {}", of("clicks"), of("impressions"))).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn eight_clients_hardly_notice_that_two_workers_become_four() {
    let clicks = clicks();
    let directory = tempfile::tempdir().expect("a directory");
    let sizes = [
        format!("--companies={COMPANIES}"),
        format!("--clicks={clicks}"),
        format!("--impressions={}", clicks * 2),
        "--events=0".to_owned(),
        "--pages=0".to_owned(),
    ];
    data::generate(directory.path(), &sizes.each_ref().map(String::as_str));
    let mut cluster = Layout::processes(1, 2).start();
    let client = cluster.address().connect().await.expect("a connection");
    for statement in TABLES.split(';') {
        client.batch_execute(statement).await.expect("a table");
    }
    for table in ["companies", "clicks", "impressions"] {
        copy(&client, directory.path(), table).await;
    }
    let before = checksums(&client).await;
    let (stop, seen) = (Arc::new(AtomicBool::new(false)), Arc::new(Mutex::new(Seen::default())));
    let tenants: Vec<_> = (0..CLIENTS)
        .map(|number| tokio::spawn(tenant(cluster.address(), number, stop.clone(), seen.clone())))
        .collect();
    tokio::task::block_in_place(|| {
        for _ in 0..2 {
            cluster.add_worker(true);
        }
    });
    let deadline = Instant::now() + Duration::from_secs(60);
    let active = "SELECT count(*) FROM pg_dist_node WHERE isactive AND groupid > 0";
    while value(&client, active).await != "4" {
        assert!(Instant::now() < deadline, "the new workers do not become active");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    // What was loaded is merged in the background for a while.
    tokio::time::sleep(Duration::from_secs(3 + clicks / 100_000)).await;
    let began = Instant::now();
    value(&client, "SELECT rebalance_table_shards()").await;
    let ended = Instant::now();
    tokio::time::sleep(Duration::from_millis(500)).await;
    stop.store(true, Ordering::Relaxed);
    for tenant in tenants {
        tenant.await.expect("a tenant ends");
    }
    let seen = std::mem::take(&mut *seen.lock().unwrap());
    let longest = report(&seen, clicks, began, ended);
    assert!(seen.failures.is_empty(), "{:?}", seen.failures);
    assert_eq!(checksums(&client).await, before);
    let own = format!("SELECT count(*) FROM clicks WHERE id >= {FIRST_OWN}");
    assert_eq!(value(&client, &own).await, seen.inserted.to_string());
    assert!(longest < LONGEST, "a statement took {longest:?}");
}

/// Prints what happened before and while shards moved; answers with the longest statement then.
fn report(seen: &Seen, clicks: u64, began: Instant, ended: Instant) -> Duration {
    let earlier = began.checked_sub(Duration::from_secs(3)).unwrap_or(began);
    let mut kinds: BTreeMap<&str, (Duration, Duration)> = BTreeMap::new();
    let mut seconds: BTreeMap<u64, u64> = BTreeMap::new();
    let mut quiet = 0u64;
    for Took { kind, ended: at, took } in &seen.statements {
        let (before, during) = kinds.entry(kind).or_default();
        if *at >= began && *at - *took <= ended {
            *during = (*during).max(*took);
            *seconds.entry((*at - began).as_secs()).or_default() += 1;
        } else if *at >= earlier && *at < began {
            *before = (*before).max(*took);
            quiet += 1;
        }
    }
    let whole = (ended - began).as_secs();
    let slowest =
        seconds.iter().filter(|(second, _)| **second < whole).map(|(_, count)| count).min();
    let during: u64 = seconds.values().sum();
    let longest = kinds.values().map(|(_, during)| *during).max().unwrap_or_default();
    eprintln!(
        "{clicks} clicks, {} impressions: rebalanced in {:.1?}; {} statements a second before, {:.0} meanwhile, \
         {slowest:?} in the slowest second; {} failed; the longest took {longest:.1?}",
        clicks * 2,
        ended - began,
        quiet / 3,
        during as f64 / (ended - began).as_secs_f64().max(0.001),
        seen.failures.len(),
    );
    for (kind, (before, during)) in kinds {
        eprintln!("{kind:>15}: longest before {before:.1?}, meanwhile {during:.1?}");
    }
    let meanwhile = |one: &&Took| one.ended >= began && one.ended <= ended;
    let mut slow: Vec<&Took> = seen.statements.iter().filter(meanwhile).collect();
    slow.sort_by_key(|one| std::cmp::Reverse(one.took));
    for Took { kind, ended: at, took } in slow.into_iter().take(SLOWEST) {
        eprintln!("{kind:>15}: {took:.1?} until {:.1?} after the start", *at - began);
    }
    longest
}
