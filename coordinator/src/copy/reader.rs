//! COPY FROM: bytes in, typed batches out, in order.
//!
//! Where lines end is known only from the beginning on; what is in them is read by as many threads
//! as there are cores, a chunk each.

use std::collections::VecDeque;
use std::sync::Arc;

use satsuma_common::encoding::Decoder;
use satsuma_common::{SqlError, SqlResult};
use satsuma_sql::bound::{CopyFormat, CopyHeader};
use tokio::task::JoinHandle;

use super::batch::{BATCH_BYTES, BATCH_ROWS, BatchBuilder, Piece};
use super::binary::{BinaryRows, Row};
use super::chunk::{Chunk, LineOf, Numbered};
use super::format::Format;
use super::lines::{Line, LineReader, Quoting};
use crate::session_api::{CopyIn, CopySink, Refused};
use crate::value_io::{TextSettings, parse_binary};

pub struct CopyReader {
    format: Arc<Format>,
    input: Input,
    /// In the order of the file.
    parsing: VecDeque<Parsing>,
    /// Chunks at once.
    most_parsing: usize,
    /// What is wrong behind all that is being parsed.
    failed: Option<SqlError>,
    ended: bool,
}

enum Input {
    Lines(Lines),
    Binary(Binary),
}

enum Parsing {
    Done(SqlResult<Piece>),
    Underway(JoinHandle<SqlResult<Piece>>),
}

/// Text and csv.
struct Lines {
    reader: LineReader,
    found: Vec<Numbered>,
    /// What is wrong behind them.
    failed: Option<SqlError>,
    header_pending: bool,
    /// Of a file that is not in UTF-8.
    decoder: Option<Decoder>,
    /// What is wrong behind all that could be decoded.
    undecoded: Option<SqlError>,
}

struct Binary {
    rows: BinaryRows,
    batch: BatchBuilder,
    bytes: usize,
    /// Rows read.
    count: u64,
}

impl CopyReader {
    pub fn of(copy: &CopyIn, settings: TextSettings) -> Self {
        Self::new(Format::new(&copy.table, copy.columns.clone(), &copy.options, settings))
    }

    fn new(format: Format) -> Self {
        let format = Arc::new(format);
        let options = &format.options;
        let quoting = match options.format {
            CopyFormat::Csv => Quoting::Csv { quote: options.quote, escape: options.escape },
            CopyFormat::Text | CopyFormat::Binary => Quoting::Text,
        };
        let input = match options.format {
            CopyFormat::Binary => Input::Binary(Binary {
                rows: BinaryRows::default(),
                batch: BatchBuilder::new(&format, 0),
                bytes: 0,
                count: 0,
            }),
            CopyFormat::Text | CopyFormat::Csv => Input::Lines(Lines {
                reader: LineReader::new(quoting),
                found: Vec::new(),
                failed: None,
                header_pending: options.header != CopyHeader::No,
                decoder: (!options.encoding.is_utf8()).then(|| options.encoding.decoder()),
                undecoded: None,
            }),
        };
        Self {
            format,
            input,
            parsing: VecDeque::new(),
            most_parsing: std::thread::available_parallelism().map_or(1, usize::from),
            failed: None,
            ended: false,
        }
    }

    /// More of the file. Call [`CopyReader::next_piece`] until it gives none before the next.
    pub fn push(&mut self, data: &[u8]) {
        match &mut self.input {
            Input::Lines(lines) => lines.push(data, false),
            Input::Binary(binary) => binary.rows.push(data),
        }
    }

    /// The file is complete.
    pub fn end(&mut self) {
        self.ended = true;
        match &mut self.input {
            Input::Lines(lines) => {
                lines.push(&[], true);
                lines.reader.end();
            }
            Input::Binary(binary) => binary.rows.end(),
        }
    }

