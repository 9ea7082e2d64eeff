//! Scans: segments block by block, then the deltas, then the transaction's own rows.
//!
//! ```text
//! a block: skipped by its bounds? -> visible rows -> filters, each on the rows that are left
//!          -> the columns that are wanted, of the rows that are left
//! ```
//!
//! Several threads can share a scan: each takes the next block that nobody has taken.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::{Bound, RangeBounds};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use arrow::array::{Array, ArrayRef, RecordBatch, RecordBatchOptions, new_null_array};
use arrow::buffer::BooleanBuffer;
use arrow::compute::{concat, filter, filter_record_batch};
use arrow::datatypes::{DataType, SchemaRef};
use bytes::Bytes;
use satsuma_common::Timestamp;
use satsuma_common::row::{ColumnBuilder, RowBatchBuilder};

use super::filter::true_rows;
use super::{Contents, ReadView, RowFilter, ScanOptions, truncated_at};
use crate::delta::Delta;
use crate::engine::{Held, TableMeta};
use crate::error::{Result, StorageError};
use crate::segment::prune::Test;
use crate::segment::{Marks, Segment, Selection};
use crate::txn::{Own, ShardWrites};

/// Keys looked at under one hold of a delta's lock.
const CHUNK: usize = 1024;
/// An optional filter that keeps more of this many rows than [`TOO_MANY`] is given up.
const TRIAL_ROWS: usize = 50_000;
/// In percent.
const TOO_MANY: usize = 80;

/// Batches of a shard's rows as a [`ReadView`] sees them, in no promised order. Holds on to what it
/// reads, and to no lock between batches.
#[derive(Debug)]
pub struct Scan {
    shared: Arc<Shared>,
    stage: Stage,
    /// Rows of the deltas and of the transaction itself.
    builder: RowBatchBuilder,
    trials: Vec<Trial>,
    /// Rows that filters kept out.
    removed: usize,
}

/// What the threads of one scan have in common.
#[derive(Debug)]
struct Shared {
    table: Arc<TableMeta>,
    contents: Contents,
    /// Segments of the shard, and of the transaction itself.
    layers: Vec<Layer>,
    snapshot: Timestamp,
    /// Keeps the versions that the snapshot sees.
    _held: Held,
    /// Keys that the transaction itself wrote.
    overlay: BTreeMap<Bytes, Own>,
    hides_committed: bool,
    tests: Vec<(satsuma_common::ColumnId, Test)>,
    filters: Vec<Arc<dyn RowFilter>>,
    range: (Bound<Bytes>, Bound<Bytes>),
    /// What comes: positions in the shape, with the hidden key's.
    projection: Vec<usize>,
    schema: SchemaRef,
    /// What comes and then what only filters need.
    read: Vec<usize>,
    blocks: Vec<(usize, usize)>,
    next_block: AtomicUsize,
    /// Rows that are still wanted.
    left: AtomicUsize,
    batch_rows: usize,
}

#[derive(Debug)]
struct Layer {
    segment: Arc<Segment>,
    marks: Arc<Marks>,
    /// Rows that the transaction itself has written anew or deleted.
    hidden: BTreeSet<u32>,
    /// Loaded by the transaction itself: its other rows are all visible.
    own: bool,
}

#[derive(Debug)]
enum Stage {
    /// The next block that nobody has taken.
    Blocks,
    /// Batches of a block that are still to come.
    Batch {
        batch: RecordBatch,
        at: usize,
    },
    /// A delta, from a key on: the frozen one, if there is one, and then the active one.
    Delta {
        delta: usize,
        from: Bound<Bytes>,
    },
    Own {
        after: Bound<Bytes>,
    },
    Done,
}

/// How an optional filter has done so far.
#[derive(Clone, Copy, Debug, Default)]
struct Trial {
    seen: usize,
    kept: usize,
}

impl Trial {
    fn is_useless(self) -> bool {
        self.seen >= TRIAL_ROWS && self.kept > self.seen / 100 * TOO_MANY
    }
}

