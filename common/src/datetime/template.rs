//! `to_char` of timestamps and intervals: templates such as `YYYY-MM-DD HH24:MI:SS`.

use crate::datum::Interval;

use super::TimeZone;
use super::calendar::{
    Civil, HOUR_MICROS, MINUTE_MICROS, SECOND_MICROS, UNIX_JULIAN_DAY, day_of_week, day_of_year,
    days_from_civil, is_finite_timestamp, iso_week,
};
use super::format::push_offset;

pub(super) const DAY_NAMES: [&str; 7] =
    ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];
pub(super) const MONTH_NAMES: [&str; 12] = [
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
pub(super) const ROMAN_MONTHS: [&str; 12] =
    ["I", "II", "III", "IV", "V", "VI", "VII", "VIII", "IX", "X", "XI", "XII"];

/// A template keyword.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Key {
    /// With dots: A.M., P.M.
    HalfDotted,
    Half,
    /// With dots: A.D., B.C.
    EraDotted,
    Era,
    Century,
    DayName,
    DayOfYear,
    IsoDayOfYear,
    Day,
    DayAbbreviation,
    DayOfWeek,
    IsoDayOfWeek,
    Fraction(u32),
    FixedFormat,
    Hour24,
    Hour12,
    IsoWeek,
    /// Number of digits: IYYY, IYY, IY, I.
    IsoYear(u32),
    Julian,
    Minute,
    MonthName,
    MonthAbbreviation,
    Month,
    Milliseconds,
    ZoneOffset,
    Quarter,
    RomanMonth,
    SecondOfDay,
    Second,
    ZoneHour,
    ZoneMinute,
    ZoneName,
    Microseconds,
    WeekOfYear,
    WeekOfMonth,
    YearWithComma,
    /// Number of digits: YYYY, YYY, YY, Y.
    Year(u32),
}

/// Longest first among those that begin alike.
const KEYS: &[(&str, Key)] = &[
    ("A.D.", Key::EraDotted),
    ("A.M.", Key::HalfDotted),
    ("AD", Key::Era),
    ("AM", Key::Half),
    ("B.C.", Key::EraDotted),
    ("BC", Key::Era),
    ("CC", Key::Century),
    ("DAY", Key::DayName),
    ("DDD", Key::DayOfYear),
    ("DD", Key::Day),
    ("DY", Key::DayAbbreviation),
    ("D", Key::DayOfWeek),
    ("FF1", Key::Fraction(1)),
    ("FF2", Key::Fraction(2)),
    ("FF3", Key::Fraction(3)),
    ("FF4", Key::Fraction(4)),
    ("FF5", Key::Fraction(5)),
    ("FF6", Key::Fraction(6)),
    ("FX", Key::FixedFormat),
    ("HH24", Key::Hour24),
    ("HH12", Key::Hour12),
    ("HH", Key::Hour12),
    ("IDDD", Key::IsoDayOfYear),
    ("ID", Key::IsoDayOfWeek),
    ("IW", Key::IsoWeek),
    ("IYYY", Key::IsoYear(4)),
    ("IYY", Key::IsoYear(3)),
    ("IY", Key::IsoYear(2)),
    ("I", Key::IsoYear(1)),
    ("J", Key::Julian),
    ("MI", Key::Minute),
    ("MM", Key::Month),
    ("MONTH", Key::MonthName),
    ("MON", Key::MonthAbbreviation),
    ("MS", Key::Milliseconds),
    ("OF", Key::ZoneOffset),
    ("P.M.", Key::HalfDotted),
    ("PM", Key::Half),
    ("Q", Key::Quarter),
    ("RM", Key::RomanMonth),
    ("SSSSS", Key::SecondOfDay),
    ("SSSS", Key::SecondOfDay),
    ("SS", Key::Second),
    ("TZH", Key::ZoneHour),
    ("TZM", Key::ZoneMinute),
    ("TZ", Key::ZoneName),
    ("US", Key::Microseconds),
    ("WW", Key::WeekOfYear),
    ("W", Key::WeekOfMonth),
    ("Y,YYY", Key::YearWithComma),
    ("YYYY", Key::Year(4)),
    ("YYY", Key::Year(3)),
    ("YY", Key::Year(2)),
    ("Y", Key::Year(1)),
];

/// How a word is written, from how its keyword is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Case {
    Upper,
    Capital,
    Lower,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Node {
    Field {
        key: Key,
        case: Case,
        /// FM: no padding.
        fill: bool,
        /// TH or th behind it.
        ordinal: Option<Case>,
        /// As written, for messages.
        name: String,
    },
    Literal(char),
}

