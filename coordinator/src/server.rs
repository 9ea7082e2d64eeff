//! A coordinator as a process: data directory, listeners, and everything between them.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use satsuma_common::{NodeId, SqlError, SqlResult, SqlState, Timestamp};
use satsuma_proto::coordinator::CoordinatorServer;
use satsuma_proto::server::transport;
use satsuma_sql::{codec, value_size};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::task::{JoinHandle, JoinSet};
use tokio_util::sync::CancellationToken;
use tonic::transport::server::TcpIncoming;

use crate::auth::{Authenticator, Verifier};
use crate::catalog::{Command, CoordinatorAddress, NodeChange, SUPERUSER_OID, State};
use crate::cluster::Cluster;
use crate::executor::Executor;
use crate::flight::{self, FlightConfig};
use crate::leftovers::Leftovers;
use crate::membership::Members;
use crate::neighbours::SessionsServer;
use crate::oracle::{Oracle, system_clock};
use crate::pgwire::{self, Registry};
use crate::raft::{Catalog, CatalogConfig, Directory, PeerNetwork, PeerServer};
use crate::rebalance;
use crate::session::{Factory, drop_left_behind};
use crate::tls::{self, TlsFiles};
use crate::workers::{Connector, Workers};

/// How long running statements may take to end at shutdown.
const DRAIN: Duration = Duration::from_secs(5);
/// Between two attempts to begin.
const PREPARE_PAUSE: Duration = Duration::from_millis(200);
/// Workers come up a moment after their coordinator: they are looked for this often, so many times.
const CLEANING: Duration = Duration::from_millis(200);
const CLEANING_ROUNDS: u32 = 150;
/// How often decisions that nobody needs are taken out of the catalog.
const HOUSEKEEPING: Duration = Duration::from_secs(1);
/// Decisions that nobody needs are looked for once in so many turns.
const ORPHANS_EVERY: u32 = 10;
/// The same of aborts.
const ABORTS_EVERY: u32 = 2;
/// A decision is left alone for this long.
const ORPHAN_AGE_MICROS: i64 = 60_000_000;
/// Shard sizes are asked for once in so many turns.
const SIZES_EVERY: u32 = 5;

/// Of the superuser and of the database.
pub const DEFAULT_NAME: &str = "satsuma";

#[derive(Clone, Debug)]
pub struct Config {
    pub node: NodeId,
    pub data_dir: PathBuf,
    /// `host:port`; port 0 takes a free one.
    pub pg_listen: String,
    pub grpc_listen: String,
    /// Every coordinator's gRPC address, this one included; empty for a coordinator alone.
    pub peers: Vec<(NodeId, String)>,
    /// The others run already, and this one is to be added to them.
    pub joins: bool,
    /// The first role; `None`: what the data directory says, else [`DEFAULT_NAME`].
    pub superuser: Option<String>,
    /// Content of the password file: a password or a SCRAM verifier.
    pub password: Option<String>,
    /// `None`: what the data directory says, else [`DEFAULT_NAME`].
    pub database: Option<String>,
    pub tls: Option<TlsFiles>,
    pub max_connections: usize,
    /// Bytes that all queries of this coordinator may hold in memory.
    pub memory_limit: usize,
    /// Settings that every session starts with.
    pub settings: Vec<(String, String)>,
}

impl Config {
    fn superuser(&self) -> &str {
        self.superuser.as_deref().unwrap_or(DEFAULT_NAME)
    }

    fn database(&self) -> &str {
        self.database.as_deref().unwrap_or(DEFAULT_NAME)
    }
}

/// A coordinator that serves.
pub struct Running {
    pg_address: SocketAddr,
    grpc_address: SocketAddr,
    cluster: Arc<Cluster>,
    stop: CancellationToken,
    pg: JoinHandle<()>,
    grpc: JoinHandle<Result<(), tonic::transport::Error>>,
    _background: JoinSet<()>,
    _cpu: QueryRuntime,
}

