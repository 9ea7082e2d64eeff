//! One client's session on the wire: reads a message, does it, answers.

use std::sync::Arc;

use satsuma_common::{SqlError, SqlState};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_util::sync::CancellationToken;

use super::backend;
use super::frontend::{self, Frontend};
use super::portal::Portals;
use super::registry::CancelSlot;
use super::running::Running;
use super::wire::{Frame, Wire, WireError};
use crate::session_api::{Interrupt, Prepared, Session, TransactionStatus};

/// Why a message was not done.
#[derive(Debug)]
pub enum Failure {
    /// Told to the client; the session goes on.
    Statement(SqlError),
    /// Told to the client; the session ends.
    Fatal(SqlError),
    /// Nobody to tell.
    Wire(WireError),
}

impl From<SqlError> for Failure {
    fn from(error: SqlError) -> Self {
        match error.state() {
            SqlState::CLIENT_GONE => Self::Wire(WireError::Closed),
            SqlState::ADMIN_SHUTDOWN | SqlState::CRASH_SHUTDOWN => Self::Fatal(error),
            _ => Self::Statement(error),
        }
    }
}

impl From<WireError> for Failure {
    fn from(error: WireError) -> Self {
        match error {
            WireError::InvalidLength | WireError::InvalidType(_) => {
                Self::Fatal(frontend::violation(error.to_string()))
            }
            WireError::Closed | WireError::Io(_) => Self::Wire(error),
        }
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        Self::Wire(error.into())
    }
}

pub type Done<T> = Result<T, Failure>;

pub struct Connection<'a, S> {
    pub wire: &'a mut Wire<S>,
    pub session: &'a mut dyn Session,
    pub slot: Arc<CancelSlot>,
    pub shutdown: CancellationToken,
    pub portals: Portals,
    pub unnamed: Option<Prepared>,
    /// After an error in the extended protocol: everything up to Sync is passed over.
    skip_to_sync: bool,
}

impl<'a, S: AsyncRead + AsyncWrite + Unpin + Send> Connection<'a, S> {
    pub fn new(
        wire: &'a mut Wire<S>,
        session: &'a mut dyn Session,
        slot: Arc<CancelSlot>,
        shutdown: CancellationToken,
    ) -> Self {
        Self {
            wire,
            session,
            slot,
            shutdown,
            portals: Portals::default(),
            unnamed: None,
            skip_to_sync: false,
        }
    }

    /// Serves until the client leaves (`Ok`) or something ends the session.
    pub async fn serve(&mut self) -> Done<()> {
        self.ready();
        loop {
            let frame = self.next_frame().await?;
            if self.skip_to_sync && !matches!(frame.kind, b'S' | b'X') {
                continue;
            }
            let extended = frontend::is_extended(frame.kind);
            let outcome = match frontend::decode(frame.kind, frame.body) {
                Ok(Frontend::Terminate) => return Ok(()),
                Ok(message) => self.handle(message).await,
                Err(error) => Err(error.into()),
            };
            if let Err(failure) = outcome {
                self.report(failure).await?;
                if extended {
                    self.skip_to_sync = true;
                } else {
                    self.finish_batch().await?;
                }
            }
        }
    }

    async fn handle(&mut self, message: Frontend) -> Done<()> {
        match message {
            Frontend::Query(sql) => {
                let before = self.session.transaction_status();
                self.simple_query(&sql).await?;
                self.portals_after_failure(before);
                self.ready();
                Ok(())
            }
            Frontend::Parse { name, sql, types } => self.parse(name, &sql, &types).await,
            Frontend::Bind(bind) => self.bind(bind),
            Frontend::Describe(target, name) => self.describe(target, &name),
            Frontend::Close(target, name) => {
                self.close(target, &name);
                Ok(())
            }
            Frontend::Execute { portal, max_rows } => self.execute_portal(portal, max_rows).await,
            Frontend::Flush => Ok(self.wire.flush().await?),
            Frontend::Sync => {
                self.skip_to_sync = false;
                self.finish_batch().await
            }
            // Left over from a COPY that failed: PostgreSQL passes over them too.
            Frontend::CopyData(_) | Frontend::CopyDone | Frontend::CopyFail(_) => Ok(()),
            Frontend::FunctionCall => {
                Err(SqlError::unsupported("function call protocol is not supported").into())
            }
            Frontend::Password(_) => {
                Err(Failure::Fatal(frontend::violation("invalid frontend message type 112")))
            }
            Frontend::Terminate => Ok(()),
        }
    }

