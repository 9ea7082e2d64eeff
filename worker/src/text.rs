//! Values in error details: `Key (id)=(5)`, `Failing row contains (5, null)`.

use arrow::array::RecordBatch;
use satsuma_common::row::RowEncoder;
use satsuma_common::table::TableShape;
use satsuma_common::text::{TextContext, to_text};
use satsuma_common::{ColumnId, Datum, PgType};
use satsuma_storage::TableMeta;

/// PostgreSQL cuts values of a failing row at 64 bytes.
const VALUE_BYTES: usize = 64;

/// The value as PostgreSQL's output function writes it; NULL as `null`.
pub(crate) fn value(datum: &Datum, ty: &PgType) -> String {
    match to_text(ty, datum, &TextContext::default()) {
        Ok(Some(text)) => text,
        Ok(None) => "null".into(),
        Err(_) => "?".into(),
    }
}

/// `(a, b)=(1, 2)`, from all values of a row.
pub(crate) fn key(shape: &TableShape, columns: &[ColumnId], row: &[Datum]) -> String {
    let named: Vec<_> = columns.iter().filter_map(|id| shape.position(*id)).collect();
    let names: Vec<_> = named.iter().map(|at| shape.columns[*at].name.as_str()).collect();
    let values: Vec<_> = named
        .iter()
        .map(|at| row.get(*at).map_or_else(String::new, |v| value(v, &shape.columns[*at].ty)))
        .collect();
    format!("({})=({})", names.join(", "), values.join(", "))
}

/// `(1, null, text)`
pub(crate) fn row(shape: &TableShape, values: &[Datum]) -> String {
    let texts: Vec<_> = shape
        .columns
        .iter()
        .zip(values)
        .map(|(column, datum)| shortened(value(datum, &column.ty)))
        .collect();
    format!("({})", texts.join(", "))
}

/// The values of one row of a batch that starts with the table's columns. Empty when they cannot
/// be read: this is for error texts.
pub(crate) fn datums(meta: &TableMeta, batch: &RecordBatch, row: usize) -> Vec<Datum> {
    let encoded = RowEncoder::new(&meta.shape).encode_batch(&batch.slice(row, 1));
    let encoded = encoded.ok().and_then(|mut rows| rows.pop()).unwrap_or_default();
    meta.decoder().datums(&encoded).unwrap_or_default()
}

fn shortened(mut text: String) -> String {
    if text.len() > VALUE_BYTES {
        let mut end = VALUE_BYTES;
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        text.truncate(end);
        text.push_str("...");
    }
    text
}
