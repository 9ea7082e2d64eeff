//! `satsuma up`: a whole cluster in this process.
//!
//! The workers are called directly, without sockets. In `pg_dist_node` each has a host of
//! `localhost` and a port of its own that nobody listens on.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use satsuma_common::{NodeId, SqlError, SqlResult, SqlState};
use satsuma_coordinator::catalog::Node;
use satsuma_coordinator::membership::{self, Members};
use satsuma_coordinator::server::{Config, start};
use satsuma_coordinator::workers::{Connector, Remote};
use satsuma_proto::worker::Worker;
use satsuma_worker::{LocalWorker, Settings};

use crate::coordinator::{
    MonitoredCoordinator, max_connections, memory_limit, name, session_settings, tls_files,
};
use crate::data_dir::{self, Program};
use crate::monitor;
use crate::options::UpOptions;
use crate::process::{self, Failure};

/// Host that stands for this process in the catalog.
const HERE: &str = "localhost";
/// Port of the first worker; the others follow.
const FIRST_PORT: u16 = 9701;
const MOST_WORKERS: u16 = 64;

pub fn run(options: UpOptions) -> Result<(), Failure> {
    let options = options.with_file()?;
    process::start_logging(
        options.log.as_deref().unwrap_or("warn"),
        options.log_json.unwrap_or(false),
    )?;
    let data_dir = options.data_dir.clone().unwrap_or_else(|| PathBuf::from("satsuma-data"));
    let metrics_listen = options.metrics_listen.clone();
    data_dir::check(&data_dir, Program::Up)?;
    let count = worker_count(options.workers, workers_in(&data_dir))?;
    let config = config(&options, &data_dir)?;
    let memory = config.memory_limit as u64;
    // Short requests come to their end on the thread that read them.
    process::runtime_of(process::cores())?.block_on(up(
        config,
        &data_dir,
        count,
        memory,
        metrics_listen,
    ))
}

/// Workers that have data in the directory.
fn workers_in(data_dir: &Path) -> u16 {
    let has_data = |number: &u16| Program::Worker.was_in(&worker_directory(data_dir, *number));
    (1..=MOST_WORKERS).rev().find(has_data).unwrap_or(0)
}

/// As many as were asked for, else all that have data, and two at least. None with data is left
/// out: its shards would be missed.
fn worker_count(wanted: Option<u16>, with_data: u16) -> Result<u16, Failure> {
    match wanted.unwrap_or(with_data.max(2)) {
        count if !(1..=MOST_WORKERS).contains(&count) => {
            Err(Failure::Other(format!("--workers {count} is not in 1 to {MOST_WORKERS}")))
        }
        count if count < with_data => Err(Failure::Other(format!(
            "--workers {count}: the data directory has {with_data} workers already"
        ))),
        count => Ok(count),
    }
}

fn worker_directory(data_dir: &Path, number: u16) -> PathBuf {
    data_dir.join(format!("worker-{number}"))
}

fn config(options: &UpOptions, data_dir: &Path) -> Result<Config, Failure> {
    let host = options.host.as_deref().unwrap_or("127.0.0.1");
    let host = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
    Ok(Config {
        node: NodeId(1),
        data_dir: data_dir.join("coordinator"),
        pg_listen: format!("{host}:{}", options.pg_port.unwrap_or(5432)),
        grpc_listen: format!("{host}:{}", options.grpc_port.unwrap_or(7432)),
        peers: Vec::new(),
        joins: false,
        superuser: name("--superuser", options.superuser.clone())?,
        password: options.password_file.as_deref().map(process::read_password).transpose()?,
        database: name("--database", options.database.clone())?,
        tls: tls_files(options.tls_cert.clone(), options.tls_key.clone())?,
        max_connections: max_connections(options.max_connections)?,
        memory_limit: memory_limit(options.memory_limit)?,
        settings: session_settings(options.shard_count)?,
    })
}

async fn up(
    config: Config,
    data_dir: &Path,
    count: u16,
    memory: u64,
    metrics_listen: Option<String>,
) -> Result<(), Failure> {
    let workers = open_workers(data_dir, count, memory)?;
    let coordinator = start(config, InProcess::new(&workers)).await?;
    let cluster = coordinator.cluster();
    for (port, worker) in &workers {
        membership::add(cluster, worker, HERE.to_owned(), *port, true).await?;
        // Transactions that were prepared when the process stopped ask for their outcome.
        worker.recover(Arc::new(Members(cluster.clone())));
    }
    let monitored = Arc::new(MonitoredCoordinator(cluster.clone()));
    monitor::serve(metrics_listen.as_deref(), monitored).await?;
    let pg = coordinator.pg_address();
    let (superuser, database) = cluster.first_names();
    println!("Satsuma runs here with {count} workers; data is in {}.", data_dir.display());
    println!("Connect with:");
    println!("  psql -h {} -p {} -U {superuser} {database}", pg.ip(), pg.port());
    println!("  satsuma sql --url grpc://{}", coordinator.grpc_address());
    process::print_ready(&format!("up pg={pg} grpc={}", coordinator.grpc_address()));
    process::stop_signal().await?;
    coordinator.shutdown().await?;
    for worker in workers.values() {
        worker.close();
    }
    Ok(())
}

fn open_workers(data_dir: &Path, count: u16, memory: u64) -> SqlResult<BTreeMap<u16, LocalWorker>> {
    std::fs::create_dir_all(data_dir).map_err(|error| {
        let message = format!("cannot use data directory {}: {error}", data_dir.display());
        SqlError::new(SqlState::IO_ERROR, message)
    })?;
    (1..=count)
        .map(|number| {
            let settings = Settings { memory_limit: memory, ..Settings::default() };
            let worker = LocalWorker::open(&worker_directory(data_dir, number), settings)?;
            Ok((FIRST_PORT + number - 1, worker))
        })
        .collect()
}

/// Finds the workers of this process by their port; others, added by hand, over gRPC.
struct InProcess {
    workers: BTreeMap<u16, Arc<dyn Worker>>,
}

impl InProcess {
    fn new(workers: &BTreeMap<u16, LocalWorker>) -> Self {
        let shared = |worker: &LocalWorker| Arc::new(worker.clone()) as Arc<dyn Worker>;
        Self { workers: workers.iter().map(|(port, worker)| (*port, shared(worker))).collect() }
    }
}

impl Connector for InProcess {
    fn connect(&self, node: &Node) -> SqlResult<Arc<dyn Worker>> {
        match self.workers.get(&node.port) {
            Some(worker) if node.host == HERE => Ok(worker.clone()),
            _ => Remote.connect(node),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_workers_with_data_are_started() {
        let count = |wanted, with_data| worker_count(wanted, with_data).ok();
        assert_eq!([count(None, 0), count(None, 1), count(None, 4)], [Some(2), Some(2), Some(4)]);
        assert_eq!([count(Some(1), 0), count(Some(3), 2)], [Some(1), Some(3)]);
        assert_eq!([count(Some(2), 4), count(Some(0), 0), count(Some(65), 0)], [None; 3]);
        let directory = tempfile::tempdir().unwrap();
        assert_eq!(workers_in(directory.path()), 0);
        std::fs::create_dir_all(directory.path().join("worker-3")).unwrap();
        std::fs::write(directory.path().join("worker-3/FORMAT"), "").unwrap();
        assert_eq!(workers_in(directory.path()), 3);
    }
}
