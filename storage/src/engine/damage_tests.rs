//! Damage, and disks that fail: a bit flipped in whatever a directory holds is told, or makes no
//! difference.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::AsArray;
use arrow::datatypes::Int64Type;
use satsuma_common::{Generation, GroupId, ShardId, Timestamp};

use super::index_tests::{self, indexed_shape};
use super::tests::{batch, key, txn};
use super::*;
use crate::disk::faulty::{Chance, Faults, FaultyDisk};
use crate::disk::{Disk, RealDisk};
use crate::kv::Kv;
use crate::seeds::{self, for_each_seed};
use crate::shard::{ReadView, ScanOptions};
use crate::wal::WalOptions;

/// The last one has a few rows, and no file of its own.
pub const SHARDS: [ShardId; 3] = [ShardId(1), ShardId(2), ShardId(3)];
pub const NOW: Timestamp = Timestamp(1 << 40);

pub type Rows = Vec<(i64, String)>;

fn options() -> Options {
    Options {
        maintenance: false,
        small_segment: 2000,
        expressions: Arc::new(index_tests::FirstDigit),
        ..Options::default()
    }
}

/// The key-value store of a directory that nobody has open.
pub fn stored(disk: &FaultyDisk) -> Kv {
    Kv::open(Arc::new(disk.clone()), Path::new("/data/kv")).unwrap()
}

pub fn open(disk: &FaultyDisk) -> Result<Arc<Engine>> {
    Engine::open(Path::new("/data"), Arc::new(disk.clone()), options())
}

/// A directory with every kind of file and of entry.
async fn fill() -> FaultyDisk {
    let disk = FaultyDisk::default();
    fill_by(open(&disk).unwrap()).await;
    disk
}

async fn fill_by(engine: Arc<Engine>) {
    let shards = SHARDS.map(|shard| (shard, GroupId(shard.0), Generation(1)));
    engine.create_shards(&indexed_shape(), &shards).await.unwrap();
    for (shard, rows) in SHARDS.into_iter().zip([4000, 300, 5]) {
        let names: Vec<_> = (0..rows).map(|id| format!("v{}", id * id % 7919)).collect();
        let rows: Vec<_> = (0..).zip(names.iter().map(String::as_str)).collect();
        let context = context(10 + shard.0);
        engine.insert(&context, shard, &batch(&rows), ConflictPolicy::Fail).await.unwrap();
        engine.commit(context.txn, Timestamp(0)).await.unwrap();
    }
    engine.checkpoint().unwrap();
    // So many marks are in a file of their own.
    let gone: Vec<_> = (0..2500).map(key).collect();
    engine.delete(&context(20), SHARDS[0], &gone).await.unwrap();
    engine.commit(txn(20), Timestamp(0)).await.unwrap();
    engine.checkpoint().unwrap();
    for (start, shard) in (30..).zip(SHARDS) {
        let rows = batch(&[(5000, "v5"), (5001, "v6")]);
        engine.insert(&context(start), shard, &rows, ConflictPolicy::Fail).await.unwrap();
        engine.commit(txn(start), Timestamp(0)).await.unwrap();
    }
    engine.close();
}

pub fn scan(engine: &Engine, shard: ShardId) -> Result<Rows> {
    let mut rows = Vec::new();
    for batch in engine.scan(shard, &ReadView::new(NOW), &ScanOptions::default())? {
        let batch = batch?;
        let ids = batch.column(0).as_primitive::<Int64Type>();
        let names = batch.column(1).as_string_view();
        rows.extend((0..batch.num_rows()).map(|i| (ids.value(i), names.value(i).to_owned())));
    }
    rows.sort();
    Ok(rows)
}

fn by_index(engine: &Engine, shard: ShardId) -> Result<Vec<Rows>> {
    let view = ReadView::new(NOW);
    let probes = index_tests::probes('2', '7', '1').into_iter();
    probes
        .map(|(probe, matches)| {
            let mut rows = index_tests::seen(engine, shard, &view, &probe)?;
            rows.retain(|row| matches(&row.1));
            Ok(rows)
        })
        .collect()
}

fn kind(path: &Path) -> String {
    let name = path.extension().or(path.file_name());
    name.unwrap_or_default().to_string_lossy().into_owned()
}

/// Where a bit was flipped.
enum Place {
    File(PathBuf),
    /// The first letter of the key.
    Entry(u8),
}

