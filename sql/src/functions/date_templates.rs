//! to_char, to_date and to_timestamp: dates by template.
//!
//! A template is split into keywords (`YYYY`, `HH24`, `Mon`, `9`, `FM`, ..), quoted text and
//! characters that stand for themselves.

use satsuma_common::datetime::TimeZone;
use satsuma_common::datetime::calendar::{
    Civil, DAY_MICROS, HOUR_MICROS, MINUTE_MICROS, SECOND_MICROS, UNIX_JULIAN_DAY, day_of_week,
    day_of_year, days_from_civil, days_in_month, is_finite_timestamp, is_valid_timestamp, iso_week,
    iso_week_start,
};
use satsuma_common::datum::Interval;
use satsuma_common::{Datum, PgType, SqlError, SqlResult, SqlState};

use super::error::{out_of_range, unexpected_value};
use super::library::Builder;
use crate::casts::datetime::{local_to_utc, timestamp_of_date, utc_to_local};
use crate::casts::text::text;

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
const DAYS: [&str; 7] =
    ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];
const ROMAN: [&str; 12] =
    ["I", "II", "III", "IV", "V", "VI", "VII", "VIII", "IX", "X", "XI", "XII"];

/// Keywords of date templates, longest first where one begins another. Case tells the case of
/// names; digits do not care.
const KEYWORDS: &[&str] = &[
    "Y,YYY", "SSSSS", "SSSS", "HH24", "HH12", "IYYY", "YYYY", "MONTH", "Month", "month", "A.D.",
    "B.C.", "a.d.", "b.c.", "A.M.", "P.M.", "a.m.", "p.m.", "IDDD", "YYY", "IYY", "MON", "Mon",
    "mon", "DDD", "DAY", "Day", "day", "FF1", "FF2", "FF3", "FF4", "FF5", "FF6", "TZH", "TZM",
    "YY", "IY", "HH", "MI", "SS", "MS", "US", "MM", "DD", "ID", "DY", "Dy", "dy", "WW", "IW", "CC",
    "RM", "rm", "TZ", "tz", "OF", "AD", "BC", "ad", "bc", "AM", "PM", "am", "pm", "FM", "FX", "TH",
    "th", "TM", "Y", "I", "D", "W", "Q", "J",
];

#[derive(Debug, Clone, PartialEq)]
enum Piece {
    Keyword { name: &'static str, fill: bool, ordinal: Option<bool> },
    Literal(String),
}

/// Splits a date template.
fn pieces(template: &str) -> Vec<Piece> {
    let mut out: Vec<Piece> = Vec::new();
    let mut rest = template;
    let (mut fill, mut translated) = (true, false);
    while let Some(first) = rest.chars().next() {
        if first == '"' {
            let mut quoted = String::new();
            let mut chars = rest[1..].char_indices();
            let mut end = rest.len();
            while let Some((at, c)) = chars.next() {
                match c {
                    '"' => {
                        end = at + 2;
                        break;
                    }
                    '\\' => quoted.extend(chars.next().map(|(_, c)| c)),
                    other => quoted.push(other),
                }
            }
            out.push(Piece::Literal(quoted));
            rest = &rest[end.min(rest.len())..];
            continue;
        }
        let keyword = KEYWORDS.iter().find(|keyword| {
            let named = keyword.chars().any(|c| c.is_ascii_lowercase())
                || matches!(
                    **keyword,
                    "MONTH"
                        | "MON"
                        | "DAY"
                        | "DY"
                        | "AM"
                        | "PM"
                        | "A.M."
                        | "P.M."
                        | "AD"
                        | "BC"
                        | "A.D."
                        | "B.C."
                        | "RM"
                        | "TZ"
                        | "TH"
                );
            rest.get(..keyword.len()).is_some_and(|head| {
                if named { head == **keyword } else { head.eq_ignore_ascii_case(keyword) }
            })
        });
        match keyword {
            Some(&"FM") => fill = false,
            Some(&"FX") => {}
            Some(&"TM") => translated = true,
            Some(&suffix @ ("TH" | "th")) => {
                if let Some(Piece::Keyword { ordinal, .. }) = out.last_mut() {
                    *ordinal = Some(suffix == "TH");
                }
            }
            Some(name) => {
                // Names in the session's language have no width.
                let is_name = matches!(*name, "MONTH" | "Month" | "month" | "DAY" | "Day" | "day");
                let fill_it = fill && !(translated && is_name);
                out.push(Piece::Keyword { name, fill: fill_it, ordinal: None });
                (fill, translated) = (true, false);
            }
            None => {
                match out.last_mut() {
                    Some(Piece::Literal(text)) => text.push(first),
                    _ => out.push(Piece::Literal(first.to_string())),
                }
                rest = &rest[first.len_utf8()..];
                continue;
            }
        }
        rest = &rest[keyword.map_or(0, |k| k.len())..];
    }
    out
}

/// `st`, `nd`, `rd`, `th`.
pub(super) fn ordinal_suffix(number: &str) -> &'static str {
    let digits: Vec<u8> = number.bytes().filter(u8::is_ascii_digit).collect();
    let teen = digits.len() >= 2 && digits[digits.len() - 2] == b'1';
    match digits.last() {
        Some(b'1') if !teen => "st",
        Some(b'2') if !teen => "nd",
        Some(b'3') if !teen => "rd",
        _ => "th",
    }
}

