//! The one function that changes the catalog.
//!
//! [`apply`] is total and deterministic: the same commands on the same state give the same state
//! and the same outcomes on every member. A command that is refused changes nothing.

mod access;
mod footprint;
mod job;
mod movement;
mod node;
mod object;
mod placement;
mod schema;
mod sequence;
mod split;
mod table;

pub use footprint::Touched;

use satsuma_common::TableId;

use super::command::{Command, Outcome};
use super::ids::Ids;
use super::invariants;
use super::rejection::Rejection;
use super::requests::RequestId;
use super::shared::Shared;
use super::state::State;

type Applied = Result<Outcome, Rejection>;

/// Changes `state` by one command.
pub fn apply(state: &mut State, command: Command) -> Outcome {
    let outcome = match command {
        Command::Batch { base, commands } => batch(state, base, commands),
        command if is_small(&command) => run(state, command),
        command => {
            let mut next = state.clone();
            let outcome = run(&mut next, command);
            if outcome.is_ok() {
                *state = next;
            }
            outcome
        }
    };
    debug_assert_eq!(invariants::check(state), Ok(()));
    outcome.unwrap_or_else(Outcome::Rejected)
}

/// Changes `state` by a command that a coordinator proposed, unless it was applied before:
/// `None`.
pub fn apply_once(
    state: &mut State,
    request: RequestId,
    floor: u64,
    command: Command,
) -> Option<Outcome> {
    state.requests.admit(request, floor).then(|| apply(state, command))
}

/// Commands that check before they change anything, and that come often.
fn is_small(command: &Command) -> bool {
    matches!(
        command,
        Command::Nothing
            | Command::Reserve(_)
            | Command::AllocateSequence { .. }
            | Command::Decide { .. }
            | Command::ForgetDecisions { .. }
            | Command::AdvanceDecisionHorizon { .. }
            | Command::RaiseTimestampCeiling { .. }
    )
}

fn batch(state: &mut State, base: u64, commands: Vec<Command>) -> Applied {
    footprint::check(state, base, &commands)?;
    let mut next = state.clone();
    let reshaped: Vec<TableId> = commands.iter().flat_map(reshaped_by).collect();
    let outcomes = commands
        .into_iter()
        .map(|command| match command {
            Command::Batch { .. } => Err(Rejection::Malformed("a batch within a batch")),
            // What is decided by a batch is what the rest of it depends on.
            Command::Decide { txn, outcome } => match next.decisions.decide(txn, outcome) {
                None if outcome.is_some() => Err(Rejection::Aborted(txn)),
                decided => Ok(Outcome::Decided(decided)),
            },
            command => run(&mut next, command),
        })
        .collect::<Result<Vec<_>, _>>()?;
    if let Some(Outcome::Decided(Some(moment))) = outcomes.last() {
        for id in reshaped.into_iter().filter(|id| state.table(*id).is_some()) {
            if let Some(table) = next.table_arc(id) {
                next.tables.make_mut().insert(id, Shared::new(table.reshaped(*moment)));
            }
        }
    }
    *state = next;
    Ok(Outcome::Batch(outcomes))
}

/// Tables whose rows a command writes anew.
fn reshaped_by(command: &Command) -> Vec<TableId> {
    match command {
        Command::PlaceTable { table, .. } => vec![*table],
        Command::SplitGroup { shards, .. } => shards.iter().map(|(table, _)| *table).collect(),
        _ => Vec::new(),
    }
}

/// May leave `state` half changed when it fails, except for small commands.
fn run(state: &mut State, command: Command) -> Applied {
    if is_small(&command) {
        return run_small(state, command);
    }
    if !state.is_bootstrapped() && !matches!(command, Command::Bootstrap { .. }) {
        return Err(Rejection::NotBootstrapped);
    }
    state.version += 1;
    let writes = footprint::of(&command).writes;
    let outcome = run_large(state, command)?;
    footprint::mark(state, writes);
    Ok(outcome)
}

fn run_small(state: &mut State, command: Command) -> Applied {
    match command {
        Command::Reserve(request) => Ids::reserve(&mut state.counters, request).map(Outcome::Ids),
        Command::AllocateSequence { sequence, count } => {
            sequence::allocate(state, sequence, count).map(Outcome::Sequence)
        }
        Command::Decide { txn, outcome } => {
            Ok(Outcome::Decided(state.decisions.decide(txn, outcome)))
        }
        Command::ForgetDecisions { txns } => {
            state.decisions.forget(&txns);
            Ok(Outcome::Done)
        }
        Command::AdvanceDecisionHorizon { horizon } => {
            state.decisions.advance_horizon(horizon);
            Ok(Outcome::Done)
        }
        Command::RaiseTimestampCeiling { ceiling } => {
            state.timestamp_ceiling = state.timestamp_ceiling.max(ceiling);
            Ok(Outcome::Done)
        }
        _ => Ok(Outcome::Done),
    }
}

