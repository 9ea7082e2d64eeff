//! Answers.

use bytes::Bytes;
use satsuma_common::{
    Generation, GroupId, Lsn, NodeId, Oid, ShardId, SqlError, TableId, Timestamp, TxnId,
};

use super::{Wire, list, need};
use crate::batches::{decode_batches, encode_batches};
use crate::copy::CopyReply;
use crate::error::WireError;
use crate::pb::worker as pb;
use crate::worker::{Locks, ModifyReply, ShardReply, ShardStatus, TxnReply, WorkerStatus};

/// The answer to a [`super::Request`].
#[derive(Clone, Debug, PartialEq)]
pub enum Response {
    Failed(SqlError),
    Modify(ModifyReply),
    /// The row, if there is one.
    ReadKey(Option<Bytes>),
    Locked(Vec<Vec<u8>>),
    Transact(TxnReply),
    Shards(ShardReply),
    Status(WorkerStatus),
    Explain(Vec<String>),
    Joined(WorkerStatus),
    Copied(CopyReply),
    Locks(Locks),
    Cancelled(()),
    Advisory(bool),
}

impl From<Response> for pb::Response {
    fn from(response: Response) -> Self {
        use pb::response::Kind;
        let kind = match response {
            Response::Failed(error) => Kind::Error(error.into()),
            Response::Modify(reply) => match encode_batches(&reply.returned) {
                Ok(returned) => Kind::Modify(pb::ModifyReply {
                    count: reply.count,
                    returned: Some(returned),
                    commit_ts: reply.commit_ts.map(|at| at.0),
                }),
                Err(error) => Kind::Error(SqlError::from(error).into()),
            },
            Response::ReadKey(row) => Kind::ReadKey(pb::KeyReadReply { row }),
            Response::Locked(keys) => {
                Kind::Lock(pb::LockReply { keys: keys.into_iter().map(Into::into).collect() })
            }
            Response::Transact(reply) => {
                let timestamp = reply.timestamp.map(|at| at.0);
                Kind::Transact(pb::TransactReply { timestamp, pending: reply.pending })
            }
            Response::Shards(reply) => Kind::Shards(pb::ShardReply {
                shards: reply
                    .shards
                    .into_iter()
                    .map(|shard| pb::ShardStatus {
                        shard: shard.shard.0,
                        table: shard.table.0,
                        group: shard.group.0,
                        rows: shard.rows,
                        bytes: shard.bytes,
                        generation: shard.generation.0,
                        defined_by: shard.defined_by.map(Into::into),
                        indexes: shard
                            .indexes
                            .into_iter()
                            .map(|(index, bytes)| pb::IndexSize { index: index.0, bytes })
                            .collect(),
                    })
                    .collect(),
            }),
            Response::Status(status) => Kind::Status(status.into()),
            Response::Explain(lines) => Kind::Explain(pb::ExplainReply { lines }),
            Response::Joined(status) => Kind::Joined(status.into()),
            Response::Copied(reply) => Kind::Copy(reply.into()),
            Response::Locks(locks) => Kind::Locks(locks.into()),
            Response::Cancelled(()) => Kind::Cancelled(pb::CancelWaitReply {}),
            Response::Advisory(done) => Kind::Advisory(pb::AdvisoryReply { done }),
        };
        Self { kind: Some(kind) }
    }
}

impl TryFrom<pb::Response> for Response {
    type Error = WireError;

    fn try_from(response: pb::Response) -> Wire<Self> {
        use pb::response::Kind;
        Ok(match need(response.kind, "response")? {
            Kind::Error(error) => Self::Failed(error.into()),
            Kind::Modify(reply) => Self::Modify(ModifyReply {
                count: reply.count,
                returned: decode_batches(reply.returned.unwrap_or_default())?,
                commit_ts: reply.commit_ts.map(Timestamp),
            }),
            Kind::ReadKey(reply) => Self::ReadKey(reply.row),
            Kind::Lock(reply) => {
                Self::Locked(reply.keys.into_iter().map(|key| key.to_vec()).collect())
            }
            Kind::Transact(reply) => {
                let timestamp = reply.timestamp.map(Timestamp);
                Self::Transact(TxnReply { timestamp, pending: reply.pending })
            }
            Kind::Shards(reply) => Self::Shards(ShardReply {
                shards: list(reply.shards, |shard| {
                    Ok(ShardStatus {
                        shard: ShardId(shard.shard),
                        table: TableId(shard.table),
                        group: GroupId(shard.group),
                        rows: shard.rows,
                        bytes: shard.bytes,
                        generation: Generation(shard.generation),
                        defined_by: shard.defined_by.map(TxnId::from),
                        indexes: list(shard.indexes, |size| Ok((Oid(size.index), size.bytes)))?,
                    })
                })?,
            }),
            Kind::Status(status) => Self::Status(status.try_into()?),
            Kind::Explain(reply) => Self::Explain(reply.lines),
            Kind::Joined(status) => Self::Joined(status.try_into()?),
            Kind::Copy(reply) => Self::Copied(reply.try_into()?),
            Kind::Locks(locks) => Self::Locks(locks.try_into()?),
            Kind::Cancelled(pb::CancelWaitReply {}) => Self::Cancelled(()),
            Kind::Advisory(reply) => Self::Advisory(reply.done),
        })
    }
}

impl From<WorkerStatus> for pb::WorkerStatus {
    fn from(status: WorkerStatus) -> Self {
        Self {
            cluster: status.cluster,
            node: status.node.map(|node| node.0),
            directory: status.directory,
            lsn: status.lsn.0,
            prepared: status.prepared.into_iter().map(Into::into).collect(),
        }
    }
}

impl TryFrom<pb::WorkerStatus> for WorkerStatus {
    type Error = WireError;

    fn try_from(status: pb::WorkerStatus) -> Wire<Self> {
        Ok(Self {
            cluster: status.cluster,
            node: status.node.map(NodeId),
            directory: status.directory,
            lsn: Lsn(status.lsn),
            prepared: list(status.prepared, |txn| Ok(txn.into()))?,
        })
    }
}
