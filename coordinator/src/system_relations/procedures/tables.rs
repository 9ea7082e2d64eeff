//! The rows of `pg_proc`, `pg_aggregate`, and the views of `information_schema` over them.

use satsuma_common::types::PseudoType;
use satsuma_common::{Array, Datum, Oid, PgType, SqlResult};

use super::{Kind, Mode, Parameter, Procedure, all, default_of_argument, show};
use crate::catalog::{PG_CATALOG_OID, SUPERUSER_OID};
use crate::system_relations::rows::{Rows, row};
use crate::system_relations::{Fill, Source};

pub(in crate::system_relations) fn fill(schema: &str, name: &str) -> Option<Fill> {
    Some(match (schema, name) {
        ("pg_catalog", "pg_proc") => procedures,
        ("pg_catalog", "pg_aggregate") => aggregates,
        ("information_schema", "routines") => routines,
        ("information_schema", "parameters") => parameters,
        _ => return None,
    })
}

/// `pg_language.oid` of functions that are built in.
const INTERNAL: u32 = 12;

fn count(length: usize) -> i16 {
    i16::try_from(length).unwrap_or(i16::MAX)
}

fn texts<'a>(values: impl Iterator<Item = &'a str>, element: PgType) -> Datum {
    Datum::Array(Array { element, values: values.map(|text| Datum::Text(text.into())).collect() })
}

fn procedures(_source: &Source<'_>, rows: &mut Rows<'_>) -> SqlResult<()> {
    for procedure in all() {
        let parameters = &procedure.parameters;
        let inputs: Vec<Oid> = procedure.inputs().map(|parameter| Oid(parameter.ty)).collect();
        let all_are_inputs = parameters.iter().all(|parameter| parameter.mode == Mode::In);
        let types = (!all_are_inputs)
            .then(|| parameters.iter().map(|parameter| Oid(parameter.ty)).collect::<Vec<_>>());
        let modes = (!all_are_inputs)
            .then(|| texts(parameters.iter().map(|parameter| mode(parameter)), PgType::Char));
        let is_named = parameters.iter().any(|parameter| !parameter.name.is_empty());
        let names = is_named
            .then(|| texts(parameters.iter().map(|parameter| parameter.name), PgType::Text));
        let defaults: Vec<&str> =
            parameters.iter().filter_map(|parameter| parameter.default).collect();
        row!(
            rows,
            oid = Oid(procedure.oid),
            proname = &procedure.name,
            pronamespace = PG_CATALOG_OID,
            proowner = SUPERUSER_OID,
            prolang = Oid(INTERNAL),
            procost = 1.0f32,
            prorows = if procedure.returns_set { 1000.0f32 } else { 0.0 },
            provariadic = Oid(variadic_of(procedure)),
            prosupport = Oid(0),
            prokind = procedure.kind.letter(),
            prosecdef = false,
            proleakproof = false,
            proisstrict = procedure.strict,
            proretset = procedure.returns_set,
            provolatile = procedure.volatility,
            proparallel = 's',
            pronargs = count(inputs.len()),
            pronargdefaults = count(defaults.len()),
            prorettype = Oid(procedure.result),
            proargtypes = inputs,
            proallargtypes = types,
            proargmodes = modes,
            proargnames = names,
            proargdefaults = (!defaults.is_empty()).then(|| defaults.join(", ")),
            prosrc = &procedure.name,
        )?;
    }
    Ok(())
}

fn mode(parameter: &Parameter) -> &'static str {
    match parameter.mode {
        Mode::In => "i",
        Mode::Out => "o",
        Mode::Variadic => "v",
    }
}

/// `pg_proc.provariadic`: the type of each of many arguments.
fn variadic_of(procedure: &Procedure) -> u32 {
    let variadic = procedure.parameters.iter().find(|one| one.mode == Mode::Variadic);
    let Some(ty) = variadic.map(|parameter| parameter.ty) else { return 0 };
    match PgType::from_oid(ty) {
        Some(PgType::Array(element)) => element.oid(),
        _ => ty,
    }
}

