//! How each PostgreSQL type lies in Arrow. The one mapping: storage, plans and the wire use it.
//!
//! | PostgreSQL | Arrow |
//! |---|---|
//! | bool, int2/4/8, float4/8 | Boolean, Int16/32/64, Float32/64 |
//! | numeric(p,s), p <= 38, 0 <= s <= p | Decimal128(p, s) |
//! | numeric otherwise | Binary, [`crate::numeric`]'s order-preserving form |
//! | text, varchar, bpchar, name, "char", json, jsonb, enum | Utf8View |
//! | bytea | BinaryView |
//! | date, time | Date32, Time64(us) |
//! | timestamp, timestamptz | Timestamp(us), Timestamp(us, "UTC") |
//! | interval | Interval(MonthDayNano) |
//! | uuid | FixedSizeBinary(16) |
//! | inet, cidr | Binary, [`crate::inet`]'s order-preserving form |
//! | point | FixedSizeList(Float64, 2) |
//! | oid, reg* | UInt32 |
//! | arrays | List |
//! | void | Null |
//!
//! Where one Arrow type stands for several PostgreSQL types, the field's metadata tells the
//! PostgreSQL type under [`PG_TYPE_KEY`].

use std::collections::HashMap;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef, IntervalUnit, TimeUnit};

use crate::ids::Oid;
use crate::types::{NumericMod, PgType};

/// Metadata key of the PostgreSQL type: an oid and a typmod, as `3802` or `1700:1310734`.
pub const PG_TYPE_KEY: &str = "pg.type";

/// The Arrow type that holds values of `ty`.
pub fn data_type(ty: &PgType) -> DataType {
    match ty {
        PgType::Bool => DataType::Boolean,
        PgType::Int2 => DataType::Int16,
        PgType::Int4 => DataType::Int32,
        PgType::Int8 => DataType::Int64,
        PgType::Float4 => DataType::Float32,
        PgType::Float8 => DataType::Float64,
        PgType::Numeric(Some(m)) if fits_decimal128(*m) => {
            DataType::Decimal128(m.precision as u8, m.scale as i8)
        }
        PgType::Numeric(_) | PgType::Inet | PgType::Cidr => DataType::Binary,
        PgType::Text
        | PgType::Varchar(_)
        | PgType::Bpchar(_)
        | PgType::Name
        | PgType::Char
        | PgType::Json
        | PgType::Jsonb
        | PgType::Enum(_)
        | PgType::Record
        | PgType::Unknown => DataType::Utf8View,
        PgType::Bytea => DataType::BinaryView,
        PgType::Date => DataType::Date32,
        PgType::Time => DataType::Time64(TimeUnit::Microsecond),
        PgType::Timestamp => DataType::Timestamp(TimeUnit::Microsecond, None),
        PgType::Timestamptz => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
        PgType::Interval => DataType::Interval(IntervalUnit::MonthDayNano),
        PgType::Precise(time, _) => data_type(time.bare()),
        PgType::Uuid => DataType::FixedSizeBinary(16),
        PgType::Point => {
            DataType::FixedSizeList(Arc::new(Field::new("item", DataType::Float64, false)), 2)
        }
        PgType::Oid
        | PgType::Regclass
        | PgType::Regtype
        | PgType::Regproc
        | PgType::Regprocedure
        | PgType::Regnamespace
        | PgType::Regrole => DataType::UInt32,
        PgType::Array(element) => {
            DataType::List(Arc::new(Field::new("item", data_type(element), true)))
        }
        PgType::Void => DataType::Null,
    }
}

/// Whether `numeric(p,s)` is held as Decimal128.
pub fn fits_decimal128(m: NumericMod) -> bool {
    m.precision >= 1 && m.precision <= 38 && m.scale >= 0 && m.scale as u16 <= m.precision
}

/// A field of type `ty` with the metadata that tells the PostgreSQL type.
pub fn field(name: impl Into<String>, ty: &PgType, nullable: bool) -> Field {
    Field::new(name, data_type(ty), nullable).with_metadata(metadata(ty))
}

pub fn field_ref(name: impl Into<String>, ty: &PgType, nullable: bool) -> FieldRef {
    Arc::new(field(name, ty, nullable))
}

/// The metadata that tells `ty`: one entry, so that equal plans encode to equal bytes, whatever
/// order a map of several would be written in.
pub fn metadata(ty: &PgType) -> HashMap<String, String> {
    let code = match ty.typmod() {
        -1 => ty.oid().to_string(),
        typmod => format!("{}:{typmod}", ty.oid()),
    };
    HashMap::from([(PG_TYPE_KEY.into(), code)])
}

/// The PostgreSQL type of a field: from its metadata, else the plain type of its Arrow layout.
/// An oid that is not built in is an enum (or, one above it, an array of that enum).
pub fn pg_type(field: &Field) -> PgType {
    field
        .metadata()
        .get(PG_TYPE_KEY)
        .and_then(|code| parse_code(code, field.data_type()))
        .unwrap_or_else(|| pg_type_of(field.data_type()))
}

fn parse_code(code: &str, data_type: &DataType) -> Option<PgType> {
    let (oid, typmod) = match code.split_once(':') {
        Some((oid, typmod)) => (oid.parse::<u32>().ok()?, typmod.parse::<i32>().ok()?),
        None => (code.parse::<u32>().ok()?, -1),
    };
    let ty = PgType::from_oid(oid).unwrap_or_else(|| match data_type {
        DataType::List(_) => PgType::Array(Box::new(PgType::Enum(Oid(oid - 1)))),
        _ => PgType::Enum(Oid(oid)),
    });
    Some(ty.with_typmod(typmod))
}

/// The PostgreSQL type that an Arrow type stands for when nothing else is known.
pub fn pg_type_of(data_type: &DataType) -> PgType {
    match data_type {
        DataType::Boolean => PgType::Bool,
        DataType::Int8 | DataType::UInt8 | DataType::Int16 => PgType::Int2,
        DataType::UInt16 | DataType::Int32 => PgType::Int4,
        DataType::Int64 => PgType::Int8,
        DataType::UInt32 => PgType::Oid,
        DataType::Float16 | DataType::Float32 => PgType::Float4,
        DataType::Float64 => PgType::Float8,
        DataType::Decimal128(precision, scale) => PgType::Numeric(Some(NumericMod {
            precision: u16::from(*precision),
            scale: i16::from(*scale),
        })),
        DataType::UInt64 | DataType::Decimal256(_, _) => PgType::Numeric(None),
        DataType::Binary
        | DataType::LargeBinary
        | DataType::BinaryView
        | DataType::FixedSizeBinary(_) => PgType::Bytea,
        DataType::Date32 | DataType::Date64 => PgType::Date,
        DataType::Time32(_) | DataType::Time64(_) => PgType::Time,
        DataType::Timestamp(_, None) => PgType::Timestamp,
        DataType::Timestamp(_, Some(_)) => PgType::Timestamptz,
        DataType::Interval(_) | DataType::Duration(_) => PgType::Interval,
        DataType::List(item) | DataType::LargeList(item) | DataType::ListView(item) => {
            PgType::Array(Box::new(pg_type(item)))
        }
        DataType::FixedSizeList(item, 2) if item.data_type() == &DataType::Float64 => PgType::Point,
        _ => PgType::Text,
    }
}
