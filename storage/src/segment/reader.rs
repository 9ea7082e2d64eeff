//! Reading a segment: by key, and block by block.

use std::cmp::Ordering;
use std::ops::{Bound, Range};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::{Arc, atomic};

use bytes::Bytes;
use parking_lot::RwLock;
use satsuma_common::row::{Layout, RowEncoder};
use satsuma_common::{Timestamp, arrow_types};

use super::column::{Chunk, Kind};
use super::decode::Decoder;
use super::footer::{Block, Footer, Place};
use super::{Marks, SegmentError};
use crate::disk::FileBytes;
use crate::error::{Result, StorageError};
use crate::index::Runs;
use crate::segment::StoredRow;

/// An open segment and the marks on its rows.
#[derive(Debug)]
pub struct Segment {
    pub id: u64,
    /// Where it is stored, for messages.
    pub path: PathBuf,
    bytes: FileBytes,
    footer: Footer,
    kinds: Vec<Kind>,
    encoder: RowEncoder,
    marks: RwLock<Arc<Marks>>,
    /// When all its rows were committed, for a segment that was written before that was known; 0:
    /// each row has a timestamp of its own.
    committed: AtomicU64,
    pub(crate) runs: Runs,
    /// Per block and chunk: its checksum was right.
    checked: Vec<AtomicBool>,
}

impl Segment {
    pub fn open(id: u64, path: PathBuf, bytes: impl Into<FileBytes>, marks: Marks) -> Result<Self> {
        let bytes = bytes.into();
        let footer = bytes
            .watch(|| Footer::decode(&bytes))
            .map_err(|offset| cannot_be_read(&path, offset))?
            .map_err(|e| damaged(&path, 0, &e))?;
        let layout = &footer.layout;
        let kinds: Vec<_> =
            layout.columns.iter().map(|(_, ty)| Kind::of(&arrow_types::data_type(ty))).collect();
        let chunks = footer.blocks.len() * (kinds.len() + 2);
        Ok(Self {
            id,
            path,
            encoder: RowEncoder::with_layout(layout.clone()),
            kinds,
            footer,
            bytes,
            marks: RwLock::new(Arc::new(marks)),
            committed: AtomicU64::new(0),
            runs: Runs::default(),
            checked: (0..chunks).map(|_| AtomicBool::new(false)).collect(),
        })
    }

    pub fn footer(&self) -> &Footer {
        &self.footer
    }

    pub fn layout(&self) -> &Layout {
        &self.footer.layout
    }

    pub fn rows(&self) -> u64 {
        self.footer.rows
    }

    /// The moment at which all rows of a loaded segment were committed.
    pub fn set_committed(&self, ts: Timestamp) {
        self.committed.store(ts.0, atomic::Ordering::Release);
    }

    /// 0 where rows have timestamps of their own.
    pub fn committed(&self) -> u64 {
        self.committed.load(atomic::Ordering::Acquire)
    }

    fn one_or(&self, own: u64) -> Timestamp {
        match self.committed() {
            0 => Timestamp(own),
            one => Timestamp(one),
        }
    }

    /// Commit timestamps of the oldest and the newest row.
    pub fn min_ts(&self) -> Timestamp {
        self.one_or(self.footer.min_ts)
    }

    pub fn max_ts(&self) -> Timestamp {
        self.one_or(self.footer.max_ts)
    }

    /// That of the newest row of a block.
    pub fn newest_of(&self, block: &Block) -> Timestamp {
        self.one_or(block.max_ts)
    }

    /// Whether the segment's keys and these have a range in common.
    pub fn overlaps(&self, first: &[u8], last: &[u8]) -> bool {
        self.rows() > 0 && self.footer.first_key() <= last && first <= self.footer.last_key()
    }

    pub fn size(&self) -> u64 {
        self.bytes.len() as u64
    }

