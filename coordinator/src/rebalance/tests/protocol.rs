//! The protocol of a move against a small world of a source, a target and a catalog, in which
//! everything fails at random: a driver, an answer, a worker.

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use crate::catalog::{MoveKind, MovePhase};
use crate::rebalance::step::{Effect, Event, Step};

/// What the catalog knows.
#[derive(Clone, Debug)]
struct Catalog {
    phase: MovePhase,
    attempt: u64,
    generation: u64,
    target_serves: bool,
    /// Every generation that requests may name.
    given_out: Vec<u64>,
}

/// A worker's view of the group: rows are numbered writes.
#[derive(Clone, Debug, Default)]
struct Worker {
    generation: u64,
    is_fenced: bool,
    rows: Vec<u32>,
    held_by: Option<u64>,
}

struct World {
    catalog: Catalog,
    source: Worker,
    target: Worker,
    acknowledged: Vec<u32>,
    random: StdRng,
}

impl World {
    fn new(seed: u64) -> Self {
        let catalog = Catalog {
            phase: MovePhase::Copying,
            attempt: 0,
            generation: 1,
            target_serves: false,
            given_out: Vec::new(),
        };
        let source = Worker { generation: 1, ..Worker::default() };
        let (target, acknowledged) = (Worker::default(), Vec::new());
        Self { catalog, source, target, acknowledged, random: StdRng::seed_from_u64(seed) }
    }

    /// A client writes by a catalog that may be old.
    fn write(&mut self) {
        let row = self.acknowledged.len() as u32;
        let known = self.catalog.given_out.last().copied();
        if known != Some(self.catalog.generation) {
            self.catalog.given_out.push(self.catalog.generation);
        }
        let at = self.random.random_range(0..self.catalog.given_out.len());
        let generation = self.catalog.given_out[at];
        for worker in [&mut self.source, &mut self.target] {
            let serves = worker.generation == generation && !worker.is_fenced;
            if serves && worker.held_by.is_none() {
                worker.rows.push(row);
                self.acknowledged.push(row);
                return;
            }
        }
    }

    fn restart(&mut self) {
        let worker = if self.random.random() { &mut self.source } else { &mut self.target };
        worker.held_by = None;
    }

    /// Carries out an effect for the driver with this attempt.
    fn carry_out(&mut self, effect: Effect, attempt: &mut u64) -> Event {
        // A later attempt has reached the worker before.
        let fresh = *attempt == self.catalog.attempt;
        let early = self.random.random_bool(0.05);
        if early && !matches!(effect, Effect::Pause(_)) {
            return Event::Failed;
        }
        let event = match effect {
            Effect::Begin if fresh => {
                assert!(!self.catalog.target_serves, "a target that serves was emptied");
                self.target = Worker::default();
                Event::Done
            }
            Effect::Open | Effect::Verify | Effect::Inform | Effect::Pause(_) => Event::Done,
            Effect::Transfer | Effect::Drain => {
                if !fresh || self.catalog.target_serves {
                    return Event::Failed;
                }
                self.target.rows = self.source.rows.clone();
                if effect == Effect::Drain || self.random.random() {
                    Event::CaughtUp
                } else {
                    Event::Done
                }
            }
            Effect::Hold => {
                if self.random.random_bool(0.3) {
                    return Event::Busy;
                }
                self.source.held_by = Some(*attempt);
                Event::Done
            }
            Effect::Fence => {
                if self.source.held_by != Some(*attempt) {
                    return Event::Failed;
                }
                if self.catalog.generation + 1 > self.source.generation {
                    self.source.generation = self.catalog.generation + 1;
                    self.source.is_fenced = true;
                }
                Event::Done
            }
            Effect::Activate => {
                self.target.generation = self.target.generation.max(self.catalog.generation + 1);
                Event::Done
            }
            Effect::Advance(phase) => {
                if !fresh {
                    return Event::Replaced;
                }
                if !phase.may_follow(self.catalog.phase) {
                    return Event::Failed;
                }
                match phase {
                    MovePhase::Switched => {
                        self.catalog.target_serves = true;
                        self.catalog.generation += 1;
                    }
                    MovePhase::Aborted if self.catalog.phase == MovePhase::Switching => {
                        self.catalog.generation += 2;
                    }
                    _ => {}
                }
                self.catalog.phase = phase;
                Event::Done
            }
            Effect::Resume => {
                self.catalog.attempt += 1;
                *attempt = self.catalog.attempt;
                if self.catalog.phase == MovePhase::Switching {
                    self.catalog.generation += 2;
                }
                if self.catalog.phase < MovePhase::Switched {
                    self.catalog.phase = MovePhase::Copying;
                }
                // The next step to reach the source ends what earlier attempts hold.
                self.source.held_by = None;
                Event::Resumed(self.catalog.phase)
            }
            Effect::Release => {
                self.source.held_by = None;
                Event::Done
            }
            Effect::Settle => {
                let serving =
                    if self.catalog.target_serves { &mut self.target } else { &mut self.source };
                if self.catalog.generation > serving.generation {
                    serving.generation = self.catalog.generation;
                    serving.is_fenced = false;
                }
                Event::Done
            }
            Effect::DropSource => {
                assert!(self.catalog.target_serves, "the only copy was dropped");
                self.source = Worker::default();
                Event::Done
            }
            Effect::DropTarget => {
                assert!(!self.catalog.target_serves, "the only copy was dropped");
                self.target = Worker::default();
                Event::Done
            }
            Effect::Begin | Effect::Stop => Event::Failed,
        };
        // The answer gets lost although the step was made.
        if self.random.random_bool(0.05) { Event::Failed } else { event }
    }

