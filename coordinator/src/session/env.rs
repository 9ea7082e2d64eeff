//! What functions may ask of this session.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use parking_lot::Mutex;
use satsuma_common::{Oid, SequenceId, SqlError, SqlResult, SqlState};
use satsuma_sql::functions::{FunctionEnv, Identity, SequenceAccess, Settings as FunctionSettings};

use super::ClusterSession;
use super::surroundings::SessionSurroundings;
use crate::catalog::CatalogSnapshot;
use crate::sequences::Sequences;
use crate::system_relations::{SessionFunctions, SystemCatalog};

/// Values of sequences that this session has drawn.
#[derive(Clone, Debug, Default)]
pub struct SequenceValues(Arc<Mutex<Drawn>>);

#[derive(Debug, Default)]
struct Drawn {
    current: BTreeMap<SequenceId, i64>,
    last: Option<SequenceId>,
}

impl SequenceValues {
    /// DISCARD SEQUENCES.
    pub fn clear(&self) {
        *self.0.lock() = Drawn::default();
    }
}

struct SessionSequences {
    sequences: Arc<Sequences>,
    values: SequenceValues,
    catalog: CatalogSnapshot,
}

impl std::fmt::Debug for SessionSequences {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SessionSequences")
    }
}

impl SessionSequences {
    fn existing(&self, sequence: Oid) -> SqlResult<SequenceId> {
        let id = SequenceId(sequence.0);
        match self.catalog.state.sequence(id) {
            Some(_) => Ok(id),
            None => match self.catalog.relation_name(sequence) {
                Some((_, name)) => Err(SqlError::new(
                    SqlState::WRONG_OBJECT_TYPE,
                    format!("\"{name}\" is not a sequence"),
                )),
                None => Err(SqlError::new(
                    SqlState::UNDEFINED_TABLE,
                    format!("could not open relation with OID {}", sequence.0),
                )),
            },
        }
    }
}

impl SequenceAccess for SessionSequences {
    fn next_value(&self, sequence: Oid) -> SqlResult<i64> {
        let id = self.existing(sequence)?;
        let value = self.sequences.next_blocking(id)?;
        let mut drawn = self.values.0.lock();
        drawn.current.insert(id, value);
        drawn.last = Some(id);
        Ok(value)
    }

    fn current_value(&self, sequence: Oid) -> SqlResult<i64> {
        let id = self.existing(sequence)?;
        self.values.0.lock().current.get(&id).copied().ok_or_else(|| {
            let name = self.catalog.state.sequence(id).map_or("", |found| found.name.as_str());
            SqlError::new(
                SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE,
                format!("currval of sequence \"{name}\" is not yet defined in this session"),
            )
        })
    }

    fn set_value(&self, sequence: Oid, value: i64, is_called: bool) -> SqlResult<i64> {
        let id = self.existing(sequence)?;
        self.sequences.set_blocking(id, value, is_called)?;
        if is_called {
            let mut drawn = self.values.0.lock();
            drawn.current.insert(id, value);
            drawn.last = Some(id);
        }
        Ok(value)
    }

    fn last_value(&self) -> SqlResult<i64> {
        let drawn = self.values.0.lock();
        drawn.last.and_then(|id| drawn.current.get(&id).copied()).ok_or_else(|| {
            SqlError::new(
                SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE,
                "lastval is not yet defined in this session",
            )
        })
    }
}

impl ClusterSession {
    /// The catalog for binding: the session's view of it, and where it looks for names.
    pub(super) fn snapshot(&self) -> CatalogSnapshot {
        let state = self.state();
        let search_path = self
            .settings
            .search_path(&self.role)
            .into_iter()
            .filter(|schema| state.schema_by_name(schema).is_some())
            .collect();
        let user = state.role_by_name(&self.role).map_or(Oid(0), |role| role.oid);
        let around =
            SessionSurroundings {
                cluster: self.cluster.clone(),
                settings: self.settings.all(),
                own_locks: self.own_locks.clone(),
            };
        let system = Arc::new(SystemCatalog::new(Arc::new(around)));
        CatalogSnapshot { state, search_path, user, system }
    }

    fn surroundings(&self) -> Arc<SessionSurroundings> {
        Arc::new(SessionSurroundings {
            cluster: self.cluster.clone(),
            settings: self.settings.all(),
            own_locks: self.own_locks.clone(),
        })
    }

    /// How values are read and written as text.
    pub(super) fn function_settings(&self) -> FunctionSettings {
        let now = crate::clock::now_micros();
        FunctionSettings {
            transaction_micros: self.txn.as_ref().map_or(now, |txn| txn.now_micros),
            statement_micros: now,
            ..self.settings.frequent().functions.clone()
        }
    }

    /// The catalog for the names that values of `regclass` and its relatives are written as.
    pub(super) fn names(&self) -> Arc<CatalogSnapshot> {
        let state = self.state();
        let mut kept = self.names.lock();
        let mark = (state.version(), self.settings.naming());
        if let Some((known, names)) = &*kept
            && *known == mark
            && !self.has_overlay()
        {
            return names.clone();
        }
        let names = Arc::new(self.snapshot());
        *kept = (!self.has_overlay()).then(|| (mark, names.clone()));
        names
    }

    pub(super) fn function_env(&self, catalog: &CatalogSnapshot) -> FunctionEnv {
        let identity = Identity {
            user: self.role.clone(),
            session_user: self.info.user.clone(),
            database: self.info.database.clone(),
            backend_pid: self.info.process_id,
            client_address: self.info.client_addr.map(|address| address.ip().to_string()),
            application_name: self.settings.frequent().application_name.clone(),
        };
        FunctionEnv {
            settings: Arc::new(self.function_settings()),
            identity: Arc::new(identity),
            search_path: Arc::new(catalog.search_path.clone()),
            catalog: Arc::new(catalog.clone()),
            catalog_functions: Arc::new(SessionFunctions::new(
                catalog.clone(),
                self.surroundings(),
                self.settings.all(),
            )),
            sequences: Arc::new(SessionSequences {
                sequences: self.cluster.sequences.clone(),
                values: self.sequence_values.clone(),
                catalog: catalog.clone(),
            }),
            parameters: None,
            depends_on_session: Arc::new(AtomicBool::new(false)),
        }
    }
}
