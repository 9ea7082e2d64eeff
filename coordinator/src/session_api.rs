//! The seam between the front ends (PostgreSQL wire, Flight SQL) and the engine.
//!
//! A front end authenticates a client, asks the [`SessionFactory`] for a [`Session`] and then
//! only prepares and executes. It owns the wire; the session owns transactions, settings and
//! everything that SQL can see.
//!
//! ```text
//! simple query  "a; b; c"      split -> [a, b, c], for each: prepare, execute; then end_batch
//! extended      Parse          prepare           (named: statements().insert)
//!               Bind, Execute  execute, pull the stream as the portal is read
//!               Sync           end_batch
//! any error sent to the client: fail, then the rest of the batch is skipped, then end_batch
//! ```
//!
//! Rules that both sides rely on:
//! - Statements between two `end_batch` calls outside a transaction block form one implicit
//!   transaction. `end_batch` commits it, `fail` rolls it back. With
//!   [`ExecuteOptions::ends_batch`] the session may commit together with the statement.
//! - `execute` is never dropped half way. It watches [`ExecuteOptions::interrupt`] and returns
//!   [`Interrupt::error`] soon after it fires; a commit under way is finished first.
//! - Streams are pulled by the front end and may be dropped at any moment: that stops the work.
//!   A stream does not borrow the session.

use std::any::Any;
use std::collections::BTreeMap;
use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use datafusion::arrow::array::{RecordBatch, UInt32Array};
use futures::future::BoxFuture;
use satsuma_common::error::SqlErrorFields;
use satsuma_common::{Datum, PgType, SqlError, SqlResult, SqlState};
use satsuma_sql::bound::{CopyOptions, OutputColumn};
use tokio_util::sync::CancellationToken;

use crate::tls::Encryption;
use crate::value_io::TextSettings;

pub use satsuma_proto::worker::BatchStream;
pub use satsuma_sql::row_checks::Refused;

/// Which front end a session serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Via {
    Pg,
    Flight,
}

/// What a client said of itself. `user` is authenticated by now.
#[derive(Clone, Debug)]
pub struct ConnectInfo {
    pub user: String,
    pub database: String,
    /// Every other startup parameter, settings in `options=-c name=value` included, in order.
    /// Names are lower case.
    pub settings: Vec<(String, String)>,
    pub client_addr: Option<SocketAddr>,
    /// Where it was accepted.
    pub server_addr: Option<SocketAddr>,
    pub via: Via,
    /// `None` is plain text.
    pub tls: Option<Encryption>,
    /// `pg_backend_pid()`.
    pub process_id: i32,
    /// Ends the session when it is cancelled: `pg_terminate_backend`.
    pub terminate: CancellationToken,
}

/// What authentication must know of a role before a session exists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoginRole {
    /// `pg_authid.rolpassword`: `SCRAM-SHA-256$<iterations>:<salt>$<stored key>:<server key>`.
    /// `None`: the role has no password.
    pub verifier: Option<String>,
    pub can_login: bool,
    /// Its VALID UNTIL is over: no password is right any more.
    pub is_expired: bool,
}

#[async_trait]
pub trait SessionFactory: Send + Sync + 'static {
    /// The role of this name, for authentication.
    async fn login_role(&self, user: &str) -> SqlResult<Option<LoginRole>>;

    /// Errors: 28000 (no such role, may not log in), 3D000 (no such database), 22023 and 42704
    /// (a setting that is wrong), 57P03 (not ready yet).
    async fn connect(&self, info: ConnectInfo) -> SqlResult<Box<dyn Session>>;
}

/// One connection's state. Dropped sessions roll back.
#[async_trait]
pub trait Session: Send {
    /// Cuts a simple-query string into its statements. A syntax error anywhere in it is an
    /// error, before anything runs. Comments and blanks alone give no statement.
    fn split(&self, sql: &str) -> SqlResult<Vec<BatchStatement>>;

