//! Who may act on the cluster's tables and on other sessions by function.

use satsuma_common::{ColocationId, Oid, SqlError, SqlResult, SqlState};

use super::ClusterSession;
use crate::catalog::{
    ObjectAddress, RelationRef, State, Table, TableDistribution, is_member, is_superuser, owner,
};

impl ClusterSession {
    /// 42501 for everybody but superusers.
    pub(super) fn require_superuser(&self, function: &str) -> SqlResult<()> {
        if is_superuser(&self.state(), self.snapshot().user) {
            return Ok(());
        }
        Err(SqlError::new(
            SqlState::INSUFFICIENT_PRIVILEGE,
            format!("permission denied for function {function}"),
        ))
    }

    /// 42501 unless the table is the current role's.
    pub(super) fn require_owner(&self, table: &Table) -> SqlResult<()> {
        let (state, user) = (self.state(), self.snapshot().user);
        if owns(&state, user, table) {
            return Ok(());
        }
        Err(SqlError::new(
            SqlState::INSUFFICIENT_PRIVILEGE,
            format!(
                "must be owner of {} {}",
                state.kind(RelationRef::Table(table.id())),
                table.shape.name
            ),
        ))
    }

    /// The same for all tables whose shards move together; `None` is every distributed table.
    pub(super) fn require_owner_of(&self, colocation: Option<ColocationId>) -> SqlResult<()> {
        let state = self.state();
        match colocation {
            Some(colocation) => {
                state.tables_in(colocation).try_for_each(|table| self.require_owner(table))
            }
            None => state
                .tables()
                .filter(|table| table.distribution() != TableDistribution::Local)
                .try_for_each(|table| self.require_owner(table)),
        }
    }

    /// 42501 unless the current role may end what that session does. False where no session is
    /// known by that number: of one that did not tell whose it is, nobody but a superuser may.
    pub(super) async fn require_signal(&self, process: i32, terminate: bool) -> SqlResult<bool> {
        let (state, user) = (self.state(), self.snapshot().user);
        if process == self.info.process_id || is_superuser(&state, user) {
            return Ok(true);
        }
        let sessions = self.cluster.all_sessions().await;
        let Some(session) = sessions.iter().find(|session| session.process_id == process) else {
            return Ok(false);
        };
        let role = state.role_by_name(&session.user);
        if role.is_some_and(|role| !role.superuser && may_signal(&state, user, role.oid)) {
            return Ok(true);
        }
        let message = match (role.is_some_and(|role| role.superuser), terminate) {
            (true, true) => "must be a superuser to terminate superuser process",
            (true, false) => "must be a superuser to cancel superuser query",
            (false, true) => {
                "must be a member of the role whose process is being terminated or member of \
                 pg_signal_backend"
            }
            (false, false) => {
                "must be a member of the role whose query is being canceled or member of \
                 pg_signal_backend"
            }
        };
        Err(SqlError::new(SqlState::INSUFFICIENT_PRIVILEGE, message))
    }
}

fn owns(state: &State, user: Oid, table: &Table) -> bool {
    let object = ObjectAddress::relation(RelationRef::Table(table.id()));
    owner(state, object).is_some_and(|owner| is_member(state, user, owner))
}

fn may_signal(state: &State, user: Oid, role: Oid) -> bool {
    let signals = state.role_by_name("pg_signal_backend");
    is_member(state, user, role) || signals.is_some_and(|role| is_member(state, user, role.oid))
}
