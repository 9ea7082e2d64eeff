//! Fragments: from bytes to one stream of batches.
//!
//! ```text
//! bytes -> Template (decoded, optimised, once) -> a plan per group -> batches of all groups
//! ```

mod bind;
mod explain;
mod index_join;
mod index_scan;
mod input;
pub(crate) mod pruning;
mod run;
mod runtime;
mod shard_scan;
mod shard_table;
mod spool;

pub(crate) use bind::{Joins, Source, Template};
pub(crate) use explain::render;
pub(crate) use input::InputRows;
pub(crate) use run::{Execution, panicked};
pub(crate) use runtime::QueryRuntime;
pub(crate) use spool::Spools;
