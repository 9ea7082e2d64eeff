//! The map as a log of its batches.
//!
//! All entries are in memory, where they are read. What is written goes to the end of the last
//! file, whose name is the number of its first batch. Where files have more than twice what lives,
//! what lives of the oldest one is written once more, and the file goes: always the oldest, so that
//! an entry that was removed cannot come back.
//!
//! Each flush, once files are synced, notes in a file beside them how many batches are durable:
//! what is missing of those is damage, what is missing of later ones was torn by a power cut.

use std::collections::{BTreeMap, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::{Mutex, RwLock};

use super::Batch;
use super::frame;
use crate::disk::{Disk, DiskFile};
use crate::error::{Result, StorageError};

/// A file of this size is followed by another one; soon in tests.
const FILE_BYTES: u64 = if cfg!(test) { 8 << 10 } else { 4 << 20 };
/// Files that one flush writes anew at most: it is waited for.
const MOST_CLEANED: usize = 4;
/// `u64:batches that are durable | u32:crc of that`, little endian.
const DURABLE_FILE: &str = "durable";
const EXTENSION: &str = "batches";

#[derive(Debug)]
pub struct Kv {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    state: RwLock<State>,
    durable: Mutex<Durable>,
    /// Why a sync failed. What it was to store may be gone, and a later one would not tell.
    failure: Mutex<Option<StorageError>>,
}

#[derive(Debug, Default)]
struct State {
    map: BTreeMap<Vec<u8>, Entry>,
    /// The oldest first. The last one is written to.
    files: VecDeque<LogFile>,
    /// Of the last batch.
    number: u64,
    /// Of checksums of all entries.
    sum: u64,
    /// Bytes of all entries.
    live: u64,
}

#[derive(Debug)]
struct Entry {
    value: Bytes,
    /// The first batch of the file that it is in.
    file: u64,
}

#[derive(Debug)]
struct LogFile {
    /// Number of its first batch.
    first: u64,
    path: PathBuf,
    file: Arc<dyn DiskFile>,
    bytes: u64,
    synced: u64,
    /// A write has failed: what lies behind its bytes is not known.
    closed: bool,
}

#[derive(Debug)]
struct Durable {
    path: PathBuf,
    file: Arc<dyn DiskFile>,
    batches: u64,
}

impl Kv {
    pub fn open(disk: Arc<dyn Disk>, dir: &Path) -> Result<Self> {
        let io = |e: std::io::Error| StorageError::io(dir, &e);
        disk.create_dir(dir).map_err(io)?;
        let paths = disk.list(dir).map_err(io)?;
        let durable = Durable::open(&*disk, dir, &paths)?;
        let state = State::read(&*disk, dir, &paths, durable.batches)?;
        let (state, durable) = (RwLock::new(state), Mutex::new(durable));
        let kv = Self { disk, dir: dir.to_owned(), state, durable, failure: Mutex::default() };
        // Whoever wrote them may not have synced them, and what follows builds on them.
        kv.flush()?;
        Ok(kv)
    }

    pub fn get(&self, key: &[u8]) -> Result<Option<Bytes>> {
        Ok(self.state.read().map.get(key).map(|entry| entry.value.clone()))
    }

    /// Entries whose keys start with `prefix`, in order.
    pub fn scan(&self, prefix: &[u8]) -> Result<Vec<(Vec<u8>, Bytes)>> {
        let state = self.state.read();
        let inside =
            state.map.range(prefix.to_vec()..).take_while(|(key, _)| key.starts_with(prefix));
        Ok(inside.map(|(key, entry)| (key.clone(), entry.value.clone())).collect())
    }

    /// Atomic, not durable.
    pub fn write(&self, batch: Batch) -> Result<()> {
        self.check()?;
        if batch.is_empty() {
            return Ok(());
        }
        // Of several changes of a key the last one counts.
        let batch = batch.into_iter().collect();
        self.state.write().append(&*self.disk, &self.dir, batch)
    }

    /// An error once nothing can be written any more.
    pub fn check(&self) -> Result<()> {
        self.failure.lock().clone().map_or(Ok(()), Err)
    }

    /// Makes all that was written durable.
    pub fn flush(&self) -> Result<()> {
        let mut durable = self.durable.lock();
        self.check()?;
        let worn = self.clean();
        let (number, unsynced) = {
            let state = self.state.read();
            let unsynced = state.files.iter().filter(|file| file.bytes > file.synced);
            let unsynced = unsynced
                .map(|file| (file.first, file.bytes, file.synced, file.file.clone()))
                .collect::<Vec<_>>();
            (state.number, unsynced)
        };
        if unsynced.is_empty() && number == durable.batches && worn == 0 {
            return Ok(());
        }
        self.sync(|| {
            for (_, _, _, file) in &unsynced {
                file.sync().map_err(|e| StorageError::io(&self.dir, &e))?;
            }
            if unsynced.iter().any(|(_, _, synced, _)| *synced == 0) {
                self.sync_names()?;
            }
            for file in &mut self.state.write().files {
                let now = unsynced.iter().find(|(first, ..)| *first == file.first);
                file.synced = now.map_or(file.synced, |(_, bytes, ..)| *bytes);
            }
            durable.note(number)?;
            self.remove_worn(worn)
        })
    }

    /// Nothing is written any more once a sync has failed.
    fn sync(&self, work: impl FnOnce() -> Result<()>) -> Result<()> {
        work().inspect_err(|error| {
            self.failure.lock().get_or_insert_with(|| error.clone());
        })
    }

    fn sync_names(&self) -> Result<()> {
        self.disk.sync_dir(&self.dir).map_err(|e| StorageError::io(&self.dir, &e))
    }

    /// Writes once more what lives of the oldest files, where it is little; answers with how many
    /// files may go once that is durable.
    fn clean(&self) -> usize {
        let mut state = self.state.write();
        let mut worn = 0;
        // One batch stays, by which a start knows that nothing is missing.
        if state.files.back().is_none_or(|last| last.bytes == 0) {
            return 0;
        }
        while worn < MOST_CLEANED && worn + 1 < state.files.len() && state.is_worn(worn) {
            let first = state.files[worn].first;
            let living = state.map.iter().filter(|(_, entry)| entry.file == first);
            let living = living.map(|(key, entry)| (key.clone(), Some(entry.value.clone())));
            let living: BTreeMap<_, _> = living.collect();
            if !living.is_empty()
                && let Err(error) = state.append(&*self.disk, &self.dir, living)
            {
                tracing::warn!(%error, "the key-value store cannot be made smaller now");
                break;
            }
            worn += 1;
        }
        worn
    }

    /// Removes the oldest files, each durably before the next: they come back in order.
    fn remove_worn(&self, worn: usize) -> Result<()> {
        for _ in 0..worn {
            let mut state = self.state.write();
            let Some(oldest) = state.files.front() else { return Ok(()) };
            if let Err(error) = self.disk.remove(&oldest.path) {
                tracing::warn!(file = %oldest.path.display(), %error, "it stays for now");
                return Ok(());
            }
            state.files.pop_front();
            drop(state);
            self.sync_names()?;
        }
        Ok(())
    }
}

/// What a start found of a file.
struct Found {
    first: u64,
    path: PathBuf,
    len: u64,
    /// Bytes of batches, which it begins with.
    bytes: u64,
    /// Bytes of those that had been flushed.
    durable: u64,
}

impl State {
    /// Reads what files have, and cuts what was being written when the power was cut.
    fn read(disk: &dyn Disk, dir: &Path, paths: &[PathBuf], durable: u64) -> Result<Self> {
        let (mut state, found, torn) = Self::survey(disk, dir, paths, durable)?;
        let is_torn = !torn.is_empty();
        for path in torn {
            disk.remove(path).map_err(|e| StorageError::io(path, &e))?;
        }
        let last = found.len().saturating_sub(1);
        for (at, Found { first, path, len, bytes, durable }) in found.into_iter().enumerate() {
            let io = |e: std::io::Error| StorageError::io(&path, &e);
            let file = disk.open(&path).map_err(io)?;
            if bytes < len {
                file.set_len(bytes).and_then(|()| file.sync()).map_err(io)?;
            }
            // Where an earlier sync has failed, the file system has it, and believes it to be stored.
            if durable < bytes {
                let unsure = usize::try_from(bytes - durable).map_err(std::io::Error::other);
                let mut unsure = vec![0; unsure.map_err(io)?];
                file.read_at(&mut unsure, durable).map_err(io)?;
                file.write_at(&unsure, durable).map_err(io)?;
            }
            // What follows a file has its number: nothing may come in between.
            let closed = at < last;
            // Not known to be synced.
            state.files.push_back(LogFile { first, path, file, bytes, synced: 0, closed });
        }
        if is_torn {
            disk.sync_dir(dir).map_err(|e| StorageError::io(dir, &e))?;
        }
        Ok(state)
    }

    /// What files have, and those behind a torn one, whose batches nobody was told of. An error
    /// where batches are missing that were durable. It changes nothing on the disk.
    fn survey<'a>(
        disk: &dyn Disk,
        dir: &Path,
        paths: &'a [PathBuf],
        durable: u64,
    ) -> Result<(Self, Vec<Found>, Vec<&'a PathBuf>)> {
        let mut files: Vec<_> =
            paths.iter().filter_map(|path| Some((number_of(path)?, path))).collect();
        files.sort_unstable();
        let (mut state, mut found, mut torn) = (Self::default(), Vec::new(), Vec::new());
        let before = files.first().map_or(0, |(first, _)| first - 1);
        // Files go once what comes behind them is durable. Before anything is, the first ones may
        // be torn, too.
        let mut is_torn = before > durable;
        state.number = if is_torn { 0 } else { before };
        let (mut sum, mut batches) = (0, 0);
        for (at, &(first, path)) in files.iter().enumerate() {
            if is_torn {
                torn.push(path);
                continue;
            }
            let next = files.get(at + 1).map(|(first, _)| *first);
            let bytes = disk.read(path).map_err(|e| StorageError::io(path, &e))?;
            let (mut offset, mut flushed) = (0, 0);
            // What a file has behind the next one's first batch was never written to its end.
            while next != Some(state.number + 1)
                && let Some(frame) = frame::decode(&bytes[offset..])
                && frame.number == state.number + 1
            {
                offset += frame.len;
                batches += 1;
                (state.number, sum) = (frame.number, frame.sum);
                if state.number <= durable {
                    flushed = offset;
                }
                state.apply(first, frame.entries);
            }
            is_torn = match next {
                Some(next) => next != state.number + 1,
                None => offset != bytes.len(),
            };
            if is_torn && state.number < durable {
                return Err(StorageError::corrupt(path, offset as u64, "checksum does not match"));
            }
            let [len, bytes, durable] = [bytes.len(), offset, flushed].map(|len| len as u64);
            found.push(Found { first, path: path.clone(), len, bytes, durable });
        }
        let is_missing = state.number < durable || durable > 0 && batches == 0;
        if is_missing || state.sum != sum {
            return Err(StorageError::corrupt(dir, 0, "entries that were stored are missing"));
        }
        Ok((state, found, torn))
    }

    fn append(
        &mut self,
        disk: &dyn Disk,
        dir: &Path,
        batch: BTreeMap<Vec<u8>, Option<Bytes>>,
    ) -> Result<()> {
        let mut sum = self.sum;
        for (key, value) in &batch {
            let old = self.map.get(key).map_or(0, |old| weigh(key, &old.value));
            let new = value.as_ref().map_or(0, |value| weigh(key, value));
            sum = sum.wrapping_sub(old).wrapping_add(new);
        }
        let number = self.number + 1;
        let entries = batch.iter().map(|(key, value)| (&key[..], value.as_deref()));
        let frame = frame::encode(number, sum, entries)
            .ok_or_else(|| StorageError::corrupt(dir, 0, "a batch is too long to store"))?;
        let is_full = |file: &LogFile| file.closed || file.bytes >= FILE_BYTES;
        if self.files.back().is_none_or(is_full) {
            let path = dir.join(format!("{number:020}.{EXTENSION}"));
            let file = disk.create(&path).map_err(|e| StorageError::io(&path, &e))?;
            let (bytes, synced) = (0, 0);
            let new = LogFile { first: number, path, file, bytes, synced, closed: false };
            self.files.push_back(new);
        }
        let Some(last) = self.files.back_mut() else { return Ok(()) };
        if let Err(error) = last.file.write_at(&frame, last.bytes) {
            last.closed = true;
            let failed = StorageError::io(&last.path, &error);
            // A part of it may be there, and take room that is missing. A start cuts it, too.
            if last.bytes > 0 {
                let _ = last.file.set_len(last.bytes);
            } else {
                // The next file has the number of this batch, too, and so the same name.
                let _ = disk.remove(&last.path);
                self.files.pop_back();
            }
            return Err(failed);
        }
        last.bytes += frame.len() as u64;
        self.number = number;
        let file = last.first;
        self.apply(file, batch);
        Ok(())
    }

    fn apply(&mut self, file: u64, entries: impl IntoIterator<Item = (Vec<u8>, Option<Bytes>)>) {
        for (key, value) in entries {
            if let Some(value) = &value {
                self.sum = self.sum.wrapping_add(weigh(&key, value));
                self.live += size(&key, value);
            }
            let old = match value {
                Some(value) => self.map.insert(key.clone(), Entry { value, file }),
                None => self.map.remove(&key),
            };
            if let Some(old) = old {
                self.sum = self.sum.wrapping_sub(weigh(&key, &old.value));
                self.live -= size(&key, &old.value);
            }
        }
    }

    /// Whether files from this one on have much that is dead.
    fn is_worn(&self, from: usize) -> bool {
        let bytes: u64 = self.files.range(from..).map(|file| file.bytes).sum();
        bytes > 2 * self.live + FILE_BYTES
    }
}

