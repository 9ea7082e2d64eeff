//! COPY TO: batches in, lines out.

use std::borrow::Cow;
use std::sync::Arc;

use datafusion::arrow::array::RecordBatch;
use satsuma_common::{SqlError, SqlResult};
use satsuma_sql::bound::{CopyFormat, CopyHeader, CopyOptions, ForceColumns, OutputColumn};

use super::binary;
use crate::value_io::{TextSettings, ValueWriter};

pub struct CopyWriter {
    columns: Arc<[OutputColumn]>,
    options: CopyOptions,
    settings: TextSettings,
    force_quote: Vec<bool>,
}

impl CopyWriter {
    pub fn new(
        columns: Arc<[OutputColumn]>,
        options: &CopyOptions,
        settings: TextSettings,
    ) -> SqlResult<Self> {
        let force_quote = columns
            .iter()
            .map(|column| match &options.force_quote {
                ForceColumns::All => true,
                ForceColumns::Named(names) => names.contains(&column.name),
            })
            .collect();
        Ok(Self { columns, options: options.clone(), settings, force_quote })
    }

    /// The header line, where one is asked for; the signature of the binary format.
    pub fn header(&self) -> SqlResult<Option<Vec<u8>>> {
        if self.options.format == CopyFormat::Binary {
            return Ok(Some(binary::header()));
        }
        if self.options.header == CopyHeader::No {
            return Ok(None);
        }
        let mut output = Vec::new();
        for (index, column) in self.columns.iter().enumerate() {
            if index > 0 {
                output.push(self.options.delimiter);
            }
            self.put(&self.as_read(column.name.as_bytes())?, false, &mut output);
        }
        output.push(b'\n');
        self.encode(&mut output, 0)?;
        Ok(Some(output))
    }

    /// A value as it is to be escaped: as who reads the file's bytes sees it.
    fn as_read<'a>(&self, value: &'a [u8]) -> SqlResult<Cow<'a, [u8]>> {
        let encoding = self.options.encoding;
        if encoding.is_utf8() {
            return Ok(Cow::Borrowed(value));
        }
        let text = std::str::from_utf8(value)
            .map_err(|_| SqlError::internal("COPY wrote a value that is no text"))?;
        Ok(match encoding.as_read(text) {
            Cow::Borrowed(text) => Cow::Borrowed(text.as_bytes()),
            Cow::Owned(text) => Cow::Owned(text.into_bytes()),
        })
    }

    /// Puts a line that begins at `start` into the file's encoding.
    fn encode(&self, output: &mut Vec<u8>, start: usize) -> SqlResult<()> {
        let encoding = self.options.encoding;
        if encoding.is_utf8() {
            return Ok(());
        }
        let line = output.split_off(start);
        let line = std::str::from_utf8(&line)
            .map_err(|_| SqlError::internal("COPY wrote a line that is no text"))?;
        encoding.encode(line, output)
    }

    /// What follows the last row.
    pub fn trailer(&self) -> Option<Vec<u8>> {
        (self.options.format == CopyFormat::Binary).then(binary::trailer)
    }

    pub fn rows<'a>(&'a self, batch: &'a RecordBatch) -> SqlResult<CopyRows<'a>> {
        if batch.num_columns() != self.columns.len() {
            return Err(SqlError::internal("COPY got a batch of another width"));
        }
        let values = self
            .columns
            .iter()
            .zip(batch.columns())
            .map(|(column, array)| ValueWriter::new(array, &column.ty, &self.settings))
            .collect();
        Ok(CopyRows { writer: self, values, scratch: Vec::new() })
    }

    fn put(&self, value: &[u8], force_quote: bool, output: &mut Vec<u8>) {
        match self.options.format {
            CopyFormat::Csv => self.put_csv(value, force_quote, output),
            CopyFormat::Text | CopyFormat::Binary => self.put_text(value, output),
        }
    }

    fn put_text(&self, value: &[u8], output: &mut Vec<u8>) {
        let mut rest = value;
        loop {
            let special =
                |byte: &u8| matches!(*byte, b'\\' | 0x08..=0x0d) || *byte == self.options.delimiter;
            let Some(at) = rest.iter().position(special) else {
                output.extend_from_slice(rest);
                return;
            };
            output.extend_from_slice(&rest[..at]);
            output.push(b'\\');
            output.push(match rest[at] {
                0x08 => b'b',
                0x09 => b't',
                0x0a => b'n',
                0x0b => b'v',
                0x0c => b'f',
                0x0d => b'r',
                byte => byte,
            });
            rest = &rest[at + 1..];
        }
    }

    fn put_csv(&self, value: &[u8], force_quote: bool, output: &mut Vec<u8>) {
        let (delimiter, quote, escape) =
            (self.options.delimiter, self.options.quote, self.options.escape);
        let needs_quote = force_quote
            || value == self.options.null.as_bytes()
            || (self.columns.len() == 1 && value == b"\\.")
            || value
                .iter()
                .any(|byte| matches!(*byte, b'\n' | b'\r') || [delimiter, quote].contains(byte));
        if !needs_quote {
            output.extend_from_slice(value);
            return;
        }
        output.push(quote);
        for byte in value {
            if *byte == quote || *byte == escape {
                output.push(escape);
            }
            output.push(*byte);
        }
        output.push(quote);
    }
}

