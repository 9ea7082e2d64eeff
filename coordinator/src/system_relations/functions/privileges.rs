//! What roles may do: `has_table_privilege` and its relatives.

use satsuma_common::{Datum, Oid, PgType, SequenceId, SqlError, SqlResult, SqlState};
use satsuma_sql::catalog_view::CatalogView;
use satsuma_sql::functions::{Privileged, is_known};

use super::SessionFunctions;
use crate::catalog::{
    self, DATABASE_OID, ObjectAddress, ObjectClass, PUBLIC, RelationRef, split_name,
};

/// A privilege's letter in access lists, and whether WITH GRANT OPTION was asked for.
type Wanted = (char, bool);

/// Privileges by name with their letters, for each kind of object those that it has.
fn known(of: Privileged) -> &'static [(&'static str, char)] {
    match of {
        Privileged::Table => &[
            ("SELECT", 'r'),
            ("INSERT", 'a'),
            ("UPDATE", 'w'),
            ("DELETE", 'd'),
            ("TRUNCATE", 'D'),
            ("REFERENCES", 'x'),
            ("TRIGGER", 't'),
        ],
        Privileged::AnyColumn | Privileged::Column => {
            &[("SELECT", 'r'), ("INSERT", 'a'), ("UPDATE", 'w'), ("REFERENCES", 'x')]
        }
        Privileged::Sequence => &[("USAGE", 'U'), ("SELECT", 'r'), ("UPDATE", 'w')],
        Privileged::Schema => &[("CREATE", 'C'), ("USAGE", 'U')],
        Privileged::Database => {
            &[("CREATE", 'C'), ("TEMPORARY", 'T'), ("TEMP", 'T'), ("CONNECT", 'c')]
        }
        Privileged::Function => &[("EXECUTE", 'X')],
        Privileged::Type | Privileged::Language => &[("USAGE", 'U')],
        Privileged::Tablespace => &[("CREATE", 'C')],
        // Both are membership here.
        Privileged::Role => &[("USAGE", 'm'), ("MEMBER", 'm')],
    }
}

/// `SELECT, INSERT WITH GRANT OPTION`: any of these will do.
fn parse(of: Privileged, text: &str) -> SqlResult<Vec<Wanted>> {
    text.split(',')
        .map(|one| {
            let upper = one.trim().to_ascii_uppercase();
            let option = upper.strip_suffix(" WITH GRANT OPTION").or_else(|| {
                upper.strip_suffix(" WITH ADMIN OPTION").filter(|_| of == Privileged::Role)
            });
            let name = option.unwrap_or(&upper);
            let found = known(of).iter().find(|(known, _)| *known == name);
            let (_, letter) = found.ok_or_else(|| {
                SqlError::new(
                    SqlState::INVALID_PARAMETER_VALUE,
                    format!("unrecognized privilege type: \"{}\"", one.trim()),
                )
            })?;
            Ok((*letter, option.is_some()))
        })
        .collect()
}

fn undefined(what: &str, name: &str) -> SqlError {
    SqlError::new(SqlState::UNDEFINED_OBJECT, format!("{what} \"{name}\" does not exist"))
}

pub(super) fn named_tablespace(name: &str) -> SqlResult<Oid> {
    match name {
        "pg_default" => Ok(Oid(1663)),
        "pg_global" => Ok(Oid(1664)),
        _ => Err(undefined("tablespace", name)),
    }
}

/// What a function asks about.
enum Asked {
    Object(ObjectAddress),
    /// Columns of a relation: the privilege on one of them or on the whole is enough.
    Columns(Oid, Vec<ObjectAddress>),
    Role(Oid),
    /// Something that everybody may use, and only superusers may pass on.
    ForEverybody,
    /// Something that only superusers may use.
    ForSuperusers,
    /// No object has that number.
    Nothing,
}

