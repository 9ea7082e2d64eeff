//! Shard groups: where they are, and moves between nodes.

use satsuma_common::{ColocationId, GroupId, HashRange, NodeId, PlacementId};

use super::footprint::{self, Touched};
use crate::catalog::colocation::{
    Colocation, ColocationKind, Group, LOCAL_COLOCATION, Placement, PlacementState,
};
use crate::catalog::movement::MovePhase;
use crate::catalog::node::Node;
use crate::catalog::rejection::Rejection;
use crate::catalog::shared::Shared;
use crate::catalog::state::State;
use crate::catalog::table::TablePlacement;

pub(super) fn create_colocation(
    state: &mut State,
    colocation: Colocation,
    groups: Vec<Group>,
) -> Result<(), Rejection> {
    check_colocation(state, &colocation, &groups)?;
    if let (true, Some(ty)) = (colocation.is_default, &colocation.distribution_type)
        && state.default_colocation(ty, colocation.shard_count()).is_some()
    {
        return Err(Rejection::ConcurrentChange("the default co-location group".into()));
    }
    if colocation.kind == ColocationKind::Reference && state.reference_colocation().is_some() {
        return Err(Rejection::ConcurrentChange("the reference tables".into()));
    }
    let all = state.groups.make_mut();
    for group in groups {
        all.insert(group.id, Shared::new(group));
    }
    state.colocations.make_mut().insert(colocation.id, Shared::new(colocation));
    Ok(())
}

fn check_colocation(
    state: &State,
    colocation: &Colocation,
    groups: &[Group],
) -> Result<(), Rejection> {
    if state.colocation(colocation.id).is_some() {
        return Err(Rejection::Malformed("a co-location's id is taken"));
    }
    let ranges: Vec<_> = colocation.groups.iter().map(|(range, _)| *range).collect();
    if !HashRange::tiles(&ranges) || groups.len() != ranges.len() {
        return Err(Rejection::Malformed("a co-location's hash ranges"));
    }
    let is_hash = colocation.kind == ColocationKind::Hash;
    if is_hash != colocation.distribution_type.is_some() || (!is_hash && groups.len() != 1) {
        return Err(Rejection::Malformed("a co-location's kind"));
    }
    for ((range, id), group) in colocation.groups.iter().zip(groups) {
        let fits = group.id == *id && group.range == *range && group.colocation == colocation.id;
        if !fits || state.group(group.id).is_some() {
            return Err(Rejection::Malformed("a shard group of a co-location"));
        }
        if group.finalized().next().is_none() {
            return Err(Rejection::NoWorkers);
        }
        for placement in &group.placements {
            if state.node(placement.node).is_none_or(|node| !node.is_worker()) {
                return Err(Rejection::NoNodeId(placement.node.0));
            }
        }
    }
    Ok(())
}

/// Whether shards fit the groups of their co-location. Fills in placement ids.
pub(super) fn check_table_placement(
    state: &mut State,
    placement: &mut TablePlacement,
) -> Result<(), Rejection> {
    use crate::catalog::table::TableDistribution as Table;
    let Some(colocation) = state.colocation(placement.colocation) else {
        return Err(Rejection::ConcurrentChange(format!(
            "co-location group {}",
            placement.colocation.0
        )));
    };
    let kind = match placement.distribution {
        Table::Local => ColocationKind::Local,
        Table::Reference => ColocationKind::Reference,
        Table::SingleShard => ColocationKind::Single,
        Table::Hash(_) => ColocationKind::Hash,
    };
    let groups = colocation.groups.iter().map(|(_, group)| *group);
    if kind != colocation.kind || !groups.eq(placement.shards.iter().map(|shard| shard.group)) {
        return Err(Rejection::Malformed("shards that do not fit their co-location"));
    }
    for shard in &placement.shards {
        if state.shard(shard.id).is_some() {
            return Err(Rejection::Malformed("a shard's id is taken"));
        }
    }
    fill_placement_ids(state, placement);
    Ok(())
}

/// Gives an id to each placement of each shard. Users do not see those of local tables, which
/// take none of the numbers.
pub(super) fn fill_placement_ids(state: &mut State, placement: &mut TablePlacement) {
    let is_local = placement.colocation == LOCAL_COLOCATION;
    for shard in &mut placement.shards {
        let Some(group) = state.groups.get(&shard.group) else { continue };
        let known = std::mem::take(&mut shard.placement_ids);
        for node in group.placements.iter().map(|placement| placement.node) {
            let id = match known.iter().find(|(of, _)| *of == node) {
                Some((_, id)) => *id,
                None if is_local => PlacementId(0),
                None => {
                    state.counters.placement += 1;
                    PlacementId(state.counters.placement - 1)
                }
            };
            shard.placement_ids.push((node, id));
        }
    }
}

/// A co-location that has lost its last table goes, with its groups.
pub(super) fn drop_if_empty(state: &mut State, id: ColocationId) {
    let Some(colocation) = state.colocation(id) else { return };
    if colocation.kind == ColocationKind::Local || state.tables_in(id).next().is_some() {
        return;
    }
    let groups: Vec<_> = colocation.groups.iter().map(|(_, group)| *group).collect();
    remove_colocation(state, id, &groups);
}

fn remove_colocation(state: &mut State, id: ColocationId, groups: &[GroupId]) {
    let all = state.groups.make_mut();
    for group in groups {
        all.remove(group);
    }
    state.colocations.make_mut().remove(&id);
    footprint::mark(state, vec![Touched::Colocation(id)]);
    let over: Vec<_> = state.moves().filter(|m| groups.contains(&m.group)).cloned().collect();
    for mut movement in over {
        state.moves.make_mut().remove(&movement.id);
        if !movement.phase.is_over() {
            movement.phase = MovePhase::Aborted;
            movement.reason = Some("the tables were dropped".into());
            super::job::follow(state, &movement);
        }
    }
}

