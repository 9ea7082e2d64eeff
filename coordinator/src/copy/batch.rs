//! Rows of a file as they become a batch.

use datafusion::arrow::array::{RecordBatch, RecordBatchOptions, UInt32Array};
use satsuma_common::{SqlError, SqlResult};

use super::chunk::Chunk;
use super::format::Format;
use crate::value_io::ValueBuilder;

/// A batch is handed on at this many rows or bytes of input, whichever comes first.
pub const BATCH_ROWS: usize = 32 << 10;
pub const BATCH_BYTES: usize = 4 << 20;

/// Rows of a file, as far as they are sound.
pub struct Piece {
    pub batch: RecordBatch,
    /// The line of each row; 0 where it is too large to tell.
    pub lines: UInt32Array,
    /// What is wrong behind them.
    pub failed: Option<SqlError>,
    /// Where the rows come from, for errors about them; nothing in the binary format.
    pub(super) source: Chunk,
}

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

    /// The rows that were ended; what there is of a further one is left out.
    pub fn finish(self, format: &Format) -> SqlResult<(RecordBatch, UInt32Array)> {
        let finish = |values: ValueBuilder| Ok(values.finish()?.slice(0, self.rows));
        let arrays = self.values.into_iter().map(finish).collect::<SqlResult<Vec<_>>>()?;
        let options = RecordBatchOptions::new().with_row_count(Some(self.rows));
        let batch = RecordBatch::try_new_with_options(format.schema.clone(), arrays, &options)
            .map_err(|error| SqlError::internal(format!("COPY made a malformed batch: {error}")))?;
        Ok((batch, self.lines.into()))
    }
}
