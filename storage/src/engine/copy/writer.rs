//! The target's end of a copy. What arrives is checked before it is believed.

use std::sync::Arc;

use satsuma_common::{GroupId, ShardId, Timestamp};
use tokio::sync::oneshot;

use super::super::Engine;
use super::super::commit::scope_of;
use super::super::store::IncomingSegment;
use super::item::{self, Item};
use crate::error::{Result, StorageError};
use crate::kv::Batch;
use crate::manifest::{self, Manifest};
use crate::segment::Segment;
use crate::shard::{Contents, Shard, Stored};
use crate::wal::record::{MetaChange, Record};
use crate::wal::{Effect, Entry};

/// Takes a group chunk by chunk. Its shards are there from the start on and serve nobody.
#[derive(Debug)]
pub struct CopyWriter {
    engine: Arc<Engine>,
    group: GroupId,
    batch: Batch,
    shards: Vec<Whole>,
    segment: Option<IncomingSegment>,
    /// When all rows of that segment were committed, or 0.
    committed: u64,
    marks: Vec<(u32, Timestamp)>,
    in_log: bool,
    /// Bytes of segments that have arrived.
    received: u64,
}

/// A shard with its segments so far.
#[derive(Debug)]
struct Whole {
    shard: Arc<Shard>,
    next_row_id: u64,
    truncations: Vec<Timestamp>,
    segments: Vec<Arc<Segment>>,
}

type Applied = oneshot::Receiver<Result<()>>;

impl CopyWriter {
    pub fn new(engine: &Arc<Engine>, group: GroupId) -> Self {
        Self {
            engine: engine.clone(),
            group,
            batch: Batch::new(),
            shards: Vec::new(),
            segment: None,
            committed: 0,
            marks: Vec::new(),
            in_log: false,
            received: 0,
        }
    }

    /// Durable when it returns, from the end of the segments on. After an error the copy is of no
    /// use any more.
    pub async fn write(&mut self, chunk: &[u8]) -> Result<()> {
        let mut applied: Vec<Applied> = Vec::new();
        for item in item::decode(chunk)? {
            match item {
                Item::Commit(payload) if self.in_log => {
                    self.engine.await_room().await?;
                    applied.push(self.commit(payload)?);
                }
                Item::Table { shape, layouts, shards } => {
                    let shards = shards.into_iter().map(|shard| (shard, self.group)).collect();
                    let change = MetaChange::CopyShards { shape, layouts, shards };
                    self.engine.change(change).await?;
                }
                Item::Shape(shape) => {
                    let layouts = Box::new(satsuma_common::row::Layouts::of(&shape));
                    let change = MetaChange::CopyShards { shape, layouts, shards: Vec::new() };
                    self.engine.change(change).await?;
                }
                Item::Dropped(shards) => {
                    let ours = self.engine.shards_of(self.group);
                    let shards: Vec<_> =
                        shards.into_iter().filter(|shard| ours.contains(shard)).collect();
                    self.engine.drop_shards(&shards).await?;
                }
                item if !self.in_log => self.segment_item(item)?,
                _ => return Err(StorageError::CopyBroken("a segment comes after the log")),
            }
        }
        for one in applied {
            one.await.unwrap_or(Err(StorageError::Closed))?;
        }
        Ok(())
    }

    pub fn received(&self) -> u64 {
        self.received
    }

    fn segment_item(&mut self, item: Item) -> Result<()> {
        match item {
            Item::Shard { shard, next_row_id, truncations } => {
                let shard = self.shard(shard)?;
                let truncations = truncations.into_iter().map(Timestamp).collect();
                self.shards.push(Whole { shard, next_row_id, truncations, segments: Vec::new() });
            }
            Item::Segment { size, committed } if self.segment.is_none() => {
                self.segment = Some(self.engine.store.incoming(size)?);
                self.committed = committed;
            }
            Item::Bytes(bytes) => {
                let segment = self.segment.as_mut().ok_or(OUT_OF_ORDER)?;
                self.received += bytes.len() as u64;
                segment.write(&bytes)?;
            }
            Item::Marks(marks) => self.marks.extend(marks),
            Item::SegmentEnd { crc } => {
                let whole = self.shards.last_mut().ok_or(OUT_OF_ORDER)?;
                let incoming = self.segment.take().ok_or(OUT_OF_ORDER)?;
                let segment = self.engine.store.finish(incoming, crc, &mut self.batch)?;
                let segment = Arc::new(segment);
                // From here on it goes with the others.
                whole.segments.push(segment.clone());
                let rows = segment.rows();
                let marks = std::mem::take(&mut self.marks);
                if marks.iter().any(|(row, _)| u64::from(*row) >= rows) {
                    return Err(StorageError::CopyBroken("a mark is on no row"));
                }
                segment.set_committed(Timestamp(std::mem::take(&mut self.committed)));
                segment.end_rows(marks);
                if let Some(table) = self.engine.table(whole.shard.table) {
                    self.engine.build_runs(&table, &segment);
                }
            }
            Item::SegmentsEnd => self.install()?,
            _ => return Err(OUT_OF_ORDER),
        }
        Ok(())
    }

