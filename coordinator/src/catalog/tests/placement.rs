//! Placement as Citus does it: the numbers are those of the reference run.

use satsuma_common::{ColocationId, Generation, NodeId, PlacementId, ShardId};

use super::*;
use crate::catalog::*;

#[test]
fn shards_have_citus_numbers_and_places() {
    let mut state = cluster(2);
    let companies = create_distributed(&mut state, "companies");
    let campaigns = create_distributed(&mut state, "campaigns");

    let table = state.table(companies).expect("companies");
    assert_eq!(table.colocation(), ColocationId(1));
    assert_eq!(state.table(campaigns).map(Table::colocation), Some(ColocationId(1)));
    let shards: Vec<_> = state.shards_of(table).collect();
    assert_eq!(shards.len(), 32);
    assert_eq!(shards[0].0.id, ShardId(102008));
    assert_eq!((shards[0].1.range.low(), shards[0].1.range.high()), (i32::MIN, -2013265921));
    assert_eq!(shards[0].1.primary, NodeId(2));
    assert_eq!(shards[1].1.primary, NodeId(3));
    assert_eq!(shards[2].1.primary, NodeId(2));
    // worker_hash(5::bigint) = -1330264708 is shard 102014 of the first table.
    let (group, shard) = state.shard_for_hash(table, -1330264708).expect("shard");
    assert_eq!(shard, ShardId(102014));
    assert_eq!(Some(group), state.group_for_hash(ColocationId(1), -1330264708));
    assert_eq!(shards[0].0.placement_ids, [(NodeId(2), PlacementId(1))]);
    assert_eq!(shards[31].0.placement_ids, [(NodeId(3), PlacementId(32))]);
    let second = state.table(campaigns).expect("campaigns");
    assert_eq!(second.shards()[0].id, ShardId(102040));
    assert_eq!(second.shards()[0].group, table.shards()[0].group);
}

#[test]
fn local_tables_take_no_shard_number_that_users_see() {
    let mut state = cluster(2);
    let local = create_local(&mut state, "notes");
    assert!(state.table(local).expect("notes").shards()[0].id.0 >= FIRST_LOCAL_SHARD);
    assert_eq!(state.counters().shard, FIRST_SHARD);
    assert_eq!(state.counters().colocation, 1);
}

#[test]
fn without_workers_there_is_no_place() {
    let mut state = cluster(0);
    let hash = TableDistribution::Hash(satsuma_common::ColumnId(1));
    for wanted in [TableDistribution::Local, TableDistribution::Reference, hash] {
        let refused = plan(&state, &request(wanted, ColocateWith::Default));
        assert_eq!(refused, Err(Rejection::NoWorkers));
    }
    accept(&mut state, add_node(9701));
    let hash = request(hash, ColocateWith::Default);
    assert_eq!(plan(&state, &hash), Err(Rejection::NoWorkers), "it has not joined yet");
    join(&mut state, 9701);
    create_distributed(&mut state, "t");
}

#[test]
fn reference_tables_share_one_group_on_every_worker() {
    let mut state = cluster(3);
    let reference = request(TableDistribution::Reference, ColocateWith::Default);
    let one = create_local(&mut state, "geo_ips");
    distribute(&mut state, one, &reference);
    let two = create_local(&mut state, "currencies");
    distribute(&mut state, two, &reference);
    let (one, two) = (state.table(one).expect("one"), state.table(two).expect("two"));
    assert_eq!(one.shards()[0].group, two.shards()[0].group);
    let group = state.group(one.shards()[0].group).expect("group");
    assert_eq!(group.finalized().collect::<Vec<_>>(), [NodeId(2), NodeId(3), NodeId(4)]);
    let ids: Vec<_> = one.shards()[0].placement_ids.iter().map(|(_, id)| *id).collect();
    assert_eq!(ids.len(), 3);
    assert!(ids.windows(2).all(|pair| pair[0].0 + 1 == pair[1].0));
    assert_eq!(state.colocation(one.colocation()).map(|c| c.replication_factor), Some(-1));
}

#[test]
fn colocate_with_none_stays_apart_and_does_not_become_the_default() {
    let mut state = cluster(2);
    let hash = TableDistribution::Hash(satsuma_common::ColumnId(1));
    let apart = create_local(&mut state, "apart");
    distribute(&mut state, apart, &request(hash, ColocateWith::None));
    let joined = create_distributed(&mut state, "joined");
    let with = create_local(&mut state, "with");
    distribute(&mut state, with, &request(hash, ColocateWith::Table(apart)));
    let colocation = |id| state.table(id).expect("table").colocation();
    assert_ne!(colocation(apart), colocation(joined));
    assert_eq!(colocation(with), colocation(apart));
}

#[test]
fn a_colocation_goes_with_its_last_table() {
    let mut state = cluster(2);
    let table = create_distributed(&mut state, "t");
    let groups = state.groups().count();
    accept(&mut state, Command::DropTable { table });
    assert!(state.colocation(ColocationId(1)).is_none());
    assert_eq!(state.groups().count(), groups - 32);
}

