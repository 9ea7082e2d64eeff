//! Sealing: a shard's delta becomes a segment.
//!
//! The delta is frozen, written out, named in the shard's manifest and then replaced by the
//! segment. A crash before the manifest is durable leaves an orphan file and the log; after it,
//! the log's records up to the manifest's LSN are passed over. So the log is synced first.

use std::sync::Arc;

use satsuma_common::Timestamp;

use super::Engine;
use super::meta::TableMeta;
use super::store::Unnamed;
use crate::delta::Versions;
use crate::error::{Result, StorageError};
use crate::kv::Batch;
use crate::manifest::{self, Manifest};
use crate::segment::{Segment, SegmentWriter, StoredRow};
use crate::shard::{Frozen, Shard};

/// A shard's sealing, written but not yet in effect.
struct Sealed {
    shard: Arc<Shard>,
    /// Its manifest, and what goes with that.
    batch: Batch,
    frozen: Frozen,
    segment: Option<Arc<Segment>>,
    old: Option<Manifest>,
    new: Manifest,
}

impl Engine {
    /// Seals the deltas of these shards, with one flush of the store for all of them.
    pub(crate) fn seal(&self, shards: &[Arc<Shard>]) -> Result<()> {
        let work: Vec<_> = shards.iter().map(|shard| shard.work.lock()).collect();
        self.store.kv.check()?;
        let mut unnamed = self.store.unnamed();
        let mut sealed = Vec::new();
        for shard in shards {
            // What is not sealed is in the log.
            if self.is_closed() {
                return Err(StorageError::Closed);
            }
            // A damaged shard keeps its records in the log, or has lost some of them.
            if shard.check().is_ok()
                && let Some(one) = self.write_out(shard, &mut unnamed)?
            {
                sealed.push(one);
            }
        }
        if sealed.is_empty() {
            return Ok(());
        }
        self.wal.sync()?;
        self.store.sync_names()?;
        let (sealed, gone) = self.store_manifests(sealed)?;
        unnamed.named();
        for one in gone {
            self.store.discard(&one.new, &Manifest::default())?;
        }
        self.store.kv.flush()?;
        self.work.lock().seals += sealed.len() as u64;
        for one in &sealed {
            one.shard.install(one.frozen.upto, one.segment.clone());
        }
        for one in sealed {
            if let Some(old) = one.old {
                self.store.discard(&old, &one.new)?;
            }
        }
        drop(work);
        Ok(())
    }

    /// Stores what was sealed of shards that are still here, and tells it from the rest. A shard
    /// that was dropped meanwhile may have a successor, with a manifest in its place; none comes
    /// before this ends.
    fn store_manifests(&self, sealed: Vec<Sealed>) -> Result<(Vec<Sealed>, Vec<Sealed>)> {
        let meta = self.meta.read();
        let (mut here, gone): (Vec<_>, Vec<_>) =
            sealed.into_iter().partition(|one| meta.is_here(&one.shard));
        let batches = here.iter_mut().flat_map(|one| std::mem::take(&mut one.batch));
        self.store.kv.write(batches.collect())?;
        Ok((here, gone))
    }

    fn write_out(&self, shard: &Arc<Shard>, unnamed: &mut Unnamed<'_>) -> Result<Option<Sealed>> {
        let Some(table) = self.meta.read().settled_table_of(shard).cloned() else {
            return Ok(None);
        };
        shard.forget_truncations(self.horizon());
        let Some(frozen) = shard.freeze() else { return Ok(None) };
        let contents = shard.contents();
        let entries = frozen.delta.entries();
        let mut batch = Batch::new();
        let (bytes, ends) = build(&table, entries, self.horizon(), &contents.truncations)?;
        let segment = match bytes {
            Some(bytes) => {
                let mut growing = self.store.growing();
                growing.push(&bytes)?;
                let (at, segment) = growing.finish(&mut batch)?;
                unnamed.add(at);
                segment.end_rows(ends);
                self.build_runs(&table, &segment);
                Some(Arc::new(segment))
            }
            None => None,
        };
        let segments: Vec<_> = contents.segments.iter().cloned().chain(segment.clone()).collect();
        let new = self.store.manifest(shard, &contents, &segments, frozen.upto)?;
        unnamed.add_marks(&new);
        let key = manifest::shard_key(b'm', shard.id);
        let old = self.manifest_of(shard)?;
        manifest::put(&mut batch, key, &new)?;
        Ok(Some(Sealed { shard: shard.clone(), batch, frozen, segment, old, new }))
    }

    /// What a manifest of the shard replaces: its last one, or that of a shard that was dropped and
    /// had its number.
    pub(super) fn manifest_of(&self, shard: &Shard) -> Result<Option<Manifest>> {
        manifest::get(&self.store.kv, &manifest::shard_key(b'm', shard.id))
    }
}

type Ends = Vec<(u32, Timestamp)>;

/// The segment of a delta's rows: of each key the versions that a snapshot at or after `horizon`
/// may see, and when they ended. `None` when there are none.
fn build(
    table: &TableMeta,
    entries: Vec<(bytes::Bytes, Versions)>,
    horizon: Timestamp,
    truncations: &[Timestamp],
) -> Result<(Option<Vec<u8>>, Ends)> {
    let mut writer = SegmentWriter::new(table.decoder().clone());
    let mut ends = Vec::new();
    for (key, versions) in entries {
        for (index, version) in versions.iter().enumerate() {
            let Some(row) = &version.row else { continue };
            let ended = versions.get(index + 1).map(|next| next.ts);
            let at = truncations.partition_point(|truncation| *truncation <= version.ts);
            let truncated = truncations.get(at).copied();
            let ended = [ended, truncated].into_iter().flatten().min();
            if ended.is_some_and(|ended| ended <= horizon) {
                continue;
            }
            let stored = StoredRow { key: key.clone(), ts: version.ts, row: row.clone() };
            let number = writer.push(stored)?;
            ends.extend(ended.map(|ended| (number, ended)));
        }
    }
    let bytes = if writer.rows() > 0 { Some(writer.finish()?) } else { None };
    Ok((bytes, ends))
}
