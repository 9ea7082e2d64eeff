//! The index of a segment, its run: entries with the numbers of the rows that have them, sorted.
//!
//! A run is one or more parts, each a segment image without columns ([`crate::segment`]) whose
//! keys are `entry | u32 row`: blocks, checksums and search are the same. A part is cut when its
//! entries have grown large, so that building one takes bounded memory.

use std::ops::Bound;
use std::sync::Arc;

use arrow::array::RecordBatch;
use bytes::Bytes;
use parking_lot::{Mutex, RwLock};
use satsuma_common::row::{Layouts, RowDecoder, RowEncoder};
use satsuma_common::table::TableShape;
use satsuma_common::{Oid, TableId, Timestamp};

use super::definition::{Indexing, RowKeys, TableIndex, UNKNOWN, half_open, with_unknown};
use crate::error::{Result, StorageError};
use crate::segment::{Segment, SegmentWriter, StoredRow};
use crate::shard::KeyRange;

/// Entries of one part, in bytes of memory.
const PART_BYTES: usize = 64 << 20;
const ENTRY_OVERHEAD: usize = 32;

#[derive(Debug)]
pub(crate) struct Run {
    parts: Vec<Segment>,
}

impl Run {
    pub fn new(parts: Vec<Segment>) -> Self {
        Self { parts }
    }

    pub fn bytes(&self) -> u64 {
        self.parts.iter().map(Segment::size).sum()
    }

    /// Numbers of the rows that may match, in order.
    pub fn candidates(&self, clauses: &[Vec<KeyRange>]) -> Result<Vec<u32>> {
        let mut found: Option<Vec<u32>> = None;
        for clause in clauses {
            let mut rows = Vec::new();
            for range in with_unknown(clause) {
                self.rows_in(&range, &mut rows)?;
            }
            rows.sort_unstable();
            rows.dedup();
            found = Some(match found {
                None => rows,
                Some(mut earlier) => {
                    earlier.retain(|row| rows.binary_search(row).is_ok());
                    earlier
                }
            });
        }
        Ok(found.unwrap_or_default())
    }

    /// How many entries match.
    pub fn count(&self, clause: &[KeyRange]) -> Result<u64> {
        let mut count = 0;
        for range in clause {
            self.each_place(range, |_, _, places| {
                count += places.len() as u64;
                Ok(())
            })?;
        }
        Ok(count)
    }

    fn rows_in(&self, range: &KeyRange, rows: &mut Vec<u32>) -> Result<()> {
        self.each_place(range, |part, block, places| {
            part.reading(|| {
                let keys = part.keys(block)?;
                for place in places {
                    let key = keys.value(place as usize).map_err(|e| part.damaged(&e))?;
                    let row = key.as_deref().and_then(|key| key.last_chunk::<4>());
                    let missing = || StorageError::corrupt(&part.path, 0, "entry without a row");
                    rows.push(u32::from_be_bytes(*row.ok_or_else(missing)?));
                }
                Ok(())
            })
        })
    }

    fn each_place(
        &self,
        range: &KeyRange,
        mut visit: impl FnMut(&Segment, usize, std::ops::Range<u32>) -> Result<()>,
    ) -> Result<()> {
        let (from, to) = half_open(range);
        if to.as_ref().is_some_and(|to| from >= *to) {
            return Ok(());
        }
        let (from, to) = (Bytes::copy_from_slice(&from), to.map(|to| Bytes::copy_from_slice(&to)));
        let bounds =
            (Bound::Included(from.clone()), to.clone().map_or(Bound::Unbounded, Bound::Excluded));
        for part in &self.parts {
            let blocks = &part.footer().blocks;
            let first = blocks.partition_point(|block| block.last_key[..] < from[..]);
            for (block, meta) in blocks.iter().enumerate().skip(first) {
                if to.as_ref().is_some_and(|to| meta.first_key[..] >= to[..]) {
                    break;
                }
                let places = part.places_in(block, &bounds)?;
                if !places.is_empty() {
                    visit(part, block, places)?;
                }
            }
        }
        Ok(())
    }
}

/// The runs of a segment that are open.
#[derive(Debug, Default)]
pub(crate) struct Runs {
    open: RwLock<Vec<(Oid, u32, Arc<Run>)>>,
    /// One at a time is built.
    pub building: Mutex<()>,
}

impl Runs {
    pub fn get(&self, index: &TableIndex) -> Option<Arc<Run>> {
        let open = self.open.read();
        open.iter()
            .find(|(id, print, _)| *id == index.shape.id && *print == index.fingerprint)
            .map(|(_, _, run)| run.clone())
    }

    pub fn put(&self, index: &TableIndex, run: Arc<Run>) {
        let mut open = self.open.write();
        open.retain(|(id, _, _)| *id != index.shape.id);
        open.push((index.shape.id, index.fingerprint, run));
    }

    pub fn remove(&self, index: Oid) {
        self.open.write().retain(|(id, _, _)| *id != index);
    }

    pub fn retain(&self, indexes: &[Arc<TableIndex>]) {
        self.open.write().retain(|(id, _, _)| indexes.iter().any(|index| index.shape.id == *id));
    }

