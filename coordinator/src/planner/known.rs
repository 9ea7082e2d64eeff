//! What ANALYZE found in the columns of a plan's rows, and what predicates over them come to.

use std::cmp::Ordering;
use std::collections::HashMap;
use std::sync::Arc;

use datafusion::common::{Column, ScalarValue};
use datafusion::logical_expr::{Expr, LogicalPlan, Operator, TableScan};
use satsuma_common::table::TableShape;
use satsuma_common::text::TextContext;
use satsuma_common::{ColumnId, arrow_types, arrow_values};
use satsuma_sql::casts::convert;
use satsuma_sql::operators::keys::append_key;

use crate::catalog::{ColumnStatistics, TableStatistics};

/// Columns of a plan with the statistics of the table's column that they come from.
#[derive(Clone, Debug, Default)]
pub struct Columns(Arc<HashMap<Column, Known>>);

#[derive(Clone, Debug)]
struct Known {
    table: Arc<TableStatistics>,
    column: ColumnId,
    /// Of the whole table.
    rows: f64,
}

impl Known {
    fn statistics(&self) -> Option<&ColumnStatistics> {
        self.table.columns.get(&self.column)
    }
}

impl Columns {
    /// Of a table's scan.
    pub fn of_scan(
        scan: &TableScan,
        shape: &TableShape,
        table: &Arc<TableStatistics>,
        rows: f64,
    ) -> Self {
        let known = scan.projected_schema.columns().into_iter().filter_map(|name| {
            let column = shape.column_named(&name.name)?;
            let statistics = table.columns.get(&column.id)?;
            (statistics.ty == column.ty)
                .then(|| (name, Known { table: table.clone(), column: column.id, rows }))
        });
        Self(Arc::new(known.collect()))
    }

