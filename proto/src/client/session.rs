//! Small requests over one long-lived stream. Whatever is queued goes out as one message, and
//! one message brings all answers that are ready: the cost of a frame and a wake-up is shared.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use satsuma_common::{SqlError, SqlResult};
use tokio::sync::{mpsc, oneshot};
use tokio::task::AbortHandle;

use super::Caller;
use super::connection::{Connection, Link, lost, status_text};
use crate::convert::{Request, Response};
use crate::error::WireError;
use crate::pb::worker as pb;
use crate::pb::worker::worker_client::WorkerClient;
use crate::pieces::{self, Unfinished};
use crate::server::SESSION_MESSAGE_BYTES;
use crate::worker::OUTCOME_UNKNOWN;

/// Calls waiting to be sent. Callers wait for a place.
const QUEUE: usize = 4096;
/// A message is closed when it holds this much.
const MESSAGE_BYTES: usize = 1 << 20;
const MESSAGE_CALLS: usize = 256;

pub(super) struct Session {
    connection: Connection,
    caller: Caller,
    /// The stream that calls join without waiting.
    present: Mutex<Option<Arc<Live>>>,
    /// Held while a stream is made.
    stream: tokio::sync::Mutex<Option<Stream>>,
}

/// The stream, and the task that reads it.
struct Stream {
    live: Arc<Live>,
    reader: AbortHandle,
}

/// A session stream while it lasts.
struct Live {
    queue: mpsc::Sender<Outgoing>,
    waiting: Mutex<Waiting>,
}

struct Waiting {
    next_id: u64,
    answers: BTreeMap<u64, oneshot::Sender<SqlResult<Response>>>,
    /// Calls whose callers went away, to be told to the worker.
    dropped: Vec<u64>,
    /// Why the stream ended; no call may join any more.
    ended: Option<SqlError>,
}

type Answer = oneshot::Receiver<SqlResult<Response>>;

/// What the next message takes along; nothing here: something is in `dropped`.
#[derive(Default)]
struct Outgoing {
    call: Option<pb::Call>,
    /// The worker shall stop this call, and answer.
    stop: Option<u64>,
}

/// The connection broke after a commit was sent.
fn unknown(error: &SqlError) -> SqlError {
    SqlError::new(OUTCOME_UNKNOWN, "it is unknown whether the transaction was committed")
        .detail(error.message())
        .hint("Look before trying again.")
}

impl Session {
    pub(super) fn new(connection: Connection, caller: Caller) -> Self {
        let stream = tokio::sync::Mutex::new(None);
        Self { connection, caller, present: Mutex::new(None), stream }
    }

    pub(super) async fn call(&self, request: Request) -> SqlResult<Response> {
        self.call_unless(request, std::future::pending()).await
    }

    /// Asks the worker to stop when `stop` is done; the answer is waited for all the same.
    pub(super) async fn call_unless(
        &self,
        request: Request,
        stop: impl Future<Output = ()>,
    ) -> SqlResult<Response> {
        let commits = request.commits();
        let request = pb::Request::try_from(request)?;
        let (live, id, mut answer) = self.join().await?;
        // Tells the worker when this future is dropped before the answer.
        let mut interest = Interest { live: &live, id, open: true };
        let bodies = match pieces::cut(&request)? {
            None => vec![pb::call::Body::Request(request)],
            Some(pieces) => pieces.into_iter().map(pb::call::Body::Piece).collect(),
        };
        for body in bodies {
            let call = pb::Call { id, body: Some(body) };
            if live.queue.send(Outgoing { call: Some(call), stop: None }).await.is_err() {
                break; // The stream ended: the answer tells why.
            }
        }
        let answer = tokio::select! {
            biased;
            answer = &mut answer => answer,
            () = stop => {
                // Behind the call, which may still be queued.
                let _ = live.queue.send(Outgoing { stop: Some(id), call: None }).await;
                answer.await
            }
        };
        interest.open = false;
        match answer.unwrap_or_else(|_| Err(lost(self.connection.address(), "stream closed"))) {
            Ok(Response::Failed(error)) => Err(error),
            Ok(response) => Ok(response),
            Err(error) if commits => Err(unknown(&error)),
            Err(error) => Err(error),
        }
    }

    /// Makes sure that there is a stream.
    pub(super) async fn connect(&self) -> SqlResult<()> {
        self.live().await.map(drop)
    }

    /// A number for a call on the present stream, or on a new one, and where its answer comes.
    async fn join(&self) -> SqlResult<(Arc<Live>, u64, Answer)> {
        let present = self.present.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(live) = present
            && let Ok((id, answer)) = live.register()
        {
            return Ok((live, id, answer));
        }
        let live = self.live().await?;
        let (id, answer) = live.register()?;
        Ok((live, id, answer))
    }

