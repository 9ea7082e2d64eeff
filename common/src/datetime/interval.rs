//! Input and output of intervals.

use crate::datum::Interval;

use super::calendar::{DAY_MICROS, HOUR_MICROS, MINUTE_MICROS, SECOND_MICROS};
use super::fields::{Field, Shape, clock, split};
use super::format::{push_fraction, push_padded};
use super::{DateTimeError, IntervalStyle, Result};

enum Failure {
    Format,
    /// A field does not fit.
    Overflow,
    /// The fields fit, but not their sum.
    Total,
}

type Step<T = ()> = std::result::Result<T, Failure>;

/// Any of PostgreSQL's forms: `1 day 02:03:04`, `@ 1 year ago`, `1-2 3 4:05`, `P1Y2M3DT4H5M6S`.
pub fn parse_interval(text: &str) -> Result<Interval> {
    let result = match split(text) {
        Some(fields) if !text.trim_start().starts_with('P') => decode(&fields),
        _ => Err(Failure::Format),
    };
    let result = match result {
        Err(Failure::Format) => iso_8601(text.trim()).unwrap_or(Err(Failure::Format)),
        other => other,
    };
    result.map_err(|failure| match failure {
        Failure::Format => DateTimeError::Format { ty: "interval", text: text.to_owned() },
        Failure::Overflow => DateTimeError::IntervalOverflow(text.to_owned()),
        Failure::Total => DateTimeError::Overflow("interval"),
    })
}

/// Sums wide enough that no single field overflows them; checked at the end.
#[derive(Default)]
struct Sum {
    months: i128,
    days: i128,
    micros: i128,
}

impl Sum {
    fn add(&mut self, unit: Unit, whole: i64, fraction: f64) -> Step {
        let whole = i128::from(whole);
        match unit {
            Unit::Micros(scale) => {
                self.micros += whole * i128::from(scale);
                self.add_fraction_of(scale as f64, fraction);
            }
            Unit::Days(scale) => {
                self.days += whole * i128::from(scale);
                self.add_days(fraction * scale as f64);
            }
            Unit::Months(1) => {
                self.months += whole;
                self.add_days(fraction * 30.0);
            }
            Unit::Months(scale) => {
                self.months += whole * i128::from(scale);
                self.months += (fraction * scale as f64).round_ties_even() as i128;
            }
        }
        Ok(())
    }

    fn add_days(&mut self, days: f64) {
        self.days += days.trunc() as i128;
        self.add_fraction_of(DAY_MICROS as f64, days - days.trunc());
    }

    fn add_fraction_of(&mut self, scale: f64, fraction: f64) {
        self.micros += (fraction * scale).round_ties_even() as i128;
    }

    fn negate(&mut self) {
        self.months = -self.months;
        self.days = -self.days;
        self.micros = -self.micros;
    }

    fn finish(&self) -> Step<Interval> {
        Ok(Interval {
            months: i32::try_from(self.months).map_err(|_| Failure::Total)?,
            days: i32::try_from(self.days).map_err(|_| Failure::Overflow)?,
            micros: i64::try_from(self.micros).map_err(|_| Failure::Overflow)?,
        })
    }
}

/// A unit as a multiple of one of the three fields.
#[derive(Clone, Copy, PartialEq)]
enum Unit {
    Micros(i64),
    Days(i64),
    Months(i64),
}

const SECOND: Unit = Unit::Micros(SECOND_MICROS);
const DAY: Unit = Unit::Days(1);

