//! COPY FROM: bytes in, typed batches out.

use std::sync::Arc;

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::{Schema, SchemaRef};
use satsuma_common::arrow_types;
use satsuma_common::{SqlError, SqlResult, SqlState};
use satsuma_sql::bound::{CopyFormat, CopyHeader, CopyOptions, OutputColumn};

use super::binary::BinaryRows;
use super::fields::{Field, Fields};
use super::lines::{Line, LineReader, Quoting};
use crate::value_io::{TextSettings, ValueBuilder, parse_binary};

/// A batch is handed on at this many rows or bytes of input, whichever comes first.
const BATCH_ROWS: usize = 32 << 10;
const BATCH_BYTES: usize = 4 << 20;
/// PostgreSQL's `MAX_COPY_DATA_DISPLAY`.
const SHOWN_CHARACTERS: usize = 100;

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
    first_line: u64,
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
            first_line: 0,
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

    /// A full batch (at the end, what is left) with the line of its first row.
    pub fn next_batch(&mut self) -> SqlResult<Option<(RecordBatch, u64)>> {
        if self.binary.is_some() {
            return self.next_binary_batch();
        }
        loop {
            match self.lines.next_line() {
                Err(error) => {
                    let shown = printable(self.lines.partial());
                    return Err(self.with_line(error, Some(&shown)));
                }
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

    fn next_binary_batch(&mut self) -> SqlResult<Option<(RecordBatch, u64)>> {
        while let Some(binary) = &mut self.binary {
            self.lines.line += 1;
            let line = self.lines.line;
            let at_line =
                |error: SqlError| error.context(format!("COPY {}, line {line}", self.table));
            let Some(fields) = binary.next_row(self.columns.len()).map_err(at_line)? else {
                self.lines.line -= 1;
                let finished = self.ended && self.rows > 0;
                return if finished { self.take().map(Some) } else { Ok(None) };
            };
            if self.rows == 0 {
                self.first_line = line;
            }
            for ((field, column), builder) in
                fields.into_iter().zip(self.columns.iter()).zip(&mut self.builders)
            {
                let Some(field) = field else {
                    builder.append_null();
                    continue;
                };
                let raw = &binary.bytes()[field];
                self.bytes += raw.len();
                let value = parse_binary(raw, &column.ty).and_then(|value| builder.append(&value));
                value.map_err(|error| {
                    error.context(format!(
                        "COPY {}, line {line}, column {}",
                        self.table, column.name
                    ))
                })?;
            }
            self.rows += 1;
            if self.rows >= BATCH_ROWS || self.bytes >= BATCH_BYTES {
                return self.take().map(Some);
            }
        }
        Ok(None)
    }

    fn take(&mut self) -> SqlResult<(RecordBatch, u64)> {
        let builders = std::mem::take(&mut self.builders);
        let arrays =
            builders.into_iter().map(ValueBuilder::finish).collect::<SqlResult<Vec<_>>>()?;
        self.builders = self.new_builders();
        let options = datafusion::arrow::array::RecordBatchOptions::new()
            .with_row_count(Some(std::mem::take(&mut self.rows)));
        self.bytes = 0;
        let batch = RecordBatch::try_new_with_options(self.schema.clone(), arrays, &options)
            .map_err(|error| SqlError::internal(format!("COPY made a malformed batch: {error}")))?;
        Ok((batch, self.first_line))
    }

    fn row(&mut self, range: std::ops::Range<usize>) -> SqlResult<()> {
        if self.rows == 0 {
            self.first_line = self.lines.line;
        }
        let line = &self.lines.bytes()[range.clone()];
        if let Err(error) = check_utf8(line) {
            return Err(self.with_line(error, None));
        }
        match self.options.format {
            CopyFormat::Csv => self.fields.split_csv(line, &self.options),
            CopyFormat::Text | CopyFormat::Binary => self.fields.split_text(line, &self.options),
        }
        // A table without columns takes empty lines.
        let empty = self.columns.is_empty() && line.is_empty();
        let count = if empty { 0 } else { self.fields.fields.len() };
        if count > self.columns.len() {
            let error = SqlError::new(
                SqlState::BAD_COPY_FILE_FORMAT,
                "extra data after last expected column",
            );
            return Err(self.with_line(error, Some(&printable(line))));
        }
        if let Some(missing) = self.columns.get(count) {
            let error = SqlError::new(
                SqlState::BAD_COPY_FILE_FORMAT,
                format!("missing data for column \"{}\"", missing.name),
            );
            return Err(self.with_line(error, Some(&printable(line))));
        }
        self.bytes += line.len();
        for index in 0..count {
            self.value(index, range.clone())?;
        }
        self.rows += 1;
        Ok(())
    }

    fn value(&mut self, index: usize, range: std::ops::Range<usize>) -> SqlResult<()> {
        let field = self.fields.fields[index];
        if self.is_null(&field, index) {
            self.builders[index].append_null();
            return Ok(());
        }
        let line = &self.lines.bytes()[range];
        let raw = self.fields.bytes(&field, line);
        // The line was checked as a whole; cutting it at ASCII delimiters keeps it sound, and
        // only escapes can bring in new bytes.
        let text = match std::str::from_utf8(raw) {
            Ok(text) if !self.fields.needs_check || !text.contains('\0') => text,
            _ => {
                let error = check_utf8(raw).err().unwrap_or_else(|| bad_bytes(&[0]));
                return Err(self.with_line(error, None));
            }
        };
        if let Err(error) = self.builders[index].append_text(text, &self.settings) {
            let shown = printable(raw);
            let context = format!(
                "COPY {}, line {}, column {}: \"{shown}\"",
                self.table, self.lines.line, self.columns[index].name
            );
            return Err(error.context(context));
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
    fn check_header(&mut self, range: std::ops::Range<usize>) -> SqlResult<()> {
        let line = &self.lines.bytes()[range];
        match self.options.format {
            CopyFormat::Csv => self.fields.split_csv(line, &self.options),
            CopyFormat::Text | CopyFormat::Binary => self.fields.split_text(line, &self.options),
        }
        let (found, expected) = (self.fields.fields.len(), self.columns.len());
        let complaint = if found != expected {
            Some(format!(
                "wrong number of fields in header line: field count is {found}, expected {expected}"
            ))
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
            Some(message) => {
                let error = SqlError::new(SqlState::BAD_COPY_FILE_FORMAT, message);
                Err(self.with_line(error, Some(&printable(line))))
            }
        }
    }

    fn with_line(&self, error: SqlError, shown: Option<&str>) -> SqlError {
        let place = format!("COPY {}, line {}", self.table, self.lines.line);
        error.context(match shown {
            Some(shown) => format!("{place}: \"{shown}\""),
            None => place,
        })
    }
}

/// Data as an error context shows it: its beginning.
fn printable(raw: &[u8]) -> String {
    let text = String::from_utf8_lossy(raw);
    match text.char_indices().nth(SHOWN_CHARACTERS) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text.into_owned(),
    }
}

/// Text must be UTF-8 without NUL.
fn check_utf8(raw: &[u8]) -> SqlResult<()> {
    let bad = match std::str::from_utf8(raw) {
        Ok(_) => match memchr::memchr(0, raw) {
            Some(at) => &raw[at..=at],
            None => return Ok(()),
        },
        Err(error) => {
            let rest = &raw[error.valid_up_to()..];
            &rest[..error.error_len().unwrap_or(rest.len()).min(rest.len())]
        }
    };
    Err(bad_bytes(bad))
}

fn bad_bytes(bytes: &[u8]) -> SqlError {
    let shown: Vec<String> = bytes.iter().map(|byte| format!("0x{byte:02x}")).collect();
    SqlError::new(
        SqlState::CHARACTER_NOT_IN_REPERTOIRE,
        format!("invalid byte sequence for encoding \"UTF8\": {}", shown.join(" ")),
    )
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
        let (first, line) = reader.next_batch().unwrap().unwrap();
        assert_eq!((first.num_rows(), line), (BATCH_ROWS, 1));
        let (_, line) = reader.next_batch().unwrap().unwrap();
        assert_eq!(line, 1 + BATCH_ROWS as u64);
        assert!(reader.next_batch().unwrap().is_none());
        reader.end();
        let (rest, _) = reader.next_batch().unwrap().unwrap();
        assert_eq!(rest.num_rows(), 3000);
        assert!(reader.next_batch().unwrap().is_none());
    }
}
