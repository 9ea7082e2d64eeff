//! Keys whose byte order is PostgreSQL's order of the values.
//!
//! ```text
//! key  = column*
//! column = 01 value     a value
//!        | 02           NULL, after every value (PostgreSQL's default, NULLS LAST)
//! ```
//!
//! | type | value |
//! |---|---|
//! | bool | one byte |
//! | integers, date, time, timestamps, decimal | big endian, sign bit flipped |
//! | oid, reg* | big endian |
//! | float | big endian; positive: sign bit set, negative: all bits flipped; -0 is 0, NaN last |
//! | text, bytea, numeric, inet | bytes, `00` as `00 FF`, closed by `00 00` |
//! | interval | total microseconds (30-day months) as a 128-bit integer |
//! | uuid | 16 bytes |
//! | arrays | columns as above, closed by `00` |
//!
//! Columns delimit themselves, so the key of the first columns is a prefix of the whole key and a
//! range over it is a byte range: [`prefix_end`]. Text orders by bytes (C collation); `char(n)`
//! without trailing blanks, numeric without its display scale: equal values have equal keys, which
//! is why a key gives back an equal value, not always the same one ([`KeyEncoder::decode`]).
//!
//! json, jsonb and point have no order here and are refused.

use arrow::array::RecordBatch;

use crate::arrow_types;
use crate::datum::{Datum, Numeric};
use crate::row::RowError;
use crate::row::source::ColumnSource;
use crate::row::value::{Items, Physical, decode_value, encode_value};
use crate::types::PgType;

const END: u8 = 0;
const VALUE: u8 = 1;
const NULL: u8 = 2;

/// Why values have no key, or bytes are none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    #[error("type {0} has no order to build a key from")]
    NoOrder(String),
    #[error("key of {0} columns, expected {1}")]
    ColumnCount(usize, usize),
    #[error("malformed key")]
    Malformed,
    #[error(transparent)]
    Value(#[from] RowError),
}

/// Encodes the keys of one list of column types.
#[derive(Clone, Debug)]
pub struct KeyEncoder {
    columns: Vec<(PgType, Order)>,
}

impl KeyEncoder {
    pub fn new(types: impl IntoIterator<Item = PgType>) -> Result<Self, KeyError> {
        let columns = types
            .into_iter()
            .map(|ty| Order::of(&ty).map(|order| (ty, order)))
            .collect::<Result<_, _>>()?;
        Ok(Self { columns })
    }

    pub fn len(&self) -> usize {
        self.columns.len()
    }

    pub fn is_empty(&self) -> bool {
        self.columns.is_empty()
    }

    /// One key per row; `positions` are the key's columns in `batch`.
    pub fn encode_batch(
        &self,
        batch: &RecordBatch,
        positions: &[usize],
    ) -> Result<Vec<Vec<u8>>, KeyError> {
        if positions.len() != self.columns.len() {
            return Err(KeyError::ColumnCount(positions.len(), self.columns.len()));
        }
        let mut sources = Vec::with_capacity(positions.len());
        for (position, (ty, _)) in positions.iter().zip(&self.columns) {
            let array = batch
                .columns()
                .get(*position)
                .ok_or(KeyError::ColumnCount(batch.num_columns(), *position + 1))?;
            if array.data_type() != &arrow_types::data_type(ty) {
                return Err(RowError::Mismatch(ty.to_string()).into());
            }
            sources.push(ColumnSource::new(array)?);
        }
        (0..batch.num_rows())
            .map(|row| {
                let mut key = Vec::with_capacity(9 * sources.len());
                for (source, (_, order)) in sources.iter().zip(&self.columns) {
                    put(&mut key, order, source.value(row)?.as_deref())?;
                }
                Ok(key)
            })
            .collect()
    }

    /// The key of these values, or of the first columns when there are fewer: a prefix.
    pub fn encode(&self, values: &[Datum]) -> Result<Vec<u8>, KeyError> {
        if values.len() > self.columns.len() {
            return Err(KeyError::ColumnCount(values.len(), self.columns.len()));
        }
        let mut key = Vec::with_capacity(9 * values.len());
        for (value, (ty, order)) in values.iter().zip(&self.columns) {
            put(&mut key, order, encode_value(value, ty)?.as_deref())?;
        }
        Ok(key)
    }

