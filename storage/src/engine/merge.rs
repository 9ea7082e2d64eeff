//! Merging: several segments of a shard become one, without the rows that nobody can see.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::Arc;

use satsuma_common::Timestamp;

use super::Engine;
use crate::error::Result;
use crate::kv::Batch;
use crate::manifest;
use crate::segment::{BLOCK_ROWS, Segment, SegmentWriter};
use crate::shard::Shard;

/// Runs per key are kept to this many.
const MOST_RUNS: usize = 4;
/// Segments within this factor of each other are merged together.
const TIER: u64 = 4;

/// What a choice needs to know of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Run {
    pub rows: u64,
    /// Rows that no snapshot can see any more.
    pub dead: u64,
}

/// Which segments to merge now; nothing: `None`.
///
/// A segment that is mostly dead is written anew by itself. Otherwise, when there are too many
/// runs, the newest ones go together as far as their sizes are alike, so that a row is written
/// again only a logarithmic number of times.
pub fn choose(runs: &[Run]) -> Option<Vec<usize>> {
    if let Some(dead) = runs.iter().position(|run| run.rows > 0 && run.dead * 2 > run.rows) {
        return Some(vec![dead]);
    }
    if runs.len() <= MOST_RUNS {
        return None;
    }
    let mut order: Vec<usize> = (0..runs.len()).collect();
    order.sort_by_key(|index| runs[*index].rows);
    let mut taken = vec![order[0], order[1]];
    let mut total = runs[order[0]].rows + runs[order[1]].rows;
    for index in &order[2..] {
        if runs[*index].rows > total.saturating_mul(TIER) && runs.len() - taken.len() < MOST_RUNS {
            break;
        }
        total += runs[*index].rows;
        taken.push(*index);
    }
    Some(taken)
}

impl Engine {
    /// Nobody wants work on a shard that is gone, and nobody waits long for it who closes the engine
    /// or copies the shard.
    fn is_in_vain(&self, shard: &Shard) -> bool {
        self.is_closed() || self.pins.has_copy_of(shard.group) || !self.meta.read().is_here(shard)
    }

