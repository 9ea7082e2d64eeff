//! The smaller objects of the catalog, as DDL defines them.

use satsuma_common::index::{IndexKeyShape, IndexMethod, IndexShape, IndexedValue};
use satsuma_common::key::KeyEncoder;
use satsuma_common::table::TableShape;
use satsuma_common::{ColumnId, Oid, PgType, SequenceId, TableId};
use serde::{Deserialize, Serialize};

/// The bootstrap superuser's oid, as in PostgreSQL.
pub const SUPERUSER_OID: Oid = Oid(10);
/// `pg_catalog`, `public` and `information_schema`.
pub const PG_CATALOG_OID: Oid = Oid(11);
pub const PUBLIC_SCHEMA_OID: Oid = Oid(2200);
pub const INFORMATION_SCHEMA_OID: Oid = Oid(13427);
/// The one database.
pub const DATABASE_OID: Oid = Oid(16383);
/// The first oid that a user's object takes.
pub const FIRST_USER_OID: u32 = 16384;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Role {
    pub oid: Oid,
    pub name: String,
    pub superuser: bool,
    pub login: bool,
    pub inherit: bool,
    pub create_role: bool,
    pub create_db: bool,
    pub replication: bool,
    pub bypass_rls: bool,
    /// -1: no limit.
    pub connection_limit: i32,
    /// `SCRAM-SHA-256$...`, never a password.
    pub verifier: Option<String>,
    /// Microseconds since 1970-01-01 UTC.
    pub valid_until: Option<i64>,
    /// Roles that this one is a member of, and whether with ADMIN OPTION.
    pub member_of: Vec<(Oid, bool)>,
}

impl Role {
    pub fn new(oid: Oid, name: impl Into<String>) -> Self {
        Self {
            oid,
            name: name.into(),
            superuser: false,
            login: false,
            inherit: true,
            create_role: false,
            create_db: false,
            replication: false,
            bypass_rls: false,
            connection_limit: -1,
            verifier: None,
            valid_until: None,
            member_of: Vec::new(),
        }
    }

    pub fn superuser(oid: Oid, name: impl Into<String>, verifier: Option<String>) -> Self {
        Self {
            superuser: true,
            login: true,
            create_role: true,
            create_db: true,
            replication: true,
            bypass_rls: true,
            verifier,
            ..Self::new(oid, name)
        }
    }
}

/// What a relation name stands for. Indexes share the namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum RelationRef {
    Table(TableId),
    Index(Oid),
    View(Oid),
    Sequence(SequenceId),
}

impl RelationRef {
    pub fn oid(self) -> Oid {
        match self {
            Self::Table(id) => Oid(id.0),
            Self::Sequence(id) => Oid(id.0),
            Self::Index(oid) | Self::View(oid) => oid,
        }
    }
}

/// The kinds of relations that statements tell apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RelationKind {
    Table,
    MaterializedView,
    Index,
    View,
    Sequence,
}

impl RelationKind {
    /// As messages call it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Table => "table",
            Self::MaterializedView => "materialized view",
            Self::Index => "index",
            Self::View => "view",
            Self::Sequence => "sequence",
        }
    }

    /// `an index`
    pub fn with_article(self) -> String {
        let article = if self == Self::Index { "an" } else { "a" };
        format!("{article} {}", self.name())
    }
}

impl std::fmt::Display for RelationKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Index {
    pub oid: Oid,
    pub name: String,
    pub schema: Oid,
    pub table: TableId,
    /// `btree`, `hash`, `gin`, `gist`.
    pub method: String,
    pub keys: Vec<IndexKey>,
    pub include: Vec<ColumnId>,
    pub unique: bool,
    pub primary: bool,
    /// Made by a PRIMARY KEY or UNIQUE constraint of the same name.
    pub constraint: bool,
    pub nulls_not_distinct: bool,
    /// `WHERE ..` of a partial index.
    pub predicate: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IndexKey {
    pub value: IndexValue,
    /// Of an expression; a column has its own.
    pub expression_type: Option<PgType>,
    /// Operator class other than the default (`inet_ops`, `jsonb_path_ops`).
    pub operator_class: Option<String>,
    pub descending: bool,
    pub nulls_first: bool,
}

impl Index {
    /// The index as workers keep it. `None` for that of the primary key, in whose order rows lie,
    /// and for what storage does not do: those are only recorded.
    pub fn shape(&self, table: &TableShape) -> Option<IndexShape> {
        if self.primary {
            return None;
        }
        let key = |key: &IndexKey| {
            let (value, ty) = match &key.value {
                IndexValue::Column(id) => {
                    (IndexedValue::Column(*id), table.column(*id)?.ty.clone())
                }
                IndexValue::Expression(text) => {
                    (IndexedValue::Expression(text.clone()), key.expression_type.clone()?)
                }
            };
            Some(IndexKeyShape { value, ty })
        };
        let keys: Vec<_> = self.keys.iter().map(key).collect::<Option<_>>()?;
        let method = match (self.method.as_str(), &keys[..]) {
            ("btree" | "hash", keys) => {
                KeyEncoder::new(keys.iter().map(|key| key.ty.clone())).ok()?;
                IndexMethod::Ordered
            }
            ("gin", [key]) if key.ty == PgType::Jsonb => IndexMethod::Documents,
            ("gist", [key]) if matches!(key.ty, PgType::Inet | PgType::Cidr) => {
                IndexMethod::Networks
            }
            _ => return None,
        };
        Some(IndexShape {
            id: self.oid,
            name: self.name.clone(),
            method,
            keys,
            unique: self.unique,
            nulls_not_distinct: self.nulls_not_distinct,
            constraint: self.constraint,
            predicate: self.predicate.clone(),
        })
    }

