//! What the coordinators' leader does about moves: it drives those that are under way, starts
//! those of jobs, and looks after workers that differ from the catalog. A coordinator that stops
//! leading stops doing so at once; its drivers' next steps are refused anyway.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use satsuma_common::table::TableShape;
use satsuma_common::{ColocationId, MoveId, NodeId, SqlError, SqlResult, SqlState, TableId, TxnId};
use satsuma_proto::worker::{ShardAction, Worker};
use tokio::task::{AbortHandle, JoinSet};

use super::drive;
use super::reconcile::{Fix, compare};
use super::strays::{Strays, known_shards};
use crate::catalog::{Command, Job, JobId, Move, MoveKind, MovePhase, Outcome, State, TaskState};
use crate::cluster::Cluster;
use crate::{leftovers, membership};

/// How often to look when nothing in the catalog changes.
const TURN: Duration = Duration::from_secs(1);
/// Workers are compared with the catalog once in so many turns.
const COMPARE_EVERY: u32 = 2;
/// Moves that one node takes part in at the same time, as in Citus: each of them takes from the
/// time of the statements there.
pub const MOVES_PER_NODE: usize = 1;

/// Runs until dropped.
pub async fn run(cluster: Arc<Cluster>) {
    let mut versions = cluster.catalog.versions();
    let mut leadership = cluster.catalog.watch_leadership();
    let mut drivers = Drivers::default();
    let mut suspects: BTreeSet<(NodeId, Fix)> = BTreeSet::new();
    let mut strays = Strays::default();
    let mut turn = 0u32;
    loop {
        let is_turn = tokio::select! {
            () = tokio::time::sleep(TURN) => true,
            changed = versions.changed() => { if changed.is_err() { return } false }
            changed = leadership.changed() => { if changed.is_err() { return } false }
        };
        if !cluster.catalog.leadership().is_self {
            drivers = Drivers::default();
            suspects.clear();
            strays.clear();
            continue;
        }
        let state = cluster.catalog.snapshot();
        drivers.follow(&cluster, &state);
        run_jobs(&cluster, &state).await;
        if is_turn {
            turn = turn.wrapping_add(1);
            if turn.is_multiple_of(COMPARE_EVERY) {
                suspects = reconcile(&cluster, &suspects, &mut strays).await;
                cluster.set_strays(!strays.is_empty());
            }
        }
    }
}

/// Drivers of moves; they stop when this is dropped.
#[derive(Default)]
struct Drivers {
    tasks: JoinSet<MoveId>,
    running: BTreeMap<MoveId, AbortHandle>,
}

impl Drivers {
    /// Starts a driver for each move that has none.
    fn follow(&mut self, cluster: &Arc<Cluster>, state: &State) {
        while let Some(ended) = self.tasks.try_join_next() {
            match ended {
                Ok(id) => drop(self.running.remove(&id)),
                // A driver that failed is started again.
                Err(_) => self.running.retain(|_, handle| !handle.is_finished()),
            }
        }
        for movement in state.moves().filter(|movement| !movement.phase.is_over()) {
            let id = movement.id;
            if self.running.contains_key(&id) {
                continue;
            }
            let cluster = cluster.clone();
            let handle = self.tasks.spawn(async move {
                drive::drive(cluster, id).await;
                id
            });
            self.running.insert(id, handle);
        }
    }
}

/// Starts what can start, and tells when jobs are over.
async fn run_jobs(cluster: &Arc<Cluster>, state: &State) {
    for job in state.jobs().filter(|job| job.finished_micros.is_none()) {
        let command = if job.is_over() {
            let finished_micros = crate::clock::now_micros();
            Some(Command::FinishJob { job: job.id, finished_micros })
        } else {
            next_task(state, job).map(|task| Command::StartTask { job: job.id, task })
        };
        if let Some(command) = command
            && let Err(error) = cluster.catalog.propose(command).await
        {
            tracing::warn!(job = job.id, %error, "a job does not go on");
        }
    }
}

