//! Roots, logarithms, exponentials and powers.
//!
//! PostgreSQL fixes the *scale* of each result by an estimate of its weight; that choice is
//! followed here. The digits themselves are computed in binary fixed point with guard bits well
//! beyond the scale, then rounded half away from zero.

use bigdecimal::num_bigint::{BigInt, BigUint};
use bigdecimal::num_traits::{One, Signed, ToPrimitive, Zero};

use super::arithmetic::{MAX_DISPLAY_SCALE, MIN_SIGNIFICANT_DIGITS, choose_scale, divide_rounded};
use super::{MAX_INTEGER_DIGITS, Numeric, NumericError, Result, pow10_big};

const LOG10_E: f64 = std::f64::consts::LOG10_E;
/// PostgreSQL's bound on the argument of exp, in digits of the result.
const MAX_RESULT_SCALE: f64 = 2000.0;
/// Bits beyond what the result shows.
const GUARD_BITS: u64 = 96;

impl Numeric {
    pub fn sqrt(&self) -> Result<Self> {
        if self.is_nan() {
            return Ok(Self::NAN);
        }
        if self.is_negative() {
            return Err(NumericError::SquareRootOfNegative);
        }
        let Some((coefficient, have)) = self.finite() else { return Ok(Self::INFINITY) };
        let weight = (self.leading_digit().0 + 1) * 4 / 2 - 1;
        let scale = choose_scale(MIN_SIGNIFICANT_DIGITS - weight, &[self]);
        // sqrt(4n) = 2 sqrt(n): its lowest bit tells how to round. scale >= have, so n is exact.
        let scaled = coefficient.magnitude() * pow10_big(2 * scale - have).magnitude();
        let doubled: BigUint = (scaled * 4u8).sqrt();
        Self::from_big(BigInt::from((doubled + 1u8) / 2u8), scale)
    }

    pub fn exp(&self) -> Result<Self> {
        match self {
            _ if self.is_nan() => return Ok(Self::NAN),
            _ if self.is_infinite() => {
                return Ok(if self.is_negative() { Self::ZERO } else { Self::INFINITY });
            }
            _ => {}
        }
        let value = self.to_f64();
        let weight = (value * LOG10_E).clamp(-MAX_RESULT_SCALE, MAX_RESULT_SCALE);
        let scale = choose_scale(MIN_SIGNIFICANT_DIGITS - weight as i64, &[self]);
        if value.abs() >= MAX_RESULT_SCALE * 3.0 {
            return if value > 0.0 { Err(NumericError::Overflow) } else { Ok(zero(scale)) };
        }
        let bits = working_bits(i64::from(scale), value * LOG10_E);
        Ok(match self.to_fixed(bits) {
            Some(argument) => exp_fixed(&argument, bits).into_numeric(scale)?,
            None => Self::NAN,
        })
    }

    pub fn ln(&self) -> Result<Self> {
        self.check_logarithm()?;
        if !self.is_finite() {
            return Ok(self.clone());
        }
        let scale = choose_scale(MIN_SIGNIFICANT_DIGITS - self.ln_weight(), &[self]);
        let bits = working_bits(i64::from(scale), 0.0);
        fixed_to_numeric(&self.ln_fixed(bits), bits, scale)
    }

    /// Logarithm of `self` to `base`.
    pub fn log(&self, base: &Self) -> Result<Self> {
        if self.is_nan() || base.is_nan() {
            return Ok(Self::NAN);
        }
        base.check_logarithm()?;
        self.check_logarithm()?;
        match (base.is_infinite(), self.is_infinite()) {
            (true, true) => return Ok(Self::NAN),
            (true, false) => return Ok(Self::ZERO),
            (false, true) => return Ok(Self::INFINITY),
            (false, false) => {}
        }
        let weight = self.ln_weight() - base.ln_weight();
        let scale = choose_scale(MIN_SIGNIFICANT_DIGITS - weight, &[self, base]);
        // The quotient needs as many significant digits of both as it shows itself.
        let spread = (base.ln_weight().abs() + self.ln_weight().abs()) as f64;
        let bits = working_bits(i64::from(scale), spread * 2.0);
        let denominator = base.ln_fixed(bits);
        if denominator.is_zero() {
            return Err(NumericError::DivisionByZero);
        }
        let quotient = (self.ln_fixed(bits) << bits) / denominator;
        fixed_to_numeric(&quotient, bits, scale)
    }

