//! `to_date` and `to_timestamp`: reading text by a template.

use crate::error::{SqlError, SqlResult, SqlState};

use super::calendar::{
    DAY_MICROS, HOUR_MICROS, MAX_DAY, MIN_DAY, MINUTE_MICROS, SECOND_MICROS, UNIX_JULIAN_DAY,
    days_from_civil, days_in_month, is_valid_timestamp, iso_week_start,
};
use super::template::{DAY_NAMES, Key, MONTH_NAMES, Node, ROMAN_MONTHS, parse_template};
use super::{DateTimeError, TimeZone};

/// `to_date(text, template)`: days since 1970.
pub fn to_date(text: &str, template: &str) -> SqlResult<i32> {
    let read = Read::run(text, template)?;
    let days = read.days(text)?;
    read.time(text)?;
    if !(MIN_DAY..=MAX_DAY).contains(&days) {
        return Err(DateTimeError::OutOfRange { ty: "date", text: text.to_owned() }.into());
    }
    Ok(days as i32)
}

/// `to_timestamp(text, template)`: microseconds since 1970 UTC; without a zone in the text, on
/// the clock of `zone`.
pub fn to_timestamp(text: &str, template: &str, zone: &TimeZone) -> SqlResult<i64> {
    let read = Read::run(text, template)?;
    let days = read.days(text)?;
    let time = read.time(text)?;
    let zone = read.offset.map_or(*zone, TimeZone::Fixed);
    days.checked_mul(DAY_MICROS)
        .and_then(|midnight| midnight.checked_add(time))
        .and_then(|local| zone.to_utc(local))
        .filter(|utc| is_valid_timestamp(*utc))
        .ok_or_else(|| DateTimeError::OutOfRange { ty: "timestamp", text: text.to_owned() }.into())
}

fn invalid(message: String, detail: impl Into<String>) -> SqlError {
    SqlError::new(SqlState::INVALID_DATETIME_FORMAT, message).detail(detail)
}

fn field_overflow(text: &str) -> SqlError {
    DateTimeError::FieldOverflow { text: text.to_owned(), order_hint: false }.into()
}

/// What the text has told so far.
#[derive(Default)]
struct Read {
    year: Option<i64>,
    year_digits: u32,
    month: Option<i64>,
    day: Option<i64>,
    day_of_year: Option<i64>,
    iso_year: Option<i64>,
    iso_week: Option<i64>,
    iso_day: Option<i64>,
    week: Option<i64>,
    week_of_month: Option<i64>,
    julian: Option<i64>,
    century: Option<i64>,
    bc: bool,
    hour: i64,
    hour_is_12: bool,
    afternoon: Option<bool>,
    minute: i64,
    second: i64,
    micros: i64,
    second_of_day: Option<i64>,
    offset: Option<i32>,
    offset_negative: bool,
}

/// A place in the text being read.
struct Cursor<'a> {
    rest: &'a str,
}

impl<'a> Cursor<'a> {
    fn skip_blanks(&mut self) -> i64 {
        let trimmed = self.rest.trim_start_matches(|c: char| c.is_ascii_whitespace());
        let skipped = self.rest.len() - trimmed.len();
        self.rest = trimmed;
        skipped as i64
    }

    fn advance(&mut self) -> Option<char> {
        let c = self.rest.chars().next()?;
        self.rest = &self.rest[c.len_utf8()..];
        Some(c)
    }

    /// A number of at most `width` characters, or of any length when `greedy`.
    fn number(&mut self, width: usize, greedy: bool, name: &str) -> SqlResult<(i64, u32)> {
        self.skip_blanks();
        let limit = if greedy { usize::MAX } else { width };
        let end = self.rest.char_indices().take(limit).find_map(|(at, c)| {
            let sign = at == 0 && matches!(c, '+' | '-');
            (!c.is_ascii_digit() && !sign).then_some(at)
        });
        let longest = self.rest.char_indices().nth(limit).map_or(self.rest.len(), |(at, _)| at);
        let (text, rest) = self.rest.split_at(end.unwrap_or(longest));
        let digits = text.trim_start_matches(['+', '-']).len();
        let message = || {
            let shown: String = self.rest.chars().take(limit.min(width.max(1))).collect();
            format!("invalid value \"{shown}\" for \"{name}\"")
        };
        if digits == 0 {
            if self.rest.is_empty() && !greedy {
                return Err(invalid(
                    format!("source string too short for \"{name}\" formatting field"),
                    format!("Field requires {width} characters, but only 0 remain."),
                )
                .hint("If your source string is not fixed-width, try using the \"FM\" modifier."));
            }
            return Err(invalid(message(), "Value must be an integer."));
        }
        let value = text.parse::<i64>().ok().filter(|value| i32::try_from(*value).is_ok());
        let value = value.ok_or_else(|| {
            let detail = "Value must be in the range -2147483648 to 2147483647.";
            SqlError::new(
                SqlState::DATETIME_FIELD_OVERFLOW,
                format!("value for \"{name}\" in source string is out of range"),
            )
            .detail(detail)
        })?;
        self.rest = rest;
        Ok((value, digits as u32))
    }

