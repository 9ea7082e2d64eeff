//! One value as bytes, without its NULL flag.
//!
//! | Arrow | bytes |
//! |---|---|
//! | Boolean | one byte, 0 or 1 |
//! | primitives, FixedSizeBinary, point | the little-endian bytes that Arrow holds |
//! | strings, binaries | themselves |
//! | List | u32 count, null bitmap, then items: fixed ones in a row, others as u32 ends and bytes |
//! | Null | nothing |

use arrow::datatypes::DataType;

use super::RowError;
use crate::arrow_types;
use crate::datum::{Array, Datum, Inet, Interval, Numeric};
use crate::types::PgType;

/// The physical form of a type's values.
#[derive(Clone, Debug, PartialEq)]
pub enum Physical {
    Bool,
    /// Width in bytes.
    Fixed(usize),
    Utf8,
    Bytes,
    List(Box<Physical>),
    Null,
}

impl Physical {
    pub fn of(ty: &PgType) -> Self {
        Self::of_arrow(&arrow_types::data_type(ty))
    }

    pub fn of_arrow(data_type: &DataType) -> Self {
        match data_type {
            DataType::Boolean => Self::Bool,
            DataType::Int16 => Self::Fixed(2),
            DataType::Int32 | DataType::Float32 | DataType::Date32 | DataType::UInt32 => {
                Self::Fixed(4)
            }
            DataType::Int64
            | DataType::Float64
            | DataType::Time64(_)
            | DataType::Timestamp(_, _) => Self::Fixed(8),
            DataType::Decimal128(_, _)
            | DataType::Interval(_)
            | DataType::FixedSizeBinary(_)
            | DataType::FixedSizeList(_, _) => Self::Fixed(16),
            DataType::Utf8View => Self::Utf8,
            DataType::List(item) => Self::List(Box::new(Self::of_arrow(item.data_type()))),
            DataType::Null => Self::Null,
            _ => Self::Bytes,
        }
    }

    /// `None` for variable-width values.
    pub fn fixed_width(&self) -> Option<usize> {
        match self {
            Self::Bool => Some(1),
            Self::Fixed(width) => Some(*width),
            Self::Null => Some(0),
            Self::Utf8 | Self::Bytes | Self::List(_) => None,
        }
    }

    /// Bytes of the value's slot in a row: the value itself, or its end in the tail.
    pub fn slot_width(&self) -> usize {
        self.fixed_width().unwrap_or(4)
    }
}

/// A list's items in turn; `None` is a NULL item.
pub struct Items<'a> {
    bitmap: &'a [u8],
    body: &'a [u8],
    tail: &'a [u8],
    width: Option<usize>,
    at: usize,
    count: usize,
}

impl<'a> Items<'a> {
    pub fn new(bytes: &'a [u8], item: &Physical) -> Result<Self, RowError> {
        let count = u32_at(bytes, 0)? as usize;
        let bitmap_len = count.div_ceil(8);
        let width = item.fixed_width();
        let body_at = 4 + bitmap_len;
        let body_len = count.checked_mul(item.slot_width()).ok_or(RowError::Truncated)?;
        let bitmap = bytes.get(4..body_at).ok_or(RowError::Truncated)?;
        let body_end = body_at.checked_add(body_len).ok_or(RowError::Truncated)?;
        let body = bytes.get(body_at..body_end).ok_or(RowError::Truncated)?;
        Ok(Self { bitmap, body, tail: &bytes[body_end..], width, at: 0, count })
    }

    pub fn count(&self) -> usize {
        self.count
    }

    fn item(&self, i: usize) -> Result<Option<&'a [u8]>, RowError> {
        if self.bitmap[i / 8] & (1 << (i % 8)) != 0 {
            return Ok(None);
        }
        if let Some(width) = self.width {
            return Ok(Some(&self.body[i * width..(i + 1) * width]));
        }
        let start = if i == 0 { 0 } else { u32_at(self.body, (i - 1) * 4)? as usize };
        let end = u32_at(self.body, i * 4)? as usize;
        self.tail.get(start..end).ok_or(RowError::Truncated).map(Some)
    }
}

impl<'a> Iterator for Items<'a> {
    type Item = Result<Option<&'a [u8]>, RowError>;

    fn next(&mut self) -> Option<Self::Item> {
        let i = self.at;
        (i < self.count).then(|| {
            self.at += 1;
            self.item(i)
        })
    }
}

