//! Dates and times: fields, truncation, building, age, time zones.

use datafusion::arrow::datatypes::TimestampMicrosecondType;
use datafusion::logical_expr::ColumnarValue;
use satsuma_common::datetime::TimeZone;
use satsuma_common::datetime::calendar::{
    Civil, DAY_MICROS, HOUR_MICROS, MINUTE_MICROS, SECOND_MICROS, UNIX_JULIAN_DAY, civil_from_days,
    day_of_week, day_of_year, days_from_civil, days_in_month, is_finite_date, is_finite_timestamp,
    is_valid_timestamp, iso_week, iso_week_start,
};
use satsuma_common::datum::Interval;
use satsuma_common::numeric::Numeric;
use satsuma_common::types::MOST_DIGITS;
use satsuma_common::{Datum, PgType, SqlError, SqlResult, SqlState, TimeType, arrow_types};

use super::error::{out_of_range, unexpected_value};
use super::library::{Builder, Call};
use super::strings::int;
use super::vector;
use super::{FunctionEnv, Typed};
use crate::casts::datetime::{local_to_utc, timestamp_of_date, utc_to_local};
use crate::casts::text::text;
use crate::operators::datetime::{add_intervals, difference};

fn wrong() -> SqlError {
    unexpected_value("a date function")
}

fn invalid(message: impl Into<String>) -> SqlError {
    SqlError::new(SqlState::INVALID_PARAMETER_VALUE, message)
}

pub(crate) fn install(b: &mut Builder) {
    clock(b);
    fields(b);
    truncation(b);
    building(b);
    intervals(b);
    zones(b);
    b.row("isfinite(timestamp) bool", finite);
    b.row("isfinite(timestamptz) bool", finite);
    b.row("isfinite(date) bool", finite);
    b.row("isfinite(interval) bool", |_, _| Ok(Datum::Bool(true)));
}

fn finite(args: &[Datum], _: &super::library::Call) -> SqlResult<Datum> {
    Ok(Datum::Bool(match &args[0] {
        Datum::Timestamp(at) => is_finite_timestamp(*at),
        Datum::Date(days) => is_finite_date(*days),
        _ => return Err(wrong()),
    }))
}

/// The clock: what a transaction and a statement take for now is known when it is bound.
fn clock(b: &mut Builder) {
    let constant = |b: &mut Builder, name: &str, of_statement: bool| {
        b.rewrite(&format!("{name}() timestamptz"), move |_, _, env| {
            Typed::constant(Datum::Timestamp(now(env, of_statement)), PgType::Timestamptz)
        });
    };
    constant(b, "now", false);
    constant(b, "transaction_timestamp", false);
    constant(b, "current_timestamp", false);
    constant(b, "statement_timestamp", true);
    let local = |env: &FunctionEnv| utc_to_local(now(env, false), &env.settings.zone());
    b.rewrite("localtimestamp() timestamp", move |_, _, env| {
        Typed::constant(Datum::Timestamp(local(env)?), PgType::Timestamp)
    });
    b.rewrite("current_date() date", move |_, _, env| {
        let days = local(env)?.div_euclid(DAY_MICROS) as i32;
        Typed::constant(Datum::Date(days), PgType::Date)
    });
    for name in ["localtime", "current_time"] {
        b.rewrite(&format!("{name}() time"), move |_, _, env| {
            Typed::constant(Datum::Time(local(env)?.rem_euclid(DAY_MICROS)), PgType::Time)
        });
    }
    for (name, time) in [
        ("current_timestamp", TimeType::Timestamptz),
        ("localtimestamp", TimeType::Timestamp),
        ("localtime", TimeType::Time),
        ("current_time", TimeType::Time),
    ] {
        b.rewrite(&format!("{name}(int4) {}", time.bare().name()), move |args, _, env| {
            let digits = args.first().and_then(Typed::as_constant).transpose()?;
            let Some(Datum::Int4(digits)) = digits else { return Err(wrong()) };
            let digits = u8::try_from(digits).unwrap_or(MOST_DIGITS).min(MOST_DIGITS);
            let value = match time {
                TimeType::Timestamptz => Datum::Timestamp(now(env, false)),
                TimeType::Timestamp => Datum::Timestamp(local(env)?),
                _ => Datum::Time(local(env)?.rem_euclid(DAY_MICROS)),
            };
            Typed::constant(time.round(value, digits), PgType::Precise(time, digits))
        });
    }
    b.volatile(|b| {
        b.row("clock_timestamp() timestamptz", |_, _| Ok(Datum::Timestamp(clock_micros())));
        b.row("timeofday() text", |_, _| {
            let now = chrono::DateTime::from_timestamp_micros(clock_micros()).unwrap_or_default();
            Ok(Datum::Text(now.format("%a %b %d %H:%M:%S%.6f %Y UTC").to_string()))
        });
    });
}