/// Splits a template into keywords and literal characters.
pub(super) fn parse_template(template: &str) -> Vec<Node> {
    let mut nodes = Vec::new();
    let mut rest = template;
    let (mut fill, mut translated) = (false, false);
    while let Some(first) = rest.chars().next() {
        if let Some(after) = strip_either(rest, "FM") {
            fill = true;
            rest = after;
            continue;
        }
        if let Some(after) = strip_either(rest, "TM") {
            // Names in the session's language: English, and without padding.
            translated = true;
            rest = after;
            continue;
        }
        if let Some((key, length)) = keyword(rest) {
            let name = &rest[..length];
            rest = &rest[length..];
            let mut ordinal = None;
            if let Some(after) = rest.strip_prefix("TH") {
                (ordinal, rest) = (Some(Case::Upper), after);
            } else if let Some(after) = rest.strip_prefix("th") {
                (ordinal, rest) = (Some(Case::Lower), after);
            } else if let Some(after) = strip_either(rest, "SP") {
                rest = after;
            }
            nodes.push(Node::Field {
                key,
                case: case_of(name),
                fill: fill || (translated && is_name(key)),
                ordinal,
                name: name.to_owned(),
            });
            (fill, translated) = (false, false);
            continue;
        }
        (fill, translated) = (false, false);
        if first == '"' {
            rest = quoted(&rest[1..], &mut nodes);
            continue;
        }
        let (literal, after) = match rest.strip_prefix("\\\"") {
            Some(after) => ('"', after),
            None => (first, &rest[first.len_utf8()..]),
        };
        nodes.push(Node::Literal(literal));
        rest = after;
    }
    nodes
}

/// Takes literal text up to the closing quote.
fn quoted<'a>(text: &'a str, nodes: &mut Vec<Node>) -> &'a str {
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return &text[at + 1..],
            '\\' => {
                if let Some((_, escaped)) = chars.next() {
                    nodes.push(Node::Literal(escaped));
                }
            }
            _ => nodes.push(Node::Literal(c)),
        }
    }
    ""
}

/// Without a prefix in upper or lower case.
fn strip_either<'a>(text: &'a str, prefix: &str) -> Option<&'a str> {
    text.strip_prefix(prefix).or_else(|| text.strip_prefix(prefix.to_ascii_lowercase().as_str()))
}

fn keyword(text: &str) -> Option<(Key, usize)> {
    KEYS.iter().find_map(|(name, key)| {
        let candidate = text.get(..name.len())?;
        let lower = name.to_ascii_lowercase();
        let capital =
            || is_name(*key) && candidate[..1] == name[..1] && candidate[1..] == lower[1..];
        (candidate == *name || candidate == lower || capital()).then_some((*key, name.len()))
    })
}

/// Names of days and months, which come in three cases and may be translated.
fn is_name(key: Key) -> bool {
    matches!(key, Key::DayName | Key::DayAbbreviation | Key::MonthName | Key::MonthAbbreviation)
}

fn case_of(name: &str) -> Case {
    let mut letters = name.chars().filter(char::is_ascii_alphabetic);
    match (letters.next(), letters.next()) {
        (Some(first), _) if first.is_ascii_lowercase() => Case::Lower,
        (Some(_), Some(second)) if second.is_ascii_lowercase() => Case::Capital,
        _ => Case::Upper,
    }
}

/// What a template can show.
struct Shown {
    year: i64,
    month: i64,
    day: i64,
    hour: i64,
    minute: i64,
    second: i64,
    micros: i64,
    /// Days since 1970, and day of the year.
    days: i64,
    day_of_year: i64,
    is_interval: bool,
    zone: Option<(i32, String)>,
}

impl Shown {
    fn of_civil(civil: &Civil) -> Self {
        Self {
            year: civil.year,
            month: i64::from(civil.month),
            day: i64::from(civil.day),
            hour: civil.hour(),
            minute: civil.minute(),
            second: civil.second(),
            micros: civil.fraction(),
            days: civil.days(),
            day_of_year: day_of_year(civil.year, civil.month, civil.day),
            is_interval: false,
            zone: None,
        }
    }

    /// Years as people count them: 1 BC is 1.
    fn shown_year(&self) -> i64 {
        if self.is_interval || self.year > 0 { self.year } else { 1 - self.year }
    }
}

