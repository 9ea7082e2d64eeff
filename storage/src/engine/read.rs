//! Reading.

use satsuma_common::{ShardId, Timestamp, TxnId};

use super::{Engine, RowBytes};
use crate::delta::Version;
use crate::error::Result;
use crate::shard::{ReadView, Scan, ScanOptions};
use crate::txn::{Own, ShardWrites};

impl Engine {
    /// Waits until `snapshot` is settled on these shards: transactions that commit at or before
    /// it are visible. To be called before [`Self::get`] and [`Self::scan`] of a new snapshot.
    pub async fn begin_read(
        &self,
        shards: &[ShardId],
        snapshot: Timestamp,
        txn: Option<TxnId>,
    ) -> Result<()> {
        self.wal.check()?;
        self.timeline.begin_read(shards, snapshot, txn).await;
        // After the timeline knows the snapshot: whoever takes over commits above it.
        self.meta.read().check_fence(shards)?;
        self.wal.check()
    }

    /// The row with this key; `None` when the view has none.
    pub fn get(&self, shard: ShardId, key: &[u8], view: &ReadView) -> Result<Option<RowBytes>> {
        let shard = self.shard(shard)?;
        let _held = self.snapshots.hold(view.snapshot)?;
        let own = self.with_own(shard.id, view, |own| {
            let hides = own.hides_committed(view.before_statement);
            own.get(key, view.before_statement).or(hides.then_some(Own::Deleted))
        });
        match own.flatten() {
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
