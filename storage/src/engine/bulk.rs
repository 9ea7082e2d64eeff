//! Many rows at once: from batches straight into segments.
//!
//! ```text
//! batches --> per shard, until memory is full --> sorted, encoded, written --> [loaded, not seen]
//!                                                                                  | commit
//!                                                 one record that names the files  v
//!                                                                            the shard's segments
//! ```
//!
//! A loaded segment belongs to its transaction ([`crate::txn::Loaded`]): it sees the rows, nobody
//! else does. The record of the commit attaches it to the shard; its rows' commit timestamp is
//! that of the record, as the file was written before there was one. A transaction that ends
//! otherwise takes the file with it.
//!
//! Keys stay unique without a lock on each row. A loader makes its segment's keys known to the
//! shard and then looks at the locks of others; who inserts a row locks it and then looks at the
//! segments of loaders. One of two that have a key in common sees the other, and waits for its
//! transaction to end: for a lock that each loader holds under a name of its own.
//!
//! What a shard gets of a load is inserted row by row where it is little, so that small loads make
//! no files, and where the transaction has written to the shard row by row before.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, GenericByteViewArray, RecordBatch, RecordBatchOptions,
};
use arrow::compute::concat_batches;
use arrow::datatypes::{ByteViewType, DataType};
use satsuma_common::arrow_size::batch_bytes;
use satsuma_common::{ShardId, TxnId};
use tokio::task::JoinSet;

use super::sorted_rows::{Keys, Sealed, SortedRows};
use super::write::Writing;
use super::{ConflictPolicy, Engine, WriteContext};
use crate::error::{Result, StorageError};
use crate::lock::{LockKey, LockWait, RowLockMode};
use crate::segment::Segment;
use crate::shard::Shard;
use crate::txn::{Loaded, Phase};

/// What a load holds in memory before it writes, unless it is told to hold less. As much again may
/// be on its way to the disk.
const BUFFER_BYTES: usize = 64 << 20;

/// A load at work.
pub struct BulkLoad {
    engine: Arc<Engine>,
    context: WriteContext,
    buffers: BTreeMap<ShardId, Buffer>,
    bytes: usize,
    most_bytes: usize,
    rows: u64,
    /// Segments that are being made, of one shard each.
    at_work: JoinSet<(ShardId, Result<Sealed, BulkError>)>,
    /// Bytes of the rows that each of them has.
    underway: BTreeMap<ShardId, usize>,
}

#[derive(Default)]
struct Buffer {
    batches: Vec<RecordBatch>,
    rows: usize,
    bytes: usize,
    /// Some rows of the load are in segments already.
    spilled: bool,
}

/// Why a load failed, and the row that is to blame for a taken key.
#[derive(Debug)]
pub struct BulkError {
    pub error: StorageError,
    /// The shard and a batch of one row.
    pub row: Option<(ShardId, RecordBatch)>,
}

impl From<StorageError> for BulkError {
    fn from(error: StorageError) -> Self {
        Self { error, row: None }
    }
}

impl Engine {
    pub fn bulk_load(self: &Arc<Self>, context: WriteContext) -> BulkLoad {
        BulkLoad {
            engine: self.clone(),
            context,
            buffers: BTreeMap::new(),
            bytes: 0,
            most_bytes: BUFFER_BYTES,
            rows: 0,
            at_work: JoinSet::new(),
            underway: BTreeMap::new(),
        }
    }
}

impl BulkLoad {
    /// Holds no more bytes of rows in memory than these before it writes.
    pub fn hold_at_most(&mut self, bytes: usize) {
        self.most_bytes = bytes;
    }

    /// Adds rows: the table's columns in the shape's order, further columns are ignored.
    pub async fn add(&mut self, shard: ShardId, rows: &RecordBatch) -> Result<(), BulkError> {
        let rows = compact(rows)?;
        let bytes = batch_bytes(&rows);
        let buffer = self.buffers.entry(shard).or_default();
        buffer.rows += rows.num_rows();
        buffer.bytes += bytes;
        self.rows += rows.num_rows() as u64;
        buffer.batches.push(rows);
        self.bytes += bytes;
        while self.bytes > self.most_bytes {
            let largest = self.buffers.iter().max_by_key(|(_, buffer)| buffer.bytes);
            let Some(shard) = largest.map(|(shard, _)| *shard) else { break };
            self.flush(shard).await?;
        }
        Ok(())
    }

