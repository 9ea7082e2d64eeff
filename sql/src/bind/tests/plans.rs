//! Statements that are no queries: what they are bound to.

use satsuma_common::SqlState;

use super::world::World;
use super::{bind_one, bind_with};
use crate::bound::Bound;
use satsuma_common::PgType;

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
