//! Carries out the effects of one move.

use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use satsuma_common::{
    Epoch, Generation, Lsn, MoveId, NodeId, ShardId, SqlError, SqlResult, SqlState,
};
use satsuma_proto::copy::{CopyAction, CopyReply, CopyRequest, ShardSum, Watermark};
use satsuma_proto::worker::{ShardAction, Worker};

use super::step::{Effect, Event, Step};
use crate::catalog::{Command, Move, MoveKind, MovePhase};
use crate::cluster::Cluster;

/// How long transactions that are on the group may take to end while others wait.
const HOLD: Duration = Duration::from_millis(100);
/// Longest wait for an answer to a short step.
const PATIENCE: Duration = Duration::from_secs(20);
/// Reading every row of a group twice, or waiting for its readers to end.
const LONG_PATIENCE: Duration = Duration::from_secs(3600);
/// Records of the source's log that the rest of a move may have to look through.
const CLOSE_RECORDS: u64 = 2000;
/// Chunks between two looks at whether the move is still wanted.
const CHUNKS: usize = 64;
/// While the source serves, statements get as much time as the chunk before took, but no more.
const LONGEST_REST: Duration = Duration::from_millis(100);

/// After a step that failed, doubled with each that fails after it.
const FIRST_REST: Duration = Duration::from_millis(200);
const MOST_DOUBLINGS: u32 = 3;

/// One move under way.
struct Drive {
    cluster: Arc<Cluster>,
    movement: Move,
    /// The source's log at the hold.
    held_at: Lsn,
    shards: Vec<ShardId>,
    watermark: Watermark,
    reason: Option<String>,
    /// Steps that failed since the last one that did not.
    failures: u32,
}

/// Drives the move until it is over or somebody else drives it.
pub async fn drive(cluster: Arc<Cluster>, id: MoveId) {
    let Some(movement) = cluster.catalog.snapshot().movement(id).cloned() else { return };
    let (mut step, mut effect) = Step::start(movement.kind);
    let mut drive = Drive {
        cluster,
        movement,
        held_at: Lsn(0),
        shards: Vec::new(),
        watermark: Watermark::default(),
        reason: None,
        failures: 0,
    };
    while effect != Effect::Stop {
        let event = if step.may_cancel() && drive.is_cancelled() {
            drive.reason = Some("canceled by a user".into());
            Event::Cancelled
        } else {
            match drive.carry_out(effect).await {
                Ok(event) => event,
                Err(error) => drive.explain(effect, &error),
            }
        };
        (step, effect) = step.next(event);
        match event {
            Event::Failed => {
                tokio::time::sleep(FIRST_REST * (1 << drive.failures.min(MOST_DOUBLINGS))).await;
                drive.failures += 1;
            }
            Event::Resumed(_) => {}
            _ => drive.failures = 0,
        }
    }
}

impl Drive {
    fn is_cancelled(&self) -> bool {
        let state = self.cluster.catalog.snapshot();
        state.movement(self.movement.id).is_some_and(|movement| movement.is_cancelled)
    }

    fn explain(&mut self, effect: Effect, error: &SqlError) -> Event {
        let Move { id, group, source, target, .. } = &self.movement;
        let state = error.state();
        if effect == Effect::Hold && state == SqlState::LOCK_NOT_AVAILABLE {
            return Event::Busy;
        }
        let is_new = self.reason.as_deref() != Some(error.message());
        if is_new {
            tracing::warn!(movement = %id, %group, %source, %target, ?effect, %error, "step of a move failed");
        } else {
            tracing::debug!(movement = %id, ?effect, %error, "step of a move failed again");
        }
        self.reason = Some(error.message().to_owned());
        Event::Failed
    }

