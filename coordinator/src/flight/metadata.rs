//! Catalog metadata commands, answered from the system catalogs by ordinary SQL.

use std::sync::{Arc, OnceLock};

use arrow_flight::Ticket;
use arrow_flight::sql::metadata::{
    SqlInfoData, SqlInfoDataBuilder, XdbcTypeInfo, XdbcTypeInfoData, XdbcTypeInfoDataBuilder,
};
use arrow_flight::sql::{
    CommandGetCatalogs, CommandGetDbSchemas, CommandGetPrimaryKeys, CommandGetTableTypes,
    CommandGetTables, Nullable, Searchable, SqlInfo, SqlSupportedTransaction, XdbcDataType,
};
use datafusion::arrow::array::{ArrayRef, AsArray, Int32Array, RecordBatch, StringArray};
use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use satsuma_common::{SqlError, SqlResult};
use tonic::{Request, Status};

use super::Flight;
use super::put::quoted;
use super::run::{self, Statement};
use super::status::to_status;
use crate::session_api::Interrupt;

/// Relation kinds as `information_schema.tables` names them.
const TABLE_TYPES: [&str; 3] = ["BASE TABLE", "FOREIGN", "VIEW"];

fn internal(error: impl std::fmt::Display) -> Status {
    Status::internal(error.to_string())
}

/// Rows of a query whose columns are all text.
async fn query<T>(
    flight: &Flight,
    request: &Request<T>,
    sql: String,
) -> SqlResult<Vec<Vec<String>>> {
    let taken = flight.take(request, &[]).await?;
    let mut started =
        run::start(taken, Statement::new(sql), Interrupt::new(), flight.shutdown.clone()).await?;
    let mut rows = vec![];
    while let Some(batch) = started.batches.recv().await.transpose()? {
        let columns = batch
            .columns()
            .iter()
            .map(|column| {
                column
                    .as_string_opt::<i32>()
                    .ok_or_else(|| SqlError::internal("a metadata column is not text"))
            })
            .collect::<SqlResult<Vec<_>>>()?;
        for row in 0..batch.num_rows() {
            rows.push(columns.iter().map(|column| column.value(row).to_owned()).collect());
        }
    }
    Ok(rows)
}

fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

pub async fn catalogs(
    flight: &Flight,
    request: &Request<Ticket>,
    command: CommandGetCatalogs,
) -> Result<RecordBatch, Status> {
    let sql = "SELECT datname::text FROM pg_catalog.pg_database ORDER BY 1".to_owned();
    let rows = query(flight, request, sql).await.map_err(|error| to_status(&error))?;
    let mut builder = command.into_builder();
    for row in rows {
        builder.append(&row[0]);
    }
    builder.build().map_err(internal)
}

pub async fn schemas(
    flight: &Flight,
    request: &Request<Ticket>,
    command: CommandGetDbSchemas,
) -> Result<RecordBatch, Status> {
    let sql = "SELECT nspname::text FROM pg_catalog.pg_namespace ORDER BY 1".to_owned();
    let rows = query(flight, request, sql).await.map_err(|error| to_status(&error))?;
    let mut builder = command.into_builder();
    for row in rows {
        builder.append(&flight.database, &row[0]);
    }
    builder.build().map_err(internal)
}

pub async fn tables(
    flight: &Flight,
    request: &Request<Ticket>,
    command: CommandGetTables,
) -> Result<RecordBatch, Status> {
    // The builder filters too; here the pattern only keeps the describes below few.
    let pattern = command.table_name_filter_pattern.clone().unwrap_or_else(|| "%".into());
    let sql = format!(
        "SELECT table_schema::text, table_name::text, table_type::text \
         FROM information_schema.tables WHERE table_name LIKE {} ORDER BY 1, 2",
        literal(&pattern)
    );
    let rows = query(flight, request, sql).await.map_err(|error| to_status(&error))?;
    let include_schema = command.include_schema;
    let mut builder = command.into_builder();
    let empty = Schema::empty();
    for row in rows {
        let (schema_name, table, kind) = (&row[0], &row[1], &row[2]);
        let shape = if include_schema {
            let sql = format!("SELECT * FROM {}.{}", quoted(schema_name), quoted(table));
            let described = flight.describe(request, &sql, &[]).await;
            // A table that was dropped meanwhile is not listed.
            let Ok(super::Description { result: shape, .. }) = described else { continue };
            shape
        } else {
            Arc::new(empty.clone())
        };
        builder.append(&flight.database, schema_name, table, kind, &shape).map_err(internal)?;
    }
    builder.build().map_err(internal)
}

pub fn table_types(command: CommandGetTableTypes) -> Result<RecordBatch, Status> {
    let mut builder = command.into_builder();
    for kind in TABLE_TYPES {
        builder.append(kind);
    }
    builder.build().map_err(internal)
}

pub fn primary_keys_schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("catalog_name", DataType::Utf8, true),
        Field::new("db_schema_name", DataType::Utf8, true),
        Field::new("table_name", DataType::Utf8, false),
        Field::new("column_name", DataType::Utf8, false),
        Field::new("key_name", DataType::Utf8, true),
        Field::new("key_sequence", DataType::Int32, false),
    ]))
}

