//! One shard: its versions, and reading them at a snapshot.

mod filter;
mod scan;
#[cfg(test)]
mod tests;

use std::ops::Bound;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use parking_lot::{Mutex, RwLock};
use satsuma_common::{Datum, GroupId, Lsn, ShardId, TableId, Timestamp, TxnId, key};

use crate::delta::{Delta, Version};
use crate::engine::{Held, TableMeta};
use crate::error::{Result, StorageError};
use crate::segment::Segment;
use crate::txn::ShardWrites;
use crate::wal::record::{Attached, Op};

pub use filter::RowFilter;
pub use scan::Scan;

/// What a read sees: rows committed at or before `snapshot`, and the writes of `txn` itself by
/// statements before `before_statement` (all of them with `None`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReadView {
    pub snapshot: Timestamp,
    pub txn: Option<TxnId>,
    pub before_statement: Option<u32>,
}

impl ReadView {
    pub fn new(snapshot: Timestamp) -> Self {
        Self { snapshot, txn: None, before_statement: None }
    }

    /// The snapshot with the transaction's own writes over it.
    pub fn own(snapshot: Timestamp, txn: TxnId) -> Self {
        Self { snapshot, txn: Some(txn), before_statement: None }
    }

    /// Own writes only of statements before this one, so that a statement does not see what it
    /// does itself.
    pub fn before(self, statement: u32) -> Self {
        Self { before_statement: Some(statement), ..self }
    }
}

/// Encoded keys from and to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyRange {
    pub from: Bound<Vec<u8>>,
    pub to: Bound<Vec<u8>>,
}

impl KeyRange {
    /// Keys that start with `prefix`: rows whose first key columns are given.
    pub fn prefix(prefix: Vec<u8>) -> Self {
        let to = key::prefix_end(&prefix).map_or(Bound::Unbounded, Bound::Excluded);
        Self { from: Bound::Included(prefix), to }
    }