/// What a date template prints.
struct Moment {
    parts: Parts,
    offset: Option<i32>,
    zone: Option<String>,
    is_interval: bool,
}

/// A date and a time. Those of an interval may all be negative; its hours are not folded to days.
struct Parts {
    year: i64,
    month: i64,
    day: i64,
    hour: i64,
    minute: i64,
    second: i64,
    fraction: i64,
}

impl Parts {
    fn of_civil(civil: &Civil) -> Self {
        Self {
            year: civil.year,
            month: i64::from(civil.month),
            day: i64::from(civil.day),
            hour: civil.hour(),
            minute: civil.minute(),
            second: civil.second(),
            fraction: civil.fraction(),
        }
    }

    fn of_interval(value: Interval) -> Self {
        Self {
            year: i64::from(value.months / 12),
            month: i64::from(value.months % 12),
            day: i64::from(value.days),
            hour: value.micros / HOUR_MICROS,
            minute: value.micros % HOUR_MICROS / MINUTE_MICROS,
            second: value.micros % MINUTE_MICROS / SECOND_MICROS,
            fraction: value.micros % SECOND_MICROS,
        }
    }

    /// Days since 1970.
    fn days(&self) -> i64 {
        days_from_civil(self.year, self.month.clamp(1, 12) as u32, 1) + self.day - 1
    }
}

fn named(name: &str, like: &str, fill: bool, width: usize) -> String {
    let cased = if like.chars().all(|c| !c.is_ascii_lowercase()) {
        name.to_uppercase()
    } else if like.starts_with(|c: char| c.is_ascii_lowercase()) {
        name.to_lowercase()
    } else {
        name.to_string()
    };
    if fill { format!("{cased:<width$}") } else { cased }
}

fn padded(value: i64, width: usize, fill: bool) -> String {
    let digits = value.unsigned_abs();
    let sign = if value < 0 { "-" } else { "" };
    if fill { format!("{sign}{digits:0width$}") } else { format!("{sign}{digits}") }
}

/// As [`padded`], with the sign counted in.
fn signed(value: i64, width: usize, fill: bool) -> String {
    if fill { format!("{value:0width$}") } else { value.to_string() }
}

fn format_moment(moment: &Moment, template: &str) -> SqlResult<String> {
    let mut out = String::new();
    for piece in pieces(template) {
        match piece {
            Piece::Literal(literal) => out.push_str(&literal),
            Piece::Keyword { name, fill, ordinal } => {
                let mut shown = field(moment, name, fill)?;
                if let Some(upper) = ordinal {
                    let suffix = ordinal_suffix(&shown);
                    shown.push_str(&if upper { suffix.to_uppercase() } else { suffix.into() });
                }
                out.push_str(&shown);
            }
        }
    }
    Ok(out)
}

