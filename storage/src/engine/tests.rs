use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::{ArrayRef, AsArray, Int64Array, RecordBatch, StringViewArray};
use arrow::datatypes::Int64Type;
use satsuma_common::table::{Column, TableShape};
use satsuma_common::{
    ColumnId, Datum, Epoch, Generation, GroupId, NodeId, PgType, ShardId, TableId, Timestamp, TxnId,
};

use super::*;
use crate::disk::RealDisk;
use crate::lock::{LockWait, RowLockMode, TableLockMode};
use crate::shard::{KeyRange, ReadView, ScanOptions};

const SHARD: ShardId = ShardId(102_008);
const GROUP: GroupId = GroupId(1);

pub fn shape() -> TableShape {
    let column = |id, name: &str, ty| Column {
        id: ColumnId(id),
        name: name.into(),
        ty,
        not_null: id == 1,
        missing: None,
    };
    TableShape {
        table: TableId(16_384),
        version: 1,
        schema_name: "public".into(),
        name: "t".into(),
        columns: vec![column(1, "id", PgType::Int8), column(2, "name", PgType::Text)],
        primary_key: vec![ColumnId(1)],
        primary_key_name: Some("t_pkey".into()),
        checks: Vec::new(),
        foreign_keys: Vec::new(),
        referenced_by: Vec::new(),
        indexes: Vec::new(),
    }
}

pub fn batch(rows: &[(i64, &str)]) -> RecordBatch {
    let ids = Int64Array::from_iter_values(rows.iter().map(|row| row.0));
    let names = StringViewArray::from_iter_values(rows.iter().map(|row| row.1));
    let columns: Vec<ArrayRef> = vec![Arc::new(ids), Arc::new(names)];
    RecordBatch::try_new(shape().arrow_schema(), columns).unwrap()
}

pub fn txn(start: u64) -> TxnId {
    TxnId { start: Timestamp(start), coordinator: NodeId(1) }
}

fn context(start: u64, statement: u32) -> WriteContext {
    let lock_timeout = Some(Duration::from_secs(5));
    WriteContext { txn: txn(start), statement, snapshot: Timestamp(start), lock_timeout }
}

pub fn key(id: i64) -> Vec<u8> {
    static TABLE: std::sync::LazyLock<TableMeta> =
        std::sync::LazyLock::new(|| TableMeta::new(shape(), Default::default()).unwrap());
    TABLE.key_encoder().unwrap().encode(&[Datum::Int8(id)]).unwrap()
}

async fn open(dir: &Path) -> Arc<Engine> {
    let engine = Engine::open(dir, Arc::new(RealDisk), Options::default()).unwrap();
    engine.create_shards(&shape(), &[(SHARD, GROUP, Generation(1))]).await.unwrap();
    engine
}

fn close(engine: Arc<Engine>) {
    engine.close();
    drop(engine);
}

fn rows(engine: &Engine, view: ReadView) -> Vec<(i64, String)> {
    let mut rows = Vec::new();
    let options = ScanOptions { batch_rows: 2, ..ScanOptions::default() };
    for batch in engine.scan(SHARD, &view, &options).unwrap() {
        let batch = batch.unwrap();
        assert!(batch.num_rows() <= 2);
        assert_eq!(batch.schema().field(2).name(), "__key");
        let ids = batch.column(0).as_primitive::<Int64Type>();
        let names = batch.column(1).as_string_view();
        rows.extend((0..batch.num_rows()).map(|i| (ids.value(i), names.value(i).to_owned())));
    }
    rows.sort();
    rows
}

fn seen(rows: &[(i64, &str)]) -> Vec<(i64, String)> {
    rows.iter().map(|(id, name)| (*id, (*name).to_owned())).collect()
}

async fn insert(engine: &Arc<Engine>, start: u64, rows: &[(i64, &str)]) -> Timestamp {
    let context = context(start, 1);
    engine.insert(&context, SHARD, &batch(rows), ConflictPolicy::Fail).await.unwrap();
    engine.commit(txn(start), Timestamp(start)).await.unwrap()
}

#[tokio::test]
async fn commits_survive_a_restart_and_nothing_else_does() {
    let dir = tempfile::tempdir().unwrap();
    let engine = open(dir.path()).await;
    let identity = engine.identity().to_owned();
    let first = insert(&engine, 10, &[(1, "one"), (2, "two"), (3, "three")]).await;
    let change = context(20, 1);
    assert_eq!(
        engine.update(&change, SHARD, &[key(2)], &batch(&[(2, "zwei")])).await.unwrap().rows,
        [0]
    );
    assert_eq!(engine.delete(&change, SHARD, &[key(3), key(9)]).await.unwrap().rows, [0]);
    let second = engine.commit(change.txn, Timestamp(0)).await.unwrap();
    assert!(second > first);
    let open_txn = context(30, 1);
    engine.insert(&open_txn, SHARD, &batch(&[(4, "four")]), ConflictPolicy::Fail).await.unwrap();
    close(engine);

    let engine = open(dir.path()).await;
    assert_eq!(engine.identity(), identity);
    let old = seen(&[(1, "one"), (2, "two"), (3, "three")]);
    assert_eq!(rows(&engine, ReadView::new(first)), old);
    assert_eq!(rows(&engine, ReadView::new(second)), seen(&[(1, "one"), (2, "zwei")]));
    assert_eq!(rows(&engine, ReadView::new(Timestamp(first.0 - 1))), []);
    assert!(engine.commit(open_txn.txn, Timestamp(0)).await.is_err(), "lost with the process");
}

