//! PostgreSQL's types as Satsuma knows them.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::ids::Oid;

mod element;
mod precision;
mod pseudo;

pub use precision::{MOST_DIGITS, TimeType, round_micros, round_timestamp};
pub use pseudo::{PSEUDO_TYPES, PseudoType, VECTORS};

/// Precision and scale of `numeric(p,s)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct NumericMod {
    pub precision: u16,
    pub scale: i16,
}

/// A type with its modifier: what `format_type` prints and what a column is declared as.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum PgType {
    Bool,
    Int2,
    Int4,
    Int8,
    Float4,
    Float8,
    /// `None` is unconstrained: any precision, each value with its own display scale.
    Numeric(Option<NumericMod>),
    Text,
    /// Length limit in characters.
    Varchar(Option<u32>),
    /// `char(n)`: blank padded. Length in characters.
    Bpchar(Option<u32>),
    /// PostgreSQL's `name`: at most 63 bytes.
    Name,
    /// PostgreSQL's `"char"`: one byte.
    Char,
    Bytea,
    Date,
    Time,
    Timestamp,
    Timestamptz,
    Interval,
    Uuid,
    Json,
    Jsonb,
    Inet,
    Cidr,
    Point,
    Oid,
    Regclass,
    Regtype,
    Regproc,
    Regnamespace,
    Regrole,
    Array(#[serde(with = "element")] Box<PgType>),
    /// A user-defined enum, by the oid of its `pg_type` row.
    Enum(Oid),
    Record,
    Void,
    /// An untyped literal or parameter, before it is resolved.
    Unknown,
    /// A type of time with so many digits of a second. Where only the kind of value matters, look
    /// at [`PgType::without_precision`].
    Precise(TimeType, u8),
    Regprocedure,
}

/// One row of the type table: what the catalog and the wire say of a built-in type.
struct Info {
    ty: PgType,
    oid: u32,
    array_oid: u32,
    /// `pg_type.typname`.
    name: &'static str,
    /// What `format_type` and error messages say.
    sql_name: &'static str,
    /// `pg_type.typlen`: bytes, or -1 for variable.
    len: i16,
    /// `pg_type.typcategory`.
    category: char,
}

const INFO: &[Info] = {
    const fn row(
        ty: PgType,
        oid: u32,
        array_oid: u32,
        name: &'static str,
        sql_name: &'static str,
        len: i16,
        category: char,
    ) -> Info {
        Info { ty, oid, array_oid, name, sql_name, len, category }
    }
    &[
        row(PgType::Bool, 16, 1000, "bool", "boolean", 1, 'B'),
        row(PgType::Bytea, 17, 1001, "bytea", "bytea", -1, 'U'),
        row(PgType::Char, 18, 1002, "char", "\"char\"", 1, 'Z'),
        row(PgType::Name, 19, 1003, "name", "name", 64, 'S'),
        row(PgType::Int8, 20, 1016, "int8", "bigint", 8, 'N'),
        row(PgType::Int2, 21, 1005, "int2", "smallint", 2, 'N'),
        row(PgType::Int4, 23, 1007, "int4", "integer", 4, 'N'),
        row(PgType::Regproc, 24, 1008, "regproc", "regproc", 4, 'N'),
        row(PgType::Text, 25, 1009, "text", "text", -1, 'S'),
        row(PgType::Oid, 26, 1028, "oid", "oid", 4, 'N'),
        row(PgType::Json, 114, 199, "json", "json", -1, 'U'),
        row(PgType::Point, 600, 1017, "point", "point", 16, 'G'),
        row(PgType::Cidr, 650, 651, "cidr", "cidr", -1, 'I'),
        row(PgType::Float4, 700, 1021, "float4", "real", 4, 'N'),
        row(PgType::Float8, 701, 1022, "float8", "double precision", 8, 'N'),
        row(PgType::Unknown, 705, 0, "unknown", "unknown", -2, 'X'),
        row(PgType::Inet, 869, 1041, "inet", "inet", -1, 'I'),
        row(PgType::Bpchar(None), 1042, 1014, "bpchar", "character", -1, 'S'),
        row(PgType::Varchar(None), 1043, 1015, "varchar", "character varying", -1, 'S'),
        row(PgType::Date, 1082, 1182, "date", "date", 4, 'D'),
        row(PgType::Time, 1083, 1183, "time", "time without time zone", 8, 'D'),
        row(PgType::Timestamp, 1114, 1115, "timestamp", "timestamp without time zone", 8, 'D'),
        row(PgType::Timestamptz, 1184, 1185, "timestamptz", "timestamp with time zone", 8, 'D'),
        row(PgType::Interval, 1186, 1187, "interval", "interval", 16, 'T'),
        row(PgType::Numeric(None), 1700, 1231, "numeric", "numeric", -1, 'N'),
        row(PgType::Regprocedure, 2202, 2207, "regprocedure", "regprocedure", 4, 'N'),
        row(PgType::Regclass, 2205, 2210, "regclass", "regclass", 4, 'N'),
        row(PgType::Regtype, 2206, 2211, "regtype", "regtype", 4, 'N'),
        row(PgType::Record, 2249, 2287, "record", "record", -1, 'P'),
        row(PgType::Void, 2278, 0, "void", "void", 4, 'P'),
        row(PgType::Uuid, 2950, 2951, "uuid", "uuid", 16, 'U'),
        row(PgType::Jsonb, 3802, 3807, "jsonb", "jsonb", -1, 'U'),
        row(PgType::Regnamespace, 4089, 4090, "regnamespace", "regnamespace", 4, 'N'),
        row(PgType::Regrole, 4096, 4097, "regrole", "regrole", 4, 'N'),
    ]
};

