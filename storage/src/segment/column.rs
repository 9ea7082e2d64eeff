//! Encodings of one column of one block.
//!
//! ```text
//! chunk = u8:encoding u8:1 with NULLs [null bitmap, set = NULL] payload
//!
//! 0 plain       rows * width bytes
//! 1 offset      i128:base u64:divisor u8:width, rows * width bytes: (value - base) / divisor
//! 2 dictionary  u32:count u8:width, rows * width bytes: entry, strings: entries
//! 3 strings     strings                                      ([`super::strings`])
//! 4 template    values of one length                         ([`super::template`])
//! 5 bools       bitmap
//! ```
//!
//! Numbers are little endian. Codes have width 0 where all are 0. A NULL's place in the payload
//! holds any value.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::ops::Range;

use arrow::datatypes::DataType;
use hashbrown::HashMap;
use satsuma_common::row::Physical;

use super::SegmentError;
use super::strings::{Strings, put_packed, put_strings};
use super::template::{Template, put_template};

type Result<T> = std::result::Result<T, SegmentError>;

const PLAIN: u8 = 0;
const OFFSET: u8 = 1;
const DICTIONARY: u8 = 2;
const STRINGS: u8 = 3;
const TEMPLATE: u8 = 4;
const BOOLS: u8 = 5;

/// How the values of a column are to be taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Bool,
    /// Two's complement of this many bytes.
    Signed(usize),
    Unsigned(usize),
    /// Bytes of this many, without arithmetic.
    Opaque(usize),
    Bytes,
    /// Bytes that have pieces in common.
    Text,
}

impl Kind {
    pub fn of(data_type: &DataType) -> Self {
        match (data_type, Physical::of_arrow(data_type)) {
            (_, Physical::Bool) => Self::Bool,
            (_, Physical::Utf8) => Self::Text,
            (_, Physical::Bytes | Physical::List(_)) => Self::Bytes,
            (_, Physical::Null) => Self::Opaque(0),
            (DataType::UInt32, Physical::Fixed(width)) => Self::Unsigned(width),
            (
                DataType::Float32
                | DataType::Float64
                | DataType::Interval(_)
                | DataType::FixedSizeBinary(_)
                | DataType::FixedSizeList(_, _),
                Physical::Fixed(width),
            ) => Self::Opaque(width),
            (_, Physical::Fixed(width)) => Self::Signed(width),
        }
    }
}

/// Encodes a column's values in their physical form.
pub fn encode(kind: Kind, values: &[Option<&[u8]>]) -> Result<Vec<u8>> {
    let has_nulls = values.iter().any(Option::is_none);
    let mut out = vec![0, u8::from(has_nulls)];
    if has_nulls {
        put_bitmap(&mut out, values.len(), |i| values[i].is_none());
    }
    out[0] = match kind {
        Kind::Bool => {
            put_bitmap(&mut out, values.len(), |i| {
                values[i].is_some_and(|v| v.first() == Some(&1))
            });
            BOOLS
        }
        Kind::Opaque(width) => {
            put_plain(&mut out, width, values)?;
            PLAIN
        }
        Kind::Signed(width) | Kind::Unsigned(width) => {
            let signed = matches!(kind, Kind::Signed(_));
            if put_offsets(&mut out, width, signed, values)? {
                OFFSET
            } else {
                put_plain(&mut out, width, values)?;
                PLAIN
            }
        }
        Kind::Bytes | Kind::Text => {
            let put = if kind == Kind::Text { put_packed } else { put_as_they_are };
            if put_dictionary(&mut out, values, put)? {
                DICTIONARY
            } else {
                let values = filled(values);
                if put_template(&mut out, &values)? {
                    TEMPLATE
                } else {
                    put(&mut out, &values)?;
                    STRINGS
                }
            }
        }
    };
    Ok(out)
}

/// Encodes keys: those of one length without what they have in common.
pub fn encode_keys(keys: &[&[u8]]) -> Result<Vec<u8>> {
    let mut out = vec![TEMPLATE, 0];
    if !put_template(&mut out, keys)? {
        out[0] = STRINGS;
        put_as_they_are(&mut out, keys)?;
    }
    Ok(out)
}

fn put_as_they_are(out: &mut Vec<u8>, values: &[&[u8]]) -> Result<()> {
    put_strings(out, values.iter().copied())
}

