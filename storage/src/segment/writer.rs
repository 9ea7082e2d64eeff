//! Building a segment from rows in key order.

use bytes::Bytes;
use satsuma_common::Timestamp;
use satsuma_common::arrow_types;
use satsuma_common::key::KeyEncoder;
use satsuma_common::row::{Layout, RowDecoder};

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
    kinds: Vec<(Kind, Option<KeyEncoder>)>,
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
            .map(|(_, ty)| {
                (Kind::of(&arrow_types::data_type(ty)), KeyEncoder::new([ty.clone()]).ok())
            })
            .collect();
        let footer = Footer { layout, rows: 0, min_ts: u64::MAX, max_ts: 0, blocks: Vec::new() };
        Self { decoder, kinds, out: Vec::new(), footer, block: Vec::new() }
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

    pub fn bytes(&self) -> usize {
        self.out.len()
    }

    /// The whole segment.
    pub fn finish(mut self) -> Result<Vec<u8>> {
        if !self.block.is_empty() {
            self.end_block()?;
        }
        self.footer.encode(&mut self.out).map_err(segment)?;
        Ok(self.out)
    }

    fn end_block(&mut self) -> Result<()> {
        let rows = std::mem::take(&mut self.block);
        let (Some(first), Some(last)) = (rows.first(), rows.last()) else { return Ok(()) };
        let keys: Vec<&[u8]> = rows.iter().map(|row| &row.key[..]).collect();
        let keys = column::encode_keys(&keys).map_err(segment)?;
        let stamps: Vec<_> = rows.iter().map(|row| row.ts.0.to_le_bytes()).collect();
        let stamps: Vec<_> = stamps.iter().map(|ts| Some(&ts[..])).collect();
        let stamps = column::encode(Kind::Unsigned(8), &stamps).map_err(segment)?;
        let keys = self.put(&keys)?;
        let timestamps = self.put(&stamps)?;
        let mut columns = Vec::with_capacity(self.kinds.len());
        for position in 0..self.kinds.len() {
            let decoder = self.decoder.clone();
            let values = rows
                .iter()
                .map(|row| decoder.bytes(&row.row, position))
                .collect::<Result<Vec<_>, _>>()?;
            let (kind, order) = &self.kinds[position];
            let bounds = order.as_ref().and_then(|order| bounds(order, &values));
            let nulls = values.iter().filter(|value| value.is_none()).count() as u32;
            let chunk = column::encode(*kind, &values).map_err(segment)?;
            columns.push(ColumnChunk { place: self.put(&chunk)?, nulls, bounds });
        }
        let max_ts = rows.iter().map(|row| row.ts.0).max().unwrap_or(0);
        let min_ts = rows.iter().map(|row| row.ts.0).min().unwrap_or(0);
        self.footer.max_ts = self.footer.max_ts.max(max_ts);
        self.footer.min_ts = self.footer.min_ts.min(min_ts);
        self.footer.blocks.push(Block {
            rows: rows.len() as u32,
            first_row: (self.footer.rows - rows.len() as u64) as u32,
            first_key: first.key.to_vec(),
            last_key: last.key.to_vec(),
            max_ts,
            keys,
            timestamps,
            columns,
        });
        Ok(())
    }

    fn put(&mut self, chunk: &[u8]) -> Result<Place> {
        let offset = self.out.len() as u64;
        let len = u32::try_from(chunk.len())
            .map_err(|_| segment(SegmentError::new("chunk of more than 4 GiB")))?;
        self.out.extend_from_slice(chunk);
        Ok(Place { offset, len, crc: crc32c::crc32c(chunk) })
    }
}

/// Smallest and largest value as keys.
fn bounds(order: &KeyEncoder, values: &[Option<&[u8]>]) -> Option<(Vec<u8>, Vec<u8>)> {
    let mut bounds: Option<(Vec<u8>, Vec<u8>)> = None;
    let mut previous: Option<&[u8]> = None;
    for value in values.iter().flatten() {
        if previous == Some(value) {
            continue;
        }
        previous = Some(value);
        if value.len() > LONG_BOUND {
            return None;
        }
        let key = order.encode_physical([Some(*value)]).ok()?;
        bounds = Some(match bounds {
            None => (key.clone(), key),
            Some((min, max)) if key < min => (key, max),
            Some((min, max)) if key > max => (min, key),
            Some(same) => same,
        });
    }
    bounds
}

fn segment(error: SegmentError) -> StorageError {
    StorageError::corrupt("segment being written", 0, error.to_string())
}