    /// Its columns, where all keys are.
    pub fn columns(&self) -> Option<Vec<ColumnId>> {
        let column = |key: &IndexKey| match key.value {
            IndexValue::Column(column) => Some(column),
            IndexValue::Expression(_) => None,
        };
        self.keys.iter().map(column).collect()
    }

    pub fn has_column(&self, column: ColumnId) -> bool {
        self.keys.iter().any(|key| key.value == IndexValue::Column(column))
    }
}

impl IndexKey {
    pub fn column(column: ColumnId) -> Self {
        Self {
            value: IndexValue::Column(column),
            expression_type: None,
            operator_class: None,
            descending: false,
            nulls_first: false,
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum IndexValue {
    Column(ColumnId),
    /// SQL text over the table's columns.
    Expression(String),
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct View {
    pub oid: Oid,
    pub name: String,
    pub schema: Oid,
    pub owner: Oid,
    pub columns: Vec<(String, PgType)>,
    /// The query's SQL text.
    pub definition: String,
    /// The search path that the text is bound with.
    pub search_path: Vec<String>,
    /// Oids of the relations and types it reads.
    pub depends_on: Vec<Oid>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Sequence {
    pub id: SequenceId,
    pub name: String,
    pub schema: Oid,
    pub owner: Oid,
    /// smallint, integer or bigint.
    pub ty: PgType,
    pub start: i64,
    pub increment: i64,
    pub min: i64,
    pub max: i64,
    pub cache: i64,
    pub cycle: bool,
    /// The column it is dropped with (`OWNED BY`, serial, identity).
    pub owned_by: Option<(TableId, ColumnId)>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EnumType {
    /// The array type's oid is this one plus one.
    pub oid: Oid,
    pub name: String,
    pub schema: Oid,
    pub owner: Oid,
    /// In their order.
    pub labels: Vec<String>,
}

/// An object, or a part of one, that a comment or a grant is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ObjectAddress {
    pub class: ObjectClass,
    pub oid: Oid,
    /// Column number of a relation, a schema of defaults; 0 for the object itself.
    pub part: i32,
}

/// The system catalog an object is listed in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum ObjectClass {
    Relation,
    Schema,
    Type,
    Constraint,
    Role,
    Database,
    Extension,
    /// No object: what is granted on those of a kind that a role makes (`oid`), in all schemas or
    /// in one (`part`).
    Defaults(DefaultKind),
}

/// Objects that ALTER DEFAULT PRIVILEGES tells apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum DefaultKind {
    /// Views as well.
    Tables,
    Sequences,
    Functions,
    Types,
    Schemas,
}

impl DefaultKind {
    /// `pg_default_acl.defaclobjtype`
    pub fn letter(self) -> char {
        match self {
            Self::Tables => 'r',
            Self::Sequences => 'S',
            Self::Functions => 'f',
            Self::Types => 'T',
            Self::Schemas => 'n',
        }
    }

    /// As messages call many of them.
    pub fn plural(self) -> &'static str {
        match self {
            Self::Tables => "relations",
            Self::Sequences => "sequences",
            Self::Functions => "functions",
            Self::Types => "types",
            Self::Schemas => "schemas",
        }
    }
}

impl ObjectAddress {
    /// What a role's new objects of a kind begin with, everywhere or beside that in a schema.
    pub fn defaults(kind: DefaultKind, role: Oid, schema: Option<Oid>) -> Self {
        let part = schema.map_or(0, |schema| schema.0.cast_signed());
        Self { class: ObjectClass::Defaults(kind), oid: role, part }
    }

    /// The schema that [`Self::defaults`] are of.
    pub fn defaults_schema(self) -> Option<Oid> {
        let is_of_schema = matches!(self.class, ObjectClass::Defaults(_)) && self.part != 0;
        is_of_schema.then(|| Oid(self.part.cast_unsigned()))
    }
}

impl ObjectClass {
    /// Oid of the system catalog itself (`pg_description.classoid`).
    pub fn catalog_oid(self) -> Oid {
        Oid(match self {
            Self::Relation => 1259,
            Self::Schema => 2615,
            Self::Type => 1247,
            Self::Constraint => 2606,
            Self::Role => 1260,
            Self::Database => 1262,
            Self::Extension => 3079,
            Self::Defaults(_) => 826,
        })
    }
}

/// Privileges of one grantee on one object.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grant {
    /// `Oid(0)` is PUBLIC.
    pub grantee: Oid,
    pub grantor: Oid,
    /// PostgreSQL's letters (`arwdDxtXUCc`), each at most once.
    pub privileges: String,
    /// Those of `privileges` that may be granted on.
    pub grantable: String,
}

impl Grant {
    /// Adds what another grant to the same role gives.
    pub fn join(&mut self, other: &Self) {
        self.privileges = in_order(&self.privileges, &other.privileges);
        self.grantable = in_order(&self.grantable, &other.grantable);
    }
}

/// The letters of both, each once, as access lists order them.
fn in_order(a: &str, b: &str) -> String {
    "arwdDxtXUCTcsA".chars().filter(|letter| a.contains(*letter) || b.contains(*letter)).collect()
}

/// Where a setting applies, least specific first.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum SettingScope {
    /// ALTER SYSTEM.
    System,
    /// ALTER DATABASE.
    Database,
    /// ALTER ROLE.
    Role(Oid),
    /// ALTER ROLE .. IN DATABASE.
    RoleInDatabase(Oid),
    /// No setting: an extension that was created, under its name, and its oid.
    Extension,
}
