//! Types that only signatures of functions have.

/// A pseudo-type, or a type of PostgreSQL's insides: no column is of it, and no value.
#[derive(Debug)]
pub struct PseudoType {
    pub oid: u32,
    /// `pg_type.typname`.
    pub name: &'static str,
    /// What `format_type` says.
    pub sql_name: &'static str,
    /// `pg_type.typlen`.
    pub len: i16,
    /// Functions of input, output, receiving and sending; 0 for none.
    pub io: [u32; 4],
}

const fn pseudo(oid: u32, name: &'static str, len: i16, io: [u32; 4]) -> PseudoType {
    PseudoType { oid, name, sql_name: name, len, io }
}

/// int2vector and oidvector, which only columns of the catalogs are of: to expressions they are
/// arrays. The type, that of its elements, and that of arrays of it.
pub const VECTORS: [(PseudoType, u32, u32); 2] = [
    (pseudo(22, "int2vector", -1, [40, 41, 2410, 2411]), 21, 1006),
    (pseudo(30, "oidvector", -1, [54, 55, 2420, 2421]), 26, 1013),
];

/// The pseudo-types that are no [`PgType`](super::PgType).
pub const PSEUDO_TYPES: &[PseudoType] = &[
    pseudo(2275, "cstring", -2, [2292, 2293, 2500, 2501]),
    PseudoType { oid: 2276, name: "any", sql_name: "\"any\"", len: 4, io: [2294, 2295, 0, 0] },
    pseudo(2277, "anyarray", -1, [2296, 2297, 2502, 2503]),
    pseudo(2281, "internal", 8, [2304, 2305, 0, 0]),
    pseudo(2283, "anyelement", 4, [2312, 2313, 0, 0]),
    pseudo(2776, "anynonarray", 4, [2777, 2778, 0, 0]),
    pseudo(3500, "anyenum", 4, [3504, 3505, 0, 0]),
    pseudo(5077, "anycompatible", 4, [5086, 5087, 0, 0]),
    pseudo(5078, "anycompatiblearray", -1, [5088, 5089, 5090, 5091]),
    pseudo(5079, "anycompatiblenonarray", 4, [5092, 5093, 0, 0]),
];

fn all() -> impl Iterator<Item = &'static PseudoType> {
    static KNOWN: &[(PseudoType, u32, u32)] = &VECTORS;
    PSEUDO_TYPES.iter().chain(KNOWN.iter().map(|(ty, ..)| ty))
}

impl PseudoType {
    pub fn by_oid(oid: u32) -> Option<&'static Self> {
        all().find(|ty| ty.oid == oid)
    }

    /// By `typname`, or as SQL writes it.
    pub fn by_name(name: &str) -> Option<&'static Self> {
        all().find(|ty| ty.name == name || ty.sql_name == name)
    }
}