    /// The index of the longest name that the text begins with, by `length` letters if not 0.
    fn name(&mut self, names: &[&str], length: usize, key: &str) -> SqlResult<usize> {
        self.skip_blanks();
        let mut best: Option<(usize, usize)> = None;
        for (index, name) in names.iter().enumerate() {
            let name = if length == 0 { name } else { &name[..length] };
            let matches =
                self.rest.get(..name.len()).is_some_and(|head| head.eq_ignore_ascii_case(name));
            if matches && best.is_none_or(|(_, longest)| name.len() > longest) {
                best = Some((index, name.len()));
            }
        }
        let Some((index, length)) = best else {
            let shown: String =
                self.rest.chars().take_while(|c| !c.is_ascii_whitespace()).collect();
            let message = format!("invalid value \"{shown}\" for \"{key}\"");
            let detail = "The given value did not match any of the allowed values for this field.";
            return Err(invalid(message, detail));
        };
        self.rest = &self.rest[length..];
        Ok(index)
    }
}

fn is_separator(c: char) -> bool {
    c.is_ascii() && !c.is_ascii_alphanumeric() && !c.is_ascii_control() && c != ' '
}

impl Read {
    fn run(text: &str, template: &str) -> SqlResult<Self> {
        let nodes = parse_template(template);
        let mut read = Self::default();
        let mut cursor = Cursor { rest: text };
        let mut fixed = false;
        // Separators that the text has beyond those of the template.
        let mut extra = 0i64;
        for (at, node) in nodes.iter().enumerate() {
            if cursor.rest.is_empty() {
                break;
            }
            match node {
                Node::Field { key: Key::FixedFormat, .. } => fixed = true,
                Node::Literal(wanted) => {
                    if !fixed && (wanted.is_whitespace() || is_separator(*wanted)) {
                        extra -= 1;
                        if cursor.rest.starts_with(|c: char| c.is_whitespace() || is_separator(c)) {
                            cursor.advance();
                            extra += 1;
                        }
                    } else if !fixed && extra > 0 {
                        extra -= 1;
                    } else {
                        cursor.advance();
                    }
                }
                Node::Field { key, fill, ordinal, name, .. } => {
                    if !fixed {
                        extra = extra.max(0) + cursor.skip_blanks();
                    }
                    let next_is_digits = matches!(nodes.get(at + 1), Some(Node::Field { key, .. })
                        if takes_digits(*key));
                    read.field(*key, *fill || !next_is_digits, name, &mut cursor)?;
                    if ordinal.is_some() {
                        cursor.advance();
                        cursor.advance();
                    }
                    if !fixed {
                        extra = 0;
                        // Separators before the next field that the template lacks.
                        let next_is_field = matches!(nodes.get(at + 1), Some(Node::Field { .. }));
                        if next_is_field {
                            extra += cursor.skip_blanks();
                        }
                    }
                }
            }
        }
        Ok(read)
    }

