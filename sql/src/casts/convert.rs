//! One value to another type: what each cast means.

use satsuma_common::datum::Interval;
use satsuma_common::numeric::Numeric;
use satsuma_common::text::{TextContext, single_char};
use satsuma_common::{Array, Datum, PgType, SqlError, SqlResult, SqlState, arrow_types};

use super::CastKind;
use crate::catalog_view::CatalogView;
use crate::functions::error::{out_of_range, unexpected_value};
use crate::functions::{FunctionEnv, Typed, columns};

/// Whether parsing a literal of the type looks at the time zone or the date style.
pub fn input_depends_on_session(ty: &PgType) -> bool {
    match ty.without_precision() {
        PgType::Date | PgType::Timestamp | PgType::Timestamptz | PgType::Time => true,
        PgType::Array(element) => input_depends_on_session(element),
        _ => false,
    }
}

/// Whether the conversion looks at the session's settings.
pub fn depends_on_session(from: &PgType, to: &PgType) -> bool {
    if let (PgType::Array(from), PgType::Array(to)) = (from, to) {
        return depends_on_session(from, to);
    }
    let element = |ty: &PgType| match ty {
        PgType::Array(element) => element.without_precision().clone(),
        other => other.without_precision().clone(),
    };
    let (from, to) = (element(from), element(to));
    let dated = |ty: &PgType| {
        matches!(ty, PgType::Date | PgType::Timestamp | PgType::Timestamptz | PgType::Interval)
    };
    if to.is_string() {
        return dated(&from) || matches!(from, PgType::Bytea | PgType::Float4 | PgType::Float8);
    }
    if from.is_string() {
        return input_depends_on_session(&to) || to == PgType::Interval;
    }
    from == PgType::Timestamptz || to == PgType::Timestamptz
}

/// Parses the text form of a value of a type without modifier.
pub fn input(text: &str, ty: &PgType, context: &TextContext) -> SqlResult<Datum> {
    super::text::input(text, ty, context)
}

/// Names of catalog objects (`regclass` and its relatives), looked up at bind time.
pub fn resolve_names(
    text: &str,
    ty: &PgType,
    catalog: &dyn CatalogView,
) -> Option<SqlResult<Datum>> {
    let what = match ty {
        PgType::Regclass => "relation",
        PgType::Regtype => "type",
        PgType::Regproc | PgType::Regprocedure => "function",
        PgType::Regnamespace => "schema",
        PgType::Regrole => "role",
        _ => return None,
    };
    if text == "-" {
        return Some(Ok(Datum::Oid(0)));
    }
    if let Ok(oid) = text.trim().parse::<u32>() {
        return Some(Ok(Datum::Oid(oid)));
    }
    if *ty == PgType::Regtype
        && let Some(builtin) = PgType::parse_name(&text.trim().to_lowercase())
    {
        return Some(Ok(Datum::Oid(builtin.oid())));
    }
    if matches!(ty, PgType::Regproc | PgType::Regprocedure) {
        let found = catalog.procedure_oid(ty, text);
        return Some(found.and_then(|found| {
            found.map(Datum::Oid).ok_or_else(|| {
                SqlError::new(
                    SqlState::UNDEFINED_FUNCTION,
                    format!("{what} \"{text}\" does not exist"),
                )
            })
        }));
    }
    let state = match ty {
        PgType::Regclass => SqlState::UNDEFINED_TABLE,
        PgType::Regnamespace => SqlState::INVALID_SCHEMA_NAME,
        _ => SqlState::UNDEFINED_OBJECT,
    };
    Some(
        catalog
            .oid_of(ty, text)
            .map(Datum::Oid)
            .ok_or_else(|| SqlError::new(state, format!("{what} \"{text}\" does not exist"))),
    )
}

/// Types whose text is the name of a catalog object.
pub fn names_object(ty: &PgType) -> bool {
    matches!(
        ty,
        PgType::Regclass
            | PgType::Regtype
            | PgType::Regproc
            | PgType::Regprocedure
            | PgType::Regnamespace
            | PgType::Regrole
    )
}

/// `regclass::text` and `text::regclass` of values that are not constants ask the catalog row by
/// row.
pub fn name_cast(value: &Typed, to: &PgType, env: &FunctionEnv) -> Option<SqlResult<Typed>> {
    let involved =
        names_object(&value.ty) && to.is_string() || value.ty.is_string() && names_object(to);
    involved.then(|| crate::functions::session::name_cast(value.clone(), to, env))
}

/// Converts a value that is not of an unknown type.
pub fn convert(
    value: Datum,
    from: &PgType,
    to: &PgType,
    kind: CastKind,
    context: &TextContext,
) -> SqlResult<Datum> {
    if value.is_null() {
        return Ok(Datum::Null);
    }
    let bare = to.without_modifier();
    let converted = if from.without_modifier() == bare {
        value
    } else {
        change(value, from, &bare, kind, context)?
    };
    fit(converted, to, kind)
}

