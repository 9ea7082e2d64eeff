//! Runs a worker.

use std::path::PathBuf;

use satsuma_worker::Settings;
use satsuma_worker::server::{Config, start};

use crate::options::{ByteSize, WorkerOptions};
use crate::process::{self, Failure};

pub fn run(options: WorkerOptions) -> Result<(), Failure> {
    let options = options.with_file()?;
    process::start_logging(
        options.log.as_deref().unwrap_or("info"),
        options.log_json.unwrap_or(false),
    )?;
    let config = config(&options);
    process::runtime()?.block_on(async {
        let running = start(config).await?;
        process::print_ready(&format!("worker grpc={}", running.address()));
        process::stop_signal().await?;
        running.shutdown().await?;
        Ok(())
    })
}

fn config(options: &WorkerOptions) -> Config {
    let memory_limit = options.memory_limit.unwrap_or(ByteSize(1 << 30)).0;
    Config {
        data_dir: options.data_dir.clone().unwrap_or_else(|| PathBuf::from("satsuma-data")),
        grpc_listen: options.grpc_listen.clone().unwrap_or_else(|| "127.0.0.1:7501".into()),
        advertise: options.advertise.clone(),
        coordinator: options.coordinator.clone(),
        settings: Settings { memory_limit, ..Settings::default() },
    }
}
