//! json and jsonb: operators, accessors, builders, and values as JSON.

use satsuma_common::datetime::{
    DateFormat, DateOrder, format_date, format_timestamp, format_timestamptz,
};
use satsuma_common::text::TextContext;
use satsuma_common::{Datum, PgType, SqlError, SqlResult, SqlState, jsonb};

use super::error::unexpected_value;
use super::library::{Builder, Call};
use super::strings::int;
use super::vector::{texts_to_bool, texts_to_text};
use crate::casts::text::{output, text};

fn wrong() -> SqlError {
    unexpected_value("a JSON function")
}

fn json(value: impl Into<String>) -> SqlResult<Datum> {
    Ok(Datum::Text(value.into()))
}

/// The steps of a path; `None` if one is NULL.
fn path(value: &Datum) -> SqlResult<Option<Vec<&str>>> {
    let Datum::Array(array) = value else { return Err(wrong()) };
    let mut steps = Vec::with_capacity(array.values.len());
    for step in &array.values {
        if step.is_null() {
            return Ok(None);
        }
        steps.push(text(step)?);
    }
    Ok(Some(steps))
}

/// The strings of an array, NULLs left out.
fn strings(value: &Datum) -> SqlResult<Vec<&str>> {
    let Datum::Array(array) = value else { return Err(wrong()) };
    array.values.iter().filter(|v| !v.is_null()).map(text).collect()
}

/// The member of an object; json keeps its keys as written.
fn member<'a>(document: &'a str, key: &str, binary: bool) -> Option<&'a str> {
    if jsonb::kind(document) != jsonb::Kind::Object {
        return None;
    }
    if binary { jsonb::get(document, key) } else { jsonb::get_unsorted(document, key) }
        .map(str::trim)
}

fn at_path<'a>(document: &'a str, steps: &[&str], binary: bool) -> Option<&'a str> {
    let found = if binary {
        jsonb::get_path(document, steps)
    } else {
        jsonb::get_path_unsorted(document, steps)
    };
    found.map(str::trim)
}

fn found(value: Option<&str>) -> SqlResult<Datum> {
    Ok(value.map_or(Datum::Null, |value| Datum::Text(value.into())))
}

fn found_text(value: Option<&str>) -> SqlResult<Datum> {
    let value = value.and_then(jsonb::as_text);
    Ok(value.map_or(Datum::Null, |value| Datum::Text(value.into_owned())))
}

