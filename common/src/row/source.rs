//! Arrow columns as a source of values in their physical form.

use std::borrow::Cow;

use arrow::array::{
    Array, AsArray, BinaryArray, BinaryViewArray, BooleanArray, ListArray, StringViewArray,
};
use arrow::buffer::Buffer;
use arrow::datatypes::DataType;

use super::RowError;
use super::value::{Physical, put_list};

/// A column, ready to be read value by value.
pub struct ColumnSource {
    values: Values,
    nulls: Option<arrow::buffer::NullBuffer>,
}

enum Values {
    Bool(BooleanArray),
    /// Raw little-endian values of this width, from row 0.
    Fixed(Buffer, usize),
    Utf8View(StringViewArray),
    BinaryView(BinaryViewArray),
    Binary(BinaryArray),
    List(ListArray, Box<ColumnSource>, Physical),
    Null,
}

impl ColumnSource {
    /// `array` must be of one of the layouts in [`crate::arrow_types`].
    pub fn new(array: &dyn Array) -> Result<Self, RowError> {
        let nulls = array.nulls().cloned();
        let values = match array.data_type() {
            DataType::Boolean => Values::Bool(array.as_boolean().clone()),
            DataType::Utf8View => Values::Utf8View(array.as_string_view().clone()),
            DataType::BinaryView => Values::BinaryView(array.as_binary_view().clone()),
            DataType::Binary => Values::Binary(array.as_binary::<i32>().clone()),
            DataType::List(item) => {
                let list = array.as_list::<i32>().clone();
                let items = Self::new(list.values().as_ref())?;
                Values::List(list, Box::new(items), Physical::of_arrow(item.data_type()))
            }
            DataType::Null => Values::Null,
            DataType::FixedSizeList(item, 2) if item.data_type() == &DataType::Float64 => {
                let list = array.as_fixed_size_list();
                let first = list.value_offset(0) as usize;
                let points = list
                    .values()
                    .as_primitive::<arrow::datatypes::Float64Type>()
                    .slice(first, list.len() * 2);
                Values::Fixed(points.values().inner().clone(), 16)
            }
            other => match Physical::of_arrow(other) {
                Physical::Fixed(width) => {
                    let data = array.to_data();
                    let buffer = data.buffers().first().ok_or(RowError::Truncated)?;
                    Values::Fixed(buffer.slice(data.offset() * width), width)
                }
                _ => return Err(RowError::Mismatch(other.to_string())),
            },
        };
        Ok(Self { values, nulls })
    }

    /// The value of row `i` in its physical form; `None` is NULL.
    pub fn value(&self, i: usize) -> Result<Option<Cow<'_, [u8]>>, RowError> {
        if self.nulls.as_ref().is_some_and(|nulls| nulls.is_null(i)) {
            return Ok(None);
        }
        Ok(Some(match &self.values {
            Values::Bool(array) => {
                Cow::Borrowed(if array.value(i) { &[1u8][..] } else { &[0u8][..] })
            }
            Values::Fixed(buffer, width) => {
                let bytes = buffer.as_slice().get(i * width..(i + 1) * width);
                Cow::Borrowed(bytes.ok_or(RowError::Truncated)?)
            }
            Values::Utf8View(array) => Cow::Borrowed(array.value(i).as_bytes()),
            Values::BinaryView(array) => Cow::Borrowed(array.value(i)),
            Values::Binary(array) => Cow::Borrowed(array.value(i)),
            Values::List(list, items, item) => {
                let offsets = list.value_offsets();
                let range = offsets[i] as usize..offsets[i + 1] as usize;
                let values = range.map(|at| items.value(at)).collect::<Result<Vec<_>, _>>()?;
                let mut out = Vec::new();
                put_list(&mut out, item, values.into_iter())?;
                Cow::Owned(out)
            }
            Values::Null => return Ok(None),
        }))
    }
}
