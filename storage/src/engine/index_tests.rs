//! Indexes: candidates at any snapshot, uniqueness under concurrency, life of runs.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::{ArrayRef, AsArray, BooleanArray, RecordBatch, StringViewArray};
use arrow::datatypes::Int64Type;
use satsuma_common::index::{IndexKeyShape, IndexMethod, IndexShape, IndexedValue};
use satsuma_common::key::KeyEncoder;
use satsuma_common::table::TableShape;
use satsuma_common::{
    ColumnId, Datum, Generation, GroupId, Oid, PgType, ShardId, SqlError, Timestamp,
};

use super::tests::{batch, key, shape, txn};
use super::*;
use crate::disk::RealDisk;
use crate::index::{Evaluated, IndexExpressions, Probe};
use crate::shard::{KeyRange, ReadView, ScanOptions};

const SHARD: ShardId = ShardId(102_008);
const BY_NAME: Oid = Oid(1);
const BY_DIGIT: Oid = Oid(2);

fn index(id: Oid, value: IndexedValue) -> IndexShape {
    IndexShape {
        id,
        name: format!("i{}", id.0),
        method: IndexMethod::Ordered,
        keys: vec![IndexKeyShape { value, ty: PgType::Text }],
        unique: false,
        nulls_not_distinct: false,
        constraint: false,
        predicate: None,
    }
}

fn unique() -> IndexShape {
    IndexShape { unique: true, ..index(BY_NAME, IndexedValue::Column(ColumnId(2))) }
}

/// By name; and by the first digit of the name where its last digit is even.
pub fn indexed_shape() -> TableShape {
    let by_digit = IndexShape {
        predicate: Some("last digit is even".into()),
        ..index(BY_DIGIT, IndexedValue::Expression("first digit".into()))
    };
    let by_name = index(BY_NAME, IndexedValue::Column(ColumnId(2)));
    TableShape { indexes: vec![by_name, by_digit], ..shape() }
}

#[derive(Debug)]
pub struct FirstDigit;

fn is_even(name: &str) -> bool {
    name.bytes().last().is_some_and(|b| b % 2 == 0)
}

impl IndexExpressions for FirstDigit {
    fn evaluate(
        &self,
        _table: &TableShape,
        _index: &IndexShape,
        rows: &RecordBatch,
    ) -> Result<Evaluated, SqlError> {
        let names = rows.column(1).as_string_view();
        let digits = names.iter().map(|name| name.and_then(|name| name.get(1..2)));
        let keys: Vec<ArrayRef> = vec![Arc::new(StringViewArray::from_iter(digits))];
        let included: BooleanArray = names.iter().map(|name| name.map(is_even)).collect();
        Ok(Evaluated { keys, included: Some(included) })
    }
}

fn entry(text: &str) -> Vec<u8> {
    KeyEncoder::new([PgType::Text]).unwrap().encode(&[Datum::Text(text.into())]).unwrap()
}

type Condition = Box<dyn Fn(&str) -> bool>;

/// A range of names, a few names' beginnings, and a first digit; with the conditions they are for.
pub fn probes(low: char, high: char, first: char) -> Vec<(Probe, Condition)> {
    let (from, to) = (format!("v{}", low.min(high)), format!("v{}", low.max(high)));
    let range = KeyRange {
        from: std::ops::Bound::Included(entry(&from)),
        to: std::ops::Bound::Excluded(entry(&to)),
    };
    let within = Probe { index: BY_NAME, clauses: vec![vec![range.clone()]] };
    let upwards = KeyRange { to: std::ops::Bound::Unbounded, ..range.clone() };
    let both = Probe { index: BY_NAME, clauses: vec![vec![upwards], vec![range]] };
    let digit = Probe {
        index: BY_DIGIT,
        clauses: vec![vec![KeyRange::exactly(entry(&first.to_string()))]],
    };
    let in_range = move |name: &str| name >= from.as_str() && name < to.as_str();
    vec![
        (within, Box::new(in_range.clone())),
        (both, Box::new(in_range)),
        (digit, Box::new(move |name| name[1..].starts_with(first) && is_even(name))),
    ]
}

fn rows_of(batches: impl Iterator<Item = Result<RecordBatch>>) -> Vec<(i64, String)> {
    let mut rows = Vec::new();
    for batch in batches {
        let batch = batch.unwrap();
        let ids = batch.column(0).as_primitive::<Int64Type>();
        let names = batch.column(1).as_string_view();
        rows.extend((0..batch.num_rows()).map(|i| (ids.value(i), names.value(i).to_owned())));
    }
    rows.sort();
    rows
}

