//! Tests by chance: each seed is a run that can be had again.

use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

/// Runs every seed, and tells which one failed. `SATSUMA_SEEDS=from..to` runs others.
pub fn for_each_seed(usual: Range<u64>, run: impl Fn(u64)) {
    let chosen = std::env::var("SATSUMA_SEEDS").ok().map(|range| {
        let numbers = range
            .split_once("..")
            .and_then(|(from, to)| Some(from.parse::<u64>().ok()?..to.parse::<u64>().ok()?));
        numbers.expect("SATSUMA_SEEDS is from..to")
    });
    for seed in chosen.unwrap_or(usual) {
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| run(seed))) {
            eprintln!("failed with seed {seed}");
            resume_unwind(panic);
        }
    }
}