#[tokio::test]
async fn a_statement_sees_earlier_statements_of_its_transaction() {
    let dir = tempfile::tempdir().unwrap();
    let engine = open(dir.path()).await;
    let now = insert(&engine, 10, &[(1, "one"), (2, "two")]).await;
    let first = WriteContext { snapshot: now, ..context(20, 1) };
    engine.update(&first, SHARD, &[key(1)], &batch(&[(1, "eins")])).await.unwrap();
    let second = WriteContext { statement: 2, ..first };
    engine.delete(&second, SHARD, &[key(2)]).await.unwrap();
    engine.insert(&second, SHARD, &batch(&[(3, "drei")]), ConflictPolicy::Fail).await.unwrap();

    let view = ReadView::own(now, first.txn);
    assert_eq!(rows(&engine, view), seen(&[(1, "eins"), (3, "drei")]));
    assert_eq!(rows(&engine, view.before(2)), seen(&[(1, "eins"), (2, "two")]));
    assert_eq!(rows(&engine, ReadView::new(now)), seen(&[(1, "one"), (2, "two")]));
    assert!(engine.get(SHARD, &key(2), &view).unwrap().is_none());
    assert!(engine.get(SHARD, &key(2), &view.before(2)).unwrap().is_some());

    engine.undo_statement(first.txn, 2).unwrap();
    assert_eq!(rows(&engine, view), seen(&[(1, "eins"), (2, "two")]));
    engine.rollback_to(first.txn, 0).unwrap();
    assert_eq!(rows(&engine, view), seen(&[(1, "one"), (2, "two")]));
    engine.abort(first.txn).await.unwrap();
    assert_eq!(engine.stats().locks, 0);
}

#[tokio::test]
async fn taken_keys_fail_or_are_skipped_or_reported() {
    let dir = tempfile::tempdir().unwrap();
    let engine = open(dir.path()).await;
    insert(&engine, 10, &[(1, "one")]).await;
    let input = batch(&[(2, "two"), (1, "again"), (2, "twice")]);
    let write = context(20, 1);
    let error = engine.insert(&write, SHARD, &input, ConflictPolicy::Fail).await.unwrap_err();
    assert!(matches!(error, StorageError::UniqueViolation { row: 1, .. }), "{error}");
    engine.undo_statement(write.txn, 1).unwrap();
    let write = context(20, 2);
    let done = engine.insert(&write, SHARD, &input, ConflictPolicy::Skip).await.unwrap();
    assert_eq!(done.rows, [0]);
    engine.undo_statement(write.txn, 2).unwrap();
    let write = context(20, 3);
    let done = engine.insert(&write, SHARD, &input, ConflictPolicy::Report).await.unwrap();
    let conflicts: Vec<_> = done.conflicts.iter().map(|c| (c.row, c.same_statement)).collect();
    assert_eq!(conflicts, [(1, false), (2, true)]);
}

#[tokio::test]
async fn a_row_changed_after_the_snapshot_is_told_with_its_lock_held() {
    let dir = tempfile::tempdir().unwrap();
    let engine = open(dir.path()).await;
    let now = insert(&engine, 10, &[(1, "one"), (2, "two")]).await;
    let late = WriteContext { snapshot: now, ..context(30, 1) };
    insert_change(&engine, 20, now, 1, "uno").await;
    let error = engine.delete(&late, SHARD, &[key(1)]).await.unwrap_err();
    assert!(matches!(error, StorageError::ChangedSinceSnapshot { .. }), "{error}");
    let other = WriteContext { snapshot: Timestamp(1 << 40), ..context(40, 1) };
    let lock = |wait, skip| {
        let engine = engine.clone();
        async move {
            let locks = RowLocks { skip_locked: skip, ..RowLocks::new(RowLockMode::Update, wait) };
            engine.lock_rows(&other, SHARD, &[key(1), key(2)], locks).await
        }
    };
    assert!(matches!(lock(LockWait::NoWait, false).await, Err(StorageError::LockNotAvailable)));
    let free = lock(LockWait::NoWait, true).await.unwrap();
    assert_eq!(free, [LockedRow { row: 1, exists: true }]);
    let short = LockWait::Wait(Some(Duration::from_millis(20)));
    assert!(matches!(lock(short, false).await, Err(StorageError::LockTimeout)));
    let again = WriteContext { statement: 2, snapshot: Timestamp(1 << 40), ..late };
    engine.delete(&again, SHARD, &[key(1)]).await.unwrap();
    engine.commit(late.txn, Timestamp(0)).await.unwrap();
}

