//! Holding writers back while memory is full, and pausing the maintenance thread.

use std::time::Duration;

use parking_lot::{Condvar, Mutex};
use tokio::sync::Notify;

use crate::error::{Result, StorageError};

/// Whether writers must wait for deltas to be sealed. Deltas grow by what is logged, so that it is
/// known at every moment, however long a sealing takes, whether there is room for more.
#[derive(Debug)]
pub struct Pressure {
    inner: Mutex<Inner>,
    relieved: Notify,
}

#[derive(Debug)]
struct Inner {
    /// Writers wait when so many bytes have been logged.
    until: u64,
    failure: Option<StorageError>,
}

impl Default for Pressure {
    /// Nobody waits.
    fn default() -> Self {
        let inner = Mutex::new(Inner { until: u64::MAX, failure: None });
        Self { inner, relieved: Notify::new() }
    }
}

impl Pressure {
    /// There is room until the log, since this process has it, has more than so many bytes.
    pub fn allow(&self, until: u64) {
        self.inner.lock().until = until;
        self.relieved.notify_waiters();
    }

    pub fn has_room(&self, logged: u64) -> bool {
        logged <= self.inner.lock().until
    }

    /// What maintenance came to. While it fails, waiting would have no end.
    pub fn report(&self, result: Result<()>) {
        if let Err(error) = &result {
            tracing::error!(%error, "sealing and merging failed");
        }
        self.inner.lock().failure = result.err();
        self.relieved.notify_waiters();
    }

    /// Returns when there is room for more writes; `logged` tells the bytes of the log.
    pub async fn wait(&self, logged: impl Fn() -> u64) -> Result<()> {
        loop {
            let relieved = self.relieved.notified();
            tokio::pin!(relieved);
            relieved.as_mut().enable();
            {
                let inner = self.inner.lock();
                if logged() <= inner.until {
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
