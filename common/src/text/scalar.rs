//! Text forms of booleans, numbers, oids, UUIDs, byte strings and points.

use crate::error::{SqlError, SqlResult, SqlState};

use super::invalid_syntax;

/// C's `isspace`.
pub(super) fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r' | 0x0b | 0x0c)
}

pub(super) fn trim(text: &str) -> &str {
    text.trim_matches(|c: char| c.is_ascii() && is_space(c as u8))
}

/// Any unique beginning of true, false, yes, no, on, off, or 1, 0; in any case.
pub fn parse_bool(text: &str) -> SqlResult<bool> {
    let trimmed = trim(text);
    let starts = |word: &str, least: usize| {
        trimmed.len() >= least
            && word.get(..trimmed.len()).is_some_and(|head| head.eq_ignore_ascii_case(trimmed))
    };
    if starts("true", 1) || starts("yes", 1) || starts("on", 2) || trimmed == "1" {
        Ok(true)
    } else if starts("false", 1) || starts("no", 1) || starts("off", 2) || trimmed == "0" {
        Ok(false)
    } else {
        Err(invalid_syntax("boolean", text))
    }
}

/// A signed decimal number with blanks around, within `low..=high`.
fn parse_integer(text: &str, ty: &str, low: i64, high: i64) -> SqlResult<i64> {
    let bytes = text.as_bytes();
    // Most input has neither blanks nor a plus sign.
    let (negative, digits) = match bytes {
        [b'-', digits @ ..] => (true, digits),
        _ => (false, bytes),
    };
    if !digits.is_empty() && digits.len() <= 18 {
        let mut value = 0i64;
        let mut plain = true;
        for digit in digits {
            let digit = digit.wrapping_sub(b'0');
            plain &= digit < 10;
            value = value * 10 + i64::from(digit & 15);
        }
        if plain {
            let value = if negative { -value } else { value };
            if (low..=high).contains(&value) {
                return Ok(value);
            }
            return Err(out_of_range(text, ty));
        }
    }
    let trimmed = trim(text);
    let digits = trimmed.strip_prefix(['+', '-']).unwrap_or(trimmed);
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return Err(invalid_syntax(ty, text));
    }
    trimmed
        .parse::<i64>()
        .ok()
        .filter(|value| (low..=high).contains(value))
        .ok_or_else(|| out_of_range(text, ty))
}

fn out_of_range(text: &str, ty: &str) -> SqlError {
    SqlError::new(
        SqlState::NUMERIC_VALUE_OUT_OF_RANGE,
        format!("value \"{text}\" is out of range for type {ty}"),
    )
}

pub fn parse_i16(text: &str) -> SqlResult<i16> {
    parse_integer(text, "smallint", i16::MIN.into(), i16::MAX.into()).map(|value| value as i16)
}

pub fn parse_i32(text: &str) -> SqlResult<i32> {
    parse_integer(text, "integer", i32::MIN.into(), i32::MAX.into()).map(|value| value as i32)
}

pub fn parse_i64(text: &str) -> SqlResult<i64> {
    parse_integer(text, "bigint", i64::MIN, i64::MAX)
}

/// Unsigned; a negative number wraps, as in C.
pub fn parse_oid(text: &str) -> SqlResult<u32> {
    let value = parse_integer(text, "oid", i64::MIN, i64::MAX)?;
    u32::try_from(value)
        .or_else(|_| i32::try_from(value).map(|value| value as u32))
        .map_err(|_| out_of_range(text, "oid"))
}

/// What is left of a float once blanks are trimmed: a word or digits.
enum Float<'a> {
    Special(f64),
    Digits(&'a str),
}

fn float_syntax<'a>(text: &'a str, ty: &str) -> SqlResult<Float<'a>> {
    let trimmed = trim(text);
    let body = trimmed.strip_prefix(['+', '-']).unwrap_or(trimmed);
    let negative = trimmed.starts_with('-');
    let is = |word: &str| body.eq_ignore_ascii_case(word);
    if is("infinity") || is("inf") {
        return Ok(Float::Special(if negative { f64::NEG_INFINITY } else { f64::INFINITY }));
    }
    if is("nan") {
        return Ok(Float::Special(f64::NAN));
    }
    let starts = body.starts_with(|c: char| c.is_ascii_digit() || c == '.');
    if starts { Ok(Float::Digits(trimmed)) } else { Err(invalid_syntax(ty, text)) }
}

fn float_out_of_range(text: &str, ty: &str) -> SqlError {
    SqlError::new(
        SqlState::NUMERIC_VALUE_OUT_OF_RANGE,
        format!("\"{}\" is out of range for type {ty}", trim(text)),
    )
}

