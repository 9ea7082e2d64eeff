//! What roles may do: `has_table_privilege` and its relatives.

use satsuma_common::{Oid, PgType, SqlError, SqlResult, SqlState};
use satsuma_sql::catalog_view::CatalogView;
use satsuma_sql::functions::CatalogFunction;

use super::{Arguments, SessionFunctions};
use crate::catalog::{self, DATABASE_OID, ObjectAddress, ObjectClass};

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

    fn is_member(&self, member: Oid, role: Oid) -> bool {
        catalog::is_member(self.state(), member, role)
    }

    /// Whether this session may act for a role of that name.
    pub(super) fn may_act_for(&self, name: &str) -> bool {
        match self.state().role_by_name(name) {
            Some(role) => self.is_member(self.catalog.user, role.oid),
            None => catalog::is_superuser(self.state(), self.catalog.user),
        }
    }

    fn may(&self, role: Oid, class: ObjectClass, object: Oid, (letter, grant): Wanted) -> bool {
        let object = ObjectAddress::whole(class, object);
        catalog::has_privilege(self.state(), role, object, letter, grant)
    }
}
