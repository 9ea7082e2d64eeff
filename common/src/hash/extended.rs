//! PostgreSQL's hashes of 64 bits, with a seed: `hashtextextended` and its relatives.

use super::jenkins::{hash_bytes_extended, hash_uint32_extended};
use super::{digit_bytes, float_bytes, folded, interval_micros, micros_since_2000, since_2000};
use crate::datum::Datum;
use crate::types::PgType;

/// The hash of a value; `None` for NULL and for types that have none.
pub fn extended_hash(value: &Datum, ty: &PgType, seed: u64) -> Option<u64> {
    let int4 = |value: i32| hash_uint32_extended(value as u32, seed);
    let int8 = |value: i64| hash_uint32_extended(folded(value), seed);
    let bytes = |bytes: &[u8]| hash_bytes_extended(bytes, seed);
    let float = |value: f64| if value == 0.0 { seed } else { bytes(&float_bytes(value)) };
    Some(match value {
        Datum::Null | Datum::Point(..) => return None,
        Datum::Bool(value) => int4(i32::from(*value)),
        Datum::Int2(value) => int4(i32::from(*value)),
        Datum::Int4(value) => int4(*value),
        Datum::Int8(value) => int8(*value),
        Datum::Float4(value) => float(f64::from(*value)),
        Datum::Float8(value) => float(*value),
        Datum::Numeric(value) => match value.base10000() {
            None => seed,
            Some((_, digits)) if digits.is_empty() => seed.wrapping_sub(1),
            Some((weight, digits)) => bytes(&digit_bytes(&digits)) ^ i64::from(weight) as u64,
        },
        Datum::Text(text) => match ty {
            PgType::Bpchar(_) => bytes(text.trim_end_matches(' ').as_bytes()),
            PgType::Char => int4(i32::from(text.bytes().next().unwrap_or(0) as i8)),
            PgType::Json | PgType::Jsonb | PgType::Record => return None,
            _ => bytes(text.as_bytes()),
        },
        Datum::Bytea(value) => bytes(value),
        Datum::Date(days) => int4(since_2000(*days)),
        Datum::Time(micros) => int8(*micros),
        Datum::Timestamp(micros) => int8(micros_since_2000(*micros)),
        Datum::Interval(interval) => int8(interval_micros(*interval)),
        Datum::Uuid(value) => bytes(value),
        Datum::Inet(inet) => {
            let (address, len) = inet.hash_bytes();
            bytes(&address[..len])
        }
        Datum::Oid(oid) => hash_uint32_extended(*oid, seed),
        Datum::Array(array) => array.values.iter().try_fold(1u64, |hash, element| {
            let element = match element {
                Datum::Null => 0,
                element => extended_hash(element, &array.element, seed)?,
            };
            Some((hash << 5).wrapping_sub(hash).wrapping_add(element))
        })?,
    })
}
