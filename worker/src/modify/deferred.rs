//! Checks of foreign keys that wait for the end of their transaction, or for SET CONSTRAINTS.
//!
//! ```text
//! statement --> put off --settle(statement)--> settled --commit--> forgotten
//!                  ^            | rolled back to before that statement
//!                  +------------+
//! ```
//!
//! Nothing is locked for a check before it is carried out. What it looks for is kept, not what it
//! found: rows may come and go until then. A statement that is undone takes its checks along.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;
use satsuma_common::table::{ConstraintRef, ForeignKey};
use satsuma_common::{ShardId, SqlResult, TableId, TxnId};
use satsuma_storage::WriteContext;

use super::foreign_keys::{ParentChange, References, Verifier};
use crate::local::Shared;

/// What each transaction has put off.
#[derive(Default)]
pub(crate) struct Deferred(Mutex<BTreeMap<TxnId, Outstanding>>);

struct Outstanding {
    /// Of the last statement that put anything off.
    write: WriteContext,
    /// By child shard and position of the foreign key in its table's shape.
    references: BTreeMap<(ShardId, usize), Referring>,
    removals: Vec<Removal>,
}

/// Keys that parents must have.
struct Referring {
    /// Without the keys.
    of: References,
    wanted: BTreeMap<Vec<u8>, Wanted>,
}

struct Wanted {
    /// The key in words.
    text: String,
    /// Who put it off: more than one if some have been carried out.
    marks: Vec<Mark>,
}

/// Parent rows that are gone although there are children.
struct Removal {
    key: ForeignKey,
    change: ParentChange,
    mark: Mark,
}

/// The statement that put a check off, and the one that carried it out.
#[derive(Clone, Copy)]
struct Mark {
    statement: u32,
    settled: Option<u32>,
}

/// Checks to carry out.
struct Due {
    write: WriteContext,
    references: Vec<References>,
    removals: Vec<(ForeignKey, ParentChange)>,
}

impl Mark {
    fn new(statement: u32) -> Self {
        Self { statement, settled: None }
    }

    fn is_due(&self) -> bool {
        self.settled.is_none()
    }

    fn settle(&mut self, by: u32) {
        self.settled.get_or_insert(by);
    }

    /// Forgets statements after `last`; `false` when nothing remains.
    fn undo(&mut self, last: u32) -> bool {
        self.settled = self.settled.filter(|statement| *statement <= last);
        self.statement <= last
    }
}

impl Wanted {
    fn is_due(&self) -> bool {
        self.marks.iter().any(Mark::is_due)
    }
}

fn is_named(only: Option<&[ConstraintRef]>, key: &ForeignKey) -> bool {
    only.is_none_or(|only| only.iter().any(|one| one.table == key.table && one.name == key.name))
}

impl Outstanding {
    fn new(write: WriteContext) -> Self {
        Self { write, references: BTreeMap::new(), removals: Vec::new() }
    }

    fn due(&self, only: Option<&[ConstraintRef]>) -> Due {
        let mut references = Vec::new();
        for referring in self.references.values().filter(|keys| is_named(only, &keys.of.key)) {
            let due = referring.wanted.iter().filter(|(_, wanted)| wanted.is_due());
            let wanted = due.map(|(key, wanted)| (key.clone(), wanted.text.clone())).collect();
            references.push(References { wanted, ..referring.of.clone() });
        }
        references.retain(|references| !references.wanted.is_empty());
        let removals = self.removals.iter();
        let due = removals.filter(|removal| removal.mark.is_due() && is_named(only, &removal.key));
        let removals = due.map(|removal| (removal.key.clone(), removal.change.clone())).collect();
        Due { write: self.write, references, removals }
    }

    fn settle(&mut self, only: Option<&[ConstraintRef]>, statement: u32) {
        for referring in self.references.values_mut().filter(|keys| is_named(only, &keys.of.key)) {
            let marks = referring.wanted.values_mut().flat_map(|wanted| &mut wanted.marks);
            marks.for_each(|mark| mark.settle(statement));
        }
        for removal in self.removals.iter_mut().filter(|removal| is_named(only, &removal.key)) {
            removal.mark.settle(statement);
        }
    }