/// The wall clock: `clock_timestamp()` is the one function that asks for it.
#[allow(clippy::disallowed_methods, reason = "clock_timestamp() is the wall clock by definition")]
fn clock_micros() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.map_or(0, |elapsed| i64::try_from(elapsed.as_micros()).unwrap_or(i64::MAX))
}

fn now(env: &FunctionEnv, of_statement: bool) -> i64 {
    env.note_session_dependence();
    if of_statement { env.settings.statement_micros } else { env.settings.transaction_micros }
}

/// A field's value: exact, in units of 10^-scale.
struct Field {
    value: i128,
    scale: i32,
}

impl Field {
    fn whole(value: i64) -> Self {
        Self { value: i128::from(value), scale: 0 }
    }

    fn micros(value: i64) -> Self {
        Self { value: i128::from(value), scale: 6 }
    }

    fn numeric(&self) -> SqlResult<Datum> {
        Numeric::from_i128(self.value, self.scale).map(Datum::Numeric).ok_or_else(wrong)
    }

    fn float(&self) -> Datum {
        Datum::Float8(self.value as f64 / 10f64.powi(self.scale))
    }
}

/// What a field of an infinite value is.
enum Answer {
    Field(Field),
    Infinite(bool),
    Null,
}

fn unknown_unit(unit: &str, ty: &PgType) -> SqlError {
    invalid(format!("unit \"{unit}\" not recognized for type {ty}"))
}

fn unsupported_unit(unit: &str, ty: &PgType) -> SqlError {
    SqlError::new(
        SqlState::FEATURE_NOT_SUPPORTED,
        format!("unit \"{unit}\" not supported for type {ty}"),
    )
}

/// Units in the singular, as PostgreSQL's abbreviations are resolved.
fn unit_name(unit: &str) -> String {
    let unit = unit.trim().to_ascii_lowercase();
    match unit.as_str() {
        "microseconds" | "microsecond" | "us" | "usec" | "usecs" => "microseconds",
        "milliseconds" | "millisecond" | "ms" | "msec" | "msecs" => "milliseconds",
        "second" | "seconds" | "sec" | "secs" | "s" => "second",
        "minute" | "minutes" | "min" | "mins" | "m" => "minute",
        "hour" | "hours" | "hr" | "hrs" | "h" => "hour",
        "day" | "days" | "d" => "day",
        "week" | "weeks" | "w" => "week",
        "month" | "months" | "mon" | "mons" => "month",
        "quarter" | "qtr" => "quarter",
        "year" | "years" | "yr" | "yrs" | "y" => "year",
        "decade" | "decades" | "dec" | "decs" => "decade",
        "century" | "centuries" | "cent" | "c" => "century",
        "millennium" | "millennia" | "mil" | "mils" => "millennium",
        "timezone_h" | "timezone_hour" => "timezone_hour",
        "timezone_m" | "timezone_minute" => "timezone_minute",
        "j" | "jd" | "julian" => "julian",
        other => other,
    }
    .to_string()
}

/// Years count without a year zero.
fn shown_year(year: i64) -> i64 {
    if year > 0 { year } else { year - 1 }
}

fn century(year: i64, length: i64) -> i64 {
    if year > 0 { (year + length - 1) / length } else { -((length - year) / length) }
}

/// Fields that a date has.
fn date_field(unit: &str, year: i64, month: u32, day: u32) -> Option<Field> {
    let days = days_from_civil(year, month, day);
    Some(Field::whole(match unit {
        "day" => i64::from(day),
        "month" => i64::from(month),
        "quarter" => i64::from((month - 1) / 3 + 1),
        "year" => shown_year(year),
        "decade" => year.div_euclid(10),
        "century" => century(year, 100),
        "millennium" => century(year, 1000),
        "week" => iso_week(days).1,
        "isoyear" => shown_year(iso_week(days).0),
        "dow" => day_of_week(days),
        "isodow" => match day_of_week(days) {
            0 => 7,
            day => day,
        },
        "doy" => day_of_year(year, month, day),
        _ => return None,
    }))
}

