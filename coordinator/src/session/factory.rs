//! Makes sessions for authenticated clients.

use std::sync::Arc;

use async_trait::async_trait;
use satsuma_common::{SqlError, SqlResult, SqlState};

use super::advisory::SessionLocks;
use super::{ClusterSession, Settings};
use crate::cluster::Cluster;
use crate::session_api::{ConnectInfo, LoginRole, Session, SessionFactory};
use crate::session_list::SessionEntry;

pub struct Factory {
    cluster: Arc<Cluster>,
    /// Settings that every session starts with, below what its client asks for.
    defaults: Vec<(String, String)>,
}

impl Factory {
    pub fn new(cluster: Arc<Cluster>, defaults: Vec<(String, String)>) -> Self {
        Self { cluster, defaults }
    }
}

#[async_trait]
impl SessionFactory for Factory {
    async fn login_role(&self, user: &str) -> SqlResult<Option<LoginRole>> {
        let state = self.cluster.catalog.snapshot();
        if !state.is_bootstrapped() {
            return Err(SqlError::new(
                SqlState::CANNOT_CONNECT_NOW,
                "the database system is starting up",
            ));
        }
        Ok(state
            .role_by_name(user)
            .map(|role| LoginRole { verifier: role.verifier.clone(), can_login: role.login }))
    }

    async fn connect(&self, info: ConnectInfo) -> SqlResult<Box<dyn Session>> {
        let state = self.cluster.catalog.snapshot();
        let role = state.role_by_name(&info.user).ok_or_else(|| {
            SqlError::new(
                SqlState::INVALID_AUTHORIZATION_SPECIFICATION,
                format!("role \"{}\" does not exist", info.user),
            )
        })?;
        if !role.login {
            return Err(SqlError::new(
                SqlState::INVALID_AUTHORIZATION_SPECIFICATION,
                format!("role \"{}\" is not permitted to log in", info.user),
            ));
        }
        if info.database != state.cluster().database {
            return Err(SqlError::new(
                SqlState::INVALID_CATALOG_NAME,
                format!("database \"{}\" does not exist", info.database),
            ));
        }
        let startup: Vec<_> = self.defaults.iter().chain(&info.settings).cloned().collect();
        let mut settings = Settings::new(&startup)?;
        settings.fix("is_superuser", if role.superuser { "on" } else { "off" });
        settings.fix("session_authorization", &info.user);
        self.cluster.sessions.insert(SessionEntry {
            process_id: info.process_id,
            user: info.user.clone(),
            database: info.database.clone(),
            application_name: settings.get("application_name").unwrap_or_default(),
            client_addr: info.client_addr,
            started_micros: crate::clock::now_micros(),
            query: "".into(),
            query_started_micros: None,
            transaction_started_micros: None,
            state: "idle",
            interrupt: None,
            terminate: info.terminate.clone(),
            txn: None,
            owner: None,
        });
        let own_locks = SessionLocks::new(self.cluster.clone(), info.process_id);
        Ok(Box::new(ClusterSession {
            cluster: self.cluster.clone(),
            role: info.user.clone(),
            info,
            settings,
            statements: Default::default(),
            cursors: Default::default(),
            txn: None,
            own_locks,
            failed: false,
            notices: Vec::new(),
            sequence_values: Default::default(),
            names: Default::default(),
        }))
    }
}
