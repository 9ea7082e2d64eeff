//! Opening a data directory: whose it is, what format it has, and what its log says.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::io::ErrorKind;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::time::Instant;

use parking_lot::{Mutex, RwLock};
use satsuma_common::row::RowError;
use satsuma_common::{GroupId, Lsn, Recent, ShardId, TableId, Timestamp, TxnId};

use super::copy::Pins;
use super::losses::Losses;
use super::meta::{Meta, TableMeta};
use super::pressure::{Pressure, Wake};
use super::snapshots::Snapshots;
use super::store::Store;
use super::{Engine, Options};
use crate::disk::Disk;
use crate::error::{Result, StorageError};
use crate::kv::Kv;
use crate::lock::{LockKey, LockTable, RowLockMode};
use crate::manifest::{self, Checkpoint, GroupRecord, Loss, Manifest, ShardHeader, TableRecord};
use crate::shard::Shard;
use crate::timeline::Timeline;
use crate::txn::{Loaded, Phase, Txn};
use crate::wal::record::{LoggedLock, MetaChange, Op, Record, Section};
use crate::wal::{self, Found, Known, LogKey, Wal};

/// Aborted transactions that are remembered: requests are late by moments.
const ABORTED_KEPT: usize = 16_384;
const FORMAT: u32 = 8;
const FORMAT_FILE: &str = "FORMAT";
const FORMAT_PREFIX: &str = "satsuma storage ";

impl Engine {
    /// Opens the directory, which is made when it is not there. Fails when another process has
    /// it, when its format is not this program's, and when its files are damaged.
    pub fn open(dir: &Path, disk: Arc<dyn Disk>, options: Options) -> Result<Arc<Self>> {
        let lock = lock(&*disk, dir)?;
        let io = |e: std::io::Error| StorageError::io(dir, &e);
        let (identity, key) = identity(&*disk, dir)?;
        let (log_dir, segment_dir, kv_dir) = (dir.join("wal"), dir.join("seg"), dir.join("kv"));
        for part in [&log_dir, &segment_dir, &kv_dir] {
            disk.create_dir(part).map_err(io)?;
        }
        disk.sync_dir(dir).map_err(io)?;

        let kv = Kv::open(disk.clone(), &kv_dir)?;
        let store = Store::new(disk.clone(), Arc::new(kv), segment_dir, options.small_segment);
        let (mut recovery, known) = Recovery::load(&store)?;
        let from = known.from;
        let mut told = Instant::now();
        let replayed = wal::replay(&*disk, &log_dir, key, known, |found| {
            let (lsn, payload) = match found {
                Found::Record { lsn, payload } => (lsn, payload),
                Found::Lost(lost) => {
                    recovery.losses.lose(&mut recovery.meta, lost);
                    return Ok(());
                }
            };
            if told.elapsed() >= options.tell_every {
                tracing::info!(dir = %dir.display(), from, at = lsn, "recovering from the log");
                told = Instant::now();
            }
            recovery.apply(&store, Lsn(lsn), Record::decode(payload)?)
        })?;
        let Recovery { losses, meta, prepared, .. } = &mut recovery;
        for prepared in prepared.values() {
            losses.note_sections(meta, prepared.from, &prepared.sections);
            losses.refuse_prepared(meta, prepared.from, &prepared.sections);
        }
        recovery.losses.settle(&mut recovery.meta, &store)?;
        tracing::info!(dir = %dir.display(), from, to = replayed.next_lsn - 1, "recovered");
        let wal = Wal::open(disk.clone(), &log_dir, replayed, options.wal.clone())?;
        let locks = LockTable::start().map_err(io)?;
        let is_whole = recovery.meta.losses.is_empty();
        let manifests: Vec<_> = recovery.manifests.values().collect();
        store.sweep(&manifests, &recovery.attached, is_whole)?;
        let (timeline, txns) = recovery.undecided(&store, &locks);
        let maintenance = options.maintenance;
        let engine = Arc::new(Self {
            dir: dir.to_owned(),
            identity,
            options,
            meta: RwLock::new(recovery.meta),
            changing: Arc::default(),
            txns: Mutex::new(txns),
            aborted: Mutex::new(Recent::new(ABORTED_KEPT)),
            timeline,
            locks,
            wal,
            store,
            snapshots: Snapshots::default(),
            pins: Pins::default(),
            oldest_transaction: AtomicU64::new(0),
            checkpointing: Mutex::new(()),
            checkpointed_bytes: AtomicU64::new(0),
            work: Mutex::default(),
            has_dropped: AtomicBool::new(false),
            pressure: Pressure::default(),
            wake: Arc::new(Wake::default()),
            closed: AtomicBool::new(false),
            maintenance: Mutex::new(None),
            _lock: lock,
        });
        if maintenance {
            Self::start_maintenance(&engine)?;
        }
        Ok(engine)
    }
}

