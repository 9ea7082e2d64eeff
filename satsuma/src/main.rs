//! `satsuma`: the program for people.

use std::process::ExitCode;

use satsuma_cli::backup::{BackupOptions, RestoreOptions};
use satsuma_cli::options::UpOptions;
use satsuma_cli::shell::ShellOptions;
use satsuma_cli::status::StatusOptions;
use satsuma_cli::{backup, process, shell, status, up};

#[derive(clap::Parser)]
#[command(name = "satsuma", version, about = "A distributed SQL database")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand)]
enum Command {
    /// Run a cluster of one coordinator and some workers in this process
    Up(Box<UpOptions>),
    /// Send SQL to a cluster over gRPC
    Sql(ShellOptions),
    /// Show a cluster's nodes, tables and shards
    Status(StatusOptions),
    /// Copy a whole cluster, as it is at one moment, to a directory
    Backup(BackupOptions),
    /// Make data directories from a backup
    Restore(RestoreOptions),
}

fn main() -> ExitCode {
    let result = match process::parse::<Arguments>("satsuma") {
        Err(code) => return code,
        Ok(Arguments { command: Command::Up(options) }) => up::run(*options),
        Ok(Arguments { command: Command::Sql(options) }) => shell::run(options),
        Ok(Arguments { command: Command::Status(options) }) => status::run(&options),
        Ok(Arguments { command: Command::Backup(options) }) => backup::backup(&options),
        Ok(Arguments { command: Command::Restore(options) }) => backup::restore(&options),
    };
    process::exit("satsuma", result)
}
