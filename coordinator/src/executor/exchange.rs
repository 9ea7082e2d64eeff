//! Sends the rows of a task's inputs to its workers.
//!
//! ```text
//! input 0 ── split by hash ──┬─▶ queue ─▶ worker 1
//! input 1 ── copy ───────────┴─▶ queue ─▶ worker 2
//! ```
//!
//! Queues are short: an input is read as fast as the slowest worker takes its rows. Workers take
//! everything before they compute, so that inputs do not wait for each other.

use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, RecordBatch, UInt32Array};
use datafusion::arrow::compute::take_record_batch;
use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::physical_expr::PhysicalExpr;
use futures::FutureExt;
use futures::stream::{self, StreamExt};
use satsuma_common::hash::partition_hash_array;
use satsuma_common::{GroupId, HashRange, PgType, SqlError, SqlResult};
use satsuma_proto::worker::{BatchStream, Input, InputRows, InputStream};
use satsuma_sql::engine_error::{arrow_to_sql, to_sql};
use tokio::sync::mpsc;

use super::Running;
use super::scope::Assignment;
use super::traffic::Meter;

/// Batches that may wait for a worker.
const QUEUE: usize = 4;

/// Which groups get which rows of an input.
#[derive(Clone)]
pub enum Destination {
    Copies,
    ByHash { key: Arc<dyn PhysicalExpr>, ty: PgType, ranges: Arc<[(HashRange, GroupId)]> },
}

/// An input that is being read.
pub struct Source {
    pub rows: BatchStream,
    pub schema: SchemaRef,
    pub destination: Destination,
}

impl Source {
    /// How a worker is told of it.
    pub fn described(&self) -> Input {
        let by_group = matches!(self.destination, Destination::ByHash { .. });
        Input { schema: self.schema.clone(), by_group }
    }
}

/// Starts reading all inputs. Gives a stream for each assignment, in order, and what keeps the
/// reading going.
pub fn start(
    sources: Vec<Source>,
    assignments: &[Assignment],
    meter: Option<&Arc<Meter>>,
) -> (Vec<InputStream>, Vec<Running>) {
    let (senders, streams): (Vec<_>, Vec<_>) = assignments
        .iter()
        .map(|_| {
            let (sender, receiver) = mpsc::channel(QUEUE);
            let rows = stream::unfold(receiver, |mut receiver| async move {
                let rows = receiver.recv().await?;
                Some((rows, receiver))
            });
            (sender, rows.boxed())
        })
        .unzip();
    let places: Arc<BTreeMap<GroupId, (usize, u32)>> = Arc::new(
        assignments
            .iter()
            .enumerate()
            .flat_map(|(worker, assignment)| {
                let groups = (0u32..).zip(&assignment.groups);
                groups.map(move |(position, group)| (group.group, (worker, position)))
            })
            .collect(),
    );
    let tasks = sources
        .into_iter()
        .enumerate()
        .map(|(input, source)| {
            let feed = Feed {
                input,
                places: places.clone(),
                workers: senders.clone(),
                meter: meter.cloned(),
            };
            Running::start(&tokio::runtime::Handle::current(), feed.run(source))
        })
        .collect();
    (streams, tasks)
}

/// One input on its way.
struct Feed {
    input: usize,
    /// Worker and position in its request, by group.
    places: Arc<BTreeMap<GroupId, (usize, u32)>>,
    workers: Vec<mpsc::Sender<SqlResult<InputRows>>>,
    meter: Option<Arc<Meter>>,
}

impl Feed {
    /// Sends all rows, or the error to every worker: an input that merely ends would look whole.
    async fn run(self, source: Source) {
        let all = AssertUnwindSafe(self.send_all(source)).catch_unwind().await;
        let failed = SqlError::internal("rows on their way were lost in an unexpected way");
        if let Err(error) = all.unwrap_or(Err(failed)) {
            for worker in &self.workers {
                // A worker that is gone needs no error.
                let _ = worker.send(Err(error.clone())).await;
            }
        }
    }

    async fn send_all(&self, source: Source) -> SqlResult<()> {
        let Source { mut rows, destination, .. } = source;
        while let Some(batch) = rows.next().await {
            let batch = batch?;
            match &destination {
                Destination::Copies => {
                    for worker in 0..self.workers.len() {
                        self.send(worker, batch.clone()).await?;
                    }
                }
                Destination::ByHash { key, ty, ranges } => {
                    for (worker, part) in self.split(&batch, key, ty, ranges)? {
                        self.send(worker, part).await?;
                    }
                }
            }
        }
        Ok(())
    }

    async fn send(&self, worker: usize, rows: RecordBatch) -> SqlResult<()> {
        if let Some(meter) = &self.meter {
            meter.send(&rows);
        }
        let rows = InputRows { input: self.input, rows };
        // A worker that stopped listening has said why in its own answer.
        self.workers[worker]
            .send(Ok(rows))
            .await
            .map_err(|_| SqlError::internal("a worker stopped taking rows"))
    }

    /// The rows for each worker, each group's together, with the column that tells the group.
    fn split(
        &self,
        batch: &RecordBatch,
        key: &Arc<dyn PhysicalExpr>,
        ty: &PgType,
        ranges: &[(HashRange, GroupId)],
    ) -> SqlResult<Vec<(usize, RecordBatch)>> {
        let keys = key
            .evaluate(batch)
            .and_then(|value| value.into_array(batch.num_rows()))
            .map_err(to_sql)?;
        let mut rows_of: Vec<Vec<u32>> = vec![Vec::new(); ranges.len()];
        for (row, token) in (0u32..).zip(partition_hash_array(keys.as_ref(), ty)?) {
            let range = token.map_or(0, |token| {
                ranges.partition_point(|(range, _)| range.low() <= token).saturating_sub(1)
            });
            rows_of[range].push(row);
        }
        let mut parts: BTreeMap<usize, (Vec<u32>, Vec<u32>)> = BTreeMap::new();
        for (rows, (_, group)) in rows_of.into_iter().zip(ranges) {
            let Some((worker, position)) = self.places.get(group) else { continue };
            if rows.is_empty() {
                continue;
            }
            let (taken, positions) = parts.entry(*worker).or_default();
            positions.resize(positions.len() + rows.len(), *position);
            taken.extend(rows);
        }
        parts
            .into_iter()
            .map(|(worker, (rows, positions))| {
                let taken = take_record_batch(batch, &UInt32Array::from(rows));
                let part = taken.map_err(arrow_to_sql)?;
                Ok((worker, with_groups(part, UInt32Array::from(positions))?))
            })
            .collect()
    }
}

fn with_groups(batch: RecordBatch, groups: UInt32Array) -> SqlResult<RecordBatch> {
    let field = Arc::new(Field::new("group", DataType::UInt32, false));
    let schema = batch.schema();
    let fields: Vec<_> = schema.fields().iter().cloned().chain([field]).collect();
    let groups: ArrayRef = Arc::new(groups);
    let columns = batch.columns().iter().cloned().chain([groups]).collect();
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).map_err(arrow_to_sql)
}