impl Durable {
    fn open(disk: &dyn Disk, dir: &Path, paths: &[PathBuf]) -> Result<Self> {
        let path = dir.join(DURABLE_FILE);
        let io = |e: std::io::Error| StorageError::io(&path, &e);
        let bytes = match paths.contains(&path) {
            true => disk.read(&path).map_err(io)?,
            false => Vec::new(),
        };
        let is_first = !paths.iter().any(|path| number_of(path).is_some());
        let (file, batches) = match bytes.split_at_checked(8) {
            Some((number, crc)) if crc == crc32c::crc32c(number).to_le_bytes() => {
                let number = number.try_into().map(u64::from_le_bytes).unwrap_or_default();
                (disk.open(&path).map_err(io)?, number)
            }
            // It is durable before there is a batch.
            _ if is_first && bytes.iter().all(|byte| *byte == 0) => {
                let mut new = Self { file: disk.create(&path).map_err(io)?, batches: 0, path };
                // A disk that is full later on has room for it.
                new.note(0)?;
                disk.sync_dir(dir).map_err(|e| StorageError::io(dir, &e))?;
                return Ok(new);
            }
            _ => return Err(StorageError::corrupt(&path, 0, "checksum does not match")),
        };
        Ok(Self { file, batches, path })
    }

    /// Notes that so many batches are durable.
    fn note(&mut self, batches: u64) -> Result<()> {
        // Within one sector of the disk.
        let number = batches.to_le_bytes();
        let bytes = [&number[..], &crc32c::crc32c(&number).to_le_bytes()].concat();
        let written = self.file.write_at(&bytes, 0).and_then(|()| self.file.sync());
        written.map_err(|e| StorageError::io(&self.path, &e))?;
        self.batches = batches;
        Ok(())
    }
}

fn number_of(path: &Path) -> Option<u64> {
    if path.extension()?.to_str()? != EXTENSION {
        return None;
    }
    path.file_stem()?.to_str()?.parse().ok().filter(|number| *number > 0)
}

fn size(key: &[u8], value: &[u8]) -> u64 {
    (key.len() + value.len() + 8) as u64
}

/// A checksum of an entry; of two entries that change their values it is another one.
fn weigh(key: &[u8], value: &[u8]) -> u64 {
    let (one, other) = (crc32c::crc32c(key), crc32c::crc32c(value));
    let low = crc32c::crc32c_append(one, value);
    u64::from(crc32c::crc32c_append(other, key)) << 32 | u64::from(low)
}
