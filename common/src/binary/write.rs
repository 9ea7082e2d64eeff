//! Values to the wire.

use arrow::array::{Array as ArrowArray, AsArray};
use arrow::datatypes::{DataType, Float64Type, Int16Type, Int32Type, Int64Type};

use crate::arrow_values::datum_at;
use crate::datetime::{EPOCH_SHIFT_DAYS, EPOCH_SHIFT_MICROS};
use crate::datum::{Array, Datum};
use crate::error::{SqlError, SqlResult};
use crate::inet::{FAMILY_V4, FAMILY_V6, Inet};
use crate::numeric::Numeric;
use crate::types::PgType;

pub(super) const NUMERIC_NEGATIVE: u16 = 0x4000;
pub(super) const NUMERIC_NAN: u16 = 0xc000;
pub(super) const NUMERIC_INFINITY: u16 = 0xd000;
pub(super) const NUMERIC_NEG_INFINITY: u16 = 0xf000;

/// Appends the binary form of a value, without a length in front; NULL appends nothing (the
/// message says NULL by a length of -1).
pub fn binary_output(ty: &PgType, value: &Datum, out: &mut Vec<u8>) -> SqlResult<()> {
    match value {
        Datum::Null => {}
        Datum::Bool(value) => out.push(u8::from(*value)),
        Datum::Int2(value) => out.extend_from_slice(&value.to_be_bytes()),
        Datum::Int4(value) => out.extend_from_slice(&value.to_be_bytes()),
        Datum::Int8(value) => out.extend_from_slice(&value.to_be_bytes()),
        Datum::Float4(value) => out.extend_from_slice(&value.to_be_bytes()),
        Datum::Float8(value) => out.extend_from_slice(&value.to_be_bytes()),
        Datum::Numeric(value) => numeric(value, out)?,
        Datum::Text(text) => string(text, ty, out),
        Datum::Bytea(bytes) => out.extend_from_slice(bytes),
        Datum::Date(days) => out.extend_from_slice(&date(*days).to_be_bytes()),
        Datum::Time(micros) => out.extend_from_slice(&micros.to_be_bytes()),
        Datum::Timestamp(micros) => out.extend_from_slice(&timestamp(*micros)?.to_be_bytes()),
        Datum::Interval(value) => {
            out.extend_from_slice(&value.micros.to_be_bytes());
            out.extend_from_slice(&value.days.to_be_bytes());
            out.extend_from_slice(&value.months.to_be_bytes());
        }
        Datum::Uuid(bytes) => out.extend_from_slice(bytes),
        Datum::Inet(value) => inet(value, ty, out),
        Datum::Point(x, y) => {
            out.extend_from_slice(&x.to_be_bytes());
            out.extend_from_slice(&y.to_be_bytes());
        }
        Datum::Oid(value) => out.extend_from_slice(&value.to_be_bytes()),
        Datum::Array(value) => array(value, out)?,
    }
    Ok(())
}

/// Appends the binary form of the value at `row` of a column; nothing for NULL.
pub fn binary_output_row(
    column: &dyn ArrowArray,
    row: usize,
    ty: &PgType,
    out: &mut Vec<u8>,
) -> SqlResult<()> {
    if row >= column.len() || column.is_null(row) {
        return Ok(());
    }
    match (column.data_type(), ty) {
        (DataType::Int16, PgType::Int2) => {
            out.extend_from_slice(&column.as_primitive::<Int16Type>().value(row).to_be_bytes());
        }
        (DataType::Int32, PgType::Int4) => {
            out.extend_from_slice(&column.as_primitive::<Int32Type>().value(row).to_be_bytes());
        }
        (DataType::Int64, PgType::Int8) => {
            out.extend_from_slice(&column.as_primitive::<Int64Type>().value(row).to_be_bytes());
        }
        (DataType::Float64, PgType::Float8) => {
            out.extend_from_slice(&column.as_primitive::<Float64Type>().value(row).to_be_bytes());
        }
        (DataType::Utf8View, _) => string(column.as_string_view().value(row), ty, out),
        (DataType::FixedSizeBinary(16), PgType::Uuid) => {
            out.extend_from_slice(column.as_fixed_size_binary().value(row));
        }
        _ => binary_output(ty, &datum_at(column, row, ty)?, out)?,
    }
    Ok(())
}