/// Opens the data directory and serves clients, workers and other coordinators.
pub async fn start(config: Config, connector: impl Connector) -> SqlResult<Running> {
    let pg_listener = listen(&config.pg_listen).await?;
    let grpc_listener = listen(&config.grpc_listen).await?;
    let pg_address = local_address(&pg_listener)?;
    let grpc_address = local_address(&grpc_listener)?;

    let (catalog, network) = open_catalog(&config)?;
    let stop = CancellationToken::new();
    let oracle = Oracle::start(catalog.clone(), system_clock());
    let peers = PeerServer::new(catalog.clone(), oracle.clone()).into_service();
    let group = (catalog.clone(), oracle.clone());

    value_size::set_memory_limit(config.memory_limit as u64);
    let cpu = QueryRuntime::start()?;
    let executor = Executor::new(codec::library(), config.memory_limit, cpu.handle()?)?;
    let workers = Arc::new(Workers::new(connector));
    let cluster = Arc::new(Cluster::new(config.node, catalog, oracle, workers, Arc::new(executor)));

    let factory = Arc::new(Factory::new(cluster.clone(), config.settings.clone()));
    let authenticator = Arc::new(Authenticator::new(
        factory.clone(),
        config.superuser(),
        config.password.as_deref(),
    )?);
    let identity = tls::identity(config.tls.as_ref(), &config.data_dir)
        .map_err(|error| SqlError::new(SqlState::IO_ERROR, error.to_string()))?;
    let registry = Registry::of(config.node);
    let sessions = Arc::new(Semaphore::new(config.max_connections));

    let connections = flight::Connections::default();
    let flight = flight::service(FlightConfig {
        factory: factory.clone(),
        authenticator: authenticator.clone(),
        registry: registry.clone(),
        permits: sessions.clone(),
        superuser: config.superuser().to_owned(),
        database: config.database().to_owned(),
        connections: connections.clone(),
        shutdown: stop.clone(),
    });
    let sessions_of_others = SessionsServer {
        node: config.node,
        sessions: cluster.sessions.clone(),
        tenants: cluster.tenant_statistics.clone(),
    };
    let sessions_of_others = sessions_of_others.into_service();
    let members = CoordinatorServer::new(Arc::new(Members(cluster.clone()))).into_service();
    let incoming = TcpIncoming::from(grpc_listener).with_nodelay(Some(true));
    let incoming = connections.track(incoming, identity.grpc.clone());
    let grpc = tokio::spawn(
        transport()
            .add_service(flight)
            .add_service(members)
            .add_service(sessions_of_others)
            .add_service(peers)
            .serve_with_incoming_shutdown(incoming, stop.clone().cancelled_owned()),
    );
    let mut background = JoinSet::new();
    background.spawn(follow_coordinators(group.0.clone(), network));
    // Coordinators must serve each other before they have a leader.
    let started = CancellationToken::new();
    let pg = tokio::spawn(pgwire::serve(
        Arc::new(pgwire::Server {
            factory,
            authenticator,
            tls: Some(identity),
            registry,
            sessions,
            started: started.clone(),
            shutdown: stop.clone(),
        }),
        pg_listener,
    ));
    let prepared = prepare(&config, &group.0, &group.1, pg_address, grpc_address).await;
    if let Err(error) = prepared {
        grpc.abort();
        pg.abort();
        return Err(error);
    }
    let leftovers = cluster.catalog.is_alone().then(|| Leftovers::new(&cluster.catalog.snapshot()));
    cluster.set_leftovers(leftovers.as_ref().is_some_and(|left| !left.is_done()));
    started.cancel();
    background.spawn(housekeeping(cluster.clone(), leftovers));
    background.spawn(rebalance::run(cluster.clone()));
    background.spawn(crate::auto_analyze::run(Arc::downgrade(&cluster)));
    background.spawn(crate::untold::tell(Arc::downgrade(&cluster)));
    background.spawn(crate::deadlock::detect(Arc::downgrade(&cluster)));
    background.spawn(crate::session::watch_advisory_locks(Arc::downgrade(&cluster)));
    Ok(Running {
        pg_address,
        grpc_address,
        cluster,
        stop,
        pg,
        grpc,
        _background: background,
        _cpu: cpu,
    })
}

impl Running {
    pub fn pg_address(&self) -> SocketAddr {
        self.pg_address
    }

    pub fn grpc_address(&self) -> SocketAddr {
        self.grpc_address
    }

    pub fn cluster(&self) -> &Arc<Cluster> {
        &self.cluster
    }

