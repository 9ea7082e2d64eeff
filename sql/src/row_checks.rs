//! NOT NULL and CHECK of a table's rows, a batch at a time.

use std::sync::Arc;

use datafusion::arrow::array::{Array, AsArray, RecordBatch};
use datafusion::common::DFSchema;
use datafusion::logical_expr::execution_props::ExecutionProps;
use datafusion::logical_expr::physical_planning_context::PhysicalPlanningContext;
use datafusion::physical_expr::{PhysicalExpr, create_physical_expr};
use satsuma_common::arrow_values::datum_at;
use satsuma_common::table::{Column, TableShape};
use satsuma_common::{Datum, SqlError, SqlResult, SqlState, details};

use crate::bind::{BindContext, ExpressionColumn, ExpressionUse, check_expression};
use crate::engine_error::{arrow_to_sql, to_sql};

/// Why a table does not take rows.
#[derive(Debug)]
pub struct Refused {
    /// The row of the batch, where the error is one row's.
    pub row: Option<usize>,
    pub error: SqlError,
}

impl From<SqlError> for Refused {
    fn from(error: SqlError) -> Self {
        Self { row: None, error }
    }
}

/// A table's CHECK constraints, ready to be evaluated on its columns.
#[derive(Default)]
pub struct RowChecks(Vec<Check>);

struct Check {
    name: String,
    condition: Arc<dyn PhysicalExpr>,
}

impl RowChecks {
    pub fn compile(shape: &TableShape, context: &BindContext<'_>) -> SqlResult<Self> {
        if shape.checks.is_empty() {
            return Ok(Self::default());
        }
        let columns: Vec<_> = shape
            .columns
            .iter()
            .map(|column| ExpressionColumn { name: column.name.clone(), ty: column.ty.clone() })
            .collect();
        let schema = DFSchema::try_from(shape.arrow_schema()).map_err(to_sql)?;
        let (props, planning) = (ExecutionProps::new(), PhysicalPlanningContext::default());
        let mut checks = Vec::with_capacity(shape.checks.len());
        for check in &shape.checks {
            let usage = ExpressionUse::Check;
            let (condition, _) =
                check_expression(&check.condition, &columns, usage, None, context)?;
            let condition =
                create_physical_expr(&condition, &schema, &props, &planning).map_err(to_sql)?;
            checks.push(Check { name: check.name.clone(), condition });
        }
        // PostgreSQL checks them by name.
        checks.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(Self(checks))
    }

    /// Every row satisfies NOT NULL and CHECK, else the error of the first that does not. `batch`
    /// starts with the table's columns.
    pub fn check(&self, shape: &TableShape, batch: &RecordBatch) -> Result<(), Refused> {
        match self.first_refused(shape, batch) {
            Ok(None) => Ok(()),
            Ok(Some((row, error))) => Err(Refused { row: Some(row), error }),
            // A condition that cannot be evaluated, of a row that is not known yet.
            Err(_) if batch.num_rows() > 1 => (0..batch.num_rows()).try_for_each(|row| {
                self.check(shape, &batch.slice(row, 1))
                    .map_err(|refused| Refused { row: Some(row), ..refused })
            }),
            Err(error) => Err(Refused { row: (batch.num_rows() == 1).then_some(0), error }),
        }
    }

    fn first_refused(
        &self,
        shape: &TableShape,
        batch: &RecordBatch,
    ) -> SqlResult<Option<(usize, SqlError)>> {
        let null = first_null(shape, batch);
        let before_null = match null {
            Some((row, _)) => batch.slice(0, row),
            None => batch.clone(),
        };
        let mut failed: Option<(usize, &Check)> = None;
        for check in &self.0 {
            if let Some(row) = check.first_false(shape, &before_null)?
                && failed.is_none_or(|(earlier, _)| row < earlier)
            {
                failed = Some((row, check));
            }
            // Nothing is asked of a row behind its first failed check.
            if failed.is_some_and(|(row, _)| row == 0) {
                break;
            }
        }
        Ok(match (failed, null) {
            (Some((row, check)), _) => Some((row, check.violation(shape, batch, row))),
            (None, Some((row, column))) => {
                let values = row_values(shape, batch, row);
                Some((row, details::null_violation(shape, column, &values)))
            }
            (None, None) => None,
        })
    }
}

/// The first row with a NULL where none may be, and the column's position.
fn first_null(shape: &TableShape, batch: &RecordBatch) -> Option<(usize, usize)> {
    let of_column = |(position, column): (usize, &Column)| {
        let array = batch.columns().get(position).filter(|array| array.null_count() > 0)?;
        let must = shape.is_required(column);
        let row = must.then(|| (0..array.len()).find(|row| array.is_null(*row)))??;
        Some((row, position))
    };
    shape.columns.iter().enumerate().filter_map(of_column).min()
}

impl Check {
    /// The first row for which the condition is false; NULL is not.
    fn first_false(&self, shape: &TableShape, batch: &RecordBatch) -> SqlResult<Option<usize>> {
        if batch.num_rows() == 0 {
            return Ok(None);
        }
        let columns: Vec<_> = (0..shape.columns.len()).collect();
        let table = batch.project(&columns).map_err(arrow_to_sql)?;
        let result = self.condition.evaluate(&table).map_err(to_sql)?;
        let result = result.into_array(table.num_rows()).map_err(to_sql)?;
        let held = result
            .as_boolean_opt()
            .ok_or_else(|| SqlError::internal(format!("check \"{}\" is not boolean", self.name)))?;
        Ok((0..held.len()).find(|row| held.is_valid(*row) && !held.value(*row)))
    }

    fn violation(&self, shape: &TableShape, batch: &RecordBatch, row: usize) -> SqlError {
        let message = format!(
            "new row for relation \"{}\" violates check constraint \"{}\"",
            shape.name, self.name
        );
        SqlError::new(SqlState::CHECK_VIOLATION, message)
            .detail(details::failing_row(shape, &row_values(shape, batch, row)))
            .table(&shape.schema_name, &shape.name)
            .constraint(&self.name)
    }
}

/// The values of one row of a batch that starts with the table's columns. Empty when they cannot
/// be read: this is for error texts.
pub fn row_values(shape: &TableShape, batch: &RecordBatch, row: usize) -> Vec<Datum> {
    let columns = batch.columns().iter().zip(&shape.columns);
    let values: SqlResult<_> =
        columns.map(|(array, column)| datum_at(array, row, &column.ty)).collect();
    values.unwrap_or_default()
}