fn time_field(unit: &str, micros: i64) -> Option<Field> {
    Some(match unit {
        "hour" => Field::whole(micros / HOUR_MICROS),
        "minute" => Field::whole(micros / MINUTE_MICROS % 60),
        "second" => Field::micros(micros % MINUTE_MICROS),
        "milliseconds" => Field { value: i128::from(micros % MINUTE_MICROS), scale: 3 },
        "microseconds" => Field::whole(micros % MINUTE_MICROS),
        _ => return None,
    })
}

/// Fields that only grow are infinite for infinity, the others NULL.
fn infinite(unit: &str, positive: bool, ty: &PgType) -> SqlResult<Answer> {
    match unit {
        "year" | "decade" | "century" | "millennium" | "julian" | "isoyear" | "epoch" => {
            Ok(Answer::Infinite(positive))
        }
        "microseconds" | "milliseconds" | "second" | "minute" | "hour" | "day" | "month"
        | "quarter" | "week" | "dow" | "isodow" | "doy" | "timezone" | "timezone_hour"
        | "timezone_minute" => Ok(Answer::Null),
        _ => Err(unknown_unit(unit, ty)),
    }
}

fn timestamp_field(unit: &str, at: i64, zone: Option<&TimeZone>) -> SqlResult<Answer> {
    let ty = if zone.is_some() { PgType::Timestamptz } else { PgType::Timestamp };
    let unit = unit_name(unit);
    if !is_finite_timestamp(at) {
        return infinite(&unit, at > 0, &ty);
    }
    let local = match zone {
        Some(zone) => utc_to_local(at, zone)?,
        None => at,
    };
    let civil = Civil::from_micros(local);
    let offset = zone.map(|zone| i64::from(zone.offset_at(at)));
    let field = match (unit.as_str(), offset) {
        ("epoch", _) => Field::micros(at),
        ("julian", _) => julian(local),
        ("timezone", Some(offset)) => Field::whole(offset),
        ("timezone_hour", Some(offset)) => Field::whole(offset / 3600),
        ("timezone_minute", Some(offset)) => Field::whole(offset / 60 % 60),
        ("timezone" | "timezone_hour" | "timezone_minute", None) => {
            return Err(unsupported_unit(&unit, &ty));
        }
        (unit, _) => time_field(unit, civil.time)
            .or_else(|| date_field(unit, civil.year, civil.month, civil.day))
            .ok_or_else(|| unknown_unit(unit, &ty))?,
    };
    Ok(Answer::Field(field))
}

/// The Julian day, with the time of day as its fraction.
fn julian(local: i64) -> Field {
    let days = local.div_euclid(DAY_MICROS) + UNIX_JULIAN_DAY;
    let part = i128::from(local.rem_euclid(DAY_MICROS));
    // Twenty digits behind the point, as a numeric division of PostgreSQL's has them.
    let scale = 20;
    let unit = 10i128.pow(scale as u32);
    let fraction = (part * unit + i128::from(DAY_MICROS) / 2) / i128::from(DAY_MICROS);
    Field { value: i128::from(days) * unit + fraction, scale }
}

fn interval_field(unit: &str, value: Interval) -> SqlResult<Answer> {
    let unit = unit_name(unit);
    let years = i64::from(value.months / 12);
    let field = match unit.as_str() {
        "day" => Field::whole(i64::from(value.days)),
        "month" => Field::whole(i64::from(value.months % 12)),
        "quarter" => Field::whole(i64::from(value.months % 12 / 3 + 1)),
        "year" => Field::whole(years),
        "decade" => Field::whole(years / 10),
        "century" => Field::whole(years / 100),
        "millennium" => Field::whole(years / 1000),
        "epoch" => {
            // A year is 365.25 days here.
            let months = i128::from(value.months);
            let seconds = months / 12 * 31_557_600 + months % 12 * 2_592_000;
            let days = i128::from(value.days) * 86_400;
            Field { value: (seconds + days) * 1_000_000 + i128::from(value.micros), scale: 6 }
        }
        other => {
            time_field(other, value.micros).ok_or_else(|| unknown_unit(other, &PgType::Interval))?
        }
    };
    Ok(Answer::Field(field))
}