/// The values, with one of them in the place of each NULL.
fn filled<'a>(values: &[Option<&'a [u8]>]) -> Vec<&'a [u8]> {
    let any = values.iter().copied().flatten().next().unwrap_or_default();
    values.iter().map(|value| value.unwrap_or(any)).collect()
}

fn put_bitmap(out: &mut Vec<u8>, rows: usize, bit: impl Fn(usize) -> bool) {
    let at = out.len();
    out.resize(at + rows.div_ceil(8), 0);
    for i in (0..rows).filter(|i| bit(*i)) {
        out[at + i / 8] |= 1 << (i % 8);
    }
}

fn put_plain(out: &mut Vec<u8>, width: usize, values: &[Option<&[u8]>]) -> Result<()> {
    for value in values {
        match value {
            Some(value) if value.len() == width => out.extend_from_slice(value),
            Some(_) => return Err(SegmentError::new("value of another width")),
            None => out.resize(out.len() + width, 0),
        }
    }
    Ok(())
}

/// `false`, with nothing written, where offsets would not be smaller than the values.
fn put_offsets(
    out: &mut Vec<u8>,
    width: usize,
    signed: bool,
    values: &[Option<&[u8]>],
) -> Result<bool> {
    let numbers = values
        .iter()
        .map(|value| value.map(|value| number(value, width, signed)).transpose())
        .collect::<Result<Vec<_>>>()?;
    let present = || numbers.iter().flatten().copied();
    let base = present().min().unwrap_or(0);
    let Some(range) = present().max().unwrap_or(0).checked_sub(base) else { return Ok(false) };
    let Ok(range) = u64::try_from(range) else { return Ok(false) };
    let mut divisor = 0;
    for n in present() {
        divisor = gcd(divisor, (n - base) as u64);
        if divisor == 1 {
            break;
        }
    }
    let divisor = divisor.max(1);
    let code_width = code_width(range / divisor);
    if code_width >= width {
        return Ok(false);
    }
    out.extend_from_slice(&base.to_le_bytes());
    out.extend_from_slice(&divisor.to_le_bytes());
    out.push(code_width as u8);
    for n in &numbers {
        let code = n.map_or(0, |n| (n - base) as u64 / divisor);
        out.extend_from_slice(&code.to_le_bytes()[..code_width]);
    }
    Ok(true)
}

pub(super) fn number(value: &[u8], width: usize, signed: bool) -> Result<i128> {
    if value.len() != width || width > 16 {
        return Err(SegmentError::new("value of another width"));
    }
    if let (Ok(bytes), true) = (value.try_into(), signed) {
        return Ok(i128::from(i64::from_le_bytes(bytes)));
    }
    let negative = signed && value.last().is_some_and(|b| b & 0x80 != 0);
    let mut bytes = [if negative { 0xff } else { 0 }; 16];
    bytes[..width].copy_from_slice(value);
    Ok(i128::from_le_bytes(bytes))
}

fn gcd(mut a: u64, mut b: u64) -> u64 {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}

/// Bytes that codes up to `max` need.
pub(super) fn code_width(max: u64) -> usize {
    (u64::BITS - max.leading_zeros()).div_ceil(8) as usize
}

/// Whether a sample shows that nearly all values differ: of 256 values out of 4096 kinds, eight
/// or so are seen twice.
fn are_many(values: &[Option<&[u8]>]) -> bool {
    const SAMPLE: usize = 256;
    if values.len() < SAMPLE * 16 {
        return false;
    }
    // Places by chance, since equal values may stand together or at regular distances; each place
    // once, or it would be seen twice itself.
    let mut places: Vec<_> =
        (0..SAMPLE as u64).map(|at| (mixed(at) % values.len() as u64) as usize).collect();
    places.sort_unstable();
    places.dedup();
    let mut sample: Vec<_> = places.into_iter().map(|place| &values[place]).collect();
    let seen = sample.len();
    sample.sort_unstable();
    sample.dedup();
    seen - sample.len() < 2
}

