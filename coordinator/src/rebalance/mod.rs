//! Where shard groups are, and how that changes while they are used.
//!
//! ```text
//! plan    catalog, sizes -> moves                 a pure function
//! step    a move's state, what happened -> what to do next      pure
//! drive   does it: at the leader, resumed by the next one
//! leader  starts drivers and jobs, compares workers with the catalog
//! strays  which of the shards that are no table's nobody can need
//! ```
//!
//! The catalog says how far a move has come; what is not in it can be found out again or done
//! again. Three things keep a move from losing or doubling a row, whoever dies when:
//!
//! - The source stops serving, durably, before the catalog names the target (the *fence*), and the
//!   target has every record of the source by then.
//! - A fence is a generation that no catalog has given out. A driver that takes over raises the
//!   catalog's generation above it, so that a request says which attempt it belongs to.
//! - The catalog refuses the steps of a driver that has been replaced.

mod drive;
mod leader;
mod plan;
mod reconcile;
mod step;
mod strays;

pub use leader::{
    MOVES_PER_NODE, copy_references, missing_references, run, settle, start_move, wait_for_job,
    wait_for_move,
};
pub use plan::{Planned, Strategy, Wanted, plan};

#[cfg(test)]
mod tests;