    /// The present stream, or a new one.
    async fn live(&self) -> SqlResult<Arc<Live>> {
        let mut slot = self.stream.lock().await;
        if let Some(stream) = &*slot
            && stream.live.waiting().ended.is_none()
        {
            return Ok(stream.live.clone());
        }
        let link = self.connection.link().await?;
        let (queue, outgoing) = mpsc::channel(QUEUE);
        let waiting =
            Waiting { next_id: 1, answers: BTreeMap::new(), dropped: Vec::new(), ended: None };
        let live = Arc::new(Live { queue, waiting: Mutex::new(waiting) });
        let request = self.caller.request(messages(outgoing, Arc::downgrade(&live)));
        let mut rpc = WorkerClient::new(link.channel.clone())
            .max_decoding_message_size(SESSION_MESSAGE_BYTES)
            .max_encoding_message_size(SESSION_MESSAGE_BYTES);
        let answers = match rpc.session(request).await {
            Ok(response) => response.into_inner(),
            Err(status) => return Err(self.connection.explain_failure(&link, status).await),
        };
        let reader = read_answers(self.connection.clone(), link, live.clone(), answers);
        let reader = self.connection.runtime().spawn(reader).abort_handle();
        *slot = Some(Stream { live: live.clone(), reader });
        *self.present.lock().unwrap_or_else(PoisonError::into_inner) = Some(live.clone());
        Ok(live)
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        if let Some(stream) = self.stream.get_mut().take() {
            stream.reader.abort();
            stream.live.end(lost(self.connection.address(), "closed"));
        }
    }
}

impl Live {
    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn register(&self) -> SqlResult<(u64, Answer)> {
        let (sender, answer) = oneshot::channel();
        let mut waiting = self.waiting();
        if let Some(error) = &waiting.ended {
            return Err(error.clone());
        }
        let id = waiting.next_id;
        waiting.next_id += 1;
        waiting.answers.insert(id, sender);
        Ok((id, answer))
    }

    fn resolve(&self, id: u64, response: SqlResult<Response>) {
        // A caller that is gone is no error.
        if let Some(answer) = self.waiting().answers.remove(&id) {
            let _ = answer.send(response);
        }
    }

    fn end(&self, error: SqlError) {
        let answers = {
            let mut waiting = self.waiting();
            waiting.ended.get_or_insert_with(|| error.clone());
            std::mem::take(&mut waiting.answers)
        };
        for answer in answers.into_values() {
            let _ = answer.send(Err(error.clone()));
        }
    }
}

struct Interest<'a> {
    live: &'a Live,
    id: u64,
    open: bool,
}

impl Drop for Interest<'_> {
    fn drop(&mut self) {
        if !self.open {
            return;
        }
        let mut waiting = self.live.waiting();
        if waiting.answers.remove(&self.id).is_some() {
            waiting.dropped.push(self.id);
            drop(waiting);
            // A full queue means that a message is about to go anyway.
            let _ = self.live.queue.try_send(Outgoing::default());
        }
    }
}

/// Messages made of what is queued, when the connection is ready to take one.
fn messages(
    queue: mpsc::Receiver<Outgoing>,
    live: std::sync::Weak<Live>,
) -> impl futures::Stream<Item = pb::Calls> {
    use prost::Message;
    futures::stream::unfold((queue, live), |(mut queue, live)| async move {
        let mut message = pb::Calls::default();
        let mut bytes = 0;
        let mut next = queue.recv().await?;
        // Let callers that are ready to run queue theirs too.
        tokio::task::yield_now().await;
        loop {
            message.dropped.extend(next.stop);
            if let Some(call) = next.call {
                bytes += call.encoded_len();
                message.calls.push(call);
            }
            if bytes >= MESSAGE_BYTES || message.calls.len() >= MESSAGE_CALLS {
                break;
            }
            match queue.try_recv() {
                Ok(item) => next = item,
                Err(_) => break,
            }
        }
        let strong = live.upgrade()?;
        message.dropped.append(&mut strong.waiting().dropped);
        drop(strong);
        Some((message, (queue, live)))
    })
}

async fn read_answers(
    connection: Connection,
    link: Link,
    live: Arc<Live>,
    mut answers: tonic::Streaming<pb::Answers>,
) {
    let mut unfinished = Unfinished::default();
    let reason = loop {
        let message = match answers.message().await {
            Ok(Some(message)) => message,
            Ok(None) => break "the worker closed the connection".into(),
            Err(status) => break status_text(&status),
        };
        for answer in message.answers {
            if let Some(response) = whole(&mut unfinished, answer.id, answer.body) {
                live.resolve(answer.id, response.map_err(SqlError::from));
            }
        }
    };
    connection.failed(&link).await;
    live.end(lost(connection.address(), reason));
}

fn whole(
    unfinished: &mut Unfinished,
    id: u64,
    body: Option<pb::answer::Body>,
) -> Option<Result<Response, WireError>> {
    let response = match body {
        None => Err(WireError::Missing("response")),
        Some(pb::answer::Body::Response(response)) => Ok(response),
        Some(pb::answer::Body::Piece(piece)) => unfinished.add(id, piece).transpose()?,
    };
    Some(response.and_then(Response::try_from))
}
