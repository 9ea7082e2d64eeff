//! Access methods and operator classes: which there are, and which types they take.

use satsuma_common::{PgType, SqlError, SqlResult, SqlState};

/// How an index would be organised.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AccessMethod {
    Btree,
    Hash,
    Gin,
    Gist,
    /// Recorded and shown; zone maps are kept of every column anyway.
    Brin,
}

impl AccessMethod {
    pub fn by_name(name: &str) -> SqlResult<Self> {
        match name {
            "btree" => Ok(Self::Btree),
            "hash" => Ok(Self::Hash),
            "gin" => Ok(Self::Gin),
            "gist" => Ok(Self::Gist),
            "brin" => Ok(Self::Brin),
            "spgist" => {
                Err(SqlError::unsupported(format!("access method \"{name}\" is not supported"))
                    .hint("Access methods are btree, hash, gin, gist and brin."))
            }
            _ => Err(SqlError::new(
                SqlState::UNDEFINED_OBJECT,
                format!("access method \"{name}\" does not exist"),
            )),
        }
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::Btree => "btree",
            Self::Hash => "hash",
            Self::Gin => "gin",
            Self::Gist => "gist",
            Self::Brin => "brin",
        }
    }

    /// The storage parameters it takes.
    pub fn parameters(self) -> &'static [&'static str] {
        match self {
            Self::Btree => &["fillfactor", "deduplicate_items"],
            Self::Hash => &["fillfactor"],
            Self::Gin => &["fastupdate", "gin_pending_list_limit"],
            Self::Gist => &["fillfactor", "buffering"],
            Self::Brin => &["pages_per_range", "autosummarize"],
        }
    }

    pub fn is_ordered(self) -> bool {
        self == Self::Btree
    }

    pub fn takes_several_columns(self) -> bool {
        self != Self::Hash
    }

    pub fn takes_included_columns(self) -> bool {
        matches!(self, Self::Btree | Self::Gist)
    }

    /// The class of a type that an index takes where the statement names none.
    fn default_class(self, ty: &PgType) -> Option<&'static str> {
        match (self, ty) {
            (Self::Gin, PgType::Jsonb) => Some("jsonb_ops"),
            (Self::Gin, PgType::Array(_)) => Some("array_ops"),
            (Self::Gist, PgType::Point) => Some("point_ops"),
            (Self::Gin | Self::Gist, _) => None,
            (Self::Brin, ty) => range_class(ty),
            (Self::Btree | Self::Hash, ty) => scalar_class(ty),
        }
    }

    /// Classes that a type has beside its default one.
    fn other_classes(self, ty: &PgType) -> &'static [&'static str] {
        match (self, ty) {
            (Self::Btree | Self::Hash, PgType::Text | PgType::Varchar(_)) => {
                &["varchar_ops", "text_pattern_ops", "varchar_pattern_ops"]
            }
            (Self::Btree | Self::Hash, PgType::Bpchar(_)) => &["bpchar_pattern_ops", "text_ops"],
            (Self::Btree | Self::Hash, PgType::Inet | PgType::Cidr) => &["cidr_ops"],
            (Self::Gin, PgType::Jsonb) => &["jsonb_path_ops"],
            (Self::Gist, PgType::Inet | PgType::Cidr) => &["inet_ops"],
            _ => &[],
        }
    }

    fn has_class(self, class: &str) -> bool {
        let any_type =
            [PgType::Array(Box::new(PgType::Text)), PgType::Enum(satsuma_common::Oid(0))];
        PgType::builtin().chain(any_type).any(|ty| {
            self.default_class(&ty) == Some(class) || self.other_classes(&ty).contains(&class)
        })
    }

    /// Checks the class that a column of this type is indexed with. `None` where that is the
    /// type's default.
    pub fn operator_class(self, ty: &PgType, named: Option<&str>) -> SqlResult<Option<String>> {
        let default = self.default_class(ty);
        let Some(class) = named else {
            return match default {
                Some(_) => Ok(None),
                None => Err(SqlError::new(
                    SqlState::UNDEFINED_OBJECT,
                    format!(
                        "data type {} has no default operator class for access method \"{}\"",
                        ty.without_modifier(),
                        self.name()
                    ),
                )
                .hint(
                    "You must specify an operator class for the index or define a default \
                     operator class for the data type.",
                )),
            };
        };
        if default == Some(class) {
            return Ok(None);
        }
        if self.other_classes(ty).contains(&class) {
            return Ok(Some(class.to_owned()));
        }
        if self.has_class(class) {
            return Err(SqlError::new(
                SqlState::DATATYPE_MISMATCH,
                format!(
                    "operator class \"{class}\" does not accept data type {}",
                    ty.without_modifier()
                ),
            ));
        }
        Err(SqlError::new(
            SqlState::UNDEFINED_OBJECT,
            format!(
                "operator class \"{class}\" does not exist for access method \"{}\"",
                self.name()
            ),
        ))
    }
}

