//! Group commit: one thread writes and syncs whatever has gathered. Whoever is alone may do it
//! himself ([`Wal::append_here`]): two wake-ups less, which take as long as a fast disk.
//!
//! Records that only repeat what is durable elsewhere (the end of a prepared transaction, which
//! the decision's log has) are written at once and synced with the next record that needs it, or
//! after [`LINGER`]. What their effects are stored in must wait for [`Wal::sync`].

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};
use satsuma_common::Lsn;

use super::frame::{self, FILE_HEADER, LogKey, MAX_PAYLOAD};
use super::replay::{Replayed, file_name};
use super::scope::{Recent, Scope};
use crate::disk::{Disk, DiskFile};
use crate::error::{Result, StorageError};

#[derive(Clone, Debug)]
pub struct WalOptions {
    /// A file that reaches this size is the last's; the next record starts a new one.
    pub file_bytes: u64,
    /// Zeroed ahead of the end in steps of this many bytes.
    pub zero_ahead: u64,
    /// Bytes gathered into one write.
    pub batch_bytes: usize,
}

impl Default for WalOptions {
    fn default() -> Self {
        Self { file_bytes: 64 << 20, zero_ahead: 1 << 20, batch_bytes: 16 << 20 }
    }
}

/// Records that became durable together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Written {
    pub first: Lsn,
    pub last: Lsn,
}

/// A record, and which shards it is about.
#[derive(Clone, Debug)]
pub struct Entry {
    pub scope: Scope,
    pub payload: Vec<u8>,
}

/// Called once, by whoever wrote the records, when they are durable or have failed.
pub type Durable = Box<dyn FnOnce(Result<Written>) + Send>;

struct Pending {
    entries: Vec<Entry>,
    queued: Instant,
    done: Durable,
    /// `done` need not wait for the disk.
    may_linger: bool,
}

/// How long a written record may wait to be synced together with another one.
const LINGER: Duration = Duration::from_millis(20);
/// A disk whose syncs take longer on average is not waited for where others need the thread.
const QUICK_SYNC: Duration = Duration::from_micros(700);
/// The most bytes that are written at once where others need the thread.
const FEW_BYTES: usize = 64 << 10;

#[derive(Default)]
struct Queue {
    pending: VecDeque<Pending>,
    closed: bool,
}

struct Shared {
    queue: Mutex<Queue>,
    wake: Condvar,
    poisoned: Mutex<Option<String>>,
    durable: AtomicU64,
    applied: AtomicU64,
    /// What was written last has not been synced.
    unsynced: AtomicBool,
    files: Mutex<VecDeque<(u64, PathBuf)>>,
    stats: Stats,
}

impl Shared {
    /// Waits for records, or until those that linger are to be synced; false when the log is
    /// closed and all is durable.
    fn has_work(&self) -> bool {
        let mut queue = self.queue.lock();
        while queue.pending.is_empty() {
            match (queue.closed, self.unsynced.load(Ordering::Acquire)) {
                (true, unsynced) => return unsynced,
                (false, false) => self.wake.wait(&mut queue),
                (false, true) => {
                    if self.wake.wait_for(&mut queue, LINGER).timed_out() {
                        return true;
                    }
                }
            }
        }
        true
    }

    /// Records for one write: none when somebody else has written them.
    fn take(&self, most_bytes: usize) -> Vec<Pending> {
        let mut queue = self.queue.lock();
        let (mut bytes, mut batch) = (0, Vec::new());
        while let Some(pending) = queue.pending.front() {
            bytes += pending.bytes();
            if bytes > most_bytes && !batch.is_empty() {
                break;
            }
            batch.extend(queue.pending.pop_front());
        }
        batch
    }
}

impl Pending {
    fn bytes(&self) -> usize {
        self.entries.iter().map(|entry| entry.payload.len()).sum()
    }
}

#[derive(Default)]
struct Stats {
    records: AtomicU64,
    bytes: AtomicU64,
    syncs: AtomicU64,
    sync_nanos: AtomicU64,
    /// Of the last syncs, on average; 0 before the first.
    recent_sync_nanos: AtomicU64,
    waits: AtomicU64,
    wait_nanos: AtomicU64,
}

