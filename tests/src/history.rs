//! Is a history of transactions one that snapshot isolation allows?
//!
//! Clients append numbers to lists, each number once, and read whole lists. What a list reads as
//! tells the order of its appends, and from that which transaction came before which:
//!
//! ```text
//! ww  T2 appended right after T1        wr  T2 read what T1 appended last
//! rw  T2 appended after what T1 read    rt  T1 was acknowledged before T2 began
//! ```
//!
//! Under snapshot isolation every circle has two rw edges in a row (Adya; Cerone and Gotsman).
//! After the idea of Elle (Kingsbury and Alvaro, VLDB 2020).

use std::collections::{BTreeMap, BTreeSet};

/// What a transaction did to a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Operation {
    Append(u32, u64),
    Read(u32, Vec<u64>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    Committed,
    Aborted,
    /// Its COMMIT was not answered.
    Unknown,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transaction {
    pub operations: Vec<Operation>,
    pub fate: Fate,
    /// Moments of one clock, before BEGIN was sent and after COMMIT was answered.
    pub began: u64,
    pub ended: u64,
}

/// What the transactions promise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    ReadCommitted,
    Snapshot,
}

/// Why a history is not allowed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Anomaly {
    /// A number that nobody appended, or twice in a list.
    Corrupt { key: u32, value: u64 },
    /// Two reads of a list that are not one the beginning of the other.
    Disagreement { key: u32 },
    /// A transaction that does not see its own append where it put it.
    Internal { transaction: usize },
    AbortedRead { transaction: usize, value: u64 },
    /// Not all of what another transaction appended to the list.
    IntermediateRead { transaction: usize, value: u64 },
    /// An acknowledged append that the last read does not have.
    Lost { key: u32, value: u64 },
    /// Transactions of a circle without two rw edges in a row.
    Circle { transactions: Vec<usize> },
}

/// The anomalies of a history. `last` are reads of all lists after everything.
pub fn check(history: &[Transaction], last: &BTreeMap<u32, Vec<u64>>, level: Level) -> Vec<Anomaly> {
    let mut found = Vec::new();
    let writers = writers(history);
    let orders = orders(history, last, &writers, &mut found);
    for (index, transaction) in history.iter().enumerate() {
        reads(index, transaction, history, &writers, &mut found);
    }
    for (key, order) in &orders {
        let known: BTreeSet<u64> = order.iter().copied().collect();
        let appended = writers.iter().filter(|((of, _), _)| of == key);
        for ((_, value), writer) in appended {
            if history[*writer].fate == Fate::Committed && !known.contains(value) {
                found.push(Anomaly::Lost { key: *key, value: *value });
            }
        }
    }
    if found.is_empty() {
        found.extend(circle(history, &orders, &writers, level));
    }
    found
}

type Writers = BTreeMap<(u32, u64), usize>;

/// Who appended what.
fn writers(history: &[Transaction]) -> Writers {
    let appends = |(index, transaction): (usize, &Transaction)| {
        let of = |operation: &Operation| match operation {
            Operation::Append(key, value) => Some(((*key, *value), index)),
            Operation::Read(..) => None,
        };
        transaction.operations.iter().filter_map(of).collect::<Vec<_>>()
    };
    history.iter().enumerate().flat_map(appends).collect()
}

/// The longest read of each list, of which all others must be beginnings.
fn orders(
    history: &[Transaction],
    last: &BTreeMap<u32, Vec<u64>>,
    writers: &Writers,
    found: &mut Vec<Anomaly>,
) -> BTreeMap<u32, Vec<u64>> {
    for (key, values) in last {
        let mut seen = BTreeSet::new();
        for value in values {
            if !seen.insert(value) || !writers.contains_key(&(*key, *value)) {
                found.push(Anomaly::Corrupt { key: *key, value: *value });
            }
        }
    }
    for transaction in history.iter().filter(|transaction| transaction.fate == Fate::Committed) {
        for operation in &transaction.operations {
            let Operation::Read(key, values) = operation else { continue };
            let longest = last.get(key).map(Vec::as_slice).unwrap_or_default();
            if !longest.starts_with(values) {
                found.push(Anomaly::Disagreement { key: *key });
            }
        }
    }
    last.clone()
}

/// What can be told from a transaction's own reads.
fn reads(
    index: usize,
    transaction: &Transaction,
    history: &[Transaction],
    writers: &Writers,
    found: &mut Vec<Anomaly>,
) {
    let mut own: BTreeMap<u32, Vec<u64>> = BTreeMap::new();
    for operation in &transaction.operations {
        match operation {
            Operation::Append(key, value) => own.entry(*key).or_default().push(*value),
            Operation::Read(key, values) => {
                let mine = own.get(key).map(Vec::as_slice).unwrap_or_default();
                if !values.ends_with(mine) {
                    found.push(Anomaly::Internal { transaction: index });
                }
                let others = &values[..values.len().saturating_sub(mine.len())];
                for value in others {
                    let writer = writers.get(&(*key, *value)).copied();
                    let Some(writer) = writer.filter(|writer| *writer != index) else { continue };
                    if history[writer].fate == Fate::Aborted {
                        let value = *value;
                        found.push(Anomaly::AbortedRead { transaction: index, value });
                    }
                }
                let Some(value) = others.last() else { continue };
                let Some(writer) = writers.get(&(*key, *value)) else { continue };
                let is_last = |operation: &&Operation| match operation {
                    Operation::Append(of, _) => of == key,
                    Operation::Read(..) => false,
                };
                let ending = history[*writer].operations.iter().rev().find(is_last);
                if *writer != index && ending != Some(&Operation::Append(*key, *value)) {
                    let value = *value;
                    found.push(Anomaly::IntermediateRead { transaction: index, value });
                }
            }
        }
    }
}

