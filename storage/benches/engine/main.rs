//! What the engine does for one operation, one commit, one start and one column.
//!
//! `cargo bench -p satsuma-storage --bench engine -- scan` runs those with `scan` in their names.
//! Files are written where `SATSUMA_BENCH_DIR` says, else in cargo's directory for temporary files.
//! Bytes on disk and CPU time, which divan does not measure, are printed first; of memory it tells
//! what each operation took from the allocator, and at most had at once.

mod columns;
mod commits;
mod data;
mod points;
mod restart;
mod store;

#[global_allocator]
static MEMORY: divan::AllocProfiler = divan::AllocProfiler::system();

fn main() {
    if !std::env::args().any(|argument| argument == "--list" || argument == "--test") {
        columns::print_sizes();
        commits::print_cpu();
    }
    divan::main();
}
