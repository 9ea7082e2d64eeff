//! One shard: its versions, and reading them at a snapshot.

use std::collections::BTreeMap;
use std::ops::{Bound, RangeBounds};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arrow::array::RecordBatch;
use bytes::Bytes;
use parking_lot::RwLock;
use satsuma_common::row::RowBatchBuilder;
use satsuma_common::{Datum, GroupId, Lsn, ShardId, TableId, Timestamp, TxnId, key};

use crate::delta::{Delta, Version};
use crate::engine::TableMeta;
use crate::error::Result;
use crate::txn::{Own, ShardWrites};
use crate::wal::record::Op;

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

#[derive(Clone, Debug, PartialEq)]
pub struct ScanOptions {
    /// Positions in the shape; its number of columns stands for the hidden key. `None`: every
    /// column and then the key.
    pub projection: Option<Vec<usize>>,
    /// Exact: only rows in this range come.
    pub key_range: Option<KeyRange>,
    /// All hold (AND).
    pub predicates: Vec<Predicate>,
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
            limit: None,
            batch_rows: 8192,
        }
    }
}

#[derive(Debug)]
pub struct Shard {
    pub id: ShardId,
    pub group: GroupId,
    pub table: TableId,
    state: RwLock<ShardState>,
    next_row_id: AtomicU64,
    last_lsn: AtomicU64,
}

#[derive(Debug, Default)]
struct ShardState {
    delta: Arc<Delta>,
    /// Moments of TRUNCATEs: a version is gone from the first one after it on.
    truncations: Arc<Vec<Timestamp>>,
}

impl Shard {
    pub fn new(id: ShardId, group: GroupId, table: TableId) -> Self {
        Self {
            id,
            group,
            table,
            state: RwLock::default(),
            next_row_id: AtomicU64::new(1),
            last_lsn: AtomicU64::new(0),
        }
    }

    /// A key for a row without a primary key.
    pub fn new_row_key(&self) -> Bytes {
        key::row_id_key(self.next_row_id.fetch_add(1, Ordering::Relaxed)).into()
    }

    /// Makes a commit's operations visible at `ts`. `hidden_key`: keys are row ids.
    pub fn apply(&self, lsn: Lsn, ts: Timestamp, ops: &[Op], hidden_key: bool) {
        if ops.contains(&Op::Truncate) {
            let mut state = self.state.write();
            let mut truncations = (*state.truncations).clone();
            if let Err(at) = truncations.binary_search(&ts) {
                truncations.insert(at, ts);
            }
            state.truncations = Arc::new(truncations);
        }
        let state = self.state.read();
        for op in ops {
            let (key, row) = match op {
                Op::Put { key, row } => (key, Some(row.clone())),
                Op::Delete { key } => (key, None),
                Op::Truncate => continue,
            };
            if hidden_key && let Some(id) = key::row_id(key) {
                self.next_row_id.fetch_max(id.saturating_add(1), Ordering::Relaxed);
            }
            state.delta.put(key.clone(), Version { ts, row });
        }
        self.last_lsn.store(lsn.0, Ordering::Release);
    }

    /// The newest version at or before `snapshot`: `row` is `None` where it says that there is no
    /// row any more.
    pub fn get(&self, key: &[u8], snapshot: Timestamp) -> Option<Version> {
        let state = self.state.read();
        let (delta, truncations) = (state.delta.clone(), state.truncations.clone());
        drop(state);
        let version = delta.get(key, snapshot)?;
        Some(match truncated_at(&truncations, version.ts, snapshot) {
            Some(ts) => Version { ts, row: None },
            None => version,
        })
    }

    /// The newest committed version.
    pub fn newest(&self, key: &[u8]) -> Option<Version> {
        self.get(key, Timestamp(u64::MAX))
    }

    /// Drops versions that no snapshot at or after `horizon` can see.
    pub fn collect(&self, horizon: Timestamp) {
        let state = self.state.read();
        state.delta.collect(horizon);
    }

    /// Keys in memory: live rows, about.
    pub fn rows(&self) -> u64 {
        self.state.read().delta.len() as u64
    }

    pub fn bytes(&self) -> u64 {
        self.state.read().delta.bytes() as u64
    }

