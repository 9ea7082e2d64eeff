//! What the binder may ask of a catalog snapshot.

use std::sync::Arc;

use datafusion::arrow::array::RecordBatch;
use satsuma_common::table::TableShape;
use satsuma_common::{ColumnId, Oid, PgType, SequenceId, SqlError, SqlResult, SqlState, TableId};

use crate::bound::{BoundCall, OutputColumn};

/// A relation that a name in FROM can stand for.
#[derive(Clone, Debug)]
pub enum Relation {
    Table(Arc<TableInfo>),
    /// Defined by a query; its SQL text is bound with the search path it was made with.
    View(Arc<ViewInfo>),
    /// A system relation (`pg_class`, `citus_shards`, ...), computed from the catalog when read.
    System(Arc<SystemRelation>),
    /// `SELECT last_value FROM seq`.
    Sequence(SequenceId),
}

/// A user table as the binder needs it.
#[derive(Clone, Debug)]
pub struct TableInfo {
    pub shape: Arc<TableShape>,
    /// SQL text of each column's default, in the order of the shape's columns.
    pub defaults: Vec<Option<String>>,
    /// Generated columns: `GENERATED ALWAYS AS (..) STORED`, in the order of the shape's columns.
    pub generated: Vec<Option<String>>,
    /// Identity columns, and whether ALWAYS.
    pub identity: Vec<Option<bool>>,
    pub distribution: Distribution,
}

/// How a table is spread. Decides the locus of its scans.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Distribution {
    /// Hash-distributed on a column.
    Hash(ColumnId),
    /// One shard on one worker: NULL distribution column, or a local table.
    Single,
    /// A copy on every worker.
    Reference,
}

#[derive(Clone, Debug)]
pub struct ViewInfo {
    pub oid: Oid,
    pub schema_name: String,
    pub name: String,
    pub columns: Vec<String>,
    pub definition: String,
    pub search_path: Vec<String>,
}

/// A relation whose rows come from the catalog snapshot or the session.
pub struct SystemRelation {
    pub schema_name: String,
    pub name: String,
    pub columns: Vec<(String, PgType)>,
    /// Computes all rows, as one batch with Arrow types as `common::arrow_types` maps them.
    pub rows: Arc<dyn Fn() -> SqlResult<RecordBatch> + Send + Sync>,
}

impl std::fmt::Debug for SystemRelation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}", self.schema_name, self.name)
    }
}

/// What a statement does to a relation, as far as it needs a privilege.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    Select,
    Insert,
    Update,
    Delete,
    Truncate,
}

impl Access {
    /// The privilege's letter in access lists.
    pub fn letter(self) -> char {
        match self {
            Self::Select => 'r',
            Self::Insert => 'a',
            Self::Update => 'w',
            Self::Delete => 'd',
            Self::Truncate => 'D',
        }
    }
}

/// How much of a relation may be used in some way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Allowed {
    All,
    /// By privileges on columns: these, or none.
    Columns(Vec<ColumnId>),
}

/// A catalog snapshot as the binder sees it. Names are already case-folded.
pub trait CatalogView: Send + Sync {
    /// The relation that `schema.name` (or `name` on the search path) stands for.
    fn relation(&self, schema: Option<&str>, name: &str) -> Option<Relation>;

    fn table(&self, id: TableId) -> Option<Arc<TableInfo>>;

    /// Whether the table holds the rows of a materialized view, which no statement may change.
    fn is_materialized(&self, _table: TableId) -> bool {
        false
    }

    fn sequence(&self, schema: Option<&str>, name: &str) -> Option<SequenceId>;

    fn schema_exists(&self, name: &str) -> bool;

    /// A user-defined type by name: an enum.
    fn user_type(&self, schema: Option<&str>, name: &str) -> Option<PgType>;

    /// How much of the relation the statement may use like this. `view` is the view whose query
    /// names it: then it is the view's owner who must be allowed.
    fn allowed(&self, _relation: Oid, _access: Access, _view: Option<Oid>) -> Allowed {
        Allowed::All
    }

    /// 42501: what is said of a relation that may not be used.
    fn permission_denied(&self, relation: Oid) -> SqlError {
        SqlError::new(
            SqlState::INSUFFICIENT_PRIVILEGE,
            format!("permission denied for relation {}", relation.0),
        )
    }

    /// 42501 unless names may be looked up in the schema.
    fn check_schema(&self, _schema: &str) -> SqlResult<()> {
        Ok(())
    }

    /// 42501 unless this system relation may be read, by the owner of `view` if that names it.
    fn check_system(&self, _name: &str, _view: Option<Oid>) -> SqlResult<()> {
        Ok(())
    }

    /// Columns of what a function that acts on the cluster answers.
    fn columns_of_call(&self, call: &BoundCall) -> SqlResult<Vec<OutputColumn>> {
        Err(SqlError::unsupported(format!("{}() cannot be called here", call.name)))
    }

    /// Labels of an enum type, in order.
    fn enum_labels(&self, oid: Oid) -> Option<Arc<Vec<String>>>;

    /// Whether the label was added by the transaction that asks, which may not use it yet.
    fn is_new_label(&self, _oid: Oid, _label: &str) -> bool {
        false
    }

    /// Name of an object as `regclass`, `regtype`, ... print it: with its schema where the
    /// search path does not find it. `None`: no such object.
    fn oid_name(&self, ty: &PgType, oid: u32) -> Option<String>;

    /// The oid that a name stands for as `regclass`, `regtype`, ....
    fn oid_of(&self, ty: &PgType, name: &str) -> Option<u32>;

    /// The oid of the function that a text names as `regproc` or `regprocedure`. An error if it
    /// names several, or is not written as such a name is.
    fn procedure_oid(&self, _ty: &PgType, _text: &str) -> SqlResult<Option<u32>> {
        Ok(None)
    }
}