/// The longest number that a text begins with.
fn number_at_start(text: &str) -> &str {
    let digits = |from: usize| {
        let rest = text.as_bytes().get(from..).unwrap_or_default();
        from + rest.iter().take_while(|b| b.is_ascii_digit()).count()
    };
    let sign = |at: usize| at + usize::from(matches!(text.as_bytes().get(at), Some(b'+' | b'-')));
    let mut end = digits(sign(0));
    if text.as_bytes().get(end) == Some(&b'.') {
        end = digits(end + 1);
    }
    if let Some(b'e' | b'E') = text.as_bytes().get(end) {
        let start = sign(end + 1);
        let exponent = digits(start);
        end = if exponent > start { exponent } else { end };
    }
    &text[..end]
}

/// Whether a number that was read as 0 is not.
fn has_nonzero_digit(text: &str) -> bool {
    text.bytes().take_while(|b| !matches!(b, b'e' | b'E')).any(|b| (b'1'..=b'9').contains(&b))
}

pub fn parse_f64(text: &str) -> SqlResult<f64> {
    const TYPE: &str = "double precision";
    match float_syntax(text, TYPE)? {
        Float::Special(value) => Ok(value),
        Float::Digits(digits) => {
            let is_beyond = |value: f64, digits: &str| {
                value.is_infinite() || (value == 0.0 && has_nonzero_digit(digits))
            };
            let Ok(value) = digits.parse() else {
                // A number is read as far as it goes before what follows it is looked at.
                let number = number_at_start(digits);
                return Err(match number.parse() {
                    Ok(value) if is_beyond(value, number) => float_out_of_range(number, TYPE),
                    _ => invalid_syntax(TYPE, text),
                });
            };
            if is_beyond(value, digits) {
                return Err(float_out_of_range(text, TYPE));
            }
            Ok(value)
        }
    }
}

pub fn parse_f32(text: &str) -> SqlResult<f32> {
    const TYPE: &str = "real";
    match float_syntax(text, TYPE)? {
        Float::Special(value) => Ok(value as f32),
        Float::Digits(digits) => {
            let is_beyond = |value: f32, digits: &str| {
                value.is_infinite() || (value == 0.0 && has_nonzero_digit(digits))
            };
            let Ok(value) = digits.parse() else {
                let number = number_at_start(digits);
                return Err(match number.parse() {
                    Ok(value) if is_beyond(value, number) => float_out_of_range(text, TYPE),
                    _ => invalid_syntax(TYPE, text),
                });
            };
            if is_beyond(value, digits) {
                return Err(float_out_of_range(text, TYPE));
            }
            Ok(value)
        }
    }
}

