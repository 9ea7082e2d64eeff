//! Splitting date and time input into fields, and the words it may contain.

/// What a field looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    /// Digits, perhaps with a decimal point.
    Number,
    /// Digits or a word with `-`, `/` or `.` inside; also names of time zones.
    Date,
    /// Digits with colons.
    Time,
    /// A sign and digits: a zone displacement, or a number of an interval.
    Signed,
    /// A sign and a word: `-infinity`.
    SignedWord,
    Word,
}

/// A piece of input, in lower case.
#[derive(Clone, Debug)]
pub(super) struct Field {
    pub shape: Shape,
    pub text: String,
}

const MAX_FIELDS: usize = 25;

/// `None` when there is a character that no date, time or interval has, or far too many fields.
pub(super) fn split(text: &str) -> Option<Vec<Field>> {
    let bytes = text.as_bytes();
    let at = |position: usize| bytes.get(position).copied().unwrap_or(0);
    let while_in = |mut position: usize, wanted: &dyn Fn(u8) -> bool| {
        while position < bytes.len() && wanted(bytes[position]) {
            position += 1;
        }
        position
    };
    let digits = |position| while_in(position, &|b| b.is_ascii_digit());
    let mut fields = Vec::new();
    let mut start = 0;
    while start < bytes.len() {
        let first = at(start);
        let mut prefix = String::new();
        let (shape, end) = if first.is_ascii_whitespace() || first == 0x0b {
            start += 1;
            continue;
        } else if first.is_ascii_digit() {
            let end = digits(start);
            match at(end) {
                b':' => {
                    let time = |b: u8| b.is_ascii_digit() || b == b':' || b == b'.';
                    (Shape::Time, while_in(end, &time))
                }
                mark @ (b'-' | b'/' | b'.') => {
                    if at(end + 1).is_ascii_digit() {
                        let second = digits(end + 1);
                        if at(second) == mark {
                            let rest = |b: u8| b.is_ascii_digit() || b == mark;
                            (Shape::Date, while_in(second, &rest))
                        } else if mark == b'.' {
                            (Shape::Number, second)
                        } else {
                            (Shape::Date, second)
                        }
                    } else if mark == b'.' {
                        // 1. is a number; 1.jan.2000 is a date
                        let word = |b: u8| b.is_ascii_alphanumeric() || b == mark;
                        let end = while_in(end + 1, &word);
                        (Shape::Date, end)
                    } else {
                        let word = |b: u8| b.is_ascii_alphanumeric() || b == mark;
                        (Shape::Date, while_in(end + 1, &word))
                    }
                }
                _ => (Shape::Number, end),
            }
        } else if first == b'.' {
            (Shape::Number, digits(start + 1))
        } else if first.is_ascii_alphabetic() {
            let end = while_in(start, &|b| b.is_ascii_alphabetic());
            let next = at(end);
            let zone_like = matches!(next, b'-' | b'/' | b'.')
                || ((next == b'+' || next.is_ascii_digit())
                    && !is_keyword(&text[start..end].to_ascii_lowercase()));
            if zone_like {
                let rest = |b: u8| {
                    b.is_ascii_alphanumeric()
                        || matches!(b, b'+' | b'-' | b'/' | b'_' | b'.' | b':')
                };
                (Shape::Date, while_in(end, &rest))
            } else {
                (Shape::Word, end)
            }
        } else if first == b'+' || first == b'-' {
            let body = while_in(start + 1, &|b| b.is_ascii_whitespace());
            prefix.push(char::from(first));
            start = body;
            if at(body).is_ascii_digit() || at(body) == b'.' {
                let rest = |b: u8| b.is_ascii_digit() || matches!(b, b':' | b'.' | b'-');
                (Shape::Signed, while_in(body, &rest))
            } else if at(body).is_ascii_alphabetic() {
                (Shape::SignedWord, while_in(body, &|b| b.is_ascii_alphabetic()))
            } else {
                return None;
            }
        } else if first.is_ascii_punctuation() {
            start += 1;
            continue;
        } else {
            return None;
        };
        if fields.len() == MAX_FIELDS {
            return None;
        }
        prefix.push_str(&text[start..end].to_ascii_lowercase());
        fields.push(Field { shape, text: prefix });
        start = end;
    }
    Some(fields)
}