    fn field(
        &mut self,
        key: Key,
        greedy: bool,
        name: &str,
        cursor: &mut Cursor<'_>,
    ) -> SqlResult<()> {
        let mut number = |width: usize| cursor.number(width, greedy, name).map(|(value, _)| value);
        match key {
            Key::Hour24 => self.hour = number(2)?,
            Key::Hour12 => {
                self.hour = number(2)?;
                self.hour_is_12 = true;
            }
            Key::Minute => self.minute = number(2)?,
            Key::Second => self.second = number(2)?,
            Key::SecondOfDay => self.second_of_day = Some(number(5)?),
            Key::Milliseconds => self.fraction(3, name, greedy, cursor)?,
            Key::Microseconds => self.fraction(6, name, greedy, cursor)?,
            Key::Fraction(digits) => self.fraction(digits, name, greedy, cursor)?,
            Key::Month => self.month = Some(number(2)?),
            Key::Day => self.day = Some(number(2)?),
            Key::DayOfYear => self.day_of_year = Some(number(3)?),
            Key::DayOfWeek => drop(number(1)?),
            Key::IsoDayOfWeek => self.iso_day = Some(number(1)?),
            Key::IsoDayOfYear => self.day_of_year = Some(number(3)?),
            Key::WeekOfYear => self.week = Some(number(2)?),
            Key::WeekOfMonth => self.week_of_month = Some(number(1)?),
            Key::IsoWeek => self.iso_week = Some(number(2)?),
            Key::Julian => self.julian = Some(number(10)?),
            Key::Century => self.century = Some(number(2)?),
            Key::Quarter => drop(number(1)?),
            Key::Year(width) | Key::IsoYear(width) => {
                let (value, digits) = cursor.number(width as usize, greedy, name)?;
                let year = if width == 4 && digits >= 4 { value } else { complete(value, digits) };
                let year = if width == 4 { value } else { year };
                if matches!(key, Key::Year(_)) {
                    self.year = Some(year);
                    self.year_digits = width;
                } else {
                    self.iso_year = Some(year);
                }
            }
            Key::YearWithComma => {
                let (thousands, _) = cursor.number(1, true, name)?;
                if !cursor.rest.starts_with(',') {
                    return Err(SqlError::new(
                        SqlState::INVALID_DATETIME_FORMAT,
                        "invalid input string for \"Y,YYY\"",
                    ));
                }
                cursor.advance();
                let (rest, _) = cursor.number(3, false, name)?;
                self.year = Some(thousands * 1000 + rest);
                self.year_digits = 4;
            }
            Key::MonthName => self.month = Some(month_of(cursor, 0, name)?),
            Key::MonthAbbreviation => self.month = Some(month_of(cursor, 3, name)?),
            Key::RomanMonth => {
                self.month = Some(cursor.name(&ROMAN_MONTHS, 0, name)? as i64 + 1);
            }
            Key::DayName => drop(cursor.name(&DAY_NAMES, 0, name)?),
            Key::DayAbbreviation => drop(cursor.name(&DAY_NAMES, 3, name)?),
            Key::Half => self.afternoon = Some(cursor.name(&["AM", "PM"], 0, name)? == 1),
            Key::HalfDotted => {
                self.afternoon = Some(cursor.name(&["A.M.", "P.M."], 0, name)? == 1);
            }
            Key::Era => self.bc = cursor.name(&["AD", "BC"], 0, name)? == 1,
            Key::EraDotted => self.bc = cursor.name(&["A.D.", "B.C."], 0, name)? == 1,
            Key::ZoneHour => {
                self.offset_negative = cursor.rest.starts_with('-');
                let (hours, _) = cursor.number(3, greedy, name)?;
                self.offset = Some(hours.abs() as i32 * 3600 * self.offset_sign());
            }
            Key::ZoneMinute => {
                let (minutes, _) = cursor.number(2, greedy, name)?;
                let sign = self.offset_sign();
                *self.offset.get_or_insert(0) += minutes as i32 * 60 * sign;
            }
            Key::ZoneName | Key::ZoneOffset => {
                return Err(SqlError::unsupported(format!(
                    "formatting field \"{name}\" is only supported in to_char"
                )));
            }
            Key::FixedFormat => {}
        }
        Ok(())
    }

    fn offset_sign(&self) -> i32 {
        if self.offset_negative { -1 } else { 1 }
    }

    fn fraction(
        &mut self,
        width: u32,
        name: &str,
        greedy: bool,
        cursor: &mut Cursor<'_>,
    ) -> SqlResult<()> {
        // 25 as milliseconds is a quarter of a second.
        let (value, digits) = cursor.number(width as usize, greedy, name)?;
        let digits = digits.min(9);
        let micros = value * 1_000_000 / 10i64.pow(digits);
        self.micros = micros.min(999_999);
        Ok(())
    }