/// A number that looks as if drawn by chance (the finalizer of SplitMix64).
fn mixed(number: u64) -> u64 {
    let mut z = (number + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// `false`, with nothing written, where a dictionary does not pay.
fn put_dictionary(
    out: &mut Vec<u8>,
    values: &[Option<&[u8]>],
    put: impl Fn(&mut Vec<u8>, &[&[u8]]) -> Result<()>,
) -> Result<bool> {
    let most = (values.len() / 4).clamp(1, 1 << 16);
    if are_many(values) {
        return Ok(false);
    }
    let mut places: HashMap<&[u8], u32> = HashMap::new();
    let mut entries: Vec<&[u8]> = Vec::new();
    let mut codes = Vec::with_capacity(values.len());
    for value in values {
        let value = value.unwrap_or_default();
        let code = *places.entry(value).or_insert_with(|| {
            entries.push(value);
            entries.len() as u32 - 1
        });
        if entries.len() > most {
            return Ok(false);
        }
        codes.push(code);
    }
    let width = code_width(entries.len().saturating_sub(1) as u64);
    out.extend_from_slice(&(entries.len() as u32).to_le_bytes());
    out.push(width as u8);
    for code in codes {
        out.extend_from_slice(&code.to_le_bytes()[..width]);
    }
    put(out, &entries)?;
    Ok(true)
}

/// An encoded column, ready to be read value by value.
#[derive(Clone, Copy, Debug)]
pub struct Chunk<'a> {
    rows: usize,
    pub(super) nulls: Option<&'a [u8]>,
    pub(super) payload: Payload<'a>,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Payload<'a> {
    Plain { values: &'a [u8], width: usize },
    Offset { base: i128, divisor: u64, code_width: usize, codes: &'a [u8], width: usize },
    Dictionary { code_width: usize, codes: &'a [u8], entries: Strings<'a> },
    Strings(Strings<'a>),
    Template(Template<'a>),
    Bools(&'a [u8]),
}

/// A value in its physical form.
#[derive(Clone, Debug)]
pub enum Value<'a> {
    Slice(&'a [u8]),
    Number([u8; 16], usize),
    Made(Vec<u8>),
}

impl<'a> From<Cow<'a, [u8]>> for Value<'a> {
    fn from(bytes: Cow<'a, [u8]>) -> Self {
        match bytes {
            Cow::Borrowed(bytes) => Self::Slice(bytes),
            Cow::Owned(bytes) => Self::Made(bytes),
        }
    }
}

impl std::ops::Deref for Value<'_> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Self::Slice(bytes) => bytes,
            Self::Number(bytes, width) => &bytes[..*width],
            Self::Made(bytes) => bytes,
        }
    }
}

/// Takes pieces from the front of a chunk.
pub(super) struct Cursor<'a>(&'a [u8]);

impl<'a> Cursor<'a> {
    pub fn take(&mut self, n: usize) -> Result<&'a [u8]> {
        let (head, tail) =
            self.0.split_at_checked(n).ok_or_else(|| SegmentError::new("chunk ends early"))?;
        self.0 = tail;
        Ok(head)
    }

    pub fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        self.take(N)?.try_into().map_err(|_| SegmentError::new("chunk ends early"))
    }

    pub fn code_width(&mut self) -> Result<usize> {
        match usize::from(self.array::<1>()?[0]) {
            width @ 0..=8 => Ok(width),
            _ => Err(SegmentError::new("codes are too wide")),
        }
    }

    pub fn rest(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.0)
    }
}

