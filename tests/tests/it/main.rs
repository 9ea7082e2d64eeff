//! Everything that needs running clusters, as one binary: each more would link DataFusion again.

mod anomalies;
mod bad_input;
mod command_line;
mod coordinators;
mod crash;
mod differential;
mod drivers;
mod house;
mod isolation;
mod lab;
mod protocol;
mod sessions;
mod slt;
mod unique;
