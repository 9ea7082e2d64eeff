//! How many rows a node gives, roughly.
//!
//! Sizes of tables are known. What is in them is known after ANALYZE; before, predicates are
//! guessed by their form, as PostgreSQL does. A wrong guess costs time, never a wrong answer.

use datafusion::arrow::datatypes::DataType;
use datafusion::common::{DFSchema, JoinType};
use datafusion::logical_expr::utils::split_conjunction;
use datafusion::logical_expr::{Expr, FetchType, Join, LogicalPlan, Operator};

use super::known::Columns;

/// Rows of a table whose size nobody knows yet: PostgreSQL's guess is of this kind, too.
pub const UNKNOWN_ROWS: f64 = 1000.0;

/// Rows of a node, and of the largest table under it as a measure of how many keys there are.
#[derive(Clone, Debug)]
pub struct Size {
    pub rows: f64,
    pub keys: f64,
    pub columns: Columns,
}

impl Size {
    pub fn new(rows: f64) -> Self {
        let rows = rows.max(1.0);
        Self { rows, keys: rows, columns: Columns::default() }
    }
}

/// The size of a node's result, given its inputs'. Scans are known elsewhere.
pub fn size(plan: &LogicalPlan, inputs: &[&Size]) -> Size {
    let Some(first) = inputs.first() else {
        return match plan {
            LogicalPlan::Values(node) => Size::new(node.values.len() as f64),
            LogicalPlan::EmptyRelation(_) => Size::new(1.0),
            _ => Size::new(UNKNOWN_ROWS),
        };
    };
    let columns: Vec<&Columns> = inputs.iter().map(|input| &input.columns).collect();
    let rows = match plan {
        LogicalPlan::Filter(node) => first.rows * selectivity(&node.predicate, &first.columns),
        LogicalPlan::Aggregate(node) if node.group_expr.is_empty() => 1.0,
        LogicalPlan::Aggregate(node) => groups(&node.group_expr, first),
        LogicalPlan::Distinct(_) => some_of(first.rows),
        LogicalPlan::Limit(node) => match node.get_fetch_type() {
            Ok(FetchType::Literal(Some(fetch))) => first.rows.min(fetch as f64),
            _ => first.rows,
        },
        LogicalPlan::Sort(node) => match node.fetch {
            Some(fetch) => first.rows.min(fetch as f64),
            None => first.rows,
        },
        LogicalPlan::Union(_) => inputs.iter().map(|input| input.rows).sum(),
        LogicalPlan::Unnest(_) => first.rows * 10.0,
        LogicalPlan::Join(node) => match inputs {
            [left, right] => join(node, left, right),
            _ => first.rows,
        },
        _ => first.rows,
    };
    let keys = match plan {
        LogicalPlan::Aggregate(node) if node.group_expr.is_empty() => 1.0,
        LogicalPlan::Union(_) => rows,
        LogicalPlan::Join(_) => inputs.iter().map(|input| input.keys).fold(1.0, f64::max),
        _ => first.keys,
    };
    Size { rows: rows.max(1.0), keys, columns: Columns::of_node(plan, &columns) }
}

/// Rows that differ, of which nothing is known.
fn some_of(rows: f64) -> f64 {
    (rows * 0.2).max(rows.min(200.0))
}

fn groups(keys: &[Expr], input: &Size) -> f64 {
    let distinct = |key| input.columns.distinct(key, input.rows);
    match keys.iter().map(distinct).product::<Option<f64>>() {
        Some(groups) => groups.min(input.rows),
        None => some_of(input.rows),
    }
}

