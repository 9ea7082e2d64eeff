//! Time zones.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::LazyLock;

use chrono::{DateTime, Offset, TimeZone as _, Utc};
use chrono_tz::{OffsetComponents, OffsetName, TZ_VARIANTS, Tz};

use super::abbreviations;
use super::calendar::{Civil, SECOND_MICROS, day_of_week, days_from_civil, is_leap_year};

/// What the setting `TimeZone` and `AT TIME ZONE` name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimeZone {
    Named(Tz),
    /// Seconds east of UTC.
    Fixed(i32),
}

/// Names in lower case.
static ZONES: LazyLock<BTreeMap<String, Tz>> =
    LazyLock::new(|| TZ_VARIANTS.iter().map(|tz| (tz.name().to_ascii_lowercase(), *tz)).collect());

/// Years before this are taken as this one, when no zone had rules.
const FIRST_YEAR: i64 = -9999;
/// The zone tables list every change up to this year; the rules then in force go on for ever.
const LAST_LISTED_YEAR: i64 = 2037;

/// Instants from the year 1 that need no moving, up to the end of 2036.
const LISTED: std::ops::Range<i64> = -62_135_596_800 * SECOND_MICROS..2_114_380_800 * SECOND_MICROS;

impl TimeZone {
    pub const UTC: Self = Self::Named(Tz::UTC);

    /// Every zone that has a name.
    pub fn all() -> impl Iterator<Item = (&'static str, Self)> {
        TZ_VARIANTS.iter().map(|tz| (tz.name(), Self::Named(*tz)))
    }

    /// What `AT TIME ZONE` and input accept: a name as `America/New_York` in any case, an
    /// abbreviation as `EST`, or a POSIX form as `UTC+3` or just `+3`, which is *west* of UTC.
    pub fn parse(name: &str) -> Option<Self> {
        let name = name.trim();
        // EST is the offset, not the zone of that name with its history.
        abbreviations::offset_of(name)
            .map(Self::Fixed)
            .or_else(|| Self::named(name))
            .or_else(|| Self::posix(name))
    }

    /// An offset as ISO 8601 has it: `+02:30` is east of UTC.
    pub fn parse_offset(text: &str) -> Option<Self> {
        displacement(text).map(Self::Fixed)
    }

    /// What `SET TimeZone` accepts: names come before abbreviations, and a bare number is hours
    /// east of UTC.
    pub fn parse_setting(name: &str) -> Option<Self> {
        let name = name.trim().trim_matches('\'');
        if let Ok(hours) = name.parse::<f64>() {
            return (hours.abs() < 168.0).then_some(Self::Fixed((hours * 3600.0) as i32));
        }
        Self::named(name).or_else(|| Self::posix(name))
    }

    fn named(name: &str) -> Option<Self> {
        ZONES.get(&name.to_ascii_lowercase()).map(|tz| Self::Named(*tz))
    }

    fn posix(name: &str) -> Option<Self> {
        let (letters, rest) = match name.strip_prefix('<') {
            Some(quoted) => quoted.split_once('>')?,
            None => name.split_at(name.find(|c: char| !c.is_ascii_alphabetic())?),
        };
        (letters.is_empty() || letters.len() >= 3).then_some(())?;
        displacement(rest).map(|seconds| Self::Fixed(-seconds))
    }

    /// Seconds east of UTC at an instant in microseconds since 1970 UTC.
    pub fn offset_at(&self, micros: i64) -> i32 {
        match self {
            Self::Fixed(seconds) => *seconds,
            Self::Named(Tz::UTC) => 0,
            Self::Named(tz) => {
                tz.offset_from_utc_datetime(&instant(micros).naive_utc()).fix().local_minus_utc()
            }
        }
    }

    /// Whether daylight-saving time is in force at an instant.
    pub fn is_summer_at(&self, micros: i64) -> bool {
        match self {
            Self::Fixed(_) => false,
            Self::Named(tz) => {
                let offset = tz.offset_from_utc_datetime(&instant(micros).naive_utc());
                !offset.dst_offset().is_zero()
            }
        }
    }

    /// The abbreviation in force at an instant, if the zone has one.
    pub fn abbreviation_at(&self, micros: i64) -> Option<String> {
        match self {
            Self::Fixed(seconds) => {
                let mut name = String::new();
                super::format::push_offset(*seconds, &mut name);
                Some(name)
            }
            Self::Named(tz) => {
                let offset = tz.offset_from_utc_datetime(&instant(micros).naive_utc());
                offset.abbreviation().map(str::to_owned).or_else(|| {
                    let mut digits = String::new();
                    super::format::push_offset(offset.fix().local_minus_utc(), &mut digits);
                    digits.retain(|c| c != ':');
                    Some(digits)
                })
            }
        }
    }