    /// A part of the segment as it is stored.
    pub fn part(&self, range: Range<usize>) -> Result<Vec<u8>> {
        self.reading(|| Ok(self.bytes.get(range).unwrap_or_default().to_vec()))
    }

    /// Of the whole segment.
    pub fn crc(&self) -> Result<u32> {
        self.reading(|| Ok(crc32c::crc32c(&self.bytes)))
    }

    /// Runs what reads chunks of the segment, which may be mapped: where the disk cannot read a
    /// page of it, the answer is that error, and no segment is read again that had one.
    pub fn reading<T>(&self, read: impl FnOnce() -> Result<T>) -> Result<T> {
        let read = self.bytes.watch(read);
        read.map_err(|offset| cannot_be_read(&self.path, offset))?
    }

    /// The marks as they are now.
    pub fn marks(&self) -> Arc<Marks> {
        self.marks.read().clone()
    }

    /// Ends rows at the given moments.
    pub fn end_rows(&self, rows: impl IntoIterator<Item = (u32, Timestamp)>) {
        let mut marks = self.marks.write();
        let marks = Arc::make_mut(&mut marks);
        for (row, ts) in rows {
            marks.end(row, ts);
        }
    }

    /// Numbers of the rows with this key, oldest version first.
    pub fn find(&self, key: &[u8]) -> Result<Range<u32>> {
        self.reading(|| self.look_for(key))
    }

    fn look_for(&self, key: &[u8]) -> Result<Range<u32>> {
        let blocks = &self.footer.blocks;
        let mut at = blocks.partition_point(|block| &block.last_key[..] < key);
        let mut found: Option<Range<u32>> = None;
        // Versions of one key may go on in the next block.
        while let Some(block) = blocks.get(at).filter(|block| &block.first_key[..] <= key) {
            let keys = self.keys(at)?;
            let rows = block.rows as usize;
            let low = self.lower_bound(&keys, 0..rows, key, Ordering::is_lt)?;
            let high = self.lower_bound(&keys, low..rows, key, Ordering::is_le)?;
            if low < high {
                let start = block.first_row + low as u32;
                let end = block.first_row + high as u32;
                found = Some(found.map_or(start..end, |found| found.start..end));
            }
            if high < rows {
                break;
            }
            at += 1;
        }
        Ok(found.unwrap_or(0..0))
    }

    /// Places within a block of the keys in `range`.
    pub fn places_in(
        &self,
        block: usize,
        range: &(Bound<Bytes>, Bound<Bytes>),
    ) -> Result<Range<u32>> {
        self.reading(|| self.look_for_places(block, range))
    }

    fn look_for_places(
        &self,
        block: usize,
        range: &(Bound<Bytes>, Bound<Bytes>),
    ) -> Result<Range<u32>> {
        let meta = &self.footer.blocks[block];
        let rows = meta.rows as usize;
        let keys = || self.keys(block);
        let start = match &range.0 {
            Bound::Included(from) if meta.first_key[..] < from[..] => {
                self.lower_bound(&keys()?, 0..rows, from, Ordering::is_lt)?
            }
            Bound::Excluded(from) if meta.first_key[..] <= from[..] => {
                self.lower_bound(&keys()?, 0..rows, from, Ordering::is_le)?
            }
            _ => 0,
        };
        let end = match &range.1 {
            Bound::Included(to) if meta.last_key[..] > to[..] => {
                self.lower_bound(&keys()?, 0..rows, to, Ordering::is_le)?
            }
            Bound::Excluded(to) if meta.last_key[..] >= to[..] => {
                self.lower_bound(&keys()?, 0..rows, to, Ordering::is_lt)?
            }
            _ => rows,
        };
        Ok(start as u32..end.max(start) as u32)
    }

    /// An error of this segment.
    pub fn damaged(&self, error: &SegmentError) -> StorageError {
        damaged(&self.path, 0, error)
    }