/// What an index finds for a view. An error says that the power went.
pub fn seen(
    engine: &Engine,
    shard: ShardId,
    view: &ReadView,
    probe: &Probe,
) -> Result<Vec<(i64, String)>> {
    let options = ScanOptions { batch_rows: 3, ..ScanOptions::default() };
    let batches = engine.index_scan(shard, view, probe, &options)?.collect::<Result<Vec<_>>>()?;
    Ok(rows_of(batches.into_iter().map(Ok)))
}

pub fn found(
    engine: &Engine,
    shard: ShardId,
    snapshot: Timestamp,
    probe: &Probe,
) -> Vec<(i64, String)> {
    seen(engine, shard, &ReadView::new(snapshot), probe).unwrap()
}

fn by_name(name: &str) -> Probe {
    Probe { index: BY_NAME, clauses: vec![vec![KeyRange::exactly(entry(name))]] }
}

fn options() -> Options {
    Options {
        maintenance: false,
        small_segment: 200,
        expressions: Arc::new(FirstDigit),
        ..Options::default()
    }
}

async fn open(dir: &Path, shape: &TableShape) -> Arc<Engine> {
    let engine = Engine::open(dir, Arc::new(RealDisk), options()).unwrap();
    engine.create_shards(shape, &[(SHARD, GroupId(1), Generation(1))]).await.unwrap();
    engine
}

fn context(start: u64, statement: u32) -> WriteContext {
    let lock_timeout = Some(Duration::from_secs(5));
    WriteContext { txn: txn(start), statement, snapshot: Timestamp(start), lock_timeout }
}

fn files(dir: &Path) -> usize {
    let names = std::fs::read_dir(dir.join("seg")).unwrap();
    names.filter(|name| name.as_ref().unwrap().path().to_string_lossy().contains(".idx")).count()
}

const NOW: Timestamp = Timestamp(u64::MAX);

#[tokio::test]
async fn an_index_finds_rows_in_every_layer_and_its_files_go_with_it() {
    let dir = tempfile::tempdir().unwrap();
    let plain = shape();
    let engine = open(dir.path(), &plain).await;
    let names: Vec<String> = (0..100).map(|n| format!("v{}", n % 10)).collect();
    let rows: Vec<(i64, &str)> =
        names.iter().enumerate().map(|(id, name)| (id as i64, name.as_str())).collect();
    engine.insert(&context(10, 1), SHARD, &batch(&rows), ConflictPolicy::Fail).await.unwrap();
    engine.commit(txn(10), Timestamp(10)).await.unwrap();
    engine.checkpoint().unwrap();
    // An index of a table that has rows already.
    engine.alter_table(&indexed_shape()).await.unwrap();
    engine.build_indexes(plain.table, &[BY_NAME, BY_DIGIT], txn(1)).unwrap();
    assert_eq!(files(dir.path()), 2);
    assert_eq!(found(&engine, SHARD, NOW, &by_name("v3")).len(), 10);
    let before = Timestamp(15);

    let change = context(20, 1);
    engine.update(&change, SHARD, &[key(3)], &batch(&[(3, "w")])).await.unwrap();
    engine.delete(&change, SHARD, &[key(13)]).await.unwrap();
    engine.insert(&change, SHARD, &batch(&[(200, "v3")]), ConflictPolicy::Fail).await.unwrap();
    let own = ReadView::own(before, txn(20));
    let options = ScanOptions::default();
    let seen = engine.index_scan(SHARD, &own, &by_name("w"), &options).unwrap();
    assert!(rows_of(seen).contains(&(3, "w".into())));
    engine.commit(txn(20), Timestamp(20)).await.unwrap();
    assert_eq!(found(&engine, SHARD, NOW, &by_name("v3")).len(), 9);
    assert_eq!(found(&engine, SHARD, NOW, &by_name("w")), [(3, "w".into())]);
    assert_eq!(found(&engine, SHARD, before, &by_name("v3")).len(), 10);
    let estimate = engine.index_estimate(SHARD, &by_name("v3")).unwrap();
    assert!(estimate.is_some_and(|rows| (9..=11).contains(&rows)), "{estimate:?}");
    let sizes = &engine.shards()[0].indexes;
    assert!(sizes.iter().all(|(_, bytes)| *bytes > 0), "{sizes:?}");

    // The files serve after a restart, and damaged ones are made again.
    engine.checkpoint().unwrap();
    engine.close();
    drop(engine);
    for entry in std::fs::read_dir(dir.path().join("seg")).unwrap() {
        let path = entry.unwrap().path();
        if path.to_string_lossy().contains("-00000001-") {
            std::fs::write(path, b"not an index").unwrap();
        }
    }
    let engine = open(dir.path(), &indexed_shape()).await;
    assert!(found(&engine, SHARD, NOW, &by_name("v3")).len() >= 99, "all are candidates");
    engine.build_indexes(plain.table, &[BY_NAME], txn(1)).unwrap();
    assert_eq!(found(&engine, SHARD, NOW, &by_name("v3")).len(), 9);

    engine.alter_table(&plain).await.unwrap();
    assert_eq!(files(dir.path()), 0);
    assert!(engine.index_scan(SHARD, &ReadView::new(NOW), &by_name("v3"), &options).is_err());
    engine.close();
}

