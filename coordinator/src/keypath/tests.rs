//! Statements on `orders (id bigint PRIMARY KEY, company_id bigint)`, distributed on `id`, and on
//! a reference table of the same shape.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use satsuma_common::{Datum, Oid, PgType, SqlError, SqlResult};
use satsuma_sql::bind::{BindContext, bind};
use satsuma_sql::functions::{FunctionEnv, SequenceAccess};
use satsuma_sql::parse::parse;

use super::*;
use crate::catalog::tests::*;
use crate::catalog::{CatalogSnapshot, ColocateWith, SUPERUSER_OID, State, TableDistribution};
use crate::system_relations::{Nobody, SessionFunctions, SystemCatalog};

#[derive(Debug)]
struct NoSequences;

impl SequenceAccess for NoSequences {
    fn next_value(&self, _: Oid) -> SqlResult<i64> {
        Err(SqlError::internal("no sequences"))
    }

    fn current_value(&self, _: Oid) -> SqlResult<i64> {
        Err(SqlError::internal("no sequences"))
    }

    fn set_value(&self, _: Oid, _: i64, _: bool) -> SqlResult<i64> {
        Err(SqlError::internal("no sequences"))
    }

    fn last_value(&self) -> SqlResult<i64> {
        Err(SqlError::internal("no sequences"))
    }
}

struct World {
    state: Arc<State>,
    programs: Programs,
}

impl World {
    fn new() -> Self {
        let mut state = cluster(2);
        create_distributed(&mut state, "orders");
        let lands = create_local(&mut state, "lands");
        distribute(
            &mut state,
            lands,
            &request(TableDistribution::Reference, ColocateWith::Default),
        );
        Self { state: Arc::new(state), programs: Programs::default() }
    }

    /// The statement's key path and the types of its parameters.
    fn recognise(&self, sql: &str) -> (Option<KeyStatement>, Vec<PgType>) {
        let catalog = CatalogSnapshot {
            state: self.state.clone(),
            search_path: vec!["public".into()],
            user: SUPERUSER_OID,
            system: Arc::new(SystemCatalog::new(Arc::new(Nobody))),
            new_labels: Arc::default(),
        };
        let functions = SessionFunctions::new(catalog.clone(), Arc::new(Nobody), Arc::default());
        let env = FunctionEnv {
            settings: Arc::default(),
            identity: Arc::default(),
            search_path: Arc::new(vec!["public".into()]),
            catalog: Arc::new(catalog.clone()),
            catalog_functions: Arc::new(functions),
            sequences: Arc::new(NoSequences),
            parameters: None,
            depends_on_session: Arc::new(AtomicBool::new(false)),
        };
        let parsed = parse(sql).unwrap();
        let context =
            BindContext { catalog: &catalog, env: &env, param_types: Some(&[]), param_values: &[] };
        let (bound, params) = bind(&parsed[0], &context).unwrap();
        (recognise(&bound, &params, &self.programs), params)
    }

    fn known(&self, sql: &str) -> (KeyStatement, Vec<PgType>) {
        let (found, params) = self.recognise(sql);
        (found.unwrap_or_else(|| panic!("no key path: {sql}")), params)
    }
}

