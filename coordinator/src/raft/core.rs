//! One member of the Raft group: log, state machine and raft-rs, without threads or a network.
//!
//! Events go in ([`Core::tick`], [`Core::step`], [`Core::propose`], [`Core::read_index`]), then
//! [`Core::advance`] does what has become due, in the order that Raft demands:
//!
//! ```text
//!   send messages -> install snapshot -> append entries, hard state, fsync
//!     -> send messages that wait for the disk -> apply committed entries -> advance
//!     -> commit index, messages and entries that this made possible
//! ```

use raft::eraftpb::{
    ConfChange, ConfChangeType, ConfChangeV2, ConfState, Entry, EntryType, Message, Snapshot,
};
use raft::{Config, RawNode, ReadState, StateRole, Storage};
use satsuma_common::NodeId;
use slog::Logger;

use super::envelope::{Envelope, decode_state, encode_state};
use super::error::RaftError;
use super::log::{Recovered, Stable};
use super::members::{MemberChange, next_change};
use super::store::Store;
use crate::catalog::{NodeRole, Outcome, RequestId, State, apply_once};

/// Ticks of one clock that the driver keeps; see `TICK` in the driver.
const ELECTION_TICKS: usize = 20;
const HEARTBEAT_TICKS: usize = 2;
/// A member that has heard nothing for so long is cut off: when a leader is lost, the others ask
/// for votes sooner.
const SILENT_TICKS: usize = 60;
/// A learner that is behind by no more than this may vote.
const CLOSE_ENTRIES: u64 = 64;
/// A snapshot replaces this many entries, or this many bytes of them.
const SNAPSHOT_ENTRIES: u64 = 10_000;
const SNAPSHOT_BYTES: usize = 16 << 20;

/// Who leads, as far as this member knows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Leadership {
    pub term: u64,
    pub leader: Option<NodeId>,
    pub is_self: bool,
    /// No other member has been heard of for a while: no leader will be found by waiting.
    pub is_cut_off: bool,
}

/// What the cluster takes this coordinator for. It never goes back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Standing {
    #[default]
    Member,
    /// The catalog does not name it any more. The group may still need its vote to let it go.
    Removed,
    /// And the group goes on without it.
    Gone,
    /// The others know this node by another data directory.
    OtherDirectory,
}

/// What came of a round.
#[derive(Debug, Default)]
pub struct Progress {
    /// Requests that were applied, and the outcome of those that counted.
    pub applied: Vec<(RequestId, Option<Outcome>)>,
    /// Reads that were confirmed: the context given, and the index that must be applied.
    pub reads: Vec<(u64, u64)>,
}

pub struct Core<L: Stable> {
    node: RawNode<Store<L>>,
    state: State,
    /// Index of the last entry that `state` has.
    applied: u64,
    snapshot_entries: u64,
    /// Ticks since another member's last message.
    silent_ticks: usize,
}

impl<L: Stable> Core<L> {
    /// A member of the group that the log knows, or of `members` if the log is new. One that is
    /// not among them waits until it is taken in.
    pub fn open(
        id: NodeId,
        members: &[NodeId],
        disk: L,
        recovered: Recovered,
    ) -> Result<Self, RaftError> {
        let mut voters: Vec<u64> = members.iter().map(|node| u64::from(node.0)).collect();
        voters.sort_unstable();
        voters.dedup();
        let conf_state = ConfState { voters, ..ConfState::default() };
        let store = Store::open(disk, recovered, conf_state)?;
        let snapshot = store.latest_snapshot();
        let (state, applied) = match snapshot.get_metadata().index {
            0 => (State::default(), 0),
            index => (decode_state(snapshot.get_data())?, index),
        };
        let config = Config {
            id: u64::from(id.0),
            election_tick: ELECTION_TICKS,
            heartbeat_tick: HEARTBEAT_TICKS,
            applied,
            max_size_per_msg: 1 << 20,
            max_inflight_msgs: 64,
            check_quorum: true,
            pre_vote: true,
            max_uncommitted_size: 64 << 20,
            max_committed_size_per_ready: 16 << 20,
            ..Config::default()
        };
        let logger = Logger::root(slog::Discard, slog::o!());
        let mut node = RawNode::new(&config, store, &logger)?;
        if node.store().members().voters == [u64::from(id.0)] {
            // Nobody else to wait for.
            node.campaign()?;
        }
        Ok(Self { node, state, applied, snapshot_entries: SNAPSHOT_ENTRIES, silent_ticks: 0 })
    }

