//! Binary wire form of every type, as PostgreSQL's send and receive functions have it.
//!
//! Everything is big endian; dates and timestamps count from 2000-01-01. What a client sends is
//! checked: wrong lengths, counts and codes are `22P03`, never a panic.

mod read;
mod write;

pub use read::{append_binary, binary_input};
pub use write::{binary_output, binary_output_row};

#[cfg(test)]
mod tests;
