//! Which shard groups to move where, so that nodes carry their share.
//!
//! Citus's method: as long as nodes differ by more than the threshold, a group goes from the node
//! with the most to the node with the least, the largest group first that leaves both better off.
//! Groups on nodes that should have none leave first.

use std::collections::{BTreeMap, BTreeSet};

use satsuma_common::{ColocationId, GroupId, NodeId, ShardId};

use crate::catalog::{ColocationKind, State};
use crate::system_relations::ShardSizes;

/// `pg_dist_rebalance_strategy`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Strategy {
    pub name: &'static str,
    pub threshold: f64,
    pub improvement_threshold: f64,
    cost: Cost,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cost {
    One,
    /// Bytes, and this many for the group itself.
    Bytes(u64),
}

/// `citus.rebalancer_by_disk_size_base_cost`.
const BASE_COST: u64 = 100 << 20;

impl Strategy {
    pub const BY_SHARD_COUNT: Self = Self {
        name: "by_shard_count",
        threshold: 0.0,
        improvement_threshold: 0.0,
        cost: Cost::One,
    };
    /// The default.
    pub const BY_DISK_SIZE: Self = Self {
        name: "by_disk_size",
        threshold: 0.1,
        improvement_threshold: 0.5,
        cost: Cost::Bytes(BASE_COST),
    };

    pub fn by_name(name: &str) -> Option<Self> {
        [Self::BY_SHARD_COUNT, Self::BY_DISK_SIZE].into_iter().find(|known| known.name == name)
    }
}

/// What a plan is made for.
#[derive(Clone, Debug)]
pub struct Wanted {
    pub strategy: Strategy,
    /// Only this co-location; `None`: each by itself.
    pub colocation: Option<ColocationId>,
    pub most_moves: usize,
    pub excluded: BTreeSet<ShardId>,
    /// Only away from nodes that should have none.
    pub drain_only: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Planned {
    pub group: GroupId,
    /// The group's shard of the first table, by which users know it.
    pub shard: ShardId,
    pub source: NodeId,
    pub target: NodeId,
}

/// The moves, in the order in which they are to be made.
pub fn plan(state: &State, sizes: &ShardSizes, wanted: &Wanted) -> Vec<Planned> {
    let mut moves = Vec::new();
    for colocation in state.colocations() {
        let is_wanted = match wanted.colocation {
            Some(only) => only == colocation.id,
            None => colocation.kind != ColocationKind::Local || wanted.drain_only,
        };
        if !is_wanted || colocation.kind == ColocationKind::Reference {
            continue;
        }
        let mut nodes: Vec<Load> = state
            .workers()
            .filter(|node| node.is_active)
            .map(|node| Load::new(node.id, node.should_have_shards))
            .collect();
        let mut known = BTreeMap::new();
        let mut first_shards: BTreeMap<GroupId, ShardId> = BTreeMap::new();
        let mut bytes: BTreeMap<GroupId, u64> = BTreeMap::new();
        let mut excluded = BTreeSet::new();
        for table in state.tables_in(colocation.id) {
            for (shard, group) in state.shards_of(table) {
                first_shards.entry(group.id).or_insert(shard.id);
                let size = sizes.get(&(shard.id, group.primary)).map_or(0, |size| size.bytes);
                *bytes.entry(group.id).or_default() += size;
                if wanted.excluded.contains(&shard.id) {
                    excluded.insert(group.id);
                }
            }
        }
        for (_, id) in &colocation.groups {
            let Some(group) = state.group(*id).filter(|group| !excluded.contains(&group.id)) else {
                continue;
            };
            // Nothing is in it: it goes with its node.
            let Some(shard) = first_shards.get(id).copied() else { continue };
            let Some(load) = nodes.iter_mut().find(|load| load.node == group.primary) else {
                continue;
            };
            let cost = match wanted.strategy.cost {
                Cost::One => 1.0,
                Cost::Bytes(base) => (bytes.get(id).copied().unwrap_or(0) + base) as f64,
            };
            load.put(*id, shard, cost);
            known.insert(*id, (shard, cost));
        }
        let left = wanted.most_moves - moves.len();
        moves.extend(balance(nodes, &known, &wanted.strategy, left, wanted.drain_only));
        if moves.len() >= wanted.most_moves {
            break;
        }
    }
    moves
}

/// Costs compare as integers: they are whole numbers of shards or bytes.
type Rank = (std::cmp::Reverse<u64>, ShardId, GroupId);

/// A node and the groups on it, the most costly first.
#[derive(Clone, Debug)]
struct Load {
    node: NodeId,
    takes: bool,
    total: f64,
    groups: BTreeSet<Rank>,
}

impl Load {
    fn new(node: NodeId, takes: bool) -> Self {
        Self { node, takes, total: 0.0, groups: BTreeSet::new() }
    }

