//! Tables: their definition, and where their shards are.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Deref;
use std::sync::Arc;

use satsuma_common::table::TableShape;
use satsuma_common::{
    ColocationId, ColumnId, GroupId, NodeId, Oid, PlacementId, ShardId, TableId, Timestamp,
};
use satsuma_sql::catalog_view::{Distribution, TableInfo};
use serde::{Deserialize, Serialize};

use super::shared::Shared;

/// How a table is spread, as users know it. [`Distribution`] is the part that the planner needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum TableDistribution {
    /// As CREATE TABLE leaves it: one hidden shard on one worker.
    Local,
    /// A copy on every worker.
    Reference,
    /// `create_distributed_table(t, NULL)`: one shard on one worker.
    SingleShard,
    /// By the partition hash of a column.
    Hash(ColumnId),
}

impl TableDistribution {
    pub fn for_planner(self) -> Distribution {
        match self {
            Self::Local | Self::SingleShard => Distribution::Single,
            Self::Reference => Distribution::Reference,
            Self::Hash(column) => Distribution::Hash(column),
        }
    }

    pub fn column(self) -> Option<ColumnId> {
        match self {
            Self::Hash(column) => Some(column),
            Self::Local | Self::Reference | Self::SingleShard => None,
        }
    }
}

/// What DDL says of a table. Where its rows are is in [`TablePlacement`], so that a shard that
/// moves and a column that is added do not overwrite each other.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TableDef {
    /// `version`, `referenced_by` and `indexes` are kept by the catalog; what a command says there
    /// is ignored.
    pub shape: Shared<TableShape>,
    pub schema: Oid,
    pub owner: Oid,
    /// SQL text, in the order of the shape's columns.
    pub defaults: Vec<Option<String>>,
    /// `GENERATED ALWAYS AS (..) STORED`, in the order of the shape's columns.
    pub generated: Vec<Option<String>>,
    /// Identity columns, and whether ALWAYS, in the order of the shape's columns.
    pub identity: Vec<Option<bool>>,
    /// `pg_constraint.oid` of every constraint by name: primary key, unique, check, foreign key.
    pub constraint_oids: BTreeMap<String, Oid>,
    /// The id that the next added column takes: ids of dropped columns are never used again.
    pub next_column: ColumnId,
    /// Storage parameters (`WITH (fillfactor = 70)`), kept and shown.
    pub options: Vec<(String, String)>,
    /// Constraints added NOT VALID: rows from before may not fit them.
    pub not_valid: BTreeSet<String>,
}

/// One shard of a table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shard {
    pub id: ShardId,
    pub group: GroupId,
    /// `pg_dist_placement.placementid` by node; given out by the catalog.
    pub placement_ids: Vec<(NodeId, PlacementId)>,
}

impl Shard {
    pub fn new(id: ShardId, group: GroupId) -> Self {
        Self { id, group, placement_ids: Vec::new() }
    }
}

/// Where a table's rows are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TablePlacement {
    pub distribution: TableDistribution,
    pub colocation: ColocationId,
    /// In the order of the co-location's groups, that is, of hash ranges.
    pub shards: Vec<Shard>,
}

/// A table of the catalog: reads like its [`TableDef`].
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(from = "(TableDef, TablePlacement)", into = "(TableDef, TablePlacement)")]
pub struct Table {
    def: TableDef,
    placement: TablePlacement,
    info: Arc<TableInfo>,
    /// When its rows were last written anew, into other shards: what was there before is not in
    /// these. Known to those who were there, for the transactions that they have open, and kept by
    /// nobody.
    reshaped: Timestamp,
}

impl Table {
    pub fn new(def: TableDef, placement: TablePlacement) -> Self {
        let info = Arc::new(TableInfo {
            shape: def.shape.arc(),
            defaults: def.defaults.clone(),
            generated: def.generated.clone(),
            identity: def.identity.clone(),
            distribution: placement.distribution.for_planner(),
        });
        Self { def, placement, info, reshaped: Timestamp::default() }
    }

    pub(super) fn reshaped(&self, at: Timestamp) -> Self {
        Self { reshaped: at, ..self.clone() }
    }

    /// Whether its shards have what a snapshot sees.
    pub fn is_readable_at(&self, snapshot: Timestamp) -> bool {
        self.reshaped <= snapshot
    }

    pub fn id(&self) -> TableId {
        self.def.shape.table
    }

    pub fn def(&self) -> &TableDef {
        &self.def
    }

    pub fn placement(&self) -> &TablePlacement {
        &self.placement
    }

    pub fn distribution(&self) -> TableDistribution {
        self.placement.distribution
    }

    pub fn colocation(&self) -> ColocationId {
        self.placement.colocation
    }

    /// In the order of hash ranges.
    pub fn shards(&self) -> &[Shard] {
        &self.placement.shards
    }

    /// The table as the binder sees it.
    pub fn info(&self) -> &Arc<TableInfo> {
        &self.info
    }

    pub fn distribution_column(&self) -> Option<&satsuma_common::table::Column> {
        self.def.shape.column(self.placement.distribution.column()?)
    }

    pub(super) fn with_def(&self, def: TableDef) -> Self {
        Self::new(def, self.placement.clone()).reshaped(self.reshaped)
    }

    pub(super) fn with_placement(&self, placement: TablePlacement) -> Self {
        Self::new(self.def.clone(), placement).reshaped(self.reshaped)
    }

    /// The same table with a changed shape of the next version.
    pub(super) fn with_shape(&self, change: impl FnOnce(&mut TableShape)) -> Self {
        let mut def = self.def.clone();
        let shape = def.shape.make_mut();
        change(shape);
        shape.version += 1;
        self.with_def(def)
    }
}

impl Deref for Table {
    type Target = TableDef;

    fn deref(&self) -> &TableDef {
        &self.def
    }
}

impl PartialEq for Table {
    fn eq(&self, other: &Self) -> bool {
        self.def == other.def && self.placement == other.placement
    }
}

impl From<(TableDef, TablePlacement)> for Table {
    fn from((def, placement): (TableDef, TablePlacement)) -> Self {
        Self::new(def, placement)
    }
}

impl From<Table> for (TableDef, TablePlacement) {
    fn from(table: Table) -> Self {
        (table.def, table.placement)
    }
}
