//! Runs plans: optimizes, distributes, fetches from workers, and finishes at the coordinator.
//!
//! ```text
//! bound plan -> constants for subqueries -> optimize -> distribute -> physical plan -> rows
//! ```
//!
//! Work that takes CPU runs on a runtime of its own, so that connections stay responsive while a
//! large join is computed. Every stream between them is bounded; dropping one stops the work.

mod change_elsewhere;
mod constant;
mod exchange;
pub mod gate;
mod input;
mod load;
pub mod lock_rows;
pub mod modify;
mod physical;
mod plans;
mod remote;
pub mod route;
mod scope;
mod subquery;
mod traffic;

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::common::ScalarValue;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::execution::disk_manager::DiskManagerBuilder;
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::execution::{SessionState, SessionStateBuilder, TaskContext};
use datafusion::logical_expr::{Extension, LogicalPlan};
use datafusion::physical_plan::execute_stream;
use datafusion::prelude::SessionConfig;
use futures::future::BoxFuture;
use futures::stream::{StreamExt, TryStreamExt};
use parking_lot::Mutex;
use satsuma_common::{Oid, SqlError, SqlResult, SqlState};
use satsuma_proto::worker::{BatchStream, FragmentMode};
use satsuma_sql::codec::FunctionLookup;
use satsuma_sql::engine_error::to_sql;
use satsuma_sql::explain::Plan;
use satsuma_sql::joins;
use satsuma_sql::memory::{self, NodeMemory, QueryPool};
use satsuma_sql::table::ScanSource;
use satsuma_sql::{interrupt, lift, optimizer, row_counts, value_size};
use tokio_util::sync::CancellationToken;

pub use input::feed_returned;
pub use load::Loads;
pub use remote::{RemoteExec, conform};
pub use scope::{Assignment, Scope, for_client, is_stale};
pub use traffic::{Share, Traffic};

use crate::catalog::State;
use crate::planner::{self, RemoteScan};
use plans::{Plans, Shape};

/// Bytes of a scalar subquery's value: it stands in the plan as a constant.
const LARGEST_SUBQUERY: usize = 32 << 20;
/// What all queries may have on disk together.
const MAX_SPILL_BYTES: u64 = 4 << 30;
/// Batches that may wait between the CPU runtime and a connection.
const BUFFERED_BATCHES: usize = 4;

/// Plans and runs queries. One per coordinator.
pub struct Executor {
    state: Arc<SessionState>,
    /// Optimized lately.
    plans: Arc<Plans>,
    /// Plans joins that spill.
    spilling: Arc<SessionState>,
    /// What plans over rows that are here already run in, all of them in one.
    small: Arc<TaskContext>,
    memory: Arc<NodeMemory>,
    /// Bytes that one query may hold.
    query_memory: u64,
    functions: Arc<dyn FunctionLookup>,
    cpu: tokio::runtime::Handle,
    /// Of `cpu`, that one operator may use.
    threads: usize,
}

impl Executor {
    /// `memory_limit` in bytes bounds what all queries of this coordinator hold together; one
    /// alone may hold half of it.
    pub fn new(
        functions: Arc<dyn FunctionLookup>,
        memory_limit: usize,
        cpu: tokio::runtime::Handle,
    ) -> SqlResult<Self> {
        let runtime = RuntimeEnvBuilder::new()
            .with_disk_manager_builder(
                DiskManagerBuilder::default().with_max_temp_directory_size(MAX_SPILL_BYTES),
            )
            .build_arc()
            .map_err(to_sql)?;
        let memory = Arc::new(NodeMemory::new(memory_limit as u64));
        let config = optimizer::without_schema_check(SessionConfig::new())
            .with_target_partitions(1)
            .with_information_schema(false)
            .with_create_default_catalog_and_schema(false);
        let state = || {
            SessionStateBuilder::new()
                .with_config(config.clone())
                .with_runtime_env(runtime.clone())
                .with_default_features()
                .with_optimizer_rules(optimizer::rules())
        };
        let spilling =
            Arc::new(state().with_physical_optimizer_rules(joins::spilling_rules()).build());
        let state =
            Arc::new(state().with_physical_optimizer_rules(joins::in_memory_rules()).build());
        let query_memory = memory_limit as u64 / 2;
        let small = task_context(&state, query_memory, &memory);
        let threads = cpu.metrics().num_workers();
        let plans = Arc::default();
        Ok(Self { state, plans, spilling, small, memory, query_memory, functions, cpu, threads })
    }

