//! Arrays: functions and operators. All have one dimension and lower bound 1.

use satsuma_common::{Array, Datum, PgType, SqlError, SqlResult, SqlState};

use super::error::unexpected_value;
use super::library::{Builder, Call};
use crate::casts::text::text;
use crate::operators::keys::compare_values;
use crate::value_size;

fn wrong() -> SqlError {
    unexpected_value("an array function")
}

fn array(value: &Datum) -> SqlResult<&Array> {
    match value {
        Datum::Array(array) => Ok(array),
        _ => Err(wrong()),
    }
}

fn element(call: &Call) -> PgType {
    match &call.result {
        PgType::Array(element) => element.as_ref().clone(),
        other => other.clone(),
    }
}

fn of(call: &Call, values: Vec<Datum>) -> Datum {
    Datum::Array(Array { element: element(call), values })
}

/// Equality as IS NOT DISTINCT FROM has it.
fn same(a: &Datum, b: &Datum, ty: &PgType) -> SqlResult<bool> {
    Ok(compare_values(a, b, ty)?.is_eq())
}

/// The values of an array argument; NULL is empty.
fn values(value: &Datum) -> SqlResult<Vec<Datum>> {
    if value.is_null() { Ok(Vec::new()) } else { Ok(array(value)?.values.clone()) }
}

pub(crate) fn install(b: &mut Builder) {
    b.infallible(|b| {
        b.called_on_null(|b| {
            b.row("array_append(anycompatiblearray,anycompatible) anycompatiblearray", append);
            b.row("array_prepend(anycompatible,anycompatiblearray) anycompatiblearray", prepend);
            b.row("array_cat(anycompatiblearray,anycompatiblearray) anycompatiblearray", concat);
            b.row(
                "array_remove(anycompatiblearray,anycompatible) anycompatiblearray",
                |args, call| {
                    if args[0].is_null() {
                        return Ok(Datum::Null);
                    }
                    let ty = element(call);
                    let mut kept = Vec::new();
                    for value in &array(&args[0])?.values {
                        if !same(value, &args[1], &ty)? {
                            kept.push(value.clone());
                        }
                    }
                    Ok(of(call, kept))
                },
            );
            b.row(
                "array_replace(anycompatiblearray,anycompatible,anycompatible) anycompatiblearray",
                |args, call| {
                    if args[0].is_null() {
                        return Ok(Datum::Null);
                    }
                    let ty = element(call);
                    let mut replaced = Vec::new();
                    for value in &array(&args[0])?.values {
                        let hit = same(value, &args[1], &ty)?;
                        replaced.push(if hit { args[2].clone() } else { value.clone() });
                    }
                    Ok(of(call, replaced))
                },
            );
            for parameters in
                ["anycompatiblearray,anycompatible", "anycompatiblearray,anycompatible,int4"]
            {
                b.row(&format!("array_position({parameters}) int4"), |args, call| {
                    if args[0].is_null() {
                        return Ok(Datum::Null);
                    }
                    let start = match args.get(2) {
                        Some(Datum::Int4(start)) => (*start).max(1) as usize,
                        _ => 1,
                    };
                    Ok(positions(args, call)?
                        .into_iter()
                        .find(|p| *p as usize >= start)
                        .map_or(Datum::Null, Datum::Int4))
                });
            }
            b.row("array_positions(anycompatiblearray,anycompatible) _int4", |args, call| {
                if args[0].is_null() {
                    return Ok(Datum::Null);
                }
                let values = positions(args, call)?.into_iter().map(Datum::Int4).collect();
                Ok(Datum::Array(Array { element: PgType::Int4, values }))
            });
        });
        b.row("array_length(anyarray,int4) int4", |args, _| match args {
            [Datum::Array(array), Datum::Int4(1)] if !array.values.is_empty() => {
                Ok(Datum::Int4(array.values.len() as i32))
            }
            _ => Ok(Datum::Null),
        });
        b.row("array_upper(anyarray,int4) int4", |args, _| match args {
            [Datum::Array(array), Datum::Int4(1)] if !array.values.is_empty() => {
                Ok(Datum::Int4(array.values.len() as i32))
            }
            _ => Ok(Datum::Null),
        });
        b.row("array_lower(anyarray,int4) int4", |args, _| match args {
            [Datum::Array(array), Datum::Int4(1)] if !array.values.is_empty() => Ok(Datum::Int4(1)),
            _ => Ok(Datum::Null),
        });
        b.row("array_ndims(anyarray) int4", |args, _| {
            Ok(if array(&args[0])?.values.is_empty() { Datum::Null } else { Datum::Int4(1) })
        });
        b.row("array_dims(anyarray) text", |args, _| {
            let length = array(&args[0])?.values.len();
            Ok(if length == 0 { Datum::Null } else { Datum::Text(format!("[1:{length}]")) })
        });
        b.row("cardinality(anyarray) int4", |args, _| {
            Ok(Datum::Int4(array(&args[0])?.values.len() as i32))
        });
        b.row("trim_array(anyarray,int4) anyarray", |args, call| match args {
            [Datum::Array(array), Datum::Int4(n)] => {
                let keep = usize::try_from(*n).ok().and_then(|n| array.values.len().checked_sub(n));
                let Some(keep) = keep else {
                    return Err(SqlError::new(
                        SqlState::ARRAY_SUBSCRIPT_ERROR,
                        format!(
                            "number of elements to trim must be between 0 and {}",
                            array.values.len()
                        ),
                    ));
                };
                Ok(of(call, array.values[..keep].to_vec()))
            }
            _ => Err(wrong()),
        });
    });
    b.called_on_null(|b| {
        for parameters in ["text,text", "text,text,text"] {
            b.row(&format!("string_to_array({parameters}) _text"), |args, _| string_to_array(args));
        }
        b.row("array_fill(anyelement,_int4) anyarray", |args, call| match args {
            [value, Datum::Array(sizes)] => {
                let [Datum::Int4(n)] = sizes.values.as_slice() else {
                    return Err(SqlError::unsupported("arrays have one dimension here"));
                };
                let n = usize::try_from(*n).ok().filter(|n| *n <= 10_000_000).ok_or_else(|| {
                    SqlError::new(
                        SqlState::PROGRAM_LIMIT_EXCEEDED,
                        "array size exceeds the maximum allowed",
                    )
                })?;
                let one = value_size::of(value);
                value_size::check(n.checked_mul(one))?;
                Ok(of(call, vec![value.clone(); n]))
            }
            _ => Err(SqlError::new(
                SqlState::NULL_VALUE_NOT_ALLOWED,
                "dimension array or low bound array cannot be null",
            )),
        });
    });
    b.with_settings(|b| {
        b.row("array_to_string(anyarray,text) text", joined);
        b.called_on_null(|b| {
            b.row("array_to_string(anyarray,text,text) text", |args, call| {
                if args[0].is_null() || args[1].is_null() {
                    return Ok(Datum::Null);
                }
                joined(args, call)
            });
        });
    });
    subscripts(b);
    assigned(b);
    at_most_one_row(b);
}

