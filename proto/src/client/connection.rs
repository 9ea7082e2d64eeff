//! One connection to a peer, made when needed and again after a failure.

use std::future::Future;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use satsuma_common::{SqlError, SqlResult, SqlState};
use tokio::runtime::Handle;
use tokio::sync::Mutex;
use tonic::transport::{Channel, Endpoint};

/// Bytes of one stream that may be on their way.
const STREAM_WINDOW: u32 = 8 << 20;
/// Bytes of all streams of a connection: streams that nobody reads must not fill it.
const CONNECTION_WINDOW: u32 = 1 << 30;
pub(super) const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How often a peer is asked whether it is there.
pub(super) const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(2);
/// A peer that does not answer for so long hangs, or cannot be reached.
pub(super) const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(4);
/// Between attempts to connect to a peer that refuses at once, so that one that is back is noticed.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_millis(200);
/// A peer that takes longer than this to refuse hangs.
const QUICK: Duration = Duration::from_millis(500);
/// Between attempts to connect to a peer that hangs.
const WATCH_PAUSE: Duration = Duration::from_millis(250);
/// A peer that hangs and that nobody asked for so long is not looked for any more.
const FORGOTTEN: Duration = Duration::from_secs(60);

/// A way to connect to a peer.
pub(crate) trait Dial: Send + Sync + 'static {
    /// What requests are sent over; its clones are the same connection.
    type Channel: Clone + Send + 'static;

    /// A new connection, or why there is none.
    fn dial(&self) -> impl Future<Output = Result<Self::Channel, String>> + Send + 'static;
}

/// HTTP/2 for gRPC.
pub(crate) struct Grpc(Endpoint);

impl Dial for Grpc {
    type Channel = Channel;

    fn dial(&self) -> impl Future<Output = Result<Channel, String>> + Send + 'static {
        let endpoint = self.0.clone();
        async move { endpoint.connect().await.map_err(|error| root_cause(&error)) }
    }
}

/// A peer by address, connected or not.
pub(crate) struct Connection<D: Dial = Grpc>(Arc<Shared<D>>);

impl<D: Dial> Clone for Connection<D> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

struct Shared<D: Dial> {
    address: String,
    dial: D,
    runtime: Handle,
    state: Mutex<State<D::Channel>>,
}

enum State<C> {
    /// `pause`: how long after `since` to refuse further attempts.
    Down {
        since: Option<Instant>,
        pause: Duration,
        reason: String,
    },
    Up {
        channel: C,
        serial: u64,
    },
    /// The peer hangs, or what is sent to it vanishes. A task of its own looks whether it is back,
    /// so that no request has to wait for that.
    Silent {
        reason: String,
        asked: Instant,
    },
}

impl<C> State<C> {
    fn down() -> Self {
        Self::Down { since: None, pause: FIRST_PAUSE, reason: String::new() }
    }

    fn silent(reason: String) -> Self {
        Self::Silent { reason, asked: Instant::now() }
    }
}

/// A channel with a number that [`Connection::failed`] takes, so that an old failure does not
/// take down a new channel.
#[derive(Clone)]
pub(crate) struct Link<C = Channel> {
    pub(crate) channel: C,
    serial: u64,
}

/// 08006 in Citus's words.
pub(crate) fn lost(address: &str, reason: impl std::fmt::Display) -> SqlError {
    SqlError::new(
        SqlState::CONNECTION_FAILURE,
        format!(
            "connection to the remote node {address} failed with the following error: {reason}"
        ),
    )
}

fn invalid(address: &str, reason: String) -> SqlError {
    SqlError::new(SqlState::INVALID_PARAMETER_VALUE, format!("invalid node address {address:?}"))
        .detail(reason)
}

