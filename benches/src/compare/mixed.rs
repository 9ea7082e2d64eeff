//! Part `mixed`: short transactions while one client asks questions about all of the data.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::figures::Run;
use super::servers::Server;
use super::{Error, Lineup, pgbench, process, transactions};

const PART: &str = "mixed";
const CLIENTS: u32 = 8;
const SCRIPT: &str = "\\set tenant random(1, 1000)\n\\set id random(1, 100)\n\\set delta 1\n\
    UPDATE accounts SET balance = balance + :delta WHERE tenant = :tenant AND id = :id;\n";
const QUESTION: &str = "SELECT tenant % 10, count(*), sum(balance), max(name) FROM accounts \
    GROUP BY 1 ORDER BY 1";

pub fn run(lineup: &mut Lineup<'_>) -> Result<(), Error> {
    let directory = TempDir::new().map_err(Error::io("a directory for scripts"))?;
    let script = directory.path().join("update.sql");
    std::fs::write(&script, SCRIPT).map_err(Error::io("a script"))?;
    for server in &lineup.servers {
        let there = lineup.runtime.block_on(server.value("SELECT count(*) FROM accounts"));
        if there.is_err() {
            lineup.runtime.block_on(transactions::load(server))?;
        }
    }
    for _ in 0..lineup.options.rounds.max(1) {
        for server in &lineup.servers {
            let logs = TempDir::new_in(directory.path()).map_err(Error::io("a directory"))?;
            let (run, updates, questions) = both(lineup, server, &script, logs.path())?;
            println!(
                "{:18} updates {}   questions {}",
                server.name(),
                percentiles(updates),
                percentiles(questions.clone())
            );
            lineup.figures.add(PART, "updates", CLIENTS, server.kind, run);
            let asked = Run {
                operations: questions.len() as u64,
                elapsed: Duration::from_secs(lineup.options.seconds),
                latency: questions.iter().sum::<Duration>() / questions.len().max(1) as u32,
                ..run
            };
            lineup.figures.add(PART, "questions", 1, server.kind, asked);
        }
    }
    super::report::print(&lineup.figures, PART, "updates", CLIENTS);
    super::report::print(&lineup.figures, PART, "questions", 1);
    Ok(())
}

/// Updates by pgbench, and questions beside them; the latencies of both.
fn both(
    lineup: &Lineup<'_>,
    server: &Server,
    script: &Path,
    logs: &Path,
) -> Result<(Run, Vec<Duration>, Vec<Duration>), Error> {
    let stop = Arc::new(AtomicBool::new(false));
    let client = lineup.runtime.block_on(server.connect())?;
    let asking = {
        let stop = stop.clone();
        lineup.runtime.spawn(async move {
            let mut latencies = Vec::new();
            while !stop.load(Ordering::Relaxed) {
                let started = Instant::now();
                client.query(QUESTION, &[]).await?;
                latencies.push(started.elapsed());
            }
            Ok(latencies)
        })
    };
    let prefix = format!("--log-prefix={}", logs.join("log").display());
    let run = pgbench::run(server, script, CLIENTS, lineup.options.seconds, &["--log", &prefix]);
    stop.store(true, Ordering::Relaxed);
    let asked: Result<Vec<Duration>, tokio_postgres::Error> =
        lineup.runtime.block_on(asking).unwrap_or_else(|_| Ok(Vec::new()));
    let questions = asked.map_err(|source| server.sql(source))?;
    Ok((run?, logged(logs)?, questions))
}

/// The third column of pgbench's logs: microseconds of each transaction.
fn logged(directory: &Path) -> Result<Vec<Duration>, Error> {
    let text = process::output(
        std::process::Command::new("sh").arg("-c").arg("cat -- \"$0\"/log.*").arg(directory),
    )?;
    let micros = text.lines().filter_map(|line| line.split(' ').nth(2)?.parse().ok());
    Ok(micros.map(Duration::from_micros).collect())
}

fn percentiles(mut latencies: Vec<Duration>) -> String {
    latencies.sort();
    let at = |share: f64| {
        let index = (latencies.len() as f64 * share) as usize;
        let found = latencies.get(index.min(latencies.len().saturating_sub(1)));
        found.map_or(0.0, |latency| latency.as_secs_f64() * 1e3)
    };
    format!(
        "{} (p50 {:.2} ms, p95 {:.2} ms, p99 {:.2} ms)",
        latencies.len(),
        at(0.5),
        at(0.95),
        at(0.99)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_taken_from_the_sorted_latencies() {
        let latencies = (1..=100).rev().map(Duration::from_millis).collect();
        assert_eq!(percentiles(latencies), "100 (p50 51.00 ms, p95 96.00 ms, p99 100.00 ms)");
        assert_eq!(percentiles(Vec::new()), "0 (p50 0.00 ms, p95 0.00 ms, p99 0.00 ms)");
    }
}
