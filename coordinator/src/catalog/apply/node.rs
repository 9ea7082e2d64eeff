//! Bootstrap, coordinators and workers.

use satsuma_common::{GroupId, HashRange, NodeId};

use super::placement;
use crate::catalog::colocation::{Colocation, ColocationKind, Group, LOCAL_COLOCATION};
use crate::catalog::command::CoordinatorAddress;
use crate::catalog::node::{Node, NodeChange, NodeRole, host_and_port};
use crate::catalog::objects::{
    INFORMATION_SCHEMA_OID, PG_CATALOG_OID, PUBLIC_SCHEMA_OID, Role, SUPERUSER_OID,
};
use crate::catalog::rejection::Rejection;
use crate::catalog::shared::Shared;
use crate::catalog::state::{Schema, State};

pub(super) fn bootstrap(
    state: &mut State,
    cluster: String,
    database: String,
    superuser: String,
    verifier: Option<String>,
    coordinators: Vec<CoordinatorAddress>,
) -> Result<(), Rejection> {
    if state.is_bootstrapped() {
        return Ok(());
    }
    if cluster.is_empty() {
        return Err(Rejection::Malformed("a cluster without identity"));
    }
    state.cluster.id = cluster;
    state.cluster.database = database;
    let role = Role::superuser(SUPERUSER_OID, superuser, verifier);
    state.roles.make_mut().insert(SUPERUSER_OID, Shared::new(role));
    for (oid, name) in [
        (PG_CATALOG_OID, "pg_catalog"),
        (PUBLIC_SCHEMA_OID, "public"),
        (INFORMATION_SCHEMA_OID, "information_schema"),
    ] {
        let schema = Schema::new(oid, name, SUPERUSER_OID);
        state.schemas.make_mut().insert(oid, Shared::new(schema));
        state.schema_names.make_mut().insert(name.into(), oid);
    }
    coordinators.into_iter().try_for_each(|address| put_coordinator(state, address))
}

/// A coordinator knows where it is: whoever is said to be there is not.
pub(super) fn announce_coordinator(
    state: &mut State,
    address: CoordinatorAddress,
) -> Result<(), Rejection> {
    match state.was_removed(address.node) {
        true => Err(Rejection::CoordinatorRemoved),
        false => put_coordinator(state, address),
    }
}

/// At an address of somebody else it would be lost to the others, and with it a vote.
pub(super) fn update_coordinator(
    state: &mut State,
    address: CoordinatorAddress,
) -> Result<(), Rejection> {
    if state.node(address.node).is_none_or(Node::is_worker) {
        return Err(Rejection::NoNodeId(address.node.0));
    }
    check_free(state, &address)?;
    put_coordinator(state, address)
}

/// Nodes listen for each other on one port each.
fn check_free(state: &State, address: &CoordinatorAddress) -> Result<(), Rejection> {
    let is_there = |node: &&Node| node.grpc() == address.grpc && node.id != address.node;
    match state.nodes().find(is_there) {
        Some(other) => Err(taken(other)),
        None => Ok(()),
    }
}

fn taken(by: &Node) -> Rejection {
    Rejection::AddressTaken { role: by.role, id: by.id.0, address: by.grpc() }
}

fn put_coordinator(state: &mut State, address: CoordinatorAddress) -> Result<(), Rejection> {
    let id = address.node;
    if state.node(id).is_some_and(Node::is_worker) {
        return Err(Rejection::WorkersId(id.0));
    }
    let port = match state.node(id) {
        Some(known) if address.port == 0 => known.port,
        _ => address.port,
    };
    let directory = state.node(id).and_then(|known| known.directory.clone());
    state.counters.node = state.counters.node.max(id.0.saturating_add(1));
    let node = Node {
        id,
        group: 0,
        role: NodeRole::Coordinator,
        host: address.host,
        port,
        grpc_address: Some(address.grpc),
        directory,
        is_active: true,
        is_disabled: false,
        should_have_shards: false,
    };
    state.nodes.make_mut().insert(id, Shared::new(node));
    Ok(())
}

