//! Which snapshots this coordinator's transactions still use: workers keep no versions below.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;
use satsuma_common::Timestamp;

/// Statements that run on their own are not registered one by one: what is younger than this may
/// be in use by one of them.
const GRACE_MICROS: u64 = 30_000_000;

/// Snapshots of open transactions.
#[derive(Debug, Default)]
pub struct Snapshots(Arc<Mutex<BTreeMap<Timestamp, usize>>>);

/// Keeps a transaction's oldest snapshot readable until it is dropped.
#[derive(Debug)]
pub struct Kept {
    all: Arc<Mutex<BTreeMap<Timestamp, usize>>>,
    snapshot: Timestamp,
}

impl Snapshots {
    pub fn keep(&self, snapshot: Timestamp) -> Kept {
        *self.0.lock().entry(snapshot).or_default() += 1;
        Kept { all: self.0.clone(), snapshot }
    }

    /// When the oldest open transaction began; `now` if there is none.
    pub fn oldest_transaction(&self, now: Timestamp) -> Timestamp {
        self.0.lock().keys().next().map_or(now, |oldest| now.min(*oldest))
    }

    /// No statement will read below this, `now` being a moment of the oracle.
    pub fn oldest(&self, now: Timestamp) -> Timestamp {
        let young = Timestamp(now.0.saturating_sub(GRACE_MICROS));
        self.0.lock().keys().next().map_or(young, |oldest| young.min(*oldest))
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        let mut all = self.all.lock();
        if let Some(count) = all.get_mut(&self.snapshot) {
            *count -= 1;
            if *count == 0 {
                all.remove(&self.snapshot);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_open_transaction_holds_the_rest_back() {
        let snapshots = Snapshots::default();
        let now = Timestamp(100 * GRACE_MICROS);
        assert_eq!(snapshots.oldest(now), Timestamp(99 * GRACE_MICROS));
        assert_eq!(snapshots.oldest_transaction(now), now);
        let (old, same) = (snapshots.keep(Timestamp(5)), snapshots.keep(Timestamp(5)));
        let young = snapshots.keep(now);
        assert_eq!(snapshots.oldest(now), Timestamp(5));
        assert_eq!(snapshots.oldest_transaction(now), Timestamp(5));
        drop(old);
        assert_eq!(snapshots.oldest(now), Timestamp(5));
        drop(same);
        assert_eq!(snapshots.oldest(now), Timestamp(99 * GRACE_MICROS));
        drop(young);
    }
}
