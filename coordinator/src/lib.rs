//! The coordinator: what clients connect to. Front ends, sessions, the catalog, planning and
//! execution over the workers.

pub mod auth;
pub mod catalog;
pub mod copy;
#[cfg(test)]
mod fake_session;
pub mod flight;
pub mod oracle;
pub mod pgwire;
pub mod raft;
pub mod session_api;
pub mod system_relations;
pub mod tls;
pub mod value_io;
