//! What system relations show of a session and its neighbours.

use std::sync::Arc;

use super::settings::Listed;
use crate::cluster::Cluster;
use crate::session_api::InterruptReason;
use crate::system_relations::{IndexSizes, RunningSession, SettingRow, ShardSizes, Surroundings};

/// One session's view: everybody's statements, its own settings.
pub struct SessionSurroundings {
    pub cluster: Arc<Cluster>,
    pub settings: Listed,
}

impl Surroundings for SessionSurroundings {
    fn sessions(&self) -> Vec<RunningSession> {
        let entries = self.cluster.sessions.entries().into_iter();
        entries
            .map(|entry| RunningSession {
                process_id: entry.process_id,
                user: entry.user,
                application_name: entry.application_name,
                client_address: entry.client_addr.map(|address| address.ip()),
                client_port: entry.client_addr.map(|address| address.port()),
                started: entry.started_micros,
                transaction_started: entry.transaction_started_micros,
                query_started: entry.query_started_micros,
                state: entry.state.into(),
                query: entry.query.to_string(),
            })
            .collect()
    }

    fn settings(&self) -> Vec<SettingRow> {
        let rows = self.settings.iter();
        rows.map(|(name, value, description)| SettingRow {
            name: name.clone(),
            value: value.clone(),
            description: (*description).into(),
            reset_value: value.clone(),
        })
        .collect()
    }

    fn shard_sizes(&self) -> Arc<ShardSizes> {
        self.cluster.sizes()
    }

    fn index_sizes(&self) -> Arc<IndexSizes> {
        self.cluster.index_sizes()
    }

    fn statements(&self) -> Vec<(i64, String, String, u64)> {
        let entries = self.cluster.statement_statistics.entries();
        entries.iter().map(|e| (e.query_id, e.user.clone(), e.query.clone(), e.calls())).collect()
    }

    fn started(&self) -> i64 {
        self.cluster.started_micros
    }

    fn cancel(&self, process_id: i32) -> bool {
        self.cluster.sessions.cancel(process_id, InterruptReason::UserRequest)
    }

    fn terminate(&self, process_id: i32) -> bool {
        self.cluster.sessions.cancel(process_id, InterruptReason::Shutdown)
    }
}