    /// Writes what is left; answers with the number of rows.
    pub async fn finish(mut self) -> Result<u64, BulkError> {
        let shards: Vec<_> = self.buffers.keys().copied().collect();
        for shard in shards {
            self.flush(shard).await?;
        }
        while !self.underway.is_empty() {
            self.settle_one().await?;
        }
        Ok(self.rows)
    }

    /// Begins to write what there is of a shard.
    async fn flush(&mut self, shard: ShardId) -> Result<(), BulkError> {
        let Some(buffer) = self.buffers.get_mut(&shard) else { return Ok(()) };
        let batches = std::mem::take(&mut buffer.batches);
        let bytes = std::mem::take(&mut buffer.bytes);
        self.bytes -= bytes;
        let rows = std::mem::take(&mut buffer.rows);
        let few = rows < self.engine.options.bulk_rows && !buffer.spilled;
        buffer.spilled = true;
        let Some(first) = batches.first() else { return Ok(()) };
        let batch = concat_batches(&first.schema(), &batches).map_err(malformed)?;
        drop(batches);
        // A shard's rows look for their keys among those that went before.
        while self.underway.contains_key(&shard) || self.is_busy(bytes) {
            self.settle_one().await?;
        }
        let write = self.engine.begin_write(&self.context, shard).await?;
        // Entries of unique indexes are claimed row by row.
        let indexes = write.table.indexes();
        let is_unique = indexes.iter().any(|index| index.shape.unique);
        if few || write.has_row_writes() || is_unique {
            drop(write);
            return self.insert(shard, batch).await;
        }
        // Expressions of indexes fail here, and not when the index is built.
        let expressions = &*self.engine.options.expressions;
        for index in indexes.iter().filter(|index| index.has_expressions()) {
            index.keys_of_batch(&write.table.shape, &batch, expressions)?;
        }
        let keys = Keys { shard: write.shard.clone(), own: write.own_segments() };
        let (table, engine) = (write.table.clone(), self.engine.clone());
        drop(write);
        self.underway.insert(shard, bytes);
        self.at_work.spawn_blocking(move || {
            let rows = SortedRows::new(batch, &table, &keys.shard);
            (shard, rows.and_then(|rows| rows.seal(&keys, &table, &engine.store)))
        });
        Ok(())
    }

    /// As many segments are being made as there are cores, or as much as may be.
    fn is_busy(&self, bytes: usize) -> bool {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let underway: usize = self.underway.values().sum();
        !self.underway.is_empty()
            && (self.underway.len() >= cores || underway + bytes > self.most_bytes)
    }

    /// Waits for a segment, and makes it one of the transaction's.
    async fn settle_one(&mut self) -> Result<(), BulkError> {
        let Some(made) = self.at_work.join_next().await else {
            self.underway.clear();
            return Ok(());
        };
        let (shard, sealed) = made.map_err(|failed| {
            let failed = std::io::Error::other(failed);
            StorageError::io(std::path::Path::new("a segment of a load"), &failed)
        })?;
        self.underway.remove(&shard);
        let write = self.engine.begin_write(&self.context, shard).await?;
        write.attach(sealed?).await
    }

    async fn insert(&self, shard: ShardId, batch: RecordBatch) -> Result<(), BulkError> {
        let inserted = self.engine.insert(&self.context, shard, &batch, ConflictPolicy::Fail).await;
        match inserted {
            Ok(_) => Ok(()),
            Err(error) => {
                let row = match &error {
                    StorageError::UniqueViolation { row, .. } => {
                        Some((shard, batch.slice(*row, 1)))
                    }
                    _ => None,
                };
                Err(BulkError { error, row })
            }
        }
    }
}

