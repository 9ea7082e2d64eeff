//! Bulk insertion: batches as they come, each checked before it goes to the engine, which makes
//! segments of what is much.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::RecordBatch;
use futures::StreamExt;
use futures::stream::BoxStream;
use satsuma_common::{GroupId, SqlError, SqlResult};
use satsuma_proto::worker::LoadRequest;
use satsuma_storage::{BulkError, StorageError};

use crate::error::{self, malformed};
use crate::local::Shared;
use crate::modify::{Writer, at_line, check_columns, named, write_context};
use crate::placement::PlacedTable;

pub(crate) async fn load(
    shared: Arc<Shared>,
    request: LoadRequest,
    mut rows: BoxStream<'static, SqlResult<(GroupId, RecordBatch)>>,
) -> SqlResult<u64> {
    let _at_work = shared.busy.enter(request.context.txn);
    shared.begin(&request.context)?;
    let mut targets = BTreeMap::new();
    for group in &request.groups {
        let placed = shared.placements.group(group)?;
        targets.insert(placed.group, placed.table(request.table)?.clone());
    }
    // Before the first row, which the sender cannot send twice: the groups stay where they are.
    let write = crate::modify::write_context(&request.context);
    let wait = satsuma_storage::LockWait::Wait(request.context.lock_timeout);
    for target in targets.values() {
        let mode = satsuma_storage::TableLockMode::RowExclusive;
        let locked = shared.engine.lock_shard(&write, target.shard, mode, wait).await;
        locked.map_err(crate::error::storage)?;
    }
    request.groups.iter().try_for_each(|group| shared.placements.still(group))?;
    let mut writer = Writer::new(&shared, &request.context);
    let mut load = shared.engine.bulk_load(write_context(&request.context));
    while let Some(item) = rows.next().await {
        let (group, batch) = item?;
        let target = targets
            .get(&group)
            .ok_or_else(|| malformed(format!("rows for {group}, which the load does not name")))?;
        check_columns(&target.meta.shape, &batch, 0)?;
        writer.admit(target, &batch)?;
        load.add(target.shard, &batch)
            .await
            .map_err(|failure| blamed(targets.values(), failure))?;
        // Long loads share the threads with queries.
        tokio::task::yield_now().await;
    }
    let count = load.finish().await.map_err(|failure| blamed(targets.values(), failure))?;
    writer.finish().await?;
    Ok(count)
}

/// The error with the names of the table, and the values of the row that is to blame.
pub(crate) fn blamed<'a>(
    targets: impl IntoIterator<Item = &'a PlacedTable>,
    failure: BulkError,
) -> SqlError {
    let BulkError { error, row } = failure;
    let (StorageError::UniqueViolation { shard, index, key, .. }, Some((_, row))) = (&error, &row)
    else {
        return error::storage(error);
    };
    match targets.into_iter().find(|target| target.shard == *shard) {
        Some(target) => {
            let (shard, index, key) = (*shard, *index, key.clone());
            let violation = StorageError::UniqueViolation { shard, index, row: 0, key };
            at_line(&target.meta, row, 0, named(&target.meta, row, violation))
        }
        None => error::storage(error),
    }
}
