//! `SELECT last_value FROM seq`: a sequence as a relation of one row.

use std::sync::Arc;

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::Schema;
use satsuma_common::{Datum, Oid, PgType, SqlError, arrow_types, arrow_values};

use crate::catalog_view::SystemRelation;
use crate::functions::SequenceAccess;

/// Its columns, and what is in them when it is read.
pub fn sequence_relation(
    sequences: Arc<dyn SequenceAccess>,
    id: Oid,
    schema_name: String,
    name: String,
) -> SystemRelation {
    let columns: Vec<_> =
        [("last_value", PgType::Int8), ("log_cnt", PgType::Int8), ("is_called", PgType::Bool)]
            .map(|(name, ty)| (name.to_owned(), ty))
            .into();
    let described = columns.clone();
    let rows = move || {
        let (last_value, is_called) = sequences.position(id)?;
        let values = [Datum::Int8(last_value), Datum::Int8(0), Datum::Bool(is_called)];
        let (mut fields, mut arrays) = (Vec::new(), Vec::new());
        for ((name, ty), value) in described.iter().zip(&values) {
            fields.push(arrow_types::field(name, ty, true));
            arrays.push(arrow_values::array_of_one(value, ty)?);
        }
        RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays)
            .map_err(|error| SqlError::internal(error.to_string()))
    };
    SystemRelation { schema_name, name, columns, rows: Arc::new(rows) }
}
