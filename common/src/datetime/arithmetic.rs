//! Arithmetic on dates, times, timestamps and intervals, and conversions between them.

use std::cmp::Ordering;

use crate::datum::Interval;

use super::calendar::{
    Civil, DATE_INFINITY, DATE_NEG_INFINITY, DAY_MICROS, HOUR_MICROS, MAX_DAY, MIN_DAY,
    MINUTE_MICROS, SECOND_MICROS, TIMESTAMP_INFINITY, TIMESTAMP_NEG_INFINITY, civil_from_days,
    days_from_civil, days_in_month, is_finite_date, is_finite_timestamp, is_valid_timestamp,
};
use super::{DateTimeError, Result, TimeZone};

const TIMESTAMP: DateTimeError = DateTimeError::Overflow("timestamp");
const DATE: DateTimeError = DateTimeError::Overflow("date");
const INTERVAL: DateTimeError = DateTimeError::Overflow("interval");

fn checked(micros: Option<i64>) -> Result<i64> {
    micros.filter(|micros| is_valid_timestamp(*micros)).ok_or(TIMESTAMP)
}

/// Moves a local time by months; a day that the new month lacks becomes its last day.
fn add_months(local: i64, months: i32) -> Result<i64> {
    if months == 0 {
        return Ok(local);
    }
    let mut civil = Civil::from_micros(local);
    let total = civil.year * 12 + i64::from(civil.month) - 1 + i64::from(months);
    civil.year = total.div_euclid(12);
    civil.month = total.rem_euclid(12) as u32 + 1;
    civil.day = civil.day.min(days_in_month(civil.year, civil.month));
    checked(civil.to_micros())
}

fn add_days(local: i64, days: i32) -> Result<i64> {
    checked(local.checked_add(i64::from(days) * DAY_MICROS))
}

/// `timestamp + interval`
pub fn timestamp_plus_interval(micros: i64, interval: Interval) -> Result<i64> {
    if !is_finite_timestamp(micros) {
        return Ok(micros);
    }
    let moved = add_days(add_months(micros, interval.months)?, interval.days)?;
    checked(moved.checked_add(interval.micros))
}

/// `timestamptz + interval`: months and days on the clock of the zone, the rest in real time.
pub fn timestamptz_plus_interval(micros: i64, interval: Interval, zone: &TimeZone) -> Result<i64> {
    if !is_finite_timestamp(micros) {
        return Ok(micros);
    }
    let mut utc = micros;
    if interval.months != 0 {
        let local = zone.to_local(utc).ok_or(TIMESTAMP)?;
        utc = checked(zone.to_utc(add_months(local, interval.months)?))?;
    }
    if interval.days != 0 {
        let local = zone.to_local(utc).ok_or(TIMESTAMP)?;
        utc = checked(zone.to_utc(add_days(local, interval.days)?))?;
    }
    checked(utc.checked_add(interval.micros))
}

/// `timestamp - interval`
pub fn timestamp_minus_interval(micros: i64, interval: Interval) -> Result<i64> {
    timestamp_plus_interval(micros, interval_neg(interval)?)
}

/// `timestamptz - interval`
pub fn timestamptz_minus_interval(micros: i64, interval: Interval, zone: &TimeZone) -> Result<i64> {
    timestamptz_plus_interval(micros, interval_neg(interval)?, zone)
}

/// `a - b` of timestamps (of either type): days and time, no months.
pub fn timestamp_difference(a: i64, b: i64) -> Result<Interval> {
    if !is_finite_timestamp(a) || !is_finite_timestamp(b) {
        return Err(DateTimeError::Infinite("timestamps"));
    }
    let micros = a.checked_sub(b).ok_or(INTERVAL)?;
    justify_hours(Interval { months: 0, days: 0, micros })
}

/// `age(a, b)`: years, months, days and time as people count them.
pub fn age(a: i64, b: i64) -> Result<Interval> {
    if !is_finite_timestamp(a) || !is_finite_timestamp(b) {
        return Err(TIMESTAMP);
    }
    let (x, y) = (Civil::from_micros(a), Civil::from_micros(b));
    let sign = if a < b { -1 } else { 1 };
    let mut time = sign * (x.time - y.time);
    let mut days = sign * (i64::from(x.day) - i64::from(y.day));
    let mut months = sign * ((x.year - y.year) * 12 + i64::from(x.month) - i64::from(y.month));
    if time < 0 {
        time += DAY_MICROS;
        days -= 1;
    }
    // A day is borrowed from the month of the earlier date.
    let earlier = if a < b { x } else { y };
    while days < 0 {
        days += i64::from(days_in_month(earlier.year, earlier.month));
        months -= 1;
    }
    Ok(Interval {
        months: i32::try_from(sign * months).map_err(|_| INTERVAL)?,
        days: (sign * days) as i32,
        micros: sign * time,
    })
}