async fn insert_change(engine: &Arc<Engine>, start: u64, now: Timestamp, id: i64, name: &str) {
    let change = WriteContext { snapshot: now, ..context(start, 1) };
    engine.update(&change, SHARD, &[key(id)], &batch(&[(id, name)])).await.unwrap();
    engine.commit(change.txn, Timestamp(0)).await.unwrap();
}

#[tokio::test]
async fn a_prepared_transaction_survives_with_its_locks_and_holds_back_readers() {
    let dir = tempfile::tempdir().unwrap();
    let engine = open(dir.path()).await;
    let now = insert(&engine, 10, &[(1, "one")]).await;
    let write = WriteContext { snapshot: now, ..context(20, 1) };
    engine.update(&write, SHARD, &[key(1)], &batch(&[(1, "uno")])).await.unwrap();
    let prepared = engine.prepare(write.txn).await.unwrap();
    close(engine);

    let engine = open(dir.path()).await;
    assert_eq!(engine.prepared(), [(write.txn, prepared)]);
    let other =
        WriteContext { snapshot: prepared, lock_timeout: Some(Duration::ZERO), ..context(30, 1) };
    let error = engine.delete(&other, SHARD, &[key(1)]).await.unwrap_err();
    assert!(matches!(error, StorageError::LockTimeout), "{error}");
    engine.begin_read(&[SHARD], Timestamp(prepared.0 - 1), None).await.unwrap();
    let reader = tokio::spawn({
        let engine = engine.clone();
        let later = Timestamp(prepared.0 + 10);
        async move {
            engine.begin_read(&[SHARD], later, None).await.unwrap();
            rows(&engine, ReadView::new(later))
        }
    });
    tokio::time::sleep(Duration::from_millis(20)).await;
    assert!(!reader.is_finished(), "the outcome is not known");
    engine.commit_prepared(write.txn, Timestamp(prepared.0 + 5)).await.unwrap();
    assert_eq!(reader.await.unwrap(), seen(&[(1, "uno")]));
    engine.commit_prepared(write.txn, Timestamp(prepared.0 + 5)).await.unwrap();
    let next = insert(&engine, 40, &[(2, "two")]).await;
    assert!(next > Timestamp(prepared.0 + 10), "above every snapshot that was read");
    close(engine);

    let engine = open(dir.path()).await;
    assert_eq!(engine.prepared(), []);
    assert_eq!(rows(&engine, ReadView::new(next)), seen(&[(1, "uno"), (2, "two")]));
}

/// More of them than fit a record of the log.
#[tokio::test]
async fn a_prepared_transaction_has_all_its_locks_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let engine = open(dir.path()).await;
    let now = insert(&engine, 10, &[(1, "one"), (2, "two"), (3, "three")]).await;
    let write = WriteContext { snapshot: now, ..context(20, 1) };
    engine.update(&write, SHARD, &[key(1)], &batch(&[(1, "uno")])).await.unwrap();
    engine.delete(&write, SHARD, &[key(2)]).await.unwrap();
    let long = |n: u8| vec![n; 1 << 20];
    let share = RowLocks::new(RowLockMode::KeyShare, LockWait::NoWait);
    for n in 0..70 {
        engine.lock_rows(&write, SHARD, &[long(n)], share).await.unwrap();
    }
    let prepared = engine.prepare(write.txn).await.unwrap();
    assert!(engine.stats().wal.bytes < 75 << 20);
    close(engine);

    let engine = open(dir.path()).await;
    let other = WriteContext { snapshot: prepared, ..context(30, 1) };
    let update = RowLocks::new(RowLockMode::Update, LockWait::NoWait);
    let is_locked = async |key: Vec<u8>, locks: RowLocks| {
        let locked = engine.lock_rows(&other, SHARD, &[key], locks).await;
        matches!(locked, Err(StorageError::LockNotAvailable))
    };
    for n in 0..70 {
        assert!(is_locked(long(n), update).await, "{n}");
    }
    // The strengths are those that were held.
    assert!(is_locked(key(1), update).await && !is_locked(key(1), share).await);
    assert!(is_locked(key(2), share).await && !is_locked(key(3), update).await);
    engine.commit_prepared(write.txn, prepared).await.unwrap();
    assert!(!is_locked(long(69), update).await && !is_locked(key(2), share).await);
}

