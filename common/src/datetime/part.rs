//! date_part, extract and date_trunc.

use crate::datum::Interval;
use crate::error::{SqlError, SqlResult, SqlState};
use crate::numeric::Numeric;

use super::calendar::{
    Civil, DAY_MICROS, HOUR_MICROS, MINUTE_MICROS, SECOND_MICROS, TIMESTAMP_INFINITY,
    TIMESTAMP_NEG_INFINITY, UNIX_JULIAN_DAY, civil_from_days, day_of_week, day_of_year,
    is_finite_date, is_finite_timestamp, iso_week, iso_week_start,
};
use super::{DateTimeError, TimeZone};

/// A field of a date, time or interval that SQL can name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    Microseconds,
    Milliseconds,
    Second,
    Minute,
    Hour,
    Day,
    Week,
    Month,
    Quarter,
    Year,
    Decade,
    Century,
    Millennium,
    Julian,
    IsoYear,
    DayOfWeek,
    IsoDayOfWeek,
    DayOfYear,
    Epoch,
    TimeZone,
    TimeZoneHour,
    TimeZoneMinute,
}

impl Part {
    /// In any case.
    pub fn parse(name: &str) -> Option<Self> {
        Some(match name.to_ascii_lowercase().as_str() {
            "microseconds" | "microsecond" | "microsecon" | "us" | "usec" | "usecond"
            | "useconds" | "usecs" => Self::Microseconds,
            "milliseconds" | "millisecond" | "millisecon" | "ms" | "msec" | "msecond"
            | "mseconds" | "msecs" => Self::Milliseconds,
            "second" | "seconds" | "sec" | "secs" | "s" => Self::Second,
            "minute" | "minutes" | "min" | "mins" | "m" => Self::Minute,
            "hour" | "hours" | "hr" | "hrs" | "h" => Self::Hour,
            "day" | "days" | "d" => Self::Day,
            "week" | "weeks" | "w" => Self::Week,
            "month" | "months" | "mon" | "mons" => Self::Month,
            "quarter" | "qtr" => Self::Quarter,
            "year" | "years" | "y" | "yr" | "yrs" => Self::Year,
            "decade" | "decades" | "dec" | "decs" => Self::Decade,
            "century" | "centuries" | "cent" | "c" => Self::Century,
            "millennium" | "millennia" | "mil" | "mils" => Self::Millennium,
            "julian" | "jd" | "j" => Self::Julian,
            "isoyear" => Self::IsoYear,
            "dow" => Self::DayOfWeek,
            "isodow" => Self::IsoDayOfWeek,
            "doy" => Self::DayOfYear,
            "epoch" => Self::Epoch,
            "timezone" => Self::TimeZone,
            "timezone_h" | "timezone_hour" => Self::TimeZoneHour,
            "timezone_m" | "timezone_minute" => Self::TimeZoneMinute,
            _ => return None,
        })
    }
}

fn part_of(name: &str, ty: &str) -> SqlResult<Part> {
    Part::parse(name).ok_or_else(|| unknown(name, ty))
}

/// As [`part_of`], for date_trunc, which does not know the parts that are no units.
fn unit_of(name: &str, ty: &str) -> SqlResult<Part> {
    match part_of(name, ty)? {
        Part::Julian
        | Part::IsoYear
        | Part::DayOfWeek
        | Part::IsoDayOfWeek
        | Part::DayOfYear
        | Part::Epoch => Err(unknown(name, ty)),
        part => Ok(part),
    }
}

fn unknown(name: &str, ty: &str) -> SqlError {
    let name = name.to_ascii_lowercase();
    SqlError::new(
        SqlState::INVALID_PARAMETER_VALUE,
        format!("unit \"{name}\" not recognized for type {ty}"),
    )
}

fn unsupported(name: &str, ty: &str) -> SqlError {
    let name = name.to_ascii_lowercase();
    SqlError::new(
        SqlState::FEATURE_NOT_SUPPORTED,
        format!("unit \"{name}\" not supported for type {ty}"),
    )
}

