//! The server, the session, and identity of values.

use satsuma_common::{Array, Datum, PgType, SqlError, SqlState, hash};

use super::error::unexpected_value;
use super::library::Builder;
use super::{FunctionEnv, Identity, Typed};
use crate::casts::text::text;

/// What `version()` answers.
pub const VERSION: &str = "PostgreSQL 15.18 (Satsuma 0.1.0) on x86_64-pc-linux-gnu, 64-bit";
/// `server_version`, the PostgreSQL version whose behaviour is followed.
pub const SERVER_VERSION: &str = "15.18";
/// `server_version_num`.
pub const SERVER_VERSION_NUM: &str = "150018";
/// What `citus_version()` answers: the dialect of Citus that is understood.
const CITUS_VERSION: &str = "Citus 13.2.0 (Satsuma 0.1.0)";

/// A value that is known, beside what it was asked of.
pub(super) const KNOWN: &str = "known of(anyelement,variadic any)";

pub(crate) fn install(b: &mut Builder) {
    b.infallible(|b| {
        b.called_on_null(|b| {
            b.columns(&format!("{KNOWN} anyelement"), |args, _| Ok(args[0].clone()));
        });
        let fixed: [(&str, &str); 4] = [
            ("version() text", VERSION),
            ("citus_version() text", CITUS_VERSION),
            ("getdatabaseencoding() name", "UTF8"),
            ("pg_client_encoding() name", "UTF8"),
        ];
        for (signature, answer) in fixed {
            b.rewrite(signature, move |_, result, _| {
                Typed::constant(Datum::Text(answer.into()), result.clone())
            });
        }
        types(b);
        identity(b);
        schemas(b);
        absent(b);
        b.row("worker_hash(any) int4", |args, call| {
            let ty = call.arguments.first().unwrap_or(&PgType::Text);
            Ok(hash::partition_hash(&args[0], ty).map_or(Datum::Null, Datum::Int4))
        });
        b.row("pg_encoding_to_char(int4) name", |args, _| {
            let name = match args[0] {
                Datum::Int4(6) => "UTF8",
                Datum::Int4(0) => "SQL_ASCII",
                _ => "",
            };
            Ok(Datum::Text(name.into()))
        });
        b.row("pg_char_to_encoding(name) int4", |args, _| {
            let utf8 = matches!(text(&args[0])?.to_ascii_lowercase().as_str(), "utf8" | "utf-8");
            Ok(Datum::Int4(if utf8 { 6 } else { -1 }))
        });
        for signature in ["num_nulls(variadic any) int4", "num_nonnulls(variadic any) int4"] {
            b.called_on_null(|b| {
                b.row(signature, move |args, _| {
                    let nulls = args.iter().filter(|arg| arg.is_null()).count();
                    let counted =
                        if signature.starts_with("num_nulls") { nulls } else { args.len() - nulls };
                    Ok(Datum::Int4(counted as i32))
                });
            });
        }
    });
}

fn types(b: &mut Builder) {
    b.called_on_null(|b| {
        b.rewrite("pg_typeof(any) regtype", |mut args, _, _| {
            let value = args.pop().ok_or_else(|| unexpected_value("pg_typeof"))?;
            Typed::constant(Datum::Oid(value.ty.oid()), PgType::Regtype)
        });
    });
}

