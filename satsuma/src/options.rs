//! Settings of the programs: a flag wins over the environment, that over the TOML file, that
//! over the default.
//!
//! Every option is defined once, in an [`options!`] block, as a flag `--pg-listen`, a variable
//! `SATSUMA_PG_LISTEN` and a TOML key `pg-listen` (or `pg_listen`). Unknown keys are refused.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use serde::{Deserialize, Deserializer};

#[derive(Debug, thiserror::Error)]
pub enum OptionsError {
    #[error("could not read {}: {error}", path.display())]
    Read { path: PathBuf, error: std::io::Error },
    #[error("{}: {message}", path.display())]
    Parse { path: PathBuf, message: String },
}

macro_rules! options {
    (
        $(#[$outer:meta])*
        pub struct $name:ident {
            $($(#[$attribute:meta])* $field:ident: $type:ty = $env:literal,)*
        }
    ) => {
        $(#[$outer])*
        #[derive(Clone, Debug, Default, clap::Args, serde::Deserialize)]
        #[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
        pub struct $name {
            /// Read further settings from this TOML file
            #[arg(long, env = "SATSUMA_CONFIG", value_name = "FILE")]
            #[serde(skip)]
            pub config: Option<std::path::PathBuf>,
            $($(#[$attribute])* #[arg(long, env = $env)] pub $field: Option<$type>,)*
        }

        impl $name {
            /// Fills in from the TOML file what flags and environment leave open.
            pub fn with_file(self) -> Result<Self, $crate::options::OptionsError> {
                let Some(path) = self.config.clone() else { return Ok(self) };
                let file: Self = $crate::options::read_file(&path)?;
                Ok(Self {
                    config: self.config,
                    $($field: self.$field.or(file.$field),)*
                })
            }
        }
    };
}

options! {
    /// Settings of `satsuma up`.
    pub struct UpOptions {
        /// Where everything is kept [default: ./satsuma-data]
        #[arg(value_name = "DIR")]
        data_dir: PathBuf = "SATSUMA_DATA_DIR",
        /// Workers in this process [default: 2]
        workers: u16 = "SATSUMA_WORKERS",
        /// Address to listen on [default: 127.0.0.1]
        host: String = "SATSUMA_HOST",
        /// Port of the PostgreSQL protocol [default: 5432]
        pg_port: u16 = "SATSUMA_PG_PORT",
        /// Port of gRPC (Arrow Flight SQL) [default: 7432]
        grpc_port: u16 = "SATSUMA_GRPC_PORT",
        /// Name of the first role [default: satsuma]
        #[arg(value_name = "NAME")]
        superuser: String = "SATSUMA_SUPERUSER",
        /// File with the superuser's password; passwords are required then
        #[arg(value_name = "FILE")]
        password_file: PathBuf = "SATSUMA_PASSWORD_FILE",
        /// Name of the database [default: satsuma]
        #[arg(value_name = "NAME")]
        database: String = "SATSUMA_DATABASE",
        /// Shards of a new distributed table [default: 32]
        shard_count: u32 = "SATSUMA_SHARD_COUNT",
        /// Most sessions at once [default: 100]
        max_connections: usize = "SATSUMA_MAX_CONNECTIONS",
        /// Certificate for TLS in PEM [default: one made at the first start]
        #[arg(value_name = "FILE")]
        tls_cert: PathBuf = "SATSUMA_TLS_CERT",
        /// Key of the certificate in PEM
        #[arg(value_name = "FILE")]
        tls_key: PathBuf = "SATSUMA_TLS_KEY",
        /// Memory for queries, of the coordinator and of each worker [default: an eighth of the
        /// machine's, 1GB at least]
        #[arg(value_name = "SIZE")]
        memory_limit: ByteSize = "SATSUMA_MEMORY_LIMIT",
        /// What to log to stderr: a level, or a filter like info,satsuma=debug [default: warn]
        #[arg(value_name = "FILTER")]
        log: String = "SATSUMA_LOG",
        /// Address of /metrics, /health and /ready over HTTP [default: none]
        #[arg(value_name = "HOST:PORT")]
        metrics_listen: String = "SATSUMA_METRICS_LISTEN",
        /// Log in JSON
        #[arg(num_args = 0..=1, default_missing_value = "true", value_name = "BOOL")]
        log_json: bool = "SATSUMA_LOG_JSON",
    }
}

options! {
    /// Settings of a coordinator.
    pub struct CoordinatorOptions {
        /// Number of this coordinator among its peers [default: 1]
        node_id: u32 = "SATSUMA_NODE_ID",
        /// Where the catalog is kept [default: ./satsuma-data]
        #[arg(value_name = "DIR")]
        data_dir: PathBuf = "SATSUMA_DATA_DIR",
        /// Address of the PostgreSQL protocol [default: 127.0.0.1:5432]
        #[arg(value_name = "HOST:PORT")]
        pg_listen: String = "SATSUMA_PG_LISTEN",
        /// Address of gRPC: Flight SQL, workers and peers [default: 127.0.0.1:7432]
        #[arg(value_name = "HOST:PORT")]
        grpc_listen: String = "SATSUMA_GRPC_LISTEN",
        /// All coordinators with their gRPC addresses, this one included: 1=host:port,2=...
        #[arg(value_name = "PEERS")]
        peers: Peers = "SATSUMA_PEERS",
        /// Wait to be added to the --peers, which run already
        #[arg(num_args = 0..=1, default_missing_value = "true", value_name = "BOOL")]
        join: bool = "SATSUMA_JOIN",
        /// Name of the first role [default: satsuma]
        #[arg(value_name = "NAME")]
        superuser: String = "SATSUMA_SUPERUSER",
        /// File with the superuser's password; passwords are required then
        #[arg(value_name = "FILE")]
        password_file: PathBuf = "SATSUMA_PASSWORD_FILE",
        /// Name of the database [default: satsuma]
        #[arg(value_name = "NAME")]
        database: String = "SATSUMA_DATABASE",
        /// Shards of a new distributed table [default: 32]
        shard_count: u32 = "SATSUMA_SHARD_COUNT",
        /// Most sessions at once [default: 100]
        max_connections: usize = "SATSUMA_MAX_CONNECTIONS",
        /// Certificate for TLS in PEM [default: one made at the first start]
        #[arg(value_name = "FILE")]
        tls_cert: PathBuf = "SATSUMA_TLS_CERT",
        /// Key of the certificate in PEM
        #[arg(value_name = "FILE")]
        tls_key: PathBuf = "SATSUMA_TLS_KEY",
        /// Memory for all queries together [default: an eighth of the machine's, 1GB at least]
        #[arg(value_name = "SIZE")]
        memory_limit: ByteSize = "SATSUMA_MEMORY_LIMIT",
        /// What to log to stderr: a level, or a filter like info,satsuma=debug [default: info]
        #[arg(value_name = "FILTER")]
        log: String = "SATSUMA_LOG",
        /// Address of /metrics, /health and /ready over HTTP [default: none]
        #[arg(value_name = "HOST:PORT")]
        metrics_listen: String = "SATSUMA_METRICS_LISTEN",
        /// Log in JSON
        #[arg(num_args = 0..=1, default_missing_value = "true", value_name = "BOOL")]
        log_json: bool = "SATSUMA_LOG_JSON",
    }
}

options! {
    /// Settings of a worker.
    pub struct WorkerOptions {
        /// Where shards are kept [default: ./satsuma-data]
        #[arg(value_name = "DIR")]
        data_dir: PathBuf = "SATSUMA_DATA_DIR",
        /// Address to serve coordinators on [default: 127.0.0.1:7501]
        #[arg(value_name = "HOST:PORT")]
        grpc_listen: String = "SATSUMA_GRPC_LISTEN",
        /// Address that coordinators reach this worker at [default: where it listens]
        #[arg(value_name = "HOST:PORT")]
        advertise: String = "SATSUMA_ADVERTISE",
        /// gRPC addresses of coordinators to register with, any of them: host:port,...
        #[arg(value_name = "HOST:PORT,...")]
        coordinator: String = "SATSUMA_COORDINATOR",
        /// Memory for all queries together [default: an eighth of the machine's, 1GB at least]
        #[arg(value_name = "SIZE")]
        memory_limit: ByteSize = "SATSUMA_MEMORY_LIMIT",
        /// What to log to stderr: a level, or a filter like info,satsuma=debug [default: info]
        #[arg(value_name = "FILTER")]
        log: String = "SATSUMA_LOG",
        /// Address of /metrics, /health and /ready over HTTP [default: none]
        #[arg(value_name = "HOST:PORT")]
        metrics_listen: String = "SATSUMA_METRICS_LISTEN",
        /// Log in JSON
        #[arg(num_args = 0..=1, default_missing_value = "true", value_name = "BOOL")]
        log_json: bool = "SATSUMA_LOG_JSON",
    }
}

/// Settings from a TOML file; keys may be written with dashes or underscores.
pub fn read_file<T: for<'de> Deserialize<'de>>(path: &std::path::Path) -> Result<T, OptionsError> {
    let text = std::fs::read_to_string(path)
        .map_err(|error| OptionsError::Read { path: path.to_owned(), error })?;
    parse_toml(&text).map_err(|message| OptionsError::Parse { path: path.to_owned(), message })
}

fn parse_toml<T: for<'de> Deserialize<'de>>(text: &str) -> Result<T, String> {
    let table: toml::Table = toml::from_str(text).map_err(|error| {
        let line = error.span().map_or(1, |span| text[..span.start].lines().count().max(1));
        format!("line {line}: {}", error.message().replace('\n', " "))
    })?;
    let table: toml::Table =
        table.into_iter().map(|(key, value)| (key.replace('_', "-"), value)).collect();
    T::deserialize(toml::Value::Table(table.clone())).map_err(|error| {
        let message = error.message().trim().replace('\n', " ");
        match refused_key::<T>(&table) {
            Some(key) => format!("{key}: {message}"),
            None => message,
        }
    })
}

/// The key whose value is refused. Every setting may be left out, so each is tried alone: the
/// error itself names only the value.
fn refused_key<T: for<'de> Deserialize<'de>>(table: &toml::Table) -> Option<&str> {
    let refused = table.iter().find(|(key, value)| {
        let alone = toml::Table::from_iter([((*key).clone(), (*value).clone())]);
        T::deserialize(toml::Value::Table(alone)).is_err()
    });
    refused.map(|(key, _)| key.as_str())
}

/// A number of bytes: `512MB`, `2GB`, `1073741824`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ByteSize(pub u64);

impl FromStr for ByteSize {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let text = text.trim();
        let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
        let (number, unit) = text.split_at(digits);
        let factor: u64 = match unit.trim().to_ascii_lowercase().as_str() {
            "" | "b" => 1,
            "kb" => 1 << 10,
            "mb" => 1 << 20,
            "gb" => 1 << 30,
            "tb" => 1 << 40,
            _ => return Err(format!("\"{text}\" is not a size; write for example 512MB or 2GB")),
        };
        number
            .parse::<u64>()
            .ok()
            .and_then(|number| number.checked_mul(factor))
            .map(Self)
            .ok_or_else(|| format!("\"{text}\" is not a size; write for example 512MB or 2GB"))
    }
}

impl<'de> Deserialize<'de> for ByteSize {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        from_text(deserializer)
    }
}

/// Coordinators by number: `1=host:port,2=host:port`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Peers(pub Vec<(u32, String)>);

impl FromStr for Peers {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut peers = Vec::new();
        for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
            let (number, address) = part
                .split_once('=')
                .and_then(|(number, address)| Some((number.trim().parse().ok()?, address.trim())))
                .filter(|(_, address)| is_address(address))
                .ok_or_else(|| format!("\"{part}\" is not NUMBER=HOST:PORT"))?;
            if peers.iter().any(|(known, _)| *known == number) {
                return Err(format!("peer {number} is named twice"));
            }
            peers.push((number, address.to_owned()));
        }
        Ok(Self(peers))
    }
}

impl<'de> Deserialize<'de> for Peers {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        from_text(deserializer)
    }
}

/// Whether this has the form of `host:port`.
pub fn is_address(text: &str) -> bool {
    text.rsplit_once(':')
        .is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok())
}

