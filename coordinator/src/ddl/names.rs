//! Names in definitions, and schemas.

use satsuma_common::{SqlError, SqlResult, SqlState};
use sqlparser::ast;

use super::Ddl;
use crate::catalog::{self, Command, DATABASE_OID, ObjectAddress, ObjectClass, Schema, State};

/// Longest identifier in bytes, as PostgreSQL's NAMEDATALEN leaves it.
const MAX_IDENTIFIER: usize = 63;

/// An identifier as it is stored: folded unless quoted, cut to 63 bytes.
pub fn fold(ident: &ast::Ident) -> String {
    let mut name = satsuma_sql::bind::fold(ident);
    if name.len() > MAX_IDENTIFIER {
        let mut end = MAX_IDENTIFIER;
        while !name.is_char_boundary(end) {
            end -= 1;
        }
        name.truncate(end);
    }
    name
}

/// Schema, if there is one, and name. A database in front must be left out.
pub fn split(name: &ast::ObjectName) -> SqlResult<(Option<String>, String)> {
    let parts: Vec<String> = name.0.iter().filter_map(|part| part.as_ident()).map(fold).collect();
    match parts.as_slice() {
        [relation] => Ok((None, relation.clone())),
        [schema, relation] => Ok((Some(schema.clone()), relation.clone())),
        _ => Err(SqlError::unsupported(format!(
            "cross-database references are not implemented: \"{name}\""
        ))),
    }
}

pub fn no_relation(schema: Option<&str>, name: &str) -> SqlError {
    let full = schema.map_or_else(|| name.to_owned(), |schema| format!("{schema}.{name}"));
    SqlError::new(SqlState::UNDEFINED_TABLE, format!("relation \"{full}\" does not exist"))
}

/// The schema that a new object goes to: the one named, or the first on the search path.
pub fn creation_schema<'a>(
    state: &'a State,
    search_path: &[String],
    schema: Option<&str>,
) -> SqlResult<&'a Schema> {
    let found = match schema {
        Some(name) => Some(state.schema_by_name(name).ok_or_else(|| {
            SqlError::new(
                SqlState::INVALID_SCHEMA_NAME,
                format!("schema \"{name}\" does not exist"),
            )
        })?),
        None => search_path
            .iter()
            .filter(|name| !super::temporary::is_temporary(name))
            .find_map(|name| state.schema_by_name(name)),
    };
    let found = found.ok_or_else(|| {
        SqlError::new(SqlState::INVALID_SCHEMA_NAME, "no schema has been selected to create in")
    })?;
    if found.is_system() {
        return Err(SqlError::new(
            SqlState::INSUFFICIENT_PRIVILEGE,
            format!("permission denied for schema {}", found.name),
        ));
    }
    Ok(found)
}

/// A name not yet taken in the schema: `table_column_suffix`, shortened to fit, with a number
/// where it is taken. As PostgreSQL's ChooseRelationName.
pub fn choose(
    first: &str,
    second: Option<&str>,
    suffix: &str,
    is_taken: impl Fn(&str) -> bool,
) -> String {
    let mut number = 0u32;
    loop {
        let label = match number {
            0 => suffix.to_owned(),
            number => format!("{suffix}{number}"),
        };
        let name = object_name(first, second, &label);
        if !is_taken(&name) {
            return name;
        }
        number += 1;
    }
}

/// `first_second_label` within 63 bytes: the longer of the first two is cut first.
fn object_name(first: &str, second: Option<&str>, label: &str) -> String {
    let overhead = second.map_or(0, |_| 1) + if label.is_empty() { 0 } else { label.len() + 1 };
    let room = MAX_IDENTIFIER.saturating_sub(overhead);
    let (mut first_len, mut second_len) = (first.len(), second.map_or(0, str::len));
    while first_len + second_len > room {
        if first_len > second_len { first_len -= 1 } else { second_len -= 1 }
    }
    let mut name = clip(first, first_len).to_owned();
    if let Some(second) = second {
        name.push('_');
        name.push_str(clip(second, second_len));
    }
    if !label.is_empty() {
        name.push('_');
        name.push_str(label);
    }
    name
}

