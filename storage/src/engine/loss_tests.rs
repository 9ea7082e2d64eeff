//! Damage in the middle of the log: told with file and offset, of the shards whose records they
//! were, until these are dropped; nobody else suffers.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use satsuma_common::{Epoch, Generation, GroupId, ShardId, TableId, Timestamp};

use super::damage_tests::{NOW, Rows, SHARDS, context, open, scan, stored};
use super::index_tests::{self, indexed_shape};
use super::tests::{batch, key, txn};
use super::*;
use crate::disk::Disk;
use crate::disk::faulty::FaultyDisk;
use crate::manifest;
use crate::shard::ReadView;
use crate::wal::frame::{Head, find_head};
use crate::wal::record::{MetaChange, Record};
use crate::wal::{Entry, LogKey, Scope, WalOptions};

/// Where the log has its frames.
pub fn frames(disk: &FaultyDisk) -> Vec<(PathBuf, usize, Head)> {
    let format = disk.read(Path::new("/data/FORMAT")).unwrap();
    let key = String::from_utf8(format).unwrap().lines().nth(2).unwrap().to_owned();
    let key = LogKey(u32::from_str_radix(&key, 16).unwrap());
    let mut frames = Vec::new();
    for path in disk.list(Path::new("/data/wal")).unwrap() {
        let bytes = disk.read(&path).unwrap();
        let mut at = 0;
        while let Some((place, head)) = find_head(key, &bytes, at, 0) {
            frames.push((path.clone(), place, head));
            at = place + head.size();
        }
    }
    frames
}

fn place(disk: &FaultyDisk, lsn: u64) -> (PathBuf, usize, Head) {
    frames(disk).into_iter().find(|(_, _, head)| head.lsn == lsn).unwrap()
}

/// Damages a record, but not what the log says of it.
pub fn damage(disk: &FaultyDisk, lsn: u64) -> String {
    let (path, at, head) = place(disk, lsn);
    disk.flip(&path, ((at + head.len()) * 8 - 3) as u64);
    format!("{} is damaged at byte {at}: ", path.display())
}

/// Damages all of a record's frame.
fn wipe(disk: &FaultyDisk, lsn: u64) -> String {
    let (path, at, head) = place(disk, lsn);
    disk.open(&path).unwrap().write_at(&vec![0x5a; head.size()], at as u64).unwrap();
    format!("{} is damaged at byte {at}: ", path.display())
}

fn stop(engine: Arc<Engine>) {
    engine.close();
}

/// A copy of a directory, opened after a record has been damaged, and what is told of that.
fn open_damaged(disk: &FaultyDisk, lsn: u64) -> (Arc<Engine>, String) {
    let disk = disk.crash(0);
    let told = damage(&disk, lsn);
    (open(&disk).unwrap(), told)
}

pub async fn create(engine: &Arc<Engine>, shards: &[ShardId]) {
    let shards: Vec<_> =
        shards.iter().map(|shard| (*shard, GroupId(shard.0), Generation(1))).collect();
    engine.create_shards(&indexed_shape(), &shards).await.unwrap();
}

async fn put(engine: &Arc<Engine>, start: u64, shard: ShardId, id: i64) -> Result<()> {
    let context = context(start);
    engine.insert(&context, shard, &batch(&[(id, "v")]), ConflictPolicy::Fail).await?;
    engine.commit(context.txn, Timestamp(0)).await.map(drop)
}

/// Prepares the insertion of a row into each of the shards.
async fn prepare(engine: &Arc<Engine>, start: u64, shards: &[ShardId], id: i64) -> Timestamp {
    for shard in shards {
        let rows = batch(&[(id, "v")]);
        engine.insert(&context(start), *shard, &rows, ConflictPolicy::Fail).await.unwrap();
    }
    engine.prepare(txn(start)).await.unwrap()
}

fn rows(ids: std::ops::Range<i64>) -> Rows {
    ids.map(|id| (id, "v".to_owned())).collect()
}

