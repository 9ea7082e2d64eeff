//! The [`Worker`] at the other end of a network connection.
//!
//! ```text
//! modify, lock, transact, ...  -> frames of a session's socket
//! query, load                  -> a gRPC stream each
//! ```
//!
//! Two connections: a cursor that nobody reads must not hold up a COMMIT. Nothing is retried here: a broken
//! connection fails what was under way with 08006, or 08007 where it may have been committed, and
//! the next request connects anew.

mod connection;
mod rows;
mod session;

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;
use satsuma_common::{GroupId, SqlError, SqlResult, TxnId};
use tokio_util::sync::CancellationToken;

use crate::convert::{Request, Response};
use crate::copy::{CopyReply, CopyRequest};
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

/// A worker by address. Cheap to make: it connects when first used.
pub struct RemoteWorker {
    rows: Connection,
    session: Session,
    client: u64,
}

impl RemoteWorker {
    /// `address` is `host:port`. Call within a tokio runtime: the connection's tasks live there.
    pub fn new(address: &str) -> SqlResult<Self> {
        use std::hash::{BuildHasher, Hasher};
        let client = std::hash::RandomState::new().build_hasher().finish();
        let session = Session::new(address, client)?;
        Ok(Self { rows: Connection::new(address)?, session, client })
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
    async fn query(&self, request: QueryRequest) -> SqlResult<BatchStream> {
        rows::query(&self.rows, request).await
    }

    async fn query_over(
        &self,
        request: QueryRequest,
        inputs: InputStream,
    ) -> SqlResult<BatchStream> {
        rows::query_over(&self.rows, request, inputs).await
    }

    async fn explain(&self, request: QueryRequest, analyze: bool) -> SqlResult<Vec<String>> {
        expect!(self.session.call(Request::Explain(request, analyze)).await?, Explain)
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
        self.session.connect().await?;
        rows::load(&self.rows, self.client, request, rows).await
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
