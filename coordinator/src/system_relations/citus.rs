//! Citus's catalog: `pg_dist_*` and `citus_*`.

use satsuma_common::{Oid, PgType, SqlResult};

use super::monitoring::moment;
use super::rows::{Rows, row};
use super::surroundings::size_of_relation;
use super::{Fill, Source};
use crate::catalog::{
    ColocationKind, Group, LOCAL_COLOCATION, Node, NodeRole, PlacementState, Shard, State, Table,
    TableDistribution, shard_name,
};

pub(super) fn fill(name: &str) -> Option<Fill> {
    Some(match name {
        "pg_dist_partition" => partition,
        "pg_dist_shard" => shard,
        "pg_dist_placement" => placement,
        "pg_dist_shard_placement" => shard_placement,
        "pg_dist_node" => node,
        "pg_dist_colocation" => colocation,
        "pg_dist_local_group" => local_group,
        "pg_dist_rebalance_strategy" => rebalance_strategy,
        "pg_dist_background_job" => background_job,
        "pg_dist_node_metadata" => node_metadata,
        "citus_tables" => tables,
        "citus_shards" => shards,
        "citus_nodes" => nodes,
        _ => return None,
    })
}

/// Tables that Citus knows, in the order in which they were distributed (of shard ids).
fn citus_tables(state: &State) -> Vec<&Table> {
    let mut tables: Vec<_> =
        state.tables().filter(|table| table.distribution() != TableDistribution::Local).collect();
    tables.sort_by_key(|table| table.shards().first().map(|shard| shard.id));
    tables
}

/// Citus's partition key is a serialised Var node of PostgreSQL.
fn partition_key(table: &Table) -> Option<String> {
    let column = table.distribution_column()?;
    Some(format!(
        "{{VAR :varno 1 :varattno {0} :vartype {1} :vartypmod {2} :varcollid {3} :varlevelsup 0 \
         :varnosyn 1 :varattnosyn {0} :location -1}}",
        column.id.0,
        column.ty.oid(),
        column.ty.typmod(),
        super::types::collation_of(&column.ty).0,
    ))
}

fn partition(source: &Source<'_>, rows: &mut Rows<'_>) -> SqlResult<()> {
    for table in citus_tables(source.state) {
        let (method, replication) = match table.distribution() {
            TableDistribution::Hash(_) => ('h', 's'),
            TableDistribution::Reference => ('n', 't'),
            TableDistribution::SingleShard | TableDistribution::Local => ('n', 's'),
        };
        row!(
            rows,
            logicalrelid = Oid(table.id().0),
            partmethod = method,
            partkey = partition_key(table),
            colocationid = table.colocation().0 as i32,
            repmodel = replication,
            autoconverted = false,
        )?;
    }
    Ok(())
}

/// What `citus_job_list()` tells.
fn background_job(source: &Source<'_>, rows: &mut Rows<'_>) -> SqlResult<()> {
    for job in source.state.jobs() {
        row!(
            rows,
            job_id = job.id as i64,
            state = job.state(),
            job_type = "rebalance",
            description = &job.description,
            started_at = moment(Some(job.started_micros)),
            finished_at = moment(job.finished_micros),
        )?;
    }
    Ok(())
}

/// Every shard that users see, in the order of its id.
fn all_shards(state: &State) -> Vec<(&Table, &Shard, &Group)> {
    let mut shards: Vec<_> = citus_tables(state)
        .into_iter()
        .flat_map(|table| state.shards_of(table).map(move |(shard, group)| (table, shard, group)))
        .collect();
    shards.sort_by_key(|(_, shard, _)| shard.id);
    shards
}

fn shard(source: &Source<'_>, rows: &mut Rows<'_>) -> SqlResult<()> {
    for (table, shard, group) in all_shards(source.state) {
        let range = table.distribution().column().map(|_| group.range);
        row!(
            rows,
            logicalrelid = Oid(table.id().0),
            shardid = shard.id.0 as i64,
            shardstorage = 't',
            shardminvalue = range.map(|range| range.low().to_string()),
            shardmaxvalue = range.map(|range| range.high().to_string()),
        )?;
    }
    Ok(())
}

