//! GRANT and REVOKE: access lists of objects, and membership of roles.

use std::collections::{BTreeMap, BTreeSet};

use satsuma_common::{Oid, SqlError, SqlResult, SqlState};
use satsuma_sql::parse::{Grant as Statement, GrantTarget, Granted, NewObjects, Privilege};
use sqlparser::ast;

use super::{Ddl, names};
use crate::catalog::{
    self, COLUMN_PRIVILEGES, Command, DATABASE_OID, DefaultKind, Grant, ObjectAddress, ObjectClass,
    PUBLIC, RelationRef, State,
};
use crate::session_api::Notice;

const INVALID_GRANT: SqlState = SqlState(*b"0LP01");

pub fn grant(ddl: &mut Ddl<'_>, statement: &Statement) -> SqlResult<&'static str> {
    let grantor = grantor(ddl, statement)?;
    match &statement.what {
        Granted::Roles(roles) => {
            membership(ddl, statement, roles)?;
            Ok(match (statement.of_group, statement.revoke) {
                (true, _) => "ALTER ROLE",
                (false, true) => "REVOKE ROLE",
                (false, false) => "GRANT ROLE",
            })
        }
        Granted::Privileges { privileges, target } => {
            let objects = objects(ddl, target)?;
            let grantees = grantees(ddl, &statement.grantees)?;
            for (object, name) in objects {
                let state = ddl.state();
                let whole = letters(&state, object, target, privileges.as_deref())?;
                let mut columns = columns(&state, object, &name, privileges.as_deref())?;
                if statement.revoke && object.class == ObjectClass::Relation {
                    // What is taken from the whole is taken from its columns.
                    for (column, _) in state.column_grants(object.oid) {
                        add_letters(columns.entry(*column).or_default(), &whole);
                    }
                    columns.retain(|_, letters| !letters.is_empty());
                }
                let subject = Subject::whole(&state, object, name);
                if !whole.is_empty() {
                    change_access(ddl, statement, &subject, &whole, &grantees, grantor)?;
                }
                for (column, letters) in columns {
                    let subject = subject.column(&state, column);
                    change_access(ddl, statement, &subject, &letters, &grantees, grantor)?;
                }
            }
            Ok(match target {
                GrantTarget::Defaults { .. } => "ALTER DEFAULT PRIVILEGES",
                _ if statement.revoke => "REVOKE",
                _ => "GRANT",
            })
        }
    }
}

fn grantor(ddl: &mut Ddl<'_>, statement: &Statement) -> SqlResult<Oid> {
    let user = ddl.snapshot.user;
    match &statement.granted_by {
        None => Ok(user),
        Some(name) => {
            let role = role(ddl, name)?;
            if role != user {
                return Err(SqlError::unsupported("grantor must be current user"));
            }
            Ok(role)
        }
    }
}

/// The role that a name stands for.
fn role(ddl: &mut Ddl<'_>, name: &ast::Ident) -> SqlResult<Oid> {
    let folded = names::fold(name);
    if name.quote_style.is_none() {
        match folded.as_str() {
            "current_user" | "current_role" => return Ok(ddl.snapshot.user),
            "session_user" => {
                let session = ddl.env.identity.session_user.clone();
                return super::role::find(ddl, &session).map(|role| role.oid);
            }
            _ => {}
        }
    }
    super::role::find(ddl, &folded).map(|role| role.oid)
}

fn grantees(ddl: &mut Ddl<'_>, grantees: &[ast::Ident]) -> SqlResult<Vec<Oid>> {
    let grantee = |name: &ast::Ident| {
        let is_public = name.quote_style.is_none() && name.value.eq_ignore_ascii_case("public");
        if is_public { Ok(PUBLIC) } else { role(ddl, name) }
    };
    grantees.iter().map(grantee).collect()
}

/// The objects that a target names, with their names for messages.
fn objects(ddl: &mut Ddl<'_>, target: &GrantTarget) -> SqlResult<Vec<(ObjectAddress, String)>> {
    let state = ddl.state();
    let path = ddl.snapshot.search_path.clone();
    let relation = |name: &ast::ObjectName| -> SqlResult<(RelationRef, String)> {
        let (schema, relation) = names::split(name)?;
        let found = state.relation_by_name(&path, schema.as_deref(), &relation);
        found
            .map(|found| (found, relation.clone()))
            .ok_or_else(|| names::no_relation(schema.as_deref(), &relation))
    };
    let schema = |name: &ast::Ident| {
        let name = names::fold(name);
        state.schema_by_name(&name).ok_or_else(|| {
            SqlError::new(
                SqlState::INVALID_SCHEMA_NAME,
                format!("schema \"{name}\" does not exist"),
            )
        })
    };
    let mut found = Vec::new();
    match target {
        GrantTarget::Tables(tables) => {
            for name in tables {
                let (relation, name) = relation(name)?;
                if matches!(relation, RelationRef::Index(_)) {
                    return Err(wrong_kind(&name, "is an index"));
                }
                found.push((ObjectAddress::relation(relation), name));
            }
        }
        GrantTarget::Sequences(sequences) => {
            for name in sequences {
                let (relation, name) = relation(name)?;
                if !matches!(relation, RelationRef::Sequence(_)) {
                    return Err(wrong_kind(&name, "is not a sequence"));
                }
                found.push((ObjectAddress::relation(relation), name));
            }
        }
        GrantTarget::Schemas(schemas) => {
            for name in schemas {
                let schema = schema(name)?;
                found.push((schema.address(), schema.name.clone()));
            }
        }
        GrantTarget::Databases(databases) => {
            for name in databases {
                let name = names::fold(name);
                if name != state.cluster().database {
                    return Err(SqlError::new(
                        SqlState::INVALID_CATALOG_NAME,
                        format!("database \"{name}\" does not exist"),
                    ));
                }
                found.push((ObjectAddress::whole(ObjectClass::Database, DATABASE_OID), name));
            }
        }
        GrantTarget::Types(types) => {
            for name in types {
                let (schema, name) = names::split(name)?;
                let ty = state.enum_by_name(&path, schema.as_deref(), &name).ok_or_else(|| {
                    SqlError::new(
                        SqlState::UNDEFINED_OBJECT,
                        format!("type \"{name}\" does not exist"),
                    )
                })?;
                found.push((ObjectAddress::whole(ObjectClass::Type, ty.oid), name));
            }
        }
        GrantTarget::AllTables(schemas) | GrantTarget::AllSequences(schemas) => {
            let sequences = matches!(target, GrantTarget::AllSequences(_));
            for name in schemas {
                for (name, relation) in schema(name)?.relations() {
                    let wanted = match relation {
                        RelationRef::Sequence(_) => sequences,
                        RelationRef::Table(_) | RelationRef::View(_) => !sequences,
                        RelationRef::Index(_) => false,
                    };
                    if wanted {
                        found.push((ObjectAddress::relation(relation), name.to_owned()));
                    }
                }
            }
        }
        GrantTarget::Defaults { of, roles, schemas } => {
            let kind = default_kind(*of);
            if kind == DefaultKind::Schemas && !schemas.is_empty() {
                return Err(SqlError::new(
                    INVALID_GRANT,
                    "cannot use IN SCHEMA clause when using GRANT/REVOKE ON SCHEMAS",
                ));
            }
            let mut places = Vec::new();
            for name in schemas {
                places.push(Some(schema(name)?.oid));
            }
            if places.is_empty() {
                places.push(None);
            }
            let mut owners = Vec::new();
            for name in roles {
                owners.push(ddl.new_owner(name)?.oid);
            }
            if owners.is_empty() {
                owners.push(ddl.snapshot.user);
            }
            for owner in owners {
                let address = |place: &Option<Oid>| ObjectAddress::defaults(kind, owner, *place);
                found.extend(places.iter().map(|place| (address(place), String::new())));
            }
        }
        GrantTarget::Unsupported(what) => {
            return Err(SqlError::unsupported(format!("{what} is not supported")));
        }
    }
    Ok(found)
}

fn default_kind(of: NewObjects) -> DefaultKind {
    match of {
        NewObjects::Tables => DefaultKind::Tables,
        NewObjects::Sequences => DefaultKind::Sequences,
        NewObjects::Functions => DefaultKind::Functions,
        NewObjects::Types => DefaultKind::Types,
        NewObjects::Schemas => DefaultKind::Schemas,
    }
}

fn wrong_kind(name: &str, what: &str) -> SqlError {
    SqlError::new(SqlState::WRONG_OBJECT_TYPE, format!("\"{name}\" {what}"))
}

/// A privilege's letter in access lists.
fn letter(name: &str) -> Option<char> {
    Some(match name {
        "select" => 'r',
        "insert" => 'a',
        "update" => 'w',
        "delete" => 'd',
        "truncate" => 'D',
        "references" => 'x',
        "trigger" => 't',
        "usage" => 'U',
        "create" => 'C',
        "connect" => 'c',
        "temporary" | "temp" => 'T',
        "execute" => 'X',
        _ => return None,
    })
}

/// The letters of the privileges, which must be ones of such an object.
fn letters(
    state: &State,
    object: ObjectAddress,
    target: &GrantTarget,
    privileges: Option<&[Privilege]>,
) -> SqlResult<String> {
    let all = catalog::all_privileges(state, object);
    let Some(privileges) = privileges else { return Ok(all.into()) };
    let kind = match target {
        GrantTarget::Tables(_) | GrantTarget::AllTables(_) => "relation",
        GrantTarget::Sequences(_) | GrantTarget::AllSequences(_) => "sequence",
        GrantTarget::Schemas(_) => "schema",
        GrantTarget::Databases(_) => "database",
        GrantTarget::Types(_) => "type",
        GrantTarget::Defaults { of, .. } => match of {
            NewObjects::Tables => "relation",
            NewObjects::Sequences => "sequence",
            NewObjects::Functions => "function",
            NewObjects::Types => "type",
            NewObjects::Schemas => "schema",
        },
        GrantTarget::Unsupported(_) => "object",
    };
    let mut letters = String::new();
    for privilege in privileges.iter().filter(|privilege| privilege.columns.is_empty()) {
        let letter = known_letter(privilege)?;
        // PostgreSQL takes what tables have for sequences that are named as tables.
        let fits = all.contains(letter)
            || (object.class == ObjectClass::Relation
                && "arwdDxtU".contains(letter)
                && kind == "relation");
        if !fits {
            return Err(invalid_privilege(privilege, kind));
        }
        if !letters.contains(letter) {
            letters.push(letter);
        }
    }
    Ok(letters)
}

fn known_letter(privilege: &Privilege) -> SqlResult<char> {
    letter(&privilege.name).ok_or_else(|| {
        SqlError::new(
            SqlState::SYNTAX_ERROR,
            format!("unrecognized privilege type \"{}\"", privilege.name),
        )
    })
}

fn invalid_privilege(privilege: &Privilege, kind: &str) -> SqlError {
    let name = privilege.name.to_ascii_uppercase();
    SqlError::new(INVALID_GRANT, format!("invalid privilege type {name} for {kind}"))
}

fn add_letters(letters: &mut String, more: &str) {
    for letter in COLUMN_PRIVILEGES.chars() {
        if more.contains(letter) && !letters.contains(letter) {
            letters.push(letter);
        }
    }
}

/// The columns that privileges name, with the letters of theirs.
fn columns(
    state: &State,
    object: ObjectAddress,
    name: &str,
    privileges: Option<&[Privilege]>,
) -> SqlResult<BTreeMap<ObjectAddress, String>> {
    let mut found: BTreeMap<ObjectAddress, String> = BTreeMap::new();
    for privilege in privileges.into_iter().flatten() {
        if privilege.columns.is_empty() {
            continue;
        }
        let relation = match object.class {
            ObjectClass::Relation => state.relation(object.oid),
            _ => None,
        };
        let Some(relation) = relation else {
            let message = match object.class {
                ObjectClass::Defaults(_) => "default privileges cannot be set for columns",
                _ => "column privileges are only valid for relations",
            };
            return Err(SqlError::new(INVALID_GRANT, message));
        };
        if let RelationRef::Sequence(_) = relation {
            return Err(SqlError::unsupported(
                "privileges on columns of sequences are not supported",
            )
            .hint("Grant on the sequence."));
        }
        let letters = match privilege.name.as_str() {
            "all" => COLUMN_PRIVILEGES.to_owned(),
            _ => known_letter(privilege)?.to_string(),
        };
        if !letters.chars().all(|letter| COLUMN_PRIVILEGES.contains(letter)) {
            return Err(invalid_privilege(privilege, "column"));
        }
        for column in &privilege.columns {
            let column = names::fold(column);
            let address = state.column_named(relation, &column).ok_or_else(|| {
                SqlError::new(
                    SqlState::UNDEFINED_COLUMN,
                    format!("column \"{column}\" of relation \"{name}\" does not exist"),
                )
            })?;
            add_letters(found.entry(address).or_default(), &letters);
        }
    }
    Ok(found)
}

/// What is granted on, and how messages call it.
struct Subject {
    object: ObjectAddress,
    relation: String,
    /// `table t`
    denied: String,
    /// `"t"`
    named: String,
}

impl Subject {
    fn whole(state: &State, object: ObjectAddress, name: String) -> Self {
        let (denied, named) = (format!("{} {name}", kind(state, object)), format!("\"{name}\""));
        Self { object, relation: name, denied, named }
    }

    fn column(&self, state: &State, object: ObjectAddress) -> Self {
        let column = state.column_name(object).unwrap_or_default();
        let named = format!("column \"{column}\" of relation \"{}\"", self.relation);
        Self { object, relation: self.relation.clone(), denied: named.clone(), named }
    }

    /// The object itself, and what it is a column of.
    fn levels(&self) -> impl Iterator<Item = ObjectAddress> {
        [self.object, ObjectAddress { part: 0, ..self.object }].into_iter()
    }
}

fn change_access(
    ddl: &mut Ddl<'_>,
    statement: &Statement,
    subject: &Subject,
    wanted: &str,
    grantees: &[Oid],
    grantor: Oid,
) -> SqlResult<()> {
    let (state, object) = (ddl.state(), subject.object);
    let owner = catalog::owner(&state, object).unwrap_or(grantor);
    let as_owner = catalog::is_superuser(&state, grantor)
        || catalog::roles_of(&state, grantor, true).contains(&owner);
    // What the owner's members and superusers grant counts as the owner's.
    let grantor = if as_owner { owner } else { grantor };
    let may_pass_on = |letter: &char| {
        let may = |object| catalog::has_privilege(&state, grantor, object, *letter, true);
        as_owner || subject.levels().any(may)
    };
    let allowed: String = wanted.chars().filter(may_pass_on).collect();
    let named = &subject.named;
    if allowed.is_empty() {
        let has_any = catalog::all_privileges(&state, object)
            .chars()
            .any(|letter| subject.levels().any(|it| catalog::may(&state, grantor, it, letter)));
        if !has_any {
            return Err(SqlError::new(
                SqlState::INSUFFICIENT_PRIVILEGE,
                format!("permission denied for {}", subject.denied),
            ));
        }
        let (state, message) = if statement.revoke {
            (SqlState(*b"01006"), format!("no privileges could be revoked for {named}"))
        } else {
            (SqlState(*b"01007"), format!("no privileges were granted for {named}"))
        };
        ddl.notices.push(Notice::warning(state, message));
        return Ok(());
    }
    if allowed.len() < wanted.len() {
        let (state, message) = if statement.revoke {
            (SqlState(*b"01006"), format!("not all privileges could be revoked for {named}"))
        } else {
            (SqlState(*b"01007"), format!("not all privileges were granted for {named}"))
        };
        ddl.notices.push(Notice::warning(state, message));
    }
    let order = catalog::all_privileges(&state, object);
    let mut list = catalog::access_list(&state, object);
    for grantee in grantees {
        if statement.revoke {
            revoke_from(&mut list, *grantee, grantor, &allowed, statement)?;
        } else {
            if statement.option && *grantee == PUBLIC {
                return Err(SqlError::new(
                    INVALID_GRANT,
                    "grant options can only be granted to roles",
                ));
            }
            let known =
                list.iter_mut().find(|one| one.grantee == *grantee && one.grantor == grantor);
            let one = match known {
                Some(one) => one,
                None => {
                    list.push(Grant {
                        grantee: *grantee,
                        grantor,
                        privileges: String::new(),
                        grantable: String::new(),
                    });
                    let last = list.len() - 1;
                    &mut list[last]
                }
            };
            one.privileges = union(order, &one.privileges, &allowed);
            if statement.option && *grantee != owner {
                one.grantable = union(order, &one.grantable, &allowed);
            }
        }
    }
    list.retain(|one| !one.privileges.is_empty());
    ddl.apply(Command::SetGrants { object, grants: list })?;
    Ok(())
}

/// Takes privileges away; what the grantee passed on goes with CASCADE.
fn revoke_from(
    list: &mut Vec<Grant>,
    grantee: Oid,
    grantor: Oid,
    letters: &str,
    statement: &Statement,
) -> SqlResult<()> {
    let passed_on = |one: &Grant| {
        one.grantor == grantee
            && one.grantee != grantee
            && one.privileges.chars().any(|letter| letters.contains(letter))
    };
    let holds_option = list.iter().any(|one| {
        one.grantee == grantee && one.grantable.chars().any(|letter| letters.contains(letter))
    });
    if holds_option && list.iter().any(passed_on) {
        if !statement.cascade {
            return Err(SqlError::new(
                SqlState::DEPENDENT_OBJECTS_STILL_EXIST,
                "dependent privileges exist",
            )
            .hint("Use CASCADE to revoke them too."));
        }
        let next: BTreeSet<Oid> =
            list.iter().filter(|one| passed_on(one)).map(|one| one.grantee).collect();
        let whole = Statement { option: false, ..statement.clone() };
        for further in next {
            revoke_from(list, further, grantee, letters, &whole)?;
        }
    }
    let without = |held: &str| held.chars().filter(|letter| !letters.contains(*letter)).collect();
    for one in list.iter_mut().filter(|one| one.grantee == grantee && one.grantor == grantor) {
        one.grantable = without(&one.grantable);
        if !statement.option {
            one.privileges = without(&one.privileges);
        }
    }
    Ok(())
}

/// The letters of both, in the kind's order.
fn union(order: &str, a: &str, b: &str) -> String {
    let both = |letter: &char| a.contains(*letter) || b.contains(*letter);
    let mut all: String = order.chars().filter(both).collect();
    // Letters that are none of the kind's own: table privileges of a sequence.
    all.extend(a.chars().chain(b.chars()).filter(|letter| !order.contains(*letter)));
    let mut seen = BTreeSet::new();
    all.retain(|letter| seen.insert(letter));
    all
}

/// What an object is called in messages.
pub(super) fn kind(state: &State, object: ObjectAddress) -> &'static str {
    match object.class {
        ObjectClass::Relation => {
            state.relation(object.oid).map_or("table", |relation| state.kind(relation).name())
        }
        ObjectClass::Schema => "schema",
        ObjectClass::Database => "database",
        ObjectClass::Type => "type",
        ObjectClass::Extension => "extension",
        ObjectClass::Constraint | ObjectClass::Role | ObjectClass::Defaults(_) => "object",
    }
}