#[tokio::test]
async fn truncate_hides_what_was_there_from_then_on() {
    let dir = tempfile::tempdir().unwrap();
    let engine = open(dir.path()).await;
    let before = insert(&engine, 10, &[(1, "one"), (2, "two")]).await;
    let write = WriteContext { snapshot: before, ..context(20, 1) };
    engine.truncate(&write, SHARD).await.unwrap();
    let own = ReadView::own(before, write.txn);
    assert_eq!(rows(&engine, own), []);
    engine.insert(&write, SHARD, &batch(&[(1, "new")]), ConflictPolicy::Fail).await.unwrap();
    assert_eq!(rows(&engine, own), seen(&[(1, "new")]));
    let after = engine.commit(write.txn, Timestamp(0)).await.unwrap();
    for _ in 0..2 {
        assert_eq!(engine.shards()[0].rows, 1);
        assert_eq!(rows(&engine, ReadView::new(after)), seen(&[(1, "new")]));
        assert_eq!(rows(&engine, ReadView::new(before)), seen(&[(1, "one"), (2, "two")]));
        engine.checkpoint().unwrap();
    }
    assert!(engine.get(SHARD, &key(2), &ReadView::new(after)).unwrap().is_none());
}

#[tokio::test]
async fn scans_project_and_take_key_ranges() {
    let dir = tempfile::tempdir().unwrap();
    let engine = open(dir.path()).await;
    let now = insert(&engine, 10, &[(-5, "a"), (1, "b"), (7, "c"), (300, "d")]).await;
    let options = ScanOptions {
        projection: Some(vec![2, 0]),
        key_range: Some(KeyRange {
            from: std::ops::Bound::Included(key(1)),
            to: std::ops::Bound::Excluded(key(300)),
        }),
        ..ScanOptions::default()
    };
    let batches: Vec<_> =
        engine.scan(SHARD, &ReadView::new(now), &options).unwrap().map(Result::unwrap).collect();
    assert_eq!(batches.len(), 1);
    assert_eq!(batches[0].column(0).as_binary::<i32>().value(1), key(7));
    assert_eq!(batches[0].column(1).as_primitive::<Int64Type>().values(), &[1, 7]);
}

#[tokio::test]
async fn rows_without_a_primary_key_get_ids_that_go_on_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let mut shape = shape();
    shape.primary_key.clear();
    shape.table = TableId(2);
    let heap = ShardId(5);
    let mut last = Timestamp(0);
    for start in [10, 20] {
        let engine = open(dir.path()).await;
        engine.create_shards(&shape, &[(heap, GROUP, Generation(1))]).await.unwrap();
        let write = context(start, 1);
        let rows = batch(&[(1, "same"), (1, "same")]);
        engine.insert(&write, heap, &rows, ConflictPolicy::Fail).await.unwrap();
        last = engine.commit(write.txn, last).await.unwrap();
        close(engine);
    }
    let engine = open(dir.path()).await;
    let scan = engine.scan(heap, &ReadView::new(last), &ScanOptions::default()).unwrap();
    assert_eq!(scan.map(|batch| batch.unwrap().num_rows()).sum::<usize>(), 4);
}

#[tokio::test]
async fn shards_and_shapes_are_durable_and_old_rows_read_as_the_new_shape() {
    let dir = tempfile::tempdir().unwrap();
    let engine = open(dir.path()).await;
    let now = insert(&engine, 10, &[(1, "one")]).await;
    let mut altered = shape();
    altered.version = 2;
    altered.columns.remove(1);
    let missing = satsuma_common::row::encode_value(&Datum::Int8(42), &PgType::Int8).unwrap();
    altered.columns.push(Column {
        id: ColumnId(3),
        name: "added".into(),
        ty: PgType::Int8,
        not_null: true,
        missing,
    });
    let mut another_key = altered.clone();
    another_key.primary_key = vec![ColumnId(3)];
    let error = engine.alter_table(&another_key).await.unwrap_err();
    assert!(matches!(error, StorageError::NeedsRewrite(_)), "{error}");
    engine.alter_table(&altered).await.unwrap();
    engine.set_generation(GROUP, Generation(7), Epoch(2)).await.unwrap();
    close(engine);

    let engine = open(dir.path()).await;
    assert_eq!(engine.shape(altered.table).unwrap().version, 2, "an older create changes nothing");
    assert_eq!(engine.generation(GROUP), Some(Generation(7)));
    let scan = engine.scan(SHARD, &ReadView::new(now), &ScanOptions::default()).unwrap();
    let batches: Vec<_> = scan.map(Result::unwrap).collect();
    assert_eq!(batches[0].column(1).as_primitive::<Int64Type>().values(), &[42]);
    engine.drop_shards(&[SHARD]).await.unwrap();
    assert!(engine.shape(altered.table).is_none());
    assert_eq!(engine.generation(GROUP), None);
    assert!(matches!(
        engine.scan(SHARD, &ReadView::new(now), &ScanOptions::default()),
        Err(StorageError::NoSuchShard(SHARD))
    ));
}

