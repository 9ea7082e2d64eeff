//! Runs one statement: binds it on the present catalog, and again where the cluster changed
//! under it.

use std::sync::Arc;
use std::time::Duration;

use futures::stream::{self, StreamExt};
use satsuma_common::{Datum, PgType, SqlError, SqlResult, SqlState, Timestamp};
use satsuma_proto::worker::{BatchStream, CHANGED_SINCE_SNAPSHOT, StatementContext};
use satsuma_sql::bind::{self, BindContext};
use satsuma_sql::bound::{
    Bound, BoundDelete, BoundInsert, BoundQuery, BoundUpdate, Returning,
};
use satsuma_sql::parse::Parsed;

use super::params::{self, Params};
use super::ready::{Planned, Ready};
use super::{ClusterSession, calls, copy, explain};
use crate::executor::lock_rows::RowsAs;
use crate::executor::modify::{Modification, Modified};
use crate::executor::{Scope, is_stale};
use crate::session_api::{CopyOut, ExecuteOptions, Execution, Rows};
use crate::txn::{Isolation, committed_at};

/// How often a statement is tried again before the client hears of it.
const ATTEMPTS: u32 = 100;
/// Memory that one fragment may hold at a worker, in bytes.
const FRAGMENT_MEMORY: u64 = 256 << 20;

impl ClusterSession {
    /// Binds against the catalog as the session sees it now.
    pub(super) fn bind(
        &self,
        parsed: &Parsed,
        param_types: &[Option<PgType>],
    ) -> SqlResult<(Bound, Vec<PgType>)> {
        self.bind_lasting(parsed, param_types).map(|(bound, params, _)| (bound, params))
    }

    /// Also tells whether the bound statement means the same at another time and under other
    /// settings.
    pub(super) fn bind_lasting(
        &self,
        parsed: &Parsed,
        param_types: &[Option<PgType>],
    ) -> SqlResult<(Bound, Vec<PgType>, bool)> {
        let catalog = self.snapshot();
        let env = self.function_env(&catalog);
        let context = BindContext { catalog: &catalog, env: &env, param_types };
        let (bound, params) = bind::bind(parsed, &context)?;
        Ok((bound, params, !env.is_session_dependent()))
    }

    pub(super) async fn run_statement(
        &mut self,
        planned: &Planned,
        params: Vec<Datum>,
        options: &ExecuteOptions,
    ) -> SqlResult<Execution> {
        params::check_count(&params, &planned.params)?;
        let mut ready = self.ready(planned)?;
        if let Bound::Utility(_) = &ready.bound {
            return self.utility(&planned.parsed, options).await;
        }
        self.transaction().await?;
        let mut attempt = 0;
        loop {
            let wait = options.interrupt.wait();
            let result = tokio::select! {
                biased;
                () = wait => Err(options.interrupt.error()),
                result = self.attempt(&ready, &params, &planned.params, options) => result,
            };
            let error = match result {
                Ok(execution) => return Ok(execution),
                Err(error) => error,
            };
            attempt += 1;
            if attempt >= ATTEMPTS || !self.can_retry(&error) {
                return Err(error);
            }
            if let Some(txn) = self.txn.as_mut() {
                txn.undo_statement().await?;
            }
            if is_stale(&error) {
                // The catalog entry that makes it stale may still be on its way to us.
                tokio::time::sleep(Duration::from_millis(u64::from(attempt).min(20))).await;
                self.cluster.catalog.read().await?;
            }
            ready = self.ready(planned)?;
        }
    }

    fn can_retry(&self, error: &SqlError) -> bool {
        let Some(txn) = &self.txn else { return false };
        match error.state() {
            CHANGED_SINCE_SNAPSHOT => txn.isolation == Isolation::ReadCommitted,
            _ => is_stale(error),
        }
    }

