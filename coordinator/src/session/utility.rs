//! Statements about the session itself: transactions, settings, prepared statements, cursors;
//! and the way to definitions.

use std::sync::Arc;

use futures::stream::{self, StreamExt};
use satsuma_common::{Datum, PgType, SqlError, SqlResult, SqlState};
use satsuma_sql::bound::{Bound, OutputColumn};
use satsuma_sql::parse::{self, Command, Parsed, Prepare, Statement};
use sqlparser::ast::{self, Spanned};

use super::cursor::{CursorAbout, no_cursor};
use super::params::Params;
use super::ready::Planned;
use super::settings::setting_name;
use super::{ClusterSession, Isolation, default_isolation, maintenance, serializable};
use crate::ddl::Definition;
use crate::session_api::{
    ExecuteOptions, Execution, NamedStatement, Notice, Prepared, Rows, Session,
};
use crate::txn::Transaction;

/// What the failed state of a transaction block still accepts.
fn ends_failed_block(statement: &Statement) -> bool {
    matches!(
        statement,
        Statement::Sql(statement)
            if matches!(
                statement.as_ref(),
                ast::Statement::Commit { .. } | ast::Statement::Rollback { .. }
            )
    )
}

impl ClusterSession {
    /// `None` is the empty statement.
    pub(super) fn refuse_in_failed_block(&self, parsed: Option<&Parsed>) -> SqlResult<()> {
        if self.failed && !parsed.is_some_and(|parsed| ends_failed_block(&parsed.statement)) {
            return Err(SqlError::new(
                SqlState::IN_FAILED_SQL_TRANSACTION,
                "current transaction is aborted, commands ignored until end of transaction block",
            ));
        }
        Ok(())
    }

    /// Columns of what a utility statement answers with, if it answers with rows.
    pub(super) fn utility_columns(
        &self,
        parsed: &Parsed,
    ) -> SqlResult<Option<Arc<[OutputColumn]>>> {
        match &parsed.statement {
            Statement::Sql(statement) => match statement.as_ref() {
                ast::Statement::ShowVariable { variable } => Ok(Some(show_columns(variable))),
                ast::Statement::Execute { name: Some(name), .. } => {
                    let name = satsuma_sql::bind::last_name(name)?;
                    Ok(self.statements.get(&name)?.prepared.columns.clone())
                }
                _ => Ok(None),
            },
            Statement::Command(command) => match command.as_ref() {
                Command::Fetch { cursor, discard: false, .. } => {
                    let name = satsuma_sql::bind::fold(cursor);
                    Ok(self.cursors.get(&name).map(|cursor| cursor.columns.clone()))
                }
                _ => Ok(None),
            },
            Statement::Copy(_) => Ok(None),
        }
    }

    pub(super) async fn utility(
        &mut self,
        parsed: &Parsed,
        params: &Params,
        options: &ExecuteOptions,
    ) -> SqlResult<Execution> {
        self.refuse_within_block(&parsed.statement, options)?;
        match &parsed.statement {
            Statement::Sql(statement) => self.sql_utility(statement, parsed, params, options).await,
            Statement::Command(command) => self.command(command, parsed, params, options).await,
            Statement::Copy(_) => Err(SqlError::internal("COPY is not a utility statement")),
        }
    }

