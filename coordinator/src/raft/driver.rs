//! The thread that drives a member: it takes events, waits for the disk, and publishes.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use raft::eraftpb::Message;
use satsuma_common::NodeId;
use tokio::sync::oneshot;

use super::core::{Core, Standing};
use super::error::RaftError;
use super::handle::Published;
use super::log::Stable;
use super::peers::Peers;

/// Heartbeats are two ticks apart, elections begin after 20 to 40 without one.
pub(super) const TICK: Duration = Duration::from_millis(50);
/// Most events between two rounds: bounds what one fsync covers.
const MAX_BATCH: usize = 4096;
/// A read that is not confirmed by then is asked for again: messages may be lost.
const READ_RETRY_TICKS: u64 = 4;

/// The leader compares members and catalog once in so many ticks.
const MEMBER_TICKS: u64 = 10;

/// What happens to a member.
#[derive(Debug)]
pub(super) enum Event {
    /// An entry to propose; the answer tells whether it was taken.
    Propose(Vec<u8>, Option<oneshot::Sender<bool>>),
    Message(Box<Message>),
    /// Answered when the state is no older than this moment.
    Read(oneshot::Sender<()>),
    Unreachable(NodeId),
    SnapshotSent(NodeId, bool),
    /// Another member says that this one was removed.
    Removed,
    /// Another one shall lead.
    HandOver,
    Stop,
}

/// Reads that wait for the same confirmation.
struct PendingRead {
    asked_at: u64,
    waiting: Vec<oneshot::Sender<()>>,
}

pub(super) struct Driver<L: Stable> {
    pub core: Core<L>,
    pub events: Receiver<Event>,
    pub peers: Arc<dyn Peers>,
    pub published: Arc<Published>,
    ticks: u64,
    next_read: u64,
    reads: BTreeMap<u64, PendingRead>,
    /// Confirmed, but not applied that far yet.
    confirmed: Vec<(u64, Vec<oneshot::Sender<()>>)>,
}

impl<L: Stable> Driver<L> {
    pub fn new(
        core: Core<L>,
        events: Receiver<Event>,
        peers: Arc<dyn Peers>,
        published: Arc<Published>,
    ) -> Self {
        Self {
            core,
            events,
            peers,
            published,
            ticks: 0,
            next_read: 1,
            reads: BTreeMap::new(),
            confirmed: Vec::new(),
        }
    }

    /// Runs until told to stop, or until the disk fails.
    pub fn run(mut self) -> Result<(), RaftError> {
        let outcome = self.run_until_stopped();
        if let Err(error) = &outcome {
            tracing::error!(%error, "the catalog stops");
        }
        self.published.stopped();
        outcome
    }

    fn run_until_stopped(&mut self) -> Result<(), RaftError> {
        self.published.group(self.core.state(), self.core.group());
        let mut next_tick = Instant::now() + TICK;
        self.round()?;
        loop {
            let patience = next_tick.saturating_duration_since(Instant::now());
            match self.events.recv_timeout(patience) {
                Ok(event) => {
                    if !self.take_batch(event) {
                        return Ok(());
                    }
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return Ok(()),
            }
            let now = Instant::now();
            if now >= next_tick {
                self.core.tick();
                self.ticks += 1;
                // After a long stall one tick is enough: elections are about silence of others.
                next_tick = now + TICK;
                self.retry_reads();
                if self.ticks.is_multiple_of(MEMBER_TICKS) {
                    self.core.follow_catalog();
                }
            }
            self.round()?;
        }
    }

    /// Takes the event and what else is waiting; false to stop.
    fn take_batch(&mut self, first: Event) -> bool {
        let mut reads = Vec::new();
        let mut next = Some(first);
        for _ in 0..MAX_BATCH {
            match next.take().or_else(|| self.events.try_recv().ok()) {
                None => break,
                Some(Event::Stop) => return false,
                Some(Event::Propose(entry, answer)) => {
                    let taken = self.core.propose(entry);
                    if let Some(answer) = answer {
                        let _ = answer.send(taken);
                    }
                }
                Some(Event::Message(message)) => self.core.step(*message),
                Some(Event::Read(waiting)) => reads.push(waiting),
                Some(Event::HandOver) => self.core.hand_over(),
                Some(Event::Unreachable(node)) => self.core.report_unreachable(node),
                Some(Event::Removed) => self.published.standing(Standing::Gone),
                Some(Event::SnapshotSent(node, arrived)) => {
                    self.core.report_snapshot(node, arrived);
                }
            }
        }
        if !reads.is_empty() {
            self.ask(reads);
        }
        true
    }

    fn ask(&mut self, waiting: Vec<oneshot::Sender<()>>) {
        let context = self.next_read;
        self.next_read += 1;
        self.core.read_index(context);
        self.reads.insert(context, PendingRead { asked_at: self.ticks, waiting });
    }

    fn retry_reads(&mut self) {
        let late: Vec<u64> = self
            .reads
            .iter()
            .filter(|(_, read)| self.ticks - read.asked_at >= READ_RETRY_TICKS)
            .map(|(context, _)| *context)
            .collect();
        for context in late {
            let Some(mut read) = self.reads.remove(&context) else { continue };
            read.waiting.retain(|waiting| !waiting.is_closed());
            if !read.waiting.is_empty() {
                self.ask(read.waiting);
            }
        }
    }

    fn round(&mut self) -> Result<(), RaftError> {
        let peers = self.peers.clone();
        let before = self.core.applied();
        let progress = self.core.advance(&mut |message| peers.send(message))?;
        if self.core.applied() != before {
            self.published.state(self.core.state(), self.core.applied());
            self.published.group(self.core.state(), self.core.group());
        }
        self.published.leadership(self.core.leadership(), self.core.voters().len());
        for (request, outcome) in progress.applied {
            self.published.applied(request, outcome);
        }
        for (context, index) in progress.reads {
            if let Some(read) = self.reads.remove(&context) {
                self.confirmed.push((index, read.waiting));
            }
        }
        let applied = self.core.applied();
        for (_, waiting) in self.confirmed.extract_if(.., |(index, _)| *index <= applied) {
            for waiting in waiting {
                let _ = waiting.send(());
            }
        }
        Ok(())
    }
}
