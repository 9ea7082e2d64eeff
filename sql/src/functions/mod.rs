//! PostgreSQL's functions over DataFusion's expressions.
//!
//! The binder asks by name and typed arguments and gets a typed expression:
//!
//! ```text
//! name, [Typed] -> library: candidates -> signature: choice -> casts: coerced arguments
//!                                                 -> a native expression, or a call of our own UDF
//! ```
//!
//! Operators ([`crate::operators`]) go the same way. Aggregates and window functions are in
//! [`crate::aggregates`].

pub mod arrays;
pub mod chain;
pub mod columns;
pub mod env;
pub mod error;
pub mod layout;
pub mod library;
pub mod records;
pub mod regex;
pub mod registry;
pub mod series;
pub mod session;
pub mod signature;
pub mod special;
pub mod table;
pub mod typed;
pub mod udf;
pub mod vector;

mod bytes;
mod date_templates;
mod datetime;
mod degrees;
mod enums;
mod hashes;
mod json;
mod jsonpath;
mod math;
mod network;
mod number_templates;
mod overlaps;
mod pgcrypto;
mod points;
mod regex_syntax;
mod sizes;
mod strings;
mod system;
mod unicode;
mod uuids;

use std::sync::Arc;

use satsuma_common::{PgType, SqlError, SqlResult, SqlState};

pub use env::{
    CatalogFunction, CatalogFunctions, FunctionEnv, Identity, ParameterTypes, Privileged,
    SequenceAccess, Settings,
};
pub use json::to_json;
pub use registry::{Registry, registry};
pub use session::{drawn_sequences, is_session_bound, object_name};
pub use strings::{quote_ident, quote_literal};
pub use system::{SERVER_VERSION, SERVER_VERSION_NUM, VERSION};
pub use table::{TableColumn, TableFunction, is_table, table};
pub use typed::Typed;

pub use crate::aggregates::{
    AggregateCall, OrderBy, WindowCall, aggregate, collect_array, is_aggregate, is_hypothetical,
    is_window, only_value, window,
};

use crate::casts::{self, CastKind};
use crate::value_size;
use library::{Body, Builder, Definition};
use signature::Choice;
use udf::PgScalar;

/// Adds every family to the library.
fn install(builder: &mut Builder) {
    casts::install(builder);
    math::install(builder);
    degrees::install(builder);
    hashes::install(builder);
    strings::install(builder);
    bytes::install(builder);
    datetime::install(builder);
    overlaps::install(builder);
    date_templates::install(builder);
    number_templates::install(builder);
    json::install(builder);
    jsonpath::install(builder);
    records::install(builder);
    network::install(builder);
    unicode::install(builder);
    uuids::install(builder);
    enums::install(builder);
    pgcrypto::install(builder);
    session::install(builder);
    system::install(builder);
    sizes::install(builder);
    special::install(builder);
    arrays::install(builder);
    regex::install(builder);
    table::install(builder);
    crate::operators::pattern::install(builder);
    crate::operators::quantified::install_functions(builder);
}

/// Calls the scalar function `name`; `None` if there is none of that name.
pub fn scalar(name: &str, args: Vec<Typed>, env: &FunctionEnv) -> SqlResult<Option<Typed>> {
    if special::is_special(name) {
        return special::call(name, args, env).map(Some);
    }
    if name == "row_to_json" {
        return match records::row_to_json(&args, env)? {
            Some(json) => Ok(Some(json)),
            None => {
                Err(undefined(name, &args.iter().map(|arg| arg.ty.clone()).collect::<Vec<_>>()))
            }
        };
    }
    if let ("pg_typeof", [Typed { ty: PgType::Unknown, .. }]) = (name, args.as_slice()) {
        let oid = satsuma_common::Datum::Oid(PgType::Unknown.oid());
        return Typed::constant(oid, PgType::Regtype).map(Some);
    }
    let args = records::json_arguments(name, args, env)?;
    let candidates = library::functions().named(name);
    let types: Vec<PgType> = args.iter().map(|arg| arg.ty.clone()).collect();
    match signature::choose_function(candidates, &types) {
        Choice::One(definition) => apply(&definition, false, args, env).map(Some),
        Choice::None => {
            if let Some(cast) = cast_by_name(name, &args, env)? {
                return Ok(Some(cast));
            }
            if candidates.is_empty() { Ok(None) } else { Err(undefined(name, &types)) }
        }
        Choice::Ambiguous => Err(SqlError::new(
            SqlState::AMBIGUOUS_FUNCTION,
            format!("function {} is not unique", call_text(name, &types)),
        )
        .hint(
            "Could not choose a best candidate function. You might need to add explicit type \
             casts.",
        )),
    }
}

