//! A single coordinator on a real directory.

use std::path::Path;
use std::sync::Arc;

use satsuma_common::{NodeId, SqlState};

use crate::catalog::{Command, CoordinatorAddress, IdRequest, Outcome};
use crate::raft::{Catalog, CatalogConfig, Directory, NoPeers, RaftError};

fn bootstrap() -> Command {
    Command::Bootstrap {
        cluster: "test".into(),
        database: "satsuma".into(),
        superuser: "satsuma".into(),
        verifier: None,
        coordinators: vec![CoordinatorAddress {
            node: NodeId(1),
            host: "127.0.0.1".into(),
            port: 5432,
            grpc: "127.0.0.1:7432".into(),
        }],
    }
}

fn open(path: &Path) -> Result<Catalog, RaftError> {
    let config = CatalogConfig { node: NodeId(1), members: vec![NodeId(1)] };
    Catalog::open(&config, Directory::open(path, NodeId(1))?, Arc::new(NoPeers))
}

async fn first_oid(catalog: &Catalog) -> u32 {
    let outcome = catalog.propose(Command::Reserve(IdRequest::oids(1))).await.expect("reserve");
    outcome.ids().and_then(|mut ids| Ok(ids.oid()?)).expect("oid").0
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_acknowledged_outlives_the_process() {
    let home = tempfile::tempdir().expect("directory");
    let catalog = open(home.path()).expect("open");
    assert!(catalog.is_new());
    catalog.ready().await.expect("ready");
    assert!(catalog.is_alone());
    catalog.propose(bootstrap()).await.expect("bootstrap");
    let refused = catalog.propose(Command::DropSchema { oid: satsuma_common::Oid(1) }).await;
    assert_eq!(refused.map_err(|e| e.state()), Err(SqlState::INVALID_SCHEMA_NAME));
    let mut oids = Vec::new();
    for _ in 0..20 {
        oids.push(first_oid(&catalog).await);
    }
    assert!(oids.windows(2).all(|pair| pair[1] == pair[0] + 1));
    let before = catalog.snapshot();
    catalog.stop();
    drop(catalog);

    let catalog = open(home.path()).expect("reopen");
    assert!(!catalog.is_new());
    catalog.ready().await.expect("ready again");
    let after = catalog.snapshot();
    assert_eq!(*after, *before);
    assert_eq!(first_oid(&catalog).await, oids[19] + 1);
}

/// One whose caller went away would hold up the record of applied proposals for ever.
#[tokio::test(flavor = "multi_thread")]
async fn a_proposal_that_is_given_up_is_waited_for_no_more() {
    let home = tempfile::tempdir().expect("directory");
    let members = vec![NodeId(1), NodeId(2)];
    let config = CatalogConfig { node: NodeId(1), members };
    let directory = Directory::open(home.path(), NodeId(1)).expect("directory");
    let catalog = Catalog::open(&config, directory, Arc::new(NoPeers)).expect("open");
    let leaderless = tokio::spawn({
        let catalog = catalog.clone();
        async move { catalog.propose(Command::Nothing).await }
    });
    while catalog.waiting() == 0 {
        tokio::task::yield_now().await;
    }
    leaderless.abort();
    assert!(leaderless.await.expect_err("given up").is_cancelled());
    assert_eq!(catalog.waiting(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn proposals_share_writes_and_all_get_their_answer() {
    let home = tempfile::tempdir().expect("directory");
    let catalog = open(home.path()).expect("open");
    catalog.ready().await.expect("ready");
    let mut tasks = Vec::new();
    for _ in 0..200 {
        let catalog = catalog.clone();
        tasks.push(tokio::spawn(async move { first_oid(&catalog).await }));
    }
    let mut oids = Vec::new();
    for task in tasks {
        oids.push(task.await.expect("task"));
    }
    oids.sort_unstable();
    oids.dedup();
    assert_eq!(oids.len(), 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proposal_beyond_the_limit_is_refused_alone() {
    let home = tempfile::tempdir().expect("directory");
    let catalog = open(home.path()).expect("open");
    catalog.ready().await.expect("ready");
    catalog.propose(bootstrap()).await.expect("bootstrap");
    let object = crate::catalog::ObjectAddress {
        class: crate::catalog::ObjectClass::Relation,
        oid: satsuma_common::Oid(1),
        part: 0,
    };
    let text = Some("x".repeat(super::super::MAX_ENTRY_BYTES));
    let refused = catalog.propose(Command::SetComment { object, text }).await;
    assert_eq!(refused.map_err(|e| e.state()), Err(SqlState::PROGRAM_LIMIT_EXCEEDED));
    assert_eq!(catalog.propose(Command::Nothing).await, Ok(Outcome::Done));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_directory_in_use_is_refused() {
    let home = tempfile::tempdir().expect("directory");
    let catalog = open(home.path()).expect("open");
    assert!(matches!(open(home.path()), Err(RaftError::InUse(_))));
    catalog.stop();
}
