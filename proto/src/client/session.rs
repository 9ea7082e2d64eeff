//! Small requests over one long-lived socket. Whatever is queued goes out in one write, and one
//! read brings all answers that are ready: the cost of a system call and a wake-up is shared.

use std::collections::BTreeMap;
use std::future::Future;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use satsuma_common::{SqlError, SqlResult};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::{Notify, oneshot};
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use super::Caller;
use super::connection::{CONNECT_TIMEOUT, Connection, Dial, KEEPALIVE_TIMEOUT, lost};
use crate::convert::{Request, Response};
use crate::error::WireError;
use crate::frames::{Frame, Incoming, Outgoing, PREFACE_BYTES, parse_preface, preface};
use crate::pb::worker as pb;
use crate::pb::worker::call::Body;
use crate::pieces::{self, Unfinished};
use crate::worker::OUTCOME_UNKNOWN;

/// How often the worker is asked whether it is there. It lets go of a coordinator that says
/// nothing for three times as long.
const PING_INTERVAL: Duration = Duration::from_secs(1);
/// How long to read on where nothing can be sent any more.
const LAST_WORDS: Duration = Duration::from_secs(1);
/// Callers wait while so many bytes are queued.
const QUEUE_BYTES: usize = 4 << 20;

pub(super) struct Session {
    connection: Connection<Socket>,
    /// The socket that calls join without waiting.
    present: Mutex<Option<Arc<Owned>>>,
}

/// The way to a worker's port.
struct Socket {
    address: String,
    caller: Caller,
}

impl Dial for Socket {
    type Channel = Arc<Owned>;

    fn dial(&self) -> impl Future<Output = Result<Arc<Owned>, String>> + Send + 'static {
        let (address, caller) = (self.address.clone(), self.caller);
        async move {
            let opened = tokio::time::timeout(CONNECT_TIMEOUT, open(&address, caller)).await;
            let socket = opened.map_err(|_| "connection timed out".to_string())??;
            let live = Arc::new(Live::default());
            let driven = Owned { live: live.clone(), address: address.clone() };
            tokio::spawn(async move {
                let ended = driven.live.drive(socket).await;
                // First: who learns of the end asks whether it was silence.
                if let Ended::Silent = ended {
                    driven.live.silent.cancel();
                }
                driven.live.end(lost(&driven.address, &ended));
            });
            Ok(Arc::new(Owned { live, address }))
        }
    }
}

/// A socket whose other end has answered: a process that dies may still accept connections, and
/// what is sent there need not be asked about.
async fn open(address: &str, caller: Caller) -> Result<TcpStream, String> {
    let exchanged = async {
        let mut socket = TcpStream::connect(address).await?;
        socket.set_nodelay(true)?;
        socket.write_all(&preface(caller.client, caller.node)).await?;
        let mut answer = [0; PREFACE_BYTES];
        socket.read_exact(&mut answer).await?;
        Ok::<_, io::Error>((socket, answer))
    };
    let (socket, answer) = exchanged.await.map_err(|error| error.to_string())?;
    match (parse_preface(&answer), caller.node) {
        (Ok((client, own)), Some(meant)) if client == caller.client && own != Some(meant) => {
            Err(format!("another worker answers at the address of node {}", meant.0))
        }
        (Ok((client, _)), _) if client == caller.client => Ok(socket),
        _ => Err("the other end is no worker".into()),
    }
}

/// Why a session is over.
#[derive(Debug, thiserror::Error)]
enum Ended {
    #[error("{0}")]
    Broken(String),
    /// The worker hangs, or the network swallows what is sent.
    #[error("keep-alive timed out")]
    Silent,
}

/// A session that ends when nobody holds this any more, or when its driver is gone.
struct Owned {
    live: Arc<Live>,
    address: String,
}

impl Drop for Owned {
    fn drop(&mut self) {
        self.live.end(lost(&self.address, "closed"));
    }
}

/// A session while its socket lasts.
#[derive(Default)]
struct Live {
    state: Mutex<State>,
    /// Something is queued, or the session ended.
    queued: Notify,
    /// The queue is short again.
    room: Notify,
    /// It ended because the worker said nothing any more.
    silent: CancellationToken,
}

