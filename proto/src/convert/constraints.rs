//! Constraints by name, and what SET CONSTRAINTS has said of them.

use satsuma_common::TableId;
use satsuma_common::table::{ConstraintModes, ConstraintRef};

use super::{Wire, list, text};
use crate::error::WireError;
use crate::pb::worker as pb;

impl From<ConstraintRef> for pb::Constraint {
    fn from(constraint: ConstraintRef) -> Self {
        Self { table: constraint.table.0, name: constraint.name }
    }
}

impl TryFrom<pb::Constraint> for ConstraintRef {
    type Error = WireError;

    fn try_from(constraint: pb::Constraint) -> Wire<Self> {
        Ok(Self { table: TableId(constraint.table), name: text(constraint.name)? })
    }
}

impl From<ConstraintModes> for pb::ConstraintModes {
    fn from(modes: ConstraintModes) -> Self {
        let mut message = Self { all: modes.all, ..Self::default() };
        for (constraint, deferred) in modes.named {
            let list = if deferred { &mut message.deferred } else { &mut message.immediate };
            list.push(constraint.into());
        }
        message
    }
}

impl TryFrom<pb::ConstraintModes> for ConstraintModes {
    type Error = WireError;

    fn try_from(message: pb::ConstraintModes) -> Wire<Self> {
        let mut modes = Self { all: message.all, ..Self::default() };
        for (constraints, deferred) in [(message.deferred, true), (message.immediate, false)] {
            for constraint in list(constraints, ConstraintRef::try_from)? {
                modes.set(constraint, deferred);
            }
        }
        Ok(modes)
    }
}
