//! Transactions that are committed and whose participants are being told.
//!
//! Their rows are locked a moment longer than their clients know. Waiting for such a lock is no
//! harm, but a statement that does not wait (NOWAIT, SKIP LOCKED) would see a lock of a
//! transaction that has ended: it goes after [`Finishing::settled`].

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Notify;

/// Participants that do not answer are not waited for any longer.
const PATIENCE: Duration = Duration::from_secs(1);

/// Those under way, numbered in the order in which they were committed.
#[derive(Clone, Debug, Default)]
pub struct Finishing(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    inner: Mutex<Inner>,
    left: Notify,
}

#[derive(Debug, Default)]
struct Inner {
    next: u64,
    under_way: BTreeSet<u64>,
}

/// One of them, until it is dropped.
#[derive(Debug)]
pub struct UnderWay {
    shared: Arc<Shared>,
    number: u64,
}

impl Finishing {
    pub fn enter(&self) -> UnderWay {
        let mut inner = self.0.inner.lock();
        let number = inner.next;
        inner.next += 1;
        inner.under_way.insert(number);
        UnderWay { shared: self.0.clone(), number }
    }

    /// Returns when all that are under way now have finished, or when one takes too long.
    pub async fn settled(&self) {
        let limit = self.0.inner.lock().next;
        let earlier = async {
            loop {
                let left = self.0.left.notified();
                tokio::pin!(left);
                left.as_mut().enable();
                if self.0.inner.lock().under_way.first().is_none_or(|first| *first >= limit) {
                    return;
                }
                left.await;
            }
        };
        if tokio::time::timeout(PATIENCE, earlier).await.is_err() {
            tracing::debug!("participants of a committed transaction are slow to answer");
        }
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.shared.inner.lock().under_way.remove(&self.number);
        self.shared.left.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn settled_waits_for_all_that_are_under_way() {
        let finishing = Finishing::default();
        finishing.settled().await;
        let (first, second) = (finishing.enter(), finishing.enter());
        let mut settled = Box::pin(finishing.settled());
        drop(first);
        let soon = Duration::from_millis(20);
        assert!(tokio::time::timeout(soon, &mut settled).await.is_err());
        let _later = finishing.enter();
        drop(second);
        settled.await;
    }
}
