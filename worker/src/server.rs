//! A worker as a process: data directory, gRPC port, place in the cluster.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use satsuma_common::{NodeId, SqlError, SqlResult, SqlState};
use satsuma_proto::worker::{Membership, Outcomes, Registration, Worker};
use satsuma_proto::{RemoteCoordinator, WorkerServer};
use satsuma_sql::value_size;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::{JoinHandle, JoinSet};
use tokio_util::sync::CancellationToken;

use crate::local::{LocalWorker, Settings};
use crate::recovery::{self, Pace};

/// How long the open transactions of a coordinator survive its last connection: it connects anew
/// at once when it is there, and others wait for what they have locked.
const GRACE: Duration = Duration::from_secs(2);
/// How long open requests may go on at shutdown.
const DRAIN: Duration = Duration::from_secs(5);
const REGISTER_PAUSE: Duration = Duration::from_millis(500);
const CLOCK_PAUSE: Duration = Duration::from_millis(50);

#[derive(Clone, Debug)]
pub struct Config {
    pub data_dir: PathBuf,
    /// `host:port`; port 0 takes a free one.
    pub grpc_listen: String,
    /// Where coordinators reach this worker, when that is not `grpc_listen`.
    pub advertise: Option<String>,
    /// `host:port` of coordinators, to register with any of them; empty for a worker that waits
    /// to be added.
    pub coordinators: Vec<String>,
    pub settings: Settings,
}

/// A worker that serves.
pub struct Running {
    worker: LocalWorker,
    address: SocketAddr,
    stop: CancellationToken,
    server: JoinHandle<Result<(), tonic::transport::Error>>,
    /// Why the coordinators will not have this worker.
    refused: Option<oneshot::Receiver<SqlError>>,
    /// Registration and recovery; stopped with this.
    _background: JoinSet<()>,
}

/// Opens the data directory and serves it.
pub async fn start(config: Config) -> SqlResult<Running> {
    let listener = TcpListener::bind(&config.grpc_listen).await.map_err(|error| {
        let message = format!("could not listen on {}: {error}", config.grpc_listen);
        SqlError::new(SqlState::IO_ERROR, message)
    })?;
    let address = listener
        .local_addr()
        .map_err(|error| SqlError::new(SqlState::IO_ERROR, format!("could not listen: {error}")))?;
    value_size::set_memory_limit(config.settings.memory_limit);
    let worker = LocalWorker::open(&config.data_dir, config.settings.clone())?;
    // A worker that belongs to no cluster yet has no transactions that could be older than it.
    if worker.membership().is_some() {
        worker.admission().close();
    }
    let stop = CancellationToken::new();
    let server = WorkerServer::new(Arc::new(worker.clone()), GRACE);
    let server = tokio::spawn(server.serve(listener, stop.clone()));
    let mut background = JoinSet::new();
    let known = Arc::new(CoordinatorsOf { worker: worker.clone(), connected: Mutex::new(None) });
    background.spawn(admit_younger_transactions(worker.clone(), known.clone()));
    let engine = worker.engine().clone();
    background.spawn(recovery::resolve(engine, move || known.outcomes(), Pace::default()));
    let mut refused = None;
    if !config.coordinators.is_empty() {
        let advertised = config.advertise.clone().unwrap_or_else(|| address.to_string());
        let registration = registration(&worker, &advertised)?;
        let (refuse, refusal) = oneshot::channel();
        refused = Some(refusal);
        background.spawn(register(worker.clone(), config.coordinators, registration, refuse));
    }
    Ok(Running { worker, address, stop, server, refused, _background: background })
}

/// Asks the coordinators for the time, and lets transactions in that begin after it.
async fn admit_younger_transactions(worker: LocalWorker, known: Arc<CoordinatorsOf>) {
    let mut told = false;
    while let Some(coordinators) = known.outcomes() {
        match coordinators.now().await {
            Ok(now) => {
                worker.engine().refuse_transactions_before(now);
                break;
            }
            Err(error) if !told => {
                tracing::warn!(%error, "no coordinator tells the time yet");
                told = true;
            }
            Err(error) => tracing::debug!(%error, "no coordinator tells the time yet"),
        }
        tokio::time::sleep(CLOCK_PAUSE).await;
    }
    worker.admission().open();
}

