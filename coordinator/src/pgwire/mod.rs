//! The PostgreSQL front end: protocol 3.0 to 3.2 over TCP and TLS.
//!
//! ```text
//! listener -> task per client
//!   startup     encryption, who are you, SCRAM            startup.rs, crate::auth
//!   connection  one message at a time                     connection.rs
//!     simple.rs  extended.rs (+ portal.rs, params.rs)  copy_flow.rs
//!     running.rs: a statement while client, clock and cancel requests are watched
//!   wire        socket, input and output buffers          wire.rs
//! ```
//!
//! Message layouts and SCRAM are the `pgwire` crate's. Its server loop is not used: it flushes
//! after every message, cannot cancel a result that streams, and does not notice a client that
//! leaves; its decoders trust the counts inside a message.
//!
//! A panic in a session is caught here: that client gets XX000 and is disconnected.

mod backend;
mod connection;
mod copy_flow;
mod extended;
mod frontend;
mod newcomers;
mod params;
mod portal;
mod registry;
mod rows;
mod running;
mod simple;
mod startup;
#[cfg(test)]
mod tests;
mod wire;

use std::net::SocketAddr;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use futures::FutureExt;
use pgwire::messages::startup::Authentication;
use satsuma_common::{SqlError, SqlState};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::auth::Authenticator;
use crate::client_stream::ClientStream;
use crate::session_api::{Session, SessionFactory};
use crate::tls::Identity;
use connection::{Connection, Failure};
use newcomers::{Newcomer, Newcomers};
pub use registry::{Registration, Registry};
use startup::{Hello, StartupError};
use wire::Wire;

/// PostgreSQL's `authentication_timeout`.
const AUTHENTICATION_TIMEOUT: Duration = Duration::from_secs(60);
/// How long running sessions may take to end when the server stops.
const SHUTDOWN_GRACE: Duration = Duration::from_secs(5);
/// Connections that have not reached a session yet may be this many more than sessions: all of
/// these may come at once.
const SPARE_CONNECTIONS: usize = 64;

/// What every connection shares.
pub struct Server {
    pub factory: Arc<dyn SessionFactory>,
    pub authenticator: Arc<Authenticator>,
    pub tls: Option<Identity>,
    pub registry: Registry,
    /// One permit per session: shared with other front ends.
    pub sessions: Arc<Semaphore>,
    /// Cancelled once sessions can be served; whoever comes before is told to come again.
    pub started: CancellationToken,
    pub shutdown: CancellationToken,
}

/// Serves until the shutdown token is cancelled and every session has ended.
pub async fn serve(server: Arc<Server>, listener: TcpListener) {
    let tasks = TaskTracker::new();
    let newcomers = Newcomers::new(server.sessions.available_permits() + SPARE_CONNECTIONS);
    loop {
        let accepted = tokio::select! {
            () = server.shutdown.cancelled() => break,
            accepted = listener.accept() => accepted,
        };
        let (socket, address) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                // Out of file descriptors, most likely: let sessions end.
                tracing::warn!(%error, "could not accept a connection");
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            }
        };
        let (server, newcomer) = (server.clone(), newcomers.enter());
        tasks.spawn(async move { serve_client(&server, socket, address, newcomer).await });
    }
    drop(listener);
    tasks.close();
    if tokio::time::timeout(SHUTDOWN_GRACE, tasks.wait()).await.is_err() {
        tracing::warn!(sessions = tasks.len(), "sessions did not end in time");
    }
}

