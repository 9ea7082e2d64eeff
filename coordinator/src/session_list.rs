//! The sessions of this coordinator: `pg_stat_activity`, cancel and terminate.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use parking_lot::Mutex;

use satsuma_common::TxnId;
use tokio_util::sync::CancellationToken;

use crate::session_api::{Interrupt, InterruptReason};
use crate::tls::Encryption;

#[derive(Clone, Debug)]
pub struct SessionEntry {
    pub process_id: i32,
    pub user: String,
    pub database: String,
    pub application_name: String,
    pub client_addr: Option<SocketAddr>,
    pub encryption: Option<Encryption>,
    /// Microseconds since 1970-01-01 UTC.
    pub started_micros: i64,
    /// The statement under way, or the last one.
    pub query: Arc<str>,
    pub query_started_micros: Option<i64>,
    pub transaction_started_micros: Option<i64>,
    pub state: &'static str,
    pub state_changed_micros: i64,
    /// Of the statement under way.
    pub interrupt: Option<Interrupt>,
    /// Ends the session.
    pub terminate: CancellationToken,
    /// The open transaction.
    pub txn: Option<TxnId>,
    /// As whom it holds locks that outlive transactions, if it ever had any.
    pub owner: Option<TxnId>,
}

#[derive(Debug, Default)]
pub struct SessionList(Mutex<BTreeMap<i32, SessionEntry>>);

impl SessionList {
    pub fn insert(&self, entry: SessionEntry) {
        self.0.lock().insert(entry.process_id, entry);
    }

    pub fn remove(&self, process_id: i32) {
        self.0.lock().remove(&process_id);
    }

    pub fn update(&self, process_id: i32, change: impl FnOnce(&mut SessionEntry)) {
        if let Some(entry) = self.0.lock().get_mut(&process_id) {
            change(entry);
        }
    }

    /// How many sessions a user has here.
    pub fn count_of(&self, user: &str) -> usize {
        self.0.lock().values().filter(|entry| entry.user == user).count()
    }

    /// In the order of process ids.
    pub fn entries(&self) -> Vec<SessionEntry> {
        self.0.lock().values().cloned().collect()
    }

    /// `pg_cancel_backend`: whether there is such a session.
    pub fn cancel(&self, process_id: i32, reason: InterruptReason) -> bool {
        match self.0.lock().get(&process_id) {
            Some(entry) => {
                if let Some(interrupt) = &entry.interrupt {
                    interrupt.fire(reason);
                }
                true
            }
            None => false,
        }
    }

    /// `pg_terminate_backend`.
    pub fn terminate(&self, process_id: i32) -> bool {
        match self.0.lock().get(&process_id) {
            Some(entry) => {
                entry.terminate.cancel();
                if let Some(interrupt) = &entry.interrupt {
                    interrupt.fire(InterruptReason::Shutdown);
                }
                true
            }
            None => false,
        }
    }

    pub fn is_at_work(&self, txn: TxnId) -> bool {
        self.0.lock().values().any(|entry| entry.txn == Some(txn))
    }
}