/// Counters since start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WalStats {
    pub records: u64,
    pub bytes: u64,
    pub syncs: u64,
    pub sync_micros: u64,
    /// Commits and other groups of records that were made durable, and the time from their queueing
    /// until then.
    pub waits: u64,
    pub wait_micros: u64,
    pub files: u64,
}

/// The log, open for appending.
pub struct Wal {
    shared: Arc<Shared>,
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    key: LogKey,
    file_bytes: u64,
    appender: Arc<Mutex<Appender>>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Wal {
    /// Goes on where [`super::replay`] ended.
    pub fn open(
        disk: Arc<dyn Disk>,
        dir: &Path,
        replayed: Replayed,
        options: WalOptions,
    ) -> Result<Self> {
        let shared = Arc::new(Shared {
            queue: Mutex::default(),
            wake: Condvar::new(),
            poisoned: Mutex::default(),
            durable: AtomicU64::new(replayed.next_lsn - 1),
            applied: AtomicU64::new(replayed.next_lsn - 1),
            unsynced: AtomicBool::new(false),
            files: Mutex::new(replayed.files.into()),
            stats: Stats::default(),
        });
        let file_bytes = options.file_bytes;
        let mut appender = Appender {
            disk: disk.clone(),
            dir: dir.to_owned(),
            options,
            shared: shared.clone(),
            next_lsn: replayed.next_lsn,
            key: replayed.key,
            recent: replayed.recent,
            file: None,
            has_failed: false,
        };
        if let Some((path, at)) = replayed.tail {
            let file = disk.open(&path).map_err(|e| StorageError::io(&path, &e))?;
            appender.file = Some(Tail { file, path, at, zeroed: at });
        }
        let appender = Arc::new(Mutex::new(appender));
        let (waiting, writing) = (shared.clone(), appender.clone());
        let thread = std::thread::Builder::new()
            .name("wal".into())
            .spawn(move || while waiting.has_work() && writing.lock().turn() {})
            .map_err(|e| StorageError::io(dir, &e))?;
        let (dir, key) = (dir.to_owned(), replayed.key);
        let thread = Mutex::new(Some(thread));
        Ok(Self { shared, disk, dir, key, file_bytes, appender, thread })
    }

    /// Queues records, which follow each other in the log and are durable together or not at all.
    /// `done` runs on the thread that writes them, in LSN order. A record that could not be read
    /// again is refused.
    pub fn append(&self, entries: Vec<Entry>, done: Durable) {
        self.queue(entries, done, false);
        self.shared.wake.notify_one();
    }

    /// The same on the calling thread, which waits for the disk, where nobody else is writing, the
    /// records are few and the disk is quick.
    pub fn append_here(&self, entries: Vec<Entry>, done: Durable) {
        let bytes: usize = entries.iter().map(|entry| entry.payload.len()).sum();
        let recent = self.shared.stats.recent_sync_nanos.load(Ordering::Relaxed);
        let is_quick = (1..QUICK_SYNC.as_nanos() as u64).contains(&recent);
        self.queue(entries, done, false);
        if bytes <= FEW_BYTES
            && is_quick
            && let Some(mut appender) = self.appender.try_lock()
        {
            appender.turn();
            drop(appender);
            if self.shared.queue.lock().pending.is_empty() {
                return;
            }
        }
        self.shared.wake.notify_one();
    }

    /// Queues a record of something that is durable elsewhere: `done` runs, in LSN order all the
    /// same, when the record is written. It may be lost in a power cut until [`Wal::sync`].
    pub fn append_unsynced(&self, entry: Entry, done: Durable) {
        self.queue(vec![entry], done, true);
        self.shared.wake.notify_one();
    }

    /// Makes everything durable that was queued before. Blocks; not to be called by `done`.
    pub fn sync(&self) -> Result<()> {
        let (done, answer) = std::sync::mpsc::channel();
        self.when_synced(move |result| {
            let _ = done.send(result);
        });
        answer.recv().unwrap_or(Err(StorageError::Closed))
    }

    /// The same without blocking: `done` runs on the thread that syncs.
    pub fn when_synced(&self, done: impl FnOnce(Result<()>) + Send + 'static) {
        self.append(Vec::new(), Box::new(move |synced| done(synced.map(|_| ()))));
    }

    fn queue(&self, entries: Vec<Entry>, done: Durable, may_linger: bool) {
        if let Some(entry) = entries.iter().find(|entry| entry.payload.len() > MAX_PAYLOAD) {
            done(Err(StorageError::RecordTooLong(entry.payload.len())));
            return;
        }
        let mut queue = self.shared.queue.lock();
        if queue.closed {
            drop(queue);
            done(Err(self.check().err().unwrap_or(StorageError::Closed)));
            return;
        }
        let queued = Instant::now();
        queue.pending.push_back(Pending { entries, queued, done, may_linger });
    }

    /// An error once the log has failed.
    pub fn check(&self) -> Result<()> {
        match &*self.shared.poisoned.lock() {
            Some(reason) => Err(StorageError::Poisoned(reason.clone())),
            None => Ok(()),
        }
    }

    /// Every record up to here is durable.
    pub fn durable(&self) -> Lsn {
        Lsn(self.shared.durable.load(Ordering::Acquire))
    }

    /// What was to follow from every record up to here has been done.
    pub fn applied(&self) -> Lsn {
        Lsn(self.shared.applied.load(Ordering::Acquire))
    }

    /// Every record up to here has been applied, and is durable when this answers.
    pub fn sync_applied(&self) -> Result<Lsn> {
        let applied = self.applied();
        if self.durable() < applied {
            self.sync()?;
        }
        Ok(applied)
    }

    /// Removes files that hold only records below `lsn`. The newest file stays.
    pub fn truncate(&self, lsn: Lsn) -> Result<()> {
        let mut removed = false;
        loop {
            let mut files = self.shared.files.lock();
            if files.len() < 2 || files[1].0 > lsn.0 {
                break;
            }
            let Some((_, path)) = files.pop_front() else { break };
            drop(files);
            self.disk.remove(&path).map_err(|e| StorageError::io(&path, &e))?;
            removed = true;
        }
        if removed {
            self.disk.sync_dir(&self.dir).map_err(|e| StorageError::io(&self.dir, &e))?;
        }
        Ok(())
    }

    /// A record, from which on the log has about so many bytes.
    pub fn reaching_back(&self, bytes: u64) -> Lsn {
        let files = self.shared.files.lock();
        let count = bytes.div_ceil(self.file_bytes.max(1)) as usize;
        let first = files.iter().rev().nth(count).or(files.front());
        Lsn(first.map_or(0, |(first, _)| *first))
    }

    /// The log's files with their first LSNs, in order.
    pub(super) fn files(&self) -> Vec<(u64, PathBuf)> {
        self.shared.files.lock().iter().cloned().collect()
    }

    /// Whether the file has the record: no later one begins at or before it.
    pub(super) fn holds(&self, path: &Path, lsn: u64) -> bool {
        let files = self.shared.files.lock();
        files.iter().rev().find(|(first, _)| *first <= lsn).is_some_and(|(_, found)| found == path)
    }

    pub(super) fn key(&self) -> LogKey {
        self.key
    }

    pub(super) fn disk(&self) -> &dyn Disk {
        &*self.disk
    }

    /// Bytes written since the start.
    pub fn logged(&self) -> u64 {
        self.shared.stats.bytes.load(Ordering::Relaxed)
    }

    pub fn stats(&self) -> WalStats {
        let stats = &self.shared.stats;
        WalStats {
            records: stats.records.load(Ordering::Relaxed),
            bytes: stats.bytes.load(Ordering::Relaxed),
            syncs: stats.syncs.load(Ordering::Relaxed),
            sync_micros: stats.sync_nanos.load(Ordering::Relaxed) / 1000,
            waits: stats.waits.load(Ordering::Relaxed),
            wait_micros: stats.wait_nanos.load(Ordering::Relaxed) / 1000,
            files: self.shared.files.lock().len() as u64,
        }
    }

    /// Writes what is queued and ends the writer thread.
    pub fn close(&self) {
        self.shared.queue.lock().closed = true;
        self.shared.wake.notify_all();
        let thread = self.thread.lock().take();
        if let Some(thread) = thread
            && thread.thread().id() != std::thread::current().id()
        {
            if thread.join().is_err() {
                tracing::error!("the log's writer thread panicked");
            }
            // Somebody else may be writing what was queued last.
            drop(self.appender.lock());
        }
    }
}

impl Drop for Wal {
    fn drop(&mut self) {
        self.close();
    }
}

/// Frames are written in pieces of about this size.
pub(super) const WRITE_BYTES: usize = 1 << 20;

/// What is needed to write; one thread at a time has it.
struct Appender {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    options: WalOptions,
    shared: Arc<Shared>,
    next_lsn: u64,
    key: LogKey,
    /// What the next frame tells of those before it.
    recent: Recent,
    file: Option<Tail>,
    /// A write or sync has failed: nothing may be written any more.
    has_failed: bool,
}

struct Tail {
    file: Arc<dyn DiskFile>,
    path: PathBuf,
    /// Where the next frame goes.
    at: u64,
    /// Up to here the file is allocated.
    zeroed: u64,
}

enum Failure {
    /// Nothing was written: the records fail, the log lives on.
    NoRoom(StorageError),
    Broken(StorageError),
}

impl Appender {
    /// Writes what is queued, and syncs it; false once the log has failed.
    fn turn(&mut self) -> bool {
        if self.has_failed {
            return false;
        }
        let batch = self.shared.take(self.options.batch_bytes);
        let first = self.next_lsn;
        let records: usize = batch.iter().map(|pending| pending.entries.len()).sum();
        let next = first + records as u64;
        match self.write(&batch) {
            Ok(()) => {
                self.next_lsn = next;
                if !self.is_unsynced() {
                    self.shared.durable.store(next - 1, Ordering::Release);
                }
                self.shared.stats.records.fetch_add(next - first, Ordering::Relaxed);
                self.count_waits(&batch);
                let mut first = first;
                for pending in batch {
                    let next = first + pending.entries.len() as u64;
                    (pending.done)(Ok(Written { first: Lsn(first), last: Lsn(next - 1) }));
                    first = next;
                }
                self.shared.applied.store(next - 1, Ordering::Release);
            }
            Err(Failure::NoRoom(error)) => {
                for pending in batch {
                    (pending.done)(Err(error.clone()));
                }
            }
            Err(Failure::Broken(error)) => {
                tracing::error!(%error, "the write-ahead log failed");
                self.has_failed = true;
                *self.shared.poisoned.lock() = Some(error.to_string());
                let rest = {
                    let mut queue = self.shared.queue.lock();
                    queue.closed = true;
                    std::mem::take(&mut queue.pending)
                };
                for pending in batch.into_iter().chain(rest) {
                    (pending.done)(Err(StorageError::Poisoned(error.to_string())));
                }
            }
        }
        !self.has_failed
    }

