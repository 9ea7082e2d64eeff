//! Frames of a log segment: all that one call appended, made durable together.
//!
//! ```text
//!   frame   crc32c u32 LE (of what follows) | length u32 LE | item, item, ...
//!   item    kind u8 (1 entry, 2 hard state, 3 members) | length u32 LE | protobuf
//! ```
//!
//! A frame is written only after the one before it is on disk. So a bad frame with a good one
//! behind it is damage, while a bad frame at the end is a write that a crash interrupted.

use protobuf::Message;
use raft::eraftpb::{ConfState, Entry, HardState};

use crate::raft::error::RaftError;

const FRAME_HEADER: usize = 8;
const ITEM_HEADER: usize = 5;
/// Longest frame: far above what Raft hands over at once, far below what a torn length may claim.
const MAX_FRAME: usize = 256 << 20;

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Item {
    Entry(Entry),
    HardState(HardState),
    Members(ConfState),
}

/// What is at an offset.
#[derive(Debug, PartialEq)]
pub(super) enum Found {
    /// A whole frame, and where the next one begins.
    Frame(Vec<Item>, usize),
    /// Nothing was written from here on.
    End,
    /// Not a frame.
    Bad(&'static str),
}

fn push(out: &mut Vec<u8>, kind: u8, message: &impl Message) -> Result<(), RaftError> {
    let start = out.len();
    out.push(kind);
    out.extend_from_slice(&[0; 4]);
    message.write_to_vec(out)?;
    let length = (out.len() - start - ITEM_HEADER) as u32;
    out[start + 1..start + ITEM_HEADER].copy_from_slice(&length.to_le_bytes());
    Ok(())
}

pub(super) fn push_entry(out: &mut Vec<u8>, entry: &Entry) -> Result<(), RaftError> {
    push(out, 1, entry)
}

pub(super) fn push_hard_state(out: &mut Vec<u8>, state: &HardState) -> Result<(), RaftError> {
    push(out, 2, state)
}

pub(super) fn push_members(out: &mut Vec<u8>, members: &ConfState) -> Result<(), RaftError> {
    push(out, 3, members)
}

/// The items as one frame.
pub(super) fn frame(items: &[u8]) -> Vec<u8> {
    let mut frame = Vec::with_capacity(items.len() + FRAME_HEADER);
    frame.extend_from_slice(&[0; 4]);
    frame.extend_from_slice(&(items.len() as u32).to_le_bytes());
    frame.extend_from_slice(items);
    let crc = crc32c::crc32c(&frame[4..]);
    frame[..4].copy_from_slice(&crc.to_le_bytes());
    frame
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    let word = bytes.get(at..at.checked_add(4)?)?;
    Some(u32::from_le_bytes(word.try_into().ok()?))
}

/// The payload of the frame at `at`, and where it ends.
fn payload(bytes: &[u8], at: usize) -> Result<(&[u8], usize), &'static str> {
    let rest = bytes.get(at..).unwrap_or_default();
    let (Some(crc), Some(length)) = (word(rest, 0), word(rest, 4)) else {
        return Err("incomplete frame header");
    };
    let length = length as usize;
    if length == 0 || length > MAX_FRAME {
        return Err("impossible frame length");
    }
    let end = FRAME_HEADER + length;
    let payload = rest.get(FRAME_HEADER..end).ok_or("incomplete frame")?;
    if crc32c::crc32c(&rest[4..end]) != crc {
        return Err("checksum mismatch");
    }
    Ok((payload, at + end))
}

/// Reads the frame at `at`.
pub(super) fn read(bytes: &[u8], at: usize) -> Found {
    let rest = bytes.get(at..).unwrap_or_default();
    if rest.iter().take(FRAME_HEADER).all(|byte| *byte == 0) {
        return Found::End;
    }
    match payload(bytes, at) {
        Err(reason) => Found::Bad(reason),
        Ok((payload, next)) => match items(payload) {
            Some(items) => Found::Frame(items, next),
            None => Found::Bad("frame does not decode"),
        },
    }
}

fn items(mut rest: &[u8]) -> Option<Vec<Item>> {
    let mut items = Vec::new();
    while let Some(kind) = rest.first() {
        let length = word(rest, 1)? as usize;
        let end = ITEM_HEADER.checked_add(length)?;
        let body = rest.get(ITEM_HEADER..end)?;
        items.push(match kind {
            1 => Item::Entry(Message::parse_from_bytes(body).ok()?),
            2 => Item::HardState(Message::parse_from_bytes(body).ok()?),
            3 => Item::Members(Message::parse_from_bytes(body).ok()?),
            _ => return None,
        });
        rest = &rest[end..];
    }
    Some(items)
}

/// Whether a whole frame begins anywhere after the bad one at `at`: then that one was not the
/// torn end of the log.
pub(super) fn any_after(bytes: &[u8], at: usize) -> bool {
    (at + 1..bytes.len()).any(|offset| bytes[offset] != 0 && payload(bytes, offset).is_ok())
}
