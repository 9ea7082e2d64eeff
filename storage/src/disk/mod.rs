//! All file I/O of the engine, behind one trait, so that tests can lose power, fill the disk, tear
//! a write or flip a bit ([`faulty`]).

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;

pub mod fault;
pub mod faulty;
mod real;

pub use fault::FileBytes;
pub use real::RealDisk;

/// A file system. A file's bytes survive a power cut once [`DiskFile::sync`] returned, its name
/// once [`Disk::sync_dir`] on its directory did.
pub trait Disk: Send + Sync + fmt::Debug + 'static {
    /// A new, empty file; an old one of that name is emptied.
    fn create(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>>;

    fn open(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>>;

    /// With missing parents.
    fn create_dir(&self, path: &Path) -> io::Result<()>;

    /// Paths in a directory, sorted.
    fn list(&self, dir: &Path) -> io::Result<Vec<PathBuf>>;

    fn remove(&self, path: &Path) -> io::Result<()>;

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Makes names created, renamed and removed in `dir` durable.
    fn sync_dir(&self, dir: &Path) -> io::Result<()>;

    /// Holds the directory for this process until the guard is dropped. `WouldBlock` when another
    /// process has it.
    fn lock_dir(&self, dir: &Path) -> io::Result<Box<dyn Send + Sync>>;

    /// The whole file; `NotFound` when there is none.
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        let file = self.open(path)?;
        let len = usize::try_from(file.len()?).map_err(io::Error::other)?;
        let mut bytes = vec![0; len];
        file.read_at(&mut bytes, 0)?;
        Ok(bytes)
    }

    /// The whole file, for reading parts of it again and again, inside of [`FileBytes::watch`]. It
    /// must not change any more.
    fn map(&self, path: &Path) -> io::Result<FileBytes> {
        self.read(path).map(|bytes| Bytes::from(bytes).into())
    }

    /// Replaces the file as a whole, durably: a new file, synced, renamed over the old.
    fn replace(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        let new = path.with_extension("new");
        let file = self.create(&new)?;
        file.write_at(bytes, 0)?;
        file.sync()?;
        self.rename(&new, path)?;
        self.sync_dir(path.parent().unwrap_or(Path::new("")))
    }
}

/// An open file.
pub trait DiskFile: Send + Sync + fmt::Debug + 'static {
    /// Fills `buffer`; `UnexpectedEof` when the file ends before.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()>;

    /// Writes all of `bytes`, extending the file where needed.
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()>;

    fn len(&self) -> io::Result<u64>;

    fn is_empty(&self) -> io::Result<bool> {
        Ok(self.len()? == 0)
    }

    fn set_len(&self, len: u64) -> io::Result<()>;

    /// Makes the file's bytes and length durable (`fdatasync`).
    fn sync(&self) -> io::Result<()>;
}