/// Appends a list of items in their own physical form.
pub(crate) fn put_list<'a>(
    out: &mut Vec<u8>,
    item: &Physical,
    items: impl ExactSizeIterator<Item = Option<std::borrow::Cow<'a, [u8]>>>,
) -> Result<(), RowError> {
    let count = items.len();
    out.extend_from_slice(
        &u32::try_from(count).map_err(|_| RowError::TooLong(count))?.to_le_bytes(),
    );
    let bitmap_at = out.len();
    out.resize(bitmap_at + count.div_ceil(8), 0);
    let mut tail = Vec::new();
    for (i, value) in items.enumerate() {
        if value.is_none() {
            out[bitmap_at + i / 8] |= 1 << (i % 8);
        }
        match item.fixed_width() {
            Some(width) => match value {
                Some(value) if value.len() == width => out.extend_from_slice(&value),
                Some(_) => return Err(RowError::Mismatch("list item".into())),
                None => out.resize(out.len() + width, 0),
            },
            None => {
                tail.extend_from_slice(value.as_deref().unwrap_or_default());
                let end = u32::try_from(tail.len()).map_err(|_| RowError::TooLong(tail.len()))?;
                out.extend_from_slice(&end.to_le_bytes());
            }
        }
    }
    out.extend_from_slice(&tail);
    Ok(())
}

fn u32_at(bytes: &[u8], at: usize) -> Result<u32, RowError> {
    let slice = bytes.get(at..at + 4).ok_or(RowError::Truncated)?;
    slice.try_into().map(u32::from_le_bytes).map_err(|_| RowError::Truncated)
}

/// The bytes of one value; `None` is NULL. This is the form of [`crate::table::Column::missing`].
pub fn encode_value(datum: &Datum, ty: &PgType) -> Result<Option<Vec<u8>>, RowError> {
    if datum.is_null() {
        return Ok(None);
    }
    let mut out = Vec::new();
    put_datum(&mut out, datum, ty)?;
    Ok(Some(out))
}

/// Appends the bytes of a value that is not NULL.
pub fn put_datum(out: &mut Vec<u8>, datum: &Datum, ty: &PgType) -> Result<(), RowError> {
    match (datum, ty.without_precision()) {
        (Datum::Bool(v), PgType::Bool) => out.push(u8::from(*v)),
        (Datum::Int2(v), PgType::Int2) => out.extend_from_slice(&v.to_le_bytes()),
        (Datum::Int4(v), PgType::Int4) | (Datum::Date(v), PgType::Date) => {
            out.extend_from_slice(&v.to_le_bytes());
        }
        (Datum::Int8(v), PgType::Int8)
        | (Datum::Time(v), PgType::Time)
        | (Datum::Timestamp(v), PgType::Timestamp | PgType::Timestamptz) => {
            out.extend_from_slice(&v.to_le_bytes());
        }
        (Datum::Float4(v), PgType::Float4) => out.extend_from_slice(&v.to_le_bytes()),
        (Datum::Float8(v), PgType::Float8) => out.extend_from_slice(&v.to_le_bytes()),
        (Datum::Numeric(v), PgType::Numeric(modifier)) => match modifier {
            Some(m) if arrow_types::fits_decimal128(*m) => {
                let unscaled = v.to_i128(i32::from(m.scale)).ok_or_else(|| mismatch(ty))?;
                out.extend_from_slice(&unscaled.to_le_bytes());
            }
            _ => v.append_sortable(out),
        },
        (Datum::Text(v), _) if Physical::of(ty) == Physical::Utf8 => {
            out.extend_from_slice(v.as_bytes());
        }
        (Datum::Bytea(v), PgType::Bytea) => out.extend_from_slice(v),
        (Datum::Interval(v), PgType::Interval) => put_interval(out, v)?,
        (Datum::Uuid(v), PgType::Uuid) => out.extend_from_slice(v),
        (Datum::Inet(v), PgType::Inet | PgType::Cidr) => v.append_sortable(out),
        (Datum::Point(x, y), PgType::Point) => {
            out.extend_from_slice(&x.to_le_bytes());
            out.extend_from_slice(&y.to_le_bytes());
        }
        (Datum::Oid(v), _) if arrow_types::data_type(ty) == DataType::UInt32 => {
            out.extend_from_slice(&v.to_le_bytes());
        }
        (Datum::Array(v), PgType::Array(element)) => put_array(out, v, element)?,
        _ => return Err(mismatch(ty)),
    }
    Ok(())
}

