//! Everything that needs running clusters, as one binary: each more would link DataFusion again.

mod bad_input;
mod command_line;
mod coordinators;
mod crash;
mod differential;
mod drivers;
mod explain;
mod house;
mod lab;
mod protocol;
mod random_queries;
mod resources;
mod slt;
mod tpch;
mod unique;
