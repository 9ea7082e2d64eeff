//! COPY's binary format: a signature, rows of counted fields, and a trailer.
//!
//! ```text
//! "PGCOPY\n\xff\r\n\0" | i32 flags | i32 length, extension | row* | i16 -1
//! row = i16 count | (i32 length, or -1 for NULL | bytes)*
//! ```

use std::ops::Range;

use satsuma_common::{SqlError, SqlResult, SqlState};

pub const SIGNATURE: &[u8; 11] = b"PGCOPY\n\xff\r\n\0";
/// Rows with oids, as PostgreSQL wrote them before version 12.
const WITH_OIDS: u32 = 1 << 16;
/// Flags that a reader must know.
const CRITICAL_FLAGS: u32 = 0xffff_0000;
/// Longest field, as PostgreSQL's own limit for a value.
const MAX_FIELD: usize = (1 << 30) - 2;

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

/// One row.
#[derive(Debug, Default)]
pub struct Row {
    /// Fields as places in [`BinaryRows::bytes`]; `None` is NULL.
    pub fields: Vec<Option<Range<usize>>>,
    /// What is wrong with the field that would come next. The fields before it come first, also
    /// with what is wrong with their values.
    pub problem: Option<SqlError>,
}

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

    pub fn has_header(&self) -> bool {
        self.has_header
    }

    /// Whether all of the header is here and right.
    pub fn read_header(&mut self) -> SqlResult<bool> {
        if self.has_header {
            return Ok(true);
        }
        let wait = |problem: &str| if self.ended { Err(malformed(problem)) } else { Ok(false) };
        let start = &self.buffer[..self.buffer.len().min(SIGNATURE.len())];
        if !SIGNATURE.starts_with(start) {
            return Err(malformed("COPY file signature not recognized"));
        }
        if start.len() < SIGNATURE.len() {
            return wait("COPY file signature not recognized");
        }
        let Some(flags) = self.i32_at(SIGNATURE.len()) else {
            return wait("invalid COPY file header (missing flags)");
        };
        if flags.cast_unsigned() & WITH_OIDS != 0 {
            return Err(malformed("invalid COPY file header (WITH OIDS)"));
        }
        if flags.cast_unsigned() & CRITICAL_FLAGS != 0 {
            return Err(malformed("unrecognized critical flags in COPY file header"));
        }
        let missing_length = "invalid COPY file header (missing length)";
        let Some(extension) = self.i32_at(SIGNATURE.len() + 4) else { return wait(missing_length) };
        let extension = usize::try_from(extension).map_err(|_| malformed(missing_length))?;
        let end = SIGNATURE.len() + 8 + extension;
        if self.buffer.len() < end {
            return wait("invalid COPY file header (wrong length)");
        }
        self.at = end;
        self.has_header = true;
        Ok(true)
    }

    /// The next row, when all of it is here. Its places hold until the next [`Self::push`]. An
    /// end where a row would begin is as good as a trailer.
    pub fn next_row(&mut self, columns: usize) -> SqlResult<Option<Row>> {
        if self.is_complete {
            if self.at < self.buffer.len() {
                return Err(malformed("received copy data after EOF marker"));
            }
            return Ok(None);
        }
        let Some(count) = self.i16_at(self.at) else { return Ok(None) };
        if count == -1 {
            self.is_complete = true;
            self.at += 2;
            return self.next_row(columns);
        }
        if usize::try_from(count) != Ok(columns) {
            return Err(malformed(format!("row field count is {count}, expected {columns}")));
        }
        let mut at = self.at + 2;
        let mut row = Row::default();
        while row.fields.len() < columns {
            match self.field_at(at) {
                Ok(Some((field, end))) => {
                    row.fields.push(field);
                    at = end;
                }
                Ok(None) if !self.ended => return Ok(None),
                Ok(None) => {
                    row.problem = Some(malformed("unexpected EOF in COPY data"));
                    return Ok(Some(row));
                }
                Err(error) => {
                    row.problem = Some(error);
                    return Ok(Some(row));
                }
            }
        }
        self.at = at;
        Ok(Some(row))
    }

    /// A field and where it ends, when all of it is here.
    fn field_at(&self, at: usize) -> SqlResult<Option<(Option<Range<usize>>, usize)>> {
        let Some(length) = self.i32_at(at) else { return Ok(None) };
        let start = at + 4;
        if length == -1 {
            return Ok(Some((None, start)));
        }
        let length = usize::try_from(length).map_err(|_| malformed("invalid field size"))?;
        if length > MAX_FIELD {
            let problem = "Cannot enlarge string buffer containing 0 bytes by";
            return Err(SqlError::new(SqlState::PROGRAM_LIMIT_EXCEEDED, "out of memory")
                .detail(format!("{problem} {length} more bytes.")));
        }
        let end = start + length;
        Ok((self.buffer.len() >= end).then_some((Some(start..end), end)))
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
            if rows.read_header()? {
                take(&mut rows, &mut found)?;
            }
        }
        rows.end();
        rows.read_header()?;
        take(&mut rows, &mut found)?;
        Ok(found)
    }

    fn take(rows: &mut BinaryRows, found: &mut Vec<Option<Vec<u8>>>) -> SqlResult<()> {
        while let Some(row) = rows.next_row(1)? {
            if let Some(problem) = row.problem {
                return Err(problem);
            }
            found.push(row.fields[0].clone().map(|at| rows.bytes()[at].to_vec()));
        }
        Ok(())
    }

    #[test]
    fn rows_survive_every_cut() {
        for chunk in 1..40 {
            assert_eq!(read(&file(), chunk).unwrap(), [Some(b"one".to_vec()), None]);
        }
    }

    #[test]
    fn what_is_wrong_is_said() {
        let with_header = |flags: u32, rest: &[u8]| {
            let mut bytes = SIGNATURE.to_vec();
            bytes.extend_from_slice(&flags.to_be_bytes());
            bytes.extend_from_slice(rest);
            bytes
        };
        let extended = |length: i32| with_header(0, &length.to_be_bytes());
        let row = |count: i16, rest: &[u8]| {
            let mut bytes = header();
            bytes.extend_from_slice(&count.to_be_bytes());
            bytes.extend_from_slice(rest);
            bytes
        };
        let mut after = file();
        after.push(b'x');
        for (bytes, message) in [
            (b"1,2\n".to_vec(), "COPY file signature not recognized"),
            (SIGNATURE[..5].to_vec(), "COPY file signature not recognized"),
            (vec![], "COPY file signature not recognized"),
            (SIGNATURE.to_vec(), "invalid COPY file header (missing flags)"),
            (with_header(WITH_OIDS, &[0; 4]), "invalid COPY file header (WITH OIDS)"),
            (with_header(1 << 20, &[0; 4]), "unrecognized critical flags in COPY file header"),
            (with_header(0, &[]), "invalid COPY file header (missing length)"),
            (extended(-1), "invalid COPY file header (missing length)"),
            (extended(9), "invalid COPY file header (wrong length)"),
            (file()[..24].to_vec(), "unexpected EOF in COPY data"),
            (row(2, &[]), "row field count is 2, expected 1"),
            (row(1, &i32::MIN.to_be_bytes()), "invalid field size"),
            (row(1, &i32::MAX.to_be_bytes()), "out of memory"),
            (after, "received copy data after EOF marker"),
        ] {
            for chunk in [1, 1000] {
                assert_eq!(read(&bytes, chunk).unwrap_err().message(), message, "{bytes:?}");
            }
        }
    }

    #[test]
    fn the_trailer_may_be_missing() {
        for rest in [&b""[..], b"\0"] {
            let bytes = [&header(), rest].concat();
            assert_eq!(read(&bytes, 1000).unwrap(), []);
        }
    }
}
