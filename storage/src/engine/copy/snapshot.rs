//! A group as it was at one snapshot, for backups: only the rows that the snapshot sees, in
//! segments of their own, so that groups that were read one after another fit together.

use std::collections::VecDeque;
use std::sync::Arc;

use arrow::array::{Array, AsArray};
use bytes::Bytes;
use satsuma_common::{GroupId, ShardId, Timestamp};

use super::super::{Engine, Held, TableMeta};
use super::item::{self, Item};
use crate::error::{Result, StorageError};
use crate::segment::{SegmentWriter, StoredRow};
use crate::shard::{ReadView, Scan, ScanOptions};

/// Rows gathered for one segment, in bytes.
const SEGMENT_BYTES: usize = 32 << 20;
const CHUNK_BYTES: usize = 1 << 20;

/// Reads a group chunk by chunk. What comes is read by a [`super::CopyWriter`].
#[derive(Debug)]
pub struct SnapshotReader {
    snapshot: Timestamp,
    /// Keeps the versions that the snapshot sees.
    _held: Held,
    queue: VecDeque<Item>,
    /// Opened all at once: a group that moves away meanwhile is still read.
    shards: VecDeque<Source>,
    names: Vec<ShardId>,
    open: Option<(Arc<TableMeta>, Scan)>,
    is_over: bool,
}

/// A shard that is to be read.
#[derive(Debug)]
struct Source {
    shard: ShardId,
    next_row_id: u64,
    table: Arc<TableMeta>,
    scan: Scan,
}

impl SnapshotReader {
    pub async fn open(engine: &Arc<Engine>, group: GroupId, snapshot: Timestamp) -> Result<Self> {
        let held = engine.snapshots.hold(snapshot)?;
        engine.check_group(group)?;
        let names = engine.shards_of(group);
        engine.begin_read(&names, snapshot, None).await?;
        let mut shards = VecDeque::new();
        let mut queue = VecDeque::new();
        for name in &names {
            let (shard, table) = engine.shard_and_table(*name)?;
            queue.push_back(Item::Table {
                shape: Box::new((*table.shape).clone()),
                layouts: Box::new((*table.layouts).clone()),
                shards: vec![*name],
            });
            let view = ReadView::new(snapshot);
            let scan = engine.scan(*name, &view, &ScanOptions::default())?;
            let next_row_id = shard.next_row_id();
            shards.push_back(Source { shard: *name, next_row_id, table, scan });
        }
        let (open, is_over) = (None, false);
        Ok(Self { snapshot, _held: held, queue, shards, names, open, is_over })
    }

    pub fn shards(&self) -> &[ShardId] {
        &self.names
    }

    /// The next chunk; `None` at the end.
    pub fn next_chunk(&mut self) -> Result<Option<Vec<u8>>> {
        let mut items = Vec::new();
        let mut size = 0;
        while size < CHUNK_BYTES {
            if self.queue.is_empty() && !self.read()? {
                break;
            }
            let Some(item) = self.queue.pop_front() else { continue };
            size += item.size();
            items.push(item);
        }
        if items.is_empty() { Ok(None) } else { item::encode(&items).map(Some) }
    }

    /// Queues the next segment; `false` when there is no more.
    fn read(&mut self) -> Result<bool> {
        if self.is_over {
            return Ok(false);
        }
        let Some((table, scan)) = &mut self.open else {
            self.next_shard();
            return Ok(true);
        };
        let mut rows = Vec::new();
        let mut size = 0;
        while size < SEGMENT_BYTES {
            let Some(batch) = scan.next() else { break };
            let batch = batch?;
            let encoded = table.encoder.encode_batch(&batch)?;
            let keys = batch
                .columns()
                .last()
                .and_then(|column| column.as_binary_opt::<i32>())
                .filter(|keys| keys.len() == encoded.len())
                .ok_or(StorageError::CopyBroken("rows without keys"))?;
            for (row, key) in encoded.into_iter().zip(keys.iter().flatten()) {
                size += row.len() + key.len() + 64;
                rows.push((Bytes::copy_from_slice(key), Bytes::from(row)));
            }
        }
        if rows.is_empty() {
            self.open = None;
            return Ok(true);
        }
        rows.sort();
        let mut writer = SegmentWriter::new(table.decoder().clone());
        for (key, row) in rows {
            writer.push(StoredRow { key, ts: self.snapshot, row })?;
        }
        let bytes = writer.finish()?;
        self.queue.push_back(Item::Segment { size: bytes.len() as u64, committed: 0 });
        let crc = crc32c::crc32c(&bytes);
        for piece in bytes.chunks(CHUNK_BYTES / 2) {
            self.queue.push_back(Item::Bytes(piece.to_vec()));
        }
        self.queue.push_back(Item::SegmentEnd { crc });
        Ok(true)
    }

    fn next_shard(&mut self) {
        match self.shards.pop_front() {
            Some(Source { shard, next_row_id, table, scan }) => {
                self.queue.push_back(Item::Shard { shard, next_row_id, truncations: Vec::new() });
                self.open = Some((table, scan));
            }
            None => {
                self.queue.push_back(Item::SegmentsEnd);
                self.is_over = true;
            }
        }
    }
}
