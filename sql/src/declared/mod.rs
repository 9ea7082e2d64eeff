//! Functions and operators as they are declared: what catalogs list, and what a stored expression
//! is printed by.
//!
//! `functions.txt`, `operators.txt` and `casts.txt` have those of PostgreSQL 15 that can be called here, with
//! its oids and its declarations, and those of Citus and of Satsuma itself. How they are computed
//! is with their families (see [`crate::functions`]); a test of the coordinator's compares both.

mod cast;
pub mod description;
mod function;
mod operator;

pub use cast::{Cast, casts};
pub use function::{Kind, Mode, Parameter, Procedure, functions};
pub use operator::{Operator, operators};

use satsuma_common::PgType;
use satsuma_common::types::PseudoType;

/// The oid of a type by its `typname`, 0 for none.
pub fn type_oid(name: &str) -> u32 {
    if let Some(pseudo) = PseudoType::by_name(name) {
        return pseudo.oid;
    }
    let ty = match name {
        // The bare word is char(1).
        "\"char\"" => Some(PgType::Char),
        "_\"char\"" => Some(PgType::Array(Box::new(PgType::Char))),
        _ => PgType::parse_name(name),
    };
    ty.map_or(0, |ty| ty.oid())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_line_is_understood() {
        let lines: Vec<&str> = function::lines().collect();
        for line in &lines {
            assert!(function::parse(line).is_some(), "{line}");
        }
        let oids: BTreeSet<u32> = functions().iter().map(|function| function.oid).collect();
        assert_eq!(oids.len(), lines.len(), "oids are unique");
        let all: Vec<Operator> = operators().collect();
        let oids: BTreeSet<u32> = all.iter().map(|operator| operator.oid).collect();
        assert_eq!(oids.len(), all.len(), "oids are unique");
        assert_eq!(all.len(), operator::count(), "every operator is understood");
    }
}
