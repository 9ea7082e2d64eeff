//! `satsuma_backup()`: the whole cluster at one snapshot, as a stream of parts.
//!
//! ```text
//! snapshot   8 bytes: the moment
//! catalog    the catalog, which is at that moment or later
//! group 17   chunks, in their order; groups follow each other
//! end        one row: the backup is whole
//! ```

use std::sync::Arc;
use std::time::Duration;

use datafusion::arrow::array::RecordBatch;
use futures::stream::{self, BoxStream, StreamExt, TryStreamExt};
use satsuma_common::{Datum, GroupId, MoveId, PgType, ShardId, SqlError, SqlResult, Timestamp};
use satsuma_proto::copy::{CopyAction, CopyReply, CopyRequest};
use satsuma_proto::worker::Worker;
use satsuma_sql::bound::OutputColumn;

use super::ClusterSession;
use super::calls::{batch_of, column};
use crate::cluster::Cluster;
use crate::executor::is_stale;
use crate::raft;
use crate::session_api::{Execution, Rows};

/// How long to look for a group that is on the move.
const PATIENCE: Duration = Duration::from_secs(30);

pub fn columns() -> Vec<OutputColumn> {
    vec![column("part", PgType::Text), column("chunk", PgType::Bytea)]
}

type Part = (String, Vec<u8>);

pub async fn backup(session: &ClusterSession) -> SqlResult<Execution> {
    let cluster = session.cluster.clone();
    session.require_superuser("satsuma_backup")?;
    // The catalog after the moment: sequences are past every value that the rows have.
    let snapshot = cluster.oracle.timestamp().await?;
    let state = cluster.catalog.read().await?;
    let internal = |error: raft::RaftError| SqlError::internal(error.to_string());
    let catalog = raft::backup::export(&state).map_err(internal)?;
    let groups: Vec<GroupId> = state.groups().map(|group| group.id).collect();
    let first: Vec<SqlResult<Part>> = vec![
        Ok(("snapshot".into(), snapshot.0.to_le_bytes().to_vec())),
        Ok(("catalog".into(), catalog)),
    ];
    let chunks = stream::iter(groups).flat_map(move |group| {
        let cluster = cluster.clone();
        stream::once(async move { group_parts(cluster, group, snapshot).await }).try_flatten()
    });
    let last: Vec<SqlResult<Part>> = vec![Ok(("end".into(), Vec::new()))];
    let columns: Arc<[OutputColumn]> = columns().into();
    let shown = columns.clone();
    let stream = stream::iter(first)
        .chain(chunks)
        .chain(stream::iter(last))
        .map(move |part| part.and_then(|part| row(&shown, part)))
        .boxed();
    Ok(Execution::Rows(Rows { columns, stream, tag: "SELECT" }))
}

fn row(columns: &[OutputColumn], (part, chunk): Part) -> SqlResult<RecordBatch> {
    batch_of(columns, &[vec![Datum::Text(part), Datum::Bytea(chunk)]])
}

/// The chunks of a group, from the worker that has it.
async fn group_parts(
    cluster: Arc<Cluster>,
    group: GroupId,
    snapshot: Timestamp,
) -> SqlResult<BoxStream<'static, SqlResult<Part>>> {
    let started = std::time::Instant::now();
    let worker = loop {
        match open(&cluster, group, snapshot).await {
            Ok(Some(worker)) => break worker,
            // Its tables were dropped after the snapshot.
            Ok(None) => return Ok(stream::empty().boxed()),
            Err(error) if is_stale(&error) && started.elapsed() < PATIENCE => {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            Err(error) => return Err(error),
        }
    };
    let name = format!("group {}", group.0);
    let chunks = stream::try_unfold(worker, move |worker| {
        let name = name.clone();
        async move {
            let reply = ask(worker.as_ref(), group, snapshot, CopyAction::Next).await?;
            let part = (name, reply.chunk.to_vec());
            Ok((!reply.chunk.is_empty()).then_some((part, worker)))
        }
    });
    Ok(chunks.boxed())
}

async fn open(
    cluster: &Cluster,
    group: GroupId,
    snapshot: Timestamp,
) -> SqlResult<Option<Arc<dyn Worker>>> {
    let state = cluster.catalog.read().await?;
    let Some(known) = state.group(group) else { return Ok(None) };
    let node = state.node(known.primary);
    let node = node.ok_or_else(|| SqlError::internal("a group without a node"))?;
    let worker = cluster.workers.any_client(node)?;
    let opened = ask(worker.as_ref(), group, snapshot, CopyAction::Snapshot { snapshot }).await?;
    let has = |shard: &ShardId| opened.shards.contains(shard);
    if !state.shards_in(group).iter().all(has) {
        return Err(SqlError::new(
            satsuma_proto::worker::STALE_PLACEMENT,
            format!("shard group {} is not where it was", group.0),
        ));
    }
    Ok(Some(worker))
}

async fn ask(
    worker: &dyn Worker,
    group: GroupId,
    snapshot: Timestamp,
    action: CopyAction,
) -> SqlResult<CopyReply> {
    // The moment tells one backup from another.
    let movement = MoveId(snapshot.0);
    worker.copy(CopyRequest { group, movement, attempt: 0, action }).await
}
