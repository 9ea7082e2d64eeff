//! Locks: rows and shards that a statement asks for, advisory locks, and what is locked now.

use bytes::Bytes;
use satsuma_common::{ShardId, SqlError, SqlResult, SqlState};
use satsuma_proto::worker::{
    self as proto, AdvisoryAction, AdvisoryRequest, LockRequest, LockTarget, LockWait, LockedThing,
    Locks, StatementContext,
};
use satsuma_storage::{LockKey, LockMode, RowLockMode, RowLocks, StorageError, TableLockMode};

use crate::error;
use crate::local::Shared;

/// The key of no row: it stands for all rows of a shard (see [`proto::ShardLocks`]).
const ALL_ROWS: &[u8] = &[];

/// Waits until nobody changes rows in many shards at once, this one among them.
pub(crate) async fn in_turn(
    shared: &Shared,
    context: &StatementContext,
    shard: ShardId,
) -> SqlResult<()> {
    let write = crate::modify::write_context(context);
    let wait = satsuma_storage::LockWait::Wait(context.lock_timeout);
    let locks = RowLocks::new(RowLockMode::Share, wait);
    let locked = shared.engine.lock_rows(&write, shard, &[ALL_ROWS], locks).await;
    locked.map(drop).map_err(error::storage)
}

/// Answers with the keys of the rows that are locked now.
pub(crate) async fn lock(shared: &Shared, request: LockRequest) -> SqlResult<Vec<Vec<u8>>> {
    let _at_work = shared.busy.enter(request.context.txn);
    shared.begin(&request.context)?;
    let write = crate::modify::write_context(&request.context);
    let wait = match request.wait {
        LockWait::Wait => satsuma_storage::LockWait::Wait(request.context.lock_timeout),
        LockWait::NoWait | LockWait::SkipLocked => satsuma_storage::LockWait::NoWait,
    };
    if let LockTarget::Shard(mode) = request.target {
        let of_table = |named: &&proto::TableShard| named.table == request.table;
        let named = request.group.shards.iter().find(of_table).map(|named| named.shard);
        // Nothing here says what it was: it can only be dropped, which begins with its lock.
        if let Some(shard) = named.filter(|shard| shared.engine.is_lost(*shard)) {
            let locked = shared.engine.lock_shard(&write, shard, table_mode(mode), wait).await;
            return locked.map(|_| Vec::new()).map_err(error::storage);
        }
    }
    let group = shared.placements.group(&request.group)?;
    let target = group.table(request.table)?;
    let name = &target.meta.shape.name;
    let named = |what: String, failure: StorageError| match failure {
        StorageError::LockNotAvailable => {
            SqlError::new(SqlState::LOCK_NOT_AVAILABLE, format!("could not obtain lock on {what}"))
        }
        other => error::storage(other),
    };
    match request.target {
        LockTarget::Rows(keys, mode) => {
            if request.in_turn {
                in_turn(shared, &request.context, target.shard).await?;
            }
            let locks = RowLocks {
                skip_locked: request.wait == LockWait::SkipLocked,
                skip_deleted: request.skip_deleted,
                limit: request.limit.map(|limit| limit as usize),
                ..RowLocks::new(row_mode(mode), wait)
            };
            let locked = shared.engine.lock_rows(&write, target.shard, &keys, locks).await;
            let locked =
                locked.map_err(|failure| named(format!("row in relation \"{name}\""), failure))?;
            shared.placements.still(&request.group)?;
            let exist = locked.into_iter().filter(|locked| locked.exists);
            Ok(exist.filter_map(|locked| keys.get(locked.row).cloned()).collect())
        }
        LockTarget::Shard(mode) => {
            let locked =
                shared.engine.lock_shard(&write, target.shard, table_mode(mode), wait).await;
            locked.map_err(|failure| named(format!("relation \"{name}\""), failure))?;
            shared.placements.still(&request.group)?;
            Ok(Vec::new())
        }
        LockTarget::Shards(locks) => {
            let relation = |failure| named(format!("relation \"{name}\""), failure);
            for of_group in std::iter::once(&request.group).chain(&locks.others) {
                let shard = shared.placements.group(of_group)?.table(request.table)?.shard;
                let locked =
                    shared.engine.lock_shard(&write, shard, table_mode(locks.mode), wait).await;
                locked.map_err(relation)?;
                if let Some(mode) = locks.all_rows {
                    let rows = RowLocks::new(row_mode(mode), wait);
                    let locked = shared.engine.lock_rows(&write, shard, &[ALL_ROWS], rows).await;
                    locked.map_err(relation)?;
                }
                shared.placements.still(of_group)?;
            }
            Ok(Vec::new())
        }
    }
}

