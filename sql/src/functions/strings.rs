//! Strings. Positions and lengths are in characters, from 1.

use std::cell::Cell;

use datafusion::arrow::datatypes::{DataType, Int32Type};
use satsuma_common::{Datum, SqlError, SqlResult, SqlState};

use super::error::unexpected_value;
use super::library::{Builder, Call};
use super::vector;
use crate::casts::text::{output, text};
use crate::value_size;
use crate::value_size::too_long;

/// What `||` of two texts calls.
const TEXTCAT: &str = "textcat(text,text) text";

pub(crate) fn install(b: &mut Builder) {
    b.infallible(|b| {
        case(b);
        lengths(b);
        parts(b);
        trimming(b);
        searching(b);
        quoting(b);
        concatenation(b);
    });
    building(b);
    b.with_settings(|b| {
        b.called_on_null(|b| {
            b.row("format(text) text", format);
            b.row("format(text,variadic any) text", format);
        });
    });
}

fn wrong() -> SqlError {
    unexpected_value("a string function")
}

pub(crate) fn int(value: &Datum) -> SqlResult<i32> {
    match value {
        Datum::Int4(v) => Ok(*v),
        _ => Err(wrong()),
    }
}

fn string(value: impl Into<String>) -> SqlResult<Datum> {
    Ok(Datum::Text(value.into()))
}

fn mapping(b: &mut Builder, name: &str, f: fn(&str, &mut String)) {
    b.columns(&format!("{name}(text) text"), move |args, _| {
        let [value] = args else { return Err(wrong()) };
        vector::text_to_text(value, |s, out| {
            f(s, out);
            Ok(())
        })
    });
}

/// One character to one character: what has only a longer form stays as it is.
fn upper(c: char) -> char {
    // Greek letters with an iota beneath have their capital in one character too.
    let capital = match u32::from(c) {
        code @ (0x1f80..=0x1f87 | 0x1f90..=0x1f97 | 0x1fa0..=0x1fa7) => code + 8,
        code @ (0x1fb3 | 0x1fc3 | 0x1ff3) => code + 9,
        _ => {
            let mut mapped = c.to_uppercase();
            return match (mapped.next(), mapped.next()) {
                (Some(one), None) => one,
                _ => c,
            };
        }
    };
    char::from_u32(capital).unwrap_or(c)
}

fn lower(c: char) -> char {
    if c == '\u{130}' {
        return 'i';
    }
    let mut mapped = c.to_lowercase();
    match (mapped.next(), mapped.next()) {
        (Some(one), None) => one,
        _ => c,
    }
}

fn case(b: &mut Builder) {
    mapping(b, "lower", |s, out| out.extend(s.chars().map(lower)));
    mapping(b, "upper", |s, out| out.extend(s.chars().map(upper)));
    mapping(b, "reverse", |s, out| out.extend(s.chars().rev()));
    mapping(b, "initcap", |s, out| {
        let mut inside = false;
        for c in s.chars() {
            if inside {
                out.push(lower(c));
            } else {
                out.push(upper(c));
            }
            inside = c.is_alphanumeric();
        }
    });
}

fn length(b: &mut Builder, signature: &str, f: fn(&str) -> usize) {
    b.columns(signature, move |args, _| {
        let [value] = args else { return Err(wrong()) };
        vector::text_to::<Int32Type>(value, DataType::Int32, |s| {
            i32::try_from(f(s)).map_err(|_| too_long())
        })
    });
}

fn lengths(b: &mut Builder) {
    for name in ["length", "char_length", "character_length"] {
        length(b, &format!("{name}(text) int4"), |s| s.chars().count());
        length(b, &format!("{name}(bpchar) int4"), |s| s.trim_end_matches(' ').chars().count());
    }
    length(b, "octet_length(text) int4", str::len);
    length(b, "octet_length(bpchar) int4", str::len);
    length(b, "bit_length(text) int4", |s| s.len() * 8);
    b.row("ascii(text) int4", |args, _| {
        Ok(Datum::Int4(text(&args[0])?.chars().next().map_or(0, |c| c as i32)))
    });
}

/// Characters `start` to `start + count` of a string, where `start` may lie before it.
fn substring(value: &str, start: i32, count: Option<i32>) -> SqlResult<Datum> {
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
    let length = usize::try_from(end.saturating_sub(first)).unwrap_or(0);
    string(value.chars().skip(first as usize - 1).take(length).collect::<String>())
}