fn fields(b: &mut Builder) {
    for (name, numeric) in [("extract", true), ("date_part", false)] {
        let result = if numeric { "numeric" } else { "float8" };
        let answer = move |answer: Answer| -> SqlResult<Datum> {
            Ok(match answer {
                Answer::Null => Datum::Null,
                Answer::Field(field) if numeric => field.numeric()?,
                Answer::Field(field) => field.float(),
                Answer::Infinite(up) if numeric => {
                    Datum::Numeric(Numeric::parse(if up { "Infinity" } else { "-Infinity" })?)
                }
                Answer::Infinite(up) => {
                    Datum::Float8(if up { f64::INFINITY } else { f64::NEG_INFINITY })
                }
            })
        };
        b.row(&format!("{name}(text,timestamp) {result}"), move |args, _| match &args[1] {
            Datum::Timestamp(at) => answer(timestamp_field(text(&args[0])?, *at, None)?),
            _ => Err(wrong()),
        });
        b.with_settings(|b| {
            b.row(&format!("{name}(text,timestamptz) {result}"), move |args, call| {
                match &args[1] {
                    Datum::Timestamp(at) => {
                        let zone = &call.context.time_zone;
                        answer(timestamp_field(text(&args[0])?, *at, Some(zone))?)
                    }
                    _ => Err(wrong()),
                }
            });
        });
        b.row(&format!("{name}(text,date) {result}"), move |args, _| match &args[1] {
            Datum::Date(days) if !numeric => {
                let at = timestamp_of_date(*days)?;
                answer(timestamp_field(text(&args[0])?, at, None)?)
            }
            Datum::Date(days) => answer(date_answer(text(&args[0])?, *days)?),
            _ => Err(wrong()),
        });
        b.row(&format!("{name}(text,time) {result}"), move |args, _| match &args[1] {
            Datum::Time(micros) => {
                let unit = unit_name(text(&args[0])?);
                let field = match unit.as_str() {
                    "epoch" => Field::micros(*micros),
                    other => time_field(other, *micros).ok_or_else(|| {
                        match date_field(other, 2000, 1, 1) {
                            Some(_) => unsupported_unit(other, &PgType::Time),
                            None => unknown_unit(other, &PgType::Time),
                        }
                    })?,
                };
                answer(Answer::Field(field))
            }
            _ => Err(wrong()),
        });
        b.row(&format!("{name}(text,interval) {result}"), move |args, _| match &args[1] {
            Datum::Interval(value) => answer(interval_field(text(&args[0])?, *value)?),
            _ => Err(wrong()),
        });
    }
}

/// extract() of a date knows no time of day.
fn date_answer(unit: &str, days: i32) -> SqlResult<Answer> {
    let unit = unit_name(unit);
    let ty = PgType::Date;
    let of_time = time_field(&unit, 0).is_some() || unit.starts_with("timezone");
    if of_time {
        return Err(unsupported_unit(&unit, &ty));
    }
    if !is_finite_date(days) {
        return infinite(&unit, days > 0, &ty);
    }
    let (year, month, day) = civil_from_days(i64::from(days));
    let field = match unit.as_str() {
        "epoch" => Field::whole(i64::from(days) * 86_400),
        "julian" => Field::whole(i64::from(days) + UNIX_JULIAN_DAY),
        other => date_field(other, year, month, day).ok_or_else(|| unknown_unit(other, &ty))?,
    };
    Ok(Answer::Field(field))
}

/// What `date_trunc` cuts off.
#[derive(Clone, Copy, Debug)]
enum Span {
    /// Less than this many microseconds: up to a day.
    Micros(i64),
    Week,
    Months(u32),
    Years(i64),
    /// Of this many years, counted from the year 1.
    Centuries(i64),
}

impl Span {
    fn of(unit: &str, ty: &PgType) -> SqlResult<Self> {
        let unit = unit_name(unit);
        Ok(match unit.as_str() {
            "microseconds" => Self::Micros(1),
            "milliseconds" => Self::Micros(1000),
            "second" => Self::Micros(SECOND_MICROS),
            "minute" => Self::Micros(MINUTE_MICROS),
            "hour" => Self::Micros(HOUR_MICROS),
            "day" => Self::Micros(DAY_MICROS),
            "week" => Self::Week,
            "month" => Self::Months(1),
            "quarter" => Self::Months(3),
            "year" => Self::Years(1),
            "decade" => Self::Years(10),
            "century" => Self::Centuries(100),
            "millennium" => Self::Centuries(1000),
            _ => return Err(unknown_unit(&unit, ty)),
        })
    }

    fn truncate(self, at: i64) -> SqlResult<i64> {
        let first = |year: i64, month: u32| {
            Civil { year, month, day: 1, time: 0 }
                .to_micros()
                .ok_or_else(|| out_of_range(&PgType::Timestamp))
        };
        match self {
            _ if !is_finite_timestamp(at) => Ok(at),
            Self::Micros(size) => Ok(at - at.rem_euclid(size)),
            Self::Week => {
                let (iso_year, week) = iso_week(Civil::from_micros(at).days());
                Ok(iso_week_start(iso_year, week) * DAY_MICROS)
            }
            Self::Months(size) => {
                let civil = Civil::from_micros(at);
                first(civil.year, (civil.month - 1) / size * size + 1)
            }
            Self::Years(size) => first(Civil::from_micros(at).year.div_euclid(size) * size, 1),
            Self::Centuries(size) => {
                first((Civil::from_micros(at).year - 1).div_euclid(size) * size + 1, 1)
            }
        }
    }

