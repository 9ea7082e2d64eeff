//! Scans: segments block by block, then the deltas, then the transaction's own rows.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::{Bound, RangeBounds};
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use bytes::Bytes;
use satsuma_common::Timestamp;
use satsuma_common::row::RowBatchBuilder;

use super::{Contents, ReadView, ScanOptions, truncated_at};
use crate::delta::Delta;
use crate::engine::{Held, TableMeta};
use crate::error::Result;
use crate::segment::prune::Test;
use crate::segment::{Marks, Segment};
use crate::txn::{Own, ShardWrites};

/// Keys looked at under one hold of a delta's lock.
const CHUNK: usize = 1024;

/// Batches of a shard's rows as a [`ReadView`] sees them, in no promised order. Holds on to what it
/// reads, and to no lock between batches.
#[derive(Debug)]
pub struct Scan {
    table: Arc<TableMeta>,
    contents: Contents,
    marks: Vec<Arc<Marks>>,
    snapshot: Timestamp,
    /// Keeps the versions that the snapshot sees.
    _held: Held,
    builder: RowBatchBuilder,
    /// Keys that the transaction itself wrote.
    overlay: BTreeMap<Bytes, Own>,
    tests: Vec<(satsuma_common::ColumnId, Test)>,
    stage: Stage,
    range: (Bound<Bytes>, Bound<Bytes>),
    left: usize,
    batch_rows: usize,
}

