//! What all queries of a worker share: CPU threads of their own, memory, a place to spill.

use std::path::Path;
use std::sync::Arc;

use datafusion::execution::disk_manager::{DiskManagerBuilder, DiskManagerMode};
use datafusion::execution::runtime_env::{RuntimeEnv, RuntimeEnvBuilder};
use datafusion::execution::{SessionState, SessionStateBuilder, TaskContext};
use datafusion::prelude::SessionConfig;
use satsuma_common::{SqlError, SqlResult, SqlState};
use satsuma_sql::engine_error::to_sql;
use tokio::runtime::{Builder, Handle, Runtime};
use tokio_util::sync::CancellationToken;

use super::memory::{NodeMemory, QueryPool};
use super::templates::Templates;
use crate::index::IndexEvaluator;

/// Rows of a batch inside a query.
const BATCH_ROWS: usize = 8192;

pub(crate) struct QueryRuntime {
    /// `None` only while being dropped.
    runtime: Option<Runtime>,
    threads: usize,
    memory: Arc<NodeMemory>,
    base: Arc<RuntimeEnv>,
    /// Plans for one thread, and for all.
    alone: SessionState,
    parallel: SessionState,
    templates: Templates,
    active: Arc<()>,
    /// Indexes of tables, bound.
    pub indexes: Arc<IndexEvaluator>,
}

/// Reaches our own operators through the task context.
pub(crate) struct Cancelled(pub CancellationToken);

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
            .thread_stack_size(8 << 20)
            .enable_all()
            .build()
            .map_err(io)?;
        let disk = DiskManagerBuilder::default()
            .with_mode(DiskManagerMode::Directories(vec![spill_dir.to_owned()]));
        let base =
            RuntimeEnvBuilder::new().with_disk_manager_builder(disk).build_arc().map_err(to_sql)?;
        let state = |threads: usize| {
            let mut config = SessionConfig::new()
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
                .build()
        };
        let (alone, parallel) = (state(1), state(threads));
        Ok(Self {
            runtime: Some(runtime),
            threads,
            memory: Arc::new(NodeMemory::new(memory_limit)),
            base,
            alone,
            parallel,
            templates: Templates::default(),
            active: Arc::new(()),
            indexes: Arc::default(),
        })
    }

    /// What plans for so many threads are made with.
    pub fn state(&self, threads: usize) -> &SessionState {
        if threads > 1 { &self.parallel } else { &self.alone }
    }

    pub fn templates(&self) -> &Templates {
        &self.templates
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
    pub fn task_context(
        &self,
        memory_limit: u64,
        cancel: CancellationToken,
    ) -> SqlResult<Arc<TaskContext>> {
        let pool = QueryPool::new(memory_limit, self.memory.clone());
        let runtime = RuntimeEnvBuilder::from_runtime_env(&self.base)
            .with_memory_pool(Arc::new(pool))
            .build_arc()
            .map_err(to_sql)?;
        let config = self.alone.config().clone().with_extension(Arc::new(Cancelled(cancel)));
        let empty = TaskContext::default().with_session_config(config).with_runtime(runtime);
        Ok(Arc::new(empty))
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