#[derive(Default)]
struct State {
    last_id: u64,
    answers: BTreeMap<u64, oneshot::Sender<SqlResult<Response>>>,
    queue: Outgoing,
    /// Why the session ended; no call may join any more.
    ended: Option<SqlError>,
}

type Answer = oneshot::Receiver<SqlResult<Response>>;

/// The connection broke after a commit was sent.
fn unknown(error: &SqlError) -> SqlError {
    SqlError::new(OUTCOME_UNKNOWN, "it is unknown whether the transaction was committed")
        .detail(error.message())
        .hint("Look before trying again.")
}

impl Session {
    pub(super) fn new(address: &str, caller: Caller) -> SqlResult<Self> {
        let socket = Socket { address: address.into(), caller };
        Ok(Self { connection: Connection::by(socket, address)?, present: Mutex::new(None) })
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
        match pieces::cut(&request)? {
            None => live.send(id, Body::Request(request)).await,
            Some(pieces) => {
                for piece in pieces {
                    live.send(id, Body::Piece(piece)).await;
                }
            }
        }
        let answer = tokio::select! {
            biased;
            answer = &mut answer => answer,
            () = stop => {
                live.push(id, Body::Stop(pb::Stop {}));
                answer.await
            }
        };
        interest.open = false;
        match answer.unwrap_or_else(|_| Err(lost(self.connection.address(), "session closed"))) {
            Ok(Response::Failed(error)) => Err(error),
            Ok(response) => Ok(response),
            Err(error) if commits => Err(unknown(&error)),
            Err(error) => Err(error),
        }
    }

    /// What is asked on another connection to the same worker, while it does not hang: the
    /// session is first to notice that, and remembers it.
    pub(super) async fn while_answering<T>(
        &self,
        work: impl Future<Output = SqlResult<T>>,
    ) -> SqlResult<T> {
        let present = self.present().as_ref().map(|owned| owned.live.clone());
        let live = match present.filter(|live| live.state().ended.is_none()) {
            Some(live) => live,
            None => self.live().await?,
        };
        tokio::select! {
            biased;
            result = work => result,
            () = live.silent.cancelled() => {
                Err(lost(self.connection.address(), Ended::Silent))
            }
        }
    }

    /// A number for a call on the present socket, or on a new one, and where its answer comes.
    async fn join(&self) -> SqlResult<(Arc<Live>, u64, Answer)> {
        let present = self.present().as_ref().map(|owned| owned.live.clone());
        if let Some(live) = present
            && let Ok((id, answer)) = live.register()
        {
            return Ok((live, id, answer));
        }
        let live = self.live().await?;
        let (id, answer) = live.register()?;
        Ok((live, id, answer))
    }

    fn present(&self) -> MutexGuard<'_, Option<Arc<Owned>>> {
        self.present.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The present session, or a new one.
    async fn live(&self) -> SqlResult<Arc<Live>> {
        let mut link = self.connection.link().await?;
        if link.channel.live.state().ended.is_some() {
            match link.channel.live.silent.is_cancelled() {
                true => self.connection.fell_silent(&link, Ended::Silent.to_string()).await,
                false => self.connection.failed(&link).await,
            }
            link = self.connection.link().await?;
        }
        let live = link.channel.live.clone();
        *self.present() = Some(link.channel);
        Ok(live)
    }
}

impl Live {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn register(&self) -> SqlResult<(u64, Answer)> {
        let (sender, answer) = oneshot::channel();
        let mut state = self.state();
        if let Some(error) = &state.ended {
            return Err(error.clone());
        }
        state.last_id += 1;
        let id = state.last_id;
        state.answers.insert(id, sender);
        Ok((id, answer))
    }

    /// Queues a part of a call. After the session's end it would stay for ever.
    fn push(&self, id: u64, body: Body) {
        {
            let mut state = self.state();
            if state.ended.is_some() {
                return;
            }
            state.queue.push(&pb::Call { id, body: Some(body) });
        }
        self.queued.notify_one();
    }