fn change(
    value: Datum,
    from: &PgType,
    to: &PgType,
    kind: CastKind,
    context: &TextContext,
) -> SqlResult<Datum> {
    if let (PgType::Array(from), PgType::Array(to), Datum::Array(array)) = (from, to, &value) {
        let values = array
            .values
            .iter()
            .map(|v| convert(v.clone(), from, to, kind, context))
            .collect::<SqlResult<_>>()?;
        return Ok(Datum::Array(Array { element: to.as_ref().clone(), values }));
    }
    match (from, to) {
        (PgType::Bpchar(_), to) if to.is_string() => {
            let text = text_of(value)?;
            return Ok(Datum::Text(text.trim_end_matches(' ').to_string()));
        }
        (from, to) if to.is_string() => {
            let text = match value {
                Datum::Text(text) if *from != PgType::Record => text,
                Datum::Bool(value) => value.to_string(),
                // A cast prints the prefix length that plain output leaves out.
                Datum::Inet(inet) if from.without_modifier() != PgType::Cidr => inet.text(),
                other => output(&other, from, context)?,
            };
            return Ok(Datum::Text(text));
        }
        (from, to) if from.is_string() => {
            let text = text_of(value)?;
            return input(&text, to, context);
        }
        (PgType::Jsonb, PgType::Json) => return Ok(value),
        (PgType::Json, PgType::Jsonb) => return input(&text_of(value)?, to, context),
        (PgType::Jsonb, to) => return super::text::jsonb_scalar(&text_of(value)?, to, context),
        _ => {}
    }
    match (value, to) {
        (Datum::Int2(v), to) => from_integer(i64::from(v), from, to),
        (Datum::Int4(v), PgType::Bool) => Ok(Datum::Bool(v != 0)),
        (Datum::Int4(v), PgType::Char) => super::text::char_of_int(v),
        (Datum::Int4(v), to) => from_integer(i64::from(v), from, to),
        (Datum::Int8(v), to) => from_integer(v, from, to),
        (Datum::Oid(v), PgType::Int4) => Ok(Datum::Int4(v as i32)),
        (Datum::Oid(v), PgType::Int8) => Ok(Datum::Int8(i64::from(v))),
        (Datum::Oid(v), _) => Ok(Datum::Oid(v)),
        (Datum::Bool(v), PgType::Int4) => Ok(Datum::Int4(i32::from(v))),
        (Datum::Text(v), PgType::Int4) => {
            // "char" to integer: its byte, signed.
            Ok(Datum::Int4(v.bytes().next().map_or(0, |byte| i32::from(byte as i8))))
        }
        (Datum::Float4(v), PgType::Float8) => Ok(Datum::Float8(f64::from(v))),
        (Datum::Float4(v), PgType::Numeric(_)) => Ok(Datum::Numeric(Numeric::from_f32(v))),
        (Datum::Float4(v), to) => from_float(f64::from(v), to),
        (Datum::Float8(v), PgType::Float4) => float4(v).map(Datum::Float4),
        (Datum::Float8(v), PgType::Numeric(_)) => Ok(Datum::Numeric(Numeric::from_f64(v))),
        (Datum::Float8(v), to) => from_float(v, to),
        (Datum::Numeric(v), to) => from_numeric(&v, to),
        (value @ Datum::Inet(inet), to) => Ok(match to {
            PgType::Cidr => Datum::Inet(inet.network()),
            _ => value,
        }),
        (value, to) => super::datetime::convert(value, from.without_precision(), to, context),
    }
}

fn text_of(value: Datum) -> SqlResult<String> {
    match value {
        Datum::Text(text) => Ok(text),
        _ => Err(unexpected_value("a string type")),
    }
}

/// The text form of a value, as a client sees it.
pub fn output(value: &Datum, ty: &PgType, context: &TextContext) -> SqlResult<String> {
    super::text::output(value, ty, context)
}

fn from_integer(value: i64, from: &PgType, to: &PgType) -> SqlResult<Datum> {
    let out = || out_of_range(to);
    Ok(match to {
        PgType::Int2 => Datum::Int2(value.try_into().map_err(|_| out())?),
        PgType::Int4 => Datum::Int4(value.try_into().map_err(|_| out())?),
        PgType::Int8 => Datum::Int8(value),
        PgType::Float4 => Datum::Float4(value as f32),
        PgType::Float8 => Datum::Float8(value as f64),
        PgType::Numeric(_) => Datum::Numeric(Numeric::from(value)),
        // From int4 the bits are taken over, from int8 the value must fit.
        _ if *from == PgType::Int8 => {
            Datum::Oid(value.try_into().map_err(|_| out_of_range(&PgType::Oid))?)
        }
        _ => Datum::Oid(value as u32),
    })
}

