//! generate_series, value by value.

use satsuma_common::datetime::TimeZone;
use satsuma_common::datetime::calendar::is_finite_timestamp;
use satsuma_common::datum::Interval;
use satsuma_common::numeric::Numeric;
use satsuma_common::text::TextContext;
use satsuma_common::{Array, Datum, PgType, SqlError, SqlResult, SqlState};

use super::error::{out_of_range, unexpected_value};
use super::library::Builder;
use crate::operators::datetime::{add_to_timestamp, add_to_timestamptz};
use crate::operators::keys::interval_micros;

/// The name of the function that gives a series as a list.
pub const LIST: &str = "generate_series list";

/// A list may not have more elements: longer series are for [`crate::unnest_series`], which makes
/// no list of them.
const LONGEST: usize = 100_000;

/// What is left of a series.
pub struct Series {
    next: Option<Datum>,
    to: Datum,
    step: Step,
}

enum Step {
    /// Of int4 and int8 alike.
    Integer(i64),
    Numeric(Numeric),
    /// In a zone where days have their own lengths.
    Interval(Interval, Option<TimeZone>),
}

impl Series {
    /// `args` are start, end and maybe a step; `ty` is the elements' type. Fails on a step of
    /// nothing, and on numbers that are none.
    pub fn new(args: &[Datum], ty: &PgType, context: &TextContext) -> SqlResult<Self> {
        let step = match args {
            [_, _] if *ty == PgType::Numeric(None) => Step::Numeric(Numeric::from(1i64)),
            [_, _] => Step::Integer(1),
            [_, _, Datum::Int4(step)] => Step::Integer(i64::from(*step)),
            [_, _, Datum::Int8(step)] => Step::Integer(*step),
            [_, _, Datum::Numeric(step)] => Step::Numeric(step.clone()),
            [_, _, Datum::Interval(step)] => {
                let zoned = *ty == PgType::Timestamptz;
                Step::Interval(*step, zoned.then_some(context.time_zone))
            }
            _ => return Err(unexpected_value("generate_series")),
        };
        let (from, to) = (args[0].clone(), args[1].clone());
        match (&from, &to, &step) {
            (Datum::Numeric(from), Datum::Numeric(to), Step::Numeric(step)) => {
                finite("start", from)?;
                finite("stop", to)?;
                finite("step", step)?;
            }
            (Datum::Int4(_), Datum::Int4(_), Step::Integer(_))
            | (Datum::Int8(_), Datum::Int8(_), Step::Integer(_))
            | (Datum::Timestamp(_), Datum::Timestamp(_), Step::Interval(..)) => {}
            _ => return Err(unexpected_value("generate_series")),
        }
        if step.direction() == 0 {
            let message = "step size cannot equal zero";
            return Err(SqlError::new(SqlState::INVALID_PARAMETER_VALUE, message));
        }
        if let Datum::Timestamp(from) = from
            && !is_finite_timestamp(from)
        {
            return Err(out_of_range(&PgType::Timestamp));
        }
        Ok(Self { next: Some(from), to, step })
    }

    /// The next value, if there is one.
    pub fn take(&mut self) -> SqlResult<Option<Datum>> {
        let up = self.step.direction() > 0;
        let within = match (&self.next, &self.to) {
            (Some(Datum::Int4(at)), Datum::Int4(to)) => {
                if up {
                    at <= to
                } else {
                    at >= to
                }
            }
            (Some(Datum::Int8(at)), Datum::Int8(to)) => {
                if up {
                    at <= to
                } else {
                    at >= to
                }
            }
            (Some(Datum::Numeric(at)), Datum::Numeric(to)) => {
                if up {
                    at <= to
                } else {
                    at >= to
                }
            }
            (Some(Datum::Timestamp(at)), Datum::Timestamp(to)) => {
                if up {
                    at <= to
                } else {
                    at >= to
                }
            }
            _ => false,
        };
        let Some(value) = self.next.take().filter(|_| within) else { return Ok(None) };
        self.next = self.step.after(&value)?;
        Ok(Some(value))
    }
}

impl Step {
    /// Above, below or equal to 0.
    fn direction(&self) -> i128 {
        match self {
            Self::Integer(step) => i128::from(*step),
            Self::Numeric(step) if step.is_zero() => 0,
            Self::Numeric(step) => {
                if step.is_negative() {
                    -1
                } else {
                    1
                }
            }
            Self::Interval(step, _) => interval_micros(*step),
        }
    }

    /// `None` where a type ends.
    fn after(&self, value: &Datum) -> SqlResult<Option<Datum>> {
        Ok(match (value, self) {
            (Datum::Int4(at), Self::Integer(step)) => {
                let next = i64::from(*at).checked_add(*step);
                next.and_then(|next| i32::try_from(next).ok()).map(Datum::Int4)
            }
            (Datum::Int8(at), Self::Integer(step)) => at.checked_add(*step).map(Datum::Int8),
            (Datum::Numeric(at), Self::Numeric(step)) => Some(Datum::Numeric(at.add(step)?)),
            (Datum::Timestamp(at), Self::Interval(step, None)) => {
                Some(Datum::Timestamp(add_to_timestamp(*at, *step)?))
            }
            (Datum::Timestamp(at), Self::Interval(step, Some(zone))) => {
                Some(Datum::Timestamp(add_to_timestamptz(*at, *step, zone)?))
            }
            _ => None,
        })
    }
}

fn finite(what: &str, value: &Numeric) -> SqlResult<()> {
    if value.is_finite() {
        return Ok(());
    }
    let kind = if value.is_nan() { "NaN" } else { "infinity" };
    // PostgreSQL's words: the size of a step is its own.
    let what = if what == "step" { "step size".to_owned() } else { format!("{what} value") };
    let message = format!("{what} cannot be {kind}");
    Err(SqlError::new(SqlState::INVALID_PARAMETER_VALUE, message))
}

pub(crate) fn install(b: &mut Builder) {
    for ty in ["int4", "int8", "numeric"] {
        listed(b, &format!("{ty},{ty}"), ty);
        listed(b, &format!("{ty},{ty},{ty}"), ty);
    }
    listed(b, "timestamp,timestamp,interval", "timestamp");
    b.with_settings(|b| listed(b, "timestamptz,timestamptz,interval", "timestamptz"));
}

fn listed(b: &mut Builder, parameters: &str, ty: &str) {
    b.row(&format!("{LIST}({parameters}) _{ty}"), |args, call| {
        let PgType::Array(element) = &call.result else {
            return Err(unexpected_value("generate_series"));
        };
        let mut series = Series::new(args, element, &call.context)?;
        let mut values = Vec::new();
        while let Some(value) = series.take()? {
            if values.len() == LONGEST {
                return Err(SqlError::new(
                    SqlState::PROGRAM_LIMIT_EXCEEDED,
                    format!("a series of more than {LONGEST} values cannot be a list"),
                ));
            }
            values.push(value);
        }
        Ok(Datum::Array(Array { element: element.as_ref().clone(), values }))
    });
}
