//! What roles may do: `has_table_privilege` and its relatives.

use std::collections::BTreeSet;

use satsuma_common::{Oid, PgType, SqlError, SqlResult, SqlState};
use satsuma_sql::catalog_view::CatalogView;
use satsuma_sql::functions::CatalogFunction;

use super::{Arguments, SessionFunctions};
use crate::catalog::{
    DATABASE_OID, FIRST_USER_OID, ObjectAddress, ObjectClass, PUBLIC_SCHEMA_OID, RelationRef,
};

/// A privilege's letter in access lists, and whether WITH GRANT OPTION was asked for.
type Wanted = (char, bool);

/// `SELECT, INSERT WITH GRANT OPTION`: any of these will do.
fn parse(text: &str) -> SqlResult<Vec<Wanted>> {
    text.split(',')
        .map(|one| {
            let upper = one.trim().to_ascii_uppercase();
            let (name, grant) = match upper.strip_suffix(" WITH GRANT OPTION") {
                Some(name) => (name, true),
                None => (upper.as_str(), false),
            };
            let letter = match name {
                "SELECT" => 'r',
                "INSERT" => 'a',
                "UPDATE" => 'w',
                "DELETE" => 'd',
                "TRUNCATE" => 'D',
                "REFERENCES" => 'x',
                "TRIGGER" => 't',
                "USAGE" => 'U',
                "CREATE" => 'C',
                "CONNECT" => 'c',
                "TEMPORARY" | "TEMP" => 'T',
                "EXECUTE" => 'X',
                _ => {
                    return Err(SqlError::new(
                        SqlState::INVALID_PARAMETER_VALUE,
                        format!("unrecognized privilege type: \"{}\"", one.trim()),
                    ));
                }
            };
            Ok((letter, grant))
        })
        .collect()
}

/// What everybody may do without a grant.
fn by_default(class: ObjectClass, oid: Oid) -> &'static str {
    match class {
        // System catalogs can be read, and system schemas looked into.
        ObjectClass::Relation if oid.0 < FIRST_USER_OID => "r",
        ObjectClass::Schema if oid == PUBLIC_SCHEMA_OID || oid.0 < FIRST_USER_OID => "U",
        ObjectClass::Database => "cT",
        ObjectClass::Type => "U",
        _ => "",
    }
}

impl SessionFunctions {
    /// The answer of a privilege function; `None` if it is none.
    pub(super) fn privilege(
        &self,
        function: CatalogFunction,
        arguments: &Arguments<'_>,
    ) -> Option<SqlResult<bool>> {
        use CatalogFunction as F;
        let me = self.catalog.user;
        let relation = |oid| (ObjectClass::Relation, oid);
        let answer = || -> SqlResult<Option<bool>> {
            let (role, (class, object), privileges) = match function {
                F::HasTablePrivilege | F::HasAnyColumnPrivilege | F::HasSequencePrivilege => {
                    (me, relation(arguments.oid(0)?), arguments.text(1)?)
                }
                F::HasTablePrivilegeUser => (
                    self.named_role(arguments.text(0)?)?,
                    relation(arguments.oid(1)?),
                    arguments.text(2)?,
                ),
                F::HasTablePrivilegeName => {
                    let table = self.named_relation(arguments.text(0)?)?;
                    (me, relation(table), arguments.text(1)?)
                }
                F::HasTablePrivilegeUserName => (
                    self.named_role(arguments.text(0)?)?,
                    relation(self.named_relation(arguments.text(1)?)?),
                    arguments.text(2)?,
                ),
                F::HasColumnPrivilege | F::HasColumnPrivilegeNumber => {
                    (me, relation(arguments.oid(0)?), arguments.text(2)?)
                }
                F::HasSchemaPrivilege => {
                    (me, (ObjectClass::Schema, arguments.oid(0)?), arguments.text(1)?)
                }
                F::HasSchemaPrivilegeName => {
                    let schema = self.named_schema(arguments.text(0)?)?;
                    (me, (ObjectClass::Schema, schema), arguments.text(1)?)
                }
                F::HasSchemaPrivilegeUserName => {
                    let schema = self.named_schema(arguments.text(1)?)?;
                    let role = self.named_role(arguments.text(0)?)?;
                    (role, (ObjectClass::Schema, schema), arguments.text(2)?)
                }
                F::HasSchemaPrivilegeUser => {
                    let role = self.named_role(arguments.text(0)?)?;
                    (role, (ObjectClass::Schema, arguments.oid(1)?), arguments.text(2)?)
                }
                F::HasDatabasePrivilege => {
                    (me, (ObjectClass::Database, arguments.oid(0)?), arguments.text(1)?)
                }
                F::HasDatabasePrivilegeName => {
                    let database = self.named_database(arguments.text(0)?)?;
                    (me, (ObjectClass::Database, database), arguments.text(1)?)
                }
                F::HasDatabasePrivilegeUserName => {
                    let database = self.named_database(arguments.text(1)?)?;
                    let role = self.named_role(arguments.text(0)?)?;
                    (role, (ObjectClass::Database, database), arguments.text(2)?)
                }
                F::HasTypePrivilege => {
                    (me, (ObjectClass::Type, arguments.oid(0)?), arguments.text(1)?)
                }
                // Built-in functions are for everybody.
                F::HasFunctionPrivilege => return Ok(Some(true)),
                F::HasRole => return Ok(Some(self.is_member(me, arguments.oid(0)?))),
                F::HasRoleName => {
                    let role = self.named_role(arguments.text(0)?)?;
                    return Ok(Some(self.is_member(me, role)));
                }
                F::HasRoleUserName => {
                    let role = self.named_role(arguments.text(1)?)?;
                    let member = self.named_role(arguments.text(0)?)?;
                    return Ok(Some(self.is_member(member, role)));
                }
                F::HasRoleUser => {
                    let member = self.named_role(arguments.text(0)?)?;
                    return Ok(Some(self.is_member(member, arguments.oid(1)?)));
                }
                F::HasRoleOids => {
                    let (member, role) = (arguments.oid(0)?, arguments.oid(1)?);
                    return Ok(Some(self.is_member(member, role)));
                }
                _ => return Ok(None),
            };
            let wanted = parse(privileges)?;
            Ok(Some(wanted.into_iter().any(|one| self.may(role, class, object, one))))
        };
        answer().transpose()
    }

