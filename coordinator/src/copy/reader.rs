//! COPY FROM: bytes in, typed batches out.

use std::ops::Range;
use std::sync::Arc;

use datafusion::arrow::array::{RecordBatch, UInt32Array};
use datafusion::arrow::datatypes::{Schema, SchemaRef};
use satsuma_common::arrow_types;
use satsuma_common::{SqlError, SqlResult, SqlState, utf8};
use satsuma_sql::bound::{CopyFormat, CopyHeader, CopyOptions, OutputColumn};

use super::binary::BinaryRows;
use super::fields::{Field, Fields};
use super::lines::{Line, LineReader, Quoting};
use crate::value_io::{TextSettings, ValueBuilder, parse_binary};

/// A batch is handed on at this many rows or bytes of input, whichever comes first.
const BATCH_ROWS: usize = 32 << 10;
const BATCH_BYTES: usize = 4 << 20;
/// PostgreSQL's `MAX_COPY_DATA_DISPLAY`.
const SHOWN_BYTES: usize = 100;

pub struct CopyReader {
    table: String,
    columns: Arc<[OutputColumn]>,
    options: CopyOptions,
    settings: TextSettings,
    /// By column, for csv.
    force_not_null: Vec<bool>,
    force_null: Vec<bool>,
    schema: SchemaRef,
    lines: LineReader,
    /// In place of lines, for binary.
    binary: Option<BinaryRows>,
    fields: Fields,
    builders: Vec<ValueBuilder>,
    rows: usize,
    bytes: usize,
    /// Of each row, as far as they are small enough to tell.
    row_lines: Vec<u32>,
    header_pending: bool,
    ended: bool,
}

impl CopyReader {
    pub fn new(
        table: &str,
        columns: Arc<[OutputColumn]>,
        options: &CopyOptions,
        settings: TextSettings,
    ) -> SqlResult<Self> {
        let quoting = match options.format {
            CopyFormat::Csv => Quoting::Csv { quote: options.quote, escape: options.escape },
            CopyFormat::Text | CopyFormat::Binary => Quoting::Text,
        };
        let named = |names: &[String]| -> Vec<bool> {
            columns.iter().map(|column| names.contains(&column.name)).collect()
        };
        let fields: Vec<_> = columns
            .iter()
            .map(|column| arrow_types::field(&column.name, &column.ty, true))
            .collect();
        let mut reader = Self {
            table: table.to_owned(),
            force_not_null: named(&options.force_not_null),
            force_null: named(&options.force_null),
            schema: Arc::new(Schema::new(fields)),
            lines: LineReader::new(quoting),
            binary: (options.format == CopyFormat::Binary).then(BinaryRows::default),
            fields: Fields::default(),
            builders: Vec::new(),
            rows: 0,
            bytes: 0,
            row_lines: Vec::new(),
            header_pending: options.header != CopyHeader::No,
            ended: false,
            columns,
            options: options.clone(),
            settings,
        };
        reader.builders = reader.new_builders();
        Ok(reader)
    }

    fn new_builders(&self) -> Vec<ValueBuilder> {
        self.columns.iter().map(|column| ValueBuilder::new(&column.ty, 1024)).collect()
    }

    /// More of the file. Call [`CopyReader::next_batch`] until it gives none before the next.
    pub fn push(&mut self, chunk: &[u8]) {
        match &mut self.binary {
            Some(binary) => binary.push(chunk),
            None => self.lines.push(chunk),
        }
    }

    /// The file is complete.
    pub fn end(&mut self) {
        self.ended = true;
        match &mut self.binary {
            Some(binary) => binary.end(),
            None => self.lines.end(),
        }
    }

    /// A full batch (at the end, what is left) with the line of each row.
    pub fn next_batch(&mut self) -> SqlResult<Option<(RecordBatch, UInt32Array)>> {
        if self.binary.is_some() {
            return self.next_binary_batch();
        }
        loop {
            match self.lines.next_line() {
                Err(error) => return Err(self.with_line(error, None)),
                Ok(Line::NeedMore) => return Ok(None),
                Ok(Line::End) => {
                    return if self.ended && self.rows > 0 {
                        self.take().map(Some)
                    } else {
                        Ok(None)
                    };
                }
                Ok(Line::Found(range)) if self.header_pending => {
                    self.header_pending = false;
                    self.check_bytes(&range)?;
                    if self.options.header == CopyHeader::Match {
                        self.check_header(range)?;
                    }
                }
                Ok(Line::Found(range)) => {
                    self.row(range)?;
                    if self.rows >= BATCH_ROWS || self.bytes >= BATCH_BYTES {
                        return self.take().map(Some);
                    }
                }
            }
        }
    }

