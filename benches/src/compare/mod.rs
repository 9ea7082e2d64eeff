//! `compare`: Satsuma and PostgreSQL on this machine, on the same data, in turn.
//!
//! ```text
//! servers     PostgreSQL 15 | coordinator and two workers | `satsuma up`     all durable
//!             DuckDB beside them, for the questions of `analytics`
//! parts       transactions, mixed, analytics, loading: workloads, each run on every server, round by round
//! figures     median of the rounds, CPU of the server per operation, memory, ratio to PostgreSQL
//! report      a table on the way, then JSON, Markdown and a chart in the output directory
//! ```
//!
//! Every workload ends with a check that the servers hold what they should: a wrong answer is no
//! measurement. A server that is not installed is left out and named.

mod advertising;
mod analytics;
mod duckdb;
mod figures;
mod loading;
mod mixed;
mod pgbench;
mod process;
mod report;
mod servers;
mod transactions;

use std::path::PathBuf;

use figures::Figures;
use servers::{Server, ServerKind};

#[derive(clap::Args, Clone, Debug)]
pub struct Options {
    /// Parts to run; all without it.
    #[arg(long, value_enum, value_delimiter = ',')]
    pub part: Vec<Part>,
    /// Servers to run them on; all without it. Ratios are to PostgreSQL.
    #[arg(long, value_enum, value_delimiter = ',')]
    pub server: Vec<ServerKind>,
    /// Only workloads whose name contains this.
    #[arg(long, default_value = "")]
    pub only: String,
    #[arg(long, default_value_t = 5)]
    pub rounds: usize,
    /// Length of one run of a workload with clients.
    #[arg(long, default_value_t = 5)]
    pub seconds: u64,
    #[arg(long, value_delimiter = ',', default_values_t = [1, 8, 32, 128])]
    pub clients: Vec<u32>,
    /// Size of the data set of `analytics` and `loading`, in percent of 2 million clicks and
    /// 4 million impressions.
    #[arg(long, default_value_t = 100)]
    pub scale: u64,
    /// Where the servers keep their data; removed afterwards.
    #[arg(long)]
    pub data_dir: Option<PathBuf>,
    /// Where the report goes.
    #[arg(long, default_value = "target/compare")]
    pub out: PathBuf,
    /// Directory of Satsuma's programs; without it they are built.
    #[arg(long)]
    pub bin_dir: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Part {
    Transactions,
    Mixed,
    Analytics,
    Loading,
}

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("{what}: {source}")]
    Io { what: String, source: std::io::Error },
    #[error("{server}: {}", told(source))]
    Sql { server: &'static str, source: tokio_postgres::Error },
    #[error("{program} failed: {output}")]
    Program { program: String, output: String },
    #[error("{server}: {workload}: {problem}")]
    Wrong { server: &'static str, workload: String, problem: String },
    #[error("{0}")]
    Unready(String),
}

/// What the server said, where it said something.
fn told(error: &tokio_postgres::Error) -> String {
    error.as_db_error().map_or_else(|| error.to_string(), ToString::to_string)
}

impl Error {
    fn io(what: impl Into<String>) -> impl FnOnce(std::io::Error) -> Self {
        let what = what.into();
        move |source| Self::Io { what, source }
    }
}

impl Options {
    fn wants_server(&self, kind: ServerKind) -> bool {
        self.server.is_empty() || self.server.contains(&kind)
    }
}

/// What every part works with.
pub struct Lineup<'a> {
    pub options: &'a Options,
    pub runtime: &'a tokio::runtime::Runtime,
    pub servers: Vec<Server>,
    pub figures: Figures,
}

impl Lineup<'_> {
    fn wants(&self, workload: &str) -> bool {
        workload.contains(self.options.only.as_str())
    }
}

pub fn run(options: &Options) -> Result<(), Error> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .map_err(Error::io("runtime"))?;
    let servers = servers::start(options, &runtime)?;
    let mut lineup = Lineup { options, runtime: &runtime, servers, figures: Figures::default() };
    let parts = match options.part.as_slice() {
        [] => &[Part::Transactions, Part::Mixed, Part::Loading, Part::Analytics],
        chosen => chosen,
    };
    for part in parts {
        match part {
            Part::Transactions => transactions::run(&mut lineup)?,
            Part::Mixed => mixed::run(&mut lineup)?,
            Part::Analytics => analytics::run(&mut lineup)?,
            Part::Loading => loading::run(&mut lineup)?,
        }
    }
    report::write(&lineup.figures, &options.out)?;
    println!("\nThe report is in {}.", options.out.display());
    Ok(())
}
