//! Hypothetical-set aggregates: the rank that a row would have, `rank(5) WITHIN GROUP (ORDER BY x)`.
//!
//! They are counts of the rows that come before such a row, so that these are what is computed:
//!
//! ```text
//! rank          count(before) + 1          percent_rank  count(before) / count(*)
//! dense_rank    count(distinct before) + 1 cume_dist     (count(before or equal) + 1) / (count(*) + 1)
//! ```

use datafusion::logical_expr::{Expr, lit};
use satsuma_common::{Datum, PgType, SqlError, SqlResult};

use super::{AggregateCall, OrderBy, aggregate};
use crate::casts::{self, CastKind};
use crate::functions::special::unified;
use crate::functions::{FunctionEnv, Typed, undefined};
use crate::operators;

/// Whether a window function of that name is such an aggregate with WITHIN GROUP.
pub fn is_hypothetical(name: &str) -> bool {
    matches!(name, "rank" | "dense_rank" | "percent_rank" | "cume_dist")
}

pub(super) fn call(name: &str, call: AggregateCall, env: &FunctionEnv) -> SqlResult<Typed> {
    let (given, wanted) = (call.args.len(), call.order_by.len());
    if given != wanted {
        let sorted = call.order_by.iter().map(|order| order.value.ty.clone());
        let types: Vec<_> = call.args.iter().map(|arg| arg.ty.clone()).chain(sorted).collect();
        return Err(undefined(name, &types).hint(format!(
            "To use the hypothetical-set aggregate {name}, the number of hypothetical direct \
             arguments (here {given}) must match the number of ordering columns (here {wanted})."
        )));
    }
    let mut keys = Vec::with_capacity(wanted);
    for (own, order) in call.args.into_iter().zip(call.order_by) {
        keys.push(Key::new(own, order, env)?);
    }
    let count = |rows: Option<Expr>, distinct: Option<&Typed>| {
        let filter = match (call.filter.clone(), rows) {
            (Some(filter), Some(rows)) => Some(filter.and(rows)),
            (filter, rows) => filter.or(rows),
        };
        let args = distinct.cloned().into_iter().collect();
        let distinct = distinct.is_some();
        let counted = AggregateCall { args, distinct, filter, ..AggregateCall::default() };
        aggregate("count", counted, env)?.ok_or_else(|| undefined("count", &[]))
    };
    let before = before(&keys);
    match name {
        "rank" => plus_one(count(Some(before), None)?, env),
        "dense_rank" => {
            let [key] = keys.as_slice() else {
                return Err(SqlError::unsupported(
                    "dense_rank over several columns is not supported",
                ));
            };
            let values = count(Some(before.clone()), Some(&key.value))?;
            // NULL is one more value, which count(DISTINCT) does not count.
            let nulls = count(Some(before.and(key.value.expr.clone().is_null())), None)?;
            let any = operators::case(
                vec![(nulls.expr.gt(lit(0i64)), lit(1i64))],
                Some(lit(0i64)),
                PgType::Int8,
            );
            plus_one(operators::binary("+", values, any, env)?, env)
        }
        "percent_rank" => {
            // Of no rows it is 0, not 0 / 0.
            let all = count(None, None)?;
            let least = Typed::constant(Datum::Int8(1), PgType::Int8)?;
            let all = crate::functions::scalar("greatest", vec![all, least], env)?;
            let all = all.ok_or_else(|| undefined("greatest", &[]))?;
            quotient(count(Some(before), None)?, all, env)
        }
        _ => {
            let up_to = before.or(equal(&keys));
            let up_to = plus_one(count(Some(up_to), None)?, env)?;
            quotient(up_to, plus_one(count(None, None)?, env)?, env)
        }
    }
}

fn plus_one(value: Typed, env: &FunctionEnv) -> SqlResult<Typed> {
    operators::binary("+", value, Typed::constant(Datum::Int8(1), PgType::Int8)?, env)
}

fn quotient(part: Typed, whole: Typed, env: &FunctionEnv) -> SqlResult<Typed> {
    let float = |value| casts::cast(value, &PgType::Float8, CastKind::Explicit, env);
    operators::binary("/", float(part)?, float(whole)?, env)
}

/// A column to sort by.
struct Key {
    value: Typed,
    /// Whether a row comes before the hypothetical one by this column; never NULL.
    before: Expr,
    equal: Expr,
}

impl Key {
    fn new(own: Typed, order: OrderBy, env: &FunctionEnv) -> SqlResult<Self> {
        let (pair, _) = unified("WITHIN GROUP", vec![own, order.value], env)?;
        let Ok([own, value]) = <[Typed; 2]>::try_from(pair) else {
            return Err(undefined("rank", &[]));
        };
        let op = if order.ascending { "<" } else { ">" };
        let less = operators::binary(op, value.clone(), own.clone(), env)?.expr;
        let (is_null, own_is_null) = (value.expr.clone().is_null(), own.expr.clone().is_null());
        let nulls_first = lit(order.nulls_first);
        let before = operators::case(
            vec![
                (is_null, nulls_first.clone().and(own.expr.clone().is_not_null())),
                (own_is_null, Expr::Not(Box::new(nulls_first))),
            ],
            Some(less),
            PgType::Bool,
        );
        let equal = operators::distinct(value.clone(), own, true, env)?.expr;
        Ok(Self { value, before: before.expr, equal })
    }
}

/// Whether a row comes before the hypothetical one: by the first column that differs.
fn before(keys: &[Key]) -> Expr {
    let by_rest = |rest: Option<Expr>, key: &Key| match rest {
        None => key.before.clone(),
        Some(rest) => key.before.clone().or(key.equal.clone().and(rest)),
    };
    let all = keys.iter().rev().fold(None, |rest, key| Some(by_rest(rest, key)));
    all.unwrap_or_else(|| lit(false))
}

fn equal(keys: &[Key]) -> Expr {
    let all = keys.iter().map(|key| key.equal.clone()).reduce(Expr::and);
    all.unwrap_or_else(|| lit(true))
}
