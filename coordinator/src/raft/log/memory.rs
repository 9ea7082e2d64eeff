//! A log that survives a simulated crash, for tests: what was appended is durable at once.

use std::sync::Arc;

use parking_lot::Mutex;
use raft::eraftpb::{ConfState, Entry, HardState, Snapshot};

use super::{Recovered, Stable};
use crate::raft::error::RaftError;

/// Clones share the same disk.
#[derive(Clone, Debug, Default)]
pub struct MemoryLog(Arc<Mutex<Recovered>>);

impl MemoryLog {
    pub fn recover(&self) -> Recovered {
        self.0.lock().clone()
    }
}

/// Drops everything from `index` on.
pub(super) fn truncate(entries: &mut Vec<Entry>, index: u64) {
    let keep = entries.partition_point(|entry| entry.index < index);
    entries.truncate(keep);
}

impl Stable for MemoryLog {
    fn append(
        &mut self,
        entries: &[Entry],
        hard_state: Option<&HardState>,
        _sync: bool,
    ) -> Result<(), RaftError> {
        let mut disk = self.0.lock();
        if let Some(first) = entries.first() {
            truncate(&mut disk.entries, first.index);
            disk.entries.extend_from_slice(entries);
        }
        if let Some(state) = hard_state {
            disk.hard_state = state.clone();
        }
        Ok(())
    }

    fn save_members(&mut self, members: &ConfState) -> Result<(), RaftError> {
        self.0.lock().conf_state = Some(members.clone());
        Ok(())
    }

    fn save_snapshot(&mut self, snapshot: &Snapshot, keep_from: u64) -> Result<(), RaftError> {
        let mut disk = self.0.lock();
        disk.conf_state = Some(snapshot.get_metadata().get_conf_state().clone());
        disk.entries.retain(|entry| entry.index >= keep_from);
        disk.snapshot = Some(snapshot.clone());
        Ok(())
    }
}
