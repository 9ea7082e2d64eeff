//! Shards that a worker has and the catalog does not: those of a transaction that may yet commit, or
//! what one that did not, or a DROP that did not reach the worker, left behind.
//!
//! A shard is made before its transaction is decided, and nothing that began before the catalog's
//! decision horizon can be committed any more. What was there before the horizon, and is unknown
//! still, is nobody's.

use std::collections::{BTreeMap, BTreeSet};

use satsuma_common::{NodeId, ShardId, Timestamp};
use satsuma_proto::worker::ShardStatus;

use crate::catalog::State;

/// Unknown shards, and when they were first seen.
#[derive(Debug, Default)]
pub struct Strays(BTreeMap<(NodeId, ShardId), Timestamp>);

impl Strays {
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn clear(&mut self) {
        self.0.clear();
    }

    /// Takes note of the unknown shards that a worker had before `now`; answers with those that
    /// nobody can need. `state` is not older than what the worker had.
    pub fn found(
        &mut self,
        state: &State,
        known: &BTreeSet<ShardId>,
        node: NodeId,
        shards: &[ShardStatus],
        now: Timestamp,
    ) -> Vec<ShardId> {
        let unknown: BTreeSet<ShardId> =
            shards.iter().map(|shard| shard.shard).filter(|shard| !known.contains(shard)).collect();
        self.0.retain(|(at, shard), _| *at != node || unknown.contains(shard));
        let horizon = state.decisions().horizon();
        let seen = |shard: &ShardId| *self.0.entry((node, *shard)).or_insert(now) < horizon;
        unknown.into_iter().filter(seen).collect()
    }
}

/// All shards of all tables.
pub fn known_shards(state: &State) -> BTreeSet<ShardId> {
    state.tables().flat_map(|table| table.shards()).map(|shard| shard.id).collect()
}
