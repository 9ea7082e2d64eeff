//! Plans over a fixed topology: two co-located hash tables (`a`, `b`), one of another
//! co-location (`c`), a reference table (`r`) and a local one (`l`).

use std::sync::Arc;

use datafusion::common::JoinType;
use datafusion::functions_aggregate::expr_fn::sum;
use datafusion::logical_expr::{
    AggregateUDF, Expr, LogicalPlan, LogicalPlanBuilder, ScalarUDF, WindowUDF, col, lit,
};
use satsuma_common::table::{Column, TableShape};
use satsuma_common::{ColocationId, ColumnId, GroupId, HashRange, PgType, TableId};
use satsuma_sql::catalog_view::{Distribution, TableInfo};
use satsuma_sql::codec::FunctionLookup;
use satsuma_sql::table::ScanSource;

use super::*;
use crate::catalog::{ColumnStatistics, TableStatistics};

struct Fixed {
    rows_of_c: u64,
    workers: usize,
    /// Whether ANALYZE has seen the tables: `k` is unique, `v` has ten values.
    analyzed: bool,
}

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

    fn ranges(&self, colocation: ColocationId) -> Option<Arc<[(HashRange, GroupId)]>> {
        let table = match colocation.0 {
            1 => 1,
            2 => 3,
            3 => 4,
            _ => 5,
        };
        self.place(TableId(table)).map(|place| place.groups)
    }

    fn worker_count(&self) -> usize {
        self.workers
    }

    /// Large but for the reference table and `c`, which has the size at hand.
    fn rows(&self, table: TableId) -> Option<u64> {
        Some(match table.0 {
            3 => self.rows_of_c,
            4 => 10,
            _ => 1_000_000,
        })
    }

    fn statistics(&self, _: TableId) -> Option<Arc<TableStatistics>> {
        let column = |distinct| ColumnStatistics {
            ty: PgType::Int8,
            null_fraction: 0.0,
            average_width: 8,
            distinct,
            common: Vec::new(),
            bounds: Vec::new(),
        };
        let columns = [(ColumnId(1), column(-1.0)), (ColumnId(2), column(10.0))].into();
        self.analyzed.then(|| Arc::new(TableStatistics { columns }))
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
    with_rows_of_c(plan, 1_000_000)
}

fn with_rows_of_c(plan: LogicalPlanBuilder, rows_of_c: u64) -> String {
    over(Fixed { rows_of_c, workers: 2, analyzed: false }, plan)
}

