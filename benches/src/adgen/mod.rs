//! `adgen`: the ad-analytics data set, the same bytes for the same options on every machine.
//!
//! ```text
//! companies <- campaigns <- ads <- clicks, impressions      geo_ips covers every user_ip
//! page <- event                                             tenants are the companies
//! ```
//!
//! Every foreign key holds, and `ads.clicks_count` and `impressions_count` are the true counts,
//! so that a loaded data set can be checked against itself. A few large tenants own most rows
//! (Zipf), as in real multi-tenant data. Where there are enough rows, company 5 is a large one,
//! owns ad 290 and tenant 6 has pages under `/blog`: the tutorial asks for exactly these.
//!
//! Times are relative to `--now`, by default the fixed [`DEFAULT_NOW`]. A query that compares
//! with `now()` needs `--now now`. No event is within four hours of one week old, so that
//! "the past week" has the same answer all through a test run.
//!
//! Not here: loading. `psql` does that, and the harness in `tests/`.

mod csv;
mod geo;
mod pages;
mod random;
mod tenants;
mod tracking;

use std::path::{Path, PathBuf};

use chrono::{DateTime, NaiveDate, NaiveDateTime, Utc};

use csv::Table;
use geo::Networks;
use tenants::Tenants;

/// The moment the data set ends at unless `--now` says otherwise.
pub const DEFAULT_NOW: &str = "2026-01-01 00:00:00";

#[derive(clap::Args, Clone, Debug)]
pub struct Options {
    /// Directory to write the CSV files to; created if missing.
    #[arg(long)]
    pub out: PathBuf,
    #[arg(long, default_value_t = 100)]
    pub companies: u64,
    #[arg(long, default_value_t = 1_000)]
    pub campaigns: u64,
    #[arg(long, default_value_t = 7_000)]
    pub ads: u64,
    #[arg(long, default_value_t = 200_000)]
    pub clicks: u64,
    #[arg(long, default_value_t = 400_000)]
    pub impressions: u64,
    #[arg(long, default_value_t = 1_000)]
    pub geo_ips: u64,
    #[arg(long, default_value_t = 20_000)]
    pub events: u64,
    #[arg(long, default_value_t = 2_000)]
    pub pages: u64,
    /// Another seed is another data set of the same shape.
    #[arg(long, default_value_t = 5)]
    pub seed: u64,
    /// The newest moment in the data, UTC: `2026-01-01 00:00:00`, `2026-01-01`, or `now`.
    #[arg(long, default_value = DEFAULT_NOW, value_parser = parse_now)]
    pub now: NaiveDateTime,
    /// No progress on stderr.
    #[arg(long)]
    pub quiet: bool,
}

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("{0} need {1}: give --{1} a value above 0")]
    Needs(&'static str, &'static str),
    #[error("--{0} can be at most {1}")]
    TooMany(&'static str, u64),
    #[error("{}: {source}", path.display())]
    Io { path: PathBuf, source: std::io::Error },
}

fn parse_now(text: &str) -> Result<NaiveDateTime, String> {
    if text == "now" {
        return Ok(DateTime::<Utc>::from(std::time::SystemTime::now()).naive_utc());
    }
    let text = text.trim_end_matches('Z').replace('T', " ");
    NaiveDateTime::parse_from_str(&text, "%Y-%m-%d %H:%M:%S")
        .or_else(|_| NaiveDate::parse_from_str(&text, "%Y-%m-%d").map(|day| day.into()))
        .map_err(|_| "give YYYY-MM-DD, 'YYYY-MM-DD HH:MM:SS' or now".into())
}

impl Options {
    fn validate(&self) -> Result<(), Error> {
        let needs = [
            ("campaigns", self.campaigns, "companies", self.companies),
            ("ads", self.ads, "campaigns", self.campaigns),
            ("clicks", self.clicks, "ads", self.ads),
            ("impressions", self.impressions, "ads", self.ads),
            ("pages", self.pages, "companies", self.companies),
            ("events", self.events, "pages", self.pages),
        ];
        for (child, children, parent, parents) in needs {
            if children > 0 && parents == 0 {
                return Err(Error::Needs(child, parent));
            }
        }
        // Parents live in memory, children are streamed.
        for (name, value) in [
            ("companies", self.companies),
            ("campaigns", self.campaigns),
            ("ads", self.ads),
            ("pages", self.pages),
        ] {
            if value > 100_000_000 {
                return Err(Error::TooMany(name, 100_000_000));
            }
        }
        if self.geo_ips > geo::MAX_NETWORKS {
            return Err(Error::TooMany("geo-ips", geo::MAX_NETWORKS));
        }
        Ok(())
    }

    /// Microseconds since 1970 of `--now`.
    fn now_us(&self) -> i64 {
        self.now.and_utc().timestamp_micros()
    }

    fn table(&self, name: &'static str, rows: u64) -> Result<Table, Error> {
        Table::create(&self.out, name, rows, !self.quiet)
    }
}

/// Writes all eight files.
pub fn run(options: &Options) -> Result<(), Error> {
    options.validate()?;
    create_dir(&options.out)?;
    let tenants = Tenants::plan(options);
    let networks = Networks::plan(options.geo_ips, options.seed);
    tenants.write(options)?;
    tracking::write_clicks(options, &tenants, &networks)?;
    tracking::write_impressions(options, &tenants, &networks)?;
    networks.write(options)?;
    pages::write(options)
}

fn create_dir(path: &Path) -> Result<(), Error> {
    std::fs::create_dir_all(path).map_err(|source| Error::Io { path: path.into(), source })
}

#[cfg(test)]
mod tests;
