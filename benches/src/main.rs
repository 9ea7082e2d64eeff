//! Data and measurements: everything about speed that is not a test.
//!
//! `adgen` writes the data set that the tutorial, the tests and the benchmarks share.

mod adgen;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(name = "satsuma-bench", about = "Data generator and benchmarks for Satsuma")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Write the ad-analytics data set as CSV files that `\copy ... with csv` loads.
    Adgen(adgen::Options),
}

fn main() -> ExitCode {
    let outcome = match Cli::parse().command {
        Command::Adgen(options) => adgen::run(&options),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("satsuma-bench: {error}");
            ExitCode::FAILURE
        }
    }
}
