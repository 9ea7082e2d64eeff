//! A shard group becomes several.

use satsuma_common::{ColocationId, GroupId, TableId};

use super::placement::{fill_placement_ids, refuse_while_moving};
use crate::catalog::colocation::{ColocationKind, Group};
use crate::catalog::node::Node;
use crate::catalog::rejection::Rejection;
use crate::catalog::shared::Shared;
use crate::catalog::state::State;
use crate::catalog::table::Shard;

pub(super) fn split(
    state: &mut State,
    id: ColocationId,
    group: GroupId,
    parts: Vec<Group>,
    shards: Vec<(TableId, Vec<Shard>)>,
) -> Result<(), Rejection> {
    refuse_while_moving(state, group)?;
    let mut colocation = state
        .colocation(id)
        .filter(|colocation| colocation.kind == ColocationKind::Hash)
        .ok_or(Rejection::Malformed("a split of no hash-distributed tables"))?
        .clone();
    let position = colocation
        .groups
        .iter()
        .position(|(_, known)| *known == group)
        .ok_or(Rejection::ConcurrentChange(format!("shard group {}", group.0)))?;
    let range = colocation.groups[position].0;
    let fits = parts.first().is_some_and(|part| part.range.low() == range.low())
        && parts.last().is_some_and(|part| part.range.high() == range.high())
        && parts
            .windows(2)
            .all(|pair| pair[0].range.high().checked_add(1) == Some(pair[1].range.low()));
    if !fits {
        return Err(Rejection::Malformed("parts that do not tile the shard"));
    }
    for part in &parts {
        let is_new = state.group(part.id).is_none() && part.colocation == id;
        let placed = part.finalized().next().is_some()
            && part
                .placements
                .iter()
                .all(|placement| state.node(placement.node).is_some_and(Node::is_worker));
        if !is_new || !placed {
            return Err(Rejection::Malformed("a part of a shard"));
        }
    }
    let tables: Vec<TableId> = state.tables_in(id).map(|table| table.id()).collect();
    if !tables.iter().eq(shards.iter().map(|(table, _)| table)) {
        return Err(Rejection::ConcurrentChange("the co-located tables".into()));
    }
    let all = state.groups.make_mut();
    all.remove(&group);
    for part in &parts {
        all.insert(part.id, Shared::new(part.clone()));
    }
    colocation.groups.splice(position..=position, parts.iter().map(|part| (part.range, part.id)));
    state.colocations.make_mut().insert(id, Shared::new(colocation));
    for (table, of_table) in shards {
        let in_order = of_table.iter().map(|shard| shard.group);
        if !in_order.eq(parts.iter().map(|part| part.id))
            || of_table.iter().any(|shard| state.shard(shard.id).is_some())
        {
            return Err(Rejection::Malformed("shards that do not fit the parts"));
        }
        let known = state.table_arc(table).ok_or(Rejection::Malformed("no such table"))?;
        let mut placement = known.placement().clone();
        placement.shards.splice(position..=position, of_table);
        fill_placement_ids(state, &mut placement);
        state.tables.make_mut().insert(table, Shared::new(known.with_placement(placement)));
    }
    Ok(())
}