    fn next_binary_batch(&mut self) -> SqlResult<Option<(RecordBatch, UInt32Array)>> {
        while let Some(binary) = &mut self.binary {
            if !binary.read_header()? {
                return Ok(None);
            }
            let line = self.lines.line + 1;
            let place = || format!("COPY {}, line {line}", self.table);
            let row = binary.next_row(self.columns.len());
            let Some(row) = row.map_err(|error| error.within(place()))? else {
                let finished = self.ended && self.rows > 0;
                return if finished { self.take().map(Some) } else { Ok(None) };
            };
            self.lines.line = line;
            let in_column =
                |index: usize| format!("{}, column {}", place(), self.columns[index].name);
            for (index, field) in row.fields.iter().enumerate() {
                let builder = &mut self.builders[index];
                let Some(field) = field else {
                    builder.append_null();
                    continue;
                };
                let raw = &binary.bytes()[field.clone()];
                self.bytes += raw.len();
                let value = parse_binary(raw, &self.columns[index].ty);
                value
                    .and_then(|value| builder.append(&value))
                    .map_err(|error| error.within(in_column(index)))?;
            }
            if let Some(error) = row.problem {
                return Err(error.within(in_column(row.fields.len())));
            }
            self.row_is_complete();
            if self.rows >= BATCH_ROWS || self.bytes >= BATCH_BYTES {
                return self.take().map(Some);
            }
        }
        Ok(None)
    }

    fn take(&mut self) -> SqlResult<(RecordBatch, UInt32Array)> {
        let builders = std::mem::take(&mut self.builders);
        let arrays =
            builders.into_iter().map(ValueBuilder::finish).collect::<SqlResult<Vec<_>>>()?;
        self.builders = self.new_builders();
        let options = datafusion::arrow::array::RecordBatchOptions::new()
            .with_row_count(Some(std::mem::take(&mut self.rows)));
        self.bytes = 0;
        let batch = RecordBatch::try_new_with_options(self.schema.clone(), arrays, &options)
            .map_err(|error| SqlError::internal(format!("COPY made a malformed batch: {error}")))?;
        Ok((batch, std::mem::take(&mut self.row_lines).into()))
    }

    fn row_is_complete(&mut self) {
        self.rows += 1;
        self.row_lines.push(u32::try_from(self.lines.line).unwrap_or(0));
    }

    fn row(&mut self, range: Range<usize>) -> SqlResult<()> {
        self.check_bytes(&range)?;
        self.split(&range)?;
        let line = &self.lines.bytes()[range.clone()];
        // A table without columns takes empty lines.
        let empty = self.columns.is_empty() && line.is_empty();
        let count = if empty { 0 } else { self.fields.fields.len() };
        if count > self.columns.len() {
            let error = malformed("extra data after last expected column");
            return Err(self.with_line(error, Some(&printable(line))));
        }
        self.bytes += line.len();
        for index in 0..self.columns.len() {
            if index == count {
                return Err(self.missing(index, &range));
            }
            self.value(index, range.clone())?;
        }
        self.row_is_complete();
        Ok(())
    }

    /// A line as a whole. PostgreSQL checks what it reads before it knows where lines end: a
    /// sequence that is cut off is shown with what follows.
    fn check_bytes(&self, range: &Range<usize>) -> SqlResult<()> {
        let bytes = self.lines.bytes();
        let line = &bytes[range.clone()];
        let sound = match std::str::from_utf8(line) {
            Ok(_) => line,
            Err(error) => &line[..error.valid_up_to()],
        };
        let wrong = memchr::memchr(0, sound).or((sound.len() < line.len()).then_some(sound.len()));
        match wrong {
            None => Ok(()),
            Some(at) => {
                let error = utf8::wrong_sequence(&bytes[range.start + at..]);
                Err(self.with_line(error, None))
            }
        }
    }

    /// Splits a line, and checks the bytes that its escapes made.
    fn split(&mut self, range: &Range<usize>) -> SqlResult<()> {
        let line = &self.lines.bytes()[range.clone()];
        match self.options.format {
            CopyFormat::Csv => self.fields.split_csv(line, &self.options),
            CopyFormat::Text | CopyFormat::Binary => self.fields.split_text(line, &self.options),
        }
        let problem = if self.fields.unterminated {
            Some(malformed("unterminated CSV quoted field"))
        } else if self.fields.needs_check {
            let fields = self.fields.fields.iter();
            fields
                .map(|field| self.fields.bytes(field, line))
                .find_map(|raw| utf8::check(raw).err())
        } else {
            None
        };
        match problem {
            None => Ok(()),
            Some(error) => Err(self.with_line(error, Some(&printable(line)))),
        }
    }