pub(crate) fn install_operators(b: &mut Builder) {
    b.infallible(|b| {
        for (ty, binary) in [("json", false), ("jsonb", true)] {
            b.columns(&format!("->({ty},text) {ty}"), move |args, _| {
                let [document, key] = args else { return Err(wrong()) };
                texts_to_text(document, key, |document, key, out| {
                    let value = member(document, key, binary);
                    out.push_str(value.unwrap_or_default());
                    Ok(value.is_some())
                })
            });
            b.columns(&format!("->>({ty},text) text"), move |args, _| {
                let [document, key] = args else { return Err(wrong()) };
                texts_to_text(document, key, |document, key, out| {
                    let value = member(document, key, binary).and_then(jsonb::as_text);
                    out.push_str(value.as_deref().unwrap_or_default());
                    Ok(value.is_some())
                })
            });
            b.row(&format!("->({ty},int4) {ty}"), |args, _| {
                found(element(text(&args[0])?, int(&args[1])?))
            });
            b.row(&format!("->>({ty},int4) text"), |args, _| {
                found_text(element(text(&args[0])?, int(&args[1])?))
            });
            b.row(&format!("#>({ty},_text) {ty}"), move |args, _| match path(&args[1])? {
                Some(steps) => found(at_path(text(&args[0])?, &steps, binary)),
                None => Ok(Datum::Null),
            });
            b.row(&format!("#>>({ty},_text) text"), move |args, _| match path(&args[1])? {
                Some(steps) => found_text(at_path(text(&args[0])?, &steps, binary)),
                None => Ok(Datum::Null),
            });
        }
        b.columns("@>(jsonb,jsonb) bool", |args, _| {
            let [whole, part] = args else { return Err(wrong()) };
            texts_to_bool(whole, part, |whole, part| Ok(jsonb::contains(whole, part)))
        });
        b.columns("<@(jsonb,jsonb) bool", |args, _| {
            let [part, whole] = args else { return Err(wrong()) };
            texts_to_bool(part, whole, |part, whole| Ok(jsonb::contains(whole, part)))
        });
        b.columns("?(jsonb,text) bool", |args, _| {
            let [document, key] = args else { return Err(wrong()) };
            texts_to_bool(document, key, |document, key| Ok(jsonb::exists(document, key)))
        });
        b.row("?|(jsonb,_text) bool", |args, _| {
            Ok(Datum::Bool(jsonb::exists_any(text(&args[0])?, &strings(&args[1])?)))
        });
        b.row("?&(jsonb,_text) bool", |args, _| {
            Ok(Datum::Bool(jsonb::exists_all(text(&args[0])?, &strings(&args[1])?)))
        });
    });
    b.row("||(jsonb,jsonb) jsonb", |args, _| {
        json(jsonb::concat(text(&args[0])?, text(&args[1])?)?)
    });
    b.row("-(jsonb,text) jsonb", |args, _| {
        json(jsonb::delete_key(text(&args[0])?, text(&args[1])?)?)
    });
    b.row("-(jsonb,_text) jsonb", |args, _| {
        json(jsonb::delete_keys(text(&args[0])?, &strings(&args[1])?)?)
    });
    b.row("-(jsonb,int4) jsonb", |args, _| {
        json(jsonb::delete_index(text(&args[0])?, i64::from(int(&args[1])?))?)
    });
    b.row("#-(jsonb,_text) jsonb", |args, _| match path(&args[1])? {
        Some(steps) => json(jsonb::delete_path(text(&args[0])?, &steps)?),
        None => Err(null_step()),
    });
}

fn null_step() -> SqlError {
    SqlError::new(SqlState::NULL_VALUE_NOT_ALLOWED, "path element at position 1 is null")
}

fn element(document: &str, index: i32) -> Option<&str> {
    if jsonb::kind(document) != jsonb::Kind::Array {
        return None;
    }
    jsonb::array_element(document, i64::from(index)).map(str::trim)
}

pub(crate) fn install(b: &mut Builder) {
    accessors(b);
    editing(b);
    building(b);
    b.row("jsonb_element(jsonb,text) jsonb", |args, _| {
        // A subscript: a key of an object, or a position in an array.
        let (document, step) = (text(&args[0])?, text(&args[1])?);
        found(at_path(document, &[step], true))
    });
}

fn accessors(b: &mut Builder) {
    for (ty, binary) in [("json", false), ("jsonb", true)] {
        b.infallible(|b| {
            b.row(&format!("{ty}_typeof({ty}) text"), |args, _| {
                json(jsonb::type_of(text(&args[0])?))
            });
            for name in ["extract_path", "extract_path_text"] {
                let as_text = name.ends_with("text");
                let result = if as_text { "text" } else { ty };
                b.row(&format!("{ty}_{name}({ty},variadic text) {result}"), move |args, _| {
                    let steps: Vec<&str> = args[1..].iter().map(text).collect::<SqlResult<_>>()?;
                    let value = at_path(text(&args[0])?, &steps, binary);
                    if as_text { found_text(value) } else { found(value) }
                });
            }
        });
        b.row(&format!("{ty}_array_length({ty}) int4"), |args, _| {
            let document = text(&args[0])?;
            match jsonb::array_length(document) {
                Some(length) => Ok(Datum::Int4(length as i32)),
                None => Err(SqlError::new(
                    SqlState::INVALID_PARAMETER_VALUE,
                    if jsonb::kind(document) == jsonb::Kind::Object {
                        "cannot get array length of a non-array"
                    } else {
                        "cannot get array length of a scalar"
                    },
                )),
            }
        });
        b.row(&format!("{ty}_strip_nulls({ty}) {ty}"), move |args, _| {
            let document = text(&args[0])?;
            if binary {
                return json(jsonb::strip_nulls(document));
            }
            let mut out = String::new();
            write_without_nulls(document.trim(), &mut out);
            json(out)
        });
    }
    b.row("jsonb_pretty(jsonb) text", |args, _| json(jsonb::pretty(text(&args[0])?)));
}