fn aggregates(_source: &Source<'_>, rows: &mut Rows<'_>) -> SqlResult<()> {
    for procedure in all().filter(|procedure| procedure.kind.letter() == 'a') {
        let inputs = procedure.inputs().count();
        let (kind, direct) = match procedure.kind {
            Kind::OrderedSet => ('o', inputs.saturating_sub(1)),
            Kind::Hypothetical => ('h', inputs),
            _ => ('n', 0),
        };
        // Aggregates are not put together from functions of SQL: these columns are empty.
        let none = Oid(0);
        row!(
            rows,
            aggfnoid = Oid(procedure.oid),
            aggkind = kind,
            aggnumdirectargs = count(direct),
            aggtransfn = none,
            aggfinalfn = none,
            aggcombinefn = none,
            aggserialfn = none,
            aggdeserialfn = none,
            aggmtransfn = none,
            aggminvtransfn = none,
            aggmfinalfn = none,
            aggfinalextra = false,
            aggmfinalextra = false,
            aggfinalmodify = 'r',
            aggmfinalmodify = 'r',
            aggsortop = none,
            aggtranstype = none,
            aggtransspace = 0,
            aggmtranstype = none,
            aggmtransspace = 0,
        )?;
    }
    Ok(())
}

fn data_type(oid: u32) -> String {
    match PgType::from_oid(oid) {
        Some(PgType::Array(_)) => "ARRAY".to_owned(),
        _ => show::type_name(oid),
    }
}

fn udt_name(oid: u32) -> Option<String> {
    let pseudo = PseudoType::by_oid(oid).map(|ty| ty.name.to_owned());
    pseudo.or_else(|| PgType::from_oid(oid).map(|ty| ty.name()))
}

fn specific_name(procedure: &Procedure) -> String {
    format!("{}_{}", procedure.name, procedure.oid)
}

fn yes_no(yes: bool) -> &'static str {
    if yes { "YES" } else { "NO" }
}

fn routines(source: &Source<'_>, rows: &mut Rows<'_>) -> SqlResult<()> {
    let database = &source.state.cluster().database;
    for procedure in all() {
        row!(
            rows,
            specific_catalog = database,
            specific_schema = "pg_catalog",
            specific_name = specific_name(procedure),
            routine_catalog = database,
            routine_schema = "pg_catalog",
            routine_name = &procedure.name,
            routine_type = (procedure.kind == Kind::Plain).then_some("FUNCTION"),
            data_type = data_type(procedure.result),
            type_udt_catalog = database,
            type_udt_schema = "pg_catalog",
            type_udt_name = udt_name(procedure.result),
            dtd_identifier = "0",
            routine_body = "EXTERNAL",
            routine_definition = &procedure.name,
            external_language = "INTERNAL",
            parameter_style = "GENERAL",
            is_deterministic = yes_no(procedure.volatility == 'i'),
            sql_data_access = "MODIFIES",
            is_null_call = yes_no(procedure.strict),
            schema_level_routine = "YES",
            max_dynamic_result_sets = 0,
            security_type = "INVOKER",
            as_locator = "NO",
            is_udt_dependent = "NO",
        )?;
    }
    Ok(())
}

fn parameters(source: &Source<'_>, rows: &mut Rows<'_>) -> SqlResult<()> {
    let database = &source.state.cluster().database;
    for procedure in all() {
        for (number, parameter) in (1..).zip(&procedure.parameters) {
            let name = Some(parameter.name).filter(|name| !name.is_empty());
            row!(
                rows,
                specific_catalog = database,
                specific_schema = "pg_catalog",
                specific_name = specific_name(procedure),
                ordinal_position = number,
                parameter_mode = if parameter.mode == Mode::Out { "OUT" } else { "IN" },
                is_result = "NO",
                as_locator = "NO",
                parameter_name = name,
                data_type = data_type(parameter.ty),
                udt_catalog = database,
                udt_schema = "pg_catalog",
                udt_name = udt_name(parameter.ty),
                dtd_identifier = number.to_string(),
                parameter_default = default_of_argument(procedure, number),
            )?;
        }
    }
    Ok(())
}
