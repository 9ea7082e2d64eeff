//! Sequences.

use satsuma_common::{Oid, SequenceId};

use super::{access, object, schema};
use crate::catalog::objects::{DefaultKind, ObjectAddress, ObjectClass, RelationRef, Sequence};
use crate::catalog::rejection::Rejection;
use crate::catalog::sequence::{self, Position, SequenceBlock};
use crate::catalog::shared::Shared;
use crate::catalog::state::State;

pub(super) fn create(state: &mut State, sequence: Sequence) -> Result<(), Rejection> {
    check(state, &sequence)?;
    let id = sequence.id;
    if schema::oid_is_used(state, Oid(id.0)) {
        return Err(Rejection::Malformed("a sequence's oid is taken"));
    }
    let relation = RelationRef::Sequence(id);
    schema::add_relation(state, sequence.schema, &sequence.name, relation)?;
    state.positions.make_mut().insert(id, Position::start(&sequence));
    let schema = sequence.schema;
    state.sequences.make_mut().insert(id, Shared::new(sequence));
    let address = ObjectAddress::relation(relation);
    access::grant_defaults(state, address, (DefaultKind::Sequences, Some(schema)));
    Ok(())
}

pub(super) fn alter(state: &mut State, sequence: Sequence) -> Result<(), Rejection> {
    check(state, &sequence)?;
    let id = sequence.id;
    let before = existing(state, id)?.clone();
    schema::move_relation(
        state,
        (before.schema, &before.name),
        (sequence.schema, &sequence.name),
        RelationRef::Sequence(id),
    )?;
    let position = state.positions.make_mut().get_mut(&id);
    let position = position.ok_or(Rejection::Malformed("a sequence without position"))?;
    if position.last_value < sequence.min || position.last_value > sequence.max {
        return Err(Rejection::SequenceBounds {
            name: sequence.name,
            value: position.last_value,
            min: sequence.min,
            max: sequence.max,
        });
    }
    position.epoch += 1;
    let relation = ObjectAddress::relation(RelationRef::Sequence(id));
    access::follow_owner(state, relation, before.owner, sequence.owner);
    state.sequences.make_mut().insert(id, Shared::new(sequence));
    Ok(())
}

pub(super) fn drop(state: &mut State, id: SequenceId) -> Result<(), Rejection> {
    let sequence = existing(state, id)?.clone();
    object::refuse_dependent_views(state, Oid(id.0), "sequence", &sequence.name)?;
    schema::remove_relation(state, sequence.schema, &sequence.name);
    state.sequences.make_mut().remove(&id);
    state.positions.make_mut().remove(&id);
    schema::forget_annotations(state, ObjectClass::Relation, Oid(id.0));
    Ok(())
}

pub(super) fn allocate(
    state: &mut State,
    id: SequenceId,
    count: u64,
) -> Result<SequenceBlock, Rejection> {
    let sequence = existing(state, id)?.clone();
    let mut position =
        state.sequence_position(id).ok_or(Rejection::Malformed("a sequence without position"))?;
    let block = sequence::allocate(&sequence, &mut position, count)?;
    state.positions.make_mut().insert(id, position);
    Ok(block)
}

pub(super) fn set(
    state: &mut State,
    id: SequenceId,
    value: i64,
    is_called: bool,
) -> Result<(), Rejection> {
    let sequence = existing(state, id)?;
    if value < sequence.min || value > sequence.max {
        return Err(Rejection::SequenceBounds {
            name: sequence.name.clone(),
            value,
            min: sequence.min,
            max: sequence.max,
        });
    }
    if let Some(position) = state.positions.make_mut().get_mut(&id) {
        position.last_value = value;
        position.is_called = is_called;
        position.epoch += 1;
    }
    Ok(())
}

fn existing(state: &State, id: SequenceId) -> Result<&Sequence, Rejection> {
    state.sequence(id).ok_or_else(|| Rejection::relation_is_gone(id.0))
}

fn check(state: &State, sequence: &Sequence) -> Result<(), Rejection> {
    schema::role_exists(state, sequence.owner)?;
    let bounds = sequence.min..=sequence.max;
    if sequence.increment == 0 || sequence.min > sequence.max || !bounds.contains(&sequence.start) {
        return Err(Rejection::Malformed("a sequence's bounds"));
    }
    if let Some((table, column)) = sequence.owned_by
        && state.table(table).is_none_or(|table| table.shape.column(column).is_none())
    {
        return Err(Rejection::Malformed("a sequence owned by no column"));
    }
    Ok(())
}
