//! Connections that have not proved who they are. They are counted apart from sessions: whoever
//! only opens sockets keeps nobody out. When there are too many, the oldest that has said nothing
//! makes room, or the oldest of all where all have spoken.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio_util::sync::{CancellationToken, WaitForCancellationFuture};

#[derive(Clone)]
pub struct Newcomers {
    limit: usize,
    waiting: Arc<Mutex<Waiting>>,
}

#[derive(Default)]
struct Waiting {
    next: u64,
    /// In the order of their arrival.
    by_number: BTreeMap<u64, Entry>,
}

struct Entry {
    sent_away: CancellationToken,
    has_spoken: bool,
}

impl Newcomers {
    pub fn new(limit: usize) -> Self {
        Self { limit: limit.max(1), waiting: Arc::default() }
    }

    pub fn enter(&self) -> Newcomer {
        let sent_away = CancellationToken::new();
        let entry = Entry { sent_away: sent_away.clone(), has_spoken: false };
        let mut waiting = self.waiting.lock();
        if waiting.by_number.len() >= self.limit {
            waiting.send_one_away();
        }
        let number = waiting.next;
        waiting.next += 1;
        waiting.by_number.insert(number, entry);
        drop(waiting);
        Newcomer { newcomers: self.clone(), number, sent_away }
    }
}

impl Waiting {
    fn send_one_away(&mut self) {
        let silent = self.by_number.iter().find(|(_, entry)| !entry.has_spoken);
        let number = silent.or(self.by_number.iter().next()).map(|(number, _)| *number);
        if let Some(entry) = number.and_then(|number| self.by_number.remove(&number)) {
            entry.sent_away.cancel();
        }
    }
}

/// One of them, until it is dropped.
pub struct Newcomer {
    newcomers: Newcomers,
    number: u64,
    sent_away: CancellationToken,
}

impl Newcomer {
    /// It has said who it wants to be.
    pub fn has_spoken(&self) {
        if let Some(entry) = self.newcomers.waiting.lock().by_number.get_mut(&self.number) {
            entry.has_spoken = true;
        }
    }

    /// Waits until it has to make room.
    pub fn sent_away(&self) -> WaitForCancellationFuture<'_> {
        self.sent_away.cancelled()
    }
}

impl Drop for Newcomer {
    fn drop(&mut self) {
        self.newcomers.waiting.lock().by_number.remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_silent_one_makes_room() {
        let newcomers = Newcomers::new(2);
        let (first, second) = (newcomers.enter(), newcomers.enter());
        first.has_spoken();
        let third = newcomers.enter();
        assert!(!first.sent_away.is_cancelled() && second.sent_away.is_cancelled());
        third.has_spoken();
        let fourth = newcomers.enter();
        assert!(first.sent_away.is_cancelled() && !third.sent_away.is_cancelled());
        drop(third);
        let _fifth = newcomers.enter();
        assert!(!fourth.sent_away.is_cancelled());
    }
}