    pub fn log10(&self) -> Result<Self> {
        self.log(&Self::from_i64(10))
    }

    fn check_logarithm(&self) -> Result<()> {
        match self.signum() {
            0 => Err(NumericError::LogarithmOfZero),
            sign if sign < 0 => Err(NumericError::LogarithmOfNegative),
            _ => Ok(()),
        }
    }

    pub fn power(&self, exponent: &Self) -> Result<Self> {
        if let Some(special) = self.special_power(exponent)? {
            return Ok(special);
        }
        if exponent.is_integer()
            && let Ok(n) = exponent.to_i32()
        {
            return self.power_integer(n, exponent);
        }
        if self.is_zero() {
            return Ok(zero(MIN_SIGNIFICANT_DIGITS as u32));
        }
        let odd = exponent.is_integer() && {
            let (coefficient, scale) = exponent.finite().unwrap_or_default();
            (coefficient / pow10_big(scale)).bit(0)
        };
        let negative = self.is_negative() && odd;
        let base = self.abs();
        let log = base.ln_f64() * exponent.to_f64();
        if log.abs() > MAX_RESULT_SCALE * 3.01 {
            return if log > 0.0 {
                Err(NumericError::Overflow)
            } else {
                Ok(zero(MAX_DISPLAY_SCALE as u32))
            };
        }
        let weight = log * LOG10_E;
        let scale = choose_scale(MIN_SIGNIFICANT_DIGITS - weight as i64, &[self, exponent]);
        let exponent_bits = f64::from(exponent.digits());
        let bits = working_bits(i64::from(scale), weight.abs() + exponent_bits);
        let Some(factor) = exponent.to_fixed(bits) else { return Ok(Self::NAN) };
        let argument = (base.ln_fixed(bits) * factor) >> bits;
        let result = exp_fixed(&argument, bits).into_numeric(scale)?;
        Ok(if negative { result.neg() } else { result })
    }

    /// Results that need no arithmetic (the POSIX rules for pow), and domain errors.
    fn special_power(&self, exponent: &Self) -> Result<Option<Self>> {
        let one = self == &Self::ONE;
        if self.is_nan() {
            return Ok(Some(if exponent.is_zero() { Self::ONE } else { Self::NAN }));
        }
        if exponent.is_nan() {
            return Ok(Some(if one { Self::ONE } else { Self::NAN }));
        }
        if self.is_zero() && exponent.is_negative() {
            return Err(NumericError::ZeroToNegativePower);
        }
        if self.is_negative() && exponent.is_finite() && !exponent.is_integer() {
            return Err(NumericError::ComplexPower);
        }
        if self.is_finite() && exponent.is_finite() {
            return Ok(None);
        }
        if one || exponent.is_zero() {
            return Ok(Some(Self::ONE));
        }
        if self.is_zero() {
            return Ok(Some(Self::ZERO));
        }
        if exponent.is_infinite() {
            let magnitude = self.abs().cmp(&Self::ONE);
            return Ok(Some(match (magnitude, exponent.is_negative()) {
                (std::cmp::Ordering::Equal, _) => Self::ONE,
                (std::cmp::Ordering::Greater, false) | (std::cmp::Ordering::Less, true) => {
                    Self::INFINITY
                }
                _ => Self::ZERO,
            }));
        }
        if exponent.is_negative() {
            return Ok(Some(Self::ZERO));
        }
        let odd = exponent.to_i128(0).is_some_and(|n| n % 2 != 0);
        let negative = self.is_negative() && odd;
        Ok(Some(if negative { Self::NEG_INFINITY } else { Self::INFINITY }))
    }

    fn power_integer(&self, n: i32, exponent: &Self) -> Result<Self> {
        let weight = if self.is_zero() { 0.0 } else { self.log10_f64() * f64::from(n) };
        if weight > MAX_INTEGER_DIGITS as f64 {
            return Err(NumericError::Overflow);
        }
        let scale = choose_scale(MIN_SIGNIFICANT_DIGITS, &[self, exponent]);
        match n {
            0 => return Ok(Self::ONE.round(scale as i32)),
            1 => return Ok(self.round(scale as i32)),
            -1 => return Self::ONE.div_to_scale(self, scale),
            _ => {}
        }
        if self.is_zero() {
            return Ok(zero(scale));
        }
        if weight + 1.0 < -(MAX_DISPLAY_SCALE as f64) {
            return Ok(zero(scale));
        }
        let Some((coefficient, have)) = self.finite() else { return Ok(Self::NAN) };
        let bits = working_bits(i64::from(scale), weight.abs()) + 64;
        let count = n.unsigned_abs();
        // base^n = coefficient^n / 10^(have n); powers of two of the divisor are a mere shift.
        let top = Float::new(coefficient.magnitude().clone(), 0).power(count, bits);
        let five = Float::new(BigUint::from(5u8).pow(have), i64::from(have)).power(count, bits);
        let (dividend, divisor) = if n > 0 { (top, five) } else { (five, top) };
        let result = dividend.divide_to_scale(&divisor, scale)?;
        Ok(if coefficient.is_negative() && count % 2 == 1 { result.neg() } else { result })
    }

