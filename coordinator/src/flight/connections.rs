//! Which connections to the gRPC port are open, and who wants to hear of their end.
//!
//! gRPC itself has no session: a client that is killed, or that forgets to say goodbye, is known
//! by the end of its socket only. Every accepted socket is wrapped in a [`Connection`], whose drop
//! is that end, however it came.

use std::collections::BTreeSet;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};

use futures::{Stream, StreamExt};
use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tonic::transport::server::{Connected, TcpConnectInfo};

type OnClose = Box<dyn Fn(SocketAddr) + Send + Sync>;

/// The open connections by their clients' addresses.
#[derive(Clone, Default)]
pub struct Connections(Arc<Shared>);

#[derive(Default)]
struct Shared {
    open: Mutex<BTreeSet<SocketAddr>>,
    on_close: OnceLock<OnClose>,
}

impl Connections {
    /// `told` is called after each connection's end. There is one listener: later ones are not
    /// called.
    pub fn on_close(&self, told: impl Fn(SocketAddr) + Send + Sync + 'static) {
        let _ = self.0.on_close.set(Box::new(told));
    }

    pub fn is_open(&self, client: SocketAddr) -> bool {
        self.0.open.lock().contains(&client)
    }

    /// Accepted sockets, each known here until it is dropped.
    pub fn track<S: Stream<Item = io::Result<TcpStream>>>(
        &self,
        sockets: S,
    ) -> impl Stream<Item = io::Result<Connection>> + use<S> {
        let shared = self.0.clone();
        sockets.map(move |socket| socket.map(|socket| Connection::new(socket, shared.clone())))
    }
}

/// One client's socket.
pub struct Connection {
    socket: TcpStream,
    client: Option<SocketAddr>,
    shared: Arc<Shared>,
}

impl Connection {
    fn new(socket: TcpStream, shared: Arc<Shared>) -> Self {
        let client = socket.peer_addr().ok();
        shared.open.lock().extend(client);
        Self { socket, client, shared }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        let Some(client) = self.client else { return };
        self.shared.open.lock().remove(&client);
        if let Some(told) = self.shared.on_close.get() {
            told(client);
        }
    }
}

impl Connected for Connection {
    type ConnectInfo = TcpConnectInfo;

    fn connect_info(&self) -> TcpConnectInfo {
        self.socket.connect_info()
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_read(cx, buf)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.socket).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.socket).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(cx)
    }
}
