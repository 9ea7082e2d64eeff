//! The values of a row that an error is about.

use arrow::array::RecordBatch;
use satsuma_common::Datum;
use satsuma_common::row::RowEncoder;
use satsuma_storage::TableMeta;

/// The values of one row of a batch that starts with the table's columns. Empty when they cannot
/// be read: this is for error texts.
pub(crate) fn datums(meta: &TableMeta, batch: &RecordBatch, row: usize) -> Vec<Datum> {
    let encoded = RowEncoder::new(&meta.shape).encode_batch(&batch.slice(row, 1));
    let encoded = encoded.ok().and_then(|mut rows| rows.pop()).unwrap_or_default();
    meta.decoder().datums(&encoded).unwrap_or_default()
}
