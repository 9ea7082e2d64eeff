//! Window functions, and aggregates over windows.

use datafusion::common::ScalarValue;
use datafusion::functions_window as native;
use datafusion::logical_expr::expr::{Sort, WindowFunction, WindowFunctionParams};
use datafusion::logical_expr::{Expr, WindowFrame, WindowFunctionDefinition};
use datafusion::prelude::when;
use satsuma_common::{PgType, SqlError, SqlResult, SqlState};

use super::AggregateCall;
use super::excluding::{Excluding, Over};
use crate::casts::{self, CastKind};
use crate::engine_error::to_sql;
use crate::functions::udf::plain_field;
use crate::functions::{FunctionEnv, Typed, undefined};
use crate::known_value::known;
use crate::parse::Exclude;

/// A call with OVER. Partition and order expressions are already keys (see
/// [`crate::operators::grouping_key`] and [`crate::operators::ordering_key`]).
#[derive(Clone, Debug)]
pub struct WindowCall {
    pub args: Vec<Typed>,
    pub distinct: bool,
    pub filter: Option<Expr>,
    pub partition_by: Vec<Expr>,
    pub order_by: Vec<Sort>,
    pub frame: WindowFrame,
    /// What the frame leaves out.
    pub exclude: Option<Exclude>,
}

/// Calls the window function or aggregate `name` over a window; `None` if there is none of that
/// name.
pub fn window(name: &str, call: WindowCall, env: &FunctionEnv) -> SqlResult<Option<Typed>> {
    let types: Vec<PgType> = call.args.iter().map(|arg| arg.ty.clone()).collect();
    let no_such = || undefined(name, &types);
    if matches!(name, "lag" | "lead")
        && let Some(typed) = shift_or_computed(name, &call, env)?
    {
        return Ok(Some(typed));
    }
    let Some((function, args, ty, cast)) = pure(name, &call, env).transpose()? else {
        return over_aggregate(name, call, env);
    };
    if call.filter.is_some() {
        return Err(SqlError::new(
            SqlState::FEATURE_NOT_SUPPORTED,
            "FILTER is not implemented for non-aggregate window functions",
        ));
    }
    let Some(args) = args else { return Err(no_such()) };
    let over = match name {
        "first_value" => Some(Over::First),
        "last_value" => Some(Over::Last),
        "nth_value" => Some(Over::Nth),
        _ => None,
    };
    let expr = match (call.exclude, over) {
        (Some(exclude), Some(over)) => excluding(exclude, over, args, &call),
        _ => build(function, args, &call),
    };
    // DataFusion counts in unsigned integers.
    let expr = if cast {
        Expr::Cast(datafusion::logical_expr::Cast::new_from_field(Box::new(expr), plain_field(&ty)))
    } else {
        expr
    };
    Ok(Some(Typed::new(expr, ty)))
}

fn build(fun: WindowFunctionDefinition, args: Vec<Expr>, call: &WindowCall) -> Expr {
    Expr::WindowFunction(Box::new(WindowFunction {
        fun,
        params: WindowFunctionParams {
            args,
            partition_by: call.partition_by.clone(),
            order_by: call.order_by.clone(),
            window_frame: call.frame.clone(),
            filter: call.filter.clone().map(Box::new),
            null_treatment: None,
            distinct: false,
        },
    }))
}

/// The call over frames that leave rows out.
fn excluding(exclude: Exclude, over: Over, mut args: Vec<Expr>, call: &WindowCall) -> Expr {
    let function = Excluding::new(exclude, over, args.len(), call.filter.is_some());
    args.extend(call.filter.clone());
    args.extend(call.order_by.iter().map(|key| key.expr.clone()));
    let call = WindowCall { filter: None, ..call.clone() };
    build(WindowFunctionDefinition::WindowUDF(function.into_udwf()), args, &call)
}

type Pure = (WindowFunctionDefinition, Option<Vec<Expr>>, PgType, bool);