/// Even when the locks of the transaction that defined it are lost.
#[tokio::test]
async fn a_shape_that_may_be_taken_back_writes_no_segment() {
    let dir = tempfile::tempdir().unwrap();
    let engine = open(dir.path()).await;
    let now = insert(&engine, 10, &[(1, "one")]).await;
    let mut without = shape();
    without.version = 2;
    without.columns.remove(1);
    engine.define_table(&without, txn(20)).await.unwrap();
    // From the log, and from the store.
    let mut engine = engine;
    for _ in 0..2 {
        close(engine);
        engine = open(dir.path()).await;
        assert_eq!(engine.shards()[0].defined_by, Some(txn(20)));
        engine.checkpoint().unwrap();
        assert_eq!(engine.stats().segments, 0);
    }
    engine.restore_shape(&shape()).await.unwrap();
    assert_eq!(engine.shards()[0].defined_by, None);
    engine.checkpoint().unwrap();
    assert_eq!(engine.stats().segments, 1);
    assert_eq!(rows(&engine, ReadView::new(now)), seen(&[(1, "one")]));

    // A commit makes it stand, whatever happens in between.
    let (define, exclusive) = (context(30, 1), TableLockMode::AccessExclusive);
    engine.lock_shard(&define, SHARD, exclusive, LockWait::NoWait).await.unwrap();
    engine.define_table(&without, define.txn).await.unwrap();
    let prepared = engine.prepare(define.txn).await.unwrap();
    close(engine);
    let engine = open(dir.path()).await;
    engine.restore_shape(&shape()).await.unwrap();
    assert_eq!(engine.shards()[0].defined_by, Some(define.txn), "it is locked");
    engine.commit_prepared(define.txn, prepared).await.unwrap();
    close(engine);
    let engine = open(dir.path()).await;
    assert_eq!(engine.shards()[0].defined_by, None);
    assert_eq!(engine.shape(without.table).unwrap().version, 2);
    // A shape that the catalog has is no less one that stands.
    engine.define_table(&without, txn(40)).await.unwrap();
    engine.restore_shape(&without).await.unwrap();
    assert_eq!(engine.shards()[0].defined_by, None);
}

/// Messages of events.
#[derive(Clone, Default)]
struct Told(Arc<parking_lot::Mutex<Vec<String>>>);

impl tracing::Subscriber for Told {
    fn enabled(&self, _: &tracing::Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, _: &tracing::span::Attributes<'_>) -> tracing::span::Id {
        tracing::span::Id::from_u64(1)
    }

    fn record(&self, _: &tracing::span::Id, _: &tracing::span::Record<'_>) {}

    fn record_follows_from(&self, _: &tracing::span::Id, _: &tracing::span::Id) {}

    fn event(&self, event: &tracing::Event<'_>) {
        let mut text = String::new();
        event.record(&mut |field: &tracing::field::Field, value: &dyn std::fmt::Debug| {
            text += &format!("{field}={value:?} ");
        });
        self.0.lock().push(text);
    }

    fn enter(&self, _: &tracing::span::Id) {}

    fn exit(&self, _: &tracing::span::Id) {}
}

#[tokio::test]
async fn a_start_that_takes_long_says_how_far_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let engine = open(dir.path()).await;
    for id in 1..=20 {
        let context = context(id, 1);
        let row = batch(&[(id as i64, "v")]);
        engine.insert(&context, SHARD, &row, ConflictPolicy::Fail).await.unwrap();
        engine.commit(context.txn, Timestamp(0)).await.unwrap();
    }
    close(engine);
    for (tell_every, expected) in [(Duration::ZERO, true), (Duration::from_secs(60), false)] {
        let start = |_| {
            let told = Told::default();
            let options = Options { tell_every, maintenance: false, ..Options::default() };
            let engine = tracing::subscriber::with_default(told.clone(), || {
                Engine::open(dir.path(), Arc::new(RealDisk), options).unwrap()
            });
            close(engine);
            let told = told.0.lock();
            told.join("\n")
        };
        let has_progress =
            |told: &String| told.contains("recovering from the log") && told.contains(" at=15 ");
        // Threads of other tests may switch an event off for a moment.
        let is_whole = |told: &String| {
            let end = told.contains("message=recovered ") && told.contains(" to=21 ");
            end && (!expected || has_progress(told))
        };
        let told = (0..50).map(start).find(is_whole).expect("a start is told of");
        assert_eq!(has_progress(&told), expected, "{told}");
    }
}

#[tokio::test]
async fn a_directory_has_one_owner_and_a_known_format() {
    let dir = tempfile::tempdir().unwrap();
    let engine = open(dir.path()).await;
    let again = Engine::open(dir.path(), Arc::new(RealDisk), Options::default());
    assert!(matches!(again, Err(StorageError::InUse(_))));
    close(engine);
    std::fs::write(dir.path().join("FORMAT"), "satsuma storage 99\nx\n").unwrap();
    let error = Engine::open(dir.path(), Arc::new(RealDisk), Options::default()).unwrap_err();
    assert!(error.to_string().contains("has format 99, this program reads format 8"), "{error}");
}

