//! What a file of COPY FROM is: its format, the columns it fills, and how its errors are told.

use std::sync::Arc;

use datafusion::arrow::datatypes::{Schema, SchemaRef};
use satsuma_common::arrow_types;
use satsuma_common::{SqlError, SqlState};
use satsuma_sql::bound::{CopyOptions, OutputColumn};

use crate::value_io::TextSettings;

/// PostgreSQL's `MAX_COPY_DATA_DISPLAY`.
const SHOWN_BYTES: usize = 100;

pub struct Format {
    pub table: String,
    pub columns: Arc<[OutputColumn]>,
    pub options: CopyOptions,
    pub settings: TextSettings,
    /// By column, for csv.
    pub force_not_null: Vec<bool>,
    pub force_null: Vec<bool>,
    pub schema: SchemaRef,
}

impl Format {
    pub fn new(
        table: &str,
        columns: Arc<[OutputColumn]>,
        options: &CopyOptions,
        settings: TextSettings,
    ) -> Self {
        let named = |names: &[String]| -> Vec<bool> {
            columns.iter().map(|column| names.contains(&column.name)).collect()
        };
        let fields: Vec<_> = columns
            .iter()
            .map(|column| arrow_types::field(&column.name, &column.ty, true))
            .collect();
        Self {
            table: table.to_owned(),
            force_not_null: named(&options.force_not_null),
            force_null: named(&options.force_null),
            schema: Arc::new(Schema::new(fields)),
            columns,
            options: options.clone(),
            settings,
        }
    }

    /// The error with the line where it happened, and what it was about.
    pub fn in_line(&self, line: u64, error: SqlError, shown: Option<&[u8]>) -> SqlError {
        let place = format!("COPY {}, line {line}", self.table);
        error.within(match shown {
            Some(shown) => format!("{place}: \"{}\"", printable(shown)),
            None => place,
        })
    }

    /// The error with the line and the column where it happened, and what the value was.
    pub fn in_column(
        &self,
        line: u64,
        column: usize,
        error: SqlError,
        shown: Option<&[u8]>,
    ) -> SqlError {
        let place =
            format!("COPY {}, line {line}, column {}", self.table, self.columns[column].name);
        error.within(match shown {
            Some(shown) => format!("{place}: \"{}\"", printable(shown)),
            None => place,
        })
    }
}

pub fn malformed(message: impl Into<String>) -> SqlError {
    SqlError::new(SqlState::BAD_COPY_FILE_FORMAT, message)
}

/// Data as an error context shows it: its beginning.
fn printable(raw: &[u8]) -> String {
    let text = String::from_utf8_lossy(raw);
    if text.len() <= SHOWN_BYTES {
        return text.into_owned();
    }
    let end = (0..=SHOWN_BYTES).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
    format!("{}...", &text[..end])
}
