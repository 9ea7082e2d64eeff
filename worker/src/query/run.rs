//! Running a fragment on several groups at once, into one bounded stream.

use std::sync::Arc;
use std::time::Duration;

use datafusion::arrow::array::{RecordBatch, RecordBatchOptions};
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::execution::TaskContext;
use datafusion::physical_plan::{ExecutionPlan, execute_stream};
use futures::StreamExt;
use satsuma_common::{SqlError, SqlResult, SqlState};
use satsuma_proto::worker::BatchStream;
use satsuma_sql::engine_error::to_sql;
use satsuma_sql::interrupt;
use satsuma_storage::{Engine, ReadView};
use tokio::sync::mpsc;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::bind::{Joins, ScannedRows, Source, Template, mismatch};
use super::groups::GroupsExec;
use super::report::{Reporter, watched};
use super::runtime::QueryRuntime;
use super::shard_table::ROWS_PER_PARTITION;
use super::spool::Spools;
use crate::placement::PlacedGroup;

/// Batches that may wait for a slow reader.
const QUEUE: usize = 4;
/// Rows of all tables but the largest up to which groups are run together.
const HELD_ROWS: u64 = 1 << 20;
/// The same, where running them one by one would read reference tables so often that most of the
/// time went there.
const HELD_ROWS_WITH_SHARED: u64 = 4 << 20;

/// Whether to run all groups at once, or one after the other: each then has small hash tables, but
/// reads reference tables anew.
fn run_together(scanned: &[ScannedRows], groups: usize) -> bool {
    let all: u64 = scanned.iter().map(|scan| scan.rows).sum();
    let largest = scanned.iter().map(|scan| scan.rows).max().unwrap_or(0);
    // What is left is what joins would hold in memory, if all goes well.
    let held = all - largest;
    let shared: u64 = scanned.iter().filter(|scan| scan.shared).map(|scan| scan.rows).sum();
    let read_again = shared.saturating_mul(groups.saturating_sub(1) as u64);
    groups < 2 || held <= HELD_ROWS || (held <= HELD_ROWS_WITH_SHARED && read_again > all)
}

/// One execution of a fragment.
pub(crate) struct Execution {
    pub engine: Arc<Engine>,
    pub runtime: Arc<QueryRuntime>,
    pub template: Arc<Template>,
    pub groups: Vec<PlacedGroup>,
    pub view: ReadView,
    /// What the fragment reads beside the groups' shards.
    pub inputs: Arc<Spools>,
    /// What the batches must look like; `None` takes them as they come.
    pub schema: Option<SchemaRef>,
    pub memory_limit: u64,
    pub timeout: Option<Duration>,
    pub report: Option<Reporter>,
}

/// Held by the reader: work stops when it is dropped.
struct Reader {
    batches: mpsc::Receiver<SqlResult<RecordBatch>>,
    _stop: DropGuard,
}

impl Execution {
    /// Starts on the CPU runtime; the stream's end or drop ends it.
    pub fn start(self) -> SqlResult<BatchStream> {
        let handle = self.runtime.handle()?;
        let cancel = CancellationToken::new();
        let (sender, batches) = mpsc::channel(QUEUE);
        let counted = self.runtime.count_query();
        let work = interrupt::stopped_by(cancel.clone(), self.drive(cancel.clone(), sender));
        handle.spawn(async move {
            let _counted = counted;
            work.await;
        });
        let reader = Reader { batches, _stop: cancel.drop_guard() };
        let stream = futures::stream::unfold(reader, |mut reader| async move {
            let batch = reader.batches.recv().await?;
            Some((batch, reader))
        });
        Ok(stream.boxed())
    }

    /// Sends every batch, then at most one error.
    async fn drive(self, cancel: CancellationToken, sender: mpsc::Sender<SqlResult<RecordBatch>>) {
        let timeout = self.timeout;
        let all = self.run_groups(cancel.clone(), sender.clone());
        let expired = async {
            match timeout {
                Some(timeout) => tokio::time::sleep(timeout).await,
                None => std::future::pending().await,
            }
        };
        let result = tokio::select! {
            result = all => result,
            () = expired => Err(SqlError::new(
                SqlState::QUERY_CANCELED,
                "canceling statement due to statement timeout",
            )),
            () = cancel.cancelled() => Ok(()),
        };
        cancel.cancel();
        if let Err(error) = result {
            // A reader that is gone needs no error.
            let _ = sender.send(Err(error)).await;
        }
    }

