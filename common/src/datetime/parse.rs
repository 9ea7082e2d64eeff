//! Input of date, time, timestamp and timestamptz.
//!
//! The forms that programs write, `2001-02-03 04:05:06.789+02`, are recognised directly; all
//! others go through fields, read by the rules of PostgreSQL's `DecodeDateTime`.

use crate::text::TextContext;

use super::calendar::{
    Civil, DATE_INFINITY, DATE_NEG_INFINITY, DAY_MICROS, EPOCH_SHIFT_DAYS, HOUR_MICROS, MAX_DAY,
    MIN_DAY, MINUTE_MICROS, SECOND_MICROS, TIMESTAMP_INFINITY, TIMESTAMP_NEG_INFINITY,
    UNIX_JULIAN_DAY, civil_from_days, days_from_civil, days_in_month, is_valid_timestamp,
};
use super::fields::{Field, Shape, Word, clock, fraction_micros, split, word};
use super::{DateOrder, DateTimeError, Result, TimeZone, abbreviations};

/// Days since 1970 of a `date` input.
pub fn parse_date(text: &str, context: &TextContext) -> Result<i32> {
    const TYPE: &str = "date";
    if let Some((days, b"")) = fast_date(text.as_bytes()) {
        return Ok(days as i32);
    }
    let days = match decode(text, TYPE, context, false)? {
        Decoded::Infinity => return Ok(DATE_INFINITY),
        Decoded::NegInfinity => return Ok(DATE_NEG_INFINITY),
        Decoded::Epoch => return Ok(0),
        Decoded::Now => local_now(context).div_euclid(DAY_MICROS),
        Decoded::Moment(moment) => moment.days,
    };
    if !(MIN_DAY..=MAX_DAY).contains(&days) {
        return Err(DateTimeError::OutOfRange { ty: TYPE, text: text.to_owned() });
    }
    Ok(days as i32)
}

/// Microseconds since midnight of a `time` input; 24:00:00 is possible.
pub fn parse_time(text: &str, context: &TextContext) -> Result<i64> {
    const TYPE: &str = "time";
    if let Some((time, b"")) = fast_time(text.as_bytes()) {
        return Ok(time);
    }
    match decode(text, TYPE, context, true)? {
        Decoded::Now => Ok(local_now(context).rem_euclid(DAY_MICROS)),
        Decoded::Moment(moment) => match moment.time {
            Some(time) => Ok(time),
            None => Err(format(text, TYPE)),
        },
        Decoded::Infinity | Decoded::NegInfinity | Decoded::Epoch => Err(format(text, TYPE)),
    }
}

/// Microseconds since 1970 of a `timestamp` input. A zone in the input is ignored.
pub fn parse_timestamp(text: &str, context: &TextContext) -> Result<i64> {
    const TYPE: &str = "timestamp";
    if let Some((local, _)) = fast_timestamp(text.as_bytes()) {
        return Ok(local);
    }
    match decode(text, TYPE, context, false)? {
        Decoded::Infinity => Ok(TIMESTAMP_INFINITY),
        Decoded::NegInfinity => Ok(TIMESTAMP_NEG_INFINITY),
        Decoded::Epoch => Ok(0),
        Decoded::Now => Ok(local_now(context)),
        Decoded::Moment(moment) => moment.local().ok_or_else(|| out_of_range(text)),
    }
}

/// Microseconds since 1970 UTC of a `timestamptz` input. Without a zone in the input, the
/// session's.
pub fn parse_timestamptz(text: &str, context: &TextContext) -> Result<i64> {
    const TYPE: &str = "timestamp with time zone";
    if let Some((local, offset)) = fast_timestamp(text.as_bytes()) {
        let utc = match offset {
            Some(offset) => local.checked_sub(i64::from(offset) * SECOND_MICROS),
            None => context.time_zone.to_utc(local),
        };
        return utc.filter(|utc| is_valid_timestamp(*utc)).ok_or_else(|| out_of_range(text));
    }
    match decode(text, TYPE, context, false)? {
        Decoded::Infinity => Ok(TIMESTAMP_INFINITY),
        Decoded::NegInfinity => Ok(TIMESTAMP_NEG_INFINITY),
        Decoded::Epoch => Ok(0),
        Decoded::Now => Ok(context.now),
        Decoded::Moment(moment) => {
            let zone = moment.zone.unwrap_or(context.time_zone);
            moment
                .local()
                .and_then(|local| zone.to_utc(local))
                .filter(|utc| is_valid_timestamp(*utc))
                .ok_or_else(|| out_of_range(text))
        }
    }
}

