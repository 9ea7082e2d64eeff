//! Mathematical functions.

use datafusion::arrow::datatypes::{DataType, Float64Type};
use satsuma_common::numeric::Numeric;
use satsuma_common::numeric::NumericError;
use satsuma_common::{Datum, PgType, SqlError, SqlResult, SqlState};

use super::Typed;
use super::error::{float_underflow, out_of_range, unexpected_value};
use super::library::Builder;
use super::vector;
use crate::interrupt;
use crate::operators;
use crate::operators::arithmetic::float_power;

pub(crate) fn install(b: &mut Builder) {
    operators::arithmetic::install_functions(b);
    operators::keys::install_functions(b);
    rounding(b);
    integers(b);
    floats(b);
    numerics(b);
    random(b);
}

/// A function of one double.
pub(super) fn float(b: &mut Builder, name: &str, f: fn(f64) -> SqlResult<f64>) {
    b.columns(&format!("{name}(float8) float8"), move |args, _| {
        let [value] = args else { return Err(unexpected_value("an argument")) };
        vector::unary::<Float64Type, Float64Type>(value, DataType::Float64, f)
    });
}

pub(super) fn float2(b: &mut Builder, name: &str, f: fn(f64, f64) -> SqlResult<f64>) {
    b.columns(&format!("{name}(float8,float8) float8"), move |args, _| {
        let [left, right] = args else { return Err(unexpected_value("an argument")) };
        vector::binary::<Float64Type, Float64Type, Float64Type>(left, right, DataType::Float64, f)
    });
}

type NumericResult = Result<Numeric, NumericError>;

/// A function of one numeric.
fn numeric(b: &mut Builder, name: &str, f: fn(&Numeric) -> NumericResult) {
    b.row(&format!("{name}(numeric) numeric"), move |args, _| match args {
        [Datum::Numeric(v)] => Ok(Datum::Numeric(f(v)?)),
        _ => Err(unexpected_value("numeric")),
    });
}

fn numeric2(b: &mut Builder, name: &str, f: fn(&Numeric, &Numeric) -> NumericResult) {
    b.row(&format!("{name}(numeric,numeric) numeric"), move |args, _| match args {
        [Datum::Numeric(a), Datum::Numeric(b)] => Ok(Datum::Numeric(f(a, b)?)),
        _ => Err(unexpected_value("numeric")),
    });
}

fn rounding(b: &mut Builder) {
    for name in ["ceil", "ceiling"] {
        float(b, name, |v| Ok(v.ceil()));
        numeric(b, name, |v| Ok(v.ceil()));
    }
    float(b, "floor", |v| Ok(v.floor()));
    numeric(b, "floor", |v| Ok(v.floor()));
    float(b, "round", |v| Ok(v.round_ties_even()));
    float(b, "trunc", |v| Ok(v.trunc()));
    numeric(b, "round", |v| Ok(v.round(0)));
    numeric(b, "trunc", |v| Ok(v.trunc(0)));
    b.row("round(numeric,int4) numeric", |args, _| match args {
        [Datum::Numeric(v), Datum::Int4(scale)] => Ok(Datum::Numeric(v.round_clamped(*scale))),
        _ => Err(unexpected_value("numeric")),
    });
    b.row("trunc(numeric,int4) numeric", |args, _| match args {
        [Datum::Numeric(v), Datum::Int4(scale)] => Ok(Datum::Numeric(v.trunc_clamped(*scale))),
        _ => Err(unexpected_value("numeric")),
    });
}

