//! Splitting a shard, and with it the shards that are co-located: a hash range becomes several.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures::stream::StreamExt;
use satsuma_common::hash::partition_hash_array;
use satsuma_common::{
    Datum, GroupId, HashRange, NodeId, PgType, ShardId, SqlError, SqlResult, SqlState,
    arrow_values, text,
};
use satsuma_sql::table::ScanSource;

use super::Ddl;
use crate::catalog::{
    Command, Group, IdRequest, Shard, State, Table, TableDistribution, TablePlacement,
};
use crate::executor::modify::nullable;
use crate::executor::route;
use crate::planner::{RemoteScan, Target};

/// `isolate_tenant_to_new_shard`: answers with the shard that holds this tenant alone.
pub async fn isolate_tenant(
    ddl: &mut Ddl<'_>,
    table: &Arc<Table>,
    tenant: &str,
    cascades: bool,
) -> SqlResult<ShardId> {
    let name = &table.shape.name;
    let state = ddl.state();
    let (TableDistribution::Hash(_), Some(column)) =
        (table.distribution(), table.distribution_column())
    else {
        return Err(SqlError::unsupported(
            "cannot isolate tenant because tenant isolation is only support for hash distributed \
             tables",
        ));
    };
    let token = token_of(tenant, &column.ty)?;
    let (group, _) = state
        .shard_for_hash(table, token)
        .ok_or_else(|| SqlError::internal("tenant does not have a shard"))?;
    if state.tables_in(table.colocation()).count() > 1 && !cascades {
        return Err(SqlError::unsupported(format!(
            "cannot isolate tenant because \"{name}\" has colocated tables"
        ))
        .hint(format!(
            "Use CASCADE option to isolate tenants for the colocated tables too. Example usage: \
             isolate_tenant_to_new_shard('{name}', '{tenant}', 'CASCADE')"
        )));
    }
    let range = group.range;
    if range.low() == range.high() {
        return Err(SqlError::unsupported(format!(
            "table {name} has already been isolated for the given value"
        )));
    }
    let points = [token.checked_sub(1), Some(token)];
    let points: Vec<i32> = points
        .into_iter()
        .flatten()
        .filter(|at| *at >= range.low() && *at < range.high())
        .collect();
    let node = group.primary;
    let group = group.clone();
    split(ddl, &group, &points, &vec![node; points.len() + 1]).await?;
    let state = ddl.state();
    let table = state.table(table.id()).ok_or_else(|| SqlError::internal("the table is gone"))?;
    let found = state.shard_for_hash(table, token).map(|(_, shard)| shard);
    found.ok_or_else(|| SqlError::internal("the tenant has no shard"))
}

/// `citus_split_shard_by_split_points`: each point is the last token of a part.
pub async fn split_shard(
    ddl: &mut Ddl<'_>,
    shard: ShardId,
    points: &[i32],
    nodes: &[NodeId],
) -> SqlResult<()> {
    let state = ddl.state();
    let (table, known) = state.shard(shard).ok_or_else(|| {
        SqlError::internal(format!("could not find valid entry for shard {}", shard.0))
    })?;
    if !matches!(table.distribution(), TableDistribution::Hash(_)) {
        return Err(SqlError::unsupported(format!(
            "Cannot split shard \"{}\" because table is not hash-distributed",
            shard.0
        )));
    }
    let group = state
        .group(known.group)
        .ok_or_else(|| SqlError::internal("the shard's group is gone"))?
        .clone();
    if points.is_empty() || nodes.len() != points.len() + 1 {
        return Err(SqlError::new(
            SqlState::INVALID_PARAMETER_VALUE,
            "Number of worker node ids should be one greater split points. NodeId count is \
             not consistent with the number of split points",
        ));
    }
    let (low, high) = (group.range.low(), group.range.high());
    if points.windows(2).any(|pair| pair[0] >= pair[1]) {
        return Err(SqlError::new(
            SqlState::INVALID_PARAMETER_VALUE,
            "Invalid split points: they must be in ascending order",
        ));
    }
    if let Some(point) = points.iter().find(|point| **point < low || **point >= high) {
        return Err(SqlError::new(
            SqlState::INVALID_PARAMETER_VALUE,
            format!(
                "Split point {point} is outside the min/max range({low}, {high}) for shard id {}.",
                shard.0
            ),
        ));
    }
    split(ddl, &group, points, nodes).await
}

/// The partition hash of a value that is given as text.
fn token_of(tenant: &str, ty: &PgType) -> SqlResult<i32> {
    let datum = match ty.without_modifier() {
        PgType::Int2 => Datum::Int2(text::parse_i16(tenant)?),
        PgType::Int4 => Datum::Int4(text::parse_i32(tenant)?),
        PgType::Int8 => Datum::Int8(text::parse_i64(tenant)?),
        PgType::Uuid => Datum::Uuid(text::parse_uuid(tenant)?),
        PgType::Text | PgType::Varchar(_) => Datum::Text(tenant.to_owned()),
        other => {
            return Err(SqlError::unsupported(format!(
                "isolating tenants by a distribution column of type {other} is not supported"
            )));
        }
    };
    let array = arrow_values::array_from_datums(&[datum], ty)?;
    let tokens = partition_hash_array(array.as_ref(), ty)?;
    tokens.into_iter().next().flatten().ok_or_else(|| SqlError::internal("the tenant has no hash"))
}

