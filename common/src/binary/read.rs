//! Values from the wire.

use std::net::IpAddr;

use crate::arrow_values::DatumBuilder;
use crate::datetime::calendar::{DAY_MICROS, MAX_DAY, MIN_DAY, is_valid_timestamp};
use crate::datetime::{EPOCH_SHIFT_DAYS, EPOCH_SHIFT_MICROS};
use crate::datum::{Array, Datum, Interval};
use crate::error::{SqlError, SqlResult, SqlState};
use crate::inet::{FAMILY_V4, FAMILY_V6, Inet};
use crate::jsonb;
use crate::numeric::{MAX_SCALE, Numeric};
use crate::text::array::{MAX_DIMENSIONS, MAX_ELEMENTS, too_many_dimensions, too_many_elements};
use crate::text::{TextContext, input, single_char};
use crate::types::PgType;
use crate::utf8;

use super::write::{NUMERIC_INFINITY, NUMERIC_NAN, NUMERIC_NEG_INFINITY, NUMERIC_NEGATIVE};

/// PostgreSQL's `FirstGenbkiObjectId`.
const FIRST_UNSTABLE_OID: u32 = 10_000;

fn malformed(message: impl Into<String>) -> SqlError {
    SqlError::new(SqlState::INVALID_BINARY_REPRESENTATION, message)
}

/// Reads from the front of a message part.
struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> SqlResult<&'a [u8]> {
        let (head, rest) = self.rest.split_at_checked(count).ok_or_else(|| {
            SqlError::new(SqlState::PROTOCOL_VIOLATION, "insufficient data left in message")
        })?;
        self.rest = rest;
        Ok(head)
    }

    fn bytes<const N: usize>(&mut self) -> SqlResult<[u8; N]> {
        let mut out = [0; N];
        out.copy_from_slice(self.take(N)?);
        Ok(out)
    }

    fn u8(&mut self) -> SqlResult<u8> {
        self.bytes().map(u8::from_be_bytes)
    }

    fn i16(&mut self) -> SqlResult<i16> {
        self.bytes().map(i16::from_be_bytes)
    }

    fn u16(&mut self) -> SqlResult<u16> {
        self.bytes().map(u16::from_be_bytes)
    }

    fn i32(&mut self) -> SqlResult<i32> {
        self.bytes().map(i32::from_be_bytes)
    }

    fn u32(&mut self) -> SqlResult<u32> {
        self.bytes().map(u32::from_be_bytes)
    }

    fn i64(&mut self) -> SqlResult<i64> {
        self.bytes().map(i64::from_be_bytes)
    }

    fn f64(&mut self) -> SqlResult<f64> {
        self.bytes().map(f64::from_be_bytes)
    }
}

/// The value that `bytes` stand for.
pub fn binary_input(ty: &PgType, bytes: &[u8]) -> SqlResult<Datum> {
    let mut reader = Reader { rest: bytes };
    let value = read(ty, &mut reader)?;
    if !reader.rest.is_empty() {
        return Err(malformed("incorrect binary data format"));
    }
    Ok(value)
}

/// Appends the value that `bytes` stand for to a column of the builder's type.
pub fn append_binary(builder: &mut DatumBuilder, bytes: &[u8]) -> SqlResult<()> {
    let value = binary_input(builder.ty(), bytes)?;
    builder.append(&value)
}

