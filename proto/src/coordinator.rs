//! The coordinators as workers see them: [`Outcomes`] over gRPC, both ends.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use futures::FutureExt;
use futures::future::BoxFuture;
use satsuma_common::{NodeId, SqlError, SqlResult, SqlState, Timestamp, TxnId};
use tonic::transport::Channel;
use tonic::{Request, Response, Status};

use crate::client::{Connection, lost};
use crate::error::WireError;
use crate::pb::coordinator as pb;
use crate::pb::coordinator::coordinator_client::CoordinatorClient;
use crate::pb::coordinator::coordinator_server as generated;
use crate::server::{error_of, status_of};
use crate::worker::{Membership, Outcomes, Registration};

/// How long to wait for one coordinator's answer before the next one is asked.
const TIMEOUT: Duration = Duration::from_secs(3);
/// The same for a registration: reference tables are copied before its answer.
const REGISTER_TIMEOUT: Duration = Duration::from_secs(10);

/// Any of several coordinators: each is asked in turn until one answers.
pub struct RemoteCoordinator {
    coordinators: Vec<Connection>,
    /// Who answered last is asked first.
    first: AtomicUsize,
}

/// What a coordinator said, if it said anything.
type Said<T> = BoxFuture<'static, Result<SqlResult<T>, Status>>;

impl RemoteCoordinator {
    /// `addresses` are `host:port`. Call within a tokio runtime.
    pub fn new(addresses: &[String]) -> SqlResult<Self> {
        let coordinators = addresses.iter().map(|address| Connection::new(address));
        Ok(Self {
            coordinators: coordinators.collect::<SqlResult<_>>()?,
            first: AtomicUsize::new(0),
        })
    }

    /// The first answer. An error that a coordinator itself gave is final, unless it is that it
    /// has no leader: another one may have. An error of the way to it is not.
    async fn ask<T>(
        &self,
        patience: Duration,
        question: impl Fn(CoordinatorClient<Channel>) -> Said<T>,
    ) -> SqlResult<T> {
        let mut last = SqlError::new(SqlState::CONNECTION_FAILURE, "no coordinator is known");
        let first = self.first.load(Ordering::Relaxed);
        for turn in 0..self.coordinators.len() {
            let at = (first + turn) % self.coordinators.len();
            let connection = &self.coordinators[at];
            let link = match connection.link().await {
                Ok(link) => link,
                Err(error) => {
                    last = error;
                    continue;
                }
            };
            let client = CoordinatorClient::new(link.channel.clone());
            let answer = match tokio::time::timeout(patience, question(client)).await {
                Ok(Ok(answer)) => answer,
                Ok(Err(status)) => match error_of(&status) {
                    Some(error) => Err(error),
                    None => {
                        last = connection.explain_failure(&link, status).await;
                        continue;
                    }
                },
                Err(_) => {
                    last = lost(connection.address(), "no answer");
                    continue;
                }
            };
            match answer {
                Err(error) if error.state() == SqlState::CANNOT_CONNECT_NOW => last = error,
                answer => {
                    self.first.store(at, Ordering::Relaxed);
                    return answer;
                }
            }
        }
        Err(last)
    }

    async fn ask_outcome(&self, txn: TxnId, peek: bool) -> SqlResult<Option<Option<Timestamp>>> {
        let request = pb::OutcomeRequest { txn: Some(txn.into()), peek };
        let question = |mut client: CoordinatorClient<Channel>| -> Said<_> {
            async move { Ok(outcome(client.outcome(request).await?.into_inner())) }.boxed()
        };
        self.ask(TIMEOUT, question).await
    }
}

fn outcome(reply: pb::OutcomeReply) -> SqlResult<Option<Option<Timestamp>>> {
    match reply.result.ok_or(WireError::Missing("outcome"))? {
        pb::outcome_reply::Result::Error(error) => Err(error.into()),
        pb::outcome_reply::Result::CommittedAt(0) => Ok(Some(None)),
        pb::outcome_reply::Result::CommittedAt(at) => Ok(Some(Some(Timestamp(at)))),
        pb::outcome_reply::Result::Undecided(pb::Undecided {}) => Ok(None),
    }
}

fn moment(reply: pb::NowReply) -> SqlResult<Timestamp> {
    match reply.result.ok_or(WireError::Missing("timestamp"))? {
        pb::now_reply::Result::Error(error) => Err(error.into()),
        pb::now_reply::Result::Timestamp(now) => Ok(Timestamp(now)),
    }
}