    pub fn functions(&self) -> &Arc<dyn FunctionLookup> {
        &self.functions
    }

    /// The plan with its uncorrelated scalar subqueries computed, optimized: to be run.
    pub async fn prepare(&self, plan: LogicalPlan, scope: &Arc<Scope>) -> SqlResult<LogicalPlan> {
        refuse_unpopulated(&plan, &scope.state)?;
        self.settle(plan, scope).await
    }

    async fn settle(&self, plan: LogicalPlan, scope: &Arc<Scope>) -> SqlResult<LogicalPlan> {
        let plan = self.with_constants(plan, scope).await?;
        self.optimize(plan).await
    }

    /// The plan with its uncorrelated scalar subqueries computed.
    async fn with_constants(
        &self,
        plan: LogicalPlan,
        scope: &Arc<Scope>,
    ) -> SqlResult<LogicalPlan> {
        let subqueries = subquery::uncorrelated(&plan)?;
        if subqueries.is_empty() {
            return Ok(plan);
        }
        let mut values = HashMap::new();
        for subquery in subqueries {
            let value = self.scalar(subquery.subquery.as_ref().clone(), scope).await?;
            values.insert(subquery, value);
        }
        subquery::replace(plan, &values)
    }

    /// What is constant is computed here, which may take as long as any other query.
    async fn optimize(&self, plan: LogicalPlan) -> SqlResult<LogicalPlan> {
        let (state, plans) = (self.state.clone(), self.plans.clone());
        let work = move || {
            let optimized = |plan: &LogicalPlan| value_size::planning(|| state.optimize(plan));
            let plan = row_counts::settle(plan)?;
            let (shape, constants) = lift::lift(plan).map_err(to_sql)?;
            let settled = |plan| lift::settle(plan, &constants);
            if constants.is_empty() {
                return optimized(&shape).map_err(to_sql);
            }
            let Some(shape) = Shape::of(shape.clone()).map_err(to_sql)? else {
                let plan = settled(shape).map_err(to_sql)?;
                return optimized(&plan).map_err(to_sql);
            };
            let known = match plans.get(&shape) {
                Some(known) => Ok(known),
                None => optimized(&shape.plan).inspect(|new| plans.put(shape.clone(), new.clone())),
            };
            known
                .and_then(settled)
                .or_else(|_| {
                    // Some rule needs to know the constants, or made values of them.
                    let plan = settled(shape.plan)?;
                    optimized(&plan)
                })
                .map_err(to_sql)
        };
        self.on_cpu(work).await
    }

    /// The plan cut into what runs on workers and what runs here.
    pub async fn distribute(
        &self,
        plan: LogicalPlan,
        scope: &Arc<Scope>,
    ) -> SqlResult<LogicalPlan> {
        let plan = self.settle(plan, scope).await?;
        self.distribute_prepared(plan, scope).await
    }

    async fn distribute_prepared(
        &self,
        plan: LogicalPlan,
        scope: &Arc<Scope>,
    ) -> SqlResult<LogicalPlan> {
        scope.note_tenants(&plan)?;
        let topology = scope.topology(&plan).await;
        planner::distribute(plan, &topology, self.functions.as_ref())
    }

