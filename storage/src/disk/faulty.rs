//! A disk in memory that fails on purpose, for tests.
//!
//! It keeps what was written apart from what was synced. [`FaultyDisk::crash`] gives the disk that
//! a machine would find after its power was cut: every synced byte and name is there; of the rest,
//! each 512-byte sector of each write and each change of a directory is there or not, by chance.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::{Condvar, Mutex};

use super::{Disk, DiskFile};

const SECTOR: usize = 512;

/// Clones are the same disk.
#[derive(Clone, Debug, Default)]
pub struct FaultyDisk {
    inner: Arc<Mutex<Inner>>,
    gate: Arc<Gate>,
}

/// Where syncs wait.
#[derive(Debug, Default)]
struct Gate {
    state: Mutex<GateState>,
    opened: Condvar,
}

#[derive(Debug, Default)]
struct GateState {
    /// Whose files' syncs wait.
    closed_for: Option<PathBuf>,
    waiting: usize,
}

#[derive(Debug, Default)]
struct Inner {
    files: BTreeMap<u64, FileState>,
    names: BTreeMap<PathBuf, u64>,
    durable_names: BTreeMap<PathBuf, u64>,
    locked: BTreeMap<PathBuf, ()>,
    next_file: u64,
    operations: u64,
    faults: Faults,
}

#[derive(Clone, Debug, Default)]
struct FileState {
    bytes: Vec<u8>,
    synced: Vec<u8>,
    unsynced: Vec<Change>,
}

#[derive(Clone, Debug)]
enum Change {
    Write(usize, Vec<u8>),
    SetLen(usize),
}

/// What is to go wrong. Nothing by default.
#[derive(Clone, Debug, Default)]
pub struct Faults {
    /// After so many operations since the start every further one fails: the power is gone.
    pub power_off_after: Option<u64>,
    /// Writes that would make all files together larger than this fail, as on a full disk, when
    /// what there is room for has been written.
    pub capacity: Option<u64>,
    /// The sync with this number, from now on counted from 1, fails once; its data is lost, though
    /// it is read until the power goes.
    pub fail_sync: Option<u64>,
}

/// A small generator of numbers by chance (splitmix64).
#[derive(Clone, Debug)]
pub struct Chance(u64);

impl Chance {
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Below `bound`, which is at least 1.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.number() % bound.max(1)
    }

    pub fn coin(&mut self) -> bool {
        self.number() & 1 == 1
    }
}

impl FaultyDisk {
    pub fn set_faults(&self, faults: Faults) {
        self.inner.lock().faults = faults;
    }

    /// Lets syncs of files in a directory wait from now on, or all go on.
    pub fn hold_syncs(&self, of: Option<&Path>) {
        self.gate.state.lock().closed_for = of.map(Path::to_owned);
        self.gate.opened.notify_all();
    }

    /// Whether a sync waits.
    pub fn holds_a_sync(&self) -> bool {
        self.gate.state.lock().waiting > 0
    }

    /// Operations so far.
    pub fn operations(&self) -> u64 {
        self.inner.lock().operations
    }

    /// Paths of all files.
    pub fn paths(&self) -> Vec<PathBuf> {
        self.inner.lock().names.keys().cloned().collect()
    }

    /// Bytes of all files.
    pub fn used(&self) -> u64 {
        let inner = self.inner.lock();
        let files = inner.names.values().filter_map(|id| inner.files.get(id));
        files.map(|file| file.bytes.len() as u64).sum()
    }

    /// Flips one bit of a stored file.
    pub fn flip(&self, path: &Path, bit: u64) {
        let mut inner = self.inner.lock();
        let Some(id) = inner.names.get(path).copied() else { return };
        if let Some(file) = inner.files.get_mut(&id) {
            let at = (bit / 8) as usize;
            for bytes in [&mut file.bytes, &mut file.synced] {
                if let Some(byte) = bytes.get_mut(at) {
                    *byte ^= 1 << (bit % 8);
                }
            }
        }
    }

