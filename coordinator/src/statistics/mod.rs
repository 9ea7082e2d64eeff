//! From a sample of a table's rows to what the planner and `pg_stats` say of its columns.
//!
//! The method is PostgreSQL's (src/backend/commands/analyze.c): 300 rows for each of 100 values
//! and bounds that are kept; the number of different values by Haas and Stokes' estimator; common
//! are values that are significantly more so than the rest.

mod summary;

use datafusion::arrow::array::Array;
use satsuma_common::text::TextContext;
use satsuma_common::{Datum, PgType, SqlResult, arrow_values};
use satsuma_sql::casts;
use satsuma_sql::operators::keys::append_key;

use crate::catalog::ColumnStatistics;
use summary::{Sampled, summarise};

/// Rows of a sample.
pub const SAMPLE_ROWS: u64 = 300 * TARGET as u64;
/// Common values, and parts of a histogram.
const TARGET: usize = 100;
/// Longer values are counted, not kept.
const WIDEST: usize = 1024;

/// A column's values in a sample of a table's rows.
#[derive(Debug)]
pub struct Sample {
    ty: PgType,
    sampled: Sampled,
    /// Bytes of all values.
    width: u64,
    /// Values with what they are compared by.
    values: Vec<(Vec<u8>, String)>,
}

impl Sample {
    pub fn new(ty: PgType) -> Self {
        Self { ty, sampled: Sampled::default(), width: 0, values: Vec::new() }
    }

    pub fn add(&mut self, column: &dyn Array) -> SqlResult<()> {
        let (ty, context) = (&self.ty, TextContext::default());
        for row in 0..column.len() {
            let value = arrow_values::datum_at(column, row, ty)?;
            self.sampled.taken += 1;
            if value.is_null() {
                self.sampled.nulls += 1;
                continue;
            }
            let text = casts::text::output(&value, ty, &context)?;
            let bytes = width_of(&value, &text);
            self.width += bytes as u64;
            if bytes > WIDEST {
                self.sampled.wide += 1;
            } else if has_order(ty) {
                let mut key = Vec::new();
                append_key(&value, ty, &mut key)?;
                self.values.push((key, text));
            }
        }
        Ok(())
    }

    /// `rows` is the size of the whole table.
    pub fn describe(mut self, rows: f64) -> ColumnStatistics {
        let sampled = Sampled { rows: rows.max(self.sampled.taken as f64), ..self.sampled };
        let present = sampled.taken - sampled.nulls;
        let width = self.width.checked_div(present as u64).unwrap_or_default();
        let mut statistics = ColumnStatistics {
            null_fraction: (sampled.nulls as f64 / sampled.taken.max(1) as f64) as f32,
            average_width: i32::try_from(width).unwrap_or(i32::MAX),
            distinct: 0.0,
            common: Vec::new(),
            bounds: Vec::new(),
            ty: self.ty,
        };
        if has_order(&statistics.ty) && present > 0 {
            self.values.sort();
            summarise(&self.values, &sampled, &mut statistics);
        }
        statistics
    }
}

fn has_order(ty: &PgType) -> bool {
    match ty {
        PgType::Json | PgType::Point => false,
        PgType::Array(element) => has_order(element),
        _ => true,
    }
}

/// Bytes of a value as PostgreSQL stores it, about.
fn width_of(value: &Datum, text: &str) -> usize {
    match value {
        Datum::Bool(_) => 1,
        Datum::Int2(_) => 2,
        Datum::Int4(_) | Datum::Float4(_) | Datum::Oid(_) | Datum::Date(_) => 4,
        Datum::Int8(_) | Datum::Float8(_) | Datum::Time(_) | Datum::Timestamp(_) => 8,
        Datum::Uuid(_) | Datum::Interval(_) | Datum::Point(..) => 16,
        Datum::Inet(_) => 7,
        Datum::Numeric(_) => 3 + 2 * text.len().div_ceil(4),
        Datum::Bytea(bytes) => bytes.len() + 1,
        _ => text.len() + 1,
    }
}
