//! Bytes whose order is the numeric order.
//!
//! ```text
//! header | exponent | base-100 digits, last one marked | display scale (u16, big endian)
//! ```
//!
//! A positive value is `0.D1 D2 .. Dm * 100^e` with base-100 digits, the first and last not zero.
//! The header holds `e` itself when it is small; each digit byte is `2d` for the last digit and
//! `2d + 1` for one that is followed by others, so that the form delimits itself and a prefix
//! sorts first. A negative value is the complement of its absolute value's bytes. The scale tail
//! comes last: it only orders equal numbers, and [`sortable_key`] takes it off.

use bigdecimal::num_bigint::{BigInt, BigUint};

use super::{MAX_SCALE, Numeric, Repr, pow10_big};

/// Bytes at the end that hold the display scale.
pub const SCALE_TAIL: usize = 2;

const ZERO: u8 = 0x80;
/// Below every short exponent: three bytes of exponent follow.
const LOW: u8 = 0x81;
/// Short exponents -30..=90 are `SHORT + 30 + e`.
const SHORT: u8 = 0x82;
const SHORT_MIN: i32 = -30;
const SHORT_MAX: i32 = 90;
const HIGH: u8 = 0xfd;
const INFINITY: u8 = 0xfe;
const NEG_INFINITY: u8 = 0x01;
const NAN: u8 = 0xff;
const LONG_BIAS: i32 = 1 << 23;

/// The part that decides order and equality: everything but the display scale.
pub fn sortable_key(bytes: &[u8]) -> &[u8] {
    &bytes[..bytes.len().saturating_sub(SCALE_TAIL)]
}

impl Numeric {
    /// The order-preserving form, see the module.
    pub fn to_sortable(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(16);
        self.append_sortable(&mut out);
        out
    }

    /// Appends what [`Self::to_sortable`] returns.
    pub fn append_sortable(&self, out: &mut Vec<u8>) {
        let start = out.len();
        let scale = match &self.0 {
            Repr::NaN => {
                out.push(NAN);
                0
            }
            Repr::Infinity => {
                out.push(INFINITY);
                0
            }
            Repr::NegInfinity => {
                out.push(NEG_INFINITY);
                0
            }
            Repr::Small { coefficient, scale } => {
                let mut digits = [0u8; 20];
                match pairs_of(coefficient.unsigned_abs(), *scale, &mut digits) {
                    Some(pairs) => append_finite(out, pairs, *scale),
                    None => append_finite(out, &big_pairs(&(*coefficient).into(), *scale), *scale),
                }
                *scale
            }
            Repr::Big(big) => {
                append_finite(out, &big_pairs(&big.coefficient, big.scale), big.scale);
                big.scale
            }
        };
        if self.is_finite() && self.is_negative() {
            for byte in &mut out[start..] {
                *byte = !*byte;
            }
        }
        out.extend_from_slice(&scale.to_be_bytes());
    }

    /// `None` when `bytes` is not what [`Self::to_sortable`] writes.
    pub fn from_sortable(bytes: &[u8]) -> Option<Self> {
        let (key, tail) = bytes.split_at_checked(bytes.len().checked_sub(SCALE_TAIL)?)?;
        let scale = u16::from_be_bytes(tail.try_into().ok()?);
        if u32::from(scale) > MAX_SCALE {
            return None;
        }
        let (&header, rest) = key.split_first()?;
        let negative = header < ZERO;
        let flip = if negative { 0xff } else { 0 };
        let exponent = match (header, header ^ flip) {
            (NAN, _) if rest.is_empty() => return Some(Self::NAN),
            (NEG_INFINITY, _) if rest.is_empty() => return Some(Self::NEG_INFINITY),
            (INFINITY, _) if rest.is_empty() => return Some(Self::INFINITY),
            (ZERO, _) if rest.is_empty() => {
                return Some(Self(Repr::Small { coefficient: 0, scale }));
            }
            (NAN | NEG_INFINITY | INFINITY | ZERO, _) => return None,
            (_, LOW | HIGH) => {
                let long: [u8; 3] = rest.get(..3)?.try_into().ok()?;
                let [a, b, c] = long.map(|byte| i32::from(byte ^ flip));
                (a << 16 | b << 8 | c) - LONG_BIAS
            }
            (_, short @ SHORT..HIGH) => i32::from(short - SHORT) + SHORT_MIN,
            _ => return None,
        };
        let long = matches!(header ^ flip, LOW | HIGH);
        let digits = if long { rest.get(3..)? } else { rest };
        from_digits(negative, exponent, digits, flip, scale)
    }
}