fn read(ty: &PgType, reader: &mut Reader<'_>) -> SqlResult<Datum> {
    Ok(match ty {
        PgType::Bool => Datum::Bool(reader.u8()? != 0),
        PgType::Int2 => Datum::Int2(reader.i16()?),
        PgType::Int4 => Datum::Int4(reader.i32()?),
        PgType::Int8 => Datum::Int8(reader.i64()?),
        PgType::Float4 => Datum::Float4(reader.bytes().map(f32::from_be_bytes)?),
        PgType::Float8 => Datum::Float8(reader.f64()?),
        PgType::Numeric(modifier) => {
            let value = numeric(reader)?;
            Datum::Numeric(match modifier {
                Some(modifier) => value.with_modifier(*modifier)?,
                None => value,
            })
        }
        PgType::Jsonb => {
            let version = reader.u8()?;
            if version != 1 {
                return Err(SqlError::new(
                    SqlState::INTERNAL_ERROR,
                    format!("unsupported jsonb version number {version}"),
                ));
            }
            Datum::Text(jsonb::normalize(text(reader)?)?)
        }
        PgType::Text
        | PgType::Varchar(_)
        | PgType::Bpchar(_)
        | PgType::Name
        | PgType::Json
        | PgType::Enum(_)
        | PgType::Unknown => input(ty, text(reader)?, &TextContext::default())?,
        PgType::Char => Datum::Text(single_char(u32::from(reader.u8()?))?),
        PgType::Bytea => Datum::Bytea(reader.take(reader.rest.len())?.to_vec()),
        PgType::Date => Datum::Date(date(reader.i32()?)?),
        PgType::Time => {
            let micros = reader.i64()?;
            if !(0..=DAY_MICROS).contains(&micros) {
                return Err(overflow("time"));
            }
            Datum::Time(micros)
        }
        PgType::Timestamp | PgType::Timestamptz => Datum::Timestamp(timestamp(reader.i64()?)?),
        PgType::Interval => {
            let (micros, days, months) = (reader.i64()?, reader.i32()?, reader.i32()?);
            Datum::Interval(Interval { months, days, micros })
        }
        PgType::Precise(time, digits) => time.round(read(time.bare(), reader)?, *digits),
        PgType::Uuid => Datum::Uuid(reader.bytes()?),
        PgType::Inet | PgType::Cidr => Datum::Inet(inet(ty, reader)?),
        PgType::Point => Datum::Point(reader.f64()?, reader.f64()?),
        PgType::Oid
        | PgType::Regclass
        | PgType::Regtype
        | PgType::Regproc
        | PgType::Regprocedure
        | PgType::Regnamespace
        | PgType::Regrole => Datum::Oid(reader.u32()?),
        PgType::Array(element) => Datum::Array(array(element, reader)?),
        PgType::Record => {
            return Err(SqlError::unsupported(
                "input of anonymous composite types is not implemented",
            ));
        }
        PgType::Void => Datum::Null,
    })
}

fn text<'a>(reader: &mut Reader<'a>) -> SqlResult<&'a str> {
    let bytes = reader.take(reader.rest.len())?;
    utf8::check(bytes)
}

fn overflow(ty: &str) -> SqlError {
    SqlError::new(SqlState::DATETIME_FIELD_OVERFLOW, format!("{ty} out of range"))
}

fn date(days: i32) -> SqlResult<i32> {
    if matches!(days, i32::MIN | i32::MAX) {
        return Ok(days);
    }
    let days = i64::from(days) + i64::from(EPOCH_SHIFT_DAYS);
    let valid = (MIN_DAY..=MAX_DAY).contains(&days);
    i32::try_from(days).ok().filter(|_| valid).ok_or_else(|| overflow("date"))
}

fn timestamp(micros: i64) -> SqlResult<i64> {
    if matches!(micros, i64::MIN | i64::MAX) {
        return Ok(micros);
    }
    micros
        .checked_add(EPOCH_SHIFT_MICROS)
        .filter(|micros| is_valid_timestamp(*micros))
        .ok_or_else(|| overflow("timestamp"))
}

fn numeric(reader: &mut Reader<'_>) -> SqlResult<Numeric> {
    let (count, weight) = (reader.u16()?, reader.i16()?);
    let (sign, scale) = (reader.u16()?, reader.u16()?);
    let special = match sign {
        NUMERIC_NAN => Some(Numeric::NAN),
        NUMERIC_INFINITY => Some(Numeric::INFINITY),
        NUMERIC_NEG_INFINITY => Some(Numeric::NEG_INFINITY),
        0 | NUMERIC_NEGATIVE => None,
        _ => return Err(malformed("invalid sign in external \"numeric\" value")),
    };
    if u32::from(scale) > MAX_SCALE {
        return Err(malformed("invalid scale in external \"numeric\" value"));
    }
    let mut digits = Vec::with_capacity(usize::from(count).min(reader.rest.len() / 2));
    for _ in 0..count {
        let digit = reader.i16()?;
        if !(0..10000).contains(&digit) {
            return Err(malformed("invalid digit in external \"numeric\" value"));
        }
        digits.push(digit);
    }
    // It may come with digits, which mean nothing.
    if let Some(special) = special {
        return Ok(special);
    }
    let negative = sign == NUMERIC_NEGATIVE;
    Ok(Numeric::from_base10000(negative, i32::from(weight), &digits, u32::from(scale))?)
}

