//! DoPut: statements without a result, parameters, bulk data.

use arrow_flight::decode::FlightRecordBatchStream;
use arrow_flight::error::FlightError;
use arrow_flight::sql::server::PeekableFlightDataStream;
use arrow_flight::sql::{
    CommandPreparedStatementQuery, CommandPreparedStatementUpdate, CommandStatementIngest,
    CommandStatementUpdate, DoPutPreparedStatementResult, TableExistsOption, TableNotExistOption,
};
use bytes::Bytes;
use datafusion::arrow::array::{AsArray, RecordBatch};
use datafusion::arrow::compute::concat_batches;
use datafusion::arrow::datatypes::Schema;
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt};
use satsuma_common::{SqlError, SqlResult, SqlState, arrow_types};
use tonic::{Request, Status};

use super::Flight;
use super::run::{COPY_COLUMN, Input, Parameters, Statement};
use super::status::to_status;

/// Rows of parameters that one prepared statement may hold.
const MOST_PARAMETER_ROWS: usize = 100_000;

impl From<Option<RecordBatch>> for Parameters {
    fn from(batch: Option<RecordBatch>) -> Self {
        batch.map_or(Self::None, Self::Batch)
    }
}

fn sql_error(error: &SqlError) -> Status {
    to_status(error)
}

fn flight_error(error: FlightError) -> SqlError {
    match error {
        FlightError::Tonic(status) => super::status::from_status(&status),
        other => SqlError::new(SqlState::PROTOCOL_VIOLATION, other.to_string()),
    }
}

/// The call without its data stream, and the data as batches.
fn split(
    request: Request<PeekableFlightDataStream>,
) -> (Request<()>, BoxStream<'static, SqlResult<RecordBatch>>) {
    let (metadata, extensions, body) = request.into_parts();
    let messages = body.into_peekable().map_err(|status| FlightError::Tonic(Box::new(status)));
    let batches =
        FlightRecordBatchStream::new_from_flight_data(messages).map_err(flight_error).boxed();
    (Request::from_parts(metadata, extensions, ()), batches)
}

/// A statement; `COPY .. FROM STDIN` takes its data from the batches that come with it: bytes of
/// the file in a column named [`COPY_COLUMN`], or rows.
pub async fn update(
    flight: &Flight,
    command: CommandStatementUpdate,
    request: Request<PeekableFlightDataStream>,
) -> Result<i64, Status> {
    let (request, batches) = split(request);
    let transaction = command.transaction_id.unwrap_or_default();
    let statement = Statement {
        input: Input::Bytes(batches.map(|batch| copy_bytes(&batch?)).boxed()),
        ..Statement::new(command.query)
    };
    let report =
        flight.complete(&request, statement, &transaction).await.map_err(|e| sql_error(&e))?;
    Ok(report.count as i64)
}

fn copy_bytes(batch: &RecordBatch) -> SqlResult<Bytes> {
    let column = batch
        .column_by_name(COPY_COLUMN)
        .and_then(|column| column.as_binary_opt::<i32>())
        .ok_or_else(|| {
            SqlError::new(
                SqlState::PROTOCOL_VIOLATION,
                format!("COPY data comes in a binary column named {COPY_COLUMN}"),
            )
        })?;
    let mut bytes = Vec::new();
    for chunk in column.iter().flatten() {
        bytes.extend_from_slice(chunk);
    }
    Ok(bytes.into())
}

/// Bulk ingestion: rows into a table by way of COPY, creating the table where that is asked for.
pub async fn ingest(
    flight: &Flight,
    command: CommandStatementIngest,
    request: Request<PeekableFlightDataStream>,
) -> Result<i64, Status> {
    if command.temporary {
        let error = SqlError::unsupported("ingestion into temporary tables is not supported");
        return Err(sql_error(&error));
    }
    let (request, mut batches) = split(request);
    let transaction = match &command.transaction_id {
        Some(id) if !id.is_empty() => id.to_vec(),
        // Arrow's Go client, which ADBC is made of, does not name the transaction that it is in.
        _ => flight
            .sessions
            .open_transaction(request.metadata(), request.remote_addr())
            .await
            .map_err(|error| sql_error(&error))?,
    };
    let table = table_name(&command);
    let options = command.table_definition_options.unwrap_or_default();
    let first = batches.next().await.transpose().map_err(|e| sql_error(&e))?;
    let Some(first) = first else { return Ok(0) };
    let mut before = vec![];
    match TableExistsOption::try_from(options.if_exists) {
        Ok(TableExistsOption::Replace) => before.push(format!("DROP TABLE IF EXISTS {table}")),
        Ok(
            TableExistsOption::Append | TableExistsOption::Unspecified | TableExistsOption::Fail,
        )
        | Err(_) => {}
    }
    if options.if_not_exist == TableNotExistOption::Create as i32 {
        let fail = options.if_exists == TableExistsOption::Fail as i32;
        before.push(create_table(&table, &first.schema(), fail));
    }
    let columns: Vec<String> =
        first.schema().fields().iter().map(|field| quoted(field.name())).collect();
    let statement = Statement {
        before,
        input: Input::Batches(futures::stream::iter([Ok(first)]).chain(batches).boxed()),
        ..Statement::new(format!("COPY {table} ({}) FROM STDIN", columns.join(", ")))
    };
    let report =
        flight.complete(&request, statement, &transaction).await.map_err(|e| sql_error(&e))?;
    Ok(report.count as i64)
}

