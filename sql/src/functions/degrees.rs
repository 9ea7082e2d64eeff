//! Trigonometry in degrees, step by step as PostgreSQL computes it: exact where a result is known
//! to be, and equal in the last digit elsewhere.

use std::sync::LazyLock;

use super::library::Builder;
use super::math::{float, float2, in_range};

const RADIANS_PER_DEGREE: f64 = 0.017_453_292_519_943_295;

/// Results that others are divided by, so that these become exact.
struct Exact {
    sin_30: f64,
    one_minus_cos_60: f64,
    asin_half: f64,
    acos_half: f64,
    atan_one: f64,
}

static EXACT: LazyLock<Exact> = LazyLock::new(|| Exact {
    sin_30: (30.0 * RADIANS_PER_DEGREE).sin(),
    one_minus_cos_60: 1.0 - (60.0 * RADIANS_PER_DEGREE).cos(),
    asin_half: 0.5f64.asin(),
    acos_half: 0.5f64.acos(),
    atan_one: 1.0f64.atan(),
});

pub(crate) fn install(b: &mut Builder) {
    float(b, "sind", |v| in_range(v, !v.is_infinite()).map(sine));
    float(b, "cosd", |v| in_range(v, !v.is_infinite()).map(cosine));
    float(b, "tand", |v| {
        in_range(v, !v.is_infinite()).map(|v| quotient(v, sine_of_quarter, cosine_of_quarter))
    });
    float(b, "cotd", |v| {
        in_range(v, !v.is_infinite()).map(|v| quotient(v, cosine_of_quarter, sine_of_quarter))
    });
    float(b, "asind", |v| {
        in_range(v, v.is_nan() || v.abs() <= 1.0)
            .map(|v| if v >= 0.0 { arc_sine(v) } else { -arc_sine(-v) })
    });
    float(b, "acosd", |v| {
        in_range(v, v.is_nan() || v.abs() <= 1.0)
            .map(|v| if v >= 0.0 { arc_cosine(v) } else { 90.0 + arc_sine(-v) })
    });
    float(b, "atand", |v| Ok(v.atan() / EXACT.atan_one * 45.0));
    float2(b, "atan2d", |y, x| Ok(y.atan2(x) / EXACT.atan_one * 45.0));
}

/// Of 0 to 30 degrees.
fn small_sine(degrees: f64) -> f64 {
    (degrees * RADIANS_PER_DEGREE).sin() / EXACT.sin_30 / 2.0
}

/// Of 0 to 60 degrees.
fn small_cosine(degrees: f64) -> f64 {
    let one_minus = 1.0 - (degrees * RADIANS_PER_DEGREE).cos();
    1.0 - one_minus / EXACT.one_minus_cos_60 / 2.0
}

/// Of 0 to 90 degrees.
fn sine_of_quarter(degrees: f64) -> f64 {
    if degrees <= 30.0 { small_sine(degrees) } else { small_cosine(90.0 - degrees) }
}

/// Of 0 to 90 degrees.
fn cosine_of_quarter(degrees: f64) -> f64 {
    if degrees <= 60.0 { small_cosine(degrees) } else { small_sine(90.0 - degrees) }
}

/// Of 0 to 1.
fn arc_sine(value: f64) -> f64 {
    if value <= 0.5 {
        value.asin() / EXACT.asin_half * 30.0
    } else {
        90.0 - value.acos() / EXACT.acos_half * 60.0
    }
}

/// Of 0 to 1.
fn arc_cosine(value: f64) -> f64 {
    if value <= 0.5 {
        90.0 - value.asin() / EXACT.asin_half * 30.0
    } else {
        value.acos() / EXACT.acos_half * 60.0
    }
}

/// The angle in 0 to 90 degrees whose functions are the same up to their sign, and how often it
/// was mirrored: at 0, at 180 and at 90 degrees.
fn quarter(degrees: f64) -> (f64, [bool; 3]) {
    let mut degrees = degrees % 360.0;
    let mut mirrored = [false; 3];
    if degrees < 0.0 {
        (degrees, mirrored[0]) = (-degrees, true);
    }
    if degrees > 180.0 {
        (degrees, mirrored[1]) = (360.0 - degrees, true);
    }
    if degrees > 90.0 {
        (degrees, mirrored[2]) = (180.0 - degrees, true);
    }
    (degrees, mirrored)
}

fn sign(negative: bool) -> f64 {
    if negative { -1.0 } else { 1.0 }
}

fn sine(degrees: f64) -> f64 {
    let (degrees, [at_0, at_180, _]) = quarter(degrees);
    sign(at_0 != at_180) * sine_of_quarter(degrees)
}

fn cosine(degrees: f64) -> f64 {
    let (degrees, [_, _, at_90]) = quarter(degrees);
    sign(at_90) * cosine_of_quarter(degrees)
}

/// Tangent and cotangent: exact at 45 degrees, and without a negative zero.
fn quotient(degrees: f64, upper: fn(f64) -> f64, lower: fn(f64) -> f64) -> f64 {
    let (degrees, [at_0, at_180, at_90]) = quarter(degrees);
    let at_45 = upper(45.0) / lower(45.0);
    let result = sign(at_0 ^ at_180 ^ at_90) * (upper(degrees) / lower(degrees) / at_45);
    if result == 0.0 { 0.0 } else { result }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_angles_are_exact() {
        for turns in [-360.0, 0.0, 360.0] {
            assert_eq!(sine(30.0 + turns), 0.5);
            assert_eq!(cosine(60.0 + turns), 0.5);
            assert_eq!(sine(180.0 + turns), 0.0);
            assert_eq!(quotient(45.0 + turns, sine_of_quarter, cosine_of_quarter), 1.0);
            assert_eq!(quotient(135.0 + turns, cosine_of_quarter, sine_of_quarter), -1.0);
        }
        assert_eq!(arc_sine(0.5), 30.0);
        assert_eq!(arc_cosine(0.5), 60.0);
        assert_eq!(arc_cosine(0.0), 90.0);
    }
}