fn whole(value: i64) -> Numeric {
    Numeric::from_i64(value)
}

/// `micros` shifted to units of 10^scale microseconds with all their decimals.
fn scaled(micros: i128, scale: i32) -> Numeric {
    Numeric::from_i128(micros, scale).unwrap_or(Numeric::NAN)
}

const TIMESTAMP: &str = "timestamp without time zone";
const TIMESTAMPTZ: &str = "timestamp with time zone";

/// `extract(name from timestamp)`; `None` is NULL. `date_part` is the same as a double.
pub fn extract_timestamp(name: &str, micros: i64) -> SqlResult<Option<Numeric>> {
    let part = part_of(name, TIMESTAMP)?;
    if !is_finite_timestamp(micros) {
        return Ok(infinite_part(part, micros));
    }
    let civil = Civil::from_micros(micros);
    match part {
        Part::Epoch => Ok(Some(scaled(i128::from(micros), 6))),
        _ => civil_part(part, &civil).map(Some).ok_or_else(|| unsupported(name, TIMESTAMP)),
    }
}

/// `extract(name from timestamptz)` on the clock of the zone.
pub fn extract_timestamptz(name: &str, micros: i64, zone: &TimeZone) -> SqlResult<Option<Numeric>> {
    let part = part_of(name, TIMESTAMPTZ)?;
    if !is_finite_timestamp(micros) {
        return Ok(infinite_part(part, micros));
    }
    let offset = i64::from(zone.offset_at(micros));
    let civil = Civil::from_micros(micros.saturating_add(offset * SECOND_MICROS));
    Ok(Some(match part {
        Part::Epoch => scaled(i128::from(micros), 6),
        Part::TimeZone => whole(offset),
        Part::TimeZoneHour => whole(offset / 3600),
        Part::TimeZoneMinute => whole(offset / 60 % 60),
        _ => civil_part(part, &civil).ok_or_else(|| unsupported(name, TIMESTAMPTZ))?,
    }))
}

/// Fields that grow with time are infinite, the others NULL.
fn infinite_part(part: Part, micros: i64) -> Option<Numeric> {
    match part {
        Part::Year
        | Part::Decade
        | Part::Century
        | Part::Millennium
        | Part::Julian
        | Part::IsoYear
        | Part::Epoch => {
            let negative = micros == TIMESTAMP_NEG_INFINITY;
            Some(if negative { Numeric::NEG_INFINITY } else { Numeric::INFINITY })
        }
        _ => None,
    }
}

/// `None` for fields that a clock without zone does not have.
fn civil_part(part: Part, civil: &Civil) -> Option<Numeric> {
    let year = civil.year;
    let seconds = i128::from(civil.second() * SECOND_MICROS + civil.fraction());
    Some(match part {
        Part::Microseconds => whole(seconds as i64),
        Part::Milliseconds => scaled(seconds, 3),
        Part::Second => scaled(seconds, 6),
        Part::Minute => whole(civil.minute()),
        Part::Hour => whole(civil.hour()),
        Part::Day => whole(i64::from(civil.day)),
        Part::Week => whole(iso_week(civil.days()).1),
        Part::Month => whole(i64::from(civil.month)),
        Part::Quarter => whole(i64::from((civil.month - 1) / 3 + 1)),
        // There is no year 0: 1 BC is -1.
        Part::Year => whole(if year > 0 { year } else { year - 1 }),
        Part::Decade => whole(year.div_euclid(10)),
        Part::Century => whole(period(year, 100)),
        Part::Millennium => whole(period(year, 1000)),
        Part::Julian => {
            let day = whole(civil.days() + UNIX_JULIAN_DAY);
            let fraction = whole(civil.time).div(&whole(DAY_MICROS)).ok()?;
            day.add(&fraction).ok()?
        }
        Part::IsoYear => {
            let year = iso_week(civil.days()).0;
            whole(if year > 0 { year } else { year - 1 })
        }
        Part::DayOfWeek => whole(day_of_week(civil.days())),
        Part::IsoDayOfWeek => whole((day_of_week(civil.days()) + 6) % 7 + 1),
        Part::DayOfYear => whole(day_of_year(year, civil.month, civil.day)),
        Part::Epoch | Part::TimeZone | Part::TimeZoneHour | Part::TimeZoneMinute => return None,
    })
}

