//! Makes sessions for authenticated clients.

use std::sync::Arc;

use async_trait::async_trait;
use satsuma_common::{Oid, SqlError, SqlResult, SqlState};

use super::advisory::SessionLocks;
use super::{ClusterSession, Settings};
use crate::catalog::{SettingScope, State};
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
        let found = |state: &State| {
            let role = state.role_by_name(user)?;
            Some(LoginRole {
                verifier: role.verifier.clone(),
                can_login: role.login,
                is_expired: role.valid_until.is_some_and(|end| end < crate::clock::now_micros()),
            })
        };
        match found(&state) {
            // It may have been made through another coordinator a moment ago.
            None => Ok(found(&*self.cluster.catalog.read().await?)),
            known => Ok(known),
        }
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
        let limit = usize::try_from(role.connection_limit).ok().filter(|_| !role.superuser);
        if limit.is_some_and(|limit| self.cluster.sessions.count_of(&info.user) >= limit) {
            return Err(SqlError::new(
                SqlState::TOO_MANY_CONNECTIONS,
                format!("too many connections for role \"{}\"", info.user),
            ));
        }
        if info.database != state.cluster().database {
            return Err(SqlError::new(
                SqlState::INVALID_CATALOG_NAME,
                format!("database \"{}\" does not exist", info.database),
            ));
        }
        let mut settings = Settings::new(&self.defaults)?;
        for (name, value) in of_role(&state, role.oid) {
            // What was valid when it was said may not be any more.
            if let Err(error) = settings.set_base(name, value) {
                tracing::warn!(role = %role.name, name, %error, "a role's setting was left out");
            }
        }
        settings.start(&info.settings)?;
        settings.fix("is_superuser", if role.superuser { "on" } else { "off" });
        settings.fix("session_authorization", &info.user);
        let now = crate::clock::now_micros();
        self.cluster.sessions.insert(SessionEntry {
            process_id: info.process_id,
            user: info.user.clone(),
            database: info.database.clone(),
            application_name: settings.get("application_name").unwrap_or_default(),
            client_addr: info.client_addr,
            encryption: info.tls.clone(),
            started_micros: now,
            query: "".into(),
            query_started_micros: None,
            transaction_started_micros: None,
            state: "idle",
            state_changed_micros: now,
            interrupt: None,
            terminate: info.terminate.clone(),
            txn: None,
            owner: None,
        });
        let own_locks = SessionLocks::new(self.cluster.clone(), info.process_id);
        Ok(Box::new(ClusterSession {
            cluster: self.cluster.clone(),
            role: info.user.clone(),
            authenticated: info.user.clone(),
            info,
            settings,
            statements: Default::default(),
            cursors: Default::default(),
            split: Default::default(),
            txn: None,
            own_locks,
            failed: false,
            notices: Vec::new(),
            role_before: Default::default(),
            savepoints: Vec::new(),
            sequence_values: Default::default(),
            names: Default::default(),
            on_commit: Default::default(),
            asked: None,
        }))
    }
}

/// What ALTER ROLE .. SET says for a role, the more specific settings last.
fn of_role(state: &State, role: Oid) -> Vec<(&str, &str)> {
    let scopes = [
        SettingScope::System,
        SettingScope::Database,
        SettingScope::Role(role),
        SettingScope::RoleInDatabase(role),
    ];
    let of = |wanted: SettingScope| {
        let settings = state.settings().filter(move |(scope, ..)| **scope == wanted);
        settings.map(|(_, name, value)| (name, value))
    };
    scopes.into_iter().flat_map(of).collect()
}
