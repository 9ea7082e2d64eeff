//! Which coordinator opened which transaction. When the last session of a coordinator has been
//! gone for a while, nobody will finish its open transactions: they are aborted, so that their
//! locks do not stay. Prepared ones are not touched: their fate is asked for.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use satsuma_common::TxnId;

use crate::convert::Request;
use crate::worker::{TxnAction, Worker};

pub(super) struct Clients<W> {
    worker: Arc<W>,
    grace: Duration,
    clients: Mutex<BTreeMap<u64, Client>>,
}

#[derive(Default)]
struct Client {
    sessions: usize,
    open: BTreeSet<TxnId>,
}

impl<W: Worker> Clients<W> {
    pub(super) fn new(worker: Arc<W>, grace: Duration) -> Self {
        Self { worker, grace, clients: Mutex::new(BTreeMap::new()) }
    }

    fn clients(&self) -> MutexGuard<'_, BTreeMap<u64, Client>> {
        self.clients.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A session begins; it ends when the guard is dropped.
    pub(super) fn enter(self: &Arc<Self>, client: u64) -> Presence<W> {
        self.clients().entry(client).or_default().sessions += 1;
        Presence { clients: self.clone(), client }
    }

    pub(super) fn opened(&self, client: u64, txn: TxnId) {
        if let Some(client) = self.clients().get_mut(&client) {
            client.open.insert(txn);
        }
    }

    pub(super) fn closed(&self, client: u64, txn: TxnId) {
        if let Some(client) = self.clients().get_mut(&client) {
            client.open.remove(&txn);
        }
    }

    /// Forgets a client that has no session, and tells what it left behind.
    fn abandoned(&self, client: u64) -> BTreeSet<TxnId> {
        let mut clients = self.clients();
        match clients.get(&client) {
            Some(found) if found.sessions == 0 => {
                clients.remove(&client).map(|client| client.open).unwrap_or_default()
            }
            _ => BTreeSet::new(),
        }
    }

    async fn bury(self: Arc<Self>, client: u64) {
        tokio::time::sleep(self.grace).await;
        for txn in self.abandoned(client) {
            tracing::warn!(%txn, "coordinator is gone: aborting its transaction");
            if let Err(error) = self.worker.transact(txn, TxnAction::Abort).await {
                tracing::error!(%txn, %error, "abort of an abandoned transaction failed");
            }
        }
    }
}

/// A session of a client while it lasts.
pub(super) struct Presence<W: Worker> {
    clients: Arc<Clients<W>>,
    client: u64,
}

impl<W: Worker> Presence<W> {
    /// Before a request is carried out.
    pub(super) fn before(&self, request: &Request) {
        match request {
            Request::Modify(request) => self.clients.opened(self.client, request.context.txn),
            Request::Lock(request) => self.clients.opened(self.client, request.context.txn),
            Request::Advisory(request) => {
                let owner = if request.for_session { request.session } else { request.txn };
                self.clients.opened(self.client, owner);
            }
            Request::Transact(txn, TxnAction::Prepare) => self.clients.closed(self.client, *txn),
            Request::Transact(..)
            | Request::ReadKey(_)
            | Request::Shards(_)
            | Request::Status
            | Request::Explain(..)
            | Request::Locks(_)
            | Request::CancelWait(..)
            | Request::Join(_)
            | Request::Copy(_) => {}
        }
    }

    /// The transaction that a request finishes, if it succeeds.
    pub(super) fn finishes(request: &Request) -> Option<TxnId> {
        match request {
            Request::Modify(request) => request.commit.then_some(request.context.txn),
            Request::Transact(txn, action) => match action {
                TxnAction::Commit(_) | TxnAction::CommitOnePhase(_) | TxnAction::Abort => {
                    Some(*txn)
                }
                TxnAction::Prepare
                | TxnAction::UndoStatement(_)
                | TxnAction::RollbackTo(_)
                | TxnAction::CheckDeferred { .. }
                | TxnAction::PendingOn(_) => None,
            },
            Request::Lock(_)
            | Request::ReadKey(_)
            | Request::Shards(_)
            | Request::Status
            | Request::Explain(..)
            | Request::Locks(_)
            | Request::CancelWait(..)
            | Request::Advisory(_)
            | Request::Join(_)
            | Request::Copy(_) => None,
        }
    }

    pub(super) fn finished(&self, txn: TxnId) {
        self.clients.closed(self.client, txn);
    }
}

impl<W: Worker> Drop for Presence<W> {
    fn drop(&mut self) {
        let gone = match self.clients.clients().get_mut(&self.client) {
            Some(client) => {
                client.sessions = client.sessions.saturating_sub(1);
                client.sessions == 0
            }
            None => false,
        };
        if gone && let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(self.clients.clone().bury(self.client));
        }
    }
}
