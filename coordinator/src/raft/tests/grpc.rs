//! Three coordinators over real connections.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use satsuma_common::{NodeId, SqlState, Timestamp};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tonic::transport::server::TcpIncoming;

use crate::catalog::{Command, CoordinatorAddress, IdRequest, NodeChange};
use crate::oracle::{Oracle, system_clock};
use crate::raft::{Catalog, CatalogConfig, Directory, PeerNetwork, PeerServer};

struct Coordinator {
    catalog: Catalog,
    oracle: Oracle,
    network: Arc<PeerNetwork>,
    server: JoinHandle<()>,
}

impl Coordinator {
    async fn start(
        node: NodeId,
        home: &Path,
        peers: &[(NodeId, String)],
        listener: TcpListener,
    ) -> Self {
        let directory = Directory::open(&home.join(node.to_string()), node).expect("directory");
        let network = Arc::new(PeerNetwork::new(node, &directory.id, peers).expect("network"));
        let members = peers.iter().map(|(node, _)| *node).collect();
        let config = CatalogConfig { node, members };
        let catalog = Catalog::open(&config, directory, network.clone()).expect("open");
        let oracle = Oracle::start(catalog.clone(), system_clock());
        let service = PeerServer::new(catalog.clone(), oracle.clone()).into_service();
        let server = tokio::spawn(async move {
            let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
            let server = tonic::transport::Server::builder().add_service(service);
            server.serve_with_incoming(incoming).await.expect("served");
        });
        Self { catalog, oracle, network, server }
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

/// Three that have found each other, with their addresses.
async fn three(home: &Path) -> (Vec<Coordinator>, Vec<(NodeId, String)>) {
    let mut listeners = Vec::new();
    let mut peers = Vec::new();
    for id in 1..=3 {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("port");
        peers.push((NodeId(id), listener.local_addr().expect("address").to_string()));
        listeners.push(listener);
    }
    let mut members = Vec::new();
    for (listener, (node, _)) in listeners.into_iter().zip(&peers) {
        members.push(Coordinator::start(*node, home, &peers, listener).await);
    }
    for member in &members {
        member.catalog.ready().await.expect("ready");
        assert!(!member.catalog.is_alone());
    }
    (members, peers)
}

/// The catalog names the members and their data directories.
async fn bootstrap(members: &[Coordinator], peers: &[(NodeId, String)]) {
    let address = |(node, grpc): &(NodeId, String)| CoordinatorAddress {
        node: *node,
        host: "h".into(),
        port: 1,
        grpc: grpc.clone(),
    };
    let bootstrap = Command::Bootstrap {
        cluster: "tests".into(),
        database: "d".into(),
        superuser: "s".into(),
        verifier: None,
        coordinators: peers.iter().map(address).collect(),
    };
    members[0].catalog.propose(bootstrap).await.expect("bootstrapped");
    for member in members {
        let directory = member.catalog.directory().expect("identity").clone();
        let change = NodeChange::Directory(directory);
        let command = Command::ChangeNode { node: member.catalog.node(), change };
        member.catalog.propose(command).await.expect("known");
    }
}

/// Of two that need each other, one is said to be where it is not: it says itself where it is.
#[tokio::test(flavor = "multi_thread")]
async fn one_that_is_looked_for_elsewhere_is_found() {
    let home = tempfile::tempdir().expect("directory");
    let (mut members, peers) = three(home.path()).await;
    bootstrap(&members, &peers).await;
    let third = members.pop().expect("three");
    third.stop();
    let directory = members[1].catalog.directory().expect("identity").clone();
    members[0].network.set(NodeId(2), "127.0.0.1:1", &directory).expect("address");
    let reserved = tokio::time::timeout(Duration::from_secs(60), async {
        loop {
            let command = Command::Reserve(IdRequest::oids(1));
            if members[0].catalog.propose(command).await.is_ok() {
                break;
            }
        }
    });
    reserved.await.expect("they find each other");
    members.into_iter().for_each(Coordinator::stop);
}

/// It hears of it from the others, whatever its own log says.
#[tokio::test(flavor = "multi_thread")]
async fn one_that_was_removed_is_told() {
    let home = tempfile::tempdir().expect("directory");
    let (mut members, peers) = three(home.path()).await;
    bootstrap(&members, &peers).await;
    let third = members.pop().expect("three");
    third.stop();
    let remove = Command::RemoveCoordinator { node: NodeId(3) };
    members[0].catalog.propose(remove).await.expect("removed");
    let (again, since) = (&peers[2].1, tokio::time::Instant::now());
    let listener = loop {
        assert!(since.elapsed() < Duration::from_secs(10));
        match TcpListener::bind(again).await {
            Ok(listener) => break listener,
            Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
        }
    };
    let third = Coordinator::start(NodeId(3), home.path(), &peers, listener).await;
    let refused = third.catalog.ready().await.expect_err("it was removed");
    assert_eq!(refused.state(), SqlState::CONNECTION_REJECTED, "{refused}");
    assert!(refused.message().contains("has been removed from the cluster"), "{refused}");
    let refused = third.oracle.timestamp().await.expect_err("it was removed");
    assert_eq!(refused.state(), SqlState::CANNOT_CONNECT_NOW, "{refused}");
    third.stop();
    members.into_iter().for_each(Coordinator::stop);
}

/// One that has lost its data would vote twice, and take for its own what it has not got.
#[tokio::test(flavor = "multi_thread")]
async fn one_with_another_data_directory_is_told() {
    let home = tempfile::tempdir().expect("directory");
    let (mut members, peers) = three(home.path()).await;
    bootstrap(&members, &peers).await;
    let third = members.pop().expect("three");
    third.stop();
    let address = &peers[2].1;
    std::fs::remove_dir_all(home.path().join("n3")).expect("lost");
    for member in &members {
        let state = member.catalog.read().await.expect("read");
        let known = state.node(NodeId(3)).and_then(|node| node.directory.clone());
        member.network.set(NodeId(3), address, &known.expect("known")).expect("address");
    }
    let listener = loop {
        match TcpListener::bind(address).await {
            Ok(listener) => break listener,
            Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
        }
    };
    let emptied = Coordinator::start(NodeId(3), home.path(), &peers, listener).await;
    let refused = emptied.catalog.ready().await.expect_err("it is another one");
    assert_eq!(refused.state(), SqlState::CONNECTION_REJECTED, "{refused}");
    assert_eq!(emptied.catalog.applied().1, 0);
    members[0].reserve().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn any_of_three_serves_and_the_leader_may_go() {
    let home = tempfile::tempdir().expect("directory");
    let (mut members, _) = three(home.path()).await;

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
