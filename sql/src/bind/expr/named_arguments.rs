//! Arguments given by name: `jsonb_path_query(doc, path, silent => true)`.

use satsuma_common::{SqlError, SqlResult};

use crate::bind::binder::Binder;
use crate::functions::{self, Typed};

/// Of the functions of SQL/JSON paths.
const OF_PATHS: &[&str] = &["target", "path", "vars", "silent"];

/// Parameter names of functions that people call by name.
const NAMED_PARAMETERS: &[(&str, &[&str])] = &[
    ("make_interval", &["years", "months", "weeks", "days", "hours", "mins", "secs"]),
    ("make_timestamp", &["year", "month", "mday", "hour", "min", "sec"]),
    ("make_date", &["year", "month", "day"]),
    ("make_time", &["hour", "min", "sec"]),
    ("jsonb_set", &["jsonb_in", "path", "replacement", "create_if_missing"]),
    (
        "jsonb_set_lax",
        &["jsonb_in", "path", "replacement", "create_if_missing", "null_value_treatment"],
    ),
    ("jsonb_insert", &["jsonb_in", "path", "replacement", "insert_after"]),
    ("jsonb_path_exists", OF_PATHS),
    ("jsonb_path_exists_tz", OF_PATHS),
    ("jsonb_path_match", OF_PATHS),
    ("jsonb_path_match_tz", OF_PATHS),
    ("jsonb_path_query", OF_PATHS),
    ("jsonb_path_query_tz", OF_PATHS),
    ("jsonb_path_query_array", OF_PATHS),
    ("jsonb_path_query_array_tz", OF_PATHS),
    ("jsonb_path_query_first", OF_PATHS),
    ("jsonb_path_query_first_tz", OF_PATHS),
];

/// What a parameter is where it is left out before another; those at the end the function fills
/// in itself.
fn default_of(function: &str, parameter: &str) -> Option<Typed> {
    match (function, parameter) {
        ("make_interval", _) => Some(Typed::int4(0)),
        (_, "vars") => Some(Typed::unknown("{}")),
        ("jsonb_set_lax", "create_if_missing") => Some(Typed::unknown("true")),
        _ => None,
    }
}

impl Binder<'_> {
    /// Argument values with those that have a name put in their places.
    pub fn in_their_places(
        &self,
        name: &str,
        values: Vec<Typed>,
        names: &[Option<String>],
        position: u32,
    ) -> SqlResult<Vec<Typed>> {
        if names.iter().all(Option::is_none) {
            return Ok(values);
        }
        let Some((_, parameters)) = NAMED_PARAMETERS.iter().find(|(known, _)| *known == name)
        else {
            return Err(self.at(
                SqlError::unsupported(format!(
                    "function {name} does not take arguments by name here"
                )),
                position,
            ));
        };
        let undefined = || self.at(undefined_with_names(name, &values, names), position);
        let mut slots: Vec<Option<&Typed>> = vec![None; parameters.len()];
        for (index, (value, given)) in values.iter().zip(names).enumerate() {
            let slot = match given {
                None => Some(index),
                Some(given) => parameters.iter().position(|parameter| parameter == given),
            };
            match slot.and_then(|slot| slots.get_mut(slot)) {
                Some(slot @ None) => *slot = Some(value),
                _ => return Err(undefined()),
            }
        }
        while slots.last().is_some_and(Option::is_none) {
            slots.pop();
        }
        let filled = slots.into_iter().zip(*parameters).map(|(slot, parameter)| {
            slot.cloned().or_else(|| default_of(name, parameter)).ok_or_else(undefined)
        });
        filled.collect()
    }
}

fn undefined_with_names(name: &str, values: &[Typed], names: &[Option<String>]) -> SqlError {
    let types: Vec<String> = values
        .iter()
        .zip(names)
        .map(|(value, given)| {
            let ty = value.ty.without_modifier();
            given.as_ref().map_or_else(|| ty.to_string(), |given| format!("{given} => {ty}"))
        })
        .collect();
    let mut error = functions::undefined(name, &[]);
    let call = format!("{name}({})", types.join(", "));
    error.fields_mut().message = format!("function {call} does not exist");
    error
}
