//! What a new worker must hold before it counts: copies of the reference tables.

use satsuma_common::{NodeId, SqlError, SqlResult};

use crate::cluster::Cluster;

/// Copies every reference table to a worker that has none yet.
pub async fn copy_reference_tables(cluster: &Cluster, node: NodeId) -> SqlResult<()> {
    let state = cluster.catalog.snapshot();
    let Some(reference) = state.reference_colocation() else { return Ok(()) };
    let holds_copy = reference
        .groups
        .iter()
        .filter_map(|(_, group)| state.group(*group))
        .all(|group| group.placement(node).is_some());
    if holds_copy {
        return Ok(());
    }
    Err(SqlError::unsupported(
        "adding a worker once there are reference tables is not supported yet",
    )
    .hint("Add all workers before the first create_reference_table()."))
}