fn run_large(state: &mut State, command: Command) -> Applied {
    match command {
        Command::Bootstrap { cluster, database, superuser, verifier, coordinators } => {
            node::bootstrap(state, cluster, database, superuser, verifier, coordinators)?;
        }
        Command::AddNode { host, port, directory, should_have_shards } => {
            let node = node::add(state, host, port, directory, should_have_shards)?;
            return Ok(Outcome::Node(node));
        }
        Command::ReturnNode { node, host, port, directory } => {
            let node = node::give_back(state, node, host, port, directory)?;
            return Ok(Outcome::Node(node));
        }
        Command::ChangeNode { node, change } => node::change(state, node, change)?,
        Command::RemoveNode { node } => node::remove(state, node)?,
        Command::PutCoordinator(address) => node::announce_coordinator(state, address)?,
        Command::AddCoordinator(address) => node::add_coordinator(state, address)?,
        Command::UpdateCoordinator(address) => node::update_coordinator(state, address)?,
        Command::RemoveCoordinator { node } => node::remove_coordinator(state, node)?,

        Command::CreateSchema { oid, name, owner } => schema::create(state, oid, name, owner)?,
        Command::RenameSchema { oid, name } => schema::rename(state, oid, name)?,
        Command::OwnSchema { oid, owner } => schema::own(state, oid, owner)?,
        Command::DropSchema { oid } => schema::drop(state, oid)?,

        Command::CreateRole(role) => object::create_role(state, role)?,
        Command::AlterRole(role) => object::alter_role(state, role)?,
        Command::DropRole { oid } => object::drop_role(state, oid)?,

        Command::CreateTable { def, placement, indexes } => {
            table::create(state, def, placement, indexes)?;
        }
        Command::AlterTable(def) => table::alter(state, def)?,
        Command::DropTable { table } => table::drop(state, table)?,
        Command::PlaceTable { table, placement } => table::place(state, table, placement)?,
        Command::SetStatistics { table, statistics } => {
            table::set_statistics(state, table, statistics)?;
        }
        Command::CreateColocation { colocation, groups } => {
            placement::create_colocation(state, colocation, groups)?;
        }
        Command::SplitGroup { colocation, group, parts, shards } => {
            split::split(state, colocation, group, parts, shards)?;
        }

        Command::CreateIndex(index) => table::create_index(state, index)?,
        Command::AlterIndex(index) => table::alter_index(state, index)?,
        Command::DropIndex { oid } => table::drop_index(state, oid)?,

        Command::CreateView(view) => object::create_view(state, view)?,
        Command::AlterView(view) => object::alter_view(state, view)?,
        Command::DropView { oid } => object::drop_view(state, oid)?,
        Command::Materialize(view) => object::materialize(state, view)?,
        Command::SetPopulated { table, populated } => {
            object::set_populated(state, table, populated)?;
        }

        Command::CreateSequence(sequence) => sequence::create(state, sequence)?,
        Command::AlterSequence(sequence) => sequence::alter(state, sequence)?,
        Command::DropSequence { sequence } => sequence::drop(state, sequence)?,
        Command::SetSequence { sequence, value, is_called } => {
            sequence::set(state, sequence, value, is_called)?;
        }

        Command::CreateEnum(ty) => object::create_enum(state, ty)?,
        Command::AlterEnum(ty) => object::alter_enum(state, ty)?,
        Command::DropEnum { oid } => object::drop_enum(state, oid)?,

        Command::SetComment { object, text } => object::set_comment(state, object, text),
        Command::SetGrants { object, grants } => access::set_grants(state, object, grants),
        Command::SetSetting { scope, name, value } => {
            object::set_setting(state, scope, name, value);
        }

        Command::AddPlacement { group, node, state: placement } => {
            placement::add(state, group, node, placement)?;
        }
        Command::ChangePlacement { group, node, state: placement } => {
            placement::change(state, group, node, placement)?;
        }
        Command::RemovePlacement { group, node } => placement::remove(state, group, node)?,
        Command::SetPrimary { group, node } => placement::set_primary(state, group, node)?,
        Command::StartMove { group, source, target, kind } => {
            return movement::start(state, group, source, target, kind).map(Outcome::Move);
        }
        Command::AdvanceMove { id, attempt, phase, shards, reason } => {
            movement::advance(state, id, attempt, phase, &shards, reason)?;
        }
        Command::ResumeMove { id } => movement::resume(state, id)?,
        Command::CancelMove { id } => movement::cancel(state, id)?,
        Command::RaiseGeneration { group, above } => {
            movement::raise_generation(state, group, above)?;
        }
        Command::ForgetMoves { ids } => movement::forget(state, &ids),
        Command::StartJob { description, started_micros, tasks } => {
            return Ok(Outcome::Job(job::start(state, description, started_micros, tasks)));
        }
        Command::StartTask { job, task } => job::start_task(state, job, task)?,
        Command::CancelJob { job } => job::cancel(state, job)?,
        Command::FinishJob { job, finished_micros } => job::finish(state, job, finished_micros),

        Command::Batch { .. }
        | Command::Nothing
        | Command::Reserve(_)
        | Command::AllocateSequence { .. }
        | Command::Decide { .. }
        | Command::ForgetDecisions { .. }
        | Command::AdvanceDecisionHorizon { .. }
        | Command::RaiseTimestampCeiling { .. } => {
            return Err(Rejection::Malformed("a small command among the large"));
        }
    }
    Ok(Outcome::Done)
}
