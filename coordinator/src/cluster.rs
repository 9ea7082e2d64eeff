//! What every session of a coordinator shares.

use std::sync::Arc;

use parking_lot::Mutex;
use satsuma_common::{NodeId, TxnId};
use satsuma_proto::worker::ShardAction;

use crate::catalog::Command;
use crate::executor::Executor;
use crate::keypath::Programs;
use crate::oracle::Oracle;
use crate::raft::Catalog;
use crate::sequences::Sequences;
use crate::session_list::SessionList;
use crate::system_relations::{IndexSizes, ShardSize, ShardSizes};
use crate::txn::Finishing;
use crate::workers::Workers;

/// One coordinator's services.
pub struct Cluster {
    /// This coordinator.
    pub node: NodeId,
    pub catalog: Catalog,
    pub oracle: Oracle,
    pub workers: Arc<Workers>,
    pub executor: Arc<Executor>,
    pub sequences: Arc<Sequences>,
    /// Committed transactions whose participants are being told.
    pub finishing: Finishing,
    /// What workers keep of UPDATEs by key.
    pub programs: Programs,
    pub sessions: Arc<SessionList>,
    /// Committed transactions whose participants all know: their decisions can go.
    settled: Mutex<Vec<TxnId>>,
    /// As the workers last reported them.
    sizes: Mutex<Arc<ShardSizes>>,
    index_sizes: Mutex<Arc<IndexSizes>>,
    pub started_micros: i64,
}

impl Cluster {
    pub fn new(
        node: NodeId,
        catalog: Catalog,
        oracle: Oracle,
        workers: Arc<Workers>,
        executor: Arc<Executor>,
    ) -> Self {
        let sequences = Arc::new(Sequences::new(catalog.clone()));
        Self {
            node,
            catalog,
            oracle,
            workers,
            executor,
            sequences,
            finishing: Finishing::default(),
            programs: Programs::default(),
            sessions: Arc::default(),
            settled: Mutex::default(),
            sizes: Mutex::default(),
            index_sizes: Mutex::default(),
            started_micros: crate::clock::now_micros(),
        }
    }

    pub fn sizes(&self) -> Arc<ShardSizes> {
        self.sizes.lock().clone()
    }

    pub fn index_sizes(&self) -> Arc<IndexSizes> {
        self.index_sizes.lock().clone()
    }

    /// Asks every worker for its shards' sizes. One that does not answer keeps its last ones.
    pub async fn refresh_sizes(&self) {
        let mut sizes = ShardSizes::clone(&self.sizes());
        let mut index_sizes = IndexSizes::clone(&self.index_sizes());
        for node in self.catalog.snapshot().workers().filter(|node| node.is_active) {
            let Ok(worker) = self.workers.client(node) else { continue };
            let Ok(reply) = worker.shards(ShardAction::List).await else { continue };
            sizes.retain(|(_, at), _| *at != node.id);
            index_sizes.retain(|(_, at), _| *at != node.id);
            for shard in reply.shards {
                let size = ShardSize { rows: shard.rows, bytes: shard.bytes };
                sizes.insert((shard.shard, node.id), size);
                for (index, bytes) in shard.indexes {
                    *index_sizes.entry((index, node.id)).or_default() += bytes;
                }
            }
        }
        *self.sizes.lock() = Arc::new(sizes);
        *self.index_sizes.lock() = Arc::new(index_sizes);
    }

    /// The decision on this transaction is not needed any more. It goes with the next
    /// [`Self::forget_settled`].
    pub fn forget_decision(&self, txn: TxnId) {
        self.settled.lock().push(txn);
    }

    /// Takes settled decisions out of the catalog; called now and then.
    pub async fn forget_settled(&self) {
        let txns = std::mem::take(&mut *self.settled.lock());
        if txns.is_empty() {
            return;
        }
        if let Err(error) = self.catalog.propose(Command::ForgetDecisions { txns }).await {
            // They stay in the log, which costs some bytes and nothing else.
            tracing::debug!(%error, "settled decisions were not forgotten");
        }
    }
}