    async fn sql_utility(
        &mut self,
        statement: &ast::Statement,
        parsed: &Parsed,
        params: &Params,
        options: &ExecuteOptions,
    ) -> SqlResult<Execution> {
        match statement {
            ast::Statement::StartTransaction { modes, begin, .. } => {
                self.begin_block(modes).await?;
                let tag = if *begin { "BEGIN" } else { "START TRANSACTION" };
                Ok(Execution::Command(tag.into()))
            }
            ast::Statement::Commit { chain, .. } => self.commit_block(*chain, options).await,
            ast::Statement::Rollback { savepoint: None, chain } => {
                self.rollback_block(*chain).await
            }
            ast::Statement::Rollback { savepoint: Some(name), .. } => {
                self.require_block("ROLLBACK TO SAVEPOINT")?;
                let cluster = self.cluster.clone();
                let name = satsuma_sql::bind::fold(name);
                if let Some(txn) = self.txn.as_mut() {
                    let last = txn.rollback_to(&cluster, &name).await?;
                    self.cursors.retain(|_, cursor| cursor.is_older_than(last));
                    self.restore_session(&name);
                }
                self.failed = false;
                Ok(Execution::Command("ROLLBACK".into()))
            }
            ast::Statement::Savepoint { name } => {
                self.require_block("SAVEPOINT")?;
                let name = satsuma_sql::bind::fold(name);
                if let Some(txn) = self.txn.as_mut() {
                    txn.savepoint(&name);
                    self.keep_session(&name);
                }
                Ok(Execution::Command("SAVEPOINT".into()))
            }
            ast::Statement::ReleaseSavepoint { name } => {
                self.require_block("RELEASE SAVEPOINT")?;
                let name = satsuma_sql::bind::fold(name);
                if let Some(txn) = self.txn.as_mut() {
                    txn.release(&name)?;
                    self.release_session(&name);
                }
                Ok(Execution::Command("RELEASE".into()))
            }
            ast::Statement::Set(set) => {
                // What follows in the same message may fail, and take this back.
                if !options.ends_batch {
                    self.open_transaction()?;
                }
                self.set(set, options).await
            }
            ast::Statement::Reset(reset) => {
                if !options.ends_batch {
                    self.open_transaction()?;
                }
                match &reset.reset {
                    ast::Reset::ALL => self.settings.reset_all(),
                    ast::Reset::ConfigurationParameter(name) => {
                        let name = setting_name(name);
                        if name.eq_ignore_ascii_case("role") {
                            self.restore_role();
                        } else if name.eq_ignore_ascii_case("session_authorization") {
                            self.become_user(self.authenticated.clone());
                        } else {
                            self.settings.reset(&name)?;
                        }
                    }
                }
                Ok(Execution::Command("RESET".into()))
            }
            ast::Statement::ShowVariable { variable } => self.show(variable),
            ast::Statement::Execute { name: Some(name), parameters, .. } => {
                self.sql_execute(name, parameters, options).await
            }
            ast::Statement::Deallocate { name, .. } => self.deallocate(Some(name)),
            _ => self.define(Definition::Sql(statement), parsed, params, options).await,
        }
    }