fn integers(b: &mut Builder) {
    for ty in ["int2", "int4", "int8", "float4", "float8"] {
        b.rewrite(&format!("abs({ty}) {ty}"), |mut args, _, env| {
            let value = args.pop().ok_or_else(|| unexpected_value("abs"))?;
            operators::unary("@", value, env)
        });
    }
    for ty in ["int2", "int4", "int8", "numeric"] {
        b.rewrite(&format!("mod({ty},{ty}) {ty}"), |args, _, env| {
            let Ok([left, right]) = <[Typed; 2]>::try_from(args) else {
                return Err(unexpected_value("mod"));
            };
            operators::binary("%", left, right, env)
        });
    }
    b.row("gcd(int4,int4) int4", |args, _| match args {
        [Datum::Int4(a), Datum::Int4(b)] => {
            let gcd = gcd(i128::from(*a), i128::from(*b));
            Ok(Datum::Int4(gcd.try_into().map_err(|_| out_of_range(&PgType::Int4))?))
        }
        _ => Err(unexpected_value("gcd")),
    });
    b.row("gcd(int8,int8) int8", |args, _| match args {
        [Datum::Int8(a), Datum::Int8(b)] => {
            let gcd = gcd(i128::from(*a), i128::from(*b));
            Ok(Datum::Int8(gcd.try_into().map_err(|_| out_of_range(&PgType::Int8))?))
        }
        _ => Err(unexpected_value("gcd")),
    });
    b.row("lcm(int4,int4) int4", |args, _| match args {
        [Datum::Int4(a), Datum::Int4(b)] => {
            let lcm = lcm(i128::from(*a), i128::from(*b));
            Ok(Datum::Int4(lcm.try_into().map_err(|_| out_of_range(&PgType::Int4))?))
        }
        _ => Err(unexpected_value("lcm")),
    });
    b.row("lcm(int8,int8) int8", |args, _| match args {
        [Datum::Int8(a), Datum::Int8(b)] => {
            let lcm = lcm(i128::from(*a), i128::from(*b));
            Ok(Datum::Int8(lcm.try_into().map_err(|_| out_of_range(&PgType::Int8))?))
        }
        _ => Err(unexpected_value("lcm")),
    });
}

fn gcd(a: i128, b: i128) -> i128 {
    let (mut a, mut b) = (a.abs(), b.abs());
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}

fn lcm(a: i128, b: i128) -> i128 {
    if a == 0 || b == 0 { 0 } else { (a / gcd(a, b) * b).abs() }
}

/// A result that is infinite or zero where the argument was not.
fn checked(result: f64, argument: f64) -> SqlResult<f64> {
    if result.is_infinite() && argument.is_finite() {
        return Err(out_of_range(&PgType::Float8));
    }
    Ok(result)
}

fn domain(message: &str) -> SqlError {
    SqlError::new(SqlState::NUMERIC_VALUE_OUT_OF_RANGE, message)
}

fn log_domain(value: f64) -> SqlResult<()> {
    let error = |message: &str| Err(SqlError::new(SqlState::INVALID_ARGUMENT_FOR_LOG, message));
    if value == 0.0 {
        return error("cannot take logarithm of zero");
    }
    if value < 0.0 {
        return error("cannot take logarithm of a negative number");
    }
    Ok(())
}