#[tokio::test]
async fn a_large_transaction_is_logged_in_parts_and_is_atomic() {
    let dir = tempfile::tempdir().unwrap();
    let engine = open(dir.path()).await;
    let name = "x".repeat(1 << 16);
    let many: Vec<_> = (0..200).map(|id| (id, name.as_str())).collect();
    let now = insert(&engine, 10, &many).await;
    assert!(engine.stats().wal.records > 3);
    close(engine);
    let engine = open(dir.path()).await;
    assert_eq!(rows(&engine, ReadView::new(now)).len(), 200);
}

#[tokio::test]
async fn a_checkpoint_moves_rows_to_segments_and_empties_the_log() {
    let dir = tempfile::tempdir().unwrap();
    let options = Options {
        wal: WalOptions { file_bytes: 64 << 10, zero_ahead: 4096, ..WalOptions::default() },
        maintenance: false,
        ..Options::default()
    };
    let open = || Engine::open(dir.path(), Arc::new(RealDisk), options.clone()).unwrap();
    let engine = open();
    engine.create_shards(&shape(), &[(SHARD, GROUP, Generation(1))]).await.unwrap();
    let name = "a name that is the same for every row".repeat(3);
    let many: Vec<_> = (0..20_000).map(|id| (id, name.as_str())).collect();
    let first = insert(&engine, 10, &many).await;
    let write = WriteContext { snapshot: first, ..context(20, 1) };
    let prepared = context(30, 1);
    engine
        .insert(&prepared, SHARD, &batch(&[(-1, "prepared")]), ConflictPolicy::Fail)
        .await
        .unwrap();
    engine.prepare(prepared.txn).await.unwrap();
    assert!(engine.stats().wal.files > 1);
    engine.checkpoint().unwrap();
    let stats = engine.stats();
    assert_eq!((stats.delta_bytes, stats.segments), (0, 1));
    assert!(stats.segment_bytes < 200_000, "{stats:?}");

    engine.update(&write, SHARD, &[key(7)], &batch(&[(7, "seven")])).await.unwrap();
    engine.delete(&write, SHARD, &[key(8)]).await.unwrap();
    let second = engine.commit(write.txn, Timestamp(0)).await.unwrap();
    let mut open_now = Some(engine);
    for round in 0..3 {
        let engine = open_now.take().unwrap_or_else(open);
        let view = ReadView::new(second);
        let found = rows(&engine, view);
        assert_eq!(found.len(), 19_999);
        assert_eq!(found[7], (7, "seven".to_owned()));
        assert_eq!(rows(&engine, ReadView::new(first)).len(), 20_000);
        assert!(engine.get(SHARD, &key(8), &view).unwrap().is_none());
        assert!(engine.get(SHARD, &key(19_999), &view).unwrap().is_some());
        let other = context(50 + round, 1);
        let row = batch(&[(9, "x")]);
        let taken = engine.insert(&other, SHARD, &row, ConflictPolicy::Fail);
        assert!(matches!(taken.await, Err(StorageError::UniqueViolation { .. })));
        assert_eq!(engine.prepared().len(), 1);
        engine.checkpoint().unwrap();
        close(engine);
    }
}

#[tokio::test]
async fn damage_in_one_shard_leaves_the_others_alone() {
    let dir = tempfile::tempdir().unwrap();
    let other = ShardId(7);
    let engine = open(dir.path()).await;
    engine.create_shards(&shape(), &[(other, GROUP, Generation(1))]).await.unwrap();
    let names: Vec<_> = (0..5000u64).map(|n| format!("{:x}", n * n * 2_654_435_761)).collect();
    let many: Vec<_> = (0..).zip(names.iter().map(String::as_str)).collect();
    let now = insert(&engine, 10, &many).await;
    engine.checkpoint().unwrap();
    let write = context(20, 1);
    engine.insert(&write, other, &batch(&many), ConflictPolicy::Fail).await.unwrap();
    engine.commit(write.txn, now).await.unwrap();
    engine.checkpoint().unwrap();
    close(engine);
    let first = std::fs::read_dir(dir.path().join("seg")).unwrap().map(|e| e.unwrap().path()).min();
    let path = first.unwrap();
    let mut bytes = std::fs::read(&path).unwrap();
    let at = bytes.len() - 20;
    bytes[at] ^= 1;
    std::fs::write(&path, bytes).unwrap();

    for _ in 0..2 {
        let engine = open(dir.path()).await;
        let view = ReadView::new(Timestamp(1 << 40));
        let error = engine.scan(SHARD, &view, &ScanOptions::default()).unwrap_err();
        let StorageError::Corrupt { path: found, .. } = error else { panic!("{error}") };
        assert_eq!(found, path);
        assert!(engine.get(SHARD, &key(1), &view).is_err());
        let scan = engine.scan(other, &view, &ScanOptions::default()).unwrap();
        assert_eq!(scan.map(|batch| batch.unwrap().num_rows()).sum::<usize>(), 5000);
        engine.checkpoint().unwrap();
        close(engine);
    }
    assert!(path.exists(), "what is damaged is not thrown away");
}

