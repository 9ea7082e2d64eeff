//! Runs one statement: binds it on the present catalog, and again where the cluster changed
//! under it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use datafusion::arrow::array::{AsArray, PrimitiveArray};
use datafusion::arrow::datatypes::Int64Type;
use datafusion::common::ScalarValue;
use futures::stream::{self, StreamExt, TryStreamExt};
use satsuma_common::{Datum, PgType, SqlError, SqlResult, SqlState, Timestamp};
use satsuma_proto::worker::{
    BatchStream, CHANGED_SINCE_SNAPSHOT, STALE_PLACEMENT, StatementContext,
};
use satsuma_sql::bind::{self, BindContext};
use satsuma_sql::bound::{
    Bound, BoundDelete, BoundInsert, BoundMerge, BoundQuery, BoundUpdate, Returning,
};
use satsuma_sql::casts::enums;
use satsuma_sql::parse::{Command, Parsed, Statement};
use sqlparser::ast;

use super::params::{self, Params};
use super::ready::{Planned, Ready};
use super::{ClusterSession, calls, copy, explain};
use crate::executor::lock_rows::RowsAs;
use crate::executor::modify::{Modification, Modified};
use crate::executor::{Scope, feed_returned, is_stale};
use crate::session_api::{CopyOut, ExecuteOptions, Execution, Rows};
use crate::txn::{Isolation, Transaction, committed_at};

/// How often a statement is tried again before the client hears of it.
const ATTEMPTS: u32 = 100;
/// How long a statement waits for a definition of another transaction that is under way.
const PATIENCE: Duration = Duration::from_secs(30);
/// After so long a wait, shapes are compared with the catalog.
const SUSPICIOUS: Duration = Duration::from_secs(3);
/// Longest pause between two looks.
const LONGEST_PAUSE: Duration = Duration::from_millis(50);
/// Memory that one fragment may hold at a worker, in bytes; a worker gives no more than half of its own.
const FRAGMENT_MEMORY: u64 = 1 << 30;

/// Waits for a table's new shape to be committed or taken back: its workers refuse the old one
/// until then. The pauses grow.
pub(super) struct Patience {
    started: Instant,
    pause: Duration,
    /// When to compare shapes with the catalog next.
    suspicious_at: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        let pause = Duration::from_millis(1);
        Self { started: Instant::now(), pause, suspicious_at: SUSPICIOUS }
    }
}

impl Patience {
    pub fn is_left(&self) -> bool {
        self.lasts(PATIENCE)
    }

    fn lasts(&self, limit: Duration) -> bool {
        self.started.elapsed() < limit
    }

    /// Once in a while: it takes long, and something may be wrong.
    pub fn is_wearing_out(&mut self) -> bool {
        let is_due = self.started.elapsed() >= self.suspicious_at;
        if is_due {
            self.suspicious_at += SUSPICIOUS;
        }
        is_due
    }

    pub async fn wait(&mut self, options: &ExecuteOptions) -> SqlResult<()> {
        let interrupted = options.interrupt.wait();
        tokio::select! {
            biased;
            () = interrupted => return Err(options.interrupt.error()),
            () = tokio::time::sleep(self.pause) => {}
        }
        self.pause = (self.pause * 2).min(LONGEST_PAUSE);
        Ok(())
    }
}

fn changes_rows(statement: &Statement) -> bool {
    match statement {
        Statement::Sql(sql) => matches!(
            sql.as_ref(),
            ast::Statement::Insert(_)
                | ast::Statement::Update(_)
                | ast::Statement::Delete(_)
                | ast::Statement::Merge(_)
        ),
        Statement::Copy(_) => true,
        Statement::Command(command) => matches!(command.as_ref(), Command::Merge(_)),
    }
}

/// Whether it changes rows, as a whole or in its WITH.
fn changes(bound: &Bound) -> bool {
    match bound {
        Bound::Insert(_) | Bound::Update(_) | Bound::Delete(_) | Bound::Merge(_) => true,
        Bound::WithChanges { changes: within, statement } => {
            changes(statement) || within.iter().any(changes)
        }
        Bound::Explain { statement, options } => options.analyze && changes(statement),
        Bound::CopyTo { statement, .. } => changes(statement),
        _ => false,
    }
}

