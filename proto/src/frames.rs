//! What a session's socket carries: a preface once, and frames both ways.
//!
//! ```text
//! preface = "SATSUMA" | u8:version | u64:client | u32:node
//! frame   = u32:length | a protobuf message of so many bytes
//! ```
//!
//! The coordinator's preface has the node that it means, the worker's answer the one that it is; 0
//! is none. A worker that is another node hangs up.
//!
//! Numbers are little endian. A frame without a message asks whether the other end is there, and
//! is answered by one. Small requests are most of what a cluster sends: a frame costs neither a
//! task nor a window of its own, and what is ready goes out in one write.

use std::io;

use bytes::{Buf, BufMut, BytesMut};
use prost::Message;
use satsuma_common::NodeId;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use crate::error::WireError;
use crate::pieces::WHOLE_BYTES;

const MAGIC: &[u8; 7] = b"SATSUMA";
/// Of the preface and of all messages in frames.
const VERSION: u8 = 1;
pub(crate) const PREFACE_BYTES: usize = 20;
/// A whole message or a piece, and what surrounds it.
const FRAME_BYTES: usize = WHOLE_BYTES + 1024;
const HEAD_BYTES: usize = 4;
/// Read at once, and the least room for it.
const READ_BYTES: usize = 64 << 10;
const LEAST_ROOM: usize = 4 << 10;
/// A larger buffer is given back when it is empty.
const KEPT_BYTES: usize = 1 << 20;

/// The first byte of a session's socket; HTTP/2 begins with another.
pub(crate) const FIRST_BYTE: u8 = MAGIC[0];

pub(crate) fn preface(client: u64, node: Option<NodeId>) -> [u8; PREFACE_BYTES] {
    let mut preface = [0; PREFACE_BYTES];
    preface[..7].copy_from_slice(MAGIC);
    preface[7] = VERSION;
    preface[8..16].copy_from_slice(&client.to_le_bytes());
    preface[16..].copy_from_slice(&node.map_or(0, |node| node.0).to_le_bytes());
    preface
}

/// The client's number, and the node.
pub(crate) fn parse_preface(mut preface: &[u8]) -> Result<(u64, Option<NodeId>), WireError> {
    if preface.len() != PREFACE_BYTES || !preface.starts_with(MAGIC) {
        return Err(WireError::Unknown("protocol"));
    }
    preface.advance(MAGIC.len());
    match preface.get_u8() {
        VERSION => {
            let (client, node) = (preface.get_u64_le(), preface.get_u32_le());
            Ok((client, (node > 0).then_some(NodeId(node))))
        }
        _ => Err(WireError::Unknown("protocol version")),
    }
}

/// Bytes on their way to the other end.
#[derive(Default)]
pub(crate) struct Outgoing {
    bytes: Vec<u8>,
    sent: usize,
}

impl Outgoing {
    pub(crate) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    pub(crate) fn len(&self) -> usize {
        self.bytes.len() - self.sent
    }

    /// Adds a frame. `message` has been cut, and fits.
    pub(crate) fn push(&mut self, message: &impl Message) {
        self.bytes.put_u32_le(message.encoded_len() as u32);
        // A Vec takes what it is given.
        let _ = message.encode(&mut self.bytes);
    }

    pub(crate) fn push_ping(&mut self) {
        self.bytes.put_u32_le(0);
    }

    /// Sends what the socket takes. Cancel safe: what was sent is known.
    pub(crate) async fn send(&mut self, socket: &mut (impl AsyncWrite + Unpin)) -> io::Result<()> {
        let sent = socket.write(&self.bytes[self.sent..]).await?;
        if sent == 0 {
            return Err(io::ErrorKind::WriteZero.into());
        }
        self.sent += sent;
        if self.sent == self.bytes.len() {
            self.sent = 0;
            self.bytes.clear();
            self.bytes.shrink_to(KEPT_BYTES);
        } else if self.sent >= KEPT_BYTES.max(self.bytes.len() / 2) {
            // More may always come before the last of it is sent.
            self.bytes.drain(..self.sent);
            self.sent = 0;
        }
        Ok(())
    }
}

/// Bytes from the other end, and the frames among them.
#[derive(Default)]
pub(crate) struct Incoming(BytesMut);

#[derive(Debug, PartialEq)]
pub(crate) enum Frame<M> {
    Ping,
    Message(M),
}

