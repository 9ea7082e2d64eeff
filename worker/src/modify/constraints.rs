//! NOT NULL and CHECK, a batch at a time; and what a taken key is called.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::UInt32Type;
use datafusion::common::DFSchema;
use datafusion::logical_expr::execution_props::ExecutionProps;
use datafusion::logical_expr::physical_planning_context::PhysicalPlanningContext;
use datafusion::physical_expr::{PhysicalExpr, create_physical_expr};
use parking_lot::RwLock;
use satsuma_common::index::{IndexShape, IndexedValue};
use satsuma_common::key::KeyEncoder;
use satsuma_common::table::TableShape;
use satsuma_common::{SqlError, SqlResult, SqlState, TableId, details};
use satsuma_proto::worker::{LINE_COLUMN, StatementContext};
use satsuma_sql::engine_error::to_sql;
use satsuma_storage::{StorageError, TableMeta};

use super::condition;
use crate::{error, text};

/// A CHECK constraint, ready to be evaluated on the table's columns.
pub(crate) struct CompiledCheck {
    name: String,
    condition: Arc<dyn PhysicalExpr>,
}

pub(super) type Compiled = Arc<Vec<CompiledCheck>>;

/// Compiled constraints of each table's present shape.
#[derive(Default)]
pub(crate) struct CheckCache(RwLock<BTreeMap<TableId, (u64, Compiled)>>);

impl CheckCache {
    pub fn get(&self, shape: &TableShape, context: &StatementContext) -> SqlResult<Compiled> {
        if shape.checks.is_empty() {
            return Ok(Compiled::default());
        }
        if let Some((version, compiled)) = self.0.read().get(&shape.table)
            && *version == shape.version
        {
            return Ok(compiled.clone());
        }
        let (compiled, lasting) = compile(shape, context)?;
        let compiled = Arc::new(compiled);
        if lasting {
            self.0.write().insert(shape.table, (shape.version, compiled.clone()));
        }
        Ok(compiled)
    }
}

/// The constraints, and whether they mean the same to every statement.
fn compile(
    shape: &TableShape,
    context: &StatementContext,
) -> SqlResult<(Vec<CompiledCheck>, bool)> {
    let schema = DFSchema::try_from(shape.arrow_schema()).map_err(to_sql)?;
    let (props, planning) = (ExecutionProps::new(), PhysicalPlanningContext::default());
    let mut compiled = Vec::with_capacity(shape.checks.len());
    let mut lasting = true;
    for check in &shape.checks {
        let (condition, depends) = condition::bind(&check.condition, shape, context)?;
        lasting &= !depends;
        let condition =
            create_physical_expr(&condition, &schema, &props, &planning).map_err(to_sql)?;
        compiled.push(CompiledCheck { name: check.name.clone(), condition });
    }
    // PostgreSQL checks them by name.
    compiled.sort_by(|a, b| a.name.cmp(&b.name));
    Ok((compiled, lasting))
}

/// Every row satisfies NOT NULL and CHECK, else the error of the first row that does not.
pub(crate) fn check(
    meta: &TableMeta,
    checks: &[CompiledCheck],
    batch: &RecordBatch,
) -> SqlResult<()> {
    let null = first_null(&meta.shape, batch);
    let before_null = match null {
        Some((row, _)) => batch.slice(0, row),
        None => batch.clone(),
    };
    let mut failed: Option<(usize, &CompiledCheck)> = None;
    for check in checks {
        if let Some(row) = first_false(meta, check, &before_null)?
            && failed.is_none_or(|(earlier, _)| row < earlier)
        {
            failed = Some((row, check));
        }
    }
    let (row, error) = match (failed, null) {
        (Some((row, check)), _) => (row, check_violation(meta, batch, row, &check.name)),
        (None, Some((row, column))) => {
            let values = text::datums(meta, batch, row);
            (row, details::null_violation(&meta.shape, column, &values))
        }
        (None, None) => return Ok(()),
    };
    Err(at_line(meta, batch, row, error))
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

/// The first row with a NULL where none may be, and the column's position.
fn first_null(shape: &TableShape, batch: &RecordBatch) -> Option<(usize, usize)> {
    let of_column = |(position, column): (usize, &satsuma_common::table::Column)| {
        let array = batch.columns().get(position).filter(|array| array.null_count() > 0)?;
        let must = shape.is_required(column);
        let row = must.then(|| (0..array.len()).find(|row| array.is_null(*row)))??;
        Some((row, position))
    };
    shape.columns.iter().enumerate().filter_map(of_column).min()
}

/// The first row for which the condition is false; NULL is not.
fn first_false(
    meta: &TableMeta,
    check: &CompiledCheck,
    batch: &RecordBatch,
) -> SqlResult<Option<usize>> {
    if batch.num_rows() == 0 {
        return Ok(None);
    }
    let columns: Vec<_> = (0..meta.shape.columns.len()).collect();
    let table = batch.project(&columns).map_err(satsuma_sql::engine_error::arrow_to_sql)?;
    let result = check.condition.evaluate(&table).map_err(to_sql)?;
    let result = result.into_array(table.num_rows()).map_err(to_sql)?;
    let held = result
        .as_boolean_opt()
        .ok_or_else(|| SqlError::internal(format!("check \"{}\" is not boolean", check.name)))?;
    Ok((0..held.len()).find(|row| held.is_valid(*row) && !held.value(*row)))
}

fn check_violation(meta: &TableMeta, batch: &RecordBatch, row: usize, check: &str) -> SqlError {
    let shape = &meta.shape;
    let message =
        format!("new row for relation \"{}\" violates check constraint \"{check}\"", shape.name);
    SqlError::new(SqlState::CHECK_VIOLATION, message)
        .detail(details::failing_row(shape, &text::datums(meta, batch, row)))
        .table(&shape.schema_name, &shape.name)
        .constraint(check)
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
    let values = text::datums(meta, batch, row);
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
