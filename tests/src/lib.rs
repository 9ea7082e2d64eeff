//! The harness: clusters of real processes, real clients, and PostgreSQL 15 as the judge.
//!
//! ```text
//! binaries  builds and finds `coordinator`, `worker`, `satsuma`, `satsuma-bench`
//! process   one process: start, wait for `ready`, kill -9, SIGTERM, restart, log
//! cluster   a cluster of them, on free ports and in a temporary directory
//! caller    clients that go on whatever happens
//! faults    what kills, pauses and cuts off its nodes
//! network   proxies between its nodes, which cut them off from each other
//! wire      a PostgreSQL client that shows every message: type oids, tags, SQLSTATEs
//! frames    messages of the extended protocol, built by hand
//! psql      the real psql, and what it printed, block by block
//! oracle    a temporary PostgreSQL 15 server
//! differential  the same statements to both, and every difference
//! http      what nodes tell over HTTP: metrics, health
//! history   whether a history of transactions is one of snapshots
//! isolation sessions that wait for each other, as text scripts
//! slt       sqllogictest over tokio-postgres
//! data      the generated data set
//! tpch      TPC-H's tables, rows and queries
//! random_queries  queries that nobody thought of
//! ```
//!
//! What is not installed is skipped with a line on stderr that `cargo test` does not swallow;
//! with `SATSUMA_TESTS_REQUIRE_ALL=1`, as in `.ci/run`, it fails instead.

pub mod binaries;
pub mod caller;
pub mod cluster;
pub mod data;
pub mod differential;
pub mod faults;
pub mod frames;
pub mod history;
pub mod http;
pub mod isolation;
pub mod network;
pub mod oracle;
pub mod process;
pub mod psql;
pub mod random_queries;
pub mod skip;
pub mod slt;
pub mod tpch;
pub mod wire;

use std::path::PathBuf;

/// The root of the workspace.
pub fn workspace() -> PathBuf {
    let tests = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    tests.parent().map(PathBuf::from).unwrap_or(tests)
}

/// A file or directory of the `tests` crate.
pub fn tests_path(path: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(path)
}
