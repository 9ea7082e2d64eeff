//! What functions may ask of this session.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use parking_lot::Mutex;
use satsuma_common::{Oid, SequenceId, SqlError, SqlResult, SqlState};
use satsuma_sql::functions::{FunctionEnv, Identity, SequenceAccess, Settings as FunctionSettings};

use super::ClusterSession;
use super::run::read_only_transaction;
use super::surroundings::SessionSurroundings;
use crate::catalog::{self, CatalogSnapshot, ObjectAddress, RelationRef};
use crate::ddl::temporary;
use crate::sequences::{PrivateSequences, Sequences};
use crate::system_relations::{SessionFunctions, SystemCatalog};
use crate::txn::Transaction;

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

#[derive(Clone)]
pub(crate) struct SessionSequences {
    sequences: Arc<Sequences>,
    values: SequenceValues,
    /// Of the open transaction.
    private: PrivateSequences,
    catalog: CatalogSnapshot,
    /// The transaction's, or what one that begins now would be.
    read_only: bool,
}

impl std::fmt::Debug for SessionSequences {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SessionSequences")
    }
}

impl SessionSequences {
    /// The same on a catalog that has changed.
    pub fn on(&self, catalog: &CatalogSnapshot) -> Self {
        Self { catalog: catalog.clone(), ..self.clone() }
    }

    /// 25006 in a transaction that is read-only: what sequences give outlives it. Temporary ones
    /// are nobody else's.
    fn change(&self, id: SequenceId, function: &str) -> SqlResult<()> {
        let state = &self.catalog.state;
        let is_temporary = || {
            let schema = state.sequence(id).and_then(|sequence| state.schema(sequence.schema));
            schema.is_some_and(|schema| temporary::is_temporary(&schema.name))
        };
        if self.read_only && !is_temporary() {
            return Err(read_only_transaction(function));
        }
        Ok(())
    }

    /// 42501 unless the user has one of the privileges.
    fn check(&self, id: SequenceId, letters: &[char]) -> SqlResult<()> {
        let (state, user) = (&self.catalog.state, self.catalog.user);
        let object = ObjectAddress::relation(RelationRef::Sequence(id));
        if letters.iter().any(|letter| catalog::may(state, user, object, *letter)) {
            return Ok(());
        }
        let name = state.sequence(id).map_or("", |sequence| sequence.name.as_str());
        Err(SqlError::new(
            SqlState::INSUFFICIENT_PRIVILEGE,
            format!("permission denied for sequence {name}"),
        ))
    }

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
        self.check(self.existing(sequence)?, &['U', 'w'])?;
        self.next_of_identity(sequence)
    }

    fn next_of_identity(&self, sequence: Oid) -> SqlResult<i64> {
        let id = self.existing(sequence)?;
        self.change(id, "nextval()")?;
        let committed = self.sequences.committed();
        let value = match self.private.next(&self.catalog.state, &committed, id) {
            Some(value) => value?,
            None => self.sequences.next_blocking(id)?,
        };
        let mut drawn = self.values.0.lock();
        drawn.current.insert(id, value);
        drawn.last = Some(id);
        Ok(value)
    }

    fn current_value(&self, sequence: Oid) -> SqlResult<i64> {
        let id = self.existing(sequence)?;
        self.check(id, &['r', 'U'])?;
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
        self.check(id, &['w'])?;
        self.change(id, "setval()")?;
        let committed = self.sequences.committed();
        if !self.private.set((&self.catalog.state, &committed), id, value, is_called) {
            self.sequences.set_blocking(id, value, is_called)?;
        }
        if is_called {
            let mut drawn = self.values.0.lock();
            drawn.current.insert(id, value);
            drawn.last = Some(id);
        }
        Ok(value)
    }

    fn last_value(&self) -> SqlResult<i64> {
        let drawn = self.values.0.lock();
        let last = drawn.last.filter(|id| self.catalog.state.sequence(*id).is_some());
        let (id, value) =
            last.and_then(|id| Some((id, *drawn.current.get(&id)?))).ok_or_else(|| {
                SqlError::new(
                    SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE,
                    "lastval is not yet defined in this session",
                )
            })?;
        self.check(id, &['r', 'U'])?;
        Ok(value)
    }

    fn position(&self, sequence: Oid) -> SqlResult<(i64, bool)> {
        let id = self.existing(sequence)?;
        let (own, committed) = (&self.catalog.state, self.sequences.committed());
        let private = self.private.at(own, &committed, id);
        let position = private.or_else(|| self.sequences.at(id));
        let position = position.ok_or_else(|| SqlError::internal("a sequence without position"))?;
        Ok((position.last_value, position.is_called))
    }
}

