//! `create_distributed_table`, `create_reference_table`, `undistribute_table`.
//!
//! A table's rows move from the shards they are in to new ones, under a lock that holds writers
//! off; the catalog then says that the table is there. All in one transaction.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures::stream::StreamExt;
use satsuma_common::hash::is_hashable;
use satsuma_common::{PgType, SqlError, SqlResult, SqlState};
use satsuma_sql::table::ScanSource;

use super::Ddl;
use crate::catalog::{
    ColocateWith, Command, DistributionRequest, State, Table, TableDistribution, plan,
};
use crate::executor::modify::nullable;
use crate::executor::route;

/// Arguments as the binder resolved them.
#[derive(Clone, Debug)]
pub struct DistributeArguments {
    pub table: Arc<Table>,
    /// `None`: a single shard.
    pub column: Option<String>,
    /// `default`, `none` or a table.
    pub colocate_with: Option<String>,
    pub shard_count: Option<i64>,
}

pub async fn create_distributed_table(
    ddl: &mut Ddl<'_>,
    arguments: DistributeArguments,
) -> SqlResult<()> {
    let table = &arguments.table;
    refuse_distributed(table)?;
    if let Some(count) = arguments.shard_count
        && !(1..=64000).contains(&count)
    {
        return Err(SqlError::internal(format!(
            "{count} is outside the valid range for parameter \"shard_count\" (1 .. 64000)"
        )));
    }
    let (distribution, column_type) = match &arguments.column {
        None => (TableDistribution::SingleShard, None),
        Some(name) => {
            let column = table.shape.column_named(name).ok_or_else(|| {
                SqlError::new(
                    SqlState::UNDEFINED_COLUMN,
                    format!(
                        "column \"{name}\" of relation \"{}\" does not exist",
                        table.shape.name
                    ),
                )
            })?;
            if !is_hashable(&column.ty) {
                return Err(SqlError::new(
                    SqlState::UNDEFINED_FUNCTION,
                    format!(
                        "data type {} has no default operator class for specified partition \
                         method",
                        column.ty
                    ),
                )
                .detail("Partition column types must have a hash function defined to use hash partitioning."));
            }
            let position = table.shape.position(column.id).unwrap_or(0);
            if table.generated.get(position).is_some_and(Option::is_some) {
                return Err(SqlError::unsupported(
                    "cannot distribute relation: ".to_owned() + &table.shape.name,
                )
                .detail("Distribution column must not use GENERATED ALWAYS AS (...) STORED."));
            }
            let state = ddl.state();
            let mut unique = state.indexes_of(table.id()).filter(|index| index.unique);
            if unique.any(|index| !index.has_column(column.id)) {
                return Err(super::index::constraint_not_distributed(&table.shape.name));
            }
            (TableDistribution::Hash(column.id), Some(column.ty.without_modifier()))
        }
    };
    let colocate_with = colocate_with(ddl, &arguments, column_type.as_ref())?;
    let shard_count = match (arguments.shard_count, colocate_with) {
        (Some(count), _) => u32::try_from(count).unwrap_or(ddl.shard_count),
        _ => ddl.shard_count,
    };
    let request = DistributionRequest { distribution, column_type, shard_count, colocate_with };
    place(ddl, table, &request).await
}

pub async fn create_reference_table(ddl: &mut Ddl<'_>, table: &Arc<Table>) -> SqlResult<()> {
    refuse_distributed(table)?;
    let request = DistributionRequest {
        distribution: TableDistribution::Reference,
        column_type: None,
        shard_count: 1,
        colocate_with: ColocateWith::Default,
    };
    place(ddl, table, &request).await
}

fn refuse_distributed(table: &Table) -> SqlResult<()> {
    match table.distribution() {
        TableDistribution::Local => Ok(()),
        _ => Err(SqlError::new(
            SqlState::INVALID_TABLE_DEFINITION,
            format!("table \"{}\" is already distributed", table.shape.name),
        )),
    }
}

fn colocate_with(
    ddl: &mut Ddl<'_>,
    arguments: &DistributeArguments,
    column_type: Option<&PgType>,
) -> SqlResult<ColocateWith> {
    let named = match arguments.colocate_with.as_deref() {
        None | Some("default") => return Ok(ColocateWith::Default),
        Some("none") => return Ok(ColocateWith::None),
        Some(named) => named,
    };
    let other = named_table(ddl, named)?;
    if other.distribution() == TableDistribution::Local {
        return Err(SqlError::new(
            SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE,
            format!("relation {} is not distributed", other.shape.name),
        ));
    }
    let other_type = other.distribution_column().map(|column| column.ty.without_modifier());
    if other_type.as_ref() != column_type {
        return Err(SqlError::internal(format!(
            "cannot colocate tables {} and {}",
            other.shape.name, arguments.table.shape.name
        ))
        .detail(format!(
            "Distribution column types don't match for {} and {}.",
            other.shape.name, arguments.table.shape.name
        )));
    }
    if arguments.shard_count.is_some() {
        return Err(SqlError::internal(
            "Cannot use colocate_with with a table and shard_count at the same time",
        ));
    }
    Ok(ColocateWith::Table(other.id()))
}

/// The table that an argument names as text.
pub(super) fn named_table(ddl: &mut Ddl<'_>, named: &str) -> SqlResult<Arc<Table>> {
    let state = ddl.state();
    let (schema, name) =
        crate::catalog::split_name(named).ok_or_else(|| super::names::no_relation(None, named))?;
    state
        .table_by_name(&ddl.snapshot.search_path, schema.as_deref(), &name)
        .and_then(|table| state.table_arc(table.id()))
        .ok_or_else(|| super::names::no_relation(schema.as_deref(), &name))
}