    async fn carry_out(&mut self, effect: Effect) -> SqlResult<Event> {
        match effect {
            Effect::Begin => {
                let generation = self.generation()?;
                self.ask(self.movement.target, CopyAction::Begin { generation }).await?;
            }
            Effect::Open => {
                let reply = self.long(self.movement.source, CopyAction::Open).await?;
                self.shards = reply.shards;
            }
            Effect::Transfer => {
                for _ in 0..CHUNKS {
                    let started = Instant::now();
                    let (sent, reply) = self.send_chunk().await?;
                    // Nothing to send is not yet the end: what follows may be of other groups.
                    let behind = reply.end.0.saturating_sub(reply.position.0);
                    if !sent && behind <= CLOSE_RECORDS {
                        return Ok(Event::CaughtUp);
                    }
                    tokio::time::sleep(started.elapsed().min(LONGEST_REST)).await;
                }
            }
            Effect::Verify => self.verify().await?,
            Effect::Hold => {
                let hold = CopyAction::Hold { timeout: HOLD };
                self.held_at = self.ask(self.movement.source, hold).await?.end;
            }
            Effect::Drain => self.send_upto(self.held_at).await?,
            Effect::Fence => {
                let generation = Generation(self.generation()?.0 + 1);
                let leaving = self.movement.kind == MoveKind::Move;
                let fence = CopyAction::Fence { generation, leaving };
                self.watermark = self.ask(self.movement.source, fence).await?.watermark;
            }
            Effect::Inform => {
                let generation = Generation(self.generation()?.0 + 1);
                let others = [self.movement.source, self.movement.target];
                self.tell_generation(generation, &others).await?;
            }
            Effect::Activate => self.activate().await?,
            Effect::Advance(phase) => return self.advance(phase).await,
            Effect::Release => {
                self.ask(self.movement.source, CopyAction::Release).await?;
            }
            Effect::DropSource => {
                let generation = self.generation()?;
                self.long(self.movement.source, CopyAction::Drop { generation }).await?;
            }
            Effect::DropTarget => {
                let generation = self.generation()?;
                self.long(self.movement.target, CopyAction::Drop { generation }).await?;
            }
            Effect::Pause(number) => {
                let millis = 50u64 << number.min(5);
                tokio::time::sleep(Duration::from_millis(millis)).await;
            }
            Effect::Resume => return self.resume().await,
            Effect::Settle => {
                let generation = self.generation()?;
                self.tell_generation(generation, &[]).await?;
            }
            Effect::Stop => {}
        }
        Ok(Event::Done)
    }

    /// Takes the move over from whoever drove it.
    async fn resume(&mut self) -> SqlResult<Event> {
        let id = self.movement.id;
        let catalog = &self.cluster.catalog;
        catalog.propose(Command::ResumeMove { id }).await?;
        let state = catalog.snapshot();
        match state.movement(id) {
            Some(movement) => {
                self.movement = movement.clone();
                Ok(Event::Resumed(movement.phase))
            }
            None => Ok(Event::Replaced),
        }
    }

    async fn advance(&mut self, phase: MovePhase) -> SqlResult<Event> {
        let Move { id, attempt, .. } = self.movement;
        let command = Command::AdvanceMove {
            id,
            attempt,
            phase,
            shards: self.shards.clone(),
            reason: self.reason.clone().filter(|_| phase == MovePhase::Aborted),
        };
        let advanced = self.cluster.catalog.propose(command).await;
        let state = self.cluster.catalog.snapshot();
        match (advanced, state.movement(id)) {
            (_, None) => Ok(Event::Replaced),
            (_, Some(movement)) if movement.attempt != attempt => Ok(Event::Replaced),
            (Ok(_), Some(movement)) => {
                self.movement = movement.clone();
                let Move { group, source, target, .. } = movement;
                tracing::info!(movement = %id, %group, %source, %target, ?phase, "move");
                Ok(Event::Done)
            }
            (Err(error), Some(_)) => Err(error),
        }
    }

    /// The group's generation in the catalog.
    fn generation(&self) -> SqlResult<Generation> {
        let state = self.cluster.catalog.snapshot();
        let group = state.group(self.movement.group).ok_or_else(gone)?;
        Ok(group.generation)
    }

    /// One chunk from the source to the target: whether there was one, and how far the log is read.
    async fn send_chunk(&mut self) -> SqlResult<(bool, CopyReply)> {
        let mut reply = self.ask(self.movement.source, CopyAction::Next).await?;
        self.shards = std::mem::take(&mut reply.shards);
        let chunk = std::mem::replace(&mut reply.chunk, Bytes::new());
        if chunk.is_empty() {
            return Ok((false, reply));
        }
        self.ask(self.movement.target, CopyAction::Write { chunk }).await?;
        Ok((true, reply))
    }

