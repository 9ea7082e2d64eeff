//! What system relations show beside the catalog: sessions, settings, sizes.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use satsuma_common::{Datum, NodeId, Oid, ShardId, SqlError, SqlResult, TxnId};
use satsuma_proto::worker::Locks;

use super::KeptRows;
use crate::catalog::{State, Table};
use crate::tenant_statistics::TenantEntry;
use crate::tls::Encryption;

/// A session of this coordinator: `pg_stat_activity`.
#[derive(Clone, Debug, PartialEq)]
pub struct RunningSession {
    /// Its coordinator.
    pub node: NodeId,
    pub process_id: i32,
    pub user: String,
    pub application_name: String,
    pub client_address: Option<IpAddr>,
    pub client_port: Option<u16>,
    /// Not known of other coordinators' sessions.
    pub encryption: Option<Encryption>,
    /// Microseconds since 1970-01-01 UTC, as all moments here.
    pub started: i64,
    pub transaction_started: Option<i64>,
    pub query_started: Option<i64>,
    pub state_changed: i64,
    /// `active`, `idle`, `idle in transaction`, ...
    pub state: String,
    pub query: String,
    pub txn: Option<TxnId>,
    /// As whom it holds locks that outlive transactions.
    pub owner: Option<TxnId>,
}

/// A row of `pg_settings`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SettingRow {
    pub name: String,
    /// In its unit, if it has one.
    pub value: String,
    pub description: String,
    pub boot_value: String,
    pub reset_value: String,
    pub unit: Option<&'static str>,
    /// `vartype`: `bool`, `integer`, `real`, `enum` or `string`.
    pub kind: &'static str,
    /// The least value and the greatest.
    pub bounds: Option<(String, String)>,
    pub choices: Option<Vec<String>>,
    pub context: &'static str,
}

/// A row of `pg_prepared_statements`.
#[derive(Clone, Debug, PartialEq)]
pub struct PreparedRow {
    pub name: String,
    pub statement: String,
    pub prepared_micros: i64,
    /// Oids of the parameters' types.
    pub parameters: Vec<Oid>,
    pub from_sql: bool,
}

/// What `pg_cursors` shows of a cursor.
#[derive(Clone, Debug, PartialEq)]
pub struct CursorAbout {
    pub name: String,
    pub statement: String,
    pub is_holdable: bool,
    pub is_binary: bool,
    pub is_scrollable: bool,
    pub created_micros: i64,
}

/// One placement's size, as its worker last reported it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ShardSize {
    pub rows: u64,
    pub bytes: u64,
}

pub type ShardSizes = BTreeMap<(ShardId, NodeId), ShardSize>;

/// Bytes of an index on a node, in all its shards there.
pub type IndexSizes = BTreeMap<(Oid, NodeId), u64>;

/// The present moment of a coordinator.
pub trait Surroundings: Send + Sync + 'static {
    fn sessions(&self) -> Vec<RunningSession>;

    /// Those of every coordinator.
    fn all_sessions(&self) -> SqlResult<Vec<RunningSession>> {
        Ok(self.sessions())
    }

    /// What is locked and waited for at every worker.
    fn locks(&self) -> SqlResult<Vec<(NodeId, Locks)>> {
        Ok(Vec::new())
    }

    /// `pg_advisory_lock` and its relatives, for this session.
    fn advisory(&self, name: &str, _arguments: &[Datum]) -> SqlResult<Datum> {
        Err(SqlError::unsupported(format!("{name}() cannot be called here")))
    }

    /// Where the session looks for names.
    fn search_path(&self) -> &[String] {
        &[]
    }

    /// Where rows that follow from the catalog alone are kept.
    fn kept_rows(&self) -> Option<&KeptRows> {
        None
    }

    /// Who looks; `None` may see everything.
    fn role(&self) -> Option<Oid> {
        None
    }

    /// In the order of names.
    fn settings(&self) -> Vec<SettingRow>;

    /// The one that this session is at work on.
    fn transaction(&self) -> Option<TxnId> {
        None
    }

    /// Those of this session.
    fn prepared_statements(&self) -> Vec<PreparedRow> {
        Vec::new()
    }

    /// Those of this session.
    fn cursors(&self) -> Vec<CursorAbout> {
        Vec::new()
    }

    /// Of all shards, as they are now. Workers are asked.
    fn shard_sizes(&self) -> Arc<ShardSizes>;

    /// As they were last told, which costs nothing.
    fn estimated_sizes(&self) -> Arc<ShardSizes> {
        self.shard_sizes()
    }

    /// Statements that were run: id, user, text and number of calls.
    fn statements(&self) -> Vec<(i64, String, String, u64)> {
        Vec::new()
    }

    /// The busiest tenants of every coordinator.
    fn tenants(&self) -> SqlResult<Vec<TenantEntry>> {
        Ok(Vec::new())
    }

    fn index_sizes(&self) -> Arc<IndexSizes> {
        Arc::default()
    }

    /// `pg_postmaster_start_time()`.
    fn started(&self) -> i64;

    /// `pg_cancel_backend`, or `pg_terminate_backend`: whether there is such a session.
    fn interrupt(&self, _process_id: i32, _terminate: bool) -> SqlResult<bool> {
        Ok(false)
    }
}

/// No sessions, no settings, no sizes.
#[derive(Clone, Copy, Debug)]
pub struct Nobody;

impl Surroundings for Nobody {
    fn sessions(&self) -> Vec<RunningSession> {
        Vec::new()
    }

    fn settings(&self) -> Vec<SettingRow> {
        Vec::new()
    }

    fn shard_sizes(&self) -> Arc<ShardSizes> {
        Arc::default()
    }

    fn started(&self) -> i64 {
        0
    }
}

/// Rows and bytes of a table, each shard counted once per placement for bytes and once for rows.
pub fn size_of_relation(state: &State, table: &Table, sizes: &ShardSizes) -> ShardSize {
    let mut total = ShardSize::default();
    for (shard, group) in state.shards_of(table) {
        for node in group.finalized() {
            let Some(size) = sizes.get(&(shard.id, node)) else { continue };
            total.bytes += size.bytes;
            if node == group.primary {
                total.rows += size.rows;
            }
        }
    }
    total
}