    /// The next rows, each with its line: when as much is being parsed as may be, and at the end.
    /// What is wrong behind them is told after them. Nothing is lost when the future is dropped.
    pub async fn next_piece(&mut self) -> SqlResult<Option<Piece>> {
        while self.failed.is_none() && self.parsing.len() < self.most_parsing {
            match self.input.next(&self.format, self.ended) {
                Ok(None) => break,
                Ok(Some(parsing)) => self.parsing.push_back(parsing),
                Err(error) => self.failed = Some(error),
            }
        }
        let is_full = self.parsing.len() >= self.most_parsing;
        if !(is_full || self.ended || self.failed.is_some()) {
            return Ok(None);
        }
        if let Some(next) = self.parsing.front_mut() {
            let parsed = next.result().await;
            self.parsing.pop_front();
            return parsed.map(Some);
        }
        self.failed.take().map_or(Ok(None), Err)
    }

    /// A row of the piece that its table refuses, as the client is told of it.
    pub fn refused(&self, piece: &Piece, refused: Refused) -> SqlError {
        let Some(row) = refused.row.filter(|row| *row < piece.lines.len()) else {
            return refused.error;
        };
        let line = u64::from(piece.lines.value(row));
        self.format.in_line(line, refused.error, piece.source.line(row))
    }

    /// What there is to say when the file ends by `error`: what is wrong with its rows comes first.
    pub async fn gives_up(&mut self, error: SqlError, sink: &mut dyn CopySink) -> SqlError {
        let error = match &self.input {
            Input::Binary(binary) if !binary.rows.has_header() => error,
            input => self.format.in_line(input.last_line() + 1, error, None),
        };
        if let Input::Lines(lines) = &mut self.input {
            if !lines.found.is_empty() {
                self.parsing.push_back(lines.parse(&self.format));
            }
            self.failed = self.failed.take().or_else(|| lines.failed.take());
        }
        let error = self.failed.take().unwrap_or(error);
        for mut parsing in std::mem::take(&mut self.parsing) {
            let piece = match parsing.result().await {
                Ok(piece) => piece,
                Err(wrong) => return wrong,
            };
            if let Err(refused) = sink.check(piece.batch.clone()).await {
                return self.refused(&piece, refused);
            }
            if let Some(wrong) = piece.failed {
                return wrong;
            }
        }
        error
    }
}

impl Parsing {
    async fn result(&mut self) -> SqlResult<Piece> {
        match self {
            Self::Done(result) => {
                std::mem::replace(result, Err(SqlError::internal("rows are handed on once")))
            }
            Self::Underway(handle) => handle.await.unwrap_or_else(|failed| {
                Err(SqlError::internal(format!("lines could not be parsed: {failed}")))
            }),
        }
    }
}

impl Input {
    /// As many rows as make a batch, at the end what is left.
    fn next(&mut self, format: &Arc<Format>, ended: bool) -> SqlResult<Option<Parsing>> {
        match self {
            Self::Lines(lines) => lines.next(format),
            Self::Binary(binary) => binary.next(format, ended),
        }
    }

    fn last_line(&self) -> u64 {
        match self {
            Self::Lines(lines) => lines.reader.line,
            Self::Binary(binary) => binary.count,
        }
    }
}

impl Lines {
    fn push(&mut self, data: &[u8], last: bool) {
        let Some(decoder) = &mut self.decoder else { return self.reader.push(data) };
        if self.undecoded.is_none() {
            let mut text = Vec::new();
            self.undecoded = decoder.decode(data, last, &mut text).err();
            self.reader.push(&text);
        }
    }