fn date(days: i32) -> i32 {
    match days {
        i32::MIN | i32::MAX => days,
        _ => days.wrapping_sub(EPOCH_SHIFT_DAYS),
    }
}

fn timestamp(micros: i64) -> SqlResult<i64> {
    match micros {
        i64::MIN | i64::MAX => Ok(micros),
        _ => micros
            .checked_sub(EPOCH_SHIFT_MICROS)
            .ok_or_else(|| SqlError::internal("stored timestamp is out of range")),
    }
}

fn string(text: &str, ty: &PgType, out: &mut Vec<u8>) {
    match ty {
        PgType::Jsonb => {
            out.push(1);
            out.extend_from_slice(text.as_bytes());
        }
        // Always one byte on the wire.
        PgType::Char => out.push(text.bytes().next().unwrap_or(0)),
        _ => out.extend_from_slice(text.as_bytes()),
    }
}

fn numeric(value: &Numeric, out: &mut Vec<u8>) -> SqlResult<()> {
    let mut header = |count: u16, weight: i16, sign: u16, scale: u16| {
        out.extend_from_slice(&count.to_be_bytes());
        out.extend_from_slice(&weight.to_be_bytes());
        out.extend_from_slice(&sign.to_be_bytes());
        out.extend_from_slice(&scale.to_be_bytes());
    };
    let (Some((weight, digits)), Some(scale)) = (value.base10000(), value.scale()) else {
        let sign = if value.is_nan() {
            NUMERIC_NAN
        } else if value.is_negative() {
            NUMERIC_NEG_INFINITY
        } else {
            NUMERIC_INFINITY
        };
        // PostgreSQL fills the scale of an infinity with a leftover flag bit.
        header(0, 0, sign, if value.is_nan() { 0 } else { 0x20 });
        return Ok(());
    };
    let too_large = || SqlError::internal("numeric out of range for the wire");
    let count = u16::try_from(digits.len()).map_err(|_| too_large())?;
    let weight = i16::try_from(weight).map_err(|_| too_large())?;
    let sign = if value.is_negative() { NUMERIC_NEGATIVE } else { 0 };
    header(count, weight, sign, scale as u16);
    for digit in digits {
        out.extend_from_slice(&digit.to_be_bytes());
    }
    Ok(())
}

fn inet(value: &Inet, ty: &PgType, out: &mut Vec<u8>) {
    let family = if value.family() == 4 { FAMILY_V4 } else { FAMILY_V6 };
    let (bytes, len) = value.hash_bytes();
    let address = &bytes[2..len];
    out.extend_from_slice(&[family, value.prefix, u8::from(ty == &PgType::Cidr)]);
    out.push(address.len() as u8);
    out.extend_from_slice(address);
}

fn array(value: &Array, out: &mut Vec<u8>) -> SqlResult<()> {
    let has_null = value.values.iter().any(Datum::is_null);
    let dimensions = i32::from(!value.values.is_empty());
    out.extend_from_slice(&dimensions.to_be_bytes());
    out.extend_from_slice(&i32::from(has_null).to_be_bytes());
    out.extend_from_slice(&value.element.oid().to_be_bytes());
    if dimensions == 1 {
        let too_long = || SqlError::internal("array too long for the wire");
        let len = i32::try_from(value.values.len()).map_err(|_| too_long())?;
        out.extend_from_slice(&len.to_be_bytes());
        out.extend_from_slice(&1i32.to_be_bytes());
    }
    for element in &value.values {
        if element.is_null() {
            out.extend_from_slice(&(-1i32).to_be_bytes());
            continue;
        }
        let at = out.len();
        out.extend_from_slice(&[0; 4]);
        binary_output(&value.element, element, out)?;
        let len = i32::try_from(out.len() - at - 4)
            .map_err(|_| SqlError::internal("array element too long for the wire"))?;
        out[at..at + 4].copy_from_slice(&len.to_be_bytes());
    }
    Ok(())
}
