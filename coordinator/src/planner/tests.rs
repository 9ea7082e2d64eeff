//! Plans over a fixed topology: two co-located hash tables (`a`, `b`), one of another
//! co-location (`c`), a reference table (`r`) and a local one (`l`).

use std::sync::Arc;

use datafusion::common::JoinType;
use datafusion::functions_aggregate::expr_fn::sum;
use datafusion::logical_expr::{
    AggregateUDF, Expr, LogicalPlanBuilder, ScalarUDF, WindowUDF, col, lit,
};
use satsuma_common::table::{Column, TableShape};
use satsuma_common::{ColocationId, ColumnId, GroupId, HashRange, PgType, TableId};
use satsuma_sql::catalog_view::{Distribution, TableInfo};
use satsuma_sql::codec::FunctionLookup;
use satsuma_sql::table::ScanSource;

use super::*;

struct Fixed;

const GROUPS: u64 = 4;

impl Topology for Fixed {
    fn place(&self, table: TableId) -> Option<TablePlace> {
        let hash = PlaceKind::Hash { column: ColumnId(1), ty: PgType::Int8 };
        let (colocation, kind, count) = match table.0 {
            1 | 2 => (1, hash, GROUPS),
            3 => (2, hash, GROUPS),
            4 => (3, PlaceKind::Reference, 1),
            5 => (0, PlaceKind::Single, 1),
            _ => return None,
        };
        let groups = HashRange::tile(count as u32)
            .into_iter()
            .zip((0..count).map(|index| GroupId(u64::from(colocation) * 100 + index)))
            .collect();
        Some(TablePlace { colocation: ColocationId(colocation), kind, groups })
    }
}

#[derive(Debug)]
struct Everything;

impl FunctionLookup for Everything {
    fn scalar(&self, _: &str) -> Option<Arc<ScalarUDF>> {
        Some(Arc::new(datafusion::functions::core::coalesce().as_ref().clone()))
    }

    fn aggregate(&self, _: &str) -> Option<Arc<AggregateUDF>> {
        Some(datafusion::functions_aggregate::sum::sum_udaf())
    }

    fn window(&self, _: &str) -> Option<Arc<WindowUDF>> {
        None
    }
}

fn scan(name: &str) -> LogicalPlanBuilder {
    scan_where(name, Vec::new())
}

fn scan_where(name: &str, filters: Vec<Expr>) -> LogicalPlanBuilder {
    let id = ["a", "b", "c", "r", "l"].iter().position(|known| *known == name).unwrap() + 1;
    let column = |id: u16, name: &str| Column {
        id: ColumnId(id),
        name: name.into(),
        ty: PgType::Int8,
        not_null: id == 1,
        missing: None,
    };
    let shape = TableShape {
        table: TableId(id as u32),
        version: 1,
        schema_name: "public".into(),
        name: name.into(),
        columns: vec![column(1, "k"), column(2, "v")],
        primary_key: vec![ColumnId(1)],
        primary_key_name: None,
        checks: Vec::new(),
        foreign_keys: Vec::new(),
        referenced_by: Vec::new(),
        indexes: Vec::new(),
    };
    let info = TableInfo {
        shape: Arc::new(shape),
        defaults: vec![None, None],
        generated: vec![None, None],
        identity: vec![None, None],
        distribution: Distribution::Single,
    };
    let source = ScanSource::table(Arc::new(info));
    LogicalPlanBuilder::scan_with_filters(name, source, Some(vec![0, 1]), filters).unwrap()
}

fn join(left: &str, right: &str, keys: (&str, &str), kind: JoinType) -> LogicalPlanBuilder {
    let on = (vec![format!("{left}.{}", keys.0)], vec![format!("{right}.{}", keys.1)]);
    scan(left).join(scan(right).build().unwrap(), kind, on, None).unwrap()
}

/// The distributed plan as indented text, with the groups of each remote leaf.
fn distributed(plan: LogicalPlanBuilder) -> String {
    let plan = distribute(plan.build().unwrap(), &Fixed, &Everything).unwrap();
    plan.display_indent().to_string()
}

fn is_one_remote(text: &str, tasks: usize) {
    assert_eq!(text, format!("RemoteScan: tasks={tasks}"));
}

