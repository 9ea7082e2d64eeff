//! The source's end of a copy.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use bytes::Bytes;
use satsuma_common::row::Layouts;
use satsuma_common::{GroupId, Lsn, NodeId, ShardId, TableId, Timestamp, TxnId};

use super::super::Engine;
use super::super::commit::chunks;
use super::item::{self, Item};
use super::{Pin, Progress};
use crate::error::{Result, StorageError};
use crate::segment::Segment;
use crate::wal::record::{MetaChange, Op, Record, Section};
use crate::wal::{LogReader, Logged, Scope};

/// Bytes of a chunk, about.
const CHUNK_BYTES: usize = 1 << 20;
/// Bytes of a segment in one item.
const PIECE_BYTES: usize = 512 << 10;
/// Marks in one item.
const MARKS: usize = 32 << 10;
/// Log that is looked through for one chunk.
const LOOK_BYTES: usize = 16 << 20;
/// Who has committed what was copied.
const COPY: TxnId = TxnId { start: Timestamp(0), coordinator: NodeId(0) };

/// Reads a group chunk by chunk: first its segments, then its records in the log, as they come.
#[derive(Debug)]
pub struct CopyReader {
    engine: Arc<Engine>,
    group: GroupId,
    pin: Pin,
    queue: VecDeque<Item>,
    segments: VecDeque<Next>,
    log: LogReader,
    /// The group's shards, with the last record that is in their segments.
    sealed: BTreeMap<ShardId, u64>,
    /// Loaded segments that are among those that are sent.
    captured: BTreeSet<u64>,
    /// Loaded segments that the log has named, whose rows are still to be sent.
    loads: VecDeque<Load>,
    tables: BTreeSet<TableId>,
    /// Of transactions whose last record has not been read.
    parts: BTreeMap<TxnId, Vec<Section>>,
    prepared: BTreeMap<TxnId, Vec<Section>>,
    bytes: u64,
    sent: u64,
}

/// A loaded segment on its way as rows: it is not among the copied segments.
#[derive(Debug)]
struct Load {
    ts: Timestamp,
    section: Section,
    segment: Arc<Segment>,
    /// The next row.
    at: u32,
    /// Keys that its transaction wrote after it.
    changed: BTreeSet<Bytes>,
}

#[derive(Debug)]
enum Next {
    Item(Item),
    /// A segment from a byte on.
    Segment(Arc<Segment>, usize),
}

impl CopyReader {
    /// Seals the group's shards and captures what they consist of. Waits for the disk.
    pub fn open(engine: &Arc<Engine>, group: GroupId) -> Result<Self> {
        let pin = engine.pins.add(Lsn(1), group);
        engine.check_group(group)?;
        let shards = engine.meta.read().shards_of(group);
        engine.seal(&shards)?;

        let mut from = engine.wal.sync_applied()?.0 + 1;
        // Transactions first: one that commits meanwhile is found in its shards then.
        from = from.min(engine.first_prepared().unwrap_or(u64::MAX));
        let mut segments = VecDeque::new();
        let mut sealed = BTreeMap::new();
        let mut tables: BTreeMap<TableId, Vec<ShardId>> = BTreeMap::new();
        let (mut bytes, mut captured) = (0, BTreeSet::new());
        for shard in shards {
            shard.check()?;
            let (contents, needed) = shard.capture();
            from = from.min(needed.unwrap_or(u64::MAX));
            sealed.insert(shard.id, contents.sealed);
            captured.extend(contents.attached.iter().map(|(_, segment)| *segment));
            tables.entry(shard.table).or_default().push(shard.id);
            segments.push_back(Next::Item(Item::Shard {
                shard: shard.id,
                next_row_id: shard.next_row_id(),
                truncations: contents.truncations.iter().map(|ts| ts.0).collect(),
            }));
            for segment in contents.segments.iter() {
                bytes += segment.size();
                segments.push_back(Next::Item(Item::Segment {
                    size: segment.size(),
                    committed: segment.committed(),
                }));
                segments.push_back(Next::Segment(segment.clone(), 0));
            }
        }
        segments.push_back(Next::Item(Item::SegmentsEnd));
        let mut queue = VecDeque::new();
        for (table, shards) in &tables {
            let meta = engine.table(*table).ok_or(StorageError::NoSuchTable(*table))?;
            queue.push_back(Item::Table {
                shape: Box::new((*meta.shape).clone()),
                layouts: Box::new((*meta.layouts).clone()),
                shards: shards.clone(),
            });
        }
        pin.move_to(Lsn(from));
        Ok(Self {
            engine: engine.clone(),
            group,
            pin,
            queue,
            segments,
            log: LogReader::new(Lsn(from)),
            sealed,
            captured,
            loads: VecDeque::new(),
            tables: tables.into_keys().collect(),
            parts: BTreeMap::new(),
            prepared: BTreeMap::new(),
            bytes,
            sent: 0,
        })
    }

