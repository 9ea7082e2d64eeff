//! The server, the session, the clock, and identity of values.

use satsuma_common::{Datum, PgType};

use super::Typed;
use super::error::unexpected_value;
use super::library::Builder;

/// What `version()` answers.
pub const VERSION: &str = "PostgreSQL 15.18 (Satsuma 0.1.0) on x86_64-pc-linux-gnu, 64-bit";
/// `server_version`.
pub const SERVER_VERSION: &str = "15.18";

pub(crate) fn install(b: &mut Builder) {
    b.infallible(|b| {
        b.rewrite("version() text", |_, _, _| Ok(Typed::text(VERSION)));
        b.called_on_null(|b| {
            b.rewrite("pg_typeof(any) regtype", |mut args, _, _| {
                let value = args.pop().ok_or_else(|| unexpected_value("pg_typeof"))?;
                Typed::constant(Datum::Oid(value.ty.oid()), PgType::Regtype)
            });
        });
        for (name, of) in
            [("now", false), ("transaction_timestamp", false), ("statement_timestamp", true)]
        {
            b.rewrite(&format!("{name}() timestamptz"), move |_, _, env| {
                env.note_session_dependence();
                let settings = &env.settings;
                let micros =
                    if of { settings.statement_micros } else { settings.transaction_micros };
                Typed::constant(Datum::Timestamp(micros), PgType::Timestamptz)
            });
        }
        let identities: [(&str, fn(&super::Identity) -> String); 6] = [
            ("current_user", |i| i.user.clone()),
            ("user", |i| i.user.clone()),
            ("current_role", |i| i.user.clone()),
            ("session_user", |i| i.session_user.clone()),
            ("current_database", |i| i.database.clone()),
            ("current_catalog", |i| i.database.clone()),
        ];
        for (name, of) in identities {
            b.rewrite(&format!("{name}() name"), move |_, _, env| {
                env.note_session_dependence();
                Typed::constant(Datum::Text(of(&env.identity)), PgType::Name)
            });
        }
    });
}
