//! Roles, views, enums, comments, grants and settings.

use satsuma_common::{Oid, PgType, TableId};

use super::{access, schema};
use crate::catalog::objects::{
    DefaultKind, EnumType, ObjectAddress, ObjectClass, RelationRef, Role, SUPERUSER_OID,
    SettingScope, View,
};
use crate::catalog::rejection::Rejection;
use crate::catalog::shared::Shared;
use crate::catalog::state::State;

pub(super) fn create_role(state: &mut State, role: Role) -> Result<(), Rejection> {
    if state.role_by_name(&role.name).is_some() {
        return Err(Rejection::RoleExists(role.name));
    }
    if schema::oid_is_used(state, role.oid) {
        return Err(Rejection::Malformed("a role's oid is taken"));
    }
    check_membership(state, &role)?;
    state.roles.make_mut().insert(role.oid, Shared::new(role));
    Ok(())
}

pub(super) fn alter_role(state: &mut State, role: Role) -> Result<(), Rejection> {
    if state.role(role.oid).is_none() {
        return Err(Rejection::NoRole(role.name));
    }
    if state.role_by_name(&role.name).is_some_and(|other| other.oid != role.oid) {
        return Err(Rejection::RoleExists(role.name));
    }
    check_membership(state, &role)?;
    state.roles.make_mut().insert(role.oid, Shared::new(role));
    Ok(())
}

fn check_membership(state: &State, role: &Role) -> Result<(), Rejection> {
    role.member_of.iter().try_for_each(|(oid, _)| schema::role_exists(state, *oid))
}

pub(super) fn drop_role(state: &mut State, oid: Oid) -> Result<(), Rejection> {
    let Some(role) = state.role(oid) else { return Err(Rejection::NoRole(oid.0.to_string())) };
    if oid == SUPERUSER_OID {
        return Err(Rejection::SystemObject(role.name.clone()));
    }
    let name = role.name.clone();
    let owned = owned_by(state, oid);
    if !owned.is_empty() {
        return Err(Rejection::RoleInUse { name, detail: owned.join("\n") });
    }
    let roles = state.roles.make_mut();
    roles.remove(&oid);
    for role in roles.values_mut() {
        if role.member_of.iter().any(|(group, _)| *group == oid) {
            role.make_mut().member_of.retain(|(group, _)| *group != oid);
        }
    }
    state.settings.make_mut().retain(|(scope, _), _| {
        *scope != SettingScope::Role(oid) && *scope != SettingScope::RoleInDatabase(oid)
    });
    schema::forget_annotations(state, ObjectClass::Role, oid);
    Ok(())
}

/// An object that can be granted, with its kind.
fn described(state: &State, object: ObjectAddress) -> String {
    if let ObjectClass::Defaults(kind) = object.class {
        let role = state.role(object.oid).map_or("", |role| role.name.as_str());
        let schema = object.defaults_schema().and_then(|schema| state.schema(schema));
        let schema = schema.map_or(String::new(), |schema| format!(" in schema {}", schema.name));
        let kind = kind.plural();
        return format!("default privileges on new {kind} belonging to role {role}{schema}");
    }
    if object.part != 0 {
        let whole = described(state, ObjectAddress { part: 0, ..object });
        let column = state.column_name(object).unwrap_or_default();
        return format!("column {column} of {whole}");
    }
    if let Some(relation) = state.relation(object.oid)
        && let Some((_, name)) = state.relation_name(relation)
    {
        return format!("{} {name}", state.kind(relation));
    }
    if let Some(schema) = state.schema(object.oid) {
        return format!("schema {}", schema.name);
    }
    match state.enums().find(|ty| ty.oid == object.oid) {
        Some(ty) => format!("type {}", ty.name),
        None => format!("database {}", state.cluster().database),
    }
}

/// What a role owns or may use, as DROP ROLE lists it.
fn owned_by(state: &State, oid: Oid) -> Vec<String> {
    let mut lines = Vec::new();
    for schema in state.schemas().filter(|schema| schema.owner == oid) {
        lines.push(format!("owner of schema {}", schema.name));
    }
    for table in state.tables().filter(|table| table.owner == oid) {
        let kind = state.kind(RelationRef::Table(table.id()));
        lines.push(format!("owner of {kind} {}", table.shape.name));
    }
    for view in state.views().filter(|view| view.owner == oid) {
        lines.push(format!("owner of view {}", view.name));
    }
    for sequence in state.sequences().filter(|sequence| sequence.owner == oid) {
        lines.push(format!("owner of sequence {}", sequence.name));
    }
    for ty in state.enums().filter(|ty| ty.owner == oid) {
        lines.push(format!("owner of type {}", ty.name));
    }
    for (object, grants) in state.grants.iter() {
        if matches!(object.class, ObjectClass::Defaults(_)) && object.oid == oid {
            lines.push(format!("owner of {}", described(state, *object)));
            continue;
        }
        if grants.iter().any(|grant| grant.grantee == oid) {
            let name = described(state, *object);
            lines.push(format!("privileges for {name}"));
        }
    }
    lines
}