fn field(moment: &Moment, name: &'static str, fill: bool) -> SqlResult<String> {
    let parts = &moment.parts;
    let days = || parts.days();
    let no_interval = || {
        if moment.is_interval {
            return Err(SqlError::new(
                SqlState::INVALID_DATETIME_FORMAT,
                "invalid format specification for an interval value",
            )
            .hint("Intervals are not tied to specific calendar dates."));
        }
        Ok(())
    };
    let hour = parts.hour;
    let year = if moment.is_interval || parts.year > 0 { parts.year } else { 1 - parts.year };
    let iso = || iso_week(days());
    // Months of an interval have 30 days.
    let day_of_year = if moment.is_interval {
        (parts.year * 12 + parts.month) * 30 + parts.day
    } else {
        day_of_year(parts.year, parts.month as u32, parts.day as u32)
    };
    let upper = name.to_ascii_uppercase();
    Ok(match upper.as_str() {
        "HH24" => padded(hour, 2, fill),
        "HH12" | "HH" => padded(if hour % 12 == 0 { 12 } else { hour % 12 }, 2, fill),
        "MI" => padded(parts.minute, 2, fill),
        "SS" => padded(parts.second, 2, fill),
        "MS" | "FF3" => padded(parts.fraction / 1000, 3, fill),
        "US" | "FF6" => padded(parts.fraction, 6, fill),
        "FF1" => padded(parts.fraction / 100_000, 1, fill),
        "FF2" => padded(parts.fraction / 10_000, 2, fill),
        "FF4" => padded(parts.fraction / 100, 4, fill),
        "FF5" => padded(parts.fraction / 10, 5, fill),
        "SSSS" | "SSSSS" => (hour * 3600 + parts.minute * 60 + parts.second).to_string(),
        "AM" | "PM" => cased(name, if hour % 24 >= 12 { "PM" } else { "AM" }),
        "A.M." | "P.M." => cased(name, if hour % 24 >= 12 { "P.M." } else { "A.M." }),
        "YYYY" => padded(year, 4, fill),
        "Y,YYY" => format!("{},{:03}", year / 1000, year % 1000),
        "YYY" => padded(year % 1000, 3, fill),
        "YY" => padded(year % 100, 2, fill),
        "Y" => padded(year % 10, 1, fill),
        "IYYY" => padded(iso().0, 4, fill),
        "IYY" => padded(iso().0 % 1000, 3, fill),
        "IY" => padded(iso().0 % 100, 2, fill),
        "I" => padded(iso().0 % 10, 1, fill),
        "BC" | "AD" => {
            no_interval()?;
            cased(name, if parts.year > 0 { "AD" } else { "BC" })
        }
        "B.C." | "A.D." => {
            no_interval()?;
            cased(name, if parts.year > 0 { "A.D." } else { "B.C." })
        }
        "MONTH" | "MON" | "DAY" | "DY" => {
            no_interval()?;
            let month = MONTHS[parts.month as usize - 1];
            let day = DAYS[day_of_week(days()) as usize];
            match upper.as_str() {
                "MONTH" => named(month, name, fill, 9),
                "MON" => named(&month[..3], name, fill, 3),
                "DAY" => named(day, name, fill, 9),
                _ => named(&day[..3], name, fill, 3),
            }
        }
        "MM" => padded(parts.month, 2, fill),
        "DD" => signed(parts.day, 2, fill),
        "DDD" => signed(day_of_year, 3, fill),
        "IDDD" => {
            let (iso_year, _) = iso();
            padded(days() - iso_week_start(iso_year, 1) + 1, 3, fill)
        }
        "D" => {
            no_interval()?;
            (day_of_week(days()) + 1).to_string()
        }
        "ID" => {
            no_interval()?;
            match day_of_week(days()) {
                0 => "7".into(),
                day => day.to_string(),
            }
        }
        "W" => ((parts.day - 1) / 7 + 1).to_string(),
        "WW" => signed((day_of_year - 1) / 7 + 1, 2, fill),
        "IW" => padded(iso().1, 2, fill),
        "Q" if parts.month == 0 => String::new(),
        "Q" => ((parts.month - 1) / 3 + 1).to_string(),
        "CC" => {
            let century = match parts.year {
                year if moment.is_interval => year / 100,
                year @ 1.. => (year + 99) / 100,
                year => year / 100 - 1,
            };
            padded(century, 2, fill)
        }
        "J" => (days() + UNIX_JULIAN_DAY).to_string(),
        "RM" => {
            // Whole years of an interval end in December, and negative months count from it.
            let index = match (parts.month, parts.year) {
                (0, 0) => return Ok(String::new()),
                (0, 1..) => 11,
                (0, _) => 0,
                (month @ ..0, _) => 12 + month,
                (month, _) => month - 1,
            };
            let roman = cased(name, ROMAN[index as usize]);
            if fill { format!("{roman:<4}") } else { roman }
        }
        "TZ" => cased(name, moment.zone.as_deref().unwrap_or_default()),
        "OF" => {
            let offset = moment.offset.unwrap_or(0);
            let sign = if offset < 0 { '-' } else { '+' };
            let (hours, minutes) = (offset.abs() / 3600, offset.abs() / 60 % 60);
            let hours = if fill { format!("{hours:02}") } else { hours.to_string() };
            if minutes == 0 {
                format!("{sign}{hours}")
            } else {
                format!("{sign}{hours}:{minutes:02}")
            }
        }
        "TZH" => {
            let offset = moment.offset.unwrap_or(0);
            format!("{}{:02}", if offset < 0 { '-' } else { '+' }, offset.abs() / 3600)
        }
        "TZM" => format!("{:02}", moment.offset.unwrap_or(0).abs() / 60 % 60),
        _ => String::new(),
    })
}

