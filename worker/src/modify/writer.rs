//! One statement's writes, whatever they are caused by, with their constraints.

use std::sync::Arc;

use arrow::array::{BinaryArray, RecordBatch};
use satsuma_common::table::{ForeignKey, TableShape};
use satsuma_common::{Oid, SqlResult};
use satsuma_proto::worker::StatementContext;
use satsuma_sql::row_checks::RowChecks;
use satsuma_storage::{Changed, ConflictPolicy, Inserted, LockWait, WriteContext};

use super::constraints;
use super::foreign_keys::Pending;
use super::rows;
use crate::error;
use crate::local::Shared;
use crate::placement::PlacedTable;

pub(crate) struct Writer<'a> {
    pub(super) shared: &'a Arc<Shared>,
    pub(super) write: WriteContext,
    context: &'a StatementContext,
    /// Foreign keys to look at when all rows are in.
    pub(super) pending: Pending,
    /// The end of the statement is that of its transaction: no check is put off.
    pub ends_transaction: bool,
}

impl<'a> Writer<'a> {
    pub fn new(shared: &'a Arc<Shared>, context: &'a StatementContext) -> Self {
        Self {
            shared,
            write: write_context(context),
            context,
            pending: Pending::default(),
            ends_transaction: false,
        }
    }

    /// Holds the shard against definitions, and makes sure that none came first: rows and
    /// constraints are those of the shape that the request speaks of. Answers whether it had to
    /// wait.
    pub async fn enter(&self, target: &PlacedTable) -> SqlResult<bool> {
        let engine = &self.shared.engine;
        let wait = LockWait::Wait(self.write.lock_timeout);
        let mode = satsuma_storage::TableLockMode::RowExclusive;
        let waited = engine
            .lock_shard(&self.write, target.shard, mode, wait)
            .await
            .map_err(error::storage)?;
        match engine.table_of_shard(target.shard) {
            Some(now) if now.shape.version == target.meta.shape.version => Ok(waited),
            _ => Err(error::stale(format!("{} has changed", target.meta.shape.table))),
        }
    }

    fn checks(&self, shape: &TableShape) -> SqlResult<Arc<RowChecks>> {
        self.shared.checks.get(shape, self.context)
    }

    /// NOT NULL and CHECK. `batch` starts with the table's columns.
    pub fn check(&self, target: &PlacedTable, batch: &RecordBatch) -> SqlResult<()> {
        let meta = &target.meta;
        constraints::check(meta, self.checks(&meta.shape)?.as_ref(), batch)
    }

    /// Rows have become others: foreign keys on either side are looked at in [`Self::finish`].
    pub fn replaced(
        &mut self,
        target: &PlacedTable,
        old: RecordBatch,
        new: RecordBatch,
    ) -> SqlResult<()> {
        self.pending.refers((self.shared, self.write.txn), target, &new, Some(&old))?;
        self.pending.replaced(target, old, new)
    }

    /// `batch` starts with the table's columns; `policy` is for conflicts in some unique indexes, or,
    /// where none is named, in all.
    pub async fn insert_unless(
        &mut self,
        target: &PlacedTable,
        batch: &RecordBatch,
        policy: ConflictPolicy,
        arbiters: &[Oid],
    ) -> SqlResult<Inserted> {
        self.enter(target).await?;
        let meta = &target.meta;
        self.check(target, batch)?;
        let inserted = self
            .shared
            .engine
            .insert_unless(&self.write, target.shard, batch, policy, arbiters)
            .await
            .map_err(|failure| constraints::named(meta, batch, failure))?;
        if self.refers(&meta.shape) {
            let new = rows::take(batch, &inserted.rows)?;
            self.pending.refers((self.shared, self.write.txn), target, &new, None)?;
        }
        Ok(inserted)
    }

    /// Whether new rows refer to others that must be there.
    fn refers(&self, shape: &TableShape) -> bool {
        !shape.foreign_keys.is_empty() && !self.context.rewrites
    }

    /// Checks rows that are loaded: NOT NULL and CHECK now, foreign keys in the end.
    pub fn admit(&mut self, target: &PlacedTable, batch: &RecordBatch) -> SqlResult<()> {
        let meta = &target.meta;
        constraints::check(meta, self.checks(&meta.shape)?.as_ref(), batch)?;
        if self.refers(&meta.shape) {
            self.pending.refers((self.shared, self.write.txn), target, batch, None)?;
        }
        Ok(())
    }

    /// `batch` starts with the table's columns as they shall be.
    pub async fn update(
        &mut self,
        target: &PlacedTable,
        keys: &BinaryArray,
        batch: &RecordBatch,
    ) -> SqlResult<Changed> {
        self.enter(target).await?;
        let meta = &target.meta;
        self.check(target, batch)?;
        let keys: Vec<_> = keys.iter().flatten().collect();
        let changed = self
            .shared
            .engine
            .update(&self.write, target.shard, &keys, batch)
            .await
            .map_err(|failure| constraints::named(meta, batch, failure))?;
        let related = !meta.shape.foreign_keys.is_empty() || !meta.shape.referenced_by.is_empty();
        if !changed.rows.is_empty() && related {
            let new = rows::take(batch, &changed.rows)?;
            self.replaced(target, rows::decode(meta, &changed.old)?, new)?;
        }
        Ok(changed)
    }

    pub async fn delete(&mut self, target: &PlacedTable, keys: &BinaryArray) -> SqlResult<Changed> {
        self.enter(target).await?;
        let keys: Vec<_> = keys.iter().flatten().collect();
        let changed = self
            .shared
            .engine
            .delete(&self.write, target.shard, &keys)
            .await
            .map_err(error::storage)?;
        if !changed.rows.is_empty() && !target.meta.shape.referenced_by.is_empty() {
            self.pending.removed(target, rows::decode(&target.meta, &changed.old)?);
        }
        Ok(changed)
    }

    /// Takes rows away that go on as `batch` in another group.
    pub async fn move_out(
        &mut self,
        target: &PlacedTable,
        keys: &BinaryArray,
        batch: &RecordBatch,
    ) -> SqlResult<Changed> {
        let keys: Vec<_> = keys.iter().flatten().collect();
        let changed = self
            .shared
            .engine
            .delete(&self.write, target.shard, &keys)
            .await
            .map_err(error::storage)?;
        if !changed.rows.is_empty() && !target.meta.shape.referenced_by.is_empty() {
            let old = rows::decode(&target.meta, &changed.old)?;
            self.pending.replaced(target, old, rows::take(batch, &changed.rows)?)?;
        }
        Ok(changed)
    }

    /// Tables that refer to this one are the coordinator's to truncate or to object to.
    pub async fn truncate(&mut self, target: &PlacedTable) -> SqlResult<()> {
        let engine = &self.shared.engine;
        engine.truncate(&self.write, target.shard).await.map_err(error::storage)
    }

    /// Whether the foreign key is checked when the transaction ends.
    pub(super) fn defers(&self, key: &ForeignKey) -> bool {
        !self.ends_transaction && self.context.constraints.is_deferred(key)
    }

    /// Foreign keys: carries out actions and checks what must hold. To be called last.
    pub async fn finish(&mut self) -> SqlResult<()> {
        self.settle_foreign_keys().await
    }
}

pub(crate) fn write_context(context: &StatementContext) -> WriteContext {
    WriteContext {
        txn: context.txn,
        statement: context.statement,
        snapshot: context.snapshot,
        lock_timeout: context.lock_timeout,
    }
}
