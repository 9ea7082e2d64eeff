//! The catalog's log on disk: what Raft must not forget.
//!
//! ```text
//!   DIR/raft/log-00000000000000000007.seg   header, frame, frame, ... zeros
//!   DIR/raft/snapshot.bin                   header, crc32c, Snapshot
//! ```
//!
//! Segments are written one after another; each begins with the hard state and the members as
//! they were, so that older ones can be deleted once a snapshot covers their entries. An entry with
//! an index that is already there replaces that entry and all after it, as Raft does. What one
//! call appends is one frame and durable on return: one `fdatasync` for all of it.
//!
//! The last segment may end in a torn frame, which is cut. A bad frame anywhere else is damage
//! and an error: nothing that was acknowledged is dropped silently.

mod file;
mod memory;
mod record;
#[cfg(test)]
mod tests;

pub use file::FileLog;
pub use memory::MemoryLog;
use raft::eraftpb::{ConfState, Entry, HardState, Snapshot};

use super::error::RaftError;

/// What was found at start.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Recovered {
    pub snapshot: Option<Snapshot>,
    /// Consecutive, and connected to the snapshot if there is one.
    pub entries: Vec<Entry>,
    pub hard_state: HardState,
    pub conf_state: Option<ConfState>,
}

/// Durable storage for a Raft member.
pub trait Stable: Send {
    /// Appends entries, dropping those from the first one's index on, and saves the hard state.
    /// Durable on return, except for a commit index alone, which comes with `sync` false.
    fn append(
        &mut self,
        entries: &[Entry],
        hard_state: Option<&HardState>,
        sync: bool,
    ) -> Result<(), RaftError>;

    /// Saves who the members are.
    fn save_members(&mut self, members: &ConfState) -> Result<(), RaftError>;

    /// Saves a snapshot, durably, and frees entries before `keep_from`; `u64::MAX` frees all.
    fn save_snapshot(&mut self, snapshot: &Snapshot, keep_from: u64) -> Result<(), RaftError>;
}