/// PostgreSQL's `MaxArraySize`.
const MOST_ELEMENTS: i64 = 134_217_727;

fn null_subscript() -> SqlError {
    SqlError::new(
        SqlState::NULL_VALUE_NOT_ALLOWED,
        "array subscript in assignment must not be null",
    )
}

fn subscript_error(message: &str) -> SqlError {
    SqlError::new(SqlState::ARRAY_SUBSCRIPT_ERROR, message)
}

/// Assignments to `array[i]` and `array[i:j]`, as functions of the array.
fn assigned(b: &mut Builder) {
    b.called_on_null(|b| {
        b.row("array element assigned(anyarray,int4,anyelement) anyarray", |args, call| {
            let [array, index, value] = args else { return Err(wrong()) };
            let Datum::Int4(index) = index else { return Err(null_subscript()) };
            let mut values = values(array)?;
            let at = *index;
            reach(&mut values, at, at)?;
            values[at as usize - 1] = value.clone();
            Ok(of(call, values))
        });
        // Each bound comes with whether it was given.
        b.row(
            "array slice assigned(anyarray,int4,bool,int4,bool,anyarray) anyarray",
            slice_assigned,
        );
    });
}

fn slice_assigned(args: &[Datum], call: &Call) -> SqlResult<Datum> {
    let [array, lower, lower_given, upper, upper_given, source] = args else {
        return Err(wrong());
    };
    let bound = |value: &Datum, given: &Datum, end: i32| match (value, given) {
        (_, Datum::Bool(false)) => Ok(end),
        (Datum::Int4(value), _) => Ok(*value),
        _ => Err(null_subscript()),
    };
    let mut values = values(array)?;
    let length = i32::try_from(values.len()).unwrap_or(i32::MAX);
    let from = bound(lower, lower_given, 1)?;
    let to = bound(upper, upper_given, length)?;
    // NULL assigns nothing.
    if source.is_null() {
        return Ok(of(call, values));
    }
    let all_given = [lower_given, upper_given].iter().all(|it| **it == Datum::Bool(true));
    if values.is_empty() && !all_given {
        return Err(subscript_error("array slice subscript must provide both boundaries").detail(
            "When assigning to a slice of an empty array value, slice boundaries must be fully \
             specified.",
        ));
    }
    let wanted = i64::from(to) - i64::from(from) + 1;
    if wanted < 1 {
        // Of an empty array this is a slice of nothing.
        return match values.is_empty() && wanted == 0 {
            true => Ok(of(call, values)),
            false => Err(subscript_error("upper bound cannot be less than lower bound")),
        };
    }
    let source = self::values(source)?;
    if (source.len() as i64) < wanted {
        return Err(subscript_error("source array too small"));
    }
    reach(&mut values, from, to)?;
    let places = values.iter_mut().skip(from as usize - 1);
    places.zip(source).take(wanted as usize).for_each(|(place, value)| *place = value);
    Ok(of(call, values))
}

