//! json_agg and its relatives. Values come as JSON already: the session's settings decide how
//! dates look, and aggregates do not have them.

use satsuma_common::{Array, Datum, PgType, SqlError, SqlResult, SqlState, jsonb};

use super::AggregateCall;
use super::library::{Builder, Transition};
use crate::casts::{self, CastKind};
use crate::functions::error::unexpected_value;
use crate::functions::{FunctionEnv, call_known, records};

pub(crate) fn install(b: &mut Builder) {
    // Arrays go on lines of their own.
    for (name, ty, lines) in [
        ("json_agg", "json", false),
        ("json_agg_lines", "json", true),
        ("jsonb_agg", "jsonb", false),
    ] {
        b.with(
            &format!("{name}({ty}) {ty}"),
            |types| vec![PgType::Array(Box::new(types.result.clone()))],
            move |types| Box::new(Elements { ty: types.result.clone(), lines, values: None }),
            |d| {
                d.strict = false;
                d.sorts = true;
            },
        );
    }
    for (name, ty) in [("json_object_agg", "json"), ("jsonb_object_agg", "jsonb")] {
        b.with(
            &format!("{name}(text,{ty}) {ty}"),
            |types| {
                vec![
                    PgType::Array(Box::new(PgType::Text)),
                    PgType::Array(Box::new(types.result.clone())),
                ]
            },
            |types| Box::new(Members { ty: types.result.clone(), pairs: None }),
            |d| {
                d.strict = false;
                d.sorts = true;
            },
        );
    }
}

/// Turns the arguments of a JSON aggregate into JSON; returns the name to call then.
pub(super) fn prepare(
    name: &str,
    call: &mut AggregateCall,
    env: &FunctionEnv,
) -> SqlResult<String> {
    let binary = name.starts_with("jsonb");
    let to_json = if binary { "to_jsonb(anyelement)" } else { "to_json(anyelement)" };
    let mut name = name.to_string();
    match (name.as_str(), call.args.as_mut_slice()) {
        ("json_agg" | "jsonb_agg", [value]) => {
            if (value.ty.is_array() || value.ty == PgType::Record) && !binary {
                name.push_str("_lines");
            }
            *value = records::as_json(value.clone(), binary, false, env)?;
            *value = call_known(to_json, vec![casts::relabel_unknown(value.clone())], env)?;
        }
        ("json_object_agg" | "jsonb_object_agg", [key, value]) => {
            *key = casts::cast(key.clone(), &PgType::Text, CastKind::Explicit, env)?;
            *value = records::as_json(value.clone(), binary, false, env)?;
            *value = call_known(to_json, vec![casts::relabel_unknown(value.clone())], env)?;
        }
        _ => {}
    }
    Ok(name)
}

fn json(value: &Datum) -> SqlResult<String> {
    match value {
        Datum::Null => Ok("null".into()),
        Datum::Text(text) => Ok(text.clone()),
        _ => Err(unexpected_value("JSON")),
    }
}

fn list(ty: &PgType, values: impl IntoIterator<Item = String>) -> Datum {
    let values = values.into_iter().map(Datum::Text).collect();
    Datum::Array(Array { element: ty.clone(), values })
}

#[derive(Debug)]
struct Elements {
    ty: PgType,
    lines: bool,
    values: Option<Vec<String>>,
}

impl Transition for Elements {
    fn update(&mut self, args: &[Datum]) -> SqlResult<()> {
        let [value] = args else { return Err(unexpected_value("json_agg")) };
        self.values.get_or_insert_default().push(json(value)?);
        Ok(())
    }

    fn state(&self) -> SqlResult<Vec<Datum>> {
        Ok(vec![match &self.values {
            Some(values) => list(&self.ty, values.iter().cloned()),
            None => Datum::Null,
        }])
    }

    fn merge(&mut self, state: &[Datum]) -> SqlResult<()> {
        if let [Datum::Array(array)] = state {
            for value in &array.values {
                self.values.get_or_insert_default().push(json(value)?);
            }
        }
        Ok(())
    }

    fn finish(&self) -> SqlResult<Datum> {
        Ok(match &self.values {
            None => Datum::Null,
            Some(values) if self.ty == PgType::Jsonb => Datum::Text(jsonb::build_array(values)),
            Some(values) => {
                let mut out = String::from("[");
                for (i, value) in values.iter().enumerate() {
                    if i > 0 {
                        out.push_str(if self.lines && value != "null" { ", \n " } else { ", " });
                    }
                    out.push_str(value);
                }
                out.push(']');
                Datum::Text(out)
            }
        })
    }

    fn heap_size(&self) -> usize {
        self.values.iter().flatten().map(|v| v.len() + size_of::<String>()).sum()
    }
}

#[derive(Debug)]
struct Members {
    ty: PgType,
    pairs: Option<Vec<(String, String)>>,
}

impl Transition for Members {
    fn update(&mut self, args: &[Datum]) -> SqlResult<()> {
        let [key, value] = args else { return Err(unexpected_value("json_object_agg")) };
        let Datum::Text(key) = key else {
            return Err(SqlError::new(
                SqlState::INVALID_PARAMETER_VALUE,
                "field name must not be null",
            ));
        };
        self.pairs.get_or_insert_default().push((key.clone(), json(value)?));
        Ok(())
    }

    fn state(&self) -> SqlResult<Vec<Datum>> {
        Ok(match &self.pairs {
            Some(pairs) => vec![
                list(&PgType::Text, pairs.iter().map(|(key, _)| key.clone())),
                list(&self.ty, pairs.iter().map(|(_, value)| value.clone())),
            ],
            None => vec![Datum::Null, Datum::Null],
        })
    }

    fn merge(&mut self, state: &[Datum]) -> SqlResult<()> {
        if let [Datum::Array(keys), Datum::Array(values)] = state {
            for (key, value) in keys.values.iter().zip(&values.values) {
                self.update(&[key.clone(), value.clone()])?;
            }
        }
        Ok(())
    }

    fn finish(&self) -> SqlResult<Datum> {
        Ok(match &self.pairs {
            None => Datum::Null,
            Some(pairs) if self.ty == PgType::Jsonb => {
                Datum::Text(jsonb::build_object(pairs.iter().map(|(k, v)| (k, v))))
            }
            Some(pairs) => {
                let members: Vec<String> = pairs
                    .iter()
                    .map(|(key, value)| format!("{} : {value}", jsonb::quote(key)))
                    .collect();
                Datum::Text(format!("{{ {} }}", members.join(", ")))
            }
        })
    }

    fn heap_size(&self) -> usize {
        let pairs = self.pairs.iter().flatten();
        pairs.map(|(k, v)| k.len() + v.len() + 2 * size_of::<String>()).sum()
    }
}