/// The lock that a loader holds while its rows are not decided. Longer than any row id, and no key
/// begins like this.
pub(super) fn loader_lock(shard: ShardId, txn: TxnId) -> LockKey {
    let mut name = vec![0xff; 4];
    name.extend_from_slice(&txn.start.0.to_be_bytes());
    name.extend_from_slice(&txn.coordinator.0.to_be_bytes());
    LockKey { shard, row: Some(name.into()) }
}

/// Who stands in the way.
enum Rival {
    /// It holds a row lock.
    Row(LockKey),
    /// It has loaded one of the keys.
    Loader(TxnId),
}

impl Writing<'_> {
    /// Whether the transaction has written to the shard row by row, or truncated it.
    fn has_row_writes(&self) -> bool {
        let state = self.txn.state.lock();
        state.shards.get(&self.shard.id).is_some_and(|writes| writes.has_row_writes())
    }

    /// Waits for loaders of this key that are other transactions.
    pub(super) async fn wait_for_loaders(&self, key: &[u8]) -> Result<()> {
        while let Some(loader) = self.shard.loader_of(key, self.txn.id)? {
            self.wait_for(Rival::Loader(loader)).await?;
        }
        Ok(())
    }

    async fn wait_for(&self, rival: Rival) -> Result<()> {
        let wait = LockWait::Wait(self.context.lock_timeout);
        let (key, mode) = match rival {
            Rival::Row(key) => (key, RowLockMode::Update),
            Rival::Loader(txn) => (loader_lock(self.shard.id, txn), RowLockMode::KeyShare),
        };
        self.engine.lock(&self.txn, key, mode.into(), wait).await.map(drop)
    }

    /// Makes a segment one of the transaction's.
    async fn attach(&self, sealed: Sealed) -> Result<(), BulkError> {
        let Sealed { rows, segment, file, seen } = sealed;
        let unique = self.table.key.is_some();
        let mine = loader_lock(self.shard.id, self.txn.id);
        let wait = LockWait::Wait(self.context.lock_timeout);
        self.engine.lock(&self.txn, mine, RowLockMode::Update.into(), wait).await?;
        let keys = Keys { shard: self.shard.clone(), own: self.own_segments() };
        let loaded =
            Loaded::new(self.txn.id, self.context.statement, self.shard.clone(), segment, file);
        // Others may have begun and committed before the keys were known to the shard.
        let mut look_again = unique && !self.shard.contents().is_still(&seen);
        drop(seen);
        loop {
            if look_again && let Some(row) = keys.first_taken(&rows)? {
                return Err(rows.taken(row, self.shard.id));
            }
            let rival = if unique { self.rival(&rows.sorted(), loaded.segment.id)? } else { None };
            let Some(rival) = rival else { break };
            self.wait_for(rival).await?;
            // What they did may be committed now.
            look_again = true;
        }
        let mut state = self.txn.state.lock();
        if state.phase != Phase::Open {
            return Err(StorageError::NotOpen(self.txn.id).into());
        }
        state.load(self.shard.id, loaded);
        Ok(())
    }

    /// Segments that the transaction itself has loaded.
    pub(super) fn own_segments(&self) -> Vec<Arc<Segment>> {
        let state = self.txn.state.lock();
        let writes = state.shards.get(&self.shard.id);
        writes.map(|writes| writes.loaded_segments(None)).unwrap_or_default()
    }

    /// Another transaction that is inserting one of these keys, or has loaded one.
    fn rival(&self, sorted: &[&[u8]], mine: u64) -> Result<Option<Rival>> {
        let holds = |key: &[u8]| sorted.binary_search(&key).is_ok();
        if let Some(key) = self.engine.locks.held_by_others(self.shard.id, self.txn.id, holds) {
            return Ok(Some(Rival::Row(key)));
        }
        Ok(self.shard.loader_of_any(sorted, self.txn.id, mine)?.map(Rival::Loader))
    }
}

