//! Rows in bulk, streamed to the shards they belong to: COPY, and INSERT .. SELECT of many rows.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use datafusion::arrow::array::RecordBatch;
use futures::stream::StreamExt;
use satsuma_common::{GroupId, NodeId, SqlError, SqlResult};
use satsuma_proto::worker::LoadRequest;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::gate::Gate;
use super::route;
use super::scope::{Assignment, Scope};
use crate::catalog::Table;
use crate::txn::Transaction;

/// Batches that may wait for one worker.
const BUFFERED_BATCHES: usize = 4;

type Routed = SqlResult<(GroupId, RecordBatch)>;

/// A load into one table, with a stream to every worker that holds a part of it.
pub struct Loads {
    scope: Arc<Scope>,
    table: Arc<Table>,
    loads: BTreeMap<NodeId, Load>,
    /// Nodes that hold each group.
    nodes: BTreeMap<GroupId, Vec<NodeId>>,
}

/// One worker's part of the load.
struct Load {
    rows: mpsc::Sender<Routed>,
    outcome: JoinHandle<SqlResult<u64>>,
    /// Of several copies of a reference table, one counts.
    counts: bool,
}

impl Loads {
    /// Opens the streams.
    pub async fn start(
        txn: &mut Transaction,
        table: Arc<Table>,
        scope: &Arc<Scope>,
    ) -> SqlResult<Self> {
        let tables = BTreeMap::from([(table.id(), table.shape.version)]);
        let mut assignments: BTreeMap<NodeId, (Assignment, bool)> = BTreeMap::new();
        let mut nodes: BTreeMap<GroupId, Vec<NodeId>> = BTreeMap::new();
        for shard in table.shards() {
            let group = scope.group(shard.group)?;
            let group_ref = scope.group_ref(group, &tables)?;
            for (index, node) in group.finalized().enumerate() {
                nodes.entry(group.id).or_default().push(node);
                match assignments.get_mut(&node) {
                    Some((assignment, _)) => assignment.groups.push(group_ref.clone()),
                    None => {
                        let groups = vec![group_ref.clone()];
                        let worker = scope.worker(node)?;
                        assignments.insert(node, (Assignment { node, worker, groups }, index == 0));
                    }
                }
            }
        }
        let groups: BTreeSet<GroupId> = nodes.keys().copied().collect();
        if groups.len() > 1 {
            Gate { scope, txn: &mut *txn, table: &table }.first(&groups).await?;
        }
        let mut loads = BTreeMap::new();
        txn.writes_to(&table.shape);
        for (node, (assignment, counts)) in assignments {
            txn.touch(node, &assignment.worker);
            let (rows, receiver) = mpsc::channel::<Routed>(BUFFERED_BATCHES);
            let request = LoadRequest {
                context: scope.statement.clone(),
                table: table.id(),
                groups: assignment.groups,
            };
            let stream = futures::stream::unfold(receiver, |mut receiver| async move {
                receiver.recv().await.map(|item| (item, receiver))
            })
            .boxed();
            let worker = assignment.worker;
            let outcome = tokio::spawn(async move { worker.load(request, stream).await });
            loads.insert(node, Load { rows, outcome, counts });
        }
        Ok(Self { scope: scope.clone(), table, loads, nodes })
    }

    /// Sends a batch of the table's columns on its way.
    pub async fn send(&mut self, batch: RecordBatch) -> SqlResult<()> {
        for (group, part) in route::by_group(&self.scope.state, &self.table, batch)? {
            let nodes = self.nodes.get(&group).cloned().unwrap_or_default();
            for node in nodes {
                let sent = match self.loads.get(&node) {
                    Some(load) => load.rows.send(Ok((group, part.clone()))).await.is_ok(),
                    None => false,
                };
                if !sent {
                    return Err(self.failure(node).await);
                }
            }
        }
        Ok(())
    }

    /// A worker that stopped listening has failed: its error tells why.
    async fn failure(&mut self, node: NodeId) -> SqlError {
        match self.loads.remove(&node) {
            Some(load) => match load.outcome.await {
                Ok(Err(error)) => error,
                Ok(Ok(_)) => SqlError::internal("a worker stopped reading before the end"),
                Err(_) => SqlError::internal("a load was abandoned"),
            },
            None => SqlError::internal("a load went to a worker that takes none"),
        }
    }

    /// Ends the streams and waits for every worker; answers with the number of rows.
    pub async fn finish(mut self) -> SqlResult<u64> {
        let mut outcomes = Vec::new();
        for (_, Load { rows, outcome, counts }) in std::mem::take(&mut self.loads) {
            // Closing the channel is the end of the load.
            drop(rows);
            outcomes.push((outcome, counts));
        }
        let mut total = 0;
        let mut failure = None;
        for (outcome, counts) in outcomes {
            match outcome.await {
                Ok(Ok(count)) => total += if counts { count } else { 0 },
                Ok(Err(error)) => failure = failure.or(Some(error)),
                Err(_) => {
                    failure = failure.or_else(|| Some(SqlError::internal("a load was abandoned")));
                }
            }
        }
        match failure {
            Some(error) => Err(error),
            None => Ok(total),
        }
    }
}

impl Drop for Loads {
    /// An abandoned load must not look like a finished one to the workers.
    fn drop(&mut self) {
        for load in self.loads.values() {
            load.outcome.abort();
        }
    }
}
