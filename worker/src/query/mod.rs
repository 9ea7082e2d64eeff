//! Fragments: from bytes to one stream of batches.
//!
//! ```text
//! bytes -> Template (decoded, optimised, once) -> plan over all groups' shards -> batches
//!                                              -> plan per group, where joins are large
//! ```
//!
//! A group's rows depend on the distribution column alone, so that a fragment gives the same rows
//! whether it runs on each group or on the union of several.

mod bind;
mod condition;
mod explain;
mod groups;
mod index_join;
mod index_scan;
mod input;
mod network_join;
mod pairs;
pub(crate) mod pruning;
mod report;
mod run;
mod runtime;
mod shard_scan;
mod shard_table;
mod spool;
mod templates;

pub(crate) use bind::{Joins, Source, Template};
pub(crate) use explain::render;
pub(crate) use input::InputRows;
pub(crate) use report::Reporter;
pub(crate) use run::{Execution, panicked};
pub(crate) use runtime::QueryRuntime;
pub(crate) use shard_table::ShardTable;
pub(crate) use spool::Spools;
