//! The shell around the catalog: agreement among coordinators, and durability.
//!
//! ```text
//!   Catalog::propose -> driver thread -> Core (raft-rs) -> FileLog
//!                                          |  committed entries
//!                                          v
//!                                catalog::apply -> State -> snapshot(), outcome
//! ```
//!
//! [`Core`] is a plain state machine over a [`Stable`] log; a thread of its own drives it, since
//! it waits for the disk. [`Catalog`] is the handle that the rest of the coordinator holds. One
//! coordinator is a group of one, through the same code.
//!
//! - What has been acknowledged is in the log of a majority, synced.
//! - An entry is applied exactly once, though it may be proposed several times.
//! - [`Catalog::read`] is linearizable; [`Catalog::snapshot`] may be behind.

pub mod backup;
mod core;
mod directory;
mod driver;
mod envelope;
mod error;
mod handle;
mod log;
mod members;
mod peers;
mod store;
#[cfg(test)]
mod tests;
mod transport;

pub use self::core::{Core, Leadership, Progress};
pub use directory::{Directory, FORMAT};
pub use envelope::{Envelope, MAX_ENTRY_BYTES};
pub use error::RaftError;
pub use handle::{Catalog, CatalogConfig};
pub use log::{FileLog, MemoryLog, Recovered, Stable};
pub use peers::{NoPeers, PeerError, Peers, Reports, TimestampReply, TimestampRequest};
pub use transport::{PeerNetwork, PeerServer};
