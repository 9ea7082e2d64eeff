//! The servers that are compared, each on a directory and ports of its own.

use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use tempfile::TempDir;
use tokio_postgres::{Client, NoTls, SimpleQueryMessage};

use super::answers::Rows;
use super::figures::Run;
use super::process::{self, Process, Usage};
use super::{Error, Options};

/// PostgreSQL's settings: a gigabyte of buffers for this machine's two cores, and no JIT, which
/// costs more than it gains on short queries.
const POSTGRES_SETTINGS: [&str; 6] = [
    "fsync=on",
    "synchronous_commit=on",
    "shared_buffers=1GB",
    "work_mem=32MB",
    "jit=off",
    "max_connections=300",
];
/// Room for the clients of the largest workload.
const MAX_CONNECTIONS: &str = "300";

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, clap::ValueEnum)]
pub enum ServerKind {
    /// Plain PostgreSQL 15.
    Postgres,
    /// Satsuma: a coordinator and two workers as processes of their own.
    Processes,
    /// Satsuma: `up`, everything in one process.
    Embedded,
    /// DuckDB, for the questions of `analytics` and `tpch`.
    #[value(name = "duckdb")]
    DuckDb,
}

impl ServerKind {
    pub const ALL: [Self; 4] = [Self::Postgres, Self::Processes, Self::Embedded, Self::DuckDb];

    pub fn name(self) -> &'static str {
        match self {
            Self::Postgres => "PostgreSQL 15",
            Self::Processes => "Satsuma",
            Self::Embedded => "Satsuma embedded",
            Self::DuckDb => "DuckDB",
        }
    }

    pub fn is_satsuma(self) -> bool {
        matches!(self, Self::Processes | Self::Embedded)
    }
}

/// A server that runs.
pub struct Server {
    pub kind: ServerKind,
    pub port: u16,
    user: &'static str,
    database: &'static str,
    roots: Vec<u32>,
    _processes: Vec<Process>,
    _postgres: Option<Postgres>,
    _directory: TempDir,
}

/// Starts the servers that are wanted. PostgreSQL is left out, with a note, where it is not
/// installed.
pub fn start(options: &Options, runtime: &tokio::runtime::Runtime) -> Result<Vec<Server>, Error> {
    let wanted: Vec<_> =
        ServerKind::ALL.into_iter().filter(|kind| options.wants_server(*kind)).collect();
    let binaries = match &options.bin_dir {
        Some(directory) => directory.clone(),
        None if wanted.iter().any(|kind| kind.is_satsuma()) => build()?,
        None => PathBuf::new(),
    };
    let mut servers = Vec::new();
    for kind in wanted {
        let directory = match &options.data_dir {
            Some(parent) => TempDir::new_in(parent),
            None => TempDir::new(),
        };
        let directory = directory.map_err(Error::io("a directory for data"))?;
        let server = match kind {
            ServerKind::Postgres => match postgres_binaries() {
                Some(postgres) => start_postgres(&postgres, directory)?,
                None => {
                    println!("PostgreSQL 15 is not installed: left out.");
                    continue;
                }
            },
            ServerKind::Processes => start_processes(&binaries, directory)?,
            ServerKind::Embedded => start_embedded(&binaries, directory)?,
            ServerKind::DuckDb => continue,
        };
        runtime.block_on(server.wait())?;
        servers.push(server);
    }
    Ok(servers)
}

