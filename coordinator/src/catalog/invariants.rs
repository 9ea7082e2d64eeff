//! What holds of every catalog state. Checked after each command in debug builds and in tests.

use satsuma_common::{HashRange, Oid};

use super::colocation::{ColocationKind, LOCAL_COLOCATION};
use super::objects::RelationRef;
use super::state::State;
use super::table::TableDistribution;

/// The first invariant that does not hold.
pub fn check(state: &State) -> Result<(), String> {
    names(state)?;
    colocations(state)?;
    tables(state)?;
    foreign_keys(state)?;
    moves(state)
}

fn ensure(holds: bool, what: impl FnOnce() -> String) -> Result<(), String> {
    if holds { Ok(()) } else { Err(what()) }
}

/// Every relation is in exactly the schema it says, under the name it has.
fn names(state: &State) -> Result<(), String> {
    let mut named = 0;
    for schema in state.schemas() {
        ensure(state.schema_by_name(&schema.name) == Some(schema), || {
            format!("schema {} is not found by name", schema.name)
        })?;
        for (name, relation) in schema.relations() {
            named += 1;
            let known = state.relation_name(relation);
            ensure(known.is_some_and(|(s, n)| s.oid == schema.oid && n == name), || {
                format!("{}.{name} does not name what it stands for", schema.name)
            })?;
        }
    }
    let relations = state.tables().count()
        + state.indexes().count()
        + state.views().count()
        + state.sequences().count();
    ensure(named == relations, || format!("{named} names for {relations} relations"))?;
    ensure(state.sequences.keys().eq(state.positions.keys()), || {
        "sequences and positions differ".into()
    })
}

/// Groups of a co-location tile the hash space, and each has a placement that holds its rows.
fn colocations(state: &State) -> Result<(), String> {
    let mut owned = 0;
    for colocation in state.colocations() {
        let ranges: Vec<_> = colocation.groups.iter().map(|(range, _)| *range).collect();
        ensure(HashRange::tiles(&ranges), || {
            format!("{} does not tile the hash space", colocation.id)
        })?;
        for (range, id) in &colocation.groups {
            owned += 1;
            let group = state.group(*id).ok_or_else(|| format!("{id} is missing"))?;
            ensure(group.range == *range && group.colocation == colocation.id, || {
                format!("{id} is not what {} says", colocation.id)
            })?;
            ensure(group.finalized().any(|node| node == group.primary), || {
                format!("the primary of {id} does not hold its rows")
            })?;
            let mut nodes: Vec<_> = group.placements.iter().map(|p| p.node).collect();
            nodes.sort();
            nodes.dedup();
            ensure(nodes.len() == group.placements.len(), || format!("{id} twice on a node"))?;
            for node in nodes {
                ensure(state.node(node).is_some_and(super::node::Node::is_worker), || {
                    format!("{id} is placed on {node}, which is no worker")
                })?;
            }
        }
        ensure(
            colocation.kind == ColocationKind::Local || colocation.id != LOCAL_COLOCATION,
            || "local tables' co-location is of another kind".into(),
        )?;
    }
    ensure(owned == state.groups().count(), || "a group without co-location".into())
}

/// Each table's shards are its co-location's groups, in order.
fn tables(state: &State) -> Result<(), String> {
    let mut shards = std::collections::BTreeSet::new();
    for table in state.tables() {
        let colocation = state
            .colocation(table.colocation())
            .ok_or_else(|| format!("{} has no co-location", table.id()))?;
        let groups = colocation.groups.iter().map(|(_, group)| *group);
        ensure(groups.eq(table.shards().iter().map(|shard| shard.group)), || {
            format!("shards of {} do not tile the hash space", table.id())
        })?;
        for shard in table.shards() {
            ensure(shards.insert(shard.id), || format!("{} twice", shard.id))?;
            let nodes = state.group(shard.group).map(|group| &group.placements);
            let nodes = nodes.into_iter().flatten().map(|placement| placement.node);
            ensure(nodes.eq(shard.placement_ids.iter().map(|(node, _)| *node)), || {
                format!("placement ids of {}", shard.id)
            })?;
        }
        if let TableDistribution::Hash(column) = table.distribution() {
            let ty = table.shape.column(column).map(|column| column.ty.without_modifier());
            ensure(ty.is_some() && ty == colocation.distribution_type, || {
                format!("{} is distributed on another type than its co-location", table.id())
            })?;
        }
        for index in state.indexes_of(table.id()) {
            ensure(index.table == table.id(), || format!("index {} astray", index.name))?;
        }
    }
    let listed: usize = state.table_indexes.values().map(Vec::len).sum();
    ensure(listed == state.indexes().count(), || "an index without table".into())
}

/// Every foreign key's target exists and knows of it.
fn foreign_keys(state: &State) -> Result<(), String> {
    for table in state.tables() {
        for key in &table.shape.foreign_keys {
            let target =
                state.table(key.target).ok_or_else(|| format!("{} points to nothing", key.name))?;
            ensure(target.shape.referenced_by.contains(key), || {
                format!("{} is unknown to its target", key.name)
            })?;
            ensure(
                key.target_name == target.shape.name && key.table_name == table.shape.name,
                || format!("{} names its tables wrongly", key.name),
            )?;
        }
        for key in &table.shape.referenced_by {
            let source = state.table(key.table);
            ensure(source.is_some_and(|source| source.shape.foreign_keys.contains(key)), || {
                format!("{} refers to {} no more", key.name, table.id())
            })?;
        }
    }
    for (table, _) in state.materialized.iter() {
        let oid = Oid(table.0);
        ensure(state.table(*table).is_some() && state.view(oid).is_some(), || {
            format!("materialized view {table} is not whole")
        })?;
    }
    for view in state.stored_queries() {
        for oid in &view.depends_on {
            let exists = state.relation(*oid).is_some() || state.enum_type(*oid).is_some();
            ensure(exists, || format!("view {} reads what is gone", view.name))?;
        }
    }
    for sequence in state.sequences() {
        if let Some((table, _)) = sequence.owned_by {
            let relation = RelationRef::Table(table);
            ensure(state.relation(Oid(table.0)) == Some(relation), || {
                format!("sequence {} outlives its table", sequence.name)
            })?;
        }
    }
    Ok(())
}

/// At most one move of a group is under way.
fn moves(state: &State) -> Result<(), String> {
    let mut busy = std::collections::BTreeSet::new();
    for movement in state.moves().filter(|movement| !movement.phase.is_over()) {
        ensure(busy.insert(movement.group), || format!("two moves of {}", movement.group))?;
        let group = state.group(movement.group);
        ensure(group.is_some_and(|group| group.placement(movement.target).is_some()), || {
            format!("{} has lost its target", movement.id)
        })?;
    }
    Ok(())
}
