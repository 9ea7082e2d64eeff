//! Reading.

use std::time::Duration;

use satsuma_common::{ShardId, Timestamp, TxnId};

use super::{Engine, RowBytes};
use crate::delta::Version;
use crate::error::{Result, StorageError};
use crate::shard::{KeyRange, ReadView, Scan, ScanOptions};
use crate::txn::{Own, ShardWrites};

impl Engine {
    /// Waits until `snapshot` is settled on these shards: transactions that commit at or before
    /// it are visible. To be called before [`Self::get`] and [`Self::scan`] of a new snapshot. A
    /// transaction that was aborted here reads no more: it would not see what it wrote.
    pub async fn begin_read(
        &self,
        shards: &[ShardId],
        snapshot: Timestamp,
        txn: Option<TxnId>,
    ) -> Result<()> {
        self.wal.check()?;
        if let Some(txn) = txn
            && self.aborted.lock().get(&txn).is_some()
        {
            return Err(StorageError::NoSuchTransaction(txn));
        }
        self.timeline.begin_read(shards, snapshot, txn).await;
        // After the timeline knows the snapshot: whoever takes over commits above it.
        self.meta.read().check_fence(shards)?;
        self.wal.check()
    }

    /// Waits while another transaction keeps readers out of one of the shards; answers whether it
    /// had to. What that transaction did may have been committed meanwhile.
    pub async fn await_access(
        &self,
        txn: TxnId,
        shards: &[ShardId],
        timeout: Option<Duration>,
    ) -> Result<bool> {
        let mut waited = false;
        if self.locks.keeps_readers_out() {
            for shard in shards {
                waited |= self.locks.pass(txn, *shard, timeout).await?;
            }
        }
        Ok(waited)
    }

    /// The row with this key; `None` when the view has none.
    pub fn get(&self, shard: ShardId, key: &[u8], view: &ReadView) -> Result<Option<RowBytes>> {
        let shard = self.shard(shard)?;
        let _held = self.snapshots.hold(view.snapshot)?;
        let own = self.with_own(shard.id, view, |own| own.view(key, view.before_statement));
        match own.transpose()?.flatten() {
            Some(Own::Row(row)) => Ok(Some(row)),
            Some(Own::Deleted) => Ok(None),
            None => Ok(shard.get(key, view.snapshot)?.and_then(|version| version.row)),
        }
    }

    /// The newest committed version of a row, whatever the snapshot; its `row` is `None` when it
    /// was deleted.
    pub fn newest(&self, shard: ShardId, key: &[u8]) -> Result<Option<Version>> {
        self.shard(shard)?.newest(key)
    }

    /// The shard's rows in batches, in no promised order.
    pub fn scan(&self, shard: ShardId, view: &ReadView, options: &ScanOptions) -> Result<Scan> {
        let (shard, table) = self.shard_and_table(shard)?;
        let held = self.snapshots.hold(view.snapshot)?;
        let own = self.with_own(shard.id, view, ShardWrites::clone);
        shard.scan(table, view, held, own, options)
    }

    /// Live rows of a shard, about; none of one that is not here.
    pub fn rows(&self, shard: ShardId) -> u64 {
        self.shard(shard).map_or(0, |shard| shard.rows())
    }

    /// Rows whose keys are in the range, about.
    pub fn rows_within(&self, shard: ShardId, range: &KeyRange) -> Result<u64> {
        self.shard(shard)?.rows_within(range)
    }

    pub(super) fn with_own<T>(
        &self,
        shard: ShardId,
        view: &ReadView,
        look: impl FnOnce(&ShardWrites) -> T,
    ) -> Option<T> {
        let txn = self.txns.lock().get(&view.txn?).cloned()?;
        let state = txn.state.lock();
        state.shards.get(&shard).map(look)
    }
}