/// `age(timestamptz, timestamptz)`: on the clock of the zone.
pub fn age_in_zone(a: i64, b: i64, zone: &TimeZone) -> Result<Interval> {
    if !is_finite_timestamp(a) || !is_finite_timestamp(b) {
        return Err(TIMESTAMP);
    }
    let local = |utc| zone.to_local(utc).ok_or(TIMESTAMP);
    age(local(a)?, local(b)?)
}

/// `date + integer`
pub fn date_plus_days(date: i32, days: i32) -> Result<i32> {
    if !is_finite_date(date) {
        return Ok(date);
    }
    date_from_days(i64::from(date) + i64::from(days))
}

/// `a - b` in days.
pub fn date_difference(a: i32, b: i32) -> Result<i32> {
    if !is_finite_date(a) || !is_finite_date(b) {
        return Err(DateTimeError::Infinite("dates"));
    }
    i32::try_from(i64::from(a) - i64::from(b)).map_err(|_| DATE)
}

fn date_from_days(days: i64) -> Result<i32> {
    if (MIN_DAY..=MAX_DAY).contains(&days) { Ok(days as i32) } else { Err(DATE) }
}

/// Midnight of a date.
pub fn date_to_timestamp(date: i32) -> Result<i64> {
    match date {
        DATE_INFINITY => Ok(TIMESTAMP_INFINITY),
        DATE_NEG_INFINITY => Ok(TIMESTAMP_NEG_INFINITY),
        _ => i64::from(date)
            .checked_mul(DAY_MICROS)
            .filter(|micros| is_valid_timestamp(*micros))
            .ok_or(DateTimeError::DateForTimestamp),
    }
}

/// Midnight of a date on the clock of the zone.
pub fn date_to_timestamptz(date: i32, zone: &TimeZone) -> Result<i64> {
    timestamp_to_timestamptz(date_to_timestamp(date)?, zone)
}

/// `timestamp AT TIME ZONE zone`, and the cast.
pub fn timestamp_to_timestamptz(micros: i64, zone: &TimeZone) -> Result<i64> {
    if !is_finite_timestamp(micros) {
        return Ok(micros);
    }
    checked(zone.to_utc(micros))
}

/// `timestamptz AT TIME ZONE zone`, and the cast.
pub fn timestamptz_to_timestamp(micros: i64, zone: &TimeZone) -> Result<i64> {
    if !is_finite_timestamp(micros) {
        return Ok(micros);
    }
    checked(zone.to_local(micros))
}

pub fn timestamp_to_date(micros: i64) -> i32 {
    match micros {
        TIMESTAMP_INFINITY => DATE_INFINITY,
        TIMESTAMP_NEG_INFINITY => DATE_NEG_INFINITY,
        _ => micros.div_euclid(DAY_MICROS) as i32,
    }
}

pub fn timestamptz_to_date(micros: i64, zone: &TimeZone) -> Result<i32> {
    timestamptz_to_timestamp(micros, zone).map(timestamp_to_date)
}

/// `None` for the infinities.
pub fn timestamp_to_time(micros: i64) -> Option<i64> {
    is_finite_timestamp(micros).then(|| micros.rem_euclid(DAY_MICROS))
}

/// `date + time`
pub fn date_plus_time(date: i32, time: i64) -> Result<i64> {
    let midnight = date_to_timestamp(date)?;
    if !is_finite_timestamp(midnight) {
        return Ok(midnight);
    }
    checked(midnight.checked_add(time))
}

/// `time + interval`, around the clock.
pub fn time_plus_interval(time: i64, interval: Interval) -> i64 {
    (time + interval.micros % DAY_MICROS).rem_euclid(DAY_MICROS)
}

/// `time - interval`, around the clock.
pub fn time_minus_interval(time: i64, interval: Interval) -> i64 {
    (time - interval.micros % DAY_MICROS).rem_euclid(DAY_MICROS)
}

/// `a - b` of times.
pub fn time_difference(a: i64, b: i64) -> Interval {
    Interval { months: 0, days: 0, micros: a - b }
}

/// `interval::time`: its time part, around the clock.
pub fn interval_to_time(interval: Interval) -> i64 {
    interval.micros.rem_euclid(DAY_MICROS)
}

