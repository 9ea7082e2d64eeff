//! The map on sled 0.34.
//!
//! sled's flush ends in `sync_file_range`, which a power cut does not respect, so each flush also
//! syncs its files through descriptors of our own.
//!
//! Where its log is damaged behind the last snapshot of its pages, sled takes what follows for a
//! torn tail: an older map comes back, and nothing tells. So each batch also writes a [`Tally`] of
//! all entries, and each flush notes in a file beside sled's how many batches are durable. A map
//! that has fewer, or others, than its tally says is not opened.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::{Batch, Kv, MAX_VALUE};
use crate::error::{Result, StorageError};

const CACHE_BYTES: u64 = 16 << 20;
/// Whoever had the directory before may take a moment to let go of it.
const LOCK_PATIENCE: Duration = Duration::from_secs(3);
/// Where the tally is; no other key begins like this.
const TALLY: &[u8] = b"\0";
/// `u64:batches that are durable | u32:crc of that`, little endian.
const DURABLE_FILE: &str = "durable";

#[derive(Debug)]
pub struct SledKv {
    db: sled::Db,
    dir: PathBuf,
    tally: Mutex<Tally>,
    durable: Mutex<Durable>,
    /// Why a write or a sync failed. What it was to store may be gone, and a later one would not
    /// tell.
    failure: Mutex<Option<StorageError>>,
}

/// What the map holds, in sum.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Tally {
    /// Batches that were written.
    batches: u64,
    /// Of checksums of all entries.
    sum: u64,
}

#[derive(Debug)]
struct Durable {
    file: File,
    batches: u64,
}

impl SledKv {
    pub fn open(dir: &Path) -> Result<Self> {
        let config = sled::Config::new()
            .path(dir)
            .cache_capacity(CACHE_BYTES)
            .mode(sled::Mode::LowSpace)
            .flush_every_ms(None);
        let started = Instant::now();
        let db = loop {
            match guarded(dir, || config.open()) {
                Ok(db) => break db,
                Err(error) if is_locked(&error) && started.elapsed() < LOCK_PATIENCE => {
                    std::thread::sleep(Duration::from_millis(20));
                }
                Err(error) => return Err(error),
            }
        };
        let (file, batches) = durable_batches(&dir.join(DURABLE_FILE))?;
        let durable = Mutex::new(Durable { file, batches });
        let (tally, failure) = (Mutex::default(), Mutex::default());
        let kv = Self { db, dir: dir.to_owned(), tally, durable, failure };
        let stored = kv.get(TALLY)?.map(|bytes| Tally::decode(&bytes)).unwrap_or_default();
        let entries = kv.scan(b"")?;
        let sum = entries.iter().map(|(key, value)| weigh(key, value)).fold(0, u64::wrapping_add);
        if stored.batches < batches || stored.sum != sum {
            return Err(StorageError::corrupt(dir, 0, "entries that were stored are missing"));
        }
        *kv.tally.lock() = stored;
        Ok(kv)
    }

    /// Nothing is written any more once something has failed.
    fn unless_failed(&self, work: impl FnOnce() -> Result<()>) -> Result<()> {
        self.check()?;
        work().inspect_err(|error| {
            self.failure.lock().get_or_insert_with(|| error.clone());
        })
    }

    /// Syncs sled's files.
    fn sync(&self) -> Result<()> {
        guarded(&self.dir, || self.db.flush())?;
        let io = |e: std::io::Error| StorageError::io(&self.dir, &e);
        for entry in std::fs::read_dir(&self.dir).map_err(io)? {
            let path = entry.map_err(io)?.path();
            // Snapshots of its page table come and go beside the log.
            match File::open(&path).and_then(|file| file.sync_all()) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    return Err(StorageError::io(&path, &error));
                }
                _ => {}
            }
        }
        File::open(&self.dir).and_then(|dir| dir.sync_all()).map_err(io)
    }
}

impl Tally {
    fn encode(self) -> Vec<u8> {
        [self.batches.to_le_bytes(), self.sum.to_le_bytes()].concat()
    }

    fn decode(bytes: &[u8]) -> Self {
        let number = |at: usize| {
            let bytes = bytes.get(at..at + 8).and_then(|bytes| bytes.try_into().ok());
            bytes.map(u64::from_le_bytes).unwrap_or_default()
        };
        Self { batches: number(0), sum: number(8) }
    }
}

impl Durable {
    /// Notes that so many batches are durable.
    fn note(&mut self, batches: u64, path: &Path) -> Result<()> {
        if batches <= self.batches {
            return Ok(());
        }
        // Within one sector of the disk.
        let number = batches.to_le_bytes();
        let bytes = [&number[..], &crc32c::crc32c(&number).to_le_bytes()].concat();
        let written = self.file.write_all_at(&bytes, 0).and_then(|()| self.file.sync_data());
        written.map_err(|e| StorageError::io(path, &e))?;
        self.batches = batches;
        Ok(())
    }
}