/// Names accepted in SQL beside `typname` and the SQL name.
const ALIASES: &[(&str, PgType)] = &[
    ("int", PgType::Int4),
    ("decimal", PgType::Numeric(None)),
    ("dec", PgType::Numeric(None)),
    ("float", PgType::Float8),
    ("timestamp", PgType::Timestamp),
    ("time", PgType::Time),
    ("char", PgType::Bpchar(Some(1))),
    ("bool", PgType::Bool),
];

impl PgType {
    /// Every built-in scalar type, without modifiers.
    pub fn builtin() -> impl Iterator<Item = PgType> {
        INFO.iter().map(|info| info.ty.clone())
    }

    fn info(&self) -> Option<&'static Info> {
        let bare = self.without_modifier();
        INFO.iter().find(|info| info.ty == bare)
    }

    /// The type that a bare name stands for: a `typname`, an SQL name or an alias, lower case.
    /// An enum or other user-defined name is not found here. Arrays of any number of dimensions
    /// are of one type: `int[][]` is `int[]`.
    pub fn parse_name(name: &str) -> Option<Self> {
        let element = name.trim_end_matches("[]");
        let scalar = Self::parse_scalar(element);
        let ty = scalar.or_else(|| {
            let element = element.strip_prefix('_')?;
            // Signatures of functions that give rows of arrays have `__text`.
            let inner = Self::parse_scalar(element).or_else(|| {
                Some(Self::Array(Box::new(Self::parse_scalar(element.strip_prefix('_')?)?)))
            })?;
            Some(Self::Array(Box::new(inner)))
        })?;
        let is_named = element.len() == name.len() || ty.is_array();
        Some(if is_named { ty } else { Self::Array(Box::new(ty)) })
    }

    fn parse_scalar(name: &str) -> Option<Self> {
        if let Some((_, ty)) = ALIASES.iter().find(|(alias, _)| *alias == name) {
            return Some(ty.clone());
        }
        let info = INFO.iter().find(|info| info.name == name || info.sql_name == name)?;
        Some(info.ty.clone())
    }

    /// The built-in type with this oid, arrays included.
    pub fn from_oid(oid: u32) -> Option<Self> {
        if oid == 0 {
            return None;
        }
        INFO.iter().find_map(|info| {
            if info.oid == oid {
                Some(info.ty.clone())
            } else if info.array_oid == oid {
                Some(Self::Array(Box::new(info.ty.clone())))
            } else {
                None
            }
        })
    }

    /// The type's oid in `pg_type` and on the wire. The array type of an enum has the enum's
    /// oid plus one.
    pub fn oid(&self) -> u32 {
        match self {
            Self::Array(element) => match element.as_ref() {
                Self::Enum(oid) => oid.0 + 1,
                element => element.info().map_or(0, |info| info.array_oid),
            },
            Self::Enum(oid) => oid.0,
            _ => self.info().map_or(0, |info| info.oid),
        }
    }

    /// `pg_type.typname`; for an enum, only the catalog knows.
    pub fn name(&self) -> String {
        match self {
            Self::Array(element) => format!("_{}", element.name()),
            _ => self.info().map_or_else(|| "enum".into(), |info| info.name.into()),
        }
    }

    /// `pg_type.typlen`: bytes, or -1 for variable.
    pub fn byte_len(&self) -> i16 {
        match self {
            Self::Array(_) => -1,
            Self::Enum(_) => 4,
            _ => self.info().map_or(-1, |info| info.len),
        }
    }

    /// `pg_type.typcategory`, which decides preferred candidates in operator resolution.
    pub fn category(&self) -> char {
        match self {
            Self::Array(_) => 'A',
            Self::Enum(_) => 'E',
            _ => self.info().map_or('U', |info| info.category),
        }
    }

    /// `pg_type.typispreferred`.
    pub fn is_preferred(&self) -> bool {
        matches!(
            self.without_precision(),
            Self::Bool
                | Self::Float8
                | Self::Text
                | Self::Timestamptz
                | Self::Interval
                | Self::Inet
                | Self::Oid
        )
    }

    /// `atttypmod` as PostgreSQL encodes it, -1 without a modifier.
    pub fn typmod(&self) -> i32 {
        match self {
            Self::Numeric(Some(m)) => {
                ((i32::from(m.precision) << 16) | (i32::from(m.scale) & 0x7ff)) + 4
            }
            Self::Varchar(Some(n)) | Self::Bpchar(Some(n)) => *n as i32 + 4,
            Self::Precise(time, digits) => time.typmod(*digits),
            Self::Array(element) => element.typmod(),
            _ => -1,
        }
    }

    /// The same type with the modifier that `typmod` encodes.
    pub fn with_typmod(&self, typmod: i32) -> Self {
        if let Some(time) = TimeType::of(self) {
            return match time.digits(typmod) {
                Some(digits) => Self::Precise(time, digits),
                None => self.clone(),
            };
        }
        if let Self::Array(element) = self {
            return Self::Array(Box::new(element.with_typmod(typmod)));
        }
        if typmod < 4 {
            return self.clone();
        }
        let raw = typmod - 4;
        match self {
            Self::Numeric(_) => Self::Numeric(Some(NumericMod {
                precision: (raw >> 16) as u16,
                scale: ((((raw & 0x7ff) ^ 1024) - 1024) as i16),
            })),
            Self::Varchar(_) => Self::Varchar(Some(raw as u32)),
            Self::Bpchar(_) => Self::Bpchar(Some(raw as u32)),
            other => other.clone(),
        }
    }

    /// The type with length, precision and scale taken off.
    pub fn without_modifier(&self) -> Self {
        match self {
            Self::Numeric(_) => Self::Numeric(None),
            Self::Varchar(_) => Self::Varchar(None),
            Self::Bpchar(_) => Self::Bpchar(None),
            Self::Precise(time, _) => time.bare().clone(),
            Self::Array(element) => Self::Array(Box::new(element.without_modifier())),
            other => other.clone(),
        }
    }

    /// `timestamp` for `timestamp(3)`; every other type is itself. What matches on types of time
    /// looks here: how values lie and compare does not depend on their precision.
    pub fn without_precision(&self) -> &Self {
        match self {
            Self::Precise(time, _) => time.bare(),
            other => other,
        }
    }

    pub fn is_array(&self) -> bool {
        matches!(self, Self::Array(_))
    }

    pub fn is_integer(&self) -> bool {
        matches!(self, Self::Int2 | Self::Int4 | Self::Int8)
    }

    pub fn is_numeric(&self) -> bool {
        self.is_integer() || matches!(self, Self::Float4 | Self::Float8 | Self::Numeric(_))
    }

    /// Types whose values are character strings.
    pub fn is_string(&self) -> bool {
        matches!(self, Self::Text | Self::Varchar(_) | Self::Bpchar(_) | Self::Name)
    }
}