/// The functions that only exist over windows. Arguments are `None` if they are the wrong ones;
/// the last field says whether the result needs a cast.
fn pure(name: &str, call: &WindowCall, env: &FunctionEnv) -> Option<SqlResult<Pure>> {
    let none = |udwf, ty, cast| {
        let args = call.args.is_empty().then(Vec::new);
        Some(Ok((WindowFunctionDefinition::WindowUDF(udwf), args, ty, cast)))
    };
    match name {
        "row_number" => none(native::row_number::row_number_udwf(), PgType::Int8, true),
        "rank" => none(native::rank::rank_udwf(), PgType::Int8, true),
        "dense_rank" => none(native::rank::dense_rank_udwf(), PgType::Int8, true),
        "percent_rank" => none(native::rank::percent_rank_udwf(), PgType::Float8, false),
        "cume_dist" => none(native::cume_dist::cume_dist_udwf(), PgType::Float8, false),
        "ntile" => Some(ntile(call, env)),
        "lag" => Some(shift(native::lead_lag::lag_udwf(), call, env)),
        "lead" => Some(shift(native::lead_lag::lead_udwf(), call, env)),
        "first_value" => Some(value(native::nth_value::first_value_udwf(), call)),
        "last_value" => Some(value(native::nth_value::last_value_udwf(), call)),
        "nth_value" => Some(nth_value(call, env)),
        _ => None,
    }
}

/// Whether `name` only exists over windows.
pub fn is_window(name: &str) -> bool {
    matches!(
        name,
        "row_number"
            | "rank"
            | "dense_rank"
            | "percent_rank"
            | "cume_dist"
            | "ntile"
            | "lag"
            | "lead"
            | "first_value"
            | "last_value"
            | "nth_value"
    )
}

type Udwf = std::sync::Arc<datafusion::logical_expr::WindowUDF>;

/// An integer argument that is the same for all rows; DataFusion takes no other.
fn constant_int(value: &Typed, what: &str, env: &FunctionEnv) -> SqlResult<Option<i64>> {
    // A parameter without a type is an integer, as in PostgreSQL's declarations.
    let value = match value.ty {
        PgType::Unknown => casts::cast(value.clone(), &PgType::Int4, CastKind::Implicit, env)?,
        _ => value.clone(),
    };
    let value = casts::cast(value, &PgType::Int8, CastKind::Explicit, env)?;
    match known(value, env)?.as_constant().transpose()? {
        Some(satsuma_common::Datum::Int8(v)) => Ok(Some(v)),
        Some(_) => Ok(None),
        None => Err(SqlError::new(
            SqlState::FEATURE_NOT_SUPPORTED,
            format!("{what} must be a constant or a parameter"),
        )),
    }
}

fn constant(value: Option<i64>) -> Expr {
    Expr::Literal(ScalarValue::Int64(value), None)
}

fn ntile(call: &WindowCall, env: &FunctionEnv) -> SqlResult<Pure> {
    let definition = WindowFunctionDefinition::WindowUDF(native::ntile::ntile_udwf());
    let args = match call.args.as_slice() {
        [buckets] => {
            let buckets = constant_int(buckets, "the argument of ntile", env)?;
            if buckets.is_some_and(|n| n <= 0) {
                return Err(SqlError::new(
                    SqlState(*b"22014"),
                    "argument of ntile must be greater than zero",
                ));
            }
            Some(vec![constant(buckets)])
        }
        _ => None,
    };
    Ok((definition, args, PgType::Int4, true))
}

fn shift(udwf: Udwf, call: &WindowCall, env: &FunctionEnv) -> SqlResult<Pure> {
    let definition = WindowFunctionDefinition::WindowUDF(udwf);
    let value = match call.args.first() {
        Some(value) if value.ty == PgType::Unknown => casts::relabel_unknown(value.clone()),
        Some(value) => value.clone(),
        None => return Ok((definition, None, PgType::Text, false)),
    };
    let mut args = vec![value.expr.clone()];
    let mut ty = value.ty.clone();
    if let Some(offset) = call.args.get(1) {
        args.push(constant(constant_int(offset, "the offset of lag and lead", env)?));
    }
    if let Some(default) = call.args.get(2) {
        ty = casts::common_type(&[value.ty.clone(), default.ty.clone()])?;
        args[0] = casts::cast(value, &ty, CastKind::Implicit, env)?.expr;
        let default = casts::cast(default.clone(), &ty, CastKind::Implicit, env)?;
        args.push(known(default, env)?.expr);
    }
    let args = (call.args.len() <= 3).then_some(args);
    Ok((definition, args, ty, false))
}