    fn put(&mut self, group: GroupId, shard: ShardId, cost: f64) {
        self.total += cost;
        self.groups.insert((std::cmp::Reverse(cost as u64), shard, group));
    }

    fn take(&mut self, group: GroupId, shard: ShardId, cost: f64) {
        self.total -= cost;
        self.groups.remove(&(std::cmp::Reverse(cost as u64), shard, group));
    }
}

fn balance(
    mut loads: Vec<Load>,
    known: &BTreeMap<GroupId, (ShardId, f64)>,
    strategy: &Strategy,
    most_moves: usize,
    drain_only: bool,
) -> Vec<Planned> {
    let takers = loads.iter().filter(|load| load.takes).count();
    if takers == 0 {
        return Vec::new();
    }
    let average = loads.iter().map(|load| load.total).sum::<f64>() / takers as f64;
    // Nodes by what they carry; totals are whole numbers.
    let mut order: BTreeSet<(u64, usize)> =
        (0..loads.len()).filter(|at| loads[*at].takes).map(|at| (whole(&loads[at]), at)).collect();
    let mut moves = Vec::new();
    let drained: Vec<usize> = (0..loads.len()).filter(|at| !loads[*at].takes).collect();
    for source in drained {
        while moves.len() < most_moves
            && let Some((_, shard, group)) = loads[source].groups.first().copied()
            && let Some((_, target)) = order.first().copied()
        {
            let cost = known.get(&group).map_or(0.0, |known| known.1);
            moves.push(shift(&mut loads, &mut order, source, target, (group, shard, cost)));
        }
    }
    if drain_only {
        return moves;
    }
    let (low, high) = (average * (1.0 - strategy.threshold), average * (1.0 + strategy.threshold));
    while moves.len() < most_moves {
        let found = order.iter().rev().find_map(|(_, source)| {
            order.iter().find_map(|(_, target)| {
                let (from, to) = (&loads[*source], &loads[*target]);
                if from.total <= to.total || (from.total <= high && to.total >= low) {
                    return None;
                }
                let group = from.groups.iter().find(|(_, _, group)| {
                    let cost = known.get(group).map_or(0.0, |known| known.1);
                    improves(from.total, to.total, cost, strategy)
                })?;
                Some((*source, *target, *group))
            })
        });
        let Some((source, target, (_, shard, group))) = found else { break };
        let cost = known.get(&group).map_or(0.0, |known| known.1);
        moves.push(shift(&mut loads, &mut order, source, target, (group, shard, cost)));
    }
    moves
}

/// Whether the two nodes are closer to each other after the move. Where the target would have more
/// than the source, the gain must be worth it.
fn improves(from: f64, to: f64, cost: f64, strategy: &Strategy) -> bool {
    let (new_from, new_to) = (from - cost, to + cost);
    if new_to <= new_from {
        return true;
    }
    let gain = from - new_to;
    gain > 0.0 && gain >= cost * strategy.improvement_threshold
}

fn whole(load: &Load) -> u64 {
    load.total.max(0.0) as u64
}

fn shift(
    loads: &mut [Load],
    order: &mut BTreeSet<(u64, usize)>,
    source: usize,
    target: usize,
    (group, shard, cost): (GroupId, ShardId, f64),
) -> Planned {
    for at in [source, target] {
        order.remove(&(whole(&loads[at]), at));
    }
    loads[source].take(group, shard, cost);
    loads[target].put(group, shard, cost);
    for at in [source, target] {
        if loads[at].takes {
            order.insert((whole(&loads[at]), at));
        }
    }
    Planned { group, shard, source: loads[source].node, target: loads[target].node }
}
