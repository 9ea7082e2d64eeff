//! TPC-H's tables, rows and queries are the benchmark's; here they meet the tests' client.

pub use satsuma_bench::tpch::{Layout, SCHEMA, queries};

use crate::wire::Client;

/// The rows of every table.
pub fn data(scale: f64) -> Vec<(&'static str, String)> {
    let tables = satsuma_bench::tpch::tables(scale);
    tables.map(|(table, lines)| (table, lines.collect())).collect()
}

/// Loads rows into tables that are there.
///
/// # Panics
/// When a table does not take its rows.
pub fn load(client: &mut Client, data: &[(&'static str, String)]) {
    for (table, rows) in data {
        let copy = format!("COPY {table} FROM STDIN WITH (DELIMITER '|')");
        let answer = client.query_with_data(&copy, rows).unwrap_or_else(|e| panic!("{copy}: {e}"));
        if let Some(fields) = answer.error() {
            panic!("{copy}: {} {}", fields.code(), fields.message());
        }
    }
}