#[tokio::test]
async fn files_of_merged_and_dropped_segments_go() {
    let dir = tempfile::tempdir().unwrap();
    let engine = open(dir.path(), &indexed_shape()).await;
    for round in 0..6u64 {
        let names: Vec<_> = (0..50).map(|n| (round as i64 * 50 + n, format!("v{n}"))).collect();
        let rows: Vec<_> = names.iter().map(|(id, name)| (*id, name.as_str())).collect();
        let start = 10 + round * 10;
        engine
            .insert(&context(start, 1), SHARD, &batch(&rows), ConflictPolicy::Fail)
            .await
            .unwrap();
        engine.commit(txn(start), Timestamp(start)).await.unwrap();
        engine.checkpoint().unwrap();
    }
    let shard = engine.shard(SHARD).unwrap();
    while engine.merge(&shard).unwrap() {}
    let segments = shard.contents().segments.len();
    assert_eq!(files(dir.path()), 2 * segments);
    assert_eq!(found(&engine, SHARD, NOW, &by_name("v7")).len(), 6);
    engine.drop_shards(&[SHARD]).await.unwrap();
    engine.checkpoint().unwrap();
    assert_eq!(files(dir.path()), 0);
    engine.close();
}

async fn insert(
    engine: &Arc<Engine>,
    context: &WriteContext,
    id: i64,
    name: &str,
    policy: ConflictPolicy,
) -> Result<Inserted> {
    engine.insert(context, SHARD, &batch(&[(id, name)]), policy).await
}

#[tokio::test]
async fn a_unique_entry_is_one_rows_own() {
    let dir = tempfile::tempdir().unwrap();
    let shape = TableShape { indexes: vec![unique()], ..shape() };
    let engine = open(dir.path(), &shape).await;
    let fail = ConflictPolicy::Fail;
    let taken = |result: Result<Inserted>| {
        matches!(result, Err(StorageError::UniqueViolation { index: Some(BY_NAME), .. }))
    };
    let first = context(10, 1);
    insert(&engine, &first, 1, "a", fail).await.unwrap();
    assert!(taken(insert(&engine, &first, 2, "a", fail).await));
    // Another transaction waits for the first one's end.
    let waiting = {
        let engine = engine.clone();
        tokio::spawn(async move { insert(&engine, &context(11, 1), 2, "a", fail).await })
    };
    tokio::time::sleep(Duration::from_millis(30)).await;
    assert!(!waiting.is_finished());
    engine.commit(txn(10), Timestamp(10)).await.unwrap();
    assert!(taken(waiting.await.unwrap()));
    engine.abort(txn(11)).await.unwrap();
    for seal in [false, true] {
        if seal {
            engine.checkpoint().unwrap();
        }
        let start = 20 + u64::from(seal);
        assert!(taken(insert(&engine, &context(start, 1), 3, "a", fail).await));
        engine.abort(txn(start)).await.unwrap();
    }

    // Who deletes a row and is not done makes others wait, and then lets them in.
    engine.delete(&context(u64::MAX / 2, 1), SHARD, &[key(1)]).await.unwrap();
    let waiting = {
        let engine = engine.clone();
        tokio::spawn(async move { insert(&engine, &context(31, 1), 3, "a", fail).await })
    };
    tokio::time::sleep(Duration::from_millis(30)).await;
    assert!(!waiting.is_finished());
    engine.commit(txn(u64::MAX / 2), Timestamp(30)).await.unwrap();
    waiting.await.unwrap().unwrap();
    // What a statement wrote and undid is free again for its transaction.
    engine.undo_statement(txn(31), 1).unwrap();
    insert(&engine, &context(31, 2), 4, "a", fail).await.unwrap();
    engine.commit(txn(31), Timestamp(31)).await.unwrap();

    let now = context(u64::MAX / 2 + 1, 1);
    insert(&engine, &now, 5, "b", fail).await.unwrap();
    let now = WriteContext { statement: 2, ..now };
    let change = engine.update(&now, SHARD, &[key(5)], &batch(&[(5, "a")])).await;
    assert!(matches!(change, Err(StorageError::UniqueViolation { index: Some(BY_NAME), .. })));
    let report = insert(&engine, &now, 6, "a", ConflictPolicy::Report).await.unwrap();
    assert!(report.rows.is_empty());
    assert_eq!(report.conflicts[0].key, key(4));
    let skipped = insert(&engine, &now, 6, "a", ConflictPolicy::Skip).await.unwrap();
    assert!(skipped.rows.is_empty());
    let other = engine
        .insert_unless(&now, SHARD, &batch(&[(6, "a")]), ConflictPolicy::Skip, &[PRIMARY_KEY])
        .await;
    assert!(taken(other), "only conflicts of the primary key are skipped");
    engine.abort(now.txn).await.unwrap();
    engine.close();
}

