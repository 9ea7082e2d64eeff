use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, Int64Array, RecordBatch};
use datafusion::common::{JoinType, NullEquality};
use datafusion::execution::SessionStateBuilder;
use datafusion::functions_aggregate::expr_fn::count;
use datafusion::logical_expr::{Expr, Join, JoinConstraint, LogicalPlan};
use datafusion::prelude::{DataFrame, SessionContext, col, lit};

fn context() -> SessionContext {
    let state = SessionStateBuilder::new_with_default_features()
        .with_optimizer_rules(super::rules())
        .build();
    SessionContext::new_with_state(state)
}

/// Columns `<name>k` and `<name>v`.
fn table(context: &SessionContext, name: &str, rows: &[(Option<i64>, Option<i64>)]) -> DataFrame {
    let column = |values: Vec<Option<i64>>| Arc::new(Int64Array::from(values)) as ArrayRef;
    let batch = RecordBatch::try_from_iter_with_nullable([
        (format!("{name}k"), column(rows.iter().map(|row| row.0).collect()), true),
        (format!("{name}v"), column(rows.iter().map(|row| row.1).collect()), true),
    ]);
    context.read_batch(batch.unwrap()).unwrap()
}

fn joined(
    left: DataFrame,
    right: DataFrame,
    key: (&str, &str),
    filter: Option<Expr>,
    join_type: JoinType,
) -> LogicalPlan {
    let join = Join::try_new(
        Arc::new(left.into_unoptimized_plan()),
        Arc::new(right.into_unoptimized_plan()),
        vec![(col(key.0), col(key.1))],
        filter,
        join_type,
        JoinConstraint::On,
        NullEquality::NullEqualsNull,
        false,
    );
    LogicalPlan::Join(join.unwrap())
}

async fn rows(context: &SessionContext, plan: LogicalPlan) -> usize {
    let frame = context.execute_logical_plan(plan).await.unwrap();
    frame.collect().await.unwrap().iter().map(RecordBatch::num_rows).sum()
}

const ROWS: [(Option<i64>, Option<i64>); 3] = [(Some(1), Some(1)), (None, None), (None, Some(2))];

#[tokio::test]
async fn an_equality_beside_null_safe_keys_stays_one() {
    let context = context();
    for (join_type, expected) in
        [(JoinType::Inner, 2), (JoinType::LeftSemi, 2), (JoinType::Left, 3)]
    {
        let (left, right) = (table(&context, "l", &ROWS), table(&context, "r", &ROWS));
        let plan = joined(left, right, ("lk", "rk"), Some(col("lv").eq(col("rv"))), join_type);
        assert_eq!(rows(&context, plan).await, expected, "{join_type}");
    }
}

#[tokio::test]
async fn joins_of_either_kind_are_not_merged_into_one() {
    let context = context();
    let (left, right) = (table(&context, "l", &ROWS), table(&context, "r", &ROWS));
    let inner = joined(left, right, ("lk", "rk"), None, JoinType::Inner);
    let other = table(&context, "o", &ROWS).into_unoptimized_plan();
    let plan = datafusion::logical_expr::LogicalPlanBuilder::from(inner)
        .cross_join(other)
        .and_then(|plan| plan.filter(col("lv").eq(col("ov"))))
        .and_then(|plan| plan.build())
        .unwrap();
    // 1-1, and each of the two NULL keys with both: of these, those with value 2 find it.
    assert_eq!(rows(&context, plan).await, 3);
}

#[tokio::test]
async fn null_safe_keys_are_hashed() {
    let context = context();
    let (left, right) = (table(&context, "l", &ROWS), table(&context, "r", &ROWS));
    let plan = joined(left, right, ("lk", "rk"), Some(col("lv").eq(col("rv"))), JoinType::Inner);
    let plan = context.state().optimize(&plan).unwrap();
    let text = plan.display_indent().to_string();
    assert!(text.contains("Inner Join: lk = rk, lv = rv Filter: lv = rv"), "{text}");
    assert_eq!(context.state().optimize(&plan).unwrap(), plan);
}

#[tokio::test]
async fn a_condition_without_columns_takes_the_row_of_a_whole_aggregate() {
    let context = context();
    let counted = table(&context, "l", &ROWS).aggregate(vec![], vec![count(lit(1))]).unwrap();
    let filtered = counted.filter(lit(2).lt(lit(1))).unwrap();
    assert_eq!(rows(&context, filtered.into_unoptimized_plan()).await, 0);
}

#[tokio::test]
async fn a_group_is_told_by_all_of_its_keys() {
    let context = context();
    // Two groups of one table for each of the two values that the other has once.
    let grouped = table(&context, "l", &[(Some(1), Some(1)), (Some(2), Some(2)), (Some(1), None)])
        .aggregate(vec![col("lk")], vec![])
        .unwrap();
    let other = table(&context, "r", &[(Some(5), None), (Some(6), None), (Some(6), None)]);
    let crossed = grouped.join(other, JoinType::Inner, &[], &[], None).unwrap();
    let counted = crossed
        .aggregate(vec![col("lk"), col("rk")], vec![count(lit(1)).alias("n")])
        .and_then(|frame| frame.aggregate(vec![col("lk"), col("rk")], vec![count(lit(1))]))
        .and_then(|frame| frame.select(vec![col("lk")]))
        .unwrap();
    assert_eq!(rows(&context, counted.clone().into_unoptimized_plan()).await, 4);
    let distinct = counted.distinct().unwrap();
    assert_eq!(rows(&context, distinct.into_unoptimized_plan()).await, 2);
}
