//! Segments: immutable columnar runs of rows, sorted by key.
//!
//! ```text
//! segment = block* footer u32:crc of the footer  u32:length of the footer  "SATSEG02"
//! block   = chunk of keys, chunk of commit timestamps, chunk per column
//! ```
//!
//! A block has up to [`BLOCK_ROWS`] rows. Each chunk is addressed, checked and decoded on its own:
//! [`mod@column`] has the encodings. The footer ([`footer`]) says where the chunks are, and their
//! smallest and largest values, by which scans skip blocks. Rows are found by key through the
//! blocks' first keys and a binary search in the key chunk.
//!
//! Segments do not change. What was updated or deleted since is told by marks ([`marks`]) that the
//! shard keeps beside them.
//!
//! Bytes are checked before they are believed: a chunk's checksum when it is first used, every
//! length and offset when it is followed.

pub mod column;
pub mod decode;
pub mod footer;
pub mod marks;
pub mod prune;
mod reader;
mod strings;
mod template;
mod writer;

pub use decode::Selection;
pub use marks::Marks;
pub use reader::{Ascending, Segment};
pub use writer::{SegmentWriter, StoredRow};

/// Most rows of a block.
pub const BLOCK_ROWS: usize = 16_384;

/// Why segment bytes are not a segment.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct SegmentError(pub String);

impl SegmentError {
    fn new(reason: impl Into<String>) -> Self {
        Self(reason.into())
    }
}

#[cfg(test)]
mod tests;
