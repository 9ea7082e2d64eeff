//! A cluster of real processes on free ports, in a temporary directory, gone when dropped.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::time::{Duration, Instant};

use satsuma_proto::RemoteWorker;
use satsuma_proto::worker::{ShardAction, Worker};
use tempfile::TempDir;

use crate::binaries::binary;
use crate::network::Network;
use crate::process::Process;
use crate::wire::{Client, WireError};

/// How long a worker may take to tell its shards.
const LISTING: Duration = Duration::from_secs(5);

/// Where and as whom to connect.
#[derive(Clone, Debug)]
pub struct Address {
    pub host: String,
    pub port: u16,
    pub user: String,
    pub database: String,
    pub password: Option<String>,
}

impl Address {
    pub fn local(port: u16, user: &str, database: &str) -> Self {
        Self {
            host: "127.0.0.1".into(),
            port,
            user: user.into(),
            database: database.into(),
            password: None,
        }
    }

    /// A connection that shows every message.
    pub fn client(&self) -> Result<Client, WireError> {
        Client::connect(self)
    }

    /// A tokio-postgres client; its connection runs as a task of its own.
    pub async fn connect(&self) -> Result<tokio_postgres::Client, tokio_postgres::Error> {
        let (client, connection) = self.config().connect(tokio_postgres::NoTls).await?;
        tokio::spawn(connection);
        Ok(client)
    }

    pub fn config(&self) -> tokio_postgres::Config {
        let mut config = tokio_postgres::Config::new();
        config
            .host(&self.host)
            .port(self.port)
            .user(&self.user)
            .dbname(&self.database)
            .connect_timeout(Duration::from_secs(10));
        if let Some(password) = &self.password {
            config.password(password);
        }
        config
    }
}

/// A connection string as libpq reads it.
impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "host={} port={} user={} dbname={}",
            self.host, self.port, self.user, self.database
        )
    }
}

/// What to start.
#[derive(Clone, Debug)]
pub struct Layout {
    /// `None`: `satsuma up`, everything in one process.
    pub coordinators: Option<usize>,
    pub workers: usize,
    /// Contents of the password file; without one everybody is trusted.
    pub password: Option<String>,
    pub database: Option<String>,
    pub superuser: Option<String>,
    /// Further flags for coordinators, or for `up`.
    pub flags: Vec<String>,
    /// Nodes can be cut off from each other.
    pub can_be_cut: bool,
}

impl Layout {
    /// `satsuma up` with two workers.
    pub fn up() -> Self {
        Self {
            coordinators: None,
            workers: 2,
            password: None,
            database: None,
            superuser: None,
            flags: Vec::new(),
            can_be_cut: false,
        }
    }

    /// Separate processes.
    pub fn processes(coordinators: usize, workers: usize) -> Self {
        Self { coordinators: Some(coordinators), workers, ..Self::up() }
    }

    /// Separate processes that can be cut off from each other.
    pub fn network(coordinators: usize, workers: usize) -> Self {
        Self { can_be_cut: true, ..Self::processes(coordinators, workers) }
    }

    pub fn start(self) -> Cluster {
        let cluster = self.start_without_waiting();
        cluster.wait_for_workers();
        cluster
    }

    /// The same, without asking over SQL whether the workers are known.
    pub fn start_without_waiting(self) -> Cluster {
        Cluster::start(self)
    }
}

pub struct Cluster {
    /// `up` itself, or the coordinators.
    pub coordinators: Vec<Process>,
    pub workers: Vec<Process>,
    pg_ports: Vec<u16>,
    grpc_ports: Vec<u16>,
    worker_ports: Vec<u16>,
    /// Where other nodes find a node, by the port that it listens on.
    advertised: BTreeMap<u16, u16>,
    network: Option<Network>,
    layout: Layout,
    directory: TempDir,
}