/// Three shards that are made by the first record and written to in turn by the next thirty.
async fn filled() -> FaultyDisk {
    let disk = FaultyDisk::default();
    let engine = open(&disk).unwrap();
    create(&engine, &SHARDS).await;
    for id in 0..10 {
        for shard in SHARDS {
            put(&engine, 10 + id as u64 * 3 + shard.0, shard, id).await.unwrap();
        }
    }
    engine.close();
    disk
}

fn check_lost<T: std::fmt::Debug>(result: Result<T>, told: &str) {
    let error = result.unwrap_err();
    assert!(matches!(error, StorageError::Corrupt { .. }), "{error}");
    assert!(error.to_string().starts_with(told), "{error}: {told}");
}

/// Nothing needs the damaged record any more; those that come after it do.
#[tokio::test]
async fn a_record_that_the_segments_have_is_not_made_again() {
    for ruin in [damage, wipe] {
        let disk = filled().await;
        let engine = open(&disk).unwrap();
        engine.checkpoint().unwrap();
        let last = frames(&disk).last().unwrap().2.lsn;
        drop(engine);
        ruin(&disk, last);
        for round in 0..3 {
            let engine = open(&disk).unwrap();
            for shard in SHARDS {
                put(&engine, 100 + round * 10 + shard.0, shard, 10 + round as i64).await.unwrap();
            }
            let disk = disk.crash(round);
            drop(engine);
            let engine = open(&disk).unwrap();
            for shard in SHARDS {
                assert_eq!(scan(&engine, shard).unwrap(), rows(0..11 + round as i64), "{shard}");
            }
        }
    }
}

/// What the log of a transaction's commit told is lost, and the shard has later rows sealed: told
/// again, the commit would put its row above them.
#[tokio::test]
async fn a_shard_whose_rows_a_lost_commit_may_hide_refuses() {
    let disk = filled().await;
    let engine = open(&disk).unwrap();
    let context = context(50);
    engine.insert(&context, SHARDS[0], &batch(&[(20, "old")]), ConflictPolicy::Fail).await.unwrap();
    let ts = engine.prepare(context.txn).await.unwrap();
    let before = engine.lsn().0;
    engine.commit_prepared(context.txn, ts).await.unwrap();
    engine.delete(&super::damage_tests::context(51), SHARDS[0], &[key(20)]).await.unwrap();
    engine.commit(txn(51), Timestamp(0)).await.unwrap();
    engine.seal(&[engine.shard(SHARDS[0]).unwrap()]).unwrap();
    stop(engine);
    let (engine, told) = open_damaged(&disk, before + 1);
    let _ = engine.commit_prepared(txn(50), ts).await;
    check_lost(scan(&engine, SHARDS[0]), &told);
    for shard in &SHARDS[1..] {
        assert_eq!(scan(&engine, *shard).unwrap(), rows(0..10), "{shard}");
    }
}

