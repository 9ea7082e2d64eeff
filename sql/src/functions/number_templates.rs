//! to_char and to_number: numbers by template.

use satsuma_common::numeric::Numeric;
use satsuma_common::{Datum, SqlError, SqlResult, SqlState};

use super::date_templates::ordinal_suffix;
use super::error::unexpected_value;
use super::library::Builder;
use crate::casts::text::text;

fn wrong() -> SqlError {
    unexpected_value("a number template")
}

/// A number template taken apart.
#[derive(Default)]
struct Picture {
    /// Characters in order: digits, separators, signs, literals.
    marks: Vec<Mark>,
    integers: usize,
    decimals: usize,
    fill: bool,
    point: bool,
    angle: bool,
    signed: bool,
    shift: usize,
    exponent: bool,
    /// Roman digits, and whether capitals.
    roman: Option<bool>,
    ordinal: Option<bool>,
    leading_zero_at: Option<usize>,
}

#[derive(Clone, Copy, PartialEq, Debug)]
enum Mark {
    Digit {
        zero: bool,
    },
    Point,
    Comma,
    /// `S`: a sign where it stands.
    Sign,
    /// `MI`: a minus or a blank.
    Minus,
    Plus,
    Currency,
    Char(char),
}

fn picture(template: &str) -> Picture {
    let mut p = Picture { fill: true, ..Picture::default() };
    let mut rest = template;
    while let Some(c) = rest.chars().next() {
        let head = |n: usize| rest.get(..n).unwrap_or_default().to_ascii_uppercase();
        let (two, four) = (head(2), head(4));
        let mut used = c.len_utf8();
        if c == '"' {
            let inner = &rest[1..];
            let end = inner.find('"').unwrap_or(inner.len());
            p.marks.extend(inner[..end].chars().map(Mark::Char));
            rest = inner.get(end + 1..).unwrap_or_default();
            continue;
        }
        if four == "EEEE" {
            p.exponent = true;
            used = 4;
        } else if two == "FM" {
            p.fill = false;
            used = 2;
        } else if two == "MI" {
            p.marks.push(Mark::Minus);
            used = 2;
        } else if two == "PL" {
            p.marks.push(Mark::Plus);
            used = 2;
        } else if two == "SG" {
            p.marks.push(Mark::Sign);
            used = 2;
        } else if two == "PR" {
            p.angle = true;
            used = 2;
        } else if two == "RN" {
            p.roman = Some(rest.starts_with('R'));
            used = 2;
        } else if two == "SP" {
            used = 2;
        } else if two == "TH" {
            p.ordinal = Some(rest.starts_with("TH"));
            used = 2;
        } else {
            match c {
                '9' | '0' => {
                    let zero = c == '0';
                    if p.shift > 0 {
                        p.shift += 1;
                    } else if p.point {
                        p.decimals += 1;
                    } else {
                        if zero {
                            p.leading_zero_at.get_or_insert(p.integers);
                        }
                        p.integers += 1;
                    }
                    p.marks.push(Mark::Digit { zero });
                }
                '.' | 'D' | 'd' => {
                    p.point = true;
                    p.marks.push(Mark::Point);
                }
                ',' | 'G' | 'g' => p.marks.push(Mark::Comma),
                'S' | 's' => {
                    p.signed = true;
                    p.marks.push(Mark::Sign);
                }
                'V' | 'v' => p.shift = 1,
                'L' | 'l' => p.marks.push(Mark::Currency),
                // Marks without an effect.
                'B' | 'b' | 'C' | 'c' => {}
                other => p.marks.push(Mark::Char(other)),
            }
        }
        rest = &rest[used..];
    }
    p.shift = p.shift.saturating_sub(1);
    p
}

