//! Opening a data directory: whose it is, what format it has, and what its log says.

use std::collections::{BTreeMap, HashMap};
use std::io::ErrorKind;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use parking_lot::{Mutex, RwLock};
use satsuma_common::{Lsn, Timestamp, TxnId};

use super::meta::Meta;
use super::{Engine, Options};
use crate::disk::Disk;
use crate::error::{Result, StorageError};
use crate::lock::{LockKey, LockTable};
use crate::timeline::Timeline;
use crate::txn::{Phase, Txn};
use crate::wal::record::{LoggedLock, Op, Record, Section};
use crate::wal::{self, Wal};

const FORMAT: u32 = 1;
const FORMAT_FILE: &str = "FORMAT";

impl Engine {
    /// Opens the directory, which is made when it is not there. Fails when another process has
    /// it, when its format is not this program's, and when its files are damaged.
    pub fn open(dir: &Path, disk: Arc<dyn Disk>, options: Options) -> Result<Arc<Self>> {
        let io = |e: std::io::Error| StorageError::io(dir, &e);
        disk.create_dir(dir).map_err(io)?;
        let lock = disk.lock_dir(dir).map_err(|error| match error.kind() {
            ErrorKind::WouldBlock => StorageError::InUse(dir.to_owned()),
            _ => io(error),
        })?;
        let identity = identity(&*disk, dir)?;
        let log_dir = dir.join("wal");
        disk.create_dir(&log_dir).map_err(io)?;
        disk.sync_dir(dir).map_err(io)?;

        let mut recovery = Recovery::default();
        let replayed = wal::replay(&*disk, &log_dir, 1, |lsn, payload| {
            recovery.apply(Lsn(lsn), Record::decode(payload)?)
        })?;
        tracing::info!(dir = %dir.display(), lsn = replayed.next_lsn - 1, "storage recovered");
        let wal = Wal::open(disk.clone(), &log_dir, replayed, options.wal.clone())?;
        let locks = LockTable::start().map_err(io)?;
        let (timeline, txns) = recovery.undecided(&locks);
        Ok(Arc::new(Self {
            dir: dir.to_owned(),
            identity,
            options,
            meta: RwLock::new(recovery.meta),
            txns: Mutex::new(txns),
            timeline,
            locks,
            wal,
            oldest_snapshot: AtomicU64::new(0),
            _lock: lock,
            _disk: disk,
        }))
    }
}

/// Reads the directory's identity, or gives it one. The file says `satsuma storage FORMAT` and
/// then the identity.
fn identity(disk: &dyn Disk, dir: &Path) -> Result<String> {
    let path = dir.join(FORMAT_FILE);
    let io = |e: std::io::Error| StorageError::io(&path, &e);
    let bytes = match disk.read(&path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let identity = uuid::Uuid::new_v4().to_string();
            let text = format!("satsuma storage {FORMAT}\n{identity}\n");
            disk.replace(&path, text.as_bytes()).map_err(io)?;
            return Ok(identity);
        }
        Err(error) => return Err(io(error)),
    };
    let text = String::from_utf8_lossy(&bytes);
    let mut lines = text.lines();
    let found = lines.next().unwrap_or_default().strip_prefix("satsuma storage ");
    match (found, lines.next()) {
        (Some(found), Some(identity)) if found == FORMAT.to_string() => {
            uuid::Uuid::parse_str(identity)
                .map_err(|_| StorageError::corrupt(&path, 0, "identity is not a uuid"))?;
            Ok(identity.to_owned())
        }
        (found, _) => Err(StorageError::UnknownFormat {
            path: dir.to_owned(),
            found: found.unwrap_or("unknown").chars().take(20).collect(),
            expected: FORMAT,
        }),
    }
}

/// What the log has told so far.
#[derive(Default)]
struct Recovery {
    meta: Meta,
    /// Parts of transactions whose last record has not come yet.
    parts: BTreeMap<TxnId, Vec<Section>>,
    prepared: BTreeMap<TxnId, Prepared>,
    last_commit: u64,
}

struct Prepared {
    ts: Timestamp,
    sections: Vec<Section>,
    locks: Vec<LoggedLock>,
}

impl Recovery {
    fn apply(&mut self, lsn: Lsn, record: Record) -> Result<()> {
        match record {
            Record::Meta(change) => self.meta.apply(&change)?,
            Record::Part { txn, sections } => self.parts.entry(txn).or_default().extend(sections),
            Record::Commit { txn, ts, sections } => {
                let mut all = self.parts.remove(&txn).unwrap_or_default();
                all.extend(sections);
                self.commit(lsn, ts, &all);
            }
            Record::Prepare { txn, ts, sections, locks } => {
                let mut all = self.parts.remove(&txn).unwrap_or_default();
                all.extend(sections);
                self.last_commit = self.last_commit.max(ts.0);
                self.prepared.insert(txn, Prepared { ts, sections: all, locks });
            }
            Record::CommitPrepared { txn, ts } => {
                if let Some(prepared) = self.prepared.remove(&txn) {
                    self.commit(lsn, ts, &prepared.sections);
                }
            }
            Record::Abort { txn } => {
                self.prepared.remove(&txn);
                self.parts.remove(&txn);
            }
        }
        Ok(())
    }

    fn commit(&mut self, lsn: Lsn, ts: Timestamp, sections: &[Section]) {
        self.last_commit = self.last_commit.max(ts.0);
        self.meta.commit(lsn, ts, sections);
    }

    /// Prepared transactions wait for their outcome again, with their locks.
    fn undecided(&mut self, locks: &LockTable) -> (Timeline, HashMap<TxnId, Arc<Txn>>) {
        let timeline = Timeline::default();
        timeline.observe_commit(Timestamp(self.last_commit));
        let mut txns = HashMap::new();
        for (id, prepared) in std::mem::take(&mut self.prepared) {
            let txn = Txn::with_phase(id, Phase::Prepared(prepared.ts));
            let mut state = txn.state.lock();
            for section in &prepared.sections {
                for op in &section.ops {
                    match op {
                        Op::Put { key, row } => {
                            state.write(section.shard, 1, key.clone(), Some(row.clone()));
                        }
                        Op::Delete { key } => state.write(section.shard, 1, key.clone(), None),
                        Op::Truncate => state.truncate(section.shard, 1),
                    }
                }
            }
            let shards = state.shards.keys().copied().collect();
            drop(state);
            for lock in prepared.locks {
                let row = (!lock.key.is_empty()).then_some(lock.key);
                locks.restore(id, &LockKey { shard: lock.shard, row }, lock.mode);
            }
            timeline.restore(id, prepared.ts, shards);
            txns.insert(id, Arc::new(txn));
        }
        (timeline, txns)
    }
}
