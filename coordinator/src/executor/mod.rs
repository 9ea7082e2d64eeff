//! Runs plans: optimizes, distributes, fetches from workers, and finishes at the coordinator.
//!
//! ```text
//! bound plan -> constants for subqueries -> optimize -> distribute -> physical plan -> rows
//! ```
//!
//! Work that takes CPU runs on a runtime of its own, so that connections stay responsive while a
//! large join is computed. Every stream between them is bounded; dropping one stops the work.

mod input;
pub mod lock_rows;
pub mod modify;
mod physical;
mod remote;
pub mod route;
mod scope;
mod subquery;

use std::collections::HashMap;
use std::sync::Arc;

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::common::ScalarValue;
use datafusion::execution::memory_pool::FairSpillPool;
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::execution::{SessionState, SessionStateBuilder, TaskContext};
use datafusion::logical_expr::{Extension, LogicalPlan};
use datafusion::physical_plan::{ExecutionPlan, execute_stream};
use datafusion::prelude::SessionConfig;
use futures::future::BoxFuture;
use futures::stream::{StreamExt, TryStreamExt};
use satsuma_common::{SqlError, SqlResult, SqlState};
use satsuma_proto::worker::{BatchStream, FragmentMode};
use satsuma_sql::codec::FunctionLookup;
use satsuma_sql::engine_error::to_sql;

pub use remote::conform;
pub use scope::{Assignment, Scope, for_client, is_stale};

use crate::planner::{self, RemoteScan};

/// Batches that may wait between the CPU runtime and a connection.
const BUFFERED_BATCHES: usize = 4;

/// Plans and runs queries. One per coordinator.
pub struct Executor {
    state: SessionState,
    task: Arc<TaskContext>,
    functions: Arc<dyn FunctionLookup>,
    cpu: tokio::runtime::Handle,
}

impl Executor {
    /// `memory_limit` in bytes bounds what all queries of this coordinator hold together.
    pub fn new(
        functions: Arc<dyn FunctionLookup>,
        memory_limit: usize,
        cpu: tokio::runtime::Handle,
    ) -> SqlResult<Self> {
        let runtime = RuntimeEnvBuilder::new()
            .with_memory_pool(Arc::new(FairSpillPool::new(memory_limit)))
            .build_arc()
            .map_err(to_sql)?;
        let config = SessionConfig::new()
            .with_target_partitions(1)
            .with_information_schema(false)
            .with_create_default_catalog_and_schema(false);
        let state = SessionStateBuilder::new()
            .with_config(config)
            .with_runtime_env(runtime)
            .with_default_features()
            .build();
        let task = state.task_ctx();
        Ok(Self { state, task, functions, cpu })
    }

    pub fn functions(&self) -> &Arc<dyn FunctionLookup> {
        &self.functions
    }

    /// The plan with its uncorrelated scalar subqueries computed, optimized.
    pub async fn prepare(&self, plan: LogicalPlan, scope: &Arc<Scope>) -> SqlResult<LogicalPlan> {
        let subqueries = subquery::uncorrelated(&plan)?;
        let plan = if subqueries.is_empty() {
            plan
        } else {
            let mut values = HashMap::new();
            for subquery in subqueries {
                let value = self.scalar(subquery.subquery.as_ref().clone(), scope).await?;
                values.insert(subquery, value);
            }
            subquery::replace(plan, &values)?
        };
        self.state.optimize(&plan).map_err(to_sql)
    }

    /// The plan cut into what runs on workers and what runs here.
    pub async fn distribute(
        &self,
        plan: LogicalPlan,
        scope: &Arc<Scope>,
    ) -> SqlResult<LogicalPlan> {
        let plan = self.prepare(plan, scope).await?;
        planner::distribute(plan, scope.state.as_ref(), self.functions.as_ref())
    }

