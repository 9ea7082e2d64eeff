//! Requests. Turning one into a message can fail only on row batches that cannot travel.

use satsuma_common::table::ConstraintRef;
use satsuma_common::{Epoch, Generation, GroupId, NodeId, Oid, ShardId, TableId, Timestamp};

use super::{Wire, list, need};
use crate::batches::{decode_batches, decode_schema, encode_batches, encode_schema};
use crate::copy::CopyRequest;
use crate::error::WireError;
use crate::pb::worker as pb;
use crate::report::PlanStyle;
use crate::worker::{
    AdvisoryRequest, Change, Fragment, FragmentMode, Input, KeyRead, LoadRequest, LockRequest,
    Membership, ModifyRequest, OnConflict, QueryRequest, RowSource, ShardAction, TxnAction,
};
use satsuma_common::TxnId;

/// Everything that travels on the session stream.
#[derive(Clone, Debug, PartialEq)]
pub enum Request {
    Modify(ModifyRequest),
    ReadKey(KeyRead),
    Lock(LockRequest),
    Transact(TxnId, TxnAction),
    Shards(ShardAction),
    Status,
    Explain(QueryRequest, PlanStyle),
    Join(Membership),
    Copy(CopyRequest),
    /// With how many rows that nobody waits for.
    Locks(u32),
    CancelWait(TxnId, String),
    Advisory(AdvisoryRequest),
}

impl Request {
    /// Whether the caller must hear what became of it once it was sent: it may commit.
    pub fn commits(&self) -> bool {
        match self {
            Self::Modify(request) => request.commit,
            Self::Transact(_, action) => matches!(action, TxnAction::CommitOnePhase(_)),
            Self::ReadKey(_)
            | Self::Lock(_)
            | Self::Shards(_)
            | Self::Status
            | Self::Explain(..)
            | Self::Join(_)
            | Self::Copy(_)
            | Self::Locks(_)
            | Self::CancelWait(..)
            | Self::Advisory(_) => false,
        }
    }
}

impl TryFrom<Request> for pb::Request {
    type Error = WireError;

    fn try_from(request: Request) -> Wire<Self> {
        use pb::request::Kind;
        let kind = match request {
            Request::Modify(request) => Kind::Modify(request.try_into()?),
            Request::ReadKey(request) => Kind::ReadKey(request.into()),
            Request::Lock(request) => Kind::Lock(request.into()),
            Request::Transact(txn, action) => Kind::Transact(transact(txn, action)),
            Request::Shards(action) => Kind::Shards(action.into()),
            Request::Status => Kind::Status(pb::StatusRequest {}),
            Request::Explain(query, style) => {
                let style = Some(style.into());
                Kind::Explain(pb::ExplainRequest { query: Some(query.into()), style })
            }
            Request::Join(membership) => Kind::Join(membership.into()),
            Request::Copy(request) => Kind::Copy(request.into()),
            Request::Locks(rows) => Kind::Locks(pb::LocksRequest { rows }),
            Request::CancelWait(txn, detail) => {
                Kind::CancelWait(pb::CancelWaitRequest { txn: Some(txn.into()), detail })
            }
            Request::Advisory(request) => Kind::Advisory(request.into()),
        };
        Ok(Self { kind: Some(kind) })
    }
}

impl TryFrom<pb::Request> for Request {
    type Error = WireError;

    fn try_from(request: pb::Request) -> Wire<Self> {
        use pb::request::Kind;
        Ok(match need(request.kind, "request")? {
            Kind::Modify(request) => Self::Modify(request.try_into()?),
            Kind::ReadKey(request) => Self::ReadKey(request.try_into()?),
            Kind::Lock(request) => Self::Lock(request.try_into()?),
            Kind::Transact(request) => {
                let txn = need(request.txn, "transaction")?.into();
                Self::Transact(txn, txn_action(need(request.action, "action")?)?)
            }
            Kind::Shards(request) => Self::Shards(request.try_into()?),
            Kind::Status(pb::StatusRequest {}) => Self::Status,
            Kind::Explain(request) => Self::Explain(
                need(request.query, "query")?.try_into()?,
                request.style.map(Into::into).unwrap_or_default(),
            ),
            Kind::Join(membership) => Self::Join(membership.try_into()?),
            Kind::Copy(request) => Self::Copy(request.try_into()?),
            Kind::Locks(request) => Self::Locks(request.rows),
            Kind::CancelWait(request) => {
                let txn = need(request.txn, "transaction")?.into();
                Self::CancelWait(txn, super::text(request.detail)?)
            }
            Kind::Advisory(request) => Self::Advisory(request.try_into()?),
        })
    }
}

