//! Text straight into Arrow columns and out of them: COPY and query results take this way.

use arrow::array::{Array as ArrowArray, AsArray};
use arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, Float32Type, Float64Type, Int16Type, Int32Type,
    Int64Type, TimeUnit, TimestampMicrosecondType, UInt32Type,
};

use crate::arrow_values::{
    ColumnBuilder, DatumBuilder, datum_at, decimal128, interval_to_arrow, too_many_elements,
};
use crate::datetime;
use crate::error::{SqlError, SqlResult};
use crate::inet::Inet;
use crate::jsonb;
use crate::numeric::Numeric;
use crate::record;
use crate::types::PgType;

use super::{TextContext, array, output_bytes, scalar, string};

/// Appends the value that `text` stands for to a column of the builder's type. After an error the
/// builder is no use any more.
pub fn append_text(builder: &mut DatumBuilder, text: &str, context: &TextContext) -> SqlResult<()> {
    let DatumBuilder { ty, column, scratch } = builder;
    match (column, &*ty) {
        (_, PgType::Precise(..)) => {
            let value = super::input(ty, text, context)?;
            builder.append(&value)?;
        }
        (ColumnBuilder::Bool(column), _) => column.append_value(scalar::parse_bool(text)?),
        (ColumnBuilder::Int2(column), _) => column.append_value(scalar::parse_i16(text)?),
        (ColumnBuilder::Int4(column), _) => column.append_value(scalar::parse_i32(text)?),
        (ColumnBuilder::Int8(column), _) => column.append_value(scalar::parse_i64(text)?),
        (ColumnBuilder::Float4(column), _) => column.append_value(scalar::parse_f32(text)?),
        (ColumnBuilder::Float8(column), _) => column.append_value(scalar::parse_f64(text)?),
        (ColumnBuilder::Decimal(column), ty) => {
            column.append_value(decimal128(&Numeric::parse(text)?, ty)?);
        }
        (ColumnBuilder::Sortable(column), PgType::Numeric(modifier)) => {
            let value = Numeric::parse(text)?;
            let value = match modifier {
                Some(modifier) => value.with_modifier(*modifier)?,
                None => value,
            };
            column.append_value(scratch.numeric(&value));
        }
        (ColumnBuilder::Sortable(column), PgType::Inet) => {
            column.append_value(scratch.inet(&Inet::parse(text)?));
        }
        (ColumnBuilder::Sortable(column), PgType::Cidr) => {
            column.append_value(scratch.inet(&Inet::parse_cidr(text)?));
        }
        (ColumnBuilder::Text(column), PgType::Json) => {
            string::check_encoding(text)?;
            jsonb::validate(text)?;
            column.append_value(text);
        }
        (ColumnBuilder::Text(column), PgType::Jsonb) => {
            scratch.text.clear();
            jsonb::normalize_into(text, &mut scratch.text)?;
            column.append_value(&scratch.text);
        }
        (ColumnBuilder::Text(column), PgType::Record) => {
            let _ = column;
            return Err(SqlError::unsupported(
                "input of anonymous composite types is not implemented",
            ));
        }
        (ColumnBuilder::Text(column), ty) => column.append_value(string::input(ty, text)?),
        (ColumnBuilder::Bytea(column), _) => column.append_value(scalar::parse_bytea(text)?),
        (ColumnBuilder::Date(column), _) => {
            column.append_value(datetime::parse_date(text, context)?);
        }
        (ColumnBuilder::Time(column), _) => {
            column.append_value(datetime::parse_time(text, context)?);
        }
        (ColumnBuilder::Timestamp(column), PgType::Timestamptz) => {
            column.append_value(datetime::parse_timestamptz(text, context)?);
        }
        (ColumnBuilder::Timestamp(column), _) => {
            column.append_value(datetime::parse_timestamp(text, context)?);
        }
        (ColumnBuilder::Interval(column), _) => {
            column.append_value(interval_to_arrow(datetime::parse_interval(text)?)?);
        }
        (ColumnBuilder::Uuid(column), _) => {
            let uuid = scalar::parse_uuid(text)?;
            column.append_value(uuid).map_err(|error| SqlError::internal(error.to_string()))?;
        }
        (ColumnBuilder::List { offsets, nulls, items }, _) => {
            array::for_each_element(text, |item| match item {
                Some(item) => append_text(items, item, context),
                None => {
                    items.append_null();
                    Ok(())
                }
            })?;
            offsets.push(i32::try_from(items.len()).map_err(|_| too_many_elements())?);
            nulls.append_non_null();
        }
        _ => {
            let value = super::input(ty, text, context)?;
            builder.append(&value)?;
        }
    }
    Ok(())
}

