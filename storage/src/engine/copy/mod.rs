//! A shard group on its way to another worker.
//!
//! ```text
//! source                                        target
//! seal, pin the log, capture ---- chunks -----> empty shards
//! segments and marks, as they were ----------->   segments
//! records of the log from there on ----------->   commits of its own log
//! hold (no transaction is on the group) ------->   the last records
//! fence (a later generation; nothing is read      generation: serves
//!        or written here any more)
//! ```
//!
//! The copy is what a restart would do, on another worker: manifests as of some moment and the log
//! after it. Marks may be newer than the manifest they go with, because ending a row twice changes
//! nothing. Versions keep their timestamps, so that a snapshot reads the same on both sides.
//!
//! Prepared transactions do not travel: the group is held only when none is on it, and what they
//! wrote is sent when their commit is in the log.

mod checksum;
mod item;
mod reader;
mod snapshot;
mod writer;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use satsuma_common::{Epoch, Generation, GroupId, Lsn, ShardId, Timestamp, TxnId};

use super::Engine;
use crate::error::{Result, StorageError};
use crate::lock::{LockKey, LockWait, TableLockMode};
use crate::wal::record::MetaChange;

pub use checksum::ShardSum;
pub use reader::CopyReader;
pub use snapshot::SnapshotReader;
pub use writer::CopyWriter;

#[cfg(test)]
mod power_tests;
#[cfg(test)]
mod tests;

/// How far a copy has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// The log has been read up to here.
    pub position: Lsn,
    /// The log ends here at present.
    pub end: Lsn,
    /// Bytes of segments, in all and sent.
    pub bytes: u64,
    pub sent: u64,
}

impl Progress {
    /// Nothing is left to send at this moment.
    pub fn is_caught_up(&self) -> bool {
        self.sent == self.bytes && self.position >= self.end
    }
}

/// What a worker has told its readers: who takes over commits above it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Watermark {
    /// The highest snapshot that was read.
    pub read: Timestamp,
    pub commit: Timestamp,
    /// Snapshots below this one cannot be read.
    pub horizon: Timestamp,
}

/// Parts of the log that must stay because a copy reads them, and of which group that is. Loaded
/// segments that the log names stay too: shards of these groups are not merged.
#[derive(Clone, Debug, Default)]
pub struct Pins(Arc<Mutex<BTreeMap<u64, (u64, GroupId)>>>);

/// Keeps the log from a record on; until it is dropped.
#[derive(Debug)]
struct Pin {
    pins: Pins,
    number: u64,
}

impl Pins {
    /// The first record that must stay.
    pub fn lowest(&self) -> u64 {
        self.0.lock().values().map(|(from, _)| *from).min().unwrap_or(u64::MAX)
    }

    /// Whether a copy of the group is under way.
    pub fn has_copy_of(&self, group: GroupId) -> bool {
        self.0.lock().values().any(|(_, of)| *of == group)
    }

    fn add(&self, from: Lsn, group: GroupId) -> Pin {
        let mut pins = self.0.lock();
        let number = pins.last_key_value().map_or(1, |(last, _)| last + 1);
        pins.insert(number, (from.0, group));
        Pin { pins: self.clone(), number }
    }
}

impl Pin {
    fn move_to(&self, from: Lsn) {
        if let Some((pinned, _)) = self.pins.0.lock().get_mut(&self.number) {
            *pinned = from.0;
        }
    }
}

impl Drop for Pin {
    fn drop(&mut self) {
        self.pins.0.lock().remove(&self.number);
    }
}

impl Engine {
    /// Waits until no transaction holds anything in the group, and keeps others waiting until
    /// [`Self::release_group`]. Answers with the shards that are held; one that comes later is not.
    /// On a timeout or a deadlock nothing is held.
    pub async fn hold_group(
        &self,
        group: GroupId,
        holder: TxnId,
        timeout: Duration,
    ) -> Result<Vec<ShardId>> {
        let deadline = Instant::now() + timeout;
        let shards = self.meta.read().shards_of(group);
        for shard in &shards {
            let left = deadline.saturating_duration_since(Instant::now());
            let key = LockKey { shard: shard.id, row: None };
            let wait = LockWait::Wait(Some(left));
            // Whoever reads goes on until the group is fenced.
            let mode = TableLockMode::Exclusive;
            let held = match self.locks.acquire(holder, &key, mode, wait) {
                Ok(None) => Ok(()),
                Ok(Some(wait)) => wait.granted().await,
                Err(error) => Err(error),
            };
            if let Err(error) = held {
                self.locks.release(holder);
                return Err(error);
            }
        }
        Ok(shards.iter().map(|shard| shard.id).collect())
    }

    pub fn release_group(&self, holder: TxnId) {
        self.locks.release(holder);
    }

    /// Reads and writes of the group fail from now on, durably. To be called while it is held;
    /// answers with what the next worker must know. Only a later generation lifts the fence.
    /// Fails when the group has other shards than those that are `held`.
    pub async fn fence_group(
        self: &Arc<Self>,
        group: GroupId,
        generation: Generation,
        held: &[ShardId],
    ) -> Result<Watermark> {
        let held = held.to_vec();
        self.change(MetaChange::FenceGroup { group, generation, held }).await?;
        self.watermark_at(group, generation)
    }

    /// The same without the fence: the group is served here and elsewhere from this generation on.
    pub async fn share_group(
        self: &Arc<Self>,
        group: GroupId,
        generation: Generation,
        held: &[ShardId],
    ) -> Result<Watermark> {
        let (epoch, held) = (Epoch(0), Some(held.to_vec()));
        self.change(MetaChange::SetGeneration { group, generation, epoch, held }).await?;
        self.watermark_at(group, generation)
    }

    fn watermark_at(&self, group: GroupId, generation: Generation) -> Result<Watermark> {
        match self.generation(group) {
            Some(known) if known >= generation => Ok(self.watermark()),
            _ => Err(StorageError::CopyBroken("a shard came while the group was held")),
        }
    }

    pub fn is_fenced(&self, group: GroupId) -> bool {
        self.meta.read().fenced.contains(&group)
    }

    pub fn watermark(&self) -> Watermark {
        Watermark {
            read: self.timeline.last_read(),
            commit: self.timeline.last_commit(),
            horizon: self.snapshots.horizon(),
        }
    }

    /// Commits here come after whatever another worker has shown.
    pub fn observe(&self, watermark: Watermark) {
        self.timeline.observe_read(watermark.read);
        self.timeline.observe_commit(watermark.commit);
        self.set_oldest_snapshot(watermark.horizon);
    }

    /// The group's shards here.
    pub fn shards_of(&self, group: GroupId) -> Vec<ShardId> {
        self.meta.read().shards_of(group).iter().map(|shard| shard.id).collect()
    }

    /// Drops the group's shards, unless it serves them: its generation is `generation` or a later
    /// one, and it is not fenced.
    pub async fn drop_group(
        self: &Arc<Self>,
        group: GroupId,
        generation: Generation,
    ) -> Result<()> {
        let serves = {
            let meta = self.meta.read();
            let known = meta.groups.get(&group).map_or(Generation(0), |known| known.0);
            known >= generation && !meta.fenced.contains(&group)
        };
        let mut shards = self.shards_of(group);
        shards.extend(self.meta.read().lost_of(group));
        if shards.is_empty() {
            return Ok(());
        }
        if serves {
            return Err(StorageError::CopyBroken("this worker serves the group"));
        }
        self.drop_shards(&shards).await
    }
}