/// The unit that a word names, and a number that tells units apart when one may come only once.
fn unit(word: &str) -> Option<(Unit, u32)> {
    Some(match word {
        "us" | "usec" | "usecond" | "useconds" | "usecs" | "microsecond" | "microseconds"
        | "microsecon" => (Unit::Micros(1), 0),
        "ms" | "msec" | "msecond" | "mseconds" | "msecs" | "millisecond" | "milliseconds"
        | "millisecon" => (Unit::Micros(1000), 1),
        "s" | "sec" | "second" | "seconds" | "secs" => (SECOND, 2),
        "m" | "min" | "minute" | "minutes" | "mins" => (Unit::Micros(MINUTE_MICROS), 3),
        "h" | "hr" | "hour" | "hours" | "hrs" => (Unit::Micros(HOUR_MICROS), 4),
        "d" | "day" | "days" => (DAY, 5),
        "w" | "week" | "weeks" => (Unit::Days(7), 6),
        "mon" | "month" | "months" | "mons" => (Unit::Months(1), 7),
        "y" | "year" | "years" | "yr" | "yrs" => (Unit::Months(12), 8),
        "dec" | "decade" | "decades" | "decs" => (Unit::Months(120), 9),
        "c" | "cent" | "century" | "centuries" => (Unit::Months(1200), 10),
        "mil" | "mils" | "millennia" | "millennium" => (Unit::Months(12000), 11),
        _ => return None,
    })
}

/// Seconds with a fraction say something of the units below them too.
const SECOND_BITS: u32 = 1 | 1 << 1 | 1 << 2;
const TIME_BITS: u32 = SECOND_BITS | 1 << 3 | 1 << 4;

/// Fields are read from right to left, so that a number knows the unit behind it.
fn decode(fields: &[Field]) -> Step<Interval> {
    let mut sum = Sum::default();
    let mut seen = 0u32;
    let mut ago = false;
    let mut after_ago = false;
    let mut pending: Option<(Unit, u32)> = None;
    let mut mark = |bits: u32| {
        if seen & bits != 0 {
            return Err(Failure::Format);
        }
        seen |= bits;
        Ok(())
    };
    for field in fields.iter().rev() {
        match field.shape {
            Shape::Time => {
                add_clock(&mut sum, &field.text, false)?;
                mark(TIME_BITS)?;
                pending = Some((DAY, 5));
            }
            Shape::Signed if field.text.contains(':') => {
                let negative = field.text.starts_with('-');
                add_clock(&mut sum, &field.text[1..], negative)?;
                mark(TIME_BITS)?;
                pending = Some((DAY, 5));
            }
            Shape::Signed | Shape::Number | Shape::Date => {
                if after_ago {
                    return Err(Failure::Format);
                }
                let (unit, id) = pending.unwrap_or((SECOND, 2));
                let number = read_number(&field.text)?;
                if let Some(months) = number.year_month {
                    sum.months += i128::from(months);
                    mark(1 << 7 | 1 << 8)?;
                    continue;
                }
                sum.add(unit, number.whole, number.fraction)?;
                mark(if id == 2 && number.fraction != 0.0 { SECOND_BITS } else { 1 << id })?;
                // 1 2:03 reads the number before hours as days.
                pending = Some(if id == 4 { (DAY, 5) } else { (unit, id) });
            }
            Shape::Word | Shape::SignedWord => {
                after_ago = field.text == "ago";
                if after_ago {
                    ago = true;
                } else {
                    pending = Some(unit(&field.text).ok_or(Failure::Format)?);
                }
            }
        }
    }
    if seen == 0 {
        return Err(Failure::Format);
    }
    if ago {
        sum.negate();
    }
    sum.finish()
}

fn add_clock(sum: &mut Sum, text: &str, negative: bool) -> Step {
    let (hours, minutes, micros) = clock(text).ok_or(Failure::Format)?;
    if minutes > 59 || micros > 60 * SECOND_MICROS {
        return Err(Failure::Overflow);
    }
    let time =
        i128::from(hours) * i128::from(HOUR_MICROS) + i128::from(minutes * MINUTE_MICROS + micros);
    sum.micros += if negative { -time } else { time };
    Ok(())
}

struct Number {
    whole: i64,
    fraction: f64,
    /// SQL's `years-months`, in months.
    year_month: Option<i64>,
}