/// A statement that reads or changes rows, as messages call it.
fn command_name(bound: &Bound) -> &'static str {
    match bound {
        Bound::Insert(_) => "INSERT",
        Bound::Update(_) => "UPDATE",
        Bound::Delete(_) => "DELETE",
        Bound::Merge(_) => "MERGE",
        Bound::WithChanges { statement, .. }
        | Bound::CopyTo { statement, .. }
        | Bound::Explain { statement, .. } => command_name(statement),
        _ => "SELECT",
    }
}

pub(super) fn read_only_transaction(command: &str) -> SqlError {
    SqlError::new(
        SqlState::READ_ONLY_SQL_TRANSACTION,
        format!("cannot execute {command} in a read-only transaction"),
    )
}

fn lost_a_race(error: &SqlError) -> bool {
    is_stale(error)
        || matches!(error.state(), SqlState::SERIALIZATION_FAILURE | SqlState::DEADLOCK_DETECTED)
}

impl ClusterSession {
    /// Binds against the catalog as the session sees it now.
    pub(super) fn bind(
        &self,
        parsed: &Parsed,
        param_types: Option<&[Option<PgType>]>,
    ) -> SqlResult<(Bound, Vec<PgType>)> {
        self.bind_lasting(parsed, param_types, &[]).map(|(bound, params, _)| (bound, params))
    }

    /// Also tells whether the bound statement means the same at another time and under other
    /// settings.
    pub(super) fn bind_lasting(
        &self,
        parsed: &Parsed,
        param_types: Option<&[Option<PgType>]>,
        param_values: &[ScalarValue],
    ) -> SqlResult<(Bound, Vec<PgType>, bool)> {
        let catalog = self.snapshot();
        let env = self.function_env(&catalog);
        let context = BindContext { catalog: &catalog, env: &env, param_types, param_values };
        let (bound, params) = bind::bind(parsed, &context)?;
        Ok((bound, params, !env.is_session_dependent()))
    }

    /// A definition that is alone in its transaction and loses against another one is begun anew:
    /// it would have waited, had it come a moment later. So is a change of rows that was chosen to
    /// end a deadlock, or whose shards are not what the catalog says: what is in their way may only
    /// go once no transaction from before it is left.
    pub(super) async fn run_statement(
        &mut self,
        planned: &Planned,
        params: &[Datum],
        options: &ExecuteOptions,
    ) -> SqlResult<Execution> {
        let is_alone = self.txn.is_none() && options.ends_batch;
        let changes_rows = changes_rows(&planned.parsed.statement);
        let may_begin_anew = |error: &SqlError| match changes_rows {
            true => is_alone && (is_stale(error) || error.state() == SqlState::DEADLOCK_DETECTED),
            false => is_alone && lost_a_race(error),
        };
        let (notices, mut patience) = (self.notices.len(), Patience::default());
        loop {
            let limit = if is_alone { SUSPICIOUS } else { PATIENCE };
            let result = self.run_once(planned, params, options, limit).await;
            match result {
                Err(error) if may_begin_anew(&error) && patience.is_left() => {
                    self.rollback().await;
                    self.notices.truncate(notices);
                    if is_stale(&error) && patience.is_wearing_out() {
                        crate::leftovers::restore_shapes(&self.cluster).await;
                    }
                    patience.wait(options).await?;
                    self.cluster.catalog.read().await?;
                }
                result => return result,
            }
        }
    }

