//! Changing rows: from a request to storage, through every constraint.
//!
//! ```text
//! rows (sent, or a fragment's) ──▶ NOT NULL, CHECK ──▶ storage, PRIMARY KEY ──▶ rows returned
//!                                                        └▶ FOREIGN KEY, when all rows are in
//! ```
//!
//! A failed statement's writes stay in the transaction until its coordinator undoes them: it may
//! have reached other groups and workers.

pub(crate) mod condition;
mod constraints;
mod deferred;
mod foreign_keys;
mod keyed;
mod on_conflict;
mod program;
mod rows;
mod writer;

use std::sync::Arc;

use arrow::array::{AsArray, BinaryArray, RecordBatch};
use futures::StreamExt;
use satsuma_common::{SqlError, SqlResult, SqlState, Timestamp, TxnId};
use satsuma_proto::worker::{
    BatchStream, CHANGED_SINCE_SNAPSHOT, Change, ModifyReply, ModifyRequest, OnConflict, RowSource,
    STALE_PLACEMENT, StatementContext, UNKNOWN_PROGRAM,
};
use satsuma_storage::{ConflictPolicy, StorageError};
use tokio_util::sync::CancellationToken;

use crate::error;
use crate::local::{Shared, is_small, within};
use crate::placement::{PlacedGroup, PlacedTable};

pub(crate) use constraints::{CheckCache, at_line, duplicates, named};
pub(crate) use deferred::Deferred;
pub(crate) use keyed::read;
pub(crate) use program::Programs;
pub(crate) use rows::check_columns;
pub(crate) use writer::{Writer, write_context};

/// What the rows of one group may take in memory: a statement loads into many at a time.
const GROUP_BUFFER_BYTES: usize = 8 << 20;

/// Carries out the request, and commits when it says so. Neither `stop` nor the statement's timeout
/// reach a commit.
pub(crate) async fn modify(
    shared: Arc<Shared>,
    request: ModifyRequest,
    stop: CancellationToken,
) -> SqlResult<ModifyReply> {
    let (context, commit) = (request.context.clone(), request.commit);
    // A caller that goes away before the commit leaves nothing behind.
    let mut undo = AbortOnDrop { shared: shared.clone(), txn: commit.then_some(context.txn) };
    let work = within(context.timeout, async {
        let reply = change_where_it_fits(&shared, request).await?;
        if commit {
            shared.deferred.finish(&shared, context.txn).await?;
        }
        Ok(reply)
    });
    let changed = tokio::select! {
        biased;
        changed = work => changed,
        () = stop.cancelled() => Err(SqlError::new(
            SqlState::QUERY_CANCELED,
            "canceling statement due to user request",
        )),
    };
    if undo.txn.take().is_none() {
        return changed;
    }
    let txn = context.txn;
    match changed {
        Ok(mut reply) => {
            let at_least = Timestamp(context.snapshot.0.saturating_add(1));
            reply.commit_ts = match shared.engine.commit(txn, at_least).await {
                Ok(at) => Some(at),
                // No row was touched.
                Err(StorageError::NoSuchTransaction(_)) => Some(context.snapshot),
                Err(error) => return Err(error::storage(error)),
            };
            Ok(reply)
        }
        Err(error)
            if matches!(
                error.state(),
                CHANGED_SINCE_SNAPSHOT | STALE_PLACEMENT | UNKNOWN_PROGRAM
            ) =>
        {
            // The next attempt goes on under the locks of this one, or goes elsewhere; the
            // coordinator tells how the transaction ends either way.
            shared.engine.undo_statement(txn, context.statement).map_err(error::storage)?;
            Err(error)
        }
        Err(error) => {
            abort(&shared, txn).await.map_err(error::storage)?;
            Err(error)
        }
    }
}

/// On the caller's thread when it is quick.
async fn change_where_it_fits(
    shared: &Arc<Shared>,
    request: ModifyRequest,
) -> SqlResult<ModifyReply> {
    if is_small(&request.change) {
        return change(shared, request).await;
    }
    let on_cpu = shared.clone();
    shared.on_cpu(async move { change(&on_cpu, request).await }).await
}

/// A statement that was stopped may be at work for a moment more.
async fn abort(shared: &Shared, txn: TxnId) -> Result<(), StorageError> {
    shared.busy.idle(txn).await;
    shared.deferred.forget(txn);
    shared.engine.abort(txn).await
}

struct AbortOnDrop {
    shared: Arc<Shared>,
    txn: Option<TxnId>,
}

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        let Some(txn) = self.txn else { return };
        let shared = self.shared.clone();
        if let Ok(runtime) = self.shared.queries.handle() {
            runtime.spawn(async move {
                if let Err(error) = abort(&shared, txn).await {
                    tracing::error!(%txn, %error, "abort of a cancelled statement failed");
                }
            });
        }
    }
}

