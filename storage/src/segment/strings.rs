//! Strings one after another.
//!
//! ```text
//! strings = symbols, ends, bytes of all strings
//! symbols = u8:count, count * u8:length, count * 8 bytes (unused ones are 0)
//! ends    = u64:slope i64:base u8:width, count * width bytes: code
//! ```
//!
//! The end of the string at `i` is `slope * (i + 1) / 2^16 + base + code`: strings of a column are
//! about equally long, so that ends lie near a line, and what they are off it takes a byte or two.
//!
//! Where there are symbols, the bytes of strings are codes: a byte below 255 is the symbol of that
//! number, 255 says that the next byte stands for itself (FSST, VLDB 2020). Any string can be read
//! without the others, unlike with general compression.

use std::borrow::Cow;
use std::ops::Range;

use fsst::Compressor;

use super::SegmentError;
use super::column::{Cursor, code, code_width};

type Result<T> = std::result::Result<T, SegmentError>;

/// The next byte stands for itself.
const ESCAPE: u8 = 255;
/// Bytes of the longest symbol.
const SYMBOL: usize = 8;
/// Fewer bytes are not worth a table.
const FEW_BYTES: usize = 1 << 10;
/// One value of so many shows whether symbols pay.
const SAMPLE: usize = 16;
/// Fraction bits of the slope.
const FRACTION: u32 = 16;

#[derive(Clone, Copy, Debug)]
pub(super) struct Strings<'a> {
    slope: u64,
    base: u64,
    width: usize,
    codes: &'a [u8],
    count: usize,
    symbols: Symbols<'a>,
    bytes: &'a [u8],
}

impl<'a> Strings<'a> {
    /// Reads `count` strings, which take all of the rest.
    pub fn open(count: usize, rest: &mut Cursor<'a>) -> Result<Self> {
        let symbols = Symbols::open(rest)?;
        let slope = u64::from_le_bytes(rest.array()?);
        let base = u64::from_le_bytes(rest.array()?);
        let width = rest.code_width()?;
        let size = count.checked_mul(width).ok_or_else(out_of_bounds)?;
        let codes = rest.take(size)?;
        Ok(Self { slope, base, width, codes, count, symbols, bytes: rest.rest() })
    }

    pub fn len(&self) -> usize {
        self.count
    }

    fn end(&self, i: usize) -> Result<usize> {
        if i >= self.count {
            return Err(out_of_bounds());
        }
        let line = self.slope.wrapping_mul(i as u64 + 1) >> FRACTION;
        let end = line.wrapping_add(self.base).wrapping_add(code(self.codes, self.width, i));
        usize::try_from(end).map_err(|_| out_of_bounds())
    }

    fn start(&self, i: usize) -> Result<usize> {
        if i == 0 { Ok(0) } else { self.end(i - 1) }
    }

    fn stored(&self, i: usize) -> Result<&'a [u8]> {
        self.bytes.get(self.start(i)?..self.end(i)?).ok_or_else(out_of_bounds)
    }

    pub fn get(&self, i: usize) -> Result<Cow<'a, [u8]>> {
        let stored = self.stored(i)?;
        if self.symbols.is_empty() {
            return Ok(Cow::Borrowed(stored));
        }
        let mut value = Vec::new();
        self.symbols.decode(stored, &mut value)?;
        Ok(Cow::Owned(value))
    }

    /// Appends the string at `i`, which starts at `from` or later, and answers where it ends.
    pub fn append(&self, i: usize, from: usize, out: &mut Vec<u8>) -> Result<usize> {
        let (start, end) = (self.start(i)?, self.end(i)?);
        let stored = self.bytes.get(start..end).filter(|_| start >= from);
        let stored = stored.ok_or_else(out_of_bounds)?;
        if self.symbols.is_empty() {
            out.extend_from_slice(stored);
        } else {
            self.symbols.decode(stored, out)?;
        }
        Ok(end)
    }

    /// Strings that lie one after another as they are, and the end of each from their start on;
    /// `None` where they are codes.
    pub fn slice(&self, range: Range<usize>) -> Result<Option<(&'a [u8], Vec<usize>)>> {
        if !self.symbols.is_empty() {
            return Ok(None);
        }
        let start = self.start(range.start)?;
        let ends = range.map(|i| self.end(i)?.checked_sub(start).ok_or_else(out_of_bounds));
        let ends = ends.collect::<Result<Vec<_>>>()?;
        let end = start + ends.last().copied().unwrap_or(0);
        let bytes = self.bytes.get(start..end).ok_or_else(out_of_bounds)?;
        Ok(Some((bytes, ends)))
    }
}

fn out_of_bounds() -> SegmentError {
    SegmentError::new("string offset is out of bounds")
}

