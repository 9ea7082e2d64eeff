//! PostgreSQL's aggregates and window functions.
//!
//! | file | what |
//! |---|---|
//! | `library` | the table: signatures and how each keeps its state |
//! | `udaf` | the DataFusion side: accumulators over rows, DISTINCT, ORDER BY, sliding frames |
//! | `sums` | sum and avg, with states per group in columns |
//! | `statistics` | variance, deviation, correlation, regression |
//! | `ordered` | percentiles, mode |
//! | `hypothetical` | the rank that a row would have, as counts |
//! | `json` | json_agg and its relatives |
//! | `collect` | array_agg, string_agg, min and max by key, bool_and, bit_and |
//! | `sorted` | rows of an aggregate with ORDER BY |
//! | `only` | what subqueries need: their only row, all their rows |
//! | `window` | row_number and its relatives; aggregates over windows |
//! | `excluding` | frames with EXCLUDE |
//!
//! Every state is values of PostgreSQL types, so that it travels between nodes as columns.
//! count, and min and max of types whose Arrow order is PostgreSQL's, are DataFusion's own.

pub mod collect;
pub mod excluding;
mod hypothetical;
pub mod json;
pub mod library;
pub mod only;
pub mod ordered;
pub mod sorted;
pub mod statistics;
pub mod sums;
pub mod udaf;
mod wide_sums;
pub mod window;

use std::sync::Arc;

use datafusion::functions_aggregate::count::count_udaf;
use datafusion::functions_aggregate::min_max::{max_udaf, min_udaf};
use datafusion::logical_expr::expr::AggregateFunction;
use datafusion::logical_expr::{AggregateUDF, Expr, lit};
use satsuma_common::{PgType, SqlError, SqlResult, SqlState};

use crate::casts;
use crate::functions::signature::{Choice, choose_function};
use crate::functions::{FunctionEnv, Typed, call_text, undefined};
use crate::operators;
use udaf::{PgAggregate, SortKey};

pub use hypothetical::is_hypothetical;
pub use only::{collect_array, only_value};
pub use window::{WindowCall, is_window, window};

/// A value to sort by, inside an aggregate's parentheses or WITHIN GROUP.
#[derive(Clone, Debug)]
pub struct OrderBy {
    pub value: Typed,
    pub ascending: bool,
    pub nulls_first: bool,
}

/// An aggregate as written. `count(*)` has no arguments.
#[derive(Clone, Debug, Default)]
pub struct AggregateCall {
    pub args: Vec<Typed>,
    pub distinct: bool,
    pub filter: Option<Expr>,
    pub order_by: Vec<OrderBy>,
    /// `order_by` is WITHIN GROUP's.
    pub within_group: bool,
}

/// An aggregate resolved: what DataFusion is to compute.
pub(crate) struct Resolved {
    pub udaf: Arc<AggregateUDF>,
    pub args: Vec<Expr>,
    /// DataFusion's own DISTINCT; ours is part of the function.
    pub distinct: bool,
    pub ty: PgType,
}

/// Calls the aggregate `name`; `None` if there is none of that name.
pub fn aggregate(name: &str, call: AggregateCall, env: &FunctionEnv) -> SqlResult<Option<Typed>> {
    if call.within_group && is_hypothetical(name) {
        return hypothetical::call(name, call, env).map(Some);
    }
    let filter = call.filter.clone().map(Box::new);
    let Some(resolved) = resolve(name, call, env)? else { return Ok(None) };
    let function = AggregateFunction::new_udf(
        resolved.udaf,
        resolved.args,
        resolved.distinct,
        filter,
        Vec::new(),
        None,
    );
    Ok(Some(Typed::new(Expr::AggregateFunction(function), resolved.ty)))
}

/// Whether `name` is an aggregate.
pub fn is_aggregate(name: &str) -> bool {
    matches!(name, "count" | "min" | "max") || library::exists(name)
}