    /// The disk as it is found after a power cut now. This one is of no use any more.
    pub fn crash(&self, seed: u64) -> Self {
        let mut chance = Chance::new(seed);
        let inner = self.inner.lock();
        let mut after = Inner { next_file: inner.next_file, ..Inner::default() };
        let all: BTreeMap<_, ()> =
            inner.names.keys().chain(inner.durable_names.keys()).map(|p| (p.clone(), ())).collect();
        for path in all.into_keys() {
            let (now, durable) = (inner.names.get(&path), inner.durable_names.get(&path));
            let id = if now == durable || chance.coin() { durable } else { now };
            let Some(id) = id else { continue };
            let Some(file) = inner.files.get(id) else { continue };
            let bytes = file.after_crash(&mut chance);
            let state = FileState { synced: bytes.clone(), bytes, unsynced: Vec::new() };
            let id = after.next_file;
            after.next_file += 1;
            after.files.insert(id, state);
            after.names.insert(path.clone(), id);
            after.durable_names.insert(path, id);
        }
        Self { inner: Arc::new(Mutex::new(after)), gate: Arc::default() }
    }
}

impl Gate {
    fn pass(&self, dir: &Path) {
        let mut state = self.state.lock();
        state.waiting += 1;
        self.opened.wait_while(&mut state, |state| state.closed_for.as_deref() == Some(dir));
        state.waiting -= 1;
    }
}

impl Change {
    fn apply(&self, bytes: &mut Vec<u8>) {
        match self {
            Self::Write(offset, data) => put(bytes, *offset, data),
            Self::SetLen(len) => bytes.resize(*len, 0),
        }
    }
}

impl FileState {
    fn after_crash(&self, chance: &mut Chance) -> Vec<u8> {
        let mut bytes = self.synced.clone();
        for change in &self.unsynced {
            match change {
                Change::SetLen(_) => {
                    if chance.coin() {
                        change.apply(&mut bytes);
                    }
                }
                Change::Write(offset, data) => {
                    let mut at = 0;
                    while at < data.len() {
                        let step = (SECTOR - (offset + at) % SECTOR).min(data.len() - at);
                        if chance.coin() {
                            put(&mut bytes, offset + at, &data[at..at + step]);
                        }
                        at += step;
                    }
                }
            }
        }
        bytes
    }
}

fn put(bytes: &mut Vec<u8>, offset: usize, data: &[u8]) {
    if bytes.len() < offset + data.len() {
        bytes.resize(offset + data.len(), 0);
    }
    bytes[offset..offset + data.len()].copy_from_slice(data);
}

impl Inner {
    fn operate(&mut self) -> io::Result<()> {
        self.operations += 1;
        match self.faults.power_off_after {
            Some(limit) if self.operations > limit => Err(io::Error::other("power is off")),
            _ => Ok(()),
        }
    }

    fn file(&mut self, id: u64) -> io::Result<&mut FileState> {
        self.files.get_mut(&id).ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn sync_fails(&mut self) -> bool {
        match &mut self.faults.fail_sync {
            Some(1) => {
                self.faults.fail_sync = None;
                true
            }
            Some(left) => {
                *left -= 1;
                false
            }
            None => false,
        }
    }
}

impl Disk for FaultyDisk {
    fn create(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        let mut inner = self.inner.lock();
        inner.operate()?;
        let id = inner.next_file;
        inner.next_file += 1;
        inner.files.insert(id, FileState::default());
        inner.names.insert(path.to_owned(), id);
        Ok(Arc::new(FaultyFile { disk: self.clone(), id }))
    }

    fn open(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        let mut inner = self.inner.lock();
        inner.operate()?;
        let id = inner.names.get(path).copied().ok_or(io::ErrorKind::NotFound)?;
        Ok(Arc::new(FaultyFile { disk: self.clone(), id }))
    }

