//! What the log says: transactions' writes and outcomes, and changes of the worker's shards.
//!
//! ```text
//! record   = 01 txn ts sections          one-phase commit
//!          | 02 txn sections             part of a large transaction, before its 01 or 03
//!          | 03 txn ts sections locks    prepared, not decided
//!          | 04 txn ts                   a prepared transaction commits
//!          | 05 txn                      a prepared transaction aborts
//!          | 06 postcard(MetaChange)     shards, shapes, generations
//!          | 07 txn locks                more locks of a transaction, before its 03
//! txn      = varint:start varint:coordinator
//! sections = varint:count (varint:group varint:epoch varint:shard varint:count op*)*
//! op       = 01 bytes:key bytes:row | 02 bytes:key (delete) | 03 (truncate)
//!          | 04 varint:segment varint:size varint:rows (attach)
//! locks    = varint:count (varint:shard u8:mode bytes:key)*
//! bytes    = varint:length byte*
//! ```

use std::sync::Arc;

use bytes::Bytes;
use satsuma_common::row::{Layouts, RowError, put_varint, take_varint};
use satsuma_common::table::TableShape;
use satsuma_common::{Epoch, Generation, GroupId, NodeId, ShardId, Timestamp, TxnId};
use serde::{Deserialize, Serialize};

use crate::error::{Result, StorageError};
use crate::lock::LockMode;
use crate::segment::Segment;

#[derive(Clone, Debug, PartialEq)]
pub enum Record {
    Commit { txn: TxnId, ts: Timestamp, sections: Vec<Section> },
    Part { txn: TxnId, sections: Vec<Section> },
    Prepare { txn: TxnId, ts: Timestamp, sections: Vec<Section>, locks: Vec<LoggedLock> },
    CommitPrepared { txn: TxnId, ts: Timestamp },
    Abort { txn: TxnId },
    Meta(MetaChange),
    Locks { txn: TxnId, locks: Vec<LoggedLock> },
}

/// The writes of a transaction to one shard.
#[derive(Clone, Debug, PartialEq)]
pub struct Section {
    pub group: GroupId,
    pub epoch: Epoch,
    pub shard: ShardId,
    pub ops: Vec<Op>,
}

impl Section {
    /// Keys of rows that are written one by one.
    pub fn keys(&self) -> impl Iterator<Item = &Bytes> {
        self.ops.iter().filter_map(|op| match op {
            Op::Put { key, .. } | Op::Delete { key } => Some(key),
            Op::Truncate | Op::Attach(_) => None,
        })
    }
}

#[derive(Clone, Debug, PartialEq)]
pub enum Op {
    Put {
        key: Bytes,
        row: Bytes,
    },
    Delete {
        key: Bytes,
    },
    /// Everything that was committed before goes.
    Truncate,
    /// A segment file's rows come.
    Attach(Attached),
}

/// A segment that a load has written.
#[derive(Clone, Debug)]
pub struct Attached {
    pub id: u64,
    /// Bytes of the file.
    pub size: u64,
    pub rows: u64,
    /// `None` in a record that was read from the log.
    pub segment: Option<Arc<Segment>>,
}

impl PartialEq for Attached {
    fn eq(&self, other: &Self) -> bool {
        (self.id, self.size, self.rows) == (other.id, other.size, other.rows)
    }
}

impl Op {
    /// Bytes that the operation takes in a record, about.
    pub fn size(&self) -> usize {
        match self {
            Self::Put { key, row } => key.len() + row.len() + 7,
            Self::Delete { key } => key.len() + 4,
            Self::Truncate => 1,
            Self::Attach(_) => 31,
        }
    }
}

