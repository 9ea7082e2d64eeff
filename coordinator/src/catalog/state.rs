//! The replicated state, and what may be asked of it.
//!
//! A `State` is cheap to clone: everything in it is shared until it is changed. The session clones
//! the current one, applies a transaction's DDL to its clone and reads through that.

use std::collections::BTreeMap;
use std::sync::Arc;

use satsuma_common::{
    ColocationId, ColumnId, GroupId, MoveId, NodeId, Oid, SequenceId, ShardId, TableId, Timestamp,
};
use serde::{Deserialize, Serialize};

use super::apply::Touched;
use super::colocation::{Colocation, ColocationKind, Group};
use super::decision::Decisions;
use super::ids::Counters;
use super::movement::{Job, JobId, Move};
use super::node::Node;
use super::objects::{
    EnumType, Grant, INFORMATION_SCHEMA_OID, Index, ObjectAddress, ObjectClass, PG_CATALOG_OID,
    RelationKind, RelationRef, Role, Sequence, SettingScope, View,
};
use super::requests::Requests;
use super::sequence::Position;
use super::shared::{Shared, SharedMap};
use super::statistics::TableStatistics;
use super::table::{Shard, Table};

/// A schema with the names in it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Schema {
    pub oid: Oid,
    pub name: String,
    pub owner: Oid,
    /// Tables, indexes, views and sequences share one namespace.
    pub(super) relations: BTreeMap<String, RelationRef>,
    pub(super) types: BTreeMap<String, Oid>,
}

impl Schema {
    pub fn new(oid: Oid, name: impl Into<String>, owner: Oid) -> Self {
        Self { oid, name: name.into(), owner, relations: BTreeMap::new(), types: BTreeMap::new() }
    }

    /// `pg_catalog` and `information_schema`, whose relations are computed.
    pub fn is_system(&self) -> bool {
        self.oid == PG_CATALOG_OID || self.oid == INFORMATION_SCHEMA_OID
    }

    pub fn relation(&self, name: &str) -> Option<RelationRef> {
        self.relations.get(name).copied()
    }

    pub fn user_type(&self, name: &str) -> Option<Oid> {
        self.types.get(name).copied()
    }

    /// In the order of names.
    pub fn relations(&self) -> impl Iterator<Item = (&str, RelationRef)> {
        self.relations.iter().map(|(name, relation)| (name.as_str(), *relation))
    }

    pub fn is_empty(&self) -> bool {
        self.relations.is_empty() && self.types.is_empty()
    }
}

/// What the cluster was made as.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cluster {
    /// Empty until the cluster is bootstrapped.
    pub id: String,
    pub database: String,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct State {
    /// Grows with every change of what plans depend on: all but sequence positions, decisions,
    /// reservations and the timestamp ceiling.
    pub(super) version: u64,
    pub(super) cluster: Cluster,
    pub(super) counters: Counters,
    pub(super) nodes: SharedMap<NodeId, Node>,
    pub(super) schemas: SharedMap<Oid, Schema>,
    pub(super) schema_names: Shared<BTreeMap<String, Oid>>,
    pub(super) roles: SharedMap<Oid, Role>,
    pub(super) tables: SharedMap<TableId, Table>,
    pub(super) indexes: SharedMap<Oid, Index>,
    pub(super) table_indexes: Shared<BTreeMap<TableId, Vec<Oid>>>,
    pub(super) views: SharedMap<Oid, View>,
    pub(super) sequences: SharedMap<SequenceId, Sequence>,
    pub(super) positions: Shared<BTreeMap<SequenceId, Position>>,
    pub(super) enums: SharedMap<Oid, EnumType>,
    pub(super) colocations: SharedMap<ColocationId, Colocation>,
    pub(super) groups: SharedMap<GroupId, Group>,
    pub(super) comments: Shared<BTreeMap<ObjectAddress, String>>,
    pub(super) grants: Shared<BTreeMap<ObjectAddress, Vec<Grant>>>,
    pub(super) statistics: SharedMap<TableId, TableStatistics>,
    pub(super) settings: Shared<BTreeMap<(SettingScope, String), String>>,
    pub(super) moves: SharedMap<MoveId, Move>,
    pub(super) jobs: SharedMap<JobId, Job>,
    pub(super) decisions: Decisions,
    pub(super) timestamp_ceiling: Timestamp,
    /// Version at which each thing that exists last changed.
    pub(super) modified: Shared<BTreeMap<Touched, u64>>,
    pub(super) requests: Requests,
    /// Materialized views, and whether they are populated. Each is a table, which has its name and
    /// its rows, and a view under the same oid, which has its query.
    pub(super) materialized: Shared<BTreeMap<TableId, bool>>,
}

