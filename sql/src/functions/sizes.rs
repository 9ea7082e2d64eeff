//! Sizes: as people write and read them, and of values.

use satsuma_common::numeric::Numeric;
use satsuma_common::{Datum, PgType, SqlError, SqlResult, SqlState};

use super::error::unexpected_value;
use super::library::Builder;
use crate::casts::text::text;

/// Units and how many bits a unit is; sizes are shown in the first whose limit they stay under.
const UNITS: [(&str, u32); 6] =
    [("bytes", 0), ("kB", 10), ("MB", 20), ("GB", 30), ("TB", 40), ("PB", 50)];

pub(crate) fn install(b: &mut Builder) {
    b.infallible(|b| {
        b.row("pg_size_pretty(int8) text", |args, _| match args[0] {
            Datum::Int8(bytes) => Ok(Datum::Text(pretty(bytes))),
            _ => Err(unexpected_value("pg_size_pretty")),
        });
        b.row("pg_column_size(any) int4", |args, call| {
            let ty = call.arguments.first().unwrap_or(&PgType::Text);
            Ok(Datum::Int4(i32::try_from(size(&args[0], ty)).unwrap_or(i32::MAX)))
        });
    });
    b.row("pg_size_pretty(numeric) text", |args, _| match &args[0] {
        Datum::Numeric(bytes) => pretty_numeric(bytes.clone()).map(Datum::Text),
        _ => Err(unexpected_value("pg_size_pretty")),
    });
    b.row("pg_size_bytes(text) int8", |args, _| parse(text(&args[0])?).map(Datum::Int8));
}

/// In the largest unit that leaves at least 10240, half up.
fn pretty(bytes: i64) -> String {
    let mut size = i128::from(bytes);
    if size.abs() < 10 * 1024 {
        return format!("{size} bytes");
    }
    // One more bit is kept than is shown, for rounding.
    size >>= 9;
    for (unit, bits) in &UNITS[1..] {
        if *bits == 50 || size.abs() < 20 * 1024 - 1 {
            let rounded = (size + size.signum()) / 2;
            return format!("{rounded} {unit}");
        }
        size /= 1 << 10;
    }
    String::new()
}

/// As [`pretty`]; bytes keep their fraction.
fn pretty_numeric(mut size: Numeric) -> SqlResult<String> {
    if size.abs() < Numeric::from(10 * 1024i64) {
        return Ok(format!("{size} bytes"));
    }
    size = size.div_trunc(&Numeric::from(1i64 << 9))?;
    let limit = Numeric::from(20 * 1024 - 1i64);
    for (unit, bits) in &UNITS[1..] {
        if *bits == 50 || size.abs() < limit {
            let away = Numeric::from(if size.is_negative() { -1i64 } else { 1i64 });
            let rounded = size.add(&away)?.div_trunc(&Numeric::from(2i64))?;
            return Ok(format!("{rounded} {unit}"));
        }
        size = size.div_trunc(&Numeric::from(1i64 << 10))?;
    }
    Ok(String::new())
}

/// `1.5 GB`, `10kB`, `-1e3`: a number and a unit.
fn parse(written: &str) -> SqlResult<i64> {
    let invalid =
        || SqlError::new(SqlState::INVALID_PARAMETER_VALUE, format!("invalid size: \"{written}\""));
    let trimmed = written.trim_matches([' ', '\t', '\n', '\r', '\x0b', '\x0c']);
    let (number, unit) = trimmed.split_at(number_length(trimmed));
    if !number.bytes().any(|b| b.is_ascii_digit()) {
        return Err(invalid());
    }
    let number = Numeric::parse(number)?;
    let unit = unit.trim_start();
    if unit.is_empty() {
        return number.to_i64().map_err(Into::into);
    }
    let found = UNITS.iter().find(|(name, _)| name.eq_ignore_ascii_case(unit));
    let (_, bits) = found.ok_or_else(|| {
        invalid()
            .detail(format!("Invalid size unit: \"{unit}\"."))
            .hint("Valid units are \"bytes\", \"kB\", \"MB\", \"GB\", \"TB\", and \"PB\".")
    })?;
    number.mul(&Numeric::from(1i64 << bits))?.to_i64().map_err(Into::into)
}

/// Bytes of the number that a text begins with, an exponent included.
fn number_length(text: &str) -> usize {
    let digits = |from: usize| {
        let rest = text.get(from..).unwrap_or_default();
        from + rest.bytes().take_while(u8::is_ascii_digit).count()
    };
    let mut end = digits(usize::from(text.starts_with(['+', '-'])));
    if text[end..].starts_with('.') {
        end = digits(end + 1);
    }
    if text[end..].starts_with(['e', 'E']) {
        let signed = text[end + 1..].starts_with(['+', '-']);
        let from = end + 1 + usize::from(signed);
        let exponent = digits(from);
        if exponent > from {
            end = exponent;
        }
    }
    end
}

/// Bytes of a value as PostgreSQL holds it in memory: a length of four bytes before what varies.
/// Documents count as their text.
fn size(value: &Datum, ty: &PgType) -> usize {
    match value {
        Datum::Null => 0,
        Datum::Bool(_) => 1,
        Datum::Int2(_) => 2,
        Datum::Int4(_) | Datum::Float4(_) | Datum::Date(_) | Datum::Oid(_) => 4,
        Datum::Int8(_) | Datum::Float8(_) | Datum::Time(_) | Datum::Timestamp(_) => 8,
        Datum::Interval(_) | Datum::Uuid(_) | Datum::Point(..) => 16,
        Datum::Numeric(number) => 6 + number.base10000().map_or(0, |(_, digits)| digits.len() * 2),
        Datum::Text(text) => match ty {
            PgType::Char => 1,
            PgType::Name => 64,
            PgType::Enum(_) => 4,
            _ => 4 + text.len(),
        },
        Datum::Bytea(bytes) => 4 + bytes.len(),
        Datum::Inet(inet) => 4 + inet.hash_bytes().1,
        Datum::Array(array) if array.values.is_empty() => 16,
        Datum::Array(array) => {
            let elements: usize =
                array.values.iter().map(|element| size(element, &array.element)).sum();
            24 + elements
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_as_they_are_written() {
        for (written, bytes) in [
            ("1", Ok(1)),
            (" 1.5 kB ", Ok(1536)),
            ("-1e3MB", Ok(-1_048_576_000)),
            ("10 BYTES", Ok(10)),
            ("1 b", Err("invalid size: \"1 b\"")),
            ("kB", Err("invalid size: \"kB\"")),
            ("", Err("invalid size: \"\"")),
        ] {
            let parsed = parse(written).map_err(|error| error.message().to_string());
            assert_eq!(parsed, bytes.map_err(str::to_string), "{written}");
        }
    }
}
