//! How many rows a node gives, roughly.
//!
//! Sizes of tables are known, what is in them is not: predicates are guessed by their form, as
//! PostgreSQL does before ANALYZE. A wrong guess costs time, never a wrong answer.

use datafusion::arrow::datatypes::DataType;
use datafusion::common::{DFSchema, JoinType};
use datafusion::logical_expr::utils::split_conjunction;
use datafusion::logical_expr::{Expr, FetchType, Join, LogicalPlan, Operator};

/// Rows of a table whose size nobody knows yet: PostgreSQL's guess is of this kind, too.
pub const UNKNOWN_ROWS: f64 = 1000.0;

/// Rows of a node, and of the largest table under it as a measure of how many keys there are.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Size {
    pub rows: f64,
    pub keys: f64,
}

impl Size {
    pub fn new(rows: f64) -> Self {
        let rows = rows.max(1.0);
        Self { rows, keys: rows }
    }

    fn with_rows(self, rows: f64) -> Self {
        Self { rows: rows.max(1.0), ..self }
    }
}

/// The size of a node's result, given its inputs'. Scans are known elsewhere.
pub fn size(plan: &LogicalPlan, inputs: &[Size]) -> Size {
    let Some(first) = inputs.first().copied() else {
        return match plan {
            LogicalPlan::Values(node) => Size::new(node.values.len() as f64),
            LogicalPlan::EmptyRelation(_) => Size::new(1.0),
            _ => Size::new(UNKNOWN_ROWS),
        };
    };
    match plan {
        LogicalPlan::Filter(node) => first.with_rows(first.rows * selectivity(&node.predicate)),
        LogicalPlan::Aggregate(node) if node.group_expr.is_empty() => Size::new(1.0),
        LogicalPlan::Aggregate(_) | LogicalPlan::Distinct(_) => {
            first.with_rows((first.rows * 0.2).max(first.rows.min(200.0)))
        }
        LogicalPlan::Limit(node) => match node.get_fetch_type() {
            Ok(FetchType::Literal(Some(fetch))) => first.with_rows(first.rows.min(fetch as f64)),
            _ => first,
        },
        LogicalPlan::Sort(node) => match node.fetch {
            Some(fetch) => first.with_rows(first.rows.min(fetch as f64)),
            None => first,
        },
        LogicalPlan::Union(_) => Size::new(inputs.iter().map(|input| input.rows).sum()),
        LogicalPlan::Unnest(_) => first.with_rows(first.rows * 10.0),
        LogicalPlan::Join(node) => match inputs {
            [left, right] => join(node, *left, *right),
            _ => first,
        },
        _ => first,
    }
}

fn join(node: &Join, left: Size, right: Size) -> Size {
    let pairs = left.rows * right.rows;
    // Every key of the smaller domain is taken to occur on the other side.
    let matched = if node.on.is_empty() { pairs } else { pairs / left.keys.min(right.keys) };
    let inner = matched * node.filter.as_ref().map_or(1.0, selectivity);
    let rows = match node.join_type {
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
    };
    Size { rows: rows.max(1.0), keys: left.keys.max(right.keys) }
}

/// The part of rows for which a predicate is true.
pub fn selectivity(predicate: &Expr) -> f64 {
    split_conjunction(predicate).into_iter().map(of_one).product::<f64>().max(1e-6)
}

fn of_one(predicate: &Expr) -> f64 {
    match predicate {
        Expr::BinaryExpr(binary) => match binary.op {
            Operator::Eq => 0.02,
            Operator::NotEq | Operator::IsDistinctFrom => 0.95,
            Operator::Or => {
                let (left, right) = (selectivity(&binary.left), selectivity(&binary.right));
                left + right - left * right
            }
            _ => 0.33,
        },
        Expr::InList(list) => {
            let some = (0.02 * list.list.len() as f64).min(0.5);
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
        Expr::IsNull(_) => 0.05,
        Expr::IsNotNull(_) => 0.95,
        Expr::Not(inner) => 1.0 - selectivity(inner),
        Expr::Alias(alias) => selectivity(&alias.expr),
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
        let one = selectivity(&col("a").eq(lit(1)));
        let two = selectivity(&col("a").eq(lit(1)).and(col("b").gt(lit(1))));
        let either = selectivity(&col("a").eq(lit(1)).or(col("b").gt(lit(1))));
        assert!(two < one && one < either && either < 1.0, "{two} {one} {either}");
    }
}
