//! Identities as types, so that a shard can never be passed where a table is meant.
//!
//! Each prints with a sigil: a log line reads `move m3 group g17 n1 -> n4`.

use std::fmt;

use serde::{Deserialize, Serialize};

macro_rules! id {
    ($(#[$doc:meta])* $name:ident, $inner:ty, $sigil:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub struct $name(pub $inner);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!($sigil, "{}"), self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }
    };
}

id!(
    /// PostgreSQL object identifier, stable across restarts. A table's oid is its [`TableId`].
    Oid, u32, "oid"
);
id!(
    /// A table. Its number is also its oid in `pg_class`.
    TableId, u32, "t"
);
id!(
    /// A column within its table: PostgreSQL's `attnum`, from 1, never reused after DROP COLUMN.
    ColumnId, u16, "c"
);
id!(
    /// A sequence. Its number is also its oid in `pg_class`.
    SequenceId, u32, "seq"
);
id!(
    /// One shard of one table, numbered from 102008 as in Citus.
    ShardId, u64, "s"
);
id!(
    /// A shard group: the co-located shards of one hash range. The unit of placement, moving,
    /// replication, logging and locking.
    GroupId, u64, "g"
);
id!(
    /// The set of tables whose shards are co-located (`pg_dist_colocation.colocationid`).
    ColocationId, u32, "col"
);
id!(
    /// A worker or coordinator (`pg_dist_node.nodeid`).
    NodeId, u32, "n"
);
id!(
    /// One replica of one shard (`pg_dist_placement.placementid`).
    PlacementId, u64, "p"
);
id!(
    /// A shard group move.
    MoveId, u64, "m"
);
id!(
    /// Version of a group's placement; a request that carries an older one is stale.
    Generation, u64, "gen"
);
id!(
    /// Term of a group's primary; fences writes of a deposed one.
    Epoch, u64, "e"
);
id!(
    /// Position in a worker's write-ahead log, in records from 1.
    Lsn, u64, "lsn"
);
id!(
    /// A moment of the whole cluster: microseconds since 1970-01-01 UTC, made strictly increasing
    /// by the timestamp oracle. `Timestamp(0)` is before every commit.
    Timestamp, u64, "ts"
);

/// Before everything.
impl Default for Timestamp {
    fn default() -> Self {
        Self(0)
    }
}

/// A transaction, unique over the life of the cluster.
///
/// `coordinator` is the node that runs it, `start` the oracle timestamp it drew at its start,
/// which also orders transactions by age for deadlock victims.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct TxnId {
    pub start: Timestamp,
    pub coordinator: NodeId,
}

impl fmt::Display for TxnId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "x{}.{}", self.coordinator.0, self.start.0)
    }
}

impl fmt::Debug for TxnId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
