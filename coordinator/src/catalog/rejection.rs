//! Why a command was refused. Data, not an accident: every member of the Raft group comes to the
//! same refusal.

use satsuma_common::{SqlError, SqlState, TxnId};
use thiserror::Error;

use super::node::NodeRole;

#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Rejection {
    #[error("the cluster has no catalog yet")]
    NotBootstrapped,
    #[error("schema \"{0}\" already exists")]
    SchemaExists(String),
    #[error("schema \"{0}\" does not exist")]
    NoSchema(String),
    #[error("relation \"{0}\" already exists")]
    RelationExists(String),
    #[error("relation \"{0}\" does not exist")]
    NoRelation(String),
    #[error("type \"{0}\" already exists")]
    TypeExists(String),
    #[error("type \"{0}\" does not exist")]
    NoType(String),
    #[error("role \"{0}\" already exists")]
    RoleExists(String),
    #[error("role \"{0}\" does not exist")]
    NoRole(String),
    #[error("constraint \"{constraint}\" for relation \"{table}\" already exists")]
    ConstraintExists { constraint: String, table: String },
    #[error("node at \"{0}:{1}\" already exists")]
    NodeExists(String, u16),
    #[error("node at \"{0}:{1}\" does not exist")]
    NoNode(String, u16),
    #[error("node {0} does not exist")]
    NoNodeId(u32),
    /// Citus's words, its doubled word included.
    #[error(
        "cannot remove or disable the node {host}:{port} because because it contains the only \
         shard placement for shard {shard}"
    )]
    OnlyPlacement { host: String, port: u16, shard: u64, table: String },
    #[error("no worker nodes are available for placing shards")]
    NoWorkers,
    #[error("{message}")]
    Dependents { message: String, detail: String },
    #[error("role \"{name}\" cannot be dropped because some objects depend on it")]
    RoleInUse { name: String, detail: String },
    #[error("could not serialize access due to a concurrent change of {0}")]
    ConcurrentChange(String),
    #[error("could not commit: transaction {0} was taken for dead and aborted")]
    Aborted(TxnId),
    #[error("nextval: reached {} value of sequence \"{name}\" ({limit})", if *.maximum { "maximum" } else { "minimum" })]
    SequenceLimit { name: String, limit: i64, maximum: bool },
    #[error("setval: value {value} is out of bounds for sequence \"{name}\" ({min}..{max})")]
    SequenceBounds { name: String, value: i64, min: i64, max: i64 },
    #[error("there is already a move of shard group {0}")]
    GroupMoving(u64),
    #[error("node id {0} is a worker's")]
    WorkersId(u32),
    #[error("coordinator {0} exists already")]
    CoordinatorExists(u32),
    #[error("{role} {id} is at {address} already")]
    AddressTaken { role: NodeRole, id: u32, address: String },
    #[error("this coordinator has been removed from the cluster")]
    CoordinatorRemoved,
    #[error("the node {host}:{port} is coordinator {id}")]
    IsCoordinator { id: u32, host: String, port: u16 },
    #[error("node id {id} has been used before")]
    IdUsed { id: u32, next: u32 },
    #[error("coordinator {0} is known by another data directory")]
    OtherDirectory(u32),
    #[error("the last coordinator cannot be removed")]
    LastCoordinator,
    #[error("node {0} does not have the reference tables yet")]
    NoReferenceTables(u32),
    #[error("shard group {group} has no placement on node {node}")]
    NoPlacement { group: u64, node: u32 },
    #[error("cannot colocate tables {0} and {1}")]
    CannotColocate(String, String, String),
    #[error("ran out of reserved {0} ids")]
    IdsExhausted(&'static str),
    #[error("\"{0}\" cannot be changed: it belongs to the system")]
    SystemObject(String),
    /// The command contradicts itself or the catalog in a way that no user can cause.
    #[error("malformed catalog command: {0}")]
    Malformed(&'static str),
}

impl Rejection {
    /// A relation that the command knows by its number: it was there when the command was made.
    pub fn relation_is_gone(oid: u32) -> Self {
        Self::ConcurrentChange(format!("relation {oid}"))
    }

    pub fn state(&self) -> SqlState {
        match self {
            Self::NotBootstrapped => SqlState::CANNOT_CONNECT_NOW,
            Self::SchemaExists(_) => SqlState::DUPLICATE_SCHEMA,
            Self::NoSchema(_) => SqlState::INVALID_SCHEMA_NAME,
            Self::RelationExists(_) => SqlState::DUPLICATE_TABLE,
            Self::NoRelation(_) => SqlState::UNDEFINED_TABLE,
            Self::TypeExists(_)
            | Self::RoleExists(_)
            | Self::ConstraintExists { .. }
            | Self::CoordinatorExists(_)
            | Self::AddressTaken { .. } => SqlState::DUPLICATE_OBJECT,
            Self::OtherDirectory(_) | Self::CoordinatorRemoved => SqlState::CONNECTION_REJECTED,
            Self::NoType(_) | Self::NoRole(_) => SqlState::UNDEFINED_OBJECT,
            Self::NodeExists(..) | Self::NoNode(..) | Self::NoNodeId(_) => SqlState::INTERNAL_ERROR,
            Self::OnlyPlacement { .. } | Self::CannotColocate(..) => SqlState::INTERNAL_ERROR,
            Self::NoWorkers
            | Self::NoReferenceTables(_)
            | Self::WorkersId(_)
            | Self::IsCoordinator { .. }
            | Self::IdUsed { .. }
            | Self::LastCoordinator => SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE,
            Self::Dependents { .. } | Self::RoleInUse { .. } => {
                SqlState::DEPENDENT_OBJECTS_STILL_EXIST
            }
            Self::ConcurrentChange(_) | Self::Aborted(_) => SqlState::SERIALIZATION_FAILURE,
            Self::SequenceLimit { .. } => SqlState(*b"2200H"),
            Self::SequenceBounds { .. } => SqlState::NUMERIC_VALUE_OUT_OF_RANGE,
            Self::GroupMoving(_) => SqlState::OBJECT_IN_USE,
            Self::NoPlacement { .. } => SqlState::UNDEFINED_OBJECT,
            Self::SystemObject(_) => SqlState::INSUFFICIENT_PRIVILEGE,
            Self::IdsExhausted(_) | Self::Malformed(_) => SqlState::INTERNAL_ERROR,
        }
    }
}

impl From<Rejection> for SqlError {
    fn from(rejection: Rejection) -> Self {
        let error = Self::new(rejection.state(), rejection.to_string());
        match rejection {
            Rejection::Dependents { detail, .. } => {
                error.detail(detail).hint("Use DROP ... CASCADE to drop the dependent objects too.")
            }
            Rejection::RoleInUse { detail, .. } => error.detail(detail),
            Rejection::WorkersId(_) => error.hint("Coordinators and workers share one series of ids: take one that pg_dist_node does not have."),
            Rejection::CoordinatorExists(_) => {
                error.hint("satsuma_update_coordinator() gives it another address.")
            }
            Rejection::IdUsed { next, .. } => error
                .detail("Coordinators and workers share one series of ids, and none is given twice.")
                .hint(format!("The next one is {next}.")),
            Rejection::OtherDirectory(id) => error.hint(format!(
                "If its data is lost, remove it with SELECT satsuma_remove_coordinator({id}) and \
                 add one with a new id."
            )),
            Rejection::IsCoordinator { id, .. } => error.hint(format!(
                "SELECT satsuma_remove_coordinator({id}) takes it out of the cluster, and its \
                 vote with it."
            )),
            Rejection::CoordinatorRemoved => error.hint(
                "To be added again it needs an empty data directory and an id that no node has \
                 had.",
            ),
            Rejection::NoWorkers => error.hint("Add more worker nodes."),
            Rejection::OnlyPlacement { table, .. } => error
                .detail(format!(
                    "One of the table(s) that prevents the operation complete successfully is \
                     {table}"
                ))
                .hint(
                    "To proceed, either drop the tables or use undistribute_table() function to \
                     convert them to local tables",
                ),
            Rejection::CannotColocate(_, _, detail) => error.detail(detail),
            Rejection::ConcurrentChange(_) | Rejection::Aborted(_) => {
                error.hint("The transaction might succeed if retried.")
            }
            _ => error,
        }
    }
}
