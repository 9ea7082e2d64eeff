//! The catalog of a cluster that is made from a backup.

use std::collections::BTreeMap;

use satsuma_common::{NodeId, Timestamp};

use super::colocation::PlacementState;
use super::node::NodeRole;
use super::shared::Shared;
use super::state::State;

impl State {
    /// The same tables and workers, on new data directories, with one coordinator: what was under
    /// way is forgotten. It is another cluster, `cluster`, and nobody knows where its workers are
    /// until they say so: where those of the first one are, that one may be at work.
    pub fn restored(
        &self,
        cluster: &str,
        coordinator: NodeId,
        directories: &BTreeMap<NodeId, String>,
        snapshot: Timestamp,
    ) -> Self {
        let mut state = self.clone();
        state.version += 1;
        state.cluster.id = cluster.to_owned();
        state.moves = Default::default();
        state.jobs = Default::default();
        state.decisions = Default::default();
        state.requests = Default::default();
        state.timestamp_ceiling = state.timestamp_ceiling.max(snapshot);
        let nodes = state.nodes.make_mut();
        nodes.retain(|id, node| node.role == NodeRole::Worker || *id == coordinator);
        for (id, node) in nodes.iter_mut() {
            let node = node.make_mut();
            node.directory = directories.get(id).cloned();
            if node.is_worker() {
                (node.host, node.port) = (String::new(), 0);
            }
        }
        let mut left = Vec::new();
        for (id, group) in state.groups.make_mut().iter_mut() {
            if group.placements.iter().all(|p| p.state == PlacementState::Finalized) {
                continue;
            }
            let group = group.make_mut();
            group.placements.retain(|placement| placement.state == PlacementState::Finalized);
            let nodes: Vec<NodeId> = group.placements.iter().map(|p| p.node).collect();
            left.push((*id, nodes));
        }
        for (_, table) in state.tables.make_mut().iter_mut() {
            let mut placement = table.placement().clone();
            for shard in &mut placement.shards {
                if let Some((_, nodes)) = left.iter().find(|(group, _)| *group == shard.group) {
                    shard.placement_ids.retain(|(node, _)| nodes.contains(node));
                }
            }
            if placement != *table.placement() {
                *table = Shared::new(table.with_placement(placement));
            }
        }
        state
    }
}
