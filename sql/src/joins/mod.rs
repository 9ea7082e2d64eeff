//! How plans join, sort and look through windows, at the coordinator and at the workers.
//!
//! Both lists are DataFusion's own rules with ours around them; the first keeps one side of a join
//! in memory and fails when it does not fit, the second goes to disk.

mod constants;
mod names;
mod shares;
mod spilling;
mod stoppable;
mod windows;

use std::sync::Arc;

use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_optimizer::optimizer::PhysicalOptimizer;
use datafusion::prelude::SessionConfig;

use crate::unnest_series::UnnestSeries;

type Rule = Arc<dyn PhysicalOptimizerRule + Send + Sync>;

/// A rule that answers aggregates from the number of rows and their bounds. Where an aggregate has
/// a FILTER it goes on to one further below, and takes that one's answer for this one's.
const MISTAKES_AN_AGGREGATE: &str = "aggregate_statistics";

/// Physical optimizer rules for joins with one side in memory.
pub fn in_memory_rules() -> Vec<Rule> {
    let mut rules: Vec<Rule> = Vec::new();
    let rules_of_the_engine = PhysicalOptimizer::new().rules.into_iter();
    for rule in rules_of_the_engine.filter(|rule| rule.name() != MISTAKES_AN_AGGREGATE) {
        if rule.name() == "EnsureRequirements" {
            rules.push(Arc::new(constants::HideConstants));
        }
        rules.push(match rule.name().starts_with("FilterPushdown") {
            true => Arc::new(names::UnlessAmbiguous(rule)),
            false => rule,
        });
    }
    rules.push(Arc::new(UnnestSeries));
    rules.push(Arc::new(windows::OnePartitionAtATime));
    rules.push(Arc::new(stoppable::StopBetweenBatches));
    rules
}

/// Rows of a batch where memory is short.
const SPILLING_BATCH_ROWS: usize = 512;
/// What a sort sets aside for merging what it has spilled, in bytes.
const MERGE_BYTES: usize = 1 << 20;

/// A configuration under which sorts get by with little memory.
pub fn spilling_config(config: SessionConfig) -> SessionConfig {
    config
        .with_batch_size(SPILLING_BATCH_ROWS)
        .with_sort_spill_reservation_bytes(MERGE_BYTES)
        .with_sort_in_place_threshold_bytes(MERGE_BYTES)
}

/// Physical optimizer rules for joins that spill. Ours stands first, where hash joins have no
/// projection inside yet and nobody relies on the order of their rows; a later rule adds the
/// sorts that the joins need, and the last one gives them memory.
pub fn spilling_rules() -> Vec<Rule> {
    let first: Rule = Arc::new(spilling::MergeInsteadOfHash);
    let last: Rule = Arc::new(shares::SharesForSorts);
    std::iter::once(first).chain(in_memory_rules()).chain([last]).collect()
}