/// Rounds half to even, as `rint` does.
pub fn from_float(value: f64, to: &PgType) -> SqlResult<Datum> {
    let rounded = value.round_ties_even();
    // Bounds are exact in double: -2^(n-1) fits, 2^(n-1) does not.
    let within = |bits: i32| {
        let bound = 2f64.powi(bits - 1);
        rounded >= -bound && rounded < bound
    };
    Ok(match to {
        PgType::Int2 if within(16) => Datum::Int2(rounded as i16),
        PgType::Int4 if within(32) => Datum::Int4(rounded as i32),
        PgType::Int8 if within(64) => Datum::Int8(rounded as i64),
        PgType::Int2 | PgType::Int4 | PgType::Int8 => return Err(out_of_range(to)),
        _ => return Err(unexpected_value("a cast from a float")),
    })
}

pub fn float4(value: f64) -> SqlResult<f32> {
    let narrowed = value as f32;
    if narrowed.is_infinite() && value.is_finite() {
        return Err(out_of_range(&PgType::Float4));
    }
    if narrowed == 0.0 && value != 0.0 {
        return Err(crate::functions::error::float_underflow());
    }
    Ok(narrowed)
}

fn from_numeric(value: &Numeric, to: &PgType) -> SqlResult<Datum> {
    Ok(match to {
        PgType::Int2 => Datum::Int2(value.to_i16()?),
        PgType::Int4 => Datum::Int4(value.to_i32()?),
        PgType::Int8 => Datum::Int8(value.to_i64()?),
        PgType::Float4 => {
            let narrowed = value.to_f32();
            if narrowed.is_infinite() && !value.is_infinite() {
                return Err(beyond(value, to));
            }
            Datum::Float4(narrowed)
        }
        PgType::Float8 => {
            let narrowed = value.to_f64();
            if narrowed.is_infinite() && !value.is_infinite() {
                return Err(beyond(value, to));
            }
            Datum::Float8(narrowed)
        }
        PgType::Numeric(_) => Datum::Numeric(value.clone()),
        _ => return Err(unexpected_value("a cast from numeric")),
    })
}

/// PostgreSQL reads the number's text as a float.
fn beyond(value: &Numeric, to: &PgType) -> SqlError {
    SqlError::new(
        SqlState::NUMERIC_VALUE_OUT_OF_RANGE,
        format!("\"{value}\" is out of range for type {to}"),
    )
}

/// Applies the modifier of `ty` to a value of its bare type: length, precision and scale.
pub fn fit(value: Datum, ty: &PgType, kind: CastKind) -> SqlResult<Datum> {
    Ok(match (ty, value) {
        (PgType::Numeric(Some(m)), Datum::Numeric(v)) => {
            let fitted = v.with_modifier(*m)?;
            if arrow_types::fits_decimal128(*m) && !fitted.is_finite() {
                return Err(SqlError::new(
                    SqlState::FEATURE_NOT_SUPPORTED,
                    format!("cannot store {fitted} in type {ty}"),
                )
                .hint("Use numeric without precision and scale."));
            }
            Datum::Numeric(fitted)
        }
        (PgType::Varchar(Some(n)), Datum::Text(text)) => Datum::Text(limit(text, *n, ty, kind)?),
        (PgType::Bpchar(Some(n)), Datum::Text(text)) => {
            let mut text = limit(text, *n, ty, kind)?;
            let have = text.chars().count();
            text.extend(std::iter::repeat_n(' ', (*n as usize).saturating_sub(have)));
            Datum::Text(text)
        }
        (PgType::Precise(time, digits), value) => time.round(value, *digits),
        (PgType::Name, Datum::Text(mut text)) => {
            let mut end = text.len().min(63);
            while !text.is_char_boundary(end) {
                end -= 1;
            }
            text.truncate(end);
            Datum::Text(text)
        }
        (PgType::Char, Datum::Text(text)) => {
            Datum::Text(single_char(text.chars().next().map_or(0, u32::from))?)
        }
        (PgType::Array(element), Datum::Array(array)) => {
            let values = array
                .values
                .into_iter()
                .map(|v| fit(v, element, kind))
                .collect::<SqlResult<_>>()?;
            Datum::Array(Array { element: element.as_ref().clone(), values })
        }
        (_, value) => value,
    })
}

/// At most `n` characters: an explicit cast cuts, an assignment only cuts blanks.
fn limit(mut text: String, n: u32, ty: &PgType, kind: CastKind) -> SqlResult<String> {
    let Some((end, _)) = text.char_indices().nth(n as usize) else { return Ok(text) };
    if kind < CastKind::Explicit && text[end..].contains(|c| c != ' ') {
        return Err(SqlError::new(
            SqlState::STRING_DATA_RIGHT_TRUNCATION,
            format!("value too long for type {ty}"),
        ));
    }
    text.truncate(end);
    Ok(text)
}

/// A literal's value of interval type, for callers that build constants.
pub fn interval_datum(months: i32, days: i32, micros: i64) -> Datum {
    Datum::Interval(Interval { months, days, micros })
}

/// Reads a constant expression, if it is one.
pub fn constant(value: &Typed) -> Option<Datum> {
    match &value.expr {
        datafusion::logical_expr::Expr::Literal(scalar, _) => {
            columns::from_scalar(&value.ty, scalar).ok()
        }
        _ => None,
    }
}
