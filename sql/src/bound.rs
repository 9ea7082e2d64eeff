//! Bound statements: every name resolved, every expression typed. What the planner starts from.

use std::sync::Arc;

use datafusion::logical_expr::{Expr, LogicalPlan};
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
    Truncate {
        tables: Vec<Arc<TableInfo>>,
        cascade: bool,
        restart_identity: bool,
    },
    CopyFrom(BoundCopyFrom),
    CopyTo {
        query: BoundQuery,
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
    /// Columns that SET names.
    pub assigned: Vec<ColumnId>,
    pub returning: Option<Returning>,
}

/// DELETE: `source` yields the row's key (`__key`), then whatever RETURNING needs beside.
#[derive(Clone, Debug)]
pub struct BoundDelete {
    pub table: Arc<TableInfo>,
    pub source: LogicalPlan,
    pub returning: Option<Returning>,
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
    /// column of the table: fills in defaults.
    pub complete: LogicalPlan,
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
    /// `COPY .. FROM '/path'`: a file on the server; `None` is STDIN or STDOUT.
    pub file: Option<String>,
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
}

/// A foreign key as CREATE TABLE or ALTER TABLE names it, resolved.
pub type BoundForeignKey = ForeignKey;
