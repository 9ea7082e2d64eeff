//! Records: `ROW(..)` and a name of FROM where a value is expected.
//!
//! A record is a call that takes the names and values of its fields in turn and gives the record
//! as PostgreSQL prints it, behind a key by which records compare ([`satsuma_common::record`]).
//! What looks into a record (JSON, IS NULL) takes the fields from that
//! call when the statement is bound, so that they keep their types.

use datafusion::common::ScalarValue;
use datafusion::logical_expr::{Expr, lit};
use satsuma_common::{Datum, PgType, SqlError, SqlResult, SqlState, jsonb, record};

use super::library::{Builder, Call};
use super::udf::PgScalar;
use super::{FunctionEnv, Typed, call_known};
use crate::casts;
use crate::casts::text::output;
use crate::operators;

const RECORD: &str = "record(variadic any)";

/// A record of the fields. With `optional`, it is NULL where all of them are: the row of an outer
/// join that found no partner.
pub fn record(fields: Vec<(String, Typed)>, optional: bool, env: &FunctionEnv) -> SqlResult<Typed> {
    if fields.is_empty() {
        return Ok(Typed::new(lit("()"), PgType::Record));
    }
    let absent = optional.then(|| fields.iter().map(|(_, value)| value.expr.clone().is_null()));
    let absent = absent.and_then(|tests| tests.reduce(Expr::and));
    let whole = call_known(RECORD, arguments(fields), env)?;
    match absent {
        Some(absent) => {
            Ok(operators::case(vec![(absent, null())], Some(whole.expr), PgType::Record))
        }
        None => Ok(whole),
    }
}

/// NULL in the form that records and JSON have. Its type is the other branch's: a literal with
/// metadata would give the expression another name on a worker.
fn null() -> Expr {
    Expr::Literal(ScalarValue::Utf8View(None), None)
}

fn arguments(fields: Vec<(String, Typed)>) -> Vec<Typed> {
    fields
        .into_iter()
        .flat_map(|(name, value)| [Typed::text(name), casts::relabel_unknown(value)])
        .collect()
}

/// The fields of a record that is written out or names an entry of FROM.
pub fn fields(value: &Typed) -> Option<Vec<(String, Typed)>> {
    if value.ty != PgType::Record {
        return None;
    }
    let call = match &value.expr {
        Expr::Case(case) => case.else_expr.as_deref()?,
        other => other,
    };
    let Expr::ScalarFunction(call) = call else { return None };
    let own = call.func.inner().downcast_ref::<PgScalar>()?;
    if own.definition().signature.key() != RECORD {
        return None;
    }
    let typed = call.args.iter().zip(own.arguments());
    let typed: Vec<Typed> = typed.map(|(expr, ty)| Typed::new(expr.clone(), ty.clone())).collect();
    typed
        .chunks(2)
        .map(|pair| match pair {
            [name, value] => match name.as_constant()?.ok()? {
                Datum::Text(name) => Some((name, value.clone())),
                _ => None,
            },
            _ => None,
        })
        .collect()
}

/// A record as JSON; other values as they are. `lines` puts each field on a line of its own.
pub fn as_json(value: Typed, binary: bool, lines: bool, env: &FunctionEnv) -> SqlResult<Typed> {
    let Some(fields) = fields(&value) else { return Ok(value) };
    let fields = fields
        .into_iter()
        .map(|(name, field)| Ok((name, as_json(field, binary, false, env)?)))
        .collect::<SqlResult<Vec<_>>>()?;
    let key = match (binary, lines) {
        (true, _) => "record_to_jsonb(variadic any)",
        (false, false) => "record_to_json(variadic any)",
        (false, true) => "record_to_json_lines(variadic any)",
    };
    let json = call_known(key, arguments(fields), env)?;
    Ok(match value.expr {
        Expr::Case(case) => {
            let branches =
                case.when_then_expr.into_iter().map(|(when, _)| (*when, null())).collect();
            operators::case(branches, Some(json.expr), json.ty)
        }
        _ => json,
    })
}

/// The arguments of a function, with records as JSON where it makes JSON of them.
pub fn json_arguments(name: &str, args: Vec<Typed>, env: &FunctionEnv) -> SqlResult<Vec<Typed>> {
    if args.iter().all(|arg| arg.ty != PgType::Record) {
        return Ok(args);
    }
    let binary = match name {
        "to_json" | "json_build_object" | "json_build_array" => false,
        "to_jsonb" | "jsonb_build_object" | "jsonb_build_array" => true,
        _ => return Ok(args),
    };
    args.into_iter().map(|arg| as_json(arg, binary, false, env)).collect()
}

