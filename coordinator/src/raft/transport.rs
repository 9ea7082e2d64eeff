//! Coordinators over gRPC: both ends of the `Peers` service.
//!
//! Each peer has a bounded queue and one task that sends what is in it, all that waits in one
//! call. When the queue is full, or the peer away, messages are dropped: Raft sends again what
//! matters. Snapshots go on their own, so that heartbeats do not wait behind them.
//!
//! Peers are trusted: whoever reaches this service can take part in the group.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use parking_lot::RwLock;
use protobuf::Message as _;
use raft::eraftpb::{Message, MessageType};
use satsuma_common::{NodeId, SqlError, SqlResult, SqlState, Timestamp};
use satsuma_proto::pb::peers as pb;
use satsuma_proto::pb::peers::peers_client::PeersClient;
use satsuma_proto::pb::peers::peers_server as generated;
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Response, Status};

use super::envelope::MAX_ENTRY_BYTES;
use super::handle::Catalog;
use super::peers::{PeerError, Peers, Reports, TimestampReply, TimestampRequest};
use crate::oracle::Oracle;

/// Messages that may wait for one peer.
const QUEUE: usize = 1024;
/// Messages in one call: with the largest append of 1 MiB each, well below the limit on a call.
const MAX_BATCH: usize = 64;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
const CALL_TIMEOUT: Duration = Duration::from_secs(3);
/// A peer that does not answer pings is connected anew: what was sent while it was cut off may
/// never arrive, and nothing that is sent after it on the same connection.
const PING: Duration = Duration::from_secs(1);
const PING_TIMEOUT: Duration = Duration::from_secs(2);
/// A snapshot is the whole catalog.
const SNAPSHOT_TIMEOUT: Duration = Duration::from_secs(60);
const MAX_MESSAGE_BYTES: usize = 512 << 20;

/// The other coordinators.
pub struct PeerNetwork {
    own: NodeId,
    /// Identity of the own data directory.
    directory: String,
    /// Where the others reach this one; empty where nobody told.
    address: String,
    peers: RwLock<BTreeMap<NodeId, Peer>>,
    reports: Arc<OnceLock<Reports>>,
    runtime: Handle,
}

struct Peer {
    /// Where it was said to be.
    told: String,
    /// Where it is: a member that is heard of knows that better.
    address: String,
    /// Identity of its data directory, where it is known; else empty.
    directory: String,
    client: PeersClient<Channel>,
    queue: mpsc::Sender<Message>,
}

impl PeerNetwork {
    /// `directory` is the own data directory's identity, `peers` are `host:port` of every
    /// coordinator; `own` is left out. Must be called within a tokio runtime. Connections are made
    /// when they are needed, and again when they break.
    pub fn new(own: NodeId, directory: &str, peers: &[(NodeId, String)]) -> SqlResult<Self> {
        let runtime = Handle::try_current().map_err(|e| SqlError::internal(e.to_string()))?;
        let reports = Arc::new(OnceLock::new());
        let directory = directory.to_owned();
        let itself = peers.iter().find(|(node, _)| *node == own);
        let address = itself.map(|(_, address)| address.clone()).unwrap_or_default();
        let network = Self { own, directory, address, peers: RwLock::default(), reports, runtime };
        peers.iter().try_for_each(|(node, address)| network.set(*node, address, ""))?;
        Ok(network)
    }

    /// A coordinator's address and the identity of its data directory, from now on.
    pub fn set(&self, node: NodeId, address: &str, directory: &str) -> SqlResult<()> {
        let is_it = |peer: &Peer| peer.told == address && peer.directory == directory;
        let known = self.peers.read().get(&node).is_some_and(is_it);
        if node == self.own || known {
            return Ok(());
        }
        self.connect(node, address, address, directory)
    }

    fn connect(&self, node: NodeId, told: &str, address: &str, directory: &str) -> SqlResult<()> {
        let _entered = self.runtime.enter();
        let client = client(address)?;
        let (queue, queued) = mpsc::channel(QUEUE);
        let [told, address, directory] = [told, address, directory].map(str::to_owned);
        let peer = Peer { told, address, directory, client, queue };
        self.runtime.spawn(deliver(self.wire(node, &peer), queued));
        self.peers.write().insert(node, peer);
        Ok(())
    }

    fn wire(&self, node: NodeId, peer: &Peer) -> Wire {
        Wire {
            node,
            client: peer.client.clone(),
            from_directory: self.directory.clone(),
            to_directory: peer.directory.clone(),
            from_address: self.address.clone(),
            reports: self.reports.clone(),
        }
    }