    async fn command(
        &mut self,
        command: &Command,
        parsed: &Parsed,
        params: &Params,
        options: &ExecuteOptions,
    ) -> SqlResult<Execution> {
        match command {
            Command::Declare { name, scroll, hold, binary, query } => {
                let about = CursorAbout {
                    name: satsuma_sql::bind::fold(name),
                    statement: parsed.text.clone(),
                    is_holdable: *hold,
                    is_binary: *binary,
                    is_scrollable: scroll.unwrap_or(true),
                    created_micros: crate::clock::now_micros(),
                };
                self.declare(about, query, parsed, params, options).await
            }
            Command::Fetch { cursor, direction, discard } => {
                self.fetch(&satsuma_sql::bind::fold(cursor), *direction, *discard)
            }
            Command::Close { cursor } => {
                match cursor.as_ref().map(satsuma_sql::bind::fold) {
                    None => self.cursors.clear(),
                    Some(name) => {
                        self.cursors.remove(&name).ok_or_else(|| no_cursor(&name))?;
                    }
                }
                let tag = if cursor.is_none() { "CLOSE CURSOR ALL" } else { "CLOSE CURSOR" };
                Ok(Execution::Command(tag.into()))
            }
            Command::Maintain { vacuum, analyze, options: chosen, tables } => {
                self.cluster.workers.forget_sizes();
                let snapshot = self.snapshot();
                maintenance::check(&snapshot, *vacuum, chosen, tables)?;
                let mut tables = tables.clone();
                if *vacuum && !tables.is_empty() {
                    let skipped = maintenance::skip(&snapshot, &mut tables)?;
                    skipped.into_iter().for_each(|warning| self.notice(warning));
                    if tables.is_empty() {
                        return Ok(Execution::Command("VACUUM".into()));
                    }
                }
                if *analyze {
                    self.define(Definition::Analyze(&tables), parsed, params, options).await?;
                }
                let tag = if *vacuum { "VACUUM" } else { "ANALYZE" };
                Ok(Execution::Command(tag.into()))
            }
            Command::Alter(alter) => {
                self.define(Definition::Alter(alter), parsed, params, options).await
            }
            Command::CreateTable(create) => {
                self.define(Definition::CreateTable(create), parsed, params, options).await
            }
            Command::Merge(_) => Err(SqlError::internal("MERGE is not a utility statement")),
            Command::Comment(comment) => {
                self.define(Definition::Comment(comment), parsed, params, options).await
            }
            Command::Configure(statement) => {
                self.define(Definition::Configure(statement), parsed, params, options).await
            }
            Command::Grant(grant) => {
                self.define(Definition::Grant(grant), parsed, params, options).await
            }
            Command::CreateExtension(_) | Command::DropExtension { .. } => {
                self.define(Definition::Extension(command), parsed, params, options).await
            }
            Command::DropIndexConcurrently(statement) => {
                if let ast::Statement::Drop { names, cascade, .. } = statement.as_ref() {
                    let what = match names.len() {
                        1 if *cascade => Some("CASCADE"),
                        1 => None,
                        _ => Some("dropping multiple objects"),
                    };
                    if let Some(what) = what {
                        return Err(SqlError::unsupported(format!(
                            "DROP INDEX CONCURRENTLY does not support {what}"
                        )));
                    }
                }
                self.define(Definition::Sql(statement), parsed, params, options).await
            }
            Command::Checkpoint => Ok(Execution::Command("CHECKPOINT".into())),
            Command::Reorganise { tag, kind, name, .. } => {
                let snapshot = self.snapshot();
                let checked = kind.unwrap_or("table");
                maintenance::check_reorganised(&snapshot, name.as_ref(), checked)?;
                if let Some(kind) = kind {
                    self.transaction().await?;
                    let mut ddl = self.ddl().await?;
                    crate::ddl::reindex(&mut ddl, kind, name.as_ref()).await?;
                    self.finish_statement(options).await?;
                }
                Ok(Execution::Command((*tag).into()))
            }
            Command::Refresh(refresh) => {
                self.define(Definition::Refresh(refresh), parsed, params, options).await
            }
            Command::Owned(owned) => {
                self.define(Definition::Owned(owned), parsed, params, options).await
            }
            Command::DropAbsent(drop) => {
                self.define(Definition::DropAbsent(drop), parsed, params, options).await
            }
            Command::CreateSchema(create) => {
                self.define(Definition::Schema(create), parsed, params, options).await
            }
            Command::Discard { what } => self.discard(what, options).await,
            Command::Prepare(prepare) => self.sql_prepare(prepare, parsed).await,
            Command::Deallocate { name } => self.deallocate(name.as_ref()),
            Command::Lock(target) => {
                self.require_block("LOCK TABLE")?;
                let before = self.txn.as_ref().and_then(Transaction::snapshot);
                self.lock_tables(target, options).await?;
                if let Some(txn) = self.txn.as_mut() {
                    txn.forget_snapshot(before);
                }
                Ok(Execution::Command("LOCK TABLE".into()))
            }
            Command::SetConstraints { names, deferred } => {
                self.set_constraints(names.as_deref(), *deferred, options).await?;
                Ok(Execution::Command("SET CONSTRAINTS".into()))
            }
            // There is nothing to stop listening to: drivers say so when they reset a session.
            Command::Unlisten { .. } => Ok(Execution::Command("UNLISTEN".into())),
            Command::Listen { .. } | Command::Notify { .. } => {
                Err(SqlError::unsupported("LISTEN and NOTIFY are not supported"))
            }
        }
    }

