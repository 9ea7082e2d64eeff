use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use satsuma_common::{NodeId, ShardId, Timestamp, TxnId};

use super::*;
use crate::error::StorageError;
use RowLockMode::{KeyShare, NoKeyUpdate, Share, Update};

const FOREVER: LockWait = LockWait::Wait(None);

fn txn(n: u64) -> TxnId {
    TxnId { start: Timestamp(n), coordinator: NodeId(1) }
}

fn row(n: u8) -> LockKey {
    LockKey { shard: ShardId(1), row: Some(vec![n].into()) }
}

/// `None`: not ready.
fn poll<F: Future>(future: &mut Pin<Box<F>>) -> Option<F::Output> {
    match future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(answer) => Some(answer),
        Poll::Pending => None,
    }
}

/// `None`: has it already.
fn take(table: &LockTable, n: u64, key: u8, mode: RowLockMode) -> Option<Wait<'_>> {
    table.acquire(txn(n), &row(key), mode, FOREVER).unwrap()
}

#[test]
fn modes_exclude_each_other_as_in_postgresql() {
    let modes = [KeyShare, Share, NoKeyUpdate, Update];
    let table = ["...x", "..xx", ".xxx", "xxxx"];
    for (held, line) in modes.iter().zip(table) {
        for (wanted, expected) in modes.iter().zip(line.chars()) {
            assert_eq!(held.conflicts(*wanted), expected == 'x', "{held:?} {wanted:?}");
            let locks = LockTable::default();
            assert!(take(&locks, 1, 1, *held).is_none());
            assert_eq!(take(&locks, 2, 1, *wanted).is_some(), expected == 'x');
        }
    }
}

#[tokio::test]
async fn for_a_shard_waiters_come_in_in_order_and_none_starves() {
    let locks = LockTable::default();
    let shard = LockKey { shard: ShardId(1), row: None };
    let take = |n, mode| locks.acquire(txn(n), &shard, mode, FOREVER).unwrap();
    assert!(take(1, TableLockMode::RowExclusive).is_none());
    let change = take(2, TableLockMode::AccessExclusive).unwrap();
    // Compatible with the holder, but behind the change of the table.
    let writer = take(3, TableLockMode::RowExclusive).unwrap();
    assert_eq!(locks.waits().len(), 2);
    locks.release(txn(1));
    change.granted().await.unwrap();
    assert_eq!(locks.held_by(txn(3)), []);
    locks.release(txn(2));
    writer.granted().await.unwrap();
    locks.release(txn(3));
    assert!(locks.is_empty());
}

#[tokio::test]
async fn for_a_row_only_holders_are_waited_for() {
    let locks = LockTable::default();
    assert!(take(&locks, 1, 1, Share).is_none());
    let first = take(&locks, 2, 1, Update).unwrap();
    let second = take(&locks, 3, 1, Update).unwrap();
    assert!(take(&locks, 4, 1, Share).is_none());
    let holders: Vec<_> = locks.waits().iter().map(|edge| edge.holder).collect();
    assert!(!holders.contains(&txn(2)), "no waiter is waited for: {holders:?}");
    locks.release(txn(1));
    locks.release(txn(4));
    // Those that exclude each other still come in in their order.
    first.granted().await.unwrap();
    locks.release(txn(2));
    second.granted().await.unwrap();
}

#[tokio::test]
async fn strengthening_goes_ahead_of_the_queue() {
    let locks = LockTable::default();
    assert!(take(&locks, 1, 1, KeyShare).is_none());
    let writer = take(&locks, 2, 1, Update).unwrap();
    assert!(take(&locks, 1, 1, NoKeyUpdate).is_none());
    assert!(take(&locks, 1, 1, Share).is_none(), "weaker than what it has");
    assert_eq!(locks.held_by(txn(1)), [(row(1), LockMode::Row(NoKeyUpdate))]);
    locks.release(txn(1));
    writer.granted().await.unwrap();
}

#[tokio::test]
async fn a_wait_that_is_given_up_lets_the_next_in() {
    let locks = LockTable::default();
    let shard = LockKey { shard: ShardId(1), row: None };
    let take = |n, mode| locks.acquire(txn(n), &shard, mode, FOREVER).unwrap();
    assert!(take(1, TableLockMode::Share).is_none());
    let writer = take(2, TableLockMode::AccessExclusive).unwrap();
    let reader = take(3, TableLockMode::Share).unwrap();
    drop(writer);
    reader.granted().await.unwrap();
}

#[tokio::test]
async fn the_youngest_of_a_cycle_gives_way() {
    let locks = LockTable::default();
    for n in 1..=3 {
        assert!(take(&locks, n.into(), n, Update).is_none());
    }
    let third = take(&locks, 3, 1, Update).unwrap();
    let first = take(&locks, 1, 2, Update).unwrap();
    let second = take(&locks, 2, 3, Update).unwrap();
    let error = third.granted().await.unwrap_err();
    assert!(matches!(error, StorageError::Deadlock { .. }), "{error}");
    locks.release(txn(3));
    second.granted().await.unwrap();
    locks.release(txn(2));
    first.granted().await.unwrap();
}

#[tokio::test]
async fn two_that_strengthen_a_shared_lock_deadlock() {
    let locks = LockTable::default();
    assert!(take(&locks, 1, 1, Share).is_none());
    assert!(take(&locks, 2, 1, Share).is_none());
    let first = take(&locks, 1, 1, Update).unwrap();
    let second = take(&locks, 2, 1, Update).unwrap();
    assert!(matches!(second.granted().await, Err(StorageError::Deadlock { .. })));
    locks.release(txn(2));
    first.granted().await.unwrap();
}