impl Scan {
    pub(super) fn new(
        table: Arc<TableMeta>,
        contents: Contents,
        (view, held): (&ReadView, Held),
        own: Option<ShardWrites>,
        options: &ScanOptions,
    ) -> Result<Self> {
        let batch_rows = options.batch_rows.max(1);
        let all: Vec<usize> = (0..=table.shape.columns.len()).collect();
        let projection = options.projection.clone().unwrap_or(all);
        let mut read = projection.clone();
        for column in options.filters.iter().flat_map(|filter| filter.columns()) {
            if !read.contains(column) {
                read.push(*column);
            }
        }
        let capacity = batch_rows.min(options.limit.unwrap_or(batch_rows)).min(1024);
        let builder = table.decoder().batch_builder(Some(&read), capacity)?;
        let wanted: Vec<usize> = (0..projection.len()).collect();
        let schema = Arc::new(builder.schema().project(&wanted).map_err(malformed)?);
        let range = match &options.key_range {
            Some(range) => (bound(&range.from), bound(&range.to)),
            None => (Bound::Unbounded, Bound::Unbounded),
        };
        let before = view.before_statement;
        let hides_committed = own.as_ref().is_some_and(|own| own.hides_committed(before));
        let loaded = own.as_ref().map(|own| own.loaded_segments(before)).unwrap_or_default();
        let overlay = own.map(|own| own.overlay(before)).unwrap_or_default();
        let tests = options
            .predicates
            .iter()
            .filter_map(|predicate| {
                let column = table.shape.columns.get(predicate.column)?;
                Some((column.id, Test::new(predicate, &column.ty)?))
            })
            .collect();
        let committed = contents.segments.iter().filter(|segment| {
            let newest = segment.max_ts();
            let gone = truncated_at(&contents.truncations, newest, view.snapshot).is_some();
            !gone && !hides_committed
        });
        let committed = committed.map(|segment| (segment.clone(), false));
        let mut layers = Vec::new();
        let mut blocks = Vec::new();
        for (segment, own) in committed.chain(loaded.into_iter().map(|segment| (segment, true))) {
            blocks.extend((0..segment.footer().blocks.len()).map(|block| (layers.len(), block)));
            // Rows that the transaction itself has changed come from its own writes.
            let mut hidden = BTreeSet::new();
            for key in overlay.keys() {
                hidden.extend(segment.find(key)?);
            }
            layers.push(Layer { marks: segment.marks(), segment, hidden, own });
        }
        let trials = vec![Trial::default(); options.filters.len()];
        let shared = Shared {
            table,
            contents,
            layers,
            snapshot: view.snapshot,
            _held: held,
            overlay,
            hides_committed,
            tests,
            filters: options.filters.clone(),
            range,
            projection,
            schema,
            read,
            blocks,
            next_block: AtomicUsize::new(0),
            left: AtomicUsize::new(options.limit.unwrap_or(usize::MAX)),
            batch_rows,
        };
        Ok(Self { shared: Arc::new(shared), stage: Stage::Blocks, builder, trials, removed: 0 })
    }

    /// The same scan for another thread, which shares the blocks with this one. To be called
    /// before the first batch is taken.
    pub fn share(&self) -> Result<Self> {
        let shared = self.shared.clone();
        let builder = shared.table.decoder().batch_builder(Some(&shared.read), 64)?;
        let trials = vec![Trial::default(); shared.filters.len()];
        Ok(Self { shared, stage: Stage::Blocks, builder, trials, removed: 0 })
    }

    /// How many visible rows the filters have kept out so far, optional ones included. Rows of
    /// blocks that were skipped as a whole do not count.
    pub fn removed(&self) -> usize {
        self.removed
    }

    /// Schema of the batches.
    pub fn schema(&self) -> SchemaRef {
        self.shared.schema.clone()
    }