#[tokio::test]
async fn a_damaged_record_costs_its_shard_until_that_is_dropped_and_nobody_else() {
    for ruin in [damage, wipe] {
        let disk = filled().await;
        // The fifth round's record of the second shard.
        let told = ruin(&disk, 15);
        let check = |engine: &Engine, upto: i64| {
            check_lost(scan(engine, SHARDS[1]), &told);
            check_lost(engine.get(SHARDS[1], &key(1), &ReadView::new(NOW)), &told);
            for shard in [SHARDS[0], SHARDS[2]] {
                assert_eq!(scan(engine, shard).unwrap(), rows(0..upto), "{shard}");
            }
        };
        let engine = open(&disk).unwrap();
        assert!((0..8).all(|seed| !has_no_losses(&disk.crash(seed))), "stored before it serves");
        check(&engine, 10);
        check_lost(put(&engine, 100, SHARDS[1], 10).await, &told);
        check_lost(engine.truncate(&context(101), SHARDS[1]).await, &told);
        engine.abort(txn(101)).await.unwrap();
        for (start, shard) in (110..).zip([SHARDS[0], SHARDS[2]]) {
            put(&engine, start, shard, 10).await.unwrap();
        }
        engine.checkpoint().unwrap();
        let checkpoint: Option<manifest::Checkpoint> =
            manifest::get(&stored(&disk), manifest::CHECKPOINT).unwrap();
        assert!(checkpoint.unwrap().log_from >= engine.lsn().0, "the log can go");
        while engine.merge(&engine.shard(SHARDS[0]).unwrap()).unwrap() {}
        check(&engine, 11);
        stop(engine);

        let engine = open(&disk).unwrap();
        check(&engine, 11);
        stop(engine);
        // Whatever becomes of the log.
        let cut = disk.crash(3);
        for path in cut.list(Path::new("/data/wal")).unwrap() {
            cut.remove(&path).unwrap();
        }
        check_lost(scan(&open(&cut).unwrap(), SHARDS[1]), &told);

        let engine = open(&disk).unwrap();
        engine.drop_shards(&[SHARDS[1]]).await.unwrap();
        create(&engine, &[SHARDS[1]]).await;
        put(&engine, 200, SHARDS[1], 0).await.unwrap();
        for _ in 0..2 {
            let engine = open(&disk.crash(1)).unwrap();
            assert_eq!(scan(&engine, SHARDS[1]).unwrap(), rows(0..1));
            assert_eq!(scan(&engine, SHARDS[2]).unwrap(), rows(0..11));
        }
        engine.checkpoint().unwrap();
        assert!(has_no_losses(&disk));
        stop(engine);
        let engine = open(&disk).unwrap();
        assert_eq!(scan(&engine, SHARDS[1]).unwrap(), rows(0..1));
    }
}

fn has_no_losses(disk: &FaultyDisk) -> bool {
    stored(disk).scan(b"d").unwrap().is_empty()
}

#[tokio::test]
async fn a_shard_that_has_the_record_in_its_segments_has_lost_nothing() {
    let disk = filled().await;
    let engine = open(&disk).unwrap();
    // The log stays, for the others.
    engine.seal(&[engine.shard(SHARDS[1]).unwrap()]).unwrap();
    stop(engine);
    damage(&disk, 15);
    let engine = open(&disk).unwrap();
    for shard in SHARDS {
        assert_eq!(scan(&engine, shard).unwrap(), rows(0..10));
    }
}

#[tokio::test]
async fn records_of_a_shard_that_was_dropped_are_not_those_of_its_successor() {
    let disk = filled().await;
    let engine = open(&disk).unwrap();
    // What keeps the log, for the next start to read it from its beginning.
    prepare(&engine, 300, &SHARDS[2..], 50).await;
    put(&engine, 301, SHARDS[1], 70).await.unwrap();
    engine.drop_shards(&[SHARDS[1]]).await.unwrap();
    create(&engine, &[SHARDS[1]]).await;
    engine.checkpoint().unwrap();
    stop(engine);
    let engine = open(&disk).unwrap();
    assert_eq!(scan(&engine, SHARDS[1]).unwrap(), []);
}

#[tokio::test]
async fn a_shard_whose_creation_is_lost_is_not_made_anew_but_dropped() {
    for ruin in [damage, wipe] {
        let disk = filled().await;
        let told = ruin(&disk, 1);
        for _ in 0..2 {
            let engine = open(&disk).unwrap();
            for shard in SHARDS {
                check_lost(scan(&engine, shard), &told);
                check_lost(engine.check_group(GroupId(shard.0)), &told);
                let shards = [(shard, GroupId(shard.0), Generation(1))];
                check_lost(engine.create_shards(&indexed_shape(), &shards).await, &told);
            }
            engine.checkpoint().unwrap();
            engine.close();
        }
        let engine = open(&disk).unwrap();
        engine.drop_shards(&SHARDS[..2]).await.unwrap();
        engine.drop_group(GroupId(3), Generation(2)).await.unwrap();
        create(&engine, &SHARDS).await;
        put(&engine, 200, SHARDS[1], 5).await.unwrap();
        stop(engine);
        let engine = open(&disk).unwrap();
        assert_eq!(scan(&engine, SHARDS[1]).unwrap(), rows(5..6));
        assert_eq!(scan(&engine, SHARDS[0]).unwrap(), []);
    }
}

