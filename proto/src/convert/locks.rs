//! Locks: requests for them, and what a worker tells of them.

use std::time::Duration;

use satsuma_common::{ShardId, TableId};

use super::{Wire, list, micros, need};
use crate::error::WireError;
use crate::pb::worker as pb;
use crate::worker::{
    AdvisoryAction, AdvisoryRequest, GroupRef, LockEntry, LockMode, LockRequest, LockTarget,
    LockWait, LockedThing, Locks, RowLockMode, ShardLocks, TableLockMode, WaitEdge,
};

/// Longest name of an advisory lock.
const MAX_NAME: usize = 64;
/// Modes of tables come after those of rows where both can stand.
const FIRST_TABLE_MODE: u32 = 4;

impl From<RowLockMode> for pb::RowLockMode {
    fn from(mode: RowLockMode) -> Self {
        match mode {
            RowLockMode::KeyShare => Self::KeyShare,
            RowLockMode::Share => Self::Share,
            RowLockMode::NoKeyUpdate => Self::NoKeyUpdate,
            RowLockMode::Update => Self::Update,
        }
    }
}

fn row_mode(mode: i32) -> Wire<RowLockMode> {
    Ok(match pb::RowLockMode::try_from(mode).map_err(|_| WireError::Unknown("lock mode"))? {
        pb::RowLockMode::KeyShare => RowLockMode::KeyShare,
        pb::RowLockMode::Share => RowLockMode::Share,
        pb::RowLockMode::NoKeyUpdate => RowLockMode::NoKeyUpdate,
        pb::RowLockMode::Update => RowLockMode::Update,
    })
}

impl From<TableLockMode> for pb::TableLockMode {
    fn from(mode: TableLockMode) -> Self {
        match mode {
            TableLockMode::AccessShare => Self::AccessShare,
            TableLockMode::RowShare => Self::RowShare,
            TableLockMode::RowExclusive => Self::RowExclusive,
            TableLockMode::ShareUpdateExclusive => Self::ShareUpdateExclusive,
            TableLockMode::Share => Self::TableShare,
            TableLockMode::ShareRowExclusive => Self::ShareRowExclusive,
            TableLockMode::Exclusive => Self::Exclusive,
            TableLockMode::AccessExclusive => Self::AccessExclusive,
        }
    }
}

fn table_mode(mode: i32) -> Wire<TableLockMode> {
    Ok(match pb::TableLockMode::try_from(mode).map_err(|_| WireError::Unknown("lock mode"))? {
        pb::TableLockMode::AccessShare => TableLockMode::AccessShare,
        pb::TableLockMode::RowShare => TableLockMode::RowShare,
        pb::TableLockMode::RowExclusive => TableLockMode::RowExclusive,
        pb::TableLockMode::ShareUpdateExclusive => TableLockMode::ShareUpdateExclusive,
        pb::TableLockMode::TableShare => TableLockMode::Share,
        pb::TableLockMode::ShareRowExclusive => TableLockMode::ShareRowExclusive,
        pb::TableLockMode::Exclusive => TableLockMode::Exclusive,
        pb::TableLockMode::AccessExclusive => TableLockMode::AccessExclusive,
    })
}

fn any_mode_to_wire(mode: LockMode) -> u32 {
    match mode {
        LockMode::Row(mode) => pb::RowLockMode::from(mode) as u32,
        LockMode::Table(mode) => FIRST_TABLE_MODE + pb::TableLockMode::from(mode) as u32,
    }
}

fn any_mode(mode: u32) -> Wire<LockMode> {
    let small = |mode: u32| i32::try_from(mode).map_err(|_| WireError::Unknown("lock mode"));
    match mode.checked_sub(FIRST_TABLE_MODE) {
        Some(mode) => table_mode(small(mode)?).map(LockMode::Table),
        None => row_mode(small(mode)?).map(LockMode::Row),
    }
}

impl From<LockRequest> for pb::LockRequest {
    fn from(request: LockRequest) -> Self {
        let target = match request.target {
            LockTarget::Rows(keys, mode) => pb::lock_request::Target::Rows(pb::RowLocks {
                keys: keys.into_iter().map(Into::into).collect(),
                mode: pb::RowLockMode::from(mode).into(),
            }),
            LockTarget::Shard(mode) => {
                pb::lock_request::Target::Shard(pb::TableLockMode::from(mode).into())
            }
            LockTarget::Shards(locks) => pb::lock_request::Target::Shards(pb::ShardLocks {
                others: locks.others.into_iter().map(Into::into).collect(),
                mode: pb::TableLockMode::from(locks.mode).into(),
                all_rows: locks.all_rows.map(|mode| pb::RowLockMode::from(mode).into()),
            }),
        };
        let wait = match request.wait {
            LockWait::Wait => pb::LockWait::Wait,
            LockWait::NoWait => pb::LockWait::NoWait,
            LockWait::SkipLocked => pb::LockWait::SkipLocked,
        };
        Self {
            context: Some(request.context.into()),
            group: Some(request.group.into()),
            table: request.table.0,
            target: Some(target),
            wait: wait.into(),
            limit: request.limit,
            skip_deleted: request.skip_deleted,
            in_turn: request.in_turn,
        }
    }
}

impl TryFrom<pb::LockRequest> for LockRequest {
    type Error = WireError;