pub(super) fn create_view(state: &mut State, view: View) -> Result<(), Rejection> {
    check_view(state, &view)?;
    if schema::oid_is_used(state, view.oid) {
        return Err(Rejection::Malformed("a view's oid is taken"));
    }
    schema::add_relation(state, view.schema, &view.name, RelationRef::View(view.oid))?;
    let address = ObjectAddress::relation(RelationRef::View(view.oid));
    let schema = view.schema;
    state.views.make_mut().insert(view.oid, Shared::new(view));
    access::grant_defaults(state, address, (DefaultKind::Tables, Some(schema)));
    Ok(())
}

pub(super) fn alter_view(state: &mut State, view: View) -> Result<(), Rejection> {
    check_view(state, &view)?;
    let before =
        state.view(view.oid).cloned().ok_or_else(|| Rejection::NoRelation(view.name.clone()))?;
    // The name of a materialized view is its table's.
    if !state.is_materialized(view.oid) {
        schema::move_relation(
            state,
            (before.schema, &before.name),
            (view.schema, &view.name),
            RelationRef::View(view.oid),
        )?;
    }
    let relation = ObjectAddress::relation(RelationRef::View(view.oid));
    access::follow_owner(state, relation, before.owner, view.owner);
    state.views.make_mut().insert(view.oid, Shared::new(view));
    Ok(())
}

pub(super) fn materialize(state: &mut State, view: View) -> Result<(), Rejection> {
    check_view(state, &view)?;
    let table = TableId(view.oid.0);
    if state.table(table).is_none() || state.views.contains_key(&view.oid) {
        return Err(Rejection::NoRelation(view.name));
    }
    state.materialized.make_mut().insert(table, false);
    state.views.make_mut().insert(view.oid, Shared::new(view));
    follow_table(state, table);
    Ok(())
}

pub(super) fn set_populated(
    state: &mut State,
    table: TableId,
    populated: bool,
) -> Result<(), Rejection> {
    match state.materialized.make_mut().get_mut(&table) {
        Some(known) => *known = populated,
        None => return Err(Rejection::relation_is_gone(table.0)),
    }
    Ok(())
}

/// A materialized view's query goes under the names that its table has.
pub(super) fn follow_table(state: &mut State, id: TableId) {
    if state.is_populated(id).is_none() {
        return;
    }
    let Some(table) = state.table_arc(id) else { return };
    if let Some(view) = state.views.make_mut().get_mut(&Oid(id.0)) {
        let columns = table.shape.columns.iter();
        let view = view.make_mut();
        view.name.clone_from(&table.shape.name);
        view.schema = table.schema;
        view.owner = table.owner;
        view.columns = columns.map(|column| (column.name.clone(), column.ty.clone())).collect();
    }
}

/// With the table of a materialized view goes its query.
pub(super) fn drop_query(state: &mut State, table: TableId) {
    if state.is_populated(table).is_some() {
        state.materialized.make_mut().remove(&table);
        state.views.make_mut().remove(&Oid(table.0));
    }
}

fn check_view(state: &State, view: &View) -> Result<(), Rejection> {
    schema::role_exists(state, view.owner)?;
    if view.depends_on.iter().any(|oid| !schema::oid_is_used(state, *oid)) {
        return Err(Rejection::NoRelation(view.name.clone()));
    }
    Ok(())
}

pub(super) fn drop_view(state: &mut State, oid: Oid) -> Result<(), Rejection> {
    let view = state.view(oid).cloned().ok_or_else(|| Rejection::relation_is_gone(oid.0))?;
    refuse_dependent_views(state, oid, "view", &view.name)?;
    schema::remove_relation(state, view.schema, &view.name);
    state.views.make_mut().remove(&oid);
    schema::forget_annotations(state, ObjectClass::Relation, oid);
    Ok(())
}

