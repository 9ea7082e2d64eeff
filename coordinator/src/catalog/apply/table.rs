//! Tables, their indexes, and the foreign keys between them.

use std::collections::BTreeSet;

use satsuma_common::table::{ForeignKey, TableShape};
use satsuma_common::{ColumnId, Oid, TableId};

use super::{access, object, placement, schema, sequence};
use crate::catalog::objects::{
    DefaultKind, Index, IndexValue, ObjectAddress, ObjectClass, RelationRef,
};
use crate::catalog::rejection::Rejection;
use crate::catalog::shared::Shared;
use crate::catalog::state::State;
use crate::catalog::statistics::TableStatistics;
use crate::catalog::table::{Table, TableDef, TableDistribution, TablePlacement};

pub(super) fn create(
    state: &mut State,
    mut def: TableDef,
    mut placement: TablePlacement,
    indexes: Vec<Index>,
) -> Result<(), Rejection> {
    let id = def.shape.table;
    if schema::oid_is_used(state, Oid(id.0)) {
        return Err(Rejection::Malformed("a table's oid is taken"));
    }
    check_def(state, &def)?;
    check_distribution_column(&def, placement.distribution)?;
    placement::check_table_placement(state, &mut placement)?;
    let shape = def.shape.make_mut();
    shape.version = 1;
    shape.referenced_by = self_references(shape);
    shape.indexes.clear();
    name_schema(state, &mut def)?;
    schema::add_relation(state, def.schema, &def.shape.name, RelationRef::Table(id))?;
    let targets = targets(&def.shape);
    let schema = def.schema;
    state.tables.make_mut().insert(id, Shared::new(Table::new(def, placement)));
    let relation = ObjectAddress::relation(RelationRef::Table(id));
    access::grant_defaults(state, relation, (DefaultKind::Tables, Some(schema)));
    for index in indexes {
        create_index(state, index)?;
    }
    check_constraints(state, id)?;
    refresh_references(state, targets);
    Ok(())
}

pub(super) fn alter(state: &mut State, mut def: TableDef) -> Result<(), Rejection> {
    let id = def.shape.table;
    let before =
        state.table_arc(id).ok_or_else(|| Rejection::NoRelation(def.shape.name.clone()))?;
    check_def(state, &def)?;
    if def.next_column < before.next_column {
        return Err(Rejection::Malformed("column ids used again"));
    }
    check_distribution_column(&def, before.distribution())?;
    let shape = def.shape.make_mut();
    shape.version = before.shape.version + 1;
    shape.referenced_by = before.shape.referenced_by.clone();
    shape.indexes.clone_from(&before.shape.indexes);
    name_schema(state, &mut def)?;
    schema::move_relation(
        state,
        (before.schema, &before.shape.name),
        (def.schema, &def.shape.name),
        RelationRef::Table(id),
    )?;
    let mut affected = targets(&before.shape);
    affected.extend(targets(&def.shape));
    affected.insert(id);
    let (schema, owner) = (def.schema, def.owner);
    let relation = ObjectAddress::relation(RelationRef::Table(id));
    state.tables.make_mut().insert(id, Shared::new(before.with_def(def)));
    if schema != before.schema {
        follow_schema(state, id, schema)?;
    }
    object::follow_table(state, id);
    access::follow_owner(state, relation, before.owner, owner);
    access::follow_columns(state, id);
    refresh_indexes(state, id);
    check_constraints(state, id)?;
    rename_in_foreign_keys(state, id);
    refresh_references(state, affected);
    check_referencing(state, id)
}

/// Indexes and owned sequences live in their table's schema.
fn follow_schema(state: &mut State, table: TableId, schema: Oid) -> Result<(), Rejection> {
    let indexes: Vec<_> = state.indexes_of(table).cloned().collect();
    for mut index in indexes {
        let from = std::mem::replace(&mut index.schema, schema);
        let relation = RelationRef::Index(index.oid);
        schema::move_relation(state, (from, &index.name), (schema, &index.name), relation)?;
        state.indexes.make_mut().insert(index.oid, Shared::new(index));
    }
    let sequences: Vec<_> = state.sequences_of(table).cloned().collect();
    for mut sequence in sequences {
        let from = std::mem::replace(&mut sequence.schema, schema);
        let relation = RelationRef::Sequence(sequence.id);
        schema::move_relation(state, (from, &sequence.name), (schema, &sequence.name), relation)?;
        state.sequences.make_mut().insert(sequence.id, Shared::new(sequence));
    }
    Ok(())
}

