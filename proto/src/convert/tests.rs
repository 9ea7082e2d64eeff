use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch};
use bytes::Bytes;
use prost::Message;
use satsuma_common::index::{IndexKeyShape, IndexMethod, IndexShape, IndexedValue};
use satsuma_common::table::{
    Check, Column, ConstraintModes, ConstraintRef, ForeignKey, ForeignKeyAction, TableShape, Timing,
};
use satsuma_common::{
    ColumnId, Epoch, Generation, NodeId, NumericMod, Oid, PgType, SqlError, SqlResult, SqlState,
};

use super::*;
use crate::copy::{CopyAction, CopyReply, CopyRequest, ShardSum, Watermark};
use crate::report::{PlanStyle, ReportWanted};
use crate::worker::*;

fn constraint(name: &str) -> ConstraintRef {
    ConstraintRef { table: TableId(16384), name: name.into() }
}

fn context() -> StatementContext {
    StatementContext {
        txn: TxnId { start: Timestamp(77), coordinator: NodeId(3) },
        snapshot: Timestamp(99),
        statement: 4,
        lock_timeout: Some(Duration::from_millis(250)),
        timeout: None,
        memory_limit: 1 << 30,
        time_zone: "Europe/Berlin".into(),
        now_micros: -5,
        constraints: ConstraintModes {
            all: Some(false),
            named: [(constraint("ads_fk"), true), (constraint("ads_kind_fk"), false)].into(),
        },
        has_written: true,
        rewrites: true,
    }
}

fn group() -> GroupRef {
    let shard = TableShard { table: TableId(16384), shard: ShardId(102008), version: 7 };
    GroupRef { group: GroupId(2), generation: Generation(5), shards: vec![shard] }
}

fn rows() -> RecordBatch {
    let ids: ArrayRef = Arc::new(Int64Array::from(vec![1, 2, 3]));
    RecordBatch::try_from_iter([("id", ids)]).unwrap()
}

fn shape() -> TableShape {
    let column = |id, name: &str, ty| Column {
        id: ColumnId(id),
        name: name.into(),
        ty,
        not_null: id == 1,
        missing: (id == 2).then(|| vec![1, 2]),
    };
    let key = ForeignKey {
        name: "ads_fk".into(),
        table: TableId(16384),
        table_name: "ads".into(),
        columns: vec![ColumnId(1)],
        target: TableId(16390),
        target_name: "companies".into(),
        target_columns: vec![ColumnId(2)],
        on_delete: ForeignKeyAction::Cascade,
        on_update: ForeignKeyAction::SetDefault,
        set_on_delete: vec![ColumnId(1)],
        defaults: Vec::new(),
        full: true,
        timing: Timing::Deferred,
    };
    TableShape {
        table: TableId(16384),
        version: 3,
        schema_name: "public".into(),
        name: "ads".into(),
        columns: vec![
            column(1, "id", PgType::Int8),
            column(2, "cost", PgType::Numeric(Some(NumericMod { precision: 20, scale: 10 }))),
            column(5, "tags", PgType::Array(Box::new(PgType::Varchar(Some(9))))),
            column(6, "state", PgType::Enum(Oid(17000))),
            column(7, "states", PgType::Array(Box::new(PgType::Enum(Oid(17000))))),
        ],
        primary_key: vec![ColumnId(1)],
        primary_key_name: Some("ads_pkey".into()),
        checks: vec![Check { name: "positive".into(), condition: "cost > 0".into() }],
        foreign_keys: vec![key.clone()],
        referenced_by: vec![ForeignKey {
            table: TableId(16400),
            target: TableId(16384),
            target_columns: vec![ColumnId(1)],
            ..key
        }],
        indexes: vec![
            IndexShape {
                id: Oid(16500),
                name: "ads_cost".into(),
                method: IndexMethod::Ordered,
                keys: vec![IndexKeyShape {
                    value: IndexedValue::Column(ColumnId(2)),
                    ty: PgType::Numeric(Some(NumericMod { precision: 20, scale: 10 })),
                }],
                unique: true,
                nulls_not_distinct: true,
                constraint: true,
                predicate: None,
            },
            IndexShape {
                id: Oid(16501),
                name: "ads_expr".into(),
                method: IndexMethod::Documents,
                keys: vec![IndexKeyShape {
                    value: IndexedValue::Expression("tags[1]".into()),
                    ty: PgType::Jsonb,
                }],
                unique: false,
                nulls_not_distinct: false,
                constraint: false,
                predicate: Some("cost > 0".into()),
            },
        ],
    }
}