    /// Takes snapshots sooner, for tests.
    #[cfg(test)]
    pub fn snapshot_every(&mut self, entries: u64) {
        self.snapshot_entries = entries;
    }

    pub fn state(&self) -> &State {
        &self.state
    }

    pub fn applied(&self) -> u64 {
        self.applied
    }

    pub fn last_index(&self) -> u64 {
        self.node.store().last()
    }

    pub fn leadership(&self) -> Leadership {
        let raft = &self.node.raft;
        let leader = u32::try_from(raft.leader_id).ok().filter(|id| *id != 0).map(NodeId);
        let is_cut_off = self.silent_ticks >= SILENT_TICKS && self.voters().len() > 1;
        let is_self = raft.state == StateRole::Leader;
        Leadership { term: raft.term, leader, is_self, is_cut_off }
    }

    pub fn voters(&self) -> &[u64] {
        &self.node.store().members().voters
    }

    /// Everybody in the group, with a vote or without.
    pub fn group(&self) -> Vec<u64> {
        let members = self.node.store().members();
        members.voters.iter().chain(&members.learners).copied().collect()
    }

    pub fn tick(&mut self) {
        self.node.tick();
        self.silent_ticks = self.silent_ticks.saturating_add(1);
    }

    /// A message from another member. One that makes no sense is dropped.
    pub fn step(&mut self, message: Message) {
        self.silent_ticks = 0;
        if let Err(error) = self.node.step(message) {
            tracing::debug!(%error, "raft message dropped");
        }
    }

    /// Whether the entry was taken; only a leader takes any, and only so many at a time.
    pub fn propose(&mut self, entry: Vec<u8>) -> bool {
        self.leadership().is_self && self.node.propose(Vec::new(), entry).is_ok()
    }

    /// Brings the group's members one step nearer to the catalog's coordinators; only a leader does.
    pub fn follow_catalog(&mut self) {
        if !self.leadership().is_self || !self.state.is_bootstrapped() {
            return;
        }
        let wanted = self
            .state
            .nodes()
            .filter(|node| node.role == NodeRole::Coordinator)
            .map(|node| u64::from(node.id.0))
            .collect();
        let last = self.node.store().last();
        let progress = self.node.raft.prs();
        // Whoever has not answered yet has nothing, however short the log is.
        let is_caught_up = |node: u64| {
            progress.get(node).is_some_and(|known| {
                known.recent_active && known.matched > 0 && known.matched + CLOSE_ENTRIES >= last
            })
        };
        let own = self.node.raft.id;
        let change = next_change(self.node.store().members(), &wanted, own, is_caught_up);
        let (kind, node) = match change {
            None => return,
            Some(MemberChange::Transfer(node)) => return self.node.transfer_leader(node),
            Some(MemberChange::AddLearner(node)) => (ConfChangeType::AddLearnerNode, node),
            Some(MemberChange::AddVoter(node)) => (ConfChangeType::AddNode, node),
            Some(MemberChange::Remove(node)) => (ConfChangeType::RemoveNode, node),
        };
        let mut conf_change = ConfChange::default();
        conf_change.set_change_type(kind);
        conf_change.node_id = node;
        match self.node.propose_conf_change(Vec::new(), conf_change) {
            Ok(()) => tracing::info!(?change, "change of the coordinators"),
            Err(error) => tracing::debug!(%error, "change of the coordinators not proposed"),
        }
    }

    /// Lets the voter that has most of the log lead, if this one leads and another has answered
    /// lately. Whether it came to that shows in [`Self::leadership`].
    pub fn hand_over(&mut self) {
        let raft = &self.node.raft;
        let voters = self.voters().iter().filter(|node| **node != raft.id);
        let others = voters.filter_map(|node| Some((*node, raft.prs().get(*node)?)));
        let heir = others.filter(|(_, known)| known.recent_active).max_by_key(|(_, p)| p.matched);
        if let Some((node, _)) = heir.filter(|_| self.leadership().is_self) {
            self.node.transfer_leader(node);
        }
    }

    /// Asks the leader, with its quorum, for an index that is no older than this moment.
    pub fn read_index(&mut self, context: u64) {
        self.node.read_index(context.to_be_bytes().to_vec());
    }