pub(super) fn drop(state: &mut State, id: TableId) -> Result<(), Rejection> {
    let table = state.table_arc(id).ok_or_else(|| Rejection::relation_is_gone(id.0))?;
    let name = &table.shape.name;
    let lines: Vec<_> = table
        .shape
        .referenced_by
        .iter()
        .filter(|key| key.table != id)
        .map(|key| {
            format!("constraint {} on table {} depends on table {name}", key.name, key.table_name)
        })
        .collect();
    if !lines.is_empty() {
        return Err(Rejection::Dependents {
            message: format!("cannot drop table {name} because other objects depend on it"),
            detail: lines.join("\n"),
        });
    }
    let kind = state.kind(RelationRef::Table(id));
    object::refuse_dependent_views(state, Oid(id.0), kind.name(), name)?;
    object::drop_query(state, id);
    let indexes: Vec<_> = state.indexes_of(id).map(|index| index.oid).collect();
    for index in indexes {
        remove_index(state, index);
    }
    let sequences: Vec<_> = state.sequences_of(id).map(|sequence| sequence.id).collect();
    for owned in sequences {
        sequence::drop(state, owned)?;
    }
    schema::remove_relation(state, table.schema, name);
    state.table_indexes.make_mut().remove(&id);
    state.tables.make_mut().remove(&id);
    if state.statistics.contains_key(&id) {
        state.statistics.make_mut().remove(&id);
    }
    schema::forget_annotations(state, ObjectClass::Relation, Oid(id.0));
    for oid in table.constraint_oids.values() {
        schema::forget_annotations(state, ObjectClass::Constraint, *oid);
    }
    refresh_references(state, targets(&table.shape));
    placement::drop_if_empty(state, table.colocation());
    Ok(())
}

pub(super) fn set_statistics(
    state: &mut State,
    id: TableId,
    statistics: TableStatistics,
) -> Result<(), Rejection> {
    if !state.tables.contains_key(&id) {
        return Err(Rejection::relation_is_gone(id.0));
    }
    state.statistics.make_mut().insert(id, Shared::new(statistics));
    Ok(())
}

pub(super) fn place(
    state: &mut State,
    id: TableId,
    mut to: TablePlacement,
) -> Result<(), Rejection> {
    let table = state.table_arc(id).ok_or_else(|| Rejection::relation_is_gone(id.0))?;
    check_distribution_column(&table, to.distribution)?;
    placement::check_table_placement(state, &mut to)?;
    let before = table.colocation();
    state.tables.make_mut().insert(id, Shared::new(table.with_placement(to)));
    placement::drop_if_empty(state, before);
    Ok(())
}

/// What holds within one definition, whatever else the catalog has.
fn check_def(state: &State, def: &TableDef) -> Result<(), Rejection> {
    schema::user_schema(state, def.schema)?;
    schema::role_exists(state, def.owner)?;
    let shape = &def.shape;
    let count = shape.columns.len();
    if def.defaults.len() != count || def.generated.len() != count || def.identity.len() != count {
        return Err(Rejection::Malformed("defaults that do not match the columns"));
    }
    let ids: BTreeSet<_> = shape.columns.iter().map(|column| column.id).collect();
    let names: BTreeSet<_> = shape.columns.iter().map(|column| &column.name).collect();
    if ids.len() != count || names.len() != count {
        return Err(Rejection::Malformed("a column twice"));
    }
    if ids.iter().any(|id| id.0 == 0 || *id >= def.next_column) {
        return Err(Rejection::Malformed("a column id out of range"));
    }
    let known = |columns: &[ColumnId]| columns.iter().all(|column| ids.contains(column));
    if !known(&shape.primary_key) {
        return Err(Rejection::Malformed("a primary key on no column"));
    }
    if shape.primary_key.is_empty() != shape.primary_key_name.is_none() {
        return Err(Rejection::Malformed("a primary key without name"));
    }
    for key in &shape.foreign_keys {
        let arity = !key.columns.is_empty() && key.columns.len() == key.target_columns.len();
        if !arity || key.table != shape.table || !known(&key.columns) {
            return Err(Rejection::Malformed("a foreign key"));
        }
        let target = if key.target == shape.table {
            shape
        } else {
            let target = state.table(key.target);
            &target.ok_or_else(|| Rejection::NoRelation(key.target_name.clone()))?.shape
        };
        if key.target_columns.iter().any(|column| target.column(*column).is_none()) {
            return Err(Rejection::ConcurrentChange(format!("relation \"{}\"", target.name)));
        }
    }
    for column in &shape.columns {
        if let Some(oid) = enum_of(&column.ty)
            && state.enum_type(oid).is_none()
        {
            return Err(Rejection::NoType(oid.0.to_string()));
        }
    }
    Ok(())
}