impl Cluster {
    /// Starts everything and waits until each process is ready.
    ///
    /// # Panics
    /// When a process does not get ready; its log is in the message.
    fn start(layout: Layout) -> Self {
        let directory = tempfile::Builder::new().prefix("satsuma-").tempdir().expect("a directory");
        let nodes = layout.coordinators.unwrap_or(1);
        let mut cluster = Self {
            coordinators: Vec::new(),
            workers: Vec::new(),
            pg_ports: (0..nodes).map(|_| free_port()).collect(),
            grpc_ports: (0..nodes).map(|_| free_port()).collect(),
            worker_ports: (0..layout.workers).map(|_| free_port()).collect(),
            advertised: BTreeMap::new(),
            network: None,
            layout,
            directory,
        };
        cluster.network = cluster.layout.can_be_cut.then(Network::default);
        cluster.advertise();
        match cluster.layout.coordinators {
            None => cluster.prepare_up(),
            Some(count) => {
                (1..=count).for_each(|id| cluster.prepare_coordinator(id));
                (0..cluster.layout.workers).for_each(|index| cluster.prepare_worker(index));
            }
        }
        cluster.start_processes();
        cluster
    }

    /// Starts what is not running and waits until it serves.
    pub fn start_all(&mut self) {
        self.start_processes();
        self.wait_for_workers();
    }

    /// # Panics
    /// When a process has ended that nobody stopped.
    fn start_processes(&mut self) {
        for process in self.processes() {
            let ended = process.pid().is_some() && !process.is_running();
            assert!(!ended, "{} ended by itself:\n{}", process.name, process.log_tail(40));
        }
        let mut waiting = Vec::new();
        for process in self.coordinators.iter_mut().filter(|process| process.pid().is_none()) {
            let readiness = process.spawn().unwrap_or_else(|error| panic!("{error}"));
            known(&self.network, process);
            waiting.push((readiness, process));
        }
        for (readiness, process) in waiting {
            readiness.wait(process).unwrap_or_else(|error| panic!("{error}"));
        }
        for worker in self.workers.iter_mut().filter(|worker| worker.pid().is_none()) {
            let readiness = worker.spawn().unwrap_or_else(|error| panic!("{error}"));
            known(&self.network, worker);
            readiness.wait(worker).unwrap_or_else(|error| panic!("{error}"));
        }
    }

    /// Gives every node a proxy, where nodes can be cut off.
    fn advertise(&mut self) {
        let coordinators =
            (1..).zip(&self.grpc_ports).map(|(id, port)| (coordinator_name(id), *port));
        let workers =
            (0..).zip(&self.worker_ports).map(|(index, port)| (worker_name(index), *port));
        let nodes: Vec<_> = coordinators.chain(workers).collect();
        for (name, port) in nodes {
            let at = self.network.as_ref().map_or(port, |network| network.proxy(&name, port));
            self.advertised.insert(port, at);
        }
    }

    /// Where other nodes find the one that listens on a port.
    fn advertised(&self, port: u16) -> u16 {
        self.advertised.get(&port).copied().unwrap_or(port)
    }

    /// The network between the nodes of a layout that can be cut.
    pub fn network(&self) -> &Network {
        self.network.as_ref().expect("a layout whose nodes can be cut off")
    }

    /// Stops every process with SIGTERM, workers first; each must end with status 0.
    pub fn stop_all(&mut self) {
        for process in self.workers.iter_mut().chain(&mut self.coordinators) {
            if let Some(status) = process.terminate() {
                assert!(status.success(), "{} ended with {status} on SIGTERM", process.name);
            }
        }
    }

    /// SIGKILL to every process.
    pub fn kill_all(&mut self) {
        self.workers.iter_mut().chain(&mut self.coordinators).for_each(Process::kill);
    }

    /// The first coordinator's PostgreSQL port.
    pub fn address(&self) -> Address {
        self.address_of(0)
    }

    pub fn address_of(&self, coordinator: usize) -> Address {
        let user = self.layout.superuser.as_deref().unwrap_or("satsuma");
        let database = self.layout.database.as_deref().unwrap_or("satsuma");
        let mut address = Address::local(self.pg_ports[coordinator], user, database);
        address.password = self.layout.password.clone();
        address
    }

    /// `grpc://127.0.0.1:7432` of a coordinator.
    pub fn grpc_url(&self, coordinator: usize) -> String {
        format!("grpc://127.0.0.1:{}", self.grpc_ports[coordinator])
    }

