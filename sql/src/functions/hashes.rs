//! Hashes of values by the names that PostgreSQL's hash indexes know them by: people lock by them,
//! `pg_advisory_lock(hashtext('name'))`.

use satsuma_common::{Datum, PgType, SqlError, SqlResult, hash};

use super::error::unexpected_value;
use super::library::{Builder, Call};

/// Name and type; most have a form of 64 bits with a seed too.
const HASHES: [(&str, &str); 17] = [
    ("hashint2", "int2"),
    ("hashint4", "int4"),
    ("hashint8", "int8"),
    ("hashfloat4", "float4"),
    ("hashfloat8", "float8"),
    ("hashtext", "text"),
    ("hashbpchar", "bpchar"),
    ("hashname", "name"),
    ("hashchar", "\"char\""),
    ("hashoid", "oid"),
    ("hashinet", "inet"),
    ("hash_numeric", "numeric"),
    ("hash_array", "anyarray"),
    ("uuid_hash", "uuid"),
    ("time_hash", "time"),
    ("timestamp_hash", "timestamp"),
    ("interval_hash", "interval"),
];

pub(crate) fn install(b: &mut Builder) {
    b.infallible(|b| {
        for (name, ty) in HASHES {
            b.row(&format!("{name}({ty}) int4"), |args, call| {
                let ty = argument_type(call)?;
                let hash = hash::partition_hash(&args[0], ty).ok_or_else(|| no_hash(ty))?;
                Ok(Datum::Int4(hash))
            });
            let suffix = if name.contains('_') { "_extended" } else { "extended" };
            b.row(&format!("{name}{suffix}({ty},int8) int8"), |args, call| {
                let Datum::Int8(seed) = args[1] else { return Err(unexpected_value("a seed")) };
                let ty = argument_type(call)?;
                let hash = hash::extended_hash(&args[0], ty, seed as u64);
                Ok(Datum::Int8(hash.ok_or_else(|| no_hash(ty))? as i64))
            });
        }
        b.row("jsonb_hash(jsonb) int4", |args, call| {
            let ty = argument_type(call)?;
            Ok(hash::partition_hash(&args[0], ty).map_or(Datum::Null, Datum::Int4))
        });
    });
}

fn argument_type(call: &Call) -> SqlResult<&PgType> {
    call.arguments.first().ok_or_else(|| unexpected_value("a hash"))
}

fn no_hash(ty: &PgType) -> SqlError {
    let element = match ty {
        PgType::Array(element) => element.as_ref(),
        other => other,
    };
    SqlError::new(
        satsuma_common::SqlState::UNDEFINED_FUNCTION,
        format!("could not identify an extended hash function for type {element}"),
    )
}
