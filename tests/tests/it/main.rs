//! Everything that needs running clusters, as one binary: each more would link DataFusion again.

mod bad_input;
mod command_line;
mod coordinators;
mod crash;
mod differential;
mod drivers;
mod house;
mod key_path;
mod lab;
mod protocol;
mod slt;
mod unique;