fn enum_of(ty: &satsuma_common::PgType) -> Option<Oid> {
    match ty {
        satsuma_common::PgType::Enum(oid) => Some(*oid),
        satsuma_common::PgType::Array(element) => enum_of(element),
        _ => None,
    }
}

fn check_distribution_column(
    def: &TableDef,
    distribution: TableDistribution,
) -> Result<(), Rejection> {
    match distribution.column() {
        Some(column) if def.shape.column(column).is_none() => {
            Err(Rejection::Malformed("a distribution column that is not there"))
        }
        _ => Ok(()),
    }
}

/// Every constraint has one oid and one name, and keys have their index.
fn check_constraints(state: &State, id: TableId) -> Result<(), Rejection> {
    let Some(table) = state.table(id) else { return Ok(()) };
    let shape = &table.shape;
    let indexes = state.indexes_of(id).filter(|index| index.constraint);
    let names: Vec<&String> = shape
        .checks
        .iter()
        .map(|check| &check.name)
        .chain(shape.foreign_keys.iter().map(|key| &key.name))
        .chain(indexes.map(|index| &index.name))
        .collect();
    let unique: BTreeSet<_> = names.iter().copied().collect();
    if unique.len() != names.len() {
        let twice = names.iter().find(|name| names.iter().filter(|n| n == name).count() > 1);
        return Err(Rejection::ConstraintExists {
            constraint: twice.map_or_else(String::new, |name| (*name).clone()),
            table: shape.name.clone(),
        });
    }
    if !unique.iter().copied().eq(table.constraint_oids.keys()) {
        return Err(Rejection::Malformed("constraints and their oids"));
    }
    let primary = state.indexes_of(id).find(|index| index.primary);
    if primary.map(|index| &index.name) != shape.primary_key_name.as_ref() {
        return Err(Rejection::Malformed("a primary key and its index"));
    }
    Ok(())
}

/// Columns that foreign keys of other tables point to must stay.
fn check_referencing(state: &State, id: TableId) -> Result<(), Rejection> {
    let Some(table) = state.table(id) else { return Ok(()) };
    let gone =
        table.shape.referenced_by.iter().find(|key| {
            key.target_columns.iter().any(|column| table.shape.column(*column).is_none())
        });
    match gone {
        None => Ok(()),
        Some(key) => Err(Rejection::Dependents {
            message: format!(
                "cannot drop column of table {} because other objects depend on it",
                table.shape.name
            ),
            detail: format!("constraint {} on table {} depends on it", key.name, key.table_name),
        }),
    }
}

fn name_schema(state: &State, def: &mut TableDef) -> Result<(), Rejection> {
    let name = schema::user_schema(state, def.schema)?.name.clone();
    if def.shape.schema_name != name {
        def.shape.make_mut().schema_name = name;
    }
    Ok(())
}

/// Tables carry their schema's name.
pub(super) fn schema_renamed(state: &mut State, schema: Oid, name: &str) {
    let tables: Vec<_> =
        state.tables().filter(|table| table.schema == schema).map(Table::id).collect();
    for id in tables {
        update_shape(state, id, |shape| shape.schema_name = name.to_owned());
    }
}

fn self_references(shape: &TableShape) -> Vec<ForeignKey> {
    shape.foreign_keys.iter().filter(|key| key.target == shape.table).cloned().collect()
}

fn targets(shape: &TableShape) -> BTreeSet<TableId> {
    shape.foreign_keys.iter().map(|key| key.target).collect()
}

fn update_shape(state: &mut State, id: TableId, change: impl FnOnce(&mut TableShape)) {
    if let Some(table) = state.table_arc(id) {
        state.tables.make_mut().insert(id, Shared::new(table.with_shape(change)));
    }
}