/// In the case of the keyword.
fn cased(like: &str, value: &str) -> String {
    if like.chars().any(|c| c.is_ascii_lowercase()) { value.to_lowercase() } else { value.into() }
}

fn of_timestamp(at: i64, zone: Option<&TimeZone>, template: &str) -> SqlResult<Datum> {
    if !is_finite_timestamp(at) || template.is_empty() {
        return Ok(Datum::Null);
    }
    let local = match zone {
        Some(zone) => utc_to_local(at, zone)?,
        None => at,
    };
    let moment = Moment {
        parts: Parts::of_civil(&Civil::from_micros(local)),
        offset: zone.map(|zone| zone.offset_at(at)),
        zone: zone.and_then(|zone| zone.abbreviation_at(at)),
        is_interval: false,
    };
    format_moment(&moment, template).map(Datum::Text)
}

fn of_interval(value: Interval, template: &str) -> SqlResult<Datum> {
    if template.is_empty() {
        return Ok(Datum::Null);
    }
    let moment =
        Moment { parts: Parts::of_interval(value), offset: None, zone: None, is_interval: true };
    format_moment(&moment, template).map(Datum::Text)
}

fn invalid(value: &str, name: &str) -> SqlError {
    SqlError::new(
        SqlState::INVALID_DATETIME_FORMAT,
        format!("invalid value \"{value}\" for \"{name}\""),
    )
}

/// What was read by a template.
#[derive(Default)]
struct Parsed {
    year: Option<i64>,
    /// The year's last two digits or one, which a century goes before.
    short_year: bool,
    century: Option<i64>,
    before_christ: bool,
    month: Option<u32>,
    day: Option<u32>,
    day_of_year: Option<i64>,
    iso_year: Option<i64>,
    iso_week: Option<i64>,
    iso_day: Option<i64>,
    julian: Option<i64>,
    hour: i64,
    twelve: bool,
    afternoon: Option<bool>,
    minute: i64,
    second: i64,
    fraction: i64,
    offset_hours: Option<i64>,
    offset_minutes: i64,
}

