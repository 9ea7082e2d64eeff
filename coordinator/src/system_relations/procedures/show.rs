//! Arguments and results of functions as `\df` shows them.

use satsuma_common::PgType;
use satsuma_common::types::PseudoType;

use super::{Kind, Mode, Parameter, Procedure};
use crate::catalog::quote_identifier;

/// A type as `format_type` prints it.
pub(super) fn type_name(oid: u32) -> String {
    match PseudoType::by_oid(oid) {
        Some(pseudo) => pseudo.sql_name.to_owned(),
        None => PgType::from_oid(oid).map_or_else(|| "???".to_owned(), |ty| ty.to_string()),
    }
}

/// `pg_get_function_arguments`.
pub fn arguments(procedure: &Procedure) -> String {
    list(procedure, true)
}

/// `pg_get_function_identity_arguments`: without defaults.
pub fn identity_arguments(procedure: &Procedure) -> String {
    list(procedure, false)
}

/// `pg_get_function_result`.
pub fn result(procedure: &Procedure) -> String {
    let ty = type_name(procedure.result);
    if procedure.returns_set { format!("SETOF {ty}") } else { ty }
}

/// `pg_get_functiondef`; `None` for an aggregate, which is not made so.
pub fn definition(procedure: &Procedure) -> Option<String> {
    if procedure.kind.letter() == 'a' {
        return None;
    }
    let window = if matches!(procedure.kind, Kind::Window) { " WINDOW" } else { "" };
    let volatility = match procedure.volatility {
        'i' => " IMMUTABLE",
        's' => " STABLE",
        _ => "",
    };
    let strict = if procedure.strict { " STRICT" } else { "" };
    Some(format!(
        "CREATE OR REPLACE FUNCTION pg_catalog.{name}({arguments})\n RETURNS {result}\n LANGUAGE \
         internal\n{window}{volatility} PARALLEL SAFE{strict}\nAS \
         $function${source}$function$\n",
        name = quote_identifier(&procedure.name),
        arguments = arguments(procedure),
        result = result(procedure),
        source = procedure.name,
    ))
}

/// `pg_get_function_arg_default(oid, number)`, from 1.
pub fn default_of_argument(procedure: &Procedure, number: i32) -> Option<&'static str> {
    let place = usize::try_from(number).ok()?.checked_sub(1)?;
    let parameter = procedure.parameters.get(place)?;
    if parameter.mode == Mode::Out { None } else { parameter.default }
}

fn list(procedure: &Procedure, with_defaults: bool) -> String {
    let shown: Vec<String> =
        procedure.parameters.iter().map(|one| parameter(one, with_defaults)).collect();
    match (procedure.kind, shown.split_last()) {
        (Kind::OrderedSet, Some((last, []))) => format!("ORDER BY {last}"),
        (Kind::OrderedSet, Some((last, direct))) => {
            format!("{} ORDER BY {last}", direct.join(", "))
        }
        (Kind::Hypothetical, _) => format!("{0} ORDER BY {0}", shown.join(", ")),
        _ => shown.join(", "),
    }
}

fn parameter(parameter: &Parameter, with_default: bool) -> String {
    let mode = match parameter.mode {
        Mode::In => "",
        Mode::Out => "OUT ",
        Mode::Variadic => "VARIADIC ",
    };
    let mut text = mode.to_owned();
    if !parameter.name.is_empty() {
        text += &quote_identifier(parameter.name);
        text.push(' ');
    }
    text += &type_name(parameter.ty);
    if let Some(default) = parameter.default.filter(|_| with_default) {
        text += " DEFAULT ";
        text += default;
    }
    text
}
