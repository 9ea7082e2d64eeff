//! Outcomes of transactions that span workers: the first decision stands for ever.
//!
//! A commit decision is kept until every participant has it. An abort decision is kept until the
//! horizon passes the transaction's start: behind the horizon nothing can be committed any more,
//! so that an abort which has been forgotten stays an abort.

use std::collections::BTreeMap;

use satsuma_common::{Timestamp, TxnId};
use serde::{Deserialize, Serialize};

use super::shared::Shared;

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decisions {
    outcomes: Shared<BTreeMap<TxnId, Option<Timestamp>>>,
    horizon: Timestamp,
}

impl Decisions {
    /// What was decided: `Some(Some(ts))` committed, `Some(None)` aborted, `None` nothing yet.
    pub fn get(&self, txn: TxnId) -> Option<Option<Timestamp>> {
        match self.outcomes.get(&txn) {
            Some(outcome) => Some(*outcome),
            None if txn.start < self.horizon => Some(None),
            None => None,
        }
    }

    /// Records `outcome` unless there is one, and answers with the one that stands.
    pub(super) fn decide(&mut self, txn: TxnId, outcome: Option<Timestamp>) -> Option<Timestamp> {
        if let Some(decided) = self.get(txn) {
            return decided;
        }
        self.outcomes.make_mut().insert(txn, outcome);
        outcome
    }

    /// Every participant of these transactions has their outcome.
    pub(super) fn forget(&mut self, txns: &[TxnId]) {
        let outcomes = self.outcomes.make_mut();
        for txn in txns {
            if matches!(outcomes.get(txn), Some(Some(_))) {
                outcomes.remove(txn);
            }
        }
    }

    /// Nothing that started before `horizon` and is undecided may be committed from now on.
    pub(super) fn advance_horizon(&mut self, horizon: Timestamp) {
        if horizon <= self.horizon {
            return;
        }
        self.horizon = horizon;
        self.outcomes.make_mut().retain(|txn, outcome| outcome.is_some() || txn.start >= horizon);
    }

    pub fn horizon(&self) -> Timestamp {
        self.horizon
    }

    /// Decisions on record, in the order of transactions.
    pub fn iter(&self) -> impl Iterator<Item = (TxnId, Option<Timestamp>)> + '_ {
        self.outcomes.iter().map(|(txn, outcome)| (*txn, *outcome))
    }
}