fn local_now(context: &TextContext) -> i64 {
    context.time_zone.to_local(context.now).unwrap_or(context.now)
}

fn format(text: &str, ty: &'static str) -> DateTimeError {
    DateTimeError::Format { ty, text: text.to_owned() }
}

fn out_of_range(text: &str) -> DateTimeError {
    DateTimeError::OutOfRange { ty: "timestamp", text: text.to_owned() }
}

/// Two digits.
fn pair(bytes: &[u8]) -> Option<i64> {
    match bytes {
        [a @ b'0'..=b'9', b @ b'0'..=b'9', ..] => Some(i64::from((a - b'0') * 10 + (b - b'0'))),
        _ => None,
    }
}

/// `YYYY-MM-DD` at the start: days since 1970, and the rest.
fn fast_date(bytes: &[u8]) -> Option<(i64, &[u8])> {
    if bytes.len() < 10 || bytes[4] != b'-' || bytes[7] != b'-' {
        return None;
    }
    let year = pair(bytes)? * 100 + pair(&bytes[2..])?;
    let (month, day) = (pair(&bytes[5..])? as u32, pair(&bytes[8..])? as u32);
    let valid = year > 0 && (1..=12).contains(&month) && day >= 1;
    (valid && day <= days_in_month(year, month))
        .then(|| (days_from_civil(year, month, day), &bytes[10..]))
}

/// `HH:MM:SS[.ffffff]` at the start: microseconds since midnight, and the rest.
fn fast_time(bytes: &[u8]) -> Option<(i64, &[u8])> {
    if bytes.len() < 8 || bytes[2] != b':' || bytes[5] != b':' {
        return None;
    }
    let (hour, minute, second) = (pair(bytes)?, pair(&bytes[3..])?, pair(&bytes[6..])?);
    if hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let mut time = (hour * 3600 + minute * 60 + second) * SECOND_MICROS;
    let mut rest = &bytes[8..];
    if let [b'.', digits @ ..] = rest {
        let count = digits.iter().take_while(|digit| digit.is_ascii_digit()).count();
        if count == 0 || count > 6 {
            return None;
        }
        let value = digits[..count].iter().fold(0, |value, b| value * 10 + i64::from(b - b'0'));
        time += value * 10i64.pow(6 - count as u32);
        rest = &digits[count..];
    }
    Some((time, rest))
}

/// `YYYY-MM-DD[ HH:MM:SS[.ffffff]][Z|+hh[:mm]]`: local microseconds, offset in seconds.
fn fast_timestamp(bytes: &[u8]) -> Option<(i64, Option<i32>)> {
    let (days, rest) = fast_date(bytes)?;
    let local = days * DAY_MICROS;
    let Some((b' ' | b'T', rest)) = rest.split_first() else {
        return rest.is_empty().then_some((local, None));
    };
    let (time, rest) = fast_time(rest)?;
    let local = local + time;
    let (sign, digits) = match rest {
        [] => return Some((local, None)),
        [b'Z' | b'z'] => return Some((local, Some(0))),
        [b'+', digits @ ..] => (1, digits),
        [b'-', digits @ ..] => (-1, digits),
        _ => return None,
    };
    let offset = match digits.len() {
        2 => pair(digits)? * 60,
        4 => pair(digits)? * 60 + pair(&digits[2..])?,
        5 if digits[2] == b':' => pair(digits)? * 60 + pair(&digits[3..])?,
        _ => return None,
    };
    (offset < 15 * 60).then_some((local, Some(sign * offset as i32 * 60)))
}

enum Decoded {
    Moment(Moment),
    Now,
    Epoch,
    Infinity,
    NegInfinity,
}

struct Moment {
    /// Days since 1970; may be beyond what a timestamp can hold.
    days: i64,
    /// Microseconds since midnight; absent when the input has no time.
    time: Option<i64>,
    zone: Option<TimeZone>,
}

impl Moment {
    fn local(&self) -> Option<i64> {
        let (year, month, day) = civil_from_days(self.days);
        Civil { year, month, day, time: self.time.unwrap_or(0) }.to_micros()
    }
}

