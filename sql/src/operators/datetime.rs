//! + - * / of dates, times, timestamps and intervals.

use satsuma_common::datetime::TimeZone;
use satsuma_common::datetime::calendar::{
    Civil, DAY_MICROS, days_in_month, is_finite_date, is_finite_timestamp, is_valid_timestamp,
};
use satsuma_common::datum::Interval;
use satsuma_common::{Datum, PgType, SqlError, SqlResult, SqlState};

use crate::casts::datetime::{local_to_utc, timestamp_of_date, utc_to_local};
use crate::functions::error::{division_by_zero, out_of_range, unexpected_value};
use crate::functions::library::Builder;

pub(crate) fn install(b: &mut Builder) {
    b.infallible(|b| {
        dates(b);
        timestamps(b);
        intervals(b);
    });
    scaling(b);
}

fn wrong() -> SqlError {
    unexpected_value("date arithmetic")
}

fn dates(b: &mut Builder) {
    b.row("+(date,int4) date", |args, _| match args {
        [Datum::Date(d), Datum::Int4(n)] => add_days(*d, i64::from(*n)),
        _ => Err(wrong()),
    });
    b.row("+(int4,date) date", |args, _| match args {
        [Datum::Int4(n), Datum::Date(d)] => add_days(*d, i64::from(*n)),
        _ => Err(wrong()),
    });
    b.row("-(date,int4) date", |args, _| match args {
        [Datum::Date(d), Datum::Int4(n)] => add_days(*d, -i64::from(*n)),
        _ => Err(wrong()),
    });
    b.row("-(date,date) int4", |args, _| match args {
        [Datum::Date(a), Datum::Date(b)] => {
            if !is_finite_date(*a) || !is_finite_date(*b) {
                return Err(SqlError::new(
                    SqlState::DATETIME_FIELD_OVERFLOW,
                    "cannot subtract infinite dates",
                ));
            }
            Ok(Datum::Int4(a.checked_sub(*b).ok_or_else(|| out_of_range(&PgType::Int4))?))
        }
        _ => Err(wrong()),
    });
    b.row("+(date,interval) timestamp", |args, _| match args {
        [Datum::Date(d), Datum::Interval(i)] => {
            add_to_timestamp(timestamp_of_date(*d)?, *i).map(Datum::Timestamp)
        }
        _ => Err(wrong()),
    });
    b.row("+(interval,date) timestamp", |args, _| match args {
        [Datum::Interval(i), Datum::Date(d)] => {
            add_to_timestamp(timestamp_of_date(*d)?, *i).map(Datum::Timestamp)
        }
        _ => Err(wrong()),
    });
    b.row("-(date,interval) timestamp", |args, _| match args {
        [Datum::Date(d), Datum::Interval(i)] => {
            add_to_timestamp(timestamp_of_date(*d)?, negate(*i)?).map(Datum::Timestamp)
        }
        _ => Err(wrong()),
    });
    for (signature, swapped) in
        [("+(date,time) timestamp", false), ("+(time,date) timestamp", true)]
    {
        b.row(signature, move |args, _| {
            let (date, time) =
                if swapped { (args.get(1), args.first()) } else { (args.first(), args.get(1)) };
            match (date, time) {
                (Some(Datum::Date(d)), Some(Datum::Time(t))) => {
                    let at = timestamp_of_date(*d)?;
                    if !is_finite_timestamp(at) {
                        return Ok(Datum::Timestamp(at));
                    }
                    at.checked_add(*t)
                        .filter(|at| is_valid_timestamp(*at))
                        .map(Datum::Timestamp)
                        .ok_or_else(|| out_of_range(&PgType::Timestamp))
                }
                _ => Err(wrong()),
            }
        });
    }
    b.row("-(time,time) interval", |args, _| match args {
        [Datum::Time(a), Datum::Time(b)] => {
            Ok(Datum::Interval(Interval { months: 0, days: 0, micros: a - b }))
        }
        _ => Err(wrong()),
    });
    b.row("+(time,interval) time", |args, _| match args {
        [Datum::Time(t), Datum::Interval(i)] => Ok(turn_clock(*t, i.micros)),
        _ => Err(wrong()),
    });
    b.row("+(interval,time) time", |args, _| match args {
        [Datum::Interval(i), Datum::Time(t)] => Ok(turn_clock(*t, i.micros)),
        _ => Err(wrong()),
    });
    b.row("-(time,interval) time", |args, _| match args {
        [Datum::Time(t), Datum::Interval(i)] => Ok(turn_clock(*t, -(i.micros % DAY_MICROS))),
        _ => Err(wrong()),
    });
}

