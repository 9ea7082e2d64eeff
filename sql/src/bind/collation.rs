//! COLLATE: text has one order here, that of its bytes.

use satsuma_common::{PgType, SqlError, SqlResult, SqlState};
use sqlparser::ast;

use super::names;

/// Collations that order text by its bytes.
const BINARY: [&str; 6] = ["C", "POSIX", "default", "ucs_basic", "C.UTF-8", "C.utf8"];

/// 42804 for a type whose values have no collation.
pub fn check_collatable(ty: &PgType) -> SqlResult<()> {
    let element = match ty {
        PgType::Array(element) => element.as_ref(),
        other => other,
    };
    if element.is_string() {
        return Ok(());
    }
    Err(SqlError::new(
        SqlState::DATATYPE_MISMATCH,
        format!("collations are not supported by type {}", ty.without_modifier()),
    ))
}

/// 0A000 for a collation that orders text in another way than by its bytes.
pub fn check_collation(name: &ast::ObjectName) -> SqlResult<()> {
    let (schema, last) = names::qualified(name, "")?;
    let in_catalog = schema.is_none_or(|schema| schema == "pg_catalog");
    if in_catalog && BINARY.contains(&last.as_str()) {
        return Ok(());
    }
    Err(SqlError::unsupported(format!("collation {name} is not supported"))
        .hint("Text is ordered by its bytes: collations \"C\", \"POSIX\" and \"default\"."))
}