    async fn run_once(
        &mut self,
        planned: &Planned,
        params: &[Datum],
        options: &ExecuteOptions,
        limit: Duration,
    ) -> SqlResult<Execution> {
        params::check_count(params, &planned.params)?;
        if planned.params.iter().any(enums::has_labels) {
            let catalog = self.snapshot();
            for (value, ty) in params.iter().zip(&planned.params) {
                enums::check(value, ty, &catalog)?;
            }
        }
        if planned.is_utility() {
            let params = Params::new(params, &planned.params)?;
            return Box::pin(self.utility(&planned.parsed, &params, options)).await;
        }
        // It comes with the catalog of its moment.
        self.transaction().await?;
        let mut ready = self.ready(planned, params, options.result_may_change)?;
        if changes(&ready.bound) {
            self.writable(command_name(&ready.bound))?;
        }
        let (mut attempt, mut patience) = (0, Patience::default());
        loop {
            let notices = self.notices.len();
            let work = self.attempt(&ready, params, &planned.params, options);
            let error = match options.interrupt.stop(work).await {
                Ok(execution) => return Ok(execution),
                Err(error) => error,
            };
            attempt += 1;
            let stale = is_stale(&error);
            let exhausted = if stale { !patience.lasts(limit) } else { attempt >= ATTEMPTS };
            if exhausted || !self.can_retry(&error) {
                return Err(error);
            }
            self.notices.truncate(notices);
            let cluster = self.cluster.clone();
            if let Some(txn) = self.txn.as_mut() {
                txn.undo_statement(&cluster).await?;
            }
            if stale {
                patience.wait(options).await?;
                if patience.is_wearing_out() {
                    crate::leftovers::restore_shapes(&self.cluster).await;
                }
                self.catch_up().await?;
            }
            ready = self.ready(planned, params, options.result_may_change)?;
        }
    }

