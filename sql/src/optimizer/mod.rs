//! How logical plans are rewritten: DataFusion's rules in their order, without what some of them
//! get wrong.
//!
//! ```text
//! null_safe_conditions -> DataFusion's rules, some of them kept off certain plans -> null_safe_keys
//! ```
//!
//! A join has one notion of NULL for all of its keys, and rules that add keys or merge joins do
//! not look at it. So between the first and the last rule there are no joins whose keys take NULLs
//! for equal: only conditions that say `IS NOT DISTINCT FROM`. Before rules that drop what other
//! columns determine, schemas are told what is true of that ([`own_keys`]). Tests of patterns that
//! the engine would take for others are calls of our own ([`patterns`]).

mod equality_keys;
mod null_safe;
mod own_keys;
mod patterns;
mod unless;

use std::sync::Arc;

use datafusion::logical_expr::{Expr, LogicalPlan};
use datafusion::optimizer::{Optimizer, OptimizerRule};
use datafusion::prelude::SessionConfig;

use equality_keys::EqualityKeys;
use null_safe::{NullSafeConditions, NullSafeKeys};
use own_keys::OwnKeys;
use patterns::Patterns;
use unless::Unless;

type Rule = Arc<dyn OptimizerRule + Send + Sync>;

/// Logical optimizer rules, for coordinator and workers alike.
pub fn rules() -> Vec<Rule> {
    let first: [Rule; 2] = [Arc::new(NullSafeConditions), Arc::new(Patterns)];
    let last: [Rule; 2] = [Arc::new(Patterns), Arc::new(NullSafeKeys)];
    let between = Optimizer::new().rules.into_iter().flat_map(|rule| match rule.name() {
        "extract_equijoin_predicate" => vec![Arc::new(EqualityKeys) as Rule],
        "push_down_filter" => vec![Arc::new(Unless::new(rule, filters_whole_aggregate)) as Rule],
        "replace_distinct_aggregate"
        | "eliminate_join"
        | "eliminate_duplicated_expr"
        | "optimize_projections" => vec![Arc::new(OwnKeys) as Rule, rule],
        _ => vec![rule],
    });
    first.into_iter().chain(between).chain(last).collect()
}

/// A configuration under which an aggregate does not compare the fields that its input was planned
/// with to those that its physical plan has. Their metadata, which names PostgreSQL's types to
/// the binder, follows other rules in physical unions and casts, and nobody reads it there.
pub fn without_schema_check(mut config: SessionConfig) -> SessionConfig {
    config.options_mut().execution.skip_physical_aggregate_schema_check = true;
    config
}

/// Whether this is a filter over an aggregate that has a row even of no rows. A condition without
/// columns would go below, as one on keys does, and no longer take that row away.
fn filters_whole_aggregate(plan: &LogicalPlan) -> bool {
    let LogicalPlan::Filter(filter) = plan else { return false };
    match filter.input.as_ref() {
        LogicalPlan::Aggregate(aggregate) => {
            aggregate.group_expr.is_empty()
                || matches!(aggregate.group_expr.as_slice(), [Expr::GroupingSet(_)])
        }
        below => filters_whole_aggregate(below),
    }
}

#[cfg(test)]
mod tests;
