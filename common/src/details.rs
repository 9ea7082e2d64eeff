//! Values in error details: `Key (id)=(5)`, `Failing row contains (5, null)`; and the errors that
//! several places find.

use crate::table::TableShape;
use crate::text::{TextContext, to_text};
use crate::{ColumnId, Datum, PgType, SqlError, SqlState};

/// PostgreSQL cuts values of a failing row at 64 bytes.
const VALUE_BYTES: usize = 64;

/// The value as PostgreSQL's output function writes it; NULL as `null`.
pub fn value(datum: &Datum, ty: &PgType) -> String {
    match to_text(ty, datum, &TextContext::default()) {
        Ok(Some(text)) => text,
        Ok(None) => "null".into(),
        Err(_) => "?".into(),
    }
}

/// `(a, b)=(1, 2)`, from all values of a row.
pub fn key(shape: &TableShape, columns: &[ColumnId], row: &[Datum]) -> String {
    let named: Vec<_> = columns.iter().filter_map(|id| shape.position(*id)).collect();
    let names: Vec<_> = named.iter().map(|at| shape.columns[*at].name.as_str()).collect();
    let values: Vec<_> = named
        .iter()
        .map(|at| row.get(*at).map_or_else(String::new, |v| value(v, &shape.columns[*at].ty)))
        .collect();
    format!("({})=({})", names.join(", "), values.join(", "))
}

/// `(1, null, text)`
fn row(shape: &TableShape, values: &[Datum]) -> String {
    let texts: Vec<_> = shape
        .columns
        .iter()
        .zip(values)
        .map(|(column, datum)| shortened(value(datum, &column.ty)))
        .collect();
    format!("({})", texts.join(", "))
}

/// 23502 for the column at `position`; `values` are the row's, or none where they cannot be told.
pub fn null_violation(shape: &TableShape, position: usize, values: &[Datum]) -> SqlError {
    let column = &shape.columns[position].name;
    let message = format!(
        "null value in column \"{column}\" of relation \"{}\" violates not-null constraint",
        shape.name
    );
    SqlError::new(SqlState::NOT_NULL_VIOLATION, message)
        .detail(failing_row(shape, values))
        .table(&shape.schema_name, &shape.name)
        .column(column)
}

/// `Failing row contains (1, null).`
pub fn failing_row(shape: &TableShape, values: &[Datum]) -> String {
    format!("Failing row contains {}.", row(shape, values))
}

fn shortened(mut text: String) -> String {
    if text.len() > VALUE_BYTES {
        let mut end = VALUE_BYTES;
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        text.truncate(end);
        text.push_str("...");
    }
    text
}