impl Connection<Grpc> {
    /// `address` is `host:port`.
    pub(crate) fn new(address: &str) -> SqlResult<Self> {
        let endpoint = Endpoint::from_shared(format!("http://{address}"))
            .map_err(|error| invalid(address, error.to_string()))?
            .connect_timeout(CONNECT_TIMEOUT)
            .tcp_nodelay(true)
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .http2_keep_alive_interval(KEEPALIVE_INTERVAL)
            .keep_alive_timeout(KEEPALIVE_TIMEOUT)
            .keep_alive_while_idle(true);
        Self::by(Grpc(endpoint), address)
    }

    /// What to tell of a failed call: the worker's own error where it sent one.
    pub(crate) async fn explain_failure(&self, link: &Link, status: tonic::Status) -> SqlError {
        if let Some(error) = crate::server::error_of(&status) {
            return error;
        }
        self.failed(link).await;
        lost(self.address(), status_text(&status))
    }
}

impl<D: Dial> Connection<D> {
    /// `address` is told in errors. The connection's tasks live on the runtime of the caller.
    pub(crate) fn by(dial: D, address: &str) -> SqlResult<Self> {
        let runtime = Handle::try_current().map_err(|error| invalid(address, error.to_string()))?;
        let state = Mutex::new(State::down());
        Ok(Self(Arc::new(Shared { address: address.into(), dial, runtime, state })))
    }

    pub(crate) fn address(&self) -> &str {
        &self.0.address
    }

    /// The present channel, or a new one. A peer that refuses at once may be back: each request has
    /// an attempt that ended after it came, and waits a moment for it. Where the peer hangs, it
    /// fails at once.
    pub(crate) async fn link(&self) -> SqlResult<Link<D::Channel>> {
        let arrived = Instant::now();
        loop {
            let mut state = self.0.state.lock().await;
            let (pause, serial) = match &mut *state {
                State::Silent { reason, asked } => {
                    *asked = Instant::now();
                    return Err(lost(self.address(), reason));
                }
                State::Up { channel, serial } => {
                    return Ok(Link { channel: channel.clone(), serial: *serial });
                }
                State::Down { since: Some(since), pause, reason } if since.elapsed() < *pause => {
                    if *since >= arrived {
                        return Err(lost(self.address(), reason));
                    }
                    let until = *since + *pause;
                    drop(state);
                    tokio::time::sleep_until(until.into()).await;
                    continue;
                }
                State::Down { pause, .. } => (*pause, next_serial()),
            };
            // On the connection's own runtime: the caller's may be gone sooner.
            let started = Instant::now();
            return match self.0.runtime.spawn(self.0.dial.dial()).await {
                Ok(Ok(channel)) => {
                    *state = State::Up { channel: channel.clone(), serial };
                    Ok(Link { channel, serial })
                }
                Ok(Err(reason)) if started.elapsed() > QUICK => {
                    let failure = lost(self.address(), &reason);
                    *state = State::silent(reason);
                    self.watch();
                    Err(failure)
                }
                Ok(Err(reason)) => {
                    let failure = lost(self.address(), &reason);
                    let pause = (pause * 2).min(LONGEST_PAUSE);
                    *state = State::Down { since: Some(Instant::now()), pause, reason };
                    Err(failure)
                }
                Err(stopped) => Err(lost(self.address(), stopped)),
            };
        }
    }

    /// The link turned out to be broken: connect anew at the next request.
    pub(crate) async fn failed(&self, link: &Link<D::Channel>) {
        let mut state = self.0.state.lock().await;
        if matches!(&*state, State::Up { serial, .. } if *serial == link.serial) {
            *state = State::down();
        }
    }

    /// The peer at the other end of the link hangs.
    pub(crate) async fn fell_silent(&self, link: &Link<D::Channel>, reason: String) {
        let mut state = self.0.state.lock().await;
        if matches!(&*state, State::Up { serial, .. } if *serial == link.serial) {
            *state = State::silent(reason);
            self.watch();
        }
    }

    fn watch(&self) {
        self.0.runtime.spawn(watch(Arc::downgrade(&self.0)));
    }
}

