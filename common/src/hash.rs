//! The partition hash: PostgreSQL's own hash functions, bit for bit, so that a tenant lives in
//! the same shard as under Citus.
//!
//! Equal values of int2, int4 and int8 hash alike, as do float4 and float8, so a comparison
//! across those types still finds the shard.

mod extended;
mod jenkins;

use arrow::array::{Array as ArrowArray, AsArray};
use arrow::datatypes::{DataType, Int16Type, Int32Type, Int64Type};

use crate::arrow_values::datum_at;
use crate::datum::{Datum, Interval};
use crate::error::SqlResult;
use crate::inet::Inet;
use crate::jsonb;
use crate::numeric::Numeric;
use crate::types::PgType;

pub use extended::extended_hash;
pub use jenkins::{hash_bytes, hash_uint32};

/// Days from 1970-01-01 to 2000-01-01, PostgreSQL's epoch.
const EPOCH_DAYS: i32 = 10_957;
const DAY_MICROS: i64 = 86_400_000_000;

/// `hashint4`; also `hashint2`, date, oid and `"char"` go through it.
pub fn hash_int4(value: i32) -> i32 {
    hash_uint32(value as u32) as i32
}

pub fn hash_int8(value: i64) -> i32 {
    hash_uint32(folded(value)) as i32
}

/// A bigint in 32 bits, an int4's value as it is.
fn folded(value: i64) -> u32 {
    let (low, high) = (value as u32, (value >> 32) as u32);
    low ^ if value >= 0 { high } else { !high }
}

pub fn hash_float8(value: f64) -> i32 {
    if value == 0.0 {
        return 0;
    }
    hash_bytes(&float_bytes(value)) as i32
}

/// The same for all that are not a number.
fn float_bytes(value: f64) -> [u8; 8] {
    let bits = if value.is_nan() { 0x7ff8_0000_0000_0000 } else { value.to_bits() };
    bits.to_le_bytes()
}

pub fn hash_text(text: &str) -> i32 {
    hash_bytes(text.as_bytes()) as i32
}

/// `hashbpchar`: trailing blanks do not count.
pub fn hash_bpchar(text: &str) -> i32 {
    hash_text(text.trim_end_matches(' '))
}

pub fn hash_numeric(value: &Numeric) -> i32 {
    let Some((weight, digits)) = value.base10000() else { return 0 };
    if digits.is_empty() {
        return -1;
    }
    hash_bytes(&digit_bytes(&digits)) as i32 ^ weight
}

fn digit_bytes(digits: &[i16]) -> Vec<u8> {
    digits.iter().flat_map(|digit| digit.to_le_bytes()).collect()
}

/// `interval_hash`: months count as 30 days, days as 24 hours.
pub fn hash_interval(value: Interval) -> i32 {
    hash_int8(interval_micros(value))
}

fn interval_micros(value: Interval) -> i64 {
    let days = i128::from(value.months) * 30 + i128::from(value.days);
    (i128::from(value.micros) + days * i128::from(DAY_MICROS)) as i64
}

pub fn hash_inet(value: &Inet) -> i32 {
    let (bytes, len) = value.hash_bytes();
    hash_bytes(&bytes[..len]) as i32
}

pub fn hash_date(days: i32) -> i32 {
    hash_int4(since_2000(days))
}

/// Days since PostgreSQL's epoch; infinities as they are.
fn since_2000(days: i32) -> i32 {
    match days {
        i32::MIN | i32::MAX => days,
        _ => days.wrapping_sub(EPOCH_DAYS),
    }
}

pub fn hash_timestamp(micros: i64) -> i32 {
    hash_int8(micros_since_2000(micros))
}

fn micros_since_2000(micros: i64) -> i64 {
    match micros {
        i64::MIN | i64::MAX => micros,
        _ => micros.wrapping_sub(i64::from(EPOCH_DAYS) * DAY_MICROS),
    }
}