/// Takes a coordinator in. Ids are not used twice: Raft counts on a member not to forget what it
/// has promised, which a new one in the place of a lost one would have.
pub(super) fn add_coordinator(
    state: &mut State,
    address: CoordinatorAddress,
) -> Result<(), Rejection> {
    let id = address.node;
    match state.node(id) {
        Some(known) if known.is_worker() => return Err(Rejection::WorkersId(id.0)),
        Some(_) => return Err(Rejection::CoordinatorExists(id.0)),
        None if id.0 < state.counters.node => {
            return Err(Rejection::IdUsed { id: id.0, next: state.counters.node });
        }
        None => {}
    }
    check_free(state, &address)?;
    put_coordinator(state, address)
}

pub(super) fn remove_coordinator(state: &mut State, id: NodeId) -> Result<(), Rejection> {
    if state.node(id).is_none_or(Node::is_worker) {
        return Err(Rejection::NoNodeId(id.0));
    }
    if state.nodes().filter(|node| !node.is_worker()).count() < 2 {
        return Err(Rejection::LastCoordinator);
    }
    state.nodes.make_mut().remove(&id);
    Ok(())
}

pub(super) fn add(
    state: &mut State,
    host: String,
    port: u16,
    directory: Option<String>,
    should_have_shards: bool,
) -> Result<NodeId, Rejection> {
    let by_directory = directory
        .as_ref()
        .and_then(|wanted| state.workers().find(|node| node.directory.as_ref() == Some(wanted)))
        .map(|node| node.id);
    let by_address =
        state.workers().find(|node| node.host == host && node.port == port).map(|node| node.id);
    if let Some(id) = by_directory {
        let node = node_mut(state, id)?;
        let before = (std::mem::replace(&mut node.host, host), node.port);
        node.port = port;
        // Who had the address is somewhere else now, most likely where this one was, and will say
        // so: nodes may exchange their addresses.
        if let Some(other) = by_address.filter(|other| *other != id) {
            let other = node_mut(state, other)?;
            (other.host, other.port) = before;
        }
        return Ok(id);
    }
    if let Some(id) = by_address {
        let node = node_mut(state, id)?;
        if node.directory.is_some() && directory.is_some() {
            return Err(Rejection::NodeExists(host, port));
        }
        node.directory = node.directory.take().or(directory);
        return Ok(id);
    }
    check_no_coordinator(state, &host, port)?;
    let id = NodeId(state.counters.node);
    state.counters.node += 1;
    insert(state, id, host, port, directory, should_have_shards)
}

/// A worker that was removed is the node that it was; one that was never removed is at that
/// address now.
pub(super) fn give_back(
    state: &mut State,
    id: NodeId,
    host: String,
    port: u16,
    directory: String,
) -> Result<NodeId, Rejection> {
    let is_known = state.workers().any(|node| node.directory.as_ref() == Some(&directory));
    if is_known || state.node_at(&host, port).is_some() {
        return add(state, host, port, Some(directory), true);
    }
    if state.node(id).is_some() || id.0 >= state.counters.node {
        return Err(Rejection::IdUsed { id: id.0, next: state.counters.node });
    }
    insert(state, id, host, port, Some(directory), true)
}

/// A coordinator answers there, and no worker can.
fn check_no_coordinator(state: &State, host: &str, port: u16) -> Result<(), Rejection> {
    let address = host_and_port(host, port);
    match state.nodes().find(|node| !node.is_worker() && node.grpc() == address) {
        Some(other) => Err(taken(other)),
        None => Ok(()),
    }
}

fn insert(
    state: &mut State,
    id: NodeId,
    host: String,
    port: u16,
    directory: Option<String>,
    should_have_shards: bool,
) -> Result<NodeId, Rejection> {
    let group = state.counters.node_group;
    state.counters.node_group += 1;
    let node = Node {
        id,
        group,
        role: NodeRole::Worker,
        host,
        port,
        grpc_address: None,
        directory,
        // It counts once it remembers the cluster and has the reference tables.
        is_active: false,
        is_disabled: false,
        should_have_shards,
    };
    state.nodes.make_mut().insert(id, Shared::new(node));
    if should_have_shards {
        house_local_tables(state, id)?;
    }
    Ok(id)
}