    /// What the next statement of the transaction runs with.
    pub(super) async fn scope(&mut self) -> SqlResult<Arc<Scope>> {
        let cluster = self.cluster.clone();
        let frequent = self.settings.frequent();
        let (lock_timeout, timeout) = (frequent.lock_timeout, frequent.timeouts.statement);
        let time_zone = frequent.time_zone.clone();
        let txn = self.transaction().await?;
        let (snapshot, statement) = txn.next_statement(&cluster).await?;
        let context = StatementContext {
            txn: txn.id,
            snapshot,
            statement,
            lock_timeout,
            timeout,
            memory_limit: FRAGMENT_MEMORY,
            time_zone,
            now_micros: txn.now_micros,
        };
        Ok(Arc::new(Scope {
            state: self.state(),
            workers: cluster.workers.clone(),
            statement: context,
        }))
    }

    async fn attempt(
        &mut self,
        ready: &Arc<Ready>,
        params: &[Datum],
        types: &[PgType],
        options: &ExecuteOptions,
    ) -> SqlResult<Execution> {
        match &ready.key {
            Some(statement) => self.run_key(ready, statement, params, types, options).await,
            None => {
                let bound = Params::new(params, types)?.bind(ready.bound.clone())?;
                self.run_bound(&bound, options).await
            }
        }
    }

    async fn run_bound(&mut self, bound: &Bound, options: &ExecuteOptions) -> SqlResult<Execution> {
        let scope = self.scope().await?;
        match bound {
            Bound::Query(query) => self.query(query, &scope, options).await,
            Bound::Insert(insert) => {
                let source = self.with_rows_locked(&insert.source, &scope, RowsAs::Table).await?;
                let insert = BoundInsert { source, ..insert.clone() };
                let modification =
                    self.modification(&scope, options, insert.returning.is_some())?;
                let modified = modification.insert(&insert).await?;
                self.modified(modified, "INSERT 0", &insert.returning, options).await
            }
            Bound::Update(update) => {
                let source = self.with_rows_locked(&update.source, &scope, RowsAs::Values).await?;
                let update = BoundUpdate { source, ..update.clone() };
                let modification =
                    self.modification(&scope, options, update.returning.is_some())?;
                let modified = modification.update(&update).await?;
                self.modified(modified, "UPDATE", &update.returning, options).await
            }
            Bound::Delete(delete) => {
                let source = self.with_rows_locked(&delete.source, &scope, RowsAs::Values).await?;
                let delete = BoundDelete { source, ..delete.clone() };
                let modification =
                    self.modification(&scope, options, delete.returning.is_some())?;
                let modified = modification.delete(&delete).await?;
                self.modified(modified, "DELETE", &delete.returning, options).await
            }
            Bound::Truncate { tables, cascade, restart_identity } => {
                self.writable("TRUNCATE TABLE")?;
                let tables = crate::ddl::truncate_targets(&scope.state, tables, *cascade)?;
                let modification = self.modification(&scope, options, false)?;
                modification.truncate(&tables).await?;
                if *restart_identity {
                    crate::ddl::restart_sequences(self.ddl().await?, &tables)?;
                }
                self.finish_statement(options).await?;
                Ok(Execution::Command("TRUNCATE TABLE".into()))
            }
            Bound::CopyFrom(copy) => {
                self.writable("COPY FROM")?;
                copy::copy_from(self, copy, &scope).await
            }
            Bound::CopyTo { query, options: copy_options } => {
                let stream = self.rows(query, &scope).await?;
                let stream = interruptible(stream, options);
                let columns = query.columns.clone().into();
                Ok(Execution::CopyOut(CopyOut { columns, options: copy_options.clone(), stream }))
            }
            Bound::Call(call) => calls::call(self, call, options).await,
            Bound::Explain { statement, options: explain_options } => {
                explain::explain(self, statement, explain_options, &scope, options).await
            }
            Bound::Utility(_) => Err(SqlError::internal("a utility statement was planned")),
        }
    }

    async fn query(
        &mut self,
        query: &BoundQuery,
        scope: &Arc<Scope>,
        options: &ExecuteOptions,
    ) -> SqlResult<Execution> {
        let stream = self.rows(query, scope).await?;
        Ok(Execution::Rows(Rows {
            columns: query.columns.clone().into(),
            stream: interruptible(stream, options),
            tag: "SELECT",
        }))
    }

