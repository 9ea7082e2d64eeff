//! Jobs: moves that run in the background, one after another or side by side.

use super::movement;
use crate::catalog::movement::{Job, JobId, Move, MovePhase, Task, TaskState};
use crate::catalog::rejection::Rejection;
use crate::catalog::shared::Shared;
use crate::catalog::state::State;

/// Jobs that are over stay this long, counted in jobs.
const KEPT: u64 = 100;

pub(super) fn start(
    state: &mut State,
    description: String,
    started_micros: i64,
    tasks: Vec<Task>,
) -> JobId {
    let id = state.jobs.last_key_value().map_or(1, |(last, _)| last + 1);
    let jobs = state.jobs.make_mut();
    jobs.retain(|known, job| known + KEPT > id || !job.is_over());
    let job =
        Job { id, description, started_micros, finished_micros: None, is_cancelled: false, tasks };
    jobs.insert(id, Shared::new(job));
    id
}

pub(super) fn start_task(state: &mut State, id: JobId, number: usize) -> Result<(), Rejection> {
    let task = task(state, id, number)?.clone();
    if task.state != TaskState::Runnable {
        return Ok(());
    }
    let mut next = state.clone();
    let started = movement::start(&mut next, task.group, task.source, task.target, task.kind);
    let outcome = match started {
        Ok(movement) => {
            *state = next;
            (TaskState::Running, Some(movement), None)
        }
        Err(rejection) => {
            let error = satsuma_common::SqlError::from(rejection);
            (TaskState::Failed, None, Some(error.message().to_owned()))
        }
    };
    change(state, id, |job| {
        if let Some(task) = job.tasks.get_mut(number) {
            (task.state, task.movement, task.message) = outcome;
        }
    });
    Ok(())
}

pub(super) fn cancel(state: &mut State, id: JobId) -> Result<(), Rejection> {
    let job = state.job(id).ok_or(Rejection::Malformed("no such job"))?;
    let running: Vec<_> = job
        .tasks
        .iter()
        .filter(|task| task.state == TaskState::Running)
        .filter_map(|task| task.movement)
        .collect();
    if job.is_over() {
        return Ok(());
    }
    for movement in running {
        movement::cancel(state, movement)?;
    }
    change(state, id, |job| {
        job.is_cancelled = true;
        for task in &mut job.tasks {
            if task.state == TaskState::Runnable {
                task.state = TaskState::Cancelled;
            }
        }
    });
    Ok(())
}

pub(super) fn finish(state: &mut State, id: JobId, finished_micros: i64) {
    change(state, id, |job| {
        if job.is_over() {
            job.finished_micros.get_or_insert(finished_micros);
        }
    });
}

/// A move that is over ends the task that it belongs to.
pub(super) fn follow(state: &mut State, movement: &Move) {
    let ended = match movement.phase {
        MovePhase::Done => TaskState::Done,
        MovePhase::Aborted if movement.is_cancelled => TaskState::Cancelled,
        MovePhase::Aborted => TaskState::Failed,
        MovePhase::Copying | MovePhase::CatchingUp | MovePhase::Switching | MovePhase::Switched => {
            return;
        }
    };
    let of = |task: &Task| task.movement == Some(movement.id);
    let job = state.jobs().find(|job| job.tasks.iter().any(of)).map(|job| job.id);
    let Some(job) = job else { return };
    change(state, job, |job| {
        for task in job.tasks.iter_mut().filter(|task| of(task)) {
            task.state = ended;
            task.message = movement.reason.clone();
        }
    });
}

fn task(state: &State, id: JobId, number: usize) -> Result<&Task, Rejection> {
    let job = state.job(id).ok_or(Rejection::Malformed("no such job"))?;
    job.tasks.get(number).ok_or(Rejection::Malformed("no such task"))
}

fn change(state: &mut State, id: JobId, change: impl FnOnce(&mut Job)) {
    if let Some(job) = state.jobs.make_mut().get_mut(&id) {
        change(job.make_mut());
    }
}