fn parts(b: &mut Builder) {
    for name in ["substr", "substring"] {
        b.row(&format!("{name}(text,int4) text"), |args, _| {
            substring(text(&args[0])?, int(&args[1])?, None)
        });
        b.row(&format!("{name}(text,int4,int4) text"), |args, _| {
            substring(text(&args[0])?, int(&args[1])?, Some(int(&args[2])?))
        });
    }
    b.row("left(text,int4) text", |args, _| {
        let (value, n) = (text(&args[0])?, int(&args[1])?);
        let length = value.chars().count() as i64;
        let keep = if n < 0 { length + i64::from(n) } else { i64::from(n) };
        string(value.chars().take(usize::try_from(keep).unwrap_or(0)).collect::<String>())
    });
    b.row("right(text,int4) text", |args, _| {
        let (value, n) = (text(&args[0])?, int(&args[1])?);
        let length = value.chars().count() as i64;
        // The smallest integer has no opposite: nothing is skipped then.
        let skip = if n < 0 { i64::from(n.wrapping_neg()) } else { length - i64::from(n) };
        string(value.chars().skip(usize::try_from(skip).unwrap_or(0)).collect::<String>())
    });
    b.row("split_part(text,text,int4) text", |args, _| {
        let (value, delimiter, n) = (text(&args[0])?, text(&args[1])?, int(&args[2])?);
        if n == 0 {
            return Err(SqlError::new(
                SqlState::INVALID_PARAMETER_VALUE,
                "field position must not be zero",
            ));
        }
        if delimiter.is_empty() {
            return string(if n == 1 || n == -1 { value } else { "" });
        }
        let index = n.unsigned_abs() as usize - 1;
        let part = if n > 0 {
            value.split(delimiter).nth(index)
        } else {
            let all: Vec<&str> = value.split(delimiter).collect();
            all.len().checked_sub(index + 1).and_then(|i| all.get(i).copied())
        };
        string(part.unwrap_or_default())
    });
    b.row("overlay(text,text,int4) text", |args, _| {
        let by = text(&args[1])?;
        overlay(text(&args[0])?, by, int(&args[2])?, by.chars().count() as i32)
    });
    b.row("overlay(text,text,int4,int4) text", |args, _| {
        overlay(text(&args[0])?, text(&args[1])?, int(&args[2])?, int(&args[3])?)
    });
}

fn overlay(value: &str, by: &str, start: i32, count: i32) -> SqlResult<Datum> {
    if start <= 0 {
        return Err(SqlError::new(
            SqlState::SUBSTRING_ERROR,
            "negative substring length not allowed",
        ));
    }
    let head: String = value.chars().take(start as usize - 1).collect();
    let resume = usize::try_from(i64::from(start) - 1 + i64::from(count)).unwrap_or(0);
    let tail: String = value.chars().skip(resume).collect();
    string(format!("{head}{by}{tail}"))
}

fn trimming(b: &mut Builder) {
    for (name, start, end) in
        [("btrim", true, true), ("ltrim", true, false), ("rtrim", false, true)]
    {
        let trim = move |value: &str, set: &str| {
            let mut rest = value;
            if start {
                rest = rest.trim_start_matches(|c| set.contains(c));
            }
            if end {
                rest = rest.trim_end_matches(|c| set.contains(c));
            }
            rest.to_string()
        };
        b.columns(&format!("{name}(text) text"), move |args, _| {
            let [value] = args else { return Err(wrong()) };
            vector::text_to_text(value, |s, out| {
                out.push_str(&trim(s, " "));
                Ok(())
            })
        });
        b.row(&format!("{name}(text,text) text"), move |args, _| {
            string(trim(text(&args[0])?, text(&args[1])?))
        });
    }
}

fn position(value: &str, wanted: &str) -> i32 {
    value.find(wanted).map_or(0, |at| value[..at].chars().count() as i32 + 1)
}

