//! `value op ANY (array)` and `value op ALL (array)`.
//!
//! Equality with an array of constants is an IN list, which scans and pruning understand.
//! Anything else goes element by element: over the written elements of `ARRAY[..]` as a chain of
//! OR or AND, over other arrays in a function that knows the comparison.

use datafusion::common::ScalarValue;
use datafusion::logical_expr::{Expr, lit};
use satsuma_common::{Datum, PgType, SqlError, SqlResult, SqlState};

use super::compare::comparison_type;
use super::keys::compare_values;
use crate::casts::{self, CastKind};
use crate::functions::error::unexpected_value;
use crate::functions::library::Builder;
use crate::functions::{FunctionEnv, Typed, call_known};

const COMPARISONS: [&str; 6] = ["=", "<>", "<", "<=", ">", ">="];
const PATTERNS: [&str; 8] = ["~~", "!~~", "~~*", "!~~*", "~", "!~", "~*", "!~*"];

/// Longest array of constants that is written out.
const WRITTEN_OUT: usize = 1000;

pub(crate) fn install_functions(b: &mut Builder) {
    b.infallible(|b| {
        b.called_on_null(|b| {
            for op in COMPARISONS {
                for (name, all) in [("any", false), ("all", true)] {
                    let key = format!("{name} {op}(anyelement,anyarray) bool");
                    b.row(&key, move |args, call| {
                        let ty = call.arguments.first().cloned().unwrap_or(PgType::Text);
                        quantify(args, all, |value, item| {
                            let ordering = compare_values(value, item, &ty)?;
                            Ok(match op {
                                "=" => ordering.is_eq(),
                                "<>" => ordering.is_ne(),
                                "<" => ordering.is_lt(),
                                "<=" => ordering.is_le(),
                                ">" => ordering.is_gt(),
                                _ => ordering.is_ge(),
                            })
                        })
                    });
                }
            }
        });
    });
    b.called_on_null(|b| {
        for op in PATTERNS {
            for (name, all) in [("any", false), ("all", true)] {
                b.row(&format!("{name} {op}(text,_text) bool"), move |args, _| {
                    quantify(args, all, |value, item| match (value, item) {
                        (Datum::Text(value), Datum::Text(pattern)) => {
                            crate::functions::regex::matches(op, value, pattern)
                        }
                        _ => Err(unexpected_value("a pattern")),
                    })
                });
            }
        }
    });
}

/// Three-valued: NULL elements leave the answer open unless another decides.
fn quantify(
    args: &[Datum],
    all: bool,
    test: impl Fn(&Datum, &Datum) -> SqlResult<bool>,
) -> SqlResult<Datum> {
    let [value, Datum::Array(array)] = args else { return Ok(Datum::Null) };
    let mut open = false;
    for item in &array.values {
        if value.is_null() || item.is_null() {
            open = true;
        } else if test(value, item)? != all {
            return Ok(Datum::Bool(!all));
        }
    }
    Ok(if open { Datum::Null } else { Datum::Bool(all) })
}

/// `left op ANY (array)`, or ALL.
pub fn quantified(
    op: &str,
    left: Typed,
    array: Typed,
    all: bool,
    env: &FunctionEnv,
) -> SqlResult<Typed> {
    let op = if op == "!=" { "<>" } else { op };
    let array = match (&array.ty, &left.ty) {
        (PgType::Unknown, PgType::Unknown) => {
            casts::cast(array, &PgType::Array(Box::new(PgType::Text)), CastKind::Implicit, env)?
        }
        // An untyped array takes the type of what it is compared with.
        (PgType::Unknown, ty) => {
            let ty = PgType::Array(Box::new(ty.without_modifier()));
            casts::cast(array, &ty, CastKind::Implicit, env)?
        }
        _ => array,
    };
    let PgType::Array(element) = array.ty.clone() else {
        return Err(SqlError::new(
            SqlState::WRONG_OBJECT_TYPE,
            "op ANY/ALL (array) requires array on right side",
        ));
    };
    if let Some(items) = written_items(&array, &element)? {
        return written_out(op, left, items, all, env);
    }
    let left = match left.ty {
        PgType::Unknown => casts::cast(left, &element, CastKind::Implicit, env)?,
        _ => left,
    };
    let name = if all { "all" } else { "any" };
    if PATTERNS.contains(&op) {
        return call_known(&format!("{name} {op}(text,_text)"), vec![left, array], env);
    }
    // There must be such an operator between the value and an element.
    let sample = Typed::null(element.as_ref().clone())?;
    super::binary(op, left.clone(), sample, env)?;
    if !COMPARISONS.contains(&op) {
        return Err(SqlError::unsupported(format!(
            "operator {op} with ANY or ALL of an array that is not constant is not supported"
        )));
    }
    let common = comparison_type(left.ty.clone(), element.as_ref().clone())?.without_modifier();
    let left = casts::cast(left, &common, CastKind::Implicit, env)?;
    let list = PgType::Array(Box::new(common));
    let array = casts::cast(array, &list, CastKind::Implicit, env)?;
    call_known(&format!("{name} {op}(anyelement,anyarray)"), vec![left, array], env)
}

/// The elements of a constant array; `None` if it is not constant, or very long.
fn written_items(array: &Typed, element: &PgType) -> SqlResult<Option<Vec<Typed>>> {
    let Some(constant) = array.as_constant() else { return Ok(None) };
    match constant? {
        Datum::Array(values) if values.values.len() <= WRITTEN_OUT => values
            .values
            .into_iter()
            .map(|value| Typed::constant(value, element.clone()))
            .collect::<SqlResult<_>>()
            .map(Some),
        _ => Ok(None),
    }
}

fn written_out(
    op: &str,
    left: Typed,
    items: Vec<Typed>,
    all: bool,
    env: &FunctionEnv,
) -> SqlResult<Typed> {
    if items.is_empty() {
        return Ok(Typed::bool(lit(all)));
    }
    if op == "=" && !all {
        return super::in_list(left, items, false, env);
    }
    if op == "<>" && all {
        return super::in_list(left, items, true, env);
    }
    let mut tests = Vec::with_capacity(items.len());
    for item in items {
        tests.push(super::binary(op, left.clone(), item, env)?.expr);
    }
    let combined = tests.into_iter().reduce(if all { Expr::and } else { Expr::or });
    Ok(Typed::bool(combined.unwrap_or(Expr::Literal(ScalarValue::Boolean(Some(all)), None))))
}