    pub fn report_unreachable(&mut self, node: NodeId) {
        self.node.report_unreachable(u64::from(node.0));
    }

    pub fn report_snapshot(&mut self, node: NodeId, arrived: bool) {
        let status = match arrived {
            true => raft::SnapshotStatus::Finish,
            false => raft::SnapshotStatus::Failure,
        };
        self.node.report_snapshot(u64::from(node.0), status);
    }

    /// Does all that is due. An error means that the disk cannot be trusted: the member must
    /// stop.
    pub fn advance(&mut self, send: &mut dyn FnMut(Message)) -> Result<Progress, RaftError> {
        let mut progress = Progress::default();
        while self.node.has_ready() {
            self.round(send, &mut progress)?;
        }
        self.snapshot_if_due()?;
        Ok(progress)
    }

    fn round(
        &mut self,
        send: &mut dyn FnMut(Message),
        progress: &mut Progress,
    ) -> Result<(), RaftError> {
        let mut ready = self.node.ready();
        ready.take_messages().into_iter().for_each(&mut *send);
        progress.reads.extend(ready.take_read_states().iter().filter_map(confirmed));
        if !ready.snapshot().is_empty() {
            self.install(ready.snapshot().clone())?;
        }
        let (entries, sync) = (ready.take_entries(), ready.must_sync());
        let hard_state = ready.hs().cloned();
        self.node.mut_store().append(entries, hard_state.as_ref(), sync)?;
        ready.take_persisted_messages().into_iter().for_each(&mut *send);
        self.apply(ready.take_committed_entries(), progress)?;

        let mut light = self.node.advance(ready);
        if let Some(commit) = light.commit_index() {
            self.node.mut_store().set_commit(commit)?;
        }
        light.take_messages().into_iter().for_each(&mut *send);
        self.apply(light.take_committed_entries(), progress)?;
        self.node.advance_apply();
        Ok(())
    }

    fn install(&mut self, snapshot: Snapshot) -> Result<(), RaftError> {
        let index = snapshot.get_metadata().index;
        self.state = decode_state(snapshot.get_data())?;
        self.node.mut_store().install(snapshot)?;
        self.applied = index;
        Ok(())
    }

    fn apply(&mut self, entries: Vec<Entry>, progress: &mut Progress) -> Result<(), RaftError> {
        for entry in entries {
            self.applied = entry.index;
            match entry.get_entry_type() {
                // A new leader's first entry is empty.
                EntryType::EntryNormal if entry.data.is_empty() => {}
                EntryType::EntryNormal => {
                    let Envelope { request, floor, command } = Envelope::decode(&entry.data)?;
                    let outcome = apply_once(&mut self.state, request, floor, command);
                    progress.applied.push((request, outcome));
                }
                EntryType::EntryConfChange => {
                    let change: ConfChange = protobuf::Message::parse_from_bytes(&entry.data)?;
                    let members = self.node.apply_conf_change(&change)?;
                    self.node.mut_store().set_members(members)?;
                }
                EntryType::EntryConfChangeV2 => {
                    let change: ConfChangeV2 = protobuf::Message::parse_from_bytes(&entry.data)?;
                    let members = self.node.apply_conf_change(&change)?;
                    self.node.mut_store().set_members(members)?;
                }
            }
        }
        Ok(())
    }

    fn snapshot_if_due(&mut self) -> Result<(), RaftError> {
        let store = self.node.store();
        let entries = self.applied - store.snapshot_index();
        let due = entries >= self.snapshot_entries
            || store.bytes_since_snapshot() >= SNAPSHOT_BYTES
            || store.take_wanted();
        if !due || entries == 0 {
            return Ok(());
        }
        let mut snapshot = Snapshot::default();
        let metadata = snapshot.mut_metadata();
        metadata.index = self.applied;
        metadata.term = store.term(self.applied)?;
        metadata.set_conf_state(store.members().clone());
        snapshot.set_data(encode_state(&self.state)?.into());
        self.node.mut_store().compact(snapshot)
    }
}

fn confirmed(read: &ReadState) -> Option<(u64, u64)> {
    let context = read.request_ctx.as_slice().try_into().ok()?;
    Some((u64::from_be_bytes(context), read.index))
}