/// Base-100 digits, most significant first, of `magnitude` shifted so that the decimal point
/// falls between two of them. `None` when the shift overflows.
fn pairs_of(magnitude: u128, scale: u16, buffer: &mut [u8; 20]) -> Option<&[u8]> {
    let mut rest = if scale % 2 == 1 { magnitude.checked_mul(10)? } else { magnitude };
    let mut at = buffer.len();
    while rest > u128::from(u64::MAX) {
        at -= 1;
        buffer[at] = (rest % 100) as u8;
        rest /= 100;
    }
    let mut rest = rest as u64;
    while rest > 0 {
        at -= 1;
        buffer[at] = (rest % 100) as u8;
        rest /= 100;
    }
    Some(&buffer[at..])
}

fn big_pairs(coefficient: &BigInt, scale: u16) -> Vec<u8> {
    let magnitude = coefficient.magnitude();
    let aligned = if scale % 2 == 1 { magnitude * 10u8 } else { magnitude.clone() };
    aligned.to_radix_be(100)
}

/// `pairs` are the digits before and after the point; `scale` digits (rounded up to even) after.
fn append_finite(out: &mut Vec<u8>, pairs: &[u8], scale: u16) {
    if pairs.is_empty() {
        out.push(ZERO);
        return;
    }
    let exponent = pairs.len() as i32 - i32::from(scale.div_ceil(2));
    if (SHORT_MIN..=SHORT_MAX).contains(&exponent) {
        out.push(SHORT + (exponent - SHORT_MIN) as u8);
    } else {
        out.push(if exponent < 0 { LOW } else { HIGH });
        out.extend_from_slice(&((exponent + LONG_BIAS) as u32).to_be_bytes()[1..]);
    }
    let end = pairs.iter().rposition(|pair| *pair != 0).map_or(0, |last| last + 1);
    out.extend(pairs[..end].iter().map(|pair| pair * 2 + 1));
    if let Some(last) = out.last_mut() {
        *last -= 1;
    }
}

fn from_digits(
    negative: bool,
    exponent: i32,
    encoded: &[u8],
    flip: u8,
    scale: u16,
) -> Option<Numeric> {
    // The value has digits.len() - exponent pairs after the point, of which the display scale
    // may show one digit less or more zeros.
    let after = 2 * (encoded.len() as i64 - i64::from(exponent));
    let shift = i64::from(scale) - after;
    if encoded.is_empty() || !(-1..=400_000).contains(&shift) {
        return None;
    }
    let count = encoded.len();
    let mut pairs = encoded.iter().enumerate().map(|(at, byte)| {
        let byte = byte ^ flip;
        let marked_last = byte.is_multiple_of(2);
        (marked_last == (at + 1 == count) && byte < 200).then_some(byte / 2)
    });
    if count <= 18 {
        let mut magnitude = 0i128;
        for pair in pairs {
            magnitude = magnitude * 100 + i128::from(pair?);
        }
        let shifted = match shift {
            -1 if magnitude % 10 == 0 => Some(magnitude / 10),
            -1 => return None,
            _ => super::pow10_i128(shift as u32).and_then(|power| magnitude.checked_mul(power)),
        };
        if let Some(magnitude) = shifted {
            let coefficient = if negative { -magnitude } else { magnitude };
            return Some(Numeric(Repr::Small { coefficient, scale }));
        }
        return finish(negative, BigInt::from(magnitude), shift, scale);
    }
    let digits: Option<Vec<u8>> = pairs.by_ref().collect();
    let magnitude = BigUint::from_radix_be(&digits?, 100)?;
    finish(negative, BigInt::from(magnitude), shift, scale)
}

fn finish(negative: bool, magnitude: BigInt, shift: i64, scale: u16) -> Option<Numeric> {
    let magnitude = match shift {
        -1 => {
            let tenth = &magnitude / 10;
            (&tenth * 10 == magnitude).then_some(tenth)?
        }
        _ => magnitude * pow10_big(shift as u32),
    };
    Numeric::from_big(if negative { -magnitude } else { magnitude }, u32::from(scale)).ok()
}
