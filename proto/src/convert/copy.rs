//! Steps of a move.

use std::time::Duration;

use satsuma_common::{Epoch, Generation, GroupId, Lsn, MoveId, ShardId, Timestamp};

use super::{Wire, list, micros, need};
use crate::copy::{CopyAction, CopyReply, CopyRequest, ShardSum, Watermark};
use crate::error::WireError;
use crate::pb::worker as pb;

impl From<CopyRequest> for pb::CopyRequest {
    fn from(request: CopyRequest) -> Self {
        use pb::copy_request::Action;
        let action = match request.action {
            CopyAction::Begin { generation } => Action::Begin(generation.0),
            CopyAction::Open => Action::Open(pb::CopyOpen {}),
            CopyAction::Next => Action::Next(pb::CopyNext {}),
            CopyAction::Write { chunk } => Action::Write(chunk),
            CopyAction::Checksum { snapshot } => Action::Checksum(snapshot.0),
            CopyAction::Hold { timeout } => Action::HoldMicros(micros(timeout)),
            CopyAction::Release => Action::Release(pb::CopyRelease {}),
            CopyAction::Fence { generation, leaving } => {
                Action::Fence(pb::CopyFence { generation: generation.0, leaving })
            }
            CopyAction::Activate { generation, epoch, watermark, shapes, shards } => {
                Action::Activate(pb::CopyActivate {
                    generation: generation.0,
                    epoch: epoch.0,
                    watermark: Some(watermark.into()),
                    shapes: shapes.into_iter().map(Into::into).collect(),
                    shards: shards.into_iter().map(|shard| shard.0).collect(),
                })
            }
            CopyAction::Snapshot { snapshot } => Action::Snapshot(snapshot.0),
            CopyAction::Drop { generation } => Action::Drop(generation.0),
        };
        Self {
            group: request.group.0,
            movement: request.movement.0,
            attempt: request.attempt,
            action: Some(action),
        }
    }
}

impl TryFrom<pb::CopyRequest> for CopyRequest {
    type Error = WireError;

    fn try_from(request: pb::CopyRequest) -> Wire<Self> {
        use pb::copy_request::Action;
        let action = match need(request.action, "copy action")? {
            Action::Begin(generation) => CopyAction::Begin { generation: Generation(generation) },
            Action::Open(pb::CopyOpen {}) => CopyAction::Open,
            Action::Next(pb::CopyNext {}) => CopyAction::Next,
            Action::Write(chunk) => CopyAction::Write { chunk },
            Action::Checksum(snapshot) => CopyAction::Checksum { snapshot: Timestamp(snapshot) },
            Action::HoldMicros(timeout) => {
                CopyAction::Hold { timeout: Duration::from_micros(timeout) }
            }
            Action::Release(pb::CopyRelease {}) => CopyAction::Release,
            Action::Fence(fence) => CopyAction::Fence {
                generation: Generation(fence.generation),
                leaving: fence.leaving,
            },
            Action::Activate(activate) => CopyAction::Activate {
                generation: Generation(activate.generation),
                epoch: Epoch(activate.epoch),
                watermark: need(activate.watermark, "watermark")?.into(),
                shapes: list(activate.shapes, TryInto::try_into)?,
                shards: list(activate.shards, |shard| Ok(ShardId(shard)))?,
            },
            Action::Snapshot(snapshot) => CopyAction::Snapshot { snapshot: Timestamp(snapshot) },
            Action::Drop(generation) => CopyAction::Drop { generation: Generation(generation) },
        };
        Ok(Self {
            group: GroupId(request.group),
            movement: MoveId(request.movement),
            attempt: request.attempt,
            action,
        })
    }
}

impl From<Watermark> for pb::Watermark {
    fn from(mark: Watermark) -> Self {
        Self { read: mark.read.0, commit: mark.commit.0, horizon: mark.horizon.0 }
    }
}

impl From<pb::Watermark> for Watermark {
    fn from(mark: pb::Watermark) -> Self {
        Self {
            read: Timestamp(mark.read),
            commit: Timestamp(mark.commit),
            horizon: Timestamp(mark.horizon),
        }
    }
}

impl From<CopyReply> for pb::CopyReply {
    fn from(reply: CopyReply) -> Self {
        let sum = |sum: ShardSum| pb::ShardSum { shard: sum.shard.0, rows: sum.rows, sum: sum.sum };
        Self {
            chunk: reply.chunk,
            position: reply.position.0,
            end: reply.end.0,
            bytes: reply.bytes,
            sent: reply.sent,
            sums: reply.sums.into_iter().map(sum).collect(),
            watermark: Some(reply.watermark.into()),
            shards: reply.shards.into_iter().map(|shard| shard.0).collect(),
        }
    }
}

impl TryFrom<pb::CopyReply> for CopyReply {
    type Error = WireError;

    fn try_from(reply: pb::CopyReply) -> Wire<Self> {
        Ok(Self {
            chunk: reply.chunk,
            position: Lsn(reply.position),
            end: Lsn(reply.end),
            bytes: reply.bytes,
            sent: reply.sent,
            sums: list(reply.sums, |sum| {
                Ok(ShardSum { shard: ShardId(sum.shard), rows: sum.rows, sum: sum.sum })
            })?,
            watermark: reply.watermark.unwrap_or_default().into(),
            shards: list(reply.shards, |shard| Ok(ShardId(shard)))?,
        })
    }
}
