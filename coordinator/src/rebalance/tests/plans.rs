//! Plans: that nodes come out even with few moves, at any scale.

use std::collections::BTreeMap;

use satsuma_common::{ColumnId, GroupId, NodeId};

use crate::catalog::tests::*;
use crate::catalog::*;
use crate::rebalance::{Strategy, Wanted, plan};
use crate::system_relations::ShardSizes;

fn wanted(strategy: Strategy) -> Wanted {
    Wanted {
        strategy,
        colocation: None,
        most_moves: usize::MAX,
        excluded: Default::default(),
        drain_only: false,
    }
}

fn counts(state: &State, moves: &[crate::rebalance::Planned]) -> BTreeMap<NodeId, usize> {
    let mut place: BTreeMap<_, _> = state
        .groups()
        .filter(|group| group.colocation != LOCAL_COLOCATION)
        .map(|group| (group.id, group.primary))
        .collect();
    for one in moves {
        assert_eq!(place.insert(one.group, one.target), Some(one.source));
    }
    let mut counts = BTreeMap::new();
    for node in place.into_values() {
        *counts.entry(node).or_default() += 1;
    }
    counts
}

#[test]
fn two_workers_become_four() {
    for strategy in [Strategy::BY_SHARD_COUNT, Strategy::BY_DISK_SIZE] {
        let mut state = cluster(2);
        create_distributed(&mut state, "companies");
        create_distributed(&mut state, "campaigns");
        join(&mut state, 9703);
        join(&mut state, 9704);
        let moves = plan(&state, &ShardSizes::default(), &wanted(strategy));
        // As Citus: sixteen groups move, each with the tables that are in it.
        assert_eq!(moves.len(), 16, "{}", strategy.name);
        assert!(counts(&state, &moves).values().all(|count| *count == 8));
        let few = Wanted { most_moves: 3, ..wanted(strategy) };
        assert_eq!(plan(&state, &ShardSizes::default(), &few).len(), 3);
    }
}

#[test]
fn a_balanced_cluster_stays() {
    let mut state = cluster(4);
    create_distributed(&mut state, "companies");
    assert!(plan(&state, &ShardSizes::default(), &wanted(Strategy::BY_DISK_SIZE)).is_empty());
}

#[test]
fn a_node_that_should_have_none_is_emptied() {
    let mut state = cluster(3);
    create_distributed(&mut state, "companies");
    let node = NodeId(3);
    accept(&mut state, Command::ChangeNode { node, change: NodeChange::ShouldHaveShards(false) });
    let drain = Wanted { drain_only: true, ..wanted(Strategy::BY_SHARD_COUNT) };
    let moves = plan(&state, &ShardSizes::default(), &drain);
    let after = counts(&state, &moves);
    assert_eq!(after.get(&node), None);
    assert_eq!(after.values().sum::<usize>(), 32);
}

#[test]
fn large_groups_weigh_more() {
    let mut state = cluster(2);
    let table = create_distributed(&mut state, "companies");
    let mut sizes = ShardSizes::default();
    let table = state.table(table).expect("companies");
    for (number, (shard, group)) in state.shards_of(table).enumerate() {
        let bytes = if number == 0 { 10 << 30 } else { 0 };
        let size = crate::system_relations::ShardSize { rows: 0, bytes };
        sizes.insert((shard.id, group.primary), size);
    }
    let moves = plan(&state, &sizes, &wanted(Strategy::BY_DISK_SIZE));
    // The large one stays, the others leave it alone.
    assert_eq!(moves.len(), 15);
    assert!(moves.iter().all(|one| one.source == NodeId(2)));
}

#[test]
fn a_thousand_nodes_and_a_hundred_thousand_shards() {
    let mut state = cluster(0);
    for port in 0..900 {
        join_unchecked(&mut state, 10_000 + port);
    }
    let hash = TableDistribution::Hash(ColumnId(1));
    let table = create_local(&mut state, "big");
    let wide = DistributionRequest { shard_count: 100_000, ..request(hash, ColocateWith::None) };
    distribute(&mut state, table, &wide);
    for port in 900..1000 {
        join_unchecked(&mut state, 10_000 + port);
    }
    let started = std::time::Instant::now();
    let moves = plan(&state, &ShardSizes::default(), &wanted(Strategy::BY_SHARD_COUNT));
    let took = started.elapsed();
    // What the new nodes shall have, and not one more.
    assert_eq!(moves.len(), 10_000);
    let after = counts(&state, &moves);
    assert_eq!((after.values().min(), after.values().max()), (Some(&100), Some(&100)));
    eprintln!("{} moves planned in {took:.2?}", moves.len());
    assert!(took.as_secs() < 20, "planning took {took:?}");
}

/// Groups of very different sizes: nodes come out within the threshold, and hardly more is moved
/// than has to be.
#[test]
fn a_thousand_nodes_with_groups_of_all_sizes() {
    let mut state = cluster(0);
    for port in 0..900 {
        join_unchecked(&mut state, 10_000 + port);
    }
    let hash = TableDistribution::Hash(ColumnId(1));
    let table = create_local(&mut state, "big");
    let wide = DistributionRequest { shard_count: 100_000, ..request(hash, ColocateWith::None) };
    distribute(&mut state, table, &wide);
    for port in 900..1000 {
        join_unchecked(&mut state, 10_000 + port);
    }
    let mut sizes = ShardSizes::default();
    let mut random = 1u64;
    let mut costs: BTreeMap<GroupId, u64> = BTreeMap::new();
    for (shard, group) in state.shards_of(state.table(table).expect("big")) {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        // A few are thousands of times as large as most.
        let bytes = (4096 / (1 + (random >> 40) % 4096)) << 20;
        let size = crate::system_relations::ShardSize { rows: 0, bytes };
        sizes.insert((shard.id, group.primary), size);
        costs.insert(group.id, bytes + (100 << 20));
    }
    let started = std::time::Instant::now();
    let moves = plan(&state, &sizes, &wanted(Strategy::BY_DISK_SIZE));
    let took = started.elapsed();
    let mut loads: BTreeMap<NodeId, u64> = state.workers().map(|node| (node.id, 0)).collect();
    for group in state.groups().filter(|group| group.colocation != LOCAL_COLOCATION) {
        *loads.entry(group.primary).or_default() += costs[&group.id];
    }
    let average = loads.values().sum::<u64>() / 1000;
    // What is above the threshold must go, and what is below it must come.
    let (low, high) = (average / 10 * 9, average / 10 * 11);
    let above: u64 = loads.values().map(|load| load.saturating_sub(high)).sum();
    let below: u64 = loads.values().map(|load| low.saturating_sub(*load)).sum();
    let moved: u64 = moves.iter().map(|one| costs[&one.group]).sum();
    for one in &moves {
        *loads.entry(one.source).or_default() -= costs[&one.group];
        *loads.entry(one.target).or_default() += costs[&one.group];
    }
    let least = above.max(below);
    let (min, max) = (loads.values().min(), loads.values().max());
    eprintln!(
        "{} moves of {} GiB planned in {took:.2?}; {} GiB are the least; loads {:.3} to {:.3} of the average",
        moves.len(),
        moved >> 30,
        least >> 30,
        *min.expect("nodes") as f64 / average as f64,
        *max.expect("nodes") as f64 / average as f64,
    );
    assert!(loads.values().all(|load| *load >= low && *load <= high), "{min:?} to {max:?}");
    assert!(moved <= least + least / 10, "{moved} bytes instead of {least}");
    assert!(took.as_secs() < 60, "planning took {took:?}");
}
