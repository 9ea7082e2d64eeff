//! Co-location groups of tables, and the shard groups that they consist of.

use std::collections::BTreeSet;

use satsuma_common::{ColocationId, Epoch, Generation, GroupId, HashRange, NodeId, PgType};
use serde::{Deserialize, Serialize};

/// The co-location of all local tables: not shown to users.
pub const LOCAL_COLOCATION: ColocationId = ColocationId(0);

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum ColocationKind {
    Local,
    Reference,
    Single,
    Hash,
}

/// Tables that share shard groups (`pg_dist_colocation`).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Colocation {
    pub id: ColocationId,
    pub kind: ColocationKind,
    /// Placements of each group; -1 for reference tables, as Citus shows it.
    pub replication_factor: i32,
    /// Type of the distribution column, without modifier; hash only.
    pub distribution_type: Option<PgType>,
    /// Whether new tables of the same distribution type and shard count join it unasked.
    pub is_default: bool,
    /// In the order of hash ranges, which tile the token space.
    pub groups: Vec<(HashRange, GroupId)>,
}

impl Colocation {
    pub fn shard_count(&self) -> usize {
        self.groups.len()
    }

    /// Index into `groups` of the group that holds the token.
    pub fn position_of(&self, token: i32) -> Option<usize> {
        let after = self.groups.partition_point(|(range, _)| range.low() <= token);
        let index = after.checked_sub(1)?;
        self.groups[index].0.contains(token).then_some(index)
    }
}

/// `pg_dist_placement.shardstate`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum PlacementState {
    /// Holds all rows: read and written.
    Finalized = 1,
    /// Being filled; neither read nor counted.
    Inactive = 3,
    /// No longer used; to be dropped by its worker.
    ToDelete = 4,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Placement {
    pub node: NodeId,
    pub state: PlacementState,
}

/// A shard group: the unit of placement, moving and replication.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Group {
    pub id: GroupId,
    pub colocation: ColocationId,
    pub range: HashRange,
    /// In the order in which they were added; at least one is finalized.
    pub placements: Vec<Placement>,
    pub primary: NodeId,
    /// Placements that have every acknowledged write.
    pub in_sync: BTreeSet<NodeId>,
    pub epoch: Epoch,
    /// Grows whenever the finalized placements change; requests with an older one are stale.
    pub generation: Generation,
}

impl Group {
    /// A new, empty group on the given nodes, the first of which is its primary.
    pub fn new(
        id: GroupId,
        colocation: ColocationId,
        range: HashRange,
        primary: NodeId,
        others: impl IntoIterator<Item = NodeId>,
    ) -> Self {
        let placements: Vec<_> = std::iter::once(primary)
            .chain(others)
            .map(|node| Placement { node, state: PlacementState::Finalized })
            .collect();
        let in_sync = placements.iter().map(|placement| placement.node).collect();
        Self {
            id,
            colocation,
            range,
            placements,
            primary,
            in_sync,
            epoch: Epoch(1),
            generation: Generation(1),
        }
    }

    pub fn placement(&self, node: NodeId) -> Option<&Placement> {
        self.placements.iter().find(|placement| placement.node == node)
    }

    /// Nodes that hold all rows of the group.
    pub fn finalized(&self) -> impl Iterator<Item = NodeId> + '_ {
        self.placements
            .iter()
            .filter(|placement| placement.state == PlacementState::Finalized)
            .map(|placement| placement.node)
    }
}