    fn next(&mut self, format: &Arc<Format>) -> SqlResult<Option<Parsing>> {
        loop {
            if let Some(error) = self.failed.take() {
                return Err(error);
            }
            if self.found.len() >= BATCH_ROWS || self.reader.read_bytes() >= BATCH_BYTES {
                return Ok(Some(self.parse(format)));
            }
            let line = match self.reader.next_line() {
                Ok(line) => line,
                Err(error) => {
                    self.failed = Some(format.in_line(self.reader.line, error, None));
                    if self.found.is_empty() {
                        continue;
                    }
                    return Ok(Some(self.parse(format)));
                }
            };
            match line {
                Line::NeedMore | Line::End if self.undecoded.is_some() => {
                    let error = self.undecoded.take();
                    self.failed =
                        error.map(|error| format.in_line(self.reader.line + 1, error, None));
                    if !self.found.is_empty() {
                        return Ok(Some(self.parse(format)));
                    }
                }
                Line::NeedMore => return Ok(None),
                Line::End if self.found.is_empty() => return Ok(None),
                Line::End => return Ok(Some(self.parse(format))),
                Line::Found(range) => {
                    let line = Numbered { range, number: self.reader.line };
                    if std::mem::take(&mut self.header_pending) {
                        let header = LineOf { format, bytes: self.reader.bytes(), line: &line };
                        header.check_bytes()?;
                        if format.options.header == CopyHeader::Match {
                            header.check_header()?;
                        }
                    } else {
                        self.found.push(line);
                    }
                }
            }
        }
    }

    /// Has what was found parsed by another thread.
    fn parse(&mut self, format: &Arc<Format>) -> Parsing {
        let lines = std::mem::take(&mut self.found);
        let chunk = Chunk { bytes: self.reader.take_read(), lines };
        let format = format.clone();
        Parsing::Underway(tokio::task::spawn_blocking(move || chunk.parse(&format)))
    }
}

impl Binary {
    fn next(&mut self, format: &Format, ended: bool) -> SqlResult<Option<Parsing>> {
        if !self.rows.read_header()? {
            return Ok(None);
        }
        loop {
            if self.batch.len() >= BATCH_ROWS || self.bytes >= BATCH_BYTES {
                return Ok(Some(self.take(format, None)));
            }
            let line = self.count + 1;
            let row = self.rows.next_row(format.columns.len());
            let row = match row {
                Ok(Some(row)) => row,
                Ok(None) if ended && self.batch.len() > 0 => {
                    return Ok(Some(self.take(format, None)));
                }
                Ok(None) => return Ok(None),
                Err(error) => {
                    let error = format.in_line(line, error, None);
                    return Ok(Some(self.take(format, Some(error))));
                }
            };
            self.count = line;
            if let Err(error) = self.append(format, line, row) {
                return Ok(Some(self.take(format, Some(error))));
            }
        }
    }

    fn append(&mut self, format: &Format, line: u64, row: Row) -> SqlResult<()> {
        for (index, field) in row.fields.iter().enumerate() {
            let builder = &mut self.batch.values[index];
            let Some(field) = field else {
                builder.append_null();
                continue;
            };
            let raw = &self.rows.bytes()[field.clone()];
            self.bytes += raw.len();
            parse_binary(raw, &format.columns[index].ty)
                .and_then(|value| builder.append(&value))
                .map_err(|error| format.in_column(line, index, error, None))?;
        }
        if let Some(error) = row.problem {
            return Err(format.in_column(line, row.fields.len(), error, None));
        }
        self.batch.end_row(line);
        Ok(())
    }

    fn take(&mut self, format: &Format, failed: Option<SqlError>) -> Parsing {
        self.bytes = 0;
        let batch = std::mem::replace(&mut self.batch, BatchBuilder::new(format, BATCH_ROWS));
        let source = Chunk::default();
        let piece = |(batch, lines)| Piece { batch, lines, failed, source };
        Parsing::Done(batch.finish(format).map(piece))
    }
}

#[cfg(test)]
mod tests {
    use super::super::{csv_options, text_options};
    use super::*;
    use datafusion::arrow::array::{AsArray, RecordBatch, UInt32Array};
    use datafusion::arrow::datatypes::Int32Type;
    use satsuma_common::PgType;
    use satsuma_common::encoding::Encoding;
    use satsuma_sql::bound::{CopyOptions, OutputColumn};

    fn columns() -> Arc<[OutputColumn]> {
        let column = |name: &str, ty| OutputColumn::new(name, ty);
        Arc::new([column("a", PgType::Int4), column("b", PgType::Text)])
    }

    fn reader(options: &CopyOptions) -> CopyReader {
        CopyReader::new(Format::new("t", columns(), options, TextSettings::default()))
    }

