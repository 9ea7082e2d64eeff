//! Data that the tests and the benchmarks share as code; `satsuma-bench` is the program.

pub mod tpch;