/// Whether values of `ty` have a partition hash.
pub fn is_hashable(ty: &PgType) -> bool {
    match ty {
        PgType::Json | PgType::Point | PgType::Record | PgType::Void | PgType::Unknown => false,
        PgType::Array(element) => is_hashable(element),
        _ => true,
    }
}

/// The token of a value: `None` for NULL and for types that do not hash.
///
/// An enum's label hashes as text: PostgreSQL hashes the oid of the label's row, which says
/// nothing outside the one database it was made in.
pub fn partition_hash(value: &Datum, ty: &PgType) -> Option<i32> {
    if !is_hashable(ty) {
        return None;
    }
    Some(match value {
        Datum::Null => return None,
        Datum::Bool(value) => hash_int4(i32::from(*value)),
        Datum::Int2(value) => hash_int4(i32::from(*value)),
        Datum::Int4(value) => hash_int4(*value),
        Datum::Int8(value) => hash_int8(*value),
        Datum::Float4(value) => hash_float8(f64::from(*value)),
        Datum::Float8(value) => hash_float8(*value),
        Datum::Numeric(value) => hash_numeric(value),
        Datum::Text(text) => hash_string(text, ty),
        Datum::Bytea(bytes) => hash_bytes(bytes) as i32,
        Datum::Date(days) => hash_date(*days),
        Datum::Time(micros) => hash_int8(*micros),
        Datum::Timestamp(micros) => hash_timestamp(*micros),
        Datum::Interval(interval) => hash_interval(*interval),
        Datum::Uuid(bytes) => hash_bytes(bytes) as i32,
        Datum::Inet(inet) => hash_inet(inet),
        Datum::Point(_, _) => return None,
        Datum::Oid(oid) => hash_uint32(*oid) as i32,
        Datum::Array(array) => array.values.iter().fold(1u32, |hash, element| {
            let element = partition_hash(element, &array.element).unwrap_or(0) as u32;
            (hash << 5).wrapping_sub(hash).wrapping_add(element)
        }) as i32,
    })
}

fn hash_string(text: &str, ty: &PgType) -> i32 {
    match ty {
        PgType::Bpchar(_) => hash_bpchar(text),
        PgType::Char => hash_int4(i32::from(text.bytes().next().unwrap_or(0) as i8)),
        PgType::Jsonb => jsonb::hash(text),
        _ => hash_text(text),
    }
}

/// Tokens of a column of type `ty`, `None` where the value is NULL.
pub fn partition_hash_array(array: &dyn ArrowArray, ty: &PgType) -> SqlResult<Vec<Option<i32>>> {
    fn each<T>(
        values: impl Iterator<Item = Option<T>>,
        hash: impl Fn(T) -> i32,
    ) -> Vec<Option<i32>> {
        values.map(|value| value.map(&hash)).collect()
    }
    Ok(match (array.data_type(), ty) {
        (DataType::Int16, _) => {
            each(array.as_primitive::<Int16Type>().iter(), |value| hash_int4(i32::from(value)))
        }
        (DataType::Int32, PgType::Int2 | PgType::Int4 | PgType::Int8) => {
            each(array.as_primitive::<Int32Type>().iter(), hash_int4)
        }
        (DataType::Int64, PgType::Int2 | PgType::Int4 | PgType::Int8) => {
            each(array.as_primitive::<Int64Type>().iter(), hash_int8)
        }
        (DataType::Utf8View, PgType::Text | PgType::Varchar(_) | PgType::Name) => {
            each(array.as_string_view().iter(), hash_text)
        }
        (DataType::FixedSizeBinary(16), PgType::Uuid) => {
            each(array.as_fixed_size_binary().iter(), |bytes| hash_bytes(bytes) as i32)
        }
        _ => (0..array.len())
            .map(|row| Ok(partition_hash(&datum_at(array, row, ty)?, ty)))
            .collect::<SqlResult<_>>()?,
    })
}

#[cfg(test)]
mod tests;
