//! Values in their physical form to Arrow columns.

use std::sync::Arc;

use arrow::array::{
    ArrayData, ArrayRef, BinaryBuilder, BinaryViewBuilder, BooleanBufferBuilder, ListArray,
    NullArray, StringViewBuilder, make_array,
};
use arrow::buffer::{Buffer, MutableBuffer, NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow::datatypes::DataType;

use super::RowError;
use super::value::{Items, Physical};

/// Builds one Arrow column of any type of [`crate::arrow_types`].
#[derive(Debug)]
pub struct ColumnBuilder {
    data_type: DataType,
    /// Set bits are valid rows.
    valid: BooleanBufferBuilder,
    nulls: usize,
    values: Values,
}

#[derive(Debug)]
enum Values {
    Bool(BooleanBufferBuilder),
    Fixed(MutableBuffer, usize),
    Utf8View(StringViewBuilder),
    BinaryView(BinaryViewBuilder),
    Binary(BinaryBuilder),
    List(Vec<i32>, Box<ColumnBuilder>, Physical),
    Null,
}

impl ColumnBuilder {
    pub fn new(data_type: &DataType, capacity: usize) -> Self {
        let values = match data_type {
            DataType::Boolean => Values::Bool(BooleanBufferBuilder::new(capacity)),
            DataType::Utf8View => Values::Utf8View(StringViewBuilder::with_capacity(capacity)),
            DataType::BinaryView => Values::BinaryView(BinaryViewBuilder::with_capacity(capacity)),
            DataType::List(item) => Values::List(
                vec![0],
                Box::new(Self::new(item.data_type(), capacity)),
                Physical::of_arrow(item.data_type()),
            ),
            DataType::Null => Values::Null,
            other => match Physical::of_arrow(other) {
                Physical::Fixed(width) => {
                    Values::Fixed(MutableBuffer::new(capacity * width), width)
                }
                _ => Values::Binary(BinaryBuilder::with_capacity(capacity, capacity * 16)),
            },
        };
        let valid = BooleanBufferBuilder::new(capacity);
        Self { data_type: data_type.clone(), valid, nulls: 0, values }
    }

    pub fn len(&self) -> usize {
        self.valid.len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Appends a value in its physical form; `None` is NULL.
    pub fn push(&mut self, value: Option<&[u8]>) -> Result<(), RowError> {
        match (&mut self.values, value) {
            (Values::Bool(bits), value) => {
                bits.append(value.and_then(|v| v.first()).is_some_and(|b| *b != 0));
            }
            (Values::Fixed(buffer, width), Some(value)) => {
                if value.len() != *width {
                    return Err(RowError::Mismatch(self.data_type.to_string()));
                }
                buffer.extend_from_slice(value);
            }
            (Values::Fixed(buffer, width), None) => buffer.extend_zeros(*width),
            (Values::Utf8View(builder), Some(value)) => {
                builder.append_value(std::str::from_utf8(value).map_err(|_| RowError::Utf8)?);
            }
            (Values::Utf8View(builder), None) => builder.append_null(),
            (Values::BinaryView(builder), value) => builder.append_option(value),
            (Values::Binary(builder), value) => builder.append_option(value),
            (Values::List(offsets, items, item), value) => {
                if let Some(value) = value {
                    for item in Items::new(value, item)? {
                        items.push(item?)?;
                    }
                }
                let end = i32::try_from(items.len()).map_err(|_| RowError::TooLong(items.len()))?;
                offsets.push(end);
            }
            (Values::Null, _) => {}
        }
        self.valid.append(value.is_some());
        self.nulls += usize::from(value.is_none());
        Ok(())
    }

    /// Appends fixed-width values that lie one after another, none of them NULL; `false`, with
    /// nothing appended, where the column or the length is another.
    pub fn extend_plain(&mut self, values: &[u8], count: usize) -> bool {
        let Values::Fixed(buffer, width) = &mut self.values else { return false };
        if count.checked_mul(*width) != Some(values.len()) {
            return false;
        }
        buffer.extend_from_slice(values);
        self.valid.append_n(count, true);
        true
    }

    pub fn finish(mut self) -> Result<ArrayRef, RowError> {
        let len = self.valid.len();
        let nulls = (self.nulls > 0).then(|| NullBuffer::new(self.valid.finish()));
        let malformed = |e: arrow::error::ArrowError| RowError::Malformed(e.to_string());
        let buffer: Buffer = match self.values {
            Values::Bool(mut bits) => {
                let bits = bits.finish();
                return Ok(Arc::new(arrow::array::BooleanArray::new(bits, nulls)));
            }
            Values::Utf8View(mut builder) => return Ok(Arc::new(builder.finish())),
            Values::BinaryView(mut builder) => return Ok(Arc::new(builder.finish())),
            Values::Binary(mut builder) => return Ok(Arc::new(builder.finish())),
            Values::Null => return Ok(Arc::new(NullArray::new(len))),
            Values::List(offsets, items, _) => {
                let DataType::List(field) = &self.data_type else {
                    return Err(RowError::Mismatch(self.data_type.to_string()));
                };
                let offsets = OffsetBuffer::new(ScalarBuffer::from(offsets));
                let list = ListArray::try_new(field.clone(), offsets, items.finish()?, nulls);
                return Ok(Arc::new(list.map_err(malformed)?));
            }
            Values::Fixed(buffer, _) => buffer.into(),
        };
        let data = match &self.data_type {
            DataType::FixedSizeList(item, 2) => {
                let points = ArrayData::builder(item.data_type().clone())
                    .len(len * 2)
                    .add_buffer(buffer)
                    .build()
                    .map_err(malformed)?;
                ArrayData::builder(self.data_type.clone()).len(len).add_child_data(points)
            }
            other => ArrayData::builder(other.clone()).len(len).add_buffer(buffer),
        };
        Ok(make_array(data.nulls(nulls).build().map_err(malformed)?))
    }
}