fn inet(ty: &PgType, reader: &mut Reader<'_>) -> SqlResult<Inet> {
    let is_cidr = ty == &PgType::Cidr;
    let name = if is_cidr { "cidr" } else { "inet" };
    let invalid = |what: &str| malformed(format!("invalid {what} in external \"{name}\" value"));
    let (family, prefix) = (reader.u8()?, reader.u8()?);
    let _is_cidr = reader.u8()?;
    let len = reader.u8()?;
    let address = match (family, len) {
        (FAMILY_V4, 4) => IpAddr::from(reader.bytes::<4>()?),
        (FAMILY_V6, 16) => IpAddr::from(reader.bytes::<16>()?),
        (FAMILY_V4 | FAMILY_V6, _) => return Err(invalid("length")),
        _ => return Err(invalid("address family")),
    };
    let value = Inet::new(address, prefix).ok_or_else(|| invalid("bits"))?;
    if is_cidr && value.network() != value {
        return Err(malformed("invalid external \"cidr\" value")
            .detail("Value has bits set to right of mask."));
    }
    Ok(value)
}

fn array(element: &PgType, reader: &mut Reader<'_>) -> SqlResult<Array> {
    let (dimensions, flags) = (reader.i32()?, reader.i32()?);
    let oid = reader.u32()?;
    let dimensions = usize::try_from(dimensions)
        .map_err(|_| malformed(format!("invalid number of dimensions: {dimensions}")))?;
    if dimensions > MAX_DIMENSIONS {
        return Err(too_many_dimensions(dimensions));
    }
    if !matches!(flags, 0 | 1) {
        return Err(malformed("invalid array flags"));
    }
    check_element_type(element, oid)?;
    let mut lengths = Vec::with_capacity(dimensions);
    for _ in 0..dimensions {
        lengths.push((reader.i32()?, reader.i32()?));
    }
    let count = element_count(&lengths)?;
    if count == 0 {
        return Ok(Array { element: element.clone(), values: Vec::new() });
    }
    match lengths.as_slice() {
        [(_, 1)] => {}
        [(length, low)] if low.checked_add(*length).is_none() => {
            return Err(SqlError::new(
                SqlState::PROGRAM_LIMIT_EXCEEDED,
                format!("array lower bound is too large: {low}"),
            ));
        }
        [_] => {
            return Err(SqlError::unsupported(
                "arrays with a lower bound other than 1 are not supported",
            ));
        }
        _ => return Err(SqlError::unsupported("multidimensional arrays are not supported")),
    }
    // Each element has four bytes of length at least.
    let mut values = Vec::with_capacity(count.min(reader.rest.len() / 4));
    for number in 1..=count {
        values.push(array_element(element, number, reader)?);
    }
    Ok(Array { element: element.clone(), values })
}

/// Only built-in types have the same oids everywhere: others may be another database's.
fn check_element_type(element: &PgType, oid: u32) -> SqlResult<()> {
    let expected = element.oid();
    if oid == expected || oid >= FIRST_UNSTABLE_OID || expected >= FIRST_UNSTABLE_OID {
        return Ok(());
    }
    let name = PgType::from_oid(oid).map_or_else(|| "???".to_owned(), |ty| ty.to_string());
    Err(SqlError::new(
        SqlState::DATATYPE_MISMATCH,
        format!(
            "binary data has array element type {oid} ({name}) instead of expected {expected} \
             ({element})"
        ),
    ))
}

fn element_count(lengths: &[(i32, i32)]) -> SqlResult<usize> {
    let count = lengths.iter().try_fold(usize::from(!lengths.is_empty()), |count, (length, _)| {
        count.checked_mul(usize::try_from(*length).ok()?).filter(|count| *count <= MAX_ELEMENTS)
    });
    count.ok_or_else(too_many_elements)
}

fn array_element(element: &PgType, number: usize, reader: &mut Reader<'_>) -> SqlResult<Datum> {
    let length = reader.i32()?;
    if length == -1 {
        return Ok(Datum::Null);
    }
    let length = usize::try_from(length).ok().filter(|length| *length <= reader.rest.len());
    let length = length.ok_or_else(|| malformed("insufficient data left in message"))?;
    let mut value = Reader { rest: reader.take(length)? };
    let datum = read(element, &mut value)?;
    if !value.rest.is_empty() {
        return Err(malformed(format!("improper binary format in array element {number}")));
    }
    Ok(datum)
}