fn read_number(text: &str) -> Step<Number> {
    let negative = text.starts_with('-');
    let body = text.trim_start_matches(['+', '-']);
    let parse = |digits: &str| -> Step<i64> {
        if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
            return Err(Failure::Format);
        }
        digits.parse().map_err(|_| Failure::Overflow)
    };
    let signed = |value: i64| if negative { -value } else { value };
    if let Some((years, months)) = body.split_once('-') {
        let (years, months) = (parse(years)?, parse(months)?);
        if months >= 12 {
            return Err(Failure::Overflow);
        }
        let total = years.checked_mul(12).and_then(|total| total.checked_add(months));
        let total = signed(total.ok_or(Failure::Overflow)?);
        return Ok(Number { whole: 0, fraction: 0.0, year_month: Some(total) });
    }
    let (whole, fraction) = match body.split_once('.') {
        Some((whole, digits)) => {
            if !digits.bytes().all(|b| b.is_ascii_digit()) {
                return Err(Failure::Format);
            }
            let fraction: f64 = format!("0.{digits}0").parse().map_err(|_| Failure::Format)?;
            (if whole.is_empty() { 0 } else { parse(whole)? }, fraction)
        }
        None => (parse(body)?, 0.0),
    };
    let fraction = if negative { -fraction } else { fraction };
    Ok(Number { whole: signed(whole), fraction, year_month: None })
}

/// `PnYnMnWnDTnHnMnS` or the alternative form `PYYYY-MM-DDTHH:MM:SS`. `None` when it does not
/// start with P.
fn iso_8601(text: &str) -> Option<Step<Interval>> {
    let body = text.strip_prefix('P')?;
    Some(iso_body(body))
}

fn iso_body(body: &str) -> Step<Interval> {
    if body.is_empty() {
        return Err(Failure::Format);
    }
    let mut sum = Sum::default();
    let mut rest = body;
    let mut in_time = false;
    let mut any = false;
    while !rest.is_empty() {
        if let Some(time) = rest.strip_prefix(['T', 't']) {
            if in_time {
                return Err(Failure::Format);
            }
            if time.is_empty() {
                return sum.finish();
            }
            in_time = true;
            rest = time;
            if time.contains(':') || time.bytes().all(|b| b.is_ascii_digit() || b == b'.') {
                iso_clock(&mut sum, time)?;
                return sum.finish();
            }
            continue;
        }
        let end = rest
            .find(|c: char| !(c.is_ascii_digit() || matches!(c, '.' | '-' | '+')))
            .unwrap_or(rest.len());
        let (number, after) = rest.split_at(end);
        let alternative =
            number.get(1..).is_some_and(|inner| inner.contains('-')) || after.is_empty();
        if !in_time && !any && alternative {
            iso_date(&mut sum, number)?;
            any = true;
            rest = after;
            continue;
        }
        let Some(letter) = after.chars().next() else { return Err(Failure::Format) };
        let digits = number;
        let mut number = read_number(digits)?;
        if number.fraction != 0.0
            && let Ok(value) = digits.parse::<f64>()
        {
            // What is left of the double when its whole part is taken off, as PostgreSQL does it.
            number.fraction = value - value.trunc();
        }
        let unit = match (letter.to_ascii_uppercase(), in_time) {
            ('Y', false) => Unit::Months(12),
            ('M', false) => Unit::Months(1),
            ('W', false) => Unit::Days(7),
            ('D', false) => DAY,
            ('H', true) => Unit::Micros(HOUR_MICROS),
            ('M', true) => Unit::Micros(MINUTE_MICROS),
            ('S', true) => SECOND,
            _ => return Err(Failure::Format),
        };
        sum.add(unit, number.whole, number.fraction)?;
        any = true;
        rest = &after[letter.len_utf8()..];
    }
    if any { sum.finish() } else { Err(Failure::Format) }
}

fn iso_date(sum: &mut Sum, text: &str) -> Step {
    let negative = text.starts_with('-');
    let body = text.trim_start_matches(['+', '-']);
    let mut parts = body.split('-').map(|part| part.parse::<i64>().map_err(|_| Failure::Format));
    let sign = if negative { -1 } else { 1 };
    let years = parts.next().ok_or(Failure::Format)??;
    let months = parts.next().transpose()?.unwrap_or(0);
    let days = parts.next().transpose()?.unwrap_or(0);
    if parts.next().is_some() {
        return Err(Failure::Format);
    }
    sum.add(Unit::Months(12), sign * years, 0.0)?;
    sum.add(Unit::Months(1), months, 0.0)?;
    sum.add(DAY, days, 0.0)
}