async fn serve_client(server: &Server, socket: TcpStream, address: SocketAddr, newcomer: Newcomer) {
    if let Err(error) = tune(&socket) {
        tracing::debug!(%error, "socket options not set");
    }
    let server_addr = socket.local_addr().ok();
    let wire = Wire::new(ClientStream::Plain(socket), BytesMut::new());
    let received = tokio::select! {
        biased;
        () = newcomer.sent_away() => {
            tracing::warn!(%address, "connection closed: it said nothing, and others wait");
            return;
        }
        received = startup::receive(server, wire, Some(address)) => received,
    };
    let (mut wire, hello) = match received {
        Ok(received) => received,
        Err(error) => {
            tracing::debug!(%address, %error, "no session");
            return;
        }
    };
    newcomer.has_spoken();
    let hello = hello.map(|mut hello| {
        hello.info.server_addr = server_addr;
        hello
    });
    let session = client_session(server, &mut wire, hello, newcomer);
    let session = AssertUnwindSafe(session).catch_unwind();
    let farewell =
        match session.await {
            Ok(Ok(())) => None,
            Ok(Err(Failure::Statement(error) | Failure::Fatal(error))) => Some(error),
            Ok(Err(Failure::Wire(error))) => {
                tracing::debug!(%address, %error, "client gone");
                None
            }
            Err(_) => {
                tracing::error!(%address, "session panicked");
                Some(SqlError::internal("the session failed unexpectedly").detail(
                    "This is a bug. The connection is closed; its transaction is rolled back.",
                ))
            }
        };
    if let Some(error) = farewell {
        backend::put_fatal(&mut wire.output, &error);
    }
    // A client that does not read must not keep the task.
    let _ = tokio::time::timeout(SHUTDOWN_GRACE, wire.shutdown()).await;
}

/// Authentication, the session, and its end.
async fn client_session(
    server: &Server,
    wire: &mut Wire<ClientStream>,
    hello: Result<Hello, StartupError>,
    newcomer: Newcomer,
) -> Result<(), Failure> {
    let Hello { mut info, minor } = match hello {
        Ok(hello) => hello,
        Err(error) => return refused(error),
    };
    if !server.started.is_cancelled() {
        let message = "the database system is starting up";
        return Err(Failure::Fatal(SqlError::new(SqlState::CANNOT_CONNECT_NOW, message)));
    }
    let authentication =
        tokio::time::timeout(AUTHENTICATION_TIMEOUT, startup::authenticate(server, wire, &info));
    let authenticated = tokio::select! {
        biased;
        () = newcomer.sent_away() => return Err(Failure::Fatal(too_many_clients())),
        authenticated = authentication => authenticated,
    };
    match authenticated {
        Ok(Ok(())) => {}
        Ok(Err(error)) => return refused(error),
        Err(_) => {
            return Err(Failure::Fatal(SqlError::new(
                SqlState::QUERY_CANCELED,
                "canceling authentication due to timeout",
            )));
        }
    }
    drop(newcomer);
    let Ok(_permit) = server.sessions.try_acquire() else {
        return Err(Failure::Fatal(too_many_clients()));
    };
    let registration = server.registry.register();
    info.process_id = registration.id;
    let ended = server.shutdown.child_token();
    info.terminate = ended.clone();
    let mut session = server.factory.connect(info).await.map_err(Failure::Fatal)?;
    backend::put_authentication(&mut wire.output, &Authentication::Ok);
    for (name, value) in session.take_parameter_changes() {
        backend::put_parameter_status(&mut wire.output, name, value);
    }
    let key = startup::welcome(&mut wire.output, registration.id, minor);
    registration.set_key(key);

    let slot = registration.slot.clone();
    let served = Connection::new(wire, session.as_mut(), slot, ended).serve().await;
    close(session).await;
    served
}

async fn close(mut session: Box<dyn Session>) {
    if tokio::time::timeout(SHUTDOWN_GRACE, session.close()).await.is_err() {
        tracing::warn!("a session did not close in time");
    }
}

fn refused(error: StartupError) -> Result<(), Failure> {
    match error {
        StartupError::Refused(error) => Err(Failure::Fatal(error)),
        StartupError::Wire(error) => Err(error.into()),
        StartupError::Finished => Ok(()),
    }
}

pub fn too_many_clients() -> SqlError {
    SqlError::new(SqlState::TOO_MANY_CONNECTIONS, "sorry, too many clients already")
}

/// Small answers leave at once, and a dead peer is noticed in minutes rather than hours.
fn tune(socket: &TcpStream) -> std::io::Result<()> {
    socket.set_nodelay(true)?;
    let keepalive = socket2::TcpKeepalive::new()
        .with_time(Duration::from_secs(60))
        .with_interval(Duration::from_secs(10));
    socket2::SockRef::from(socket).set_tcp_keepalive(&keepalive)
}