fn searching(b: &mut Builder) {
    for name in ["strpos", "position"] {
        b.row(&format!("{name}(text,text) int4"), |args, _| {
            Ok(Datum::Int4(position(text(&args[0])?, text(&args[1])?)))
        });
    }
    b.columns("starts_with(text,text) bool", |args, _| {
        let [value, prefix] = args else { return Err(wrong()) };
        vector::texts_to_bool(value, prefix, |value, prefix| Ok(value.starts_with(prefix)))
    });
    b.row("replace(text,text,text) text", |args, _| {
        let (value, from) = (text(&args[0])?, text(&args[1])?);
        if from.is_empty() {
            return string(value);
        }
        let to = text(&args[2])?;
        if to.len() > from.len() {
            let found = value.matches(from).count();
            let more = found.checked_mul(to.len() - from.len());
            value_size::check(more.and_then(|more| more.checked_add(value.len())))?;
        }
        string(value.replace(from, to))
    });
    b.row("translate(text,text,text) text", |args, _| {
        let from: Vec<char> = text(&args[1])?.chars().collect();
        let to: Vec<char> = text(&args[2])?.chars().collect();
        let mapped =
            text(&args[0])?.chars().filter_map(|c| match from.iter().position(|f| *f == c) {
                Some(i) => to.get(i).copied(),
                None => Some(c),
            });
        string(mapped.collect::<String>())
    });
}

/// The identifier, in quotes where it needs them.
pub fn quote_ident(name: &str) -> String {
    let plain = name.starts_with(|c: char| c.is_ascii_lowercase() || c == '_')
        && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
    if plain && !is_reserved(name) {
        name.to_string()
    } else {
        format!("\"{}\"", name.replace('"', "\"\""))
    }
}

/// Key words that cannot stand as a bare identifier.
fn is_reserved(name: &str) -> bool {
    const RESERVED: &[&str] = &[
        "all",
        "analyse",
        "analyze",
        "and",
        "any",
        "array",
        "as",
        "asc",
        "asymmetric",
        "authorization",
        "between",
        "bigint",
        "binary",
        "bit",
        "boolean",
        "both",
        "case",
        "cast",
        "char",
        "character",
        "check",
        "coalesce",
        "collate",
        "collation",
        "column",
        "concurrently",
        "constraint",
        "create",
        "cross",
        "current_catalog",
        "current_date",
        "current_role",
        "current_schema",
        "current_time",
        "current_timestamp",
        "current_user",
        "dec",
        "decimal",
        "default",
        "deferrable",
        "desc",
        "distinct",
        "do",
        "else",
        "end",
        "except",
        "exists",
        "extract",
        "false",
        "fetch",
        "float",
        "for",
        "foreign",
        "freeze",
        "from",
        "full",
        "grant",
        "greatest",
        "group",
        "grouping",
        "having",
        "ilike",
        "in",
        "initially",
        "inner",
        "inout",
        "int",
        "integer",
        "intersect",
        "interval",
        "into",
        "is",
        "isnull",
        "join",
        "lateral",
        "leading",
        "least",
        "left",
        "like",
        "limit",
        "localtime",
        "localtimestamp",
        "national",
        "natural",
        "nchar",
        "none",
        "normalize",
        "not",
        "notnull",
        "null",
        "nullif",
        "numeric",
        "offset",
        "on",
        "only",
        "or",
        "order",
        "out",
        "outer",
        "overlaps",
        "overlay",
        "placing",
        "position",
        "precision",
        "primary",
        "real",
        "references",
        "returning",
        "right",
        "row",
        "select",
        "session_user",
        "setof",
        "similar",
        "smallint",
        "some",
        "substring",
        "symmetric",
        "table",
        "tablesample",
        "then",
        "time",
        "timestamp",
        "to",
        "trailing",
        "treat",
        "trim",
        "true",
        "union",
        "unique",
        "user",
        "using",
        "values",
        "varchar",
        "variadic",
        "verbose",
        "when",
        "where",
        "window",
        "with",
        "xmlattributes",
        "xmlconcat",
        "xmlelement",
        "xmlexists",
        "xmlforest",
        "xmlnamespaces",
        "xmlparse",
        "xmlpi",
        "xmlroot",
        "xmlserialize",
        "xmltable",
    ];
    RESERVED.binary_search(&name).is_ok()
}

pub fn quote_literal(value: &str) -> String {
    let quoted = value.replace('\'', "''");
    if quoted.contains('\\') {
        format!("E'{}'", quoted.replace('\\', "\\\\"))
    } else {
        format!("'{quoted}'")
    }
}

