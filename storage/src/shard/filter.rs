//! Conditions that scans evaluate themselves.

use std::fmt::Debug;

use arrow::array::{Array, BooleanArray, RecordBatch};
use arrow::buffer::BooleanBuffer;
use satsuma_common::SqlError;

use super::Predicate;

/// A condition on rows, evaluated by the scan: only rows for which it is true come. NULL is not
/// true.
///
/// It must depend on nothing but the columns it names, and have no effect: it may be evaluated on
/// each distinct value of a column instead of each row, and on rows that are not visible. An error
/// on such values alone is passed over.
pub trait RowFilter: Debug + Send + Sync {
    /// Positions in the shape of the columns that [`Self::evaluate`] is given, in this order.
    fn columns(&self) -> &[usize];

    fn evaluate(&self, rows: &RecordBatch) -> Result<BooleanArray, SqlError>;

    /// Whether rows for which the condition is not true may come all the same: the scan then
    /// stops evaluating a condition that keeps nearly every row.
    fn is_optional(&self) -> bool {
        false
    }

    /// Conditions on single columns that follow from this one, by which whole blocks are skipped.
    /// Asked for at every block: they may become narrower while the scan runs.
    fn predicates(&self) -> Vec<Predicate> {
        Vec::new()
    }
}

/// Rows for which the condition is true.
pub(super) fn true_rows(mask: &BooleanArray) -> BooleanBuffer {
    match mask.nulls() {
        Some(nulls) => mask.values() & nulls.inner(),
        None => mask.values().clone(),
    }
}