    /// DISCARD: what a pool of connections does between two of its clients.
    async fn discard(&mut self, what: &str, options: &ExecuteOptions) -> SqlResult<Execution> {
        let is_all = what == "all";
        if is_all {
            self.cursors.clear();
            self.statements.clear();
            self.settings.reset_all();
            self.become_user(self.authenticated.clone());
            self.own_locks.release_all().await;
        }
        if is_all || what == "sequences" {
            self.sequence_values.clear();
        }
        if is_all || what == "temp" {
            // Another session does it, which would wait for what this one has locked.
            if self.in_block() || options.one_of_several {
                return Err(SqlError::unsupported(
                    "DISCARD TEMP inside a transaction block is not supported",
                )
                .hint("Drop the temporary tables by name."));
            }
            self.drop_temporary().await;
            self.on_commit.clear();
        }
        Ok(Execution::Command(format!("DISCARD {}", what.to_uppercase())))
    }

    fn require_block(&self, command: &str) -> SqlResult<()> {
        if self.in_block() {
            return Ok(());
        }
        Err(SqlError::new(
            SqlState::NO_ACTIVE_SQL_TRANSACTION,
            format!("{command} can only be used in transaction blocks"),
        ))
    }

    async fn begin_block(&mut self, modes: &[ast::TransactionMode]) -> SqlResult<()> {
        if self.in_block() {
            self.notice(Notice::warning(
                SqlState::ACTIVE_SQL_TRANSACTION,
                "there is already a transaction in progress",
            ));
            return Ok(());
        }
        match self.txn.as_mut() {
            // BEGIN in the middle of a batch takes over what the batch has done so far.
            Some(txn) => txn.is_block = true,
            None => {
                let isolation = default_isolation(&self.settings)?;
                self.begin(isolation, true);
            }
        }
        self.transaction_modes(modes)
    }

    pub(super) fn transaction_modes(&mut self, modes: &[ast::TransactionMode]) -> SqlResult<()> {
        for mode in modes {
            match mode {
                ast::TransactionMode::AccessMode(access) => {
                    let read_only = *access == ast::TransactionAccessMode::ReadOnly;
                    if let Some(txn) = self.txn.as_mut() {
                        txn.set_read_only(read_only)?;
                    }
                    let value = if read_only { "on" } else { "off" };
                    self.settings.set("transaction_read_only", value, true)?;
                }
                ast::TransactionMode::IsolationLevel(level) => {
                    let (isolation, name) = match level {
                        ast::TransactionIsolationLevel::ReadUncommitted
                        | ast::TransactionIsolationLevel::ReadCommitted => {
                            (Isolation::ReadCommitted, "read committed")
                        }
                        ast::TransactionIsolationLevel::RepeatableRead
                        | ast::TransactionIsolationLevel::Snapshot => {
                            (Isolation::RepeatableRead, "repeatable read")
                        }
                        ast::TransactionIsolationLevel::Serializable => return Err(serializable()),
                    };
                    if let Some(txn) = self.txn.as_mut() {
                        txn.set_isolation(isolation)?;
                    }
                    self.settings.set("transaction_isolation", name, true)?;
                }
            }
        }
        Ok(())
    }

    async fn commit_block(
        &mut self,
        chain: bool,
        options: &ExecuteOptions,
    ) -> SqlResult<Execution> {
        if !self.in_block() {
            self.no_block("COMMIT", chain)?;
            self.commit().await?;
            return Ok(Execution::Command("COMMIT".into()));
        }
        let characteristics = self.characteristics();
        let tag = if self.failed {
            self.rollback().await;
            "ROLLBACK"
        } else {
            self.check_put_off(options).await?;
            self.commit().await?;
            "COMMIT"
        };
        self.chain(characteristics.filter(|_| chain)).await?;
        Ok(Execution::Command(tag.into()))
    }

    async fn rollback_block(&mut self, chain: bool) -> SqlResult<Execution> {
        if !self.in_block() {
            self.no_block("ROLLBACK", chain)?;
        }
        let characteristics = self.characteristics();
        self.rollback().await;
        self.chain(characteristics.filter(|_| chain)).await?;
        Ok(Execution::Command("ROLLBACK".into()))
    }

