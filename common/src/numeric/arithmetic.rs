//! Exact arithmetic. The display scale of each result is PostgreSQL's choice.

use bigdecimal::num_bigint::BigInt;
use bigdecimal::num_traits::{Signed, ToPrimitive, Zero};

use super::{MAX_SCALE, Numeric, NumericError, Repr, Result, pow10_big, pow10_i128};

/// Significant digits that a quotient or a transcendental function has at least.
pub(super) const MIN_SIGNIFICANT_DIGITS: i64 = 16;
/// Largest scale that a division or a transcendental function chooses by itself.
pub(super) const MAX_DISPLAY_SCALE: i64 = 1000;
/// Bound on the scale argument of round and trunc.
const MAX_RESULT_SCALE: i32 = 2000;

impl Numeric {
    pub fn add(&self, other: &Self) -> Result<Self> {
        if let (
            Repr::Small { coefficient: a, scale: sa },
            Repr::Small { coefficient: b, scale: sb },
        ) = (&self.0, &other.0)
        {
            let scale = *sa.max(sb);
            let up =
                |value: &i128, from: u16| value.checked_mul(pow10_i128(u32::from(scale - from))?);
            if let Some(coefficient) =
                up(a, *sa).zip(up(b, *sb)).and_then(|(a, b)| a.checked_add(b))
            {
                return Ok(Self(Repr::Small { coefficient, scale }));
            }
        }
        match (self.finite(), other.finite()) {
            (Some((a, sa)), Some((b, sb))) => {
                let scale = sa.max(sb);
                let sum = a * pow10_big(scale - sa) + b * pow10_big(scale - sb);
                Self::from_big(sum, scale)
            }
            _ => Ok(match (&self.0, &other.0) {
                (Repr::NaN, _) | (_, Repr::NaN) => Self::NAN,
                (Repr::Infinity, Repr::NegInfinity) | (Repr::NegInfinity, Repr::Infinity) => {
                    Self::NAN
                }
                (Repr::Infinity, _) | (_, Repr::Infinity) => Self::INFINITY,
                _ => Self::NEG_INFINITY,
            }),
        }
    }

    pub fn sub(&self, other: &Self) -> Result<Self> {
        self.add(&other.neg())
    }

    pub fn mul(&self, other: &Self) -> Result<Self> {
        if let (
            Repr::Small { coefficient: a, scale: sa },
            Repr::Small { coefficient: b, scale: sb },
        ) = (&self.0, &other.0)
            && let Some(coefficient) = a.checked_mul(*b)
        {
            let scale = u32::from(*sa) + u32::from(*sb);
            if scale <= MAX_SCALE {
                return Ok(Self(Repr::Small { coefficient, scale: scale as u16 }));
            }
        }
        match (self.finite(), other.finite()) {
            (Some((a, sa)), Some((b, sb))) => {
                let scale = sa + sb;
                let product = a * b;
                if scale > MAX_SCALE {
                    let product = divide_rounded(product, &pow10_big(scale - MAX_SCALE));
                    return Self::from_big(product, MAX_SCALE);
                }
                Self::from_big(product, scale)
            }
            _ if self.is_nan() || other.is_nan() => Ok(Self::NAN),
            _ => Ok(match self.signum() * other.signum() {
                0 => Self::NAN,
                1 => Self::INFINITY,
                _ => Self::NEG_INFINITY,
            }),
        }
    }

    /// Quotient with at least 16 significant digits, rounded half away from zero.
    pub fn div(&self, other: &Self) -> Result<Self> {
        if let Some(special) = self.special_quotient(other)? {
            return Ok(special);
        }
        self.div_to_scale(other, self.quotient_scale(other))
    }

