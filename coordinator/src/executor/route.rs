//! Which shard group each row of a table belongs to.

use datafusion::arrow::array::{Array, ArrayRef, RecordBatch, UInt32Array};
use datafusion::arrow::compute::take_record_batch;
use satsuma_common::hash::partition_hash_array;
use satsuma_common::{ColumnId, GroupId, PgType, SqlError, SqlResult, SqlState};
use satsuma_sql::engine_error::arrow_to_sql;

use crate::catalog::{Colocation, State, Table, TableDistribution};

/// Cuts a batch of the table's columns by shard group, in the order of hash ranges; the rows of a
/// group keep their order.
pub fn by_group(
    state: &State,
    table: &Table,
    batch: RecordBatch,
) -> SqlResult<Vec<(GroupId, RecordBatch)>> {
    let colocation = colocation(state, table)?;
    let TableDistribution::Hash(column) = table.distribution() else {
        let (_, group) = colocation
            .groups
            .first()
            .ok_or_else(|| SqlError::internal(format!("table {} has no shards", table.id())))?;
        return Ok(vec![(*group, batch)]);
    };
    let (position, stored) = table
        .shape
        .position(column)
        .zip(table.shape.column(column))
        .ok_or_else(|| SqlError::internal("the distribution column is gone"))?;
    let mut rows_of: Vec<Vec<u32>> = vec![Vec::new(); colocation.groups.len()];
    let positions = positions(colocation, table, batch.column(position), &stored.ty)?;
    for (row, group) in (0u32..).zip(positions) {
        rows_of[group].push(row);
    }
    let total = batch.num_rows();
    rows_of
        .into_iter()
        .zip(&colocation.groups)
        .filter(|(rows, _)| !rows.is_empty())
        .map(|(rows, (_, group))| {
            if rows.len() == total {
                return Ok((*group, batch.clone()));
            }
            let part = take_record_batch(&batch, &UInt32Array::from(rows)).map_err(arrow_to_sql)?;
            Ok((*group, part))
        })
        .collect()
}

/// The group of each value of a table's distribution column.
pub fn groups(
    state: &State,
    table: &Table,
    column: ColumnId,
    values: &ArrayRef,
) -> SqlResult<Vec<GroupId>> {
    let colocation = colocation(state, table)?;
    let stored = table
        .shape
        .column(column)
        .ok_or_else(|| SqlError::internal("the distribution column is gone"))?;
    let positions = positions(colocation, table, values, &stored.ty)?;
    Ok(positions.into_iter().map(|position| colocation.groups[position].1).collect())
}

fn colocation<'a>(state: &'a State, table: &Table) -> SqlResult<&'a Colocation> {
    state
        .colocation(table.colocation())
        .ok_or_else(|| SqlError::internal(format!("table {} has no co-location", table.id())))
}

/// Positions in the co-location's groups.
fn positions(
    colocation: &Colocation,
    table: &Table,
    values: &ArrayRef,
    ty: &PgType,
) -> SqlResult<Vec<usize>> {
    if values.null_count() > 0 {
        return Err(SqlError::new(
            SqlState::NULL_VALUE_NOT_ALLOWED,
            format!(
                "the partition column of table {}.{} cannot be NULL",
                table.shape.schema_name, table.shape.name
            ),
        ));
    }
    partition_hash_array(values.as_ref(), ty)?
        .into_iter()
        .map(|token| {
            token.and_then(|token| colocation.position_of(token)).ok_or_else(|| {
                SqlError::internal(format!("no shard of table {} holds the row", table.id()))
            })
        })
        .collect()
}
