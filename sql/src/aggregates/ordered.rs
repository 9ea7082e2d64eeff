//! Aggregates over sorted rows: percentiles, mode, and the first of an enum's values.

use satsuma_common::{Array, Datum, PgType, SqlError, SqlResult, SqlState};

use super::library::{AggregateDefinition, Builder, Transition};
use crate::functions::error::unexpected_value;
use crate::operators::datetime::{add_intervals, negate, scale_by};
use crate::operators::keys::compare_values;

pub(crate) fn install(b: &mut Builder) {
    let within = |d: &mut AggregateDefinition| {
        d.sorts = true;
        d.within_group = true;
    };
    for (signature, continuous) in [
        ("percentile_cont(float8,float8) float8", true),
        ("percentile_cont(float8,interval) interval", true),
        ("percentile_cont(_float8,float8) _float8", true),
        ("percentile_cont(_float8,interval) _interval", true),
        ("percentile_disc(float8,anyelement) anyelement", false),
        ("percentile_disc(_float8,anyelement) anyarray", false),
    ] {
        b.with(
            signature,
            |_| Vec::new(),
            move |types| Box::new(Percentile::new(continuous, &types.result)),
            within,
        );
    }
    b.with(
        "mode(anyelement) anyelement",
        |_| Vec::new(),
        |types| Box::new(Mode { ty: types.result.clone(), best: Datum::Null, most: 0, run: None }),
        within,
    );
    // The caller sorts them by their labels' positions.
    for name in ["min", "max"] {
        b.with(
            &format!("{name}(anyenum) anyenum"),
            |_| Vec::new(),
            |_| Box::new(First(Datum::Null)),
            |d| d.sorts = true,
        );
    }
}

/// The rows are collected around these, so that they have no states of their own.
fn stateless() -> SqlResult<Vec<Datum>> {
    Err(unexpected_value("the state of an ordered aggregate"))
}

#[derive(Debug)]
struct Percentile {
    continuous: bool,
    /// The type of a result, or of its elements.
    element: PgType,
    /// One fraction, or an array of them.
    at: Datum,
    /// All rows there are.
    rows: usize,
    /// Those that are needed, ascending, and their values as they come.
    places: Vec<usize>,
    values: Vec<Datum>,
}

impl Percentile {
    fn new(continuous: bool, result: &PgType) -> Self {
        let element = match result {
            PgType::Array(element) => element.as_ref(),
            one => one,
        };
        Self {
            continuous,
            element: element.clone(),
            at: Datum::Null,
            rows: 0,
            places: Vec::new(),
            values: Vec::new(),
        }
    }

    fn fractions(&self) -> &[Datum] {
        match &self.at {
            Datum::Array(fractions) => &fractions.values,
            one => std::slice::from_ref(one),
        }
    }

    /// The places of the values next to a fraction, and how far it is from the first to the
    /// second; `None` for NULL.
    fn between(&self, fraction: &Datum) -> SqlResult<Option<(usize, usize, f64)>> {
        let Datum::Float8(fraction) = fraction else { return Ok(None) };
        if !(0.0..=1.0).contains(fraction) {
            return Err(SqlError::new(
                SqlState::NUMERIC_VALUE_OUT_OF_RANGE,
                format!("percentile value {fraction} is not between 0 and 1"),
            ));
        }
        let last = self.rows.saturating_sub(1);
        if !self.continuous {
            let row = (fraction * self.rows as f64).ceil().max(1.0) as usize;
            let place = (row - 1).min(last);
            return Ok(Some((place, place, 0.0)));
        }
        let position = fraction * last as f64;
        let (low, high) = (position.floor() as usize, position.ceil() as usize);
        Ok(Some((low, high.min(last), position - position.floor())))
    }

    fn value(&self, place: usize) -> SqlResult<&Datum> {
        let at = self.places.binary_search(&place).ok();
        at.and_then(|at| self.values.get(at)).ok_or_else(|| unexpected_value("a percentile"))
    }

    fn one(&self, fraction: &Datum) -> SqlResult<Datum> {
        let Some((low, high, part)) = self.between(fraction)? else { return Ok(Datum::Null) };
        if low == high {
            return self.value(low).cloned();
        }
        match (self.value(low)?, self.value(high)?) {
            (Datum::Float8(a), Datum::Float8(b)) => Ok(Datum::Float8(a + part * (b - a))),
            (Datum::Interval(a), Datum::Interval(b)) => {
                let distance = scale_by(add_intervals(*b, negate(*a)?)?, part)?;
                add_intervals(*a, distance).map(Datum::Interval)
            }
            _ => Err(unexpected_value("percentile_cont")),
        }
    }
}

impl Transition for Percentile {
    fn update(&mut self, args: &[Datum]) -> SqlResult<()> {
        let [_, value] = args else { return Err(unexpected_value("a percentile")) };
        self.values.push(value.clone());
        Ok(())
    }

    fn wants(&mut self, args: &[Datum], rows: usize) -> SqlResult<Option<Vec<usize>>> {
        let [at, _] = args else { return Err(unexpected_value("a percentile")) };
        (self.at, self.rows) = (at.clone(), rows);
        let mut places = Vec::new();
        for fraction in self.fractions() {
            if let Some((low, high, _)) = self.between(fraction)? {
                places.extend([low, high]);
            }
        }
        places.sort_unstable();
        places.dedup();
        self.places.clone_from(&places);
        Ok(Some(places))
    }

    fn state(&self) -> SqlResult<Vec<Datum>> {
        stateless()
    }

    fn merge(&mut self, _: &[Datum]) -> SqlResult<()> {
        stateless().map(|_| ())
    }

    fn finish(&self) -> SqlResult<Datum> {
        if self.rows == 0 {
            return Ok(Datum::Null);
        }
        let Datum::Array(fractions) = &self.at else { return self.one(&self.at) };
        let values = fractions.values.iter().map(|f| self.one(f)).collect::<SqlResult<_>>()?;
        Ok(Datum::Array(Array { element: self.element.clone(), values }))
    }
}

#[derive(Debug)]
struct Mode {
    ty: PgType,
    best: Datum,
    most: u64,
    run: Option<(Datum, u64)>,
}

impl Transition for Mode {
    fn update(&mut self, args: &[Datum]) -> SqlResult<()> {
        let [value] = args else { return Err(unexpected_value("mode")) };
        let length = match &self.run {
            Some((current, length)) if compare_values(current, value, &self.ty)?.is_eq() => {
                length + 1
            }
            _ => 1,
        };
        if length > self.most {
            self.most = length;
            self.best = value.clone();
        }
        self.run = Some((value.clone(), length));
        Ok(())
    }

    fn state(&self) -> SqlResult<Vec<Datum>> {
        stateless()
    }

    fn merge(&mut self, _: &[Datum]) -> SqlResult<()> {
        stateless().map(|_| ())
    }

    fn finish(&self) -> SqlResult<Datum> {
        Ok(self.best.clone())
    }
}

#[derive(Debug)]
struct First(Datum);

impl Transition for First {
    fn update(&mut self, args: &[Datum]) -> SqlResult<()> {
        if self.0.is_null() {
            self.0 = args.first().cloned().unwrap_or(Datum::Null);
        }
        Ok(())
    }

    fn state(&self) -> SqlResult<Vec<Datum>> {
        stateless()
    }

    fn merge(&mut self, _: &[Datum]) -> SqlResult<()> {
        stateless().map(|_| ())
    }

    fn finish(&self) -> SqlResult<Datum> {
        Ok(self.0.clone())
    }
}
