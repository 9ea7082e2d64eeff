//! A worker in numbers.

use satsuma_common::prometheus::Exposition;

use crate::local::LocalWorker;

/// What Prometheus scrapes.
pub fn render(worker: &LocalWorker) -> String {
    let stats = worker.engine().stats();
    let mut metrics = Exposition::default();
    let gauges: [(&str, &str, u64); 10] = [
        ("satsuma_shards", "Shards on this worker", stats.shards as u64),
        ("satsuma_damaged_shards", "Shards that refuse for damage", stats.damaged as u64),
        ("satsuma_delta_bytes", "Rows in memory that are not sealed yet", stats.delta_bytes),
        ("satsuma_segments", "Sealed segments", stats.segments as u64),
        ("satsuma_segment_bytes", "Bytes of sealed segments", stats.segment_bytes),
        ("satsuma_open_transactions", "Open and prepared transactions", stats.transactions as u64),
        ("satsuma_locks", "Locks that are held", stats.locks as u64),
        ("satsuma_wal_files", "Files of the write-ahead log", stats.wal.files),
        ("satsuma_wal_lsn", "Last durable record of the write-ahead log", worker.engine().lsn().0),
        ("satsuma_running_fragments", "Queries at work", worker.active_queries() as u64),
    ];
    for (name, help, value) in gauges {
        metrics.gauge(name, help, value as f64);
    }
    let prepared = worker.engine().prepared().len();
    metrics.gauge(
        "satsuma_prepared_transactions",
        "Prepared transactions without an outcome",
        prepared as f64,
    );
    let wal = stats.wal;
    metrics.counter("satsuma_wal_records_total", "Records written to the log", wal.records);
    metrics.counter("satsuma_wal_bytes_total", "Bytes written to the log", wal.bytes);
    metrics.family("satsuma_wal_sync_seconds", "Time in fdatasync of the log", "summary");
    metrics.sample("satsuma_wal_sync_seconds_sum", &[], wal.sync_micros as f64 / 1e6);
    metrics.sample("satsuma_wal_sync_seconds_count", &[], wal.syncs as f64);
    metrics.family(
        "satsuma_wal_wait_seconds",
        "Time from a commit's record being queued until it is durable",
        "summary",
    );
    metrics.sample("satsuma_wal_wait_seconds_sum", &[], wal.wait_micros as f64 / 1e6);
    metrics.sample("satsuma_wal_wait_seconds_count", &[], wal.waits as f64);
    let work = stats.work;
    metrics.counter("satsuma_seals_total", "Deltas that became segments", work.seals);
    metrics.counter("satsuma_merges_total", "Merges of segments", work.merges);
    metrics.counter("satsuma_merged_rows_total", "Rows written by merges", work.merged_rows);
    metrics.counter("satsuma_checkpoints_total", "Checkpoints", work.checkpoints);
    metrics.finish()
}
