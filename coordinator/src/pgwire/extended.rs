//! The extended query protocol: Parse, Bind, Describe, Execute, Close.

use satsuma_common::{PgType, SqlError, SqlResult, SqlState};
use tokio::io::{AsyncRead, AsyncWrite};

use super::backend::{
    self, BIND_COMPLETE, CLOSE_COMPLETE, EMPTY_QUERY, NO_DATA, PARSE_COMPLETE, PORTAL_SUSPENDED,
    put_bare,
};
use super::connection::{Connection, Done};
use super::frontend::{Bind, Format, Target, violation};
use super::params::{check_counts, decode_params};
use super::portal::{Portal, PortalState, RowSource};
use super::rows::SendLimit;
use super::running::Running;
use crate::session_api::{
    ExecuteOptions, Execution, Interrupt, NamedStatement, Prepared, Rows, TransactionStatus,
};

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Connection<'_, S> {
    pub async fn parse(&mut self, name: String, sql: &str, types: &[u32]) -> Done<()> {
        if name.is_empty() {
            self.unnamed = None;
        } else if self.session.statements().get(&name).is_ok() {
            return Err(SqlError::new(
                SqlState::DUPLICATE_PREPARED_STATEMENT,
                format!("prepared statement \"{name}\" already exists"),
            )
            .into());
        }
        let types = types.iter().map(|oid| declared_type(*oid)).collect::<SqlResult<Vec<_>>>()?;
        let running = self.run(Interrupt::new());
        let prepared = running.watch(self.wire, self.session.prepare(sql, Some(&types))).await?;
        drop(running);
        self.notices();
        if name.is_empty() {
            self.unnamed = Some(prepared);
        } else {
            let statement = NamedStatement { prepared, sql: sql.into(), from_sql: false };
            self.session.statements().insert(&name, statement)?;
        }
        put_bare(&mut self.wire.output, PARSE_COMPLETE);
        Ok(())
    }

    fn statement(&mut self, name: &str) -> SqlResult<Prepared> {
        if name.is_empty() {
            return self.unnamed.clone().ok_or_else(|| {
                SqlError::new(
                    SqlState::INVALID_SQL_STATEMENT_NAME,
                    "unnamed prepared statement does not exist",
                )
            });
        }
        Ok(self.session.statements().get(name)?.prepared.clone())
    }

    pub fn bind(&mut self, bind: Bind) -> Done<()> {
        let prepared = self.statement(&bind.statement)?;
        check_counts(&bind, &prepared)?;
        self.session.refuse_if_failed(&prepared)?;
        self.require_free(&bind.portal)?;
        let params = decode_params(&bind, &prepared, &self.session.text_settings())?;
        check_result_formats(&bind.result_formats, &prepared)?;
        let portal =
            Portal { prepared, formats: bind.result_formats, state: PortalState::Bound(params) };
        self.portals.insert(bind.portal, portal);
        put_bare(&mut self.wire.output, BIND_COMPLETE);
        Ok(())
    }

    /// 42P03 when a portal or cursor has the name; the unnamed portal is replaced.
    fn require_free(&self, name: &str) -> SqlResult<()> {
        let is_taken = self.portals.contains(name) || self.session.cursor_columns(name).is_some();
        if name.is_empty() || !is_taken {
            return Ok(());
        }
        Err(SqlError::new(SqlState::DUPLICATE_CURSOR, format!("cursor \"{name}\" already exists")))
    }

    pub fn describe(&mut self, target: Target, name: &str) -> Done<()> {
        if target == Target::Portal
            && self.portals.get(name).is_err()
            && let Some(columns) = self.session.cursor_columns(name)
        {
            backend::put_row_description(&mut self.wire.output, &columns, &[]);
            return Ok(());
        }
        let (prepared, formats) = match target {
            Target::Statement => {
                let prepared = self.statement(name)?;
                self.require_describable(&prepared)?;
                backend::put_parameter_description(&mut self.wire.output, &prepared.params);
                (prepared, Vec::new())
            }
            Target::Portal => {
                let portal = self.portals.get(name)?;
                self.require_describable(&portal.prepared)?;
                (portal.prepared.clone(), portal.formats.clone())
            }
        };
        match &prepared.columns {
            Some(columns) => {
                backend::put_row_description(&mut self.wire.output, columns, &formats);
            }
            None => put_bare(&mut self.wire.output, NO_DATA),
        }
        Ok(())
    }

    /// A failed transaction block tells nothing of rows: their types may be of its catalog.
    fn require_describable(&self, prepared: &Prepared) -> SqlResult<()> {
        match prepared.columns {
            Some(_) => self.session.refuse_if_failed(prepared),
            None => Ok(()),
        }
    }

    pub fn close(&mut self, target: Target, name: &str) {
        match target {
            Target::Statement if name.is_empty() => self.unnamed = None,
            Target::Statement => {
                self.session.statements().remove(name);
            }
            Target::Portal => {
                self.portals.close(name);
                self.session.close_cursor(name);
            }
        }
        put_bare(&mut self.wire.output, CLOSE_COMPLETE);
    }

    pub async fn execute_portal(&mut self, name: String, max_rows: usize) -> Done<()> {
        if !self.portals.contains(&name) && self.session.cursor_columns(&name).is_some() {
            return self.execute_cursor(&name, max_rows).await;
        }
        let mut portal = self.portals.take(&name)?;
        let outcome = self.run_portal(&name, &mut portal, max_rows).await;
        self.portals.put_back(name, portal);
        outcome
    }

    /// A cursor that SQL declared, read as a portal. Its rows are in text: Bind did not choose.
    async fn execute_cursor(&mut self, name: &str, max_rows: usize) -> Done<()> {
        let running = self.run(Interrupt::new());
        let mut rows: RowSource = self.session.fetch_cursor(name, max_rows)?.into();
        let sent = self.send_rows(&running, &mut rows, &[], SendLimit::All).await?;
        if max_rows > 0 && sent.count == max_rows as u64 {
            put_bare(&mut self.wire.output, PORTAL_SUSPENDED);
        } else {
            backend::put_complete(&mut self.wire.output, Rows::tag(rows.tag, sent.count));
        }
        Ok(())
    }

    async fn run_portal(&mut self, name: &str, portal: &mut Portal, max_rows: usize) -> Done<()> {
        if !portal.prepared.is_empty {
            self.session.refuse_if_failed(&portal.prepared)?;
        }
        let before = self.session.transaction_status();
        let limit = if max_rows == 0 { SendLimit::All } else { SendLimit::Rows(max_rows) };
        match std::mem::replace(&mut portal.state, PortalState::Done) {
            PortalState::Bound(params) => {
                let interrupt = Interrupt::new();
                let running = self.run(interrupt.clone());
                // With Sync already here, this statement is the last of its batch.
                let ends_batch = self.wire.peek_kind() == Some(b'S');
                let options = ExecuteOptions { ends_batch, interrupt, ..ExecuteOptions::default() };
                let execute = self.session.execute(&portal.prepared, params, options);
                let execution = running.watch(self.wire, execute).await;
                self.notices();
                portal.state = self.first_run(&running, execution?, &portal.formats, limit).await?;
            }
            PortalState::Open { rows, interrupt } => {
                let running = self.run(interrupt);
                portal.state = self.read_portal(&running, rows, &portal.formats, limit).await?;
            }
            PortalState::Exhausted { tag } => {
                backend::put_complete(&mut self.wire.output, Rows::tag(tag, 0));
                portal.state = PortalState::Exhausted { tag };
            }
            PortalState::Done => {
                return Err(SqlError::new(
                    SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE,
                    format!("portal \"{name}\" cannot be run"),
                )
                .into());
            }
        }
        // COMMIT and ROLLBACK close every portal.
        let after = self.session.transaction_status();
        if before != TransactionStatus::Idle && after == TransactionStatus::Idle {
            self.portals.clear();
        }
        self.portals_after_failure(before);
        Ok(())
    }

    async fn first_run(
        &mut self,
        running: &Running,
        execution: Execution,
        formats: &[Format],
        limit: SendLimit,
    ) -> Done<PortalState> {
        let tag = match execution {
            Execution::Empty => {
                put_bare(&mut self.wire.output, EMPTY_QUERY);
                return Ok(PortalState::Done);
            }
            Execution::Rows(rows) => {
                return self.read_portal(running, rows.into(), formats, limit).await;
            }
            Execution::Command(tag) => tag,
            Execution::CopyIn(copy) => self.copy_in(running, copy).await?,
            Execution::CopyOut(copy) => self.copy_out(running, copy).await?,
        };
        backend::put_complete(&mut self.wire.output, tag);
        Ok(PortalState::Done)
    }

    async fn read_portal(
        &mut self,
        running: &Running,
        mut rows: RowSource,
        formats: &[Format],
        limit: SendLimit,
    ) -> Done<PortalState> {
        let sent = self.send_rows(running, &mut rows, formats, limit).await?;
        self.notices();
        if sent.suspended {
            put_bare(&mut self.wire.output, PORTAL_SUSPENDED);
            return Ok(PortalState::Open { rows, interrupt: running.interrupt.clone() });
        }
        backend::put_complete(&mut self.wire.output, Rows::tag(rows.tag, sent.count));
        Ok(PortalState::Exhausted { tag: rows.tag })
    }
}

/// The type that a client declared for a parameter; 0 leaves it to us.
fn declared_type(oid: u32) -> SqlResult<Option<PgType>> {
    if oid == 0 || oid == PgType::Unknown.oid() {
        return Ok(None);
    }
    match PgType::from_oid(oid) {
        Some(ty) => Ok(Some(ty)),
        // Oids that users' types get; the session knows which one it is.
        None if oid >= FIRST_USER_OID => Ok(Some(PgType::Enum(satsuma_common::Oid(oid)))),
        None => Err(SqlError::internal(format!("cache lookup failed for type {oid}"))),
    }
}

/// PostgreSQL's `FirstNormalObjectId`.
const FIRST_USER_OID: u32 = 16384;

fn check_result_formats(formats: &[Format], prepared: &Prepared) -> SqlResult<()> {
    let Some(columns) = prepared.columns.as_ref().map(|columns| columns.len()) else {
        return Ok(());
    };
    if formats.len() > 1 && formats.len() != columns {
        return Err(violation(format!(
            "bind message has {} result formats but query has {columns} columns",
            formats.len()
        )));
    }
    Ok(())
}
