//! A client's session: statements in, rows and tags out.
//!
//! ```text
//!  prepare   parse -> bind (for parameter and column types)
//!  execute   bind on the present catalog -> plan -> run
//!              |  a shard moved or a table changed meanwhile: again, on a fresh snapshot
//!              |  a row changed since the snapshot (READ COMMITTED): again, on a new one
//!  end_batch commit what no BEGIN opened
//! ```
//!
//! Retries live here and nowhere else. What a statement may do to the session itself is in
//! [`utility`]; to the catalog in [`crate::ddl`]; to the cluster in [`calls`].

mod advisory;
mod backup;
mod blocks;
mod calls;
mod commands;
mod constraints;
mod copy;
mod cursor;
mod define;
mod env;
mod explain;
mod factory;
mod key;
mod listed_setting;
mod locks;
mod maintenance;
mod nodes;
mod parameters;
mod params;
mod permissions;
mod ready;
mod rebalance;
mod run;
mod savepoints;
mod set;
mod set_config;
pub(crate) mod settings;
mod surroundings;
mod temporary;
mod type_names;
pub(crate) mod units;
mod utility;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use parking_lot::Mutex;
use satsuma_common::text::{self, TextContext};
use satsuma_common::{Datum, Oid, PgType, SqlError, SqlResult, SqlState, TableId, TxnId};
use satsuma_sql::bound::{Bound, OutputColumn};
use satsuma_sql::catalog_view::CatalogView;
use satsuma_sql::interrupt;
use satsuma_sql::parse::{self, CursorDirection, Parsed};
use sqlparser::ast;

pub use advisory::{
    SessionLocks, shown_name as shown_advisory_name, watch as watch_advisory_locks,
};
pub(crate) use env::SessionSequences;
pub use factory::Factory;
pub use parameters::SERVER_VERSION;
pub(crate) use params::Params;
pub use settings::{Listed, ListedSetting, Settings};
pub(crate) use surroundings::SessionSurroundings;
pub use temporary::{drop_left_behind, run_detached};

pub use calls::columns as columns_of_call;

use crate::catalog::{CatalogSnapshot, State};
use crate::cluster::Cluster;
use crate::planner::Tenants;
use crate::session_api::{
    BatchStatement, ConnectInfo, ExecuteOptions, Execution, NamedStatements, Notice, Prepared,
    Rows, Session, Severity, Timeouts, TransactionStatus,
};
use crate::tenant_statistics::Asked;
use crate::txn::{Isolation, Transaction};
use crate::value_io::TextSettings;
use cursor::Cursor;
use ready::Planned;

/// Of a logged statement.
const LOGGED_CHARS: usize = 8192;

pub struct ClusterSession {
    cluster: Arc<Cluster>,
    /// Its user is the session's: who connected, unless SET SESSION AUTHORIZATION was used.
    info: ConnectInfo,
    /// Who connected.
    authenticated: String,
    /// `SET ROLE`; the session user unless it was used.
    role: String,
    /// What a rollback, or the end of the transaction after SET LOCAL, goes back to.
    role_before: RoleBefore,
    /// Of the open transaction.
    savepoints: Vec<savepoints::Savepoint>,
    settings: Settings,
    statements: NamedStatements,
    cursors: BTreeMap<String, Cursor>,
    /// The only statement of a query string, to be prepared next: long ones take their time to
    /// parse.
    split: Mutex<Option<Parsed>>,
    txn: Option<Transaction>,
    /// Advisory locks.
    own_locks: Arc<SessionLocks>,
    /// A statement of a transaction block failed: only its end is accepted.
    failed: bool,
    notices: Vec<Notice>,
    /// Values that `currval` and `lastval` answer with.
    sequence_values: env::SequenceValues,
    /// What [`ClusterSession::names`] gave, for a version of the catalog and a way of naming.
    names: Mutex<Option<((u64, u64), Arc<CatalogSnapshot>)>>,
    /// What a commit does to temporary tables.
    on_commit: BTreeMap<TableId, ast::OnCommit>,
    /// What the present statement does, where that is counted.
    asked: Option<Arc<Mutex<Asked>>>,
}

/// The roles at the start of the transaction.
#[derive(Default)]
struct RoleBefore {
    /// The session's user, and the role.
    roles: Option<(String, String)>,
    /// SET LOCAL ROLE was used since.
    local: bool,
}

impl ClusterSession {
    /// The catalog as this session sees it: with the open transaction's own DDL.
    fn state(&self) -> Arc<State> {
        match self.txn.as_ref().and_then(Transaction::overlay) {
            Some(overlay) => overlay.state().clone(),
            None => self.cluster.catalog.snapshot(),
        }
    }

