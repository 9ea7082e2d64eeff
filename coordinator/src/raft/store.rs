//! Raft's view of the log: entries in memory, as they are on disk.

use std::cell::Cell;

use raft::eraftpb::{ConfState, Entry, HardState, Snapshot};
use raft::{GetEntriesContext, RaftState, Storage, StorageError};

use super::error::RaftError;
use super::log::{Recovered, Stable};

/// Entries kept behind a snapshot for followers that are a little late.
const KEPT_ENTRIES: u64 = 1024;
const KEPT_BYTES: usize = 4 << 20;

pub(super) struct Store<L> {
    disk: L,
    hard_state: HardState,
    members: ConfState,
    /// Index and term of what precedes `entries`.
    before: (u64, u64),
    entries: Vec<Entry>,
    snapshot: Snapshot,
    /// Raft asked for a snapshot newer than the one there is.
    wanted: Cell<bool>,
    /// Bytes of entries since the last snapshot.
    bytes_since_snapshot: usize,
}

impl<L: Stable> Store<L> {
    /// A new log begins with `members`.
    pub fn open(mut disk: L, recovered: Recovered, members: ConfState) -> Result<Self, RaftError> {
        let snapshot = recovered.snapshot.unwrap_or_default();
        let covered = (snapshot.get_metadata().index, snapshot.get_metadata().term);
        let members = match recovered.conf_state {
            Some(members) => members,
            None => {
                disk.save_members(&members)?;
                members
            }
        };
        // Entries up to the snapshot are kept only as far as they are without a gap to it.
        let before = match recovered.entries.first() {
            Some(first) if first.index == 1 => (0, 0),
            _ => covered,
        };
        let entries =
            recovered.entries.into_iter().filter(|entry| entry.index > before.0).collect();
        Ok(Self {
            disk,
            hard_state: recovered.hard_state,
            members,
            before,
            entries,
            snapshot,
            wanted: Cell::new(false),
            bytes_since_snapshot: 0,
        })
    }

    pub fn snapshot_index(&self) -> u64 {
        self.snapshot.get_metadata().index
    }

    pub fn latest_snapshot(&self) -> &Snapshot {
        &self.snapshot
    }

    pub fn members(&self) -> &ConfState {
        &self.members
    }

    pub fn last(&self) -> u64 {
        self.before.0 + self.entries.len() as u64
    }

    pub fn bytes_since_snapshot(&self) -> usize {
        self.bytes_since_snapshot
    }

    /// Whether Raft asked for a newer snapshot since this was last asked.
    pub fn take_wanted(&self) -> bool {
        self.wanted.replace(false)
    }

    pub fn append(
        &mut self,
        entries: Vec<Entry>,
        hard_state: Option<&HardState>,
        sync: bool,
    ) -> Result<(), RaftError> {
        self.disk.append(&entries, hard_state, sync)?;
        if let Some(state) = hard_state {
            self.hard_state = state.clone();
        }
        if let Some(first) = entries.first() {
            let keep = first.index.saturating_sub(self.before.0 + 1) as usize;
            self.entries.truncate(keep);
            self.bytes_since_snapshot += entries.iter().map(|e| e.data.len()).sum::<usize>();
            self.entries.extend(entries);
        }
        Ok(())
    }

    pub fn set_commit(&mut self, commit: u64) -> Result<(), RaftError> {
        self.hard_state.commit = commit;
        self.disk.append(&[], Some(&self.hard_state), false)
    }

    pub fn set_members(&mut self, members: ConfState) -> Result<(), RaftError> {
        self.disk.save_members(&members)?;
        self.members = members;
        Ok(())
    }

    /// Saves a snapshot of the own state, and forgets entries that are no longer needed.
    pub fn compact(&mut self, snapshot: Snapshot) -> Result<(), RaftError> {
        let index = snapshot.get_metadata().index;
        let mut keep_from = index + 1;
        let mut bytes = 0;
        while keep_from > self.before.0 + 1 && index + 1 - keep_from < KEPT_ENTRIES {
            bytes += self.entry(keep_from - 1).map_or(0, |entry| entry.data.len());
            if bytes > KEPT_BYTES {
                break;
            }
            keep_from -= 1;
        }
        self.disk.save_snapshot(&snapshot, keep_from)?;
        if keep_from > self.before.0 + 1 {
            let term = self.term(keep_from - 1)?;
            self.entries.drain(..(keep_from - 1 - self.before.0) as usize);
            self.before = (keep_from - 1, term);
        }
        self.snapshot = snapshot;
        self.bytes_since_snapshot = 0;
        Ok(())
    }

    /// Takes over another member's snapshot: all entries go.
    pub fn install(&mut self, snapshot: Snapshot) -> Result<(), RaftError> {
        let metadata = snapshot.get_metadata();
        let (index, term) = (metadata.index, metadata.term);
        self.disk.save_snapshot(&snapshot, u64::MAX)?;
        self.members = metadata.get_conf_state().clone();
        self.entries.clear();
        self.before = (index, term);
        self.hard_state.commit = self.hard_state.commit.max(index);
        self.hard_state.term = self.hard_state.term.max(term);
        self.snapshot = snapshot;
        self.bytes_since_snapshot = 0;
        Ok(())
    }

    fn entry(&self, index: u64) -> Option<&Entry> {
        self.entries.get(index.checked_sub(self.before.0 + 1)? as usize)
    }
}

impl<L: Stable> Storage for Store<L> {
    fn initial_state(&self) -> raft::Result<RaftState> {
        Ok(RaftState::new(self.hard_state.clone(), self.members.clone()))
    }

    fn entries(
        &self,
        low: u64,
        high: u64,
        max_size: impl Into<Option<u64>>,
        _context: GetEntriesContext,
    ) -> raft::Result<Vec<Entry>> {
        if low <= self.before.0 {
            return Err(StorageError::Compacted.into());
        }
        if high > self.last() + 1 {
            return Err(StorageError::Unavailable.into());
        }
        let start = (low - self.before.0 - 1) as usize;
        let end = (high - self.before.0 - 1) as usize;
        let mut entries = self.entries.get(start..end).unwrap_or_default().to_vec();
        raft::util::limit_size(&mut entries, max_size.into());
        Ok(entries)
    }

    fn term(&self, index: u64) -> raft::Result<u64> {
        if index == self.before.0 {
            return Ok(self.before.1);
        }
        if index == self.snapshot_index() {
            return Ok(self.snapshot.get_metadata().term);
        }
        if index < self.before.0 {
            return Err(StorageError::Compacted.into());
        }
        let entry = self.entry(index).ok_or(StorageError::Unavailable)?;
        Ok(entry.term)
    }

    fn first_index(&self) -> raft::Result<u64> {
        Ok(self.before.0 + 1)
    }

    fn last_index(&self) -> raft::Result<u64> {
        Ok(self.last())
    }

    fn snapshot(&self, request_index: u64, to: u64) -> raft::Result<Snapshot> {
        let index = self.snapshot_index();
        // A member refuses a snapshot of the time before it was one.
        let members = self.snapshot.get_metadata().get_conf_state();
        let names = members.voters.contains(&to) || members.learners.contains(&to);
        if index == 0 || index < request_index || index + 1 < self.before.0 || !names {
            self.wanted.set(true);
            return Err(StorageError::SnapshotTemporarilyUnavailable.into());
        }
        Ok(self.snapshot.clone())
    }
}