    pub fn bytes_of(&self, id: Oid) -> u64 {
        let open = self.open.read();
        open.iter().filter(|(known, _, _)| *known == id).map(|(_, _, run)| run.bytes()).sum()
    }
}

/// Builds the run of a segment, part by part.
pub(crate) struct RunBuilder<'a> {
    segment: &'a Segment,
    index: &'a TableIndex,
    indexing: &'a Indexing,
    block: usize,
}

impl<'a> RunBuilder<'a> {
    pub fn new(segment: &'a Segment, index: &'a TableIndex, indexing: &'a Indexing) -> Self {
        Self { segment, index, indexing, block: 0 }
    }

    /// Whether all blocks are in the parts so far.
    pub fn is_done(&self) -> bool {
        self.block >= self.segment.footer().blocks.len()
    }

    /// The bytes of the next part; there is at least one.
    pub fn part(&mut self) -> Result<Vec<u8>> {
        let mut keys: Vec<Vec<u8>> = Vec::new();
        let mut bytes = 0;
        while !self.is_done() && bytes < PART_BYTES {
            let first_row = self.segment.footer().blocks[self.block].first_row;
            let entries = self.segment.reading(|| self.block_entries())?;
            for (place, row) in entries.into_iter().enumerate() {
                for mut key in row {
                    key.extend_from_slice(&(first_row + place as u32).to_be_bytes());
                    bytes += key.len() + ENTRY_OVERHEAD;
                    keys.push(key);
                }
            }
            self.block += 1;
        }
        keys.sort_unstable();
        let shape = no_columns();
        let row = Bytes::from(RowEncoder::new(&shape).encode(&[])?);
        let layouts = Arc::new(Layouts::of(&shape));
        let mut writer = SegmentWriter::new(RowDecoder::new(Arc::new(shape), layouts));
        for key in keys {
            writer.push(StoredRow { key: key.into(), ts: Timestamp(0), row: row.clone() })?;
        }
        writer.finish()
    }

    /// The entries of each row of the block.
    fn block_entries(&self) -> Result<Vec<Vec<Vec<u8>>>> {
        let rows = self.segment.footer().blocks[self.block].rows as usize;
        if let Some(positions) = self.index.plain_positions() {
            return self.plain_entries(rows, positions);
        }
        let Indexing { table, expressions } = self.indexing;
        let batch = self.batch(rows)?;
        let evaluate =
            |batch: &RecordBatch| self.index.keys_of_batch(&table.shape, batch, &**expressions);
        if let Ok(keys) = evaluate(&batch) {
            return Ok(keys.into_iter().map(|keys| keys.entries).collect());
        }
        let one = |row: usize| match evaluate(&batch.slice(row, 1)) {
            Ok(mut keys) => keys.pop().map_or_else(Vec::new, |keys| keys.entries),
            Err(_) => vec![vec![UNKNOWN]],
        };
        Ok((0..rows).map(one).collect())
    }

    fn plain_entries(&self, rows: usize, positions: &[usize]) -> Result<Vec<Vec<Vec<u8>>>> {
        let columns = &self.indexing.table.shape.columns;
        let layout = self.segment.layout();
        let mut chunks = Vec::with_capacity(positions.len());
        for position in positions {
            let column = columns.get(*position).ok_or_else(no_column)?;
            chunks.push(match layout.position(column.id) {
                Some(at) => Ok(self.segment.column(self.block, at)?),
                None => Err(column.missing.as_deref()),
            });
        }
        let keys = |row: usize| -> Result<RowKeys> {
            let mut values = Vec::with_capacity(chunks.len());
            for chunk in &chunks {
                values.push(match chunk {
                    Ok(chunk) => chunk.value(row).map_err(|e| self.segment.damaged(&e))?,
                    Err(missing) => missing.map(crate::segment::column::Value::Slice),
                });
            }
            let values: Vec<Option<&[u8]>> = values.iter().map(Option::as_deref).collect();
            self.index.keys_of_physical(&values)
        };
        (0..rows)
            .map(|row| match keys(row) {
                Ok(keys) => Ok(keys.entries),
                Err(StorageError::Key(_)) => Ok(vec![vec![UNKNOWN]]),
                Err(error) => Err(error),
            })
            .collect()
    }

    /// The block as a batch of the table's columns.
    fn batch(&self, rows: usize) -> Result<RecordBatch> {
        let table = &self.indexing.table;
        let columns: Vec<_> = (0..table.shape.columns.len()).collect();
        let mut builder = table.decoder().batch_builder(Some(&columns), rows)?;
        let places: Vec<u32> = (0..rows as u32).collect();
        super::scan::append(&mut builder, table, self.segment, self.block, &places)?;
        Ok(builder.finish()?)
    }
}

fn no_column() -> StorageError {
    StorageError::corrupt("index", 0, "an indexed column is missing")
}

/// Entries are keys alone.
fn no_columns() -> TableShape {
    TableShape {
        table: TableId(0),
        version: 0,
        schema_name: String::new(),
        name: String::new(),
        columns: Vec::new(),
        primary_key: Vec::new(),
        primary_key_name: None,
        checks: Vec::new(),
        foreign_keys: Vec::new(),
        referenced_by: Vec::new(),
        indexes: Vec::new(),
    }
}
