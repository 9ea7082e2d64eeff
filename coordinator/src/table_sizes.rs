//! How many rows tables have, as their workers tell: what the planner chooses by.
//!
//! Asked for when a plan needs it and the last answer is old. A worker that does not answer
//! leaves its tables' sizes as they were.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::future::join_all;
use parking_lot::Mutex;
use satsuma_common::{ShardId, TableId};
use satsuma_proto::worker::ShardAction;

use crate::catalog::State;
use crate::workers::Workers;

/// How long an answer is good for.
const FRESH: Duration = Duration::from_secs(2);
/// How long it is good for a table that it does not tell of.
const SILENT: Duration = Duration::from_millis(100);
/// How long a plan waits for the answers.
const PATIENCE: Duration = Duration::from_millis(250);

#[derive(Default)]
pub struct Sizes {
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    rows: Arc<BTreeMap<TableId, u64>>,
    asked: Option<Instant>,
}

impl Sizes {
    pub async fn table_rows(
        &self,
        workers: &Workers,
        state: &State,
        needed: &BTreeMap<TableId, u64>,
    ) -> Arc<BTreeMap<TableId, u64>> {
        {
            let mut known = self.known.lock();
            let told = needed.keys().all(|table| known.rows.contains_key(table));
            let fresh = if told { FRESH } else { SILENT };
            if known.asked.is_some_and(|asked| asked.elapsed() < fresh) {
                return known.rows.clone();
            }
            // Others plan with the old sizes meanwhile.
            known.asked = Some(Instant::now());
        }
        let counted = count(workers, state).await;
        let mut known = self.known.lock();
        let mut rows = known.rows.as_ref().clone();
        rows.extend(counted);
        rows.retain(|table, _| state.table(*table).is_some());
        known.rows = Arc::new(rows);
        known.rows.clone()
    }

    pub fn forget(&self) {
        self.known.lock().asked = None;
    }
}

/// Each shard counts once, however many copies it has.
async fn count(workers: &Workers, state: &State) -> BTreeMap<TableId, u64> {
    let answers = state.workers().map(|node| async {
        let worker = workers.client(node).ok()?;
        let reply = tokio::time::timeout(PATIENCE, worker.shards(ShardAction::List)).await;
        reply.ok()?.ok()
    });
    let mut shards: BTreeMap<ShardId, (TableId, u64)> = BTreeMap::new();
    for shard in join_all(answers).await.into_iter().flatten().flat_map(|reply| reply.shards) {
        let counted = shards.entry(shard.shard).or_insert((shard.table, 0));
        counted.1 = counted.1.max(shard.rows);
    }
    let mut rows = BTreeMap::new();
    for (table, count) in shards.into_values() {
        *rows.entry(table).or_insert(0) += count;
    }
    rows
}
