//! `compare`: Satsuma and PostgreSQL on this machine, on the same data, in turn.
//!
//! ```text
//! servers     PostgreSQL 15 | coordinator and two workers | `satsuma up`     all durable
//!             DuckDB beside them, for the questions of `analytics` and `tpch`
//! parts       transactions, mixed, loading, analytics, tpch: workloads, each run on every server, round by round
//! figures     median of the rounds, CPU of the server per operation, memory, ratio to PostgreSQL
//! report      a table on the way, then JSON, Markdown and a chart in the output directory
//! ```
//!
//! Every workload ends with a check that the servers hold what they should: a wrong answer is no
//! measurement. A server that is not installed is left out and named.

mod advertising;
mod analytics;
mod answers;
mod duckdb;
mod figures;
mod loading;
mod mixed;
mod pgbench;
mod process;
mod report;
mod servers;
mod tpch;
mod transactions;

use std::path::{Path, PathBuf};
use std::time::Duration;

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
    /// Size of the data: TPC-H's scale factor (0.01 or more: with less, keys repeat), and for `analytics` and `loading` as a multiple of
    /// 2 million clicks and 4 million impressions.
    #[arg(long, default_value_t = 1.0, value_parser = positive)]
    pub scale: f64,
    /// Seconds after which a query of `tpch` is given up.
    #[arg(long, default_value_t = 300, value_parser = clap::value_parser!(u64).range(1..))]
    pub timeout: u64,
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
    /// TPC-H's 22 queries, on tables spread in three ways.
    Tpch,
}

fn positive(text: &str) -> Result<f64, String> {
    let number: f64 = text.parse().map_err(|_| "not a number".to_owned())?;
    let is_size = number.is_finite() && number > 0.0;
    if is_size { Ok(number) } else { Err("not a size".into()) }
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
    #[error("{server}: no answer in time")]
    TimedOut { server: &'static str },
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

    fn limit(&self) -> Duration {
        Duration::from_secs(self.timeout)
    }

    /// Where a data set's files are, and whether they are there: they stay for the next time.
    fn files_directory(&self, name: &str) -> (PathBuf, bool) {
        let parent = self.data_dir.clone().unwrap_or_else(std::env::temp_dir);
        let directory = parent.join(format!("satsuma-bench-{name}-{}", self.scale));
        let complete = directory.join(COMPLETE).is_file();
        (directory, complete)
    }

    fn files_are_complete(&self, directory: &Path) -> Result<(), Error> {
        std::fs::write(directory.join(COMPLETE), "").map_err(Error::io("the data set"))
    }
}

/// A file that is written last.
const COMPLETE: &str = "complete";

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
        [] => &[Part::Transactions, Part::Mixed, Part::Loading, Part::Analytics, Part::Tpch],
        chosen => chosen,
    };
    for part in parts {
        match part {
            Part::Transactions => transactions::run(&mut lineup)?,
            Part::Mixed => mixed::run(&mut lineup)?,
            Part::Analytics => analytics::run(&mut lineup)?,
            Part::Loading => loading::run(&mut lineup)?,
            Part::Tpch => tpch::run(&mut lineup)?,
        }
    }
    report::write(&lineup.figures, &options.out)?;
    println!("\nThe report is in {}.", options.out.display());
    lineup.figures.verdict()
}
