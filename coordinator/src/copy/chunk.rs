//! Whole lines of a file, taken apart into values on any thread.

use std::ops::Range;

use satsuma_common::{SqlResult, utf8};
use satsuma_sql::bound::CopyFormat;

use super::batch::{BatchBuilder, Piece};
use super::fields::{Field, Fields, Place};
use super::format::{Format, malformed};

/// Lines that stand in a buffer.
#[derive(Default)]
pub struct Chunk {
    pub bytes: Vec<u8>,
    pub lines: Vec<Numbered>,
}

/// A line without its end, and its number in the file.
pub struct Numbered {
    pub range: Range<usize>,
    pub number: u64,
}

impl Chunk {
    /// The rows before the first line in which something is wrong.
    pub fn parse(self, format: &Format) -> SqlResult<Piece> {
        let mut rows = BatchBuilder::new(format, self.lines.len());
        let failed = self.parse_into(&mut rows, format).err();
        let (batch, lines) = rows.finish(format)?;
        Ok(Piece { batch, lines, failed, source: self })
    }

    fn parse_into(&self, rows: &mut BatchBuilder, format: &Format) -> SqlResult<()> {
        let mut fields = Fields::default();
        // All at once is faster; where something is wrong, the first line with it is to be told.
        let sound = utf8::check(&self.bytes).ok();
        for line in &self.lines {
            let line = LineOf { format, bytes: &self.bytes, line };
            if sound.is_none() {
                line.check_bytes()?;
            }
            line.append(sound, &mut fields, rows)?;
        }
        Ok(())
    }

    /// A line as it stands in the file.
    pub fn line(&self, index: usize) -> Option<&[u8]> {
        self.lines.get(index).map(|line| &self.bytes[line.range.clone()])
    }
}

/// One line among others.
pub struct LineOf<'a> {
    pub format: &'a Format,
    pub bytes: &'a [u8],
    pub line: &'a Numbered,
}

impl<'a> LineOf<'a> {
    fn line(&self) -> &'a [u8] {
        &self.bytes[self.line.range.clone()]
    }

    /// Adds the line's values. `sound` is the whole buffer, where all of it is sound.
    fn append(
        &self,
        sound: Option<&str>,
        fields: &mut Fields,
        rows: &mut BatchBuilder,
    ) -> SqlResult<()> {
        self.split(fields)?;
        let (format, line, number) = (self.format, self.line(), self.line.number);
        // A table without columns takes empty lines.
        let empty = format.columns.is_empty() && line.is_empty();
        let count = if empty { 0 } else { fields.fields.len() };
        if count > format.columns.len() {
            let error = malformed("extra data after last expected column");
            return Err(format.in_line(number, error, Some(line)));
        }
        for (index, builder) in rows.values.iter_mut().enumerate() {
            let Some(field) = fields.fields.get(index).filter(|_| index < count) else {
                let name = &format.columns[index].name;
                let error = malformed(format!("missing data for column \"{name}\""));
                return Err(format.in_line(number, error, Some(line)));
            };
            if self.is_null(field, index) {
                builder.append_null();
                continue;
            }
            let raw = fields.bytes(field, line);
            let start = self.line.range.start;
            let text = match (field.place, sound) {
                (Place::Line, Some(all)) => all.get(start + field.start..start + field.end),
                _ => std::str::from_utf8(raw).ok(),
            };
            // Line and escapes were checked; a cut at an ASCII delimiter keeps text sound.
            let text = text.ok_or_else(|| utf8::wrong_sequence(raw))?;
            builder
                .append_text(text, &format.settings)
                .map_err(|error| format.in_column(number, index, error, Some(raw)))?;
        }
        rows.end_row(number);
        Ok(())
    }

    /// A line as a whole. PostgreSQL checks what it reads before it knows where lines end: a
    /// sequence that is cut off is shown with what follows.
    pub fn check_bytes(&self) -> SqlResult<()> {
        let line = self.line();
        let sound = match std::str::from_utf8(line) {
            Ok(_) => line,
            Err(error) => &line[..error.valid_up_to()],
        };
        let wrong = memchr::memchr(0, sound).or((sound.len() < line.len()).then_some(sound.len()));
        match wrong {
            None => Ok(()),
            Some(at) => {
                let error = utf8::wrong_sequence(&self.bytes[self.line.range.start + at..]);
                Err(self.format.in_line(self.line.number, error, None))
            }
        }
    }

    /// Splits the line, and checks the bytes that its escapes made.
    pub fn split(&self, fields: &mut Fields) -> SqlResult<()> {
        let (line, options) = (self.line(), &self.format.options);
        match options.format {
            CopyFormat::Csv => fields.split_csv(line, options),
            CopyFormat::Text | CopyFormat::Binary => fields.split_text(line, options),
        }
        let problem = if fields.unterminated {
            Some(malformed("unterminated CSV quoted field"))
        } else if fields.needs_check {
            let raw = fields.fields.iter().map(|field| fields.bytes(field, line));
            raw.map(utf8::check).find_map(Result::err)
        } else {
            None
        };
        match problem {
            None => Ok(()),
            Some(error) => Err(self.format.in_line(self.line.number, error, Some(line))),
        }
    }

    fn is_null(&self, field: &Field, index: usize) -> bool {
        if !field.is_null {
            return false;
        }
        let format = self.format;
        if field.quoted { format.force_null[index] } else { !format.force_not_null[index] }
    }

    /// HEADER MATCH: the first line must name the columns.
    pub fn check_header(&self) -> SqlResult<()> {
        let mut fields = Fields::default();
        self.split(&mut fields)?;
        let (line, columns) = (self.line(), &self.format.columns);
        let (found, expected) = (fields.fields.len(), columns.len());
        let mismatch =
            |number: usize| format!("column name mismatch in header line field {number}");
        let complaint = if found != expected {
            Some(format!("wrong number of fields in header line: got {found}, expected {expected}"))
        } else {
            fields.fields.iter().zip(columns.iter()).zip(1..).find_map(
                |((field, column), number)| {
                    let name = String::from_utf8_lossy(fields.bytes(field, line));
                    if field.is_null && !field.quoted {
                        let null = &self.format.options.null;
                        let got =
                            format!("got null value (\"{null}\"), expected \"{}\"", column.name);
                        Some(format!("{}: {got}", mismatch(number)))
                    } else if name != column.name.as_str() {
                        let got = format!("got \"{name}\", expected \"{}\"", column.name);
                        Some(format!("{}: {got}", mismatch(number)))
                    } else {
                        None
                    }
                },
            )
        };
        match complaint {
            None => Ok(()),
            Some(message) => {
                Err(self.format.in_line(self.line.number, malformed(message), Some(line)))
            }
        }
    }
}
