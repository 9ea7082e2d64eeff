//! Arrow batches and datums to rows.

use std::borrow::Cow;

use arrow::array::{Array, RecordBatch};

use super::layout::Layout;
use super::source::ColumnSource;
use super::value::encode_value;
use super::{RowError, put_varint};
use crate::arrow_types;
use crate::datum::Datum;
use crate::table::TableShape;

/// Encodes rows of one version of a table's shape.
#[derive(Clone, Debug)]
pub struct RowEncoder {
    layout: Layout,
}

impl RowEncoder {
    pub fn new(shape: &TableShape) -> Self {
        Self::with_layout(Layout::of(shape))
    }

    /// Encodes rows under a layout of its own.
    pub fn with_layout(layout: Layout) -> Self {
        Self { layout }
    }

    /// One row per row of `batch`, whose first columns are the table's, in the shape's order.
    /// Columns after them are left out.
    pub fn encode_batch(&self, batch: &RecordBatch) -> Result<Vec<Vec<u8>>, RowError> {
        let width = self.layout.columns.len();
        if batch.num_columns() < width {
            return Err(RowError::ColumnCount(batch.num_columns(), width));
        }
        let mut sources = Vec::with_capacity(width);
        for ((_, ty), array) in self.layout.columns.iter().zip(batch.columns()) {
            if array.data_type() != &arrow_types::data_type(ty) {
                return Err(RowError::Mismatch(format!("{ty} (got {})", array.data_type())));
            }
            sources.push(ColumnSource::new(array)?);
        }
        (0..batch.num_rows()).map(|row| self.put(|column| sources[column].value(row))).collect()
    }

    /// One row of datums in the shape's order.
    pub fn encode(&self, row: &[Datum]) -> Result<Vec<u8>, RowError> {
        if row.len() != self.layout.columns.len() {
            return Err(RowError::ColumnCount(row.len(), self.layout.columns.len()));
        }
        self.put(|column| {
            let ty = &self.layout.columns[column].1;
            Ok(encode_value(&row[column], ty)?.map(Cow::Owned))
        })
    }

    /// One row of values in their physical form, by position in the layout; `None` is NULL.
    pub fn encode_physical<'a>(
        &self,
        value: impl Fn(usize) -> Option<&'a [u8]>,
    ) -> Result<Vec<u8>, RowError> {
        self.put(|column| Ok(value(column).map(Cow::Borrowed)))
    }

    fn put<'a>(
        &self,
        value: impl Fn(usize) -> Result<Option<Cow<'a, [u8]>>, RowError>,
    ) -> Result<Vec<u8>, RowError> {
        let layout = &self.layout;
        let mut out =
            Vec::with_capacity(3 + layout.bitmap_len() + layout.slots_len() + layout.slots_len());
        put_varint(&mut out, layout.version);
        let bitmap_at = out.len();
        let slots_at = bitmap_at + layout.bitmap_len();
        let tail_at = slots_at + layout.slots_len();
        out.resize(tail_at, 0);
        for column in 0..layout.columns.len() {
            let value = value(column)?;
            let at = slots_at + layout.slot(column);
            match layout.physical(column).fixed_width() {
                Some(width) => {
                    if let Some(value) = &value {
                        if value.len() != width {
                            return Err(RowError::Mismatch(layout.columns[column].1.to_string()));
                        }
                        out[at..at + width].copy_from_slice(value);
                    }
                }
                None => {
                    out.extend_from_slice(value.as_deref().unwrap_or_default());
                    let end = out.len() - tail_at;
                    let end = u32::try_from(end).map_err(|_| RowError::TooLong(end))?;
                    out[at..at + 4].copy_from_slice(&end.to_le_bytes());
                }
            }
            if value.is_none() {
                out[bitmap_at + column / 8] |= 1 << (column % 8);
            }
        }
        Ok(out)
    }
}
