//! The write-ahead log: the one place where a commit becomes durable.
//!
//! ```text
//! commit --> record --> queue --> [writer thread] --> one write, one fdatasync --> applied, in order
//! commit --> record --> queue -/   takes all that waits
//! ```
//!
//! Files are `wal/<first lsn>.wal`, filled one after another. Space ahead of the end is zeroed, so
//! that an append changes no metadata. Each frame's head has a checksum of its own, its LSN, how
//! much was known to be durable when it was written, by which recovery tells a torn tail (cut) from
//! damage in the middle, and which shards the record is about, by which damage in the middle is
//! those shards' and nobody else's: see [`replay`].
//!
//! Invariants:
//! - LSNs are dense: a gap is damage.
//! - Records are applied to memory in LSN order, by the thread that wrote them, after they are
//!   durable.
//! - After a failed write or sync nothing is acknowledged any more. A full disk, noticed while
//!   making room and before anything was written, only fails the records at hand.

pub(crate) mod frame;
mod reader;
pub mod record;
mod replay;
pub mod scope;
mod writer;

pub use frame::{LogKey, MAX_PAYLOAD};
pub use reader::{LogReader, Logged};
pub use replay::{Found, Known, Lost, Replayed, replay};
pub use scope::{Concern, Effect, Scope};
pub use writer::{Durable, Entry, Wal, WalOptions, WalStats, Written};

#[cfg(test)]
mod tests;