impl Server {
    pub fn name(&self) -> &'static str {
        self.kind.name()
    }

    pub fn usage(&self) -> Usage {
        process::usage(&self.roots)
    }

    pub async fn connect(&self) -> Result<Client, Error> {
        let mut config = tokio_postgres::Config::new();
        config.host("127.0.0.1").port(self.port).user(self.user).dbname(self.database);
        let connected = config.connect(NoTls).await;
        let (client, connection) = connected.map_err(|source| self.sql(source))?;
        tokio::spawn(connection);
        Ok(client)
    }

    /// Runs statements, one after the other.
    pub async fn run(&self, statements: &[&str]) -> Result<(), Error> {
        let client = self.connect().await?;
        for statement in statements {
            client.batch_execute(statement).await.map_err(|source| self.sql(source))?;
        }
        Ok(())
    }

    /// The one value of a query, as text.
    pub async fn value(&self, query: &str) -> Result<String, Error> {
        let client = self.connect().await?;
        let rows = client.simple_query(query).await.map_err(|source| self.sql(source))?;
        let value = rows.iter().find_map(|message| match message {
            SimpleQueryMessage::Row(row) => row.get(0),
            _ => None,
        });
        Ok(value.unwrap_or_default().to_owned())
    }

    /// Asks a question, and tells what the answer took.
    pub async fn ask(&self, client: &Client, question: &str) -> Result<(Rows, Run), Error> {
        let before = self.usage();
        let started = Instant::now();
        let messages = client.simple_query(question).await.map_err(|e| self.sql(e))?;
        let elapsed = started.elapsed();
        let after = self.usage();
        let rows = messages.iter().filter_map(|message| match message {
            SimpleQueryMessage::Row(row) => {
                Some((0..row.len()).map(|at| row.get(at).map(str::to_owned)).collect())
            }
            _ => None,
        });
        let run = Run {
            operations: 1,
            elapsed,
            latency: elapsed,
            cpu: after.cpu.saturating_sub(before.cpu),
            memory: after.memory,
        };
        Ok((rows.collect(), run))
    }

    /// Loads a file with psql's `\copy`, which streams it.
    pub fn copy(&self, table: &str, file: &Path, format: &str) -> Result<(), Error> {
        let command = format!("\\copy {table} from '{}' with {format}", file.display());
        process::output(self.client_program("psql").args(["-X", "-q", "-c", &command]))?;
        Ok(())
    }

    /// A program of PostgreSQL's, told how to connect.
    pub fn client_program(&self, program: &str) -> Command {
        let found = postgres_binaries().map(|directory| directory.join(program));
        let mut command = Command::new(found.unwrap_or_else(|| program.into()));
        let port = self.port.to_string();
        command.args(["-h", "127.0.0.1", "-p", port.as_str(), "-U", self.user]);
        command.env("PGDATABASE", self.database).env("PGSSLMODE", "disable");
        command
    }

    pub fn sql(&self, source: tokio_postgres::Error) -> Error {
        Error::Sql { server: self.name(), source }
    }

    /// Until it answers, and all workers are there.
    async fn wait(&self) -> Result<(), Error> {
        let workers = "SELECT count(*) FROM pg_dist_node WHERE shouldhaveshards";
        let (question, answer) = match self.kind {
            ServerKind::Postgres | ServerKind::DuckDb => ("SELECT 1", "1"),
            ServerKind::Processes | ServerKind::Embedded => (workers, "2"),
        };
        let deadline = Instant::now() + Duration::from_secs(60);
        loop {
            match self.value(question).await {
                Ok(found) if found == answer => return Ok(()),
                Ok(_) | Err(_) if Instant::now() < deadline => {
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
                Ok(found) => {
                    let name = self.name();
                    return Err(Error::Unready(format!("{name} has {found} workers")));
                }
                Err(error) => return Err(error),
            }
        }
    }
}

/// A running PostgreSQL; stopped when dropped.
struct Postgres {
    binaries: PathBuf,
    data: PathBuf,
    owner: Option<(u32, u32)>,
}

impl Postgres {
    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(self.binaries.join(program));
        command.arg("-D").arg(&self.data);
        if let Some((user, group)) = self.owner {
            command.uid(user).gid(group);
        }
        if let Some(parent) = self.data.parent() {
            command.current_dir(parent);
        }
        command
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        let _ = process::output(self.command("pg_ctl").args(["-m", "immediate", "stop"]));
    }
}

fn start_postgres(binaries: &Path, directory: TempDir) -> Result<Server, Error> {
    let path = directory.path();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o777))
        .map_err(Error::io("permissions"))?;
    let postgres = Postgres {
        binaries: binaries.to_owned(),
        data: path.join("data"),
        owner: unprivileged_owner(),
    };
    process::output(postgres.command("initdb").args([
        "--username=satsuma",
        "--auth=trust",
        "--encoding=UTF8",
        "--locale=C.UTF-8",
    ]))?;
    let port = free_port()?;
    let mut settings = format!("-p {port} -k {} -h 127.0.0.1", path.display());
    for setting in POSTGRES_SETTINGS {
        settings.push_str(&format!(" -c {setting}"));
    }
    let mut start = postgres.command("pg_ctl");
    start.arg("-l").arg(path.join("log")).args(["-w", "-t", "60", "-o", &settings, "start"]);
    start.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null());
    let status = start.status().map_err(Error::io("pg_ctl"))?;
    if !status.success() {
        let log = std::fs::read_to_string(path.join("log")).unwrap_or_default();
        return Err(Error::Unready(format!("PostgreSQL did not start: {log}")));
    }
    let file = std::fs::read_to_string(postgres.data.join("postmaster.pid"));
    let id = file.ok().and_then(|text| text.lines().next()?.parse().ok());
    let root = id.ok_or_else(|| Error::Unready("PostgreSQL has no process id".into()))?;
    Ok(Server {
        kind: ServerKind::Postgres,
        port,
        user: "satsuma",
        database: "postgres",
        roots: vec![root],
        _processes: Vec::new(),
        _postgres: Some(postgres),
        _directory: directory,
    })
}