    /// Sees the catalog as it is now, the transaction's own definitions on top.
    pub(super) async fn catch_up(&mut self) -> SqlResult<()> {
        let cluster = self.cluster.clone();
        cluster.catalog.read().await?;
        match self.txn.as_mut() {
            Some(txn) => txn.rebase(&cluster),
            None => Ok(()),
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
        let (time_zone, exchange_cost) = (frequent.time_zone.clone(), frequent.exchange_cost);
        self.asked = frequent.tracks_tenants.then(Arc::default);
        let asked = self.asked.clone();
        let txn = self.transaction().await?;
        let (snapshot, statement) = txn.next_statement(&cluster).await?;
        let context = StatementContext {
            txn: txn.known_id()?,
            snapshot,
            statement,
            lock_timeout,
            timeout,
            memory_limit: FRAGMENT_MEMORY,
            time_zone,
            now_micros: txn.now_micros,
            constraints: txn.constraints().clone(),
            has_written: txn.has_participants(),
            rewrites: false,
        };
        Ok(Arc::new(Scope {
            state: self.state(),
            workers: cluster.workers.clone(),
            statement: context,
            exchange_cost,
            traffic: None,
            asked,
        }))
    }

    /// The same, for a statement that was bound already.
    pub(super) async fn scope_of(&mut self, ready: &Ready) -> SqlResult<Arc<Scope>> {
        let scope = self.scope().await?;
        if self.is_outdated(ready) {
            return Err(SqlError::new(STALE_PLACEMENT, "the catalog changed"));
        }
        Ok(scope)
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
                let mut bound = Params::new(params, types)?.bind(ready.bound.clone())?;
                if ready.sets_config {
                    bound = self.apply_set_config(bound)?;
                }
                let scope = self.scope_of(ready).await?;
                // In a box of its own: a statement by key must not move what it never needs.
                Box::pin(self.run_bound(&bound, &scope, options)).await
            }
        }
    }

    async fn run_bound(
        &mut self,
        bound: &Bound,
        scope: &Arc<Scope>,
        options: &ExecuteOptions,
    ) -> SqlResult<Execution> {
        match bound {
            Bound::Query(query) => self.query(query, scope, options).await,
            Bound::WithChanges { changes, statement } => {
                self.with_changes(changes, statement, scope, options).await
            }
            Bound::Insert(insert) => {
                let source = self.with_rows_locked(&insert.source, scope, RowsAs::Table).await?;
                let insert = BoundInsert { source, ..insert.clone() };
                let modification =
                    self.modification(scope, options, insert.returning.is_some())?.judged_later();
                let modified = modification.insert(&insert).await?;
                self.modified(modified, "INSERT 0", &insert.returning, scope, options).await
            }
            Bound::Update(update) => {
                let (source, located) =
                    self.place_with_rows_locked(&update.source, &update.located, scope).await?;
                let update = BoundUpdate { source, located, ..update.clone() };
                let modification =
                    self.modification(scope, options, update.returning.is_some())?.judged_later();
                let modified = modification.update(&update).await?;
                self.modified(modified, "UPDATE", &update.returning, scope, options).await
            }
            Bound::Delete(delete) => {
                let (source, located) =
                    self.place_with_rows_locked(&delete.source, &delete.located, scope).await?;
                let delete = BoundDelete { source, located, ..delete.clone() };
                let modification =
                    self.modification(scope, options, delete.returning.is_some())?.judged_later();
                let modified = modification.delete(&delete).await?;
                self.modified(modified, "DELETE", &delete.returning, scope, options).await
            }
            Bound::Merge(merge) => {
                let count = self.merge(merge, scope).await?;
                self.finish_statement(options).await?;
                Ok(Execution::Command(format!("MERGE {count}")))
            }
            Bound::Truncate { tables, cascade, restart_identity } => {
                self.writable("TRUNCATE TABLE")?;
                let notices = &mut self.notices;
                let tables = crate::ddl::truncate_targets(&scope.state, tables, *cascade, notices)?;
                if let Some(txn) = &self.txn {
                    for table in &tables {
                        txn.refuse_pending(&table.shape, "TRUNCATE").await?;
                    }
                }
                self.lock_whole(&tables, scope, options).await?;
                let modification = self.modification(scope, options, false)?;
                modification.truncate(&tables).await?;
                if let Some(txn) = self.txn.as_mut() {
                    txn.truncated(tables.iter().map(|table| table.shape.table));
                }
                if *restart_identity {
                    crate::ddl::restart_sequences(self.ddl_within(scope.clone())?, &tables)?;
                }
                self.finish_statement(options).await?;
                Ok(Execution::Command("TRUNCATE TABLE".into()))
            }
            Bound::CopyFrom(copy) => {
                self.writable("COPY FROM")?;
                copy::copy_from(self, copy, scope).await
            }
            Bound::CopyTo { statement, options: copy_options } => {
                let execution = Box::pin(self.run_bound(statement, scope, options)).await?;
                let Execution::Rows(Rows { columns, stream, .. }) = execution else {
                    return Err(SqlError::internal("a copied statement gives no rows"));
                };
                Ok(Execution::CopyOut(CopyOut { columns, options: copy_options.clone(), stream }))
            }
            Bound::Call(call) => calls::call(self, call, scope, options).await,
            Bound::Explain { statement, options: explain_options } => {
                let executed = match statement.as_ref() {
                    Bound::Utility(execute) => Some(self.executed(execute).await?),
                    _ => None,
                };
                let statement = executed.as_ref().unwrap_or(statement.as_ref());
                if explain_options.analyze && changes(statement) {
                    self.writable(command_name(statement))?;
                }
                explain::explain(self, statement, explain_options, scope, options).await
            }
            Bound::Utility(_) => Err(SqlError::internal("a utility statement was planned")),
        }
    }

    /// WITH queries that change rows or are kept, and calls, one after the other, then the
    /// statement: all see the rows as they were, and what they return is kept for those that read
    /// it.
    async fn with_changes(
        &mut self,
        changes: &[Bound],
        statement: &Bound,
        scope: &Arc<Scope>,
        options: &ExecuteOptions,
    ) -> SqlResult<Execution> {
        let mut returned = Vec::new();
        for change in changes {
            if let Bound::Call(call) = change {
                returned.push(vec![calls::rows(self, call).await?]);
                continue;
            }
            let change = feed_returned(change.clone(), &returned)?;
            if let Bound::Query(query) = &change {
                let rows = self.rows(query, scope).await?;
                returned.push(self.cluster.executor.kept(rows).await?);
                continue;
            }
            let change = self.change_with_rows_locked(change, scope).await?;
            let executor = self.cluster.executor.clone();
            let returning = returning_of(&change).cloned();
            let mut modification = self.modification(scope, options, returning.is_some())?;
            modification.commit = false;
            let modified = match &change {
                Bound::Insert(insert) => modification.insert(insert).await?,
                Bound::Update(update) => modification.update(update).await?,
                Bound::Delete(delete) => modification.delete(delete).await?,
                _ => return Err(SqlError::internal("a WITH query changes nothing")),
            };
            returned.push(match returning {
                Some(returning) => {
                    executor.returned(&returning.plan, modified.returned, scope).await?
                }
                None => Vec::new(),
            });
        }
        match feed_returned(statement.clone(), &returned)? {
            Bound::Query(query) if changes.iter().all(|one| matches!(one, Bound::Query(_))) => {
                self.query(&query, scope, options).await
            }
            Bound::Query(query) => {
                let rows: Vec<_> = self.rows(&query, scope).await?.try_collect().await?;
                self.finish_statement(options).await?;
                Ok(Execution::Rows(Rows {
                    columns: query.columns.clone().into(),
                    stream: stream::iter(rows.into_iter().map(Ok)).boxed(),
                    tag: "SELECT",
                }))
            }
            statement => Box::pin(self.run_bound(&statement, scope, options)).await,
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
        if self.txn.as_ref().is_some_and(Transaction::is_read_only) {
            return Err(read_only_transaction(command));
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
        scope.note_change();
        let txn = self
            .txn
            .as_mut()
            .ok_or_else(|| SqlError::internal("a change without a transaction"))?;
        let commit =
            options.ends_batch && !txn.is_block && !txn.has_written() && self.on_commit.is_empty();
        let interrupt = options.interrupt.clone();
        let executor = &self.cluster.executor;
        Ok(Modification { executor, scope, txn, commit, interrupt, returning })
    }

    async fn merge(&mut self, merge: &BoundMerge, scope: &Arc<Scope>) -> SqlResult<u64> {
        let (mut total, mut changed) = (0, 0);
        for part in &merge.parts {
            let count = self.change(part, scope).await?;
            total += count;
            changed += if matches!(part, Bound::Insert(_)) { 0 } else { count };
        }
        let Some(matches) = &merge.matches else { return Ok(total) };
        let mut rows = self.rows(matches, scope).await?;
        let mut expected = 0;
        while let Some(batch) = rows.next().await {
            let batch = batch?;
            let counts = batch.columns().first().and_then(|counts| counts.as_primitive_opt());
            let counts: Option<&PrimitiveArray<Int64Type>> = counts;
            expected += counts.map_or(0, |counts| counts.iter().flatten().sum::<i64>());
        }
        if u64::try_from(expected) != Ok(changed) {
            return Err(SqlError::new(
                SqlState::CARDINALITY_VIOLATION,
                "MERGE command cannot affect row a second time",
            )
            .hint("Ensure that not more than one source row matches any one target row."));
        }
        Ok(total)
    }

    /// A change within the transaction; how many rows it changed.
    pub(super) async fn change(&mut self, bound: &Bound, scope: &Arc<Scope>) -> SqlResult<u64> {
        let options = ExecuteOptions::default();
        let modification = self.modification(scope, &options, false)?;
        let modified = match bound {
            Bound::Insert(insert) => modification.insert(insert).await?,
            Bound::Update(update) => modification.update(update).await?,
            Bound::Delete(delete) => modification.delete(delete).await?,
            _ => return Err(SqlError::internal("this statement changes no rows")),
        };
        Ok(modified.count)
    }

    /// Commits where nothing can follow, and answers with the tag or the returned rows.
    async fn modified(
        &mut self,
        modified: Modified,
        tag: &'static str,
        returning: &Option<Returning>,
        scope: &Arc<Scope>,
        options: &ExecuteOptions,
    ) -> SqlResult<Execution> {
        let answer = match returning {
            None => Execution::Command(format!("{tag} {}", modified.count)),
            Some(returning) => {
                let executor = self.cluster.executor.clone();
                let rows = executor.returned(&returning.plan, modified.returned, scope).await?;
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
                self.end_role(true);
                Ok(())
            }
            None => self.finish_statement(options).await,
        }
    }

    /// Commits a transaction that the statement began and nothing else can join.
    pub(super) async fn finish_statement(&mut self, options: &ExecuteOptions) -> SqlResult<()> {
        if !options.ends_batch || self.in_block() {
            return Ok(());
        }
        self.check_put_off(options).await?;
        options.interrupt.commits();
        self.commit().await
    }
}

/// The RETURNING of a change.
pub(super) fn returning_of(change: &Bound) -> Option<&Returning> {
    match change {
        Bound::Insert(insert) => insert.returning.as_ref(),
        Bound::Update(update) => update.returning.as_ref(),
        Bound::Delete(delete) => delete.returning.as_ref(),
        _ => None,
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