    /// Commits what a batch left open and says that the next may come.
    async fn finish_batch(&mut self) -> Done<()> {
        if let Err(failure) = self.end_batch().await {
            self.report(failure).await?;
        }
        self.ready();
        Ok(())
    }

    /// Commits the implicit transaction.
    pub async fn end_batch(&mut self) -> Done<()> {
        let running = self.run(Interrupt::new());
        let result = running.watch(self.wire, self.session.end_batch()).await;
        drop(running);
        if self.session.transaction_status() == TransactionStatus::Idle {
            self.portals.clear();
        }
        self.notices();
        Ok(result?)
    }

    /// Tells the client of a failed statement; other failures are passed on.
    async fn report(&mut self, failure: Failure) -> Done<()> {
        match failure {
            Failure::Statement(error) => {
                self.session.fail().await;
                match self.session.transaction_status() {
                    TransactionStatus::Failed => self.portals.fail(),
                    _ => self.portals.clear(),
                }
                self.notices();
                backend::put_error(&mut self.wire.output, &error);
                Ok(())
            }
            other => Err(other),
        }
    }

    /// ROLLBACK and ROLLBACK TO close the portals that a failure left behind.
    pub fn portals_after_failure(&mut self, before: TransactionStatus) {
        let now = self.session.transaction_status();
        if before == TransactionStatus::Failed && now != before {
            self.portals.clear();
        }
    }

    pub fn notices(&mut self) {
        for notice in self.session.take_notices() {
            backend::put_notice(&mut self.wire.output, &notice);
        }
    }

    fn ready(&mut self) {
        self.notices();
        for (name, value) in self.session.take_parameter_changes() {
            backend::put_parameter_status(&mut self.wire.output, name, value);
        }
        backend::put_ready(&mut self.wire.output, self.session.transaction_status());
    }

    /// Registers a statement as running, under the session's timeout.
    pub fn run(&self, interrupt: Interrupt) -> Running {
        let timeout = self.session.timeouts().statement;
        Running::begin(interrupt, timeout, &self.slot, &self.shutdown)
    }

    /// The next message, within what the session allows a client to idle.
    async fn next_frame(&mut self) -> Done<Frame> {
        let timeouts = self.session.timeouts();
        let (limit, complaint) = match self.session.transaction_status() {
            TransactionStatus::Idle => (timeouts.idle_session, idle_session_timeout as fn() -> _),
            _ => (timeouts.idle_in_transaction, idle_in_transaction_timeout as fn() -> _),
        };
        let expired = async {
            match limit {
                Some(limit) => tokio::time::sleep(limit).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            frame = self.wire.read_frame() => Ok(frame?),
            () = expired => Err(Failure::Fatal(complaint())),
            () = self.shutdown.cancelled() => {
                Err(Failure::Fatal(crate::session_api::shutting_down()))
            }
        }
    }
}

fn idle_session_timeout() -> SqlError {
    SqlError::new(
        SqlState::IDLE_SESSION_TIMEOUT,
        "terminating connection due to idle-session timeout",
    )
}

fn idle_in_transaction_timeout() -> SqlError {
    SqlError::new(
        SqlState::IDLE_IN_TRANSACTION_SESSION_TIMEOUT,
        "terminating connection due to idle-in-transaction timeout",
    )
}
