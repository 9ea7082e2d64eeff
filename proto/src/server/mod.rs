//! A [`Worker`] behind a port.

mod clients;
mod port;
mod rows;
mod session;

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::{Stream, StreamExt};
use prost::Message;
use satsuma_common::{NodeId, SqlError, SqlState};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::transport::Server;
use tonic::{Code, Request, Response, Status, Streaming};

use crate::batches::MAX_BATCH_BYTES;
use crate::client::{CLIENT_KEY, NODE_KEY};
use crate::pb::types;
use crate::pb::worker as pb;
use crate::pb::worker::worker_server as generated;
use crate::worker::{QueryRequest, Worker};
use clients::Clients;
use session::Session;

/// The largest query request: its plan may hold rows.
pub(crate) const QUERY_BYTES: usize = 256 << 20;
/// Sockets on their way from the listener to gRPC.
const ACCEPTED: usize = 16;
/// Larger errors would not fit into headers.
const MAX_DETAILS: usize = 4096;
/// A client that hangs or cannot be reached is lost after their sum.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(1);
const KEEPALIVE_TIMEOUT: Duration = Duration::from_millis(2500);

/// Room for what surrounds a payload in a message.
pub(crate) const fn message_limit(payload: usize) -> usize {
    payload + (1 << 20)
}

/// A gRPC server with the settings that all nodes use among each other.
pub fn transport() -> Server {
    Server::builder()
        .tcp_nodelay(true)
        .initial_stream_window_size(8 << 20)
        .initial_connection_window_size(1 << 30)
        .max_concurrent_streams(1 << 16)
        .http2_keepalive_interval(Some(KEEPALIVE_INTERVAL))
        .http2_keepalive_timeout(Some(KEEPALIVE_TIMEOUT))
}

/// Serves a worker to coordinators.
pub struct WorkerServer<W> {
    worker: Arc<W>,
    clients: Arc<Clients<W>>,
}

impl<W: Worker> WorkerServer<W> {
    /// `grace`: how long the open transactions of a coordinator survive its last connection.
    pub fn new(worker: Arc<W>, grace: Duration) -> Self {
        let clients = Arc::new(Clients::new(worker.clone(), grace));
        Self { worker, clients }
    }

    /// An error when another node is meant: workers may have exchanged their addresses.
    fn check_node<T>(&self, request: &Request<T>) -> Result<(), Status> {
        let meant = number(request, NODE_KEY)?.map(NodeId);
        let own = self.worker.node();
        match meant {
            Some(meant) if own != Some(meant) => Err(status_of(
                SqlError::new(
                    SqlState::CONNECTION_FAILURE,
                    format!("another worker answers at the address of node {}", meant.0),
                )
                .detail(match own {
                    Some(own) => format!("It is node {}.", own.0),
                    None => "It belongs to no cluster.".into(),
                }),
            )),
            _ => Ok(()),
        }
    }

    /// Serves sessions and gRPC on the listener's port, until `stop` and the end of what is under
    /// way then.
    pub async fn serve(
        self,
        listener: TcpListener,
        stop: CancellationToken,
    ) -> Result<(), tonic::transport::Error> {
        let (worker, clients) = (self.worker.clone(), self.clients.clone());
        let service = generated::WorkerServer::new(self)
            .max_decoding_message_size(message_limit(MAX_BATCH_BYTES))
            .max_encoding_message_size(message_limit(MAX_BATCH_BYTES));
        let (grpc, sockets) = mpsc::channel(ACCEPTED);
        let node = {
            let worker = worker.clone();
            move || worker.node()
        };
        let session = move |client, socket, stop| {
            Session::new(worker.clone(), clients.enter(client)).serve(socket, stop)
        };
        let sessions = port::accept(listener, grpc, stop.clone(), node, session);
        let sockets = ReceiverStream::new(sockets).map(std::io::Result::Ok);
        let grpc = transport()
            .add_service(service)
            .serve_with_incoming_shutdown(sockets, stop.cancelled_owned());
        let ((), served) = tokio::join!(sessions, grpc);
        served
    }
}

/// An error as a status, with all its fields in the details.
pub(crate) fn status_of(error: SqlError) -> Status {
    let mut encoded = types::SqlError::from(error);
    if encoded.encoded_len() > MAX_DETAILS {
        encoded.detail = None;
        encoded.context = None;
        encoded.message = encoded.message.chars().take(512).collect();
    }
    let message: String = encoded.message.chars().take(256).collect();
    Status::with_details(Code::Unknown, message, Bytes::from(encoded.encode_to_vec()))
}

/// The error that [`status_of`] put in.
pub(crate) fn error_of(status: &Status) -> Option<SqlError> {
    if status.details().is_empty() {
        return None;
    }
    let error = types::SqlError::decode(status.details()).ok()?;
    (!error.state.is_empty()).then(|| error.into())
}

fn client_of<T>(request: &Request<T>) -> Result<u64, Status> {
    number(request, CLIENT_KEY)?
        .ok_or_else(|| Status::invalid_argument("the client's number is missing"))
}

/// A number among the metadata, if it is there.
fn number<T, N: std::str::FromStr>(
    request: &Request<T>,
    key: &'static str,
) -> Result<Option<N>, Status> {
    let Some(value) = request.metadata().get(key) else { return Ok(None) };
    let number = value.to_str().ok().and_then(|text| text.parse().ok());
    number.map(Some).ok_or_else(|| Status::invalid_argument(format!("{key} is not a number")))
}

type Outbound<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

#[tonic::async_trait]
impl<W: Worker> generated::Worker for WorkerServer<W> {
    type QueryStream = Outbound<pb::Rows>;
    type QueryOverStream = Outbound<pb::Rows>;

    async fn query(
        &self,
        request: Request<pb::QueryRequest>,
    ) -> Result<Response<Self::QueryStream>, Status> {
        self.check_node(&request)?;
        let request = QueryRequest::try_from(request.into_inner())
            .map_err(|error| status_of(error.into()))?;
        let report = request.report.clone();
        let batches = self.worker.query(request).await.map_err(status_of)?;
        Ok(Response::new(Box::pin(rows::parts(batches, report))))
    }

    async fn query_over(
        &self,
        request: Request<Streaming<pb::QueryPart>>,
    ) -> Result<Response<Self::QueryOverStream>, Status> {
        self.check_node(&request)?;
        let batches = rows::query_over(&*self.worker, request.into_inner());
        let (batches, report) = batches.await.map_err(status_of)?;
        Ok(Response::new(Box::pin(rows::parts(batches, report))))
    }

    async fn load(
        &self,
        request: Request<Streaming<pb::LoadPart>>,
    ) -> Result<Response<pb::LoadReply>, Status> {
        self.check_node(&request)?;
        let client = client_of(&request)?;
        let result = rows::load(&*self.worker, &self.clients, client, request.into_inner()).await;
        let result = match result {
            Ok(count) => pb::load_reply::Result::Count(count),
            Err(error) => pb::load_reply::Result::Error(error.into()),
        };
        Ok(Response::new(pb::LoadReply { result: Some(result) }))
    }
}

#[cfg(test)]
mod tests;