    /// Sends everything up to a record of the source's log.
    async fn send_upto(&mut self, upto: Lsn) -> SqlResult<()> {
        loop {
            let (sent, reply) = self.send_chunk().await?;
            if !sent && reply.position >= upto {
                return Ok(());
            }
        }
    }

    /// Both sides hold the same rows at a snapshot that both have.
    async fn verify(&mut self) -> SqlResult<()> {
        let snapshot = self.cluster.oracle.timestamp().await?;
        let sum = CopyAction::Checksum { snapshot };
        let at_source = self.long(self.movement.source, sum.clone()).await?.sums;
        // What the snapshot sees is in the source's log by now.
        let (mut sent, reply) = self.send_chunk().await?;
        while sent {
            sent = self.send_chunk().await?.0;
        }
        self.send_upto(reply.end).await?;
        let at_target = self.long(self.movement.target, sum).await?.sums;
        let missing = |one: &&ShardSum| !at_target.contains(one);
        match at_source.iter().find(missing) {
            None => Ok(()),
            Some(one) => Err(SqlError::new(
                SqlState::DATA_CORRUPTED,
                format!("the copy of shard {} differs from its source", one.shard.0),
            )),
        }
    }

    async fn activate(&mut self) -> SqlResult<()> {
        let state = self.cluster.catalog.read().await?;
        let group = state.group(self.movement.group).ok_or_else(gone)?;
        let shards = state.shards_in(group.id);
        let shapes = state
            .tables_in(group.colocation)
            .map(|table| satsuma_common::table::TableShape::clone(&table.shape))
            .collect();
        let leaves = self.movement.kind == MoveKind::Move && group.primary == self.movement.source;
        let activate = CopyAction::Activate {
            generation: Generation(group.generation.0 + 1),
            epoch: Epoch(group.epoch.0 + u64::from(leaves)),
            watermark: self.watermark,
            shapes,
            shards,
        };
        self.ask(self.movement.target, activate).await.map(drop)
    }

    /// Tells a generation of the group to every placement that serves it, but for some.
    async fn tell_generation(&self, generation: Generation, except: &[NodeId]) -> SqlResult<()> {
        let state = self.cluster.catalog.snapshot();
        let group = state.group(self.movement.group).ok_or_else(gone)?;
        for node in group.finalized().filter(|node| !except.contains(node)) {
            let epoch = group.epoch;
            let action = ShardAction::SetGeneration { group: group.id, generation, epoch };
            let told = self.worker(node)?;
            within(PATIENCE, told.shards(action)).await?;
        }
        Ok(())
    }

    fn worker(&self, node: NodeId) -> SqlResult<Arc<dyn Worker>> {
        let state = self.cluster.catalog.snapshot();
        let node = state.node(node).ok_or_else(gone)?;
        self.cluster.workers.any_client(node)
    }

    async fn ask(&self, node: NodeId, action: CopyAction) -> SqlResult<CopyReply> {
        self.ask_within(PATIENCE, node, action).await
    }

    async fn long(&self, node: NodeId, action: CopyAction) -> SqlResult<CopyReply> {
        self.ask_within(LONG_PATIENCE, node, action).await
    }

    async fn ask_within(
        &self,
        patience: Duration,
        node: NodeId,
        action: CopyAction,
    ) -> SqlResult<CopyReply> {
        let Move { id, group, attempt, .. } = self.movement;
        let request = CopyRequest { group, movement: id, attempt, action };
        let worker = self.worker(node)?;
        within(patience, worker.copy(request)).await
    }
}

async fn within<T>(patience: Duration, answer: impl Future<Output = SqlResult<T>>) -> SqlResult<T> {
    tokio::time::timeout(patience, answer).await.unwrap_or_else(|_| {
        Err(SqlError::new(SqlState::CONNECTION_FAILURE, "a worker did not answer in time"))
    })
}

fn gone() -> SqlError {
    SqlError::new(SqlState::UNDEFINED_OBJECT, "what was to be moved is gone")
}
