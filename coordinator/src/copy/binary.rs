//! COPY's binary format: a signature, rows of counted fields, and a trailer.
//!
//! ```text
//! "PGCOPY\n\xff\r\n\0" | i32 flags | i32 length, extension | row* | i16 -1
//! row = i16 count | (i32 length, or -1 for NULL | bytes)*
//! ```

use satsuma_common::{SqlError, SqlResult, SqlState};

pub const SIGNATURE: &[u8; 11] = b"PGCOPY\n\xff\r\n\0";
/// Flags that a reader must know: rows with oids, and whatever comes later.
const CRITICAL_FLAGS: u32 = 0xffff_0000;
/// Longest field, as PostgreSQL's own limit for a value.
const MAX_FIELD: usize = 1 << 30;

/// What stands before the rows.
pub fn header() -> Vec<u8> {
    let mut header = SIGNATURE.to_vec();
    header.extend_from_slice(&[0; 8]);
    header
}

/// What stands after them.
pub fn trailer() -> Vec<u8> {
    (-1i16).to_be_bytes().to_vec()
}

/// Appends a field; `write` appends its bytes, `None` is NULL.
pub fn put_field(
    output: &mut Vec<u8>,
    write: Option<impl FnOnce(&mut Vec<u8>) -> SqlResult<()>>,
) -> SqlResult<()> {
    let at = output.len();
    output.extend_from_slice(&(-1i32).to_be_bytes());
    let Some(write) = write else { return Ok(()) };
    write(output)?;
    let length = i32::try_from(output.len() - at - 4).map_err(|_| {
        SqlError::new(SqlState::PROGRAM_LIMIT_EXCEEDED, "a value is too long for COPY")
    })?;
    output[at..at + 4].copy_from_slice(&length.to_be_bytes());
    Ok(())
}

/// Takes the format apart, however its bytes are cut into chunks.
#[derive(Debug, Default)]
pub struct BinaryRows {
    buffer: Vec<u8>,
    /// Bytes of the buffer that are done with.
    at: usize,
    has_header: bool,
    is_complete: bool,
    ended: bool,
}

/// One row's fields as places in [`BinaryRows::bytes`]; `None` is NULL.
pub type Fields = Vec<Option<std::ops::Range<usize>>>;

fn malformed(message: impl Into<String>) -> SqlError {
    SqlError::new(SqlState::BAD_COPY_FILE_FORMAT, message)
}

impl BinaryRows {
    pub fn push(&mut self, chunk: &[u8]) {
        self.buffer.drain(..self.at);
        self.at = 0;
        self.buffer.extend_from_slice(chunk);
    }

    pub fn end(&mut self) {
        self.ended = true;
    }

    pub fn bytes(&self) -> &[u8] {
        &self.buffer
    }

    /// The next row, when all of it is here. Its places hold until the next [`Self::push`].
    pub fn next_row(&mut self, columns: usize) -> SqlResult<Option<Fields>> {
        if !self.has_header {
            match self.header_end()? {
                Some(end) => {
                    self.at = end;
                    self.has_header = true;
                }
                None if self.ended => return Err(malformed("COPY file signature not recognized")),
                None => return Ok(None),
            }
        }
        if self.is_complete {
            if self.at < self.buffer.len() {
                return Err(malformed("received copy data after EOF marker"));
            }
            return Ok(None);
        }
        let Some(count) = self.i16_at(self.at) else {
            return if self.ended && self.at < self.buffer.len() {
                Err(malformed("unexpected EOF in COPY data"))
            } else {
                Ok(None)
            };
        };
        if count == -1 {
            self.is_complete = true;
            self.at += 2;
            return self.next_row(columns);
        }
        if usize::try_from(count) != Ok(columns) {
            return Err(malformed(format!("row field count is {count}, expected {columns}")));
        }
        let mut at = self.at + 2;
        let mut fields = Fields::with_capacity(columns);
        for _ in 0..columns {
            let Some(length) = self.i32_at(at) else { return self.wait() };
            at += 4;
            if length == -1 {
                fields.push(None);
                continue;
            }
            let length = usize::try_from(length)
                .ok()
                .filter(|length| *length <= MAX_FIELD)
                .ok_or_else(|| malformed("invalid field size"))?;
            if self.buffer.len() - at < length {
                return self.wait();
            }
            fields.push(Some(at..at + length));
            at += length;
        }
        self.at = at;
        Ok(Some(fields))
    }

