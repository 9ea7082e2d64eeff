//! Building DataFusion's plan nodes. Columns are exact here, so nothing is normalised.

use std::sync::Arc;

use datafusion::arrow::datatypes::DataType;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, DFSchema, JoinType, NullEquality, TableReference};
use datafusion::logical_expr::{
    Aggregate, Distinct, EmptyRelation, Expr, ExprFunctionExt, ExprSchemable, Filter, Join,
    JoinConstraint, Limit, LogicalPlan, LogicalPlanBuilder, Projection, Sort, SortExpr,
    TableScanBuilder, TableSource, Unnest,
};
use datafusion::logical_expr::{WindowFrame, WindowFrameBound, WindowFrameUnits};
use datafusion::prelude::lit;
use datafusion::scalar::ScalarValue;
use satsuma_common::{SqlError, SqlResult};

use crate::aggregates::udaf::PgAggregate;
use crate::engine_error::to_sql;
use crate::functions::error::from_datafusion;

pub type DfResult<T> = datafusion::error::Result<T>;

pub fn df<T>(result: DfResult<T>) -> SqlResult<T> {
    result.map_err(from_datafusion)
}

/// One row without columns.
pub fn one_row() -> LogicalPlan {
    LogicalPlan::EmptyRelation(EmptyRelation {
        produce_one_row: true,
        schema: Arc::new(DFSchema::empty()),
    })
}

/// A name that reads back as itself where plans are written as text with their identifiers
/// folded and split at dots.
pub fn safe_name(name: &str) -> String {
    let safe = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    if name.starts_with(|c: char| c.is_ascii_lowercase()) && name.chars().all(safe) {
        return name.to_string();
    }
    let kept: String = name.to_ascii_lowercase().chars().filter(|c| safe(*c)).collect();
    format!("t_{kept}")
}

pub fn scan(alias: &str, source: Arc<dyn TableSource>) -> SqlResult<LogicalPlan> {
    let scan = TableScanBuilder::new(TableReference::bare(alias), source).build();
    Ok(LogicalPlan::TableScan(df(scan)?))
}

pub fn project(plan: LogicalPlan, exprs: Vec<Expr>) -> SqlResult<LogicalPlan> {
    df(Projection::try_new(exprs, Arc::new(plan))).map(LogicalPlan::Projection)
}

/// All columns of the plan, then `more`.
pub fn extend(plan: LogicalPlan, more: Vec<Expr>) -> SqlResult<LogicalPlan> {
    if more.is_empty() {
        return Ok(plan);
    }
    let mut exprs: Vec<Expr> = plan.schema().columns().into_iter().map(Expr::Column).collect();
    exprs.extend(more);
    project(plan, exprs)
}

pub fn filter(plan: LogicalPlan, predicate: Expr) -> SqlResult<LogicalPlan> {
    df(Filter::try_new(predicate, Arc::new(plan))).map(LogicalPlan::Filter)
}

/// `None` in `on` is a cross join (or its outer relative).
pub fn join(
    left: LogicalPlan,
    right: LogicalPlan,
    join_type: JoinType,
    on: Option<Expr>,
) -> SqlResult<LogicalPlan> {
    join_keys(left, right, join_type, vec![], on, NullEquality::NullEqualsNothing)
}

pub fn join_keys(
    left: LogicalPlan,
    right: LogicalPlan,
    join_type: JoinType,
    keys: Vec<(Expr, Expr)>,
    filter: Option<Expr>,
    null_equality: NullEquality,
) -> SqlResult<LogicalPlan> {
    let (right, keys, filter) = match join_type {
        JoinType::LeftMark => without_qualifiers(right, keys, filter)?,
        _ => (right, keys, filter),
    };
    df(Join::try_new(
        Arc::new(left),
        Arc::new(right),
        keys,
        filter,
        join_type,
        JoinConstraint::On,
        null_equality,
        false,
    ))
    .map(LogicalPlan::Join)
}

