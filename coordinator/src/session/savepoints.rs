//! What a savepoint keeps of the session: its settings and its role. Rows and definitions are the
//! transaction's.

use super::ClusterSession;
use super::settings::Values;

pub(super) struct Savepoint {
    name: String,
    settings: Values,
    /// The session's user, the role, and whether SET LOCAL ROLE was used.
    roles: (String, String, bool),
}

impl ClusterSession {
    /// SAVEPOINT.
    pub(super) fn keep_session(&mut self, name: &str) {
        let roles = (self.info.user.clone(), self.role.clone(), self.role_before.local);
        let settings = self.settings.values();
        self.savepoints.push(Savepoint { name: name.into(), settings, roles });
    }

    /// RELEASE of a savepoint that is there.
    pub(super) fn release_session(&mut self, name: &str) {
        let index = self.savepoints.iter().rposition(|savepoint| savepoint.name == name);
        self.savepoints.truncate(index.unwrap_or_default());
    }

    /// ROLLBACK TO a savepoint that is there; it stays.
    pub(super) fn restore_session(&mut self, name: &str) {
        let Some(index) = self.savepoints.iter().rposition(|savepoint| savepoint.name == name)
        else {
            return;
        };
        self.savepoints.truncate(index + 1);
        let Savepoint { settings, roles: (user, role, local), .. } = &self.savepoints[index];
        let (user, role, local) = (user.clone(), role.clone(), *local);
        self.settings.restore(settings.clone());
        if user != self.info.user || role != self.role {
            self.become_user(user);
            self.role = role;
        }
        self.role_before.local = local;
    }
}
