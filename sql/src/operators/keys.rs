//! Keys: values of types whose Arrow order or equality is not PostgreSQL's, brought to a form
//! whose order is.
//!
//! | type | why | key |
//! |---|---|---|
//! | variable numeric | 1.0 = 1.00 | its sortable bytes without the display scale |
//! | float | -0 = 0, one NaN | the float, normalised |
//! | bpchar | trailing blanks do not count | the text without them (for order only, in a column of char(n): all have n characters) |
//! | interval | 1 month = 30 days | microseconds, as numeric(38,0) |
//! | jsonb | its own order | bytes |
//! | arrays | by elements, then length | bytes |
//! | record | by fields | bytes |
//! | enum | order of its labels | position, for order only |

use datafusion::arrow::datatypes::{Float32Type, Float64Type};
use datafusion::logical_expr::Expr;
use satsuma_common::datetime::calendar::{
    DATE_INFINITY, DATE_NEG_INFINITY, DAY_MICROS, TIMESTAMP_INFINITY, TIMESTAMP_NEG_INFINITY,
};
use satsuma_common::datum::Interval;
use satsuma_common::numeric::Numeric;
use satsuma_common::{Datum, NumericMod, PgType, SqlResult, arrow_types, record};

use crate::functions::error::unexpected_value;
use crate::functions::library::{self, Builder};
use crate::functions::udf::call_expr;
use crate::functions::vector::{text_to_text, unary};
use crate::functions::{FunctionEnv, Settings, Typed};

/// Functions that compute keys; internal names.
pub(crate) fn install_functions(b: &mut Builder) {
    b.infallible(|b| {
        b.columns("equality_key(float8) float8", |args, call| {
            let [value] = args else { return Err(unexpected_value("a key")) };
            let _ = call;
            unary::<Float64Type, Float64Type>(value, arrow_types::data_type(&PgType::Float8), |v| {
                Ok(if v.is_nan() { f64::NAN } else { v + 0.0 })
            })
        });
        b.columns("equality_key(float4) float4", |args, _| {
            let [value] = args else { return Err(unexpected_value("a key")) };
            unary::<Float32Type, Float32Type>(value, arrow_types::data_type(&PgType::Float4), |v| {
                Ok(if v.is_nan() { f32::NAN } else { v + 0.0 })
            })
        });
        b.columns("equality_key(bpchar) text", |args, _| {
            let [value] = args else { return Err(unexpected_value("a key")) };
            text_to_text(value, |text, out| {
                out.push_str(text.trim_end_matches(' '));
                Ok(())
            })
        });
        b.row("equality_key(numeric) bytea", |args, _| match args {
            [Datum::Numeric(v)] => {
                let bytes = v.to_sortable();
                Ok(Datum::Bytea(satsuma_common::numeric::sortable_key(&bytes).to_vec()))
            }
            _ => Err(unexpected_value("a key")),
        });
        b.row("interval_key(interval) any", |args, _| match args {
            [Datum::Interval(v)] => Ok(Datum::Numeric(Numeric::from(interval_micros(*v)))),
            _ => Err(unexpected_value("a key")),
        });
        for ty in ["date", "time", "timestamp", "timestamptz"] {
            b.row(&format!("distance_key({ty}) any"), |args, _| match args {
                [value] => Ok(Datum::Numeric(Numeric::from(distance_micros(value)?))),
                _ => Err(unexpected_value("a key")),
            });
        }
        b.row("sort_key(any) bytea", |args, call| {
            let mut out = Vec::new();
            if let ([value], [ty]) = (args, call.arguments.as_slice()) {
                append_key(value, ty, &mut out)?;
            }
            Ok(Datum::Bytea(out))
        });
        b.row("enum_position(text,_text) int4", |args, _| match args {
            [Datum::Text(label), Datum::Array(labels)] => {
                let position = labels
                    .values
                    .iter()
                    .position(|l| matches!(l, Datum::Text(text) if text == label));
                Ok(position.map_or(Datum::Null, |p| Datum::Int4(p as i32)))
            }
            _ => Err(unexpected_value("a key")),
        });
    });
}

/// Months count 30 days, days 24 hours: how PostgreSQL compares intervals.
pub fn interval_micros(value: Interval) -> i128 {
    let days = i128::from(value.months) * 30 + i128::from(value.days);
    days * 86_400_000_000 + i128::from(value.micros)
}

/// Moments as microseconds, with the infinities far beyond what any interval reaches.
fn distance_micros(value: &Datum) -> SqlResult<i128> {
    const FAR: i128 = 10_i128.pow(30);
    Ok(match value {
        Datum::Date(DATE_INFINITY) | Datum::Timestamp(TIMESTAMP_INFINITY) => FAR,
        Datum::Date(DATE_NEG_INFINITY) | Datum::Timestamp(TIMESTAMP_NEG_INFINITY) => -FAR,
        Datum::Date(days) => i128::from(*days) * i128::from(DAY_MICROS),
        Datum::Time(micros) | Datum::Timestamp(micros) => i128::from(*micros),
        _ => return Err(unexpected_value("a key")),
    })
}

