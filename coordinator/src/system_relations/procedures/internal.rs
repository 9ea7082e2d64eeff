//! Functions that catalogs refer to and SQL does not call: input and output of types, handlers of
//! access methods, what operators are worked out by.

use satsuma_common::types::{PSEUDO_TYPES, VECTORS};
use satsuma_common::{Oid, PgType};
use satsuma_sql::declared;
use satsuma_sql::functions::signature::{Pattern, Signature};

use super::{Kind, Mode, Parameter, Procedure, type_oid};
use crate::system_relations::relations::ACCESS_METHODS;
use crate::system_relations::types::{IO_SUFFIXES, io_functions, modifier_functions};

/// Types whose functions are called `date_in`, not `datein`.
const SEPARATED: [&str; 16] = [
    "array",
    "cidr",
    "date",
    "enum",
    "inet",
    "interval",
    "json",
    "jsonb",
    "numeric",
    "point",
    "record",
    "time",
    "timestamp",
    "timestamptz",
    "uuid",
    "void",
];

/// By what subscripts of arrays are resolved, and arrays analyzed.
const OF_ARRAYS: [(u32, &str, &str); 2] =
    [(6179, "array_subscript_handler", "internal"), (3816, "array_typanalyze", "bool")];

pub(super) fn functions() -> Vec<Procedure> {
    let mut all = Vec::new();
    let array = PgType::Array(Box::new(PgType::Text));
    let named = PgType::builtin().map(|ty| (ty.name(), ty));
    let others = [("array".to_owned(), array), ("enum".to_owned(), PgType::Enum(Oid(0)))];
    for (name, ty) in named.chain(others) {
        let separator = if SEPARATED.contains(&name.as_str()) { "_" } else { "" };
        let own = match name.as_str() {
            "array" => type_oid("anyarray"),
            "enum" => type_oid("anyenum"),
            _ => ty.oid(),
        };
        let stable = is_stable(&ty);
        input_and_output(&mut all, &format!("{name}{separator}"), own, io_functions(&ty), stable);
        let [read, print] = modifier_functions(&ty);
        all.push(function(read, format!("{name}typmodin"), 'i', &[CSTRING_ARRAY], "int4"));
        let int4 = PgType::Int4.oid();
        all.push(function(print, format!("{name}typmodout"), 'i', &[int4], "cstring"));
    }
    for ty in PSEUDO_TYPES {
        input_and_output(&mut all, &format!("{}_", ty.name), ty.oid, ty.io, false);
    }
    for (ty, ..) in &VECTORS {
        input_and_output(&mut all, ty.name, ty.oid, ty.io, false);
    }
    for (_, _, _, oid, handler) in ACCESS_METHODS {
        let internal = [type_oid("internal")];
        all.push(function(*oid, (*handler).to_owned(), 'v', &internal, "internal"));
    }
    for (oid, name, result) in OF_ARRAYS {
        all.push(function(oid, name.to_owned(), 's', &[type_oid("internal")], result));
    }
    for operator in declared::operators() {
        let made = operator.function;
        let operands = operator.left.into_iter().chain([operator.right]);
        let operands: Vec<u32> = operands.map(type_oid).collect();
        let name = made.name.to_owned();
        all.push(function(made.oid, name, made.volatility, &operands, operator.result));
    }
    // Types without functions have 0 for them.
    all.retain(|procedure| procedure.oid != 0);
    all
}

/// `_cstring`, which is nothing else's type.
const CSTRING_ARRAY: u32 = 1263;

/// Whether what a text means depends on settings or on names.
fn is_stable(ty: &PgType) -> bool {
    matches!(
        ty,
        PgType::Date
            | PgType::Timestamp
            | PgType::Timestamptz
            | PgType::Time
            | PgType::Interval
            | PgType::Regproc
            | PgType::Regprocedure
            | PgType::Regclass
            | PgType::Regtype
            | PgType::Regrole
            | PgType::Regnamespace
            | PgType::Enum(_)
            | PgType::Record
            | PgType::Array(_)
    )
}

fn input_and_output(
    all: &mut Vec<Procedure>,
    prefix: &str,
    ty: u32,
    functions: [u32; 4],
    stable: bool,
) {
    let volatility = if stable { 's' } else { 'i' };
    let cstring = type_oid("cstring");
    for (suffix, oid) in IO_SUFFIXES.iter().zip(functions) {
        let (argument, result) = match *suffix {
            "in" => (cstring, ty),
            "out" => (ty, cstring),
            "recv" => (type_oid("internal"), ty),
            _ => (ty, PgType::Bytea.oid()),
        };
        let mut made = function(oid, format!("{prefix}{suffix}"), volatility, &[argument], "void");
        made.result = result;
        all.push(made);
    }
}

fn function(
    oid: u32,
    name: String,
    volatility: char,
    arguments: &[u32],
    result: &'static str,
) -> Procedure {
    let parameter = |ty: &u32| Parameter { mode: Mode::In, name: "", ty: *ty, default: None };
    // No call is resolved to it.
    let signature = Signature {
        name: name.clone(),
        parameters: Vec::new(),
        variadic: false,
        result: Pattern::Any,
    };
    Procedure {
        oid,
        kind: Kind::Plain,
        volatility,
        strict: true,
        name,
        parameters: arguments.iter().map(parameter).collect(),
        returns_set: false,
        result: type_oid(result),
        signature,
    }
}