    /// The key of values in their physical form (see [`crate::row::value`]).
    pub fn encode_physical<'a>(
        &self,
        values: impl IntoIterator<Item = Option<&'a [u8]>>,
    ) -> Result<Vec<u8>, KeyError> {
        let mut key = Vec::with_capacity(9 * self.columns.len());
        self.append_physical(&mut key, values)?;
        Ok(key)
    }

    /// The same at the end of `key`.
    pub fn append_physical<'a>(
        &self,
        key: &mut Vec<u8>,
        values: impl IntoIterator<Item = Option<&'a [u8]>>,
    ) -> Result<(), KeyError> {
        for (value, (_, order)) in values.into_iter().zip(&self.columns) {
            put(key, order, value)?;
        }
        Ok(())
    }

    /// Values equal to those that made `key`.
    pub fn decode(&self, key: &[u8]) -> Result<Vec<Datum>, KeyError> {
        let mut rest = key;
        let mut values = Vec::with_capacity(self.columns.len());
        for (ty, order) in &self.columns {
            values.push(match take(&mut rest, order)? {
                Some(physical) => decode_value(&physical, ty)?,
                None => Datum::Null,
            });
        }
        if rest.is_empty() { Ok(values) } else { Err(KeyError::Malformed) }
    }
}

/// Key of a row without a primary key: a number unique within its shard.
pub fn row_id_key(row_id: u64) -> Vec<u8> {
    row_id.to_be_bytes().to_vec()
}

/// The number in a key that [`row_id_key`] made.
pub fn row_id(key: &[u8]) -> Option<u64> {
    key.try_into().ok().map(u64::from_be_bytes)
}

/// The least byte string above every key that starts with `prefix`; `None` when there is none.
pub fn prefix_end(prefix: &[u8]) -> Option<Vec<u8>> {
    let mut end = prefix.to_vec();
    while let Some(last) = end.last_mut() {
        if *last < 0xff {
            *last += 1;
            return Some(end);
        }
        end.pop();
    }
    None
}

/// How physical bytes become ordered bytes.
#[derive(Clone, Debug)]
enum Order {
    Bool,
    Signed(usize),
    Unsigned(usize),
    Float(usize),
    Interval,
    Uuid,
    Bytes(Trim),
    List(Box<Order>, Physical),
}

/// What of a byte string does not take part in comparison.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Trim {
    Nothing,
    /// char(n).
    Blanks,
    /// numeric's display scale.
    Scale,
}

impl Order {
    fn of(ty: &PgType) -> Result<Self, KeyError> {
        Ok(match ty {
            PgType::Precise(time, _) => Self::of(time.bare())?,
            PgType::Bool => Self::Bool,
            PgType::Float4 => Self::Float(4),
            PgType::Float8 => Self::Float(8),
            PgType::Interval => Self::Interval,
            PgType::Uuid => Self::Uuid,
            PgType::Numeric(Some(m)) if arrow_types::fits_decimal128(*m) => Self::Signed(16),
            PgType::Numeric(_) => Self::Bytes(Trim::Scale),
            PgType::Bpchar(_) => Self::Bytes(Trim::Blanks),
            PgType::Text
            | PgType::Varchar(_)
            | PgType::Name
            | PgType::Char
            | PgType::Enum(_)
            | PgType::Unknown
            | PgType::Bytea
            | PgType::Inet
            | PgType::Cidr => Self::Bytes(Trim::Nothing),
            PgType::Array(element) => {
                Self::List(Box::new(Self::of(element)?), Physical::of(element))
            }
            PgType::Json | PgType::Jsonb | PgType::Point | PgType::Record | PgType::Void => {
                return Err(KeyError::NoOrder(ty.to_string()));
            }
            PgType::Oid
            | PgType::Regclass
            | PgType::Regtype
            | PgType::Regproc
            | PgType::Regprocedure
            | PgType::Regnamespace
            | PgType::Regrole => Self::Unsigned(4),
            PgType::Int2 => Self::Signed(2),
            PgType::Int4 | PgType::Date => Self::Signed(4),
            PgType::Int8 | PgType::Time | PgType::Timestamp | PgType::Timestamptz => {
                Self::Signed(8)
            }
        })
    }
}

