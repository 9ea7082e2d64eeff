//! The indexes of a delta: ordered entries with the primary keys of the rows that have them.
//!
//! An index begins when it is first asked, with all that the delta holds; from then on writes
//! queue behind it, and whoever asks takes them in first. Entries are never taken out: they go
//! with the delta when it is sealed.

use std::collections::BTreeSet;
use std::ops::Bound;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use parking_lot::{Mutex, RwLock};
use satsuma_common::Oid;

use super::definition::{Indexing, TableIndex, half_open, with_unknown};
use crate::shard::KeyRange;

/// Rows whose entries are worked out at once.
const BATCH: usize = 1024;
/// Fixed cost of an entry, beside its bytes.
const ENTRY_OVERHEAD: usize = 96;

/// The indexes of a delta that have been asked for.
#[derive(Debug, Default)]
pub(crate) struct DeltaIndexes(RwLock<Vec<Arc<DeltaIndex>>>);

#[derive(Debug)]
pub(crate) struct DeltaIndex {
    id: Oid,
    fingerprint: u32,
    /// (entry, primary key).
    entries: RwLock<BTreeSet<(Vec<u8>, Bytes)>>,
    /// Rows that are not in it yet, with their primary keys.
    waiting: Mutex<Vec<(Bytes, Bytes)>>,
    bytes: AtomicUsize,
}

impl DeltaIndexes {
    /// A row was written. The caller holds the delta's rows for writing.
    pub fn written(&self, key: &Bytes, row: &Bytes) {
        for index in self.0.read().iter() {
            index.waiting.lock().push((key.clone(), row.clone()));
        }
    }

    pub fn find(&self, index: &TableIndex) -> Option<Arc<DeltaIndex>> {
        let known = self.0.read();
        known.iter().find(|known| known.is(index)).cloned()
    }

    /// Begins an index. The caller holds the delta's rows, so that none is written meanwhile.
    pub fn begin(
        &self,
        index: &TableIndex,
        rows: impl IntoIterator<Item = (Bytes, Bytes)>,
    ) -> Arc<DeltaIndex> {
        let mut known = self.0.write();
        if let Some(known) = known.iter().find(|known| known.is(index)) {
            return known.clone();
        }
        let begun = Arc::new(DeltaIndex {
            id: index.shape.id,
            fingerprint: index.fingerprint,
            entries: RwLock::default(),
            waiting: Mutex::new(rows.into_iter().collect()),
            bytes: AtomicUsize::new(0),
        });
        known.push(begun.clone());
        begun
    }

    /// Forgets indexes that the table does not have.
    pub fn retain(&self, indexes: &[Arc<TableIndex>]) {
        self.0.write().retain(|known| indexes.iter().any(|index| known.is(index)));
    }

    pub fn bytes(&self) -> usize {
        self.0.read().iter().map(|index| index.bytes()).sum()
    }

    pub fn bytes_of(&self, id: Oid) -> usize {
        self.0.read().iter().filter(|index| index.id == id).map(|index| index.bytes()).sum()
    }
}

impl DeltaIndex {
    fn is(&self, index: &TableIndex) -> bool {
        self.id == index.shape.id && self.fingerprint == index.fingerprint
    }

    fn bytes(&self) -> usize {
        let waiting = self.waiting.lock().len() * std::mem::size_of::<(Bytes, Bytes)>();
        self.bytes.load(Ordering::Relaxed) + waiting
    }

    /// Takes in what was written.
    fn catch_up(&self, index: &TableIndex, indexing: &Indexing) {
        if self.waiting.lock().is_empty() {
            return;
        }
        // Taken under the entries' lock: who asks next must find these rows in one or the other.
        let mut entries = self.entries.write();
        let waiting = std::mem::take(&mut *self.waiting.lock());
        let mut added = 0;
        for chunk in waiting.chunks(BATCH) {
            let rows: Vec<Bytes> = chunk.iter().map(|(_, row)| row.clone()).collect();
            let keys = index.entries_of_rows(&indexing.table, &rows, &*indexing.expressions);
            for ((key, _), row_entries) in chunk.iter().zip(keys) {
                for entry in row_entries {
                    let size = ENTRY_OVERHEAD + entry.len();
                    if entries.insert((entry, key.clone())) {
                        added += size;
                    }
                }
            }
        }
        self.bytes.fetch_add(added, Ordering::Relaxed);
    }

    /// Primary keys of the rows that may match.
    pub fn candidates(
        &self,
        index: &TableIndex,
        indexing: &Indexing,
        clauses: &[Vec<KeyRange>],
    ) -> BTreeSet<Bytes> {
        self.catch_up(index, indexing);
        let entries = self.entries.read();
        let mut found: Option<BTreeSet<Bytes>> = None;
        for clause in clauses {
            let mut keys = BTreeSet::new();
            for range in with_unknown(clause) {
                keys.extend(in_range(&entries, &range).map(|(_, key)| key.clone()));
            }
            found = Some(match found {
                None => keys,
                Some(earlier) => earlier.intersection(&keys).cloned().collect(),
            });
        }
        found.unwrap_or_default()
    }

    /// How many entries match, up to `most`.
    pub fn count(
        &self,
        index: &TableIndex,
        indexing: &Indexing,
        clause: &[KeyRange],
        most: usize,
    ) -> usize {
        self.catch_up(index, indexing);
        let entries = self.entries.read();
        let mut count = 0;
        for range in clause {
            count += in_range(&entries, range).take(most.saturating_sub(count)).count();
        }
        count
    }
}

fn in_range<'a>(
    entries: &'a BTreeSet<(Vec<u8>, Bytes)>,
    range: &KeyRange,
) -> impl Iterator<Item = &'a (Vec<u8>, Bytes)> {
    let (from, to) = half_open(range);
    let is_empty = to.as_ref().is_some_and(|to| from >= *to);
    let from = Bound::Included((from.into_owned(), Bytes::new()));
    let to = match to {
        Some(to) => Bound::Excluded((to.into_owned(), Bytes::new())),
        None => Bound::Unbounded,
    };
    // `BTreeSet::range` panics where the bounds are the wrong way round.
    (!is_empty).then(|| entries.range((from, to))).into_iter().flatten()
}
