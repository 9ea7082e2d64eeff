//! The key path: statements on single rows by primary key, without a plan.
//!
//! ```text
//! bound statement --recognise--> KeyStatement      once, kept with the prepared statement
//! KeyStatement + parameters --> key, hash --> shard group --> owner --> row
//! ```
//!
//! A statement is recognised by its bound form, so that names, types, casts and errors are those
//! of the general path; only how it is run differs. What is recognised:
//!
//! - SELECT of columns, UPDATE and DELETE with a value for each column of the primary key (the
//!   distribution column is one of them) and no other condition;
//! - INSERT of VALUES.
//!
//! Pure, but for the numbers that programs get. What is not here: the transaction around it and
//! the retries, which are the session's, and the rows, which are the worker's.

mod cell;
mod programs;
mod recognise;
mod statement;
#[cfg(test)]
mod tests;

pub use cell::{Cell, Values};
pub(crate) use cell::{needs_plan, strip_alias};
pub use programs::{Programs, SharedProgram};
pub use recognise::recognise;
pub use statement::{Asked, KeyAction, KeyStatement, KeyTable, Returned, Target};
