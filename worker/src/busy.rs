//! Which transactions have a statement at work here. A cancelled statement stops at its next
//! pause, on another thread: undoing it or ending its transaction waits for that, or it would go
//! on to write into what was just undone.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use satsuma_common::TxnId;
use tokio::sync::Notify;

/// A statement that waits for a lock is not waited for any longer: the end of its transaction is
/// what ends that wait.
const LONGEST: Duration = Duration::from_secs(1);

#[derive(Default)]
pub(crate) struct Busy {
    statements: Mutex<BTreeMap<TxnId, usize>>,
    left: Notify,
}

/// A statement at work, until it is dropped.
pub(crate) struct AtWork {
    busy: Arc<Busy>,
    txn: TxnId,
}

impl Busy {
    pub fn enter(self: &Arc<Self>, txn: TxnId) -> AtWork {
        *self.statements.lock().entry(txn).or_default() += 1;
        AtWork { busy: self.clone(), txn }
    }

    /// Until the transaction has no statement at work, or not for much longer.
    pub async fn idle(&self, txn: TxnId) {
        let idle = async {
            loop {
                let left = self.left.notified();
                tokio::pin!(left);
                left.as_mut().enable();
                if !self.statements.lock().contains_key(&txn) {
                    return;
                }
                left.await;
            }
        };
        if tokio::time::timeout(LONGEST, idle).await.is_err() {
            tracing::debug!(%txn, "a transaction moves on while a statement of it waits");
        }
    }
}

impl Drop for AtWork {
    fn drop(&mut self) {
        let mut statements = self.busy.statements.lock();
        if let Some(count) = statements.get_mut(&self.txn) {
            *count -= 1;
            if *count == 0 {
                statements.remove(&self.txn);
            }
        }
        drop(statements);
        self.busy.left.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use satsuma_common::{NodeId, Timestamp};

    use super::*;

    #[tokio::test]
    async fn idle_waits_for_every_statement() {
        let busy = Arc::new(Busy::default());
        let txn = TxnId { start: Timestamp(1), coordinator: NodeId(1) };
        let (first, second) = (busy.enter(txn), busy.enter(txn));
        let mut idle = Box::pin(busy.idle(txn));
        let soon = Duration::from_millis(20);
        drop(first);
        assert!(tokio::time::timeout(soon, &mut idle).await.is_err());
        drop(second);
        tokio::time::timeout(soon, idle).await.unwrap();
        assert!(busy.statements.lock().is_empty());
    }
}