/// Why a field cannot be read; becomes a [`DateTimeError`] with the whole text.
enum Failure {
    Format,
    Overflow,
    /// Month or day out of range: another DateStyle may help.
    MonthDay,
    Zone,
    UnknownZone(String),
}

fn decode(text: &str, ty: &'static str, context: &TextContext, time_only: bool) -> Result<Decoded> {
    let fields = split(text).ok_or_else(|| format(text, ty))?;
    let mut decoder = Decoder::new(context, time_only);
    decoder.run(&fields).map_err(|failure| {
        let text = text.to_owned();
        match failure {
            Failure::Format => DateTimeError::Format { ty, text },
            Failure::Overflow => DateTimeError::FieldOverflow { text, order_hint: false },
            Failure::MonthDay => DateTimeError::FieldOverflow { text, order_hint: true },
            Failure::Zone => DateTimeError::ZoneDisplacement(text),
            Failure::UnknownZone(zone) => DateTimeError::UnknownZone(zone),
        }
    })
}

/// What has been read so far.
struct Decoder<'a> {
    context: &'a TextContext,
    time_only: bool,
    /// Whether the input is one field.
    alone: bool,
    weekday: bool,
    year: Option<i64>,
    month: Option<i64>,
    day: Option<i64>,
    day_of_year: Option<i64>,
    /// A date that came as a whole (today, a Julian day).
    whole_days: Option<i64>,
    text_month: bool,
    two_digit_year: bool,
    time: Option<(i64, i64, i64)>,
    half: Option<Word>,
    era: Option<Word>,
    zone: Option<TimeZone>,
}

type Step<T = ()> = std::result::Result<T, Failure>;

impl<'a> Decoder<'a> {
    fn new(context: &'a TextContext, time_only: bool) -> Self {
        Self {
            context,
            time_only,
            alone: false,
            weekday: false,
            year: None,
            month: None,
            day: None,
            day_of_year: None,
            whole_days: None,
            text_month: false,
            two_digit_year: false,
            time: None,
            half: None,
            era: None,
            zone: None,
        }
    }

    fn has_date(&self) -> bool {
        self.whole_days.is_some()
            || (self.year.is_some() && self.day_of_year.is_some())
            || (self.year.is_some() && self.month.is_some() && self.day.is_some())
    }

    fn run(&mut self, fields: &[Field]) -> Step<Decoded> {
        self.alone = fields.len() == 1;
        let mut at = 0;
        while let Some(field) = fields.get(at) {
            at += 1;
            match field.shape {
                Shape::Date => self.date_field(&field.text)?,
                Shape::Time => self.time_field(&field.text)?,
                Shape::Signed => self.zone_field(&field.text)?,
                Shape::Number => self.number_field(&field.text)?,
                Shape::Word | Shape::SignedWord => {
                    let Some(meaning) = word(&field.text) else {
                        self.zone_word(&field.text)?;
                        continue;
                    };
                    match meaning {
                        Word::Julian => {
                            let next = fields.get(at).ok_or(Failure::Format)?;
                            self.julian(&next.text)?;
                            at += 1;
                        }
                        Word::TimeFollows => {
                            let next = fields.get(at).ok_or(Failure::Format)?;
                            let time_like = matches!(next.shape, Shape::Number | Shape::Time)
                                || next.shape == Shape::Date;
                            if !time_like || !(self.has_date() || self.time_only) {
                                return Err(Failure::Format);
                            }
                            if next.shape == Shape::Number {
                                self.digits_of_time(&next.text)?;
                                at += 1;
                            }
                        }
                        Word::Now | Word::Epoch | Word::Infinity | Word::NegInfinity => {
                            if fields.len() > 1 {
                                return Err(Failure::Format);
                            }
                            return Ok(match meaning {
                                Word::Now => Decoded::Now,
                                Word::Epoch => Decoded::Epoch,
                                Word::Infinity => Decoded::Infinity,
                                _ => Decoded::NegInfinity,
                            });
                        }
                        other => self.word_field(other)?,
                    }
                }
            }
        }
        self.finish().map(Decoded::Moment)
    }