/// Strings as they are.
pub(super) fn put_strings<'v>(
    out: &mut Vec<u8>,
    values: impl ExactSizeIterator<Item = &'v [u8]> + Clone,
) -> Result<()> {
    // No symbols.
    out.push(0);
    put_ends_and_bytes(out, values)
}

fn put_ends_and_bytes<'v>(
    out: &mut Vec<u8>,
    values: impl ExactSizeIterator<Item = &'v [u8]> + Clone,
) -> Result<()> {
    let total: u64 = values.clone().map(|value| value.len() as u64).sum();
    if total > u64::from(u32::MAX) {
        return Err(SegmentError::new("block of more than 4 GiB"));
    }
    let slope = (total << FRACTION).checked_div(values.len() as u64).unwrap_or(0);
    let mut end = 0i64;
    let residuals: Vec<i64> = (1..)
        .zip(values.clone())
        .map(|(place, value)| {
            end += value.len() as i64;
            end - (slope.wrapping_mul(place) >> FRACTION) as i64
        })
        .collect();
    let base = residuals.iter().copied().min().unwrap_or(0);
    let most = residuals.iter().copied().max().unwrap_or(0);
    let width = code_width((most - base) as u64);
    out.extend_from_slice(&slope.to_le_bytes());
    out.extend_from_slice(&base.to_le_bytes());
    out.push(width as u8);
    for residual in residuals {
        out.extend_from_slice(&((residual - base) as u64).to_le_bytes()[..width]);
    }
    for value in values {
        out.extend_from_slice(value);
    }
    Ok(())
}

/// What the codes of strings stand for.
#[derive(Clone, Copy, Debug)]
struct Symbols<'a> {
    lengths: &'a [u8],
    symbols: &'a [[u8; SYMBOL]],
}

impl<'a> Symbols<'a> {
    fn open(rest: &mut Cursor<'a>) -> Result<Self> {
        let count = usize::from(rest.array::<1>()?[0]);
        let lengths = rest.take(count)?;
        if lengths.iter().any(|length| usize::from(*length) > SYMBOL) {
            return Err(SegmentError::new("a symbol is too long"));
        }
        let (symbols, _) = rest.take(count * SYMBOL)?.as_chunks();
        Ok(Self { lengths, symbols })
    }

    fn is_empty(&self) -> bool {
        self.lengths.is_empty()
    }

    /// Appends the string of these codes.
    fn decode(&self, codes: &[u8], out: &mut Vec<u8>) -> Result<()> {
        let mut codes = codes.iter();
        while let Some(&code) = codes.next() {
            let place = usize::from(code);
            if let (Some(symbol), Some(length)) = (self.symbols.get(place), self.lengths.get(place))
            {
                // A store of one width, and then the end, is faster than a copy of any length.
                let end = out.len() + usize::from(*length);
                out.extend_from_slice(symbol);
                out.truncate(end);
            } else if code == ESCAPE {
                out.push(*codes.next().ok_or_else(|| SegmentError::new("codes end early"))?);
            } else {
                return Err(SegmentError::new("a code has no symbol"));
            }
        }
        Ok(())
    }
}

/// The same, packed where symbols save a quarter.
pub(super) fn put_packed(out: &mut Vec<u8>, values: &[&[u8]]) -> Result<()> {
    if put_symbols(out, values)? { Ok(()) } else { put_strings(out, values.iter().copied()) }
}

/// `false`, with nothing written, where symbols do not save a quarter.
fn put_symbols(out: &mut Vec<u8>, values: &[&[u8]]) -> Result<bool> {
    let size = |values: &[&[u8]]| values.iter().map(|value| value.len()).sum::<usize>();
    let pays = |packed: usize, bytes: usize| packed * 4 <= bytes * 3;
    let bytes = size(values);
    if bytes < FEW_BYTES {
        return Ok(false);
    }
    let sample: Vec<&[u8]> = values.iter().step_by(SAMPLE).copied().collect();
    // It samples what it is given by itself.
    let compressor = Compressor::train(&values.to_vec());
    let packed = sample.iter().map(|value| compressor.compress(value).len()).sum::<usize>();
    if !pays(packed, size(&sample)) {
        return Ok(false);
    }
    let packed: Vec<Vec<u8>> = values.iter().map(|value| compressor.compress(value)).collect();
    let table = compressor.symbol_table();
    let head = 1 + table.len() * (1 + SYMBOL);
    if !pays(head + packed.iter().map(Vec::len).sum::<usize>(), bytes) {
        return Ok(false);
    }
    out.push(table.len() as u8);
    out.extend_from_slice(compressor.symbol_lengths());
    for symbol in table {
        out.extend_from_slice(&symbol.to_u64().to_le_bytes());
    }
    put_ends_and_bytes(out, packed.iter().map(Vec::as_slice))?;
    Ok(true)
}