fn over(topology: Fixed, plan: LogicalPlanBuilder) -> String {
    let plan = distribute(plan.build().unwrap(), &topology, &Everything).unwrap();
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
fn one_side_moves_into_the_layout_of_the_other() {
    for kind in [JoinType::Inner, JoinType::Left, JoinType::Full, JoinType::LeftSemi] {
        let text = distributed(join("a", "c", ("k", "k"), kind));
        assert_eq!(text, "RemoteScan: tasks=4, by hash (RemoteScan: tasks=4)", "{kind}");
        let text = distributed(join("a", "b", ("v", "k"), kind));
        assert_eq!(text, "RemoteScan: tasks=4, by hash (RemoteScan: tasks=4)", "{kind}");
    }
}

#[test]
fn both_sides_move_when_neither_is_joined_by_its_distribution_column() {
    let text = distributed(join("a", "c", ("v", "v"), JoinType::Full));
    let moved = "by hash (RemoteScan: tasks=4)";
    assert_eq!(text, format!("RemoteScan: tasks=4, {moved}, {moved}"));
}

#[test]
fn a_small_side_is_copied_unless_its_unmatched_rows_count() {
    let text = with_rows_of_c(join("a", "c", ("v", "v"), JoinType::Left), 1000);
    assert_eq!(text, "RemoteScan: tasks=4, copies of (RemoteScan: tasks=4)");
    let text = with_rows_of_c(join("c", "a", ("v", "v"), JoinType::Left), 1000);
    assert!(!text.contains("copies"), "{text}");
    // Without an equality there is no other way for a large side than to stay.
    let cross = scan("a").cross_join(scan("c").build().unwrap()).unwrap();
    let text = with_rows_of_c(cross, 1000);
    assert_eq!(text, "RemoteScan: tasks=4, copies of (RemoteScan: tasks=4)");
}

#[test]
fn what_came_together_by_hash_stays_together() {
    // On few workers, copies would be cheaper.
    let topology = Fixed { rows_of_c: 1_000_000, workers: 8, analyzed: false };
    // a.v = c.v, then d.k = a.v would need c's layout: grouping by the key needs no more travel.
    let plan = join("a", "c", ("v", "v"), JoinType::Inner)
        .aggregate(vec![col("a.v")], vec![sum(col("c.k"))])
        .unwrap();
    let text = over(topology, plan);
    assert!(text.starts_with("RemoteScan: tasks=4, by hash"), "{text}");
}

#[test]
fn windows_over_many_rows_run_where_their_partitions_are() {
    use datafusion::functions_window::expr_fn::row_number;
    use datafusion::logical_expr::ExprFunctionExt;
    let number = |key: &str| row_number().partition_by(vec![col(key)]).build().unwrap();
    let windowed = |table: &str| scan(table).window(vec![number(&format!("{table}.v"))]).unwrap();
    let text = with_rows_of_c(windowed("c"), 10_000_000);
    assert_eq!(text, "RemoteScan: tasks=4, by hash (RemoteScan: tasks=4)");
    // Few rows meet at the coordinator.
    let text = with_rows_of_c(windowed("c"), 1000);
    assert!(text.starts_with("WindowAggr"), "{text}");
    // Partitions of the distribution column are there already.
    let plan = scan("a").window(vec![number("a.k")]).unwrap();
    is_one_remote(&distributed(plan), 4);
}

#[test]
fn small_sides_meet_at_the_coordinator() {
    let text = with_rows_of_c(join("c", "r", ("v", "k"), JoinType::Full), 20);
    assert_eq!(text.matches("\n").count(), 2, "{text}");
    assert!(text.starts_with("Full Join"), "{text}");
}

/// The joins of a plan that travels whole, from the outermost on.
fn joins_of(plan: &LogicalPlan) -> Vec<String> {
    let LogicalPlan::Extension(node) = plan else { panic!("{}", plan.display_indent()) };
    let scan = node.node.as_any().downcast_ref::<RemoteScan>().unwrap();
    let text = scan.task.plan.display_indent().to_string();
    text.lines().map(str::trim).filter(|line| line.contains("Join")).map(str::to_owned).collect()
}

#[test]
fn joins_are_put_in_order_when_their_columns_are_known() {
    // Each row of `a` has a tenth of `b`, but few are left by `r`.
    let on = (vec!["a.k"], vec!["r.k"]);
    let plan = join("a", "b", ("v", "v"), JoinType::Inner)
        .join(scan("r").build().unwrap(), JoinType::Inner, on, None)
        .unwrap()
        .build()
        .unwrap();
    let placed = |analyzed| {
        let topology = Fixed { rows_of_c: 1, workers: 2, analyzed };
        distribute(plan.clone(), &topology, &Everything).unwrap()
    };
    let text = placed(true).display_indent().to_string();
    assert_eq!(placed(true).schema().columns(), plan.schema().columns(), "{text}");
    let written = ["Inner Join: a.k = r.k", "Inner Join: a.v = b.v"];
    let ordered = placed(true);
    let ordered = match &ordered {
        LogicalPlan::Projection(node) => joins_of(&node.input),
        plan => joins_of(plan),
    };
    // `a` and `r` come first, as an input: their few rows go to where `b` is.
    assert_eq!(ordered.len(), 1, "{text}");
    assert!(ordered[0].ends_with("a.v = b.v"), "{ordered:?}");
    assert_eq!(joins_of(&placed(false)), written);
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
        // Its rows go where those with the same key are: each once.
        let text = distributed(plan);
        assert!(text.starts_with("RemoteScan: tasks=4, by hash ("), "{text}");
        assert!(text.contains("by hash (RemoteScan: tasks=1)"), "{text}");
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
fn an_aggregate_reads_only_keys_that_its_join_can_meet() {
    let joined = |filters: Vec<Expr>, kind: JoinType| {
        let sums = scan("a").aggregate(vec![col("a.v")], vec![sum(col("a.k"))]).unwrap();
        let on = (vec!["c.k"], vec!["a.v"]);
        scan_where("c", filters).join(sums.build().unwrap(), kind, on, None).unwrap()
    };
    let few = || vec![col("c.v").eq(lit(5i64))];
    for kind in [JoinType::Inner, JoinType::Left, JoinType::LeftSemi, JoinType::LeftAnti] {
        let text = with_rows_of_c(joined(few(), kind), 1000);
        assert!(text.contains("RemoteAggregate: tasks=4, copies of ("), "{kind}: {text}");
    }
    // Groups without a partner are in the result, or no key is left out.
    for (filters, kind) in
        [(few(), JoinType::Right), (few(), JoinType::Full), (Vec::new(), JoinType::Inner)]
    {
        let text = with_rows_of_c(joined(filters, kind), 1000);
        assert!(text.contains("RemoteAggregate: tasks=4") && !text.contains("copies"), "{text}");
    }
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
