//! Queries without tables: `SELECT 1`, `SELECT version(), now()`, what drivers ask to see whether
//! somebody is there. Their one row is computed at once. To optimize and to plan it would take
//! twenty times as long.

use datafusion::arrow::array::{RecordBatch, RecordBatchOptions};
use datafusion::arrow::datatypes::Schema;
use datafusion::logical_expr::execution_props::ExecutionProps;
use datafusion::logical_expr::physical_planning_context::PhysicalPlanningContext;
use datafusion::logical_expr::{Expr, LogicalPlan, Projection};
use datafusion::physical_expr::create_physical_expr;
use satsuma_common::SqlResult;
use satsuma_sql::engine_error::{arrow_to_sql, to_sql};

use crate::keypath;

/// The plan as expressions over no table; `None` if it is more than that.
pub fn row_of(plan: &LogicalPlan) -> Option<&Projection> {
    let LogicalPlan::Projection(projection) = plan else { return None };
    let LogicalPlan::EmptyRelation(relation) = projection.input.as_ref() else { return None };
    let is_one_row = relation.produce_one_row && relation.schema.fields().is_empty();
    let are_plain = || !projection.expr.iter().any(keypath::needs_plan);
    (is_one_row && are_plain()).then_some(projection)
}

/// Whether computing the row takes no time at all.
pub fn is_literal(row: &Projection) -> bool {
    row.expr.iter().all(|expr| matches!(keypath::strip_alias(expr), Expr::Literal(..)))
}

/// The row, of the plan's schema.
pub fn compute(row: &Projection) -> SqlResult<RecordBatch> {
    let (props, planning) = (ExecutionProps::new(), PhysicalPlanningContext::default());
    let options = RecordBatchOptions::new().with_row_count(Some(1));
    let nothing = RecordBatch::try_new_with_options(Schema::empty().into(), vec![], &options)
        .map_err(arrow_to_sql)?;
    let columns = row.expr.iter().map(|expr| {
        let expr = create_physical_expr(expr, row.input.schema(), &props, &planning)?;
        expr.evaluate(&nothing)?.into_array(1)
    });
    let columns = columns.collect::<Result<Vec<_>, _>>().map_err(to_sql)?;
    let schema = row.schema.inner().clone();
    RecordBatch::try_new_with_options(schema, columns, &options).map_err(arrow_to_sql)
}
