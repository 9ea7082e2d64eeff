//! Arithmetic of numbers: integers and floats are checked, numerics exact.
//!
//! Operands of two integer (or float) types are brought to the wider one first, so that there is
//! one loop per type and operator. Numerics stay in Decimal128 and DataFusion's own arithmetic
//! where the result is certain to fit; else they go through `common`'s.

use datafusion::arrow::datatypes::{
    ArrowPrimitiveType, Float32Type, Float64Type, Int16Type, Int32Type, Int64Type,
};
use datafusion::logical_expr::{BinaryExpr, ColumnarValue, Expr, Operator};
use satsuma_common::numeric::Numeric;
use satsuma_common::numeric::NumericError;
use satsuma_common::{Datum, NumericMod, PgType, SqlError, SqlResult, SqlState, arrow_types};

use crate::casts::{self, CastKind};
use crate::functions::error::{division_by_zero, float_underflow, out_of_range, unexpected_value};
use crate::functions::library::Builder;
use crate::functions::vector::{binary, unary};
use crate::functions::{Typed, call_as_is, call_known};

pub(crate) fn install(b: &mut Builder) {
    integers::<Int16Type>(b, "int2", PgType::Int2);
    integers::<Int32Type>(b, "int4", PgType::Int4);
    integers::<Int64Type>(b, "int8", PgType::Int8);
    floats::<Float32Type>(b, "float4", PgType::Float4);
    floats::<Float64Type>(b, "float8", PgType::Float8);
    mixed(b, &["int2", "int4", "int8"]);
    mixed(b, &["float4", "float8"]);
    numerics(b);
    functions(b);
    bits(b);
}

/// Functions behind the numeric operators, under PostgreSQL's own names.
pub(crate) fn install_functions(b: &mut Builder) {
    type Op = fn(&Numeric, &Numeric) -> Result<Numeric, NumericError>;
    let ops: [(&str, Op); 5] = [
        ("numeric_add", Numeric::add),
        ("numeric_sub", Numeric::sub),
        ("numeric_mul", Numeric::mul),
        ("numeric_div", Numeric::div),
        ("numeric_mod", Numeric::rem),
    ];
    for (name, op) in ops {
        b.row(&format!("{name}(numeric,numeric) numeric"), move |args, _| match args {
            [Datum::Numeric(a), Datum::Numeric(b)] => Ok(Datum::Numeric(op(a, b)?)),
            _ => Err(unexpected_value("numeric")),
        });
    }
    b.row("numeric_uminus(numeric) numeric", |args, _| match args {
        [Datum::Numeric(a)] => Ok(Datum::Numeric(a.neg())),
        _ => Err(unexpected_value("numeric")),
    });
}

/// The checked operations of an integer type.
trait Checked: Copy + PartialEq {
    const ZERO: Self;
    fn plus(self, other: Self) -> Option<Self>;
    fn minus(self, other: Self) -> Option<Self>;
    fn times(self, other: Self) -> Option<Self>;
    /// `None` only for the one quotient that does not fit; the divisor is not zero.
    fn over(self, other: Self) -> Option<Self>;
    fn modulo(self, other: Self) -> Self;
    fn negate(self) -> Option<Self>;
    fn absolute(self) -> Option<Self>;
}

macro_rules! checked {
    ($($ty:ty),*) => {$(
        impl Checked for $ty {
            const ZERO: Self = 0;
            fn plus(self, other: Self) -> Option<Self> { self.checked_add(other) }
            fn minus(self, other: Self) -> Option<Self> { self.checked_sub(other) }
            fn times(self, other: Self) -> Option<Self> { self.checked_mul(other) }
            fn over(self, other: Self) -> Option<Self> { self.checked_div(other) }
            fn modulo(self, other: Self) -> Self { self.wrapping_rem(other) }
            fn negate(self) -> Option<Self> { self.checked_neg() }
            fn absolute(self) -> Option<Self> { self.checked_abs() }
        }
    )*};
}
checked!(i16, i32, i64);