/// json keeps its order and its duplicates, and loses its blanks.
fn write_without_nulls(document: &str, out: &mut String) {
    match jsonb::kind(document) {
        jsonb::Kind::Object => {
            out.push('{');
            let kept = jsonb::each(document).filter(|(_, v)| jsonb::kind(v) != jsonb::Kind::Null);
            for (i, (key, value)) in kept.enumerate() {
                if i > 0 {
                    out.push(',');
                }
                out.push_str(&jsonb::quote(&key));
                out.push(':');
                write_without_nulls(value.trim(), out);
            }
            out.push('}');
        }
        jsonb::Kind::Array => {
            out.push('[');
            for (i, value) in jsonb::array_elements(document).enumerate() {
                if i > 0 {
                    out.push(',');
                }
                write_without_nulls(value.trim(), out);
            }
            out.push(']');
        }
        _ => out.push_str(document),
    }
}

fn editing(b: &mut Builder) {
    b.called_on_null(|b| {
        for options in ["", ",bool", ",bool,text"] {
            b.row(&format!("jsonb_set_lax(jsonb,_text,jsonb{options}) jsonb"), |args, _| {
                set_lax(args)
            });
        }
        b.row("jsonb part assigned(jsonb,_text,bool,jsonb) jsonb", part_assigned);
    });
    for parameters in ["jsonb,_text,jsonb", "jsonb,_text,jsonb,bool"] {
        b.row(&format!("jsonb_set({parameters}) jsonb"), |args, _| {
            let create = !matches!(args.get(3), Some(Datum::Bool(false)));
            let steps = path(&args[1])?.ok_or_else(null_step)?;
            json(jsonb::set(text(&args[0])?, &steps, text(&args[2])?, create)?)
        });
        b.row(&format!("jsonb_insert({parameters}) jsonb"), |args, _| {
            let after = matches!(args.get(3), Some(Datum::Bool(true)));
            let steps = path(&args[1])?.ok_or_else(null_step)?;
            json(jsonb::insert(text(&args[0])?, &steps, text(&args[2])?, after)?)
        });
    }
}

/// An assignment to `document[..]..`, as a function of the document.
fn part_assigned(args: &[Datum], _: &Call) -> SqlResult<Datum> {
    let [document, steps, in_array, value] = args else { return Err(wrong()) };
    let steps = path(steps)?.ok_or_else(|| {
        SqlError::new(
            SqlState::NULL_VALUE_NOT_ALLOWED,
            "jsonb subscript in assignment must not be null",
        )
    })?;
    let document = match (document, in_array) {
        (Datum::Null, Datum::Bool(true)) => "[]",
        (Datum::Null, _) => "{}",
        (document, _) => text(document)?,
    };
    let value = if value.is_null() { "null" } else { text(value)? };
    json(jsonb::assign(document, &steps, value)?)
}