    fn word_field(&mut self, meaning: Word) -> Step {
        match meaning {
            Word::Month(month) => {
                // A number read as the month before was the day: 8 January.
                let number = self.month.filter(|_| !self.text_month && self.day.is_none());
                if number.is_some_and(|number| (1..=31).contains(&number)) {
                    self.day = self.month.take();
                }
                set(&mut self.month, i64::from(month))?;
                self.text_month = true;
                Ok(())
            }
            Word::Ignored => Ok(()),
            Word::Weekday => {
                self.weekday = true;
                Ok(())
            }
            Word::Am | Word::Pm => set(&mut self.half, meaning),
            Word::Bc | Word::Ad => set(&mut self.era, meaning),
            Word::Today | Word::Tomorrow | Word::Yesterday => {
                let shift = match meaning {
                    Word::Tomorrow => 1,
                    Word::Yesterday => -1,
                    _ => 0,
                };
                let today = local_now(self.context).div_euclid(DAY_MICROS);
                set(&mut self.whole_days, today + shift)
            }
            Word::AllBalls => {
                self.zone = Some(TimeZone::Fixed(0));
                set(&mut self.time, (0, 0, 0))
            }
            Word::Dst => match self.zone {
                Some(TimeZone::Fixed(seconds)) => {
                    self.zone = Some(TimeZone::Fixed(seconds + 3600));
                    Ok(())
                }
                _ => Err(Failure::Format),
            },
            Word::Julian
            | Word::TimeFollows
            | Word::Now
            | Word::Epoch
            | Word::Infinity
            | Word::NegInfinity => Err(Failure::Format),
        }
    }

    fn zone_word(&mut self, text: &str) -> Step {
        let zone = abbreviations::offset_of(text)
            .map(TimeZone::Fixed)
            .or_else(|| TimeZone::parse(text).filter(|_| text.len() > 2))
            .ok_or(Failure::Format)?;
        set(&mut self.zone, zone)
    }

    fn zone_field(&mut self, text: &str) -> Step {
        let valid = text.bytes().skip(1).all(|b| b.is_ascii_digit() || b == b':');
        if !valid || (self.time.is_none() && !self.has_date() && !self.time_only) {
            return Err(Failure::Format);
        }
        let zone = match TimeZone::parse_offset(text) {
            Some(zone @ TimeZone::Fixed(seconds)) if seconds.abs() < 16 * 3600 => zone,
            _ => return Err(Failure::Zone),
        };
        set(&mut self.zone, zone)
    }

    fn time_field(&mut self, text: &str) -> Step {
        let (hour, minute, micros) = clock(text).ok_or(Failure::Format)?;
        if minute > 59 || micros > 60 * SECOND_MICROS {
            return Err(Failure::Overflow);
        }
        set(&mut self.time, (hour, minute, micros))
    }

    fn date_field(&mut self, text: &str) -> Step {
        let have_month_and_day = self.whole_days.is_some()
            || (self.month.is_some() && self.day.is_some())
            || self.day_of_year.is_some()
            || (self.time_only && self.alone);
        let starts_with_digit = text.starts_with(|c: char| c.is_ascii_digit());
        if !have_month_and_day && (starts_with_digit || !self.is_zone_name(text)) {
            return self.date_parts(text);
        }
        if starts_with_digit {
            // hhmmss-zz
            let (time, zone) = text.split_once('-').ok_or(Failure::Format)?;
            self.zone_field(&format!("-{zone}"))?;
            return self.digits_of_time(time);
        }
        match TimeZone::parse(text) {
            Some(zone) => set(&mut self.zone, zone),
            None => Err(Failure::UnknownZone(text.to_owned())),
        }
    }

    fn is_zone_name(&self, text: &str) -> bool {
        self.time.is_some() && TimeZone::parse(text).is_some()
    }

