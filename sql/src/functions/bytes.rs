//! bytea: parts, encodings, digests, conversion from and to text.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use md5::{Digest as _, Md5};
use satsuma_common::{Datum, PgType, SqlError, SqlResult, SqlState};
use sha2::{Sha224, Sha256, Sha384, Sha512};

use super::error::unexpected_value;
use super::library::Builder;
use super::strings::int;
use crate::casts::text::text;

fn bytes(value: &Datum) -> SqlResult<&[u8]> {
    match value {
        Datum::Bytea(bytes) => Ok(bytes),
        _ => Err(unexpected_value("bytea")),
    }
}

fn bytea(value: impl Into<Vec<u8>>) -> SqlResult<Datum> {
    Ok(Datum::Bytea(value.into()))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

pub(crate) fn install(b: &mut Builder) {
    b.infallible(|b| {
        digests(b);
        for name in ["length", "octet_length"] {
            b.row(&format!("{name}(bytea) int4"), |args, _| {
                Ok(Datum::Int4(bytes(&args[0])?.len() as i32))
            });
        }
        b.row("bit_count(bytea) int8", |args, _| {
            let ones = bytes(&args[0])?.iter().map(|byte| i64::from(byte.count_ones()));
            Ok(Datum::Int8(ones.sum()))
        });
        b.row("bit_length(bytea) int4", |args, _| {
            Ok(Datum::Int4((bytes(&args[0])?.len() * 8) as i32))
        });
    });
    for name in ["substr", "substring"] {
        b.row(&format!("{name}(bytea,int4) bytea"), |args, _| {
            part(bytes(&args[0])?, int(&args[1])?, None)
        });
        b.row(&format!("{name}(bytea,int4,int4) bytea"), |args, _| {
            part(bytes(&args[0])?, int(&args[1])?, Some(int(&args[2])?))
        });
    }
    b.row("overlay(bytea,bytea,int4) bytea", |args, _| {
        let by = bytes(&args[1])?;
        overlay(bytes(&args[0])?, by, int(&args[2])?, by.len() as i32)
    });
    b.row("overlay(bytea,bytea,int4,int4) bytea", |args, _| {
        overlay(bytes(&args[0])?, bytes(&args[1])?, int(&args[2])?, int(&args[3])?)
    });
    b.row("position(bytea,bytea) int4", |args, _| {
        let (value, wanted) = (bytes(&args[0])?, bytes(&args[1])?);
        if wanted.is_empty() {
            return Ok(Datum::Int4(1));
        }
        let at = value.windows(wanted.len()).position(|window| window == wanted);
        Ok(Datum::Int4(at.map_or(0, |at| at as i32 + 1)))
    });
    b.row("get_byte(bytea,int4) int4", |args, _| {
        let (value, index) = (bytes(&args[0])?, int(&args[1])?);
        Ok(Datum::Int4(i32::from(value[checked_index(value, index)?])))
    });
    b.row("set_byte(bytea,int4,int4) bytea", |args, _| {
        let (mut value, index) = (bytes(&args[0])?.to_vec(), int(&args[1])?);
        let index = checked_index(&value, index)?;
        value[index] = int(&args[2])? as u8;
        bytea(value)
    });
    b.row("get_bit(bytea,int8) int4", |args, _| {
        let value = bytes(&args[0])?;
        let (index, bit) = checked_bit(value, &args[1])?;
        Ok(Datum::Int4(i32::from(value[index] >> bit & 1)))
    });
    b.row("set_bit(bytea,int8,int4) bytea", |args, _| {
        let mut value = bytes(&args[0])?.to_vec();
        let (index, bit) = checked_bit(&value, &args[1])?;
        match int(&args[2])? {
            0 => value[index] &= !(1 << bit),
            1 => value[index] |= 1 << bit,
            _ => {
                return Err(SqlError::new(
                    SqlState::INVALID_PARAMETER_VALUE,
                    "new bit must be 0 or 1",
                ));
            }
        }
        bytea(value)
    });
    for (name, start, end) in
        [("btrim", true, true), ("ltrim", true, false), ("rtrim", false, true)]
    {
        b.row(&format!("{name}(bytea,bytea) bytea"), move |args, _| {
            let (mut value, set) = (bytes(&args[0])?, bytes(&args[1])?);
            while let [first, rest @ ..] = value
                && start
                && set.contains(first)
            {
                value = rest;
            }
            while let [rest @ .., last] = value
                && end
                && set.contains(last)
            {
                value = rest;
            }
            bytea(value)
        });
    }
    b.row("encode(bytea,text) text", |args, _| encode(bytes(&args[0])?, text(&args[1])?));
    b.row("decode(text,text) bytea", |args, _| decode(text(&args[0])?, text(&args[1])?));
    conversions(b);
}

pub(crate) fn install_operators(b: &mut Builder) {
    b.infallible(|b| {
        b.row("||(bytea,bytea) bytea", |args, _| {
            bytea([bytes(&args[0])?, bytes(&args[1])?].concat())
        });
    });
}

fn digests(b: &mut Builder) {
    b.row("md5(text) text", |args, _| {
        Ok(Datum::Text(hex(&Md5::digest(text(&args[0])?.as_bytes()))))
    });
    b.row("md5(bytea) text", |args, _| Ok(Datum::Text(hex(&Md5::digest(bytes(&args[0])?)))));
    b.row("sha224(bytea) bytea", |args, _| bytea(Sha224::digest(bytes(&args[0])?).to_vec()));
    b.row("sha256(bytea) bytea", |args, _| bytea(Sha256::digest(bytes(&args[0])?).to_vec()));
    b.row("sha384(bytea) bytea", |args, _| bytea(Sha384::digest(bytes(&args[0])?).to_vec()));
    b.row("sha512(bytea) bytea", |args, _| bytea(Sha512::digest(bytes(&args[0])?).to_vec()));
}

fn part(value: &[u8], start: i32, count: Option<i32>) -> SqlResult<Datum> {
    let first = i64::from(start).max(1);
    let end = match count {
        Some(count) if count < 0 => {
            return Err(SqlError::new(
                SqlState::SUBSTRING_ERROR,
                "negative substring length not allowed",
            ));
        }
        Some(count) => i64::from(start) + i64::from(count),
        None => i64::MAX,
    };
    let from = (first as usize - 1).min(value.len());
    let length = usize::try_from(end.saturating_sub(first)).unwrap_or(0);
    bytea(&value[from..from + length.min(value.len() - from)])
}

fn overlay(value: &[u8], by: &[u8], start: i32, count: i32) -> SqlResult<Datum> {
    if start <= 0 {
        return Err(SqlError::new(
            SqlState::SUBSTRING_ERROR,
            "negative substring length not allowed",
        ));
    }
    let resume =
        start.checked_add(count).ok_or_else(|| super::error::out_of_range(&PgType::Int4))?;
    let head = value.len().min(start as usize - 1);
    let tail = usize::try_from(resume - 1).unwrap_or(0).min(value.len());
    bytea([&value[..head], by, &value[tail..]].concat())
}

/// The byte and the bit within it, from the lowest, of a bit's number.
fn checked_bit(value: &[u8], number: &Datum) -> SqlResult<(usize, u32)> {
    let Datum::Int8(number) = number else { return Err(unexpected_value("a bit's number")) };
    let index =
        usize::try_from(*number / 8).ok().filter(|index| *number >= 0 && *index < value.len());
    let index = index.ok_or_else(|| {
        let last = value.len() as i64 * 8 - 1;
        SqlError::new(
            SqlState::ARRAY_SUBSCRIPT_ERROR,
            format!("index {number} out of valid range, 0..{last}"),
        )
    })?;
    Ok((index, (number % 8) as u32))
}

fn checked_index(value: &[u8], index: i32) -> SqlResult<usize> {
    usize::try_from(index).ok().filter(|i| *i < value.len()).ok_or_else(|| {
        SqlError::new(
            SqlState::ARRAY_SUBSCRIPT_ERROR,
            format!("index {index} out of valid range, 0..{}", value.len() as i64 - 1),
        )
    })
}

fn unknown_encoding(name: &str) -> SqlError {
    SqlError::new(SqlState::INVALID_PARAMETER_VALUE, format!("unrecognized encoding: \"{name}\""))
}

fn encode(value: &[u8], encoding: &str) -> SqlResult<Datum> {
    Ok(Datum::Text(match encoding.to_ascii_lowercase().as_str() {
        "hex" => hex(value),
        "base64" => {
            // Lines of 76 characters.
            let encoded = STANDARD.encode(value);
            let lines: Vec<&str> = encoded
                .as_bytes()
                .chunks(76)
                .map(|line| std::str::from_utf8(line).unwrap_or_default())
                .collect();
            lines.join("\n")
        }
        "escape" => {
            let mut out = String::new();
            for byte in value {
                match byte {
                    0 | 0x80.. => out.push_str(&format!("\\{byte:03o}")),
                    b'\\' => out.push_str("\\\\"),
                    byte => out.push(char::from(*byte)),
                }
            }
            out
        }
        _ => return Err(unknown_encoding(encoding)),
    }))
}

fn decode(value: &str, encoding: &str) -> SqlResult<Datum> {
    let invalid = |message: String| SqlError::new(SqlState::INVALID_PARAMETER_VALUE, message);
    match encoding.to_ascii_lowercase().as_str() {
        "hex" => {
            let digits: Vec<char> = value.chars().filter(|c| !c.is_ascii_whitespace()).collect();
            let mut out = Vec::with_capacity(digits.len() / 2);
            for pair in digits.chunks(2) {
                let mut byte = 0;
                for c in pair {
                    let digit = c
                        .to_digit(16)
                        .ok_or_else(|| invalid(format!("invalid hexadecimal digit: \"{c}\"")))?;
                    byte = byte * 16 + digit as u8;
                }
                if pair.len() == 1 {
                    return Err(invalid("invalid hexadecimal data: odd number of digits".into()));
                }
                out.push(byte);
            }
            bytea(out)
        }
        "base64" => {
            let packed: String = value.chars().filter(|c| !c.is_ascii_whitespace()).collect();
            if let Some(symbol) = packed
                .chars()
                .find(|c| !(c.is_ascii_alphanumeric() || matches!(c, '+' | '/' | '=')))
            {
                return Err(invalid(format!(
                    "invalid symbol \"{symbol}\" found while decoding base64 sequence"
                )));
            }
            let decoded = STANDARD.decode(&packed).map_err(|_| {
                invalid("invalid base64 end sequence".into())
                    .hint("Input data is missing padding, is truncated, or is otherwise corrupted.")
            })?;
            bytea(decoded)
        }
        "escape" => match satsuma_common::text::parse_bytea(value) {
            Ok(bytes) => bytea(bytes),
            Err(_) => Err(SqlError::new(
                SqlState::INVALID_TEXT_REPRESENTATION,
                "invalid input syntax for type bytea",
            )),
        },
        _ => Err(unknown_encoding(encoding)),
    }
}

fn is_utf8(name: &str) -> SqlResult<()> {
    match name.to_ascii_lowercase().replace(['-', '_'], "").as_str() {
        "utf8" | "unicode" => Ok(()),
        _ => Err(SqlError::unsupported(format!("encoding \"{name}\" is not supported"))
            .hint("Only UTF8 is.")),
    }
}

fn conversions(b: &mut Builder) {
    b.row("convert_to(text,name) bytea", |args, _| {
        is_utf8(text(&args[1])?)?;
        bytea(text(&args[0])?.as_bytes())
    });
    b.row("length(bytea,name) int4", |args, _| {
        is_utf8(text(&args[1])?)?;
        let characters = satsuma_common::utf8::check(bytes(&args[0])?)?.chars().count();
        Ok(Datum::Int4(characters as i32))
    });
    b.row("convert_from(bytea,name) text", |args, _| {
        is_utf8(text(&args[1])?)?;
        satsuma_common::utf8::check(bytes(&args[0])?).map(|text| Datum::Text(text.to_owned()))
    });
}
