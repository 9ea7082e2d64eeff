//! Ids: handed out in advance, so that a transaction can make shards at workers under the ids
//! that the catalog will know them by. What a rolled-back transaction took is a gap.

use satsuma_common::{ColocationId, GroupId, Oid, SequenceId, ShardId, TableId};
use serde::{Deserialize, Serialize};

use super::objects::FIRST_USER_OID;
use super::rejection::Rejection;

/// First shard id of distributed tables, as in Citus.
pub const FIRST_SHARD: u64 = 102_008;
/// Shards of local tables are numbered apart, so that they leave no gaps that users see.
pub const FIRST_LOCAL_SHARD: u64 = 1 << 40;

/// The next id of each kind.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counters {
    pub oid: u32,
    pub shard: u64,
    pub local_shard: u64,
    pub group: u64,
    pub colocation: u32,
    pub placement: u64,
    pub node: u32,
    /// `pg_dist_node.groupid`.
    pub node_group: u32,
    pub movement: u64,
}

impl Default for Counters {
    fn default() -> Self {
        Self {
            oid: FIRST_USER_OID,
            shard: FIRST_SHARD,
            local_shard: FIRST_LOCAL_SHARD,
            group: 1,
            colocation: 1,
            placement: 1,
            node: 1,
            node_group: 1,
            movement: 1,
        }
    }
}

/// How many ids of each kind a transaction needs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct IdRequest {
    pub oids: u32,
    pub shards: u32,
    pub local_shards: u32,
    pub groups: u32,
    pub colocations: u32,
}

impl IdRequest {
    pub fn oids(count: u32) -> Self {
        Self { oids: count, ..Self::default() }
    }

    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

impl std::ops::AddAssign for IdRequest {
    fn add_assign(&mut self, other: Self) {
        self.oids += other.oids;
        self.shards += other.shards;
        self.local_shards += other.local_shards;
        self.groups += other.groups;
        self.colocations += other.colocations;
    }
}

/// Reserved ids, taken one by one.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ids {
    next: IdCursor,
    end: IdCursor,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct IdCursor {
    oid: u32,
    shard: u64,
    local_shard: u64,
    group: u64,
    colocation: u32,
}

impl Ids {
    /// Cuts the requested ids off the counters.
    pub(super) fn reserve(counters: &mut Counters, request: IdRequest) -> Result<Self, Rejection> {
        let next = IdCursor {
            oid: counters.oid,
            shard: counters.shard,
            local_shard: counters.local_shard,
            group: counters.group,
            colocation: counters.colocation,
        };
        let out = Rejection::IdsExhausted;
        let end = IdCursor {
            oid: next.oid.checked_add(request.oids).ok_or_else(|| out("object"))?,
            shard: next.shard + u64::from(request.shards),
            local_shard: next.local_shard + u64::from(request.local_shards),
            group: next.group + u64::from(request.groups),
            colocation: next
                .colocation
                .checked_add(request.colocations)
                .ok_or_else(|| out("co-location"))?,
        };
        counters.oid = end.oid;
        counters.shard = end.shard;
        counters.local_shard = end.local_shard;
        counters.group = end.group;
        counters.colocation = end.colocation;
        Ok(Self { next, end })
    }

    pub fn oid(&mut self) -> Result<Oid, Rejection> {
        take(&mut self.next.oid, self.end.oid, "object").map(Oid)
    }

    pub fn table(&mut self) -> Result<TableId, Rejection> {
        self.oid().map(|oid| TableId(oid.0))
    }

    pub fn sequence(&mut self) -> Result<SequenceId, Rejection> {
        self.oid().map(|oid| SequenceId(oid.0))
    }

    pub fn shard(&mut self) -> Result<ShardId, Rejection> {
        take(&mut self.next.shard, self.end.shard, "shard").map(ShardId)
    }

    pub fn local_shard(&mut self) -> Result<ShardId, Rejection> {
        take(&mut self.next.local_shard, self.end.local_shard, "shard").map(ShardId)
    }

    pub fn group(&mut self) -> Result<GroupId, Rejection> {
        take(&mut self.next.group, self.end.group, "shard group").map(GroupId)
    }

    pub fn colocation(&mut self) -> Result<ColocationId, Rejection> {
        take(&mut self.next.colocation, self.end.colocation, "co-location").map(ColocationId)
    }
}

fn take<T: Copy + PartialOrd + std::ops::AddAssign + From<u8>>(
    next: &mut T,
    end: T,
    what: &'static str,
) -> Result<T, Rejection> {
    if *next >= end {
        return Err(Rejection::IdsExhausted(what));
    }
    let id = *next;
    *next += T::from(1);
    Ok(id)
}