    /// The next chunk; `None` when nothing is there to send now. Waits for the disk.
    pub fn next_chunk(&mut self) -> Result<Option<Vec<u8>>> {
        let mut items = Vec::new();
        let mut size = 0;
        while size < CHUNK_BYTES {
            if self.queue.is_empty() && !self.read_segment()? && !self.read_log()? {
                break;
            }
            let Some(item) = self.queue.pop_front() else { continue };
            size += item.size();
            if let Item::Bytes(bytes) = &item {
                self.sent += bytes.len() as u64;
            }
            items.push(item);
        }
        if items.is_empty() { Ok(None) } else { item::encode(&items).map(Some) }
    }

    pub fn progress(&self) -> Progress {
        // What is queued has been read and not been sent.
        let behind = u64::from(!self.queue.is_empty() || !self.loads.is_empty());
        let position = self.log.position().0 - 1;
        Progress {
            position: Lsn(position.saturating_sub(behind)),
            end: self.engine.wal.applied(),
            bytes: self.bytes,
            sent: self.sent,
        }
    }

    /// The shards that the copy has, as far as the log was read.
    pub fn shards(&self) -> Vec<ShardId> {
        self.sealed.keys().copied().collect()
    }

    /// Queues more of the segments; `false` when there is no more.
    fn read_segment(&mut self) -> Result<bool> {
        match self.segments.pop_front() {
            None => return Ok(false),
            Some(Next::Item(item)) => self.queue.push_back(item),
            Some(Next::Segment(segment, at)) => {
                let len = segment.size() as usize;
                let end = len.min(at + PIECE_BYTES);
                self.queue.push_back(Item::Bytes(segment.part(at..end)?));
                if end < len {
                    self.segments.push_front(Next::Segment(segment, end));
                } else {
                    let marks: Vec<_> = segment.marks().iter().collect();
                    for some in marks.chunks(MARKS) {
                        self.queue.push_back(Item::Marks(some.to_vec()));
                    }
                    self.queue.push_back(Item::SegmentEnd { crc: segment.crc()? });
                }
            }
        }
        Ok(true)
    }

    /// Queues more of the log; `false` when it has been read to its end, or far enough for once.
    fn read_log(&mut self) -> Result<bool> {
        self.read_loads()?;
        let upto = self.engine.wal.sync_applied()?;
        let mut looked = 0;
        while self.queue.is_empty() && looked < LOOK_BYTES {
            let Some((lsn, logged)) = self.log.next(&self.engine.wal, upto)? else { break };
            let payload = match logged {
                Logged::Record(payload) => payload,
                Logged::Damaged(Scope::Shards(shards), _)
                    if shards.iter().all(|of| of.group != self.group) =>
                {
                    continue;
                }
                Logged::Damaged(_, error) => return Err(error),
            };
            looked += payload.len();
            let group = self.group;
            self.take(lsn, Record::decode_sections(&payload, |of| of == group)?)?;
            self.read_loads()?;
        }
        if self.parts.is_empty() && self.prepared.is_empty() {
            self.pin.move_to(self.log.position());
        }
        Ok(!self.queue.is_empty())
    }

    fn take(&mut self, lsn: Lsn, record: Record) -> Result<()> {
        match record {
            Record::Commit { txn, ts, sections } => {
                let all = self.whole(txn, sections);
                self.committed(lsn, ts, all)?;
            }
            Record::Part { txn, sections } => self.parts.entry(txn).or_default().extend(sections),
            Record::Prepare { txn, sections, .. } => {
                let all = self.whole(txn, sections);
                if !all.is_empty() {
                    self.prepared.insert(txn, all);
                }
            }
            Record::CommitPrepared { txn, ts } => {
                if let Some(sections) = self.prepared.remove(&txn) {
                    self.committed(lsn, ts, sections)?;
                }
            }
            Record::Abort { txn } => {
                self.prepared.remove(&txn);
                self.parts.remove(&txn);
            }
            Record::Meta(change) => self.changed(change),
            // A transaction's locks end with it: the target needs none.
            Record::Locks { .. } => {}
        }
        Ok(())
    }