    fn try_from(request: pb::LockRequest) -> Wire<Self> {
        let unknown = |_| WireError::Unknown("lock wait");
        let target = match need(request.target, "lock target")? {
            pb::lock_request::Target::Rows(rows) => {
                let keys = rows.keys.into_iter().map(|key| key.to_vec()).collect();
                LockTarget::Rows(keys, row_mode(rows.mode)?)
            }
            pb::lock_request::Target::Shard(mode) => LockTarget::Shard(table_mode(mode)?),
            pb::lock_request::Target::Shards(locks) => LockTarget::Shards(ShardLocks {
                others: list(locks.others, GroupRef::try_from)?,
                mode: table_mode(locks.mode)?,
                all_rows: locks.all_rows.map(row_mode).transpose()?,
            }),
        };
        Ok(Self {
            context: need(request.context, "context")?.try_into()?,
            group: need(request.group, "group")?.try_into()?,
            table: TableId(request.table),
            target,
            wait: match pb::LockWait::try_from(request.wait).map_err(unknown)? {
                pb::LockWait::Wait => LockWait::Wait,
                pb::LockWait::NoWait => LockWait::NoWait,
                pb::LockWait::SkipLocked => LockWait::SkipLocked,
            },
            limit: request.limit,
            skip_deleted: request.skip_deleted,
            in_turn: request.in_turn,
        })
    }
}

impl From<LockedThing> for pb::LockedThing {
    fn from(thing: LockedThing) -> Self {
        use pb::locked_thing::Kind;
        let kind = match thing {
            LockedThing::Row(shard, key) => {
                Kind::Row(pb::LockedRow { shard: shard.0, key: key.into() })
            }
            LockedThing::Shard(shard) => Kind::Shard(shard.0),
            LockedThing::Advisory(name) => Kind::Advisory(name.into()),
        };
        Self { kind: Some(kind) }
    }
}

impl TryFrom<pb::LockedThing> for LockedThing {
    type Error = WireError;

    fn try_from(thing: pb::LockedThing) -> Wire<Self> {
        use pb::locked_thing::Kind;
        Ok(match need(thing.kind, "locked thing")? {
            Kind::Row(row) => Self::Row(ShardId(row.shard), row.key.to_vec()),
            Kind::Shard(shard) => Self::Shard(ShardId(shard)),
            Kind::Advisory(name) => Self::Advisory(name.to_vec()),
        })
    }
}

impl From<Locks> for pb::LocksReply {
    fn from(locks: Locks) -> Self {
        let entry = |entry: LockEntry| pb::LockEntry {
            txn: Some(entry.txn.into()),
            thing: Some(entry.thing.into()),
            mode: any_mode_to_wire(entry.mode),
            granted: entry.granted,
        };
        let edge = |edge: WaitEdge| pb::WaitEdge {
            wait: edge.wait,
            waiter: Some(edge.waiter.into()),
            holder: Some(edge.holder.into()),
            thing: Some(edge.thing.into()),
        };
        Self {
            entries: locks.entries.into_iter().map(entry).collect(),
            waits: locks.waits.into_iter().map(edge).collect(),
        }
    }
}

impl TryFrom<pb::LocksReply> for Locks {
    type Error = WireError;

    fn try_from(reply: pb::LocksReply) -> Wire<Self> {
        let entries = list(reply.entries, |entry| {
            Ok(LockEntry {
                txn: need(entry.txn, "transaction")?.into(),
                thing: need(entry.thing, "locked thing")?.try_into()?,
                mode: any_mode(entry.mode)?,
                granted: entry.granted,
            })
        })?;
        let waits = list(reply.waits, |edge| {
            Ok(WaitEdge {
                wait: edge.wait,
                waiter: need(edge.waiter, "waiter")?.into(),
                holder: need(edge.holder, "holder")?.into(),
                thing: need(edge.thing, "locked thing")?.try_into()?,
            })
        })?;
        Ok(Self { entries, waits })
    }
}

impl From<AdvisoryRequest> for pb::AdvisoryRequest {
    fn from(request: AdvisoryRequest) -> Self {
        use pb::advisory_request::Action;
        let action = match request.action {
            AdvisoryAction::Wait(limit) => Action::WaitMicros(limit.map_or(0, micros)),
            AdvisoryAction::Try => Action::Try(pb::Try {}),
            AdvisoryAction::Unlock => Action::Unlock(pb::Unlock {}),
        };
        Self {
            txn: Some(request.txn.into()),
            session: Some(request.session.into()),
            for_session: request.for_session,
            name: request.name.into(),
            shared: request.shared,
            action: Some(action),
        }
    }
}

impl TryFrom<pb::AdvisoryRequest> for AdvisoryRequest {
    type Error = WireError;

    fn try_from(request: pb::AdvisoryRequest) -> Wire<Self> {
        use pb::advisory_request::Action;
        if request.name.is_empty() || request.name.len() > MAX_NAME {
            return Err(WireError::OutOfRange("name of an advisory lock"));
        }
        let action = match need(request.action, "action")? {
            Action::WaitMicros(0) => AdvisoryAction::Wait(None),
            Action::WaitMicros(micros) => AdvisoryAction::Wait(Some(Duration::from_micros(micros))),
            Action::Try(pb::Try {}) => AdvisoryAction::Try,
            Action::Unlock(pb::Unlock {}) => AdvisoryAction::Unlock,
        };
        Ok(Self {
            txn: need(request.txn, "transaction")?.into(),
            session: need(request.session, "session")?.into(),
            for_session: request.for_session,
            name: request.name.to_vec(),
            shared: request.shared,
            action,
        })
    }
}