/// Logs that the shards are made, whether they are here or not.
async fn log_creation(engine: &Engine, shards: &[ShardId]) {
    let shards: Vec<_> =
        shards.iter().map(|shard| (*shard, GroupId(shard.0), Generation(1))).collect();
    let change = MetaChange::CreateShards { shape: Box::new(indexed_shape()), shards };
    let scope = engine.meta.read().scope_of(&change);
    let payload = Record::Meta(change).encode().unwrap();
    engine.wal.append(vec![Entry { scope, payload }], Box::new(|logged| assert!(logged.is_ok())));
    engine.wal.sync().unwrap();
}

#[tokio::test]
async fn a_shard_whose_creation_is_lost_is_not_made_by_a_later_record_of_it() {
    for ruin in [damage, wipe] {
        let disk = filled().await;
        let engine = open(&disk).unwrap();
        let before = engine.lsn();
        create(&engine, &SHARDS).await;
        assert_eq!(engine.lsn(), before, "nothing is new");
        log_creation(&engine, &SHARDS).await;
        put(&engine, 300, SHARDS[1], 10).await.unwrap();
        stop(engine);
        let told = ruin(&disk, 1);
        for _ in 0..2 {
            let engine = open(&disk).unwrap();
            SHARDS.iter().for_each(|shard| check_lost(scan(&engine, *shard), &told));
            engine.checkpoint().unwrap();
            engine.close();
        }
    }
}

/// More is lost than the log tells of.
#[tokio::test]
async fn a_shard_that_was_written_to_before_it_was_made_refuses() {
    let disk = FaultyDisk::default();
    let engine = open_small(&disk).unwrap();
    create(&engine, &SHARDS[..2]).await;
    for id in 0..100 {
        put(&engine, 100 + id as u64, SHARDS[1], id).await.unwrap();
    }
    put(&engine, 300, SHARDS[0], 1).await.unwrap();
    log_creation(&engine, &SHARDS[..1]).await;
    put(&engine, 301, SHARDS[0], 2).await.unwrap();
    create(&engine, &SHARDS[2..]).await;
    stop(engine);
    (1..=90).for_each(|lsn| drop(wipe(&disk, lsn)));
    for _ in 0..2 {
        let engine = open_small(&disk).unwrap();
        SHARDS[..2].iter().for_each(|shard| check_lost(scan(&engine, *shard), ""));
        assert_eq!(scan(&engine, SHARDS[2]).unwrap(), []);
        engine.close();
    }
}

/// What the store has only where something is under way or was lost.
#[tokio::test]
async fn a_flipped_bit_in_what_the_store_seldom_has_is_told() {
    let disk = filled().await;
    damage(&disk, 15);
    let engine = open(&disk).unwrap();
    let mut other = indexed_shape();
    other.table = TableId(77);
    for (version, shard) in [(1, 4), (2, 5)] {
        other.version = version;
        engine.create_shards(&other, &[(ShardId(shard), GroupId(4), Generation(1))]).await.unwrap();
    }
    engine.define_table(&other, txn(300)).await.unwrap();
    engine.fence_group(GroupId(1), Generation(2), &SHARDS[..1]).await.unwrap();
    engine.checkpoint().unwrap();
    stop(engine);
    assert!(open(&disk).is_ok());
    for kind in [b"r", b"p", b"f", b"d"] {
        let (key, value) = stored(&disk).scan(kind).unwrap().pop().unwrap();
        for at in 0..value.len() {
            let mut damaged = value.to_vec();
            damaged[at] ^= 1 << (at % 8);
            stored(&disk).write(vec![(key.clone(), Some(damaged.into()))]).unwrap();
            let error = open(&disk).unwrap_err();
            assert!(matches!(error, StorageError::Corrupt { .. }), "{error}");
        }
        stored(&disk).write(vec![(key, Some(value))]).unwrap();
    }
    assert!(open(&disk).is_ok());
}

