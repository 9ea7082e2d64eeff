//! Rows of a file as they become a batch.

use datafusion::arrow::array::{RecordBatch, RecordBatchOptions, UInt32Array};
use satsuma_common::arrow_values::datum_at;
use satsuma_common::{Datum, SqlError, SqlResult, details};

use super::format::Format;
use crate::value_io::ValueBuilder;

/// A batch is handed on at this many rows or bytes of input, whichever comes first.
pub const BATCH_ROWS: usize = 32 << 10;
pub const BATCH_BYTES: usize = 4 << 20;

/// Rows, and the line of each.
pub type Parsed = (RecordBatch, UInt32Array);

/// A batch of the file's columns in the making.
pub struct BatchBuilder {
    pub values: Vec<ValueBuilder>,
    rows: usize,
    /// Of each row, as far as they are small enough to tell.
    lines: Vec<u32>,
}

impl BatchBuilder {
    pub fn new(format: &Format, rows: usize) -> Self {
        let columns = format.columns.iter();
        let values = columns.map(|column| ValueBuilder::new(&column.ty, rows)).collect();
        Self { values, rows: 0, lines: Vec::with_capacity(rows) }
    }

    pub fn len(&self) -> usize {
        self.rows
    }

    /// Every column has a further value now.
    pub fn end_row(&mut self, line: u64) {
        self.rows += 1;
        self.lines.push(u32::try_from(line).unwrap_or(0));
    }

    /// 23502 for the row that was added last; `index` is the column that is NULL.
    pub fn null_in_last_row(self, format: &Format, index: usize) -> SqlError {
        let Some(shape) = &format.shape else {
            return SqlError::internal("a column without a table must not be NULL");
        };
        let last = self.rows - 1;
        let values = self.finish(format).and_then(|(batch, _)| {
            let columns = batch.columns().iter().zip(&shape.columns);
            columns.map(|(array, column)| datum_at(array, last, &column.ty)).collect()
        });
        let values: Vec<Datum> = values.unwrap_or_default();
        details::null_violation(shape, index, &values)
    }

    pub fn finish(self, format: &Format) -> SqlResult<Parsed> {
        let arrays =
            self.values.into_iter().map(ValueBuilder::finish).collect::<SqlResult<Vec<_>>>()?;
        let options = RecordBatchOptions::new().with_row_count(Some(self.rows));
        let batch = RecordBatch::try_new_with_options(format.schema.clone(), arrays, &options)
            .map_err(|error| SqlError::internal(format!("COPY made a malformed batch: {error}")))?;
        Ok((batch, self.lines.into()))
    }
}