impl State {
    pub fn version(&self) -> u64 {
        self.version
    }

    pub fn cluster(&self) -> &Cluster {
        &self.cluster
    }

    pub fn is_bootstrapped(&self) -> bool {
        !self.cluster.id.is_empty()
    }

    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    pub fn timestamp_ceiling(&self) -> Timestamp {
        self.timestamp_ceiling
    }

    pub fn decisions(&self) -> &Decisions {
        &self.decisions
    }

    pub fn requests(&self) -> &Requests {
        &self.requests
    }

    /// A fingerprint of the whole state: equal on every member at the same log index.
    pub fn fingerprint(&self) -> u32 {
        postcard::to_stdvec(self).map_or(0, |bytes| crc32c::crc32c(&bytes))
    }
}

/// Nodes.
impl State {
    pub fn node(&self, id: NodeId) -> Option<&Node> {
        self.nodes.get(&id).map(|node| &**node)
    }

    /// In the order of ids.
    pub fn nodes(&self) -> impl Iterator<Item = &Node> {
        self.nodes.values().map(|node| &**node)
    }

    pub fn workers(&self) -> impl Iterator<Item = &Node> {
        self.nodes().filter(|node| node.is_worker())
    }

    /// Workers that new shards go to, in the order of ids.
    pub fn shard_nodes(&self) -> impl Iterator<Item = &Node> {
        self.workers().filter(|node| node.is_active && node.should_have_shards)
    }

    /// Whether this was a coordinator's id. None is given twice, so that it will be nobody's.
    pub fn was_removed(&self, coordinator: NodeId) -> bool {
        let has_others = self.nodes().any(|node| !node.is_worker());
        has_others && self.node(coordinator).is_none() && coordinator.0 < self.counters.node
    }

    pub fn node_at(&self, host: &str, port: u16) -> Option<&Node> {
        self.nodes().find(|node| node.host == host && node.port == port)
    }
}

/// Statistics.
impl State {
    pub fn statistics(&self, table: TableId) -> Option<Arc<TableStatistics>> {
        self.statistics.get(&table).map(Shared::arc)
    }
}

/// Names.
impl State {
    pub fn schema(&self, oid: Oid) -> Option<&Schema> {
        self.schemas.get(&oid).map(|schema| &**schema)
    }

    pub fn schema_by_name(&self, name: &str) -> Option<&Schema> {
        self.schema(*self.schema_names.get(name)?)
    }

    /// In the order of oids.
    pub fn schemas(&self) -> impl Iterator<Item = &Schema> {
        self.schemas.values().map(|schema| &**schema)
    }

    pub fn role(&self, oid: Oid) -> Option<&Role> {
        self.roles.get(&oid).map(|role| &**role)
    }

    pub fn role_by_name(&self, name: &str) -> Option<&Role> {
        self.roles().find(|role| role.name == name)
    }

    /// In the order of oids.
    pub fn roles(&self) -> impl Iterator<Item = &Role> {
        self.roles.values().map(|role| &**role)
    }

    /// What `schema.name`, or the first `name` on the search path, stands for.
    pub fn relation_by_name(
        &self,
        search_path: &[String],
        schema: Option<&str>,
        name: &str,
    ) -> Option<RelationRef> {
        match schema {
            Some("pg_temp") => {
                self.schema_by_name(super::snapshot::temporary_of(search_path)?)?.relation(name)
            }
            Some(schema) => self.schema_by_name(schema)?.relation(name),
            None => {
                search_path.iter().find_map(|schema| self.schema_by_name(schema)?.relation(name))
            }
        }
    }

    pub fn table_by_name(
        &self,
        search_path: &[String],
        schema: Option<&str>,
        name: &str,
    ) -> Option<&Table> {
        match self.relation_by_name(search_path, schema, name)? {
            RelationRef::Table(id) => self.table(id),
            RelationRef::Index(_) | RelationRef::View(_) | RelationRef::Sequence(_) => None,
        }
    }