impl<'a> Chunk<'a> {
    /// Reads the frame of a chunk of `rows` values.
    pub fn open(kind: Kind, rows: usize, bytes: &'a [u8]) -> Result<Self> {
        let mut rest = Cursor(bytes);
        let [encoding, has_nulls] = rest.array()?;
        let nulls = match has_nulls {
            0 => None,
            1 => Some(rest.take(rows.div_ceil(8))?),
            _ => return Err(SegmentError::new("chunk has unknown flags")),
        };
        let width = match kind {
            Kind::Signed(width) | Kind::Unsigned(width) | Kind::Opaque(width) => Some(width),
            Kind::Bool | Kind::Bytes | Kind::Text => None,
        };
        let payload = match (encoding, width) {
            (PLAIN, Some(width)) => Payload::Plain { values: rest.take(rows * width)?, width },
            (OFFSET, Some(width)) if width <= 16 => {
                let base = i128::from_le_bytes(rest.array()?);
                let divisor = u64::from_le_bytes(rest.array()?);
                let code_width = rest.code_width()?;
                let codes = rest.take(rows * code_width)?;
                Payload::Offset { base, divisor, code_width, codes, width }
            }
            (DICTIONARY, None) => {
                let count = u32::from_le_bytes(rest.array()?) as usize;
                if count > rows {
                    return Err(SegmentError::new("more entries than rows"));
                }
                let code_width = rest.code_width()?;
                let codes = rest.take(rows * code_width)?;
                let entries = Strings::open(count, &mut rest)?;
                Payload::Dictionary { code_width, codes, entries }
            }
            (STRINGS, None) => Payload::Strings(Strings::open(rows, &mut rest)?),
            (TEMPLATE, None) => Payload::Template(Template::open(rows, &mut rest)?),
            (BOOLS, None) => Payload::Bools(rest.take(rows.div_ceil(8))?),
            _ => return Err(SegmentError::new("chunk has an encoding that does not fit")),
        };
        Ok(Self { rows, nulls, payload })
    }

    pub fn rows(&self) -> usize {
        self.rows
    }

    /// The value of row `i`; `None` is NULL.
    pub fn value(&self, i: usize) -> Result<Option<Value<'a>>> {
        if i >= self.rows {
            return Err(SegmentError::new("row is out of bounds"));
        }
        if self.nulls.is_some_and(|nulls| bit(nulls, i)) {
            return Ok(None);
        }
        Ok(Some(match self.payload {
            Payload::Plain { values, width } => Value::Slice(&values[i * width..(i + 1) * width]),
            Payload::Offset { base, divisor, code_width, codes, width } => {
                let offset = i128::from(code(codes, code_width, i)) * i128::from(divisor);
                Value::Number(base.wrapping_add(offset).to_le_bytes(), width)
            }
            Payload::Dictionary { code_width, codes, entries } => {
                let entry = usize::try_from(code(codes, code_width, i));
                Value::from(entries.get(entry.map_err(|_| SegmentError::new("dictionary"))?)?)
            }
            Payload::Strings(strings) => Value::from(strings.get(i)?),
            Payload::Template(template) => Value::Made(template.value(i)?),
            Payload::Bools(bits) => Value::Slice(if bit(bits, i) { &[1] } else { &[0] }),
        }))
    }

    /// How the value of row `i` compares to these bytes. NULL is empty.
    pub fn compare(&self, i: usize, to: &[u8]) -> Result<Ordering> {
        if let Payload::Template(template) = self.payload
            && i < self.rows
            && self.nulls.is_none()
        {
            return template.compare(i, to);
        }
        Ok(self.value(i)?.as_deref().unwrap_or_default().cmp(to))
    }

    /// Whether the chunk holds no NULL.
    pub fn all_valid(&self) -> bool {
        self.nulls.is_none()
    }

    /// Values one after another, for fixed-width columns of at most 8 bytes without NULLs.
    pub fn plain_values(&self, rows: Range<usize>) -> Option<Vec<u8>> {
        if self.nulls.is_some() || rows.end > self.rows || rows.start > rows.end {
            return None;
        }
        match self.payload {
            Payload::Plain { values, width } => {
                Some(values[rows.start * width..rows.end * width].to_vec())
            }
            Payload::Offset { base, divisor, code_width, codes, width } if width <= 8 => {
                let base = base as u64;
                let mut out = Vec::with_capacity(rows.len() * width);
                for i in rows {
                    let offset = code(codes, code_width, i).wrapping_mul(divisor);
                    out.extend_from_slice(&base.wrapping_add(offset).to_le_bytes()[..width]);
                }
                Some(out)
            }
            _ => None,
        }
    }
}

pub(super) fn bit(bits: &[u8], i: usize) -> bool {
    bits[i / 8] & (1 << (i % 8)) != 0
}

pub(super) fn code(codes: &[u8], width: usize, i: usize) -> u64 {
    let at = i * width;
    match width {
        0 => 0,
        1 => u64::from(codes[at]),
        2 => u64::from(u16::from_le_bytes([codes[at], codes[at + 1]])),
        _ => {
            let mut bytes = [0; 8];
            bytes[..width].copy_from_slice(&codes[at..at + width]);
            u64::from_le_bytes(bytes)
        }
    }
}
