//! A temporary PostgreSQL 15 server: what it answers is right.

use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, Weak};

use tempfile::TempDir;

use crate::cluster::{Address, free_port};
use crate::skip::skip;

const DEBIAN_BINARIES: &str = "/usr/lib/postgresql/15/bin";

/// Citus's functions as no-ops, so that one script runs on both.
const CITUS_STUBS: &str = "
CREATE FUNCTION create_distributed_table(table_name regclass, distribution_column text,
    distribution_type text DEFAULT 'hash', colocate_with text DEFAULT 'default',
    shard_count int DEFAULT NULL) RETURNS void LANGUAGE plpgsql AS 'BEGIN END';
CREATE FUNCTION create_reference_table(table_name regclass) RETURNS void
    LANGUAGE plpgsql AS 'BEGIN END';
";

pub struct Oracle {
    binaries: PathBuf,
    /// Server processes refuse to run as root: the user and group they run as then.
    owner: Option<(u32, u32)>,
    port: u16,
    directory: TempDir,
    databases: AtomicU32,
}

impl Oracle {
    /// The server that tests running at the same time share, or `None` and a note on stderr
    /// where PostgreSQL 15 is not installed.
    pub fn shared(test: &str) -> Option<Arc<Self>> {
        static SHARED: Mutex<Weak<Oracle>> = Mutex::new(Weak::new());
        let Some(binaries) = find_binaries() else {
            skip(test, "PostgreSQL 15 is not installed");
            return None;
        };
        let mut shared = SHARED.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        if let Some(oracle) = shared.upgrade() {
            return Some(oracle);
        }
        let oracle = Arc::new(Self::start(binaries));
        *shared = Arc::downgrade(&oracle);
        Some(oracle)
    }

    fn start(binaries: PathBuf) -> Self {
        let directory = tempfile::Builder::new().prefix("oracle-").tempdir().expect("a directory");
        let oracle = Self {
            binaries,
            owner: unprivileged_owner(),
            port: free_port(),
            directory,
            databases: AtomicU32::new(0),
        };
        let path = oracle.directory.path();
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o777))
            .expect("permissions");
        let data = oracle.data();
        // Byte order for text, as in Satsuma, but letters beyond ASCII known to upper().
        oracle.run("initdb", |command| {
            command.arg("-D").arg(&data).args([
                "--username=satsuma",
                "--auth=trust",
                "--encoding=UTF8",
                "--locale=C.UTF-8",
                "--no-sync",
            ])
        });
        let settings = format!(
            "-p {} -k {} -h 127.0.0.1 -c fsync=off -c timezone=UTC -c datestyle=ISO,MDY -c lc_messages=C",
            oracle.port,
            path.display()
        );
        oracle.run("pg_ctl", |command| {
            command.arg("-D").arg(&data).arg("-l").arg(path.join("log"));
            command.args(["-w", "-t", "60", "-o", &settings, "start"])
        });
        oracle
    }

    /// A fresh database with stand-ins for Citus's functions.
    pub fn database(&self) -> Address {
        let name = format!("satsuma_{}", self.databases.fetch_add(1, Ordering::Relaxed));
        let mut admin =
            Address::local(self.port, "satsuma", "postgres").client().expect("PostgreSQL");
        admin.must(&format!("CREATE DATABASE {name} TEMPLATE template0"));
        let address = Address::local(self.port, "satsuma", &name);
        address.client().expect("PostgreSQL").must(CITUS_STUBS);
        address
    }

    fn data(&self) -> PathBuf {
        self.directory.path().join("data")
    }

    fn run(&self, program: &str, arguments: impl FnOnce(&mut Command) -> &mut Command) {
        let mut command = Command::new(self.binaries.join(program));
        arguments(&mut command);
        if let Some((user, group)) = self.owner {
            command.uid(user).gid(group);
        }
        // The server keeps what it inherits: a pipe would never close.
        let log = std::fs::File::create(self.directory.path().join(format!("{program}.out")))
            .expect("a log file");
        let status = command
            .current_dir(self.directory.path())
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a log file"))
            .stderr(log)
            .status()
            .unwrap_or_else(|error| panic!("{program}: {error}"));
        let read = |name: &str| {
            std::fs::read_to_string(self.directory.path().join(name)).unwrap_or_default()
        };
        assert!(
            status.success(),
            "{program}: {status}\n{}{}",
            read(&format!("{program}.out")),
            read("log")
        );
    }
}

impl Drop for Oracle {
    fn drop(&mut self) {
        let data = self.data();
        if data.join("postmaster.pid").exists() {
            self.run("pg_ctl", |command| {
                command.arg("-D").arg(&data).args(["-m", "immediate", "stop"])
            });
        }
    }
}

fn find_binaries() -> Option<PathBuf> {
    let on_path = std::env::var_os("PATH")
        .map(|path| std::env::split_paths(&path).collect::<Vec<_>>())
        .unwrap_or_default();
    std::iter::once(PathBuf::from(DEBIAN_BINARIES))
        .chain(on_path)
        .find(|directory| directory.join("initdb").is_file() && is_version_15(directory))
}

fn is_version_15(directory: &Path) -> bool {
    Command::new(directory.join("postgres"))
        .arg("--version")
        .output()
        .is_ok_and(|output| String::from_utf8_lossy(&output.stdout).contains(" 15."))
}

/// For root: the ids of `postgres`, else of `nobody`.
fn unprivileged_owner() -> Option<(u32, u32)> {
    let output = Command::new("id").arg("-u").output().ok()?;
    if String::from_utf8_lossy(&output.stdout).trim() != "0" {
        return None;
    }
    let passwd = std::fs::read_to_string("/etc/passwd").ok()?;
    ["postgres", "nobody"].iter().find_map(|name| {
        let line = passwd.lines().find(|line| line.split(':').next() == Some(name))?;
        let mut ids = line.split(':').skip(2).map_while(|id| id.parse().ok());
        Some((ids.next()?, ids.next()?))
    })
}