fn integers<T>(b: &mut Builder, name: &str, ty: PgType)
where
    T: ArrowPrimitiveType,
    T::Native: Checked,
{
    let two = |b: &mut Builder, op: &str, f: fn(T::Native, T::Native) -> Option<T::Native>| {
        let ty = ty.clone();
        b.columns(&format!("{op}({name},{name}) {name}"), move |args, _| {
            let [left, right] = args else { return Err(unexpected_value("an operator")) };
            binary::<T, T, T>(left, right, T::DATA_TYPE, |a, b| {
                f(a, b).ok_or_else(|| out_of_range(&ty))
            })
        });
    };
    b.infallible(|b| {
        two(b, "+", Checked::plus);
        two(b, "-", Checked::minus);
        two(b, "*", Checked::times);
        one::<T>(b, "-", name, &ty, Checked::negate);
        one::<T>(b, "@", name, &ty, Checked::absolute);
        identity(b, name);
    });
    let range = ty.clone();
    b.columns(&format!("/({name},{name}) {name}"), move |args, _| {
        let [left, right] = args else { return Err(unexpected_value("an operator")) };
        binary::<T, T, T>(left, right, T::DATA_TYPE, |a, b| {
            if b == T::Native::ZERO {
                return Err(division_by_zero());
            }
            a.over(b).ok_or_else(|| out_of_range(&range))
        })
    });
    b.columns(&format!("%({name},{name}) {name}"), |args, _| {
        let [left, right] = args else { return Err(unexpected_value("an operator")) };
        binary::<T, T, T>(left, right, T::DATA_TYPE, |a, b| {
            if b == T::Native::ZERO { Err(division_by_zero()) } else { Ok(a.modulo(b)) }
        })
    });
}

/// Unary plus.
fn identity(b: &mut Builder, name: &str) {
    b.rewrite(&format!("+({name}) {name}"), |mut args, _, _| {
        args.pop().ok_or_else(|| unexpected_value("an operator"))
    });
}

fn one<T: ArrowPrimitiveType>(
    b: &mut Builder,
    op: &str,
    name: &str,
    ty: &PgType,
    f: fn(T::Native) -> Option<T::Native>,
) {
    let ty = ty.clone();
    b.columns(&format!("{op}({name}) {name}"), move |args, _| {
        let [value] = args else { return Err(unexpected_value("an operator")) };
        unary::<T, T>(value, T::DATA_TYPE, |v| f(v).ok_or_else(|| out_of_range(&ty)))
    });
}

/// The operations of a float type; results are checked by the caller.
trait Real: Copy {
    fn wide(self) -> f64;
    fn plus(self, other: Self) -> Self;
    fn minus(self, other: Self) -> Self;
    fn times(self, other: Self) -> Self;
    fn over(self, other: Self) -> Self;
    fn negate(self) -> Self;
    fn absolute(self) -> Self;
}

macro_rules! real {
    ($($ty:ty),*) => {$(
        impl Real for $ty {
            fn wide(self) -> f64 { self.into() }
            fn plus(self, other: Self) -> Self { self + other }
            fn minus(self, other: Self) -> Self { self - other }
            fn times(self, other: Self) -> Self { self * other }
            fn over(self, other: Self) -> Self { self / other }
            fn negate(self) -> Self { -self }
            fn absolute(self) -> Self { self.abs() }
        }
    )*};
}
real!(f32, f64);

/// Infinity out of finite operands is an overflow.
fn finite<F: Real>(result: F, a: F, b: F, ty: &PgType) -> SqlResult<F> {
    if result.wide().is_infinite() && a.wide().is_finite() && b.wide().is_finite() {
        return Err(out_of_range(ty));
    }
    Ok(result)
}

type FloatOp<T> = fn(T, T, &PgType) -> SqlResult<T>;

