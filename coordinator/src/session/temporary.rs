//! What becomes of temporary tables when a transaction or the session ends.

use std::sync::Arc;

use satsuma_common::{SqlResult, TableId};
use sqlparser::ast;

use super::{ClusterSession, SessionLocks, Settings};
use crate::catalog::SUPERUSER_OID;
use crate::cluster::Cluster;
use crate::ddl::temporary;
use crate::executor::modify::Modification;
use crate::session_api::{ConnectInfo, ExecuteOptions, Interrupt, Session, Via};

impl ClusterSession {
    /// ON COMMIT DROP and DELETE ROWS, as the last thing that the transaction does.
    pub(super) async fn end_temporary(&mut self) -> SqlResult<()> {
        if self.on_commit.is_empty() || self.txn.is_none() || self.failed {
            return Ok(());
        }
        // While the rows are there: PostgreSQL, too, checks before it drops.
        let cluster = self.cluster.clone();
        if let Some(txn) = self.txn.as_mut() {
            txn.check_deferred(&cluster, None).await?;
        }
        let state = self.state();
        self.on_commit.retain(|table, _| state.table(*table).is_some());
        let with = |action: ast::OnCommit| -> Vec<TableId> {
            let tables = self.on_commit.iter().filter(|(_, known)| **known == action);
            tables.map(|(table, _)| *table).collect()
        };
        let (dropped, emptied) = (with(ast::OnCommit::Drop), with(ast::OnCommit::DeleteRows));
        if !dropped.is_empty() {
            let mut ddl = self.ddl().await?;
            crate::ddl::drop_silently(&mut ddl, &dropped).await?;
            self.on_commit.retain(|table, _| !dropped.contains(table));
        }
        if !emptied.is_empty() && self.txn.as_ref().is_some_and(|txn| txn.has_written()) {
            let scope = self.scope().await?;
            let tables: Vec<_> = emptied
                .iter()
                .filter_map(|table| scope.state.table(*table))
                .map(|table| table.info().clone())
                .collect();
            if let Some(txn) = self.txn.as_mut() {
                let executor = &cluster.executor;
                let (scope, commit) = (&scope, false);
                let interrupt = Interrupt::default();
                Modification { executor, scope, txn, commit, interrupt, returning: false }
                    .truncate(&tables)
                    .await?;
            }
        }
        Ok(())
    }

    fn temporary_schema(&self) -> Option<String> {
        let name = temporary::schema_name(self.cluster.node, self.info.process_id);
        self.cluster.catalog.snapshot().schema_by_name(&name).map(|schema| schema.name.clone())
    }

    /// Drops the session's temporary relations.
    pub(super) async fn drop_temporary(&mut self) {
        if let Some(schema) = self.temporary_schema() {
            drop_schema(self.cluster.clone(), schema).await;
        }
    }

    /// As [`Self::drop_temporary`], in the background.
    pub(super) fn abandon_temporary(&self) {
        if let Some(schema) = self.temporary_schema()
            && let Ok(runtime) = tokio::runtime::Handle::try_current()
        {
            runtime.spawn(drop_schema(self.cluster.clone(), schema));
        }
    }

    /// A session that no client has.
    pub(super) fn detached(cluster: Arc<Cluster>, user: &str) -> SqlResult<Self> {
        let (state, user) = (cluster.catalog.snapshot(), user.to_owned());
        let info = ConnectInfo {
            user: user.clone(),
            database: state.cluster().database.clone(),
            settings: Vec::new(),
            client_addr: None,
            server_addr: None,
            via: Via::Pg,
            tls: None,
            process_id: 0,
            terminate: Default::default(),
        };
        let own_locks = SessionLocks::new(cluster.clone(), info.process_id);
        Ok(Self {
            cluster,
            own_locks,
            role: user.clone(),
            authenticated: user,
            info,
            settings: Settings::new(&[])?,
            statements: Default::default(),
            cursors: Default::default(),
            split: Default::default(),
            txn: None,
            failed: false,
            notices: Vec::new(),
            role_before: Default::default(),
            savepoints: Vec::new(),
            sequence_values: Default::default(),
            names: Default::default(),
            on_commit: Default::default(),
            asked: None,
        })
    }
}

/// Runs a statement without rows in a session of the superuser that no client has.
pub async fn run_detached(cluster: Arc<Cluster>, sql: &str) -> SqlResult<()> {
    let state = cluster.catalog.snapshot();
    let user = state.role(SUPERUSER_OID).map_or("", |role| &role.name);
    let mut session = ClusterSession::detached(cluster, user)?;
    let prepared = session.prepare(sql, None).await?;
    let options = ExecuteOptions { ends_batch: true, ..ExecuteOptions::default() };
    let done = session.execute(&prepared, Vec::new(), options).await;
    if done.is_err() {
        session.rollback().await;
    }
    done.map(|_| ())
}

/// Drops a session's schema after its end. What is left is dropped when the coordinator starts.
async fn drop_schema(cluster: Arc<Cluster>, schema: String) {
    let sql = format!("DROP SCHEMA \"{schema}\" CASCADE");
    if let Err(error) = run_detached(cluster, &sql).await {
        tracing::warn!(schema, %error, "temporary relations were left behind");
    }
}

/// Drops the temporary relations of sessions that ended with this coordinator.
pub async fn drop_left_behind(cluster: Arc<Cluster>) {
    let prefix = temporary::prefix_of(cluster.node);
    let left: Vec<String> = cluster
        .catalog
        .snapshot()
        .schemas()
        .filter(|schema| schema.name.starts_with(&prefix))
        .map(|schema| schema.name.clone())
        .collect();
    for schema in left {
        drop_schema(cluster.clone(), schema).await;
    }
}