/// Foreign keys carry the names of both their tables.
fn rename_in_foreign_keys(state: &mut State, id: TableId) {
    let Some(table) = state.table_arc(id) else { return };
    let name = &table.shape.name;
    let stale_own = |key: &ForeignKey| key.table == id && key.table_name != *name;
    let stale_target = |key: &ForeignKey| key.target == id && key.target_name != *name;
    let stale: Vec<_> = state
        .tables()
        .filter(|table| {
            table.shape.foreign_keys.iter().any(|key| stale_own(key) || stale_target(key))
        })
        .map(Table::id)
        .collect();
    for other in stale {
        update_shape(state, other, |shape| {
            for key in &mut shape.foreign_keys {
                if key.table == id {
                    key.table_name.clone_from(name);
                }
                if key.target == id {
                    key.target_name.clone_from(name);
                }
            }
        });
    }
    if let Some(table) = state.table(id) {
        let all = targets(&table.shape);
        refresh_references(state, all);
    }
}

/// Brings a shape's indexes up to date. That is no new version: plans do not depend on them.
fn refresh_indexes(state: &mut State, id: TableId) {
    let Some(table) = state.table_arc(id) else { return };
    let mut indexes: Vec<_> =
        state.indexes_of(id).filter_map(|index| index.shape(&table.shape)).collect();
    indexes.sort_by_key(|index| index.id);
    if table.shape.indexes != indexes {
        let mut def = table.def().clone();
        def.shape.make_mut().indexes = indexes;
        state.tables.make_mut().insert(id, Shared::new(table.with_def(def)));
    }
}

/// Brings `referenced_by` of the given tables up to date.
fn refresh_references(state: &mut State, tables: BTreeSet<TableId>) {
    for id in tables {
        let keys: Vec<ForeignKey> = state
            .tables()
            .flat_map(|table| &table.shape.foreign_keys)
            .filter(|key| key.target == id)
            .cloned()
            .collect();
        if state.table(id).is_some_and(|table| table.shape.referenced_by != keys) {
            update_shape(state, id, |shape| shape.referenced_by = keys);
        }
    }
}

pub(super) fn create_index(state: &mut State, index: Index) -> Result<(), Rejection> {
    check_index(state, &index)?;
    if schema::oid_is_used(state, index.oid) {
        return Err(Rejection::Malformed("an index's oid is taken"));
    }
    let relation = RelationRef::Index(index.oid);
    schema::add_relation(state, index.schema, &index.name, relation)?;
    state.table_indexes.make_mut().entry(index.table).or_default().push(index.oid);
    let table = index.table;
    state.indexes.make_mut().insert(index.oid, Shared::new(index));
    refresh_indexes(state, table);
    Ok(())
}

pub(super) fn alter_index(state: &mut State, index: Index) -> Result<(), Rejection> {
    check_index(state, &index)?;
    let before =
        state.index(index.oid).cloned().ok_or_else(|| Rejection::NoRelation(index.name.clone()))?;
    if before.table != index.table {
        return Err(Rejection::Malformed("an index of another table"));
    }
    schema::move_relation(
        state,
        (before.schema, &before.name),
        (index.schema, &index.name),
        RelationRef::Index(index.oid),
    )?;
    let table = index.table;
    state.indexes.make_mut().insert(index.oid, Shared::new(index));
    refresh_indexes(state, table);
    Ok(())
}

fn check_index(state: &State, index: &Index) -> Result<(), Rejection> {
    let table =
        state.table(index.table).ok_or_else(|| Rejection::relation_is_gone(index.table.0))?;
    if index.schema != table.schema || index.keys.is_empty() {
        return Err(Rejection::Malformed("an index"));
    }
    let keys = index.keys.iter().filter_map(|key| match &key.value {
        IndexValue::Column(column) => Some(column),
        IndexValue::Expression(_) => None,
    });
    if keys.chain(&index.include).any(|column| table.shape.column(*column).is_none()) {
        return Err(Rejection::ConcurrentChange(format!("relation \"{}\"", table.shape.name)));
    }
    Ok(())
}

pub(super) fn drop_index(state: &mut State, oid: Oid) -> Result<(), Rejection> {
    let Some(table) = state.index(oid).map(|index| index.table) else {
        return Err(Rejection::relation_is_gone(oid.0));
    };
    remove_index(state, oid);
    refresh_indexes(state, table);
    Ok(())
}

fn remove_index(state: &mut State, oid: Oid) {
    let Some(index) = state.index(oid).cloned() else { return };
    schema::remove_relation(state, index.schema, &index.name);
    if let Some(oids) = state.table_indexes.make_mut().get_mut(&index.table) {
        oids.retain(|other| *other != oid);
    }
    state.indexes.make_mut().remove(&oid);
    schema::forget_annotations(state, ObjectClass::Relation, oid);
}
