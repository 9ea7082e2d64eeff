//! PostgreSQL's exact `numeric`.

/// A numeric value with its display scale, or NaN, or an infinity.
#[derive(Clone, Debug, PartialEq)]
pub struct Numeric(pub bigdecimal::BigDecimal);
