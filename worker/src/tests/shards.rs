use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use satsuma_common::{
    Epoch, Generation, NodeId, ShardId, SqlError, SqlResult, SqlState, Timestamp, TxnId,
};
use satsuma_proto::coordinator::CoordinatorServer;
use satsuma_proto::worker::{
    Membership, Outcomes, Registration, STALE_PLACEMENT, ShardAction, Worker,
};

use super::fixture::*;
use crate::server::{Config, start};

both_ways! {
    shards_come_and_go
    a_node_keeps_its_id
}

async fn shards_come_and_go(f: &Fixture) {
    f.fill().await;
    let listed = f.worker.shards(ShardAction::List).await.unwrap().shards;
    let rows: Vec<_> =
        listed.iter().map(|shard| (shard.shard.0, shard.group, shard.rows)).collect();
    assert_eq!(rows, [(101, G1, 2), (102, G2, 1), (201, G1, 3), (202, G2, 1), (301, REFERENCE, 2)]);
    let generation = Generation(2);
    let moved = ShardAction::SetGeneration { group: G1, generation, epoch: Epoch(1) };
    f.worker.shards(moved).await.unwrap();
    let error = f.run(G1, ADS, insert(ad_rows(&[(1, 1, None, None, None)]))).await.unwrap_err();
    assert_eq!(error.state(), STALE_PLACEMENT);
    for _ in 0..2 {
        f.worker
            .shards(ShardAction::Drop { node: NodeId(7), shards: vec![ShardId(202)] })
            .await
            .unwrap();
    }
    let error = f.run(G2, ADS, insert(ad_rows(&[(1, 1, None, None, None)]))).await.unwrap_err();
    assert_eq!(error.state(), STALE_PLACEMENT);
    assert_eq!(f.worker.shards(ShardAction::List).await.unwrap().shards.len(), 4);
}

async fn a_node_keeps_its_id(f: &Fixture) {
    let member = |node| Membership {
        cluster: "here".into(),
        node: NodeId(node),
        coordinators: vec!["127.0.0.1:1".into()],
    };
    assert_eq!(f.worker.status().await.unwrap().node, None);
    f.worker.join(member(3)).await.unwrap();
    assert_eq!(f.worker.join(member(3)).await.unwrap().node, Some(NodeId(3)));
    let elsewhere = Membership { cluster: "elsewhere".into(), ..member(3) };
    for refused in [member(4), elsewhere] {
        let error = f.worker.join(refused).await.unwrap_err();
        assert_eq!(error.state(), SqlState::CONNECTION_REJECTED);
    }
    assert_eq!(f.worker.status().await.unwrap().cluster.as_deref(), Some("here"));
}

#[derive(Default)]
struct Coordinator {
    registered: AtomicUsize,
    /// The clusters that workers said they belong to.
    clusters: parking_lot::Mutex<Vec<Option<String>>>,
    address: std::sync::OnceLock<String>,
}

#[async_trait::async_trait]
impl Outcomes for Coordinator {
    async fn outcome(&self, txn: TxnId) -> SqlResult<Option<Timestamp>> {
        Ok(txn.start.0.is_multiple_of(20).then_some(txn.start))
    }

    async fn peek_outcome(&self, txn: TxnId) -> SqlResult<Option<Option<Timestamp>>> {
        self.outcome(txn).await.map(Some)
    }

    async fn now(&self) -> SqlResult<Timestamp> {
        Ok(Timestamp(1))
    }

    async fn register(&self, worker: Registration) -> SqlResult<Membership> {
        if self.registered.fetch_add(1, Ordering::SeqCst) == 0 {
            return Err(SqlError::new(SqlState::CANNOT_CONNECT_NOW, "no leader yet"));
        }
        assert_eq!(worker.host, "127.0.0.1");
        self.clusters.lock().push(worker.member.map(|(cluster, _)| cluster));
        let coordinators = vec![self.address.get().unwrap().clone()];
        Ok(Membership { cluster: "here".into(), node: NodeId(7), coordinators })
    }
}

/// Started with a coordinator's address, a worker registers, again after a refusal, remembers it,
/// and knows whom to ask for outcomes.
#[tokio::test]
async fn a_worker_registers_itself() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let coordinator = Arc::new(Coordinator::default());
    coordinator.address.set(address.clone()).unwrap();
    let service = CoordinatorServer::new(coordinator.clone()).into_service();
    tokio::spawn(async move {
        let incoming = tonic::transport::server::TcpIncoming::from(listener);
        let mut transport = satsuma_proto::server::transport();
        transport.add_service(service).serve_with_incoming(incoming).await.unwrap();
    });
    let dir = tempfile::tempdir().unwrap();
    let config = Config {
        data_dir: dir.path().to_owned(),
        grpc_listen: "127.0.0.1:0".into(),
        advertise: None,
        coordinators: vec![address.clone()],
        settings: settings(),
    };
    let running = start(config.clone()).await.unwrap();
    let mut node = None;
    for _ in 0..500 {
        node = running.worker().status().await.unwrap().node;
        if node.is_some() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(node, Some(NodeId(7)));
    // New, and then again when it remembered the cluster.
    let told = || coordinator.clusters.lock().clone();
    for _ in 0..500 {
        if told().len() > 1 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(told(), [None, Some("here".to_owned())]);

    // Over its own port, as a coordinator would ask.
    let remote = satsuma_proto::RemoteWorker::new(&running.address().to_string()).unwrap();
    assert_eq!(remote.status().await.unwrap().node, Some(NodeId(7)));
    let outcomes = satsuma_proto::RemoteCoordinator::new(&[address]).unwrap();
    let txn = |start| TxnId { start: Timestamp(start), coordinator: NodeId(1) };
    assert_eq!(outcomes.outcome(txn(40)).await.unwrap(), Some(Timestamp(40)));
    assert_eq!(outcomes.outcome(txn(41)).await.unwrap(), None);

    // The directory is in use, and so is the port.
    let same_directory = start(Config { coordinators: Vec::new(), ..config.clone() }).await;
    assert!(same_directory.err().unwrap().message().contains("in use"));
    let same_port = start(Config {
        grpc_listen: running.address().to_string(),
        data_dir: dir.path().join("other"),
        ..config
    });
    assert!(same_port.await.err().unwrap().message().contains("could not listen"));
    drop(remote);
    running.shutdown().await.unwrap();
}