    /// Whether the session sees a catalog of its own.
    fn has_overlay(&self) -> bool {
        self.txn.as_ref().and_then(Transaction::overlay).is_some()
    }

    fn notice(&mut self, notice: Notice) {
        self.notices.push(notice);
    }

    /// The open transaction, or a new one that ends with the statement or batch.
    async fn transaction(&mut self) -> SqlResult<&mut Transaction> {
        let missing = || SqlError::internal("no transaction was begun");
        self.open_transaction()?;
        let txn = self.txn.as_mut().ok_or_else(missing)?;
        if txn.id().is_none() {
            txn.start(&self.cluster).await?;
            let id = txn.id();
            self.note_transaction(id);
        }
        self.txn.as_mut().ok_or_else(missing)
    }

    /// The same for a statement that asks nothing of the database.
    fn open_transaction(&mut self) -> SqlResult<()> {
        if self.txn.is_none() {
            let isolation = default_isolation(&self.settings)?;
            self.begin(isolation, false);
        }
        Ok(())
    }

    fn begin(&mut self, isolation: Isolation, is_block: bool) {
        let read_only = self.settings.frequent().default_read_only;
        let txn = Transaction::new(isolation, read_only, is_block);
        self.settings.begin();
        self.savepoints.clear();
        let roles = Some((self.info.user.clone(), self.role.clone()));
        self.role_before = RoleBefore { roles, local: false };
        self.txn = Some(txn);
        self.failed = false;
    }

    async fn commit(&mut self) -> SqlResult<()> {
        if let Err(error) = self.end_temporary().await {
            self.rollback().await;
            return Err(error);
        }
        let Some(mut txn) = self.txn.take() else { return Ok(()) };
        self.own_locks.hand_over(&mut txn);
        let result = txn.commit(&self.cluster).await.map_err(crate::executor::for_client);
        match result {
            Ok(()) => self.cursors.retain(|_, cursor| cursor.outlives_commit()),
            Err(_) => self.cursors.retain(|_, cursor| cursor.declared.is_none()),
        }
        self.note_transaction(None);
        self.settings.end(result.is_ok());
        self.end_role(result.is_ok());
        result
    }

    /// The types that a client declared, those of the user found by their oid.
    fn declared_types(&self, declared: &[Option<PgType>]) -> SqlResult<Vec<Option<PgType>>> {
        if !declared.iter().flatten().any(|ty| matches!(ty, PgType::Enum(_))) {
            return Ok(declared.to_vec());
        }
        let snapshot = self.snapshot();
        let exists = |oid: u32| snapshot.enum_labels(Oid(oid)).is_some();
        let found = |ty: &PgType| match ty {
            PgType::Enum(Oid(oid)) if !exists(*oid) => match oid.checked_sub(1) {
                Some(element) if exists(element) => {
                    Ok(PgType::Array(Box::new(PgType::Enum(Oid(element)))))
                }
                _ => Err(SqlError::internal(format!("cache lookup failed for type {oid}"))),
            },
            _ => Ok(ty.clone()),
        };
        declared.iter().map(|ty| ty.as_ref().map(found).transpose()).collect()
    }

    /// The role after the transaction's end.
    fn end_role(&mut self, committed: bool) {
        let RoleBefore { roles, local } = std::mem::take(&mut self.role_before);
        if let Some((user, role)) = roles
            && (local || !committed)
            && (user != self.info.user || role != self.role)
        {
            self.become_user(user);
            self.role = role;
        }
    }

    async fn rollback(&mut self) {
        self.cursors.retain(|_, cursor| cursor.declared.is_none());
        self.failed = false;
        if let Some(mut txn) = self.txn.take() {
            self.own_locks.hand_over(&mut txn);
            txn.rollback(&self.cluster).await;
            self.note_transaction(None);
            self.settings.end(false);
            self.end_role(false);
        }
    }

    /// Counts a statement, and logs it when it took longer than `log_min_duration_statement`.
    fn note_duration(&self, text: &str, took: Duration, error: Option<&SqlError>) {
        self.cluster.statements.record(took, error.is_some());
        let frequent = self.settings.frequent();
        if frequent.tracks_statements {
            self.cluster.statement_statistics.record(&self.info.user, text);
        }
        if let Some(asked) = &self.asked {
            self.note_tenant(&asked.lock(), took);
        }
        let Some(limit) = frequent.log_min_duration else { return };
        if took >= limit {
            let shown: String = text.chars().take(LOGGED_CHARS).collect();
            tracing::warn!(
                target: "satsuma::slow",
                pid = self.info.process_id,
                user = %self.info.user,
                txn = self.txn.as_ref().and_then(Transaction::id).map(tracing::field::display),
                duration_ms = took.as_secs_f64() * 1000.0,
                state = error.map(|error| tracing::field::display(error.state())),
                statement = %shown,
                "slow statement",
            );
        }
    }

