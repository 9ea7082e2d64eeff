//! The worker's end of a session: all calls that one read brings are started inline, without a
//! task each, and the answers that are ready go back in one write.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Instant;

use futures::future::{AbortHandle, Abortable};
use futures::stream::FuturesUnordered;
use futures::{FutureExt, StreamExt};
use satsuma_common::{NodeId, SqlError, SqlState};
use tokio::net::TcpStream;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use super::clients::Presence;
use super::{KEEPALIVE_INTERVAL, KEEPALIVE_TIMEOUT};
use crate::convert::{Request, Response};
use crate::error::WireError;
use crate::frames::{Frame, Incoming, Outgoing};
use crate::pb::worker as pb;
use crate::pieces::{self, Unfinished};
use crate::worker::Worker;

/// Calls under way. More are answered with 53000 instead of waiting: the call that frees a lock
/// may be among them.
const MAX_RUNNING: usize = 1 << 16;
/// No more calls are read while so many bytes of answers wait.
const MAX_OUTGOING_BYTES: usize = 4 << 20;

/// How a call that its caller gives up comes to its end.
enum Stop {
    /// It is dropped, without an answer.
    Drop(AbortHandle),
    /// It may be committing, and comes to its end by itself.
    Ask(CancellationToken),
}

/// Why a session ends before its client closes it.
#[derive(Debug, thiserror::Error)]
pub(super) enum Broken {
    #[error(transparent)]
    Socket(#[from] std::io::Error),
    #[error(transparent)]
    Message(#[from] WireError),
    #[error("the client is silent")]
    Silent,
    #[error("the client means node {}", .0.0)]
    Astray(NodeId),
}

type Running = Pin<Box<dyn Future<Output = (u64, Option<Response>)> + Send>>;

pub(super) struct Session<W: Worker> {
    worker: Arc<W>,
    presence: Arc<Presence<W>>,
    unfinished: Unfinished,
    running: FuturesUnordered<Running>,
    stops: BTreeMap<u64, Stop>,
    outgoing: Outgoing,
}

impl<W: Worker> Session<W> {
    pub(super) fn new(worker: Arc<W>, presence: Presence<W>) -> Self {
        Self {
            worker,
            presence: Arc::new(presence),
            unfinished: Unfinished::default(),
            running: FuturesUnordered::new(),
            stops: BTreeMap::new(),
            outgoing: Outgoing::default(),
        }
    }

    /// Serves until the client closes the socket, what is under way then being dropped; or until
    /// `stop`, when it is finished first.
    pub(super) async fn serve(
        mut self,
        mut socket: TcpStream,
        stop: CancellationToken,
    ) -> Result<(), Broken> {
        let (mut read, mut write) = socket.split();
        let mut incoming = Incoming::default();
        let mut watch = tokio::time::interval(KEEPALIVE_INTERVAL);
        watch.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (mut heard, mut stopping) = (Instant::now(), false);
        while !(stopping && self.running.is_empty() && self.outgoing.is_empty()) {
            tokio::select! {
                biased;
                sent = self.outgoing.send(&mut write), if !self.outgoing.is_empty() => {
                    sent?;
                    heard = Instant::now();
                }
                Some((id, response)) = self.running.next(), if !self.running.is_empty() => {
                    self.done(id, response);
                }
                filled = incoming.fill(&mut read),
                    if !stopping && self.outgoing.len() < MAX_OUTGOING_BYTES =>
                {
                    if !filled? {
                        return Ok(());
                    }
                    heard = Instant::now();
                    while let Some(frame) = incoming.next()? {
                        self.accept(frame);
                    }
                }
                _ = watch.tick() => {
                    if heard.elapsed() > KEEPALIVE_INTERVAL + KEEPALIVE_TIMEOUT {
                        return Err(Broken::Silent);
                    }
                }
                () = stop.cancelled(), if !stopping => stopping = true,
            }
            // Start what was accepted, and take along whatever is done already.
            while let Some(Some((id, response))) = self.running.next().now_or_never() {
                self.done(id, response);
            }
        }
        Ok(())
    }

    fn accept(&mut self, frame: Frame<pb::Call>) {
        let call = match frame {
            Frame::Ping => return self.outgoing.push_ping(),
            Frame::Message(call) => call,
        };
        if let Some(pb::call::Body::Stop(_)) = call.body {
            return self.stop(call.id);
        }
        match self.request(call.id, call.body) {
            None => {}
            Some(Ok(request)) => self.start(call.id, request),
            Some(Err(error)) => self.answer(call.id, Response::Failed(error.into())),
        }
    }

    fn stop(&mut self, id: u64) {
        self.unfinished.forget(id);
        match self.stops.remove(&id) {
            Some(Stop::Drop(handle)) => handle.abort(),
            Some(Stop::Ask(stop)) => stop.cancel(),
            None => {}
        }
    }

    fn request(
        &mut self,
        id: u64,
        body: Option<pb::call::Body>,
    ) -> Option<Result<Request, WireError>> {
        let request = match body {
            None | Some(pb::call::Body::Stop(_)) => Err(WireError::Missing("request")),
            Some(pb::call::Body::Request(request)) => Ok(request),
            Some(pb::call::Body::Piece(piece)) => self.unfinished.add(id, piece).transpose()?,
        };
        Some(request.and_then(Request::try_from))
    }

    fn start(&mut self, id: u64, request: Request) {
        if self.running.len() >= MAX_RUNNING {
            let error = SqlError::new(
                SqlState::INSUFFICIENT_RESOURCES,
                "too many requests are waiting at this worker",
            );
            return self.answer(id, Response::Failed(error));
        }
        self.presence.before(&request);
        let finishes = Presence::<W>::finishes(&request);
        let stop = CancellationToken::new();
        let asked = matches!(request, Request::Modify(_));
        let (worker, presence, stopped) =
            (self.worker.clone(), self.presence.clone(), stop.clone());
        let work = async move {
            let result = carry_out(&*worker, request, stopped).await;
            if let (Some(txn), Ok(_)) = (finishes, &result) {
                presence.finished(txn);
            }
            result.unwrap_or_else(Response::Failed)
        };
        let (handle, registration) = AbortHandle::new_pair();
        let stop = if asked { Stop::Ask(stop) } else { Stop::Drop(handle) };
        self.stops.insert(id, stop);
        let work = Abortable::new(work, registration);
        self.running.push(Box::pin(async move { (id, work.await.ok()) }));
    }

    fn done(&mut self, id: u64, response: Option<Response>) {
        self.stops.remove(&id);
        if let Some(response) = response {
            self.answer(id, response);
        }
    }

    fn answer(&mut self, id: u64, response: Response) {
        use pb::answer::Body;
        let response = pb::Response::from(response);
        let mut push = |body| self.outgoing.push(&pb::Answer { id, body: Some(body) });
        match pieces::cut(&response) {
            Ok(None) => push(Body::Response(response)),
            Ok(Some(pieces)) => pieces.into_iter().map(Body::Piece).for_each(push),
            Err(error) => push(Body::Response(Response::Failed(error.into()).into())),
        }
    }
}

async fn carry_out<W: Worker>(
    worker: &W,
    request: Request,
    stop: CancellationToken,
) -> Result<Response, SqlError> {
    Ok(match request {
        Request::Modify(request) => Response::Modify(worker.modify_unless(request, stop).await?),
        Request::ReadKey(request) => Response::ReadKey(worker.read_key(request).await?),
        Request::Lock(request) => Response::Locked(worker.lock(request).await?),
        Request::Transact(txn, action) => Response::Transact(worker.transact(txn, action).await?),
        Request::Shards(action) => Response::Shards(worker.shards(action).await?),
        Request::Status => Response::Status(worker.status().await?),
        Request::Explain(query, style) => Response::Explain(worker.explain(query, style).await?),
        Request::Join(membership) => Response::Joined(worker.join(membership).await?),
        Request::Copy(request) => Response::Copied(worker.copy(request).await?),
        Request::Locks(rows) => Response::Locks(worker.locks(rows).await?),
        Request::CancelWait(victim, detail) => {
            Response::Cancelled(worker.cancel_wait(victim, detail).await?)
        }
        Request::Advisory(request) => Response::Advisory(worker.advisory(request).await?),
    })
}
