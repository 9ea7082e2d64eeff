//! Who waits for whom, over all workers: deadlocks, and what blocks a session.
//!
//! Each worker is asked at its own moment, so that edges which were never there at once may seem
//! to close a circle. Only waits that were there in two rounds count: a wait has a number of its
//! own, and a holder lets go only when it ends, so that between the rounds all of them were there
//! at the same time. Such a circle does not dissolve by itself, and nobody outside of one is
//! touched.

use std::collections::{BTreeMap, BTreeSet};

use satsuma_common::{NodeId, TxnId};
use satsuma_proto::worker::WaitEdge;

/// A wait at a worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Edge {
    pub worker: NodeId,
    pub wait: u64,
    pub waiter: TxnId,
    pub holder: TxnId,
}

impl Edge {
    pub fn of(worker: NodeId, edge: &WaitEdge) -> Self {
        Self { worker, wait: edge.wait, waiter: edge.waiter, holder: edge.holder }
    }
}

/// Who has to give way, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Victim {
    pub txn: TxnId,
    /// Waiters of the circle, each waiting for the next one and the last for the first.
    pub circle: Vec<TxnId>,
}

/// Which transaction a session is at work on, by the id that it holds its own locks as.
pub type AtWork = BTreeMap<TxnId, TxnId>;

/// The youngest transaction of every circle that was there in both rounds.
pub fn deadlocks(before: &BTreeSet<Edge>, now: &BTreeSet<Edge>, at_work: &AtWork) -> Vec<Victim> {
    let mut waits: BTreeMap<TxnId, BTreeSet<TxnId>> = BTreeMap::new();
    for edge in now.intersection(before) {
        let holder = at_work.get(&edge.holder).copied().unwrap_or(edge.holder);
        if holder != edge.waiter {
            waits.entry(edge.waiter).or_default().insert(holder);
        }
    }
    let mut victims = Vec::new();
    while let Some(circle) = circle(&waits) {
        let Some(txn) = circle.iter().max().copied() else { break };
        waits.remove(&txn);
        victims.push(Victim { txn, circle });
    }
    victims
}

fn circle(waits: &BTreeMap<TxnId, BTreeSet<TxnId>>) -> Option<Vec<TxnId>> {
    // Whatever was reached before and led to no circle leads to none later.
    let mut barren: BTreeSet<TxnId> = BTreeSet::new();
    for start in waits.keys() {
        let mut path: Vec<TxnId> = vec![*start];
        let mut open: Vec<Vec<TxnId>> = vec![holders(waits, *start)];
        while let Some(next) = open.last_mut() {
            match next.pop() {
                Some(txn) => {
                    if let Some(at) = path.iter().position(|on_path| *on_path == txn) {
                        return Some(path.split_off(at));
                    }
                    if !barren.contains(&txn) {
                        path.push(txn);
                        open.push(holders(waits, txn));
                    }
                }
                None => {
                    open.pop();
                    barren.extend(path.pop());
                }
            }
        }
    }
    None
}

fn holders(waits: &BTreeMap<TxnId, BTreeSet<TxnId>>, txn: TxnId) -> Vec<TxnId> {
    waits.get(&txn).into_iter().flatten().copied().collect()
}

#[cfg(test)]
mod tests {
    use satsuma_common::Timestamp;

    use super::*;

    fn txn(n: u64) -> TxnId {
        TxnId { start: Timestamp(n), coordinator: NodeId(1) }
    }

    fn edges(list: &[(u32, u64, u64, u64)]) -> BTreeSet<Edge> {
        list.iter()
            .map(|(worker, wait, waiter, holder)| Edge {
                worker: NodeId(*worker),
                wait: *wait,
                waiter: txn(*waiter),
                holder: txn(*holder),
            })
            .collect()
    }

    fn victims(before: &[(u32, u64, u64, u64)], now: &[(u32, u64, u64, u64)]) -> Vec<u64> {
        let found = deadlocks(&edges(before), &edges(now), &AtWork::new());
        found.into_iter().map(|victim| victim.txn.start.0).collect()
    }

    #[test]
    fn the_youngest_of_a_circle_over_workers_gives_way() {
        let circle = [(1, 7, 1, 2), (2, 3, 2, 3), (3, 9, 3, 1)];
        assert_eq!(victims(&circle, &circle), [3]);
        // Whoever waits for the circle is not part of it, however young.
        let mut with_bystander = circle.to_vec();
        with_bystander.push((1, 8, 99, 1));
        assert_eq!(victims(&with_bystander, &with_bystander), [3]);
    }

    #[test]
    fn waits_that_were_not_there_together_close_no_circle() {
        let circle = [(1, 7, 1, 2), (2, 3, 2, 1)];
        assert_eq!(victims(&circle[..1], &circle), [0u64; 0]);
        // The same two, but in between the second was let in and waits anew.
        assert_eq!(victims(&circle, &[(1, 7, 1, 2), (2, 4, 2, 1)]), [0u64; 0]);
    }

    #[test]
    fn each_circle_loses_one() {
        let two = [(1, 1, 1, 2), (1, 2, 2, 1), (2, 1, 11, 12), (2, 2, 12, 11)];
        let mut found = victims(&two, &two);
        found.sort_unstable();
        assert_eq!(found, [2, 12]);
        // One victim may break two circles.
        let shared = [(1, 1, 1, 9), (1, 2, 2, 9), (2, 1, 9, 1), (2, 2, 9, 2)];
        assert_eq!(victims(&shared, &shared), [9]);
    }

    #[test]
    fn a_sessions_own_lock_is_held_by_what_it_is_at_work_on() {
        let waits = edges(&[(1, 1, 5, 100), (2, 1, 6, 5)]);
        assert!(deadlocks(&waits, &waits, &AtWork::new()).is_empty());
        let at_work = AtWork::from([(txn(100), txn(6))]);
        assert_eq!(deadlocks(&waits, &waits, &at_work)[0].txn, txn(6));
        // Waiting for one's own session is no wait.
        let own = edges(&[(1, 1, 6, 100)]);
        assert!(deadlocks(&own, &own, &at_work).is_empty());
    }
}
