use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use satsuma_common::{Generation, GroupId, ShardId, Timestamp};

use super::super::tests::{batch, key, shape, txn};
use super::super::{ConflictPolicy, Engine, Options, WriteContext};
use super::{CopyReader, CopyWriter};
use crate::disk::RealDisk;
use crate::error::StorageError;
use crate::shard::{ReadView, ScanOptions};
use crate::wal::WalOptions;

const GROUP: GroupId = GroupId(1);
const OTHER: GroupId = GroupId(2);
const SHARDS: [ShardId; 2] = [ShardId(11), ShardId(12)];
const NEIGHBOUR: ShardId = ShardId(21);
const LATE: Timestamp = Timestamp(1 << 50);
const HOLDER: satsuma_common::TxnId =
    satsuma_common::TxnId { start: Timestamp(u64::MAX), coordinator: satsuma_common::NodeId(0) };

/// Files turn over and are sealed often, so that a copy sees all of it.
fn open(dir: &std::path::Path) -> Arc<Engine> {
    let options = Options {
        wal: WalOptions { file_bytes: 32 << 10, zero_ahead: 8 << 10, ..WalOptions::default() },
        seal_bytes: 8 << 10,
        checkpoint_bytes: 64 << 10,
        ..Options::default()
    };
    Engine::open(dir, Arc::new(RealDisk), options).unwrap()
}

async fn source(dir: &std::path::Path) -> Arc<Engine> {
    let engine = open(dir);
    let mut shards: Vec<_> = SHARDS.map(|shard| (shard, GROUP, Generation(1))).into();
    shards.push((NEIGHBOUR, OTHER, Generation(1)));
    engine.create_shards(&shape(), &shards).await.unwrap();
    engine
}

fn context(start: u64) -> WriteContext {
    WriteContext { txn: txn(start), statement: 1, snapshot: LATE, lock_timeout: None }
}

async fn insert(engine: &Arc<Engine>, start: u64, shards: &[ShardId], id: i64, name: &str) {
    for shard in shards {
        let rows = batch(&[(id, name)]);
        engine.insert(&context(start), *shard, &rows, ConflictPolicy::Fail).await.unwrap();
    }
    engine.commit(txn(start), Timestamp(start)).await.unwrap();
    until_applied(engine).await;
}

/// A commit is answered a moment before the log says that it is in effect, which a copy goes by.
async fn until_applied(engine: &Engine) {
    while engine.wal.applied() < engine.lsn() {
        tokio::task::yield_now().await;
    }
}

/// Sends whatever there is.
async fn send(reader: &mut CopyReader, writer: &mut CopyWriter) {
    while let Some(chunk) = reader.next_chunk().unwrap() {
        writer.write(&chunk).await.unwrap();
    }
}

