//! What a worker must know of a table to store and check its rows. The coordinator's catalog is
//! the truth; this is the part of it that travels.

use std::sync::Arc;

use arrow::datatypes::{Schema, SchemaRef};
use serde::{Deserialize, Serialize};

use crate::arrow_types;
pub use crate::foreign_key::{
    ConstraintModes, ConstraintRef, ForeignKey, ForeignKeyAction, Timing,
};
use crate::ids::{ColumnId, Oid, TableId};
use crate::index::IndexShape;
use crate::types::PgType;

/// A column of a table. Dropped columns are not in the list; ids are never reused.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Column {
    pub id: ColumnId,
    pub name: String,
    pub ty: PgType,
    pub not_null: bool,
    /// Value of rows written before the column was added (PostgreSQL's `attmissingval`), in the
    /// row codec's form. `None` is NULL.
    pub missing: Option<Vec<u8>>,
}

/// The shape of a table's rows. `version` grows with every change, so that a worker can tell an
/// older shape from a newer one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TableShape {
    pub table: TableId,
    pub version: u64,
    /// As users see it, for error messages.
    pub schema_name: String,
    pub name: String,
    pub columns: Vec<Column>,
    /// Primary key columns in key order; empty: rows get a hidden, unique row id as their key.
    pub primary_key: Vec<ColumnId>,
    /// `pg_constraint.conname` of the primary key.
    pub primary_key_name: Option<String>,
    pub checks: Vec<Check>,
    pub foreign_keys: Vec<ForeignKey>,
    /// Foreign keys of other tables that point here.
    pub referenced_by: Vec<ForeignKey>,
    /// In the order of their ids. A change of them alone is not a new version: plans do not
    /// depend on it.
    pub indexes: Vec<IndexShape>,
}

/// A CHECK constraint.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Check {
    pub name: String,
    /// The condition as SQL over the table's columns; bound where it is used.
    pub condition: String,
}

impl TableShape {
    /// Position of a column in `columns`.
    pub fn position(&self, id: ColumnId) -> Option<usize> {
        self.columns.iter().position(|column| column.id == id)
    }

    pub fn column(&self, id: ColumnId) -> Option<&Column> {
        self.columns.iter().find(|column| column.id == id)
    }

    pub fn column_named(&self, name: &str) -> Option<&Column> {
        self.columns.iter().find(|column| column.name == name)
    }

    pub fn index(&self, id: Oid) -> Option<&IndexShape> {
        self.indexes.iter().find(|index| index.id == id)
    }

    /// Whether the column must not be NULL.
    pub fn is_required(&self, column: &Column) -> bool {
        column.not_null || self.primary_key.contains(&column.id)
    }

    /// Positions of the primary key's columns, in key order.
    pub fn key_positions(&self) -> Vec<usize> {
        self.primary_key.iter().filter_map(|id| self.position(*id)).collect()
    }

    /// The Arrow schema of whole rows, in column order.
    pub fn arrow_schema(&self) -> SchemaRef {
        let fields: Vec<_> = self
            .columns
            .iter()
            .map(|column| arrow_types::field(&column.name, &column.ty, !column.not_null))
            .collect();
        Arc::new(Schema::new(fields))
    }
}