/// Words that a number may follow without a blank; any other starts the name of a zone.
fn is_keyword(text: &str) -> bool {
    matches!(text, "d" | "h" | "m" | "mm" | "s" | "y") || word(text).is_some()
}

/// What a word in date input means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Word {
    Month(u32),
    Ignored,
    /// Its name is not checked against the date.
    Weekday,
    Am,
    Pm,
    Bc,
    Ad,
    Epoch,
    Infinity,
    NegInfinity,
    Now,
    Today,
    Tomorrow,
    Yesterday,
    /// Midnight UTC.
    AllBalls,
    /// The `T` between date and time.
    TimeFollows,
    /// A Julian day follows.
    Julian,
    /// Turns a standard zone abbreviation into its summer time.
    Dst,
}

pub(super) fn word(text: &str) -> Option<Word> {
    Some(match text {
        "january" | "jan" => Word::Month(1),
        "february" | "feb" => Word::Month(2),
        "march" | "mar" => Word::Month(3),
        "april" | "apr" => Word::Month(4),
        "may" => Word::Month(5),
        "june" | "jun" => Word::Month(6),
        "july" | "jul" => Word::Month(7),
        "august" | "aug" => Word::Month(8),
        "september" | "sept" | "sep" => Word::Month(9),
        "october" | "oct" => Word::Month(10),
        "november" | "nov" => Word::Month(11),
        "december" | "dec" => Word::Month(12),
        "sunday" | "sun" | "monday" | "mon" | "tuesday" | "tue" | "tues" | "wednesday" | "wed"
        | "weds" | "thursday" | "thu" | "thur" | "thurs" | "friday" | "fri" | "saturday"
        | "sat" => Word::Weekday,
        "at" | "on" => Word::Ignored,
        "am" => Word::Am,
        "pm" => Word::Pm,
        "bc" => Word::Bc,
        "ad" => Word::Ad,
        "epoch" => Word::Epoch,
        "infinity" => Word::Infinity,
        "-infinity" => Word::NegInfinity,
        "now" => Word::Now,
        "today" => Word::Today,
        "tomorrow" => Word::Tomorrow,
        "yesterday" => Word::Yesterday,
        "allballs" => Word::AllBalls,
        "t" => Word::TimeFollows,
        "j" | "jd" | "julian" => Word::Julian,
        "dst" => Word::Dst,
        _ => return None,
    })
}

/// `hh:mm[:ss[.ffffff]]` or `mm:ss.ffffff`: hours, minutes, microseconds of the seconds.
/// Not range checked beyond what fits.
pub(super) fn clock(text: &str) -> Option<(i64, i64, i64)> {
    let mut parts = text.split(':');
    let number = |part: &str| {
        let plain = !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
        plain.then(|| part.parse::<i64>().ok()).flatten()
    };
    let hours = number(parts.next()?)?;
    let second = parts.next()?;
    let third = parts.next();
    if parts.next().is_some() {
        return None;
    }
    match third {
        None if second.contains('.') => Some((0, hours, seconds(second)?)),
        None => Some((hours, number(second)?, 0)),
        Some(third) => Some((hours, number(second)?, seconds(third)?)),
    }
}

/// Seconds with a fraction, as microseconds.
pub(super) fn seconds(text: &str) -> Option<i64> {
    let (whole, fraction) = match text.split_once('.') {
        Some((whole, digits)) => (whole, fraction_micros(digits)?),
        None => (text, 0),
    };
    let plain = !whole.is_empty() && whole.bytes().all(|b| b.is_ascii_digit());
    let whole: i64 = plain.then(|| whole.parse().ok()).flatten()?;
    whole.checked_mul(1_000_000)?.checked_add(fraction)
}

/// Digits behind a decimal point as microseconds, rounded; 1000000 is possible.
pub(super) fn fraction_micros(digits: &str) -> Option<i64> {
    if digits.is_empty() {
        return Some(0);
    }
    if !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    if digits.len() <= 6 {
        let value: i64 = digits.parse().ok()?;
        return Some(value * 10i64.pow(6 - digits.len() as u32));
    }
    // rint() of the double, as PostgreSQL has it.
    let fraction: f64 = format!("0.{digits}").parse().ok()?;
    Some((fraction * 1e6).round_ties_even() as i64)
}
