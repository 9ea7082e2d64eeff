//! A transaction's writes, in memory until it commits.

use std::collections::BTreeMap;
use std::path::PathBuf;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use parking_lot::Mutex;
use satsuma_common::{Lsn, ShardId, Timestamp, TxnId};

use crate::disk::Disk;
use crate::error::Result;
use crate::segment::Segment;
use crate::shard::Shard;

/// How far a transaction has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    Open,
    /// Its record is on the way to the log.
    Deciding,
    Prepared(Timestamp),
    /// Committed or aborted.
    Ended,
}

#[derive(Debug)]
pub struct Txn {
    pub id: TxnId,
    pub state: Mutex<TxnState>,
}

#[derive(Debug)]
pub struct TxnState {
    pub phase: Phase,
    pub shards: BTreeMap<ShardId, ShardWrites>,
    pub bytes: usize,
    /// First record of a prepared transaction.
    pub logged_from: Option<Lsn>,
    next_order: u64,
    /// Of statements that took locks, in order, how many there were before.
    locks_before: Vec<(u32, usize)>,
}

/// Writes to one shard.
#[derive(Clone, Debug, Default)]
pub struct ShardWrites {
    /// Per key what the transaction did to it, oldest first.
    rows: BTreeMap<Bytes, Vec<Write>>,
    /// TRUNCATEs, oldest first, as (statement, order).
    truncates: Vec<(u32, u64)>,
    /// Segments of loads, oldest first. Writes to their rows come after them.
    loaded: Vec<Arc<Loaded>>,
    /// Rows that may have an entry of a unique index, by the entry's lock.
    claims: BTreeMap<Bytes, Vec<Bytes>>,
}

/// A segment of rows that the transaction has loaded. Its shard knows of its keys until it is
/// dropped; with it goes the file, unless a record may name it.
#[derive(Debug)]
pub struct Loaded {
    statement: u32,
    order: u64,
    pub segment: Arc<Segment>,
    shard: Arc<Shard>,
    file: LoadedFile,
}

/// The file of a loaded segment. It goes with this, unless it is kept.
#[derive(Debug)]
pub struct LoadedFile {
    pub disk: Arc<dyn Disk>,
    pub path: PathBuf,
    pub kept: AtomicBool,
}

impl Drop for LoadedFile {
    fn drop(&mut self) {
        if !self.kept.load(Ordering::Acquire)
            && let Err(error) = self.disk.remove(&self.path)
        {
            // It is an orphan for the next start.
            tracing::warn!(path = %self.path.display(), %error, "file stays");
        }
    }
}

impl Loaded {
    pub fn new(
        txn: TxnId,
        statement: u32,
        shard: Arc<Shard>,
        segment: Arc<Segment>,
        file: LoadedFile,
    ) -> Self {
        shard.add_loader(txn, segment.clone());
        Self { statement, order: 0, segment, shard, file }
    }
}

impl Drop for Loaded {
    fn drop(&mut self) {
        self.shard.remove_loader(self.segment.id);
    }
}

#[derive(Clone, Debug)]
struct Write {
    statement: u32,
    /// Orders all writes of the transaction.
    order: u64,
    row: Option<Bytes>,
}

/// What a transaction sees of its own writes to a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Own {
    Row(Bytes),
    Deleted,
}

impl Txn {
    pub fn new(id: TxnId) -> Self {
        Self::with_phase(id, Phase::Open)
    }

    pub fn with_phase(id: TxnId, phase: Phase) -> Self {
        let state = TxnState {
            phase,
            shards: BTreeMap::new(),
            bytes: 0,
            logged_from: None,
            next_order: 0,
            locks_before: Vec::new(),
        };
        Self { id, state: Mutex::new(state) }
    }
}

impl TxnState {
    pub fn write(&mut self, shard: ShardId, statement: u32, key: Bytes, row: Option<Bytes>) {
        self.bytes += key.len() + row.as_ref().map_or(0, Bytes::len) + 96;
        let order = self.order();
        let writes = self.shards.entry(shard).or_default();
        writes.rows.entry(key).or_default().push(Write { statement, order, row });
    }

    /// A row of this transaction has an entry of a unique index. It is never taken back: whoever
    /// asks looks at the row.
    pub fn claim(&mut self, shard: ShardId, lock: Bytes, key: Bytes) {
        self.bytes += lock.len() + key.len() + 96;
        let claims = &mut self.shards.entry(shard).or_default().claims;
        let keys = claims.entry(lock).or_default();
        if !keys.contains(&key) {
            keys.push(key);
        }
    }

    pub fn truncate(&mut self, shard: ShardId, statement: u32) {
        let order = self.order();
        self.shards.entry(shard).or_default().truncates.push((statement, order));
    }

    pub fn load(&mut self, shard: ShardId, mut loaded: Loaded) {
        loaded.order = self.order();
        self.shards.entry(shard).or_default().loaded.push(Arc::new(loaded));
    }

    /// Whether a record names the files of what was loaded, or may name them.
    pub fn keep_loaded(&self, kept: bool) {
        for loaded in self.shards.values().flat_map(|writes| &writes.loaded) {
            loaded.file.kept.store(kept, Ordering::Release);
        }
    }

    fn order(&mut self) -> u64 {
        self.next_order += 1;
        self.next_order
    }

    /// The statement is about to take locks, beside the `held` ones that there are.
    pub fn takes_locks(&mut self, statement: u32, held: impl FnOnce() -> usize) {
        if self.locks_before.last().is_none_or(|(last, _)| *last < statement) {
            self.locks_before.push((statement, held()));
        }
    }