fn table_name(command: &CommandStatementIngest) -> String {
    match command.schema.as_deref().filter(|schema| !schema.is_empty()) {
        Some(schema) => format!("{}.{}", quoted(schema), quoted(&command.table)),
        None => quoted(&command.table),
    }
}

/// A name as an SQL identifier.
pub fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

fn create_table(table: &str, schema: &Schema, fail_if_exists: bool) -> String {
    let columns: Vec<String> = schema
        .fields()
        .iter()
        .map(|field| format!("{} {}", quoted(field.name()), arrow_types::pg_type(field)))
        .collect();
    let guard = if fail_if_exists { "" } else { "IF NOT EXISTS " };
    format!("CREATE TABLE {guard}{table} ({})", columns.join(", "))
}

/// Parameters for a prepared statement's next run.
pub async fn bind(
    flight: &Flight,
    query: CommandPreparedStatementQuery,
    request: Request<PeekableFlightDataStream>,
) -> Result<DoPutPreparedStatementResult, Status> {
    let handle = query.prepared_statement_handle;
    flight.prepared_entry(&handle).map_err(|e| sql_error(&e))?;
    let (_, batches) = split(request);
    let parameters = collect(batches).await.map_err(|e| sql_error(&e))?;
    if let Some(entry) = flight.prepared.lock().get_mut(handle.as_ref()) {
        entry.parameters = parameters;
    }
    Ok(DoPutPreparedStatementResult { prepared_statement_handle: Some(handle) })
}

/// Runs a prepared statement once per row of parameters, all in one transaction.
pub async fn prepared_update(
    flight: &Flight,
    query: CommandPreparedStatementUpdate,
    request: Request<PeekableFlightDataStream>,
) -> Result<i64, Status> {
    let entry =
        flight.prepared_entry(&query.prepared_statement_handle).map_err(|e| sql_error(&e))?;
    let (request, batches) = split(request);
    let given = collect(batches).await.map_err(|e| sql_error(&e))?;
    let transaction = flight.transaction_of(&entry, &request).await.map_err(|e| sql_error(&e))?;
    let parameters = given.filter(|batch| batch.num_columns() > 0).or(entry.parameters);
    let statement = Statement { parameters: parameters.into(), ..Statement::new(entry.sql) };
    let report =
        flight.complete(&request, statement, &transaction).await.map_err(|e| sql_error(&e))?;
    Ok(report.count as i64)
}

async fn collect(
    mut batches: BoxStream<'static, SqlResult<RecordBatch>>,
) -> SqlResult<Option<RecordBatch>> {
    let mut all: Vec<RecordBatch> = vec![];
    let mut rows = 0;
    while let Some(batch) = batches.next().await.transpose()? {
        rows += batch.num_rows();
        if rows > MOST_PARAMETER_ROWS {
            return Err(SqlError::new(
                SqlState::PROGRAM_LIMIT_EXCEEDED,
                format!("more than {MOST_PARAMETER_ROWS} rows of parameters"),
            ));
        }
        all.push(batch);
    }
    let Some(first) = all.first() else { return Ok(None) };
    concat_batches(&first.schema(), &all)
        .map(Some)
        .map_err(|error| SqlError::new(SqlState::PROTOCOL_VIOLATION, error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use datafusion::arrow::datatypes::{DataType, Field};

    #[test]
    fn tables_for_ingestion_are_quoted() {
        let schema = Schema::new(vec![
            Field::new("a\"b", DataType::Int64, true),
            arrow_types::field("ip", &satsuma_common::PgType::Inet, true),
        ]);
        let sql = create_table(&quoted("T"), &schema, true);
        assert_eq!(sql, "CREATE TABLE \"T\" (\"a\"\"b\" bigint, \"ip\" inet)");
    }
}