    /// Counts a statement that was about one tenant.
    fn note_tenant(&self, asked: &Asked, took: Duration) {
        let Tenants::One(tenant) = &asked.tenants else { return };
        let context = &self.settings.frequent().text;
        let Ok(Some(attribute)) = text::to_text(&tenant.ty, &tenant.value, context) else { return };
        let place = (tenant.colocation, tenant.group);
        let (statistics, now) = (&self.cluster.tenant_statistics, Instant::now());
        statistics.record(place, attribute, asked.changes, took, now);
    }

    /// Tells others which transaction this session is at work on.
    fn note_transaction(&self, txn: Option<TxnId>) {
        self.own_locks.at_work_on(txn);
        self.cluster.sessions.update(self.info.process_id, |entry| entry.txn = txn);
    }

    fn in_block(&self) -> bool {
        self.txn.as_ref().is_some_and(|txn| txn.is_block)
    }
}

/// An identifier was cut.
const NAME_TOO_LONG: SqlState = SqlState(*b"42622");

fn default_isolation(settings: &Settings) -> SqlResult<Isolation> {
    match settings.frequent().default_isolation.as_str() {
        "repeatable read" => Ok(Isolation::RepeatableRead),
        "serializable" => Err(serializable()),
        _ => Ok(Isolation::ReadCommitted),
    }
}

fn serializable() -> SqlError {
    SqlError::unsupported("isolation level SERIALIZABLE is not supported")
        .hint("Use REPEATABLE READ, which is snapshot isolation over the whole cluster.")
}

/// Reads a statement; a long one where nobody waits for the thread.
fn unhurried<T>(sql: &str, read: impl FnOnce() -> T) -> T {
    const LONG: usize = 16 << 10;
    if sql.len() > LONG { interrupt::apart(read) } else { read() }
}

#[async_trait]
impl Session for ClusterSession {
    fn split(&self, sql: &str) -> SqlResult<Vec<BatchStatement>> {
        let mut parsed = unhurried(sql, || parse::parse(sql))?;
        let statements = parsed
            .iter()
            .map(|parsed| BatchStatement { sql: parsed.text.clone(), offset: parsed.offset })
            .collect();
        // Of several, positions would be those within the whole string.
        let only = parsed.pop().filter(|last| parsed.is_empty() && last.offset == 0);
        *self.split.lock() = only;
        Ok(statements)
    }

    async fn prepare(
        &mut self,
        sql: &str,
        param_types: Option<&[Option<PgType>]>,
    ) -> SqlResult<Prepared> {
        let split = self.split.lock().take().filter(|parsed| parsed.text == sql);
        let mut statements = match split {
            Some(parsed) => vec![parsed],
            None => unhurried(sql, || parse::parse(sql))?,
        };
        if statements.len() > 1 {
            return Err(SqlError::new(
                SqlState::SYNTAX_ERROR,
                "cannot insert multiple commands into a prepared statement",
            ));
        }
        let Some(parsed) = statements.pop() else {
            return Ok(Prepared {
                sql: sql.into(),
                params: Arc::new([]),
                columns: None,
                plan: Arc::new(()),
                is_empty: true,
            });
        };
        for name in &parsed.long_names {
            let cut = satsuma_sql::bind::cut(name);
            self.notice(Notice::new(
                Severity::Notice,
                SqlError::new(
                    NAME_TOO_LONG,
                    format!("identifier \"{name}\" will be truncated to \"{cut}\""),
                ),
            ));
        }
        self.refuse_in_failed_block(Some(&parsed))?;
        let types = param_types.map(|types| self.declared_types(types)).transpose()?;
        let made = self.make_ready_anywhere(&parsed, types.as_deref()).await;
        let (ready, params) = made.map_err(|error| self.with_type_names(error))?;
        let columns = self.columns_of(&ready.bound, &parsed)?;
        Ok(Prepared {
            sql: sql.into(),
            params: params.clone().into(),
            columns: columns.clone(),
            plan: Arc::new(Planned::new(parsed, params, columns, ready)),
            is_empty: false,
        })
    }

    fn only_reads(&self, prepared: &Prepared) -> SqlResult<bool> {
        match prepared.plan.downcast_ref::<Planned>() {
            Some(planned) => planned.only_reads(),
            None => Ok(prepared.is_empty),
        }
    }

