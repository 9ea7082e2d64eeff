use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use satsuma_common::{NodeId, Timestamp};

use super::*;
use crate::raft::{CatalogConfig, Directory, NoPeers};

async fn open(path: &Path) -> Catalog {
    let config = CatalogConfig { node: NodeId(1), members: vec![NodeId(1)] };
    let directory = Directory::open(path, NodeId(1)).expect("directory");
    let catalog = Catalog::open(&config, directory, Arc::new(NoPeers)).expect("open");
    catalog.ready().await.expect("ready");
    catalog
}

fn settable() -> (Arc<AtomicU64>, Clock) {
    let time = Arc::new(AtomicU64::new(1_000_000_000));
    let read = time.clone();
    (time, Arc::new(move || read.load(Ordering::Relaxed)))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_begins_above_everything_handed_out() {
    let home = tempfile::tempdir().expect("directory");
    let (time, clock) = settable();
    let catalog = open(home.path()).await;
    let oracle = Oracle::start(catalog.clone(), clock.clone());
    assert_eq!(oracle.try_timestamp(), None, "nothing before the ceiling is on disk");
    let mut last = Timestamp(0);
    for _ in 0..100 {
        let next = oracle.timestamp().await.expect("timestamp");
        assert!(next > last);
        last = next;
    }
    assert!(oracle.try_timestamp().is_some_and(|next| next > last));
    assert!(catalog.snapshot().timestamp_ceiling() > last);
    catalog.stop();
    drop((oracle, catalog));

    // Even with a clock that went back an hour.
    time.fetch_sub(900_000_000, Ordering::Relaxed);
    let catalog = open(home.path()).await;
    let oracle = Oracle::start(catalog.clone(), clock);
    assert!(oracle.timestamp().await.expect("timestamp") > last);
    catalog.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_observed_stays_below_what_follows() {
    let home = tempfile::tempdir().expect("directory");
    let (time, clock) = settable();
    let catalog = open(home.path()).await;
    let oracle = Oracle::start(catalog.clone(), clock);
    let first = oracle.timestamp().await.expect("timestamp");
    for ahead in [5, 30_000_000, 40_000_000] {
        let seen = Timestamp(first.0 + ahead);
        oracle.observe(seen).await.expect("observed");
        assert!(oracle.timestamp().await.expect("timestamp") > seen);
    }
    // The clock leaps beyond the ceiling: the next timestamps wait for a higher one.
    time.fetch_add(1_000_000_000, Ordering::Relaxed);
    let later = oracle.timestamp().await.expect("timestamp");
    assert!(later.0 >= 2_000_000_000);
    assert!(catalog.snapshot().timestamp_ceiling() >= later);
    assert!(oracle.observe(Timestamp(u64::MAX)).await.is_err());
    assert!(oracle.timestamp().await.is_ok(), "life goes on");
    catalog.stop();
}
