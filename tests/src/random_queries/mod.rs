//! Queries that nobody thought of, over tables of every kind, made from a seed.
//!
//! ```text
//! a(k) b(k)   distributed, co-located      r   reference table
//! c(k)        distributed, of its own      l   local table
//! t(s)        distributed by a text        (k, v, w nullable, s nullable text, n nullable numeric;
//!                                           k of r is its primary key)
//! ```
//!
//! A query is text from the start: what it must be is what PostgreSQL answers. Each is one of a
//! sequence that its seed fixes, so that a failure is repeated by its seed and number. Rows have
//! NULLs, and one value of `v` and `k` is far more frequent than the others.

mod expression;
mod query;
pub mod ways;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use std::fmt::Write;

pub use query::{change, query};

/// Name, Satsuma's statement that spreads it, number of rows.
const TABLES: [(&str, Option<&str>, usize); 6] = [
    ("a", Some("SELECT create_distributed_table('a', 'k', colocate_with => 'none')"), 90),
    ("b", Some("SELECT create_distributed_table('b', 'k', colocate_with => 'a')"), 60),
    (
        "c",
        Some(
            "SELECT create_distributed_table('c', 'k', colocate_with => 'none', shard_count => 5)",
        ),
        70,
    ),
    ("t", Some("SELECT create_distributed_table('t', 's', colocate_with => 'none')"), 50),
    ("r", Some("SELECT create_reference_table('r')"), 25),
    ("l", None, 40),
];

/// CREATE TABLE and INSERT statements, and those that only Satsuma needs between them.
pub fn setup(seed: u64) -> (String, Vec<&'static str>, String) {
    let mut rng = StdRng::seed_from_u64(seed);
    let (mut create, mut spread, mut insert) = (String::new(), Vec::new(), String::new());
    for (name, statement, rows) in TABLES {
        let text = if name == "t" { "text NOT NULL" } else { "text" };
        let key = if name == "c" { "bigint" } else { "int" };
        let _ = writeln!(
            create,
            "CREATE TABLE {name} (k {key} NOT NULL{}, v int, w int, s {text}, n numeric(10,2));",
            if name == "r" { " PRIMARY KEY" } else { "" }
        );
        spread.extend(statement);
        let values: Vec<String> = (0..rows)
            .map(|number| row(&mut rng, (name == "r").then_some(number), name == "t"))
            .collect();
        let _ = writeln!(insert, "INSERT INTO {name} VALUES {};", values.join(", "));
    }
    (create, spread, insert)
}

fn row(rng: &mut StdRng, key: Option<usize>, text_is_key: bool) -> String {
    // Skew: a third of the rows have the same key, and so have the values.
    let frequent = if rng.random_bool(0.3) { 3 } else { rng.random_range(0..40) };
    let key = key.unwrap_or(frequent);
    let value = if rng.random_bool(0.3) { 7 } else { rng.random_range(-5..25) };
    let or_null = |rng: &mut StdRng, value: String| {
        if rng.random_bool(0.15) { "NULL".to_owned() } else { value }
    };
    let v = or_null(rng, value.to_string());
    let small = rng.random_range(0..6).to_string();
    let w = or_null(rng, small);
    let text = ["'x'", "'y'", "'zed'", "'Anna'", "'b%'", "''"][rng.random_range(0..6)].to_owned();
    let s = if text_is_key { text } else { or_null(rng, text) };
    let cents = format!("{}.{:02}", rng.random_range(-9..99), rng.random_range(0..4) * 25);
    let n = or_null(rng, cents);
    format!("({key}, {v}, {w}, {s}, {n})")
}

/// The random numbers of one query of a seed's sequence.
pub fn numbered(seed: u64, number: u64) -> StdRng {
    StdRng::seed_from_u64(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(number))
}