    async fn execute(
        &mut self,
        prepared: &Prepared,
        params: Vec<Datum>,
        options: ExecuteOptions,
    ) -> SqlResult<Execution> {
        if prepared.is_empty {
            return Ok(Execution::Empty);
        }
        let plan = prepared.plan.clone();
        let planned = plan
            .downcast_ref::<Planned>()
            .ok_or_else(|| SqlError::internal("the statement was prepared by another server"))?;
        self.refuse_in_failed_block(Some(&planned.parsed))?;
        self.activity_started(&prepared.sql, &options);
        self.asked = None;
        let started = Instant::now();
        let result = self.run_statement(planned, &params, &options).await;
        if let Some(txn) = self.txn.as_mut() {
            txn.statement_ended();
        }
        self.activity_ended();
        self.note_duration(&prepared.sql, started.elapsed(), result.as_ref().err());
        result.map_err(|error| self.with_type_names(crate::executor::for_client(error)))
    }

    async fn end_batch(&mut self) -> SqlResult<()> {
        if self.in_block() { Ok(()) } else { self.commit().await }
    }

    async fn fail(&mut self) {
        if self.in_block() {
            let cluster = self.cluster.clone();
            if let Some(txn) = self.txn.as_mut()
                && !self.failed
            {
                self.own_locks.hand_over(txn);
                if let Err(error) = txn.fail(&cluster).await {
                    tracing::debug!(%error, "a failed statement was not undone everywhere");
                }
            }
            self.failed = true;
            self.activity_ended();
        } else {
            self.rollback().await;
        }
    }

    fn transaction_status(&self) -> TransactionStatus {
        match (self.in_block(), self.failed) {
            (false, _) => TransactionStatus::Idle,
            (true, false) => TransactionStatus::InTransaction,
            (true, true) => TransactionStatus::Failed,
        }
    }

    fn statements(&mut self) -> &mut NamedStatements {
        &mut self.statements
    }

    fn cursor_columns(&self, name: &str) -> Option<Arc<[OutputColumn]>> {
        self.cursors.get(name).map(|cursor| cursor.columns.clone())
    }

    fn fetch_cursor(&mut self, name: &str, max_rows: usize) -> SqlResult<Rows> {
        self.refuse_in_failed_block(None)?;
        let count = match max_rows {
            0 => i64::MAX,
            rows => i64::try_from(rows).unwrap_or(i64::MAX),
        };
        let rows = self.fetched(name, CursorDirection::Forward(count))?;
        Ok(Rows { tag: "SELECT", ..rows })
    }

    fn close_cursor(&mut self, name: &str) {
        self.cursors.remove(name);
    }

    fn refuse_if_failed(&self, prepared: &Prepared) -> SqlResult<()> {
        self.refuse_in_failed_block(
            prepared.plan.downcast_ref::<Planned>().map(|planned| &planned.parsed),
        )
    }

    fn take_notices(&mut self) -> Vec<Notice> {
        let least = self.settings.frequent().least_notice;
        let mut notices = std::mem::take(&mut self.notices);
        notices.retain(|notice| {
            notice.severity == Severity::Info || least.is_some_and(|least| notice.severity >= least)
        });
        notices
    }

    fn take_parameter_changes(&mut self) -> Vec<(String, String)> {
        self.settings.take_changes()
    }

    fn text_settings(&self) -> TextSettings {
        let now = self.txn.as_ref().map_or_else(crate::clock::now_micros, |txn| txn.now_micros);
        TextSettings {
            context: TextContext { now, ..self.settings.frequent().text.clone() },
            names: Some(self.names()),
        }
    }

    fn timeouts(&self) -> Timeouts {
        self.settings.frequent().timeouts
    }

    async fn close(&mut self) {
        self.rollback().await;
        self.own_locks.release_all().await;
        self.drop_temporary().await;
        self.cluster.sessions.remove(self.info.process_id);
    }
}

impl ClusterSession {
    /// Types of the result's columns, for Describe.
    fn columns_of(&self, bound: &Bound, parsed: &Parsed) -> SqlResult<Option<Arc<[OutputColumn]>>> {
        Ok(match bound {
            Bound::Call(call) => Some(calls::columns(call)?.into()),
            Bound::Explain { options, .. } => Some(explain::columns(options.format).into()),
            Bound::Utility(_) => self.utility_columns(parsed)?,
            rows => rows.columns().map(|columns| columns.to_vec().into()),
        })
    }
}

impl Drop for ClusterSession {
    /// A session that was not closed rolls back in the background.
    fn drop(&mut self) {
        self.cluster.sessions.remove(self.info.process_id);
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        if let Some(mut txn) = self.txn.take() {
            self.own_locks.hand_over(&mut txn);
            if txn.has_written() {
                let cluster = self.cluster.clone();
                runtime.spawn(async move { txn.rollback(&cluster).await });
            }
        }
        if self.own_locks.has_any() {
            let locks = self.own_locks.clone();
            runtime.spawn(async move { locks.release_all().await });
        }
        self.abandon_temporary();
    }
}