    /// In a zone: fields of a day or more are those of its wall clock.
    fn truncate_in(self, at: i64, zone: &TimeZone) -> SqlResult<i64> {
        if !is_finite_timestamp(at) {
            return Ok(at);
        }
        let local = utc_to_local(at, zone)?;
        let start = self.truncate(local)?;
        if matches!(self, Self::Micros(size) if size < DAY_MICROS) {
            // The offset stays what it was, also in the repeated hour.
            return Ok(at - (local - start));
        }
        local_to_utc(start, zone)
    }
}

/// Calls `f` for each row, with its unit and timestamp. A unit that is the same for all rows is
/// looked at once.
fn truncated(
    args: &[ColumnarValue],
    call: &Call,
    f: impl Fn(Span, i64) -> SqlResult<i64>,
) -> SqlResult<ColumnarValue> {
    let [unit, at, ..] = args else { return Err(wrong()) };
    let data_type = arrow_types::data_type(&call.result);
    if let ColumnarValue::Scalar(unit) = unit
        && let Some(unit) = unit.try_as_str().flatten()
    {
        // An error only where there is a row to truncate.
        let span = Span::of(unit, &call.result);
        return vector::unary::<TimestampMicrosecondType, TimestampMicrosecondType>(
            at,
            data_type,
            |at| f(span.clone()?, at),
        );
    }
    vector::text_and::<TimestampMicrosecondType, TimestampMicrosecondType>(
        unit,
        at,
        data_type,
        |unit, at| f(Span::of(unit, &call.result)?, at),
    )
}

fn truncation(b: &mut Builder) {
    b.columns("date_trunc(text,timestamp) timestamp", |args, call| {
        truncated(args, call, Span::truncate)
    });
    b.with_settings(|b| {
        b.columns("date_trunc(text,timestamptz) timestamptz", |args, call| {
            truncated(args, call, |span, at| span.truncate_in(at, &call.context.time_zone))
        });
    });
    b.row("date_trunc(text,timestamptz,text) timestamptz", |args, _| match &args[1] {
        Datum::Timestamp(at) => {
            let (unit, zone) = (text(&args[0])?, zone(text(&args[2])?)?);
            let span = Span::of(unit, &PgType::Timestamptz)?;
            span.truncate_in(*at, &zone).map(Datum::Timestamp)
        }
        _ => Err(wrong()),
    });
    b.row("date_trunc(text,interval) interval", |args, _| match &args[1] {
        Datum::Interval(value) => truncate_interval(text(&args[0])?, *value).map(Datum::Interval),
        _ => Err(wrong()),
    });
    for ty in ["timestamp", "timestamptz"] {
        b.row(&format!("date_bin(interval,{ty},{ty}) {ty}"), |args, _| match args {
            [Datum::Interval(stride), Datum::Timestamp(at), Datum::Timestamp(origin)] => {
                bin(*stride, *at, *origin).map(Datum::Timestamp)
            }
            _ => Err(wrong()),
        });
    }
}

fn bin(stride: Interval, at: i64, origin: i64) -> SqlResult<i64> {
    if !is_finite_timestamp(at) {
        return Ok(at);
    }
    if !is_finite_timestamp(origin) {
        return Err(SqlError::new(SqlState::DATETIME_FIELD_OVERFLOW, "origin out of range"));
    }
    if stride.months != 0 {
        return Err(SqlError::new(
            SqlState::FEATURE_NOT_SUPPORTED,
            "timestamps cannot be binned into intervals containing months or years",
        ));
    }
    let size = i64::from(stride.days)
        .checked_mul(DAY_MICROS)
        .and_then(|days| days.checked_add(stride.micros))
        .ok_or_else(|| out_of_range(&PgType::Interval))?;
    if size <= 0 {
        return Err(SqlError::new(
            SqlState::DATETIME_FIELD_OVERFLOW,
            "stride must be greater than zero",
        ));
    }
    let since = at.checked_sub(origin).ok_or_else(|| out_of_range(&PgType::Timestamp))?;
    Ok(origin + since.div_euclid(size) * size)
}