    /// The rows of a query. The first batch is waited for, so that a retry is still possible.
    pub(super) async fn rows(
        &mut self,
        query: &BoundQuery,
        scope: &Arc<Scope>,
    ) -> SqlResult<BatchStream> {
        let plan = self.with_rows_locked(&query.plan, scope, RowsAs::Table).await?;
        let executor = self.cluster.executor.clone();
        let (_, mut rows) = executor.run(plan, scope).await?;
        match rows.next().await {
            None => Ok(stream::empty().boxed()),
            Some(first) => {
                let first = first?;
                Ok(stream::once(async move { Ok(first) }).chain(rows).boxed())
            }
        }
    }

    pub(super) fn writable(&self, command: &str) -> SqlResult<()> {
        if self.txn.as_ref().is_some_and(|txn| txn.read_only) {
            return Err(SqlError::new(
                SqlState::READ_ONLY_SQL_TRANSACTION,
                format!("cannot execute {command} in a read-only transaction"),
            ));
        }
        Ok(())
    }

    pub(super) fn modification<'a>(
        &'a mut self,
        scope: &'a Arc<Scope>,
        options: &ExecuteOptions,
        returning: bool,
    ) -> SqlResult<Modification<'a>> {
        self.writable("this statement")?;
        let txn = self
            .txn
            .as_mut()
            .ok_or_else(|| SqlError::internal("a change without a transaction"))?;
        let commit = options.ends_batch && !txn.is_block && !txn.has_written();
        Ok(Modification { executor: &self.cluster.executor, scope, txn, commit, returning })
    }

    /// Commits where nothing can follow, and answers with the tag or the returned rows.
    async fn modified(
        &mut self,
        modified: Modified,
        tag: &'static str,
        returning: &Option<Returning>,
        options: &ExecuteOptions,
    ) -> SqlResult<Execution> {
        let answer = match returning {
            None => Execution::Command(format!("{tag} {}", modified.count)),
            Some(returning) => {
                let rows = self
                    .cluster
                    .executor
                    .run_over_input(&returning.plan, modified.returned)
                    .await?;
                Execution::Rows(Rows {
                    columns: returning.columns.clone().into(),
                    stream: stream::iter(rows.into_iter().map(Ok)).boxed(),
                    tag,
                })
            }
        };
        self.changed(modified.committed, options).await?;
        Ok(answer)
    }

    /// Rows were changed: ends the transaction where nothing can follow. `committed`: the worker
    /// has done so.
    pub(super) async fn changed(
        &mut self,
        committed: Option<Timestamp>,
        options: &ExecuteOptions,
    ) -> SqlResult<()> {
        match committed {
            Some(moment) => {
                committed_at(&self.cluster, Some(moment)).await?;
                if let Some(mut txn) = self.txn.take()
                    && self.own_locks.hand_over(&mut txn)
                {
                    txn.rollback(&self.cluster).await;
                }
                self.note_transaction(None);
                self.settings.end(true);
                Ok(())
            }
            None => self.finish_statement(options).await,
        }
    }

    /// Commits a transaction that the statement began and nothing else can join.
    pub(super) async fn finish_statement(&mut self, options: &ExecuteOptions) -> SqlResult<()> {
        if options.ends_batch && !self.in_block() { self.commit().await } else { Ok(()) }
    }
}

/// Ends the stream with the interrupt's error when it fires.
pub(super) fn interruptible(rows: BatchStream, options: &ExecuteOptions) -> BatchStream {
    let interrupt = options.interrupt.clone();
    let stop = interrupt.wait();
    stream::unfold(Some((rows, stop)), move |state| {
        let interrupt = interrupt.clone();
        async move {
            let (mut rows, mut stop) = state?;
            tokio::select! {
                biased;
                () = &mut stop => Some((Err(interrupt.error()), None)),
                batch = rows.next() => {
                    let batch = batch?.map_err(crate::executor::for_client);
                    let next = batch.is_ok().then_some((rows, stop));
                    Some((batch, next))
                }
            }
        }
    })
    .boxed()
}