/// Makes the array as long as an assignment from one subscript to another asks for.
fn reach(values: &mut Vec<Datum>, from: i32, to: i32) -> SqlResult<()> {
    if i64::from(to) > MOST_ELEMENTS {
        return Err(SqlError::new(
            SqlState::PROGRAM_LIMIT_EXCEEDED,
            format!("array size exceeds the maximum allowed ({MOST_ELEMENTS})"),
        ));
    }
    // An array begins at the first subscript that is assigned, or before the one it had.
    if from < 1 || values.is_empty() && from != 1 {
        return Err(SqlError::unsupported(
            "arrays with a lower bound other than 1 are not supported",
        ));
    }
    let length = to as usize;
    if length > values.len() {
        value_size::check(length.checked_mul(value_size::of(&Datum::Null).max(1)))?;
        values.resize(length, Datum::Null);
    }
    Ok(())
}

/// How many rows a subquery used as a value gave: an error beyond one.
fn at_most_one_row(b: &mut Builder) {
    b.row("at_most_one_row(int8) int8", |args, _| match args {
        [Datum::Int8(rows @ ..=1)] => Ok(Datum::Int8(*rows)),
        [Datum::Int8(_)] => Err(SqlError::new(
            SqlState::CARDINALITY_VIOLATION,
            "more than one row returned by a subquery used as an expression",
        )),
        _ => Err(wrong()),
    });
}

/// `array[i]` and `array[i:j]`, as functions.
fn subscripts(b: &mut Builder) {
    b.infallible(|b| {
        b.row("array_element(anyarray,int4) anyelement", |args, _| match args {
            [Datum::Array(array), Datum::Int4(i)] => {
                let index = usize::try_from(*i).ok().and_then(|i| i.checked_sub(1));
                Ok(index.and_then(|i| array.values.get(i)).cloned().unwrap_or(Datum::Null))
            }
            _ => Err(wrong()),
        });
        b.called_on_null(|b| {
            // A bound that is left out comes as the end of the array.
            b.row("array_slice(anyarray,int4,int4) anyarray", |args, call| match args {
                [Datum::Array(array), Datum::Int4(from), Datum::Int4(to)] => {
                    let length = array.values.len() as i64;
                    let from = (i64::from(*from)).max(1);
                    let to = (i64::from(*to)).min(length);
                    let values = if from > to {
                        Vec::new()
                    } else {
                        array.values[from as usize - 1..to as usize].to_vec()
                    };
                    Ok(of(call, values))
                }
                _ => Ok(Datum::Null),
            });
        });
        b.row("point_element(point,int4) float8", |args, _| match args {
            [Datum::Point(x, _), Datum::Int4(0)] => Ok(Datum::Float8(*x)),
            [Datum::Point(_, y), Datum::Int4(1)] => Ok(Datum::Float8(*y)),
            [Datum::Point(..), Datum::Int4(_)] => Ok(Datum::Null),
            _ => Err(wrong()),
        });
        // A name is an array of bytes, from 0; its end has the byte 0, which is written as nothing.
        b.row("name_element(name,int4) \"char\"", |args, _| match args {
            [Datum::Text(name), Datum::Int4(at @ 0..64)] => {
                let byte = name.as_bytes().get(*at as usize).filter(|byte| byte.is_ascii());
                Ok(Datum::Text(byte.map_or(String::new(), |byte| char::from(*byte).to_string())))
            }
            [Datum::Text(_), Datum::Int4(_)] => Ok(Datum::Null),
            _ => Err(wrong()),
        });
        b.row("point(float8,float8) point", |args, _| match args {
            [Datum::Float8(x), Datum::Float8(y)] => Ok(Datum::Point(*x, *y)),
            _ => Err(wrong()),
        });
    });
}