/// A shard on a node.
struct ShardPlacement<'a> {
    id: i64,
    table: &'a Table,
    shard: &'a Shard,
    node: &'a Node,
    state: PlacementState,
}

/// In the order of shard ids, then of the group's placements.
fn all_placements(state: &State) -> Vec<ShardPlacement<'_>> {
    let mut all = Vec::new();
    for (table, shard, group) in all_shards(state) {
        for (placement, (_, id)) in group.placements.iter().zip(&shard.placement_ids) {
            let Some(node) = state.node(placement.node) else { continue };
            let id = id.0 as i64;
            all.push(ShardPlacement { id, table, shard, node, state: placement.state });
        }
    }
    all
}

fn placement(source: &Source<'_>, rows: &mut Rows<'_>) -> SqlResult<()> {
    let mut placements = all_placements(source.state);
    placements.sort_by_key(|placement| placement.id);
    for placement in placements {
        row!(
            rows,
            placementid = placement.id,
            shardid = placement.shard.id.0 as i64,
            shardstate = placement.state as i32,
            shardlength = 0i64,
            groupid = placement.node.group as i32,
        )?;
    }
    Ok(())
}

fn shard_placement(source: &Source<'_>, rows: &mut Rows<'_>) -> SqlResult<()> {
    for placement in all_placements(source.state) {
        row!(
            rows,
            shardid = placement.shard.id.0 as i64,
            shardstate = placement.state as i32,
            shardlength = 0i64,
            nodename = &placement.node.host,
            nodeport = i32::from(placement.node.port),
            placementid = placement.id,
        )?;
    }
    Ok(())
}

fn node(source: &Source<'_>, rows: &mut Rows<'_>) -> SqlResult<()> {
    for node in source.state.nodes() {
        row!(
            rows,
            nodeid = node.id.0 as i32,
            groupid = node.group as i32,
            nodename = &node.host,
            nodeport = i32::from(node.port),
            noderack = "default",
            hasmetadata = true,
            isactive = node.is_active,
            noderole = "primary",
            nodecluster = "default",
            metadatasynced = true,
            shouldhaveshards = node.should_have_shards,
            nodeisclone = false,
            nodeprimarynodeid = 0,
        )?;
    }
    Ok(())
}

fn colocation(source: &Source<'_>, rows: &mut Rows<'_>) -> SqlResult<()> {
    for colocation in source.state.colocations().filter(|c| c.id != LOCAL_COLOCATION) {
        let ty = colocation.distribution_type.as_ref();
        row!(
            rows,
            colocationid = colocation.id.0 as i32,
            shardcount = colocation.shard_count() as i32,
            replicationfactor = colocation.replication_factor,
            distributioncolumntype = Oid(ty.map_or(0, PgType::oid)),
            distributioncolumncollation = ty.map_or(Oid(0), super::types::collation_of),
        )?;
    }
    Ok(())
}

fn local_group(_source: &Source<'_>, rows: &mut Rows<'_>) -> SqlResult<()> {
    row!(rows, groupid = 0)
}

fn rebalance_strategy(_source: &Source<'_>, rows: &mut Rows<'_>) -> SqlResult<()> {
    for (name, default, cost, thresholds) in [
        ("by_shard_count", false, "citus_shard_cost_1", [0.0f32, 0.0, 0.0]),
        ("by_disk_size", true, "citus_shard_cost_by_disk_size", [0.1, 0.01, 0.5]),
    ] {
        row!(
            rows,
            name = name,
            default_strategy = default,
            shard_cost_function = cost,
            node_capacity_function = "citus_node_capacity_1",
            shard_allowed_on_node_function = "citus_shard_allowed_on_node_true",
            default_threshold = thresholds[0],
            minimum_threshold = thresholds[1],
            improvement_threshold = thresholds[2],
        )?;
    }
    Ok(())
}

fn node_metadata(source: &Source<'_>, rows: &mut Rows<'_>) -> SqlResult<()> {
    let id = serde_json::Value::from(source.state.cluster().id.as_str());
    row!(rows, metadata = format!("{{\"server_id\": {id}}}"))
}