/// `make_date(year, month, day)`; a negative year is BC.
pub fn make_date(year: i32, month: i32, day: i32) -> Result<i32> {
    let invalid =
        || DateTimeError::Part { kind: "date", text: format!("{year}-{month:02}-{day:02}") };
    let valid = year != 0 && (1..=12).contains(&month) && day >= 1;
    let astronomical = i64::from(year) + i64::from(year < 0);
    if !valid || day as u32 > days_in_month(astronomical, month as u32) {
        return Err(invalid());
    }
    let days = days_from_civil(astronomical, month as u32, day as u32);
    date_from_days(days).map_err(|_| DateTimeError::OutOfRange {
        ty: "date",
        text: format!("{year}-{month:02}-{day:02}"),
    })
}

/// `make_time(hour, minute, seconds)`
pub fn make_time(hour: i32, minute: i32, seconds: f64) -> Result<i64> {
    let invalid =
        || DateTimeError::Part { kind: "time", text: format!("{hour}:{minute:02}:{seconds:02}") };
    let in_range =
        (0..=24).contains(&hour) && (0..60).contains(&minute) && (0.0..=60.0).contains(&seconds);
    let micros = (seconds * 1e6).round_ties_even();
    let time = i64::from(hour) * HOUR_MICROS + i64::from(minute) * MINUTE_MICROS + micros as i64;
    if !in_range || time > DAY_MICROS { Err(invalid()) } else { Ok(time) }
}

/// `make_interval(years, months, weeks, days, hours, mins, secs)`
pub fn make_interval(
    [years, months, weeks, days, hours, minutes]: [i32; 6],
    seconds: f64,
) -> Result<Interval> {
    let months = i64::from(years) * 12 + i64::from(months);
    let days = i64::from(weeks) * 7 + i64::from(days);
    if !seconds.is_finite() || seconds.abs() > 9e12 {
        return Err(INTERVAL);
    }
    let micros = i64::from(hours) * HOUR_MICROS
        + i64::from(minutes) * MINUTE_MICROS
        + (seconds * 1e6).round_ties_even() as i64;
    Ok(Interval {
        months: i32::try_from(months).map_err(|_| INTERVAL)?,
        days: i32::try_from(days).map_err(|_| INTERVAL)?,
        micros,
    })
}

pub fn interval_neg(value: Interval) -> Result<Interval> {
    Ok(Interval {
        months: value.months.checked_neg().ok_or(INTERVAL)?,
        days: value.days.checked_neg().ok_or(INTERVAL)?,
        micros: value.micros.checked_neg().ok_or(INTERVAL)?,
    })
}

pub fn interval_add(a: Interval, b: Interval) -> Result<Interval> {
    Ok(Interval {
        months: a.months.checked_add(b.months).ok_or(INTERVAL)?,
        days: a.days.checked_add(b.days).ok_or(INTERVAL)?,
        micros: a.micros.checked_add(b.micros).ok_or(INTERVAL)?,
    })
}

pub fn interval_sub(a: Interval, b: Interval) -> Result<Interval> {
    Ok(Interval {
        months: a.months.checked_sub(b.months).ok_or(INTERVAL)?,
        days: a.days.checked_sub(b.days).ok_or(INTERVAL)?,
        micros: a.micros.checked_sub(b.micros).ok_or(INTERVAL)?,
    })
}

pub fn interval_mul(value: Interval, factor: f64) -> Result<Interval> {
    scale(value, |field| field * factor)
}

/// The divisor is not zero.
pub fn interval_div(value: Interval, divisor: f64) -> Result<Interval> {
    scale(value, |field| field / divisor)
}

/// Scales every field; fractions of months become days, fractions of days time.
fn scale(value: Interval, by: impl Fn(f64) -> f64) -> Result<Interval> {
    let to_i32 = |field: f64| {
        let fits = field.is_finite() && field > -2_147_483_649.0 && field < 2_147_483_648.0;
        if fits { Ok(field as i32) } else { Err(INTERVAL) }
    };
    let round6 = |seconds: f64| (seconds * 1e6).round_ties_even() / 1e6;
    let (months_exact, days_exact) = (by(f64::from(value.months)), by(f64::from(value.days)));
    let (months, mut days) = (to_i32(months_exact)?, to_i32(days_exact)?);
    let extra_days = round6((months_exact - f64::from(months)) * 30.0);
    let day_seconds = 86_400.0;
    let mut seconds =
        round6((days_exact - f64::from(days) + extra_days - extra_days.trunc()) * day_seconds);
    if seconds.abs() >= day_seconds {
        let whole = (seconds / day_seconds).trunc();
        days = days.checked_add(to_i32(whole)?).ok_or(INTERVAL)?;
        seconds -= whole * day_seconds;
    }
    days = days.checked_add(to_i32(extra_days)?).ok_or(INTERVAL)?;
    let micros = (by(value.micros as f64) + seconds * 1e6).round_ties_even();
    let fits = micros.is_finite() && micros >= i64::MIN as f64 && micros < -(i64::MIN as f64);
    if !fits {
        return Err(INTERVAL);
    }
    Ok(Interval { months, days, micros: micros as i64 })
}

