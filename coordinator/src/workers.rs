//! The workers that this coordinator talks to.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;
use satsuma_common::{NodeId, SqlError, SqlResult, SqlState, TableId};
use satsuma_proto::RemoteWorker;
use satsuma_proto::worker::Worker;

use crate::catalog::{Node, State};
use crate::table_sizes::Sizes;

/// Makes the client of a worker: gRPC, or the worker itself where it runs in this process.
/// Connecting happens at first use, so this fails only where the address makes no sense.
pub trait Connector: Send + Sync + 'static {
    fn connect(&self, node: &Node) -> SqlResult<Arc<dyn Worker>>;
}

/// Workers in processes of their own.
pub struct Remote;

impl Connector for Remote {
    fn connect(&self, node: &Node) -> SqlResult<Arc<dyn Worker>> {
        if node.host.is_empty() {
            return Err(SqlError::new(
                SqlState::CONNECTION_FAILURE,
                format!("worker node {} has not said yet where it is", node.id.0),
            )
            .hint("Start it with --coordinator."));
        }
        let address = node.grpc();
        // One that is only asked who it is has no id yet.
        let worker = match node.id {
            NodeId(0) => RemoteWorker::new(&address),
            id => RemoteWorker::of_node(&address, id),
        };
        Ok(Arc::new(worker?))
    }
}

/// One client per worker, kept as long as the worker keeps its address.
pub struct Workers {
    connector: Box<dyn Connector>,
    clients: Mutex<BTreeMap<NodeId, Client>>,
    sizes: Sizes,
}

struct Client {
    host: String,
    port: u16,
    worker: Arc<dyn Worker>,
}

impl Workers {
    pub fn new(connector: impl Connector) -> Self {
        Self { connector: Box::new(connector), clients: Mutex::default(), sizes: Sizes::default() }
    }

    /// Rows of each table as workers last told, at most a few seconds ago.
    /// `needed` are the tables (with any value) that are asked for.
    pub async fn table_rows(
        &self,
        state: &State,
        needed: &BTreeMap<TableId, u64>,
    ) -> Arc<BTreeMap<TableId, u64>> {
        self.sizes.table_rows(self, state, needed).await
    }

    /// Ask again before the next plan.
    pub fn forget_sizes(&self) {
        self.sizes.forget();
    }

    /// A client of a worker that may not be in the catalog.
    pub fn probe(&self, node: &Node) -> SqlResult<Arc<dyn Worker>> {
        self.connector.connect(node)
    }

    pub fn client(&self, node: &Node) -> SqlResult<Arc<dyn Worker>> {
        if !node.is_active {
            return Err(SqlError::new(
                SqlState::CONNECTION_FAILURE,
                format!("the node {}:{} is disabled", node.host, node.port),
            )
            .hint("Enable it with SELECT citus_activate_node(host, port)."));
        }
        self.any_client(node)
    }

    /// Also of a worker that is disabled, or does not count yet.
    pub fn any_client(&self, node: &Node) -> SqlResult<Arc<dyn Worker>> {
        let mut clients = self.clients.lock();
        match clients.get(&node.id) {
            Some(client) if client.host == node.host && client.port == node.port => {
                Ok(client.worker.clone())
            }
            _ => {
                let worker = self.connector.connect(node)?;
                let client =
                    Client { host: node.host.clone(), port: node.port, worker: worker.clone() };
                clients.insert(node.id, client);
                Ok(worker)
            }
        }
    }
}