    fn is_unsynced(&self) -> bool {
        self.shared.unsynced.load(Ordering::Acquire)
    }

    fn count_waits(&self, batch: &[Pending]) {
        let durable = batch.iter().filter(|one| !one.may_linger && !one.entries.is_empty());
        let (mut waits, mut nanos) = (0, 0);
        for one in durable {
            waits += 1;
            nanos += u64::try_from(one.queued.elapsed().as_nanos()).unwrap_or(u64::MAX);
        }
        self.shared.stats.waits.fetch_add(waits, Ordering::Relaxed);
        self.shared.stats.wait_nanos.fetch_add(nanos, Ordering::Relaxed);
    }

    /// Writes the records, and syncs unless all of them may linger.
    fn write(&mut self, batch: &[Pending]) -> Result<(), Failure> {
        let entries: Vec<_> = batch.iter().flat_map(|pending| &pending.entries).collect();
        let lingers = !batch.is_empty() && batch.iter().all(|pending| pending.may_linger);
        if !entries.is_empty() {
            let before = self.recent.clone();
            self.write_frames(&entries).inspect_err(|_| self.recent = before)?;
            self.shared.unsynced.store(true, Ordering::Release);
        }
        if self.is_unsynced() && !lingers { self.sync() } else { Ok(()) }
    }