fn lock(disk: &dyn Disk, dir: &Path) -> Result<Box<dyn Send + Sync>> {
    let io = |e: std::io::Error| StorageError::io(dir, &e);
    disk.create_dir(dir).map_err(io)?;
    disk.lock_dir(dir).map_err(|error| match error.kind() {
        ErrorKind::WouldBlock => StorageError::InUse(dir.to_owned()),
        _ => io(error),
    })
}

/// Reads the directory's identity and the key of its log, or gives it some. The file has a line
/// `satsuma storage FORMAT`, one with each of them, and a CRC32C of those lines.
fn identity(disk: &dyn Disk, dir: &Path) -> Result<(String, LogKey)> {
    let path = dir.join(FORMAT_FILE);
    let io = |e: std::io::Error| StorageError::io(&path, &e);
    let bytes = match disk.read(&path) {
        Ok(bytes) => bytes,
        // Without the key a log cannot be read; a first start makes the file before the log.
        Err(error) if error.kind() == ErrorKind::NotFound && has_log(disk, dir) => {
            return Err(StorageError::corrupt(&path, 0, "is missing, and there is a log"));
        }
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let identity = uuid::Uuid::new_v4().to_string();
            let (key, _, _, _) = uuid::Uuid::new_v4().to_fields_le();
            let text = format!("{FORMAT_PREFIX}{FORMAT}\n{identity}\n{key:08x}\n");
            let text = format!("{text}{:08x}\n", crc32c::crc32c(text.as_bytes()));
            disk.replace(&path, text.as_bytes()).map_err(io)?;
            return Ok((identity, LogKey(key)));
        }
        Err(error) => return Err(io(error)),
    };
    let corrupt = |reason: &str| StorageError::corrupt(&path, 0, reason);
    let text = String::from_utf8_lossy(&bytes);
    let lines: Vec<&str> = text.lines().collect();
    let unknown = |first: &str| StorageError::UnknownFormat {
        path: dir.to_owned(),
        found: first.strip_prefix(FORMAT_PREFIX).unwrap_or("unknown").chars().take(20).collect(),
        expected: FORMAT,
    };
    let (identity, key) = match lines[..] {
        // Formats before 6 had no checksum.
        [first, _] if first != format!("{FORMAT_PREFIX}{FORMAT}") => return Err(unknown(first)),
        [first, identity, key, crc] => {
            let said = format!("{first}\n{identity}\n{key}\n");
            if u32::from_str_radix(crc, 16) != Ok(crc32c::crc32c(said.as_bytes())) {
                return Err(corrupt("checksum does not match"));
            }
            if first.strip_prefix(FORMAT_PREFIX) != Some(&FORMAT.to_string()) {
                return Err(unknown(first));
            }
            (identity, key)
        }
        _ => return Err(corrupt("it has not the lines that it should have")),
    };
    uuid::Uuid::parse_str(identity).map_err(|_| corrupt("identity is not a uuid"))?;
    let key = u32::from_str_radix(key, 16).map_err(|_| corrupt("key is not a number"))?;
    Ok((identity.to_owned(), LogKey(key)))
}

fn has_log(disk: &dyn Disk, dir: &Path) -> bool {
    disk.list(&dir.join("wal")).is_ok_and(|files| !files.is_empty())
}