    /// One step on; a batch when there is one.
    fn step(&mut self) -> Result<Option<RecordBatch>> {
        let shared = self.shared.clone();
        let stage = std::mem::replace(&mut self.stage, Stage::Done);
        match stage {
            Stage::Blocks => {
                let at = shared.next_block.fetch_add(1, Ordering::Relaxed);
                if let Some((segment, block)) = shared.blocks.get(at) {
                    self.stage = Stage::Blocks;
                    let (batch, removed) = shared.read_block(*segment, *block, &mut self.trials)?;
                    self.removed += removed;
                    if let Some(batch) = batch {
                        self.stage = Stage::Batch { batch, at: 0 };
                    }
                } else if at == shared.blocks.len() {
                    // Whoever comes first past the last block takes what is not in blocks.
                    self.stage = match shared.hides_committed {
                        true => Stage::Own { after: Bound::Unbounded },
                        false => Stage::Delta { delta: 0, from: shared.range.0.clone() },
                    };
                }
                Ok(None)
            }
            Stage::Batch { batch, at } => {
                let rows = (batch.num_rows() - at).min(shared.batch_rows);
                let part = batch.slice(at, rows);
                self.stage = match at + rows < batch.num_rows() {
                    true => Stage::Batch { batch, at: at + rows },
                    false => Stage::Blocks,
                };
                Ok(Some(part))
            }
            Stage::Delta { delta, from } => {
                self.stage = self.take_delta(&shared, delta, from)?;
                self.full_batch()
            }
            Stage::Own { after } => {
                let next = shared.overlay.range((after, Bound::Unbounded)).next();
                let Some((key, own)) = next else { return self.last_batch() };
                if let Own::Row(row) = own
                    && shared.range.contains(key)
                {
                    self.builder.push(key, row)?;
                }
                self.stage = Stage::Own { after: Bound::Excluded(key.clone()) };
                self.full_batch()
            }
            Stage::Done => Ok(None),
        }
    }

    /// What the builder holds, if that is enough for a batch.
    fn full_batch(&mut self) -> Result<Option<RecordBatch>> {
        let enough = self.shared.batch_rows.min(self.shared.left.load(Ordering::Relaxed));
        if self.builder.len() >= enough { self.last_batch() } else { Ok(None) }
    }

    /// What the builder holds.
    fn last_batch(&mut self) -> Result<Option<RecordBatch>> {
        if self.builder.is_empty() {
            return Ok(None);
        }
        let shared = self.shared.clone();
        let mut batch = self.builder.finish()?;
        let before = batch.num_rows();
        for condition in &shared.filters {
            let places = condition.columns().iter().map(|column| shared.place(*column));
            let places = places.collect::<Result<Vec<_>>>()?;
            let rows = batch.project(&places).map_err(malformed)?;
            let mask = condition.evaluate(&rows).map_err(StorageError::Filter)?;
            batch = filter_record_batch(&batch, &mask).map_err(malformed)?;
        }
        self.removed += before - batch.num_rows();
        if batch.num_rows() == 0 {
            return Ok(None);
        }
        let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
        let columns = batch.columns()[..shared.projection.len()].to_vec();
        RecordBatch::try_new_with_options(shared.schema.clone(), columns, &options)
            .map(Some)
            .map_err(malformed)
    }

    fn take_delta(&mut self, shared: &Shared, index: usize, from: Bound<Bytes>) -> Result<Stage> {
        let contents = &shared.contents;
        let Some(delta) = contents.delta(index) else {
            return Ok(Stage::Own { after: Bound::Unbounded });
        };
        let newer: Option<Arc<Delta>> = contents.delta(index + 1).cloned();
        let room = (shared.batch_rows - self.builder.len()).min(CHUNK);
        let room = match shared.filters.is_empty() {
            true => room.min(shared.left.load(Ordering::Relaxed)).max(1),
            false => room,
        };
        let (rows, last) = delta.chunk(&from, &shared.range.1, shared.snapshot, room);
        for (key, version) in rows {
            let Some(row) = &version.row else { continue };
            let superseded = newer.as_ref().is_some_and(|d| d.get(&key, shared.snapshot).is_some());
            if superseded
                || shared.overlay.contains_key(&key)
                || truncated_at(&contents.truncations, version.ts, shared.snapshot).is_some()
            {
                continue;
            }
            self.builder.push(&key, row)?;
        }
        Ok(match last {
            Some(last) => Stage::Delta { delta: index, from: Bound::Excluded(last) },
            None => Stage::Delta { delta: index + 1, from: shared.range.0.clone() },
        })
    }
}