    /// Dropping this stops the work.
    async fn run_groups(
        self,
        cancel: CancellationToken,
        sender: mpsc::Sender<SqlResult<RecordBatch>>,
    ) -> SqlResult<()> {
        let context = self.runtime.task_context(self.memory_limit, cancel);
        let mut sent = false;
        let result = self.run_joining(Joins::InMemory, &context, &sender, &mut sent).await;
        match result {
            // Joins take one side in before they give rows: nothing has been seen of this yet.
            Err(error) if error.state() == SqlState::OUT_OF_MEMORY && !sent => {
                QueryRuntime::released(&context).await;
                let context = QueryRuntime::spilling_context(&context);
                self.run_joining(Joins::Spilling, &context, &sender, &mut sent).await
            }
            result => result,
        }
    }

    async fn run_joining(
        &self,
        joins: Joins,
        context: &Arc<TaskContext>,
        sender: &mpsc::Sender<SqlResult<RecordBatch>>,
        sent: &mut bool,
    ) -> SqlResult<()> {
        let mut plan = self.plan(joins).await?;
        let mut planning = Duration::ZERO;
        if let Some(reporter) = &self.report {
            plan = watched(plan).map_err(to_sql)?;
            planning = reporter.elapsed();
        }
        let mut stream = execute_stream(plan.clone(), context.clone()).map_err(to_sql)?;
        while let Some(batch) = stream.next().await {
            let batch = batch.map_err(to_sql)?;
            if batch.num_rows() == 0 {
                continue;
            }
            let batch = self.conform(batch)?;
            *sent = true;
            if sender.send(Ok(batch)).await.is_err() {
                return Ok(());
            }
        }
        if let Some(reporter) = &self.report {
            // With its stream, whatever still ran is at its end.
            drop(stream);
            reporter.finished(&plan, planning, &self.inputs);
        }
        Ok(())
    }

    /// Joins that spill take one group after the other: each has what memory there is.
    async fn plan(&self, joins: Joins) -> SqlResult<Arc<dyn ExecutionPlan>> {
        let mut source = Source {
            engine: &self.engine,
            groups: &self.groups,
            view: self.view,
            threads: 1,
            joins,
            inputs: &self.inputs,
        };
        let scanned = self.template.scanned_rows(&source, &self.runtime)?;
        // Few rows are read by one thread, for which the plan is simpler.
        if joins == Joins::InMemory && scanned.iter().any(|scan| scan.rows >= ROWS_PER_PARTITION) {
            source.threads = self.runtime.threads();
        }
        let together = joins == Joins::InMemory && run_together(&scanned, self.groups.len());
        if together || self.groups.len() < 2 {
            return self.template.bind(&source, &self.runtime).await;
        }
        let template = self.template.clone();
        let watched = self.report.is_some();
        let groups = GroupsExec::new(template, &source, self.runtime.clone(), watched).await?;
        self.template.finish(Arc::new(groups))
    }

    /// The batch with the names and metadata that the coordinator expects.
    fn conform(&self, batch: RecordBatch) -> SqlResult<RecordBatch> {
        let Some(expected) = &self.schema else { return Ok(batch) };
        let found = batch.schema();
        let same = expected.fields().len() == found.fields().len()
            && expected
                .fields()
                .iter()
                .zip(found.fields())
                .all(|(expected, found)| expected.data_type() == found.data_type());
        if !same {
            return Err(mismatch(expected, &found));
        }
        let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
        RecordBatch::try_new_with_options(expected.clone(), batch.columns().to_vec(), &options)
            .map_err(satsuma_sql::engine_error::arrow_to_sql)
    }
}

/// A task of a query ended without a result.
pub(crate) fn panicked(failure: tokio::task::JoinError) -> SqlError {
    if !failure.is_panic() {
        return SqlError::new(SqlState::QUERY_CANCELED, "canceling statement due to user request");
    }
    let payload = failure.into_panic();
    let text = payload
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| payload.downcast_ref::<&str>().copied())
        .unwrap_or("unknown cause");
    tracing::error!(panic = text, "a query panicked");
    SqlError::internal(format!("a query failed unexpectedly: {text}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reference_tables_are_not_read_for_every_group() {
        let own = |rows| ScannedRows { rows, shared: false };
        let shared = |rows| ScannedRows { rows, shared: true };
        assert!(run_together(&[own(6 << 20), own(1 << 19)], 16));
        assert!(!run_together(&[own(6 << 20), own(3 << 19)], 16));
        assert!(run_together(&[own(6 << 20), own(3 << 19)], 1));
        assert!(run_together(&[own(6 << 20), own(3 << 19), shared(1 << 20)], 16));
        assert!(!run_together(&[own(6 << 20), own(3 << 19), shared(1000)], 16));
        assert!(!run_together(&[own(6 << 20), own(3 << 19), shared(8 << 20)], 16));
    }
}
