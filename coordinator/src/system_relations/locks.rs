//! What is locked, who waits for it, and for whom: `pg_locks`, `citus_locks`, `citus_lock_waits`,
//! `pg_blocking_pids`.
//!
//! Locks are held at workers by transactions; coordinators know which session runs which.

use std::collections::{BTreeMap, BTreeSet};

use satsuma_common::{Datum, Oid, ShardId, SqlResult, TableId, TxnId};
use satsuma_proto::worker::{LockEntry, LockMode, LockedThing, RowLockMode, TableLockMode};

use super::rows::{Rows, Value, row};
use super::surroundings::{RunningSession, Surroundings};
use super::{Fill, Source};
use crate::catalog::{DATABASE_OID, State};
use crate::session::shown_advisory_name;

pub(super) fn fill(name: &str) -> Option<Fill> {
    Some(match name {
        "pg_locks" => pg_locks,
        "citus_locks" => citus_locks,
        "citus_lock_waits" => citus_lock_waits,
        _ => return None,
    })
}

/// Citus's global process id has the node's id in front, times this.
pub(crate) const GLOBAL_PID_NODE: i64 = 10_000_000_000;

/// Node id and process id in one number.
pub(super) fn global_pid(session: &RunningSession) -> i64 {
    i64::from(session.node.0) * GLOBAL_PID_NODE + i64::from(session.process_id)
}

pub(super) fn node_id(session: &RunningSession) -> Datum {
    Datum::Int4(i32::try_from(session.node.0).unwrap_or(0))
}

/// Transactions that wait for a lock.
pub(super) fn waiting(around: &dyn Surroundings) -> SqlResult<BTreeSet<TxnId>> {
    let locks = around.locks()?;
    Ok(locks.iter().flat_map(|(_, locks)| locks.waits.iter().map(|edge| edge.waiter)).collect())
}

/// Sessions by their transactions, and by what they hold their own locks as.
fn by_transaction(sessions: &[RunningSession]) -> BTreeMap<TxnId, &RunningSession> {
    sessions
        .iter()
        .flat_map(|session| {
            session.txn.into_iter().chain(session.owner).map(move |id| (id, session))
        })
        .collect()
}

/// Waiting session and blocking session, each pair once.
fn blocked(
    around: &dyn Surroundings,
    sessions: &[RunningSession],
) -> SqlResult<Vec<(RunningSession, RunningSession)>> {
    let by_transaction = by_transaction(sessions);
    let mut pairs = BTreeMap::new();
    for (_, locks) in around.locks()? {
        for edge in locks.waits {
            let waiter = by_transaction.get(&edge.waiter);
            let holder = by_transaction.get(&edge.holder);
            if let (Some(waiter), Some(holder)) = (waiter, holder) {
                let pair = ((*waiter).clone(), (*holder).clone());
                pairs.insert((global_pid(waiter), global_pid(holder)), pair);
            }
        }
    }
    Ok(pairs.into_values().collect())
}

/// `pg_blocking_pids`.
pub(super) fn blocking(around: &dyn Surroundings, process_id: i32) -> SqlResult<Vec<i32>> {
    let pairs = blocked(around, &around.all_sessions()?)?;
    let of = pairs.iter().filter(|(waiter, _)| waiter.process_id == process_id);
    Ok(of.map(|(_, holder)| holder.process_id).collect())
}

/// A line of `pg_locks`: locks on the shards of a table are one lock on the table.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Line {
    kind: &'static str,
    relation: Option<TableId>,
    advisory: Option<(u32, u32, i16)>,
    /// Tells rows apart.
    row: Option<(ShardId, Vec<u8>)>,
    txn: TxnId,
    mode: &'static str,
    granted: bool,
}

fn lines(source: &Source<'_>) -> SqlResult<BTreeSet<Line>> {
    let table_of = table_of_shards(source.state);
    let locks = source.around.locks()?;
    let entries = locks.into_iter().flat_map(|(_, locks)| locks.entries);
    Ok(entries.map(|entry| line(entry, &table_of)).collect())
}

fn table_of_shards(state: &State) -> BTreeMap<ShardId, TableId> {
    let shards = |table: &crate::catalog::Table| {
        let id = table.id();
        state.shards_of(table).map(move |(shard, _)| (shard.id, id)).collect::<Vec<_>>()
    };
    state.tables().flat_map(shards).collect()
}