#[tokio::test]
async fn a_change_is_about_the_shards_that_were_made_just_before_it() {
    let disk = FaultyDisk::default();
    let engine = open_small(&disk).unwrap();
    for round in 0..20 {
        let shard = ShardId(100 + round);
        let shape = indexed_shape();
        let made = [shard];
        tokio::join!(create(&engine, &made), async {
            engine.alter_table(&shape).await.unwrap();
        });
        let (path, at, head) = frames(&disk).pop().unwrap();
        let notes = head.notes(&disk.read(&path).unwrap()[at..]).unwrap();
        let Scope::Shards(concerns) = notes.scope else { panic!("{:?}", notes.scope) };
        assert!(concerns.iter().any(|concern| concern.shard == shard), "{concerns:?}");
    }
}

#[tokio::test]
async fn a_lost_change_of_a_table_or_a_group_costs_their_shards() {
    let disk = filled().await;
    let engine = open(&disk).unwrap();
    let mut shape = indexed_shape();
    shape.version += 1;
    engine.alter_table(&shape).await.unwrap();
    let altered = engine.lsn().0;
    let group = GroupId(SHARDS[0].0);
    engine.fence_group(group, Generation(5), &[SHARDS[0]]).await.unwrap();
    let fenced = engine.lsn().0;
    engine.set_generation(GroupId(2), Generation(2), Epoch(1)).await.unwrap();
    put(&engine, 300, SHARDS[2], 10).await.unwrap();
    stop(engine);
    for (lsn, lost) in [(altered, &SHARDS[..]), (fenced, &SHARDS[..1]), (fenced + 1, &SHARDS[1..2])]
    {
        let (engine, told) = open_damaged(&disk, lsn);
        for shard in SHARDS {
            match lost.contains(&shard) {
                true => {
                    check_lost(scan(&engine, shard), &told);
                    check_lost(engine.check_group(GroupId(shard.0)), &told);
                }
                false => {
                    scan(&engine, shard).unwrap();
                    engine.check_group(GroupId(shard.0)).unwrap();
                }
            }
        }
    }
}

#[tokio::test]
async fn a_lost_record_of_a_prepared_transaction_costs_what_it_wrote_to() {
    let disk = filled().await;
    let engine = open(&disk).unwrap();
    let ts = prepare(&engine, 300, &SHARDS[..2], 50).await;
    let prepared = engine.lsn().0;
    // Sealed behind the record and without its rows.
    put(&engine, 301, SHARDS[0], 60).await.unwrap();
    engine.seal(&[engine.shard(SHARDS[0]).unwrap()]).unwrap();
    engine.commit_prepared(txn(300), ts).await.unwrap();
    engine.settled().await.unwrap();
    let committed = engine.lsn().0;
    put(&engine, 302, SHARDS[2], 10).await.unwrap();
    stop(engine);
    for lsn in [prepared, committed] {
        let (engine, told) = open_damaged(&disk, lsn);
        check_lost(scan(&engine, SHARDS[0]), &told);
        check_lost(scan(&engine, SHARDS[1]), &told);
        assert_eq!(scan(&engine, SHARDS[2]).unwrap(), rows(0..11));
    }
}

