//! What PostgreSQL says of its functions, operators and types, read from `descriptions.txt`.

use std::collections::BTreeMap;
use std::sync::LazyLock;

const WRITTEN: &str = include_str!("descriptions.txt");

static FUNCTIONS: LazyLock<BTreeMap<u32, &'static str>> = LazyLock::new(|| read("f"));
static OPERATORS: LazyLock<BTreeMap<u32, &'static str>> = LazyLock::new(|| read("o"));
static TYPES: LazyLock<BTreeMap<u32, &'static str>> = LazyLock::new(|| read("t"));

/// By the oids of functions.
pub fn of_functions() -> &'static BTreeMap<u32, &'static str> {
    &FUNCTIONS
}

/// By the oids of operators.
pub fn of_operators() -> &'static BTreeMap<u32, &'static str> {
    &OPERATORS
}

/// By the oids of types.
pub fn of_types() -> &'static BTreeMap<u32, &'static str> {
    &TYPES
}

/// `f 870 lowercase`: the kind, the oid, the text.
fn read(kind: &str) -> BTreeMap<u32, &'static str> {
    let read = |line: &'static str| {
        let (own, rest) = line.split_once(' ')?;
        let (oid, text) = rest.split_once(' ')?;
        (own == kind).then_some((oid.parse().ok()?, text))
    };
    WRITTEN.lines().filter_map(read).collect()
}