    /// Of a node's rows, by what is known of its inputs'.
    pub fn of_node(plan: &LogicalPlan, inputs: &[&Self]) -> Self {
        let known = match plan {
            LogicalPlan::Projection(node) => {
                let names = node.schema.columns();
                node.expr
                    .iter()
                    .zip(names)
                    .filter_map(|(expr, name)| Some((name, inputs.first()?.of(expr)?.clone())))
                    .collect()
            }
            LogicalPlan::SubqueryAlias(node) => {
                let (before, after) = (node.input.schema().columns(), node.schema.columns());
                before
                    .iter()
                    .zip(after)
                    .filter_map(|(before, after)| {
                        Some((after, inputs.first()?.0.get(before)?.clone()))
                    })
                    .collect()
            }
            LogicalPlan::Aggregate(node) => {
                let names = node.schema.columns();
                node.group_expr
                    .iter()
                    .zip(names)
                    .filter_map(|(expr, name)| Some((name, inputs.first()?.of(expr)?.clone())))
                    .collect()
            }
            // The rows of one input, or of both side by side.
            LogicalPlan::Filter(_)
            | LogicalPlan::Sort(_)
            | LogicalPlan::Limit(_)
            | LogicalPlan::Distinct(_)
            | LogicalPlan::Window(_)
            | LogicalPlan::Join(_) => match inputs {
                [one] => return (*one).clone(),
                _ => inputs
                    .iter()
                    .flat_map(|input| input.0.iter())
                    .map(|(name, known)| (name.clone(), known.clone()))
                    .collect(),
            },
            _ => return Self::default(),
        };
        Self(Arc::new(known))
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn of(&self, expr: &Expr) -> Option<&Known> {
        match expr {
            Expr::Column(column) => self.0.get(column),
            Expr::Alias(alias) => self.of(&alias.expr),
            Expr::Cast(cast) => self.of(&cast.expr),
            _ => None,
        }
    }

    fn statistics(&self, expr: &Expr) -> Option<&ColumnStatistics> {
        self.of(expr)?.statistics()
    }

    /// How many different values a column has among so many of its rows.
    pub fn distinct(&self, expr: &Expr, rows: f64) -> Option<f64> {
        let known = self.of(expr)?;
        let distinct = known.statistics()?.distinct_among(known.rows)?;
        Some(distinct.min(rows.max(1.0)))
    }

    /// The part of rows for which a comparison of a column with a literal is true.
    pub fn compared(&self, left: &Expr, op: Operator, right: &Expr) -> Option<f64> {
        if let (Some(column), Expr::Literal(value, _)) = (self.of(left), right) {
            return part(column, op, value);
        }
        if let (Expr::Literal(value, _), Some(column)) = (left, self.of(right)) {
            return part(column, op.swap()?, value);
        }
        None
    }

    pub fn null_fraction(&self, expr: &Expr) -> Option<f64> {
        self.statistics(expr).map(|column| f64::from(column.null_fraction))
    }
}

fn part(known: &Known, op: Operator, value: &ScalarValue) -> Option<f64> {
    let column = known.statistics()?;
    if value.is_null() {
        return Some(0.0);
    }
    let value = key_of(column, value)?;
    let present = 1.0 - f64::from(column.null_fraction);
    let share = match op {
        Operator::Eq => equal(known, column, &value),
        Operator::NotEq => present - equal(known, column, &value),
        Operator::Lt | Operator::LtEq => below(column, &value),
        Operator::Gt | Operator::GtEq => present - below(column, &value),
        _ => return None,
    };
    Some(share.clamp(0.0, 1.0))
}

/// What a literal is compared by, where it is of the column's type.
fn key_of(column: &ColumnStatistics, value: &ScalarValue) -> Option<Vec<u8>> {
    if value.data_type() != arrow_types::data_type(&column.ty) {
        return None;
    }
    let array = value.to_array().ok()?;
    let datum = arrow_values::datum_at(array.as_ref(), 0, &column.ty).ok()?;
    let mut key = Vec::new();
    append_key(&datum, &column.ty, &mut key).ok()?;
    Some(key)
}

fn order(column: &ColumnStatistics, text: &str, key: &[u8]) -> Option<Ordering> {
    let ty = column.ty.without_modifier();
    let datum = convert::input(text, &ty, &TextContext::default()).ok()?;
    let mut other = Vec::new();
    append_key(&datum, &ty, &mut other).ok()?;
    Some(other.as_slice().cmp(key))
}

fn equal(known: &Known, column: &ColumnStatistics, key: &[u8]) -> f64 {
    let common = column.common.iter();
    let mut sum = 0.0;
    for (text, share) in common {
        if order(column, text, key) == Some(Ordering::Equal) {
            return f64::from(*share);
        }
        sum += f64::from(*share);
    }
    let rest = (1.0 - sum - f64::from(column.null_fraction)).max(0.0);
    let others = column.distinct_among(known.rows).unwrap_or(200.0) - column.common.len() as f64;
    let even = rest / others.max(1.0);
    // It would be among the common values otherwise.
    match column.common.last() {
        Some((_, least)) => even.min(f64::from(*least)),
        None => even,
    }
}

/// The part of rows whose value is less than `key`.
fn below(column: &ColumnStatistics, key: &[u8]) -> f64 {
    let is_less = |text: &str| order(column, text, key) == Some(Ordering::Less);
    let (mut common, mut less) = (0.0, 0.0);
    for (text, share) in &column.common {
        common += f64::from(*share);
        if is_less(text) {
            less += f64::from(*share);
        }
    }
    let rest = (1.0 - common - f64::from(column.null_fraction)).max(0.0);
    let bounds = &column.bounds;
    if bounds.len() < 2 {
        return less + rest / 3.0;
    }
    // Half of the part that the value falls into.
    let passed = bounds.partition_point(|bound| is_less(bound));
    let parts = (bounds.len() - 1) as f64;
    let share = match passed {
        0 => 0.0,
        passed if passed == bounds.len() => 1.0,
        passed => (passed as f64 - 0.5) / parts,
    };
    less + rest * share
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use datafusion::prelude::{col, lit};
    use satsuma_common::PgType;

    use super::*;

    fn columns() -> Columns {
        let column = ColumnStatistics {
            ty: PgType::Int4,
            null_fraction: 0.1,
            average_width: 4,
            distinct: 1001.0,
            common: vec![("7".into(), 0.4)],
            bounds: (0..=100).map(|n| (n * 10).to_string()).collect(),
        };
        let table = TableStatistics { columns: BTreeMap::from([(ColumnId(1), column)]) };
        let known = Known { table: Arc::new(table), column: ColumnId(1), rows: 10_000.0 };
        Columns(Arc::new(HashMap::from([(Column::from_name("a"), known)])))
    }

    #[track_caller]
    fn compared(op: Operator, value: i32, expected: f64) {
        let part = columns().compared(&col("a"), op, &lit(value)).unwrap();
        assert!((part - expected).abs() < 0.003, "{part}");
    }

    #[test]
    fn parts_are_those_of_the_values() {
        compared(Operator::Eq, 7, 0.4);
        compared(Operator::Eq, 8, 0.0005);
        compared(Operator::NotEq, 7, 0.5);
        compared(Operator::Lt, 7, 0.0025);
        compared(Operator::Lt, 500, 0.4 + 0.5 * 0.495);
        compared(Operator::Gt, 500, 0.5 * 0.505);
        compared(Operator::Lt, -5, 0.0);
        compared(Operator::GtEq, 2000, 0.0);
    }

    #[test]
    fn sides_may_be_exchanged_and_types_must_fit() {
        let columns = columns();
        let part = columns.compared(&lit(500), Operator::Gt, &col("a")).unwrap();
        assert!((part - 0.6475).abs() < 0.003, "{part}");
        assert_eq!(columns.compared(&col("a"), Operator::Eq, &lit("x")), None);
        assert_eq!(columns.compared(&col("b"), Operator::Eq, &lit(1)), None);
        assert_eq!(columns.distinct(&col("a"), 100.0), Some(100.0));
    }
}
