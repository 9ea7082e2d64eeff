//! Statements that are no queries: what they are bound to.

use satsuma_common::{PgType, SqlState};

use super::world::World;
use super::{bind_one, bind_with, run};
use crate::bound::{Bound, OutputColumn};
use crate::catalog_view::TableInfo;

#[test]
fn parameters_take_their_types_from_use() {
    let world = World::new();
    let types = |sql: &str| bind_one(sql, &world.env).map(|(_, types)| types);
    assert_eq!(types("select name from emp where id = $1").unwrap(), [PgType::Int4]);
    assert_eq!(
        types("select $1, $2::bigint, name from emp where name like $3").unwrap(),
        [PgType::Text, PgType::Int8, PgType::Text]
    );
    assert_eq!(
        types("select 1 from emp where $1 is null").unwrap_err().state(),
        SqlState::INDETERMINATE_DATATYPE
    );
    assert_eq!(
        types("select $2::int").unwrap_err().message(),
        "could not determine data type of parameter $1"
    );
    let declared = bind_with("select $1 + 1", &world.env, &[Some(PgType::Int8)]).unwrap();
    assert_eq!(declared.1, [PgType::Int8]);
}

#[test]
fn plans_hold_no_subqueries_that_refer_outwards() {
    let world = World::new();
    for sql in [
        "select (select d.name from dept d where d.id = e.dept_id limit 1) from emp e",
        "select * from emp e where exists (select 1 from dept d where d.id = e.dept_id)",
        "select e.name, x.n from emp e, lateral (select count(*) n from t where t.a = e.id) x",
    ] {
        let (Bound::Query(query), _) = bind_one(sql, &world.env).unwrap() else {
            panic!("no query: {sql}")
        };
        let text = query.plan.display_indent().to_string();
        assert!(!text.contains("outer_ref"), "{sql}\n{text}");
    }
}

#[test]
fn long_chains_fit_the_stack_of_a_servers_thread() {
    use crate::parse::{MAX_CHAIN, MAX_LOGICAL_CHAIN, parse};
    let run = || {
        let world = World::new();
        let sum = format!("id{}", " + id".repeat(MAX_CHAIN - 10));
        let ors = format!("id = 0{}", " or id = 7".repeat(MAX_LOGICAL_CHAIN - 1));
        for sql in [
            format!("select {sum} from emp where id / id = 2 and ({ors})"),
            format!("select 1 from emp where {} and {sum} = 1", ors.replace("id =", "1 / id =")),
        ] {
            let copy = parse(&sql).expect("a statement").clone();
            drop(copy);
            assert!(bind_one(&sql, &world.env).is_ok());
        }
    };
    let thread = std::thread::Builder::new().stack_size(32 << 20).spawn(run);
    assert!(thread.expect("a thread").join().is_ok());
}

#[test]
fn insert_fills_every_column() {
    let world = World::new();
    let env = world.with_table("emp", |table| {
        table.defaults[3] = Some("10 * 2".into());
        table.generated[2] = Some("id + 100".into());
    });
    let (Bound::Insert(insert), _) =
        bind_one("insert into emp (name, id) values ('zoe', 9), ('yan', default)", &env).unwrap()
    else {
        panic!("no insert")
    };
    let columns = columns_of(&world.table("emp"));
    let rows = run(insert.source, &columns, &world).unwrap();
    assert_eq!(rows[0], ["9", "zoe", "109", "20.00", "NULL", "NULL"]);
    assert_eq!(rows[1], ["NULL", "yan", "NULL", "20.00", "NULL", "NULL"]);

    let error = |sql: &str| bind_one(sql, &env).unwrap_err();
    assert_eq!(error("insert into emp (dept_id) values (1)").state().as_str(), "428C9");
    assert_eq!(
        error("insert into emp (id) values (true)").message(),
        "column \"id\" is of type integer but expression is of type boolean"
    );
    assert_eq!(
        error("insert into emp (id, id) values (1, 2)").message(),
        "column \"id\" specified more than once"
    );
    assert_eq!(
        error("insert into emp (id) values (1, 2)").message(),
        "INSERT has more expressions than target columns"
    );
}