/// Reads a number of at most `width` digits; any number if the next piece is not a number.
fn number(rest: &mut &str, name: &str, width: usize) -> SqlResult<i64> {
    let trimmed = rest.trim_start();
    let signed = trimmed.starts_with(['+', '-']) && matches!(name, "TZH" | "OF" | "YYYY");
    let start = usize::from(signed);
    let digits = trimmed[start..].bytes().take(width).take_while(u8::is_ascii_digit).count();
    if digits == 0 {
        let shown: String = trimmed.chars().take(width).collect();
        return Err(invalid(&shown, name).detail("Value must be an integer."));
    }
    let value =
        trimmed[..start + digits].parse().map_err(|_| invalid(&trimmed[..start + digits], name))?;
    *rest = &trimmed[start + digits..];
    Ok(value)
}

/// The name at the start of the text among full or short ones.
fn name_index(rest: &mut &str, names: &[&str], short: bool, keyword: &str) -> SqlResult<usize> {
    let trimmed = rest.trim_start();
    for (i, name) in names.iter().enumerate() {
        let wanted = if short { &name[..3] } else { name };
        if trimmed.get(..wanted.len()).is_some_and(|head| head.eq_ignore_ascii_case(wanted)) {
            *rest = &trimmed[wanted.len()..];
            return Ok(i);
        }
    }
    let shown: String = trimmed.chars().take_while(|c| c.is_alphanumeric()).collect();
    Err(invalid(&shown, keyword)
        .detail("The given value did not match any of the allowed values for this field."))
}

fn parse(value: &str, template: &str) -> SqlResult<Parsed> {
    let mut parsed = Parsed::default();
    let mut rest = value;
    let all = pieces(template);
    for (i, piece) in all.iter().enumerate() {
        match piece {
            Piece::Literal(literal) => {
                for c in literal.chars() {
                    if c.is_whitespace() || c.is_ascii_punctuation() {
                        // A separator matches any one, or is left out before blanks.
                        let next = rest.chars().next();
                        if next.is_some_and(|n| n.is_whitespace() || n.is_ascii_punctuation()) {
                            rest = &rest[next.map_or(0, char::len_utf8)..];
                        }
                    } else if let Some(next) = rest.chars().next() {
                        rest = &rest[next.len_utf8()..];
                    }
                }
            }
            Piece::Keyword { name, fill, ordinal } => {
                if rest.trim().is_empty() {
                    break;
                }
                let next_is_digits = matches!(all.get(i + 1), Some(Piece::Keyword { .. }));
                read(&mut parsed, &mut rest, name, *fill && next_is_digits)?;
                if ordinal.is_some() {
                    rest = rest.get(2..).unwrap_or_default();
                }
            }
        }
    }
    Ok(parsed)
}

