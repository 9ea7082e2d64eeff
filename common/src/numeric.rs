//! PostgreSQL's exact `numeric`.
//!
//! A value is a decimal coefficient with a *display scale*, or NaN, or an infinity. `1.0` and
//! `1.00` are equal and hash alike but print differently. Coefficients of up to 38 digits live in
//! an `i128`, so that the values of everyday tables never allocate; larger ones in a big integer.
//!
//! | file | what |
//! |---|---|
//! | `numeric.rs` | the type, order, conversions |
//! | `numeric/text.rs` | parsing and printing |
//! | `numeric/arithmetic.rs` | + - * / % and rounding, with PostgreSQL's choice of scales |
//! | `numeric/transcendental.rs` | sqrt, ln, log, exp, power |
//! | `numeric/sortable.rs` | bytes whose order is the numeric order |
//! | `numeric/template.rs` | to_char and to_number |

mod arithmetic;
mod sortable;
mod template;
mod text;
mod transcendental;

use std::cmp::Ordering;
use std::hash::{Hash, Hasher};

use bigdecimal::num_bigint::{BigInt, BigUint, Sign};
use bigdecimal::num_traits::{Signed, ToPrimitive, Zero};

use crate::error::{SqlError, SqlState};
use crate::types::NumericMod;

pub use sortable::{SCALE_TAIL, sortable_key};

/// Most digits after the decimal point that a value can carry.
pub const MAX_SCALE: u32 = 16383;
/// Most digits before the decimal point.
const MAX_INTEGER_DIGITS: i64 = 131_072;

/// A numeric value with its display scale, or NaN, or an infinity.
#[derive(Clone)]
pub struct Numeric(Repr);

#[derive(Clone)]
enum Repr {
    Small {
        coefficient: i128,
        scale: u16,
    },
    /// Only coefficients that do not fit `Small`.
    Big(Box<Big>),
    Infinity,
    NegInfinity,
    NaN,
}

