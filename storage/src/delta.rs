//! The delta: recent rows in memory, by key, with their versions.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use bytes::Bytes;
use parking_lot::RwLock;
use satsuma_common::Timestamp;

use crate::index::{DeltaIndex, DeltaIndexes, TableIndex};

/// A row as it was from a commit on; `row` is `None` where it was deleted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Version {
    pub ts: Timestamp,
    pub row: Option<Bytes>,
}

/// Versions of a key, oldest first.
pub type Versions = Vec<Version>;

/// Newest version at or before `snapshot`.
pub fn visible(versions: &[Version], snapshot: Timestamp) -> Option<&Version> {
    versions.iter().rev().find(|version| version.ts <= snapshot)
}

/// Fixed cost of a key and of a version, beside their bytes.
const KEY_OVERHEAD: usize = 72;
const VERSION_OVERHEAD: usize = 48;

#[derive(Debug, Default)]
pub struct Delta {
    rows: RwLock<BTreeMap<Bytes, Versions>>,
    bytes: AtomicUsize,
    /// Keys whose newest version is a row, about.
    live: AtomicUsize,
    /// Moment of the latest TRUNCATE.
    dead_before: AtomicU64,
    indexes: DeltaIndexes,
}

impl Delta {
    /// Adds a version. A version of the same moment is replaced: the last write of a transaction
    /// counts, and a record that is replayed twice does nothing.
    pub fn put(&self, key: Bytes, version: Version) {
        let mut size = VERSION_OVERHEAD + version.row.as_ref().map_or(0, Bytes::len);
        let mut rows = self.rows.write();
        let versions = rows.entry(key.clone()).or_insert_with(|| {
            size += KEY_OVERHEAD + key.len();
            Vec::with_capacity(1)
        });
        let dead_before = self.dead_before.load(Ordering::Relaxed);
        let is_live = |versions: &Versions| {
            versions.last().is_some_and(|v| v.row.is_some() && v.ts.0 >= dead_before)
        };
        let before = is_live(versions);
        if let Some(row) = &version.row {
            self.indexes.written(&key, row);
        }
        match versions.binary_search_by_key(&version.ts, |version| version.ts) {
            Ok(at) => versions[at] = version,
            Err(at) => versions.insert(at, version),
        }
        let after = is_live(versions);
        drop(rows);
        if after && !before {
            self.live.fetch_add(1, Ordering::Relaxed);
        } else if before && !after {
            let less = |live: usize| Some(live.saturating_sub(1));
            let _ = self.live.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less);
        }
        self.bytes.fetch_add(size, Ordering::Relaxed);
    }

    /// The delta's index of this definition, made where it is not there yet.
    pub(crate) fn index(&self, index: &TableIndex) -> Arc<DeltaIndex> {
        if let Some(known) = self.indexes.find(index) {
            return known;
        }
        let rows = self.rows.read();
        let versions = rows.iter().flat_map(|(key, versions)| {
            versions.iter().filter_map(|v| Some((key.clone(), v.row.clone()?)))
        });
        self.indexes.begin(index, versions)
    }

    pub(crate) fn indexes(&self) -> &DeltaIndexes {
        &self.indexes
    }

    pub fn contains(&self, key: &[u8]) -> bool {
        self.rows.read().contains_key(key)
    }

    /// Every key with the moment of its oldest version.
    pub fn first_versions(&self) -> Vec<(Bytes, Timestamp)> {
        let rows = self.rows.read();
        rows.iter().filter_map(|(key, v)| Some((key.clone(), v.first()?.ts))).collect()
    }

    /// Newest version at or before `snapshot`, tombstones included.
    pub fn get(&self, key: &[u8], snapshot: Timestamp) -> Option<Version> {
        visible(self.rows.read().get(key)?, snapshot).cloned()
    }

    /// Up to `limit` keys from `from` on with their visible version; keys without one are left
    /// out. The last key looked at comes back where more may follow.
    pub fn chunk(
        &self,
        from: &Bound<Bytes>,
        to: &Bound<Bytes>,
        snapshot: Timestamp,
        limit: usize,
    ) -> (Vec<(Bytes, Version)>, Option<Bytes>) {
        if is_empty_range(from, to) {
            return (Vec::new(), None);
        }
        let rows = self.rows.read();
        let mut found = Vec::new();
        for (seen, (key, versions)) in rows.range((from.clone(), to.clone())).enumerate() {
            if let Some(version) = visible(versions, snapshot) {
                found.push((key.clone(), version.clone()));
            }
            if seen + 1 >= limit {
                return (found, Some(key.clone()));
            }
        }
        (found, None)
    }

    /// How many keys are in the range, counted up to `most`.
    pub fn count_within(&self, range: &(Bound<Bytes>, Bound<Bytes>), most: usize) -> usize {
        if is_empty_range(&range.0, &range.1) {
            return 0;
        }
        self.rows.read().range::<Bytes, _>((range.0.as_ref(), range.1.as_ref())).take(most).count()
    }

    /// Every key with all its versions, in order.
    pub fn entries(&self) -> Vec<(Bytes, Versions)> {
        self.rows.read().iter().map(|(key, versions)| (key.clone(), versions.clone())).collect()
    }

    pub fn last_key(&self) -> Option<Bytes> {
        self.rows.read().last_key_value().map(|(key, _)| key.clone())
    }

    /// Drops versions that no snapshot at or after `horizon` can see, and with `tombstones` keys
    /// that only say that there is no row.
    pub fn collect(&self, horizon: Timestamp, tombstones: bool) {
        let mut freed = 0;
        self.rows.write().retain(|key, versions| {
            let keep = versions.iter().rposition(|v| v.ts <= horizon).unwrap_or(0);
            for version in versions.drain(..keep) {
                freed += VERSION_OVERHEAD + version.row.map_or(0, |row| row.len());
            }
            let gone = tombstones
                && matches!(&versions[..], [only] if only.row.is_none() && only.ts <= horizon);
            if gone {
                freed += KEY_OVERHEAD + VERSION_OVERHEAD + key.len();
            }
            !gone
        });
        let _ = self.bytes.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |bytes| {
            Some(bytes.saturating_sub(freed))
        });
    }

    /// Rows, about.
    pub fn live(&self) -> usize {
        self.live.load(Ordering::Relaxed)
    }

    /// A TRUNCATE ended all rows.
    pub fn set_dead(&self, before: Timestamp) {
        self.dead_before.fetch_max(before.0, Ordering::Relaxed);
        self.live.store(0, Ordering::Relaxed);
    }

    pub fn len(&self) -> usize {
        self.rows.read().len()
    }

    pub fn is_empty(&self) -> bool {
        self.rows.read().is_empty()
    }

    /// Memory that the delta takes, about, its indexes included.
    pub fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed) + self.indexes.bytes()
    }
}

/// `BTreeMap::range` panics on these.
pub fn is_empty_range(from: &Bound<Bytes>, to: &Bound<Bytes>) -> bool {
    match (from, to) {
        (Bound::Included(a), Bound::Included(b)) => a > b,
        (Bound::Included(a) | Bound::Excluded(a), Bound::Excluded(b))
        | (Bound::Excluded(a), Bound::Included(b)) => a >= b,
        (Bound::Unbounded, _) | (_, Bound::Unbounded) => false,
    }
}
