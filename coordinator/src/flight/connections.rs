//! Which connections to the gRPC port are open, and who wants to hear of their end.
//!
//! gRPC itself has no session: a client that is killed, or that forgets to say goodbye, is known
//! by the end of its socket only. Every accepted socket is wrapped in a [`Connection`], whose drop
//! is that end, however it came.
//!
//! One port serves clients with TLS and without: a TLS handshake begins with a byte that no HTTP/2
//! connection begins with.

use std::collections::BTreeMap;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, ready};

use futures::{Stream, StreamExt};
use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::{Accept, TlsAcceptor};
use tonic::transport::server::{Connected, TcpConnectInfo};

use crate::client_stream::ClientStream;
use crate::tls::Encryption;

/// The content type of a TLS record that carries a handshake (RFC 8446, section 5.1).
const HANDSHAKE: u8 = 0x16;

type OnClose = Box<dyn Fn(SocketAddr) + Send + Sync>;

/// The open connections by their clients' addresses.
#[derive(Clone, Default)]
pub struct Connections(Arc<Shared>);

#[derive(Default)]
struct Shared {
    /// How each is encrypted.
    open: Mutex<BTreeMap<SocketAddr, Option<Encryption>>>,
    on_close: OnceLock<OnClose>,
}

impl Connections {
    /// `told` is called after each connection's end. There is one listener: later ones are not
    /// called.
    pub fn on_close(&self, told: impl Fn(SocketAddr) + Send + Sync + 'static) {
        let _ = self.0.on_close.set(Box::new(told));
    }

    pub fn is_open(&self, client: SocketAddr) -> bool {
        self.0.open.lock().contains_key(&client)
    }

    pub fn encryption(&self, client: SocketAddr) -> Option<Encryption> {
        self.0.open.lock().get(&client).cloned().flatten()
    }

    /// Accepted sockets, each known here until it is dropped. `tls` serves those who ask for it.
    pub fn track<S: Stream<Item = io::Result<TcpStream>>>(
        &self,
        sockets: S,
        tls: TlsAcceptor,
    ) -> impl Stream<Item = io::Result<Connection>> + use<S> {
        let shared = self.0.clone();
        sockets.map(move |socket| Ok(Connection::new(socket?, tls.clone(), shared.clone())))
    }
}

/// One client's socket.
pub struct Connection {
    state: State,
    tls: TlsAcceptor,
    info: TcpConnectInfo,
    shared: Arc<Shared>,
}

enum State {
    /// The client has said nothing yet.
    New(TcpStream),
    Handshake(Box<Accept<TcpStream>>),
    Open(ClientStream),
    Failed,
}

impl Connection {
    fn new(socket: TcpStream, tls: TlsAcceptor, shared: Arc<Shared>) -> Self {
        let info = socket.connect_info();
        shared.open.lock().extend(info.remote_addr().map(|client| (client, None)));
        Self { state: State::New(socket), tls, info, shared }
    }

    /// The stream, once it is known which kind it is and the handshake is done.
    fn poll_open(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Pin<&mut ClientStream>>> {
        loop {
            match &mut self.state {
                State::New(socket) => {
                    let mut first = [0];
                    ready!(socket.poll_peek(cx, &mut ReadBuf::new(&mut first)))?;
                    let State::New(socket) = std::mem::replace(&mut self.state, State::Failed)
                    else {
                        continue;
                    };
                    self.state = match first {
                        [HANDSHAKE] => State::Handshake(Box::new(self.tls.accept(socket))),
                        _ => State::Open(ClientStream::Plain(socket)),
                    };
                }
                State::Handshake(accept) => {
                    let done = ready!(Pin::new(accept.as_mut()).poll(cx));
                    self.state = State::Failed;
                    let stream = done?;
                    let encryption = Encryption::of(stream.get_ref().1);
                    self.state = State::Open(ClientStream::Tls(Box::new(stream)));
                    let client = self.info.remote_addr();
                    self.shared.open.lock().extend(client.map(|client| (client, Some(encryption))));
                }
                State::Open(_) => break,
                State::Failed => return Poll::Ready(Err(io::ErrorKind::NotConnected.into())),
            }
        }
        match &mut self.state {
            State::Open(stream) => Poll::Ready(Ok(Pin::new(stream))),
            _ => Poll::Ready(Err(io::ErrorKind::NotConnected.into())),
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        let Some(client) = self.info.remote_addr() else { return };
        self.shared.open.lock().remove(&client);
        if let Some(told) = self.shared.on_close.get() {
            told(client);
        }
    }
}

impl Connected for Connection {
    type ConnectInfo = TcpConnectInfo;

    fn connect_info(&self) -> TcpConnectInfo {
        self.info.clone()
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        ready!(self.get_mut().poll_open(cx))?.poll_read(cx, buf)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        ready!(self.get_mut().poll_open(cx))?.poll_write(cx, buf)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        ready!(self.get_mut().poll_open(cx))?.poll_write_vectored(cx, bufs)
    }

    /// Plain sockets can, and TLS collects what it is given.
    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self { state: State::Open(stream), .. } => Pin::new(stream).poll_flush(cx),
            // Nothing was written yet.
            _ => Poll::Ready(Ok(())),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().state {
            State::Open(stream) => Pin::new(stream).poll_shutdown(cx),
            State::New(socket) => Pin::new(socket).poll_shutdown(cx),
            // Dropped, it is closed.
            State::Handshake(_) | State::Failed => Poll::Ready(Ok(())),
        }
    }
}
