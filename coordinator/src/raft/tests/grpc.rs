//! Three coordinators over real connections.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use satsuma_common::{NodeId, Timestamp};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tonic::transport::server::TcpIncoming;

use crate::catalog::{Command, IdRequest};
use crate::oracle::{Oracle, system_clock};
use crate::raft::{Catalog, CatalogConfig, PeerNetwork, PeerServer};

struct Coordinator {
    catalog: Catalog,
    oracle: Oracle,
    server: JoinHandle<()>,
}

impl Coordinator {
    async fn start(
        node: NodeId,
        home: &Path,
        peers: &[(NodeId, String)],
        listener: TcpListener,
    ) -> Self {
        let network = PeerNetwork::new(node, peers).expect("network");
        let config = CatalogConfig {
            node,
            data_dir: home.join(node.to_string()),
            members: peers.iter().map(|(node, _)| *node).collect(),
        };
        let catalog = Catalog::open(&config, Arc::new(network)).expect("open");
        let oracle = Oracle::start(catalog.clone(), system_clock());
        let service = PeerServer::new(catalog.clone(), oracle.clone()).into_service();
        let server = tokio::spawn(async move {
            let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
            let server = tonic::transport::Server::builder().add_service(service);
            server.serve_with_incoming(incoming).await.expect("served");
        });
        Self { catalog, oracle, server }
    }

    fn stop(self) {
        self.server.abort();
        self.catalog.stop();
    }

    async fn reserve(&self) -> u32 {
        let outcome = self.catalog.propose(Command::Reserve(IdRequest::oids(1))).await;
        let ids = outcome.expect("reserve").ids();
        ids.and_then(|mut ids| Ok(ids.oid()?)).expect("oid").0
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn any_of_three_serves_and_the_leader_may_go() {
    let home = tempfile::tempdir().expect("directory");
    let mut listeners = Vec::new();
    let mut peers = Vec::new();
    for id in 1..=3 {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("port");
        peers.push((NodeId(id), listener.local_addr().expect("address").to_string()));
        listeners.push(listener);
    }
    let mut members = Vec::new();
    for (listener, (node, _)) in listeners.into_iter().zip(&peers) {
        members.push(Coordinator::start(*node, home.path(), &peers, listener).await);
    }
    for member in &members {
        member.catalog.ready().await.expect("ready");
        assert!(!member.catalog.is_alone());
    }

    // Proposals and timestamps of all of them, one after another, keep one order.
    let mut last = (0, Timestamp(0));
    for round in 0..4 {
        for member in &members {
            let next = (member.reserve().await, member.oracle.timestamp().await.expect("time"));
            assert!(next.0 > last.0 && next.1 > last.1, "round {round}: {next:?} after {last:?}");
            let seen = Timestamp(next.1.0 + 1000);
            member.oracle.observe(seen).await.expect("observed");
            last = (next.0, seen);
        }
    }
    // A linearizable read anywhere sees what was acknowledged elsewhere.
    for member in &members {
        let state = member.catalog.read().await.expect("read");
        assert!(state.counters().oid > last.0);
    }

    let leader = members.iter().position(|member| member.catalog.leadership().is_self);
    members.remove(leader.expect("a leader")).stop();
    for member in &members {
        let next = (member.reserve().await, member.oracle.timestamp().await.expect("time"));
        assert!(next.0 > last.0 && next.1 > last.1, "{next:?} after {last:?}");
        last = next;
    }
    tokio::time::timeout(Duration::from_secs(5), async {
        for member in members {
            member.stop();
        }
    })
    .await
    .expect("stopped");
}