    /// A date in one field: `1999-01-08`, `jan-8-1999`, `8.1.1999`.
    fn date_parts(&mut self, text: &str) -> Step {
        // PostgreSQL does not take such a date behind the time or the name of the day.
        if self.time.is_some() || self.weekday {
            return Err(Failure::Format);
        }
        let mut parts: Vec<&str> = Vec::new();
        let mut rest = text;
        while let Some(first) = rest.chars().next() {
            if !first.is_ascii_alphanumeric() {
                rest = &rest[first.len_utf8()..];
                continue;
            }
            let same = |c: char| c.is_ascii_digit() == first.is_ascii_digit();
            let end =
                rest.find(|c: char| !(c.is_ascii_alphanumeric() && same(c))).unwrap_or(rest.len());
            parts.push(&rest[..end]);
            rest = &rest[end..];
        }
        for part in &parts {
            if part.starts_with(|c: char| c.is_ascii_alphabetic()) {
                match word(part) {
                    Some(Word::Month(month)) => {
                        set(&mut self.month, i64::from(month))?;
                        self.text_month = true;
                    }
                    Some(Word::Ignored | Word::Weekday) => {}
                    _ => return Err(Failure::Format),
                }
            }
        }
        for part in parts {
            if part.starts_with(|c: char| c.is_ascii_digit()) {
                self.date_number(part)?;
            }
        }
        if self.has_date() || self.day_of_year.is_some() { Ok(()) } else { Err(Failure::Format) }
    }

    fn number_field(&mut self, text: &str) -> Step {
        let point = text.find('.');
        if let Some(point) = point {
            // yyyy.ddd is a date of which the rest follows; hhmmss.fff is a time.
            let no_date = self.year.is_none() && self.month.is_none() && self.day.is_none();
            if no_date && self.whole_days.is_none() && !self.time_only {
                return self.date_parts(text);
            }
            if point <= 2 {
                return Err(Failure::Format);
            }
            return self.digits_of_time(text);
        }
        if self.time_only && self.time.is_none() && matches!(text.len(), 4 | 6) {
            return self.digits_of_time(text);
        }
        if text.len() >= 6 && (!self.has_date() || self.time.is_none()) {
            if self.has_date() { self.digits_of_time(text) } else { self.digits_of_date(text) }
        } else {
            self.date_number(text)
        }
    }

    /// `yyyymmdd` or `yymmdd`.
    fn digits_of_date(&mut self, text: &str) -> Step {
        let (year, rest) = text.split_at(text.len() - 4);
        let number = |text: &str| text.parse::<i64>().map_err(|_| Failure::Overflow);
        set(&mut self.year, number(year)?)?;
        set(&mut self.month, number(&rest[..2])?)?;
        set(&mut self.day, number(&rest[2..])?)?;
        self.two_digit_year = year.len() == 2;
        Ok(())
    }

    /// `hhmmss[.fff]` or `hhmm`.
    fn digits_of_time(&mut self, text: &str) -> Step {
        let (digits, fraction) = match text.split_once('.') {
            Some((digits, fraction)) => (digits, fraction_micros(fraction)),
            None => (text, Some(0)),
        };
        let plain = digits.bytes().all(|b| b.is_ascii_digit());
        let fraction = fraction.filter(|_| plain).ok_or(Failure::Format)?;
        let number = |text: &str| text.parse::<i64>().map_err(|_| Failure::Format);
        let time = match digits.len() {
            6 => {
                let seconds = number(&digits[4..])?;
                (number(&digits[..2])?, number(&digits[2..4])?, seconds * SECOND_MICROS + fraction)
            }
            4 => (number(&digits[..2])?, number(&digits[2..])?, 0),
            _ => return Err(Failure::Format),
        };
        if time.1 > 59 || time.2 > 60 * SECOND_MICROS {
            return Err(Failure::Overflow);
        }
        set(&mut self.time, time)
    }

    /// One number of a date; what it is depends on what is known already.
    fn date_number(&mut self, text: &str) -> Step {
        if self.has_date() {
            return self.digits_of_time(text);
        }
        let value: i64 = text.parse().map_err(|_| Failure::Overflow)?;
        let len = text.len();
        let order = self.context.date_order;
        if len == 3
            && self.year.is_some()
            && self.month.is_none()
            && self.day.is_none()
            && (1..=366).contains(&value)
        {
            return set(&mut self.day_of_year, value);
        }
        match (self.year.is_some(), self.month.is_some(), self.day.is_some()) {
            (false, false, false) if len >= 3 || order == DateOrder::Ymd => {
                self.set_year(value, len)
            }
            (false, false, false) if order == DateOrder::Dmy => set(&mut self.day, value),
            (false, false, false) => set(&mut self.month, value),
            (true, false, false) | (false, false, true) => set(&mut self.month, value),
            (false, true, false) if self.text_month => {
                if len >= 3 || order == DateOrder::Ymd {
                    self.set_year(value, len)
                } else {
                    set(&mut self.day, value)
                }
            }
            (false, true, false) => set(&mut self.day, value),
            (true, true, false) => {
                if self.text_month && len >= 3 && self.two_digit_year {
                    // The number taken for a year was the day.
                    self.day = self.year.take();
                    return self.set_year(value, len);
                }
                set(&mut self.day, value)
            }
            (false, true, true) => self.set_year(value, len),
            (true, true, true) | (true, false, true) => Err(Failure::Format),
        }
    }