#[tokio::test]
async fn a_full_disk_fails_writes_until_there_is_room_and_loses_nothing() {
    let disk = crate::disk::faulty::FaultyDisk::default();
    let options = Options {
        wal: WalOptions { file_bytes: 1 << 20, zero_ahead: 4096, ..WalOptions::default() },
        maintenance: false,
        ..Options::default()
    };
    let open =
        || Engine::open(Path::new("/data"), Arc::new(disk.clone()), options.clone()).unwrap();
    let engine = open();
    engine.create_shards(&shape(), &[(SHARD, GROUP, Generation(1))]).await.unwrap();
    let names: Vec<_> = (0..4000u64).map(|n| format!("{:x}", n * n * 2_654_435_761)).collect();
    let many: Vec<_> = (0..).zip(names.iter().map(String::as_str)).collect();
    let full = |bytes| {
        disk.set_faults(crate::disk::faulty::Faults { capacity: bytes, ..Default::default() });
    };
    insert(&engine, 10, &many).await;
    full(Some(200_000));
    let write = context(20, 1);
    let more: Vec<_> = (5000..).zip(names.iter().map(String::as_str)).collect();
    engine.insert(&write, SHARD, &batch(&more), ConflictPolicy::Fail).await.unwrap();
    let error = engine.commit(write.txn, Timestamp(0)).await.unwrap_err();
    assert!(error.is_disk_full(), "{error}");
    assert!(engine.checkpoint().unwrap_err().is_disk_full());
    let now = Timestamp(1 << 40);
    assert_eq!(rows(&engine, ReadView::new(now)).len(), 4000);
    insert(&engine, 30, &[(-1, "small")]).await;
    full(None);
    engine.checkpoint().unwrap();
    assert_eq!(engine.stats().delta_bytes, 0);
    assert_eq!(rows(&engine, ReadView::new(now)).len(), 4001);
    close(engine);
    assert_eq!(rows(&open(), ReadView::new(now)).len(), 4001);
}

#[tokio::test]
async fn a_transaction_from_before_a_restart_cannot_go_on() {
    let dir = tempfile::tempdir().unwrap();
    let engine = open(dir.path()).await;
    engine.refuse_transactions_before(Timestamp(100));
    let old = context(99, 2);
    let error = engine.delete(&old, SHARD, &[key(1)]).await.unwrap_err();
    assert!(matches!(error, StorageError::NoSuchTransaction(_)));
    engine.delete(&context(100, 1), SHARD, &[key(1)]).await.unwrap();
}

/// A worker gives a transaction up whose coordinator is gone, and the coordinator may come back.
#[tokio::test]
async fn a_transaction_that_was_aborted_reads_no_more() {
    let dir = tempfile::tempdir().unwrap();
    let engine = open(dir.path()).await;
    let context = context(100, 1);
    engine.insert(&context, SHARD, &batch(&[(1, "own")]), ConflictPolicy::Fail).await.unwrap();
    engine.begin_read(&[SHARD], Timestamp(100), Some(context.txn)).await.unwrap();
    engine.abort(context.txn).await.unwrap();
    let read = engine.begin_read(&[SHARD], Timestamp(100), Some(context.txn)).await;
    assert!(matches!(read, Err(StorageError::NoSuchTransaction(_))), "{read:?}");
    engine.begin_read(&[SHARD], Timestamp(100), Some(txn(101))).await.unwrap();
}

/// The abort of a load may overtake the load.
#[tokio::test]
async fn a_transaction_does_not_begin_after_its_abort() {
    let dir = tempfile::tempdir().unwrap();
    let engine = open(dir.path()).await;
    let late = context(100, 2);
    engine.abort(late.txn).await.unwrap();
    assert!(matches!(engine.begin(late.txn), Err(StorageError::NoSuchTransaction(_))));
    let error = engine.delete(&late, SHARD, &[key(1)]).await.unwrap_err();
    assert!(matches!(error, StorageError::NoSuchTransaction(_)));
    engine.begin(context(101, 2).txn).unwrap();
}

