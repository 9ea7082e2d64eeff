//! Transactions that are committed and whose participants are being told.
//!
//! Their rows are locked a moment longer than their clients know. Waiting for such a lock is no
//! harm, but a statement that does not wait (NOWAIT, SKIP LOCKED) would see a lock of a
//! transaction that has ended: it goes after [`Finishing::settled`].

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

/// Participants that do not answer are not waited for any longer.
const PATIENCE: Duration = Duration::from_secs(1);

/// How many there are.
#[derive(Clone, Debug)]
pub struct Finishing(Arc<watch::Sender<usize>>);

/// One of them, until it is dropped.
#[derive(Debug)]
pub struct UnderWay(Arc<watch::Sender<usize>>);

impl Default for Finishing {
    fn default() -> Self {
        Self(Arc::new(watch::Sender::new(0)))
    }
}

impl Finishing {
    pub fn enter(&self) -> UnderWay {
        self.0.send_modify(|count| *count += 1);
        UnderWay(self.0.clone())
    }

    /// Returns when none is under way, or when one takes too long.
    pub async fn settled(&self) {
        let mut count = self.0.subscribe();
        let none = count.wait_for(|count| *count == 0);
        if tokio::time::timeout(PATIENCE, none).await.is_err() {
            tracing::debug!("participants of a committed transaction are slow to answer");
        }
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.send_modify(|count| *count = count.saturating_sub(1));
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
        drop(second);
        settled.await;
    }
}