fn truncate_interval(unit: &str, value: Interval) -> SqlResult<Interval> {
    let unit = unit_name(unit);
    let months = |size: i32| Interval { months: value.months / size * size, days: 0, micros: 0 };
    let micros = |size: i64| Interval { micros: value.micros / size * size, ..value };
    Ok(match unit.as_str() {
        "microseconds" => value,
        "milliseconds" => micros(1000),
        "second" => micros(SECOND_MICROS),
        "minute" => micros(MINUTE_MICROS),
        "hour" => micros(HOUR_MICROS),
        "day" => Interval { micros: 0, ..value },
        "month" => months(1),
        "quarter" => months(3),
        "year" => months(12),
        "decade" => months(120),
        "century" => months(1200),
        "millennium" => months(12_000),
        "week" => {
            return Err(SqlError::new(
                SqlState::FEATURE_NOT_SUPPORTED,
                "unit \"week\" not supported for type interval",
            )
            .detail("Months usually have fractional weeks."));
        }
        _ => return Err(unknown_unit(&unit, &PgType::Interval)),
    })
}

fn field_range(message: String) -> SqlError {
    SqlError::new(SqlState::DATETIME_FIELD_OVERFLOW, message)
}

fn civil_days(year: i32, month: i32, day: i32) -> SqlResult<i64> {
    let error =
        || field_range(format!("date field value out of range: {year}-{month:02}-{day:02}"));
    if year == 0 {
        return Err(error());
    }
    let astronomical = i64::from(if year < 0 { year + 1 } else { year });
    let month = u32::try_from(month).ok().filter(|m| (1..=12).contains(m)).ok_or_else(error)?;
    let last = days_in_month(astronomical, month);
    let day = u32::try_from(day).ok().filter(|d| (1..=last).contains(d)).ok_or_else(error)?;
    Ok(days_from_civil(astronomical, month, day))
}

fn time_micros(hour: i32, minute: i32, second: f64) -> SqlResult<i64> {
    let valid = (0..=24).contains(&hour)
        && (0..60).contains(&minute)
        && (0.0..=60.0).contains(&second)
        && (hour < 24 || minute == 0 && second == 0.0);
    if !valid {
        return Err(field_range(format!(
            "time field value out of range: {hour}:{minute:02}:{second:02}"
        )));
    }
    Ok(i64::from(hour) * HOUR_MICROS
        + i64::from(minute) * MINUTE_MICROS
        + (second * 1e6).round_ties_even() as i64)
}

fn make_timestamp(args: &[Datum]) -> SqlResult<i64> {
    let days = civil_days(int(&args[0])?, int(&args[1])?, int(&args[2])?)?;
    let Datum::Float8(second) = &args[5] else { return Err(wrong()) };
    let time = time_micros(int(&args[3])?, int(&args[4])?, *second)?;
    days.checked_mul(DAY_MICROS)
        .and_then(|at| at.checked_add(time))
        .filter(|at| is_valid_timestamp(*at))
        .ok_or_else(|| out_of_range(&PgType::Timestamp))
}

fn building(b: &mut Builder) {
    b.row("make_date(int4,int4,int4) date", |args, _| {
        let days = civil_days(int(&args[0])?, int(&args[1])?, int(&args[2])?)?;
        i32::try_from(days).map(Datum::Date).map_err(|_| out_of_range(&PgType::Date))
    });
    b.row("make_time(int4,int4,float8) time", |args, _| match &args[2] {
        Datum::Float8(second) => {
            time_micros(int(&args[0])?, int(&args[1])?, *second).map(Datum::Time)
        }
        _ => Err(wrong()),
    });
    b.row("make_timestamp(int4,int4,int4,int4,int4,float8) timestamp", |args, _| {
        make_timestamp(args).map(Datum::Timestamp)
    });
    b.with_settings(|b| {
        b.row("make_timestamptz(int4,int4,int4,int4,int4,float8) timestamptz", |args, call| {
            local_to_utc(make_timestamp(args)?, &call.context.time_zone).map(Datum::Timestamp)
        });
    });
    b.row("make_timestamptz(int4,int4,int4,int4,int4,float8,text) timestamptz", |args, _| {
        let zone = zone(text(&args[6])?)?;
        local_to_utc(make_timestamp(args)?, &zone).map(Datum::Timestamp)
    });
    let types = ["int4", "int4", "int4", "int4", "int4", "int4", "float8"];
    for given in 0..=types.len() {
        b.row(&format!("make_interval({}) interval", types[..given].join(",")), make_interval);
    }
    b.row("to_timestamp(float8) timestamptz", |args, _| match &args[0] {
        Datum::Float8(v) if v.is_infinite() => {
            Ok(Datum::Timestamp(if *v > 0.0 { i64::MAX } else { i64::MIN }))
        }
        Datum::Float8(v) if v.is_nan() => Err(field_range("timestamp cannot be NaN".into())),
        Datum::Float8(v) => {
            let micros = (v * 1e6).round_ties_even();
            let at = micros as i64;
            let fits = micros.abs() < 9.2e18 && is_valid_timestamp(at);
            if fits {
                Ok(Datum::Timestamp(at))
            } else {
                Err(field_range(format!("timestamp out of range: \"{v}\"")))
            }
        }
        _ => Err(wrong()),
    });
}

