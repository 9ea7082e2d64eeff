//! Long work in the background ends soon when nobody wants it any more.

use std::path::Path;
use std::sync::Arc;

use satsuma_common::{Generation, GroupId, ShardId, Timestamp};

use super::damage_tests::{context, scan};
use super::index_tests::{self, indexed_shape};
use super::tests::batch;
use super::*;
use crate::disk::Disk;
use crate::disk::faulty::FaultyDisk;

const SHARD: ShardId = ShardId(1);
const SEGMENTS: u64 = 6;
const ROWS: i64 = 4000;

fn open(disk: &FaultyDisk, maintenance: bool) -> Arc<Engine> {
    let expressions = Arc::new(index_tests::FirstDigit);
    let options = Options { maintenance, small_segment: 2000, expressions, ..Options::default() };
    Engine::open(Path::new("/data"), Arc::new(disk.clone()), options).unwrap()
}

/// A shard with more segments than it should have.
async fn filled() -> FaultyDisk {
    let disk = FaultyDisk::default();
    let engine = open(&disk, false);
    let shards = [(SHARD, GroupId(1), Generation(1))];
    engine.create_shards(&indexed_shape(), &shards).await.unwrap();
    for part in 0..SEGMENTS {
        let ids = part as i64 * ROWS..(part as i64 + 1) * ROWS;
        let names: Vec<_> = ids.clone().map(|id| format!("v{}", id * id % 7919)).collect();
        let rows: Vec<_> = ids.zip(names.iter().map(String::as_str)).collect();
        let context = context(10 + part);
        engine.insert(&context, SHARD, &batch(&rows), ConflictPolicy::Fail).await.unwrap();
        engine.commit(context.txn, Timestamp(0)).await.unwrap();
        engine.seal(&[engine.shard(SHARD).unwrap()]).unwrap();
    }
    engine.close();
    disk
}

fn segments(disk: &FaultyDisk) -> Vec<std::path::PathBuf> {
    disk.list(Path::new("/data/seg")).unwrap()
}

async fn until_a_sync_is_held(disk: &FaultyDisk) {
    while !disk.holds_a_sync() {
        tokio::time::sleep(std::time::Duration::from_millis(1)).await;
    }
}

#[tokio::test]
async fn a_close_ends_a_merge_in_its_midst() {
    let disk = filled().await;
    let before = segments(&disk);
    disk.hold_syncs(Some(Path::new("/data/seg")));
    let engine = open(&disk, true);
    until_a_sync_is_held(&disk).await;
    let closing = std::thread::spawn({
        let engine = engine.clone();
        move || engine.close()
    });
    while !engine.is_closed() {
        tokio::task::yield_now().await;
    }
    let at = disk.operations();
    disk.hold_syncs(None);
    closing.join().unwrap();
    // It had written one block of two.
    assert!(disk.operations() - at < 40, "{}", disk.operations() - at);
    assert_eq!((engine.stats().work.merges, segments(&disk)), (0, before));
    drop(engine);
    let engine = open(&disk, false);
    assert_eq!(scan(&engine, SHARD).unwrap().len() as i64, SEGMENTS as i64 * ROWS);
    assert!(engine.merge(&engine.shard(SHARD).unwrap()).unwrap());
    assert_eq!(scan(&engine, SHARD).unwrap().len() as i64, SEGMENTS as i64 * ROWS);
}

#[tokio::test]
async fn a_merge_of_a_shard_that_is_dropped_ends_in_its_midst() {
    let disk = filled().await;
    let engine = open(&disk, false);
    let shard = engine.shard(SHARD).unwrap();
    disk.hold_syncs(Some(Path::new("/data/seg")));
    let merging = std::thread::spawn({
        let (engine, shard) = (engine.clone(), shard.clone());
        move || engine.merge(&shard)
    });
    until_a_sync_is_held(&disk).await;
    engine.drop_shards(&[SHARD]).await.unwrap();
    let at = disk.operations();
    disk.hold_syncs(None);
    assert!(!merging.join().unwrap().unwrap());
    assert!(disk.operations() - at < 20, "{}", disk.operations() - at);
    engine.checkpoint().unwrap();
    assert_eq!(segments(&disk), Vec::<std::path::PathBuf>::new());
}

#[tokio::test]
async fn a_copy_does_not_wait_for_a_merge() {
    let disk = filled().await;
    let engine = open(&disk, false);
    let shard = engine.shard(SHARD).unwrap();
    disk.hold_syncs(Some(Path::new("/data/seg")));
    let merging = std::thread::spawn({
        let (engine, shard) = (engine.clone(), shard.clone());
        move || engine.merge(&shard)
    });
    until_a_sync_is_held(&disk).await;
    let copying = std::thread::spawn({
        let engine = engine.clone();
        move || CopyReader::open(&engine, GroupId(1)).map(drop)
    });
    while !engine.pins.has_copy_of(GroupId(1)) {
        tokio::task::yield_now().await;
    }
    disk.hold_syncs(None);
    copying.join().unwrap().unwrap();
    assert!(!merging.join().unwrap().unwrap());
}

/// It is held in memory only as far as it is being encoded.
#[tokio::test]
async fn a_merge_writes_as_it_goes() {
    let disk = filled().await;
    let engine = open(&disk, false);
    let shard = engine.shard(SHARD).unwrap();
    let before = segments(&disk);
    disk.hold_syncs(Some(Path::new("/data/seg")));
    let merging = std::thread::spawn({
        let (engine, shard) = (engine.clone(), shard.clone());
        move || engine.merge(&shard)
    });
    until_a_sync_is_held(&disk).await;
    let new: Vec<_> = segments(&disk).into_iter().filter(|path| !before.contains(path)).collect();
    let begun = disk.read(&new[0]).unwrap().len() as u64;
    disk.hold_syncs(None);
    assert!(merging.join().unwrap().unwrap());
    let whole = shard.contents().segments[0].size();
    assert!(begun > 0 && begun < whole, "{begun} of {whole}");
}
