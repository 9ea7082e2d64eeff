//! A worker: holds shards and runs what coordinators send.

use std::process::ExitCode;

use satsuma_cli::options::WorkerOptions;
use satsuma_cli::process;

#[derive(clap::Parser)]
#[command(name = "worker", version, about = "A Satsuma worker: stores shards, runs fragments")]
struct Arguments {
    #[command(flatten)]
    options: WorkerOptions,
}

fn main() -> ExitCode {
    match process::parse::<Arguments>("worker") {
        Ok(arguments) => process::exit("worker", satsuma_cli::worker::run(arguments.options)),
        Err(code) => code,
    }
}
