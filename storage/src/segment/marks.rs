//! Which rows of a segment have ended, and when: they were updated or deleted.

use std::collections::BTreeMap;

use satsuma_common::Timestamp;
use serde::{Deserialize, Serialize};

/// Row number within the segment to the commit that ended the row.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Marks(BTreeMap<u32, u64>);

impl Marks {
    /// The earliest end counts: repeating a commit changes nothing, and a row that was deleted
    /// before a TRUNCATE may have been sealed after it.
    pub fn end(&mut self, row: u32, ts: Timestamp) {
        let end = self.0.entry(row).or_insert(ts.0);
        *end = ts.0.min(*end);
    }

    pub fn ended_at(&self, row: u32) -> Option<Timestamp> {
        self.0.get(&row).copied().map(Timestamp)
    }

    /// Rows of `first..first + rows` that ended at or before `snapshot`.
    pub fn ended(
        &self,
        first: u32,
        rows: u32,
        snapshot: Timestamp,
    ) -> impl Iterator<Item = u32> + '_ {
        self.0
            .range(first..first.saturating_add(rows))
            .filter(move |(_, ts)| **ts <= snapshot.0)
            .map(|(row, _)| *row)
    }

    pub fn iter(&self) -> impl Iterator<Item = (u32, Timestamp)> + '_ {
        self.0.iter().map(|(row, ts)| (*row, Timestamp(*ts)))
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}
