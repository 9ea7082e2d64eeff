//! Checkpoints, and the thread that keeps memory and the log small.
//!
//! A checkpoint seals what the log is needed for, stores what this worker holds, and lets go of
//! the log's files below the first record that a restart would still need.

use std::collections::BTreeSet;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use satsuma_common::{Lsn, ShardId, Timestamp};

use super::Engine;
use crate::error::{Result, StorageError};
use crate::kv::Batch;
use crate::manifest::{self, Checkpoint, GroupRecord, Loss, Manifest, ShardHeader, TableRecord};
use crate::shard::Shard;

/// The log of damaged shards is kept for about so many checkpoints' bytes.
const DAMAGED_CHECKPOINTS: u64 = 4;
/// Shards that are sealed with one flush. Their manifests and small segments are one batch of the
/// key-value store: some tens of megabytes, however many shards there are.
const SEALED_TOGETHER: usize = 1024;

impl Engine {
    /// Versions that only snapshots below this one could see may go.
    pub(super) fn horizon(&self) -> Timestamp {
        self.snapshots.horizon()
    }

    /// Seals every delta and truncates the log. Runs by itself; by hand before a copy of the
    /// directory, or in tests.
    pub fn checkpoint(&self) -> Result<()> {
        let _one = self.checkpointing.lock();
        let applied = self.wal.sync_applied()?;
        let shards: Vec<_> = self.meta.read().shards.values().cloned().collect();
        // What an earlier sealing left unfinished comes first, and then what gathered behind it.
        let unfinished: Vec<_> =
            shards.iter().filter(|shard| shard.contents().frozen.is_some()).cloned().collect();
        for some in [unfinished, shards].iter().flat_map(|all| all.chunks(SEALED_TOGETHER)) {
            self.seal(some)?;
        }
        self.give_up_damaged(applied);
        let meta_lsn = self.store_meta(applied)?;

        // Transactions first: one that commits meanwhile is found in its shards then.
        let prepared = self.first_prepared();
        let shards = {
            let meta = self.meta.read();
            // A shard that has lost records refuses for good: the log must not grow for it.
            let whole = meta.shards.values().filter(|shard| !meta.losses.contains_key(&shard.id));
            whole.filter_map(|shard| shard.log_from()).min()
        };
        let from = [Some(applied.0 + 1), prepared, shards].into_iter().flatten().min();
        let log_from = from.unwrap_or(1);
        let checkpoint =
            Checkpoint { meta_lsn, last_commit: self.timeline.last_commit().0, log_from };
        let mut batch = Batch::new();
        manifest::put(&mut batch, manifest::CHECKPOINT.to_vec(), &checkpoint)?;
        self.store.kv.write(batch)?;
        self.store.kv.flush()?;
        self.wal.truncate(Lsn(log_from.min(self.pins.lowest())))?;
        self.checkpointed_bytes.store(self.wal.logged(), Ordering::Relaxed);
        self.work.lock().checkpoints += 1;
        Ok(())
    }

    /// The log has the rows of a damaged shard, for a start that finds it whole, but not for ever:
    /// where that is too long ago, the shard has lost them. The store says so before they go.
    fn give_up_damaged(&self, applied: Lsn) {
        let bytes = self.options.checkpoint_bytes.saturating_mul(DAMAGED_CHECKPOINTS);
        let kept_from = self.wal.reaching_back(bytes);
        let is_late = |shard: &Shard| shard.log_from().is_some_and(|from| from < kept_from.0);
        let late: Vec<_> = {
            let meta = self.meta.read();
            let kept = meta.shards.values().filter(|shard| !meta.losses.contains_key(&shard.id));
            let damaged = kept.filter_map(|shard| Some((shard.clone(), shard.check().err()?)));
            damaged.filter(|(shard, _)| is_late(shard)).collect()
        };
        if late.is_empty() {
            return;
        }
        let mut meta = self.meta.write();
        for (shard, error) in late {
            if meta.is_here(&shard) {
                tracing::error!(shard = %shard.id, %error, "the log of a damaged shard goes");
                let loss = Loss::of_rows(shard.group, shard.created, applied, &error);
                meta.losses.insert(shard.id, loss);
            }
        }
    }

