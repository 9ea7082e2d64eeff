//! Which snapshots are being read, and below which none may be read any more.
//!
//! Versions that only snapshots below the horizon could see are dropped. The horizon follows what
//! the coordinator reports, and where it is silent stays a fixed time behind the latest commit; it
//! never passes a snapshot that is being read. A read below it is refused, never wrong.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;
use satsuma_common::Timestamp;

use crate::error::{Result, StorageError};

#[derive(Clone, Debug, Default)]
pub struct Snapshots {
    inner: Arc<Mutex<Inner>>,
}

#[derive(Debug, Default)]
struct Inner {
    /// Microseconds of a [`Timestamp`].
    horizon: u64,
    /// Reads going on, by snapshot.
    held: BTreeMap<u64, usize>,
}

/// A snapshot that is being read. Dropping it ends the read.
#[derive(Debug)]
pub struct Held {
    inner: Arc<Mutex<Inner>>,
    snapshot: u64,
}

impl Snapshots {
    pub fn hold(&self, snapshot: Timestamp) -> Result<Held> {
        let mut inner = self.inner.lock();
        if snapshot.0 < inner.horizon {
            return Err(StorageError::SnapshotTooOld);
        }
        *inner.held.entry(snapshot.0).or_default() += 1;
        Ok(Held { inner: self.inner.clone(), snapshot: snapshot.0 })
    }

    /// Moves the horizon up as far as reads allow; answers with it and whether it moved.
    pub fn advance(&self, to: Timestamp) -> (Timestamp, bool) {
        let mut inner = self.inner.lock();
        let held = inner.held.keys().next().copied().unwrap_or(u64::MAX);
        let to = to.0.min(held);
        let moved = to > inner.horizon;
        inner.horizon = inner.horizon.max(to);
        (Timestamp(inner.horizon), moved)
    }

    pub fn horizon(&self) -> Timestamp {
        Timestamp(self.inner.lock().horizon)
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let mut inner = self.inner.lock();
        if let Some(count) = inner.held.get_mut(&self.snapshot) {
            *count -= 1;
            if *count == 0 {
                inner.held.remove(&self.snapshot);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_horizon_stops_at_what_is_read() {
        let snapshots = Snapshots::default();
        let (first, second) = (snapshots.hold(Timestamp(5)), snapshots.hold(Timestamp(7)));
        assert_eq!(snapshots.advance(Timestamp(10)), (Timestamp(5), true));
        assert!(matches!(snapshots.hold(Timestamp(4)), Err(StorageError::SnapshotTooOld)));
        drop(first);
        let again = snapshots.hold(Timestamp(7));
        drop(second);
        assert_eq!(snapshots.advance(Timestamp(10)), (Timestamp(7), true));
        drop(again);
        assert_eq!(snapshots.advance(Timestamp(10)), (Timestamp(10), true));
        assert_eq!(snapshots.advance(Timestamp(3)), (Timestamp(10), false));
    }
}
