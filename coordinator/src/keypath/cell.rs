//! Values that are known before any row is looked at: constants, parameters, and what is computed
//! of these.

use std::cell::OnceCell;
use std::sync::Arc;

use datafusion::arrow::array::{RecordBatch, RecordBatchOptions};
use datafusion::arrow::datatypes::{Field, Schema, SchemaRef};
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{Column, DFSchema};
use datafusion::logical_expr::Expr;
use datafusion::logical_expr::execution_props::ExecutionProps;
use datafusion::logical_expr::physical_planning_context::PhysicalPlanningContext;
use datafusion::physical_expr::{PhysicalExpr, create_physical_expr};
use satsuma_common::arrow_values::{array_of_one, datum_at};
use satsuma_common::{Datum, PgType, SqlResult, arrow_types};
use satsuma_sql::engine_error::{arrow_to_sql, to_sql};

#[derive(Clone, Debug)]
pub enum Cell {
    Value(Datum),
    /// By position, from 0.
    Param(usize),
    Computed(Arc<dyn PhysicalExpr>),
}

impl Cell {
    /// The cell that an expression without columns stands for, of type `ty`; `None` for what only
    /// a plan can compute.
    pub fn new(expr: &Expr, ty: &PgType, params: &[PgType]) -> Option<Self> {
        let expected = arrow_types::data_type(ty);
        match strip_alias(expr) {
            Expr::Literal(value, _) => {
                let array = value.to_array().ok()?;
                if *array.data_type() != expected {
                    return None;
                }
                datum_at(array.as_ref(), 0, ty).ok().map(Self::Value)
            }
            Expr::Placeholder(placeholder) => {
                let index = param_index(&placeholder.id)?;
                let same = arrow_types::data_type(params.get(index)?) == expected;
                same.then_some(Self::Param(index))
            }
            expr => {
                if needs_plan(expr) || !expr.column_refs().is_empty() {
                    return None;
                }
                let expr = over_params(expr.clone())?;
                let schema = DFSchema::try_from(params_schema(params).as_ref().clone()).ok()?;
                let (props, planning) = (ExecutionProps::new(), PhysicalPlanningContext::default());
                let physical = create_physical_expr(&expr, &schema, &props, &planning).ok()?;
                let same = physical.data_type(schema.as_arrow()).ok()? == expected;
                same.then_some(Self::Computed(physical))
            }
        }
    }
}

pub(crate) fn strip_alias(mut expr: &Expr) -> &Expr {
    while let Expr::Alias(alias) = expr {
        expr = &alias.expr;
    }
    expr
}

/// `$1` is 0.
pub(super) fn param_index(id: &str) -> Option<usize> {
    id.strip_prefix('$')?.parse::<usize>().ok()?.checked_sub(1)
}

/// Whether an expression is more than a function of one row and the parameters.
pub(crate) fn needs_plan(expr: &Expr) -> bool {
    expr.exists(|expr| {
        Ok(matches!(
            expr,
            Expr::ScalarSubquery(_)
                | Expr::Exists(_)
                | Expr::InSubquery(_)
                | Expr::SetComparison(_)
                | Expr::OuterReferenceColumn(..)
                | Expr::AggregateFunction(_)
                | Expr::WindowFunction(_)
                | Expr::Unnest(_)
                | Expr::GroupingSet(_)
        ))
    })
    .unwrap_or(true)
}

/// Parameters as columns `$1`, `$2`, ....
fn over_params(expr: Expr) -> Option<Expr> {
    let replaced = expr.transform_up(|expr| match &expr {
        Expr::Placeholder(placeholder) => {
            Ok(Transformed::yes(Expr::Column(Column::new_unqualified(&placeholder.id))))
        }
        _ => Ok(Transformed::no(expr)),
    });
    replaced.ok().map(|transformed| transformed.data)
}

fn params_schema(params: &[PgType]) -> SchemaRef {
    let fields: Vec<_> = params
        .iter()
        .enumerate()
        .map(|(index, ty)| Field::new(format!("${}", index + 1), arrow_types::data_type(ty), true))
        .collect();
    Arc::new(Schema::new(fields))
}

/// One execution's parameters.
pub struct Values<'a> {
    params: &'a [Datum],
    types: &'a [PgType],
    batch: OnceCell<RecordBatch>,
}

impl<'a> Values<'a> {
    /// A value for each type.
    pub fn new(params: &'a [Datum], types: &'a [PgType]) -> Self {
        Self { params, types, batch: OnceCell::new() }
    }

    /// The cell's value, of type `ty`.
    pub fn get(&self, cell: &Cell, ty: &PgType) -> SqlResult<Datum> {
        match cell {
            Cell::Value(value) => Ok(value.clone()),
            Cell::Param(index) => Ok(self.params.get(*index).cloned().unwrap_or(Datum::Null)),
            Cell::Computed(expr) => {
                let value = expr.evaluate(self.batch()?).map_err(to_sql)?;
                let array = value.into_array(1).map_err(to_sql)?;
                datum_at(array.as_ref(), 0, ty)
            }
        }
    }

    /// The parameters as a batch of one row.
    fn batch(&self) -> SqlResult<&RecordBatch> {
        if let Some(batch) = self.batch.get() {
            return Ok(batch);
        }
        let columns = self
            .params
            .iter()
            .zip(self.types)
            .map(|(value, ty)| array_of_one(value, ty))
            .collect::<SqlResult<Vec<_>>>()?;
        let options = RecordBatchOptions::new().with_row_count(Some(1));
        let schema = params_schema(self.types);
        let batch =
            RecordBatch::try_new_with_options(schema, columns, &options).map_err(arrow_to_sql)?;
        Ok(self.batch.get_or_init(|| batch))
    }
}