    /// How many of its locks the transaction had before it came to a statement after this one;
    /// `None`: it has had none since.
    pub fn locks_until(&mut self, statement: u32) -> Option<usize> {
        let later = self.locks_before.partition_point(|(taken, _)| *taken <= statement);
        let (_, held) = self.locks_before.drain(later..).next()?;
        Some(held)
    }

    /// Forgets writes whose statement number `gone` holds for.
    pub fn undo(&mut self, gone: impl Fn(u32) -> bool) {
        let mut freed = 0;
        for writes in self.shards.values_mut() {
            writes.truncates.retain(|(statement, _)| !gone(*statement));
            writes.loaded.retain(|loaded| !gone(loaded.statement));
            writes.rows.retain(|key, versions| {
                versions.retain(|write| {
                    let keep = !gone(write.statement);
                    if !keep {
                        freed += key.len() + write.row.as_ref().map_or(0, Bytes::len) + 96;
                    }
                    keep
                });
                !versions.is_empty()
            });
        }
        self.shards.retain(|_, writes| !writes.is_empty());
        self.bytes = self.bytes.saturating_sub(freed);
    }

    pub fn has_writes(&self) -> bool {
        !self.shards.is_empty()
    }
}

impl ShardWrites {
    pub fn is_empty(&self) -> bool {
        !self.has_row_writes() && self.loaded.is_empty()
    }

    /// Whether there is more than loaded segments.
    pub fn has_row_writes(&self) -> bool {
        !self.rows.is_empty() || !self.truncates.is_empty()
    }

    /// Loaded segments whose rows have not been truncated.
    fn loaded(&self, before: Option<u32>) -> impl Iterator<Item = &Arc<Loaded>> {
        let truncated = self.truncated(before).unwrap_or(0);
        let counts = move |statement: u32| before.is_none_or(|before| statement < before);
        self.loaded
            .iter()
            .filter(move |loaded| loaded.order > truncated && counts(loaded.statement))
    }

    pub fn loaded_segments(&self, before: Option<u32>) -> Vec<Arc<Segment>> {
        self.loaded(before).map(|loaded| loaded.segment.clone()).collect()
    }

    /// The row with this key in a loaded segment, and the statement that loaded it.
    pub fn find_loaded(&self, key: &[u8], before: Option<u32>) -> Result<Option<(Bytes, u32)>> {
        for loaded in self.loaded(before) {
            let found = loaded.segment.find(key)?;
            if !found.is_empty() {
                let row = loaded.segment.row(found.start)?.row;
                return Ok(Some((row, loaded.statement)));
            }
        }
        Ok(None)
    }

    /// Statements below `before` count; `None`: all.
    fn truncated(&self, before: Option<u32>) -> Option<u64> {
        let counts = |statement: u32| before.is_none_or(|before| statement < before);
        self.truncates.iter().rev().find(|(s, _)| counts(*s)).map(|(_, order)| *order)
    }

    /// Whether the committed rows are gone for the transaction.
    pub fn hides_committed(&self, before: Option<u32>) -> bool {
        self.truncated(before).is_some()
    }

    /// The transaction's own view of a key; `None`: it did not touch it.
    pub fn get(&self, key: &[u8], before: Option<u32>) -> Option<Own> {
        self.rows.get(key).and_then(|writes| self.own(writes, before))
    }

    /// The same with what was loaded, and what a TRUNCATE hides.
    pub fn view(&self, key: &[u8], before: Option<u32>) -> Result<Option<Own>> {
        if let Some(own) = self.get(key, before) {
            return Ok(Some(own));
        }
        if let Some((row, _)) = self.find_loaded(key, before)? {
            return Ok(Some(Own::Row(row)));
        }
        Ok(self.hides_committed(before).then_some(Own::Deleted))
    }

    fn own(&self, writes: &[Write], before: Option<u32>) -> Option<Own> {
        let truncated = self.truncated(before).unwrap_or(0);
        let counts = |write: &&Write| before.is_none_or(|before| write.statement < before);
        let write = writes.iter().rev().find(counts)?;
        match &write.row {
            Some(row) if write.order > truncated => Some(Own::Row(row.clone())),
            _ => Some(Own::Deleted),
        }
    }

    /// Rows that the transaction wrote and that may have the entry.
    pub fn claims(&self, lock: &[u8]) -> Vec<Bytes> {
        self.claims.get(lock).cloned().unwrap_or_default()
    }

    /// Whether `statement` wrote this key.
    pub fn written_by(&self, key: &[u8], statement: u32) -> bool {
        self.rows.get(key).is_some_and(|writes| writes.iter().any(|w| w.statement == statement))
    }

    /// Every key the transaction touched, as it sees it.
    pub fn overlay(&self, before: Option<u32>) -> BTreeMap<Bytes, Own> {
        self.rows
            .iter()
            .filter_map(|(key, writes)| Some((key.clone(), self.own(writes, before)?)))
            .collect()
    }

    /// What a commit does: whether it truncates first, then the segments that come, and then each
    /// key's last state.
    pub fn effects(
        &self,
    ) -> (bool, Vec<Arc<Segment>>, impl Iterator<Item = (&Bytes, Option<&Bytes>)>) {
        let truncated = self.truncated(None);
        let rows = self.rows.iter().filter_map(move |(key, writes)| {
            let last = writes.last()?;
            let truncated = truncated.unwrap_or(0);
            // A delete of what a TRUNCATE took needs no record.
            (last.order > truncated).then_some((key, last.row.as_ref()))
        });
        (truncated.is_some(), self.loaded_segments(None), rows)
    }
}