/// Refuses to drop what a view reads.
pub(super) fn refuse_dependent_views(
    state: &State,
    oid: Oid,
    what: &str,
    name: &str,
) -> Result<(), Rejection> {
    let lines: Vec<_> = state
        .stored_queries()
        .filter(|view| view.depends_on.contains(&oid))
        .filter_map(|view| {
            let kind = state.kind(state.relation(view.oid)?);
            Some(format!("{kind} {} depends on {what} {name}", view.name))
        })
        .collect();
    if lines.is_empty() {
        return Ok(());
    }
    Err(Rejection::Dependents {
        message: format!("cannot drop {what} {name} because other objects depend on it"),
        detail: lines.join("\n"),
    })
}

pub(super) fn create_enum(state: &mut State, ty: EnumType) -> Result<(), Rejection> {
    schema::role_exists(state, ty.owner)?;
    check_labels(&ty)?;
    let array = Oid(ty.oid.0.wrapping_add(1));
    if schema::oid_is_used(state, ty.oid) || schema::oid_is_used(state, array) {
        return Err(Rejection::Malformed("a type's oid is taken"));
    }
    schema::add_type(state, ty.schema, &ty.name, ty.oid)?;
    let address = ObjectAddress::whole(ObjectClass::Type, ty.oid);
    let schema = ty.schema;
    state.enums.make_mut().insert(ty.oid, Shared::new(ty));
    access::grant_defaults(state, address, (DefaultKind::Types, Some(schema)));
    Ok(())
}

pub(super) fn alter_enum(state: &mut State, ty: EnumType) -> Result<(), Rejection> {
    schema::role_exists(state, ty.owner)?;
    check_labels(&ty)?;
    let before =
        state.enum_type(ty.oid).cloned().ok_or_else(|| Rejection::NoType(ty.name.clone()))?;
    if (before.schema, &before.name) != (ty.schema, &ty.name) {
        schema::remove_type(state, before.schema, &before.name);
        schema::add_type(state, ty.schema, &ty.name, ty.oid)?;
    }
    let address = ObjectAddress::whole(ObjectClass::Type, ty.oid);
    access::follow_owner(state, address, before.owner, ty.owner);
    state.enums.make_mut().insert(ty.oid, Shared::new(ty));
    Ok(())
}

fn check_labels(ty: &EnumType) -> Result<(), Rejection> {
    let mut labels: Vec<_> = ty.labels.iter().collect();
    labels.sort();
    if labels.windows(2).any(|pair| pair[0] == pair[1]) {
        return Err(Rejection::Malformed("an enum label occurs twice"));
    }
    Ok(())
}

pub(super) fn drop_enum(state: &mut State, oid: Oid) -> Result<(), Rejection> {
    let ty = state.enum_type(oid).cloned().ok_or_else(|| Rejection::NoType(oid.0.to_string()))?;
    let mut lines = Vec::new();
    for table in state.tables() {
        for column in &table.shape.columns {
            if uses_type(&column.ty, oid) {
                lines.push(format!(
                    "column {} of table {} depends on type {}",
                    column.name, table.shape.name, ty.name
                ));
            }
        }
    }
    if !lines.is_empty() {
        return Err(Rejection::Dependents {
            message: format!("cannot drop type {} because other objects depend on it", ty.name),
            detail: lines.join("\n"),
        });
    }
    refuse_dependent_views(state, oid, "type", &ty.name)?;
    schema::remove_type(state, ty.schema, &ty.name);
    state.enums.make_mut().remove(&oid);
    schema::forget_annotations(state, ObjectClass::Type, oid);
    Ok(())
}

pub(super) fn uses_type(ty: &PgType, oid: Oid) -> bool {
    match ty {
        PgType::Enum(used) => *used == oid,
        PgType::Array(element) => uses_type(element, oid),
        _ => false,
    }
}

pub(super) fn set_comment(state: &mut State, object: ObjectAddress, text: Option<String>) {
    let comments = state.comments.make_mut();
    match text.filter(|text| !text.is_empty()) {
        Some(text) => comments.insert(object, text),
        None => comments.remove(&object),
    };
}

pub(super) fn set_setting(
    state: &mut State,
    scope: SettingScope,
    name: String,
    value: Option<String>,
) {
    let settings = state.settings.make_mut();
    match value {
        Some(value) => settings.insert((scope, name), value),
        None => settings.remove(&(scope, name)),
    };
}
