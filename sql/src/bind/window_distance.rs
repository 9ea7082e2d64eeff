//! Distances of RANGE frames, as numbers that neither overflow nor meet infinity.
//!
//! DataFusion adds the distance to the row's key, and takes a sum that does not fit for the end of
//! the partition. NULLs and infinite moments beyond that end would be within reach.

use datafusion::arrow::datatypes::DataType;
use datafusion::common::ScalarValue;
use datafusion::logical_expr::expr::Sort;
use datafusion::logical_expr::{Cast, Expr, WindowFrame, WindowFrameBound, WindowFrameUnits};
use satsuma_common::datum::Interval;
use satsuma_common::{Datum, PgType, SqlError, SqlResult};

use crate::functions::Typed;
use crate::functions::columns::from_scalar;
use crate::functions::error::from_datafusion;
use crate::operators::keys::{distance_key, interval_micros};

const PRECISION: u8 = 38;
const NUMBER: DataType = DataType::Decimal128(PRECISION, 0);

/// The frame and its sort key `by` with distances in numbers, where `key` is of a type that asks
/// for it.
pub(super) fn in_numbers(
    frame: WindowFrame,
    key: Option<&Typed>,
    by: &mut [Sort],
) -> SqlResult<WindowFrame> {
    let (Some(key), [by]) = (key, by) else { return Ok(frame) };
    let ends = [&frame.start_bound, &frame.end_bound];
    let distances: Vec<&ScalarValue> = ends.into_iter().filter_map(distance).collect();
    if frame.units != WindowFrameUnits::Range || distances.is_empty() {
        return Ok(frame);
    }
    match key.ty.without_precision() {
        PgType::Int2 | PgType::Int4 | PgType::Int8 => {
            by.expr = Expr::Cast(Cast::new(Box::new(key.expr.clone()), NUMBER));
            converted(frame, |distance| distance.cast_to(&NUMBER).map_err(from_datafusion))
        }
        // Its sort key is a number of microseconds already.
        PgType::Interval => {
            converted(frame, |distance| Ok(number(interval_micros(interval(distance)?))))
        }
        PgType::Date | PgType::Timestamp | PgType::Timestamptz => {
            let intervals = distances.iter().map(|distance| interval(distance));
            let intervals = intervals.collect::<SqlResult<Vec<Interval>>>()?;
            // How long a month is depends on where it begins.
            if intervals.iter().any(|interval| interval.months != 0) {
                return Ok(frame);
            }
            match distance_key(key) {
                Some(key) => by.expr = key,
                None => return Ok(frame),
            }
            converted(frame, |distance| Ok(number(interval_micros(interval(distance)?))))
        }
        // Days and months of the distance do not count.
        PgType::Time => {
            match distance_key(key) {
                Some(key) => by.expr = key,
                None => return Ok(frame),
            }
            converted(frame, |distance| Ok(number(interval(distance)?.micros.into())))
        }
        PgType::Float4 | PgType::Float8 => {
            let is_infinite = |distance: &&ScalarValue| match distance {
                ScalarValue::Float32(Some(distance)) => distance.is_infinite(),
                ScalarValue::Float64(Some(distance)) => distance.is_infinite(),
                _ => false,
            };
            match distances.iter().any(is_infinite) {
                true => {
                    Err(SqlError::unsupported("RANGE with an infinite offset is not supported")
                        .hint("Say UNBOUNDED PRECEDING or UNBOUNDED FOLLOWING."))
                }
                false => Ok(frame),
            }
        }
        _ => Ok(frame),
    }
}

/// How far an end of a frame reaches, where that is a distance.
fn distance(end: &WindowFrameBound) -> Option<&ScalarValue> {
    match end {
        WindowFrameBound::Preceding(far) | WindowFrameBound::Following(far) => {
            Some(far).filter(|far| !far.is_null())
        }
        WindowFrameBound::CurrentRow => None,
    }
}

fn converted(
    frame: WindowFrame,
    convert: impl Fn(&ScalarValue) -> SqlResult<ScalarValue>,
) -> SqlResult<WindowFrame> {
    let end = |end: WindowFrameBound| {
        Ok::<_, SqlError>(match (distance(&end).map(&convert).transpose()?, end) {
            (Some(far), WindowFrameBound::Preceding(_)) => WindowFrameBound::Preceding(far),
            (Some(far), WindowFrameBound::Following(_)) => WindowFrameBound::Following(far),
            // Nothing of another type may stand beside a distance.
            (None, WindowFrameBound::Preceding(_)) => WindowFrameBound::Preceding(unbounded()),
            (None, WindowFrameBound::Following(_)) => WindowFrameBound::Following(unbounded()),
            (_, WindowFrameBound::CurrentRow) => WindowFrameBound::CurrentRow,
        })
    };
    let (start, last) = (end(frame.start_bound.clone())?, end(frame.end_bound.clone())?);
    Ok(WindowFrame::new_bounds(frame.units, start, last))
}

fn unbounded() -> ScalarValue {
    ScalarValue::Decimal128(None, PRECISION, 0)
}

fn number(value: i128) -> ScalarValue {
    ScalarValue::Decimal128(Some(value), PRECISION, 0)
}

fn interval(distance: &ScalarValue) -> SqlResult<Interval> {
    match from_scalar(&PgType::Interval, distance)? {
        Datum::Interval(interval) => Ok(interval),
        _ => Err(SqlError::internal("a distance between moments is no interval")),
    }
}