    /// First of these rows of the block whose key is not `below` this one.
    fn lower_bound(
        &self,
        keys: &Chunk<'_>,
        rows: Range<usize>,
        key: &[u8],
        below: fn(Ordering) -> bool,
    ) -> Result<usize> {
        let (mut low, mut high) = (rows.start, rows.end);
        while low < high {
            let middle = low.midpoint(high);
            if below(keys.compare(middle, key).map_err(|e| self.damaged(&e))?) {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        Ok(low)
    }

    /// Looks for many keys, in ascending order.
    pub fn ascending(&self) -> Ascending<'_> {
        Ascending { segment: self, block: 0, keys: None, at: 0 }
    }

    /// When a row was committed.
    pub fn timestamp(&self, row: u32) -> Result<Timestamp> {
        let (block, at) = self.locate(row)?;
        self.reading(|| self.stamp(&self.timestamps(block)?, at))
    }

    /// A commit timestamp out of a block's, inside of [`Self::reading`].
    pub fn stamp(&self, timestamps: &Chunk<'_>, place: usize) -> Result<Timestamp> {
        let own = stamp(timestamps, place).map_err(|e| self.damaged(&e))?;
        Ok(self.one_or(own.0))
    }

    /// A row as bytes, under the segment's layout.
    pub fn row(&self, row: u32) -> Result<StoredRow> {
        let (block, at) = self.locate(row)?;
        self.reading(|| self.row_at(block, at))
    }

    fn row_at(&self, block: usize, at: usize) -> Result<StoredRow> {
        let fail = |e: SegmentError| damaged(&self.path, 0, &e);
        let key = self.keys(block)?.value(at).map_err(fail)?;
        let ts = self.stamp(&self.timestamps(block)?, at)?;
        let values = (0..self.kinds.len())
            .map(|column| self.column(block, column)?.value(at).map_err(fail))
            .collect::<Result<Vec<_>>>()?;
        let row = self
            .encoder
            .encode_physical(|column| values.get(column).and_then(|value| value.as_deref()))?;
        let key = Bytes::copy_from_slice(key.as_deref().unwrap_or_default());
        Ok(StoredRow { key, ts, row: row.into() })
    }

    /// A row's key.
    pub fn key(&self, row: u32) -> Result<Bytes> {
        let (block, at) = self.locate(row)?;
        self.reading(|| {
            let key = self.keys(block)?.value(at).map_err(|e| self.damaged(&e))?;
            Ok(Bytes::copy_from_slice(key.as_deref().unwrap_or_default()))
        })
    }

    /// The block that a row is in.
    pub fn block_of(&self, row: u32) -> Result<usize> {
        Ok(self.locate(row)?.0)
    }

    fn locate(&self, row: u32) -> Result<(usize, usize)> {
        let block = self.footer.blocks.partition_point(|block| block.first_row <= row);
        block
            .checked_sub(1)
            .and_then(|at| {
                let block = self.footer.blocks.get(at)?;
                let within = row - block.first_row;
                (within < block.rows).then_some((at, within as usize))
            })
            .ok_or_else(|| damaged(&self.path, 0, &SegmentError::new("row is out of bounds")))
    }

    pub fn block(&self, block: usize) -> Option<&Block> {
        self.footer.blocks.get(block)
    }

    /// The keys of a block, to be read inside of [`Self::reading`], as all chunks.
    pub fn keys(&self, block: usize) -> Result<Chunk<'_>> {
        self.chunk(block, 0, Kind::Bytes, &self.footer.blocks[block].keys)
    }

