//! `alter_distributed_table`: the same table in other shards.

use std::sync::Arc;

use satsuma_common::{SqlError, SqlResult, SqlState};

use super::Ddl;
use super::distribute::{check_foreign_keys, copy_rows, named_table};
use crate::catalog::{ColocateWith, Command, DistributionRequest, Table, TableDistribution, plan};

/// Arguments as the session resolved them; what is `None` stays as it is.
#[derive(Clone, Debug)]
pub struct AlterArguments {
    pub table: Arc<Table>,
    pub column: Option<String>,
    pub shard_count: Option<i64>,
    pub colocate_with: Option<String>,
    pub cascade: Option<bool>,
}

pub async fn alter_distributed_table(
    ddl: &mut Ddl<'_>,
    arguments: AlterArguments,
) -> SqlResult<()> {
    let table = &arguments.table;
    let TableDistribution::Hash(present) = table.distribution() else {
        return Err(SqlError::internal(format!(
            "cannot alter table because the table is not distributed: \"{}\"",
            table.shape.name
        )));
    };
    if arguments.column.is_none()
        && arguments.shard_count.is_none()
        && arguments.colocate_with.is_none()
    {
        return Err(SqlError::internal(
            "you have to specify at least one of the distribution_column, shard_count or \
             colocate_with parameters",
        ));
    }
    if let Some(count) = arguments.shard_count
        && !(1..=64000).contains(&count)
    {
        return Err(SqlError::internal(format!(
            "{count} is outside the valid range for parameter \"shard_count\" (1 .. 64000)"
        )));
    }
    let column = match &arguments.column {
        None => present,
        Some(name) => {
            table
                .shape
                .column_named(name)
                .ok_or_else(|| {
                    SqlError::new(
                        SqlState::UNDEFINED_COLUMN,
                        format!(
                            "column \"{name}\" of relation \"{}\" does not exist",
                            table.shape.name
                        ),
                    )
                })?
                .id
        }
    };
    let state = ddl.state();
    let colocated: Vec<Arc<Table>> = state
        .tables_in(table.colocation())
        .filter(|other| other.id() != table.id())
        .filter_map(|other| state.table_arc(other.id()))
        .collect();
    let cascades = match arguments.cascade {
        Some(cascade) => cascade && !colocated.is_empty(),
        None if colocated.is_empty() || arguments.shard_count.is_none() => false,
        None => {
            return Err(SqlError::internal("cascade_to_colocated parameter is necessary")
                .detail("this table is colocated with some other tables")
                .hint(
                    "cascade_to_colocated => false will break the current colocation, \
                     cascade_to_colocated => true will change the shard count for all the tables.",
                ));
        }
    };
    if cascades && arguments.column.is_some() {
        return Err(SqlError::internal(
            "distribution_column changes can't be cascaded to colocated tables",
        ));
    }
    let colocate_with = match arguments.colocate_with.as_deref() {
        None | Some("default") => ColocateWith::Default,
        Some("none") => ColocateWith::None,
        Some(named) => ColocateWith::Table(named_table(ddl, named)?.id()),
    };
    let known = state.colocation(table.colocation()).map_or(1, |known| known.shard_count());
    let shard_count = match arguments.shard_count {
        Some(count) => u32::try_from(count).unwrap_or(1),
        None => u32::try_from(known).unwrap_or(1),
    };
    let mut all = vec![table.clone()];
    if cascades {
        all.extend(colocated);
    }
    let mut moved = Vec::new();
    let mut with = colocate_with;
    for table in &all {
        let column = if cascades {
            match table.distribution() {
                TableDistribution::Hash(own) => own,
                _ => column,
            }
        } else {
            column
        };
        check_column(table, column)?;
        let ty = table.shape.column(column).map(|column| column.ty.without_modifier());
        let request = DistributionRequest {
            distribution: TableDistribution::Hash(column),
            column_type: ty,
            shard_count,
            colocate_with: with,
        };
        redistribute(ddl, table, &request).await?;
        with = ColocateWith::Table(table.id());
        moved.push(table.id());
    }
    let state = ddl.state();
    for table in moved.into_iter().filter_map(|id| state.table(id)) {
        check_foreign_keys(&state, table, table.placement())?;
        let referring = table.shape.referenced_by.iter().filter_map(|key| state.table(key.table));
        referring
            .into_iter()
            .try_for_each(|other| check_foreign_keys(&state, other, other.placement()))?;
    }
    Ok(())
}

fn check_column(table: &Table, column: satsuma_common::ColumnId) -> SqlResult<()> {
    let has_key = !table.shape.primary_key.is_empty();
    if has_key && !table.shape.primary_key.contains(&column) {
        return Err(SqlError::unsupported(format!(
            "cannot create constraint on \"{}\"",
            table.shape.name
        ))
        .detail(
            "Distributed relations cannot have UNIQUE, EXCLUDE, or PRIMARY KEY constraints that \
             do not include the partition column (with an equality operator if EXCLUDE).",
        ));
    }
    Ok(())
}

/// Moves the rows to new shards, in Citus's words.
async fn redistribute(
    ddl: &mut Ddl<'_>,
    table: &Arc<Table>,
    request: &DistributionRequest,
) -> SqlResult<()> {
    let name = format!("{}.{}", table.shape.schema_name, table.shape.name);
    ddl.lock_table(table).await?;
    ddl.notice(format!("creating a new table for {name}"));
    let before = ddl.state();
    let planned = plan(&before, request)?;
    let mut ids = ddl.reserve(planned.ids(&before)).await?;
    let placed = planned.commands(&before, &mut ids)?;
    if let Some(colocation) = placed.colocation {
        ddl.apply(colocation)?;
    }
    ddl.drop_shards(table);
    ddl.apply(Command::PlaceTable { table: table.id(), placement: placed.placement })?;
    let state = ddl.state();
    let moved =
        state.table_arc(table.id()).ok_or_else(|| SqlError::internal("the table is gone"))?;
    ddl.create_shards(moved.def(), moved.placement()).await?;
    ddl.notice(format!("moving the data of {name}"));
    copy_rows(ddl, before, table, &moved).await?;
    ddl.notice(format!("dropping the old {name}"));
    ddl.notice(format!("renaming the new table to {name}"));
    Ok(())
}
