//! Fragments that read rows from elsewhere.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, UInt32Array};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::functions_aggregate::expr_fn::{count, sum};
use datafusion::logical_expr::{JoinType, LogicalPlan, LogicalPlanBuilder, col, lit};
use futures::StreamExt;
use satsuma_common::{SqlError, SqlResult, SqlState};
use satsuma_proto::worker::{Input, InputRows, QueryRequest};
use satsuma_sql::table::ScanSource;

use super::fixture::*;

both_ways! {
    rows_for_a_group_are_read_there_and_copies_everywhere
    two_inputs_join_in_any_order_of_arrival
    inputs_larger_than_memory_are_joined
    a_failed_input_fails_the_query
    rows_for_no_group_are_an_error
}

fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("k", DataType::Int64, true),
        Field::new("v", DataType::Int64, true),
    ]))
}

fn input(number: u32, name: &str) -> LogicalPlanBuilder {
    let source = ScanSource::exchanged(number, schema());
    LogicalPlanBuilder::scan(name, source, None).unwrap()
}

/// Rows `(k, v)`, for the group at a position of the request or for all.
fn rows(input: usize, group: Option<u32>, pairs: &[(i64, i64)]) -> InputRows {
    let keys: ArrayRef = Arc::new(Int64Array::from_iter_values(pairs.iter().map(|pair| pair.0)));
    let values: ArrayRef = Arc::new(Int64Array::from_iter_values(pairs.iter().map(|pair| pair.1)));
    let mut columns = vec![("k", keys, true), ("v", values, true)];
    if let Some(group) = group {
        let groups: ArrayRef = Arc::new(UInt32Array::from(vec![group; pairs.len()]));
        columns.push(("group", groups, false));
    }
    let rows = RecordBatch::try_from_iter_with_nullable(columns).unwrap();
    InputRows { input, rows }
}

fn request(f: &Fixture, plan: &LogicalPlan, by_group: &[bool]) -> QueryRequest {
    let inputs = by_group.iter().map(|by_group| Input { schema: schema(), by_group: *by_group });
    QueryRequest { inputs: inputs.collect(), ..query(&f.begin(), plan, &[G1, G2]) }
}

async fn run(
    f: &Fixture,
    request: QueryRequest,
    rows: Vec<SqlResult<InputRows>>,
) -> SqlResult<Vec<String>> {
    let rows = futures::stream::iter(rows).boxed();
    let mut batches = f.worker.query_over(request, rows).await?;
    let mut lines = Vec::new();
    while let Some(batch) = batches.next().await {
        lines.extend(lines_of(&batch?));
    }
    lines.sort();
    Ok(lines)
}

async fn rows_for_a_group_are_read_there_and_copies_everywhere(f: &Fixture) {
    f.fill().await;
    // Campaigns: (1, 10), (1, 11) in the first group, (2, 10) in the second.
    let joined = |column: &str| {
        LogicalPlanBuilder::from(scan(CAMPAIGNS))
            .join(
                input(0, "moved").build().unwrap(),
                JoinType::Inner,
                (vec![format!("campaigns.{column}")], vec!["moved.k".to_owned()]),
                None,
            )
            .unwrap()
            .project(vec![col("campaigns.name"), col("moved.v")])
            .unwrap()
            .build()
            .unwrap()
    };
    // Rows that go by group are joined by what decides the group.
    let plan = joined("company_id");
    let by_group = vec![Ok(rows(0, Some(0), &[(1, 1)])), Ok(rows(0, Some(1), &[(2, 2)]))];
    let lines = run(f, request(f, &plan, &[true]), by_group).await.unwrap();
    assert_eq!(lines, ["blue|1", "green|2", "red|1"]);
    let plan = joined("id");
    let copies = vec![Ok(rows(0, None, &[(10, 1)])), Ok(rows(0, None, &[(11, 2)]))];
    let lines = run(f, request(f, &plan, &[false]), copies).await.unwrap();
    assert_eq!(lines, ["blue|2", "green|1", "red|1"]);
}

fn both(filter: bool) -> LogicalPlan {
    let plan = input(0, "l")
        .join(
            input(1, "r").build().unwrap(),
            JoinType::Full,
            (vec!["l.k"], vec!["r.k"]),
            filter.then(|| col("l.v").lt(col("r.v"))),
        )
        .unwrap();
    plan.project(vec![col("l.k"), col("l.v"), col("r.v")]).unwrap().build().unwrap()
}

async fn two_inputs_join_in_any_order_of_arrival(f: &Fixture) {
    f.fill().await;
    let mut sent = vec![
        Ok(rows(0, Some(0), &[(1, 1), (2, 2)])),
        Ok(rows(1, Some(1), &[(5, 50)])),
        Ok(rows(1, Some(0), &[(2, 20), (3, 30)])),
        Ok(rows(0, Some(1), &[(5, 5)])),
    ];
    let expected = ["1|1|null", "2|2|20", "5|5|50", "null|null|30"];
    for _ in 0..2 {
        let lines = run(f, request(f, &both(false), &[true, true]), sent.clone()).await.unwrap();
        assert_eq!(lines, expected);
        sent.reverse();
    }
}

/// Ten times what the query may hold: the inputs go to disk, and so does the join.
async fn inputs_larger_than_memory_are_joined(f: &Fixture) {
    const ROWS: i64 = 400_000;
    f.fill().await;
    let plan = LogicalPlanBuilder::from(both(true))
        .aggregate(
            Vec::<datafusion::logical_expr::Expr>::new(),
            vec![count(lit(1i64)), sum(col("l.v")), sum(col("r.v"))],
        )
        .unwrap()
        .build()
        .unwrap();
    let mut request = request(f, &plan, &[true, true]);
    request.groups.truncate(1);
    request.context.memory_limit = 8 << 20;
    let portion = |input: usize, start: i64, extra: i64| {
        let pairs: Vec<_> = (start..start + 10_000).map(|k| (k, k + extra)).collect();
        Ok(rows(input, Some(0), &pairs))
    };
    let sent = (0..ROWS)
        .step_by(10_000)
        .flat_map(|start| [portion(0, start, 0), portion(1, ROWS - 10_000 - start, 1)])
        .collect();
    let total = ROWS * (ROWS - 1) / 2;
    let lines = run(f, request, sent).await.unwrap();
    assert_eq!(lines, [format!("{ROWS}|{total}|{}", total + ROWS)]);
}

async fn a_failed_input_fails_the_query(f: &Fixture) {
    f.fill().await;
    let failure = SqlError::new(SqlState::DIVISION_BY_ZERO, "division by zero");
    let sent = vec![Ok(rows(0, Some(0), &[(1, 1)])), Err(failure.clone())];
    let error = run(f, request(f, &both(false), &[true, true]), sent).await.unwrap_err();
    assert_eq!(error, failure);
}

async fn rows_for_no_group_are_an_error(f: &Fixture) {
    f.fill().await;
    let sent = vec![Ok(rows(0, Some(7), &[(1, 1)]))];
    assert!(run(f, request(f, &both(false), &[true, true]), sent).await.is_err());
    let sent = vec![Ok(rows(2, Some(0), &[(1, 1)]))];
    assert!(run(f, request(f, &both(false), &[true, true]), sent).await.is_err());
}
