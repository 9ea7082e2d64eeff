//! The generated data set, written by the same `adgen` that users run.

use std::path::Path;
use std::process::Command;

use crate::binaries::binary;

/// Sizes for tests: large enough that every shard has rows, small enough for a debug build.
pub const SMALL: &[&str] = &[
    "--companies=40",
    "--campaigns=200",
    "--ads=1000",
    "--clicks=6000",
    "--impressions=9000",
    "--geo-ips=200",
    "--events=4000",
    "--pages=400",
];

/// Writes the data set to a directory.
///
/// # Panics
/// When the generator fails.
pub fn generate(directory: &Path, sizes: &[&str]) {
    let output = Command::new(binary("satsuma-bench"))
        .args(["adgen", "--quiet", "--now", "now", "--out"])
        .arg(directory)
        .args(sizes)
        .output()
        .expect("satsuma-bench starts");
    assert!(output.status.success(), "adgen: {}", String::from_utf8_lossy(&output.stderr));
}
