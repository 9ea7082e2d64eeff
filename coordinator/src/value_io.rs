//! Values between Arrow columns and the forms that clients send and read: thin wrappers that bind
//! a column, its type and the session's settings together.

use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray};
use datafusion::arrow::datatypes::{DataType, UInt32Type};
use satsuma_common::arrow_values::DatumBuilder;
use satsuma_common::text::TextContext;
use satsuma_common::{Datum, PgType, SqlError, SqlResult, arrow_values, binary, text};
use satsuma_sql::casts::convert::{names_object, resolve_names};
use satsuma_sql::casts::enums;
use satsuma_sql::catalog_view::CatalogView;
use satsuma_sql::functions::object_name;

/// How a session reads and writes text.
#[derive(Clone, Default)]
pub struct TextSettings {
    pub context: TextContext,
    /// Names of what `regclass` and its relatives refer to; without it they are written as
    /// numbers.
    pub names: Option<Arc<dyn CatalogView>>,
}

pub fn parse_text(text: &str, ty: &PgType, settings: &TextSettings) -> SqlResult<Datum> {
    if let Some(names) = &settings.names
        && let Some(found) = resolve_names(text, ty, names.as_ref())
    {
        return found;
    }
    text::input(ty, text, &settings.context)
}

pub fn parse_binary(raw: &[u8], ty: &PgType) -> SqlResult<Datum> {
    binary::binary_input(ty, raw)
}

/// One column of results.
pub struct ValueWriter<'a> {
    array: &'a ArrayRef,
    ty: &'a PgType,
    settings: &'a TextSettings,
    /// An array written as int2vector and oidvector are.
    vector: bool,
}

impl<'a> ValueWriter<'a> {
    pub fn spaced(self) -> Self {
        Self { vector: true, ..self }
    }

    pub fn new(array: &'a ArrayRef, ty: &'a PgType, settings: &'a TextSettings) -> Self {
        Self { array, ty, settings, vector: false }
    }

    /// What a function without a result gives is no NULL, but a value of no bytes.
    pub fn is_null(&self, row: usize) -> bool {
        *self.ty != PgType::Void
            && (self.array.data_type() == &DataType::Null || self.array.is_null(row))
    }

    /// Appends the text of a value that is not null.
    pub fn write_text(&self, row: usize, output: &mut Vec<u8>) -> SqlResult<()> {
        if *self.ty == PgType::Void {
            return Ok(());
        }
        if let Some(names) = &self.settings.names
            && names_object(self.ty)
            && let Some(oids) = self.array.as_primitive_opt::<UInt32Type>()
            && let Some(name) = names.oid_name(self.ty, oids.value(row))
        {
            output.extend_from_slice(name.as_bytes());
            return Ok(());
        }
        if self.vector {
            let mut array = Vec::new();
            text::format_array(self.array, row, self.ty, &self.settings.context, &mut array)?;
            let numbers = array.iter().filter(|byte| !matches!(byte, b'{' | b'}'));
            output.extend(numbers.map(|byte| if *byte == b',' { b' ' } else { *byte }));
            return Ok(());
        }
        if let (PgType::Array(element), Some(names)) = (self.ty, &self.settings.names)
            && names_object(element)
            && let Datum::Array(oids) = arrow_values::datum_at(self.array.as_ref(), row, self.ty)?
        {
            let name = |value: &Datum| match value {
                Datum::Oid(oid) => Datum::Text(object_name(names.as_ref(), element, *oid)),
                _ => Datum::Null,
            };
            let values = oids.values.iter().map(name).collect();
            let shown = Datum::Array(satsuma_common::Array { element: PgType::Text, values });
            let ty = PgType::Array(Box::new(PgType::Text));
            let shown = text::to_text(&ty, &shown, &self.settings.context)?;
            output.extend_from_slice(shown.unwrap_or_default().as_bytes());
            return Ok(());
        }
        text::format_array(self.array, row, self.ty, &self.settings.context, output)
    }

    /// Appends the binary form of a value that is not null.
    pub fn write_binary(&self, row: usize, output: &mut Vec<u8>) -> SqlResult<()> {
        if *self.ty == PgType::Void {
            return Ok(());
        }
        // Text is its own binary form, and by far the most common.
        if matches!(self.ty, PgType::Text | PgType::Varchar(_))
            && let Some(strings) = self.array.as_string_view_opt()
        {
            output.extend_from_slice(strings.value(row).as_bytes());
            return Ok(());
        }
        let element = match self.ty {
            PgType::Array(element) => element.as_ref(),
            other => other,
        };
        if *element == PgType::Record {
            return Err(SqlError::unsupported("records have no binary form here")
                .hint("Ask for results as text, or for the fields of the record."));
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

    pub fn append(&mut self, value: &Datum) -> SqlResult<()> {
        self.0.append(value)
    }

    pub fn append_text(&mut self, text: &str, settings: &TextSettings) -> SqlResult<()> {
        if let Some(names) = &settings.names
            && enums::has_labels(self.0.ty())
        {
            let value = text::input(self.0.ty(), text, &settings.context)?;
            enums::check(&value, self.0.ty(), names.as_ref())?;
            return self.0.append(&value);
        }
        text::append_text(&mut self.0, text, &settings.context)
    }

    pub fn finish(mut self) -> SqlResult<ArrayRef> {
        self.0.finish()
    }
}