/// [`distance_micros`] of an expression.
pub(crate) fn distance_key(value: &Typed) -> Option<Expr> {
    let ty = value.ty.without_precision().clone();
    let definition = library::functions().by_key(&format!("distance_key({})", ty.name()))?;
    let (arguments, result) = (vec![ty], interval_key_type());
    let value = vec![value.expr.clone()];
    Some(call_expr(definition, false, arguments, result, value, &Settings::default()))
}

/// The type of [`interval_micros`] in a column.
pub(crate) fn interval_key_type() -> PgType {
    PgType::Numeric(Some(NumericMod { precision: 38, scale: 0 }))
}

/// What to group, join or take distinct by, where Arrow's equality is not PostgreSQL's; `None`
/// where the value itself will do. Values with equal keys are equal.
pub fn grouping_key(value: &Typed) -> Option<Expr> {
    if is_padded(value) { None } else { key_of(value) }
}

/// Whether all values that it is compared with in its own column have as many characters.
pub(super) fn is_padded(value: &Typed) -> bool {
    matches!((&value.ty, &value.expr), (PgType::Bpchar(Some(_)), Expr::Column(_)))
}

/// A value by whose Arrow order and equality PostgreSQL's are known.
fn key_of(value: &Typed) -> Option<Expr> {
    let (key, result) = match value.ty.without_precision() {
        PgType::Numeric(m) if !m.is_some_and(arrow_types::fits_decimal128) => {
            ("equality_key(numeric)", PgType::Bytea)
        }
        PgType::Float4 => ("equality_key(float4)", PgType::Float4),
        PgType::Float8 => ("equality_key(float8)", PgType::Float8),
        PgType::Bpchar(_) => ("equality_key(bpchar)", PgType::Text),
        PgType::Interval => ("interval_key(interval)", interval_key_type()),
        PgType::Jsonb | PgType::Array(_) | PgType::Record => ("sort_key(any)", PgType::Bytea),
        _ => return None,
    };
    let argument = match &value.ty {
        PgType::Array(_) | PgType::Jsonb | PgType::Interval => value.ty.clone(),
        other => other.without_modifier(),
    };
    let definition = library::functions().by_key(key)?;
    Some(call_expr(
        definition,
        false,
        vec![argument],
        result,
        vec![value.expr.clone()],
        &Settings::default(),
    ))
}

/// What to sort by, where Arrow's order is not PostgreSQL's; also for comparisons by order.
pub fn ordering_key(value: &Typed, env: &FunctionEnv) -> Option<Expr> {
    let PgType::Enum(oid) = &value.ty else { return key_of(value) };
    let labels = env.catalog.enum_labels(*oid)?;
    let values = labels.iter().map(|label| Datum::Text(label.clone())).collect();
    let ty = PgType::Array(Box::new(PgType::Text));
    let labels = Typed::constant(
        Datum::Array(satsuma_common::Array { element: PgType::Text, values }),
        ty.clone(),
    )
    .ok()?;
    let definition = library::functions().by_key("enum_position(text,_text)")?;
    Some(call_expr(
        definition,
        false,
        vec![PgType::Text, ty],
        PgType::Int4,
        vec![value.expr.clone(), labels.expr],
        &Settings::default(),
    ))
}

/// Element markers in an array's key: the end sorts before any element, NULL after.
const END: u8 = 0;
const VALUE: u8 = 1;
const NULL: u8 = 2;

