//! The simple query protocol: a string of statements, answered one after the other.

use tokio::io::{AsyncRead, AsyncWrite};

use super::backend::{self, EMPTY_QUERY, put_bare};
use super::connection::{Connection, Done, Failure};
use super::frontend::Format;
use super::rows::SendLimit;
use crate::session_api::{BatchStatement, ExecuteOptions, Execution, Interrupt, Rows};

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Connection<'_, S> {
    pub async fn simple_query(&mut self, sql: &str) -> Done<()> {
        self.unnamed = None;
        self.portals.close("");
        let statements = self.session.split(sql)?;
        if statements.is_empty() {
            put_bare(&mut self.wire.output, EMPTY_QUERY);
            return self.end_batch().await;
        }
        let last = statements.len() - 1;
        for (index, statement) in statements.iter().enumerate() {
            let interrupt = Interrupt::new();
            let options = ExecuteOptions {
                ends_batch: index == last,
                result_may_change: true,
                one_of_several: last > 0,
                interrupt,
            };
            let outcome = self.simple_statement(statement, options).await;
            outcome.map_err(|failure| shift(failure, statement.offset))?;
        }
        Ok(())
    }

    async fn simple_statement(
        &mut self,
        statement: &BatchStatement,
        options: ExecuteOptions,
    ) -> Done<()> {
        let ends_batch = options.ends_batch;
        let running = self.run(options.interrupt.clone());
        let prepare = self.session.prepare(&statement.sql, None);
        let prepared = running.watch(self.wire, prepare).await?;

        let execute = self.session.execute(&prepared, Vec::new(), options);
        let execution = running.watch(self.wire, execute).await;
        self.notices();
        let tag = match execution? {
            Execution::Empty => None,
            Execution::Command(tag) => Some(tag),
            Execution::Rows(rows) => {
                let formats: [Format; 0] = [];
                backend::put_row_description(&mut self.wire.output, &rows.columns, &formats);
                let mut rows = rows.into();
                let sent = self.send_rows(&running, &mut rows, &formats, SendLimit::All).await?;
                Some(Rows::tag(rows.tag, sent.count))
            }
            Execution::CopyIn(copy) => Some(self.copy_in(&running, copy).await?),
            Execution::CopyOut(copy) => Some(self.copy_out(&running, copy).await?),
        };
        drop(running);
        if ends_batch {
            // PostgreSQL tells a command's success only once it is committed.
            self.end_batch().await?;
        }
        match tag {
            Some(tag) => backend::put_complete(&mut self.wire.output, tag),
            None => put_bare(&mut self.wire.output, EMPTY_QUERY),
        }
        Ok(())
    }
}

/// Moves an error's position from its statement into the whole string.
fn shift(failure: Failure, offset: u32) -> Failure {
    match failure {
        Failure::Statement(mut error) => {
            if let Some(position) = &mut error.fields_mut().position {
                *position += offset;
            }
            Failure::Statement(error)
        }
        other => other,
    }
}
