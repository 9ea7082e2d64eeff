//! Indexes of shards: asking them, and keeping their runs.
//!
//! Segments that live in files have their runs in files beside them; those in the key-value store
//! are small, and so their runs are made again when they are first asked for. A run that is not
//! there yet is no obstacle: a scan takes all rows of the segment as candidates.

use std::collections::{BTreeSet, HashSet};
use std::hash::{BuildHasher, RandomState};
use std::ops::Bound;
use std::sync::Arc;

use bytes::Bytes;
use satsuma_common::{Oid, ShardId, TableId, Timestamp, TxnId};

use super::run_files::part_in_memory;
use super::{Engine, TableMeta};
use crate::error::{Result, StorageError};
use crate::index::{Candidates, IndexScan, Indexing, Probe, RowKeys, Run, RunBuilder, TableIndex};
use crate::segment::Segment;
use crate::shard::{KeyRange, ReadView, ScanOptions, Shard};
use crate::txn::ShardWrites;

/// Entries of a delta that are counted for an estimate.
const COUNT_AT_MOST: usize = 100_000;

impl Engine {
    pub(super) fn indexing(&self, table: Arc<TableMeta>) -> Indexing {
        Indexing { table, expressions: self.options.expressions.clone() }
    }

    /// Rows that may match the probe, and maybe others. `projection` as in [`ScanOptions`].
    pub fn index_scan(
        &self,
        shard: ShardId,
        view: &ReadView,
        probe: &Probe,
        options: &ScanOptions,
    ) -> Result<IndexScan> {
        let (shard, table) = self.shard_and_table(shard)?;
        shard.check()?;
        let index = table.index(probe.index).ok_or(StorageError::NoSuchIndex(probe.index))?.clone();
        let held = self.snapshots.hold(view.snapshot)?;
        let own = self.with_own(shard.id, view, ShardWrites::clone);
        let indexing = self.indexing(table.clone());
        let contents = shard.contents();
        let segments = contents
            .segments
            .iter()
            .map(|segment| {
                self.ask(&indexing, &index, segment, false, |run| run.candidates(&probe.clauses))
            })
            .collect::<Result<_>>()?;
        let deltas = (0..2)
            .filter_map(|at| contents.delta(at))
            .map(|delta| {
                let found = delta.index(&index).candidates(&index, &indexing, &probe.clauses);
                found.into_iter().collect()
            })
            .collect();
        let shape = (options.projection.as_deref(), options.batch_rows);
        let candidates = Candidates { segments, deltas };
        IndexScan::new(table, contents, (view, held), own, candidates, shape)
    }

    /// How many rows a probe finds, about; `None` where part of the index is still to be built.
    pub fn index_estimate(&self, shard: ShardId, probe: &Probe) -> Result<Option<u64>> {
        let (shard, table) = self.shard_and_table(shard)?;
        let index = table.index(probe.index).ok_or(StorageError::NoSuchIndex(probe.index))?.clone();
        let indexing = self.indexing(table);
        let contents = shard.contents();
        let mut least = u64::MAX;
        for clause in &probe.clauses {
            let mut count = 0;
            for segment in contents.segments.iter() {
                match self.ask(&indexing, &index, segment, false, |run| run.count(clause))? {
                    Some(rows) => count += rows,
                    None => return Ok(None),
                }
            }
            for delta in (0..2).filter_map(|at| contents.delta(at)) {
                let known = delta.index(&index);
                count += known.count(&index, &indexing, clause, COUNT_AT_MOST) as u64;
            }
            least = least.min(count);
        }
        Ok(Some(least))
    }

    /// How many rows a scan of a range of the primary key, or of the whole shard, reads, about.
    pub fn range_estimate(&self, shard: ShardId, range: Option<&KeyRange>) -> Result<u64> {
        let shard = self.shard(shard)?;
        let Some(range) = range else { return Ok(shard.rows()) };
        let contents = shard.contents();
        let bounds = crate::shard::as_bytes(range);
        let mut count = 0;
        for segment in contents.segments.iter() {
            let blocks = &segment.footer().blocks;
            let first = match &bounds.0 {
                Bound::Included(from) | Bound::Excluded(from) => {
                    blocks.partition_point(|block| block.last_key[..] < from[..])
                }
                Bound::Unbounded => 0,
            };
            for (at, block) in blocks.iter().enumerate().skip(first) {
                let is_behind = match &bounds.1 {
                    Bound::Included(to) | Bound::Excluded(to) => block.first_key[..] > to[..],
                    Bound::Unbounded => false,
                };
                if is_behind {
                    break;
                }
                count += segment.places_in(at, &bounds)?.len() as u64;
            }
        }
        for delta in (0..2).filter_map(|at| contents.delta(at)) {
            count += delta.count_within(&bounds, COUNT_AT_MOST) as u64;
        }
        Ok(count)
    }