    /// Shards that a worker has, as it says itself. `None` when it does not answer.
    pub fn shards_at(&self, worker: usize) -> Option<BTreeSet<u64>> {
        let address = loopback(self.worker_ports[worker]);
        let asked = std::thread::spawn(move || {
            let runtime =
                tokio::runtime::Builder::new_current_thread().enable_all().build().ok()?;
            runtime.block_on(async {
                let remote = RemoteWorker::new(&address).ok()?;
                let listed = tokio::time::timeout(LISTING, remote.shards(ShardAction::List)).await;
                let shards = listed.ok()?.ok()?.shards;
                Some(shards.into_iter().map(|shard| shard.shard.0).collect())
            })
        });
        asked.join().expect("the question ends")
    }

    /// As other nodes know it.
    pub fn worker_port(&self, worker: usize) -> u16 {
        self.advertised(self.worker_ports[worker])
    }

    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    pub fn client(&self) -> Client {
        self.address().client().unwrap_or_else(|error| panic!("{error}"))
    }

    /// All processes, coordinators first.
    pub fn processes(&mut self) -> Vec<&mut Process> {
        self.coordinators.iter_mut().chain(&mut self.workers).collect()
    }

    /// # Panics
    /// When no node has this name.
    pub fn process(&mut self, name: &str) -> &mut Process {
        let mut all = self.coordinators.iter_mut().chain(&mut self.workers);
        all.find(|process| process.name == name).expect("a node of this cluster")
    }

