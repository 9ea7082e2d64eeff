//! What a copy consists of, and the chunks it travels in.
//!
//! ```text
//! chunk = u32 crc32c of the rest | postcard(Item*)
//! ```

use satsuma_common::row::Layouts;
use satsuma_common::table::TableShape;
use satsuma_common::{ShardId, Timestamp};
use serde::{Deserialize, Serialize};

use crate::error::{Result, StorageError};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Item {
    /// Empty shards of a table; nothing changes where they are there already.
    Table {
        shape: Box<TableShape>,
        layouts: Box<Layouts>,
        shards: Vec<ShardId>,
    },
    /// The segments that follow are this shard's.
    Shard {
        shard: ShardId,
        next_row_id: u64,
        truncations: Vec<u64>,
    },
    Segment {
        size: u64,
    },
    /// The next bytes of the segment.
    Bytes(Vec<u8>),
    /// Rows of the segment that have ended, and when.
    Marks(Vec<(u32, Timestamp)>),
    SegmentEnd {
        crc: u32,
    },
    /// Every segment has been sent; the log follows.
    SegmentsEnd,
    /// A commit as a record of the log: [`crate::wal::record::Record::Commit`].
    Commit(Vec<u8>),
    Shape(Box<TableShape>),
    Dropped(Vec<ShardId>),
}

impl Item {
    /// Bytes in a chunk, about.
    pub fn size(&self) -> usize {
        match self {
            Self::Bytes(bytes) | Self::Commit(bytes) => bytes.len() + 8,
            Self::Marks(marks) => marks.len() * 12 + 8,
            Self::Table { layouts, .. } => 1024 + std::mem::size_of_val(&**layouts),
            Self::Shard { truncations, .. } => 32 + truncations.len() * 9,
            Self::Shape(_) => 1024,
            Self::Dropped(shards) => 8 + shards.len() * 8,
            Self::Segment { .. } | Self::SegmentEnd { .. } | Self::SegmentsEnd => 16,
        }
    }
}

pub fn encode(items: &[Item]) -> Result<Vec<u8>> {
    let body = postcard::to_stdvec(items)
        .map_err(|_| StorageError::CopyBroken("a chunk cannot be written"))?;
    let mut out = Vec::with_capacity(body.len() + 4);
    out.extend_from_slice(&crc32c::crc32c(&body).to_le_bytes());
    out.extend_from_slice(&body);
    Ok(out)
}

pub fn decode(chunk: &[u8]) -> Result<Vec<Item>> {
    let (crc, body) =
        chunk.split_at_checked(4).ok_or(StorageError::CopyBroken("a chunk is cut off"))?;
    if crc != crc32c::crc32c(body).to_le_bytes() {
        return Err(StorageError::CopyBroken("a chunk arrived damaged"));
    }
    postcard::from_bytes(body).map_err(|_| StorageError::CopyBroken("a chunk is malformed"))
}
