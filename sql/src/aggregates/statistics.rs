//! Variance, deviation, correlation and regression.
//!
//! Of floats by Youngs and Cramer's updates, as PostgreSQL does it; of integers and numerics
//! exactly, from the sums of values and of squares.

use satsuma_common::numeric::Numeric;
use satsuma_common::{Datum, PgType, SqlResult};

use super::library::{Builder, Transition, Types};
use crate::functions::error::{out_of_range, unexpected_value};

pub(crate) fn install(b: &mut Builder) {
    for (name, spread) in [
        ("var_pop", Spread { sample: false, root: false }),
        ("var_samp", Spread { sample: true, root: false }),
        ("variance", Spread { sample: true, root: false }),
        ("stddev_pop", Spread { sample: false, root: true }),
        ("stddev_samp", Spread { sample: true, root: true }),
        ("stddev", Spread { sample: true, root: true }),
    ] {
        for ty in ["int2", "int4", "int8", "numeric"] {
            let state: fn(&Types) -> Vec<PgType> =
                |_| vec![PgType::Int8, PgType::Numeric(None), PgType::Numeric(None)];
            b.simple(&format!("{name}({ty}) numeric"), state, move |_| {
                Box::new(Exact { spread, ..Exact::default() })
            });
        }
        for ty in ["float4", "float8"] {
            b.simple(
                &format!("{name}({ty}) float8"),
                |_| vec![PgType::Float8; 3],
                move |_| Box::new(Moments { spread, ..Moments::default() }),
            );
        }
    }
    for (name, measure) in MEASURES {
        let measure = *measure;
        b.simple(
            &format!("{name}(float8,float8) float8"),
            |_| vec![PgType::Float8; 6],
            move |_| Box::new(Pairs { measure: Some(measure), sums: Sums::default() }),
        );
    }
    b.simple(
        "regr_count(float8,float8) int8",
        |_| vec![PgType::Float8; 6],
        |_| Box::new(Pairs { measure: None, sums: Sums::default() }),
    );
}

#[derive(Clone, Copy, Debug, Default)]
struct Spread {
    /// Divided by one less than the number of values.
    sample: bool,
    /// The deviation rather than the variance.
    root: bool,
}

#[derive(Debug, Default)]
struct Exact {
    spread: Spread,
    count: i64,
    sum: Numeric,
    squares: Numeric,
}

fn number(value: &Datum) -> SqlResult<Numeric> {
    match value {
        Datum::Int2(v) => Ok(Numeric::from(*v)),
        Datum::Int4(v) => Ok(Numeric::from(*v)),
        Datum::Int8(v) => Ok(Numeric::from(*v)),
        Datum::Numeric(v) => Ok(v.clone()),
        _ => Err(unexpected_value("a number")),
    }
}

impl Transition for Exact {
    fn update(&mut self, args: &[Datum]) -> SqlResult<()> {
        for arg in args {
            let value = number(arg)?;
            self.count += 1;
            self.squares = self.squares.add(&value.mul(&value)?)?;
            self.sum = self.sum.add(&value)?;
        }
        Ok(())
    }

    fn state(&self) -> SqlResult<Vec<Datum>> {
        Ok(vec![
            Datum::Int8(self.count),
            Datum::Numeric(self.sum.clone()),
            Datum::Numeric(self.squares.clone()),
        ])
    }

    fn merge(&mut self, state: &[Datum]) -> SqlResult<()> {
        if let [Datum::Int8(count), Datum::Numeric(sum), Datum::Numeric(squares)] = state {
            self.count += count;
            self.sum = self.sum.add(sum)?;
            self.squares = self.squares.add(squares)?;
        }
        Ok(())
    }

