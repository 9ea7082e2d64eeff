//! Building a segment from rows in key order.

use std::borrow::Cow;

use arrow::array::RecordBatch;
use bytes::Bytes;
use satsuma_common::arrow_types;
use satsuma_common::key::KeyEncoder;
use satsuma_common::row::source::ColumnSource;
use satsuma_common::row::{Layout, RowDecoder, RowError};
use satsuma_common::{PgType, Timestamp};

use super::column::{self, Kind};
use super::footer::{Block, ColumnChunk, Footer, Place};
use super::{BLOCK_ROWS, SegmentError};
use crate::error::{Result, StorageError};

/// Bounds longer than this are not kept.
const LONG_BOUND: usize = 128;

/// A row with its key and the commit that wrote it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredRow {
    pub key: Bytes,
    pub ts: Timestamp,
    pub row: Bytes,
}

/// Takes rows in the order of key and then timestamp.
#[derive(Debug)]
pub struct SegmentWriter {
    decoder: RowDecoder,
    kinds: Vec<Stored>,
    /// Bytes that were taken.
    taken: u64,
    out: Vec<u8>,
    footer: Footer,
    block: Vec<StoredRow>,
}

impl SegmentWriter {
    /// Rows of any version are written with the columns of the decoder's shape.
    pub fn new(decoder: RowDecoder) -> Self {
        let layout = Layout::of(decoder.shape());
        let kinds = layout
            .columns
            .iter()
            .map(|(_, ty)| Stored {
                kind: Kind::of(&arrow_types::data_type(ty)),
                order: KeyEncoder::new([ty.clone()]).ok(),
                by_bytes: matches!(
                    ty,
                    PgType::Text | PgType::Varchar(_) | PgType::Bytea | PgType::Inet | PgType::Cidr
                ),
            })
            .collect();
        let footer = Footer { layout, rows: 0, min_ts: u64::MAX, max_ts: 0, blocks: Vec::new() };
        Self { decoder, kinds, taken: 0, out: Vec::new(), footer, block: Vec::new() }
    }

    /// Answers with the row's number within the segment.
    pub fn push(&mut self, row: StoredRow) -> Result<u32> {
        let number = u32::try_from(self.footer.rows)
            .map_err(|_| segment(SegmentError::new("segment has too many rows")))?;
        self.footer.rows += 1;
        self.block.push(row);
        if self.block.len() == BLOCK_ROWS {
            self.end_block()?;
        }
        Ok(number)
    }

    pub fn rows(&self) -> u64 {
        self.footer.rows
    }

    /// What there is of the segment so far, behind what was taken before.
    pub fn take(&mut self) -> Vec<u8> {
        self.taken += self.out.len() as u64;
        std::mem::take(&mut self.out)
    }

    /// The whole segment, or what of it was not taken.
    pub fn finish(mut self) -> Result<Vec<u8>> {
        if !self.block.is_empty() {
            self.end_block()?;
        }
        self.footer.encode(&mut self.out).map_err(segment)?;
        Ok(self.out)
    }

    fn end_block(&mut self) -> Result<()> {
        let rows = std::mem::take(&mut self.block);
        let keys: Vec<&[u8]> = rows.iter().map(|row| &row.key[..]).collect();
        let stamps: Vec<u64> = rows.iter().map(|row| row.ts.0).collect();
        let decoder = self.decoder.clone();
        let first_row = self.footer.rows - rows.len() as u64;
        let (rows, decoder) = (&rows, &decoder);
        self.put_block(&keys, &stamps, first_row, |position| {
            let value = |row| Ok(decoder.bytes(row, position)?.map(Cow::Borrowed));
            rows.iter().map(|row| &row.row[..]).map(value).collect()
        })
    }

    /// Rows of a batch of the table's columns, `order` telling which comes when; `keys` are theirs,
    /// in order. They have no commit timestamps. Not to be mixed with [`Self::push`].
    pub fn push_sorted(
        &mut self,
        batch: &RecordBatch,
        keys: &[&[u8]],
        order: &[u32],
    ) -> Result<()> {
        let sources = batch
            .columns()
            .iter()
            .take(self.kinds.len())
            .map(|column| ColumnSource::new(column))
            .collect::<Result<Vec<_>, _>>()?;
        if sources.len() < self.kinds.len() || keys.len() != order.len() {
            return Err(RowError::ColumnCount(sources.len(), self.kinds.len()).into());
        }
        u32::try_from(self.footer.rows + order.len() as u64)
            .map_err(|_| segment(SegmentError::new("segment has too many rows")))?;
        let sources = &sources;
        for (keys, order) in keys.chunks(BLOCK_ROWS).zip(order.chunks(BLOCK_ROWS)) {
            let first_row = self.footer.rows;
            self.footer.rows += order.len() as u64;
            let stamps = vec![0; order.len()];
            self.put_block(keys, &stamps, first_row, |position| {
                order.iter().map(|row| Ok(sources[position].value(*row as usize)?)).collect()
            })?;
        }
        Ok(())
    }