    fn missing(&self, index: usize, range: &Range<usize>) -> SqlError {
        let name = &self.columns[index].name;
        let shown = printable(&self.lines.bytes()[range.clone()]);
        self.with_line(malformed(format!("missing data for column \"{name}\"")), Some(&shown))
    }

    fn value(&mut self, index: usize, range: Range<usize>) -> SqlResult<()> {
        let field = self.fields.fields[index];
        if self.is_null(&field, index) {
            self.builders[index].append_null();
            return Ok(());
        }
        let line = &self.lines.bytes()[range];
        let raw = self.fields.bytes(&field, line);
        // Line and escapes were checked; a cut at an ASCII delimiter keeps text sound.
        let text = std::str::from_utf8(raw).map_err(|_| utf8::wrong_sequence(raw))?;
        if let Err(error) = self.builders[index].append_text(text, &self.settings) {
            let shown = printable(raw);
            let context = format!(
                "COPY {}, line {}, column {}: \"{shown}\"",
                self.table, self.lines.line, self.columns[index].name
            );
            return Err(error.within(context));
        }
        Ok(())
    }

    fn is_null(&self, field: &Field, index: usize) -> bool {
        if !field.is_null {
            return false;
        }
        if field.quoted { self.force_null[index] } else { !self.force_not_null[index] }
    }

    /// HEADER MATCH: the first line must name the columns.
    fn check_header(&mut self, range: Range<usize>) -> SqlResult<()> {
        self.split(&range)?;
        let line = &self.lines.bytes()[range];
        let (found, expected) = (self.fields.fields.len(), self.columns.len());
        let complaint = if found != expected {
            Some(format!("wrong number of fields in header line: got {found}, expected {expected}"))
        } else {
            self.fields.fields.iter().zip(self.columns.iter()).enumerate().find_map(
                |(index, (field, column))| {
                    let name = String::from_utf8_lossy(self.fields.bytes(field, line));
                    if field.is_null && !field.quoted {
                        Some(format!(
                            "column name mismatch in header line field {}: got null value (\"{}\"), expected \"{}\"",
                            index + 1, self.options.null, column.name
                        ))
                    } else if name != column.name.as_str() {
                        Some(format!(
                            "column name mismatch in header line field {}: got \"{name}\", expected \"{}\"",
                            index + 1, column.name
                        ))
                    } else {
                        None
                    }
                },
            )
        };
        match complaint {
            None => Ok(()),
            Some(message) => Err(self.with_line(malformed(message), Some(&printable(line)))),
        }
    }

    /// What goes wrong while the next line is waited for.
    pub fn in_next_line(&self, error: SqlError) -> SqlError {
        if self.binary.as_ref().is_some_and(|binary| !binary.has_header()) {
            return error;
        }
        error.within(format!("COPY {}, line {}", self.table, self.lines.line + 1))
    }

    fn with_line(&self, error: SqlError, shown: Option<&str>) -> SqlError {
        let place = format!("COPY {}, line {}", self.table, self.lines.line);
        error.within(match shown {
            Some(shown) => format!("{place}: \"{shown}\""),
            None => place,
        })
    }
}

fn malformed(message: impl Into<String>) -> SqlError {
    SqlError::new(SqlState::BAD_COPY_FILE_FORMAT, message)
}

/// Data as an error context shows it: its beginning.
fn printable(raw: &[u8]) -> String {
    let text = String::from_utf8_lossy(raw);
    if text.len() <= SHOWN_BYTES {
        return text.into_owned();
    }
    let end = (0..=SHOWN_BYTES).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
    format!("{}...", &text[..end])
}

#[cfg(test)]
mod tests {
    use super::super::{csv_options, text_options};
    use super::*;
    use datafusion::arrow::array::AsArray;
    use datafusion::arrow::datatypes::Int32Type;
    use satsuma_common::PgType;

    fn columns() -> Arc<[OutputColumn]> {
        let column = |name: &str, ty| OutputColumn::new(name, ty);
        Arc::new([column("a", PgType::Int4), column("b", PgType::Text)])
    }

