//! Functions with rules of their own: COALESCE, NULLIF, GREATEST, LEAST.
//!
//! They take any number of arguments of one common type, and COALESCE evaluates no more of them
//! than it needs.

use datafusion::logical_expr::Expr;
use satsuma_common::{Datum, PgType, SqlError, SqlResult, SqlState};

use super::library::Builder;
use super::{FunctionEnv, Typed, call_known};
use crate::casts::{self, CastKind};
use crate::operators;

pub fn is_special(name: &str) -> bool {
    matches!(name, "coalesce" | "nullif" | "greatest" | "least")
}

pub fn call(name: &str, args: Vec<Typed>, env: &FunctionEnv) -> SqlResult<Typed> {
    if args.is_empty() {
        // The grammar asks for an argument.
        return Err(SqlError::new(SqlState::SYNTAX_ERROR, "syntax error at or near \")\""));
    }
    match name {
        "nullif" => nullif(args, env),
        "coalesce" => {
            let (args, ty) = unified("COALESCE", args, env)?;
            Ok(coalesce(args, ty))
        }
        "greatest" => extreme("GREATEST", "greatest_of", true, args, env),
        _ => extreme("LEAST", "least_of", false, args, env),
    }
}

pub(crate) fn install(b: &mut Builder) {
    b.infallible(|b| {
        b.called_on_null(|b| {
            b.row("greatest_of(variadic anyelement) anyelement", |args, call| {
                pick(args, &call.result, std::cmp::Ordering::Greater)
            });
            b.row("make_array(variadic anyelement) anyarray", |args, call| {
                let element = call.arguments.first().cloned().unwrap_or(PgType::Text);
                let values = args.to_vec();
                Ok(Datum::Array(satsuma_common::Array { element, values }))
            });
            b.row("least_of(variadic anyelement) anyelement", |args, call| {
                pick(args, &call.result, std::cmp::Ordering::Less)
            });
        });
    });
}

/// The first of the values that is not NULL and in `wanted` order to all others.
fn pick(args: &[Datum], ty: &PgType, wanted: std::cmp::Ordering) -> SqlResult<Datum> {
    let mut best = Datum::Null;
    for arg in args.iter().filter(|arg| !arg.is_null()) {
        if best.is_null() || operators::keys::compare_values(arg, &best, ty)? == wanted {
            best = arg.clone();
        }
    }
    Ok(best)
}

/// Casts all arguments to their common type. `construct` is for the error.
pub fn unified(
    construct: &str,
    args: Vec<Typed>,
    env: &FunctionEnv,
) -> SqlResult<(Vec<Typed>, PgType)> {
    let types: Vec<PgType> = args.iter().map(|arg| arg.ty.clone()).collect();
    let ty = casts::common_type(&types).map_err(|error| {
        let message = format!("{construct} {}", error.message());
        SqlError::new(error.state(), message)
    })?;
    let args = args
        .into_iter()
        .map(|arg| casts::cast(arg, &ty, CastKind::Implicit, env))
        .collect::<SqlResult<_>>()?;
    Ok((args, ty))
}

fn coalesce(mut args: Vec<Typed>, ty: PgType) -> Typed {
    if args.len() == 1
        && let Some(only) = args.pop()
    {
        return only;
    }
    // The last one is the result whatever it is.
    let last = args.pop().map(|arg| arg.expr);
    let branches = args
        .into_iter()
        .map(|arg| (Expr::IsNotNull(Box::new(arg.expr.clone())), arg.expr))
        .collect();
    operators::case(branches, last, ty)
}

/// `CASE WHEN a = b THEN NULL ELSE a END`, of the type of `a`.
fn nullif(args: Vec<Typed>, env: &FunctionEnv) -> SqlResult<Typed> {
    let Ok([value, other]) = <[Typed; 2]>::try_from(args) else {
        return Err(SqlError::new(SqlState::SYNTAX_ERROR, "NULLIF takes two arguments"));
    };
    let value = match value.ty {
        PgType::Unknown => {
            let ty = if other.ty == PgType::Unknown {
                PgType::Text
            } else {
                other.ty.without_precision().clone()
            };
            casts::cast(value, &ty, CastKind::Implicit, env)?
        }
        _ => value,
    };
    let equal = operators::binary("=", value.clone(), other, env)?;
    let null = Typed::null(value.ty.clone())?;
    Ok(operators::case(vec![(equal.expr, null.expr)], Some(value.expr), value.ty))
}

fn extreme(
    construct: &str,
    function: &str,
    greatest: bool,
    args: Vec<Typed>,
    env: &FunctionEnv,
) -> SqlResult<Typed> {
    let (args, ty) = unified(construct, args, env)?;
    let native = matches!(
        ty.without_precision(),
        PgType::Int2
            | PgType::Int4
            | PgType::Int8
            | PgType::Text
            | PgType::Varchar(_)
            | PgType::Date
            | PgType::Timestamp
            | PgType::Timestamptz
    ) || matches!(ty, PgType::Numeric(Some(m)) if satsuma_common::arrow_types::fits_decimal128(m));
    if native && args.len() > 1 {
        let udf = if greatest {
            datafusion::functions::core::greatest()
        } else {
            datafusion::functions::core::least()
        };
        let expr = udf.call(args.into_iter().map(|arg| arg.expr).collect());
        return Ok(Typed::new(expr, ty));
    }
    if args.is_empty() {
        return Err(super::undefined(&construct.to_lowercase(), &[]));
    }
    let mut result = call_known(&format!("{function}(variadic anyelement)"), args, env)?;
    result.ty = ty;
    Ok(result)
}