/// Moves the table to where the request says.
async fn place(
    ddl: &mut Ddl<'_>,
    table: &Arc<Table>,
    request: &DistributionRequest,
) -> SqlResult<()> {
    ddl.lock_table(table).await?;
    let state = ddl.state();
    let planned = plan(&state, request)?;
    let mut ids = ddl.reserve(planned.ids(&state)).await?;
    let placed = planned.commands(&state, &mut ids)?;
    check_foreign_keys(&state, table, &placed.placement)?;
    if let Some(colocation) = placed.colocation {
        ddl.apply(colocation)?;
    }
    let before = ddl.state();
    ddl.drop_shards(table);
    ddl.apply(Command::PlaceTable { table: table.id(), placement: placed.placement.clone() })?;
    let moved =
        ddl.state().table_arc(table.id()).ok_or_else(|| SqlError::internal("the table is gone"))?;
    ddl.create_shards(moved.def(), moved.placement()).await?;
    let copied = copy_rows(ddl, before, table, &moved).await?;
    if copied > 0 {
        ddl.notice("Copying data from local table...");
        let mut done = crate::session_api::Notice::plain("copying the data has completed");
        done.fields.detail =
            Some("The local data in the table is no longer there: it has moved.".into());
        ddl.notices.push(done);
    }
    Ok(())
}

/// The rules of distribution for foreign keys, in both directions.
pub(super) fn check_foreign_keys(
    state: &State,
    table: &Table,
    placement: &crate::catalog::TablePlacement,
) -> SqlResult<()> {
    let is_reference = |table: &Table| table.distribution() == TableDistribution::Reference;
    for key in &table.shape.foreign_keys {
        if key.target == table.id() {
            continue;
        }
        let Some(target) = state.table(key.target) else { continue };
        let fits = match placement.distribution {
            TableDistribution::Reference => is_reference(target) || is_local(target),
            TableDistribution::Hash(column) => {
                is_reference(target)
                    || (target.colocation() == placement.colocation
                        && target.distribution().column().is_some_and(|target_column| {
                            key.columns
                                .iter()
                                .zip(&key.target_columns)
                                .any(|(from, to)| *from == column && *to == target_column)
                        }))
            }
            TableDistribution::SingleShard | TableDistribution::Local => {
                is_reference(target) || target.colocation() == placement.colocation
            }
        };
        if !fits {
            return Err(SqlError::unsupported(
                "cannot create foreign key constraint since relations are not colocated or not \
                 referencing a reference table",
            )
            .detail(
                "A distributed table can only have foreign keys if it is referencing another \
                 colocated hash distributed table or a reference table",
            )
            .hint(format!(
                "Constraint \"{}\" refers to \"{}\": distribute that table first, on the column \
                 that the constraint refers to.",
                key.name, key.target_name
            )));
        }
    }
    Ok(())
}

fn is_local(table: &Table) -> bool {
    table.distribution() == TableDistribution::Local
}

/// Copies every row from the old shards to the new ones, within the transaction.
pub(super) async fn copy_rows(
    ddl: &mut Ddl<'_>,
    before: Arc<State>,
    old: &Arc<Table>,
    new: &Arc<Table>,
) -> SqlResult<u64> {
    let source = ScanSource::table(old.info().clone());
    let columns: Vec<usize> = (0..old.shape.columns.len()).collect();
    let scan = datafusion::logical_expr::LogicalPlanBuilder::scan("old", source, Some(columns))
        .and_then(|builder| builder.build())
        .map_err(satsuma_sql::engine_error::to_sql)?;
    let mut reading = ddl.scope.as_ref().clone();
    reading.state = before;
    let reading = Arc::new(reading);
    let (_, mut rows) = ddl.cluster.executor.run(scan, &reading).await?;
    let mut writing = ddl.scope.as_ref().clone();
    writing.state = ddl.state();
    let schema = nullable(&new.shape.arrow_schema());
    let mut copied = 0;
    while let Some(batch) = rows.next().await {
        let batch = crate::executor::conform(batch?, &schema)?;
        copied += batch.num_rows() as u64;
        for (group, part) in route::by_group(&writing.state, new, batch)? {
            ddl.write_rows(&writing, new, group, part).await?;
        }
    }
    Ok(copied)
}

impl Ddl<'_> {
    /// Adds rows to one group of a table, on every copy of it.
    pub(super) async fn write_rows(
        &mut self,
        scope: &crate::executor::Scope,
        table: &Table,
        group: satsuma_common::GroupId,
        rows: datafusion::arrow::array::RecordBatch,
    ) -> SqlResult<()> {
        use satsuma_proto::worker::{Change, ModifyRequest, OnConflict, RowSource};
        let group = scope.group(group)?;
        let tables = BTreeMap::from([(table.id(), table.shape.version)]);
        let group_ref = scope.group_ref(group, &tables)?;
        for node in group.finalized() {
            let worker = scope.worker(node)?;
            self.txn.touch(node, &worker);
            let request = ModifyRequest {
                context: scope.statement.clone(),
                group: group_ref.clone(),
                table: table.id(),
                change: Change::Insert {
                    rows: RowSource::Batches(vec![rows.clone()]),
                    on_conflict: OnConflict::Fail,
                },
                returning: false,
                commit: false,
            };
            worker.modify(request).await?;
        }
        Ok(())
    }
}
