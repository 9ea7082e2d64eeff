//! Roles and what they may do.

use satsuma_common::{Datum, Oid, SqlResult};

use super::rows::{Rows, row};
use super::{Fill, Source};
use crate::catalog::{
    Grant, ObjectAddress, ObjectClass, PUBLIC, PUBLIC_SCHEMA_OID, Role, Schema, SettingScope, State,
};

pub(super) fn fill(name: &str) -> Option<Fill> {
    Some(match name {
        "pg_authid" => authid,
        "pg_roles" => roles,
        "pg_user" => users,
        "pg_shadow" => shadow,
        "pg_auth_members" => members,
        "pg_db_role_setting" => settings,
        "pg_default_acl" => defaults,
        _ => return None,
    })
}

fn valid_until(role: &Role) -> Datum {
    role.valid_until.map_or(Datum::Null, Datum::Timestamp)
}

fn authid(source: &Source<'_>, rows: &mut Rows<'_>) -> SqlResult<()> {
    for role in source.state.roles() {
        row!(
            rows,
            oid = role.oid,
            rolname = &role.name,
            rolsuper = role.superuser,
            rolinherit = role.inherit,
            rolcreaterole = role.create_role,
            rolcreatedb = role.create_db,
            rolcanlogin = role.login,
            rolreplication = role.replication,
            rolbypassrls = role.bypass_rls,
            rolconnlimit = role.connection_limit,
            rolpassword = role.verifier.as_ref(),
            rolvaliduntil = valid_until(role),
        )?;
    }
    Ok(())
}

/// `name=value` of ALTER ROLE .. SET.
fn role_settings(state: &State, role: Oid) -> Option<Vec<String>> {
    let settings: Vec<_> = state
        .settings()
        .filter(|(scope, ..)| **scope == SettingScope::Role(role))
        .map(|(_, name, value)| format!("{name}={value}"))
        .collect();
    (!settings.is_empty()).then_some(settings)
}

fn roles(source: &Source<'_>, rows: &mut Rows<'_>) -> SqlResult<()> {
    for role in source.state.roles() {
        row!(
            rows,
            rolname = &role.name,
            rolsuper = role.superuser,
            rolinherit = role.inherit,
            rolcreaterole = role.create_role,
            rolcreatedb = role.create_db,
            rolcanlogin = role.login,
            rolreplication = role.replication,
            rolconnlimit = role.connection_limit,
            rolpassword = "********",
            rolvaliduntil = valid_until(role),
            rolbypassrls = role.bypass_rls,
            rolconfig = role_settings(source.state, role.oid),
            oid = role.oid,
        )?;
    }
    Ok(())
}

fn users(source: &Source<'_>, rows: &mut Rows<'_>) -> SqlResult<()> {
    for role in source.state.roles().filter(|role| role.login) {
        row!(
            rows,
            usename = &role.name,
            usesysid = role.oid,
            usecreatedb = role.create_db,
            usesuper = role.superuser,
            userepl = role.replication,
            usebypassrls = role.bypass_rls,
            passwd = "********",
            valuntil = valid_until(role),
            useconfig = role_settings(source.state, role.oid),
        )?;
    }
    Ok(())
}

fn shadow(source: &Source<'_>, rows: &mut Rows<'_>) -> SqlResult<()> {
    for role in source.state.roles().filter(|role| role.login) {
        row!(
            rows,
            usename = &role.name,
            usesysid = role.oid,
            usecreatedb = role.create_db,
            usesuper = role.superuser,
            userepl = role.replication,
            usebypassrls = role.bypass_rls,
            passwd = role.verifier.as_ref(),
            valuntil = valid_until(role),
            useconfig = role_settings(source.state, role.oid),
        )?;
    }
    Ok(())
}

fn members(source: &Source<'_>, rows: &mut Rows<'_>) -> SqlResult<()> {
    for role in source.state.roles() {
        for (group, admin) in &role.member_of {
            row!(
                rows,
                roleid = *group,
                member = role.oid,
                grantor = crate::catalog::SUPERUSER_OID,
                admin_option = *admin,
            )?;
        }
    }
    Ok(())
}