/// `to_char(timestamp, text)`; `None` (NULL) for the infinities and for an empty template.
pub fn timestamp_to_char(micros: i64, template: &str) -> Option<String> {
    (is_finite_timestamp(micros) && !template.is_empty())
        .then(|| render(template, &Shown::of_civil(&Civil::from_micros(micros))))
}

/// `to_char(timestamptz, text)` on the clock of the zone.
pub fn timestamptz_to_char(micros: i64, zone: &TimeZone, template: &str) -> Option<String> {
    if !is_finite_timestamp(micros) || template.is_empty() {
        return None;
    }
    let local = zone.to_local(micros)?;
    let mut shown = Shown::of_civil(&Civil::from_micros(local));
    let name = zone.abbreviation_at(micros).unwrap_or_default();
    shown.zone = Some((zone.offset_at(micros), name));
    Some(render(template, &shown))
}

/// `to_char(interval, text)`
pub fn interval_to_char(value: Interval, template: &str) -> Option<String> {
    if template.is_empty() {
        return None;
    }
    let (year, month) = (i64::from(value.months / 12), i64::from(value.months % 12));
    let day = i64::from(value.days);
    let day_of_year = (year * 12 + month) * 30 + day;
    let shown = Shown {
        year,
        month,
        day,
        hour: value.micros / HOUR_MICROS,
        minute: value.micros / MINUTE_MICROS % 60,
        second: value.micros / SECOND_MICROS % 60,
        micros: value.micros % SECOND_MICROS,
        days: day_of_year,
        day_of_year,
        is_interval: true,
        zone: None,
    };
    Some(render(template, &shown))
}

fn render(template: &str, shown: &Shown) -> String {
    let mut out = String::with_capacity(template.len() * 2);
    for node in parse_template(template) {
        match node {
            Node::Literal(c) => out.push(c),
            Node::Field { key, case, fill, ordinal, .. } => {
                let start = out.len();
                render_field(key, case, fill, shown, &mut out);
                let digits = out[start..].ends_with(|c: char| c.is_ascii_digit());
                if let Some(case) = ordinal.filter(|_| digits) {
                    let suffix = ordinal_suffix(&out[start..]);
                    match case {
                        Case::Lower => out.push_str(suffix),
                        _ => out.push_str(&suffix.to_ascii_uppercase()),
                    }
                }
            }
        }
    }
    out
}

pub(crate) fn ordinal_suffix(number: &str) -> &'static str {
    let bytes = number.as_bytes();
    let last = bytes.last().copied().unwrap_or(b'0');
    let teens = bytes.len() >= 2 && bytes[bytes.len() - 2] == b'1';
    match last {
        _ if teens => "th",
        b'1' => "st",
        b'2' => "nd",
        b'3' => "rd",
        _ => "th",
    }
}

fn cased(text: &str, case: Case) -> String {
    match case {
        Case::Upper => text.to_ascii_uppercase(),
        Case::Lower => text.to_ascii_lowercase(),
        Case::Capital => text.to_owned(),
    }
}

