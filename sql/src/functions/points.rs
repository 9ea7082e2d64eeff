//! Operators of points.

use satsuma_common::{Datum, SqlResult};

use super::error::unexpected_value;
use super::library::Builder;

/// PostgreSQL's tolerance in comparisons of coordinates.
const EPSILON: f64 = 1.0e-6;

type Point = (f64, f64);

fn two(args: &[Datum]) -> SqlResult<(Point, Point)> {
    match args {
        [Datum::Point(a, b), Datum::Point(c, d)] => Ok(((*a, *b), (*c, *d))),
        _ => Err(unexpected_value("two points")),
    }
}

fn same(a: f64, b: f64) -> bool {
    a == b || (a - b).abs() <= EPSILON
}

/// As PostgreSQL's `pg_hypot`, to the last digit: C's own rounds elsewhere.
fn hypotenuse(x: f64, y: f64) -> f64 {
    let (x, y) = (x.abs(), y.abs());
    if x.is_infinite() || y.is_infinite() {
        return f64::INFINITY;
    }
    if x.is_nan() || y.is_nan() {
        return f64::NAN;
    }
    let (long, short) = if x < y { (y, x) } else { (x, y) };
    if short == 0.0 {
        return long;
    }
    let ratio = short / long;
    long * (1.0 + ratio * ratio).sqrt()
}

pub(crate) fn install_operators(b: &mut Builder) {
    b.row("<->(point,point) float8", |args, _| {
        let ((a, b), (c, d)) = two(args)?;
        Ok(Datum::Float8(hypotenuse(a - c, b - d)))
    });
    b.row("+(point,point) point", |args, _| {
        let ((a, b), (c, d)) = two(args)?;
        Ok(Datum::Point(a + c, b + d))
    });
    b.row("-(point,point) point", |args, _| {
        let ((a, b), (c, d)) = two(args)?;
        Ok(Datum::Point(a - c, b - d))
    });
    b.row("~=(point,point) bool", |args, _| {
        let ((a, b), (c, d)) = two(args)?;
        Ok(Datum::Bool(same(a, c) && same(b, d)))
    });
    b.row("<<(point,point) bool", |args, _| {
        let ((a, _), (c, _)) = two(args)?;
        Ok(Datum::Bool(a + EPSILON < c))
    });
    b.row(">>(point,point) bool", |args, _| {
        let ((a, _), (c, _)) = two(args)?;
        Ok(Datum::Bool(a > c + EPSILON))
    });
}
