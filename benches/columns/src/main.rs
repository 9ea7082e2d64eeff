//! Scans, filters and sums of one column of each type, through the same DataFusion: over segments
//! of the storage engine, over Parquet (with filters before the scan's rows are made, and without)
//! and over Arrow in memory. That all of them give the same rows is checked first.
//!
//! `SATSUMA_BENCH_ROWS` rows (a million), `SATSUMA_BENCH_THREADS` threads (1), files in
//! `SATSUMA_BENCH_DIR`. A rate is the best of `SATSUMA_BENCH_ROUNDS` (7).

#[path = "../../../storage/benches/engine/data.rs"]
mod data;
#[path = "../../../storage/benches/engine/store.rs"]
#[allow(dead_code, reason = "shared with the engine's own benchmarks")]
mod store;

use std::fs::File;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use datafusion::arrow::array::{ArrayRef, Int64Array, RecordBatch};
use datafusion::arrow::compute::{cast, concat_batches};
use datafusion::catalog::TableProvider;
use datafusion::common::ScalarValue;
use datafusion::datasource::MemTable;
use datafusion::error::Result;
use datafusion::functions_aggregate::expr_fn::{count, sum};
use datafusion::prelude::{
    DataFrame, Expr, ParquetReadOptions, SessionConfig, SessionContext, col, lit,
};
use futures::TryStreamExt;
use parquet::arrow::ArrowWriter;
use parquet::basic::Compression;
use parquet::file::properties::WriterProperties;
use satsuma_common::{PgType, Timestamp};
use satsuma_storage::{Engine, Options, ReadView};

/// Rows of a batch in memory, and of a row group.
const BATCH: usize = 8192;
const ROW_GROUP: usize = 128 << 10;

fn setting(name: &str, usual: usize) -> usize {
    let chosen = std::env::var(name).ok();
    chosen.map_or(usual, |text| text.parse().unwrap_or_else(|_| panic!("{name} is a number")))
}

/// One column in all its forms.
struct Table {
    /// What each is called, and where it is read.
    sources: Vec<(&'static str, DataFrame)>,
    condition: Expr,
    /// A sum of numbers, or a count of each value where there are few of them.
    aggregate: Option<Aggregate>,
    stored: u64,
    parquet: u64,
    arrow: u64,
    _engine: Arc<Engine>,
    _dir: tempfile::TempDir,
}

#[derive(Clone, Copy)]
enum Aggregate {
    Sum,
    CountEach,
}

impl Table {
    async fn new(name: &str, number: u32, threads: usize) -> Result<Self> {
        let data::Column { ty, values, row, is_less } = data::column(name);
        let aggregate = match (&ty, name) {
            (PgType::Int4 | PgType::Int8 | PgType::Float8 | PgType::Numeric(Some(_)), _) => {
                Some(Aggregate::Sum)
            }
            (PgType::Bool, _) | (_, "text_few_kinds") => Some(Aggregate::CountEach),
            _ => None,
        };
        let shape = store::shape(number, ty);
        let ids: ArrayRef = Arc::new(Int64Array::from_iter_values(0..*data::ROWS as i64));
        let rows = RecordBatch::try_new(shape.arrow_schema(), vec![ids, values.clone()])?;
        let dir = store::directory();

        let options = Options { maintenance: false, ..Options::default() };
        let engine = store::open(&dir.path().join("engine"), options);
        let shard = store::create(&engine, &shape).await;
        let context = store::begin();
        let mut load = engine.bulk_load(context);
        load.add(shard, &rows).await.unwrap_or_else(|e| panic!("{}", e.error));
        load.finish().await.unwrap_or_else(|e| panic!("{}", e.error));
        store::commit(&engine, &context).await;
        let view = ReadView::new(Timestamp(1 << 40));
        let ours = satsuma_worker::table::table(&engine, &[shard], view, threads)
            .unwrap_or_else(|error| panic!("{error}"));

        let file = dir.path().join("rows.parquet");
        write_parquet(&file, &rows);
        let starts = (0..rows.num_rows()).step_by(BATCH);
        let batches = starts.map(|at| rows.slice(at, BATCH.min(rows.num_rows() - at)));
        let memory: Arc<dyn TableProvider> =
            Arc::new(MemTable::try_new(rows.schema(), vec![batches.collect()])?);

        let plain = session(threads, false);
        let pushed = session(threads, true);
        let path = file.to_str().expect("a path of letters");
        let sources = vec![
            ("satsuma", plain.read_table(ours)?),
            ("parquet", plain.read_parquet(path, ParquetReadOptions::default()).await?),
            ("parquet+", pushed.read_parquet(path, ParquetReadOptions::default()).await?),
            ("arrow", plain.read_table(memory)?),
        ];
        let value = lit(ScalarValue::try_from_array(&values, row)?);
        let condition = if is_less { col("value").lt(value) } else { col("value").eq(value) };
        Ok(Self {
            sources,
            condition,
            aggregate,
            stored: engine.stats().segment_bytes,
            parquet: std::fs::metadata(&file)?.len(),
            arrow: values.get_buffer_memory_size() as u64,
            _engine: engine,
            _dir: dir,
        })
    }

