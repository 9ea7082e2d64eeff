//! A worker: holds shards, runs fragments on them, takes part in transactions.
//!
//! ```text
//! proto::Worker ──▶ LocalWorker ──▶ placement: is this still my group?
//!                       ├─ query    fragment ─▶ plan per group ─▶ one stream, on the CPU runtime
//!                       ├─ modify   rows ─▶ constraints ─▶ storage, under locks
//!                       ├─ load     many rows, the same checks
//!                       └─ shards, transact, lock
//! server: the same over gRPC, and this worker's place in the cluster
//! recovery: prepared transactions ask the coordinators for their outcome
//! ```
//!
//! What is not here: where rows belong (the coordinator routes them), and any retry (the session
//! answers [`satsuma_proto::worker::STALE_PLACEMENT`] and its like).

mod admission;
mod busy;
mod copy;
mod error;
mod index;
mod load;
mod local;
mod locks;
mod membership;
pub mod metrics;
mod modify;
mod placement;
mod query;
mod recovery;
pub mod restore;
pub mod server;
pub mod table;

pub use local::{LocalWorker, Settings};

#[cfg(test)]
mod tests;