    /// The commit timestamps of a block.
    pub fn timestamps(&self, block: usize) -> Result<Chunk<'_>> {
        self.chunk(block, 1, Kind::Unsigned(8), &self.footer.blocks[block].timestamps)
    }

    /// A column of a block, by its position in the segment's layout.
    pub fn column(&self, block: usize, column: usize) -> Result<Chunk<'_>> {
        let place = &self.footer.blocks[block].columns[column].place;
        self.chunk(block, column + 2, self.kinds[column], place)
    }

    /// A column of a block, ready to be decoded.
    pub fn decoder(&self, block: usize, column: usize) -> Result<Decoder<'_>> {
        Ok(Decoder { chunk: self.column(block, column)? })
    }

    /// The keys of a block, ready to be decoded.
    pub fn key_decoder(&self, block: usize) -> Result<Decoder<'_>> {
        Ok(Decoder { chunk: self.keys(block)? })
    }

    fn chunk(&self, block: usize, index: usize, kind: Kind, place: &Place) -> Result<Chunk<'_>> {
        let start = place.offset as usize;
        let bytes = self
            .bytes
            .get(start..start + place.len as usize)
            .ok_or_else(|| damaged(&self.path, place.offset, &SegmentError::new("cut off")))?;
        let checked = &self.checked[block * (self.kinds.len() + 2) + index];
        if !checked.load(atomic::Ordering::Relaxed) {
            if crc32c::crc32c(bytes) != place.crc {
                let reason = SegmentError::new("checksum does not match");
                return Err(damaged(&self.path, place.offset, &reason));
            }
            checked.store(true, atomic::Ordering::Relaxed);
        }
        let rows = self.footer.blocks[block].rows as usize;
        Chunk::open(kind, rows, bytes).map_err(|e| damaged(&self.path, place.offset, &e))
    }
}

/// Goes through a segment's keys side by side with others. What lies between two of those is
/// leapt over, and their neighbours are near: that makes a few comparisons a key, where each
/// search from the start takes some for every bit of the number of rows.
#[derive(Debug)]
pub struct Ascending<'a> {
    segment: &'a Segment,
    block: usize,
    keys: Option<Chunk<'a>>,
    /// Rows of the block before this one are below the last key that was looked for.
    at: usize,
}

impl Ascending<'_> {
    /// Whether a row has this key, which is not below the one before.
    pub fn has(&mut self, key: &[u8]) -> Result<bool> {
        let segment = self.segment;
        segment.reading(|| self.look_for(key))
    }

    fn look_for(&mut self, key: &[u8]) -> Result<bool> {
        let segment = self.segment;
        let blocks = &segment.footer.blocks[self.block..];
        let passed = blocks.partition_point(|block| &block.last_key[..] < key);
        if passed > 0 {
            (self.block, self.keys, self.at) = (self.block + passed, None, 0);
        }
        let Some(block) = blocks.get(passed).filter(|block| &block.first_key[..] <= key) else {
            return Ok(false);
        };
        let keys = match self.keys {
            Some(keys) => keys,
            None => *self.keys.insert(segment.keys(self.block)?),
        };
        let compare = |row: usize| keys.compare(row, key).map_err(|e| segment.damaged(&e));
        let rows = block.rows as usize;
        let (mut from, mut leap) = (self.at, 1);
        while from + leap <= rows && compare(from + leap - 1)?.is_lt() {
            from += leap;
            leap *= 2;
        }
        let to = rows.min(from + leap - 1);
        self.at = segment.lower_bound(&keys, from..to, key, Ordering::is_lt)?;
        Ok(self.at < rows && compare(self.at)?.is_eq())
    }
}

fn stamp(timestamps: &Chunk<'_>, row: usize) -> Result<Timestamp, SegmentError> {
    timestamps
        .value(row)?
        .and_then(|value| <[u8; 8]>::try_from(&value[..]).ok())
        .map(|bytes| Timestamp(u64::from_le_bytes(bytes)))
        .ok_or_else(|| SegmentError::new("row has no timestamp"))
}

fn cannot_be_read(path: &std::path::Path, offset: u64) -> StorageError {
    StorageError::corrupt(path, offset, "the disk cannot read it")
}

fn damaged(path: &std::path::Path, offset: u64, error: &SegmentError) -> StorageError {
    StorageError::corrupt(path, offset, error.to_string())
}
