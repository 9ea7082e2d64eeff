//! What a worker has, compared with what the catalog says it should have.

use std::collections::{BTreeMap, BTreeSet};

use satsuma_common::{Epoch, Generation, GroupId, NodeId, ShardId, TableId, TxnId};
use satsuma_proto::worker::ShardStatus;

use crate::catalog::State;

/// What to do about a difference.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fix {
    /// The worker has not heard of a change of the group's placement.
    Tell { group: GroupId, generation: Generation, epoch: Epoch },
    /// The worker knows a generation that the catalog does not: some step of a move that was
    /// given up.
    Raise { group: GroupId, above: Generation },
    /// Shards that were left behind by a move.
    Drop { group: GroupId, shards: Vec<ShardId> },
    /// A shape that a transaction has not committed: it must, or be taken back.
    Restore { table: TableId, by: TxnId },
}

/// Groups that are moving are left to their drivers. Shards of unknown groups may belong to a
/// transaction that has not committed yet: they stay for [`super::strays`], unless they are an
/// unfinished copy.
pub fn compare(state: &State, node: NodeId, shards: &[ShardStatus]) -> Vec<Fix> {
    let mut groups: BTreeMap<GroupId, (Generation, Vec<ShardId>)> = BTreeMap::new();
    for shard in shards {
        let known = groups.entry(shard.group).or_insert((shard.generation, Vec::new()));
        known.1.push(shard.shard);
    }
    let moving: Vec<GroupId> =
        state.moves().filter(|m| !m.phase.is_over()).map(|m| m.group).collect();
    let defined: BTreeSet<(TableId, TxnId)> =
        shards.iter().filter_map(|shard| Some((shard.table, shard.defined_by?))).collect();
    let mut fixes: Vec<Fix> =
        defined.into_iter().map(|(table, by)| Fix::Restore { table, by }).collect();
    for (id, (generation, shards)) in groups {
        if moving.contains(&id) {
            continue;
        }
        let Some(group) = state.group(id) else {
            if generation == Generation(0) {
                fixes.push(Fix::Drop { group: id, shards });
            }
            continue;
        };
        if group.placement(node).is_none() {
            fixes.push(Fix::Drop { group: id, shards });
        } else if generation < group.generation {
            let (generation, epoch) = (group.generation, group.epoch);
            fixes.push(Fix::Tell { group: id, generation, epoch });
        } else if generation > group.generation {
            fixes.push(Fix::Raise { group: id, above: generation });
        }
    }
    fixes
}
