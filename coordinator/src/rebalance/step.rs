//! The protocol of a move, without the network: events in, the next effect out.
//!
//! ```text
//! Begin -> Open -> Transfer.. -> CatchingUp -> Verify -> Switching -> Transfer.. -> Hold
//!   ^                                                                   ^  busy |    |
//!   |                                                                   Pause <-/    v
//!   |  failed                     Done <- Drop <- Release <- Switched <- Activate <- Inform <- Fence <- Drain
//!   \-- Settle <- Resume
//! ```
//!
//! What fails before the fence is tried again from the start. From the fence on only the catalog
//! can tell whether the move was made: [`Effect::Resume`] asks it, and shuts the door behind an
//! answer that got lost.

use crate::catalog::{MoveKind, MovePhase};

/// Attempts after which a move is given up.
const MOST_ATTEMPTS: u32 = 6;
/// Attempts to clean up; what is left is found by the comparison with the catalog.
const MOST_CLEANUPS: u32 = 3;

/// What the driver is to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Make the target empty.
    Begin,
    /// Capture the source.
    Open,
    /// Send chunks until there is none, or for a while.
    Transfer,
    /// Compare both sides at a snapshot.
    Verify,
    /// Keep transactions off the source.
    Hold,
    /// Send what was logged before the hold.
    Drain,
    Fence,
    /// Tell the new generation to the other placements (of reference tables).
    Inform,
    Activate,
    /// Record the phase in the catalog.
    Advance(MovePhase),
    /// End the hold at the source.
    Release,
    DropSource,
    DropTarget,
    /// Wait, the longer the higher the number.
    Pause(u32),
    /// Take the next attempt, and look how far the catalog is.
    Resume,
    /// Tell the catalog's generation to the placements.
    Settle,
    /// Nothing is left to do, or somebody else does it.
    Stop,
}

/// What became of the last effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    Done,
    /// Of a transfer: there was nothing more to send.
    CaughtUp,
    /// Of a hold: transactions are on the group.
    Busy,
    Failed,
    /// Of a resumption: the phase in the catalog.
    Resumed(MovePhase),
    /// The catalog says that somebody else drives the move, or that there is none.
    Replaced,
    /// A user wants it to end; instead of carrying out the effect that was next.
    Cancelled,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    kind: MoveKind,
    last: Effect,
    then: After,
    attempts: u32,
    pauses: u32,
    cleanups: u32,
}

/// Where the way leads, where the last effect alone does not tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum After {
    Copy,
    /// Verified: a transfer leads to the hold.
    Switch,
    GiveUp,
}

impl Step {
    /// A driver that has taken over starts by asking the catalog.
    pub fn start(kind: MoveKind) -> (Self, Effect) {
        let last = Effect::Resume;
        (Self { kind, last, then: After::Copy, attempts: 0, pauses: 0, cleanups: 0 }, last)
    }

    /// Whether a user's wish to end the move is still granted.
    pub fn may_cancel(&self) -> bool {
        let switched = matches!(self.last, Effect::Advance(MovePhase::Switched))
            || self.is_cleaning()
            || matches!(self.last, Effect::Advance(MovePhase::Done | MovePhase::Aborted));
        let fenced = matches!(self.last, Effect::Fence | Effect::Inform | Effect::Activate);
        !switched && !fenced && self.then != After::GiveUp
    }

    fn is_cleaning(&self) -> bool {
        matches!(self.last, Effect::Release | Effect::DropSource | Effect::DropTarget)
    }

    pub fn next(mut self, event: Event) -> (Self, Effect) {
        let effect = match event {
            Event::Replaced => Effect::Stop,
            Event::Cancelled => {
                self.then = After::GiveUp;
                Effect::Advance(MovePhase::Aborted)
            }
            Event::Failed => self.failed(),
            Event::Busy => {
                self.pauses += 1;
                Effect::Pause(self.pauses)
            }
            Event::Resumed(phase) => self.resumed(phase),
            Event::Done | Event::CaughtUp => self.done(event),
        };
        self.last = effect;
        (self, effect)
    }

    fn done(&mut self, event: Event) -> Effect {
        match self.last {
            Effect::Begin => Effect::Open,
            Effect::Open | Effect::Pause(_) => Effect::Transfer,
            Effect::Transfer if event != Event::CaughtUp => Effect::Transfer,
            Effect::Transfer if self.then == After::Switch => Effect::Hold,
            Effect::Transfer => Effect::Advance(MovePhase::CatchingUp),
            Effect::Advance(MovePhase::CatchingUp) => Effect::Verify,
            Effect::Verify => Effect::Advance(MovePhase::Switching),
            Effect::Advance(MovePhase::Switching) => {
                self.then = After::Switch;
                Effect::Transfer
            }
            Effect::Hold => Effect::Drain,
            Effect::Drain => Effect::Fence,
            Effect::Fence => Effect::Inform,
            Effect::Inform => Effect::Activate,
            Effect::Activate => Effect::Advance(MovePhase::Switched),
            Effect::Advance(MovePhase::Switched) => Effect::Release,
            Effect::Release if self.then == After::GiveUp => Effect::DropTarget,
            Effect::Release if self.kind == MoveKind::Move => Effect::DropSource,
            Effect::Release | Effect::DropSource => Effect::Advance(MovePhase::Done),
            Effect::Advance(MovePhase::Aborted) => Effect::Settle,
            Effect::Settle if self.then == After::GiveUp => Effect::Release,
            Effect::Settle => Effect::Begin,
            Effect::Advance(MovePhase::Done | MovePhase::Copying)
            | Effect::DropTarget
            | Effect::Resume
            | Effect::Stop => Effect::Stop,
        }
    }

    fn failed(&mut self) -> Effect {
        match self.last {
            Effect::Release | Effect::DropSource | Effect::DropTarget | Effect::Settle
                if self.cleanups < MOST_CLEANUPS =>
            {
                self.cleanups += 1;
                self.last
            }
            // The comparison with the catalog finds what is left.
            Effect::Release | Effect::DropSource | Effect::DropTarget | Effect::Settle => {
                self.done(Event::Done)
            }
            Effect::Advance(MovePhase::Done) => Effect::Advance(MovePhase::Done),
            _ => {
                self.attempts += 1;
                self.cleanups = 0;
                Effect::Resume
            }
        }
    }

    fn resumed(&mut self, phase: MovePhase) -> Effect {
        match phase {
            MovePhase::Done | MovePhase::Aborted => Effect::Stop,
            MovePhase::Switched => {
                self.then = After::Copy;
                Effect::Release
            }
            _ if self.then == After::GiveUp || self.attempts >= MOST_ATTEMPTS => {
                self.then = After::GiveUp;
                Effect::Advance(MovePhase::Aborted)
            }
            _ => {
                self.then = After::Copy;
                Effect::Settle
            }
        }
    }
}
