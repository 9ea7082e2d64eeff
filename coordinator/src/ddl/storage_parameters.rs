//! Storage parameters of tables. They tell PostgreSQL about its pages and its vacuuming: here they
//! are checked, kept and shown.

use satsuma_common::{SqlError, SqlResult, SqlState};
use sqlparser::ast;

use super::names;

#[derive(Clone, Copy)]
enum Kind {
    Bool,
    Int(i64, i64),
    Real(f64, f64),
    /// `auto`, `on` or `off`.
    Auto,
}

const MOST: i64 = i32::MAX as i64;
const BILLION: i64 = 1_000_000_000;

/// What a table takes, and what the table behind its long values takes as `toast.name`.
const PARAMETERS: [(&str, Kind); 23] = [
    ("autovacuum_analyze_scale_factor", Kind::Real(0.0, 100.0)),
    ("autovacuum_analyze_threshold", Kind::Int(0, MOST)),
    ("autovacuum_enabled", Kind::Bool),
    ("autovacuum_freeze_max_age", Kind::Int(100_000, 2 * BILLION)),
    ("autovacuum_freeze_min_age", Kind::Int(0, BILLION)),
    ("autovacuum_freeze_table_age", Kind::Int(0, 2 * BILLION)),
    ("autovacuum_multixact_freeze_max_age", Kind::Int(10_000, 2 * BILLION)),
    ("autovacuum_multixact_freeze_min_age", Kind::Int(0, BILLION)),
    ("autovacuum_multixact_freeze_table_age", Kind::Int(0, 2 * BILLION)),
    ("autovacuum_vacuum_cost_delay", Kind::Real(0.0, 100.0)),
    ("autovacuum_vacuum_cost_limit", Kind::Int(1, 10_000)),
    ("autovacuum_vacuum_insert_scale_factor", Kind::Real(0.0, 100.0)),
    ("autovacuum_vacuum_insert_threshold", Kind::Int(-1, MOST)),
    ("autovacuum_vacuum_scale_factor", Kind::Real(0.0, 100.0)),
    ("autovacuum_vacuum_threshold", Kind::Int(0, MOST)),
    ("fillfactor", Kind::Int(10, 100)),
    ("log_autovacuum_min_duration", Kind::Int(-1, MOST)),
    ("parallel_workers", Kind::Int(0, 1024)),
    ("toast_tuple_target", Kind::Int(128, 8160)),
    ("user_catalog_table", Kind::Bool),
    ("vacuum_index_cleanup", Kind::Auto),
    ("vacuum_truncate", Kind::Bool),
    // Of tables without oids, which all are.
    ("oids", Kind::Bool),
];
/// What only the table itself takes.
const OF_TABLES: [&str; 5] =
    ["fillfactor", "oids", "parallel_workers", "toast_tuple_target", "user_catalog_table"];

/// The parameters of CREATE TABLE, with names in lower case.
pub(super) fn of_create(
    options: &ast::CreateTableOptions,
) -> SqlResult<Vec<(String, Option<String>)>> {
    let options = match options {
        ast::CreateTableOptions::None => &[][..],
        ast::CreateTableOptions::With(options) => options.as_slice(),
        other => return Err(SqlError::unsupported(format!("{other} is not supported"))),
    };
    options
        .iter()
        .map(|option| match option {
            ast::SqlOption::Ident(name) => Ok((names::fold(name), Some("true".into()))),
            ast::SqlOption::KeyValue { key, value } => {
                let value = crate::session::settings::setting_text(value, false);
                Ok((names::fold(key), Some(value)))
            }
            other => Err(SqlError::unsupported(format!("{other} is not supported"))),
        })
        .collect()
}

/// 22023 for a parameter that there is not, or that cannot have this value.
pub(super) fn check(name: &str, value: &str) -> SqlResult<()> {
    let own = name.strip_prefix("toast.").unwrap_or(name);
    let known = PARAMETERS.iter().find(|(known, _)| *known == own);
    let Some((_, kind)) = known.filter(|_| own == name || !OF_TABLES.contains(&own)) else {
        return Err(invalid(format!("unrecognized parameter \"{name}\"")));
    };
    let wrong = |what: &str| invalid(format!("invalid value for {what} option \"{own}\": {value}"));
    let outside = |low: String, high: String| {
        invalid(format!("value {value} out of bounds for option \"{own}\""))
            .detail(format!("Valid values are between \"{low}\" and \"{high}\"."))
    };
    match *kind {
        Kind::Bool => {
            let value = truth(value).ok_or_else(|| wrong("boolean"))?;
            if own == "oids" && value {
                return Err(SqlError::unsupported("tables declared WITH OIDS are not supported"));
            }
        }
        Kind::Auto if value.eq_ignore_ascii_case("auto") => {}
        Kind::Auto => drop(truth(value).ok_or_else(|| wrong("enum"))?),
        Kind::Int(low, high) => {
            let number: i64 = value.parse().map_err(|_| wrong("integer"))?;
            if !(low..=high).contains(&number) {
                return Err(outside(low.to_string(), high.to_string()));
            }
        }
        Kind::Real(low, high) => {
            let number: f64 = value.parse().map_err(|_| wrong("floating point"))?;
            if !(low..=high).contains(&number) {
                return Err(outside(format!("{low:.6}"), format!("{high:.6}")));
            }
        }
    }
    Ok(())
}

/// Whether the table shows the parameter: no other table stands behind it, and none has oids.
pub(super) fn is_kept(name: &str) -> bool {
    !name.starts_with("toast.") && name != "oids"
}

fn truth(value: &str) -> Option<bool> {
    match value.to_ascii_lowercase().as_str() {
        "on" | "true" | "t" | "yes" | "y" | "1" => Some(true),
        "off" | "false" | "f" | "no" | "n" | "0" => Some(false),
        _ => None,
    }
}

fn invalid(message: String) -> SqlError {
    SqlError::new(SqlState::INVALID_PARAMETER_VALUE, message)
}
