//! Two-phase commit as its coordinator runs it: events in, what is to be done out. No I/O.
//!
//! ```text
//!               all prepared            decided: commit        all told
//! Preparing ------------------> Deciding --------------> Committing -----> Done (forget it)
//!     | one refused                | decided: abort
//!     +----------> Aborting <------+           \ nobody knows: Done, participants will ask
//! ```
//!
//! The decision is the first entry of the replicated log that says anything of the transaction:
//! this coordinator's, or that of a participant which asked and found nothing. Whoever comes
//! second follows it.

use std::collections::BTreeSet;

use satsuma_common::{NodeId, Timestamp};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TwoPhase {
    participants: BTreeSet<NodeId>,
    phase: Phase,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Phase {
    Preparing { waiting: BTreeSet<NodeId>, moment: Timestamp, refused: bool },
    Deciding,
    Committing { at: Timestamp, untold: BTreeSet<NodeId> },
    /// Every participant has the commit.
    Finished(Timestamp),
    Aborted,
    /// Participants will ask.
    Unknown,
}

/// What is known of the transaction's end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    Open,
    Committed(Timestamp),
    Aborted,
    Unknown,
}

/// What became of something that was to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// The participant can commit, at this moment or later.
    Prepared(NodeId, Timestamp),
    /// It cannot, or did not answer.
    Refused(NodeId),
    /// The decision that stands: the moment of the commit, or an abort.
    Decided(Option<Timestamp>),
    /// The log refused the decision and what came with it.
    Rejected,
    /// Whether the decision got into the log is not known.
    DecisionUnknown,
    /// The participant has the outcome.
    Told(NodeId),
    /// It was not reached. It will ask.
    NotTold(NodeId),
    Forgotten,
}

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    Prepare(NodeId),
    /// Log the decision to commit at this moment.
    Decide(Timestamp),
    Commit(NodeId, Timestamp),
    Abort(NodeId),
    /// Every participant has the outcome: the decision may leave the log.
    Forget,
}

impl TwoPhase {
    /// `moment` is a timestamp that no participant may commit before.
    pub fn start(participants: BTreeSet<NodeId>, moment: Timestamp) -> (Self, Vec<Effect>) {
        if participants.is_empty() {
            let machine = Self { participants, phase: Phase::Deciding };
            return (machine, vec![Effect::Decide(moment)]);
        }
        let effects = participants.iter().map(|node| Effect::Prepare(*node)).collect();
        let waiting = participants.clone();
        let phase = Phase::Preparing { waiting, moment, refused: false };
        (Self { participants, phase }, effects)
    }

    pub fn step(&mut self, event: Event) -> Vec<Effect> {
        match (&mut self.phase, event) {
            (Phase::Preparing { waiting, moment, .. }, Event::Prepared(node, at_least)) => {
                waiting.remove(&node);
                *moment = (*moment).max(at_least);
                self.prepared()
            }
            (Phase::Preparing { waiting, refused, .. }, Event::Refused(node)) => {
                waiting.remove(&node);
                *refused = true;
                self.prepared()
            }
            (Phase::Deciding, Event::Decided(Some(at))) => {
                let untold = self.participants.clone();
                let effects = untold.iter().map(|node| Effect::Commit(*node, at)).collect();
                if untold.is_empty() {
                    self.phase = Phase::Finished(at);
                    return vec![Effect::Forget];
                }
                self.phase = Phase::Committing { at, untold };
                effects
            }
            (Phase::Deciding, Event::Decided(None) | Event::Rejected) => self.abort(),
            (Phase::Deciding, Event::DecisionUnknown) => {
                self.phase = Phase::Unknown;
                Vec::new()
            }
            (Phase::Committing { at, untold }, Event::Told(node)) => {
                untold.remove(&node);
                if !untold.is_empty() {
                    return Vec::new();
                }
                self.phase = Phase::Finished(*at);
                vec![Effect::Forget]
            }
            // Answers that come late, or twice, change nothing.
            _ => Vec::new(),
        }
    }

    /// All answers are waited for, the refusals too: an answer that came after the abort would
    /// leave a prepared transaction behind.
    fn prepared(&mut self) -> Vec<Effect> {
        match &self.phase {
            Phase::Preparing { waiting, moment, refused } if waiting.is_empty() => {
                let (moment, refused) = (*moment, *refused);
                if refused {
                    return self.abort();
                }
                self.phase = Phase::Deciding;
                vec![Effect::Decide(moment)]
            }
            _ => Vec::new(),
        }
    }

    fn abort(&mut self) -> Vec<Effect> {
        self.phase = Phase::Aborted;
        self.participants.iter().map(|node| Effect::Abort(*node)).collect()
    }

    pub fn fate(&self) -> Fate {
        match self.phase {
            Phase::Preparing { .. } | Phase::Deciding => Fate::Open,
            Phase::Committing { at, .. } | Phase::Finished(at) => Fate::Committed(at),
            Phase::Aborted => Fate::Aborted,
            Phase::Unknown => Fate::Unknown,
        }
    }
}

#[cfg(test)]
#[path = "two_phase_tests.rs"]
mod tests;