fn identity(b: &mut Builder) {
    let names: [(&str, fn(&Identity) -> String); 7] = [
        ("current_user", |i| i.user.clone()),
        ("user", |i| i.user.clone()),
        ("current_role", |i| i.user.clone()),
        ("getpgusername", |i| i.user.clone()),
        ("session_user", |i| i.session_user.clone()),
        ("current_database", |i| i.database.clone()),
        ("current_catalog", |i| i.database.clone()),
    ];
    for (name, of) in names {
        b.rewrite(&format!("{name}() name"), move |_, _, env| {
            env.note_session_dependence();
            Typed::constant(Datum::Text(of(&env.identity)), PgType::Name)
        });
    }
    b.rewrite("pg_backend_pid() int4", |_, _, env| {
        env.note_session_dependence();
        Typed::constant(Datum::Int4(env.identity.backend_pid), PgType::Int4)
    });
    b.rewrite("inet_client_addr() inet", |_, _, env| {
        env.note_session_dependence();
        let address = env.identity.client_address.as_deref();
        let address = address.and_then(|text| satsuma_common::inet::Inet::parse(text).ok());
        Typed::constant(address.map_or(Datum::Null, Datum::Inet), PgType::Inet)
    });
    b.rewrite("inet_client_port() int4", |_, _, env| {
        env.note_session_dependence();
        let port = env.identity.client_port.map(i32::from);
        Typed::constant(port.map_or(Datum::Null, Datum::Int4), PgType::Int4)
    });
    b.rewrite("inet_server_port() int4", |_, _, env| {
        env.note_session_dependence();
        let port = env.identity.server.as_ref().map(|(_, port)| i32::from(*port));
        Typed::constant(port.map_or(Datum::Null, Datum::Int4), PgType::Int4)
    });
    b.rewrite("inet_server_addr() inet", |_, _, env| {
        env.note_session_dependence();
        let address = env.identity.server.as_ref().map(|(address, _)| address);
        let address = address.and_then(|text| satsuma_common::inet::Inet::parse(text).ok());
        Typed::constant(address.map_or(Datum::Null, Datum::Inet), PgType::Inet)
    });
}

/// What is asked about things that are not here: row security, triggers, compilation of queries,
/// functions in SQL.
fn absent(b: &mut Builder) {
    for ty in ["oid", "text"] {
        b.row(&format!("row_security_active({ty}) bool"), |_, _| Ok(Datum::Bool(false)));
    }
    b.rewrite("setseed(float8) void", |_, _, _| {
        Err(SqlError::unsupported("setseed is not supported")
            .hint("Random numbers are made at several places at once, and do not repeat."))
    });
    b.row("pg_jit_available() bool", |_, _| Ok(Datum::Bool(false)));
    b.row("pg_trigger_depth() int4", |_, _| Ok(Datum::Int4(0)));
    b.row("pg_get_function_sqlbody(oid) text", |_, _| Ok(Datum::Null));
    b.called_on_null(|b| {
        b.rewrite("pg_collation_for(any) text", |mut args, _, _| {
            let ty = args.pop().map_or(PgType::Unknown, |value| value.ty);
            let element = match &ty {
                PgType::Array(element) => element.as_ref(),
                other => other,
            };
            let name = match element {
                PgType::Unknown => Datum::Null,
                PgType::Name => Datum::Text("\"C\"".into()),
                own if own.is_string() => Datum::Text("\"default\"".into()),
                _ => {
                    return Err(SqlError::new(
                        SqlState::DATATYPE_MISMATCH,
                        format!("collations are not supported by type {}", ty.without_modifier()),
                    ));
                }
            };
            Typed::constant(name, PgType::Text)
        });
    });
}

/// Schemas of the search path that exist.
fn existing(env: &FunctionEnv) -> Vec<String> {
    env.search_path.iter().filter(|name| env.catalog.schema_exists(name)).cloned().collect()
}

fn schemas(b: &mut Builder) {
    for name in ["current_schema", "current_schema_name"] {
        b.rewrite(&format!("{name}() name"), |_, _, env| {
            env.note_session_dependence();
            let first = existing(env).into_iter().find(|name| name != "pg_catalog");
            Typed::constant(first.map_or(Datum::Null, Datum::Text), PgType::Name)
        });
    }
    b.rewrite("current_schemas(bool) _name", |args, _, env| {
        env.note_session_dependence();
        let implicit =
            matches!(args.first().and_then(Typed::as_constant), Some(Ok(Datum::Bool(true))));
        let mut names = existing(env);
        if implicit && !names.iter().any(|name| name == "pg_catalog") {
            names.insert(0, "pg_catalog".into());
        }
        let values = names.into_iter().map(Datum::Text).collect();
        let array = Array { element: PgType::Name, values };
        Typed::constant(Datum::Array(array), PgType::Array(Box::new(PgType::Name)))
    });
}