fn render_field(key: Key, case: Case, fill: bool, shown: &Shown, out: &mut String) {
    // As C's %0*d a minus sign takes a place; most fields get one more for it.
    let room_for_sign = matches!(
        key,
        Key::Hour24
            | Key::Hour12
            | Key::Minute
            | Key::Second
            | Key::Month
            | Key::Century
            | Key::Year(4)
    );
    let mut number = |value: i64, width: usize| {
        let extra = usize::from(value < 0 && room_for_sign);
        let width = if fill { 0 } else { width + extra };
        out.push_str(&format!("{value:0width$}"));
    };
    match key {
        Key::Hour24 => number(shown.hour, 2),
        Key::Hour12 => {
            let hour = shown.hour % 12;
            number(if hour == 0 { 12 } else { hour }, 2);
        }
        Key::Minute => number(shown.minute, 2),
        Key::Second => number(shown.second, 2),
        Key::SecondOfDay => {
            out.push_str(&(shown.hour * 3600 + shown.minute * 60 + shown.second).to_string());
        }
        Key::Fraction(digits) => {
            let value = shown.micros / 10i64.pow(6 - digits);
            out.push_str(&format!("{value:0width$}", width = digits as usize));
        }
        Key::Milliseconds => out.push_str(&format!("{:03}", shown.micros / 1000)),
        Key::Microseconds => out.push_str(&format!("{:06}", shown.micros)),
        Key::Month => number(shown.month, 2),
        Key::Day => number(shown.day, 2),
        Key::DayOfYear => number(shown.day_of_year, 3),
        Key::DayOfWeek => number(day_of_week(shown.days) + 1, 1),
        Key::IsoDayOfWeek => number((day_of_week(shown.days) + 6) % 7 + 1, 1),
        Key::IsoDayOfYear => {
            let (year, week) = iso_week(shown.days);
            let start = super::calendar::iso_week_start(year, 1);
            let _ = week;
            number(shown.days - start + 1, 3);
        }
        Key::WeekOfYear => number((shown.day_of_year - 1) / 7 + 1, 2),
        Key::WeekOfMonth => number((shown.day - 1) / 7 + 1, 1),
        Key::IsoWeek => number(iso_week(shown.days).1, 2),
        Key::Quarter if shown.month == 0 => {}
        Key::Quarter => number((shown.month - 1) / 3 + 1, 1),
        Key::Century => {
            let year = shown.year;
            let century = if shown.is_interval {
                year / 100
            } else if year > 0 {
                (year - 1) / 100 + 1
            } else {
                year / 100 - 1
            };
            number(century, if century.abs() <= 99 { 2 } else { 0 });
        }
        Key::YearWithComma => {
            let year = shown.shown_year();
            out.push_str(&format!("{},{:03}", year / 1000, year % 1000));
        }
        Key::Year(4) => number(shown.shown_year(), 4),
        Key::Year(digits) => {
            number(shown.shown_year() % 10i64.pow(digits), digits as usize);
        }
        Key::IsoYear(digits) => {
            let year = if shown.is_interval { shown.year } else { iso_week(shown.days).0 };
            let year = if shown.is_interval || year > 0 { year } else { 1 - year };
            match digits {
                4 => number(year, 4),
                _ => number(year % 10i64.pow(digits), digits as usize),
            }
        }
        Key::Julian => {
            let days = if shown.is_interval {
                days_from_civil(shown.year, shown.month.clamp(1, 12) as u32, 1) + shown.day - 1
            } else {
                shown.days
            };
            out.push_str(&(days + UNIX_JULIAN_DAY).to_string());
        }
        _ => render_word(key, case, fill, shown, out),
    }
}

fn render_word(key: Key, case: Case, fill: bool, shown: &Shown, out: &mut String) {
    let mut padded = |text: &str, width: usize| {
        let width = if fill { 0 } else { width };
        out.push_str(&format!("{:width$}", cased(text, case)));
    };
    let afternoon = shown.hour.rem_euclid(24) >= 12;
    match key {
        Key::Half => padded(if afternoon { "PM" } else { "AM" }, 0),
        Key::HalfDotted => padded(if afternoon { "P.M." } else { "A.M." }, 0),
        Key::Era => padded(if shown.year <= 0 { "BC" } else { "AD" }, 0),
        Key::EraDotted => padded(if shown.year <= 0 { "B.C." } else { "A.D." }, 0),
        Key::DayName => padded(DAY_NAMES[day_of_week(shown.days) as usize], 9),
        Key::DayAbbreviation => padded(&DAY_NAMES[day_of_week(shown.days) as usize][..3], 0),
        Key::MonthName | Key::MonthAbbreviation | Key::RomanMonth => {
            // An interval may have no month, or a negative one.
            let index = match shown.month {
                0 => return,
                month if month > 0 => month - 1,
                month => 12 + month,
            };
            let index = (index as usize).min(11);
            match key {
                Key::MonthName => padded(MONTH_NAMES[index], 9),
                Key::MonthAbbreviation => padded(&MONTH_NAMES[index][..3], 0),
                _ => padded(ROMAN_MONTHS[index], 4),
            }
        }
        Key::ZoneName => {
            if let Some((_, name)) = &shown.zone {
                padded(name, 0);
            }
        }
        Key::ZoneOffset => {
            let offset = shown.zone.as_ref().map_or(0, |(offset, _)| *offset);
            let mut text = String::new();
            push_offset(offset / 60 * 60, &mut text);
            out.push_str(&text);
        }
        Key::ZoneHour => {
            let offset = shown.zone.as_ref().map_or(0, |(offset, _)| *offset);
            let sign = if offset < 0 { '-' } else { '+' };
            out.push_str(&format!("{sign}{:02}", offset.abs() / 3600));
        }
        Key::ZoneMinute => {
            let offset = shown.zone.as_ref().map_or(0, |(offset, _)| *offset);
            out.push_str(&format!("{:02}", offset.abs() / 60 % 60));
        }
        _ => {}
    }
}