    fn read(options: &CopyOptions, input: &[u8]) -> SqlResult<Vec<(Option<i32>, Option<String>)>> {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let mut reader = reader(options);
        let mut rows = vec![];
        let mut take = |reader: &mut CopyReader| -> SqlResult<()> {
            while let Some(piece) = runtime.block_on(reader.next_piece())? {
                let batch = piece.batch;
                let a = batch.column(0).as_primitive::<Int32Type>();
                let b = batch.column(1).as_string_view();
                rows.extend(a.iter().zip(b.iter().map(|b| b.map(str::to_owned))));
                piece.failed.map_or(Ok(()), Err)?;
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

    /// Takes every row.
    struct NoTable;

    #[async_trait::async_trait]
    impl CopySink for NoTable {
        async fn write(&mut self, _: RecordBatch, _: Option<UInt32Array>) -> Result<(), Refused> {
            Ok(())
        }

        async fn check(&mut self, _: RecordBatch) -> Result<(), Refused> {
            Ok(())
        }

        async fn finish(self: Box<Self>) -> SqlResult<u64> {
            Ok(0)
        }
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

    #[test]
    fn files_are_read_in_their_encoding() {
        let encoding = Encoding::named("sjis").unwrap().unwrap();
        let options = CopyOptions { encoding, ..csv_options() };
        let rows = read(&options, b"1,\x93\xfa\x96\x7b\n").unwrap();
        assert_eq!(rows, [(Some(1), Some("日本".into()))]);
        let error = read(&options, b"1,a\n2,\xff\n3,b\n").unwrap_err();
        assert_eq!(error.message(), "invalid byte sequence for encoding \"SJIS\": 0xff");
        assert_eq!(error.fields().context.as_deref(), Some("COPY t, line 2"));
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
    fn what_is_wrong_first_is_told() {
        for (input, message) in [
            (&b"1,x\nabc,y\n1,z\r\n"[..], "invalid input syntax for type integer: \"abc\""),
            (b"1,x\n2,z\r\nabc,y\n", "unquoted carriage return found in data"),
        ] {
            assert_eq!(read(&csv_options(), input).unwrap_err().message(), message);
        }
    }

    #[tokio::test]
    async fn rows_before_the_end_of_a_broken_file_are_looked_at() {
        let gone = || SqlError::new(satsuma_common::SqlState::QUERY_CANCELED, "gone");
        for (input, message, context) in [
            (&b"1\tx\n2\ty\n3"[..], "gone", "COPY t, line 3"),
            (
                b"1\tx\nabc\ty\n3",
                "invalid input syntax for type integer: \"abc\"",
                "COPY t, line 2, column a: \"abc\"",
            ),
        ] {
            let mut reader = reader(&text_options());
            reader.push(input);
            assert!(reader.next_piece().await.unwrap().is_none());
            let error = reader.gives_up(gone(), &mut NoTable).await;
            assert_eq!(error.message(), message);
            assert_eq!(error.fields().context.as_deref(), Some(context));
        }
    }

    #[tokio::test]
    async fn large_input_comes_in_bounded_batches() {
        let mut reader = reader(&text_options());
        reader.most_parsing = 2;
        let mut input = Vec::new();
        for row in 0..3 * BATCH_ROWS + 3000 {
            input.extend_from_slice(format!("{row}\tx\n").as_bytes());
        }
        reader.push(&input);
        let mut next = 1;
        for _ in 0..2 {
            let Piece { batch, lines, .. } = reader.next_piece().await.unwrap().unwrap();
            assert_eq!((batch.num_rows(), lines.len()), (BATCH_ROWS, BATCH_ROWS));
            assert_eq!(lines.value(0), next);
            next += BATCH_ROWS as u32;
        }
        assert!(reader.next_piece().await.unwrap().is_none());
        reader.end();
        for expected in [BATCH_ROWS, 3000] {
            let Piece { batch, lines, .. } = reader.next_piece().await.unwrap().unwrap();
            assert_eq!((batch.num_rows(), lines.value(0)), (expected, next));
            next += BATCH_ROWS as u32;
        }
        assert!(reader.next_piece().await.unwrap().is_none());
    }
}
