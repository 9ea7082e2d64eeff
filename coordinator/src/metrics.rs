//! A coordinator in numbers.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use satsuma_common::prometheus::Exposition;

use crate::catalog::MovePhase;
use crate::cluster::Cluster;

/// Upper bounds of the buckets of statement times, in seconds.
const BOUNDS: [f64; 12] =
    [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0, 30.0];

/// Statements since the start.
#[derive(Debug, Default)]
pub struct StatementCounters {
    failed: AtomicU64,
    micros: AtomicU64,
    /// Per bucket, and at the end what is above all.
    buckets: [AtomicU64; BOUNDS.len() + 1],
}

impl StatementCounters {
    pub fn record(&self, took: Duration, failed: bool) {
        let seconds = took.as_secs_f64();
        let bucket = BOUNDS.iter().position(|bound| seconds <= *bound).unwrap_or(BOUNDS.len());
        self.buckets[bucket].fetch_add(1, Ordering::Relaxed);
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        self.micros.fetch_add(micros, Ordering::Relaxed);
        if failed {
            self.failed.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn render(&self, metrics: &mut Exposition) {
        let name = "satsuma_statement_seconds";
        metrics.family(name, "Time of statements until their first row", "histogram");
        let bucket = format!("{name}_bucket");
        let mut count = 0;
        for (bound, found) in BOUNDS.iter().zip(&self.buckets) {
            count += found.load(Ordering::Relaxed);
            metrics.sample(&bucket, &[("le", &bound.to_string())], count as f64);
        }
        count += self.buckets[BOUNDS.len()].load(Ordering::Relaxed);
        metrics.sample(&bucket, &[("le", "+Inf")], count as f64);
        let seconds = self.micros.load(Ordering::Relaxed) as f64 / 1e6;
        metrics.sample(&format!("{name}_sum"), &[], seconds);
        metrics.sample(&format!("{name}_count"), &[], count as f64);
        let failed = self.failed.load(Ordering::Relaxed);
        metrics.counter("satsuma_statements_failed_total", "Statements that failed", failed);
    }
}

/// Whether this coordinator can serve: it knows a leader.
pub fn is_ready(cluster: &Cluster) -> bool {
    let is_led = cluster.catalog.leadership().leader.is_some();
    is_led && cluster.catalog.snapshot().is_bootstrapped() && cluster.catalog.check_member().is_ok()
}

/// What Prometheus scrapes.
pub fn render(cluster: &Cluster) -> String {
    let state = cluster.catalog.snapshot();
    let leadership = cluster.catalog.leadership();
    let mut metrics = Exposition::default();
    cluster.statements.render(&mut metrics);
    let sessions = cluster.sessions.entries();
    let active = sessions.iter().filter(|session| session.state == "active").count();
    metrics.gauge("satsuma_sessions", "Connected sessions", sessions.len() as f64);
    metrics.gauge("satsuma_sessions_active", "Sessions with a statement at work", active as f64);
    metrics.gauge(
        "satsuma_raft_is_leader",
        "1 where this coordinator leads the others",
        u32::from(leadership.is_self),
    );
    metrics.gauge("satsuma_raft_term", "Term of the leader", leadership.term as f64);
    metrics.gauge("satsuma_catalog_version", "Version of the catalog", state.version() as f64);
    metrics.gauge("satsuma_tables", "Tables", state.tables().count() as f64);

    let sizes = cluster.sizes();
    metrics.family("satsuma_worker_active", "1 where a worker takes part", "gauge");
    for node in state.workers() {
        let address = format!("{}:{}", node.host, node.port);
        let active = u32::from(node.is_active);
        metrics.sample("satsuma_worker_active", &[("node", &address)], active);
    }
    metrics.family(
        "satsuma_worker_reachable",
        "1 where a worker answers this coordinator",
        "gauge",
    );
    for node in state.workers() {
        let address = format!("{}:{}", node.host, node.port);
        let answers = u32::from(cluster.has_answered(node.id));
        metrics.sample("satsuma_worker_reachable", &[("node", &address)], answers);
    }
    metrics.family("satsuma_worker_shard_groups", "Shard groups on a worker", "gauge");
    for node in state.workers() {
        let address = format!("{}:{}", node.host, node.port);
        let held = state.groups().filter(|group| group.placement(node.id).is_some()).count();
        metrics.sample("satsuma_worker_shard_groups", &[("node", &address)], held as f64);
    }
    metrics.family("satsuma_worker_bytes", "Bytes of shards on a worker", "gauge");
    for node in state.workers() {
        let address = format!("{}:{}", node.host, node.port);
        let bytes: u64 =
            sizes.iter().filter(|((_, at), _)| *at == node.id).map(|(_, size)| size.bytes).sum();
        metrics.sample("satsuma_worker_bytes", &[("node", &address)], bytes as f64);
    }
    metrics.family("satsuma_moves", "Moves of shard groups by phase", "gauge");
    for (phase, label) in [
        (MovePhase::Copying, "copying"),
        (MovePhase::CatchingUp, "catching_up"),
        (MovePhase::Switching, "switching"),
        (MovePhase::Switched, "switched"),
    ] {
        let count = state.moves().filter(|movement| movement.phase == phase).count();
        metrics.sample("satsuma_moves", &[("phase", label)], count as f64);
    }
    metrics.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_add_up() {
        let counters = StatementCounters::default();
        counters.record(Duration::from_micros(700), false);
        counters.record(Duration::from_millis(3), true);
        counters.record(Duration::from_secs(100), false);
        let mut metrics = Exposition::default();
        counters.render(&mut metrics);
        let text = metrics.finish();
        for line in [
            "satsuma_statement_seconds_bucket{le=\"0.0005\"} 0",
            "satsuma_statement_seconds_bucket{le=\"0.001\"} 1",
            "satsuma_statement_seconds_bucket{le=\"30\"} 2",
            "satsuma_statement_seconds_bucket{le=\"+Inf\"} 3",
            "satsuma_statement_seconds_count 3",
            "satsuma_statements_failed_total 1",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
        }
    }
}
