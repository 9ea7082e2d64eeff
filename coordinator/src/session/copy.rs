//! COPY FROM: rows from the client, completed with defaults, streamed to the shards they belong
//! to.

use std::sync::Arc;

use async_trait::async_trait;
use datafusion::arrow::array::{RecordBatch, UInt32Array};
use datafusion::arrow::datatypes::{DataType, Field, Schema};
use satsuma_common::{SqlError, SqlResult, SqlState};
use satsuma_proto::worker::LINE_COLUMN;
use satsuma_sql::bind::BindContext;
use satsuma_sql::bound::{BoundCopyFrom, OutputColumn};
use satsuma_sql::engine_error::arrow_to_sql;
use satsuma_sql::row_checks::{Refused, RowChecks};

use super::ClusterSession;
use crate::catalog::Table;
use crate::executor::gate::Gate;
use crate::executor::modify::nullable;
use crate::executor::{Executor, Loads, Scope};
use crate::session_api::{CopyIn, CopySink, Execution};

struct LoadSink {
    executor: Arc<Executor>,
    table: Arc<Table>,
    complete: Completion,
    loads: Loads,
    checks: RowChecks,
    /// A row may be told by its line: every row of the file is one of the table, and the table
    /// may refuse it.
    numbered: bool,
}

/// How the file's columns become the table's.
enum Completion {
    /// They are the table's, in order.
    AsIs,
    Plan(Box<satsuma_sql::bound::BoundCopyFrom>),
}

pub(super) async fn copy_from(
    session: &mut ClusterSession,
    copy: &BoundCopyFrom,
    scope: &Arc<Scope>,
) -> SqlResult<Execution> {
    let shape = &copy.table.shape;
    let table = scope
        .state
        .table_arc(shape.table)
        .ok_or_else(|| SqlError::internal(format!("table {} is gone", shape.table)))?;
    let columns: Vec<OutputColumn> = copy
        .columns
        .iter()
        .filter_map(|id| shape.column(*id))
        .map(|column| OutputColumn {
            name: column.name.clone(),
            ty: column.ty.clone(),
            origin: Some((shape.table, column.id)),
            typmod: column.ty.typmod(),
        })
        .collect();
    let is_whole = copy.columns.len() == shape.columns.len()
        && copy.columns.iter().zip(&shape.columns).all(|(id, column)| *id == column.id)
        && copy.table.generated.iter().all(Option::is_none)
        && !copy.filtered;
    let complete =
        if is_whole { Completion::AsIs } else { Completion::Plan(Box::new(copy.clone())) };
    let catalog = session.snapshot();
    let env = session.function_env(&catalog);
    let context =
        BindContext { catalog: &catalog, env: &env, param_types: None, param_values: &[] };
    let checks = RowChecks::compile(shape, &context)?;
    stay(session, &table, scope).await?;
    let txn =
        session.txn.as_mut().ok_or_else(|| SqlError::internal("a load without a transaction"))?;
    if copy.options.freeze && !txn.is_fresh(table.id()) {
        return Err(cannot_freeze());
    }
    let loads = Loads::start(txn, table.clone(), scope).await?;
    let executor = session.cluster.executor.clone();
    let may_be_refused = !shape.primary_key.is_empty()
        || !shape.checks.is_empty()
        || shape.indexes.iter().any(|index| index.unique)
        || shape.columns.iter().any(|column| column.not_null);
    let numbered = may_be_refused && !copy.filtered;
    let sink = LoadSink { executor, table, complete, loads, checks, numbered };
    Ok(Execution::CopyIn(CopyIn {
        table: shape.name.clone(),
        columns: columns.into(),
        options: copy.options.clone(),
        sink: Box::new(sink),
    }))
}

/// PostgreSQL's condition, so that a script fails in both or in neither: rows are not frozen here.
fn cannot_freeze() -> SqlError {
    SqlError::new(
        SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE,
        "cannot perform COPY FREEZE because the table was not created or truncated in the current \
         subtransaction",
    )
}

/// Keeps the table's shard groups where they are until the transaction ends: the client's rows
/// cannot be asked for a second time.
async fn stay(session: &mut ClusterSession, table: &Table, scope: &Arc<Scope>) -> SqlResult<()> {
    let txn =
        session.txn.as_mut().ok_or_else(|| SqlError::internal("a load without a transaction"))?;
    let groups = table.shards().iter().map(|shard| shard.group).collect();
    Gate { scope, txn, table }.all(&groups).await
}

impl LoadSink {
    /// The file's rows as the table's, once they satisfy what is asked of each by itself. The
    /// shards ask again; but only here it is known what stands in the file.
    async fn admitted(&self, batch: RecordBatch) -> Result<Vec<RecordBatch>, Refused> {
        let batches = self.completed(batch).await?;
        let mut before = 0;
        for batch in &batches {
            self.checks.check(&self.table.shape, batch).map_err(|refused| Refused {
                row: refused.row.filter(|_| self.numbered).map(|row| before + row),
                error: refused.error,
            })?;
            before += batch.num_rows();
        }
        Ok(batches)
    }

    async fn completed(&self, batch: RecordBatch) -> SqlResult<Vec<RecordBatch>> {
        let schema = nullable(&self.table.shape.arrow_schema());
        let batches = match &self.complete {
            Completion::AsIs => vec![batch],
            Completion::Plan(copy) => {
                self.executor.run_over_input(&copy.complete, vec![batch]).await?
            }
        };
        batches
            .into_iter()
            .map(|batch| {
                RecordBatch::try_new(schema.clone(), batch.columns().to_vec()).map_err(arrow_to_sql)
            })
            .collect()
    }

    /// Adds the lines that a worker names when it finds a key taken.
    fn with_lines(
        &self,
        batches: Vec<RecordBatch>,
        lines: &UInt32Array,
    ) -> SqlResult<Vec<RecordBatch>> {
        let mut at = 0;
        let numbered = batches.into_iter().map(|batch| {
            let lines = lines.slice(at, batch.num_rows());
            at += batch.num_rows();
            let mut fields: Vec<_> = batch.schema().fields().iter().cloned().collect();
            fields.push(Arc::new(Field::new(LINE_COLUMN, DataType::UInt32, false)));
            let mut columns = batch.columns().to_vec();
            columns.push(Arc::new(lines));
            RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).map_err(arrow_to_sql)
        });
        numbered.collect()
    }
}

#[async_trait]
impl CopySink for LoadSink {
    async fn check(&mut self, batch: RecordBatch) -> Result<(), Refused> {
        self.admitted(batch).await.map(drop)
    }

    async fn write(
        &mut self,
        batch: RecordBatch,
        lines: Option<UInt32Array>,
    ) -> Result<(), Refused> {
        let mut batches = self.admitted(batch).await?;
        if let Some(lines) = lines.filter(|_| self.numbered) {
            batches = self.with_lines(batches, &lines)?;
        }
        for batch in batches {
            self.loads.send(batch).await.map_err(crate::executor::for_client)?;
        }
        Ok(())
    }

    async fn finish(self: Box<Self>) -> SqlResult<u64> {
        self.loads.finish().await.map_err(crate::executor::for_client)
    }
}
