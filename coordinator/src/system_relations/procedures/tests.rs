use satsuma_common::PgType;
use satsuma_sql::functions::signature::{Choice, Pattern, choose_operator};
use satsuma_sql::functions::{self, library};

use super::*;

/// What is listed can be called.
#[test]
fn every_declared_function_is_there() {
    let unknown: Vec<String> = declared::functions()
        .into_iter()
        .filter(|procedure| {
            let name = &procedure.name;
            let is_cast = procedure.inputs().count() == 1 && PgType::parse_name(name).is_some();
            // Called with a list of columns.
            let is_record = name.ends_with("_to_record") || name.ends_with("_to_recordset");
            !is_record
                && !functions::is_known(name)
                && !satsuma_sql::bind::is_cluster_function(name)
                && !is_cast
        })
        .map(|procedure| function_with_arguments(procedure.oid).unwrap_or_default())
        .collect();
    assert!(unknown.is_empty(), "{unknown:#?}");
}

/// Signatures that are steps of other functions or words of the grammar, and no functions of SQL;
/// or whose arguments are told otherwise.
const STEPS: &[&str] = &[
    "array_element",
    "array_slice",
    "assign",
    "assign_in_session",
    "at_most_one_row",
    "cast",
    "cast_in_session",
    "current_catalog",
    "current_date",
    "current_role",
    "current_schema_name",
    "current_time",
    "current_timestamp",
    "distance_key",
    "enum_label",
    "enum_position",
    "equality_key",
    "get_shard_id_for_distribution_column",
    "getpgusername",
    "greatest_of",
    "interval_key",
    "json_array_literal",
    "jsonb_element",
    "least_of",
    "like_escape",
    "localtime",
    "localtimestamp",
    "make_array",
    "name_element",
    "point_element",
    "record",
    "record_to_json",
    "record_to_json_lines",
    "record_to_jsonb",
    "sort_key",
    "user",
    "worker_hash",
];

/// An argument of many is declared as an array of them.
fn fits(parameter: &Parameter, ty: u32) -> bool {
    let is_element =
        PgType::from_oid(ty).is_some_and(|ty| PgType::Array(Box::new(ty)).oid() == parameter.ty);
    parameter.ty == ty || parameter.mode == Mode::Variadic && is_element
}

fn oid_of(pattern: &Pattern) -> u32 {
    match pattern {
        Pattern::Exact(ty) => ty.oid(),
        Pattern::Any => type_oid("any"),
        Pattern::AnyElement => type_oid("anyelement"),
        Pattern::AnyNonArray => type_oid("anynonarray"),
        Pattern::AnyArray => type_oid("anyarray"),
        Pattern::AnyEnum => type_oid("anyenum"),
        Pattern::AnyCompatible => type_oid("anycompatible"),
        Pattern::AnyCompatibleNonArray => type_oid("anycompatiblenonarray"),
        Pattern::AnyCompatibleArray => type_oid("anycompatiblearray"),
    }
}

/// What can be called is listed.
#[test]
fn every_function_is_declared() {
    let missing: Vec<String> = library::functions()
        .definitions()
        .map(|definition| &definition.signature)
        .filter(|signature| {
            let types: Vec<u32> = signature.parameters.iter().map(oid_of).collect();
            let is_listed = named(&signature.name).any(|procedure| {
                let mut inputs = procedure.inputs();
                let taken = types.iter().all(|ty| inputs.next().is_some_and(|one| fits(one, *ty)));
                taken && inputs.all(|parameter| parameter.default.is_some())
            });
            // A date is made a moment there, and is one of its own here.
            let is_step = signature.name.contains(' ') || signature.key() == "to_char(date,text)";
            !is_listed && !is_step && !STEPS.contains(&signature.name.as_str())
        })
        .map(|signature| signature.key())
        .collect();
    assert!(missing.is_empty(), "{missing:#?}");
}

#[test]
fn every_operator_is_there() {
    let unknown: Vec<String> = declared::operators()
        .filter(|operator| {
            let types: Vec<PgType> = operator
                .left
                .into_iter()
                .chain([operator.right])
                .map(|name| PgType::from_oid(type_oid(name)).unwrap_or(PgType::Unknown))
                .collect();
            let candidates: Vec<_> = library::operators()
                .named(operator.name)
                .iter()
                .filter(|candidate| candidate.signature.parameters.len() == types.len())
                .cloned()
                .collect();
            let is_open = types.contains(&PgType::Unknown) && !candidates.is_empty();
            !is_open && !matches!(choose_operator(&candidates, &types), Choice::One(_))
        })
        .map(|operator| format!("{operator:?}"))
        .collect();
    assert!(unknown.is_empty(), "{unknown:#?}");
}

#[test]
fn names_and_oids_agree() {
    for (oid, name) in [
        (1242, "boolin"),
        (1312, "timestamp_in"),
        (2401, "array_send"),
        (3506, "enum_in"),
        (2917, "numerictypmodin"),
        (330, "bthandler"),
        (1299, "now"),
    ] {
        assert_eq!(function_name(oid).as_deref(), Some(name));
        assert_eq!(function_named(name), Ok(Some(oid)));
    }
    assert_eq!(function_name(1397).as_deref(), Some("pg_catalog.abs"));
    assert!(function_named("abs").is_err());
    assert_eq!((function_name(0), function_named("no_such")), (None, Ok(None)));
    let signature = |text| function_by_signature(text, |_| None);
    assert_eq!(signature("abs(integer)"), Ok(Some(1397)));
    assert_eq!(signature("pg_catalog.substring(text, int,int4)"), Ok(Some(936)));
    assert_eq!(signature("concat(\"any\")"), Ok(Some(3058)));
    assert_eq!(signature("abs(text)"), Ok(None));
    for malformed in ["abs", "abs(int", "abs(int,)", "abs(no_such)"] {
        assert!(signature(malformed).is_err(), "{malformed}");
    }
}

#[test]
fn arguments_read_as_psql_shows_them() {
    let of = |oid: u32, shown: fn(&Procedure) -> String| by_oid(oid).map(shown).unwrap_or_default();
    assert_eq!(
        of(3305, arguments),
        "jsonb_in jsonb, path text[], replacement jsonb, create_if_missing boolean DEFAULT true"
    );
    assert_eq!(
        of(3305, identity_arguments),
        "jsonb_in jsonb, path text[], replacement jsonb, create_if_missing boolean"
    );
    assert_eq!(of(3958, arguments), "from_json json, OUT key text, OUT value json");
    assert_eq!(of(3958, result), "SETOF record");
    assert_eq!(of(3974, arguments), "double precision ORDER BY double precision");
    assert_eq!(of(3986, arguments), "VARIADIC \"any\" ORDER BY VARIADIC \"any\"");
}
