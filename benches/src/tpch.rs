//! TPC-H: its tables and rows, in the layouts that a cluster may give them, and its 22 queries.
//!
//! The three layouts differ in what is co-located: with the first, joins between the two large
//! tables stay with the shards; with the last, every join crosses the network.

use std::fmt::Display;

use tpchgen::generators::{
    CustomerGenerator, LineItemGenerator, NationGenerator, OrderGenerator, PartGenerator,
    PartSuppGenerator, RegionGenerator, SupplierGenerator,
};

/// CREATE TABLE statements.
pub const SCHEMA: &str = include_str!("../tpch/schema.sql");

const QUERIES: [&str; 22] = [
    include_str!("../tpch/q01.sql"),
    include_str!("../tpch/q02.sql"),
    include_str!("../tpch/q03.sql"),
    include_str!("../tpch/q04.sql"),
    include_str!("../tpch/q05.sql"),
    include_str!("../tpch/q06.sql"),
    include_str!("../tpch/q07.sql"),
    include_str!("../tpch/q08.sql"),
    include_str!("../tpch/q09.sql"),
    include_str!("../tpch/q10.sql"),
    include_str!("../tpch/q11.sql"),
    include_str!("../tpch/q12.sql"),
    include_str!("../tpch/q13.sql"),
    include_str!("../tpch/q14.sql"),
    include_str!("../tpch/q15.sql"),
    include_str!("../tpch/q16.sql"),
    include_str!("../tpch/q17.sql"),
    include_str!("../tpch/q18.sql"),
    include_str!("../tpch/q19.sql"),
    include_str!("../tpch/q20.sql"),
    include_str!("../tpch/q21.sql"),
    include_str!("../tpch/q22.sql"),
];

/// The small ones first.
pub const TABLES: [&str; 8] =
    ["region", "nation", "supplier", "customer", "part", "partsupp", "orders", "lineitem"];

/// The queries with their numbers.
pub fn queries() -> impl Iterator<Item = (usize, &'static str)> {
    (1..).zip(QUERIES)
}

/// Rows in COPY's text format with `|` between values, made as they are asked for.
pub type Lines = Box<dyn Iterator<Item = String>>;

/// The tables, and the rows that each has at a scale factor.
pub fn tables(scale: f64) -> impl Iterator<Item = (&'static str, Lines)> {
    TABLES.into_iter().zip([
        lines(RegionGenerator::new(scale, 1, 1).iter()),
        lines(NationGenerator::new(scale, 1, 1).iter()),
        lines(SupplierGenerator::new(scale, 1, 1).iter()),
        lines(CustomerGenerator::new(scale, 1, 1).iter()),
        lines(PartGenerator::new(scale, 1, 1).iter()),
        lines(PartSuppGenerator::new(scale, 1, 1).iter()),
        lines(OrderGenerator::new(scale, 1, 1).iter()),
        lines(LineItemGenerator::new(scale, 1, 1).iter()),
    ])
}

fn lines<T: Display>(rows: impl Iterator<Item = T> + 'static) -> Lines {
    Box::new(rows.map(|row| {
        let mut line = row.to_string();
        // `dbgen` ends values with `|`, COPY separates them.
        if line.ends_with('|') {
            line.pop();
        }
        line.push('\n');
        line
    }))
}

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