fn put(key: &mut Vec<u8>, order: &Order, value: Option<&[u8]>) -> Result<(), KeyError> {
    let Some(value) = value else {
        key.push(NULL);
        return Ok(());
    };
    key.push(VALUE);
    let at = key.len();
    match order {
        Order::Bool => key.push(u8::from(value.first().is_some_and(|b| *b != 0))),
        Order::Signed(width) => {
            put_big_endian(key, value, *width)?;
            key[at] ^= 0x80;
        }
        Order::Unsigned(width) => put_big_endian(key, value, *width)?,
        Order::Float(4) => {
            let mut v = f32::from_le_bytes(fixed(value)?);
            if v.is_nan() {
                v = f32::from_bits(0x7fff_ffff);
            }
            put_float(key, &(v + 0.0).to_bits().to_be_bytes());
        }
        Order::Float(_) => {
            let mut v = f64::from_le_bytes(fixed(value)?);
            if v.is_nan() {
                v = f64::from_bits(0x7fff_ffff_ffff_ffff);
            }
            put_float(key, &(v + 0.0).to_bits().to_be_bytes());
        }
        Order::Interval => {
            let raw: [u8; 16] = fixed(value)?;
            let months = i32::from_le_bytes(fixed(&raw[..4])?);
            let days = i32::from_le_bytes(fixed(&raw[4..8])?);
            let micros = i64::from_le_bytes(fixed(&raw[8..])?) / 1000;
            let days = i128::from(months) * 30 + i128::from(days);
            let span = days * i128::from(MICROS_PER_DAY) + i128::from(micros);
            key.extend_from_slice(&span.to_be_bytes());
            key[at] ^= 0x80;
        }
        Order::Uuid => key.extend_from_slice(&fixed::<16>(value)?),
        Order::Bytes(trim) => {
            let value = match trim {
                Trim::Nothing => value,
                Trim::Blanks => value.trim_suffix_of(b' '),
                Trim::Scale => crate::numeric::sortable_key(value),
            };
            put_bytes(key, value);
        }
        Order::List(item, physical) => {
            for value in Items::new(value, physical)? {
                put(key, item, value?)?;
            }
            key.push(END);
        }
    }
    Ok(())
}

const MICROS_PER_DAY: i64 = 86_400_000_000;

trait TrimSuffix {
    fn trim_suffix_of(&self, byte: u8) -> &[u8];
}

impl TrimSuffix for [u8] {
    fn trim_suffix_of(&self, byte: u8) -> &[u8] {
        let end = self.iter().rposition(|b| *b != byte).map_or(0, |last| last + 1);
        &self[..end]
    }
}

fn put_big_endian(key: &mut Vec<u8>, value: &[u8], width: usize) -> Result<(), KeyError> {
    if value.len() != width {
        return Err(KeyError::Malformed);
    }
    key.extend(value.iter().rev());
    Ok(())
}

fn put_float(key: &mut Vec<u8>, big_endian: &[u8]) {
    let flip = if big_endian[0] & 0x80 != 0 { 0xff } else { 0 };
    let at = key.len();
    key.extend(big_endian.iter().map(|b| b ^ flip));
    if flip == 0 {
        key[at] ^= 0x80;
    }
}

fn put_bytes(key: &mut Vec<u8>, value: &[u8]) {
    for &byte in value {
        key.push(byte);
        if byte == 0 {
            key.push(0xff);
        }
    }
    key.extend_from_slice(&[0, 0]);
}

fn fixed<const N: usize>(bytes: &[u8]) -> Result<[u8; N], KeyError> {
    bytes.try_into().map_err(|_| KeyError::Malformed)
}