/// Years, months, weeks, days, hours, minutes, seconds; those left out are zero.
fn make_interval(args: &[Datum], _: &super::library::Call) -> SqlResult<Datum> {
    let range = || out_of_range(&PgType::Interval);
    let part = |index: usize| args.get(index).map_or(Ok(0), int).map(i64::from);
    let months = part(0)?.checked_mul(12).and_then(|m| m.checked_add(part(1).ok()?));
    let days = part(2)? * 7 + part(3)?;
    let seconds = match args.get(6) {
        Some(Datum::Float8(v)) => *v,
        _ => 0.0,
    };
    let micros = part(4)? * HOUR_MICROS + part(5)? * MINUTE_MICROS;
    let fraction = (seconds * 1e6).round_ties_even();
    if !(fraction.is_finite() && fraction.abs() < 9e18) {
        return Err(range());
    }
    Ok(Datum::Interval(Interval {
        months: months.and_then(|m| i32::try_from(m).ok()).ok_or_else(range)?,
        days: i32::try_from(days).map_err(|_| range())?,
        micros: micros.checked_add(fraction as i64).ok_or_else(range)?,
    }))
}

fn intervals(b: &mut Builder) {
    b.row("justify_hours(interval) interval", |args, _| match &args[0] {
        Datum::Interval(v) => justify_hours(*v).map(Datum::Interval),
        _ => Err(wrong()),
    });
    b.row("justify_days(interval) interval", |args, _| match &args[0] {
        Datum::Interval(v) => justify_days(*v).map(Datum::Interval),
        _ => Err(wrong()),
    });
    b.row("justify_interval(interval) interval", |args, _| match &args[0] {
        Datum::Interval(v) => justify_interval(*v).map(Datum::Interval),
        _ => Err(wrong()),
    });
    b.row("age(timestamp,timestamp) interval", |args, _| match args {
        [Datum::Timestamp(a), Datum::Timestamp(b)] => age(*a, *b).map(Datum::Interval),
        _ => Err(wrong()),
    });
    b.with_settings(|b| {
        b.row("age(timestamptz,timestamptz) interval", |args, call| match args {
            [Datum::Timestamp(a), Datum::Timestamp(b)] => {
                let zone = &call.context.time_zone;
                age(utc_to_local(*a, zone)?, utc_to_local(*b, zone)?).map(Datum::Interval)
            }
            _ => Err(wrong()),
        });
        b.row("age(timestamptz) interval", |args, call| match args {
            [Datum::Timestamp(b)] => {
                let zone = &call.context.time_zone;
                let today = utc_to_local(call.context.now, zone)?;
                let midnight = today - today.rem_euclid(DAY_MICROS);
                age(midnight, utc_to_local(*b, zone)?).map(Datum::Interval)
            }
            _ => Err(wrong()),
        });
        b.row("age(timestamp) interval", |args, call| match args {
            [Datum::Timestamp(b)] => {
                let today = utc_to_local(call.context.now, &call.context.time_zone)?;
                let midnight = today - today.rem_euclid(DAY_MICROS);
                age(midnight, *b).map(Datum::Interval)
            }
            _ => Err(wrong()),
        });
    });
}

fn justify_hours(value: Interval) -> SqlResult<Interval> {
    let carried = value.micros / DAY_MICROS;
    let mut days = i64::from(value.days) + carried;
    let mut micros = value.micros - carried * DAY_MICROS;
    if days > 0 && micros < 0 {
        micros += DAY_MICROS;
        days -= 1;
    } else if days < 0 && micros > 0 {
        micros -= DAY_MICROS;
        days += 1;
    }
    let days = i32::try_from(days).map_err(|_| out_of_range(&PgType::Interval))?;
    Ok(Interval { days, micros, ..value })
}