fn append(args: &[Datum], call: &Call) -> SqlResult<Datum> {
    let mut all = values(&args[0])?;
    all.push(args[1].clone());
    Ok(of(call, all))
}

fn prepend(args: &[Datum], call: &Call) -> SqlResult<Datum> {
    let mut all = vec![args[0].clone()];
    all.extend(values(&args[1])?);
    Ok(of(call, all))
}

fn concat(args: &[Datum], call: &Call) -> SqlResult<Datum> {
    if args[0].is_null() && args[1].is_null() {
        return Ok(Datum::Null);
    }
    let mut all = values(&args[0])?;
    all.extend(values(&args[1])?);
    Ok(of(call, all))
}

fn positions(args: &[Datum], call: &Call) -> SqlResult<Vec<i32>> {
    let ty = call.arguments.get(1).cloned().unwrap_or(PgType::Text);
    let mut found = Vec::new();
    for (i, value) in array(&args[0])?.values.iter().enumerate() {
        if same(value, &args[1], &ty)? {
            found.push(i as i32 + 1);
        }
    }
    Ok(found)
}

/// A NULL separator splits into characters, an empty one not at all.
pub fn string_to_array(args: &[Datum]) -> SqlResult<Datum> {
    if args[0].is_null() {
        return Ok(Datum::Null);
    }
    let value = text(&args[0])?;
    let null = match args.get(2) {
        Some(Datum::Text(null)) => Some(null.as_str()),
        _ => None,
    };
    let parts: Vec<String> = match &args[1] {
        _ if value.is_empty() => Vec::new(),
        Datum::Null => value.chars().map(String::from).collect(),
        Datum::Text(separator) if separator.is_empty() => vec![value.to_string()],
        Datum::Text(separator) => value.split(separator.as_str()).map(String::from).collect(),
        _ => return Err(wrong()),
    };
    let values = parts
        .into_iter()
        .map(|part| if Some(part.as_str()) == null { Datum::Null } else { Datum::Text(part) })
        .collect();
    Ok(Datum::Array(Array { element: PgType::Text, values }))
}

fn joined(args: &[Datum], call: &Call) -> SqlResult<Datum> {
    let array = array(&args[0])?;
    let separator = text(&args[1])?;
    let null = match args.get(2) {
        Some(Datum::Text(null)) => Some(null.as_str()),
        _ => None,
    };
    let mut parts = Vec::with_capacity(array.values.len());
    for value in &array.values {
        if value.is_null() {
            parts.extend(null.map(String::from));
        } else {
            parts.push(crate::casts::text::output(value, &array.element, &call.context)?);
        }
    }
    Ok(Datum::Text(parts.join(separator)))
}

pub(crate) fn install_operators(b: &mut Builder) {
    b.infallible(|b| {
        b.called_on_null(|b| {
            b.row("||(anycompatiblearray,anycompatiblearray) anycompatiblearray", concat);
            b.row("||(anycompatiblearray,anycompatible) anycompatiblearray", append);
            b.row("||(anycompatible,anycompatiblearray) anycompatiblearray", prepend);
        });
        b.row("@>(anyarray,anyarray) bool", |args, _| contains(&args[0], &args[1]));
        b.row("<@(anyarray,anyarray) bool", |args, _| contains(&args[1], &args[0]));
        b.row("&&(anyarray,anyarray) bool", |args, _| {
            let (a, b) = (array(&args[0])?, array(&args[1])?);
            for value in &b.values {
                if !value.is_null() && holds(a, value)? {
                    return Ok(Datum::Bool(true));
                }
            }
            Ok(Datum::Bool(false))
        });
    });
}

fn holds(array: &Array, wanted: &Datum) -> SqlResult<bool> {
    for value in &array.values {
        if !value.is_null() && same(value, wanted, &array.element)? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// NULL elements are contained in nothing.
fn contains(whole: &Datum, part: &Datum) -> SqlResult<Datum> {
    let (whole, part) = (array(whole)?, array(part)?);
    for value in &part.values {
        if value.is_null() || !holds(whole, value)? {
            return Ok(Datum::Bool(false));
        }
    }
    Ok(Datum::Bool(true))
}
