//! One process of a cluster under test.

use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};

/// How long a node may take to print `ready`: debug builds on busy machines are slow.
const READY: Duration = Duration::from_secs(90);
/// How long a node may take to stop on SIGTERM.
const STOP: Duration = Duration::from_secs(30);

/// A program with its arguments: started, killed and started again with the same ones.
pub struct Process {
    pub name: String,
    program: PathBuf,
    arguments: Vec<String>,
    log: PathBuf,
    child: Option<Child>,
}

#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("{name}: {source}")]
    Spawn { name: String, source: std::io::Error },
    #[error("{name} ended with {status} before it was ready:\n{log}")]
    Ended { name: String, status: ExitStatus, log: String },
    #[error("{name} was not ready after {READY:?}:\n{log}")]
    NotReady { name: String, log: String },
}

impl Process {
    pub fn new(name: &str, program: PathBuf, arguments: Vec<String>, logs: &Path) -> Self {
        let log = logs.join(format!("{name}.log"));
        Self { name: name.into(), program, arguments, log, child: None }
    }

    /// Writes `to` for each argument `from`, for the next start and all later ones.
    pub fn replace_argument(&mut self, from: &str, to: &str) {
        for argument in self.arguments.iter_mut().filter(|argument| *argument == from) {
            to.clone_into(argument);
        }
    }

    /// For the next start and all later ones.
    pub fn add_argument(&mut self, argument: &str) {
        self.arguments.push(argument.to_owned());
    }

    /// Starts the program and waits for its `ready` line.
    pub fn start(&mut self) -> Result<(), StartError> {
        self.spawn()?.wait(self)
    }

    /// Starts the program; what comes back waits for its `ready` line. Coordinators of one
    /// cluster wait for each other, so that all are spawned first.
    pub fn spawn(&mut self) -> Result<Readiness, StartError> {
        let failed = |source| StartError::Spawn { name: self.name.clone(), source };
        let log = OpenOptions::new().create(true).append(true).open(&self.log).map_err(failed)?;
        let mut child = Command::new(&self.program)
            .args(&self.arguments)
            .env("RUST_BACKTRACE", "1")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log.try_clone().map_err(failed)?)
            .spawn()
            .map_err(failed)?;
        let (said_ready, ready) = mpsc::channel();
        if let Some(stdout) = child.stdout.take() {
            std::thread::spawn(move || copy_output(stdout, log, said_ready));
        }
        self.child = Some(child);
        Ok(Readiness { ready })
    }

    pub fn pid(&self) -> Option<u32> {
        self.child.as_ref().map(Child::id)
    }

    /// Resident memory in bytes, now and at most since the last call.
    ///
    /// # Panics
    /// When the process does not run.
    pub fn memory(&self) -> (u64, u64) {
        let pid = self.pid().expect("a running process");
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("its status");
        let field = |name: &str| {
            let line = status.lines().find(|line| line.starts_with(name))?;
            line.split_whitespace().nth(1)?.parse::<u64>().ok().map(|kilobytes| kilobytes * 1024)
        };
        // Starts the peak anew.
        std::fs::write(format!("/proc/{pid}/clear_refs"), "5").expect("its memory");
        (field("VmRSS:").expect("VmRSS"), field("VmHWM:").expect("VmHWM"))
    }

    pub fn is_running(&mut self) -> bool {
        self.child.as_mut().is_some_and(|child| matches!(child.try_wait(), Ok(None)))
    }

    /// SIGKILL: the process gets no chance to write anything more.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// SIGTERM, and the status the process ends with.
    ///
    /// # Panics
    /// When it does not stop in time.
    pub fn terminate(&mut self) -> Option<ExitStatus> {
        self.signal("TERM");
        let mut child = self.child.take()?;
        let deadline = Instant::now() + STOP;
        loop {
            match child.try_wait() {
                Ok(Some(status)) => return Some(status),
                Ok(None) if Instant::now() < deadline => {
                    std::thread::sleep(Duration::from_millis(20));
                }
                Ok(None) | Err(_) => {
                    self.child = Some(child);
                    panic!("{} did not stop within {STOP:?} of SIGTERM", self.name);
                }
            }
        }
    }

    /// Sends a signal by name: `STOP` and `CONT` make a node hang and come back.
    pub fn signal(&self, signal: &str) {
        if let Some(pid) = self.pid() {
            let _ = Command::new("kill").args([&format!("-{signal}"), &pid.to_string()]).status();
        }
    }

    /// The last lines the process wrote.
    pub fn log_tail(&self, lines: usize) -> String {
        let text = std::fs::read(&self.log).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let all: Vec<&str> = text.lines().collect();
        all[all.len().saturating_sub(lines)..].join("\n")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("==== log of {}\n{}\n====", self.name, self.log_tail(60));
        }
        self.kill();
    }
}

/// A started process that may not serve yet.
pub struct Readiness {
    ready: mpsc::Receiver<()>,
}

impl Readiness {
    pub fn wait(self, process: &mut Process) -> Result<(), StartError> {
        let outcome = self.ready.recv_timeout(READY);
        let (name, log) = (process.name.clone(), process.log_tail(40));
        match outcome {
            Ok(()) => Ok(()),
            Err(RecvTimeoutError::Timeout) => Err(StartError::NotReady { name, log }),
            // stdout is closed: it is ending.
            Err(RecvTimeoutError::Disconnected) => match process.child.take() {
                Some(mut child) => {
                    let status = child
                        .wait()
                        .map_err(|source| StartError::Spawn { name: name.clone(), source })?;
                    Err(StartError::Ended { name, status, log: process.log_tail(40) })
                }
                None => Err(StartError::NotReady { name, log }),
            },
        }
    }
}

/// Copies stdout to the log and tells of the `ready` line.
fn copy_output(stdout: impl std::io::Read, mut log: File, said_ready: mpsc::Sender<()>) {
    for line in BufReader::new(stdout).lines() {
        let Ok(line) = line else { break };
        let _ = writeln!(log, "{line}");
        if line.starts_with("ready") {
            let _ = said_ready.send(());
        }
    }
}