pub(crate) async fn advisory(shared: &Shared, request: AdvisoryRequest) -> SqlResult<bool> {
    let key = LockKey::advisory(Bytes::from(request.name));
    let mode = if request.shared { RowLockMode::Share } else { RowLockMode::Update };
    let wait = match request.action {
        AdvisoryAction::Unlock => {
            return Ok(shared.engine.unlock_advisory(request.session, &key, mode));
        }
        AdvisoryAction::Try => satsuma_storage::LockWait::NoWait,
        AdvisoryAction::Wait(limit) => satsuma_storage::LockWait::Wait(limit),
    };
    let _at_work = shared.busy.enter(request.txn);
    let who = (request.txn, request.session);
    let locked = shared.engine.lock_advisory(who, request.for_session, &key, mode, wait).await;
    locked.map_err(error::storage)
}

pub(crate) fn list(shared: &Shared, rows: u32) -> Locks {
    let entries = match rows {
        0 => Vec::new(),
        rows => shared.engine.list_locks(rows as usize),
    };
    let entries = entries.into_iter();
    let waits = shared.engine.waits().into_iter();
    Locks {
        entries: entries
            .map(|entry| proto::LockEntry {
                txn: entry.txn,
                thing: thing(entry.lock),
                mode: told_mode(entry.mode),
                granted: entry.granted,
            })
            .collect(),
        waits: waits
            .map(|edge| proto::WaitEdge {
                wait: edge.wait,
                waiter: edge.waiter,
                holder: edge.holder,
                thing: thing(edge.lock),
            })
            .collect(),
    }
}

fn thing(key: LockKey) -> LockedThing {
    let is_advisory = key.is_advisory();
    match key.row {
        Some(name) if is_advisory => LockedThing::Advisory(name.to_vec()),
        Some(row) => LockedThing::Row(key.shard, row.to_vec()),
        None => LockedThing::Shard(key.shard),
    }
}

fn row_mode(mode: proto::RowLockMode) -> RowLockMode {
    match mode {
        proto::RowLockMode::KeyShare => RowLockMode::KeyShare,
        proto::RowLockMode::Share => RowLockMode::Share,
        proto::RowLockMode::NoKeyUpdate => RowLockMode::NoKeyUpdate,
        proto::RowLockMode::Update => RowLockMode::Update,
    }
}

fn table_mode(mode: proto::TableLockMode) -> TableLockMode {
    match mode {
        proto::TableLockMode::AccessShare => TableLockMode::AccessShare,
        proto::TableLockMode::RowShare => TableLockMode::RowShare,
        proto::TableLockMode::RowExclusive => TableLockMode::RowExclusive,
        proto::TableLockMode::ShareUpdateExclusive => TableLockMode::ShareUpdateExclusive,
        proto::TableLockMode::Share => TableLockMode::Share,
        proto::TableLockMode::ShareRowExclusive => TableLockMode::ShareRowExclusive,
        proto::TableLockMode::Exclusive => TableLockMode::Exclusive,
        proto::TableLockMode::AccessExclusive => TableLockMode::AccessExclusive,
    }
}

fn told_mode(mode: LockMode) -> proto::LockMode {
    match mode {
        LockMode::Row(RowLockMode::KeyShare) => proto::LockMode::Row(proto::RowLockMode::KeyShare),
        LockMode::Row(RowLockMode::Share) => proto::LockMode::Row(proto::RowLockMode::Share),
        LockMode::Row(RowLockMode::NoKeyUpdate) => {
            proto::LockMode::Row(proto::RowLockMode::NoKeyUpdate)
        }
        LockMode::Row(RowLockMode::Update) => proto::LockMode::Row(proto::RowLockMode::Update),
        LockMode::Table(mode) => proto::LockMode::Table(match mode {
            TableLockMode::AccessShare => proto::TableLockMode::AccessShare,
            TableLockMode::RowShare => proto::TableLockMode::RowShare,
            TableLockMode::RowExclusive => proto::TableLockMode::RowExclusive,
            TableLockMode::ShareUpdateExclusive => proto::TableLockMode::ShareUpdateExclusive,
            TableLockMode::Share => proto::TableLockMode::Share,
            TableLockMode::ShareRowExclusive => proto::TableLockMode::ShareRowExclusive,
            TableLockMode::Exclusive => proto::TableLockMode::Exclusive,
            TableLockMode::AccessExclusive => proto::TableLockMode::AccessExclusive,
        }),
    }
}
