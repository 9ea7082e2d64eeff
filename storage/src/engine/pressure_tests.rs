//! Memory and the log stay small, whatever is written and however slow the disk is.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use satsuma_common::{Generation, GroupId, ShardId, Timestamp};

use super::damage_tests::{context, scan};
use super::pressure::Pressure;
use super::tests::{batch, shape};
use super::*;
use crate::disk::Disk;
use crate::disk::faulty::FaultyDisk;
use crate::kv::MemoryKv;
use crate::wal::WalOptions;

const SHARD: ShardId = ShardId(1);
const PATIENCE: Duration = Duration::from_secs(60);

async fn open(disk: &FaultyDisk, options: Options) -> Arc<Engine> {
    let kv = Arc::new(MemoryKv::default());
    let engine =
        Engine::open_with(Path::new("/data"), Arc::new(disk.clone()), kv, options).unwrap();
    engine.create_shards(&shape(), &[(SHARD, GroupId(1), Generation(1))]).await.unwrap();
    engine
}

/// A row of a kilobyte.
async fn put(engine: &Arc<Engine>, id: i64) -> Result<()> {
    let context = context(1000 + id as u64);
    let name = "x".repeat(1000);
    engine.insert(&context, SHARD, &batch(&[(id, &name)]), ConflictPolicy::Fail).await?;
    engine.commit(context.txn, Timestamp(0)).await.map(drop)
}

#[tokio::test]
async fn writers_wait_while_deltas_are_full_and_their_sealing_takes_long() {
    let disk = FaultyDisk::default();
    let limit = 100_000;
    let options = Options {
        delta_bytes: limit,
        seal_bytes: limit / 2,
        small_segment: 0,
        ..Options::default()
    };
    let engine = open(&disk, options).await;
    disk.hold_syncs(Some(Path::new("/data/seg")));
    let started = Instant::now();
    let mut written = 0;
    while let Ok(done) = tokio::time::timeout(Duration::from_secs(2), put(&engine, written)).await {
        done.unwrap();
        written += 1;
        assert!(started.elapsed() < PATIENCE, "{:?}", engine.stats());
    }
    // One sealing's rows, and twice the limit of those that came behind it.
    let full = engine.stats().delta_bytes;
    assert!(full > limit && full < 4 * limit, "{full} bytes");
    disk.hold_syncs(None);
    for id in written + 1..written + 500 {
        tokio::time::timeout(PATIENCE, put(&engine, id)).await.expect("room again").unwrap();
    }
    assert!(engine.stats().delta_bytes < 4 * limit, "{:?}", engine.stats());
    assert_eq!(scan(&engine, SHARD).unwrap().len() as i64, written + 499);
}

#[tokio::test]
async fn the_log_that_a_start_reads_stays_short() {
    let disk = FaultyDisk::default();
    let options = Options {
        checkpoint_bytes: 100_000,
        wal: WalOptions { file_bytes: 20_000, zero_ahead: 1000, ..WalOptions::default() },
        ..Options::default()
    };
    let engine = open(&disk, options).await;
    let log = || -> usize {
        let files = disk.list(Path::new("/data/wal")).unwrap();
        files.iter().filter_map(|path| disk.read(path).ok()).map(|bytes| bytes.len()).sum()
    };
    let (started, mut longest) = (Instant::now(), 0);
    for id in 0.. {
        put(&engine, id).await.unwrap();
        longest = longest.max(log());
        if engine.stats().work.checkpoints >= 3 {
            break;
        }
        assert!(started.elapsed() < PATIENCE, "{:?}", engine.stats());
    }
    while log() > 150_000 {
        assert!(started.elapsed() < PATIENCE, "{} bytes of log", log());
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert!(longest > 100_000, "{longest}");
}

#[tokio::test]
async fn nobody_waits_for_what_fails() {
    let pressure = Pressure::default();
    pressure.wait(|| 1 << 60).await.unwrap();
    pressure.allow(100);
    pressure.wait(|| 100).await.unwrap();
    let waits = tokio::time::timeout(Duration::from_millis(20), pressure.wait(|| 101)).await;
    assert!(waits.is_err());
    let (failed, ()) = tokio::join!(pressure.wait(|| 101), async {
        pressure.report(Err(StorageError::Closed));
    });
    assert!(failed.is_err());
    pressure.report(Ok(()));
    let (relieved, ()) = tokio::join!(pressure.wait(|| 101), async {
        pressure.allow(101);
    });
    relieved.unwrap();
}
