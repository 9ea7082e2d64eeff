//! Values between Arrow columns and the forms that clients send and read: thin wrappers that bind
//! a column, its type and the session's settings together.

use datafusion::arrow::array::{Array, ArrayRef, AsArray};
use datafusion::arrow::datatypes::DataType;
use satsuma_common::arrow_values::DatumBuilder;
use satsuma_common::{Datum, PgType, SqlResult, binary, text};

pub use satsuma_common::text::TextContext as TextSettings;

pub fn parse_text(text: &str, ty: &PgType, settings: &TextSettings) -> SqlResult<Datum> {
    text::input(ty, text, settings)
}

pub fn parse_binary(raw: &[u8], ty: &PgType) -> SqlResult<Datum> {
    binary::binary_input(ty, raw)
}

/// One column of results.
pub struct ValueWriter<'a> {
    array: &'a ArrayRef,
    ty: &'a PgType,
    settings: &'a TextSettings,
}

impl<'a> ValueWriter<'a> {
    pub fn new(array: &'a ArrayRef, ty: &'a PgType, settings: &'a TextSettings) -> Self {
        Self { array, ty, settings }
    }

    pub fn is_null(&self, row: usize) -> bool {
        self.array.data_type() == &DataType::Null || self.array.is_null(row)
    }

    /// Appends the text of a value that is not null.
    pub fn write_text(&self, row: usize, output: &mut Vec<u8>) -> SqlResult<()> {
        text::format_array(self.array, row, self.ty, self.settings, output)
    }

    /// Appends the binary form of a value that is not null.
    pub fn write_binary(&self, row: usize, output: &mut Vec<u8>) -> SqlResult<()> {
        // Text is its own binary form, and by far the most common.
        if matches!(self.ty, PgType::Text | PgType::Varchar(_))
            && let Some(strings) = self.array.as_string_view_opt()
        {
            output.extend_from_slice(strings.value(row).as_bytes());
            return Ok(());
        }
        binary::binary_output_row(self.array, row, self.ty, output)
    }
}

/// One column in the making.
pub struct ValueBuilder(DatumBuilder);

impl ValueBuilder {
    pub fn new(ty: &PgType, capacity: usize) -> Self {
        Self(DatumBuilder::new(ty, capacity))
    }

    pub fn append_null(&mut self) {
        self.0.append_null();
    }

    pub fn append_text(&mut self, text: &str, settings: &TextSettings) -> SqlResult<()> {
        text::append_text(&mut self.0, text, settings)
    }

    pub fn finish(mut self) -> SqlResult<ArrayRef> {
        self.0.finish()
    }
}