fn advisory(action: AdvisoryAction) -> Request {
    let (txn, session) = (context().txn, TxnId { start: Timestamp(5), coordinator: NodeId(3) });
    let name = vec![1, 2];
    Request::Advisory(AdvisoryRequest {
        txn,
        session,
        for_session: true,
        name,
        shared: true,
        action,
    })
}

fn locks() -> Locks {
    let things = [
        LockedThing::Row(ShardId(1), vec![2]),
        LockedThing::Shard(ShardId(3)),
        LockedThing::Advisory(vec![4]),
    ];
    let modes = [
        LockMode::Row(RowLockMode::NoKeyUpdate),
        LockMode::Table(TableLockMode::AccessShare),
        LockMode::Table(TableLockMode::AccessExclusive),
    ];
    let txn = context().txn;
    let of = |(thing, mode)| LockEntry { txn, thing, mode, granted: mode == modes[0] };
    let edge = WaitEdge { wait: 8, waiter: txn, holder: txn, thing: things[1].clone() };
    Locks { entries: things.into_iter().zip(modes).map(of).collect(), waits: vec![edge] }
}

fn requests() -> Vec<Request> {
    let plan = Fragment {
        plan: Bytes::from_static(b"plan"),
        mode: FragmentMode::PartialAggregate,
        constants: vec![Bytes::from_static(b"five")],
    };
    let modify = |change| {
        Request::Modify(ModifyRequest {
            context: context(),
            group: group(),
            table: TableId(16384),
            change,
            returning: true,
            commit: true,
            in_turn: true,
        })
    };
    let lock = |target, wait| {
        let (context, group, table) = (context(), group(), TableId(16384));
        let (limit, skip_deleted, in_turn) = (Some(3), true, true);
        Request::Lock(LockRequest {
            context,
            group,
            table,
            target,
            wait,
            limit,
            skip_deleted,
            in_turn,
        })
    };
    let txn = context().txn;
    let query = QueryRequest {
        context: context(),
        groups: vec![group(), group()],
        fragment: plan.clone(),
        schema: rows().schema(),
        inputs: vec![Input { schema: rows().schema(), by_group: true }],
        report: Some(ReportWanted::new(PlanStyle { verbose: false, timing: true })),
    };
    vec![
        modify(Change::Insert {
            rows: RowSource::Batches(vec![rows(), rows()]),
            on_conflict: OnConflict::DoUpdate { arbiters: vec![Oid(0)], fragment: plan.clone() },
        }),
        modify(Change::Insert {
            rows: RowSource::Fragment(plan.clone()),
            on_conflict: OnConflict::DoNothing { arbiters: vec![Oid(0), Oid(16500)] },
        }),
        modify(Change::Insert { rows: RowSource::Batches(vec![]), on_conflict: OnConflict::Fail }),
        modify(Change::Update { rows: RowSource::Fragment(plan.clone()) }),
        modify(Change::MoveOut { rows: RowSource::Batches(vec![rows()]) }),
        modify(Change::Delete { rows: RowSource::Fragment(plan) }),
        modify(Change::Insert {
            rows: RowSource::Encoded(vec![Bytes::from_static(b"row"), Bytes::new()]),
            on_conflict: OnConflict::Fail,
        }),
        modify(Change::Update {
            rows: RowSource::Keyed(KeyedRow {
                key: Bytes::from_static(b"key"),
                newest: true,
                assignments: Some(Assignments {
                    id: ProgramId { origin: u64::MAX, number: 3 },
                    program: Some(Program {
                        plan: Bytes::from_static(b"plan"),
                        inputs: vec![0, 2],
                        targets: vec![2],
                    }),
                    params: vec![None, Some(Bytes::new()), Some(Bytes::from_static(b"1"))],
                }),
            }),
        }),
        modify(Change::Delete {
            rows: RowSource::Keyed(KeyedRow {
                key: Bytes::from_static(b"key"),
                newest: false,
                assignments: None,
            }),
        }),
        Request::ReadKey(KeyRead {
            context: context(),
            group: group(),
            table: TableId(16384),
            key: Bytes::from_static(b"key"),
        }),
        modify(Change::Truncate),
        lock(LockTarget::Rows(vec![vec![1], vec![]], RowLockMode::NoKeyUpdate), LockWait::Wait),
        lock(LockTarget::Shard(TableLockMode::ShareRowExclusive), LockWait::SkipLocked),
        lock(
            LockTarget::Shards(ShardLocks {
                others: vec![group()],
                mode: TableLockMode::RowExclusive,
                all_rows: Some(RowLockMode::Share),
            }),
            LockWait::Wait,
        ),
        Request::Transact(txn, TxnAction::Prepare),
        Request::Transact(txn, TxnAction::Commit(Timestamp(8))),
        Request::Transact(txn, TxnAction::CommitOnePhase(Timestamp(9))),
        Request::Transact(txn, TxnAction::Abort),
        Request::Transact(txn, TxnAction::UndoStatement(3)),
        Request::Transact(txn, TxnAction::RollbackTo(0)),
        Request::Transact(txn, TxnAction::CheckDeferred { statement: 4, only: None }),
        Request::Transact(
            txn,
            TxnAction::CheckDeferred { statement: 5, only: Some(vec![constraint("ads_fk")]) },
        ),
        Request::Transact(txn, TxnAction::PendingOn(TableId(16384))),
        Request::Shards(ShardAction::Create {
            shape: shape(),
            shards: vec![(ShardId(1), GroupId(2), Generation(3))],
        }),
        Request::Shards(ShardAction::Alter { shape: shape(), by: None }),
        Request::Shards(ShardAction::Alter { shape: shape(), by: Some(txn) }),
        Request::Shards(ShardAction::Restore { shape: shape() }),
        Request::Shards(ShardAction::Drop { node: NodeId(3), shards: vec![ShardId(4)] }),
        Request::Shards(ShardAction::SetGeneration {
            group: GroupId(1),
            generation: Generation(2),
            epoch: Epoch(3),
        }),
        Request::Shards(ShardAction::List),
        Request::Shards(ShardAction::OldestSnapshot {
            coordinator: NodeId(3),
            snapshot: Timestamp(1_700_000_000_000_000),
        }),
        Request::Status,
        Request::Explain(query, PlanStyle { verbose: true, timing: false }),
        Request::Join(Membership {
            cluster: "c".into(),
            node: NodeId(2),
            coordinators: vec!["a:1".into()],
        }),
        Request::Locks(7),
        Request::CancelWait(txn, "because".into()),
        advisory(AdvisoryAction::Wait(None)),
        advisory(AdvisoryAction::Wait(Some(Duration::from_millis(5)))),
        advisory(AdvisoryAction::Try),
        advisory(AdvisoryAction::Unlock),
    ]
    .into_iter()
    .chain(copies())
    .collect()
}

