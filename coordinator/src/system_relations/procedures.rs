//! Names of PostgreSQL's internal functions that catalogs refer to: what `regproc` shows.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use satsuma_common::{Oid, PgType};

use super::relations::ACCESS_METHODS;
use super::types::{IO_SUFFIXES, io_functions, modifier_functions};

/// Types whose functions are called `date_in`, not `datein`.
const SEPARATED: [&str; 16] = [
    "array",
    "cidr",
    "date",
    "enum",
    "inet",
    "interval",
    "json",
    "jsonb",
    "numeric",
    "point",
    "record",
    "time",
    "timestamp",
    "timestamptz",
    "uuid",
    "void",
];

/// By what subscripts of arrays are resolved.
const ARRAY_SUBSCRIPT_HANDLER: (u32, &str) = (6179, "array_subscript_handler");
const ARRAY_ANALYZE: (u32, &str) = (3816, "array_typanalyze");

struct Procedures {
    by_oid: BTreeMap<u32, String>,
    by_name: BTreeMap<String, u32>,
}

static ALL: LazyLock<Procedures> = LazyLock::new(|| {
    let mut by_oid = BTreeMap::new();
    let array = PgType::Array(Box::new(PgType::Text));
    let named = PgType::builtin().map(|ty| (ty.name(), ty));
    let others = [("array".to_owned(), array), ("enum".to_owned(), PgType::Enum(Oid(0)))];
    for (name, ty) in named.chain(others) {
        let separator = if SEPARATED.contains(&name.as_str()) { "_" } else { "" };
        for (suffix, oid) in IO_SUFFIXES.iter().zip(io_functions(&ty)) {
            by_oid.insert(oid, format!("{name}{separator}{suffix}"));
        }
        for (suffix, oid) in ["typmodin", "typmodout"].iter().zip(modifier_functions(&ty)) {
            by_oid.insert(oid, format!("{name}{suffix}"));
        }
    }
    for (_, _, _, oid, handler) in ACCESS_METHODS {
        by_oid.insert(*oid, (*handler).to_owned());
    }
    for (oid, name) in [ARRAY_SUBSCRIPT_HANDLER, ARRAY_ANALYZE] {
        by_oid.insert(oid, name.to_owned());
    }
    // Types without functions have 0 for them.
    by_oid.remove(&0);
    let by_name = by_oid.iter().map(|(oid, name)| (name.clone(), *oid)).collect();
    Procedures { by_oid, by_name }
});

pub fn procedure_name(oid: u32) -> Option<&'static str> {
    ALL.by_oid.get(&oid).map(String::as_str)
}

pub fn procedure_oid(name: &str) -> Option<u32> {
    ALL.by_name.get(name).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_oids_agree() {
        for (oid, name) in [
            (1242, "boolin"),
            (1312, "timestamp_in"),
            (2401, "array_send"),
            (3506, "enum_in"),
            (2917, "numerictypmodin"),
            (330, "bthandler"),
        ] {
            assert_eq!(procedure_name(oid), Some(name));
            assert_eq!(procedure_oid(name), Some(oid));
        }
        assert_eq!(ALL.by_name.len(), ALL.by_oid.len());
        assert_eq!((procedure_name(0), procedure_oid("no_such")), (None, None));
    }
}