    /// Plans exactly one statement; nothing but blanks and comments gives
    /// [`Prepared::is_empty`]. `param_types` are those the client declared; the answer knows
    /// them all. Without the list the statement may have no parameters.
    async fn prepare(
        &mut self,
        sql: &str,
        param_types: Option<&[Option<PgType>]>,
    ) -> SqlResult<Prepared>;

    /// Whether the statement gives rows and does nothing else: it may run late, or not to its end.
    fn only_reads(&self, prepared: &Prepared) -> SqlResult<bool>;

    /// Runs a prepared statement. `params` has one value per [`Prepared::params`].
    async fn execute(
        &mut self,
        prepared: &Prepared,
        params: Vec<Datum>,
        options: ExecuteOptions,
    ) -> SqlResult<Execution>;

    /// The end of a simple-query batch, or Sync: commits the implicit transaction, if one is
    /// open. Does nothing within a transaction block.
    async fn end_batch(&mut self) -> SqlResult<()>;

    /// An error was sent to the client, wherever it arose: a transaction block becomes failed,
    /// an implicit transaction is rolled back. Repeated calls do nothing.
    async fn fail(&mut self);

    fn transaction_status(&self) -> TransactionStatus;

    /// Prepared statements by name, shared by protocol and SQL (PREPARE, DEALLOCATE).
    fn statements(&mut self) -> &mut NamedStatements;

    /// The columns of a cursor that SQL declared: to the protocol it is a portal of that name.
    fn cursor_columns(&self, name: &str) -> Option<Arc<[OutputColumn]>>;

    /// The next rows of a cursor, at most `max_rows`; 0 is all that are left. 34000 when there is
    /// none.
    fn fetch_cursor(&mut self, name: &str, max_rows: usize) -> SqlResult<Rows>;

    /// Does nothing when there is none.
    fn close_cursor(&mut self, name: &str);

    /// 25P02 in a failed transaction block, unless the statement ends it.
    fn refuse_if_failed(&self, prepared: &Prepared) -> SqlResult<()>;

    /// Notices since the last call, in order.
    fn take_notices(&mut self) -> Vec<Notice>;

    /// Settings that clients are told of and that changed since the last call; at first all of
    /// them: `server_version`, `server_encoding`, `client_encoding`, `DateStyle`, `TimeZone`,
    /// `IntervalStyle`, `integer_datetimes`, `standard_conforming_strings`, `is_superuser`,
    /// `session_authorization`, `application_name`, `in_hot_standby`,
    /// `default_transaction_read_only`.
    fn take_parameter_changes(&mut self) -> Vec<(String, String)>;

    /// How values are written as text and read from it: TimeZone, DateStyle and their like.
    fn text_settings(&self) -> TextSettings;

    /// The front end enforces these.
    fn timeouts(&self) -> Timeouts;

    /// Rolls back what is open and forgets the session.
    async fn close(&mut self);
}

/// One statement of a simple-query string.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BatchStatement {
    pub sql: String,
    /// Characters before `sql` in the whole string: what error positions are shifted by.
    pub offset: u32,
}

/// A planned statement. Cheap to clone.
#[derive(Clone)]
pub struct Prepared {
    pub sql: Arc<str>,
    pub params: Arc<[PgType]>,
    /// `None`: the statement returns no rows.
    pub columns: Option<Arc<[OutputColumn]>>,
    /// The session's own: descriptor, plan, catalog version.
    pub plan: Arc<dyn Any + Send + Sync>,
    pub is_empty: bool,
}

impl std::fmt::Debug for Prepared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Prepared").field("sql", &self.sql).field("params", &self.params).finish()
    }
}

/// Prepared statements of a session by name.
#[derive(Debug, Default)]
pub struct NamedStatements {
    statements: BTreeMap<String, NamedStatement>,
    /// Without their plans, which may hold on to what shows these.
    listed: Arc<BTreeMap<String, ListedStatement>>,
}