fn read(parsed: &mut Parsed, rest: &mut &str, name: &'static str, exact: bool) -> SqlResult<()> {
    let upper = name.to_ascii_uppercase();
    let wide = |width: usize| if exact { width } else { 18 };
    match upper.as_str() {
        "YYYY" => parsed.year = Some(number(rest, name, wide(4))?),
        "Y,YYY" => {
            let thousands = number(rest, name, 3)?;
            *rest = rest.trim_start_matches(',');
            parsed.year = Some(thousands * 1000 + number(rest, name, 3)?);
        }
        "YYY" | "YY" | "Y" => {
            let before = rest.trim_start().len();
            let value = number(rest, name, name.len())?;
            let digits = before - rest.len();
            // Nearest to 2020.
            parsed.year = Some(match value {
                _ if digits > 3 => value,
                0..70 | 100..520 => 2000 + value,
                70..100 => 1900 + value,
                520..1000 => 1000 + value,
                _ => value,
            });
            parsed.short_year = name.len() < 3;
        }
        "IYYY" => parsed.iso_year = Some(number(rest, name, wide(4))?),
        "MM" => parsed.month = Some(number(rest, name, wide(2).min(2))? as u32),
        "MONTH" => parsed.month = Some(name_index(rest, &MONTHS, false, name)? as u32 + 1),
        "MON" => parsed.month = Some(name_index(rest, &MONTHS, true, name)? as u32 + 1),
        "RM" => {
            let shown: String =
                rest.trim_start().chars().take_while(char::is_ascii_alphabetic).collect();
            let index = ROMAN.iter().position(|r| r.eq_ignore_ascii_case(&shown));
            let index = index.ok_or_else(|| invalid(&shown, name))?;
            *rest = &rest.trim_start()[shown.len()..];
            parsed.month = Some(index as u32 + 1);
        }
        "DD" => parsed.day = Some(number(rest, name, 2)? as u32),
        "DDD" => parsed.day_of_year = Some(number(rest, name, 3)?),
        "IW" => parsed.iso_week = Some(number(rest, name, 2)?),
        "ID" => parsed.iso_day = Some(number(rest, name, 1)?),
        "DAY" => drop(name_index(rest, &DAYS, false, name)?),
        "DY" => drop(name_index(rest, &DAYS, true, name)?),
        "CC" => parsed.century = Some(number(rest, name, 2)?),
        "W" => parsed.day = Some((number(rest, name, 1)? as u32).saturating_sub(1) * 7 + 1),
        "WW" => parsed.day_of_year = Some((number(rest, name, 2)? - 1) * 7 + 1),
        "D" | "Q" => drop(number(rest, name, 1)?),
        "J" => parsed.julian = Some(number(rest, name, 18)?),
        "HH24" => parsed.hour = number(rest, name, 2)?,
        "HH12" | "HH" => {
            parsed.hour = number(rest, name, 2)?;
            parsed.twelve = true;
        }
        "MI" => parsed.minute = number(rest, name, 2)?,
        "SS" => parsed.second = number(rest, name, 2)?,
        "SSSS" | "SSSSS" => {
            let seconds = number(rest, name, 5)?;
            parsed.hour = seconds / 3600;
            parsed.minute = seconds / 60 % 60;
            parsed.second = seconds % 60;
        }
        "MS" | "US" | "FF1" | "FF2" | "FF3" | "FF4" | "FF5" | "FF6" => {
            let width = match upper.as_str() {
                "MS" => 3,
                "US" => 6,
                other => other[2..].parse().unwrap_or(6),
            };
            let trimmed = rest.trim_start();
            let digits = trimmed.bytes().take(width).take_while(u8::is_ascii_digit).count();
            let value = number(rest, name, width)?;
            // The digits are those behind the point.
            parsed.fraction = value * 10i64.pow(6u32.saturating_sub(digits as u32));
        }
        "AM" | "PM" | "A.M." | "P.M." => {
            let trimmed = rest.trim_start();
            parsed.afternoon = Some(trimmed.starts_with(['p', 'P']));
            *rest = trimmed.get(name.len()..).unwrap_or_default();
        }
        "AD" | "BC" | "A.D." | "B.C." => {
            let trimmed = rest.trim_start();
            parsed.before_christ = trimmed.starts_with(['b', 'B']);
            *rest = trimmed.get(name.len()..).unwrap_or_default();
        }
        "TZH" => parsed.offset_hours = Some(number(rest, name, 2)?),
        "TZM" => parsed.offset_minutes = number(rest, name, 2)?,
        "TZ" | "OF" => {
            return Err(SqlError::new(
                SqlState::FEATURE_NOT_SUPPORTED,
                format!("formatting field \"{name}\" is only supported in to_char"),
            ));
        }
        _ => {}
    }
    Ok(())
}

impl Parsed {
    fn range(value: &str) -> SqlError {
        SqlError::new(
            SqlState::DATETIME_FIELD_OVERFLOW,
            format!("date/time field value out of range: \"{value}\""),
        )
    }

    /// The year, where 0 is 1 BC: so it is if none was read.
    fn year(&self) -> i64 {
        let signed = |value: i64| if self.before_christ { -value } else { value };
        let century = self.century.filter(|century| *century != 0).map(signed);
        match (self.year.filter(|year| *year != 0), century) {
            (None, None) => 0,
            (None, Some(century)) if century > 0 => (century - 1) * 100 + 1,
            (None, Some(century)) => century * 100 + 1,
            (Some(year), Some(century)) if self.short_year => match (year % 100, century > 0) {
                (0, true) => century * 100,
                (0, false) => century * 100 + 1,
                (year, true) => (century - 1) * 100 + year,
                (year, false) => (century + 1) * 100 - year + 1,
            },
            (Some(year), _) => match signed(year) {
                year if year < 0 => year + 1,
                year => year,
            },
        }
    }

