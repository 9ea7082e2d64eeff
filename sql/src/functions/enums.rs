//! What is known of an enum type alone: its first label, its last one, those between two.

use satsuma_common::{Array, Datum, PgType, SqlError, SqlResult, SqlState};

use super::error::unexpected_value;
use super::library::Builder;
use super::session::SessionCall;
use super::{FunctionEnv, Typed};
use crate::casts::enums;

pub(crate) fn install(b: &mut Builder) {
    b.called_on_null(|b| {
        b.rewrite("enum_first(anyenum) anyenum", |args, result, env| {
            let labels = labels(&args, env)?;
            end(labels.into_iter().next(), result, env)
        });
        b.rewrite("enum_last(anyenum) anyenum", |args, result, env| {
            let labels = labels(&args, env)?;
            end(labels.into_iter().next_back(), result, env)
        });
        b.rewrite("enum_range(anyenum) anyarray", |args, result, env| {
            let labels = array(labels(&args, env)?, result)?;
            enums::check(&labels, result, env.catalog.as_ref())?;
            Typed::constant(labels, result.clone())
        });
        // The bounds may be values of rows.
        b.rewrite("enum_range(anyenum,anyenum) anyarray", |args, result, env| {
            let labels = labels(&args, env)?;
            let (ty, catalog) = (result.clone(), env.catalog.clone());
            Ok(SessionCall::on_nulls("enum_range", args, result.clone(), move |bounds| {
                let at = |bound: Option<&Datum>| match bound {
                    Some(Datum::Text(label)) => labels.iter().position(|known| known == label),
                    _ => None,
                };
                let from = at(bounds.first()).unwrap_or(0);
                let to = at(bounds.get(1)).map_or(labels.len(), |to| to + 1);
                let within = array(labels.get(from..to).unwrap_or_default().to_vec(), &ty)?;
                enums::check(&within, &ty, catalog.as_ref())?;
                Ok(within)
            }))
        });
    });
}

fn labels(args: &[Typed], env: &FunctionEnv) -> SqlResult<Vec<String>> {
    let ty = args.iter().find_map(|arg| match arg.ty {
        PgType::Enum(oid) => Some(oid),
        _ => None,
    });
    let oid = ty.ok_or_else(|| {
        SqlError::new(SqlState::DATATYPE_MISMATCH, "could not determine actual enum type")
    })?;
    let labels = env.catalog.enum_labels(oid);
    labels.map(|labels| labels.to_vec()).ok_or_else(|| unexpected_value("an enum type"))
}

fn end(label: Option<String>, ty: &PgType, env: &FunctionEnv) -> SqlResult<Typed> {
    match label {
        Some(label) => {
            let label = Datum::Text(label);
            enums::check(&label, ty, env.catalog.as_ref())?;
            Typed::constant(label, ty.clone())
        }
        None => Err(SqlError::new(
            SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE,
            "enum type contains no values",
        )),
    }
}

fn array(labels: Vec<String>, ty: &PgType) -> SqlResult<Datum> {
    let PgType::Array(element) = ty else { return Err(unexpected_value("an array type")) };
    let values = labels.into_iter().map(Datum::Text).collect();
    Ok(Datum::Array(Array { element: element.as_ref().clone(), values }))
}