    fn read(options: &CopyOptions, input: &[u8]) -> SqlResult<Vec<(Option<i32>, Option<String>)>> {
        let settings = TextSettings::default();
        let mut reader = CopyReader::new("t", columns(), options, settings)?;
        let mut rows = vec![];
        let mut take = |reader: &mut CopyReader| -> SqlResult<()> {
            while let Some((batch, _)) = reader.next_batch()? {
                let a = batch.column(0).as_primitive::<Int32Type>();
                let b = batch.column(1).as_string_view();
                rows.extend(a.iter().zip(b.iter().map(|b| b.map(str::to_owned))));
            }
            Ok(())
        };
        for chunk in input.chunks(3) {
            reader.push(chunk);
            take(&mut reader)?;
        }
        reader.end();
        take(&mut reader)?;
        Ok(rows)
    }

    #[test]
    fn rows_become_batches() {
        let rows = read(&text_options(), b"1\tx\n2\t\\N\n\\.\n").unwrap();
        assert_eq!(rows, [(Some(1), Some("x".into())), (Some(2), None)]);
        let options = CopyOptions { header: CopyHeader::Yes, ..csv_options() };
        let rows = read(&options, b"a,b\n,\"x\ny\"\n3,\"\"").unwrap();
        assert_eq!(rows, [(None, Some("x\ny".into())), (Some(3), Some(String::new()))]);
    }

    #[test]
    fn forced_columns_turn_null_around() {
        let options = CopyOptions {
            force_null: vec!["a".into()],
            force_not_null: vec!["b".into()],
            ..csv_options()
        };
        assert_eq!(read(&options, b"\"\",\n").unwrap(), [(None, Some(String::new()))]);
    }

    /// Texts and contexts as PostgreSQL 15 gives them.
    #[test]
    fn errors_name_line_and_column() {
        let csv = csv_options();
        let header = CopyOptions { header: CopyHeader::Match, ..csv_options() };
        for (options, input, state, message, context) in [
            (
                &csv,
                &b"1,x\nabc,y\n"[..],
                "22P02",
                "invalid input syntax for type integer: \"abc\"",
                "COPY t, line 2, column a: \"abc\"",
            ),
            // Newlines in quotes count once a line has ended.
            (
                &csv,
                b"1,\"x\ny\"\nabc,y\n",
                "22P02",
                "invalid input syntax for type integer: \"abc\"",
                "COPY t, line 2, column a: \"abc\"",
            ),
            (
                &csv,
                b"1,\"x\ny\"\n2,\"x\ny\"\nabc,y\n",
                "22P02",
                "invalid input syntax for type integer: \"abc\"",
                "COPY t, line 4, column a: \"abc\"",
            ),
            (&csv, b"1\n", "22P04", "missing data for column \"b\"", "COPY t, line 1: \"1\""),
            (
                &csv,
                b"1,2,3\n",
                "22P04",
                "extra data after last expected column",
                "COPY t, line 1: \"1,2,3\"",
            ),
            (
                &csv,
                b"1,\"x\ny",
                "22P04",
                "unterminated CSV quoted field",
                "COPY t, line 1: \"1,\"x\ny\"",
            ),
            (
                &csv,
                b"1,\xff\n",
                "22021",
                "invalid byte sequence for encoding \"UTF8\": 0xff",
                "COPY t, line 1",
            ),
            (
                &header,
                b"a,c\n",
                "22P04",
                "column name mismatch in header line field 2: got \"c\", expected \"b\"",
                "COPY t, line 1: \"a,c\"",
            ),
        ] {
            let error = read(options, input).unwrap_err();
            assert_eq!(error.state().as_str(), state);
            assert_eq!(error.message(), message);
            assert_eq!(error.fields().context.as_deref(), Some(context));
        }
    }

    #[test]
    fn large_input_comes_in_bounded_batches() {
        let mut reader =
            CopyReader::new("t", columns(), &text_options(), TextSettings::default()).unwrap();
        let mut input = Vec::new();
        for row in 0..2 * BATCH_ROWS + 3000 {
            input.extend_from_slice(format!("{row}\tx\n").as_bytes());
        }
        reader.push(&input);
        let (first, lines) = reader.next_batch().unwrap().unwrap();
        assert_eq!((first.num_rows(), lines.len(), lines.value(1)), (BATCH_ROWS, BATCH_ROWS, 2));
        let (_, lines) = reader.next_batch().unwrap().unwrap();
        assert_eq!(lines.value(0), 1 + BATCH_ROWS as u32);
        assert!(reader.next_batch().unwrap().is_none());
        reader.end();
        let (rest, _) = reader.next_batch().unwrap().unwrap();
        assert_eq!(rest.num_rows(), 3000);
        assert!(reader.next_batch().unwrap().is_none());
    }
}