impl Shared {
    /// Where a column of the shape is among those that are read.
    fn place(&self, column: usize) -> Result<usize> {
        let place = self.read.iter().position(|read| *read == column);
        place.ok_or_else(|| malformed(format!("column {column} is not read")))
    }

    /// The block's rows that are visible and for which the filters are true, `None` where there
    /// are none; and how many the filters kept out.
    fn read_block(
        &self,
        segment: usize,
        block: usize,
        trials: &mut [Trial],
    ) -> Result<(Option<RecordBatch>, usize)> {
        if self.skips(segment, block) {
            return Ok((None, 0));
        }
        let rows = self.visible_rows(segment, block)?;
        let visible = rows.len();
        if visible == 0 {
            return Ok((None, 0));
        }
        let opened = self.layers[segment].segment.as_ref();
        let mut reading = BlockReading { shared: self, opened, block, rows, columns: Vec::new() };
        for (condition, trial) in self.filters.iter().zip(trials) {
            if condition.is_optional() && trial.is_useless() {
                continue;
            }
            let before = reading.rows.len();
            reading.apply(condition.as_ref())?;
            trial.seen += before;
            trial.kept += reading.rows.len();
            if reading.rows.is_empty() {
                return Ok((None, visible));
            }
        }
        let columns = self
            .projection
            .iter()
            .map(|column| reading.column(*column))
            .collect::<Result<Vec<_>>>()?;
        let options = RecordBatchOptions::new().with_row_count(Some(reading.rows.len()));
        let batch = RecordBatch::try_new_with_options(self.schema.clone(), columns, &options);
        Ok((Some(batch.map_err(malformed)?), visible - reading.rows.len()))
    }

    /// Whether the block's bounds say that none of its rows is wanted.
    fn skips(&self, segment: usize, block: usize) -> bool {
        let opened = &self.layers[segment].segment;
        let Some(meta) = opened.block(block) else { return true };
        let misses = |column: satsuma_common::ColumnId, test: &Test| {
            let position = opened.layout().position(column);
            position.is_some_and(|at| !test.may_match(&meta.columns[at], meta.rows))
        };
        let columns = &self.table.shape.columns;
        self.misses_range(&meta.first_key, &meta.last_key)
            || self.tests.iter().any(|(column, test)| misses(*column, test))
            || self.filters.iter().flat_map(|filter| filter.predicates()).any(|predicate| {
                columns.get(predicate.column).is_some_and(|column| {
                    let test = Test::new(&predicate, &column.ty);
                    test.is_some_and(|test| misses(column.id, &test))
                })
            })
    }

    fn misses_range(&self, first: &[u8], last: &[u8]) -> bool {
        let before = match &self.range.0 {
            Bound::Included(from) => last < &from[..],
            Bound::Excluded(from) => last <= &from[..],
            Bound::Unbounded => false,
        };
        before
            || match &self.range.1 {
                Bound::Included(to) => first > &to[..],
                Bound::Excluded(to) => first >= &to[..],
                Bound::Unbounded => false,
            }
    }

