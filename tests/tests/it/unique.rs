//! Unique keys and indexes under many clients and SIGKILL: no value is twice in the table, and an
//! index finds what a scan of everything finds.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use satsuma_tests::cluster::{Address, Cluster, Layout};
use tokio::time::timeout;
use tokio_postgres::Client;

const WRITERS: u64 = 6;
const VALUES: i32 = 12;
const PATIENCE: Duration = Duration::from_secs(60);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn values_stay_unique_when_processes_are_killed() {
    let mut cluster = Layout::processes(1, 2).start();
    cluster.client().must(
        "CREATE TABLE account (tenant int, id int, email text, tag int, PRIMARY KEY (tenant, id),
                               UNIQUE (tenant, email));
         CREATE TABLE handle (id int PRIMARY KEY, name text UNIQUE);
         CREATE INDEX account_tag ON account (tag);
         SELECT create_distributed_table('account', 'tenant');
         SELECT create_reference_table('handle');",
    );
    let mut random = StdRng::seed_from_u64(7);
    let (mut written, mut round) = (0, 0u64);
    // A slow machine writes little in a round.
    while round < 3 || written <= 30 {
        assert!(round < 20, "too little load to show anything: {written}");
        round += 1;
        let stop = Arc::new(AtomicBool::new(false));
        let writers: Vec<_> = (0..WRITERS)
            .map(|writer| {
                let seed = round * 100 + writer;
                tokio::spawn(write_until(stop.clone(), cluster.address(), seed))
            })
            .collect();
        tokio::time::sleep(Duration::from_millis(random.random_range(500..2_000))).await;
        let mut processes = cluster.processes();
        let victim = random.random_range(0..processes.len());
        processes[victim].kill();
        tokio::time::sleep(Duration::from_millis(300)).await;
        stop.store(true, Ordering::Relaxed);
        tokio::task::block_in_place(|| cluster.start_all());
        for writer in writers {
            written += writer.await.expect("a writer ends");
        }
        verify(&cluster).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn plans_name_the_index_they_take() {
    let cluster = Layout::up().start();
    cluster.client().must(
        "CREATE TABLE click (tenant int, id int, tag int, ip inet, doc jsonb, PRIMARY KEY (tenant, id));
         CREATE TABLE place (net cidr PRIMARY KEY, name text);
         SELECT create_distributed_table('click', 'tenant', shard_count => 1);
         SELECT create_reference_table('place');
         INSERT INTO click SELECT g % 4, g, g % 100, ('10.0.' || g % 50 || '.7')::inet,
                                  jsonb_build_object('k', g) FROM generate_series(1, 2000) g;
         INSERT INTO place SELECT ('10.0.' || g || '.0/24')::cidr, 'p' || g FROM generate_series(0, 200) g;
         CREATE INDEX click_tag ON click (tag);
         CREATE INDEX click_doc ON click USING gin (doc);
         CREATE INDEX click_part ON click ((doc->>'k')) WHERE tenant = 3;
         CREATE INDEX place_net ON place USING gist (net inet_ops);",
    );
    let client = cluster.address().connect().await.expect("a connection");
    let plan = async |sql: &str| {
        let rows = client.simple_query(&format!("EXPLAIN (COSTS OFF) {sql}")).await;
        let mut lines = String::new();
        for row in rows.expect("a plan") {
            if let tokio_postgres::SimpleQueryMessage::Row(row) = row {
                lines.push_str(row.get(0).unwrap_or_default());
                lines.push('\n');
            }
        }
        lines
    };
    let shows = |plan: &str, parts: &[&str]| {
        for part in parts {
            assert!(plan.contains(part), "no {part} in\n{plan}");
        }
    };
    let by_tag = plan("SELECT id FROM click WHERE tenant = 1 AND tag = 57").await;
    shows(&by_tag, &["Index Scan using click_tag_", "Index Cond: (tag = 57)", "(tenant = 1)"]);
    let by_range = plan("SELECT count(*) FROM click WHERE tag >= 98").await;
    shows(&by_range, &["Index Scan using click_tag_", "Index Cond: (tag >= 98)"]);
    let most = plan("SELECT count(*) FROM click WHERE tag > 3").await;
    shows(&most, &["Seq Scan on click_"]);
    let partial = plan("SELECT id FROM click WHERE tenant = 3 AND doc->>'k' = '7'").await;
    shows(&partial, &["Index Scan using click_part_", "((doc ->> 'k'::text) = '7'::text)"]);
    let document = plan("SELECT id FROM click WHERE doc @> '{\"k\": 7}'").await;
    shows(&document, &["Bitmap Index Scan on click_doc_", "(doc @> '{\"k\": 7}'::jsonb)"]);
    let network = plan("SELECT name FROM place WHERE net >> '10.0.7.7'").await;
    shows(&network, &["Index Scan using place_net_", "(net >> '10.0.7.7'::inet)"]);
    let join = plan("SELECT name FROM click, place WHERE net >> ip AND tenant = 1").await;
    shows(&join, &["Nested Loop", "Index Scan using place_net_", "Index Cond: (net >> ip)"]);
    let update = plan("UPDATE click SET doc = NULL WHERE tag = 3 AND tenant = 1").await;
    shows(&update, &["Index Scan using click_tag_"]);
    client.batch_execute("DROP INDEX click_tag").await.expect("dropped");
    let without = plan("SELECT count(*) FROM click WHERE tag = 57").await;
    shows(&without, &["Seq Scan on click_"]);
}

/// Statements that fight for a few values, until told to stop; how many succeeded.
async fn write_until(stop: Arc<AtomicBool>, address: Address, seed: u64) -> u64 {
    let mut random = StdRng::seed_from_u64(seed);
    let mut client: Option<Client> = None;
    let mut done = 0;
    while !stop.load(Ordering::Relaxed) {
        let Some(connection) = client.as_ref().filter(|client| !client.is_closed()) else {
            client = timeout(PATIENCE, address.connect()).await.ok().and_then(Result::ok);
            if client.is_none() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            continue;
        };
        let statement = statement(&mut random);
        match timeout(PATIENCE, connection.batch_execute(&statement)).await {
            Ok(Ok(())) => done += 1,
            Ok(Err(_)) => {
                let _ = timeout(PATIENCE, connection.batch_execute("ROLLBACK")).await;
            }
            Err(_) => panic!("hangs: {statement}"),
        }
    }
    done
}

fn statement(random: &mut StdRng) -> String {
    let (tenant, id) = (random.random_range(0..3), random.random_range(0..VALUES));
    let (value, tag) = (random.random_range(0..VALUES), random.random_range(0..5));
    match random.random_range(0..8) {
        0 => format!("INSERT INTO account VALUES ({tenant}, {id}, 'e{value}', {tag})"),
        1 => format!(
            "INSERT INTO account VALUES ({tenant}, {id}, 'e{value}', {tag})
             ON CONFLICT (tenant, email) DO UPDATE SET tag = excluded.tag"
        ),
        2 => format!(
            "INSERT INTO account VALUES ({tenant}, {id}, 'e{value}', {tag}) ON CONFLICT DO NOTHING"
        ),
        3 => format!(
            "UPDATE account SET email = 'e{value}', tag = {tag} WHERE tenant = {tenant} AND id = {id}"
        ),
        4 => format!("DELETE FROM account WHERE tenant = {tenant} AND email = 'e{value}'"),
        5 => format!(
            "BEGIN; DELETE FROM account WHERE tenant = {tenant} AND email = 'e{value}';
             INSERT INTO account VALUES ({tenant}, {id}, 'e{value}', {tag}); COMMIT"
        ),
        6 => format!("UPDATE account SET tag = {tag} WHERE tag = {}", (tag + 1) % 5),
        _ => format!(
            "INSERT INTO handle VALUES ({id}, 'n{value}') ON CONFLICT (name) DO UPDATE SET id = {id}"
        ),
    }
}

async fn verify(cluster: &Cluster) {
    let client = cluster.address().connect().await.expect("a connection");
    let count = |sql: &str| {
        let sql = sql.to_owned();
        let client = &client;
        async move {
            let row = client.query_one(&sql, &[]).await.unwrap_or_else(|e| panic!("{sql}: {e}"));
            row.get::<_, i64>(0)
        }
    };
    for twice in [
        "SELECT count(*) FROM (SELECT 1 FROM account GROUP BY tenant, email HAVING count(*) > 1) a",
        "SELECT count(*) FROM (SELECT 1 FROM handle GROUP BY name HAVING count(*) > 1) a",
    ] {
        assert_eq!(count(twice).await, 0, "{twice}");
    }
    for tag in 0..5 {
        let indexed = format!("SELECT count(*) FROM account WHERE tag = {tag}");
        let scanned = format!("SELECT count(*) FROM account WHERE tag + 0 = {tag}");
        assert_eq!(count(&indexed).await, count(&scanned).await, "{indexed}");
    }
}
