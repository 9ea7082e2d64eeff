//! How large a single value may get.
//!
//! A function of a few bytes can ask for a gigabyte (`repeat('x', 1000000000)`). Whoever multiplies
//! asks here first: PostgreSQL has a bound of its own, and a node has as much memory as it was
//! given. What is large is not computed while a statement is planned: it would stand in the plan as
//! a constant, to be copied, compared and sent.

use std::cell::Cell;
use std::sync::atomic::{AtomicUsize, Ordering};

use datafusion::logical_expr::ColumnarValue;
use satsuma_common::{Datum, SqlError, SqlResult, SqlState};

/// PostgreSQL's largest value, in bytes.
const LONGEST: usize = 0x3fff_fff8;
/// The largest constant that planning makes, in bytes.
const LARGEST_CONSTANT: usize = 1 << 20;

/// What the process's `--memory-limit` lets a value take.
static ALLOWED: AtomicUsize = AtomicUsize::new(LONGEST);

thread_local! {
    static PLANNING: Cell<bool> = const { Cell::new(false) };
}

/// A node of the process may hold so many bytes for queries: half of them for one value.
pub fn set_memory_limit(bytes: u64) {
    let half = usize::try_from(bytes / 2).unwrap_or(usize::MAX);
    ALLOWED.fetch_min(half, Ordering::Relaxed);
}

/// Plans a statement: calls that give large values stay calls.
pub fn planning<T>(work: impl FnOnce() -> T) -> T {
    let before = PLANNING.replace(true);
    let done = work();
    PLANNING.set(before);
    done
}

/// Whether a value of so many bytes may be made. `None`: more than can be counted.
pub fn check(bytes: Option<usize>) -> SqlResult<()> {
    let Some(bytes) = bytes.filter(|bytes| *bytes <= LONGEST) else {
        return Err(too_long());
    };
    if PLANNING.get() && bytes > LARGEST_CONSTANT {
        return Err(SqlError::internal("a large value is not computed while planning"));
    }
    let allowed = ALLOWED.load(Ordering::Relaxed);
    if bytes > allowed {
        return Err(SqlError::new(SqlState::OUT_OF_MEMORY, "out of memory").detail(format!(
            "A value of {bytes} bytes is more than the {allowed} that --memory-limit lets one take."
        )));
    }
    Ok(())
}

/// Whether the values of a batch may take so many bytes together.
pub(crate) fn check_batch(bytes: usize) -> SqlResult<()> {
    let allowed = ALLOWED.load(Ordering::Relaxed);
    if bytes > allowed {
        return Err(SqlError::new(SqlState::OUT_OF_MEMORY, "out of memory").detail(format!(
            "The values of a batch of rows take {bytes} bytes, more than the {allowed} that \
             --memory-limit lets them."
        )));
    }
    Ok(())
}

/// Bytes of a value in memory, about.
pub(crate) fn of(value: &Datum) -> usize {
    size_of::<Datum>()
        + match value {
            Datum::Text(text) => text.len(),
            Datum::Bytea(raw) => raw.len(),
            Datum::Numeric(value) => value.heap_bytes(),
            Datum::Array(array) => array.values.iter().map(of).sum(),
            _ => 0,
        }
}

/// The same of a constant that was made all the same.
pub(crate) fn check_constant(value: &ColumnarValue) -> SqlResult<()> {
    match value {
        ColumnarValue::Scalar(scalar) if PLANNING.get() => check(Some(scalar.size())),
        _ => Ok(()),
    }
}

pub(crate) fn too_long() -> SqlError {
    SqlError::new(SqlState::PROGRAM_LIMIT_EXCEEDED, "requested length too large")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_numerics_are_counted() {
        let of_text = |text: &str| of(&Datum::Numeric(text.parse().unwrap()));
        assert_eq!(of_text("1.5"), size_of::<Datum>());
        assert!(of_text(&format!("1{}", "0".repeat(10_000))) > 4_000);
    }

    #[test]
    fn planning_makes_no_large_constants() {
        assert!(check(Some(LARGEST_CONSTANT + 1)).is_ok());
        planning(|| {
            assert!(check(Some(LARGEST_CONSTANT)).is_ok());
            assert!(check(Some(LARGEST_CONSTANT + 1)).is_err());
            planning(|| ());
            assert!(check(Some(LARGEST_CONSTANT + 1)).is_err());
        });
        assert!(check(Some(LARGEST_CONSTANT + 1)).is_ok());
        for bytes in [Some(LONGEST + 1), None] {
            assert_eq!(check(bytes).unwrap_err().state(), SqlState::PROGRAM_LIMIT_EXCEEDED);
        }
    }
}
