//! Reading the candidates of a probe: layer by layer, as a scan of everything does.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::RecordBatch;
use bytes::Bytes;
use satsuma_common::Timestamp;
use satsuma_common::row::RowBatchBuilder;

use crate::engine::{Held, TableMeta};
use crate::error::Result;
use crate::segment::{Marks, Segment};
use crate::shard::{Contents, ReadView, truncated_at};
use crate::txn::{Own, ShardWrites};

/// What an index found in a shard's layers.
#[derive(Debug)]
pub(crate) struct Candidates {
    /// By committed segment, row numbers in order; `None`: all rows.
    pub segments: Vec<Option<Vec<u32>>>,
    /// By delta, older first, primary keys.
    pub deltas: Vec<Vec<Bytes>>,
}

/// A segment and what is read of it.
#[derive(Debug)]
struct Layer {
    segment: Arc<Segment>,
    marks: Arc<Marks>,
    candidates: Option<Vec<u32>>,
    /// The transaction itself has loaded it, and sees all of it.
    own: bool,
}

/// Batches of the candidates that a [`ReadView`] sees, and of all rows that its transaction wrote
/// itself. Not all of them match.
#[derive(Debug)]
pub struct IndexScan {
    table: Arc<TableMeta>,
    contents: Contents,
    layers: Vec<Layer>,
    /// By delta, older first.
    deltas: Vec<Vec<Bytes>>,
    snapshot: Timestamp,
    /// Keeps the versions that the snapshot sees.
    _held: Held,
    builder: RowBatchBuilder,
    overlay: BTreeMap<Bytes, Own>,
    stage: Stage,
    batch_rows: usize,
}

/// What comes next.
#[derive(Clone, Copy, Debug)]
enum Stage {
    Segment { segment: usize, at: usize },
    Delta { delta: usize, at: usize },
    Own,
    Done,
}

impl IndexScan {
    pub(crate) fn new(
        table: Arc<TableMeta>,
        contents: Contents,
        (view, held): (&ReadView, Held),
        own: Option<ShardWrites>,
        candidates: Candidates,
        (projection, batch_rows): (Option<&[usize]>, usize),
    ) -> Result<Self> {
        let batch_rows = batch_rows.max(1);
        let builder = table.decoder().batch_builder(projection, batch_rows.min(1024))?;
        let before = view.before_statement;
        let hides_committed = own.as_ref().is_some_and(|own| own.hides_committed(before));
        let loaded = own.as_ref().map(|own| own.loaded_segments(before)).unwrap_or_default();
        let layer = |segment: Arc<Segment>, candidates, own| {
            let marks = segment.marks();
            Layer { segment, marks, candidates, own }
        };
        let committed = contents.segments.iter().zip(candidates.segments);
        let layers = committed
            .filter(|(segment, _)| {
                let truncated =
                    truncated_at(&contents.truncations, segment.max_ts(), view.snapshot);
                !hides_committed && truncated.is_none()
            })
            .map(|(segment, candidates)| layer(segment.clone(), candidates, false))
            .chain(loaded.into_iter().map(|segment| layer(segment, None, true)))
            .collect();
        let deltas = if hides_committed { Vec::new() } else { candidates.deltas };
        Ok(Self {
            table,
            contents,
            layers,
            deltas,
            snapshot: view.snapshot,
            _held: held,
            builder,
            overlay: own.map(|own| own.overlay(before)).unwrap_or_default(),
            stage: Stage::Segment { segment: 0, at: 0 },
            batch_rows,
        })
    }

    fn step(&mut self) -> Result<()> {
        self.stage = match self.stage {
            Stage::Segment { segment, at } => self.take_segment(segment, at)?,
            Stage::Delta { delta, at } => self.take_delta(delta, at)?,
            Stage::Own => match self.overlay.pop_first() {
                Some((key, Own::Row(row))) => {
                    self.builder.push(&key, &row)?;
                    Stage::Own
                }
                Some((_, Own::Deleted)) => Stage::Own,
                None => Stage::Done,
            },
            Stage::Done => Stage::Done,
        };
        Ok(())
    }

