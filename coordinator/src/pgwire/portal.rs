//! Portals: bound statements and how far they have been read.

use std::collections::BTreeMap;
use std::sync::Arc;

use datafusion::arrow::array::RecordBatch;
use satsuma_common::{Datum, SqlError, SqlResult, SqlState};
use satsuma_sql::bound::OutputColumn;

use super::frontend::Format;
use crate::session_api::{BatchStream, Interrupt, Prepared, Rows};

/// Rows on their way to the client.
pub struct RowSource {
    pub columns: Arc<[OutputColumn]>,
    pub tag: &'static str,
    pub stream: BatchStream,
    /// The batch being sent and its next row.
    pub current: Option<(RecordBatch, usize)>,
}

impl From<Rows> for RowSource {
    fn from(rows: Rows) -> Self {
        Self { columns: rows.columns, tag: rows.tag, stream: rows.stream, current: None }
    }
}

pub enum PortalState {
    /// Execute has not come yet.
    Bound(Vec<Datum>),
    Open {
        rows: RowSource,
        interrupt: Interrupt,
    },
    /// All rows were read: further Executes give none.
    Exhausted {
        tag: &'static str,
    },
    /// A command ran: it cannot run again.
    Done,
}

pub struct Portal {
    pub prepared: Prepared,
    pub formats: Vec<Format>,
    pub state: PortalState,
}

/// A connection's portals by name; the unnamed one has the empty name.
#[derive(Default)]
pub struct Portals(BTreeMap<String, Portal>);

impl Portals {
    /// Replaces the unnamed portal; no other may exist already.
    pub fn insert(&mut self, name: String, portal: Portal) {
        self.0.insert(name, portal);
    }

    pub fn contains(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    /// 34000 when there is none.
    pub fn get(&self, name: &str) -> SqlResult<&Portal> {
        self.0.get(name).ok_or_else(|| missing(name))
    }

    /// Takes a portal out to run it; put it back with [`Portals::put_back`].
    pub fn take(&mut self, name: &str) -> SqlResult<Portal> {
        self.0.remove(name).ok_or_else(|| missing(name))
    }

    pub fn put_back(&mut self, name: String, portal: Portal) {
        self.0.insert(name, portal);
    }

    pub fn close(&mut self, name: &str) {
        self.0.remove(name);
    }

    /// A statement of their transaction failed: their names stay until it ends, but none can run.
    pub fn fail(&mut self) {
        for portal in self.0.values_mut() {
            portal.state = PortalState::Done;
        }
    }

    /// At the end of a transaction.
    pub fn clear(&mut self) {
        self.0.clear();
    }
}

fn missing(name: &str) -> SqlError {
    SqlError::new(SqlState::INVALID_CURSOR_NAME, format!("portal \"{name}\" does not exist"))
}