/// Local tables live together in one hidden shard group, on the first worker that takes shards.
fn house_local_tables(state: &mut State, node: NodeId) -> Result<(), Rejection> {
    if state.colocation(LOCAL_COLOCATION).is_some() {
        return Ok(());
    }
    let group = GroupId(state.counters.group);
    state.counters.group += 1;
    let colocation = Colocation {
        id: LOCAL_COLOCATION,
        kind: ColocationKind::Local,
        replication_factor: 1,
        distribution_type: None,
        is_default: true,
        groups: vec![(HashRange::FULL, group)],
    };
    let group = Group::new(group, LOCAL_COLOCATION, HashRange::FULL, node, []);
    placement::create_colocation(state, colocation, vec![group])
}

pub(super) fn change(state: &mut State, id: NodeId, change: NodeChange) -> Result<(), Rejection> {
    if let NodeChange::Address { host, port } = &change
        && state.node_at(host, *port).is_some_and(|node| node.id != id)
    {
        return Err(Rejection::NodeExists(host.clone(), *port));
    }
    if let NodeChange::Address { host, port } = &change {
        check_no_coordinator(state, host, *port)?;
    }
    match &change {
        NodeChange::Active(true) if !has_references(state, id) => {
            return Err(Rejection::NoReferenceTables(id.0));
        }
        NodeChange::Active(false) => leave_groups(state, id)?,
        _ => {}
    }
    let node = node_mut(state, id)?;
    match change {
        NodeChange::Address { host, port } => (node.host, node.port) = (host, port),
        NodeChange::Directory(directory) => {
            if node.directory.as_ref().is_some_and(|known| *known != directory) {
                return Err(match node.role {
                    NodeRole::Worker => Rejection::NodeExists(node.host.clone(), node.port),
                    NodeRole::Coordinator => Rejection::OtherDirectory(id.0),
                });
            }
            node.directory = Some(directory);
        }
        NodeChange::Active(active) => (node.is_active, node.is_disabled) = (active, !active),
        NodeChange::ShouldHaveShards(should) => {
            node.should_have_shards = should;
            if should && node.is_worker() {
                house_local_tables(state, id)?;
            }
        }
        NodeChange::Grpc(address) => node.grpc_address = Some(address),
    }
    Ok(())
}

/// Takes a worker out. A coordinator has a vote, which must not be lost by a wrong port.
pub(super) fn remove(state: &mut State, id: NodeId) -> Result<(), Rejection> {
    if let Some(node) = state.node(id).filter(|node| !node.is_worker()) {
        return Err(Rejection::IsCoordinator {
            id: id.0,
            host: node.host.clone(),
            port: node.port,
        });
    }
    leave_groups(state, id)?;
    state.nodes.make_mut().remove(&id);
    Ok(())
}

/// Takes the node's placements away, which must not be the only ones.
fn leave_groups(state: &mut State, id: NodeId) -> Result<(), Rejection> {
    let node = state.node(id).ok_or(Rejection::NoNodeId(id.0))?.clone();
    let held: Vec<GroupId> = state
        .groups()
        .filter(|group| group.placement(id).is_some())
        .map(|group| group.id)
        .collect();
    held.into_iter().try_for_each(|group| placement::leave_node(state, group, &node))
}

/// Whether the node has a copy of every reference table.
pub(super) fn has_references(state: &State, id: NodeId) -> bool {
    let reference = state.reference_colocation();
    let groups = reference.iter().flat_map(|colocation| &colocation.groups);
    groups.filter_map(|(_, group)| state.group(*group)).all(|group| {
        let worker = state.node(id).is_some_and(Node::is_worker);
        !worker || group.finalized().any(|node| node == id)
    })
}

fn node_mut(state: &mut State, id: NodeId) -> Result<&mut Node, Rejection> {
    let node = state.nodes.make_mut().get_mut(&id).ok_or(Rejection::NoNodeId(id.0))?;
    Ok(node.make_mut())
}