    /// Stores tables, shards and groups; answers with the LSN up to which they are.
    fn store_meta(&self, applied: Lsn) -> Result<u64> {
        let mut batch = Batch::new();
        let meta = self.meta.read();
        let meta_lsn = meta.lsn.0.max(applied.0);
        for (id, table) in &meta.tables {
            let record =
                TableRecord { shape: (*table.shape).clone(), layouts: (*table.layouts).clone() };
            manifest::put(&mut batch, manifest::table_key(*id), &record)?;
        }
        for (id, table) in &meta.retired {
            let record =
                TableRecord { shape: (*table.shape).clone(), layouts: (*table.layouts).clone() };
            manifest::put(&mut batch, manifest::shard_key(b'r', *id), &record)?;
        }
        for (id, shard) in &meta.shards {
            let header =
                ShardHeader { group: shard.group, table: shard.table, created: shard.created.0 };
            manifest::put(&mut batch, manifest::shard_key(b'h', *id), &header)?;
        }
        for (id, (generation, epoch)) in &meta.groups {
            let record = GroupRecord { generation: *generation, epoch: *epoch };
            manifest::put(&mut batch, manifest::group_key(*id), &record)?;
        }
        for (id, by) in &meta.pending {
            manifest::put(&mut batch, manifest::pending_key(*id), by)?;
        }
        for id in &meta.fenced {
            manifest::put(&mut batch, manifest::fence_key(*id), &())?;
        }
        for (id, loss) in &meta.losses {
            manifest::put(&mut batch, manifest::shard_key(b'd', *id), loss)?;
        }
        let shards: BTreeSet<u64> = meta.shards.keys().map(|id| id.0).collect();
        drop(meta);
        let kept: BTreeSet<Vec<u8>> = batch.iter().map(|(key, _)| key.clone()).collect();
        for kind in [b"t", b"r", b"h", b"g", b"f", b"p", b"d"] {
            for (key, _) in self.store.kv.scan(kind)? {
                if !kept.contains(&key) {
                    batch.push((key, None));
                }
            }
        }
        self.store.kv.write(batch)?;
        let dropped = self.forget_manifests(&shards)?;
        self.store.kv.flush()?;
        for stored in dropped {
            self.store.discard(&stored, &Manifest::default())?;
        }
        Ok(meta_lsn)
    }

    /// Removes the manifests of shards that are gone, and answers with them. `known` shards are
    /// not looked at.
    fn forget_manifests(&self, known: &BTreeSet<u64>) -> Result<Vec<Manifest>> {
        let mut gone = manifest::each::<Manifest>(&self.store.kv, b'm')?;
        gone.retain(|(id, _)| !known.contains(id));
        if gone.is_empty() {
            return Ok(Vec::new());
        }
        let (mut batch, mut dropped) = (Batch::new(), Vec::new());
        // No shard is made meanwhile: a copy could fill one at once. All else waits for this lock,
        // so the manifests have been read before.
        let meta = self.meta.read();
        for (id, stored) in gone {
            let id = satsuma_common::ShardId(id);
            if !meta.shards.contains_key(&id) {
                batch.push((manifest::shard_key(b'm', id), None));
                dropped.extend(stored.ok());
            }
        }
        self.store.kv.write(batch)?;
        Ok(dropped)
    }

    /// Start of the first record of a transaction that is prepared.
    pub(super) fn first_prepared(&self) -> Option<u64> {
        let txns: Vec<_> = self.txns.lock().values().cloned().collect();
        txns.iter().filter_map(|txn| txn.state.lock().logged_from).min().map(|lsn| lsn.0)
    }

    /// Starts the thread; it ends when the engine is dropped.
    pub(super) fn start_maintenance(engine: &Arc<Self>) -> Result<()> {
        let weak = Arc::downgrade(engine);
        let thread = std::thread::Builder::new()
            .name("storage".into())
            .spawn(move || maintain(&weak))
            .map_err(|e| StorageError::io(&engine.dir, &e))?;
        *engine.maintenance.lock() = Some(thread);
        Ok(())
    }

