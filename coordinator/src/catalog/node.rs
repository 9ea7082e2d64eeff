//! Coordinators and workers: `pg_dist_node`.

use satsuma_common::NodeId;
use serde::{Deserialize, Serialize};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum NodeRole {
    Coordinator,
    Worker,
}

impl std::fmt::Display for NodeRole {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Coordinator => "coordinator",
            Self::Worker => "worker",
        })
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Node {
    pub id: NodeId,
    /// `pg_dist_node.groupid`: 0 for coordinators, from 1 for workers.
    pub group: u32,
    pub role: NodeRole,
    pub host: String,
    /// gRPC port of a worker; PostgreSQL port of a coordinator.
    pub port: u16,
    /// Where other coordinators reach a coordinator over gRPC (`host:port`).
    pub grpc_address: Option<String>,
    /// Identity of the worker's data directory: the node it is, wherever it runs.
    pub directory: Option<String>,
    /// It can be asked, and has what it must have.
    pub is_active: bool,
    /// Not active by a user's wish: it does not become so when it comes back.
    pub is_disabled: bool,
    pub should_have_shards: bool,
}

impl Node {
    pub fn is_worker(&self) -> bool {
        self.role == NodeRole::Worker
    }

    /// A worker that is not in the catalog.
    pub fn worker_at(host: &str, port: u16) -> Self {
        Self {
            id: NodeId(0),
            group: 0,
            role: NodeRole::Worker,
            host: host.to_owned(),
            port,
            grpc_address: None,
            directory: None,
            is_active: true,
            is_disabled: false,
            should_have_shards: true,
        }
    }

    /// Where other nodes reach it (`host:port`).
    pub fn grpc(&self) -> String {
        match self.role {
            NodeRole::Coordinator => self.grpc_address.clone().unwrap_or_default(),
            NodeRole::Worker => host_and_port(&self.host, self.port),
        }
    }
}

pub(crate) fn host_and_port(host: &str, port: u16) -> String {
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}

/// What may change of a node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum NodeChange {
    Address {
        host: String,
        port: u16,
    },
    /// The data directory has been seen: it is this node from now on.
    Directory(String),
    Active(bool),
    ShouldHaveShards(bool),
    Grpc(String),
}