/// Edges by node; a node is a transaction, or a moment that ties those before it to those after.
struct Graph {
    /// ww, wr and rt.
    depends: Vec<BTreeSet<usize>>,
    rw: Vec<BTreeSet<usize>>,
}

fn graph(
    history: &[Transaction],
    orders: &BTreeMap<u32, Vec<u64>>,
    writers: &Writers,
    level: Level,
) -> Graph {
    let mut ends: Vec<(u64, usize)> = history
        .iter()
        .enumerate()
        .filter(|(_, transaction)| transaction.fate == Fate::Committed)
        .map(|(index, transaction)| (transaction.ended, index))
        .collect();
    ends.sort_unstable();
    let nodes = history.len() + ends.len();
    let mut graph =
        Graph { depends: vec![BTreeSet::new(); nodes], rw: vec![BTreeSet::new(); nodes] };
    let mut depends = |from: usize, to: usize| {
        if from != to {
            graph.depends[from].insert(to);
        }
    };
    for (key, order) in orders {
        for pair in order.windows(2) {
            depends(writers[&(*key, pair[0])], writers[&(*key, pair[1])]);
        }
    }
    for (index, transaction) in history.iter().enumerate() {
        if transaction.fate != Fate::Committed {
            continue;
        }
        for operation in &transaction.operations {
            let Operation::Read(key, values) = operation else { continue };
            if let Some(value) = values.last() {
                depends(writers[&(*key, *value)], index);
            }
            let order = orders.get(key).map(Vec::as_slice).unwrap_or_default();
            if let Some(next) = order.get(values.len()) {
                let writer = writers[&(*key, *next)];
                if writer != index {
                    graph.rw[index].insert(writer);
                }
            }
        }
    }
    if level == Level::Snapshot {
        let moment = |at: usize| history.len() + at;
        let mut depends = |from: usize, to: usize| {
            graph.depends[from].insert(to);
        };
        for (at, (_, index)) in ends.iter().enumerate() {
            depends(*index, moment(at));
            if at > 0 {
                depends(moment(at - 1), moment(at));
            }
        }
        for (index, transaction) in history.iter().enumerate() {
            let before = ends.partition_point(|(ended, _)| *ended < transaction.began);
            if before > 0 {
                depends(moment(before - 1), index);
            }
        }
    }
    graph
}

