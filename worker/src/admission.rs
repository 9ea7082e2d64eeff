//! Whether transactions may begin here yet.
//!
//! What a transaction wrote before this process started is gone, so that it must not go on and
//! commit the rest: transactions that are older than the process are refused. How old that is
//! only the cluster's clock can tell, and until a coordinator has been asked, new work waits.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use satsuma_common::{SqlError, SqlResult, SqlState};
use tokio::sync::Notify;

/// How long work waits for the clock.
const PATIENCE: Duration = Duration::from_secs(10);

#[derive(Debug, Default)]
pub(crate) struct Admission {
    closed: AtomicBool,
    opened: Notify,
}

impl Admission {
    pub fn close(&self) {
        self.closed.store(true, Ordering::Release);
    }

    pub fn open(&self) {
        self.closed.store(false, Ordering::Release);
        self.opened.notify_waiters();
    }

    /// 57P03 when no coordinator has been reached for a while.
    pub async fn pass(&self) -> SqlResult<()> {
        if !self.closed.load(Ordering::Acquire) {
            return Ok(());
        }
        let opened = async {
            loop {
                let opened = self.opened.notified();
                tokio::pin!(opened);
                opened.as_mut().enable();
                if !self.closed.load(Ordering::Acquire) {
                    return;
                }
                opened.await;
            }
        };
        tokio::time::timeout(PATIENCE, opened).await.map_err(|_| {
            SqlError::new(
                SqlState::CANNOT_CONNECT_NOW,
                "the worker has restarted and cannot reach the coordinators yet",
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn work_waits_until_the_door_is_open() {
        let admission = Admission::default();
        admission.pass().await.unwrap();
        admission.close();
        let mut waiting = Box::pin(admission.pass());
        assert!(tokio::time::timeout(Duration::from_millis(20), &mut waiting).await.is_err());
        admission.open();
        waiting.await.unwrap();
    }
}