    fn days(&self, text: &str) -> SqlResult<i64> {
        if let Some(julian) = self.julian {
            return Ok(julian - UNIX_JULIAN_DAY);
        }
        let in_range = |value: Option<i64>, low: i64, high: i64| match value {
            Some(value) if !(low..=high).contains(&value) => Err(field_overflow(text)),
            _ => Ok(()),
        };
        in_range(self.month, 1, 12)?;
        in_range(self.day, 1, 31)?;
        in_range(self.day_of_year, 1, 366)?;
        if let Some(year) = self.iso_year {
            let week = self.iso_week.unwrap_or(1);
            let start = iso_week_start(year, week);
            return Ok(match (self.day_of_year, self.iso_day) {
                (Some(day), _) => iso_week_start(year, 1) + day - 1,
                (None, Some(day)) => start + day - 1,
                (None, None) => start,
            });
        }
        let year = self.full_year();
        if let (Some(day), None) = (self.day_of_year, self.day) {
            return Ok(days_from_civil(year, 1, 1) + day - 1);
        }
        if let (Some(week), None) = (self.week, self.day) {
            return Ok(days_from_civil(year, 1, 1) + (week - 1) * 7);
        }
        let month = self.month.unwrap_or(1) as u32;
        let day = match (self.day, self.week_of_month) {
            (Some(day), _) => day,
            (None, Some(week)) => (week - 1) * 7 + 1,
            (None, None) => 1,
        };
        if day > i64::from(days_in_month(year, month)) {
            return Err(field_overflow(text));
        }
        Ok(days_from_civil(year, month, day as u32))
    }

    /// Astronomical.
    fn full_year(&self) -> i64 {
        let year = match (self.year, self.century) {
            (Some(year), Some(century)) if self.year_digits <= 2 => {
                (century - 1) * 100 + year.rem_euclid(100)
            }
            (Some(year), _) => year,
            (None, Some(century)) => (century - 1) * 100 + 1,
            // Without a year it is 1 BC.
            (None, None) => return 0,
        };
        match (self.bc, year) {
            (true, year) if year > 0 => 1 - year,
            (true, year) => -year,
            (false, year) if year < 0 => year + 1,
            (false, year) => year,
        }
    }

    fn time(&self, text: &str) -> SqlResult<i64> {
        if let Some(seconds) = self.second_of_day {
            if !(0..86_400).contains(&seconds) {
                return Err(field_overflow(text));
            }
            return Ok(seconds * SECOND_MICROS + self.micros);
        }
        let mut hour = self.hour;
        if self.hour_is_12 {
            if !(1..=12).contains(&hour) {
                return Err(SqlError::new(
                    SqlState::INVALID_DATETIME_FORMAT,
                    format!("hour \"{hour}\" is invalid for the 12-hour clock"),
                )
                .hint("Use the 24-hour clock, or give an hour between 1 and 12."));
            }
            match self.afternoon {
                Some(true) if hour < 12 => hour += 12,
                Some(false) | None if hour == 12 && self.afternoon.is_some() => hour = 0,
                _ => {}
            }
        }
        let valid = (0..24).contains(&hour)
            && (0..60).contains(&self.minute)
            && (0..60).contains(&self.second);
        if !valid {
            return Err(field_overflow(text));
        }
        Ok(hour * HOUR_MICROS
            + self.minute * MINUTE_MICROS
            + self.second * SECOND_MICROS
            + self.micros)
    }
}

/// Whether a keyword reads digits, so that the one before it must count its own.
fn takes_digits(key: Key) -> bool {
    !matches!(
        key,
        Key::HalfDotted
            | Key::Half
            | Key::EraDotted
            | Key::Era
            | Key::DayName
            | Key::DayAbbreviation
            | Key::MonthName
            | Key::MonthAbbreviation
            | Key::RomanMonth
            | Key::ZoneName
            | Key::ZoneOffset
            | Key::FixedFormat
    )
}

fn month_of(cursor: &mut Cursor<'_>, length: usize, name: &str) -> SqlResult<i64> {
    Ok(cursor.name(&MONTH_NAMES, length, name)? as i64 + 1)
}

/// A year of fewer than four digits, in the century that makes it closest to 2020.
fn complete(year: i64, digits: u32) -> i64 {
    match digits {
        1 | 2 if year < 70 => year + 2000,
        1 | 2 => year + 1900,
        3 if year < 100 => year + 2000,
        3 if year < 520 => year + 2000,
        3 => year + 1000,
        _ => year,
    }
}