fn add_days(date: i32, days: i64) -> SqlResult<Datum> {
    if !is_finite_date(date) {
        return Ok(Datum::Date(date));
    }
    let sum = i64::from(date) + days;
    let valid = (satsuma_common::datetime::calendar::MIN_DAY
        ..=satsuma_common::datetime::calendar::MAX_DAY)
        .contains(&sum);
    if !valid {
        return Err(out_of_range(&PgType::Date));
    }
    i32::try_from(sum).map(Datum::Date).map_err(|_| out_of_range(&PgType::Date))
}

fn turn_clock(time: i64, by: i64) -> Datum {
    Datum::Time((time + by % DAY_MICROS).rem_euclid(DAY_MICROS))
}

fn timestamps(b: &mut Builder) {
    b.row("+(timestamp,interval) timestamp", |args, _| match args {
        [Datum::Timestamp(at), Datum::Interval(i)] => {
            add_to_timestamp(*at, *i).map(Datum::Timestamp)
        }
        _ => Err(wrong()),
    });
    b.row("+(interval,timestamp) timestamp", |args, _| match args {
        [Datum::Interval(i), Datum::Timestamp(at)] => {
            add_to_timestamp(*at, *i).map(Datum::Timestamp)
        }
        _ => Err(wrong()),
    });
    b.row("-(timestamp,interval) timestamp", |args, _| match args {
        [Datum::Timestamp(at), Datum::Interval(i)] => {
            add_to_timestamp(*at, negate(*i)?).map(Datum::Timestamp)
        }
        _ => Err(wrong()),
    });
    b.with_settings(|b| {
        b.row("+(timestamptz,interval) timestamptz", |args, call| match args {
            [Datum::Timestamp(at), Datum::Interval(i)] => {
                add_to_timestamptz(*at, *i, &call.context.time_zone).map(Datum::Timestamp)
            }
            _ => Err(wrong()),
        });
        b.row("+(interval,timestamptz) timestamptz", |args, call| match args {
            [Datum::Interval(i), Datum::Timestamp(at)] => {
                add_to_timestamptz(*at, *i, &call.context.time_zone).map(Datum::Timestamp)
            }
            _ => Err(wrong()),
        });
        b.row("-(timestamptz,interval) timestamptz", |args, call| match args {
            [Datum::Timestamp(at), Datum::Interval(i)] => {
                add_to_timestamptz(*at, negate(*i)?, &call.context.time_zone).map(Datum::Timestamp)
            }
            _ => Err(wrong()),
        });
    });
    for ty in ["timestamp", "timestamptz"] {
        b.row(&format!("-({ty},{ty}) interval"), |args, _| match args {
            [Datum::Timestamp(a), Datum::Timestamp(b)] => difference(*a, *b).map(Datum::Interval),
            _ => Err(wrong()),
        });
    }
}

/// Days and the rest, never months.
pub fn difference(a: i64, b: i64) -> SqlResult<Interval> {
    if !is_finite_timestamp(a) || !is_finite_timestamp(b) {
        return Err(SqlError::new(
            SqlState::DATETIME_FIELD_OVERFLOW,
            "cannot subtract infinite timestamps",
        ));
    }
    let micros = a.checked_sub(b).ok_or_else(|| out_of_range(&PgType::Interval))?;
    Ok(Interval { months: 0, days: (micros / DAY_MICROS) as i32, micros: micros % DAY_MICROS })
}

/// Months first, the day cut to the month's length, then days, then time.
pub fn add_to_timestamp(at: i64, by: Interval) -> SqlResult<i64> {
    if !is_finite_timestamp(at) {
        return Ok(at);
    }
    let range = || out_of_range(&PgType::Timestamp);
    let mut at = at;
    if by.months != 0 {
        let civil = Civil::from_micros(at);
        let months = civil.year * 12 + i64::from(civil.month) - 1 + i64::from(by.months);
        let (year, month) = (months.div_euclid(12), months.rem_euclid(12) as u32 + 1);
        let day = civil.day.min(days_in_month(year, month));
        at = Civil { year, month, day, time: civil.time }.to_micros().ok_or_else(range)?;
    }
    i64::from(by.days)
        .checked_mul(DAY_MICROS)
        .and_then(|days| at.checked_add(days))
        .and_then(|at| at.checked_add(by.micros))
        .filter(|at| is_valid_timestamp(*at))
        .ok_or_else(range)
}

