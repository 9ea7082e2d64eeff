//! Which shard group each row of a table belongs to.

use datafusion::arrow::array::{Array, RecordBatch, UInt32Array};
use datafusion::arrow::compute::take_record_batch;
use satsuma_common::hash::partition_hash_array;
use satsuma_common::{GroupId, SqlError, SqlResult, SqlState};
use satsuma_sql::engine_error::arrow_to_sql;

use crate::catalog::{State, Table, TableDistribution};

/// Cuts a batch of the table's columns by shard group, in the order of hash ranges; the rows of a
/// group keep their order.
pub fn by_group(
    state: &State,
    table: &Table,
    batch: RecordBatch,
) -> SqlResult<Vec<(GroupId, RecordBatch)>> {
    let colocation = state
        .colocation(table.colocation())
        .ok_or_else(|| SqlError::internal(format!("table {} has no co-location", table.id())))?;
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
    let values = batch.column(position);
    if values.null_count() > 0 {
        return Err(SqlError::new(
            SqlState::NULL_VALUE_NOT_ALLOWED,
            format!(
                "the partition column of table {}.{} cannot be NULL",
                table.shape.schema_name, table.shape.name
            ),
        ));
    }
    let mut rows_of: Vec<Vec<u32>> = vec![Vec::new(); colocation.groups.len()];
    for (row, token) in (0u32..).zip(partition_hash_array(values.as_ref(), &stored.ty)?) {
        let group = token.and_then(|token| colocation.position_of(token)).ok_or_else(|| {
            SqlError::internal(format!("no shard of table {} holds the row", table.id()))
        })?;
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

/// The group of each value of the table's distribution column.
pub fn groups_of(state: &State, table: &Table, values: &dyn Array) -> SqlResult<Vec<GroupId>> {
    let no_group = || SqlError::internal(format!("no shard of table {} holds a row", table.id()));
    let colocation = state.colocation(table.colocation()).ok_or_else(no_group)?;
    let TableDistribution::Hash(column) = table.distribution() else {
        return Err(SqlError::internal(format!("table {} is not distributed", table.id())));
    };
    let stored = table.shape.column(column).ok_or_else(no_group)?;
    partition_hash_array(values, &stored.ty)?
        .into_iter()
        .map(|token| {
            let at = token.and_then(|token| colocation.position_of(token));
            let group = at.and_then(|at| colocation.groups.get(at));
            group.map(|(_, group)| *group).ok_or_else(no_group)
        })
        .collect()
}
