//! A process that writes is killed, again and again; what it acknowledged is there.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use satsuma_common::{Generation, GroupId, ShardId, Timestamp};

use super::tests::{batch, key, shape, txn};
use super::*;
use crate::disk::RealDisk;
use crate::disk::faulty::Chance;
use crate::shard::ReadView;
use crate::wal::WalOptions;

const DIR: &str = "SATSUMA_KILL_TEST_DIR";
const SHARDS: [ShardId; 2] = [ShardId(1), ShardId(2)];
const LATE: Timestamp = Timestamp(1 << 50);
const LANES: i64 = 4;
const PER_LANE: i64 = 1_000_000;

/// Everything happens often: files turn over, deltas are sealed, segments merged.
fn options() -> Options {
    Options {
        wal: WalOptions { file_bytes: 32 << 10, zero_ahead: 8 << 10, ..WalOptions::default() },
        seal_bytes: 8 << 10,
        checkpoint_bytes: 64 << 10,
        ..Options::default()
    }
}

fn open(dir: &Path) -> Arc<Engine> {
    Engine::open(dir, Arc::new(RealDisk), options()).unwrap()
}

fn has(engine: &Engine, shard: ShardId, id: i64) -> bool {
    engine.get(shard, &key(id), &ReadView::new(LATE)).unwrap().is_some()
}

/// First number of a lane that is not there.
fn next(engine: &Engine, lane: i64) -> i64 {
    let mut id = lane * PER_LANE;
    while has(engine, SHARDS[0], id) {
        id += 1;
    }
    id
}

/// Runs as a process of its own: several lanes insert one number after another into both shards,
/// and say so on standard output when it is acknowledged.
#[test]
#[ignore = "started by the test below"]
fn child() {
    let Ok(dir) = std::env::var(DIR) else { return };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let engine = open(Path::new(&dir));
        let shards = SHARDS.map(|shard| (shard, GroupId(shard.0), Generation(1)));
        engine.create_shards(&shape(), &shards).await.unwrap();
        let lanes = (0..LANES).map(|lane| tokio::spawn(lane_of(engine.clone(), lane)));
        for lane in lanes.collect::<Vec<_>>() {
            lane.await.unwrap();
        }
    });
}

async fn lane_of(engine: Arc<Engine>, lane: i64) {
    for id in next(&engine, lane).. {
        let context = WriteContext {
            txn: txn(id as u64 + 1),
            statement: 1,
            snapshot: LATE,
            lock_timeout: None,
        };
        let name = format!("number {id}");
        for shard in SHARDS {
            let row = batch(&[(id, &name)]);
            engine.insert(&context, shard, &row, ConflictPolicy::Fail).await.unwrap();
        }
        if id % 3 == 0 {
            let ts = engine.prepare(context.txn).await.unwrap();
            engine.commit_prepared(context.txn, ts).await.unwrap();
        } else {
            engine.commit(context.txn, Timestamp(1)).await.unwrap();
        }
        println!("done {id}");
    }
}

#[test]
fn what_was_acknowledged_survives_sigkill() {
    let dir = tempfile::tempdir().unwrap();
    let mut chance = Chance::new(7);
    let mut acknowledged = Vec::new();
    let mut segments = 0;
    for round in 0..8 {
        let mut process = Command::new(std::env::current_exe().unwrap())
            .args(["engine::kill_tests::child", "--exact", "--ignored", "--nocapture"])
            .env(DIR, dir.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let output = BufReader::new(process.stdout.take().unwrap());
        let reader = std::thread::spawn(move || {
            let numbers = output.lines().map_while(Result::ok);
            numbers
                .filter_map(|line| line.strip_prefix("done ")?.parse::<i64>().ok())
                .collect::<Vec<_>>()
        });
        std::thread::sleep(Duration::from_millis(300 + chance.below(700)));
        process.kill().unwrap();
        process.wait().unwrap();
        acknowledged.extend(reader.join().unwrap());

        let engine = open(dir.path());
        for (id, _) in engine.prepared() {
            tokio::runtime::Builder::new_current_thread()
                .build()
                .unwrap()
                .block_on(engine.abort(id))
                .unwrap();
        }
        for id in &acknowledged {
            assert!(SHARDS.iter().all(|shard| has(&engine, *shard, *id)), "round {round}: {id}");
        }
        for lane in 0..LANES {
            let last = next(&engine, lane);
            assert!(!has(&engine, SHARDS[1], last), "round {round}: half of {last}");
        }
        segments = engine.stats().segments;
        engine.close();
    }
    assert!(segments > 0, "nothing was sealed");
    assert!(acknowledged.len() > 100, "{}", acknowledged.len());
}
