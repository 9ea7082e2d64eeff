//! Life of shards.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use satsuma_common::table::TableShape;
use satsuma_common::{Epoch, Generation, GroupId, Oid, ShardId, TableId, TxnId};
use tokio::sync::oneshot;

use super::{Engine, TableMeta};
use crate::error::{Result, StorageError};
use crate::lock::{LockKey, TableLockMode};
use crate::shard::Shard;
use crate::wal::Entry;
use crate::wal::record::{MetaChange, Record};

/// A shard of this worker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShardInfo {
    pub shard: ShardId,
    pub table: TableId,
    pub group: GroupId,
    pub generation: Generation,
    /// Its rows are being written anew in another shard.
    pub retired: bool,
    /// Live rows, estimated.
    pub rows: u64,
    /// Bytes on disk and in memory, without indexes.
    pub bytes: u64,
    /// Whose definition the table's shape is, until its commit.
    pub defined_by: Option<TxnId>,
    /// Bytes of each index, as far as it has been built.
    pub indexes: Vec<(Oid, u64)>,
}

/// Durable when they return; repeating one changes nothing.
impl Engine {
    pub async fn create_shards(
        self: &Arc<Self>,
        shape: &TableShape,
        shards: &[(ShardId, GroupId, Generation)],
    ) -> Result<()> {
        let shape = Box::new(shape.clone());
        self.change(MetaChange::CreateShards { shape, shards: shards.to_vec() }).await?;
        match shards.iter().find(|(shard, ..)| !self.has_shard(*shard)) {
            Some((_, group, _)) => Err(StorageError::GroupMoved(*group)),
            None => Ok(()),
        }
    }

    /// A new shape of a table. Rows that are there stay as they are and read as it says.
    pub async fn alter_table(self: &Arc<Self>, shape: &TableShape) -> Result<()> {
        self.set_shape(shape, None).await
    }

    /// The same by a transaction: its commit makes the shape stand, and [`Self::alter_table`]
    /// takes it back.
    pub async fn define_table(self: &Arc<Self>, shape: &TableShape, txn: TxnId) -> Result<()> {
        self.set_shape(shape, Some(txn)).await
    }

    async fn set_shape(self: &Arc<Self>, shape: &TableShape, by: Option<TxnId>) -> Result<()> {
        self.change(MetaChange::AlterTable { shape: Box::new(shape.clone()), by }).await?;
        self.forget_indexes(shape.table)
    }

    /// [`Self::alter_table`], unless the shape is as it should be and stands, or a transaction that
    /// may be changing it holds one of the table's shards.
    pub async fn restore_shape(self: &Arc<Self>, shape: &TableShape) -> Result<()> {
        let Some(known) = self.shape(shape.table) else { return Ok(()) };
        let stands = {
            let meta = self.meta.read();
            // Shards that were to be replaced are the table's again only once it is told its shape.
            let is_replaced = meta.present(shape.table).next().is_none();
            !meta.pending.contains_key(&shape.table) && !is_replaced
        };
        if stands && known.version == shape.version && known.indexes == shape.indexes {
            return Ok(());
        }
        let shards: Vec<ShardId> = {
            let meta = self.meta.read();
            let own = meta.shards.values().filter(|shard| shard.table == shape.table);
            own.map(|shard| shard.id).collect()
        };
        if shards.iter().any(|shard| self.is_defined(*shard)) {
            return Ok(());
        }
        self.alter_table(shape).await
    }

    /// Whether a transaction holds the shard's table to define it.
    pub fn is_defined(&self, shard: ShardId) -> bool {
        let key = LockKey { shard, row: None };
        self.locks.is_held(&key, TableLockMode::AccessExclusive.into())
    }

    pub async fn drop_shards(self: &Arc<Self>, shards: &[ShardId]) -> Result<()> {
        self.change(MetaChange::DropShards { shards: shards.to_vec() }).await?;
        self.has_dropped.store(true, Ordering::Release);
        Ok(())
    }