fn start_processes(binaries: &Path, directory: TempDir) -> Result<Server, Error> {
    let path = directory.path();
    let (port, grpc) = (free_port()?, format!("127.0.0.1:{}", free_port()?));
    let mut coordinator = Command::new(binaries.join("coordinator"));
    coordinator
        .args(["--node-id", "1", "--grpc-listen", &grpc, "--max-connections", MAX_CONNECTIONS])
        .args(["--pg-listen", &format!("127.0.0.1:{port}"), "--log", "warn"])
        .arg("--data-dir")
        .arg(path.join("coordinator"));
    let mut processes = vec![Process::start(&mut coordinator, &path.join("coordinator.log"))?];
    for number in 1..=2 {
        let mut worker = Command::new(binaries.join("worker"));
        worker
            .args(["--grpc-listen", &format!("127.0.0.1:{}", free_port()?)])
            .args(["--coordinator", &grpc, "--log", "warn"])
            .arg("--data-dir")
            .arg(path.join(format!("worker-{number}")));
        let log = path.join(format!("worker-{number}.log"));
        processes.push(Process::start(&mut worker, &log)?);
    }
    Ok(satsuma(ServerKind::Processes, port, processes, directory))
}

fn start_embedded(binaries: &Path, directory: TempDir) -> Result<Server, Error> {
    let path = directory.path();
    let port = free_port()?;
    let mut up = Command::new(binaries.join("satsuma"));
    up.args(["up", "--workers", "2", "--pg-port", &port.to_string()])
        .args(["--grpc-port", &free_port()?.to_string(), "--max-connections", MAX_CONNECTIONS])
        .arg("--data-dir")
        .arg(path.join("data"));
    let processes = vec![Process::start(&mut up, &path.join("up.log"))?];
    Ok(satsuma(ServerKind::Embedded, port, processes, directory))
}

fn satsuma(kind: ServerKind, port: u16, processes: Vec<Process>, directory: TempDir) -> Server {
    Server {
        kind,
        port,
        user: "satsuma",
        database: "satsuma",
        roots: processes.iter().map(Process::id).collect(),
        _processes: processes,
        _postgres: None,
        _directory: directory,
    }
}

/// Brings Satsuma's programs up to date, with the profile of this one, and tells where they are.
fn build() -> Result<PathBuf, Error> {
    let own = std::env::current_exe().map_err(Error::io("this program"))?;
    let directory = own.parent().unwrap_or(Path::new(".")).to_owned();
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.args(["build", "--workspace", "--bins"]);
    if directory.ends_with("release") {
        command.arg("--release");
    } else {
        println!("These are not release builds: the figures mean little.");
    }
    let status = command.status().map_err(Error::io("cargo"))?;
    if !status.success() {
        return Err(Error::Unready(format!("the programs could not be built: {status}")));
    }
    Ok(directory)
}

fn free_port() -> Result<u16, Error> {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").map_err(Error::io("a port"))?;
    Ok(listener.local_addr().map_err(Error::io("a port"))?.port())
}

fn postgres_binaries() -> Option<PathBuf> {
    let on_path = std::env::var_os("PATH")
        .map(|path| std::env::split_paths(&path).collect::<Vec<_>>())
        .unwrap_or_default();
    std::iter::once(PathBuf::from("/usr/lib/postgresql/15/bin"))
        .chain(on_path)
        .find(|directory| directory.join("initdb").is_file())
}

/// PostgreSQL refuses to run as root: for root, the ids of `postgres`, else of `nobody`.
fn unprivileged_owner() -> Option<(u32, u32)> {
    let user = process::output(Command::new("id").arg("-u")).ok()?;
    if user.trim() != "0" {
        return None;
    }
    let passwd = std::fs::read_to_string("/etc/passwd").ok()?;
    ["postgres", "nobody"].iter().find_map(|name| {
        let line = passwd.lines().find(|line| line.split(':').next() == Some(name))?;
        let mut ids = line.split(':').skip(2).map_while(|id| id.parse().ok());
        Some((ids.next()?, ids.next()?))
    })
}
