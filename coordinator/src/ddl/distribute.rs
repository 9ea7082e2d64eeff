//! `create_distributed_table`, `create_reference_table`, `undistribute_table`.
//!
//! A table's rows move from the shards they are in to new ones, under a lock that holds writers
//! off; the catalog then says that the table is there. All in one transaction.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures::stream::StreamExt;
use satsuma_common::hash::is_hashable;
use satsuma_common::table::{Column, ForeignKey, ForeignKeyAction};
use satsuma_common::{ColumnId, PgType, SqlError, SqlResult, SqlState, TableId};
use satsuma_sql::table::ScanSource;

use super::Ddl;
use super::rows::qualified;
use crate::catalog::{
    ColocateWith, Command, DistributionRequest, State, Table, TableDef, TableDistribution, plan,
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
    refuse_temporary(table)?;
    ddl.require_owner(table.owner, "table", &table.shape.name)?;
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
            check_distribution_column(&ddl.state(), table, column)?;
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

/// A column that a table can be distributed by.
fn check_distribution_column(state: &State, table: &Table, column: &Column) -> SqlResult<()> {
    if !is_hashable(&column.ty) {
        return Err(SqlError::new(
            SqlState::UNDEFINED_FUNCTION,
            format!(
                "data type {} has no default operator class for specified partition \
                 method",
                column.ty
            ),
        )
        .detail(
            "Partition column types must have a hash function defined to use hash partitioning.",
        ));
    }
    let position = table.shape.position(column.id).unwrap_or(0);
    if table.generated.get(position).is_some_and(Option::is_some) {
        return Err(SqlError::unsupported(
            "cannot distribute relation: ".to_owned() + &table.shape.name,
        )
        .detail("Distribution column must not use GENERATED ALWAYS AS (...) STORED."));
    }
    let mut unique = state.indexes_of(table.id()).filter(|index| index.unique);
    if unique.any(|index| !index.has_column(column.id)) {
        return Err(super::index::constraint_not_distributed(&table.shape.name));
    }
    Ok(())
}

pub async fn create_reference_table(ddl: &mut Ddl<'_>, table: &Arc<Table>) -> SqlResult<()> {
    refuse_distributed(table)?;
    refuse_temporary(table)?;
    ddl.require_owner(table.owner, "table", &table.shape.name)?;
    let request = DistributionRequest {
        distribution: TableDistribution::Reference,
        column_type: None,
        shard_count: 1,
        colocate_with: ColocateWith::Default,
    };
    place(ddl, table, &request).await
}

fn refuse_temporary(table: &Table) -> SqlResult<()> {
    if !super::temporary::is_temporary(&table.shape.schema_name) {
        return Ok(());
    }
    Err(SqlError::unsupported("cannot distribute a temporary table"))
}

pub fn refuse_distributed(table: &Table) -> SqlResult<()> {
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
fn named_table(ddl: &mut Ddl<'_>, named: &str) -> SqlResult<Arc<Table>> {
    let state = ddl.state();
    let (schema, name) =
        crate::catalog::split_name(named).ok_or_else(|| super::names::no_relation(None, named))?;
    state
        .table_by_name(&ddl.snapshot.search_path, schema.as_deref(), &name)
        .and_then(|table| state.table_arc(table.id()))
        .ok_or_else(|| super::names::no_relation(schema.as_deref(), &name))
}

/// Makes a local table one that the request describes.
async fn place(
    ddl: &mut Ddl<'_>,
    table: &Arc<Table>,
    request: &DistributionRequest,
) -> SqlResult<()> {
    ddl.tell_workers().await?;
    ddl.lock_table(table).await?;
    let table = &locked(ddl, table)?;
    refuse_distributed(table)?;
    let copied = move_table(ddl, table, request, true).await?;
    if copied > 0 {
        ddl.notice("Copying data from local table...");
        let mut done = crate::session_api::Notice::plain("copying the data has completed");
        done.fields.detail =
            Some("The local data in the table is no longer there: it has moved.".into());
        ddl.notices.push(done);
    }
    Ok(())
}

/// [`move_table`], with what Citus says of it.
async fn move_and_tell(
    ddl: &mut Ddl<'_>,
    table: &Arc<Table>,
    request: &DistributionRequest,
    check: bool,
) -> SqlResult<()> {
    let name = qualified(&table.shape);
    ddl.notice(format!("creating a new table for {name}"));
    ddl.notice(format!("moving the data of {name}"));
    move_table(ddl, table, request, check).await?;
    ddl.notice(format!("dropping the old {name}"));
    ddl.notice(format!("renaming the new table to {name}"));
    Ok(())
}

/// The table as it is now that it is locked.
fn locked(ddl: &mut Ddl<'_>, table: &Table) -> SqlResult<Arc<Table>> {
    ddl.state().table_arc(table.id()).ok_or_else(|| {
        SqlError::new(
            SqlState::UNDEFINED_TABLE,
            format!("relation \"{}\" does not exist", table.shape.name),
        )
    })
}

/// Moves a table that is locked to where the request says; how many rows it had.
async fn move_table(
    ddl: &mut Ddl<'_>,
    table: &Arc<Table>,
    request: &DistributionRequest,
    check: bool,
) -> SqlResult<u64> {
    let state = ddl.state();
    let planned = plan(&state, request)?;
    let mut ids = ddl.reserve(planned.ids(&state)).await?;
    let placed = planned.commands(&state, &mut ids)?;
    if check {
        check_foreign_keys(&state, table.def(), table.id(), &placed.placement)?;
    }
    if let Some(colocation) = placed.colocation {
        ddl.apply(colocation)?;
    }
    let before = ddl.state();
    ddl.drop_shards(table);
    // A version of its own tells the new shards from the old ones, even within a group.
    ddl.apply(Command::AlterTable(table.def().clone()))?;
    ddl.apply(Command::PlaceTable { table: table.id(), placement: placed.placement.clone() })?;
    let moved = locked(ddl, table)?;
    ddl.create_shards(moved.def(), moved.placement()).await?;
    let copied = copy_rows(ddl, before, table, &moved).await?;
    ddl.tell_workers().await?;
    Ok(copied)
}

fn refuse_local(table: &Table, doing: &str) -> SqlResult<()> {
    match table.distribution() {
        TableDistribution::Local => Err(SqlError::internal(format!(
            "cannot {doing} table because the table is not distributed"
        ))),
        _ => Ok(()),
    }
}

/// Every table that foreign keys lead to from this one, in either direction.
fn connected(state: &State, table: TableId) -> Vec<TableId> {
    let (mut found, mut at) = (vec![table], 0);
    while let Some(id) = found.get(at).copied() {
        at += 1;
        let Some(table) = state.table(id) else { continue };
        let out = table.shape.foreign_keys.iter().map(|key| key.target);
        for other in out.chain(table.shape.referenced_by.iter().map(|key| key.table)) {
            if !found.contains(&other) {
                found.push(other);
            }
        }
    }
    found
}

/// The tables in an order in which every one comes after those that it refers to.
fn parents_first(state: &State, tables: &[TableId]) -> Vec<TableId> {
    let mut waiting = tables.to_vec();
    let mut sorted = Vec::with_capacity(tables.len());
    while !waiting.is_empty() {
        let is_ready = |id: &TableId| {
            state.table(*id).is_none_or(|table| {
                let mut targets = table.shape.foreign_keys.iter().map(|key| key.target);
                targets.all(|target| target == *id || !waiting.contains(&target))
            })
        };
        // Tables that refer to each other in a circle come in any order.
        let next = waiting.iter().position(is_ready).unwrap_or(0);
        sorted.push(waiting.remove(next));
    }
    sorted
}

/// Makes a distributed or reference table a local one again, with the tables that foreign keys
/// tie it to where `cascade` allows.
pub async fn undistribute_table(
    ddl: &mut Ddl<'_>,
    table: &Arc<Table>,
    cascade: bool,
) -> SqlResult<()> {
    refuse_local(table, "undistribute")?;
    ddl.require_owner(table.owner, "table", &table.shape.name)?;
    let state = ddl.state();
    let tables = parents_first(&state, &connected(&state, table.id()));
    if tables.len() > 1 && !cascade {
        let name = &table.shape.name;
        let message = if table.shape.foreign_keys.iter().any(|key| key.target != table.id()) {
            format!("cannot undistribute table because table {name} has a foreign key")
        } else {
            format!("cannot undistribute table because table {name} is referenced by a foreign key")
        };
        return Err(SqlError::internal(message).hint(
            "Use cascade option to undistribute all the relations involved in a foreign key \
             relationship with it by executing SELECT undistribute_table($$relation$$, \
             cascade_via_foreign_keys=>true)",
        ));
    }
    ddl.tell_workers().await?;
    for id in tables {
        let Some(table) = ddl.state().table_arc(id) else { continue };
        ddl.lock_table(&table).await?;
        let table = locked(ddl, &table)?;
        if table.distribution() != TableDistribution::Local {
            let request = DistributionRequest {
                distribution: TableDistribution::Local,
                column_type: None,
                shard_count: 1,
                colocate_with: ColocateWith::Default,
            };
            move_and_tell(ddl, &table, &request, false).await?;
        }
    }
    Ok(())
}

/// What `alter_distributed_table` may change; `None` stays.
#[derive(Clone, Debug, Default)]
pub struct Redistribution {
    pub column: Option<String>,
    pub shard_count: Option<i64>,
    /// `default`, `none` or a table.
    pub colocate_with: Option<String>,
    pub cascade_to_colocated: Option<bool>,
}

/// Distributes a table anew: by another column, over more shards, or with other tables.
pub async fn alter_distributed_table(
    ddl: &mut Ddl<'_>,
    table: &Arc<Table>,
    change: &Redistribution,
) -> SqlResult<()> {
    let TableDistribution::Hash(old_column) = table.distribution() else {
        return Err(SqlError::internal(format!(
            "cannot alter table because the table is not distributed: \"{}\"",
            table.shape.name
        )));
    };
    ddl.require_owner(table.owner, "table", &table.shape.name)?;
    if change.column.is_none() && change.shard_count.is_none() && change.colocate_with.is_none() {
        return Err(SqlError::internal(
            "you have to specify at least one of the distribution_column, shard_count or \
             colocate_with parameters",
        ));
    }
    let state = ddl.state();
    let companions: Vec<TableId> = state
        .tables_in(table.colocation())
        .map(Table::id)
        .filter(|other| *other != table.id())
        .collect();
    if !companions.is_empty()
        && change.shard_count.is_some()
        && change.cascade_to_colocated.is_none()
    {
        return Err(SqlError::internal("cascade_to_colocated parameter is necessary")
            .detail("this table is colocated with some other tables")
            .hint(
                "cascade_to_colocated => false will break the current colocation, \
                 cascade_to_colocated => true will change the shard count/colocation of \
                 concurrently",
            ));
    }
    if change.cascade_to_colocated == Some(true) && change.column.is_some() {
        return Err(SqlError::internal(
            "distribution_column changes cannot be cascaded to colocated tables",
        ));
    }
    let column = match &change.column {
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
            check_distribution_column(&ddl.state(), table, column)?;
            column.id
        }
        None => old_column,
    };
    let column_type = table.shape.column(column).map(|column| column.ty.without_modifier());
    let arguments = DistributeArguments {
        table: table.clone(),
        column: None,
        colocate_with: change.colocate_with.clone(),
        shard_count: None,
    };
    let colocate_with = colocate_with(ddl, &arguments, column_type.as_ref())?;
    let present = state.colocation(table.colocation()).map_or(0, |known| known.shard_count());
    let shard_count = change.shard_count.and_then(|count| u32::try_from(count).ok());
    let shard_count = shard_count.unwrap_or(u32::try_from(present).unwrap_or(ddl.shard_count));
    if !(1..=64000).contains(&shard_count) {
        return Err(SqlError::internal(format!(
            "{shard_count} is outside the valid range for parameter \"shard_count\" (1 .. 64000)"
        )));
    }
    let mut request = DistributionRequest {
        distribution: TableDistribution::Hash(column),
        column_type,
        shard_count,
        colocate_with,
    };
    let mut tables = vec![table.id()];
    let cascade = change.cascade_to_colocated == Some(true);
    if cascade {
        tables.extend(companions);
    }
    let tables = parents_first(&state, &tables);
    ddl.tell_workers().await?;
    for (at, id) in tables.iter().enumerate() {
        let Some(one) = ddl.state().table_arc(*id) else { continue };
        ddl.lock_table(&one).await?;
        let one = locked(ddl, &one)?;
        request.distribution = match one.distribution() {
            TableDistribution::Hash(_) if *id == table.id() => TableDistribution::Hash(column),
            distribution => distribution,
        };
        if at > 0 {
            request.colocate_with = ColocateWith::Table(tables[0]);
        }
        move_and_tell(ddl, &one, &request, !cascade).await?;
    }
    let state = ddl.state();
    for table in tables.iter().filter_map(|id| state.table(*id)) {
        check_foreign_keys(&state, table.def(), table.id(), table.placement())?;
        for key in &table.shape.referenced_by {
            if let Some(child) = state.table(key.table) {
                check_foreign_keys(&state, child.def(), child.id(), child.placement())?;
            }
        }
    }
    Ok(())
}

/// The rules of distribution for foreign keys, in both directions.
pub(super) fn check_foreign_keys(
    state: &State,
    def: &TableDef,
    table: TableId,
    placement: &crate::catalog::TablePlacement,
) -> SqlResult<()> {
    let is_reference = |table: &Table| table.distribution() == TableDistribution::Reference;
    for key in &def.shape.foreign_keys {
        if key.target == table {
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
        if let TableDistribution::Hash(column) = placement.distribution
            && let Some(event) = moves_children(key, column, is_reference(target))
        {
            return Err(SqlError::unsupported("cannot create foreign key constraint").detail(
                format!(
                    "Constraint \"{}\" would change the distribution column of rows on {event} of \
                     the rows they refer to.",
                    key.name
                ),
            ));
        }
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

/// When a foreign key's action would give rows another value of their distribution column, where
/// they are. Updates of rows that are distributed by the same values do not move them.
fn moves_children(key: &ForeignKey, column: ColumnId, of_reference: bool) -> Option<&'static str> {
    use ForeignKeyAction::{Cascade, SetDefault, SetNull};
    if !key.columns.contains(&column) {
        return None;
    }
    let is_set = key.set_on_delete.is_empty() || key.set_on_delete.contains(&column);
    if matches!(key.on_delete, SetNull | SetDefault) && is_set {
        return Some("DELETE");
    }
    match key.on_update {
        SetNull | SetDefault => Some("UPDATE"),
        Cascade if of_reference => Some("UPDATE"),
        _ => None,
    }
}

fn is_local(table: &Table) -> bool {
    table.distribution() == TableDistribution::Local
}

/// Copies every row from the old shards to the new ones, within the transaction.
async fn copy_rows(
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
                in_turn: false,
            };
            worker.modify(request).await?;
        }
        Ok(())
    }
}