/// A circle that is not allowed. Each node is visited in two states: an rw edge may be taken, or
/// one has just been taken.
fn circle(
    history: &[Transaction],
    orders: &BTreeMap<u32, Vec<u64>>,
    writers: &Writers,
    level: Level,
) -> Option<Anomaly> {
    let graph = graph(history, orders, writers, level);
    let nodes = graph.depends.len();
    let next = |state: usize| -> Vec<usize> {
        let (node, after_rw) = (state / 2, state % 2 == 1);
        let depends = graph.depends[node].iter().map(|to| to * 2);
        let rw = graph.rw[node].iter().map(|to| to * 2 + 1);
        let may_take_rw = !after_rw && level == Level::Snapshot;
        depends.chain(rw.filter(|_| may_take_rw)).collect()
    };
    let mut done = vec![false; nodes * 2];
    let mut on_path = vec![false; nodes * 2];
    for start in 0..nodes * 2 {
        if done[start] {
            continue;
        }
        let mut path = vec![start];
        let mut open = vec![next(start)];
        on_path[start] = true;
        while let Some(successors) = open.last_mut() {
            match successors.pop() {
                Some(state) if on_path[state] => {
                    let at = path.iter().position(|other| *other == state).unwrap_or(0);
                    let of = path[at..].iter().map(|state| state / 2);
                    let transactions = of.filter(|node| *node < history.len()).collect();
                    return Some(Anomaly::Circle { transactions });
                }
                Some(state) if !done[state] => {
                    on_path[state] = true;
                    path.push(state);
                    open.push(next(state));
                }
                Some(_) => {}
                None => {
                    open.pop();
                    if let Some(state) = path.pop() {
                        on_path[state] = false;
                        done[state] = true;
                    }
                }
            }
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use Operation::{Append, Read};

    /// Transactions that all overlap.
    fn at_once(operations: Vec<Vec<Operation>>) -> Vec<Transaction> {
        let committed = |operations| Transaction {
            operations,
            fate: Fate::Committed,
            began: 0,
            ended: 100,
        };
        operations.into_iter().map(committed).collect()
    }

    fn lists(lists: &[(u32, &[u64])]) -> BTreeMap<u32, Vec<u64>> {
        lists.iter().map(|(key, values)| (*key, values.to_vec())).collect()
    }

    fn snapshot(history: &[Transaction], last: &[(u32, &[u64])]) -> Vec<Anomaly> {
        check(history, &lists(last), Level::Snapshot)
    }

    #[test]
    fn what_is_allowed_passes() {
        let serial = at_once(vec![
            vec![Append(1, 1), Append(2, 1)],
            vec![Read(1, vec![1]), Read(2, vec![1]), Append(1, 2)],
        ]);
        assert_eq!(snapshot(&serial, &[(1, &[1, 2]), (2, &[1])]), []);
        // Write skew: two rw edges in a row.
        let skew = at_once(vec![
            vec![Read(1, vec![]), Append(2, 1)],
            vec![Read(2, vec![]), Append(1, 1)],
        ]);
        assert_eq!(snapshot(&skew, &[(1, &[1]), (2, &[1])]), []);
        let own = at_once(vec![vec![Append(1, 1), Read(1, vec![1]), Append(1, 2)]]);
        assert_eq!(snapshot(&own, &[(1, &[1, 2])]), []);
    }

    #[test]
    fn a_torn_read_over_two_lists_is_found() {
        let torn = at_once(vec![
            vec![Append(1, 1), Append(2, 1)],
            vec![Read(1, vec![1]), Read(2, vec![])],
        ]);
        let last: &[(u32, &[u64])] = &[(1, &[1]), (2, &[1])];
        assert!(matches!(snapshot(&torn, last)[..], [Anomaly::Circle { .. }]));
        assert_eq!(check(&torn, &lists(last), Level::ReadCommitted), []);
    }

    #[test]
    fn a_lost_update_is_found() {
        // Both read the empty list, and one overwrote the other's append.
        let lost = at_once(vec![
            vec![Read(1, vec![]), Append(1, 1)],
            vec![Read(1, vec![]), Append(1, 2)],
        ]);
        assert!(matches!(snapshot(&lost, &[(1, &[1, 2])])[..], [Anomaly::Circle { .. }]));
        let overwritten = at_once(vec![vec![Append(1, 1)], vec![Append(1, 2)]]);
        assert_eq!(snapshot(&overwritten, &[(1, &[2])]), [Anomaly::Lost { key: 1, value: 1 }]);
    }

    #[test]
    fn a_long_fork_is_found() {
        let fork = at_once(vec![
            vec![Append(1, 1)],
            vec![Append(2, 1)],
            vec![Read(1, vec![1]), Read(2, vec![])],
            vec![Read(1, vec![]), Read(2, vec![1])],
        ]);
        assert!(matches!(
            snapshot(&fork, &[(1, &[1]), (2, &[1])])[..],
            [Anomaly::Circle { .. }]
        ));
    }

    #[test]
    fn a_stale_snapshot_is_found() {
        let mut stale = at_once(vec![vec![Append(1, 1)], vec![Read(1, vec![])]]);
        assert_eq!(snapshot(&stale, &[(1, &[1])]), [], "while both are under way");
        (stale[0].ended, stale[1].began) = (10, 11);
        assert!(matches!(snapshot(&stale, &[(1, &[1])])[..], [Anomaly::Circle { .. }]));
    }

    #[test]
    fn circles_of_reads_and_writes_are_found_at_read_committed_too() {
        let circular = at_once(vec![
            vec![Append(1, 1), Read(2, vec![1])],
            vec![Append(2, 1), Read(1, vec![1])],
        ]);
        let last = lists(&[(1, &[1]), (2, &[1])]);
        let found = check(&circular, &last, Level::ReadCommitted);
        assert!(matches!(found[..], [Anomaly::Circle { .. }]));
    }

    #[test]
    fn reads_of_what_never_was_are_found() {
        let mut aborted = at_once(vec![vec![Append(1, 1)], vec![Read(1, vec![1])]]);
        aborted[0].fate = Fate::Aborted;
        assert!(
            snapshot(&aborted, &[(1, &[1])])
                .contains(&Anomaly::AbortedRead { transaction: 1, value: 1 })
        );
        let half = at_once(vec![vec![Append(1, 1), Append(1, 2)], vec![Read(1, vec![1])]]);
        assert_eq!(
            snapshot(&half, &[(1, &[1, 2])]),
            [Anomaly::IntermediateRead { transaction: 1, value: 1 }]
        );
        let own = at_once(vec![vec![Append(1, 1), Read(1, vec![])]]);
        assert_eq!(snapshot(&own, &[(1, &[1])]), [Anomaly::Internal { transaction: 0 }]);
        let order = at_once(vec![
            vec![Append(1, 1)],
            vec![Append(1, 2)],
            vec![Read(1, vec![2])],
        ]);
        assert_eq!(snapshot(&order, &[(1, &[1, 2])]), [Anomaly::Disagreement { key: 1 }]);
        assert_eq!(
            snapshot(&at_once(vec![]), &[(1, &[7])]),
            [Anomaly::Corrupt { key: 1, value: 7 }]
        );
    }
}