/// Number of the century or millennium: the first ends with year 100 (1000), the one before
/// year 1 is -1.
fn period(year: i64, length: i64) -> i64 {
    if year > 0 { (year + length - 1) / length } else { -((length - 1 - (year - 1)) / length) }
}

/// `extract(name from date)`
pub fn extract_date(name: &str, date: i32) -> SqlResult<Option<Numeric>> {
    const DATE: &str = "date";
    let part = part_of(name, DATE)?;
    match part {
        Part::Microseconds
        | Part::Milliseconds
        | Part::Second
        | Part::Minute
        | Part::Hour
        | Part::TimeZone
        | Part::TimeZoneHour
        | Part::TimeZoneMinute => return Err(unsupported(name, DATE)),
        _ => {}
    }
    if !is_finite_date(date) {
        let micros = if date > 0 { TIMESTAMP_INFINITY } else { TIMESTAMP_NEG_INFINITY };
        return Ok(infinite_part(part, micros));
    }
    let (year, month, day) = civil_from_days(i64::from(date));
    let civil = Civil { year, month, day, time: 0 };
    Ok(match part {
        Part::Epoch => Some(whole(i64::from(date) * 86_400)),
        Part::Julian => Some(whole(i64::from(date) + UNIX_JULIAN_DAY)),
        _ => civil_part(part, &civil),
    })
}

/// `extract(name from time)`
pub fn extract_time(name: &str, time: i64) -> SqlResult<Numeric> {
    const TIME: &str = "time without time zone";
    let seconds = i128::from(time % MINUTE_MICROS);
    Ok(match part_of(name, TIME)? {
        Part::Microseconds => whole(seconds as i64),
        Part::Milliseconds => scaled(seconds, 3),
        Part::Second => scaled(seconds, 6),
        Part::Minute => whole(time / MINUTE_MICROS % 60),
        Part::Hour => whole(time / HOUR_MICROS),
        Part::Epoch => scaled(i128::from(time), 6),
        _ => return Err(unsupported(name, TIME)),
    })
}

/// `extract(name from interval)`
pub fn extract_interval(name: &str, value: Interval) -> SqlResult<Numeric> {
    const INTERVAL: &str = "interval";
    let (years, months) = (i64::from(value.months / 12), i64::from(value.months % 12));
    let seconds = i128::from(value.micros % MINUTE_MICROS);
    Ok(match part_of(name, INTERVAL)? {
        Part::Microseconds => whole(seconds as i64),
        Part::Milliseconds => scaled(seconds, 3),
        Part::Second => scaled(seconds, 6),
        Part::Minute => whole(value.micros / MINUTE_MICROS % 60),
        Part::Hour => whole(value.micros / HOUR_MICROS),
        Part::Day => whole(i64::from(value.days)),
        Part::Month => whole(months),
        Part::Quarter => whole(months / 3 + 1),
        Part::Year => whole(years),
        Part::Decade => whole(years / 10),
        Part::Century => whole(years / 100),
        Part::Millennium => whole(years / 1000),
        Part::Epoch => {
            // A year is 365.25 days here.
            let quarter_days = 1461 * years + 120 * months + 4 * i64::from(value.days);
            let seconds = i128::from(quarter_days) * 21_600;
            scaled(seconds * i128::from(SECOND_MICROS) + i128::from(value.micros), 6)
        }
        _ => return Err(unsupported(name, INTERVAL)),
    })
}

