//! Values that a plan must know to be made: how far the frame of a window reaches, how many rows a
//! correlated subquery gives.
//!
//! Where a parameter is part of one, the statement is bound at every execution, with the values of
//! its parameters. Until it is executed a value of the type stands for what is not known.

use std::sync::Arc;

use datafusion::arrow::array::{RecordBatch, RecordBatchOptions};
use datafusion::arrow::datatypes::Schema;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{DFSchema, ScalarValue};
use datafusion::logical_expr::Expr;
use datafusion::logical_expr::execution_props::ExecutionProps;
use datafusion::logical_expr::physical_planning_context::PhysicalPlanningContext;
use datafusion::physical_expr::create_physical_expr;
use satsuma_common::{SqlError, SqlResult, arrow_types};

use crate::engine_error::to_sql;
use crate::functions::{FunctionEnv, Typed, typed::literal};

/// The value as a literal, where it depends on no row; as it is otherwise.
pub fn known(value: Typed, env: &FunctionEnv) -> SqlResult<Typed> {
    if matches!(value.expr, Expr::Literal(..)) || !is_settled_by_parameters(&value.expr)? {
        return Ok(value);
    }
    let expr = value.expr.transform_up(|expr| {
        let Expr::Placeholder(placeholder) = &expr else { return Ok(Transformed::no(expr)) };
        env.note_session_dependence();
        let given = env.parameters.as_ref().and_then(|known| known.value(&placeholder.id));
        let value = match (given, &placeholder.field) {
            (Some(value), _) => value,
            (None, Some(field)) => stand_in(field.data_type())?,
            (None, None) => return Ok(Transformed::no(expr)),
        };
        Ok(Transformed::yes(Expr::Literal(value, None)))
    });
    let expr = expr.map_err(to_sql)?.data;
    let expected = arrow_types::data_type(&value.ty);
    let computed = compute(&expr)?.cast_to(&expected).map_err(to_sql)?;
    Ok(Typed::new(literal(computed, &value.ty), value.ty))
}

/// An expression without columns, evaluated.
pub fn compute(expr: &Expr) -> SqlResult<ScalarValue> {
    if let Expr::Literal(value, _) = expr {
        return Ok(value.clone());
    }
    let (props, planning) = (ExecutionProps::new(), PhysicalPlanningContext::default());
    let physical =
        create_physical_expr(expr, &DFSchema::empty(), &props, &planning).map_err(to_sql)?;
    let one = RecordBatchOptions::new().with_row_count(Some(1));
    let batch = RecordBatch::try_new_with_options(Arc::new(Schema::empty()), vec![], &one)
        .map_err(|error| SqlError::internal(error.to_string()))?;
    let value = physical.evaluate(&batch).map_err(to_sql)?;
    let array = value.into_array(1).map_err(to_sql)?;
    ScalarValue::try_from_array(&array, 0).map_err(to_sql)
}

fn is_settled_by_parameters(expr: &Expr) -> SqlResult<bool> {
    let depends = expr.exists(|expr| {
        Ok(expr.is_volatile_node()
            || matches!(
                expr,
                Expr::Column(_)
                    | Expr::OuterReferenceColumn(..)
                    | Expr::AggregateFunction(_)
                    | Expr::WindowFunction(_)
                    | Expr::ScalarSubquery(_)
                    | Expr::Exists(_)
                    | Expr::InSubquery(_)
            ))
    });
    depends.map(|depends| !depends).map_err(to_sql)
}

/// One, or nothing where there is no one.
fn stand_in(ty: &datafusion::arrow::datatypes::DataType) -> datafusion::error::Result<ScalarValue> {
    ScalarValue::new_one(ty)
        .or_else(|_| ScalarValue::new_zero(ty))
        .or_else(|_| ScalarValue::try_from(ty))
}
