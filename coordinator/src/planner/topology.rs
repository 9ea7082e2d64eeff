//! What the planner must know of a catalog snapshot.

use std::sync::Arc;

use satsuma_common::{ColocationId, ColumnId, GroupId, HashRange, PgType, TableId};

use crate::catalog::TableStatistics;

/// What an exchange is taken to cost where nobody says otherwise, in bytes.
const EXCHANGE_COST: f64 = 256.0 * 1024.0;

/// Where a table's rows are.
#[derive(Clone, Debug)]
pub struct TablePlace {
    pub colocation: ColocationId,
    pub kind: PlaceKind,
    /// The co-location's shard groups in the order of their ranges.
    pub groups: Arc<[(HashRange, GroupId)]>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PlaceKind {
    /// Each row in the group whose range holds the hash of this column.
    Hash { column: ColumnId, ty: PgType },
    /// All rows in the one group.
    Single,
    /// All rows on every worker.
    Reference,
}

pub trait Topology {
    fn place(&self, table: TableId) -> Option<TablePlace>;

    /// The shard groups of a co-location in the order of their ranges.
    fn ranges(&self, colocation: ColocationId) -> Option<Arc<[(HashRange, GroupId)]>>;

    /// Nodes that hold groups.
    fn worker_count(&self) -> usize;

    /// Rows of a table, when somebody has counted them.
    fn rows(&self, table: TableId) -> Option<u64>;

    /// What it costs to send rows to workers beside the rows themselves: round trips, expressed in
    /// bytes.
    fn exchange_cost(&self) -> f64 {
        EXCHANGE_COST
    }

    /// What ANALYZE found in it.
    fn statistics(&self, table: TableId) -> Option<Arc<TableStatistics>>;
}
