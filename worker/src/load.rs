//! Bulk insertion: batches as they come, each checked and written before the next is taken.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::RecordBatch;
use futures::StreamExt;
use futures::stream::BoxStream;
use satsuma_common::{GroupId, SqlResult};
use satsuma_proto::worker::LoadRequest;
use satsuma_storage::ConflictPolicy;

use crate::error::malformed;
use crate::local::Shared;
use crate::modify::{Writer, check_columns};

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
        let mode = satsuma_storage::RowLockMode::SHARD_SHARED;
        let locked = shared.engine.lock_shard(&write, target.shard, mode, wait).await;
        locked.map_err(crate::error::storage)?;
    }
    request.groups.iter().try_for_each(|group| shared.placements.still(group))?;
    let mut writer = Writer::new(&shared, &request.context);
    let mut count = 0;
    while let Some(item) = rows.next().await {
        let (group, batch) = item?;
        let target = targets
            .get(&group)
            .ok_or_else(|| malformed(format!("rows for {group}, which the load does not name")))?;
        check_columns(&target.meta.shape, &batch, 0)?;
        let inserted = writer.insert(target, &batch, ConflictPolicy::Fail).await?;
        count += inserted.rows.len() as u64;
        // Long loads share the threads with queries.
        tokio::task::yield_now().await;
    }
    writer.finish().await?;
    Ok(count)
}