fn flip(disk: &FaultyDisk, chance: &mut Chance) -> Place {
    let mut choose = |count: usize| chance.below(count as u64) as usize;
    let entries = stored(disk).scan(b"").unwrap();
    let paths = disk.paths();
    let at = choose(paths.len() * 2);
    if let Some(path) = paths.get(at) {
        let bytes = disk.read(path).unwrap();
        // Zeros ahead of the log's end mean nothing.
        let used = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
        // Records that matter are the last ones.
        let from = if kind(path) == "wal" && choose(2) == 0 { used - 400 } else { 0 };
        disk.flip(path, (from * 8 + choose((used - from) * 8)) as u64);
        return Place::File(path.clone());
    }
    let (key, value) = entries[choose(entries.len())].clone();
    let mut value = value.to_vec();
    if !value.is_empty() {
        let bit = choose(value.len() * 8);
        value[bit / 8] ^= 1 << (bit % 8);
    }
    let kind = key[0];
    stored(disk).write(vec![(key, Some(value.into()))]).unwrap();
    Place::Entry(kind)
}

#[test]
fn a_flipped_bit_anywhere_is_told_or_makes_no_difference() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let disk = runtime.block_on(fill());
    let read = |disk: &FaultyDisk| -> Result<_> {
        let engine = open(disk)?;
        Ok(SHARDS.map(|shard| (scan(&engine, shard), by_index(&engine, shard))))
    };
    let expected = read(&disk.crash(0)).unwrap();
    let expected = expected.map(|(rows, found)| (rows.unwrap(), found.unwrap()));
    let kinds: BTreeSet<_> = disk.paths().iter().map(|path| kind(path)).collect();
    assert_eq!(
        Vec::from_iter(&kinds),
        ["FORMAT", "batches", "durable", "idx-end", "marks", "seg", "wal"]
    );
    let kinds: BTreeSet<_> =
        stored(&disk).scan(b"").unwrap().iter().map(|(key, _)| key[0]).collect();
    assert_eq!(Vec::from_iter(kinds), b"cghmst");

    // Nothing tells the log's last record from one that was being written when the power went.
    let mut torn = expected[2].clone();
    torn.0.retain(|row| row.0 < 5000);
    torn.1.iter_mut().for_each(|found| found.retain(|row| row.0 < 5000));

    for_each_seed(0..200, |seed| {
        let mut chance = Chance::new(seed);
        let disk = disk.crash(0);
        let place = flip(&disk, &mut chance);
        let mut untouched = 0;
        match read(&disk) {
            Ok(shards) => {
                for ((rows, found), expected) in shards.into_iter().zip(&expected) {
                    match (rows, found) {
                        (Ok(rows), Ok(found)) => {
                            let is_log = matches!(&place, Place::File(path) if kind(path) == "wal");
                            let found = (rows, found);
                            let is_right = found == *expected || is_log && found == torn;
                            assert!(is_right, "wrong rows");
                            untouched += 1;
                        }
                        (Err(error), _) | (_, Err(error)) => {
                            let is_index =
                                matches!(&place, Place::File(path) if kind(path) == "idx-end");
                            assert!(!is_index, "{error}");
                            assert!(matches!(error, StorageError::Corrupt { .. }), "{error}");
                        }
                    }
                }
                assert!(untouched + 1 >= SHARDS.len(), "one shard's damage is that of others");
            }
            // What is everybody's: the checkpoint, what shards and tables there are.
            Err(StorageError::Corrupt { path, .. }) => match place {
                Place::File(flipped) => {
                    assert_eq!(path, flipped);
                    let is_everybodys = ["FORMAT", "batches", "durable"].contains(&&*kind(&path));
                    assert!(is_everybodys, "{}", path.display());
                }
                Place::Entry(kind) => assert!(b"chgt".contains(&kind), "{}", path.display()),
            },
            Err(error) => panic!("{error}"),
        }
    });
}

