//! DROP of what there can be none of: with IF EXISTS a notice, otherwise that it does not exist.

use satsuma_common::{PgType, SqlError, SqlResult, SqlState};
use satsuma_sql::aggregates::is_aggregate;
use satsuma_sql::parse::{Absent, DropAbsent};
use satsuma_sql::{bind, functions};
use sqlparser::ast;

use super::{Ddl, names};

pub fn drop_absent(ddl: &mut Ddl<'_>, drop: &DropAbsent) -> SqlResult<String> {
    for object in &drop.objects {
        let missing = missing(ddl, drop, object)?;
        if !drop.if_exists {
            return Err(SqlError::new(missing.state, missing.error));
        }
        ddl.notice(format!("{}, skipping", missing.notice));
    }
    Ok(format!("DROP {}", drop.kind))
}

/// What an error and a notice say of it, which are not the same words.
struct Missing {
    state: SqlState,
    error: String,
    notice: String,
}

fn missing(ddl: &mut Ddl<'_>, drop: &DropAbsent, object: &Absent) -> SqlResult<Missing> {
    let kind = drop.kind.to_lowercase();
    let same = |state, what: String| Missing {
        state,
        error: format!("{what} does not exist"),
        notice: format!("{what} does not exist"),
    };
    Ok(match object {
        Absent::Named(name) => {
            refuse_another_kind(ddl, &kind, name)?;
            let name = name_text(name)?;
            match kind.as_str() {
                "domain" => same(SqlState::UNDEFINED_OBJECT, format!("type \"{name}\"")),
                "collation" => Missing {
                    error: format!("collation \"{name}\" for encoding \"UTF8\" does not exist"),
                    ..same(SqlState::UNDEFINED_OBJECT, format!("collation \"{name}\""))
                },
                "foreign table" => {
                    same(SqlState::UNDEFINED_TABLE, format!("foreign table \"{name}\""))
                }
                "foreign data wrapper" => {
                    same(SqlState::UNDEFINED_OBJECT, format!("foreign-data wrapper \"{name}\""))
                }
                "statistics" => {
                    same(SqlState::UNDEFINED_OBJECT, format!("statistics object \"{name}\""))
                }
                kind => same(SqlState::UNDEFINED_OBJECT, format!("{kind} \"{name}\"")),
            }
        }
        Absent::Of { name, table } => {
            let (schema, relation) = names::split(table)?;
            let path = &ddl.snapshot.search_path.clone();
            let found = ddl.state().relation_by_name(path, schema.as_deref(), &relation).is_some();
            if !found {
                let full = name_text(table)?;
                return Ok(same(SqlState::UNDEFINED_TABLE, format!("relation \"{full}\"")));
            }
            let name = names::fold(name);
            // PostgreSQL's rules are of relations, its triggers and policies of tables.
            let of = if kind == "rule" { "relation" } else { "table" };
            Missing {
                state: SqlState::UNDEFINED_OBJECT,
                error: format!("{kind} \"{name}\" for {of} \"{relation}\" does not exist"),
                notice: format!("{kind} \"{name}\" for relation \"{relation}\" does not exist"),
            }
        }
        Absent::Called { name, types: None } => {
            let name = name_text(name)?;
            Missing {
                state: SqlState::UNDEFINED_FUNCTION,
                error: format!("could not find a {kind} named \"{name}\""),
                notice: format!("{kind} {name}() does not exist"),
            }
        }
        Absent::Called { name, types: Some(types) } => {
            let name = name_text(name)?;
            let known = types
                .iter()
                .map(|ty| bind::data_type(ty, &ddl.snapshot))
                .collect::<SqlResult<Vec<_>>>()?;
            let text = functions::call_text(&name, &known);
            if functions::is_known(&name) || is_aggregate(&name) {
                return Err(SqlError::new(
                    SqlState::DEPENDENT_OBJECTS_STILL_EXIST,
                    format!(
                        "cannot drop function {text} because it is required by the database system"
                    ),
                ));
            }
            Missing {
                state: SqlState::UNDEFINED_FUNCTION,
                error: format!("{kind} {text} does not exist"),
                notice: format!("{kind} {} does not exist", written_call(&name, types, &known)),
            }
        }
        Absent::Using { name, method } => {
            let name = name_text(name)?;
            let method = names::fold(method);
            let what = format!("{kind} \"{name}\" does not exist for access method \"{method}\"");
            Missing { state: SqlState::UNDEFINED_OBJECT, error: what.clone(), notice: what }
        }
    })
}

/// 42809 for a type that is no domain, or a table that is not foreign.
fn refuse_another_kind(ddl: &mut Ddl<'_>, kind: &str, name: &ast::ObjectName) -> SqlResult<()> {
    let (schema, bare) = names::split(name)?;
    let (state, path) = (ddl.state(), ddl.snapshot.search_path.clone());
    let schema = schema.as_deref();
    let is_another = match kind {
        "domain" => state.enum_by_name(&path, schema, &bare).is_some(),
        "foreign table" => state.relation_by_name(&path, schema, &bare).is_some(),
        _ => false,
    };
    match is_another {
        true => {
            Err(SqlError::new(SqlState::WRONG_OBJECT_TYPE, format!("\"{bare}\" is not a {kind}")))
        }
        false => Ok(()),
    }
}

/// A signature as notices of PostgreSQL's have it: with the names that its grammar gives to types
/// that have words of their own.
pub(super) fn written_call(name: &str, types: &[ast::DataType], known: &[PgType]) -> String {
    const WORDS: [&str; 6] = ["bit", "interval", "numeric", "time", "timestamp", "varchar"];
    let texts = types.iter().zip(known).map(|(written, ty)| {
        let text = written.to_string();
        let lower = text.to_lowercase();
        match written {
            ast::DataType::Custom(..) => text,
            _ if lower == ty.name() && !WORDS.contains(&lower.as_str()) => lower,
            _ => format!("pg_catalog.{}", ty.name()),
        }
    });
    format!("{name}({})", texts.collect::<Vec<_>>().join(","))
}

fn name_text(name: &ast::ObjectName) -> SqlResult<String> {
    let (schema, name) = names::split(name)?;
    Ok(schema.map_or_else(|| name.clone(), |schema| format!("{schema}.{name}")))
}
