//! The binder: from a parsed statement to a [`Bound`] one, by PostgreSQL's rules.
//!
//! ```text
//! Parsed ──▶ statement ──▶ query ──▶ from ─▶ where ─▶ group ─▶ window ─▶ project ─▶ order ─▶ limit
//!                │           └ set operations, VALUES, WITH
//!                └ insert, update, delete, copy, call, explain, utility
//! ```
//!
//! Expressions become DataFusion's, each with its PostgreSQL type beside it ([`Typed`]). Which
//! operator, function or cast a name means is decided in `operators`, `functions` and `casts`;
//! here is what they are applied to.
//!
//! Invariants:
//! - Every column name in a plan is unique in the statement (see [`scope`]).
//! - No plan leaves here with a subquery expression or an outer reference in it: subqueries
//!   are joins (see [`subquery`] and [`decorrelate`]).
//! - A [`BoundQuery`]'s plan yields exactly its columns, in order.

mod aggregate_level;
mod binder;
mod call;
mod clause;
mod collation;
mod copy;
mod cte;
mod decorrelate;
mod dml;
mod explain;
mod expr;
mod from;
mod from_function;
mod group;
mod kept_query;
mod lists;
mod names;
mod naming;
mod plan;
mod privileges;
mod query;
mod record_function;
mod recursion;
mod row_locks;
mod scope;
mod search_cycle;
mod select;
mod sequence_relation;
mod setop;
mod settled;
mod stars;
mod statement;
mod subquery;
mod types;
mod window;
mod window_distance;

use std::sync::Arc;

use datafusion::common::ScalarValue;
use datafusion::logical_expr::Expr;
use satsuma_common::{PgType, SqlResult};
use sqlparser::ast;

use crate::bound::{Bound, BoundQuery, OutputColumn};
use crate::casts::{self, CastKind};
use crate::catalog_view::CatalogView;
use crate::functions::{FunctionEnv, Typed};
use crate::parse::{Parsed, Source};

pub use call::is_cluster_function;
pub use collation::{check_collatable, check_collation};
pub use names::{NAME_BYTES, cut, fold, last as last_name, qualified as qualified_name};
pub use naming::output_name;
use scope::ScopeColumn;
pub use settled::{settle_literals, settle_query};
pub use stars::expand_stars;
pub use types::data_type;

/// What a statement is bound against.
pub struct BindContext<'a> {
    pub catalog: &'a dyn CatalogView,
    pub env: &'a FunctionEnv,
    /// Types that the client declared for `$1`, `$2`, ...; `None` is left to inference. Without
    /// the list the statement has no parameters.
    pub param_types: Option<&'a [Option<PgType>]>,
    /// Values of the parameters where the statement is bound to be executed; empty before.
    pub param_values: &'a [ScalarValue],
}

/// Binds a statement. Gives the types of its parameters beside it.
pub fn bind(parsed: &Parsed, context: &BindContext<'_>) -> SqlResult<(Bound, Vec<PgType>)> {
    bind_with(&binder::Binder::new(context, parsed.source.clone()), parsed)
}

/// Binds a query for a place where nothing can be done before it; `None` when it does more than
/// read.
pub fn bind_query(parsed: &Parsed, context: &BindContext<'_>) -> SqlResult<Option<BoundQuery>> {
    let binder = binder::Binder::new(context, parsed.source.clone());
    query_alone(&binder, parsed)
}

/// The same of a query that is to be stored, of which it does not matter yet who may read what it
/// reads.
pub fn bind_stored_query(
    parsed: &Parsed,
    context: &BindContext<'_>,
) -> SqlResult<Option<BoundQuery>> {
    let mut binder = binder::Binder::new(context, parsed.source.clone());
    binder.checks_access = false;
    query_alone(&binder, parsed)
}

fn query_alone(binder: &binder::Binder<'_>, parsed: &Parsed) -> SqlResult<Option<BoundQuery>> {
    binder.keeps_queries.set(false);
    Ok(match bind_with(binder, parsed)?.0 {
        Bound::Query(query) => Some(query),
        _ => None,
    })
}

/// The same rows in the types that users see: what is computed loses its modifier.
pub fn in_declared_types(query: BoundQuery, env: &FunctionEnv) -> SqlResult<BoundQuery> {
    let mut exprs = Vec::with_capacity(query.columns.len());
    let mut columns = Vec::with_capacity(query.columns.len());
    for (column, read) in query.columns.into_iter().zip(query.plan.schema().columns()) {
        let ty = column.declared_type();
        let value = Typed::new(Expr::Column(read.clone()), column.ty.clone());
        exprs.push(match ty == column.ty {
            true => value.expr,
            false => casts::cast(value, &ty, CastKind::Explicit, env)?.expr.alias(read.name),
        });
        columns.push(OutputColumn { ty, ..column });
    }
    Ok(BoundQuery { plan: plan::project(query.plan, exprs)?, columns })
}

fn bind_with(binder: &binder::Binder<'_>, parsed: &Parsed) -> SqlResult<(Bound, Vec<PgType>)> {
    let run = || {
        let bound = binder.statement(&parsed.statement)?;
        let parameters = binder.finish_parameters()?;
        Ok((bound, parameters))
    };
    // Long texts may nest deeply; the short ones of the key path stay on the caller's stack.
    if parsed.text.len() < LONG_TEXT_BYTES { run() } else { stacker::grow(DEEP_STACK_BYTES, run) }
}

const LONG_TEXT_BYTES: usize = 512;
const DEEP_STACK_BYTES: usize = 64 << 20;

/// A column that a CHECK, DEFAULT or generated expression may name.
#[derive(Clone, Debug)]
pub struct ExpressionColumn {
    pub name: String,
    pub ty: PgType,
}

/// What an expression is for: decides what it may contain and the errors that say so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExpressionUse {
    /// A condition: boolean.
    Check,
    Default,
    Generated,
    /// The new value of a column whose type changes.
    Using,
    Index,
    IndexPredicate,
}

/// Binds an expression of a table definition over the table's columns, which it names without
/// qualifier: `Expr::Column`s without relation. With `to`, the value is cast as an assignment.
pub fn check_expression(
    text: &str,
    columns: &[ExpressionColumn],
    usage: ExpressionUse,
    to: Option<&PgType>,
    context: &BindContext<'_>,
) -> SqlResult<(Expr, PgType)> {
    let (parsed, source) = crate::parse::parse_expression(text)?;
    let binder = binder::Binder::new(context, source);
    binder.table_expression(&parsed, columns, usage, to)
}

/// As [`check_expression`], of an expression that is parsed already, from `source`.
pub fn check_parsed_expression(
    expr: &ast::Expr,
    columns: &[ExpressionColumn],
    usage: ExpressionUse,
    to: Option<&PgType>,
    context: &BindContext<'_>,
    source: &Arc<Source>,
) -> SqlResult<(Expr, PgType)> {
    let binder = binder::Binder::new(context, source.clone());
    binder.table_expression(expr, columns, usage, to)
}

#[cfg(test)]
mod tests;