    fn finish(&self) -> SqlResult<Datum> {
        if self.count <= i64::from(self.spread.sample) {
            return Ok(Datum::Null);
        }
        let count = Numeric::from(self.count);
        let spread = count.mul(&self.squares)?.sub(&self.sum.mul(&self.sum)?)?;
        if spread.is_finite() && (spread.is_negative() || spread.is_zero()) {
            return Ok(Datum::Numeric(Numeric::from(0i64)));
        }
        let divisor = count.mul(&Numeric::from(self.count - i64::from(self.spread.sample)))?;
        let variance = spread.div(&divisor)?;
        Ok(Datum::Numeric(if self.spread.root { root(&variance)? } else { variance }))
    }
}

/// The square root to as many digits as the value has behind the point.
fn root(value: &Numeric) -> SqlResult<Numeric> {
    let Some(scale) = value.scale().and_then(|scale| i32::try_from(scale).ok()) else {
        return Ok(value.clone());
    };
    // The root of value * 10^2s is the root of value times 10^s, to the unit.
    let ten = Numeric::from(10i64);
    let mut shifted = value.clone();
    for _ in 0..2 * scale {
        shifted = shifted.mul(&ten)?;
    }
    let unit = Numeric::from_i128(1, scale).unwrap_or_default();
    Ok(shifted.sqrt()?.round(0).mul(&unit)?)
}

#[derive(Debug, Default)]
struct Moments {
    spread: Spread,
    count: f64,
    sum: f64,
    /// Sum of squared distances from the mean.
    squares: f64,
}

fn float(value: &Datum) -> SqlResult<f64> {
    match value {
        Datum::Float4(v) => Ok(f64::from(*v)),
        Datum::Float8(v) => Ok(*v),
        _ => Err(unexpected_value("a float")),
    }
}

fn overflown(value: f64, inputs: &[f64]) -> SqlResult<()> {
    if value.is_infinite() && inputs.iter().all(|v| v.is_finite()) {
        return Err(out_of_range(&PgType::Float8));
    }
    Ok(())
}

impl Transition for Moments {
    fn update(&mut self, args: &[Datum]) -> SqlResult<()> {
        for arg in args {
            let value = float(arg)?;
            let before = self.sum;
            self.count += 1.0;
            self.sum += value;
            if self.count > 1.0 {
                let distance = value * self.count - self.sum;
                self.squares += distance * distance / (self.count * (self.count - 1.0));
                if !self.squares.is_finite() || !self.sum.is_finite() {
                    overflown(self.sum, &[before, value])?;
                    overflown(self.squares, &[before, value])?;
                    self.squares = f64::NAN;
                }
            } else if !value.is_finite() {
                self.squares = f64::NAN;
            }
        }
        Ok(())
    }

    fn state(&self) -> SqlResult<Vec<Datum>> {
        Ok([self.count, self.sum, self.squares].map(Datum::Float8).to_vec())
    }

    fn merge(&mut self, state: &[Datum]) -> SqlResult<()> {
        let [Datum::Float8(count), Datum::Float8(sum), Datum::Float8(squares)] = state else {
            return Ok(());
        };
        if *count == 0.0 {
            return Ok(());
        }
        if self.count == 0.0 {
            (self.count, self.sum, self.squares) = (*count, *sum, *squares);
            return Ok(());
        }
        let total = self.count + count;
        let distance = self.sum / self.count - sum / count;
        self.squares += squares + self.count * count * distance * distance / total;
        self.sum += sum;
        self.count = total;
        Ok(())
    }

    fn finish(&self) -> SqlResult<Datum> {
        let divisor = if self.spread.sample { self.count - 1.0 } else { self.count };
        if divisor <= 0.0 {
            return Ok(Datum::Null);
        }
        let variance = self.squares / divisor;
        Ok(Datum::Float8(if self.spread.root { variance.sqrt() } else { variance }))
    }
}

/// Sums over pairs (y, x).
#[derive(Clone, Copy, Debug, Default)]
struct Sums {
    n: f64,
    x: f64,
    xx: f64,
    y: f64,
    yy: f64,
    xy: f64,
}