#[tokio::test]
async fn a_taken_key_answers_at_once_unless_it_is_being_changed() {
    let dir = tempfile::tempdir().unwrap();
    let engine = open(dir.path()).await;
    let now = insert(&engine, 10, &[(1, "one"), (2, "two")]).await;
    let reader = WriteContext { snapshot: now, ..context(20, 1) };
    let locks = RowLocks { newest: true, ..RowLocks::new(RowLockMode::KeyShare, LockWait::NoWait) };
    engine.lock_rows(&reader, SHARD, &[key(1)], locks).await.unwrap();
    engine
        .delete(&WriteContext { snapshot: now, ..context(30, 1) }, SHARD, &[key(2)])
        .await
        .unwrap();

    let write = WriteContext { lock_timeout: Some(Duration::ZERO), ..context(40, 1) };
    let input = batch(&[(1, "again")]);
    let skipped = engine.insert(&write, SHARD, &input, ConflictPolicy::Skip).await.unwrap();
    assert!(skipped.rows.is_empty());
    let input = batch(&[(2, "again")]);
    let waited = engine.insert(&write, SHARD, &input, ConflictPolicy::Skip).await;
    assert!(matches!(waited, Err(StorageError::LockTimeout)));
    engine.commit(txn(30), now).await.unwrap();
    let done = engine.insert(&write, SHARD, &input, ConflictPolicy::Fail).await.unwrap();
    assert_eq!(done.rows, [0]);
}

#[tokio::test]
async fn a_load_sees_what_was_committed_before_its_keys_were_known() {
    let dir = tempfile::tempdir().unwrap();
    let options = Options { bulk_rows: 2, ..Options::default() };
    let engine = Engine::open(dir.path(), Arc::new(RealDisk), options).unwrap();
    engine.create_shards(&shape(), &[(SHARD, GROUP, Generation(1))]).await.unwrap();
    // The load stops after its first look at the keys.
    let lock = bulk::loader_lock(SHARD, txn(10));
    let holder = (txn(20), txn(20));
    let held = engine
        .lock_advisory(holder, false, &lock, RowLockMode::Update, LockWait::NoWait)
        .await
        .unwrap();
    assert!(held);
    let mut load = engine.bulk_load(context(10, 1));
    load.add(SHARD, &batch(&[(1, "a"), (2, "b"), (3, "c"), (4, "d")])).await.unwrap();
    let loading = tokio::spawn(load.finish());
    while engine.locks.waits().is_empty() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    insert(&engine, 30, &[(3, "here first")]).await;
    engine.abort(txn(20)).await.unwrap();
    let error = loading.await.unwrap().unwrap_err();
    assert!(matches!(error.error, StorageError::UniqueViolation { .. }), "{error:?}");
    let (_, row) = error.row.unwrap();
    assert_eq!(row.column(0).as_primitive::<Int64Type>().value(0), 3);
    engine.abort(txn(10)).await.unwrap();
    close(engine);
}

#[tokio::test]
async fn loads_with_keys_between_those_of_others_are_checked_for_all_of_them() {
    let dir = tempfile::tempdir().unwrap();
    let options = Options { bulk_rows: 2, ..Options::default() };
    let engine = Engine::open(dir.path(), Arc::new(RealDisk), options).unwrap();
    engine.create_shards(&shape(), &[(SHARD, GROUP, Generation(1))]).await.unwrap();
    let load = async |start: u64, ids: Vec<i64>| {
        let rows: Vec<_> = ids.iter().map(|id| (*id, "x")).collect();
        let mut load = engine.bulk_load(context(start, 1));
        load.add(SHARD, &batch(&rows)).await.unwrap();
        let loaded = load.finish().await;
        let taken = loaded.err().map(|error| {
            let (_, row) = error.row.unwrap();
            row.column(0).as_primitive::<Int64Type>().value(0)
        });
        match taken {
            None => drop(engine.commit(txn(start), Timestamp(start)).await.unwrap()),
            Some(_) => engine.abort(txn(start)).await.unwrap(),
        }
        taken
    };
    // More than one block, with gaps of all lengths.
    let squares: Vec<i64> = (0..40_000).map(|n| n * n).collect();
    assert_eq!(
        load(10, squares.iter().copied().filter(|n| n % 2 == 0).step_by(2).collect()).await,
        None
    );
    let there: std::collections::BTreeSet<i64> =
        squares.iter().copied().filter(|n| n % 2 == 0).step_by(2).collect();
    let free: Vec<i64> = squares.iter().copied().filter(|n| !there.contains(n)).collect();
    assert_eq!(load(20, free.clone()).await, None);
    insert(&engine, 30, &[(-5, "in the delta")]).await;
    for (at, probe) in [(40, squares[0]), (50, squares[20_001]), (60, squares[39_999]), (70, -5)] {
        let mut ids: Vec<i64> = (0..3000).map(|n| -(n * 2 + 6)).collect();
        ids.insert(1500, probe);
        assert_eq!(load(at, ids).await, Some(probe));
    }
    assert_eq!(load(80, (0..3000).map(|n| -(n * 2 + 6)).collect()).await, None);
    close(engine);
}
