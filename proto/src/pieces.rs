//! Large messages on the session stream: cut into pieces that take turns with everyone else's
//! small ones, and put together again within limits.

use std::collections::BTreeMap;

use bytes::{Bytes, BytesMut};
use prost::Message;

use crate::error::WireError;
use crate::pb::worker::Piece;

/// A message up to this size goes in one piece.
pub(crate) const WHOLE_BYTES: usize = 256 << 10;
/// Size of a piece.
const PIECE_BYTES: usize = 256 << 10;
/// The most that one message may have.
pub(crate) const MAX_MESSAGE_BYTES: usize = 1 << 30;
/// The most that a peer may have unfinished.
const MAX_UNFINISHED_BYTES: usize = 2 << 30;

/// The message in pieces; `None` when it is small enough to go whole.
pub(crate) fn cut(message: &impl Message) -> Result<Option<Vec<Piece>>, WireError> {
    let len = message.encoded_len();
    if len <= WHOLE_BYTES {
        return Ok(None);
    }
    if len > MAX_MESSAGE_BYTES {
        return Err(WireError::TooLarge { limit: MAX_MESSAGE_BYTES });
    }
    let mut rest = Bytes::from(message.encode_to_vec());
    let mut pieces = Vec::with_capacity(len.div_ceil(PIECE_BYTES));
    while !rest.is_empty() {
        let data = rest.split_to(PIECE_BYTES.min(rest.len()));
        pieces.push(Piece { data, last: rest.is_empty() });
    }
    Ok(Some(pieces))
}

/// Messages of which some pieces have arrived, by call.
#[derive(Default)]
pub(crate) struct Unfinished {
    parts: BTreeMap<u64, BytesMut>,
    bytes: usize,
}

impl Unfinished {
    /// The whole message when this was its last piece. After an error the call is forgotten.
    pub(crate) fn add<M: Message + Default>(
        &mut self,
        call: u64,
        piece: Piece,
    ) -> Result<Option<M>, WireError> {
        let part = self.parts.entry(call).or_default();
        part.extend_from_slice(&piece.data);
        self.bytes += piece.data.len();
        if part.len() > MAX_MESSAGE_BYTES || self.bytes > MAX_UNFINISHED_BYTES {
            self.forget(call);
            return Err(WireError::TooLarge { limit: MAX_MESSAGE_BYTES });
        }
        if !piece.last {
            return Ok(None);
        }
        let whole = self.forget(call).unwrap_or_default().freeze();
        M::decode(whole).map(Some).map_err(|_| WireError::Unknown("encoding of a message"))
    }

    pub(crate) fn forget(&mut self, call: u64) -> Option<BytesMut> {
        let part = self.parts.remove(&call)?;
        self.bytes -= part.len();
        Some(part)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pb::worker::LockReply;

    fn reply(bytes: usize) -> LockReply {
        LockReply { keys: vec![vec![7; bytes].into(), vec![8; 3].into()] }
    }

    #[test]
    fn interleaved_messages_come_back_whole() {
        assert!(cut(&reply(1000)).unwrap().is_none());
        let (first, second) = (reply(1_000_000), reply(600_000));
        let (a, b) = (cut(&first).unwrap().unwrap(), cut(&second).unwrap().unwrap());
        let mut unfinished = Unfinished::default();
        let mut done = Vec::new();
        for index in 0..a.len() {
            for (call, pieces) in [(1, &a), (2, &b)] {
                if let Some(piece) = pieces.get(index) {
                    done.extend(unfinished.add::<LockReply>(call, piece.clone()).unwrap());
                }
            }
        }
        assert_eq!(done, [second, first]);
        assert_eq!((unfinished.bytes, unfinished.parts.len()), (0, 0));
    }

    #[test]
    fn garbage_is_an_error() {
        let mut unfinished = Unfinished::default();
        let garbage = Piece { data: Bytes::from_static(&[0xff; 20]), last: true };
        assert!(unfinished.add::<LockReply>(1, garbage).is_err());
        assert_eq!(unfinished.bytes, 0);
    }
}