    /// Estimated decimal weight of ln(self), as PostgreSQL estimates it.
    fn ln_weight(&self) -> i64 {
        let point_nine = Self::from_i128(9, 1).unwrap_or(Self::ONE);
        let one_point_one = Self::from_i128(11, 1).unwrap_or(Self::ONE);
        if *self >= point_nine && *self <= one_point_one {
            let Ok(x) = self.sub(&Self::ONE) else { return 0 };
            if x.is_zero() {
                return 0;
            }
            let (weight, digit) = x.leading_digit();
            return weight * 4 + (digit as f64).log10() as i64;
        }
        let log = self.ln_estimate().abs();
        if log == 0.0 { 0 } else { log.log10() as i64 }
    }

    /// ln from the first two base-10000 digits.
    fn ln_estimate(&self) -> f64 {
        let (weight, first) = self.leading_digit();
        let before_point = i64::from(self.digits()) - i64::from(self.scale().unwrap_or(0));
        let group = before_point - 4 * weight;
        if i64::from(self.digits()) <= group || self.has_one_group() {
            return (first as f64).ln() + (weight * 4) as f64 * std::f64::consts::LN_10;
        }
        let digits = self.top_digits(group + 4);
        (digits as f64).ln() + ((weight - 1) * 4) as f64 * std::f64::consts::LN_10
    }

    /// Whether one base-10000 digit holds the whole value.
    fn has_one_group(&self) -> bool {
        self.base10000().is_some_and(|(_, digits)| digits.len() <= 1)
    }

    fn ln_f64(&self) -> f64 {
        let value = self.to_f64();
        // Near 1 the logarithm of the rounded value would have no correct digit.
        if (0.9..=1.1).contains(&value) {
            return self.sub(&Self::ONE).map_or(0.0, |x| x.to_f64().ln_1p());
        }
        self.log10_f64() * std::f64::consts::LN_10
    }

    /// log10 of the absolute value, which is not zero.
    fn log10_f64(&self) -> f64 {
        let digits = i64::from(self.digits());
        let exponent = digits - i64::from(self.scale().unwrap_or(0)) - 17;
        (self.top_digits(17) as f64).log10() + exponent as f64
    }

    /// `self * 2^bits`, cut off.
    fn to_fixed(&self, bits: u64) -> Option<BigInt> {
        let (coefficient, scale) = self.finite()?;
        Some((coefficient << bits) / pow10_big(scale))
    }

    /// `ln(self) * 2^bits` of a positive finite value.
    fn ln_fixed(&self, bits: u64) -> BigInt {
        let Some((coefficient, scale)) = self.finite() else { return BigInt::zero() };
        let divisor = pow10_big(scale);
        // value = m * 2^e with m in [0.5, 2)
        let exponent = coefficient.bits() as i64 - divisor.bits() as i64;
        let up = bits as i64 - exponent;
        let mut mantissa = if up >= 0 {
            (coefficient << up as u64) / divisor
        } else {
            coefficient / (divisor << up.unsigned_abs())
        };
        let one = BigInt::one() << bits;
        let mut exponent = exponent;
        // Bring m into [0.70, 1.41], where the series converges fastest.
        if mantissa > (&one * 181u8) / 128u8 {
            mantissa >>= 1;
            exponent += 1;
        } else if mantissa < (&one * 90u8) / 128u8 {
            mantissa <<= 1;
            exponent -= 1;
        }
        // ln m = 2 atanh((m - 1) / (m + 1))
        let ratio = ((&mantissa - &one) << bits) / (&mantissa + &one);
        let log = atanh(&ratio, bits) << 1u32;
        if exponent == 0 { log } else { log + ln2(bits) * exponent }
    }
}