    fn whole(&mut self, txn: TxnId, sections: Vec<Section>) -> Vec<Section> {
        let mut all = self.parts.remove(&txn).unwrap_or_default();
        all.extend(sections);
        all
    }

    fn committed(&mut self, lsn: Lsn, ts: Timestamp, sections: Vec<Section>) -> Result<()> {
        let fresh = |section: &Section| {
            self.sealed.get(&section.shard).is_some_and(|sealed| lsn.0 > *sealed)
        };
        let mut sections: Vec<_> = sections.into_iter().filter(fresh).collect();
        self.take_loads(ts, &mut sections);
        self.queue_commits(ts, &sections)
    }

    fn queue_commits(&mut self, ts: Timestamp, sections: &[Section]) -> Result<()> {
        for sections in chunks(sections) {
            let record = Record::Commit { txn: COPY, ts, sections };
            self.queue.push_back(Item::Commit(record.encode()?));
        }
        Ok(())
    }

    /// Takes loaded segments out of a commit's operations. They are in their shards, which are not
    /// merged while this copy is under way.
    fn take_loads(&mut self, ts: Timestamp, sections: &mut [Section]) {
        let mut loads = Vec::new();
        let mut changed: BTreeMap<ShardId, BTreeSet<Bytes>> = BTreeMap::new();
        for section in sections.iter_mut() {
            let empty = section.without_ops();
            section.ops.retain(|op| match op {
                Op::Attach(attached) => {
                    if !self.captured.contains(&attached.id) {
                        loads.push((empty.clone(), attached.id));
                    }
                    false
                }
                Op::Put { .. } | Op::Delete { .. } | Op::Truncate => true,
            });
        }
        if loads.is_empty() {
            return;
        }
        for section in sections.iter() {
            changed.entry(section.shard).or_default().extend(section.keys().cloned());
        }
        for (section, id) in loads {
            // A shard that is gone by now needs nothing more: its drop comes later in the log.
            let Ok(shard) = self.engine.shard(section.shard) else { continue };
            let contents = shard.contents();
            let Some(segment) = contents.segments.iter().find(|segment| segment.id == id) else {
                continue;
            };
            let changed = changed.get(&section.shard).cloned().unwrap_or_default();
            self.loads.push_back(Load { ts, section, segment: segment.clone(), at: 0, changed });
        }
    }

    /// Queues some rows of a loaded segment when nothing else is queued.
    fn read_loads(&mut self) -> Result<()> {
        while self.queue.is_empty()
            && let Some(mut load) = self.loads.pop_front()
        {
            let (mut section, mut size) = (load.section.clone(), 0);
            while u64::from(load.at) < load.segment.rows() && size < CHUNK_BYTES {
                let stored = load.segment.row(load.at)?;
                load.at += 1;
                if !load.changed.contains(&stored.key) {
                    size += stored.key.len() + stored.row.len();
                    section.ops.push(Op::Put { key: stored.key, row: stored.row });
                }
            }
            self.queue_commits(load.ts, &[section])?;
            if u64::from(load.at) < load.segment.rows() {
                self.loads.push_front(load);
            }
        }
        Ok(())
    }

    fn changed(&mut self, change: MetaChange) {
        match change {
            MetaChange::CreateShards { shape, shards } => {
                let ours = shards.into_iter().filter(|(_, group, _)| *group == self.group);
                let ours: Vec<_> = ours.map(|(shard, _, _)| shard).collect();
                if ours.is_empty() {
                    return;
                }
                self.tables.insert(shape.table);
                for shard in &ours {
                    self.sealed.entry(*shard).or_insert(0);
                }
                let layouts = Box::new(Layouts::of(&shape));
                self.queue.push_back(Item::Table { shape, layouts, shards: ours });
            }
            MetaChange::DropShards { shards } => {
                let ours: Vec<_> =
                    shards.into_iter().filter(|id| self.sealed.remove(id).is_some()).collect();
                if !ours.is_empty() {
                    self.queue.push_back(Item::Dropped(ours));
                }
            }
            MetaChange::AlterTable { shape, .. } => {
                if self.tables.contains(&shape.table) {
                    self.queue.push_back(Item::Shape(shape));
                }
            }
            MetaChange::SetGeneration { .. }
            | MetaChange::CopyShards { .. }
            | MetaChange::FenceGroup { .. } => {}
        }
    }
}