fn justify_days(value: Interval) -> SqlResult<Interval> {
    let carried = value.days / 30;
    let mut months = i64::from(value.months) + i64::from(carried);
    let mut days = value.days - carried * 30;
    if months > 0 && days < 0 {
        days += 30;
        months -= 1;
    } else if months < 0 && days > 0 {
        days -= 30;
        months += 1;
    }
    let months = i32::try_from(months).map_err(|_| out_of_range(&PgType::Interval))?;
    Ok(Interval { months, days, ..value })
}

fn justify_interval(value: Interval) -> SqlResult<Interval> {
    let carried = value.micros / DAY_MICROS;
    let mut micros = value.micros - carried * DAY_MICROS;
    let mut days = i64::from(value.days) + carried;
    let whole_months = days / 30;
    days -= whole_months * 30;
    let mut months = i64::from(value.months) + whole_months;
    if months > 0 && (days < 0 || days == 0 && micros < 0) {
        days += 30;
        months -= 1;
    } else if months < 0 && (days > 0 || days == 0 && micros > 0) {
        days -= 30;
        months += 1;
    }
    if days > 0 && micros < 0 {
        micros += DAY_MICROS;
        days -= 1;
    } else if days < 0 && micros > 0 {
        micros -= DAY_MICROS;
        days += 1;
    }
    let range = |_| out_of_range(&PgType::Interval);
    Ok(Interval {
        months: i32::try_from(months).map_err(range)?,
        days: i32::try_from(days).map_err(range)?,
        micros,
    })
}

/// Years, months and days between two local timestamps, borrowed field by field; days are
/// borrowed from the month that the earlier one lies in.
pub fn age(later: i64, earlier: i64) -> SqlResult<Interval> {
    if !is_finite_timestamp(later) || !is_finite_timestamp(earlier) {
        return difference(later, earlier);
    }
    let negative = later < earlier;
    let (from, to) = if negative { (later, earlier) } else { (earlier, later) };
    let (from, to) = (Civil::from_micros(from), Civil::from_micros(to));
    let mut months = (to.year - from.year) * 12 + i64::from(to.month) - i64::from(from.month);
    let mut days = i64::from(to.day) - i64::from(from.day);
    let mut micros = to.time - from.time;
    if micros < 0 {
        micros += DAY_MICROS;
        days -= 1;
    }
    if days < 0 {
        // A day is borrowed from the month of the earlier moment.
        days += i64::from(days_in_month(from.year, from.month));
        months -= 1;
    }
    let sign = if negative { -1 } else { 1 };
    let value = Interval {
        months: i32::try_from(months).map_err(|_| out_of_range(&PgType::Interval))? * sign,
        days: days as i32 * sign,
        micros: micros * i64::from(sign),
    };
    add_intervals(value, Interval::default())
}

pub fn zone(name: &str) -> SqlResult<TimeZone> {
    TimeZone::parse(name).ok_or_else(|| invalid(format!("time zone \"{name}\" not recognized")))
}

/// `timezone(zone, value)`: what AT TIME ZONE calls.
fn zones(b: &mut Builder) {
    b.row("timezone(text,timestamptz) timestamp", |args, _| match &args[1] {
        Datum::Timestamp(at) => utc_to_local(*at, &zone(text(&args[0])?)?).map(Datum::Timestamp),
        _ => Err(wrong()),
    });
    b.row("timezone(text,timestamp) timestamptz", |args, _| match &args[1] {
        Datum::Timestamp(at) => local_to_utc(*at, &zone(text(&args[0])?)?).map(Datum::Timestamp),
        _ => Err(wrong()),
    });
    let fixed = |offset: &Interval| -> SqlResult<TimeZone> {
        if offset.months != 0 || offset.days != 0 {
            return Err(invalid("interval time zone must not include months or days"));
        }
        let seconds = i32::try_from(offset.micros / SECOND_MICROS)
            .map_err(|_| out_of_range(&PgType::Interval))?;
        Ok(TimeZone::Fixed(seconds))
    };
    b.row("timezone(interval,timestamptz) timestamp", move |args, _| match args {
        [Datum::Interval(offset), Datum::Timestamp(at)] => {
            utc_to_local(*at, &fixed(offset)?).map(Datum::Timestamp)
        }
        _ => Err(wrong()),
    });
    b.row("timezone(interval,timestamp) timestamptz", move |args, _| match args {
        [Datum::Interval(offset), Datum::Timestamp(at)] => {
            local_to_utc(*at, &fixed(offset)?).map(Datum::Timestamp)
        }
        _ => Err(wrong()),
    });
}