    pub async fn set_generation(
        self: &Arc<Self>,
        group: GroupId,
        generation: Generation,
        epoch: Epoch,
    ) -> Result<()> {
        let held = None;
        self.change(MetaChange::SetGeneration { group, generation, epoch, held }).await
    }

    pub fn shards(&self) -> Vec<ShardInfo> {
        let meta = self.meta.read();
        meta.shards
            .values()
            .map(|shard| ShardInfo {
                shard: shard.id,
                table: shard.table,
                group: shard.group,
                generation: meta.groups.get(&shard.group).map_or(Generation(0), |known| known.0),
                retired: meta.retired.contains_key(&shard.id),
                rows: shard.rows(),
                bytes: shard.bytes(),
                defined_by: meta.pending.get(&shard.table).copied(),
                indexes: index_bytes(meta.table_of(shard), shard),
            })
            .collect()
    }

    /// Present shape of a table that has shards here, and what reads its rows.
    pub fn table(&self, table: TableId) -> Option<Arc<TableMeta>> {
        self.meta.read().tables.get(&table).cloned()
    }

    /// What reads the rows of a shard.
    pub fn table_of_shard(&self, shard: ShardId) -> Option<Arc<TableMeta>> {
        self.shard_and_table(shard).ok().map(|(_, table)| table)
    }

    /// Whether the transaction keeps all others from writing to the shard.
    pub fn has_locked_shard(&self, txn: TxnId, shard: ShardId) -> bool {
        let key = LockKey { shard, row: None };
        self.locks.holds(txn, &key, TableLockMode::AccessExclusive.into())
    }

    pub fn shape(&self, table: TableId) -> Option<Arc<TableShape>> {
        self.table(table).map(|table| table.shape.clone())
    }

    /// `None` for a group that has no shards here.
    pub fn generation(&self, group: GroupId) -> Option<Generation> {
        self.meta.read().groups.get(&group).map(|known| known.0)
    }

    /// An error when damage to the log has cost one of the group's shards, or what the worker knew
    /// of it.
    pub fn check_group(&self, group: GroupId) -> Result<()> {
        self.meta.read().check_group(group)
    }

    /// Whether damage to the log has cost more of the shard than rows.
    pub fn is_lost(&self, shard: ShardId) -> bool {
        self.meta.read().losses.get(&shard).is_some_and(|loss| !loss.only_rows)
    }

    pub fn has_shard(&self, shard: ShardId) -> bool {
        self.meta.read().shards.contains_key(&shard)
    }

    /// One change at a time: what is new in it, and whom it is about, follows from those before.
    pub(super) async fn change(self: &Arc<Self>, change: MetaChange) -> Result<()> {
        let turn = self.changing.clone().lock_owned().await;
        let (change, scope) = {
            let meta = self.meta.read();
            meta.check(&change)?;
            let Some(change) = meta.news(change) else { return Ok(()) };
            let scope = meta.scope_of(&change);
            (change, scope)
        };
        let payload = Record::Meta(change.clone()).encode()?;
        let (done, answer) = oneshot::channel();
        let engine = self.clone();
        self.wal.append(
            vec![Entry { scope, payload }],
            Box::new(move |logged| {
                let result =
                    logged.and_then(|written| engine.meta.write().apply(written.last, &change));
                drop((engine, turn));
                let _ = done.send(result);
            }),
        );
        answer.await.unwrap_or(Err(StorageError::Closed))
    }
}

fn index_bytes(table: Option<&Arc<TableMeta>>, shard: &Shard) -> Vec<(Oid, u64)> {
    let indexes = table.map_or(&[][..], |table| table.indexes());
    let contents = shard.contents();
    let deltas = || (0..2).filter_map(|at| contents.delta(at));
    indexes
        .iter()
        .map(|index| {
            let id = index.shape.id;
            let sealed: u64 = contents.segments.iter().map(|s| s.runs.bytes_of(id)).sum();
            let recent: usize = deltas().map(|delta| delta.indexes().bytes_of(id)).sum();
            (id, sealed + recent as u64)
        })
        .collect()
}
