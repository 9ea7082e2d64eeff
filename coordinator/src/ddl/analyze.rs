//! ANALYZE: looks at a sample of a table's rows, and keeps what it finds in the catalog.

use futures::stream::TryStreamExt;
use satsuma_common::{SqlError, SqlResult, SqlState, TableId, arrow_values};
use satsuma_sql::bind;
use sqlparser::ast::{Ident, ObjectName};

use super::Ddl;
use super::rows::qualified;
use crate::catalog::{Command, RelationRef, Table, TableStatistics, is_member, quote_identifier};
use crate::statistics::{SAMPLE_ROWS, Sample};

/// Analyzes the tables, whose names were looked up before; without names all of the database.
pub async fn analyze(ddl: &mut Ddl<'_>, tables: &[(ObjectName, Vec<Ident>)]) -> SqlResult<()> {
    let state = ddl.state();
    if tables.is_empty() {
        let own = ddl.temporary_name.clone();
        let is_others = |schema: &str| schema.starts_with("pg_temp_") && schema != own.as_str();
        let all: Vec<TableId> = state
            .tables()
            .filter(|table| !is_others(&table.shape.schema_name))
            .map(Table::id)
            .collect();
        for table in all {
            one(ddl, table, &[]).await?;
        }
    }
    for (name, columns) in tables {
        let (schema, relation) = bind::qualified_name(name, &state.cluster().database)?;
        let path = ddl.snapshot.search_path.clone();
        match state.relation_by_name(&path, schema.as_deref(), &relation) {
            Some(RelationRef::Table(table)) => {
                let columns: Vec<String> = columns.iter().map(bind::fold).collect();
                one(ddl, table, &columns).await?;
            }
            _ => ddl.warning(format!(
                "skipping \"{relation}\" --- cannot analyze non-tables or special system tables"
            )),
        }
    }
    Ok(())
}

/// All columns where none is named.
async fn one(ddl: &mut Ddl<'_>, id: TableId, only: &[String]) -> SqlResult<()> {
    let state = ddl.state();
    let Some(table) = state.table(id) else { return Ok(()) };
    if !is_member(&state, ddl.snapshot.user, table.owner) {
        ddl.warning(format!(
            "skipping \"{}\" --- only table or database owner can analyze it",
            table.shape.name
        ));
        return Ok(());
    }
    let columns: Vec<_> = table
        .shape
        .columns
        .iter()
        .filter(|column| only.is_empty() || only.contains(&column.name))
        .collect();
    if columns.is_empty() {
        return Ok(());
    }
    let from = qualified(&table.shape);
    let rows = count(ddl, &from).await?;
    let names: Vec<String> = columns.iter().map(|column| quote_identifier(&column.name)).collect();
    let mut sql = format!("SELECT {} FROM {from}", names.join(", "));
    if rows > SAMPLE_ROWS {
        let percent = 100.0 * SAMPLE_ROWS as f64 / rows as f64;
        sql.push_str(&format!(" TABLESAMPLE BERNOULLI ({percent})"));
    }
    let mut samples: Vec<Sample> =
        columns.iter().map(|column| Sample::new(column.ty.clone())).collect();
    let mut batches = ddl.query(&sql).await?;
    while let Some(batch) = batches.try_next().await? {
        for (sample, column) in samples.iter_mut().zip(batch.columns()) {
            sample.add(column.as_ref())?;
        }
    }
    let mut statistics = match only.is_empty() {
        true => TableStatistics::default(),
        false => state.statistics(id).map(|known| (*known).clone()).unwrap_or_default(),
    };
    for (column, sample) in columns.iter().zip(samples) {
        // Of an empty table there is nothing to say.
        if rows > 0 {
            statistics.columns.insert(column.id, sample.describe(rows as f64));
        }
    }
    ddl.apply(Command::SetStatistics { table: id, statistics })?;
    Ok(())
}

async fn count(ddl: &mut Ddl<'_>, from: &str) -> SqlResult<u64> {
    let batches = ddl.select(&format!("SELECT count(*) FROM {from}")).await?;
    let Some(batch) = batches.iter().find(|batch| batch.num_rows() > 0) else {
        return Err(SqlError::internal("a count has no row"));
    };
    match arrow_values::datum_at(batch.column(0).as_ref(), 0, &satsuma_common::PgType::Int8)? {
        satsuma_common::Datum::Int8(count) => Ok(u64::try_from(count).unwrap_or_default()),
        _ => Err(SqlError::new(SqlState::INTERNAL_ERROR, "a count is no number")),
    }
}