    pub fn exactly(key: Vec<u8>) -> Self {
        Self { from: Bound::Included(key.clone()), to: Bound::Included(key) }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CompareOp {
    Eq,
    NotEq,
    Less,
    LessOrEq,
    Greater,
    GreaterOrEq,
    IsNull,
    IsNotNull,
}

/// A condition on the column at a position of the shape, for skipping what cannot match. Rows that
/// do not match may come all the same.
#[derive(Clone, Debug, PartialEq)]
pub struct Predicate {
    pub column: usize,
    pub op: CompareOp,
    pub value: Datum,
}

#[derive(Clone, Debug)]
pub struct ScanOptions {
    /// Positions in the shape; its number of columns stands for the hidden key. `None`: every
    /// column and then the key.
    pub projection: Option<Vec<usize>>,
    /// Exact: only rows in this range come.
    pub key_range: Option<KeyRange>,
    /// All hold (AND).
    pub predicates: Vec<Predicate>,
    /// Exact: only rows for which all are true come. Evaluated in this order, each on the rows
    /// that those before it have left.
    pub filters: Vec<Arc<dyn RowFilter>>,
    /// At least this many rows are enough.
    pub limit: Option<usize>,
    /// Rows per batch, at most.
    pub batch_rows: usize,
}

impl Default for ScanOptions {
    fn default() -> Self {
        Self {
            projection: None,
            key_range: None,
            predicates: Vec::new(),
            filters: Vec::new(),
            limit: None,
            batch_rows: 8192,
        }
    }
}

/// A shard's rows, in layers. A row lives in one of them:
///
/// ```text
/// active delta   what was committed lately
/// frozen delta   on its way into a segment
/// segments       sealed; marks tell which rows have ended
/// ```
#[derive(Debug)]
pub struct Shard {
    pub id: ShardId,
    pub group: GroupId,
    pub table: TableId,
    /// LSN of the record that made it.
    pub created: Lsn,
    state: RwLock<Contents>,
    /// One at a time seals or merges.
    pub(crate) work: Mutex<()>,
    next_row_id: AtomicU64,
    last_lsn: AtomicU64,
    /// First LSN that a replay would need for the active and the frozen delta.
    active_from: AtomicU64,
    frozen_from: AtomicU64,
    /// Last record in the frozen delta.
    frozen_upto: AtomicU64,
    damage: Mutex<Option<StorageError>>,
    /// Segments of transactions that are loading, in the order in which they came.
    loaders: Mutex<Vec<(TxnId, Arc<Segment>)>>,
}

/// What a reader holds on to.
#[derive(Clone, Debug, Default)]
pub(crate) struct Contents {
    pub active: Arc<Delta>,
    pub frozen: Option<Arc<Delta>>,
    pub segments: Arc<Vec<Arc<Segment>>>,
    /// Moments of TRUNCATEs: a version is gone from the first one after it on.
    pub truncations: Arc<Vec<Timestamp>>,
    /// Records up to here are in the segments.
    pub sealed: u64,
    /// Records beyond it that brought a segment, and the segment.
    pub attached: Arc<Vec<(u64, u64)>>,
}

impl Contents {
    /// Segments with rows that came after the last TRUNCATE.
    pub fn untruncated(&self) -> Vec<Arc<Segment>> {
        let last = self.truncations.last().copied().unwrap_or_default();
        self.segments.iter().filter(|segment| segment.max_ts() >= last).cloned().collect()
    }
}

/// What a manifest says of a shard, opened.
#[derive(Debug, Default)]
pub(crate) struct Stored {
    pub segments: Vec<Arc<Segment>>,
    pub truncations: Vec<Timestamp>,
    pub sealed: u64,
    pub next_row_id: u64,
    pub attached: Vec<(u64, u64)>,
}

/// A delta that is being sealed.
#[derive(Debug)]
pub(crate) struct Frozen {
    pub delta: Arc<Delta>,
    /// Records up to here are in it, or sealed before.
    pub upto: u64,
}

const NONE: u64 = u64::MAX;
/// Keys of a delta are counted up to this many.
const FEW_ROWS: usize = 10_000;

impl Contents {
    /// Nothing can have been committed since `before` was looked at.
    pub(crate) fn is_still(&self, before: &Self) -> bool {
        let is_empty = |contents: &Self| contents.active.is_empty() && contents.frozen.is_none();
        Arc::ptr_eq(&self.segments, &before.segments) && is_empty(self)
    }

    fn delta_bytes(&self) -> u64 {
        let frozen = self.frozen.as_ref().map_or(0, |frozen| frozen.bytes());
        (self.active.bytes() + frozen) as u64
    }

    /// The deltas, older first.
    pub(crate) fn delta(&self, index: usize) -> Option<&Arc<Delta>> {
        match (&self.frozen, index) {
            (Some(frozen), 0) => Some(frozen),
            (Some(_), 1) | (None, 0) => Some(&self.active),
            _ => None,
        }
    }
}

impl Shard {
    pub fn new(id: ShardId, group: GroupId, table: TableId, created: Lsn) -> Self {
        Self {
            id,
            group,
            table,
            created,
            // No record before its own is one of its rows.
            state: RwLock::new(Contents { sealed: created.0, ..Contents::default() }),
            work: Mutex::default(),
            next_row_id: AtomicU64::new(1),
            last_lsn: AtomicU64::new(0),
            active_from: AtomicU64::new(NONE),
            frozen_from: AtomicU64::new(NONE),
            frozen_upto: AtomicU64::new(0),
            damage: Mutex::default(),
            loaders: Mutex::default(),
        }
    }

    /// Takes what a manifest holds. Only at start.
    pub(crate) fn restore(&self, stored: Stored) {
        let mut state = self.state.write();
        state.segments = Arc::new(stored.segments);
        state.truncations = Arc::new(stored.truncations);
        state.sealed = stored.sealed;
        state.attached = Arc::new(stored.attached);
        self.next_row_id.fetch_max(stored.next_row_id, Ordering::Relaxed);
        self.last_lsn.fetch_max(stored.sealed, Ordering::Relaxed);
    }

    /// A key for a row without a primary key.
    pub fn new_row_key(&self) -> Bytes {
        key::row_id_key(self.next_row_id.fetch_add(1, Ordering::Relaxed)).into()
    }

    pub(crate) fn next_row_id(&self) -> u64 {
        self.next_row_id.load(Ordering::Relaxed)
    }

    /// Later row ids are above that of this key.
    pub(crate) fn note_row_id(&self, key: &[u8]) {
        if let Some(id) = key::row_id(key) {
            self.next_row_id.fetch_max(id.saturating_add(1), Ordering::Relaxed);
        }
    }

    pub(crate) fn add_loader(&self, txn: TxnId, segment: Arc<Segment>) {
        self.loaders.lock().push((txn, segment));
    }

    pub(crate) fn remove_loader(&self, segment: u64) {
        self.loaders.lock().retain(|(_, loaded)| loaded.id != segment);
    }

    /// Segments of other transactions, those that came before `mine` with one.
    pub(crate) fn loaders(&self, txn: TxnId, mine: Option<u64>) -> Vec<(TxnId, Arc<Segment>)> {
        let loaders = self.loaders.lock();
        let earlier = loaders.iter().take_while(|(_, segment)| Some(segment.id) != mine);
        earlier.filter(|(other, _)| *other != txn).cloned().collect()
    }

    /// Whether a record's segment is here already, or was and has been merged.
    pub(crate) fn has_attached(&self, lsn: Lsn, segment: u64) -> bool {
        let state = self.state.read();
        lsn.0 <= state.sealed || state.attached.iter().any(|(_, id)| *id == segment)
    }

    fn attach(&self, lsn: Lsn, from: Lsn, ts: Timestamp, segment: &Arc<Segment>, hidden_key: bool) {
        let mut state = self.state.write();
        if lsn.0 <= state.sealed || state.attached.iter().any(|(_, id)| *id == segment.id) {
            return;
        }
        segment.set_committed(ts);
        if hidden_key {
            self.note_row_id(segment.footer().last_key());
        }
        self.active_from.fetch_min(from.0, Ordering::AcqRel);
        let mut segments = (*state.segments).clone();
        segments.push(segment.clone());
        state.segments = Arc::new(segments);
        let mut attached = (*state.attached).clone();
        attached.push((lsn.0, segment.id));
        state.attached = Arc::new(attached);
    }

    /// Makes a commit's operations visible at `ts`. `from` is the first record that a replay would
    /// need for them; `hidden_key`: keys are row ids. What is sealed already is left out. Only at
    /// the end is the record one that can be sealed: the delta may be frozen between two operations.
    pub fn apply(&self, lsn: Lsn, from: Lsn, ts: Timestamp, ops: &[Op], hidden_key: bool) {
        if ops.contains(&Op::Truncate) {
            self.truncate(lsn, ts);
        }
        for op in ops {
            if let Op::Attach(Attached { segment: Some(segment), .. }) = op {
                self.attach(lsn, from, ts, segment, hidden_key);
            }
        }
        let state = self.state.read();
        if lsn.0 <= state.sealed {
            return;
        }
        self.active_from.fetch_min(from.0, Ordering::AcqRel);
        // Nobody reads or seals them; the log has them.
        if self.check().is_err() {
            return;
        }
        for op in ops {
            let (key, row) = match op {
                Op::Put { key, row } => (key, Some(row.clone())),
                Op::Delete { key } => (key, None),
                Op::Truncate | Op::Attach(_) => continue,
            };
            if hidden_key && let Some(id) = key::row_id(key) {
                self.next_row_id.fetch_max(id.saturating_add(1), Ordering::Relaxed);
            }
            let known = state.active.contains(key)
                || state.frozen.as_ref().is_some_and(|frozen| frozen.contains(key));
            state.active.put(key.clone(), Version { ts, row });
            // What a delta knows of a key may be older than a segment that was attached since.
            if (!known || !state.attached.is_empty())
                && let Err(error) = end_in_segments(&state.segments, key, ts)
            {
                self.set_damaged(error);
            }
        }
        self.last_lsn.fetch_max(lsn.0, Ordering::AcqRel);
    }

    fn truncate(&self, lsn: Lsn, ts: Timestamp) {
        let mut state = self.state.write();
        if lsn.0 <= state.sealed {
            return;
        }
        let mut truncations = (*state.truncations).clone();
        if let Err(at) = truncations.binary_search(&ts) {
            truncations.insert(at, ts);
        }
        state.truncations = Arc::new(truncations);
        state.active.set_dead(ts);
        if let Some(frozen) = &state.frozen {
            frozen.set_dead(ts);
        }
    }

    /// A segment cannot be read, so that rows would be missing, or shown after their end: from now
    /// on the shard refuses.
    pub(crate) fn set_damaged(&self, error: StorageError) {
        tracing::error!(shard = %self.id, %error, "shard is damaged");
        self.damage.lock().get_or_insert(error);
    }

    /// Records of the shard are lost: whatever else is wrong with it may follow from that.
    pub(crate) fn set_lost(&self, error: StorageError) {
        tracing::error!(shard = %self.id, %error, "shard has lost records");
        *self.damage.lock() = Some(error);
    }

    /// Lets go of the rows of a damaged shard. The log keeps them, for a start that finds it whole.
    pub(crate) fn forget_rows(&self) {
        let mut state = self.state.write();
        if self.check().is_err() && state.delta_bytes() > 0 {
            state.active = Arc::default();
            state.frozen = state.frozen.take().map(|_| Arc::default());
        }
    }

    pub(crate) fn check(&self) -> Result<()> {
        match &*self.damage.lock() {
            Some(error) => Err(error.clone()),
            None => Ok(()),
        }
    }

    pub(crate) fn contents(&self) -> Contents {
        self.state.read().clone()
    }

    /// The layers with the first record that is needed to make their deltas anew.
    pub(crate) fn capture(&self) -> (Contents, Option<u64>) {
        let state = self.state.read();
        let from = self.active_from.load(Ordering::Acquire);
        let from = from.min(self.frozen_from.load(Ordering::Acquire));
        (state.clone(), (from != NONE).then_some(from))
    }

    /// The newest version at or before `snapshot`: `row` is `None` where it says that there is no
    /// row any more.
    pub fn get(&self, key: &[u8], snapshot: Timestamp) -> Result<Option<Version>> {
        self.check()?;
        let contents = self.contents();
        let in_delta = contents
            .active
            .get(key, snapshot)
            .or_else(|| contents.frozen.as_ref().and_then(|frozen| frozen.get(key, snapshot)));
        let version = match in_delta {
            Some(version) if contents.attached.is_empty() => Some(version),
            Some(version) => match find_in_segments(&contents.segments, key, snapshot)? {
                // Loaded after what the delta says of the key.
                Some(loaded) if loaded.row.is_some() && loaded.ts > version.ts => Some(loaded),
                _ => Some(version),
            },
            None => find_in_segments(&contents.segments, key, snapshot)?,
        };
        Ok(version.map(|version| match truncated_at(&contents.truncations, version.ts, snapshot) {
            Some(ts) => Version { ts, row: None },
            None => version,
        }))
    }

    /// The newest committed version.
    pub fn newest(&self, key: &[u8]) -> Result<Option<Version>> {
        self.get(key, Timestamp(u64::MAX))
    }

    /// Drops versions that no snapshot at or after `horizon` can see.
    pub fn collect(&self, horizon: Timestamp) {
        let state = self.state.read();
        // A tombstone is still needed where its row is on the way into a segment.
        state.active.collect(horizon, state.frozen.is_none());
    }

    /// Forgets TRUNCATEs that every snapshot sees and that no row is older than.
    pub(crate) fn forget_truncations(&self, horizon: Timestamp) {
        let mut state = self.state.write();
        if state.truncations.is_empty() || state.frozen.is_some() {
            return;
        }
        let sealed = state.segments.iter().map(|segment| segment.min_ts().0).min();
        let active = state.active.first_versions().into_iter().map(|(_, ts)| ts.0).min();
        let oldest = sealed.into_iter().chain(active).min().unwrap_or(u64::MAX);
        let needed = |ts: &&Timestamp| **ts > horizon || ts.0 > oldest;
        state.truncations = Arc::new(state.truncations.iter().filter(needed).copied().collect());
    }

    /// Live rows, about.
    pub fn rows(&self) -> u64 {
        let contents = self.contents();
        let truncated = contents.truncations.last().map_or(0, |ts| ts.0);
        let sealed: u64 = contents
            .segments
            .iter()
            .filter(|segment| segment.max_ts().0 >= truncated)
            .map(|segment| segment.rows().saturating_sub(segment.marks().len() as u64))
            .sum();
        let frozen = contents.frozen.as_ref().map_or(0, |frozen| frozen.live());
        sealed + (frozen + contents.active.live()) as u64
    }

    /// Rows whose keys are in the range, about: marks are not looked at, and of the deltas no more
    /// than a bound of their size.
    pub fn rows_within(&self, range: &KeyRange) -> Result<u64> {
        let bound = |bound: &Bound<Vec<u8>>| bound.as_ref().map(|key| Bytes::copy_from_slice(key));
        let range = (bound(&range.from), bound(&range.to));
        let contents = self.contents();
        let mut rows = 0;
        for segment in contents.segments.iter() {
            for (index, block) in segment.footer().blocks.iter().enumerate() {
                let before = match &range.0 {
                    Bound::Included(from) | Bound::Excluded(from) => block.last_key[..] < from[..],
                    Bound::Unbounded => false,
                };
                let after = match &range.1 {
                    Bound::Included(to) | Bound::Excluded(to) => block.first_key[..] > to[..],
                    Bound::Unbounded => false,
                };
                if !before && !after {
                    rows += segment.places_in(index, &range)?.len() as u64;
                }
            }
        }
        let most = FEW_ROWS - FEW_ROWS.min(rows as usize);
        let deltas = contents.frozen.iter().chain([&contents.active]);
        Ok(rows + deltas.map(|delta| delta.count_within(&range, most) as u64).sum::<u64>())
    }

    /// Whether there is no row of whatever version. Of a damaged shard it is not known.
    pub fn is_bare(&self) -> bool {
        let contents = self.contents();
        self.check().is_ok()
            && contents.active.is_empty()
            && contents.frozen.is_none()
            && contents.segments.is_empty()
    }

    /// Bytes in memory and in segments.
    pub fn bytes(&self) -> u64 {
        let sealed: u64 = self.contents().segments.iter().map(|segment| segment.size()).sum();
        sealed + self.delta_bytes()
    }

    pub fn delta_bytes(&self) -> u64 {
        self.contents().delta_bytes()
    }

    /// First record that is needed to make the deltas anew.
    pub(crate) fn log_from(&self) -> Option<u64> {
        self.capture().1
    }

    /// Sets the active delta aside for sealing; the same again when sealing it failed before.
    /// `None` when there is nothing to seal, and of a damaged shard, whose delta may lack rows.
    pub(crate) fn freeze(&self) -> Option<Frozen> {
        let mut state = self.state.write();
        if self.check().is_err() {
            return None;
        }
        if let Some(delta) = &state.frozen {
            let upto = self.frozen_upto.load(Ordering::Acquire);
            return Some(Frozen { delta: delta.clone(), upto });
        }
        let from = self.active_from.load(Ordering::Acquire);
        if from == NONE {
            return None;
        }
        let delta = std::mem::take(&mut state.active);
        state.frozen = Some(delta.clone());
        self.frozen_from.store(from, Ordering::Release);
        let upto = self.last_lsn.load(Ordering::Acquire);
        self.frozen_upto.store(upto, Ordering::Release);
        self.active_from.store(NONE, Ordering::Release);
        Some(Frozen { delta, upto })
    }

    /// Puts a sealed segment in the place of the frozen delta.
    pub(crate) fn install(&self, sealed: u64, segment: Option<Arc<Segment>>) {
        let mut state = self.state.write();
        if let Some(segment) = segment {
            // What was written since the delta was frozen ends rows of the new segment.
            for (key, first) in state.active.first_versions() {
                if let Err(error) = end_in_segment(&segment, &key, first) {
                    self.set_damaged(error);
                }
            }
            let mut segments = (*state.segments).clone();
            segments.push(segment);
            state.segments = Arc::new(segments);
        }
        state.frozen = None;
        state.sealed = sealed;
        state.attached =
            Arc::new(state.attached.iter().filter(|(lsn, _)| *lsn > sealed).copied().collect());
        self.frozen_from.store(NONE, Ordering::Release);
    }

    /// Puts a merged segment in the place of others. `moved` tells where their rows went.
    pub(crate) fn replace(
        &self,
        old: &[Arc<Segment>],
        new: Option<Arc<Segment>>,
        moved: impl Fn(usize, u32) -> Option<u32>,
    ) {
        let mut state = self.state.write();
        if let Some(new) = &new {
            for (index, segment) in old.iter().enumerate() {
                let marks = segment.marks();
                let ends = marks.iter().filter_map(|(row, ts)| Some((moved(index, row)?, ts)));
                new.end_rows(ends);
            }
        }
        let is_old = |segment: &Arc<Segment>| old.iter().any(|old| old.id == segment.id);
        let mut segments: Vec<_> =
            state.segments.iter().filter(|segment| !is_old(segment)).cloned().collect();
        segments.extend(new);
        state.segments = Arc::new(segments);
    }

    pub(crate) fn scan(
        &self,
        table: Arc<TableMeta>,
        view: &ReadView,
        held: Held,
        own: Option<ShardWrites>,
        options: &ScanOptions,
    ) -> Result<Scan> {
        self.check()?;
        Scan::new(table, self.contents(), (view, held), own, options)
    }
}

/// The range as bounds of keys.
pub(crate) fn as_bytes(range: &KeyRange) -> (Bound<Bytes>, Bound<Bytes>) {
    let bound = |bound: &Bound<Vec<u8>>| bound.as_ref().map(|key| Bytes::copy_from_slice(key));
    (bound(&range.from), bound(&range.to))
}

/// Marks the live row with this key, in whichever segment it is.
fn end_in_segments(segments: &[Arc<Segment>], key: &[u8], ts: Timestamp) -> Result<()> {
    segments.iter().try_for_each(|segment| end_in_segment(segment, key, ts))
}

fn end_in_segment(segment: &Segment, key: &[u8], ts: Timestamp) -> Result<()> {
    let rows = segment.find(key)?;
    if rows.is_empty() {
        return Ok(());
    }
    let marks = segment.marks();
    let mut live = Vec::new();
    for row in rows.filter(|row| marks.ended_at(*row).is_none_or(|ended| ended > ts)) {
        // A record that is replayed does not end what came after it.
        if segment.timestamp(row)? <= ts {
            live.push((row, ts));
        }
    }
    // Marks that somebody holds are copied before they change.
    drop(marks);
    if !live.is_empty() {
        segment.end_rows(live);
    }
    Ok(())
}

/// The last thing that happened to a key at or before `snapshot`.
fn find_in_segments(
    segments: &[Arc<Segment>],
    key: &[u8],
    snapshot: Timestamp,
) -> Result<Option<Version>> {
    // A row's end and the next row's beginning are the same moment: the row counts.
    let mut last: Option<Timestamp> = None;
    let mut live: Option<(&Arc<Segment>, u32)> = None;
    for segment in segments {
        let rows = segment.find(key)?;
        if rows.is_empty() {
            continue;
        }
        let marks = segment.marks();
        for row in rows {
            let begun = segment.timestamp(row)?;
            // Loaded and changed again by one transaction: nobody has seen it.
            if marks.ended_at(row) == Some(begun) {
                continue;
            }
            if begun <= snapshot && last.is_none_or(|last| begun >= last) {
                (last, live) = (Some(begun), Some((segment, row)));
            }
            let ended = marks.ended_at(row).filter(|ended| *ended <= snapshot);
            if ended.is_some_and(|ended| last.is_none_or(|last| ended > last)) {
                (last, live) = (ended, None);
            }
        }
    }
    let Some(ts) = last else { return Ok(None) };
    let row = live.map(|(segment, row)| segment.row(row)).transpose()?.map(|stored| stored.row);
    Ok(Some(Version { ts, row }))
}

/// The first TRUNCATE after `ts` that `snapshot` sees.
pub(crate) fn truncated_at(
    truncations: &[Timestamp],
    ts: Timestamp,
    snapshot: Timestamp,
) -> Option<Timestamp> {
    let at = truncations.partition_point(|truncation| *truncation <= ts);
    truncations.get(at).copied().filter(|truncation| *truncation <= snapshot)
}