    /// Columns of tables that a plan's rows depend on, as positions in their shapes.
    pub fn columns_used(&self, plan: &LogicalPlan) -> SqlResult<BTreeSet<(Oid, usize)>> {
        let plan = value_size::planning(|| self.state.optimize(plan)).map_err(to_sql)?;
        let mut used = BTreeSet::new();
        plan.apply_with_subqueries(|node| {
            if let LogicalPlan::TableScan(scan) = node
                && let Some(source) = scan.source.downcast_ref::<ScanSource>()
                && let Some(table) = source.table_id()
            {
                let all = 0..scan.source.schema().fields().len();
                let columns = scan.projection.clone().unwrap_or_else(|| all.collect());
                used.extend(columns.into_iter().map(|column| (Oid(table.0), column)));
            }
            Ok(TreeNodeRecursion::Continue)
        })
        .map_err(to_sql)?;
        Ok(used)
    }

    /// Runs a bound plan.
    pub fn run<'a>(
        &'a self,
        plan: LogicalPlan,
        scope: &'a Arc<Scope>,
    ) -> BoxFuture<'a, SqlResult<(SchemaRef, BatchStream)>> {
        Box::pin(async move {
            if let Some(row) = constant::row_of(&plan) {
                let schema = plan.schema().inner().clone();
                let row = match constant::is_literal(row) {
                    true => constant::compute(row)?,
                    false => {
                        let row = row.clone();
                        self.on_cpu(move || constant::compute(&row)).await?
                    }
                };
                return Ok((schema, futures::stream::iter([Ok(row)]).boxed()));
            }
            refuse_unpopulated(&plan, &scope.state)?;
            let plan = self.distribute(plan, scope).await?;
            self.run_distributed(plan, scope).await
        })
    }

    /// Runs a plan that [`Self::prepare`] gave.
    pub async fn run_prepared(
        &self,
        plan: LogicalPlan,
        scope: &Arc<Scope>,
    ) -> SqlResult<(SchemaRef, BatchStream)> {
        let plan = self.distribute_prepared(plan, scope).await?;
        self.run_distributed(plan, scope).await
    }

    /// Runs a plan that [`Self::distribute`] gave.
    pub async fn run_distributed(
        &self,
        plan: LogicalPlan,
        scope: &Arc<Scope>,
    ) -> SqlResult<(SchemaRef, BatchStream)> {
        if let LogicalPlan::Extension(Extension { node }) = &plan
            && let Some(scan) = node.as_any().downcast_ref::<RemoteScan>()
            && scan.task.inputs.is_empty()
        {
            let schema = plan.schema().inner().clone();
            let rows =
                remote::fetch(scope, &scan.task, FragmentMode::Rows, schema.clone(), Vec::new())?;
            return Ok((schema, rows));
        }
        let physical =
            physical::plan(&self.state, plan.clone(), scope.clone(), self.threads).await?;
        let schema = physical.schema();
        let again = Again { plan, scope: scope.clone(), ran: None };
        Ok((schema, self.execute(physical, Some(again))))
    }

    /// What a plan that [`Self::distribute`] gave will be run as.
    pub async fn physical(&self, plan: LogicalPlan, scope: &Arc<Scope>) -> SqlResult<Plan> {
        physical::plan(&self.state, plan, scope.clone(), self.threads).await
    }

    /// Runs a plan to its end, without keeping rows. Gives it as it was run, each operator with
    /// what it did.
    pub async fn analyze(&self, plan: LogicalPlan, scope: &Arc<Scope>) -> SqlResult<Plan> {
        let physical = self.physical(plan.clone(), scope).await?;
        let ran = Arc::new(Mutex::new(physical.clone()));
        let again = Again { plan, scope: scope.clone(), ran: Some(ran.clone()) };
        let mut rows = self.execute(physical, Some(again));
        while let Some(batch) = rows.next().await {
            batch?;
        }
        drop(rows);
        let plan = ran.lock().clone();
        Ok(plan)
    }

    /// Runs a plan over scans that are bound already, or over none.
    pub async fn run_local(&self, plan: &LogicalPlan) -> SqlResult<Vec<RecordBatch>> {
        let plan = self.optimize(plan.clone()).await?;
        let physical = self
            .state
            .query_planner()
            .create_physical_plan(&plan, self.state.as_ref())
            .await
            .map_err(to_sql)?;
        self.execute(physical, None).try_collect().await
    }

    /// Runs a plan over a scan of [`satsuma_sql::table::INPUT`], fed with `rows`.
    pub async fn run_over_input(
        &self,
        plan: &LogicalPlan,
        rows: Vec<RecordBatch>,
    ) -> SqlResult<Vec<RecordBatch>> {
        self.run_local(&input::feed(plan.clone(), rows)?).await
    }

    /// What RETURNING makes of changed rows. Subqueries in it see what the statement began with.
    pub async fn returned(
        &self,
        plan: &LogicalPlan,
        rows: Vec<RecordBatch>,
        scope: &Arc<Scope>,
    ) -> SqlResult<Vec<RecordBatch>> {
        let plan = input::feed(plan.clone(), rows)?;
        match input::reads_relations(&plan)? {
            true => self.run(plan, scope).await?.1.try_collect().await,
            false => self.run_local(&plan).await,
        }
    }

    /// All rows of a query, for later parts of its statement.
    pub async fn kept(&self, mut rows: BatchStream) -> SqlResult<Vec<RecordBatch>> {
        let most = self.query_memory / 4;
        let (mut kept, mut bytes) = (Vec::new(), 0);
        while let Some(batch) = rows.next().await {
            let batch = batch?;
            bytes += batch.get_array_memory_size() as u64;
            if bytes > most {
                return Err(SqlError::new(
                    SqlState::OUT_OF_MEMORY,
                    format!("the rows of a WITH query that is kept take more than {most} bytes"),
                )
                .hint("Store them in a temporary table first."));
            }
            kept.push(batch);
        }
        Ok(kept)
    }

    /// Runs work that may take or wait long where nobody waits for the thread. Dropping this
    /// stops it.
    pub async fn on_cpu<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> SqlResult<T> + Send + 'static,
    ) -> SqlResult<T> {
        let stop = CancellationToken::new();
        let _stop = stop.clone().drop_guard();
        self.cpu
            .spawn(async move { interrupt::call_stopped_by(stop, work) })
            .await
            .unwrap_or_else(|_| Err(SqlError::internal("the query failed in an unexpected way")))
    }

    /// A context with a share of memory for one query.
    fn task_context(&self) -> Arc<TaskContext> {
        task_context(&self.state, self.query_memory, &self.memory)
    }

    /// Drives the plan on the CPU runtime; a panic there becomes an error here. `again` is how to
    /// plan it again, with joins that spill, when memory runs out before the first row.
    fn execute(&self, physical: Plan, again: Option<Again>) -> BatchStream {
        let task = match again {
            None => self.small.clone(),
            Some(_) => self.task_context(),
        };
        let state = self.spilling.clone();
        let (sender, receiver) = tokio::sync::mpsc::channel(BUFFERED_BATCHES);
        let work = async move {
            let mut sent = false;
            let ran = again.as_ref().and_then(|again| again.ran.clone());
            let physical = noted(physical, ran.as_ref());
            let mut result = pump(physical, task.clone(), &sender, &mut sent).await;
            if let (Err(error), Some(Again { plan, scope, .. })) = (&result, again)
                && error.state() == SqlState::OUT_OF_MEMORY
                && !sent
            {
                released(&task).await;
                let config = joins::spilling_config(task.session_config().clone());
                let task = memory::task_context(config, task.runtime_env());
                result = match physical::plan(&state, plan, scope, 1).await {
                    Ok(physical) => {
                        let physical = noted(physical, ran.as_ref());
                        pump(physical, task, &sender, &mut sent).await
                    }
                    Err(error) => Err(error),
                };
            }
            if let Err(error) = result {
                // A receiver that is gone needs no error.
                let _ = sender.send(Err(error)).await;
            }
        };
        let driver = Running::start(&self.cpu, work);
        futures::stream::unfold((receiver, Some(driver)), |(mut receiver, driver)| async move {
            if let Some(item) = receiver.recv().await {
                return Some((item, (receiver, driver)));
            }
            let mut driver = driver?;
            match (&mut driver.task).await {
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
                Some(value) if value.size() > LARGEST_SUBQUERY => Err(SqlError::new(
                    SqlState::PROGRAM_LIMIT_EXCEEDED,
                    "the value of a subquery is too large",
                )
                .detail(format!("It may take {LARGEST_SUBQUERY} bytes."))
                .hint("Move the subquery to FROM.")),
                Some(value) => Ok(value),
                None => ScalarValue::try_from(schema.field(0).data_type()).map_err(to_sql),
            }
        })
    }
}