    /// Rows of the block that are in the range and that the snapshot sees.
    fn visible_rows(&self, index: usize, block: usize) -> Result<Selection> {
        let Layer { segment, marks, hidden, own } = &self.layers[index];
        let none = Selection::Rows(Vec::new());
        let Some(meta) = segment.block(block) else { return Ok(none) };
        let places = segment.places_in(block, &self.range)?;
        let mut ended = marks.ended(meta.first_row, meta.rows, self.snapshot);
        let mut hidden = hidden.range(meta.first_row..meta.first_row + meta.rows);
        let (first_ended, first_hidden) = (ended.next(), hidden.next());
        let check_times =
            !own && (segment.newest_of(meta) > self.snapshot || self.truncates_within(segment));
        if first_ended.is_none() && first_hidden.is_none() && !check_times {
            return Ok(Selection::Range(places));
        }
        let mut visible = vec![true; meta.rows as usize];
        let gone = first_ended.into_iter().chain(ended);
        for row in gone.chain(first_hidden.into_iter().chain(hidden).copied()) {
            visible[(row - meta.first_row) as usize] = false;
        }
        if check_times {
            let truncations = &self.contents.truncations;
            segment.reading(|| {
                let stamps = segment.timestamps(block)?;
                for place in places.clone() {
                    let ts = segment.stamp(&stamps, place as usize)?;
                    if ts > self.snapshot || truncated_at(truncations, ts, self.snapshot).is_some()
                    {
                        visible[place as usize] = false;
                    }
                }
                Ok(())
            })?;
        }
        Ok(Selection::Rows(places.filter(|place| visible[*place as usize]).collect()))
    }

    /// Whether a TRUNCATE that the snapshot sees came after some row of the segment.
    fn truncates_within(&self, segment: &Segment) -> bool {
        let oldest = segment.min_ts();
        truncated_at(&self.contents.truncations, oldest, self.snapshot).is_some()
    }
}

/// A block while it is being read.
struct BlockReading<'a> {
    shared: &'a Shared,
    opened: &'a Segment,
    block: usize,
    /// Rows that are left.
    rows: Selection,
    /// Columns that were decoded, of the rows that are left.
    columns: Vec<(usize, ArrayRef)>,
}