/// The next task of a job that the nodes have room for. Copies of reference tables come before
/// moves: rows that refer to them must not be where they are not.
pub(super) fn next_task(state: &State, job: &Job) -> Option<usize> {
    if job.is_cancelled {
        return None;
    }
    let under_way: Vec<&Move> = state.moves().filter(|m| !m.phase.is_over()).collect();
    let busy = |node: NodeId| {
        let takes_part = |m: &&&Move| m.source == node || m.target == node;
        under_way.iter().filter(takes_part).count() >= MOVES_PER_NODE
    };
    let waits_for_copy = |target: NodeId| {
        job.tasks.iter().any(|task| {
            task.kind == MoveKind::Copy
                && task.target == target
                && matches!(task.state, TaskState::Runnable | TaskState::Running)
        })
    };
    job.tasks.iter().position(|task| {
        let free = !busy(task.source)
            && !busy(task.target)
            && under_way.iter().all(|movement| movement.group != task.group);
        let ready = task.kind == MoveKind::Copy || !waits_for_copy(task.target);
        task.state == TaskState::Runnable && free && ready
    })
}

/// Compares every worker with the catalog. What would destroy something is done only when it is
/// found twice.
async fn reconcile(
    cluster: &Arc<Cluster>,
    suspects: &BTreeSet<(NodeId, Fix)>,
    strays: &mut Strays,
) -> BTreeSet<(NodeId, Fix)> {
    let mut found = BTreeSet::new();
    let nodes: Vec<_> = cluster.catalog.snapshot().workers().cloned().collect();
    for node in nodes.into_iter().filter(|node| node.is_active) {
        let Ok(worker) = cluster.workers.client(&node) else { continue };
        let listed = tokio::time::timeout(TURN, worker.shards(ShardAction::List)).await;
        let Ok(Ok(reply)) = listed else { continue };
        let Ok(now) = cluster.oracle.timestamp().await else { return found };
        // After the answer: what the worker did before it is in the catalog by now, or moving.
        let Ok(state) = cluster.catalog.read().await else { return found };
        // Where the coordinators are now; a worker writes it down when it has changed. Another
        // worker that answers at this one's address refuses: what it has is none of this node's.
        if let Err(error) = worker.join(membership::membership(&state, node.id)).await {
            tracing::warn!(node = %node.id, %error, "a worker was not told of the coordinators");
            continue;
        }
        let unneeded = strays.found(&state, &known_shards(&state), node.id, &reply.shards, now);
        if !unneeded.is_empty() {
            tracing::info!(node = %node.id, count = unneeded.len(), "drop shards that are no table's");
            let drop_them = ShardAction::Drop { node: node.id, shards: unneeded };
            let dropped = match worker.shards(drop_them).await {
                // They may have been to replace others, which are written to again from now on.
                Ok(_) => leftovers::restore_shapes_at(cluster, &state, &node).await,
                Err(error) => Err(error),
            };
            if let Err(error) = dropped {
                tracing::warn!(node = %node.id, %error, "shards of no table stay for now");
            }
        }
        for fix in compare(&state, node.id, &reply.shards) {
            let is_sure = suspects.contains(&(node.id, fix.clone()));
            let done = match &fix {
                Fix::Tell { group, generation, epoch } => {
                    let (group, generation, epoch) = (*group, *generation, *epoch);
                    let tell = ShardAction::SetGeneration { group, generation, epoch };
                    worker.shards(tell).await.map(drop)
                }
                Fix::Raise { group, above } if is_sure => {
                    let raise = Command::RaiseGeneration { group: *group, above: *above };
                    cluster.catalog.propose(raise).await.map(drop)
                }
                Fix::Drop { group, shards } if is_sure => {
                    tracing::info!(node = %node.id, %group, "drop shards that were left behind");
                    let drop_them = ShardAction::Drop { node: node.id, shards: shards.clone() };
                    worker.shards(drop_them).await.map(drop)
                }
                Fix::Restore { table, by } if is_sure => {
                    restore(cluster, &worker, *table, *by).await
                }
                Fix::Raise { .. } | Fix::Drop { .. } | Fix::Restore { .. } => Ok(()),
            };
            if let Err(error) = done {
                tracing::warn!(node = %node.id, ?fix, %error, "a worker differs from the catalog");
            }
            found.insert((node.id, fix));
        }
    }
    found
}

/// Tells a worker the shape that the catalog has, once nobody is at work on another one.
async fn restore(
    cluster: &Cluster,
    worker: &Arc<dyn Worker>,
    table: TableId,
    by: TxnId,
) -> SqlResult<()> {
    if cluster.is_at_work(by).await {
        return Ok(());
    }
    // What it has committed is in here.
    let state = cluster.catalog.read().await?;
    let Some(table) = state.table(table) else { return Ok(()) };
    let shape = TableShape::clone(&table.shape);
    worker.shards(ShardAction::Restore { shape }).await.map(drop)
}

