//! Tests by chance: each seed is a run that can be had again.

use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use crate::disk::faulty::Chance;

/// Runs every seed, and tells which one failed. `SATSUMA_SEEDS=from..to` runs others.
pub fn for_each_seed(usual: Range<u64>, mut run: impl FnMut(u64)) {
    for seed in seeds(usual) {
        run_one(seed, &mut run);
    }
}

/// The same, several seeds at once.
pub fn for_each_seed_on_all_cores(usual: Range<u64>, run: impl Fn(u64) + Sync) {
    let seeds = seeds(usual);
    let next = AtomicU64::new(seeds.start);
    let run_some = || {
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= seeds.end {
                return;
            }
            let result = catch_unwind(AssertUnwindSafe(|| run_one(seed, &run)));
            if let Err(panic) = result {
                // The others need not go on.
                next.store(seeds.end, Ordering::Relaxed);
                resume_unwind(panic);
            }
        }
    };
    std::thread::scope(|scope| {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let threads: Vec<_> = (0..cores).map(|_| scope.spawn(run_some)).collect();
        for thread in threads {
            if let Err(panic) = thread.join() {
                resume_unwind(panic);
            }
        }
    });
}

fn seeds(usual: Range<u64>) -> Range<u64> {
    let chosen = std::env::var("SATSUMA_SEEDS").ok().map(|range| {
        let numbers = range
            .split_once("..")
            .and_then(|(from, to)| Some(from.parse::<u64>().ok()?..to.parse::<u64>().ok()?));
        numbers.expect("SATSUMA_SEEDS is from..to")
    });
    chosen.unwrap_or(usual)
}

fn run_one(seed: u64, mut run: impl FnMut(u64)) {
    if let Err(panic) = catch_unwind(AssertUnwindSafe(|| run(seed))) {
        eprintln!("failed with seed {seed}");
        resume_unwind(panic);
    }
}

/// Copies a directory.
pub fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap().map(|entry| entry.unwrap()) {
        let to = to.join(entry.file_name());
        match entry.file_type().unwrap().is_dir() {
            true => copy(&entry.path(), &to),
            false => drop(std::fs::copy(entry.path(), to).unwrap()),
        }
    }
}

/// Flips a bit that stands among others in one of a directory's own files, and answers with the file.
pub fn flip(dir: &Path, chance: &mut Chance) -> PathBuf {
    let mut files: Vec<_> = std::fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.is_file())
        .collect();
    files.sort();
    let path = files.swap_remove(chance.below(files.len() as u64) as usize);
    let mut bytes = std::fs::read(&path).unwrap();
    let used: Vec<usize> = (0..bytes.len()).filter(|at| bytes[*at] != 0).collect();
    let at = used[chance.below(used.len() as u64) as usize];
    bytes[at] ^= 1 << chance.below(8);
    std::fs::write(&path, bytes).unwrap();
    path
}