    /// Merges segments of a shard if it has too many, or too many dead rows; `true` if it did.
    pub(crate) fn merge(&self, shard: &Arc<Shard>) -> Result<bool> {
        let _work = shard.work.lock();
        if self.is_in_vain(shard) {
            return Ok(false);
        }
        shard.check()?;
        let contents = shard.contents();
        let horizon = self.horizon();
        let truncations = contents.truncations.clone();
        let dead = |segment: &Segment, row: u32, ts: Option<Timestamp>| -> Result<bool> {
            if ts.is_some_and(|ended| ended <= horizon) {
                return Ok(true);
            }
            if truncations.is_empty() {
                return Ok(false);
            }
            let begun = segment.timestamp(row)?;
            let at = truncations.partition_point(|truncation| *truncation <= begun);
            Ok(truncations.get(at).is_some_and(|truncation| *truncation <= horizon))
        };
        let runs: Vec<_> = contents
            .segments
            .iter()
            .map(|segment| {
                let all_gone = truncations.iter().any(|t| *t > segment.max_ts() && *t <= horizon);
                let ended = segment.marks().iter().filter(|(_, ts)| *ts <= horizon).count() as u64;
                let dead = if all_gone { segment.rows() } else { ended };
                Run { rows: segment.rows(), dead }
            })
            .collect();
        let Some(chosen) = choose(&runs) else { return Ok(false) };
        let Some(table) = self.meta.read().settled_table_of(shard).cloned() else {
            return Ok(false);
        };

        let old: Vec<_> = chosen.iter().map(|index| contents.segments[*index].clone()).collect();
        let marks: Vec<_> = old.iter().map(|segment| segment.marks()).collect();
        let mut writer = SegmentWriter::new(table.decoder().clone());
        let mut moved: Vec<Vec<u32>> =
            old.iter().map(|segment| vec![GONE; segment.rows() as usize]).collect();
        let (mut growing, mut looked_at) = (self.store.growing(), 0);
        let mut heap = BinaryHeap::new();
        for (index, segment) in old.iter().enumerate() {
            if segment.rows() > 0 {
                let row = segment.row(0)?;
                heap.push(Reverse((row.key.clone(), row.ts, index, 0u32, row.row)));
            }
        }
        while let Some(Reverse((key, ts, index, row, bytes))) = heap.pop() {
            let segment = &old[index];
            if !dead(segment, row, marks[index].ended_at(row))? {
                let stored = crate::segment::StoredRow { key, ts, row: bytes };
                moved[index][row as usize] = writer.push(stored)?;
            }
            looked_at += 1;
            if looked_at % BLOCK_ROWS == 0 {
                growing.push(&writer.take())?;
                if self.is_in_vain(shard) {
                    return Ok(false);
                }
            }
            if u64::from(row) + 1 < segment.rows() {
                let next = segment.row(row + 1)?;
                heap.push(Reverse((next.key.clone(), next.ts, index, row + 1, next.row)));
            }
        }

        self.store.kv.check()?;
        let (mut batch, mut unnamed) = (Batch::new(), self.store.unnamed());
        let rows = writer.rows();
        let new = match rows {
            0 => None,
            _ => {
                growing.push(&writer.finish()?)?;
                let (at, segment) = growing.finish(&mut batch)?;
                unnamed.add(at);
                self.build_runs(&table, &segment);
                if self.is_in_vain(shard) {
                    return Ok(false);
                }
                Some(Arc::new(segment))
            }
        };
        let place = |index: usize, row: u32| {
            moved[index].get(row as usize).copied().filter(|place| *place != GONE)
        };
        if let Some(new) = &new {
            for (index, marks) in marks.iter().enumerate() {
                new.end_rows(marks.iter().filter_map(|(row, ts)| Some((place(index, row)?, ts))));
            }
        }
        let kept = contents.segments.iter().filter(|s| !old.iter().any(|o| o.id == s.id));
        let segments: Vec<_> = kept.cloned().chain(new.clone()).collect();
        let before = self.manifest_of(shard)?;
        let after = self.store.manifest(shard, &contents, &segments, contents.sealed)?;
        unnamed.add_marks(&after);
        manifest::put(&mut batch, manifest::shard_key(b'm', shard.id), &after)?;
        // Ends of rows are stored with it.
        self.wal.sync()?;
        self.store.sync_names()?;
        {
            // A successor of a shard that was dropped meanwhile may have a manifest in its place.
            let meta = self.meta.read();
            if !meta.is_here(shard) {
                return Ok(false);
            }
            self.store.kv.write(batch)?;
            unnamed.named();
        }
        self.store.kv.flush()?;
        shard.replace(&old, new, place);
        let mut work = self.work.lock();
        work.merges += 1;
        work.merged_rows += rows;
        drop(work);
        if let Some(before) = before {
            self.store.discard(&before, &after)?;
        }
        Ok(true)
    }
}

/// A row that was left out.
const GONE: u32 = u32::MAX;

#[cfg(test)]
mod tests {
    use super::*;

    fn runs(rows: &[u64]) -> Vec<Run> {
        rows.iter().map(|rows| Run { rows: *rows, dead: 0 }).collect()
    }

    #[test]
    fn few_runs_are_left_alone_and_many_are_merged_small_ones_first() {
        assert_eq!(choose(&runs(&[100, 100, 100, 100])), None);
        assert_eq!(choose(&runs(&[1_000_000, 10, 10, 10, 10])), Some(vec![1, 2, 3, 4]));
        let all = choose(&runs(&[100, 100, 100, 100, 100])).unwrap();
        assert_eq!(all.len(), 5);
        let half = [Run { rows: 10, dead: 5 }, Run { rows: 10, dead: 6 }];
        assert_eq!(choose(&half), Some(vec![1]));
    }

    #[test]
    fn runs_come_down_to_the_bound() {
        let mut rows: Vec<u64> = Vec::new();
        for _ in 0..200 {
            rows.push(1000);
            while let Some(mut chosen) = choose(&runs(&rows)) {
                assert!(chosen.len() > 1);
                chosen.sort_unstable();
                let total = chosen.iter().map(|index| rows[*index]).sum();
                for index in chosen.into_iter().rev() {
                    rows.remove(index);
                }
                rows.push(total);
            }
            assert!(rows.len() <= MOST_RUNS, "{rows:?}");
        }
    }
}