fn watermark() -> Watermark {
    Watermark { read: Timestamp(1), commit: Timestamp(2), horizon: Timestamp(3) }
}

fn copies() -> impl Iterator<Item = Request> {
    let generation = Generation(9);
    let activate = CopyAction::Activate {
        generation,
        epoch: Epoch(2),
        watermark: watermark(),
        shapes: vec![shape()],
        shards: vec![ShardId(1)],
    };
    [
        CopyAction::Begin { generation },
        CopyAction::Open,
        CopyAction::Next,
        CopyAction::Write { chunk: vec![3].into() },
        CopyAction::Checksum { snapshot: Timestamp(4) },
        CopyAction::Hold { timeout: std::time::Duration::from_millis(150) },
        CopyAction::Release,
        CopyAction::Fence { generation, leaving: true },
        activate,
        CopyAction::Snapshot { snapshot: Timestamp(5) },
        CopyAction::Drop { generation },
    ]
    .into_iter()
    .map(|action| {
        let (group, movement) = (GroupId(1), satsuma_common::MoveId(2));
        Request::Copy(CopyRequest { group, movement, attempt: 3, action })
    })
}

#[test]
fn every_request_survives_the_wire() {
    for request in requests() {
        let bytes = pb::Request::try_from(request.clone()).unwrap().encode_to_vec();
        let decoded = pb::Request::decode(&bytes[..]).unwrap();
        assert_eq!(Request::try_from(decoded).unwrap(), request);
    }
}