async fn change(shared: &Arc<Shared>, request: ModifyRequest) -> SqlResult<ModifyReply> {
    let _at_work = shared.busy.enter(request.context.txn);
    shared.begin(&request.context)?;
    let group = shared.placements.group(&request.group)?;
    let target = group.table(request.table)?.clone();
    let mut statement = Statement {
        shared,
        context: &request.context,
        group: &group,
        target: &target,
        returning: request.returning,
        writer: Writer::new(shared, &request.context),
        reply: ModifyReply::default(),
    };
    statement.writer.ends_transaction = request.commit;
    // Who reads before it writes sees the rows of a moment at which nobody kept it out; and the
    // next attempt need not wait.
    if reads_first(&request.change) && statement.writer.enter(&target).await? {
        return Err(error::stale("the table was locked"));
    }
    if request.in_turn {
        crate::locks::in_turn(shared, &request.context, target.shard).await?;
    }
    match request.change {
        Change::Insert { rows, on_conflict } => statement.insert(rows, on_conflict).await?,
        Change::Update { rows } => statement.update(rows).await?,
        Change::Delete { rows } => statement.delete(rows).await?,
        Change::MoveOut { rows } => statement.move_out(rows).await?,
        Change::Truncate => statement.writer.truncate(&target).await?,
    }
    statement.writer.finish().await?;
    // From now on the transaction's locks keep the group where it is.
    shared.placements.still(&request.group)?;
    Ok(statement.reply)
}

/// Whether the rows of the change are found by reading the shards.
fn reads_first(change: &Change) -> bool {
    match change {
        Change::Insert { rows, .. }
        | Change::Update { rows }
        | Change::Delete { rows }
        | Change::MoveOut { rows } => matches!(rows, RowSource::Fragment(_)),
        Change::Truncate => false,
    }
}

struct Statement<'a> {
    shared: &'a Arc<Shared>,
    context: &'a StatementContext,
    group: &'a PlacedGroup,
    target: &'a PlacedTable,
    returning: bool,
    writer: Writer<'a>,
    reply: ModifyReply,
}