    /// Quotient of finite values at the given scale.
    pub(super) fn div_to_scale(&self, other: &Self, scale: u32) -> Result<Self> {
        let (Some((a, sa)), Some((b, sb))) = (self.finite(), other.finite()) else {
            return Ok(Self::NAN);
        };
        if b.is_zero() {
            return Err(NumericError::DivisionByZero);
        }
        // a/10^sa / (b/10^sb) * 10^scale = a * 10^(scale + sb - sa) / b
        let shift = i64::from(scale) + i64::from(sb) - i64::from(sa);
        if let (Some(a), Some(b)) = (a.to_i128(), b.to_i128())
            && (0..39).contains(&shift)
            && let Some(dividend) = a.checked_mul(pow10_i128(shift as u32).unwrap_or(0))
            && b.unsigned_abs() < (1 << 126)
            && dividend != i128::MIN
        {
            let (quotient, rest) = (dividend / b, dividend % b);
            let away = if (dividend < 0) == (b < 0) { 1 } else { -1 };
            let round_up = rest.unsigned_abs() * 2 >= b.unsigned_abs();
            let coefficient = quotient + if round_up { away } else { 0 };
            return Ok(Self(Repr::Small { coefficient, scale: scale as u16 }));
        }
        let quotient = if shift >= 0 {
            divide_rounded(a * pow10_big(shift as u32), &b)
        } else {
            divide_rounded(a, &(b * pow10_big(shift.unsigned_abs() as u32)))
        };
        Self::from_big(quotient, scale)
    }

    /// `div(a, b)`: quotient cut off towards zero.
    pub fn div_trunc(&self, other: &Self) -> Result<Self> {
        if let Some(special) = self.special_quotient(other)? {
            return Ok(special);
        }
        let (Some((a, sa)), Some((b, sb))) = (self.finite(), other.finite()) else {
            return Ok(Self::NAN);
        };
        let scale = sa.max(sb);
        Self::from_big((a * pow10_big(scale - sa)) / (b * pow10_big(scale - sb)), 0)
    }

    /// The quotient where an operand is not finite; an error when dividing by zero.
    fn special_quotient(&self, other: &Self) -> Result<Option<Self>> {
        if self.is_nan() || other.is_nan() {
            return Ok(Some(Self::NAN));
        }
        if other.is_zero() {
            return Err(NumericError::DivisionByZero);
        }
        Ok(match (self.is_infinite(), other.is_infinite()) {
            (true, true) => Some(Self::NAN),
            (true, false) if self.signum() * other.signum() > 0 => Some(Self::INFINITY),
            (true, false) => Some(Self::NEG_INFINITY),
            (false, true) => Some(Self::ZERO),
            (false, false) => None,
        })
    }

    /// Remainder with the sign of the dividend.
    pub fn rem(&self, other: &Self) -> Result<Self> {
        if self.is_nan() || other.is_nan() {
            return Ok(Self::NAN);
        }
        if other.is_zero() {
            return Err(NumericError::DivisionByZero);
        }
        if self.is_infinite() {
            return Ok(Self::NAN);
        }
        if other.is_infinite() {
            return Ok(self.clone());
        }
        let (Some((a, sa)), Some((b, sb))) = (self.finite(), other.finite()) else {
            return Ok(Self::NAN);
        };
        let scale = sa.max(sb);
        Self::from_big((a * pow10_big(scale - sa)) % (b * pow10_big(scale - sb)), scale)
    }

    pub fn neg(&self) -> Self {
        match &self.0 {
            Repr::Small { coefficient, scale } if *coefficient != i128::MIN => {
                Self(Repr::Small { coefficient: -coefficient, scale: *scale })
            }
            Repr::Infinity => Self::NEG_INFINITY,
            Repr::NegInfinity => Self::INFINITY,
            Repr::NaN => Self::NAN,
            Repr::Small { .. } | Repr::Big(_) => self
                .finite()
                .and_then(|(coefficient, scale)| Self::from_big(-coefficient, scale).ok())
                .unwrap_or(Self::NAN),
        }
    }

    pub fn abs(&self) -> Self {
        if self.is_negative() { self.neg() } else { self.clone() }
    }

    /// -1, 0, 1 or NaN.
    pub fn sign(&self) -> Self {
        if self.is_nan() { Self::NAN } else { Self::from_i64(i64::from(self.signum())) }
    }

