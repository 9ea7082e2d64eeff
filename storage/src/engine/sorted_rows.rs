//! Rows of a load as a segment: sorted, their keys looked for, encoded and written, on any thread.

use std::sync::Arc;

use arrow::array::RecordBatch;
use bytes::Bytes;
use satsuma_common::ShardId;

use super::bulk::BulkError;
use super::meta::TableMeta;
use super::store::Store;
use crate::error::{Result, StorageError};
use crate::segment::{Ascending, Segment, SegmentWriter};
use crate::shard::{Contents, Shard};
use crate::txn::LoadedFile;

/// Rows of one shard in the order of their keys.
pub(super) struct SortedRows {
    batch: RecordBatch,
    /// Of each row of the batch.
    keys: Vec<Vec<u8>>,
    /// Rows of the batch, by key.
    order: Vec<u32>,
}

/// Rows in a segment file that nobody knows yet.
pub(super) struct Sealed {
    pub rows: SortedRows,
    pub segment: Arc<Segment>,
    pub file: LoadedFile,
    /// What the shard held when the keys were looked for.
    pub seen: Contents,
}

/// Where a loader looks for its keys.
pub(super) struct Keys {
    pub shard: Arc<Shard>,
    /// Segments that the transaction has loaded before.
    pub own: Vec<Arc<Segment>>,
}

impl SortedRows {
    pub fn new(batch: RecordBatch, table: &TableMeta, shard: &Shard) -> Result<Self, BulkError> {
        let keys = match &table.key {
            Some(key) => key.encode_batch(&batch, &table.key_positions),
            None => Ok((0..batch.num_rows()).map(|_| shard.new_row_key().to_vec()).collect()),
        };
        let keys = keys.map_err(StorageError::from)?;
        // Most keys differ in their first bytes, which are nearer than the keys.
        let mut beginnings: Vec<(u128, u32)> =
            keys.iter().map(|key| beginning(key)).zip(0..).collect();
        beginnings.sort_unstable_by(|(a, row), (b, other)| {
            let whole = |row: &u32| &keys[*row as usize];
            a.cmp(b).then_with(|| whole(row).cmp(whole(other))).then_with(|| row.cmp(other))
        });
        let order = beginnings.into_iter().map(|(_, row)| row).collect();
        Ok(Self { batch, keys, order })
    }

    pub fn sorted(&self) -> Vec<&[u8]> {
        self.order.iter().map(|row| &self.keys[*row as usize][..]).collect()
    }

    /// The first row whose key an earlier one has.
    fn first_repeated(&self) -> Option<u32> {
        let repeated = |pair: &&[u32]| self.keys[pair[0] as usize] == self.keys[pair[1] as usize];
        self.order.windows(2).filter(repeated).map(|pair| pair[1]).min()
    }

    pub fn taken(&self, row: u32, shard: ShardId) -> BulkError {
        let key = self.keys[row as usize].clone();
        BulkError {
            error: StorageError::UniqueViolation { shard, row: 0, key, index: None },
            row: Some((shard, self.batch.slice(row as usize, 1))),
        }
    }

    /// Writes the rows to a file.
    pub fn seal(self, keys: &Keys, table: &TableMeta, store: &Store) -> Result<Sealed, BulkError> {
        let seen = keys.shard.contents();
        if table.key.is_some() {
            let taken = keys.first_taken(&self)?.into_iter().chain(self.first_repeated()).min();
            if let Some(row) = taken {
                return Err(self.taken(row, keys.shard.id));
            }
        }
        let mut writer = SegmentWriter::new(table.decoder().clone());
        let sorted = self.sorted();
        writer.push_sorted(&self.batch, &sorted, &self.order)?;
        if let Some(last) = sorted.last().filter(|_| table.key.is_none()) {
            keys.shard.note_row_id(last);
        }
        drop(sorted);
        let (segment, file) = store.put_loaded(writer.finish()?)?;
        Ok(Sealed { rows: self, segment: Arc::new(segment), file, seen })
    }
}

impl Keys {
    /// The first input row whose key is that of a row which is there already.
    pub fn first_taken(&self, rows: &SortedRows) -> Result<Option<u32>> {
        let sorted = rows.sorted();
        let (Some(first), Some(last)) = (sorted.first(), sorted.last()) else { return Ok(None) };
        let near_own = self.own.iter().any(|segment| segment.overlaps(first, last));
        if !near_own && !self.shard.has_keys_within(first, last) {
            return Ok(None);
        }
        let contents = self.shard.contents();
        let segments = contents.untruncated();
        let (mut sealed, mut loaded) = (near(&segments, first, last), near(&self.own, first, last));
        let deltas = [Some(&contents.active), contents.frozen.as_ref()];
        let deltas: Vec<_> = deltas.into_iter().flatten().filter(|d| !d.is_empty()).collect();
        let mut taken: Option<u32> = None;
        for (key, row) in sorted.iter().zip(&rows.order) {
            let mut is_known = deltas.iter().any(|delta| delta.contains(key));
            for segment in &mut sealed {
                is_known |= segment.has(key)?;
            }
            let mut found =
                is_known && self.shard.newest(key)?.is_some_and(|version| version.row.is_some());
            for segment in &mut loaded {
                found |= segment.has(key)?;
            }
            if found {
                taken = Some(taken.map_or(*row, |taken| taken.min(*row)));
            }
        }
        Ok(taken)
    }
}

/// The first sixteen bytes, which compare as the keys do where they differ.
fn beginning(key: &[u8]) -> u128 {
    let mut bytes = [0; 16];
    let length = key.len().min(bytes.len());
    bytes[..length].copy_from_slice(&key[..length]);
    u128::from_be_bytes(bytes)
}

/// Those of the segments that may have keys from `first` to `last`.
fn near<'a>(segments: &'a [Arc<Segment>], first: &[u8], last: &[u8]) -> Vec<Ascending<'a>> {
    let near = segments.iter().filter(|segment| segment.overlaps(first, last));
    near.map(|segment| segment.ascending()).collect()
}

impl Shard {
    /// Whether a row with a key from `first` to `last` may be there, of whatever version.
    pub(crate) fn has_keys_within(&self, first: &[u8], last: &[u8]) -> bool {
        use std::ops::Bound::Included;
        let contents = self.contents();
        let range =
            (Included(Bytes::copy_from_slice(first)), Included(Bytes::copy_from_slice(last)));
        contents.segments.iter().any(|segment| segment.overlaps(first, last))
            || contents.active.count_within(&range, 1) > 0
            || contents.frozen.is_some_and(|frozen| frozen.count_within(&range, 1) > 0)
    }
}