/// A mark has the qualifier that all columns of the right side share, which may be another one when
/// a rule takes columns away. There is none from the start.
#[allow(clippy::type_complexity, reason = "what comes in goes out")]
fn without_qualifiers(
    right: LogicalPlan,
    keys: Vec<(Expr, Expr)>,
    filter: Option<Expr>,
) -> SqlResult<(LogicalPlan, Vec<(Expr, Expr)>, Option<Expr>)> {
    let names: Vec<(Column, Column)> = right
        .schema()
        .columns()
        .into_iter()
        .enumerate()
        .map(|(at, column)| {
            let own = match &column.relation {
                Some(relation) => Column::new_unqualified(format!("{}_{at}", relation.table())),
                None => column.clone(),
            };
            (column, own)
        })
        .collect();
    if names.iter().all(|(column, own)| column == own) {
        return Ok((right, keys, filter));
    }
    let exprs = names.iter().map(|(column, own)| match column == own {
        true => Expr::Column(column.clone()),
        false => Expr::Column(column.clone()).alias(&own.name),
    });
    let right = project(right, exprs.collect())?;
    let renamed = |expr: Expr| {
        replace(expr, |node| {
            let Expr::Column(column) = node else { return Ok(None) };
            let found = names.iter().find(|(name, _)| name == column);
            Ok(found.map(|(_, own)| Expr::Column(own.clone())))
        })
    };
    let keys = keys
        .into_iter()
        .map(|(left, right)| Ok((left, renamed(right)?)))
        .collect::<SqlResult<_>>()?;
    Ok((right, keys, filter.map(renamed).transpose()?))
}

pub fn aggregate(
    plan: LogicalPlan,
    group: Vec<Expr>,
    aggregates: Vec<Expr>,
) -> SqlResult<LogicalPlan> {
    let aggregates = aggregates.into_iter().map(without_metadata).collect();
    df(Aggregate::try_new(Arc::new(plan), group, aggregates)).map(LogicalPlan::Aggregate)
}

pub fn distinct(plan: LogicalPlan) -> LogicalPlan {
    LogicalPlan::Distinct(Distinct::All(Arc::new(plan)))
}

pub fn sort(plan: LogicalPlan, keys: Vec<SortExpr>) -> LogicalPlan {
    LogicalPlan::Sort(Sort { expr: keys, input: Arc::new(plan), fetch: None })
}

pub fn limit(plan: LogicalPlan, skip: Option<Expr>, fetch: Option<Expr>) -> LogicalPlan {
    LogicalPlan::Limit(Limit {
        skip: skip.map(Box::new),
        fetch: fetch.map(Box::new),
        input: Arc::new(plan),
    })
}

/// Adds the window expressions' columns, named as DataFusion names them.
pub fn window(plan: LogicalPlan, windows: Vec<Expr>) -> SqlResult<LogicalPlan> {
    df(LogicalPlanBuilder::window_plan(plan, windows.into_iter().map(without_metadata)))
}

/// Turns list columns into rows, side by side; a row whose lists are all empty goes.
pub fn unnest(plan: LogicalPlan, lists: Vec<Column>) -> SqlResult<LogicalPlan> {
    let options = datafusion::common::UnnestOptions::new().with_preserve_nulls(false);
    df(Unnest::try_new(Arc::new(plan), lists, options)).map(LogicalPlan::Unnest)
}

/// The column that a `Window` or `Aggregate` node gives an expression.
pub fn output_column(expr: &Expr) -> Column {
    Column::new_unqualified(without_metadata(expr.clone()).schema_name().to_string())
}

/// Literals without the metadata that tells their types. It would be part of the name of the
/// aggregate that they are in, and neither rules nor the wire keep it: the name would change.
/// Aggregates know their types by themselves.
fn without_metadata(expr: Expr) -> Expr {
    let bare = expr.clone().transform_down(|expr| {
        Ok(match expr {
            Expr::Literal(value, Some(_)) => Transformed::yes(Expr::Literal(value, None)),
            other => Transformed::no(other),
        })
    });
    bare.data().unwrap_or(expr)
}

/// `row_number() OVER (PARTITION BY .. ORDER BY ..)`, as an unsigned integer from 1.
pub fn row_number(partition: Vec<Expr>, order: Vec<SortExpr>) -> SqlResult<Expr> {
    let call = datafusion::functions_window::expr_fn::row_number();
    let frame = WindowFrame::new_bounds(
        WindowFrameUnits::Rows,
        WindowFrameBound::Preceding(ScalarValue::UInt64(None)),
        WindowFrameBound::CurrentRow,
    );
    df(call.partition_by(partition).order_by(order).window_frame(frame).build())
}