impl Shard {
    /// Another transaction that has loaded this key.
    fn loader_of(&self, key: &[u8], txn: TxnId) -> Result<Option<TxnId>> {
        for (loader, segment) in self.loaders(txn, None) {
            if !segment.find(key)?.is_empty() {
                return Ok(Some(loader));
            }
        }
        Ok(None)
    }

    /// Another transaction that loaded one of these keys before the segment `mine` came: of two
    /// loaders the later one waits.
    fn loader_of_any(&self, sorted: &[&[u8]], txn: TxnId, mine: u64) -> Result<Option<TxnId>> {
        let (Some(first), Some(last)) = (sorted.first(), sorted.last()) else { return Ok(None) };
        for (loader, segment) in self.loaders(txn, Some(mine)) {
            if !segment.overlaps(first, last) {
                continue;
            }
            let mut keys = segment.ascending();
            for key in sorted {
                if keys.has(key)? {
                    return Ok(Some(loader));
                }
            }
        }
        Ok(None)
    }
}

/// The same rows without much memory that others hold on to: strings of a part of a batch point
/// into those of the whole.
fn compact(batch: &RecordBatch) -> Result<RecordBatch> {
    fn is_loose<T: ByteViewType>(array: &GenericByteViewArray<T>) -> bool {
        let held: usize = array.data_buffers().iter().map(|buffer| buffer.len()).sum();
        held > 2 * array.total_buffer_bytes_used()
    }
    let columns: Vec<ArrayRef> = batch
        .columns()
        .iter()
        .map(|column| match column.data_type() {
            DataType::Utf8View if is_loose(column.as_string_view()) => {
                Arc::new(column.as_string_view().gc()) as ArrayRef
            }
            DataType::BinaryView if is_loose(column.as_binary_view()) => {
                Arc::new(column.as_binary_view().gc())
            }
            _ => column.clone(),
        })
        .collect();
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    RecordBatch::try_new_with_options(batch.schema(), columns, &options).map_err(malformed)
}

fn malformed(error: arrow::error::ArrowError) -> StorageError {
    StorageError::Row(satsuma_common::row::RowError::Malformed(error.to_string()))
}

impl std::fmt::Debug for BulkLoad {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BulkLoad")
            .field("buffers", &self.buffers.len())
            .field("rows", &self.rows)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use satsuma_common::{Generation, GroupId, Timestamp};

    use super::super::damage_tests::{context, scan};
    use super::super::tests::{batch, shape, txn};
    use super::super::*;
    use super::*;
    use crate::disk::faulty::FaultyDisk;

    #[tokio::test]
    async fn a_load_of_any_size_holds_no_more_rows_than_it_may() {
        const MOST: usize = 200_000;
        let shards = [ShardId(1), ShardId(2)];
        let disk = Arc::new(FaultyDisk::default());
        let options = Options { maintenance: false, ..Options::default() };
        let engine = Engine::open("/data".as_ref(), disk, options).unwrap();
        let made = shards.map(|shard| (shard, GroupId(shard.0), Generation(1)));
        engine.create_shards(&shape(), &made).await.unwrap();
        let mut load = engine.bulk_load(context(10));
        load.hold_at_most(MOST);
        let (mut all, mut most) = (0, 0);
        for round in 0..40 {
            for shard in shards {
                let names: Vec<_> = (0..1000).map(|id| format!("row {id} of {round}")).collect();
                let ids = round * 1000..;
                let rows: Vec<_> = ids.zip(names.iter().map(String::as_str)).collect();
                let rows = batch(&rows);
                all += batch_bytes(&rows);
                load.add(shard, &rows).await.unwrap();
                most = most.max(load.bytes + load.underway.values().sum::<usize>());
            }
        }
        assert!(most > MOST / 2 && most <= 2 * MOST && all > 10 * MOST, "{most} of {all} bytes");
        assert_eq!(load.finish().await.unwrap(), 80_000);
        engine.commit(txn(10), Timestamp(0)).await.unwrap();
        assert!(shards.iter().all(|shard| scan(&engine, *shard).unwrap().len() == 40_000));
    }
}
