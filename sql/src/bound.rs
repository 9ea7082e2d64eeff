//! Bound statements: every name resolved, every expression typed. What the planner starts from.

use std::sync::Arc;

use datafusion::logical_expr::{Expr, LogicalPlan};
use satsuma_common::encoding::Encoding;
use satsuma_common::table::ForeignKey;
use satsuma_common::{ColumnId, Oid, PgType, TableId};

use crate::catalog_view::TableInfo;

/// A column of a result.
#[derive(Clone, Debug, PartialEq)]
pub struct OutputColumn {
    pub name: String,
    pub ty: PgType,
    /// The table column it comes from unchanged, for RowDescription.
    pub origin: Option<(TableId, ColumnId)>,
    /// The type's modifier as clients are told it: -1 for what is computed, although `ty` may
    /// know how many digits it holds.
    pub typmod: i32,
}

/// The modifier of a catalog column of type int2vector or oidvector. To expressions it is an
/// array; clients get its numbers with blanks between.
pub const VECTOR: i32 = -2;

impl OutputColumn {
    pub fn is_vector(&self) -> bool {
        self.typmod == VECTOR
    }

    /// A computed column.
    pub fn new(name: impl Into<String>, ty: PgType) -> Self {
        Self { name: name.into(), ty, origin: None, typmod: -1 }
    }

    /// The type as users see it.
    pub fn declared_type(&self) -> PgType {
        if self.typmod < 0 { self.ty.without_modifier() } else { self.ty.clone() }
    }
}

/// A query. Its plan's output columns match `columns` in order; names in the plan are internal
/// and unique, names for the user are in `columns`.
#[derive(Clone, Debug)]
pub struct BoundQuery {
    pub plan: LogicalPlan,
    pub columns: Vec<OutputColumn>,
}

/// FOR UPDATE and its relatives, weakest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LockStrength {
    KeyShare,
    Share,
    NoKeyUpdate,
    Update,
}

#[derive(Clone, Debug)]
pub enum Bound {
    Query(BoundQuery),
    Insert(BoundInsert),
    Update(BoundUpdate),
    Delete(BoundDelete),
    /// WITH queries that change rows, in order, and the statement that can read what they return.
    /// All of them see the rows as they were before. A scan of [`crate::table::Scan::Returned`]
    /// reads what the change at that position gave back.
    WithChanges {
        changes: Vec<Bound>,
        statement: Box<Bound>,
    },
    Merge(BoundMerge),
    Truncate {
        tables: Vec<Arc<TableInfo>>,
        cascade: bool,
        restart_identity: bool,
    },
    CopyFrom(BoundCopyFrom),
    /// `statement` gives rows: a query, or a change with RETURNING.
    CopyTo {
        statement: Box<Bound>,
        options: CopyOptions,
    },
    /// `SELECT f(..)` alone, where `f` acts on the cluster (`create_distributed_table`, ...).
    /// Arguments are bound to the function's parameters in order; `None` takes the default.
    Call(BoundCall),
    Explain {
        statement: Box<Bound>,
        options: ExplainOptions,
    },
    /// Everything that is not rows in, rows out: carried as parsed, and interpreted by the
    /// session (transactions, SET, SHOW, PREPARE, cursors) or the DDL module.
    Utility(Box<crate::parse::Statement>),
}

impl Bound {
    /// The columns of the rows that a query or a change gives.
    pub fn columns(&self) -> Option<&[OutputColumn]> {
        let returning = match self {
            Self::Query(query) => return Some(&query.columns),
            Self::Insert(insert) => &insert.returning,
            Self::Update(update) => &update.returning,
            Self::Delete(delete) => &delete.returning,
            Self::WithChanges { statement, .. } => return statement.columns(),
            _ => return None,
        };
        returning.as_ref().map(|returning| returning.columns.as_slice())
    }
}

/// INSERT: `source` yields every column of the table in the order of its shape, defaults and
/// casts applied.
#[derive(Clone, Debug)]
pub struct BoundInsert {
    pub table: Arc<TableInfo>,
    pub source: LogicalPlan,
    pub on_conflict: BoundOnConflict,
    pub returning: Option<Returning>,
}

