//! What system relations show of a session and its neighbours.

use std::collections::BTreeMap;
use std::sync::Arc;

use satsuma_common::{Datum, NodeId, Oid, PgType, SqlResult, TxnId};
use satsuma_proto::worker::Locks;

use super::advisory::SessionLocks;
use super::cursor::CursorAbout;
use super::settings::{Listed, ListedSetting};
use crate::cluster::Cluster;
use crate::session_api::ListedStatement;
use crate::system_relations::{
    IndexSizes, KeptRows, PreparedRow, RunningSession, SettingRow, ShardSizes, Surroundings,
};
use crate::tenant_statistics::TenantEntry;
use crate::waiting::wait_for;

/// Row locks that nobody waits for, of one worker, that are shown.
const SHOWN_ROWS: u32 = 1000;

/// One session's view: everybody's statements, its own settings.
#[derive(Clone)]
pub struct SessionSurroundings {
    pub cluster: Arc<Cluster>,
    pub role: Oid,
    pub search_path: Vec<String>,
    pub settings: Listed,
    pub own_locks: Arc<SessionLocks>,
    pub statements: Arc<BTreeMap<String, ListedStatement>>,
    pub cursors: Vec<CursorAbout>,
}

impl Surroundings for SessionSurroundings {
    fn sessions(&self) -> Vec<RunningSession> {
        let entries = self.cluster.sessions.entries().into_iter();
        entries.map(|entry| entry.running(self.cluster.node)).collect()
    }

    fn all_sessions(&self) -> SqlResult<Vec<RunningSession>> {
        let cluster = self.cluster.clone();
        wait_for(async move { Ok(cluster.all_sessions().await) })
    }

    fn locks(&self) -> SqlResult<Vec<(NodeId, Locks)>> {
        let cluster = self.cluster.clone();
        wait_for(async move { Ok(cluster.locks(SHOWN_ROWS).await) })
    }

    fn advisory(&self, name: &str, arguments: &[Datum]) -> SqlResult<Datum> {
        self.own_locks.call_blocking(name, arguments)
    }

    fn search_path(&self) -> &[String] {
        &self.search_path
    }

    fn kept_rows(&self) -> Option<&KeptRows> {
        Some(&self.cluster.system_rows)
    }

    fn role(&self) -> Option<Oid> {
        Some(self.role)
    }

    fn settings(&self) -> Vec<SettingRow> {
        self.settings.iter().map(ListedSetting::row).collect()
    }

    fn transaction(&self) -> Option<TxnId> {
        self.own_locks.transaction()
    }

    fn prepared_statements(&self) -> Vec<PreparedRow> {
        let rows = self.statements.iter().map(|(name, statement)| PreparedRow {
            name: name.clone(),
            statement: statement.sql.to_string(),
            prepared_micros: statement.since_micros,
            parameters: statement.params.iter().map(PgType::oid).map(Oid).collect(),
            from_sql: statement.from_sql,
        });
        rows.collect()
    }

    fn cursors(&self) -> Vec<CursorAbout> {
        self.cursors.clone()
    }

    fn shard_sizes(&self) -> Arc<ShardSizes> {
        let cluster = self.cluster.clone();
        wait_for(async move { Ok(cluster.fresh_sizes().await) })
            .unwrap_or_else(|_| self.cluster.sizes())
    }

    fn estimated_sizes(&self) -> Arc<ShardSizes> {
        self.cluster.sizes()
    }

    fn statements(&self) -> Vec<(i64, String, String, u64)> {
        let entries = self.cluster.statement_statistics.entries();
        entries.iter().map(|e| (e.query_id, e.user.clone(), e.query.clone(), e.calls())).collect()
    }

    fn tenants(&self) -> SqlResult<Vec<TenantEntry>> {
        let cluster = self.cluster.clone();
        let limit = self.settings.iter().find(|setting| setting.name == "citus.stat_tenants_limit");
        let limit = limit.and_then(|setting| setting.value.parse().ok()).unwrap_or(usize::MAX);
        wait_for(async move { Ok(cluster.tenants(limit).await) })
    }

    fn index_sizes(&self) -> Arc<IndexSizes> {
        self.cluster.index_sizes()
    }

    fn started(&self) -> i64 {
        self.cluster.started_micros
    }

    fn interrupt(&self, process_id: i32, terminate: bool) -> SqlResult<bool> {
        let cluster = self.cluster.clone();
        wait_for(async move { Ok(cluster.interrupt(process_id, terminate).await) })
    }
}
