//! Running a fragment on several groups at once, into one bounded stream.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use datafusion::arrow::array::{RecordBatch, RecordBatchOptions};
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::execution::TaskContext;
use datafusion::physical_plan::execute_stream;
use futures::StreamExt;
use satsuma_common::{ShardId, SqlError, SqlResult, SqlState};
use satsuma_proto::worker::BatchStream;
use satsuma_sql::engine_error::to_sql;
use satsuma_storage::{Engine, ReadView};
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::bind::{Joins, Source, Template, mismatch};
use super::runtime::QueryRuntime;
use super::spool::Spools;
use crate::placement::PlacedGroup;

/// Batches that may wait for a slow reader.
const QUEUE: usize = 4;

/// One execution of a fragment.
pub(crate) struct Execution {
    pub engine: Arc<Engine>,
    pub runtime: Arc<QueryRuntime>,
    pub template: Template,
    pub groups: Vec<PlacedGroup>,
    pub view: ReadView,
    pub rows: BTreeMap<ShardId, u64>,
    /// What the fragment reads beside the groups' shards.
    pub inputs: Arc<Spools>,
    /// What the batches must look like; `None` takes them as they come.
    pub schema: Option<SchemaRef>,
    pub memory_limit: u64,
    pub timeout: Option<Duration>,
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
        let work = self.drive(cancel.clone(), sender);
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

    /// A task per group, as many at a time as there are threads. Dropping this stops them.
    async fn run_groups(
        self,
        cancel: CancellationToken,
        sender: mpsc::Sender<SqlResult<RecordBatch>>,
    ) -> SqlResult<()> {
        let turns = Arc::new(Semaphore::new(self.runtime.threads()));
        let spilling = Arc::new(Semaphore::new(1));
        let context = self.runtime.task_context(self.memory_limit, cancel)?;
        let count = self.groups.len();
        let shared = Arc::new(self);
        let mut tasks = JoinSet::new();
        for position in 0..count {
            let (shared, context) = (shared.clone(), context.clone());
            let (turns, sender) = (turns.clone(), sender.clone());
            let spilling = spilling.clone();
            tasks.spawn(async move {
                let _turn = turns.acquire_owned().await;
                shared.run_group(position, context, sender, spilling).await
            });
        }
        drop(sender);
        while let Some(finished) = tasks.join_next().await {
            finished.unwrap_or_else(|failure| Err(panicked(failure)))?;
        }
        Ok(())
    }

    async fn run_group(
        &self,
        position: usize,
        context: Arc<TaskContext>,
        sender: mpsc::Sender<SqlResult<RecordBatch>>,
        spilling: Arc<Semaphore>,
    ) -> SqlResult<()> {
        let mut sent = false;
        let result =
            self.run_joining(Joins::InMemory, position, &context, &sender, &mut sent).await;
        match result {
            // Joins take one side in before they give rows: nothing has been seen of this yet.
            Err(error) if error.state() == SqlState::OUT_OF_MEMORY && !sent => {
                // One after the other: each has what memory there is.
                let _turn = spilling.acquire_owned().await;
                let context = QueryRuntime::spilling_context(&context);
                self.run_joining(Joins::Spilling, position, &context, &sender, &mut sent).await
            }
            result => result,
        }
    }

    async fn run_joining(
        &self,
        joins: Joins,
        position: usize,
        context: &Arc<TaskContext>,
        sender: &mpsc::Sender<SqlResult<RecordBatch>>,
        sent: &mut bool,
    ) -> SqlResult<()> {
        let source = Source {
            engine: &self.engine,
            group: &self.groups[position],
            view: self.view,
            rows: &self.rows,
            inputs: &self.inputs,
        };
        let plan = self.template.bind(&source, &self.runtime, joins).await?;
        let mut stream = execute_stream(plan, context.clone()).map_err(to_sql)?;
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
        Ok(())
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
