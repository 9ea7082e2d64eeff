//! Shards of no table: kept as long as somebody may yet commit them.

use satsuma_common::{Generation, GroupId, NodeId, ShardId, TableId, Timestamp};
use satsuma_proto::worker::ShardStatus;

use crate::catalog::tests::*;
use crate::catalog::*;
use crate::rebalance::strays::{Strays, known_shards};

fn listed(shard: ShardId) -> ShardStatus {
    ShardStatus {
        shard,
        table: TableId(1),
        group: GroupId(1),
        rows: 0,
        bytes: 0,
        generation: Generation(1),
        defined_by: None,
        indexes: Vec::new(),
    }
}

#[test]
fn a_shard_of_no_table_goes_when_nobody_can_commit_it() {
    let mut state = cluster(2);
    let table = create_distributed(&mut state, "companies");
    let (known, node) = (known_shards(&state), NodeId(1));
    let own = state.table(table).expect("companies").shards()[0].id;
    let stray = ShardId(5_000_000);
    let there = [listed(own), listed(stray)];
    let mut strays = Strays::default();
    let at = |strays: &mut Strays, state: &State, shards: &[ShardStatus], now| {
        strays.found(state, &known, node, shards, Timestamp(now))
    };
    assert_eq!(at(&mut strays, &state, &there, 100), []);
    assert!(!strays.is_empty());
    accept(&mut state, Command::AdvanceDecisionHorizon { horizon: Timestamp(100) });
    assert_eq!(at(&mut strays, &state, &there, 200), [], "what began before 100 may have made it");
    accept(&mut state, Command::AdvanceDecisionHorizon { horizon: Timestamp(101) });
    assert_eq!(at(&mut strays, &state, &there, 300), [stray]);
    // One that has gone, or has become a table's, and comes again is a new one.
    assert_eq!(at(&mut strays, &state, &there[..1], 400), []);
    assert!(strays.is_empty());
    assert_eq!(at(&mut strays, &state, &there, 500), []);
}
