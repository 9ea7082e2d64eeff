//! What tasks sent and received, for EXPLAIN ANALYZE.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use datafusion::arrow::array::RecordBatch;
use parking_lot::Mutex;
use satsuma_common::arrow_size::batch_bytes;

use crate::planner::RemoteTask;

/// Of all tasks of a statement.
#[derive(Debug, Default)]
pub struct Traffic(Mutex<HashMap<RemoteTask, Arc<Meter>>>);

/// Of one task and its like: bytes of rows, before they are packed for the network.
#[derive(Debug, Default)]
pub struct Meter {
    received: AtomicU64,
    sent: AtomicU64,
}

impl Traffic {
    pub fn of(&self, task: &RemoteTask) -> Arc<Meter> {
        self.0.lock().entry(task.clone()).or_default().clone()
    }
}

impl Meter {
    pub fn receive(&self, rows: &RecordBatch) {
        self.received.fetch_add(batch_bytes(rows) as u64, Ordering::Relaxed);
    }

    pub fn send(&self, rows: &RecordBatch) {
        self.sent.fetch_add(batch_bytes(rows) as u64, Ordering::Relaxed);
    }

    pub fn received(&self) -> u64 {
        self.received.load(Ordering::Relaxed)
    }

    pub fn sent(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }
}