/// What a file of an index has follows from its segment.
#[tokio::test]
async fn a_flipped_bit_in_an_index_makes_no_difference() {
    let disk = fill().await;
    let expected = by_index(&open(&disk.crash(0)).unwrap(), SHARDS[0]).unwrap();
    let indexes: Vec<_> = disk.paths().into_iter().filter(|path| kind(path) == "idx-end").collect();
    assert!(!indexes.is_empty());
    for path in &indexes {
        let bits = disk.read(path).unwrap().len() as u64 * 8;
        for bit in (0..bits).step_by(bits as usize / 10 + 1) {
            let disk = disk.crash(0);
            disk.flip(path, bit);
            let engine = open(&disk).unwrap();
            // Whether it is asked for rows, for their number or for who has an entry.
            let row = batch(&[(9000, "v")]);
            engine.insert(&context(50), SHARDS[0], &row, ConflictPolicy::Fail).await.unwrap();
            engine.abort(txn(50)).await.unwrap();
            for (probe, _) in index_tests::probes('2', '7', '1') {
                engine.index_estimate(SHARDS[0], &probe).unwrap();
            }
            for _ in 0..2 {
                let found = by_index(&engine, SHARDS[0]).unwrap();
                assert!(found == expected, "{} bit {bit}", path.display());
                let table = engine.table_of_shard(SHARDS[0]).unwrap();
                for segment in engine.shard(SHARDS[0]).unwrap().contents().segments.iter() {
                    engine.build_runs(&table, segment);
                }
            }
            engine.close();
            drop(engine);
            let engine = open(&disk).unwrap();
            assert!(by_index(&engine, SHARDS[0]).unwrap() == expected);
        }
    }
}

/// The files of the key-value store, on a real disk.
#[test]
fn a_flipped_bit_in_the_stores_files_is_told_or_makes_no_difference() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let whole = tempfile::tempdir().unwrap();
    // The log has no more than what the store lacks.
    let wal = WalOptions { file_bytes: 4000, zero_ahead: 512, ..WalOptions::default() };
    let options = || Options { wal: wal.clone(), ..options() };
    let open = |dir: &Path| Engine::open(dir, Arc::new(RealDisk), options());
    let read = |dir: &Path| -> Result<_> {
        let engine = open(dir)?;
        let before = SHARDS.map(|shard| scan(&engine, shard));
        // What is stored next must not be mixed up with what is damaged.
        let _ = engine.checkpoint();
        let after = SHARDS.map(|shard| scan(&engine, shard));
        engine.close();
        drop(engine);
        let engine = open(dir)?;
        Ok([before, after, SHARDS.map(|shard| scan(&engine, shard))])
    };
    runtime.block_on(fill_by(open(whole.path()).unwrap()));
    let expected = {
        let dir = tempfile::tempdir().unwrap();
        seeds::copy(whole.path(), dir.path());
        let [before, ..] = read(dir.path()).unwrap();
        before.map(|rows| rows.unwrap())
    };
    let mut told = 0;
    for_each_seed(0..60, |seed| {
        let mut chance = Chance::new(seed);
        let dir = tempfile::tempdir().unwrap();
        seeds::copy(whole.path(), dir.path());
        seeds::flip(&dir.path().join("kv"), &mut chance);
        // It is everybody's: there is one store.
        match read(dir.path()) {
            Ok(reads) => {
                for (found, expected) in reads.iter().flat_map(|read| read.iter().zip(&expected)) {
                    match found {
                        Ok(rows) => assert!(rows == expected, "wrong rows"),
                        Err(StorageError::Corrupt { .. }) => told += 1,
                        Err(error) => panic!("{error}"),
                    }
                }
            }
            Err(StorageError::Corrupt { .. }) => told += 1,
            Err(error) => panic!("{error}"),
        }
    });
    assert!(told > 30, "{told}");
}

pub fn context(start: u64) -> WriteContext {
    WriteContext { txn: txn(start), statement: 1, snapshot: NOW, lock_timeout: None }
}

