//! Data and measurements: everything about speed that is not a test.
//!
//! `adgen` writes the data set that the tutorial, the tests and the benchmarks share; `compare`
//! starts Satsuma and PostgreSQL and measures them side by side; `queries` times the lab's
//! questions on servers that are up.

mod adgen;
mod compare;
mod queries;

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
    /// Start Satsuma and PostgreSQL here and measure them in turn.
    Compare(compare::Options),
    /// Time the lab's queries on several servers that have the data loaded.
    Queries(queries::Options),
}

fn main() -> ExitCode {
    let outcome = match Cli::parse().command {
        Command::Adgen(options) => adgen::run(&options).map_err(|error| error.to_string()),
        Command::Compare(options) => compare::run(&options).map_err(|error| error.to_string()),
        Command::Queries(options) => queries::run(&options).map_err(|error| error.to_string()),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("satsuma-bench: {error}");
            ExitCode::FAILURE
        }
    }
}
