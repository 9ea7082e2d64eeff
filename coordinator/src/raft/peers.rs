//! How coordinators reach each other. The seam between the Raft shell and the network.

use std::sync::mpsc::SyncSender;

use async_trait::async_trait;
use bytes::Bytes;
use raft::eraftpb::Message;
use satsuma_common::{NodeId, Timestamp};
use thiserror::Error;

use super::driver::Event;

#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum PeerError {
    #[error("coordinator {0} cannot be reached")]
    Unreachable(NodeId),
    /// It does not lead, or no longer.
    #[error("coordinator {0} does not lead")]
    NotLeader(NodeId),
    #[error("coordinator {0}: {1}")]
    Refused(NodeId, String),
}

/// Timestamps wanted from the leader's oracle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimestampRequest {
    /// How many, following each other.
    pub count: u32,
    /// All later timestamps shall be above this one.
    pub observe: Timestamp,
}

/// `first, first + 1, ...`, as many as were asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimestampReply {
    pub first: Timestamp,
    /// Version of a catalog that holds all that was committed before.
    pub catalog: u64,
}

/// Tells the own member what became of messages.
#[derive(Clone)]
pub struct Reports(SyncSender<Event>);

impl Reports {
    pub(super) fn new(events: SyncSender<Event>) -> Self {
        Self(events)
    }

    pub fn unreachable(&self, node: NodeId) {
        let _ = self.0.try_send(Event::Unreachable(node));
    }

    pub fn removed(&self) {
        let _ = self.0.try_send(Event::Removed);
    }

    pub fn snapshot_sent(&self, node: NodeId, arrived: bool) {
        let _ = self.0.try_send(Event::SnapshotSent(node, arrived));
    }
}

#[async_trait]
pub trait Peers: Send + Sync + 'static {
    /// Called once, before anything is sent.
    fn attach(&self, reports: Reports);

    /// A member, which is who it says, is at this address.
    fn heard_of(&self, _node: NodeId, _address: &str) {}

    /// Sends a Raft message, at once or never: Raft copes with losses.
    fn send(&self, message: Message);

    /// Proposes an entry at the leader; `Ok` means taken, not committed.
    async fn propose(&self, leader: NodeId, entry: Bytes) -> Result<(), PeerError>;

    async fn timestamps(
        &self,
        leader: NodeId,
        request: TimestampRequest,
    ) -> Result<TimestampReply, PeerError>;
}

/// A coordinator alone.
#[derive(Clone, Copy, Debug)]
pub struct NoPeers;

#[async_trait]
impl Peers for NoPeers {
    fn attach(&self, _reports: Reports) {}

    fn send(&self, _message: Message) {}

    async fn propose(&self, leader: NodeId, _entry: Bytes) -> Result<(), PeerError> {
        Err(PeerError::Unreachable(leader))
    }

    async fn timestamps(
        &self,
        leader: NodeId,
        _request: TimestampRequest,
    ) -> Result<TimestampReply, PeerError> {
        Err(PeerError::Unreachable(leader))
    }
}