/// As where a sector is bad: the file is mapped, and pages of it cannot be had any more.
#[tokio::test]
async fn a_page_that_the_disk_cannot_read_is_its_shards_alone() {
    let cut = |path: &Path| {
        let file = std::fs::OpenOptions::new().write(true).open(path).unwrap();
        file.set_len(4096).unwrap();
    };
    let is_told = |error: &StorageError, path: &Path| {
        let told = format!("{} is damaged at byte", path.display());
        let error = error.to_string();
        assert!(error.starts_with(&told) && error.ends_with("the disk cannot read it"), "{error}");
    };
    for is_read_before in [false, true] {
        let dir = tempfile::tempdir().unwrap();
        let open = || Engine::open(dir.path(), Arc::new(RealDisk), options()).unwrap();
        let engine = open();
        let shards = [SHARDS[0], SHARDS[1]].map(|shard| (shard, GroupId(1), Generation(1)));
        engine.create_shards(&indexed_shape(), &shards).await.unwrap();
        let names: Vec<_> = (0..3000).map(|id| format!("v{}", id * id % 7919)).collect();
        let rows: Vec<_> = (0..).zip(names.iter().map(String::as_str)).collect();
        for (start, (shard, ..)) in (10..).zip(shards) {
            let context = context(start);
            engine.insert(&context, shard, &batch(&rows), ConflictPolicy::Fail).await.unwrap();
            engine.commit(context.txn, Timestamp(0)).await.unwrap();
        }
        engine.checkpoint().unwrap();
        engine.close();
        drop(engine);
        let engine = open();
        let expected = scan(&engine, SHARDS[1]).unwrap();
        let found = by_index(&engine, SHARDS[1]).unwrap();
        if is_read_before {
            assert_eq!(scan(&engine, SHARDS[0]).unwrap(), expected);
            by_index(&engine, SHARDS[0]).unwrap();
        }
        let [damaged, whole] =
            [SHARDS[0], SHARDS[1]].map(|shard| engine.shard(shard).unwrap().contents().segments);
        cut(&damaged[0].path);
        for _ in 0..2 {
            is_told(&scan(&engine, SHARDS[0]).unwrap_err(), &damaged[0].path);
            let got = engine.get(SHARDS[0], &key(2999), &ReadView::new(NOW));
            is_told(&got.unwrap_err(), &damaged[0].path);
            is_told(&by_index(&engine, SHARDS[0]).unwrap_err(), &damaged[0].path);
        }
        // A run follows from its segment.
        let of = format!("{:016x}-", whole[0].id);
        for file in std::fs::read_dir(dir.path().join("seg")).unwrap() {
            let path = file.unwrap().path();
            if path.file_name().unwrap().to_str().unwrap().starts_with(&of) {
                cut(&path);
            }
        }
        assert_eq!(scan(&engine, SHARDS[1]).unwrap(), expected);
        assert_eq!(by_index(&engine, SHARDS[1]).unwrap(), found);
        engine.delete(&context(30), SHARDS[1], &[key(1)]).await.unwrap();
        engine.commit(txn(30), Timestamp(0)).await.unwrap();
        engine.checkpoint().unwrap();
        engine.close();
        drop((engine, damaged, whole));
        let engine = open();
        assert!(matches!(scan(&engine, SHARDS[0]), Err(StorageError::Corrupt { .. })));
        assert_eq!(scan(&engine, SHARDS[1]).unwrap().len(), 2999);
    }
}

#[tokio::test]
async fn a_prepared_load_that_was_aborted_leaves_nothing_missing_after_a_power_cut() {
    let disk = FaultyDisk::default();
    let engine = open(&disk).unwrap();
    let shard = SHARDS[0];
    engine.create_shards(&indexed_shape(), &[(shard, GroupId(1), Generation(1))]).await.unwrap();
    let names: Vec<_> = (0..3000).map(|id| format!("v{id}")).collect();
    let rows: Vec<_> = (0..).zip(names.iter().map(String::as_str)).collect();
    let mut load = engine.bulk_load(context(10));
    load.add(shard, &batch(&rows)).await.unwrap();
    load.finish().await.unwrap();
    engine.prepare(txn(10)).await.unwrap();
    assert!(disk.paths().iter().any(|path| kind(path) == "seg"));
    engine.abort(txn(10)).await.unwrap();
    // At once: what was written is synced soon.
    let after: Vec<_> = (0..16).map(|seed| disk.crash(seed)).collect();
    for disk in after {
        let engine = open(&disk).unwrap();
        for (id, _) in engine.prepared() {
            engine.abort(id).await.unwrap();
        }
        assert_eq!(scan(&engine, shard).unwrap(), []);
    }
}

#[tokio::test]
async fn marks_in_a_file_that_takes_the_place_of_another_survive_a_power_cut() {
    let disk = fill().await;
    let engine = open(&disk).unwrap();
    let gone: Vec<_> = (2500..3000).map(key).collect();
    engine.delete(&context(40), SHARDS[0], &gone).await.unwrap();
    engine.commit(txn(40), Timestamp(0)).await.unwrap();
    engine.seal(&[engine.shard(SHARDS[0]).unwrap()]).unwrap();
    let expected = scan(&engine, SHARDS[0]).unwrap();
    assert_eq!(expected.len(), 1002);
    for seed in 0..16 {
        let engine = open(&disk.crash(seed)).unwrap();
        assert_eq!(scan(&engine, SHARDS[0]).unwrap(), expected);
    }
}