    /// Takes no more clients, ends running statements, and stops.
    pub async fn shutdown(mut self) -> SqlResult<()> {
        self.cluster.catalog.hand_over().await;
        self.stop.cancel();
        let drained = async { tokio::join!(&mut self.pg, &mut self.grpc) };
        if tokio::time::timeout(DRAIN, drained).await.is_err() {
            self.pg.abort();
            self.grpc.abort();
        }
        self.cluster.catalog.stop();
        Ok(())
    }
}

/// The threads that plan and run queries.
struct QueryRuntime(Option<tokio::runtime::Runtime>);

impl QueryRuntime {
    fn start() -> SqlResult<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .thread_name("coordinator-query")
            // Statements are planned here, by recursion over what clients wrote.
            .thread_stack_size(32 << 20)
            .enable_all()
            .build()
            .map_err(|error| SqlError::new(SqlState::IO_ERROR, error.to_string()))?;
        Ok(Self(Some(runtime)))
    }

    fn handle(&self) -> SqlResult<tokio::runtime::Handle> {
        let runtime = self.0.as_ref();
        runtime
            .map(|runtime| runtime.handle().clone())
            .ok_or_else(|| SqlError::internal("the threads for queries have ended"))
    }
}

impl Drop for QueryRuntime {
    /// It ends in an async context, where a runtime must not be waited for.
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

async fn listen(address: &str) -> SqlResult<TcpListener> {
    TcpListener::bind(address).await.map_err(|error| {
        SqlError::new(SqlState::IO_ERROR, format!("could not listen on {address}: {error}"))
    })
}

fn local_address(listener: &TcpListener) -> SqlResult<SocketAddr> {
    listener
        .local_addr()
        .map_err(|error| SqlError::new(SqlState::IO_ERROR, format!("could not listen: {error}")))
}

fn open_catalog(config: &Config) -> SqlResult<(Catalog, Arc<PeerNetwork>)> {
    let mut members: Vec<NodeId> = config.peers.iter().map(|(node, _)| *node).collect();
    if config.joins {
        members.retain(|node| *node != config.node);
    } else if members.is_empty() {
        members.push(config.node);
    }
    let directory = Directory::open(&config.data_dir, config.node)?;
    let network = Arc::new(PeerNetwork::new(config.node, &directory.id, &config.peers)?);
    let catalog = CatalogConfig { node: config.node, members };
    let catalog = Catalog::open(&catalog, directory, network.clone())?;
    Ok((catalog, network))
}

/// Coordinators are found where the catalog says, also those that came later.
async fn follow_coordinators(catalog: Catalog, network: Arc<PeerNetwork>) {
    let mut versions = catalog.versions();
    loop {
        for node in catalog.snapshot().nodes().filter(|node| !node.is_worker()) {
            let Some(address) = &node.grpc_address else { continue };
            let directory = node.directory.as_deref().unwrap_or_default();
            if let Err(error) = network.set(node.id, address, directory) {
                tracing::warn!(node = %node.id, %error, "a coordinator's address makes no sense");
            }
        }
        if versions.changed().await.is_err() {
            return;
        }
    }
}

/// Waits for the catalog and the clock of the cluster, for as long as it takes the others to come:
/// where all of them start again, none can know when the last one will.
async fn prepare(
    config: &Config,
    catalog: &Catalog,
    oracle: &Oracle,
    pg: SocketAddr,
    grpc: SocketAddr,
) -> SqlResult<()> {
    loop {
        let prepared = async {
            catalog.ready().await?;
            bootstrap(config, catalog, pg, grpc).await?;
            oracle.timestamp().await
        };
        match prepared.await {
            Ok(_) => return Ok(()),
            // All of this may be done twice.
            Err(error) if is_for_now(&error) => {
                tracing::warn!(%error, "waiting for the other coordinators");
            }
            Err(error) => return Err(error),
        }
        tokio::time::sleep(PREPARE_PAUSE).await;
    }
}

/// The coordinators have no leader, or lost it meanwhile.
fn is_for_now(error: &SqlError) -> bool {
    [SqlState::CANNOT_CONNECT_NOW, SqlState::TRANSACTION_RESOLUTION_UNKNOWN]
        .contains(&error.state())
}

/// Makes the catalog's first entries, or tells it where this coordinator is now.
async fn bootstrap(
    config: &Config,
    catalog: &Catalog,
    pg: SocketAddr,
    grpc: SocketAddr,
) -> SqlResult<()> {
    let address = |node: NodeId, grpc: &str, port: u16| CoordinatorAddress {
        node,
        host: pg.ip().to_string(),
        port,
        grpc: grpc.to_owned(),
    };
    // Where others reach this coordinator: what they were told, not every address it listens on.
    let told = config.peers.iter().find(|(node, _)| *node == config.node).map(|(_, at)| at.clone());
    let known = catalog.snapshot().node(config.node).and_then(|node| node.grpc_address.clone());
    let own_grpc = match (told, known) {
        (Some(told), _) => told,
        (None, Some(known)) if grpc.ip().is_unspecified() => known,
        (None, _) => grpc.to_string(),
    };
    let mut own = address(config.node, &own_grpc, pg.port());
    if pg.ip().is_unspecified()
        && let Some((host, _)) = own_grpc.rsplit_once(':')
    {
        own.host = host.to_owned();
    }
    if catalog.snapshot().is_bootstrapped() {
        check_names(config, &catalog.snapshot())?;
    } else {
        let verifier = config.password.as_deref().map(|stored| {
            if stored.starts_with("SCRAM-SHA-256$") {
                stored.to_owned()
            } else {
                Verifier::from_password(stored).to_string()
            }
        });
        let others = config.peers.iter().filter(|(node, _)| *node != config.node);
        let mut coordinators: Vec<_> = others.map(|(node, grpc)| address(*node, grpc, 0)).collect();
        coordinators.push(own.clone());
        let command = Command::Bootstrap {
            cluster: uuid::Uuid::new_v4().to_string(),
            database: config.database().to_owned(),
            superuser: config.superuser().to_owned(),
            verifier,
            coordinators,
        };
        catalog.propose(command).await?.into_result()?;
    }
    catalog.propose(Command::PutCoordinator(own)).await?.into_result()?;
    if let Some(directory) = catalog.directory() {
        let change = NodeChange::Directory(directory.clone());
        catalog.propose(Command::ChangeNode { node: config.node, change }).await?.into_result()?;
    }
    Ok(())
}

/// Names that were asked for must be those that the data directory was made with.
fn check_names(config: &Config, state: &State) -> SqlResult<()> {
    let refused = |what: &str, wanted: &str, found: &str| {
        let directory = config.data_dir.display();
        let message =
            format!("data directory {directory} has {what} \"{found}\", not \"{wanted}\"");
        Err(SqlError::new(SqlState::INVALID_PARAMETER_VALUE, message)
            .hint("Its names were chosen when it was made: leave the flag out, or use another data directory."))
    };
    let database = &state.cluster().database;
    if let Some(wanted) = &config.database
        && wanted != database
    {
        return refused("database", wanted, database);
    }
    if let Some(wanted) = &config.superuser
        && !state.role_by_name(wanted).is_some_and(|role| role.superuser)
    {
        let first = state.role(SUPERUSER_OID).map_or("", |role| role.name.as_str());
        return refused("superuser", wanted, first);
    }
    Ok(())
}

async fn housekeeping(cluster: Arc<Cluster>, leftovers: Option<Leftovers>) {
    if let Some(mut leftovers) = leftovers {
        for _ in 0..CLEANING_ROUNDS {
            leftovers.clean(&cluster).await;
            if leftovers.is_done() {
                break;
            }
            tokio::time::sleep(CLEANING).await;
        }
        cluster.set_leftovers(false);
    }
    drop_left_behind(cluster.clone()).await;
    for turn in 0u32.. {
        tokio::time::sleep(HOUSEKEEPING).await;
        if turn.is_multiple_of(ORPHANS_EVERY)
            && let Some(before) = crate::clock::now_micros().checked_sub(ORPHAN_AGE_MICROS)
        {
            cluster.forget_orphans(Timestamp(u64::try_from(before).unwrap_or(0))).await;
        }
        if turn.is_multiple_of(ABORTS_EVERY) {
            cluster.forget_aborts().await;
        }
        cluster.forget_settled().await;
        if turn.is_multiple_of(SIZES_EVERY) {
            cluster.report_snapshots().await;
            cluster.refresh_sizes().await;
        }
    }
}