#[test]
fn every_response_survives_the_wire() {
    let status = WorkerStatus {
        cluster: Some("c".into()),
        node: Some(NodeId(4)),
        directory: "d".into(),
        lsn: satsuma_common::Lsn(12),
        prepared: vec![context().txn],
    };
    let shard = ShardStatus {
        shard: ShardId(1),
        table: TableId(2),
        group: GroupId(3),
        rows: 4,
        bytes: 5,
        generation: Generation(6),
        defined_by: Some(context().txn),
        indexes: vec![(Oid(6), 7)],
    };
    let error = SqlError::new(SqlState::UNIQUE_VIOLATION, "duplicate key")
        .detail("d")
        .hint("h")
        .context("c")
        .at(7)
        .table("public", "ads")
        .column("id")
        .data_type("int8")
        .constraint("ads_pkey");
    let responses = [
        Response::Failed(error),
        Response::Modify(ModifyReply {
            count: 3,
            returned: vec![rows()],
            commit_ts: Some(Timestamp(5)),
        }),
        Response::Locked(vec![vec![1, 2]]),
        Response::Transact(TxnReply { timestamp: None, pending: true }),
        Response::Shards(ShardReply { shards: vec![shard] }),
        Response::Status(status.clone()),
        Response::Explain(vec!["Seq Scan".into()]),
        Response::Joined(status),
        Response::Copied(CopyReply {
            chunk: vec![1, 2].into(),
            position: satsuma_common::Lsn(1),
            end: satsuma_common::Lsn(2),
            bytes: 3,
            sent: 4,
            sums: vec![ShardSum { shard: ShardId(5), rows: 6, sum: u64::MAX }],
            watermark: watermark(),
            shards: vec![ShardId(7)],
        }),
        Response::Locks(locks()),
        Response::Cancelled(()),
        Response::Advisory(true),
    ];
    for response in responses {
        let bytes = pb::Response::from(response.clone()).encode_to_vec();
        let decoded = pb::Response::decode(&bytes[..]).unwrap();
        assert_eq!(Response::try_from(decoded).unwrap(), response);
    }
}

/// Any damage gives a request or an error; nothing panics.
#[test]
fn damaged_requests_are_errors() {
    let quiet = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| {}));
    for request in requests() {
        let bytes = pb::Request::try_from(request).unwrap().encode_to_vec();
        for position in 0..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[position] ^= 0x2a;
            for bytes in [&damaged[..], &bytes[..position]] {
                if let Ok(message) = pb::Request::decode(bytes) {
                    let _: SqlResult<Request> = Request::try_from(message).map_err(SqlError::from);
                }
            }
        }
    }
    std::panic::set_hook(quiet);
}

#[test]
fn shapes_that_contradict_themselves_are_refused() {
    let broken: [fn(&mut types::TableShape); 5] = [
        |shape| shape.primary_key = vec![3],
        |shape| shape.primary_key = vec![1, 1],
        |shape| shape.columns[0].id = 70_000,
        |shape| shape.columns[1].id = 1,
        |shape| shape.foreign_keys[0].target_columns.clear(),
    ];
    for damage in broken {
        let mut message = types::TableShape::from(shape());
        damage(&mut message);
        assert!(TableShape::try_from(message).is_err());
    }
    let nested = types::PgType { oid: 1007, typmod: -1, is_enum: false, is_array: true };
    assert!(PgType::try_from(nested).is_err());
}
