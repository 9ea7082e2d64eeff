//! Conversions among dates, times, timestamps and intervals.

use satsuma_common::datetime::TimeZone;
use satsuma_common::datetime::calendar::{
    DATE_INFINITY, DATE_NEG_INFINITY, DAY_MICROS, TIMESTAMP_INFINITY, TIMESTAMP_NEG_INFINITY,
    is_finite_timestamp, is_valid_timestamp,
};
use satsuma_common::datum::Interval;
use satsuma_common::text::TextContext;
use satsuma_common::{Datum, PgType, SqlResult};

use crate::functions::error::{out_of_range, unexpected_value};

pub fn convert(
    value: Datum,
    from: &PgType,
    to: &PgType,
    context: &TextContext,
) -> SqlResult<Datum> {
    let zone = &context.time_zone;
    Ok(match (value, from, to) {
        (Datum::Date(days), _, PgType::Timestamp) => Datum::Timestamp(timestamp_of_date(days)?),
        (Datum::Date(days), _, PgType::Timestamptz) => {
            Datum::Timestamp(local_to_utc(timestamp_of_date(days)?, zone)?)
        }
        (Datum::Timestamp(at), PgType::Timestamp, PgType::Timestamptz) => {
            Datum::Timestamp(local_to_utc(at, zone)?)
        }
        (Datum::Timestamp(at), PgType::Timestamptz, PgType::Timestamp) => {
            Datum::Timestamp(utc_to_local(at, zone)?)
        }
        (Datum::Timestamp(at), from, PgType::Date) => {
            Datum::Date(date_of_timestamp(local(at, from, zone)?)?)
        }
        (Datum::Timestamp(at), from, PgType::Time) => {
            let at = local(at, from, zone)?;
            if !is_finite_timestamp(at) {
                return Ok(Datum::Null);
            }
            Datum::Time(at.rem_euclid(DAY_MICROS))
        }
        (Datum::Time(micros), _, PgType::Interval) => {
            Datum::Interval(Interval { months: 0, days: 0, micros })
        }
        (Datum::Interval(value), _, PgType::Time) => {
            Datum::Time(value.micros.rem_euclid(DAY_MICROS))
        }
        (value, from, to) if from == to => value,
        _ => return Err(unexpected_value("a cast")),
    })
}

/// The wall clock's timestamp of a value of either timestamp type.
pub fn local(at: i64, ty: &PgType, zone: &TimeZone) -> SqlResult<i64> {
    if *ty == PgType::Timestamptz { utc_to_local(at, zone) } else { Ok(at) }
}

pub fn timestamp_of_date(days: i32) -> SqlResult<i64> {
    match days {
        DATE_INFINITY => Ok(TIMESTAMP_INFINITY),
        DATE_NEG_INFINITY => Ok(TIMESTAMP_NEG_INFINITY),
        days => i64::from(days)
            .checked_mul(DAY_MICROS)
            .filter(|at| is_valid_timestamp(*at))
            .ok_or_else(|| {
                satsuma_common::SqlError::new(
                    satsuma_common::SqlState::DATETIME_FIELD_OVERFLOW,
                    "date out of range for timestamp",
                )
            }),
    }
}

pub fn date_of_timestamp(at: i64) -> SqlResult<i32> {
    match at {
        TIMESTAMP_INFINITY => Ok(DATE_INFINITY),
        TIMESTAMP_NEG_INFINITY => Ok(DATE_NEG_INFINITY),
        at => i32::try_from(at.div_euclid(DAY_MICROS)).map_err(|_| out_of_range(&PgType::Date)),
    }
}

pub fn local_to_utc(local: i64, zone: &TimeZone) -> SqlResult<i64> {
    if !is_finite_timestamp(local) {
        return Ok(local);
    }
    zone.to_utc(local)
        .filter(|at| is_valid_timestamp(*at))
        .ok_or_else(|| out_of_range(&PgType::Timestamp))
}

pub fn utc_to_local(utc: i64, zone: &TimeZone) -> SqlResult<i64> {
    if !is_finite_timestamp(utc) {
        return Ok(utc);
    }
    zone.to_local(utc)
        .filter(|at| is_valid_timestamp(*at))
        .ok_or_else(|| out_of_range(&PgType::Timestamp))
}