/// `citus_table_type`.
fn table_type(state: &State, table: &Table) -> &'static str {
    match state.colocation(table.colocation()).map(|colocation| colocation.kind) {
        Some(ColocationKind::Reference) => "reference",
        Some(ColocationKind::Local) => "local",
        Some(ColocationKind::Hash | ColocationKind::Single) | None => "distributed",
    }
}

fn tables(source: &Source<'_>, rows: &mut Rows<'_>) -> SqlResult<()> {
    let state = source.state;
    let sizes = source.around.shard_sizes();
    let mut tables = citus_tables(state);
    tables.sort_by(|a, b| {
        (&a.shape.name, &a.shape.schema_name).cmp(&(&b.shape.name, &b.shape.schema_name))
    });
    for table in tables {
        let column = table.distribution_column().map_or("<none>", |column| column.name.as_str());
        row!(
            rows,
            table_name = Oid(table.id().0),
            citus_table_type = table_type(state, table),
            distribution_column = column,
            colocation_id = table.colocation().0 as i32,
            table_size = size_pretty(size_of_relation(state, table, &sizes).bytes),
            shard_count = table.shards().len() as i64,
            table_owner = state.role(table.owner).map(|role| &role.name),
            access_method = "heap",
        )?;
    }
    Ok(())
}

fn shards(source: &Source<'_>, rows: &mut Rows<'_>) -> SqlResult<()> {
    let sizes = source.around.shard_sizes();
    let mut placements: Vec<_> = all_placements(source.state)
        .into_iter()
        .filter(|placement| placement.state == PlacementState::Finalized)
        .collect();
    placements.sort_by(|a, b| {
        (&a.table.shape.name, a.shard.id, a.id).cmp(&(&b.table.shape.name, b.shard.id, b.id))
    });
    for placement in placements {
        let size = sizes.get(&(placement.shard.id, placement.node.id)).copied();
        row!(
            rows,
            table_name = Oid(placement.table.id().0),
            shardid = placement.shard.id.0 as i64,
            shard_name = shard_name(placement.table, placement.shard),
            citus_table_type = table_type(source.state, placement.table),
            colocation_id = placement.table.colocation().0 as i32,
            nodename = &placement.node.host,
            nodeport = i32::from(placement.node.port),
            shard_size = size.unwrap_or_default().bytes as i64,
        )?;
    }
    Ok(())
}

fn nodes(source: &Source<'_>, rows: &mut Rows<'_>) -> SqlResult<()> {
    for node in source.state.nodes() {
        let role = match node.role {
            NodeRole::Coordinator => "coordinator",
            NodeRole::Worker => "worker",
        };
        row!(
            rows,
            nodename = &node.host,
            nodeport = i32::from(node.port),
            role = role,
            active = node.is_active,
        )?;
    }
    Ok(())
}

/// `pg_size_pretty`: a unit is left when the number in it reaches 10240, rounded half up.
pub(crate) fn size_pretty(bytes: u64) -> String {
    if bytes < 10 * 1024 {
        return format!("{bytes} bytes");
    }
    // Twice the number in each unit, so that the last bit tells how to round.
    let mut halves = bytes >> 9;
    for unit in ["kB", "MB", "GB", "TB"] {
        let rounded = halves.div_ceil(2);
        if halves < 2 * 10 * 1024 - 1 {
            return format!("{rounded} {unit}");
        }
        halves >>= 10;
    }
    format!("{} PB", halves.div_ceil(2))
}

#[cfg(test)]
mod tests {
    use super::size_pretty;

    /// Answers of PostgreSQL 15.
    #[test]
    fn sizes_read_as_in_postgresql() {
        for (bytes, text) in [
            (0, "0 bytes"),
            (10239, "10239 bytes"),
            (10240, "10 kB"),
            (10751, "10 kB"),
            (10752, "11 kB"),
            (32768, "32 kB"),
            (10485248, "10 MB"),
            (10485247, "10239 kB"),
            (40640512, "39 MB"),
            (74448896, "71 MB"),
        ] {
            assert_eq!(size_pretty(bytes), text, "{bytes}");
        }
    }
}