    fn peer(&self, node: NodeId) -> Result<PeersClient<Channel>, PeerError> {
        let peers = self.peers.read();
        let peer = peers.get(&node).ok_or(PeerError::Unreachable(node))?;
        Ok(peer.client.clone())
    }
}

fn client(address: &str) -> SqlResult<PeersClient<Channel>> {
    let endpoint = Endpoint::from_shared(format!("http://{address}")).map_err(|error| {
        SqlError::new(
            SqlState::INVALID_PARAMETER_VALUE,
            format!("invalid coordinator address \"{address}\": {error}"),
        )
    })?;
    let channel = endpoint
        .connect_timeout(CONNECT_TIMEOUT)
        .tcp_nodelay(true)
        .http2_keep_alive_interval(PING)
        .keep_alive_timeout(PING_TIMEOUT)
        .keep_alive_while_idle(true)
        .connect_lazy();
    Ok(PeersClient::new(channel)
        .max_decoding_message_size(MAX_MESSAGE_BYTES)
        .max_encoding_message_size(MAX_MESSAGE_BYTES))
}

/// Sends what is queued for one peer, until the network is dropped.
async fn deliver(wire: Wire, mut queued: mpsc::Receiver<Message>) {
    let mut batch = Vec::with_capacity(MAX_BATCH);
    while queued.recv_many(&mut batch, MAX_BATCH).await > 0 {
        let sent = wire.step(batch.drain(..), CALL_TIMEOUT).await;
        if !sent && let Some(reports) = wire.reports.get() {
            reports.unreachable(wire.node);
        }
    }
}

/// What Raft messages for one peer go through.
struct Wire {
    node: NodeId,
    client: PeersClient<Channel>,
    from_directory: String,
    to_directory: String,
    from_address: String,
    reports: Arc<OnceLock<Reports>>,
}

impl Wire {
    /// Whether the messages arrived.
    async fn step(&self, messages: impl Iterator<Item = Message>, patience: Duration) -> bool {
        let messages: Vec<Bytes> =
            messages.filter_map(|message| Some(message.write_to_bytes().ok()?.into())).collect();
        let request = pb::StepRequest {
            to: self.node.0,
            messages,
            from_directory: self.from_directory.clone(),
            to_directory: self.to_directory.clone(),
            from_address: self.from_address.clone(),
        };
        let mut client = self.client.clone();
        match tokio::time::timeout(patience, client.step(request)).await {
            Ok(Ok(reply)) => {
                if reply.get_ref().removed
                    && let Some(reports) = self.reports.get()
                {
                    reports.removed();
                }
                true
            }
            Ok(Err(error)) => {
                tracing::debug!(node = %self.node, %error, "coordinator not reached");
                false
            }
            Err(_) => false,
        }
    }
}

#[async_trait]
impl Peers for PeerNetwork {
    fn attach(&self, reports: Reports) {
        let _ = self.reports.set(reports);
    }

    fn heard_of(&self, node: NodeId, address: &str) {
        let peers = self.peers.read();
        let Some(peer) = peers.get(&node).filter(|peer| peer.address != address) else { return };
        let (told, directory) = (peer.told.clone(), peer.directory.clone());
        drop(peers);
        tracing::info!(%node, told, address, "a coordinator is elsewhere");
        if let Err(error) = self.connect(node, &told, address, &directory) {
            tracing::warn!(%node, %error, "a coordinator's address makes no sense");
        }
    }

    fn send(&self, message: Message) {
        let Ok(node) = u32::try_from(message.to).map(NodeId) else { return };
        let peers = self.peers.read();
        let Some(peer) = peers.get(&node) else { return };
        if message.get_msg_type() != MessageType::MsgSnapshot {
            let _ = peer.queue.try_send(message);
            return;
        }
        let wire = self.wire(node, peer);
        self.runtime.spawn(async move {
            let sent = wire.step(std::iter::once(message), SNAPSHOT_TIMEOUT).await;
            if let Some(reports) = wire.reports.get() {
                reports.snapshot_sent(node, sent);
            }
        });
    }

    async fn propose(&self, leader: NodeId, entry: Bytes) -> Result<(), PeerError> {
        let mut client = self.peer(leader)?;
        let call = client.propose(pb::ProposeRequest { entry });
        match tokio::time::timeout(CALL_TIMEOUT, call).await {
            Ok(Ok(reply)) if reply.get_ref().taken => Ok(()),
            Ok(Ok(_)) => Err(PeerError::NotLeader(leader)),
            Ok(Err(status)) => Err(PeerError::Refused(leader, status.message().to_owned())),
            Err(_) => Err(PeerError::Unreachable(leader)),
        }
    }

