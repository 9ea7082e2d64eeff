//! A small cluster, and tables as DDL would define them.

use satsuma_common::table::{Column, ForeignKey, ForeignKeyAction, TableShape, Timing};
use satsuma_common::{ColumnId, NodeId, Oid, PgType, TableId};

use crate::catalog::*;

/// One coordinator, `workers` workers on ports from 9701.
pub fn cluster(workers: u16) -> State {
    let mut state = State::default();
    let coordinator = CoordinatorAddress {
        node: NodeId(1),
        host: "127.0.0.1".into(),
        port: 9700,
        grpc: "127.0.0.1:7432".into(),
    };
    accept(
        &mut state,
        Command::Bootstrap {
            cluster: "test".into(),
            database: "citus".into(),
            superuser: "citus".into(),
            verifier: None,
            coordinators: vec![coordinator],
        },
    );
    for worker in 0..workers {
        join(&mut state, 9701 + worker);
    }
    state
}

pub fn add_node(port: u16) -> Command {
    Command::AddNode {
        host: "127.0.0.1".into(),
        port,
        directory: Some(format!("dir-{port}")),
        should_have_shards: true,
    }
}

/// Adds a worker that counts at once.
pub fn join(state: &mut State, port: u16) {
    join_unchecked(state, port);
    assert_eq!(check_invariants(state), Ok(()));
}

/// The same in catalogs that are too large to check each time.
pub fn join_unchecked(state: &mut State, port: u16) {
    let Outcome::Node(node) = apply(state, add_node(port)) else {
        panic!("adding a node answers with a node");
    };
    let active = Command::ChangeNode { node, change: NodeChange::Active(true) };
    assert_eq!(apply(state, active), Outcome::Done);
}

/// Applies a command that must be accepted.
pub fn accept(state: &mut State, command: Command) -> Outcome {
    let outcome = apply(state, command.clone());
    assert!(!matches!(outcome, Outcome::Rejected(_)), "{command:?}: {outcome:?}");
    assert_eq!(check_invariants(state), Ok(()));
    outcome
}

pub fn reserve(state: &mut State, request: IdRequest) -> Ids {
    accept(state, Command::Reserve(request)).ids().expect("ids")
}

pub fn column(id: u16, name: &str, ty: PgType, not_null: bool) -> Column {
    Column { id: ColumnId(id), name: name.into(), ty, not_null, missing: None }
}

/// `CREATE TABLE name (id bigint PRIMARY KEY, company_id bigint)`, not yet in the catalog.
pub fn table_def(ids: &mut Ids, name: &str) -> (TableDef, Vec<Index>) {
    let id = ids.table().expect("table id");
    let index_oid = ids.oid().expect("index oid");
    let constraint = ids.oid().expect("constraint oid");
    let key = format!("{name}_pkey");
    let shape = TableShape {
        table: id,
        version: 0,
        schema_name: "public".into(),
        name: name.into(),
        columns: vec![
            column(1, "id", PgType::Int8, true),
            column(2, "company_id", PgType::Int8, false),
        ],
        primary_key: vec![ColumnId(1)],
        primary_key_name: Some(key.clone()),
        checks: vec![],
        foreign_keys: vec![],
        referenced_by: vec![],
        indexes: Vec::new(),
    };
    let def = TableDef {
        shape: Shared::new(shape),
        schema: PUBLIC_SCHEMA_OID,
        owner: SUPERUSER_OID,
        defaults: vec![None; 2],
        generated: vec![None; 2],
        identity: vec![None; 2],
        constraint_oids: [(key.clone(), constraint)].into(),
        next_column: ColumnId(3),
        options: vec![],
        not_valid: [].into(),
    };
    (def, vec![primary_index(index_oid, &key, id)])
}

fn primary_index(oid: Oid, name: &str, table: TableId) -> Index {
    Index {
        oid,
        name: name.into(),
        schema: PUBLIC_SCHEMA_OID,
        table,
        method: "btree".into(),
        keys: vec![IndexKey::column(ColumnId(1))],
        include: vec![],
        unique: true,
        primary: true,
        constraint: true,
        nulls_not_distinct: false,
        predicate: None,
    }
}

pub fn foreign_key(name: &str, from: &TableDef, to: &Table) -> ForeignKey {
    ForeignKey {
        name: name.into(),
        table: from.shape.table,
        table_name: from.shape.name.clone(),
        columns: vec![ColumnId(2)],
        target: to.id(),
        target_name: to.shape.name.clone(),
        target_columns: vec![ColumnId(1)],
        on_delete: ForeignKeyAction::NoAction,
        on_update: ForeignKeyAction::NoAction,
        set_on_delete: Vec::new(),
        defaults: Vec::new(),
        full: false,
        timing: Timing::NotDeferrable,
    }
}

pub fn request(
    distribution: TableDistribution,
    colocate_with: ColocateWith,
) -> DistributionRequest {
    DistributionRequest {
        distribution,
        column_type: distribution.column().map(|_| PgType::Int8),
        shard_count: 32,
        colocate_with,
    }
}

/// Commands that place a table, with ids reserved for them.
pub fn place(state: &mut State, request: &DistributionRequest) -> Placed {
    let plan = plan(state, request).expect("plan");
    let wanted = plan.ids(state);
    let mut ids = reserve(state, wanted);
    plan.commands(state, &mut ids).expect("commands")
}

/// CREATE TABLE: a local table.
pub fn create_local(state: &mut State, name: &str) -> TableId {
    let mut ids = reserve(state, IdRequest::oids(3));
    let (def, indexes) = table_def(&mut ids, name);
    let id = def.shape.table;
    let placed = place(state, &request(TableDistribution::Local, ColocateWith::Default));
    accept(state, Command::CreateTable { def, placement: placed.placement, indexes });
    id
}

/// `create_distributed_table` and its relatives on a table without rows.
pub fn distribute(state: &mut State, table: TableId, request: &DistributionRequest) {
    let placed = place(state, request);
    if let Some(colocation) = placed.colocation {
        accept(state, colocation);
    }
    accept(state, Command::PlaceTable { table, placement: placed.placement });
}

/// A table distributed on `id`.
pub fn create_distributed(state: &mut State, name: &str) -> TableId {
    let table = create_local(state, name);
    let hash = TableDistribution::Hash(ColumnId(1));
    distribute(state, table, &request(hash, ColocateWith::Default));
    table
}