#[tokio::test]
async fn a_unique_index_is_not_made_of_equal_rows() {
    let dir = tempfile::tempdir().unwrap();
    let engine = open(dir.path(), &shape()).await;
    let fail = ConflictPolicy::Fail;
    insert(&engine, &context(10, 1), 1, "a", fail).await.unwrap();
    engine.commit(txn(10), Timestamp(10)).await.unwrap();
    insert(&engine, &context(20, 1), 2, "a", fail).await.unwrap();
    let with_unique = TableShape { indexes: vec![unique()], ..shape() };
    engine.alter_table(&with_unique).await.unwrap();
    let build = |txn| engine.build_indexes(with_unique.table, &[BY_NAME], txn);
    // The transaction's own row counts, and one that is not committed does not.
    assert!(matches!(build(txn(20)), Err(StorageError::Duplicates { .. })));
    build(txn(21)).unwrap();
    engine.delete(&context(u64::MAX / 2, 1), SHARD, &[key(1)]).await.unwrap();
    engine.commit(txn(u64::MAX / 2), Timestamp(30)).await.unwrap();
    build(txn(20)).unwrap();
    let again = insert(&engine, &context(20, 2), 3, "a", fail).await;
    assert!(matches!(again, Err(StorageError::UniqueViolation { index: Some(BY_NAME), .. })));
    engine.close();
}

/// Tasks that fight for a few names, while deltas are sealed and merged.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn names_stay_unique_whoever_writes() {
    let dir = tempfile::tempdir().unwrap();
    let shape = TableShape { indexes: vec![unique()], ..shape() };
    let engine = open(dir.path(), &shape).await;
    let mut tasks = Vec::new();
    for task in 0..6u64 {
        let engine = engine.clone();
        tasks.push(tokio::spawn(async move {
            let mut chance = crate::disk::faulty::Chance::new(task);
            let mut done = 0u32;
            for round in 0..120u64 {
                let start = (round + 1) * 100 + task;
                let snapshot = Timestamp(u64::MAX / 2);
                let context = WriteContext { snapshot, ..context(start, 1) };
                let (id, name) = (chance.below(12) as i64, format!("n{}", chance.below(6)));
                let row = batch(&[(id, &name)]);
                let written = match chance.below(4) {
                    0 => engine.delete(&context, SHARD, &[key(id)]).await.map(drop),
                    1 => engine.update(&context, SHARD, &[key(id)], &row).await.map(drop),
                    2 => {
                        engine.insert(&context, SHARD, &row, ConflictPolicy::Report).await.map(drop)
                    }
                    _ => engine.insert(&context, SHARD, &row, ConflictPolicy::Fail).await.map(drop),
                };
                let committed = match written {
                    Ok(()) if chance.below(8) > 0 => {
                        engine.commit(txn(start), Timestamp(start)).await.ok()
                    }
                    _ => None,
                };
                if chance.below(20) == 0 {
                    engine.checkpoint().unwrap();
                }
                let Some(at) = committed else {
                    engine.abort(txn(start)).await.unwrap();
                    continue;
                };
                done += 1;
                engine.begin_read(&[SHARD], at, None).await.unwrap();
                let all = engine.scan(SHARD, &ReadView::new(at), &ScanOptions::default());
                let mut names: Vec<_> = rows_of(all.unwrap()).into_iter().map(|r| r.1).collect();
                let count = names.len();
                names.sort();
                names.dedup();
                assert_eq!(names.len(), count, "task {task} round {round}");
            }
            done
        }));
    }
    let mut done = 0;
    for task in tasks {
        done += task.await.unwrap();
    }
    assert!(done > 100, "{done}");
    engine.close();
}