    fn shard(&self, id: ShardId) -> Result<Arc<Shard>> {
        let shard = self.engine.shard(id)?;
        match shard.group == self.group {
            true => Ok(shard),
            false => Err(StorageError::CopyBroken("a shard of another group")),
        }
    }

    /// Names the segments in manifests and shows them, all at once.
    fn install(&mut self) -> Result<()> {
        if self.segment.is_some() {
            return Err(OUT_OF_ORDER);
        }
        let store = &self.engine.store;
        let mut batch = std::mem::take(&mut self.batch);
        let (mut stored, mut replaced) = (Vec::new(), Vec::new());
        let mut unnamed = store.unnamed();
        unnamed.add_segments(self.shards.iter().flat_map(|whole| &whole.segments));
        for whole in std::mem::take(&mut self.shards) {
            let Whole { shard, next_row_id, truncations, segments } = whole;
            let contents =
                Contents { truncations: Arc::new(truncations.clone()), ..Contents::default() };
            // No record before the shard's own is one of its rows.
            let sealed = shard.created.0;
            let fresh: Manifest = store.manifest(&shard, &contents, &segments, sealed)?;
            unnamed.add_marks(&fresh);
            let fresh = Manifest { next_row_id, ..fresh };
            replaced.extend(self.engine.manifest_of(&shard)?);
            manifest::put(&mut batch, manifest::shard_key(b'm', shard.id), &fresh)?;
            stored.push((
                shard,
                Stored { segments, truncations, sealed, next_row_id, attached: Vec::new() },
            ));
        }
        store.sync_names()?;
        {
            // A successor of a shard that was dropped may have a manifest in its place.
            let meta = self.engine.meta.read();
            if !stored.iter().all(|(shard, _)| meta.is_here(shard)) {
                return Err(StorageError::CopyBroken("a shard was dropped"));
            }
            store.kv.write(batch)?;
            unnamed.named();
        }
        store.kv.flush()?;
        for (shard, stored) in stored {
            let _work = shard.work.lock();
            shard.restore(stored);
        }
        for old in replaced {
            store.discard(&old, &Manifest::default())?;
        }
        self.in_log = true;
        Ok(())
    }

    /// Logs a commit that was made elsewhere and applies it.
    fn commit(&self, payload: Vec<u8>) -> Result<Applied> {
        let Record::Commit { ts, sections, .. } = Record::decode(&payload)? else {
            return Err(StorageError::CopyBroken("a record that is no commit"));
        };
        for section in &sections {
            if section.group != self.group || self.shard(section.shard).is_err() {
                return Err(StorageError::CopyBroken("a commit to a shard that was not copied"));
            }
        }
        let (done, applied) = oneshot::channel();
        let engine = self.engine.clone();
        let scope = scope_of(&sections, Effect::Rows);
        self.engine.wal.append(
            vec![Entry { scope, payload }],
            Box::new(move |logged| {
                let result = logged.map(|written| {
                    engine.timeline.observe_commit(ts);
                    engine.meta.read().commit(written.last, written.first, ts, &sections);
                });
                drop(engine);
                let _ = done.send(result);
            }),
        );
        Ok(applied)
    }
}

const OUT_OF_ORDER: StorageError = StorageError::CopyBroken("items are out of order");

impl Drop for CopyWriter {
    /// What no manifest names goes at once, not at the next start.
    fn drop(&mut self) {
        let store = &self.engine.store;
        store.unnamed().add_segments(self.shards.iter().flat_map(|whole| &whole.segments));
        store.forget(self.segment.take().and_then(IncomingSegment::into_path));
    }
}