/// `jsonb_set` that says what a NULL for the new value means.
fn set_lax(args: &[Datum]) -> SqlResult<Datum> {
    let [document, steps, value, options @ ..] = args else { return Err(wrong()) };
    if document.is_null() || steps.is_null() || options.first().is_some_and(Datum::is_null) {
        return Ok(Datum::Null);
    }
    let treatment = match options.get(1) {
        None => Some("use_json_null"),
        Some(Datum::Null) => None,
        Some(given) => Some(text(given)?),
    };
    let create = !matches!(options.first(), Some(Datum::Bool(false)));
    let document = text(document)?;
    let steps = path(steps)?.ok_or_else(null_step)?;
    match treatment {
        Some(_) if !value.is_null() => json(jsonb::set(document, &steps, text(value)?, create)?),
        Some("use_json_null") => json(jsonb::set(document, &steps, "null", create)?),
        Some("delete_key") => json(jsonb::delete_path(document, &steps)?),
        Some("return_target") => json(document),
        Some("raise_exception") => {
            Err(SqlError::new(SqlState::NULL_VALUE_NOT_ALLOWED, "JSON value must not be null")
                .detail("Exception was raised because null_value_treatment is \"raise_exception\".")
                .hint(
                    "To avoid, either change the null_value_treatment argument or ensure that an \
                     SQL NULL is not passed.",
                ))
        }
        _ => Err(SqlError::new(
            SqlState::INVALID_PARAMETER_VALUE,
            "null_value_treatment must be \"delete_key\", \"return_target\", \
             \"use_json_null\", or \"raise_exception\"",
        )),
    }
}

fn building(b: &mut Builder) {
    for (ty, binary) in [("json", false), ("jsonb", true)] {
        let finish = move |text: String| -> SqlResult<Datum> {
            if binary { json(jsonb::normalize(&text)?) } else { json(text) }
        };
        b.with_settings(|b| {
            b.row(&format!("to_{ty}(anyelement) {ty}"), move |args, call| {
                let value = to_json(&args[0], &call.arguments[0], &call.context)?;
                finish(value)
            });
            b.called_on_null(|b| {
                b.row(&format!("{ty}_build_array(variadic any) {ty}"), move |args, call| {
                    finish(format!("[{}]", all(args, call)?.join(", ")))
                });
                b.row(&format!("{ty}_build_object(variadic any) {ty}"), move |args, call| {
                    finish(object(args, call, ty)?)
                });
            });
        });
        b.row(&format!("{ty}_build_array() {ty}"), move |_, _| json("[]"));
        b.row(&format!("{ty}_build_object() {ty}"), move |_, _| json("{}"));
        b.row(&format!("{ty}_object(_text) {ty}"), move |args, _| {
            let Datum::Array(pairs) = &args[0] else { return Err(wrong()) };
            if !pairs.values.len().is_multiple_of(2) {
                return Err(SqlError::new(
                    SqlState::ARRAY_SUBSCRIPT_ERROR,
                    "array must have even number of elements",
                ));
            }
            let pairs = pairs.values.chunks(2).map(|pair| (&pair[0], &pair[1]));
            finish(text_object(pairs)?)
        });
        b.row(&format!("{ty}_object(_text,_text) {ty}"), move |args, _| match args {
            [Datum::Array(keys), Datum::Array(values)] => {
                if keys.values.len() != values.values.len() {
                    return Err(SqlError::new(
                        SqlState::ARRAY_SUBSCRIPT_ERROR,
                        "mismatched array dimensions",
                    ));
                }
                finish(text_object(keys.values.iter().zip(&values.values))?)
            }
            _ => Err(wrong()),
        });
    }
    b.with_settings(|b| {
        b.row("array_to_json(anyarray) json", |args, call| {
            json(to_json(&args[0], &call.arguments[0], &call.context)?)
        });
    });
}

fn all(args: &[Datum], call: &Call) -> SqlResult<Vec<String>> {
    args.iter().zip(&call.arguments).map(|(v, ty)| to_json(v, ty, &call.context)).collect()
}

