//! What Arrow clients see of our columns, and what we take from theirs.
//!
//! Inside, some types lie in Arrow in forms of our own (see `common::arrow_types`): numeric
//! without a precision, inet and cidr as order-preserving bytes. No client could read those, so
//! they leave as text. String and binary views leave as plain strings and bytes, which every
//! Arrow implementation knows. The PostgreSQL type stays in the field's metadata.

use std::collections::HashMap;
use std::sync::Arc;

use datafusion::arrow::array::{
    Array, ArrayRef, AsArray, ListArray, RecordBatch, RecordBatchOptions, StringBuilder,
};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::arrow::util::display::{ArrayFormatter, FormatOptions};
use satsuma_common::arrow_types;
use satsuma_common::{Datum, PgType, SqlError, SqlResult, SqlState};
use satsuma_sql::bound::OutputColumn;

use crate::value_io::{self, TextSettings, ValueBuilder, ValueWriter};

/// Whether values of the type lie in bytes that mean something to us alone.
fn is_private(ty: &PgType) -> bool {
    matches!(ty, PgType::Inet | PgType::Cidr | PgType::Record)
        || (matches!(ty, PgType::Numeric(_)) && arrow_types::data_type(ty) == DataType::Binary)
}

/// The Arrow type that a client sees.
fn visible_type(ty: &PgType) -> DataType {
    match ty {
        PgType::Array(element) => {
            DataType::List(Arc::new(Field::new("item", visible_type(element), true)))
        }
        _ if is_private(ty) => DataType::Utf8,
        _ => match arrow_types::data_type(ty) {
            DataType::Utf8View => DataType::Utf8,
            DataType::BinaryView => DataType::Binary,
            other => other,
        },
    }
}

/// Metadata key of the PostgreSQL type's name, for people and for clients.
const PG_TYPE_NAME_KEY: &str = "pg.type_name";

fn metadata(ty: &PgType) -> HashMap<String, String> {
    let mut metadata = arrow_types::metadata(ty);
    metadata.insert(PG_TYPE_NAME_KEY.into(), ty.to_string());
    metadata
}

pub fn field(name: &str, ty: &PgType) -> Field {
    let mut metadata = metadata(ty);
    if matches!(ty, PgType::Uuid) {
        metadata.insert("ARROW:extension:name".into(), "arrow.uuid".into());
    }
    Field::new(name, visible_type(ty), true).with_metadata(metadata)
}

/// How rows leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// Each value in its Arrow type.
    Arrow,
    /// Each value as the text that PostgreSQL would print.
    Text,
}

pub fn schema(columns: &[OutputColumn], shape: Shape) -> SchemaRef {
    let fields: Vec<Field> = columns
        .iter()
        .map(|column| match shape {
            Shape::Arrow => field(&column.name, &column.ty),
            Shape::Text => {
                Field::new(&column.name, DataType::Utf8, true).with_metadata(metadata(&column.ty))
            }
        })
        .collect();
    Arc::new(Schema::new(fields))
}

/// A batch of the engine's as a batch of `schema`, which is [`schema`] of the same columns.
pub fn outgoing(
    batch: &RecordBatch,
    columns: &[OutputColumn],
    schema: &SchemaRef,
    shape: Shape,
    settings: &TextSettings,
) -> SqlResult<RecordBatch> {
    if batch.num_columns() != columns.len() {
        return Err(SqlError::internal("result has another number of columns than announced"));
    }
    let arrays = columns
        .iter()
        .zip(batch.columns())
        .map(|(column, array)| match shape {
            Shape::Arrow => visible(array, &column.ty, settings),
            Shape::Text => as_text(array, &column.ty, settings),
        })
        .collect::<SqlResult<Vec<_>>>()?;
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    RecordBatch::try_new_with_options(schema.clone(), arrays, &options)
        .map_err(|error| SqlError::internal(format!("result does not fit its schema: {error}")))
}

fn visible(array: &ArrayRef, ty: &PgType, settings: &TextSettings) -> SqlResult<ArrayRef> {
    if is_private(ty) {
        return as_text(array, ty, settings);
    }
    if let (PgType::Array(element), Some(list)) = (ty, array.as_list_opt::<i32>()) {
        let values = visible(list.values(), element, settings)?;
        let item = Arc::new(Field::new("item", visible_type(element), true));
        let list = ListArray::try_new(item, list.offsets().clone(), values, list.nulls().cloned());
        return list.map(|list| Arc::new(list) as ArrayRef).map_err(misfit);
    }
    let wanted = visible_type(ty);
    if array.data_type() == &wanted {
        return Ok(array.clone());
    }
    cast(array, &wanted).map_err(misfit)
}

fn misfit(error: datafusion::arrow::error::ArrowError) -> SqlError {
    SqlError::internal(format!("value does not fit its Arrow type: {error}"))
}

fn as_text(array: &ArrayRef, ty: &PgType, settings: &TextSettings) -> SqlResult<ArrayRef> {
    let writer = ValueWriter::new(array, ty, settings);
    let mut builder = StringBuilder::with_capacity(array.len(), array.len() * 12);
    let mut scratch = Vec::new();
    for row in 0..array.len() {
        if writer.is_null(row) {
            builder.append_null();
            continue;
        }
        scratch.clear();
        writer.write_text(row, &mut scratch)?;
        let text = std::str::from_utf8(&scratch)
            .map_err(|_| SqlError::internal("value's text is not UTF-8"))?;
        builder.append_value(text);
    }
    Ok(Arc::new(builder.finish()))
}

