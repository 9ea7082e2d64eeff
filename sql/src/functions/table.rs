//! Set-returning functions, as lists to unnest: one list per output column, all of one length.

use datafusion::logical_expr::Expr;
use satsuma_common::text::TextContext;
use satsuma_common::{Array, Datum, PgType, SqlError, SqlResult, SqlState, jsonb};

use super::error::unexpected_value;
use super::library::Builder;
use super::{FunctionEnv, Typed, call_known, regex};
use crate::casts::text::{output, text};

/// A set-returning function called.
#[derive(Clone, Debug)]
pub struct TableFunction {
    pub columns: Vec<TableColumn>,
    /// The function names its only output column, so that an alias does not.
    pub named: bool,
}

#[derive(Clone, Debug)]
pub struct TableColumn {
    pub name: String,
    /// The element's type.
    pub ty: PgType,
    pub list: Expr,
}

/// A list may not have more elements.
const LONGEST: usize = 10_000_000;

/// Calls the set-returning function `name`; `None` if there is none of that name.
pub fn table(name: &str, args: Vec<Typed>, env: &FunctionEnv) -> SqlResult<Option<TableFunction>> {
    let one = |list: Typed, column: &str, named: bool| -> SqlResult<Option<TableFunction>> {
        let PgType::Array(element) = list.ty else { return Err(unexpected_value(column)) };
        let column = TableColumn { name: column.into(), ty: *element, list: list.expr };
        Ok(Some(TableFunction { columns: vec![column], named }))
    };
    match name {
        "unnest" => unnest(args).map(Some),
        "jsonb_each" | "json_each" | "jsonb_each_text" | "json_each_text" => {
            each(name, args, env).map(Some)
        }
        "pg_get_keywords" => keywords(args).map(Some),
        "pg_options_to_table" => {
            let mut columns = Vec::new();
            for column in ["option_name", "option_value"] {
                let list = call_checked(name, &format!("{column} list(_text)"), args.clone(), env)?;
                let (name, ty) = (column.into(), PgType::Text);
                columns.push(TableColumn { name, ty, list: list.expr });
            }
            Ok(Some(TableFunction { columns, named: true }))
        }
        _ => {
            let listed = format!("{name} list");
            if super::library::functions().named(&listed).is_empty() {
                return Ok(None);
            }
            let types: Vec<PgType> = args.iter().map(|arg| arg.ty.clone()).collect();
            let list = match super::scalar(&listed, args, env) {
                Ok(Some(list)) => list,
                Ok(None) => return Err(super::undefined(name, &types)),
                Err(error) if error.state() == SqlState::UNDEFINED_FUNCTION => {
                    return Err(super::undefined(name, &types));
                }
                Err(error) => return Err(error),
            };
            let value = matches!(
                name,
                "jsonb_array_elements"
                    | "json_array_elements"
                    | "jsonb_array_elements_text"
                    | "json_array_elements_text"
            );
            one(list, if value { "value" } else { name }, value)
        }
    }
}

/// Whether `name` is a set-returning function.
pub fn is_table(name: &str) -> bool {
    let with_columns = [
        "unnest",
        "jsonb_each",
        "json_each",
        "jsonb_each_text",
        "json_each_text",
        "pg_options_to_table",
        "pg_get_keywords",
    ];
    with_columns.contains(&name)
        || !super::library::functions().named(&format!("{name} list")).is_empty()
}

fn unnest(args: Vec<Typed>) -> SqlResult<TableFunction> {
    let mut columns = Vec::with_capacity(args.len());
    for arg in args {
        let PgType::Array(element) = arg.ty.clone() else {
            return Err(super::undefined("unnest", &[arg.ty]));
        };
        columns.push(TableColumn { name: "unnest".into(), ty: *element, list: arg.expr });
    }
    if columns.is_empty() {
        return Err(super::undefined("unnest", &[]));
    }
    Ok(TableFunction { columns, named: false })
}

/// PostgreSQL's words, each with the letter of its kind and whether it may name a column as it is.
const KEYWORDS: &str = include_str!("keywords.txt");

