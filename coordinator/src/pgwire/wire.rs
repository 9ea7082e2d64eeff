//! One client socket with its two buffers.
//!
//! Output is collected and sent only when the next read would wait (a whole Parse, Bind,
//! Describe, Execute, Sync round costs one write) or when [`FLUSH_BYTES`] are waiting. Input is
//! read ahead while a statement runs, which is how a client that goes away is noticed.

use std::io;

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::frontend::length_limit;

/// Output beyond this is sent at once.
pub const FLUSH_BYTES: usize = 64 << 10;
/// Input read ahead while a statement runs. A client that pipelines more waits.
const READ_AHEAD_BYTES: usize = 1 << 20;

/// Why no further message comes.
#[derive(Debug, thiserror::Error)]
pub enum WireError {
    #[error("connection closed by the client")]
    Closed,
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error("invalid message length")]
    InvalidLength,
    #[error("invalid frontend message type {0}")]
    InvalidType(u8),
}

/// A message's type byte and body.
#[derive(Debug)]
pub struct Frame {
    pub kind: u8,
    pub body: Bytes,
}

pub struct Wire<S> {
    stream: S,
    input: BytesMut,
    pub output: BytesMut,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Wire<S> {
    pub fn new(stream: S, input: BytesMut) -> Self {
        Self { stream, input, output: BytesMut::with_capacity(8 << 10) }
    }

    /// The next message if it is here already.
    fn buffered_frame(&mut self) -> Result<Option<Frame>, WireError> {
        let Some((kind, length)) = self.peek_header()? else { return Ok(None) };
        if self.input.len() < 1 + length {
            return Ok(None);
        }
        self.input.advance(5);
        let body = self.input.split_to(length - 4).freeze();
        Ok(Some(Frame { kind, body }))
    }

    /// Type and length (as sent, with its own four bytes) of the next message.
    fn peek_header(&self) -> Result<Option<(u8, usize)>, WireError> {
        let Some(&kind) = self.input.first() else { return Ok(None) };
        let limit = length_limit(kind).ok_or(WireError::InvalidType(kind))?;
        let Some(raw) = self.input.get(1..5) else { return Ok(None) };
        let length = i32::from_be_bytes([raw[0], raw[1], raw[2], raw[3]]);
        match usize::try_from(length) {
            Ok(length) if (4..=limit).contains(&length) => Ok(Some((kind, length))),
            _ => Err(WireError::InvalidLength),
        }
    }

    /// The type of the next message, when its first byte is here already.
    pub fn peek_kind(&self) -> Option<u8> {
        self.input.first().copied()
    }

    /// The next message; sends what is waiting first if it has to wait itself.
    pub async fn read_frame(&mut self) -> Result<Frame, WireError> {
        loop {
            if let Some(frame) = self.buffered_frame()? {
                return Ok(frame);
            }
            self.flush().await?;
            self.fill().await?;
        }
    }

    async fn fill(&mut self) -> Result<(), WireError> {
        self.input.reserve(8 << 10);
        match self.stream.read_buf(&mut self.input).await? {
            0 => Err(WireError::Closed),
            _ => Ok(()),
        }
    }

    /// Exactly `length` bytes outside of any message: the startup packet.
    pub async fn read_raw(&mut self, length: usize) -> Result<Bytes, WireError> {
        while self.input.len() < length {
            self.flush().await?;
            self.fill().await?;
        }
        Ok(self.input.split_to(length).freeze())
    }

    /// Sends everything. Safe to drop half way: what was sent is off the buffer.
    pub async fn flush(&mut self) -> io::Result<()> {
        if self.output.is_empty() {
            return Ok(());
        }
        while !self.output.is_empty() {
            if self.stream.write_buf(&mut self.output).await? == 0 {
                return Err(io::ErrorKind::WriteZero.into());
            }
        }
        if self.output.capacity() > 4 * FLUSH_BYTES {
            self.output = BytesMut::with_capacity(8 << 10);
        }
        self.stream.flush().await
    }

    /// Resolves when the client is gone. Reads ahead, up to a bound.
    pub async fn gone(&mut self) {
        loop {
            if self.input.len() >= READ_AHEAD_BYTES {
                return std::future::pending().await;
            }
            if self.fill().await.is_err() {
                return;
            }
        }
    }

    /// The socket and what was read from it beyond the last message: for the change to TLS.
    pub fn into_parts(self) -> (S, BytesMut) {
        (self.stream, self.input)
    }

    pub async fn shutdown(&mut self) {
        let _ = self.flush().await;
        let _ = self.stream.shutdown().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn hostile_lengths_are_refused_before_any_read() {
        for raw in [&b"Q\xff\xff\xff\xff"[..], b"Q\0\0\0\x03", b"S\0\xff\0\0", b"Q\x7f\xff\xff\xff"]
        {
            let (mut client, server) = tokio::io::duplex(64);
            client.write_all(raw).await.unwrap();
            let mut wire = Wire::new(server, BytesMut::new());
            assert!(matches!(wire.read_frame().await, Err(WireError::InvalidLength)), "{raw:?}");
        }
        let (mut client, server) = tokio::io::duplex(64);
        client.write_all(b"!").await.unwrap();
        let mut wire = Wire::new(server, BytesMut::new());
        assert!(matches!(wire.read_frame().await, Err(WireError::InvalidType(b'!'))));
    }

    #[tokio::test]
    async fn output_waits_for_the_next_read() {
        let (mut client, server) = tokio::io::duplex(64);
        let mut wire = Wire::new(server, BytesMut::new());
        client.write_all(b"S\0\0\0\x04H\0\0\0\x04S\0\0").await.unwrap();
        assert_eq!(wire.read_frame().await.unwrap().kind, b'S');
        wire.output.extend_from_slice(b"answer");
        assert_eq!(wire.read_frame().await.unwrap().kind, b'H');
        assert_eq!(wire.output.len(), 6);
        let waiting = tokio::spawn(async move { wire.read_frame().await.map(|f| f.kind) });
        let mut answer = [0; 6];
        client.read_exact(&mut answer).await.unwrap();
        assert_eq!(&answer, b"answer");
        client.write_all(b"\0\x04").await.unwrap();
        assert_eq!(waiting.await.unwrap().unwrap(), b'S');
    }
}