impl Incoming {
    /// Reads some bytes; `false` at their end. Cancel safe.
    pub(crate) async fn fill(&mut self, socket: &mut (impl AsyncRead + Unpin)) -> io::Result<bool> {
        if self.0.capacity() - self.0.len() < LEAST_ROOM {
            self.0.reserve(READ_BYTES);
        }
        Ok(socket.read_buf(&mut self.0).await? > 0)
    }

    /// The next frame that is here whole.
    pub(crate) fn next<M: Message + Default>(&mut self) -> Result<Option<Frame<M>>, WireError> {
        let Some(head) = self.0.first_chunk::<HEAD_BYTES>() else { return Ok(None) };
        let length = u32::from_le_bytes(*head) as usize;
        if length > FRAME_BYTES {
            return Err(WireError::TooLarge { limit: FRAME_BYTES });
        }
        if self.0.len() < HEAD_BYTES + length {
            return Ok(None);
        }
        self.0.advance(HEAD_BYTES);
        if length == 0 {
            return Ok(Some(Frame::Ping));
        }
        // From a slice, which copies: a row that is kept must not keep all that came with it.
        let message = M::decode(&self.0[..length]);
        self.0.advance(length);
        message
            .map(|message| Some(Frame::Message(message)))
            .map_err(|_| WireError::Unknown("encoding of a message"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pb::worker::LockReply;

    #[tokio::test]
    async fn frames_come_back_however_they_are_cut() {
        let messages: Vec<LockReply> = (1..40)
            .map(|i| LockReply { keys: vec![vec![i as u8; i * 1000].into(), vec![1].into()] })
            .collect();
        let mut outgoing = Outgoing::default();
        for message in &messages {
            outgoing.push(message);
            outgoing.push_ping();
        }
        let (mut near, mut far) = tokio::io::duplex(777);
        let sending = async {
            while !outgoing.is_empty() {
                outgoing.send(&mut near).await.unwrap();
            }
            drop(near);
        };
        let receiving = async {
            let (mut incoming, mut arrived, mut pings) = (Incoming::default(), Vec::new(), 0);
            while incoming.fill(&mut far).await.unwrap() {
                while let Some(frame) = incoming.next::<LockReply>().unwrap() {
                    match frame {
                        Frame::Ping => pings += 1,
                        Frame::Message(message) => arrived.push(message),
                    }
                }
            }
            (arrived, pings)
        };
        let ((), (arrived, pings)) = tokio::join!(sending, receiving);
        assert_eq!((arrived, pings), (messages, 39));
    }

    #[tokio::test]
    async fn what_was_sent_is_not_kept() {
        let message = LockReply { keys: vec![vec![7; 100 << 10].into()] };
        let mut outgoing = Outgoing::default();
        let (mut near, mut far) = tokio::io::duplex(150 << 10);
        let (mut incoming, mut arrived) = (Incoming::default(), 0);
        for _ in 0..30 {
            outgoing.push(&message);
        }
        for _ in 0..300 {
            outgoing.push(&message);
            outgoing.send(&mut near).await.unwrap();
            incoming.fill(&mut far).await.unwrap();
            while let Some(frame) = incoming.next::<LockReply>().unwrap() {
                assert_eq!(frame, Frame::Message(message.clone()));
                arrived += 1;
            }
            assert!(!outgoing.is_empty());
            assert!(outgoing.bytes.len() <= outgoing.len() + KEPT_BYTES.max(2 * outgoing.len()));
        }
        assert!(arrived > 100);
    }

    #[test]
    fn garbage_is_an_error() {
        let mut long = Incoming(BytesMut::from(&u32::MAX.to_le_bytes()[..]));
        assert_eq!(
            long.next::<LockReply>().unwrap_err(),
            WireError::TooLarge { limit: FRAME_BYTES }
        );
        let mut garbage = Incoming(BytesMut::from(&[2, 0, 0, 0, 0xff, 0xff][..]));
        assert!(garbage.next::<LockReply>().is_err());
        let mut partial = Incoming(BytesMut::from(&[2, 0, 0, 0, 1][..]));
        assert_eq!(partial.next::<LockReply>(), Ok(None));
    }

    #[test]
    fn prefaces_of_others_are_refused() {
        for node in [None, Some(NodeId(3))] {
            assert_eq!(parse_preface(&preface(7, node)), Ok((7, node)));
        }
        let mut newer = preface(7, None);
        newer[7] += 1;
        for wrong in [&newer[..], b"PRI * HTTP/2.0\r\n\r\nSM", b"SATSUMA"] {
            assert!(parse_preface(wrong).is_err());
        }
    }
}