    fn put_block<'a>(
        &mut self,
        keys: &[&[u8]],
        stamps: &[u64],
        first_row: u64,
        column_values: impl Fn(usize) -> Result<Vec<Option<Cow<'a, [u8]>>>>,
    ) -> Result<()> {
        let (Some(first), Some(last)) = (keys.first(), keys.last()) else { return Ok(()) };
        let max_ts = stamps.iter().copied().max().unwrap_or(0);
        let min_ts = stamps.iter().copied().min().unwrap_or(0);
        let stamps: Vec<_> = stamps.iter().map(|ts| ts.to_le_bytes()).collect();
        let stamps: Vec<_> = stamps.iter().map(|ts| Some(&ts[..])).collect();
        let stamps = column::encode(Kind::Unsigned(8), &stamps).map_err(segment)?;
        let key_chunk = column::encode_keys(keys).map_err(segment)?;
        let key_chunk = self.put(&key_chunk)?;
        let timestamps = self.put(&stamps)?;
        let mut columns = Vec::with_capacity(self.kinds.len());
        for position in 0..self.kinds.len() {
            let values = column_values(position)?;
            let values: Vec<_> = values.iter().map(Option::as_deref).collect();
            let column = &self.kinds[position];
            let bounds = column.bounds(&values);
            let nulls = values.iter().filter(|value| value.is_none()).count() as u32;
            let chunk = column::encode(column.kind, &values).map_err(segment)?;
            columns.push(ColumnChunk { place: self.put(&chunk)?, nulls, bounds });
        }
        self.footer.max_ts = self.footer.max_ts.max(max_ts);
        self.footer.min_ts = self.footer.min_ts.min(min_ts);
        self.footer.blocks.push(Block {
            rows: keys.len() as u32,
            first_row: first_row as u32,
            first_key: first.to_vec(),
            last_key: last.to_vec(),
            max_ts,
            keys: key_chunk,
            timestamps,
            columns,
        });
        Ok(())
    }

    fn put(&mut self, chunk: &[u8]) -> Result<Place> {
        let offset = self.taken + self.out.len() as u64;
        let len = u32::try_from(chunk.len())
            .map_err(|_| segment(SegmentError::new("chunk of more than 4 GiB")))?;
        self.out.extend_from_slice(chunk);
        Ok(Place { offset, len, crc: crc32c::crc32c(chunk) })
    }
}

/// How a column is written.
#[derive(Debug)]
struct Stored {
    kind: Kind,
    /// `None` where the type has no order.
    order: Option<KeyEncoder>,
    /// Values compare as their bytes do.
    by_bytes: bool,
}

impl Stored {
    /// Smallest and largest value as keys.
    fn bounds(&self, values: &[Option<&[u8]>]) -> Option<(Vec<u8>, Vec<u8>)> {
        let order = self.order.as_ref()?;
        let present = || values.iter().flatten().copied();
        if present().any(|value| value.len() > LONG_BOUND) {
            return None;
        }
        let key = |value: &[u8]| order.encode_physical([Some(value)]).ok();
        match self.kind {
            Kind::Signed(width) => {
                let number = |value| column::number(value, width, true).unwrap_or_default();
                let mut numbers = present().map(|value| (number(value), value));
                let first = numbers.next()?;
                let (mut least, mut most) = (first, first);
                for next in numbers {
                    if next.0 < least.0 {
                        least = next;
                    } else if next.0 > most.0 {
                        most = next;
                    }
                }
                Some((key(least.1)?, key(most.1)?))
            }
            Kind::Bytes if self.by_bytes => Some((key(present().min()?)?, key(present().max()?)?)),
            _ => {
                let mut bounds: Option<(Vec<u8>, Vec<u8>)> = None;
                let mut previous: Option<&[u8]> = None;
                let mut key = Vec::new();
                for value in present() {
                    if previous.replace(value) == Some(value) {
                        continue;
                    }
                    key.clear();
                    order.append_physical(&mut key, [Some(value)]).ok()?;
                    match &mut bounds {
                        None => bounds = Some((key.clone(), key.clone())),
                        Some((least, _)) if key < *least => least.clone_from(&key),
                        Some((_, most)) if key > *most => most.clone_from(&key),
                        Some(_) => {}
                    }
                }
                bounds
            }
        }
    }
}

fn segment(error: SegmentError) -> StorageError {
    StorageError::corrupt("segment being written", 0, error.to_string())
}