    /// What the comparison with the catalog puts right in the end.
    fn settle(&mut self) {
        let mut nobody = self.catalog.attempt;
        while self.carry_out(Effect::Settle, &mut nobody) != Event::Done {}
    }
}

#[test]
fn whatever_fails_a_move_ends_moved_or_not_and_nothing_is_lost() {
    let (mut moved, mut stayed) = (0, 0);
    for seed in 0..3000 {
        let mut world = World::new(seed);
        let mut steps = 0;
        while !world.catalog.phase.is_over() {
            // A driver runs until it stops or dies; the next one takes over.
            let (mut step, mut effect) = Step::start(MoveKind::Move);
            let mut attempt = 0;
            while effect != Effect::Stop {
                steps += 1;
                assert!(steps < 100_000, "seed {seed} does not end at {effect:?}");
                for _ in 0..world.random.random_range(0..3) {
                    world.write();
                }
                if world.random.random_bool(0.02) {
                    world.restart();
                }
                if world.random.random_bool(0.02) {
                    break;
                }
                let cancel = step.may_cancel() && world.random.random_bool(0.01);
                let event = match cancel {
                    true => Event::Cancelled,
                    false => world.carry_out(effect, &mut attempt),
                };
                (step, effect) = step.next(event);
            }
        }
        world.settle();
        let serving = if world.catalog.target_serves { &world.target } else { &world.source };
        assert_eq!(serving.rows, world.acknowledged, "seed {seed}");
        assert_eq!(serving.generation, world.catalog.generation, "seed {seed}");
        assert!(!serving.is_fenced, "seed {seed}");
        match world.catalog.phase {
            MovePhase::Done => moved += 1,
            _ => stayed += 1,
        }
    }
    assert!(moved > 500 && stayed > 50, "{moved} moved, {stayed} stayed");
}

#[test]
fn an_undisturbed_move_takes_the_straight_way() {
    let (mut step, mut effect) = Step::start(MoveKind::Move);
    let mut way = vec![effect];
    while effect != Effect::Stop {
        let event = match effect {
            Effect::Resume => Event::Resumed(MovePhase::Copying),
            Effect::Transfer => Event::CaughtUp,
            _ => Event::Done,
        };
        (step, effect) = step.next(event);
        way.push(effect);
    }
    use Effect::*;
    assert_eq!(
        way,
        [
            Resume,
            Settle,
            Begin,
            Open,
            Transfer,
            Advance(MovePhase::CatchingUp),
            Verify,
            Advance(MovePhase::Switching),
            Transfer,
            Hold,
            Drain,
            Fence,
            Inform,
            Activate,
            Advance(MovePhase::Switched),
            Release,
            DropSource,
            Advance(MovePhase::Done),
            Stop,
        ]
    );
}