#[tokio::test]
async fn a_prepared_transaction_keeps_its_entries_over_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let shape = TableShape { indexes: vec![unique()], ..shape() };
    let engine = open(dir.path(), &shape).await;
    let fail = ConflictPolicy::Fail;
    insert(&engine, &context(10, 1), 1, "a", fail).await.unwrap();
    engine.prepare(txn(10)).await.unwrap();
    engine.close();
    drop(engine);
    let engine = open(dir.path(), &shape).await;
    let soon = WriteContext { lock_timeout: Some(Duration::from_millis(20)), ..context(20, 1) };
    let waits = insert(&engine, &soon, 2, "a", fail).await;
    assert!(matches!(waits, Err(StorageError::LockTimeout)), "{waits:?}");
    engine.abort(txn(20)).await.unwrap();
    engine.commit_prepared(txn(10), Timestamp(15)).await.unwrap();
    let taken = insert(&engine, &context(30, 1), 2, "a", fail).await;
    assert!(matches!(taken, Err(StorageError::UniqueViolation { index: Some(BY_NAME), .. })));
    engine.close();
}

#[tokio::test]
async fn loaded_rows_are_found_and_counted_by_their_transaction() {
    let dir = tempfile::tempdir().unwrap();
    let options = Options { bulk_rows: 2, ..options() };
    let engine = Engine::open(dir.path(), Arc::new(RealDisk), options).unwrap();
    let shards = [(SHARD, GroupId(1), Generation(1))];
    engine.create_shards(&shape(), &shards).await.unwrap();
    // A TRUNCATE before a load does not hide what was loaded.
    engine.truncate(&context(5, 1), SHARD).await.unwrap();
    engine.commit(txn(5), Timestamp(5)).await.unwrap();
    let load = async |start, rows: &[(i64, &str)]| {
        let mut load = engine.bulk_load(context(start, 1));
        load.add(SHARD, &batch(rows)).await.unwrap();
        assert_eq!(load.finish().await.unwrap(), rows.len() as u64);
    };
    load(10, &[(1, "a"), (2, "a"), (3, "b")]).await;
    let with_unique = TableShape { indexes: vec![unique()], ..shape() };
    engine.alter_table(&with_unique).await.unwrap();
    let build = |txn| engine.build_indexes(with_unique.table, &[BY_NAME], txn);
    assert!(matches!(build(txn(10)), Err(StorageError::Duplicates { .. })));
    engine.abort(txn(10)).await.unwrap();
    engine.alter_table(&shape()).await.unwrap();
    load(20, &[(1, "a"), (2, "c"), (3, "b")]).await;
    engine.alter_table(&with_unique).await.unwrap();
    build(txn(20)).unwrap();
    let own = ReadView::own(Timestamp(20), txn(20));
    let rows = seen(&engine, SHARD, &own, &by_name("a")).unwrap();
    assert!(rows.contains(&(1, "a".into())));
    let again = insert(&engine, &context(20, 2), 4, "c", ConflictPolicy::Fail).await;
    assert!(matches!(again, Err(StorageError::UniqueViolation { index: Some(BY_NAME), .. })));
    engine.undo_statement(txn(20), 2).unwrap();
    engine.commit(txn(20), Timestamp(20)).await.unwrap();
    assert!(found(&engine, SHARD, NOW, &by_name("a")).contains(&(1, "a".into())));
    build(txn(30)).unwrap();
    assert_eq!(found(&engine, SHARD, NOW, &by_name("a")), [(1, "a".into())]);
    engine.close();
}