    async fn timestamps(
        &self,
        leader: NodeId,
        request: TimestampRequest,
    ) -> Result<TimestampReply, PeerError> {
        let mut client = self.peer(leader)?;
        let TimestampRequest { count, observe } = request;
        let call = client.timestamps(pb::TimestampsRequest { count, observe: observe.0 });
        match tokio::time::timeout(CALL_TIMEOUT, call).await {
            Ok(Ok(reply)) => {
                let pb::TimestampsReply { first, catalog } = *reply.get_ref();
                Ok(TimestampReply { first: Timestamp(first), catalog })
            }
            Ok(Err(status)) => Err(PeerError::Refused(leader, status.message().to_owned())),
            Err(_) => Err(PeerError::Unreachable(leader)),
        }
    }
}

/// Serves the other coordinators.
pub struct PeerServer {
    catalog: Catalog,
    oracle: Oracle,
}

impl PeerServer {
    pub fn new(catalog: Catalog, oracle: Oracle) -> Self {
        Self { catalog, oracle }
    }

    /// The service to add to the gRPC server.
    pub fn into_service(self) -> generated::PeersServer<Self> {
        generated::PeersServer::new(self)
            .max_decoding_message_size(MAX_MESSAGE_BYTES)
            .max_encoding_message_size(MAX_MESSAGE_BYTES)
    }
}

fn status(error: SqlError) -> Status {
    match error.state() {
        SqlState::CANNOT_CONNECT_NOW => Status::unavailable(error.message()),
        SqlState::PROTOCOL_VIOLATION => Status::invalid_argument(error.message()),
        _ => Status::internal(error.message()),
    }
}

#[tonic::async_trait]
impl generated::Peers for PeerServer {
    async fn step(
        &self,
        request: Request<pb::StepRequest>,
    ) -> Result<Response<pb::StepReply>, Status> {
        let request = request.into_inner();
        let own = self.catalog.node();
        if request.to != own.0 {
            let wrong = format!("this is coordinator {own}, not n{}", request.to);
            return Err(Status::failed_precondition(wrong));
        }
        let meant = &request.to_directory;
        if !meant.is_empty() && self.catalog.directory() != Some(meant) {
            self.catalog.disowned();
            return Err(Status::failed_precondition("this is another data directory"));
        }
        let state = self.catalog.snapshot();
        for bytes in request.messages {
            let message = Message::parse_from_bytes(&bytes)
                .map_err(|_| Status::invalid_argument("malformed raft message"))?;
            if message.to != u64::from(own.0) || message.from == message.to || message.from == 0 {
                return Err(Status::invalid_argument("a raft message of somebody else"));
            }
            let sender = u32::try_from(message.from).map_or(NodeId(0), NodeId);
            if state.was_removed(sender) && !self.catalog.is_in_group(sender) {
                return Ok(Response::new(pb::StepReply { removed: true }));
            }
            let known = state.node(sender).and_then(|node| node.directory.as_ref());
            if known.is_some_and(|known| *known != request.from_directory) {
                // It has forgotten what it had promised: its votes count no more.
                let wrong = format!("coordinator n{} had another data directory", message.from);
                return Err(Status::failed_precondition(wrong));
            }
            if known.is_some() && !request.from_address.is_empty() {
                self.catalog.peers().heard_of(sender, &request.from_address);
            }
            self.catalog.receive(message);
        }
        Ok(Response::new(pb::StepReply { removed: false }))
    }

    async fn propose(
        &self,
        request: Request<pb::ProposeRequest>,
    ) -> Result<Response<pb::ProposeReply>, Status> {
        let entry = request.into_inner().entry;
        if entry.len() > MAX_ENTRY_BYTES {
            return Err(Status::invalid_argument("the entry is too large"));
        }
        let taken = self.catalog.offer_from_peer(entry.to_vec()).await.map_err(status)?;
        Ok(Response::new(pb::ProposeReply { taken }))
    }

    async fn timestamps(
        &self,
        request: Request<pb::TimestampsRequest>,
    ) -> Result<Response<pb::TimestampsReply>, Status> {
        let pb::TimestampsRequest { count, observe } = request.into_inner();
        let request = TimestampRequest { count, observe: Timestamp(observe) };
        let reply = self.oracle.serve(request).await.map_err(status)?;
        let TimestampReply { first, catalog } = reply;
        Ok(Response::new(pb::TimestampsReply { first: first.0, catalog }))
    }
}
