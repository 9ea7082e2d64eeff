//! A search over orders of messages, losses, repetitions and crashes: random schedules from
//! seeds, so that a failure names the one that shows it.

use std::collections::BTreeMap;

use satsuma_common::TxnId;

use super::*;
use crate::catalog::{Command, State, apply};

const RUNS: u64 = 20_000;
const STEPS: usize = 60;

/// A participant, by the rules of the worker's store: what is prepared survives a crash, what is
/// open does not, and a transaction that is not known has ended before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Participant {
    Open,
    Prepared(Timestamp),
    Committed(Timestamp),
    Aborted,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Message {
    ToParticipant(Effect),
    ToCoordinator(Event),
    /// A proposal to the log.
    ToLog { outcome: Option<Timestamp>, from: Asker },
    /// A participant's question that only looks.
    Peek(NodeId),
    /// The answer to a participant's question.
    Outcome(NodeId, Option<Timestamp>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Asker {
    Coordinator,
    Participant(NodeId),
}

struct World {
    random: u64,
    txn: TxnId,
    log: State,
    machine: Option<TwoPhase>,
    participants: BTreeMap<NodeId, Participant>,
    messages: Vec<Message>,
    /// What the client was told.
    acknowledged: Option<Timestamp>,
}

impl World {
    fn new(seed: u64) -> Self {
        let txn = TxnId { start: Timestamp(10), coordinator: NodeId(1) };
        let mut world = Self {
            random: seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1,
            txn,
            log: State::default(),
            machine: None,
            participants: BTreeMap::new(),
            messages: Vec::new(),
            acknowledged: None,
        };
        for node in 0..2 + seed % 2 {
            world.participants.insert(NodeId(node as u32 + 10), Participant::Open);
        }
        let nodes = world.participants.keys().copied().collect();
        let (machine, effects) = TwoPhase::start(nodes, Timestamp(20));
        world.machine = Some(machine);
        world.perform(effects);
        world
    }

    /// A number below `bound` (xorshift).
    fn below(&mut self, bound: usize) -> usize {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        (self.random % bound as u64) as usize
    }

    fn perform(&mut self, effects: Vec<Effect>) {
        for effect in effects {
            self.messages.push(match effect {
                Effect::Decide(at) => {
                    Message::ToLog { outcome: Some(at), from: Asker::Coordinator }
                }
                Effect::Forget => {
                    let txns = vec![self.txn];
                    let _ = apply(&mut self.log, Command::ForgetDecisions { txns });
                    continue;
                }
                other => Message::ToParticipant(other),
            });
        }
    }

    fn deliver(&mut self, message: Message) {
        match message {
            Message::ToParticipant(effect) => self.at_participant(effect),
            Message::ToCoordinator(event) => {
                let Some(machine) = &mut self.machine else { return };
                let effects = machine.step(event);
                if let Fate::Committed(at) = machine.fate() {
                    self.acknowledged = Some(at);
                }
                self.perform(effects);
            }
            Message::ToLog { outcome, from } => {
                let command = Command::Decide { txn: self.txn, outcome };
                let decided = match apply(&mut self.log, command) {
                    crate::catalog::Outcome::Decided(decided) => decided,
                    other => panic!("a decision was answered with {other:?}"),
                };
                self.messages.push(match from {
                    Asker::Coordinator => Message::ToCoordinator(Event::Decided(decided)),
                    Asker::Participant(node) => Message::Outcome(node, decided),
                });
            }
            Message::Peek(node) => {
                if let Some(decided) = self.log.decisions().get(self.txn) {
                    self.messages.push(Message::Outcome(node, decided));
                } else if self.machine.is_none() {
                    let from = Asker::Participant(node);
                    self.messages.push(Message::ToLog { outcome: None, from });
                }
            }
            Message::Outcome(node, outcome) => {
                let state = self.participants.get_mut(&node).expect("a participant");
                if let Participant::Prepared(_) = state {
                    *state = outcome.map_or(Participant::Aborted, Participant::Committed);
                }
            }
        }
    }

    fn at_participant(&mut self, effect: Effect) {
        use Participant::{Aborted, Committed, Open, Prepared};
        let (node, answer) = match effect {
            Effect::Prepare(node) => {
                let state = self.participants.get_mut(&node).expect("a participant");
                match *state {
                    Open => {
                        let at = Timestamp(20 + u64::from(node.0));
                        *state = Prepared(at);
                        (node, Event::Prepared(node, at))
                    }
                    Prepared(at) => (node, Event::Prepared(node, at)),
                    Committed(_) | Aborted => (node, Event::Refused(node)),
                }
            }
            Effect::Commit(node, at) => {
                let state = self.participants.get_mut(&node).expect("a participant");
                match *state {
                    Prepared(lowest) => {
                        assert!(at >= lowest, "committed before the moment it was prepared for");
                        *state = Committed(at);
                    }
                    // Ended before: a repeated message.
                    Committed(_) | Aborted => {}
                    Open => panic!("a commit of what was never prepared"),
                }
                (node, Event::Told(node))
            }
            Effect::Abort(node) => {
                let state = self.participants.get_mut(&node).expect("a participant");
                match *state {
                    Open | Prepared(_) => *state = Aborted,
                    Committed(_) | Aborted => {}
                }
                (node, Event::Told(node))
            }
            Effect::Decide(_) | Effect::Forget => unreachable!("not for participants"),
        };
        let _ = node;
        self.messages.push(Message::ToCoordinator(answer));
    }

    fn something_happens(&mut self) {
        match self.below(20) {
            0 => self.machine = None,
            1 => {
                // A participant restarts: what was open is gone.
                let node = self.any_participant();
                let state = self.participants.get_mut(&node).expect("a participant");
                if *state == Participant::Open {
                    *state = Participant::Aborted;
                }
            }
            2 if !self.messages.is_empty() => {
                let at = self.below(self.messages.len());
                let lost = self.messages.swap_remove(at);
                // Whoever waits for the answer hears that there is none.
                let event = match lost {
                    Message::ToParticipant(Effect::Prepare(node))
                    | Message::ToCoordinator(Event::Prepared(node, _)) => Event::Refused(node),
                    Message::ToLog { from: Asker::Coordinator, .. }
                    | Message::ToCoordinator(Event::Decided(_)) => Event::DecisionUnknown,
                    Message::ToParticipant(Effect::Commit(node, _))
                    | Message::ToCoordinator(Event::Told(node)) => Event::NotTold(node),
                    _ => return,
                };
                self.messages.push(Message::ToCoordinator(event));
            }
            3 if !self.messages.is_empty() => {
                let at = self.below(self.messages.len());
                let again = self.messages[at];
                self.messages.push(again);
            }
            4 => {
                let node = self.any_participant();
                if matches!(self.participants[&node], Participant::Prepared(_)) {
                    self.messages.push(Message::Peek(node));
                }
            }
            5 => {
                // Patience is over: the question decides.
                let node = self.any_participant();
                if matches!(self.participants[&node], Participant::Prepared(_)) {
                    let from = Asker::Participant(node);
                    self.messages.push(Message::ToLog { outcome: None, from });
                }
            }
            _ if !self.messages.is_empty() => {
                let at = self.below(self.messages.len());
                let message = self.messages.swap_remove(at);
                self.deliver(message);
            }
            _ => {}
        }
    }

    fn any_participant(&mut self) -> NodeId {
        let at = self.below(self.participants.len());
        *self.participants.keys().nth(at).expect("a participant")
    }

    /// All or nothing, at one moment, and as the client was told.
    fn check(&self, seed: u64) {
        let mut moments: Vec<Timestamp> = Vec::new();
        let mut aborted = false;
        for state in self.participants.values() {
            match state {
                Participant::Committed(at) => moments.push(*at),
                Participant::Aborted => aborted = true,
                Participant::Open | Participant::Prepared(_) => {}
            }
        }
        moments.dedup();
        assert!(moments.len() <= 1, "seed {seed}: committed at {moments:?}");
        assert!(moments.is_empty() || !aborted, "seed {seed}: half of it was committed");
        if let Some(at) = self.acknowledged {
            assert!(!aborted, "seed {seed}: acknowledged and aborted");
            assert!(moments.iter().all(|moment| *moment == at), "seed {seed}: another moment");
        }
    }

    /// The network heals, and whoever is prepared asks until it knows.
    fn heal(&mut self, seed: u64) {
        for _ in 0..1000 {
            while let Some(message) = self.messages.pop() {
                self.deliver(message);
            }
            let undecided: Vec<NodeId> = self
                .participants
                .iter()
                .filter(|(_, state)| matches!(state, Participant::Prepared(_)))
                .map(|(node, _)| *node)
                .collect();
            if undecided.is_empty() {
                break;
            }
            for node in undecided {
                let from = Asker::Participant(node);
                self.messages.push(Message::ToLog { outcome: None, from });
            }
        }
        self.check(seed);
        for (node, state) in &self.participants {
            let stuck = matches!(state, Participant::Prepared(_));
            assert!(!stuck, "seed {seed}: {node} is prepared for ever");
            if self.acknowledged.is_some() {
                let committed = matches!(state, Participant::Committed(_));
                assert!(committed, "seed {seed}: {node} lost an acknowledged commit");
            }
        }
    }
}

#[test]
fn whatever_happens_all_participants_end_alike() {
    let (mut committed, mut aborted) = (0, 0);
    for seed in 0..RUNS {
        let mut world = World::new(seed);
        for _ in 0..STEPS {
            world.something_happens();
            world.check(seed);
        }
        world.heal(seed);
        match world.participants.values().next() {
            Some(Participant::Committed(_)) => committed += 1,
            _ => aborted += 1,
        }
    }
    assert!(committed > RUNS / 10 && aborted > RUNS / 10, "{committed} and {aborted}: no search");
}

#[test]
fn nothing_lost_means_committed_and_forgotten() {
    let mut world = World::new(4);
    while let Some(message) = world.messages.pop() {
        world.deliver(message);
    }
    assert!(world.participants.values().all(|state| matches!(state, Participant::Committed(_))));
    assert_eq!(world.log.decisions().iter().count(), 0, "the decision is forgotten");
}

#[test]
fn a_refusal_waits_for_the_other_answers() {
    let nodes: BTreeSet<NodeId> = [NodeId(1), NodeId(2)].into();
    let (mut machine, effects) = TwoPhase::start(nodes, Timestamp(5));
    assert_eq!(effects, [Effect::Prepare(NodeId(1)), Effect::Prepare(NodeId(2))]);
    assert_eq!(machine.step(Event::Refused(NodeId(1))), []);
    let effects = machine.step(Event::Prepared(NodeId(2), Timestamp(9)));
    assert_eq!(effects, [Effect::Abort(NodeId(1)), Effect::Abort(NodeId(2))]);
}