impl From<Fragment> for pb::Fragment {
    fn from(fragment: Fragment) -> Self {
        let mode = match fragment.mode {
            FragmentMode::Rows => pb::FragmentMode::Rows,
            FragmentMode::PartialAggregate => pb::FragmentMode::PartialAggregate,
        };
        Self { plan: fragment.plan, mode: mode.into(), constants: fragment.constants }
    }
}

impl TryFrom<pb::Fragment> for Fragment {
    type Error = WireError;

    fn try_from(fragment: pb::Fragment) -> Wire<Self> {
        let mode = pb::FragmentMode::try_from(fragment.mode)
            .map_err(|_| WireError::Unknown("fragment mode"))?;
        let mode = match mode {
            pb::FragmentMode::Rows => FragmentMode::Rows,
            pb::FragmentMode::PartialAggregate => FragmentMode::PartialAggregate,
        };
        Ok(Self { plan: fragment.plan, mode, constants: fragment.constants })
    }
}

impl From<QueryRequest> for pb::QueryRequest {
    fn from(request: QueryRequest) -> Self {
        Self {
            context: Some(request.context.into()),
            groups: request.groups.into_iter().map(Into::into).collect(),
            fragment: Some(request.fragment.into()),
            schema: encode_schema(&request.schema),
            inputs: request.inputs.iter().map(input).collect(),
            report: request.report.map(|report| report.style.into()),
        }
    }
}

fn input(input: &Input) -> pb::Input {
    pb::Input { schema: encode_schema(&input.schema), by_group: input.by_group }
}

impl TryFrom<pb::QueryRequest> for QueryRequest {
    type Error = WireError;

    fn try_from(request: pb::QueryRequest) -> Wire<Self> {
        Ok(Self {
            context: need(request.context, "context")?.try_into()?,
            groups: list(request.groups, TryInto::try_into)?,
            fragment: need(request.fragment, "fragment")?.try_into()?,
            schema: decode_schema(&request.schema)?,
            inputs: list(request.inputs, |input| {
                Ok(Input { schema: decode_schema(&input.schema)?, by_group: input.by_group })
            })?,
            report: request.report.map(Into::into),
        })
    }
}

impl TryFrom<ModifyRequest> for pb::ModifyRequest {
    type Error = WireError;

    fn try_from(request: ModifyRequest) -> Wire<Self> {
        use pb::change::Kind;
        let change = match request.change {
            Change::Insert { rows, on_conflict } => Kind::Insert(pb::Insert {
                rows: Some(rows.try_into()?),
                on_conflict: match on_conflict {
                    OnConflict::Fail => None,
                    OnConflict::DoNothing { arbiters } => Some(pb::OnConflict {
                        kind: Some(pb::on_conflict::Kind::DoNothing(pb::DoNothing {})),
                        arbiters: arbiters.into_iter().map(|oid| oid.0).collect(),
                    }),
                    OnConflict::DoUpdate { arbiters, fragment } => Some(pb::OnConflict {
                        kind: Some(pb::on_conflict::Kind::DoUpdate(fragment.into())),
                        arbiters: arbiters.into_iter().map(|oid| oid.0).collect(),
                    }),
                },
            }),
            Change::Update { rows } => Kind::Update(rows.try_into()?),
            Change::Delete { rows } => Kind::Delete(rows.try_into()?),
            Change::MoveOut { rows } => Kind::MoveOut(rows.try_into()?),
            Change::Truncate => Kind::Truncate(pb::Truncate {}),
        };
        Ok(Self {
            context: Some(request.context.into()),
            group: Some(request.group.into()),
            table: request.table.0,
            change: Some(pb::Change { kind: Some(change) }),
            returning: request.returning,
            commit: request.commit,
            in_turn: request.in_turn,
        })
    }
}

impl TryFrom<pb::ModifyRequest> for ModifyRequest {
    type Error = WireError;

