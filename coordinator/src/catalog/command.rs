//! Everything that can happen to the catalog.
//!
//! A command carries whole definitions: DDL works out what an object shall be, the catalog checks
//! that it fits. `Alter..` and `Create..` differ only in whether the object must exist.

use satsuma_common::{
    ColocationId, Generation, GroupId, MoveId, NodeId, Oid, SequenceId, ShardId, SqlError,
    SqlResult, TableId, Timestamp, TxnId,
};
use serde::{Deserialize, Serialize};

use super::colocation::{Colocation, Group, PlacementState};
use super::ids::{IdRequest, Ids};
use super::movement::{JobId, MoveKind, MovePhase, Task};
use super::node::NodeChange;
use super::objects::{EnumType, Grant, Index, ObjectAddress, Role, Sequence, SettingScope, View};
use super::rejection::Rejection;
use super::sequence::SequenceBlock;
use super::statistics::TableStatistics;
use super::table::{Shard, TableDef, TablePlacement};

/// A coordinator as the command line names it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CoordinatorAddress {
    pub node: NodeId,
    pub host: String,
    /// PostgreSQL port; 0 until the coordinator itself has told it.
    pub port: u16,
    /// gRPC address, `host:port`.
    pub grpc: String,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Command {
    /// Changes nothing.
    Nothing,
    /// The first command of a cluster; later ones change nothing.
    Bootstrap {
        cluster: String,
        database: String,
        superuser: String,
        verifier: Option<String>,
        coordinators: Vec<CoordinatorAddress>,
    },
    /// All or nothing, and only if no object that the commands touch has changed since version
    /// `base`: the version of the state that the overlay was made of.
    Batch {
        base: u64,
        commands: Vec<Command>,
    },
    /// Answers with [`Outcome::Ids`].
    Reserve(IdRequest),

    /// A worker. One whose directory is known is that node again, at a new address perhaps.
    /// Answers with [`Outcome::Node`].
    AddNode {
        host: String,
        port: u16,
        directory: Option<String>,
        should_have_shards: bool,
    },
    ChangeNode {
        node: NodeId,
        change: NodeChange,
    },
    RemoveNode {
        node: NodeId,
    },
    /// A coordinator tells where it is itself.
    PutCoordinator(CoordinatorAddress),
    /// The last one stays.
    RemoveCoordinator {
        node: NodeId,
    },

    CreateSchema {
        oid: Oid,
        name: String,
        owner: Oid,
    },
    RenameSchema {
        oid: Oid,
        name: String,
    },
    OwnSchema {
        oid: Oid,
        owner: Oid,
    },
    /// Refused while anything is in it.
    DropSchema {
        oid: Oid,
    },

    CreateRole(Role),
    AlterRole(Role),
    /// Refused while it owns anything.
    DropRole {
        oid: Oid,
    },

    /// `indexes` holds the index of the primary key and of unique constraints.
    CreateTable {
        def: TableDef,
        placement: TablePlacement,
        indexes: Vec<Index>,
    },
    AlterTable(TableDef),
    /// With its indexes, grants and comments. Refused while foreign keys of other tables, views
    /// or sequences it owns depend on it: drop those first, in the same batch.
    DropTable {
        table: TableId,
    },
    /// Distributes, redistributes or undistributes: the shards are new ones. A co-location that
    /// loses its last table goes too.
    PlaceTable {
        table: TableId,
        placement: TablePlacement,
    },
    /// What ANALYZE found, in place of what it found before.
    SetStatistics {
        table: TableId,
        statistics: TableStatistics,
    },
    /// New, empty shard groups; in the order of hash ranges.
    CreateColocation {
        colocation: Colocation,
        groups: Vec<Group>,
    },
    /// A group's range becomes several groups, and each table's shard in it as many shards.
    SplitGroup {
        colocation: ColocationId,
        group: GroupId,
        parts: Vec<Group>,
        shards: Vec<(TableId, Vec<Shard>)>,
    },

    CreateIndex(Index),
    AlterIndex(Index),
    DropIndex {
        oid: Oid,
    },

    CreateView(View),
    /// Also CREATE OR REPLACE.
    AlterView(View),
    DropView {
        oid: Oid,
    },

    CreateSequence(Sequence),
    /// Starts a new epoch: blocks handed out before are void.
    AlterSequence(Sequence),
    DropSequence {
        sequence: SequenceId,
    },
    /// Answers with [`Outcome::Sequence`].
    AllocateSequence {
        sequence: SequenceId,
        count: u64,
    },
    /// setval and RESTART.
    SetSequence {
        sequence: SequenceId,
        value: i64,
        is_called: bool,
    },

    CreateEnum(EnumType),
    AlterEnum(EnumType),
    DropEnum {
        oid: Oid,
    },

    /// `None` takes the comment away.
    SetComment {
        object: ObjectAddress,
        text: Option<String>,
    },
    /// The object's whole access list.
    SetGrants {
        object: ObjectAddress,
        grants: Vec<Grant>,
    },
    /// `None` takes the setting away.
    SetSetting {
        scope: SettingScope,
        name: String,
        value: Option<String>,
    },

    /// A copy of the group on one more node.
    AddPlacement {
        group: GroupId,
        node: NodeId,
        state: PlacementState,
    },
    ChangePlacement {
        group: GroupId,
        node: NodeId,
        state: PlacementState,
    },
    RemovePlacement {
        group: GroupId,
        node: NodeId,
    },
    /// Makes another finalized placement the primary, in a new epoch.
    SetPrimary {
        group: GroupId,
        node: NodeId,
    },
    /// Answers with [`Outcome::Move`].
    StartMove {
        group: GroupId,
        source: NodeId,
        target: NodeId,
        kind: MoveKind,
    },
    /// A step by the driver whose number is `attempt`.
    AdvanceMove {
        id: MoveId,
        attempt: u64,
        phase: MovePhase,
        /// With `Switched`: every shard that the target has. Refused when the group has more.
        shards: Vec<ShardId>,
        /// With `Aborted`.
        reason: Option<String>,
    },
    /// A driver takes over, with the next number. A move that was switching starts anew, at a
    /// generation above all that its earlier driver may have given out.
    ResumeMove {
        id: MoveId,
    },
    /// The driver gives the move up, unless it has switched.
    CancelMove {
        id: MoveId,
    },
    /// A worker knows a group at a generation that the catalog never gave it.
    RaiseGeneration {
        group: GroupId,
        above: Generation,
    },
    /// Answers with [`Outcome::Job`].
    StartJob {
        description: String,
        started_micros: i64,
        tasks: Vec<Task>,
    },
    /// Starts the move of a runnable task; one that cannot start fails.
    StartTask {
        job: JobId,
        task: usize,
    },
    /// What is not running is not started; what is running is cancelled.
    CancelJob {
        job: JobId,
    },
    FinishJob {
        job: JobId,
        finished_micros: i64,
    },
    /// Records of moves that are over.
    ForgetMoves {
        ids: Vec<MoveId>,
    },

    /// Answers with [`Outcome::Decided`]: what stands, whoever decided it.
    Decide {
        txn: TxnId,
        outcome: Option<Timestamp>,
    },
    ForgetDecisions {
        txns: Vec<TxnId>,
    },
    AdvanceDecisionHorizon {
        horizon: Timestamp,
    },
    /// No timestamp above the ceiling is ever handed out.
    RaiseTimestampCeiling {
        ceiling: Timestamp,
    },
    /// The table under the view's oid becomes a materialized view of that query, not populated.
    Materialize(View),
    SetPopulated {
        table: TableId,
        populated: bool,
    },
    /// One more coordinator, under an id that nobody has had.
    AddCoordinator(CoordinatorAddress),
    /// A worker that was removed remembers which node it was, and is that node again.
    /// Answers with [`Outcome::Node`].
    ReturnNode {
        node: NodeId,
        host: String,
        port: u16,
        directory: String,
    },
    /// A user says where a coordinator is.
    UpdateCoordinator(CoordinatorAddress),
}

#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    Done,
    Ids(Ids),
    Node(NodeId),
    Sequence(SequenceBlock),
    Decided(Option<Timestamp>),
    Move(MoveId),
    Job(JobId),
    /// One per command of the batch.
    Batch(Vec<Outcome>),
    Rejected(Rejection),
}

impl Outcome {
    pub fn into_result(self) -> SqlResult<Self> {
        match self {
            Self::Rejected(rejection) => Err(rejection.into()),
            outcome => Ok(outcome),
        }
    }

    pub fn ids(self) -> SqlResult<Ids> {
        match self.into_result()? {
            Self::Ids(ids) => Ok(ids),
            _ => Err(SqlError::internal("the catalog answered a reservation with something else")),
        }
    }
}

impl From<Rejection> for Outcome {
    fn from(rejection: Rejection) -> Self {
        Self::Rejected(rejection)
    }
}