    /// The end of a block where none is: one that a next block shall follow must be there.
    fn no_block(&mut self, command: &str, chain: bool) -> SqlResult<()> {
        if chain {
            return self.require_block(&format!("{command} AND CHAIN"));
        }
        self.notice(Notice::warning(
            SqlState::NO_ACTIVE_SQL_TRANSACTION,
            "there is no transaction in progress",
        ));
        Ok(())
    }

    /// What the open transaction hands on to one that is chained to it.
    fn characteristics(&self) -> Option<(Isolation, bool)> {
        self.txn.as_ref().map(|txn| (txn.isolation, txn.is_read_only()))
    }

    async fn chain(&mut self, characteristics: Option<(Isolation, bool)>) -> SqlResult<()> {
        let Some((isolation, read_only)) = characteristics else { return Ok(()) };
        self.begin(isolation, true);
        let access = match read_only {
            true => ast::TransactionAccessMode::ReadOnly,
            false => ast::TransactionAccessMode::ReadWrite,
        };
        self.transaction_modes(&[ast::TransactionMode::AccessMode(access)])
    }

    fn show(&self, variable: &[ast::Ident]) -> SqlResult<Execution> {
        let columns = show_columns(variable);
        let rows: Vec<Vec<Datum>> = if is_all(variable) {
            let all = self.settings.all();
            all.iter()
                .map(|setting| {
                    let texts = [&*setting.name, &*setting.value, setting.description];
                    texts.map(|text| Datum::Text(text.into())).into()
                })
                .collect()
        } else {
            let name = show_name(variable);
            let value = match name.to_ascii_lowercase().as_str() {
                "transaction_isolation" => match self.txn.as_ref().map(|txn| txn.isolation) {
                    Some(Isolation::RepeatableRead) => "repeatable read".into(),
                    Some(Isolation::ReadCommitted) => "read committed".into(),
                    None => self.settings.show("default_transaction_isolation")?,
                },
                "transaction_read_only" => match &self.txn {
                    Some(txn) if txn.is_read_only() => "on".into(),
                    Some(_) => "off".into(),
                    None => self.settings.show("default_transaction_read_only")?,
                },
                "role" => {
                    if self.role == self.info.user {
                        "none".into()
                    } else {
                        self.role.clone()
                    }
                }
                _ => self.settings.show(&name)?,
            };
            vec![vec![Datum::Text(value)]]
        };
        rows_of(columns, &rows, "SHOW")
    }

    async fn sql_prepare(&mut self, prepare: &Prepare, parsed: &Parsed) -> SqlResult<Execution> {
        let snapshot = self.snapshot();
        let types = prepare
            .data_types
            .iter()
            .map(|ty| {
                satsuma_sql::bind::data_type(ty, &snapshot).map(Some).map_err(|error| match ty {
                    ast::DataType::Custom(name, _) => {
                        error.at(parsed.source.position(name.span().start))
                    }
                    _ => error,
                })
            })
            .collect::<SqlResult<Vec<_>>>()?;
        let text = after_keyword(&parsed.text, "as")
            .ok_or_else(|| SqlError::new(SqlState::SYNTAX_ERROR, "syntax error at end of input"))?;
        let prepared = self.prepare(&text, Some(&types)).await?;
        let name = satsuma_sql::bind::fold(&prepare.name);
        let sql = parsed.text.as_str().into();
        self.statements.insert(&name, NamedStatement { prepared, sql, from_sql: true })?;
        Ok(Execution::Command("PREPARE".into()))
    }

    async fn sql_execute(
        &mut self,
        name: &ast::ObjectName,
        parameters: &[ast::Expr],
        options: &ExecuteOptions,
    ) -> SqlResult<Execution> {
        let (prepared, values) = self.prepared_call(name, parameters).await?;
        match prepared.plan.downcast_ref::<Planned>() {
            Some(planned) => Box::pin(self.run_statement(planned, &values, options)).await,
            None => Ok(Execution::Empty),
        }
    }