/// Changes a group's placements, and all that follows from it.
pub(super) fn change_group(
    state: &mut State,
    id: GroupId,
    change: impl FnOnce(&mut Group) -> Result<(), Rejection>,
) -> Result<(), Rejection> {
    let before = state.group(id).ok_or(Rejection::Malformed("no such shard group"))?;
    let mut group = before.clone();
    change(&mut group)?;
    if group.finalized().next().is_none() {
        return Err(Rejection::Malformed("a shard group without placement"));
    }
    let served: Vec<_> = group.finalized().collect();
    group.in_sync.retain(|node| served.contains(node));
    if !served.contains(&group.primary) {
        group.primary = served[0];
    }
    if group.primary != before.primary {
        group.epoch.0 += 1;
    }
    // What was laid out on the placements before does not fit any more.
    let moved = !before.finalized().eq(served) || group.primary != before.primary;
    if moved {
        group.generation.0 += 1;
    }
    let colocation = group.colocation;
    state.groups.make_mut().insert(id, Shared::new(group));
    let tables: Vec<_> = state.tables_in(colocation).map(|table| table.id()).collect();
    for table in tables {
        let Some(table) = state.table_arc(table) else { continue };
        let mut placement = table.placement().clone();
        fill_placement_ids(state, &mut placement);
        if placement != *table.placement() {
            let table = Shared::new(table.with_placement(placement));
            state.tables.make_mut().insert(table.id(), table);
        }
    }
    if moved {
        footprint::mark(state, vec![Touched::Colocation(colocation)]);
    }
    Ok(())
}

pub(super) fn add(
    state: &mut State,
    group: GroupId,
    node: NodeId,
    placement: PlacementState,
) -> Result<(), Rejection> {
    if state.node(node).is_none_or(|node| !node.is_worker()) {
        return Err(Rejection::NoNodeId(node.0));
    }
    change_group(state, group, |group| {
        if group.placement(node).is_some() {
            return Err(Rejection::Malformed("a second placement on one node"));
        }
        group.placements.push(Placement { node, state: placement });
        if placement == PlacementState::Finalized {
            group.in_sync.insert(node);
        }
        Ok(())
    })
}

pub(super) fn change(
    state: &mut State,
    group: GroupId,
    node: NodeId,
    to: PlacementState,
) -> Result<(), Rejection> {
    refuse_while_moving(state, group)?;
    change_group(state, group, |group| set_state(group, node, to))
}

/// A move under way has the placements of its group to itself.
pub(super) fn refuse_while_moving(state: &State, group: GroupId) -> Result<(), Rejection> {
    match state.moves().any(|movement| movement.group == group && !movement.phase.is_over()) {
        true => Err(Rejection::GroupMoving(group.0)),
        false => Ok(()),
    }
}

pub(super) fn set_state(
    group: &mut Group,
    node: NodeId,
    to: PlacementState,
) -> Result<(), Rejection> {
    let missing = Rejection::NoPlacement { group: group.id.0, node: node.0 };
    let placement = group.placements.iter_mut().find(|placement| placement.node == node);
    placement.ok_or(missing)?.state = to;
    if to == PlacementState::Finalized {
        group.in_sync.insert(node);
    }
    Ok(())
}

pub(super) fn remove(state: &mut State, group: GroupId, node: NodeId) -> Result<(), Rejection> {
    refuse_while_moving(state, group)?;
    change_group(state, group, |group| take_off(group, node))
}

pub(super) fn take_off(group: &mut Group, node: NodeId) -> Result<(), Rejection> {
    if group.placement(node).is_none() {
        return Err(Rejection::NoPlacement { group: group.id.0, node: node.0 });
    }
    group.placements.retain(|placement| placement.node != node);
    Ok(())
}

pub(super) fn set_primary(
    state: &mut State,
    group: GroupId,
    node: NodeId,
) -> Result<(), Rejection> {
    refuse_while_moving(state, group)?;
    change_group(state, group, |group| {
        if !group.in_sync.contains(&node) {
            return Err(Rejection::NoPlacement { group: group.id.0, node: node.0 });
        }
        group.primary = node;
        Ok(())
    })
}

/// A node goes: other placements stay, an unused group moves or goes, and a group that tables
/// have only there keeps the node.
pub(super) fn leave_node(state: &mut State, id: GroupId, node: &Node) -> Result<(), Rejection> {
    refuse_while_moving(state, id)?;
    let group = state.group(id).ok_or(Rejection::Malformed("no such shard group"))?;
    if group.finalized().any(|other| other != node.id) {
        return remove(state, id, node.id);
    }
    let colocation = group.colocation;
    let used = state
        .tables_in(colocation)
        .find_map(|table| Some((table, table.shards().iter().find(|shard| shard.group == id)?)));
    if let Some((table, shard)) = used {
        return Err(Rejection::OnlyPlacement {
            host: node.host.clone(),
            port: node.port,
            shard: shard.id.0,
            table: format!("{}.{}", table.shape.schema_name, table.shape.name),
        });
    }
    let other = state.shard_nodes().map(|other| other.id).find(|other| *other != node.id);
    match other {
        Some(other) => change_group(state, id, |group| {
            group.placements = vec![Placement { node: other, state: PlacementState::Finalized }];
            group.in_sync = [other].into();
            Ok(())
        }),
        None => {
            remove_colocation(state, colocation, &[id]);
            Ok(())
        }
    }
}