fn quoting(b: &mut Builder) {
    b.row("quote_ident(text) text", |args, _| string(quote_ident(text(&args[0])?)));
    b.row("quote_literal(text) text", |args, _| string(quote_literal(text(&args[0])?)));
    b.with_settings(|b| {
        b.row("quote_literal(anyelement) text", |args, call| {
            string(quote_literal(&output(&args[0], &call.arguments[0], &call.context)?))
        });
    });
    b.called_on_null(|b| {
        b.row("quote_nullable(text) text", |args, _| match &args[0] {
            Datum::Null => string("NULL"),
            value => string(quote_literal(text(value)?)),
        });
        b.with_settings(|b| {
            b.row("quote_nullable(anyelement) text", |args, call| match &args[0] {
                Datum::Null => string("NULL"),
                value => string(quote_literal(&output(value, &call.arguments[0], &call.context)?)),
            });
        });
    });
}

/// The text forms of all arguments but the first `skip`, NULLs left out.
fn outputs(args: &[Datum], call: &Call, skip: usize) -> SqlResult<Vec<String>> {
    args.iter()
        .zip(&call.arguments)
        .skip(skip)
        .filter(|(value, _)| !value.is_null())
        .map(|(value, ty)| output(value, ty, &call.context))
        .collect()
}

fn concatenation(b: &mut Builder) {
    b.columns(TEXTCAT, |args, _| {
        let [left, right] = args else { return Err(wrong()) };
        let batch = Cell::new(0);
        vector::texts_to_text(left, right, |left, right, out| {
            let bytes = left.len() + right.len();
            value_size::check(Some(bytes))?;
            batch.set(batch.get() + bytes);
            value_size::check_batch(batch.get())?;
            out.push_str(left);
            out.push_str(right);
            Ok(true)
        })
    });
    b.with_settings(|b| {
        b.called_on_null(|b| {
            b.row("concat(variadic any) text", |args, call| {
                string(outputs(args, call, 0)?.concat())
            });
            b.row("concat_ws(text,variadic any) text", |args, call| match &args[0] {
                Datum::Null => Ok(Datum::Null),
                separator => string(outputs(args, call, 1)?.join(text(separator)?)),
            });
        });
    });
}

fn building(b: &mut Builder) {
    b.row("repeat(text,int4) text", |args, _| {
        let (value, count) = (text(&args[0])?, usize::try_from(int(&args[1])?).unwrap_or(0));
        value_size::check(value.len().checked_mul(count))?;
        string(value.repeat(count))
    });
    for (name, left) in [("lpad", true), ("rpad", false)] {
        b.row(&format!("{name}(text,int4) text"), move |args, _| {
            pad(text(&args[0])?, int(&args[1])?, " ", left)
        });
        b.row(&format!("{name}(text,int4,text) text"), move |args, _| {
            pad(text(&args[0])?, int(&args[1])?, text(&args[2])?, left)
        });
    }
    b.row("chr(int4) text", |args, _| {
        let code = int(&args[0])?;
        if code == 0 {
            return Err(SqlError::new(
                SqlState::PROGRAM_LIMIT_EXCEEDED,
                "null character not permitted",
            ));
        }
        let refused =
            |message: String| Err(SqlError::new(SqlState::PROGRAM_LIMIT_EXCEEDED, message));
        match u32::try_from(code).map(|code| (code, char::from_u32(code))) {
            Ok((_, Some(c))) => string(c),
            Ok((0xd800..=0xdfff, None)) => {
                refused(format!("requested character not valid for encoding: {code}"))
            }
            Ok(_) => refused(format!("requested character too large for encoding: {code}")),
            Err(_) => Err(SqlError::new(
                SqlState::INVALID_PARAMETER_VALUE,
                "character number must be positive",
            )),
        }
    });
    b.row("to_hex(int4) text", |args, _| string(format!("{:x}", int(&args[0])?)));
    b.row("to_hex(int8) text", |args, _| match &args[0] {
        Datum::Int8(v) => string(format!("{v:x}")),
        _ => Err(wrong()),
    });
    b.row("like_escape(text,text) text", |args, _| {
        crate::operators::text::escape_pattern(text(&args[0])?, text(&args[1])?).map(Datum::Text)
    });
}

