//! Tests that need what is not installed: said aloud, never silent.

use std::io::Write;

/// Whether a missing program is a failure.
pub fn everything_required() -> bool {
    std::env::var("SATSUMA_TESTS_REQUIRE_ALL").is_ok_and(|value| value == "1")
}

/// Notes that a test is skipped, on the real stderr: the macros' output is captured for tests
/// that pass.
///
/// # Panics
/// When everything is required.
pub fn skip(test: &str, missing: &str) {
    assert!(!everything_required(), "{test}: {missing}, and SATSUMA_TESTS_REQUIRE_ALL=1");
    let _ = writeln!(std::io::stderr(), "SKIPPED {test}: {missing}");
}