    /// Primary keys of rows whose newest version may have the entry.
    pub(super) fn keys_with_entry(
        &self,
        shard: &Shard,
        indexing: &Indexing,
        index: &TableIndex,
        entry: &[u8],
    ) -> Result<Vec<Bytes>> {
        shard.check()?;
        let contents = shard.contents();
        let clauses = [vec![KeyRange::prefix(entry.to_vec())]];
        let mut keys = Vec::new();
        for delta in (0..2).filter_map(|at| contents.delta(at)) {
            keys.extend(delta.index(index).candidates(index, indexing, &clauses));
        }
        for segment in contents.segments.iter() {
            let found = self.ask(indexing, index, segment, true, |run| run.candidates(&clauses))?;
            let marks = segment.marks();
            for row in found.unwrap_or_default() {
                if marks.ended_at(row).is_none() {
                    keys.push(segment.key(row)?);
                }
            }
        }
        keys.sort_unstable();
        keys.dedup();
        Ok(keys)
    }

    /// What the run of a segment answers. Without `build`, `None` for a large one that has none
    /// yet, or a damaged one: it follows from its segment, and is made again.
    fn ask<T>(
        &self,
        indexing: &Indexing,
        index: &TableIndex,
        segment: &Segment,
        build: bool,
        question: impl Fn(&Run) -> Result<T>,
    ) -> Result<Option<T>> {
        let Some(run) = self.run(indexing, index, segment, build)? else { return Ok(None) };
        match question(&run) {
            Err(error @ StorageError::Corrupt { .. }) if self.store.is_in_file(segment) => {
                tracing::warn!(%error, "an index file cannot be read and is made again");
                self.forget_run(index, segment, &run)?;
                let again = self.run(indexing, index, segment, build)?;
                again.map(|run| question(&run)).transpose()
            }
            answer => answer.map(Some),
        }
    }

    /// Removes a run, unless another one has taken its place.
    fn forget_run(&self, index: &TableIndex, segment: &Segment, run: &Arc<Run>) -> Result<()> {
        let _one = segment.runs.building.lock();
        if segment.runs.get(index).is_some_and(|known| Arc::ptr_eq(&known, run)) {
            let id = index.shape.id;
            self.store.remove_runs(|of, index| of == segment.id && index == id)?;
            segment.runs.remove(id);
        }
        Ok(())
    }

    /// The run of a segment. Without `build`, `None` for a large one that has none yet.
    pub(super) fn run(
        &self,
        indexing: &Indexing,
        index: &TableIndex,
        segment: &Segment,
        build: bool,
    ) -> Result<Option<Arc<Run>>> {
        if let Some(run) = segment.runs.get(index) {
            return Ok(Some(run));
        }
        let _one = segment.runs.building.lock();
        if let Some(run) = segment.runs.get(index) {
            return Ok(Some(run));
        }
        let run = if !self.store.is_in_file(segment) {
            run_in_memory(segment, index, indexing)?
        } else if let Some(run) = self.store.open_run(segment, index)? {
            run
        } else if build {
            let goes_on = || if self.is_closed() { Err(StorageError::Closed) } else { Ok(()) };
            self.store.build_run(segment, index, indexing, goes_on)?
        } else {
            return Ok(None);
        };
        let run = Arc::new(run);
        segment.runs.put(index, run.clone());
        Ok(Some(run))
    }

    /// The same in a segment that a transaction has loaded. Its run has no file: neither may its
    /// own file come to be named.
    pub(super) fn loaded_with_entry(
        &self,
        indexing: &Indexing,
        index: &TableIndex,
        segment: &Segment,
        entry: &[u8],
    ) -> Result<Vec<Bytes>> {
        let run = match segment.runs.get(index) {
            Some(run) => run,
            None => {
                let run = Arc::new(run_in_memory(segment, index, indexing)?);
                segment.runs.put(index, run.clone());
                run
            }
        };
        let rows = run.candidates(&[vec![KeyRange::prefix(entry.to_vec())]])?;
        rows.into_iter().map(|row| segment.key(row)).collect()
    }

    /// Builds the runs that a segment lacks. Without them it reads slower, never wrong.
    pub(super) fn build_runs(&self, table: &Arc<TableMeta>, segment: &Segment) {
        let indexing = self.indexing(table.clone());
        for index in table.indexes().iter().filter(|_| self.store.is_in_file(segment)) {
            if let Err(error) = self.run(&indexing, index, segment, true)
                && !self.is_closed()
            {
                tracing::warn!(index = %index.shape.name, %error, "an index was not built");
            }
        }
    }

