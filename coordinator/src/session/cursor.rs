//! Cursors: DECLARE, FETCH, MOVE, CLOSE.
//!
//! A cursor's rows are computed at DECLARE and kept until it is closed, bounded in memory.

use std::sync::Arc;

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::compute::concat_batches;
use futures::stream::{self, StreamExt};
use satsuma_common::{SqlError, SqlResult, SqlState};
use satsuma_proto::worker::BatchStream;
use satsuma_sql::bind::{self, BindContext};
use satsuma_sql::bound::OutputColumn;
use satsuma_sql::engine_error::arrow_to_sql;
use satsuma_sql::parse::{CursorDirection, Parsed, Statement};
use sqlparser::ast;

use super::ClusterSession;
use super::params::Params;
use super::run::interruptible;
use crate::session_api::{ExecuteOptions, Execution, Rows};
pub use crate::system_relations::CursorAbout;
use crate::txn::Transaction;

/// Bytes that one cursor may hold.
const MEMORY_LIMIT: usize = 256 << 20;

pub struct Cursor {
    pub about: CursorAbout,
    pub columns: Arc<[OutputColumn]>,
    /// Number of the statement that declared it, until its transaction is committed.
    pub declared: Option<u32>,
    rows: Option<RecordBatch>,
    /// Rows before the present one, counted from 0: 0 is before the first row.
    position: usize,
}

impl Cursor {
    pub async fn open(
        columns: Arc<[OutputColumn]>,
        mut stream: BatchStream,
        about: CursorAbout,
        declared: u32,
    ) -> SqlResult<Self> {
        let mut batches = Vec::new();
        let mut bytes = 0;
        while let Some(batch) = stream.next().await {
            let batch = batch?;
            bytes += batch.get_array_memory_size();
            if bytes > MEMORY_LIMIT {
                return Err(SqlError::new(SqlState::OUT_OF_MEMORY, "out of memory")
                    .detail("The rows of a cursor are more than it may hold.")
                    .hint("Use the extended protocol's portals, which stream."));
            }
            batches.push(batch);
        }
        let rows = match batches.first() {
            Some(first) => Some(concat_batches(&first.schema(), &batches).map_err(arrow_to_sql)?),
            None => None,
        };
        Ok(Self { about, columns, declared: Some(declared), rows, position: 0 })
    }

    /// Its transaction commits; answers whether it outlives that.
    pub fn outlives_commit(&mut self) -> bool {
        self.declared = None;
        self.about.is_holdable
    }

    /// Whether it was there before the statements after number `last`, which are undone.
    pub fn is_older_than(&self, last: u32) -> bool {
        self.declared.is_none_or(|declared| declared <= last)
    }

    /// Moves and gives the rows passed over, in the order of the movement.
    pub fn fetch(&mut self, direction: CursorDirection) -> SqlResult<Vec<RecordBatch>> {
        let total = self.rows.as_ref().map_or(0, RecordBatch::num_rows);
        let target = |position: i64| usize::try_from(position).unwrap_or(0).min(total + 1);
        let here = i64::try_from(self.position).unwrap_or(i64::MAX);
        let rows: Vec<usize> = match direction {
            CursorDirection::Forward(0) => self.row_at(self.position, total),
            CursorDirection::Forward(count) if count > 0 => {
                let last = target(here.saturating_add(count));
                let rows = (self.position..last.min(total)).collect();
                self.position = last;
                rows
            }
            CursorDirection::Forward(count) => {
                self.require_scroll()?;
                let first = target(here.saturating_add(count).max(0));
                let rows = (first.max(1)..self.position).rev().map(|row| row - 1).collect();
                self.position = first;
                rows
            }
            CursorDirection::Absolute(row) => {
                let row = if row < 0 {
                    i64::try_from(total).unwrap_or(i64::MAX).saturating_add(row + 1)
                } else {
                    row
                };
                let row = target(row.max(0));
                if row < self.position {
                    self.require_scroll()?;
                }
                self.position = row;
                self.row_at(row, total)
            }
            CursorDirection::Relative(offset) => {
                if offset < 0 {
                    self.require_scroll()?;
                }
                self.position = target(here.saturating_add(offset).max(0));
                self.row_at(self.position, total)
            }
        };
        Ok(self.take(&rows))
    }

