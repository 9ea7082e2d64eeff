//! Sessions of every coordinator: who is connected where, stopping what runs elsewhere, and
//! whether anybody is at work on a transaction.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::future::join_all;
use parking_lot::Mutex;
use satsuma_common::{ColocationId, GroupId, NodeId, Timestamp, TxnId};
use satsuma_proto::pb::peers as pb;
use satsuma_proto::pb::peers::sessions_client::SessionsClient;
use satsuma_proto::pb::peers::sessions_server as generated;
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Response, Status};

use crate::catalog::{NodeRole, State};
use crate::session_api::InterruptReason;
use crate::session_list::{SessionEntry, SessionList};
use crate::system_relations::RunningSession;
use crate::tenant_statistics::{Counts, TenantEntry, TenantStatistics};

/// How long another coordinator may take to answer.
const PATIENCE: Duration = Duration::from_secs(1);
const MAX_REPLY_BYTES: usize = 64 << 20;
/// Longest text of a statement that is told to others, in bytes.
const MAX_QUERY_BYTES: usize = 1024;

/// The other coordinators, connected when first asked.
#[derive(Default)]
pub struct Neighbours(Mutex<BTreeMap<String, SessionsClient<Channel>>>);

/// What another coordinator says of a transaction of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AtWork {
    Yes,
    No,
    /// It does not answer.
    Unknown,
}

impl Neighbours {
    fn client(&self, address: &str) -> Option<SessionsClient<Channel>> {
        let mut clients = self.0.lock();
        if let Some(client) = clients.get(address) {
            return Some(client.clone());
        }
        let endpoint = Endpoint::from_shared(format!("http://{address}")).ok()?;
        let channel = endpoint
            .connect_timeout(PATIENCE)
            .tcp_nodelay(true)
            .http2_keep_alive_interval(PATIENCE)
            .keep_alive_timeout(PATIENCE)
            .keep_alive_while_idle(true)
            .connect_lazy();
        let client = SessionsClient::new(channel).max_decoding_message_size(MAX_REPLY_BYTES);
        clients.insert(address.to_owned(), client.clone());
        Some(client)
    }

    /// Clients of the coordinators other than `own`.
    fn others(&self, state: &State, own: NodeId) -> Vec<(NodeId, SessionsClient<Channel>)> {
        let coordinators = state
            .coordinators()
            .filter(|(node, address)| *node != own && !address.is_empty())
            .map(|(node, address)| (node, address.to_owned()))
            .collect::<Vec<_>>();
        coordinators
            .into_iter()
            .filter_map(|(node, address)| Some((node, self.client(&address)?)))
            .collect()
    }

    /// Sessions of the other coordinators. Those of one that does not answer are missing.
    pub async fn sessions(&self, state: &State, own: NodeId) -> Vec<RunningSession> {
        self.list(state, own).await.into_iter().flatten().flatten().collect()
    }

    /// When the transactions of the other coordinators started, the oldest of each; `None` for a
    /// coordinator that does not answer.
    pub async fn oldest_transactions(&self, state: &State, own: NodeId) -> Vec<Option<Timestamp>> {
        let mut oldest = Vec::new();
        for sessions in self.list(state, own).await {
            match sessions {
                None => oldest.push(None),
                Some(sessions) => {
                    let starts = sessions.iter().filter_map(|session| Some(session.txn?.start));
                    oldest.extend(starts.min().map(Some));
                }
            }
        }
        oldest
    }

    /// `None` for each that does not answer.
    async fn list(&self, state: &State, own: NodeId) -> Vec<Option<Vec<RunningSession>>> {
        let asked = self.others(state, own).into_iter().map(|(_, mut client)| async move {
            let call = client.list(pb::SessionsRequest {});
            match tokio::time::timeout(PATIENCE, call).await {
                Ok(Ok(reply)) => {
                    let pb::SessionsReply { node, sessions } = reply.into_inner();
                    let sessions = sessions.into_iter();
                    Some(sessions.map(|session| running(NodeId(node), session)).collect())
                }
                Ok(Err(_)) | Err(_) => None,
            }
        });
        join_all(asked).await
    }

    /// Whether another coordinator has this session; it is interrupted then.
    pub async fn interrupt(
        &self,
        state: &State,
        own: NodeId,
        process_id: i32,
        terminate: bool,
    ) -> bool {
        let asked = self.others(state, own).into_iter().map(|(_, mut client)| async move {
            let call = client.interrupt(pb::InterruptRequest { process_id, terminate });
            matches!(
                tokio::time::timeout(PATIENCE, call).await,
                Ok(Ok(reply)) if reply.get_ref().known
            )
        });
        join_all(asked).await.into_iter().any(|known| known)
    }

    /// Tenants that statements of the other coordinators were about.
    pub async fn tenants(&self, state: &State, own: NodeId) -> Vec<TenantEntry> {
        let asked = self.others(state, own).into_iter().map(|(_, mut client)| async move {
            let call = client.tenants(pb::TenantsRequest {});
            match tokio::time::timeout(PATIENCE, call).await {
                Ok(Ok(reply)) => reply.into_inner().tenants,
                Ok(Err(_)) | Err(_) => Vec::new(),
            }
        });
        join_all(asked).await.into_iter().flatten().map(tenant).collect()
    }

    pub async fn at_work(&self, state: &State, own: NodeId, txn: TxnId) -> AtWork {
        let others = self.others(state, own);
        let Some((_, client)) = others.into_iter().find(|(node, _)| *node == txn.coordinator)
        else {
            return AtWork::Unknown;
        };
        let mut client = client;
        let call = client.at_work(pb::AtWorkRequest { txn: Some(txn.into()) });
        match tokio::time::timeout(PATIENCE, call).await {
            Ok(Ok(reply)) if reply.get_ref().at_work => AtWork::Yes,
            Ok(Ok(_)) => AtWork::No,
            Ok(Err(_)) | Err(_) => AtWork::Unknown,
        }
    }
}