fn rows(engine: &Engine, shard: ShardId, snapshot: Timestamp) -> usize {
    let scan = engine.scan(shard, &ReadView::new(snapshot), &ScanOptions::default()).unwrap();
    scan.map(|batch| batch.unwrap().num_rows()).sum()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_group_moves_while_it_is_written() {
    let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (a, b) = (source(from.path()).await, open(to.path()));
    for id in 0..2000 {
        let start = u64::try_from(id).unwrap() + 1;
        insert(&a, start, &SHARDS, id, "before the copy").await;
    }
    let stop = Arc::new(AtomicBool::new(false));
    let writing = tokio::spawn({
        let (a, stop) = (a.clone(), stop.clone());
        async move {
            let mut start = 100_000;
            while !stop.load(Ordering::Relaxed) {
                let id = start as i64;
                insert(&a, start, &[SHARDS[0], NEIGHBOUR], id, "during the copy").await;
                let old = (start % 2000) as i64;
                let keys = [key(old)];
                let late = context(start + 1);
                let rows = batch(&[(old, "changed")]);
                match start % 3 {
                    0 => drop(a.delete(&late, SHARDS[1], &keys).await.unwrap()),
                    _ => drop(a.update(&late, SHARDS[1], &keys, &rows).await.unwrap()),
                }
                if start % 4 == 0 {
                    a.prepare(late.txn).await.unwrap();
                    a.commit_prepared(late.txn, Timestamp(start + 1)).await.unwrap();
                } else {
                    a.commit(late.txn, Timestamp(start + 1)).await.unwrap();
                }
                start += 2;
            }
        }
    });
    let mut reader = CopyReader::open(&a, GROUP).unwrap();
    let mut writer = CopyWriter::new(&b, GROUP);
    for _ in 0..30 {
        send(&mut reader, &mut writer).await;
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(b.generation(GROUP), Some(Generation(0)));
    stop.store(true, Ordering::Relaxed);
    writing.await.unwrap();
    a.hold_group(GROUP, HOLDER, Duration::from_secs(5)).await.unwrap();
    send(&mut reader, &mut writer).await;
    assert!(reader.progress().is_caught_up());
    let watermark = a.fence_group(GROUP, Generation(2), &SHARDS).await.unwrap();
    b.observe(watermark);
    b.set_generation(GROUP, Generation(2), satsuma_common::Epoch(1)).await.unwrap();
    a.release_group(HOLDER);

    let after = Timestamp(watermark.commit.0.max(watermark.read.0));
    let sums = b.checksum(GROUP, after).await.unwrap();
    assert!(matches!(a.checksum(GROUP, after).await, Err(StorageError::GroupMoved(GROUP))));
    assert!(sums.iter().all(|sum| sum.rows > 1000));
    for (shard, sum) in SHARDS.into_iter().zip(&sums) {
        assert_eq!(rows(&a, shard, after), sum.rows as usize);
        // Older snapshots see the same on both sides too.
        let early = Timestamp(1500);
        assert_eq!(rows(&a, shard, early), rows(&b, shard, early));
    }
    // The same after a restart of the target.
    drop(writer);
    b.close();
    drop(b);
    let b = open(to.path());
    assert_eq!(b.checksum(GROUP, after).await.unwrap(), sums);
    assert_eq!(b.generation(GROUP), Some(Generation(2)));
    assert!(!b.has_shard(NEIGHBOUR));
    // The fence outlives the source, and the source's copy goes.
    drop(reader);
    a.checkpoint().unwrap();
    a.close();
    drop(a);
    let a = open(from.path());
    assert!(a.is_fenced(GROUP));
    a.drop_group(GROUP, Generation(2)).await.unwrap();
    assert!(a.shards_of(GROUP).is_empty() && a.has_shard(NEIGHBOUR));
    assert!(matches!(b.drop_group(GROUP, Generation(2)).await, Err(StorageError::CopyBroken(_))));
}

#[tokio::test]
async fn a_hold_waits_for_transactions_and_a_fence_turns_the_next_away() {
    let dir = tempfile::tempdir().unwrap();
    let engine = source(dir.path()).await;
    let rows = batch(&[(1, "one")]);
    engine.insert(&context(10), SHARDS[0], &rows, ConflictPolicy::Fail).await.unwrap();
    engine.prepare(txn(10)).await.unwrap();
    let soon = Duration::from_millis(20);
    let held = engine.hold_group(GROUP, HOLDER, soon).await;
    assert!(matches!(held, Err(StorageError::LockTimeout)), "{held:?}");
    engine.commit_prepared(txn(10), Timestamp(10)).await.unwrap();
    engine.hold_group(GROUP, HOLDER, soon).await.unwrap();

    let waiting = tokio::spawn({
        let engine = engine.clone();
        let rows = batch(&[(2, "two")]);
        async move {
            engine.insert(&context(20), SHARDS[1], &rows, ConflictPolicy::Fail).await.map(drop)
        }
    });
    tokio::time::sleep(soon).await;
    assert!(!waiting.is_finished());
    engine.fence_group(GROUP, Generation(2), &SHARDS).await.unwrap();
    engine.release_group(HOLDER);
    assert!(matches!(waiting.await.unwrap(), Err(StorageError::GroupMoved(GROUP))));
    engine.abort(txn(20)).await.unwrap();
    // A late fence of an earlier attempt does nothing, a later generation lifts the fence.
    engine.fence_group(GROUP, Generation(2), &SHARDS).await.unwrap();
    engine.set_generation(GROUP, Generation(3), satsuma_common::Epoch(1)).await.unwrap();
    engine.fence_group(GROUP, Generation(2), &SHARDS).await.unwrap();
    assert!(!engine.is_fenced(GROUP));
    insert(&engine, 30, &SHARDS, 3, "three").await;
}

/// A load into another group is passed over, one into the group is sent.
#[tokio::test]
async fn a_copy_follows_loads_of_several_groups() {
    let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (a, b) = (source(from.path()).await, open(to.path()));
    let mut reader = CopyReader::open(&a, GROUP).unwrap();
    let mut writer = CopyWriter::new(&b, GROUP);
    send(&mut reader, &mut writer).await;
    let loaded = batch(&(0..3000).map(|id| (id, "loaded")).collect::<Vec<_>>());
    let mut load = a.bulk_load(context(1));
    for shard in [NEIGHBOUR, SHARDS[0]] {
        load.add(shard, &loaded).await.unwrap();
    }
    load.finish().await.unwrap();
    a.commit(txn(1), Timestamp(1)).await.unwrap();
    until_applied(&a).await;
    send(&mut reader, &mut writer).await;
    assert!(reader.progress().is_caught_up());
    assert_eq!((rows(&b, SHARDS[0], LATE), rows(&b, SHARDS[1], LATE)), (3000, 0));
}

/// Nobody has waited for the transactions on it.
#[tokio::test]
async fn a_shard_that_comes_while_the_group_is_held_stops_the_fence() {
    let dir = tempfile::tempdir().unwrap();
    let engine = source(dir.path()).await;
    let soon = Duration::from_millis(20);
    let held = engine.hold_group(GROUP, HOLDER, soon).await.unwrap();
    assert_eq!(held, SHARDS);
    let late = [(ShardId(13), GROUP, Generation(1))];
    engine.create_shards(&shape(), &late).await.unwrap();
    let refused = engine.fence_group(GROUP, Generation(2), &held).await;
    assert!(matches!(refused, Err(StorageError::CopyBroken(_))), "{refused:?}");
    assert!(!engine.is_fenced(GROUP));
    let refused = engine.share_group(GROUP, Generation(2), &held).await;
    assert!(matches!(refused, Err(StorageError::CopyBroken(_))), "{refused:?}");
    engine.release_group(HOLDER);
    let held = engine.hold_group(GROUP, HOLDER, soon).await.unwrap();
    engine.fence_group(GROUP, Generation(2), &held).await.unwrap();
    // None comes behind the fence, after a restart neither.
    engine.close();
    drop(engine);
    let engine = open(dir.path());
    let later = [(ShardId(14), GROUP, Generation(1))];
    let refused = engine.create_shards(&shape(), &later).await;
    assert!(matches!(refused, Err(StorageError::GroupMoved(GROUP))), "{refused:?}");
    assert!(engine.has_shard(ShardId(13)) && !engine.has_shard(ShardId(14)));
    engine.create_shards(&shape(), &late).await.unwrap();
}

/// Twice, as after an attempt that failed; and the target restarts without a checkpoint.
#[tokio::test]
async fn a_copy_outlives_its_worker_from_the_log_alone() {
    let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let a = source(from.path()).await;
    for id in 0..300 {
        insert(&a, id + 1, &SHARDS, id as i64, "sealed by the copy").await;
    }
    let open = || {
        let options = Options { maintenance: false, ..Options::default() };
        Engine::open(to.path(), Arc::new(RealDisk), options).unwrap()
    };
    for round in 0..2 {
        let b = open();
        b.drop_group(GROUP, Generation(1)).await.unwrap();
        let mut reader = CopyReader::open(&a, GROUP).unwrap();
        let mut writer = CopyWriter::new(&b, GROUP);
        send(&mut reader, &mut writer).await;
        insert(&a, 1000 + round, &SHARDS, 1000 + round as i64, "followed").await;
        send(&mut reader, &mut writer).await;
        let expected = a.checksum(GROUP, LATE).await.unwrap();
        assert_eq!(b.checksum(GROUP, LATE).await.unwrap(), expected);
        drop(writer);
        b.close();
        drop(b);
        let b = open();
        assert_eq!(b.checksum(GROUP, LATE).await.unwrap(), expected, "round {round}");
        b.close();
    }
}

/// A checkpoint must not take a copy that comes meanwhile for one of a shard that is gone.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn checkpoints_leave_copies_alone() {
    let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (a, b) = (source(from.path()).await, open(to.path()));
    insert(&a, 1, &SHARDS, 1, "copied").await;
    let stop = Arc::new(AtomicBool::new(false));
    let (engine, stopped) = (b.clone(), stop.clone());
    let checkpoints = std::thread::spawn(move || {
        while !stopped.load(Ordering::Relaxed) {
            engine.checkpoint().unwrap();
        }
    });
    for round in 0..60 {
        b.drop_group(GROUP, Generation(1)).await.unwrap();
        let mut reader = CopyReader::open(&a, GROUP).unwrap();
        let mut writer = CopyWriter::new(&b, GROUP);
        send(&mut reader, &mut writer).await;
        b.checkpoint().unwrap();
        for id in SHARDS {
            let shard = b.shard(id).unwrap();
            let manifest = b.manifest_of(&shard).unwrap();
            assert_eq!(manifest.map(|m| m.created), Some(shard.created.0), "round {round}");
        }
    }
    stop.store(true, Ordering::Relaxed);
    checkpoints.join().unwrap();
}

#[tokio::test]
async fn a_backup_has_what_its_snapshot_sees() {
    let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (a, b) = (source(from.path()).await, open(to.path()));
    for id in 0..300 {
        insert(&a, id + 1, &SHARDS, id as i64, "seen").await;
    }
    let snapshot = Timestamp(1000);
    let mut reader = super::SnapshotReader::open(&a, GROUP, snapshot).await.unwrap();
    insert(&a, 2000, &SHARDS, 2000, "too late").await;
    let rows_too = batch(&[(5, "changed too late")]);
    a.update(&context(2001), SHARDS[0], &[key(5)], &rows_too).await.unwrap();
    a.commit(txn(2001), Timestamp(2001)).await.unwrap();
    let expected = a.checksum(GROUP, snapshot).await.unwrap();
    let mut writer = CopyWriter::new(&b, GROUP);
    while let Some(chunk) = reader.next_chunk().unwrap() {
        writer.write(&chunk).await.unwrap();
    }
    assert_eq!(b.checksum(GROUP, LATE).await.unwrap(), expected);
    assert_eq!(rows(&b, SHARDS[0], LATE), 300);
    drop(writer);
    b.close();
    drop(b);
    assert_eq!(open(to.path()).checksum(GROUP, LATE).await.unwrap(), expected);
}

#[tokio::test]
async fn damaged_chunks_and_strange_items_are_refused() {
    let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (a, b) = (source(from.path()).await, open(to.path()));
    insert(&a, 1, &SHARDS, 1, "one").await;
    let mut reader = CopyReader::open(&a, GROUP).unwrap();
    let chunk = reader.next_chunk().unwrap().unwrap();
    let mut writer = CopyWriter::new(&b, GROUP);
    for at in 0..chunk.len() {
        let mut bad = chunk.clone();
        bad[at] ^= 1;
        assert!(matches!(writer.write(&bad).await, Err(StorageError::CopyBroken(_))), "{at}");
    }
    let mut of_another = CopyWriter::new(&b, OTHER);
    of_another.write(&chunk).await.unwrap();
    let refused = CopyWriter::new(&b, GROUP).write(&chunk).await;
    assert!(matches!(refused, Err(StorageError::CopyBroken(_))), "{refused:?}");
    b.drop_group(OTHER, Generation(1)).await.unwrap();
}