    /// What EXECUTE would run, with its parameters.
    pub(super) async fn executed(&mut self, execute: &Statement) -> SqlResult<Bound> {
        let Statement::Sql(execute) = execute else {
            return Err(SqlError::internal("EXECUTE is another statement"));
        };
        let ast::Statement::Execute { name: Some(name), parameters, .. } = execute.as_ref() else {
            return Err(SqlError::internal("EXECUTE is another statement"));
        };
        let (prepared, values) = self.prepared_call(name, parameters).await?;
        let Some(planned) = prepared.plan.downcast_ref::<Planned>() else {
            return Err(SqlError::unsupported("EXPLAIN of an empty statement is not supported"));
        };
        let ready = self.ready(planned, &values, false)?;
        Params::new(&values, &planned.params)?.bind(ready.bound.clone())
    }

    /// A prepared statement and the values of its parameters.
    async fn prepared_call(
        &mut self,
        name: &ast::ObjectName,
        parameters: &[ast::Expr],
    ) -> SqlResult<(Prepared, Vec<Datum>)> {
        let name = satsuma_sql::bind::last_name(name)?;
        let prepared = self.statements.get(&name)?.prepared.clone();
        if parameters.len() != prepared.params.len() {
            return Err(SqlError::new(
                SqlState::SYNTAX_ERROR,
                format!("wrong number of parameters for prepared statement \"{name}\""),
            )
            .detail(format!(
                "Expected {} parameters but got {}.",
                prepared.params.len(),
                parameters.len()
            )));
        }
        let values = self.evaluate(parameters, &prepared.params).await?;
        Ok((prepared, values))
    }

    /// Values of constant expressions, cast to the given types.
    async fn evaluate(
        &mut self,
        expressions: &[ast::Expr],
        types: &[PgType],
    ) -> SqlResult<Vec<Datum>> {
        if expressions.is_empty() {
            return Ok(Vec::new());
        }
        let list: Vec<String> = expressions
            .iter()
            .zip(types)
            .map(|(expr, ty)| format!("CAST(({expr}) AS {ty})"))
            .collect();
        let text = format!("SELECT {}", list.join(", "));
        let parsed = parse::parse(&text)?
            .pop()
            .ok_or_else(|| SqlError::internal("no parameter values to compute"))?;
        let (bound, _) = self.bind(&parsed, None)?;
        let Bound::Query(query) = bound else {
            return Err(SqlError::internal("parameter values are not a query"));
        };
        let rows = self.cluster.executor.run_local(&query.plan).await?;
        let row = rows.iter().find(|batch| batch.num_rows() > 0);
        let row = row.ok_or_else(|| SqlError::internal("parameter values have no row"))?;
        row.columns()
            .iter()
            .zip(types)
            .map(|(column, ty)| satsuma_common::arrow_values::datum_at(column.as_ref(), 0, ty))
            .collect()
    }

    fn deallocate(&mut self, name: Option<&ast::Ident>) -> SqlResult<Execution> {
        match name {
            None => {
                self.statements.clear();
                Ok(Execution::Command("DEALLOCATE ALL".into()))
            }
            Some(name) => {
                let name = satsuma_sql::bind::fold(name);
                self.statements.get(&name)?;
                self.statements.remove(&name);
                Ok(Execution::Command("DEALLOCATE".into()))
            }
        }
    }

    pub(super) fn activity_started(&self, text: &Arc<str>, options: &ExecuteOptions) {
        let now = crate::clock::now_micros();
        let interrupt = options.interrupt.clone();
        let text = text.clone();
        self.own_locks.statement_began(&options.interrupt, self.settings.frequent().lock_timeout);
        let application_name = &self.settings.frequent().application_name;
        self.cluster.sessions.update(self.info.process_id, |entry| {
            entry.query = text;
            entry.query_started_micros = Some(now);
            entry.transaction_started_micros.get_or_insert(now);
            entry.state = "active";
            entry.state_changed_micros = now;
            if entry.application_name != *application_name {
                entry.application_name.clone_from(application_name);
            }
            entry.interrupt = Some(interrupt);
        });
    }

