//! Output of dates, times and timestamps.

use super::calendar::{
    Civil, DATE_INFINITY, DATE_NEG_INFINITY, HOUR_MICROS, MINUTE_MICROS, SECOND_MICROS,
    TIMESTAMP_INFINITY, TIMESTAMP_NEG_INFINITY, civil_from_days, day_of_week,
};
use super::{DateFormat, DateOrder, TimeZone};

const DAYS: [&str; 7] = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"];
const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// Appends a date.
pub fn format_date(days: i32, format: DateFormat, order: DateOrder, out: &mut Vec<u8>) {
    match days {
        DATE_INFINITY => return out.extend_from_slice(b"infinity"),
        DATE_NEG_INFINITY => return out.extend_from_slice(b"-infinity"),
        _ => {}
    }
    let (year, month, day) = civil_from_days(i64::from(days));
    push_date(year, month, day, format, order, out);
    push_era(year, out);
}

fn push_date(
    year: i64,
    month: u32,
    day: u32,
    format: DateFormat,
    order: DateOrder,
    out: &mut Vec<u8>,
) {
    let shown = if year > 0 { year } else { 1 - year } as u64;
    let (first, second) = if order == DateOrder::Dmy { (day, month) } else { (month, day) };
    let separator = match format {
        DateFormat::Iso => {
            push_padded(shown, 4, out);
            out.push(b'-');
            push_padded(u64::from(month), 2, out);
            out.push(b'-');
            return push_padded(u64::from(day), 2, out);
        }
        DateFormat::German => {
            push_padded(u64::from(day), 2, out);
            out.push(b'.');
            push_padded(u64::from(month), 2, out);
            out.push(b'.');
            return push_padded(shown, 4, out);
        }
        DateFormat::Sql => b'/',
        DateFormat::Postgres => b'-',
    };
    push_padded(u64::from(first), 2, out);
    out.push(separator);
    push_padded(u64::from(second), 2, out);
    out.push(separator);
    push_padded(shown, 4, out);
}

fn push_era(year: i64, out: &mut Vec<u8>) {
    if year <= 0 {
        out.extend_from_slice(b" BC");
    }
}

/// Appends `hh:mm:ss` and the fraction, if any.
pub fn format_time(micros: i64, out: &mut Vec<u8>) {
    push_padded((micros / HOUR_MICROS) as u64, 2, out);
    out.push(b':');
    push_padded((micros / MINUTE_MICROS % 60) as u64, 2, out);
    out.push(b':');
    push_padded((micros / SECOND_MICROS % 60) as u64, 2, out);
    push_fraction(micros % SECOND_MICROS, out);
}

/// Appends `.ffffff` without trailing zeros; nothing for 0.
pub(super) fn push_fraction(mut micros: i64, out: &mut Vec<u8>) {
    if micros == 0 {
        return;
    }
    let mut width = 6;
    while micros % 10 == 0 {
        micros /= 10;
        width -= 1;
    }
    out.push(b'.');
    push_padded(micros.unsigned_abs(), width, out);
}

/// Appends `value` with at least `width` digits.
pub(super) fn push_padded(value: u64, width: usize, out: &mut Vec<u8>) {
    let mut digits = [b'0'; 20];
    let mut at = digits.len();
    let mut rest = value;
    while rest > 0 {
        at -= 1;
        digits[at] = b'0' + (rest % 10) as u8;
        rest /= 10;
    }
    out.extend_from_slice(&digits[at.min(digits.len() - width)..]);
}

/// Appends a timestamp without time zone.
pub fn format_timestamp(micros: i64, format: DateFormat, order: DateOrder, out: &mut Vec<u8>) {
    if !push_infinity(micros, out) {
        push_moment(Civil::from_micros(micros), None, format, order, out);
    }
}

/// Appends a timestamp as the clock of `zone` shows it.
pub fn format_timestamptz(
    micros: i64,
    zone: &TimeZone,
    format: DateFormat,
    order: DateOrder,
    out: &mut Vec<u8>,
) {
    if push_infinity(micros, out) {
        return;
    }
    let offset = zone.offset_at(micros);
    let local = micros.saturating_add(i64::from(offset) * SECOND_MICROS);
    let shown = Shown { offset, abbreviation: || zone.abbreviation_at(micros) };
    push_moment(Civil::from_micros(local), Some(&shown.text(format)), format, order, out);
}

/// The zone part of the output.
struct Shown<F> {
    offset: i32,
    abbreviation: F,
}

impl<F: Fn() -> Option<String>> Shown<F> {
    fn text(&self, format: DateFormat) -> String {
        if format != DateFormat::Iso
            && let Some(name) = (self.abbreviation)()
        {
            return format!(" {name}");
        }
        let mut text = String::new();
        if format == DateFormat::Postgres {
            text.push(' ');
        }
        push_offset(self.offset, &mut text);
        text
    }
}

/// Appends `+hh[:mm[:ss]]`.
pub(super) fn push_offset(offset: i32, text: &mut String) {
    let magnitude = offset.unsigned_abs();
    text.push(if offset < 0 { '-' } else { '+' });
    text.push_str(&format!("{:02}", magnitude / 3600));
    let (minutes, seconds) = (magnitude / 60 % 60, magnitude % 60);
    if minutes != 0 || seconds != 0 {
        text.push_str(&format!(":{minutes:02}"));
    }
    if seconds != 0 {
        text.push_str(&format!(":{seconds:02}"));
    }
}

fn push_infinity(micros: i64, out: &mut Vec<u8>) -> bool {
    match micros {
        TIMESTAMP_INFINITY => out.extend_from_slice(b"infinity"),
        TIMESTAMP_NEG_INFINITY => out.extend_from_slice(b"-infinity"),
        _ => return false,
    }
    true
}

fn push_moment(
    moment: Civil,
    zone: Option<&str>,
    format: DateFormat,
    order: DateOrder,
    out: &mut Vec<u8>,
) {
    if format == DateFormat::Postgres {
        // Wed Feb 16 20:21:12 2001 UTC
        let day = format!("{:02}", moment.day);
        let month = MONTHS[moment.month as usize - 1];
        let (first, second) = if order == DateOrder::Dmy { (&*day, month) } else { (month, &*day) };
        let weekday = DAYS[day_of_week(moment.days()) as usize];
        out.extend_from_slice(format!("{weekday} {first} {second} ").as_bytes());
        format_time(moment.time, out);
        out.push(b' ');
        let year = if moment.year > 0 { moment.year } else { 1 - moment.year };
        push_padded(year as u64, 4, out);
    } else {
        push_date(moment.year, moment.month, moment.day, format, order, out);
        out.push(b' ');
        format_time(moment.time, out);
    }
    if let Some(zone) = zone {
        out.extend_from_slice(zone.as_bytes());
    }
    push_era(moment.year, out);
}