    /// Rounded half away from zero to `scale` digits behind the point; a negative scale rounds
    /// before the point and leaves display scale 0.
    pub fn round(&self, scale: i32) -> Self {
        self.rescale(scale, true)
    }

    /// Cut off towards zero at `scale` digits behind the point.
    pub fn trunc(&self, scale: i32) -> Self {
        self.rescale(scale, false)
    }

    /// `round(numeric, integer)` of SQL, which clamps its second argument.
    pub fn round_clamped(&self, scale: i32) -> Self {
        self.round(scale.clamp(-MAX_RESULT_SCALE, MAX_RESULT_SCALE))
    }

    /// `trunc(numeric, integer)` of SQL, which clamps its second argument.
    pub fn trunc_clamped(&self, scale: i32) -> Self {
        self.trunc(scale.clamp(-MAX_RESULT_SCALE, MAX_RESULT_SCALE))
    }

    fn rescale(&self, target: i32, half_up: bool) -> Self {
        let Some(have) = self.scale() else { return self.clone() };
        let target = target.min(MAX_SCALE as i32);
        let shown = target.max(0) as u32;
        let drop = i64::from(have) - i64::from(target);
        if drop > i64::from(self.digits()) {
            return Self(Repr::Small { coefficient: 0, scale: shown as u16 });
        }
        if let Repr::Small { coefficient, scale } = self.0 {
            if drop == 0 {
                return Self(Repr::Small { coefficient, scale });
            }
            if drop < 0 {
                let widened = pow10_i128(drop.unsigned_abs() as u32)
                    .and_then(|power| coefficient.checked_mul(power));
                if let Some(coefficient) = widened {
                    return Self(Repr::Small { coefficient, scale: shown as u16 });
                }
            } else if let Some(power) = pow10_i128(drop as u32) {
                let mut coefficient_out = coefficient / power;
                if half_up && (coefficient % power).unsigned_abs() >= power.unsigned_abs() / 2 {
                    coefficient_out += if coefficient < 0 { -1 } else { 1 };
                }
                let zeros = pow10_i128((i64::from(shown) - i64::from(target)) as u32);
                if let Some(coefficient) = zeros.and_then(|z| coefficient_out.checked_mul(z)) {
                    return Self(Repr::Small { coefficient, scale: shown as u16 });
                }
            }
        }
        let Some((coefficient, _)) = self.finite() else { return self.clone() };
        let moved = if drop <= 0 {
            coefficient * pow10_big(drop.unsigned_abs() as u32)
        } else {
            let power = pow10_big(drop as u32);
            let kept =
                if half_up { divide_rounded(coefficient, &power) } else { coefficient / power };
            kept * pow10_big((i64::from(shown) - i64::from(target)) as u32)
        };
        Self::from_big(moved, shown).unwrap_or_else(|_| self.clone())
    }

    pub fn floor(&self) -> Self {
        let cut = self.trunc(0);
        if self.is_negative() && cut != *self {
            return cut.sub(&Self::ONE).unwrap_or(cut);
        }
        cut
    }

    pub fn ceil(&self) -> Self {
        let cut = self.trunc(0);
        if self.signum() > 0 && cut != *self {
            return cut.add(&Self::ONE).unwrap_or(cut);
        }
        cut
    }

    /// Fewest digits behind the point that lose nothing; `None` for NaN and the infinities.
    pub fn min_scale(&self) -> Option<u32> {
        let mut scale = self.scale()?;
        if self.is_zero() {
            return Some(0);
        }
        match &self.0 {
            Repr::Small { coefficient, .. } => {
                let mut rest = *coefficient;
                while scale > 0 && rest % 10 == 0 {
                    rest /= 10;
                    scale -= 1;
                }
            }
            Repr::Big(big) => {
                let digits = big.coefficient.magnitude().to_string();
                let zeros = digits.bytes().rev().take_while(|digit| *digit == b'0').count();
                scale = scale.saturating_sub(zeros as u32);
            }
            Repr::Infinity | Repr::NegInfinity | Repr::NaN => return None,
        }
        Some(scale)
    }