    fn try_from(request: pb::ModifyRequest) -> Wire<Self> {
        use pb::change::Kind;
        let change = match need(request.change.and_then(|change| change.kind), "change")? {
            Kind::Insert(insert) => Change::Insert {
                rows: need(insert.rows, "rows")?.try_into()?,
                on_conflict: match insert.on_conflict {
                    None => OnConflict::Fail,
                    Some(conflict) => {
                        let arbiters = list(conflict.arbiters, |oid| Ok(Oid(oid)))?;
                        match need(conflict.kind, "conflict action")? {
                            pb::on_conflict::Kind::DoNothing(pb::DoNothing {}) => {
                                OnConflict::DoNothing { arbiters }
                            }
                            pb::on_conflict::Kind::DoUpdate(fragment) => {
                                OnConflict::DoUpdate { arbiters, fragment: fragment.try_into()? }
                            }
                        }
                    }
                },
            },
            Kind::Update(rows) => Change::Update { rows: rows.try_into()? },
            Kind::Delete(rows) => Change::Delete { rows: rows.try_into()? },
            Kind::MoveOut(rows) => Change::MoveOut { rows: rows.try_into()? },
            Kind::Truncate(pb::Truncate {}) => Change::Truncate,
        };
        Ok(Self {
            context: need(request.context, "context")?.try_into()?,
            group: need(request.group, "group")?.try_into()?,
            table: TableId(request.table),
            change,
            returning: request.returning,
            commit: request.commit,
            in_turn: request.in_turn,
        })
    }
}

impl TryFrom<RowSource> for pb::RowSource {
    type Error = WireError;

    fn try_from(rows: RowSource) -> Wire<Self> {
        let kind = match rows {
            RowSource::Batches(batches) => pb::row_source::Kind::Batches(encode_batches(&batches)?),
            RowSource::Fragment(fragment) => pb::row_source::Kind::Fragment(fragment.into()),
            RowSource::Encoded(rows) => pb::row_source::Kind::Encoded(pb::EncodedRows { rows }),
            RowSource::Keyed(row) => pb::row_source::Kind::Keyed(row.into()),
        };
        Ok(Self { kind: Some(kind) })
    }
}

impl TryFrom<pb::RowSource> for RowSource {
    type Error = WireError;

    fn try_from(rows: pb::RowSource) -> Wire<Self> {
        Ok(match need(rows.kind, "rows")? {
            pb::row_source::Kind::Batches(batches) => Self::Batches(decode_batches(batches)?),
            pb::row_source::Kind::Fragment(fragment) => Self::Fragment(fragment.try_into()?),
            pb::row_source::Kind::Encoded(encoded) => Self::Encoded(encoded.rows),
            pb::row_source::Kind::Keyed(row) => Self::Keyed(row.into()),
        })
    }
}

/// The request that opens a load; `schema` is that of every batch that follows.
pub fn load_request(request: LoadRequest, schema: bytes::Bytes) -> pb::LoadRequest {
    pb::LoadRequest {
        context: Some(request.context.into()),
        table: request.table.0,
        groups: request.groups.into_iter().map(Into::into).collect(),
        schema,
    }
}

impl TryFrom<pb::LoadRequest> for LoadRequest {
    type Error = WireError;

    fn try_from(request: pb::LoadRequest) -> Wire<Self> {
        Ok(Self {
            context: need(request.context, "context")?.try_into()?,
            table: TableId(request.table),
            groups: list(request.groups, TryInto::try_into)?,
        })
    }
}

fn transact(txn: TxnId, action: TxnAction) -> pb::TransactRequest {
    use pb::transact_request::Action;
    let action = match action {
        TxnAction::Prepare => Action::Prepare(pb::Prepare {}),
        TxnAction::Commit(at) => Action::Commit(at.0),
        TxnAction::CommitOnePhase(at) => Action::CommitOnePhase(at.0),
        TxnAction::Abort => Action::Abort(pb::Abort {}),
        TxnAction::UndoStatement(statement) => Action::UndoStatement(statement),
        TxnAction::RollbackTo(statement) => Action::RollbackTo(statement),
        TxnAction::CheckDeferred { statement, only } => {
            let constraints = |only: Vec<ConstraintRef>| pb::Constraints {
                constraints: only.into_iter().map(Into::into).collect(),
            };
            Action::CheckDeferred(pb::CheckDeferred { statement, only: only.map(constraints) })
        }
        TxnAction::PendingOn(table) => Action::PendingOn(table.0),
    };
    pb::TransactRequest { txn: Some(txn.into()), action: Some(action) }
}