#[test]
fn a_move_swaps_the_placement_and_its_generation_at_the_switch() {
    let mut state = cluster(2);
    let table = create_distributed(&mut state, "t");
    let shard = state.table(table).expect("t").shards()[0].clone();
    let (source, target) = (NodeId(2), NodeId(3));
    let kind = MoveKind::Move;
    let start = Command::StartMove { group: shard.group, source, target, kind };
    let Outcome::Move(id) = accept(&mut state, start.clone()) else { panic!("no move") };
    assert!(matches!(apply(&mut state, start), Outcome::Rejected(Rejection::GroupMoving(_))));
    let serving = |state: &State| {
        let group = state.group(shard.group).expect("group");
        (group.finalized().collect::<Vec<_>>(), group.generation)
    };
    assert_eq!(serving(&state), (vec![source], Generation(1)));
    let step = |phase, attempt, shards: &[ShardId]| Command::AdvanceMove {
        id,
        attempt,
        phase,
        shards: shards.to_vec(),
        reason: None,
    };
    let refused = |state: &mut State, command| {
        assert!(matches!(apply(state, command), Outcome::Rejected(_)));
    };
    refused(&mut state, step(MovePhase::Switched, 0, &[shard.id]));
    accept(&mut state, step(MovePhase::CatchingUp, 0, &[]));
    accept(&mut state, step(MovePhase::Switching, 0, &[]));
    // A new driver: what the old one proposes does not count any more.
    accept(&mut state, Command::ResumeMove { id });
    refused(&mut state, step(MovePhase::Switched, 0, &[shard.id]));
    assert_eq!(serving(&state), (vec![source], Generation(3)));
    accept(&mut state, step(MovePhase::CatchingUp, 1, &[]));
    accept(&mut state, step(MovePhase::Switching, 1, &[]));
    // A table was created in the group meanwhile.
    refused(&mut state, step(MovePhase::Switched, 1, &[]));
    accept(&mut state, step(MovePhase::Switched, 1, &[shard.id]));
    assert_eq!(serving(&state), (vec![target], Generation(4)));
    assert_eq!(state.group(shard.group).map(|group| group.primary), Some(target));
    accept(&mut state, step(MovePhase::Done, 1, &[]));
    let moved = &state.table(table).expect("t").shards()[0];
    assert_eq!(moved.placement_ids.len(), 1);
    assert_eq!(moved.placement_ids[0].0, target);
    assert!(moved.placement_ids[0].1 > PlacementId(32));
}

#[test]
fn a_node_with_the_only_copy_stays() {
    let mut state = cluster(2);
    create_distributed(&mut state, "companies");
    let refused = apply(&mut state, Command::RemoveNode { node: NodeId(3) });
    let Outcome::Rejected(refused) = refused else { panic!("removed") };
    let error = satsuma_common::SqlError::from(refused);
    assert_eq!(
        error.message(),
        "cannot remove or disable the node 127.0.0.1:9702 because because it contains the only \
         shard placement for shard 102009"
    );
}

#[test]
fn workers_exchange_addresses() {
    let mut state = cluster(2);
    let there = Command::AddNode {
        host: "127.0.0.1".into(),
        port: 9702,
        directory: Some("dir-9701".into()),
        should_have_shards: true,
    };
    assert_eq!(accept(&mut state, there), Outcome::Node(NodeId(2)));
    let ports: Vec<_> = state.workers().map(|node| (node.id, node.port)).collect();
    assert_eq!(ports, [(NodeId(2), 9702), (NodeId(3), 9701)]);
}

#[test]
fn a_worker_is_its_directory() {
    let mut state = cluster(1);
    let back = Command::AddNode {
        host: "10.0.0.9".into(),
        port: 7501,
        directory: Some("dir-9701".into()),
        should_have_shards: true,
    };
    assert_eq!(accept(&mut state, back), Outcome::Node(NodeId(2)));
    assert_eq!(state.node_at("10.0.0.9", 7501).map(|node| node.id), Some(NodeId(2)));
    let other = Command::AddNode {
        host: "10.0.0.9".into(),
        port: 7501,
        directory: Some("another".into()),
        should_have_shards: true,
    };
    assert!(matches!(apply(&mut state, other), Outcome::Rejected(Rejection::NodeExists(..))));
}