fn clip(text: &str, mut len: usize) -> &str {
    while !text.is_char_boundary(len) {
        len -= 1;
    }
    &text[..len]
}

/// 42701 for a name that every table of PostgreSQL's has a column of.
pub(super) fn refuse_system_column(name: &str) -> SqlResult<()> {
    const SYSTEM_COLUMNS: [&str; 6] = ["ctid", "xmin", "cmin", "xmax", "cmax", "tableoid"];
    if SYSTEM_COLUMNS.contains(&name) {
        return Err(SqlError::new(
            SqlState::DUPLICATE_COLUMN,
            format!("column name \"{name}\" conflicts with a system column name"),
        ));
    }
    Ok(())
}

pub(super) fn refuse_reserved_schema(name: &str) -> SqlResult<()> {
    if !name.starts_with("pg_") {
        return Ok(());
    }
    Err(SqlError::new(SqlState::RESERVED_NAME, format!("unacceptable schema name \"{name}\""))
        .detail("The prefix \"pg_\" is reserved for system schemas."))
}

pub async fn create_schema(
    ddl: &mut Ddl<'_>,
    schema: &ast::SchemaName,
    if_not_exists: bool,
) -> SqlResult<String> {
    let state = ddl.state();
    let role = |owner: &ast::Ident| {
        let name = fold(owner);
        let is_own =
            owner.quote_style.is_none() && matches!(name.as_str(), "current_user" | "current_role");
        match state.role(ddl.snapshot.user).filter(|_| is_own) {
            Some(own) => own.name.clone(),
            None => name,
        }
    };
    let (name, owner) = match schema {
        ast::SchemaName::Simple(name) => (split(name)?.1, None),
        ast::SchemaName::UnnamedAuthorization(owner) => (role(owner), Some(role(owner))),
        ast::SchemaName::NamedAuthorization(name, owner) => (split(name)?.1, Some(role(owner))),
    };
    refuse_reserved_schema(&name)?;
    let owner = match owner {
        None => ddl.snapshot.user,
        Some(role) => {
            state
                .role_by_name(&role)
                .ok_or_else(|| {
                    SqlError::new(
                        SqlState::UNDEFINED_OBJECT,
                        format!("role \"{role}\" does not exist"),
                    )
                })?
                .oid
        }
    };
    if state.schema_by_name(&name).is_some() && if_not_exists {
        ddl.notices.push(crate::session_api::Notice::new(
            crate::session_api::Severity::Notice,
            SqlError::new(
                SqlState::DUPLICATE_SCHEMA,
                format!("schema \"{name}\" already exists, skipping"),
            ),
        ));
        return Ok(name);
    }
    let database = ObjectAddress::whole(ObjectClass::Database, DATABASE_OID);
    if !catalog::may(&state, ddl.snapshot.user, database, 'C') {
        return Err(SqlError::new(
            SqlState::INSUFFICIENT_PRIVILEGE,
            format!("permission denied for database {}", state.cluster().database),
        ));
    }
    let oid = ddl.oid().await?;
    ddl.apply(Command::CreateSchema { oid, name: name.clone(), owner })?;
    Ok(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_names_are_cut_where_postgresql_cuts_them() {
        let long = "a".repeat(60);
        let name = object_name(&long, Some("b"), "fkey");
        assert_eq!(name.len(), MAX_IDENTIFIER);
        assert!(name.ends_with("_b_fkey"));
        assert_eq!(object_name("clicks", Some("id"), "seq"), "clicks_id_seq");
        assert_eq!(object_name("clicks", None, "pkey"), "clicks_pkey");
    }

    #[test]
    fn a_taken_name_gets_a_number() {
        let taken = ["t_pkey", "t_pkey1"];
        assert_eq!(choose("t", None, "pkey", |name| taken.contains(&name)), "t_pkey2");
    }
}