pub(crate) fn resolve(
    name: &str,
    mut call: AggregateCall,
    env: &FunctionEnv,
) -> SqlResult<Option<Resolved>> {
    if !is_aggregate(name) {
        return Ok(None);
    }
    if call.within_group {
        // The sorted values are the last arguments.
        call.args.extend(call.order_by.iter().map(|order| order.value.clone()));
    }
    if let ("min" | "max", [only]) = (name, call.args.as_mut_slice()) {
        *only = casts::relabel_unknown(only.clone());
    }
    if let Some(native) = native(name, &call)? {
        return Ok(Some(native));
    }
    let mut name = json::prepare(name, &mut call, env)?;
    if name == "sum"
        && let Some(factors) = wide_sums::factors(&call)
    {
        call.args = factors.into();
        name = wide_sums::SUM_OF_PRODUCTS.into();
    }
    let name = &name;
    let types: Vec<PgType> = call.args.iter().map(|arg| arg.ty.clone()).collect();
    if let ("min" | "max", [PgType::Enum(_)]) = (name.as_str(), types.as_slice()) {
        call.order_by = call
            .args
            .iter()
            .map(|value| OrderBy {
                value: value.clone(),
                ascending: name == "min",
                nulls_first: false,
            })
            .collect();
    }
    let candidates = library::named(name);
    let definition = match choose_function(candidates, &types) {
        Choice::One(definition) => definition,
        Choice::None => return Err(undefined(name, &types)),
        Choice::Ambiguous => {
            return Err(SqlError::new(
                SqlState::AMBIGUOUS_FUNCTION,
                format!("function {} is not unique", call_text(name, &types)),
            )
            .hint(
                "Could not choose a best candidate function. You might need to add explicit \
                 type casts.",
            ));
        }
    };
    if definition.within_group != call.within_group {
        return Err(within_group_error(name, &definition, &types));
    }
    let (parameters, result) =
        definition.signature.resolve(&types).ok_or_else(|| undefined(name, &types))?;
    let mut args = Vec::new();
    let mut arguments = Vec::new();
    for (arg, parameter) in call.args.into_iter().zip(&parameters) {
        let arg = casts::coerce_argument(arg, parameter, env)?;
        arguments.push(arg.ty);
        args.push(arg.expr);
    }
    let mut order = Vec::new();
    for item in &call.order_by {
        if call.within_group && !definition.sorts {
            break;
        }
        let (key, ty) = sort_key(&item.value, env);
        args.push(key);
        order.push(SortKey { ty, ascending: item.ascending, nulls_first: item.nulls_first });
    }
    // Order only matters to functions that see it.
    if !definition.sorts {
        args.truncate(arguments.len());
        order.clear();
    }
    let result = (definition.result)(&arguments, result);
    let udaf = PgAggregate::new(definition, arguments, result.clone(), call.distinct, order);
    Ok(Some(Resolved {
        udaf: Arc::new(AggregateUDF::new_from_impl(udaf)),
        args,
        distinct: false,
        ty: result,
    }))
}

fn within_group_error(
    name: &str,
    definition: &library::AggregateDefinition,
    types: &[PgType],
) -> SqlError {
    if definition.within_group {
        return SqlError::new(
            SqlState::WRONG_OBJECT_TYPE,
            format!("WITHIN GROUP is required for ordered-set aggregate {name}"),
        );
    }
    undefined(name, types)
}

/// A sort expression as a column that sorts by Arrow's order, and that column's type.
fn sort_key(value: &Typed, env: &FunctionEnv) -> (Expr, PgType) {
    match operators::ordering_key(value, env) {
        Some(key) => (key, key_type(&value.ty)),
        None => (value.expr.clone(), value.ty.clone()),
    }
}

fn key_type(ty: &PgType) -> PgType {
    match ty.without_precision() {
        PgType::Float4 | PgType::Float8 => ty.clone(),
        PgType::Bpchar(_) => PgType::Text,
        PgType::Interval => operators::keys::interval_key_type(),
        PgType::Enum(_) => PgType::Int4,
        _ => PgType::Bytea,
    }
}

/// Aggregates that DataFusion computes as PostgreSQL does.
fn native(name: &str, call: &AggregateCall) -> SqlResult<Option<Resolved>> {
    Ok(match (name, call.args.as_slice()) {
        ("count", []) => Some(Resolved {
            udaf: count_udaf(),
            args: vec![lit(1i64)],
            distinct: false,
            ty: PgType::Int8,
        }),
        ("count", [arg]) => {
            let arg = match arg.ty {
                PgType::Unknown => casts::relabel_unknown(arg.clone()),
                _ => arg.clone(),
            };
            let key = if call.distinct { operators::grouping_key(&arg) } else { None };
            Some(Resolved {
                udaf: count_udaf(),
                args: vec![key.unwrap_or(arg.expr)],
                distinct: call.distinct,
                ty: PgType::Int8,
            })
        }
        ("count", args) => {
            let types: Vec<PgType> = args.iter().map(|arg| arg.ty.clone()).collect();
            return Err(undefined(name, &types));
        }
        ("min" | "max", [arg]) if is_natively_ordered(&arg.ty) => {
            let ty = match &arg.ty {
                PgType::Varchar(_) => PgType::Text,
                PgType::Bpchar(_) => PgType::Bpchar(None),
                PgType::Cidr => PgType::Inet,
                other => other.without_precision().clone(),
            };
            let udaf = if name == "min" { min_udaf() } else { max_udaf() };
            // DISTINCT changes nothing.
            Some(Resolved { udaf, args: vec![arg.expr.clone()], distinct: false, ty })
        }
        _ => None,
    })
}

/// Types with a min and max in PostgreSQL whose Arrow order is PostgreSQL's.
fn is_natively_ordered(ty: &PgType) -> bool {
    match ty.without_precision() {
        PgType::Int2
        | PgType::Int4
        | PgType::Int8
        | PgType::Text
        | PgType::Varchar(_)
        | PgType::Date
        | PgType::Time
        | PgType::Timestamp
        | PgType::Timestamptz
        | PgType::Oid
        | PgType::Inet
        | PgType::Cidr => true,
        // The display scale decides among equal numbers, which may be any of them.
        PgType::Numeric(_) => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests;