    fn named_role(&self, name: &str) -> SqlResult<Oid> {
        self.state().role_by_name(name).map(|role| role.oid).ok_or_else(|| {
            SqlError::new(SqlState::UNDEFINED_OBJECT, format!("role \"{name}\" does not exist"))
        })
    }

    fn named_schema(&self, name: &str) -> SqlResult<Oid> {
        let schema = self.catalog.oid_of(&PgType::Regnamespace, name);
        let schema = schema.or_else(|| Some(self.state().schema_by_name(name)?.oid.0));
        schema.map(Oid).ok_or_else(|| {
            SqlError::new(
                SqlState::INVALID_SCHEMA_NAME,
                format!("schema \"{name}\" does not exist"),
            )
        })
    }

    fn named_database(&self, name: &str) -> SqlResult<Oid> {
        match self.state().cluster().database == name {
            true => Ok(DATABASE_OID),
            false => Err(SqlError::new(
                SqlState::INVALID_CATALOG_NAME,
                format!("database \"{name}\" does not exist"),
            )),
        }
    }

    /// The roles whose rights `role` has: itself and what it is a member of, step by step.
    fn roles_of(&self, role: Oid) -> BTreeSet<Oid> {
        let mut all = BTreeSet::from([role]);
        let mut next = vec![role];
        while let Some(role) = next.pop() {
            let groups = self.state().role(role).map_or(&[][..], |role| &role.member_of);
            next.extend(groups.iter().map(|(group, _)| *group).filter(|group| all.insert(*group)));
        }
        all
    }

    fn is_superuser(&self, role: Oid) -> bool {
        self.state().role(role).is_some_and(|role| role.superuser)
    }

    fn is_member(&self, member: Oid, role: Oid) -> bool {
        self.is_superuser(member) || self.roles_of(member).contains(&role)
    }

    /// Whether this session may act for a role of that name.
    pub(super) fn may_act_for(&self, name: &str) -> bool {
        match self.state().role_by_name(name) {
            Some(role) => self.is_member(self.catalog.user, role.oid),
            None => self.is_superuser(self.catalog.user),
        }
    }

    fn owner(&self, class: ObjectClass, object: Oid) -> Option<Oid> {
        let state = self.state();
        match class {
            ObjectClass::Relation => match state.relation(object)? {
                RelationRef::Table(id) => Some(state.table(id)?.owner),
                RelationRef::View(oid) => Some(state.view(oid)?.owner),
                RelationRef::Sequence(id) => Some(state.sequence(id)?.owner),
                RelationRef::Index(oid) => Some(state.table(state.index(oid)?.table)?.owner),
            },
            ObjectClass::Schema => Some(state.schema(object)?.owner),
            ObjectClass::Type => Some(state.enum_type(object)?.owner),
            ObjectClass::Constraint | ObjectClass::Role | ObjectClass::Database => None,
        }
    }

    fn may(&self, role: Oid, class: ObjectClass, object: Oid, (letter, grant): Wanted) -> bool {
        if self.is_superuser(role) {
            return true;
        }
        let roles = self.roles_of(role);
        if self.owner(class, object).is_some_and(|owner| roles.contains(&owner)) {
            return true;
        }
        if !grant && by_default(class, object).contains(letter) {
            return true;
        }
        let grants = self.state().grants(ObjectAddress { class, oid: object, part: 0 });
        grants.iter().any(|one| {
            let held = if grant { &one.grantable } else { &one.privileges };
            (one.grantee == Oid(0) || roles.contains(&one.grantee)) && held.contains(letter)
        })
    }
}
