//! The [`Worker`] at the other end of a network connection.
//!
//! ```text
//! modify, lock, transact, ...  -> frames of a session's socket
//! query, load                  -> a gRPC stream each
//! ```
//!
//! Two connections: a cursor that nobody reads must not hold up a COMMIT. Nothing is retried here:
//! a broken connection fails what was under way with 08006, or 08007 where it may have been
//! committed, and the next request connects anew.

mod connection;
mod rows;
mod session;

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;
use satsuma_common::{GroupId, NodeId, SqlError, SqlResult, TxnId};
use tokio_util::sync::CancellationToken;

use crate::convert::{Request, Response};
use crate::copy::{CopyReply, CopyRequest};
use crate::report::PlanStyle;
use crate::worker::{
    AdvisoryRequest, BatchStream, InputStream, KeyRead, LoadRequest, LockRequest, Locks,
    Membership, ModifyReply, ModifyRequest, QueryRequest, ShardAction, ShardReply, TxnAction,
    TxnReply, Worker, WorkerStatus,
};

use arrow::array::RecordBatch;
pub(crate) use connection::{Connection, lost};
use session::Session;

/// Metadata key of the number that tells one client from another, so that the worker knows when
/// a coordinator is gone for good.
pub(crate) const CLIENT_KEY: &str = "satsuma-client";
/// Metadata key of the node that a request is meant for: another one may answer at its address.
pub(crate) const NODE_KEY: &str = "satsuma-node";

/// A worker by address. Cheap to make: it connects when first used.
pub struct RemoteWorker {
    rows: Connection,
    session: Session,
    caller: Caller,
}

/// Who asks, and which node is meant; `None`: whichever answers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Caller {
    client: u64,
    node: Option<NodeId>,
}

impl Caller {
    fn request<T>(self, body: T) -> tonic::Request<T> {
        let mut request = tonic::Request::new(body);
        request.metadata_mut().insert(CLIENT_KEY, self.client.into());
        if let Some(node) = self.node {
            request.metadata_mut().insert(NODE_KEY, node.0.into());
        }
        request
    }
}

impl RemoteWorker {
    /// Whichever worker answers at `address`, which is `host:port`. Call within a tokio runtime:
    /// the connection's tasks live there.
    pub fn new(address: &str) -> SqlResult<Self> {
        Self::connect(address, None)
    }

    /// The worker that is this node. Any other refuses what it is asked with 08006, as if the node
    /// could not be reached.
    pub fn of_node(address: &str, node: NodeId) -> SqlResult<Self> {
        Self::connect(address, Some(node))
    }

    fn connect(address: &str, node: Option<NodeId>) -> SqlResult<Self> {
        use std::hash::{BuildHasher, Hasher};
        let client = std::hash::RandomState::new().build_hasher().finish();
        let caller = Caller { client, node };
        let session = Session::new(address, caller)?;
        Ok(Self { rows: Connection::new(address)?, session, caller })
    }

    pub fn address(&self) -> &str {
        self.rows.address()
    }
}

impl std::fmt::Debug for RemoteWorker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "RemoteWorker({})", self.address())
    }
}

/// The answer's kind is not the request's.
fn mismatched() -> SqlError {
    SqlError::internal("a worker answered something else than was asked")
}

macro_rules! expect {
    ($response:expr, $kind:ident) => {
        match $response {
            Response::$kind(reply) => Ok(reply),
            _ => Err(mismatched()),
        }
    };
}

#[async_trait]
impl Worker for RemoteWorker {
    fn node(&self) -> Option<NodeId> {
        self.caller.node
    }

    async fn query(&self, request: QueryRequest) -> SqlResult<BatchStream> {
        let rows = rows::query(&self.rows, self.caller, request);
        self.session.while_answering(rows).await
    }

    async fn query_over(
        &self,
        request: QueryRequest,
        inputs: InputStream,
    ) -> SqlResult<BatchStream> {
        let rows = rows::query_over(&self.rows, self.caller, request, inputs);
        self.session.while_answering(rows).await
    }

    async fn explain(&self, request: QueryRequest, style: PlanStyle) -> SqlResult<Vec<String>> {
        expect!(self.session.call(Request::Explain(request, style)).await?, Explain)
    }

    async fn modify_unless(
        &self,
        request: ModifyRequest,
        stop: CancellationToken,
    ) -> SqlResult<ModifyReply> {
        let call = self.session.call_unless(Request::Modify(request), stop.cancelled());
        expect!(call.await?, Modify)
    }

    async fn read_key(&self, request: KeyRead) -> SqlResult<Option<Bytes>> {
        expect!(self.session.call(Request::ReadKey(request)).await?, ReadKey)
    }

    async fn load(
        &self,
        request: LoadRequest,
        rows: BoxStream<'static, SqlResult<(GroupId, RecordBatch)>>,
    ) -> SqlResult<u64> {
        // The worker keeps a client's transactions while its session lives.
        let load = rows::load(&self.rows, self.caller, request, rows);
        self.session.while_answering(load).await
    }

    async fn lock(&self, request: LockRequest) -> SqlResult<Vec<Vec<u8>>> {
        expect!(self.session.call(Request::Lock(request)).await?, Locked)
    }

    async fn advisory(&self, request: AdvisoryRequest) -> SqlResult<bool> {
        expect!(self.session.call(Request::Advisory(request)).await?, Advisory)
    }

    async fn locks(&self, rows: u32) -> SqlResult<Locks> {
        expect!(self.session.call(Request::Locks(rows)).await?, Locks)
    }

    async fn cancel_wait(&self, victim: TxnId, detail: String) -> SqlResult<()> {
        expect!(self.session.call(Request::CancelWait(victim, detail)).await?, Cancelled)
    }

    async fn transact(&self, txn: TxnId, action: TxnAction) -> SqlResult<TxnReply> {
        expect!(self.session.call(Request::Transact(txn, action)).await?, Transact)
    }

    async fn shards(&self, action: ShardAction) -> SqlResult<ShardReply> {
        expect!(self.session.call(Request::Shards(action)).await?, Shards)
    }

    async fn copy(&self, request: CopyRequest) -> SqlResult<CopyReply> {
        expect!(self.session.call(Request::Copy(request)).await?, Copied)
    }

    async fn status(&self) -> SqlResult<WorkerStatus> {
        expect!(self.session.call(Request::Status).await?, Status)
    }

    async fn join(&self, membership: Membership) -> SqlResult<WorkerStatus> {
        expect!(self.session.call(Request::Join(membership)).await?, Joined)
    }
}
