//! Rows as bytes: how the write-ahead log and the delta hold a row.
//!
//! ```text
//! +-------------------+------------------+----------------------------+-------------+
//! | varint: version   | null bitmap      | slots, one per column      | tail        |
//! | of the shape that | 1 bit a column,  | fixed width: the value, LE | bytes of    |
//! | wrote the row     | set = NULL       | variable: u32 end in tail  | var. values |
//! +-------------------+------------------+----------------------------+-------------+
//! ```
//!
//! Every slot's place follows from the [`Layout`] alone, so one column is read without looking at
//! the others. A row names the shape version that wrote it, and [`Layouts`] keeps the columns of
//! every version that rows may have: a dropped column is skipped, a column added later reads as
//! its `missing` value, and nothing is rewritten by either.
//!
//! Fixed-width values are the little-endian bytes that Arrow holds, so that encoding from and
//! decoding to Arrow is copying. See [`value`] for the form of each type.
//!
//! Bytes are never trusted: a row that does not fit its layout is a [`RowError`].

mod builder;
mod decode;
mod encode;
mod layout;
pub mod source;
pub mod value;

pub use builder::ColumnBuilder;
pub use decode::{RowBatchBuilder, RowDecoder};
pub use encode::RowEncoder;
pub use layout::{Layout, Layouts};
pub use value::{Physical, decode_value, encode_value};

#[cfg(test)]
mod tests;

/// Why a row cannot be encoded or decoded.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RowError {
    #[error("row bytes end early")]
    Truncated,
    #[error("row was written by shape version {0}, which is not known")]
    UnknownLayout(u64),
    #[error("value does not fit its column type {0}")]
    Mismatch(String),
    #[error("row holds {0} columns, its table has {1}")]
    ColumnCount(usize, usize),
    #[error("value of {0} bytes is too long")]
    TooLong(usize),
    #[error("string is not valid UTF-8")]
    Utf8,
    #[error("{0}")]
    Malformed(String),
}

/// Appends `n` as LEB128.
pub fn put_varint(out: &mut Vec<u8>, mut n: u64) {
    while n >= 0x80 {
        out.push((n as u8) | 0x80);
        n >>= 7;
    }
    out.push(n as u8);
}

/// Reads a LEB128 number from the front of `bytes` and moves past it.
pub fn take_varint(bytes: &mut &[u8]) -> Result<u64, RowError> {
    let mut n = 0u64;
    for shift in (0..64).step_by(7) {
        let (&byte, rest) = bytes.split_first().ok_or(RowError::Truncated)?;
        *bytes = rest;
        let bits = u64::from(byte & 0x7f);
        if shift == 63 && bits > 1 {
            break;
        }
        n |= bits << shift;
        if byte & 0x80 == 0 {
            return Ok(n);
        }
    }
    Err(RowError::Malformed("number is longer than 64 bits".into()))
}