/// Calls the scalar function `name` with an array for its variadic arguments; `None` if there is
/// none of that name that takes any.
pub fn variadic(name: &str, args: Vec<Typed>, env: &FunctionEnv) -> SqlResult<Option<Typed>> {
    let takes = |definition: &&Arc<Definition>| {
        let signature = &definition.signature;
        signature.variadic && signature.parameters.len() == args.len()
    };
    let mut candidates = library::functions().named(name).iter().filter(takes);
    let (Some(definition), Some(last)) = (candidates.next(), args.last()) else { return Ok(None) };
    let signature = &definition.signature;
    let element = match (&last.ty, signature.parameters.last()) {
        (_, Some(signature::Pattern::Exact(element))) => element.clone(),
        (PgType::Array(element), _) => element.as_ref().clone(),
        _ => {
            return Err(SqlError::new(
                SqlState::DATATYPE_MISMATCH,
                "VARIADIC argument must be an array",
            ));
        }
    };
    let mut types: Vec<PgType> = args.iter().map(|arg| arg.ty.clone()).collect();
    if let Some(last) = types.last_mut() {
        *last = element;
    }
    let (mut parameters, result) =
        signature.resolve(&types).ok_or_else(|| undefined(name, &types))?;
    if let Some(last) = parameters.last_mut() {
        *last = PgType::Array(Box::new(last.clone()));
    }
    let exprs = args
        .into_iter()
        .zip(&parameters)
        .map(|(arg, parameter)| Ok(casts::coerce_argument(arg, parameter, env)?.expr))
        .collect::<SqlResult<Vec<_>>>()?;
    if definition.uses_settings {
        env.note_session_dependence();
    }
    let call = PgScalar::spreading(definition.clone(), parameters, result.clone());
    Ok(Some(Typed { expr: udf::call_of(call, exprs, &env.settings), ty: result }))
}

/// Adds the operators of the families whose functions are here.
pub(crate) fn install_operators(builder: &mut Builder) {
    arrays::install_operators(builder);
    regex::install_operators(builder);
    strings::install_operators(builder);
    bytes::install_operators(builder);
    json::install_operators(builder);
    jsonpath::install_operators(builder);
    network::install_operators(builder);
    points::install_operators(builder);
}

/// Whether there is any function of that name: scalar, aggregate, window or set-returning.
pub fn is_known(name: &str) -> bool {
    special::is_special(name)
        || name == "row_to_json"
        || !library::functions().named(name).is_empty()
        || is_aggregate(name)
        || is_window(name)
        || is_table(name)
}

/// `int4('5')`, `text(x)`: a type's name as a function is a cast.
fn cast_by_name(name: &str, args: &[Typed], env: &FunctionEnv) -> SqlResult<Option<Typed>> {
    let ([arg], Some(ty)) = (args, PgType::parse_name(name)) else { return Ok(None) };
    let ty = ty.without_modifier();
    let by_input = arg.ty == PgType::Unknown || arg.ty.is_string() || ty.is_string();
    if by_input && !matches!(ty, PgType::Array(_))
        || casts::can_coerce(&arg.ty, &ty, CastKind::Explicit)
    {
        return casts::cast(arg.clone(), &ty, CastKind::Explicit, env).map(Some);
    }
    Ok(None)
}

/// Coerces the arguments and builds the expression that `definition` stands for.
pub(crate) fn apply(
    definition: &Arc<Definition>,
    operator: bool,
    args: Vec<Typed>,
    env: &FunctionEnv,
) -> SqlResult<Typed> {
    let types: Vec<PgType> = args.iter().map(|arg| arg.ty.clone()).collect();
    let signature = &definition.signature;
    let (parameters, result) =
        signature.resolve(&types).ok_or_else(|| undefined(&signature.name, &types))?;
    let args = args
        .into_iter()
        .zip(&parameters)
        .map(|(arg, parameter)| casts::coerce_argument(arg, parameter, env))
        .collect::<SqlResult<Vec<_>>>()?;
    match &definition.body {
        Body::Rewrite(body) => {
            let is_literal =
                |arg: &Typed| matches!(arg.expr, datafusion::logical_expr::Expr::Literal(..));
            let asked: Vec<Typed> = args.iter().filter(|arg| !is_literal(arg)).cloned().collect();
            let value = body(args, &result, env)?;
            if asked.is_empty() || !is_literal(&value) {
                return Ok(value);
            }
            // Known from the types alone: the arguments count as part of the query all the same.
            call_known(system::KNOWN, std::iter::once(value).chain(asked).collect(), env)
        }
        Body::Row(_) | Body::Columns(_) => {
            if definition.uses_settings {
                env.note_session_dependence();
            }
            let exprs = args.into_iter().map(|arg| arg.expr).collect();
            let expr = udf::call_expr(
                definition,
                operator,
                parameters,
                result.clone(),
                exprs,
                &env.settings,
            );
            Ok(Typed { expr, ty: result })
        }
    }
}