    fn write_frames(&mut self, entries: &[&Entry]) -> Result<(), Failure> {
        let mut notes = Vec::with_capacity(entries.len());
        let mut total = 0;
        for (index, entry) in entries.iter().enumerate() {
            let next = self.recent.next(&entry.scope, entry.payload.len(), index == 0);
            total += frame::size(next.len(), entry.payload.len());
            notes.push(next);
        }
        if self.file.as_ref().is_none_or(|tail| tail.at >= self.options.file_bytes) {
            // A file is whole and durable before the next one begins.
            if self.is_unsynced() {
                self.sync()?;
                self.shared.durable.store(self.next_lsn - 1, Ordering::Release);
            }
            self.start_file().map_err(Failure::NoRoom)?;
        }
        self.make_room(total)?;
        let Some(tail) = &mut self.file else {
            return Err(Failure::Broken(StorageError::Closed));
        };
        let broken = |e: std::io::Error| Failure::Broken(StorageError::io(&tail.path, &e));
        let durable = self.shared.durable.load(Ordering::Acquire);
        let (mut buffer, mut at) = (Vec::new(), tail.at);
        for (lsn, (entry, notes)) in (self.next_lsn..).zip(entries.iter().zip(&notes)) {
            frame::put(&mut buffer, self.key, lsn, durable, notes, &entry.payload);
            if buffer.len() >= WRITE_BYTES {
                tail.file.write_at(&buffer, at).map_err(broken)?;
                at += buffer.len() as u64;
                buffer.clear();
            }
        }
        tail.file.write_at(&buffer, at).map_err(broken)?;
        tail.at += total;
        self.shared.stats.bytes.fetch_add(total, Ordering::Relaxed);
        Ok(())
    }