/// `row_to_json(record [, pretty])`; `None` where the argument is no record.
pub fn row_to_json(args: &[Typed], env: &FunctionEnv) -> SqlResult<Option<Typed>> {
    let (record, lines) = match args {
        [record] => (record, false),
        [record, pretty] => (record, matches!(pretty.as_constant(), Some(Ok(Datum::Bool(true))))),
        _ => return Ok(None),
    };
    if fields(record).is_none() {
        return Ok(None);
    }
    as_json(record.clone(), false, lines, env).map(Some)
}

pub(crate) fn install(b: &mut Builder) {
    for ty in ["json", "jsonb"] {
        b.row(&format!("json_array_literal({ty}) text"), |args, _| {
            array_literal(casts::text::text(&args[0])?).map(Datum::Text)
        });
    }
    b.called_on_null(|b| {
        b.with_settings(|b| {
            b.row(&format!("{RECORD} record"), |args, call| {
                let (key, shown) = (key(args, call)?, written(args, call)?);
                Ok(Datum::Text(record::with_key(&key, &shown)))
            });
            b.row("record_to_json(variadic any) json", |args, call| {
                members(args, call, ",").map(Datum::Text)
            });
            b.row("record_to_json_lines(variadic any) json", |args, call| {
                members(args, call, ",\n ").map(Datum::Text)
            });
            b.row("record_to_jsonb(variadic any) jsonb", |args, call| {
                Ok(Datum::Text(jsonb::normalize(&members(args, call, ",")?)?))
            });
        });
    });
}

/// A JSON array as the literal of a PostgreSQL array: `{1,"a",NULL}`.
fn array_literal(document: &str) -> SqlResult<String> {
    if jsonb::kind(document) != jsonb::Kind::Array {
        return Err(SqlError::new(SqlState::INVALID_TEXT_REPRESENTATION, "expected JSON array"));
    }
    let mut out = String::from("{");
    for (index, element) in jsonb::array_elements(document).enumerate() {
        if index > 0 {
            out.push(',');
        }
        match jsonb::as_text(element.trim()) {
            None => out.push_str("NULL"),
            Some(text) => {
                out.push('"');
                for c in text.chars() {
                    if matches!(c, '"' | '\\') {
                        out.push('\\');
                    }
                    out.push(c);
                }
                out.push('"');
            }
        }
    }
    out.push('}');
    Ok(out)
}

/// Pairs of a field's name and value with the value's type.
fn pairs<'a>(
    args: &'a [Datum],
    call: &'a Call,
) -> impl Iterator<Item = (&'a Datum, &'a Datum, &'a PgType)> {
    args.chunks_exact(2)
        .zip(call.arguments.chunks_exact(2))
        .map(|(pair, types)| (&pair[0], &pair[1], &types[1]))
}

fn members(args: &[Datum], call: &Call, separator: &str) -> SqlResult<String> {
    let members = pairs(args, call)
        .map(|(name, value, ty)| {
            let name = jsonb::quote(casts::text::text(name)?);
            Ok(format!("{name}:{}", super::to_json(value, ty, &call.context)?))
        })
        .collect::<SqlResult<Vec<_>>>()?;
    Ok(format!("{{{}}}", members.join(separator)))
}

/// Bytes in the order of records: field by field, NULL after all others.
fn key(args: &[Datum], call: &Call) -> SqlResult<Vec<u8>> {
    let mut key = Vec::new();
    for (_, value, ty) in pairs(args, call) {
        key.push(u8::from(value.is_null()));
        operators::keys::append_key(value, ty, &mut key)?;
    }
    Ok(key)
}

/// `(1,"a b",)`.
fn written(args: &[Datum], call: &Call) -> SqlResult<String> {
    let mut out = String::from("(");
    for (index, (_, value, ty)) in pairs(args, call).enumerate() {
        if index > 0 {
            out.push(',');
        }
        if value.is_null() {
            continue;
        }
        let text = output(value, ty, &call.context)?;
        let special = |c: char| matches!(c, '"' | '\\' | '(' | ')' | ',') || c.is_whitespace();
        if !text.is_empty() && !text.contains(special) {
            out.push_str(&text);
            continue;
        }
        out.push('"');
        for c in text.chars() {
            if matches!(c, '"' | '\\') {
                out.push(c);
            }
            out.push(c);
        }
        out.push('"');
    }
    out.push(')');
    Ok(out)
}