/// What `pg_prepared_statements` shows of a statement.
#[derive(Clone, Debug)]
pub struct ListedStatement {
    pub sql: Arc<str>,
    pub params: Arc<[PgType]>,
    pub from_sql: bool,
    /// When it was made, in microseconds since 1970.
    pub since_micros: i64,
}

#[derive(Clone, Debug)]
pub struct NamedStatement {
    pub prepared: Prepared,
    /// The text that made it: the whole PREPARE, or the statement itself.
    pub sql: Arc<str>,
    /// Made by PREPARE rather than by the protocol (`pg_prepared_statements.from_sql`).
    pub from_sql: bool,
}

impl NamedStatements {
    /// 42P05 when the name is taken.
    pub fn insert(&mut self, name: &str, statement: NamedStatement) -> SqlResult<()> {
        if self.statements.contains_key(name) {
            return Err(SqlError::new(
                SqlState::DUPLICATE_PREPARED_STATEMENT,
                format!("prepared statement \"{name}\" already exists"),
            ));
        }
        let listed = ListedStatement {
            sql: statement.sql.clone(),
            params: statement.prepared.params.clone(),
            from_sql: statement.from_sql,
            since_micros: crate::clock::now_micros(),
        };
        Arc::make_mut(&mut self.listed).insert(name.into(), listed);
        self.statements.insert(name.into(), statement);
        Ok(())
    }

    /// 26000 when there is none.
    pub fn get(&self, name: &str) -> SqlResult<&NamedStatement> {
        self.statements.get(name).ok_or_else(|| {
            SqlError::new(
                SqlState::INVALID_SQL_STATEMENT_NAME,
                format!("prepared statement \"{name}\" does not exist"),
            )
        })
    }

    /// Whether there was one.
    pub fn remove(&mut self, name: &str) -> bool {
        Arc::make_mut(&mut self.listed).remove(name);
        self.statements.remove(name).is_some()
    }

    /// DEALLOCATE ALL, DISCARD ALL.
    pub fn clear(&mut self) {
        self.listed = Arc::default();
        self.statements.clear();
    }

    /// By name.
    pub fn listed(&self) -> Arc<BTreeMap<String, ListedStatement>> {
        self.listed.clone()
    }
}

#[derive(Clone, Debug, Default)]
pub struct ExecuteOptions {
    /// Nothing else follows in this batch: the session may commit with the statement.
    pub ends_batch: bool,
    /// The client learns of the result's columns with the rows, not before: they may be others
    /// than when the statement was prepared.
    pub result_may_change: bool,
    /// Others stand beside it in the query string: together they are a transaction block.
    pub one_of_several: bool,
    pub interrupt: Interrupt,
}

/// What running a statement gave.
pub enum Execution {
    /// Blanks and comments.
    Empty,
    /// Done; the whole command tag: `CREATE TABLE`, `UPDATE 3`.
    Command(String),
    Rows(Rows),
    CopyIn(CopyIn),
    CopyOut(CopyOut),
}

/// Rows as batches whose columns match `columns` in order and in Arrow type.
pub struct Rows {
    pub columns: Arc<[OutputColumn]>,
    pub stream: BatchStream,
    /// The command tag without its row count: `SELECT`, `INSERT 0`, `FETCH`; the front end adds
    /// the number of rows it sent. `EXPLAIN` and `SHOW` have none: see [`Rows::tag`].
    pub tag: &'static str,
}

impl Rows {
    /// The command tag after `count` rows.
    pub fn tag(tag: &str, count: u64) -> String {
        match tag {
            "EXPLAIN" | "SHOW" => tag.into(),
            _ => format!("{tag} {count}"),
        }
    }
}

/// COPY FROM STDIN: the front end decodes the client's data into batches of `columns`.
pub struct CopyIn {
    /// For error contexts: `COPY clicks, line 3`.
    pub table: String,
    /// The file's columns in order.
    pub columns: Arc<[OutputColumn]>,
    pub options: CopyOptions,
    pub sink: Box<dyn CopySink>,
}