    /// The row goes on in a later chunk, unless there is none.
    fn wait(&self) -> SqlResult<Option<Fields>> {
        if self.ended { Err(malformed("unexpected EOF in COPY data")) } else { Ok(None) }
    }

    fn header_end(&self) -> SqlResult<Option<usize>> {
        let start = &self.buffer[..self.buffer.len().min(SIGNATURE.len())];
        if !SIGNATURE.starts_with(start) {
            return Err(malformed("COPY file signature not recognized"));
        }
        let Some(flags) = self.i32_at(SIGNATURE.len()) else { return Ok(None) };
        if flags.cast_unsigned() & CRITICAL_FLAGS != 0 {
            return Err(malformed("unrecognized critical flags in COPY file header"));
        }
        let Some(extension) = self.i32_at(SIGNATURE.len() + 4) else { return Ok(None) };
        let extension = usize::try_from(extension)
            .ok()
            .filter(|length| *length <= MAX_FIELD)
            .ok_or_else(|| malformed("invalid COPY file header (missing length)"))?;
        let end = SIGNATURE.len() + 8 + extension;
        Ok((self.buffer.len() >= end).then_some(end))
    }

    fn i16_at(&self, at: usize) -> Option<i16> {
        let bytes = self.buffer.get(at..at + 2)?;
        Some(i16::from_be_bytes(bytes.try_into().ok()?))
    }

    fn i32_at(&self, at: usize) -> Option<i32> {
        let bytes = self.buffer.get(at..at + 4)?;
        Some(i32::from_be_bytes(bytes.try_into().ok()?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file() -> Vec<u8> {
        let mut bytes = header();
        for value in [Some(b"one".as_slice()), None] {
            bytes.extend_from_slice(&1i16.to_be_bytes());
            let write = value.map(|value| {
                move |output: &mut Vec<u8>| {
                    output.extend_from_slice(value);
                    Ok(())
                }
            });
            put_field(&mut bytes, write).unwrap();
        }
        bytes.extend_from_slice(&trailer());
        bytes
    }

    /// All rows of the file, pushed in chunks of this size.
    fn read(bytes: &[u8], chunk: usize) -> SqlResult<Vec<Option<Vec<u8>>>> {
        let mut rows = BinaryRows::default();
        let mut found = Vec::new();
        for chunk in bytes.chunks(chunk) {
            rows.push(chunk);
            while let Some(fields) = rows.next_row(1)? {
                found.push(fields[0].clone().map(|at| rows.bytes()[at].to_vec()));
            }
        }
        rows.end();
        while rows.next_row(1)?.is_some() {}
        Ok(found)
    }

    #[test]
    fn rows_survive_every_cut() {
        for chunk in 1..40 {
            assert_eq!(read(&file(), chunk).unwrap(), [Some(b"one".to_vec()), None]);
        }
    }

    #[test]
    fn what_is_wrong_is_said() {
        let message = |bytes: &[u8]| read(bytes, 1000).unwrap_err().message().to_owned();
        assert_eq!(message(b"1,2\n"), "COPY file signature not recognized");
        let mut short = file();
        short.truncate(24);
        assert_eq!(message(&short), "unexpected EOF in COPY data");
        let mut wide = header();
        wide.extend_from_slice(&2i16.to_be_bytes());
        assert_eq!(message(&wide), "row field count is 2, expected 1");
        let mut long = header();
        long.extend_from_slice(&1i16.to_be_bytes());
        long.extend_from_slice(&i32::MIN.to_be_bytes());
        assert_eq!(message(&long), "invalid field size");
    }
}