#[derive(Clone, Debug)]
pub enum BoundOnConflict {
    Fail,
    /// Unique indexes whose conflicts count, `Oid(0)` for the primary key; empty: all of them.
    DoNothing {
        arbiters: Vec<Oid>,
    },
    /// `plan` maps a scan of [`crate::table::INPUT`] (the existing row's columns, then the
    /// proposed row's) to the table's columns as they shall be.
    DoUpdate {
        arbiters: Vec<Oid>,
        plan: LogicalPlan,
    },
}

/// UPDATE: `source` yields the row's key (`__key`), then every column of the table as it shall
/// be, then whatever RETURNING needs beside.
#[derive(Clone, Debug)]
pub struct BoundUpdate {
    pub table: Arc<TableInfo>,
    pub source: LogicalPlan,
    /// `source` with one more column, the distribution column as it was: it tells where a row is.
    /// Given for a distributed table when the rows may be worked out elsewhere (FROM, subqueries)
    /// or may have to move.
    pub located: Option<LogicalPlan>,
    /// Columns that SET names.
    pub assigned: Vec<ColumnId>,
    pub returning: Option<Returning>,
}

/// DELETE: `source` yields the row's key (`__key`), then whatever RETURNING needs beside.
#[derive(Clone, Debug)]
pub struct BoundDelete {
    pub table: Arc<TableInfo>,
    pub source: LogicalPlan,
    /// As for [`BoundUpdate`].
    pub located: Option<LogicalPlan>,
    pub returning: Option<Returning>,
}

/// MERGE: changes that all see the rows as they were.
#[derive(Clone, Debug)]
pub struct BoundMerge {
    /// Updates, deletes and inserts, in the order to run them in.
    pub parts: Vec<Bound>,
    /// One row: how many pairs of target and source rows are to be updated or deleted. More than
    /// the rows that are means that a row would be changed twice.
    pub matches: Option<BoundQuery>,
}

/// RETURNING: `plan` is over a scan of [`crate::table::INPUT`]: the table's columns of the
/// changed row (new for INSERT and UPDATE, old for DELETE), then the source's extra columns.
#[derive(Clone, Debug)]
pub struct Returning {
    pub plan: LogicalPlan,
    pub columns: Vec<OutputColumn>,
}

#[derive(Clone, Debug)]
pub struct BoundCall {
    /// Lower case, without schema.
    pub name: String,
    /// Output name of the column.
    pub column: String,
    pub arguments: Vec<Option<Expr>>,
    /// It is called for each of these rows, from which the arguments are; else once.
    pub each: Option<LogicalPlan>,
    /// As `SELECT * FROM f(..)`.
    pub as_relation: bool,
}

#[derive(Clone, Debug)]
pub struct BoundCopyFrom {
    pub table: Arc<TableInfo>,
    /// Columns in the file's order.
    pub columns: Vec<ColumnId>,
    pub options: CopyOptions,
    /// Plan over a scan of [`crate::table::INPUT`] (the file's columns, typed) that yields every
    /// column of the table: fills in defaults and applies the condition.
    pub complete: LogicalPlan,
    /// There is a condition: not every row of the file is one of the table.
    pub filtered: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CopyFormat {
    Text,
    Csv,
    Binary,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CopyHeader {
    No,
    Yes,
    Match,
}

/// COPY's options with PostgreSQL's defaults filled in for the format.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CopyOptions {
    pub format: CopyFormat,
    pub delimiter: u8,
    pub null: String,
    pub header: CopyHeader,
    pub quote: u8,
    pub escape: u8,
    pub force_quote: ForceColumns,
    pub force_not_null: Vec<String>,
    pub force_null: Vec<String>,
    /// Of COPY FROM.
    pub freeze: bool,
    /// Of the file, in the formats that are text.
    pub encoding: Encoding,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ForceColumns {
    All,
    Named(Vec<String>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExplainOptions {
    pub analyze: bool,
    pub verbose: bool,
    pub costs: bool,
    pub timing: bool,
    pub summary: bool,
    pub format: ExplainFormat,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExplainFormat {
    Text,
    Json,
    Yaml,
    Xml,
}

/// A foreign key as CREATE TABLE or ALTER TABLE names it, resolved.
pub type BoundForeignKey = ForeignKey;
