//! Indexes beside the primary key, as workers keep them.

use serde::{Deserialize, Serialize};

use crate::ids::{ColumnId, Oid};
use crate::table::TableShape;
use crate::types::PgType;

/// How an index finds rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum IndexMethod {
    /// By the order of its keys: `btree`, and `hash`, which asks less.
    Ordered,
    /// By the keys and scalars within a jsonb document: `gin`.
    Documents,
    /// By the networks that hold an address: `gist (inet_ops)`.
    Networks,
}

/// An index of a table. That of the primary key is not among them: rows lie in its order.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct IndexShape {
    pub id: Oid,
    pub name: String,
    pub method: IndexMethod,
    pub keys: Vec<IndexKeyShape>,
    pub unique: bool,
    /// NULLS NOT DISTINCT: NULL is equal to NULL.
    pub nulls_not_distinct: bool,
    /// Made by a UNIQUE constraint of the same name.
    pub constraint: bool,
    /// SQL text over the table's columns; rows for which it is not true are left out.
    pub predicate: Option<String>,
}

/// What rows are found by.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct IndexKeyShape {
    pub value: IndexedValue,
    pub ty: PgType,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum IndexedValue {
    Column(ColumnId),
    /// SQL text over the table's columns.
    Expression(String),
}

impl IndexShape {
    /// The columns that are keys, or `None` where a key is an expression.
    pub fn columns(&self) -> Option<Vec<ColumnId>> {
        let column = |key: &IndexKeyShape| match key.value {
            IndexedValue::Column(column) => Some(column),
            IndexedValue::Expression(_) => None,
        };
        self.keys.iter().map(column).collect()
    }

    /// Positions of the keys in the table's columns, where nothing has to be computed.
    pub fn plain_positions(&self, table: &TableShape) -> Option<Vec<usize>> {
        if self.predicate.is_some() {
            return None;
        }
        self.columns()?.into_iter().map(|column| table.position(column)).collect()
    }

    /// Whether the index holds every row once, by columns alone: what a foreign key may refer to.
    pub fn is_plain_unique(&self) -> bool {
        self.unique && self.predicate.is_none() && self.columns().is_some()
    }
}
