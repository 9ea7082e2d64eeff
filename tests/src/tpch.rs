//! TPC-H: its tables and data, in the layouts that a cluster may give them, and its 22 queries
//! (`tests/tpch`).
//!
//! The three layouts differ in what is co-located: with the first, joins between the two large
//! tables stay with the shards; with the last, every join crosses the network.

use std::fmt::Display;
use std::path::PathBuf;

use tpchgen::generators::{
    CustomerGenerator, LineItemGenerator, NationGenerator, OrderGenerator, PartGenerator,
    PartSuppGenerator, RegionGenerator, SupplierGenerator,
};

use crate::tests_path;
use crate::wire::Client;

/// Where a table goes.
#[derive(Clone, Copy, Debug)]
enum Place {
    Reference,
    /// By this column, co-located with the named table or with none.
    Hash(&'static str, &'static str),
}

/// How the tables are spread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// `orders` and `lineitem` co-located, the rest reference tables.
    OrdersAndReference,
    /// The small tables reference tables; `part` with `partsupp`, `orders` with `lineitem`, and
    /// `customer` and `supplier` by their own keys.
    ByKeys,
    /// Every table by its own key, no two co-located.
    NothingColocated,
}

impl Layout {
    pub const ALL: [Self; 3] = [Self::OrdersAndReference, Self::ByKeys, Self::NothingColocated];

    pub fn name(self) -> &'static str {
        match self {
            Self::OrdersAndReference => "orders and reference",
            Self::ByKeys => "by keys",
            Self::NothingColocated => "nothing co-located",
        }
    }

    fn places(self) -> [(&'static str, Place); 8] {
        use Place::{Hash, Reference};
        let orders = ("orders", Hash("o_orderkey", "none"));
        let lineitem = ("lineitem", Hash("l_orderkey", "orders"));
        match self {
            Self::OrdersAndReference => [
                ("region", Reference),
                ("nation", Reference),
                ("supplier", Reference),
                ("customer", Reference),
                ("part", Reference),
                ("partsupp", Reference),
                orders,
                lineitem,
            ],
            Self::ByKeys => [
                ("region", Reference),
                ("nation", Reference),
                ("supplier", Hash("s_suppkey", "none")),
                ("customer", Hash("c_custkey", "none")),
                ("part", Hash("p_partkey", "none")),
                ("partsupp", Hash("ps_partkey", "part")),
                orders,
                lineitem,
            ],
            Self::NothingColocated => [
                ("region", Hash("r_regionkey", "none")),
                ("nation", Hash("n_nationkey", "none")),
                ("supplier", Hash("s_suppkey", "none")),
                ("customer", Hash("c_custkey", "none")),
                ("part", Hash("p_partkey", "none")),
                ("partsupp", Hash("ps_suppkey", "none")),
                orders,
                ("lineitem", Hash("l_orderkey", "none")),
            ],
        }
    }

    /// Statements that spread the tables, which are there and empty.
    pub fn statements(self) -> Vec<String> {
        self.places()
            .into_iter()
            .map(|(table, place)| match place {
                Place::Reference => format!("SELECT create_reference_table('{table}')"),
                Place::Hash(column, colocated) => format!(
                    "SELECT create_distributed_table('{table}', '{column}', \
                     colocate_with => '{colocated}')"
                ),
            })
            .collect()
    }
}

/// CREATE TABLE statements.
pub fn schema() -> String {
    read("schema")
}

/// The queries with their numbers.
pub fn queries() -> Vec<(usize, String)> {
    (1..=22).map(|number| (number, read(&format!("q{number:02}")))).collect()
}

fn read(name: &str) -> String {
    let path: PathBuf = tests_path("tpch").join(format!("{name}.sql"));
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Rows of every table, in COPY's text format with `|` between values.
pub fn data(scale: f64) -> Vec<(&'static str, String)> {
    vec![
        ("region", lines(RegionGenerator::new(scale, 1, 1).iter())),
        ("nation", lines(NationGenerator::new(scale, 1, 1).iter())),
        ("supplier", lines(SupplierGenerator::new(scale, 1, 1).iter())),
        ("customer", lines(CustomerGenerator::new(scale, 1, 1).iter())),
        ("part", lines(PartGenerator::new(scale, 1, 1).iter())),
        ("partsupp", lines(PartSuppGenerator::new(scale, 1, 1).iter())),
        ("orders", lines(OrderGenerator::new(scale, 1, 1).iter())),
        ("lineitem", lines(LineItemGenerator::new(scale, 1, 1).iter())),
    ]
}

fn lines<T: Display>(rows: impl Iterator<Item = T>) -> String {
    use std::fmt::Write;
    let mut text = String::new();
    for row in rows {
        let start = text.len();
        let _ = write!(text, "{row}");
        if text[start..].ends_with('|') {
            text.pop();
        }
        text.push('\n');
    }
    text
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