#[test]
fn update_yields_key_and_new_row() {
    let world = World::new();
    let (Bound::Update(update), _) = bind_one(
        "update emp e set salary = salary + 1, boss = d.id from dept d where d.id = e.dept_id \
         and d.name = 'sales' returning e.id, d.name",
        &world.env,
    )
    .unwrap() else {
        panic!("no update")
    };
    let mut columns = vec![output("key", PgType::Bytea)];
    columns.extend(columns_of(&world.table("emp")));
    columns.push(output("extra", PgType::Text));
    let mut rows = run(update.source, &columns, &world).unwrap();
    rows.sort();
    assert_eq!(rows[0], ["\\x00", "1", "ann", "1", "101.00", "2020-01-15", "1", "sales"]);
    assert_eq!(rows.len(), 2);
    let returning = update.returning.unwrap();
    let names: Vec<_> = returning.columns.iter().map(|c| c.name.as_str()).collect();
    assert_eq!(names, ["id", "name"]);
    assert_eq!(update.assigned.len(), 2);
}

#[test]
fn delete_using_finds_each_row_once() {
    let world = World::new();
    let (Bound::Delete(delete), _) =
        bind_one("delete from dept using emp where emp.dept_id = dept.id", &world.env).unwrap()
    else {
        panic!("no delete")
    };
    let mut rows = run(delete.source, &[output("key", PgType::Bytea)], &world).unwrap();
    rows.sort();
    assert_eq!(rows, [["\\x00"], ["\\x01"]]);
}

#[test]
fn on_conflict_needs_the_primary_key() {
    let world = World::new();
    let bound = |sql: &str| bind_one(sql, &world.env);
    assert!(
        bound(
            "insert into dept values (1, 'x') on conflict (id) do update set name = excluded.name \
         where dept.name <> excluded.name returning *"
        )
        .is_ok()
    );
    assert_eq!(
        bound("insert into dept values (1) on conflict (name) do nothing").unwrap_err().state(),
        SqlState::INVALID_COLUMN_REFERENCE
    );
    assert_eq!(
        bound("insert into dept values (1) on conflict do update set name = 'x'")
            .unwrap_err()
            .state(),
        SqlState::SYNTAX_ERROR
    );
    assert!(
        bound("insert into dept values (1) on conflict on constraint dept_pkey do nothing").is_ok()
    );
}

#[test]
fn cluster_functions_are_calls() {
    let world = World::new();
    let call = |sql: &str| match bind_one(sql, &world.env) {
        Ok((Bound::Call(call), _)) => call,
        other => panic!("{sql}: {other:?}"),
    };
    let plain = call("SELECT create_distributed_table('emp', 'id', colocate_with => 'none')");
    assert_eq!(plain.name, "create_distributed_table");
    let given: Vec<bool> = plain.arguments.iter().map(Option::is_some).collect();
    assert_eq!(given, [true, true, false, true, false]);
    let relation = call("select * from rebalance_table_shards()");
    assert!(relation.as_relation);
    assert!(bind_one("select create_reference_table('nosuch')", &world.env).is_err());
    assert!(matches!(bind_one("select upper('a')", &world.env), Ok((Bound::Query(_), _))));
}

fn output(name: &str, ty: PgType) -> OutputColumn {
    OutputColumn::new(name, ty)
}

fn columns_of(table: &TableInfo) -> Vec<OutputColumn> {
    table.shape.columns.iter().map(|c| output(&c.name, c.ty.clone())).collect()
}

#[test]
fn sums_of_wide_products_multiply_decimals() {
    let world = World::new();
    let sql = "select sum(budget * (1 - budget) * (1 + budget)) from dept";
    let (Bound::Query(query), _) = bind_one(sql, &world.env).unwrap() else { panic!() };
    let text = query.plan.display_indent().to_string();
    assert!(text.contains("sum#product"), "{text}");
}