fn settings(source: &Source<'_>, rows: &mut Rows<'_>) -> SqlResult<()> {
    let database = crate::catalog::DATABASE_OID;
    let mut scopes: Vec<&SettingScope> = source.state.settings().map(|(scope, ..)| scope).collect();
    scopes.dedup();
    for scope in scopes {
        let (database, role) = match scope {
            SettingScope::System | SettingScope::Extension => continue,
            SettingScope::Database => (database, Oid(0)),
            SettingScope::Role(role) => (Oid(0), *role),
            SettingScope::RoleInDatabase(role) => (database, *role),
        };
        let values: Vec<_> = source
            .state
            .settings()
            .filter(|(other, ..)| *other == scope)
            .map(|(_, name, value)| format!("{name}={value}"))
            .collect();
        row!(rows, setdatabase = database, setrole = role, setconfig = values)?;
    }
    Ok(())
}

/// What ALTER DEFAULT PRIVILEGES said.
fn defaults(source: &Source<'_>, rows: &mut Rows<'_>) -> SqlResult<()> {
    // They have no oids in the catalog: these are above all that it gives out.
    for (oid, (object, grants)) in (3 << 30..).zip(source.state.all_grants()) {
        let ObjectClass::Defaults(kind) = object.class else { continue };
        let items: Vec<_> = grants.iter().map(|grant| item(source.state, grant)).collect();
        row!(
            rows,
            oid = Oid(oid),
            defaclrole = object.oid,
            defaclnamespace = object.defaults_schema().unwrap_or(Oid(0)),
            defaclobjtype = kind.letter().to_string(),
            defaclacl = items,
        )?;
    }
    Ok(())
}

/// An object's `aclitem`s as text (`bob=r/satsuma`); `None` where nothing was granted.
pub(super) fn access_list(state: &State, class: ObjectClass, oid: Oid) -> Option<Vec<String>> {
    written(state, ObjectAddress::whole(class, oid))
}

/// That of a column.
pub(super) fn column_access_list(state: &State, oid: Oid, part: i32) -> Option<Vec<String>> {
    written(state, ObjectAddress { class: ObjectClass::Relation, oid, part })
}

fn written(state: &State, object: ObjectAddress) -> Option<Vec<String>> {
    let grants = state.grants(object);
    (!grants.is_empty()).then(|| grants.iter().map(|grant| item(state, grant)).collect())
}

/// That of a schema. What everybody may in `public` is always written out, as no other schema
/// comes with it.
pub(super) fn schema_access_list(state: &State, schema: &Schema) -> Option<Vec<String>> {
    if schema.oid != PUBLIC_SCHEMA_OID {
        return access_list(state, ObjectClass::Schema, schema.oid);
    }
    let grants = crate::catalog::access_list(state, schema.address());
    Some(grants.iter().map(|grant| item(state, grant)).collect())
}

/// `acldefault`: the access list of an object of a kind before anything was granted on it.
pub(super) fn default_access_list(state: &State, kind: &str, owner: Oid) -> Option<Vec<String>> {
    // What everybody may do, and what the owner may.
    let (everybody, own) = match kind {
        "c" => ("", ""),
        "r" => ("", "arwdDxt"),
        "s" => ("", "rwU"),
        "d" => ("Tc", "CTc"),
        "f" => ("X", "X"),
        "l" | "T" => ("U", "U"),
        "L" => ("", "rw"),
        "n" => ("", "UC"),
        "p" => ("", "sA"),
        "t" => ("", "C"),
        "F" | "S" => ("", "U"),
        _ => return None,
    };
    let item = |grantee, privileges: &str| {
        let (privileges, grantable) = (privileges.to_owned(), String::new());
        item(state, &Grant { grantee, grantor: owner, privileges, grantable })
    };
    let grants = [(PUBLIC, everybody), (owner, own)].into_iter();
    let grants = grants.filter(|(_, privileges)| !privileges.is_empty());
    Some(grants.map(|(grantee, privileges)| item(grantee, privileges)).collect())
}

fn item(state: &State, grant: &Grant) -> String {
    let name = |oid: Oid| match state.role(oid) {
        Some(role) => crate::catalog::quote_identifier(&role.name),
        None if oid == Oid(0) => String::new(),
        None => oid.0.to_string(),
    };
    let mut privileges = String::new();
    for letter in grant.privileges.chars() {
        privileges.push(letter);
        if grant.grantable.contains(letter) {
            privileges.push('*');
        }
    }
    format!("{}={privileges}/{}", name(grant.grantee), name(grant.grantor))
}