fn join(node: &Join, left: &Size, right: &Size) -> f64 {
    let pairs = left.rows * right.rows;
    // Every key of the smaller domain is taken to occur on the other side.
    let distinct = |(a, b): &(Expr, Expr)| {
        let (a, b) = (left.columns.distinct(a, left.keys), right.columns.distinct(b, right.keys));
        Some(a?.max(b?))
    };
    let matched = match node.on.iter().map(distinct).product::<Option<f64>>() {
        _ if node.on.is_empty() => pairs,
        // Columns of one key depend on each other: together they are no more than rows.
        Some(keys) => pairs / keys.min(left.keys.max(right.keys)).max(1.0),
        None => pairs / left.keys.min(right.keys),
    };
    let known =
        Columns::of_node(&LogicalPlan::Join(node.clone()), &[&left.columns, &right.columns]);
    let inner = matched * node.filter.as_ref().map_or(1.0, |filter| selectivity(filter, &known));
    match node.join_type {
        JoinType::Inner => inner,
        JoinType::Left => inner.max(left.rows),
        JoinType::Right => inner.max(right.rows),
        JoinType::Full => inner.max(left.rows + right.rows),
        JoinType::LeftSemi => inner.min(left.rows),
        JoinType::RightSemi => inner.min(right.rows),
        JoinType::LeftAnti => left.rows * 0.5,
        JoinType::RightAnti => right.rows * 0.5,
        JoinType::LeftMark => left.rows,
        JoinType::RightMark => right.rows,
    }
}

/// The part of rows for which a predicate is true.
pub fn selectivity(predicate: &Expr, columns: &Columns) -> f64 {
    let parts = split_conjunction(predicate).into_iter().map(|part| of_one(part, columns));
    parts.product::<f64>().max(1e-6)
}

fn of_one(predicate: &Expr, columns: &Columns) -> f64 {
    match predicate {
        Expr::BinaryExpr(binary) => match binary.op {
            Operator::Or => {
                let left = selectivity(&binary.left, columns);
                let right = selectivity(&binary.right, columns);
                left + right - left * right
            }
            op => columns.compared(&binary.left, op, &binary.right).unwrap_or(match op {
                Operator::Eq => 0.02,
                Operator::NotEq | Operator::IsDistinctFrom => 0.95,
                _ => 0.33,
            }),
        },
        Expr::InList(list) => {
            let part = |value| columns.compared(&list.expr, Operator::Eq, value).unwrap_or(0.02);
            let some = list.list.iter().map(part).sum::<f64>().min(1.0);
            if list.negated { 1.0 - some } else { some }
        }
        Expr::Like(like) => {
            if like.negated {
                0.9
            } else {
                0.1
            }
        }
        Expr::Between(_) => 0.1,
        Expr::IsNull(inner) => columns.null_fraction(inner).unwrap_or(0.05),
        Expr::IsNotNull(inner) => 1.0 - columns.null_fraction(inner).unwrap_or(0.05),
        Expr::Not(inner) => 1.0 - selectivity(inner, columns),
        Expr::Alias(alias) => selectivity(&alias.expr, columns),
        _ => 0.33,
    }
}

/// Bytes of a row, by the types of its columns.
pub fn width(schema: &DFSchema) -> f64 {
    let bytes = |ty: &DataType| match ty {
        DataType::Boolean | DataType::Null => 1,
        DataType::Int16 => 2,
        DataType::Int32 | DataType::Date32 | DataType::Float32 | DataType::UInt32 => 4,
        DataType::Decimal128(..) | DataType::FixedSizeBinary(_) => 16,
        DataType::Utf8View | DataType::Binary | DataType::BinaryView => 32,
        DataType::List(_) => 64,
        _ => 8,
    };
    let sum: usize = schema.fields().iter().map(|field| bytes(field.data_type())).sum();
    (sum + 8) as f64
}

#[cfg(test)]
mod tests {
    use datafusion::prelude::{col, lit};

    use super::*;

    #[test]
    fn predicates_are_guessed_by_their_form() {
        let part = |predicate| selectivity(&predicate, &Columns::default());
        let one = part(col("a").eq(lit(1)));
        let two = part(col("a").eq(lit(1)).and(col("b").gt(lit(1))));
        let either = part(col("a").eq(lit(1)).or(col("b").gt(lit(1))));
        assert!(two < one && one < either && either < 1.0, "{two} {one} {either}");
    }
}
