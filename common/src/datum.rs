//! One SQL value.

use crate::types::PgType;

pub use crate::inet::Inet;
pub use crate::numeric::Numeric;

/// A value of some [`PgType`]. The variant follows the type's Arrow layout (see
/// [`crate::arrow_types`]), so several types share one variant: every string type is `Text`,
/// `oid` and the `reg*` types are `Oid`.
#[derive(Clone, Debug, PartialEq)]
pub enum Datum {
    Null,
    Bool(bool),
    Int2(i16),
    Int4(i32),
    Int8(i64),
    Float4(f32),
    Float8(f64),
    Numeric(Numeric),
    /// text, varchar, bpchar (without trailing blanks removed), name, "char", json, enum labels,
    /// and jsonb in PostgreSQL's output form.
    Text(String),
    Bytea(Vec<u8>),
    /// Days since 1970-01-01; `i32::MAX` and `i32::MIN` are infinity and -infinity.
    Date(i32),
    /// Microseconds since midnight.
    Time(i64),
    /// Microseconds since 1970-01-01 (UTC for timestamptz); `i64::MAX` and `i64::MIN` are
    /// infinity and -infinity.
    Timestamp(i64),
    Interval(Interval),
    Uuid([u8; 16]),
    /// inet and cidr.
    Inet(Inet),
    Point(f64, f64),
    Oid(u32),
    Array(Array),
}

impl Datum {
    pub fn is_null(&self) -> bool {
        matches!(self, Self::Null)
    }
}

/// PostgreSQL's interval: three fields that are never carried into each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub struct Interval {
    pub months: i32,
    pub days: i32,
    pub micros: i64,
}

/// A one-dimensional array with lower bound 1. `element` is the element's type.
#[derive(Clone, Debug, PartialEq)]
pub struct Array {
    pub element: PgType,
    pub values: Vec<Datum>,
}