    /// One round: seal what is large, merge, checkpoint when the log has grown or is old.
    fn maintenance_round(&self, upkeep: &mut Upkeep) -> Result<()> {
        let retention = u64::try_from(self.options.retention.as_micros()).unwrap_or(u64::MAX);
        let kept = Timestamp(self.timeline.last_commit().0.saturating_sub(retention));
        self.set_oldest_snapshot(self.snapshots.reported().unwrap_or(kept));
        let shards: Vec<_> = self.meta.read().shards.values().cloned().collect();
        shards.iter().for_each(|shard| shard.forget_rows());
        // Before sizes are taken: what comes meanwhile counts twice rather than not at all.
        let logged = self.wal.logged();
        let mut sizes: Vec<(u64, &Arc<Shard>)> =
            shards.iter().map(|shard| (shard.delta_bytes(), shard)).collect();
        sizes.sort_by_key(|(bytes, shard)| (std::cmp::Reverse(*bytes), shard.id));
        let mut total: u64 = sizes.iter().map(|(bytes, _)| bytes).sum();
        let limit = self.options.delta_bytes;
        let allow = |total| self.pressure.allow((logged + 2 * limit).saturating_sub(total));
        allow(total);
        for (bytes, shard) in sizes {
            if bytes < self.options.seal_bytes && total <= limit {
                break;
            }
            self.seal(std::slice::from_ref(shard))?;
            total -= bytes;
            allow(total);
        }
        // Counting dead rows takes a look at every mark: not in every round.
        if upkeep.merged.elapsed() >= MERGE_PAUSE {
            let next = shards.partition_point(|shard| Some(shard.id) < upkeep.interrupted_at);
            upkeep.interrupted_at = None;
            for shard in shards[next..].iter().chain(&shards[..next]) {
                if upkeep.unreadable.contains(&(shard.id, shard.created)) {
                    continue;
                }
                match self.tidy(shard) {
                    Ok(true) => {}
                    Ok(false) => {
                        upkeep.interrupted_at = Some(shard.id);
                        break;
                    }
                    // Who reads what is damaged is told of it; the other shards do not suffer.
                    Err(error @ StorageError::Corrupt { .. }) => {
                        tracing::error!(shard = %shard.id, %error, "a shard cannot be merged");
                        upkeep.unreadable.insert((shard.id, shard.created));
                    }
                    Err(error) => return Err(error),
                }
            }
            upkeep.merged = Instant::now();
        }
        let grown =
            self.wal.logged().saturating_sub(self.checkpointed_bytes.load(Ordering::Relaxed));
        let old = upkeep.checkpointed.elapsed() >= self.options.checkpoint_interval;
        let dropped = self.has_dropped.swap(false, Ordering::AcqRel);
        if grown >= self.options.checkpoint_bytes || (grown > 0 && old) || dropped {
            self.checkpoint()?;
            upkeep.checkpointed = Instant::now();
        }
        Ok(())
    }

    /// Merges a shard's segments and builds what indexes lack; `false` where it was not finished:
    /// writers that wait, wait for sealing.
    fn tidy(&self, shard: &Arc<Shard>) -> Result<bool> {
        let is_urgent = || self.is_closed() || !self.pressure.has_room(self.wal.logged());
        loop {
            if is_urgent() {
                return Ok(false);
            }
            if shard.check().is_err() || !self.merge(shard)? {
                break;
            }
        }
        let table = self.meta.read().table_of(shard).cloned();
        let Some(table) = table else { return Ok(true) };
        for segment in shard.contents().segments.iter() {
            if is_urgent() {
                return Ok(false);
            }
            self.build_runs(&table, segment);
        }
        Ok(true)
    }
}

/// When the thread last did what it does seldom.
struct Upkeep {
    merged: Instant,
    /// The shard that merging stopped at, for want of room for writers.
    interrupted_at: Option<ShardId>,
    /// Shards whose segments could not be merged for damage.
    unreadable: BTreeSet<(ShardId, Lsn)>,
    checkpointed: Instant,
}

const MERGE_PAUSE: Duration = Duration::from_secs(1);
const PAUSE: Duration = Duration::from_millis(50);
/// After a failure: the disk may be full for a while.
const LONG_PAUSE: Duration = Duration::from_secs(1);

fn maintain(engine: &Weak<Engine>) {
    let (merged, checkpointed) = (Instant::now(), Instant::now());
    let (interrupted_at, unreadable) = (None, BTreeSet::new());
    let mut upkeep = Upkeep { merged, interrupted_at, unreadable, checkpointed };
    loop {
        let Some(engine) = engine.upgrade() else { return };
        if engine.is_closed() {
            return;
        }
        let result = engine.maintenance_round(&mut upkeep);
        if engine.is_closed() {
            return;
        }
        let pause = if result.is_ok() { PAUSE } else { LONG_PAUSE };
        engine.pressure.report(result);
        let wake = engine.wake.clone();
        drop(engine);
        wake.sleep(pause);
    }
}