/// 55000 where a plan reads a materialized view that was never filled.
pub fn refuse_unpopulated(plan: &LogicalPlan, state: &State) -> SqlResult<()> {
    if state.unpopulated().next().is_none() {
        return Ok(());
    }
    let mut found = None;
    plan.apply_with_subqueries(|node| {
        if let LogicalPlan::TableScan(scan) = node
            && let Some(source) = scan.source.downcast_ref::<ScanSource>()
            && let Some(table) = source.table_id()
            && state.is_populated(table) == Some(false)
        {
            found = state.table(table);
            return Ok(TreeNodeRecursion::Stop);
        }
        Ok(TreeNodeRecursion::Continue)
    })
    .map_err(to_sql)?;
    let Some(table) = found else { return Ok(()) };
    Err(SqlError::new(
        SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE,
        format!("materialized view \"{}\" has not been populated", table.shape.name),
    )
    .hint("Use the REFRESH MATERIALIZED VIEW command."))
}

fn task_context(state: &SessionState, limit: u64, memory: &Arc<NodeMemory>) -> Arc<TaskContext> {
    let pool = QueryPool::new(limit, memory.clone());
    let runtime = memory::with_pool(state.runtime_env(), Arc::new(pool));
    memory::task_context(state.config().clone(), runtime)
}

