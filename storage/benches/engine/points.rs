//! One row at a time: CPU, not the disk.

use std::sync::Arc;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicI64, Ordering};

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringViewArray};
use divan::{Bencher, black_box, counter::ItemsCount};
use satsuma_common::key::KeyEncoder;
use satsuma_common::table::TableShape;
use satsuma_common::{Datum, PgType, ShardId, Timestamp};
use satsuma_storage::{ConflictPolicy, Engine, Options, ReadView};
use tempfile::TempDir;
use tokio::runtime::Runtime;

use crate::store;

const ROWS: i64 = 100_000;

struct Table {
    engine: Arc<Engine>,
    runtime: Runtime,
    shape: TableShape,
    shard: ShardId,
    next: AtomicI64,
    _dir: TempDir,
}

static DELTA: LazyLock<Table> = LazyLock::new(|| Table::new(false));
static SEGMENT: LazyLock<Table> = LazyLock::new(|| Table::new(true));

pub fn batch(shape: &TableShape, ids: std::ops::Range<i64>) -> RecordBatch {
    let values = ids.clone().map(|id| format!("the value of row number {id}"));
    let values = StringViewArray::from_iter_values(values);
    let columns: Vec<ArrayRef> =
        vec![Arc::new(Int64Array::from_iter_values(ids)), Arc::new(values)];
    RecordBatch::try_new(shape.arrow_schema(), columns).expect("rows of the table")
}

impl Table {
    fn new(is_sealed: bool) -> Self {
        let dir = store::directory_in_memory();
        let runtime = store::runtime(0);
        let engine = store::open(dir.path(), Options { maintenance: false, ..Options::default() });
        let shape = store::shape(1, PgType::Text);
        let shard = runtime.block_on(async {
            let shard = store::create(&engine, &shape).await;
            for from in (0..ROWS).step_by(1000) {
                let context = store::begin();
                let rows = batch(&shape, from..from + 1000);
                engine.insert(&context, shard, &rows, ConflictPolicy::Fail).await.expect("rows");
                store::commit(&engine, &context).await;
            }
            shard
        });
        if is_sealed {
            engine.checkpoint().expect("a checkpoint");
        }
        assert_eq!(engine.stats().segments, usize::from(is_sealed));
        let next = AtomicI64::new(ROWS);
        Self { engine, runtime, shape, shard, next, _dir: dir }
    }

    fn read(&self, bencher: Bencher) {
        let encoder = KeyEncoder::new([PgType::Int8]).expect("a key");
        let key = |n: i64| encoder.encode(&[Datum::Int8(n * 7919 % ROWS)]).expect("a key");
        let keys: Vec<_> = (0..1000).map(key).collect();
        let view = ReadView::new(Timestamp(1 << 40));
        bencher.counter(ItemsCount::new(keys.len())).bench(|| {
            for key in &keys {
                let row = self.engine.get(self.shard, black_box(key), &view).expect("a read");
                assert!(row.is_some());
            }
        });
    }
}

/// A thousand rows out of a delta of 100,000.
#[divan::bench]
fn point_read_delta(bencher: Bencher) {
    DELTA.read(bencher);
}

/// The same out of a segment.
#[divan::bench]
fn point_read_segment(bencher: Bencher) {
    SEGMENT.read(bencher);
}

/// A thousand rows written by one transaction, one after another, and taken back.
#[divan::bench]
fn point_write_uncommitted(bencher: Bencher) {
    let table = &*DELTA;
    bencher
        .counter(ItemsCount::new(1000usize))
        .with_inputs(|| (0..1000).map(|n| batch(&table.shape, ROWS + n..ROWS + n + 1)).collect())
        .bench_values(|rows: Vec<RecordBatch>| {
            table.runtime.block_on(async {
                let context = store::begin();
                for row in &rows {
                    let inserted =
                        table.engine.insert(&context, table.shard, row, ConflictPolicy::Fail);
                    inserted.await.expect("a row");
                }
                table.engine.abort(context.txn).await.expect("an abort");
            });
        });
}

/// A row inserted and committed by one client, where syncing costs nothing.
#[divan::bench]
fn point_write_committed_in_memory(bencher: Bencher) {
    let table = &*SEGMENT;
    bencher
        .counter(ItemsCount::new(1usize))
        .with_inputs(|| {
            let id = table.next.fetch_add(1, Ordering::Relaxed);
            batch(&table.shape, id..id + 1)
        })
        .bench_values(|row| {
            table.runtime.block_on(async {
                let context = store::begin();
                let inserted =
                    table.engine.insert(&context, table.shard, &row, ConflictPolicy::Fail);
                inserted.await.expect("a row");
                store::commit(&table.engine, &context).await
            })
        });
}
