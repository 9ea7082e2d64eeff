//! A small ordered map on disk: manifests, small segments, shapes.
//!
//! No row goes through it one by one. [`Kv::write`] is atomic but not durable; [`Kv::flush`] makes
//! all that was written durable.

mod frame;
mod log_kv;
#[cfg(test)]
mod tests;

pub use log_kv::LogKv;

use bytes::Bytes;

use crate::error::Result;

/// Keys to set, or with `None` to remove.
pub type Batch = Vec<(Vec<u8>, Option<Bytes>)>;

pub trait Kv: Send + Sync + std::fmt::Debug + 'static {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>>;

    /// Entries whose keys start with `prefix`, in order.
    fn scan(&self, prefix: &[u8]) -> Result<Vec<(Vec<u8>, Bytes)>>;

    fn write(&self, batch: Batch) -> Result<()>;

    fn flush(&self) -> Result<()>;

    /// An error once nothing can be written any more.
    fn check(&self) -> Result<()> {
        Ok(())
    }
}