type Measure = fn(&Sums) -> Option<f64>;

const MEASURES: &[(&str, Measure)] = &[
    ("covar_pop", |s| (s.n > 0.0).then(|| s.xy / s.n)),
    ("covar_samp", |s| (s.n > 1.0).then(|| s.xy / (s.n - 1.0))),
    ("corr", |s| (s.n > 0.0 && s.xx != 0.0 && s.yy != 0.0).then(|| s.xy / (s.xx * s.yy).sqrt())),
    ("regr_sxx", |s| (s.n > 0.0).then_some(s.xx)),
    ("regr_syy", |s| (s.n > 0.0).then_some(s.yy)),
    ("regr_sxy", |s| (s.n > 0.0).then_some(s.xy)),
    ("regr_avgx", |s| (s.n > 0.0).then(|| s.x / s.n)),
    ("regr_avgy", |s| (s.n > 0.0).then(|| s.y / s.n)),
    ("regr_r2", |s| {
        if s.n == 0.0 || s.xx == 0.0 {
            return None;
        }
        Some(if s.yy == 0.0 { 1.0 } else { (s.xy * s.xy) / (s.xx * s.yy) })
    }),
    ("regr_slope", |s| (s.n > 0.0 && s.xx != 0.0).then(|| s.xy / s.xx)),
    ("regr_intercept", |s| (s.n > 0.0 && s.xx != 0.0).then(|| (s.y - s.x * s.xy / s.xx) / s.n)),
];

#[derive(Debug)]
struct Pairs {
    /// `None` counts the pairs.
    measure: Option<Measure>,
    sums: Sums,
}

impl Transition for Pairs {
    fn update(&mut self, args: &[Datum]) -> SqlResult<()> {
        let [y, x] = args else { return Err(unexpected_value("a pair")) };
        let (y, x) = (float(y)?, float(x)?);
        let s = &mut self.sums;
        s.n += 1.0;
        s.x += x;
        s.y += y;
        if s.n > 1.0 {
            let (dx, dy) = (x * s.n - s.x, y * s.n - s.y);
            let scale = 1.0 / (s.n * (s.n - 1.0));
            s.xx += dx * dx * scale;
            s.yy += dy * dy * scale;
            s.xy += dx * dy * scale;
        } else if !x.is_finite() || !y.is_finite() {
            s.xx = f64::NAN;
            s.yy = f64::NAN;
            s.xy = f64::NAN;
        }
        Ok(())
    }

    fn state(&self) -> SqlResult<Vec<Datum>> {
        let s = self.sums;
        Ok([s.n, s.x, s.xx, s.y, s.yy, s.xy].map(Datum::Float8).to_vec())
    }

    fn merge(&mut self, state: &[Datum]) -> SqlResult<()> {
        let values = state.iter().map(float).collect::<SqlResult<Vec<_>>>()?;
        let [n, x, xx, y, yy, xy] = values[..] else { return Ok(()) };
        let other = Sums { n, x, xx, y, yy, xy };
        if other.n == 0.0 {
            return Ok(());
        }
        if self.sums.n == 0.0 {
            self.sums = other;
            return Ok(());
        }
        let own = self.sums;
        let total = own.n + other.n;
        let (dx, dy) = (own.x / own.n - other.x / other.n, own.y / own.n - other.y / other.n);
        let weight = own.n * other.n / total;
        self.sums = Sums {
            n: total,
            x: own.x + other.x,
            xx: own.xx + other.xx + weight * dx * dx,
            y: own.y + other.y,
            yy: own.yy + other.yy + weight * dy * dy,
            xy: own.xy + other.xy + weight * dx * dy,
        };
        Ok(())
    }

    fn finish(&self) -> SqlResult<Datum> {
        Ok(match self.measure {
            Some(measure) => measure(&self.sums).map_or(Datum::Null, Datum::Float8),
            None => Datum::Int8(self.sums.n as i64),
        })
    }
}
