//! CREATE and DROP EXTENSION. What some extensions of PostgreSQL bring is here without them: they
//! can be created, and are listed, so that migrations run. No other can.

use satsuma_common::{Oid, SqlError, SqlResult, SqlState};
use satsuma_sql::parse::{Command as Parsed, CreateExtension};

use super::{Ddl, names};
use crate::catalog::{Command, ObjectAddress, ObjectClass, SettingScope, State};
use crate::session_api::{Notice, Severity};

/// An extension whose functions are built in.
#[derive(Debug)]
pub struct Known {
    pub name: &'static str,
    pub version: &'static str,
    pub comment: &'static str,
    /// In pg_extension. Below [`crate::catalog::FIRST_USER_OID`] for what pg_dump leaves out.
    pub oid: Oid,
    /// It is there without being created, and stays.
    pub fixed: bool,
}

const fn known(
    name: &'static str,
    version: &'static str,
    oid: u32,
    fixed: bool,
    comment: &'static str,
) -> Known {
    Known { name, version, comment, oid: Oid(oid), fixed }
}

pub const EXTENSIONS: [Known; 5] = [
    // Scripts begin with creating it. There are no functions to write in it.
    known("plpgsql", "1.0", 12_900, true, "PL/pgSQL procedural language"),
    known("citus", "13.2-1", 12_901, true, "Citus distributed database"),
    known("citus_columnar", "13.2-1", 16_902, false, "Citus Columnar extension"),
    known("pgcrypto", "1.3", 16_903, false, "cryptographic functions"),
    known("uuid-ossp", "1.1", 16_904, false, "generate universally unique identifiers (UUIDs)"),
];

/// The extensions that there are: those that were created, and Citus.
pub fn installed(state: &State) -> impl Iterator<Item = &'static Known> {
    EXTENSIONS.iter().filter(|extension| {
        extension.fixed || state.setting(SettingScope::Extension, extension.name).is_some()
    })
}

/// The extension of this name, which must have been created.
pub fn find(state: &State, name: &str) -> SqlResult<&'static Known> {
    installed(state).find(|extension| extension.name == name).ok_or_else(|| {
        SqlError::new(SqlState::UNDEFINED_OBJECT, format!("extension \"{name}\" does not exist"))
    })
}

pub fn execute(ddl: &mut Ddl<'_>, command: &Parsed) -> SqlResult<&'static str> {
    match command {
        Parsed::CreateExtension(create) => create_extension(ddl, create),
        Parsed::DropExtension { names, if_exists } => {
            for name in names {
                drop_extension(ddl, &names::fold(name), *if_exists)?;
            }
            Ok("DROP EXTENSION")
        }
        _ => Err(SqlError::internal("no statement about extensions")),
    }
}

fn create_extension(ddl: &mut Ddl<'_>, create: &CreateExtension) -> SqlResult<&'static str> {
    let name = names::fold(&create.name);
    let state = ddl.state();
    if installed(&state).any(|extension| extension.name == name) {
        if !create.if_not_exists {
            return Err(SqlError::new(
                SqlState::DUPLICATE_OBJECT,
                format!("extension \"{name}\" already exists"),
            ));
        }
        let notice = format!("extension \"{name}\" already exists, skipping");
        let notice = SqlError::new(SqlState::DUPLICATE_OBJECT, notice);
        ddl.notices.push(Notice::new(Severity::Notice, notice));
        return Ok("CREATE EXTENSION");
    }
    if let Some(schema) = &create.schema {
        let schema = names::fold(schema);
        if state.schema_by_name(&schema).is_none() {
            return Err(SqlError::new(
                SqlState::INVALID_SCHEMA_NAME,
                format!("schema \"{schema}\" does not exist"),
            ));
        }
    }
    let Some(known) = EXTENSIONS.iter().find(|extension| extension.name == name) else {
        return Err(SqlError::unsupported(format!("extension \"{name}\" is not available"))
            .detail("Only extensions whose functions are built in can be created.")
            .hint("SELECT name FROM pg_available_extensions shows which these are."));
    };
    let current = super::role::current_role(ddl)?;
    if !current.superuser {
        return Err(SqlError::new(
            SqlState::INSUFFICIENT_PRIVILEGE,
            format!("permission denied to create extension \"{name}\""),
        )
        .hint("Must be superuser to create this extension."));
    }
    set(ddl, known.name, Some(known.version))?;
    Ok("CREATE EXTENSION")
}

fn drop_extension(ddl: &mut Ddl<'_>, name: &str, if_exists: bool) -> SqlResult<()> {
    let state = ddl.state();
    let found = match find(&state, name) {
        Err(missing) if if_exists => {
            ddl.notice(format!("{}, skipping", missing.message()));
            return Ok(());
        }
        found => found?,
    };
    if found.fixed {
        return Err(SqlError::unsupported(format!("extension \"{name}\" cannot be dropped"))
            .detail("What it brings is built in."));
    }
    let current = super::role::current_role(ddl)?;
    if !current.superuser {
        return Err(SqlError::new(
            SqlState::INSUFFICIENT_PRIVILEGE,
            format!("must be owner of extension {name}"),
        ));
    }
    let object = ObjectAddress::whole(ObjectClass::Extension, found.oid);
    ddl.apply(Command::SetComment { object, text: None })?;
    set(ddl, found.name, None)
}

fn set(ddl: &mut Ddl<'_>, name: &str, version: Option<&str>) -> SqlResult<()> {
    let (name, value) = (name.to_owned(), version.map(str::to_owned));
    ddl.apply(Command::SetSetting { scope: SettingScope::Extension, name, value }).map(drop)
}
