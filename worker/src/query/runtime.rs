//! What all queries of a worker share: CPU threads of their own, memory, a place to spill.

use std::path::Path;
use std::sync::Arc;

use datafusion::execution::disk_manager::{DiskManagerBuilder, DiskManagerMode};
use datafusion::execution::memory_pool::MemoryPool;
use datafusion::execution::runtime_env::{RuntimeEnv, RuntimeEnvBuilder};
use datafusion::execution::{SessionState, SessionStateBuilder, TaskContext};
use datafusion::prelude::SessionConfig;
use satsuma_common::{SqlError, SqlResult, SqlState};
use satsuma_sql::engine_error::to_sql;
use satsuma_sql::joins;
use satsuma_sql::memory::{self, NodeMemory, QueryPool};
use satsuma_sql::optimizer;
use tokio::runtime::{Builder, Handle, Runtime};
use tokio_util::sync::CancellationToken;

use super::bind::Joins;
use super::templates::Templates;
use crate::index::IndexEvaluator;

/// Rows of a batch inside a query.
const BATCH_ROWS: usize = 8192;
/// What all queries may have on disk together: the log must keep its room.
const MAX_SPILL_BYTES: u64 = 4 << 30;

pub(crate) struct QueryRuntime {
    /// `None` only while being dropped.
    runtime: Option<Runtime>,
    threads: usize,
    memory: Arc<NodeMemory>,
    base: Arc<RuntimeEnv>,
    /// Plans for one thread, and for all.
    alone: SessionState,
    parallel: SessionState,
    /// Plans joins that spill, for one thread.
    spilling: SessionState,
    templates: Templates,
    active: Arc<()>,
    /// Indexes of tables, bound.
    pub indexes: Arc<IndexEvaluator>,
}

/// Reaches our own operators through the task context.
pub(crate) struct Cancelled(pub CancellationToken);

impl Cancelled {
    /// 57014 once nobody waits for the query any more.
    pub fn check(token: Option<&Self>) -> datafusion::error::Result<()> {
        if token.is_some_and(|token| token.0.is_cancelled()) {
            let message = "canceling statement due to user request";
            let error = SqlError::new(SqlState::QUERY_CANCELED, message);
            return Err(satsuma_sql::engine_error::from_sql(error));
        }
        Ok(())
    }
}

impl QueryRuntime {
    /// `spill_dir` is emptied: nothing in it outlives the process.
    pub fn new(threads: usize, memory_limit: u64, spill_dir: &Path) -> SqlResult<Self> {
        let io = |error: std::io::Error| {
            SqlError::new(SqlState::IO_ERROR, format!("{}: {error}", spill_dir.display()))
        };
        match std::fs::remove_dir_all(spill_dir) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(io(error)),
            _ => std::fs::create_dir_all(spill_dir).map_err(io)?,
        }
        let threads = threads.max(1);
        let runtime = Builder::new_multi_thread()
            .worker_threads(threads)
            .thread_name("satsuma-query")
            // Fragments are decoded and planned here, by recursion over what clients wrote.
            .thread_stack_size(32 << 20)
            .enable_all()
            .build()
            .map_err(io)?;
        let disk = DiskManagerBuilder::default()
            .with_mode(DiskManagerMode::Directories(vec![spill_dir.to_owned()]))
            .with_max_temp_directory_size(MAX_SPILL_BYTES);
        let base =
            RuntimeEnvBuilder::new().with_disk_manager_builder(disk).build_arc().map_err(to_sql)?;
        let state = |threads: usize, rules| {
            let mut config = optimizer::without_schema_check(SessionConfig::new())
                .with_target_partitions(threads)
                .with_batch_size(BATCH_ROWS)
                .with_information_schema(false)
                // Scans share out their work themselves.
                .with_round_robin_repartition(false);
            // Scans over shards give rows in chance order: a partition has no part of the keys.
            config.options_mut().optimizer.repartition_file_scans = false;
            SessionStateBuilder::new()
                .with_config(config)
                .with_runtime_env(base.clone())
                .with_default_features()
                .with_optimizer_rules(optimizer::rules())
                .with_physical_optimizer_rules(rules)
                .build()
        };
        let alone = state(1, joins::in_memory_rules());
        let parallel = state(threads, joins::in_memory_rules());
        let spilling = state(1, joins::spilling_rules());
        Ok(Self {
            runtime: Some(runtime),
            threads,
            memory: Arc::new(NodeMemory::new(memory_limit)),
            base,
            alone,
            parallel,
            spilling,
            templates: Templates::default(),
            active: Arc::new(()),
            indexes: Arc::default(),
        })
    }

    /// What plans for so many threads are made with.
    pub fn state(&self, threads: usize, joins: Joins) -> &SessionState {
        match (joins, threads) {
            (Joins::Spilling, _) => &self.spilling,
            (Joins::InMemory, 0 | 1) => &self.alone,
            (Joins::InMemory, _) => &self.parallel,
        }
    }

    pub fn templates(&self) -> &Templates {
        &self.templates
    }

    /// Memory for one query, within the node's.
    pub fn pool(&self, limit: u64) -> Arc<dyn MemoryPool> {
        Arc::new(QueryPool::new(self.within_node(limit), self.memory.clone()))
    }

    /// What a query gets of its wish for memory: never more than half of the node's, so that one
    /// that takes all it may leaves room for others.
    pub fn within_node(&self, limit: u64) -> u64 {
        limit.min(self.memory.limit() as u64 / 2)
    }

    /// Waits until a plan that was dropped has given back what it held: tasks of it end a moment
    /// later.
    pub async fn released(context: &TaskContext) {
        const TRIES: u32 = 200;
        for _ in 0..TRIES {
            if context.memory_pool().reserved() == 0 {
                return;
            }
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    }

    /// The same context for a plan that spills: with batches small enough to be sorted in the
    /// little memory that there is.
    pub fn spilling_context(context: &TaskContext) -> Arc<TaskContext> {
        let config = joins::spilling_config(context.session_config().clone());
        memory::task_context(config, context.runtime_env())
    }

    /// Where queries spill.
    pub fn environment(&self) -> Arc<RuntimeEnv> {
        self.base.clone()
    }

    /// Counts as a running query until dropped.
    pub fn count_query(&self) -> Arc<()> {
        self.active.clone()
    }

    pub fn active_queries(&self) -> usize {
        Arc::strong_count(&self.active) - 1
    }

    pub fn threads(&self) -> usize {
        self.threads
    }

    pub fn handle(&self) -> SqlResult<Handle> {
        let runtime = self.runtime.as_ref();
        runtime
            .map(|runtime| runtime.handle().clone())
            .ok_or_else(|| SqlError::new(SqlState::ADMIN_SHUTDOWN, "the worker is shutting down"))
    }

    /// A context with its own share of memory, whose scans stop when `cancel` says so.
    pub fn task_context(&self, memory_limit: u64, cancel: CancellationToken) -> Arc<TaskContext> {
        let runtime = memory::with_pool(&self.base, self.pool(memory_limit));
        let config = self.alone.config().clone().with_extension(Arc::new(Cancelled(cancel)));
        memory::task_context(config, runtime)
    }
}

impl Drop for QueryRuntime {
    fn drop(&mut self) {
        // A runtime may be dropped on a thread of another one only in this way.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}
