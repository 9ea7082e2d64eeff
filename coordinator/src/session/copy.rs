//! COPY FROM: rows from the client, completed with defaults, streamed to the shards they belong
//! to.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use datafusion::arrow::array::RecordBatch;
use futures::stream::StreamExt;
use satsuma_common::{GroupId, NodeId, SqlError, SqlResult};
use satsuma_proto::worker::{LoadRequest, LockRequest, LockTarget, LockWait, ShardLockMode};
use satsuma_sql::bound::{BoundCopyFrom, OutputColumn};
use satsuma_sql::engine_error::arrow_to_sql;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::ClusterSession;
use crate::catalog::Table;
use crate::executor::modify::nullable;
use crate::executor::{Assignment, Executor, Scope, route};
use crate::session_api::{CopyIn, CopySink, Execution};

/// Batches that may wait for one worker.
const BUFFERED_BATCHES: usize = 4;

type Routed = SqlResult<(GroupId, RecordBatch)>;

/// One worker's part of the load.
struct Load {
    rows: mpsc::Sender<Routed>,
    outcome: JoinHandle<SqlResult<u64>>,
    /// Of several copies of a reference table, one counts.
    counts: bool,
}

struct LoadSink {
    executor: Arc<Executor>,
    scope: Arc<Scope>,
    table: Arc<Table>,
    complete: Completion,
    loads: BTreeMap<NodeId, Load>,
    /// Nodes that hold each group.
    nodes: BTreeMap<GroupId, Vec<NodeId>>,
}

/// How the file's columns become the table's.
enum Completion {
    /// They are the table's, in order.
    AsIs,
    Plan(Box<satsuma_sql::bound::BoundCopyFrom>),
}

pub(super) async fn copy_from(
    session: &mut ClusterSession,
    copy: &BoundCopyFrom,
    scope: &Arc<Scope>,
) -> SqlResult<Execution> {
    let shape = &copy.table.shape;
    let table = scope
        .state
        .table_arc(shape.table)
        .ok_or_else(|| SqlError::internal(format!("table {} is gone", shape.table)))?;
    let columns: Vec<OutputColumn> = copy
        .columns
        .iter()
        .filter_map(|id| shape.column(*id))
        .map(|column| OutputColumn {
            name: column.name.clone(),
            ty: column.ty.clone(),
            origin: Some((shape.table, column.id)),
        })
        .collect();
    let is_whole = copy.columns.len() == shape.columns.len()
        && copy.columns.iter().zip(&shape.columns).all(|(id, column)| *id == column.id)
        && copy.table.generated.iter().all(Option::is_none);
    let complete =
        if is_whole { Completion::AsIs } else { Completion::Plan(Box::new(copy.clone())) };
    stay(session, &table, scope).await?;
    let (loads, nodes) = start_loads(session, &table, scope)?;
    let executor = session.cluster.executor.clone();
    let sink = LoadSink { executor, scope: scope.clone(), table, complete, loads, nodes };
    Ok(Execution::CopyIn(CopyIn {
        table: shape.name.clone(),
        columns: columns.into(),
        options: copy.options.clone(),
        sink: Box::new(sink),
    }))
}

/// Keeps the table's shard groups where they are until the transaction ends: the client's rows
/// cannot be asked for a second time.
async fn stay(session: &mut ClusterSession, table: &Table, scope: &Arc<Scope>) -> SqlResult<()> {
    let tables = BTreeMap::from([(table.id(), table.shape.version)]);
    let txn =
        session.txn.as_mut().ok_or_else(|| SqlError::internal("a load without a transaction"))?;
    let mut locks = Vec::new();
    for shard in table.shards() {
        let group = scope.group(shard.group)?;
        let group_ref = scope.group_ref(group, &tables)?;
        for node in group.finalized() {
            let worker = scope.worker(node)?;
            txn.touch(node, &worker);
            let request = LockRequest {
                context: scope.statement.clone(),
                group: group_ref.clone(),
                table: table.id(),
                target: LockTarget::Shard(ShardLockMode::Shared),
                wait: LockWait::Wait,
            };
            locks.push(async move { worker.lock(request).await });
        }
    }
    let answers = futures::future::join_all(locks).await;
    answers.into_iter().try_for_each(|answer| answer.map(drop))
}

/// Opens a stream to every worker that holds a part of the table.
fn start_loads(
    session: &mut ClusterSession,
    table: &Table,
    scope: &Arc<Scope>,
) -> SqlResult<(BTreeMap<NodeId, Load>, BTreeMap<GroupId, Vec<NodeId>>)> {
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
    let txn =
        session.txn.as_mut().ok_or_else(|| SqlError::internal("a load without a transaction"))?;
    let mut loads = BTreeMap::new();
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
    Ok((loads, nodes))
}

impl LoadSink {
    async fn completed(&self, batch: RecordBatch) -> SqlResult<Vec<RecordBatch>> {
        let schema = nullable(&self.table.shape.arrow_schema());
        let batches = match &self.complete {
            Completion::AsIs => vec![batch],
            Completion::Plan(copy) => {
                self.executor.run_over_input(&copy.complete, vec![batch]).await?
            }
        };
        batches
            .into_iter()
            .map(|batch| {
                RecordBatch::try_new(schema.clone(), batch.columns().to_vec()).map_err(arrow_to_sql)
            })
            .collect()
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
}

#[async_trait]
impl CopySink for LoadSink {
    async fn write(&mut self, batch: RecordBatch, _first_line: u64) -> SqlResult<()> {
        for batch in self.completed(batch).await? {
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
        }
        Ok(())
    }

    async fn finish(mut self: Box<Self>) -> SqlResult<u64> {
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
            Some(error) => Err(crate::executor::for_client(error)),
            None => Ok(total),
        }
    }
}

impl Drop for LoadSink {
    /// An abandoned COPY must not look like a finished one to the workers.
    fn drop(&mut self) {
        for load in self.loads.values() {
            load.outcome.abort();
        }
    }
}