impl Statement<'_> {
    async fn source(&self, rows: RowSource) -> SqlResult<BatchStream> {
        match rows {
            RowSource::Batches(batches) => {
                Ok(futures::stream::iter(batches.into_iter().map(Ok)).boxed())
            }
            RowSource::Fragment(fragment) => {
                let groups = vec![self.group.clone()];
                self.shared.run_fragment(self.context, &fragment, groups, None).await
            }
            RowSource::Encoded(_) | RowSource::Keyed(_) => {
                Err(error::malformed("rows come in a form that this change does not take"))
            }
        }
    }

    async fn insert(&mut self, rows: RowSource, on_conflict: OnConflict) -> SqlResult<()> {
        match rows {
            RowSource::Encoded(rows) => self.insert_encoded(rows, on_conflict).await,
            // May be any number of rows.
            rows @ RowSource::Fragment(_)
                if matches!(on_conflict, OnConflict::Fail) && !self.returning =>
            {
                self.load_rows(rows).await
            }
            rows => self.insert_rows(rows, on_conflict).await,
        }
    }

    /// Many rows become segments at once, few go the way of all others.
    async fn load_rows(&mut self, rows: RowSource) -> SqlResult<()> {
        let mut source = self.source(rows).await?;
        let mut load = self.shared.engine.bulk_load(write_context(self.context));
        load.hold_at_most(GROUP_BUFFER_BYTES);
        let blamed = |failure| crate::load::blamed([self.target], failure);
        while let Some(batch) = source.next().await {
            let batch = batch?;
            check_columns(&self.target.meta.shape, &batch, 0)?;
            self.writer.admit(self.target, &batch)?;
            load.add(self.target.shard, &batch).await.map_err(blamed)?;
            // Sorting and encoding hold the thread for long: others have their turn.
            tokio::task::yield_now().await;
        }
        self.reply.count += load.finish().await.map_err(blamed)?;
        Ok(())
    }

    async fn insert_rows(&mut self, rows: RowSource, on_conflict: OnConflict) -> SqlResult<()> {
        let policy = match &on_conflict {
            OnConflict::Fail => ConflictPolicy::Fail,
            OnConflict::DoNothing { .. } => ConflictPolicy::Skip,
            OnConflict::DoUpdate { .. } => ConflictPolicy::Report,
        };
        let updater = match &on_conflict {
            OnConflict::DoUpdate { fragment, .. } => Some(
                on_conflict::Updater::new(self.shared, self.context, self.group, fragment).await?,
            ),
            OnConflict::Fail | OnConflict::DoNothing { .. } => None,
        };
        let mut source = self.source(rows).await?;
        while let Some(batch) = source.next().await {
            let batch = batch?;
            check_columns(&self.target.meta.shape, &batch, 0)?;
            // Each row meets what the one before it has done.
            let step = if updater.is_some() { 1 } else { batch.num_rows().max(1) };
            for at in (0..batch.num_rows()).step_by(step) {
                let rows = batch.slice(at, step.min(batch.num_rows() - at));
                self.insert_batch(&rows, policy, &on_conflict, updater.as_ref()).await?;
            }
        }
        Ok(())
    }

    async fn insert_batch(
        &mut self,
        batch: &RecordBatch,
        policy: ConflictPolicy,
        on_conflict: &OnConflict,
        updater: Option<&on_conflict::Updater>,
    ) -> SqlResult<()> {
        let arbiters = on_conflict.arbiters();
        let inserted = self.writer.insert_unless(self.target, batch, policy, arbiters).await?;
        self.reply.count += inserted.rows.len() as u64;
        self.returned(batch, &inserted.rows)?;
        match updater {
            Some(updater) => self.update_conflicts(updater, batch, &inserted.conflicts).await,
            None => Ok(()),
        }
    }

    async fn update_conflicts(
        &mut self,
        updater: &on_conflict::Updater,
        batch: &RecordBatch,
        conflicts: &[satsuma_storage::Conflict],
    ) -> SqlResult<()> {
        for conflict in conflicts {
            let Some(row) = updater.new_row(self.target, batch, conflict).await? else { continue };
            let keys = BinaryArray::from_iter_values([&conflict.key[..]]);
            let changed = self.writer.update(self.target, &keys, &row).await?;
            self.reply.count += changed.rows.len() as u64;
            if !changed.rows.is_empty() && self.returning {
                let extra = rows::extra_columns(&self.target.meta.shape, batch, 0);
                let extra = rows::take(&extra, &[conflict.row])?;
                let whole = rows::beside(&self.target.meta.shape, &row, &extra)?;
                self.reply.returned.push(whole);
            }
        }
        Ok(())
    }

    async fn update(&mut self, rows: RowSource) -> SqlResult<()> {
        if let RowSource::Keyed(row) = rows {
            return self.update_keyed(row).await;
        }
        let mut source = self.source(rows).await?;
        while let Some(batch) = source.next().await {
            let batch = batch?;
            let shape = &self.target.meta.shape;
            let keys = key_column(&batch)?;
            check_columns(shape, &batch, 1)?;
            let new = rows::without_first(&batch)?;
            let changed = self.writer.update(self.target, &keys, &new).await?;
            self.reply.count += changed.rows.len() as u64;
            self.returned(&new, &changed.rows)?;
        }
        Ok(())
    }

    async fn delete(&mut self, rows: RowSource) -> SqlResult<()> {
        if let RowSource::Keyed(row) = rows {
            return self.delete_keyed(row).await;
        }
        let mut source = self.source(rows).await?;
        while let Some(batch) = source.next().await {
            let batch = batch?;
            let keys = key_column(&batch)?;
            let changed = self.writer.delete(self.target, &keys).await?;
            self.reply.count += changed.rows.len() as u64;
            if self.returning && !changed.rows.is_empty() {
                let old = rows::decode(&self.target.meta, &changed.old)?;
                let extra = rows::take(&rows::without_first(&batch)?, &changed.rows)?;
                let whole = rows::beside(&self.target.meta.shape, &old, &extra)?;
                self.reply.returned.push(whole);
            }
        }
        Ok(())
    }

    async fn move_out(&mut self, rows: RowSource) -> SqlResult<()> {
        let mut source = self.source(rows).await?;
        while let Some(batch) = source.next().await {
            let batch = batch?;
            let keys = key_column(&batch)?;
            check_columns(&self.target.meta.shape, &batch, 1)?;
            let new = rows::without_first(&batch)?;
            let changed = self.writer.move_out(self.target, &keys, &new).await?;
            self.reply.count += changed.rows.len() as u64;
        }
        Ok(())
    }

    /// `batch` holds the table's columns as they are now, and extra ones.
    fn returned(&mut self, batch: &RecordBatch, changed: &[usize]) -> SqlResult<()> {
        if self.returning && !changed.is_empty() {
            let taken = rows::take(batch, changed)?;
            let shape = &self.target.meta.shape;
            let extra = rows::extra_columns(shape, &taken, 0);
            self.reply.returned.push(rows::beside(shape, &taken, &extra)?);
        }
        Ok(())
    }
}

/// The first column: keys of rows.
fn key_column(batch: &RecordBatch) -> SqlResult<BinaryArray> {
    let column = batch.columns().first().and_then(|column| column.as_binary_opt::<i32>());
    match column {
        Some(keys) if arrow::array::Array::null_count(keys) == 0 => Ok(keys.clone()),
        _ => Err(error::malformed("rows to change do not start with their keys")),
    }
}
