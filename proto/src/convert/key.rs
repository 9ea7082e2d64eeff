//! Reads and changes of single rows by key.

use satsuma_common::TableId;

use super::{Wire, need};
use crate::error::WireError;
use crate::pb::worker as pb;
use crate::worker::{Assignments, KeyRead, KeyedRow, Program, ProgramId};

impl From<KeyRead> for pb::KeyRead {
    fn from(request: KeyRead) -> Self {
        Self {
            context: Some(request.context.into()),
            group: Some(request.group.into()),
            table: request.table.0,
            key: request.key,
        }
    }
}

impl TryFrom<pb::KeyRead> for KeyRead {
    type Error = WireError;

    fn try_from(request: pb::KeyRead) -> Wire<Self> {
        Ok(Self {
            context: need(request.context, "context")?.try_into()?,
            group: need(request.group, "group")?.try_into()?,
            table: TableId(request.table),
            key: request.key,
        })
    }
}

impl From<KeyedRow> for pb::KeyedRow {
    fn from(row: KeyedRow) -> Self {
        Self {
            key: row.key,
            newest: row.newest,
            assignments: row.assignments.map(|assignments| pb::Assignments {
                origin: assignments.id.origin,
                number: assignments.id.number,
                program: assignments.program.map(|program| pb::Program {
                    plan: program.plan,
                    inputs: program.inputs,
                    targets: program.targets,
                }),
                params: assignments.params.into_iter().map(|value| pb::Value { value }).collect(),
            }),
        }
    }
}

impl From<pb::KeyedRow> for KeyedRow {
    fn from(row: pb::KeyedRow) -> Self {
        Self {
            key: row.key,
            newest: row.newest,
            assignments: row.assignments.map(|assignments| Assignments {
                id: ProgramId { origin: assignments.origin, number: assignments.number },
                program: assignments.program.map(|program| Program {
                    plan: program.plan,
                    inputs: program.inputs,
                    targets: program.targets,
                }),
                params: assignments.params.into_iter().map(|param| param.value).collect(),
            }),
        }
    }
}