/// Months and days are those of the wall clock, the time elapses.
pub fn add_to_timestamptz(at: i64, by: Interval, zone: &TimeZone) -> SqlResult<i64> {
    if !is_finite_timestamp(at) {
        return Ok(at);
    }
    let mut at = at;
    if by.months != 0 || by.days != 0 {
        let local = utc_to_local(at, zone)?;
        at = local_to_utc(add_to_timestamp(local, Interval { micros: 0, ..by })?, zone)?;
    }
    at.checked_add(by.micros)
        .filter(|at| is_valid_timestamp(*at))
        .ok_or_else(|| out_of_range(&PgType::Timestamp))
}

pub fn negate(value: Interval) -> SqlResult<Interval> {
    let range = || out_of_range(&PgType::Interval);
    Ok(Interval {
        months: value.months.checked_neg().ok_or_else(range)?,
        days: value.days.checked_neg().ok_or_else(range)?,
        micros: value.micros.checked_neg().ok_or_else(range)?,
    })
}

pub fn add_intervals(a: Interval, b: Interval) -> SqlResult<Interval> {
    let range = || out_of_range(&PgType::Interval);
    Ok(Interval {
        months: a.months.checked_add(b.months).ok_or_else(range)?,
        days: a.days.checked_add(b.days).ok_or_else(range)?,
        micros: a.micros.checked_add(b.micros).ok_or_else(range)?,
    })
}

fn intervals(b: &mut Builder) {
    b.row("+(interval,interval) interval", |args, _| match args {
        [Datum::Interval(a), Datum::Interval(b)] => add_intervals(*a, *b).map(Datum::Interval),
        _ => Err(wrong()),
    });
    b.row("-(interval,interval) interval", |args, _| match args {
        [Datum::Interval(a), Datum::Interval(b)] => {
            add_intervals(*a, negate(*b)?).map(Datum::Interval)
        }
        _ => Err(wrong()),
    });
    b.row("-(interval) interval", |args, _| match args {
        [Datum::Interval(a)] => negate(*a).map(Datum::Interval),
        _ => Err(wrong()),
    });
}

fn scaling(b: &mut Builder) {
    b.row("*(interval,float8) interval", |args, _| match args {
        [Datum::Interval(i), Datum::Float8(f)] => scale(*i, |v| v * f).map(Datum::Interval),
        _ => Err(wrong()),
    });
    b.row("*(float8,interval) interval", |args, _| match args {
        [Datum::Float8(f), Datum::Interval(i)] => scale(*i, |v| v * f).map(Datum::Interval),
        _ => Err(wrong()),
    });
    b.row("/(interval,float8) interval", |args, _| match args {
        [Datum::Interval(i), Datum::Float8(f)] => divide(*i, *f).map(Datum::Interval),
        _ => Err(wrong()),
    });
}

pub fn divide(value: Interval, divisor: f64) -> SqlResult<Interval> {
    if divisor == 0.0 {
        return Err(division_by_zero());
    }
    scale(value, |v| v / divisor)
}

pub fn scale_by(value: Interval, factor: f64) -> SqlResult<Interval> {
    scale(value, |v| v * factor)
}

/// Fractions of a month become days of 30 a month, fractions of a day become time; both rounded
/// to the microsecond first, so that 0.1 of ten days is a day.
fn scale(value: Interval, by: impl Fn(f64) -> f64) -> SqlResult<Interval> {
    let range = || out_of_range(&PgType::Interval);
    let whole = |v: f64| -> SqlResult<i32> {
        let fits = v.is_finite() && v >= f64::from(i32::MIN) && v <= f64::from(i32::MAX);
        if fits { Ok(v as i32) } else { Err(range()) }
    };
    let micro = |v: f64| (v * 1e6).round_ties_even() / 1e6;
    let month_product = by(f64::from(value.months));
    let day_product = by(f64::from(value.days));
    let months = whole(month_product.trunc())?;
    let mut days = whole(day_product.trunc())?;
    let month_days = micro((month_product - f64::from(months)) * 30.0);
    let mut seconds = (day_product - f64::from(days) + month_days - month_days.trunc()) * 86_400.0;
    seconds = micro(seconds);
    if seconds.abs() >= 86_400.0 {
        let carried = (seconds / 86_400.0).trunc();
        days = days.checked_add(whole(carried)?).ok_or_else(range)?;
        seconds -= carried * 86_400.0;
    }
    days = days.checked_add(whole(month_days.trunc())?).ok_or_else(range)?;
    let micros = (by(value.micros as f64) + seconds * 1e6).round_ties_even();
    if !(micros.is_finite() && micros.abs() < 9.2e18) {
        return Err(range());
    }
    Ok(Interval { months, days, micros: micros as i64 })
}