fn floats(b: &mut Builder) {
    float(b, "sqrt", |v| {
        if v < 0.0 {
            return Err(SqlError::new(
                SqlState::INVALID_ARGUMENT_FOR_POWER_FUNCTION,
                "cannot take square root of a negative number",
            ));
        }
        Ok(v.sqrt())
    });
    float(b, "cbrt", |v| Ok(v.cbrt()));
    float(b, "exp", |v| {
        let result = checked(v.exp(), v)?;
        if result == 0.0 && v.is_finite() { Err(float_underflow()) } else { Ok(result) }
    });
    float(b, "ln", |v| log_domain(v).map(|()| v.ln()));
    float(b, "log", |v| log_domain(v).map(|()| v.log10()));
    float(b, "log10", |v| log_domain(v).map(|()| v.log10()));
    float(b, "sign", |v| {
        Ok(if v > 0.0 {
            1.0
        } else if v < 0.0 {
            -1.0
        } else {
            v
        })
    });
    float2(b, "power", float_power);
    float2(b, "pow", float_power);
    float(b, "degrees", |v| checked(v.to_degrees(), v));
    float(b, "radians", |v| Ok(v / (180.0 / std::f64::consts::PI)));
    b.row("pi() float8", |_, _| Ok(Datum::Float8(std::f64::consts::PI)));
    float(b, "sin", |v| in_range(v, !v.is_infinite()).map(f64::sin));
    float(b, "cos", |v| in_range(v, !v.is_infinite()).map(f64::cos));
    float(b, "tan", |v| in_range(v, !v.is_infinite()).map(f64::tan));
    float(b, "cot", |v| in_range(v, !v.is_infinite()).map(|v| 1.0 / v.tan()));
    float(b, "asin", |v| in_range(v, v.is_nan() || v.abs() <= 1.0).map(f64::asin));
    float(b, "acos", |v| in_range(v, v.is_nan() || v.abs() <= 1.0).map(f64::acos));
    float(b, "atan", |v| Ok(v.atan()));
    float2(b, "atan2", |y, x| Ok(y.atan2(x)));
    float(b, "sinh", |v| Ok(v.sinh()));
    float(b, "cosh", |v| Ok(v.cosh()));
    float(b, "tanh", |v| Ok(v.tanh()));
    float(b, "asinh", |v| Ok(v.asinh()));
    float(b, "acosh", |v| in_range(v, v.is_nan() || v >= 1.0).map(f64::acosh));
    float(b, "atanh", |v| in_range(v, v.is_nan() || v.abs() <= 1.0).map(f64::atanh));
    b.row("width_bucket(float8,float8,float8,int4) int4", |args, _| match args {
        [Datum::Float8(v), Datum::Float8(lo), Datum::Float8(hi), Datum::Int4(n)] => {
            width_bucket(*v, *lo, *hi, *n).map(Datum::Int4)
        }
        _ => Err(unexpected_value("width_bucket")),
    });
    b.row("width_bucket(numeric,numeric,numeric,int4) int4", |args, _| match args {
        [Datum::Numeric(v), Datum::Numeric(lo), Datum::Numeric(hi), Datum::Int4(n)] => {
            numeric_bucket(v, lo, hi, *n)
        }
        _ => Err(unexpected_value("width_bucket")),
    });
    b.row("width_bucket(anycompatible,anycompatiblearray) int4", |args, call| match args {
        [value, Datum::Array(bounds)] => {
            let mut bucket = 0;
            let ty = call.arguments.first().unwrap_or(&PgType::Text);
            for bound in &bounds.values {
                if bound.is_null() {
                    return Err(SqlError::new(
                        SqlState::NULL_VALUE_NOT_ALLOWED,
                        "thresholds array must not contain NULLs",
                    ));
                }
                if operators::keys::compare_values(bound, value, ty)?.is_gt() {
                    break;
                }
                bucket += 1;
            }
            Ok(Datum::Int4(bucket))
        }
        _ => Err(unexpected_value("width_bucket")),
    });
}

pub(super) fn in_range(value: f64, within: bool) -> SqlResult<f64> {
    if within { Ok(value) } else { Err(domain("input is out of range")) }
}

fn bucket_error(message: &str) -> SqlError {
    SqlError::new(SqlState(*b"2201G"), message)
}

fn width_bucket(value: f64, lo: f64, hi: f64, count: i32) -> SqlResult<i32> {
    if count <= 0 {
        return Err(bucket_error("count must be greater than zero"));
    }
    if value.is_nan() || lo.is_nan() || hi.is_nan() {
        return Err(bucket_error("operand, lower bound, and upper bound cannot be NaN"));
    }
    if lo.is_infinite() || hi.is_infinite() {
        return Err(bucket_error("lower and upper bounds must be finite"));
    }
    if lo == hi {
        return Err(bucket_error("lower bound cannot equal upper bound"));
    }
    let above = count.checked_add(1).ok_or_else(|| out_of_range(&PgType::Int4));
    let inside =
        |part: f64, whole: f64| ((f64::from(count) * (part / whole)) as i32 + 1).min(count);
    if lo < hi {
        if value < lo {
            Ok(0)
        } else if value >= hi {
            above
        } else {
            Ok(inside(value - lo, hi - lo))
        }
    } else if value > lo {
        Ok(0)
    } else if value <= hi {
        above
    } else {
        Ok(inside(lo - value, lo - hi))
    }
}