    pub(super) fn activity_ended(&self) {
        let state = match (self.in_block(), self.failed) {
            (false, _) => "idle",
            (true, false) => "idle in transaction",
            (true, true) => "idle in transaction (aborted)",
        };
        let now = crate::clock::now_micros();
        let is_over = !self.in_block();
        self.cluster.sessions.update(self.info.process_id, |entry| {
            entry.state = state;
            entry.state_changed_micros = now;
            if is_over {
                entry.transaction_started_micros = None;
            }
        });
    }
}

/// What follows the first free-standing occurrence of a keyword outside quotes and parentheses, at
/// the place it has in the text.
pub(super) fn after_keyword(text: &str, keyword: &str) -> Option<String> {
    let (mut depth, mut quote, mut word_start) = (0usize, None, None);
    for (at, c) in text.char_indices().chain([(text.len(), ' ')]) {
        match (quote, c) {
            (Some(open), c) if c == open => quote = None,
            (Some(_), _) => {}
            (None, '\'' | '"') => quote = Some(c),
            (None, '(') => depth += 1,
            (None, ')') => depth = depth.saturating_sub(1),
            _ => {}
        }
        let is_word = c.is_alphanumeric() || c == '_';
        match (is_word && quote.is_none(), word_start) {
            (true, None) => word_start = Some(at),
            (false, Some(start)) => {
                if depth == 0 && text[start..at].eq_ignore_ascii_case(keyword) {
                    let before = text[..at].chars().map(|_| ' ');
                    return Some(before.chain(text[at..].chars()).collect());
                }
                word_start = None;
            }
            _ => {}
        }
    }
    None
}

fn is_all(variable: &[ast::Ident]) -> bool {
    matches!(variable, [only] if only.value.eq_ignore_ascii_case("all"))
}

/// SHOW's argument as a setting's name: `TIME ZONE` and `TRANSACTION ISOLATION LEVEL` are two
/// words and three.
fn show_name(variable: &[ast::Ident]) -> String {
    let words: Vec<String> = variable.iter().map(|ident| ident.value.to_lowercase()).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["time", "zone"] => "TimeZone".into(),
        ["transaction", "isolation", "level"] => "transaction_isolation".into(),
        // SESSION is gone, as of `SHOW SESSION work_mem`.
        ["authorization"] => "session_authorization".into(),
        _ => words.join("."),
    }
}

fn show_columns(variable: &[ast::Ident]) -> Arc<[OutputColumn]> {
    let text = |name: &str| OutputColumn::new(name, PgType::Text);
    if is_all(variable) {
        [text("name"), text("setting"), text("description")].into()
    } else {
        let name = show_name(variable);
        let known = super::parameters::PARAMETERS
            .iter()
            .find(|parameter| parameter.name.eq_ignore_ascii_case(&name));
        [text(known.map_or(name.as_str(), |parameter| parameter.name))].into()
    }
}

/// Rows at hand as an answer.
pub(super) fn rows_of(
    columns: Arc<[OutputColumn]>,
    rows: &[Vec<Datum>],
    tag: &'static str,
) -> SqlResult<Execution> {
    let batch = super::calls::batch_of(&columns, rows)?;
    let stream = stream::iter([Ok(batch)]).boxed();
    Ok(Execution::Rows(Rows { columns, stream, tag }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_query_of_a_cursor_starts_after_for() {
        let text = "DECLARE \"fór\" CURSOR FOR SELECT 'for' FROM t";
        let query = format!("{:25}SELECT 'for' FROM t", "");
        assert_eq!(after_keyword(text, "for"), Some(query));
        let prepare = "PREPARE p (numeric(3,2)) AS SELECT 1 AS one";
        let query = format!("{:28}SELECT 1 AS one", "");
        assert_eq!(after_keyword(prepare, "as"), Some(query));
        assert_eq!(after_keyword("PREPARE p", "as"), None);
    }
}
