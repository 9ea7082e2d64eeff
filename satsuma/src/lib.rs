//! The command lines: `satsuma up`, `sql` and `status` for people, and the programs
//! `coordinator` and `worker` for clusters of separate processes.
//!
//! | file | what |
//! |---|---|
//! | options.rs | flags, environment, TOML file, defaults: one definition for each setting |
//! | process.rs | logging, signals, the last line of a failed start |
//! | data_dir.rs | whose a data directory is |
//! | coordinator.rs, worker.rs, up.rs | options into running nodes |
//! | shell/ | the SQL shell over gRPC |
//! | status.rs | what the cluster looks like now |

pub mod backup;
pub mod coordinator;
pub mod data_dir;
pub mod monitor;
pub mod options;
pub mod process;
pub mod shell;
pub mod status;
pub mod up;
pub mod worker;