fn membership(ddl: &mut Ddl<'_>, statement: &Statement, roles: &[ast::Ident]) -> SqlResult<()> {
    let user = ddl.snapshot.user;
    for granted in roles {
        let name = names::fold(granted);
        let group = super::role::find(ddl, &name)?;
        let state = ddl.state();
        let current = super::role::current_role(ddl)?;
        let is_admin = current.superuser
            || (current.create_role && !group.superuser)
            || state.role(user).is_some_and(|role| role.member_of.contains(&(group.oid, true)));
        if !is_admin {
            let message = if group.superuser {
                "must be superuser to alter superusers".to_owned()
            } else {
                format!("must have admin option on role \"{name}\"")
            };
            return Err(SqlError::new(SqlState::INSUFFICIENT_PRIVILEGE, message));
        }
        for grantee in &statement.grantees {
            let member = role(ddl, grantee)?;
            let state = ddl.state();
            let Some(mut member) = state.role(member).cloned() else { continue };
            let known = member.member_of.iter().position(|(oid, _)| *oid == group.oid);
            if statement.revoke {
                let Some(known) = known else {
                    ddl.notices.push(Notice::warning(
                        SqlState::WARNING,
                        format!("role \"{}\" is not a member of role \"{name}\"", member.name),
                    ));
                    continue;
                };
                if statement.option {
                    member.member_of[known].1 = false;
                } else {
                    member.member_of.remove(known);
                }
            } else {
                if catalog::roles_of(&state, group.oid, false).contains(&member.oid) {
                    return Err(SqlError::new(
                        INVALID_GRANT,
                        format!("role \"{name}\" is a member of role \"{}\"", member.name),
                    ));
                }
                match known {
                    Some(known) if member.member_of[known].1 || !statement.option => {
                        ddl.notice(format!(
                            "role \"{}\" is already a member of role \"{name}\"",
                            member.name
                        ));
                        continue;
                    }
                    Some(known) => member.member_of[known].1 = true,
                    None => member.member_of.push((group.oid, statement.option)),
                }
            }
            ddl.apply(Command::AlterRole(member))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_keep_postgresqls_order() {
        assert_eq!(union("arwdDxt", "w", "ra"), "arw");
        assert_eq!(union("rwU", "U", "ar"), "rUa");
    }
}