    /// Runs a bound plan.
    pub fn run<'a>(
        &'a self,
        plan: LogicalPlan,
        scope: &'a Arc<Scope>,
    ) -> BoxFuture<'a, SqlResult<(SchemaRef, BatchStream)>> {
        Box::pin(async move {
            let plan = self.distribute(plan, scope).await?;
            self.run_distributed(plan, scope).await
        })
    }

    /// Runs a plan that [`Self::distribute`] gave.
    pub async fn run_distributed(
        &self,
        plan: LogicalPlan,
        scope: &Arc<Scope>,
    ) -> SqlResult<(SchemaRef, BatchStream)> {
        if let LogicalPlan::Extension(Extension { node }) = &plan
            && let Some(scan) = node.as_any().downcast_ref::<RemoteScan>()
        {
            let schema = plan.schema().inner().clone();
            let rows = remote::fetch(scope, &scan.task, FragmentMode::Rows, schema.clone())?;
            return Ok((schema, rows));
        }
        let physical = physical::plan(&self.state, plan, scope.clone()).await?;
        let schema = physical.schema();
        Ok((schema, self.execute(physical)))
    }

    /// Runs a plan over scans that are bound already, or over none.
    pub async fn run_local(&self, plan: &LogicalPlan) -> SqlResult<Vec<RecordBatch>> {
        let plan = self.state.optimize(plan).map_err(to_sql)?;
        let physical = self
            .state
            .query_planner()
            .create_physical_plan(&plan, &self.state)
            .await
            .map_err(to_sql)?;
        self.execute(physical).try_collect().await
    }

    /// Runs a plan over a scan of [`satsuma_sql::table::INPUT`], fed with `rows`.
    pub async fn run_over_input(
        &self,
        plan: &LogicalPlan,
        rows: Vec<RecordBatch>,
    ) -> SqlResult<Vec<RecordBatch>> {
        self.run_local(&input::feed(plan.clone(), rows)?).await
    }

    /// Runs work that may take or wait long where nobody waits for the thread.
    pub async fn on_cpu<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> SqlResult<T> + Send + 'static,
    ) -> SqlResult<T> {
        self.cpu
            .spawn(async move { work() })
            .await
            .unwrap_or_else(|_| Err(SqlError::internal("the query failed in an unexpected way")))
    }

    /// Drives the plan on the CPU runtime; a panic there becomes an error here.
    fn execute(&self, physical: Arc<dyn ExecutionPlan>) -> BatchStream {
        let task = self.task.clone();
        let (sender, receiver) = tokio::sync::mpsc::channel(BUFFERED_BATCHES);
        let driver = self.cpu.spawn(async move {
            let mut rows = match execute_stream(physical, task) {
                Ok(rows) => rows,
                Err(error) => {
                    // A receiver that is gone needs no error.
                    let _ = sender.send(Err(to_sql(error))).await;
                    return;
                }
            };
            while let Some(batch) = rows.next().await {
                let failed = batch.is_err();
                if sender.send(batch.map_err(to_sql)).await.is_err() || failed {
                    return;
                }
            }
        });
        let driver = AbortOnDrop(driver);
        futures::stream::unfold((receiver, Some(driver)), |(mut receiver, driver)| async move {
            if let Some(item) = receiver.recv().await {
                return Some((item, (receiver, driver)));
            }
            let mut driver = driver?;
            match (&mut driver.0).await {
                Ok(()) => None,
                Err(error) if error.is_cancelled() => None,
                Err(_) => {
                    let error = SqlError::internal("the query failed in an unexpected way");
                    Some((Err(error), (receiver, None)))
                }
            }
        })
        .boxed()
    }

    /// The one value of a scalar subquery; NULL when it has no row.
    fn scalar<'a>(
        &'a self,
        plan: LogicalPlan,
        scope: &'a Arc<Scope>,
    ) -> BoxFuture<'a, SqlResult<ScalarValue>> {
        Box::pin(async move {
            let (schema, mut rows) = self.run(plan, scope).await?;
            let mut value = None;
            while let Some(batch) = rows.next().await {
                let batch = batch?;
                if batch.num_rows() > 1 || (batch.num_rows() == 1 && value.is_some()) {
                    return Err(SqlError::new(
                        SqlState::CARDINALITY_VIOLATION,
                        "more than one row returned by a subquery used as an expression",
                    ));
                }
                if batch.num_rows() == 1 {
                    let found = ScalarValue::try_from_array(batch.column(0), 0).map_err(to_sql)?;
                    value = Some(found);
                }
            }
            match value {
                Some(value) => Ok(value),
                None => ScalarValue::try_from(schema.field(0).data_type()).map_err(to_sql),
            }
        })
    }
}

struct AbortOnDrop(tokio::task::JoinHandle<()>);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}