/// The file that says how many batches are durable, and their number.
fn durable_batches(path: &Path) -> Result<(File, u64)> {
    let io = |e: std::io::Error| StorageError::io(path, &e);
    let options = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path);
    let file = options.map_err(io)?;
    let mut bytes = [0; 12];
    match file.metadata().map_err(io)?.len() {
        0 => return Ok((file, 0)),
        12 => file.read_exact_at(&mut bytes, 0).map_err(io)?,
        _ => return Err(StorageError::corrupt(path, 0, "it is not as long as it should be")),
    }
    let (number, crc) = bytes.split_at(8);
    // A first one that was being written.
    if bytes == [0; 12] {
        return Ok((file, 0));
    }
    if crc != crc32c::crc32c(number).to_le_bytes() {
        return Err(StorageError::corrupt(path, 0, "checksum does not match"));
    }
    let batches = number.try_into().map(u64::from_le_bytes).unwrap_or_default();
    Ok((file, batches))
}

/// A checksum of an entry; of two entries that change their values it is another one.
fn weigh(key: &[u8], value: &[u8]) -> u64 {
    let (one, other) = (crc32c::crc32c(key), crc32c::crc32c(value));
    let low = crc32c::crc32c_append(one, value);
    u64::from(crc32c::crc32c_append(other, key)) << 32 | u64::from(low)
}

/// What sled answers. Damaged files make it panic in places.
fn guarded<T>(dir: &Path, call: impl FnOnce() -> sled::Result<T>) -> Result<T> {
    match catch_unwind(AssertUnwindSafe(call)) {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(sled::Error::Io(error))) => Err(StorageError::io(dir, &error)),
        Ok(Err(error)) => Err(StorageError::corrupt(dir, 0, error.to_string())),
        Err(_) => Err(StorageError::corrupt(dir, 0, "the key-value store cannot be read")),
    }
}

/// sled has no kind of error of its own for this.
fn is_locked(error: &StorageError) -> bool {
    matches!(error, StorageError::Io { message, .. } if message.contains("could not acquire lock"))
}

impl Kv for SledKv {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>> {
        let value = guarded(&self.dir, || self.db.get(key))?;
        Ok(value.map(|value| value.to_vec()))
    }

    fn scan(&self, prefix: &[u8]) -> Result<Vec<(Vec<u8>, Vec<u8>)>> {
        guarded(&self.dir, || {
            let entries = self.db.scan_prefix(prefix).filter_map(|entry| match entry {
                Ok((key, _)) if &*key == TALLY => None,
                Ok((key, value)) => Some(Ok((key.to_vec(), value.to_vec()))),
                Err(error) => Some(Err(error)),
            });
            entries.collect()
        })
    }

    fn write(&self, batch: Batch) -> Result<()> {
        if batch.iter().any(|(_, value)| value.as_ref().is_some_and(|v| v.len() > MAX_VALUE)) {
            return Err(StorageError::corrupt(&self.dir, 0, "value is too long to store"));
        }
        // Of several changes of a key the last one counts.
        let batch: BTreeMap<_, _> = batch.into_iter().collect();
        let mut tally = self.tally.lock();
        self.unless_failed(|| {
            let mut after = Tally { batches: tally.batches + 1, ..*tally };
            let mut changes = sled::Batch::default();
            for (key, value) in batch {
                if let Some(old) = self.get(&key)? {
                    after.sum = after.sum.wrapping_sub(weigh(&key, &old));
                }
                match value {
                    Some(value) => {
                        after.sum = after.sum.wrapping_add(weigh(&key, &value));
                        changes.insert(key, value);
                    }
                    None => changes.remove(key),
                }
            }
            changes.insert(TALLY, after.encode());
            guarded(&self.dir, || self.db.apply_batch(changes))?;
            *tally = after;
            Ok(())
        })
    }

    fn check(&self) -> Result<()> {
        self.failure.lock().clone().map_or(Ok(()), Err)
    }