    /// Builds indexes of a table over all its rows, anew where they were built before. The newest
    /// rows and those of `txn` itself must have keys that can be evaluated, and distinct ones in a
    /// unique index. The caller keeps others from writing.
    pub fn build_indexes(&self, table: TableId, indexes: &[Oid], txn: TxnId) -> Result<()> {
        let meta = self.table(table).ok_or(StorageError::NoSuchTable(table))?;
        let indexing = self.indexing(meta.clone());
        let shards: Vec<_> = {
            let known = self.meta.read();
            known.present(table).cloned().collect()
        };
        for id in indexes {
            let index = meta.index(*id).ok_or(StorageError::NoSuchIndex(*id))?;
            for shard in &shards {
                for segment in shard.contents().segments.iter() {
                    segment.runs.remove(*id);
                    if self.store.is_in_file(segment) {
                        self.store.remove_runs(|of, index| of == segment.id && index == *id)?;
                    }
                    self.run(&indexing, index, segment, true)?;
                }
                self.check_rows(shard, &indexing, index, txn)?;
            }
        }
        Ok(())
    }

    /// Every row there is now can be in the index.
    fn check_rows(
        &self,
        shard: &Arc<Shard>,
        indexing: &Indexing,
        index: &TableIndex,
        txn: TxnId,
    ) -> Result<()> {
        if !index.shape.unique && !index.has_expressions() {
            return Ok(());
        }
        let view = ReadView::own(Timestamp(u64::MAX), txn);
        let hasher = RandomState::new();
        // Entries may be long and many: what has the same hash is looked at more closely.
        let mut seen = HashSet::new();
        for batch in self.scan(shard.id, &view, &ScanOptions::default())? {
            let batch = batch?;
            let keys =
                index.keys_of_batch(&indexing.table.shape, &batch, &*indexing.expressions)?;
            if !index.shape.unique {
                continue;
            }
            for keys in keys {
                if keys.has_null && !index.shape.nulls_not_distinct {
                    continue;
                }
                for entry in keys.entries {
                    if !seen.insert(hasher.hash_one(&entry))
                        && self.has_several(shard, indexing, index, &entry, &view)?
                    {
                        let (shard, index) = (shard.id, index.shape.id);
                        return Err(StorageError::Duplicates { shard, index, key: entry });
                    }
                }
            }
        }
        if index.shape.unique {
            self.claim_own_rows(shard, indexing, index, txn)?;
        }
        Ok(())
    }

    fn has_several(
        &self,
        shard: &Shard,
        indexing: &Indexing,
        index: &TableIndex,
        entry: &[u8],
        view: &ReadView,
    ) -> Result<bool> {
        let mut count = 0;
        for batch in self.scan(shard.id, view, &ScanOptions::default())? {
            let batch = batch?;
            let keys =
                index.keys_of_batch(&indexing.table.shape, &batch, &*indexing.expressions)?;
            let has = |keys: &&RowKeys| keys.entries.iter().any(|known| known == entry);
            count += keys.iter().filter(has).count();
        }
        Ok(count > 1)
    }

    /// Takes away what is left of indexes that a table no longer has.
    pub(super) fn forget_indexes(&self, table: TableId) -> Result<()> {
        let Some(meta) = self.table(table) else { return Ok(()) };
        let shards: Vec<_> = {
            let known = self.meta.read();
            known.present(table).cloned().collect()
        };
        let mut files = BTreeSet::new();
        for shard in shards {
            let contents = shard.contents();
            for delta in (0..2).filter_map(|at| contents.delta(at)) {
                delta.indexes().retain(meta.indexes());
            }
            for segment in contents.segments.iter() {
                segment.runs.retain(meta.indexes());
                if self.store.is_in_file(segment) {
                    files.insert(segment.id);
                }
            }
        }
        if files.is_empty() {
            return Ok(());
        }
        self.store
            .remove_runs(|segment, index| files.contains(&segment) && meta.index(index).is_none())
    }
}

fn run_in_memory(segment: &Segment, index: &TableIndex, indexing: &Indexing) -> Result<Run> {
    let mut builder = RunBuilder::new(segment, index, indexing);
    let mut parts = vec![part_in_memory(builder.part()?)?];
    while !builder.is_done() {
        parts.push(part_in_memory(builder.part()?)?);
    }
    Ok(Run::new(parts))
}