    pub fn wait_for_workers(&self) {
        let wanted = self.layout.workers.to_string();
        let query = "SELECT count(*) FROM pg_dist_node WHERE isactive AND groupid > 0";
        let deadline = Instant::now() + Duration::from_secs(60);
        loop {
            let answer = self.address().client().and_then(|mut client| client.value(query));
            if answer.as_ref().is_ok_and(|count| *count == Some(wanted.clone())) {
                return;
            }
            assert!(Instant::now() < deadline, "{wanted} workers should be known, got {answer:?}");
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    fn prepare_up(&mut self) {
        let mut arguments = vec!["up".to_owned()];
        arguments.extend(self.path_flag("--data-dir", "data"));
        arguments.extend(flag("--workers", self.layout.workers));
        arguments.extend(flag("--pg-port", self.pg_ports[0]));
        arguments.extend(flag("--grpc-port", self.grpc_ports[0]));
        self.push_session_flags(&mut arguments);
        let process = Process::new("up", binary("satsuma"), arguments, self.directory.path());
        self.coordinators.push(process);
    }

    fn prepare_coordinator(&mut self, id: usize) {
        self.prepare_coordinator_as(id - 1, id);
    }

    fn prepare_coordinator_as(&mut self, index: usize, id: usize) {
        let name = coordinator_name(id);
        let mut arguments = flag("--node-id", id).to_vec();
        arguments.extend(self.path_flag("--data-dir", &name));
        arguments.extend(flag("--pg-listen", loopback(self.pg_ports[index])));
        arguments.extend(flag("--grpc-listen", loopback(self.grpc_ports[index])));
        if self.grpc_ports.len() > 1 || self.network.is_some() {
            let peers: Vec<String> = (1..)
                .zip(&self.grpc_ports)
                .map(|(number, port)| {
                    let number = if number == index + 1 { id } else { number };
                    format!("{number}={}", loopback(self.advertised(*port)))
                })
                .collect();
            arguments.extend(flag("--peers", peers.join(",")));
        }
        self.push_session_flags(&mut arguments);
        let process = Process::new(&name, binary("coordinator"), arguments, self.directory.path());
        self.coordinators.push(process);
    }

    /// Adds one more coordinator to those that run, by SQL, and starts it. Answers with its place in
    /// `coordinators`.
    pub fn add_coordinator(&mut self) -> usize {
        let index = self.coordinators.len();
        self.pg_ports.push(free_port());
        self.grpc_ports.push(free_port());
        let address = loopback(self.grpc_ports[index]);
        // Workers have the next ids.
        let id = index + 100;
        self.client().must(&format!("SELECT satsuma_add_coordinator({id}, '{address}')"));
        self.prepare_coordinator_as(index, id);
        let process = &mut self.coordinators[index];
        process.add_argument("--join");
        process.start().unwrap_or_else(|error| panic!("{error}"));
        index
    }

    /// Starts one more worker, which registers itself or waits for `citus_add_node`. Answers with
    /// its place in `workers`.
    pub fn add_worker(&mut self, registers: bool) -> usize {
        let index = self.workers.len();
        self.worker_ports.push(free_port());
        self.prepare_worker_that(index, registers);
        self.workers[index].start().unwrap_or_else(|error| panic!("{error}"));
        index
    }

    /// Each of two workers listens where the other did, from the next start on.
    pub fn exchange_addresses(&mut self, one: usize, other: usize) {
        let ports = [self.worker_ports[one], self.worker_ports[other]].map(loopback);
        self.workers[one].replace_argument(&ports[0], &ports[1]);
        self.workers[other].replace_argument(&ports[1], &ports[0]);
        self.worker_ports.swap(one, other);
    }

    fn prepare_worker(&mut self, index: usize) {
        self.prepare_worker_that(index, true);
    }

    fn prepare_worker_that(&mut self, index: usize, registers: bool) {
        let name = worker_name(index);
        let mut arguments = self.path_flag("--data-dir", &name).to_vec();
        arguments.extend(flag("--grpc-listen", loopback(self.worker_ports[index])));
        if self.network.is_some() {
            arguments.extend(flag("--advertise", loopback(self.worker_port(index))));
        }
        if registers {
            let coordinator = self.advertised(self.grpc_ports[0]);
            arguments.extend(flag("--coordinator", loopback(coordinator)));
        }
        let process = Process::new(&name, binary("worker"), arguments, self.directory.path());
        self.workers.push(process);
    }

    fn push_session_flags(&self, arguments: &mut Vec<String>) {
        if let Some(password) = &self.layout.password {
            let path = self.directory.path().join("password");
            std::fs::write(&path, password).expect("the password file");
            arguments.extend(flag("--password-file", path.display()));
        }
        if let Some(database) = &self.layout.database {
            arguments.extend(flag("--database", database));
        }
        if let Some(superuser) = &self.layout.superuser {
            arguments.extend(flag("--superuser", superuser));
        }
        arguments.extend(self.layout.flags.iter().cloned());
    }

    fn path_flag(&self, name: &str, path: &str) -> [String; 2] {
        let path: PathBuf = self.directory.path().join(path);
        flag(name, path.display())
    }
}

fn coordinator_name(id: usize) -> String {
    format!("coordinator-{id}")
}

fn worker_name(index: usize) -> String {
    format!("worker-{}", index + 1)
}

/// Tells the network which process a node is now.
fn known(network: &Option<Network>, process: &Process) {
    if let (Some(network), Some(pid)) = (network, process.pid()) {
        network.started(&process.name, pid);
    }
}

fn flag(name: &str, value: impl fmt::Display) -> [String; 2] {
    [name.to_owned(), value.to_string()]
}

fn loopback(port: u16) -> String {
    format!("127.0.0.1:{port}")
}

/// A port that nothing listens on, below the range from which outgoing connections take theirs:
/// a killed node must find its port free again.
pub fn free_port() -> u16 {
    const LOW: u16 = 15_000;
    const SPAN: u16 = 17_000;
    static NEXT: AtomicU16 = AtomicU16::new(0);
    // Test processes that run at the same time start in different places.
    let start = (std::process::id().wrapping_mul(61) % u32::from(SPAN)) as u16;
    loop {
        let offset = NEXT.fetch_add(1, Ordering::Relaxed);
        let port = LOW + ((u32::from(start) + u32::from(offset)) % u32::from(SPAN)) as u16;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

/// An `up` cluster that tests running at the same time share. Tables in it need names of their
/// own.
pub fn shared_up() -> Arc<Cluster> {
    static SHARED: Mutex<Weak<Cluster>> = Mutex::new(Weak::new());
    let mut shared = SHARED.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    if let Some(cluster) = shared.upgrade() {
        return cluster;
    }
    let cluster = Arc::new(Layout::up().start());
    *shared = Arc::downgrade(&cluster);
    cluster
}