    pub fn enum_by_name(
        &self,
        search_path: &[String],
        schema: Option<&str>,
        name: &str,
    ) -> Option<&EnumType> {
        let oid = match schema {
            Some(schema) => self.schema_by_name(schema)?.user_type(name),
            None => {
                search_path.iter().find_map(|schema| self.schema_by_name(schema)?.user_type(name))
            }
        }?;
        self.enum_type(oid)
    }

    /// The relation with this oid.
    pub fn relation(&self, oid: Oid) -> Option<RelationRef> {
        if self.tables.contains_key(&TableId(oid.0)) {
            Some(RelationRef::Table(TableId(oid.0)))
        } else if self.indexes.contains_key(&oid) {
            Some(RelationRef::Index(oid))
        } else if self.views.contains_key(&oid) {
            Some(RelationRef::View(oid))
        } else if self.sequences.contains_key(&SequenceId(oid.0)) {
            Some(RelationRef::Sequence(SequenceId(oid.0)))
        } else {
            None
        }
    }

    /// Schema and name of a relation.
    pub fn relation_name(&self, relation: RelationRef) -> Option<(&Schema, &str)> {
        let (schema, name) = match relation {
            RelationRef::Table(id) => {
                let table = self.table(id)?;
                (table.schema, table.shape.name.as_str())
            }
            RelationRef::Index(oid) => {
                let index = self.index(oid)?;
                (index.schema, index.name.as_str())
            }
            RelationRef::View(oid) => {
                let view = self.view(oid)?;
                (view.schema, view.name.as_str())
            }
            RelationRef::Sequence(id) => {
                let sequence = self.sequence(id)?;
                (sequence.schema, sequence.name.as_str())
            }
        };
        Some((self.schema(schema)?, name))
    }
}

/// Tables and what hangs on them.
impl State {
    pub fn table(&self, id: TableId) -> Option<&Table> {
        self.tables.get(&id).map(|table| &**table)
    }

    pub fn table_arc(&self, id: TableId) -> Option<Arc<Table>> {
        self.tables.get(&id).map(Shared::arc)
    }

    /// In the order of oids.
    pub fn tables(&self) -> impl Iterator<Item = &Table> {
        self.tables.values().map(|table| &**table)
    }

    pub fn index(&self, oid: Oid) -> Option<&Index> {
        self.indexes.get(&oid).map(|index| &**index)
    }

    pub fn indexes(&self) -> impl Iterator<Item = &Index> {
        self.indexes.values().map(|index| &**index)
    }

    /// In the order of oids.
    pub fn indexes_of(&self, table: TableId) -> impl Iterator<Item = &Index> {
        let oids = self.table_indexes.get(&table).map_or(&[][..], Vec::as_slice);
        oids.iter().filter_map(|oid| self.index(*oid))
    }

    pub fn view(&self, oid: Oid) -> Option<&View> {
        self.views.get(&oid).map(|view| &**view)
    }

    /// In the order of oids, without materialized ones.
    pub fn views(&self) -> impl Iterator<Item = &View> {
        self.stored_queries().filter(|view| !self.is_materialized(view.oid))
    }

    /// Views, materialized ones among them.
    pub fn stored_queries(&self) -> impl Iterator<Item = &View> {
        self.views.values().map(|view| &**view)
    }

    pub fn is_materialized(&self, oid: Oid) -> bool {
        self.is_populated(TableId(oid.0)).is_some()
    }

    /// Of a materialized view, whether it is populated.
    pub fn is_populated(&self, table: TableId) -> Option<bool> {
        self.materialized.get(&table).copied()
    }

    /// Materialized views that have no rows to be read.
    pub fn unpopulated(&self) -> impl Iterator<Item = TableId> {
        self.materialized.iter().filter(|(_, populated)| !**populated).map(|(table, _)| *table)
    }

    /// Tables that are no materialized views.
    pub fn plain_tables(&self) -> impl Iterator<Item = &Table> {
        self.tables().filter(|table| self.is_populated(table.id()).is_none())
    }