    pub(crate) fn scan(
        &self,
        table: &TableMeta,
        view: &ReadView,
        own: Option<ShardWrites>,
        options: &ScanOptions,
    ) -> Result<Scan> {
        let batch_rows = options.batch_rows.max(1);
        let capacity = batch_rows.min(options.limit.unwrap_or(batch_rows)).min(1024);
        let builder = table.decoder().batch_builder(options.projection.as_deref(), capacity)?;
        let (from, to) = match &options.key_range {
            Some(range) => (bound(&range.from), bound(&range.to)),
            None => (Bound::Unbounded, Bound::Unbounded),
        };
        let state = self.state.read();
        let hides_committed =
            own.as_ref().is_some_and(|own| own.hides_committed(view.before_statement));
        Ok(Scan {
            delta: state.delta.clone(),
            truncations: state.truncations.clone(),
            snapshot: view.snapshot,
            builder,
            overlay: own.map(|own| own.overlay(view.before_statement)).unwrap_or_default(),
            stage: if hides_committed { Stage::Own } else { Stage::Delta },
            from: from.clone(),
            range: (from, to),
            left: options.limit.unwrap_or(usize::MAX),
            batch_rows,
        })
    }
}

fn bound(bound: &Bound<Vec<u8>>) -> Bound<Bytes> {
    match bound {
        Bound::Included(key) => Bound::Included(Bytes::copy_from_slice(key)),
        Bound::Excluded(key) => Bound::Excluded(Bytes::copy_from_slice(key)),
        Bound::Unbounded => Bound::Unbounded,
    }
}

/// The first TRUNCATE after `ts` that `snapshot` sees.
fn truncated_at(
    truncations: &[Timestamp],
    ts: Timestamp,
    snapshot: Timestamp,
) -> Option<Timestamp> {
    let at = truncations.partition_point(|truncation| *truncation <= ts);
    truncations.get(at).copied().filter(|truncation| *truncation <= snapshot)
}

/// Batches of a shard's rows as a [`ReadView`] sees them, in no promised order. Holds on to what it
/// reads, and to no lock between batches.
#[derive(Debug)]
pub struct Scan {
    delta: Arc<Delta>,
    truncations: Arc<Vec<Timestamp>>,
    snapshot: Timestamp,
    builder: RowBatchBuilder,
    /// Keys that the transaction itself wrote.
    overlay: BTreeMap<Bytes, Own>,
    stage: Stage,
    /// Where the delta is read from next.
    from: Bound<Bytes>,
    range: (Bound<Bytes>, Bound<Bytes>),
    left: usize,
    batch_rows: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Delta,
    Own,
    Done,
}

/// Keys looked at under one hold of the delta's lock.
const CHUNK: usize = 1024;

impl Scan {
    /// Schema of the batches.
    pub fn schema(&self) -> arrow::datatypes::SchemaRef {
        self.builder.schema().clone()
    }

    fn step(&mut self) -> Result<()> {
        match self.stage {
            Stage::Delta => {
                let room = (self.batch_rows - self.builder.len()).min(CHUNK).min(self.left);
                let (rows, last) = self.delta.chunk(&self.from, &self.range.1, self.snapshot, room);
                for (key, version) in rows {
                    let Some(row) = &version.row else { continue };
                    if self.overlay.contains_key(&key)
                        || truncated_at(&self.truncations, version.ts, self.snapshot).is_some()
                    {
                        continue;
                    }
                    self.builder.push(&key, row)?;
                    self.left -= 1;
                }
                match last {
                    Some(last) => self.from = Bound::Excluded(last),
                    None => self.stage = Stage::Own,
                }
            }
            Stage::Own => {
                let Some((key, own)) = self.overlay.pop_first() else {
                    self.stage = Stage::Done;
                    return Ok(());
                };
                if let Own::Row(row) = own
                    && self.range.contains(&key)
                {
                    self.builder.push(&key, &row)?;
                    self.left -= 1;
                }
            }
            Stage::Done => {}
        }
        Ok(())
    }
}

impl Iterator for Scan {
    type Item = Result<RecordBatch>;

    fn next(&mut self) -> Option<Self::Item> {
        while self.stage != Stage::Done && self.left > 0 && self.builder.len() < self.batch_rows {
            if let Err(error) = self.step() {
                self.stage = Stage::Done;
                return Some(Err(error));
            }
        }
        if self.builder.is_empty() {
            return None;
        }
        Some(self.builder.finish().map_err(Into::into))
    }
}