/// A lock of a prepared transaction, to be held again after a restart. Rows that its record writes
/// have [`crate::lock::RowLockMode::Update`] without one.
#[derive(Clone, Debug, PartialEq)]
pub struct LoggedLock {
    pub shard: ShardId,
    pub mode: LockMode,
    pub key: Bytes,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum MetaChange {
    CreateShards {
        shape: Box<TableShape>,
        shards: Vec<(ShardId, GroupId, Generation)>,
    },
    AlterTable {
        shape: Box<TableShape>,
        /// Who may take it back until its commit; `None`: it stands.
        by: Option<TxnId>,
    },
    DropShards {
        shards: Vec<ShardId>,
    },
    SetGeneration {
        group: GroupId,
        generation: Generation,
        epoch: Epoch,
        /// Nothing happens unless these are the group's shards.
        held: Option<Vec<ShardId>>,
    },
    /// Empty shards for a copy of rows that were written elsewhere under `layouts`.
    CopyShards {
        shape: Box<TableShape>,
        layouts: Box<Layouts>,
        shards: Vec<(ShardId, GroupId)>,
    },
    /// The group's rows are served elsewhere from this generation on.
    FenceGroup {
        group: GroupId,
        generation: Generation,
        /// Nothing happens unless these are the group's shards: there were transactions on others.
        held: Vec<ShardId>,
    },
}

impl Record {
    pub fn sections(&self) -> &[Section] {
        match self {
            Self::Commit { sections, .. }
            | Self::Part { sections, .. }
            | Self::Prepare { sections, .. } => sections,
            Self::CommitPrepared { .. }
            | Self::Abort { .. }
            | Self::Meta(_)
            | Self::Locks { .. } => &[],
        }
    }

    /// What changes nothing: the end of a transaction that there is not.
    pub fn nothing() -> Result<Vec<u8>> {
        Self::Abort { txn: TxnId { start: Timestamp(0), coordinator: NodeId(0) } }.encode()
    }

    pub fn encode(&self) -> Result<Vec<u8>> {
        let mut out = Vec::new();
        match self {
            Self::Commit { txn, ts, sections } => {
                out.push(1);
                put_txn(&mut out, *txn);
                put_varint(&mut out, ts.0);
                put_sections(&mut out, sections);
            }
            Self::Part { txn, sections } => {
                out.push(2);
                put_txn(&mut out, *txn);
                put_sections(&mut out, sections);
            }
            Self::Prepare { txn, ts, sections, locks } => {
                out.push(3);
                put_txn(&mut out, *txn);
                put_varint(&mut out, ts.0);
                put_sections(&mut out, sections);
                put_locks(&mut out, locks);
            }
            Self::CommitPrepared { txn, ts } => {
                out.push(4);
                put_txn(&mut out, *txn);
                put_varint(&mut out, ts.0);
            }
            Self::Abort { txn } => {
                out.push(5);
                put_txn(&mut out, *txn);
            }
            Self::Meta(change) => {
                out.push(6);
                let bytes = postcard::to_stdvec(change)
                    .map_err(|e| RowError::Malformed(format!("shape cannot be logged: {e}")))?;
                out.extend_from_slice(&bytes);
            }
            Self::Locks { txn, locks } => {
                out.push(7);
                put_txn(&mut out, *txn);
                put_locks(&mut out, locks);
            }
        }
        Ok(out)
    }

    pub fn decode(payload: &[u8]) -> Result<Self> {
        Self::decode_sections(payload, |_| true)
    }

