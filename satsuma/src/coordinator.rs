//! Runs a coordinator.

use std::path::PathBuf;
use std::sync::Arc;

use satsuma_common::NodeId;
use satsuma_coordinator::cluster::Cluster;
use satsuma_coordinator::metrics;
use satsuma_coordinator::server::{Config, start};
use satsuma_coordinator::tls::TlsFiles;
use satsuma_coordinator::workers::Remote;

use crate::data_dir::{self, Program};
use crate::monitor::{self, Monitored};
use crate::options::{ByteSize, CoordinatorOptions, Peers};
use crate::process::{self, Failure};

/// Largest `citus.shard_count`.
const MOST_SHARDS: u32 = 64_000;
/// PostgreSQL's `NAMEDATALEN` without its end.
const LONGEST_NAME: usize = 63;

pub fn run(options: CoordinatorOptions) -> Result<(), Failure> {
    let options = options.with_file()?;
    process::start_logging(
        options.log.as_deref().unwrap_or("info"),
        options.log_json.unwrap_or(false),
    )?;
    let metrics_listen = options.metrics_listen.clone();
    let config = config(options)?;
    data_dir::check(&config.data_dir, Program::Coordinator)?;
    process::runtime()?.block_on(async {
        let running = start(config, Remote).await?;
        let monitored = Arc::new(MonitoredCoordinator(running.cluster().clone()));
        monitor::serve(metrics_listen.as_deref(), monitored).await?;
        process::print_ready(&format!(
            "coordinator pg={} grpc={}",
            running.pg_address(),
            running.grpc_address()
        ));
        process::stop_signal().await?;
        running.shutdown().await?;
        Ok(())
    })
}

fn config(options: CoordinatorOptions) -> Result<Config, Failure> {
    let node = options.node_id.unwrap_or(1);
    if node == 0 {
        return Err(Failure::Other("--node-id counts from 1".into()));
    }
    let Peers(peers) = options.peers.unwrap_or_default();
    if !peers.is_empty() && !peers.iter().any(|(peer, _)| *peer == node) {
        return Err(Failure::Other(format!("--peers does not name this coordinator, {node}")));
    }
    Ok(Config {
        node: NodeId(node),
        data_dir: options.data_dir.unwrap_or_else(|| PathBuf::from("satsuma-data")),
        pg_listen: options.pg_listen.unwrap_or_else(|| "127.0.0.1:5432".into()),
        grpc_listen: options.grpc_listen.unwrap_or_else(|| "127.0.0.1:7432".into()),
        joins: options.join.unwrap_or(false),
        peers: peers.into_iter().map(|(node, address)| (NodeId(node), address)).collect(),
        superuser: name("--superuser", options.superuser)?,
        password: options.password_file.as_deref().map(process::read_password).transpose()?,
        database: name("--database", options.database)?,
        tls: tls_files(options.tls_cert, options.tls_key)?,
        max_connections: max_connections(options.max_connections)?,
        memory_limit: memory_limit(options.memory_limit)?,
        settings: session_settings(options.shard_count)?,
    })
}

/// A coordinator as monitoring sees it.
pub(crate) struct MonitoredCoordinator(pub Arc<Cluster>);

impl Monitored for MonitoredCoordinator {
    fn metrics(&self) -> String {
        metrics::render(&self.0)
    }

    fn is_ready(&self) -> bool {
        metrics::is_ready(&self.0)
    }
}

pub(crate) fn tls_files(
    certificate: Option<PathBuf>,
    key: Option<PathBuf>,
) -> Result<Option<TlsFiles>, Failure> {
    match (certificate, key) {
        (Some(certificate), Some(key)) => Ok(Some(TlsFiles { certificate, key })),
        (None, None) => Ok(None),
        _ => Err(Failure::Other("--tls-cert and --tls-key go together".into())),
    }
}

pub(crate) fn max_connections(wanted: Option<usize>) -> Result<usize, Failure> {
    match wanted.unwrap_or(100) {
        count @ 1..=100_000 => Ok(count),
        other => Err(Failure::Other(format!("--max-connections {other} is not in 1 to 100000"))),
    }
}

pub(crate) fn memory_limit(wanted: Option<ByteSize>) -> Result<usize, Failure> {
    let bytes = wanted.map_or_else(process::query_memory, |ByteSize(bytes)| bytes);
    usize::try_from(bytes)
        .ok()
        .filter(|bytes| *bytes >= 16 << 20)
        .ok_or_else(|| Failure::Other("--memory-limit must be 16MB at least".into()))
}

/// Settings that every session starts with. A wrong one would refuse every client later.
pub(crate) fn session_settings(shard_count: Option<u32>) -> Result<Vec<(String, String)>, Failure> {
    match shard_count {
        None => Ok(Vec::new()),
        Some(count @ 1..=MOST_SHARDS) => {
            Ok(vec![("citus.shard_count".to_owned(), count.to_string())])
        }
        Some(other) => {
            Err(Failure::Other(format!("--shard-count {other} is not in 1 to {MOST_SHARDS}")))
        }
    }
}

/// The name of a role or database, where it is given.
pub(crate) fn name(flag: &str, given: Option<String>) -> Result<Option<String>, Failure> {
    match given {
        Some(name) if name.is_empty() => Err(Failure::Other(format!("{flag} must not be empty"))),
        Some(name) if name.len() > LONGEST_NAME || name.contains('\0') => {
            Err(Failure::Other(format!("{flag} takes a name of at most {LONGEST_NAME} bytes")))
        }
        given => Ok(given),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_and_mistakes() {
        let config_ = config(CoordinatorOptions::default()).unwrap();
        assert_eq!(config_.pg_listen, "127.0.0.1:5432");
        assert_eq!((config_.superuser, config_.node), (None, NodeId(1)));
        let options = CoordinatorOptions {
            peers: Some(Peers(vec![(2, "a:1".into())])),
            ..CoordinatorOptions::default()
        };
        assert!(config(options).unwrap_err().to_string().contains("--peers"));
        assert!(tls_files(Some("a".into()), None).is_err());
        assert!(max_connections(Some(0)).is_err());
        assert!(session_settings(Some(0)).is_err() && session_settings(Some(64_001)).is_err());
        assert!(name("--database", Some(String::new())).is_err());
    }
}