impl SessionFunctions {
    /// The answer of a function that asks for a privilege; `None` for an object that is not there.
    pub(super) fn has_privilege(
        &self,
        of: Privileged,
        arguments: &[Datum],
    ) -> SqlResult<Option<bool>> {
        let wrong =
            || SqlError::internal("a privilege function got arguments of other types than its own");
        let (role, object, column, privileges) = match (of, arguments) {
            (Privileged::Column, [object, column, Datum::Text(p)]) => {
                (None, object, Some(column), p)
            }
            (Privileged::Column, [role, object, column, Datum::Text(p)]) => {
                (Some(role), object, Some(column), p)
            }
            (_, [object, Datum::Text(p)]) => (None, object, None, p),
            (_, [role, object, Datum::Text(p)]) => (Some(role), object, None, p),
            _ => return Err(wrong()),
        };
        let role = match role {
            None => self.catalog.user,
            Some(Datum::Oid(role)) => Oid(*role),
            Some(Datum::Text(name)) if name == "public" && of != Privileged::Role => PUBLIC,
            Some(Datum::Text(name)) => self.named_role(name)?,
            Some(_) => return Err(wrong()),
        };
        let asked = match (object, column) {
            (Datum::Oid(object), None) => self.numbered(of, Oid(*object))?,
            (Datum::Text(name), None) => self.named(of, name)?,
            (object, Some(column)) => {
                let relation = match object {
                    Datum::Oid(relation) => Oid(*relation),
                    Datum::Text(name) => self.named_relation(name)?,
                    _ => return Err(wrong()),
                };
                self.column(relation, column)?
            }
            _ => return Err(wrong()),
        };
        let wanted = parse(of, privileges)?;
        if matches!(asked, Asked::Nothing) {
            return Ok(None);
        }
        Ok(Some(wanted.into_iter().any(|one| self.may(role, &asked, one))))
    }

    fn may(&self, role: Oid, asked: &Asked, (letter, grant): Wanted) -> bool {
        let state = self.state();
        let has = |object| catalog::has_privilege(state, role, object, letter, grant);
        match asked {
            Asked::Object(object) => has(*object),
            Asked::Columns(relation, columns) => {
                let whole = ObjectAddress::whole(ObjectClass::Relation, *relation);
                has(whole) || columns.iter().any(|column| has(*column))
            }
            Asked::Role(other) if !grant => catalog::is_member(state, role, *other),
            Asked::ForEverybody if !grant => true,
            Asked::Role(_) | Asked::ForEverybody | Asked::ForSuperusers => {
                catalog::is_superuser(state, role)
            }
            Asked::Nothing => false,
        }
    }

    fn named(&self, of: Privileged, name: &str) -> SqlResult<Asked> {
        let object = match of {
            Privileged::Table | Privileged::AnyColumn | Privileged::Column => {
                self.named_relation(name)?
            }
            Privileged::Sequence => self.named_relation(name)?,
            Privileged::Schema => self.named_schema(name)?,
            Privileged::Database => self.named_database(name)?,
            Privileged::Role => self.named_role(name)?,
            Privileged::Tablespace => named_tablespace(name)?,
            Privileged::Type => {
                let oid = self.catalog.oid_of(&PgType::Regtype, name);
                oid.map(Oid).ok_or_else(|| undefined("type", name))?
            }
            Privileged::Language => match name {
                "internal" | "c" | "sql" | "plpgsql" => return Ok(Asked::ForEverybody),
                _ => return Err(undefined("language", name)),
            },
            Privileged::Function => {
                let bare = name.split('(').next().unwrap_or_default();
                let bare = split_name(bare).map_or_else(String::new, |(_, name)| name);
                if !name.contains('(') || !is_known(&bare) {
                    return Err(SqlError::new(
                        SqlState::UNDEFINED_FUNCTION,
                        format!("function \"{name}\" does not exist"),
                    ));
                }
                return Ok(Asked::ForEverybody);
            }
        };
        self.numbered(of, object)
    }

