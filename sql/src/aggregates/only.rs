//! Aggregates that subqueries in expressions become: the value of the only row, and the array of
//! all rows.

use std::sync::Arc;

use datafusion::arrow::array::{Array as _, ArrayRef};
use datafusion::arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::{Result, ScalarValue};
use datafusion::functions_aggregate::array_agg::array_agg_udaf;
use datafusion::logical_expr::expr::{AggregateFunction, Sort};
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::utils::AggregateOrderSensitivity;
use datafusion::logical_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, Expr, Signature, Volatility,
};
use satsuma_common::{SqlError, SqlState};

use crate::functions::error::to_datafusion;

/// The name under which plans carry [`only_value`]'s function.
pub const ONLY_VALUE: &str = "only_value";

/// The value of the one row there is; NULL of none, an error (21000) of more.
pub fn only_value(value: Expr) -> Expr {
    call(Arc::new(AggregateUDF::new_from_impl(OnlyValue::default())), value, Vec::new())
}

/// All values as an array, sorted; NULL without rows.
pub fn collect_array(value: Expr, order_by: Vec<Sort>) -> Expr {
    call(array_agg_udaf(), value, order_by)
}

fn call(function: Arc<AggregateUDF>, value: Expr, order_by: Vec<Sort>) -> Expr {
    Expr::AggregateFunction(AggregateFunction::new_udf(
        function,
        vec![value],
        false,
        None,
        order_by,
        None,
    ))
}

#[derive(Debug, PartialEq, Eq, Hash)]
pub struct OnlyValue {
    signature: Signature,
}

impl Default for OnlyValue {
    fn default() -> Self {
        Self { signature: Signature::any(1, Volatility::Immutable) }
    }
}

impl AggregateUDFImpl for OnlyValue {
    fn name(&self) -> &str {
        ONLY_VALUE
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, arg_types: &[DataType]) -> Result<DataType> {
        Ok(arg_types.first().cloned().unwrap_or(DataType::Null))
    }

    fn return_field(&self, arg_fields: &[FieldRef]) -> Result<FieldRef> {
        let field = match arg_fields.first() {
            Some(field) => field.as_ref().clone().with_name(ONLY_VALUE).with_nullable(true),
            None => Field::new(ONLY_VALUE, DataType::Null, true),
        };
        Ok(Arc::new(field))
    }

    fn state_fields(&self, args: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        let value = args.return_field.as_ref().clone().with_name(format!("{}[value]", args.name));
        let rows = Field::new(format!("{}[rows]", args.name), DataType::Int64, false);
        Ok(vec![Arc::new(value), Arc::new(rows)])
    }

    fn accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        let value = ScalarValue::try_from(args.return_type())?;
        Ok(Box::new(OnlyRow { value, rows: 0 }))
    }

    fn order_sensitivity(&self) -> AggregateOrderSensitivity {
        AggregateOrderSensitivity::Insensitive
    }
}

#[derive(Debug)]
struct OnlyRow {
    value: ScalarValue,
    rows: i64,
}

impl OnlyRow {
    fn take(&mut self, value: ScalarValue, rows: i64) -> Result<()> {
        self.rows += rows;
        if self.rows > 1 {
            return Err(to_datafusion(SqlError::new(
                SqlState::CARDINALITY_VIOLATION,
                "more than one row returned by a subquery used as an expression",
            )));
        }
        if rows == 1 {
            self.value = value;
        }
        Ok(())
    }
}

impl Accumulator for OnlyRow {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        for row in 0..values[0].len() {
            self.take(ScalarValue::try_from_array(&values[0], row)?, 1)?;
        }
        Ok(())
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        Ok(self.value.clone())
    }

    fn size(&self) -> usize {
        size_of_val(self) + self.value.size()
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        Ok(vec![self.value.clone(), ScalarValue::Int64(Some(self.rows))])
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        for row in 0..states[0].len() {
            let ScalarValue::Int64(rows) = ScalarValue::try_from_array(&states[1], row)? else {
                continue;
            };
            self.take(ScalarValue::try_from_array(&states[0], row)?, rows.unwrap_or(0))?;
        }
        Ok(())
    }
}