fn txn_action(action: pb::transact_request::Action) -> Wire<TxnAction> {
    use pb::transact_request::Action;
    Ok(match action {
        Action::Prepare(pb::Prepare {}) => TxnAction::Prepare,
        Action::Commit(at) => TxnAction::Commit(Timestamp(at)),
        Action::CommitOnePhase(at) => TxnAction::CommitOnePhase(Timestamp(at)),
        Action::Abort(pb::Abort {}) => TxnAction::Abort,
        Action::UndoStatement(statement) => TxnAction::UndoStatement(statement),
        Action::RollbackTo(statement) => TxnAction::RollbackTo(statement),
        Action::CheckDeferred(check) => {
            let named = |only: pb::Constraints| list(only.constraints, ConstraintRef::try_from);
            let only = check.only.map(named).transpose()?;
            TxnAction::CheckDeferred { statement: check.statement, only }
        }
        Action::PendingOn(table) => TxnAction::PendingOn(TableId(table)),
    })
}

impl From<ShardAction> for pb::ShardRequest {
    fn from(action: ShardAction) -> Self {
        use pb::shard_request::Action;
        let action = match action {
            ShardAction::Create { shape, shards } => Action::Create(pb::CreateShards {
                shape: Some(shape.into()),
                shards: shards
                    .into_iter()
                    .map(|(shard, group, generation)| pb::NewShard {
                        shard: shard.0,
                        group: group.0,
                        generation: generation.0,
                    })
                    .collect(),
            }),
            ShardAction::Alter { shape, by } => {
                Action::Alter(pb::AlterTable { shape: Some(shape.into()), by: by.map(Into::into) })
            }
            ShardAction::Restore { shape } => Action::Restore(shape.into()),
            ShardAction::Drop { node, shards } => Action::Drop(pb::DropShards {
                node: node.0,
                shards: shards.into_iter().map(|shard| shard.0).collect(),
            }),
            ShardAction::SetGeneration { group, generation, epoch } => {
                Action::SetGeneration(pb::SetGeneration {
                    group: group.0,
                    generation: generation.0,
                    epoch: epoch.0,
                })
            }
            ShardAction::BuildIndexes { table, indexes, txn } => {
                Action::BuildIndexes(pb::BuildIndexes {
                    table: table.0,
                    indexes: indexes.into_iter().map(|oid| oid.0).collect(),
                    txn: Some(txn.into()),
                })
            }
            ShardAction::List => Action::List(pb::ListShards {}),
            ShardAction::OldestSnapshot { coordinator, snapshot } => {
                Action::OldestSnapshot(pb::OldestSnapshot {
                    coordinator: coordinator.0,
                    snapshot: snapshot.0,
                })
            }
        };
        Self { action: Some(action) }
    }
}

impl TryFrom<pb::ShardRequest> for ShardAction {
    type Error = WireError;

    fn try_from(request: pb::ShardRequest) -> Wire<Self> {
        use pb::shard_request::Action;
        Ok(match need(request.action, "shard action")? {
            Action::Create(create) => Self::Create {
                shape: need(create.shape, "table shape")?.try_into()?,
                shards: list(create.shards, |new| {
                    Ok((ShardId(new.shard), GroupId(new.group), Generation(new.generation)))
                })?,
            },
            Action::Alter(alter) => Self::Alter {
                shape: need(alter.shape, "table shape")?.try_into()?,
                by: alter.by.map(TxnId::from),
            },
            Action::Restore(shape) => Self::Restore { shape: shape.try_into()? },
            Action::Drop(drop) => {
                let node = NodeId(drop.node);
                Self::Drop { node, shards: list(drop.shards, |shard| Ok(ShardId(shard)))? }
            }
            Action::SetGeneration(set) => Self::SetGeneration {
                group: GroupId(set.group),
                generation: Generation(set.generation),
                epoch: Epoch(set.epoch),
            },
            Action::BuildIndexes(build) => Self::BuildIndexes {
                table: TableId(build.table),
                indexes: list(build.indexes, |oid| Ok(Oid(oid)))?,
                txn: need(build.txn, "transaction")?.into(),
            },
            Action::List(pb::ListShards {}) => Self::List,
            Action::OldestSnapshot(oldest) => Self::OldestSnapshot {
                coordinator: NodeId(oldest.coordinator),
                snapshot: Timestamp(oldest.snapshot),
            },
        })
    }
}
