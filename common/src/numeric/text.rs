//! Text form of `numeric`.

use std::fmt;
use std::str::FromStr;

use bigdecimal::num_bigint::{BigInt, BigUint};

use super::{MAX_INTEGER_DIGITS, MAX_SCALE, Numeric, NumericError, Repr, Result, pow10_big};

impl Numeric {
    /// PostgreSQL's input syntax: `-1.50`, `.5`, `1e10`, `NaN`, `Infinity`, `-inf`, blanks around.
    pub fn parse(text: &str) -> Result<Self> {
        parse_bytes(text.as_bytes()).map_err(|failure| match failure {
            Failure::Syntax => NumericError::Syntax(text.to_owned()),
            Failure::Overflow => NumericError::Overflow,
        })
    }
}

enum Failure {
    Syntax,
    Overflow,
}

fn parse_bytes(bytes: &[u8]) -> std::result::Result<Numeric, Failure> {
    let trimmed = trim(bytes);
    let (negative, signed, body) = match trimmed.first() {
        Some(b'-') => (true, true, &trimmed[1..]),
        Some(b'+') => (false, true, &trimmed[1..]),
        _ => (false, false, trimmed),
    };
    let mut coefficient = 0i128;
    let mut digits = 0usize;
    let mut significant = 0usize;
    let mut fraction = 0u32;
    let mut point = false;
    let mut at = 0;
    while let Some(&byte) = body.get(at) {
        match byte {
            b'0'..=b'9' => {
                digits += 1;
                if significant > 0 || byte != b'0' {
                    significant += 1;
                }
                if significant <= 38 {
                    coefficient = coefficient * 10 + i128::from(byte - b'0');
                }
                if point {
                    fraction += 1;
                }
            }
            b'.' if !point => point = true,
            _ => break,
        }
        at += 1;
    }
    if digits == 0 {
        return special(body, negative, signed).ok_or(Failure::Syntax);
    }
    let exponent = match body.get(at) {
        None => 0,
        Some(b'e' | b'E') => parse_exponent(&body[at + 1..])?,
        Some(_) => return Err(Failure::Syntax),
    };
    let scale = i64::from(fraction) - exponent;
    if significant <= 38 && (0..=i64::from(MAX_SCALE)).contains(&scale) {
        let coefficient = if negative { -coefficient } else { coefficient };
        return Ok(Numeric(Repr::Small { coefficient, scale: scale as u16 }));
    }
    if scale > i64::from(MAX_SCALE) {
        return Err(Failure::Overflow);
    }
    let mut plain = body[..at].to_vec();
    plain.retain(u8::is_ascii_digit);
    let magnitude = BigUint::parse_bytes(&plain, 10).ok_or(Failure::Syntax)?;
    if significant == 0 {
        return Ok(Numeric(Repr::Small { coefficient: 0, scale: scale.max(0) as u16 }));
    }
    let zeros = (-scale).max(0);
    if significant as i64 + zeros - scale.max(0) > MAX_INTEGER_DIGITS {
        return Err(Failure::Overflow);
    }
    let magnitude = BigInt::from(magnitude) * pow10_big(zeros as u32);
    let coefficient = if negative { -magnitude } else { magnitude };
    Numeric::from_big(coefficient, scale.max(0) as u32).map_err(|_| Failure::Overflow)
}

fn parse_exponent(bytes: &[u8]) -> std::result::Result<i64, Failure> {
    let (negative, digits) = match bytes.first() {
        Some(b'-') => (true, &bytes[1..]),
        Some(b'+') => (false, &bytes[1..]),
        _ => (false, bytes),
    };
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return Err(Failure::Syntax);
    }
    let mut value = 0i64;
    for digit in digits {
        value = value * 10 + i64::from(digit - b'0');
        if value >= i64::from(i32::MAX / 2) {
            return Err(Failure::Overflow);
        }
    }
    Ok(if negative { -value } else { value })
}

fn special(body: &[u8], negative: bool, signed: bool) -> Option<Numeric> {
    if body.eq_ignore_ascii_case(b"nan") && !signed {
        return Some(Numeric::NAN);
    }
    if body.eq_ignore_ascii_case(b"infinity") || body.eq_ignore_ascii_case(b"inf") {
        return Some(if negative { Numeric::NEG_INFINITY } else { Numeric::INFINITY });
    }
    None
}

/// Without the blanks that C's `isspace` knows.
fn trim(bytes: &[u8]) -> &[u8] {
    let blank = |b: &u8| matches!(b, b' ' | b'\t' | b'\n' | b'\r' | 0x0b | 0x0c);
    let start = bytes.iter().position(|b| !blank(b)).unwrap_or(bytes.len());
    let end = bytes.iter().rposition(|b| !blank(b)).map_or(start, |last| last + 1);
    &bytes[start..end]
}

impl FromStr for Numeric {
    type Err = NumericError;

    fn from_str(text: &str) -> Result<Self> {
        Self::parse(text)
    }
}

impl fmt::Display for Numeric {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Repr::NaN => f.write_str("NaN"),
            Repr::Infinity => f.write_str("Infinity"),
            Repr::NegInfinity => f.write_str("-Infinity"),
            Repr::Small { coefficient, scale } => {
                // 39 digits and a sign at most, or the scale's zeros: written without a heap.
                let mut buffer = [0u8; 40];
                let digits = decimal(coefficient.unsigned_abs(), &mut buffer);
                write_point(f, *coefficient < 0, digits, usize::from(*scale))
            }
            Repr::Big(big) => {
                let digits = big.coefficient.magnitude().to_string();
                let negative = big.coefficient < BigInt::ZERO;
                write_point(f, negative, &digits, usize::from(big.scale))
            }
        }
    }
}

impl fmt::Debug for Numeric {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Numeric({self})")
    }
}

/// Decimal digits of `value`, at least one, in the end of `buffer`.
fn decimal(mut value: u128, buffer: &mut [u8; 40]) -> &str {
    let mut at = buffer.len();
    // 128-bit division is slow: peel off 19 digits at a time.
    const CHUNK: u128 = 10_000_000_000_000_000_000;
    loop {
        let (rest, mut low) = (value / CHUNK, (value % CHUNK) as u64);
        let last = rest == 0;
        let stop = if last { at } else { at - 19 };
        loop {
            at -= 1;
            buffer[at] = b'0' + (low % 10) as u8;
            low /= 10;
            if low == 0 && (last || at == stop) {
                break;
            }
        }
        if last {
            break;
        }
        value = rest;
    }
    std::str::from_utf8(&buffer[at..]).unwrap_or("0")
}

fn write_point(
    f: &mut fmt::Formatter<'_>,
    negative: bool,
    digits: &str,
    scale: usize,
) -> fmt::Result {
    if negative {
        f.write_str("-")?;
    }
    if scale == 0 {
        return f.write_str(digits);
    }
    if digits.len() > scale {
        let (whole, fraction) = digits.split_at(digits.len() - scale);
        f.write_str(whole)?;
        f.write_str(".")?;
        return f.write_str(fraction);
    }
    f.write_str("0.")?;
    for _ in digits.len()..scale {
        f.write_str("0")?;
    }
    f.write_str(digits)
}