/// Takes the rows of a COPY. Nothing is kept unless [`CopySink::finish`] returns; dropping the
/// sink forgets them.
#[async_trait]
pub trait CopySink: Send {
    /// `lines` are those of the file that the rows come from, for errors about rows that only
    /// their shards find; 0 where it is not known.
    async fn write(
        &mut self,
        batch: RecordBatch,
        lines: Option<UInt32Array>,
    ) -> Result<(), Refused>;

    /// Whether the rows satisfy what is asked of each by itself, when they are not to be kept.
    async fn check(&mut self, batch: RecordBatch) -> Result<(), Refused>;

    /// All rows are in: answers with their number.
    async fn finish(self: Box<Self>) -> SqlResult<u64>;
}

/// COPY TO STDOUT: the front end encodes `stream` and counts the rows.
pub struct CopyOut {
    pub columns: Arc<[OutputColumn]>,
    pub options: CopyOptions,
    pub stream: BatchStream,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TransactionStatus {
    Idle,
    InTransaction,
    Failed,
}

/// Limits of the session that the front end's clock enforces. `None` is no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Timeouts {
    pub statement: Option<Duration>,
    pub idle_in_transaction: Option<Duration>,
    pub idle_session: Option<Duration>,
}

/// A NoticeResponse.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    pub severity: Severity,
    pub fields: SqlErrorFields,
}

/// In the order of `client_min_messages`, but for INFO, which is always sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    Debug,
    Log,
    Info,
    Notice,
    Warning,
}

impl Severity {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Debug => "DEBUG",
            Self::Log => "LOG",
            Self::Info => "INFO",
            Self::Notice => "NOTICE",
            Self::Warning => "WARNING",
        }
    }
}

impl Notice {
    pub fn plain(message: impl Into<String>) -> Self {
        Self::new(Severity::Notice, SqlError::new(SqlState::SUCCESSFUL_COMPLETION, message))
    }

    pub fn warning(state: SqlState, message: impl Into<String>) -> Self {
        Self::new(Severity::Warning, SqlError::new(state, message))
    }

    pub fn new(severity: Severity, error: SqlError) -> Self {
        Self { severity, fields: error.fields().clone() }
    }
}

/// Why a running statement must stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InterruptReason {
    UserRequest,
    StatementTimeout,
    /// The client is gone; nobody reads the answer.
    ClientGone,
    Shutdown,
}

/// One statement's stop signal. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Interrupt {
    token: CancellationToken,
    reason: Arc<std::sync::OnceLock<InterruptReason>>,
    committing: Arc<AtomicBool>,
    untimed: Arc<AtomicBool>,
}

impl Interrupt {
    pub fn new() -> Self {
        Self::default()
    }

    /// The first reason wins.
    pub fn fire(&self, reason: InterruptReason) {
        if reason == InterruptReason::StatementTimeout && self.untimed.load(Ordering::Acquire) {
            return;
        }
        self.reason.get_or_init(|| reason);
        self.token.cancel();
    }

    pub fn fired(&self) -> bool {
        self.token.is_cancelled()
    }

    /// Whether anyone else holds this signal: nobody does once the statement is over.
    pub fn is_shared(&self) -> bool {
        Arc::strong_count(&self.reason) > 1
    }