fn put_array(out: &mut Vec<u8>, array: &Array, element: &PgType) -> Result<(), RowError> {
    let items = array
        .values
        .iter()
        .map(|value| Ok(encode_value(value, element)?.map(std::borrow::Cow::Owned)))
        .collect::<Result<Vec<_>, RowError>>()?;
    put_list(out, &Physical::of(element), items.into_iter())
}

/// Arrow's MonthDayNano: months, days, nanoseconds.
fn put_interval(out: &mut Vec<u8>, interval: &Interval) -> Result<(), RowError> {
    let nanos = interval.micros.checked_mul(1000).ok_or_else(|| mismatch(&PgType::Interval))?;
    out.extend_from_slice(&interval.months.to_le_bytes());
    out.extend_from_slice(&interval.days.to_le_bytes());
    out.extend_from_slice(&nanos.to_le_bytes());
    Ok(())
}

/// The value of type `ty` that `bytes` hold.
pub fn decode_value(bytes: &[u8], ty: &PgType) -> Result<Datum, RowError> {
    Ok(match ty.without_precision() {
        PgType::Bool => Datum::Bool(fixed::<1>(bytes)?[0] != 0),
        PgType::Int2 => Datum::Int2(i16::from_le_bytes(fixed(bytes)?)),
        PgType::Int4 => Datum::Int4(i32::from_le_bytes(fixed(bytes)?)),
        PgType::Int8 => Datum::Int8(i64::from_le_bytes(fixed(bytes)?)),
        PgType::Float4 => Datum::Float4(f32::from_le_bytes(fixed(bytes)?)),
        PgType::Float8 => Datum::Float8(f64::from_le_bytes(fixed(bytes)?)),
        PgType::Bytea => Datum::Bytea(bytes.to_vec()),
        PgType::Date => Datum::Date(i32::from_le_bytes(fixed(bytes)?)),
        PgType::Time => Datum::Time(i64::from_le_bytes(fixed(bytes)?)),
        PgType::Timestamp | PgType::Timestamptz => {
            Datum::Timestamp(i64::from_le_bytes(fixed(bytes)?))
        }
        PgType::Interval => {
            let raw: [u8; 16] = fixed(bytes)?;
            Datum::Interval(Interval {
                months: i32::from_le_bytes(fixed(&raw[..4])?),
                days: i32::from_le_bytes(fixed(&raw[4..8])?),
                micros: i64::from_le_bytes(fixed(&raw[8..])?) / 1000,
            })
        }
        PgType::Uuid => Datum::Uuid(fixed(bytes)?),
        PgType::Numeric(modifier) => Datum::Numeric(
            match modifier {
                Some(m) if arrow_types::fits_decimal128(*m) => {
                    Numeric::from_i128(i128::from_le_bytes(fixed(bytes)?), i32::from(m.scale))
                }
                _ => Numeric::from_sortable(bytes),
            }
            .ok_or_else(|| mismatch(ty))?,
        ),
        PgType::Inet | PgType::Cidr => {
            Datum::Inet(Inet::from_sortable(bytes).ok_or_else(|| mismatch(ty))?)
        }
        PgType::Point => {
            let raw: [u8; 16] = fixed(bytes)?;
            Datum::Point(
                f64::from_le_bytes(fixed(&raw[..8])?),
                f64::from_le_bytes(fixed(&raw[8..])?),
            )
        }
        PgType::Array(element) => {
            let values = Items::new(bytes, &Physical::of(element))?
                .map(|item| match item? {
                    Some(bytes) => decode_value(bytes, element),
                    None => Ok(Datum::Null),
                })
                .collect::<Result<_, _>>()?;
            Datum::Array(Array { element: (**element).clone(), values })
        }
        PgType::Void => Datum::Null,
        _ if Physical::of(ty) == Physical::Utf8 => {
            Datum::Text(std::str::from_utf8(bytes).map_err(|_| RowError::Utf8)?.to_owned())
        }
        _ => Datum::Oid(u32::from_le_bytes(fixed(bytes)?)),
    })
}

fn fixed<const N: usize>(bytes: &[u8]) -> Result<[u8; N], RowError> {
    bytes.try_into().map_err(|_| RowError::Truncated)
}

fn mismatch(ty: &PgType) -> RowError {
    RowError::Mismatch(ty.to_string())
}