/// What the store and the log have told so far.
#[derive(Default)]
struct Recovery {
    meta: Meta,
    /// By shard, those that the log has yet to make among them.
    manifests: BTreeMap<ShardId, Result<Manifest>>,
    /// Segments that the log names.
    attached: BTreeSet<u64>,
    /// Parts of transactions whose last record has not come yet, with the LSN of the first.
    parts: BTreeMap<TxnId, Parts>,
    prepared: BTreeMap<TxnId, Prepared>,
    last_commit: u64,
    losses: Losses,
}

/// What came ahead of a transaction's last record.
struct Parts {
    from: Lsn,
    sections: Vec<Section>,
    locks: Vec<LoggedLock>,
}

impl Parts {
    fn new(from: Lsn) -> Self {
        Self { from, sections: Vec::new(), locks: Vec::new() }
    }
}

struct Prepared {
    from: Lsn,
    ts: Timestamp,
    sections: Vec<Section>,
    locks: Vec<LoggedLock>,
}

impl Recovery {
    /// What the store holds, and what it knows of the log.
    fn load(store: &Store) -> Result<(Self, Known)> {
        let mut recovery = Self::default();
        let kv = &store.kv;
        let checkpoint = manifest::get(kv, manifest::CHECKPOINT)?
            .unwrap_or(Checkpoint { log_from: 1, ..Checkpoint::default() });
        recovery.last_commit = checkpoint.last_commit;
        for (_, record) in manifest::all::<TableRecord>(kv, b't')? {
            let table = TableMeta::new(record.shape, record.layouts)?;
            recovery.meta.tables.insert(table.shape.table, Arc::new(table));
        }
        for (id, record) in manifest::all::<TableRecord>(kv, b'r')? {
            let table = TableMeta::new(record.shape, record.layouts)?;
            recovery.meta.retired.insert(ShardId(id), Arc::new(table));
        }
        for (id, record) in manifest::all::<GroupRecord>(kv, b'g')? {
            recovery.meta.groups.insert(GroupId(id), (record.generation, record.epoch));
        }
        for (id, by) in manifest::all::<TxnId>(kv, b'p')? {
            let table = u32::try_from(id).map_err(|_| RowError::Malformed("table id".into()))?;
            recovery.meta.pending.insert(TableId(table), by);
        }
        for (id, ()) in manifest::all::<()>(kv, b'f')? {
            recovery.meta.fenced.insert(GroupId(id));
        }
        for (id, loss) in manifest::all::<Loss>(kv, b'd')? {
            recovery.meta.losses.insert(ShardId(id), loss);
        }
        let manifests = manifest::each::<Manifest>(kv, b'm')?.into_iter();
        recovery.manifests = manifests.map(|(id, manifest)| (ShardId(id), manifest)).collect();
        for (id, header) in manifest::all::<ShardHeader>(kv, b'h')? {
            let id = ShardId(id);
            let shard = Shard::new(id, header.group, header.table, Lsn(header.created));
            recovery.restore(store, &shard);
            recovery.meta.shards.insert(id, Arc::new(shard));
        }
        recovery.meta.lsn = Lsn(checkpoint.meta_lsn);
        recovery.losses = Losses::new(&recovery.meta);
        let manifests = recovery.manifests.values().filter_map(|manifest| manifest.as_ref().ok());
        let sealed = manifests.flat_map(|manifest| {
            let attached = manifest.attached.iter().map(|(lsn, _)| *lsn);
            attached.chain([manifest.sealed, manifest.created])
        });
        let lost = recovery.meta.losses.values().map(|loss| loss.last);
        let durable = sealed.chain(lost).fold(checkpoint.meta_lsn, u64::max);
        let known = Known { from: checkpoint.log_from, durable_before: durable.saturating_add(1) };
        Ok((recovery, known))
    }