fn segment_files(disk: &FaultyDisk) -> Vec<PathBuf> {
    disk.list(Path::new("/data/seg")).unwrap()
}

/// Seals or merges, each time with another sync that fails.
#[tokio::test]
async fn work_that_fails_leaves_no_files() {
    for merges in [false, true] {
        let disk = fill().await;
        let engine = open(&disk).unwrap();
        let shard = engine.shard(SHARDS[0]).unwrap();
        for start in 40..if merges { 45 } else { 41 } {
            if start > 40 {
                engine.seal(std::slice::from_ref(&shard)).unwrap();
            }
            let names: Vec<_> = (0..500).map(|id| format!("v{}", id * id % 7919)).collect();
            let rows: Vec<_> =
                (start as i64 * 1000..).zip(names.iter().map(String::as_str)).collect();
            let context = context(start);
            engine.insert(&context, shard.id, &batch(&rows), ConflictPolicy::Fail).await.unwrap();
            engine.commit(context.txn, Timestamp(0)).await.unwrap();
        }
        let expected = scan(&engine, SHARDS[0]).unwrap();
        engine.close();
        let mut failures = 0;
        for number in 1..12 {
            let disk = disk.crash(0);
            let engine = open(&disk).unwrap();
            let shard = engine.shard(SHARDS[0]).unwrap();
            let before = segment_files(&disk);
            disk.set_faults(Faults { fail_sync: Some(number), ..Faults::default() });
            let result = match merges {
                true => engine.merge(&shard).map(drop),
                false => engine.seal(std::slice::from_ref(&shard)),
            };
            // An index that was not built is built later.
            // Where the store could not be synced, a manifest may name them.
            if result.is_err() && engine.store.kv.check().is_ok() {
                failures += 1;
                assert_eq!(segment_files(&disk), before, "sync {number}");
            }
            assert_eq!(scan(&engine, SHARDS[0]).unwrap(), expected);
        }
        // The segment, which takes two where it is that of a merge, the marks and the names.
        assert_eq!(failures, 3 + usize::from(merges), "{merges}");
    }
}

#[tokio::test]
async fn a_store_that_fails_costs_no_room() {
    let disk = FaultyDisk::default();
    let engine = open(&disk).unwrap();
    let shards = [(SHARDS[0], GroupId(1), Generation(1))];
    engine.create_shards(&indexed_shape(), &shards).await.unwrap();
    let names: Vec<_> = (0..3000).map(|id| format!("v{}", id * id % 7919)).collect();
    let rows: Vec<_> = (0..).zip(names.iter().map(String::as_str)).collect();
    engine.insert(&context(10), SHARDS[0], &batch(&rows), ConflictPolicy::Fail).await.unwrap();
    engine.commit(txn(10), Timestamp(0)).await.unwrap();
    engine.close();
    let mut failures = 0;
    for number in 1..12 {
        let disk = disk.crash(0);
        let engine = open(&disk).unwrap();
        disk.set_faults(Faults { fail_sync: Some(number), ..Faults::default() });
        let failed = engine.checkpoint().is_err();
        if !failed || engine.store.kv.check().is_ok() {
            continue;
        }
        failures += 1;
        assert!((0..4).all(|_| engine.checkpoint().is_err()));
        let files = segment_files(&disk).into_iter().filter(|path| kind(path) == "seg");
        assert_eq!(files.count(), 1);
        assert_eq!(scan(&engine, SHARDS[0]).unwrap().len(), 3000);
    }
    assert!(failures > 2, "{failures}");
}