fn floats<T>(b: &mut Builder, name: &str, ty: PgType)
where
    T: ArrowPrimitiveType,
    T::Native: Real,
{
    let two = |b: &mut Builder, op: &str, f: FloatOp<T::Native>| {
        let ty = ty.clone();
        b.columns(&format!("{op}({name},{name}) {name}"), move |args, _| {
            let [left, right] = args else { return Err(unexpected_value("an operator")) };
            binary::<T, T, T>(left, right, T::DATA_TYPE, |a, b| f(a, b, &ty))
        });
    };
    b.infallible(|b| {
        two(b, "+", |a, b, ty| finite(a.plus(b), a, b, ty));
        two(b, "-", |a, b, ty| finite(a.minus(b), a, b, ty));
        two(b, "*", |a, b, ty| {
            let product = finite(a.times(b), a, b, ty)?;
            if product.wide() == 0.0 && a.wide() != 0.0 && b.wide() != 0.0 {
                return Err(float_underflow());
            }
            Ok(product)
        });
        one::<T>(b, "-", name, &ty, |v| Some(v.negate()));
        one::<T>(b, "@", name, &ty, |v| Some(v.absolute()));
        identity(b, name);
    });
    two(b, "/", |a, b, ty| {
        if b.wide() == 0.0 && !a.wide().is_nan() {
            return Err(division_by_zero());
        }
        let quotient = finite(a.over(b), a, b, ty)?;
        if quotient.wide() == 0.0 && a.wide() != 0.0 && !b.wide().is_infinite() {
            return Err(float_underflow());
        }
        Ok(quotient)
    });
}

/// Operators between two types of a family: the narrower operand is widened.
fn mixed(b: &mut Builder, widening: &[&str]) {
    for (i, left) in widening.iter().enumerate() {
        for (j, right) in widening.iter().enumerate() {
            if i == j {
                continue;
            }
            let wide = widening[i.max(j)];
            for op in ["+", "-", "*", "/"] {
                b.rewrite(&format!("{op}({left},{right}) {wide}"), move |args, result, env| {
                    let mut wide = Vec::with_capacity(2);
                    for arg in args {
                        wide.push(casts::cast(arg, result, CastKind::Implicit, env)?);
                    }
                    super::call(op, wide, env)
                });
            }
        }
    }
}

fn numerics(b: &mut Builder) {
    let exact = |b: &mut Builder, op: &'static str, native: Operator, function: &'static str| {
        b.rewrite(&format!("{op}(numeric,numeric) numeric"), move |args, _, env| {
            match decimal_result(native, &args) {
                Some(ty) => native_decimal(native, args, ty),
                None => call_as_is(function, args, env),
            }
        });
    };
    exact(b, "+", Operator::Plus, "numeric_add(numeric,numeric)");
    exact(b, "-", Operator::Minus, "numeric_sub(numeric,numeric)");
    exact(b, "*", Operator::Multiply, "numeric_mul(numeric,numeric)");
    b.rewrite("/(numeric,numeric) numeric", |args, _, env| {
        call_known("numeric_div(numeric,numeric)", args, env)
    });
    b.rewrite("%(numeric,numeric) numeric", |args, _, env| {
        call_known("numeric_mod(numeric,numeric)", args, env)
    });
    b.rewrite("-(numeric) numeric", |mut args, _, env| {
        let value = args.pop().ok_or_else(|| unexpected_value("an operator"))?;
        if let Some(Ok(Datum::Numeric(number))) = value.as_constant() {
            return Typed::constant(Datum::Numeric(number.neg()), value.ty);
        }
        match &value.ty {
            PgType::Numeric(Some(m)) if arrow_types::fits_decimal128(*m) => {
                Ok(Typed::new(Expr::Negative(Box::new(value.expr)), value.ty))
            }
            _ => call_known("numeric_uminus(numeric)", vec![value], env),
        }
    });
    identity(b, "numeric");
    b.rewrite("@(numeric) numeric", |args, _, env| call_known("abs(numeric)", args, env));
}

/// The Decimal128 type that holds every result, if there is one.
fn decimal_result(op: Operator, args: &[Typed]) -> Option<PgType> {
    let [PgType::Numeric(Some(a)), PgType::Numeric(Some(b))] =
        [&args.first()?.ty, &args.get(1)?.ty]
    else {
        return None;
    };
    if !arrow_types::fits_decimal128(*a) || !arrow_types::fits_decimal128(*b) {
        return None;
    }
    let integer = |m: &NumericMod| m.precision as i16 - m.scale;
    let (precision, scale) = match op {
        Operator::Multiply => (a.precision + b.precision + 1, a.scale + b.scale),
        _ => {
            let scale = a.scale.max(b.scale);
            ((integer(a).max(integer(b)) + scale + 1) as u16, scale)
        }
    };
    (precision <= 38).then_some(PgType::Numeric(Some(NumericMod { precision, scale })))
}