fn take_n<'a>(rest: &mut &'a [u8], n: usize) -> Result<&'a [u8], KeyError> {
    let (head, tail) = rest.split_at_checked(n).ok_or(KeyError::Malformed)?;
    *rest = tail;
    Ok(head)
}

/// Reads one column from the front of `rest` as a physical value; `None` is NULL.
fn take(rest: &mut &[u8], order: &Order) -> Result<Option<Vec<u8>>, KeyError> {
    match take_n(rest, 1)?[0] {
        NULL => return Ok(None),
        VALUE => {}
        _ => return Err(KeyError::Malformed),
    }
    Ok(Some(match order {
        Order::Bool => take_n(rest, 1)?.to_vec(),
        Order::Signed(width) => {
            let mut value = take_n(rest, *width)?.to_vec();
            value[0] ^= 0x80;
            value.reverse();
            value
        }
        Order::Unsigned(width) => {
            let mut value = take_n(rest, *width)?.to_vec();
            value.reverse();
            value
        }
        Order::Float(width) => {
            let mut value = take_n(rest, *width)?.to_vec();
            if value[0] & 0x80 != 0 {
                value[0] ^= 0x80;
            } else {
                value.iter_mut().for_each(|b| *b = !*b);
            }
            value.reverse();
            value
        }
        Order::Interval => {
            let mut raw: [u8; 16] = fixed(take_n(rest, 16)?)?;
            raw[0] ^= 0x80;
            interval_of(i128::from_be_bytes(raw))?
        }
        Order::Uuid => take_n(rest, 16)?.to_vec(),
        Order::Bytes(trim) => {
            let value = take_bytes(rest)?;
            if *trim == Trim::Scale { with_least_scale(&value)? } else { value }
        }
        Order::List(item, physical) => {
            let mut items = Vec::new();
            while rest.first() != Some(&END) {
                items.push(take(rest, item)?.map(std::borrow::Cow::Owned));
            }
            take_n(rest, 1)?;
            let mut value = Vec::new();
            crate::row::value::put_list(&mut value, physical, items.into_iter())?;
            value
        }
    }))
}

/// An interval of so many microseconds: in days, in months too where those are too many.
fn interval_of(span: i128) -> Result<Vec<u8>, KeyError> {
    let day = i128::from(MICROS_PER_DAY);
    let fit = |n: i128| n.clamp(i128::from(i32::MIN), i128::from(i32::MAX)) as i32;
    let whole = span.div_euclid(day);
    let months = if i128::from(fit(whole)) == whole { 0 } else { fit(whole / 30) };
    let days = fit(whole - i128::from(months) * 30);
    let micros = span - (i128::from(months) * 30 + i128::from(days)) * day;
    let nanos = micros.checked_mul(1000).and_then(|nanos| i64::try_from(nanos).ok());
    let mut value = months.to_le_bytes().to_vec();
    value.extend_from_slice(&days.to_le_bytes());
    value.extend_from_slice(&nanos.ok_or(KeyError::Malformed)?.to_le_bytes());
    Ok(value)
}

/// A numeric's order-preserving form again, with no more scale than its digits need.
fn with_least_scale(key: &[u8]) -> Result<Vec<u8>, KeyError> {
    [0u16, 2, 8, 32, 128, 1024, 16383]
        .into_iter()
        .find_map(|scale| Numeric::from_sortable(&[key, &scale.to_be_bytes()].concat()))
        .map(|value| value.trim_scale().to_sortable())
        .ok_or(KeyError::Malformed)
}

fn take_bytes(rest: &mut &[u8]) -> Result<Vec<u8>, KeyError> {
    let mut value = Vec::new();
    loop {
        match take_n(rest, 1)?[0] {
            0 => match take_n(rest, 1)?[0] {
                0 => return Ok(value),
                0xff => value.push(0),
                _ => return Err(KeyError::Malformed),
            },
            byte => value.push(byte),
        }
    }
}

#[cfg(test)]
mod tests;