    /// Directories are there by themselves.
    fn create_dir(&self, _path: &Path) -> io::Result<()> {
        self.inner.lock().operate()
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<PathBuf>> {
        let mut inner = self.inner.lock();
        inner.operate()?;
        Ok(inner.names.keys().filter(|path| path.parent() == Some(dir)).cloned().collect())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut inner = self.inner.lock();
        inner.operate()?;
        inner.names.remove(path).map(drop).ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut inner = self.inner.lock();
        inner.operate()?;
        let id = inner.names.remove(from).ok_or(io::ErrorKind::NotFound)?;
        inner.names.insert(to.to_owned(), id);
        Ok(())
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        let mut inner = self.inner.lock();
        inner.operate()?;
        if inner.sync_fails() {
            return Err(io::Error::other("sync failed"));
        }
        let in_dir = |path: &PathBuf| path.parent() == Some(dir);
        inner.durable_names.retain(|path, _| !in_dir(path));
        let now: Vec<_> =
            inner.names.iter().filter(|(p, _)| in_dir(p)).map(|(p, id)| (p.clone(), *id)).collect();
        inner.durable_names.extend(now);
        Ok(())
    }

    fn lock_dir(&self, dir: &Path) -> io::Result<Box<dyn Send + Sync>> {
        let mut inner = self.inner.lock();
        if inner.locked.insert(dir.to_owned(), ()).is_some() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        Ok(Box::new(DirLock { disk: self.clone(), dir: dir.to_owned() }))
    }
}

struct DirLock {
    disk: FaultyDisk,
    dir: PathBuf,
}

impl Drop for DirLock {
    fn drop(&mut self) {
        self.disk.inner.lock().locked.remove(&self.dir);
    }
}

#[derive(Debug)]
struct FaultyFile {
    disk: FaultyDisk,
    id: u64,
}

impl FaultyFile {
    fn dir(&self) -> Option<PathBuf> {
        let inner = self.disk.inner.lock();
        let (path, _) = inner.names.iter().find(|(_, id)| **id == self.id)?;
        path.parent().map(Path::to_owned)
    }
}

impl DiskFile for FaultyFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        let mut inner = self.disk.inner.lock();
        inner.operate()?;
        let file = inner.file(self.id)?;
        let start = offset as usize;
        let bytes = file.bytes.get(start..start + buffer.len());
        buffer.copy_from_slice(bytes.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let mut inner = self.disk.inner.lock();
        inner.operate()?;
        let used: usize =
            inner.names.values().filter_map(|id| inner.files.get(id)).map(|f| f.bytes.len()).sum();
        let capacity = inner.faults.capacity;
        let file = inner.file(self.id)?;
        let growth = (offset as usize + bytes.len()).saturating_sub(file.bytes.len());
        let room = capacity.map_or(usize::MAX, |bytes| (bytes as usize).saturating_sub(used));
        let missing = growth.saturating_sub(room);
        let bytes = &bytes[..bytes.len().saturating_sub(missing)];
        put(&mut file.bytes, offset as usize, bytes);
        file.unsynced.push(Change::Write(offset as usize, bytes.to_vec()));
        if missing > 0 { Err(io::ErrorKind::StorageFull.into()) } else { Ok(()) }
    }

    fn len(&self) -> io::Result<u64> {
        let mut inner = self.disk.inner.lock();
        inner.operate()?;
        Ok(inner.file(self.id)?.bytes.len() as u64)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let mut inner = self.disk.inner.lock();
        inner.operate()?;
        let file = inner.file(self.id)?;
        file.bytes.resize(len as usize, 0);
        file.unsynced.push(Change::SetLen(len as usize));
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        if let Some(dir) = self.dir() {
            self.disk.gate.pass(&dir);
        }
        let mut inner = self.disk.inner.lock();
        inner.operate()?;
        let fails = inner.sync_fails();
        let file = inner.file(self.id)?;
        if fails {
            // As Linux does: the pages are marked clean and the data never arrives.
            file.unsynced.clear();
            return Err(io::Error::other("sync failed"));
        }
        // What an earlier sync has failed to store is no change any more.
        let FileState { synced, unsynced, .. } = file;
        unsynced.drain(..).for_each(|change| change.apply(synced));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_takes_what_there_is_room_for() {
        let disk = FaultyDisk::default();
        let path = Path::new("/d/f");
        let file = disk.create(path).unwrap();
        disk.set_faults(Faults { capacity: Some(4), ..Faults::default() });
        let error = file.write_at(b"too long", 0).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::StorageFull);
        assert_eq!(disk.read(path).unwrap(), b"too ");
        file.write_at(b"two", 0).unwrap();
        assert_eq!((disk.read(path).unwrap(), disk.used()), (b"two ".into(), 4));
    }

    #[test]
    fn only_what_was_synced_is_sure_to_survive() {
        let disk = FaultyDisk::default();
        let path = Path::new("/d/f");
        let file = disk.create(path).unwrap();
        file.write_at(b"synced", 0).unwrap();
        file.sync().unwrap();
        let lost = (0..64).any(|seed| disk.crash(seed).read(path).is_err());
        assert!(lost, "the name was not synced");
        disk.sync_dir(Path::new("/d")).unwrap();
        file.write_at(b"UNSYNC", 0).unwrap();
        let found: Vec<_> = (0..64).map(|seed| disk.crash(seed).read(path).unwrap()).collect();
        assert!(found.iter().all(|bytes| bytes == b"synced" || bytes == b"UNSYNC"));
        assert!(found.contains(&b"synced".to_vec()) && found.contains(&b"UNSYNC".to_vec()));
    }
}
