//! The calendar: days to years and back, and what the types can hold.

pub const SECOND_MICROS: i64 = 1_000_000;
pub const MINUTE_MICROS: i64 = 60 * SECOND_MICROS;
pub const HOUR_MICROS: i64 = 60 * MINUTE_MICROS;
pub const DAY_MICROS: i64 = 24 * HOUR_MICROS;

/// Days from 1970-01-01 to PostgreSQL's epoch, 2000-01-01.
pub const EPOCH_SHIFT_DAYS: i32 = 10_957;
/// Microseconds from 1970-01-01 to PostgreSQL's epoch, 2000-01-01.
pub const EPOCH_SHIFT_MICROS: i64 = EPOCH_SHIFT_DAYS as i64 * DAY_MICROS;

/// 4714-11-24 BC, Julian day 0: the first day of date and timestamp.
pub const MIN_DAY: i64 = -2_440_588;
/// 5874897-12-31, the last day of date.
pub const MAX_DAY: i64 = 2_145_042_905;
/// Julian day of 1970-01-01.
pub const UNIX_JULIAN_DAY: i64 = 2_440_588;

pub const DATE_INFINITY: i32 = i32::MAX;
pub const DATE_NEG_INFINITY: i32 = i32::MIN;
pub const TIMESTAMP_INFINITY: i64 = i64::MAX;
pub const TIMESTAMP_NEG_INFINITY: i64 = i64::MIN;

/// Whether `micros` is a finite timestamp that the type can hold.
pub fn is_valid_timestamp(micros: i64) -> bool {
    micros >= MIN_DAY * DAY_MICROS && micros != TIMESTAMP_INFINITY
}

pub fn is_finite_timestamp(micros: i64) -> bool {
    micros != TIMESTAMP_INFINITY && micros != TIMESTAMP_NEG_INFINITY
}

pub fn is_finite_date(days: i32) -> bool {
    days != DATE_INFINITY && days != DATE_NEG_INFINITY
}

/// A point on the civil calendar, to the microsecond.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Civil {
    /// Astronomical: 0 is 1 BC.
    pub year: i64,
    /// 1 to 12.
    pub month: u32,
    /// 1 to 31.
    pub day: u32,
    /// Microseconds since midnight.
    pub time: i64,
}

impl Civil {
    /// From microseconds since 1970-01-01 of the same clock; finite.
    pub fn from_micros(micros: i64) -> Self {
        let (year, month, day) = civil_from_days(micros.div_euclid(DAY_MICROS));
        Self { year, month, day, time: micros.rem_euclid(DAY_MICROS) }
    }

    /// `None` when a timestamp cannot hold it.
    pub fn to_micros(self) -> Option<i64> {
        days_from_civil(self.year, self.month, self.day)
            .checked_mul(DAY_MICROS)?
            .checked_add(self.time)
            .filter(|micros| is_valid_timestamp(*micros))
    }

    pub fn hour(&self) -> i64 {
        self.time / HOUR_MICROS
    }

    pub fn minute(&self) -> i64 {
        self.time / MINUTE_MICROS % 60
    }

    pub fn second(&self) -> i64 {
        self.time / SECOND_MICROS % 60
    }

    /// Microseconds behind the full second.
    pub fn fraction(&self) -> i64 {
        self.time % SECOND_MICROS
    }

    pub fn days(&self) -> i64 {
        days_from_civil(self.year, self.month, self.day)
    }
}

/// Days since 1970-01-01 of a date of the proleptic Gregorian calendar. Years are counted from
/// March, so that the leap day comes last.
pub fn days_from_civil(year: i64, month: u32, day: u32) -> i64 {
    let year = year - i64::from(month <= 2);
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let month_from_march = (i64::from(month) + 9) % 12;
    let day_of_year = (153 * month_from_march + 2) / 5 + i64::from(day) - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

/// The inverse of [`days_from_civil`].
pub fn civil_from_days(days: i64) -> (i64, u32, u32) {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = (day_of_year - (153 * month_from_march + 2) / 5 + 1) as u32;
    let month = ((month_from_march + 2) % 12 + 1) as u32;
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

pub fn is_leap_year(year: i64) -> bool {
    year.rem_euclid(4) == 0 && (year.rem_euclid(100) != 0 || year.rem_euclid(400) == 0)
}

pub fn days_in_month(year: i64, month: u32) -> u32 {
    match month {
        2 if is_leap_year(year) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// 0 is Sunday.
pub fn day_of_week(days: i64) -> i64 {
    (days + 4).rem_euclid(7)
}

/// 1 is 1 January.
pub fn day_of_year(year: i64, month: u32, day: u32) -> i64 {
    days_from_civil(year, month, day) - days_from_civil(year, 1, 1) + 1
}

/// ISO 8601 year and week of a day.
pub fn iso_week(days: i64) -> (i64, i64) {
    // The week belongs to the year that its Thursday is in.
    let thursday = days - (day_of_week(days) + 6) % 7 + 3;
    let (year, _, _) = civil_from_days(thursday);
    (year, (thursday - days_from_civil(year, 1, 1)) / 7 + 1)
}

/// Monday of an ISO week.
pub fn iso_week_start(year: i64, week: i64) -> i64 {
    let fourth = days_from_civil(year, 1, 4);
    fourth - (day_of_week(fourth) + 6) % 7 + (week - 1) * 7
}