    /// Resolves when the signal fires.
    pub fn wait(&self) -> BoxFuture<'static, ()> {
        let token = self.token.clone();
        Box::pin(async move { token.cancelled().await })
    }

    /// From now on the statement may take as long as it likes: PostgreSQL's statement_timeout does
    /// not count the checks that a commit makes.
    pub fn run_untimed(&self) {
        self.untimed.store(true, Ordering::Release);
    }

    /// From now on the statement may be committed: what became of it must be heard.
    pub fn commits(&self) {
        self.committing.store(true, Ordering::Release);
    }

    /// Runs the statement until the signal fires. A commit that is under way then is finished.
    pub async fn stop<T>(&self, work: impl Future<Output = SqlResult<T>>) -> SqlResult<T> {
        self.committing.store(false, Ordering::Release);
        tokio::pin!(work);
        tokio::select! {
            biased;
            () = self.token.cancelled() => {}
            result = &mut work => return result,
        }
        if !self.committing.load(Ordering::Acquire) {
            return Err(self.error());
        }
        work.await.map_err(|error| match error.state() {
            SqlState::QUERY_CANCELED => self.error(),
            _ => error,
        })
    }

    /// A token that is cancelled with this signal, for parts that know nothing of reasons.
    pub fn token(&self) -> CancellationToken {
        self.token.clone()
    }

    /// What the statement fails with.
    pub fn error(&self) -> SqlError {
        match self.reason.get() {
            None | Some(InterruptReason::UserRequest) => {
                SqlError::new(SqlState::QUERY_CANCELED, "canceling statement due to user request")
            }
            Some(InterruptReason::StatementTimeout) => SqlError::new(
                SqlState::QUERY_CANCELED,
                "canceling statement due to statement timeout",
            ),
            Some(InterruptReason::ClientGone) => {
                SqlError::new(SqlState::CLIENT_GONE, "connection to client lost")
            }
            Some(InterruptReason::Shutdown) => shutting_down(),
        }
    }
}

/// What sessions are told when the server stops.
pub fn shutting_down() -> SqlError {
    SqlError::new(SqlState::ADMIN_SHUTDOWN, "terminating connection due to administrator command")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn statement() -> NamedStatement {
        let prepared = Prepared {
            sql: "select 1".into(),
            params: Arc::new([]),
            columns: None,
            plan: Arc::new(()),
            is_empty: false,
        };
        NamedStatement { prepared, sql: "".into(), from_sql: false }
    }

    #[test]
    fn statement_names_are_unique_and_known() {
        let mut statements = NamedStatements::default();
        statements.insert("a", statement()).unwrap();
        let taken = statements.insert("a", statement()).unwrap_err();
        assert_eq!(taken.state(), SqlState::DUPLICATE_PREPARED_STATEMENT);
        let missing = statements.get("b").unwrap_err();
        assert_eq!(missing.message(), "prepared statement \"b\" does not exist");
        assert!(statements.remove("a"));
        assert!(!statements.remove("a"));
    }

    #[tokio::test]
    async fn the_first_reason_of_an_interrupt_wins() {
        let interrupt = Interrupt::new();
        assert!(!interrupt.fired());
        interrupt.fire(InterruptReason::StatementTimeout);
        interrupt.fire(InterruptReason::UserRequest);
        interrupt.wait().await;
        assert_eq!(interrupt.error().message(), "canceling statement due to statement timeout");
    }

    #[tokio::test]
    async fn an_interrupt_ends_a_statement_but_not_its_commit() {
        let stopped = Interrupt::new();
        stopped.fire(InterruptReason::StatementTimeout);
        let error = stopped.stop(std::future::pending::<SqlResult<()>>()).await.unwrap_err();
        assert_eq!(error.state(), SqlState::QUERY_CANCELED);

        let interrupt = Interrupt::new();
        let work = async {
            interrupt.commits();
            interrupt.fire(InterruptReason::StatementTimeout);
            tokio::task::yield_now().await;
            Ok(7)
        };
        assert_eq!(interrupt.stop(work).await.unwrap(), 7);
        // The worker stopped it in time.
        let work = async {
            interrupt.commits();
            tokio::task::yield_now().await;
            Err::<(), _>(SqlError::new(SqlState::QUERY_CANCELED, "due to user request"))
        };
        let error = interrupt.stop(work).await.unwrap_err();
        assert_eq!(error.state(), SqlState::QUERY_CANCELED);
    }

    #[test]
    fn tags_count_rows_where_postgresql_does() {
        assert_eq!(Rows::tag("SELECT", 3), "SELECT 3");
        assert_eq!(Rows::tag("INSERT 0", 1), "INSERT 0 1");
        assert_eq!(Rows::tag("EXPLAIN", 9), "EXPLAIN");
    }
}
