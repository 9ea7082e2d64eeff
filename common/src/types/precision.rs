//! Types of time with fewer digits of a second: `timestamp(3)`, `interval(0)`.
//!
//! Values lie as those of the type without precision do; only what brings a value to such a type
//! (casts, assignments, input) rounds. `timestamp(6)` rounds nothing, and is told apart from
//! `timestamp` in what the catalog and the wire say.

use serde::{Deserialize, Serialize};

use super::PgType;
use crate::datetime::EPOCH_SHIFT_MICROS;
use crate::datetime::calendar::is_finite_timestamp;
use crate::datum::{Datum, Interval};

/// PostgreSQL's modifier of an interval with all fields, in the upper half.
const ALL_FIELDS: i32 = 0x7fff << 16;

/// Digits that a microsecond has, the most that are kept.
pub const MOST_DIGITS: u8 = 6;

/// Types that take a precision.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum TimeType {
    Time,
    Timestamp,
    Timestamptz,
    Interval,
}

impl TimeType {
    /// The type without precision.
    pub fn bare(self) -> &'static PgType {
        match self {
            Self::Time => &PgType::Time,
            Self::Timestamp => &PgType::Timestamp,
            Self::Timestamptz => &PgType::Timestamptz,
            Self::Interval => &PgType::Interval,
        }
    }

    pub(super) fn of(ty: &PgType) -> Option<Self> {
        [Self::Time, Self::Timestamp, Self::Timestamptz, Self::Interval]
            .into_iter()
            .find(|time| time.bare() == ty.without_precision())
    }

    pub(super) fn typmod(self, digits: u8) -> i32 {
        match self {
            Self::Interval => ALL_FIELDS | i32::from(digits),
            _ => i32::from(digits),
        }
    }

    /// The precision that a modifier of this type tells.
    pub(super) fn digits(self, typmod: i32) -> Option<u8> {
        let digits = match self {
            Self::Interval => typmod & 0xffff,
            _ => typmod,
        };
        u8::try_from(digits).ok().filter(|digits| typmod >= 0 && *digits <= MOST_DIGITS)
    }

    /// `timestamp(3) without time zone`.
    pub(super) fn sql_name(self, digits: u8) -> String {
        match self {
            Self::Time => format!("time({digits}) without time zone"),
            Self::Timestamp => format!("timestamp({digits}) without time zone"),
            Self::Timestamptz => format!("timestamp({digits}) with time zone"),
            Self::Interval => format!("interval({digits})"),
        }
    }

    /// The nearest value with so many digits of a second.
    pub fn round(self, value: Datum, digits: u8) -> Datum {
        match value {
            Datum::Time(micros) => Datum::Time(round_micros(micros, digits)),
            Datum::Timestamp(micros) => Datum::Timestamp(round_timestamp(micros, digits)),
            Datum::Interval(value) => {
                Datum::Interval(Interval { micros: round_micros(value.micros, digits), ..value })
            }
            other => other,
        }
    }
}

/// Half goes away from zero, as `time` and the clock part of an interval are rounded.
pub fn round_micros(micros: i64, digits: u8) -> i64 {
    let unit = 10i64.pow(u32::from(MOST_DIGITS.saturating_sub(digits)));
    let half = unit / 2 * micros.signum();
    match micros.checked_add(half) {
        Some(sum) => sum / unit * unit,
        // Beyond the last whole unit nothing can be rounded up to.
        None => micros / unit * unit,
    }
}

/// Half goes away from PostgreSQL's epoch, 2000-01-01. Infinities stay.
pub fn round_timestamp(micros: i64, digits: u8) -> i64 {
    if !is_finite_timestamp(micros) {
        return micros;
    }
    let shifted = micros.saturating_sub(EPOCH_SHIFT_MICROS);
    round_micros(shifted, digits).saturating_add(EPOCH_SHIFT_MICROS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_goes_away_from_the_epoch() {
        assert_eq!(round_micros(1_500_000, 0), 2_000_000);
        assert_eq!(round_micros(-1_500_000, 0), -2_000_000);
        assert_eq!(round_micros(1_499_999, 0), 1_000_000);
        assert_eq!(round_micros(123_456, 3), 123_000);
        assert_eq!(round_micros(123_456, 6), 123_456);
        let before = EPOCH_SHIFT_MICROS - 500_000;
        assert_eq!(round_timestamp(before, 0), EPOCH_SHIFT_MICROS - 1_000_000);
        assert_eq!(round_timestamp(before + 1, 0), EPOCH_SHIFT_MICROS);
        assert_eq!(round_timestamp(i64::MAX, 0), i64::MAX);
        assert_eq!(round_timestamp(i64::MIN, 0), i64::MIN);
    }

    #[test]
    fn modifiers_and_names_are_those_of_postgresql() {
        let of = |time: TimeType, digits| PgType::Precise(time, digits);
        assert_eq!(of(TimeType::Timestamp, 3).typmod(), 3);
        assert_eq!(of(TimeType::Interval, 3).typmod(), 2_147_418_115);
        assert_eq!(of(TimeType::Timestamptz, 0).to_string(), "timestamp(0) with time zone");
        for time in [TimeType::Time, TimeType::Timestamp, TimeType::Timestamptz, TimeType::Interval]
        {
            for digits in 0..=MOST_DIGITS {
                let ty = of(time, digits);
                assert_eq!(ty.without_modifier().with_typmod(ty.typmod()), ty);
                assert_eq!((ty.oid(), ty.category()), (time.bare().oid(), time.bare().category()));
            }
            assert_eq!(time.bare().with_typmod(-1), *time.bare());
        }
    }

    /// What older catalogs hold is read as before: new forms stand behind all others.
    #[test]
    fn stored_forms_of_bare_types_stay() {
        for (ty, byte) in [(PgType::Time, 14), (PgType::Interval, 17), (PgType::Unknown, 34)] {
            assert_eq!(postcard::to_stdvec(&ty).unwrap(), [byte], "{ty}");
        }
    }
}
