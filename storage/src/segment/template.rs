//! Values of one length that agree in many of their bytes.
//!
//! ```text
//! u8:length u8:width, length * u8:constant, length * u8:source, rows * width bytes,
//! u32:count, count * u32:row, strings: the values of these rows
//! ```
//!
//! The byte at a place of a value is the constant there where its source is 255, and else the byte
//! with that number of the row. Leading bytes of keys are the same in a whole block, those between
//! two columns too, and an address repeats its network. Values of other lengths are exceptions.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::collections::BTreeMap;

use super::SegmentError;
use super::column::Cursor;
use super::strings::{Strings, put_strings};

type Result<T> = std::result::Result<T, SegmentError>;

const CONSTANT: u8 = 255;
/// At most one value of so many is an exception.
const EXCEPTIONS: usize = 8;

#[derive(Clone, Copy, Debug)]
pub(super) struct Template<'a> {
    constants: &'a [u8],
    sources: &'a [u8],
    width: usize,
    rows: &'a [u8],
    /// Little endian, ascending.
    excepted: &'a [[u8; 4]],
    exceptions: Strings<'a>,
}

impl<'a> Template<'a> {
    pub fn open(rows: usize, rest: &mut Cursor<'a>) -> Result<Self> {
        let [length, width] = rest.array()?;
        let constants = rest.take(usize::from(length))?;
        let sources = rest.take(usize::from(length))?;
        if sources.iter().any(|source| *source != CONSTANT && *source >= width) {
            return Err(SegmentError::new("a byte of values comes from nowhere"));
        }
        let width = usize::from(width);
        let own = rest.take(rows * width)?;
        let count = u32::from_le_bytes(rest.array()?) as usize;
        if count > rows {
            return Err(SegmentError::new("more exceptions than rows"));
        }
        let (excepted, _) = rest.take(count * 4)?.as_chunks();
        let exceptions = Strings::open(count, rest)?;
        Ok(Self { constants, sources, width, rows: own, excepted, exceptions })
    }

    /// The value of a row, which there must be.
    pub fn value(&self, row: usize) -> Result<Vec<u8>> {
        match self.exception(row)? {
            Some(value) => Ok(value.into_owned()),
            None => Ok(self.bytes(row).collect()),
        }
    }

    pub fn compare(&self, row: usize, to: &[u8]) -> Result<Ordering> {
        match self.exception(row)? {
            Some(value) => Ok(value[..].cmp(to)),
            None => Ok(self.bytes(row).cmp(to.iter().copied())),
        }
    }

    fn exception(&self, row: usize) -> Result<Option<Cow<'a, [u8]>>> {
        self.place(row).map(|place| self.exceptions.get(place)).transpose()
    }

    /// Which exception a row is.
    fn place(&self, row: usize) -> Option<usize> {
        self.excepted.binary_search_by_key(&row, |at| u32::from_le_bytes(*at) as usize).ok()
    }

    fn own(&self, row: usize) -> &'a [u8] {
        &self.rows[row * self.width..(row + 1) * self.width]
    }

    fn bytes(&self, row: usize) -> impl Iterator<Item = u8> + use<'a> {
        let own = self.own(row);
        self.constants.iter().zip(self.sources).map(move |(constant, source)| match *source {
            CONSTANT => *constant,
            source => own[usize::from(source)],
        })
    }

    /// The values of rows, one after another, and after each its end.
    pub fn values(
        &self,
        rows: impl ExactSizeIterator<Item = usize>,
    ) -> Result<(Vec<u8>, Vec<usize>)> {
        let moves = self.moves();
        let mut values = Vec::with_capacity(rows.len() * self.constants.len());
        let mut ends = Vec::with_capacity(rows.len());
        let mut from = 0;
        for row in rows {
            if let Some(place) = self.place(row) {
                from = self.exceptions.append(place, from, &mut values)?;
            } else {
                let (own, start) = (self.own(row), values.len());
                values.extend_from_slice(self.constants);
                for (to, from, len) in &moves {
                    let to = start + to;
                    values[to..to + len].copy_from_slice(&own[*from..from + len]);
                }
            }
            ends.push(values.len());
        }
        Ok((values, ends))
    }

    /// Which bytes of a row go where, neighbours together: (place in the value, place in the row,
    /// number of bytes).
    fn moves(&self) -> Vec<(usize, usize, usize)> {
        let mut moves: Vec<(usize, usize, usize)> = Vec::new();
        for (place, source) in self.sources.iter().enumerate() {
            let source = usize::from(*source);
            match moves.last_mut() {
                _ if source == usize::from(CONSTANT) => {}
                Some((to, from, len)) if *to + *len == place && *from + *len == source => *len += 1,
                _ => moves.push((place, source, 1)),
            }
        }
        moves
    }
}

/// `false`, with nothing written, where values are of many lengths, or long.
pub(super) fn put_template(out: &mut Vec<u8>, values: &[&[u8]]) -> Result<bool> {
    let mut lengths: BTreeMap<usize, usize> = BTreeMap::new();
    for value in values {
        *lengths.entry(value.len()).or_default() += 1;
    }
    let Some((length, regular)) = lengths.into_iter().max_by_key(|(_, count)| *count) else {
        return Ok(false);
    };
    if length >= usize::from(CONSTANT) || (values.len() - regular) * EXCEPTIONS > values.len() {
        return Ok(false);
    }
    let usual = || values.iter().filter(|value| value.len() == length);
    let first = usual().next().copied().unwrap_or_default();
    let mut places: Vec<usize> = Vec::new();
    let sources: Vec<u8> = (0..length)
        .map(|place| {
            if usual().all(|value| value[place] == first[place]) {
                return CONSTANT;
            }
            let same = |other: &usize| usual().all(|value| value[*other] == value[place]);
            let known = places.iter().position(same);
            known.unwrap_or_else(|| {
                places.push(place);
                places.len() - 1
            }) as u8
        })
        .collect();
    out.extend_from_slice(&[length as u8, places.len() as u8]);
    out.extend_from_slice(first);
    out.extend_from_slice(&sources);
    for value in values {
        let value = if value.len() == length { value } else { first };
        out.extend(places.iter().map(|place| value[*place]));
    }
    let exceptions = (0u32..).zip(values).filter(|(_, value)| value.len() != length);
    out.extend_from_slice(&((values.len() - regular) as u32).to_le_bytes());
    exceptions.clone().for_each(|(row, _)| out.extend_from_slice(&row.to_le_bytes()));
    let exceptions: Vec<&[u8]> = exceptions.map(|(_, value)| *value).collect();
    put_strings(out, exceptions.iter().copied())?;
    Ok(true)
}