/// Waits until a plan that failed has given back what it held: tasks of it end a moment later.
async fn released(task: &TaskContext) {
    const TRIES: u32 = 200;
    for _ in 0..TRIES {
        if task.memory_pool().reserved() == 0 {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
}

/// What a plan that runs out of memory is planned from again.
struct Again {
    plan: LogicalPlan,
    scope: Arc<Scope>,
    /// The plan that is run in the end, where somebody will ask.
    ran: Option<Arc<Mutex<Plan>>>,
}

/// The plan to be run: watched, and kept, if somebody will ask.
fn noted(plan: Plan, ran: Option<&Arc<Mutex<Plan>>>) -> SqlResult<Plan> {
    let Some(ran) = ran else { return Ok(plan) };
    let plan = remote::watched(plan).map_err(to_sql)?;
    *ran.lock() = plan.clone();
    Ok(plan)
}

/// Sends the plan's rows until there are no more or nobody wants them.
async fn pump(
    physical: SqlResult<Plan>,
    task: Arc<TaskContext>,
    sender: &tokio::sync::mpsc::Sender<SqlResult<RecordBatch>>,
    sent: &mut bool,
) -> SqlResult<()> {
    let mut rows = execute_stream(physical?, task).map_err(to_sql)?;
    while let Some(batch) = rows.next().await {
        let batch = batch.map_err(to_sql)?;
        *sent |= batch.num_rows() > 0;
        if sender.send(Ok(batch)).await.is_err() {
            return Ok(());
        }
    }
    Ok(())
}

/// Work on a query that goes on by itself, until this is dropped.
struct Running {
    task: tokio::task::JoinHandle<()>,
    stop: CancellationToken,
}

impl Running {
    fn start(
        runtime: &tokio::runtime::Handle,
        work: impl Future<Output = ()> + Send + 'static,
    ) -> Self {
        let stop = CancellationToken::new();
        let task = runtime.spawn(interrupt::stopped_by(stop.clone(), work));
        Self { task, stop }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stop.cancel();
        self.task.abort();
    }
}