    /// Gives a shard the segments of its manifest, if it is the same shard. One that cannot be
    /// read is damaged, and refuses, and its log is kept; the others do not suffer.
    fn restore(&self, store: &Store, shard: &Shard) {
        if let Some(loss) = self.meta.losses.get(&shard.id)
            && loss.created == shard.created.0
        {
            shard.set_damaged(loss.error());
        }
        match self.manifests.get(&shard.id) {
            Some(Ok(manifest)) if manifest.created == shard.created.0 => {
                match store.open(manifest) {
                    Ok(stored) => shard.restore(stored),
                    Err(error) => shard.set_damaged(error),
                }
            }
            Some(Err(error)) => shard.set_damaged(error.clone()),
            Some(Ok(_)) | None => {}
        }
    }

    fn apply(&mut self, store: &Store, lsn: Lsn, record: Record) -> Result<()> {
        for op in record.sections().iter().flat_map(|section| &section.ops) {
            if let Op::Attach(attached) = op {
                self.attached.insert(attached.id);
            }
        }
        match record {
            Record::Meta(change) => {
                self.losses.note_change(lsn, &change);
                self.meta.apply(lsn, &change)?;
                let made: Vec<ShardId> = match &change {
                    MetaChange::CreateShards { shards, .. } => {
                        shards.iter().map(|(id, _, _)| *id).collect()
                    }
                    MetaChange::CopyShards { shards, .. } => {
                        shards.iter().map(|(id, _)| *id).collect()
                    }
                    MetaChange::AlterTable { .. }
                    | MetaChange::DropShards { .. }
                    | MetaChange::SetGeneration { .. }
                    | MetaChange::FenceGroup { .. } => Vec::new(),
                };
                for shard in made.iter().filter_map(|id| self.meta.shards.get(id)) {
                    if shard.created == lsn {
                        self.restore(store, shard);
                    }
                }
            }
            Record::Part { txn, sections } => {
                self.ahead(txn, lsn).sections.extend(sections);
            }
            Record::Locks { txn, locks } => self.ahead(txn, lsn).locks.extend(locks),
            Record::Commit { txn, ts, sections } => {
                let whole = self.whole(txn, lsn, sections, Vec::new());
                self.commit(store, lsn, whole.from, ts, whole.sections);
            }
            Record::Prepare { txn, ts, sections, locks } => {
                let Parts { from, sections, locks } = self.whole(txn, lsn, sections, locks);
                self.last_commit = self.last_commit.max(ts.0);
                self.prepared.insert(txn, Prepared { from, ts, sections, locks });
            }
            Record::CommitPrepared { txn, ts } => {
                self.meta.settle(txn);
                if let Some(prepared) = self.prepared.remove(&txn) {
                    self.commit(store, lsn, prepared.from, ts, prepared.sections);
                }
            }
            Record::Abort { txn } => {
                self.prepared.remove(&txn);
                self.parts.remove(&txn);
            }
        }
        Ok(())
    }

    fn ahead(&mut self, txn: TxnId, lsn: Lsn) -> &mut Parts {
        self.parts.entry(txn).or_insert_with(|| Parts::new(lsn))
    }

    /// What a record has, behind the parts before it.
    fn whole(
        &mut self,
        txn: TxnId,
        lsn: Lsn,
        sections: Vec<Section>,
        locks: Vec<LoggedLock>,
    ) -> Parts {
        let mut all = self.parts.remove(&txn).unwrap_or_else(|| Parts::new(lsn));
        all.sections.extend(sections);
        all.locks.extend(locks);
        all
    }

    fn commit(
        &mut self,
        store: &Store,
        lsn: Lsn,
        from: Lsn,
        ts: Timestamp,
        mut sections: Vec<Section>,
    ) {
        self.last_commit = self.last_commit.max(ts.0);
        self.losses.note_sections(&self.meta, lsn, &sections);
        self.open_attached(store, Some(lsn), &mut sections);
        self.meta.commit(lsn, from, ts, &sections);
    }

