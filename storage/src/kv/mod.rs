//! A small ordered map on disk: manifests, small segments, shapes.
//!
//! No row goes through it one by one. [`Kv::write`] is atomic but not durable; [`Kv::flush`] makes
//! all that was written durable. Values are at most [`MAX_VALUE`] bytes.

mod memory;
mod sled_kv;

pub use memory::MemoryKv;
pub use sled_kv::SledKv;

use crate::error::Result;

/// Larger values would leave sled's log for files that it never syncs.
pub const MAX_VALUE: usize = 64 << 10;

/// Keys to set, or with `None` to remove.
pub type Batch = Vec<(Vec<u8>, Option<Vec<u8>>)>;

pub trait Kv: Send + Sync + std::fmt::Debug + 'static {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>>;

    /// Entries whose keys start with `prefix`, in order.
    fn scan(&self, prefix: &[u8]) -> Result<Vec<(Vec<u8>, Vec<u8>)>>;

    fn write(&self, batch: Batch) -> Result<()>;

    fn flush(&self) -> Result<()>;

    /// An error once nothing can be written any more.
    fn check(&self) -> Result<()> {
        Ok(())
    }
}