fn keywords(args: Vec<Typed>) -> SqlResult<TableFunction> {
    if !args.is_empty() {
        let types: Vec<PgType> = args.into_iter().map(|arg| arg.ty).collect();
        return Err(super::undefined("pg_get_keywords", &types));
    }
    let mut columns: [Vec<Datum>; 5] = Default::default();
    for line in KEYWORDS.lines().filter(|line| !line.starts_with('#')) {
        let mut parts = line.split(' ');
        let (Some(word), Some(kind), Some(bare)) = (parts.next(), parts.next(), parts.next())
        else {
            return Err(unexpected_value("pg_get_keywords"));
        };
        let meaning = match kind {
            "U" => "unreserved",
            "C" => "unreserved (cannot be function or type name)",
            "T" => "reserved (can be function or type name)",
            _ => "reserved",
        };
        let bare = bare == "t";
        let label = if bare { "can be bare label" } else { "requires AS" };
        let text = |text: &str| Datum::Text(text.into());
        let row = [text(word), text(kind), Datum::Bool(bare), text(meaning), text(label)];
        columns.iter_mut().zip(row).for_each(|(column, value)| column.push(value));
    }
    let names = [
        ("word", PgType::Text),
        ("catcode", PgType::Char),
        ("barelabel", PgType::Bool),
        ("catdesc", PgType::Text),
        ("baredesc", PgType::Text),
    ];
    let columns = names.into_iter().zip(columns).map(|((name, ty), values)| {
        let of = PgType::Array(Box::new(ty.clone()));
        let list = Typed::constant(list(ty.clone(), values)?, of)?;
        Ok(TableColumn { name: name.into(), ty, list: list.expr })
    });
    Ok(TableFunction { columns: columns.collect::<SqlResult<_>>()?, named: true })
}

fn each(name: &str, args: Vec<Typed>, env: &FunctionEnv) -> SqlResult<TableFunction> {
    let ty = if name.starts_with("jsonb") { "jsonb" } else { "json" };
    let keys = call_checked(name, &format!("{name} keys({ty})"), args.clone(), env)?;
    let values = call_checked(name, &format!("{name} values({ty})"), args, env)?;
    let value_type = match &values.ty {
        PgType::Array(element) => element.as_ref().clone(),
        _ => return Err(unexpected_value(name)),
    };
    Ok(TableFunction {
        columns: vec![
            TableColumn { name: "key".into(), ty: PgType::Text, list: keys.expr },
            TableColumn { name: "value".into(), ty: value_type, list: values.expr },
        ],
        named: true,
    })
}

fn call_checked(name: &str, key: &str, args: Vec<Typed>, env: &FunctionEnv) -> SqlResult<Typed> {
    let types: Vec<PgType> = args.iter().map(|arg| arg.ty.clone()).collect();
    if args.len() != 1 {
        return Err(super::undefined(name, &types));
    }
    call_known(key, args, env)
}

fn list(element: PgType, values: Vec<Datum>) -> SqlResult<Datum> {
    if values.len() > LONGEST {
        return Err(too_long());
    }
    Ok(Datum::Array(Array { element, values }))
}

fn too_long() -> SqlError {
    SqlError::new(
        SqlState::PROGRAM_LIMIT_EXCEEDED,
        format!("a set-returning function gives more than {LONGEST} rows"),
    )
}

pub(crate) fn install(b: &mut Builder) {
    super::series::install(b);
    strings(b);
    json(b, "json", &PgType::Json);
    json(b, "jsonb", &PgType::Jsonb);
    // No table here is a partition or has any.
    b.row("pg_partition_ancestors list(regclass) _regclass", |_, _| {
        Ok(Datum::Array(Array { element: PgType::Regclass, values: Vec::new() }))
    });
    // Storage parameters and their like, as pg_options_to_table reads them.
    for (signature, is_value) in
        [("option_name list(_text) _text", false), ("option_value list(_text) _text", true)]
    {
        b.row(signature, move |args, _| {
            let [Datum::Array(options)] = args else { return Err(unexpected_value("an array")) };
            let part = |option: &Datum| {
                let option = text(option)?;
                Ok(match option.split_once('=') {
                    Some((_, value)) if is_value => Datum::Text(value.into()),
                    None if is_value => Datum::Null,
                    Some((name, _)) => Datum::Text(name.into()),
                    None => Datum::Text(option.into()),
                })
            };
            list(PgType::Text, options.values.iter().map(part).collect::<SqlResult<_>>()?)
        });
    }
    // information_schema's, which drivers use to number the columns of a key.
    b.row("_pg_expandarray list(anyarray) _record", |args, _| {
        let [Datum::Array(array)] = args else { return Err(unexpected_value("an array")) };
        let rows = array.values.iter().enumerate().map(|(index, value)| {
            let value = output(value, &array.element, &TextContext::default())?;
            Ok(Datum::Text(format!("({value},{})", index + 1)))
        });
        list(PgType::Record, rows.collect::<SqlResult<_>>()?)
    });
    b.row("_pg_expandarray field(record,int4) int4", |args, _| {
        let [Datum::Text(row), Datum::Int4(field)] = args else {
            return Err(unexpected_value("a row"));
        };
        let mut parts = row.trim_matches(['(', ')']).split(',');
        let part = parts.nth(usize::try_from(*field).unwrap_or(0));
        Ok(part.and_then(|part| part.parse().ok()).map_or(Datum::Null, Datum::Int4))
    });
    b.row("generate_subscripts list(anyarray,int4) _int4", |args, _| match args {
        [Datum::Array(array), Datum::Int4(1)] => {
            list(PgType::Int4, (1..=array.values.len() as i32).map(Datum::Int4).collect())
        }
        [Datum::Array(_), Datum::Int4(_)] => list(PgType::Int4, Vec::new()),
        _ => Err(unexpected_value("generate_subscripts")),
    });
}

