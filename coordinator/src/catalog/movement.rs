//! Records of shard group moves: what a new leader needs to resume one.

use satsuma_common::{GroupId, MoveId, NodeId};
use serde::{Deserialize, Serialize};

/// Steps of a move, in order.
///
/// ```text
///   Copying -> CatchingUp -> Switched -> Done
///       \__________\______> Aborted
/// ```
///
/// Until `Switched` the source serves the group; from then on the target does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum MovePhase {
    /// The target's placement exists, inactive, and is being filled.
    Copying,
    /// The target follows the source's log.
    CatchingUp,
    /// The target is the placement; the source's copy is to be deleted.
    Switched,
    /// The source's copy is gone.
    Done,
    /// The target's copy is gone; nothing has moved.
    Aborted,
}

impl MovePhase {
    pub fn may_follow(self, before: Self) -> bool {
        matches!(
            (before, self),
            (Self::Copying, Self::CatchingUp | Self::Aborted)
                | (Self::CatchingUp, Self::Switched | Self::Aborted)
                | (Self::Switched, Self::Done)
        )
    }

    pub fn is_over(self) -> bool {
        matches!(self, Self::Done | Self::Aborted)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Move {
    pub id: MoveId,
    pub group: GroupId,
    pub source: NodeId,
    pub target: NodeId,
    pub phase: MovePhase,
}
