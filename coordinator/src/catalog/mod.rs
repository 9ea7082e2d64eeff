//! The catalog: everything the cluster knows of itself, as a pure state machine.
//!
//! ```text
//!   session --DDL--> commands --apply--> overlay (a private clone of the State)
//!                       |
//!                    COMMIT: Command::Batch --Raft--> apply on every coordinator's State
//! ```
//!
//! [`apply`] is the only way to change a [`State`]; a refusal is an [`Outcome`] like any other.
//! Commands carry whole definitions and ids that were reserved before, so that applying them to
//! the overlay and, later, to the state itself comes to the same thing, and shards can be made at
//! the workers in between. A batch that was worked out on objects which somebody else has changed
//! since is refused (40001).
//!
//! Not here: I/O, clocks, randomness, and any idea of who leads. That is [`crate::raft`].

mod apply;
mod colocation;
mod command;
mod decision;
mod digest;
mod distribute;
mod ids;
mod invariants;
mod movement;
mod node;
mod objects;
mod privileges;
mod rejection;
mod requests;
mod restore;
mod sequence;
mod shared;
mod snapshot;
mod state;
mod statistics;
mod table;
#[cfg(test)]
pub(crate) mod tests;

pub use apply::{apply, apply_once};
pub use colocation::{
    Colocation, ColocationKind, Group, LOCAL_COLOCATION, Placement, PlacementState,
};
pub use command::{Command, CoordinatorAddress, Outcome};
pub use decision::Decisions;
pub use distribute::{ColocateWith, DistributionPlan, DistributionRequest, Placed, plan};
pub use ids::{Counters, FIRST_LOCAL_SHARD, FIRST_SHARD, IdRequest, Ids};
pub use invariants::check as check_invariants;
pub use movement::{Job, JobId, Move, MoveKind, MovePhase, Task, TaskState};
pub use node::{Node, NodeChange, NodeRole};
pub use objects::{
    DATABASE_OID, DefaultKind, EnumType, FIRST_USER_OID, Grant, INFORMATION_SCHEMA_OID, Index,
    IndexKey, IndexValue, ObjectAddress, ObjectClass, PG_CATALOG_OID, PUBLIC_SCHEMA_OID,
    RelationKind, RelationRef, Role, SUPERUSER_OID, Sequence, SettingScope, View,
};
pub use privileges::{
    COLUMN_PRIVILEGES, PUBLIC, access_list, all_privileges, has_privilege, is_member, is_superuser,
    may, owner, roles_of,
};
pub use rejection::Rejection;
pub use requests::{RequestId, Requests};
pub use satsuma_sql::functions::quote_ident as quote_identifier;
pub use sequence::{Position, SequenceBlock, allocate};
pub use shared::{Shared, SharedMap};
pub use snapshot::{CatalogSnapshot, SystemRelations, shard_name, split_name};
pub use state::{Cluster, Schema, State};
pub use statistics::{ColumnStatistics, TableStatistics};
pub use table::{Shard, Table, TableDef, TableDistribution, TablePlacement};
