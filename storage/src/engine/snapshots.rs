//! Which snapshots are being read, and below which none may be read any more.
//!
//! Versions that only snapshots below the horizon could see are dropped. The horizon follows what
//! the coordinators report, and where one of them is silent stays a fixed time behind the latest
//! commit; it never passes a snapshot that is being read. A read below it is refused, never wrong.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use satsuma_common::{NodeId, Timestamp};

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
    /// What each coordinator said last of its oldest snapshot, and when.
    reports: BTreeMap<NodeId, (u64, Instant)>,
    /// How many coordinators there are.
    coordinators: usize,
}

/// A coordinator that has said nothing for this long counts as silent.
const SILENCE: Duration = Duration::from_secs(30);

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

    pub fn report(&self, coordinator: NodeId, oldest: Timestamp, coordinators: usize) {
        let mut inner = self.inner.lock();
        inner.coordinators = coordinators.max(1);
        inner.reports.insert(coordinator, (oldest.0, Instant::now()));
    }

    /// The oldest snapshot of all coordinators; `None` while one of them is silent.
    pub fn reported(&self) -> Option<Timestamp> {
        let mut inner = self.inner.lock();
        inner.reports.retain(|_, (_, at)| at.elapsed() < SILENCE);
        let heard = inner.reports.len() >= inner.coordinators;
        let oldest = inner.reports.values().map(|(oldest, _)| *oldest).min()?;
        heard.then_some(Timestamp(oldest))
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

    #[test]
    fn the_oldest_of_all_coordinators_counts_once_all_have_spoken() {
        let snapshots = Snapshots::default();
        assert_eq!(snapshots.reported(), None);
        snapshots.report(NodeId(1), Timestamp(7), 2);
        assert_eq!(snapshots.reported(), None);
        snapshots.report(NodeId(2), Timestamp(9), 2);
        assert_eq!(snapshots.reported(), Some(Timestamp(7)));
        snapshots.report(NodeId(1), Timestamp(12), 2);
        assert_eq!(snapshots.reported(), Some(Timestamp(9)));
    }
}
