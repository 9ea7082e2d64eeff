//! Coordinators and workers: `pg_dist_node`.

use satsuma_common::NodeId;
use serde::{Deserialize, Serialize};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum NodeRole {
    Coordinator,
    Worker,
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