#[derive(Debug)]
enum Stage {
    /// A block of a segment is next.
    Block {
        segment: usize,
        block: usize,
        hidden: Arc<BTreeSet<u32>>,
    },
    /// Rows of a block that are still to come, as places within the block.
    Rows {
        segment: usize,
        block: usize,
        hidden: Arc<BTreeSet<u32>>,
        rows: Vec<u32>,
        at: usize,
    },
    /// A delta, from a key on: the frozen one, if there is one, and then the active one.
    Delta {
        delta: usize,
        from: Bound<Bytes>,
    },
    Own,
    Done,
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
        let capacity = batch_rows.min(options.limit.unwrap_or(batch_rows)).min(1024);
        let builder = table.decoder().batch_builder(options.projection.as_deref(), capacity)?;
        let range = match &options.key_range {
            Some(range) => (bound(&range.from), bound(&range.to)),
            None => (Bound::Unbounded, Bound::Unbounded),
        };
        let before = view.before_statement;
        let hides_committed = own.as_ref().is_some_and(|own| own.hides_committed(before));
        let tests = options
            .predicates
            .iter()
            .filter_map(|predicate| {
                let column = table.shape.columns.get(predicate.column)?;
                Some((column.id, Test::new(predicate, &column.ty)?))
            })
            .collect();
        let marks = contents.segments.iter().map(|segment| segment.marks()).collect();
        let mut scan = Self {
            table,
            contents,
            marks,
            snapshot: view.snapshot,
            _held: held,
            builder,
            overlay: own.map(|own| own.overlay(before)).unwrap_or_default(),
            tests,
            stage: Stage::Own,
            range,
            left: options.limit.unwrap_or(usize::MAX),
            batch_rows,
        };
        if !hides_committed {
            scan.stage = scan.enter_segment(0)?;
        }
        Ok(scan)
    }

    /// Schema of the batches.
    pub fn schema(&self) -> SchemaRef {
        self.builder.schema().clone()
    }

    fn step(&mut self) -> Result<()> {
        let stage = std::mem::replace(&mut self.stage, Stage::Done);
        self.stage = match stage {
            Stage::Block { segment, block, hidden } => self.enter_block(segment, block, hidden)?,
            Stage::Rows { segment, block, hidden, rows, at } => {
                let room = (self.batch_rows - self.builder.len()).min(self.left);
                let end = (at + room).min(rows.len());
                self.take_rows(segment, block, &rows[at..end])?;
                if end < rows.len() {
                    Stage::Rows { segment, block, hidden, rows, at: end }
                } else {
                    Stage::Block { segment, block: block + 1, hidden }
                }
            }
            Stage::Delta { delta, from } => self.take_delta(delta, from)?,
            Stage::Own => match self.overlay.pop_first() {
                Some((key, own)) => {
                    if let Own::Row(row) = own
                        && self.range.contains(&key)
                    {
                        self.builder.push(&key, &row)?;
                        self.left -= 1;
                    }
                    Stage::Own
                }
                None => Stage::Done,
            },
            Stage::Done => Stage::Done,
        };
        Ok(())
    }

    fn enter_segment(&self, segment: usize) -> Result<Stage> {
        let Some(opened) = self.contents.segments.get(segment) else {
            return Ok(Stage::Delta { delta: 0, from: self.range.0.clone() });
        };
        let newest = Timestamp(opened.footer().max_ts);
        if truncated_at(&self.contents.truncations, newest, self.snapshot).is_some() {
            return self.enter_segment(segment + 1);
        }
        // Rows that the transaction itself has changed come from its own writes.
        let mut hidden = BTreeSet::new();
        for key in self.overlay.keys() {
            hidden.extend(opened.find(key)?);
        }
        Ok(Stage::Block { segment, block: 0, hidden: Arc::new(hidden) })
    }

    fn enter_block(
        &self,
        segment: usize,
        block: usize,
        hidden: Arc<BTreeSet<u32>>,
    ) -> Result<Stage> {
        let opened = &self.contents.segments[segment];
        let Some(meta) = opened.block(block) else { return self.enter_segment(segment + 1) };
        let skip = self.misses_range(&meta.first_key, &meta.last_key)
            || self.tests.iter().any(|(column, test)| {
                let position = opened.layout().position(*column);
                position.is_some_and(|at| !test.may_match(&meta.columns[at], meta.rows))
            });
        if skip {
            return Ok(Stage::Block { segment, block: block + 1, hidden });
        }
        let rows = self.visible_rows(opened, &self.marks[segment], block, &hidden)?;
        Ok(Stage::Rows { segment, block, hidden, rows, at: 0 })
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

    /// Places within the block of the rows that are in the range and that the snapshot sees.
    fn visible_rows(
        &self,
        segment: &Segment,
        marks: &Marks,
        block: usize,
        hidden: &BTreeSet<u32>,
    ) -> Result<Vec<u32>> {
        let Some(meta) = segment.block(block) else { return Ok(Vec::new()) };
        let places = segment.places_in(block, &self.range)?;
        let mut visible = vec![true; meta.rows as usize];
        for row in marks.ended(meta.first_row, meta.rows, self.snapshot) {
            visible[(row - meta.first_row) as usize] = false;
        }
        for row in hidden.range(meta.first_row..meta.first_row + meta.rows) {
            visible[(row - meta.first_row) as usize] = false;
        }
        if meta.max_ts > self.snapshot.0 || self.truncates_within(segment) {
            let truncations = &self.contents.truncations;
            let stamps = segment.timestamps(block)?;
            for place in places.clone() {
                let ts = segment.stamp(&stamps, place as usize)?;
                if ts > self.snapshot || truncated_at(truncations, ts, self.snapshot).is_some() {
                    visible[place as usize] = false;
                }
            }
        }
        Ok(places.filter(|place| visible[*place as usize]).collect())
    }

    /// Whether a TRUNCATE that the snapshot sees came after some row of the segment.
    fn truncates_within(&self, segment: &Segment) -> bool {
        let oldest = Timestamp(segment.footer().min_ts);
        truncated_at(&self.contents.truncations, oldest, self.snapshot).is_some()
    }

    fn take_rows(&mut self, segment: usize, block: usize, rows: &[u32]) -> Result<()> {
        if rows.is_empty() {
            return Ok(());
        }
        let opened = &self.contents.segments[segment];
        let columns = &self.table.shape.columns;
        let layout = opened.layout();
        // One stretch without gaps is copied as it is.
        let (first, last) = (rows[0], rows[rows.len() - 1]);
        let stretch = ((last - first) as usize + 1 == rows.len())
            .then_some(first as usize..last as usize + 1);
        self.builder.append(rows.len(), |position, builder| -> Result<()> {
            let chunk = match columns.get(position) {
                None => opened.keys(block)?,
                Some(column) => match layout.position(column.id) {
                    Some(at) => opened.column(block, at)?,
                    None => {
                        for _ in rows {
                            builder.push(column.missing.as_deref())?;
                        }
                        return Ok(());
                    }
                },
            };
            if let Some(values) = stretch.clone().and_then(|rows| chunk.plain_values(rows))
                && builder.extend_plain(&values, rows.len())
            {
                return Ok(());
            }
            for row in rows {
                let value = chunk.value(*row as usize).map_err(|e| opened.damaged(&e))?;
                builder.push(value.as_deref())?;
            }
            Ok(())
        })?;
        self.left -= rows.len();
        Ok(())
    }

    fn take_delta(&mut self, index: usize, from: Bound<Bytes>) -> Result<Stage> {
        let Some(delta) = self.contents.delta(index) else { return Ok(Stage::Own) };
        let newer: Option<Arc<Delta>> = self.contents.delta(index + 1).cloned();
        let room = (self.batch_rows - self.builder.len()).min(CHUNK).min(self.left);
        let (rows, last) = delta.chunk(&from, &self.range.1, self.snapshot, room);
        for (key, version) in rows {
            let Some(row) = &version.row else { continue };
            let superseded = newer.as_ref().is_some_and(|d| d.get(&key, self.snapshot).is_some());
            if superseded
                || self.overlay.contains_key(&key)
                || truncated_at(&self.contents.truncations, version.ts, self.snapshot).is_some()
            {
                continue;
            }
            self.builder.push(&key, row)?;
            self.left -= 1;
        }
        Ok(match last {
            Some(last) => Stage::Delta { delta: index, from: Bound::Excluded(last) },
            None => Stage::Delta { delta: index + 1, from: self.range.0.clone() },
        })
    }
}

impl Iterator for Scan {
    type Item = Result<RecordBatch>;

    fn next(&mut self) -> Option<Self::Item> {
        while !matches!(self.stage, Stage::Done)
            && self.left > 0
            && self.builder.len() < self.batch_rows
        {
            if let Err(error) = self.step() {
                self.stage = Stage::Done;
                self.left = 0;
                return Some(Err(error));
            }
        }
        if self.builder.is_empty() {
            return None;
        }
        Some(self.builder.finish().map_err(Into::into))
    }
}

fn bound(bound: &Bound<Vec<u8>>) -> Bound<Bytes> {
    match bound {
        Bound::Included(key) => Bound::Included(Bytes::copy_from_slice(key)),
        Bound::Excluded(key) => Bound::Excluded(Bytes::copy_from_slice(key)),
        Bound::Unbounded => Bound::Unbounded,
    }
}
