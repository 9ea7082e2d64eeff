//! Sessions that step on each other's toes, as text: PostgreSQL's isolation tester with its own
//! answers beside the steps.
//!
//! ```text
//! tables: account by id               Satsuma places these tables: local, distributed, reference
//! setup: CREATE TABLE account (...)   runs before every case
//!
//! case: a lost update is not lost
//! a: BEGIN                            one session's statement
//! a: UPDATE account SET v = v + 1
//! | UPDATE 2                          what it answers: rows, tag or error
//! b: UPDATE account SET v = v + 1
//! | waits                             it waits for a lock that another session holds
//! a: COMMIT
//! | b: UPDATE 2                       what a session that waited answers now
//! ```
//!
//! `only: distributed, ...` (or `postgres`) restricts a case to placements; `differs: reason`
//! means that PostgreSQL answers something else. Rows are `a,b`; the tags of BEGIN, COMMIT and
//! their like are not shown.

mod run;
mod script;

pub use run::{Problem, run};
pub use script::{Case, Script, Step};

use crate::differential::Placement;

/// Where a case runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    Postgres,
    Satsuma(Placement),
}

impl Place {
    pub const ALL: [Self; 4] = [
        Self::Postgres,
        Self::Satsuma(Placement::Local),
        Self::Satsuma(Placement::Distributed),
        Self::Satsuma(Placement::Reference),
    ];

    pub fn name(self) -> &'static str {
        match self {
            Self::Postgres => "postgres",
            Self::Satsuma(placement) => placement.name(),
        }
    }
}
