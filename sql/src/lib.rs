//! The SQL dialect that coordinator and worker share: from text to a bound statement.
//!
//! One door: [`bind::bind`] takes a parsed statement, a view of the catalog and the session's
//! settings, and gives a [`bound::Bound`]. Everything that users call "PostgreSQL" is decided
//! there: names, types, implicit casts, operators, overflow, output names, error positions.
//! Nothing here does I/O or knows where rows live.

#[macro_use]
mod by_name;

pub mod aggregates;
pub mod bind;
pub mod bound;
pub mod casts;
pub mod catalog_view;
pub mod codec;
pub mod declared;
pub mod deparse;
pub mod effects;
pub mod engine_error;
pub mod explain;
pub mod functions;
pub mod interrupt;
pub mod joins;
mod known_value;
pub mod lift;
pub mod lock_rows;
pub mod memory;
pub mod operators;
pub mod optimizer;
mod outline;
pub mod parse;
pub mod recent;
pub mod row_checks;
pub mod row_counts;
pub mod split_aggregate;
pub mod table;
mod unnest_series;
pub mod value_size;
