//! Functions as catalogs show them: `pg_proc`, and what `regproc` and its relatives print and read.
//! Those that SQL can call are declared in [`satsuma_sql::declared`].
//!
//! | file | what |
//! |---|---|
//! | `casts` | `pg_cast` |
//! | `internal` | functions that catalogs refer to: input and output of types, access methods, operators |
//! | `names` | names of functions and their arguments, read and printed |
//! | `operators` | `pg_operator`, |
//! | `show` | arguments and results as `\df` shows them |
//! | `tables` | the rows of `pg_proc`, `pg_aggregate` and the views over them |

mod casts;
mod internal;
mod names;
mod operators;
mod show;
mod tables;

use std::collections::BTreeMap;
use std::sync::LazyLock;

use satsuma_sql::declared::{self, Kind, Mode, Parameter, Procedure, type_oid};

pub use names::{function_by_signature, function_name, function_named, function_with_arguments};
pub(super) use show::{arguments, default_of_argument, definition, identity_arguments, result};
pub(super) use tables::fill;

/// What is made of functions.
pub(super) fn fill_operators(name: &str) -> Option<super::Fill> {
    operators::fill(name).or_else(|| casts::fill(name))
}

/// All of them.
struct Procedures {
    by_oid: BTreeMap<u32, Procedure>,
    by_name: BTreeMap<String, Vec<u32>>,
}

static ALL: LazyLock<Procedures> = LazyLock::new(|| {
    // What SQL can call is declared in full.
    let all = internal::functions().into_iter().chain(declared::functions());
    let by_oid: BTreeMap<u32, Procedure> =
        all.map(|procedure| (procedure.oid, procedure)).collect();
    let mut by_name: BTreeMap<String, Vec<u32>> = BTreeMap::new();
    for procedure in by_oid.values() {
        by_name.entry(procedure.name.clone()).or_default().push(procedure.oid);
    }
    Procedures { by_oid, by_name }
});

pub fn by_oid(oid: u32) -> Option<&'static Procedure> {
    ALL.by_oid.get(&oid)
}

fn all() -> impl Iterator<Item = &'static Procedure> {
    ALL.by_oid.values()
}

fn named(name: &str) -> impl Iterator<Item = &'static Procedure> {
    ALL.by_name.get(name).into_iter().flatten().filter_map(|oid| by_oid(*oid))
}

#[cfg(test)]
mod tests;