/// DataFusion derives the very type that [`decimal_result`] does.
fn native_decimal(op: Operator, args: Vec<Typed>, ty: PgType) -> SqlResult<Typed> {
    let Ok([left, right]) = <[Typed; 2]>::try_from(args) else {
        return Err(unexpected_value("an operator"));
    };
    let expr = BinaryExpr::new(Box::new(left.expr), op, Box::new(right.expr));
    Ok(Typed::new(Expr::BinaryExpr(expr), ty))
}

/// Operators that are functions under another name.
fn functions(b: &mut Builder) {
    for (signature, key) in [
        ("^(float8,float8) float8", "power(float8,float8)"),
        ("^(numeric,numeric) numeric", "power(numeric,numeric)"),
        ("|/(float8) float8", "sqrt(float8)"),
        ("||/(float8) float8", "cbrt(float8)"),
    ] {
        b.rewrite(signature, move |args, _, env| call_known(key, args, env));
    }
}

/// & | # ~ << >> of integers.
fn bits(b: &mut Builder) {
    b.infallible(|b| {
        bitwise::<Int16Type>(b, "int2", |a, by| a.wrapping_shl(by), |a, by| a.wrapping_shr(by));
        bitwise::<Int32Type>(b, "int4", |a, by| a.wrapping_shl(by), |a, by| a.wrapping_shr(by));
        bitwise::<Int64Type>(b, "int8", |a, by| a.wrapping_shl(by), |a, by| a.wrapping_shr(by));
    });
}

fn bitwise<T>(
    b: &mut Builder,
    name: &str,
    left: fn(T::Native, u32) -> T::Native,
    right: fn(T::Native, u32) -> T::Native,
) where
    T: ArrowPrimitiveType,
    T::Native: std::ops::BitAnd<Output = T::Native>
        + std::ops::BitOr<Output = T::Native>
        + std::ops::BitXor<Output = T::Native>
        + std::ops::Not<Output = T::Native>,
{
    let two = |b: &mut Builder, op: &str, f: fn(T::Native, T::Native) -> T::Native| {
        b.columns(&format!("{op}({name},{name}) {name}"), move |args, _| {
            let [left, right] = args else { return Err(unexpected_value("an operator")) };
            binary::<T, T, T>(left, right, T::DATA_TYPE, |a, b| Ok(f(a, b)))
        });
    };
    two(b, "&", |a, b| a & b);
    two(b, "|", |a, b| a | b);
    two(b, "#", |a, b| a ^ b);
    one::<T>(b, "~", name, &PgType::Int4, |v| Some(!v));
    for (op, shift) in [("<<", left), (">>", right)] {
        b.columns(&format!("{op}({name},int4) {name}"), move |args: &[ColumnarValue], _| {
            let [value, by] = args else { return Err(unexpected_value("an operator")) };
            binary::<T, Int32Type, T>(value, by, T::DATA_TYPE, |v, by| Ok(shift(v, by as u32)))
        });
    }
}

/// `x ^ y` of floats, and the function `power`.
pub fn float_power(base: f64, exponent: f64) -> SqlResult<f64> {
    if base == 1.0 || exponent == 0.0 {
        return Ok(1.0);
    }
    if base.is_nan() || exponent.is_nan() {
        return Ok(f64::NAN);
    }
    let power_error =
        |message: &str| Err(SqlError::new(SqlState::INVALID_ARGUMENT_FOR_POWER_FUNCTION, message));
    if base == 0.0 && exponent < 0.0 {
        return power_error("zero raised to a negative power is undefined");
    }
    if base < 0.0 && base.is_finite() && exponent.is_finite() && exponent.fract() != 0.0 {
        return power_error(
            "a negative number raised to a non-integer power yields a complex result",
        );
    }
    let result = base.powf(exponent);
    if result.is_infinite() && base.is_finite() && exponent.is_finite() {
        return Err(out_of_range(&PgType::Float8));
    }
    if result == 0.0 && base != 0.0 && base.is_finite() && exponent.is_finite() {
        return Err(float_underflow());
    }
    Ok(result)
}
