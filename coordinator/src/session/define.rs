//! Definitions: from the session to [`crate::ddl`], again where another one came in between.

use std::sync::Arc;

use satsuma_common::{SqlError, SqlResult};
use satsuma_sql::parse::Parsed;

use super::ClusterSession;
use super::params::Params;
use super::run::Patience;
use crate::ddl::{Ddl, Definition, temporary};
use crate::executor::{Scope, is_stale};
use crate::session_api::{ExecuteOptions, Execution};

impl ClusterSession {
    /// A definition: CREATE, ALTER, DROP, ....
    pub(super) async fn define(
        &mut self,
        definition: Definition<'_>,
        parsed: &Parsed,
        params: &Params,
        options: &ExecuteOptions,
    ) -> SqlResult<Execution> {
        self.transaction().await?;
        if let Some(command) = definition.command() {
            self.writable(&command)?;
        }
        let mut patience = Patience::default();
        let done = loop {
            let (wait, notices) = (options.interrupt.wait(), self.notices.len());
            let mut ddl = self.ddl().await?;
            ddl.source = parsed.source.clone();
            ddl.params = params.clone();
            let done = tokio::select! {
                biased;
                () = wait => Err(options.interrupt.error()),
                done = crate::ddl::execute(&mut ddl, definition) => done,
            };
            match done {
                Err(error) if is_stale(&error) && patience.is_left() => {
                    self.notices.truncate(notices);
                    let cluster = self.cluster.clone();
                    if let Some(txn) = self.txn.as_mut() {
                        txn.undo_statement(&cluster).await?;
                    }
                    patience.wait(options).await?;
                    if patience.is_wearing_out() {
                        crate::leftovers::restore_shapes(&self.cluster).await;
                    }
                    self.catch_up().await?;
                }
                done => break done?,
            }
        };
        match done {
            Some(tag) => {
                self.finish_statement(options).await?;
                Ok(Execution::Command(tag))
            }
            None => {
                let words: Vec<String> =
                    parsed.text.split_whitespace().take(2).map(str::to_uppercase).collect();
                Err(SqlError::unsupported(format!("{} is not supported", words.join(" "))))
            }
        }
    }

    /// What definitions of the present statement work with.
    pub(super) async fn ddl(&mut self) -> SqlResult<Ddl<'_>> {
        let scope = self.scope().await?;
        self.ddl_within(scope)
    }

    /// Definitions as a part of the statement under way.
    pub(super) fn ddl_within(&mut self, scope: Arc<Scope>) -> SqlResult<Ddl<'_>> {
        let snapshot = self.snapshot();
        let env = self.function_env(&snapshot);
        let sequences = self.session_sequences(&snapshot);
        let around = self.surroundings_of(snapshot.user, snapshot.search_path.clone());
        let shard_count = self.settings.integer("citus.shard_count").unwrap_or(32);
        let txn = self
            .txn
            .as_mut()
            .ok_or_else(|| SqlError::internal("a definition without a transaction"))?;
        Ok(Ddl {
            cluster: self.cluster.clone(),
            txn,
            notices: &mut self.notices,
            snapshot,
            env,
            sequences,
            around,
            scope,
            shard_count: u32::try_from(shard_count).unwrap_or(32),
            temporary_name: temporary::schema_name(self.cluster.node, self.info.process_id),
            on_commit: &mut self.on_commit,
            source: Default::default(),
            params: Params::default(),
            pending_ownership: Vec::new(),
        })
    }
}