/// Appends the text form of the value at `row`; nothing for NULL.
pub fn format_array(
    array: &dyn ArrowArray,
    row: usize,
    ty: &PgType,
    context: &TextContext,
    out: &mut Vec<u8>,
) -> SqlResult<()> {
    use std::io::Write;
    if row >= array.len() || array.is_null(row) {
        return Ok(());
    }
    // Writing to a Vec does not fail.
    let mut show = |text: &dyn std::fmt::Display| drop(write!(out, "{text}"));
    match (array.data_type(), ty.without_precision()) {
        (DataType::Boolean, _) => out.push(if array.as_boolean().value(row) { b't' } else { b'f' }),
        (DataType::Int16, PgType::Int2) => {
            scalar::format_i64(i64::from(array.as_primitive::<Int16Type>().value(row)), out);
        }
        (DataType::Int32, PgType::Int4) => {
            scalar::format_i64(i64::from(array.as_primitive::<Int32Type>().value(row)), out);
        }
        (DataType::Int64, PgType::Int8) => {
            scalar::format_i64(array.as_primitive::<Int64Type>().value(row), out);
        }
        (DataType::UInt32, PgType::Oid) => {
            scalar::format_i64(i64::from(array.as_primitive::<UInt32Type>().value(row)), out);
        }
        (DataType::Float32, PgType::Float4) => {
            let value = array.as_primitive::<Float32Type>().value(row);
            scalar::format_f32(value, context.extra_float_digits, out);
        }
        (DataType::Float64, PgType::Float8) => {
            let value = array.as_primitive::<Float64Type>().value(row);
            scalar::format_f64(value, context.extra_float_digits, out);
        }
        (DataType::Utf8View, PgType::Record) => {
            let stored = array.as_string_view().value(row);
            out.extend_from_slice(record::shown(stored).as_bytes());
        }
        (DataType::Utf8View, _) => {
            out.extend_from_slice(array.as_string_view().value(row).as_bytes());
        }
        (DataType::Utf8, _) => {
            out.extend_from_slice(array.as_string::<i32>().value(row).as_bytes());
        }
        (DataType::Decimal128(_, scale), PgType::Numeric(_)) => {
            let coefficient = array.as_primitive::<Decimal128Type>().value(row);
            match Numeric::from_i128(coefficient, i32::from(*scale)) {
                Some(value) => show(&value),
                None => return Err(SqlError::internal("decimal out of range")),
            }
        }
        (DataType::Date32, _) => {
            let days = array.as_primitive::<Date32Type>().value(row);
            datetime::format_date(days, context.date_format, context.date_order, out);
        }
        (DataType::Timestamp(TimeUnit::Microsecond, _), PgType::Timestamptz) => {
            let micros = array.as_primitive::<TimestampMicrosecondType>().value(row);
            let (format, order) = (context.date_format, context.date_order);
            datetime::format_timestamptz(micros, &context.time_zone, format, order, out);
        }
        (DataType::Timestamp(TimeUnit::Microsecond, _), PgType::Timestamp) => {
            let micros = array.as_primitive::<TimestampMicrosecondType>().value(row);
            datetime::format_timestamp(micros, context.date_format, context.date_order, out);
        }
        (DataType::FixedSizeBinary(16), PgType::Uuid) => {
            scalar::format_uuid(array.as_fixed_size_binary().value(row), out);
        }
        _ => output_bytes(ty, &datum_at(array, row, ty)?, context, out)?,
    }
    Ok(())
}
