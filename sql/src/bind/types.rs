//! Type names of SQL text as [`PgType`]s.

use satsuma_common::types::{MOST_DIGITS, NumericMod};
use satsuma_common::{PgType, SqlError, SqlResult, SqlState, TimeType};
use sqlparser::ast::{
    ArrayElemTypeDef, CharacterLength, DataType, ExactNumberInfo, GeometricTypeKind, ObjectName,
    TimezoneInfo,
};

use super::names;
use crate::catalog_view::CatalogView;

const MAX_CHARACTERS: u64 = 10_485_760;

/// Types that PostgreSQL has and that are not here.
const UNSUPPORTED: [&str; 44] = [
    "aclitem",
    "bit",
    "box",
    "cid",
    "circle",
    "datemultirange",
    "daterange",
    "int2vector",
    "int4multirange",
    "int4range",
    "int8multirange",
    "int8range",
    "jsonpath",
    "line",
    "lseg",
    "macaddr",
    "macaddr8",
    "money",
    "nummultirange",
    "numrange",
    "oidvector",
    "path",
    "pg_lsn",
    "pg_snapshot",
    "polygon",
    "refcursor",
    "regcollation",
    "regconfig",
    "regdictionary",
    "regoper",
    "regoperator",
    "tid",
    "timetz",
    "tsmultirange",
    "tsquery",
    "tsrange",
    "tstzmultirange",
    "tstzrange",
    "tsvector",
    "txid_snapshot",
    "varbit",
    "xid",
    "xid8",
    "xml",
];

/// The type that a type name stands for. `serial` and its relatives are no types; who accepts
/// them looks before asking.
pub fn data_type(ty: &DataType, catalog: &dyn CatalogView) -> SqlResult<PgType> {
    Ok(match ty {
        DataType::Bool | DataType::Boolean => PgType::Bool,
        DataType::SmallInt(None) | DataType::Int2(None) => PgType::Int2,
        DataType::Int(None) | DataType::Integer(None) | DataType::Int4(None) => PgType::Int4,
        DataType::BigInt(None) | DataType::Int8(None) => PgType::Int8,
        DataType::Real | DataType::Float4 => PgType::Float4,
        DataType::DoublePrecision | DataType::Float8 | DataType::Float(ExactNumberInfo::None) => {
            PgType::Float8
        }
        DataType::Float(ExactNumberInfo::Precision(bits)) => match bits {
            0 => return Err(float_precision("at least 1 bit")),
            1..=24 => PgType::Float4,
            25..=53 => PgType::Float8,
            _ => return Err(float_precision("less than 54 bits")),
        },
        DataType::Numeric(info) | DataType::Decimal(info) | DataType::Dec(info) => numeric(info)?,
        DataType::Text => PgType::Text,
        DataType::Varchar(length)
        | DataType::CharacterVarying(length)
        | DataType::CharVarying(length) => PgType::Varchar(characters(length, "varchar")?),
        DataType::Char(length) | DataType::Character(length) => {
            PgType::Bpchar(Some(characters(length, "char")?.unwrap_or(1)))
        }
        DataType::Bytea => PgType::Bytea,
        DataType::Date => PgType::Date,
        DataType::Time(precision, zone) => match zone {
            TimezoneInfo::None | TimezoneInfo::WithoutTimeZone => {
                precise(TimeType::Time, *precision)
            }
            TimezoneInfo::WithTimeZone | TimezoneInfo::Tz => {
                return Err(unsupported_type("time with time zone"));
            }
        },
        DataType::Timestamp(precision, zone) => match zone {
            TimezoneInfo::None | TimezoneInfo::WithoutTimeZone => {
                precise(TimeType::Timestamp, *precision)
            }
            TimezoneInfo::WithTimeZone | TimezoneInfo::Tz => {
                precise(TimeType::Timestamptz, *precision)
            }
        },
        DataType::Interval { fields: None, precision } => precise(TimeType::Interval, *precision),
        DataType::Interval { .. } => {
            return Err(SqlError::unsupported("interval types with fields are not supported"));
        }
        DataType::Uuid => PgType::Uuid,
        DataType::JSON => PgType::Json,
        DataType::JSONB => PgType::Jsonb,
        DataType::Regclass => PgType::Regclass,
        DataType::GeometricType(GeometricTypeKind::Point) => PgType::Point,
        DataType::Array(
            ArrayElemTypeDef::SquareBracket(element, _)
            | ArrayElemTypeDef::AngleBracket(element)
            | ArrayElemTypeDef::Parenthesis(element),
        ) => match data_type(element, catalog)? {
            // `int[][]` is the type `int[]`: how many dimensions a value has is its own affair.
            array @ PgType::Array(_) => array,
            element => PgType::Array(Box::new(element)),
        },
        DataType::Custom(name, modifiers) => custom(name, modifiers, catalog)?,
        DataType::TsVector
        | DataType::TsQuery
        | DataType::Bit(_)
        | DataType::BitVarying(_)
        | DataType::VarBit(_)
        | DataType::GeometricType(_) => {
            return Err(unsupported_type(&ty.to_string().to_lowercase()));
        }
        other => return Err(unknown_type(&other.to_string().to_lowercase())),
    })
}

