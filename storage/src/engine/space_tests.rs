//! Space comes back: what a directory takes once rows, tables and shards are gone, and what small
//! tables take.

use std::path::Path;
use std::sync::Arc;

use satsuma_common::{Generation, GroupId, ShardId, TableId, Timestamp};

use super::damage_tests::{context, scan};
use super::index_tests::{self, indexed_shape};
use super::tests::{batch, key, shape, txn};
use super::*;
use crate::disk::faulty::FaultyDisk;
use crate::disk::{Disk, RealDisk};
use crate::wal::WalOptions;

const SHARDS: [ShardId; 2] = [ShardId(1), ShardId(2)];
const ROWS: i64 = 6000;

struct Place {
    disk: FaultyDisk,
    engine: Arc<Engine>,
}

/// Bytes of the log, and of all the rest.
#[derive(Clone, Copy, Debug)]
struct Used {
    log: u64,
    rest: u64,
}

impl Place {
    /// Two shards with rows, in segments and indexes.
    async fn filled() -> Self {
        let disk = FaultyDisk::default();
        let options = Options {
            maintenance: false,
            wal: WalOptions { file_bytes: 64 << 10, zero_ahead: 4096, ..WalOptions::default() },
            small_segment: 2000,
            expressions: Arc::new(index_tests::FirstDigit),
            ..Options::default()
        };
        let engine = Engine::open(Path::new("/data"), Arc::new(disk.clone()), options).unwrap();
        let shards = SHARDS.map(|shard| (shard, GroupId(shard.0), Generation(1)));
        engine.create_shards(&indexed_shape(), &shards).await.unwrap();
        let place = Self { disk, engine };
        for (start, shard) in (10..).zip(SHARDS) {
            place.insert(start, shard, 0..ROWS).await;
        }
        place.tidy(20);
        place
    }

    async fn insert(&self, start: u64, shard: ShardId, ids: std::ops::Range<i64>) {
        let names: Vec<_> = ids.clone().map(|id| format!("v{}", id * id % 7919)).collect();
        let rows: Vec<_> = ids.zip(names.iter().map(String::as_str)).collect();
        let context = context(start);
        self.engine.insert(&context, shard, &batch(&rows), ConflictPolicy::Fail).await.unwrap();
        self.engine.commit(context.txn, Timestamp(start)).await.unwrap();
    }

    /// What the thread in the background does, when nobody reads as of before.
    fn tidy(&self, now: u64) {
        self.engine.set_oldest_snapshot(Timestamp(now));
        self.engine.checkpoint().unwrap();
        for shard in self.engine.shards() {
            while self.engine.merge(&self.engine.shard(shard.shard).unwrap()).unwrap() {}
        }
        self.engine.checkpoint().unwrap();
    }

    fn used(&self) -> Used {
        let log = Path::new("/data/wal");
        let files = self.disk.paths().into_iter().filter(|path| path.parent() == Some(log));
        let log = files.map(|path| self.disk.read(&path).unwrap().len() as u64).sum();
        let entries = self.engine.store.kv.scan(b"").unwrap();
        let entries: usize = entries.iter().map(|(key, value)| key.len() + value.len()).sum();
        Used { log, rest: self.disk.used() - log + entries as u64 }
    }
}

#[tokio::test]
async fn deleted_rows_give_their_space_back() {
    let place = Place::filled().await;
    let full = place.used();
    let gone: Vec<_> = (0..ROWS - 100).map(key).collect();
    place.engine.delete(&context(30), SHARDS[0], &gone).await.unwrap();
    place.engine.commit(txn(30), Timestamp(30)).await.unwrap();
    place.tidy(40);
    let one = place.used();
    assert!(one.rest < full.rest * 55 / 100, "{full:?} {one:?}");
    let gone: Vec<_> = (0..ROWS).map(key).collect();
    place.engine.delete(&context(50), SHARDS[1], &gone).await.unwrap();
    place.engine.commit(txn(50), Timestamp(50)).await.unwrap();
    place.tidy(60);
    let none = place.used();
    assert!(none.rest < full.rest * 5 / 100, "{full:?} {none:?}");
    assert_eq!(scan(&place.engine, SHARDS[0]).unwrap().len(), 100);
    assert_eq!(scan(&place.engine, SHARDS[1]).unwrap(), []);
}

#[tokio::test]
async fn rows_that_are_changed_again_and_again_take_the_space_of_one_version() {
    let place = Place::filled().await;
    let full = place.used();
    for round in 0..8 {
        let start = 100 + round * 10;
        let names: Vec<_> = (0..ROWS).map(|id| format!("v{}", id * id % 7919)).collect();
        let rows: Vec<_> = (0..).zip(names.iter().map(String::as_str)).collect();
        let keys: Vec<_> = (0..ROWS).map(key).collect();
        let update = context(start);
        place.engine.update(&update, SHARDS[0], &keys, &batch(&rows)).await.unwrap();
        place.engine.commit(update.txn, Timestamp(start)).await.unwrap();
        place.tidy(start + 1);
    }
    let after = place.used();
    assert!(after.rest < full.rest * 130 / 100, "{full:?} {after:?}");
    // The log has no more than its last file, which a single write may have made longer.
    assert!(after.log < 4 * full.log.max(64 << 10), "{full:?} {after:?}");
}