    fn numbered(&self, of: Privileged, oid: Oid) -> SqlResult<Asked> {
        let state = self.state();
        let (class, exists) = match of {
            Privileged::Sequence => {
                let name = self.catalog.relation_name(oid);
                if let Some((_, name)) = &name
                    && state.sequence(SequenceId(oid.0)).is_none()
                {
                    return Err(SqlError::new(
                        SqlState::WRONG_OBJECT_TYPE,
                        format!("\"{name}\" is not a sequence"),
                    ));
                }
                (ObjectClass::Relation, name.is_some())
            }
            Privileged::AnyColumn if self.catalog.relation_name(oid).is_some() => {
                let columns = state.column_grants(oid).map(|(column, _)| *column).collect();
                return Ok(Asked::Columns(oid, columns));
            }
            Privileged::Table | Privileged::AnyColumn | Privileged::Column => {
                (ObjectClass::Relation, self.catalog.relation_name(oid).is_some())
            }
            Privileged::Schema => {
                let name = self.catalog.oid_name(&PgType::Regnamespace, oid.0);
                (ObjectClass::Schema, name.is_some())
            }
            Privileged::Database => (ObjectClass::Database, oid == DATABASE_OID),
            Privileged::Type => {
                let name = self.catalog.oid_name(&PgType::Regtype, oid.0);
                (ObjectClass::Type, name.is_some() || PgType::from_oid(oid.0).is_some())
            }
            // Built-in functions are for everybody, and so are languages.
            Privileged::Function | Privileged::Language => return Ok(Asked::ForEverybody),
            Privileged::Tablespace => return Ok(Asked::ForSuperusers),
            Privileged::Role => return Ok(Asked::Role(oid)),
        };
        Ok(match exists {
            true => Asked::Object(ObjectAddress::whole(class, oid)),
            false => Asked::Nothing,
        })
    }

    /// A column by its number or name.
    fn column(&self, relation: Oid, column: &Datum) -> SqlResult<Asked> {
        let Some((_, name)) = self.catalog.relation_name(relation) else {
            return Ok(Asked::Nothing);
        };
        let state = self.state();
        let reference = state.relation(relation);
        let Some(reference @ (RelationRef::Table(_) | RelationRef::View(_))) = reference else {
            // Of a system relation: these have no privileges by column.
            return Ok(Asked::Columns(relation, Vec::new()));
        };
        let found = match column {
            Datum::Int2(number) => {
                let part = i32::from(*number);
                let found = ObjectAddress { part, ..ObjectAddress::relation(reference) };
                match state.column_name(found) {
                    Some(_) => found,
                    None => return Ok(Asked::Nothing),
                }
            }
            Datum::Text(wanted) => state.column_named(reference, wanted).ok_or_else(|| {
                SqlError::new(
                    SqlState::UNDEFINED_COLUMN,
                    format!("column \"{wanted}\" of relation \"{name}\" does not exist"),
                )
            })?,
            _ => return Err(SqlError::internal("a column is a number or a name")),
        };
        Ok(Asked::Columns(relation, vec![found]))
    }

    fn named_role(&self, name: &str) -> SqlResult<Oid> {
        let role = self.state().role_by_name(name).map(|role| role.oid);
        role.ok_or_else(|| undefined("role", name))
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

    pub(super) fn named_database(&self, name: &str) -> SqlResult<Oid> {
        match self.state().cluster().database == name {
            true => Ok(DATABASE_OID),
            false => Err(SqlError::new(
                SqlState::INVALID_CATALOG_NAME,
                format!("database \"{name}\" does not exist"),
            )),
        }
    }

    /// Whether this session may act for a role of that name.
    pub(super) fn may_act_for(&self, name: &str) -> bool {
        match self.state().role_by_name(name) {
            Some(role) => catalog::is_member(self.state(), self.catalog.user, role.oid),
            None => catalog::is_superuser(self.state(), self.catalog.user),
        }
    }
}