fn numeric_bucket(v: &Numeric, lo: &Numeric, hi: &Numeric, count: i32) -> SqlResult<Datum> {
    if count <= 0 {
        return Err(bucket_error("count must be greater than zero"));
    }
    if v.is_nan() || lo.is_nan() || hi.is_nan() {
        return Err(bucket_error("operand, lower bound, and upper bound cannot be NaN"));
    }
    if lo.is_infinite() || hi.is_infinite() {
        return Err(bucket_error("lower and upper bounds must be finite"));
    }
    if lo == hi {
        return Err(bucket_error("lower bound cannot equal upper bound"));
    }
    let ascending = lo < hi;
    let (before, beyond) = if ascending { (v < lo, v >= hi) } else { (v > lo, v <= hi) };
    if before {
        return Ok(Datum::Int4(0));
    }
    if beyond {
        return Ok(Datum::Int4(count.checked_add(1).ok_or_else(|| out_of_range(&PgType::Int4))?));
    }
    let part = v.sub(lo)?.mul(&Numeric::from(i64::from(count)))?;
    let bucket = part.div_trunc(&hi.sub(lo)?)?.to_i32()?;
    Ok(Datum::Int4((bucket + 1).min(count)))
}

fn numerics(b: &mut Builder) {
    numeric(b, "abs", |v| Ok(v.abs()));
    numeric(b, "sign", |v| Ok(v.sign()));
    numeric(b, "sqrt", Numeric::sqrt);
    numeric(b, "exp", Numeric::exp);
    numeric(b, "ln", Numeric::ln);
    numeric(b, "log", Numeric::log10);
    numeric(b, "log10", Numeric::log10);
    numeric(b, "trim_scale", |v| Ok(v.trim_scale()));
    // PostgreSQL's argument order: base, then number.
    numeric2(b, "log", |base, v| v.log(base));
    numeric2(b, "power", Numeric::power);
    numeric2(b, "pow", Numeric::power);
    numeric2(b, "div", Numeric::div_trunc);
    numeric2(b, "gcd", Numeric::gcd);
    numeric2(b, "lcm", Numeric::lcm);
    b.row("scale(numeric) int4", |args, _| match args {
        [Datum::Numeric(v)] => Ok(v.scale().map_or(Datum::Null, |s| Datum::Int4(s as i32))),
        _ => Err(unexpected_value("numeric")),
    });
    b.row("min_scale(numeric) int4", |args, _| match args {
        [Datum::Numeric(v)] => Ok(v.min_scale().map_or(Datum::Null, |s| Datum::Int4(s as i32))),
        _ => Err(unexpected_value("numeric")),
    });
    b.row("factorial(int8) numeric", |args, _| match args {
        [Datum::Int8(n)] => factorial(*n),
        _ => Err(unexpected_value("factorial")),
    });
}

fn factorial(n: i64) -> SqlResult<Datum> {
    if n < 0 {
        return Err(domain("factorial of a negative number is undefined"));
    }
    if n > 32177 {
        return Err(out_of_range(&PgType::Numeric(None)));
    }
    interrupt::apart(|| {
        let mut product = Numeric::from(1i64);
        for factor in 2..=n {
            interrupt::check()?;
            product = product.mul(&Numeric::from(factor))?;
        }
        Ok(Datum::Numeric(product))
    })
}

fn random(b: &mut Builder) {
    b.volatile(|b| {
        b.infallible(|b| {
            b.row("random() float8", |_, _| Ok(Datum::Float8(rand::random::<f64>())));
        });
    });
}
