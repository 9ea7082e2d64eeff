//! Row locks in PostgreSQL's four strengths, shard locks in its eight, and advisory locks, held in
//! memory until a transaction ends.
//!
//! Whoever must wait queues. A waiter is let in when it is compatible with every holder and, for
//! whole shards, with every waiter ahead of it, so that a change of a table does not starve; a
//! transaction that strengthens a lock it holds goes ahead of the queue. Each wait is checked for
//! a local deadlock as it begins, and
//! [`LockTable::waits`] lists all waits for the detector that sees every worker.

mod mode;
mod table;

pub use mode::{LockMode, RowLockMode, TableLockMode};
pub use table::{LockEntry, LockKey, LockTable, LockWait, Wait, WaitEdge};

#[cfg(test)]
mod tests;