    /// Opens the segments that operations bring, but for those that are in place by `lsn`. A shard
    /// whose segment cannot be read is damaged.
    fn open_attached(&self, store: &Store, lsn: Option<Lsn>, sections: &mut [Section]) {
        for section in sections {
            let Some(shard) = self.meta.shards.get(&section.shard) else { continue };
            for op in &mut section.ops {
                let Op::Attach(attached) = op else { continue };
                if lsn.is_some_and(|lsn| shard.has_attached(lsn, attached.id)) {
                    continue;
                }
                match store.open_segment(attached.id) {
                    Ok(segment) if segment.size() == attached.size => {
                        attached.segment = Some(Arc::new(segment));
                    }
                    Ok(segment) => shard.set_damaged(StorageError::corrupt(
                        &segment.path,
                        segment.size(),
                        format!("the file should have {} bytes", attached.size),
                    )),
                    Err(error) => shard.set_damaged(error),
                }
            }
        }
    }

    /// Where the commit of a transaction is lost, its loads may be in their shards: they are not
    /// the transaction's any more, to be taken back by its abort.
    fn leave_out_attached(&self, store: &Store, sections: &mut [Section]) {
        for section in sections {
            let Some(shard) = self.meta.shards.get(&section.shard) else { continue };
            if !self.losses.may_have_committed(shard.id) {
                continue;
            }
            let contents = shard.contents();
            section.ops.retain(|op| match op {
                Op::Attach(attached) => {
                    let is_here = contents.segments.iter().any(|s| s.id == attached.id);
                    // It may also have been merged.
                    !is_here && store.has_loaded(attached.id)
                }
                Op::Put { .. } | Op::Delete { .. } | Op::Truncate => true,
            });
        }
    }

    /// A shard whose keys are row ids.
    fn heap(&self, shard: ShardId) -> Option<&Arc<Shard>> {
        let shard = self.meta.shards.get(&shard)?;
        self.meta.tables.get(&shard.table).filter(|table| table.key.is_none()).map(|_| shard)
    }

    /// Prepared transactions wait for their outcome again, with their locks.
    fn undecided(
        &mut self,
        store: &Store,
        locks: &LockTable,
    ) -> (Timeline, HashMap<TxnId, Arc<Txn>>) {
        let timeline = Timeline::default();
        timeline.observe_commit(Timestamp(self.last_commit));
        let mut txns = HashMap::new();
        for (id, mut prepared) in std::mem::take(&mut self.prepared) {
            self.leave_out_attached(store, &mut prepared.sections);
            self.open_attached(store, None, &mut prepared.sections);
            let txn = Txn::with_phase(id, Phase::Prepared(prepared.ts));
            let mut state = txn.state.lock();
            for section in &prepared.sections {
                for op in &section.ops {
                    match op {
                        Op::Put { key, row } => {
                            if let Some(shard) = self.heap(section.shard) {
                                shard.note_row_id(key);
                            }
                            state.write(section.shard, 1, key.clone(), Some(row.clone()));
                        }
                        Op::Delete { key } => state.write(section.shard, 1, key.clone(), None),
                        Op::Truncate => state.truncate(section.shard, 1),
                        Op::Attach(attached) => {
                            let shard = self.meta.shards.get(&section.shard);
                            let (Some(segment), Some(shard)) = (&attached.segment, shard) else {
                                continue;
                            };
                            if let Some(shard) = self.heap(section.shard) {
                                shard.note_row_id(segment.footer().last_key());
                            }
                            let (shard, segment) = (shard.clone(), segment.clone());
                            let file = store.kept_file(segment.id);
                            let loaded = Loaded::new(id, 1, shard, segment, file);
                            state.load(section.shard, loaded);
                        }
                    }
                }
            }
            state.logged_from = Some(prepared.from);
            let shards = state.shards.keys().copied().collect();
            drop(state);
            let mut logged = HashSet::new();
            for lock in prepared.locks {
                let row = (!lock.key.is_empty()).then_some(lock.key);
                let key = LockKey { shard: lock.shard, row };
                locks.restore(id, &key, lock.mode);
                logged.insert(key);
            }
            for section in &prepared.sections {
                for row in section.keys() {
                    let key = LockKey { shard: section.shard, row: Some(row.clone()) };
                    if !logged.contains(&key) {
                        locks.restore(id, &key, RowLockMode::Update.into());
                    }
                }
            }
            timeline.restore(id, prepared.ts, shards);
            txns.insert(id, Arc::new(txn));
        }
        (timeline, txns)
    }
}
