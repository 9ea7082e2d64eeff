//! What a segment says about itself.

use satsuma_common::row::Layout;
use serde::{Deserialize, Serialize};

use super::{BLOCK_ROWS, SegmentError};

pub const MAGIC: &[u8; 8] = b"SATSEG02";
/// Bytes after the footer.
pub const TRAILER: usize = 16;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Footer {
    /// Columns, in the order of every block's chunks.
    pub layout: Layout,
    pub rows: u64,
    /// Commit timestamps of the rows.
    pub min_ts: u64,
    pub max_ts: u64,
    pub blocks: Vec<Block>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Block {
    pub rows: u32,
    /// Number of the first row within the segment.
    pub first_row: u32,
    pub first_key: Vec<u8>,
    pub last_key: Vec<u8>,
    pub max_ts: u64,
    pub keys: Place,
    pub timestamps: Place,
    pub columns: Vec<ColumnChunk>,
}

/// Where a chunk is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    pub offset: u64,
    pub len: u32,
    pub crc: u32,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ColumnChunk {
    pub place: Place,
    pub nulls: u32,
    /// Smallest and largest value, as [`satsuma_common::key`] encodes them; `None` where the type
    /// has no order, all values are NULL, or they are long.
    pub bounds: Option<(Vec<u8>, Vec<u8>)>,
}

impl Footer {
    pub fn last_key(&self) -> &[u8] {
        self.blocks.last().map(|block| &block.last_key[..]).unwrap_or_default()
    }

    pub fn first_key(&self) -> &[u8] {
        self.blocks.first().map(|block| &block.first_key[..]).unwrap_or_default()
    }

    pub fn encode(&self, out: &mut Vec<u8>) -> Result<(), SegmentError> {
        let footer = postcard::to_stdvec(self)
            .map_err(|e| SegmentError::new(format!("footer cannot be written: {e}")))?;
        let len = u32::try_from(footer.len()).map_err(|_| SegmentError::new("footer too long"))?;
        out.extend_from_slice(&footer);
        out.extend_from_slice(&crc32c::crc32c(&footer).to_le_bytes());
        out.extend_from_slice(&len.to_le_bytes());
        out.extend_from_slice(MAGIC);
        Ok(())
    }

    /// Reads and checks the footer of a whole segment.
    pub fn decode(segment: &[u8]) -> Result<Self, SegmentError> {
        let (body, trailer) = segment
            .len()
            .checked_sub(TRAILER)
            .map(|at| segment.split_at(at))
            .ok_or_else(|| SegmentError::new("segment is cut off"))?;
        if &trailer[8..] != MAGIC {
            return Err(SegmentError::new("not a segment"));
        }
        let number = |at: usize| {
            u32::from_le_bytes([trailer[at], trailer[at + 1], trailer[at + 2], trailer[at + 3]])
        };
        let start = body
            .len()
            .checked_sub(number(4) as usize)
            .ok_or_else(|| SegmentError::new("footer is longer than the segment"))?;
        let bytes = &body[start..];
        if crc32c::crc32c(bytes) != number(0) {
            return Err(SegmentError::new("checksum of the footer does not match"));
        }
        let footer: Self = postcard::from_bytes(bytes)
            .map_err(|e| SegmentError::new(format!("footer is malformed: {e}")))?;
        footer.check(start as u64)?;
        Ok(footer)
    }

    fn check(&self, end: u64) -> Result<(), SegmentError> {
        let inside = |place: &Place| {
            place.offset.checked_add(u64::from(place.len)).is_some_and(|to| to <= end)
        };
        let mut row = 0u64;
        for block in &self.blocks {
            let fits = u64::from(block.first_row) == row
                && block.rows > 0
                && block.rows as usize <= BLOCK_ROWS
                && block.columns.len() == self.layout.columns.len()
                && inside(&block.keys)
                && inside(&block.timestamps)
                && block.columns.iter().all(|chunk| inside(&chunk.place));
            if !fits {
                return Err(SegmentError::new("footer contradicts itself"));
            }
            row += u64::from(block.rows);
        }
        // Rows have numbers of 32 bits.
        let fits = row == self.rows && row <= u64::from(u32::MAX);
        if fits { Ok(()) } else { Err(SegmentError::new("row count does not match")) }
    }
}