fn zero(scale: u32) -> Numeric {
    Numeric::ZERO.round(scale as i32)
}

/// Bits of fixed point for `scale` decimal digits of a result of about 10^weight.
fn working_bits(scale: i64, weight: f64) -> u64 {
    let digits = scale as f64 + weight.max(0.0);
    (digits * std::f64::consts::LOG2_10) as u64 + GUARD_BITS
}

fn atanh(x: &BigInt, bits: u64) -> BigInt {
    let square = (x * x) >> bits;
    let mut power = x.clone();
    let mut sum = x.clone();
    let mut n = 3u64;
    loop {
        power = (power * &square) >> bits;
        let term = &power / n;
        if term.is_zero() || (term.is_negative() && power.bits() <= 1) {
            return sum;
        }
        sum += term;
        n += 2;
    }
}

/// ln 2 = 2 atanh(1/3)
fn ln2(bits: u64) -> BigInt {
    atanh(&((BigInt::one() << bits) / 3), bits) << 1u32
}

/// e^x for fixed-point `x`.
fn exp_fixed(x: &BigInt, bits: u64) -> Float {
    // More bits than the argument has, for the reduction by a multiple of ln 2.
    let extra = 32;
    let ln2 = ln2(bits + extra);
    let x = x << extra;
    let bits = bits + extra;
    let power = floor_div(&x, &ln2);
    let rest: BigInt = x - &power * ln2;
    // e^r = (e^(r / 2^8))^256
    let halvings = 8u32;
    let small = rest >> halvings;
    let one = BigInt::one() << bits;
    let (mut sum, mut term, mut n) = (one.clone(), one, 1u32);
    loop {
        term = ((term * &small) >> bits) / n;
        if term.is_zero() {
            break;
        }
        sum += &term;
        n += 1;
    }
    for _ in 0..halvings {
        sum = (&sum * &sum) >> bits;
    }
    let power = power.to_i64().unwrap_or(0);
    Float::new(sum.magnitude().clone(), power - bits as i64)
}

fn floor_div(a: &BigInt, b: &BigInt) -> BigInt {
    let quotient = a / b;
    if (a % b).is_negative() { quotient - 1 } else { quotient }
}

fn fixed_to_numeric(value: &BigInt, bits: u64, scale: u32) -> Result<Numeric> {
    let scaled = value * pow10_big(scale);
    Numeric::from_big(divide_rounded(scaled, &(BigInt::one() << bits)), scale)
}

/// `mantissa * 2^exponent`, not negative.
struct Float {
    mantissa: BigUint,
    exponent: i64,
}

impl Float {
    fn new(mantissa: BigUint, exponent: i64) -> Self {
        Self { mantissa, exponent }
    }

    /// Cut to `bits` significant bits; exact while shorter.
    fn cut(mut self, bits: u64) -> Self {
        let excess = self.mantissa.bits().saturating_sub(bits);
        self.mantissa >>= excess;
        self.exponent += excess as i64;
        self
    }

    fn power(self, mut n: u32, bits: u64) -> Self {
        let mut result = Self::new(BigUint::one(), 0);
        let mut square = self;
        loop {
            if n & 1 == 1 {
                result = Self::new(
                    result.mantissa * &square.mantissa,
                    result.exponent + square.exponent,
                )
                .cut(bits);
            }
            n >>= 1;
            if n == 0 {
                return result;
            }
            square = Self::new(&square.mantissa * &square.mantissa, square.exponent * 2).cut(bits);
        }
    }

    fn into_numeric(self, scale: u32) -> Result<Numeric> {
        self.divide_to_scale(&Self::new(BigUint::one(), 0), scale)
    }

    fn divide_to_scale(self, divisor: &Self, scale: u32) -> Result<Numeric> {
        let mut top = BigInt::from(self.mantissa) * pow10_big(scale);
        let mut bottom = BigInt::from(divisor.mantissa.clone());
        let shift = self.exponent - divisor.exponent;
        let magnitude = top.bits() as i64 + shift - bottom.bits() as i64;
        if magnitude > 600_000 {
            return Err(NumericError::Overflow);
        }
        if magnitude < -8 {
            return Ok(zero(scale));
        }
        if shift >= 0 {
            top <<= shift as u64;
        } else {
            bottom <<= shift.unsigned_abs();
        }
        Numeric::from_big(divide_rounded(top, &bottom), scale)
    }
}
