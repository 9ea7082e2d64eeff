//! Between Decimal128 and numeric.

use satsuma_common::numeric::Numeric;

/// Decimal128's scale is never negative in our layouts, and its digits always fit.
pub fn numeric_from_decimal(value: i128, scale: i8) -> Numeric {
    Numeric::from_i128(value, i32::from(scale)).unwrap_or_default()
}