impl State {
    /// Coordinators and their gRPC addresses.
    fn coordinators(&self) -> impl Iterator<Item = (NodeId, &str)> {
        self.nodes()
            .filter(|node| node.role == NodeRole::Coordinator)
            .filter_map(|node| Some((node.id, node.grpc_address.as_deref()?)))
    }
}

impl SessionEntry {
    /// What others are shown of the session.
    pub fn running(self, node: NodeId) -> RunningSession {
        RunningSession {
            node,
            process_id: self.process_id,
            user: self.user,
            application_name: self.application_name,
            client_address: self.client_addr.map(|address| address.ip()),
            client_port: self.client_addr.map(|address| address.port()),
            encryption: self.encryption,
            started: self.started_micros,
            transaction_started: self.transaction_started_micros,
            query_started: self.query_started_micros,
            state_changed: self.state_changed_micros,
            state: self.state.into(),
            query: self.query.to_string(),
            txn: self.txn,
            owner: self.owner,
        }
    }
}

fn running(node: NodeId, session: pb::Session) -> RunningSession {
    RunningSession {
        node,
        process_id: session.process_id,
        user: session.user,
        application_name: session.application_name,
        client_address: session.client_address.parse::<IpAddr>().ok(),
        client_port: u16::try_from(session.client_port).ok().filter(|port| *port != 0),
        encryption: None,
        started: session.started,
        transaction_started: session.transaction_started,
        query_started: session.query_started,
        state_changed: session.state_changed,
        state: session.state,
        query: session.query,
        txn: session.txn.map(TxnId::from),
        owner: session.owner.map(TxnId::from),
    }
}

fn tenant(tenant: pb::Tenant) -> TenantEntry {
    let counts = |counts: Option<pb::TenantCounts>| {
        let pb::TenantCounts { reads, statements, seconds } = counts.unwrap_or_default();
        Counts { reads, statements, seconds }
    };
    TenantEntry {
        colocation: ColocationId(tenant.colocation),
        group: GroupId(tenant.group),
        attribute: tenant.attribute,
        this_period: counts(tenant.this_period),
        last_period: counts(tenant.last_period),
        score: tenant.score,
    }
}

fn told(tenant: TenantEntry) -> pb::Tenant {
    let counts = |Counts { reads, statements, seconds }| {
        Some(pb::TenantCounts { reads, statements, seconds })
    };
    pb::Tenant {
        colocation: tenant.colocation.0,
        group: tenant.group.0,
        attribute: tenant.attribute,
        this_period: counts(tenant.this_period),
        last_period: counts(tenant.last_period),
        score: tenant.score,
    }
}

fn shortened(mut query: String) -> String {
    if query.len() > MAX_QUERY_BYTES {
        let mut end = MAX_QUERY_BYTES;
        while !query.is_char_boundary(end) {
            end -= 1;
        }
        query.truncate(end);
    }
    query
}

/// Answers the other coordinators.
pub struct SessionsServer {
    pub node: NodeId,
    pub sessions: Arc<SessionList>,
    pub tenants: Arc<TenantStatistics>,
}

impl SessionsServer {
    /// The service to add to the gRPC server.
    pub fn into_service(self) -> generated::SessionsServer<Self> {
        generated::SessionsServer::new(self)
    }
}

#[tonic::async_trait]
impl generated::Sessions for SessionsServer {
    async fn list(
        &self,
        _: Request<pb::SessionsRequest>,
    ) -> Result<Response<pb::SessionsReply>, Status> {
        let sessions = self.sessions.entries().into_iter().map(|entry| pb::Session {
            process_id: entry.process_id,
            user: entry.user,
            application_name: entry.application_name,
            client_address: entry.client_addr.map(|a| a.ip().to_string()).unwrap_or_default(),
            client_port: entry.client_addr.map_or(0, |address| address.port().into()),
            started: entry.started_micros,
            transaction_started: entry.transaction_started_micros,
            query_started: entry.query_started_micros,
            state_changed: entry.state_changed_micros,
            state: entry.state.into(),
            query: shortened(entry.query.to_string()),
            txn: entry.txn.map(Into::into),
            owner: entry.owner.map(Into::into),
        });
        Ok(Response::new(pb::SessionsReply { node: self.node.0, sessions: sessions.collect() }))
    }

    async fn interrupt(
        &self,
        request: Request<pb::InterruptRequest>,
    ) -> Result<Response<pb::InterruptReply>, Status> {
        let pb::InterruptRequest { process_id, terminate } = request.into_inner();
        let known = if terminate {
            self.sessions.terminate(process_id)
        } else {
            self.sessions.cancel(process_id, InterruptReason::UserRequest)
        };
        Ok(Response::new(pb::InterruptReply { known }))
    }

    async fn at_work(
        &self,
        request: Request<pb::AtWorkRequest>,
    ) -> Result<Response<pb::AtWorkReply>, Status> {
        let txn = request.into_inner().txn.map(TxnId::from);
        let at_work = txn.is_some_and(|txn| self.sessions.is_at_work(txn));
        Ok(Response::new(pb::AtWorkReply { at_work }))
    }

    async fn tenants(
        &self,
        _: Request<pb::TenantsRequest>,
    ) -> Result<Response<pb::TenantsReply>, Status> {
        let tenants = self.tenants.entries(Instant::now()).into_iter().map(told).collect();
        Ok(Response::new(pb::TenantsReply { tenants }))
    }
}