    /// Days since 1970 of the date that was read; what is missing is the first.
    fn days(&self, value: &str) -> SqlResult<i64> {
        if let Some(julian) = self.julian {
            return Ok(julian - UNIX_JULIAN_DAY);
        }
        if let Some(year) = self.iso_year {
            let week = self.iso_week.unwrap_or(1);
            return Ok(iso_week_start(year, week) + self.iso_day.unwrap_or(1) - 1);
        }
        let year = self.year();
        if let Some(day) = self.day_of_year {
            return Ok(days_from_civil(year, 1, 1) + day - 1);
        }
        let (month, day) = (self.month.unwrap_or(1), self.day.unwrap_or(1));
        if !(1..=12).contains(&month) || day == 0 || day > days_in_month(year, month) {
            return Err(Self::range(value));
        }
        Ok(days_from_civil(year, month, day))
    }

    fn time(&self, value: &str) -> SqlResult<i64> {
        let mut hour = self.hour;
        if self.twelve || self.afternoon.is_some() {
            if !(1..=12).contains(&hour) {
                return Err(SqlError::new(
                    SqlState::INVALID_DATETIME_FORMAT,
                    format!("hour \"{hour}\" is invalid for the 12-hour clock"),
                )
                .hint("Use the 24-hour clock, or give an hour between 1 and 12."));
            }
            hour = hour % 12 + if self.afternoon == Some(true) { 12 } else { 0 };
        }
        if !(0..24).contains(&hour)
            || !(0..60).contains(&self.minute)
            || !(0..60).contains(&self.second)
        {
            return Err(Self::range(value));
        }
        Ok(hour * HOUR_MICROS
            + self.minute * MINUTE_MICROS
            + self.second * SECOND_MICROS
            + self.fraction)
    }
}

fn wrong() -> SqlError {
    unexpected_value("a template")
}

pub(crate) fn install(b: &mut Builder) {
    b.row("to_char(timestamp,text) text", |args, _| match args {
        [Datum::Timestamp(at), template] => of_timestamp(*at, None, text(template)?),
        _ => Err(wrong()),
    });
    b.row("to_char(interval,text) text", |args, _| match args {
        [Datum::Interval(value), template] => of_interval(*value, text(template)?),
        _ => Err(wrong()),
    });
    b.row("to_char(date,text) text", |args, _| match args {
        [Datum::Date(days), template] => {
            of_timestamp(timestamp_of_date(*days)?, None, text(template)?)
        }
        _ => Err(wrong()),
    });
    b.with_settings(|b| {
        b.row("to_char(timestamptz,text) text", |args, call| match args {
            [Datum::Timestamp(at), template] => {
                of_timestamp(*at, Some(&call.context.time_zone), text(template)?)
            }
            _ => Err(wrong()),
        });
        b.row("to_timestamp(text,text) timestamptz", |args, call| {
            let (value, template) = (text(&args[0])?, text(&args[1])?);
            let parsed = parse(value, template)?;
            let local = parsed
                .days(value)?
                .checked_mul(DAY_MICROS)
                .and_then(|days| days.checked_add(parsed.time(value).ok()?))
                .filter(|at| is_valid_timestamp(*at));
            parsed.time(value)?;
            let local = local.ok_or_else(|| out_of_range(&PgType::Timestamp))?;
            let at = match parsed.offset_hours {
                Some(hours) => {
                    let minutes = parsed.offset_minutes * hours.signum();
                    local - (hours * 60 + minutes) * MINUTE_MICROS
                }
                None => local_to_utc(local, &call.context.time_zone)?,
            };
            Ok(Datum::Timestamp(at))
        });
    });
    b.row("to_date(text,text) date", |args, _| {
        let (value, template) = (text(&args[0])?, text(&args[1])?);
        let days = parse(value, template)?.days(value)?;
        i32::try_from(days).map(Datum::Date).map_err(|_| out_of_range(&PgType::Date))
    });
}