    fn sync(&mut self) -> Result<(), Failure> {
        let Some(tail) = &self.file else { return Ok(()) };
        let started = Instant::now();
        tail.file.sync().map_err(|e| Failure::Broken(StorageError::io(&tail.path, &e)))?;
        let nanos = u64::try_from(started.elapsed().as_nanos()).unwrap_or(u64::MAX);
        self.shared.unsynced.store(false, Ordering::Release);
        let stats = &self.shared.stats;
        let before = stats.recent_sync_nanos.load(Ordering::Relaxed);
        let recent = if before == 0 { nanos } else { before - before / 8 + nanos / 8 };
        stats.recent_sync_nanos.store(recent.max(1), Ordering::Relaxed);
        stats.syncs.fetch_add(1, Ordering::Relaxed);
        stats.sync_nanos.fetch_add(nanos, Ordering::Relaxed);
        Ok(())
    }

    /// Zeroes space for `len` bytes and some more. A disk that is full here has lost nothing.
    fn make_room(&mut self, len: u64) -> Result<(), Failure> {
        let Some(tail) = &mut self.file else { return Ok(()) };
        if tail.at + len <= tail.zeroed {
            return Ok(());
        }
        let end = (tail.at + len).next_multiple_of(self.options.zero_ahead.max(1));
        let zeros = vec![0u8; usize::try_from(end - tail.zeroed).unwrap_or(0).min(1 << 20)];
        let mut at = tail.zeroed;
        while at < end {
            let step = (end - at).min(zeros.len() as u64);
            if let Err(error) = tail.file.write_at(&zeros[..step as usize], at) {
                return Err(Failure::NoRoom(StorageError::io(&tail.path, &error)));
            }
            at += step;
        }
        tail.zeroed = end;
        Ok(())
    }

    /// Creates the next file. Its name and header are durable before a record goes into it.
    fn start_file(&mut self) -> Result<()> {
        let path = self.dir.join(file_name(self.next_lsn));
        let io = |e: std::io::Error| StorageError::io(&path, &e);
        let file = self.disk.create(&path).map_err(io)?;
        let header = frame::file_header(self.next_lsn);
        let made = file
            .write_at(&header, 0)
            .and_then(|()| file.sync())
            .and_then(|()| self.disk.sync_dir(&self.dir));
        if let Err(error) = made {
            let _ = self.disk.remove(&path);
            return Err(io(error));
        }
        let at = FILE_HEADER as u64;
        self.shared.files.lock().push_back((self.next_lsn, path.clone()));
        self.file = Some(Tail { file, path, at, zeroed: at });
        Ok(())
    }
}
