//! Result rows from Arrow batches to DataRow messages, with bounded output in memory.

use bytes::{BufMut, BytesMut};
use datafusion::arrow::array::RecordBatch;
use futures::StreamExt;
use satsuma_common::{SqlError, SqlResult};
use satsuma_sql::bound::OutputColumn;
use tokio::io::{AsyncRead, AsyncWrite};

use super::backend::format_of;
use super::connection::{Connection, Done, Failure};
use super::frontend::{Format, unsupported_format};
use super::portal::RowSource;
use super::running::Running;
use super::wire::FLUSH_BYTES;
use crate::value_io::{TextSettings, ValueWriter};

/// How many rows an Execute asks for.
#[derive(Clone, Copy, Debug)]
pub enum SendLimit {
    All,
    Rows(usize),
}

pub struct Sent {
    pub count: u64,
    /// The limit was reached; there may be more.
    pub suspended: bool,
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Connection<'_, S> {
    pub async fn send_rows(
        &mut self,
        running: &Running,
        rows: &mut RowSource,
        formats: &[Format],
        limit: SendLimit,
    ) -> Done<Sent> {
        let settings = self.session.text_settings();
        let wanted = match limit {
            SendLimit::All => u64::MAX,
            SendLimit::Rows(rows) => rows as u64,
        };
        let mut count = 0;
        while count < wanted {
            let Some((batch, mut row)) = self.current_batch(running, rows).await? else {
                return Ok(Sent { count, suspended: false });
            };
            let mut encoder = RowEncoder::new(&batch, &rows.columns, formats, &settings)?;
            while row < batch.num_rows() && count < wanted {
                encoder.encode(row, &mut self.wire.output)?;
                row += 1;
                count += 1;
                if self.wire.output.len() >= FLUSH_BYTES {
                    self.flush_or_stop(running).await?;
                }
            }
            rows.current = (row < batch.num_rows()).then_some((batch, row));
        }
        Ok(Sent { count, suspended: true })
    }

    /// The batch to send from, and the row to go on with.
    async fn current_batch(
        &mut self,
        running: &Running,
        rows: &mut RowSource,
    ) -> Done<Option<(RecordBatch, usize)>> {
        loop {
            if let Some(current) = rows.current.take() {
                return Ok(Some(current));
            }
            match running.race(self.wire, rows.stream.next()).await {
                None => return Err(running.interrupt.error().into()),
                Some(None) => return Ok(None),
                Some(Some(Err(error))) => return Err(error.into()),
                Some(Some(Ok(batch))) if batch.num_rows() == 0 => {}
                Some(Some(Ok(batch))) => rows.current = Some((batch, 0)),
            }
        }
    }

    /// Sends what is waiting; a client that does not read cannot hold a cancelled statement.
    pub async fn flush_or_stop(&mut self, running: &Running) -> Done<()> {
        tokio::select! {
            biased;
            result = self.wire.flush() => Ok(result?),
            () = running.interrupt.wait() => Err(Failure::from(running.interrupt.error())),
        }
    }
}

/// Writes rows of one batch.
pub struct RowEncoder<'a> {
    writers: Vec<(ValueWriter<'a>, Format)>,
    /// The row in the making.
    row: Vec<u8>,
}

impl<'a> RowEncoder<'a> {
    pub fn new(
        batch: &'a RecordBatch,
        columns: &'a [OutputColumn],
        formats: &[Format],
        settings: &'a TextSettings,
    ) -> SqlResult<Self> {
        if batch.num_columns() != columns.len() {
            return Err(SqlError::internal(format!(
                "result has {} columns where {} were announced",
                batch.num_columns(),
                columns.len()
            )));
        }
        let writers = columns
            .iter()
            .zip(batch.columns())
            .enumerate()
            .map(|(index, (column, array))| {
                let writer = ValueWriter::new(array, &column.ty, settings);
                let writer = if column.is_vector() { writer.spaced() } else { writer };
                match format_of(formats, index) {
                    Format::Unknown(code) => Err(unsupported_format(code)),
                    format => Ok((writer, format)),
                }
            })
            .collect::<SqlResult<_>>()?;
        Ok(Self { writers, row: Vec::new() })
    }

    /// Appends one DataRow; nothing after an error.
    pub fn encode(&mut self, row: usize, output: &mut BytesMut) -> SqlResult<()> {
        self.row.clear();
        for (writer, format) in &self.writers {
            put_value(writer, *format, row, &mut self.row)?;
        }
        output.put_u8(b'D');
        output.put_i32(self.row.len() as i32 + 6);
        output.put_i16(self.writers.len() as i16);
        output.put_slice(&self.row);
        Ok(())
    }
}

/// A value with its length in front, or -1 for NULL.
fn put_value(
    writer: &ValueWriter<'_>,
    format: Format,
    row: usize,
    output: &mut Vec<u8>,
) -> SqlResult<()> {
    if writer.is_null(row) {
        output.extend_from_slice(&(-1_i32).to_be_bytes());
        return Ok(());
    }
    let start = output.len();
    output.extend_from_slice(&[0; 4]);
    match format {
        Format::Text => writer.write_text(row, output)?,
        Format::Binary => writer.write_binary(row, output)?,
        Format::Unknown(code) => return Err(unsupported_format(code)),
    }
    let length = (output.len() - start - 4) as i32;
    output[start..start + 4].copy_from_slice(&length.to_be_bytes());
    Ok(())
}