    fn flush(&self) -> Result<()> {
        let mut durable = self.durable.lock();
        let batches = self.tally.lock().batches;
        self.unless_failed(|| {
            self.sync()?;
            durable.note(batches, &self.dir.join(DURABLE_FILE))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::faulty::Chance;
    use crate::kv::MemoryKv;
    use crate::seeds::{copy, flip, for_each_seed};

    #[test]
    fn entries_survive_and_batches_remove() {
        let dir = tempfile::tempdir().unwrap();
        let kv = SledKv::open(dir.path()).unwrap();
        let set = |key: &str| (key.as_bytes().to_vec(), Some(vec![7]));
        kv.write(vec![set("a1"), set("a2"), set("b")]).unwrap();
        kv.write(vec![(b"a1".to_vec(), None)]).unwrap();
        kv.flush().unwrap();
        drop(kv);
        let kv = SledKv::open(dir.path()).unwrap();
        assert_eq!(kv.scan(b"a").unwrap(), [(b"a2".to_vec(), vec![7])]);
        assert_eq!(kv.get(b"a1").unwrap(), None);
        assert!(kv.write(vec![(b"x".to_vec(), Some(vec![0; MAX_VALUE + 1]))]).is_err());
    }

    /// Values of many lengths, set and removed again and again.
    fn change(kv: &dyn Kv, chance: &mut Chance, batches: u64) {
        for _ in 0..batches {
            let some = 1 + chance.below(8);
            kv.write((0..some).map(|_| any_entry(chance)).collect()).unwrap();
            if chance.below(4) == 0 {
                kv.flush().unwrap();
            }
        }
        kv.flush().unwrap();
    }

    fn any_entry(chance: &mut Chance) -> (Vec<u8>, Option<Vec<u8>>) {
        let key = vec![b"mshtg"[chance.below(5) as usize], chance.below(40) as u8];
        let most = if chance.below(10) == 0 { MAX_VALUE as u64 } else { 300 };
        let len = chance.below(most) as usize;
        let value = (0..len).map(|_| chance.number() as u8).collect();
        (key, (chance.below(6) > 0).then_some(value))
    }

    #[test]
    fn a_flipped_bit_in_its_files_is_told_or_makes_no_difference() {
        let (whole, model) = (tempfile::tempdir().unwrap(), MemoryKv::default());
        for round in 0..4 {
            let kv = SledKv::open(whole.path()).unwrap();
            change(&kv, &mut Chance::new(round), 60);
            change(&model, &mut Chance::new(round), 60);
        }
        let expected = model.scan(b"").unwrap();
        let mut files = BTreeMap::new();
        for_each_seed(0..200, |seed| {
            let mut chance = Chance::new(seed);
            let dir = tempfile::tempdir().unwrap();
            copy(whole.path(), dir.path());
            // What was read back at a start is told from what comes behind it.
            if chance.coin() {
                drop(SledKv::open(dir.path()).unwrap());
            }
            let path = flip(dir.path(), &mut chance);
            let read = || {
                let kv = SledKv::open(dir.path())?;
                let before = kv.scan(b"")?;
                kv.write(vec![(b"x".to_vec(), None)])?;
                kv.flush()?;
                drop(kv);
                Ok([before, SledKv::open(dir.path())?.scan(b"")?])
            };
            let told = files.entry(path.file_name().unwrap().to_owned()).or_insert(0);
            match read() {
                Ok(found) => assert!(found.iter().all(|found| *found == expected)),
                Err(StorageError::Corrupt { path, .. }) if path.starts_with(dir.path()) => {
                    *told += 1;
                }
                Err(error) => panic!("{error}"),
            }
        });
        let told = |name: &str| files.get(std::ffi::OsStr::new(name)).copied().unwrap_or_default();
        assert!(told("db") > 10 && told("durable") > 10, "{files:?}");
    }

    #[test]
    fn a_map_that_lacks_what_was_flushed_is_not_opened() {
        let (dir, older) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let set = |kv: &SledKv, value| {
            kv.write(vec![(b"m1".to_vec(), Some(vec![value]))]).unwrap();
            kv.flush().unwrap();
        };
        let kv = SledKv::open(dir.path()).unwrap();
        set(&kv, 1);
        drop(kv);
        copy(dir.path(), older.path());
        set(&SledKv::open(dir.path()).unwrap(), 2);
        std::fs::copy(dir.path().join(DURABLE_FILE), older.path().join(DURABLE_FILE)).unwrap();
        let error = SledKv::open(older.path()).unwrap_err();
        assert!(error.to_string().ends_with("entries that were stored are missing"), "{error}");
        // One of its entries is another, or missing.
        let kv = SledKv::open(dir.path()).unwrap();
        kv.db.insert(b"m1", &[1]).unwrap();
        drop(kv);
        assert!(SledKv::open(dir.path()).is_err());
    }

    #[test]
    fn nothing_is_stored_after_a_failed_sync() {
        let dir = tempfile::tempdir().unwrap();
        let kv = SledKv::open(dir.path()).unwrap();
        let trap = dir.path().join("trap");
        std::os::unix::fs::symlink(&trap, &trap).unwrap();
        assert!(kv.flush().is_err());
        std::fs::remove_file(&trap).unwrap();
        assert!(kv.flush().is_err());
        assert!(kv.write(vec![(b"a".to_vec(), Some(vec![1]))]).is_err());
        drop(kv);
        SledKv::open(dir.path()).unwrap().flush().unwrap();
    }
}
