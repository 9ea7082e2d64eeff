//! Everything that needs running clusters, as one binary: each more would link DataFusion again.

mod anomalies;
mod bad_input;
mod command_line;
mod coordinators;
mod copy_formats;
mod crash;
mod definitions;
mod differential;
mod drivers;
mod explain;
mod house;
mod isolation;
mod key_path;
mod lab;
mod long_chains;
mod moves;
mod operations;
mod parameters;
mod protocol;
mod random_queries;
mod resources;
mod sessions;
mod shard_names;
mod slt;
mod tpch;
mod unique;
