//! `queries`: the lab's queries on servers that are up and have the data, side by side.
//!
//! Each query runs on every target in turn, so that a busy moment of the machine hits all of
//! them; the fastest and the median run are told. The answers must have the same number of rows
//! on every target, or the line says so: a wrong answer is no measurement.

use std::time::{Duration, Instant};

use tokio_postgres::{Client, NoTls};

#[derive(clap::Args, Clone, Debug)]
pub struct Options {
    /// A server with the lab's data loaded, as `NAME=CONNECTION`:
    /// `--target 'satsuma=host=127.0.0.1 user=satsuma dbname=satsuma'`. The first is the measure.
    #[arg(long = "target", required = true, value_parser = parse_target)]
    pub targets: Vec<Target>,
    #[arg(long, default_value_t = 7)]
    pub runs: usize,
    /// Only queries whose name contains this.
    #[arg(long, default_value = "")]
    pub only: String,
}

#[derive(Clone, Debug)]
pub struct Target {
    name: String,
    config: tokio_postgres::Config,
}

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("{target}: {source}")]
    Connection { target: String, source: tokio_postgres::Error },
    #[error("{target}: {query}: {source}")]
    Query { target: String, query: &'static str, source: tokio_postgres::Error },
    #[error("no query has {0:?} in its name")]
    NoQuery(String),
    #[error("{0}")]
    Runtime(#[from] std::io::Error),
}

const QUERIES: &[(&str, &str)] = &[
    ("point select", "SELECT * FROM campaigns WHERE company_id = 5 AND id = 5"),
    (
        "one tenant, join and rank",
        "SELECT a.campaign_id, rank() OVER (PARTITION BY a.campaign_id ORDER BY count(*) DESC), \
         count(*) AS n, a.id FROM ads a JOIN impressions i \
         ON i.company_id = a.company_id AND i.ad_id = a.id \
         WHERE a.company_id = 5 GROUP BY a.campaign_id, a.id ORDER BY a.campaign_id, n DESC",
    ),
    ("count of all", "SELECT count(*) FROM impressions"),
    (
        "sum by tenant",
        "SELECT company_id, sum(cost_per_click_usd) FROM clicks GROUP BY company_id ORDER BY 2 DESC",
    ),
    (
        "group by a text column",
        "SELECT site_url, count(*) FROM impressions GROUP BY site_url ORDER BY 2 DESC LIMIT 10",
    ),
    (
        "jsonb field of all",
        "SELECT user_data->>'location', count(*) FROM clicks GROUP BY 1 ORDER BY 2 DESC",
    ),
    (
        "co-located join of all",
        "SELECT a.company_id, count(*) FROM ads a JOIN clicks c \
         ON c.company_id = a.company_id AND c.ad_id = a.id GROUP BY a.company_id",
    ),
    (
        "join on another column",
        "SELECT c.cost_model, count(*) FROM campaigns c JOIN ads a ON a.campaign_id = c.id \
         GROUP BY c.cost_model",
    ),
    ("count of distinct values", "SELECT count(DISTINCT user_ip) FROM impressions"),
    (
        "networks of one tenant",
        "SELECT c.id, latlon FROM geo_ips, clicks c WHERE addrs >> c.user_ip AND c.company_id = 5",
    ),
];

fn parse_target(text: &str) -> Result<Target, String> {
    let (name, connection) = text.split_once('=').ok_or("give NAME=CONNECTION")?;
    let config = connection.parse().map_err(|error| format!("{connection}: {error}"))?;
    Ok(Target { name: name.into(), config })
}

pub fn run(options: &Options) -> Result<(), Error> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(compare(options))
}

async fn compare(options: &Options) -> Result<(), Error> {
    let mut clients = Vec::new();
    for target in &options.targets {
        clients.push((target.name.as_str(), connect(target).await?));
    }
    let chosen: Vec<_> =
        QUERIES.iter().filter(|(name, _)| name.contains(options.only.as_str())).collect();
    if chosen.is_empty() {
        return Err(Error::NoQuery(options.only.clone()));
    }
    let heads: String = clients.iter().map(|(name, _)| format!("{name:>26}")).collect();
    println!("{:28}{heads}", "median (fastest), ms");
    for (name, sql) in chosen {
        let mut times = vec![Vec::new(); clients.len()];
        let mut rows = vec![0; clients.len()];
        for _ in 0..options.runs.max(1) {
            for (at, (target, client)) in clients.iter().enumerate() {
                let failed =
                    |source| Error::Query { target: (*target).into(), query: name, source };
                let started = Instant::now();
                rows[at] = client.query(*sql, &[]).await.map_err(failed)?.len();
                times[at].push(started.elapsed());
            }
        }
        println!("{}", line(name, &mut times, &rows));
    }
    Ok(())
}

async fn connect(target: &Target) -> Result<Client, Error> {
    let failed = |source| Error::Connection { target: target.name.clone(), source };
    let (client, connection) = target.config.connect(NoTls).await.map_err(failed)?;
    tokio::spawn(connection);
    Ok(client)
}

/// One query's line: medians, fastest runs, and each target relative to the first.
fn line(name: &str, times: &mut [Vec<Duration>], rows: &[usize]) -> String {
    let medians: Vec<f64> = times
        .iter_mut()
        .map(|runs| {
            runs.sort();
            milliseconds(runs[runs.len() / 2])
        })
        .collect();
    let cells: String = medians
        .iter()
        .zip(times.iter())
        .map(|(median, runs)| {
            let fastest = milliseconds(runs[0]);
            let ratio = median / medians[0];
            format!("{:>26}", format!("{median:.2} ({fastest:.2}) {ratio:>6.2}x"))
        })
        .collect();
    let differ = rows.windows(2).any(|pair| pair[0] != pair[1]);
    let warning = if differ { format!("  ROWS DIFFER: {rows:?}") } else { String::new() };
    format!("{name:28}{cells}{warning}")
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_tells_medians_ratios_and_wrong_rows() {
        let runs = |values: &[u64]| values.iter().map(|ms| Duration::from_millis(*ms)).collect();
        let mut times = vec![runs(&[3, 1, 2]), runs(&[9, 8, 4])];
        let text = line("a query", &mut times, &[7, 7]);
        assert!(text.contains("2.00 (1.00)   1.00x"), "{text}");
        assert!(text.contains("8.00 (4.00)   4.00x"), "{text}");
        assert!(!text.contains("DIFFER"), "{text}");
        assert!(line("a query", &mut times, &[7, 8]).contains("ROWS DIFFER: [7, 8]"));
    }

    #[test]
    fn targets_have_a_name_and_a_connection() {
        assert!(parse_target("pg=host=127.0.0.1 user=x").is_ok());
        assert!(parse_target("nothing").is_err());
        assert!(parse_target("pg=host").is_err());
    }
}