    /// Without trailing zeros behind the point.
    pub fn trim_scale(&self) -> Self {
        match self.min_scale() {
            Some(scale) => self.trunc(scale as i32),
            None => self.clone(),
        }
    }

    /// Greatest common divisor, at the larger scale.
    pub fn gcd(&self, other: &Self) -> Result<Self> {
        let (Some((a, sa)), Some((b, sb))) = (self.finite(), other.finite()) else {
            return Ok(Self::NAN);
        };
        let scale = sa.max(sb);
        let mut a = a.abs() * pow10_big(scale - sa);
        let mut b = b.abs() * pow10_big(scale - sb);
        while !b.is_zero() {
            (a, b) = (b.clone(), a % b);
        }
        Self::from_big(a, scale)
    }

    /// Least common multiple, at the larger scale.
    pub fn lcm(&self, other: &Self) -> Result<Self> {
        let (Some(sa), Some(sb)) = (self.scale(), other.scale()) else {
            return Ok(Self::NAN);
        };
        let scale = sa.max(sb) as i32;
        if self.is_zero() || other.is_zero() {
            return Ok(Self::ZERO.round(scale));
        }
        let gcd = self.gcd(other)?;
        Ok(self.div_trunc(&gcd)?.mul(other)?.abs().round(scale))
    }

    /// Power of 10000 of the first digit in base 10000, and that digit; (0, 0) for zero.
    pub(super) fn leading_digit(&self) -> (i64, i64) {
        if self.is_zero() || !self.is_finite() {
            return (0, 0);
        }
        let digits = i64::from(self.digits());
        let before_point = digits - i64::from(self.scale().unwrap_or(0));
        let weight = (before_point + 3).div_euclid(4) - 1;
        let group = before_point - 4 * weight;
        (weight, self.top_digits(group))
    }

    /// The first `count` (at most 18) decimal digits, padded with zeros on the right.
    pub(super) fn top_digits(&self, count: i64) -> i64 {
        let digits = i64::from(self.digits());
        let drop = digits - count;
        let top = match &self.0 {
            Repr::Small { coefficient, .. } => {
                let magnitude = coefficient.unsigned_abs();
                if drop > 0 { magnitude / 10u128.pow(drop as u32) } else { magnitude }
            }
            Repr::Big(big) => {
                let magnitude = big.coefficient.abs();
                let top = if drop > 0 { magnitude / pow10_big(drop as u32) } else { magnitude };
                top.to_u128().unwrap_or(0)
            }
            Repr::Infinity | Repr::NegInfinity | Repr::NaN => 0,
        };
        let top = top as i64;
        if drop < 0 { top * 10i64.pow(drop.unsigned_abs() as u32) } else { top }
    }

    /// Scale of a quotient: 16 significant digits estimated from the leading base-10000 digits,
    /// and no less than either operand shows.
    fn quotient_scale(&self, other: &Self) -> u32 {
        let (weight1, first1) = self.leading_digit();
        let (weight2, first2) = other.leading_digit();
        let mut weight = weight1 - weight2;
        if first1 <= first2 {
            weight -= 1;
        }
        choose_scale(MIN_SIGNIFICANT_DIGITS - weight * 4, &[self, other])
    }
}

/// `wanted`, but at least what every operand shows and between 0 and 1000.
pub(super) fn choose_scale(wanted: i64, operands: &[&Numeric]) -> u32 {
    let shown = operands.iter().filter_map(|operand| operand.scale()).max().unwrap_or(0);
    wanted.max(i64::from(shown)).clamp(0, MAX_DISPLAY_SCALE) as u32
}

/// `dividend / divisor` rounded half away from zero.
pub(super) fn divide_rounded(dividend: BigInt, divisor: &BigInt) -> BigInt {
    let negative = dividend.is_negative() != divisor.is_negative();
    let quotient = &dividend / divisor;
    let rest = dividend - &quotient * divisor;
    if rest.abs() * 2 >= divisor.abs() {
        if negative { quotient - 1 } else { quotient + 1 }
    } else {
        quotient
    }
}