    fn row_at(&self, position: usize, total: usize) -> Vec<usize> {
        (1..=total).contains(&position).then(|| position - 1).into_iter().collect()
    }

    fn require_scroll(&self) -> SqlResult<()> {
        if self.about.is_scrollable {
            return Ok(());
        }
        Err(SqlError::new(
            SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE,
            "cursor can only scan forward",
        )
        .hint("Declare it with SCROLL option to enable backward scan."))
    }

    fn take(&self, rows: &[usize]) -> Vec<RecordBatch> {
        let Some(all) = &self.rows else { return Vec::new() };
        match (rows.first(), rows.last()) {
            (Some(first), Some(last)) if first <= last => vec![all.slice(*first, rows.len())],
            _ => rows.iter().map(|row| all.slice(*row, 1)).collect(),
        }
    }
}

impl ClusterSession {
    pub(super) async fn declare(
        &mut self,
        about: CursorAbout,
        query: &ast::Query,
        parsed: &Parsed,
        params: &Params,
        options: &ExecuteOptions,
    ) -> SqlResult<Execution> {
        let name = about.name.clone();
        if !about.is_holdable && !self.in_block() {
            return Err(SqlError::new(
                SqlState::NO_ACTIVE_SQL_TRANSACTION,
                "DECLARE CURSOR can only be used in transaction blocks",
            ));
        }
        if self.cursors.contains_key(&name) {
            return Err(SqlError::new(
                SqlState::DUPLICATE_CURSOR,
                format!("cursor \"{name}\" already exists"),
            ));
        }
        let parsed = Parsed {
            statement: Statement::Sql(Box::new(ast::Statement::Query(Box::new(query.clone())))),
            ..parsed.clone()
        };
        let catalog = self.snapshot();
        let env = self.function_env(&catalog);
        let context = BindContext {
            catalog: &catalog,
            env: &env,
            param_types: Some(params.types()),
            param_values: params.values(),
        };
        let Some(query) = bind::bind_query(&parsed, &context)? else {
            return Err(SqlError::new(
                SqlState::INVALID_CURSOR_STATE,
                "a cursor's query must be SELECT or VALUES",
            ));
        };
        let query = params.query(query)?;
        self.transaction().await?;
        let scope = self.scope().await?;
        let rows = self.rows(&query, &scope).await?;
        let rows = interruptible(rows, options);
        let columns: Arc<[OutputColumn]> = query.columns.clone().into();
        let declared = self.txn.as_ref().map_or(0, Transaction::statement);
        let cursor = Cursor::open(columns, rows, about, declared).await?;
        self.cursors.insert(name, cursor);
        self.finish_statement(options).await?;
        Ok(Execution::Command("DECLARE CURSOR".into()))
    }

    pub(super) fn fetch(
        &mut self,
        name: &str,
        direction: CursorDirection,
        discard: bool,
    ) -> SqlResult<Execution> {
        if discard {
            let cursor = self.cursors.get_mut(name).ok_or_else(|| no_cursor(name))?;
            let rows = cursor.fetch(direction)?;
            let count: usize = rows.iter().map(|batch| batch.num_rows()).sum();
            return Ok(Execution::Command(format!("MOVE {count}")));
        }
        Ok(Execution::Rows(self.fetched(name, direction)?))
    }

    pub(super) fn fetched(&mut self, name: &str, direction: CursorDirection) -> SqlResult<Rows> {
        let cursor = self.cursors.get_mut(name).ok_or_else(|| no_cursor(name))?;
        let rows = cursor.fetch(direction)?;
        Ok(Rows { columns: cursor.columns.clone(), stream: stream_of(rows), tag: "FETCH" })
    }
}

pub(super) fn no_cursor(name: &str) -> SqlError {
    SqlError::new(SqlState::INVALID_CURSOR_NAME, format!("cursor \"{name}\" does not exist"))
}

/// Batches at hand as a stream.
fn stream_of(batches: Vec<RecordBatch>) -> BatchStream {
    stream::iter(batches.into_iter().map(Ok)).boxed()
}
