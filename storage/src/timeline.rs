//! Commit timestamps and the snapshots that have been read.
//!
//! A commit gets a timestamp above every snapshot that was served and every earlier commit here.
//! It becomes visible later, when its record is durable; until then it is *undecided*, as a
//! prepared transaction is until its outcome arrives. A reader first raises `max_read` to its
//! snapshot, so that no later commit can fall at or below it, and then waits for what is undecided
//! at or below it on its shards. From then on its snapshot does not change.

use std::collections::BTreeMap;

use parking_lot::Mutex;
use satsuma_common::{ShardId, Timestamp, TxnId};
use tokio::sync::Notify;

#[derive(Debug, Default)]
pub struct Timeline {
    inner: Mutex<Inner>,
    settled: Notify,
}

#[derive(Debug, Default)]
struct Inner {
    /// Microseconds of a [`Timestamp`].
    max_read: u64,
    last_commit: u64,
    undecided: BTreeMap<TxnId, (Timestamp, Vec<ShardId>)>,
}

impl Timeline {
    /// Returns when the snapshot is settled on these shards.
    pub async fn begin_read(&self, shards: &[ShardId], snapshot: Timestamp, reader: Option<TxnId>) {
        loop {
            let settled = self.settled.notified();
            tokio::pin!(settled);
            settled.as_mut().enable();
            if self.try_read(shards, snapshot, reader) {
                return;
            }
            settled.await;
        }
    }

    fn try_read(&self, shards: &[ShardId], snapshot: Timestamp, reader: Option<TxnId>) -> bool {
        let mut inner = self.inner.lock();
        inner.max_read = inner.max_read.max(snapshot.0);
        !inner.undecided.iter().any(|(txn, (ts, touched))| {
            *ts <= snapshot
                && Some(*txn) != reader
                && touched.iter().any(|shard| shards.contains(shard))
        })
    }

    /// A timestamp for a commit or a prepare, undecided until [`Self::settle`].
    pub fn assign(&self, txn: TxnId, at_least: Timestamp, shards: Vec<ShardId>) -> Timestamp {
        let mut inner = self.inner.lock();
        let ts = at_least.0.max(inner.max_read.max(inner.last_commit).saturating_add(1));
        inner.last_commit = ts;
        inner.undecided.insert(txn, (Timestamp(ts), shards));
        Timestamp(ts)
    }

    /// A prepared transaction found in the log.
    pub fn restore(&self, txn: TxnId, ts: Timestamp, shards: Vec<ShardId>) {
        self.inner.lock().undecided.insert(txn, (ts, shards));
    }

    /// The transaction's writes are visible, or gone.
    pub fn settle(&self, txn: TxnId) {
        self.inner.lock().undecided.remove(&txn);
        self.settled.notify_waiters();
    }

    /// Later commits come after `ts`.
    pub fn observe_commit(&self, ts: Timestamp) {
        let mut inner = self.inner.lock();
        inner.last_commit = inner.last_commit.max(ts.0);
    }

    /// Later commits come after every snapshot up to `ts`.
    pub fn observe_read(&self, ts: Timestamp) {
        let mut inner = self.inner.lock();
        inner.max_read = inner.max_read.max(ts.0);
    }

    /// The highest snapshot that was read here.
    pub fn last_read(&self) -> Timestamp {
        Timestamp(self.inner.lock().max_read)
    }

    pub fn last_commit(&self) -> Timestamp {
        Timestamp(self.inner.lock().last_commit)
    }
}