/// Where there is no room for the manifest, either.
#[tokio::test]
async fn work_for_which_there_is_no_room_leaves_no_files() {
    for merges in [false, true] {
        let disk = fill().await;
        let engine = open(&disk).unwrap();
        let shard = engine.shard(SHARDS[0]).unwrap();
        for start in 40..if merges { 45 } else { 41 } {
            if start > 40 {
                engine.seal(std::slice::from_ref(&shard)).unwrap();
            }
            let rows: Vec<_> = (0..500).map(|id| (start as i64 * 1000 + id, "v")).collect();
            let context = context(start);
            engine.insert(&context, shard.id, &batch(&rows), ConflictPolicy::Fail).await.unwrap();
            engine.commit(context.txn, Timestamp(0)).await.unwrap();
        }
        engine.close();
        let fits = |room: u64| {
            let disk = disk.crash(0);
            let engine = open(&disk).unwrap();
            let shard = engine.shard(SHARDS[0]).unwrap();
            let before = segment_files(&disk);
            let capacity = Some(disk.used() + room);
            disk.set_faults(Faults { capacity, ..Faults::default() });
            let result = match merges {
                true => engine.merge(&shard).map(drop),
                false => engine.seal(std::slice::from_ref(&shard)),
            };
            if result.is_err() {
                assert_eq!(segment_files(&disk), before, "{room}");
                disk.set_faults(Faults::default());
                engine.checkpoint().unwrap();
            }
            result.is_ok()
        };
        let (mut less, mut enough) = (0_u64, 1_u64 << 17);
        while less + 1 < enough {
            let middle = less.midpoint(enough);
            if fits(middle) { enough = middle } else { less = middle }
        }
        // The manifest is what comes last.
        assert!((0..8).all(|some| !fits(less - some * 40)));
    }
}

/// A block of one of its segments cannot be read, which merging finds out.
#[tokio::test]
async fn a_shard_that_cannot_be_merged_is_in_nobodys_way() {
    let disk = FaultyDisk::default();
    let engine = open(&disk).unwrap();
    let shards = [SHARDS[0], SHARDS[1]].map(|shard| (shard, GroupId(1), Generation(1)));
    engine.create_shards(&indexed_shape(), &shards).await.unwrap();
    let names: Vec<_> = (0..400).map(|id| format!("v{}", id * id % 7919)).collect();
    for round in 0..6 {
        for (shard, ..) in shards {
            let rows: Vec<_> = (round * 1000..).zip(names.iter().map(String::as_str)).collect();
            let context = context(100 + round as u64 * 10 + shard.0);
            engine.insert(&context, shard, &batch(&rows), ConflictPolicy::Fail).await.unwrap();
            engine.commit(context.txn, Timestamp(0)).await.unwrap();
            engine.seal(&[engine.shard(shard).unwrap()]).unwrap();
        }
    }
    engine.close();
    drop(engine);
    let first = segment_files(&disk).into_iter().find(|path| kind(path) == "seg").unwrap();
    disk.flip(&first, 300);
    let options =
        Options { maintenance: true, checkpoint_interval: std::time::Duration::ZERO, ..options() };
    let engine = Engine::open(Path::new("/data"), Arc::new(disk.clone()), options).unwrap();
    let started = std::time::Instant::now();
    let mut id = 10_000;
    while engine.stats().work.merges == 0 || engine.stats().work.checkpoints < 3 {
        assert!(started.elapsed().as_secs() < 60, "{:?}", engine.stats());
        let context = context(id);
        let rows = batch(&[(id as i64, "v")]);
        engine.insert(&context, SHARDS[1], &rows, ConflictPolicy::Fail).await.unwrap();
        engine.commit(context.txn, Timestamp(0)).await.unwrap();
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        id += 1;
    }
    assert!(matches!(scan(&engine, SHARDS[0]), Err(StorageError::Corrupt { .. })));
    assert_eq!(scan(&engine, SHARDS[1]).unwrap().len() as u64, 2400 + id - 10_000);
}