fn of_number(value: &Numeric, template: &str) -> SqlResult<Datum> {
    let p = picture(template);
    if let Some(capitals) = p.roman {
        let roman = roman(value, p.fill)?;
        return Ok(Datum::Text(if capitals { roman } else { roman.to_lowercase() }));
    }
    if p.exponent {
        return scientific(value, &p).map(Datum::Text);
    }
    let mut shown = value.clone();
    for _ in 0..p.shift {
        shown = shown.mul(&Numeric::from(10i64))?;
    }
    let rounded = shown.round(p.decimals as i32);
    let negative = rounded.is_negative();
    let text = rounded.abs().to_string();
    let (whole, decimals) = text.split_once('.').unwrap_or((&text, ""));
    let whole = if whole == "0" && p.integers + p.shift > 0 { "" } else { whole };
    let places = p.integers + p.shift;
    let overflow = whole.len() > places;
    // From which integer place on digits are shown.
    let zeros_from = p.leading_zero_at.unwrap_or(places);
    let first_digit = places.saturating_sub(whole.len());
    let mut from = first_digit.min(zeros_from);
    if !p.point && whole.is_empty() && zeros_from >= places && places > 0 {
        // A zero without decimals shows its last digit.
        from = places - 1;
    }
    let mut out = String::new();
    let mut place = 0;
    let mut decimal = 0;
    let mut after_point = false;
    let has_sign_mark = p.marks.iter().any(|m| matches!(m, Mark::Sign | Mark::Minus));
    let sign_before = !has_sign_mark && !p.angle;
    let leading_sign = p.marks.first() == Some(&Mark::Sign);
    let mut signed = false;
    let put_sign = |out: &mut String, signed: &mut bool| {
        if *signed {
            return;
        }
        *signed = true;
        if sign_before {
            if negative {
                out.push('-');
            } else if p.fill {
                out.push(' ');
            }
        } else if p.angle {
            if negative {
                out.push('<');
            } else if p.fill {
                out.push(' ');
            }
        } else if leading_sign {
            out.push(if negative { '-' } else { '+' });
        }
    };
    for (i, mark) in p.marks.iter().enumerate() {
        match mark {
            Mark::Digit { .. } if !after_point => {
                if overflow {
                    put_sign(&mut out, &mut signed);
                    out.push('#');
                } else if place < from {
                    if p.fill {
                        out.push(' ');
                    }
                } else {
                    put_sign(&mut out, &mut signed);
                    let index = (place + whole.len()).checked_sub(places);
                    let digit = index.and_then(|i| whole.as_bytes().get(i)).copied();
                    out.push(char::from(digit.unwrap_or(b'0')));
                }
                place += 1;
            }
            Mark::Digit { .. } => {
                if overflow {
                    out.push('#');
                } else {
                    let digit = decimals.as_bytes().get(decimal).copied().unwrap_or(b'0');
                    let rest_is_zero = decimals.bytes().skip(decimal).all(|digit| digit == b'0');
                    let wanted = p.marks[i..].contains(&Mark::Digit { zero: true });
                    if p.fill || wanted || !rest_is_zero {
                        out.push(char::from(digit));
                    }
                }
                decimal += 1;
            }
            Mark::Point => {
                put_sign(&mut out, &mut signed);
                after_point = true;
                out.push('.');
            }
            Mark::Comma => {
                if overflow || place > from {
                    out.push(',');
                } else if p.fill {
                    out.push(' ');
                }
            }
            Mark::Sign if leading_sign && i == 0 => {}
            Mark::Sign => out.push(if negative { '-' } else { '+' }),
            Mark::Minus => {
                if negative {
                    out.push('-');
                } else if p.fill {
                    out.push(' ');
                }
            }
            Mark::Plus => {
                if !negative {
                    out.push('+');
                } else if p.fill {
                    out.push(' ');
                }
            }
            Mark::Currency => out.push(' '),
            Mark::Char(c) => out.push(*c),
        }
    }
    if p.angle {
        if negative {
            out.push('>');
        } else if p.fill {
            out.push(' ');
        }
    }
    if let Some(upper) = p.ordinal
        && !negative
        && !p.point
    {
        let suffix = ordinal_suffix(if whole.is_empty() { "0" } else { whole });
        out.push_str(&if upper { suffix.to_uppercase() } else { suffix.into() });
    }
    Ok(Datum::Text(out))
}

fn scientific(value: &Numeric, p: &Picture) -> SqlResult<String> {
    let number = value.to_f64();
    let text = format!("{:.*e}", p.decimals, number.abs());
    let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let sign = if number < 0.0 {
        "-"
    } else if p.signed {
        "+"
    } else {
        " "
    };
    let power = if exponent < 0 { '-' } else { '+' };
    Ok(format!("{sign}{mantissa}e{power}{:02}", exponent.abs()))
}

fn roman(value: &Numeric, fill: bool) -> SqlResult<String> {
    let number = value.round(0).to_i64().unwrap_or(0);
    if !(1..=3999).contains(&number) {
        return Ok("#".repeat(15));
    }
    let table = [
        (1000, "M"),
        (900, "CM"),
        (500, "D"),
        (400, "CD"),
        (100, "C"),
        (90, "XC"),
        (50, "L"),
        (40, "XL"),
        (10, "X"),
        (9, "IX"),
        (5, "V"),
        (4, "IV"),
        (1, "I"),
    ];
    let mut rest = number;
    let mut out = String::new();
    for (worth, letters) in table {
        while rest >= worth {
            out.push_str(letters);
            rest -= worth;
        }
    }
    Ok(if fill { format!("{out:>15}") } else { out })
}

fn to_number(value: &str, template: &str) -> SqlResult<Datum> {
    let p = picture(template);
    let mut digits = String::new();
    let mut negative = false;
    let mut point = false;
    let mut places = p.marks.iter().filter(|m| matches!(m, Mark::Digit { .. })).count();
    for c in value.chars() {
        match c {
            '-' | '<' => negative = true,
            '0'..='9' if places > 0 => {
                digits.push(c);
                places -= 1;
            }
            '.' if p.point && !point => {
                point = true;
                digits.push('.');
            }
            '.' => break,
            _ => {}
        }
    }
    if !digits.bytes().any(|b| b.is_ascii_digit()) {
        return Err(SqlError::new(
            SqlState::INVALID_TEXT_REPRESENTATION,
            format!("invalid input syntax for type numeric: \"{}\"", value.trim()),
        ));
    }
    let number = Numeric::parse(&digits)?;
    let mut number = if negative { number.neg() } else { number };
    for _ in 0..p.shift {
        number = number.div(&Numeric::from(10i64))?;
    }
    Ok(Datum::Numeric(number))
}

pub(crate) fn install(b: &mut Builder) {
    b.row("to_char(numeric,text) text", |args, _| match args {
        [Datum::Numeric(value), template] => of_number(value, text(template)?),
        _ => Err(wrong()),
    });
    for ty in ["int4", "int8", "float4", "float8"] {
        b.row(&format!("to_char({ty},text) text"), |args, _| {
            let value = match &args[0] {
                Datum::Int4(v) => Numeric::from(*v),
                Datum::Int8(v) => Numeric::from(*v),
                Datum::Float4(v) => Numeric::from_f32(*v),
                Datum::Float8(v) => Numeric::from_f64(*v),
                _ => return Err(wrong()),
            };
            of_number(&value, text(&args[1])?)
        });
    }
    b.row("to_number(text,text) numeric", |args, _| to_number(text(&args[0])?, text(&args[1])?));
}
