//! Values of enum types are texts that are among the type's labels.

use satsuma_common::{Array, Datum, Oid, PgType, SqlError, SqlResult, SqlState};

use super::CastKind;
use crate::catalog_view::CatalogView;
use crate::functions::library::{self, Builder};
use crate::functions::udf::call_expr;
use crate::functions::{FunctionEnv, Settings, Typed};

const LABEL: &str = "enum_label(text,_text,text)";

fn invalid(text: &str, name: &str) -> SqlError {
    SqlError::new(
        SqlState::INVALID_TEXT_REPRESENTATION,
        format!("invalid input value for enum {name}: \"{text}\""),
    )
}

/// Stands before a label that may not be used yet, in a list of labels.
const NEW: char = '\0';

fn too_new(label: &str, name: &str) -> SqlError {
    SqlError::new(
        SqlState(*b"55P04"),
        format!("unsafe use of new value \"{label}\" of enum type {name}"),
    )
    .hint("New enum values must be committed before they can be used.")
}

/// 55P04 for a label that the transaction has added.
pub fn check_old(oid: Oid, label: &str, catalog: &dyn CatalogView) -> SqlResult<()> {
    match catalog.is_new_label(oid, label) {
        true => Err(too_new(label, &name(oid, catalog))),
        false => Ok(()),
    }
}

/// 22P02 unless the value, or each element of it, is a label of its type.
pub fn check(value: &Datum, ty: &PgType, catalog: &dyn CatalogView) -> SqlResult<()> {
    match (ty, value) {
        (PgType::Enum(oid), Datum::Text(text)) => match catalog.enum_labels(*oid) {
            Some(labels) if !labels.contains(text) => Err(invalid(text, &name(*oid, catalog))),
            Some(_) => check_old(*oid, text, catalog),
            None => Ok(()),
        },
        (PgType::Array(element), Datum::Array(array)) => {
            array.values.iter().try_for_each(|value| check(value, element, catalog))
        }
        _ => Ok(()),
    }
}

/// Whether values of the type are labels of an enum, or arrays of them.
pub fn has_labels(ty: &PgType) -> bool {
    match ty {
        PgType::Enum(_) => true,
        PgType::Array(element) => has_labels(element),
        _ => false,
    }
}

fn name(oid: Oid, catalog: &dyn CatalogView) -> String {
    catalog.oid_name(&PgType::Regtype, oid.0).unwrap_or_else(|| "???".into())
}

pub fn install(builder: &mut Builder) {
    builder.row("enum_label(text,_text,text) text", |args, _| match args {
        [Datum::Text(text), Datum::Array(labels), Datum::Text(name)] => {
            let is_it = |label: &Datum| matches!(label, Datum::Text(label) if label == text);
            let is_new = |label: &Datum| {
                matches!(label, Datum::Text(label) if label.strip_prefix(NEW) == Some(text))
            };
            if labels.values.iter().any(is_it) {
                return Ok(Datum::Text(text.clone()));
            }
            match labels.values.iter().any(is_new) {
                true => Err(too_new(text, name)),
                false => Err(invalid(text, name)),
            }
        }
        _ => Ok(Datum::Null),
    });
}

/// The cast of a text to an enum type; `None` for other casts.
pub fn cast(value: &Typed, to: &PgType, env: &FunctionEnv) -> Option<SqlResult<Typed>> {
    let PgType::Enum(oid) = to else { return None };
    let labels = env.catalog.enum_labels(*oid)?;
    let marked = |label: &String| match env.catalog.is_new_label(*oid, label) {
        true => format!("{NEW}{label}"),
        false => label.clone(),
    };
    let labels: Vec<String> = labels.iter().map(marked).collect();
    Some(build(value, to, &labels, &name(*oid, env.catalog.as_ref()), env))
}

fn build(
    value: &Typed,
    to: &PgType,
    labels: &[String],
    name: &str,
    env: &FunctionEnv,
) -> SqlResult<Typed> {
    let text = super::cast(value.clone(), &PgType::Text, CastKind::Explicit, env)?;
    let list = PgType::Array(Box::new(PgType::Text));
    let values = labels.iter().map(|label| Datum::Text(label.clone())).collect();
    let labels =
        Typed::constant(Datum::Array(Array { element: PgType::Text, values }), list.clone())?;
    let name = Typed::constant(Datum::Text(name.to_owned()), PgType::Text)?;
    let definition = library::functions()
        .by_key(LABEL)
        .ok_or_else(|| crate::functions::error::unexpected_value(LABEL))?;
    let expr = call_expr(
        definition,
        false,
        vec![PgType::Text, list, PgType::Text],
        to.clone(),
        vec![text.expr, labels.expr, name.expr],
        &Settings::default(),
    );
    Ok(Typed::new(expr, to.clone()))
}