/// A shard is dropped and comes again, as by moves, while its delta or its segments are written.
#[tokio::test]
async fn work_on_a_shard_that_is_gone_leaves_its_successor_alone() {
    for merges in [false, true] {
        let disk = FaultyDisk::default();
        let engine = open(&disk).unwrap();
        let shard = SHARDS[0];
        let make = || async {
            let shards = [(shard, GroupId(1), Generation(1))];
            engine.create_shards(&indexed_shape(), &shards).await.unwrap();
        };
        let fill = async |start, ids: std::ops::Range<i64>| {
            let names: Vec<_> = ids.clone().map(|id| format!("v{}", id * id % 7919)).collect();
            let rows: Vec<_> = ids.zip(names.iter().map(String::as_str)).collect();
            let context = context(start);
            engine.insert(&context, shard, &batch(&rows), ConflictPolicy::Fail).await.unwrap();
            engine.commit(context.txn, Timestamp(0)).await.unwrap();
        };
        make().await;
        fill(10, 0..3000).await;
        let first = engine.shard(shard).unwrap();
        if merges {
            for part in 1..6 {
                engine.seal(std::slice::from_ref(&first)).unwrap();
                fill(10 + part, part as i64 * 3000..part as i64 * 3000 + 3000).await;
            }
        }
        disk.hold_syncs(Some(Path::new("/data/seg")));
        let work = std::thread::spawn({
            let engine = engine.clone();
            move || match merges {
                true => engine.merge(&first).map(drop),
                false => engine.seal(&[first]),
            }
        });
        while !disk.holds_a_sync() {
            tokio::task::yield_now().await;
        }
        engine.drop_shards(&[shard]).await.unwrap();
        make().await;
        fill(50, 7..8).await;
        engine.checkpoint().unwrap();
        disk.hold_syncs(None);
        work.join().unwrap().unwrap();
        for seed in 0..8 {
            let engine = open(&disk.crash(seed)).unwrap();
            assert_eq!(scan(&engine, shard).unwrap(), [(7, "v49".to_owned())], "{merges}");
        }
        engine.checkpoint().unwrap();
        let left = disk.paths().into_iter().filter(|path| kind(path) == "seg").count();
        assert_eq!(left, 0, "{:?}", disk.paths());
    }
}

#[tokio::test]
async fn a_row_stays_deleted_before_a_truncate_where_its_sealing_failed() {
    let disk = FaultyDisk::default();
    let engine = open(&disk).unwrap();
    let shard = SHARDS[0];
    engine.create_shards(&indexed_shape(), &[(shard, GroupId(1), Generation(1))]).await.unwrap();
    let rows = batch(&[(1, "v1"), (2, "v2")]);
    engine.insert(&context(10), shard, &rows, ConflictPolicy::Fail).await.unwrap();
    engine.commit(txn(10), Timestamp(0)).await.unwrap();
    disk.set_faults(Faults { fail_sync: Some(1), ..Faults::default() });
    assert!(engine.checkpoint().is_err());
    engine.delete(&context(20), shard, &[key(1)]).await.unwrap();
    let deleted = engine.commit(txn(20), Timestamp(20)).await.unwrap();
    engine.truncate(&context(30), shard).await.unwrap();
    engine.commit(txn(30), Timestamp(30)).await.unwrap();
    engine.checkpoint().unwrap();
    assert_eq!((engine.stats().segments, engine.stats().work.seals), (1, 2));
    assert!(engine.get(shard, &key(1), &ReadView::new(deleted)).unwrap().is_none());
    assert!(engine.get(shard, &key(2), &ReadView::new(deleted)).unwrap().is_some());
    assert!(engine.get(shard, &key(2), &ReadView::new(NOW)).unwrap().is_none());
}

#[tokio::test]
async fn orphans_go_at_a_start_unless_a_manifest_is_damaged() {
    let disk = fill().await;
    let names =
        ["00000000000000ff.seg", "00000000000000fe.marks", "00000000000000ff-1-2-0.idx-end"];
    let orphans = names.map(|name| Path::new("/data/seg").join(name));
    for path in &orphans {
        disk.create(path).unwrap().write_at(b"left", 0).unwrap();
    }
    let entry = crate::manifest::segment_key(0xfd);
    let kv = stored(&disk);
    let (manifest, damaged) = kv.scan(b"m").unwrap().swap_remove(0);
    let mut damaged = damaged.to_vec();
    damaged[7] ^= 1;
    let whole = kv.get(&manifest).unwrap();
    kv.write(vec![
        (entry.clone(), Some(Bytes::from_static(b"left"))),
        (manifest.clone(), Some(damaged.into())),
    ])
    .unwrap();
    let used = disk.paths();
    drop(open(&disk).unwrap());
    assert_eq!(disk.paths(), used, "what a damaged manifest named may be among them");
    let kv = stored(&disk);
    kv.write(vec![(manifest, whole)]).unwrap();
    drop(open(&disk).unwrap());
    let kept: Vec<_> = used.into_iter().filter(|path| !orphans.contains(path)).collect();
    assert_eq!(disk.paths(), kept);
    assert_eq!(stored(&disk).get(&entry).unwrap(), None);
}