#[derive(Clone)]
struct Big {
    coefficient: BigInt,
    scale: u16,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NumericError {
    #[error("invalid input syntax for type numeric: \"{0}\"")]
    Syntax(String),
    #[error("value overflows numeric format")]
    Overflow,
    #[error("numeric field overflow")]
    FieldOverflow { precision: u16, scale: i16, infinite: bool },
    #[error("division by zero")]
    DivisionByZero,
    #[error("cannot take square root of a negative number")]
    SquareRootOfNegative,
    #[error("cannot take logarithm of zero")]
    LogarithmOfZero,
    #[error("cannot take logarithm of a negative number")]
    LogarithmOfNegative,
    #[error("zero raised to a negative power is undefined")]
    ZeroToNegativePower,
    #[error("a negative number raised to a non-integer power yields a complex result")]
    ComplexPower,
    #[error("cannot convert {value} to {target}")]
    NotFinite { value: &'static str, target: &'static str },
    #[error("{0} out of range")]
    OutOfRange(&'static str),
}

impl From<NumericError> for SqlError {
    fn from(error: NumericError) -> Self {
        use NumericError as E;
        let message = error.to_string();
        match error {
            E::Syntax(_) => SqlError::new(SqlState::INVALID_TEXT_REPRESENTATION, message),
            E::Overflow | E::OutOfRange(_) => {
                SqlError::new(SqlState::NUMERIC_VALUE_OUT_OF_RANGE, message)
            }
            E::FieldOverflow { precision, scale, infinite } => {
                let field = format!("A field with precision {precision}, scale {scale}");
                let digits = i32::from(precision) - i32::from(scale);
                let detail = if infinite {
                    format!("{field} cannot hold an infinite value.")
                } else if digits == 0 {
                    format!("{field} must round to an absolute value less than 1.")
                } else {
                    format!("{field} must round to an absolute value less than 10^{digits}.")
                };
                SqlError::new(SqlState::NUMERIC_VALUE_OUT_OF_RANGE, message).detail(detail)
            }
            E::DivisionByZero => SqlError::new(SqlState::DIVISION_BY_ZERO, message),
            E::SquareRootOfNegative | E::ZeroToNegativePower | E::ComplexPower => {
                SqlError::new(SqlState::INVALID_ARGUMENT_FOR_POWER_FUNCTION, message)
            }
            E::LogarithmOfZero | E::LogarithmOfNegative => {
                SqlError::new(SqlState::INVALID_ARGUMENT_FOR_LOG, message)
            }
            E::NotFinite { .. } => SqlError::new(SqlState::FEATURE_NOT_SUPPORTED, message),
        }
    }
}

type Result<T> = std::result::Result<T, NumericError>;

/// Powers of ten that fit an `i128`.
const POW10: [i128; 39] = {
    let mut table = [1i128; 39];
    let mut n = 1;
    while n < 39 {
        table[n] = table[n - 1] * 10;
        n += 1;
    }
    table
};

/// 10^n where it fits an `i128`.
fn pow10_i128(n: u32) -> Option<i128> {
    POW10.get(n as usize).copied()
}

fn pow10_big(n: u32) -> BigInt {
    match pow10_i128(n) {
        Some(power) => BigInt::from(power),
        None => BigInt::from(10).pow(n),
    }
}

/// Number of decimal digits of `value`, 0 for 0.
fn digit_count(value: &BigUint) -> u32 {
    if value.is_zero() {
        return 0;
    }
    if let Some(small) = value.to_u128() {
        return small.ilog10() + 1;
    }
    // log10(2) = 0.30102999566...: this is the count or one less.
    let low = ((value.bits() - 1) as f64 * std::f64::consts::LOG10_2) as u32;
    let low = low.max(1);
    if *value < BigUint::from(10u8).pow(low) {
        low
    } else if *value < BigUint::from(10u8).pow(low + 1) {
        low + 1
    } else {
        low + 2
    }
}

/// [`Numeric::base10000`] without a big integer; `None` when the shifted coefficient overflows.
fn small_base10000(magnitude: u128, scale: u16) -> Option<(i32, Vec<i16>)> {
    let padding = (4 - scale % 4) % 4;
    let mut rest = magnitude.checked_mul(10u128.pow(u32::from(padding)))?;
    if rest == 0 {
        return Some((0, Vec::new()));
    }
    let mut buffer = [0i16; 10];
    let mut at = buffer.len();
    while rest > u128::from(u64::MAX) {
        at -= 1;
        buffer[at] = (rest % 10_000) as i16;
        rest /= 10_000;
    }
    let mut rest = rest as u64;
    while rest > 0 {
        at -= 1;
        buffer[at] = (rest % 10_000) as i16;
        rest /= 10_000;
    }
    let weight = (buffer.len() - at) as i32 - i32::from((scale + padding) / 4) - 1;
    let end = buffer.iter().rposition(|digit| *digit != 0).map_or(at, |last| last + 1);
    Some((weight, buffer[at..end].to_vec()))
}

impl Numeric {
    pub const NAN: Self = Self(Repr::NaN);
    pub const INFINITY: Self = Self(Repr::Infinity);
    pub const NEG_INFINITY: Self = Self(Repr::NegInfinity);
    pub const ZERO: Self = Self(Repr::Small { coefficient: 0, scale: 0 });
    pub const ONE: Self = Self(Repr::Small { coefficient: 1, scale: 0 });

    /// `coefficient * 10^-scale`, as Decimal128 has it. A negative scale gives a display scale
    /// of 0. `None` when out of range.
    pub fn from_i128(coefficient: i128, scale: i32) -> Option<Self> {
        if scale >= 0 {
            let scale = u32::try_from(scale).ok().filter(|scale| *scale <= MAX_SCALE)?;
            return Some(Self(Repr::Small { coefficient, scale: scale as u16 }));
        }
        let zeros = scale.unsigned_abs();
        if i64::from(zeros) > MAX_INTEGER_DIGITS {
            return None;
        }
        Self::from_big(BigInt::from(coefficient) * pow10_big(zeros), 0).ok()
    }

    pub fn from_i64(value: i64) -> Self {
        Self(Repr::Small { coefficient: i128::from(value), scale: 0 })
    }

    /// `coefficient * 10^-scale` when it is within numeric's limits.
    fn from_big(coefficient: BigInt, scale: u32) -> Result<Self> {
        if scale > MAX_SCALE {
            return Err(NumericError::Overflow);
        }
        if let Some(coefficient) = coefficient.to_i128() {
            return Ok(Self(Repr::Small { coefficient, scale: scale as u16 }));
        }
        // Cheap bound first: 10^131072 has 435412 bits.
        if coefficient.bits() > 400_000
            && i64::from(digit_count(coefficient.magnitude())) - i64::from(scale)
                > MAX_INTEGER_DIGITS
        {
            return Err(NumericError::Overflow);
        }
        Ok(Self(Repr::Big(Box::new(Big { coefficient, scale: scale as u16 }))))
    }

    pub fn is_nan(&self) -> bool {
        matches!(self.0, Repr::NaN)
    }

    pub fn is_infinite(&self) -> bool {
        matches!(self.0, Repr::Infinity | Repr::NegInfinity)
    }

    pub fn is_finite(&self) -> bool {
        matches!(self.0, Repr::Small { .. } | Repr::Big(_))
    }

    pub fn is_zero(&self) -> bool {
        matches!(self.0, Repr::Small { coefficient: 0, .. })
    }

    /// Whether there is nothing but zeros behind the decimal point.
    pub fn is_integer(&self) -> bool {
        self.is_finite() && self.min_scale() == Some(0)
    }

    /// Digits shown after the decimal point; `None` for NaN and the infinities.
    pub fn scale(&self) -> Option<u32> {
        match &self.0 {
            Repr::Small { scale, .. } => Some(u32::from(*scale)),
            Repr::Big(big) => Some(u32::from(big.scale)),
            Repr::Infinity | Repr::NegInfinity | Repr::NaN => None,
        }
    }

    /// -1, 0 or 1; NaN counts as 1.
    fn signum(&self) -> i32 {
        match &self.0 {
            Repr::Small { coefficient, .. } => coefficient.signum() as i32,
            Repr::Big(big) => match big.coefficient.sign() {
                Sign::Minus => -1,
                Sign::NoSign => 0,
                Sign::Plus => 1,
            },
            Repr::NegInfinity => -1,
            Repr::Infinity | Repr::NaN => 1,
        }
    }

    pub fn is_negative(&self) -> bool {
        self.signum() < 0
    }

    /// Coefficient and scale of a finite value.
    fn finite(&self) -> Option<(BigInt, u32)> {
        match &self.0 {
            Repr::Small { coefficient, scale } => {
                Some((BigInt::from(*coefficient), u32::from(*scale)))
            }
            Repr::Big(big) => Some((big.coefficient.clone(), u32::from(big.scale))),
            Repr::Infinity | Repr::NegInfinity | Repr::NaN => None,
        }
    }

    /// Number of significant digits of the coefficient, 0 for zero.
    /// Bytes beside the value itself, about.
    pub fn heap_bytes(&self) -> usize {
        match &self.0 {
            Repr::Big(big) => {
                size_of::<Big>() + usize::try_from(big.coefficient.bits() / 8).unwrap_or(0)
            }
            Repr::Small { .. } | Repr::Infinity | Repr::NegInfinity | Repr::NaN => 0,
        }
    }

    fn digits(&self) -> u32 {
        match &self.0 {
            Repr::Small { coefficient: 0, .. } => 0,
            Repr::Small { coefficient, .. } => coefficient.unsigned_abs().ilog10() + 1,
            Repr::Big(big) => digit_count(big.coefficient.magnitude()),
            Repr::Infinity | Repr::NegInfinity | Repr::NaN => 0,
        }
    }

    /// Coefficient of the value as a Decimal128 of this scale, rounded half away from zero;
    /// `None` when it does not fit or is not finite.
    pub fn to_i128(&self, scale: i32) -> Option<i128> {
        let rounded = self.round(scale);
        let (coefficient, have) = match &rounded.0 {
            Repr::Small { coefficient, scale } => (*coefficient, i32::from(*scale)),
            Repr::Big(big) => {
                // Only a negative target scale can make it fit.
                if scale >= 0 {
                    return None;
                }
                let divisor = pow10_big(scale.unsigned_abs());
                return (&big.coefficient / divisor).to_i128();
            }
            Repr::Infinity | Repr::NegInfinity | Repr::NaN => return None,
        };
        if have <= scale {
            coefficient.checked_mul(pow10_i128((scale - have) as u32)?)
        } else {
            Some(coefficient / pow10_i128((have - scale) as u32)?)
        }
    }

    fn to_integer(&self, target: &'static str) -> Result<i128> {
        match &self.0 {
            Repr::NaN => Err(NumericError::NotFinite { value: "NaN", target }),
            Repr::Infinity | Repr::NegInfinity => {
                Err(NumericError::NotFinite { value: "infinity", target })
            }
            Repr::Small { .. } | Repr::Big(_) => {
                self.to_i128(0).ok_or(NumericError::OutOfRange(target))
            }
        }
    }

    /// The nearest bigint, halves away from zero.
    pub fn to_i64(&self) -> Result<i64> {
        let value = self.to_integer("bigint")?;
        i64::try_from(value).map_err(|_| NumericError::OutOfRange("bigint"))
    }

    pub fn to_i32(&self) -> Result<i32> {
        let value = self.to_integer("integer")?;
        i32::try_from(value).map_err(|_| NumericError::OutOfRange("integer"))
    }

    pub fn to_i16(&self) -> Result<i16> {
        let value = self.to_integer("smallint")?;
        i16::try_from(value).map_err(|_| NumericError::OutOfRange("smallint"))
    }

    /// The nearest double; infinite when out of range.
    pub fn to_f64(&self) -> f64 {
        match &self.0 {
            Repr::NaN => f64::NAN,
            Repr::Infinity => f64::INFINITY,
            Repr::NegInfinity => f64::NEG_INFINITY,
            // Both operands exact in a double: one correctly rounded division.
            Repr::Small { coefficient, scale }
                if coefficient.unsigned_abs() < (1 << 53) && *scale <= 22 =>
            {
                *coefficient as f64 / POW10[usize::from(*scale)] as f64
            }
            Repr::Small { .. } | Repr::Big(_) => self.to_string().parse().unwrap_or(f64::NAN),
        }
    }

    pub fn to_f32(&self) -> f32 {
        match &self.0 {
            Repr::NaN => f32::NAN,
            Repr::Infinity => f32::INFINITY,
            Repr::NegInfinity => f32::NEG_INFINITY,
            Repr::Small { .. } | Repr::Big(_) => self.to_string().parse().unwrap_or(f32::NAN),
        }
    }

    /// PostgreSQL's cast: 15 significant digits.
    pub fn from_f64(value: f64) -> Self {
        Self::from_float(value, 14)
    }

    /// PostgreSQL's cast: 6 significant digits.
    pub fn from_f32(value: f32) -> Self {
        Self::from_float(f64::from(value), 5)
    }

    fn from_float(value: f64, decimals: usize) -> Self {
        if value.is_nan() {
            return Self::NAN;
        }
        if value.is_infinite() {
            return if value > 0.0 { Self::INFINITY } else { Self::NEG_INFINITY };
        }
        let text = format!("{value:.decimals$e}");
        // %g drops trailing zeros, and the scale with them.
        Self::parse(&text).map_or(Self::NAN, |value| value.trim_scale())
    }

    /// The value as a column of type `numeric(p,s)` holds it: rounded to the scale, checked
    /// against the precision.
    pub fn with_modifier(&self, modifier: NumericMod) -> Result<Self> {
        let NumericMod { precision, scale } = modifier;
        let overflow = |infinite| NumericError::FieldOverflow { precision, scale, infinite };
        match &self.0 {
            Repr::NaN => Ok(Self::NAN),
            Repr::Infinity | Repr::NegInfinity => Err(overflow(true)),
            Repr::Small { .. } | Repr::Big(_) => {
                let rounded = self.round(i32::from(scale));
                let integer_digits =
                    i64::from(rounded.digits()) - i64::from(rounded.scale().unwrap_or(0));
                let room = i64::from(precision) - i64::from(scale);
                if !rounded.is_zero() && integer_digits > room {
                    return Err(overflow(false));
                }
                Ok(rounded)
            }
        }
    }

    /// Digits in base 10000 with the weight (power of 10000) of the first, without leading or
    /// trailing zero digits: PostgreSQL's storage and wire form. Empty for zero; `None` for NaN
    /// and the infinities.
    pub fn base10000(&self) -> Option<(i32, Vec<i16>)> {
        if let Repr::Small { coefficient, scale } = self.0
            && let Some(digits) = small_base10000(coefficient.unsigned_abs(), scale)
        {
            return Some(digits);
        }
        let (coefficient, scale) = self.finite()?;
        let padding = (4 - scale % 4) % 4;
        let groups_after = ((scale + padding) / 4) as i32;
        let aligned = coefficient.magnitude() * BigUint::from(10u32.pow(padding));
        let mut digits: Vec<i16> = if aligned.is_zero() {
            Vec::new()
        } else {
            let pairs = aligned.to_radix_le(100);
            pairs
                .chunks(2)
                .map(|pair| i16::from(pair[0]) + 100 * i16::from(*pair.get(1).unwrap_or(&0)))
                .collect()
        };
        let weight = digits.len() as i32 - groups_after - 1;
        digits.reverse();
        while digits.last() == Some(&0) {
            digits.pop();
        }
        Some(if digits.is_empty() { (0, digits) } else { (weight, digits) })
    }

    /// The inverse of [`Self::base10000`]; each digit must be below 10000. Digits beyond the
    /// display scale are cut off, as PostgreSQL does with what it receives.
    pub fn from_base10000(negative: bool, weight: i32, digits: &[i16], scale: u32) -> Result<Self> {
        let mut pairs = Vec::with_capacity(digits.len() * 2);
        for digit in digits {
            if !(0..10000).contains(digit) {
                return Err(NumericError::Overflow);
            }
            pairs.push((digit / 100) as u8);
            pairs.push((digit % 100) as u8);
        }
        let magnitude = BigUint::from_radix_be(&pairs, 100).unwrap_or_default();
        let have = (digits.len() as i64 - 1 - i64::from(weight)) * 4;
        let coefficient = BigInt::from(magnitude);
        let shift = i64::from(scale) - have;
        if shift.unsigned_abs() > 2 * (MAX_INTEGER_DIGITS + i64::from(MAX_SCALE)) as u64 {
            return Err(NumericError::Overflow);
        }
        let coefficient = if shift >= 0 {
            coefficient * pow10_big(shift as u32)
        } else {
            coefficient / pow10_big(shift.unsigned_abs() as u32)
        };
        Self::from_big(if negative { -coefficient } else { coefficient }, scale)
    }

    fn rank(&self) -> u8 {
        match self.0 {
            Repr::NegInfinity => 0,
            Repr::Small { .. } | Repr::Big(_) => 1,
            Repr::Infinity => 2,
            Repr::NaN => 3,
        }
    }
}

impl Default for Numeric {
    fn default() -> Self {
        Self::ZERO
    }
}

impl From<i16> for Numeric {
    fn from(value: i16) -> Self {
        Self::from_i64(i64::from(value))
    }
}

impl From<i32> for Numeric {
    fn from(value: i32) -> Self {
        Self::from_i64(i64::from(value))
    }
}

impl From<i64> for Numeric {
    fn from(value: i64) -> Self {
        Self::from_i64(value)
    }
}

impl From<i128> for Numeric {
    fn from(coefficient: i128) -> Self {
        Self(Repr::Small { coefficient, scale: 0 })
    }
}

/// Numeric order: the scale does not matter, NaN equals itself and is the largest.
impl Ord for Numeric {
    fn cmp(&self, other: &Self) -> Ordering {
        if let (
            Repr::Small { coefficient: a, scale: sa },
            Repr::Small { coefficient: b, scale: sb },
        ) = (&self.0, &other.0)
        {
            if sa == sb {
                return a.cmp(b);
            }
            let scaled = |value: &i128, up: u16| {
                pow10_i128(u32::from(up)).and_then(|power| value.checked_mul(power))
            };
            let pair = if sa < sb {
                scaled(a, sb - sa).map(|a| (a, *b))
            } else {
                scaled(b, sa - sb).map(|b| (*a, b))
            };
            if let Some((a, b)) = pair {
                return a.cmp(&b);
            }
        }
        match (self.finite(), other.finite()) {
            (Some((a, sa)), Some((b, sb))) => {
                let by_sign = self.signum().cmp(&other.signum());
                if by_sign != Ordering::Equal {
                    return by_sign;
                }
                if sa < sb {
                    (a * pow10_big(sb - sa)).cmp(&b)
                } else {
                    a.cmp(&(b * pow10_big(sa - sb)))
                }
            }
            _ => self.rank().cmp(&other.rank()),
        }
    }
}

impl PartialOrd for Numeric {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Numeric {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Numeric {}

impl Hash for Numeric {
    fn hash<H: Hasher>(&self, state: &mut H) {
        match self.base10000() {
            Some((weight, digits)) => {
                self.signum().hash(state);
                weight.hash(state);
                digits.hash(state);
            }
            None => self.rank().hash(state),
        }
    }
}

#[cfg(test)]
mod tests;
