//! Holding writers back while memory is full, and pausing the maintenance thread.

use std::time::Duration;

use parking_lot::{Condvar, Mutex};
use tokio::sync::Notify;

use crate::error::{Result, StorageError};

/// Whether writers must wait for deltas to be sealed.
#[derive(Debug, Default)]
pub struct Pressure {
    inner: Mutex<Inner>,
    relieved: Notify,
}

#[derive(Debug, Default)]
struct Inner {
    high: bool,
    failure: Option<StorageError>,
}

impl Pressure {
    pub fn set(&self, high: bool) {
        self.inner.lock().high = high;
        if !high {
            self.relieved.notify_waiters();
        }
    }

    /// What maintenance came to. While it fails, waiting would have no end.
    pub fn report(&self, result: Result<()>) {
        if let Err(error) = &result {
            tracing::error!(%error, "sealing and merging failed");
        }
        self.inner.lock().failure = result.err();
        self.relieved.notify_waiters();
    }

    /// Returns when there is room for more writes.
    pub async fn wait(&self) -> Result<()> {
        loop {
            let relieved = self.relieved.notified();
            tokio::pin!(relieved);
            relieved.as_mut().enable();
            {
                let inner = self.inner.lock();
                if !inner.high {
                    return Ok(());
                }
                if let Some(failure) = &inner.failure {
                    return Err(failure.clone());
                }
            }
            relieved.await;
        }
    }
}

/// A sleep that can be cut short.
#[derive(Debug, Default)]
pub struct Wake {
    woken: Mutex<bool>,
    signal: Condvar,
}

impl Wake {
    pub fn sleep(&self, at_most: Duration) {
        let mut woken = self.woken.lock();
        if !*woken {
            self.signal.wait_for(&mut woken, at_most);
        }
        *woken = false;
    }

    pub fn wake(&self) {
        *self.woken.lock() = true;
        self.signal.notify_one();
    }
}