/// Appends an integer.
pub fn format_i64(value: i64, out: &mut Vec<u8>) {
    let mut digits = [0u8; 20];
    let mut at = digits.len();
    let mut rest = value.unsigned_abs();
    loop {
        at -= 1;
        digits[at] = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    if value < 0 {
        out.push(b'-');
    }
    out.extend_from_slice(&digits[at..]);
}

/// Appends a double: the fewest digits that read back the same, or with `extra_float_digits`
/// of 0 or less, 15 significant digits or fewer.
pub fn format_f64(value: f64, extra_float_digits: i32, out: &mut Vec<u8>) {
    if push_special(value, out) {
        return;
    }
    if extra_float_digits > 0 {
        let shortest = format!("{value:e}");
        let text = if is_midpoint_f64(value, &shortest) {
            more_digits(value, &shortest, |text| {
                text.parse() == Ok(value) && !is_midpoint_f64(value, text)
            })
        } else {
            shortest
        };
        push_float(&text, 15, out);
    } else {
        let digits = (15 + extra_float_digits).max(1) as usize;
        push_float(&trimmed_exponent(value, digits), digits as i32, out);
    }
}

/// As [`format_f64`], with 6 significant digits where digits are counted.
pub fn format_f32(value: f32, extra_float_digits: i32, out: &mut Vec<u8>) {
    if push_special(f64::from(value), out) {
        return;
    }
    if extra_float_digits > 0 {
        let shortest = format!("{value:e}");
        let text = if is_midpoint_f32(value, &shortest) {
            more_digits(f64::from(value), &shortest, |text| {
                text.parse() == Ok(value) && !is_midpoint_f32(value, text)
            })
        } else {
            shortest
        };
        push_float(&text, 6, out);
    } else {
        let digits = (6 + extra_float_digits).max(1) as usize;
        push_float(&trimmed_exponent(f64::from(value), digits), digits as i32, out);
    }
}

/// Whether a decimal lies exactly between two neighbouring floats. It reads back as the even one
/// of them, but PostgreSQL does not rely on that and prints a digit more.
fn is_midpoint_f32(value: f32, shortest: &str) -> bool {
    let Ok(decimal) = shortest.parse::<f64>() else { return false };
    let value64 = f64::from(value);
    let neighbour = if decimal > value64 { value.next_up() } else { value.next_down() };
    decimal != value64 && decimal == (value64 + f64::from(neighbour)) / 2.0
}

/// As [`is_midpoint_f32`]. Only integers can be that short and yet between two doubles.
fn is_midpoint_f64(value: f64, shortest: &str) -> bool {
    let magnitude = value.abs();
    if !((1u64 << 53) as f64..1e38).contains(&magnitude) {
        return false;
    }
    let (mantissa, exponent) = shortest.split_once('e').unwrap_or((shortest, "0"));
    let digits: String = mantissa.chars().filter(char::is_ascii_digit).collect();
    let zeros = exponent.parse::<usize>().ok().and_then(|e| (e + 1).checked_sub(digits.len()));
    let decimal = zeros.and_then(|zeros| 10u128.checked_pow(zeros as u32));
    let decimal =
        decimal.and_then(|power| digits.parse::<u128>().ok().and_then(|d| d.checked_mul(power)));
    let Some(decimal) = decimal else { return false };
    let exact = magnitude as u128;
    let neighbour =
        if decimal > exact { magnitude.next_up() } else { magnitude.next_down() } as u128;
    decimal != exact && decimal * 2 == exact + neighbour
}

/// The first longer form that `good` accepts: one that reads back the same and is no midpoint.
fn more_digits(value: f64, shortest: &str, good: impl Fn(&str) -> bool) -> String {
    let digits = shortest.bytes().take_while(|b| *b != b'e').filter(u8::is_ascii_digit).count();
    (digits + 1..=17)
        .map(|digits| trimmed_exponent(value, digits))
        .find(|text| good(text))
        .unwrap_or_else(|| shortest.to_owned())
}

fn push_special(value: f64, out: &mut Vec<u8>) -> bool {
    if value.is_nan() {
        out.extend_from_slice(b"NaN");
    } else if value.is_infinite() {
        out.extend_from_slice(if value > 0.0 { b"Infinity" } else { b"-Infinity" });
    } else {
        return false;
    }
    true
}

/// `value` with that many significant digits in exponent form, without trailing zeros.
fn trimmed_exponent(value: f64, digits: usize) -> String {
    let text = format!("{value:.*e}", digits - 1);
    match text.split_once('e') {
        Some((mantissa, exponent)) if mantissa.contains('.') => {
            let mantissa = mantissa.trim_end_matches('0').trim_end_matches('.');
            format!("{mantissa}e{exponent}")
        }
        _ => text,
    }
}

/// Appends a number given as `d.ddde±x`: plain when the exponent is from -4 to below `limit`,
/// else with at least two digits of exponent.
fn push_float(text: &str, limit: i32, out: &mut Vec<u8>) {
    let (mantissa, exponent) = text.split_once('e').unwrap_or((text, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let (negative, mantissa) = match mantissa.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, mantissa),
    };
    if negative {
        out.push(b'-');
    }
    if !(-4..limit).contains(&exponent) {
        out.extend_from_slice(mantissa.as_bytes());
        let sign = if exponent < 0 { '-' } else { '+' };
        out.extend_from_slice(format!("e{sign}{:02}", exponent.abs()).as_bytes());
        return;
    }
    let digits: Vec<u8> = mantissa.bytes().filter(|b| *b != b'.').collect();
    if exponent < 0 {
        out.extend_from_slice(b"0.");
        out.extend(std::iter::repeat_n(b'0', (-exponent - 1) as usize));
        out.extend_from_slice(&digits);
        return;
    }
    let whole = exponent as usize + 1;
    if digits.len() <= whole {
        out.extend_from_slice(&digits);
        out.extend(std::iter::repeat_n(b'0', whole - digits.len()));
    } else {
        out.extend_from_slice(&digits[..whole]);
        out.push(b'.');
        out.extend_from_slice(&digits[whole..]);
    }
}

fn hex_digit(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).map(|digit| digit as u8)
}

/// 32 hex digits, a hyphen allowed after any group of four, braces around allowed.
pub fn parse_uuid(text: &str) -> SqlResult<[u8; 16]> {
    parse_uuid_bytes(text.as_bytes()).ok_or_else(|| invalid_syntax("uuid", text))
}