#[test]
fn a_scan_runs_on_every_group_and_an_equality_on_one() {
    is_one_remote(&distributed(scan("a")), 4);
    is_one_remote(&distributed(scan_where("a", vec![col("a.k").eq(lit(5i64))])), 1);
    let several = col("a.k").in_list(vec![lit(5i64), lit(6i64)], false);
    let text = distributed(scan_where("a", vec![several]));
    assert!(["RemoteScan: tasks=1", "RemoteScan: tasks=2"].contains(&text.as_str()), "{text}");
    // NULL is never equal to anything: one task, which finds nothing.
    let null = col("a.k").eq(lit(datafusion::common::ScalarValue::Int64(None)));
    is_one_remote(&distributed(scan_where("a", vec![null])), 1);
    is_one_remote(&distributed(scan("r")), 1);
    is_one_remote(&distributed(scan("l")), 1);
}

#[test]
fn joins_on_the_distribution_column_stay_with_the_shards() {
    for kind in [JoinType::Inner, JoinType::Left, JoinType::Full, JoinType::LeftAnti] {
        is_one_remote(&distributed(join("a", "b", ("k", "k"), kind)), 4);
    }
}

#[test]
fn other_joins_gather_both_sides() {
    for plan in [
        join("a", "b", ("k", "v"), JoinType::Inner),
        join("a", "c", ("k", "k"), JoinType::Inner),
        join("a", "l", ("k", "k"), JoinType::Left),
    ] {
        let text = distributed(plan);
        assert_eq!(text.matches("RemoteScan").count(), 2, "{text}");
    }
}

#[test]
fn a_reference_table_is_joined_locally_unless_its_unmatched_rows_count() {
    is_one_remote(&distributed(join("a", "r", ("v", "k"), JoinType::Inner)), 4);
    is_one_remote(&distributed(join("a", "r", ("v", "k"), JoinType::Left)), 4);
    is_one_remote(&distributed(join("a", "r", ("v", "k"), JoinType::LeftSemi)), 4);
    is_one_remote(&distributed(join("r", "a", ("k", "v"), JoinType::Right)), 4);
    for plan in [
        join("a", "r", ("v", "k"), JoinType::Right),
        join("r", "a", ("k", "v"), JoinType::Left),
        join("r", "a", ("k", "v"), JoinType::LeftSemi),
        join("r", "a", ("k", "v"), JoinType::Full),
    ] {
        let text = distributed(plan);
        assert_eq!(text.matches("RemoteScan").count(), 2, "{text}");
    }
}

#[test]
fn a_query_of_one_group_travels_whole() {
    let one = |name: &str| scan_where(name, vec![col(format!("{name}.k")).eq(lit(5i64))]);
    let on = (vec!["a.v"], vec!["b.v"]);
    let plan = one("a").join(one("b").build().unwrap(), JoinType::Full, on, None).unwrap();
    let plan = plan
        .aggregate(vec![col("a.v")], vec![sum(col("b.v"))])
        .and_then(|plan| plan.sort(vec![col("a.v").sort(true, false)]))
        .and_then(|plan| plan.limit(1, Some(2)))
        .unwrap();
    is_one_remote(&distributed(plan), 1);
}

#[test]
fn grouping_by_the_distribution_column_is_finished_on_the_workers() {
    let plan = scan("a").aggregate(vec![col("a.k")], vec![sum(col("a.v"))]).unwrap();
    is_one_remote(&distributed(plan), 4);
    let plan = scan("a").aggregate(vec![col("a.v")], vec![sum(col("a.k"))]).unwrap();
    assert_eq!(distributed(plan), "RemoteAggregate: tasks=4");
}

#[test]
fn the_null_side_of_an_outer_join_decides_no_group() {
    // b.k is NULL where nothing matched: grouping by it must not stay with the shards.
    let plan = join("a", "b", ("k", "k"), JoinType::Left)
        .aggregate(vec![col("b.k")], vec![sum(col("a.v"))])
        .unwrap();
    assert_eq!(distributed(plan), "RemoteAggregate: tasks=4");
}

#[test]
fn a_limited_sort_is_done_on_both_sides_of_the_network() {
    let plan = scan("a").sort_with_limit(vec![col("a.v").sort(true, false)], Some(3)).unwrap();
    let text = distributed(plan);
    assert!(text.starts_with("Sort:") && text.ends_with("RemoteScan: tasks=4"), "{text}");
    let plan = scan("a").limit(2, Some(3)).unwrap();
    let text = distributed(plan);
    assert!(text.starts_with("Limit: skip=2, fetch=3"), "{text}");
}

#[test]
fn unions_stay_only_where_the_rows_are_spread_alike() {
    let same = scan("a").union(scan("b").build().unwrap()).unwrap();
    is_one_remote(&distributed(same), 4);
    let mixed = scan("a").union(scan("r").build().unwrap()).unwrap();
    assert_eq!(distributed(mixed).matches("RemoteScan").count(), 2);
}
