//! Handing out timestamps without a lock.

use std::sync::atomic::{AtomicU64, Ordering};

use satsuma_common::Timestamp;

/// Strictly increasing numbers, close to the clock, never above the ceiling.
#[derive(Debug, Default)]
pub(super) struct Issuer {
    last: AtomicU64,
    /// 0: not allowed to hand out any.
    ceiling: AtomicU64,
}

impl Issuer {
    /// The first of `count` timestamps that follow each other and that nobody else gets. `None`
    /// when they would pass the ceiling.
    pub fn issue(&self, now: u64, count: u32) -> Option<Timestamp> {
        let mut last = self.last.load(Ordering::Acquire);
        loop {
            let first = now.max(last.checked_add(1)?);
            let end = first.checked_add(u64::from(count.max(1)) - 1)?;
            if end > self.ceiling.load(Ordering::Acquire) {
                return None;
            }
            match self.last.compare_exchange_weak(last, end, Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) => return Some(Timestamp(first)),
                Err(other) => last = other,
            }
        }
    }

    /// Later timestamps are above `seen`.
    pub fn observe(&self, seen: Timestamp) {
        self.last.fetch_max(seen.0, Ordering::AcqRel);
    }

    pub fn last(&self) -> u64 {
        self.last.load(Ordering::Acquire)
    }

    pub fn ceiling(&self) -> u64 {
        self.ceiling.load(Ordering::Acquire)
    }

    pub fn raise(&self, ceiling: u64) {
        self.ceiling.fetch_max(ceiling, Ordering::AcqRel);
    }

    /// Hands out nothing until the ceiling is raised again.
    pub fn close(&self) {
        self.ceiling.store(0, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::sync::Arc;

    use super::*;

    #[test]
    fn timestamps_follow_the_clock_and_never_repeat() {
        let issuer = Issuer::default();
        assert_eq!(issuer.issue(100, 1), None, "closed at first");
        issuer.raise(200);
        assert_eq!(issuer.issue(100, 1), Some(Timestamp(100)));
        assert_eq!(issuer.issue(90, 1), Some(Timestamp(101)), "the clock went back");
        assert_eq!(issuer.issue(150, 10), Some(Timestamp(150)));
        assert_eq!(issuer.issue(150, 1), Some(Timestamp(160)));
        issuer.observe(Timestamp(180));
        assert_eq!(issuer.issue(150, 1), Some(Timestamp(181)));
        assert_eq!(issuer.issue(150, 20), None, "would pass the ceiling");
        issuer.close();
        assert_eq!(issuer.issue(150, 1), None);
    }

    #[test]
    fn threads_never_get_the_same() {
        let issuer = Arc::new(Issuer::default());
        issuer.raise(u64::MAX);
        let threads: Vec<_> = (0..4)
            .map(|_| {
                let issuer = issuer.clone();
                std::thread::spawn(move || {
                    (0..2000).filter_map(|_| issuer.issue(50, 1)).collect::<Vec<_>>()
                })
            })
            .collect();
        let mut all = BTreeSet::new();
        for thread in threads {
            let got = thread.join().expect("thread");
            assert!(got.windows(2).all(|pair| pair[0] < pair[1]));
            all.extend(got);
        }
        assert_eq!(all.len(), 8000);
    }
}
