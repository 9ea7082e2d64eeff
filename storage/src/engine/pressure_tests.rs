//! Memory and the log stay small, whatever is written and however slow the disk is.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use satsuma_common::{Generation, GroupId, ShardId, Timestamp};

use super::damage_tests::{context, scan};
use super::loss_tests::damage;
use super::pressure::Pressure;
use super::tests::{batch, shape};
use super::*;
use crate::disk::Disk;
use crate::disk::faulty::FaultyDisk;
use crate::wal::WalOptions;

const SHARD: ShardId = ShardId(1);
const PATIENCE: Duration = Duration::from_secs(60);

async fn open(disk: &FaultyDisk, options: Options) -> Arc<Engine> {
    let engine = open_with(disk, options);
    engine.create_shards(&shape(), &[(SHARD, GroupId(1), Generation(1))]).await.unwrap();
    engine
}

fn open_with(disk: &FaultyDisk, options: Options) -> Arc<Engine> {
    Engine::open(Path::new("/data"), Arc::new(disk.clone()), options).unwrap()
}

async fn put(engine: &Arc<Engine>, id: i64) -> Result<()> {
    put_into(engine, SHARD, id).await
}

/// A row of a kilobyte.
async fn put_into(engine: &Arc<Engine>, shard: ShardId, id: i64) -> Result<()> {
    let context = context(1000 + id as u64);
    let name = "x".repeat(1000);
    engine.insert(&context, shard, &batch(&[(id, &name)]), ConflictPolicy::Fail).await?;
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
async fn rows_of_damaged_shards_take_no_memory() {
    let disk = FaultyDisk::default();
    let engine = open_with(&disk, Options { maintenance: false, ..Options::default() });
    let (lost, torn, whole) = (ShardId(1), ShardId(2), ShardId(3));
    let shards = [lost, torn, whole].map(|shard| (shard, GroupId(1), Generation(1)));
    engine.create_shards(&shape(), &shards).await.unwrap();
    for id in 0..600 {
        put_into(&engine, if id < 300 { lost } else { torn }, id).await.unwrap();
    }
    engine.close();
    drop(engine);
    damage(&disk, 2);
    let options = Options { delta_bytes: 50_000, seal_bytes: 50_000, ..Options::default() };
    let engine = open_with(&disk, options);
    // One was lost before its rows were read, the other one is found out when it has them.
    let error = StorageError::corrupt("segment", 0, "it cannot be read");
    engine.shard(torn).unwrap().set_damaged(error);
    tokio::time::timeout(PATIENCE, put_into(&engine, whole, 1000)).await.expect("room").unwrap();
    assert!([lost, torn].iter().all(|shard| scan(&engine, *shard).is_err()));
    assert_eq!(engine.stats().damaged, 2);
    // What is behind it in the log has been read to the end.
    let started = Instant::now();
    while engine.stats().delta_bytes > 10_000 {
        assert!(started.elapsed() < PATIENCE, "{:?}", engine.stats());
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    // The rows of the one that may be whole at the next start are still in the log.
    engine.checkpoint().unwrap();
    engine.close();
    drop(engine);
    let engine = open_with(&disk, Options { maintenance: false, ..Options::default() });
    assert_eq!(scan(&engine, torn).unwrap().len(), 300);
    assert_eq!(scan(&engine, whole).unwrap().len(), 1);
    assert!(scan(&engine, lost).is_err());
}

#[tokio::test]
async fn the_log_of_a_damaged_shard_goes_in_the_end() {
    let disk = FaultyDisk::default();
    let options = || Options {
        maintenance: false,
        checkpoint_bytes: 20_000,
        wal: WalOptions { file_bytes: 10_000, zero_ahead: 1000, ..WalOptions::default() },
        ..Options::default()
    };
    let engine = open_with(&disk, options());
    let (torn, whole) = (ShardId(1), ShardId(2));
    let shards = [torn, whole].map(|shard| (shard, GroupId(1), Generation(1)));
    engine.create_shards(&shape(), &shards).await.unwrap();
    put_into(&engine, torn, 0).await.unwrap();
    let error = StorageError::corrupt("segment", 7, "it cannot be read");
    engine.shard(torn).unwrap().set_damaged(error);
    let mut longest = 0;
    for id in 1..300 {
        put_into(&engine, whole, id).await.unwrap();
        if id % 20 == 0 {
            engine.checkpoint().unwrap();
            longest = longest.max(engine.stats().wal.files);
        }
        if id == 20 {
            let disk = disk.crash(1);
            let engine = open_with(&disk, options());
            assert_eq!(scan(&engine, torn).unwrap().len(), 1, "it may yet be whole");
        }
    }
    assert!((8..14).contains(&longest), "{longest} files of log");
    assert!(engine.stats().wal.files < 4, "{:?}", engine.stats());
    for seed in 0..4 {
        let engine = open_with(&disk.crash(seed), options());
        let error = scan(&engine, torn).unwrap_err();
        assert_eq!(error.to_string(), "segment is damaged at byte 7: it cannot be read");
        assert_eq!(scan(&engine, whole).unwrap().len(), 299);
    }
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
