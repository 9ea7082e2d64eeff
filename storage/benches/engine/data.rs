//! A column of each type, and a condition on it.

use std::sync::{Arc, LazyLock};

use arrow::array::{
    ArrayRef, BinaryArray, BooleanArray, Decimal128Array, FixedSizeBinaryArray, Float64Array,
    Int32Array, Int64Array, StringViewArray, TimestampMicrosecondArray,
};
use satsuma_common::datum::{Inet, Numeric};
use satsuma_common::{NumericMod, PgType};

/// Rows of each column: `SATSUMA_BENCH_ROWS`, or a million.
pub static ROWS: LazyLock<usize> = LazyLock::new(|| {
    let chosen = std::env::var("SATSUMA_BENCH_ROWS").ok();
    chosen.map_or(1 << 20, |rows| rows.parse().expect("SATSUMA_BENCH_ROWS is a number"))
});

/// Names of the columns, in the order of [`columns`].
pub const NAMES: [&str; 13] = [
    "int4",
    "int8",
    "int8_close",
    "float8",
    "numeric_12_2",
    "numeric",
    "text_few_kinds",
    "text_many_kinds",
    "bool",
    "timestamptz",
    "jsonb",
    "inet",
    "uuid",
];

pub struct Column {
    pub ty: PgType,
    pub values: ArrayRef,
    /// Row whose value the condition compares with.
    pub row: usize,
    /// `value < that of the row`, about a tenth of the rows; else `value = that of the row`.
    pub is_less: bool,
}

fn by_chance(n: usize) -> u64 {
    let mut z = (n as u64).wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

fn inet(n: usize) -> Vec<u8> {
    let address = std::net::Ipv4Addr::from(0x0a00_0000 + (by_chance(n) % 0x10_0000) as u32);
    Inet::host_address(address.into()).to_sortable()
}

fn document(n: usize) -> String {
    let chance = by_chance(n);
    let kind = ["click", "view", "buy"][(chance % 3) as usize];
    let (user, mobile) = (chance % 50_000, chance & 64 != 0);
    format!(r#"{{"kind": "{kind}", "user": {user}, "is_mobile": {mobile}}}"#)
}

/// The column with this name.
pub fn column(name: &str) -> Column {
    let all = || 0..*ROWS;
    let price = |n: usize| i128::from(by_chance(n) % 1_000_000);
    let cents = PgType::Numeric(Some(NumericMod { precision: 12, scale: 2 }));
    // A row whose value has about a tenth of the others below it.
    let tenth = |below: &dyn Fn(usize) -> f64| {
        all().take(2000).min_by(|a, b| below(*a).total_cmp(&below(*b))).unwrap_or(0)
    };
    let by = |share: &dyn Fn(usize) -> f64| tenth(&|n| (share(n) - 0.1).abs());
    let number = |most: u64| move |n: usize| (by_chance(n) % most) as f64 / most as f64;
    let (ty, values, row, is_less): (PgType, ArrayRef, usize, bool) = match name {
        "int4" => (
            PgType::Int4,
            Arc::new(Int32Array::from_iter_values(all().map(|n| (by_chance(n) % 100_000) as i32))),
            by(&number(100_000)),
            true,
        ),
        "int8" => (
            PgType::Int8,
            Arc::new(Int64Array::from_iter_values(
                all().map(|n| (by_chance(n) % (1 << 40)) as i64),
            )),
            by(&number(1 << 40)),
            true,
        ),
        "int8_close" => (
            PgType::Int8,
            Arc::new(Int64Array::from_iter_values(
                all().map(|n| n as i64 * 3 + (by_chance(n) % 3) as i64),
            )),
            *ROWS / 10,
            true,
        ),
        "float8" => (
            PgType::Float8,
            Arc::new(Float64Array::from_iter_values(
                all().map(|n| (by_chance(n) % 1_000_000_007) as f64 / 1e3),
            )),
            by(&number(1_000_000_007)),
            true,
        ),
        "numeric_12_2" => (
            cents,
            Arc::new(
                Decimal128Array::from_iter_values(all().map(price))
                    .with_precision_and_scale(12, 2)
                    .expect("a precision that fits"),
            ),
            by(&number(1_000_000)),
            true,
        ),
        "numeric" => (
            PgType::Numeric(None),
            Arc::new(BinaryArray::from_iter_values(all().map(|n| {
                Numeric::from_i128(price(n), 2).expect("a scale that fits").to_sortable()
            }))),
            by(&number(1_000_000)),
            true,
        ),
        "text_few_kinds" => (
            PgType::Text,
            Arc::new(StringViewArray::from_iter_values(
                all().map(|n| format!("state number {}", by_chance(n) % 50)),
            )),
            17,
            false,
        ),
        "text_many_kinds" => (
            PgType::Text,
            Arc::new(StringViewArray::from_iter_values(all().map(|n| {
                let chance = by_chance(n);
                format!("https://site-{}.example/page/{}", chance % 1000, chance % 999_983)
            }))),
            17,
            false,
        ),
        "bool" => (
            PgType::Bool,
            Arc::new(BooleanArray::from_iter(all().map(|n| Some(by_chance(n).is_multiple_of(10))))),
            tenth(&|n| (by_chance(n) % 10) as f64),
            false,
        ),
        "timestamptz" => (
            PgType::Timestamptz,
            Arc::new(
                TimestampMicrosecondArray::from_iter_values(all().map(|n| {
                    1_700_000_000_000_000 + n as i64 * 1_000_000 + (by_chance(n) % 900_000) as i64
                }))
                .with_timezone("UTC"),
            ),
            *ROWS / 10,
            true,
        ),
        "jsonb" => (
            PgType::Jsonb,
            Arc::new(StringViewArray::from_iter_values(all().map(document))),
            17,
            false,
        ),
        "inet" => {
            (PgType::Inet, Arc::new(BinaryArray::from_iter_values(all().map(inet))), 17, false)
        }
        "uuid" => (
            PgType::Uuid,
            Arc::new(
                FixedSizeBinaryArray::try_from_iter(all().map(|n| {
                    let halves = [by_chance(n), by_chance(n + *ROWS)];
                    halves.map(u64::to_be_bytes).concat()
                }))
                .expect("values of 16 bytes"),
            ),
            17,
            false,
        ),
        _ => unreachable!("one of the names"),
    };
    Column { ty, values, row, is_less }
}
