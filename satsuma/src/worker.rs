//! Runs a worker.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use satsuma_worker::server::{Config, start};
use satsuma_worker::{LocalWorker, Settings, metrics};

use crate::coordinator::memory_limit;
use crate::data_dir::{self, Program};
use crate::monitor::{self, Monitored};
use crate::options::WorkerOptions;
use crate::process::{self, Failure};

pub fn run(options: WorkerOptions) -> Result<(), Failure> {
    let options = options.with_file()?;
    process::start_logging(
        options.log.as_deref().unwrap_or("info"),
        options.log_json.unwrap_or(false),
    )?;
    let config = config(&options)?;
    data_dir::check(&config.data_dir, Program::Worker)?;
    process::runtime()?.block_on(async {
        let mut running = start(config).await?;
        let monitored = Arc::new(MonitoredWorker(running.worker().clone()));
        monitor::serve(options.metrics_listen.as_deref(), monitored).await?;
        process::print_ready(&format!("worker grpc={}", running.address()));
        let stopped = tokio::select! {
            signal = process::stop_signal() => signal,
            refusal = running.refused() => Err(refusal.into()),
        };
        running.shutdown().await?;
        stopped
    })
}

/// A worker as monitoring sees it.
struct MonitoredWorker(LocalWorker);

impl Monitored for MonitoredWorker {
    fn metrics(&self) -> String {
        metrics::render(&self.0)
    }

    /// It belongs to a cluster, and was not removed.
    fn is_ready(&self) -> bool {
        self.0.membership().is_some_and(|membership| !membership.coordinators.is_empty())
    }
}

/// A mistake is told at once instead of being tried for ever.
fn check_address(flag: &str, address: &str) -> Result<(), Failure> {
    let port = address.rsplit_once(':').filter(|(host, _)| !host.is_empty());
    match port.and_then(|(_, port)| port.parse::<u16>().ok()) {
        Some(port) if port > 0 => Ok(()),
        _ => Err(Failure::Other(format!("{flag} {address}: a host and a port are needed"))),
    }
}

fn config(options: &WorkerOptions) -> Result<Config, Failure> {
    let memory_limit = memory_limit(options.memory_limit)? as u64;
    let coordinators: Vec<String> = match &options.coordinator {
        Some(list) => list.split(',').map(|address| address.trim().to_owned()).collect(),
        None => Vec::new(),
    };
    for address in &coordinators {
        check_address("--coordinator", address)?;
    }
    if let Some(address) = &options.advertise {
        check_address("--advertise", address)?;
    }
    let listens_everywhere = options
        .grpc_listen
        .as_ref()
        .and_then(|listen| listen.parse::<SocketAddr>().ok())
        .is_some_and(|listen| listen.ip().is_unspecified());
    if listens_everywhere && !coordinators.is_empty() && options.advertise.is_none() {
        return Err(Failure::Other(
            "--grpc-listen names every address of this machine: --advertise HOST:PORT must say \
             where coordinators reach it"
                .into(),
        ));
    }
    Ok(Config {
        data_dir: options.data_dir.clone().unwrap_or_else(|| PathBuf::from("satsuma-data")),
        grpc_listen: options.grpc_listen.clone().unwrap_or_else(|| "127.0.0.1:7501".into()),
        advertise: options.advertise.clone(),
        coordinators,
        settings: Settings { memory_limit, ..Settings::default() },
    })
}
