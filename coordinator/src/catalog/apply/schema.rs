//! Schemas, and the names in them.

use satsuma_common::Oid;

use super::access;
use crate::catalog::objects::{DefaultKind, ObjectAddress, ObjectClass, RelationRef};
use crate::catalog::rejection::Rejection;
use crate::catalog::shared::Shared;
use crate::catalog::state::{Schema, State};

pub(super) fn create(
    state: &mut State,
    oid: Oid,
    name: String,
    owner: Oid,
) -> Result<(), Rejection> {
    role_exists(state, owner)?;
    if state.schema_names.contains_key(&name) {
        return Err(Rejection::SchemaExists(name));
    }
    if state.schemas.contains_key(&oid) {
        return Err(Rejection::Malformed("a schema's oid is taken"));
    }
    let is_temporary = name.starts_with("pg_");
    state.schema_names.make_mut().insert(name.clone(), oid);
    state.schemas.make_mut().insert(oid, Shared::new(Schema::new(oid, name, owner)));
    if !is_temporary {
        let address = ObjectAddress::whole(ObjectClass::Schema, oid);
        access::grant_defaults(state, address, (DefaultKind::Schemas, None));
    }
    Ok(())
}

pub(super) fn rename(state: &mut State, oid: Oid, name: String) -> Result<(), Rejection> {
    let before = user_schema(state, oid)?.name.clone();
    if state.schema_names.contains_key(&name) {
        return Err(Rejection::SchemaExists(name));
    }
    let names = state.schema_names.make_mut();
    names.remove(&before);
    names.insert(name.clone(), oid);
    schema_mut(state, oid)?.name = name.clone();
    super::table::schema_renamed(state, oid, &name);
    Ok(())
}

pub(super) fn own(state: &mut State, oid: Oid, owner: Oid) -> Result<(), Rejection> {
    role_exists(state, owner)?;
    let before = user_schema(state, oid)?.owner;
    schema_mut(state, oid)?.owner = owner;
    let address = ObjectAddress::whole(ObjectClass::Schema, oid);
    access::follow_owner(state, address, before, owner);
    Ok(())
}

pub(super) fn drop(state: &mut State, oid: Oid) -> Result<(), Rejection> {
    let schema = user_schema(state, oid)?;
    let name = schema.name.clone();
    if !schema.is_empty() {
        return Err(Rejection::Dependents {
            message: format!("cannot drop schema {name} because other objects depend on it"),
            detail: format!("objects in schema {name} depend on it"),
        });
    }
    state.schema_names.make_mut().remove(&name);
    state.schemas.make_mut().remove(&oid);
    forget_annotations(state, ObjectClass::Schema, oid);
    if state.grants.keys().any(|object| object.defaults_schema() == Some(oid)) {
        state.grants.make_mut().retain(|object, _| object.defaults_schema() != Some(oid));
    }
    Ok(())
}

pub(super) fn role_exists(state: &State, oid: Oid) -> Result<(), Rejection> {
    match state.role(oid) {
        Some(_) => Ok(()),
        None => Err(Rejection::NoRole(oid.0.to_string())),
    }
}

/// A schema that users may create things in.
pub(super) fn user_schema(state: &State, oid: Oid) -> Result<&Schema, Rejection> {
    let schema = state.schema(oid).ok_or_else(|| Rejection::NoSchema(oid.0.to_string()))?;
    if schema.is_system() {
        return Err(Rejection::SystemObject(schema.name.clone()));
    }
    Ok(schema)
}

fn schema_mut(state: &mut State, oid: Oid) -> Result<&mut Schema, Rejection> {
    let schema = state.schemas.make_mut().get_mut(&oid);
    Ok(schema.ok_or_else(|| Rejection::NoSchema(oid.0.to_string()))?.make_mut())
}

/// Enters a relation's name. Its oid must be unused.
pub(super) fn add_relation(
    state: &mut State,
    schema: Oid,
    name: &str,
    relation: RelationRef,
) -> Result<(), Rejection> {
    let home = user_schema(state, schema)?;
    if home.relation(name).is_some() {
        return Err(Rejection::RelationExists(name.to_owned()));
    }
    if home.user_type(name).is_some() {
        return Err(Rejection::TypeExists(name.to_owned()));
    }
    schema_mut(state, schema)?.relations.insert(name.to_owned(), relation);
    Ok(())
}

pub(super) fn remove_relation(state: &mut State, schema: Oid, name: &str) {
    if let Ok(schema) = schema_mut(state, schema) {
        schema.relations.remove(name);
    }
}

/// Changes a relation's name or schema.
pub(super) fn move_relation(
    state: &mut State,
    from: (Oid, &str),
    to: (Oid, &str),
    relation: RelationRef,
) -> Result<(), Rejection> {
    if from == to {
        return Ok(());
    }
    remove_relation(state, from.0, from.1);
    add_relation(state, to.0, to.1, relation)
}

pub(super) fn add_type(
    state: &mut State,
    schema: Oid,
    name: &str,
    oid: Oid,
) -> Result<(), Rejection> {
    let home = user_schema(state, schema)?;
    if home.user_type(name).is_some() || home.relation(name).is_some() {
        return Err(Rejection::TypeExists(name.to_owned()));
    }
    schema_mut(state, schema)?.types.insert(name.to_owned(), oid);
    Ok(())
}

pub(super) fn remove_type(state: &mut State, schema: Oid, name: &str) {
    if let Ok(schema) = schema_mut(state, schema) {
        schema.types.remove(name);
    }
}

/// Whether an oid already stands for something.
pub(super) fn oid_is_used(state: &State, oid: Oid) -> bool {
    state.relation(oid).is_some()
        || state.schemas.contains_key(&oid)
        || state.roles.contains_key(&oid)
        || state.enums.contains_key(&oid)
}

/// Drops the comments and grants of an object that is no more.
pub(super) fn forget_annotations(state: &mut State, class: ObjectClass, oid: Oid) {
    let belongs = |object: &ObjectAddress| object.class == class && object.oid == oid;
    if state.comments.keys().any(belongs) {
        state.comments.make_mut().retain(|object, _| !belongs(object));
    }
    if state.grants.keys().any(belongs) {
        state.grants.make_mut().retain(|object, _| !belongs(object));
    }
}
