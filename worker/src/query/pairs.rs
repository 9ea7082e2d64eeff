//! The end of joins that find candidates for each row by other means than a hash: the pairs for
//! which the join's whole condition is true.

use std::sync::Arc;

use datafusion::arrow::array::{
    ArrayRef, AsArray, BooleanArray, RecordBatch, RecordBatchOptions, UInt32Array,
};
use datafusion::arrow::compute::{filter, take};
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::common::{JoinSide, internal_err};
use datafusion::error::Result;
use datafusion::physical_plan::joins::utils::JoinFilter;

/// An inner join's condition and columns.
#[derive(Debug)]
pub(super) struct PairFilter {
    /// The side whose rows come one batch after the other.
    pub outer_side: JoinSide,
    pub filter: Arc<JoinFilter>,
    pub schema: SchemaRef,
    pub projection: Option<Vec<usize>>,
}

impl PairFilter {
    /// Rows of both sides, by number, as joined rows: those for which the condition is true.
    pub fn keep(
        &self,
        (outer, outer_rows): (&RecordBatch, &UInt32Array),
        (inner, inner_rows): (&RecordBatch, &UInt32Array),
    ) -> Result<RecordBatch> {
        let columns = self
            .filter
            .column_indices()
            .iter()
            .map(|at| match at.side == self.outer_side {
                true => Ok(take(outer.column(at.index), outer_rows, None)?),
                false => Ok(take(inner.column(at.index), inner_rows, None)?),
            })
            .collect::<Result<Vec<ArrayRef>>>()?;
        let count = RecordBatchOptions::new().with_row_count(Some(outer_rows.len()));
        let pairs =
            RecordBatch::try_new_with_options(self.filter.schema().clone(), columns, &count)?;
        let held = self.filter.expression().evaluate(&pairs)?.into_array(pairs.num_rows())?;
        let held = is_true(&held)?;
        let outer_rows = filter(outer_rows, &held)?;
        let inner_rows = filter(inner_rows, &held)?;
        let of = |batch: &RecordBatch, rows: &ArrayRef| {
            let taken = batch.columns().iter().map(|column| Ok(take(column, rows, None)?));
            taken.collect::<Result<Vec<_>>>()
        };
        let (outer, inner) = (of(outer, &outer_rows)?, of(inner, &inner_rows)?);
        let mut columns = match self.outer_side {
            JoinSide::Left => [outer, inner].concat(),
            _ => [inner, outer].concat(),
        };
        if let Some(projection) = &self.projection {
            columns = projection.iter().map(|at| columns[*at].clone()).collect();
        }
        let count = RecordBatchOptions::new().with_row_count(Some(outer_rows.len()));
        Ok(RecordBatch::try_new_with_options(self.schema.clone(), columns, &count)?)
    }
}

/// NULL is not true.
pub(super) fn is_true(held: &ArrayRef) -> Result<BooleanArray> {
    match held.as_boolean_opt() {
        Some(held) => Ok(held.iter().map(|held| held == Some(true)).collect()),
        None => internal_err!("a condition is not boolean"),
    }
}
