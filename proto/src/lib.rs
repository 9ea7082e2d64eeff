//! What travels between coordinators and workers.
//!
//! ```text
//! worker::Worker (plain Rust, the seam)
//!    ^ implemented by the worker itself, in process
//!    ^ implemented by client::RemoteWorker --frames, gRPC--> server::WorkerServer -> a Worker
//! ```
//!
//! [`convert`] turns requests into protobuf messages and back, and trusts nothing that comes in;
//! [`batches`] does the same for Arrow data. What is absent here: any meaning of a plan's bytes
//! (that is `satsuma_sql::codec`'s) and any retrying (that is the session's).

pub mod batches;
pub mod client;
pub mod convert;
pub mod coordinator;
pub mod copy;
mod error;
mod frames;
pub mod pb;
mod pieces;
pub mod report;
pub mod server;
pub mod worker;

pub use client::RemoteWorker;
pub use coordinator::RemoteCoordinator;
pub use error::WireError;
pub use server::WorkerServer;
