//! Copying a shard group from one worker to another: what the driver of a move asks of both.
//!
//! ```text
//!          Begin              target: empty, serves nobody
//! Open                        source: captured, its log kept
//! Next -> Write, again and again
//! Checksum, Checksum          the same rows on both sides at a snapshot
//! Hold                        source: no transaction is on the group, others wait
//! Next -> Write               the last records
//! Fence                       source: serves nobody any more
//!          Activate           target: serves
//! Release                     source: who waited is told to look elsewhere
//! Drop                        source, or after a failure the target
//! ```
//!
//! Chunks are opaque here: the storage engine writes and reads them.

use std::time::Duration;

use bytes::Bytes;
use satsuma_common::table::TableShape;
use satsuma_common::{Epoch, Generation, GroupId, Lsn, MoveId, ShardId, Timestamp};

/// A step of a move. A worker refuses the steps of an attempt once it has seen a later one
/// (55000), and forgets what earlier attempts have left.
#[derive(Clone, Debug, PartialEq)]
pub struct CopyRequest {
    pub group: GroupId,
    pub movement: MoveId,
    pub attempt: u64,
    pub action: CopyAction,
}

#[derive(Clone, Debug, PartialEq)]
pub enum CopyAction {
    /// Empty the target. Refused where the group serves at this generation or a later one.
    Begin {
        generation: Generation,
    },
    /// Capture the source.
    Open,
    /// The next chunk; an empty one when nothing is there at present.
    Next,
    /// Durable when answered.
    Write {
        chunk: Bytes,
    },
    Checksum {
        snapshot: Timestamp,
    },
    /// 55P03 when transactions did not end in time; nothing is held then.
    Hold {
        timeout: Duration,
    },
    Release,
    /// Only while held. `leaving`: reads and writes end here; else only those end that were
    /// planned at an earlier generation.
    Fence {
        generation: Generation,
        leaving: bool,
    },
    /// Serve from now on. `shapes` are the tables' as the catalog has them; every one of `shards`
    /// must be there.
    Activate {
        generation: Generation,
        epoch: Epoch,
        watermark: Watermark,
        shapes: Vec<TableShape>,
        shards: Vec<ShardId>,
    },
    /// Open the rows that a snapshot sees, to be read with `Next`: for a backup, which has slots of
    /// its own at the worker.
    Snapshot {
        snapshot: Timestamp,
    },
    /// Drop the group's shards when its readers are gone. Refused where it serves at this
    /// generation or a later one.
    Drop {
        generation: Generation,
    },
}

/// What a worker has shown: whoever serves after it commits above.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Watermark {
    pub read: Timestamp,
    pub commit: Timestamp,
    pub horizon: Timestamp,
}

/// Rows of a shard at a snapshot, and a sum over their contents.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ShardSum {
    pub shard: ShardId,
    pub rows: u64,
    pub sum: u64,
}

/// Fields that an action has no answer for are empty.
#[derive(Clone, Debug, PartialEq)]
pub struct CopyReply {
    pub chunk: Bytes,
    /// The source's log has been read up to here, and ends there.
    pub position: Lsn,
    pub end: Lsn,
    /// Bytes of segments, in all and sent.
    pub bytes: u64,
    pub sent: u64,
    pub sums: Vec<ShardSum>,
    pub watermark: Watermark,
    /// Shards that the copy has.
    pub shards: Vec<ShardId>,
}

impl Default for CopyReply {
    fn default() -> Self {
        Self {
            chunk: Bytes::new(),
            position: Lsn(0),
            end: Lsn(0),
            bytes: 0,
            sent: 0,
            sums: Vec::new(),
            watermark: Watermark::default(),
            shards: Vec::new(),
        }
    }
}
