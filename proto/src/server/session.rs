//! The worker's end of a session stream: all calls of a message are started inline, without a
//! task each, and the answers that are ready go back as one message.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use futures::future::{AbortHandle, Abortable};
use futures::stream::FuturesUnordered;
use futures::{FutureExt, Stream, StreamExt};
use satsuma_common::{SqlError, SqlState};
use tokio_util::sync::CancellationToken;
use tonic::{Status, Streaming};

use super::clients::Presence;
use crate::convert::{Request, Response};
use crate::error::WireError;
use crate::pb::worker as pb;
use crate::pieces::{self, Unfinished};
use crate::worker::Worker;

/// Calls under way. More are answered with 53000 instead of waiting: the call that frees a lock
/// may be among them.
const MAX_RUNNING: usize = 1 << 16;
/// A message of answers is closed when it holds this much.
const MESSAGE_BYTES: usize = 1 << 20;

/// How a call that its caller gives up comes to its end.
enum Stop {
    /// It is dropped, without an answer.
    Drop(AbortHandle),
    /// It may be committing, and comes to its end by itself.
    Ask(CancellationToken),
}

type Running = Pin<Box<dyn Future<Output = (u64, Option<Response>)> + Send>>;

struct State<W: Worker> {
    worker: Arc<W>,
    presence: Arc<Presence<W>>,
    inbound: Streaming<pb::Calls>,
    /// The client has said all; answers may be outstanding.
    closed: bool,
    unfinished: Unfinished,
    running: FuturesUnordered<Running>,
    stops: BTreeMap<u64, Stop>,
    /// Encoded answers that did not fit into the last message.
    ready: std::collections::VecDeque<pb::Answer>,
}

pub(super) fn answers<W: Worker>(
    worker: Arc<W>,
    presence: Presence<W>,
    inbound: Streaming<pb::Calls>,
) -> impl Stream<Item = Result<pb::Answers, Status>> {
    let state = State {
        worker,
        presence: Arc::new(presence),
        inbound,
        closed: false,
        unfinished: Unfinished::default(),
        running: FuturesUnordered::new(),
        stops: BTreeMap::new(),
        ready: std::collections::VecDeque::new(),
    };
    futures::stream::unfold(state, |mut state| async move {
        let message = state.next().await?;
        Some((Ok(message), state))
    })
}

impl<W: Worker> State<W> {
    /// The next message of answers; `None` when the client is gone and all is answered.
    async fn next(&mut self) -> Option<pb::Answers> {
        while self.ready.is_empty() {
            tokio::select! {
                biased;
                Some((id, response)) = self.running.next(), if !self.running.is_empty() => {
                    self.done(id, response);
                }
                message = self.inbound.message(), if !self.closed => match message {
                    Ok(Some(calls)) => self.accept(calls),
                    Ok(None) => self.closed = true,
                    // The connection broke: nobody will read an answer.
                    Err(_) => return None,
                },
                else => return None,
            }
            // Start what was accepted, and take along whatever is done already.
            while let Some(Some((id, response))) = self.running.next().now_or_never() {
                self.done(id, response);
            }
        }
        Some(self.message())
    }

    fn accept(&mut self, calls: pb::Calls) {
        for call in calls.calls {
            match self.request(call.id, call.body) {
                None => {}
                Some(Ok(request)) => self.start(call.id, request),
                Some(Err(error)) => self.answer(call.id, Response::Failed(error.into())),
            }
        }
        for id in calls.dropped {
            self.unfinished.forget(id);
            match self.stops.remove(&id) {
                Some(Stop::Drop(handle)) => handle.abort(),
                Some(Stop::Ask(stop)) => stop.cancel(),
                None => {}
            }
        }
    }

    fn request(
        &mut self,
        id: u64,
        body: Option<pb::call::Body>,
    ) -> Option<Result<Request, WireError>> {
        let request = match body {
            None => Err(WireError::Missing("request")),
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
        let response = pb::Response::from(response);
        let pieces = pieces::cut(&response).unwrap_or_else(|error| {
            self.ready.push_back(failed(id, error.into()));
            Some(Vec::new())
        });
        match pieces {
            None => self
                .ready
                .push_back(pb::Answer { id, body: Some(pb::answer::Body::Response(response)) }),
            Some(pieces) => self.ready.extend(
                pieces
                    .into_iter()
                    .map(|piece| pb::Answer { id, body: Some(pb::answer::Body::Piece(piece)) }),
            ),
        }
    }

    fn message(&mut self) -> pb::Answers {
        use prost::Message;
        let mut answers = Vec::new();
        let mut bytes = 0;
        while bytes < MESSAGE_BYTES
            && let Some(answer) = self.ready.pop_front()
        {
            bytes += answer.encoded_len();
            answers.push(answer);
        }
        pb::Answers { answers }
    }
}

fn failed(id: u64, error: SqlError) -> pb::Answer {
    let response = pb::Response::from(Response::Failed(error));
    pb::Answer { id, body: Some(pb::answer::Body::Response(response)) }
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
        Request::Explain(query, analyze) => {
            Response::Explain(worker.explain(query, analyze).await?)
        }
        Request::Join(membership) => Response::Joined(worker.join(membership).await?),
        Request::Copy(request) => Response::Copied(worker.copy(request).await?),
        Request::Locks(rows) => Response::Locks(worker.locks(rows).await?),
        Request::CancelWait(victim, detail) => {
            Response::Cancelled(worker.cancel_wait(victim, detail).await?)
        }
        Request::Advisory(request) => Response::Advisory(worker.advisory(request).await?),
    })
}