#[test]
fn ids_of_coordinators_are_given_once() {
    let mut state = cluster(2);
    let add = |id: u32, grpc: &str| {
        Command::AddCoordinator(CoordinatorAddress {
            node: NodeId(id),
            host: "10.0.0.1".into(),
            port: 0,
            grpc: grpc.into(),
        })
    };
    accept(&mut state, add(10, "10.0.0.1:7432"));
    let mut refusal = |command| match apply(&mut state, command) {
        Outcome::Rejected(refused) => refused,
        other => panic!("{other:?}"),
    };
    assert_eq!(refusal(add(10, "10.0.0.2:7432")), Rejection::CoordinatorExists(10));
    let taken =
        |role, id, address: &str| Rejection::AddressTaken { role, id, address: address.into() };
    let by_ten = taken(NodeRole::Coordinator, 10, "10.0.0.1:7432");
    assert_eq!(refusal(add(11, "10.0.0.1:7432")), by_ten);
    let by_worker = taken(NodeRole::Worker, 2, "127.0.0.1:9701");
    assert_eq!(refusal(add(11, "127.0.0.1:9701")), by_worker);
    assert_eq!(refusal(add(2, "10.0.0.2:7432")), Rejection::WorkersId(2));
    assert_eq!(refusal(add(9, "10.0.0.2:7432")), Rejection::IdUsed { id: 9, next: 11 });
    accept(&mut state, Command::RemoveCoordinator { node: NodeId(10) });
    assert!(matches!(apply(&mut state, add(10, "10.0.0.1:7432")), Outcome::Rejected(_)));
    accept(&mut state, add(11, "10.0.0.1:7432"));
    // Each is its data directory.
    let directory = |name: &str| Command::ChangeNode {
        node: NodeId(11),
        change: NodeChange::Directory(name.into()),
    };
    accept(&mut state, directory("first"));
    accept(&mut state, directory("first"));
    let other = apply(&mut state, directory("another"));
    assert_eq!(other, Outcome::Rejected(Rejection::OtherDirectory(11)));
}

#[test]
fn no_two_nodes_are_at_one_address() {
    let mut state = cluster(1);
    let address = |id: u32, grpc: &str| CoordinatorAddress {
        node: NodeId(id),
        host: "10.0.0.1".into(),
        port: 5432,
        grpc: grpc.into(),
    };
    accept(&mut state, Command::AddCoordinator(address(10, "10.0.0.1:7432")));
    accept(&mut state, Command::AddCoordinator(address(11, "10.0.0.2:7432")));
    let worker = state.workers().next().expect("a worker").clone();
    let at = |id, at: &str| Command::UpdateCoordinator(address(id, at));
    for (command, expected) in [
        (at(10, "10.0.0.2:7432"), "coordinator 11 is at 10.0.0.2:7432 already".to_owned()),
        (at(10, &worker.grpc()), format!("worker 2 is at {} already", worker.grpc())),
        (at(12, "10.0.0.3:7432"), "node 12 does not exist".into()),
        (at(2, "10.0.0.3:7432"), "node 2 does not exist".into()),
        (
            Command::AddNode {
                host: "10.0.0.1".into(),
                port: 7432,
                directory: None,
                should_have_shards: true,
            },
            "coordinator 10 is at 10.0.0.1:7432 already".into(),
        ),
        (
            Command::ChangeNode {
                node: worker.id,
                change: NodeChange::Address { host: "10.0.0.1".into(), port: 7432 },
            },
            "coordinator 10 is at 10.0.0.1:7432 already".into(),
        ),
        (
            Command::RemoveNode { node: NodeId(10) },
            "the node 10.0.0.1:5432 is coordinator 10".into(),
        ),
    ] {
        match apply(&mut state, command.clone()) {
            Outcome::Rejected(refused) => assert_eq!(refused.to_string(), expected),
            other => panic!("{command:?}: {other:?}"),
        }
    }
    accept(&mut state, at(10, "10.0.0.1:7432"));
    accept(&mut state, at(10, "10.0.0.3:7432"));
    // Who was given its place is elsewhere: a coordinator knows where it is.
    accept(&mut state, at(10, "10.0.0.1:7432"));
    accept(&mut state, Command::PutCoordinator(address(11, "10.0.0.1:7432")));
}

/// It does not come back by saying where it is.
#[test]
fn a_removed_coordinator_stays_removed() {
    let mut state = cluster(1);
    let put = |id| {
        Command::PutCoordinator(CoordinatorAddress {
            node: NodeId(id),
            host: "10.0.0.1".into(),
            port: 5432,
            grpc: format!("10.0.0.1:{id}"),
        })
    };
    accept(&mut state, put(1));
    accept(&mut state, put(10));
    accept(&mut state, Command::RemoveCoordinator { node: NodeId(10) });
    assert!(state.was_removed(NodeId(10)) && !state.was_removed(NodeId(11)));
    let refused = apply(&mut state, put(10));
    assert_eq!(refused, Outcome::Rejected(Rejection::CoordinatorRemoved));
}

#[test]
fn a_removed_worker_is_itself_again() {
    let mut state = cluster(2);
    let back = |node: u32, port: u16| Command::ReturnNode {
        node: NodeId(node),
        host: "127.0.0.1".into(),
        port,
        directory: "dir-9702".into(),
    };
    accept(&mut state, Command::RemoveNode { node: NodeId(3) });
    assert!(matches!(apply(&mut state, back(7, 9702)), Outcome::Rejected(_)), "an id of nobody");
    assert_eq!(accept(&mut state, back(3, 9702)), Outcome::Node(NodeId(3)));
    let node = state.node(NodeId(3)).expect("it is back");
    assert!(!node.is_active && node.should_have_shards);
    // One that is known has moved.
    assert_eq!(accept(&mut state, back(3, 9800)), Outcome::Node(NodeId(3)));
    assert_eq!(state.node(NodeId(3)).map(|node| node.port), Some(9800));
}