fn object(args: &[Datum], call: &Call, ty: &str) -> SqlResult<String> {
    let error = |message: String| SqlError::new(SqlState::INVALID_PARAMETER_VALUE, message);
    if !args.len().is_multiple_of(2) {
        return Err(error("argument list must have even number of elements".into()).hint(format!(
            "The arguments of {ty}_build_object() must consist of alternating keys and values."
        )));
    }
    let values = all(args, call)?;
    let mut members = Vec::with_capacity(args.len() / 2);
    for (i, pair) in values.chunks(2).enumerate() {
        let (key, key_type) = (&args[2 * i], &call.arguments[2 * i]);
        if key.is_null() {
            return Err(error(match ty {
                "json" => "null value not allowed for object key".into(),
                _ => format!("argument {}: key must not be null", 2 * i + 1),
            }));
        }
        if matches!(key_type, PgType::Json | PgType::Jsonb | PgType::Array(_)) {
            return Err(error("key value must be scalar, not array, composite, or json".into()));
        }
        let key = jsonb::quote(&output(key, key_type, &call.context)?);
        members.push(format!("{key} : {}", pair[1]));
    }
    Ok(format!("{{{}}}", members.join(", ")))
}

fn text_object<'a>(pairs: impl Iterator<Item = (&'a Datum, &'a Datum)>) -> SqlResult<String> {
    let mut members = Vec::new();
    for (key, value) in pairs {
        if key.is_null() {
            return Err(SqlError::new(
                SqlState::NULL_VALUE_NOT_ALLOWED,
                "null value not allowed for object key",
            ));
        }
        let value = match value {
            Datum::Null => "null".into(),
            value => jsonb::quote(text(value)?),
        };
        members.push(format!("{} : {value}", jsonb::quote(text(key)?)));
    }
    Ok(format!("{{{}}}", members.join(", ")))
}

/// A value as JSON: numbers and booleans bare, dates in ISO 8601, JSON as it is, arrays as
/// arrays, everything else as a string.
pub fn to_json(value: &Datum, ty: &PgType, context: &TextContext) -> SqlResult<String> {
    Ok(match value {
        Datum::Null => "null".into(),
        Datum::Bool(v) => v.to_string(),
        Datum::Int2(_) | Datum::Int4(_) | Datum::Int8(_) => output(value, ty, context)?,
        Datum::Float4(_) | Datum::Float8(_) | Datum::Numeric(_) => {
            let text = output(value, ty, context)?;
            let number = text.bytes().all(|b| b.is_ascii_digit() || b"+-.e".contains(&b));
            if number { text } else { jsonb::quote(&text) }
        }
        Datum::Text(v) if matches!(ty, PgType::Json | PgType::Jsonb) => v.clone(),
        Datum::Text(_) if *ty == PgType::Record => {
            return Err(SqlError::unsupported(
                "a record is made JSON of only where its fields are known",
            )
            .hint("Make JSON of it where the record is made."));
        }
        Datum::Array(array) => {
            let items = array
                .values
                .iter()
                .map(|item| to_json(item, &array.element, context))
                .collect::<SqlResult<Vec<_>>>()?;
            format!("[{}]", items.join(","))
        }
        Datum::Date(days) => {
            let mut out = Vec::new();
            format_date(*days, DateFormat::Iso, DateOrder::Mdy, &mut out);
            quoted(out)
        }
        Datum::Timestamp(at) if *ty.without_precision() == PgType::Timestamp => {
            let mut out = Vec::new();
            format_timestamp(*at, DateFormat::Iso, DateOrder::Mdy, &mut out);
            quoted(with_t(out))
        }
        Datum::Timestamp(at) => {
            let mut out = Vec::new();
            format_timestamptz(*at, &context.time_zone, DateFormat::Iso, DateOrder::Mdy, &mut out);
            let mut text = with_t(out);
            // The offset always has its minutes.
            let signed = text.iter().rposition(|b| matches!(b, b'+' | b'-'));
            if let Some(at) = signed
                && at > 10
                && text.len() - at == 3
            {
                text.extend(b":00");
            }
            quoted(text)
        }
        _ => jsonb::quote(&output(value, ty, context)?),
    })
}

/// The blank between date and time as a T.
fn with_t(mut text: Vec<u8>) -> Vec<u8> {
    if let Some(blank) = text.iter().position(|b| *b == b' ') {
        text[blank] = b'T';
    }
    text
}

fn quoted(text: Vec<u8>) -> String {
    jsonb::quote(&String::from_utf8_lossy(&text))
}
