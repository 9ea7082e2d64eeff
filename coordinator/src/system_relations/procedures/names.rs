//! Names of functions: what `regproc` and `regprocedure` print and read.

use satsuma_common::types::PseudoType;
use satsuma_common::{PgType, SqlError, SqlResult, SqlState};

use super::{Procedure, by_oid, named, show};
use crate::catalog::{quote_identifier, split_name};

/// What `regproc` prints; with the schema where the name alone means more than one function.
pub fn function_name(oid: u32) -> Option<String> {
    let procedure = by_oid(oid)?;
    let name = quote_identifier(&procedure.name);
    let is_unique = named(&procedure.name).count() == 1;
    Some(if is_unique { name } else { format!("pg_catalog.{name}") })
}

/// What `regprocedure` prints: `abs(integer)`.
pub fn function_with_arguments(oid: u32) -> Option<String> {
    let procedure = by_oid(oid)?;
    let types: Vec<String> =
        procedure.inputs().map(|parameter| show::type_name(parameter.ty)).collect();
    Some(format!("{}({})", quote_identifier(&procedure.name), types.join(",")))
}

/// The schema-qualified name in a text, if functions of that schema can be named at all.
fn bare_name(text: &str) -> SqlResult<Option<String>> {
    let Some((schema, name)) = split_name(text) else {
        return Err(SqlError::new(SqlState::INVALID_NAME, "invalid name syntax"));
    };
    let is_known = matches!(schema.as_deref(), None | Some("pg_catalog"));
    Ok(is_known.then_some(name))
}

/// The function that a text names as `regproc` reads it; `None` if there is none, 42725 if there
/// are several.
pub fn function_named(text: &str) -> SqlResult<Option<u32>> {
    let Some(name) = bare_name(text)? else { return Ok(None) };
    let mut found = named(&name);
    match (found.next(), found.next()) {
        (Some(_), Some(_)) => Err(SqlError::new(
            SqlState::AMBIGUOUS_FUNCTION,
            format!("more than one function named \"{text}\""),
        )),
        (one, _) => Ok(one.map(|procedure| procedure.oid)),
    }
}

/// The function that a text names with its argument types, as `regprocedure` reads it. Types of
/// users are looked up by `user_type`.
pub fn function_by_signature(
    text: &str,
    user_type: impl Fn(&str) -> Option<PgType>,
) -> SqlResult<Option<u32>> {
    let malformed = |what: &str| SqlError::new(SqlState::INVALID_TEXT_REPRESENTATION, what);
    let open = find_unquoted(text, '(').ok_or_else(|| malformed("expected a left parenthesis"))?;
    let arguments = text[open + 1..]
        .trim_end()
        .strip_suffix(')')
        .ok_or_else(|| malformed("expected a right parenthesis"))?;
    let Some(name) = bare_name(&text[..open])? else { return Ok(None) };
    let mut types = Vec::new();
    if !arguments.trim().is_empty() {
        for argument in arguments.split(',') {
            let argument = argument.trim();
            if argument.is_empty() {
                return Err(malformed("expected a type name"));
            }
            types.push(type_named(argument, &user_type)?);
        }
    }
    let takes = |procedure: &&Procedure| {
        procedure.inputs().map(|parameter| parameter.ty).eq(types.iter().copied())
    };
    Ok(named(&name).find(takes).map(|procedure| procedure.oid))
}

fn type_named(name: &str, user_type: &impl Fn(&str) -> Option<PgType>) -> SqlResult<u32> {
    if let Some(pseudo) = PseudoType::by_name(name) {
        return Ok(pseudo.oid);
    }
    let lower = name.to_lowercase();
    let bare = lower.strip_prefix("pg_catalog.").unwrap_or(&lower);
    let ty = match bare {
        "\"char\"" => Some(PgType::Char),
        _ => PgType::parse_name(bare),
    };
    let ty = ty.or_else(|| user_type(name)).ok_or_else(|| {
        SqlError::new(SqlState::UNDEFINED_OBJECT, format!("type \"{name}\" does not exist"))
    })?;
    Ok(ty.without_modifier().oid())
}

fn find_unquoted(text: &str, wanted: char) -> Option<usize> {
    let mut quoted = false;
    text.char_indices().find_map(|(at, c)| {
        if c == '"' {
            quoted = !quoted;
        }
        (c == wanted && !quoted).then_some(at)
    })
}