/// Appends bytes whose order is the type's order. Self-delimiting, so that keys can follow each
/// other.
pub fn append_key(value: &Datum, ty: &PgType, out: &mut Vec<u8>) -> SqlResult<()> {
    match value {
        Datum::Null => {}
        Datum::Bool(v) => out.push(u8::from(*v)),
        Datum::Int2(v) => out.extend(((*v as u16) ^ (1 << 15)).to_be_bytes()),
        Datum::Int4(v) | Datum::Date(v) => out.extend(((*v as u32) ^ (1 << 31)).to_be_bytes()),
        Datum::Int8(v) | Datum::Time(v) | Datum::Timestamp(v) => {
            out.extend(((*v as u64) ^ (1 << 63)).to_be_bytes());
        }
        Datum::Oid(v) => out.extend(v.to_be_bytes()),
        Datum::Float4(v) => append_float(f64::from(*v), out),
        Datum::Float8(v) => append_float(*v, out),
        Datum::Numeric(v) => {
            let start = out.len();
            v.append_sortable(out);
            let key = satsuma_common::numeric::sortable_key(&out[start..]).len();
            out.truncate(start + key);
        }
        Datum::Text(v) => match ty {
            PgType::Jsonb => append_document(v, out)?,
            PgType::Bpchar(_) => append_bytes(v.trim_end_matches(' ').as_bytes(), out),
            PgType::Record => append_bytes(record::key(v).as_bytes(), out),
            _ => append_bytes(v.as_bytes(), out),
        },
        Datum::Bytea(v) => append_bytes(v, out),
        Datum::Interval(v) => {
            out.extend(((interval_micros(*v) as u128) ^ (1 << 127)).to_be_bytes());
        }
        Datum::Uuid(v) => out.extend(v),
        Datum::Inet(v) => out.extend(v.to_sortable()),
        Datum::Point(x, y) => {
            append_float(*x, out);
            append_float(*y, out);
        }
        Datum::Array(array) => {
            for value in &array.values {
                if value.is_null() {
                    out.push(NULL);
                } else {
                    out.push(VALUE);
                    append_key(value, &array.element, out)?;
                }
            }
            out.push(END);
        }
    }
    Ok(())
}

/// Total order with one zero, and one NaN above all.
fn append_float(value: f64, out: &mut Vec<u8>) {
    let value = if value.is_nan() { f64::NAN } else { value + 0.0 };
    let bits = value.to_bits();
    let flipped = if bits >> 63 == 1 { !bits } else { bits ^ (1 << 63) };
    out.extend(flipped.to_be_bytes());
}

/// Zero bytes are escaped; two of them end the string.
pub fn append_bytes(bytes: &[u8], out: &mut Vec<u8>) {
    for byte in bytes {
        out.push(*byte);
        if *byte == 0 {
            out.push(0xff);
        }
    }
    out.extend([0, 0]);
}

/// Order of two values of one type, NULL after all others.
pub fn compare_values(left: &Datum, right: &Datum, ty: &PgType) -> SqlResult<std::cmp::Ordering> {
    use std::cmp::Ordering;
    Ok(match (left, right) {
        (Datum::Null, Datum::Null) => Ordering::Equal,
        (Datum::Null, _) => Ordering::Greater,
        (_, Datum::Null) => Ordering::Less,
        (Datum::Text(a), Datum::Text(b))
            if !matches!(ty, PgType::Jsonb | PgType::Bpchar(_) | PgType::Record) =>
        {
            a.cmp(b)
        }
        (Datum::Int4(a), Datum::Int4(b)) => a.cmp(b),
        (Datum::Int8(a), Datum::Int8(b)) => a.cmp(b),
        (Datum::Numeric(a), Datum::Numeric(b)) => a.cmp(b),
        _ => {
            let (mut a, mut b) = (Vec::new(), Vec::new());
            append_key(left, ty, &mut a)?;
            append_key(right, ty, &mut b)?;
            a.cmp(&b)
        }
    })
}

/// A whole jsonb value: a scalar counts as an array of one that sorts before a real one.
fn append_document(text: &str, out: &mut Vec<u8>) -> SqlResult<()> {
    use satsuma_common::jsonb;
    let kind = jsonb::kind(text);
    if kind == jsonb::Kind::Object {
        return append_jsonb(text, out);
    }
    let length = jsonb::array_length(text).unwrap_or(1);
    out.push(5);
    out.extend((length as u32).to_be_bytes());
    out.push(u8::from(!kind.is_scalar()));
    append_jsonb(text, out)
}

/// Kinds of jsonb in PostgreSQL's order: null, strings, numbers, booleans, arrays by length,
/// objects by number of keys.
fn append_jsonb(text: &str, out: &mut Vec<u8>) -> SqlResult<()> {
    use satsuma_common::jsonb::{self, Kind};
    match jsonb::kind(text) {
        Kind::Null => out.push(1),
        Kind::String => {
            out.push(2);
            append_bytes(jsonb::unquote(text).as_bytes(), out);
        }
        Kind::Number => {
            out.push(3);
            append_key(&Datum::Numeric(Numeric::parse(text)?), &PgType::Numeric(None), out)?;
        }
        Kind::Boolean => out.extend([4, u8::from(text == "true")]),
        Kind::Array => {
            let length = jsonb::array_length(text).unwrap_or(0);
            out.push(5);
            out.extend((length as u32).to_be_bytes());
            for element in jsonb::array_elements(text) {
                append_jsonb(element, out)?;
            }
        }
        Kind::Object => {
            out.push(6);
            let pairs: Vec<_> = jsonb::each(text).collect();
            out.extend((pairs.len() as u32).to_be_bytes());
            for (key, value) in pairs {
                append_bytes(key.as_bytes(), out);
                append_jsonb(value, out)?;
            }
        }
    }
    Ok(())
}