impl Running {
    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    pub fn worker(&self) -> &LocalWorker {
        &self.worker
    }

    /// Resolves when the coordinators will never have this worker, with the reason.
    pub async fn refused(&mut self) -> SqlError {
        match self.refused.take() {
            Some(refused) => match refused.await {
                Ok(error) => error,
                Err(_) => std::future::pending().await,
            },
            None => std::future::pending().await,
        }
    }

    /// Takes no more requests, lets those under way finish for a while, and closes the store.
    pub async fn shutdown(self) -> SqlResult<()> {
        self.stop.cancel();
        let mut server = self.server;
        // Sessions of coordinators stay open for ever: they are cut when time is up.
        if tokio::time::timeout(DRAIN.min(Duration::from_millis(500)), &mut server).await.is_err() {
            server.abort();
        }
        self.worker.close();
        Ok(())
    }
}

fn registration(worker: &LocalWorker, advertised: &str) -> SqlResult<Registration> {
    let invalid = || {
        let message = format!("\"{advertised}\" is not a host and a port");
        SqlError::new(SqlState::INVALID_PARAMETER_VALUE, message)
    };
    let (host, port) = advertised.rsplit_once(':').ok_or_else(invalid)?;
    Ok(Registration {
        host: host.trim_start_matches('[').trim_end_matches(']').to_string(),
        port: port.parse().map_err(|_| invalid())?,
        directory: worker.directory().to_string(),
        member: member(worker),
    })
}

fn member(worker: &LocalWorker) -> Option<(String, NodeId)> {
    worker.membership().map(|membership| (membership.cluster, membership.node))
}

/// Announces the worker until a coordinator has taken it in, or refused it for good.
async fn register(
    worker: LocalWorker,
    coordinators: Vec<String>,
    registration: Registration,
    refuse: oneshot::Sender<SqlError>,
) {
    let mut told = String::new();
    loop {
        match register_once(&worker, &coordinators, &registration).await {
            Ok(membership) => {
                tracing::info!(node = %membership.node, "worker registered");
                return;
            }
            Err(error) if error.state() == SqlState::CONNECTION_REJECTED => {
                let _ = refuse.send(error);
                return;
            }
            Err(error) if error.message() != told => {
                let hint = error.fields().hint.as_deref().unwrap_or_default();
                tracing::warn!(?coordinators, %error, hint, "could not register yet");
                told = error.message().to_owned();
            }
            Err(error) => tracing::debug!(?coordinators, %error, "could not register yet"),
        }
        tokio::time::sleep(REGISTER_PAUSE).await;
    }
}

async fn register_once(
    worker: &LocalWorker,
    coordinators: &[String],
    registration: &Registration,
) -> SqlResult<Membership> {
    // Those may be gone for good since the last start.
    let mut addresses = coordinators.to_vec();
    addresses.extend(worker.membership().into_iter().flat_map(|known| known.coordinators));
    let remote = RemoteCoordinator::new(&addresses)?;
    let mut registration = registration.clone();
    loop {
        registration.member = member(worker);
        let membership = remote.register(registration.clone()).await?;
        worker.join(membership.clone()).await?;
        // One that is new is given work only when it says that it remembers whose it is.
        if registration.member.is_some() {
            return Ok(membership);
        }
    }
}

/// The coordinators that this worker's membership names, connected when first asked.
struct CoordinatorsOf {
    worker: LocalWorker,
    connected: Mutex<Option<(Vec<String>, Arc<dyn Outcomes>)>>,
}

impl CoordinatorsOf {
    fn outcomes(&self) -> Option<Arc<dyn Outcomes>> {
        let addresses = self.worker.membership()?.coordinators;
        // It was removed: nobody knows it any more.
        if addresses.is_empty() {
            return None;
        }
        let mut connected = self.connected.lock();
        if let Some((known, outcomes)) = &*connected
            && *known == addresses
        {
            return Some(outcomes.clone());
        }
        match RemoteCoordinator::new(&addresses) {
            Ok(remote) => {
                let outcomes: Arc<dyn Outcomes> = Arc::new(remote);
                *connected = Some((addresses, outcomes.clone()));
                Some(outcomes)
            }
            Err(error) => {
                tracing::warn!(%error, "cannot reach the coordinators");
                None
            }
        }
    }
}
