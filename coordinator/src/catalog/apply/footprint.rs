//! What a command touches: how a transaction's DDL notices that somebody else changed the same
//! objects after it looked at them.

use satsuma_common::{ColocationId, Oid};
use serde::{Deserialize, Serialize};

use crate::catalog::command::Command;
use crate::catalog::rejection::Rejection;
use crate::catalog::state::State;
use crate::catalog::table::TableDef;

/// Something whose last change is on record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Touched {
    Object(Oid),
    /// The placements of its groups.
    Colocation(ColocationId),
}

#[derive(Default)]
pub(super) struct Footprint {
    pub reads: Vec<Touched>,
    pub writes: Vec<Touched>,
}

fn object(oid: u32) -> Touched {
    Touched::Object(Oid(oid))
}

/// The table itself, and the tables that its foreign keys point to, which keep a list of them.
fn table_and_targets(def: &TableDef) -> Vec<Touched> {
    let targets = def.shape.foreign_keys.iter().map(|key| object(key.target.0));
    std::iter::once(object(def.shape.table.0)).chain(targets).collect()
}

pub(super) fn of(command: &Command) -> Footprint {
    let writes = |writes| Footprint { writes, reads: Vec::new() };
    match command {
        Command::CreateTable { def, placement, .. } => Footprint {
            reads: vec![Touched::Colocation(placement.colocation)],
            writes: table_and_targets(def),
        },
        Command::AlterTable(def) => writes(table_and_targets(def)),
        Command::PlaceTable { table, placement } => Footprint {
            reads: vec![Touched::Colocation(placement.colocation)],
            writes: vec![object(table.0)],
        },
        Command::DropTable { table } => writes(vec![object(table.0)]),
        Command::SetPopulated { table, .. } => writes(vec![object(table.0)]),
        Command::SetStatistics { table, .. } => {
            Footprint { reads: vec![object(table.0)], writes: Vec::new() }
        }
        Command::CreateIndex(index) | Command::AlterIndex(index) => {
            writes(vec![object(index.table.0), Touched::Object(index.oid)])
        }
        Command::CreateColocation { colocation, .. } => {
            writes(vec![Touched::Colocation(colocation.id)])
        }
        Command::SplitGroup { colocation, shards, .. } => {
            let tables = shards.iter().map(|(table, _)| object(table.0));
            writes(std::iter::once(Touched::Colocation(*colocation)).chain(tables).collect())
        }
        Command::CreateView(view) | Command::AlterView(view) | Command::Materialize(view) => {
            Footprint {
                reads: view.depends_on.iter().map(|oid| Touched::Object(*oid)).collect(),
                writes: vec![Touched::Object(view.oid)],
            }
        }
        Command::CreateSequence(sequence) | Command::AlterSequence(sequence) => {
            writes(vec![object(sequence.id.0)])
        }
        Command::DropSequence { sequence } => writes(vec![object(sequence.0)]),
        Command::CreateEnum(ty) | Command::AlterEnum(ty) => writes(vec![Touched::Object(ty.oid)]),
        Command::CreateRole(role) | Command::AlterRole(role) => {
            writes(vec![Touched::Object(role.oid)])
        }
        Command::CreateSchema { oid, .. }
        | Command::RenameSchema { oid, .. }
        | Command::OwnSchema { oid, .. }
        | Command::DropSchema { oid }
        | Command::DropRole { oid }
        | Command::DropIndex { oid }
        | Command::DropView { oid }
        | Command::DropEnum { oid } => writes(vec![Touched::Object(*oid)]),
        // Placement changes mark their co-location where they happen; the rest is decided anew
        // against the state it finds.
        Command::Nothing
        | Command::Bootstrap { .. }
        | Command::Batch { .. }
        | Command::Reserve(_)
        | Command::AddNode { .. }
        | Command::ReturnNode { .. }
        | Command::ChangeNode { .. }
        | Command::RemoveNode { .. }
        | Command::PutCoordinator(_)
        | Command::AddCoordinator(_)
        | Command::UpdateCoordinator(_)
        | Command::RemoveCoordinator { .. }
        | Command::AllocateSequence { .. }
        | Command::SetSequence { .. }
        | Command::SetComment { .. }
        | Command::SetGrants { .. }
        | Command::SetSetting { .. }
        | Command::AddPlacement { .. }
        | Command::ChangePlacement { .. }
        | Command::RemovePlacement { .. }
        | Command::SetPrimary { .. }
        | Command::StartMove { .. }
        | Command::AdvanceMove { .. }
        | Command::ForgetMoves { .. }
        | Command::ResumeMove { .. }
        | Command::CancelMove { .. }
        | Command::RaiseGeneration { .. }
        | Command::StartJob { .. }
        | Command::StartTask { .. }
        | Command::CancelJob { .. }
        | Command::FinishJob { .. }
        | Command::Decide { .. }
        | Command::ForgetDecisions { .. }
        | Command::AdvanceDecisionHorizon { .. }
        | Command::RaiseTimestampCeiling { .. } => Footprint::default(),
    }
}

/// Refuses a batch that was worked out on objects which have changed since version `base`.
pub(super) fn check(state: &State, base: u64, commands: &[Command]) -> Result<(), Rejection> {
    for command in commands {
        let footprint = of(command);
        for touched in footprint.reads.into_iter().chain(footprint.writes) {
            if state.modified.get(&touched).is_some_and(|version| *version > base) {
                return Err(Rejection::ConcurrentChange(describe(state, touched)));
            }
        }
    }
    Ok(())
}

fn describe(state: &State, touched: Touched) -> String {
    match touched {
        Touched::Object(oid) => {
            state.relation(oid).and_then(|relation| state.relation_name(relation)).map_or_else(
                || format!("object {}", oid.0),
                |(_, name)| format!("relation \"{name}\""),
            )
        }
        Touched::Colocation(id) => format!("co-location group {}", id.0),
    }
}

/// Records that these have changed at the present version. What no longer exists is forgotten.
pub(super) fn mark(state: &mut State, writes: Vec<Touched>) {
    for touched in writes {
        let exists = match touched {
            Touched::Object(oid) => {
                state.relation(oid).is_some()
                    || state.schemas.contains_key(&oid)
                    || state.roles.contains_key(&oid)
                    || state.enums.contains_key(&oid)
            }
            Touched::Colocation(id) => state.colocations.contains_key(&id),
        };
        if exists {
            let version = state.version;
            state.modified.make_mut().insert(touched, version);
        } else if state.modified.contains_key(&touched) {
            state.modified.make_mut().remove(&touched);
        }
    }
}