    /// The instant at which the zone's clock shows `local` (microseconds since 1970 on that
    /// clock). A time that a change skips is read with the offset before it, one that comes
    /// twice with the offset after it. `None` on overflow.
    pub fn to_utc(&self, local: i64) -> Option<i64> {
        let zone = match self {
            Self::Fixed(seconds) => {
                return local.checked_sub(i64::from(*seconds) * SECOND_MICROS);
            }
            Self::Named(Tz::UTC) => return Some(local),
            Self::Named(_) => self,
        };
        let day = super::DAY_MICROS;
        let before = i64::from(zone.offset_at(local.saturating_sub(day))) * SECOND_MICROS;
        let after = i64::from(zone.offset_at(local.saturating_add(day))) * SECOND_MICROS;
        let holds = |offset: i64| {
            let utc = local.checked_sub(offset)?;
            (i64::from(zone.offset_at(utc)) * SECOND_MICROS == offset).then_some(utc)
        };
        if before == after {
            return holds(before).or_else(|| local.checked_sub(before));
        }
        holds(after).or_else(|| holds(before)).or_else(|| local.checked_sub(before))
    }

    /// What the zone's clock shows at an instant. `None` on overflow.
    pub fn to_local(&self, utc: i64) -> Option<i64> {
        utc.checked_add(i64::from(self.offset_at(utc)) * SECOND_MICROS)
    }
}

/// The instant to look up in the zone tables. One beyond the listed years is moved into a listed
/// year that has the same calendar.
fn instant(micros: i64) -> DateTime<Utc> {
    if LISTED.contains(&micros) {
        let seconds = micros.div_euclid(SECOND_MICROS);
        return DateTime::from_timestamp(seconds, 0).unwrap_or(DateTime::UNIX_EPOCH);
    }
    let civil = Civil::from_micros(micros);
    let year = match civil.year {
        year if year > LAST_LISTED_YEAR => year_like(year),
        year => year.max(FIRST_YEAR),
    };
    let days = days_from_civil(year, civil.month, civil.day);
    let seconds = days * 86_400 + civil.time / SECOND_MICROS;
    DateTime::from_timestamp(seconds, 0).unwrap_or(DateTime::UNIX_EPOCH)
}

/// The last listed year that is as long and starts on the same weekday.
fn year_like(year: i64) -> i64 {
    let start = |year| (day_of_week(days_from_civil(year, 1, 1)), is_leap_year(year));
    let wanted = start(year);
    (LAST_LISTED_YEAR - 27..=LAST_LISTED_YEAR)
        .rev()
        .find(|candidate| start(*candidate) == wanted)
        .unwrap_or(LAST_LISTED_YEAR)
}

/// `+hh`, `-hhmm`, `+hh:mm`, `+hh:mm:ss`, or without a sign; seconds.
fn displacement(text: &str) -> Option<i32> {
    let (negative, body) = match text.as_bytes().first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    let mut parts = body.split(':');
    let first = parts.next()?;
    let number = |part: &str| {
        let plain = !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
        plain.then(|| part.parse::<i32>().ok()).flatten()
    };
    let (hours, minutes) = match (number(first)?, parts.next()) {
        (value, None) if first.len() > 2 => (value / 100, value % 100),
        (hours, None) => (hours, 0),
        (hours, Some(minutes)) => (hours, number(minutes)?),
    };
    let seconds = parts.next().map_or(Some(0), number)?;
    let valid = parts.next().is_none() && hours <= 167 && minutes < 60 && seconds < 60;
    let total = hours * 3600 + minutes * 60 + seconds;
    valid.then_some(if negative { -total } else { total })
}

impl fmt::Display for TimeZone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Named(tz) => f.write_str(tz.name()),
            Self::Fixed(seconds) => {
                let sign = |east: bool| if east { '+' } else { '-' };
                let magnitude = seconds.unsigned_abs();
                let mut text = format!("{:02}", magnitude / 3600);
                if magnitude % 3600 != 0 {
                    text.push_str(&format!(":{:02}", magnitude / 60 % 60));
                }
                // As PostgreSQL shows it: a POSIX zone, whose sign is the other way round.
                write!(f, "<{}{text}>{}{text}", sign(*seconds >= 0), sign(*seconds < 0))
            }
        }
    }
}