    /// What a relation is called in messages.
    pub fn kind(&self, relation: RelationRef) -> RelationKind {
        match relation {
            RelationRef::Table(id) if self.is_populated(id).is_some() => {
                RelationKind::MaterializedView
            }
            RelationRef::Table(_) => RelationKind::Table,
            RelationRef::Index(_) => RelationKind::Index,
            RelationRef::View(_) => RelationKind::View,
            RelationRef::Sequence(_) => RelationKind::Sequence,
        }
    }

    pub fn sequence(&self, id: SequenceId) -> Option<&Sequence> {
        self.sequences.get(&id).map(|sequence| &**sequence)
    }

    pub fn sequences(&self) -> impl Iterator<Item = &Sequence> {
        self.sequences.values().map(|sequence| &**sequence)
    }

    pub fn sequence_position(&self, id: SequenceId) -> Option<Position> {
        self.positions.get(&id).copied()
    }

    /// Sequences that are dropped with the table, with the column each belongs to.
    pub fn sequences_of(&self, table: TableId) -> impl Iterator<Item = &Sequence> {
        self.sequences()
            .filter(move |sequence| sequence.owned_by.is_some_and(|(owner, _)| owner == table))
    }

    pub fn enum_type(&self, oid: Oid) -> Option<&EnumType> {
        self.enums.get(&oid).map(|ty| &**ty)
    }

    pub fn enums(&self) -> impl Iterator<Item = &EnumType> {
        self.enums.values().map(|ty| &**ty)
    }

    pub fn comment(&self, object: ObjectAddress) -> Option<&str> {
        self.comments.get(&object).map(String::as_str)
    }

    pub fn comments(&self) -> impl Iterator<Item = (ObjectAddress, &str)> {
        self.comments.iter().map(|(object, text)| (*object, text.as_str()))
    }

    pub fn all_grants(&self) -> impl Iterator<Item = (&ObjectAddress, &[Grant])> {
        self.grants.iter().map(|(object, grants)| (object, grants.as_slice()))
    }

    /// The name of a column of a table or view.
    pub fn column_name(&self, column: ObjectAddress) -> Option<&str> {
        let number = u16::try_from(column.part).ok()?;
        match self.relation(column.oid)? {
            RelationRef::Table(id) => Some(&self.table(id)?.shape.column(ColumnId(number))?.name),
            RelationRef::View(oid) => {
                let (name, _) = self.view(oid)?.columns.get(usize::from(number).checked_sub(1)?)?;
                Some(name)
            }
            RelationRef::Index(_) | RelationRef::Sequence(_) => None,
        }
    }

    /// The column of a table or view that has this name.
    pub fn column_named(&self, relation: RelationRef, name: &str) -> Option<ObjectAddress> {
        let number = match relation {
            RelationRef::Table(id) => self.table(id)?.shape.column_named(name)?.id.0,
            RelationRef::View(oid) => {
                let position = self.view(oid)?.columns.iter().position(|(own, _)| own == name)?;
                u16::try_from(position + 1).ok()?
            }
            RelationRef::Index(_) | RelationRef::Sequence(_) => return None,
        };
        Some(ObjectAddress { part: i32::from(number), ..ObjectAddress::relation(relation) })
    }

    /// What was granted on columns of a relation.
    pub fn column_grants(&self, relation: Oid) -> impl Iterator<Item = (&ObjectAddress, &[Grant])> {
        let whole = ObjectAddress::whole(ObjectClass::Relation, relation);
        let columns =
            ObjectAddress { part: 1, ..whole }..=ObjectAddress { part: i32::MAX, ..whole };
        self.grants.range(columns).map(|(object, grants)| (object, grants.as_slice()))
    }

    pub fn grants(&self, object: ObjectAddress) -> &[Grant] {
        self.grants.get(&object).map_or(&[], Vec::as_slice)
    }

    /// Settings of ALTER SYSTEM, DATABASE and ROLE.
    pub fn settings(&self) -> impl Iterator<Item = (&SettingScope, &str, &str)> {
        self.settings.iter().map(|((scope, name), value)| (scope, name.as_str(), value.as_str()))
    }

    pub fn setting(&self, scope: SettingScope, name: &str) -> Option<&str> {
        self.settings.get(&(scope, name.to_owned())).map(String::as_str)
    }