fn iso_clock(sum: &mut Sum, text: &str) -> Step {
    if text.contains(':') {
        return add_clock(sum, text, false);
    }
    let (digits, fraction) = text.split_once('.').unwrap_or((text, ""));
    let part = |range: std::ops::Range<usize>| -> Step<i64> {
        digits.get(range).map_or(Ok(0), |part| part.parse().map_err(|_| Failure::Format))
    };
    if !matches!(digits.len(), 2 | 4 | 6) {
        return Err(Failure::Format);
    }
    let micros = super::fields::fraction_micros(fraction).ok_or(Failure::Format)?;
    sum.add(Unit::Micros(HOUR_MICROS), part(0..2)?, 0.0)?;
    sum.add(Unit::Micros(MINUTE_MICROS), part(2..4)?, 0.0)?;
    sum.add(SECOND, part(4..6)?, 0.0)?;
    sum.micros += i128::from(micros);
    Ok(())
}

/// Years, months, days and time of an interval, each with its own sign.
struct Parts {
    years: i64,
    months: i64,
    days: i64,
    hours: i64,
    minutes: i64,
    seconds: i64,
    micros: i64,
}

impl Parts {
    fn new(value: Interval) -> Self {
        Self {
            years: i64::from(value.months / 12),
            months: i64::from(value.months % 12),
            days: i64::from(value.days),
            hours: value.micros / HOUR_MICROS,
            minutes: value.micros / MINUTE_MICROS % 60,
            seconds: value.micros / SECOND_MICROS % 60,
            micros: value.micros % SECOND_MICROS,
        }
    }

    fn has_time(&self) -> bool {
        (self.hours, self.minutes, self.seconds, self.micros) != (0, 0, 0, 0)
    }

    fn time_is_negative(&self) -> bool {
        self.hours < 0 || self.minutes < 0 || self.seconds < 0 || self.micros < 0
    }

    /// `h:mm:ss.f` without sign, hours at least `width` digits.
    fn push_clock(&self, width: usize, out: &mut Vec<u8>) {
        push_padded(self.hours.unsigned_abs(), width, out);
        out.push(b':');
        push_padded(self.minutes.unsigned_abs(), 2, out);
        out.push(b':');
        push_padded(self.seconds.unsigned_abs(), 2, out);
        push_fraction(self.micros.abs(), out);
    }

    /// Seconds with their fraction and sign.
    fn push_seconds(&self, out: &mut Vec<u8>) {
        if self.seconds < 0 || self.micros < 0 {
            out.push(b'-');
        }
        push_padded(self.seconds.unsigned_abs(), 1, out);
        push_fraction(self.micros.abs(), out);
    }
}

/// Appends an interval.
pub fn format_interval(value: Interval, style: IntervalStyle, out: &mut Vec<u8>) {
    let parts = Parts::new(value);
    match style {
        IntervalStyle::Postgres => postgres(&parts, out),
        IntervalStyle::PostgresVerbose => verbose(&parts, out),
        IntervalStyle::SqlStandard => sql_standard(&parts, out),
        IntervalStyle::Iso8601 => iso(&parts, out),
    }
}

fn postgres(parts: &Parts, out: &mut Vec<u8>) {
    let start = out.len();
    let mut before_negative = false;
    for (value, name) in [(parts.years, "year"), (parts.months, "mon"), (parts.days, "day")] {
        if value == 0 {
            continue;
        }
        if out.len() > start {
            out.push(b' ');
        }
        let sign = if before_negative && value > 0 { "+" } else { "" };
        let plural = if value == 1 { "" } else { "s" };
        out.extend_from_slice(format!("{sign}{value} {name}{plural}").as_bytes());
        before_negative = value < 0;
    }
    if out.len() == start || parts.has_time() {
        if out.len() > start {
            out.push(b' ');
        }
        if parts.time_is_negative() {
            out.push(b'-');
        } else if before_negative {
            out.push(b'+');
        }
        parts.push_clock(2, out);
    }
}