/// Tells every worker the generations that it should know. Statements find out by themselves, but
/// wait until this has happened.
pub async fn settle(cluster: &Cluster, colocation: ColocationId) {
    let state = cluster.catalog.snapshot();
    let groups = state.groups().filter(|group| group.colocation == colocation);
    for group in groups {
        for node in group.finalized().filter_map(|node| state.node(node)) {
            let (generation, epoch) = (group.generation, group.epoch);
            let tell = ShardAction::SetGeneration { group: group.id, generation, epoch };
            let told = match cluster.workers.client(node) {
                Ok(worker) => worker.shards(tell).await.map(drop),
                Err(error) => Err(error),
            };
            if let Err(error) = told {
                tracing::warn!(node = %node.id, %error, "a worker was not told of a placement");
            }
        }
    }
}

/// Starts a move; it goes on by itself.
pub async fn start_move(cluster: &Cluster, command: Command) -> SqlResult<MoveId> {
    match cluster.catalog.propose(command).await? {
        Outcome::Move(id) => Ok(id),
        _ => Err(SqlError::internal("the catalog did not answer with a move")),
    }
}

/// Waits until a move is over; an error when it was given up.
pub async fn wait_for_move(cluster: &Cluster, id: MoveId) -> SqlResult<()> {
    let mut versions = cluster.catalog.versions();
    loop {
        versions.borrow_and_update();
        let state = cluster.catalog.snapshot();
        let Some(movement) = state.movement(id) else {
            return Err(SqlError::new(
                SqlState::UNDEFINED_OBJECT,
                "the tables were dropped while they were moved",
            ));
        };
        match movement.phase {
            MovePhase::Done => return Ok(()),
            MovePhase::Aborted => {
                let reason = movement.reason.clone().unwrap_or_default();
                let error = if movement.is_cancelled {
                    SqlError::new(SqlState::QUERY_CANCELED, "the move was canceled")
                } else {
                    SqlError::new(SqlState::CONNECTION_FAILURE, "a shard group could not be moved")
                };
                return Err(error.detail(reason));
            }
            MovePhase::Copying
            | MovePhase::CatchingUp
            | MovePhase::Switching
            | MovePhase::Switched => {}
        }
        if versions.changed().await.is_err() {
            return Err(SqlError::new(SqlState::ADMIN_SHUTDOWN, "the coordinator is stopping"));
        }
    }
}

/// Waits until a job is over.
pub async fn wait_for_job(cluster: &Cluster, id: JobId) -> SqlResult<Job> {
    let mut versions = cluster.catalog.versions();
    loop {
        versions.borrow_and_update();
        match cluster.catalog.snapshot().job(id) {
            Some(job) if job.is_over() => return Ok(job.clone()),
            Some(_) => {}
            None => {
                return Err(SqlError::new(
                    SqlState::UNDEFINED_OBJECT,
                    format!("no job found for job with jobid {id}"),
                ));
            }
        }
        if versions.changed().await.is_err() {
            return Err(SqlError::new(SqlState::ADMIN_SHUTDOWN, "the coordinator is stopping"));
        }
    }
}

/// The move that gives a node its copy of the reference tables, if it has none yet.
pub fn missing_references(state: &State, node: NodeId) -> Option<Command> {
    let colocation = state.reference_colocation()?;
    let (_, group) = colocation.groups.first()?;
    let known = state.group(*group)?;
    let missing = known.placement(node).is_none();
    missing.then_some(Command::StartMove {
        group: *group,
        source: known.primary,
        target: node,
        kind: MoveKind::Copy,
    })
}

/// Gives a node its copy of the reference tables and waits for it.
pub async fn copy_references(cluster: &Cluster, node: NodeId) -> SqlResult<()> {
    loop {
        let state = cluster.catalog.read().await?;
        let under_way = state.moves().find(|movement| {
            movement.kind == MoveKind::Copy
                && !movement.phase.is_over()
                && Some(movement.group)
                    == state.reference_colocation().map(|colocation| colocation.groups[0].1)
        });
        // One copy at a time: wait for whoever is first.
        if let Some(movement) = under_way {
            let own = movement.target == node;
            match wait_for_move(cluster, movement.id).await {
                Err(error) if own => return Err(error),
                _ => continue,
            }
        }
        let Some(copy) = missing_references(&state, node) else { return Ok(()) };
        match start_move(cluster, copy).await {
            Ok(id) => return wait_for_move(cluster, id).await,
            Err(error) if error.state() == SqlState::OBJECT_IN_USE => {}
            Err(error) => return Err(error),
        }
    }
}