#[tokio::test]
async fn truncated_rows_give_their_space_back_once_no_snapshot_sees_them() {
    let place = Place::filled().await;
    let full = place.used();
    for shard in SHARDS {
        place.engine.truncate(&context(30), shard).await.unwrap();
    }
    place.engine.commit(txn(30), Timestamp(30)).await.unwrap();
    place.tidy(25);
    assert!(place.used().rest > full.rest / 2, "a snapshot before it may still be read");
    place.tidy(40);
    let none = place.used();
    assert!(none.rest < full.rest * 3 / 100, "{full:?} {none:?}");
}

#[tokio::test]
async fn dropped_tables_leave_nothing() {
    let place = Place::filled().await;
    let full = place.used();
    place.engine.drop_shards(&SHARDS[..1]).await.unwrap();
    place.engine.checkpoint().unwrap();
    let one = place.used();
    assert!(one.rest < full.rest * 55 / 100, "{full:?} {one:?}");
    place.engine.drop_shards(&SHARDS[1..]).await.unwrap();
    place.engine.checkpoint().unwrap();
    assert_eq!(place.disk.list(Path::new("/data/seg")).unwrap(), [] as [std::path::PathBuf; 0]);
    let kinds: Vec<u8> =
        place.engine.store.kv.scan(b"").unwrap().iter().map(|(key, _)| key[0]).collect();
    assert_eq!(kinds, b"c");
}

#[tokio::test]
async fn a_group_that_has_gone_elsewhere_leaves_nothing() {
    let place = Place::filled().await;
    let full = place.used();
    let group = GroupId(SHARDS[0].0);
    let mut copy = CopyReader::open(&place.engine, group).unwrap();
    while copy.next_chunk().unwrap().is_some() {}
    place.engine.fence_group(group, Generation(2), &SHARDS[..1]).await.unwrap();
    drop(copy);
    place.engine.drop_group(group, Generation(2)).await.unwrap();
    place.engine.checkpoint().unwrap();
    let after = place.used();
    assert!(after.rest < full.rest * 55 / 100, "{full:?} {after:?}");
    assert_eq!(scan(&place.engine, SHARDS[1]).unwrap().len(), ROWS as usize);
}

/// What a directory's files take on the disk.
fn measure(dir: &Path) -> (u64, usize) {
    use std::os::unix::fs::MetadataExt;
    let (mut bytes, mut files) = (0, 0);
    for entry in std::fs::read_dir(dir).unwrap() {
        let entry = entry.unwrap();
        let metadata = entry.metadata().unwrap();
        if metadata.is_dir() {
            let (inner, more) = measure(&entry.path());
            (bytes, files) = (bytes + inner, files + more);
        } else {
            (bytes, files) = (bytes + metadata.blocks() * 512, files + 1);
        }
    }
    (bytes, files)
}

#[tokio::test]
async fn tables_of_a_hundred_rows_in_32_shards_take_kilobytes_and_no_files() {
    let dir = tempfile::tempdir().unwrap();
    let options = Options { maintenance: false, ..Options::default() };
    let engine = Engine::open(dir.path(), Arc::new(RealDisk), options).unwrap();
    let mut start = 10;
    let mut sizes = Vec::new();
    for number in 0..20 {
        let mut shape = shape();
        shape.table = TableId(20_000 + number);
        shape.name = format!("small_{number}");
        let shards: Vec<_> = (0..32)
            .map(|shard| (ShardId(u64::from(number) * 32 + shard), GroupId(shard), Generation(1)))
            .collect();
        engine.create_shards(&shape, &shards).await.unwrap();
        for (row, (shard, ..)) in (0..100).zip(shards.iter().cycle()) {
            let context = context(start);
            let rows = batch(&[(row, "a name of some length")]);
            engine.insert(&context, *shard, &rows, ConflictPolicy::Fail).await.unwrap();
            engine.commit(context.txn, Timestamp(start)).await.unwrap();
            start += 1;
        }
        engine.checkpoint().unwrap();
        let log = measure(&dir.path().join("wal")).0;
        let (all, files) = measure(dir.path());
        // The key-value store's own are few, and larger than in this test.
        let files = files - measure(&dir.path().join("kv")).1;
        sizes.push(((all - log) >> 10, files));
    }
    assert_eq!(measure(&dir.path().join("seg")).1, 0);
    let ((first, files), (last, more)) = (sizes[0], sizes[19]);
    assert!(more <= files + 2, "{sizes:?}");
    assert!((last - first) / 19 < 100, "kilobytes of a table: {sizes:?}");
}