/// The lines of one batch.
pub struct CopyRows<'a> {
    writer: &'a CopyWriter,
    values: Vec<ValueWriter<'a>>,
    scratch: Vec<u8>,
}

impl CopyRows<'_> {
    /// Appends one line. What a failed call leaves behind is not a line.
    pub fn write(&mut self, row: usize, output: &mut Vec<u8>) -> SqlResult<()> {
        if self.writer.options.format == CopyFormat::Binary {
            return self.write_binary(row, output);
        }
        let start = output.len();
        for (index, value) in self.values.iter().enumerate() {
            if index > 0 {
                output.push(self.writer.options.delimiter);
            }
            if value.is_null(row) {
                output.extend_from_slice(self.writer.options.null.as_bytes());
                continue;
            }
            self.scratch.clear();
            value.write_text(row, &mut self.scratch)?;
            let text = self.writer.as_read(&self.scratch)?;
            self.writer.put(&text, self.writer.force_quote[index], output);
        }
        output.push(b'\n');
        self.writer.encode(output, start)
    }
}

impl CopyRows<'_> {
    fn write_binary(&self, row: usize, output: &mut Vec<u8>) -> SqlResult<()> {
        let count = i16::try_from(self.values.len())
            .map_err(|_| SqlError::internal("COPY of too many columns"))?;
        output.extend_from_slice(&count.to_be_bytes());
        for value in &self.values {
            let write = (!value.is_null(row))
                .then_some(|output: &mut Vec<u8>| value.write_binary(row, output));
            binary::put_field(output, write)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::{csv_options, text_options};
    use super::*;
    use datafusion::arrow::array::{ArrayRef, StringViewArray};
    use satsuma_common::encoding::Encoding;
    use satsuma_common::{PgType, arrow_types};

    fn written(options: &CopyOptions, rows: &[[Option<&str>; 2]]) -> String {
        let column = |name: &str| OutputColumn::new(name, PgType::Text);
        let columns: Arc<[OutputColumn]> = Arc::new([column("a"), column("b")]);
        let schema = datafusion::arrow::datatypes::Schema::new(
            columns.iter().map(|c| arrow_types::field(&c.name, &c.ty, true)).collect::<Vec<_>>(),
        );
        let array = |index: usize| -> ArrayRef {
            Arc::new(rows.iter().map(|row| row[index]).collect::<StringViewArray>())
        };
        let batch = RecordBatch::try_new(Arc::new(schema), vec![array(0), array(1)]).unwrap();
        let writer = CopyWriter::new(columns, options, TextSettings::default()).unwrap();
        let mut output = writer.header().unwrap().unwrap_or_default();
        let mut lines = writer.rows(&batch).unwrap();
        for row in 0..batch.num_rows() {
            lines.write(row, &mut output).unwrap();
        }
        String::from_utf8(output).unwrap()
    }

    #[test]
    fn text_is_escaped() {
        let rows = [[Some("a\tb\\c"), None], [Some(""), Some("x\ny\r\u{8}")]];
        assert_eq!(written(&text_options(), &rows), "a\\tb\\\\c\t\\N\n\tx\\ny\\r\\b\n");
    }

    #[test]
    fn what_the_encoding_writes_as_a_backslash_is_escaped() {
        let encoding = Encoding::named("sjis").unwrap().unwrap();
        let options = CopyOptions { encoding, ..text_options() };
        assert_eq!(written(&options, &[[Some("\u{a5}N"), Some("a")]]), "\\\\N\ta\n");
    }

    #[test]
    fn csv_is_quoted_where_it_must_be() {
        let options = CopyOptions { header: CopyHeader::Yes, ..csv_options() };
        let rows = [[Some("a,b"), None], [Some(""), Some("say \"hi\"")], [Some("x"), Some("\\.")]];
        let expected = "a,b\n\"a,b\",\n\"\",\"say \"\"hi\"\"\"\nx,\\.\n";
        assert_eq!(written(&options, &rows), expected);
        let forced = CopyOptions { force_quote: ForceColumns::All, ..csv_options() };
        assert_eq!(written(&forced, &[[Some("x"), None]]), "\"x\",\n");
    }
}