/// Looks for a peer that hangs until it answers, or refuses.
async fn watch<D: Dial>(peer: Weak<Shared<D>>) {
    loop {
        tokio::time::sleep(WATCH_PAUSE).await;
        let Some(shared) = peer.upgrade() else { return };
        match &mut *shared.state.lock().await {
            State::Silent { asked, .. } if asked.elapsed() < FORGOTTEN => {}
            State::Down { .. } | State::Up { .. } => return,
            forgotten @ State::Silent { .. } => {
                *forgotten = State::down();
                return;
            }
        }
        let (dialled, started) = (shared.dial.dial(), Instant::now());
        drop(shared);
        let dialled = dialled.await;
        let Some(shared) = peer.upgrade() else { return };
        let mut state = shared.state.lock().await;
        let State::Silent { reason, .. } = &mut *state else { return };
        match dialled {
            Ok(channel) => {
                *state = State::Up { channel, serial: next_serial() };
                return;
            }
            Err(why) if started.elapsed() > QUICK => *reason = why,
            Err(reason) => {
                *state = State::Down { since: Some(Instant::now()), pause: FIRST_PAUSE, reason };
                return;
            }
        }
    }
}

fn status_text(status: &tonic::Status) -> String {
    if status.message().is_empty() { status.code().to_string() } else { status.message().into() }
}

fn next_serial() -> u64 {
    use std::sync::atomic::{AtomicU64, Ordering};
    static SERIAL: AtomicU64 = AtomicU64::new(1);
    SERIAL.fetch_add(1, Ordering::Relaxed)
}

/// "Connection refused" instead of "transport error".
fn root_cause(error: &(dyn std::error::Error + 'static)) -> String {
    let mut cause = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    /// A peer that refuses so many attempts, each after a while.
    struct Refusing {
        attempts: Arc<AtomicUsize>,
        refused: usize,
        after: Duration,
    }

    impl Dial for Refusing {
        type Channel = ();

        fn dial(&self) -> impl Future<Output = Result<(), String>> + Send + 'static {
            let is_up = self.attempts.fetch_add(1, Ordering::Relaxed) >= self.refused;
            let after = self.after;
            async move {
                tokio::time::sleep(after).await;
                if is_up { Ok(()) } else { Err("refused".into()) }
            }
        }
    }

    fn peer(refused: usize, after: Duration) -> (Connection<Refusing>, Arc<AtomicUsize>) {
        let attempts = Arc::new(AtomicUsize::new(0));
        let dial = Refusing { attempts: attempts.clone(), refused, after };
        (Connection::by(dial, "peer:1").unwrap(), attempts)
    }

    #[tokio::test]
    async fn a_peer_that_is_back_is_found_by_the_first_request() {
        let (connection, attempts) = peer(3, Duration::ZERO);
        for _ in 0..3 {
            assert!(connection.link().await.is_err());
        }
        assert!(connection.link().await.is_ok());
        assert_eq!(attempts.load(Ordering::Relaxed), 4);
    }

    #[tokio::test]
    async fn requests_that_come_together_share_an_attempt() {
        let (connection, attempts) = peer(100, Duration::ZERO);
        assert!(connection.link().await.is_err());
        let started = Instant::now();
        let all = (0..20).map(|_| {
            let connection = connection.clone();
            tokio::spawn(async move { connection.link().await.is_err() })
        });
        for one in all.collect::<Vec<_>>() {
            assert!(one.await.unwrap());
        }
        assert_eq!(attempts.load(Ordering::Relaxed), 2);
        assert!(started.elapsed() < Duration::from_secs(2));
    }

    /// Nor does anybody have to ask for it to be found again.
    #[tokio::test]
    async fn nobody_waits_again_for_a_peer_that_hangs() {
        let (connection, attempts) = peer(3, Duration::from_millis(600));
        assert!(connection.link().await.is_err());
        let started = Instant::now();
        while connection.link().await.is_err() {
            assert!(started.elapsed() < Duration::from_secs(20));
            let asked = Instant::now();
            drop(connection.link().await);
            assert!(asked.elapsed() < Duration::from_millis(300));
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        assert_eq!(attempts.load(Ordering::Relaxed), 4);
    }
}
