//! Requests and answers to protobuf and back. Out is `From`, in is `TryFrom`: whatever comes from
//! a peer is checked here, so that the rest of the system only meets valid values.

mod constraints;
mod copy;
mod error;
mod key;
mod locks;
mod report;
mod request;
mod response;
mod shape;

use std::time::Duration;

use satsuma_common::table::ConstraintModes;
use satsuma_common::{GroupId, NodeId, ShardId, TableId, Timestamp, TxnId};

use crate::error::WireError;
use crate::pb::{types, worker as pb};
use crate::worker::{GroupRef, Membership, StatementContext, TableShard};

/// Lists longer than this are not sent by any honest peer.
const MAX_ITEMS: usize = 1 << 20;
/// Names and constraint texts.
const MAX_TEXT: usize = 16 << 20;

pub use request::{Request, load_request};
pub use response::Response;

type Wire<T> = Result<T, WireError>;

/// A field that protobuf lets a peer leave out, but the protocol does not.
fn need<T>(value: Option<T>, what: &'static str) -> Wire<T> {
    value.ok_or(WireError::Missing(what))
}

fn list<A, B>(items: Vec<A>, convert: impl FnMut(A) -> Wire<B>) -> Wire<Vec<B>> {
    if items.len() > MAX_ITEMS {
        return Err(WireError::OutOfRange("length of a list"));
    }
    items.into_iter().map(convert).collect()
}

fn text(value: String) -> Wire<String> {
    if value.len() > MAX_TEXT { Err(WireError::OutOfRange("length of a text")) } else { Ok(value) }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

impl From<TxnId> for types::TxnId {
    fn from(txn: TxnId) -> Self {
        Self { start: txn.start.0, coordinator: txn.coordinator.0 }
    }
}

impl From<types::TxnId> for TxnId {
    fn from(txn: types::TxnId) -> Self {
        Self { start: Timestamp(txn.start), coordinator: NodeId(txn.coordinator) }
    }
}

impl From<StatementContext> for pb::StatementContext {
    fn from(context: StatementContext) -> Self {
        Self {
            txn: Some(context.txn.into()),
            snapshot: context.snapshot.0,
            statement: context.statement,
            lock_timeout_micros: context.lock_timeout.map(micros),
            timeout_micros: context.timeout.map(micros),
            memory_limit: context.memory_limit,
            time_zone: context.time_zone,
            now_micros: context.now_micros,
            constraints: (context.constraints != ConstraintModes::default())
                .then(|| context.constraints.into()),
            has_written: context.has_written,
            rewrites: context.rewrites,
        }
    }
}

impl TryFrom<pb::StatementContext> for StatementContext {
    type Error = WireError;

    fn try_from(context: pb::StatementContext) -> Wire<Self> {
        if context.time_zone.len() > 256 {
            return Err(WireError::OutOfRange("time zone"));
        }
        Ok(Self {
            txn: need(context.txn, "transaction")?.into(),
            snapshot: Timestamp(context.snapshot),
            statement: context.statement,
            lock_timeout: context.lock_timeout_micros.map(Duration::from_micros),
            timeout: context.timeout_micros.map(Duration::from_micros),
            memory_limit: context.memory_limit,
            time_zone: context.time_zone,
            now_micros: context.now_micros,
            constraints: context.constraints.unwrap_or_default().try_into()?,
            has_written: context.has_written,
            rewrites: context.rewrites,
        })
    }
}

impl From<GroupRef> for pb::GroupRef {
    fn from(group: GroupRef) -> Self {
        let shards = group
            .shards
            .into_iter()
            .map(|shard| pb::TableShard {
                table: shard.table.0,
                shard: shard.shard.0,
                version: shard.version,
            })
            .collect();
        Self { group: group.group.0, generation: group.generation.0, shards }
    }
}

impl TryFrom<pb::GroupRef> for GroupRef {
    type Error = WireError;

    fn try_from(group: pb::GroupRef) -> Wire<Self> {
        Ok(Self {
            group: GroupId(group.group),
            generation: satsuma_common::Generation(group.generation),
            shards: list(group.shards, |shard| {
                Ok(TableShard {
                    table: TableId(shard.table),
                    shard: ShardId(shard.shard),
                    version: shard.version,
                })
            })?,
        })
    }
}

impl From<Membership> for types::Membership {
    fn from(membership: Membership) -> Self {
        Self {
            cluster: membership.cluster,
            node: membership.node.0,
            coordinators: membership.coordinators,
        }
    }
}

impl TryFrom<types::Membership> for Membership {
    type Error = WireError;

    fn try_from(membership: types::Membership) -> Wire<Self> {
        if membership.cluster.len() > 1024 {
            return Err(WireError::OutOfRange("identity of a cluster"));
        }
        if membership.coordinators.len() > 64 {
            return Err(WireError::OutOfRange("number of coordinators"));
        }
        Ok(Self {
            cluster: membership.cluster,
            node: NodeId(membership.node),
            coordinators: list(membership.coordinators, |address| {
                if address.len() > 1024 {
                    return Err(WireError::OutOfRange("address"));
                }
                Ok(address)
            })?,
        })
    }
}

#[cfg(test)]
mod tests;