    /// Version at which the object last changed.
    pub fn modified(&self, oid: Oid) -> Option<u64> {
        self.modified.get(&Touched::Object(oid)).copied()
    }
}

/// Placement.
impl State {
    pub fn colocation(&self, id: ColocationId) -> Option<&Colocation> {
        self.colocations.get(&id).map(|colocation| &**colocation)
    }

    pub fn colocations(&self) -> impl Iterator<Item = &Colocation> {
        self.colocations.values().map(|colocation| &**colocation)
    }

    pub fn group(&self, id: GroupId) -> Option<&Group> {
        self.groups.get(&id).map(|group| &**group)
    }

    pub fn groups(&self) -> impl Iterator<Item = &Group> {
        self.groups.values().map(|group| &**group)
    }

    /// Tables of a co-location, in the order of oids.
    pub fn tables_in(&self, colocation: ColocationId) -> impl Iterator<Item = &Table> {
        self.tables().filter(move |table| table.colocation() == colocation)
    }

    /// The group that holds the token.
    pub fn group_for_hash(&self, colocation: ColocationId, token: i32) -> Option<&Group> {
        let colocation = self.colocation(colocation)?;
        self.group(colocation.groups[colocation.position_of(token)?].1)
    }

    /// The shard of a hash-distributed table that holds the token.
    pub fn shard_for_hash(&self, table: &Table, token: i32) -> Option<(&Group, ShardId)> {
        let colocation = self.colocation(table.colocation())?;
        let position = colocation.position_of(token)?;
        let shard = table.shards().get(position)?;
        Some((self.group(shard.group)?, shard.id))
    }

    /// Shards in the order of hash ranges, each with its group.
    pub fn shards_of<'a>(
        &'a self,
        table: &'a Table,
    ) -> impl Iterator<Item = (&'a Shard, &'a Group)> {
        table.shards().iter().filter_map(|shard| Some((shard, self.group(shard.group)?)))
    }

    /// Table and shard with this shard id. Walks the tables: for functions of users, not for the
    /// query path.
    pub fn shard(&self, id: ShardId) -> Option<(&Table, &Shard)> {
        self.tables().find_map(|table| {
            let shard = table.shards().iter().find(|shard| shard.id == id)?;
            Some((table, shard))
        })
    }

    /// The co-location that a new hash-distributed table joins unasked.
    pub fn default_colocation(
        &self,
        distribution_type: &satsuma_common::PgType,
        shard_count: usize,
    ) -> Option<&Colocation> {
        let bare = distribution_type.without_modifier();
        self.colocations().find(|colocation| {
            colocation.kind == ColocationKind::Hash
                && colocation.is_default
                && colocation.shard_count() == shard_count
                && colocation.distribution_type.as_ref() == Some(&bare)
        })
    }

    pub fn reference_colocation(&self) -> Option<&Colocation> {
        self.colocations().find(|colocation| colocation.kind == ColocationKind::Reference)
    }

    pub fn moves(&self) -> impl Iterator<Item = &Move> {
        self.moves.values().map(|movement| &**movement)
    }

    /// In the order in which they were started.
    pub fn jobs(&self) -> impl Iterator<Item = &Job> {
        self.jobs.values().map(|job| &**job)
    }

    pub fn job(&self, id: JobId) -> Option<&Job> {
        self.jobs.get(&id).map(|job| &**job)
    }

    /// The group's shards, in the order of tables.
    pub fn shards_in(&self, group: GroupId) -> Vec<ShardId> {
        let Some(known) = self.group(group) else { return Vec::new() };
        self.tables_in(known.colocation)
            .flat_map(|table| table.shards().iter().filter(|shard| shard.group == group))
            .map(|shard| shard.id)
            .collect()
    }

    pub fn movement(&self, id: MoveId) -> Option<&Move> {
        self.moves.get(&id).map(|movement| &**movement)
    }

    /// Tables whose definition or shards differ from `base`, or that `base` does not have.
    pub fn tables_changed_since<'a>(&'a self, base: &'a Self) -> impl Iterator<Item = &'a Table> {
        self.tables.iter().filter_map(|(id, table)| match base.tables.get(id) {
            Some(before) if std::ptr::eq(&**before, &**table) || **before == **table => None,
            _ => Some(&**table),
        })
    }
}