/// Parameter values from a client's batch: one list per row.
pub fn parameters(
    batch: &RecordBatch,
    types: &[PgType],
    settings: &TextSettings,
) -> SqlResult<Vec<Vec<Datum>>> {
    if batch.num_columns() != types.len() {
        return Err(SqlError::new(
            SqlState::PROTOCOL_VIOLATION,
            format!(
                "parameters have {} columns, but the prepared statement requires {}",
                batch.num_columns(),
                types.len()
            ),
        ));
    }
    let mut rows = vec![Vec::with_capacity(types.len()); batch.num_rows()];
    for (array, ty) in batch.columns().iter().zip(types) {
        let column = Incoming::new(array)?;
        for (row, values) in rows.iter_mut().enumerate() {
            let value = match column.text(row)? {
                None => Datum::Null,
                Some(Given::Text(text)) => value_io::parse_text(&text, ty, settings)?,
                Some(Given::Bytes(bytes)) => value_io::parse_binary(bytes, ty)?,
            };
            values.push(value);
        }
    }
    Ok(rows)
}

/// A client's batch in the Arrow types of `columns`.
pub fn incoming(
    batch: &RecordBatch,
    columns: &[OutputColumn],
    settings: &TextSettings,
) -> SqlResult<RecordBatch> {
    if batch.num_columns() != columns.len() {
        return Err(SqlError::new(
            SqlState::BAD_COPY_FILE_FORMAT,
            format!("data has {} columns where {} are wanted", batch.num_columns(), columns.len()),
        ));
    }
    let mut arrays = Vec::with_capacity(columns.len());
    let mut fields = Vec::with_capacity(columns.len());
    for (array, column) in batch.columns().iter().zip(columns) {
        arrays.push(typed(array, &column.ty, settings)?);
        fields.push(arrow_types::field(&column.name, &column.ty, true));
    }
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    RecordBatch::try_new_with_options(Arc::new(Schema::new(fields)), arrays, &options)
        .map_err(misfit)
}

fn typed(array: &ArrayRef, ty: &PgType, settings: &TextSettings) -> SqlResult<ArrayRef> {
    let same = matches!(
        ty,
        PgType::Bool
            | PgType::Int2
            | PgType::Int4
            | PgType::Int8
            | PgType::Float4
            | PgType::Float8
            | PgType::Date
            | PgType::Bytea
    );
    let wanted = arrow_types::data_type(ty);
    if same && array.data_type() == &wanted {
        return Ok(array.clone());
    }
    if matches!(ty, PgType::Bytea) {
        return cast(array, &wanted).map_err(misfit);
    }
    let column = Incoming::new(array)?;
    let mut builder = ValueBuilder::new(ty, array.len());
    for row in 0..array.len() {
        match column.text(row)? {
            None => builder.append_null(),
            Some(Given::Text(text)) => builder.append_text(&text, settings)?,
            Some(Given::Bytes(_)) => {
                return Err(SqlError::new(
                    SqlState::DATATYPE_MISMATCH,
                    format!("binary data cannot become type {ty}"),
                ));
            }
        }
    }
    builder.finish()
}

/// A client's column, value by value.
struct Incoming<'a> {
    array: &'a ArrayRef,
    formatter: Option<ArrayFormatter<'a>>,
}

enum Given<'a> {
    Text(String),
    Bytes(&'a [u8]),
}

impl<'a> Incoming<'a> {
    fn new(array: &'a ArrayRef) -> SqlResult<Self> {
        let is_bytes = matches!(
            array.data_type(),
            DataType::Binary
                | DataType::LargeBinary
                | DataType::BinaryView
                | DataType::FixedSizeBinary(_)
        );
        let formatter = if is_bytes {
            None
        } else {
            let options = const { &FormatOptions::new().with_display_error(false) };
            Some(ArrayFormatter::try_new(array, options).map_err(|error| {
                SqlError::new(
                    SqlState::FEATURE_NOT_SUPPORTED,
                    format!("parameters of Arrow type {} are not supported", array.data_type()),
                )
                .detail(error.to_string())
            })?)
        };
        Ok(Self { array, formatter })
    }

    fn text(&self, row: usize) -> SqlResult<Option<Given<'a>>> {
        if self.array.is_null(row) || self.array.data_type() == &DataType::Null {
            return Ok(None);
        }
        if let Some(formatter) = &self.formatter {
            let text = formatter.value(row).try_to_string().map_err(misfit)?;
            return Ok(Some(Given::Text(text)));
        }
        let array: &'a dyn Array = self.array.as_ref();
        let bytes = match array.data_type() {
            DataType::Binary => array.as_binary::<i32>().value(row),
            DataType::LargeBinary => array.as_binary::<i64>().value(row),
            DataType::BinaryView => array.as_binary_view().value(row),
            _ => array.as_fixed_size_binary().value(row),
        };
        Ok(Some(Given::Bytes(bytes)))
    }
}