fn line(entry: LockEntry, table_of: &BTreeMap<ShardId, TableId>) -> Line {
    let LockEntry { txn, thing, mode, granted } = entry;
    let is_advisory = matches!(thing, LockedThing::Advisory(_));
    let mode = mode_name(mode, is_advisory);
    let relation = match &thing {
        LockedThing::Row(shard, _) | LockedThing::Shard(shard) => table_of.get(shard).copied(),
        LockedThing::Advisory(_) => None,
    };
    let line = |kind, row, advisory| Line { kind, relation, advisory, row, txn, mode, granted };
    match thing {
        LockedThing::Row(shard, key) => line("tuple", Some((shard, key)), None),
        LockedThing::Shard(_) => line("relation", None, None),
        LockedThing::Advisory(name) => line("advisory", None, shown_advisory_name(&name)),
    }
}

/// As PostgreSQL names them in `pg_locks`.
fn mode_name(mode: LockMode, is_advisory: bool) -> &'static str {
    match mode {
        LockMode::Row(RowLockMode::Share) if is_advisory => "ShareLock",
        LockMode::Row(_) if is_advisory => "ExclusiveLock",
        LockMode::Row(RowLockMode::KeyShare) => "AccessShareLock",
        LockMode::Row(RowLockMode::Share) => "RowShareLock",
        LockMode::Row(RowLockMode::NoKeyUpdate) => "ExclusiveLock",
        LockMode::Row(RowLockMode::Update) => "AccessExclusiveLock",
        LockMode::Table(mode) => match mode {
            TableLockMode::AccessShare => "AccessShareLock",
            TableLockMode::RowShare => "RowShareLock",
            TableLockMode::RowExclusive => "RowExclusiveLock",
            TableLockMode::ShareUpdateExclusive => "ShareUpdateExclusiveLock",
            TableLockMode::Share => "ShareLock",
            TableLockMode::ShareRowExclusive => "ShareRowExclusiveLock",
            TableLockMode::Exclusive => "ExclusiveLock",
            TableLockMode::AccessExclusive => "AccessExclusiveLock",
        },
    }
}

/// The columns that both views of locks have.
fn values(line: &Line, session: Option<&RunningSession>) -> Vec<(&'static str, Datum)> {
    let (class, object, sub) = match line.advisory {
        Some((class, object, sub)) => (Some(Oid(class)), Some(Oid(object)), Some(sub)),
        None => (None, None, None),
    };
    vec![
        ("locktype", line.kind.datum()),
        ("database", DATABASE_OID.datum()),
        ("relation", line.relation.map(|table| Oid(table.0)).datum()),
        ("classid", class.datum()),
        ("objid", object.datum()),
        ("objsubid", sub.datum()),
        ("virtualtransaction", line.txn.to_string().datum()),
        ("pid", session.map(|session| session.process_id).datum()),
        ("mode", line.mode.datum()),
        ("granted", line.granted.datum()),
        ("fastpath", false.datum()),
    ]
}

fn pg_locks(source: &Source<'_>, rows: &mut Rows<'_>) -> SqlResult<()> {
    let sessions = source.around.all_sessions()?;
    let by_transaction = by_transaction(&sessions);
    for line in lines(source)? {
        rows.push(values(&line, by_transaction.get(&line.txn).copied()))?;
    }
    Ok(())
}

fn citus_locks(source: &Source<'_>, rows: &mut Rows<'_>) -> SqlResult<()> {
    let sessions = source.around.all_sessions()?;
    let by_transaction = by_transaction(&sessions);
    for line in lines(source)? {
        let session = by_transaction.get(&line.txn).copied();
        let name = line.relation.and_then(|table| source.state.table(table));
        let mut values = values(&line, session);
        values.push(("global_pid", session.map(global_pid).datum()));
        values.push(("nodeid", session.map_or(Datum::Null, node_id)));
        values.push(("relation_name", name.map(|table| table.shape.name.clone()).datum()));
        rows.push(values)?;
    }
    Ok(())
}

fn citus_lock_waits(source: &Source<'_>, rows: &mut Rows<'_>) -> SqlResult<()> {
    let sessions = source.around.all_sessions()?;
    for (waiter, holder) in blocked(source.around, &sessions)? {
        row!(
            rows,
            waiting_gpid = global_pid(&waiter),
            blocking_gpid = global_pid(&holder),
            blocked_statement = &waiter.query,
            current_statement_in_blocking_process = &holder.query,
            waiting_nodeid = node_id(&waiter),
            blocking_nodeid = node_id(&holder),
        )?;
    }
    Ok(())
}