    /// The same without the operations of groups that are not `wanted`.
    pub fn decode_sections(payload: &[u8], wanted: impl Fn(GroupId) -> bool) -> Result<Self> {
        let wanted = &wanted;
        let mut rest = payload;
        let rest = &mut rest;
        let record = match take_u8(rest)? {
            1 => Self::Commit {
                txn: take_txn(rest)?,
                ts: Timestamp(take_varint(rest)?),
                sections: take_sections(rest, wanted)?,
            },
            2 => Self::Part { txn: take_txn(rest)?, sections: take_sections(rest, wanted)? },
            3 => Self::Prepare {
                txn: take_txn(rest)?,
                ts: Timestamp(take_varint(rest)?),
                sections: take_sections(rest, wanted)?,
                locks: take_locks(rest)?,
            },
            4 => Self::CommitPrepared { txn: take_txn(rest)?, ts: Timestamp(take_varint(rest)?) },
            5 => Self::Abort { txn: take_txn(rest)? },
            6 => {
                let (change, left) =
                    postcard::take_from_bytes(rest).map_err(|e| malformed(&e.to_string()))?;
                *rest = left;
                Self::Meta(change)
            }
            7 => Self::Locks { txn: take_txn(rest)?, locks: take_locks(rest)? },
            _ => return Err(malformed("record of unknown kind")),
        };
        if rest.is_empty() { Ok(record) } else { Err(malformed("bytes after the record")) }
    }
}

/// Numbers of a damaged record that pass the checksum are not expected, but are no reason to fall.
fn malformed(reason: &str) -> StorageError {
    StorageError::Row(RowError::Malformed(reason.into()))
}

fn put_txn(out: &mut Vec<u8>, txn: TxnId) {
    put_varint(out, txn.start.0);
    put_varint(out, u64::from(txn.coordinator.0));
}

fn take_txn(rest: &mut &[u8]) -> Result<TxnId> {
    let start = Timestamp(take_varint(rest)?);
    let coordinator = u32::try_from(take_varint(rest)?).map_err(|_| malformed("node id"))?;
    Ok(TxnId { start, coordinator: NodeId(coordinator) })
}

fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put_varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

fn take_bytes(rest: &mut &[u8]) -> Result<Bytes> {
    let len = usize::try_from(take_varint(rest)?).map_err(|_| RowError::Truncated)?;
    let (head, tail) = rest.split_at_checked(len).ok_or(RowError::Truncated)?;
    *rest = tail;
    Ok(Bytes::copy_from_slice(head))
}

fn take_u8(rest: &mut &[u8]) -> Result<u8> {
    let (first, tail) = rest.split_first().ok_or(RowError::Truncated)?;
    *rest = tail;
    Ok(*first)
}

fn put_sections(out: &mut Vec<u8>, sections: &[Section]) {
    put_varint(out, sections.len() as u64);
    for section in sections {
        put_varint(out, section.group.0);
        put_varint(out, section.epoch.0);
        put_varint(out, section.shard.0);
        put_varint(out, section.ops.len() as u64);
        for op in &section.ops {
            match op {
                Op::Put { key, row } => {
                    out.push(1);
                    put_bytes(out, key);
                    put_bytes(out, row);
                }
                Op::Delete { key } => {
                    out.push(2);
                    put_bytes(out, key);
                }
                Op::Truncate => out.push(3),
                Op::Attach(attached) => {
                    out.push(4);
                    put_varint(out, attached.id);
                    put_varint(out, attached.size);
                    put_varint(out, attached.rows);
                }
            }
        }
    }
}

fn take_sections(rest: &mut &[u8], wanted: &impl Fn(GroupId) -> bool) -> Result<Vec<Section>> {
    let mut sections = Vec::new();
    for _ in 0..take_varint(rest)? {
        let group = GroupId(take_varint(rest)?);
        let epoch = Epoch(take_varint(rest)?);
        let shard = ShardId(take_varint(rest)?);
        let mut ops = Vec::new();
        let count = take_varint(rest)?;
        if !wanted(group) {
            for _ in 0..count {
                pass_op(rest)?;
            }
            continue;
        }
        for _ in 0..count {
            ops.push(match take_u8(rest)? {
                1 => Op::Put { key: take_bytes(rest)?, row: take_bytes(rest)? },
                2 => Op::Delete { key: take_bytes(rest)? },
                3 => Op::Truncate,
                4 => Op::Attach(Attached {
                    id: take_varint(rest)?,
                    size: take_varint(rest)?,
                    rows: take_varint(rest)?,
                    segment: None,
                }),
                _ => return Err(malformed("operation of unknown kind")),
            });
        }
        sections.push(Section { group, epoch, shard, ops });
    }
    Ok(sections)
}

fn pass_op(rest: &mut &[u8]) -> Result<()> {
    match take_u8(rest)? {
        1 => pass_bytes(rest, 2),
        2 => pass_bytes(rest, 1),
        3 => Ok(()),
        4 => {
            for _ in 0..3 {
                take_varint(rest)?;
            }
            Ok(())
        }
        _ => Err(malformed("operation of unknown kind")),
    }
}

fn pass_bytes(rest: &mut &[u8], times: usize) -> Result<()> {
    for _ in 0..times {
        let len = usize::try_from(take_varint(rest)?).map_err(|_| RowError::Truncated)?;
        (_, *rest) = rest.split_at_checked(len).ok_or(RowError::Truncated)?;
    }
    Ok(())
}

fn put_locks(out: &mut Vec<u8>, locks: &[LoggedLock]) {
    put_varint(out, locks.len() as u64);
    for lock in locks {
        put_varint(out, lock.shard.0);
        out.push(lock.mode.to_u8());
        put_bytes(out, &lock.key);
    }
}

fn take_locks(rest: &mut &[u8]) -> Result<Vec<LoggedLock>> {
    let mut locks = Vec::new();
    for _ in 0..take_varint(rest)? {
        let shard = ShardId(take_varint(rest)?);
        let mode = LockMode::from_u8(take_u8(rest)?).ok_or_else(|| malformed("lock mode"))?;
        locks.push(LoggedLock { shard, mode, key: take_bytes(rest)? });
    }
    Ok(locks)
}
