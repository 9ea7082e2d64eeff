//! Records of shard group moves, and of jobs that consist of them: what a new leader needs to go
//! on with one.

use satsuma_common::{GroupId, MoveId, NodeId, ShardId};
use serde::{Deserialize, Serialize};

/// Steps of a move, in order.
///
/// ```text
///   Copying -> CatchingUp -> Switching -> Switched -> Done
///      ^  \________\_____________\__> Aborted
///      \____ another attempt ____/
/// ```
///
/// Until `Switched` the source serves the group; from then on the target does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum MovePhase {
    /// The target's placement exists, inactive, and is being filled.
    Copying,
    /// The target follows the source's log.
    CatchingUp,
    /// The source may have stopped serving, by way of a later generation than the catalog's.
    Switching,
    /// The target is a placement. Of a move, the source's copy is to be deleted.
    Switched,
    Done,
    /// Nothing has moved. What the target has is to be deleted.
    Aborted,
}

impl MovePhase {
    pub fn may_follow(self, before: Self) -> bool {
        matches!(
            (before, self),
            (Self::Copying, Self::CatchingUp | Self::Aborted)
                | (Self::CatchingUp, Self::Switching | Self::Aborted)
                | (Self::Switching, Self::Switched | Self::Aborted)
                | (Self::Switched, Self::Done)
        )
    }

    pub fn is_over(self) -> bool {
        matches!(self, Self::Done | Self::Aborted)
    }
}

/// What becomes of the source.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum MoveKind {
    /// It goes.
    Move,
    /// It stays: one more copy of reference tables.
    Copy,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Move {
    pub id: MoveId,
    pub group: GroupId,
    pub source: NodeId,
    pub target: NodeId,
    pub kind: MoveKind,
    pub phase: MovePhase,
    /// Whoever drives the move numbers its steps with this. A new driver takes the next number,
    /// and steps of earlier ones are refused from then on.
    pub attempt: u64,
    /// Somebody asked for it to be given up, if that is still possible.
    pub is_cancelled: bool,
    /// Why it was aborted.
    pub reason: Option<String>,
}

/// `pg_dist_background_job.job_id`.
pub type JobId = u64;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum TaskState {
    Runnable,
    Running,
    Done,
    Failed,
    Cancelled,
}

/// One move of a job.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Task {
    pub group: GroupId,
    /// What users call the group: its shard of the first table.
    pub shard: ShardId,
    pub source: NodeId,
    pub target: NodeId,
    pub kind: MoveKind,
    pub state: TaskState,
    pub movement: Option<MoveId>,
    pub message: Option<String>,
}

/// Moves in the background: `citus_rebalance_start`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Job {
    pub id: JobId,
    pub description: String,
    /// Microseconds since 1970.
    pub started_micros: i64,
    pub finished_micros: Option<i64>,
    pub is_cancelled: bool,
    /// In the order in which they start.
    pub tasks: Vec<Task>,
}

impl Job {
    pub fn is_over(&self) -> bool {
        self.tasks
            .iter()
            .all(|task| !matches!(task.state, TaskState::Runnable | TaskState::Running))
    }

    /// `pg_dist_background_job.state`.
    pub fn state(&self) -> &'static str {
        let any = |state| self.tasks.iter().any(|task| task.state == state);
        match (self.is_over(), self.is_cancelled) {
            (false, true) => "cancelling",
            (false, false) if any(TaskState::Failed) => "failing",
            (false, false) if any(TaskState::Running) || any(TaskState::Done) => "running",
            (false, false) => "scheduled",
            (true, true) => "cancelled",
            (true, false) if any(TaskState::Failed) => "failed",
            (true, false) => "finished",
        }
    }
}
