//! What is stored, read from any bytes: for fuzzing, and for the test that does a little of it.
//!
//! Each function takes bytes and panics where a promise does not hold: reading yields values or an
//! error, never a panic, and what was read is written and read again as the same. Checksums are
//! made right first ([`segment`], [`log`]), so that what is behind them is reached.

#[cfg(test)]
mod allocations;
mod input;
mod keys;
mod log;
mod segment;

pub use keys::keys;
pub use log::log;
pub use segment::segment;

#[cfg(test)]
mod tests;
