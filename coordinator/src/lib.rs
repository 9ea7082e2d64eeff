//! The coordinator: what clients connect to. Front ends, sessions, the catalog, planning and
//! execution over the workers.

pub mod auth;
mod auto_analyze;
pub mod catalog;
mod client_stream;
pub mod clock;
pub mod cluster;
pub mod copy;
pub mod ddl;
pub mod deadlock;
pub mod executor;
#[cfg(test)]
mod fake_session;
pub mod flight;
pub mod keypath;
mod leftovers;
pub mod lock_graph;
pub mod membership;
pub mod metrics;
pub mod neighbours;
pub mod oracle;
pub mod pgwire;
pub mod planner;
pub mod raft;
pub mod rebalance;
pub mod sequences;
pub mod server;
pub mod session;
pub mod session_api;
pub mod session_list;
pub mod snapshots;
pub mod statement_statistics;
pub mod statistics;
pub mod system_relations;
pub mod table_sizes;
pub mod tenant_statistics;
pub mod tls;
pub mod txn;
pub mod untold;
pub mod value_io;
mod waiting;
pub mod workers;