/// Cuts the group after each point; part after part goes to a node.
async fn split(
    ddl: &mut Ddl<'_>,
    group: &Group,
    points: &[i32],
    nodes: &[NodeId],
) -> SqlResult<()> {
    let before = ddl.state();
    let tables: Vec<Arc<Table>> = before
        .tables_in(group.colocation)
        .filter_map(|table| before.table_arc(table.id()))
        .collect();
    for node in nodes {
        let known = before.shard_nodes().any(|known| known.id == *node);
        if !known && *node != group.primary {
            return Err(SqlError::new(
                SqlState::INVALID_PARAMETER_VALUE,
                format!("Invalid Node Id '{}'.", node.0),
            ));
        }
    }
    for table in &tables {
        ddl.lock_table(table).await?;
    }
    let count = u32::try_from(nodes.len()).unwrap_or(u32::MAX);
    let shards = count.saturating_mul(u32::try_from(tables.len()).unwrap_or(u32::MAX));
    let mut ids = ddl.reserve(IdRequest { groups: count, shards, ..IdRequest::default() }).await?;
    let mut parts = Vec::with_capacity(nodes.len());
    let mut low = group.range.low();
    for (index, node) in nodes.iter().enumerate() {
        let high = points.get(index).copied().unwrap_or(group.range.high());
        let range = HashRange::new(low, high)
            .ok_or_else(|| SqlError::internal("a part of a shard is empty"))?;
        parts.push(Group::new(ids.group()?, group.colocation, range, *node, []));
        low = high.saturating_add(1);
    }
    let mut new_shards = Vec::new();
    for table in &tables {
        let of_table = parts
            .iter()
            .map(|part| Ok(Shard::new(ids.shard()?, part.id)))
            .collect::<SqlResult<Vec<_>>>()?;
        new_shards.push((table.id(), of_table));
    }
    let cluster = ddl.cluster.clone();
    let overlay = ddl.txn.overlay_mut(&cluster);
    for table in &tables {
        for shard in table.shards().iter().filter(|shard| shard.group == group.id) {
            for placement in &group.placements {
                overlay.shard_dropped(placement.node, shard.id);
            }
        }
    }
    let new_groups: Vec<GroupId> = parts.iter().map(|part| part.id).collect();
    ddl.apply(Command::SplitGroup {
        colocation: group.colocation,
        group: group.id,
        parts,
        shards: new_shards.clone(),
    })?;
    let after = ddl.state();
    for (old, (_, shards)) in tables.iter().zip(new_shards) {
        let new =
            after.table_arc(old.id()).ok_or_else(|| SqlError::internal("the table is gone"))?;
        let placement = TablePlacement {
            distribution: new.distribution(),
            colocation: new.colocation(),
            shards,
        };
        ddl.create_shards(new.def(), &placement).await?;
        copy_group(ddl, &before, (old, group.id), &new, &new_groups).await?;
    }
    Ok(())
}

/// Copies one shard's rows to the parts that they belong to.
async fn copy_group(
    ddl: &mut Ddl<'_>,
    before: &Arc<State>,
    (old, group): (&Arc<Table>, GroupId),
    new: &Arc<Table>,
    parts: &[GroupId],
) -> SqlResult<()> {
    let source = ScanSource::table(old.info().clone());
    let columns: Vec<usize> = (0..old.shape.columns.len()).collect();
    let scan = datafusion::logical_expr::LogicalPlanBuilder::scan("old", source, Some(columns))
        .and_then(|builder| builder.build())
        .map_err(satsuma_sql::engine_error::to_sql)?;
    let plan = RemoteScan::new(scan, Target::Groups(vec![group])).into_plan();
    let mut reading = ddl.scope.as_ref().clone();
    reading.state = before.clone();
    let (_, mut rows) = ddl.cluster.executor.run_distributed(plan, &Arc::new(reading)).await?;
    let mut writing = ddl.scope.as_ref().clone();
    writing.state = ddl.state();
    let schema = nullable(&new.shape.arrow_schema());
    while let Some(batch) = rows.next().await {
        let batch = crate::executor::conform(batch?, &schema)?;
        let routed: BTreeMap<_, _> =
            route::by_group(&writing.state, new, batch)?.into_iter().collect();
        for (to, part) in routed {
            if !parts.contains(&to) {
                return Err(SqlError::internal("a row is in a shard that it does not belong to"));
            }
            ddl.write_rows(&writing, new, to, part).await?;
        }
    }
    Ok(())
}