impl ClusterSession {
    /// The catalog for binding: the session's view of it, and where it looks for names.
    pub(super) fn snapshot(&self) -> CatalogSnapshot {
        let state = self.state();
        let temporary = temporary::schema_name(self.cluster.node, self.info.process_id);
        let user = state.role_by_name(&self.role).map_or(Oid(0), |role| role.oid);
        // Schemas that the role may not use are passed over.
        let search_path: Vec<String> = std::iter::once(temporary)
            .chain(self.settings.search_path(&self.role))
            .filter(|schema| {
                let schema = state.schema_by_name(schema);
                schema.is_some_and(|schema| catalog::may(&state, user, schema.address(), 'U'))
            })
            .collect();
        let around = self.surroundings_of(user, search_path.clone());
        let system = Arc::new(SystemCatalog::new(Arc::new(around)));
        let overlay = self.txn.as_ref().and_then(Transaction::overlay);
        let new_labels = overlay.map(|overlay| Arc::new(overlay.new_labels())).unwrap_or_default();
        CatalogSnapshot { state, search_path, user, system, new_labels }
    }

    /// What the role is shown of the session and its neighbours.
    pub(super) fn surroundings_of(
        &self,
        role: Oid,
        search_path: Vec<String>,
    ) -> SessionSurroundings {
        SessionSurroundings {
            cluster: self.cluster.clone(),
            role,
            search_path,
            settings: self.settings.all(),
            own_locks: self.own_locks.clone(),
            statements: self.statements.listed(),
            cursors: self.cursors.values().map(|cursor| cursor.about.clone()).collect(),
        }
    }

    pub(super) fn session_sequences(&self, catalog: &CatalogSnapshot) -> SessionSequences {
        SessionSequences {
            sequences: self.cluster.sequences.clone(),
            values: self.sequence_values.clone(),
            private: self.txn.as_ref().map(|txn| txn.sequences.clone()).unwrap_or_default(),
            catalog: catalog.clone(),
            read_only: match &self.txn {
                Some(txn) => txn.is_read_only(),
                None => self.settings.frequent().default_read_only,
            },
        }
    }

    fn surroundings(&self) -> Arc<SessionSurroundings> {
        let role = self.state().role_by_name(&self.role).map_or(Oid(0), |role| role.oid);
        Arc::new(SessionSurroundings {
            cluster: self.cluster.clone(),
            role,
            search_path: Vec::new(),
            settings: self.settings.all(),
            own_locks: self.own_locks.clone(),
            statements: Default::default(),
            cursors: Vec::new(),
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
            client_port: self.info.client_addr.map(|address| address.port()),
            server: self.info.server_addr.map(|it| (it.ip().to_string(), it.port())),
            application_name: self.settings.frequent().application_name.clone(),
        };
        FunctionEnv {
            settings: Arc::new(self.function_settings()),
            identity: Arc::new(identity),
            search_path: Arc::new(
                catalog
                    .search_path
                    .iter()
                    .filter(|schema| !temporary::is_temporary(schema))
                    .cloned()
                    .collect(),
            ),
            catalog: Arc::new(catalog.clone()),
            catalog_functions: Arc::new(SessionFunctions::new(
                catalog.clone(),
                self.surroundings(),
                self.settings.all(),
            )),
            sequences: Arc::new(self.session_sequences(catalog)),
            parameters: None,
            depends_on_session: Arc::new(AtomicBool::new(false)),
        }
    }
}