    /// Candidates of one block, from place `at` among the segment's on.
    fn take_segment(&mut self, segment: usize, at: usize) -> Result<Stage> {
        let Some(layer) = self.layers.get(segment) else {
            return Ok(Stage::Delta { delta: 0, at: 0 });
        };
        let next_segment = Stage::Segment { segment: segment + 1, at: 0 };
        let opened = layer.segment.clone();
        let candidate = |at: usize| match &layer.candidates {
            Some(rows) => rows.get(at).copied(),
            None => u32::try_from(at).ok().filter(|row| u64::from(*row) < opened.rows()),
        };
        let Some(first) = candidate(at) else { return Ok(next_segment) };
        let block = opened.block_of(first)?;
        let meta = &opened.footer().blocks[block];
        let room = self.batch_rows - self.builder.len();
        let rows: Vec<u32> = (at..at + room)
            .map_while(candidate)
            .take_while(|row| *row < meta.first_row + meta.rows)
            .collect();
        let visible = opened.reading(|| self.visible(layer, block, &rows))?;
        opened.reading(|| append(&mut self.builder, &self.table, &opened, block, &visible))?;
        Ok(Stage::Segment { segment, at: at + rows.len() })
    }

    /// Places within the block of the rows that the snapshot sees.
    fn visible(&self, layer: &Layer, block: usize, rows: &[u32]) -> Result<Vec<u32>> {
        let Layer { segment, marks, own, .. } = layer;
        let meta = &segment.footer().blocks[block];
        let truncations = &self.contents.truncations;
        let stamps = segment.timestamps(block)?;
        let keys = segment.keys(block)?;
        let mut visible = Vec::with_capacity(rows.len());
        for row in rows {
            if marks.ended_at(*row).is_some_and(|ended| ended <= self.snapshot) {
                continue;
            }
            let place = row - meta.first_row;
            if !own {
                let ts = segment.stamp(&stamps, place as usize)?;
                if ts > self.snapshot || truncated_at(truncations, ts, self.snapshot).is_some() {
                    continue;
                }
            }
            if !self.overlay.is_empty() {
                let key = keys.value(place as usize).map_err(|e| segment.damaged(&e))?;
                if self.overlay.contains_key(key.as_deref().unwrap_or_default()) {
                    continue;
                }
            }
            visible.push(place);
        }
        Ok(visible)
    }

    fn take_delta(&mut self, delta: usize, at: usize) -> Result<Stage> {
        let Some(layer) = self.contents.delta(delta).cloned() else { return Ok(Stage::Own) };
        let newer = self.contents.delta(delta + 1).cloned();
        let keys = self.deltas.get(delta).map_or(&[][..], Vec::as_slice);
        let Some(key) = keys.get(at) else { return Ok(Stage::Delta { delta: delta + 1, at: 0 }) };
        if let Some(version) = layer.get(key, self.snapshot)
            && let Some(row) = &version.row
            && newer.is_none_or(|newer| newer.get(key, self.snapshot).is_none())
            && !self.overlay.contains_key(key)
            && truncated_at(&self.contents.truncations, version.ts, self.snapshot).is_none()
        {
            self.builder.push(key, row)?;
        }
        Ok(Stage::Delta { delta, at: at + 1 })
    }
}

/// Adds rows of a block, by their places in it, column by column, inside of [`Segment::reading`].
pub(super) fn append(
    builder: &mut RowBatchBuilder,
    table: &TableMeta,
    segment: &Segment,
    block: usize,
    places: &[u32],
) -> Result<()> {
    if places.is_empty() {
        return Ok(());
    }
    builder.append(places.len(), |position, builder| -> Result<()> {
        let chunk = match table.shape.columns.get(position) {
            None => segment.keys(block)?,
            Some(column) => match segment.layout().position(column.id) {
                Some(at) => segment.column(block, at)?,
                None => {
                    for _ in places {
                        builder.push(column.missing.as_deref())?;
                    }
                    return Ok(());
                }
            },
        };
        for place in places {
            let value = chunk.value(*place as usize).map_err(|e| segment.damaged(&e))?;
            builder.push(value.as_deref())?;
        }
        Ok(())
    })
}

impl Iterator for IndexScan {
    type Item = Result<RecordBatch>;

    fn next(&mut self) -> Option<Self::Item> {
        while !matches!(self.stage, Stage::Done) && self.builder.len() < self.batch_rows {
            if let Err(error) = self.step() {
                self.stage = Stage::Done;
                return Some(Err(error));
            }
        }
        if self.builder.is_empty() {
            return None;
        }
        Some(self.builder.finish().map_err(Into::into))
    }
}