impl BlockReading<'_> {
    /// Keeps the rows for which the condition is true.
    fn apply(&mut self, condition: &dyn RowFilter) -> Result<()> {
        let mask = match self.by_dictionary(condition)? {
            Some(mask) => mask,
            None => {
                let columns = condition
                    .columns()
                    .iter()
                    .map(|column| self.column(*column))
                    .collect::<Result<Vec<_>>>()?;
                let rows = self.batch(condition, columns, self.rows.len())?;
                true_rows(&condition.evaluate(&rows).map_err(StorageError::Filter)?)
            }
        };
        let kept = mask.count_set_bits();
        if kept == self.rows.len() {
            return Ok(());
        }
        self.rows = self.rows.filter(&mask);
        if kept == 0 {
            return Ok(());
        }
        let mask = arrow::array::BooleanArray::new(mask, None);
        for (_, column) in &mut self.columns {
            *column = filter(column.as_ref(), &mask).map_err(malformed)?;
        }
        Ok(())
    }

    /// The condition evaluated on the values of a dictionary, if it has to do with one column that
    /// has one, and with fewer values than rows.
    fn by_dictionary(&self, condition: &dyn RowFilter) -> Result<Option<BooleanBuffer>> {
        let [column] = condition.columns() else { return Ok(None) };
        if self.columns.iter().any(|(known, _)| known == column) {
            return Ok(None);
        }
        let Some(stored) = self.shared.table.shape.columns.get(*column) else { return Ok(None) };
        let Some(at) = self.opened.layout().position(stored.id) else { return Ok(None) };
        let data_type = self.data_type(*column)?;
        let dictionary = self.opened.reading(|| {
            let decoder = self.opened.decoder(self.block, at)?;
            decoder.dictionary(&data_type, &self.rows).map_err(|e| self.opened.damaged(&e))
        });
        let Some(dictionary) = dictionary? else { return Ok(None) };
        let count = dictionary.values.len();
        if count >= self.rows.len() {
            return Ok(None);
        }
        let mut values = dictionary.values;
        let nulls = dictionary.codes.nulls();
        if nulls.is_some() {
            let null = new_null_array(&data_type, 1);
            values = concat(&[values.as_ref(), null.as_ref()]).map_err(malformed)?;
        }
        let rows = self.batch(condition, vec![values], count + usize::from(nulls.is_some()))?;
        // A value may be that of a row that is not visible: its error is none.
        let Ok(mask) = condition.evaluate(&rows) else { return Ok(None) };
        let mask = true_rows(&mask);
        let codes = dictionary.codes.values();
        Ok(Some(BooleanBuffer::collect_bool(codes.len(), |row| {
            let code = match nulls {
                Some(nulls) if nulls.is_null(row) => count,
                _ => codes[row] as usize,
            };
            mask.value(code)
        })))
    }

    fn batch(
        &self,
        condition: &dyn RowFilter,
        columns: Vec<ArrayRef>,
        rows: usize,
    ) -> Result<RecordBatch> {
        let full = self.shared.table.decoder().schema_with_key();
        let schema = full.project(condition.columns()).map_err(malformed)?;
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        // A dictionary's values may be followed by a NULL, whatever the column says.
        let fields: Vec<_> =
            schema.fields().iter().map(|f| f.as_ref().clone().with_nullable(true)).collect();
        let schema = Arc::new(arrow::datatypes::Schema::new(fields));
        RecordBatch::try_new_with_options(schema, columns, &options).map_err(malformed)
    }

    fn data_type(&self, column: usize) -> Result<DataType> {
        Ok(match self.shared.table.shape.columns.get(column) {
            Some(stored) => satsuma_common::arrow_types::data_type(&stored.ty),
            None => DataType::Binary,
        })
    }

    /// A column of the shape, or the hidden key, of the rows that are left.
    fn column(&mut self, column: usize) -> Result<ArrayRef> {
        if let Some((_, known)) = self.columns.iter().find(|(known, _)| *known == column) {
            return Ok(known.clone());
        }
        let data_type = self.data_type(column)?;
        let decoded = self.opened.reading(|| {
            let decoder = match self.shared.table.shape.columns.get(column) {
                None => self.opened.key_decoder(self.block)?,
                Some(stored) => match self.opened.layout().position(stored.id) {
                    Some(at) => self.opened.decoder(self.block, at)?,
                    None => return self.missing(column, &data_type),
                },
            };
            decoder.decode(&data_type, &self.rows).map_err(|e| self.opened.damaged(&e))
        })?;
        self.columns.push((column, decoded.clone()));
        Ok(decoded)
    }

    /// A column that the segment is too old to have.
    fn missing(&self, column: usize, data_type: &DataType) -> Result<ArrayRef> {
        let stored = self.shared.table.shape.columns.get(column);
        let value = stored.and_then(|stored| stored.missing.as_deref());
        let mut builder = ColumnBuilder::new(data_type, self.rows.len());
        for _ in 0..self.rows.len() {
            builder.push(value)?;
        }
        Ok(builder.finish()?)
    }
}

impl Iterator for Scan {
    type Item = Result<RecordBatch>;

    fn next(&mut self) -> Option<Self::Item> {
        while !matches!(self.stage, Stage::Done) && self.shared.left.load(Ordering::Relaxed) > 0 {
            match self.step() {
                Ok(None) => {}
                Ok(Some(batch)) => {
                    let rows = batch.num_rows();
                    let less = |left: usize| Some(left.saturating_sub(rows));
                    // The closure never declines.
                    let _ =
                        self.shared.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less);
                    return Some(Ok(batch));
                }
                Err(error) => {
                    self.stage = Stage::Done;
                    return Some(Err(error));
                }
            }
        }
        None
    }
}

fn malformed(error: impl ToString) -> StorageError {
    StorageError::Row(satsuma_common::row::RowError::Malformed(error.to_string()))
}

fn bound(bound: &Bound<Vec<u8>>) -> Bound<Bytes> {
    match bound {
        Bound::Included(key) => Bound::Included(Bytes::copy_from_slice(key)),
        Bound::Excluded(key) => Bound::Excluded(Bytes::copy_from_slice(key)),
        Bound::Unbounded => Bound::Unbounded,
    }
}