#[tokio::test]
async fn waits_end_in_time_and_on_demand() {
    let locks = LockTable::start().unwrap();
    assert!(take(&locks, 1, 1, Update).is_none());
    let soon = LockWait::Wait(Some(Duration::from_millis(10)));
    let wait = locks.acquire(txn(2), &row(1), Share, soon).unwrap().unwrap();
    assert!(matches!(wait.granted().await, Err(StorageError::LockTimeout)));
    let wait = take(&locks, 3, 1, Share).unwrap();
    let edges = locks.waits();
    assert_eq!((edges[0].waiter, edges[0].holder), (txn(3), txn(1)));
    locks.cancel(txn(3), "chosen");
    assert!(matches!(wait.granted().await, Err(StorageError::Deadlock { .. })));
    assert!(matches!(
        locks.acquire(txn(4), &row(1), KeyShare, LockWait::NoWait),
        Err(StorageError::LockNotAvailable)
    ));
    locks.close();
}

#[test]
fn table_modes_exclude_each_other_as_in_postgresql() {
    use TableLockMode as T;
    let modes = [
        T::AccessShare,
        T::RowShare,
        T::RowExclusive,
        T::ShareUpdateExclusive,
        T::Share,
        T::ShareRowExclusive,
        T::Exclusive,
        T::AccessExclusive,
    ];
    let table = [
        ".......x", "......xx", "....xxxx", "...xxxxx", "..xx.xxx", "..xxxxxx", ".xxxxxxx",
        "xxxxxxxx",
    ];
    for (held, line) in modes.iter().zip(table) {
        for (wanted, expected) in modes.iter().zip(line.chars()) {
            assert_eq!(held.conflicts(*wanted), expected == 'x', "{held:?} {wanted:?}");
        }
    }
}

#[test]
fn a_transaction_may_hold_strengths_that_are_not_in_a_line() {
    let locks = LockTable::default();
    let shard = LockKey { shard: ShardId(1), row: None };
    for mode in [TableLockMode::RowExclusive, TableLockMode::Share] {
        assert!(locks.acquire(txn(1), &shard, mode, LockWait::NoWait).unwrap().is_none());
    }
    for mode in [TableLockMode::RowExclusive, TableLockMode::Share] {
        let other = locks.acquire(txn(2), &shard, mode, LockWait::NoWait);
        assert!(matches!(other, Err(StorageError::LockNotAvailable)), "{mode:?}");
    }
    assert!(
        locks.acquire(txn(2), &shard, TableLockMode::RowShare, LockWait::NoWait).unwrap().is_none()
    );
}

#[tokio::test]
async fn a_sessions_lock_outlives_the_transaction_that_took_it() {
    let locks = LockTable::default();
    let key = LockKey::advisory(vec![7].into());
    let (session, other) = (txn(1), txn(9));
    assert!(locks.acquire_for(txn(2), session, session, &key, Update, FOREVER).unwrap().is_none());
    locks.release(txn(2));
    // The session's next transaction has it, and its own lock on it is no conflict.
    assert!(locks.acquire_for(txn(3), session, txn(3), &key, Share, FOREVER).unwrap().is_none());
    locks.release(txn(3));
    let wait = locks.acquire_for(txn(5), other, other, &key, Update, FOREVER).unwrap().unwrap();
    assert_eq!((locks.waits()[0].waiter, locks.waits()[0].holder), (txn(5), session));
    assert!(locks.release_one(session, &key, Update));
    assert!(!locks.release_one(session, &key, Update));
    wait.granted().await.unwrap();
    assert_eq!(locks.entries(0).len(), 1);
    locks.release(other);
    assert!(locks.is_empty());
}

#[tokio::test]
async fn readers_pass_when_nobody_keeps_them_out_and_leave_nothing() {
    let locks = LockTable::default();
    let shard = LockKey { shard: ShardId(1), row: None };
    let take = |n, mode| locks.acquire(txn(n), &shard, mode, LockWait::NoWait).unwrap();
    assert!(take(1, TableLockMode::Exclusive).is_none());
    assert!(!locks.keeps_readers_out());
    assert!(!locks.pass(txn(2), ShardId(1), None).await.unwrap());
    assert!(take(1, TableLockMode::AccessExclusive).is_none());
    assert!(locks.keeps_readers_out());
    // Whoever locked it reads.
    assert!(!locks.pass(txn(1), ShardId(1), None).await.unwrap());

    let waits = || locks.pass(txn(2), ShardId(1), None);
    // One gives up before, one after it was let in, and one goes on.
    let (mut early, mut late, mut patient) =
        (Box::pin(waits()), Box::pin(waits()), Box::pin(waits()));
    for reader in [&mut early, &mut late, &mut patient] {
        assert!(poll(reader).is_none());
    }
    drop(early);
    locks.release(txn(1));
    assert!(!locks.keeps_readers_out());
    drop(late);
    assert!(patient.await.unwrap());
    assert!(locks.is_empty() && locks.held_by(txn(2)).is_empty());
    assert!(take(3, TableLockMode::AccessExclusive).is_none());
    assert!(locks.release_one(txn(3), &shard, TableLockMode::AccessExclusive));
    assert!(!locks.keeps_readers_out() && locks.is_empty());
}