#[test]
fn single_rows_by_key_are_recognised_and_nothing_else() {
    let world = World::new();
    for sql in [
        "select * from orders where id = $1",
        "select company_id, id, id from orders o where 7 = o.id",
        "select x.company_id from (select * from orders) x where x.id = $1 limit 1",
        "select * from orders where id = $1::int + 1",
        "select * from lands where id = $1",
        "insert into orders values ($1, $2)",
        "insert into orders (company_id, id) values ($1 * 2, 3), (5, $2) on conflict do nothing",
        "insert into orders values ($1, $2) returning company_id, id",
        "update orders set company_id = company_id + $1 where id = $2",
        "update orders set company_id = default where id = 1 returning *",
        "delete from orders where id = $1 returning id",
    ] {
        world.known(sql);
    }
    for sql in [
        "select * from orders",
        "select * from orders where id = 1 or id = 2",
        "select * from orders where id = $1 and company_id = 1",
        "select * from orders where id > $1",
        "select * from orders where id = company_id",
        "select count(*) from orders where id = $1",
        "select * from orders where id = $1 limit 0",
        "select * from orders where id = $1 offset 1",
        "select * from orders where id = $1 for update",
        "select * from orders where id = (random() * 10)::bigint",
        "select a.id from orders a, orders b where a.id = 1 and b.id = 1",
        "insert into lands values (1, 2)",
        "insert into orders select * from orders",
        "insert into orders values (1, (select 2))",
        "insert into orders values ($1, 1) on conflict (id) do update set company_id = 2",
        "update lands set company_id = 1 where id = 1",
        "update orders set id = 2 where id = 1",
        "update orders set company_id = 2 where company_id = 1",
        "update orders set company_id = 1 where id = 2 returning company_id + 1",
        "delete from orders",
        "delete from lands where id = 1",
    ] {
        assert!(world.recognise(sql).0.is_none(), "{sql}");
    }
}

#[test]
fn keys_lead_to_the_shard_that_the_hash_names() {
    let world = World::new();
    let (statement, types) = world.known("select company_id from orders where id = $1");
    let KeyAction::Select { key, output, .. } = &statement.action else { panic!("no select") };
    assert_eq!(output, &[1]);
    let table = world.state.table_arc(statement.table.info.shape.table).unwrap();
    let params = [Datum::Int8(5)];
    let values = Values::new(&params, &types);
    let (encoded, distribution) = statement.table.key(key, &values).unwrap().unwrap();
    assert_eq!(distribution, Datum::Int8(5));
    let target = statement.table.target(&world.state, &table, &distribution).unwrap();
    // worker_hash(5::bigint) = -1330264708: the seventh of 32 ranges.
    assert_eq!(target.index, 6);
    let (row, _) = {
        let (insert, types) = world.known("insert into orders values ($1, $1 + 1)");
        let KeyAction::Insert { rows, .. } = &insert.action else { panic!("no insert") };
        insert.table.row(&rows[0], &Values::new(&params, &types)).unwrap()
    };
    let batch = statement.table.batch(&[row.into()], &[1, 0]).unwrap();
    let company = satsuma_common::arrow_values::datum_at(batch.column(0), 0, &PgType::Int8);
    assert_eq!(company.unwrap(), Datum::Int8(6));
    assert!(!encoded.is_empty());
    let nothing = [Datum::Null];
    assert!(statement.table.key(key, &Values::new(&nothing, &types)).unwrap().is_none());
}

#[test]
fn updates_that_differ_in_constants_share_a_program() {
    let world = World::new();
    let id = |sql: &str| match world.known(sql).0.action {
        KeyAction::Update { program, .. } => program.id,
        other => panic!("no update: {other:?}"),
    };
    let first = id("update orders set company_id = 5 where id = 1");
    assert_eq!(id("update orders set company_id = 6 where id = $1"), first);
    assert_ne!(id("update orders set company_id = company_id where id = 1"), first);
}

#[test]
fn a_program_is_sent_once_to_each_worker() {
    use satsuma_common::NodeId;
    let world = World::new();
    let (statement, _) = world.known("update orders set company_id = $1 where id = $2");
    let KeyAction::Update { program, params, .. } = &statement.action else { panic!("no update") };
    assert_eq!(params.len(), 1);
    assert!(program.to_send(NodeId(2)).is_some_and(|program| program.targets == [1]));
    assert!(program.to_send(NodeId(2)).is_none());
    assert!(program.to_send(NodeId(3)).is_some());
    program.forgotten_by(NodeId(2));
    assert!(program.to_send(NodeId(2)).is_some());
}