    fn set_year(&mut self, value: i64, len: usize) -> Step {
        self.two_digit_year = len <= 2;
        set(&mut self.year, value)
    }

    fn julian(&mut self, text: &str) -> Step {
        let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
        let day: i64 = whole.parse().map_err(|_| Failure::Format)?;
        set(&mut self.whole_days, day - UNIX_JULIAN_DAY)?;
        if !fraction.is_empty() {
            let part: f64 = format!("0.{fraction}").parse().map_err(|_| Failure::Format)?;
            set(&mut self.time, (0, 0, (part * DAY_MICROS as f64).round_ties_even() as i64))?;
        }
        Ok(())
    }

    fn finish(&mut self) -> Step<Moment> {
        let time = self.finish_time()?;
        if self.time_only && self.year.is_none() && self.month.is_none() && self.day.is_none() {
            if self.whole_days.is_none() && matches!(self.zone, Some(TimeZone::Named(_))) {
                // Its offset is not known without a date.
                return Err(Failure::Format);
            }
            let days = self.whole_days.unwrap_or(i64::from(EPOCH_SHIFT_DAYS));
            return Ok(Moment { days, time, zone: self.zone });
        }
        let days = match self.whole_days {
            Some(days) => {
                if self.year.is_some() || self.month.is_some() || self.day.is_some() {
                    return Err(Failure::Format);
                }
                days
            }
            None => self.finish_date()?,
        };
        Ok(Moment { days, time, zone: self.zone })
    }

    fn finish_date(&mut self) -> Step<i64> {
        // PostgreSQL complains about a bad month before it misses a year.
        let bad = |part: Option<i64>, most| part.is_some_and(|part| !(1..=most).contains(&part));
        let bad_month_or_day = bad(self.month, 12) || bad(self.day, 31);
        let Some(year) = self.year else {
            return Err(if bad_month_or_day { Failure::MonthDay } else { Failure::Format });
        };
        let year = match (self.era, year) {
            (Some(Word::Bc), year) if year <= 0 => return Err(Failure::Overflow),
            (Some(Word::Bc), year) => 1 - year,
            (_, year) if self.two_digit_year && year < 70 => year + 2000,
            (_, year) if self.two_digit_year => year + 1900,
            (_, year) if year <= 0 => return Err(Failure::Overflow),
            (_, year) => year,
        };
        if year > 10_000_000 {
            return Err(Failure::Overflow);
        }
        if bad_month_or_day {
            return Err(Failure::MonthDay);
        }
        if let Some(day_of_year) = self.day_of_year {
            return Ok(days_from_civil(year, 1, 1) + day_of_year - 1);
        }
        let (Some(month), Some(day)) = (self.month, self.day) else {
            return Err(Failure::Format);
        };
        if day as u32 > days_in_month(year, month as u32) {
            return Err(Failure::Overflow);
        }
        Ok(days_from_civil(year, month as u32, day as u32))
    }

    fn finish_time(&self) -> Step<Option<i64>> {
        let Some((mut hour, minute, micros)) = self.time else {
            return if self.half.is_some() { Err(Failure::Format) } else { Ok(None) };
        };
        if self.half.is_some() && hour > 12 {
            return Err(Failure::Overflow);
        }
        match self.half {
            Some(Word::Am) if hour == 12 => hour = 0,
            Some(Word::Pm) if hour != 12 => hour += 12,
            _ => {}
        }
        if hour > 24 {
            return Err(Failure::Overflow);
        }
        let time = hour * HOUR_MICROS + minute * MINUTE_MICROS + micros;
        if time > DAY_MICROS {
            return Err(Failure::Overflow);
        }
        Ok(Some(time))
    }
}

/// Each part may come once.
fn set<T>(slot: &mut Option<T>, value: T) -> Step {
    if slot.is_some() {
        return Err(Failure::Format);
    }
    *slot = Some(value);
    Ok(())
}