pub async fn primary_keys(
    flight: &Flight,
    request: &Request<Ticket>,
    command: CommandGetPrimaryKeys,
) -> Result<RecordBatch, Status> {
    let mut sql = format!(
        "SELECT k.table_schema::text, k.table_name::text, k.column_name::text, \
         k.constraint_name::text, k.ordinal_position::text \
         FROM information_schema.key_column_usage k \
         JOIN information_schema.table_constraints c \
         ON c.constraint_schema = k.constraint_schema AND c.constraint_name = k.constraint_name \
         AND c.table_name = k.table_name \
         WHERE c.constraint_type = 'PRIMARY KEY' AND k.table_name = {}",
        literal(&command.table)
    );
    if let Some(schema) = &command.db_schema {
        sql.push_str(&format!(" AND k.table_schema = {}", literal(schema)));
    }
    let mut rows = query(flight, request, sql).await.map_err(|error| to_status(&error))?;
    rows.sort_by_key(|row| (row[0].clone(), row[4].parse::<i32>().unwrap_or(0)));
    let text = |index: usize| -> ArrayRef {
        Arc::new(rows.iter().map(|row| Some(row[index].as_str())).collect::<StringArray>())
    };
    let catalog: ArrayRef =
        Arc::new(rows.iter().map(|_| Some(flight.database.as_str())).collect::<StringArray>());
    let sequence: ArrayRef =
        Arc::new(rows.iter().map(|row| row[4].parse::<i32>().unwrap_or(0)).collect::<Int32Array>());
    let arrays = vec![catalog, text(0), text(1), text(2), text(3), sequence];
    RecordBatch::try_new(primary_keys_schema(), arrays).map_err(internal)
}

pub fn sql_info() -> Result<&'static SqlInfoData, Status> {
    static DATA: OnceLock<Option<SqlInfoData>> = OnceLock::new();
    let build = || {
        let mut builder = SqlInfoDataBuilder::new();
        builder.append(SqlInfo::FlightSqlServerName, "Satsuma");
        builder.append(SqlInfo::FlightSqlServerVersion, env!("CARGO_PKG_VERSION"));
        builder.append(SqlInfo::FlightSqlServerArrowVersion, "59");
        builder.append(SqlInfo::FlightSqlServerReadOnly, false);
        builder.append(SqlInfo::FlightSqlServerSql, true);
        builder.append(SqlInfo::FlightSqlServerSubstrait, false);
        builder.append(
            SqlInfo::FlightSqlServerTransaction,
            SqlSupportedTransaction::Transaction as i32,
        );
        builder.append(SqlInfo::FlightSqlServerCancel, true);
        builder.append(SqlInfo::FlightSqlServerBulkIngestion, true);
        builder.append(SqlInfo::FlightSqlServerIngestTransactionsSupported, true);
        builder.append(SqlInfo::SqlIdentifierQuoteChar, "\"");
        builder.append(SqlInfo::SqlDdlCatalog, false);
        builder.append(SqlInfo::SqlDdlSchema, true);
        builder.append(SqlInfo::SqlDdlTable, true);
        builder.append(SqlInfo::SqlTransactionsSupported, true);
        builder.build().ok()
    };
    DATA.get_or_init(build).as_ref().ok_or_else(|| Status::internal("no server information"))
}

pub fn type_info() -> Result<&'static XdbcTypeInfoData, Status> {
    static DATA: OnceLock<Option<XdbcTypeInfoData>> = OnceLock::new();
    let build = || {
        let types = [
            ("smallint", XdbcDataType::XdbcSmallint, 5, None),
            ("integer", XdbcDataType::XdbcInteger, 10, None),
            ("bigint", XdbcDataType::XdbcBigint, 19, None),
            ("real", XdbcDataType::XdbcReal, 24, None),
            ("double precision", XdbcDataType::XdbcDouble, 53, None),
            ("numeric", XdbcDataType::XdbcNumeric, 1000, None),
            ("text", XdbcDataType::XdbcVarchar, 1 << 30, Some("'")),
            ("character varying", XdbcDataType::XdbcVarchar, 10_485_760, Some("'")),
            ("bytea", XdbcDataType::XdbcVarbinary, 1 << 30, Some("'")),
            ("date", XdbcDataType::XdbcDate, 13, Some("'")),
            ("time without time zone", XdbcDataType::XdbcTime, 15, Some("'")),
            ("timestamp without time zone", XdbcDataType::XdbcTimestamp, 29, Some("'")),
            ("timestamp with time zone", XdbcDataType::XdbcTimestamp, 35, Some("'")),
        ];
        let mut builder = XdbcTypeInfoDataBuilder::new();
        for (name, data_type, size, quote) in types {
            builder.append(XdbcTypeInfo {
                type_name: name.into(),
                data_type,
                column_size: Some(size),
                literal_prefix: quote.map(Into::into),
                literal_suffix: quote.map(Into::into),
                create_params: None,
                nullable: Nullable::NullabilityNullable,
                case_sensitive: quote.is_some(),
                searchable: Searchable::Full,
                unsigned_attribute: Some(false),
                fixed_prec_scale: false,
                auto_increment: Some(false),
                local_type_name: None,
                minimum_scale: None,
                maximum_scale: None,
                sql_data_type: data_type,
                datetime_subcode: None,
                num_prec_radix: None,
                interval_precision: None,
            });
        }
        builder.build().ok()
    };
    DATA.get_or_init(build).as_ref().ok_or_else(|| Status::internal("no type information"))
}
