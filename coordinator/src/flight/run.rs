//! Runs one statement of a Flight call on a task of its own.
//!
//! The task owns the session until the statement is over, so a client that stops reading or goes
//! away cannot leave it half way: the closed channel interrupts the statement, and the session
//! is free again when the statement has ended.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use bytes::Bytes;
use datafusion::arrow::array::{BinaryArray, RecordBatch};
use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use futures::stream::BoxStream;
use futures::{FutureExt, StreamExt};
use parking_lot::Mutex;
use satsuma_common::{Datum, SqlError, SqlResult, SqlState};
use serde::{Deserialize, Serialize};
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use super::edge::{self, Shape};
use super::sessions::Taken;
use crate::copy::{CopyReader, CopyWriter};
use crate::session_api::{
    BatchStream, CopyIn, CopyOut, ExecuteOptions, Execution, Interrupt, InterruptReason, Prepared,
    Rows, Session,
};

/// Batches that wait for the client, beside the one in the making.
const AHEAD: usize = 2;
/// Bytes of COPY TO data in one message.
const COPY_CHUNK: usize = 256 << 10;
/// The column that carries COPY data.
pub const COPY_COLUMN: &str = "copy_data";

/// Data for COPY FROM STDIN.
pub enum Input {
    None,
    /// The file's bytes.
    Bytes(BoxStream<'static, SqlResult<Bytes>>),
    /// Rows, column by column as the statement names them.
    Batches(BoxStream<'static, SqlResult<RecordBatch>>),
}

/// What a statement said beside its rows.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Report {
    pub tag: String,
    /// Rows given or changed.
    pub count: u64,
    pub notices: Vec<ReportNotice>,
    /// The transaction's status after the statement: `I`, `T` or `E`.
    pub status: String,
    /// The result is the text of COPY TO STDOUT.
    pub copy: bool,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ReportNotice {
    pub severity: String,
    pub fields: satsuma_common::error::SqlErrorFields,
}

/// A statement under way.
pub struct Started {
    pub schema: SchemaRef,
    pub batches: mpsc::Receiver<SqlResult<RecordBatch>>,
    /// There once `batches` has ended without an error.
    pub report: Arc<Mutex<Option<Report>>>,
}

/// A statement that has run, with its whole result.
pub struct Finished {
    pub schema: SchemaRef,
    pub batches: Vec<RecordBatch>,
    pub report: Report,
}

impl Finished {
    /// The result as that of a statement under way.
    pub fn replay(self) -> Started {
        let (sender, receiver) = mpsc::channel(self.batches.len().max(1));
        for batch in self.batches {
            // There is room for all of them, and the receiver is here.
            let _ = sender.try_send(Ok(batch));
        }
        let report = Arc::new(Mutex::new(Some(self.report)));
        Started { schema: self.schema, batches: receiver, report }
    }
}

impl Started {
    /// Waits for the statement's end.
    pub async fn collect(mut self) -> SqlResult<Finished> {
        let mut batches = Vec::new();
        while let Some(batch) = self.batches.recv().await {
            batches.push(batch?);
        }
        let report = self.report.lock().take();
        let report =
            report.ok_or_else(|| SqlError::internal("the statement ended without a word"))?;
        Ok(Finished { schema: self.schema, batches, report })
    }

    /// Reads the result away and answers with the report.
    pub async fn finish(mut self) -> SqlResult<Report> {
        while let Some(batch) = self.batches.recv().await {
            batch?;
        }
        let report = self.report.lock().take();
        report.ok_or_else(|| SqlError::internal("the statement ended without a word"))
    }
}

pub struct Statement {
    /// Statements without result or parameters that run first, in the same transaction.
    pub before: Vec<String>,
    pub sql: String,
    /// One list per execution; a statement without parameters has one empty list.
    pub parameters: Parameters,
    pub input: Input,
    /// Every value as text.
    pub as_text: bool,
}

impl Statement {
    pub fn new(sql: impl Into<String>) -> Self {
        Self {
            before: Vec::new(),
            sql: sql.into(),
            parameters: Parameters::None,
            input: Input::None,
            as_text: false,
        }
    }
}

pub enum Parameters {
    None,
    Batch(RecordBatch),
}

/// Starts a statement; returns when its first answer is here.
pub async fn start(
    taken: Taken,
    statement: Statement,
    interrupt: Interrupt,
    shutdown: CancellationToken,
) -> SqlResult<Started> {
    let (batches, receiver) = mpsc::channel(AHEAD);
    let (head, head_receiver) = oneshot::channel();
    let report = Arc::new(Mutex::new(None));
    let shape = if statement.as_text { Shape::Text } else { Shape::Arrow };
    let task = Task { batches, head: Some(head), interrupt, shutdown, shape };
    let slot = report.clone();
    tokio::spawn(run(taken, statement, task, slot));
    match head_receiver.await {
        Ok(head) => Ok(Started { schema: head?, batches: receiver, report }),
        Err(_) => Err(SqlError::internal("the statement ended without a word")),
    }
}

async fn run(
    mut taken: Taken,
    statement: Statement,
    mut task: Task,
    slot: Arc<Mutex<Option<Report>>>,
) {
    let session: &mut dyn Session = taken.session.as_mut();
    let outcome = AssertUnwindSafe(task.drive(session, statement)).catch_unwind().await;
    match outcome {
        Ok(Ok(report)) => *slot.lock() = Some(report),
        Ok(Err(error)) => {
            session.fail().await;
            if let Err(error) = session.end_batch().await {
                tracing::debug!(%error, "batch did not end after an error");
            }
            task.tell(error).await;
        }
        Err(_) => {
            tracing::error!("session panicked");
            let _ = AssertUnwindSafe(session.fail()).catch_unwind().await;
            task.tell(SqlError::internal("the session failed unexpectedly")).await;
        }
    }
}

struct Task {
    batches: mpsc::Sender<SqlResult<RecordBatch>>,
    head: Option<oneshot::Sender<SqlResult<SchemaRef>>>,
    interrupt: Interrupt,
    shutdown: CancellationToken,
    shape: Shape,
}

impl Task {
    async fn tell(&mut self, error: SqlError) {
        match self.head.take() {
            Some(head) => {
                let _ = head.send(Err(error));
            }
            None => {
                let _ = self.batches.send(Err(error)).await;
            }
        }
    }

    fn announce(&mut self, schema: &SchemaRef) {
        if let Some(head) = self.head.take() {
            let _ = head.send(Ok(schema.clone()));
        }
    }

    async fn send(&self, batch: RecordBatch) -> SqlResult<()> {
        tokio::select! {
            biased;
            () = self.interrupt.wait() => Err(self.interrupt.error()),
            sent = self.batches.send(Ok(batch)) => sent.map_err(|_| self.interrupt.error()),
        }
    }

    /// Runs the statement under the clock.
    async fn drive(
        &mut self,
        session: &mut dyn Session,
        statement: Statement,
    ) -> SqlResult<Report> {
        let timeout = session.timeouts().statement;
        let interrupt = self.interrupt.clone();
        let (batches, shutdown) = (self.batches.clone(), self.shutdown.clone());
        let watch = async move {
            let expired = async {
                match timeout {
                    Some(timeout) => tokio::time::sleep(timeout).await,
                    None => std::future::pending().await,
                }
            };
            let reason = tokio::select! {
                () = batches.closed() => InterruptReason::ClientGone,
                () = expired => InterruptReason::StatementTimeout,
                () = shutdown.cancelled() => InterruptReason::Shutdown,
            };
            interrupt.fire(reason);
            std::future::pending::<()>().await;
        };
        tokio::select! {
            biased;
            result = self.statement(session, statement) => result,
            () = watch => Err(SqlError::internal("the watch never ends")),
        }
    }

    async fn statement(
        &mut self,
        session: &mut dyn Session,
        statement: Statement,
    ) -> SqlResult<Report> {
        for sql in &statement.before {
            let prepared = session.prepare(sql, Some(&[])).await?;
            self.execute(session, &prepared, Vec::new(), false, None).await?;
        }
        let prepared = session.prepare(&statement.sql, Some(&[])).await?;
        let settings = session.text_settings();
        let mut executions = match &statement.parameters {
            Parameters::None if prepared.params.is_empty() => vec![vec![]],
            Parameters::None => {
                return Err(SqlError::new(
                    SqlState::UNDEFINED_PARAMETER,
                    "there is no value for parameter $1",
                ));
            }
            Parameters::Batch(batch) => edge::parameters(batch, &prepared.params, &settings)?,
        };
        let last = executions.pop();
        let mut report = Report::default();
        let mut input = Some(statement.input);
        for values in executions {
            let before = self.execute(session, &prepared, values, false, None).await?;
            report.count += before.count;
        }
        if let Some(values) = last {
            let last = self.execute(session, &prepared, values, true, input.take()).await?;
            report = Report { count: report.count + last.count, ..last };
        }
        let empty: SchemaRef = Arc::new(Schema::empty());
        session.end_batch().await?;
        report.notices = session
            .take_notices()
            .into_iter()
            .map(|notice| ReportNotice {
                severity: notice.severity.as_str().into(),
                fields: notice.fields,
            })
            .collect();
        report.status = match session.transaction_status() {
            crate::session_api::TransactionStatus::Idle => "I",
            crate::session_api::TransactionStatus::InTransaction => "T",
            crate::session_api::TransactionStatus::Failed => "E",
        }
        .into();
        self.announce(&empty);
        Ok(report)
    }

    async fn execute(
        &mut self,
        session: &mut dyn Session,
        prepared: &Prepared,
        values: Vec<Datum>,
        ends_batch: bool,
        input: Option<Input>,
    ) -> SqlResult<Report> {
        let options = ExecuteOptions {
            ends_batch,
            interrupt: self.interrupt.clone(),
            ..ExecuteOptions::default()
        };
        match session.execute(prepared, values, options).await? {
            Execution::Empty => Ok(Report::default()),
            Execution::Command(tag) => {
                let count = tag.rsplit(' ').next().and_then(|n| n.parse().ok()).unwrap_or(0);
                Ok(Report { tag, count, ..Report::default() })
            }
            Execution::Rows(rows) => self.rows(session, rows).await,
            Execution::CopyOut(copy) => self.copy_out(session, copy).await,
            Execution::CopyIn(copy) => match input {
                Some(Input::Bytes(chunks)) => self.copy_bytes(session, copy, chunks).await,
                Some(Input::Batches(batches)) => self.copy_batches(session, copy, batches).await,
                Some(Input::None) | None => {
                    Err(SqlError::unsupported("COPY FROM STDIN needs data that comes with it")
                        .hint("Use \\copy in the shell, or send the data with DoPut."))
                }
            },
        }
    }

    async fn next<T>(&self, stream: &mut BoxStream<'static, SqlResult<T>>) -> SqlResult<Option<T>> {
        tokio::select! {
            biased;
            () = self.interrupt.wait() => Err(self.interrupt.error()),
            item = stream.next() => item.transpose(),
        }
    }

    async fn rows(&mut self, session: &mut dyn Session, rows: Rows) -> SqlResult<Report> {
        let Rows { columns, stream, tag } = rows;
        let mut stream: BatchStream = stream;
        let settings = session.text_settings();
        let schema = edge::schema(&columns, self.shape);
        self.announce(&schema);
        let mut count = 0;
        while let Some(batch) = self.next(&mut stream).await? {
            if batch.num_rows() > 0 {
                count += batch.num_rows() as u64;
                self.send(edge::outgoing(&batch, &columns, &schema, self.shape, &settings)?)
                    .await?;
            }
        }
        Ok(Report { tag: Rows::tag(tag, count), count, ..Report::default() })
    }

    async fn copy_out(&mut self, session: &mut dyn Session, copy: CopyOut) -> SqlResult<Report> {
        let CopyOut { columns, options, mut stream } = copy;
        let writer = CopyWriter::new(columns, &options, session.text_settings())?;
        let schema: SchemaRef =
            Arc::new(Schema::new(vec![Field::new(COPY_COLUMN, DataType::Binary, false)]));
        self.announce(&schema);
        let chunk = |bytes: &[u8]| {
            RecordBatch::try_new(schema.clone(), vec![Arc::new(BinaryArray::from(vec![bytes]))])
                .map_err(|error| SqlError::internal(format!("COPY chunk: {error}")))
        };
        let mut output = writer.header()?.unwrap_or_default();
        let mut count = 0;
        while let Some(batch) = self.next(&mut stream).await? {
            let mut rows = writer.rows(&batch)?;
            for row in 0..batch.num_rows() {
                rows.write(row, &mut output)?;
                count += 1;
                if output.len() >= COPY_CHUNK {
                    self.send(chunk(&output)?).await?;
                    output.clear();
                }
            }
        }
        output.extend(writer.trailer().unwrap_or_default());
        if !output.is_empty() {
            self.send(chunk(&output)?).await?;
        }
        Ok(Report { tag: format!("COPY {count}"), count, copy: true, ..Report::default() })
    }

    async fn copy_bytes(
        &mut self,
        session: &mut dyn Session,
        mut copy: CopyIn,
        mut chunks: BoxStream<'static, SqlResult<Bytes>>,
    ) -> SqlResult<Report> {
        let mut reader = CopyReader::of(&copy, session.text_settings());
        loop {
            let chunk = self.next(&mut chunks).await?;
            match &chunk {
                Some(chunk) => reader.push(chunk),
                None => reader.end(),
            }
            while let Some(piece) = reader.next_piece().await? {
                let written = copy.sink.write(piece.batch.clone(), Some(piece.lines.clone())).await;
                written.map_err(|refused| reader.refused(&piece, refused))?;
                piece.failed.map_or(Ok(()), Err)?;
            }
            if chunk.is_none() {
                return copied(copy.sink.finish().await?);
            }
        }
    }

    async fn copy_batches(
        &mut self,
        session: &mut dyn Session,
        mut copy: CopyIn,
        mut batches: BoxStream<'static, SqlResult<RecordBatch>>,
    ) -> SqlResult<Report> {
        let settings = session.text_settings();
        while let Some(batch) = self.next(&mut batches).await? {
            let typed = edge::incoming(&batch, &copy.columns, &settings)?;
            copy.sink.write(typed, None).await.map_err(|refused| refused.error)?;
        }
        copied(copy.sink.finish().await?)
    }
}

fn copied(count: u64) -> SqlResult<Report> {
    Ok(Report { tag: format!("COPY {count}"), count, ..Report::default() })
}
