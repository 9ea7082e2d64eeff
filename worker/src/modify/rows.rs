//! Batches of a table's rows, cut and put together.

use std::sync::Arc;

use arrow::array::{RecordBatch, RecordBatchOptions, UInt64Array};
use arrow::compute::take_record_batch;
use arrow::datatypes::{Field, Schema};
use bytes::Bytes;
use satsuma_common::table::TableShape;
use satsuma_common::{Datum, SqlError, SqlResult, arrow_types, arrow_values};
use satsuma_sql::engine_error::arrow_to_sql;
use satsuma_storage::TableMeta;

use crate::error::malformed;

/// The batch holds the table's columns, of their types, from position `first` on.
pub(crate) fn check_columns(
    shape: &TableShape,
    batch: &RecordBatch,
    first: usize,
) -> SqlResult<()> {
    for (index, column) in shape.columns.iter().enumerate() {
        let expected = arrow_types::data_type(&column.ty);
        match batch.columns().get(first + index) {
            Some(found) if *found.data_type() == expected => {}
            Some(found) => {
                return Err(malformed(format!(
                    "column \"{}\" is sent as {}, not {expected}",
                    column.name,
                    found.data_type()
                )));
            }
            None => return Err(malformed(format!("column \"{}\" is not sent", column.name))),
        }
    }
    Ok(())
}

pub(super) fn take(batch: &RecordBatch, rows: &[usize]) -> SqlResult<RecordBatch> {
    let all = rows.len() == batch.num_rows() && rows.iter().enumerate().all(|(at, row)| at == *row);
    if all {
        return Ok(batch.clone());
    }
    if batch.num_columns() == 0 {
        let options = RecordBatchOptions::new().with_row_count(Some(rows.len()));
        return RecordBatch::try_new_with_options(batch.schema(), Vec::new(), &options)
            .map_err(arrow_to_sql);
    }
    let rows = UInt64Array::from_iter_values(rows.iter().map(|row| *row as u64));
    take_record_batch(batch, &rows).map_err(arrow_to_sql)
}

/// All columns but the first.
pub(super) fn without_first(batch: &RecordBatch) -> SqlResult<RecordBatch> {
    project(batch, 1..batch.num_columns())
}

/// The columns after the table's, which start at `first`.
pub(super) fn extra_columns(shape: &TableShape, batch: &RecordBatch, first: usize) -> RecordBatch {
    let from = (first + shape.columns.len()).min(batch.num_columns());
    project(batch, from..batch.num_columns()).unwrap_or_else(|_| batch.slice(0, 0))
}

fn project(batch: &RecordBatch, columns: std::ops::Range<usize>) -> SqlResult<RecordBatch> {
    let columns: Vec<_> = columns.collect();
    batch.project(&columns).map_err(arrow_to_sql)
}

/// The table's columns of one batch and all columns of another, with the table's names.
pub(super) fn beside(
    shape: &TableShape,
    table: &RecordBatch,
    extra: &RecordBatch,
) -> SqlResult<RecordBatch> {
    let width = shape.columns.len();
    let columns = table.columns().iter().take(width).chain(extra.columns()).cloned().collect();
    let fields: Vec<_> = shape
        .arrow_schema()
        .fields()
        .iter()
        .cloned()
        .chain(extra.schema_ref().fields().iter().map(relaxed))
        .collect();
    let options = RecordBatchOptions::new().with_row_count(Some(table.num_rows()));
    RecordBatch::try_new_with_options(Arc::new(Schema::new(fields)), columns, &options)
        .map_err(arrow_to_sql)
}

fn relaxed(field: &Arc<Field>) -> Arc<Field> {
    Arc::new(field.as_ref().clone().with_nullable(true))
}

/// Rows as a batch of the table's columns. They may be new ones, whose NULLs are yet to be
/// refused.
pub(super) fn decode(meta: &TableMeta, rows: &[Bytes]) -> SqlResult<RecordBatch> {
    let columns: Vec<_> = (0..meta.shape.columns.len()).collect();
    let malformed = |error: satsuma_common::row::RowError| {
        SqlError::new(satsuma_common::SqlState::DATA_CORRUPTED, error.to_string())
    };
    let mut builder =
        meta.decoder().batch_builder(Some(&columns), rows.len()).map_err(malformed)?.unchecked();
    for row in rows {
        builder.push(&[], row).map_err(malformed)?;
    }
    builder.finish().map_err(malformed)
}

/// The same for rows that may have a NULL where none may be: NOT NULL is still to be checked.
pub(super) fn decode_unchecked(meta: &TableMeta, rows: &[Bytes]) -> SqlResult<RecordBatch> {
    let decoder = meta.decoder();
    let rows = rows.iter().map(|row| decoder.datums(row).map_err(|e| malformed(e.to_string())));
    of_datums(&meta.shape, rows.collect::<SqlResult<_>>()?)
}

/// A batch of the table's columns with these values, of which any may be NULL.
pub(super) fn of_datums(shape: &TableShape, rows: Vec<Vec<Datum>>) -> SqlResult<RecordBatch> {
    let count = rows.len();
    let mut values = vec![Vec::with_capacity(count); shape.columns.len()];
    for row in rows {
        for (column, value) in values.iter_mut().zip(row) {
            column.push(value);
        }
    }
    let columns = values
        .iter()
        .zip(&shape.columns)
        .map(|(values, column)| arrow_values::array_from_datums(values, &column.ty))
        .collect::<SqlResult<Vec<_>>>()?;
    let fields: Vec<_> = shape.arrow_schema().fields().iter().map(relaxed).collect();
    let options = RecordBatchOptions::new().with_row_count(Some(count));
    RecordBatch::try_new_with_options(Arc::new(Schema::new(fields)), columns, &options)
        .map_err(arrow_to_sql)
}

/// Whether an encoded row has a NULL where none may be.
pub(super) fn has_forbidden_null(meta: &TableMeta, row: &[u8]) -> bool {
    let shape = &meta.shape;
    shape.columns.iter().enumerate().any(|(position, column)| {
        let must = shape.is_required(column);
        must && !matches!(meta.decoder().bytes(row, position), Ok(Some(_)))
    })
}
