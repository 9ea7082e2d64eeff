//! COPY FROM STDIN and COPY TO STDOUT on the wire; the formats are in [`crate::copy`].

use bytes::{BufMut, Bytes, BytesMut};
use futures::StreamExt;
use satsuma_common::{SqlError, SqlState};
use satsuma_sql::bound::CopyFormat;
use tokio::io::{AsyncRead, AsyncWrite};

use super::backend::{self, COPY_DONE, put_bare};
use super::connection::{Connection, Done, Failure};
use super::frontend::{self, Frontend};
use super::running::Running;
use super::wire::FLUSH_BYTES;
use crate::copy::{CopyReader, CopyWriter};
use crate::session_api::{CopyIn, CopyOut, InterruptReason};

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Connection<'_, S> {
    /// Takes the client's data; answers with the command tag.
    pub async fn copy_in(&mut self, running: &Running, mut copy: CopyIn) -> Done<String> {
        let mut reader = CopyReader::of(&copy, self.session.text_settings());
        let is_binary = copy.options.format == CopyFormat::Binary;
        backend::put_copy_in(&mut self.wire.output, copy.columns.len(), is_binary);
        self.wire.flush().await?;
        loop {
            let chunk = match self.copy_chunk(running).await {
                Ok(Some(chunk)) => chunk,
                Ok(None) => break,
                Err(Failure::Statement(error)) => {
                    return Err(reader.gives_up(error, copy.sink.as_mut()).await.into());
                }
                Err(failure) => return Err(failure),
            };
            reader.push(&chunk);
            self.write_copy(running, &mut copy, &mut reader).await?;
        }
        reader.end();
        self.write_copy(running, &mut copy, &mut reader).await?;
        let count = running.watch(self.wire, copy.sink.finish()).await?;
        self.notices();
        Ok(format!("COPY {count}"))
    }

    /// Hands on what has been read.
    async fn write_copy(
        &mut self,
        running: &Running,
        copy: &mut CopyIn,
        reader: &mut CopyReader,
    ) -> Done<()> {
        while let Some(piece) = reader.next_piece().await? {
            let written = copy.sink.write(piece.batch.clone(), Some(piece.lines.clone()));
            match running.race(self.wire, written).await {
                Some(Ok(())) => {}
                Some(Err(refused)) => return Err(reader.refused(&piece, refused).into()),
                None => return Err(running.interrupt.error().into()),
            }
            piece.failed.map_or(Ok(()), Err)?;
        }
        Ok(())
    }

    /// The next piece of data, `None` at its end.
    async fn copy_chunk(&mut self, running: &Running) -> Done<Option<Bytes>> {
        loop {
            let frame = tokio::select! {
                biased;
                () = running.interrupt.wait() => return Err(running.interrupt.error().into()),
                () = self.shutdown.cancelled() => {
                    running.interrupt.fire(InterruptReason::Shutdown);
                    continue;
                }
                () = running.expired() => {
                    running.interrupt.fire(InterruptReason::StatementTimeout);
                    continue;
                }
                frame = self.wire.read_frame() => frame?,
            };
            let kind = frame.kind;
            match frontend::decode(kind, frame.body)? {
                Frontend::CopyData(chunk) => return Ok(Some(chunk)),
                Frontend::CopyDone => return Ok(None),
                Frontend::CopyFail(reason) => {
                    return Err(Failure::Statement(SqlError::new(
                        SqlState::QUERY_CANCELED,
                        format!("COPY from stdin failed: {reason}"),
                    )));
                }
                // Clients that pipeline send these after Execute; they mean nothing here.
                Frontend::Flush | Frontend::Sync => {}
                Frontend::Terminate => return Err(Failure::Wire(super::wire::WireError::Closed)),
                _ => {
                    return Err(Failure::Fatal(frontend::violation(format!(
                        "unexpected message type 0x{kind:02X} during COPY from stdin"
                    ))));
                }
            }
        }
    }

    /// Sends the rows; answers with the command tag.
    pub async fn copy_out(&mut self, running: &Running, mut copy: CopyOut) -> Done<String> {
        let settings = self.session.text_settings();
        let writer = CopyWriter::new(copy.columns.clone(), &copy.options, settings)?;
        let is_binary = copy.options.format == CopyFormat::Binary;
        backend::put_copy_out(&mut self.wire.output, copy.columns.len(), is_binary);
        let mut line = Vec::new();
        match writer.header()? {
            // It has no message of its own: clients look for the first row behind it.
            Some(header) if is_binary => line = header,
            Some(header) => put_copy_data(&mut self.wire.output, &header),
            None => {}
        }
        let mut count = 0_u64;
        loop {
            let batch = match running.race(self.wire, copy.stream.next()).await {
                None => return Err(running.interrupt.error().into()),
                Some(None) => break,
                Some(Some(batch)) => batch?,
            };
            let mut rows = writer.rows(&batch)?;
            for row in 0..batch.num_rows() {
                rows.write(row, &mut line)?;
                put_copy_data(&mut self.wire.output, &line);
                line.clear();
                count += 1;
                if self.wire.output.len() >= FLUSH_BYTES {
                    self.flush_or_stop(running).await?;
                }
            }
        }
        if let Some(trailer) = writer.trailer() {
            line.extend(trailer);
            put_copy_data(&mut self.wire.output, &line);
        }
        put_bare(&mut self.wire.output, COPY_DONE);
        Ok(format!("COPY {count}"))
    }
}

fn put_copy_data(output: &mut BytesMut, data: &[u8]) {
    output.put_u8(b'd');
    output.put_i32(data.len() as i32 + 4);
    output.put_slice(data);
}
