//! A coordinator: clients connect here.

use std::process::ExitCode;

use satsuma_cli::options::CoordinatorOptions;
use satsuma_cli::process;

#[derive(clap::Parser)]
#[command(
    name = "coordinator",
    version,
    about = "A Satsuma coordinator: serves clients, plans queries, keeps the catalog"
)]
struct Arguments {
    #[command(flatten)]
    options: CoordinatorOptions,
}

fn main() -> ExitCode {
    match process::parse::<Arguments>("coordinator") {
        Ok(arguments) => {
            process::exit("coordinator", satsuma_cli::coordinator::run(arguments.options))
        }
        Err(code) => code,
    }
}
