//! What ANALYZE found in a table.

use std::collections::BTreeMap;

use satsuma_common::{ColumnId, PgType};
use serde::{Deserialize, Serialize};

/// A table's statistics, as of its last ANALYZE.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct TableStatistics {
    pub columns: BTreeMap<ColumnId, ColumnStatistics>,
}

/// A row of `pg_stats`. Values are in their text form, with default settings.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ColumnStatistics {
    /// Of the values below: they mean nothing once the column has another.
    pub ty: PgType,
    /// The part of rows that are NULL.
    pub null_fraction: f32,
    /// Bytes of a value that is not NULL.
    pub average_width: i32,
    /// How many different values there are; negative, as a share of the rows. 0 is unknown.
    pub distinct: f32,
    /// The most common values with their parts of all rows, the most common first.
    pub common: Vec<(String, f32)>,
    /// Other values, in order, that part the rest into parts of the same size.
    pub bounds: Vec<String>,
}

impl ColumnStatistics {
    /// Different values among so many rows.
    pub fn distinct_among(&self, rows: f64) -> Option<f64> {
        let distinct = f64::from(self.distinct);
        if distinct > 0.0 {
            Some(distinct.min(rows.max(1.0)))
        } else if distinct < 0.0 {
            Some((-distinct * rows).max(1.0))
        } else {
            None
        }
    }
}
