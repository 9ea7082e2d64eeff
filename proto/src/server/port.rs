//! One port for sessions and gRPC, told apart by the first byte that a client sends.

use std::future::Future;
use std::io;
use std::time::Duration;

use satsuma_common::NodeId;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::session::Broken;
use crate::frames::{self, FIRST_BYTE, PREFACE_BYTES, parse_preface};

/// A client that has said nothing for so long is turned away.
const PATIENCE: Duration = Duration::from_secs(10);
/// After a failure to accept, which may be for want of file descriptors.
const PAUSE: Duration = Duration::from_millis(50);

/// Accepts until `stop`, and returns when all sessions have ended. A session is served by
/// `session`, which gets the client's number; the sockets of others go to `grpc`. `own` is the node
/// that this is, as far as it knows.
pub(super) async fn accept<F>(
    listener: TcpListener,
    grpc: mpsc::Sender<TcpStream>,
    stop: CancellationToken,
    own: impl Fn() -> Option<NodeId> + Clone + Send + 'static,
    session: impl Fn(u64, TcpStream, CancellationToken) -> F + Clone + Send + 'static,
) where
    F: Future<Output = Result<(), Broken>> + Send + 'static,
{
    let mut sockets = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => break,
            Some(_) = sockets.join_next() => continue,
            accepted = listener.accept() => accepted,
        };
        let (socket, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "could not accept a connection");
                tokio::time::sleep(PAUSE).await;
                continue;
            }
        };
        let (grpc, stop, session, own) = (grpc.clone(), stop.clone(), session.clone(), own.clone());
        sockets.spawn(async move {
            let served = match tokio::time::timeout(PATIENCE, kind(socket, own())).await {
                Ok(Ok(Kind::Grpc(socket))) => {
                    // Nobody takes it when the server stops.
                    let _ = grpc.send(socket).await;
                    Ok(())
                }
                Ok(Ok(Kind::Session(client, socket))) => session(client, socket, stop).await,
                Ok(Err(broken)) => Err(broken),
                Err(_) => Err(Broken::Silent),
            };
            if let Err(error) = served {
                tracing::debug!(%peer, %error, "connection lost");
            }
        });
    }
    drop((listener, grpc));
    while sockets.join_next().await.is_some() {}
}

enum Kind {
    Session(u64, TcpStream),
    Grpc(TcpStream),
}

async fn kind(mut socket: TcpStream, own: Option<NodeId>) -> Result<Kind, Broken> {
    socket.set_nodelay(true)?;
    let mut first = [0];
    if socket.peek(&mut first).await? == 0 {
        return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
    }
    if first != [FIRST_BYTE] {
        return Ok(Kind::Grpc(socket));
    }
    let mut preface = [0; PREFACE_BYTES];
    socket.read_exact(&mut preface).await?;
    let (client, meant) = parse_preface(&preface)?;
    socket.write_all(&frames::preface(client, own)).await?;
    match meant {
        Some(meant) if own != Some(meant) => Err(Broken::Astray(meant)),
        _ => Ok(Kind::Session(client, socket)),
    }
}