    fn queries(&self, from: &DataFrame) -> Result<Vec<(&'static str, DataFrame)>> {
        let value = || vec![col("value")];
        let mut queries = vec![
            ("scan", from.clone().select(value())?),
            ("filter", from.clone().filter(self.condition.clone())?.select(value())?),
        ];
        match self.aggregate {
            Some(Aggregate::Sum) => {
                queries.push(("sum", from.clone().aggregate(Vec::new(), vec![sum(col("value"))])?));
            }
            Some(Aggregate::CountEach) => {
                queries.push(("count", from.clone().aggregate(value(), vec![count(col("id"))])?));
            }
            None => {}
        }
        Ok(queries)
    }

    /// That every source has the same rows, and leaves the same under the condition.
    async fn check(&self, name: &str) -> Result<()> {
        let mut first: Option<Vec<RecordBatch>> = None;
        for (source, from) in &self.sources {
            let all = from.clone().select(vec![col("id"), col("value")])?;
            let some = all.clone().filter(self.condition.clone())?;
            let sorted = |rows: DataFrame| rows.sort(vec![col("id").sort(true, false)]);
            let mut found = Vec::new();
            for rows in [sorted(all)?, sorted(some)?] {
                found.push(whole(rows).await?);
            }
            if let (Some(Aggregate::Sum), Some((_, sum))) =
                (self.aggregate, self.queries(from)?.into_iter().nth(2))
            {
                // Sums of floats are of one order or another.
                if !name.starts_with("float") {
                    found.push(whole(sum).await?);
                }
            }
            match &first {
                None => {
                    assert_eq!(found[0].num_rows(), *data::ROWS, "{name}");
                    assert!((1..*data::ROWS).contains(&found[1].num_rows()), "{name}");
                    first = Some(found);
                }
                Some(first) => assert!(
                    first.iter().zip(&found).all(|(one, other)| is_same(one, other)),
                    "{name}: rows of {source} are others"
                ),
            }
        }
        Ok(())
    }
}

fn session(threads: usize, push_filters: bool) -> SessionContext {
    let mut config = SessionConfig::new().with_target_partitions(threads);
    let parquet = &mut config.options_mut().execution.parquet;
    parquet.pushdown_filters = push_filters;
    parquet.reorder_filters = push_filters;
    SessionContext::new_with_config(config)
}

fn write_parquet(path: &Path, rows: &RecordBatch) {
    let properties = WriterProperties::builder()
        .set_compression(Compression::SNAPPY)
        .set_max_row_group_row_count(Some(ROW_GROUP))
        .build();
    let file = File::create(path).expect("a file");
    let mut writer =
        ArrowWriter::try_new(file, rows.schema(), Some(properties)).expect("columns for Parquet");
    writer.write(rows).expect("rows in Parquet");
    writer.close().expect("a whole file");
}

async fn whole(rows: DataFrame) -> Result<RecordBatch> {
    let batches = rows.collect().await?;
    Ok(concat_batches(&batches[0].schema(), &batches)?)
}

fn is_same(one: &RecordBatch, other: &RecordBatch) -> bool {
    one.num_rows() == other.num_rows()
        && one.columns().iter().zip(other.columns()).all(|(one, other)| {
            cast(other, one.data_type()).is_ok_and(|other| one.to_data() == other.to_data())
        })
}

/// Rows that come, none of them kept.
async fn drain(rows: DataFrame) -> Result<usize> {
    let stream = rows.execute_stream().await?;
    stream.try_fold(0, |count, batch| async move { Ok(count + batch.num_rows()) }).await
}

#[tokio::main]
async fn main() -> Result<()> {
    let threads = setting("SATSUMA_BENCH_THREADS", 1);
    let rounds = setting("SATSUMA_BENCH_ROUNDS", 7);
    println!("{} rows, {threads} threads, million rows a second, best of {rounds}", *data::ROWS);
    println!("parquet+ evaluates filters before it makes rows; x is satsuma's rate over another's");
    println!();
    println!(
        "{:<16} {:<7} {:>9} {:>9} {:>9} {:>9} {:>8} {:>8}   bytes a row: satsuma, parquet, arrow",
        "column", "query", "satsuma", "parquet", "parquet+", "arrow", "x parq.", "x arrow"
    );
    for (number, name) in (1..).zip(data::NAMES) {
        let table = Table::new(name, number, threads).await?;
        table.check(name).await?;
        let queries = table.queries(&table.sources[0].1)?.len();
        for query in 0..queries {
            let mut rates = Vec::new();
            let mut label = "";
            for (_, from) in &table.sources {
                let mut best = f64::INFINITY;
                for _ in 0..rounds {
                    let (named, rows) = table.queries(from)?.swap_remove(query);
                    label = named;
                    let started = Instant::now();
                    drain(rows).await?;
                    best = best.min(started.elapsed().as_secs_f64());
                }
                rates.push(*data::ROWS as f64 / best / 1e6);
            }
            print!("{name:<16} {label:<7}");
            rates.iter().for_each(|rate| print!(" {rate:>9.1}"));
            let (parquet, arrow) = (rates[1].max(rates[2]), rates[3]);
            print!(" {:>8.2} {:>8.2}", rates[0] / parquet, rates[0] / arrow);
            if query == 0 {
                let each = |bytes: u64| bytes as f64 / *data::ROWS as f64;
                let (ours, parquet) = (each(table.stored), each(table.parquet));
                print!("   {ours:.1} {parquet:.1} {:.1} + 8", each(table.arrow));
            }
            println!();
        }
    }
    Ok(())
}