fn from_text<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: FromStr,
    T::Err: fmt::Display,
{
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Value {
        Number(u64),
        Text(String),
    }
    let text = match Value::deserialize(deserializer)? {
        Value::Number(number) => number.to_string(),
        Value::Text(text) => text,
    };
    text.parse().map_err(serde::de::Error::custom)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_win_over_the_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("satsuma.toml");
        std::fs::write(&path, "workers = 3\npg_port = 6000\nmemory-limit = \"2GB\"\n").unwrap();
        let flags = UpOptions { config: Some(path), workers: Some(5), ..UpOptions::default() };
        let options = flags.with_file().unwrap();
        assert_eq!(options.workers, Some(5));
        assert_eq!(options.pg_port, Some(6000));
        assert_eq!(options.memory_limit, Some(ByteSize(2 << 30)));
        assert_eq!(options.grpc_port, None);
    }

    #[test]
    fn unknown_keys_and_bad_values_are_refused() {
        for (text, word) in [
            ("no-such = 1", "no-such"),
            ("workers = \"many\"", "many"),
            ("pg-port = 6000\nworkers = \"many\"", "workers: "),
            ("data_dir = 7", "data-dir: "),
            ("memory-limit = \"much\"", "much"),
            ("workers = \n", "line 1"),
        ] {
            let error = parse_toml::<UpOptions>(text).unwrap_err();
            assert!(error.contains(word), "{error}");
            assert!(!error.contains('\n'), "{error}");
        }
    }

    #[test]
    fn sizes_and_peers_are_read() {
        assert_eq!("64kb".parse(), Ok(ByteSize(65536)));
        assert!("1.5GB".parse::<ByteSize>().is_err());
        assert!("99999999999TB".parse::<ByteSize>().is_err());
        let peers: Peers = "1=a:1, 2=[::1]:2".parse().unwrap();
        assert_eq!(peers.0, [(1, "a:1".into()), (2, "[::1]:2".into())]);
        for bad in ["1", "x=a:1", "1=a", "1=a:1,1=b:2"] {
            assert!(bad.parse::<Peers>().is_err(), "{bad}");
        }
    }
}