fn custom(name: &ObjectName, modifiers: &[String], catalog: &dyn CatalogView) -> SqlResult<PgType> {
    let parts = names::parts(name)?;
    let (schema, ident) = match parts.as_slice() {
        [ident] => (None, *ident),
        [schema, ident] => (Some(names::fold(schema)), *ident),
        _ => return Err(unknown_type(&name.to_string())),
    };
    let folded = names::fold(ident);
    let builtin = match schema.as_deref() {
        // `"char"` is the one-byte type, `char` the blank-padded one.
        None | Some("pg_catalog") if folded == "char" && ident.quote_style.is_some() => {
            Some(PgType::Char)
        }
        Some("pg_catalog") if folded == "char" => Some(PgType::Char),
        // Citus's enums of node roles and distribution types, whose columns are text here.
        None | Some("pg_catalog" | "citus")
            if matches!(folded.as_str(), "noderole" | "distribution_type") =>
        {
            Some(PgType::Text)
        }
        None | Some("pg_catalog") => PgType::parse_name(&folded),
        Some(_) => None,
    };
    let Some(ty) = builtin else {
        if let Some(own) = catalog.user_type(schema.as_deref(), &folded) {
            return Ok(own);
        }
        let written = name.to_string().replace('"', "");
        if schema.as_deref().is_none_or(|schema| schema == "pg_catalog")
            && UNSUPPORTED.contains(&folded.as_str())
        {
            return Err(unsupported_type(&folded));
        }
        if catalog.relation(schema.as_deref(), &folded).is_some() {
            return Err(SqlError::unsupported(format!(
                "type {written} is not supported: it is the row type of a relation"
            ))
            .hint("Name the columns."));
        }
        return Err(unknown_type(&written));
    };
    if modifiers.is_empty() {
        return Ok(ty);
    }
    let numbers: Option<Vec<i64>> = modifiers.iter().map(|text| text.trim().parse().ok()).collect();
    match (&ty, numbers.as_deref()) {
        (PgType::Varchar(_), Some([n])) => Ok(PgType::Varchar(Some(length(*n, "varchar")?))),
        (PgType::Bpchar(_), Some([n])) => Ok(PgType::Bpchar(Some(length(*n, "char")?))),
        (PgType::Numeric(_), Some([p])) => constrained(*p, 0),
        (PgType::Numeric(_), Some([p, s])) => constrained(*p, *s),
        (PgType::Timestamp, Some([n])) => digits(TimeType::Timestamp, *n),
        (PgType::Timestamptz, Some([n])) => digits(TimeType::Timestamptz, *n),
        (PgType::Time, Some([n])) => digits(TimeType::Time, *n),
        (PgType::Interval, Some([n])) => digits(TimeType::Interval, *n),
        _ => Err(SqlError::new(
            SqlState::SYNTAX_ERROR,
            format!("type modifier is not allowed for type \"{folded}\""),
        )),
    }
}

fn numeric(info: &ExactNumberInfo) -> SqlResult<PgType> {
    match info {
        ExactNumberInfo::None => Ok(PgType::Numeric(None)),
        ExactNumberInfo::Precision(precision) => constrained(clamp(*precision), 0),
        ExactNumberInfo::PrecisionAndScale(precision, scale) => {
            constrained(clamp(*precision), *scale)
        }
    }
}

fn clamp(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

fn constrained(precision: i64, scale: i64) -> SqlResult<PgType> {
    let invalid = |message: String| Err(SqlError::new(SqlState::INVALID_PARAMETER_VALUE, message));
    match (u16::try_from(precision), i16::try_from(scale)) {
        (Ok(p @ 1..=1000), Ok(s @ -1000..=1000)) => {
            Ok(PgType::Numeric(Some(NumericMod { precision: p, scale: s })))
        }
        (Ok(1..=1000), _) => {
            invalid(format!("NUMERIC scale {scale} must be between -1000 and 1000"))
        }
        _ => invalid(format!("NUMERIC precision {precision} must be between 1 and 1000")),
    }
}

fn characters(length_info: &Option<CharacterLength>, name: &str) -> SqlResult<Option<u32>> {
    match length_info {
        None => Ok(None),
        Some(CharacterLength::IntegerLength { length: n, .. }) => length(clamp(*n), name).map(Some),
        Some(CharacterLength::Max) => {
            Err(SqlError::new(SqlState::SYNTAX_ERROR, "syntax error at or near \"MAX\""))
        }
    }
}

fn length(n: i64, name: &str) -> SqlResult<u32> {
    let invalid = |message: String| Err(SqlError::new(SqlState::INVALID_PARAMETER_VALUE, message));
    match u32::try_from(n) {
        Ok(0) | Err(_) if n < 1 => invalid(format!("length for type {name} must be at least 1")),
        Ok(n) if u64::from(n) <= MAX_CHARACTERS => Ok(n),
        _ => invalid(format!("length for type {name} cannot exceed {MAX_CHARACTERS}")),
    }
}

/// The type with a precision, if one is given. More digits than microseconds have are as many as
/// they have.
pub(super) fn precise(time: TimeType, precision: Option<u64>) -> PgType {
    match precision {
        None => time.bare().clone(),
        Some(n) => PgType::Precise(time, u8::try_from(n).unwrap_or(MOST_DIGITS).min(MOST_DIGITS)),
    }
}

/// A precision written as a modifier of a name: `pg_catalog.timestamp(3)`.
fn digits(time: TimeType, n: i64) -> SqlResult<PgType> {
    let n = u64::try_from(n).map_err(|_| {
        let name = time.bare().name().to_uppercase();
        SqlError::new(
            SqlState::INVALID_PARAMETER_VALUE,
            format!("{name}({n}) precision must not be negative"),
        )
    })?;
    Ok(precise(time, Some(n)))
}

fn float_precision(bound: &str) -> SqlError {
    SqlError::new(
        SqlState::INVALID_PARAMETER_VALUE,
        format!("precision for type float must be {bound}"),
    )
}

fn unsupported_type(name: &str) -> SqlError {
    SqlError::unsupported(format!("type {name} is not supported"))
}

fn unknown_type(name: &str) -> SqlError {
    SqlError::new(SqlState::UNDEFINED_OBJECT, format!("type \"{name}\" does not exist"))
}
