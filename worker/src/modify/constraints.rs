//! NOT NULL and CHECK, a batch at a time; and what a taken key is called.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::UInt32Type;
use parking_lot::RwLock;
use satsuma_common::index::{IndexShape, IndexedValue};
use satsuma_common::key::KeyEncoder;
use satsuma_common::table::TableShape;
use satsuma_common::{SqlError, SqlResult, SqlState, TableId, details};
use satsuma_proto::worker::{LINE_COLUMN, StatementContext};
use satsuma_sql::row_checks::{RowChecks, row_values};
use satsuma_storage::{StorageError, TableMeta};

use super::condition;
use crate::error;

/// Compiled constraints of each table's present shape.
#[derive(Default)]
pub(crate) struct CheckCache(RwLock<BTreeMap<TableId, (u64, Arc<RowChecks>)>>);

impl CheckCache {
    pub fn get(&self, shape: &TableShape, context: &StatementContext) -> SqlResult<Arc<RowChecks>> {
        if shape.checks.is_empty() {
            return Ok(Arc::default());
        }
        if let Some((version, compiled)) = self.0.read().get(&shape.table)
            && *version == shape.version
        {
            return Ok(compiled.clone());
        }
        let (compiled, lasting) = condition::compile_checks(shape, context)?;
        let compiled = Arc::new(compiled);
        if lasting {
            self.0.write().insert(shape.table, (shape.version, compiled.clone()));
        }
        Ok(compiled)
    }
}

/// Every row satisfies NOT NULL and CHECK, else the error of the first row that does not.
pub(crate) fn check(meta: &TableMeta, checks: &RowChecks, batch: &RecordBatch) -> SqlResult<()> {
    checks.check(&meta.shape, batch).map_err(|refused| match refused.row {
        Some(row) => at_line(meta, batch, row, refused.error),
        None => refused.error,
    })
}

/// The error with the line of the file that the row comes from, where the sender told it.
pub(crate) fn at_line(
    meta: &TableMeta,
    batch: &RecordBatch,
    row: usize,
    error: SqlError,
) -> SqlError {
    let further = meta.shape.columns.len();
    let lines = batch
        .columns()
        .get(further)
        .filter(|_| batch.schema_ref().field(further).name() == LINE_COLUMN)
        .and_then(|lines| lines.as_primitive_opt::<UInt32Type>())
        .filter(|lines| row < lines.len());
    match lines.map(|lines| lines.value(row)) {
        None | Some(0) => error,
        Some(line) => error.context(format!("COPY {}, line {line}", meta.shape.name)),
    }
}

/// `(lower(name), id)=(abc, 1)`: an entry of an index.
fn entry_text(shape: &TableShape, index: &IndexShape, entry: &[u8]) -> String {
    let names: Vec<_> = index
        .keys
        .iter()
        .map(|key| match &key.value {
            IndexedValue::Column(id) => {
                shape.column(*id).map_or_else(String::new, |column| column.name.clone())
            }
            IndexedValue::Expression(text) => text.clone(),
        })
        .collect();
    let encoder = KeyEncoder::new(index.keys.iter().map(|key| key.ty.clone()));
    let values = encoder.and_then(|encoder| encoder.decode(entry)).unwrap_or_default();
    let values: Vec<_> =
        index.keys.iter().zip(&values).map(|(key, value)| details::value(value, &key.ty)).collect();
    format!("({})=({})", names.join(", "), values.join(", "))
}

/// A unique index that could not be built.
pub(crate) fn duplicates(shape: &TableShape, failure: StorageError) -> SqlError {
    let StorageError::Duplicates { index, key, .. } = failure else {
        return error::storage(failure);
    };
    let Some(index) = shape.index(index) else { return error::stale("the index is gone") };
    let message = format!("could not create unique index \"{}\"", index.name);
    SqlError::new(SqlState::UNIQUE_VIOLATION, message)
        .detail(format!("Key {} is duplicated.", entry_text(shape, index, &key)))
        .table(&shape.schema_name, &shape.name)
        .constraint(&index.name)
}

/// An error of writing these rows, with the table's names.
pub(crate) fn named(meta: &TableMeta, batch: &RecordBatch, failure: StorageError) -> SqlError {
    let StorageError::UniqueViolation { row, index, key: entry, .. } = failure else {
        return error::storage(failure);
    };
    let shape = &meta.shape;
    let values = row_values(shape, batch, row);
    let (constraint, key) = match index {
        None => {
            let name = shape.primary_key_name.clone();
            let name = name.unwrap_or_else(|| format!("{}_pkey", shape.name));
            (name, details::key(shape, &shape.primary_key, &values))
        }
        Some(index) => match shape.index(index) {
            Some(index) => (
                index.name.clone(),
                match index.columns() {
                    Some(columns) => details::key(shape, &columns, &values),
                    None => entry_text(shape, index, &entry),
                },
            ),
            // Made since this statement looked at the table.
            None => return error::stale("a unique index was made meanwhile"),
        },
    };
    let message = format!("duplicate key value violates unique constraint \"{constraint}\"");
    SqlError::new(SqlState::UNIQUE_VIOLATION, message)
        .detail(format!("Key {key} already exists."))
        .table(&shape.schema_name, &shape.name)
        .constraint(constraint)
}