/// The default class of BRIN indexes.
fn range_class(ty: &PgType) -> Option<&'static str> {
    Some(match ty {
        PgType::Int2 => "int2_minmax_ops",
        PgType::Int4 => "int4_minmax_ops",
        PgType::Int8 => "int8_minmax_ops",
        PgType::Float4 => "float4_minmax_ops",
        PgType::Float8 => "float8_minmax_ops",
        PgType::Numeric(_) => "numeric_minmax_ops",
        PgType::Text | PgType::Varchar(_) => "text_minmax_ops",
        PgType::Bpchar(_) => "bpchar_minmax_ops",
        PgType::Name => "name_minmax_ops",
        PgType::Char => "char_minmax_ops",
        PgType::Bytea => "bytea_minmax_ops",
        PgType::Date => "date_minmax_ops",
        PgType::Time => "time_minmax_ops",
        PgType::Timestamp => "timestamp_minmax_ops",
        PgType::Timestamptz => "timestamptz_minmax_ops",
        PgType::Interval => "interval_minmax_ops",
        PgType::Uuid => "uuid_minmax_ops",
        PgType::Inet | PgType::Cidr => "inet_inclusion_ops",
        PgType::Oid => "oid_minmax_ops",
        _ => return None,
    })
}

/// The default class of B-trees and hash indexes.
fn scalar_class(ty: &PgType) -> Option<&'static str> {
    Some(match ty {
        PgType::Precise(time, _) => return scalar_class(time.bare()),
        PgType::Bool => "bool_ops",
        PgType::Int2 => "int2_ops",
        PgType::Int4 => "int4_ops",
        PgType::Int8 => "int8_ops",
        PgType::Float4 => "float4_ops",
        PgType::Float8 => "float8_ops",
        PgType::Numeric(_) => "numeric_ops",
        PgType::Text | PgType::Varchar(_) => "text_ops",
        PgType::Bpchar(_) => "bpchar_ops",
        PgType::Name => "name_ops",
        PgType::Char => "char_ops",
        PgType::Bytea => "bytea_ops",
        PgType::Date => "date_ops",
        PgType::Time => "time_ops",
        PgType::Timestamp => "timestamp_ops",
        PgType::Timestamptz => "timestamptz_ops",
        PgType::Interval => "interval_ops",
        PgType::Uuid => "uuid_ops",
        PgType::Jsonb => "jsonb_ops",
        PgType::Inet | PgType::Cidr => "inet_ops",
        PgType::Oid
        | PgType::Regclass
        | PgType::Regtype
        | PgType::Regproc
        | PgType::Regprocedure
        | PgType::Regnamespace
        | PgType::Regrole => "oid_ops",
        PgType::Array(_) => "array_ops",
        PgType::Enum(_) => "enum_ops",
        PgType::Json | PgType::Point | PgType::Record | PgType::Void | PgType::Unknown => {
            return None;
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn class(method: AccessMethod, ty: PgType, named: Option<&str>) -> Result<String, String> {
        method
            .operator_class(&ty, named)
            .map(|class| class.unwrap_or_else(|| "default".into()))
            .map_err(|error| error.fields().message.clone())
    }

    #[test]
    fn an_address_is_indexed_by_gist_only_with_a_named_class() {
        assert_eq!(class(AccessMethod::Gist, PgType::Inet, Some("inet_ops")).unwrap(), "inet_ops");
        assert_eq!(
            class(AccessMethod::Gist, PgType::Inet, None).unwrap_err(),
            "data type inet has no default operator class for access method \"gist\""
        );
        assert_eq!(class(AccessMethod::Btree, PgType::Inet, Some("inet_ops")).unwrap(), "default");
    }

    #[test]
    fn a_class_of_another_type_is_told_from_one_that_is_not_there() {
        assert_eq!(
            class(AccessMethod::Gin, PgType::Int4, Some("jsonb_path_ops")).unwrap_err(),
            "operator class \"jsonb_path_ops\" does not accept data type integer"
        );
        assert_eq!(
            class(AccessMethod::Gin, PgType::Jsonb, Some("text_pattern_ops")).unwrap_err(),
            "operator class \"text_pattern_ops\" does not exist for access method \"gin\""
        );
        assert!(class(AccessMethod::Btree, PgType::Json, None).is_err());
    }
}