/// A call of lag or lead that DataFusion does not take, such as one whose default depends on the
/// row: the default is for rows from where no row is reached. `None`: another call.
fn shift_or_computed(name: &str, call: &WindowCall, env: &FunctionEnv) -> SqlResult<Option<Typed>> {
    if let [value, offset, ..] = call.args.as_slice()
        && constant_int(offset, "the offset of lag and lead", env)?.is_none()
    {
        // No distance reaches no row, and asks for no default.
        let value = casts::relabel_unknown(value.clone());
        return Typed::null(value.ty).map(Some);
    }
    let [value, offset, default] = call.args.as_slice() else { return Ok(None) };
    let ty = casts::common_type(&[value.ty.clone(), default.ty.clone()])?;
    let default = casts::cast(default.clone(), &ty, CastKind::Implicit, env)?;
    if matches!(known(default.clone(), env)?.expr, Expr::Literal(..)) {
        return Ok(None);
    }
    let value = casts::cast(value.clone(), &ty, CastKind::Implicit, env)?;
    let over = |args| window(name, WindowCall { args, ..call.clone() }, env);
    let reaches = Typed::constant(satsuma_common::Datum::Bool(true), PgType::Bool)?;
    let (Some(reaches), Some(reached)) =
        (over(vec![reaches, offset.clone()])?, over(vec![value, offset.clone()])?)
    else {
        return Ok(None);
    };
    let chosen = when(reaches.expr.is_null(), default.expr).otherwise(reached.expr);
    Ok(Some(Typed::new(chosen.map_err(to_sql)?, ty)))
}

fn value(udwf: Udwf, call: &WindowCall) -> SqlResult<Pure> {
    let definition = WindowFunctionDefinition::WindowUDF(udwf);
    Ok(match call.args.as_slice() {
        [value] => {
            let value = casts::relabel_unknown(value.clone());
            (definition, Some(vec![value.expr]), value.ty, false)
        }
        _ => (definition, None, PgType::Text, false),
    })
}

fn nth_value(call: &WindowCall, env: &FunctionEnv) -> SqlResult<Pure> {
    let definition = WindowFunctionDefinition::WindowUDF(native::nth_value::nth_value_udwf());
    Ok(match call.args.as_slice() {
        [value, n] => {
            let n = constant_int(n, "the second argument of nth_value", env)?;
            if n.is_some_and(|n| n <= 0) {
                return Err(SqlError::new(
                    SqlState(*b"22016"),
                    "argument of nth_value must be greater than zero",
                ));
            }
            let value = casts::relabel_unknown(value.clone());
            (definition, Some(vec![value.expr, constant(n)]), value.ty, false)
        }
        _ => (definition, None, PgType::Text, false),
    })
}

fn over_aggregate(name: &str, call: WindowCall, env: &FunctionEnv) -> SqlResult<Option<Typed>> {
    if !super::is_aggregate(name) {
        return Ok(None);
    }
    if call.distinct {
        return Err(SqlError::new(
            SqlState::FEATURE_NOT_SUPPORTED,
            "DISTINCT is not implemented for window functions",
        ));
    }
    let aggregate = AggregateCall { args: call.args.clone(), ..AggregateCall::default() };
    let Some(resolved) = super::resolve(name, aggregate, env)? else { return Ok(None) };
    if let Some(exclude) = call.exclude {
        let expr = excluding(exclude, Over::Aggregate(resolved.udaf), resolved.args, &call);
        return Ok(Some(Typed::new(expr, resolved.ty)));
    }
    let definition = WindowFunctionDefinition::AggregateUDF(resolved.udaf);
    Ok(Some(Typed::new(build(definition, resolved.args, &call), resolved.ty)))
}