/// Microseconds with a month as 30 days and a day as 24 hours: what comparison goes by.
pub fn interval_span(value: Interval) -> i128 {
    let days = i128::from(value.months) * 30 + i128::from(value.days);
    days * i128::from(DAY_MICROS) + i128::from(value.micros)
}

pub fn interval_cmp(a: Interval, b: Interval) -> Ordering {
    interval_span(a).cmp(&interval_span(b))
}

/// Turns whole days of the time into days, and makes both have the same sign.
pub fn justify_hours(value: Interval) -> Result<Interval> {
    let whole = i32::try_from(value.micros / DAY_MICROS).map_err(|_| INTERVAL)?;
    let mut days = value.days.checked_add(whole).ok_or(INTERVAL)?;
    let mut micros = value.micros % DAY_MICROS;
    if days > 0 && micros < 0 {
        micros += DAY_MICROS;
        days -= 1;
    } else if days < 0 && micros > 0 {
        micros -= DAY_MICROS;
        days += 1;
    }
    Ok(Interval { months: value.months, days, micros })
}

/// Turns 30 days into a month, and makes both have the same sign.
pub fn justify_days(value: Interval) -> Result<Interval> {
    let mut months = value.months.checked_add(value.days / 30).ok_or(INTERVAL)?;
    let mut days = value.days % 30;
    if months > 0 && days < 0 {
        days += 30;
        months -= 1;
    } else if months < 0 && days > 0 {
        days -= 30;
        months += 1;
    }
    Ok(Interval { months, days, micros: value.micros })
}

/// Both of the above, and all three fields with the same sign.
pub fn justify_interval(value: Interval) -> Result<Interval> {
    let hours = justify_hours(value)?;
    let mut out = justify_days(hours)?;
    if out.months > 0 && (out.days < 0 || (out.days == 0 && out.micros < 0)) {
        out.days += 30;
        out.months -= 1;
    } else if out.months < 0 && (out.days > 0 || (out.days == 0 && out.micros > 0)) {
        out.days -= 30;
        out.months += 1;
    }
    if out.days > 0 && out.micros < 0 {
        out.micros += DAY_MICROS;
        out.days -= 1;
    } else if out.days < 0 && out.micros > 0 {
        out.micros -= DAY_MICROS;
        out.days += 1;
    }
    Ok(out)
}

/// `date_bin(stride, source, origin)`; also for timestamptz. The stride has no months and is
/// positive.
pub fn date_bin(stride: Interval, source: i64, origin: i64) -> Result<i64> {
    if !is_finite_timestamp(source) {
        return Ok(source);
    }
    if !is_finite_timestamp(origin) {
        return Err(DateTimeError::Overflow("origin"));
    }
    if stride.months != 0 {
        return Err(DateTimeError::StrideMonths);
    }
    let step = interval_span(stride);
    if step <= 0 {
        return Err(DateTimeError::StrideNotPositive);
    }
    let offset = i128::from(source) - i128::from(origin);
    let binned = i128::from(origin) + offset.div_euclid(step) * step;
    checked(i64::try_from(binned).ok())
}

/// `to_timestamp(double precision)`: seconds since 1970.
pub fn timestamptz_from_epoch(seconds: f64) -> Result<i64> {
    if seconds.is_nan() {
        return Err(DateTimeError::EpochNaN);
    }
    if seconds.is_infinite() {
        return Ok(if seconds > 0.0 { TIMESTAMP_INFINITY } else { TIMESTAMP_NEG_INFINITY });
    }
    let micros = (seconds * SECOND_MICROS as f64).round_ties_even();
    let fits = micros >= i64::MIN as f64 && micros < i64::MAX as f64;
    let out_of_range = || DateTimeError::OutOfRange { ty: "timestamp", text: format!("{seconds}") };
    if !fits || !is_valid_timestamp(micros as i64) {
        Err(out_of_range())
    } else {
        Ok(micros as i64)
    }
}

/// Year, month and day of a date.
pub fn date_parts(date: i32) -> (i64, u32, u32) {
    civil_from_days(i64::from(date))
}
