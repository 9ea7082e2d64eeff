//! Scans and filters of one column of each type, on one thread, out of a segment.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

use arrow::array::{Array, ArrayRef, BooleanArray, Int64Array, RecordBatch, Scalar};
use arrow::compute::kernels::cmp;
use divan::{
    Bencher,
    counter::{BytesCount, ItemsCount},
};
use satsuma_common::arrow_values::datum_at;
use satsuma_common::{ShardId, SqlError, Timestamp};
use satsuma_storage::{CompareOp, Engine, Options, Predicate, ReadView, RowFilter, ScanOptions};
use tempfile::TempDir;

use crate::data::{self, NAMES, ROWS};
use crate::store;

struct Table {
    engine: Arc<Engine>,
    shard: ShardId,
    filter: Arc<dyn RowFilter>,
    /// Of the values in Arrow.
    bytes: usize,
    _dir: TempDir,
}

static TABLES: LazyLock<BTreeMap<&str, Table>> =
    LazyLock::new(|| NAMES.into_iter().map(|name| (name, Table::new(name))).collect());

#[derive(Debug)]
struct Compare {
    op: CompareOp,
    value: ArrayRef,
    predicate: Predicate,
}

impl RowFilter for Compare {
    fn columns(&self) -> &[usize] {
        &[1]
    }

    fn evaluate(&self, rows: &RecordBatch) -> Result<BooleanArray, SqlError> {
        let value = Scalar::new(self.value.clone());
        let compare = if self.op == CompareOp::Less { cmp::lt } else { cmp::eq };
        Ok(compare(rows.column(0), &value).expect("values of one type"))
    }

    fn predicates(&self) -> Vec<Predicate> {
        vec![self.predicate.clone()]
    }
}

impl Table {
    fn new(name: &str) -> Self {
        let data::Column { ty, values, row, is_less } = data::column(name);
        let dir = store::directory();
        let engine = store::open(dir.path(), Options { maintenance: false, ..Options::default() });
        let shape = store::shape(1, ty.clone());
        let shard = store::runtime(0).block_on(async {
            let shard = store::create(&engine, &shape).await;
            let ids: ArrayRef = Arc::new(Int64Array::from_iter_values(0..*ROWS as i64));
            let columns = vec![ids, values.clone()];
            let batch = RecordBatch::try_new(shape.arrow_schema(), columns).expect("rows");
            let context = store::begin();
            let mut load = engine.bulk_load(context);
            load.add(shard, &batch).await.unwrap_or_else(|e| panic!("{}", e.error));
            load.finish().await.unwrap_or_else(|e| panic!("{}", e.error));
            store::commit(&engine, &context).await;
            shard
        });
        let op = if is_less { CompareOp::Less } else { CompareOp::Eq };
        let value = values.slice(row, 1);
        let predicate =
            Predicate { column: 1, op, value: datum_at(&value, 0, &ty).expect("a value") };
        let filter = Arc::new(Compare { op, value, predicate });
        let bytes = values.get_buffer_memory_size();
        Self { engine, shard, filter, bytes, _dir: dir }
    }

    fn scan(&self, filters: &[Arc<dyn RowFilter>]) -> usize {
        let view = ReadView::new(Timestamp(1 << 40));
        let options = ScanOptions {
            projection: Some(vec![1]),
            filters: filters.to_vec(),
            ..ScanOptions::default()
        };
        let scan = self.engine.scan(self.shard, &view, &options).expect("a scan");
        scan.map(|batch| batch.expect("a batch").num_rows()).sum()
    }
}

/// Every value, decoded to Arrow. Bytes are those of the values in Arrow.
#[divan::bench(args = NAMES, sample_count = 30, sample_size = 1)]
fn scan(bencher: Bencher, name: &str) {
    let table = &TABLES[name];
    bencher
        .counter(ItemsCount::new(*ROWS))
        .counter(BytesCount::new(table.bytes))
        .bench(|| assert_eq!(table.scan(&[]), *ROWS));
}

/// Rows that a comparison with a constant leaves: a tenth where it is `<`, few where it is `=`.
#[divan::bench(args = NAMES, sample_count = 30, sample_size = 1)]
fn filter(bencher: Bencher, name: &str) {
    let table = &TABLES[name];
    bencher
        .counter(ItemsCount::new(*ROWS))
        .counter(BytesCount::new(table.bytes))
        .bench(|| assert!(table.scan(std::slice::from_ref(&table.filter)) > 0));
}

/// Bytes of a row in a segment, its 8-byte key and its timestamp included.
pub fn print_sizes() {
    println!("bytes a row            on disk    in Arrow, value alone");
    for name in NAMES {
        let table = &TABLES[name];
        let stored = table.engine.stats().segment_bytes as f64 / *ROWS as f64;
        println!("{name:<20} {stored:>9.1} {:>24.1}", table.bytes as f64 / *ROWS as f64);
    }
    println!();
}
