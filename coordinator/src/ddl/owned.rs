//! DROP OWNED and REASSIGN OWNED: what there is to do before a role can go.

use satsuma_common::{Oid, SqlError, SqlResult, SqlState};
use satsuma_sql::parse::Owned;

use super::{Ddl, alter_name, drop};
use crate::catalog::{Command, EnumType, Grant, ObjectClass, RelationRef, SUPERUSER_OID, State};

pub async fn owned(ddl: &mut Ddl<'_>, statement: &Owned) -> SqlResult<&'static str> {
    let verb = if statement.to.is_some() { "reassign" } else { "drop" };
    let mut roles = Vec::new();
    for name in &statement.by {
        let role = ddl.new_owner(name).map_err(|error| match error.state() {
            SqlState::INSUFFICIENT_PRIVILEGE => SqlError::new(
                SqlState::INSUFFICIENT_PRIVILEGE,
                format!("permission denied to {verb} objects"),
            ),
            _ => error,
        })?;
        if role.oid == SUPERUSER_OID {
            let name = role.name;
            return Err(SqlError::new(
                SqlState::DEPENDENT_OBJECTS_STILL_EXIST,
                format!(
                    "cannot {verb} {} role {name} because they are required by the database \
                     system",
                    if statement.to.is_some() {
                        "ownership of objects owned by"
                    } else {
                        "objects owned by"
                    },
                ),
            ));
        }
        roles.push(role.oid);
    }
    match &statement.to {
        Some(to) => {
            let owner = ddl.new_owner(to)?.oid;
            let state = ddl.state();
            for relation in relations(&state, &roles) {
                alter_name::set_owner(ddl, relation, to)?;
            }
            for ty in types(&state, &roles) {
                ddl.apply(Command::AlterEnum(EnumType { owner, ..ty }))?;
            }
            for oid in schemas(&state, &roles) {
                ddl.apply(Command::OwnSchema { oid, owner })?;
            }
            Ok("REASSIGN OWNED")
        }
        None => {
            drop_owned(ddl, &roles, statement.cascade).await?;
            Ok("DROP OWNED")
        }
    }
}

async fn drop_owned(ddl: &mut Ddl<'_>, roles: &[Oid], cascade: bool) -> SqlResult<()> {
    let state = ddl.state();
    drop::drop_relations(ddl, &relations(&state, roles), cascade).await?;
    for ty in types(&state, roles) {
        super::enum_type::drop_type(ddl, &ty, cascade).await?;
    }
    for oid in schemas(&state, roles) {
        let name = state.schema(oid).map(|schema| schema.name.clone());
        let name = name.map(|name| super::stored_text::ident(&name).into());
        let names: Vec<_> = name.into_iter().collect();
        drop::drop_schemas(ddl, &names, true, cascade).await?;
    }
    // What they were allowed to do with the objects of others.
    let state = ddl.state();
    for (object, grants) in state.all_grants() {
        let is_theirs = |grant: &Grant| roles.contains(&grant.grantee);
        if matches!(object.class, ObjectClass::Defaults(_)) && roles.contains(&object.oid) {
            ddl.apply(Command::SetGrants { object: *object, grants: Vec::new() })?;
        } else if grants.iter().any(is_theirs) {
            let grants = grants.iter().filter(|grant| !is_theirs(grant)).cloned().collect();
            ddl.apply(Command::SetGrants { object: *object, grants })?;
        }
    }
    Ok(())
}

/// Tables, views and sequences that no table has.
fn relations(state: &State, roles: &[Oid]) -> Vec<RelationRef> {
    let tables = state.tables().filter(|table| roles.contains(&table.owner));
    let views = state.views().filter(|view| roles.contains(&view.owner));
    let sequences = state
        .sequences()
        .filter(|sequence| roles.contains(&sequence.owner) && sequence.owned_by.is_none());
    tables
        .map(|table| RelationRef::Table(table.id()))
        .chain(views.map(|view| RelationRef::View(view.oid)))
        .chain(sequences.map(|sequence| RelationRef::Sequence(sequence.id)))
        .collect()
}

fn types(state: &State, roles: &[Oid]) -> Vec<EnumType> {
    state.enums().filter(|ty| roles.contains(&ty.owner)).cloned().collect()
}

fn schemas(state: &State, roles: &[Oid]) -> Vec<Oid> {
    let owned = state.schemas().filter(|schema| roles.contains(&schema.owner));
    owned.map(|schema| schema.oid).collect()
}
