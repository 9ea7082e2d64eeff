//! Conditions that a shard's scan evaluates itself, and what follows from them for whole blocks.

use std::sync::Arc;

use datafusion::arrow::array::{AsArray, BooleanArray, RecordBatch};
use datafusion::arrow::datatypes::DataType;
use datafusion::common::ScalarValue;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::error::Result;
use datafusion::logical_expr::Operator;
use datafusion::physical_expr::expressions::{
    BinaryExpr, Column, DynamicFilterPhysicalExpr, IsNotNullExpr, IsNullExpr, Literal,
};
use datafusion::physical_expr::utils::collect_columns;
use datafusion::physical_expr::{PhysicalExpr, split_conjunction};
use satsuma_common::arrow_types;
use satsuma_common::arrow_values::datum_at;
use satsuma_common::table::TableShape;
use satsuma_common::{PgType, SqlError};
use satsuma_sql::engine_error::to_sql;
use satsuma_storage::{CompareOp, Predicate, RowFilter};

/// A condition on a shard's rows.
#[derive(Debug)]
pub(crate) struct Condition {
    shape: Arc<TableShape>,
    /// As it was planned, for EXPLAIN.
    shown: Arc<dyn PhysicalExpr>,
    /// Over `columns` alone.
    expr: Arc<dyn PhysicalExpr>,
    /// Positions in the shape.
    columns: Vec<usize>,
    /// Made while the query runs, by an operator above that drops such rows itself.
    dynamic: bool,
}

impl Condition {
    /// `position` tells a column's position in the shape from its index in `expr`.
    pub fn new(
        shape: Arc<TableShape>,
        expr: Arc<dyn PhysicalExpr>,
        position: impl Fn(usize) -> Option<usize>,
        dynamic: bool,
    ) -> Result<Option<Self>> {
        let mut used: Vec<_> = collect_columns(&expr).into_iter().map(|c| c.index()).collect();
        used.sort_unstable();
        used.dedup();
        let Some(columns) = used.iter().map(|index| position(*index)).collect() else {
            return Ok(None);
        };
        let narrowed = expr
            .clone()
            .transform_up(|node| {
                let Some(column) = node.downcast_ref::<Column>() else {
                    return Ok(Transformed::no(node));
                };
                let index = used.binary_search(&column.index()).unwrap_or_default();
                let column: Arc<dyn PhysicalExpr> = Arc::new(Column::new(column.name(), index));
                Ok(Transformed::yes(column))
            })
            .data()?;
        Ok(Some(Self { shape, shown: expr, expr: narrowed, columns, dynamic }))
    }

    pub fn shown(&self) -> &Arc<dyn PhysicalExpr> {
        &self.shown
    }
}

impl RowFilter for Condition {
    fn columns(&self) -> &[usize] {
        &self.columns
    }

    fn evaluate(&self, rows: &RecordBatch) -> Result<BooleanArray, SqlError> {
        let value = self.expr.evaluate(rows).map_err(to_sql)?;
        let array = value.into_array(rows.num_rows()).map_err(to_sql)?;
        let mask = array.as_boolean_opt().cloned();
        mask.ok_or_else(|| SqlError::internal("a condition is not boolean"))
    }

    fn is_optional(&self) -> bool {
        self.dynamic
    }

    fn predicates(&self) -> Vec<Predicate> {
        // What holds all along was told when the scan began.
        if !self.dynamic {
            return Vec::new();
        }
        let mut found = Vec::new();
        for part in split_conjunction(&self.expr) {
            let now = match part.downcast_ref::<DynamicFilterPhysicalExpr>() {
                Some(dynamic) => dynamic.current(),
                None => Ok(part.clone()),
            };
            if let Ok(now) = now {
                found.extend(bounds(&now, &self.columns, &self.shape));
            }
        }
        found
    }
}

/// Comparisons of a column with a constant that all hold where the condition is true.
/// `positions` are those in the shape of the expression's columns.
pub(crate) fn bounds(
    condition: &Arc<dyn PhysicalExpr>,
    positions: &[usize],
    shape: &TableShape,
) -> Vec<Predicate> {
    let parts = split_conjunction(condition);
    parts.into_iter().filter_map(|part| bound(part, positions, shape)).collect()
}

fn bound(
    part: &Arc<dyn PhysicalExpr>,
    positions: &[usize],
    shape: &TableShape,
) -> Option<Predicate> {
    let null_test = |column: &Arc<dyn PhysicalExpr>, op| {
        let column = *positions.get(column.downcast_ref::<Column>()?.index())?;
        let value = satsuma_common::Datum::Null;
        shape.columns.get(column).map(|_| Predicate { column, op, value })
    };
    if let Some(test) = part.downcast_ref::<IsNullExpr>() {
        return null_test(test.arg(), CompareOp::IsNull);
    }
    if let Some(test) = part.downcast_ref::<IsNotNullExpr>() {
        return null_test(test.arg(), CompareOp::IsNotNull);
    }
    let comparison = part.downcast_ref::<BinaryExpr>()?;
    let (left, right) = (comparison.left(), comparison.right());
    let (column, op, value) = match (left.downcast_ref::<Column>(), right.downcast_ref::<Column>())
    {
        (Some(column), None) => (column, *comparison.op(), right.downcast_ref::<Literal>()?),
        (None, Some(column)) => (column, comparison.op().swap()?, left.downcast_ref::<Literal>()?),
        _ => return None,
    };
    let op = match op {
        Operator::Eq => CompareOp::Eq,
        Operator::NotEq => CompareOp::NotEq,
        Operator::Lt => CompareOp::Less,
        Operator::LtEq => CompareOp::LessOrEq,
        Operator::Gt => CompareOp::Greater,
        Operator::GtEq => CompareOp::GreaterOrEq,
        _ => return None,
    };
    let column = *positions.get(column.index())?;
    let ty = &shape.columns.get(column)?.ty;
    let value = datum(value.value(), ty)?;
    Some(Predicate { column, op, value })
}

/// The constant as a value of the column's type, where bounds order values as comparisons do.
fn datum(value: &ScalarValue, ty: &PgType) -> Option<satsuma_common::Datum> {
    // char(n) is compared without the blanks at its end, floats have values that no bound knows.
    if matches!(ty, PgType::Bpchar(_) | PgType::Float4 | PgType::Float8) {
        return None;
    }
    let data_type = arrow_types::data_type(ty);
    let is_string =
        |ty: &DataType| matches!(ty, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View);
    let value = match value.data_type() {
        found if found == data_type => value.clone(),
        found if is_string(&found) && is_string(&data_type) => value.cast_to(&data_type).ok()?,
        _ => return None,
    };
    if value.is_null() {
        return None;
    }
    datum_at(value.to_array().ok()?.as_ref(), 0, ty).ok()
}