fn parse_uuid_bytes(bytes: &[u8]) -> Option<[u8; 16]> {
    let body = match bytes {
        [b'{', body @ .., b'}'] => body,
        _ => bytes,
    };
    let mut uuid = [0; 16];
    let mut at = 0;
    for (index, slot) in uuid.iter_mut().enumerate() {
        let high = hex_digit(*body.get(at)?)?;
        let low = hex_digit(*body.get(at + 1)?)?;
        *slot = high << 4 | low;
        at += 2;
        if index % 2 == 1 && index < 15 && body.get(at) == Some(&b'-') {
            at += 1;
        }
    }
    (at == body.len()).then_some(uuid)
}

const HEX: &[u8; 16] = b"0123456789abcdef";

fn push_hex(bytes: &[u8], out: &mut Vec<u8>) {
    for byte in bytes {
        out.push(HEX[usize::from(byte >> 4)]);
        out.push(HEX[usize::from(byte & 15)]);
    }
}

pub fn format_uuid(uuid: &[u8], out: &mut Vec<u8>) {
    for (at, group) in [0..4, 4..6, 6..8, 8..10, 10..16].into_iter().enumerate() {
        if at > 0 {
            out.push(b'-');
        }
        push_hex(uuid.get(group).unwrap_or(&[]), out);
    }
}

/// `\x` and hex digits, or the escape form with `\\` and `\ooo`.
pub fn parse_bytea(text: &str) -> SqlResult<Vec<u8>> {
    match text.strip_prefix("\\x") {
        Some(digits) => parse_hex(digits),
        None => parse_escaped(text),
    }
}

fn parse_hex(text: &str) -> SqlResult<Vec<u8>> {
    let mut out = Vec::with_capacity(text.len() / 2);
    let bytes = text.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        if matches!(bytes[at], b' ' | b'\n' | b'\t' | b'\r') {
            at += 1;
            continue;
        }
        let digit = |at: usize| {
            hex_digit(bytes[at]).ok_or_else(|| {
                let bad = text.get(at..).and_then(|rest| rest.chars().next()).unwrap_or('?');
                SqlError::new(
                    SqlState::INVALID_PARAMETER_VALUE,
                    format!("invalid hexadecimal digit: \"{bad}\""),
                )
            })
        };
        let high = digit(at)?;
        if at + 1 == bytes.len() {
            return Err(SqlError::new(
                SqlState::INVALID_PARAMETER_VALUE,
                "invalid hexadecimal data: odd number of digits",
            ));
        }
        out.push(high << 4 | digit(at + 1)?);
        at += 2;
    }
    Ok(out)
}

fn parse_escaped(text: &str) -> SqlResult<Vec<u8>> {
    let invalid = || {
        SqlError::new(SqlState::INVALID_TEXT_REPRESENTATION, "invalid input syntax for type bytea")
    };
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        rest = after;
        if *first != b'\\' {
            out.push(*first);
            continue;
        }
        match after {
            [b'\\', after @ ..] => {
                out.push(b'\\');
                rest = after;
            }
            [a @ b'0'..=b'3', b @ b'0'..=b'7', c @ b'0'..=b'7', after @ ..] => {
                out.push((a - b'0') << 6 | (b - b'0') << 3 | (c - b'0'));
                rest = after;
            }
            _ => return Err(invalid()),
        }
    }
    Ok(out)
}

pub fn format_bytea(bytes: &[u8], escape: bool, out: &mut Vec<u8>) {
    if !escape {
        out.extend_from_slice(b"\\x");
        return push_hex(bytes, out);
    }
    for byte in bytes {
        match byte {
            b'\\' => out.extend_from_slice(b"\\\\"),
            0x20..0x7f => out.push(*byte),
            _ => out.extend_from_slice(format!("\\{byte:03o}").as_bytes()),
        }
    }
}

/// `(x,y)` or `x,y`.
pub(super) fn parse_point(text: &str) -> SqlResult<(f64, f64)> {
    let invalid = || invalid_syntax("point", text);
    let trimmed = trim(text);
    let body = match trimmed.strip_prefix('(') {
        Some(open) => open.strip_suffix(')').ok_or_else(invalid)?,
        None => trimmed,
    };
    let (x, y) = body.split_once(',').ok_or_else(invalid)?;
    if trim(x).is_empty() || trim(y).is_empty() {
        return Err(invalid());
    }
    let number = |part: &str| {
        parse_f64(part).map_err(|error| {
            if error.state() == SqlState::NUMERIC_VALUE_OUT_OF_RANGE { error } else { invalid() }
        })
    };
    Ok((number(x)?, number(y)?))
}

pub(super) fn format_point(x: f64, y: f64, extra_float_digits: i32, out: &mut Vec<u8>) {
    out.push(b'(');
    format_f64(x, extra_float_digits, out);
    out.push(b',');
    format_f64(y, extra_float_digits, out);
    out.push(b')');
}
