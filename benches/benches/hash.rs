//! What finding a row's shard costs: it is paid on every key.

use divan::{Bencher, black_box, counter::ItemsCount};
use satsuma_common::hash::{hash_int8, hash_text};

fn main() {
    divan::main();
}

const KEYS: i64 = 1_000;

#[divan::bench]
fn bigint(bencher: Bencher) {
    bencher
        .counter(ItemsCount::new(KEYS as usize))
        .bench(|| (0..black_box(KEYS)).fold(0_i32, |all, key| all ^ hash_int8(key)));
}

#[divan::bench(args = [8, 32, 200])]
fn text(bencher: Bencher, length: usize) {
    let keys: Vec<String> = (0..KEYS).map(|key| format!("{key:0length$}")).collect();
    bencher
        .counter(ItemsCount::new(KEYS as usize))
        .bench(|| keys.iter().fold(0_i32, |all, key| all ^ hash_text(black_box(key))));
}
