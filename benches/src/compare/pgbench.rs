//! Running pgbench, prepared, with a script of our own.

use std::path::Path;
use std::time::Duration;

use super::Error;
use super::figures::Run;
use super::process;
use super::servers::Server;

/// Threads of pgbench: more would take what the server needs.
const THREADS: u32 = 2;

/// Runs the script for a while and gives what came of it.
pub fn run(
    server: &Server,
    script: &Path,
    clients: u32,
    seconds: u64,
    extra: &[&str],
) -> Result<Run, Error> {
    let before = server.usage();
    let mut command = server.client_program("pgbench");
    command
        .args(["--no-vacuum", "--protocol=prepared", "--max-tries=100"])
        .args(["-c", &clients.to_string(), "-j", &THREADS.min(clients).to_string()])
        .args(["-T", &seconds.to_string()])
        .args(extra)
        .arg("-f")
        .arg(script);
    let text = process::output(&mut command)?;
    let after = server.usage();
    let outcome = parse(&text)
        .ok_or_else(|| Error::Program { program: "pgbench".into(), output: text.clone() })?;
    if outcome.failed > 0 {
        let output = format!("{} transactions failed\n{text}", outcome.failed);
        return Err(Error::Program { program: "pgbench".into(), output });
    }
    Ok(Run {
        operations: outcome.transactions,
        elapsed: Duration::from_secs_f64(outcome.transactions as f64 / outcome.rate.max(1e-9)),
        latency: outcome.latency,
        cpu: after.cpu.saturating_sub(before.cpu),
        memory: after.memory,
    })
}

struct Outcome {
    transactions: u64,
    failed: u64,
    /// Transactions a second, without the time to connect.
    rate: f64,
    latency: Duration,
}

fn parse(text: &str) -> Option<Outcome> {
    let after = |label: &str| {
        let line = text.lines().find(|line| line.starts_with(label))?;
        line[label.len()..].split([' ', '/', '(']).find(|word| !word.is_empty())
    };
    let latency: f64 = after("latency average = ")?.parse().ok()?;
    Some(Outcome {
        transactions: after("number of transactions actually processed: ")?.parse().ok()?,
        failed: after("number of failed transactions: ").and_then(|n| n.parse().ok()).unwrap_or(0),
        rate: after("tps = ")?.parse().ok()?,
        latency: Duration::from_secs_f64(latency / 1e3),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_pgbench_prints_is_understood() {
        let text = "pgbench (15.18)\n\
            number of transactions actually processed: 1234\n\
            number of failed transactions: 2 (0.162%)\n\
            latency average = 0.250 ms\n\
            initial connection time = 3.4 ms\n\
            tps = 4000.5 (without initial connection time)\n";
        let outcome = parse(text).unwrap();
        assert_eq!((outcome.transactions, outcome.failed), (1234, 2));
        assert_eq!(outcome.latency, Duration::from_micros(250));
        assert!((outcome.rate - 4000.5).abs() < 1e-9);
        assert!(parse("connection refused").is_none());
    }
}