/// Cuts a local time off; `None` for parts that cannot be cut at.
fn truncate(part: Part, local: i64) -> Option<i64> {
    let below_day = |unit: i64| Some(local - local.rem_euclid(unit));
    let first_of = |year: i64, month: u32| {
        Civil { year, month, day: 1, time: 0 }.to_micros().or(Some(i64::MIN))
    };
    let civil = Civil::from_micros(local);
    match part {
        Part::Microseconds => Some(local),
        Part::Milliseconds => below_day(1000),
        Part::Second => below_day(SECOND_MICROS),
        Part::Minute => below_day(MINUTE_MICROS),
        Part::Hour => below_day(HOUR_MICROS),
        Part::Day => below_day(DAY_MICROS),
        Part::Week => {
            let (year, week) = iso_week(civil.days());
            iso_week_start(year, week).checked_mul(DAY_MICROS)
        }
        Part::Month => first_of(civil.year, civil.month),
        Part::Quarter => first_of(civil.year, (civil.month - 1) / 3 * 3 + 1),
        Part::Year => first_of(civil.year, 1),
        Part::Decade => first_of(civil.year.div_euclid(10) * 10, 1),
        Part::Century => first_of((civil.year - 1).div_euclid(100) * 100 + 1, 1),
        Part::Millennium => first_of((civil.year - 1).div_euclid(1000) * 1000 + 1, 1),
        _ => None,
    }
}

fn in_range(micros: i64) -> SqlResult<i64> {
    if super::calendar::is_valid_timestamp(micros) {
        Ok(micros)
    } else {
        Err(DateTimeError::Overflow("timestamp").into())
    }
}

/// `date_trunc(name, timestamp)`
pub fn trunc_timestamp(name: &str, micros: i64) -> SqlResult<i64> {
    if !is_finite_timestamp(micros) {
        return Ok(micros);
    }
    let part = unit_of(name, TIMESTAMP)?;
    in_range(truncate(part, micros).ok_or_else(|| unsupported(name, TIMESTAMP))?)
}

/// `date_trunc(name, timestamptz)` on the clock of the zone.
pub fn trunc_timestamptz(name: &str, micros: i64, zone: &TimeZone) -> SqlResult<i64> {
    if !is_finite_timestamp(micros) {
        return Ok(micros);
    }
    let part = unit_of(name, TIMESTAMPTZ)?;
    let overflow = || SqlError::from(DateTimeError::Overflow("timestamp"));
    let local = zone.to_local(micros).ok_or_else(overflow)?;
    let cut = in_range(truncate(part, local).ok_or_else(|| unsupported(name, TIMESTAMPTZ))?)?;
    match part {
        // Within the day the offset stays what it is.
        Part::Microseconds | Part::Milliseconds | Part::Second | Part::Minute | Part::Hour => {
            Ok(micros - (local - cut))
        }
        _ => in_range(zone.to_utc(cut).ok_or_else(overflow)?),
    }
}

/// `date_trunc(name, interval)`
pub fn trunc_interval(name: &str, value: Interval) -> SqlResult<Interval> {
    const INTERVAL: &str = "interval";
    let part = unit_of(name, INTERVAL)?;
    let time = |unit: i64| Interval { micros: value.micros - value.micros % unit, ..value };
    let months =
        |unit: i32| Interval { months: value.months - value.months % unit, days: 0, micros: 0 };
    Ok(match part {
        Part::Microseconds => value,
        Part::Milliseconds => time(1000),
        Part::Second => time(SECOND_MICROS),
        Part::Minute => time(MINUTE_MICROS),
        Part::Hour => time(HOUR_MICROS),
        Part::Day => Interval { micros: 0, ..value },
        Part::Month => months(1),
        Part::Quarter => months(3),
        Part::Year => months(12),
        Part::Decade => months(120),
        Part::Century => months(1200),
        Part::Millennium => months(12_000),
        Part::Week => {
            return Err(unsupported(name, INTERVAL).detail("Months usually have fractional weeks."));
        }
        _ => return Err(unsupported(name, INTERVAL)),
    })
}