/// Calls the definition with this very signature: for rewrites that end in another function.
pub(crate) fn call_known(key: &str, args: Vec<Typed>, env: &FunctionEnv) -> SqlResult<Typed> {
    let definition =
        library::functions().by_key(key).ok_or_else(|| error::unexpected_value(key))?;
    apply(definition, false, args, env)
}

/// Like [`call_known`], with arguments that are of the right types already: the call remembers
/// their modifiers.
pub(crate) fn call_as_is(key: &str, args: Vec<Typed>, env: &FunctionEnv) -> SqlResult<Typed> {
    let definition =
        library::functions().by_key(key).ok_or_else(|| error::unexpected_value(key))?;
    let (types, exprs): (Vec<_>, Vec<_>) = args.into_iter().map(|arg| (arg.ty, arg.expr)).unzip();
    let (_, result) =
        definition.signature.resolve(&types).ok_or_else(|| error::unexpected_value(key))?;
    let expr = udf::call_expr(definition, false, types, result.clone(), exprs, &env.settings);
    Ok(Typed { expr, ty: result })
}

/// `name(integer, text)`.
pub fn call_text(name: &str, types: &[PgType]) -> String {
    let types: Vec<String> = types.iter().map(|ty| ty.without_modifier().to_string()).collect();
    format!("{name}({})", types.join(", "))
}

/// Functions of PostgreSQL about what one server has and a cluster has not: a log, numbers of
/// transactions in the order they began.
const OF_ONE_SERVER: [&str; 19] = [
    "pg_current_snapshot",
    "pg_current_wal_flush_lsn",
    "pg_current_wal_insert_lsn",
    "pg_current_wal_lsn",
    "pg_export_snapshot",
    "pg_last_wal_receive_lsn",
    "pg_last_wal_replay_lsn",
    "pg_last_xact_replay_timestamp",
    "pg_snapshot_xip",
    "pg_snapshot_xmax",
    "pg_snapshot_xmin",
    "pg_switch_wal",
    "pg_visible_in_snapshot",
    "pg_wal_lsn_diff",
    "pg_walfile_name",
    "txid_current_snapshot",
    "txid_snapshot_xmax",
    "txid_snapshot_xmin",
    "txid_visible_in_snapshot",
];

/// 42883 as PostgreSQL says it, 0A000 of what is known not to be here.
pub fn undefined(name: &str, types: &[PgType]) -> SqlError {
    if OF_ONE_SERVER.contains(&name) {
        return SqlError::unsupported(format!("function {name} is not supported"))
            .hint("Each worker has a log of its own, and transactions are ordered by timestamps.");
    }
    SqlError::new(
        SqlState::UNDEFINED_FUNCTION,
        format!("function {} does not exist", call_text(name, types)),
    )
    .hint(
        "No function matches the given name and argument types. You might need to add explicit \
         type casts.",
    )
}

/// The part of a UDF's name that people know: `lower` of `lower(text)`, `+` of
/// `operator +(int4,int4)`. Other names are returned as they are.
pub fn display_name(udf: &str) -> &str {
    let name = udf.strip_prefix("operator ").unwrap_or(udf);
    let name = name.strip_prefix("variadic ").unwrap_or(name);
    name.split_once('(').map_or(name, |(name, _)| name)
}

/// A call of ours whose arguments are all constants, evaluated; anything else, and a call that
/// fails, as it is.
pub(crate) fn fold_constant(
    expr: datafusion::logical_expr::Expr,
) -> datafusion::logical_expr::Expr {
    use datafusion::logical_expr::{ColumnarValue, Expr, Volatility};
    let Expr::ScalarFunction(call) = &expr else { return expr };
    let Some(own) = call.func.inner().downcast_ref::<udf::PgScalar>() else { return expr };
    if own.definition().volatility == Volatility::Volatile {
        return expr;
    }
    let mut values = Vec::with_capacity(call.args.len());
    for arg in &call.args {
        let Expr::Literal(scalar, _) = arg else { return expr };
        values.push(ColumnarValue::Scalar(scalar.clone()));
    }
    match value_size::planning(|| own.call(&values, 1)) {
        Ok(ColumnarValue::Scalar(scalar)) => typed::literal(scalar, own.result()),
        _ => expr,
    }
}

#[cfg(test)]
pub(crate) mod tests;