fn pad(value: &str, length: i32, fill: &str, left: bool) -> SqlResult<Datum> {
    let length = usize::try_from(length).unwrap_or(0);
    let widest = fill.chars().map(char::len_utf8).max().unwrap_or(1);
    value_size::check(length.checked_mul(widest))?;
    let have = value.chars().count();
    if have >= length || fill.is_empty() {
        return string(value.chars().take(length).collect::<String>());
    }
    let padding: String = fill.chars().cycle().take(length - have).collect();
    string(if left { format!("{padding}{value}") } else { format!("{value}{padding}") })
}

fn format_error(message: impl Into<String>) -> SqlError {
    SqlError::new(SqlState::INVALID_PARAMETER_VALUE, message)
}

/// `format('%s %I %L %1$s %-10s', ...)`.
fn format(args: &[Datum], call: &Call) -> SqlResult<Datum> {
    if args[0].is_null() {
        return Ok(Datum::Null);
    }
    let mut out = String::new();
    let mut chars = text(&args[0])?.chars().peekable();
    let mut next = 1;
    let argument = |index: usize| {
        args.get(index)
            .zip(call.arguments.get(index))
            .ok_or_else(|| format_error("too few arguments for format()"))
    };
    while let Some(c) = chars.next() {
        if c != '%' {
            out.push(c);
            continue;
        }
        let unterminated = || {
            format_error("unterminated format() type specifier")
                .hint("For a single \"%\" use \"%%\".")
        };
        if chars.peek() == Some(&'%') {
            chars.next();
            out.push('%');
            continue;
        }
        let number = |chars: &mut std::iter::Peekable<std::str::Chars<'_>>| {
            let mut value: Option<usize> = None;
            while let Some(digit) = chars.peek().and_then(|c| c.to_digit(10)) {
                chars.next();
                value = Some(value.unwrap_or(0).saturating_mul(10).saturating_add(digit as usize));
            }
            value
        };
        let mut explicit = None;
        let mut width: i64 = 0;
        let mut left = false;
        if let Some(first) = number(&mut chars) {
            if chars.peek() == Some(&'$') {
                chars.next();
                if first == 0 {
                    return Err(format_error(
                        "format specifies argument 0, but arguments are numbered from 1",
                    ));
                }
                explicit = Some(first);
            } else {
                width = first as i64;
            }
        }
        while chars.peek() == Some(&'-') {
            chars.next();
            left = true;
        }
        if chars.peek() == Some(&'*') {
            chars.next();
            let index = match number(&mut chars) {
                Some(index) if chars.peek() == Some(&'$') => {
                    chars.next();
                    index
                }
                _ => {
                    next += 1;
                    next - 1
                }
            };
            let (value, ty) = argument(index)?;
            let shown = output(value, ty, &call.context)?;
            width = if value.is_null() {
                0
            } else {
                shown.parse().map_err(|_| format_error("invalid width of format()"))?
            };
        } else if let Some(digits) = number(&mut chars) {
            width = digits as i64;
        }
        let kind = chars.next().ok_or_else(unterminated)?;
        if !matches!(kind, 's' | 'I' | 'L') {
            return Err(format_error(format!("unrecognized format() type specifier \"{kind}\""))
                .hint("For a single \"%\" use \"%%\"."));
        }
        let index = explicit.unwrap_or(next);
        next = index + 1;
        let (value, ty) = argument(index)?;
        let shown = match (kind, value.is_null()) {
            ('I', true) => {
                return Err(SqlError::new(
                    SqlState::NULL_VALUE_NOT_ALLOWED,
                    "null values cannot be formatted as an SQL identifier",
                ));
            }
            ('L', true) => "NULL".into(),
            (_, true) => String::new(),
            ('I', _) => quote_ident(&output(value, ty, &call.context)?),
            ('L', _) => quote_literal(&output(value, ty, &call.context)?),
            _ => output(value, ty, &call.context)?,
        };
        let left = left || width < 0;
        let width = width.unsigned_abs() as usize;
        value_size::check(width.checked_add(out.len()))?;
        let missing = width.saturating_sub(shown.chars().count());
        let blanks = " ".repeat(missing);
        out.push_str(&if left { shown + &blanks } else { blanks + &shown });
    }
    string(out)
}

/// `text ^@ text`.
pub(crate) fn install_operators(b: &mut Builder) {
    b.infallible(|b| {
        b.columns("^@(text,text) bool", |args, _| {
            let [value, prefix] = args else { return Err(wrong()) };
            vector::texts_to_bool(value, prefix, |value, prefix| Ok(value.starts_with(prefix)))
        });
    });
}
