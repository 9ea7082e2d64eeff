//! Moves of shard groups between nodes.

use satsuma_common::{Generation, GroupId, MoveId, NodeId, ShardId};

use super::job;
use super::node::has_references;
use super::placement::{add, change_group, refuse_while_moving, set_state, take_off};
use crate::catalog::colocation::PlacementState;
use crate::catalog::movement::{Move, MoveKind, MovePhase};
use crate::catalog::rejection::Rejection;
use crate::catalog::shared::Shared;
use crate::catalog::state::State;

pub(super) fn start(
    state: &mut State,
    group: GroupId,
    source: NodeId,
    target: NodeId,
    kind: MoveKind,
) -> Result<MoveId, Rejection> {
    let known = state.group(group).ok_or(Rejection::Malformed("no such shard group"))?;
    if !known.finalized().any(|node| node == source) {
        return Err(Rejection::NoPlacement { group: group.0, node: source.0 });
    }
    refuse_while_moving(state, group)?;
    if kind == MoveKind::Move && !has_references(state, target) {
        return Err(Rejection::NoReferenceTables(target.0));
    }
    add(state, group, target, PlacementState::Inactive)?;
    let id = MoveId(state.counters.movement);
    state.counters.movement += 1;
    let movement = Move {
        id,
        group,
        source,
        target,
        kind,
        phase: MovePhase::Copying,
        attempt: 0,
        is_cancelled: false,
        reason: None,
    };
    state.moves.make_mut().insert(id, Shared::new(movement));
    Ok(id)
}

pub(super) fn advance(
    state: &mut State,
    id: MoveId,
    attempt: u64,
    phase: MovePhase,
    shards: &[ShardId],
    reason: Option<String>,
) -> Result<(), Rejection> {
    let mut movement = find(state, id)?;
    if movement.attempt != attempt {
        return Err(Rejection::GroupMoving(movement.group.0));
    }
    if movement.phase == phase {
        return Ok(());
    }
    if !phase.may_follow(movement.phase) {
        return Err(Rejection::Malformed("phases of a move out of order"));
    }
    let Move { group, source, target, .. } = movement;
    match phase {
        MovePhase::Copying | MovePhase::CatchingUp | MovePhase::Switching => {}
        MovePhase::Switched => {
            if !state.shards_in(group).iter().all(|shard| shards.contains(shard)) {
                return Err(Rejection::ConcurrentChange(format!("shard group {}", group.0)));
            }
            change_group(state, group, |changed| {
                set_state(changed, target, PlacementState::Finalized)?;
                match movement.kind {
                    MoveKind::Move => set_state(changed, source, PlacementState::ToDelete),
                    MoveKind::Copy => Ok(()),
                }
            })?;
        }
        MovePhase::Done => {
            if movement.kind == MoveKind::Move {
                change_group(state, group, |changed| take_off(changed, source))?;
            }
        }
        MovePhase::Aborted => change_group(state, group, |changed| {
            if movement.phase == MovePhase::Switching {
                pass_by(changed);
            }
            take_off(changed, target)
        })?,
    }
    movement.phase = phase;
    movement.reason = reason;
    let is_over = phase.is_over();
    job::follow(state, &movement);
    state.moves.make_mut().insert(id, Shared::new(movement));
    if is_over {
        state.moves.make_mut().retain(|_, known| !is_stale(known, id))
    }
    Ok(())
}

/// Records of moves that are over stay for a while, for whoever waits for them.
fn is_stale(movement: &Move, latest: MoveId) -> bool {
    movement.phase.is_over() && movement.id.0 + KEPT < latest.0
}

const KEPT: u64 = 10_000;

pub(super) fn resume(state: &mut State, id: MoveId) -> Result<(), Rejection> {
    let mut movement = find(state, id)?;
    movement.attempt += 1;
    match movement.phase {
        MovePhase::Switching => {
            change_group(state, movement.group, |group| {
                pass_by(group);
                Ok(())
            })?;
            movement.phase = MovePhase::Copying;
        }
        MovePhase::CatchingUp => movement.phase = MovePhase::Copying,
        MovePhase::Copying | MovePhase::Switched | MovePhase::Done | MovePhase::Aborted => {}
    }
    state.moves.make_mut().insert(id, Shared::new(movement));
    Ok(())
}

pub(super) fn cancel(state: &mut State, id: MoveId) -> Result<(), Rejection> {
    let mut movement = find(state, id)?;
    movement.is_cancelled = true;
    state.moves.make_mut().insert(id, Shared::new(movement));
    Ok(())
}

/// The next generation may be in use at a worker: the one after it is not.
fn pass_by(group: &mut crate::catalog::colocation::Group) {
    group.generation.0 += 2;
}

pub(super) fn raise_generation(
    state: &mut State,
    group: GroupId,
    above: Generation,
) -> Result<(), Rejection> {
    refuse_while_moving(state, group)?;
    change_group(state, group, |changed| {
        if changed.generation <= above {
            changed.generation = Generation(above.0.saturating_add(1));
        }
        Ok(())
    })
}

pub(super) fn forget(state: &mut State, ids: &[MoveId]) {
    state.moves.make_mut().retain(|id, movement| !(ids.contains(id) && movement.phase.is_over()));
}

fn find(state: &State, id: MoveId) -> Result<Move, Rejection> {
    state.movement(id).cloned().ok_or(Rejection::Malformed("no such move"))
}
