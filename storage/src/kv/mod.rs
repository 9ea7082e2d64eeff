//! A small ordered map on disk: manifests, small segments, shapes.
//!
//! No row goes through it one by one. [`Kv::write`] is atomic but not durable; [`Kv::flush`] makes
//! all that was written durable.

mod frame;
mod log;
#[cfg(test)]
mod tests;

pub use log::Kv;

use bytes::Bytes;

/// Keys to set, or with `None` to remove.
pub type Batch = Vec<(Vec<u8>, Option<Bytes>)>;