fn membership(reply: pb::RegisterReply) -> SqlResult<Membership> {
    match reply.result.ok_or(WireError::Missing("membership"))? {
        pb::register_reply::Result::Error(error) => Err(error.into()),
        pb::register_reply::Result::Membership(membership) => Ok(membership.try_into()?),
    }
}

#[async_trait]
impl Outcomes for RemoteCoordinator {
    async fn outcome(&self, txn: TxnId) -> SqlResult<Option<Timestamp>> {
        self.ask_outcome(txn, false)
            .await?
            .ok_or_else(|| SqlError::internal("a coordinator left a transaction open"))
    }

    async fn peek_outcome(&self, txn: TxnId) -> SqlResult<Option<Option<Timestamp>>> {
        self.ask_outcome(txn, true).await
    }

    async fn now(&self) -> SqlResult<Timestamp> {
        let question = |mut client: CoordinatorClient<Channel>| -> Said<_> {
            async move { Ok(moment(client.now(pb::NowRequest {}).await?.into_inner())) }.boxed()
        };
        self.ask(TIMEOUT, question).await
    }

    async fn register(&self, worker: Registration) -> SqlResult<Membership> {
        let (cluster, node) = worker.member.map(|(cluster, node)| (cluster, node.0)).unzip();
        let request = pb::RegisterRequest {
            host: worker.host,
            port: worker.port.into(),
            directory: worker.directory,
            cluster,
            node,
        };
        let question = |mut client: CoordinatorClient<Channel>| -> Said<_> {
            let request = request.clone();
            async move { Ok(membership(client.register(request).await?.into_inner())) }.boxed()
        };
        self.ask(REGISTER_TIMEOUT, question).await
    }
}

/// Serves [`Outcomes`] to workers.
pub struct CoordinatorServer<O>(Arc<O>);

impl<O: Outcomes> CoordinatorServer<O> {
    pub fn new(outcomes: Arc<O>) -> Self {
        Self(outcomes)
    }

    /// The service to add to [`crate::server::transport`].
    pub fn into_service(self) -> generated::CoordinatorServer<Self> {
        generated::CoordinatorServer::new(self)
    }
}

fn invalid(error: WireError) -> Status {
    status_of(error.into())
}

#[tonic::async_trait]
impl<O: Outcomes> generated::Coordinator for CoordinatorServer<O> {
    async fn register(
        &self,
        request: Request<pb::RegisterRequest>,
    ) -> Result<Response<pb::RegisterReply>, Status> {
        let request = request.into_inner();
        let texts = [Some(&request.host), Some(&request.directory), request.cluster.as_ref()];
        if texts.into_iter().flatten().any(|text| text.len() > 1024) {
            return Err(invalid(WireError::OutOfRange("registration")));
        }
        let worker = Registration {
            host: request.host,
            port: u16::try_from(request.port)
                .map_err(|_| invalid(WireError::OutOfRange("port")))?,
            directory: request.directory,
            member: request.cluster.zip(request.node.map(NodeId)),
        };
        let result = match self.0.register(worker).await {
            Ok(membership) => pb::register_reply::Result::Membership(membership.into()),
            Err(error) => pb::register_reply::Result::Error(error.into()),
        };
        Ok(Response::new(pb::RegisterReply { result: Some(result) }))
    }

    async fn outcome(
        &self,
        request: Request<pb::OutcomeRequest>,
    ) -> Result<Response<pb::OutcomeReply>, Status> {
        let request = request.into_inner();
        let txn = request.txn.ok_or(invalid(WireError::Missing("transaction")))?.into();
        let outcome = if request.peek {
            self.0.peek_outcome(txn).await
        } else {
            self.0.outcome(txn).await.map(Some)
        };
        let result = match outcome {
            Ok(Some(at)) => pb::outcome_reply::Result::CommittedAt(at.map_or(0, |at| at.0)),
            Ok(None) => pb::outcome_reply::Result::Undecided(pb::Undecided {}),
            Err(error) => pb::outcome_reply::Result::Error(error.into()),
        };
        Ok(Response::new(pb::OutcomeReply { result: Some(result) }))
    }

    async fn now(&self, _: Request<pb::NowRequest>) -> Result<Response<pb::NowReply>, Status> {
        let result = match self.0.now().await {
            Ok(now) => pb::now_reply::Result::Timestamp(now.0),
            Err(error) => pb::now_reply::Result::Error(error.into()),
        };
        Ok(Response::new(pb::NowReply { result: Some(result) }))
    }
}