    /// The same when there is room. The answer tells of the session's end.
    async fn send(&self, id: u64, body: Body) {
        loop {
            // Before the look at the queue, so that no word of room is missed.
            let room = self.room.notified();
            {
                let state = self.state();
                if state.ended.is_some() {
                    return;
                }
                if state.queue.len() < QUEUE_BYTES {
                    break;
                }
            }
            room.await;
        }
        self.push(id, body);
    }

    fn resolve(&self, id: u64, response: SqlResult<Response>) {
        let answer = self.state().answers.remove(&id);
        // A caller that is gone is no error.
        if let Some(answer) = answer {
            let _ = answer.send(response);
        }
    }

    fn end(&self, error: SqlError) {
        let answers = {
            let mut state = self.state();
            state.ended.get_or_insert_with(|| error.clone());
            state.queue = Outgoing::default();
            std::mem::take(&mut state.answers)
        };
        self.queued.notify_one();
        self.room.notify_waiters();
        for answer in answers.into_values() {
            let _ = answer.send(Err(error.clone()));
        }
    }

    /// Takes what is queued, if nothing else is on its way.
    fn take_queue(&self, outgoing: &mut Outgoing) {
        if outgoing.is_empty() {
            std::mem::swap(outgoing, &mut self.state().queue);
            self.room.notify_waiters();
        }
    }

    /// Sends and receives until the socket breaks, or the session is ended. Gives the reason.
    async fn drive(&self, mut socket: TcpStream) -> Ended {
        let broken = |reason: &dyn std::fmt::Display| Ended::Broken(reason.to_string());
        let (mut read, mut write) = socket.split();
        let (mut incoming, mut outgoing) = (Incoming::default(), Outgoing::default());
        let mut unfinished = Unfinished::default();
        let mut pings = tokio::time::interval(PING_INTERVAL);
        pings.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut heard = Instant::now();
        loop {
            tokio::select! {
                biased;
                sent = outgoing.send(&mut write), if !outgoing.is_empty() => {
                    if let Err(error) = sent {
                        // What the worker answered before it went may be here.
                        let rest = async {
                            while let Ok(true) = incoming.fill(&mut read).await {
                                if self.take_answers(&mut incoming, &mut unfinished).is_err() {
                                    break;
                                }
                            }
                        };
                        let _ = tokio::time::timeout(LAST_WORDS, rest).await;
                        return broken(&error);
                    }
                    self.take_queue(&mut outgoing);
                }
                filled = incoming.fill(&mut read) => {
                    match filled {
                        Ok(true) => heard = Instant::now(),
                        Ok(false) => return broken(&"the worker closed the connection"),
                        Err(error) => return broken(&error),
                    }
                    if let Err(error) = self.take_answers(&mut incoming, &mut unfinished) {
                        return broken(&error);
                    }
                }
                () = self.queued.notified() => {
                    if self.state().ended.is_some() {
                        return broken(&"closed");
                    }
                    // Let callers that are ready to run queue theirs too.
                    tokio::task::yield_now().await;
                    self.take_queue(&mut outgoing);
                }
                _ = pings.tick() => {
                    if heard.elapsed() > KEEPALIVE_TIMEOUT {
                        return Ended::Silent;
                    }
                    self.state().queue.push_ping();
                    self.queued.notify_one();
                }
            }
        }
    }

    fn take_answers(
        &self,
        incoming: &mut Incoming,
        unfinished: &mut Unfinished,
    ) -> Result<(), WireError> {
        while let Some(frame) = incoming.next::<pb::Answer>()? {
            if let Frame::Message(answer) = frame
                && let Some(response) = whole(unfinished, answer.id, answer.body)
            {
                self.resolve(answer.id, response.map_err(SqlError::from));
            }
        }
        Ok(())
    }
}

struct Interest<'a> {
    live: &'a Live,
    id: u64,
    open: bool,
}

impl Drop for Interest<'_> {
    fn drop(&mut self) {
        if self.open && self.live.state().answers.remove(&self.id).is_some() {
            self.live.push(self.id, Body::Stop(pb::Stop {}));
        }
    }
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