#[tokio::test]
async fn a_load_that_its_shard_has_outlives_the_loss_of_its_commit() {
    let disk = FaultyDisk::default();
    let engine = open_small(&disk).unwrap();
    create(&engine, &SHARDS).await;
    put(&engine, 90, SHARDS[1], 0).await.unwrap();
    load(&engine, 100, SHARDS[0], 0..50).await;
    let ts = engine.prepare(txn(100)).await.unwrap();
    engine.commit_prepared(txn(100), ts).await.unwrap();
    engine.settled().await.unwrap();
    let committed = engine.lsn().0;
    put(&engine, 110, SHARDS[0], 50).await.unwrap();
    engine.seal(&[engine.shard(SHARDS[0]).unwrap()]).unwrap();
    put(&engine, 120, SHARDS[1], 1).await.unwrap();
    stop(engine);
    damage(&disk, committed);
    let engine = open_small(&disk).unwrap();
    assert_eq!(scan(&engine, SHARDS[0]).unwrap(), rows(0..51));
    // Whoever decided has forgotten it, and takes it for aborted.
    assert_eq!(engine.prepared().len(), 1);
    engine.abort(txn(100)).await.unwrap();
    stop(engine);
    let engine = open_small(&disk).unwrap();
    assert_eq!(scan(&engine, SHARDS[0]).unwrap(), rows(0..51));
}

#[tokio::test]
async fn a_large_transaction_is_lost_with_any_of_its_parts() {
    let disk = filled().await;
    let engine = open(&disk).unwrap();
    let name = "x".repeat(1 << 16);
    let many: Vec<_> = (100..190).map(|id| (id, name.as_str())).collect();
    let before = engine.lsn().0;
    for shard in &SHARDS[..2] {
        engine.insert(&context(300), *shard, &batch(&many), ConflictPolicy::Fail).await.unwrap();
    }
    engine.commit(txn(300), Timestamp(0)).await.unwrap();
    let last = engine.lsn().0;
    assert!(last > before + 2);
    put(&engine, 301, SHARDS[2], 10).await.unwrap();
    stop(engine);
    for lsn in before + 1..=last {
        let (engine, told) = open_damaged(&disk, lsn);
        let lost = SHARDS.map(|shard| scan(&engine, shard).is_err());
        // The last record is about all that its parts are about.
        assert!(lost[0] || lost[1], "{told}");
        assert!(lsn < last || lost == [true, true, false], "{lost:?}");
        assert!(!lost[2]);
    }
}

#[tokio::test]
async fn a_copy_of_another_group_passes_by_damage() {
    let disk = filled().await;
    let engine = open(&disk).unwrap();
    // The copy has to read the log from its beginning: a transaction is undecided since then.
    prepare(&engine, 300, &SHARDS[2..], 50).await;
    put(&engine, 301, SHARDS[1], 70).await.unwrap();
    let lost = engine.lsn().0;
    put(&engine, 302, SHARDS[2], 10).await.unwrap();
    stop(engine);
    let (engine, told) = open_damaged(&disk, lost);
    let mut copy = CopyReader::open(&engine, GroupId(SHARDS[2].0)).unwrap();
    while copy.next_chunk().unwrap().is_some() {}
    check_lost(CopyReader::open(&engine, GroupId(SHARDS[1].0)), &told);
    check_lost(SnapshotReader::open(&engine, GroupId(SHARDS[1].0), NOW).await, &told);
}

/// A log of many files, and loads of a few rows.
pub fn open_small(disk: &FaultyDisk) -> Result<Arc<Engine>> {
    let options = Options {
        maintenance: false,
        bulk_rows: 2,
        small_segment: 2000,
        wal: WalOptions { file_bytes: 3000, zero_ahead: 512, ..WalOptions::default() },
        expressions: Arc::new(index_tests::FirstDigit),
        ..Options::default()
    };
    Engine::open(Path::new("/data"), Arc::new(disk.clone()), options)
}

pub async fn load(engine: &Arc<Engine>, start: u64, shard: ShardId, ids: std::ops::Range<i64>) {
    let rows: Vec<_> = ids.map(|id| (id, "v")).collect();
    let mut load = engine.bulk_load(context(start));
    load.add(shard, &batch(&rows)).await.unwrap();
    load.finish().await.unwrap();
}