fn strings(b: &mut Builder) {
    for parameters in ["text,text", "text,text,text"] {
        b.row(&format!("regexp_matches list({parameters}) __text"), |args, _| {
            let flags = args.get(2).map_or(Ok(""), text)?;
            let matches = regex::all_matches(text(&args[0])?, text(&args[1])?, flags)?;
            list(PgType::Array(Box::new(PgType::Text)), matches)
        });
    }
    for name in ["regexp_split_to_table"] {
        for parameters in ["text,text", "text,text,text"] {
            b.row(&format!("{name} list({parameters}) _text"), |args, _| {
                let flags = args.get(2).map_or(Ok(""), text)?;
                let compiled = regex::compile(text(&args[1])?, flags)?;
                let parts = regex::split(&compiled, text(&args[0])?);
                let values = parts.into_iter().flatten().map(Datum::Text).collect();
                list(PgType::Text, values)
            });
        }
    }
    b.called_on_null(|b| {
        for parameters in ["text,text", "text,text,text"] {
            b.row(&format!("string_to_table list({parameters}) _text"), |args, _| {
                super::arrays::string_to_array(args)
            });
        }
    });
}

fn json(b: &mut Builder, name: &'static str, ty: &PgType) {
    let own = ty.clone();
    b.row(&format!("{name}_array_elements list({name}) _{name}"), move |args, _| {
        let value = text(&args[0])?;
        check_kind(value, jsonb::Kind::Array, &format!("{name}_array_elements"))?;
        let elements = jsonb::array_elements(value).map(|e| Datum::Text(e.trim().into()));
        list(own.clone(), elements.collect())
    });
    b.row(&format!("{name}_array_elements_text list({name}) _text"), move |args, _| {
        let value = text(&args[0])?;
        check_kind(value, jsonb::Kind::Array, &format!("{name}_array_elements_text"))?;
        let elements = jsonb::array_elements(value).map(unquoted);
        list(PgType::Text, elements.collect())
    });
    b.row(&format!("{name}_object_keys list({name}) _text"), move |args, _| {
        let value = text(&args[0])?;
        check_kind(value, jsonb::Kind::Object, &format!("{name}_object_keys"))?;
        let keys = jsonb::object_keys(value).map(|key| Datum::Text(key.into_owned()));
        list(PgType::Text, keys.collect())
    });
    for each in [format!("{name}_each"), format!("{name}_each_text")] {
        b.row(&format!("{each} keys({name}) _text"), move |args, _| {
            let value = text(&args[0])?;
            check_kind(value, jsonb::Kind::Object, &each)?;
            let keys = jsonb::object_keys(value).map(|key| Datum::Text(key.into_owned()));
            list(PgType::Text, keys.collect())
        });
    }
    let own = ty.clone();
    b.row(&format!("{name}_each values({name}) _{name}"), move |args, _| {
        let value = text(&args[0])?;
        check_kind(value, jsonb::Kind::Object, &format!("{name}_each"))?;
        let values = jsonb::each(value).map(|(_, value)| Datum::Text(value.trim().into()));
        list(own.clone(), values.collect())
    });
    b.row(&format!("{name}_each_text values({name}) _text"), move |args, _| {
        let value = text(&args[0])?;
        check_kind(value, jsonb::Kind::Object, &format!("{name}_each_text"))?;
        list(PgType::Text, jsonb::each(value).map(|(_, value)| unquoted(value)).collect())
    });
}

fn unquoted(value: &str) -> Datum {
    jsonb::as_text(value).map_or(Datum::Null, |text| Datum::Text(text.into_owned()))
}

fn check_kind(value: &str, wanted: jsonb::Kind, function: &str) -> SqlResult<()> {
    let kind = jsonb::kind(value);
    if kind == wanted {
        return Ok(());
    }
    // json and jsonb have words of their own.
    let is_json = function.starts_with("json_");
    let message = match (wanted, kind) {
        (jsonb::Kind::Array, jsonb::Kind::Object) if is_json => {
            format!("cannot call {function} on a non-array")
        }
        (jsonb::Kind::Array, jsonb::Kind::Object) => {
            "cannot extract elements from an object".into()
        }
        (jsonb::Kind::Array, _) if is_json => format!("cannot call {function} on a scalar"),
        (jsonb::Kind::Array, _) => "cannot extract elements from a scalar".into(),
        (_, jsonb::Kind::Array) if is_json && function.contains("each") => {
            "cannot deconstruct an array as an object".into()
        }
        _ if is_json && function.contains("each") => "cannot deconstruct a scalar".into(),
        _ if function.contains("each") => format!("cannot call {function} on a non-object"),
        (_, jsonb::Kind::Array) => format!("cannot call {function} on an array"),
        _ => format!("cannot call {function} on a scalar"),
    };
    Err(SqlError::new(SqlState::INVALID_PARAMETER_VALUE, message))
}
