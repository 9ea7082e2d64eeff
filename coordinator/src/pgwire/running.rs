//! Work done for a client while an eye is kept on the client, the clock and the server.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::registry::CancelSlot;
use super::wire::Wire;
use crate::session_api::{Interrupt, InterruptReason};

/// A statement under way: cancel requests reach it until it is dropped.
pub struct Running {
    pub interrupt: Interrupt,
    deadline: Option<Instant>,
    slot: Arc<CancelSlot>,
    shutdown: CancellationToken,
}

impl Running {
    pub fn begin(
        interrupt: Interrupt,
        timeout: Option<std::time::Duration>,
        slot: &Arc<CancelSlot>,
        shutdown: &CancellationToken,
    ) -> Self {
        slot.begin(interrupt.clone());
        let deadline = timeout.map(|timeout| Instant::now() + timeout);
        Self { interrupt, deadline, slot: slot.clone(), shutdown: shutdown.clone() }
    }

    /// Runs `work` to its end. When the client goes away, time runs out or the server stops,
    /// the interrupt fires and `work` is expected to end by itself.
    pub async fn watch<S, T>(&self, wire: &mut Wire<S>, work: impl Future<Output = T>) -> T
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let mut work = pin!(work);
        let mut alarm = pin!(self.alarm(wire));
        let mut fired = false;
        loop {
            tokio::select! {
                biased;
                result = &mut work => return result,
                reason = &mut alarm, if !fired => {
                    self.interrupt.fire(reason);
                    fired = true;
                }
            }
        }
    }

    /// Like [`Running::watch`], but gives up `work` as soon as the interrupt fires.
    pub async fn race<S, T>(&self, wire: &mut Wire<S>, work: impl Future<Output = T>) -> Option<T>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let work = async {
            tokio::select! {
                biased;
                () = self.interrupt.wait() => None,
                result = work => Some(result),
            }
        };
        self.watch(wire, work).await
    }

    /// Resolves when the statement's time is up.
    pub async fn expired(&self) {
        match self.deadline {
            Some(deadline) => tokio::time::sleep_until(deadline).await,
            None => std::future::pending().await,
        }
    }

    async fn alarm<S>(&self, wire: &mut Wire<S>) -> InterruptReason
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        tokio::select! {
            () = wire.gone() => InterruptReason::ClientGone,
            () = self.expired() => InterruptReason::StatementTimeout,
            () = self.shutdown.cancelled() => InterruptReason::Shutdown,
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.slot.end();
    }
}