/// `rank() OVER (ORDER BY ..)`.
pub fn rank(order: Vec<SortExpr>) -> SqlResult<Expr> {
    let call = datafusion::functions_window::expr_fn::rank();
    df(call.order_by(order).build())
}

/// Keeps the rows whose row number is in `after < n <= upto`.
pub fn keep_rows(
    plan: LogicalPlan,
    number: Expr,
    after: u64,
    upto: Option<u64>,
) -> SqlResult<LogicalPlan> {
    let columns: Vec<Expr> = plan.schema().columns().into_iter().map(Expr::Column).collect();
    let column = Expr::Column(output_column(&number));
    let plan = window(plan, vec![number])?;
    let mut test = column.clone().gt(lit(after));
    if let Some(upto) = upto {
        test = test.and(column.lt_eq(lit(upto)));
    }
    project(filter(plan, test)?, columns)
}

/// Replaces subexpressions, outermost first; what is replaced is not looked into.
pub fn replace(
    expr: Expr,
    mut with: impl FnMut(&Expr) -> SqlResult<Option<Expr>>,
) -> SqlResult<Expr> {
    let mut failure: Option<SqlError> = None;
    let result = expr.transform_down(|node| {
        if failure.is_some() {
            return Ok(Transformed::new(node, false, TreeNodeRecursion::Stop));
        }
        match with(&node) {
            Ok(Some(new)) => Ok(Transformed::new(new, true, TreeNodeRecursion::Jump)),
            Ok(None) => Ok(Transformed::no(node)),
            Err(error) => {
                failure = Some(error);
                Ok(Transformed::new(node, false, TreeNodeRecursion::Stop))
            }
        }
    });
    match failure {
        Some(error) => Err(error),
        None => df(result).map(|transformed| transformed.data),
    }
}

/// Calls `visit` on every expression of a plan's own nodes, subexpressions included.
pub fn visit_expressions(plan: &LogicalPlan, visit: &mut dyn FnMut(&Expr)) -> SqlResult<()> {
    df(plan.apply(|node| {
        node.apply_expressions(|expr| {
            expr.apply(|expr| {
                visit(expr);
                Ok(TreeNodeRecursion::Continue)
            })
        })
    }))
    .map(|_| ())
}

/// The columns of an expression, each once, in a fixed order.
pub fn columns_of(expr: &Expr) -> Vec<Column> {
    let mut columns: Vec<Column> = expr.column_refs().into_iter().cloned().collect();
    columns.sort();
    columns
}

/// Whether the plan has an aggregate of this type whose value depends on the order of rows, which
/// may be another one each time the plan is read.
pub fn aggregates_in_any_order(plan: &LogicalPlan, ty: &DataType) -> SqlResult<bool> {
    let mut found = false;
    df(plan.apply_with_subqueries(|node| {
        if let LogicalPlan::Aggregate(aggregate) = node {
            for expr in &aggregate.aggr_expr {
                let is_of_type = expr.get_type(aggregate.input.schema())? == *ty;
                found |= is_of_type
                    && expr.exists(|expr| {
                        let Expr::AggregateFunction(call) = expr else { return Ok(false) };
                        let aggregate = PgAggregate::by_name(call.func.name());
                        Ok(aggregate.is_some_and(|aggregate| aggregate.depends_on_order()))
                    })?;
            }
        }
        Ok(if found { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
    }))?;
    Ok(found)
}

/// Whether reading the plan twice may give different rows.
pub fn is_volatile(plan: &LogicalPlan) -> SqlResult<bool> {
    let mut volatile = false;
    visit_expressions(plan, &mut |expr| volatile |= expr.is_volatile_node())?;
    Ok(volatile)
}

/// How often the plan reads the table of this name.
pub fn scans_of(plan: &LogicalPlan, table: &str) -> SqlResult<usize> {
    let mut scans = 0;
    plan.apply_with_subqueries(|node| {
        if let LogicalPlan::TableScan(scan) = node {
            scans += usize::from(scan.table_name.table() == table);
        }
        Ok(TreeNodeRecursion::Continue)
    })
    .map_err(to_sql)?;
    Ok(scans)
}