    fn undo(&mut self, last: u32) {
        for referring in self.references.values_mut() {
            referring.wanted.retain(|_, wanted| {
                wanted.marks.retain_mut(|mark| mark.undo(last));
                !wanted.marks.is_empty()
            });
        }
        self.removals.retain_mut(|removal| removal.mark.undo(last));
    }
}

impl Due {
    async fn check(self, shared: &Arc<Shared>) -> SqlResult<()> {
        let verifier = Verifier { shared, write: self.write };
        for references in &self.references {
            verifier.check_late(references).await?;
        }
        for (key, change) in &self.removals {
            verifier.check_unreferenced(key, change, true).await?;
        }
        Ok(())
    }
}

impl Deferred {
    /// New rows of a child, whose parents are looked for later.
    pub(super) fn refers(
        &self,
        write: &WriteContext,
        place: (ShardId, usize),
        references: References,
    ) {
        let References { wanted, .. } = references;
        let of = References { wanted: BTreeMap::new(), ..references };
        self.with(write, |outstanding| {
            let referring = outstanding.references.entry(place);
            let referring = referring.or_insert_with(|| Referring { of, wanted: BTreeMap::new() });
            for (key, text) in wanted {
                let wanted = referring.wanted.entry(key);
                let wanted = wanted.or_insert_with(|| Wanted { text, marks: Vec::new() });
                // The first that is not carried out is the last to be undone.
                if !wanted.is_due() {
                    wanted.marks.push(Mark::new(write.statement));
                }
            }
        });
    }

    /// Parent rows that are gone, whose children must follow.
    pub(super) fn removed(&self, write: &WriteContext, key: ForeignKey, change: ParentChange) {
        let mark = Mark::new(write.statement);
        self.with(write, |outstanding| outstanding.removals.push(Removal { key, change, mark }));
    }

    fn with(&self, write: &WriteContext, change: impl FnOnce(&mut Outstanding)) {
        let mut all = self.0.lock();
        let outstanding = all.entry(write.txn).or_insert_with(|| Outstanding::new(*write));
        outstanding.write = *write;
        change(outstanding);
    }

    /// Undoes the statements after `last`.
    pub fn undo(&self, txn: TxnId, last: u32) {
        if let Some(outstanding) = self.0.lock().get_mut(&txn) {
            outstanding.undo(last);
        }
    }

    /// The transaction has come to its end.
    pub fn forget(&self, txn: TxnId) {
        self.0.lock().remove(&txn);
    }

    /// Whether a check waits that began with rows of the table.
    pub fn is_pending_on(&self, txn: TxnId, table: TableId) -> bool {
        let all = self.0.lock();
        let Some(outstanding) = all.get(&txn) else { return false };
        let mut of_table =
            outstanding.references.values().filter(|keys| keys.of.key.table == table);
        of_table.any(|keys| keys.wanted.values().any(Wanted::is_due))
            || outstanding
                .removals
                .iter()
                .any(|removal| removal.key.target == table && removal.mark.is_due())
    }

    /// Carries out what the transaction has put off, before it commits.
    pub async fn finish(&self, shared: &Arc<Shared>, txn: TxnId) -> SqlResult<()> {
        let outstanding = self.0.lock().remove(&txn);
        match outstanding {
            Some(outstanding) => outstanding.due(None).check(shared).await,
            None => Ok(()),
        }
    }

    /// Carries out what was put off for some constraints, as the statement with this number. It
    /// is kept: a savepoint before that statement may be gone back to.
    pub async fn settle(
        &self,
        shared: &Arc<Shared>,
        txn: TxnId,
        only: Option<&[ConstraintRef]>,
        statement: u32,
    ) -> SqlResult<()> {
        let due = self.0.lock().get(&txn).map(|outstanding| outstanding.due(only));
        let Some(due) = due else { return Ok(()) };
        due.check(shared).await?;
        if let Some(outstanding) = self.0.lock().get_mut(&txn) {
            outstanding.settle(only, statement);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_goes_back_with_its_statements() {
        let mut mark = Mark::new(3);
        mark.settle(5);
        mark.settle(7);
        assert!(mark.undo(5) && !mark.is_due());
        assert!(mark.undo(4) && mark.is_due());
        assert!(!mark.undo(2));
    }
}
