//! Names: case folding, and the parts of a qualified one.

use satsuma_common::{SqlError, SqlResult, SqlState};
use sqlparser::ast::{Ident, ObjectName, ObjectNamePart};

/// Longest identifier, in bytes; longer ones are cut, as PostgreSQL does.
pub const NAME_BYTES: usize = 63;

/// The name an identifier stands for: folded to lower case unless quoted, cut to 63 bytes.
pub fn fold(ident: &Ident) -> String {
    let mut name = match ident.quote_style {
        Some(_) => ident.value.clone(),
        None => ident.value.to_lowercase(),
    };
    name.truncate(cut(&name).len());
    name
}

/// A name as far as it counts.
pub fn cut(name: &str) -> &str {
    let end = (0..=NAME_BYTES.min(name.len())).rev().find(|at| name.is_char_boundary(*at));
    &name[..end.unwrap_or(0)]
}

/// The identifiers of a name.
pub fn parts(name: &ObjectName) -> SqlResult<Vec<&Ident>> {
    name.0
        .iter()
        .map(|part| match part {
            ObjectNamePart::Identifier(ident) => Ok(ident),
            ObjectNamePart::Function(_) => {
                Err(SqlError::new(SqlState::SYNTAX_ERROR, format!("improper name: {name}")))
            }
        })
        .collect()
}

/// A name with at most one qualifier: `(schema, name)`. A leading database name is taken if it
/// is the current one.
pub fn qualified(name: &ObjectName, database: &str) -> SqlResult<(Option<String>, String)> {
    let parts: Vec<String> = parts(name)?.into_iter().map(fold).collect();
    match parts.as_slice() {
        [name] => Ok((None, name.clone())),
        [schema, name] => Ok((Some(schema.clone()), name.clone())),
        [catalog, schema, name] if catalog == database => Ok((Some(schema.clone()), name.clone())),
        [_, _, _] => Err(SqlError::unsupported(format!(
            "cross-database references are not implemented: {}",
            quoted(&parts)
        ))),
        _ => Err(SqlError::new(
            SqlState::SYNTAX_ERROR,
            format!("improper qualified name (too many dotted names): {}", parts.join(".")),
        )),
    }
}

fn quoted(parts: &[String]) -> String {
    format!("\"{}\"", parts.join("."))
}

/// The last part of a name, folded.
pub fn last(name: &ObjectName) -> SqlResult<String> {
    Ok(parts(name)?.last().map(|ident| fold(ident)).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folds_unquoted_names_only() {
        assert_eq!(fold(&Ident::new("AbC")), "abc");
        assert_eq!(fold(&Ident::with_quote('"', "AbC")), "AbC");
        assert_eq!(fold(&Ident::new("é".repeat(40))).len(), 62);
    }

    #[test]
    fn qualifiers() {
        let name = |parts: &[&str]| {
            ObjectName::from(parts.iter().map(|p| Ident::new(*p)).collect::<Vec<_>>())
        };
        assert_eq!(qualified(&name(&["T"]), "db").unwrap(), (None, "t".into()));
        assert_eq!(
            qualified(&name(&["db", "s", "t"]), "db").unwrap(),
            (Some("s".into()), "t".into())
        );
        assert_eq!(
            qualified(&name(&["other", "s", "t"]), "db").unwrap_err().state(),
            SqlState::FEATURE_NOT_SUPPORTED
        );
    }
}
