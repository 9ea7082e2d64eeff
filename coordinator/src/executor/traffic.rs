//! What tasks sent, received and did, for EXPLAIN ANALYZE.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use datafusion::arrow::array::RecordBatch;
use futures::stream::{Stream, StreamExt};
use parking_lot::Mutex;
use satsuma_common::arrow_size::batch_bytes;
use satsuma_common::{NodeId, SqlResult};
use satsuma_proto::report::{PlanStyle, Report, ReportWanted};
use satsuma_proto::worker::BatchStream;

use crate::planner::RemoteTask;

/// Rows that nobody wants any more may be followed by a report: so many batches may be on their
/// way before it, and so long it may take.
const LAST_BATCHES: usize = 16;
const LAST_WAIT: Duration = Duration::from_secs(1);

/// Of all tasks of a statement.
#[derive(Debug, Default)]
pub struct Traffic {
    style: PlanStyle,
    meters: Mutex<HashMap<RemoteTask, Arc<Meter>>>,
    /// Streams that have not told everything yet.
    open: Arc<AtomicUsize>,
}

/// Of one task and its like: bytes of rows, before they are packed for the network.
#[derive(Debug, Default)]
pub struct Meter {
    received: AtomicU64,
    sent: AtomicU64,
    spilled: AtomicU64,
    slowest: Mutex<Option<Share>>,
}

/// What one worker did for a task.
#[derive(Clone, Debug)]
pub struct Share {
    pub node: NodeId,
    /// Shard groups that it worked on.
    pub groups: usize,
    /// Bytes that came from it.
    pub received: u64,
    pub report: Report,
}

impl Traffic {
    pub fn new(style: PlanStyle) -> Self {
        Self { style, ..Self::default() }
    }

    pub fn style(&self) -> PlanStyle {
        self.style
    }

    pub fn of(&self, task: &RemoteTask) -> Arc<Meter> {
        self.meters.lock().entry(task.clone()).or_default().clone()
    }

    /// The rows that a worker sends for a task, counted, up to the worker's report.
    pub fn watch(
        &self,
        rows: BatchStream,
        wanted: ReportWanted,
        meter: Arc<Meter>,
        (node, groups): (NodeId, usize),
    ) -> BatchStream {
        let open = Open::new(&self.open);
        let watch = Watch { wanted, meter, node, groups, received: 0, _open: open };
        Watched { rows: Some(rows), watch: Some(watch) }.boxed()
    }

    /// Waits until whatever comes has come: a reader that has enough rows does not wait for the
    /// reports behind them.
    pub async fn settled(&self) {
        const STEP: Duration = Duration::from_millis(2);
        let mut waited = Duration::ZERO;
        while self.open.load(Ordering::Acquire) > 0 && waited < 2 * LAST_WAIT {
            tokio::time::sleep(STEP).await;
            waited += STEP;
        }
    }
}

impl Meter {
    pub fn send(&self, rows: &RecordBatch) {
        self.sent.fetch_add(batch_bytes(rows) as u64, Ordering::Relaxed);
    }

    pub fn received(&self) -> u64 {
        self.received.load(Ordering::Relaxed)
    }

    pub fn sent(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }

    /// Bytes that workers have written to disk.
    pub fn spilled(&self) -> u64 {
        self.spilled.load(Ordering::Relaxed)
    }

    pub fn slowest(&self) -> Option<Share> {
        self.slowest.lock().clone()
    }

    fn add(&self, share: Share) {
        self.spilled.fetch_add(share.report.spilled, Ordering::Relaxed);
        let mut slowest = self.slowest.lock();
        let took = |share: &Share| share.report.execution;
        if slowest.as_ref().is_none_or(|slowest| took(slowest) < took(&share)) {
            *slowest = Some(share);
        }
    }
}

/// Counts what is under way.
struct Open(Arc<AtomicUsize>);

impl Open {
    fn new(count: &Arc<AtomicUsize>) -> Self {
        count.fetch_add(1, Ordering::Release);
        Self(count.clone())
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Release);
    }
}

struct Watch {
    wanted: ReportWanted,
    meter: Arc<Meter>,
    node: NodeId,
    groups: usize,
    received: u64,
    _open: Open,
}

impl Watch {
    fn finish(self) {
        if let Some(report) = self.wanted.take() {
            let Self { node, groups, received, .. } = self;
            self.meter.add(Share { node, groups, received, report });
        }
    }
}

struct Watched {
    rows: Option<BatchStream>,
    watch: Option<Watch>,
}

impl Stream for Watched {
    type Item = SqlResult<RecordBatch>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let Some(rows) = &mut self.rows else { return Poll::Ready(None) };
        let item = ready!(rows.poll_next_unpin(context));
        match (&item, &mut self.watch) {
            (Some(Ok(batch)), Some(watch)) => {
                let bytes = batch_bytes(batch) as u64;
                watch.received += bytes;
                watch.meter.received.fetch_add(bytes, Ordering::Relaxed);
            }
            _ => {
                self.rows = None;
                if let Some(watch) = self.watch.take() {
                    watch.finish();
                }
            }
        }
        Poll::Ready(item)
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        let (Some(rows), Some(watch)) = (self.rows.take(), self.watch.take()) else { return };
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        runtime.spawn(async move {
            let rest = rows.take(LAST_BATCHES).for_each(|_| async {});
            // Without its report a task is shown as one that did not come to its end.
            let _ = tokio::time::timeout(LAST_WAIT, rest).await;
            watch.finish();
        });
    }
}