/// What `format_type(oid, typmod)` prints: `character varying(20)`, `bigint[]`.
impl fmt::Display for PgType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Numeric(Some(m)) => write!(f, "numeric({},{})", m.precision, m.scale),
            Self::Varchar(Some(n)) => write!(f, "character varying({n})"),
            Self::Bpchar(Some(n)) => write!(f, "character({n})"),
            Self::Precise(time, digits) => f.write_str(&time.sql_name(*digits)),
            Self::Array(element) => write!(f, "{element}[]"),
            Self::Enum(oid) => write!(f, "enum {}", oid.0),
            _ => f.write_str(self.info().map_or("???", |info| info.sql_name)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_oids_agree() {
        for ty in PgType::builtin() {
            assert_eq!(PgType::from_oid(ty.oid()), Some(ty.clone()));
            let array = PgType::Array(Box::new(ty.clone()));
            if array.oid() != 0 {
                assert_eq!(PgType::from_oid(array.oid()), Some(array));
            }
        }
        assert_eq!(PgType::parse_name("int"), Some(PgType::Int4));
        assert_eq!(PgType::parse_name("_text"), PgType::parse_name("text[]"));
        assert_eq!(PgType::parse_name("char"), Some(PgType::Bpchar(Some(1))));
        let of_arrays = PgType::Array(Box::new(PgType::Array(Box::new(PgType::Text))));
        assert_eq!(PgType::parse_name("__text"), Some(of_arrays));
        assert_eq!(PgType::parse_name("___text"), None);
        assert_eq!(PgType::parse_name("no_such"), None);
        assert_eq!(PgType::parse_name("int[][]"), PgType::parse_name("int[]"));
        assert_eq!(PgType::parse_name("_int4[]"), PgType::parse_name("int[]"));
        assert_eq!(PgType::parse_name(&"_".repeat(1 << 20)), None);
        assert!(PgType::parse_name(&format!("int{}", "[]".repeat(1 << 20))).is_some());
    }

    #[test]
    fn nesting_has_a_bound_both_ways() {
        let nested =
            |depth| (0..depth).fold(PgType::Int4, |element, _| PgType::Array(Box::new(element)));
        let deepest = nested(element::MOST_NESTED);
        let bytes = postcard::to_stdvec(&deepest).unwrap();
        assert_eq!(postcard::from_bytes::<PgType>(&bytes).unwrap(), deepest);
        assert!(postcard::to_stdvec(&nested(element::MOST_NESTED + 1)).is_err());
        // A byte for each array, and then the scalar.
        let (array, scalar) = (bytes[0], bytes[element::MOST_NESTED]);
        for depth in [element::MOST_NESTED + 1, 1000, 1 << 20] {
            let mut bytes = vec![array; depth];
            bytes.push(scalar);
            assert!(postcard::from_bytes::<PgType>(&bytes).is_err(), "{depth}");
        }
        // A refusal leaves nothing behind.
        assert_eq!(postcard::from_bytes::<PgType>(&bytes).unwrap(), deepest);
    }

    #[test]
    fn modifiers_round_trip() {
        let numeric = PgType::Numeric(Some(NumericMod { precision: 20, scale: 10 }));
        assert_eq!(numeric.typmod(), 1310734);
        for ty in [numeric, PgType::Varchar(Some(10)), PgType::Bpchar(Some(3))] {
            assert_eq!(ty.without_modifier().with_typmod(ty.typmod()), ty);
        }
        let negative = PgType::Numeric(Some(NumericMod { precision: 3, scale: -2 }));
        assert_eq!(PgType::Numeric(None).with_typmod(negative.typmod()), negative);
    }
}
