//! The map on sled 0.34.
//!
//! sled's flush ends in `sync_file_range`, which a power cut does not respect, so each flush also
//! syncs its files through descriptors of our own.

use std::fs::File;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::{Batch, Kv, MAX_VALUE};
use crate::error::{Result, StorageError};

const CACHE_BYTES: u64 = 16 << 20;
/// Whoever had the directory before may take a moment to let go of it.
const LOCK_PATIENCE: Duration = Duration::from_secs(3);

#[derive(Debug)]
pub struct SledKv {
    db: sled::Db,
    dir: PathBuf,
}

impl SledKv {
    pub fn open(dir: &Path) -> Result<Self> {
        let config = sled::Config::new()
            .path(dir)
            .cache_capacity(CACHE_BYTES)
            .mode(sled::Mode::LowSpace)
            .flush_every_ms(None);
        let started = Instant::now();
        loop {
            // Some damaged files make it panic rather than fail.
            let opened = catch_unwind(AssertUnwindSafe(|| config.open())).map_err(|_| {
                StorageError::corrupt(dir, 0, "the key-value store cannot be opened")
            })?;
            match opened {
                Ok(db) => return Ok(Self { db, dir: dir.to_owned() }),
                Err(error) if is_locked(&error) && started.elapsed() < LOCK_PATIENCE => {
                    std::thread::sleep(Duration::from_millis(20));
                }
                Err(error) => return Err(failed(dir, &error)),
            }
        }
    }
}

/// sled has no kind of error of its own for this.
fn is_locked(error: &sled::Error) -> bool {
    matches!(error, sled::Error::Io(error) if error.to_string().contains("could not acquire lock"))
}

impl Kv for SledKv {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>> {
        let value = self.db.get(key).map_err(|e| failed(&self.dir, &e))?;
        Ok(value.map(|value| value.to_vec()))
    }

    fn scan(&self, prefix: &[u8]) -> Result<Vec<(Vec<u8>, Vec<u8>)>> {
        self.db
            .scan_prefix(prefix)
            .map(|entry| {
                let (key, value) = entry.map_err(|e| failed(&self.dir, &e))?;
                Ok((key.to_vec(), value.to_vec()))
            })
            .collect()
    }

    fn write(&self, batch: Batch) -> Result<()> {
        let mut changes = sled::Batch::default();
        for (key, value) in batch {
            match value {
                Some(value) if value.len() > MAX_VALUE => {
                    return Err(StorageError::corrupt(&self.dir, 0, "value is too long to store"));
                }
                Some(value) => changes.insert(key, value),
                None => changes.remove(key),
            }
        }
        self.db.apply_batch(changes).map_err(|e| failed(&self.dir, &e))
    }

    fn flush(&self) -> Result<()> {
        self.db.flush().map_err(|e| failed(&self.dir, &e))?;
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

fn failed(dir: &Path, error: &sled::Error) -> StorageError {
    match error {
        sled::Error::Io(error) => StorageError::io(dir, error),
        sled::Error::Corruption { .. } => StorageError::corrupt(dir, 0, error.to_string()),
        other => StorageError::corrupt(dir, 0, other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
}