fn verbose(parts: &Parts, out: &mut Vec<u8>) {
    out.extend_from_slice(b"@");
    let mut any = false;
    let mut ago = false;
    let values = [
        (parts.years, "year"),
        (parts.months, "mon"),
        (parts.days, "day"),
        (parts.hours, "hour"),
        (parts.minutes, "min"),
    ];
    for (value, name) in values {
        if value == 0 {
            continue;
        }
        if !any {
            ago = value < 0;
        }
        any = true;
        let shown = if ago { -value } else { value };
        let plural = if shown == 1 { "" } else { "s" };
        out.extend_from_slice(format!(" {shown} {name}{plural}").as_bytes());
    }
    if parts.seconds != 0 || parts.micros != 0 {
        let negative = parts.seconds < 0 || parts.micros < 0;
        if !any {
            ago = negative;
        } else if negative != ago {
            out.extend_from_slice(b" -");
        }
        if !any || negative == ago {
            out.push(b' ');
        }
        any = true;
        push_padded(parts.seconds.unsigned_abs(), 1, out);
        push_fraction(parts.micros.abs(), out);
        let one = parts.seconds.abs() == 1 && parts.micros == 0;
        out.extend_from_slice(if one { b" sec" } else { b" secs" });
    }
    if !any {
        out.extend_from_slice(b" 0");
    }
    if ago {
        out.extend_from_slice(b" ago");
    }
}

fn sql_standard(parts: &Parts, out: &mut Vec<u8>) {
    let values = [
        parts.years,
        parts.months,
        parts.days,
        parts.hours,
        parts.minutes,
        parts.seconds,
        parts.micros,
    ];
    let negative = values.iter().any(|value| *value < 0);
    let positive = values.iter().any(|value| *value > 0);
    let has_year_month = parts.years != 0 || parts.months != 0;
    let has_day_time = parts.days != 0 || parts.has_time();
    if !negative && !positive {
        out.push(b'0');
    } else if (negative && positive) || (has_year_month && has_day_time) {
        // All three groups, each with its sign.
        let sign = |negative: bool| if negative { '-' } else { '+' };
        let text = format!(
            "{}{}-{} {}{} {}",
            sign(parts.years < 0 || parts.months < 0),
            parts.years.abs(),
            parts.months.abs(),
            sign(parts.days < 0),
            parts.days.abs(),
            sign(parts.time_is_negative()),
        );
        out.extend_from_slice(text.as_bytes());
        parts.push_clock(1, out);
    } else {
        if negative {
            out.push(b'-');
        }
        if has_year_month {
            let text = format!("{}-{}", parts.years.abs(), parts.months.abs());
            out.extend_from_slice(text.as_bytes());
        } else {
            if parts.days != 0 {
                out.extend_from_slice(format!("{} ", parts.days.abs()).as_bytes());
            }
            parts.push_clock(1, out);
        }
    }
}

fn iso(parts: &Parts, out: &mut Vec<u8>) {
    let start = out.len();
    out.push(b'P');
    for (value, letter) in [(parts.years, 'Y'), (parts.months, 'M'), (parts.days, 'D')] {
        if value != 0 {
            out.extend_from_slice(format!("{value}{letter}").as_bytes());
        }
    }
    if parts.has_time() {
        out.push(b'T');
        for (value, letter) in [(parts.hours, 'H'), (parts.minutes, 'M')] {
            if value != 0 {
                out.extend_from_slice(format!("{value}{letter}").as_bytes());
            }
        }
        if parts.seconds != 0 || parts.micros != 0 {
            parts.push_seconds(out);
            out.push(b'S');
        }
    }
    if out.len() == start + 1 {
        out.extend_from_slice(b"T0S");
    }
}
